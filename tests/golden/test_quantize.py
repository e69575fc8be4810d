import numpy as np
import pytest

from golden import lattice, voronoi
from golden import quantize as module
from golden.errors import GossetError
from golden.format import Format
from golden.int8 import Int8Matrix, quantize_int8
from golden.quantize import quantize, read_back, rms_scales
from golden.rounding import NEAR, PULLS


def sqnr_db(x, approximation):
    return 10 * np.log10(np.square(x).sum() / np.square(x - approximation).sum())


def of_the_definition(t, q, opt):
    """The point for blocks t, in float64: of the nearest point and, if that overloads and `opt`, those of the pulls."""
    nearest = lattice.nearest(t)
    point = voronoi.decode(voronoi.encode(nearest, q), q)
    overload = (point != nearest).any(axis=-1)
    length = np.linalg.norm(t, axis=-1)
    if opt:
        for pull in PULLS:
            pulled = lattice.nearest(t * np.maximum(1 - pull / length, 0)[..., None])
            inner = voronoi.decode(voronoi.encode(pulled, q), q)
            better = ((t - inner) ** 2).sum(axis=-1) < ((t - point) ** 2).sum(axis=-1)
            point = np.where((better & overload & (length < NEAR * q))[..., None], inner, point)
    return point, overload


@pytest.mark.parametrize("q", voronoi.RATES)
def test_selection_is_what_it_says(q):
    fmt = Format(q)
    x = np.random.default_rng(q).normal(size=(50, 8 * 40)).astype(np.float32)
    scale = np.float32(0.8 / q)
    blocks, errors, overloads = x.astype(np.float64).reshape(50, 40, 8), [], []
    for beta in fmt.betas:
        step = float(scale) * beta
        point, _ = of_the_definition(blocks / step, q, opt=True)
        errors.append(((blocks - step * point) ** 2).sum(axis=-1))
        overloads.append(of_the_definition(blocks / step, q, opt=False)[1])

    packed = quantize(x, fmt, scales=np.full(50, scale))
    error = ((x - packed.dequantize()) ** 2).reshape(50, 40, 8).sum(axis=-1)
    np.testing.assert_allclose(error, np.min(errors, axis=0), rtol=1e-4, atol=1e-6)

    packed = quantize(x, fmt, selection="first", scales=np.full(50, scale))
    first = np.where(np.all(overloads, axis=0), len(fmt.betas) - 1, np.argmin(overloads, axis=0))
    np.testing.assert_array_equal(packed.betas, first)


@pytest.mark.parametrize(("q", "expected"), [(4, 11.31), (8, 17.62), (16, 23.66)])
def test_sqnr_of_gaussian_data(q, expected):
    """Pinned to 0.05 dB; the sampling error of 65,536 entries is 0.02 dB."""
    x = np.random.default_rng(1).normal(size=(64, 4096))
    assert abs(sqnr_db(x, quantize(x, Format(q)).dequantize()) - expected) < 0.05


def test_no_encoder_could_do_much_better():
    """At q = 4 all codewords can be tried: the codebook's own limit is 0.2 dB above what the quantiser reaches."""
    fmt = Format(4)
    x = np.random.default_rng(2).normal(size=(1, 8 * 400)).astype(np.float32)
    packed = quantize(x, fmt)
    points = voronoi.decode(np.arange(4**8), 4).astype(np.float32)
    energy = np.square(points).sum(axis=1) / 2
    best = np.full(400, np.inf)
    for beta in fmt.betas:
        t = x.reshape(-1, 8) / (packed.scales[0] * beta)
        error = np.square(t).sum(axis=1) - 2 * (t @ points.T - energy).max(axis=1)
        best = np.minimum(best, error * (packed.scales[0] * beta) ** 2)
    limit = 10 * np.log10(np.square(x).sum() / best.sum())
    assert limit - 0.25 < sqnr_db(x, packed.dequantize()) <= limit + 1e-3


def test_equal_errors_take_the_smaller_beta():
    x = np.zeros((1, 8))
    x[0, 0] = 12  # 2·6 = 4·3 = 6·2: exact with β = 2, 3 and 6, since 2e₀, 4e₀ and 6e₀ are points of Λ
    packed = quantize(x, Format(16, (2, 3, 6)), scales=[1])
    assert packed.betas[0, 0] == 0
    np.testing.assert_array_equal(packed.dequantize(), x)


@pytest.mark.parametrize(("distribution", "tolerance"), [("normal", 0.05), ("student", 0.3), ("laplace", 0.15)])
@pytest.mark.parametrize("q", [4, 16])
def test_scale_search_comes_near_an_exhaustive_one(q, distribution, tolerance):
    """In dB of the best of 200 scales. With heavy tails the error jumps where the few largest blocks overload."""
    rng = np.random.default_rng(q)
    x = {"normal": rng.normal, "student": lambda size: rng.standard_t(3, size), "laplace": rng.laplace}[distribution](
        size=(1, 4096)
    )
    found = sqnr_db(x, quantize(x, Format(q)).dequantize())
    scales = np.geomspace(0.01, 1, 200) * np.abs(x).max() / q
    assert found > max(sqnr_db(x, quantize(x, Format(q), scales=[s]).dequantize()) for s in scales) - tolerance


def test_rows_do_not_influence_each_other_and_threads_do_not_matter(monkeypatch):
    x = np.random.default_rng(5).normal(size=(300, 520)) * np.geomspace(1e-20, 1e20, 300)[:, None]
    whole = quantize(x, Format())
    for i in (0, 7, 299):
        row = quantize(x[i : i + 1], Format())
        np.testing.assert_array_equal(row.labels[0], whole.labels[i])
        np.testing.assert_array_equal(row.scales[0], whole.scales[i])
    monkeypatch.setattr("golden.quantize.CHUNK", 4000)
    for threads in (1, 3):
        parts = quantize(x[:100], Format(), threads=threads)
        np.testing.assert_array_equal(parts.labels, whole.labels[:100])
        np.testing.assert_array_equal(parts.scales, whole.scales[:100])
    ratio = np.square(x - whole.dequantize()).sum(axis=1) / np.square(x).sum(axis=1)
    assert ratio.max() < 0.01


def test_powers_of_two_commute_with_quantisation():
    x = np.random.default_rng(6).normal(size=(4, 64)).astype(np.float32)
    a, b = quantize(x, Format()), quantize(x * np.float32(2.0**-100), Format())
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.scales * np.float32(2.0**-100), b.scales)


def test_zero_rows_and_padding():
    x = np.zeros((3, 13))
    x[1] = 1
    packed = quantize(x, Format())
    assert packed.scales[0] == 0 and packed.scales[1] > 0
    assert not packed.labels[[0, 2]].any() and not packed.betas[[0, 2]].any()
    assert not packed.integers[:, 13:].any()
    assert not quantize(x, Format(), scales=[0, 0, 0]).dequantize().any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64])
def test_dtypes_and_memory_order(dtype):
    x = np.random.default_rng(7).integers(0, 100, (24, 40)).astype(dtype)
    expected = quantize(x.astype(np.float32), Format())
    for view in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(quantize(view, Format()).labels, expected.labels)
    np.testing.assert_array_equal(quantize(x.tolist(), Format()).labels, expected.labels)


def test_smallest_numbers():
    x = np.full((2, 8), 1e-45, dtype=np.float32)
    x[1] = 1e-38
    packed = quantize(x, Format())
    assert np.isfinite(packed.dequantize()).all()
    np.testing.assert_allclose(packed.dequantize()[1], x[1], rtol=0.1)


def test_extreme_outlier_leaves_no_garbage():
    x = np.random.default_rng(8).normal(size=(2, 512))
    x[0, 100] = 1e6
    packed = quantize(x, Format())
    assert sqnr_db(x[0], packed.dequantize()[0]) > 20
    assert np.isfinite(quantize(x, Format(), scales=[1e-30, 1e30]).dequantize()).all()


def test_progress_reaches_the_end(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 6400)
    calls = []
    quantize(
        np.random.default_rng(0).normal(size=(700, 512)),
        Format(2),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (700, 700) and calls == sorted(calls) and len(calls) > 1


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros(8), "two dimensions"),
        (np.zeros((2, 8, 8)), "two dimensions"),
        (np.zeros((0, 8)), "at least one row"),
        (np.zeros((8, 0)), "at least one row"),
        ([[1.0, float("nan")]], "row 0, column 1 is nan"),
        ([[1.0], [float("inf")]], "row 1, column 0 is inf"),
        ([[1e39]], "1e\\+39"),
        ([[1j]], "real numbers"),
        ([["a"]], "real numbers"),
        ([[True]], "real numbers"),
    ],
)
def test_bad_matrices_are_refused(matrix, message):
    for function in (lambda x: quantize(x, Format()), quantize_int8):
        with pytest.raises(GossetError, match=message):
            function(matrix)


def test_bad_scales_and_selections_are_refused():
    for scales, message in (([1], "2 scales"), ([1, np.nan], "NaN"), ([1, -1], "negative")):
        with pytest.raises(GossetError, match=message):
            quantize(np.ones((2, 8)), Format(), scales=scales)
    with pytest.raises(GossetError, match='"opt", "first" or "best"'):
        quantize(np.ones((2, 8)), Format(), selection="least")


def test_int8():
    x = np.random.default_rng(9).normal(size=(50, 100)) * np.geomspace(1e-30, 1e30, 50)[:, None]
    x[3] = 0
    packed = quantize_int8(x)
    assert (np.abs(packed.values).max(axis=1) == np.where(np.arange(50) == 3, 0, 127)).all()
    assert (np.abs(x - packed.dequantize()) <= packed.scales[:, None] * 0.5001).all()
    assert packed.shape == (50, 100) and packed.bits_per_entry == 8 + 32 / 100


def test_bad_int8_parts_are_refused():
    one = np.ones(2, dtype=np.float32)
    for values, scales, message in (
        (np.zeros((2, 3), dtype=np.int16), one, "int16"),
        (np.full((2, 3), -128, dtype=np.int8), one, "−128"),
        (np.zeros((3, 2), dtype=np.int8), one, "3 rows"),
        (np.zeros((2, 2), dtype=np.int8), -one, "negative"),
    ):
        with pytest.raises(GossetError, match=message):
            Int8Matrix(values, scales)


@pytest.mark.parametrize("q", voronoi.RATES)
def test_what_is_read_back_at_once_is_what_is_packed(q):
    """In every bit, signs of zeros included: rows of zeros, of ties, of the largest numbers and of the least."""
    fmt, rng = Format(q), np.random.default_rng(q)
    x = rng.standard_t(3, size=(40, 77)).astype(np.float32)
    x[3], x[5], x[6] = 0, np.rint(2 * x[5]) / 2, 1
    x[7] *= np.float32(3.3e38) / np.abs(x[7]).max()
    x[8] *= np.float32(1e-40)
    for scales in (None, np.where(np.arange(40) % 3, rms_scales(x, fmt), 0)):
        packed = quantize(x, fmt, scales=scales)
        read = read_back(x, fmt, scales=scales)
        np.testing.assert_array_equal(read.view(np.uint32), packed.dequantize().view(np.uint32))

import hashlib
import itertools
from functools import partial

import ml_dtypes
import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.rivals import Lattice, d4, e8p, microscaling, nestquant, steps
from golden.rivals.grids import NF4, PO2_NF4, SFP4, Grids
from golden.rivals.integers import BipolarInt, Int8Outliers, IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.trellis import Trellis, hashed, one_mad

CODECS = {
    "NF4": Grids((NF4,)),
    "NF4 or its partner": Grids(PO2_NF4),
    "SFP4": Grids(SFP4),
    "trellis 1MAD": Trellis(3, one_mad),
    "trellis hashed": Trellis(3, hashed),
    "E8": Lattice(Format(16)),
    "int4": IntGroups(4),
    "int4 to the largest": IntGroups(4, search=False),
    "bipolar": BipolarInt(4),
    "bipolar to the largest": BipolarInt(4, search=False),
    "LLM.int8": Int8Outliers(),
    "MXFP4": mxfp4,
    "MXFP4 searched": partial(mxfp4, search=True),
    "NVFP4": nvfp4,
    "NVFP4 searched": partial(nvfp4, search=True),
    "NestQuant": nestquant.NestQuant(),
    "E8P": e8p.E8P(),
    "D4": d4.HierarchicalD4(),
}


def gaussian(rows=64, columns=1024):
    return np.random.default_rng(30).normal(size=(rows, columns)).astype(np.float32)


def mse(x, codec):
    return float(np.square(x - codec(x).values).mean() / np.square(x).mean())


@pytest.mark.parametrize("name", CODECS)
def test_protocol(name):
    codec = CODECS[name]
    x = gaussian(6, 200)
    x[2] = 0
    x[4] *= 1e-6
    coded = codec(x)
    assert coded.values.shape == x.shape and coded.values.dtype == np.float32
    assert not coded.values[2].any()
    assert np.square(x - coded.values).mean() < 0.15
    with pytest.raises(GossetError, match="finite"):
        codec([[1.0, np.nan]])


@pytest.mark.parametrize(
    ("name", "columns", "bits"),
    [
        ("int4", 1024, 4.25),
        ("int4", 65, (4 * 128 + 32) / 65),
        ("bipolar", 1024, 4.25),
        ("MXFP4", 1024, 4.25),
        ("NVFP4", 1024, 4.5 + 32 / 1024),
        ("NestQuant", 1024, np.log2(14) + 2 / 8 + 32 / 1024),
        ("E8P", 1024, 2 + 32 / 1024),
        ("NF4 or its partner", 1024, 4.5 + 32 / 1024),
        ("SFP4", 1024, 4 + 9 / 16 + 32 / 1024),
        ("trellis 1MAD", 1024, 3 + 32 / 1024),
        ("trellis hashed", 257, (3 * 512 + 32) / 257),
        ("trellis hashed", 576, 3 + 32 / 576),
        ("D4", 1024, 4.5 + 32 / 1024),
        ("E8", 1024, 4.25 + 32 / 1024),
        ("LLM.int8", 1024, 8 + 32 / 1024),
    ],
)
def test_bits_are_counted_honestly(name, columns, bits):
    assert CODECS[name](gaussian(1, columns)).bits_per_entry == pytest.approx(bits)


def test_nestquant_is_reproduced():
    """MSE 0.0065 with the authors' multipliers; 400,000 blocks: standard errors 10⁻⁵ and 0.001."""
    x = np.random.default_rng(31).normal(size=(400_000, 8))
    values, index = nestquant.NestQuant().blocks(x)
    assert np.square(values - x).mean() == pytest.approx(0.0065, abs=1e-4)
    shares = np.bincount(index, minlength=4) / len(x)
    np.testing.assert_allclose(shares, [0.559, 0.371, 0.070, 0.0001], atol=0.01)


def test_nestquant_is_equal_in_every_bit():
    """The digest is that of what the authors' functions give for these blocks, in PyTorch 2.13 on a CPU, float32."""
    x = np.random.default_rng(31).normal(size=(4000, 8)).astype(np.float32)
    values, _ = nestquant.NestQuant().blocks(x)
    digest = hashlib.sha256((values + np.float32(0)).tobytes()).hexdigest()  # −0 becomes 0
    assert digest == "0aea35d46327c85b5e286a0730865d1030eb4b63c0a83738dc208bfa4690c442"


def test_nestquant_settles_ties_as_its_authors_do():
    for block, point in (
        ([0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0], [0.5] * 8),  # as far from 0: the half-shifted coset
        ([0.5, 0, 0, 0, 0, 0, 0, 0], [0] * 8),  # halves down
        ([1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]),  # all as cheap to turn: the first
    ):
        np.testing.assert_array_equal(nestquant.nearest(np.array([block], dtype=np.float32)), [point])


def test_nestquant_lattice_is_e8():
    x = np.random.default_rng(32).normal(scale=2, size=(2000, 8))
    points = nestquant.nearest(x)
    doubled = np.rint(2 * points).astype(int)
    assert (np.ptp(doubled % 2, axis=1) == 0).all() and not (points.sum(axis=1) % 2).any()
    roots = [r for r in itertools.product((-1, 0, 1), repeat=8) if sum(map(abs, r)) == 2]
    roots += [tuple(v / 2 for v in r) for r in itertools.product((-1, 1), repeat=8) if sum(r) % 4 == 0]
    assert len(roots) == 240
    distance = np.square(x - points).sum(axis=1)
    for root in roots:
        assert (np.square(x - points - np.array(root)).sum(axis=1) >= distance - 1e-12).all()


def test_gaussian_errors_are_as_known():
    """SQNR in dB on iid Gaussians; the standard error of 65,536 entries is 0.02 dB."""
    x = gaussian()
    expected = {"int4 to the largest": 19.36, "int4": 20.03, "MXFP4": 18.79, "NVFP4": 20.54}
    for name, value in expected.items():
        assert -10 * np.log10(mse(x, CODECS[name])) == pytest.approx(value, abs=0.15)
    for bits, value in ((3, 13.75), (2, 7.35)):
        assert -10 * np.log10(mse(x, IntGroups(bits))) == pytest.approx(value, abs=0.1)


@pytest.mark.parametrize("name", ["int4", "bipolar", "MXFP4", "NVFP4"])
def test_a_search_never_loses(name):
    """Neither on Gaussian groups nor on hostile ones, group by group."""
    plain = CODECS[name + " to the largest" if f"{name} to the largest" in CODECS else name]
    searched = CODECS.get(f"{name} searched", CODECS[name])
    rng = np.random.default_rng(34)
    x = np.concatenate([rng.normal(size=(8, 192)), rng.standard_t(1, (8, 192)), np.eye(8, 192), np.zeros((1, 192))])
    before, after = (np.square(x - codec(x).values).reshape(-1, 192).sum(axis=1) for codec in (plain, searched))
    assert (after <= before * (1 + 1e-5)).all() and after.sum() < before.sum()


@pytest.mark.parametrize("numbers", [steps.integers(2), steps.integers(4), steps.integers(8), steps.E2M1])
def test_the_compiled_search_finds_the_best_scale(numbers):
    """Every reading beside one by hand: to the nearest of all numbers, ties to the even multiple of a step."""
    ends = [numbers.top, *numbers.doubling]
    sizes = [0.0]
    while sizes[-1] < numbers.top:
        sizes.append(sizes[-1] + numbers.first * 2 ** sum(sizes[-1] >= end for end in ends[1:]))
    rng = np.random.default_rng(36)
    groups = rng.standard_t(3, size=(50, 24)).astype(np.float32)
    groups[:20] = np.rint(4 * groups[:20]) / 4  # ties
    groups[7] = 0
    scales = np.exp2(rng.integers(-3, 2, size=(50, 5))).astype(np.float32)
    scales[9, 2], scales[11] = 0, 0
    groups[12], scales[12] = 3, [2, 4, 2, 2, 4]  # integers of 2 bits are as far off with either
    errors, readings = [], []
    for scale in scales.T[..., None]:
        size = np.divide(np.abs(groups), scale, out=np.zeros_like(groups), where=scale > 0)
        distance = np.abs(size[..., None] - np.array(sizes))
        nearest = distance == distance.min(axis=-1, keepdims=True)
        # Of two as near, that whose place is even: places of even multiples of a step, as steps double at even ones.
        place = np.where(nearest, np.arange(len(sizes)) + 1e6 * (np.arange(len(sizes)) % 2), np.inf).argmin(axis=-1)
        readings.append(np.copysign(np.array(sizes)[place] * scale, groups))
        errors.append(np.square(groups - readings[-1]).sum(axis=1))
    expected = np.array(readings)[np.argmin(errors, axis=0), np.arange(50)]
    found = steps.nearest(groups, scales, numbers)
    np.testing.assert_array_equal(found[:20], expected[:20])  # sums of these are exact
    np.testing.assert_allclose(np.square(groups - found).sum(axis=1), np.square(groups - expected).sum(axis=1), 1e-5)


@pytest.mark.parametrize(("numbers", "width"), [(steps.integers(4), 64), (steps.integers(2), 96), (steps.E2M1, 32)])
def test_scales_that_are_passed_over_would_not_be_taken(numbers, width):
    """Falling or rising, and whatever groups: no scale alone gives less error than those that are searched together."""
    rng = np.random.default_rng(width)
    groups = np.concatenate([rng.normal(size=(200, width)), rng.standard_t(1, (200, width)), np.eye(16, width)])
    groups = groups.astype(np.float32)
    falling = np.abs(groups).max(axis=1, keepdims=True) * np.linspace(1, 0.1, 30, dtype=np.float32) / numbers.top

    def error(scales):
        return np.square(groups - steps.nearest(groups, scales, numbers)).sum(axis=1)

    least = np.min([error(scale) for scale in np.split(falling, 30, axis=1)], axis=0)
    for scales in (falling, falling[:, ::-1], rng.permuted(falling, axis=1)):
        np.testing.assert_allclose(error(scales), least, rtol=1e-5)


def test_scales_of_nvfp4_are_the_nearest_in_e4m3():
    """Those of ml_dtypes in every bit: all numbers, what lies halfway between two, and their neighbours."""
    numbers = np.arange(127, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    halfway = (numbers[1:] + numbers[:-1]) / 2
    beside = [np.nextafter(halfway, np.float32(end)) for end in (0, 500)]
    largest = np.concatenate([numbers, halfway, *beside, np.geomspace(1e-30, 1e4, 500)]).astype(np.float32)
    groups = np.zeros((len(largest), 16), dtype=np.float32)
    groups[np.arange(len(largest)), np.arange(len(largest)) % 16] = -largest
    for whole in (1, 2**-20, 1.7):
        found = microscaling._scales(groups, np.array([1, 0.3], dtype=np.float32), np.float32(whole))
        exact = np.minimum(largest[:, None] * np.array([1, 0.3], dtype=np.float32) / np.float32(whole), 448)
        expected = exact.astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * np.float32(whole)
        np.testing.assert_array_equal(found, expected)


def test_two_grids_are_better_than_one():
    x = gaussian(16)
    errors = [mse(x, CODECS[name]) for name in ("NF4 or its partner", "NF4")]
    assert -10 * np.log10(errors[0]) == pytest.approx(23.5, abs=0.15) and errors[0] < 0.85 * errors[1]
    assert mse(x, CODECS["SFP4"]) < 0.85 * mse(x, CODECS["NVFP4 searched"])


def test_microscaling_values():
    x = np.zeros((1, 32), dtype=np.float32)
    x[0, :8] = [6, 5.1, 2.4, 1.26, 0.26, -0.2, -3.4, 7.9]
    np.testing.assert_array_equal(mxfp4(x).values[0, :8], [6, 6, 2, 1.5, 0.5, 0, -3, 6])
    np.testing.assert_array_equal(mxfp4(x * 2.0**-100).values, mxfp4(x).values * 2.0**-100)
    x[0, 7] = 6
    np.testing.assert_allclose(nvfp4(x).values[0, :8], [6, 6, 2, 1.5, 0.5, 0, -3, 6], rtol=1e-6)


def test_bipolar_products_are_sums_over_bit_planes():
    """Codes are odd multiples of a group's scale, so a product of groups is Σ 2^(i+j)·⟨plane i, plane j⟩."""
    x = gaussian(2, 64)
    a, b = BipolarInt(3)(x).values
    steps = [np.abs(row).min() for row in (a, b)]
    codes = [np.rint((row / step + 7) / 2).astype(int) for row, step in zip((a, b), steps, strict=True)]
    planes = [2 * ((code[None] >> np.arange(3)[:, None]) & 1) - 1 for code in codes]
    weights = 2 ** np.add.outer(np.arange(3), np.arange(3))
    product = (weights * (planes[0] @ planes[1].T)).sum()
    assert float(a.astype(float) @ b) == pytest.approx(float(product * steps[0] * steps[1]), rel=1e-6)


def test_outlier_columns_stay_in_float16():
    x = gaussian(32, 128)
    x[3, 17] = 300
    coded = Int8Outliers()(x)
    np.testing.assert_array_equal(coded.values[:, 17], x[:, 17].astype(np.float16))
    assert mse(x[:, :17], lambda _: coded.__class__(coded.values[:, :17], 0)) < 1e-3
    assert coded.bits_per_entry > 8


def test_e8p_finds_the_nearest_of_its_65536_codewords():
    table = e8p.patterns()
    assert len({tuple(p) for p in table}) == 256
    signs = 1 - 2 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    words = (table[:, None] * signs).reshape(-1, 8)
    words = words[words.sum(axis=1) % 2 == 0]
    words = np.concatenate([words + 0.25, words - 0.25]).astype(np.float32)
    assert len(np.unique(words, axis=0)) == 65536
    x = gaussian(50, 8)
    least = (np.square(words).sum(axis=1) - 2 * x @ words.T).min(axis=1) + np.square(x).sum(axis=1)
    np.testing.assert_allclose(np.square(x - e8p.nearest(x)).sum(axis=1), least, rtol=1e-3, atol=1e-4)


def test_d4_products_by_table():
    rng = np.random.default_rng(33)
    x, y = rng.normal(scale=2, size=(2, 500, 4))
    a, overload = d4.labels(x)
    b, _ = d4.labels(y)
    assert not overload.any()
    np.testing.assert_array_equal(d4.decode(a), d4.nearest(x))
    product = sum(4 ** (i + j) * d4.table()[a[:, i], b[:, j]].astype(int) for i in range(2) for j in range(2))
    np.testing.assert_array_equal(product, (d4.decode(a) * d4.decode(b)).sum(axis=1))
    assert d4.table().size == 65536

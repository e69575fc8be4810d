"""What users give as matrices and scales: every type, and the edges of float32, with warnings as errors."""

import decimal
import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from golden.arrays import FLOAT32_MAX, as_matrix, as_scales
from golden.errors import GossetError
from golden.fit import fit_betas
from golden.format import Format, PackedMatrix
from golden.int8 import Int8Matrix, quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize, rms_scales
from golden.rounding import choose
from golden.universal import dithered

SMALL = ["bfloat16", "float8_e4m3fn", "float8_e4m3b11fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e3m4"]
SMALL += ["float4_e2m1fn", "int4", "uint4", "int2"]


@pytest.mark.parametrize("name", SMALL)
def test_small_types_of_checkpoints_are_matrices(name):
    x = np.random.default_rng(0).integers(0, 2, (6, 40)).astype(np.float32)
    small = x.astype(getattr(ml_dtypes, name))
    exact = small.astype(np.float32)
    np.testing.assert_array_equal(as_matrix(small), exact)
    np.testing.assert_array_equal(quantize(small, Format()).labels, quantize(exact, Format()).labels)
    np.testing.assert_array_equal(quantize_int8(small).values, quantize_int8(exact).values)


def test_what_is_not_finite_in_bfloat16_is_refused():
    with pytest.raises(GossetError, match="row 0, column 1"):
        as_matrix(np.array([[1, np.nan]]).astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    "matrix",
    [
        [["a"]], [[b"a"]], [[True]], [[None]], [[1j]], [[{}]], [[1, 2], [3]], [[10**30]], [[decimal.Decimal(1)]],
        "text", None, {"a": 1}, object(), np.zeros((2, 2), dtype="m8[s]"), np.zeros((2, 2), dtype="M8[s]"),
        np.zeros((2, 2), dtype="V2"), np.zeros((2, 2), dtype=[("a", "f4")]), np.zeros((2, 2), dtype="complex64"),
        np.ma.masked_array([[1.0, 2.0]], mask=[[False, True]]), np.zeros((2, 2), dtype=object),
    ],
    ids=lambda matrix: "an object" if type(matrix) is object else repr(matrix)[:30],
)  # fmt: skip
def test_what_is_no_matrix_of_real_numbers_is_refused(matrix):
    for function in (as_matrix, lambda m: quantize(m, Format()), quantize_int8, lambda m: fit_betas(m, 16)):
        with pytest.raises(GossetError, match=r"real numbers|two dimensions"):
            function(matrix)


@pytest.mark.parametrize(
    "scales", [["a"], [1j], [None], [[1.0]], 1.0, "1", [1.0, 2.0], [np.nan], [-1.0], [1e39], [1e-50]]
)
def test_what_are_no_scales_is_refused(scales):
    with pytest.raises(GossetError):
        quantize(np.ones((1, 8)), Format(), scales=scales)
    with pytest.raises(GossetError):
        as_scales(scales, 1)


FORMATS = [Format(q, betas) for q in (2, 16, 64) for betas in ((1,), (15,), (3, 4, 5, 7))]
EDGES = {
    "full": np.full((1, 8), 3.4e38),
    "largest": np.full((2, 12), FLOAT32_MAX),
    "signs": np.tile([FLOAT32_MAX, -FLOAT32_MAX], (1, 8)),
    "one": np.eye(1, 9) * FLOAT32_MAX,
    "subnormal": np.full((2, 8), 1e-44),
    "least": np.full((1, 8), 1.4e-45),
    "subnormal Gaussian": np.random.default_rng(0).normal(size=(4, 64)) * 1e-41,
    "both": np.array([[FLOAT32_MAX, 1e-45] * 8, [1, 1e-38] * 8, [0] * 16, [1e-45] * 16]),
    "every exponent": np.exp2(np.random.default_rng(1).uniform(-149, 127.9, (16, 72))),
}


@pytest.mark.parametrize(
    ("fmt", "selection"), [*((f, way) for f in FORMATS for way in ("opt", "first")), (FORMATS[-1], "best")], ids=str
)
@pytest.mark.parametrize("edge", EDGES)
def test_finite_matrices_pack_to_finite_values(edge, fmt, selection):
    """No worse than zeros would be, and no row that is not zero gets a scale of 0."""
    x = EDGES[edge].astype(np.float32)
    packed = quantize(x, fmt, selection=selection)
    values = packed.dequantize()
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(packed.scales > 0, x.any(axis=1))
    lost = np.square(values.astype(np.float64) - x).sum()
    assert lost <= (1.5 if selection == "first" else 1.0001) * np.square(x, dtype=np.float64).sum()
    assert np.isfinite(rms_scales(x, fmt, selection)).all()


@pytest.mark.parametrize("edge", ["full", "largest", "signs", "subnormal Gaussian"])
def test_edges_keep_the_quality_of_other_matrices(edge):
    x = EDGES[edge].astype(np.float32)
    lost = np.square(quantize(x, Format()).dequantize().astype(np.float64) - x).sum()
    assert lost < 0.006 * np.square(x, dtype=np.float64).sum()


@given(
    x=arrays(np.float32, (3, 11), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    q=st.sampled_from((2, 8, 16)),
)
@settings(max_examples=60, deadline=None)
def test_any_finite_matrix_packs_to_finite_values(x, q):
    packed = quantize(x, Format(q))
    assert np.isfinite(packed.dequantize()).all() and ((packed.scales > 0) == x.any(axis=1)).all()
    int8 = quantize_int8(x)
    assert np.isfinite(int8.dequantize()).all() and ((int8.scales > 0) == x.any(axis=1)).all()


@pytest.mark.parametrize("scale", [1e-45, 1e-40, 1e-20, 1, 1e20, 3e38, FLOAT32_MAX])
@pytest.mark.parametrize("edge", EDGES)
def test_given_scales_give_finite_values_or_are_refused_with_the_limit(edge, scale):
    x = EDGES[edge].astype(np.float32)
    try:
        packed = quantize(x, Format(), scales=np.full(len(x), scale))
    except GossetError as error:
        assert "beyond float32" in str(error) and "at most" in str(error)
    else:
        assert np.isfinite(packed.dequantize()).all()
        np.testing.assert_array_equal(packed.scales, np.float32(scale))


def test_subnormal_scales_choose_no_garbage():
    x = [np.array([[0, 1]], dtype=np.float32)] * 8
    point, _, error = choose(x, np.array([1e-45], dtype=np.float32), Format(), "opt")
    assert not np.isnan(error).any() and not any(lane[0, 0] for lane in point)


def test_rows_that_float32_would_make_zero_are_refused():
    x = np.array([[1.0, 1e-60], [0, 0], [1e-50, 0]])
    with pytest.raises(GossetError, match=r"Row 2 .* scale the matrix up"):
        quantize(x, Format())
    assert quantize(x[:2], Format()).scales[1] == 0


@pytest.mark.parametrize("edge", EDGES)
def test_int8_and_others_at_the_edges(edge):
    x = EDGES[edge].astype(np.float32)
    int8 = quantize_int8(x)
    # A scale below the normal numbers is rounded up, to at least the least number.
    assert (np.abs(int8.dequantize().astype(np.float64) - x) <= 0.501 * int8.scales[:, None].astype(np.float64)).all()
    assert np.isfinite(dithered(x, Format(), 0)).all()
    assert fit_betas(x, 16, 2).sqnr_db > 0  # infinite where a lone entry is a point of the lattice
    assert not np.isnan(matmul(quantize(x, Format()), quantize(x, Format())).result).any()


def test_parts_whose_entries_are_infinite_are_refused():
    matrix = quantize(np.ones((2, 8)), Format())
    with pytest.raises(GossetError, match="row 0 is beyond float32"):
        PackedMatrix(Format(), 8, matrix.labels, matrix.betas, np.full(2, 3e38, dtype=np.float32))
    with pytest.raises(GossetError, match="row 1 is beyond float32"):
        Int8Matrix(np.full((2, 8), 127, dtype=np.int8), np.array([1, 3e38], dtype=np.float32))


def test_integers_of_numpy_save_as_plain_ones(tmp_path):
    one, two = (
        quantize(np.ones((2, 8)), Format()),
        quantize(np.ones((2, 8)), Format(np.int64(16), tuple(np.int8([3, 4, 5, 7])))),
    )
    again = PackedMatrix(two.format, np.int64(8), two.labels, two.betas, two.scales)
    again.save(tmp_path / "m.safetensors")
    assert again._container() == one._container() and json.dumps([again.format.q, again.format.betas, again.columns])
    assert type(again.format.q) is type(again.columns) is int


@pytest.mark.parametrize("q", [16.0, True, "16", None, [16], np.float64(16), np.bool_(True)])
def test_what_is_no_integer_is_no_q(q):
    with pytest.raises(GossetError, match="q must be a power of two"):
        Format(q)


@pytest.mark.parametrize(
    "betas", [(True, 2), (1.0, 2), ("1",), "12", 3, None, {1: 2}, ([1],), (np.float32(1),), (10**5000,)]
)
def test_what_are_no_integers_are_no_betas(betas):
    with pytest.raises(GossetError, match="β"):
        Format(16, betas)


@pytest.mark.parametrize("columns", [True, 8.0, "8", None, 0, -8, 10**30])
def test_what_is_no_integer_is_no_number_of_columns(columns):
    one = quantize(np.ones((2, 8)), Format())
    with pytest.raises(GossetError, match="columns"):
        PackedMatrix(one.format, columns, one.labels, one.betas, one.scales)
    with pytest.raises(GossetError, match="columns"):
        PackedMatrix.from_planes(one.format, columns, *one.planes(), one.scales)

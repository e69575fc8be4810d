from fractions import Fraction

import numpy as np
import pytest

from golden import matmul as module
from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.int8 import Int8Matrix, quantize_int8
from golden.matmul import matmul, max_columns
from golden.quantize import quantize
from golden.voronoi import decode, encode, label_dtype


def by_definition(a, b):
    """Σ_blocks β_a·β_b·⟨y_a, y_b⟩ in Python's own integers."""

    def integers(operand):
        if isinstance(operand, Int8Matrix):
            return operand.values.astype(object)
        points = decode(operand.labels, operand.format.q).astype(object)
        betas = np.array(operand.format.betas, dtype=object)[operand.betas]
        return (points * betas[..., None]).reshape(len(operand.scales), -1)

    left, right = integers(a), integers(b)
    k = min(left.shape[1], right.shape[1])  # what lies beyond is padding of zeros on one side
    return left[:, :k] @ right[:, :k].T


@pytest.mark.parametrize("k", [1, 8, 37, 256])
def test_accumulators_equal_the_definition(k):
    rng = np.random.default_rng(k)
    x, w = rng.normal(size=(5, k)), rng.normal(size=(9, k))
    for a, b in (
        (quantize(x, Format(16)), quantize(w, Format(16))),
        (quantize(x, Format(64, (1, 15))), quantize(w, Format(2))),
        (quantize_int8(x), quantize(w, Format(8))),
        (quantize(x, Format(8)), quantize_int8(w)),
    ):
        product = matmul(a, b)
        assert product.accumulators.dtype == np.int32
        np.testing.assert_array_equal(product.accumulators, by_definition(a, b))


@pytest.mark.parametrize(("q", "k"), [(64, 4096), (16, 1536), (16, 8192)])
def test_large_accumulators_are_exact(q, k):
    """Rows against themselves, where nothing cancels: with q = 64 the accumulators are far beyond float32's 24 bits."""
    fmt, rng = Format(q, (7, 15)), np.random.default_rng(k)
    labels = rng.integers(0, q**8, (3, k // 8), dtype=np.uint64).astype(label_dtype(q))
    index = rng.integers(0, 2, labels.shape).astype(np.uint8)
    a = PackedMatrix(fmt, k, labels, index, np.ones(3, np.float32))
    np.testing.assert_array_equal(matmul(a, a).accumulators, by_definition(a, a))


def test_chunks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(3)
    a, b = quantize(rng.normal(size=(30, 64)), Format()), quantize(rng.normal(size=(21, 64)), Format())
    whole = matmul(a, b).accumulators
    monkeypatch.setattr(module, "CHUNK_ENTRIES", 64 * 4)
    np.testing.assert_array_equal(matmul(a, b).accumulators, whole)


def test_result_is_rounded_once():
    rng = np.random.default_rng(4)
    a, b = quantize(rng.normal(size=(20, 96)), Format()), quantize(rng.normal(size=(20, 96)), Format())
    product = matmul(a, b)
    assert product.result.dtype == np.float32
    for m, n in np.ndindex(20, 20):
        exact = Fraction(float(a.scales[m])) * Fraction(float(b.scales[n])) * int(product.accumulators[m, n])
        result = product.result[m, n]
        error = abs(Fraction(float(result)) - exact)
        assert error <= Fraction(float(np.spacing(np.abs(result)))) / 2 * (1 + Fraction(1, 2**28))


def test_result_approximates_the_real_product():
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(64, 1024)), rng.normal(size=(64, 1024))
    exact = x @ w.T
    error = matmul(quantize(x, Format()), quantize(w, Format())).result - exact
    assert np.square(error).mean() / np.square(exact).mean() < 0.012


@pytest.mark.parametrize("formats", [(Format(16), Format(16)), (Format(64, (15,)), None), (None, Format(2, (1,)))])
def test_max_columns_is_the_bound_of_cauchy_and_schwarz(formats):
    k = max_columns(*formats)
    assert k % 8 == 0
    squares = [8 * 127**2 if f is None else (f.betas[-1] * f.q) ** 2 * 2 for f in formats]
    assert (k // 8) ** 2 * squares[0] * squares[1] <= (2**31 - 1) ** 2 < (k // 8 + 1) ** 2 * squares[0] * squares[1]


def test_the_largest_k_fits_in_the_worst_case():
    """Blocks of the largest norm against themselves: the accumulator comes within a percent of 32 bits."""
    q, beta = 64, 15
    fmt = Format(q, (beta,))
    corner = np.zeros(8, dtype=np.int64)
    corner[:2] = -q, -q  # a deep hole of qΛ, at its covering radius √2·q
    label = encode(corner, q)
    assert np.square(decode(label, q).astype(int)).sum() == 2 * q**2
    k = max_columns(fmt, fmt)
    labels = np.full((1, k // 8), label, dtype=label_dtype(q))
    matrix = PackedMatrix(fmt, k, labels, np.zeros(labels.shape, np.uint8), np.ones(1, np.float32))
    accumulator = int(matmul(matrix, matrix).accumulators[0, 0])
    assert accumulator == k // 8 * beta**2 * 2 * q**2
    assert 0.99 * 2**31 < accumulator < 2**31


def test_operands_that_do_not_fit_are_refused():
    a, b = quantize(np.ones((2, 16)), Format()), quantize(np.ones((3, 17)), Format())
    with pytest.raises(GossetError, match="2 × 16 and 3 × 17"):
        matmul(a, b)
    eight = quantize_int8(np.ones((2, 16)))
    with pytest.raises(GossetError, match="Two int8 matrices"):
        matmul(eight, eight)
    with pytest.raises(GossetError, match="Two int8 operands"):
        max_columns(None, None)


def test_k_that_could_overflow_is_refused_with_the_k_that_fits():
    fmt = Format(64, (15,))
    most = max_columns(fmt, fmt)
    ok = quantize(np.ones((1, most)), fmt, scales=[1])
    matmul(ok, ok)
    long = quantize(np.ones((1, most + 1)), fmt, scales=[1])
    with pytest.raises(GossetError, match=f"at most {most}"):
        matmul(long, long)

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golden.format import Format
from golden.quantize import quantize
from golden.rounding import choose
from golden.voronoi import RATES
from sim.kernels import library
from sim.kernels.encoder import chooser


@pytest.fixture(scope="module", params=library.PATHS)
def compiled(request):
    """Every path that this processor has."""
    if request.param not in library.supported():
        pytest.skip(f"no {request.param} here")
    return chooser(request.param)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(RATES),
    st.sets(st.integers(1, 15), min_size=1, max_size=8),
    st.sampled_from(["opt", "first"]),
    st.sampled_from(["normal", "wide", "ties"]),
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 2**32 - 1),
)
def test_every_choice_is_goldens(compiled, q, betas, selection, kind, shape, seed):
    """Points, β and errors, bit by bit: on blocks near and far beyond their scale, and on halves, where ties are."""
    fmt, rng = Format(q, tuple(sorted(betas))), np.random.default_rng(seed)
    alternatives, rows, blocks = shape
    x = [rng.normal(size=(rows, blocks)).astype(np.float32) for _ in range(8)]
    scales = (np.abs(rng.normal(size=(alternatives, rows))) / q / fmt.betas[-1]).astype(np.float32)
    if kind == "wide":
        x = [(lane * 10.0 ** rng.integers(-3, 30)).astype(np.float32) for lane in x]
        scales[0, 0] = 0
    elif kind == "ties":
        x = [np.round(2 * lane) / 2 for lane in x]
        scales = np.exp2(np.round(np.log2(scales + np.float32(1e-9)))).astype(np.float32)
    for expected, found in zip(choose(x, scales, fmt, selection), compiled(x, scales, fmt, selection), strict=True):
        if isinstance(expected, list):
            expected, found = np.stack(expected), np.stack(found)
        assert expected.dtype == found.dtype
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("q", [4, 16])
def test_the_same_file_comes_out(compiled, q):
    x = np.random.default_rng(q).standard_t(4, size=(70, 1111))
    x[3] = 0
    for selection in ("opt", "first"):
        expected = quantize(x, Format(q), selection=selection)
        found = quantize(x, Format(q), selection=selection, rounding=compiled)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.betas, expected.betas)
        np.testing.assert_array_equal(found.scales, expected.scales)


def test_dither_and_best_are_left_to_golden(compiled):
    rng = np.random.default_rng(0)
    x, dither = ([rng.normal(size=(2, 5)).astype(np.float32) for _ in range(8)] for _ in range(2))
    scales = np.full(2, 0.05, np.float32)
    expected, found = (f(x, scales, Format(), "opt", dither) for f in (choose, compiled))
    np.testing.assert_array_equal(np.stack(expected[0]), np.stack(found[0]))
    for wanted, got in zip(choose(x, scales, Format(4), "best"), compiled(x, scales, Format(4), "best"), strict=True):
        np.testing.assert_array_equal(np.stack(wanted), np.stack(got))

"""Why points on the boundary of the Voronoi cell count as overload, in decibels."""

import numpy as np
import pytest

from golden import lattice, voronoi
from golden.format import Format
from golden.quantize import quantize
from golden.rounding import choose

BETAS = (3, 4, 5, 7)
BLOCKS = 20_000


def sqnr_db(q, scale, *, closed):
    """Gaussian blocks at one scale with the best β; `closed` lets a block keep any point of least energy.

    Several points of least energy share a label, so that no decoder can tell them apart: what `closed` measures is
    no code of 8·log2(q) bits.
    """
    x = np.random.default_rng(0).normal(size=(BLOCKS, 8))
    best = np.full(BLOCKS, np.inf)
    for beta in BETAS:
        t = x / (scale * beta)
        nearest = lattice.nearest(t)
        point = voronoi.decode(voronoi.encode(nearest, q), q).astype(np.int64)
        if closed:
            ties = np.square(nearest).sum(axis=1) == np.square(point).sum(axis=1)
            point[ties] = nearest[ties]
        best = np.minimum(best, np.square(t - point).sum(axis=1) * (scale * beta) ** 2)
    return -10 * np.log10(best.mean() / 8)


@pytest.mark.parametrize(("q", "closed", "label"), [(4, 12.54, 11.0), (8, 18.05, 17.3), (16, 23.84, 23.45)])
def test_points_that_share_a_label_would_be_worth_up_to_a_decibel_and_a_half(q, closed, label):
    """The sampling error is 0.03 dB."""
    scales = 0.7 / q * np.geomspace(0.8, 1.4, 12)
    found_closed = max(sqnr_db(q, scale, closed=True) for scale in scales)
    found_label = max(sqnr_db(q, scale, closed=False) for scale in scales)
    assert abs(found_closed - closed) < 0.08
    assert abs(found_label - label) < 0.15
    assert found_closed - found_label > 0.3


def test_at_low_rate_it_would_be_better_than_any_vector_quantiser():
    """Zador's formula for fixed-rate quantisation of Gaussian blocks of 8, with the second moment of E8, 929/12960."""
    rate = np.log2(4) + np.log2(len(BETAS)) / 8
    limit = 20 * rate * np.log10(2) - 10 * np.log10(2 * np.pi * (10 / 8) ** 5 * 929 / 12960)
    scales = 0.7 / 4 * np.geomspace(0.8, 1.4, 12)
    assert max(sqnr_db(4, scale, closed=True) for scale in scales) > limit + 0.3
    assert max(sqnr_db(4, scale, closed=False) for scale in scales) < limit


@pytest.mark.parametrize("q", voronoi.RATES)
def test_best_is_never_worse_than_opt_and_its_points_are_codewords(q):
    """Block by block, at scales from hopeless overload to none; the error returned is that of the point returned."""
    x = lattice.lanes(np.random.default_rng(q).normal(size=(6, 200, 8)).astype(np.float32))
    scales = np.geomspace(0.02, 2, 6).astype(np.float32) / np.float32(q)
    fmt = Format(q)
    point, index, error = choose(x, scales, fmt, "best")
    assert (error <= choose(x, scales, fmt, "opt")[2] * (1 + 1e-5)).all()
    blocks = lattice.blocks(point)
    np.testing.assert_array_equal(voronoi.decode(voronoi.encode(blocks, q), q), blocks)
    values = scales[:, None, None] * np.array(fmt.betas)[index][..., None] * blocks
    np.testing.assert_allclose(
        np.square(lattice.blocks(x) - values).sum(axis=-1), error * scales[:, None] ** 2, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize(("betas", "gain"), [((3, 4, 5, 7), 0.15), ((1,), 0.9)])
def test_best_comes_near_the_best_of_all_codewords(betas, gain):
    """At q = 4 all 65,536 can be tried. In dB, at the scale that `best` finds; 0.05 of them may be missing."""
    fmt = Format(4, betas)
    x = np.random.default_rng(2).normal(size=(1, 8 * 400)).astype(np.float32)
    packed = quantize(x, fmt, selection="best")
    points = voronoi.decode(np.arange(4**8), 4).astype(np.float32)
    least = np.full(400, np.inf)
    for beta in betas:
        t = x.reshape(-1, 8) / (packed.scales[0] * beta)
        error = np.square(t).sum(axis=1) - (2 * t @ points.T - np.square(points).sum(axis=1)).max(axis=1)
        least = np.minimum(least, error * (packed.scales[0] * beta) ** 2)
    found = np.square(x - packed.dequantize()).sum()
    assert 10 * np.log10(found / least.sum()) < 0.05
    assert 10 * np.log10(np.square(x - quantize(x, fmt).dequantize()).sum() / found) > gain

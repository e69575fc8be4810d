"""Why points on the boundary of the Voronoi cell count as overload, in decibels."""

import numpy as np
import pytest

from golden import lattice, voronoi

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

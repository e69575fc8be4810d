import numpy as np
import pytest

from golden.format import Format
from golden.halfstep import HalfStep, label, point, turn, turn_back
from golden.lattice import contains, minimal_vectors, nearest
from golden.quantize import quantize


def points(c, count=20_000):
    return nearest(np.random.default_rng(c).normal(scale=2 * c + 1, size=(count, 8)))


def test_the_turned_lattice_is_a_sublattice_of_index_16():
    p = points(4)
    assert contains(turn(p)).all()
    np.testing.assert_array_equal(turn_back(turn(p)), 2 * p)
    np.testing.assert_array_equal(np.square(turn(p)).sum(axis=1), 2 * np.square(p).sum(axis=1))
    assert len(np.unique(label(p, 1))) == 16  # c = 1: the cosets of R·Λ itself


@pytest.mark.parametrize("c", [1, 2, 4, 8])
def test_labels_name_cosets(c):
    p = points(c)
    y = point(label(p, c), c)
    assert contains(y).all() and np.abs(y).max() <= 2 * c
    np.testing.assert_array_equal(label(y, c), label(p, c))
    moved = p + c * turn(points(3)[: len(p)])
    np.testing.assert_array_equal(label(moved, c), label(p, c))
    energy = np.square(y).sum(axis=1)
    for v in minimal_vectors().astype(np.int64):
        assert (np.square(y + c * turn(v)).sum(axis=1) >= energy).all()


def test_there_are_as_many_labels_as_bits():
    """16·c⁸ cosets: 4,096 for c = 2, 12 bits per block."""
    assert len(np.unique(label(points(2, 200_000), 2))) == 4096
    assert HalfStep(2)(np.ones((1, 1024))).bits_per_entry == 1.75 + 32 / 1024


def test_half_steps_lie_on_the_curve():
    """On Gaussians, SQNR lies halfway between the neighbours' in dB, to 0.2 dB."""
    x = np.random.default_rng(70).normal(size=(32, 2048)).astype(np.float32)

    def sqnr(values):
        return 10 * np.log10(np.square(x).sum() / np.square(x - values).sum())

    for c in (4, 8):
        low, high = (sqnr(quantize(x, Format(q)).dequantize()) for q in (c, 2 * c))
        assert sqnr(HalfStep(c)(x).values) == pytest.approx((low + high) / 2, abs=0.2)

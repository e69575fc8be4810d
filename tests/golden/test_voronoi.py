import numpy as np
import pytest

from golden import lattice, voronoi
from golden.errors import GossetError


def labels(q):
    """All labels of q = 2 and 4; 100,000 random ones, with the corners, of larger q."""
    count = q**8
    if q <= 4:
        return np.arange(count, dtype=voronoi.label_dtype(q))
    sample = np.random.default_rng(q).integers(0, count, 100_000, dtype=np.uint64)
    return np.concatenate([sample, [0, 1, count - 1, count // 2]]).astype(voronoi.label_dtype(q))


def representative(label, q):
    """The integers whose bit planes the label holds, as (m+1)-bit two's complement, written from the documentation."""
    m = q.bit_length() - 1
    label = label.astype(np.uint64)

    def bits(first, count):
        return [((label >> np.uint64(first + i)) & np.uint64(1)).astype(np.int64) for i in range(count)]

    planes = [lattice.codeword(bits(0, 4))]
    planes += [bits(4 + 8 * (k - 1), 8) for k in range(1, m)]
    top = [np.zeros(len(label), dtype=np.int64)] * 8
    for position, bit in zip(lattice.REDUNDANT, bits(8 * m - 4, 4), strict=True):
        top[position] = bit
    r = sum(np.stack(plane, axis=-1) << k for k, plane in enumerate(planes))
    return r - (np.stack(top, axis=-1) << m)


@pytest.mark.parametrize("q", voronoi.RATES)
def test_labels(q):
    label = labels(q)
    y = voronoi.decode(label, q)
    r = representative(label, q)
    assert lattice.contains(y).all()
    np.testing.assert_array_equal(voronoi.encode(y, q), label)
    np.testing.assert_array_equal(voronoi.encode(r, q), label)
    np.testing.assert_array_equal(y, r - q * lattice.nearest(r, unit=q))
    assert y.min() >= -q and y.max() <= q - 1


@pytest.mark.parametrize("q", voronoi.RATES)
def test_least_energy(q):
    """No point of the coset has less energy: those nearer to zero would be nearer by one facet, ±q·(minimal vector)."""
    label = labels(q)[:20_000]
    y = voronoi.decode(label, q).astype(np.int64)
    energy = (y**2).sum(axis=1)
    assert energy.max() <= 2 * q**2
    for v in lattice.minimal_vectors().astype(np.int64):
        assert (((y + q * v) ** 2).sum(axis=1) >= energy).all()


@pytest.mark.parametrize("q", voronoi.RATES)
def test_points_that_do_not_overload_come_back(q):
    rng = np.random.default_rng(q + 1)
    x = rng.normal(size=(20_000, 8))
    # By the packing radius, a point of norm below q lies inside the cell whatever its direction.
    inside = lattice.nearest(x / np.linalg.norm(x, axis=1, keepdims=True) * q * rng.uniform(0, 1, (len(x), 1)))
    inside = inside[(inside**2).sum(axis=1) < q**2]
    assert len(inside) > 1000
    np.testing.assert_array_equal(voronoi.decode(voronoi.encode(inside, q), q), inside)
    assert not voronoi.overloads(inside, q).any()

    points = lattice.nearest(rng.normal(scale=q, size=(20_000, 8)))
    y = voronoi.decode(voronoi.encode(points, q), q)
    overloads = voronoi.overloads(points, q)
    assert overloads.any() and not overloads.all()
    np.testing.assert_array_equal((y == points).all(axis=1), ~overloads)
    assert lattice.contains((points - y) // q).all() and not ((points - y) % q).any()


@pytest.mark.parametrize("q", voronoi.RATES)
def test_reducing_a_point_is_decoding_its_label(q):
    points = lattice.nearest(np.random.default_rng(q).integers(-3 * q, 3 * q, (50_000, 8)))
    reduced = lattice.blocks(voronoi.reduce_lanes(lattice.lanes(points), q))
    np.testing.assert_array_equal(reduced, voronoi.decode(voronoi.encode(points, q), q))


@pytest.mark.parametrize("q", [0, 1, 3, 12, 128, -2, 2.5, "16"])
def test_wrong_q_is_refused(q):
    with pytest.raises(GossetError, match="power of two from 2 to 64"):
        voronoi.decode(np.zeros(1, dtype=np.uint8), q)


def test_wrong_labels_and_points_are_refused():
    with pytest.raises(GossetError, match="has 16 bits"):
        voronoi.decode([1 << 16], 4)
    with pytest.raises(GossetError, match="has 16 bits"):
        voronoi.decode([-1], 4)
    with pytest.raises(GossetError, match="labels holds integers"):
        voronoi.decode([1.0], 4)
    with pytest.raises(GossetError, match="no point of the lattice"):
        voronoi.encode([1, 0, 0, 0, 0, 0, 0, 0], 4)
    with pytest.raises(GossetError, match="integers"):
        voronoi.encode(np.zeros(8), 4)

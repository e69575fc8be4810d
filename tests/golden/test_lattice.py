import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from golden import lattice
from golden.errors import GossetError


def brute_force(x):
    """Squared distance to Λ: the least over the cosets of 2Z⁸, one for each codeword."""
    offset = x[:, None] - lattice.codewords()
    rest = offset - 2 * np.round(offset / 2)
    return (rest**2).sum(axis=-1).min(axis=-1)


def test_codewords_are_the_extended_hamming_code():
    words = lattice.codewords()
    assert sorted(words.sum(axis=1)) == [0] + [4] * 14 + [8]
    assert {tuple(a ^ b) for a, b in itertools.product(words, words)} == {tuple(w) for w in words}


def test_minimal_vectors():
    vectors = lattice.minimal_vectors()
    assert len({tuple(v) for v in vectors}) == 240
    assert (np.square(vectors).sum(axis=1) == 4).all()
    assert lattice.contains(vectors).all()


def test_contains_agrees_with_the_list_of_codewords():
    points = np.array(list(itertools.product(range(2), repeat=8)))
    words = {tuple(w) for w in lattice.codewords()}
    assert [tuple(p) in words for p in points] == list(lattice.contains(points))


@pytest.mark.parametrize("data", ["gaussian", "quarters", "halves"])
def test_nearest_equals_brute_force_and_no_neighbour_is_nearer(data):
    rng = np.random.default_rng(20)
    x = {
        "gaussian": rng.normal(scale=4, size=(20_000, 8)),
        "quarters": rng.integers(-24, 25, (20_000, 8)) / 4,
        "halves": rng.integers(-12, 13, (20_000, 8)) / 2,
    }[data]
    p = lattice.nearest(x)
    assert lattice.contains(p).all()
    distance = ((x - p) ** 2).sum(axis=1)
    np.testing.assert_allclose(distance, brute_force(x), rtol=0, atol=1e-12)
    for v in lattice.minimal_vectors():
        assert (((x - p - v) ** 2).sum(axis=1) >= distance - 1e-12).all()


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.int32, (3, 8), elements=st.integers(-(2**20), 2**20)), st.sampled_from([1, 2, 3, 16, 256]))
def test_integers_with_a_unit_are_the_fractions_they_stand_for(x, unit):
    p = lattice.nearest(x, unit)
    assert p.dtype == np.int64
    exact = brute_force((x % (2 * unit)) / unit)
    np.testing.assert_allclose((((x - unit * p) / unit) ** 2).sum(axis=1), exact, rtol=0, atol=1e-9)
    if unit & (unit - 1) == 0:  # these fractions are exact in floating point, and so are the ties
        np.testing.assert_array_equal(p, lattice.nearest(x / unit))


def test_float32_lanes_settle_ties_like_float64():
    x = np.random.default_rng(21).integers(-40, 41, (50_000, 8)) / 4
    for dtype in (np.float32, np.int64):
        scale = 1 if dtype == np.float32 else 4
        lanes = lattice.lanes((x * scale).astype(dtype))
        np.testing.assert_array_equal(lattice.blocks(lattice.nearest_lanes(lanes, scale)), lattice.nearest(x))


def by_the_rules(x, unit):
    """The documented rules, ties included, word by word and coordinate by coordinate."""
    hard = [(2 * v + unit) // (2 * unit) for v in x]
    rest = [v - unit * k for v, k in zip(x, hard, strict=True)]
    cost = [unit - 2 * abs(r) for r in rest]
    best = None
    for odd_type in (False, True):
        pairs = []
        for i in range(0, 8, 2):
            weaker, other = (i, i + 1) if cost[i] < cost[i + 1] else (i + 1, i)
            if ((hard[i] + hard[i + 1]) % 2 == 1) == odd_type:
                pairs.append(([], [i, i + 1], cost[i] + cost[i + 1]))
            else:
                pairs.append(([weaker], [other], cost[other] - cost[weaker]))
        corrected = [set(settled) for settled, _, _ in pairs]
        ones = sum((hard[2 * j] + (2 * j in corrected[j])) % 2 for j in range(4))
        if ones % 2:
            j = min(range(4), key=lambda j: pairs[j][2])
            corrected[j] = set(pairs[j][1])
        flips = set().union(*corrected)
        total = sum(cost[i] for i in flips)
        if best is None or total < best[0]:
            best = total, [k + (i in flips) * (-1 if rest[i] < 0 else 1) for i, k in enumerate(hard)]
    return best[1]


def test_ties_are_settled_as_documented():
    rng = np.random.default_rng(22)
    for unit in (1, 2, 4):
        x = rng.integers(-3 * unit, 3 * unit + 1, (2000, 8))
        expected = [by_the_rules([int(v) for v in row], unit) for row in x]
        np.testing.assert_array_equal(lattice.nearest(x, unit), expected)
        np.testing.assert_array_equal(lattice.nearest(x / unit), expected)


@pytest.mark.parametrize("x", [np.zeros(7), np.zeros((8, 3)), 1.0])
def test_wrong_shape_is_refused(x):
    with pytest.raises(GossetError, match="must be 8 long"):
        lattice.nearest(x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused(value):
    with pytest.raises(GossetError, match="finite"):
        lattice.nearest([0, 0, 0, value, 0, 0, 0, 0])

import itertools

import numpy as np
import pytest

from golden.rivals.trellis import FORBIDDEN, MASKS, WIDTH, Trellis, _search, hashed, one_mad, viterbi


def test_windows_close_a_ring():
    """Each window is the one before with its bits moved on, and the first follows on the last."""
    x = np.random.default_rng(0).normal(size=(5, 256)).astype(np.float32)
    for bits in (2, 3, 4):
        values = hashed(bits)
        windows = viterbi(x * values.std(), values, bits)
        np.testing.assert_array_equal(windows >> bits, np.roll(windows, 1, axis=1) & (len(values) >> bits) - 1)


@pytest.mark.parametrize("bits", [1, 2])
def test_the_ring_is_the_nearest_one(bits):
    """Of a tiny code all rings can be tried: the one found is the best of those with its joint, and mostly of all."""
    rng = np.random.default_rng(bits)
    length = 12 // bits
    values = rng.normal(size=1 << 3 * bits).astype(np.float32)
    x = rng.normal(size=(40, length)).astype(np.float32)
    rings = np.array(list(itertools.product(range(1 << bits), repeat=length)))
    around = np.concatenate([rings[:, -2:], rings], axis=1)
    windows = sum(around[:, 2 - i : 2 - i + length] << bits * i for i in range(3))
    errors = np.square(x[:, None] - values[windows]).sum(axis=2)
    found = viterbi(x, values, bits)
    error = np.square(x - values[found]).sum(axis=1)
    joint = (1 << 2 * bits) - 1
    same = (windows[:, -1] & joint) == (found[:, -1:] & joint)
    np.testing.assert_allclose(error, np.where(same, errors, np.inf).min(axis=1), rtol=1e-5)
    assert (error < errors.min(axis=1) + 1e-5).mean() > 0.5


def plain(x, values, bits, joint):
    """The windows of least squared error of one sequence, state by state; of equal ones the first."""
    states = np.arange(len(values))
    rest = len(values) >> bits
    cost = np.where((joint < 0) | (states % rest == joint), np.float32(0), FORBIDDEN)
    came = []
    for target in x:
        before = cost.reshape(-1, rest)  # of windows that share all but their first bits
        came.append(before.argmin(axis=0))
        cost = before.min(axis=0)[states >> bits] + np.square(target - values)
    ends = states[(joint < 0) | (states % rest == joint)]
    path = [ends[cost[ends].argmin()]]
    for step in came[:0:-1]:
        path.append(step[path[-1] >> bits] * rest + (path[-1] >> bits))
    return path[::-1]


@pytest.mark.parametrize(("bits", "memory"), [(1, 2), (1, 4), (2, 3), (3, 2), (3, 4), (4, 3)])
def test_the_search_is_viterbis(bits, memory):
    """Of its windows every one, with codes and weights of few values, where many ways cost the same."""
    rng = np.random.default_rng([bits, memory])
    values = rng.integers(-3, 4, size=1 << bits * memory).astype(np.float32)
    x = (rng.integers(-6, 7, size=(12, 16)) / 2).astype(np.float32)
    joint = np.where(np.arange(12) % 3, rng.integers(len(values) >> bits, size=12), -1)
    found = _search(x, values, bits, joint)
    for row, start, windows in zip(x, joint, found, strict=True):
        np.testing.assert_array_equal(windows, plain(row, values, bits, start))


@pytest.mark.parametrize(("bits", "expected"), [(2, 11.6), (3, 17.38), (4, 22.85)])
def test_sqnr_of_gaussian_data(bits, expected):
    """In dB, pinned to the sampling error of 8,192 entries, 0.07 dB, twice."""
    x = np.random.default_rng(1).normal(size=(2, 4096)).astype(np.float32)
    error = np.square(x - Trellis(bits, hashed)(x).values).mean() / np.square(x).mean()
    assert -10 * np.log10(error) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("bits", MASKS)
def test_hashed_windows_are_odd_integers_of_few_bits(bits):
    """The lowest bit is always one: WIDTH bits are stored. All values are as frequent, but for equal quantiles."""
    values = hashed(bits)
    assert (np.mod(values, 2) == 1).all() and np.abs(values).max() < 2 ** WIDTH[bits]
    np.testing.assert_array_equal(np.bincount((values > 0).astype(int)), [2048, 2048])
    assert values.sum() == 0


def test_one_mad_is_nearly_gaussian():
    values = one_mad(2).astype(float)
    unit = (values - values.mean()) / values.std()
    assert len(values) == 65536 and abs((unit**4).mean() - (3 - 0.3)) < 0.02  # the excess of four uniform bytes

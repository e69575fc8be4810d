"""Trellis-coded quantisation of weights: the idea of QTIP (arXiv 2406.11235), tail-biting, with two codes.

A sequence of weights becomes a ring of bits, `bits` per weight; a weight is read back from the window of the last L
bits by a function that needs no table of 2^L entries. Reading is random access and cheap; writing is a Viterbi search
over 2^L states, so that these codes are for weights and not for activations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from golden.arrays import as_matrix
from golden.rivals import Coded, grouped

LENGTH = 256
"""Weights per ring at the most."""

SHORTEST = 128
"""Weights per ring at the least: the ends of a ring cost it less than 0.1 dB."""

FACTORS = np.geomspace(0.85, 1.1, 6)
"""Scales, times the ratio of a row's RMS to the code's, among which the search takes the best."""

SAMPLE = 16
"""Rings on which the scale is searched."""

FORBIDDEN = np.float32(1e30)
"""Cost of a window that a ring may not start with."""

Code = Callable[[int], NDArray[np.float32]]
"""The weights of all windows, `(2^L,)`, at a number of bits per weight."""


@cache
def one_mad(bits: int) -> NDArray[np.float32]:
    """1MAD: one multiplication and addition modulo 2³² of the 16-bit window, then the sum of its four bytes.

    The sum is nearly Gaussian. Multiplier and summand are those of ANSI C's example of `rand`.
    """
    word = np.arange(1 << 16, dtype=np.uint32) * np.uint32(1103515245) + np.uint32(12345)
    return (word.view(np.uint8).reshape(-1, 4).sum(axis=1, dtype=np.float32) - np.float32(510)).astype(np.float32)


WIDTH = {2: 5, 3: 7, 4: 7}
"""Bits of the integers that a hashed window is read back as, by bits per weight."""

MASKS = {
    2: (3367, 566, 1472, 712, 3864, 1161, 3551),
    3: (2156, 2924, 1280, 1145, 984, 3068, 1530),
    4: (1403, 1359, 4052, 764, 895, 3106, 1876),
}
"""Which of a window's 12 bits each bit of the hash is the sum of: the best of some 200 drawn at random, by SQNR."""


@cache
def hashed(bits: int) -> NDArray[np.float32]:
    """What hardware reads cheapest: a hash over GF(2) of the 12-bit window into a table of 64 odd integers, and a sign.

    A bit of the hash is an exclusive or of some of the window's; six of them look up a magnitude, the quantiles of the
    normal distribution's positive half as odd integers of `WIDTH` bits with their sign; the seventh is the sign.
    """
    window = np.arange(1 << 12)
    index = sum((np.bitwise_count(window & mask).astype(int) & 1) << i for i, mask in enumerate(MASKS[bits]))
    quantile, top = norm.ppf(0.5 + (np.arange(64) + 0.5) / 128), 2 ** WIDTH[bits] - 1
    size = np.maximum(2 * np.floor(quantile * top / quantile[-1] / 2) + 1, 1)
    return np.where(index >> 6, -size[index & 63], size[index & 63]).astype(np.float32)


@dataclass(frozen=True)
class Trellis:
    """A trellis code, with a float32 scale per row.

    Parameters
    ----------
    bits : int
        Per weight, 1 to 4.
    code : Code
    """

    bits: int
    code: Code = one_mad

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        values = self.code(self.bits)
        rms = np.sqrt(np.square(x).mean(axis=1, keepdims=True)) / np.sqrt(np.square(values).mean())
        unit = np.divide(x, rms, out=np.zeros_like(x), where=rms > 0)
        length = ring(x.shape[1])
        rings = grouped(unit, length).reshape(-1, length)
        some = rings[:: -(-len(rings) // SAMPLE)]
        factors = FACTORS.astype(np.float32)
        errors = [np.square(some - f * values[viterbi(some / f, values, self.bits)]).sum() for f in factors]
        factor = factors[int(np.argmin(errors))]
        read = values[viterbi(rings / factor, values, self.bits)].reshape(len(x), -1)[:, : x.shape[1]]
        # The row's scale that fits best what was chosen.
        energy = np.square(read).sum(axis=1, keepdims=True)
        scale = np.divide((x * read).sum(axis=1, keepdims=True), energy, out=np.zeros_like(rms), where=energy > 0)
        return Coded(scale * read, (self.bits * rings.size + 32 * len(x)) / x.size)


def ring(columns: int) -> int:
    """Weights per ring, so that rings fill rows without padding if they can."""
    return max((n for n in range(SHORTEST, LENGTH + 1) if columns % n == 0), default=LENGTH)


def viterbi(rings: NDArray[np.float32], values: NDArray[np.float32], bits: int) -> NDArray[np.uint32]:
    """The windows `(n, length)` of the ring of bits that is read back nearest to each ring of weights `(n, length)`.

    The best ring would take a search from every state. As in the paper, a first search, not closed and half a ring
    further, says what the bits at the joint are; a second one starts and ends with them.
    """
    free = _search(np.roll(rings, -(rings.shape[1] // 2), axis=1), values, bits, np.full(len(rings), -1))
    joint = free[:, rings.shape[1] // 2 - 1] & np.uint32((len(values) >> bits) - 1)
    return _search(rings, values, bits, joint.astype(np.int64))


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _search(
    x: NDArray[np.float32], values: NDArray[np.float32], bits: int, joint: NDArray[np.int64]
) -> NDArray[np.uint32]:  # pragma: no cover
    """The windows of least squared error; where `joint` is not negative, its L − bits bits start and end the ring.

    Windows are kept as [last weight's bits, the bits before]; what is kept of a step is what the cheapest of those that
    share all but their first bits costs. Which one that was is not kept, but found again for those on the way back: so
    the search is sums and least values of contiguous numbers, and nothing else.
    """
    count, length = x.shape
    branch, rest = 1 << bits, len(values) >> bits
    part = rest >> bits
    # Costs are compared four at once; where there are but two, each of them twice.
    wide = max(rest // 4, part)
    two, three = (0, 1) if branch == 2 else (2, 3)
    value = np.ascontiguousarray(values.reshape(rest, branch).T)
    quarters = value.reshape(branch, -1, wide)
    result = np.empty((count, length), dtype=np.uint32)
    for n in numba.prange(count):
        least = np.empty(wide, dtype=np.float32)
        before = np.empty((length, rest), dtype=np.float32)
        before[0] = 0
        if joint[n] >= 0:
            before[0] = FORBIDDEN
            before[0, joint[n]] = 0
        for t in range(length - 1):
            now, then, target = before[t], before[t + 1], x[n, t]
            parts = now.reshape(-1, wide)
            now_0, now_1, now_2, now_3 = parts[0], parts[1], parts[two], parts[three]
            for b in range(branch):
                own = quarters[b]
                own_0, own_1, own_2, own_3 = own[0], own[1], own[two], own[three]
                for i in range(wide):
                    error_0, error_1 = target - own_0[i], target - own_1[i]
                    error_2, error_3 = target - own_2[i], target - own_3[i]
                    left = min(now_0[i] + error_0 * error_0, now_1[i] + error_1 * error_1)
                    right = min(now_2[i] + error_2 * error_2, now_3[i] + error_3 * error_3)
                    least[i] = min(left, right)
                width = wide
                while width > part:
                    width //= 2
                    left, right = least[:width], least[width:]
                    for i in range(width):
                        left[i] = min(left[i], right[i])
                for i in range(part):
                    then[i * branch + b] = least[i]
        best, state = np.float32(np.inf), 0
        for a in range(branch if joint[n] >= 0 else branch * rest):
            s = a * rest + joint[n] if joint[n] >= 0 else a
            error = x[n, length - 1] - value[s % branch, s // branch]
            found = before[length - 1, s // branch] + error * error
            if found < best:
                best, state = found, s
        result[n, length - 1] = state
        for t in range(length - 2, -1, -1):
            prefix = state // branch
            low, first = np.float32(np.inf), 0
            for a in range(branch):
                window = a * part + prefix // branch
                error = x[n, t] - value[prefix % branch, window]
                found = before[t, window] + error * error
                if found < low:
                    low, first = found, a
            state = first * rest + prefix
            result[n, t] = state
    return result

"""The lattice Λ = √2·E8 in Construction-A coordinates: { x ∈ Z⁸ : x mod 2 ∈ RM(1,3) }.

RM(1,3) is the extended Hamming [8,4,4] code; its information positions are 0, 1, 2 and 4. The nearest point of Λ is
the hard decision of each coordinate, corrected by soft decoding of that code (Conway and Sloane, "Soft decoding
techniques for codes and lattices, including the Golay code and the Leech lattice", 1986), here by Wagner's rule on
pairs of coordinates. `soft_decode` is the one place where ties are settled; the Voronoi code, the quantiser and the
hardware all follow it:

- a coordinate halfway between two integers rounds up (its remainder is then −1/2, and its other neighbour is below);
- in a pair whose two coordinates are equally reliable, the second one is corrected;
- between equally cheap pairs, the one of lower index is corrected;
- between equally good pair types, the even type (00/11) wins over the odd type (01/10).

Arrays of blocks are `(..., 8)` outside. Inside they are `Lanes`: eight arrays, one per coordinate, so that every
operation runs over contiguous memory.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from golden.arrays import as_integers, real
from golden.errors import GossetError

DIM = 8
"""Coordinates per block."""

INFORMATION = (0, 1, 2, 4)
"""Positions whose bits determine a codeword of RM(1,3)."""

REDUNDANT = (3, 5, 6, 7)
"""Positions whose bits follow from the information bits."""

PARITY = {3: (0, 1, 2), 5: (0, 1, 4), 6: (0, 2, 4), 7: (1, 2, 4)}
"""Parity equations of RM(1,3): redundant position -> the information positions whose bits it is the sum of."""

Lanes = Sequence[NDArray[Any]]
"""Eight arrays of one shape, one per coordinate."""


def lanes(blocks: NDArray[Any]) -> list[NDArray[Any]]:
    """Splits blocks `(..., 8)` into eight contiguous arrays `(...)`."""
    return list(np.ascontiguousarray(np.moveaxis(blocks, -1, 0)))


def blocks(parts: Lanes) -> NDArray[Any]:
    """Joins eight arrays `(...)` into blocks `(..., 8)`."""
    return np.ascontiguousarray(np.moveaxis(np.stack(parts), 0, -1))


def as_blocks(x: ArrayLike) -> NDArray[Any]:
    """Checks that an array holds blocks, and returns it.

    Raises
    ------
    GossetError
        If the last axis is not 8 long.
    """
    array = real(x, "An array of blocks")
    if array.ndim == 0 or array.shape[-1] != DIM:
        raise GossetError(f"The last axis of an array of blocks must be {DIM} long, but the shape is {array.shape}.")
    return array


def codeword(information: Sequence[Any]) -> list[Any]:
    """The codeword of RM(1,3) with the given bits at positions 0, 1, 2 and 4, as eight bits.

    Works on anything with `^`: integers, arrays of bits, or bits of a hardware description.
    """
    h: list[Any] = [None] * DIM
    for position, bit in zip(INFORMATION, information, strict=True):
        h[position] = bit
    for position, (i, j, k) in PARITY.items():
        h[position] = h[i] ^ h[j] ^ h[k]
    return h


def codewords() -> NDArray[np.uint8]:
    """The 16 codewords of RM(1,3), `(16, 8)` uint8; row a has information bits a₀…a₃ = bits 0…3 of a."""
    a = np.arange(16, dtype=np.uint8)
    return np.stack(codeword([(a >> i) & 1 for i in range(4)]), axis=-1)


def minimal_vectors() -> NDArray[np.int8]:
    """The 240 vectors of norm 4, `(240, 8)` int8: ±2eᵢ, and (±1)⁴ on the 14 codewords of weight 4."""
    axis = 2 * np.concatenate([np.eye(DIM, dtype=np.int8), -np.eye(DIM, dtype=np.int8)])
    words = codewords()
    support = np.array([np.flatnonzero(word) for word in words[words.sum(axis=1) == 4]])
    signs = 1 - 2 * ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype(np.int8)
    quads = np.zeros((len(support), len(signs), DIM), dtype=np.int8)
    np.put_along_axis(quads, np.broadcast_to(support[:, None], (len(support), 16, 4)), signs[None], axis=2)
    return np.concatenate([axis, quads.reshape(-1, DIM)])


def contains(point: ArrayLike) -> NDArray[np.bool_]:
    """Whether integer vectors `(..., 8)` are points of Λ; bool, `(...)`."""
    bits = lanes(as_integers(as_blocks(point), "An array of points of the lattice") & 1)
    expected = codeword([bits[i] for i in INFORMATION])
    return np.logical_and.reduce([bits[i] == expected[i] for i in REDUNDANT])


def soft_decode(hard: Lanes, reliability: Lanes) -> list[NDArray[np.bool_]]:
    """Soft decoding of RM(1,3): the codeword that differs from the hard decisions at the least total reliability.

    RM(1,3) is the union of two sets over the pairs (0,1), (2,3), (4,5), (6,7): all pairs of even type (00/11) or all
    of odd type (01/10), and in both an even number of ones among the pairs' first bits. For each type, every pair is
    first settled by itself; if the parity is then odd, the pair that is cheapest to turn over is turned over.

    Parameters
    ----------
    hard : eight bool arrays
        Hard decisions.
    reliability : eight arrays, integer or floating point, not negative
        Cost of overruling each hard decision. Sums of ten of them must fit the dtype.

    Returns
    -------
    eight bool arrays: the codeword's bits.
    """
    base: list[list[NDArray[Any]]] = [[], []]  # first bits of the pairs, as settled by themselves: [type][pair]
    turn: list[list[NDArray[Any]]] = [[], []]  # cost of turning a pair over: [type][pair]
    advantage: Any = 0  # cost of the odd type less cost of the even type
    for j in range(0, DIM, 2):
        a, b = reliability[j], reliability[j + 1]
        odd = hard[j] ^ hard[j + 1]
        weak = a < b  # the first coordinate is the one to correct
        low = np.minimum(a, b)
        both, twice = a + b, low + low
        saved = twice * odd  # by a factor of 0 or 1: exact, and several times as fast as np.where
        turn[0].append(both - saved)
        turn[1].append(both - (twice - saved))
        base[0].append(hard[j] ^ (odd & weak))
        base[1].append(hard[j] ^ (weak & ~odd))
        advantage = advantage + (low - saved)

    least, index, parity = [], [], []
    for t in (0, 1):
        left, right = turn[t][1] < turn[t][0], turn[t][3] < turn[t][2]
        low_left, low_right = np.minimum(turn[t][0], turn[t][1]), np.minimum(turn[t][2], turn[t][3])
        upper = low_right < low_left
        least.append(np.minimum(low_left, low_right))
        index.append([~upper & ~left, ~upper & left, upper & ~right, upper & right])
        parity.append(base[t][0] ^ base[t][1] ^ base[t][2] ^ base[t][3])
    is_odd = advantage + least[1] * parity[1] < least[0] * parity[0]

    word = []
    for j in range(4):
        even = base[0][j] ^ (parity[0] & index[0][j])
        odd = base[1][j] ^ (parity[1] & index[1][j])
        first = even ^ ((even ^ odd) & is_odd)
        word += [first, first ^ is_odd]
    return word


def nearest_lanes(x: Lanes, unit: int = 1, dtype: DTypeLike = np.int64) -> list[NDArray[Any]]:
    """`nearest`, on eight arrays; the result has the integer dtype given, which must hold it."""
    hard, reliability, integer, below = [], [], [], []
    for lane in x:
        if np.issubdtype(lane.dtype, np.integer):
            k = (2 * lane + unit) // (2 * unit)
        else:
            k = np.floor((lane if unit == 1 else lane / unit) + 0.5)
        rest = lane - (k if unit == 1 else unit * k)
        below.append(rest < 0)
        integer.append(k.astype(dtype, copy=False))
        hard.append((integer[-1] & 1).astype(np.bool_))
        size = np.abs(rest)
        reliability.append(unit - (size + size))
    # Bytes: one step up where the codeword overrules the hard decision, two less where the remainder is negative.
    step = [(h ^ g).view(np.int8) for g, h in zip(hard, soft_decode(hard, reliability), strict=True)]
    down = [s & b.view(np.int8) for s, b in zip(step, below, strict=True)]
    return [k + (s - d - d).astype(dtype) for k, s, d in zip(integer, step, down, strict=True)]


def nearest(x: ArrayLike, unit: int = 1) -> NDArray[Any]:
    """The point of Λ nearest to x/unit, ties as stated at the top of this module.

    Parameters
    ----------
    x : `(..., 8)`, integer or floating point
        With an integer dtype all arithmetic is exact, in int64.
    unit : int
        The value that stands for 1: fixed-point numbers have unit = 2^fraction bits.

    Returns
    -------
    int64 `(..., 8)`.

    Raises
    ------
    GossetError
        If x has no last axis of 8, or holds NaN or infinity.

    Source: Conway and Sloane 1986 for the construction; Wagner's rule as in Forney, "Coset codes II", 1988.
    """
    array = as_blocks(x)
    if np.issubdtype(array.dtype, np.integer):
        return blocks(nearest_lanes(lanes(array.astype(np.int64)), unit))
    if not np.isfinite(array).all():
        raise GossetError("The nearest lattice point is defined for finite numbers, but the array holds NaN or Inf.")
    return blocks(nearest_lanes(lanes(array.astype(np.float64)), unit))

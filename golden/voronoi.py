"""The Voronoi code Λ/qΛ, q = 2^m: labels of 8m bits, decoded to the least-energy member of their coset.

A point of Λ is, coordinate by coordinate, an integer r; modulo 2q it has m+1 bits. The label holds the bit planes of
r, bit 0 first, without what the lattice makes redundant:

    bits 0…3                  plane 0 (r mod 2, a codeword of RM(1,3)) at the information positions 0, 1, 2, 4
    bits 4+8(k−1) … +7        plane k of r, coordinate 0 first, for k = 1…m−1
    bits 8m−4 … 8m−1          plane m modulo RM(1,3): positions 3, 5, 6, 7 of the representative that is zero at
                              the information positions

Adding a point q·λ of the coarse lattice adds a codeword to plane m and touches nothing else. Decoding therefore reads
r as an (m+1)-bit two's complement number, soft-decodes the codeword h of λ, and flips the sign bits where h is one:
hard decisions are the exclusive or of the two top bits of r, reliabilities are |(r mod q) − q/2|. That is
y = r − q·nearest(r/q), ties included, and y ∈ [−q, q−1].

Source: Conway and Sloane, "A fast encoding method for lattice codes and quantizers", 1983.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_integers
from golden.errors import GossetError
from golden.given import is_integer, shown
from golden.lattice import DIM, INFORMATION, REDUNDANT, Lanes, as_blocks, blocks, codeword, contains, lanes, soft_decode

RATES = (2, 4, 8, 16, 32, 64)
"""The values of q that the code is defined for."""


def exponent(q: int) -> int:
    """m = log2(q).

    Raises
    ------
    GossetError
        If q is not a power of two from 2 to 64.
    """
    if not is_integer(q) or q not in RATES:
        raise GossetError(f"q must be a power of two from {RATES[0]} to {RATES[-1]}, but it is {shown(q)}.")
    return int(q).bit_length() - 1


def label_dtype(q: int) -> np.dtype[Any]:
    """The smallest unsigned dtype that holds a label of 8·log2(q) bits."""
    m = exponent(q)
    return np.dtype(next(f"u{size}" for size in (1, 2, 4, 8) if size >= m))


def encode_lanes(points: Lanes, q: int) -> NDArray[Any]:
    """`encode` on eight integer arrays that are known to hold points of Λ."""
    m, dtype = exponent(q), label_dtype(q)

    def plane(k: int) -> list[NDArray[np.uint8]]:
        return [((lane >> k) & 1).astype(np.uint8) for lane in points]

    def gather(bits: list[NDArray[np.uint8]]) -> NDArray[Any]:
        byte = bits[0].copy()
        for i, bit in enumerate(bits[1:], 1):
            byte |= bit * np.uint8(1 << i)  # several times as fast as NumPy's left shift
        return byte.astype(dtype)

    low, high = plane(0), plane(m)
    label = gather([low[i] for i in INFORMATION])
    for k in range(1, m):
        label |= gather(plane(k)) * dtype.type(1 << (8 * k - 4))
    coarse = codeword([high[i] for i in INFORMATION])
    label |= gather([high[i] ^ coarse[i] for i in REDUNDANT]) * dtype.type(1 << (8 * m - 4))
    return label


def decode_lanes(label: NDArray[Any], q: int) -> list[NDArray[np.int8]]:
    """`decode` to eight int8 arrays."""
    m = exponent(q)

    def byte(shift: int) -> NDArray[np.uint8]:
        return (label >> label.dtype.type(shift)).astype(np.uint8)

    def bit(plane: NDArray[np.uint8], i: int) -> NDArray[np.uint8]:
        return (plane >> np.uint8(i)) & np.uint8(1)

    first, last = byte(0), byte(8 * m - 4)
    bottom = codeword([bit(first, i) for i in range(4)])
    middle = [byte(8 * k - 4) for k in range(1, m)]
    top: list[Any] = [np.uint8(0)] * DIM
    for k, i in enumerate(REDUNDANT):
        top[i] = bit(last, k)

    residue = []
    for i in range(DIM):
        r = bottom[i].copy()  # the low m bits: r mod q
        for k, plane in enumerate(middle, 1):
            r |= bit(plane, i) * np.uint8(1 << k)
        residue.append(r)
    return _least(residue, top, q)


def reduce_lanes(points: Lanes, q: int) -> list[NDArray[np.int8]]:
    """`decode` of `encode`, on eight integer arrays of points of Λ: each coset's least-energy member, as int8."""
    m = exponent(q)
    low = [lane.astype(np.uint8) for lane in points]
    top = [(r >> np.uint8(m)) & np.uint8(1) for r in low]
    # Plane m is brought to the label's representative first, or ties would not be settled as in `decode`.
    coarse = codeword([top[i] for i in INFORMATION])
    return _least([r & np.uint8(q - 1) for r in low], [t ^ c for t, c in zip(top, coarse, strict=True)], q)


def _least(residue: list[NDArray[np.uint8]], top: list[Any], q: int) -> list[NDArray[np.int8]]:
    """The least-energy member of the coset of residue − q·top, residue being r mod q and top plane m, uint8."""
    m = exponent(q)
    # Sums of reliabilities reach 6·q/2 (see soft_decode): beyond int8 for q = 64.
    metric: Any = np.int8 if q < 64 else np.int16
    hard = [(t ^ (r >> np.uint8(m - 1))).astype(np.bool_) for r, t in zip(residue, top, strict=True)]
    word = soft_decode(hard, [np.abs(r.astype(metric) - metric(q // 2)) for r in residue])
    return [
        r.view(np.int8) - ((t ^ h.view(np.uint8)) * np.uint8(q)).view(np.int8)
        for r, t, h in zip(residue, top, word, strict=True)
    ]


def encode(point: ArrayLike, q: int) -> NDArray[Any]:
    """The label of the coset point + qΛ.

    Parameters
    ----------
    point : integer `(..., 8)`
        Points of Λ.
    q : power of two, 2…64

    Returns
    -------
    unsigned integers `(...)`, of `label_dtype(q)`.

    Raises
    ------
    GossetError
        If q is out of range, or a vector is not a point of Λ.
    """
    array = as_blocks(point)
    as_integers(array, "An array of points of the lattice")
    if not contains(array).all():
        raise GossetError("A vector is no point of the lattice: its bits modulo 2 are no codeword of RM(1,3).")
    return encode_lanes(lanes(array.astype(np.int64)), q)


def decode(label: ArrayLike, q: int) -> NDArray[np.int8]:
    """The least-energy member of each label's coset.

    Parameters
    ----------
    label : unsigned integers `(...)`
        Labels of 8·log2(q) bits.
    q : power of two, 2…64

    Returns
    -------
    int8 `(..., 8)`, each coordinate in [−q, q−1].

    Raises
    ------
    GossetError
        If q is out of range or a label has more than 8·log2(q) bits.
    """
    m, array = exponent(q), as_integers(label, "An array of labels")
    if array.size and (array.min() < 0 or int(array.max()) >> (8 * m)):
        raise GossetError(f"A label of q = {q} has {8 * m} bits, but the array holds values beyond them.")
    return blocks(decode_lanes(array.astype(label_dtype(q)), q))


def overloads(point: ArrayLike, q: int) -> NDArray[np.bool_]:
    """Whether decoding the label of a point of Λ gives another point: bool `(...)` for points `(..., 8)`."""
    array = as_blocks(point)
    return (decode(encode(array, q), q) != array).any(axis=-1)

"""Rates between those of q = 2^m: the Voronoi code Λ/(c·R·Λ), c = 2^m, of m + ½ bits per entry.

R multiplies pairs of coordinates, read as complex numbers, by 1 + i. It doubles norms, so that R·Λ is similar to Λ, and
of index 2⁴ in it: modulo 2, a point of R·Λ is all zeros or all ones. The coset of a point p modulo c·R·Λ is that of
s = Rᵀ·p modulo 2c·Λ, since RᵀR = 2. So the label is that of s for q = 2c, without the 4 bits that are always the same
function of the others, and the decoder is the one for q = 2c with a sum and a difference per pair behind it:

    y = R·decode(label, 2c) / 2

This is a study, not part of the packed format: |y| reaches 2c, so that operands are as wide as those of q = 2c, whose
code takes only half a bit more per entry. The step saves memory, but no multiplier.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix, root_mean_square
from golden.lattice import DIM, nearest
from golden.rivals import Coded, grouped
from golden.rounding import PULLS
from golden.voronoi import decode, encode

CHUNK = 1 << 16
"""Blocks worked on at once."""

LOADS = np.geomspace(0.6, 1.1, 13)
"""Values of √2·c·scale, in units of a row's RMS, that are tried for the whole matrix."""


def turn(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """R·x of integer blocks `(..., 8)`: pairs times 1 + i."""
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] - x[..., 1::2]
    y[..., 1::2] = x[..., 0::2] + x[..., 1::2]
    return y


def turn_back(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rᵀ·x: pairs times 1 − i."""
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] + x[..., 1::2]
    y[..., 1::2] = x[..., 1::2] - x[..., 0::2]
    return y


def label(points: NDArray[np.int64], c: int) -> NDArray[np.unsignedinteger]:
    """Labels of points of Λ `(..., 8)`: one for each of the 16·c⁸ cosets of c·R·Λ, as labels of q = 2c."""
    return encode(turn_back(points), 2 * c)


def point(labels: NDArray[np.unsignedinteger], c: int) -> NDArray[np.int64]:
    """The least-energy member of each label's coset, `(..., 8)`."""
    return turn(decode(labels, 2 * c).astype(np.int64)) // 2


@dataclass(frozen=True)
class HalfStep:
    """The code at m + ½ bits with integer multipliers, a codec to be set beside the packed format's.

    Parameters
    ----------
    c : int
        1, 2, 4, … 32: 8·log2(c) + 4 bits per label.
    betas : tuple of int
    """

    c: int
    betas: tuple[int, ...] = (3, 4, 5, 7)

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back; one scale per RMS for all rows, searched on at most 4096 blocks."""
        x = as_matrix(matrix)
        rms = root_mean_square(x)
        unit = np.divide(x, rms, out=np.zeros_like(x), where=rms > 0)
        all_blocks = grouped(unit, DIM).reshape(-1, DIM).astype(np.float64)
        some = all_blocks[:: -(-len(all_blocks) // 4096)]
        scales = LOADS / (self.c * np.sqrt(2))
        scale = scales[np.argmin([np.square(some - self._round(some, s)).sum() for s in scales])]
        parts = [self._round(all_blocks[i : i + CHUNK], scale) for i in range(0, len(all_blocks), CHUNK)]
        values = np.concatenate(parts).reshape(len(x), -1)[:, : x.shape[1]] * rms
        bits = len(all_blocks) * (8 * np.log2(self.c) + 4 + (len(self.betas) - 1).bit_length()) + 32 * len(x)
        return Coded(values.astype(np.float32), float(bits) / x.size)

    def _round(self, x: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
        best, least = np.zeros_like(x), np.full(len(x), np.inf)
        for beta in self.betas:
            t = x / (scale * beta)
            length = np.maximum(np.linalg.norm(t, axis=1, keepdims=True), 1e-30)
            for pull in (0.0, *PULLS):
                y = point(label(nearest(t * np.maximum(1 - pull / length, 0)), self.c), self.c)
                error = np.square(scale * beta * y - x).sum(axis=1)
                best = np.where((error < least)[:, None], scale * beta * y, best)
                least = np.minimum(error, least)
        return best

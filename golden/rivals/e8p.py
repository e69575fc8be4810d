"""QuIP#'s E8P: 2 bits per entry, 16-bit words over a table of 256 magnitude patterns (arXiv 2402.04396)."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix, root_mean_square
from golden.rivals import Coded, grouped

SCALES = np.geomspace(0.7, 1.4, 15)
"""Units of the codebook per RMS of a row that are tried; the authors' default is 1.03."""

CHUNK = 1 << 14
"""Blocks worked on at once."""


@cache
def patterns() -> NDArray[np.float32]:
    """The 256 magnitude patterns, `(256, 8)`, half-odd coordinates.

    227 of norm² at most 10, and 29 of the 56 with five 3/2 and three 1/2, of norm² 12. The authors list theirs; on data
    without preferred coordinates any 29 serve equally, and these are the first in lexicographic order.
    """
    grid = np.indices((3,) * 8).reshape(8, -1).T + 0.5
    norm = np.square(grid).sum(axis=1)
    small = grid[norm <= 10]
    outer = grid[(norm == 12) & (grid.max(axis=1) == 1.5)]
    return np.concatenate([small, outer[:29]]).astype(np.float32)


def nearest(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest codeword to blocks `(n, 8)`: a signed pattern, shifted by ±¼.

    A word is 8 bits of pattern, 7 signs and the shift; the eighth sign makes the coordinates' sum even.
    """
    table = patterns()
    odd = np.mod(table.sum(axis=1), 2) == 1
    best, least = np.zeros_like(x), np.full(len(x), np.inf, dtype=np.float32)
    for shift in (np.float32(0.25), np.float32(-0.25)):
        y = x - shift
        size, sign = np.abs(y), np.where(y < 0, np.float32(-1), np.float32(1))
        # Signs as the data's, unless the parity is wrong: then one coordinate has the other sign, at the least cost.
        wrong = (np.mod((y < 0).sum(axis=1), 2)[:, None] == 1) != odd
        cost = np.full((len(x), len(table)), np.inf, dtype=np.float32)
        for i in range(8):
            np.minimum(cost, np.multiply.outer(size[:, i], table[:, i]), out=cost)
        score = size @ table.T - np.square(table).sum(axis=1) / 2 - 2 * cost * wrong
        choice = score.argmax(axis=1)
        point = table[choice]
        rows = np.arange(len(x))
        flip = (size * point).argmin(axis=1)
        signed = sign * point
        signed[rows, flip] *= np.where(wrong[rows, choice], -1, 1)
        error = np.square(y - signed).sum(axis=1)
        best = np.where((error < least)[:, None], signed + shift, best)
        least = np.minimum(error, least)
    return best


@dataclass(frozen=True)
class E8P:
    """E8P with one float32 scale per row, searched for the least squared error of the whole matrix.

    Parameters
    ----------
    samples : int
        Blocks on which the scale is searched.
    """

    samples: int = 4096

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        rms = root_mean_square(x)
        unit = np.divide(x, rms, out=np.zeros_like(x), where=rms > 0)
        blocks = grouped(unit, 8).reshape(-1, 8)
        some = blocks[:: -(-len(blocks) // self.samples)]
        errors = [np.square(some - nearest(some * np.float32(s)) / np.float32(s)).sum() for s in SCALES]
        scale = np.float32(SCALES[int(np.argmin(errors))])
        parts = [nearest(blocks[start : start + CHUNK] * scale) for start in range(0, len(blocks), CHUNK)]
        values = np.concatenate(parts).reshape(len(x), -1)[:, : x.shape[1]] / scale * rms
        return Coded(values.astype(np.float32), (16 * len(blocks) + 32 * len(x)) / x.size)

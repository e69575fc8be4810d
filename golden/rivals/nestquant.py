"""NestQuant as its authors do it: E8 in the D8 form, any q, four real multipliers (arXiv 2502.09720 and its code).

In float32, and with their rules for ties: of points on the boundary of the coarse cell, ties decide what comes back,
and so how well a block fits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix
from golden.rivals import Coded, grouped

BETA0_WEIGHTS = (4.0, 5.5, 7.0, 18.0)
"""The authors' multipliers for weights, times q."""

BETA0_ACTIVATIONS = (3.47, 4.74, 6.90, 18.11)
"""The authors' multipliers for activations, times q."""

# Columns: (2, 0, …), then −1/+1 neighbours, then all ½; a row of coordinates times its transpose is a point.
_GENERATOR = np.zeros((8, 8), dtype=np.float32)
_GENERATOR[0, 0] = 2
for _i in range(1, 7):
    _GENERATOR[_i - 1, _i], _GENERATOR[_i, _i] = -1, 1
_GENERATOR[:, 7] = 0.5
INVERSE = np.linalg.inv(_GENERATOR)
"""Takes points to the coordinates of which labels are the remainders."""

CHUNK = 1 << 16
"""Blocks worked on at once."""


@dataclass(frozen=True)
class NestQuant:
    """NestQuant: rows scaled to unit RMS, blocks of 8, "opt" selection, no dither.

    Parameters
    ----------
    q : int
        Nesting ratio; 14 in the paper.
    betas : tuple of float
        The authors' β0; the step of the lattice is β0/q.
    """

    q: int = 14
    betas: tuple[float, ...] = BETA0_ACTIVATIONS

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        rms = np.sqrt(np.square(x, dtype=np.float64).mean(axis=1, keepdims=True))
        unit = np.divide(x, rms, out=np.zeros(x.shape), where=rms > 0).astype(np.float32)
        values, _ = self.blocks(grouped(unit, 8).reshape(-1, 8))
        values = values.reshape(len(x), -1)[:, : x.shape[1]] * rms
        count = len(x) * -(-x.shape[1] // 8)
        bits = count * (8 * np.log2(self.q) + np.log2(len(self.betas))) + 32 * len(x)
        return Coded(values.astype(np.float32), bits / x.size)

    def blocks(self, x: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Blocks `(n, 8)` of unit variance, as read back, and which multiplier each one took: the first of the best."""
        parts = [self._some(x[start : start + CHUNK].astype(np.float32)) for start in range(0, len(x), CHUNK)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _some(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        values, errors = [], []
        for beta in self.betas:
            step = np.float32(beta / self.q)
            code = np.mod(np.rint(nearest(x / step) @ INVERSE.T), self.q).astype(np.float32)
            point = code @ _GENERATOR.T
            values.append(step * (point - self.q * nearest(point / np.float32(self.q))))
            errors.append(_square(values[-1] - x))
        index = np.argmin(errors, axis=0)
        return np.stack(values)[index, np.arange(len(x))], index


def nearest(x: NDArray[Any]) -> NDArray[Any]:
    """The nearest point of E8 = D8 ∪ (D8 + ½) to blocks `(n, 8)` (Conway and Sloane 1982), in the dtype of x.

    Ties as the authors settle them: halves are rounded down in D8, integers up in D8 + ½; the coordinate that is
    rounded the other way, where the sum is odd, is the first of the cheapest; of equal distances D8 + ½ wins.
    """
    half = x.dtype.type(0.5)
    below, rows = np.floor(x), np.arange(len(x))
    whole, middle = below + (x > below + half), below + half
    upper = x > middle
    cost = np.abs(middle - x)
    # D8: the coordinate nearest to a half goes to its other neighbour; D8 + ½: the one nearest to an integer.
    odd, i = np.mod(whole.sum(axis=1), 2), cost.argmin(axis=1)
    whole[rows, i] += odd * np.where(upper[rows, i], -1, 1)
    odd, i = np.mod(middle.sum(axis=1), 2), cost.argmax(axis=1)
    middle[rows, i] += odd * np.where(upper[rows, i], 1, -1)
    return np.where((_square(whole - x) < _square(middle - x))[:, None], whole, middle)


def _square(x: NDArray[Any]) -> NDArray[Any]:
    """‖x‖² of blocks, added up from the first coordinate to the last: the order settles ties of rounded distances."""
    total = np.zeros(len(x), dtype=x.dtype)
    for lane in x.T:
        total += lane * lane
    return total

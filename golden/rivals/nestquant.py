"""NestQuant as its authors do it: E8 in the D8 form, any q, four real multipliers (arXiv 2502.09720 and its code)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.quantize import as_matrix
from golden.rivals import Coded, grouped

BETA0_WEIGHTS = (4.0, 5.5, 7.0, 18.0)
"""The authors' multipliers for weights, times q."""

BETA0_ACTIVATIONS = (3.47, 4.74, 6.90, 18.11)
"""The authors' multipliers for activations, times q."""

# Columns: (2, 0, …), then −1/+1 neighbours, then all ½; a row of coordinates times its transpose is a point.
_GENERATOR = np.zeros((8, 8))
_GENERATOR[0, 0] = 2
for _i in range(1, 7):
    _GENERATOR[_i - 1, _i], _GENERATOR[_i, _i] = -1, 1
_GENERATOR[:, 7] = 0.5
_INVERSE = np.linalg.inv(_GENERATOR)

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

    def blocks(self, x: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Blocks `(n, 8)` of unit variance, as read back, and which multiplier each one took."""
        parts = [self._some(x[start : start + CHUNK].astype(np.float64)) for start in range(0, len(x), CHUNK)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _some(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        values, errors = [], []
        for beta in self.betas:
            step = beta / self.q
            code = np.mod(np.rint(nearest(x / step) @ _INVERSE.T), self.q)
            point = code @ _GENERATOR.T
            values.append(step * (point - self.q * nearest(point / self.q)))
            errors.append(np.square(values[-1] - x).sum(axis=1))
        index = np.argmin(errors, axis=0)
        return np.stack(values)[index, np.arange(len(x))], index


def nearest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest point of E8 = D8 ∪ (D8 + ½) to blocks `(..., 8)` (Conway and Sloane 1982)."""
    whole, half = _nearest_d8(x), _nearest_d8(x - 0.5) + 0.5
    nearer = np.square(x - half).sum(axis=-1) < np.square(x - whole).sum(axis=-1)
    return np.where(nearer[..., None], half, whole)


def _nearest_d8(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest integer vector of even sum: rounded, and where the sum is odd, the worst coordinate the other way."""
    point = np.rint(x)
    rest = x - point
    worst = np.abs(rest).argmax(axis=-1)[..., None]
    step = np.where(np.take_along_axis(rest, worst, axis=-1) < 0, -1.0, 1.0)
    odd = np.mod(point.sum(axis=-1, keepdims=True), 2)
    np.put_along_axis(point, worst, np.take_along_axis(point, worst, axis=-1) + odd * step, axis=-1)
    return point

"""Hierarchical nested lattices with table look-up: D4, two layers of q = 4 (arXiv 2505.13164).

A codeword is two labels of 8 bits per block of 4, x̂ = y₀ + q·y₁ with y of the Voronoi code D4/4·D4; its inner product
with another takes four look-ups in a table of the 256 × 256 inner products of single labels: 64 Ki entries.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix, root_mean_square
from golden.rivals import Coded, grouped

Q = 4
LAYERS = 2

# Rows generate D4, the integer vectors of even sum.
_GENERATOR = np.array([[1, 1, 0, 0], [1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]], dtype=np.float64)
_INVERSE = np.linalg.inv(_GENERATOR)


def nearest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest point of D4 to blocks `(..., 4)`: rounded, and where the sum is odd, the worst coordinate changed."""
    point = np.floor(x + 0.5)
    rest = x - point
    worst = np.abs(rest).argmax(axis=-1)[..., None]
    step = np.where(np.take_along_axis(rest, worst, axis=-1) < 0, -1.0, 1.0)
    odd = np.mod(point.sum(axis=-1, keepdims=True), 2)
    np.put_along_axis(point, worst, np.take_along_axis(point, worst, axis=-1) + odd * step, axis=-1)
    return point


@cache
def codebook() -> NDArray[np.float64]:
    """The 256 points of D4/4·D4 by label, `(256, 4)`; digit i of the label in base 4 counts generator i."""
    digits = (np.arange(Q**4)[:, None] >> (2 * np.arange(4))) & 3
    point = digits @ _GENERATOR
    return point - Q * nearest(point / Q)


@cache
def table() -> NDArray[np.int16]:
    """Inner products of all pairs of codewords of one layer, `(256, 256)`."""
    return np.rint(codebook() @ codebook().T).astype(np.int16)


def labels(x: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The labels `(n, 2)` of blocks `(n, 4)`, least significant layer first, and which blocks overload."""
    layers, point = [], nearest(x)
    for _ in range(LAYERS):
        digits = np.mod(np.rint(point @ _INVERSE), Q).astype(np.uint8)
        layers.append((digits << (2 * np.arange(4, dtype=np.uint8))).sum(axis=-1, dtype=np.uint8))
        point = nearest((point - codebook()[layers[-1]]) / Q)
    return np.stack(layers, axis=-1), np.asarray(point.any(axis=-1))


def decode(label: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Blocks `(n, 4)` of labels `(n, 2)`."""
    return codebook()[label[:, 0]] + Q * codebook()[label[:, 1]]


@dataclass(frozen=True)
class HierarchicalD4:
    """Two-layer D4 with 2 bits per block that pick one of four scales, 4.5 bits in all; rows scaled to unit RMS.

    Parameters
    ----------
    step : float
        The finest lattice step, in units of a row's RMS; searched on Gaussian data.
    ratio : float
        Between a scale and the next.
    """

    step: float = 0.16
    ratio: float = 1.5

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        rms = root_mean_square(x)
        unit = np.divide(x, rms, out=np.zeros(x.shape), where=rms > 0).astype(np.float32)
        blocks = grouped(unit, 4).reshape(-1, 4).astype(np.float64)
        best, least = np.zeros_like(blocks), np.full(len(blocks), np.inf)
        for step in self.step * self.ratio ** np.arange(4):
            values = step * decode(labels(blocks / step)[0])
            error = np.square(values - blocks).sum(axis=1)
            best = np.where((error < least)[:, None], values, best)
            least = np.minimum(error, least)
        values = best.reshape(len(x), -1)[:, : x.shape[1]] * rms
        return Coded(values.astype(np.float32), (18 * len(blocks) + 32 * len(x)) / x.size)

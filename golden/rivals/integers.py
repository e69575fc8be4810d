"""Integers with scales: intN in groups, vector-wise int8 with outliers, bipolar integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.quantize import as_matrix
from golden.rivals import Coded, grouped

CLIPS = np.linspace(0.5, 1, 26)
"""Fractions of the largest magnitude tried as the clipping point."""


@dataclass(frozen=True)
class IntGroups:
    """Symmetric integers −(2^(bits−1)−1)…2^(bits−1)−1 with one float16 scale per group along the row.

    Parameters
    ----------
    bits : int
    group : int
    search : bool
        Whether the clipping point is searched for the least squared error, instead of the largest magnitude.
    """

    bits: int
    group: int = 64
    search: bool = False

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        groups = grouped(x, self.group)
        top = 2 ** (self.bits - 1) - 1
        largest = np.abs(groups).max(axis=-1, keepdims=True)
        best, least = np.zeros_like(groups), np.full(largest.shape, np.inf, dtype=np.float32)
        for clip in CLIPS if self.search else (1.0,):
            scale = _float16(largest * np.float32(clip / top))
            values = scale * np.clip(np.rint(_divide(groups, scale)), -top, top)
            error = np.square(groups - values).sum(axis=-1, keepdims=True)
            best, least = np.where(error < least, values, best), np.minimum(error, least)
        return _coded(x, best, self.bits * groups.size + 16 * largest.size)


@dataclass(frozen=True)
class BipolarInt:
    """Bipolar integers: `bits` planes of ±1, value Σ ±2^i, so odd and symmetric without a zero; float16 group scales.

    The number format of bit-plane kernels (arXiv 2409.17870), whose products are sums of ±1 products of planes.

    Parameters
    ----------
    bits : int
    group : int
    """

    bits: int
    group: int = 64

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        groups = grouped(x, self.group)
        top = 2**self.bits - 1
        scale = _float16(np.abs(groups).max(axis=-1, keepdims=True) / np.float32(top))
        # The odd integer nearest to x/scale; code c stands for 2c − top, and bit i of c is the sign of plane i.
        code = np.clip(np.floor((_divide(groups, scale) + top + 1) / 2), 0, top)
        return _coded(x, scale * (2 * code - top), self.bits * groups.size + 16 * scale.size)


@dataclass(frozen=True)
class Int8Outliers:
    """LLM.int8(): vector-wise int8, the columns that hold an outlier kept in float16 (arXiv 2208.07339).

    Parameters
    ----------
    threshold : float
        A column with a magnitude of at least `threshold` times the matrix's RMS is an outlier. (The paper's is 6.0,
        absolute, on activations whose RMS is near 1.)
    bits : int
        Of the other columns; 8 in the paper.
    """

    threshold: float = 6.0
    bits: int = 8

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        rms = np.sqrt(np.square(x, dtype=np.float64).mean())
        outlier = (np.abs(x) >= self.threshold * rms).any(axis=0) & (rms > 0)
        rest = np.where(outlier, 0, x).astype(np.float32)
        top = 2 ** (self.bits - 1) - 1
        scale = np.abs(rest).max(axis=1, keepdims=True) / np.float32(top)
        values = scale * np.clip(np.rint(_divide(rest, scale)), -top, top)
        values[:, outlier] = _float16(x[:, outlier])
        kept, rows = int(outlier.sum()), len(x)
        # Columns in float16 with an index of 32 bits each, and a float32 scale per row.
        bits = self.bits * rows * (x.shape[1] - kept) + kept * (16 * rows + 32) + 32 * rows
        return Coded(values.astype(np.float32), bits / x.size)


def _float16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded to float16 and within its range."""
    return np.clip(x, -65504, 65504).astype(np.float16).astype(np.float32)


def _divide(x: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """x/scale; 0 where the scale is 0."""
    return np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)


def _coded(x: NDArray[np.float32], groups: NDArray[np.float32], bits: int) -> Coded:
    """The matrix back from its groups, and its bits per entry."""
    return Coded(groups.reshape(len(x), -1)[:, : x.shape[1]].astype(np.float32), bits / x.size)

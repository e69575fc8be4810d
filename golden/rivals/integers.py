"""Integers with scales: intN in groups, vector-wise int8 with outliers, bipolar integers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix
from golden.rivals import Coded, by_parts, closest, divide, grouped
from golden.rivals.steps import integers, nearest

Read = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""What groups `(n, size)` are read back as with the best of their scales `(n, tried)`."""

CLIPS = np.linspace(1, 0.3, 36)
"""Fractions of a group's largest magnitude that are tried as its clipping point."""


@dataclass(frozen=True)
class IntGroups:
    """Symmetric integers −(2^(bits−1)−1)…2^(bits−1)−1 with one float16 scale per group along the row.

    Parameters
    ----------
    bits : int
    group : int
    search : bool
        Whether each group's clipping point is searched for the least squared error, instead of the largest magnitude.
    """

    bits: int
    group: int = 64
    search: bool = True

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        steps = integers(self.bits)

        def read(groups: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
            return nearest(groups, scales, steps)

        return _scaled(as_matrix(matrix), self, int(steps.top), read)


@dataclass(frozen=True)
class BipolarInt:
    """Bipolar integers: `bits` planes of ±1, value Σ ±2^i, so odd and symmetric without a zero; float16 group scales.

    The number format of bit-plane kernels (arXiv 2409.17870), whose products are sums of ±1 products of planes.

    Parameters
    ----------
    bits : int
    group : int
    search : bool
        As in `IntGroups`.
    """

    bits: int
    group: int = 64
    search: bool = True

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        top = 2**self.bits - 1

        def odd(groups: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
            # The odd integer nearest to x/scale; code c stands for 2c − top, and bit i of c is the sign of plane i.
            code = np.clip(np.floor((divide(groups, scale) + top + 1) / 2), 0, top)
            return scale * (2 * code - top)

        def read(groups: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
            return closest(groups, (odd(groups, scale) for scale in np.split(scales, scales.shape[1], axis=1)))

        return _scaled(as_matrix(matrix), self, top, read)


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
        values = scale * np.clip(np.rint(divide(rest, scale)), -top, top)
        values[:, outlier] = _float16(x[:, outlier])
        kept, rows = int(outlier.sum()), len(x)
        # Columns in float16 with an index of 32 bits each, and a float32 scale per row.
        bits = self.bits * rows * (x.shape[1] - kept) + kept * (16 * rows + 32) + 32 * rows
        return Coded(values.astype(np.float32), bits / x.size)


def _float16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded to float16 and within its range."""
    return np.clip(x, -65504, 65504).astype(np.float16).astype(np.float32)


def _scaled(x: NDArray[np.float32], codec: IntGroups | BipolarInt, top: int, read: Read) -> Coded:
    """Reads groups with the scale that takes the clipping point to `top`."""
    groups = grouped(x, codec.group).reshape(-1, codec.group)
    clips = (CLIPS if codec.search else CLIPS[:1]) / top

    def code(part: NDArray[np.float32]) -> NDArray[np.float32]:
        return read(part, _float16(np.abs(part).max(axis=1, keepdims=True) * clips.astype(np.float32)))

    values = by_parts(groups, code)
    bits = codec.bits * groups.size + 16 * len(groups)
    return Coded(np.ascontiguousarray(values.reshape(len(x), -1)[:, : x.shape[1]]), bits / x.size)

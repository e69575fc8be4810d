"""What users have today, behind one protocol: a codec takes a matrix and gives what it would be read back as.

Bits are counted honestly: everything stored — codes, scales, indices, padding, outliers — over the matrix's entries.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.format import Format
from golden.quantize import quantize
from golden.rounding import Selection


@dataclass(frozen=True, eq=False)
class Coded:
    """A matrix after it went through a codec.

    Parameters
    ----------
    values : float32 `(rows, columns)`
        As read back.
    bits_per_entry : float
        All that is stored, over rows·columns.
    """

    values: NDArray[np.float32]
    bits_per_entry: float


Codec = Callable[[ArrayLike], Coded]
"""Quantises a real `(rows, columns)` matrix and reads it back; raises GossetError for a bad one."""


@dataclass(frozen=True)
class Lattice:
    """The packed format of this project, as a codec.

    Parameters
    ----------
    format : Format
    selection : "opt", "first" or "best"
    """

    format: Format
    selection: Selection = "opt"

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        packed = quantize(matrix, self.format, selection=self.selection)
        return Coded(packed.dequantize(), packed.bits_per_entry)


def grouped(x: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Rows `(rows, columns)`, padded with zeros, as groups `(rows, ceil(columns / size), size)`."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % size)))
    return padded.reshape(len(x), -1, size)


CHUNK = 1 << 16
"""Entries worked on at once."""


def closest(groups: NDArray[np.float32], readings: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Of several readings of groups `(..., size)`, each group's of least squared error; the first of equal ones."""
    best, least = np.zeros_like(groups), np.full((*groups.shape[:-1], 1), np.inf, dtype=np.float32)
    for values in readings:
        rest = groups - values
        error = np.einsum("...i,...i->...", rest, rest)[..., None]
        np.copyto(best, values, where=error < least)
        np.minimum(error, least, out=least)
    return best


def by_parts(
    groups: NDArray[np.float32], code: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """What `code` reads back of groups `(n, size)`, given some at a time, which a core's cache holds."""
    step = max(1, CHUNK // groups.shape[1])
    return np.concatenate([code(groups[start : start + step]) for start in range(0, len(groups), step)])


def divide(x: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """x/scale; 0 where the scale is 0."""
    return np.divide(x, scale, out=np.zeros(np.broadcast_shapes(x.shape, scale.shape), np.float32), where=scale != 0)

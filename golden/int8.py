"""The second operand type: int8 with one scale per row, for activations beside packed weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import FLOAT32_MAX, as_matrix, check_scales, row_scales
from golden.errors import GossetError

LIMIT = 127
"""The largest magnitude: the range is symmetric, −127…127."""


@dataclass(frozen=True, eq=False)
class Int8Matrix:
    """An int8 matrix with one scale per row.

    Parameters
    ----------
    values : int8 `(rows, columns)`
        From −127 to 127.
    scales : float32 `(rows,)`
        Finite, not negative.

    Raises
    ------
    GossetError
        If the parts do not fit each other.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.int8 or self.values.size == 0:
            raise GossetError(
                "An int8 matrix has int8 values, at least one row and at least one column, but they are"
                f" {self.values.dtype} of shape {self.values.shape}."
            )
        if self.values.min() < -LIMIT:
            raise GossetError(f"An int8 matrix holds values from −{LIMIT} to {LIMIT}, but one is −128.")
        if self.scales.shape != self.values.shape[:1] or self.scales.dtype != np.float32:
            raise GossetError(
                f"An int8 matrix of {len(self.values)} rows has as many float32 scales, but they are"
                f" {self.scales.dtype} of shape {self.scales.shape}."
            )
        check_scales(self.scales)
        largest = np.abs(self.values).max(axis=1) * self.scales.astype(np.float64)
        if (beyond := np.flatnonzero(largest > FLOAT32_MAX)).size:
            raise GossetError(f"An entry of row {beyond[0]} is beyond float32: its scale is {self.scales[beyond[0]]}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.values), self.values.shape[1]

    @property
    def columns(self) -> int:
        """Entries per row."""
        return self.values.shape[1]

    @property
    def bits_per_entry(self) -> float:
        """Everything stored, over rows·columns."""
        return 8 * (self.values.nbytes + self.scales.nbytes) / self.values.size

    def dequantize(self) -> NDArray[np.float32]:
        """scale·value: float32 `(rows, columns)`."""
        return self.values * self.scales[:, None]


def quantize_int8(matrix: ArrayLike) -> Int8Matrix:
    """Quantises a matrix row by row to int8; the largest magnitude of a row becomes ±127.

    In rows of magnitude below 1e-36 it may be less, for their scales have few bits.

    Parameters
    ----------
    matrix : real `(rows, columns)`

    Raises
    ------
    GossetError
        If the matrix is not a finite real matrix.
    """
    x = as_matrix(matrix)
    largest = np.abs(x).max(axis=1).astype(np.float64)
    scales = row_scales(largest / LIMIT)
    beyond = scales.astype(np.float64) * LIMIT > FLOAT32_MAX
    scales[beyond] = np.nextafter(scales[beyond], np.float32(0))
    divisor = np.where(scales > 0, scales, np.inf).astype(np.float64)
    # The scale was rounded to float32, so the largest quotient may be a little beyond ±127.
    values = np.clip(np.rint(x / divisor[:, None]), -LIMIT, LIMIT)
    return Int8Matrix(values.astype(np.int8), scales)

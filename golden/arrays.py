"""Arrays that users give, turned into what the code works on, or refused in one sentence.

Real numbers come in NumPy's types of any byte and memory order, in bfloat16, float8 and the other small types of
ml_dtypes, which checkpoints hold, or as nested lists.
"""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.errors import GossetError

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""The largest float32, 3.4028235e38."""


def _small_types() -> frozenset[Any]:
    """The types of ml_dtypes for real numbers."""
    types = set()
    for name, kind in vars(ml_dtypes).items():
        if isinstance(kind, type) and issubclass(kind, np.generic) and "complex" not in name:
            types.add(kind)
    return frozenset(types)


_SMALL = _small_types()


def real(values: ArrayLike, what: str = "A matrix") -> NDArray[Any]:
    """An array of real numbers, as it is given where it is an array.

    Raises
    ------
    GossetError
        If it is none: ragged, of text, truth values, complex numbers, dates or objects, or with masked entries.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise GossetError(f"{what} holds real numbers, but some of its entries are masked: fill them first.")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise GossetError(f"{what} holds real numbers in rows of one length, but {error}.") from error
    if array.dtype.kind not in "iuf" and array.dtype.type not in _SMALL:
        lost = array.dtype.kind == "V" and array.dtype.names is None and array.dtype.itemsize <= 2
        hint = " (a .npy file does not keep the name of bfloat16 or float8: save it as float32)" if lost else ""
        raise GossetError(f"{what} holds real numbers, but the array's dtype is {array.dtype}{hint}.")
    return array


def as_integers(values: ArrayLike, what: str) -> NDArray[Any]:
    """An array of integers, in its own dtype.

    Raises
    ------
    GossetError
        If it is none.
    """
    array = real(values, what)
    if array.dtype.kind not in "iu":
        raise GossetError(f"{what} holds integers, but the array's dtype is {array.dtype}.")
    return array


def as_matrix(matrix: ArrayLike) -> NDArray[np.float32]:
    """Checks a matrix of real numbers and gives it as float32 `(rows, columns)`, without a copy where it is one.

    Raises
    ------
    GossetError
        If it is not two-dimensional, is empty, is not of real numbers, holds NaN, infinity or a number beyond float32,
        or has a row of which float32 keeps nothing but zeros.
    """
    array = real(matrix)
    if array.ndim != 2:
        raise GossetError(f"A matrix has two dimensions, but the array's shape is {array.shape}.")
    if array.size == 0:
        raise GossetError(f"A matrix has at least one row and one column, but the array's shape is {array.shape}.")
    with np.errstate(over="ignore", under="ignore"):
        result = array.astype(np.float32, copy=False)
    if not np.isfinite(result).all():
        row, column = np.argwhere(~np.isfinite(result))[0]
        raise GossetError(
            f"A matrix holds finite float32 numbers, up to {FLOAT32_MAX:.8g}, but row {row}, column {column} is "
            f"{array[row, column]}."
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > result.itemsize:
        empty = np.flatnonzero(~result.any(axis=1))
        if (vanished := empty[array[empty].any(axis=1)]).size:
            raise GossetError(
                f"Row {vanished[0]} holds numbers below 7e-46 only, which are zero in float32: scale the matrix up."
            )
    return np.asarray(result)


def as_scales(scales: ArrayLike, rows: int) -> NDArray[np.float32]:
    """Row scales as float32 `(rows,)`.

    Raises
    ------
    GossetError
        If they are not as many finite float32 numbers, not negative.
    """
    array = real(scales, "A list of row scales")
    if array.shape != (rows,):
        raise GossetError(f"A matrix of {rows} rows has {rows} scales, but the array's shape is {array.shape}.")
    with np.errstate(over="ignore", under="ignore"):
        result = array.astype(np.float32)
    check_scales(result)
    if (lost := np.flatnonzero((result == 0) & (array.astype(np.float64) != 0))).size:
        raise GossetError(f"The scale of row {lost[0]} is {array[lost[0]]}, below the least float32, 1.4e-45.")
    return result


def check_scales(scales: NDArray[Any]) -> None:
    """Checks row scales.

    Raises
    ------
    GossetError
        If one is negative, NaN or infinite.
    """
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        row = np.flatnonzero(~(np.isfinite(scales) & (scales >= 0)))[0]
        raise GossetError(f"A row scale is negative, NaN or infinite: that of row {row} is {scales[row]}.")


def row_scales(ideal: NDArray[np.float64]) -> NDArray[np.float32]:
    """Ideal row scales as float32: those below its normal numbers rounded up, so that only 0 becomes 0, and those
    beyond its largest number cut to that."""
    limits = np.finfo(np.float32)
    with np.errstate(under="ignore"):
        scales = np.minimum(ideal, limits.max).astype(np.float32)
    low = (scales < limits.tiny) & (scales.astype(np.float64) < ideal)
    return np.where(low, np.nextafter(scales, limits.max), scales)


def root_mean_square(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The RMS of each row, `(rows, 1)`, free of overflow and underflow."""
    return np.sqrt(np.square(x, dtype=np.float64).mean(axis=1, keepdims=True))

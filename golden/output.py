"""The output stage: accumulators in, results out, as the next layer takes them. Its arithmetic, bit for bit.

    result = clip(round((accumulator + bias) · mantissa / 2^shift))

with bias, mantissa and shift of the result's column. Results that are integers: `round` is to the nearest, halves
upwards, ⌊x + 1/2⌋; `clip` is to the least and the largest number of the result, or from 0 on where the column has a
ReLU. Results in bfloat16: `round` is to the nearest, ties to even, as IEEE 754 has it; none is too large or too small,
zero is positive, and `clip` is the ReLU.

Where rows have scales of their own, the accumulator above is

    clip(round(accumulator · mantissa / 2^shift))

with mantissa and shift of the result's row, rounded and clipped as a result in int32.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_integers
from golden.errors import GossetError
from golden.given import shown

Result = Literal["int8", "int16", "int32", "bfloat16"]
"""What results can be. With a mantissa of 1 and a shift of 0, int32 are the accumulators themselves, and their bias."""

SIGNIFICAND_BITS = 8
"""Bits of a significand of bfloat16, the first one included, which is always 1."""

BIAS_BITS, MANTISSA_BITS, SHIFT_BITS = 32, 16, 6
"""Bits of what a column has: a signed bias, and two numbers without a sign."""

COLUMN_BITS = 64
"""Bits of a column's word: bias, mantissa, shift, 1 for a ReLU, zeros; from the low end on."""

ROW_BITS = 32
"""Bits of a row's word: mantissa, shift, zeros; from the low end on."""

_LIMITS = {
    "bias": (-1 << (BIAS_BITS - 1), (1 << (BIAS_BITS - 1)) - 1),
    "mantissa": (0, (1 << MANTISSA_BITS) - 1),
    "shift": (0, (1 << SHIFT_BITS) - 1),
    "relu": (0, 1),
}
"""The least and the largest of each number of a column or a row."""


@dataclass(frozen=True, kw_only=True)
class OutputRules:
    """Everything that describes an output stage.

    Parameters
    ----------
    result : "int8", "int16", "int32" or "bfloat16"
    row_scales : bool
        Whether rows have scales too.

    Raises
    ------
    GossetError
        If a result cannot be so.
    """

    result: Result = "int8"
    row_scales: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.row_scales, bool):
            raise GossetError(f"row_scales is true or false, not {shown(self.row_scales)}.")
        if self.result not in get_args(Result):
            raise GossetError(f"Results are {' or '.join(get_args(Result))}, not {shown(self.result)}.")

    @property
    def bits(self) -> int:
        """Bits of a result."""
        return int(self.result.removeprefix("bfloat").removeprefix("int"))

    @property
    def floating(self) -> bool:
        """Whether results are floating-point numbers."""
        return self.result == "bfloat16"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of results; NumPy has no bfloat16, whose bits are in a uint16."""
        return np.dtype("uint16" if self.floating else self.result)

    def finish(self, accumulators: NDArray[np.int32], columns: "Columns", rows: "Rows | None" = None) -> NDArray[Any]:
        """The results of accumulators int32 `(M, N)`, for N columns, and M rows if these have scales; of `dtype`.

        Raises
        ------
        GossetError
            If there are rows and they have no scales, or the other way round.
        """
        if self.row_scales != (rows is not None):
            raise GossetError(f"The rows of this output stage have {'' if self.row_scales else 'no '}scales.")
        sums = accumulators.astype(np.int64)
        if rows is not None:
            sums = _integers(sums * rows.mantissa[:, None], rows.shift[:, None], 32)
        scaled = (sums + columns.bias) * columns.mantissa
        if self.floating:
            return _bfloat16(np.where(columns.relu, np.maximum(scaled, 0), scaled), columns.shift)
        results = _integers(scaled, columns.shift, self.bits)
        return np.where(columns.relu, np.maximum(results, 0), results).astype(self.dtype)


def _integers(numbers: NDArray[np.int64], shift: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Numbers / 2^shift to the nearest, halves upwards, clipped to so many bits; numbers have 53 bits at most."""
    # ⌊x + 1/2⌋, from twice the number: that of a shift by 0 has no half.
    rounded = ((numbers << 1 >> shift) + 1) >> 1
    return np.clip(rounded, -1 << (bits - 1), (1 << (bits - 1)) - 1)


def _bfloat16(numbers: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.uint16]:
    """The bits of numbers / 2^shift as bfloat16; numbers have 53 bits at most, and shifts are from 0 to 63."""
    magnitude = np.abs(numbers)
    _, length = np.frexp(magnitude.astype(np.float64))  # exact
    drop = np.maximum(length.astype(np.int64) - SIGNIFICAND_BITS, 0)
    kept = magnitude >> drop
    rest, half = magnitude - (kept << drop), (1 << drop) >> 1
    kept += (rest > half) | ((rest == half) & (drop > 0) & (kept & 1 == 1))
    exact = np.ldexp((kept * np.sign(numbers)).astype(np.float32), drop - shift)
    return ((exact + np.float32(0)).view(np.uint32) >> 16).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class Columns:
    """What the output stage does with each column.

    Parameters
    ----------
    bias : int `(N,)`
        From −2^31 to 2^31 − 1, in units of the accumulator.
    mantissa : int `(N,)`
        From 0 to 65,535.
    shift : int `(N,)`
        From 0 to 63.
    relu : bool `(N,)`

    Raises
    ------
    GossetError
        If a number is out of range, or there are not as many of each.
    """

    bias: NDArray[np.int64]
    mantissa: NDArray[np.int64]
    shift: NDArray[np.int64]
    relu: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _check(self, "column", "a bias, a mantissa, a shift and a relu")

    def __len__(self) -> int:
        return len(self.bias)

    @classmethod
    def of(cls, scales: ArrayLike, bias: ArrayLike, *, relu: bool = False) -> "Columns":
        """The columns whose results are about (accumulator + bias)·scale, with mantissas as long as can be.

        Parameters
        ----------
        scales : float `(N,)`
            From 0 to below 2^16: what a unit of the accumulator is in units of the result.
        bias : int `(N,)`
            In units of the accumulator.
        """
        mantissa, shift = _fixed(scales)
        return cls(np.asarray(bias), mantissa, shift, np.full(mantissa.shape, relu))

    def part(self, first: int, count: int) -> "Columns":
        """So many columns from a first one on, or as many of them as there are."""
        some = slice(first, first + count)
        return Columns(self.bias[some], self.mantissa[some], self.shift[some], self.relu[some])

    def words(self, count: int) -> NDArray[np.uint64]:
        """The words of the columns, uint64 `(count,)`: zeros beyond the last one."""
        low = BIAS_BITS
        word = (self.bias & ((1 << BIAS_BITS) - 1)).astype(np.uint64)
        for values, bits in ((self.mantissa, MANTISSA_BITS), (self.shift, SHIFT_BITS), (self.relu, 1)):
            word |= values.astype(np.uint64) << np.uint64(low)
            low += bits
        return np.pad(word, (0, count - len(self)))


@dataclass(frozen=True, eq=False)
class Rows:
    """What the output stage multiplies each row by, before it adds biases.

    Parameters
    ----------
    mantissa : int `(M,)`
        From 0 to 65,535.
    shift : int `(M,)`
        From 0 to 63.

    Raises
    ------
    GossetError
        If a number is out of range, or there are not as many of each.
    """

    mantissa: NDArray[np.int64]
    shift: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check(self, "row", "a mantissa and a shift")

    def __len__(self) -> int:
        return len(self.mantissa)

    @classmethod
    def of(cls, scales: ArrayLike) -> "Rows":
        """The rows whose accumulators are multiplied by about such scales, with mantissas as long as can be.

        Parameters
        ----------
        scales : float `(M,)`
            From 0 to below 2^16. What comes out is an integer, so that all scales should be as large as leaves the
            largest sums below 2^31.
        """
        return cls(*_fixed(scales))

    def part(self, first: int, count: int) -> "Rows":
        """So many rows from a first one on, or as many of them as there are."""
        some = slice(first, first + count)
        return Rows(self.mantissa[some], self.shift[some])

    def words(self) -> NDArray[np.uint32]:
        """The words of the rows, uint32 `(M,)`."""
        return (self.mantissa | self.shift << MANTISSA_BITS).astype(np.uint32)


def _check(numbers: Columns | Rows, what: str, each: str) -> None:
    """Checks the numbers of columns or rows, and makes arrays of them."""
    shape = None
    for field in fields(numbers):
        given, (least, most) = np.asarray(getattr(numbers, field.name)), _LIMITS[field.name]
        shape = given.shape if shape is None else shape
        if given.shape != shape or given.ndim != 1:
            raise GossetError(f"Each {what} has {each}: {field.name} is {given.shape}.")
        values = given if given.dtype == np.bool_ else as_integers(given, f"The {field.name} of {what}s")
        if values.size and (int(values.min()) < least or int(values.max()) > most):
            raise GossetError(f"The {field.name} of a {what} is from {least} to {most}.")
        object.__setattr__(numbers, field.name, values.astype(np.bool_ if field.name == "relu" else np.int64))


def _fixed(scales: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mantissas and shifts of scales, with mantissas as long as can be."""
    scale = np.asarray(scales, dtype=np.float64)
    if scale.ndim != 1 or not (np.isfinite(scale).all() and (scale >= 0).all() and (scale < 1 << 16).all()):
        raise GossetError("Scales are a row of numbers from 0 to below 65536.")
    _, exponent = np.frexp(scale)
    shift = np.clip(MANTISSA_BITS - exponent, 0, (1 << SHIFT_BITS) - 1)
    mantissa = np.minimum(np.rint(np.ldexp(scale, shift)), (1 << MANTISSA_BITS) - 1)
    return mantissa.astype(np.int64), shift.astype(np.int64)

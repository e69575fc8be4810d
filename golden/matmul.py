"""The exact product: integers until the two row scales are applied.

    accumulator[m, n] = Σ_blocks β_a·β_b·⟨y_a, y_b⟩        result[m, n] = scale_a[m]·scale_b[n]·accumulator[m, n]

The hardware computes the same accumulators, bit for bit.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.int8 import LIMIT, Int8Matrix
from golden.lattice import DIM

Operand = PackedMatrix | Int8Matrix
"""What can be multiplied: packed × packed, or packed × int8 either way round."""

MAX_ACCUMULATOR = 2**31 - 1
"""The largest magnitude that fits the hardware's 32-bit accumulators."""

CHUNK_ENTRIES = 1 << 24
"""Entries of an operand that a step of the product converts to floating point."""


@dataclass(frozen=True, eq=False)
class Product:
    """A product A·Bᵀ.

    Parameters
    ----------
    accumulators : int32 `(M, N)`
        The exact integers.
    row_scales : float32 `(M,)`
    column_scales : float32 `(N,)`
    """

    accumulators: NDArray[np.int32]
    row_scales: NDArray[np.float32]
    column_scales: NDArray[np.float32]

    @cached_property
    def result(self) -> NDArray[np.float32]:
        """row scale · column scale · accumulator: float32 `(M, N)`, computed in float64 and rounded once.

        The product of two float32 is exact in float64; its product with the accumulator is rounded to float64 and
        then to float32: to infinity beyond its largest number, as any float32 product.
        """
        scale = self.row_scales[:, None].astype(np.float64) * self.column_scales
        with np.errstate(over="ignore", under="ignore"):
            return (scale * self.accumulators).astype(np.float32)


def max_columns(a: Format | None, b: Format | None) -> int:
    """The largest K for which no accumulator can overflow 32 bits, whatever the operands: a multiple of 8.

    Parameters
    ----------
    a, b : Format, or None for an int8 operand

    Raises
    ------
    GossetError
        If both are None.

    Notes
    -----
    By Cauchy and Schwarz |Σ⟨u, v⟩| ≤ Σ‖u‖·‖v‖; a block of integers β·y has ‖u‖² ≤ β²·2q², a block of int8 8·127².
    """
    if a is None and b is None:
        raise GossetError("Two int8 operands cannot be multiplied here: one of them must be packed.")
    squares = 1
    for fmt in (a, b):
        squares *= DIM * LIMIT**2 if fmt is None else fmt.betas[-1] ** 2 * fmt.norm_bound
    # n·√squares ≤ limit, in integers.
    lo, hi = 0, MAX_ACCUMULATOR
    while lo < hi:
        middle = (lo + hi + 1) // 2
        lo, hi = (middle, hi) if middle**2 * squares <= MAX_ACCUMULATOR**2 else (lo, middle - 1)
    return lo * DIM


def check(a: Operand, b: Operand) -> None:
    """Whether A·Bᵀ can be computed.

    Raises
    ------
    GossetError
        If both are int8, the numbers of columns differ, or there are more columns than `max_columns`.
    """
    shapes = f"{a.shape[0]} × {a.shape[1]} and {b.shape[0]} × {b.shape[1]}"
    if isinstance(a, Int8Matrix) and isinstance(b, Int8Matrix):
        raise GossetError(f"Two int8 matrices ({shapes}) cannot be multiplied here: one of them must be packed.")
    if a.columns != b.columns:
        raise GossetError(f"Rows of both operands must be equally long, but the operands are {shapes}.")
    most = max_columns(_format(a), _format(b))
    if a.columns > most:
        raise GossetError(
            f"A product of {shapes} in these formats could overflow its 32-bit accumulators: K may be at most {most}."
        )


def matmul(a: Operand, b: Operand) -> Product:
    """The product A·Bᵀ of A `(M, K)` and B `(N, K)`, at least one of them packed.

    Parameters
    ----------
    a, b : PackedMatrix or Int8Matrix
        Formats may differ. Padding takes part: that of a packed row is what the quantiser made of zeros, that of an
        int8 row is zero.

    Returns
    -------
    Product

    Raises
    ------
    GossetError
        If the operands do not pass `check`.
    """
    check(a, b)
    left, right = _integers(a), _integers(b)
    accumulators = np.empty((len(left), len(right)), dtype=np.int32)
    # The bound holds for every partial sum, too. They are integers, so that float32 and its BLAS are exact in any order
    # as long as the bound is at most 2^24; float64 always is.
    bound = left.shape[1] * MAX_ACCUMULATOR / max_columns(_format(a), _format(b))
    exact: Any = np.float32 if bound < 2**24 else np.float64
    width = max(1, CHUNK_ENTRIES // left.shape[1])
    for j in range(0, len(right), width):
        columns = right[j : j + width].astype(exact).T
        for i in range(0, len(left), width):
            accumulators[i : i + width, j : j + width] = left[i : i + width].astype(exact) @ columns
    return Product(accumulators, a.scales, b.scales)


def _format(operand: Operand) -> Format | None:
    return operand.format if isinstance(operand, PackedMatrix) else None


def _integers(operand: Operand) -> NDArray[np.int16] | NDArray[np.int8]:
    """The integers that are multiplied, padded to whole blocks."""
    if isinstance(operand, PackedMatrix):
        return operand.integers
    return np.pad(operand.values, ((0, 0), (0, -operand.columns % DIM)))

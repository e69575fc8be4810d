"""The universal scheme: any pair of matrices multiplied with the guarantee of Gaussian ones (arXiv 2410.13780).

Rows are centred, and their means carried beside them; both operands are rotated by one random orthogonal transform,
which makes any row look Gaussian to the lattice; then they are quantised. The product is put together again as

    A·Bᵀ ≈ Ā·B̄ᵀ + K·mean(A)·mean(B)ᵀ

At rates below the critical one, only a fraction of the rotated columns is kept, the same in both operands: time sharing
with rate zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import FLOAT32_MAX, as_matrix
from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.lattice import DIM, blocks, lanes, nearest_lanes
from golden.matmul import matmul
from golden.quantize import Progress, quantize
from golden.rounding import Selection, choose

Transform = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The Walsh–Hadamard transform of rows, as `hadamard`."""


@dataclass(frozen=True)
class Rotation:
    """The randomised Hadamard transform of K columns, x ↦ H·(s ∘ P·x), orthogonal: signs s, permutation P, both random.

    Without the permutation, data that lives in a run of neighbouring columns comes out in blocks that repeat each
    other, whose errors then repeat as well instead of averaging out.

    Where K is no power of two, transforms of the largest power of two ≤ K run over the first, the last and again the
    first so many columns, each with its own signs, so that every output depends on every input.

    Parameters
    ----------
    columns : int
        K.
    seed : int
        Of the signs and the permutation.
    """

    columns: int
    seed: int = 0

    @property
    def size(self) -> int:
        """Columns that one Walsh–Hadamard transform mixes: the largest power of two ≤ K."""
        return 1 << (self.columns.bit_length() - 1)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """P: which column comes to each place, `(K,)`."""
        return np.random.default_rng([self.seed, 1]).permutation(self.columns)

    @cached_property
    def signs(self) -> NDArray[np.float32]:
        """±1 of the passes, `(passes, size)`: one pass if K is a power of two, else three (first, last, first)."""
        passes = 1 if self.size == self.columns else 3
        bits = np.random.default_rng([self.seed, 0]).integers(0, 2, (passes, self.size))
        return (1 - 2 * bits).astype(np.float32)

    def forward(self, x: NDArray[np.float32], transform: Transform | None = None) -> NDArray[np.float32]:
        """Rotates rows `(rows, K)`; the transform is `hadamard`, or one that is faster where rounding is no matter."""
        result = np.take(x, self.order, axis=1)  # in rows, which an index with a list is not
        for i, signs in enumerate(self.signs):
            part = self._part(i)
            result[:, part] = (transform or hadamard)(result[:, part] * signs)
        return result

    def inverse(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undoes `forward`."""
        result = x.copy()
        for i, signs in reversed(list(enumerate(self.signs))):
            part = self._part(i)
            result[:, part] = hadamard(result[:, part]) * signs
        return result[:, np.argsort(self.order)]

    def _part(self, i: int) -> slice:
        return slice(self.columns - self.size, None) if i % 2 else slice(0, self.size)


def hadamard(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The orthonormal Walsh–Hadamard transform of rows `(rows, n)`, n a power of two; its own inverse."""
    rows, n = x.shape
    y = x.astype(np.float32)
    width = 1
    while width < n:
        pairs = y.reshape(rows, -1, 2, width)
        y = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(rows, n)
        width *= 2
    return y * np.float32(n**-0.5)


@dataclass(frozen=True)
class Prepared:
    """An operand of the universal product.

    Parameters
    ----------
    packed : PackedMatrix
        The kept part of the rotated, centred rows.
    means : float32 `(rows,)`
        Of the rows; zeros if they were not centred.
    columns : int
        K, before any column was left out.
    """

    packed: PackedMatrix
    means: NDArray[np.float32]
    columns: int

    @property
    def bits_per_entry(self) -> float:
        """Everything stored, means included, over rows·K."""
        rows = len(self.means)
        stored = self.packed.bits_per_entry * self.packed.shape[1] * rows + 32 * rows
        return stored / (rows * self.columns)


@dataclass(frozen=True)
class Universal:
    """The universal scheme; both operands of a product must be prepared by equal ones.

    Parameters
    ----------
    format : Format
    selection : "opt", "first" or "best"
    centre : bool
        Whether row means are taken out.
    seed : int or None
        Of the rotation; None for no rotation.
    fraction : float
        Of the columns that is kept, above 0 and at most 1, rounded up to whole blocks.
    """

    format: Format
    selection: Selection = "opt"
    centre: bool = True
    seed: int | None = 0
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise GossetError(f"The fraction of columns kept is above 0 and at most 1, but it is {self.fraction}.")

    def prepare(self, matrix: ArrayLike, progress: Progress | None = None) -> Prepared:
        """Centres, rotates and quantises a matrix `(rows, K)`; raises GossetError for a bad one."""
        x = as_matrix(matrix)
        columns = x.shape[1]
        means = x.mean(axis=1, dtype=np.float64).astype(np.float32) if self.centre else np.zeros(len(x), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            rest = x - means[:, None]
            if self.seed is not None:
                rest = Rotation(columns, self.seed).forward(rest)
        if (beyond := np.flatnonzero(~np.isfinite(rest).all(axis=1))).size:
            raise GossetError(f"Row {beyond[0]} goes beyond float32 when it is centred and rotated: scale it down.")
        kept = min(columns, DIM * -(-round(self.fraction * columns) // DIM)) if self.fraction < 1 else columns
        packed = quantize(rest[:, : max(kept, 1)], self.format, selection=self.selection, progress=progress)
        return Prepared(packed, means, columns)

    def product(self, a: Prepared, b: Prepared) -> NDArray[np.float32]:
        """The estimate of A·Bᵀ, float32 `(M, N)`; raises GossetError if the operands do not fit each other."""
        if a.columns != b.columns:
            raise GossetError(f"Rows of both operands must be equally long, but they are {a.columns} and {b.columns}.")
        rank_1 = a.columns * np.outer(a.means.astype(np.float64), b.means)
        with np.errstate(over="ignore"):
            return (matmul(a.packed, b.packed).result + rank_1).astype(np.float32)


def dithered(matrix: ArrayLike, fmt: Format, seed: int, selection: Selection = "opt") -> NDArray[np.float32]:
    """Quantises with subtractive dither: errors are uniform over the lattice's cell and independent of the data.

    Every block is shifted by u, uniform over the Voronoi cell, before rounding, and back after decoding, which must
    know u; x̂ = scale·β·(y − u) is no integer any more, so this is for studies of the scheme, not for the hardware.

    Parameters
    ----------
    matrix : real `(rows, columns)`
    fmt, selection
        As in `quantize`; scales are searched without the dither.
    seed : int

    Returns
    -------
    float32 `(rows, columns)`: x̂
    """
    x = as_matrix(matrix)
    packed = quantize(x, fmt, selection=selection)
    count = packed.blocks
    padded = np.zeros((len(x), count * DIM), dtype=np.float32)
    padded[:, : x.shape[1]] = x
    # The cube [0, 2)⁸ is a whole number of cells, as 2Z⁸ ⊂ Λ: reducing modulo Λ what is uniform in it is uniform.
    cube = lanes(np.random.default_rng(seed).uniform(0, 2, (len(x), count, DIM)).astype(np.float32))
    dither = [u - p for u, p in zip(cube, nearest_lanes(cube, dtype=np.int8), strict=True)]
    point, index, _ = choose(lanes(padded.reshape(len(x), count, DIM)), packed.scales, fmt, selection, dither)
    step = packed.scales[:, None] * np.array(fmt.betas, dtype=np.float32)[index]
    with np.errstate(over="ignore"):
        values = blocks([step * (y - u) for y, u in zip(point, dither, strict=True)])
    values = np.clip(values, -FLOAT32_MAX, FLOAT32_MAX)
    return values.reshape(len(x), -1)[:, : x.shape[1]]

"""Products of packed matrices by compiled kernels; accumulators equal golden's in every bit.

A packed matrix is laid out anew once, as bit planes (`Kernels.lay`); then it is multiplied by as many activations as
there are, packed or int8.
"""

import os
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.int8 import LIMIT, Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, Product, check, max_columns
from sim.kernels.library import Matrix, load, supported

ROWS, BLOCKS, PLANE = 16, 32, 64
"""Rows and blocks of a group, and the bytes of one of its bit planes (`source/vector.h`)."""


class Kernels:
    """The kernels for one set of instructions.

    Parameters
    ----------
    path : str, optional
        One of `sim.kernels.library.PATHS`; the fastest that the processor has if not given.
    threads : int, optional
        As many as the process has processors if not given.

    Raises
    ------
    ToolError
        If the processor lacks the instructions, or the compiler is missing or fails.
    GossetError
        If there are no threads.
    """

    def __init__(self, path: str | None = None, threads: int | None = None):
        self.path = path or supported()[0]
        self.library = load(self.path)
        self.threads = processors() if threads is None else threads
        if self.threads < 1:
            raise GossetError(f"Kernels run on at least one thread, not {self.threads}.")

    def lay(self, matrix: PackedMatrix) -> "Laid":
        """A packed matrix as bit planes."""
        rows, blocks = matrix.labels.shape
        groups = -(-rows // ROWS) * -(-blocks // BLOCKS)
        planes = _aligned(groups * (matrix.format.label_bits + matrix.format.beta_bits) * PLANE)
        container = np.ascontiguousarray(matrix.labels), np.ascontiguousarray(matrix.betas)
        source = Laid(self, matrix.format, matrix.columns, matrix.scales, None, container)
        self.library.gosset_relay(source._matrix, _pointer(planes), self.threads)
        return Laid(self, matrix.format, matrix.columns, matrix.scales, planes)

    def straight(self, matrix: PackedMatrix) -> "Laid":
        """A packed matrix as its container's planes, of which every product lays out group after group anew."""
        return Laid(self, matrix.format, matrix.columns, matrix.scales, None, matrix.planes())

    def matmul(self, a: Operand, b: Operand) -> Product:
        """The product A·Bᵀ, as `golden.matmul.matmul`.

        Raises
        ------
        GossetError
            If the operands do not pass `golden.matmul.check`.
        """
        check(a, b)
        if isinstance(b, PackedMatrix):
            return self.lay(b).product(a)
        assert isinstance(a, PackedMatrix)  # or `check` would have refused them
        return Product(self.lay(a).product(b).accumulators.T, a.scales, b.scales)


@dataclass(frozen=True, eq=False)
class Laid:
    """A packed matrix that kernels can multiply.

    As bit planes it has the size of its container's planes, but for padding to 16 rows of 256 columns.

    Parameters
    ----------
    kernels : Kernels
        Which laid it out; the order of bits is their own.
    format : Format
    columns : int
    scales : float32 `(rows,)`
    planes : uint8, optional
        `[row of groups][group][plane][64]`.
    container : pair of arrays, optional
        Where there are no planes: labels and indices of β, `(rows, blocks)`, or as `PackedMatrix.planes`.
    """

    kernels: Kernels
    format: Format
    columns: int
    scales: NDArray[np.float32]
    planes: NDArray[np.uint8] | None
    container: tuple[NDArray[Any], NDArray[Any]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, padding not counted."""
        return len(self.scales), self.columns

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads, scales not counted."""
        return sum(part.nbytes for part in (self.planes, *(self.container or ())) if part is not None)

    def copy(self) -> "Laid":
        """The same elsewhere in memory."""
        planes = None
        if self.planes is not None:
            planes = _aligned(self.planes.nbytes)
            planes[:] = self.planes
        container = self.container and (self.container[0].copy(), self.container[1].copy())
        return replace(self, planes=planes, container=container)

    def integers(self) -> NDArray[np.int16]:
        """β·y of every entry, as `PackedMatrix.integers`: int16 `(rows, 8·blocks)`."""
        out = np.empty((len(self.scales), -(-self.columns // DIM) * DIM), dtype=np.int16)
        self.kernels.library.gosset_integers(self._matrix, _pointer(out), self.kernels.threads)
        return out

    def product(self, x: Operand) -> Product:
        """The product x·wᵀ of activations `(M, K)` and this matrix `(N, K)`, exact.

        Raises
        ------
        GossetError
            If the activations do not fit, or accumulators could overflow.
        """
        return Product(self._multiply(x, None), x.scales, self.scales)

    def matmul(self, x: Operand) -> NDArray[np.float32]:
        """`product(x).result`, scaled in the same go: float32 `(M, N)`.

        Raises
        ------
        GossetError
            As `product`.
        """
        result = np.empty((x.shape[0], len(self.scales)), dtype=np.float32)
        self._multiply(x, result)
        return result

    def _multiply(self, x: Operand, result: NDArray[np.float32] | None) -> NDArray[np.int32]:
        """The accumulators; and the result, where there is room for it."""
        if x.columns != self.columns:
            raise GossetError(f"Rows of both operands must be equally long, but have {x.columns} and {self.columns}.")
        most = _max_columns(x.format if isinstance(x, PackedMatrix) else None, self.format)
        if x.columns > most:
            raise GossetError(f"The product could overflow its 32-bit accumulators: K may be at most {most}.")
        values: NDArray[Any]
        if isinstance(x, Int8Matrix):
            values = np.ascontiguousarray(x.values)
        else:
            values = self.kernels.lay(x).integers()
            if x.format.betas[-1] * x.format.q <= LIMIT:
                values = values.astype(np.int8)
        accumulators = np.empty((len(values), -(-len(self.scales) // ROWS) * ROWS), dtype=np.int32)
        narrow = values.dtype == np.int8
        self.kernels.library.gosset_product(
            *(self._matrix, _pointer(values if narrow else None), _pointer(None if narrow else values)),
            *(len(values), values.shape[1], _pointer(x.scales), _pointer(self.scales)),
            *(_pointer(accumulators), _pointer(result), self.kernels.threads),
        )
        return accumulators[:, : len(self.scales)]

    @cached_property
    def _matrix(self) -> Matrix:
        """The matrix, as the library takes it."""
        fmt, blocks = self.format, -(-self.columns // DIM)
        labels, indices = self.container or (None, None)
        packed = indices is not None and indices.dtype == np.uint32
        size = labels.nbytes // (len(self.scales) * blocks) if labels is not None else 0
        return Matrix(
            *(_pointer(self.planes), _pointer(labels), _pointer(indices), len(self.scales), blocks),
            *(size, packed, fmt.m, fmt.beta_bits, fmt.betas),
        )


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_max_columns = cache(max_columns)


def _aligned(size: int) -> NDArray[np.uint8]:
    """Bytes from a cache line on; many of them from a huge page on, so that Linux can map all by such."""
    to = HUGE_PAGE if size > HUGE_PAGE else PLANE
    raw = np.empty(size + to, dtype=np.uint8)
    return raw[-raw.ctypes.data % to :][:size]


HUGE_PAGE = 2 << 20
"""Bytes of a huge page on x86."""


def _pointer(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data

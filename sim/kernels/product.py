"""Products of packed matrices by compiled kernels; accumulators equal golden's in every bit."""

import ctypes
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.format import PackedMatrix
from golden.int8 import LIMIT, Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, Product, check
from sim.kernels.library import load, supported

ROWS, BLOCKS, PLANE = 16, 32, 64
"""Rows and blocks of a group, and the bytes of one of its bit planes (`source/vector.h`)."""


class Kernels:
    """The kernels for one set of instructions.

    Parameters
    ----------
    path : str, optional
        One of `sim.kernels.library.PATHS`; the fastest that the processor has if not given.
    threads : int, optional
        All processors that this process may run on if not given.

    Raises
    ------
    ToolError
        If the processor lacks the instructions, or the compiler is missing or fails.
    """

    def __init__(self, path: str | None = None, threads: int | None = None):
        self.path = path or supported()[0]
        self.library = load(self.path)
        self.threads = threads or len(os.sched_getaffinity(0))

    def lay(self, matrix: PackedMatrix) -> "Laid":
        """A packed matrix as bit planes, as this path reads them."""
        fmt = matrix.format
        rows, blocks = matrix.labels.shape
        planes = DIM * fmt.m + fmt.beta_bits
        size = -(-rows // ROWS) * -(-blocks // BLOCKS) * planes * PLANE
        laid = _aligned(size)
        labels, betas = np.ascontiguousarray(matrix.labels), np.ascontiguousarray(matrix.betas)
        self.library.gosset_relay(
            *(_pointer(labels), labels.itemsize, _pointer(betas)),
            *(ctypes.c_int64(rows), ctypes.c_int64(blocks), fmt.m, fmt.beta_bits, _pointer(laid), self.threads),
        )
        return Laid(self, matrix, laid)

    def matmul(self, a: Operand, b: "Operand | Laid") -> Product:
        """The product A·Bᵀ, as `golden.matmul.matmul` gives it."""
        weights = b if isinstance(b, Laid) else self.lay(b)
        return Product(*weights._product(a))


@dataclass(frozen=True, eq=False)
class Laid:
    """A packed matrix as bit planes: as large as its container, but for padding to 16 rows of 256 columns."""

    kernels: Kernels
    matrix: PackedMatrix
    planes: NDArray[np.uint8]

    @cached_property
    def _betas(self) -> NDArray[np.uint8]:
        return np.array((*self.matrix.format.betas, *[0] * 8)[:8], dtype=np.uint8)

    def integers(self) -> NDArray[np.int16]:
        """β·y of every entry, as `PackedMatrix.integers`."""
        rows, blocks = self.matrix.labels.shape
        fmt, out = self.matrix.format, np.empty((rows, blocks * DIM), dtype=np.int16)
        self.kernels.library.gosset_integers(
            *(_pointer(self.planes), ctypes.c_int64(rows), ctypes.c_int64(blocks), fmt.m, fmt.beta_bits),
            *(_pointer(self._betas), _pointer(out), self.kernels.threads),
        )
        return out

    def product(self, x: Operand) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        check(x, self.matrix)
        fmt, threads = self.matrix.format, self.kernels.threads
        rows, blocks = self.matrix.labels.shape
        if isinstance(x, Int8Matrix):
            values = np.ascontiguousarray(x.values)
        else:
            values = self.kernels.lay(x).integers()
            if x.format.betas[-1] * x.format.q <= LIMIT:
                values = values.astype(np.int8)
        m, columns = values.shape
        acc = np.empty((m, -(-rows // ROWS) * ROWS), dtype=np.int32)
        result = np.empty((m, rows), dtype=np.float32)
        narrow = values.dtype == np.int8
        self.kernels.library.gosset_product(
            *(_pointer(self.planes), ctypes.c_int64(rows), ctypes.c_int64(blocks), fmt.m, fmt.beta_bits),
            *(_pointer(self._betas), _pointer(values) if narrow else None, None if narrow else _pointer(values)),
            *(ctypes.c_int64(m), ctypes.c_int64(columns), _pointer(x.scales), _pointer(self.matrix.scales)),
            *(_pointer(acc), _pointer(result), threads),
        )
        return acc[:, :rows], result


def _aligned(size: int) -> NDArray[np.uint8]:
    """Bytes that begin at a multiple of a cache line."""
    raw = np.empty(size + PLANE, dtype=np.uint8)
    return raw[-raw.ctypes.data % PLANE :][:size]


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)

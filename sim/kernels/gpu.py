"""Products of packed matrices on GPUs: CUDA C++ from the same description of the decoder as the processors' kernels.

`Cuda` has it compiled and run by CuPy. `Host` compiles the same source for this machine's processor, thread after
thread: slow, and what the tests run. Accumulators equal golden's in every bit on both.
"""

import ctypes
import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from golden import process
from golden.errors import GossetError, ToolError
from golden.format import Format, PackedMatrix
from golden.int8 import LIMIT, Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, Product, check
from sim.kernels.decoder import decoder
from sim.kernels.library import FLAGS, SOURCE
from sim.rtl import cache as kept
from sim.rtl.tools import check_compiler, compiler

WARP, TILE, PAIR = 32, 16, 2
"""Threads of a warp; rows and blocks of a row in a unit (`source/gpu.h`)."""

COLUMNS = WARP * PAIR * DIM
"""Columns of a tile, which the units of a warp have; rows are padded to whole ones."""

ROWS = (8, 4, 2, 1)
"""Rows of activations that a kernel is made for, and that are multiplied at a time."""

GPU = "gpu.h"


@dataclass(frozen=True, eq=False)
class Laid:
    """A packed matrix as units.

    Attributes
    ----------
    matrix : PackedMatrix
    labels : uint32 `(panels, tiles, 2m, 32, 4)`
    betas : uint32 `(panels, tiles, bits, 32)`
    """

    matrix: PackedMatrix
    labels: NDArray[np.uint32]
    betas: NDArray[np.uint32]

    @property
    def tiles(self) -> int:
        """Tiles of a row."""
        return int(self.labels.shape[1])

    @classmethod
    def of(cls, matrix: PackedMatrix) -> "Laid":
        """Lays out a matrix; padding multiplies zeros of activations."""
        fmt = matrix.format
        labels = _planes(matrix.labels, fmt.label_bits).reshape(-1, 4, *_units(matrix), WARP)
        betas = _planes(matrix.betas, fmt.beta_bits)
        return cls(
            matrix,
            np.ascontiguousarray(labels.transpose(2, 3, 0, 4, 1)),
            np.ascontiguousarray(betas.transpose(1, 2, 0, 3)),
        )


def _units(matrix: PackedMatrix) -> tuple[int, int]:
    """Panels of 16 rows, and tiles of 64 blocks."""
    rows, blocks = matrix.labels.shape
    return -(-rows // TILE), -(-blocks // (WARP * PAIR))


def _planes(values: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    """One word per bit and unit: uint32 `(bits, panels, tiles, 32)`."""
    rows, blocks = values.shape
    panels, tiles = -(-rows // TILE), -(-blocks // (WARP * PAIR))
    padded = np.zeros((panels * TILE, tiles * WARP * PAIR), dtype=values.dtype)
    padded[:rows, :blocks] = values
    # Bit 8b + e is row 8(b / 2) + e and block b % 2: [panel][b / 2][e][tile][thread][b % 2] to [...][b][e].
    units = padded.reshape(panels, 2, 8, tiles, WARP, PAIR).transpose(0, 3, 4, 1, 5, 2).reshape(panels, tiles, WARP, 32)
    words = np.empty((bits, panels, tiles, WARP), dtype=np.uint32)
    for bit in range(bits):
        ones = (units >> bit & 1).astype(np.uint8)
        words[bit] = np.packbits(ones, axis=-1, bitorder="little").view("<u4")[..., 0]
    return words


def activations(x: Operand, tiles: int) -> NDArray[np.int8]:
    """Rows of int8 that are whole tiles: `(M, tiles·512)`.

    Raises
    ------
    GossetError
        If they are packed and do not fit int8.
    """
    if isinstance(x, Int8Matrix):
        values = x.values
    else:
        if x.format.betas[-1] * x.format.q > LIMIT:
            raise GossetError(
                f"On a GPU activations are int8: β·y of q = {x.format.q} and β up to {x.format.betas[-1]} does not fit."
            )
        values = x.integers.astype(np.int8)
    padded = np.zeros((len(values), tiles * COLUMNS), dtype=np.int8)
    padded[:, : values.shape[1]] = values
    return padded


def header(fmt: Format, rows: int) -> tuple[str, str]:
    """C++ of the decoder and of β's values, and constants, for a format and a number of rows of activations."""
    logic, m = decoder(fmt.q), fmt.m
    value_bits = max(fmt.betas).bit_length()
    lines = ["// Written by sim/kernels/gpu.py.", "#pragma once"]
    lines.append(f"__device__ FORCEINLINE void decode(const u32 (&label)[{DIM * m}], u32 (&computed)[12]) {{")
    names = {2 + k: f"label[{k}]" for k in range(DIM * m)}
    for step in logic.steps:
        names[step.target] = f"n{step.target}"
        sources = ", ".join(names[source] for source in step.sources)
        lines.append(f"    const u32 n{step.target} = logic<0x{step.table:02x}>({sources});")
    lines += [f"    computed[{k}] = {names[bit]};" for k, bit in enumerate(logic.outputs)] + ["}"]
    lines.append(f"__device__ FORCEINLINE void values(const u32 (&index)[{fmt.beta_bits + 1}], u32 (&value)[8]) {{")
    arguments = ", ".join(f"index[{k}]" if k < fmt.beta_bits else "0u" for k in (2, 1, 0))
    for bit in range(8):
        table = sum((beta >> bit & 1) << at for at, beta in enumerate(fmt.betas))
        lines.append(f"    value[{bit}] = " + (f"logic<0x{table:02x}>({arguments});" if bit < value_bits else "0;"))
    constants = [f"#define M {m}", f"#define BETA_BITS {fmt.beta_bits}", f"#define ROWS {rows}"]
    return "\n".join([*lines, "}", ""]), "\n".join([*constants, ""])


def source(fmt: Format, rows: int) -> str:
    """The whole of the CUDA C++, in one piece."""
    logic, constants = header(fmt, rows)
    return constants + (SOURCE / GPU).read_text(encoding="utf-8").replace('#include "decoder.h"', logic)


class Backend(Protocol):
    """What runs the kernels."""

    def product(self, laid: Laid, x: NDArray[np.int8]) -> NDArray[np.int32]:
        """Accumulators `(M, N)` of activations that are whole tiles."""

    def expand(self, laid: Laid) -> NDArray[np.int8]:
        """β·y of whole units: `(16·panels, 512·tiles)`."""


def matmul(backend: Backend, x: Operand, w: PackedMatrix) -> Product:
    """The product x·wᵀ, as `golden.matmul.matmul`.

    Raises
    ------
    GossetError
        If the operands do not pass `golden.matmul.check`, or packed activations do not fit int8.
    """
    check(x, w)
    laid = Laid.of(w)
    return Product(backend.product(laid, activations(x, laid.tiles)), x.scales, w.scales)


def pieces(m: int) -> list[tuple[int, int]]:
    """Rows of activations in as few calls as can be: the first row, and the number, of each."""
    made, first = [], 0
    while first < m:
        rows = next(rows for rows in ROWS if rows <= m - first)
        made.append((first, rows))
        first += rows
    return made


class Host:
    """The kernels on this machine's processor, for tests: grids as a GPU would have them, thread after thread.

    Parameters
    ----------
    splits, warps : int
        Blocks of threads that share a row's tiles, and the warps of each.
    flags : tuple of str
        Of the compiler, beside the usual ones.
    """

    def __init__(self, splits: int = 1, warps: int = 1, flags: tuple[str, ...] = ("-O1",)):
        self.splits, self.warps, self.flags = splits, warps, flags

    def product(self, laid: Laid, x: NDArray[np.int8]) -> NDArray[np.int32]:
        """As `Backend`."""
        rows, parts = len(laid.matrix.scales), []
        for first, count in pieces(len(x)):
            acc = np.zeros((count, rows), dtype=np.int32)
            some = np.ascontiguousarray(x[first : first + count])
            _library(laid.matrix.format, count, self.flags).gosset_host_product(
                *_pointers(laid.labels, laid.betas, some, acc), rows, laid.tiles, self.splits, self.warps
            )
            parts.append(acc)
        return np.concatenate(parts)

    def expand(self, laid: Laid) -> NDArray[np.int8]:
        """As `Backend`."""
        out = np.empty((len(laid.labels) * TILE, laid.tiles * COLUMNS), dtype=np.int8)
        _library(laid.matrix.format, 1, self.flags).gosset_host_expand(
            *_pointers(laid.labels, laid.betas, out), len(out), laid.tiles, self.splits, self.warps
        )
        return out


def _pointers(*arrays: NDArray[Any]) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(array.ctypes.data) for array in arrays]


@cache
def _library(fmt: Format, rows: int, flags: tuple[str, ...]) -> ctypes.CDLL:
    command, version = compiler()
    text = "#define GOSSET_HOST 1\n" + source(fmt, rows)
    made_of = json.dumps([command, version, FLAGS, flags, text])
    name = f"gpu-{sha256(made_of.encode()).hexdigest()}"
    entry = kept.find(name)
    if entry is None:
        check_compiler(command)
        with kept.workplace() as work:
            (work / "gpu.cpp").write_text(text, encoding="utf-8")
            quiet = ("-Wno-unknown-pragmas", *flags)
            process.call([*command, *FLAGS, *quiet, work / "gpu.cpp", "-o", work / "library.so"])
            entry = kept.keep(name, [work / "library.so"], work)
    return kept.load(entry / "library.so")


class Cuda:
    """The kernels on a GPU of NVIDIA, sm_80 or newer, through CuPy.

    Parameters
    ----------
    warps : int
        Of a block of threads.
    waves : int
        Blocks of threads for each multiprocessor that there should be at least; rows are shared until there are.

    Raises
    ------
    ToolError
        If CuPy or a GPU is missing.
    """

    def __init__(self, warps: int = 4, waves: int = 8):
        try:
            import cupy

            self.processors = int(cupy.cuda.Device().attributes["MultiProcessorCount"])
        except ImportError as error:
            raise ToolError("CuPy is missing; install it with: pip install 'gosset[gpu]'.") from error
        except Exception as error:
            raise ToolError(f"There is no GPU here that CuPy can use: {error}.") from error
        self.cupy, self.warps, self.waves = cupy, warps, waves
        self._there: OnGpu | None = None

    def put(self, laid: Laid) -> "OnGpu":
        """Brings a matrix to the GPU."""
        return OnGpu(self, laid, self.cupy.asarray(laid.labels), self.cupy.asarray(laid.betas))

    def product(self, laid: Laid, x: NDArray[np.int8]) -> NDArray[np.int32]:
        """As `Backend`; the matrix of the call before is there already."""
        if self._there is None or self._there.laid is not laid:
            self._there = self.put(laid)
        return np.asarray(self.cupy.asnumpy(self._there.product(self.cupy.asarray(x))))

    def expand(self, laid: Laid) -> NDArray[np.int8]:
        """As `Backend`."""
        there = self.put(laid)
        out = self.cupy.empty(there.expanded, dtype=np.int8)
        there.expand(out)
        return np.asarray(self.cupy.asnumpy(out))

    def grid(self, panels: int, tiles: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Blocks of threads, and threads of one."""
        most = max(1, -(-tiles // self.warps))
        splits = min(most, max(1, -(-self.waves * self.processors // panels)))
        return (panels, splits), (WARP, self.warps)

    def kernel(self, fmt: Format, rows: int, name: str) -> Any:
        """A compiled kernel."""
        return _module(fmt, rows).get_function(name)


@cache
def _module(fmt: Format, rows: int) -> Any:
    import cupy

    return cupy.RawModule(code=source(fmt, rows), options=("-std=c++17",), backend="nvrtc")


@dataclass(frozen=True, eq=False)
class OnGpu:
    """A matrix on the GPU; arrays are CuPy's."""

    cuda: Cuda
    laid: Laid
    labels: Any
    betas: Any

    @property
    def expanded(self) -> tuple[int, int]:
        """Rows and columns that `expand` writes."""
        return len(self.laid.labels) * TILE, self.laid.tiles * COLUMNS

    def product(self, x: Any, acc: Any = None) -> Any:
        """int32 `(M, N)` of int8 activations that are whole tiles; into `acc`, which is set to zero, if it is given."""
        rows, tiles = len(self.laid.matrix.scales), self.laid.tiles
        if acc is None:
            acc = self.cuda.cupy.empty((len(x), rows), dtype=np.int32)
        acc.fill(0)
        grid, block = self.cuda.grid(len(self.laid.labels), tiles)
        for first, count in pieces(len(x)):
            kernel = self.cuda.kernel(self.laid.matrix.format, count, "gosset_product")
            kernel(grid, block, (self.labels, self.betas, x[first], acc[first], np.int32(rows), np.int32(tiles)))
        return acc

    def expand(self, out: Any) -> None:
        """β·y, into int8 of the shape `expanded`."""
        grid, block = self.cuda.grid(len(self.laid.labels), self.laid.tiles)
        kernel = self.cuda.kernel(self.laid.matrix.format, 1, "gosset_expand")
        kernel(grid, block, (self.labels, self.betas, out, np.int32(self.laid.tiles)))

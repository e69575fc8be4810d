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
from sim.kernels.launches import BLOCKS, COLUMNS, ON_TENSOR_CORES, TILE, WARP, How, Launch, Wide, fits, launch
from sim.kernels.library import FLAGS, SOURCE
from sim.kernels.nvidia import compiled, nvrtc_version
from sim.rtl import cache as kept
from sim.rtl.tools import check_compiler, compiler

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
        labels, betas = _planes(matrix.labels, fmt.label_bits), _planes(matrix.betas, fmt.beta_bits)
        labels = labels.reshape(-1, 4, *labels.shape[1:])
        return cls(
            matrix,
            np.ascontiguousarray(labels.transpose(2, 3, 0, 4, 1)),
            np.ascontiguousarray(betas.transpose(1, 2, 0, 3)),
        )


def _planes(values: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    """One word per bit and unit: uint32 `(bits, panels, tiles, 32)`."""
    rows, blocks = values.shape
    panels, tiles = -(-rows // TILE), -(-blocks // BLOCKS)
    padded = np.zeros((panels * TILE, tiles * BLOCKS), dtype=values.dtype)
    padded[:rows, :blocks] = values
    # Row g + 8r and block 8(i / 2) + 2t + i % 2 are bit 16r + i of thread 4g + t.
    units = padded.reshape(panels, 2, 8, tiles, 8, 4, 2).transpose(0, 3, 2, 5, 1, 4, 6).reshape(panels, tiles, WARP, 32)
    words = np.empty((bits, panels, tiles, WARP), dtype=np.uint32)
    for bit in range(bits):
        ones = (units >> bit & 1).astype(np.uint8)
        words[bit] = np.packbits(ones, axis=-1, bitorder="little").view("<u4")[..., 0]
    return words


@dataclass(frozen=True, eq=False)
class Activations:
    """Rows of int8 as tiles.

    Attributes
    ----------
    how : Launch or Wide
        The kernel that they are laid out for.
    values : int8
        As it lays them out.
    sums : int32 `(M,)`
        Of each row.
    """

    how: How
    values: NDArray[np.int8]
    sums: NDArray[np.int32]

    @classmethod
    def of(cls, x: Operand, how: How, tiles: int) -> "Activations":
        """Lays out activations for a kernel and a matrix of so many tiles in a row.

        Raises
        ------
        GossetError
            If they are packed and do not fit int8.
        """
        rows = integers(x)
        padded = np.pad(rows, ((0, 0), (0, tiles * COLUMNS - rows.shape[1])))
        return cls(how, how.laid(padded), rows.sum(axis=1, dtype=np.int32))


def integers(x: Operand) -> NDArray[np.int8]:
    """Activations as int8.

    Raises
    ------
    GossetError
        If they are packed and do not fit.
    """
    if isinstance(x, Int8Matrix):
        return x.values
    if x.format.betas[-1] * x.format.q > LIMIT:
        raise GossetError(
            f"On a GPU activations are int8: β·y of q = {x.format.q} and β up to {x.format.betas[-1]} does not fit."
        )
    return x.integers.astype(np.int8)


def header(fmt: Format, how: How) -> tuple[str, str]:
    """C++ of the decoder and of β's values, and constants, for a format and a way to launch it."""
    logic, m = decoder(fmt.q), fmt.m
    value_bits = max(fmt.betas).bit_length()
    lines = ["// Written by sim/kernels/gpu.py.", "#pragma once"]
    lines.append(f"__device__ FORCEINLINE void decode(const u32 (&label)[{DIM * m}], u32 (&computed)[12]) {{")
    names = {2 + k: f"label[{k}]" for k in range(DIM * m)}
    negated = set(logic.outputs[4:])  # q is added to a coordinate: its sign turns over
    for step in logic.steps:
        names[step.target] = f"n{step.target}"
        sources = ", ".join(names[source] for source in step.sources)
        case = sum(4 >> k for k, source in enumerate(step.sources) if source in negated)
        table = sum((step.table >> (at ^ case) & 1 ^ (step.target in negated)) << at for at in range(8))
        lines.append(f"    const u32 n{step.target} = logic<0x{table:02x}>({sources});")
    lines += [f"    computed[{k}] = {names[bit]};" for k, bit in enumerate(logic.outputs)] + ["}"]
    lines.append(
        f"__device__ FORCEINLINE void values(const u32 (&index)[{fmt.beta_bits + 1}], u32 (&value)[{value_bits}]) {{"
    )
    arguments = ", ".join(f"index[{k}]" if k < fmt.beta_bits else "0u" for k in (2, 1, 0))
    for bit in range(value_bits):
        table = sum((beta >> bit & 1) << at for at, beta in enumerate(fmt.betas))
        lines.append(f"    value[{bit}] = logic<0x{table:02x}>({arguments});")
    known = {"M": m, "BETA_BITS": fmt.beta_bits, "FITS": int(fits(fmt)), "VALUE_BITS": value_bits, **how.constants}
    constants = [f"#define {name} {value}" for name, value in known.items()]
    return "\n".join([*lines, "}", ""]), "\n".join([*constants, ""])


def wgmma(rows: int) -> str:
    """C++ of the instruction by which a warpgroup multiplies: 64 rows by 32 bytes without sign, in registers, times 32
    bytes, with one, of so many rows in shared memory."""
    sums = [f"c[{k // 4}][{k % 4}]" for k in range(rows // 2)]
    places = ", ".join(f"%{k}" for k in range(len(sums)))
    first, second, third, fourth, shared, one = (f"%{len(sums) + k}" for k in range(6))
    outputs = ", ".join(f'"+r"({name})' for name in sums)
    return f"""#if !GOSSET_HOST
__device__ FORCEINLINE void multiply(const u32 (&a)[4], unsigned long long b, int (&c)[{rows // 8}][4]) {{
    asm volatile("{{ .reg .pred p; setp.ne.b32 p, {one}, 0; wgmma.mma_async.sync.aligned.m64n{rows}k32.s32.u8.s8 "
                 "{{{places}}}, {{{first}, {second}, {third}, {fourth}}}, {shared}, p; }}"
                 : {outputs}
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1));
}}
#endif
"""


def source(fmt: Format, how: How) -> str:
    """The whole of the CUDA C++, in one piece."""
    logic, constants = header(fmt, how)
    common, kernel = ((SOURCE / name).read_text(encoding="utf-8") for name in (GPU, how.file))
    instruction = wgmma(how.rows) if isinstance(how, Wide) else ""
    return constants + common.replace('#include "decoder.h"', logic) + instruction + kernel


class Backend(Protocol):
    """What runs the kernels."""

    def launch(self, laid: Laid, m: int) -> How:
        """The kernel that multiplies `m` rows of activations."""

    def product(self, laid: Laid, x: Activations) -> NDArray[np.int32]:
        """Accumulators `(M, N)`."""

    def expand(self, laid: Laid) -> NDArray[np.int8]:
        """β·y of whole tiles, `(16·panels, 512·tiles)`, of a format that fits."""


def matmul(backend: Backend, x: Operand, w: PackedMatrix) -> Product:
    """The product x·wᵀ, as `golden.matmul.matmul`.

    Raises
    ------
    GossetError
        If the operands do not pass `golden.matmul.check`, or packed activations do not fit int8.
    """
    check(x, w)
    laid = Laid.of(w)
    how = backend.launch(laid, len(x.scales))
    return Product(backend.product(laid, Activations.of(x, how, laid.tiles)), x.scales, w.scales)


class Host:
    """The kernels on this machine's processor, for tests: grids as a GPU would have them, thread after thread.

    Parameters
    ----------
    processors : int
        Multiprocessors that are to be kept busy.
    hopper : bool
        Whether they are taken for Hopper's.
    flags : tuple of str
        Of the compiler, beside the usual ones.
    """

    def __init__(self, processors: int = 1, hopper: bool = False, flags: tuple[str, ...] = ("-O1",)):
        self.processors, self.hopper, self.flags = processors, hopper, flags

    def launch(self, laid: Laid, m: int) -> How:
        """As `Backend`."""
        return launch(laid.matrix.format, m, len(laid.labels), laid.tiles, self.processors, self.hopper)

    def product(self, laid: Laid, x: Activations) -> NDArray[np.int32]:
        """As `Backend`."""
        m, rows = len(x.sums), len(laid.matrix.scales)
        how, acc = x.how, np.zeros((m, rows), dtype=np.int32)
        grid = np.array(how.grid(m, len(laid.labels), laid.tiles, self.processors), dtype=np.uint32)
        call = getattr(_library(laid.matrix.format, how, self.flags), f"gosset_host_{how.kernel}")
        call(*_pointers(laid.labels, laid.betas, x.values, x.sums, acc), m, rows, laid.tiles, *_pointers(grid))
        return acc

    def expand(self, laid: Laid) -> NDArray[np.int8]:
        """As `Backend`."""
        out = np.empty((len(laid.labels) * TILE, laid.tiles * COLUMNS), dtype=np.int8)
        grid = np.array(expanding(laid), dtype=np.uint32)
        call = _library(laid.matrix.format, ON_TENSOR_CORES[0], self.flags).gosset_host_expand
        call(*_pointers(laid.labels, laid.betas, out), laid.tiles, *_pointers(grid))
        return out


def expanding(laid: Laid) -> tuple[int, int, int]:
    """Blocks of threads that expand a matrix, by panels and by tiles."""
    return len(laid.labels), -(-laid.tiles // ON_TENSOR_CORES[0].warps), 1


def _pointers(*arrays: NDArray[Any]) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(array.ctypes.data) for array in arrays]


@cache
def _library(fmt: Format, how: How, flags: tuple[str, ...]) -> ctypes.CDLL:
    command, version = compiler()
    text = "#define GOSSET_HOST 1\n" + source(fmt, how)
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

    Raises
    ------
    ToolError
        If CuPy or a GPU is missing; NVRTC, where kernels are compiled.
    """

    def __init__(self) -> None:
        try:
            import cupy

            self.processors = int(cupy.cuda.Device().attributes["MultiProcessorCount"])
        except ImportError as error:
            raise ToolError("CuPy is missing; install it with: pip install 'gosset[gpu]'.") from error
        except Exception as error:
            raise ToolError(f"There is no GPU here that CuPy can use: {error}.") from error
        self.cupy, self.hopper = cupy, cupy.cuda.Device().compute_capability == "90"
        self._there: OnGpu | None = None

    def launch(self, laid: Laid, m: int) -> How:
        """As `Backend`."""
        return launch(laid.matrix.format, m, len(laid.labels), laid.tiles, self.processors, self.hopper)

    def put(self, laid: Laid) -> "OnGpu":
        """Brings a matrix to the GPU."""
        return OnGpu(self, laid, self.cupy.asarray(laid.labels), self.cupy.asarray(laid.betas))

    def product(self, laid: Laid, x: Activations) -> NDArray[np.int32]:
        """As `Backend`; the matrix of the call before is there already."""
        if self._there is None or self._there.laid is not laid:
            self._there = self.put(laid)
        acc = self.cupy.empty((len(x.sums), len(laid.matrix.scales)), dtype=np.int32)
        self._there.product(x.how, self.cupy.asarray(x.values), self.cupy.asarray(x.sums), acc)
        return np.asarray(self.cupy.asnumpy(acc))

    def expand(self, laid: Laid) -> NDArray[np.int8]:
        """As `Backend`."""
        there = self.put(laid)
        out = self.cupy.empty(there.expanded, dtype=np.int8)
        there.expand(out)
        return np.asarray(self.cupy.asnumpy(out))


@cache
def _kernel(fmt: Format, how: How, name: str) -> Any:
    import cupy

    text = source(fmt, how)
    if isinstance(how, Launch):
        return cupy.RawModule(code=text, options=("-std=c++17",), backend="nvrtc").get_function(name)
    # CuPy does not know of sm_90a.
    made_of = json.dumps([nvrtc_version(), text])
    key = f"gpu-{sha256(made_of.encode()).hexdigest()}"
    entry = kept.find(key)
    if entry is None:
        with kept.workplace() as work:
            (work / "kernels.cubin").write_bytes(compiled(text, "sm_90a"))
            entry = kept.keep(key, [work / "kernels.cubin"], work)
    return cupy.RawModule(path=str(entry / "kernels.cubin")).get_function(name)


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

    def product(self, how: How, values: Any, sums: Any, acc: Any) -> None:
        """Accumulators, into int32 `(M, N)`, of activations laid out for a kernel."""
        fmt, (m, n) = self.laid.matrix.format, acc.shape
        kernel, shared = _kernel(fmt, how, f"gosset_{how.kernel}"), how.shared_bytes(fmt, m)
        kernel.max_dynamic_shared_size_bytes = shared
        grid = how.grid(m, len(self.laid.labels), self.laid.tiles, self.cuda.processors)
        if isinstance(how, Launch) and grid[2] > 1:
            acc.fill(0)
        numbers = (np.int32(m), np.int32(n), np.int32(self.laid.tiles))
        kernel(grid, how.threads, (self.labels, self.betas, values, sums, acc, *numbers), shared_mem=shared)

    def expand(self, out: Any) -> None:
        """β·y, into int8 of the shape `expanded`."""
        how = ON_TENSOR_CORES[0]
        kernel = _kernel(self.laid.matrix.format, how, "gosset_expand")
        kernel(expanding(self.laid), (WARP, how.warps), (self.labels, self.betas, out, np.int32(self.laid.tiles)))

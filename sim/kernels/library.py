"""The compiled kernels: built on demand for one set of instructions, kept in the cache, and called through ctypes."""

import ctypes
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from golden import process
from golden.errors import ToolError
from golden.lattice import DIM, codewords
from golden.voronoi import RATES
from sim.kernels.decoder import decoder
from sim.kernels.logic import expression
from sim.rtl import cache as kept
from sim.rtl.tools import check_compiler, compiler

_LIBRARY = "library.so"

_AVX512 = (
    *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vbmi", "-mavx512vnni", "-mgfni"),
    *("-mavx2", "-mfma", "-mbmi2"),
)

PATHS = {
    "amx": (*_AVX512, "-mamx-tile", "-mamx-int8"),
    "avx512": _AVX512,
    "avx2": ("-mavx2",),
    "portable": (),
}
"""Sets of instructions that kernels are written for, the fastest first, and the compiler's flags for them."""

_AVX512_NEEDED = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi", "avx512_vnni", "gfni", "bmi2")

NEEDED = {
    "amx": (*_AVX512_NEEDED, "amx_tile", "amx_int8"),
    "avx512": _AVX512_NEEDED,
    "avx2": ("avx2",),
    "portable": (),
}
"""Flags of the processor, as Linux names them, that a path needs."""

SOURCE = Path(__file__).with_name("source")

FETCH = 25
"""Operations of the decoder from one place where memory is fetched ahead to the next."""

RELOAD = 12
"""A plane is loaded again where it was used last so many operations before: there are more planes than registers."""

FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"),
    "-ffp-contract=off",  # the encoder rounds after every operation, as NumPy does
)


def supported() -> list[str]:
    """The paths that this machine's processor can run, the fastest first."""
    flags = _processor_flags()
    return [path for path, needed in NEEDED.items() if flags.issuperset(needed) and (path != "amx" or _tiles_allowed())]


@cache
def load(path: str) -> ctypes.CDLL:
    """The kernels of a path, built if need be.

    Raises
    ------
    ToolError
        If the path is unknown or not supported here, or the compiler is missing or fails.
    """
    check(path)
    library = kept.load(build("kernels.cpp", PATHS[path]))
    matrix, pointer, size = ctypes.POINTER(Matrix), ctypes.c_void_p, ctypes.c_int64
    library.gosset_relay.argtypes = [matrix, pointer, ctypes.c_int]
    library.gosset_integers.argtypes = [matrix, pointer, ctypes.c_int]
    product: list[Any] = [matrix, pointer, pointer, size, size, *[pointer] * 4, ctypes.c_int]
    library.gosset_product.argtypes = product
    return library


class Matrix(ctypes.Structure):
    """A packed matrix, as `source/kernels.cpp` takes it."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("planes", "labels", "indices")),
        *((name, ctypes.c_int64) for name in ("rows", "blocks")),
        *((name, ctypes.c_int32) for name in ("size", "packed", "m", "bits")),
        ("betas", ctypes.c_uint8 * 8),
    ]


@cache
def load_encoder(path: str) -> ctypes.CDLL:
    """The encoder for a path, as `load`; tiles are nothing to it."""
    check(path)
    return kept.load(build("encoder.cpp", PATHS["avx512" if path == "amx" else path]))


def check(path: str) -> None:
    """Whether there are kernels of this name, and the processor can run them.

    Raises
    ------
    ToolError
        If not.
    """
    if path not in PATHS:
        raise ToolError(f"No kernels are called {path!r}; there are {', '.join(PATHS)}.")
    if path not in supported():
        raise ToolError(f"The kernels {path!r} need {', '.join(NEEDED[path])}, which this processor does not have.")


def build(name: str, flags: tuple[str, ...]) -> Path:
    """Compiles a file of `source/` to a shared library in the cache, or finds it there.

    Raises
    ------
    ToolError
        If the compiler is missing or fails.
    """
    command, version = compiler()
    header = decoder_header()
    texts = [(file.name, file.read_text(encoding="utf-8")) for file in sorted(SOURCE.iterdir())]
    made_of = json.dumps([command, version, FLAGS, flags, name, header, texts])
    entry_name = f"kernels-{hashlib.sha256(made_of.encode()).hexdigest()}"
    entry = kept.find(entry_name)
    if entry is None:
        check_compiler(command)
        with kept.workplace() as work:
            (work / "decoder.h").write_text(header, encoding="utf-8")
            sources = ("-I", work, "-I", SOURCE, SOURCE / name)
            process.call([*command, *FLAGS, *flags, *sources, "-o", work / _LIBRARY])
            entry = kept.keep(entry_name, [work / _LIBRARY], work)
    return entry / _LIBRARY


def decoder_header() -> str:
    """C++ of the decoders for all rates: `decode(Rate<M>(), planes, computed, fetch)`.

    Between its operations it calls fetch(0) ... fetch(FETCHES<M> - 1), each with a constant of its own. Bit a of
    CODEWORDS[i] is coordinate i of the codeword with information bits a.
    """
    decoders = [decoder(q) for q in RATES]
    lines = [
        "// Written by sim/kernels/library.py.",
        "#pragma once",
        '#include "vector.h"',
        "namespace gosset {",
        "#define SIMPLE(name, table, text) \\",
        "    inline V name([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c) { return text; }",
        "#if GOSSET_AVX512",
        "#define FUNCTION(name, table, text) \\",
        "    inline V name(V a, V b, V c) { return _mm512_ternarylogic_epi64(a, b, c, table); }",
        "#else",
        "#define FUNCTION SIMPLE",
        "#endif",
    ]
    tables = sorted({step.table for each in decoders for step in each.steps})
    for table in tables:
        text = expression(table)
        # Of two inputs there are instructions that overwrite neither.
        kind = "SIMPLE" if re.fullmatch(r"\(\w [&|^] ~?\w\)", text) else "FUNCTION"
        lines.append(f"{kind}(f{table:02x}, 0x{table:02x}, {text})")
    words = [sum(int(bit) << a for a, bit in enumerate(column)) for column in codewords().T]
    lines.append(f"constexpr uint16_t CODEWORDS[DIM] = {{{', '.join(hex(word) for word in words)}}};")
    lines.append("template <int M> using Rate = std::integral_constant<int, M>;")
    lines.append("template <int M> constexpr int FETCHES = 0;")
    for each in decoders:
        m = each.q.bit_length() - 1
        lines.append(f"template <> constexpr int FETCHES<{m}> = {len(each.steps) // FETCH};")
        lines.append("template <class F> inline INLINE")
        lines.append(f"void decode(Rate<{m}>, const uint8_t* planes, uint8_t* computed, const F& fetch) {{")
        where = {bit: k for k, bit in enumerate(each.outputs)}
        loaded: dict[int, int] = {}
        for k, step in enumerate(each.steps):
            stale = [s for s in {*step.sources} if s < 2 + DIM * m and loaded.get(s, -RELOAD) <= k - RELOAD]
            if stale:
                lines.append('    asm("" : "+r"(planes));')
            for source in sorted(stale):
                lines.append(f"    {'' if source in loaded else 'V '}n{source} = load(planes + {source - 2} * PLANE);")
                loaded[source] = k
            sources = ", ".join(f"n{source}" for source in step.sources)
            lines.append(f"    const V n{step.target} = f{step.table:02x}({sources});")
            if step.target in where:
                lines.append(f"    store(computed + {where[step.target]} * PLANE, n{step.target});")
            if (k + 1) % FETCH == 0:
                lines.append(f"    fetch(std::integral_constant<int, {k // FETCH}>());")
        lines.append("}")
    return "\n".join([*lines, "}  // namespace gosset", ""])


@cache
def _tiles_allowed() -> bool:
    """Whether Linux lets this process use the registers of tiles; it has to be asked once (arch_prctl(2))."""
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


@cache
def _processor_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())

"""ggml's products through its C interface, from the library that ik-llama-cpp-python ships: no Python of it is used."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import ToolError
from sim.compare.ways import Array, Prepared, Unfit

TYPES = {
    "Q4_0": (2, 32), "Q2_K": (10, 256), "Q3_K": (11, 256), "Q4_K": (12, 256), "Q5_K": (13, 256), "IQ2_XS": (17, 256),
    "IQ3_S": (21, 256), "IQ4_XS": (23, 256),
}  # fmt: skip
"""Numbers of its types, and the entries of a block."""

FAMILIES = {"Q2_K": "K", "Q3_K": "K", "Q4_K": "K", "Q5_K": "K", "IQ2_XS": "IQ", "IQ3_S": "IQ", "IQ4_XS": "IQ"}

FLOAT32 = 0
OVERHEAD = 1 << 20
"""Bytes of a context beside its tensors: their headers, a graph, and room to quantise activations in."""


class _Init(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@cache
def library() -> ctypes.CDLL:
    """The library.

    Raises
    ------
    ToolError
        If it is not there, or lacks a function.
    """
    spec = find_spec("ik_llama_cpp")
    where = Path(spec.origin or "").parent / "lib" / "libggml.so" if spec else None
    if where is None or not where.exists():
        raise ToolError("ggml is missing; install it with: pip install 'gosset[rivals]'.")
    found = ctypes.CDLL(str(where))
    pointer, size, whole = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
    for name, result, arguments in (
        ("ggml_init", pointer, [_Init]),
        ("ggml_free", None, [pointer]),
        ("ggml_new_tensor_2d", pointer, [pointer, ctypes.c_int, whole, whole]),
        ("ggml_get_data", pointer, [pointer]),
        ("ggml_mul_mat", pointer, [pointer] * 3),
        ("ggml_new_graph", pointer, [pointer]),
        ("ggml_build_forward_expand", None, [pointer] * 2),
        ("ggml_graph_compute_with_ctx", ctypes.c_int, [pointer, pointer, ctypes.c_int]),
        ("ggml_quantize_chunk", size, [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]),
        ("ggml_row_size", size, [ctypes.c_int, whole]),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


@dataclass(frozen=True)
class Ggml:
    """One of ggml's types of weights, activations quantised on the way."""

    kind: str
    takes: str = "fp32"

    @property
    def name(self) -> str:
        """ggml and the type."""
        return f"ggml {self.kind}"

    @property
    def family(self) -> str:
        """K-quants and IQ types are families of rates."""
        return f"ggml {FAMILIES[self.kind]}" if self.kind in FAMILIES else ""

    def prepare(self, w: Array, copies: Callable[[float], int], threads: int) -> Prepared:
        """As `sim.compare.ways.Way`."""
        number, block = TYPES[self.kind]
        if w.shape[1] % block:
            raise Unfit(f"K is no multiple of {block}")
        stored = self.quantised(w)
        count = copies(stored.nbytes)
        graphs: dict[int, list[_Graph]] = {}

        def operand(x: Array) -> Array:  # a graph is for one M: those for the last one go
            if len(x) not in graphs:
                graphs.clear()
                graphs[len(x)] = [_Graph(number, stored, w.shape, len(x), threads) for _ in range(count)]
            return x

        def call(place: int, x: Array) -> Array:
            return graphs[len(x)][place](x)

        return Prepared(8 * stored.nbytes / w.size, operand, [partial(call, i) for i in range(count)])

    def quantised(self, w: Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The weights' bytes, quantised by ggml itself; rows that repeat are quantised once."""
        lib, number = library(), TYPES[self.kind][0]
        distinct = next((n for n in range(1, len(w)) if np.array_equal(w[n], w[0])), len(w))
        rows = np.ascontiguousarray(w[:distinct])
        out = np.empty((distinct, lib.ggml_row_size(number, w.shape[1])), dtype=np.uint8)
        even = np.ones(w.shape[1], dtype=np.float32)  # all columns matter as much as each other
        lib.ggml_quantize_chunk(*(number, rows.ctypes.data, out.ctypes.data, 0, distinct, w.shape[1], even.ctypes.data))
        return np.resize(out, (len(w), out.shape[1]))


class _Graph:
    """One product in a context of its own, which holds a copy of the weights, the activations and the result."""

    def __init__(self, number: int, stored: Any, shape: tuple[int, ...], m: int, threads: int):
        lib = library()
        n, k = shape
        room = OVERHEAD + 4 * m * (n + 4 * k)
        self.context = lib.ggml_init(_Init(stored.nbytes + room, None, False))
        self.threads = threads
        weights = lib.ggml_new_tensor_2d(self.context, number, k, n)
        ctypes.memmove(lib.ggml_get_data(weights), stored.ctypes.data, stored.nbytes)
        x = lib.ggml_new_tensor_2d(self.context, FLOAT32, k, m)
        y = lib.ggml_mul_mat(self.context, weights, x)
        self.graph = lib.ggml_new_graph(self.context)
        lib.ggml_build_forward_expand(self.graph, y)
        self.x = np.ctypeslib.as_array((ctypes.c_float * (m * k)).from_address(lib.ggml_get_data(x))).reshape(m, k)
        self.y = np.ctypeslib.as_array((ctypes.c_float * (m * n)).from_address(lib.ggml_get_data(y))).reshape(m, n)

    def __call__(self, x: Array) -> Array:
        self.x[:] = x
        if library().ggml_graph_compute_with_ctx(self.context, self.graph, self.threads):
            raise ToolError("ggml failed to multiply.")
        return self.y

    def __del__(self) -> None:
        library().ggml_free(self.context)

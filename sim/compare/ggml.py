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

NODES = 16
"""Room in a graph, which has one product."""

OVERHEAD = 1 << 16
"""Bytes of a context for each product, beside weights, activations and results: headers and the graph."""


class _Init(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class _Plan(ctypes.Structure):
    """How a graph is computed; what comes after these fields differs between versions, and is only handed back."""

    _fields_ = (("work_size", ctypes.c_size_t), ("work", ctypes.c_void_p), ("rest", ctypes.c_uint8 * 240))


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
        ("ggml_new_graph_custom", pointer, [pointer, size, ctypes.c_bool]),
        ("ggml_build_forward_expand", None, [pointer] * 2),
        ("ggml_graph_plan", _Plan, [pointer, ctypes.c_int]),
        ("ggml_graph_compute", ctypes.c_int, [pointer, ctypes.POINTER(_Plan)]),
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
        made: dict[int, _Products] = {}

        def operand(x: Array) -> Array:  # products are for one M: those for the last one go
            if len(x) not in made:
                made.clear()
                made[len(x)] = _Products(number, stored, w.shape, len(x), count, threads)
            return x

        def call(place: int, x: Array) -> Array:
            return made[len(x)](place, x)

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


class _Products:
    """A context with so many copies of the weights, activations, and a graph of one product with each copy."""

    def __init__(self, number: int, stored: Any, shape: tuple[int, ...], m: int, count: int, threads: int):
        lib = library()
        n, k = shape
        self.context = lib.ggml_init(_Init(count * (stored.nbytes + 4 * m * n + OVERHEAD) + 4 * m * k, None, False))
        if not self.context:
            raise ToolError("ggml has no memory for its products.")
        x = lib.ggml_new_tensor_2d(self.context, FLOAT32, k, m)
        self.x = _floats(lib.ggml_get_data(x), m, k)
        self.graphs, self.results = [], []
        for _ in range(count):
            weights = lib.ggml_new_tensor_2d(self.context, number, k, n)
            ctypes.memmove(lib.ggml_get_data(weights), stored.ctypes.data, stored.nbytes)
            y = lib.ggml_mul_mat(self.context, weights, x)
            graph = lib.ggml_new_graph_custom(self.context, NODES, False)
            lib.ggml_build_forward_expand(graph, y)
            self.graphs.append(graph)
            self.results.append(_floats(lib.ggml_get_data(y), m, n))
        self.plan = lib.ggml_graph_plan(self.graphs[0], threads)
        self.work = np.empty(self.plan.work_size + 64, dtype=np.uint8)
        self.plan.work = self.work.ctypes.data

    def __call__(self, place: int, x: Array) -> Array:
        self.x[:] = x
        if library().ggml_graph_compute(self.graphs[place], ctypes.byref(self.plan)):
            raise ToolError("ggml failed to multiply.")
        return self.results[place]

    def __del__(self) -> None:
        if self.context:
            library().ggml_free(self.context)


def _floats(address: int, rows: int, columns: int) -> Array:
    """float32 `(rows, columns)` at an address."""
    return np.ctypeslib.as_array((ctypes.c_float * (rows * columns)).from_address(address)).reshape(rows, columns)

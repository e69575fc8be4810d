"""An ONNX network evaluated with its matrix products on packed operands; ONNX's reference evaluator does the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.checkpoint import decibels
from golden.errors import GossetError, ToolError
from golden.files import named, reason
from golden.format import PackedMatrix
from golden.int8 import Int8Matrix, quantize_int8
from golden.matmul import Operand
from golden.quantize import quantize, rms_scales
from golden.rivals import Codec
from golden.rounding import choose
from golden.universal import Rotation
from sim.device import Device
from sim.networks.products import Products, of_conv, of_gemm, of_matmul
from sim.tiles import Job
from sim.workloads.graph import load_model
from sim.workloads.layers import Unmapped
from sim.workloads.nodes import OPERANDS, UNMAPPED, label, shown

try:
    import onnx
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun, RuntimeContextError, RuntimeImplementationError
except ImportError as error:
    raise ToolError("onnx is missing; install it with: pip install 'gosset[workloads]'.") from error

Array = NDArray[Any]

MAPPED = ("MatMul", "Gemm", "Conv")
"""Operators whose products are computed on packed operands."""

BODIES = ("If", "Loop", "Scan", "SequenceMap")
"""Operators with graphs of their own, whose products are computed as all others."""

NO_PEER = -999.0
"""SQNR of what has nothing to be compared with, since the network in float32 went another way through its graph."""

Multiply = Callable[[Array, Array], Array]
"""Products x·wᵀ, `(count, M, K)` and `(count, N, K)`, as float32 `(count, M, N)`."""


def exact(x: Array, w: Array) -> Array:
    """The products in float32."""
    return np.asarray(np.matmul(x, w.swapaxes(1, 2)))


def on_device(device: Device, *, rotate: bool = True, rounding: Any = choose) -> Multiply:
    """The products on a device, both operands quantised: packed, or x to int8 where the design takes no other.

    Scales of w are searched; those of x come from the RMS of its rows where they are rotated, as on chip.

    Parameters
    ----------
    device : Device
    rotate : bool
        Whether rows of both are rotated alike first (`golden.universal.Rotation`).
    rounding : callable
        As `golden.quantize.quantize` takes it.
    """

    def multiply(x: Array, w: Array) -> Array:
        (count, m, k), n = x.shape, w.shape[1]
        rows = [np.ascontiguousarray(part).reshape(-1, k) for part in (x, w)]
        if rotate:
            rows = [Rotation(k).forward(part.astype(np.float32)) for part in rows]
        right = quantize(rows[1], device.design.format, rounding=rounding)
        left: Operand
        if device.design.packed:
            scales = rms_scales(rows[0], device.design.format) if rotate else None
            left = quantize(rows[0], device.design.format, scales=scales, rounding=rounding)
        else:
            left = quantize_int8(rows[0])
        result = np.empty((count, m, n), np.float32)
        for i in range(count):
            job = Job(device.design, _some(left, i * m, m), _some(right, i * n, n))  # type: ignore[arg-type]
            result[i] = device.run(job).product.result
        return result

    return multiply


def with_codec(codec: Codec, *, rotate: bool = False) -> Multiply:
    """The products in float32 of what a rival's codec reads back of both operands."""

    def multiply(x: Array, w: Array) -> Array:
        rows = [np.ascontiguousarray(part).reshape(-1, part.shape[-1]) for part in (x, w)]
        if rotate:
            rows = [Rotation(part.shape[1]).forward(part.astype(np.float32)) for part in rows]
        return exact(*(codec(part).values.reshape(whole.shape) for part, whole in zip(rows, (x, w), strict=True)))

    return multiply


def _some(matrix: Operand, start: int, count: int) -> Operand:
    """Some rows of a quantised matrix."""
    part = slice(start, start + count)
    if isinstance(matrix, Int8Matrix):
        return Int8Matrix(matrix.values[part], matrix.scales[part])
    return PackedMatrix(matrix.format, matrix.columns, matrix.labels[part], matrix.betas[part], matrix.scales[part])


@dataclass(frozen=True)
class LayerError:
    """What became of the products of a node.

    Attributes
    ----------
    name, operator : str
    m, n, k, count : int
        Sizes of its products.
    own_db : float
        SQNR of its products beside those in float32 of the same operands.
    db : float
        SQNR of its result beside that of the network in float32: the errors of all layers before are in it.
    """

    name: str
    operator: str
    m: int
    n: int
    k: int
    count: int
    own_db: float
    db: float


@dataclass(frozen=True)
class OutputError:
    """An output of the network beside that of the network in float32.

    Attributes
    ----------
    name : str
    db : float
        SQNR.
    largest : float
        Largest absolute difference.
    same_first : float or None
        Share of rows (along the last axis) whose largest entry is at the same place; None for outputs of one column.
    """

    name: str
    db: float
    largest: float
    same_first: float | None


@dataclass
class Evaluation:
    """A network evaluated.

    Attributes
    ----------
    outputs : mapping of str to arrays
    layers : list of LayerError
    errors : list of OutputError
    """

    outputs: dict[str, Array]
    layers: list[LayerError] = field(default_factory=list)
    errors: list[OutputError] = field(default_factory=list)


class Network:
    """An ONNX file with inputs.

    Parameters
    ----------
    path : Path
        The file; weights may be in files beside it.
    inputs : mapping
        An array for each input of the graph.

    Raises
    ------
    GossetError
        If it cannot be read, an input is missing or does not fit, or an operator cannot be evaluated.
    """

    def __init__(self, path: Path, inputs: Mapping[str, Array]) -> None:
        self.path = path
        self.model = load_model(path, whole=True)
        self.inputs = _fitting(path, self.model.graph, inputs)
        self.unmapped = tuple(_unmapped(self.model.graph))
        self._results: list[tuple[str, Array]] = []
        self.reference = self._run(exact, lambda: None, None)

    @property
    def size(self) -> int:
        """Nodes whose products are computed, each as often as it runs."""
        return len(self._results)

    def evaluate(self, multiply: Multiply, advance: Callable[[], object] = lambda: None) -> Evaluation:
        """Evaluates it with other products.

        Parameters
        ----------
        multiply : callable
        advance : callable
            Called after each node of products.

        Raises
        ------
        GossetError
            If operands of a node cannot be quantised, or its products not be computed; it is named.
        """
        layers: list[LayerError] = []
        outputs = self._run(multiply, advance, layers)
        errors = [_output_error(name, outputs[name], value) for name, value in self.reference.items()]
        return Evaluation(outputs, layers, [error for error in errors if error])

    def _run(
        self, multiply: Multiply, advance: Callable[[], object], layers: list[LayerError] | None
    ) -> dict[str, Array]:
        """The outputs; the first run, without `layers`, keeps the results of the products."""

        def compute(node: Any, products: Products) -> Array:
            x, w = products.x, products.w
            if 0 in (*x.shape, *w.shape) or x.dtype.kind != "f":
                return products.finish(exact(x, w))
            if layers is None:
                y = products.finish(exact(x, w))
                self._results.append((label(node), y))
                return y.astype(x.dtype, copy=False)
            try:
                found = multiply(x, w)
            except GossetError as error:
                raise GossetError(f"{label(node)}: {error}") from error
            y = products.finish(found).astype(x.dtype, copy=False)
            name, before = self._results[len(layers)] if len(layers) < len(self._results) else ("", y)
            own = _sqnr(found, exact(x, w))
            whole = _sqnr(y, before) if name == label(node) else NO_PEER
            sizes = (x.shape[1], w.shape[1], x.shape[2], x.shape[0])
            layers.append(LayerError(label(node), node.op_type, *sizes, own, whole))
            advance()
            return y

        try:
            session = ReferenceEvaluator(self.model, new_ops=_operators(compute))
            values = session.run(None, dict(self.inputs))
        except GossetError:
            raise
        except (RuntimeContextError, RuntimeImplementationError, NotImplementedError) as error:
            first = str(error).splitlines()[0].rstrip(".")
            raise GossetError(f"{named(self.path)} has what ONNX's reference evaluator lacks: {first}.") from error
        except Exception as error:  # whatever NumPy says of shapes that do not fit
            first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise GossetError(f"{named(self.path)} cannot be evaluated with these inputs: {first}.") from error
        return dict(zip(session.output_names, values, strict=True))


def read_inputs(path: Path) -> dict[str, Array]:
    """The arrays of a .npz file, by name.

    Raises
    ------
    GossetError
        If it is none, is damaged, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array")
            return {name: file[name] for name in file.files}
    except Exception as error:  # of zipfile, zlib, NumPy and the system
        said = (
            reason(error)
            if isinstance(error, OSError)
            else str(error).splitlines()[0].rstrip(".")
            if str(error)
            else ""
        )
        raise GossetError(
            f"{named(path)} is no .npz file of inputs, as numpy.savez writes them: {said or 'it is damaged'}."
        ) from error


def _fitting(path: Path, graph: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs as the graph takes them."""
    constants = {value.name for value in graph.initializer}
    wanted = {value.name: value.type.tensor_type for value in graph.input if value.name not in constants}
    told = "; ".join(f"{shown(name)}: {_described(kind)}" for name, kind in wanted.items())
    if missing := [name for name in wanted if name not in inputs]:
        raise GossetError(f"The input {missing[0]!r} is missing; {named(path)} takes {told}.")
    if unknown := [name for name in inputs if name not in wanted]:
        raise GossetError(f"{named(path)} has no input {unknown[0]!r}; it takes {told}.")
    fitted = {}
    for name, kind in wanted.items():
        array, dtype = np.asarray(inputs[name]), onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        dims = kind.shape.dim if kind.HasField("shape") else None
        alike = array.dtype.kind == dtype.kind or {array.dtype.kind, dtype.kind} <= {"i", "u"}
        fits = dims is None or (
            array.ndim == len(dims)
            and all(d.dim_value in (0, n) or d.dim_value < 0 for d, n in zip(dims, array.shape, strict=True))
        )
        if not alike or not fits:
            raise GossetError(
                f"The input {name!r} is {array.dtype} {array.shape}, but {named(path)} takes {_described(kind)}."
            )
        fitted[name] = array.astype(dtype)
    return fitted


def _described(kind: Any) -> str:
    """Type and shape of an input."""
    sizes = [str(d.dim_value) if d.dim_value > 0 else shown(d.dim_param) or "any" for d in kind.shape.dim]
    return f"{onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)} ({', '.join(sizes)})"


def _unmapped(graph: Any) -> list[Unmapped]:
    """What multiplies and is computed by ONNX's evaluator, in graphs inside others as well."""
    found = []
    for node in graph.node:
        kind = node.op_type
        if node.domain not in ("", "ai.onnx"):
            operator = shown(f"{node.domain}.{kind}")
            found.append(Unmapped(label(node), operator, "the operator is not ONNX's own: it may multiply or not"))
        elif kind in UNMAPPED and kind not in BODIES:
            found.append(Unmapped(label(node), kind, UNMAPPED[kind]))
        elif kind == "Attention":
            found.append(Unmapped(label(node), kind, "its products are inside one operator"))
        elif kind in OPERANDS and kind not in MAPPED:
            found.append(Unmapped(label(node), kind, "its operands are integers already"))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += _unmapped(attribute.g)
    return found


def _operators(compute: Callable[[Any, Products], Array]) -> list[type[OpRun]]:
    """The operators of `MAPPED` for ONNX's evaluator."""

    class MatMul(OpRun):
        def _run(self, a: Array, b: Array) -> tuple[Array]:
            return (compute(self.onnx_node, of_matmul(a, b)),)

    class Gemm(OpRun):
        def _run(self, a: Array, b: Array, c: Array | None = None, **attributes: Any) -> tuple[Array]:
            return (compute(self.onnx_node, of_gemm(a, b, c, _given(attributes))),)

    class Conv(OpRun):
        def _run(self, x: Array, w: Array, b: Array | None = None, **attributes: Any) -> tuple[Array]:
            return (compute(self.onnx_node, of_conv(x, w, b, _given(attributes))),)

    class GlobalMaxPool(OpRun):  # onnx 1.23 takes the maximum over other axes where there is but one in space
        def _run(self, x: Array) -> tuple[Array]:
            return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)

    return [MatMul, Gemm, Conv, GlobalMaxPool]


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _sqnr(found: Array, wanted: Array) -> float:
    if found.shape != wanted.shape:
        return NO_PEER
    signal = wanted.astype(np.float64)
    return decibels(float(np.square(signal).sum()), float(np.square(signal - found).sum()))


def _output_error(name: str, found: Any, wanted: Any) -> OutputError | None:
    """None for an output that is no array of real numbers."""
    if not isinstance(wanted, np.ndarray) or wanted.dtype.kind not in "fiub" or found.shape != wanted.shape:
        return None
    difference = np.abs(wanted.astype(np.float64) - found.astype(np.float64))
    ranked = wanted.ndim > 0 and wanted.shape[-1] > 1
    same = float((wanted.argmax(axis=-1) == found.argmax(axis=-1)).mean()) if ranked else None
    return OutputError(name, _sqnr(found, wanted), float(difference.max(initial=0)), same)

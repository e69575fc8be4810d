"""What a node of an ONNX graph multiplies."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

from sim.workloads.layers import Kind, Layer

Shape = tuple[int, ...]

OPERANDS = {
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "Gemm": (0, 1),
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "QLinearConv": (0, 3),
}
"""Operators that are mapped, beside Attention, and which of their inputs are multiplied."""

_BODY = "its body is a graph of its own, which may run any number of times"

UNMAPPED = {
    "If": _BODY,
    "Loop": _BODY,
    "Scan": _BODY,
    "SequenceMap": _BODY,
    "LSTM": "its products follow each other in time",
    "GRU": "its products follow each other in time",
    "RNN": "its products follow each other in time",
    "Einsum": "its equation is not read",
    "ConvTranspose": "a transposed convolution is no im2col product",
    "DeformConv": "its weights meet inputs at places that are computed",
    "DFT": "a transform, not a product with weights",
    "STFT": "a transform, not a product with weights",
    "Det": "a determinant, not a product with weights",
    "LinearAttention": "its products follow each other in time",
    "CausalConvWithState": "a convolution with a state is no im2col product",
}
"""Operators of ONNX that multiply and are not mapped, and why."""


@dataclass
class Nodes:
    """What is known of the values between the nodes.

    Attributes
    ----------
    shapes : those that inference found, by name.
    constants : names of values that no input changes.
    caches : names of keys and values of earlier tokens.
    """

    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    caches: set[str] = field(default_factory=set)

    def kind(self, name: str) -> Kind:
        """What a second operand is."""
        return "weights" if name in self.constants else "kv" if name in self.caches else "activations"


def label(node: Any) -> str:
    """A node's name, in one line; of one without, what it makes."""
    return shown(node.name) or f"the {shown(node.op_type)} that makes {', '.join(map(repr, node.output))}"


def shown(name: str) -> str:
    """A name as it may be printed."""
    return name if name.isprintable() else repr(name)


def map_node(node: Any, nodes: Nodes) -> list[Layer] | str:
    """The products of a node of `OPERANDS`, or an Attention; or why there are none."""
    if node.op_type == "Attention":
        return _attention(node, nodes)
    places = OPERANDS[node.op_type]
    if len(node.input) <= max(places) or not node.output:
        return "it lacks an operand"
    first, second = (node.input[i] for i in places)
    for name in (first, second):
        if name not in nodes.shapes:
            return f"the shape of {name!r} is not known before it runs"
    a, b = nodes.shapes[first], nodes.shapes[second]
    if 0 in (*a, *b):
        return "an operand is empty"
    if first in nodes.constants and second in nodes.constants:
        return "both operands are constants: it is computed once, before the network runs"
    if node.op_type.endswith(("Conv", "ConvInteger")):
        return _conv(node, nodes, b, nodes.kind(second))
    if node.op_type == "Gemm":
        a = a[::-1] if _attribute(node, "transA", 0) else a
        b = b[::-1] if _attribute(node, "transB", 0) else b
    if first in nodes.constants:  # weights are the second operand: (a·b)ᵀ = bᵀ·aᵀ
        a, b, second = _transposed(b, column=True), _transposed(a, column=False), first
    return [_matmul(label(node), a, b, nodes.kind(second))]


def _transposed(shape: Shape, *, column: bool) -> Shape:
    """The shape with its last two axes swapped; a vector is a column or a row first."""
    if len(shape) == 1:
        shape = (*shape, 1) if column else (1, *shape)
    return (*shape[:-2], shape[-1], shape[-2])


def _matmul(name: str, a: Shape, b: Shape, kind: Kind) -> Layer:
    """NumPy's rules of broadcasting. Rows of all products that share a second operand are rows of one product."""
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    depth = max(len(a), len(b)) - 2
    left = (1,) * (depth + 2 - len(a)) + a[:-2]
    right = (1,) * (depth + 2 - len(b)) + b[:-2]
    rows = prod(x for x, y in zip(left, right, strict=True) if y == 1)
    count = prod(y for y in right if y > 1)
    return Layer(name, rows * a[-2], b[-1], a[-1], count, kind)


def _conv(node: Any, nodes: Nodes, w: Shape, kind: Kind) -> list[Layer] | str:
    """im2col: a row for each place of the result, an entry for each weight of a filter; a product for each group."""
    if node.output[0] not in nodes.shapes:
        return f"the shape of {node.output[0]!r} is not known before it runs"
    y, groups = nodes.shapes[node.output[0]], _attribute(node, "group", 1)
    rows = y[0] * prod(y[2:])
    if 0 in y:
        return "the result is empty"
    return [Layer(label(node), rows, w[0] // groups, prod(w[1:]), groups, kind)]


def _attention(node: Any, nodes: Nodes) -> list[Layer] | str:
    """Queries × keys, and the weights that they become × values; queries of a group share keys and values."""
    names = [node.input[i] if i < len(node.input) else "" for i in range(6)]
    for name in (*names[:3], *filter(None, names[4:])):
        if name not in nodes.shapes:
            return f"the shape of {name!r} is not known before it runs"
    shapes = [nodes.shapes[name] for name in names[:3]]
    if len(shapes[0]) == 3:
        heads = _attribute(node, "q_num_heads", 1), *2 * (_attribute(node, "kv_num_heads", 1),)
        q, k, v = ((s[0], h, s[1], s[2] // h) for s, h in zip(shapes, heads, strict=True))
    else:
        q, k, v = shapes  # type: ignore[assignment]
    past = nodes.shapes[names[4]][2] if names[4] else 0
    rows, length, count = q[1] // k[1] * q[2], past + k[2], q[0] * k[1]
    kind: Kind = "kv" if names[4] or names[1] in nodes.caches else "activations"
    return [
        Layer(f"{label(node)}, scores", rows, length, q[3], count, kind),
        Layer(f"{label(node)}, values", rows, v[3], length, count, kind),
    ]


def _attribute(node: Any, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)

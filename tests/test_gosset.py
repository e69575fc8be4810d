"""The command line: what it makes, and what it says of mistakes."""

import itertools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from golden.format import Format, PackedMatrix
from golden.matmul import matmul
from gosset import app, main
from hw.design import PRESETS
from sim.verify import Verification


def gosset(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "gosset", *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.fixture
def matrix(tmp_path):
    path = tmp_path / "matrix.npy"
    np.save(path, np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32))
    return path


def test_help_teaches():
    done = gosset("--help")
    assert done.returncode == 0 and "gosset sim" in done.stdout
    assert gosset().returncode == 2


def test_generate_writes_verilog_and_its_description(tmp_path):
    done = gosset("generate", "--design", "tiny", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gosset_tiny.json", "gosset_tiny.v"]
    description = json.loads((tmp_path / "gosset_tiny.json").read_text())
    assert description["design"]["rows"] == 1 and description["tools"]["amaranth"] and description["latency"] > 0


def test_generate_for_a_system_writes_the_register_map_too(tmp_path):
    done = gosset("generate", "--design", "tiny", "--bus", "axi", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    names = {path.name.removeprefix("gosset_tiny_axi") for path in tmp_path.iterdir()}
    assert names == {".v", ".json", ".h", ".core", ".sdc", "_registers.json", "_registers.md", "_driver.h", "_layer.py"}
    assert len(done.stdout.splitlines()) == 9


def test_cycles_says_where_they_go(tmp_path):
    shape = ("-M", 64, "-N", 64, "-K", 1024)
    done = gosset("cycles", "--design", "small_ws", *shape, "--w-period", 60, "-a", "int8", "-o", tmp_path)
    assert done.returncode == 0 and "w_late" in done.stdout, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert sum(report["counters"].values()) == report["cycles"] and report["counters"]["w_late"] > 0
    assert (tmp_path / "timeline.png").stat().st_size > 10000
    events = json.loads((tmp_path / "timeline.trace.json").read_text())["traceEvents"]
    computing = [event for event in events if event["ph"] == "X" and event["tid"] == 2]
    assert 0 < sum(event["dur"] for event in computing) <= json.loads((tmp_path / "report.json").read_text())["cycles"]
    assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in itertools.pairwise(computing)), "one job after the other"


def test_quantize_info_and_matmul(tmp_path, matrix):
    packed, result = tmp_path / "x.safetensors", tmp_path / "y.npy"
    done = gosset("quantize", matrix, packed, "--q", "8", "--betas", "2,3,5")
    assert done.returncode == 0 and "SQNR" in done.stdout, done.stderr
    assert "6 × 40" in gosset("info", packed).stdout
    done = gosset("matmul", packed, packed, "-o", result, "--backend", "golden")
    assert done.returncode == 0, done.stderr
    x = PackedMatrix.load(packed)
    assert x.format == Format(8, (2, 3, 5))
    np.testing.assert_array_equal(np.load(result), matmul(x, x).result)


def test_mistakes_are_told_in_a_sentence(tmp_path, matrix, monkeypatch, capsys):
    """Exit code 2, one line, no traceback, and nothing left behind."""
    packed = tmp_path / "x.safetensors"
    assert gosset("quantize", matrix, packed).returncode == 0
    wide, bad, long = tmp_path / "wide.safetensors", tmp_path / "bad.npy", tmp_path / "long.safetensors"
    np.save(bad, np.array([[1.0, np.nan]]))
    np.save(tmp_path / "other.npy", np.ones((2, 48)))
    assert gosset("quantize", tmp_path / "other.npy", wide).returncode == 0
    np.save(tmp_path / "long.npy", np.ones((1, 10000)))
    assert gosset("quantize", tmp_path / "long.npy", long, "--q", "64", "--betas", "15").returncode == 0
    truncated, altered = tmp_path / "truncated.safetensors", tmp_path / "altered.safetensors"
    truncated.write_bytes(packed.read_bytes()[:-9])
    data = bytearray(packed.read_bytes())
    data[-5] ^= 16
    altered.write_bytes(data)
    (tmp_path / "file").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())

    out, below = tmp_path / "out", tmp_path / "file" / "below"
    for arguments, words in (
        (("quantize", matrix, out, "--q", "12"), "q must be a power of two"),
        (("quantize", matrix, out, "--q", "128"), "q must be a power of two"),
        (("quantize", matrix, out, "--betas", "3,x"), "--betas takes integers"),
        (("quantize", matrix, out, "--betas", "5,3"), "ascending"),
        (("quantize", matrix, out, "--selection", "worst"), "it is 'worst'"),
        (("quantize", bad, out), "row 0, column 1 is nan"),
        (("quantize", tmp_path / "file", out), "not a .npy file"),
        (("quantize", tmp_path / "nowhere.npy", out), "No such file"),
        (("quantize", matrix, below), "Cannot write"),
        (("info", truncated), "truncated"),
        (("info", altered), "altered"),
        (("info", matrix), "no packed matrix"),
        (("matmul", packed, wide, "-o", out), "6 × 40 and 2 × 48"),
        (("matmul", long, long, "-o", out), "K may be at most"),
        (("matmul", packed, packed, "-o", out, "--backend", "tpu"), "golden, cpu, gpu, rtl"),
        (("matmul", packed, packed, "-o", below, "--backend", "golden"), "Cannot write"),
        (("generate", "--design", "huge", "-o", out), "No design is called 'huge'"),
        (("generate", "--design", "tiny", "-o", below), "Cannot write"),
        (("generate", "--design", "tiny", "--bus", "pci", "-o", out), "axis or axi"),
        (("cycles", "-M", 0, "-N", 1, "-K", 1, "-o", out), "M must be from 1"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "--x-period", 0, "-o", out), "x_period must be from 1"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "-a", "int8", "-o", out), "but not int8"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "-a", "int8", "--bus", "axi", "-o", out), "but not int8"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "--bus", "ahb", "-o", out), "stream or axi, not 'ahb'"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "--bus", "axi", "--w-period", 2, "-o", out), "leave --x-period"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "-a", "raw", "-o", out), "takes packed activations, but not raw"),
        (("cycles", "-M", 1, "-N", 1, "-K", 1, "-o", below), "Cannot write"),
        (("bench", "nothing", "--design", "tiny"), "No bench is called 'nothing'"),
        (("area", "nothing", "-o", out), "No unit is called 'nothing'"),
        (("sim", "--design", "huge"), "No design is called 'huge'"),
        (("sim", "-o", below), "Cannot write"),
    ):
        monkeypatch.setattr("sys.argv", ["gosset", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        said = capsys.readouterr().err
        assert done.value.code == 2, (arguments, said)
        assert words in said and len(said.splitlines()) == 1, (arguments, said)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_mismatch_ends_the_main_job_with_1(monkeypatch):
    """A report with a difference, as `sim.verify` makes it of one wrong accumulator."""
    seen = Verification()
    seen.compare("product 3", np.array([[7]]), np.array([[-1]]), ("row", "column"))
    run = {"cycles": 1, "macs_per_cycle": 1.0, "utilisation": 0.1}
    report = {
        "mismatches": seen.mismatches,
        "described": seen.described,
        "accumulators_compared": 1,
        "blocks_checked": {"4": 1},
        "accuracy": {"e8_q4": 0.9},
        "bits_per_entry": {"e8_q4": 2.25},
        "images": 1,
        "digits": {"e8_q4": run},
        "design": PRESETS["tiny"].as_dict(),
    }
    monkeypatch.setattr("sim.verify.verify", lambda *_: report)
    done = CliRunner().invoke(app, ["sim"])
    assert done.exit_code == 1
    assert "row 0, column 0: expected 7 (0x00000007) but actual -1 (0xffffffff)" in done.stderr
    monkeypatch.setattr("sim.verify.verify", lambda *_: report | {"mismatches": 0, "described": []})
    assert CliRunner().invoke(app, ["sim"]).exit_code == 0


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    """With an empty cache and nothing on PATH, the RTL backend says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GOSSET_CACHE", str(tmp_path / "cache"))
    done = gosset("waves", "-o", tmp_path / "waves")
    assert done.returncode == 2 and "apt install" in done.stderr, done.stderr
    assert not (tmp_path / "waves").exists() or not list((tmp_path / "waves").iterdir())
    assert shutil.which("c++") is None

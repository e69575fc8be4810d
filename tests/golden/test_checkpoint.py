"""Checkpoints packed into folders: stopped, resumed, within memory, and refused where they cannot be."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from golden.calibration import Calibration, hessian_of
from golden.checkpoint import LISTING, PART, Packed, begin, pack
from golden.errors import GossetError
from golden.files import replacing
from golden.format import Format, PackedMatrix
from golden.quantize import quantize
from golden.weights import ldlq, proxy_loss
from tests.children import environment, gosset, sentence


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network():
    """Linear layers as PyTorch and as GPT-2 have them, and what is no matrix."""
    return {
        "a.q_proj.weight": gaussian(24, 40),
        "a.k/proj.weight": gaussian(16, 40, seed=1).astype(np.float16),
        "h.c_attn.weight": gaussian(40, 24, seed=2),
        "a.norm": gaussian(40, seed=3),
        "ids": np.arange(12, dtype=np.int64).reshape(3, 4),
        "conv": gaussian(2, 3, 4, seed=4),
    }


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(network(), path)
    return path


def packed_whole(path, folder, fmt=None, **settings):
    packed, found = begin(path, folder, fmt or Format(16), **settings)
    pack(packed, found, calibration=settings.get("calibration"))
    return packed


def test_every_matrix_is_packed_as_it_would_be_alone(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("golden.checkpoint.PART", 200)  # five rows of 40
    packed_whole(checkpoint, tmp_path / "packed", columns=("h.*",))
    packed = Packed.load(tmp_path / "packed")
    assert packed.wanted == ["a.k/proj.weight", "a.q_proj.weight", "h.c_attn.weight"] and not packed.missing
    assert sorted(packed.left) == ["a.norm", "conv", "ids"]
    for name, entry in packed.entries.items():
        x = network()[name].T if name.startswith("h.") else network()[name]
        alone, matrix = quantize(x, Format(16)), packed.matrix(name)
        for part in ("labels", "betas", "scales"):
            np.testing.assert_array_equal(getattr(matrix, part), getattr(alone, part))
        error = np.square(x.astype(np.float64) - alone.dequantize()).sum()
        assert entry.sqnr_db == pytest.approx(10 * np.log10(np.square(x.astype(np.float64)).sum() / error))
        assert entry.transposed == name.startswith("h.") and entry.bits_per_entry == alone.bits_per_entry


def test_a_folder_with_an_index_and_types_that_numpy_lacks(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    parts = {"one": gaussian(8, 16).astype(ml_dtypes.bfloat16), "two": gaussian(8, 16, seed=1)}
    for name, tensor in parts.items():
        kind = "BF16" if name == "one" else "F32"
        header = json.dumps({name: {"dtype": kind, "shape": [8, 16], "data_offsets": [0, tensor.nbytes]}}).encode()
        (folder / f"{name}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + tensor.tobytes())
    without = packed_whole(folder, tmp_path / "without")
    index = {"weight_map": {name: f"{name}.safetensors" for name in parts}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    packed = packed_whole(folder, tmp_path / "packed")
    assert set(packed.entries) == set(without.entries) == {"one", "two"}
    expected = quantize(parts["one"].astype(np.float32), Format(16))
    np.testing.assert_array_equal(packed.matrix("one").labels, expected.labels)
    index["weight_map"]["three"] = "one.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GossetError, match="lacks it"):
        begin(folder, tmp_path / "x", Format(16))
    index["weight_map"]["three"] = "../one.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GossetError, match="elsewhere"):
        begin(folder, tmp_path / "x", Format(16))


def test_what_is_whole_is_not_made_again(checkpoint, tmp_path):
    folder = tmp_path / "packed"
    first = packed_whole(checkpoint, folder)
    files = {entry.file: (folder / entry.file).stat().st_mtime_ns for entry in first.entries.values()}
    gone = first.entries["a.q_proj.weight"].file
    (folder / gone).unlink()
    with pytest.raises(KeyboardInterrupt), replacing(folder / gone) as beside:
        stale = beside.rename(beside.with_name(beside.name.replace(".safetensors", "x.safetensors")))
        raise KeyboardInterrupt
    stale.write_bytes(b"half")
    steps = []
    packed, found = begin(checkpoint, folder, Format(16))
    assert packed.missing == ["a.q_proj.weight"]
    pack(packed, found, advance=steps.append)
    assert sum(steps) == 24 * 40 and not stale.exists()
    now = {entry.file: (folder / entry.file).stat().st_mtime_ns for entry in packed.entries.values()}
    assert {file for file in files if files[file] != now[file]} == {gone}
    with pytest.raises(GossetError, match="other format"):
        begin(checkpoint, folder, Format(8))
    os.utime(checkpoint, ns=(1, 1))
    with pytest.raises(GossetError, match="other files"):
        begin(checkpoint, folder, Format(16))


def test_layers_with_calibration_data_suffer_less(checkpoint, tmp_path):
    name = "a.q_proj.weight"
    mix = gaussian(40, 40, seed=7) * np.geomspace(1, 0.02, 40)
    inputs = (gaussian(300, 40, seed=8) @ mix.T).astype(np.float32)
    path = tmp_path / "inputs.safetensors"
    safetensors.numpy.save_file({name: inputs}, path)
    packed = packed_whole(checkpoint, tmp_path / "fed", calibration=Calibration(path, "inputs"))
    h, w = hessian_of(inputs), network()[name]
    np.testing.assert_array_equal(packed.matrix(name).labels, ldlq(w, h, Format(16)).labels)
    loss = proxy_loss(w, packed.matrix(name).dequantize(), h)
    assert packed.entries[name].output_sqnr_db == pytest.approx(-10 * np.log10(loss))
    assert loss < 0.5 * proxy_loss(w, quantize(w, Format(16)).dequantize(), h)
    assert packed.entries["a.k/proj.weight"].output_sqnr_db is None
    hessians = tmp_path / "hessians.safetensors"
    safetensors.numpy.save_file({name: h}, hessians)
    same = packed_whole(checkpoint, tmp_path / "same", calibration=Calibration(hessians, "hessians"))
    np.testing.assert_array_equal(same.matrix(name).scales, packed.matrix(name).scales)
    for tensor, words in ((h[:30], "40 × 40"), (h[:30, :30], "40 × 40")):
        safetensors.numpy.save_file({name: np.ascontiguousarray(tensor)}, hessians)
        with pytest.raises(GossetError, match=words):
            begin(checkpoint, tmp_path / "x", Format(16), calibration=Calibration(hessians, "hessians"))
    safetensors.numpy.save_file({"other": h}, hessians)
    with pytest.raises(GossetError, match="none of the weights"):
        begin(checkpoint, tmp_path / "x", Format(16), calibration=Calibration(hessians, "hessians"))


def test_mistakes_are_named(checkpoint, tmp_path):
    folder = tmp_path / "packed"
    for settings, words in (
        ({"names": ("*.nothing",)}, r"fits '\*.nothing' of --names; there are a.k/proj.weight"),
        ({"columns": ("conv",)}, "of --columns"),
    ):
        with pytest.raises(GossetError, match=words):
            begin(checkpoint, folder, Format(16), **settings)
    assert not folder.exists()
    bad = network() | {"z": np.full((2, 8), np.nan, np.float32)}
    safetensors.numpy.save_file(bad, checkpoint)
    with pytest.raises(GossetError, match=r"'z', from row 0 on: .*row 0, column 0 is nan"):
        packed_whole(checkpoint, folder)
    assert set(Packed.load(folder).entries) == {"a.k/proj.weight", "a.q_proj.weight", "h.c_attn.weight"}
    (folder / LISTING).write_text("{}")
    with pytest.raises(GossetError, match="damaged"):
        begin(checkpoint, folder, Format(16))
    safetensors.numpy.save_file({"x" * 300: gaussian(4, 8)}, checkpoint)
    with pytest.raises(GossetError, match="too long"):
        begin(checkpoint, tmp_path / "other", Format(16))


def test_the_command_and_its_listing(checkpoint, tmp_path):
    folder = tmp_path / "packed"
    done = gosset("quantize", checkpoint, "-o", folder, "--q", "8", "--columns", "h.*")
    assert done.returncode == 0 and "3 tensors, 2,560 entries" in done.stdout, done.stderr
    listed = gosset("info", folder)
    assert listed.returncode == 0 and "a.q_proj.weight" in listed.stdout and "columns" in listed.stdout, listed.stderr
    again = gosset("quantize", checkpoint, "-o", folder, "--q", "8", "--columns", "h.*")
    assert "3 of 3 tensors were packed before" in again.stdout
    data = bytearray((folder / "a.q_proj.weight.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "a.q_proj.weight.safetensors").write_bytes(data)
    assert "altered" in sentence(gosset("info", folder))
    assert "holds packed tensors already" in sentence(gosset("quantize", folder, "-o", tmp_path / "x"))
    assert "Say once" in sentence(gosset("quantize", checkpoint))
    np.save(tmp_path / "w.npy", network()["a.q_proj.weight"])
    np.save(tmp_path / "x.npy", gaussian(100, 40, seed=9))
    done = gosset("quantize", tmp_path / "w.npy", tmp_path / "w.safetensors", "--calibrate", tmp_path / "x.npy")
    assert done.returncode == 0 and "dB of the outputs" in done.stdout, done.stderr
    expected = ldlq(network()["a.q_proj.weight"], hessian_of(gaussian(100, 40, seed=9)), Format(16))
    np.testing.assert_array_equal(PackedMatrix.load(tmp_path / "w.safetensors").scales, expected.scales)


def killed_and_resumed(tmp_path, count, rows, columns):
    """A checkpoint packed in a process of its own that is killed in the middle; memory of the second run, in bytes."""
    path, folder = tmp_path / "big.safetensors", tmp_path / "packed"
    one = gaussian(rows, columns)
    safetensors.numpy.save_file({f"layer.{i:02}.weight": one for i in range(count)}, path)
    command = [sys.executable, "-m", "gosset", "quantize", str(path), "-o", str(folder)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list(folder.glob("layer.*.safetensors"))) < 2:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = Packed.load(folder)
    assert 1 <= len(before.entries) < count, "it was killed in the middle"
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"{len(before.entries)} of {count} tensors were packed" in done.stdout, done.stderr
    packed = Packed.load(folder)
    assert not packed.missing and len(packed.entries) == count
    alone = quantize(one[:4], Format(16))
    for name in packed.entries:
        np.testing.assert_array_equal(packed.matrix(name).labels[:4], alone.labels)
    assert {path.name for path in folder.iterdir()} == {LISTING, *(entry.file for entry in packed.entries.values())}
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def test_killed_and_resumed(tmp_path):
    killed_and_resumed(tmp_path, count=12, rows=256, columns=1024)


@pytest.mark.skipif("GOSSET_LARGE" not in os.environ, reason="a checkpoint of 1 GB takes minutes: set GOSSET_LARGE")
def test_a_gigabyte_within_three(tmp_path):
    assert killed_and_resumed(tmp_path, count=8, rows=8192, columns=4096) < 3 << 30


def test_memory_holds_parts_of_a_tensor(checkpoint, tmp_path):
    """No read is larger than a part, whatever the size of the tensor."""
    assert PART * 4 < 1 << 27
    packed, found = begin(checkpoint, tmp_path / "packed", Format(16), names=("a.q*",))
    sizes = []
    read = type(found["a.q_proj.weight"]).read

    def watched(self, start, stop, *, transposed):
        x = read(self, start, stop, transposed=transposed)
        sizes.append(x.size)
        return x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("golden.checkpoint.PART", 120)
        patch.setattr("golden.tensors.Tensor.read", watched)
        pack(packed, found)
    assert sizes == [120] * 8

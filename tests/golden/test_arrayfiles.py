import io
import json
import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from golden.arrayfiles import MAGIC, read_array
from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.quantize import quantize


def npy(array, **how):
    buffer = io.BytesIO()
    np.save(buffer, array, **how)
    return buffer.getvalue()


def with_header(text, data=b"", version=1):
    width = 2 if version == 1 else 4
    encoded = text.encode("utf-8")
    return MAGIC + bytes([version, 0]) + len(encoded).to_bytes(width, "little") + encoded + data


def header(descr="'<f4'", shape="(2, 8)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


MATRIX = np.arange(48, dtype=np.float32).reshape(6, 8)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f2", "<i8", ">u2", "|i1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_order_are_read(dtype, order, tmp_path):
    array = np.asarray(MATRIX.astype(dtype), order=order)
    np.save(tmp_path / "m.npy", array)
    read = read_array(tmp_path / "m.npy")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(quantize(read, Format()).labels, quantize(MATRIX, Format()).labels)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 4)])
def test_arrays_of_any_version_and_shape_are_read(version, shape, tmp_path):
    array = np.ones(shape)
    with (tmp_path / "m.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    np.testing.assert_array_equal(read_array(tmp_path / "m.npy"), array)


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x.npy", npy(MATRIX))
    return buffer.getvalue()


def tensors(**arrays):
    return safetensors.numpy.save(arrays)


BAD = {
    "nothing": (b"", "is empty"),
    "text": (b"1 2 3\n4 5 6\n", "is not a .npy file"),
    "a zip archive": (archive(), "zip archive"),
    "what begins like a zip": (b"PK\x03\x04" + bytes(100), "zip archive"),
    "a pickle": (pickle.dumps([1, 2]), "pickle"),
    "safetensors": (tensors(weight=MATRIX), r"safetensors file of 'weight \(F32 \[6, 8\]\)'|weight \(F32 \[6, 8\]\)"),
    "bfloat16 in safetensors": (tensors(w=MATRIX.astype(ml_dtypes.bfloat16)), r"w \(BF16 \[6, 8\]\)"),
    "damaged safetensors": ((40).to_bytes(8, "little") + b"{" * 40, "safetensors file, and damaged"),
    "deep safetensors": ((10_000).to_bytes(8, "little") + b'{"a":' * 2000, "safetensors file, and damaged"),
    "magic only": (MAGIC, "cut or damaged|damaged"),
    "a version of the future": (MAGIC + b"\x09\x00" + bytes(100), "version"),
    "half a header": (npy(MATRIX)[:40], "header is not whole"),
    "no data": (npy(MATRIX)[:128], "says 6 × 8 of float32, 192 bytes, but 0 follow"),
    "half of the data": (npy(MATRIX)[:-7], "but 185 follow"),
    "more than the data": (npy(MATRIX) + b"x", "but 193 follow"),
    "a huge shape": (with_header(header(shape="(1000000, 40000000)")), "but 0 follow"),
    "a shape beyond int64": (with_header(header(shape="(9223372036854775807, 9223372036854775807)")), "but 0 follow"),
    "a longer shape": (with_header(header(shape=f"({10**30}, 1)")), "header is damaged"),
    "a negative shape": (with_header(header(shape="(-1, 8)")), "header is damaged"),
    "lengths that are truth values": (with_header(header(shape="(True, 8)"), bytes(32)), "header is damaged"),
    "a shape that is a list": (with_header(header(shape="[2, 8]"), bytes(64)), "header is damaged"),
    "no shape": (with_header("{'descr': '<f4', 'fortran_order': False}"), "header is damaged"),
    "a header that is deep": (with_header("(" * 5000), "header is damaged"),
    "a header that calls": (with_header("__import__('os').system('true')"), "header is damaged"),
    "a header with null characters": (with_header("\0" * 60), "header is damaged"),
    "a header of 4 GiB": (MAGIC + b"\x02\x00\xff\xff\xff\xff", "header is not whole"),
    "objects": (npy(np.array([[1, None]]), allow_pickle=True), "Python objects"),
    "records": (npy(np.zeros((2, 2), dtype=[("a", "<f4"), ("b", "<i2")])), "records"),
    "an unknown dtype": (with_header(header("'<f3'")), "dtype that is not known"),
    "entries of no bytes": (with_header(header("'<U0'")), "no bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_array_is_refused(kind, tmp_path):
    data, words = BAD[kind]
    path = tmp_path / "m.npy"
    path.write_bytes(data)
    with pytest.raises(GossetError, match=words) as told:
        read_array(path)
    assert len(str(told.value).splitlines()) == 1 and "pickle=" not in str(told.value)


def test_no_cut_of_a_file_is_read(tmp_path):
    data, path = npy(MATRIX), tmp_path / "m.npy"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(GossetError):
            read_array(path)


def test_a_packed_matrix_is_named(tmp_path):
    quantize(MATRIX, Format()).save(tmp_path / "m.npy")
    with pytest.raises(GossetError, match="packed matrix already"):
        read_array(tmp_path / "m.npy")


@pytest.mark.parametrize("path", ["nowhere.npy", ".", "/dev/zero", "a\0b", "", "a" * 5000, "pipe"])
def test_what_is_no_file_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(GossetError, match=r"Cannot read|is not a file"):
        read_array(path)
    with pytest.raises(GossetError, match=r"Cannot read"):
        PackedMatrix.load(path)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_a_file_that_lost_its_small_floats_is_told_so(dtype, tmp_path):
    np.save(tmp_path / "m.npy", MATRIX.astype(dtype))
    with pytest.raises(GossetError, match=r"does not keep the name of bfloat16 or float8|records"):
        quantize(read_array(tmp_path / "m.npy"), Format())


def container(**changes):
    """A container with other values in its header, sealed again."""
    matrix = quantize(MATRIX, Format())
    data = matrix._container()
    length = int.from_bytes(data[:8], "little")
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["gosset"])
    labels, betas = matrix.planes()
    text = json.dumps(fields | changes) if "text" not in changes else changes["text"]
    return safetensors.numpy.save(
        {"labels": labels, "betas": betas, "scales": matrix.scales}, metadata={"gosset": text}
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"q": 16.0}, {"q": True}, {"q": "16"}, {"q": [16]}, {"q": None}, {"q": 1e400},
        {"betas": "3457"}, {"betas": 3}, {"betas": {"3": 1}}, {"betas": [3.0, 4, 5, 7]}, {"betas": [True, 4, 5, 7]},
        {"columns": True}, {"columns": 8.0}, {"columns": "8"}, {"columns": -8}, {"columns": 2**63}, {"columns": None},
        {"rows": 6.0}, {"rows": 5}, {"padded_columns": 16}, {"version": True}, {"version": 1.0}, {"version": [1]},
        {"text": "[" * 5000}, {"text": "[]"}, {"text": "3"}, {"text": "{}"}, {"text": ""},
    ],
)  # fmt: skip
def test_a_container_that_contradicts_itself_is_refused(changes, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(container(**changes))
    with pytest.raises(GossetError, match=r"m\.safetensors") as told:
        PackedMatrix.load(tmp_path / "m.safetensors")
    assert len(str(told.value).splitlines()) == 1


def test_other_files_are_named_where_a_container_is_wanted(tmp_path):
    others = ((npy(MATRIX), ".npy file and no packed"), (tensors(w=MATRIX), "safetensors file, but no packed"))
    for data, words in others:
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(GossetError, match=words):
            PackedMatrix.load(tmp_path / "m")

import pickle

import numpy as np
import pytest
import safetensors.numpy

from golden import format as module
from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.voronoi import RATES, label_dtype


def packed(q=16, betas=(3, 4, 5, 7), rows=3, columns=45):
    fmt, rng = Format(q, betas), np.random.default_rng(q)
    shape = (rows, -(-columns // 8))
    labels = rng.integers(0, q**8, shape, dtype=np.uint64).astype(label_dtype(q))
    index = rng.integers(0, len(betas), shape).astype(np.uint8)
    return PackedMatrix(fmt, columns, labels, index, rng.uniform(0.5, 2, rows).astype(np.float32))


def same(a, b):
    return (
        a.format == b.format
        and a.columns == b.columns
        and all((x == y).all() for x, y in ((a.labels, b.labels), (a.betas, b.betas), (a.scales, b.scales)))
    )


@pytest.mark.parametrize("q", RATES)
@pytest.mark.parametrize("betas", [(1,), (3, 7), (3, 4, 5, 7), (1, 2, 3, 5, 15)])
def test_planes_and_container_round_trip(q, betas, tmp_path):
    for columns in (1, 8, 45, 1024):
        matrix = packed(q, betas, columns=columns)
        assert same(PackedMatrix.from_planes(matrix.format, columns, *matrix.planes(), matrix.scales), matrix)
        stored = sum(array.nbytes for array in (*matrix.planes(), matrix.scales))
        assert matrix.bits_per_entry * matrix.columns * len(matrix.scales) == pytest.approx(8 * stored, rel=1e-12)
        matrix.save(tmp_path / "m.safetensors")
        assert same(PackedMatrix.load(tmp_path / "m.safetensors"), matrix)


def test_memory_of_q_16_is_17_words_for_16_blocks():
    labels, betas = packed(columns=128, rows=1).planes()
    assert labels.nbytes == 64 and betas.nbytes == 4
    assert packed(columns=4096, rows=2).bits_per_entry == 4.25 + 32 / 4096


def test_planes_follow_the_documented_layout():
    matrix = packed(columns=128, rows=1)
    labels, betas = matrix.planes()
    assert int.from_bytes(labels[0, 4:8].tobytes(), "little") == matrix.labels[0, 1]
    assert (int(betas[0, 0]) >> 2 * 5) & 3 == matrix.betas[0, 5]


def test_planes_that_do_not_fit_are_refused():
    matrix = packed(columns=45)
    labels, betas = matrix.planes()
    for planes, message in (
        ((labels[:, :-1], betas), "plane of labels"),
        ((labels, betas.astype(np.uint64)), "plane of betas"),
        ((labels, betas | np.uint32(1 << 31)), "bit set in its padding"),
    ):
        with pytest.raises(GossetError, match=message):
            PackedMatrix.from_planes(matrix.format, 45, *planes, matrix.scales)


@pytest.mark.parametrize(("q", "bits"), [(2, 1.25), (4, 2.25), (8, 3.25), (16, 4.25), (32, 5.25)])
def test_bits(q, bits):
    assert Format(q).bits_per_entry == bits


@pytest.mark.parametrize(
    ("q", "betas", "message"),
    [
        (12, (3,), "power of two"),
        (16, (), "1 to 8 values"),
        (16, tuple(range(1, 10)), "1 to 8 values"),
        (16, (0, 1), "from 1 to 15"),
        (16, (3, 16), "from 1 to 15"),
        (16, (3.0, 4.0), "from 1 to 15"),
        (16, (4, 3), "ascending"),
        (16, (3, 3), "ascending"),
    ],
)
def test_wrong_formats_are_refused(q, betas, message):
    with pytest.raises(GossetError, match=message):
        Format(q, betas)


def test_parts_that_do_not_fit_are_refused():
    m = packed(q=8)
    parts = {"format": m.format, "columns": m.columns, "labels": m.labels, "betas": m.betas, "scales": m.scales}
    for change, message in (
        ({"columns": 60}, "labels of shape"),
        ({"labels": m.labels.astype(np.uint64)}, "dtype"),
        ({"labels": m.labels | np.uint32(1 << 24)}, "more than 24 bits"),
        ({"betas": np.full_like(m.betas, 4)}, "β index is 4"),
        ({"scales": np.array([1, np.nan, 1], dtype=np.float32)}, "negative, NaN"),
        ({"scales": np.array([1, -1, 1], dtype=np.float32)}, "negative, NaN"),
    ):
        with pytest.raises(GossetError, match=message):
            PackedMatrix(**{**parts, **change})


def test_every_altered_byte_and_every_truncation_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    packed(q=4, rows=2, columns=17).save(path)
    data = path.read_bytes()
    for i in range(len(data)):
        for mask in (1, 0x80, 0xFF):
            path.write_bytes(data[:i] + bytes([data[i] ^ mask]) + data[i + 1 :])
            with pytest.raises(GossetError):
                PackedMatrix.load(path)
    for i in range(len(data)):
        path.write_bytes(data[:i])
        with pytest.raises(GossetError):
            PackedMatrix.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(GossetError):
        PackedMatrix.load(path)


def test_other_versions_and_other_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    with pytest.raises(GossetError, match="Cannot read"):
        PackedMatrix.load(path)
    path.write_bytes(safetensors.numpy.save({"labels": np.zeros(3)}))
    with pytest.raises(GossetError, match="no packed matrix"):
        PackedMatrix.load(path)
    monkeypatch.setattr(module, "VERSION", 2)
    packed().save(path)
    monkeypatch.undo()
    with pytest.raises(GossetError, match="version 2"):
        PackedMatrix.load(path)


def test_loading_never_unpickles(tmp_path):
    mark = tmp_path / "executed"

    class Attack:
        def __reduce__(self):
            return mark.touch, ()

    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(GossetError):
        PackedMatrix.load(path)
    np.savez(tmp_path / "m.npz", labels=np.array([Attack()], dtype=object))
    with pytest.raises(GossetError):
        PackedMatrix.load(tmp_path / "m.npz")
    assert not mark.exists()


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    first = packed(q=4)
    first.save(path)

    def fail(self):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(PackedMatrix, "_container", fail)
    with pytest.raises(RuntimeError):
        packed(q=8).save(path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert same(PackedMatrix.load(path), first)


def test_unwritable_output_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "m.safetensors", tmp_path):
        with pytest.raises(GossetError, match="Cannot write"):
            packed().save(path)

import numpy as np
import pytest

from golden.errors import GossetError
from sim.compare import rivals as module
from sim.compare.layers import BATCHES, Shape
from sim.compare.machine import Power
from sim.compare.rivals import rivals
from sim.compare.run import chosen
from sim.compare.software import measured, own, quality, steps
from sim.compare.stored import result
from sim.compare.ways import E8, Float32, Unfit, copies, drawn

WAYS = [Float32(), E8(16), E8(4, packed=True)]


@pytest.fixture(scope="module")
def records():
    done = []
    shape = Shape("net", "layer", 48, 64)
    found = measured([shape], WAYS, [1], Power.find(2.0), 0.01, done.append)
    assert sum(done) == steps([shape], WAYS, [1])
    return found


def test_every_way_is_measured_on_every_product(records):
    assert [(record.m, record.way) for record in records] == [(m, way.name) for m in BATCHES for way in WAYS]
    assert [record.ours for record in records[:3]] == [False, True, True]


def test_every_figure_says_how_it_is_known(records):
    for record in records:
        kinds = {name: figure.kind for name, figure in record.figures.items()}
        assert kinds["time_s"] == kinds["sqnr_db"] == "measured"
        assert kinds["energy_j"] == kinds["core_j"] == "assumed"
        assert kinds["bytes"] == "modelled"
        assert record.figures["energy_j"].value > record.figures["core_j"].value


def test_energy_is_power_times_time_and_bytes_are_counted_once(records):
    one = next(record for record in records if record.m == 16 and record.way == "E8 q=16 × int8")
    assert one.figures["core_j"].value == pytest.approx(2.0 * one.figures["time_s"].value)
    # Padding to whole groups is moved as well: 48 rows of 256 columns.
    assert one.bits == pytest.approx(4.25 * 256 / 64 + 32 / 64)
    assert one.figures["bytes"].value == pytest.approx(one.bits / 8 * 48 * 64 + 16 * 64 + 4 * 16 * 48)


def test_what_fits_the_caches_says_so(records):
    assert all("weights may stay in cache" in record.notes[1] for record in records)


def test_sqnr_is_that_of_the_product_as_it_comes_out(records):
    values = {record.way: record.figures["sqnr_db"].value for record in records}
    assert values["NumPy fp32"] > 100
    assert 23 < values["E8 q=16 × int8"] < 24
    assert 7.9 < values["E8 q=4 × packed"] < 8.9


def test_copies_leave_no_room_in_caches():
    assert copies(1 << 20) == 256
    assert copies(100 << 20) == 3
    assert copies(1) == 512


def test_large_weights_repeat_their_rows():
    w = drawn(1100, 8)
    assert w.shape == (1100, 8)
    assert np.array_equal(w[512:1024], w[:512])


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found, missing = rivals()
    assert found == []
    assert {"torch bf16", "onnxruntime 4 bits, groups of 128, level 4", "ggml Q4_K"} <= set(missing)


@pytest.mark.parametrize("way", rivals()[0] or [None], ids=lambda way: way.name if way else "none")
def test_rivals_multiply(way):
    if way is None:
        pytest.skip("no rival is installed: pip install 'gosset[rivals]'")
    least = {"fp32": 100, "bf16": 45, "int8": 28, "IQ2_XS": 9, "Q2_K": 10, "IQ3_S": 16, "Q3_K": 15}
    floor = next((db for name, db in least.items() if name in way.name), 18)
    assert quality(way, drawn(64, 512)) > floor


def test_shapes_that_a_rival_does_not_take_are_unfit():
    some = {way.name: way for way in rivals()[0]}
    if not some:
        pytest.skip("no rival is installed: pip install 'gosset[rivals]'")
    for name in ("ggml Q4_K", "onnxruntime 4 bits, groups of 128, level 4", "torch int4, groups of 32"):
        if name in some:
            with pytest.raises(Unfit):
                some[name].prepare(drawn(16, 80), copies, 1)


def test_this_projects_ways_cover_rates_operands_and_paths():
    names = [way.name for way in own()]
    assert len(set(names)) == len(names)
    assert {"NumPy fp32", "E8 q=16 × int8", "E8 q=8 × packed"} <= set(names)


@pytest.mark.parametrize("name", ["nothing", "", "llama"])
def test_there_is_only_what_is_compared(name):
    with pytest.raises(GossetError, match="give digits"):
        chosen([name])


def test_networks_and_parts_are_chosen_apart():
    assert chosen(["digits"]) == (("digits",), ("software", "rivals", "hardware", "gpu"))
    assert chosen(["gpu", "minilm", "software"]) == (("minilm",), ("software", "gpu"))


NO_RESULTS = ["", "[]", "{}", '{"about": {}, "records": []}', '{"about": {"machine": "x"}, "records": [1]}']


@pytest.mark.parametrize("text", NO_RESULTS)
def test_a_stored_result_must_say_what_it_was_measured_on(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(GossetError, match="no stored result"):
        result(path)

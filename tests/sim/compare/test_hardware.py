import re
from pathlib import Path

import pytest

from fpga.boards import BOARDS
from hw.design import DesignPoint
from sim.compare import hardware
from sim.compare.hardware import Memory, arrays, board_table, boards, product_db
from sim.compare.layers import BATCHES, NETWORKS, Shape, shapes
from sim.compare.records import Figure
from sim.compare.software import gaussian
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.studies.study import formats

SHAPE = Shape("net", "layer", 384, 1536)
SOME = ("E8 q = 16, lean", "E8 q = 4, lean", "int4-g64", "int4-g64, Booth", "MXFP4")


@pytest.fixture(scope="module")
def compared():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardware, "formats", lambda: {name: formats()[name] for name in SOME})
        patch.setattr(hardware, "_quality", lambda codec, int8=False: {"sqnr_db": Figure(20.0, "measured")})
        return arrays([SHAPE], Memory(1e9, "test"))


def test_arrays_wait_for_their_memory_and_no_longer(compared):
    for record in compared:
        least = record.figures["bytes"].value / 1e9
        assert record.figures["time_s"].value >= least * (1 - 1e-9)
        if "memory" in record.notes[0]:
            assert record.figures["time_s"].value == pytest.approx(least)


def test_one_dress_of_each_format_is_shown_and_every_figure_has_a_kind(compared):
    ways = {(record.m, record.platform, record.family or record.way, record.bits) for record in compared}
    assert len(ways) == len(compared) == len(BATCHES) * len(hardware.EDGES) * 4
    assert {record.ours for record in compared if record.way.startswith("E8")} == {True}
    for record in compared:
        assert {"time_s", "energy_j", "area_mm2", "bytes", "sqnr_db"} <= record.figures.keys()
        energy = record.figures["energy_j"]
        assert energy.low < energy.value < energy.high


def test_the_boards_are_those_that_are_built():
    assert {board["name"] for board in board_table()} == set(BOARDS)
    documented = Path(__file__).parents[3].joinpath("docs/boards.md").read_text(encoding="utf-8")
    for board in board_table():
        built = BOARDS[board["name"]]
        assert DesignPoint.from_dict(board["design"]) == built.design
        assert board["clock_mhz"] * 1e6 == pytest.approx(built.clock_hz)
        assert board["title"] == built.title
        begin = f"| {board['name']} | {built.design.macs_per_cycle} |"
        row = next(line for line in documented.splitlines() if line.startswith(begin))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert int(re.match(r"[\d,]+", cells[2])[0].replace(",", "")) == board["luts"]
        assert (cells[7] == "not placed") == ("no place and route" in board["clock"])
        assert cells[10] == board["commit"]


def test_boards_take_the_cycles_of_the_exact_model(monkeypatch):
    monkeypatch.setattr(hardware, "_quality", lambda codec, int8=False: {})
    found = {(record.platform, record.m): record for record in boards([SHAPE])}
    ulx3s = BOARDS["ulx3s"]
    count = int(cycles(Machine.of(ulx3s.design), 16, SHAPE.n, SHAPE.k).cycles)
    assert found[ulx3s.title, 16].figures["time_s"].value == pytest.approx(count / ulx3s.clock_hz)
    assert "energy_j" not in found[ulx3s.title, 16].figures
    bits = ulx3s.design.format.bits_per_entry
    moved = (bits * (SHAPE.n + 16) * SHAPE.k + 32 * 16 * SHAPE.n) / 8
    assert found[ulx3s.title, 16].figures["bytes"].value == pytest.approx(moved)


@pytest.mark.parametrize(("name", "least", "most"), [("E8 q = 16, lean", 20.0, 21.2), ("int4-g64", 16.2, 17.4)])
def test_both_operands_are_quantised(name, least, most):
    """Three dB less than one of them."""
    assert least < product_db(formats()[name].codec, False, gaussian()) < most


def test_layers_are_of_four_networks_and_what_is_left_out_is_named():
    all_of_them, left = shapes(NETWORKS, False)
    quick, more_left = shapes(NETWORKS, True)
    assert {shape.network for shape in all_of_them} == {shape.network for shape in quick} == set(NETWORKS)
    assert Shape("llama-3-8b", "down_proj", 4096, 14336) in all_of_them
    assert [sentence for sentence in left if "lm_head" in sentence]
    assert len(quick) == len(NETWORKS) and len(more_left) >= len(left)

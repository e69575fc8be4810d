"""The board's testbenches, and the units of mutants that they are for."""

import re
import shutil

import pytest
from typer.testing import CliRunner

from fpga.benches.catalogue import ONE_CELL, add, known
from gosset import app
from hw.design import PRESETS
from sim.benches.catalogue import BENCHES, SMALL
from sim.benches.runner import run_bench
from sim.mutate.run import mutants_of
from sim.mutate.units import UNITS

BLOCKS = 4


@pytest.fixture(autouse=True)
def board(monkeypatch):
    for registry in (BENCHES, UNITS):
        for name in ("link", "uart"):
            monkeypatch.delitem(registry, name, raising=False)
    add()


@pytest.mark.parametrize("name", ["link", "uart"])
def test_the_gateware_passes(name):
    result = run_bench(name, ONE_CELL, blocks=BLOCKS)
    assert result.ok, str(result)
    assert result.checked > 200
    assert result.missed == []


def test_between_beats_the_payload_is_any():
    """Also what would end a frame."""
    sound = BENCHES["link"].generate(ONE_CELL).verilog
    text = re.sub(r"(assign \\end  = )i__valid & ", r"\1", sound)
    assert text != sound
    result = run_bench("link", ONE_CELL, blocks=BLOCKS, only="mutilated_commands/idle=bursts", verilog=text)
    assert result.failed
    shutil.rmtree(result.folder)


def test_a_board_in_python_has_one_cell():
    assert [name for name, design in PRESETS.items() if known(design)] == ["tiny"]
    assert not known(SMALL) and known(ONE_CELL)


@pytest.mark.parametrize("name", ["link", "uart"])
def test_there_are_300_mutants(name):
    unit = UNITS[name]
    mutants, _ = mutants_of(unit, unit.generated(), 300, 0)
    assert len(mutants) == 300
    assert {mutant.module.rpartition(".")[2] for mutant in mutants} >= {
        "link": {"core", "receiver", "sender", "runner", "fetch_x", "fetch_w", "memory"},
        "uart": {"uart_4", "uart_5", "uart_7", "uart_16"},
    }[name]


def test_the_commands_know_them():
    for arguments in (["mutate", "--list"], ["bench", "link", "uart", "--design", "small"]):
        del BENCHES["link"], UNITS["link"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert "link" in BENCHES and "link" in UNITS
    listed = CliRunner().invoke(app, ["mutate", "--list"]).output
    assert "\nlink " in listed and "\nuart " in listed

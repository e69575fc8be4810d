"""Mutants tried by a testbench: some are found, some are none, and what is known is not tried again."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace

import pytest

from golden.errors import GossetError, ToolError
from golden.format import Format
from sim.benches.catalogue import SMALL
from sim.formal import catalogue
from sim.formal.harness import Harness
from sim.mutate import run as module
from sim.mutate.equivalence import modules
from sim.mutate.run import Store, mutants_of, run, score
from sim.mutate.units import UNITS, Unit, chosen

pytest.importorskip("bitwuzla")

TINY = Unit("tiny", "decoder", replace(SMALL, format=Format(2, (3,)), pipeline="lean"), r"\.core", 10)


@contextmanager
def silent(name, total):
    yield lambda steps: None


def test_mutants_are_killed_or_equivalent_and_not_tried_twice(tmp_path, monkeypatch):
    report = run([TINY], 20, 1, tmp_path, silent)
    unit = report["units"]["tiny"]
    assert unit["mutants"] == 20 < unit["possible"]
    assert unit["killed"] + unit["equivalent"] + len(unit["survivors"]) == 20
    assert unit["killed"] >= 14 and sum(unit["killed_by"].values()) == unit["killed"]
    assert score(unit) == unit["killed"] / (20 - unit["equivalent"])
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report

    monkeypatch.setattr(module, "Simulation", None)  # nothing is built again, nor proved
    monkeypatch.setattr(module.equivalence, "circuit", None)
    assert run([TINY], 20, 1, tmp_path, silent)["units"] == report["units"]


def test_no_bit_of_a_register_begins_as_a_reset_leaves_it():
    generated = UNITS["sequencer"].generated()
    sound, changed = (
        re.findall(r"^ *reg .*?(\S+) += (\d+)'h(\w+);", text, re.MULTILINE)
        for text in (generated.verilog, module.with_mutants(generated, []).verilog)
    )
    assert len(sound) > 100
    for (name, bits, one), other in zip(sound, changed, strict=True):
        assert other[:2] == (name, bits) and int(one, 16) ^ int(other[2], 16) == (1 << int(bits)) - 1


def test_a_broken_store_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "mutants.jsonl"
    path.write_text('{"key": "a", "test": ""}\nnonsense\n{"key": "b", "te', encoding="utf-8")
    store = Store(path)
    assert set(store.lines) == {"a"}
    store.add("c", test="x")
    assert set(Store(path).lines) == {"a", "c"}


@pytest.mark.parametrize("name", ["decoder", "cell"])
def test_there_are_300_mutants_of_a_unit(name):
    unit = UNITS[name]
    mutants, possible = mutants_of(unit, unit.generated(), 300, 0)
    assert len(mutants) == 300 <= possible


def test_claims_on_the_encoder_are_on_the_verilog_that_is_changed():
    """Else a mutant's line could stand in another module there, and what is proved would be of that one."""
    whole, same = UNITS["encoder"].generated().verilog, []
    for claim in catalogue.chosen(list(UNITS["encoder"].claimed("", ".core"))):
        harness = Harness()
        claim.build(harness)
        (text,) = harness.verilog.values()
        assert harness.rtlil
        same += [claim.name] * (text.replace("unit_dut", "bench_encoder") == whole)
    assert same == ["encoder_division_or_end", "encoder_q16_choice", "encoder_in_time"], "others are on a candidate"


@pytest.mark.parametrize(
    ("name", "claim", "inner", "least"),
    [
        ("axi_write", "queue_fifo_8", r".*\.queue", 15),
        ("axi_write", "queue_block_32", r".*\.core", 15),
        ("axi_read", "queue_block_64", r".*\.core", 15),
        ("rotator", "queue_trusting_2", r".*\.core", 9),
        ("rotator", "queue_trusting_4", r".*\.core", 15),
    ],
)
def test_claims_on_queues_are_on_the_lines_that_are_changed(name, claim, inner, least):
    """A line that the claim's Verilog had elsewhere would be changed there, and nothing be proved of the queue."""
    unit, harness = UNITS[name], Harness()
    top, mutants = unit.generated().description["top"], mutants_of(unit, unit.generated(), 10_000, 0)[0]
    catalogue.chosen([claim])[0].build(harness)
    assert harness.rtlil
    every = {name: text for verilog in harness.verilog.values() for name, text in modules(verilog).items()}
    (queue,) = (text for name, text in every.items() if re.fullmatch(inner, name))
    others = "".join(text for text in every.values() if text is not queue)
    lines = {f"assign {m.target} = {m.sound};" for m in mutants if unit.claimed(top, m.module) == (claim,)}
    assert sum(line in queue for line in lines) >= least
    assert not [line for line in lines if line in others]


def test_units_have_names():
    with pytest.raises(GossetError, match="No unit is called 'adder'; there are decoder, "):
        chosen(["adder"])
    assert chosen(["cell"]) == [UNITS["cell"]] and chosen([]) == list(UNITS.values())
    with pytest.raises(ToolError, match="nothing to change in none"):
        mutants_of(replace(TINY, name="none", modules="nothing"), TINY.generated(), 1, 0)

"""Soaking, for a moment: what is sound passes, a planted bug is found, and found again by the command that is told."""

import re
from dataclasses import replace

import pytest

from golden.errors import GossetError
from hw.generate import generate_design
from sim.designs import PARAMETERS
from sim.soak import run
from sim.soak.cli import soak as command

SMALL = PARAMETERS | {"rows": (1, 2), "cols": (1,), "q": (2,), "betas": ((2, 5),), "multipliers": ("none",)}
SMALL |= {"dataflow": ("os",), "pipeline": ("lean",), "activations": (("packed",),), "kept": (0,), "x_depth": (16,)}


@pytest.fixture
def small(monkeypatch):
    """Only designs that are built within seconds."""
    monkeypatch.setattr(run, "PARAMETERS", SMALL)


def test_every_design_has_streams_of_operands_and_accumulators():
    designs = [run.drawn(2718, number) for number in range(40)]
    assert all(point.front_end is None and point.output is None for point in designs)
    assert len(set(designs)) == 40 and designs == [run.drawn(2718, number) for number in range(40)]


def test_sound_designs_pass(small, tmp_path):
    seen = []
    report, failure = run.soak(0.5, 3, tmp_path, lambda totals: seen.append(totals.products), workers=1)
    assert failure is None and report["mismatches"] == 0
    assert report["designs"] == 1 and report["products"] == seen[-1] >= 1
    assert report["blocks"] > report["products"] and report["accumulators"] > 0


def test_a_planted_bug_is_found_and_found_again(small, tmp_path, monkeypatch, capsys):
    def planted(design):
        generated = generate_design(design)
        # The wrong one of two equally cheap members of a coset.
        text = re.sub(r"(assign _\d+_ = turn_\w+) < (turn_\w+;)", r"\1 <= \2", generated.verilog)
        assert text != generated.verilog
        return replace(generated, verilog=text)

    monkeypatch.setattr("sim.device.generate_design", planted)
    report, failure = run.soak(30, 3, tmp_path, lambda totals: None, workers=1)
    assert failure is not None and report["mismatches"] == 1
    assert re.search(r"row \d+, column \d+: expected -?\d+, got -?\d+; \d+ of \d+ differ", failure.message)
    assert report["failure"].endswith(f"gosset soak --seed 3 --again 0.{failure.product}")
    assert report["seconds"] < 30
    assert run.again(3, 0, failure.product, lambda totals: None) == failure


def test_what_follows_from_a_seed_is_the_same_each_time():
    assert run.drawn(5, 1) == run.drawn(5, 1) != run.drawn(5, 2)
    assert run.drawn(5, 1).front_end is None


@pytest.mark.parametrize("text", ["3", "a.b", "1.2.3", "-1.2", ""])
def test_what_is_to_be_repeated_is_two_numbers(text):
    with pytest.raises(GossetError, match=r"such as 12\.34"):
        command(again=text)

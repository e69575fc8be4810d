"""Proofs: what is proved, what is refuted, and what a claim is worth."""

from dataclasses import replace

import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.errors import GossetError, ToolError
from golden.exits import ending
from gosset import app
from sim.formal import catalogue, run
from sim.formal.claim import Bounded, Bug, Claim, Induction, Window, check

LIMIT = 60


class Counter(wiring.Component):
    """Counts to nine and begins again."""

    def __init__(self):
        super().__init__({"enable": In(1), "count": Out(4)})

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        wraps = Signal()
        m.d.comb += wraps.eq(self.count == 9)
        with m.If(self.enable):
            m.d.sync += self.count.eq(self.count + 1)
            with m.If(wraps):
                m.d.sync += self.count.eq(0)
        return m


def below_ten(h):
    counter = h.place(Counter())
    h.prove("the count is below ten", counter.count < 10)
    h.prove("it is below eleven", counter.count < 11)
    h.cover("nine", counter.count == 9)


BUG = Bug("it wraps around later", "4'h9", "4'hb")
CLAIM = Claim("counter", "The count is below ten.", below_ten, Induction(1), BUG)


def test_a_claim_is_proved():
    verdict = check(CLAIM, LIMIT)
    assert verdict.status == "proved" and verdict.covers == ("nine",)
    assert check(replace(CLAIM, method=Bounded(11)), LIMIT).status == "holds", "for so many cycles"


def test_a_claim_that_is_not_so_is_refuted():
    verdict = check(replace(CLAIM, method=Window(0)), LIMIT)  # any state: ten as well
    assert verdict.status == "refuted" and verdict.detail.startswith("the count is below ten")
    assert verdict.counterexample.values["dut_count"][0] >= 10
    text = run.told_of(verdict)
    assert f"{verdict.counterexample.values['dut_count'][0]:x}" in text and "dut_enable" in text


def test_a_case_that_is_not_reached_makes_a_claim_worthless():
    verdict = check(replace(CLAIM, method=Induction(1, reach=3)), LIMIT)
    assert verdict.status == "unreachable" and verdict.detail == "nine"


def test_a_claim_that_does_not_find_its_bug_is_worthless():
    verdict = check(replace(CLAIM, bug=Bug("it wraps around sooner", "4'h9", "4'h8")), LIMIT)
    assert verdict.status == "blind" and verdict.detail == "it wraps around sooner"
    with pytest.raises(ToolError, match="No bug can be planted"):
        check(replace(CLAIM, bug=Bug("", "nowhere", "")), LIMIT)


def test_what_is_no_induction_is_no_refutation():
    def build(h):
        counter = h.place(Counter())
        h.prove("the count is not eleven", counter.count != 11)

    verdict = check(replace(CLAIM, build=build), LIMIT)
    assert verdict.status == "undecided" and verdict.detail.startswith("no induction")
    assert verdict.counterexample.values["dut_count"] == [10, 11]


def test_assumptions_leave_runs_out():
    def build(h):
        counter = h.place(Counter())
        h.assume(~counter.enable)
        h.prove("the count stays zero", counter.count == 0)

    bug = Bug("it counts without being told to", r"= enable \?", "= 1'h1 ?")
    assert check(Claim("still", "", build, Induction(1), bug), LIMIT).status == "proved"


def test_the_state_at_the_beginning_is_any():
    def build(h):
        counter = h.place(Counter())
        h.prove("the count is what it was", counter.count == h.past(counter.count))

    assert check(Claim("still", "", build, Window(1), BUG), LIMIT).status == "refuted"


@pytest.mark.parametrize("name", ["decoder_q4_lean", "decoder_q4_least", "decoder_q4_deep_pauses"])
def test_claims_on_the_hardware(name, tmp_path):
    report = run.run(catalogue.chosen([name]), tmp_path, LIMIT)
    entry = report["claims"][name]
    assert entry["status"] == "proved" and entry["reached"] and entry["bug_found"], entry
    assert (tmp_path / "report.json").exists()


def test_names_are_told_apart():
    claims = catalogue.chosen([])
    assert len({claim.name for claim in claims}) == len(claims)
    assert len(catalogue.chosen(["decoder_q4_*"])) < len(claims)
    with pytest.raises(GossetError, match="No claim is called 'nothing'"):
        catalogue.chosen(["nothing"])


def formal(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["gosset", "formal", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        ending("gosset", app)
    return end.value.code


def test_the_command(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(catalogue, "GROUPS", {"Tests": lambda: [CLAIM, replace(CLAIM, name="any", method=Window(0))]})
    assert formal(monkeypatch, "--list") == 0
    assert "The count is below ten." in capfd.readouterr().out
    assert formal(monkeypatch, "--only", "counter", "-o", tmp_path) == 0
    assert formal(monkeypatch, "-o", tmp_path) == 1
    said = capfd.readouterr().err
    assert "any is refuted" in said and "dut_count" in said
    assert b"$enddefinitions" in (tmp_path / "any.vcd").read_bytes()
    assert not (tmp_path / "counter.vcd").exists()

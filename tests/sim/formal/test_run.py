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
from sim.formal.arithmetic import Implication
from sim.formal.claim import Bug, Claim
from sim.formal.methods import Bounded, Induction, Window
from tests.claims import on_the_hardware

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
    verdict = CLAIM.check(LIMIT)
    assert verdict.status == "proved" and verdict.covers == ("nine",)
    assert (replace(CLAIM, method=Bounded(11))).check(LIMIT).status == "holds", "for so many cycles"


def test_a_claim_that_is_not_so_is_refuted():
    verdict = (replace(CLAIM, method=Window(0))).check(LIMIT)  # any state: ten as well
    assert verdict.status == "refuted" and verdict.detail.startswith("the count is below ten")
    assert verdict.waves.of("dut_count")[0] >= 10
    text = run.told_of(verdict)
    assert f"{verdict.waves.of('dut_count')[0]:x}" in text and "dut_enable" in text


def test_a_case_that_is_not_reached_makes_a_claim_worthless():
    verdict = (replace(CLAIM, method=Induction(1, reach=3))).check(LIMIT)
    assert verdict.status == "unreachable" and verdict.detail == "nine"


def test_a_claim_that_does_not_find_its_bug_is_worthless():
    verdict = (replace(CLAIM, bug=Bug("it wraps around sooner", "4'h9", "4'h8"))).check(LIMIT)
    assert verdict.status == "blind" and verdict.detail == "it wraps around sooner"
    with pytest.raises(ToolError, match="No bug can be planted"):
        (replace(CLAIM, bug=Bug("", "nowhere", ""))).check(LIMIT)


def test_a_claim_that_cannot_be_tried_does_not_keep_others_from_it(tmp_path):
    lost = replace(CLAIM, name="lost", build=lambda h: (below_ten(h), h.probe("dut.core.nothing")))
    found = run.run([lost, CLAIM], tmp_path, LIMIT)["claims"]
    assert {name: entry["status"] for name, entry in found.items()} == {"lost": "undecided", "counter": "proved"}
    assert "nothing" in found["lost"]["detail"]


def test_what_is_no_induction_is_no_refutation():
    def build(h):
        counter = h.place(Counter())
        h.prove("the count is not eleven", counter.count != 11)

    verdict = (replace(CLAIM, build=build)).check(LIMIT)
    assert verdict.status == "undecided" and verdict.detail.startswith("no induction")
    assert verdict.waves.of("dut_count") == [10, 11]


def test_assumptions_leave_runs_out():
    def build(h):
        counter = h.place(Counter())
        h.assume(~counter.enable)
        h.prove("the count stays zero", counter.count == 0)

    bug = Bug("it counts without being told to", r"= enable \?", "= 1'h1 ?")
    assert (Claim("still", "", build, Induction(1), bug)).check(LIMIT).status == "proved"


def test_what_is_cut_out_is_anything():
    def build(h):
        below_ten(h)
        h.cut("dut.core.wraps")

    verdict = (replace(CLAIM, build=build, method=Bounded(11))).check(LIMIT)
    assert verdict.status == "refuted" and verdict.waves.of("dut_count")[-1] == 10, "it does not wrap around"
    assert verdict.waves.of("dut.core.wraps")[-2] == 0


def test_what_is_granted_is_assumed_and_not_proved():
    def build(h):
        counter = h.place(Counter())
        h.prove("the count is below ten", counter.count < 10)
        h.grant()
        h.prove("the count is not eleven", counter.count != 11)

    verdict = (replace(CLAIM, build=build, bug=Bug("it is eleven at once", "'h0", "'hb"))).check(LIMIT)
    assert verdict.status == "blind" and not verdict.covers, "no state above nine is looked at"


def test_the_state_at_the_beginning_is_any():
    def build(h):
        counter = h.place(Counter())
        h.prove("the count is what it was", counter.count == h.past(counter.count))

    assert (Claim("still", "", build, Window(1), BUG)).check(LIMIT).status == "refuted"


@pytest.mark.parametrize(
    "names",
    [
        ["decoder_q4_lean", "decoder_q4_least", "decoder_q4_deep_pauses", "cell_squares_q8_sum", "cell_pairs_q8"],
        # Inductions, which know registers by name: whoever adds one to the hardware finds out here.
        [
            "stream_*",
            "order_*",
            "axi_lite_registers",
            "jobs_*",
            "queue_trusting_4",
            "rotator_64_queues",
            "plan_*",
            "engine_*_plans",
        ],
    ],
    ids=["arithmetic", "inductions"],
)
def test_claims_on_the_hardware(names, tmp_path):
    report = run.run(catalogue.chosen(names), tmp_path, LIMIT)
    assert len(report["claims"]) >= len(names)
    for entry in report["claims"].values():
        assert entry["status"] == "proved" and entry["reached"] and entry["bug"], entry
    assert (tmp_path / "report.json").exists()


def test_claims_whose_proof_takes_long_are_on_the_hardware_as_it_is():
    claims = catalogue.chosen(["axi_*_master", "ends_*", "engine_*_ends", "engine_*_done", "engine_*_finished"])
    assert len(claims) == 14
    on_the_hardware(claims)


def test_a_queue_that_pauses_between_its_words_is_late():
    (claim,) = catalogue.chosen(["queue_trusting_4"])
    late = Bug("words are fetched when it is empty", r"(assign fetch = \w+ &) \w+;", r"\1 _04_ & ~filled;")
    assert isinstance(claim, Claim) and replace(claim, bug=late).check(LIMIT).status == "proved", "and the bug is found"


def test_what_follows_and_what_does_not():
    sound = Implication("", "", {"a": "(> x 2)", "b": "(> y x)"}, "(> y 3)", "a")
    assert sound.check(LIMIT).status == "proved"
    assert replace(sound, conclusion="(> y 4)").check(LIMIT).status == "refuted"
    assert replace(sound, facts=sound.facts | {"c": "(< y 1)"}).check(LIMIT).status == "unreachable"
    assert replace(sound, conclusion="(> y x)").check(LIMIT).status == "blind", "the first fact is not needed"


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

"""Every case is tried: that none is left out, and that what cannot be tried is said."""

import pytest
from amaranth import Cat

from golden.errors import ToolError
from sim.formal import exhaustion
from sim.formal.claim import Bug, Claim
from sim.formal.exhaustion import Exhaustion

LIMIT = 60


def claim(build):
    return Claim("numbers", "", build, Exhaustion(1), Bug("", "nowhere", ""))


@pytest.mark.parametrize("number", [0x5A3, 0xFFF])
def test_the_one_case_that_breaks_a_claim_is_found(number):
    def build(h):
        a, b = h.free("a", 7), h.free("b", 5)
        h.prove("they do not make the number", Cat(h.past(a), b) != number)

    verdict = claim(build).check(LIMIT)
    assert verdict.status == "refuted" and verdict.detail == "they do not make the number"
    assert verdict.waves.of("a")[0] == number & 0x7F and verdict.waves.of("b")[1] == number >> 7


def test_cases_that_are_not_meant_are_left_out():
    def build(h):
        a = h.free("a", 12)
        h.assume((a != 0) & (a != 2))
        h.prove("it was not zero", h.past(a) != 0)
        h.prove("it is not two", a != 2)
        h.prove("it is not one", a != 1)

    verdict = claim(build).check(LIMIT)
    assert verdict.status == "refuted" and verdict.detail == "it is not one"


def test_without_the_time_for_all_cases_nothing_is_proved():
    verdict = claim(lambda h: h.prove("it is its own double", h.free("a", 9) != 0)).check(0)
    assert verdict.status == "undecided"


def test_where_a_state_matters_cases_are_not_all():
    def build(h):
        h.prove("it never changes", h.always("a", 4) == 0)

    with pytest.raises(ToolError, match=r"\$_DFF_P_ matters"):
        claim(build).check(LIMIT)


def test_gates_that_are_read_wrongly_are_noticed(monkeypatch):
    monkeypatch.setitem(exhaustion.GATES, "$_AND_", "{A} | {B}")
    with pytest.raises(ToolError, match="do not agree"):
        claim(lambda h: h.prove("not both", ~(h.free("a") & h.free("b")))).check(LIMIT)

"""Runs: every one is a run of the circuit, as yosys says which states may follow each other."""

import re

import pytest

from golden.errors import ToolError
from sim.formal.catalogue import chosen
from sim.formal.harness import Harness
from sim.formal.runs import run
from sim.formal.verdict import solve

CLAIMS = ("decoder_q2_deep", "queue_block_2", "rotator_16_stages", "cell_stationary_pairs_q4")
"""Of circuits with registers of all kinds, with memories, and with what is chosen once."""


def model_of(name):
    (claim,) = chosen([name])
    harness = Harness()
    claim.build(harness)
    return claim.method.model(harness, harness.verilog)


@pytest.mark.parametrize("name", CLAIMS)
def test_states_of_a_run_follow_each_other(name):
    text = model_of(name).text
    begin = ["(set-logic QF_BV)", text, *run(text, 2)]
    follows = "(and (|top_t| s0 s1) (|top_t| s1 s2))"
    assert solve("\n".join([*begin, f"(assert (not {follows}))"]), [], 60).result == "unsat"
    # Every field that a rule is about is in it: with one rule left out, states follow that need not.
    loose = re.sub(r"^  \(= .* next_state\)\).*\n", "", text, count=1, flags=re.MULTILINE)
    assert loose != text
    begin = ["(set-logic QF_BV)", text, *run(loose, 2)]
    assert solve("\n".join([*begin, f"(assert (not {follows}))"]), [], 60).result == "sat"


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"\(_ BitVec (\d+)\)\)$", r"(_ BitVec 9\1))"),  # a state has bits that are no field
        (r"^\(define-fun \|top#1\|.*$", ""),  # a field is missing
        (r"next_state\)\)(.*)$", r"next_state) true)\1"),  # a rule is none of a field
    ],
)
def test_what_is_not_understood_is_no_run(pattern, replacement):
    text = model_of("decoder_q2_lean").text
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text and run(text, 1)
    with pytest.raises(ToolError, match="in another way"):
        run(changed, 1)

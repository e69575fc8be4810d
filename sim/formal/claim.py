"""Claims on units of the hardware, and how one is tried."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sim.formal.harness import Harness
from sim.formal.methods import Method
from sim.formal.model import planted
from sim.formal.verdict import Verdict, Waves


@dataclass(frozen=True)
class Bug:
    """A bug that a proof must find.

    Parameters
    ----------
    what : str
        Said in words.
    pattern, replacement : str
        A regular expression in the units' Verilog, and what is put in its places.
    """

    what: str
    pattern: str
    replacement: str


@dataclass(frozen=True)
class Claim:
    """What is said of the hardware.

    Parameters
    ----------
    name : str
    sentence : str
    build : callable
        Fills the harness.
    method : Method
    bug : Bug
    """

    name: str
    sentence: str
    build: Callable[[Harness], object]
    method: Method
    bug: Bug

    def check(self, limit: float) -> Verdict:
        """Tries the claim: its proof, its covers, and its bug; no question longer than `limit` seconds."""
        harness = Harness()
        with _BUILDING:
            self.build(harness)
            assert harness.rtlil
        sound = self.method.model(harness, harness.verilog)
        seconds = {"proof": 0.0, "covers": 0.0, "bug": 0.0}

        def verdict(status: str, detail: str = "", waves: Waves | None = None) -> Verdict:
            return Verdict(
                self.name,
                self.sentence,
                self.method.name,
                tuple(harness.covered),
                self.bug.what,
                status,
                seconds,
                detail,
                waves,
            )

        for question in self.method.refutations(harness, sound):
            answer = self.method.ask(sound, question, limit)
            seconds["proof"] += answer.seconds
            if answer.result == "sat":
                status, why = ("refuted", "") if question.real else ("undecided", "no induction: ")
                waves = Waves(sound.wires, question.steps + 1, answer.values)
                return verdict(status, why + _broken(harness, waves), waves)
            if answer.result != "unsat":
                return verdict("undecided", f"no answer within {limit:g} s")
        for i, what in enumerate(harness.covered):
            results = []
            for question in self.method.witnesses(i):
                answer = self.method.ask(sound, question, limit, told=False)
                seconds["covers"] += answer.seconds
                results.append(answer.result)
            if "sat" not in results:
                return verdict("unreachable" if set(results) == {"unsat"} else "undecided", what)
        wrong = self.method.model(harness, planted(harness.verilog, self.bug.pattern, self.bug.replacement))
        for question in self.method.hunts(harness, wrong):
            answer = self.method.ask(wrong, question, limit, told=False)
            seconds["bug"] += answer.seconds
            if answer.result == "sat":
                return verdict("proved" if self.method.conclusive else "holds")
        return verdict("blind", self.bug.what)


_BUILDING = threading.Lock()
"""Amaranth's, which makes one circuit at a time."""


def _broken(harness: Harness, waves: Waves) -> str:
    """Which of the statements a counterexample breaks: at its end, or anywhere but in its first state."""
    bits = {what: waves.of(f"prove_{i}") for i, what in enumerate(harness.proved)}
    last = [what for what, values in bits.items() if not values[-1]]
    return "; ".join(last or [what for what, values in bits.items() if not all(values[1:])])

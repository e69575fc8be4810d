"""What follows from facts and proved claims by arithmetic of integers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.formal.verdict import Verdict, solve


@dataclass(frozen=True)
class Implication:
    """That a conclusion follows from facts.

    Parameters
    ----------
    name, sentence : str
        As of a `Claim`.
    facts : dict of str to str
        Formulas of SMT-LIB over integers, by what they say.
    conclusion : str
    needed : str
        The fact without which it must not follow: what a planted bug is to a claim on the hardware.
    terms : sequence of str
        Declarations and definitions that come first, such as those of `sim.formal.exact.Terms`. Every other name is
        that of an integer.
    logic : str
        SMT-LIB's name of the arithmetic: "QF_LIA" if it is linear, else "QF_NIA".
    """

    name: str
    sentence: str
    facts: dict[str, str]
    conclusion: str
    needed: str
    terms: Sequence[str] = ()
    logic: str = "QF_LIA"

    def formulas(self, *, without: str = "", denied: bool = True) -> str:
        """The facts but for one, and that the conclusion is wrong if it is `denied`."""
        facts = [fact for what, fact in self.facts.items() if what != without]
        asserted = [*facts, *([f"(not {self.conclusion})"] if denied else [])]
        names = set(re.findall(r"\b[a-z]+\d*\b", " ".join([*self.facts.values(), self.conclusion])))
        free = sorted(names - {term.split()[1] for term in self.terms} - _WORDS)
        declared = (f"(declare-const {name} Int)" for name in free)
        return "\n".join([f"(set-logic {self.logic})", *self.terms, *declared, *(f"(assert {a})" for a in asserted)])

    def check(self, limit: float) -> Verdict:
        """Tries it: the conclusion; whether the facts can be; and whether the one that is needed is."""
        wrong = f"it does not follow without: {self.needed}"
        answers = {
            "proof": solve(self.formulas(), [], limit),
            "covers": solve(self.formulas(denied=False), [], limit),
            "bug": solve(self.formulas(without=self.needed), [], limit),
        }
        proof, covers, bug = (answer.result for answer in answers.values())
        if "unknown" in (proof, covers, bug):
            status = "undecided"
        elif proof == "sat":
            status = "refuted"
        elif covers == "unsat":
            status = "unreachable"
        else:
            status = "proved" if bug == "sat" else "blind"
        seconds = {name: answer.seconds for name, answer in answers.items()}
        method = "linear arithmetic" if self.logic == "QF_LIA" else "arithmetic of products"
        return Verdict(self.name, self.sentence, method, ("the facts can be",), wrong, status, seconds)


_WORDS = {"and", "or", "not", "xor", "ite", "true", "false", "abs", "mod"}


def every(formulas: Iterable[str]) -> str:
    """That all formulas are true."""
    return f"(and {' '.join(formulas)})"


def total(terms: Iterable[str]) -> str:
    """The sum of terms."""
    return f"(+ {' '.join(terms)})"

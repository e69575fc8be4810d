"""Claims, the ways to prove them, and how one is tried."""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from golden import process
from golden.errors import ToolError
from sim.formal.harness import Harness
from sim.formal.model import Model, model, planted


@dataclass(frozen=True)
class Question:
    """Whether a run of some states can be.

    Attributes
    ----------
    steps : int
        Clock cycles from the first state to the last.
    facts : list of str
        Formulas of the states s0, s1, ...
    real : bool
        Whether the hardware can get into the first state: else such a run refutes nothing.
    """

    steps: int
    facts: list[str]
    real: bool = True


def at(wire: str, step: int) -> str:
    """A wire in a state."""
    return f"(|top_n {wire}| s{step})"


def every(formulas: list[str]) -> str:
    """That all formulas are true."""
    return f"(and true {' '.join(formulas)})"


def some(formulas: list[str]) -> str:
    """That one of the formulas is true."""
    return f"(or false {' '.join(formulas)})"


def negated(formulas: list[str]) -> str:
    """That not all formulas are true."""
    return f"(not {every(formulas)})"


def _bits(names: dict[str, Any], kind: str, step: int) -> list[str]:
    return [at(f"{kind}_{i}", step) for i in range(len(names))]


class Method(ABC):
    """A way to prove what a harness says.

    Attributes
    ----------
    name : str
    conclusive : bool
        Whether what it does not refute is proved for runs of every length.
    """

    conclusive = True

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in reports."""

    @abstractmethod
    def refutations(self, harness: Harness, formulas: Model) -> list[Question]:
        """Runs of which none can be if the claim holds."""

    def hunts(self, harness: Harness, formulas: Model) -> list[Question]:
        """Runs of which one shows that a bug is a bug."""
        return self.refutations(harness, formulas)

    @abstractmethod
    def witnesses(self, cover: int) -> list[Question]:
        """Runs of which one shows that a case can be reached."""


@dataclass(frozen=True)
class Window(Method):
    """From any state whatever, some cycles without a reset later: for what depends on a few cycles only.

    Parameters
    ----------
    cycles : int
    """

    cycles: int

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"from any state, {self.cycles} cycle{'s' * (self.cycles != 1)}"

    def refutations(self, harness: Harness, formulas: Model) -> list[Question]:
        """Runs that end in what must not be."""
        wrong = negated(_bits(harness.proved, "prove", self.cycles))
        return [Question(self.cycles, [*self._running(), wrong])]

    def witnesses(self, cover: int) -> list[Question]:
        """Runs that end in the case."""
        return [Question(self.cycles, [*self._running(), at(f"cover_{cover}", self.cycles)])]

    def _running(self) -> list[str]:
        return [f"(and (not {at('rst', i)}) {at('assume', i)})" for i in range(self.cycles + 1)]


@dataclass(frozen=True)
class Induction(Method):
    """From a cycle of reset in any state: what holds in the first `depth` cycles, and in the one after any `depth`
    cycles in which it held, holds for ever.

    Parameters
    ----------
    depth : int
    reach : int
        Cycles after the reset within which what is covered must be reached, and the bug found.
    """

    depth: int = 1
    reach: int = 12

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"induction over {self.depth} cycle{'s' * (self.depth != 1)}"

    def refutations(self, harness: Harness, formulas: Model) -> list[Question]:
        """A run from reset that goes wrong, and a run that goes wrong after so many cycles in which it did not."""
        questions = [_from_reset(harness, self.depth)]
        held = [every(_bits(harness.proved, "prove", i)) for i in range(self.depth)]
        running = [f"(and (not {at('rst', i)}) {at('assume', i)})" for i in range(self.depth + 1)]
        wrong = negated(_bits(harness.proved, "prove", self.depth))
        return [*questions, Question(self.depth, [*held, *running, wrong], real=False)]

    def hunts(self, harness: Harness, formulas: Model) -> list[Question]:
        """A run from reset that goes wrong."""
        return [_from_reset(harness, self.reach)]

    def witnesses(self, cover: int) -> list[Question]:
        """A run from reset in which the case occurs."""
        seen = [at(f"cover_{cover}", i) for i in range(1, self.reach + 1)]
        return [Question(self.reach, [*_after_reset(self.reach), some(seen)])]


@dataclass(frozen=True)
class Bounded(Method):
    """From a cycle of reset in any state, some cycles and no more.

    Parameters
    ----------
    cycles : int
    """

    cycles: int
    conclusive = False

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.cycles} cycles from reset"

    def refutations(self, harness: Harness, formulas: Model) -> list[Question]:
        """A run that goes wrong."""
        return [_from_reset(harness, self.cycles)]

    def witnesses(self, cover: int) -> list[Question]:
        """A run in which the case occurs."""
        return Induction(reach=self.cycles).witnesses(cover)


@dataclass(frozen=True)
class Pauses(Method):
    """That a unit either keeps every register or goes on as if nothing could stop it, in one cycle from any state.

    The harness has the unit twice, with the same inputs but for what can stop it: `dut`, and `free`, which nothing
    stops. What is proved holds for two such units in equal states.

    Parameters
    ----------
    moves : str
        The wire that says whether `dut` goes on.
    """

    moves: str

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return "from any state, stopped and not"

    def refutations(self, harness: Harness, formulas: Model) -> list[Question]:
        """Equal units of which one does what the other does not, or moves though it is stopped."""
        kept = [name for name in formulas.registers if name.startswith("dut.")]
        twins = {name: name.replace("dut.", "free.", 1) for name in kept}

        def same(step: int) -> list[str]:
            return [f"(= {at(name, step)} {at(twin, step)})" for name, twin in twins.items()]

        start = [f"(not {at('rst', 0)})", at("assume", 0), *same(0)]
        moves, stays = at(self.moves, 0), [f"(= {at(name, 0)} {at(name, 1)})" for name in kept]
        return [
            Question(0, [*start, negated(_bits(harness.proved, "prove", 0))]),
            Question(1, [*start, moves, negated(same(1))]),
            Question(1, [*start, f"(not {moves})", negated(stays)]),
        ]

    def witnesses(self, cover: int) -> list[Question]:
        """A state of the case."""
        return [Question(0, [at(f"cover_{cover}", 0)])]


def _after_reset(cycles: int) -> list[str]:
    """The first state is one of reset; after it there is none, and what is assumed holds."""
    return [at("rst", 0), *(f"(and (not {at('rst', i)}) {at('assume', i)})" for i in range(1, cycles + 1))]


def _from_reset(harness: Harness, cycles: int) -> Question:
    wrong = [negated(_bits(harness.proved, "prove", i)) for i in range(1, cycles + 1)]
    return Question(cycles, [*_after_reset(cycles), some(wrong)])


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
    build: Callable[[Harness], None]
    method: Method
    bug: Bug


@dataclass(frozen=True)
class Answer:
    """What a solver says of a question.

    Attributes
    ----------
    result : "sat", "unsat" or "unknown"
    seconds : float
    values : dict of str to list of int
        What every wire has in each state, if there is such a run.
    """

    result: str
    seconds: float
    values: dict[str, list[int]] = field(default_factory=dict)


def ask(formulas: Model, question: Question, limit: float) -> Answer:
    """Whether a run can be.

    Raises
    ------
    ToolError
        If the solver fails.
    """
    states = range(question.steps + 1)
    lines = [
        "(set-logic QF_BV)",
        formulas.text,
        *(f"(declare-const s{i} |top_s|)" for i in states),
        *(f"(assert (|top_t| s{i} s{i + 1}))" for i in states[:-1]),
        *(f"(assert (= {at(port, i)} {at(wire, i)}))" for port, wire in formulas.probes.items() for i in states),
        *(f"(assert {fact})" for fact in question.facts),
    ]
    terms = [at(wire, i) for wire in formulas.wires for i in states]
    asked = json.dumps({"formulas": "\n".join(lines), "terms": terms, "limit": limit})
    begin = time.monotonic()
    done = process.run_python("sim.formal.solve", input=asked, limit=limit + 30)
    seconds = time.monotonic() - begin
    if done.code:
        said = done.errors.strip().splitlines()
        raise ToolError(f"The solver failed ({said[-1] if said else done.how}).")
    answer = json.loads(done.output)
    numbers = answer["values"]
    values = {
        wire: numbers[i * len(states) : (i + 1) * len(states)]
        for i, wire in enumerate(formulas.wires)
        if len(numbers) == len(terms)
    }
    return Answer(answer["result"], seconds, values)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    status : str
        "proved"; "holds" if for so many cycles only; "refuted"; "undecided" if the time was not enough, or the
        induction; "unreachable" if a case that must be reachable is not; "blind" if the planted bug was not found.
    seconds : dict of str to float
        Of the solver: for the `proof`, the `covers` and the `bug`.
    detail : str
        What failed, if something did.
    formulas, counterexample
        Of a claim that is refuted: the run that breaks it; or that induction cannot tell from one.
    """

    claim: Claim
    status: str
    seconds: dict[str, float]
    covers: tuple[str, ...] = ()
    detail: str = ""
    formulas: Model | None = None
    counterexample: Answer | None = None


_BUILDING = threading.Lock()
"""Amaranth's, which makes one circuit at a time."""


def check(claim: Claim, limit: float) -> Verdict:
    """Tries a claim: its proof, its covers, and its bug.

    Parameters
    ----------
    claim : Claim
    limit : float
        Seconds for each question.
    """
    harness = Harness()
    with _BUILDING:
        claim.build(harness)
        assert harness.rtlil
    sound = model(harness, harness.verilog)
    seconds = {"proof": 0.0, "covers": 0.0, "bug": 0.0}
    covers = tuple(harness.covered)

    def verdict(status: str, detail: str = "", **found: Any) -> Verdict:
        return Verdict(claim, status, seconds, covers, detail, **found)

    for question in claim.method.refutations(harness, sound):
        answer = ask(sound, question, limit)
        seconds["proof"] += answer.seconds
        if answer.result == "sat":
            status, why = ("refuted", "") if question.real else ("undecided", "no induction: ")
            return verdict(status, why + _broken(harness, answer), formulas=sound, counterexample=answer)
        if answer.result != "unsat":
            return verdict("undecided", f"no answer within {limit:g} s")
    for i, what in enumerate(covers):
        results = []
        for question in claim.method.witnesses(i):
            answer = ask(sound, question, limit)
            seconds["covers"] += answer.seconds
            results.append(answer.result)
        if "sat" not in results:
            return verdict("unreachable" if set(results) == {"unsat"} else "undecided", what)
    wrong = model(harness, planted(harness.verilog, claim.bug.pattern, claim.bug.replacement))
    for question in claim.method.hunts(harness, wrong):
        answer = ask(wrong, question, limit)
        seconds["bug"] += answer.seconds
        if answer.result == "sat":
            return verdict("proved" if claim.method.conclusive else "holds")
    return verdict("blind", claim.bug.what)


def _broken(harness: Harness, answer: Answer) -> str:
    """Which of the statements a counterexample breaks."""
    last = [what for i, what in enumerate(harness.proved) if 0 in answer.values.get(f"prove_{i}", [1])[-1:]]
    ever = [what for i, what in enumerate(harness.proved) if 0 in answer.values.get(f"prove_{i}", [1])[1:]]
    return "; ".join(last or ever)

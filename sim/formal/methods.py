"""Ways to prove what a harness says: runs of which none may be, and runs of which one must."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from sim.formal.harness import Harness
from sim.formal.model import Model, model
from sim.formal.runs import run
from sim.formal.verdict import Answer, solve


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


def ask(formulas: Model, question: Question, limit: float, *, told: bool = True) -> Answer:
    """Whether a run can be; if so, and if it is to be told, what every wire has in each of its states."""
    states = range(question.steps + 1)
    lines = [
        "(set-logic QF_BV)",
        formulas.text,
        *run(formulas.text, question.steps),
        *(f"(assert (= {at(port, i)} {at(wire, i)}))" for port, wire in formulas.probes.items() for i in states),
        *(f"(assert {fact})" for fact in question.facts),
    ]
    terms = [at(wire, i) for wire in formulas.wires for i in states] if told else []
    return solve("\n".join(lines), terms, limit)


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

    def model(self, harness: Harness, verilog: dict[str, str]) -> Model:
        """A harness with the given Verilog for its units, as the method's questions need it."""
        return model(harness, verilog)

    def ask(self, formulas: Model, question: Question, limit: float, *, told: bool = True) -> Answer:
        """Whether one of its runs can be, within so many seconds; if so, and if it is to be told, with all in it."""
        return ask(formulas, question, limit, told=told)

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

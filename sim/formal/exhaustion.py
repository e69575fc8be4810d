"""A proof by trying every case: a circuit as straight-line C++ on machine words, with a case in each of their bits.

yosys brings the harness down to gates of one bit. Each becomes a line of C++ that works on 512 cases at once, those of
successive numbers: the bits of a case's number are the inputs. A case that is found is put to the solver as well, as a
run of the same harness: the two must agree, and the solver has its waves.
"""

import json
import time
from dataclasses import dataclass

from golden import process
from golden.errors import ToolError
from sim.formal.harness import Harness
from sim.formal.methods import Question, Window, ask, at
from sim.formal.model import Model, model
from sim.formal.verdict import Answer
from sim.rtl import cache
from sim.rtl.tools import check_compiler, compiler

FLAGS = ("-std=c++17", "-O2", "-march=native")

REGISTER = "$_DFF_P_"

GATES = {
    "$_NOT_": "~{A}",
    "$_AND_": "{A} & {B}",
    "$_OR_": "{A} | {B}",
    "$_XOR_": "{A} ^ {B}",
    "$_XNOR_": "~({A} ^ {B})",
    "$_MUX_": "({B} & {S}) | ({A} & ~{S})",
    REGISTER: "{D}",
}
"""What a gate's output is, of its inputs; a register's, of its input one state before."""

PROGRAM = r"""#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

typedef uint64_t V __attribute__((vector_size(64)));

constexpr uint64_t CASES = uint64_t(1) << @BITS@, LANES = 512, BETWEEN_LOOKS = LANES << 12;
constexpr V NONE = {}, ALL = ~NONE;

// Bit i of 0, 1, ..., 63.
constexpr uint64_t within(int i) {
    uint64_t bits = 0;
    for (uint64_t number = 0; number < 64; number++) bits |= (number >> i & 1) << number;
    return bits;
}

// Bit i of the numbers of cases; each word has those of 64 in a row, from the one given.
static inline V bit(V first, int i) { return i < 6 ? NONE + within(i) : -((first >> i) & 1); }

// Which cases are sought.
static V sought([[maybe_unused]] V first) {
@LINES@
    return @RESULT@;
}

// Tries cases for so many seconds: says the number of one that is sought, or how many it has tried.
int main(int, char **words) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(words[1]));
    uint64_t number = 0;
    for (; number < CASES; number += LANES) {
        if (number % BETWEEN_LOOKS == 0 && std::chrono::steady_clock::now() > end) break;
        const V found = sought(V{0, 64, 128, 192, 256, 320, 384, 448} + number);
        for (int word = 0; word < 8; word++)
            if (found[word]) {
                number += 64 * word + __builtin_ctzll(found[word]);
                std::printf("found %llu\n", static_cast<unsigned long long>(number));
                return 0;
            }
    }
    std::printf("tried %llu\n", static_cast<unsigned long long>(number));
}
"""

Wire = tuple[int | str, int]
"""A wire, by yosys' number, or a constant; in a state."""

Input = tuple[str, int, int]
"""An input of the harness, one of its bits, a state."""


@dataclass(frozen=True)
class Case(Question):
    """A question that is answered by trying.

    Attributes
    ----------
    outputs : tuple of str
        Outputs of the harness in the last state.
    level : bool
        What one of them is in a case that is sought.
    """

    outputs: tuple[str, ...] = ()
    level: bool = True


@dataclass(frozen=True)
class Exhaustion(Window):
    """As a window, but every case is tried: for what depends on inputs alone, and on some 32 bits of them at most."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"every case tried, {self.cycles} cycle{'s' * (self.cycles != 1)}"

    def model(self, harness: Harness, verilog: dict[str, str]) -> Model:
        """With its gates."""
        return model(harness, verilog, gates=True)

    def refutations(self, harness: Harness, formulas: Model) -> list[Question]:
        """Runs that end in what must not be."""
        (question,) = super().refutations(harness, formulas)
        outputs = tuple(f"prove_{i}" for i in range(len(harness.proved)))
        return [Case(question.steps, question.facts, outputs=outputs, level=False)]

    def witnesses(self, cover: int) -> list[Question]:
        """Runs that end in the case."""
        (question,) = super().witnesses(cover)
        return [Case(question.steps, question.facts, outputs=(f"cover_{cover}",))]

    def ask(self, formulas: Model, question: Question, limit: float, *, told: bool = True) -> Answer:
        """Tries every case, for so many seconds; one that is found must be one for the solver as well.

        Raises
        ------
        ToolError
            If something matters that is no input, there is no compiler, or the solver does not agree.
        """
        assert isinstance(question, Case)
        lines = Lines(formulas.gates)
        running = [lines.value("assume", step) for step in range(question.steps + 1)]
        ends = [lines.value(output, question.steps) for output in question.outputs]
        sought = " | ".join(ends) if question.level else f"~({' & '.join(ends)})"
        begin = time.monotonic()
        what, number = _tried(lines, f"{' & '.join(running)} & ({sought})", limit)
        seconds = time.monotonic() - begin
        if what == "tried":
            return Answer("unsat" if number >= 1 << len(lines.inputs) else "unknown", seconds, [])
        facts = [_is(formulas, *bit, number >> k & 1) for k, bit in enumerate(lines.inputs)]
        answer = ask(formulas, Question(question.steps, [*question.facts, *facts]), limit, told=told)
        if answer.result == "unsat":
            raise ToolError(f"Gates and formulas do not agree on {', '.join(question.outputs)} in case {number}.")
        return Answer(answer.result, seconds + answer.seconds, answer.values)


class Lines:
    """Gates as lines of C++, each after those that it needs.

    Parameters
    ----------
    gates : str
        As of a `Model`.

    Attributes
    ----------
    lines : list of str
    inputs : list of Input
        Those that matter, in the order of the bits of a case's number.
    """

    def __init__(self, gates: str):
        top = json.loads(gates)["modules"]["top"]
        self.lines: list[str] = []
        self.inputs: list[Input] = []
        self._ports = {name: port["bits"] for name, port in top["ports"].items()}
        inward = [name for name, port in top["ports"].items() if port["direction"] == "input"]
        self._given = {bit: (name, i) for name in inward for i, bit in enumerate(self._ports[name])}
        self._gates: dict[int | str, tuple[str, dict[str, int | str]]] = {}
        for cell in top["cells"].values():
            pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
            for output in pins.keys() & {"Y", "Q"}:
                self._gates[pins.pop(output)] = cell["type"], pins
        self._names: dict[Wire, str] = {}

    def value(self, output: str, step: int) -> str:
        """The name in C++ of an output in a state; its line is added, after all that it needs.

        Raises
        ------
        ToolError
            If something matters that is neither an input nor a gate.
        """
        (bit,) = self._ports[output]
        waiting: list[Wire] = [(bit, step)]
        while waiting:
            if waiting[-1] in self._names:
                waiting.pop()
                continue
            text, sources = self._read(waiting[-1])
            missing = [source for source in sources.values() if source not in self._names]
            if not missing:
                self._names[waiting[-1]] = name = f"n{len(self._names)}"
                operands = {pin: self._names[source] for pin, source in sources.items()}
                self.lines.append(f"    const V {name} = {text.format(**operands)};")
            waiting += missing
        return self._names[bit, step]

    def _read(self, wire: Wire) -> tuple[str, dict[str, Wire]]:
        """What a wire is, and of which others, by the pins that they are at."""
        bit, step = wire
        if bit in ("0", "1"):
            return ("ALL" if bit == "1" else "NONE"), {}
        if bit in self._given:
            port, i = self._given[bit]
            if port == "rst":  # no run has a reset
                return "NONE", {}
            self.inputs.append((port, i, step))
            return f"bit(first, {len(self.inputs) - 1})", {}
        kind, pins = self._gates.get(bit, ("an undefined value", {}))
        before = step - (kind == REGISTER)
        if kind not in GATES or before < 0:
            raise ToolError(f"Not every case can be tried: {kind} matters, which is no input.")
        return GATES[kind], {pin: (source, before) for pin, source in pins.items() if pin != "C"}


def _tried(lines: Lines, result: str, limit: float) -> tuple[str, int]:
    """What the program says: "found" and the number of a case, or "tried" and of how many."""
    command, _ = compiler()
    check_compiler(command)
    text = PROGRAM.replace("@BITS@", str(len(lines.inputs))).replace("@LINES@", "\n".join(lines.lines))
    with cache.workplace() as folder:
        (folder / "cases.cpp").write_text(text.replace("@RESULT@", result), encoding="utf-8")
        process.call([*command, *FLAGS, folder / "cases.cpp", "-o", folder / "cases"])
        what, number = process.call([folder / "cases", str(limit)]).split()
    return what, int(number)


def _is(formulas: Model, port: str, i: int, step: int, value: int) -> str:
    """That a bit of an input has a value in a state."""
    wire = at(port, step)
    bit = wire if formulas.wires[port] == 1 else f"(= ((_ extract {i} {i}) {wire}) #b1)"
    return bit if value else f"(not {bit})"

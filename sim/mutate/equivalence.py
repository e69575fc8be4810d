"""Whether a mutant is one at all: a proof that nothing that the module does can tell it from what it is made of.

The module is taken twice, with the mutant and without it, in equal states and with equal inputs in every cycle. What
remains equal is found as the greatest set of statements that a cycle of reset makes true and every cycle keeps: that a
register, or each bit of a narrow one, is the same in both; or, for one that is not, that it is the same whenever
another bit is up, or down. If in that set the outputs are equal as well, they are equal for ever. Outputs of a stream
need to be equal only while it is valid. What cannot be proved of the module by itself is tried once more within the one
around it, and so on. Memories and all other modules in it are cut off: what goes into them is an output, what comes out
of them an input, and of a memory one that is equal where the same is read; but for the small ones among these, and over
more cycles, for those of control, and for the registers. And there are ways with statements about values: which ones a
register never has, and what is the same while it has one.

Where claims of `sim.formal` say all that a unit does, a mutant of which they hold is none either.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from golden import process
from golden.errors import ToolError
from golden.lattice import DIM, PARITY
from sim.formal.catalogue import chosen
from sim.formal.claim import Claim
from sim.formal.harness import Harness
from sim.mutate.mutants import ASSIGNMENT, RESETS, Mutant, planted
from sim.silicon.tools import yosys

NEAR, WIDE, LARGE = 250, 500, 2500
"""Lines of Verilog that a module has at most: one of queues, counters and turns; one of control, without any of the
arithmetic; and the registers."""

OUTSIDE = "rst"
"""The reset that comes from outside; others are a cycle long at least."""

BUSY = 30
"""Times as long as a proof may take where the processor is busy with other work as well."""

ADDRESS, DATA = "RD_ADDR", "RD_DATA"
"""Of a memory, what says where it is read, and what it says then."""

CHOSEN = "chosen_mutant"
"""The input that says which mutant is there; none with 0."""

INITIAL = re.compile(r"^ *initial begin$.*?^ *end$", re.DOTALL | re.MULTILINE)
"""What memories hold at first: they are cut off."""

SCRIPT = """
hierarchy -top unit
proc -noopt
flatten
memory_collect
expose -evert unit/t:$mem_v2
expose -evert unit/c:*
delete =A:blackbox
setattr -unset init w:*
opt_expr
opt_clean
check -assert
setundef -undriven -zero
dffunmap
write_smt2 unit.smt2
"""


@dataclass(frozen=True)
class Way:
    """How a proof is tried.

    Attributes
    ----------
    around : int
        How many of the modules around it are part of the circuit.
    lines : int
        Other modules with so many lines at most are so as well.
    depths : tuple of int
        Cycles of inductions; more of them see through as many registers whose contents are not the same.
    values : bool
        Whether it is also found out which values registers never have, and what holds while they have one.
    limit : float
        Seconds of the processor.
    """

    around: int
    lines: int
    depths: tuple[int, ...]
    values: bool = False
    limit: float = 12.0


def ways(around: int, *, quick: bool = False) -> list[Way]:
    """How it is tried, one way after the other, for a module with so many others around it; those that are quick."""
    alone = [Way(i, 0, (1, 3)) for i in range(around + 1)]
    near = [Way(i, NEAR, (2, 6)) for i in range(min(around, 1) + 1)]
    if quick:
        return [*near, *alone]
    wide = [Way(i, WIDE, (1,)) for i in range(1, around + 1)]
    large = [Way(i, LARGE, (2,), limit=60.0) for i in range(1, min(around, 1) + 1)]
    values = [Way(i, NEAR, (2,), values=True, limit=240.0) for i in range(min(around, 1) + 1)]
    return [*near, *alone, *wide, *large, *values]


@dataclass(frozen=True)
class Circuit:
    """A module with all its mutants, as formulas.

    Attributes
    ----------
    text : str
        SMT-LIB: the function `|unit_t|` of two states, and functions of one, among them `|unit_n <wire>|`.
    inputs, outputs, registers : dict of str to int
        Names and bits.
    points : list of str
        Inputs that carry points of Λ only, coordinates from the lowest bit on.
    reset_cycles : int
        Cycles that a reset from outside takes at least.
    """

    text: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    registers: dict[str, int]
    points: list[str]
    reset_cycles: int


def circuit(
    verilog: str,
    mutants: Sequence[Mutant],
    around: Sequence[str] = (),
    points: Sequence[str] = (),
    *,
    lines: int = 0,
    reset_cycles: int = 1,
) -> Circuit:
    """The formulas of the one module that all the mutants are in, some of whose inputs carry `points` of Λ only; or of
    it within those `around` it, from the inmost on. Other modules in it with so many `lines` at most are parts of it. A
    reset from outside takes so many cycles.

    Raises
    ------
    ToolError
        If there is no yosys, or it does not read what it is given.
    """
    command, _ = yosys()
    units = modules(planted(verilog, mutants, CHOSEN))
    top = mutants[0].module
    whole = [_with_choice(units.pop(top))]
    for ring in around:
        instance = rf"^(  \\?{re.escape(top)} +\S+ +\(\n)"
        text = re.sub(instance, rf"\1    .{CHOSEN}({CHOSEN}),\n", units.pop(ring), flags=re.MULTILINE)
        whole.append(_with_choice(text))
        top = ring
    taken = [text for name, text in units.items() if _is_part(units, name, whole, lines)]
    while taken:
        whole += taken
        units = {name: text for name, text in units.items() if text not in taken}
        taken = [text for name, text in units.items() if _is_part(units, name, taken, lines)]
    stubs = [_stub(text) for name, text in units.items() if any(_instantiates(unit, name) for unit in whole)]
    with process.scratch() as folder:
        text = INITIAL.sub("", "\n".join([*whole, *stubs, ""]))
        (folder / "unit.v").write_text(text, encoding="utf-8")
        (folder / "script.ys").write_text(f"read_verilog unit.v\nrename {top} unit\n{SCRIPT}", encoding="utf-8")
        done = process.run([*command, "-q", "-l", "log.txt", "-s", "script.ys"], folder=folder)
        if done.code:
            raise process.failed(done, (folder / "log.txt").read_text(encoding="utf-8").splitlines()[-20:], folder)
        text = (folder / "unit.smt2").read_text(encoding="utf-8")
    found = re.findall(r"^; yosys-smt2-(input|output|register) (\S+) (\d+)", text, re.MULTILINE)

    def of(kind: str) -> dict[str, int]:
        return {name: int(bits) for this, name, bits in found if this == kind and name != CHOSEN and int(bits)}

    return Circuit(text, of("input"), of("output"), of("register"), list(points), reset_cycles)


def modules(verilog: str) -> dict[str, str]:
    """The text of each module, by its name."""
    texts = re.findall(r"^module .*?^endmodule$", verilog, re.DOTALL | re.MULTILINE)
    return {text.split()[1].partition("(")[0].lstrip("\\"): text for text in texts}


def outer(verilog: str, module: str) -> list[str]:
    """The modules around a module, from the inmost on, as long as there is one that it is instantiated in."""
    every, found = modules(verilog), list[str]()
    while True:
        places = [name for name, text in every.items() if _instantiates(text, module)]
        if len(places) != 1:
            return found
        found += places
        (module,) = places


def _instantiates(text: str, name: str) -> bool:
    return re.search(rf"^  \\?{re.escape(name)} +\S+ +\($", text, re.MULTILINE) is not None


def _is_part(units: dict[str, str], name: str, whole: Sequence[str], lines: int) -> bool:
    return units[name].count("\n") <= lines and any(_instantiates(unit, name) for unit in whole)


def _with_choice(text: str) -> str:
    """A module with the input that says which mutant is there."""
    head, _, body = text.partition(";\n")
    return f"{head.replace('(', f'({CHOSEN}, ', 1)};\n  input [15:0] {CHOSEN};\n{body}"


def _stub(text: str) -> str:
    """The ports of a module."""
    ports = re.findall(r"^  (?:input|output) .*;$", text, re.MULTILINE)
    return "\n".join(["(* blackbox *)", text.partition(";\n")[0] + ";", *ports, "endmodule"])


Part = tuple[str, range | None]
"""A wire, or some bits of it in a row."""

NARROW = 4
"""Bits of a register of which each is looked at by itself: such are states, counts and tokens."""

SPLIT = 16
"""The same, where it is also found out what values say; of a wider one each `WORD` is then looked at by itself."""

WORD = 32
"""Bits of what is gathered in a wide register, word by word."""

COUNTED = 5
"""Bits of a register whose values may say something."""


def equivalent(circuit: Circuit, number: int, way: Way) -> bool:
    """Whether it is proved, in a way, that mutant `number` of the circuit, from 1, does what the module does, by
    inductions among which the seconds are divided. They are the processor's: a machine that has other work to do proves
    as much.

    Raises
    ------
    ToolError
        If the solver fails.
    """
    limit = way.limit / len(way.depths)
    return any(_induction(circuit, number, depth, limit, way.values) for depth in way.depths)


def _induction(circuit: Circuit, number: int, depth: int, limit: float, values: bool) -> bool:
    """An induction over `depth` cycles on what is the same in a module and in a mutant of it, and on what `values`
    say."""
    split = SPLIT if values else NARROW
    # From the reset on: the first of the cycles in which what is kept holds.
    first = circuit.reset_cycles if OUTSIDE in circuit.inputs else 1
    steps = range(depth + first)
    parts: list[Part] = []
    for name, width in circuit.registers.items():
        step = 1 if 1 < width <= split else WORD if values else width
        parts += _parts(name, width, step)
    bits = [part for part in parts if circuit.registers[part[0]] <= NARROW]
    facts = [_comes(circuit, name, i) for name in circuit.inputs for i in steps]
    for side, which in (("s", 0), ("t", number)):
        facts += [f"(= {_at((CHOSEN, None), f'{side}{i}')} #x{which:04x})" for i in steps]
    facts += [_in_lattice(port, circuit.inputs[port] // DIM, i) for port in circuit.points for i in steps]
    states = [_state(circuit.text, f"{side}{i}") for side in "st" for i in steps]
    changes = [_step(circuit.text, f"{side}{i}", f"{side}{i + 1}") for side in "st" for i in steps[:-1]]
    resets = [_at((name, None), "s0") for name in circuit.inputs if name in RESETS]
    longer = [_at((OUTSIDE, None), f"s{i}") for i in range(first)] if first > 1 else []
    kept = [[_same(part, i) for i in steps] for part in parts]
    where = [[form.format(_at(bit, f"s{i}")) for i in steps] for bit in bits for form in ("{}", "(not {})")]
    places = [len(where)] * len(kept)
    if values and resets:
        has = [
            [_is(name, f"s{i}", width, value) for i in steps]
            for name, width in circuit.registers.items()
            if width <= COUNTED
            for value in range(1 << width)
        ]
        places = [len(where) + len(has)] * len(kept) + [len(where)] * len(has)
        kept += [[f"(not {term})" for term in terms] for terms in has]
        where += has
    question = {
        "formulas": "\n".join(["(set-logic QF_BV)", *states, *changes, *map("(assert {})".format, facts)]),
        "kept": kept,
        "where": where,
        "places": places,
        "begin": [*(_same((name, None), 0) for name in circuit.registers), *resets, *longer] if resets else [],
        "again": longer,
        "goes_on": [f"(not {_at((OUTSIDE, None), f's{i}')})" for i in range(depth + 1)] if longer else [],
        "written": f"(and true true {' '.join(_written(circuit, i) for i in range(len(longer)))})",
        "depth": depth,
        "alike": f"(and true true {' '.join(_outputs(circuit, depth - 1))})",
        "limit": limit,
    }
    done = process.run_python("sim.mutate.induction", input=json.dumps(question), limit=BUSY * limit + 60)
    if done.code:
        said = done.errors.strip().splitlines()
        raise ToolError(f"The solver failed ({said[-1] if said else done.how}).")
    return bool(json.loads(done.output))


def as_claimed(claims: Sequence[str], mutant: Mutant, limit: float) -> bool:
    """Whether all that claims of `sim.formal` say of a unit is proved of the mutant as well, no question taking longer
    than so many seconds. Those about parts of it that the mutant leaves as they are hold in any case.

    Raises
    ------
    ToolError
        If a tool fails.
    """
    concerned = False
    for claim in chosen(list(claims)):
        assert isinstance(claim, Claim)
        harness = Harness()
        claim.build(harness)
        assert harness.rtlil
        changed = {name: _changed(text, mutant) for name, text in harness.verilog.items()}
        if changed == harness.verilog:
            continue
        concerned = True
        formulas = claim.method.model(harness, changed)
        for question in claim.method.refutations(harness, formulas):
            if claim.method.ask(formulas, question, limit, told=False).result != "unsat":
                return False
    return concerned


def _changed(verilog: str, mutant: Mutant) -> str:
    """Verilog with the mutant where it has the very assignment that it changes."""
    lines = verilog.splitlines()
    for i, line in enumerate(lines):
        match = ASSIGNMENT.fullmatch(line)
        if match and (match[2].strip(), match[3].strip()) == (mutant.target, mutant.sound):
            lines[i] = f"{match[1]}1'h1 ? ({mutant.broken} ) : ({match[3]}){match[4]}"
    return "\n".join([*lines, ""])


def _state(text: str, state: str) -> str:
    """The functions of one state as constants of their own: what is equal is then seen to be, without a search."""
    lines = [line for line in text.splitlines() if line.startswith(("(define-fun", "(declare-fun"))]
    lines = [line for line in lines if "next_state" not in line]
    made = "\n".join(lines).replace("((state |unit_s|))", "()").replace(" (|unit_s|) ", " () ")
    made = re.sub(r"^(\((?:define|declare)-fun \|[^|]*)\|", rf"\1@{state}|", made, flags=re.MULTILINE)
    return re.sub(r"\((\|[^|]*)\| state\)", rf"\1@{state}|", made)


def _step(text: str, before: str, after: str) -> str:
    """That one state follows another."""
    body = text.partition("(define-fun |unit_t| ((state |unit_s|) (next_state |unit_s|)) Bool ")[2]
    body = body.partition(") ; end of module unit")[0]
    body = re.sub(r"\((\|[^|]*)\| state\)", rf"\1@{before}|", re.sub(r" ;.*$", "", body, flags=re.MULTILINE))
    return f"(assert {re.sub(r'[(]([|][^|]*)[|] next_state[)]', lambda match: f'{match[1]}@{after}|', body)})"


def _parts(name: str, width: int, step: int) -> list[Part]:
    """A wire in parts of so many bits, the last of which may have fewer."""
    if step >= width:
        return [(name, None)]
    return [(name, range(low, min(low + step, width))) for low in range(0, width, step)]


def _at(part: Part, state: str) -> str:
    """A wire, or some bits of it, in a state; one bit as a truth value."""
    name, bits = part
    wire = f"|unit_n {name}@{state}|"
    if bits is None:
        return wire
    some = f"((_ extract {bits[-1]} {bits[0]}) {wire})"
    return f"(= {some} #b1)" if len(bits) == 1 else some


def _is(name: str, state: str, width: int, value: int) -> str:
    """That a wire has a value in a state."""
    wire = _at((name, None), state)
    return f"(= {wire} {('false', 'true')[value] if width == 1 else f'(_ bv{value} {width})'})"


def _same(part: Part, step: int) -> str:
    """That a wire, or some bits of it, are the same in both."""
    return f"(= {_at(part, f's{step}')} {_at(part, f't{step}')})"


def _in_lattice(port: str, bits: int, step: int) -> str:
    """That an input is a point of Λ: its coordinates' lowest bits are a codeword."""
    low = [f"((_ extract {bits * i} {bits * i}) {_at((port, None), f's{step}')})" for i in range(DIM)]
    checks = [f"(= {low[k]} (bvxor {low[a]} (bvxor {low[b]} {low[c]})))" for k, (a, b, c) in PARITY.items()]
    return f"(and {' '.join(checks)})"


def _comes(circuit: Circuit, name: str, step: int) -> str:
    """That an input is the same in both, if it does not come out of another place of a memory."""
    same, address = _same((name, None), step), f"{name.removesuffix(DATA)}{ADDRESS}"
    read = name.endswith(f".{DATA}") and address in circuit.outputs
    return f"(or (not {_same((address, None), step)}) {same})" if read else same


def _written(circuit: Circuit, step: int) -> str:
    """That what is written to memories is the same in both."""
    ports = {name: bits for name, bits in circuit.outputs.items() if name.rpartition(".")[2].startswith("WR_")}
    return f"(and true true {' '.join(_outputs(replace(circuit, outputs=ports), step))})"


def _outputs(circuit: Circuit, step: int) -> list[str]:
    """That each output is the same in both, or belongs to a stream that is not valid, or says what is read from a
    memory, or what is written while nothing is."""
    valid = [name for name, bits in circuit.outputs.items() if bits == 1 and name.endswith("valid")]
    same = []
    for name in circuit.outputs:
        place, _, port = name.rpartition(".")  # what goes into a part of the circuit is no stream of the circuit's own
        if f"{place}.{DATA}" in circuit.inputs and port == ADDRESS:
            continue
        streams = [v for v in valid if name != v and name.startswith(v.removesuffix("valid"))]
        streams = [v for v in streams if v.rpartition(".")[0] == place]
        idle = f"(not {_at((max(streams, key=len), None), f's{step}')})" if streams else "false"
        if port in ("WR_ADDR", "WR_DATA"):
            enable = f"{place}.WR_EN"
            idle = _is(enable, f"s{step}", circuit.outputs[enable], 0)
        same.append(f"(or {idle} {_same((name, None), step)})")
    return same

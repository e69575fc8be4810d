"""Whether a mutant is one at all: a proof that nothing that the module does can tell it from what it is made of.

The module is taken twice, with the mutant and without it, in equal states and with equal inputs in every cycle. What
remains equal is found as the greatest set of statements that a cycle of reset makes true and every cycle keeps: that a
register is the same in both; or, for one that is not, that it is the same whenever another register of one bit is up,
or down. If in that set the outputs are equal as well, they are equal for ever. Outputs of a stream need to be equal
only while it is valid. Modules within the module are cut off: what goes into them is an output, what comes out of them
an input.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from golden import process
from sim.formal.verdict import Answer, solve
from sim.mutate.mutants import RESETS, Mutant, planted
from sim.silicon.tools import yosys

CHOSEN = "chosen_mutant"
"""The input that says which mutant is there; none with 0."""

SCRIPT = """
read_verilog unit.v
hierarchy -top unit
expose -evert unit/c:*
delete =A:blackbox
proc -noopt
setattr -unset init w:*
memory_collect
memory_map
opt_expr
opt_clean
setundef -zero
check -assert
dffunmap
write_smt2 -stbv -wires unit.smt2
"""


@dataclass(frozen=True)
class Circuit:
    """A module with all its mutants, as formulas.

    Attributes
    ----------
    text : str
        SMT-LIB: the functions `|unit_t|` of two states and `|unit_n <wire>|` of one.
    inputs, outputs, registers : dict of str to int
        Names and bits.
    """

    text: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    registers: dict[str, int]


def circuit(verilog: str, mutants: Sequence[Mutant]) -> Circuit:
    """The formulas of the one module that all the mutants are in.

    Raises
    ------
    ToolError
        If there is no yosys, or it does not read what it is given.
    """
    command, _ = yosys()
    module = mutants[0].module
    text = planted(verilog, mutants, CHOSEN)
    units = re.findall(r"^module .*?^endmodule$", text, re.DOTALL | re.MULTILINE)
    named = {unit.split()[1].partition("(")[0].lstrip("\\"): unit for unit in units}
    unit = re.sub(r"\Amodule (\\\S+ |\w+) *\(", f"module unit({CHOSEN}, ", named.pop(module), count=1)
    head, _, body = unit.partition(";\n")
    unit = f"{head};\n  input [15:0] {CHOSEN};\n{body}"
    with process.scratch() as folder:
        stubs = [
            _stub(name, other) for name, other in named.items() if re.search(rf"^  \\?{re.escape(name)} ", unit, re.M)
        ]
        (folder / "unit.v").write_text("\n".join([unit, *stubs, ""]), encoding="utf-8")
        (folder / "script.ys").write_text(SCRIPT, encoding="utf-8")
        done = process.run([*command, "-q", "-l", "log.txt", "-s", "script.ys"], folder=folder)
        if done.code:
            raise process.failed(done, (folder / "log.txt").read_text(encoding="utf-8").splitlines()[-20:], folder)
        text = (folder / "unit.smt2").read_text(encoding="utf-8")
    found = re.findall(r"^; yosys-smt2-(input|output|register) (\S+) (\d+)", text, re.MULTILINE)

    def of(kind: str) -> dict[str, int]:
        return {name: int(bits) for this, name, bits in found if this == kind and name != CHOSEN}

    return Circuit(text, of("input"), of("output"), of("register"))


def _stub(name: str, text: str) -> str:
    """The ports of a module."""
    ports = re.findall(r"^  (?:input|output) .*;$", text, re.MULTILINE)
    return "\n".join(["(* blackbox *)", text.partition(";\n")[0] + ";", *ports, "endmodule"])


Statement = tuple[str, str, bool]
"""That a register is the same in both; where the second one, of one bit, is so, if one is named."""


def equivalent(circuit: Circuit, number: int, limit: float) -> bool:
    """Whether it is proved, within so many seconds, that mutant `number` of the circuit, from 1, does what the module
    does.

    Raises
    ------
    ToolError
        If the solver fails.
    """
    registers, resets = list(circuit.registers), [name for name in circuit.inputs if name in RESETS]
    bits = [name for name, width in circuit.registers.items() if width == 1]
    kept: list[Statement] = [(name, "", True) for name in registers]
    all_same = [_same(name, 0) for name in registers]
    begin = [*all_same, *(_at(name, "s0") for name in resets)]
    end = time.monotonic() + limit

    def ask(facts: list[str], terms: list[str]) -> Answer:
        """What the solver says within the time that is left."""
        left = end - time.monotonic()
        return _ask(circuit, number, facts, terms, left) if left > 0 else Answer("unknown", 0.0, [])

    def sifted(facts: list[str]) -> bool | None:
        """Whether what is kept holds after what is so; if not, what does not is kept no longer. None: no answer."""
        asked = [_text(statement, 1) for statement in kept]
        answer = ask([*facts, f"(not {_every(asked)})"], asked)
        if answer.result == "sat":
            false = [statement for statement, value in zip(kept, answer.values, strict=True) if not value]
            kept[:] = [statement for statement in kept if statement not in false]
            kept.extend((name, bit, up) for name, by, _ in false if not by for bit in bits for up in (False, True))
        return {"sat": False, "unsat": True}.get(answer.result)

    settled = False
    while not settled:
        for facts in ([begin] if resets else []) + [[_text(statement, 0) for statement in kept]]:
            holds = sifted(facts)
            if holds is None:
                return False
            settled = holds
            if not holds:
                break
    told_apart = f"(not {_every(_outputs(circuit))})"
    return ask([*(_text(statement, 0) for statement in kept), told_apart], []).result == "unsat"


def _ask(circuit: Circuit, number: int, facts: Sequence[str], terms: Sequence[str], limit: float) -> Answer:
    """Whether the module, in states s0 and s1, and the mutant, in t0 and t1, can be so."""
    lines = ["(set-logic QF_BV)", circuit.text]
    lines += [f"(declare-const {state} |unit_s|)" for state in ("s0", "s1", "t0", "t1")]
    facts = ["(|unit_t| s0 s1)", "(|unit_t| t0 t1)", *facts]
    facts += [f"(= {_at(CHOSEN, f's{i}')} #x0000)" for i in (0, 1)]
    facts += [f"(= {_at(CHOSEN, f't{i}')} #x{number:04x})" for i in (0, 1)]
    facts += [_same(name, i) for name in circuit.inputs for i in (0, 1)]
    return solve("\n".join([*lines, *(f"(assert {fact})" for fact in facts)]), terms, limit)


def _at(name: str, state: str) -> str:
    """A wire in a state."""
    return f"(|unit_n {name}| {state})"


def _same(name: str, step: int) -> str:
    """That a wire is the same in both."""
    return f"(= {_at(name, f's{step}')} {_at(name, f't{step}')})"


def _text(statement: Statement, step: int) -> str:
    """A statement, in a step."""
    name, bit, up = statement
    if not bit:
        return _same(name, step)
    up_now = _at(bit, f"s{step}")
    return f"(=> {up_now if up else f'(not {up_now})'} {_same(name, step)})"


def _every(formulas: Sequence[str]) -> str:
    return f"(and true true {' '.join(formulas)})"


def _outputs(circuit: Circuit) -> list[str]:
    """That each output is the same in both, or belongs to a stream that is not valid."""
    valid = [name for name, bits in circuit.outputs.items() if bits == 1 and name.endswith("valid")]
    same = []
    for name in circuit.outputs:
        streams = [v for v in valid if name != v and name.startswith(v.removesuffix("valid"))]
        idle = f"(not {_at(max(streams, key=len), 's0')})" if streams else "false"
        same.append(f"(or {idle} {_same(name, 0)})")
    return same

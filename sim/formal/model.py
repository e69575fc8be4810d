"""A harness as formulas: yosys reads the units' Verilog and writes what a state is, and which may follow it."""

import re
from dataclasses import dataclass
from pathlib import Path

from golden import process
from golden.errors import ToolError
from sim.formal.harness import Harness
from sim.silicon.tools import yosys

# Nothing here looks at a register: merged, or taken for a constant, it could not have every value at the beginning.
BEFORE = """
read_rtlil top.il
hierarchy -check -top top
proc -noopt
flatten
setattr -unset init w:*
"""
AFTER = """
opt_expr
memory_collect
memory_map
opt_expr
opt_clean
setundef -undriven -anyseq
check -assert
setundef -anyseq
dffunmap
write_smt2 -stbv -wires top.smt2
"""
GATES = """
simplemap
techmap
opt_expr
opt_merge
opt_clean
write_json top.json
"""


@dataclass(frozen=True)
class Model:
    """The formulas of a harness.

    Attributes
    ----------
    text : str
        SMT-LIB: the functions `|top_t|` of two states and `|top_n <wire>|` of one.
    wires : dict of str to int
        The bits of every wire that has a name.
    registers : tuple of str
        The wires that a clock edge sets.
    probes : dict of str to str
        Inputs that are what a wire inside a unit is.
    gates : str
        The circuit as gates, in yosys' JSON, if they were asked for.
    """

    text: str
    wires: dict[str, int]
    registers: tuple[str, ...]
    probes: dict[str, str]
    gates: str = ""


def model(harness: Harness, verilog: dict[str, str], *, gates: bool = False) -> Model:
    """The formulas of a harness with the given Verilog for its units.

    Raises
    ------
    ToolError
        If there is no yosys, or it does not read what it is given.
    """
    command, _ = yosys()
    with process.scratch() as folder:
        (folder / "top.il").write_text(harness.rtlil, encoding="utf-8")
        for name, text in verilog.items():
            (folder / f"{name}.v").write_text(text, encoding="utf-8")
        reads = "".join(f"read_verilog {name}.v\n" for name in verilog)
        keeps = "".join(f"setattr -set keep 1 top/w:{wire}\n" for wire in harness.probes.values())
        cuts = "".join(f"cutpoint top/w:{wire}\n" for wire in harness.cuts)
        script = reads + BEFORE + keeps + cuts + AFTER + GATES * gates
        (folder / "script.ys").write_text(script, encoding="utf-8")
        done = process.run([*command, "-q", "-l", "log.txt", "-s", "script.ys"], folder=folder)
        if done.code:
            raise process.failed(done, _errors(folder, done), folder)
        text = (folder / "top.smt2").read_text(encoding="utf-8")
        netlist = (folder / "top.json").read_text(encoding="utf-8") if gates else ""
    found = re.findall(r"^; yosys-smt2-(wire|register) (\S+) (\d+)$", text, re.MULTILINE)
    wires = {name: int(bits) for kind, name, bits in found if kind == "wire"}
    for port, wire in harness.probes.items():
        if wires.get(wire) != wires[port]:
            raise ToolError(f"There is no wire {wire} of {wires[port]} bits in {', '.join(verilog)}.")
    registers = tuple(name for kind, name, _ in found if kind == "register")
    return Model(text, wires, registers, dict(harness.probes), netlist)


def _errors(folder: Path, done: process.Finished) -> list[str]:
    log = folder / "log.txt"
    lines = (log.read_text(encoding="utf-8", errors="replace") if log.exists() else done.said).splitlines()
    return [line for line in lines if line.startswith(("ERROR", "Warning"))] or lines[-20:]


def planted(verilog: dict[str, str], pattern: str, replacement: str) -> dict[str, str]:
    """The Verilog with a bug in the places that a regular expression finds.

    Raises
    ------
    ToolError
        If there is no such place: the bug has to be written anew.
    """
    text = dict(verilog)
    for name in verilog:
        text[name], count = re.subn(pattern, replacement, text[name], flags=re.MULTILINE)
        if count and text[name] != verilog[name]:
            return text
    raise ToolError(f"No bug can be planted where {pattern!r} is not in the Verilog.")

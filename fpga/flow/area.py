"""Area and frequency of every unit, as a table that can be followed over time."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, get_args

from amaranth.lib.wiring import Component

from fpga.flow.synthesis import measure, version
from golden.errors import GossetError
from golden.files import writable, write_text
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.output import OutputRules, Result
from hw.array.cell import Cell, SquaredNorm, StationaryCell
from hw.array.operands import Operand, operands, packed_operand
from hw.axi.read import Reader, reader_shapes
from hw.codec.decoder import Decoder
from hw.codec.encoder import Encoder
from hw.codec.frontend import FrontEnd, RowScale, Scaler
from hw.codec.hadamard import Rotator
from hw.design import PRESETS
from hw.engine.banks import w_word
from hw.engine.keeper import Keeper
from hw.engine.output import OutputStage
from hw.generate import Generated, generate, generate_axi, generate_design
from sim.provenance import provenance

RATES = (16, 8, 4)
"""The q that units are measured at."""

SIDES = PRESETS["small_ws"]
"""A design whose activations can be int8 as well."""


OPTIONS: dict[str, dict[str, Any]] = {
    "keep_rows": {"keep_rows": 1024},
    "output": {"output": OutputRules()},
    "row_scales": {"output": OutputRules(row_scales=True)},
    "strides": {"strides": True},
    "raw_rows": {"front_end": FrontEndRules()},
    "codes": {"front_end": FrontEndRules(), "codes": True},
    "prefetch": {"prefetch": 1024},
    "port_registers": {"port_registers": True},
    "address_bits": {"address_bits": 32},
    "id_bits": {"id_bits": 8},
    "diagnostics": {"diagnostics": True},
    "ring": {"ring": True},
    "coalescing": {"coalescing": True},
    "idle": {"idle": True},
    "abort": {"abort": True},
}
"""What a memory port can have beside what it always has: fields of a design point, by the name of the unit
`tiny_axi_<option>`."""


def units() -> dict[str, Callable[[], Generated]]:
    """What is measured, by name."""
    components: dict[str, Callable[[], Component]] = {}

    def add_cells(suffix: str, x: Operand, w: Operand) -> None:
        components.update(
            {
                f"cell_{suffix}": partial(Cell, x, w),
                f"stationary_cell_{suffix}": partial(StationaryCell, x, w, SIDES.rows - 1),
                f"dsp_cell_{suffix}": partial(Cell, x, w, multiply=True),
                f"stationary_dsp_cell_{suffix}": partial(StationaryCell, x, w, SIDES.rows - 1, multiply=True),
            }
        )

    for q in RATES:
        format = Format(q)
        side = packed_operand(format)
        components |= {f"decoder_q{q}": partial(Decoder, format), f"norm_q{q}": partial(SquaredNorm, side)}
        add_cells(f"q{q}", side, side)
        components[f"encoder_q{q}"] = partial(Encoder, FrontEndRules(format=format))
    add_cells("q16_int8", *operands(SIDES))
    rules = FrontEndRules()
    components |= {
        "encoder_serial_q16": partial(Encoder, FrontEndRules(candidates="serial")),
        "rotator_128": partial(Rotator, rules),
        "scaler_q16": partial(Scaler, rules),
        "rowscale_max": partial(RowScale, FrontEndRules(scale="max")),
        "frontend_q16": partial(FrontEnd, rules),
        "keeper_1024": partial(Keeper, replace(PRESETS["small"], keep_rows=1024)),
        **{
            f"output_{result}": partial(OutputStage, replace(PRESETS["small"], output=OutputRules(result=result)))
            for result in get_args(Result)
        },
        "output_int8_row_scales": partial(OutputStage, replace(PRESETS["small"], output=OutputRules(row_scales=True))),
        **{f"{name}_{prefetch}": reader for prefetch in (64, 1024) for name, reader in _readers(prefetch).items()},
    }

    def unit(name: str) -> Callable[[], Generated]:
        return lambda: generate(components[name](), name)

    designs = {name: design for name, design in PRESETS.items() if design.pipeline == "deep"} | {
        f"{name}_dsp": replace(PRESETS[name], name=f"{name}_dsp", dsp_cols=PRESETS[name].cols)
        for name in ("small", "small_ws")
    }
    parts = {name: unit(name) for name in components}
    parts |= {name: partial(generate_design, design) for name, design in designs.items()}
    ports = {f"{name}_axi": designs[name] for name in ("tiny", "small")}
    ports |= {f"tiny_axi_{name}": replace(designs["tiny"], drain_rows=0, **fields) for name, fields in OPTIONS.items()}
    return parts | {name: partial(generate_axi, design, "axi") for name, design in ports.items()}


def _readers(prefetch: int) -> dict[str, Callable[[], Component]]:
    """The readers of the weights' planes of `small`."""
    design = replace(PRESETS["small"], prefetch=prefetch)
    return {f"reader_{plane}": partial(Reader, shape) for plane, shape in reader_shapes(design, w_word(design)).items()}


def chosen(names: Sequence[str]) -> list[str]:
    """The units of these names, or of names of these shapes; all if there are none.

    Raises
    ------
    GossetError
        If there is no unit of a name or a shape.
    """
    every = list(units())
    for name in names:
        if not any(fnmatchcase(unit, name) for unit in every):
            raise GossetError(f"No unit is called {name!r}; there are {', '.join(every)}.")
    return [unit for unit in every if not names or any(fnmatchcase(unit, name) for name in names)]


def measure_all(
    names: Sequence[str], output: Path, history: Path | None, advance: Callable[[int], None]
) -> dict[str, Any]:
    """Measures units.

    Parameters
    ----------
    names : sequence of str
        Of units, or the shape of names, such as tiny_axi_*; all if there are none.
    output : Path
        Folder for the tools' files and `report.json`.
    history : Path, optional
        A file of JSON lines that the report is added to.
    advance : callable
        Called with 1 after each unit.

    Returns
    -------
    The report: unit -> `lut4_equivalents`, `ff`, `dsp`, `bram`, `fmax_mhz`; and where it comes from, with the versions
    of yosys and nextpnr, on which the figures depend.

    Raises
    ------
    GossetError
        If there is no unit of a name or a shape.
    ToolError
        If a tool is missing or fails.
    """
    areas, every = {}, units()
    wanted = chosen(names)
    for path in (output / "report.json", *([history] if history else [])):
        writable(path)
    for name in wanted:
        areas[name] = measure(every[name](), output / name).as_dict()
        advance(1)
    tools = {name: version(name) for name in ("yosys", "nextpnr-ecp5")}
    report = {"units": areas, "date": date.today().isoformat(), **provenance(), **tools}
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    if history is not None:
        before = history.read_text(encoding="utf-8") if history.exists() else ""
        write_text(history, before + json.dumps(report) + "\n")
    return report

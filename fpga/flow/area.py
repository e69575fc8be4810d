"""Area and frequency of every unit, as a table that can be followed over time."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, get_args

from amaranth.lib.wiring import Component

from fpga.flow.synthesis import measure
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
    return parts | {f"{name}_axi": partial(generate_axi, designs[name], "axi") for name in ("tiny", "small")}


def _readers(prefetch: int) -> dict[str, Callable[[], Component]]:
    """The readers of the weights' planes of `small`."""
    design = replace(PRESETS["small"], prefetch=prefetch)
    return {f"reader_{plane}": partial(Reader, shape) for plane, shape in reader_shapes(design, w_word(design)).items()}


def measure_all(
    names: Sequence[str], output: Path, history: Path | None, advance: Callable[[int], None]
) -> dict[str, Any]:
    """Measures units.

    Parameters
    ----------
    names : sequence of str
        Of units; all if there are none.
    output : Path
        Folder for the tools' files and `report.json`.
    history : Path, optional
        A file of JSON lines that the report is added to.
    advance : callable
        Called with 1 after each unit.

    Returns
    -------
    The report: unit -> `lut4_equivalents`, `ff`, `dsp`, `bram`, `fmax_mhz`; and where it comes from.

    Raises
    ------
    GossetError
        If there is no unit of a name.
    ToolError
        If a tool is missing or fails.
    """
    areas, every = {}, units()
    if unknown := [name for name in names if name not in every]:
        raise GossetError(f"No unit is called {unknown[0]!r}; there are {', '.join(every)}.")
    for path in (output / "report.json", *([history] if history else [])):
        writable(path)
    for name in names or every:
        areas[name] = measure(every[name](), output / name).as_dict()
        advance(1)
    report = {"units": areas, "date": date.today().isoformat(), **provenance()}
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    if history is not None:
        before = history.read_text(encoding="utf-8") if history.exists() else ""
        write_text(history, before + json.dumps(report) + "\n")
    return report

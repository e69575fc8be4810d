"""Area and frequency of every unit, as a table that can be followed over time."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from amaranth.lib.wiring import Component

from fpga.synthesis import measure
from golden.errors import GossetError
from golden.files import write_text
from golden.format import Format
from golden.frontend import FrontEndRules
from hw.cell import Cell, SquaredNorm, StationaryCell
from hw.decoder import Decoder
from hw.design import PRESETS
from hw.encoder import Encoder
from hw.frontend import FrontEnd, RowScale, Scaler
from hw.generate import Generated, generate, generate_design
from hw.hadamard import Rotator
from hw.operands import operands, packed_operand
from sim.provenance import provenance

RATES = (16, 8, 4)
"""The q that units are measured at."""

SIDES = PRESETS["small_ws"]
"""A design whose activations can be int8 as well."""


def units() -> dict[str, Callable[[], Generated]]:
    """What is measured, by name."""

    def norm(format: Format) -> SquaredNorm:
        return SquaredNorm(packed_operand(format))

    def cell(format: Format) -> Cell:
        return Cell(packed_operand(format), packed_operand(format))

    def stationary_cell(format: Format) -> StationaryCell:
        return StationaryCell(packed_operand(format), packed_operand(format), SIDES.rows - 1)

    def encoder(format: Format) -> Encoder:
        return Encoder(FrontEndRules(format=format))

    def unit(name: str, kind: Callable[[Format], Component], q: int) -> Callable[[], Generated]:
        return lambda: generate(kind(Format(q)), f"{name}_q{q}")

    kinds: dict[str, Callable[[Format], Component]] = {
        "decoder": Decoder,
        "norm": norm,
        "cell": cell,
        "stationary_cell": stationary_cell,
        "encoder": encoder,
    }
    parts = {f"{name}_q{q}": unit(name, kind, q) for q in RATES for name, kind in kinds.items()}
    rules, serial = FrontEndRules(), FrontEndRules(candidates="serial")
    parts |= {
        "cell_q16_int8": lambda: generate(Cell(*operands(SIDES)), "cell_q16_int8"),
        "stationary_cell_q16_int8": lambda: generate(
            StationaryCell(*operands(SIDES), SIDES.rows - 1), "stationary_cell_q16_int8"
        ),
        "encoder_serial_q16": lambda: generate(Encoder(serial), "encoder_serial_q16"),
        "rotator_128": lambda: generate(Rotator(rules), "rotator_128"),
        "scaler_q16": lambda: generate(Scaler(rules), "scaler_q16"),
        "rowscale_max": lambda: generate(RowScale(FrontEndRules(scale="max")), "rowscale_max"),
        "frontend_q16": lambda: generate(FrontEnd(rules), "frontend_q16"),
    }
    return parts | {name: partial(generate_design, design) for name, design in PRESETS.items()}


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
    for name in names or every:
        areas[name] = measure(every[name](), output / name).as_dict()
        advance(1)
    report = {"units": areas, "date": date.today().isoformat(), **provenance()}
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    if history is not None:
        before = history.read_text() if history.exists() else ""
        write_text(history, before + json.dumps(report) + "\n")
    return report

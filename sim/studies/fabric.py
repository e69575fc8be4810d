"""Areas on ECP5: a design's LUTs from those of its units, by a fit to designs that were synthesised as a whole."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sim.studies.fit import Fit, fitted

TABLE = Path(__file__).parent / "tables" / "ecp5.json"


@dataclass(frozen=True)
class Board:
    """What a board's FPGA has: its name, LUT4s, 18×18 multipliers and 18-kbit memories."""

    name: str
    luts: int
    dsps: int
    brams: int


BOARDS = {
    board.name: board
    for board in (
        Board("ulx3s", 83_640, 156, 208),
        Board("orangecrab", 83_640, 156, 208),
        Board("icesugar_pro", 24_288, 28, 56),
    )
}
"""The boards with the FPGA that the units are measured on; their numbers as nextpnr has them."""


@cache
def table() -> dict[str, Any]:
    """Units and whole designs, as `gosset area` measured them."""
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


def cell_name(q: int, stationary: bool, int8: bool, dsps: bool) -> str:
    """The unit that a design's cells are."""
    kind = "stationary_" * stationary + "dsp_" * dsps + "cell"
    return f"{kind}_q{q}" + "_int8" * int8


def units_sum(rows: Any, cols: Any, cell: Any, edge: Any) -> Any:
    """LUTs of the cells, and of a decoder and a norm per row and column."""
    return rows * cols * cell + (rows + cols) * edge


@cache
def fit() -> Fit:
    """The fit to the designs that were synthesised as a whole."""
    units, sums, designs = table()["units"], [], table()["designs"]
    for design in designs:
        cell = units[cell_name(16, design["ws"], design["int8"], design["dsps"])]["lut4_equivalents"]
        edge = units["decoder_q16"]["lut4_equivalents"] + units["norm_q16"]["lut4_equivalents"]
        sums.append(units_sum(design["rows"], design["cols"], cell, edge))
    return fitted(sums, [design["lut4_equivalents"] for design in designs])


def memories(rows: Any, cols: Any, x_depth: Any, w_depth: Any, panel_rows: Any, stationary: Any, bits: Any) -> Any:
    """Memories of 18 kbit: a lane of each bank in memories of their own, accumulators and the output queue 36 bits
    wide. Exact for the presets but for one of the largest's."""

    def lanes(depth: Any, width: Any) -> Any:
        wide = np.clip(18432 // np.maximum(2 * depth, 512), 1, 36)  # two banks in one memory
        return -(-width // wide) * -(-2 * depth // 16384)

    weights = np.where(stationary, -(-cols * 32 // 36), cols * lanes(w_depth, bits))
    queue = np.where(rows * cols > 1, -(-cols * 32 // 36), 0)
    return rows * lanes(x_depth, bits) + weights + queue

"""Areas on ECP5: a design's LUTs from those of its units, by a fit to designs that were synthesised as a whole."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class Fit:
    """LUTs of a whole design: `fixed + share · (sum of its units')`.

    Attributes
    ----------
    fixed, share : float
    worst : float
        The largest relative error, also on designs between others that were left out of the fit.
    lowest, highest : float
        Sums of units between which designs were measured; beyond them the fit only says so.
    """

    fixed: float
    share: float
    worst: float
    lowest: float
    highest: float


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
    """The fit, by least squares of relative errors."""
    units, sums, measured = table()["units"], [], []
    for design in table()["designs"]:
        cell = units[cell_name(16, design["ws"], design["int8"], design["dsps"])]["lut4_equivalents"]
        edge = units["decoder_q16"]["lut4_equivalents"] + units["norm_q16"]["lut4_equivalents"]
        sums.append(units_sum(design["rows"], design["cols"], cell, edge))
        measured.append(design["lut4_equivalents"])
    x, y = np.array(sums, dtype=float), np.array(measured, dtype=float)
    errors = []
    for left_out in range(len(x)):
        kept = np.arange(len(x)) != left_out
        fixed, share = _solve(x[kept], y[kept])
        if x[kept].min() <= x[left_out] <= x[kept].max():  # beyond them it would be no fit
            errors.append(abs(fixed + share * x[left_out] - y[left_out]) / y[left_out])
    fixed, share = _solve(x, y)
    errors += list(abs(fixed + share * x - y) / y)
    return Fit(fixed, share, float(max(errors)), float(x.min()), float(x.max()))


def _solve(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    found = np.linalg.lstsq(np.stack([1 / y, x / y], axis=1), np.ones(len(x)), rcond=None)[0]
    return float(found[0]), float(found[1])


def memories(rows: Any, cols: Any, x_depth: Any, w_depth: Any, panel_rows: Any, stationary: Any, bits: Any) -> Any:
    """Memories of 18 kbit: a lane of each bank in memories of their own, accumulators and the output queue 36 bits
    wide. Exact for the presets but for one of the largest's."""

    def lanes(depth: Any, width: Any) -> Any:
        wide = np.clip(18432 // np.maximum(2 * depth, 512), 1, 36)  # two banks in one memory
        return -(-width // wide) * -(-2 * depth // 16384)

    weights = np.where(stationary, -(-cols * 32 // 36), cols * lanes(w_depth, bits))
    queue = np.where(rows * cols > 1, -(-cols * 32 // 36), 0)
    return rows * lanes(x_depth, bits) + weights + queue

"""Areas in standard cells: a design's logic from its units, by a fit to designs that were synthesised as a whole."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim.studies.fit import Fit, fitted

TABLES = Path(__file__).parent / "tables"

PARTS = ("cell", "edge", "column", "hop_x", "hop_w")
"""Kinds of units: per cell; per row and per column; per eight cells; per block that waits for its row or column."""


@njit(cache=True)  # type: ignore[untyped-decorator]
def array_area(parts: NDArray[np.float64], rows: int, cols: int, stationary: bool) -> float:  # pragma: no cover
    """µm² of an array's units, from the area of one of each of `PARTS`."""
    cells = rows * cols
    hops_x = rows * (rows + 1) / 2 if stationary else rows * (rows - 1) / 2
    hops_w = 0.0 if stationary else cols * (cols - 1) / 2
    area = cells * (parts[0] + parts[2]) + (rows + cols) * parts[1]
    return float(area + hops_x * parts[3] + hops_w * parts[4])


@njit(cache=True)  # type: ignore[untyped-decorator]
def address_bits(x_depth: int, w_depth: int, stationary: bool) -> float:  # pragma: no cover
    """Bits of the addresses of a design's banks; weights have none in a weight-stationary array."""
    return float(np.log2(x_depth) + (0.0 if stationary else np.log2(w_depth)))


@cache
def designs(technology: str) -> list[dict[str, Any]]:
    """Designs of a technology that were synthesised as a whole: their settings, and `area_um2` without memories."""
    path = TABLES / f"{technology}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["designs"]) if path.is_file() else []


def fit(technology: str, parts: Any) -> Fit:
    """The fit to the designs of a technology.

    Parameters
    ----------
    technology : str
    parts : callable
        Gives the areas of `PARTS` of a format and of a dataflow; None if one was not measured.
    """
    units, columns, addresses, measured = [], [], [], []
    for design in designs(technology):
        stationary = design["dataflow"] == "ws"
        if (areas := parts(design["format"], stationary)) is not None:
            units.append(array_area(areas, design["rows"], design["cols"], stationary))
            columns.append(float(stationary * design["cols"]))
            addresses.append(address_bits(design["x_depth"], design["w_depth"], stationary))
            measured.append(design["area_um2"])
    return fitted(units, measured, columns, addresses) if units else Fit()

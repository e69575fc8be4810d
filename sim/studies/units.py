"""Figures of units, per format and dataflow, as arrays that a grid is evaluated with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.format import Format
from golden.lattice import DIM
from golden.rivals import Lattice
from hw.design import Pipeline
from hw.rivals.scales import GroupScale
from sim.silicon.compose import HOP, Build, quality
from sim.silicon.rivals import rivals
from sim.silicon.tables import load, memories
from sim.studies import cells, fabric
from sim.studies.cells import PARTS
from sim.studies.fit import Fit
from sim.studies.networks import better
from sim.studies.study import FABRIC, Study, formats

SRAM_UM2 = {
    "value": 0.043,
    "unit": "µm²/bit",
    "source": "OpenROAD-flow-scripts, FakeRAM models of ASAP7: 256×32 bits 0.0429, 2048×39 bits 0.0424",
    "confidence": "A, of a model of memories",
}
"""Area of a bit of the banks and queues."""

BANDS = {"time": (0.8, 1.2), "layout": (1.0, 1.7)}
"""What may become of times and areas in standard cells, as factors: the clock has a quarter of slack and no wires yet;
cells fill 60 to all of the area. Assumed, not measured; the error of a fit to whole designs comes on top."""

FIGURES = ("area", "compute", "idle", "leakage")
COLUMNS = (*(f"{part}_{figure}" for part in PARTS for figure in FIGURES), "cell_drain", "cell_stored", "period_s",
           "block_bits", "luts_cell", "luts_edge", "dsps_cell")  # fmt: skip
"""What there is of a kind of array: µm², pJ, nW, seconds, bits of a block, LUTs."""

COLUMN = {name: number for number, name in enumerate(COLUMNS)}


@dataclass(frozen=True, eq=False)
class Units:
    """Figures of all kinds of arrays of a study.

    Attributes
    ----------
    values : float64 `(formats, 2, 2, 2, columns)`
        By format; whether weight-stationary; int8; DSPs. NaN where a unit was not measured.
    names : nested mapping
        The units, by the same four.
    bits, sqnr_db : float64 `(formats,)`
    network : float64 `(formats,)`
        What a network does by, where a study asks for it; NaN of formats in which it was not measured, and of all if no
        study asks.
    lean : bool `(formats,)`
        Whether their arrays have lean edges, as all rivals' have.
    about : mapping
        Where the figures are from.
    dram_pj : float
        Per bit.
    fabric : bool
        Whether they are of LUTs.
    fit : Fit
        From the sum of an array's units to a design's logic.
    """

    values: NDArray[np.float64]
    names: dict[tuple[int, int, int, int], tuple[str, ...]]
    bits: NDArray[np.float64]
    sqnr_db: NDArray[np.float64]
    network: NDArray[np.float64]
    lean: NDArray[np.bool_]
    about: dict[str, Any]
    dram_pj: float
    fabric: bool
    fit: Fit

    @classmethod
    def of(cls, study: Study) -> "Units":
        """The figures of a study's formats.

        Raises
        ------
        GossetError
            If there is no table of its technology.
        """
        chosen = [formats()[name] for name in study.axes["format"]]
        values = np.full((len(chosen), 2, 2, 2, len(COLUMNS)), np.nan)
        names: dict[tuple[int, int, int, int], tuple[str, ...]] = {}
        on_fabric = study.technology == FABRIC
        table = fabric.table() if on_fabric else load(study.technology)
        for number, build in enumerate(chosen):
            for kind in np.ndindex(2, 2, 2):
                found = _on_fabric(build, *kind) if on_fabric else _in_cells(build, table["units"], *kind)
                if found:
                    row, names[number, *kind] = found
                    values[number, *kind] = [row.get(name, 0.0) for name in COLUMNS]

        def parts(format: str, stationary: bool) -> NDArray[np.float64] | None:
            found = _in_cells(formats()[format], table["units"], int(stationary), 0, 0)
            return np.array([found[0][f"{part}_area"] for part in PARTS]) if found else None

        return cls(
            values=values,
            names=names,
            bits=np.array([build.bits for build in chosen]),
            sqnr_db=np.array([sqnr(name) for name in study.axes["format"]]),
            network=np.array([_network(study.network, name) for name in study.axes["format"]]),
            lean=np.array([pipeline(build) == "lean" for build in chosen]),
            about={"units": table["about"], "sram_area": SRAM_UM2, "memories": memories()},
            dram_pj=memories()[study.memory]["value"],
            fabric=on_fabric,
            fit=fabric.fit() if on_fabric else cells.fit(study.technology, parts),
        )


@cache
def sqnr(format: str) -> float:
    """SQNR of a format on Gaussian rows, dB."""
    return quality(formats()[format].codec)


def _network(network: str | None, format: str) -> float:
    found = better(network, format) if network else None
    return found[0] if found else float("nan")


def generated(build: Build) -> Format | None:
    """The packed format of designs that `gosset generate` makes; None of formats of which there are cells only."""
    ours = build.cell.startswith("cell_") and isinstance(build.codec, Lattice)
    return build.codec.format if ours else None  # type: ignore[attr-defined]


def pipeline(build: Build) -> Pipeline:
    """That of the arrays of a format: rivals' cells have the registers of lean ones."""
    return "deep" if generated(build) and not build.cell.endswith("_lean") else "lean"


def figures(technology: str, settings: Mapping[str, Any]) -> dict[str, float] | None:
    """The figures of a point's units in standard cells, by `COLUMNS`; None if there are none of them."""
    if technology == FABRIC:
        return None
    kind = (
        int(settings[name] == value)
        for name, value in (("dataflow", "ws"), ("activations", "int8"), ("products", "dsps"))
    )
    found = _in_cells(formats()[settings["format"]], load(technology)["units"], *kind)
    return found[0] if found else None


def _in_cells(
    build: Build, units: dict[str, Any], stationary: int, int8: int, dsps: int
) -> tuple[dict[str, float], tuple[str, ...]] | None:
    """A row of figures in standard cells, and the units' names; None if one was not measured."""
    if int8 or dsps or (stationary and not generated(build)):
        return None
    cell = f"stationary_{build.cell}" if stationary else build.cell
    own_hop = f"hop_{build.cell.removeprefix('cell_')}"
    hop = own_hop if own_hop in units else HOP
    needed = (cell, hop, *build.edge, *build.column)
    if any(name not in units for name in needed):
        return None
    rival = rivals().get(build.cell.removeprefix("rival_"))
    waiting = build.waiting / 2 if build.waiting and hop == HOP else units[hop]["flops"]
    x_bits, w_bits = (rival.arithmetic.x.size, rival.arithmetic.w.size) if rival else (waiting,) * 2
    per_bit = 1 / units[hop]["flops"]
    row = {"period_s": max(units[name]["period_ps"] for name in needed) * 1e-12, "block_bits": DIM * build.bits}
    row["cell_drain"] = _event(units[cell], "drain") - _event(units[cell], "idle") if not stationary else 0.0
    # Weights pass a decoder and a norm when they are loaded.
    row["cell_stored"] = sum(_event(units[name], "compute") - _event(units[name], "idle") for name in build.edge)
    for part, names, share in (
        ("cell", (cell,), 1.0),
        ("edge", build.edge, 1.0),
        ("column", build.column, 1 / GroupScale.ROWS),
        ("hop_x", (hop,), x_bits * per_bit),
        ("hop_w", (hop,), w_bits * per_bit),
    ):
        row[f"{part}_area"] = share * sum(units[name]["area_um2"] for name in names)
        row[f"{part}_compute"] = share * sum(_event(units[name], "compute") for name in names)
        row[f"{part}_idle"] = share * sum(_event(units[name], "idle") for name in names)
        row[f"{part}_leakage"] = share * sum(units[name]["leakage_nw"] for name in names)
    return row, needed


def _event(unit: dict[str, Any], event: str) -> float:
    return float(unit["events"][event]["total"])


def _on_fabric(build: Build, stationary: int, int8: int, dsps: int) -> tuple[dict[str, float], tuple[str, ...]] | None:
    """A row of LUTs, and the units' names; None if one was not measured."""
    units, format = fabric.table()["units"], generated(build)
    if not format or pipeline(build) == "lean":
        return None
    q = format.q
    needed = (fabric.cell_name(q, bool(stationary), bool(int8), bool(dsps)), f"decoder_q{q}", f"norm_q{q}")
    if any(name not in units for name in needed):
        return None
    cell, *edge = (units[name] for name in needed)
    row = {
        "block_bits": DIM * build.bits,
        "luts_cell": cell["lut4_equivalents"],
        "luts_edge": sum(unit["lut4_equivalents"] for unit in edge),
        "dsps_cell": cell["dsp"],
    }
    return row, needed

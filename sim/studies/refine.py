"""Points of a front on the real thing: the Verilated design, whose cycles must equal the model's; and the synthesised
one, whose area must be within the error of the model's fit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import GossetError
from golden.int8 import quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize
from hw.design import DesignPoint
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.rtl import verilator
from sim.silicon.liberty import Library
from sim.silicon.technologies import libraries
from sim.studies import synthesis
from sim.studies.explore import Found, design_of
from sim.studies.store import Store, generator

CYCLES = 20_000
"""Cycles of a simulated product at most: larger ones of the workload are cut."""


def inputs_of(design: DesignPoint, int8: bool, m: int, n: int, k: int) -> dict[str, Any]:
    """All that decides about a simulation's result. The design's name is the same for all, for it decides nothing."""
    return {
        "kind": "rtl",
        "generator": generator(),
        "design": replace(design, name="explored").as_dict(),
        "int8": int8,
        "product": [m, n, k],
        "tools": {"verilator": ".".join(map(str, verilator.find().version))},
    }


def simulate(inputs: dict[str, Any]) -> dict[str, Any]:
    """Runs a product of random matrices on the RTL: `cycles`, `counters`, and whether it is golden's, `equal`."""
    from sim.device import RtlDevice
    from sim.tiles import Job

    design = DesignPoint.from_dict(inputs["design"])
    m, n, k = inputs["product"]
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(n, k)).astype(np.float32)
    left = quantize_int8(x) if inputs["int8"] else quantize(x, design.format)
    job = Job(design, left, quantize(w, design.format))
    report = RtlDevice(design).run(job)
    equal = bool((report.product.accumulators == matmul(job.x, job.w).accumulators).all())
    return {"cycles": report.cycles, "counters": report.counters, "equal": equal}


def products(found: Found, design: DesignPoint, int8: bool) -> list[tuple[str, int, int, int]]:
    """The workload's largest layer that takes no more than `CYCLES`, or else its smallest one, N and K cut in half
    until it does; name, M, N and K."""
    machine = Machine.of(design)

    def takes(m: int, n: int, k: int) -> int:
        return int(cycles(machine, m, n, k, int8=int8).cycles)

    layers = [(layer.name, layer.m, layer.n, layer.k) for layer in found.space.study.workload.layers]
    sizes = {layer: takes(*layer[1:]) for layer in layers}
    fitting = [layer for layer in layers if sizes[layer] <= CYCLES]
    if fitting:
        return [max(fitting, key=lambda layer: sizes[layer])]
    name, m, n, k = min(layers, key=lambda layer: sizes[layer])
    while takes(m, n, k) > CYCLES:
        m, n, k = (m, n, -(-k // 2)) if k > n and k > 8 else (m, -(-n // 2), k) if n > 1 else (-(-m // 2), n, k)
    return [(f"{name}, cut", m, n, k)]


def smallest(found: Found, most: int) -> dict[int, DesignPoint]:
    """The smallest arrays of each format and dataflow of the front, in turn, by the points' numbers.

    Raises
    ------
    GossetError
        If no array of the front can be generated.
    """
    kinds: dict[tuple[str, str], list[tuple[int, int, DesignPoint]]] = {}
    for number in map(int, found.ids):
        settings = found.space.settings(number)
        if design := design_of(settings):
            kind = kinds.setdefault((settings["format"], settings["dataflow"]), [])
            kind.append((design.rows * design.cols, number, design))
    if not kinds:
        raise GossetError("No array of the front can be generated: of its formats there are cells only.")
    turns = zip_longest(*(sorted(kind, key=lambda point: point[:2]) for kind in kinds.values()))
    return {point[1]: point[2] for point in islice(filter(None, chain.from_iterable(turns)), most)}


def refine(
    found: Found,
    most: int,
    store: Path,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    progress: Callable[[str, int], Any],
) -> int:
    """Simulates the smallest arrays of each format and dataflow of the front, in turn, and notes the results with its
    points.

    Returns
    -------
    int: how many of the points differ from the model or from golden.

    Raises
    ------
    GossetError
        If no array of the front can be generated.
    ToolError
        If the simulator or Dask is missing, or a scheduler is not there.
    """
    from sim.studies.cluster import run_tasks

    places, inputs = [], []
    for number, design in smallest(found, most).items():
        for name, m, n, k in products(found, design, design.int8):
            places.append((number, name, int(cycles(Machine.of(design), m, n, k, int8=design.int8).cycles)))
            inputs.append(inputs_of(design, design.int8, m, n, k))
    with progress("simulations", len(inputs)) as advance:
        results = run_tasks(simulate, inputs, Store(store), scheduler=scheduler, workers=workers, advance=advance)
    wrong = 0
    for (number, name, model), given, result in zip(places, inputs, results, strict=True):
        same = result["cycles"] == model and result["equal"]
        wrong += not same
        found.refined.setdefault(number, []).append(
            {"layer": name, "product": given["product"], "cycles by the model": model, "cycles of the RTL":
             result["cycles"], "accumulators equal golden's": result["equal"]}
        )  # fmt: skip
    return wrong


def synthesise(
    found: Found,
    most: int,
    store: Path,
    *,
    liberty: Sequence[Path] = (),
    scheduler: str | None = None,
    workers: int = 1,
    progress: Callable[[str, int], Any],
) -> int:
    """Synthesises the smallest arrays of each format and dataflow of the front, in turn, and notes the results with its
    points: in LUTs for a study of FPGAs, or else in the standard cells of liberty files.

    Returns
    -------
    int: how many of the points differ from the model by more than its fit is wrong.

    Raises
    ------
    GossetError
        If no array of the front can be generated, or the liberty files are another library than the study's.
    ToolError
        If yosys or Dask is missing, or a scheduler is not there.
    """
    from sim.studies.cluster import run_tasks

    units = found.space.units
    if units.fabric:
        task, column = synthesis.luts, "luts"
    else:
        liberty = liberty or libraries(found.space.study.technology)
        library, expected = Library(list(liberty)).name, units.about["units"]["library"]
        if library != expected:
            raise GossetError(f"The units of this study were measured in {expected}, and the liberty is {library}.")
        task, column = partial(synthesis.cells, liberty=liberty), "area_um2"
    chosen = smallest(found, most)
    inputs = [synthesis.inputs_of(design, () if units.fabric else liberty) for design in chosen.values()]
    with progress("syntheses", len(inputs)) as advance:
        results = run_tasks(task, inputs, Store(store), scheduler=scheduler, workers=workers, advance=advance)
    wrong, columns = 0, found.columns
    for number, result in zip(chosen, results, strict=True):
        place = int(np.flatnonzero(found.ids == number)[0])
        logic = columns["luts"] if units.fabric else columns["array_um2"] + columns["control_um2"]
        off = result[column] / logic[place] - 1
        inside = abs(off) <= units.fit.worst
        wrong += not inside
        found.refined.setdefault(number, []).append(
            {f"{column} by the model": round(float(logic[place]), 1), **result, "off by": f"{100 * off:.1f} %",
             "within the fit's error": bool(inside)}
        )  # fmt: skip
    return wrong

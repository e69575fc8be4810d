"""Points of a grid to times, energies and areas: whole arrays at once, from the exact cycle model and measured units.

Time is computing, in the cycles of the model with a memory that is never late, and waiting, for the part of a product's
bytes that the memory brings later than that. With n products after each other, waiting is Σ max(0, bytes/bandwidth −
computing): as much as if loading overlapped computing wholly; if not at all, it is Σ bytes/bandwidth. Energies are the
sums of `sim.silicon.model`, for any format; waiting costs what idle units take and leak.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hw.array.operands import job_bits
from hw.design import ACC_BITS, DesignPoint
from hw.engine.sequencer import latency
from sim.models.cycles import Cycles, cycles
from sim.models.schedule import Machine, schedule
from sim.silicon.tables import memories
from sim.studies import fabric
from sim.studies.cells import address_bits, array_area
from sim.studies.study import DEFAULTS, Study, formats
from sim.studies.units import COLUMN, FIGURES, SRAM_UM2, Units, generated, pipeline

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

MACHINE_AXES = 7
"""The first axes, on which cycles depend."""

FORMAT = list(DEFAULTS).index("format")
"""The axis of formats."""

JOBS = 4
"""Jobs that can wait, in every design of a grid."""

RESULTS = ("compute_s", "waiting_s", "waiting_most_s", "compute_pj", "waiting_pj", "drain_pj", "sram_pj", "dram_pj",
           "leakage_pj", "array_um2", "control_um2", "sram_um2", "traffic_bytes", "luts", "dsps", "brams")  # fmt: skip
"""What the loop fills in, per point."""

ENERGIES = ("compute_pj", "waiting_pj", "drain_pj", "sram_pj", "dram_pj", "leakage_pj")

SLICE = 1 << 16
"""Points that are evaluated at once."""


@cache
def _ways(rows: int, cols: int, stationary: bool, int8: bool) -> tuple[int, int, int, int]:
    """The latency of a deep array; how much less a lean one's is; the rows that the output queue of either holds."""
    point = DesignPoint(
        name="d",
        rows=rows,
        cols=cols,
        dataflow="ws" if stationary else "os",
        activations=("int8",) if int8 else ("packed",),
    )
    lean = replace(point, pipeline="lean", drain_rows=0)
    return latency(point), latency(point) - latency(lean), point.drain_rows, lean.drain_rows


@cache
def _job_bits(name: str, rows: int, x_depth: int) -> int:
    """Bits of the accumulators of a weight-stationary array; 0 of formats of which there is none."""
    build = formats()[name]
    if not (format := generated(build)):
        return 0
    point = DesignPoint(name="d", rows=rows, cols=1, format=format, dataflow="ws", x_depth=x_depth)
    return job_bits(replace(point, pipeline=pipeline(build)))


class Space:
    """The points of a study, by their numbers in its grid.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study, self.units = study, Units.of(study)
        self.shape = study.shape
        self.size = int(np.prod(self.shape, dtype=object))
        self.names = list(study.axes)
        self._layers = [
            np.array([getattr(layer, name) for layer in study.workload.layers], dtype=np.int64)
            for name in ("m", "n", "k", "count")
        ]
        axes = study.axes
        self._values = [
            np.array([{"os": 0, "ws": 1, "packed": 0, "int8": 1}.get(v, v) for v in axes[name]], dtype=np.int64)
            for name in self.names[:MACHINE_AXES]
        ]
        self._products = np.array([int(v == "dsps") for v in axes["products"]])
        self._clock, self._speed = (np.array(axes[name]) for name in ("clock_mhz", "gigabytes_per_second"))

    def settings(self, number: int) -> dict[str, Any]:
        """The values of a point."""
        at = np.unravel_index(number, self.shape)
        return {name: self.study.axes[name][int(i)] for name, i in zip(self.names, at, strict=True)}

    def machines(self, numbers: Numbers) -> tuple[list[Numbers], NDArray[np.bool_]]:
        """Values of the machine axes of numbers on these axes alone, and whether there is such a machine.

        A weight-stationary array has no memory of weights: of its depths, the first stands for all.
        """
        at = np.unravel_index(numbers, self.shape[:MACHINE_AXES])
        values = [some[i] for some, i in zip(self._values, at, strict=True)]
        rows, _, stationary, panel_rows, *_ = values
        return values, (panel_rows >= rows) & ((stationary == 0) | (at[5] == 0))

    def ways(self, values: list[Numbers]) -> Numbers:
        """What pipelines decide about, `(machines, 4)`: the latency of a deep array, the cycles that a lean one takes
        less for each product, and rows of the output queue of either."""
        found = [_ways(*map(int, kind)) for kind in zip(*(values[i] for i in (0, 1, 2, 6)), strict=True)]
        return np.array(found, dtype=np.int64).reshape(-1, 4)

    def accumulators(self, values: list[Numbers]) -> Numbers:
        """Bits of an accumulator in memory, `(machines, formats)`; only weight-stationary arrays have such."""
        kinds, place = np.unique(np.stack([values[0], values[4]], axis=1), axis=0, return_inverse=True)
        names = self.study.axes["format"]
        found = [[_job_bits(name, *map(int, kind)) for name in names] for kind in kinds]
        return np.array(found, dtype=np.int64)[place]

    def cycles(self, values: list[Numbers]) -> tuple[Cycles, Any]:
        """Cycles, of deep arrays, and schedules of the workload's layers: arrays `(machines, layers)`."""
        rows, cols, stationary, panel_rows, x_depth, w_depth, int8 = (v[:, None] for v in values)
        machine = Machine(
            rows, cols, panel_rows, x_depth, np.where(stationary, 0, w_depth), JOBS, stationary != 0,
            self.ways(values)[:, :1], 0, False,
        )  # fmt: skip
        m, n, k, _ = self._layers
        return cycles(machine, m, n, k, int8=int8 != 0), schedule(machine, m, n, k, int8 != 0)

    def evaluate(self, numbers: Numbers) -> tuple[Numbers, dict[str, Floats]]:
        """Evaluates points, whose numbers must go up.

        Returns
        -------
        The numbers of those that exist, and a column for each of `RESULTS` and of what follows from them.
        """
        inner = self.shape[MACHINE_AXES:]
        machine, rest = np.divmod(numbers, int(np.prod(inner)))
        distinct, machine = np.unique(machine, return_inverse=True)
        values, there = self.machines(distinct)
        at = np.unravel_index(rest, inner)
        products, format = self._products[at[0]], at[1]
        kind = self.units.values[format, values[2][machine], values[6][machine], products, COLUMN["block_bits"]]
        keep = there[machine] & ~np.isnan(kind)
        if self.study.network:
            keep &= ~np.isnan(self.units.network[format])
        used = np.zeros(len(distinct), dtype=np.bool_)
        used[machine[keep]] = True
        if not used.any():
            return numbers[:0], {}
        values = [some[used] for some in values]
        machine = (np.cumsum(used) - 1)[machine[keep]]
        work = self._work(values)
        speed = self._speed[at[3]][keep] * 1e9
        columns = np.empty((len(RESULTS), len(machine)))
        fit, known = self.units.fit, memories()
        _points(
            machine, format[keep], products[keep], self._clock[at[2]][keep] * 1e6, speed, np.stack(values, axis=1),
            self.ways(values), self.accumulators(values), work, self._layers[3].astype(np.float64), self.units.values,
            self.units.lean, self.units.fabric, self.units.dram_pj,
            known["sram_read"]["value"], known["sram_write"]["value"],
            (fit.fixed, fit.share, fit.column, fit.address), columns,
        )  # fmt: skip
        found = dict(zip(RESULTS, columns, strict=True))
        if self.units.fabric:
            rows, cols, stationary, panel_rows, x_depth, w_depth, _ = (some[machine] for some in values)
            bits = np.rint(self.units.bits[format[keep]] * 8).astype(np.int64)
            found["brams"] = fabric.memories(rows, cols, x_depth, w_depth, panel_rows, stationary, bits).astype(float)
        found["time_s"] = found["compute_s"] + found["waiting_s"]
        found["energy_j"] = sum((found[name] for name in ENERGIES), np.zeros(len(machine))) * 1e-12
        found["area_mm2"] = (found["array_um2"] + found["control_um2"] + found["sram_um2"]) * 1e-6
        found["power_w"] = found["energy_j"] / found["time_s"]
        found["bandwidth_gb_s"] = found["traffic_bytes"] / found["compute_s"] * 1e-9
        found["bits"], found["sqnr_db"] = self.units.bits[format[keep]], self.units.sqnr_db[format[keep]]
        if self.study.network:
            found["network"] = self.units.network[format[keep]]
        return numbers[keep], found

    def _work(self, values: list[Numbers]) -> Floats:
        """What the layers ask of machines: `(machines, layers, 6)` of cycles, busy ones, blocks of weights and of
        activations that are fetched, results, and moves of results between cells."""
        counted, plan = self.cycles(values)
        rows, cols, stationary = (values[i][:, None] for i in (0, 1, 2))
        m, n, _, _ = self._layers
        work = np.empty((*counted.cycles.shape, 6))
        work[..., 0], work[..., 1] = counted.cycles, counted.busy
        height = np.where(stationary, rows, 1)
        steps = plan.panels * plan.steps.astype(np.float64) * height
        work[..., 2] = steps * plan.tiles * cols
        work[..., 3] = steps * plan.panel
        work[..., 4] = m.astype(np.float64) * n * plan.chunks
        tiles = plan.panels * plan.chunks * plan.tiles.astype(np.float64) * -(-plan.panel // rows)
        work[..., 5] = np.where(stationary, 0, tiles * cols * (rows * (rows + 1) // 2))
        return work

    def limited(self, found: dict[str, Floats]) -> NDArray[np.bool_]:
        """Which points are within the study's limits."""
        kept = np.ones(len(found["time_s"]), dtype=np.bool_)
        for column, limit in self.study.most.items():
            kept &= found[column] <= limit
        for column, limit in self.study.least.items():
            kept &= found[column] >= limit
        return kept


@njit(cache=True)
def _points(  # type: ignore[no-untyped-def]
    machine, format, products, clock, speed, machines, ways, sums_in, work, count, units, are_lean, on_fabric, dram_pj,
    sram_read, sram_write, fit, columns,
):  # pragma: no cover  # fmt: skip
    """Fills in `RESULTS`, but for memories of FPGAs."""
    fixed, share, column, address = fit
    sums = np.zeros((len(work), 6))
    for u in range(len(work)):
        for layer in range(len(count)):
            for i in range(6):
                sums[u, i] += count[layer] * work[u, layer, i]
    products_in_all = count.sum()
    for p in range(len(machine)):
        u = machine[p]
        rows, cols, stationary, panel, x_depth, w_depth, int8 = machines[u]
        unit, lean = units[format[p], stationary, int8, products[p]], are_lean[format[p]]
        saved = ways[u, 1] if lean else 0
        bits, period = unit[_BITS], unit[_PERIOD]
        if clock[p] > 0:
            period = max(period, 1 / clock[p])
        # An entry of int8 activations is a byte.
        x_bits = 64.0 if int8 else bits
        waiting = loading = 0.0
        for layer in range(len(count)):
            moved = (work[u, layer, 2] * bits + work[u, layer, 3] * x_bits + work[u, layer, 4] * ACC_BITS) / 8
            if speed[p] > 0:
                took = moved / speed[p]
                loading += count[layer] * took
                waiting += count[layer] * max(0.0, took - (work[u, layer, 0] - saved) * period)
        cycles, busy, w_blocks, x_blocks, results, moves = sums[u]
        cycles -= saved * products_in_all
        columns[0, p], columns[1, p], columns[2, p] = cycles * period, waiting, loading
        outside = w_blocks * bits + x_blocks * x_bits
        columns[12, p] = (outside + results * ACC_BITS) / 8
        cells = rows * cols
        columns[13, p] = fixed + share * (cells * unit[_LUTS_CELL] + (rows + cols) * unit[_LUTS_EDGE])
        columns[14, p] = cells * unit[_DSPS]
        columns[15, p] = 0
        if on_fabric:
            columns[3:12, p] = np.nan
            continue
        columns[13:16, p] = np.nan
        edges = rows if stationary else rows + cols
        hops_x = rows * (rows + 1) / 2 if stationary else rows * (rows - 1) / 2
        hops_w = 0.0 if stationary else cols * (cols - 1) / 2
        beat = cells * (unit[_CELL + 1] + unit[_COLUMN + 1]) + edges * unit[_EDGE + 1]
        beat += hops_x * unit[_HOP_X + 1] + hops_w * unit[_HOP_W + 1]
        idle = cells * (unit[_CELL + 2] + unit[_COLUMN + 2]) + edges * unit[_EDGE + 2]
        idle += hops_x * unit[_HOP_X + 2] + hops_w * unit[_HOP_W + 2]
        leaks = cells * (unit[_CELL + 3] + unit[_COLUMN + 3]) + (rows + cols) * unit[_EDGE + 3]
        leaks += hops_x * unit[_HOP_X + 3] + hops_w * unit[_HOP_W + 3]
        late = waiting / period
        columns[3, p] = busy * beat + (w_blocks * unit[_STORED] if stationary else 0.0)
        columns[4, p] = (cycles - busy + late) * idle
        columns[5, p] = moves * unit[_DRAIN]
        columns[6, p] = (x_blocks * bits if stationary else outside) * sram_write + busy * edges * bits * sram_read
        columns[7, p] = (outside + results * ACC_BITS) * dram_pj
        columns[8, p] = (cycles + late) * period * 1e12 * leaks * 1e-9  # ps · nW is 1e-21 J
        area = array_area(unit[_AREAS], rows, cols, stationary)
        columns[9, p] = area
        columns[10, p] = fixed + (share - 1) * area + (column * cols if stationary else 0.0)
        columns[10, p] += address * address_bits(x_depth, w_depth, stationary)
        stored = 2 * x_depth * rows * bits + ways[u, 3 if lean else 2] * cols * ACC_BITS
        stored += panel * cols * sums_in[u, format[p]] if stationary else 2 * w_depth * cols * bits
        columns[11, p] = stored * _SRAM


# Columns of the table of units, for the loop above.
_CELL, _EDGE, _COLUMN, _HOP_X, _HOP_W = (
    COLUMN[f"{part}_area"] for part in ("cell", "edge", "column", "hop_x", "hop_w")
)
_AREAS = slice(_CELL, _HOP_W + 1, len(FIGURES))
_DRAIN, _STORED, _PERIOD, _BITS = (COLUMN[name] for name in ("cell_drain", "cell_stored", "period_s", "block_bits"))
_LUTS_CELL, _LUTS_EDGE, _DSPS = (COLUMN[name] for name in ("luts_cell", "luts_edge", "dsps_cell"))
_SRAM = SRAM_UM2["value"]

"""The cycle model: what the accelerator counts, cycle for cycle, without simulating it.

Within a job the times of the RTL's events follow a recurrence of maxima and sums over the tiles (output-stationary) or
slices (weight-stationary). Three things set the pace: computing, C cycles per tile or slice; loading its weights, λ
cycles; and that a bank is loaded anew only after it was read. Whichever of C and λ is larger repeats to the end of the
job, so that the recurrence has a closed form, a maximum of few straight lines. A product is a sequence of jobs, each of
which starts from what the one before left.

All times are numbers of cycles, counted from the cycle in which the first job is offered; names as in
`hw.engine.sequencer`.
"""

from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.lattice import DIM
from hw.engine.counters import COUNTERS
from hw.engine.rows import RowFramer
from sim.models import recurrence as of
from sim.models.recurrence import OVERHEAD, Times, products
from sim.models.schedule import Integers, Machine, bounded, divide, schedule

MAX_JOBS = 1 << 24
"""Jobs of a product at most: a second or two of the loop over them."""

MAX_CYCLES = 1 << 62
"""Where a bound on the cycles of a product, which is a few times what it takes, must be below."""

BATCH = 1 << 14
"""Pairs that are scheduled at once: what fits the processor's cache."""


@dataclass(frozen=True)
class Memory:
    """How fast words come, as integers or arrays: the first is on offer after `latency` cycles, each other one `period`
    cycles after the one before it was taken. The consumer of accumulators is always ready.

    Raw blocks have the same latency as words of activations, and come in every cycle; they wait for their job.

    Attributes
    ----------
    x_period, w_period : integers, at least 1
        Cycles per word of activations and of weights.
    x_latency, w_latency : integers
        Cycles before the first word.
    """

    x_period: Integers = 1
    w_period: Integers = 1
    x_latency: Integers = 0
    w_latency: Integers = 0


@dataclass(frozen=True, eq=False)
class Cycles:
    """Cycles by cause, int64 arrays of one shape; `cycles` is their sum.

    Attributes
    ----------
    cycles : from the first job offered to the last row taken.
    busy, x_late, w_late, drain_blocked, idle : as the accelerator counts them.
    """

    cycles: Times
    busy: Times
    x_late: Times
    w_late: Times
    drain_blocked: Times
    idle: Times

    def counters(self) -> dict[str, Any]:
        """The counters by name."""
        return {name: getattr(self, name) for name in COUNTERS}


@dataclass(frozen=True)
class Span:
    """When one job of a product was where.

    Attributes
    ----------
    planned : first cycle in which all parts of the engine know the job.
    x_start, x_end : first and last word of activations.
    w_start, w_end : first and last word of weights.
    start, end : first and last beat.
    """

    planned: int
    x_start: int
    x_end: int
    w_start: int
    w_end: int
    start: int
    end: int


def cycles(
    machine: Machine,
    m: Integers,
    n: Integers,
    k: Integers,
    *,
    int8: Any = False,
    raw: Any = False,
    memory: Memory | None = None,
) -> Cycles:
    """Cycles of products of `(m, k)` activations and `(n, k)` weights on machines; all arguments broadcast.

    Parameters
    ----------
    machine : Machine
    m, n, k : integers
    int8 : bool or bools
        Whether the activations are int8.
    raw : bool or bools
        Whether they are raw rows, for a front end; one with serial candidates was reset just before, or a whole
        number of its beats ago.
    memory : Memory, optional
        As fast as can be if not given.

    Raises
    ------
    GossetError
        If a number is out of range, or a product takes more than `MAX_JOBS` jobs or about `MAX_CYCLES` cycles.
    """
    m, n, k = (bounded(size, name, 1) for name, size in (("M", m), ("N", n), ("K", k)))
    arrays = np.broadcast_arrays(*_values(machine), m, n, k, int8, raw, *_values(memory or Memory()))
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    counts = np.empty((flat[0].size, 1 + len(COUNTERS)), dtype=np.int64)
    nothing = np.empty((0, len(fields(Span))), dtype=np.int64)
    for start in range(0, len(counts), BATCH):
        part = slice(start, start + BATCH)
        products(_table([array[part] for array in flat]), counts[part], nothing)
    return Cycles(*np.moveaxis(counts, 1, 0).reshape(-1, *arrays[0].shape))


def timeline(
    machine: Machine,
    m: int,
    n: int,
    k: int,
    *,
    int8: bool = False,
    raw: bool = False,
    memory: Memory | None = None,
    most: int | None = None,
) -> list[Span]:
    """The spans of the jobs of one product, in order; of the first `most` of them if that is given.

    Raises
    ------
    GossetError
        As `cycles`.
    """
    m, n, k = (bounded(size, name, 1) for name, size in (("M", m), ("N", n), ("K", k)))
    values = [np.array([value]) for value in (*_values(machine), m, n, k, int8, raw, *_values(memory or Memory()))]
    table, counts = _table(values), np.empty((1, 1 + len(COUNTERS)), dtype=np.int64)
    jobs = int(table[0, of.PANELS] * table[0, of.GROUPS] * table[0, of.CHUNKS])
    spans = np.empty((jobs if most is None else min(jobs, most), len(fields(Span))), dtype=np.int64)
    products(table, counts, spans)
    return [Span(*row) for row in spans.tolist()]


def _values(record: Machine | Memory) -> tuple[Any, ...]:
    if isinstance(record, Machine):
        return astuple(record)
    periods, latencies = ("x_period", "w_period"), ("x_latency", "w_latency")
    values = [bounded(getattr(record, name), f"The memory's {name}", 1) for name in periods]
    return *values, *(bounded(getattr(record, name), f"The memory's {name}", 0) for name in latencies)


def _table(values: list[NDArray[Any]]) -> Times:
    """One line per product, from the fields of machines, the shapes, and the fields of memories."""
    of_machine = len(fields(Machine))
    machine, (m, n, k, int8, raw) = Machine(*values[:of_machine]), values[of_machine : of_machine + 5]
    memory = Memory(*values[of_machine + 5 :])
    plan = schedule(machine, m, n, k, int8, raw)
    # What the front end gives, as if it came from memory; a row that is measured has to be there as a whole. A row is
    # let in when its job is known.
    row_blocks = divide(np.asarray(k), DIM)
    encoded = machine.encoding + np.where(machine.measured, row_blocks - 1, 0)
    encoded = np.where(raw, encoded, 0)
    x_period = np.where(raw, 1, memory.x_period)
    x_latency = memory.x_latency + np.where(raw, RowFramer.LATENCY + encoded, 0)
    columns = [machine.weight_stationary, machine.rows, machine.jobs, machine.latency, m, plan.panel, plan.panels]
    columns += [plan.steps, plan.chunk, plan.chunks, plan.tiles, plan.passes]
    columns += [raw, x_period, memory.w_period, x_latency, memory.w_latency, encoded, row_blocks]
    # With serial candidates in the rhythm of the beat, in which segments are rotated, too.
    gate = machine.admission + np.where(machine.measured, row_blocks - 1, 0)
    behind = machine.encoding - machine.admission + (machine.segment - 1) * (machine.beat - 1)
    columns += [np.where(raw, machine.beat, 1), gate, behind, memory.x_latency + RowFramer.LATENCY]
    columns += [plan.group, plan.groups]
    table = np.stack([np.asarray(column, dtype=np.int64) for column in columns], axis=1)
    _check_counts(table)
    return table


def _check_counts(table: Times) -> None:
    """Whether the loop below ends soon, and no time in it can leave int64; the bound adds up what may overlap."""
    t = table.astype(np.float64).T
    height, panel, chunk = t[of.ROWS], t[of.PANEL], t[of.CHUNK]
    jobs = t[of.PANELS] * t[of.GROUPS] * t[of.CHUNKS]
    if (jobs > MAX_JOBS).any():
        raise GossetError(f"The cycle model takes products of up to {MAX_JOBS:,} jobs, but one has {jobs.max():,.0f}.")
    units = t[of.TILES] * np.where(t[of.WS] != 0, chunk, 1) + 3
    words = panel * (height * chunk * t[of.PASSES] + t[of.RAW] * t[of.ROW_BLOCKS] * t[of.BEAT]) + height
    loading = height * chunk * t[of.W_PERIOD]
    job = (
        words * t[of.X_PERIOD] + units * (panel * (chunk * t[of.PASSES] + height) + loading) + t[of.LATENCY] + 2 * panel
    )
    bound = t[of.X_LATENCY] + t[of.W_LATENCY] + jobs * (job + t[of.GATE] + t[of.BEHIND] + t[of.ENCODING] + OVERHEAD)
    if (bound >= MAX_CYCLES).any():
        raise GossetError(
            f"The cycle model counts to {MAX_CYCLES:.2g} cycles, but a product could take {bound.max():.2g}."
        )

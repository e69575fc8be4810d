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
from numba import njit
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.lattice import DIM
from hw.engine.counters import COUNTERS
from hw.engine.planner import Planner
from hw.engine.rows import RowFramer
from sim.models.schedule import Integers, Machine, bounded, divide, schedule

Times = NDArray[np.int64]

NEVER = -(1 << 40)
"""Long before the first cycle."""

OVERHEAD = Planner.OVERHEAD

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
        Whether they are raw rows, for a front end with parallel candidates.
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
        _products(_table([array[part] for array in flat]), counts[part], nothing)
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
    jobs = int(table[0, _PANELS] * table[0, _CHUNKS])
    spans = np.empty((jobs if most is None else min(jobs, most), len(fields(Span))), dtype=np.int64)
    _products(table, counts, spans)
    return [Span(*row) for row in spans.tolist()]


def _values(record: Machine | Memory) -> tuple[Any, ...]:
    if isinstance(record, Machine):
        return astuple(record)
    periods, latencies = ("x_period", "w_period"), ("x_latency", "w_latency")
    values = [bounded(getattr(record, name), f"The memory's {name}", 1) for name in periods]
    return *values, *(bounded(getattr(record, name), f"The memory's {name}", 0) for name in latencies)


# Columns of the table that describes products to the loop below.
_WS, _ROWS, _JOBS, _LATENCY, _M, _PANEL, _PANELS, _STEPS, _CHUNK, _CHUNKS, _TILES, _PASSES = range(12)
_RAW, _X_PERIOD, _W_PERIOD, _X_LATENCY, _W_LATENCY, _ENCODING, _ROW_BLOCKS = range(12, 19)


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
    table = np.stack([np.asarray(column, dtype=np.int64) for column in columns], axis=1)
    _check_counts(table)
    return table


def _check_counts(table: Times) -> None:
    """Whether the loop below ends soon, and no time in it can leave int64; the bound adds up what may overlap."""
    t = table.astype(np.float64).T
    height, panel, chunk = t[_ROWS], t[_PANEL], t[_CHUNK]
    jobs = t[_PANELS] * t[_CHUNKS]
    if (jobs > MAX_JOBS).any():
        raise GossetError(f"The cycle model takes products of up to {MAX_JOBS:,} jobs, but one has {jobs.max():,.0f}.")
    units = t[_TILES] * np.where(t[_WS] != 0, chunk, 1) + 3
    words = panel * (height * chunk * t[_PASSES] + t[_RAW] * t[_ROW_BLOCKS]) + height
    loading = height * chunk * t[_W_PERIOD]
    job = words * t[_X_PERIOD] + units * (panel * (chunk * t[_PASSES] + height) + loading) + t[_LATENCY] + 2 * panel
    bound = t[_X_LATENCY] + t[_W_LATENCY] + jobs * (job + t[_ENCODING] + OVERHEAD)
    if (bound >= MAX_CYCLES).any():
        raise GossetError(
            f"The cycle model counts to {MAX_CYCLES:.2g} cycles, but a product could take {bound.max():.2g}."
        )


@njit(cache=True)  # type: ignore[untyped-decorator]
def _products(table: Times, counts: Times, spans: Times) -> None:  # pragma: no cover
    """Fills in, for each line of the table, the total and the counters in the order of `COUNTERS`; and the spans of the
    jobs if there is room for any."""
    ends = np.empty(16, dtype=np.int64)  # last beats of the last jobs, each at its number modulo 16
    for line in range(len(table)):
        ws, height = table[line, _WS] != 0, table[line, _ROWS]
        m, panel, tiles, passes = table[line, _M], table[line, _PANEL], table[line, _TILES], table[line, _PASSES]
        steps, chunk, chunks = table[line, _STEPS], table[line, _CHUNK], table[line, _CHUNKS]
        px, pw, queue = table[line, _X_PERIOD], table[line, _W_PERIOD], table[line, _JOBS]
        unit_rows = 1 if ws else height
        busy = x_late = w_late = drain_blocked = idle = 0

        # Left by the job before: when the planner was through with it, its last words, its last beat, that of the tile
        # before its last, and the first beat of its last slice.
        accepted, planned, x_end, w_end = 0, 0, table[line, _X_LATENCY] - px, table[line, _W_LATENCY] - pw
        end, before_end, slice_start = -1, NEVER, NEVER
        rows = row_tiles = 1
        for number in range(table[line, _PANELS] * chunks):
            rows = min(panel, m - number // chunks * panel)
            row_tiles = -(-rows // unit_rows)
            depth = min(chunk, steps - number % chunks * chunk)
            beats = depth * passes  # of a row tile, or of a row

            # Planning, and the activations: into a bank that the job before the last has left.
            accepted += row_tiles + OVERHEAD
            if number >= queue:  # the queue is full until a job ends
                accepted = max(accepted, ends[(number - queue) % 16] + 2)
            planned = accepted + 1
            x_start = max(planned + table[line, _ENCODING], x_end + px)
            if number >= 2:
                x_start = max(x_start, ends[(number - 2) % 16] + 1)
            # Raw rows fill it block by block.
            words = rows * table[line, _ROW_BLOCKS] if table[line, _RAW] else row_tiles * beats
            x_end = x_start + (words - 1) * px

            # A unit is a tile or a slice. After a unit the next one has to wait for `gap` cycles if the way out is
            # still taken; `span` is from its first beat to its last.
            units = tiles * depth if ws else tiles
            gap = 0 if ws else max(0, height - beats)
            computing = rows * passes if ws else row_tiles * (beats + gap)
            loading = (height if ws else depth) * pw
            span = computing - gap - 1
            slower = max(computing, loading)

            # The first unit.
            w_start = max(planned, w_end + pw, slice_start if ws else before_end + 1)
            loaded = w_start + loading - pw
            there = max(planned, end + 1)
            free = max(there, end + 1 + gap) if number else there
            x_there = max(free, x_end + 1)
            start = max(x_there, loaded + 1)

            # The others: the first beats of the last three, unit t's being the largest of what computing, loading, and
            # loading after a wait for a bank make it.
            second = max(loaded + pw, start if ws else end + 1) + loading - pw  # when the second one is loaded
            third = start + span + 1 + loading - pw  # output-stationary: the third, if it waited for the first's bank
            last = units - 1
            last_start = before_start = third_last_start = start
            for back in range(3):
                t = last - back
                begin = start
                if t >= 1:
                    begin = max(start + t * computing, second + 1 + (t - 1) * slower)
                if t >= 2 and not ws:
                    begin = max(begin, third + 1 + (t - 2) * slower)
                if back == 0:
                    last_start = begin
                elif back == 1:
                    before_start = begin
                else:
                    third_last_start = begin

            # What is left behind: the last weights first.
            w_end = loaded
            if ws and last >= 1:
                w_end = max(second + (last - 1) * loading, before_start + loading - pw)
            elif last >= 1:
                w_end = second + (last - 1) * loading
                if last >= 2:
                    w_end = max(w_end, third + (last - 2) * loading, third_last_start + span + 1 + loading - pw)
            before_end = before_start + span if last >= 1 else end
            slice_start = last_start

            busy += units * (computing - gap * row_tiles)
            idle += there - (end + 1)
            drain_blocked += free - there + (units * row_tiles - 1) * gap
            x_late += x_there - free
            w_late += start - x_there + last_start - start - last * computing
            end = last_start + span
            ends[number % 16] = end
            if number < len(spans):
                spans[number] = np.array((planned, x_start, x_end, w_start, w_end, start, end))

        # The rows of the last tile, or the last row, come out.
        total = end + table[line, _LATENCY] + (1 if ws else rows - (row_tiles - 1) * height)
        idle += total - (end + 1)
        counts[line] = np.array((total, busy, x_late, w_late, drain_blocked, idle))

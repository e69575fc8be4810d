"""The loop over the jobs of products, compiled: the recurrence of `sim.models.cycles`.

Compiled code is kept from run to run, and made again when this file changes: all of it has to be here.

A front end with serial candidates lets a block in only in every so manieth cycle, its beat, which goes on from reset
on. Where a job waits for its bank, the blocks that are through by then come in every cycle, and the others in the
rhythm of the beat. What its output queue has no place for is let in while the queue empties, and comes in time.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hw.engine.planner import Planner

Times = NDArray[np.int64]

NEVER = -(1 << 40)
"""Long before the first cycle."""

OVERHEAD = Planner.OVERHEAD

# Columns of the table that describes products.
WS, ROWS, JOBS, LATENCY, M, PANEL, PANELS, STEPS, CHUNK, CHUNKS, TILES, PASSES = range(12)
RAW, X_PERIOD, W_PERIOD, X_LATENCY, W_LATENCY, ENCODING, ROW_BLOCKS = range(12, 19)
BEAT, GATE, BEHIND, ARRIVAL, GROUP, GROUPS = range(19, 25)


@njit(cache=True)  # type: ignore[untyped-decorator]
def products(table: Times, counts: Times, spans: Times) -> None:  # pragma: no cover
    """Fills in, for each line of the table, the total and the counters in the order of `COUNTERS`; and the spans of the
    jobs if there is room for any."""
    ends = np.empty(16, dtype=np.int64)  # last beats of the last jobs, each at its number modulo 16
    for line in range(len(table)):
        ws, height = table[line, WS] != 0, table[line, ROWS]
        m, panel, every, passes = table[line, M], table[line, PANEL], table[line, TILES], table[line, PASSES]
        group, groups = table[line, GROUP], table[line, GROUPS]
        steps, chunk, chunks = table[line, STEPS], table[line, CHUNK], table[line, CHUNKS]
        px, pw, queue, beat = table[line, X_PERIOD], table[line, W_PERIOD], table[line, JOBS], table[line, BEAT]
        unit_rows = 1 if ws else height
        busy = x_late = w_late = drain_blocked = idle = 0

        # Left by the job before: when the planner was through with it, its last words, its last beat, that of the tile
        # before its last, and the first beat of its last slice.
        accepted, planned, x_end, w_end = 0, 0, table[line, X_LATENCY] - px, table[line, W_LATENCY] - pw
        end, before_end, slice_start = -1, NEVER, NEVER
        let_in = NEVER  # the last block that began to be encoded
        rows = row_tiles = 1
        for number in range(table[line, PANELS] * groups * chunks):
            rows = min(panel, m - number // (groups * chunks) * panel)
            tiles = min(group, every - number // chunks % groups * group)
            row_tiles = -(-rows // unit_rows)
            depth = min(chunk, steps - number % chunks * chunk)
            beats = depth * passes  # of a row tile, or of a row

            # Planning, and the activations: into a bank that the job before the last has left.
            accepted += row_tiles + OVERHEAD
            if number >= queue:  # the queue is full until a job ends
                accepted = max(accepted, ends[(number - queue) % 16] + 2)
            planned = accepted + 1
            bank_free = ends[(number - 2) % 16] + 1 if number >= 2 else 0
            # Raw rows fill it block by block.
            words = rows * table[line, ROW_BLOCKS] if table[line, RAW] else row_tiles * beats
            if beat > 1:
                known = max(planned, table[line, ARRIVAL]) + table[line, GATE]
                first = -(-max(known, let_in + beat) // beat) * beat
                let_in = first + (words - 1) * beat
                x_start = max(first + table[line, BEHIND], x_end + px, bank_free)
                x_end = max(let_in + table[line, BEHIND], x_start + words - 1)
            else:
                x_start = max(planned + table[line, ENCODING], x_end + px, bank_free)
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
        total = end + table[line, LATENCY] + (1 if ws else rows - (row_tiles - 1) * height)
        idle += total - (end + 1)
        counts[line] = np.array((total, busy, x_late, w_late, drain_blocked, idle))

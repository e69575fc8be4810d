"""The loop of `sim.models.bus`: the registers that decide about time, one cycle of the memory port after the other.

Here are planner, engine, output stage and front end; `sim.models.bus_masters` has what is between them and the memory.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim.models.bus_masters import (
    END,
    KEPT,
    LAST,
    MADE_OF,
    PRESENT,
    RAW,
    SIDES,
    SLOTS,
    STOP,
    C,
    R,
    W,
    X,
    has_words,
    read,
    write,
)

_DOOR, _GIVEN, _UNDER_WAY = 2, 2, 64
"""Places for raw blocks before their row begins, for multipliers, and for rows in the front end."""

_TAKERS = 5 + SIDES
"""Who takes a plan: the engine; who writes; the readers of each side; where the multipliers of raw rows, and where the
rows themselves wait for them; and who sends packed rows to the engine or to memory."""


@njit(cache=True)  # type: ignore[untyped-decorator]
def run(
    machine: Any, codes: Any, jobs: Any, readers: Any, port: Any, writer: Any, most: int, made_of: str = MADE_OF
) -> NDArray[np.int64]:  # pragma: no cover
    """Total, beats that were read, and the counters in the order of `COUNTERS`; −1 as the total if it exceeds `most`.

    `machine` holds numbers in the order in which they are unpacked below, and `codes`, of each plane of codes that can
    be written, a beat's units and a word's; records are as in `sim.models.bus_masters`.
    """
    stationary, height, queue_depth, latency, drain_rows, stages, cols, row_scales = machine[:8]
    segment, encoding, encoded_depth = machine[8:]
    count = len(jobs)

    # Planner, and who has taken the plan on offer, takes it, has nothing to do with it, or has a place for it.
    planning, planned, counting = 0, 0, 0  # the state; the job; cycles of counting left
    has, takes = np.zeros(_TAKERS, np.bool_), np.zeros(_TAKERS, np.bool_)
    passed, free = np.zeros(_TAKERS, np.bool_), np.zeros(_TAKERS, np.bool_)
    # Followers, each with its queue: fill_x, fill_w, run. `left` are the rounds to go of each loop.
    level = np.zeros(3, np.int64)
    there = np.zeros(3, np.int64)
    job_of = np.full(3, -1)  # the present job, the last one if there is none
    x_left = w_steps = w_tiles = 0
    digits = inner = middle = tiles = 0  # run: os blocks and row tiles, ws rows and slices
    # Turns of x and w; the cells' weights.
    x_both = x_reading = x_filling = 0
    w_both = w_reading = w_filling = 0
    w_row = full = 0
    # The sequencer.
    first, congested, since = 1, 0, height
    unseen = 2 if stationary or height <= 2 else 0
    room, has_room, set_aside = drain_rows, 1, 0
    # Rows on their way through the array, by the cycle in which they get to the output queue, and those in it.
    coming = np.zeros(SLOTS, np.int8)
    queue_inner = queue_ready = 0
    in_queue, rows_put, rows_got = np.zeros(drain_rows + 1, np.int8), 0, 0
    # The output stage.
    pipe = np.zeros(stages + 1, np.int8)
    at_column, first_row, first_tile = 0, 1, 1
    # The front end: jobs whose multipliers and whose rows wait; the present ones, and what is left of them; what has
    # been let in and not come out; blocks on their way, by the butterflies that they get to and the cycle; its queue.
    scales_level = scales_left = multipliers = 0
    rows_level = rows_there = block_in = row_in = door = ways = 0
    scales_job = rows_job = -1
    encoded_room, may_enter = encoded_depth, 0
    distances = 0
    while segment >> distances > 1:
        distances += 1
    inside = np.zeros((distances + 1, 8), np.int8)
    at_block, halves = np.zeros(distances, np.int64), np.zeros(distances, np.int64)
    encoding_until = np.zeros(SLOTS, np.int8)
    pushed = encoded = fetched = block_ready = block_out = row_out = 0
    # Packed rows on their way to memory: whose they are; the bank that is read; two words, of which plane, and whether
    # they are its last; of each plane what its gearbox holds; and the plane that is written.
    planes = len(codes)
    codes_level = codes_there = reading = words_left = words_of_plane = plane = out_plane = 0
    codes_job = -1
    word_there, word_plane, word_last = np.zeros(2, np.bool_), np.zeros(2, np.int64), np.zeros(2, np.bool_)
    gears, endings = np.zeros(planes + 1, np.int64), np.zeros(planes + 1, np.bool_)
    # Words that readers have, and those of them that are taken.
    words, moves = np.zeros(SIDES, np.bool_), np.zeros(SIDES, np.bool_)

    now = 0
    busy = x_late = w_late = drain_blocked = idle = 0
    while writer.done < count:
        if now > most:
            return np.full(7, -1)

        # Jobs on their way.
        on_offer = planning == 2
        keeps, raw = planned < count and jobs[planned].keep != 0, planned < count and jobs[planned].raw != 0
        to_memory = planned < count and jobs[planned].out != 0
        passed[0] = passed[2 + W] = to_memory
        passed[2 + X] = raw
        passed[2 + C] = keeps or to_memory or not stages
        passed[2 + R] = keeps or to_memory or not row_scales
        passed[2 + RAW :] = not raw
        passed[4 + SIDES] = not raw or not planes
        free[0], free[1] = level.max() < queue_depth - 1, writer.level < queue_depth
        for side in range(SIDES):
            free[2 + side] = not port.full[side]
        free[2 + SIDES], free[3 + SIDES] = scales_level < queue_depth, rows_level < queue_depth - 1
        free[4 + SIDES] = codes_level < queue_depth - 1
        plan_taken = True
        for k in range(_TAKERS):
            takes[k] = on_offer and not has[k] and not passed[k] and free[k]
            plan_taken = plan_taken and (has[k] or passed[k] or free[k])

        # The output stage, and who writes.
        has_words(readers, words)
        head = in_queue[rows_got % (drain_rows + 1)] if queue_ready else 0
        out = pipe[stages - 1] if stages else head
        beat_of_codes = 0
        if planes and (endings[out_plane] or gears[out_plane] >= codes[out_plane, 0]):
            plane_ends = endings[out_plane] and gears[out_plane] <= codes[out_plane, 0]
            beat_of_codes = PRESENT + END * (plane_ends and out_plane == planes - 1)
        kept, joins, copies = write(writer, jobs, out, beat_of_codes, takes[1], now)
        moves[C] = moves[R] = False
        row_taken = kept or joins
        if stages:
            shifts = out == 0 or row_taken
            ends_kept = head & KEPT != 0
            enters = head != 0 and (ends_kept or ((not first_row or words[C]) and (not first_tile or words[R])))
            last_column = at_column == cols - 1
            row_taken = enters and shifts and (last_column or ends_kept)
            moves[C] = enters and shifts and not ends_kept and first_row
            moves[R] = row_taken and not ends_kept and first_tile

        # The sequencer.
        job = job_of[2]
        last_digits, last_inner, last_middle, last_tiles = digits <= 1, inner <= 1, middle <= 1, tiles <= 1
        if stationary:
            finish = last_digits and last_middle
            tile_ends = last_digits and last_inner and last_middle
        else:
            finish = last_digits and last_inner
            tile_ends = finish and last_middle
        job_ends = tile_ends and last_tiles
        w_there = (full or not first) if stationary else w_reading
        blocked = congested or (finish and not has_room)
        go = bool(there[2]) and x_reading and w_there and not blocked
        starts = go and first

        if not there[2]:
            idle += 1
        elif go:
            busy += 1
        elif congested or (x_reading and w_there and blocked):
            drain_blocked += 1
        elif not x_reading:
            x_late += 1
        else:
            w_late += 1

        # Filling.
        by_block = jobs[job_of[0]].raw != 0
        front_job = codes_job if planes else job_of[0]  # whose packed rows come
        x_ready = bool(x_filling) and not by_block
        w_ready = bool(there[1]) and (w_row > 0 or not full or starts) if stationary else bool(w_filling)
        moves[X], moves[W] = words[X] and x_ready, words[W] and w_ready

        # The front end: a raw block out of its reader, one into the front end, a packed one into a bank.
        moves[RAW] = segment > 0 and words[RAW] and door < _DOOR
        may_start = block_in > 0 or (rows_there and ways < _UNDER_WAY)
        enters_front = door > 0 and bool(may_start) and may_enter and multipliers > 0
        row_starts = enters_front and block_in == 0
        row_entered = enters_front and block_in == jobs[rows_job].words[RAW] - 1
        rows_entered = row_entered and row_in == jobs[rows_job].rows - 1
        to_engine = x_filling and by_block
        if planes:
            to_memory = codes_there and jobs[codes_job].out != 0
            leaves_front = block_ready and codes_there and (not reading if to_memory else to_engine)
        else:
            leaves_front = block_ready and to_engine
        row_left = leaves_front and block_out == jobs[front_job].words[RAW] - 1
        rows_left = row_left and row_out == jobs[front_job].rows - 1
        raw_filled = rows_left and jobs[front_job].out == 0

        # ---- The edge of the clock: readers. ----
        read(port, readers, jobs, moves, takes[2 : 2 + SIDES], planned, now)

        # ---- The output stage and the output queue. ----
        if stages and shifts:
            for i in range(stages - 1, 0, -1):
                pipe[i] = pipe[i - 1]
            pipe[0] = 0
            if enters:
                pipe[0] = head if last_column or head & KEPT else PRESENT
                if head & KEPT == 0:
                    at_column = 0 if last_column else at_column + 1
                    if last_column:
                        first_row = head & LAST != 0
                        if first_row:
                            first_tile = head & END != 0
        came_out = coming[now % SLOTS]
        coming[now % SLOTS] = 0
        given_back = came_out & KEPT != 0 and came_out & END == 0
        arrives = came_out != 0 and not given_back
        if arrives:
            in_queue[rows_put % (drain_rows + 1)] = came_out
            rows_put += 1
        rows_got += row_taken
        inner_read = queue_inner > 0 and (not queue_ready or row_taken)
        queue_inner += arrives - inner_read
        if inner_read:
            queue_ready = 1
        elif row_taken:
            queue_ready = 0

        # ---- The sequencer. ----
        finished = 0
        if go and finish:
            finished = 1
            if not stationary:
                tail = jobs[job].rows - (jobs[job].units - 1) * height
                finished = tail if last_middle else height
            for r in range(finished):
                last = r == finished - 1 and (last_inner if stationary else last_middle)
                flags = PRESENT + STOP + LAST * last + END * (last and last_tiles) + KEPT * jobs[job].keep
                coming[(now + latency - 2 + r) % SLOTS] = flags
        has_room = room >= unseen + (1 if stationary else height)
        room += row_taken + given_back - set_aside
        set_aside = finished
        next_job = job if there[2] and not (go and job_ends) else next_multiplied(jobs, job)
        if not stationary:
            gap = 0
            if next_job < count:
                gap = max(0, height - jobs[next_job].steps * jobs[next_job].passes)
            later = since if since == height else since + 1
            congested = (finish and gap > 0) if go else (first and later < gap)
            since = 0 if go and finish else later
            if go:
                first = finish
        elif go:
            first = last_digits and last_inner

        # ---- The front end: its queue; butterflies, the farthest first; rows that enter; their multipliers. ----
        if segment:
            moves_up = fetched and (leaves_front or not block_ready)
            fetch = encoded > 0 and (moves_up or not fetched)
            encoded += pushed - fetch
            fetched = fetch or (fetched and not moves_up)
            block_ready = moves_up or (block_ready and not leaves_front)
            pushed = encoding_until[now % SLOTS]
            encoding_until[now % SLOTS] = 0
            for k in range(distances):
                comes = inside[k, now % 8]
                inside[k, now % 8] = 0
                distance = segment >> (k + 1)
                goes = comes if at_block[k] >= distance else halves[k] > 0
                if comes and at_block[k] == 2 * distance - 1:
                    halves[k] = distance
                elif halves[k] > 0:
                    halves[k] -= 1
                if comes:
                    at_block[k] = (at_block[k] + 1) % (2 * distance)
                inside[k + 1, (now + 2) % 8] = goes
            if inside[distances, now % 8]:
                encoding_until[(now + encoding) % SLOTS] = 1
                inside[distances, now % 8] = 0
            inside[0, (now + 2) % 8] = enters_front

            if row_left:
                row_out = 0 if rows_left else row_out + 1
            if leaves_front:
                block_out = 0 if row_left else block_out + 1
            if row_entered:
                row_in = 0 if rows_entered else row_in + 1
            if enters_front:
                block_in = 0 if row_entered else block_in + 1
            ways += row_starts - row_left
            may_enter = encoded_room > 1
            encoded_room += leaves_front - enters_front
            door += moves[RAW] - enters_front
            moves_on = not rows_there or rows_entered
            pops = moves_on and rows_level > 0
            if pops:
                rows_job = next_raw(jobs, rows_job)
            if moves_on:
                rows_there = pops
            rows_level += takes[3 + SIDES] - pops
            scaled = scales_left > 0 and multipliers < _GIVEN
            multipliers += scaled - row_entered
            if scales_left > 0:
                scales_left -= scaled
            elif scales_level > 0:
                scales_level -= 1
                scales_job = next_raw(jobs, scales_job)
                scales_left = jobs[scales_job].rows
            scales_level += takes[2 + SIDES]

        # ---- Packed rows: words into gearboxes, out of the bank; whose rows come next. ----
        if planes:
            rest, beat_of_plane = gears[out_plane], codes[out_plane, 0]
            ended = copies and endings[out_plane] and rest <= beat_of_plane
            if copies:
                rest = 0 if rest <= beat_of_plane else rest - beat_of_plane
            into = word_plane[1]
            held = rest if into == out_plane else gears[into]
            joins_gear = not endings[into] and held < codes[into, 0]
            moves_1 = not word_there[1] or joins_gear
            moves_0 = not word_there[0] or moves_1
            gears[out_plane] = rest
            if word_there[1] and joins_gear:
                gears[into] = held + codes[into, 1]
                endings[into] = word_last[1]
            if ended:
                endings[out_plane] = False
                out_plane = (out_plane + 1) % planes
            if moves_1:
                word_there[1], word_plane[1], word_last[1] = word_there[0], word_plane[0], word_last[0]
            if moves_0:
                word_there[0] = reading
                if reading:
                    word_plane[0], word_last[0] = plane, words_left == 1
                    words_left -= 1
                    if words_left == 0:
                        plane = (plane + 1) % planes
                        reading = plane > 0
                        words_left = words_of_plane
            if rows_left and jobs[codes_job].out:
                reading, words_of_plane = 1, jobs[codes_job].words[X]
                words_left = words_of_plane
            moves_on = not codes_there or rows_left
            pops = moves_on and codes_level > 0
            if pops:
                codes_job = next_raw(jobs, codes_job)
            if moves_on:
                codes_there = pops
            codes_level += takes[4 + SIDES] - pops

        # ---- Banks, the cells' weights, and the loops of the followers. ----
        loaded = moves[W] and (not stationary or w_row == height - 1)
        ends_x = raw_filled if by_block else moves[X] and x_left == 1
        ends_w = loaded and w_steps == 1 and w_tiles == 1
        x_filled, x_done = ends_x, go and job_ends
        w_filled, w_done = moves[W] and w_steps == 1, go and tile_ends
        if stationary:
            if moves[W]:
                w_row = 0 if w_row == height - 1 else w_row + 1
            full = loaded or (full and not starts)
        if moves[X]:
            x_left -= 1
        if loaded:
            w_steps -= 1
            if w_steps == 0:
                w_steps = jobs[job_of[1]].steps
                w_tiles -= 1
        if go:
            digits -= 1
            if digits == 0:
                digits = jobs[job].passes
                inner -= 1
                if inner == 0:
                    inner = jobs[job].units if stationary else jobs[job].steps
                    middle -= 1
                    if middle == 0:
                        middle = jobs[job].steps if stationary else jobs[job].units
                        tiles -= 1
        for follower in range(3):
            if follower == 0:
                moves_on = bool(not there[0] or ends_x)
            elif follower == 1:
                moves_on = bool(not there[1] or ends_w)
            else:
                moves_on = bool(not there[2] or (go and job_ends))
            pops = moves_on and level[follower] > 0
            if moves_on:
                there[follower] = pops
            level[follower] += takes[0] - pops
            if pops:
                job_of[follower] = next_multiplied(jobs, job_of[follower])
                came = jobs[job_of[follower]]
                if follower == 0:
                    x_left = came.words[X]
                elif follower == 1:
                    w_steps, w_tiles = came.steps, came.tiles
                else:
                    digits, tiles = came.passes, came.tiles
                    inner = came.units if stationary else came.steps
                    middle = came.steps if stationary else came.units
        both = int((x_both or (x_reading and x_filled)) and not x_done)
        x_reading = int(x_both or x_filled or (x_reading and not x_done))
        x_both, x_filling = both, int(there[0] and not both)
        both = int((w_both or (w_reading and w_filled)) and not w_done)
        w_reading = int(w_both or w_filled or (w_reading and not w_done))
        w_both, w_filling = both, int(there[1] and not both)

        # ---- The planner. ----
        if on_offer:
            for k in range(_TAKERS):
                has[k] = not plan_taken and (has[k] or passed[k] or free[k])
            if plan_taken:
                planning = 0
                planned += 1
        elif planning == 1:
            counting -= 1
            if counting == 0:
                planning = 2
        elif planned < count and now >= jobs[planned].offered:
            planning, counting = 1, jobs[planned].units
        now += 1
    return np.array([now, port.read, busy, x_late, w_late, drain_blocked, idle])


@njit(cache=True)  # type: ignore[untyped-decorator]
def next_raw(jobs: Any, job: int) -> int:  # pragma: no cover
    """The next one of raw rows after a job; there is one."""
    job += 1
    while not jobs[job].raw:
        job += 1
    return job


@njit(cache=True)  # type: ignore[untyped-decorator]
def next_multiplied(jobs: Any, job: int) -> int:  # pragma: no cover
    """The next one after a job that the engine gets; as many as there are if none does."""
    job += 1
    while job < len(jobs) and jobs[job].out:
        job += 1
    return job

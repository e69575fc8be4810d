"""The loop of `sim.models.bus`: the registers that decide about time, one cycle of the memory port after the other."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the table of jobs.
_ROWS, _TILES, _STEPS, _PASSES, _X_WORDS, _W_WORDS, _C_WORDS, _R_WORDS, _RAW_WORDS = range(9)
_UNITS, _X, _W, _C, _R, _RAW_AT, _Y, _KEEP, _STRIDE, _RAW, _RAW_STRIDE, _OFFERED = range(9, 21)

_SIDES = 5
"""x, w, columns, rows and raw rows."""

_DOOR, _GIVEN, _UNDER_WAY = 2, 2, 64
"""Places for raw blocks before their row begins, for multipliers, and for rows in the front end."""

# What a row is, from the array to the writer.
_PRESENT, _END, _KEPT, _LAST, _STOP = 1, 2, 4, 8, 16


@njit(cache=True)  # type: ignore[untyped-decorator]
def run(machine: Any, jobs: Any, of_readers: Any, most: int) -> NDArray[np.int64]:  # pragma: no cover
    """Total, beats that were read, and the counters in the order of `COUNTERS`; −1 as the total if it exceeds `most`.

    `machine` holds numbers in the order in which they are unpacked below, `jobs` a line per job, and `of_readers` for
    each reader: side (0 for x, 1 for w, 2 for columns, 3 for rows, 4 for raw rows), depth and jobs of its queues, units
    of a beat and of a word, bits of a word.
    """
    stationary, height, queue_depth, latency, drain_rows, burst, bus, delay = machine[:8]
    row_units, beat_units, out_depth, stages, cols, strides, tile_units, row_scales = machine[8:16]
    segment, encoding, encoded_depth = machine[16:]
    count, sides = len(jobs), len(of_readers)

    # Planner, and who has taken the plan on offer: engine, y, the images of x, w, columns, rows and raw rows, and
    # where the multipliers of raw rows and the rows themselves wait for them.
    planning, planned, counting = 0, 0, 0  # the state; the job; cycles of counting left
    has = np.zeros(4 + _SIDES, np.int64)
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
    slots = 4096
    coming = np.zeros(slots, np.int8)
    queue_inner = queue_ready = 0
    in_queue, rows_put, rows_got = np.zeros(drain_rows + 1, np.int8), 0, 0
    # The output stage.
    pipe = np.zeros(stages + 1, np.int8)
    at_column, first_row, first_tile = 0, 1, 1
    # The writer.
    y_level = y_next = 0
    gear = ending = active = at_y = began_y = 0
    y_stride = row_at = tile_at = row_last = word_ends = 0
    has_place = beats_inner = beats_ready = complete = sent = 0
    lengths = np.zeros(slots, np.int64)
    bursts_put = bursts_out = addresses_out = 0
    answers = np.zeros(slots, np.int8)  # 1 for the last burst of a job, 2 for a job that keeps its rows
    answers_put = answers_got = 0
    due = np.zeros(slots, np.int64)
    due_put = due_got = 0
    # Images.
    image_full = np.zeros(_SIDES, np.int64)
    image_job = np.zeros(_SIDES, np.int64)
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
    encoding_until = np.zeros(slots, np.int8)
    pushed = encoded = fetched = block_ready = block_out = row_out = 0
    # Readers.
    has_plane, has_ask, has_cut = np.zeros(sides, np.int64), np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    walking, plane, planes = np.zeros(sides, np.int64), np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    beats, stride = np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    bursting, offset, left = np.zeros(sides, np.int64), np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    waits, length_of = np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    offered, offered_length = np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    freed = np.zeros(sides, np.int64)
    room_of = of_readers[:, 1].copy()
    cut_queue, cut_put, cut_got = np.zeros((sides, 64), np.int64), np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    inner_of, ready_of, front_of = np.zeros(sides, np.int64), np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    held, cutting, word = np.zeros(sides, np.int64), np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    out_of = np.zeros(sides, np.int64)  # words cut, none, one or two
    words, more = np.zeros(sides, np.int64), np.zeros(sides, np.int64)
    # The read port and the memory.
    latest = chosen = ar_valid = ar_of = ar_length = ar_next_length = 0
    asked_of, asked_length = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
    asked_due = np.zeros(slots, np.int64)
    asked_put = asked_got = beat = 0

    done = now = read = 0
    busy = x_late = w_late = drain_blocked = idle = 0
    while done < count:
        if now > most:
            return np.full(7, -1)

        # The writer's gearbox: beats out, rows in.
        beat_valid = ending or gear >= beat_units
        moved = beat_valid and active and has_place
        few = gear <= beat_units
        beat_last = moved and ending and few
        finished_job = beat_last and (word_ends != 0 or y_stride == 0)
        jumps = beat_last and not finished_job
        place = tile_at + tile_units if row_last else row_at + y_stride
        rest = (0 if few else gear - beat_units) if moved else gear
        if jumps:
            rest = place % beat_units
        head = in_queue[rows_got % (drain_rows + 1)] if queue_ready else 0
        out = pipe[stages - 1] if stages else head
        none = out & _KEPT != 0
        kept = none and active != 0 and not beat_valid and has_place != 0
        ended = moved and (beat_last or at_y % burst == burst - 1)
        has_place = (
            beats_inner + beats_ready + moved < 2 * burst
            and bursts_put - addresses_out + ended < out_depth
            and answers_put - answers_got + (ended or kept) < out_depth
        )
        joins = out != 0 and not none and not ending and rest < beat_units and (active != 0 or not strides)

        # What readers have, and the output stage.
        x_valid = w_valid = c_valid = r_valid = raw_valid = True
        for i in range(sides):
            if not out_of[i]:
                if of_readers[i, 0] == 0:
                    x_valid = False
                elif of_readers[i, 0] == 1:
                    w_valid = False
                elif of_readers[i, 0] == 2:
                    c_valid = False
                elif of_readers[i, 0] == 3:
                    r_valid = False
                else:
                    raw_valid = False
        c_moves = r_moves = False
        row_taken = kept or joins
        if stages:
            moves = out == 0 or row_taken
            ends_kept = head & _KEPT != 0
            enters = head != 0 and (ends_kept or ((not first_row or c_valid) and (not first_tile or r_valid)))
            last_column = at_column == cols - 1
            row_taken = enters and moves and (last_column or ends_kept)
            c_moves = bool(enters and moves and not ends_kept and first_row)
            r_moves = bool(row_taken and not ends_kept and first_tile)

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
        by_block = jobs[job_of[0], _RAW] != 0
        x_ready = bool(x_filling) and not by_block
        w_ready = bool(there[1]) and (w_row > 0 or not full or starts) if stationary else bool(w_filling)
        x_moves, w_moves = x_valid and x_ready, w_valid and w_ready

        # The front end: a raw block out of its reader, one into the front end, a packed one into a bank.
        raw_moves = segment > 0 and raw_valid and door < _DOOR
        may_start = block_in > 0 or (rows_there and ways < _UNDER_WAY)
        enters_front = door > 0 and bool(may_start) and may_enter and multipliers > 0
        row_starts = enters_front and block_in == 0
        row_entered = enters_front and block_in == jobs[rows_job, _RAW_WORDS] - 1
        rows_entered = row_entered and row_in == jobs[rows_job, _ROWS] - 1
        leaves_front = block_ready and x_filling and by_block
        row_left = leaves_front and block_out == jobs[job_of[0], _RAW_WORDS] - 1
        raw_filled = row_left and row_out == jobs[job_of[0], _ROWS] - 1

        # Readers: who asks; beats into their queues; words out of them.
        granted, asked = -1, latest if chosen else -1
        for k in range(sides):
            i = (latest + 1 + k) % sides
            if offered[i] and not chosen:
                granted = i
                break
        push, push_last = -1, False
        if asked_got < asked_put and now >= asked_due[asked_got % slots]:
            push = asked_of[asked_got % slots]
            push_last = beat == asked_length[asked_got % slots] - 1
            read += 1

        # Jobs on their way.
        on_offer = planning == 2
        engine_ready = level.max() < queue_depth - 1
        ready_0, ready_1 = engine_ready, y_level < queue_depth
        ready_2, ready_3 = not image_full[0], not image_full[1]
        keeps = planned < count and jobs[planned, _KEEP] != 0
        passed_2, passed_3 = keeps or not stages, keeps or not row_scales
        ready_4, ready_5 = passed_2 or not image_full[2], passed_3 or not image_full[3]
        raw = planned < count and jobs[planned, _RAW] != 0
        ready_2, ready_6 = raw or ready_2, not raw or not image_full[4]
        ready_7, ready_8 = not raw or scales_level < queue_depth, not raw or rows_level < queue_depth - 1
        plan_taken = (has[0] or ready_0) and (has[1] or ready_1) and (has[2] or ready_2) and (has[3] or ready_3)
        plan_taken = plan_taken and (has[4] or ready_4) and (has[5] or ready_5) and (has[6] or ready_6)
        plan_taken = plan_taken and (has[7] or ready_7) and (has[8] or ready_8)
        to_engine = on_offer and not has[0] and ready_0
        to_y = on_offer and not has[1] and ready_1

        # ---- The edge of the clock: readers. ----
        image_held = image_full.copy()
        for side in range(_SIDES):
            image_taken = True
            for i in range(sides):
                if of_readers[i, 0] != side:
                    continue
                cut_room = cut_put[i] - cut_got[i] < of_readers[i, 2] if of_readers[i, 2] else not cutting[i]
                job_ready = (has_ask[i] or not walking[i]) and (has_cut[i] or cut_room)
                image_taken = image_taken and (has_plane[i] or job_ready)
            for i in range(sides):
                if of_readers[i, 0] != side:
                    continue
                given = image_full[side] and not has_plane[i]
                queued = of_readers[i, 2] > 0
                cut_room = cut_put[i] - cut_got[i] < of_readers[i, 2] if queued else not cutting[i]
                take_ask = given and not has_ask[i] and not walking[i]
                take_cut = given and not has_cut[i] and cut_room
                job_ready = (has_ask[i] or not walking[i]) and (has_cut[i] or cut_room)
                new = jobs[image_job[side]]
                start_cut = -1
                if queued:
                    if not cutting[i] and cut_got[i] < cut_put[i]:
                        start_cut = cut_queue[i, cut_got[i] % 64]
                        cut_got[i] += 1
                    if take_cut:
                        cut_queue[i, cut_put[i] % 64] = image_job[side]
                        cut_put[i] += 1
                elif take_cut:
                    start_cut = image_job[side]

                # Words out, beats in.
                cut = cutting[i] != 0 and held[i] >= of_readers[i, 4] and out_of[i] < 2
                finishing = c_moves if side == 2 else r_moves if side == 3 else raw_moves
                out_of[i] += cut - (x_moves if side == 0 else w_moves if side == 1 else finishing)
                drop = cut and word[i] == 1
                units = held[i]
                if cut:
                    units = 0 if drop else units - of_readers[i, 4]
                beat_out = front_of[i] > 0 and cutting[i] != 0 and units < of_readers[i, 4]
                if beat_out:
                    units += of_readers[i, 3]
                held[i] = units
                if cut:
                    word[i] -= 1
                    if drop:
                        word[i] = words[i]
                        more[i] -= 1
                        if more[i] == 0:
                            cutting[i] = 0
                if start_cut >= 0:
                    cutting[i] = 1
                    words[i] = jobs[start_cut, _X_WORDS + side]
                    word[i] = words[i]
                    more[i] = jobs[start_cut, _TILES] if side == 1 else jobs[start_cut, _ROWS] if side == 4 else 1
                leaves = ready_of[i] and front_of[i] < 2
                front_of[i] += leaves - beat_out
                inner_read = inner_of[i] > 0 and (not ready_of[i] or leaves)
                inner_of[i] += (push == i) - inner_read
                ready_of[i] = inner_read or (ready_of[i] and not leaves)

                # Asking: the burst on offer, the next one, where bursts end, where planes begin.
                room_of[i] += freed[i]
                freed[i] = leaves
                if asked == i:
                    ar_next_length = offered_length[i]
                offer = waits[i] and room_of[i] >= length_of[i] and not offered[i]
                offered[i] = offer or (offered[i] and asked != i)
                if offer:
                    offered_length[i] = length_of[i]
                    room_of[i] -= length_of[i]
                emit = bursting[i] and not waits[i]
                waits[i] = emit or (waits[i] and not offer)
                length = min(left[i], burst - offset[i])
                only = length == left[i]
                step = walking[i] and (not bursting[i] or (emit and only))
                if emit:
                    length_of[i] = length
                    left[i] -= length
                    offset[i] = 0
                bursting[i] = step or (bursting[i] and not (emit and only))
                if step:
                    offset[i], left[i] = plane[i] % burst, beats[i]
                    plane[i] += stride[i]
                    planes[i] -= 1
                    if planes[i] == 0:
                        walking[i] = 0
                if take_ask:
                    amount, address, total = new[_X_WORDS + side], new[_X + side], 0
                    for j in range(sides):
                        if of_readers[j, 0] == side:
                            here = -(-amount * of_readers[j, 5] // bus)
                            if j == i:
                                beats[i] = here
                                plane[i] = address + total
                            total += here
                    stride[i] = new[_RAW_STRIDE] if side == 4 else total
                    walking[i] = 1
                    planes[i] = new[_TILES] if side == 1 else new[_ROWS] if side == 4 else 1
                has_ask[i] = given and not job_ready and (has_ask[i] or take_ask)
                has_cut[i] = given and not job_ready and (has_cut[i] or take_cut)
                has_plane[i] = image_full[side] and not image_taken and (has_plane[i] or job_ready)
            if image_taken:
                image_full[side] = 0
            passed = (side == 2 and passed_2) or (side == 3 and passed_3)
            passed = passed or (side == 0 and raw) or (side == 4 and not raw)
            if on_offer and not has[2 + side] and not image_held[side] and not passed:
                image_full[side] = 1
                image_job[side] = planned

        # ---- The read port and the memory. ----
        if push >= 0:
            beat += 1
            if push_last:
                beat = 0
                asked_got += 1
        if ar_valid:
            asked_of[asked_put % slots], asked_length[asked_put % slots] = ar_of, ar_length
            asked_due[asked_put % slots] = now + 1 + delay
            asked_put += 1
        ar_valid = asked >= 0
        if ar_valid:
            ar_of, ar_length = asked, ar_next_length
        chosen = granted >= 0
        if chosen:
            latest = granted

        # ---- The writer. ----
        begins = y_level > 0 and not active
        wrote = beats_ready and complete > 0
        wrote_last = wrote and sent == lengths[bursts_out % slots] - 1
        answer = answers[answers_got % slots] if answers_got < answers_put else 0
        if answer == 2 or (due_got < due_put and now >= due[due_got % slots]):
            due_got += answer != 2
            done += answer != 0
            answers_got += 1
        if addresses_out < bursts_put:
            addresses_out += 1
        if wrote:
            sent += 1
            if wrote_last:
                sent = 0
                bursts_out += 1
                complete -= 1
                due[due_put % slots] = now + 1 + delay
                due_put += 1
        if ended:
            lengths[bursts_put % slots] = at_y - began_y + 1
            answers[answers_put % slots] = finished_job
            answers_put += 1
            bursts_put += 1
            complete += 1
            began_y = at_y + 1
        if moved:
            at_y += 1
        if jumps:
            at_y = began_y = place // beat_units
            row_at = place
            if row_last:
                tile_at = place
        inner_read = beats_inner > 0 and (not beats_ready or wrote)
        beats_inner += moved - inner_read
        if inner_read:
            beats_ready = 1
        elif wrote:
            beats_ready = 0
        gear = rest + (row_units if joins else 0)
        if beat_last:
            ending = 0
        if finished_job:
            active = 0
        if kept:
            active = 0
            answers[answers_put % slots] = 2
            answers_put += 1
        if joins:
            word_ends, row_last = out & _END, out & _LAST
            ending = (out & _STOP if y_stride else word_ends) != 0
        if begins:
            active = 1
            y_stride = jobs[y_next, _STRIDE]
            at_y = began_y = jobs[y_next, _Y]
            row_at = tile_at = at_y * beat_units
            y_next += 1
        y_level += to_y - begins

        # ---- The output stage and the output queue. ----
        if stages and moves:
            for i in range(stages - 1, 0, -1):
                pipe[i] = pipe[i - 1]
            pipe[0] = 0
            if enters:
                pipe[0] = head if last_column or head & _KEPT else _PRESENT
                if head & _KEPT == 0:
                    at_column = 0 if last_column else at_column + 1
                    if last_column:
                        first_row = head & _LAST != 0
                        if first_row:
                            first_tile = head & _END != 0
        came_out = coming[now % slots]
        coming[now % slots] = 0
        given_back = came_out & _KEPT != 0 and came_out & _END == 0
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
                tail = jobs[job, _ROWS] - (jobs[job, _UNITS] - 1) * height
                finished = tail if last_middle else height
            for r in range(finished):
                last = r == finished - 1 and (last_inner if stationary else last_middle)
                flags = _PRESENT + _STOP + _LAST * last + _END * (last and last_tiles) + _KEPT * jobs[job, _KEEP]
                coming[(now + latency - 2 + r) % slots] = flags
        has_room = room >= unseen + (1 if stationary else height)
        room += row_taken + given_back - set_aside
        set_aside = finished
        next_job = job if there[2] and not (go and job_ends) else job + 1
        if not stationary:
            gap = 0
            if next_job < count:
                gap = max(0, height - jobs[next_job, _STEPS] * jobs[next_job, _PASSES])
            later = since if since == height else since + 1
            congested = (finish and gap > 0) if go else (first and later < gap)
            since = 0 if go and finish else later
            if go:
                first = finish
        elif go:
            first = last_digits and last_inner

        # ---- The front end: its queue; butterflies, the farthest first; rows that enter; their multipliers. ----
        if segment:
            to_scales = on_offer and raw and not has[7] and ready_7
            to_rows = on_offer and raw and not has[8] and ready_8
            moves_up = fetched and (leaves_front or not block_ready)
            fetch = encoded > 0 and (moves_up or not fetched)
            encoded += pushed - fetch
            fetched = fetch or (fetched and not moves_up)
            block_ready = moves_up or (block_ready and not leaves_front)
            pushed = encoding_until[now % slots]
            encoding_until[now % slots] = 0
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
                encoding_until[(now + encoding) % slots] = 1
                inside[distances, now % 8] = 0
            inside[0, (now + 2) % 8] = enters_front

            if row_left:
                row_out = 0 if raw_filled else row_out + 1
            if leaves_front:
                block_out = 0 if row_left else block_out + 1
            if row_entered:
                row_in = 0 if rows_entered else row_in + 1
            if enters_front:
                block_in = 0 if row_entered else block_in + 1
            ways += row_starts - row_left
            may_enter = encoded_room > 1
            encoded_room += leaves_front - enters_front
            door += raw_moves - enters_front
            moves_on = not rows_there or rows_entered
            pops = moves_on and rows_level > 0
            if pops:
                rows_job = next_raw(jobs, rows_job)
            if moves_on:
                rows_there = pops
            rows_level += to_rows - pops
            scaled = scales_left > 0 and multipliers < _GIVEN
            multipliers += scaled - row_entered
            if scales_left > 0:
                scales_left -= scaled
            elif scales_level > 0:
                scales_level -= 1
                scales_job = next_raw(jobs, scales_job)
                scales_left = jobs[scales_job, _ROWS]
            scales_level += to_scales

        # ---- Banks, the cells' weights, and the loops of the followers. ----
        loaded = w_moves and (not stationary or w_row == height - 1)
        ends_x = raw_filled if by_block else x_moves and x_left == 1
        ends_w = loaded and w_steps == 1 and w_tiles == 1
        x_filled, x_done = ends_x, go and job_ends
        w_filled, w_done = w_moves and w_steps == 1, go and tile_ends
        if stationary:
            if w_moves:
                w_row = 0 if w_row == height - 1 else w_row + 1
            full = loaded or (full and not starts)
        if x_moves:
            x_left -= 1
        if loaded:
            w_steps -= 1
            if w_steps == 0:
                w_steps = jobs[job_of[1], _STEPS]
                w_tiles -= 1
        if go:
            digits -= 1
            if digits == 0:
                digits = jobs[job, _PASSES]
                inner -= 1
                if inner == 0:
                    inner = jobs[job, _UNITS] if stationary else jobs[job, _STEPS]
                    middle -= 1
                    if middle == 0:
                        middle = jobs[job, _STEPS] if stationary else jobs[job, _UNITS]
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
            level[follower] += to_engine - pops
            if pops:
                job_of[follower] += 1
                came = jobs[job_of[follower]]
                if follower == 0:
                    x_left = came[_X_WORDS]
                elif follower == 1:
                    w_steps, w_tiles = came[_STEPS], came[_TILES]
                else:
                    digits, tiles = came[_PASSES], came[_TILES]
                    inner = came[_UNITS] if stationary else came[_STEPS]
                    middle = came[_STEPS] if stationary else came[_UNITS]
        both = int((x_both or (x_reading and x_filled)) and not x_done)
        x_reading = int(x_both or x_filled or (x_reading and not x_done))
        x_both, x_filling = both, int(there[0] and not both)
        both = int((w_both or (w_reading and w_filled)) and not w_done)
        w_reading = int(w_both or w_filled or (w_reading and not w_done))
        w_both, w_filling = both, int(there[1] and not both)

        # ---- The planner. ----
        if on_offer:
            has[0] = not plan_taken and (has[0] or ready_0)
            has[1] = not plan_taken and (has[1] or ready_1)
            has[2] = not plan_taken and (has[2] or ready_2)
            has[3] = not plan_taken and (has[3] or ready_3)
            has[4] = not plan_taken and (has[4] or ready_4)
            has[5] = not plan_taken and (has[5] or ready_5)
            has[6] = not plan_taken and (has[6] or ready_6)
            has[7] = not plan_taken and (has[7] or ready_7)
            has[8] = not plan_taken and (has[8] or ready_8)
            if plan_taken:
                planning = 0
                planned += 1
        elif planning == 1:
            counting -= 1
            if counting == 0:
                planning = 2
        elif planned < count and now >= jobs[planned, _OFFERED]:
            planning, counting = 1, jobs[planned, _UNITS]
        now += 1
    return np.array([now, read, busy, x_late, w_late, drain_blocked, idle])


@njit(cache=True)  # type: ignore[untyped-decorator]
def next_raw(jobs: Any, job: int) -> int:  # pragma: no cover
    """The next one of raw rows after a job; there is one."""
    job += 1
    while not jobs[job, _RAW]:
        job += 1
    return job

"""The masters of the memory port, for the loop of `sim.models.bus_loop`: a cycle of those who read, and of who writes.

Who reads are the readers, each of which fetches planes and cuts words out of them (`hw.axi.read`), and the port that
they share, with the memory behind it. Who writes turns rows of results into beats and bursts (`hw.axi.write`).
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

MADE_OF = sha256(Path(__file__).read_bytes()).hexdigest()
"""Of this file. Compiled code is kept from run to run, and made again when its own file changes; what calls this one's
takes this as an argument, and so is made again when this file changes as well."""

SIDES = 5
X, W, C, R, RAW = range(SIDES)
"""What is read: activations, weights, columns, rows, raw rows."""

PRESENT, END, KEPT, LAST, STOP = 1, 2, 4, 8, 16
"""What a row is, from the array to the writer."""

SLOTS, CUTS = 4096, 64
"""Places of queues that are never full; what was put and got is counted, and is at its number modulo these."""


def _layout(names: str, **arrays: int) -> np.dtype[np.void]:
    """Registers, and arrays of so many."""
    fields: list[Any] = [(name, np.int64) for name in names.split()]
    return np.dtype(fields + [(name, np.int64, size) for name, size in arrays.items()])


JOB = _layout(
    "rows tiles steps passes units y keep stride raw raw_stride out offered", planes=SIDES, words=SIDES, at=SIDES
)
"""A job. Of each side it reads so many planes of so many words, from a place on; it writes from `y` on. Places, and the
stride of raw rows, are in beats, that of results in the writer's units."""

READER = _layout(
    "side jobs beat word bits "  # jobs that it queues, 0 for no queue; units of a beat and of a word; bits of a word
    "has_plane has_ask has_cut "  # what it has taken of the plan on offer
    "walking plane planes beats stride bursting offset left waits length offered offered_length room freed "
    "cut_put cut_got inner ready front held cutting words left_of_plane more out",  # out: words cut, none, one or two
    cuts=CUTS,
)
"""A reader; `room` is what its queue has places for that was not asked for, at first all of it."""

PORT = _layout(
    "burst bus delay "  # beats of a burst, bits of a beat, cycles to the memory and back
    "latest chosen valid reader length put got beat read",
    full=SIDES,
    job=SIDES,
    asked_by=SLOTS,
    asked=SLOTS,
    due=SLOTS,
)
"""The read port; the plan on offer to the readers of each side; and bursts that were asked for and have not come."""

WRITER = _layout(
    "burst delay row beat tile places strides "  # units of a row, of a beat and of a row of tiles; bursts under way
    "level next gear ending active coded at began stride row_at tile_at row_last word_ends has_place inner ready "
    "complete sent bursts_put bursts_out addresses_out answers_put answers_got due_put due_got done",
    lengths=SLOTS,
    answers=SLOTS,  # 1 for the last burst of a job, 2 for a job that keeps its rows
    due=SLOTS,
)
"""Who writes, the jobs whose results it writes, and the memory's answers."""


def begin(layout: np.dtype[np.void], **registers: Any) -> np.void:
    """Registers as they are at first: zeros, but for those given."""
    made: np.void = np.zeros(1, layout)[0]
    for name, value in registers.items():
        made[name] = value
    return made


@njit  # type: ignore[untyped-decorator]
def has_words(readers: Any, there: Any) -> None:  # pragma: no cover
    """Fills in of which sides there is a word."""
    there[:] = True
    for i in range(len(readers)):
        if not readers[i].out:
            there[readers[i].side] = False


@njit  # type: ignore[untyped-decorator]
def read(
    port: Any, readers: Any, jobs: Any, moves: Any, takes: Any, planned: int, now: int
) -> None:  # pragma: no cover
    """A cycle of readers, port and memory.

    Parameters
    ----------
    port, readers, jobs : records
    moves : bool, by side
        Whose word is taken.
    takes : bool, by side
        Whose readers are offered a plan, that of job `planned`.
    """
    asking = port.latest if port.chosen else -1
    granted = -1
    for k in range(len(readers)):
        i = (port.latest + 1 + k) % len(readers)
        if readers[i].offered and not port.chosen:
            granted = i
            break
    slot, comes, last = port.got % SLOTS, -1, False
    if port.got < port.put and now >= port.due[slot]:
        comes, last = port.asked_by[slot], port.beat == port.asked[slot] - 1
        port.read += 1

    length = 0
    for side in range(SIDES):
        full, new = port.full[side], jobs[port.job[side]]
        taken, total = True, 0  # by all of the side's readers; beats of a plane of each
        for i in range(len(readers)):
            if readers[i].side == side:
                taken = taken and (readers[i].has_plane or _can_take(readers[i]))
                total += _beats(readers[i], new, port.bus)
        place = new.at[side]
        for i in range(len(readers)):
            reader = readers[i]
            if reader.side != side:
                continue
            given, can_take = full and not reader.has_plane, _can_take(reader)
            take_ask = given and not reader.has_ask and not reader.walking
            take_cut = given and not reader.has_cut and _can_cut(reader)
            _cut(reader, jobs, port.job[side] if take_cut else -1, moves[side], i == comes)
            if i == asking:
                length = reader.offered_length
            _ask(reader, i == asking, port.burst)
            if take_ask:
                reader.walking, reader.planes, reader.plane = 1, new.planes[side], place
                reader.beats = _beats(reader, new, port.bus)
                reader.stride = new.raw_stride if side == RAW else total
            place += _beats(reader, new, port.bus)
            reader.has_ask = given and not can_take and (reader.has_ask or take_ask)
            reader.has_cut = given and not can_take and (reader.has_cut or take_cut)
            reader.has_plane = full and not taken and (reader.has_plane or can_take)
        if taken:
            port.full[side] = 0
        if takes[side]:
            port.full[side], port.job[side] = 1, planned

    if comes >= 0:
        port.beat = 0 if last else port.beat + 1
        port.got += last
    if port.valid:
        slot = port.put % SLOTS
        port.asked_by[slot], port.asked[slot], port.due[slot] = port.reader, port.length, now + 1 + port.delay
        port.put += 1
    port.valid, port.reader, port.length = asking >= 0, asking, length
    port.chosen = granted >= 0
    if port.chosen:
        port.latest = granted


@njit  # type: ignore[untyped-decorator]
def _beats(reader: Any, job: Any, bus: int) -> int:  # pragma: no cover
    """Of a plane of a job."""
    return -(-job.words[reader.side] * reader.bits // bus)


@njit  # type: ignore[untyped-decorator]
def _can_cut(reader: Any) -> bool:  # pragma: no cover
    """Whether it can be told of words to cut."""
    return reader.cut_put - reader.cut_got < reader.jobs if reader.jobs else not reader.cutting


@njit  # type: ignore[untyped-decorator]
def _can_take(reader: Any) -> bool:  # pragma: no cover
    """Whether it takes what is left of a plan that it is offered."""
    return (reader.has_ask or not reader.walking) and (reader.has_cut or _can_cut(reader))


@njit  # type: ignore[untyped-decorator]
def _cut(reader: Any, jobs: Any, new: int, moves: bool, comes: bool) -> None:  # pragma: no cover
    """Words out, beats in; the words of job `new`, if there is one, are to be cut as well."""
    if reader.jobs:
        start = -1
        if not reader.cutting and reader.cut_got < reader.cut_put:
            start = reader.cuts[reader.cut_got % CUTS]
            reader.cut_got += 1
        if new >= 0:
            reader.cuts[reader.cut_put % CUTS] = new
            reader.cut_put += 1
    else:
        start = new

    cut = reader.cutting and reader.held >= reader.word and reader.out < 2
    drops = cut and reader.left_of_plane == 1
    reader.out += cut - moves
    if cut:
        reader.held = 0 if drops else reader.held - reader.word
        reader.left_of_plane -= 1
    beat_out = reader.front > 0 and reader.cutting and reader.held < reader.word
    if beat_out:
        reader.held += reader.beat
    if drops:
        reader.left_of_plane = reader.words
        reader.more -= 1
        reader.cutting = reader.more > 0
    if start >= 0:
        reader.cutting, reader.more = 1, jobs[start].planes[reader.side]
        reader.words = reader.left_of_plane = jobs[start].words[reader.side]

    leaves = reader.ready and reader.front < 2
    reader.front += leaves - beat_out
    inner_read = reader.inner > 0 and (not reader.ready or leaves)
    reader.inner += comes - inner_read
    reader.ready = inner_read or (reader.ready and not leaves)
    reader.room += reader.freed
    reader.freed = leaves


@njit  # type: ignore[untyped-decorator]
def _ask(reader: Any, asked: bool, burst: int) -> None:  # pragma: no cover
    """The burst on offer, the next one, where bursts end, where planes begin."""
    offer = reader.waits and reader.room >= reader.length and not reader.offered
    reader.offered = offer or (reader.offered and not asked)
    if offer:
        reader.offered_length = reader.length
        reader.room -= reader.length
    emit = reader.bursting and not reader.waits
    reader.waits = emit or (reader.waits and not offer)
    length = min(reader.left, burst - reader.offset)
    ends = emit and length == reader.left
    step = reader.walking and (not reader.bursting or ends)
    if emit:
        reader.length = length
        reader.left -= length
        reader.offset = 0
    reader.bursting = step or (reader.bursting and not ends)
    if step:
        reader.offset, reader.left = reader.plane % burst, reader.beats
        reader.plane += reader.stride
        reader.planes -= 1
        reader.walking = reader.planes > 0


@njit  # type: ignore[untyped-decorator]
def write(
    writer: Any, jobs: Any, row: int, codes: int, job: bool, now: int
) -> tuple[bool, bool, bool]:  # pragma: no cover
    """A cycle of who writes, who is offered a row and a beat of codes, 0 for none, and given another job or not.

    Returns
    -------
    kept : bool
        Whether it takes the end of a job that keeps its rows.
    joins : bool
        Whether it takes a row.
    copies : bool
        Whether it takes a beat of codes.
    """
    # Beats out, rows in.
    of_rows = writer.active and not writer.coded
    beat_valid = writer.ending or writer.gear >= writer.beat
    shifts = beat_valid and of_rows and writer.has_place
    copies = codes != 0 and writer.active and writer.coded and writer.has_place
    moved = shifts or copies
    few = writer.gear <= writer.beat
    word_last = shifts and writer.ending and few
    beat_last = word_last or (copies and codes & END != 0)
    finished = beat_last and (writer.word_ends > 0 or writer.stride == 0)
    jumps = beat_last and not finished
    place = writer.tile_at + writer.tile if writer.row_last else writer.row_at + writer.stride
    rest = writer.gear
    if shifts:
        rest = 0 if few else rest - writer.beat
    if jumps:
        rest = place % writer.beat
    none = row & KEPT != 0
    kept = none and of_rows and not beat_valid and writer.has_place
    ended = moved and (beat_last or writer.at % writer.burst == writer.burst - 1)
    writer.has_place = (
        writer.inner + writer.ready + moved < 2 * writer.burst
        and writer.bursts_put - writer.addresses_out + ended < writer.places
        and writer.answers_put - writer.answers_got + (ended or kept) < writer.places
    )
    joins = row and not none and not writer.ending and rest < writer.beat and (of_rows or not writer.strides)

    # Bursts out, answers in.
    wrote = writer.ready and writer.complete > 0
    wrote_last = wrote and writer.sent == writer.lengths[writer.bursts_out % SLOTS] - 1
    answer = writer.answers[writer.answers_got % SLOTS] if writer.answers_got < writer.answers_put else 0
    if answer == 2 or (writer.due_got < writer.due_put and now >= writer.due[writer.due_got % SLOTS]):
        writer.due_got += answer != 2
        writer.done += answer != 0
        writer.answers_got += 1
    if writer.addresses_out < writer.bursts_put:
        writer.addresses_out += 1
    if wrote:
        writer.sent += 1
        if wrote_last:
            writer.sent = 0
            writer.bursts_out += 1
            writer.complete -= 1
            writer.due[writer.due_put % SLOTS] = now + 1 + writer.delay
            writer.due_put += 1
    if ended:
        writer.lengths[writer.bursts_put % SLOTS] = writer.at - writer.began + 1
        writer.answers[writer.answers_put % SLOTS] = finished
        writer.answers_put += 1
        writer.bursts_put += 1
        writer.complete += 1
        writer.began = writer.at + 1
    if kept:
        writer.answers[writer.answers_put % SLOTS] = 2
        writer.answers_put += 1
    writer.at += moved
    if jumps:
        writer.at = writer.began = place // writer.beat
        writer.row_at = place
        if writer.row_last:
            writer.tile_at = place
    inner_read = writer.inner > 0 and (not writer.ready or wrote)
    writer.inner += moved - inner_read
    writer.ready = inner_read or (writer.ready and not wrote)
    writer.gear = rest + (writer.row if joins else 0)
    if word_last:
        writer.ending = 0
    if joins:
        writer.word_ends, writer.row_last = row & END, row & LAST
        writer.ending = row & (STOP if writer.stride else END)
    begins = writer.level > 0 and not writer.active
    if finished or kept:
        writer.active = 0
    if begins:
        writer.active, writer.coded = 1, jobs[writer.next].out
        writer.stride = 0 if writer.coded else jobs[writer.next].stride
        writer.at = writer.began = jobs[writer.next].y
        writer.row_at = writer.tile_at = writer.at * writer.beat
        writer.next += 1
    writer.level += job - begins
    return bool(kept), bool(joins), bool(copies)

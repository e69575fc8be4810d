"""The board behind its line: commands and frames, whole and harmed, jobs, resets, with pauses both ways."""

import cocotb
from cocotb.handle import HierarchyObject

from fpga.benches.faults import HARMED, job, numbers, orders, refused
from fpga.benches.inside.board import BoardBench
from fpga.gateware.runner import LEAST_PATIENCE
from fpga.host.mutilator import Mutilator
from fpga.host.reference import FUZZED
from fpga.link import BUFFER_BYTES, CRC_BYTES, END, ESC, HEADER_BYTES, MAX_PAYLOAD, Frame, Kind, Status, delimited
from sim.benches.inside.checks import same
from sim.benches.inside.signals import PAUSES
from sim.benches.inside.streams import watch_independence

END_OF_A_JOB = 1
"""Cycles of a job beside those in which nothing has moved, if nothing does."""

EARLIER = 14
"""Cycles from the first one of a job to where one before it would be given up."""

CYCLES = {(1, 1, 1): 46, (1, 5, 8): 227, (2, 4, 6): 177, (3, 3, 4): 129, (4, 7, 1): 104, (8, 5, 1): 145}
"""Of jobs of so many rows, tiles and steps, on the small board of one cell; in the first ones the weights are waited
for, in the last ones the results."""

OUTSIDE = 49
"""Of one of two rows and five tiles whose first result is the last that there is room for."""


@cocotb.test
@cocotb.parametrize((("idle", "stall"), [*zip(PAUSES, PAUSES, strict=True), ("never", "bursts"), ("bursts", "never")]))
async def mutilated_commands(dut: HierarchyObject, idle: str, stall: str) -> None:
    """Commands of all kinds, two of three harmed on the way: only what is whole is carried out, and once."""
    bench = BoardBench(dut, idle, stall)
    await bench.start()
    await bench.begin(int(bench.rng.integers(256)))
    await bench.fill()
    mutilator = Mutilator(bench.reference, bench.rng)
    for _ in range(bench.blocks):
        await bench.said(mutilator.next())
    await bench.said(bytes((END,)))
    await bench.settle()
    await bench.done()


@cocotb.test
async def every_error_has_its_code(dut: HierarchyObject) -> None:
    """Before the first RESET and after it, every command with what may be wrong about it; and nothing is counted."""
    bench = BoardBench(dut)
    design = bench.design
    await bench.start()
    await bench.ask(Kind.IDENTIFY, 3, b"", Status.OK)
    await bench.ask(Kind.RESET, 3, b"x", Status.LENGTH)
    for kind, payload in orders(bench.memory):
        await bench.ask(kind, 0, payload, Status.NEW)
        await bench.ask(kind, 0, payload + b"x", Status.LENGTH)
    await bench.begin()
    for wrong in refused(design, bench.memory):
        await bench.ask(wrong.kind, wrong.number, wrong.payload, wrong.status)
    for payload in (
        job(1, 1, 1, 0, 0, 0, int8=1),
        job(1, 1, design.w_depth + 1, 0, 0, 0),
        job(design.panel_rows, 1, design.x_depth // design.panel_rows + 1, 0, 0, 0),
    ):
        await bench.ask(Kind.RUN, 0, payload, Status.REFUSED)
    # What failed was not counted: the number is still the first.
    await bench.fill()
    await bench.done()


@cocotb.test
async def harmed_frames(dut: HierarchyObject) -> None:
    """What is no frame is complained of, with the reason; the next frame is understood."""
    bench = BoardBench(dut, stall="random")
    await bench.start()
    await bench.begin()
    await bench.fill()
    for piece, status in HARMED:
        bench.say(piece)
        bench.complained(await bench.settle(), [status] if status else [])
        await bench.ask(Kind.READ, 4, numbers(4, 1, 7), Status.OK)
    await bench.ask(0x55, 1, bytes(MAX_PAYLOAD), Status.KIND)
    await bench.done()


@cocotb.test
async def orders_are_carried_out_once(dut: HierarchyObject) -> None:
    """The number runs around; one that comes again is answered and does nothing; RESET sets it anew."""
    bench = BoardBench(dut)
    await bench.start()
    await bench.begin(253)
    await bench.fill()
    old, new = (numbers(4, 9) + bytes((i,)) * bench.memory.bytes for i in (1, 2))
    number = bench.reference.expected
    await bench.order(Kind.WRITE, old)
    await bench.order(Kind.WRITE, new)
    await bench.order(Kind.RUN, job(2, 1, 1, 0, 30, 60))
    for kind, payload in ((Kind.WRITE, old), (Kind.RUN, job(2, 1, 1, 0, 30, 90))):
        await bench.ask(kind, number, payload, Status.SEQUENCE)
    await bench.ask(Kind.READ, 0, numbers(4, 1, 9), Status.OK)
    await bench.begin((number - 1) % 256)
    await bench.ask(Kind.WRITE, number, old, Status.OK)
    await bench.done()


@cocotb.test
@cocotb.parametrize(beyond=(0, 1, 40))
async def full_buffer(dut: HierarchyObject, beyond: int) -> None:
    """Nobody takes replies: frames wait until the buffer is full to the last byte; with more, one is lost."""
    bench = BoardBench(dut)
    await bench.start()
    bench.sink.blocked = True
    bench.say(Frame(Kind.IDENTIFY, 1).encode())
    await bench.cycles(100)
    left, number = BUFFER_BYTES, 2
    while left > 300:
        bench.say(Frame(0x60, number, bench.rng.bytes(250 - HEADER_BYTES)).encode())
        left, number = left - 250, number + 1
    last = Frame(0x61, number, bytes(left - HEADER_BYTES - CRC_BYTES + beyond)).encode()
    bench.say_in_vain(last) if beyond else bench.say(last)
    while bench.source.waiting:
        await bench.edge
    await bench.cycles(20)
    bench.sink.blocked = False
    bench.reference.damaged = int(beyond > 0)
    bench.complained(await bench.settle(), [Status.OVERRUN] * (beyond > 0))
    await bench.begin()
    await bench.fill()
    await bench.done()


@cocotb.test
async def patient_consumer(dut: HierarchyObject) -> None:
    """valid comes without ready, and neither it nor the payload depends on ready."""
    bench = BoardBench(dut, "random", patient=True)
    cocotb.start_soon(watch_independence(bench, bench.streams["tx"]))
    await bench.start()
    await bench.ask(Kind.IDENTIFY, 1, b"", Status.OK)
    await bench.begin()
    await bench.order(Kind.WRITE, numbers(4, 1) + bytes((END, ESC)) * bench.memory.bytes)
    await bench.ask(Kind.READ, 4, numbers(4, 2, 1), Status.OK)
    await bench.settle()
    bench.finish()


@cocotb.test
@cocotb.parametrize(pause=("never", "random"))
async def reset_midway(dut: HierarchyObject, pause: str) -> None:
    """After a reset at any moment the board is as it was at first, but for its memory."""
    bench = BoardBench(dut, pause, pause)
    await bench.start()
    for i in range(min(2 * bench.blocks, 200)):
        bench.say(Frame(Kind.RESET, 7).encode())
        bench.say(Frame(Kind.WRITE, 8, numbers(4, 0) + bench.rng.bytes(60)).encode())
        first = 0 if i % 2 else bench.memory.words - 1  # where nothing of the second block is: that one stands still
        bench.say(Frame(Kind.RUN, 9, job(4, 2, 1, first, 40, 99)).encode())
        bench.say(Frame(Kind.READ, 9, numbers(4, 20, 0)).encode()[:-1])
        await bench.cycles(int(bench.rng.integers(1, 500)))
        if i % 4 == 0:
            bench.say((bytes((END, 1, ESC)), bytes((END, 1, ESC, 2, 3)), delimited(bytes(1100))[:-1])[i // 4 % 3])
            while bench.source.waiting:
                await bench.edge
        await bench.reset()
        word = numbers(4, i) + bytes((END, ESC))
        # The first frame comes without an END before it: nothing of an earlier one is left.
        bench.say(Frame(Kind.WRITE, 0, word).encode()[1:])
        await bench.begin(i)
        await bench.order(Kind.WRITE, word)
        await bench.ask(Kind.READ, 4, numbers(4, 1, i), Status.OK)
        await bench.order(Kind.WRITE, numbers(4, 0) + bench.rng.bytes(bench.reference.block_words * bench.memory.bytes))
        await bench.order(Kind.RUN, job(1, 1, 1, 0, 0, 99))
        await bench.ask(Kind.READ, 5, numbers(4, 2, 99), Status.OK)
        bench.complained(await bench.settle(), [])
    await bench.fill()
    await bench.order(Kind.RUN, job(4, 2, 1, 0, 40, 99))
    await bench.settle()
    kept = bench.reference.memory
    await bench.reset()
    bench.reference.memory = kept
    await bench.begin()
    await bench.done()


@cocotb.test
async def reset_of_a_full_buffer(dut: HierarchyObject) -> None:
    """And after a reset when more has come than there is room for, in the middle of a frame."""
    bench = BoardBench(dut)
    await bench.start()
    bench.sink.blocked = True
    bench.say_in_vain(Frame(Kind.IDENTIFY, 1).encode())
    bench.say_in_vain((3 * Frame(0x61, 2, bytes(MAX_PAYLOAD)).encode())[:-1])
    while bench.source.waiting:
        await bench.edge
    await bench.reset()
    bench.sink.blocked = False
    bench.say(Frame(Kind.RESET, 255).encode()[1:])
    bench.complained(await bench.settle(), [])
    await bench.fill()
    await bench.done()


@cocotb.test
@cocotb.parametrize(pause=("never", "bursts"))
async def jobs(dut: HierarchyObject, pause: str) -> None:
    """Jobs of all shapes, at all ends of the memory; those that come to nothing, and one after each."""
    bench = BoardBench(dut, pause, pause)
    design, words, block = bench.design, bench.memory.words, bench.reference.block_words
    most = min(design.panel_rows, 8)
    row = 32 // bench.memory.bits
    await bench.start()
    await bench.begin()
    await bench.fill()
    await bench.order(Kind.RUN, job(1, 1, 1, 0, words - block, words - block - row))
    await bench.order(Kind.RUN, job(most, 2, 3, words - 3 * most * block, 0, 6 * block))
    await bench.order(Kind.RUN, job(most, 2, 2, 0, words - 4 * block, words - 4 * block - 2 * most * row))
    await bench.order(Kind.RUN, job(2, 3, 4, 0, 8 * block, words - 6 * row))
    # More tiles than the accelerator has banks for: weights wait.
    weights = 3 * most * block
    await bench.order(Kind.RUN, job(most, 5, 3, 0, weights, weights + 15 * block))
    for y in (words - 1, words - 3 * row):
        await bench.order(Kind.RUN, job(2, 5, 1, 0, 2 * block, y), Status.STUCK)
        await bench.order(Kind.RUN, job(3, 2, 2, 0, 6 * block, 20 * block))
    await bench.done()


@cocotb.test
async def jobs_that_stand_still(dut: HierarchyObject) -> None:
    """Operands that are not in memory never come: the job is given up, and the next one is right."""
    bench = BoardBench(dut)
    words, block = bench.memory.words, bench.reference.block_words
    await bench.start()
    await bench.begin()
    await bench.fill()
    for x, w in ((words - 1, words - 1), (0, words - block - 1)):
        await bench.order(Kind.RUN, job(2, 2, 1, x, w, 99), Status.STUCK)
        await bench.settle()
        if x:
            same("cycles of a job that nothing comes to", LEAST_PATIENCE + END_OF_A_JOB, bench.spent, 32)
        said = bench.cycle
        await bench.order(Kind.RUN, job(3, 2, 2, 0, 6 * block, 20 * block))
        await bench.settle()
        late = bench.busy_from - said
    # A job that begins when, had the last one gone on, it would be given up.
    await bench.cycles(bench.busy_to + LEAST_PATIENCE - EARLIER - late - bench.cycle)
    await bench.order(Kind.RUN, job(3, 2, 2, 0, 6 * block, 20 * block))
    await bench.done()


@cocotb.test
async def how_long_jobs_take(dut: HierarchyObject) -> None:
    """A block of three words is there four cycles after the one before it, a result of two words is written in two; on
    the small board of one cell, whose cycles are counted."""
    bench = BoardBench(dut)
    await bench.start()
    await bench.begin()
    await bench.fill()
    for shape, due in CYCLES.items():
        await bench.order(Kind.RUN, job(*shape, 0, 0, bench.memory.words - 2 * shape[0] * shape[1]))
        await bench.settle()
        if bench.design == FUZZED.design:
            same(f"cycles of rows, tiles, steps {shape}", due, bench.spent, 32)
    await bench.order(Kind.RUN, job(2, 5, 1, 0, 0, bench.memory.words - 1), Status.STUCK)
    await bench.settle()
    if bench.design == FUZZED.design:
        same("cycles of a job with results outside memory", OUTSIDE, bench.spent, 32)
    await bench.done()

"""The memory port's ring of descriptors, its interrupt that waits, jobs that are given up, and its idle output, under a
clock that stops when that output says so: what it does not know of stands still for ever."""

import cocotb
from cocotb.handle import HierarchyObject

from hw.axi.backlog import Backlog
from hw.axi.map import descriptor_layout
from sim.benches.inside.axi_control import BYTES, MANY, MOST, NUMBERS, SETTLING, ControlBench
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.signals import PAUSES

FETCHED = 40
"""Cycles in which a descriptor that was written is fetched and its job refused, with a memory that answers at once."""

TOLD = 4
"""Cycles from the last response to a job to the interrupt that tells of it, beside those that it waits."""


@cocotb.test
async def registers(dut: HierarchyObject) -> None:
    """Every register."""
    bench = ControlBench(dut, "random")
    await bench.start()
    await bench.check_registers()
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def random_jobs(dut: HierarchyObject, stall: str) -> None:
    """Jobs through the ring, many at a time."""
    bench = ControlBench(dut, stall)
    await bench.start()
    await bench.run_descriptors(bench.blocks)
    bench.finish()


@cocotb.test
async def large_jobs(dut: HierarchyObject) -> None:
    """Jobs that fill the memory banks."""
    bench = ControlBench(dut, "random")
    await bench.start()
    await bench.run_descriptors(3, large=True)
    bench.finish()


@cocotb.test
@cocotb.parametrize(latency=(50, 500))
async def slow_memory(dut: HierarchyObject, latency: int) -> None:
    """Any burst is answered as late as it likes, up to so many cycles; reads of different IDs in any order."""
    bench = ControlBench(dut, "random")
    await bench.start()
    bench.reads.latency = bench.writes.latency = latency
    await bench.run_descriptors(bench.blocks)
    bench.finish()


@cocotb.test
async def patient_memory(dut: HierarchyObject) -> None:
    """No valid waits for ready, and nothing on a channel depends on its own ready."""
    bench = ControlBench(dut, "random", independent=True)
    await bench.start()
    await bench.run_descriptors(max(2, bench.blocks // 5))
    bench.finish()


@cocotb.test
async def doorbells_beside(dut: HierarchyObject) -> None:
    """Jobs by registers while there are jobs in the ring: whatever has no room is told of, and all others run."""
    bench = ControlBench(dut)
    await bench.start()
    for _ in range(max(2, bench.blocks // 10)):
        before, jobs = await bench.driver.value("jobs_done"), bench.random_jobs(1 << MOST)
        await bench.open_ring(MOST)
        bench.reads.ar_channel.pause = bench.rng.random() < 0.5
        await bench.post([bench.descriptor(job, addresses) for job, addresses in jobs])
        await bench.cycles(int(bench.rng.integers(100)))
        bench.reads.ar_channel.pause = True
        full = False
        while not full:
            ((job, addresses),) = bench.random_jobs(1)
            await bench.describe(job, addresses)
            await bench.driver.write("doorbell", go=1)
            errors = await bench.driver.errors()
            full = errors == {"queue_full"}
            same("errors", 0, len(errors) - full, 8)
            jobs += [] if full else [(job, addresses)]
        bench.reads.ar_channel.pause = False
        await bench.driver.until("status", lambda status: not status["busy"])
        same("jobs done", before + len(jobs), await bench.driver.value("jobs_done"), 32)
        for i, (job, addresses) in enumerate(jobs):
            bench.check(f"job {i}", job, addresses)
    bench.finish()


@cocotb.test
async def bad_descriptors(dut: HierarchyObject) -> None:
    """A descriptor that is wrong in any way is passed over and told of, by its number; those around it run."""
    bench = ControlBench(dut, "random")
    driver, layout = bench.driver, descriptor_layout()
    await bench.start()
    await driver.write("irq_enable", error=1)
    known = [field.low for field in bench.map.by_name["job_mode"].fields]
    for turn in range(bench.blocks):
        jobs = bench.random_jobs(3)
        mark, mode = int(bench.rng.integers(layout["mark"].width)), int(bench.rng.integers(16))
        places = [name for name in jobs[1][1] if name != "x_stride" or jobs[1][0] in bench.raw]
        place, bit = str(bench.rng.choice(places)), int(bench.rng.integers(bench.beat.bit_length() - 1))
        flips = {"bad_descriptor": ("mark", mark), "misaligned": (place, bit)}
        if mode not in known and bench.rng.random() < 0.5:
            flips["bad_descriptor"] = ("mode", mode)
        kind = ["empty", *flips][turn % 3]
        descriptors = [bench.descriptor(job, addresses) for job, addresses in jobs]
        if kind in flips:
            name, bit = flips[kind]
            word = int.from_bytes(descriptors[1], "little") ^ 1 << (layout[name].offset + bit)
        else:  # a job that is none is a job all the same
            word = int.from_bytes(descriptors[1], "little") & ~0xFFFF
        descriptors[1] = word.to_bytes(BYTES, "little")
        done, refused = [await driver.value(f"jobs_{what}") for what in ("done", "refused")]
        await bench.open_ring(2)
        first = bench.tail
        await bench.post(descriptors)
        await driver.interrupt(bench.irq)
        await driver.until("status", lambda status: not status["busy"])
        errors = await driver.errors()
        if errors != {kind}:
            raise Mismatch(f"A descriptor with {kind} was told of as {errors}.")
        same("jobs done", done + 2, await driver.value("jobs_done"), 32)
        same("jobs refused", refused + (kind == "empty"), await driver.value("jobs_refused"), 32)
        if kind == "empty":
            same("tag of the job that was refused", bench.driver.tag - 1, await driver.value("refused_tag"), 16)
            same("a descriptor that became a job", 0, (await driver.read("ring_error"))["valid"], 1)
        else:
            await bench.check_ring_error(first + 1, kind.removesuffix("_descriptor"))
        for i in (0, 2):
            bench.check(f"job {i}", *jobs[i])
        await driver.write("irq_status", job_done=1)
    bench.finish()


@cocotb.test
async def lost_descriptors(dut: HierarchyObject) -> None:
    """A descriptor whose read is answered by an error halts, and is told of by its number; soft reset empties the ring,
    and what is written then is the next that is read."""
    bench = ControlBench(dut, "random")
    driver, failures, beats = bench.driver, bench.read_failures, BYTES // bench.beat
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        await driver.write("irq_enable", error=1)
        before, jobs = await driver.value("jobs_done"), bench.random_jobs(4)
        await bench.open_ring(2)
        first, tag, lost = bench.tail, bench.driver.tag, int(bench.rng.integers(4))
        failures.after, failures.id, failures.first = lost * beats + int(bench.rng.integers(beats)), bench.reader, None
        await bench.post([bench.descriptor(job, addresses) for job, addresses in jobs])
        await driver.interrupt(bench.irq)
        await driver.until("status", lambda status: bool(status["halted"]))
        await bench.stays_busy(100)
        if await driver.errors() != {"read_error"}:
            raise Mismatch("A descriptor that was lost was not told of as a read error.")
        await bench.check_ring_error(first + lost, "bus")
        about = await driver.read("bus_error")
        same("ID of the bus error", bench.reader, about["id"], 3)
        same("tag of the bus error, the number of the descriptor", (first + lost) % NUMBERS, about["tag"], 16)
        await driver.write("bus_error", valid=1)
        done = await driver.value("jobs_done") - before
        if done > lost:
            raise Mismatch(f"{done} jobs were done, although the descriptor of number {lost} was lost.")
        for job, addresses in jobs[:done]:
            bench.check(f"a job before descriptor {lost}, of tag {tag}", job, addresses)
        failures.id = None
        await driver.write("abort", number=first, go=1)  # nothing can be given up now, but by a soft reset
        same("pending", 1, (await driver.read("abort"))["pending"], 1)
        await bench.soft_reset()
        same("pending after a soft reset", 0, (await driver.read("abort"))["pending"], 1)
        await bench.run_descriptors(2)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def soft_reset_midway(dut: HierarchyObject, stall: str) -> None:
    """A soft reset at any moment empties the ring; what is written then runs."""
    bench = ControlBench(dut, stall)
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        await bench.open_ring()
        jobs = bench.random_jobs(1 << bench.size)
        bench.reads.ar_channel.pause = bench.rng.random() < 0.5
        await bench.post([bench.descriptor(job, addresses) for job, addresses in jobs])
        await bench.cycles(int(bench.rng.integers(0, 300)))
        bench.reads.ar_channel.pause = False
        bench.met("descriptors left at a soft reset", await bench.driver.value("ring_head") < bench.tail)
        await bench.soft_reset()
        await bench.idle()
        await bench.run_descriptors(2)
    bench.finish()


@cocotb.test
async def reset_midway(dut: HierarchyObject) -> None:
    """After a reset at any moment nothing is left of what was going on."""
    bench = ControlBench(dut, "random")
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        await bench.open_ring()
        jobs = bench.random_jobs(1 << bench.size)
        await bench.post([bench.descriptor(job, addresses) for job, addresses in jobs])
        await bench.cycles(int(bench.rng.integers(0, 300)))
        await bench.check_reset()
        await bench.idle()
        await bench.run_descriptors(2)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def jobs_given_up(dut: HierarchyObject, stall: str) -> None:
    """One of several jobs, at any moment: it is told of, unless it is done, and all others run."""
    bench = ControlBench(dut, stall)
    rng = bench.rng
    await bench.start()
    for turn in range(max(4, bench.blocks // 2)):
        bench.reads.latency = bench.writes.latency = int(rng.choice([0, 0, 20, 200]))
        waits, behind = turn % 4 == 0, turn % 4 == 1  # behind the job more descriptors wait than there is room for
        by_ring = behind or (not waits and rng.random() < 0.5)
        count = 1 << MANY if behind else int(rng.integers(1, 9))
        if waits:  # the last of so many is still in the queue
            count, bench.reads.latency = bench.design.jobs + 2, 500
        jobs = bench.random_jobs(count, large=rng.random() < 0.2)
        chosen = count - 1 if waits else 0 if behind else [0, int(rng.integers(count)), count - 1][rng.integers(3)]
        await bench.give_up_one(jobs, chosen, int(rng.integers(400 if rng.random() < 0.5 else 40)), by_ring=by_ring)
    bench.finish()


@cocotb.test
async def as_many_wait_as_before(dut: HierarchyObject) -> None:
    """When a long job was given up, and all behind it began anew, a descriptor more is taken, and not one for each that
    waits once more."""
    bench = ControlBench(dut)
    driver = bench.driver
    await bench.start()
    jobs = bench.random_jobs(2, large=True) + bench.random_jobs((1 << MANY) - 2)
    first = await driver.value("jobs_queued")
    await bench.open_ring(MANY)
    await bench.post([bench.descriptor(job, addresses) for job, addresses in jobs])
    bench.taken, bench.gives_up = bench.opened, True
    await bench.cycles(500)
    before = [await driver.value(name) for name in ("jobs_done", "ring_head")]
    await driver.write("abort", number=first, go=1)
    rooms = [(await driver.read("status"))["room"] for _ in range(40)]
    if await driver.value("ring_head") != bench.tail % NUMBERS and max(rooms) > 1:
        raise Mismatch(f"Descriptors wait for room, and there is room for {max(rooms)} jobs.")
    taken, done = [await driver.value(name) for name in ("ring_head", "jobs_done")]
    more = (taken - before[1]) % NUMBERS - (done - before[0])
    if more > 1:
        raise Mismatch(f"A job was given up, and {more} descriptors more were taken.")
    await driver.until("status", lambda status: not status["busy"])
    bench.gives_up = False
    errors = await driver.errors()
    for i, (job, addresses) in enumerate(jobs):
        if i or "aborted" not in errors:
            bench.check(f"job {i}", job, addresses)
    await bench.idle()
    bench.finish()


@cocotb.test
async def given_up_when_done(dut: HierarchyObject) -> None:
    """A job that is given up before or after its results were sent, while the memory takes its time to answer, with
    another one behind it."""
    bench = ControlBench(dut)
    await bench.start()
    bench.writes.latency = 200
    for after in range(0, 400, 20):
        await bench.give_up_one(bench.random_jobs(2), 0, after, by_ring=True)
    bench.finish()


@cocotb.test
async def given_up_behind_refused(dut: HierarchyObject) -> None:
    """Jobs that are refused keep their numbers: one behind them is given up, and what is behind that one runs; so do
    those that come to be where they were."""
    bench = ControlBench(dut)
    driver = bench.driver
    await bench.start()
    for _ in range(max(4, bench.blocks // 2)):
        jobs, first = bench.random_jobs(3), await driver.value("jobs_queued")
        done, refused = [await driver.value(f"jobs_{what}") for what in ("done", "refused")]
        descriptors = [bench.descriptor(job, addresses) for job, addresses in jobs]
        empty = bytes(2) + descriptors[0][2:]
        order = [descriptors[0], empty, *descriptors[1:]] if bench.rng.random() < 0.5 else [empty, *descriptors]
        await bench.open_ring(2)
        await bench.post(order)
        errors = await bench.give_up(first + 2, int(bench.rng.integers(0, 60)))
        if errors not in ({"empty"}, {"empty", "aborted"}):
            raise Mismatch(f"One job was to be given up and another is empty, and the errors are {errors}.")
        given_up = "aborted" in errors
        same("jobs refused", refused + 1, await driver.value("jobs_refused"), 32)
        same("jobs done", done + 3 - given_up, await driver.value("jobs_done"), 32)
        for i in (0, 1, 2):
            if i != 1 or not given_up:
                bench.check(f"job {i}", *jobs[i])
        await bench.becomes_idle()
    await bench.run_descriptors(Backlog(bench.design, 1).depth)  # the places of all that were passed over
    bench.finish()


@cocotb.test
@cocotb.parametrize(error=("empty", "x_too_long"))
async def given_up_and_refused(dut: HierarchyObject, error: str) -> None:
    """A job that is given up in any cycle before or after it is refused, at once or after all of its row tiles are
    counted, is told of as one of both."""
    bench = ControlBench(dut)
    driver = bench.driver
    await bench.start()
    became, possible = set(), error in bench.possible_errors()
    for after in range((FETCHED + bench.row_tiles) * possible):
        number, counts = await driver.value("jobs_queued"), ("jobs_refused", "jobs_done")
        before = [await driver.value(name) for name in counts]
        ((job, addresses),) = bench.random_jobs(1)
        descriptor = bench.descriptor(job, addresses)
        if error == "x_too_long":
            shape = bench.design.panel_rows, 1, bench.too_many_steps
            descriptor = driver.descriptor(*shape, int8=job.int8, addresses=addresses)
        await bench.open_ring(0)
        await bench.post([bytes(2) + descriptor[2:] if error == "empty" else descriptor])
        errors = await bench.give_up(number, after)
        if errors not in ({error}, {"aborted"}):
            raise Mismatch(f"A job was to be given up that is {error}, and the errors are {errors}.")
        became |= errors
        expected = [before[0] + (errors == {error}), before[1]]
        for name, value in zip(counts, expected, strict=True):
            same(name, value, await driver.value(name), 32)
        await bench.becomes_idle()
    same("errors that were met", 2 * possible, len(became), 8)
    await bench.run_descriptors(2)
    bench.finish()


@cocotb.test
async def interrupt_waits(dut: HierarchyObject) -> None:
    """For so many jobs; for so many cycles after one, and no longer; or for neither."""
    bench = ControlBench(dut)
    driver = bench.driver
    await bench.start()
    await driver.write("irq_enable", job_done=1)

    async def run(count: int) -> None:
        for job, addresses in bench.random_jobs(count):
            await bench.submit(job, addresses)
        await driver.until("status", lambda status: not status["busy"])

    for _ in range(max(2, bench.blocks // 10)):
        jobs = int(bench.rng.integers(2, 6))
        await driver.coalesce(jobs)
        await run(jobs - 1)
        await bench.cycles(200)
        same(f"interrupt after {jobs - 1} jobs of {jobs}", 0, int(bench.irq.value), 1)
        await bench.becomes_idle()
        if bench.rng.random() < 0.5:  # those that wait are told of at once when nobody waits any more
            await driver.coalesce()
        else:
            await run(1)
        await bench.cycles(TOLD)
        same(f"interrupt after {jobs} jobs, or none to wait for", 1, int(bench.irq.value), 1)
        await driver.write("irq_status", job_done=1)
        await bench.cycles(50)
        same("interrupt after it was cleared", 0, int(bench.irq.value), 1)

        cycles = int(bench.rng.integers(1, 400))
        await driver.coalesce(255, cycles)
        await bench.submit(*bench.random_jobs(1)[0])
        await driver.interrupt(bench.irq)
        late = bench.cycle - bench.responses[-1]
        same("cycles until the interrupt", cycles + TOLD + bench.design.port_registers, late, 32)
        await driver.write("irq_status", job_done=1)
        await bench.becomes_idle()

        await driver.coalesce(255, 0)
        await run(1)
        await bench.soft_reset()  # forgets it
        await driver.coalesce(1, 1)
        await bench.cycles(100)
        same("interrupt for a job before the soft reset", 0, int(bench.irq.value), 1)
    bench.finish()


@cocotb.test
@cocotb.parametrize(channel=("ar", "b"))
async def idle_output(dut: HierarchyObject, channel: str) -> None:
    """High when there is nothing to do, and not before, whatever waits."""
    bench = ControlBench(dut)
    driver = bench.driver
    await bench.start()
    await bench.becomes_idle()
    await driver.write("irq_enable", job_done=1)
    blocked = getattr(bench.reads if channel in ("ar", "r") else bench.writes, f"{channel}_channel")
    for by_ring in (False, True):
        blocked.pause = True
        ((job, addresses),) = bench.random_jobs(1)
        if by_ring:
            await bench.open_ring(0)
            await bench.post([bench.descriptor(job, addresses)])
        else:
            await bench.submit(job, addresses)
        await bench.cycles(SETTLING)
        await bench.stays_busy(300)
        blocked.pause = False
        await driver.interrupt(bench.irq)
        await bench.becomes_idle()
        bench.check(f"job, by ring {by_ring}", job, addresses)
        await driver.write("irq_status", job_done=1)
        await bench.becomes_idle()

        blocked.pause = True
        await bench.submit(*bench.random_jobs(1)[0])
        await bench.cycles(300)
        await driver.write("control", reset=1)
        await bench.stays_busy(100)
        blocked.pause = False
        await driver.until("status", lambda status: bool(status["in_reset"]))
        await bench.becomes_idle()
        await bench.soft_reset()
        await bench.becomes_idle()
        await bench.run_jobs(1)
        await driver.write("irq_status", job_done=1)

    await driver.coalesce(255, 200)
    await bench.submit(*bench.random_jobs(1)[0])
    while not bench.unanswered:
        await bench.edge
    while bench.unanswered:
        await bench.edge
    await bench.stays_busy(200)
    await driver.interrupt(bench.irq)
    await bench.becomes_idle()
    bench.finish()

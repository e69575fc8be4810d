"""The accelerator with a memory port against `golden.matmul`: a memory that stalls, reorders and fails."""

from typing import Any

import cocotb
from amaranth.utils import exact_log2
from cocotb.handle import HierarchyObject

from hw.axi.write import outstanding
from hw.engine.counters import COUNTERS
from hw.engine.planner import SUMS
from sim.benches.inside.axi_memory import MemoryBench
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.signals import PAUSES
from sim.image import plane_bytes, result_bytes
from sim.models.bus import BusJob, bus_cycles


@cocotb.test
async def registers(dut: HierarchyObject) -> None:
    """Every register."""
    bench = MemoryBench(dut, "random")
    await bench.start()
    await bench.check_registers()
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def random_jobs(dut: HierarchyObject, stall: str) -> None:
    """Jobs in a row, from memory to memory."""
    bench = MemoryBench(dut, stall)
    await bench.start()
    await bench.run_jobs(bench.blocks)
    bench.finish()


@cocotb.test
async def codes_for_the_next_job(dut: HierarchyObject) -> None:
    """What was written of packed rows is what a job of packed activations reads."""
    bench = MemoryBench(dut, "random")
    await bench.start()
    jobs = [bench.random_job() for _ in range(40 * bench.design.codes)]
    for job in [job for job in jobs if job in bench.images][:3]:  # none if there is room for no raw row
        written = bench.lay_out(job)
        await bench.submit(job, written)
        await bench.driver.until("status", lambda status: not status["busy"])
        bench.check("codes", job, written)
        del bench.images[job], bench.raw[job]
        addresses = bench.lay_out(job) | {"x": written["y"]}
        bench.note_activations(written["y"], len(next(job.x_words())["x_labels"]))
        await bench.submit(job, addresses)
        await bench.driver.until("status", lambda status: not status["busy"])
        bench.check("product of codes", job, addresses)
    wrong: list[dict[str, Any]] = [{"out": 1}, {"out": 1, "int8": True}]  # and not raw
    if bench.design.keep_rows:
        wrong += [{"out": 1, "raw": 1, kind: 1} for kind in SUMS]
    for kinds in wrong if bench.design.codes else []:
        await bench.driver.describe(1, 4, 1, **kinds)
        await bench.driver.write("doorbell", go=1)
        await bench.driver.until("status", lambda status: not status["busy"])
        if (errors := await bench.driver.errors()) != {"activations"}:
            raise Mismatch(f"A job of {kinds} is none, but the errors are {errors}.")
    await bench.run_jobs(1)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def large_jobs(dut: HierarchyObject, stall: str) -> None:
    """Jobs that fill the memory banks, and come faster than they are computed."""
    bench = MemoryBench(dut, stall)
    await bench.start()
    bench.reads.gathers = True
    await bench.run_jobs(3, large=True)
    if not bench.reads.crossed:
        raise Mismatch("The memory never had bursts of different IDs to interleave.")
    bench.finish()


@cocotb.test
async def queues_go_round(dut: HierarchyObject) -> None:
    """More beats go through each reader of an operand than its queue has places; and what can wait there does, while
    no results are taken."""
    bench = MemoryBench(dut)
    await bench.start()
    words = len(next(bench.random_job(tiles=1).w_words())["w_labels"])
    beats = min(plane_bytes(bench.design, "w", words)) // bench.beat
    tiles, lap = -(-(max(bench.places()) + bench.design.burst) // beats), 0
    while not bench.went_round() or lap < bench.blocks // 5:
        chosen = [bench.random_job(tiles=tiles), *(bench.random_job(large=True, tiles=1) for _ in range(3))]
        jobs = [(job, bench.lay_out(job)) for job in chosen]
        bench.writes.w_channel.pause = True
        for job, addresses in jobs:
            await bench.submit(job, addresses)
        before = -1
        while bench.asked != before:
            before = bench.asked
            await bench.cycles(200)
        bench.writes.w_channel.pause = False
        await bench.driver.until("status", lambda status: not status["busy"])
        for i, (job, addresses) in enumerate(jobs):
            bench.check(f"job {i} of {job.shape}", job, addresses)
        tiles, lap = 1, lap + 1
    bench.finish()


@cocotb.test
@cocotb.parametrize(latency=(50, 500))
async def slow_memory(dut: HierarchyObject, latency: int) -> None:
    """Any burst is answered as late as it likes, up to so many cycles; reads of different IDs in any order."""
    bench = MemoryBench(dut, "random")
    await bench.start()
    bench.reads.latency = bench.writes.latency = latency
    await bench.run_jobs(max(4, bench.blocks // 5))
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def long_products(dut: HierarchyObject, stall: str) -> None:
    """Products whose K is cut, and jobs of another product in between."""
    bench = MemoryBench(dut, stall)
    await bench.start()
    bench.reads.latency = bench.writes.latency = 60
    for _ in range(max(2, bench.blocks // 10)):
        await bench.run_product(bench.long_product())
        await bench.run_jobs(1)
    bench.finish()


@cocotb.test
async def patient_memory(dut: HierarchyObject) -> None:
    """No valid waits for ready, and nothing on a channel depends on its own ready."""
    bench = MemoryBench(dut, "random", independent=True)
    bench.be_patient()
    await bench.start()
    await bench.run_jobs(max(2, bench.blocks // 5))
    bench.finish()


@cocotb.test
async def illegal_jobs(dut: HierarchyObject) -> None:
    """Descriptors that are wrong in every way are told of, and the next job runs, after a soft reset and without."""
    bench = MemoryBench(dut)
    await bench.start()
    job = bench.random_job()
    addresses = bench.lay_out(job)
    await bench.check_refusals(job, addresses)
    for name in addresses:
        for bit in range(exact_log2(bench.beat)):
            await bench.submit(job, addresses | {name: addresses[name] + (1 << bit)})
            same("misaligned alone", 1, int(await bench.driver.errors() == {"misaligned"}), 1)
    await bench.idle()
    await bench.run_jobs(1)
    await bench.soft_reset()
    await bench.run_jobs(1)
    bench.finish()


@cocotb.test
async def full_queue(dut: HierarchyObject) -> None:
    """A doorbell too many is told of and does no harm."""
    bench = MemoryBench(dut)
    await bench.start()
    jobs = [(job, bench.lay_out(job)) for job in (bench.random_job() for _ in range(3 * bench.design.jobs + 8))]
    bench.reads.ar_channel.pause = True
    queued = []
    for job, addresses in jobs:
        await bench.describe(job, addresses)
        await bench.driver.write("doorbell", go=1)
        errors = await bench.driver.errors()
        if not errors:
            queued.append((job, addresses))
        elif errors != {"queue_full"}:
            raise Mismatch(f"The errors are {errors}.")
    if len(queued) == len(jobs):
        raise Mismatch(f"{len(jobs)} jobs were queued, although none could run.")
    bench.reads.ar_channel.pause = False
    await bench.driver.until("status", lambda status: not status["busy"])
    same("jobs done", len(queued), await bench.driver.value("jobs_done"), 32)
    for i, (job, addresses) in enumerate(queued):
        bench.check(f"job {i}", job, addresses)
    bench.finish()


@cocotb.test
@cocotb.parametrize(side=("read", "write"), stall=("never", "random"))
async def bus_errors(dut: HierarchyObject, side: str, stall: str) -> None:
    """A response that is an error halts; all that was begun on the bus ends; soft reset brings everything back."""
    bench = MemoryBench(dut, stall)
    driver, failures = bench.driver, getattr(bench, f"{side}_failures")
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        await driver.write("irq_enable", error=1)
        before = await driver.value("jobs_done")
        chosen = [bench.random_job(large=large) for large in (False, True, False)]
        jobs = [(job, bench.lay_out(job)) for job in chosen]
        failures.after = int(bench.rng.integers(0, 2 if side == "write" else 8))
        failures.first, tag = None, driver.tag
        for job, addresses in jobs:
            await bench.describe(job, addresses)
            await driver.write("doorbell", go=1)
        await driver.interrupt(bench.irq)
        await driver.until("status", lambda status: bool(status["halted"]))
        await driver.write("doorbell", go=1)  # there is no room now
        asked = bench.asked
        await bench.cycles(200)
        if bench.asked > asked + 1:  # one may have been on offer
            raise Mismatch(f"{bench.asked - asked} bursts were asked for while the accelerator was halted.")
        status, done = await driver.read("status"), await driver.value("jobs_done")
        same("room while halted", 0, status["room"], 8)
        same("busy while halted", 1, status["busy"], 1)
        for i, (job, addresses) in enumerate(jobs[: done - before]):
            bench.check(f"job {i}, done before the {side} error", job, addresses)
        errors = await driver.errors()
        if errors != {f"{side}_error", "queue_full"}:
            raise Mismatch(f"After a {side} error the errors are {errors}.")
        if bench.design.diagnostics:
            await bench.check_bus_error(side, [addresses for _, addresses in jobs], tag)
        await bench.soft_reset()
        await bench.run_jobs(2)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def soft_reset_midway(dut: HierarchyObject, stall: str) -> None:
    """A soft reset at any moment lets what was begun on the bus end, and leaves nothing behind."""
    bench = MemoryBench(dut, stall)
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        for large in (False, True, False):
            job = bench.random_job(large=large)
            await bench.submit(job, bench.lay_out(job))
        await bench.cycles(int(bench.rng.integers(0, 300)))
        await bench.soft_reset()
        await bench.idle()
        await bench.run_jobs(2)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def reset_midway(dut: HierarchyObject, stall: str) -> None:
    """After a reset at any moment, of the bus as well, nothing is left of what was going on, or of what had piled up in
    front of a channel."""
    bench = MemoryBench(dut, stall)
    await bench.start()
    channels = [bench.reads.r_channel, *(getattr(bench.writes, f"{name}_channel") for name in ("aw", "w", "b"))]
    for turn in range(max(6, bench.blocks // 3)):
        blocked = channels[turn // 2 % 4]
        blocked.pause = turn % 2 == 1
        for large in (False, True, True, True):
            job = bench.random_job(large=large)
            await bench.submit(job, bench.lay_out(job))
        await bench.cycles(int(bench.rng.integers(0, 2000 if blocked.pause else 300)))
        await bench.check_reset()
        blocked.pause = False
        await bench.idle()
        await bench.run_jobs(2)
    bench.finish()


@cocotb.test
async def late_answers(dut: HierarchyObject) -> None:
    """As many bursts are written as may wait for a response, and no more; then all goes on."""
    bench = MemoryBench(dut)
    await bench.start()
    jobs = [(job, bench.lay_out(job)) for job in (bench.random_job(large=True) for _ in range(2))]
    bench.writes.b_channel.pause = True
    bench.writes.b_channel.queue_occupancy_limit = 2 * outstanding(bench.design)
    for job, addresses in jobs:
        await bench.submit(job, addresses)
    whole = bench.design.burst * bench.beat
    least = sum(-(-result_bytes(bench.design, job.parts[0].output_rows) // whole) for job, _ in jobs)
    least = min(least, outstanding(bench.design))
    for _ in range(bench.driver.patience // 100):
        before = bench.unanswered
        await bench.cycles(100)
        if bench.unanswered == before >= least:
            break
    else:
        raise Mismatch(f"Only {bench.unanswered} bursts are written without an answer to the first.")
    bench.writes.b_channel.pause = False
    await bench.driver.until("status", lambda status: not status["busy"])
    for i, (job, addresses) in enumerate(jobs):
        bench.check(f"job {i}", job, addresses)
    bench.finish()


@cocotb.test
@cocotb.parametrize(channel=("ar", "r", "aw", "w", "b"))
async def blocked_channels(dut: HierarchyObject, channel: str) -> None:
    """While the memory takes or gives nothing on a channel, all that depends on it waits; then all goes on."""
    bench = MemoryBench(dut)
    await bench.start()
    blocked = getattr(bench.reads if channel in ("ar", "r") else bench.writes, f"{channel}_channel")
    for large in (False, True):
        jobs = [(job, bench.lay_out(job)) for job in (bench.random_job(large=large) for _ in range(bench.design.jobs))]
        blocked.pause = True
        for job, addresses in jobs:
            await bench.submit(job, addresses)
        await bench.cycles(2000 if large else 500)
        blocked.pause = False
        await bench.driver.until("status", lambda status: not status["busy"])
        for i, (job, addresses) in enumerate(jobs):
            bench.check(f"job {i}", job, addresses)
    bench.finish()


@cocotb.test
async def interrupt(dut: HierarchyObject) -> None:
    """Its causes, enabled and not, and cleared when they come."""
    bench = MemoryBench(dut)
    await bench.start()
    await bench.check_interrupt(bench.run_job)
    bench.finish()


@cocotb.test
@cocotb.parametrize(channel=("ar", "r", "aw", "w", "b"))
async def soft_reset_waits(dut: HierarchyObject, channel: str) -> None:
    """A soft reset does not happen before all that was begun on the bus has ended; and then it does, though only for a
    cycle, if software has not waited for it."""
    bench = MemoryBench(dut)
    await bench.start()
    blocked = getattr(bench.reads if channel in ("ar", "r") else bench.writes, f"{channel}_channel")
    for brief in (False, True):
        blocked.pause = True
        for _ in range(2):
            job = bench.random_job()
            await bench.submit(job, bench.lay_out(job))
        await bench.cycles(500)
        await bench.driver.write("control", reset=1)
        await bench.cycles(200)
        same(f"in reset while {channel} is blocked", 0, (await bench.driver.read("status"))["in_reset"], 1)
        if brief:
            await bench.driver.write("control", reset=0)
        blocked.pause = False
        if brief:
            await bench.driver.until("status", lambda status: not status["busy"])
            await bench.cycles(50)
        else:
            await bench.driver.reset()
        await bench.check_no_jobs()
        await bench.run_jobs(2)
    bench.finish()


@cocotb.test
@cocotb.parametrize(latency=(12, 150))
async def cycles_as_modelled(dut: HierarchyObject, latency: int) -> None:
    """Where the memory takes the same time for everything, jobs take as many cycles as the model says, cause by cause
    and in all."""
    bench = MemoryBench(dut, exact=True)
    driver, rules = bench.driver, bench.design.front_end
    await bench.start()
    bench.reads.latency = bench.writes.latency = latency - 1
    jobs, begin = list[BusJob](), 0
    await driver.counters(clear=True)
    for i in range(max(4, bench.blocks)):
        job = bench.random_job(large=i % 4 == 3)
        if job in bench.raw and rules and rules.candidates == "serial":  # of whose cycles there is no model
            continue
        addresses = bench.lay_out(job)
        await bench.submit(job, addresses)
        begin = begin or bench.cycle - 1
        jobs.append(bench.described(job, addresses, bench.cycle - 1 - begin))
        if bench.rng.random() < 0.2:
            await driver.until("status", lambda status: not status["busy"])
    await driver.until("status", lambda status: not status["busy"])
    seen, told = await driver.counters(), bus_cycles(bench.design, jobs, latency)
    same("cycles", told.cycles, bench.ended + bench.design.port_registers - begin, 32)  # an answer has to go through
    for cause in COUNTERS:
        if cause != "idle":  # before the first job and after the last one as well
            same(f"cycles of {cause}", told.counters[cause], seen[cause], 32)
    bench.checked += len(jobs)
    bench.finish()


@cocotb.test
async def jobs_that_meet(dut: HierarchyObject) -> None:
    """A job can come in the very cycle in which another one ends, or is taken on."""
    bench = MemoryBench(dut)
    await bench.start()
    for _ in range(max(4, bench.blocks)):
        jobs = [(job, bench.lay_out(job)) for job in (bench.random_job() for _ in range(4))]
        bench.writes.w_channel.pause = True
        for job, addresses in jobs[:-1]:
            await bench.submit(job, addresses)
        await bench.describe(*jobs[-1])
        bench.writes.w_channel.pause = False
        await bench.cycles(int(bench.rng.integers(60)))
        await bench.driver.write("doorbell", go=1)
        await bench.driver.until("status", lambda status: not status["busy"])
        for i, (job, addresses) in enumerate(jobs):
            bench.check(f"job {i} of {job.shape}", job, addresses)
    await bench.idle()
    bench.finish()


@cocotb.test
async def counters(dut: HierarchyObject) -> None:
    """A snapshot is of one moment, and a clear begins anew."""
    bench = MemoryBench(dut)
    await bench.start()
    await bench.check_counters(bench.run_jobs)
    bench.finish()


@cocotb.test
@cocotb.parametrize(channel=("ar", "r", "w", "b"))
async def watchdog(dut: HierarchyObject, channel: str) -> None:
    """Jobs are stuck when nothing moves, and not before; counters of the bus say how it is, and can stand still."""
    bench = MemoryBench(dut)
    await bench.start()
    driver, limit = bench.driver, 300
    if not bench.design.diagnostics:
        await bench.run_jobs(1)
        return bench.finish()
    await driver.write("watchdog", value=limit)
    await bench.run_jobs(2)
    await bench.cycles(2 * limit)
    same("errors while there was nothing to do", 0, len(await driver.errors()), 8)
    await driver.counters(clear=True)
    asked, moved = bench.asked, bench.moved.copy()
    await bench.run_jobs(3, large=True)
    counted = await driver.counters()
    for name, (beats, stalled) in {side: bench.since(moved, side) for side in ("read", "write")}.items():
        same(f"{name} beats", beats, counted[f"{name}_beats"], 32)
        if not bench.design.port_registers:  # what stalls there is not seen inside
            same(f"{name} stalled", stalled, counted[f"{name}_stalled"], 32)
    if bench.asked == asked or not counted["read_waiting"]:
        raise Mismatch(f"Nothing was waited for: {counted}.")

    blocked = getattr(bench.reads if channel in ("ar", "r") else bench.writes, f"{channel}_channel")
    blocked.pause = True
    await driver.write("irq_enable", error=1)
    job = bench.random_job()
    addresses = bench.lay_out(job)
    await bench.submit(job, addresses)
    await bench.cycles(limit // 2)
    same("errors before the time", 0, len(await driver.errors()), 8)
    await driver.interrupt(bench.irq)
    errors = await driver.errors()
    if errors != {"stuck"}:
        raise Mismatch(f"While channel {channel} is blocked the errors are {errors}.")
    await bench.cycles(4 * limit)
    same("errors, told of again", 0, len(await driver.errors()), 8)
    blocked.pause = False
    await driver.until("status", lambda status: not status["busy"])
    bench.check("the job that was stuck", job, addresses)

    await driver.write("counter_freeze", value=1)
    before = await driver.counters()
    await bench.run_jobs(1)
    same("counters that moved while they were to stand still", 0, int(before != await driver.counters()), 1)
    await driver.write("counter_freeze", value=0)
    bench.finish()

"""The accelerator with AXI4-Stream against `golden.matmul`: packets of all lengths, right and wrong."""

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from cocotb.triggers import FallingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from golden.int8 import LIMIT, Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand
from hw.design import NIBBLE
from sim.benches.inside.axi_common import AxiBench
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.labels import packed, random_matrix
from sim.benches.inside.signals import PAUSES, signal
from sim.image import packet, result_rows
from sim.tiles import Job

SIDES = ("x", "w")


class StreamBench(AxiBench):
    """The accelerator, software, two sources and a sink."""

    def __init__(self, dut: HierarchyObject, stall: str = "never", *, independent: bool = False):
        super().__init__(dut, stall)
        self.noise = np.random.default_rng(cocotb.RANDOM_SEED)
        self.sources = {
            side: AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{side}"), self.clock, **self.resets)
            for side in SIDES
        }
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_acc"), self.clock, **self.resets)
        self.sinks = {"acc": self.sink}
        self.on_reset(self.forget)
        for side in SIDES:
            cocotb.start_soon(self._noise(side))
        self.pause(*self.sources.values(), self.sink)
        self.watch("m_axis_acc_t", ("data", "last"), independent=independent)

    async def _noise(self, side: str) -> None:
        """What is beside `tvalid` means nothing while that is low."""
        valid, last = (signal(self.dut, f"s_axis_{side}_t{name}") for name in ("valid", "last"))
        while True:
            await FallingEdge(self.clock)
            if not int(valid.value):
                last.value = int(self.noise.integers(2))

    def possible_errors(self) -> list[str]:
        """All but those of raw rows, which have a bench of their own."""
        return [name for name in super().possible_errors() if name not in ("raw_rows", "bad_row")]

    def send(self, job: Job, side: str, words: int = 0) -> None:
        """Queues an operand of a job as a packet, with so many words more or less."""
        every = packet(self.design, side, next(job.x_words() if side == "x" else job.w_words()))
        data = every[:words] if words < 0 else every
        self.sources[side].send_nowait(data.tobytes() + self.rng.bytes(max(0, words) * every.shape[1]))

    def forget(self) -> None:
        """Drops what was to be sent, and what came."""
        for each in (*self.sources.values(), *self.sinks.values()):
            each.clear()

    async def submit(self, job: Job) -> None:
        """Queues a job."""
        await self.driver.submit(job.parts[0], int8=job.int8)

    async def run_job(self) -> None:
        """A random job, without a look at the interrupt."""
        job = self.random_job()
        for side in SIDES:
            self.send(job, side)
        await self.submit(job)
        what = f"job of {job.shape}"
        self.compare(what, job, result_rows(self.design, await self.receive(what)))
        await self.driver.until("status", lambda status: not status["busy"])

    async def receive(self, what: str) -> bytes:
        """The results of a job."""
        for _ in range(self.driver.patience):
            if not self.sink.empty():
                return bytes(self.sink.recv_nowait().tdata)
            await self.edge
        raise Mismatch(f"{what}: no packet came out in {self.driver.patience} cycles.")

    async def run_jobs(self, count: int, *, large: bool = False) -> None:
        """Random jobs; operands are sent before the job or after it."""
        await self.driver.write("irq_enable", job_done=1, error=1)
        before = await self.driver.value("jobs_done")
        jobs = [self.random_job(large=large) for _ in range(count)]
        for job in jobs:
            early = [side for side in SIDES if self.rng.random() < 0.5]
            for side in early:
                self.send(job, side)
            await self.submit(job)
            for side in set(SIDES) - set(early):
                self.send(job, side)
        for i, job in enumerate(jobs):
            what = f"job {i} of {job.shape}"
            self.compare(what, job, result_rows(self.design, await self.receive(what)))
        if jobs:
            await self.driver.interrupt(self.irq)
            await self.driver.write("irq_status", job_done=1)
        errors = await self.driver.errors()
        if errors:
            raise Mismatch(f"The errors are {errors}, but nothing was wrong.")
        same("jobs done", before + count, await self.driver.value("jobs_done"), 32)
        await self.idle()

    async def run_product(self, job: Job) -> None:
        """A product of several jobs, whose sums are kept on chip where the design can; of those no packet comes out."""
        before, driver = await self.driver.value("jobs_done"), self.driver
        for part, *words in zip(job.parts, job.x_words(), job.w_words(), strict=True):
            for side, payload in zip(SIDES, words, strict=True):
                self.sources[side].send_nowait(packet(self.design, side, payload).tobytes())
            await driver.submit(part, int8=job.int8)
        packets = [await self.receive(f"job of {part}") for part in job.parts if not part.keep]
        self.compare(f"product {job.shape} of {len(job.parts)} jobs", job, result_rows(self.design, b"".join(packets)))
        await driver.until("status", lambda status: not status["busy"])
        same("jobs done", before + len(job.parts), await driver.value("jobs_done"), 32)

    async def idle(self) -> None:
        """Nothing is left to do or to take."""
        status = await self.driver.read("status")
        same("busy", 0, status["busy"], 1)
        same("room in the queue", self.design.jobs, status["room"], 8)
        same("packets left", 0, self.sink.count(), 32)

    async def reset_system(self) -> None:
        """A soft reset during which the sources run dry and the sink takes what is on offer and forgets it."""
        await self.driver.write("control", reset=1)
        await self.driver.until("status", lambda status: bool(status["in_reset"]))
        for _ in range(self.driver.patience):
            if all(source.idle() for source in self.sources.values()):
                break
            await self.edge
        else:
            most = self.driver.patience
            raise Mismatch(f"The words that were on their way were not dropped within {most} cycles of reset.")
        while any(int(signal(self.dut, f"m_axis_{name}_tvalid").value) for name in self.sinks):
            await self.edge
        await self.cycles(2)
        for sink in self.sinks.values():
            sink.assert_reset()
            sink.clear()
        await self.soft_reset()


@cocotb.test
async def registers(dut: HierarchyObject) -> None:
    """Every register."""
    bench = StreamBench(dut, "random")
    await bench.start()
    await bench.check_registers()
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def random_jobs(dut: HierarchyObject, stall: str) -> None:
    """Jobs in a row."""
    bench = StreamBench(dut, stall)
    await bench.start()
    await bench.run_jobs(bench.blocks)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def long_products(dut: HierarchyObject, stall: str) -> None:
    """Products whose K is cut, and jobs of another product in between."""
    bench = StreamBench(dut, stall)
    await bench.start()
    for _ in range(max(2, bench.blocks // 10)):
        await bench.run_product(bench.long_product())
        await bench.run_jobs(1)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def large_jobs(dut: HierarchyObject, stall: str) -> None:
    """Jobs that fill the memory banks, and come faster than they are computed."""
    bench = StreamBench(dut, stall)
    await bench.start()
    await bench.run_jobs(3, large=True)
    bench.finish()


@cocotb.test
async def patient_sink(dut: HierarchyObject) -> None:
    """What comes out does not depend on its own ready."""
    bench = StreamBench(dut, "random", independent=True)
    await bench.start()
    await bench.run_jobs(max(2, bench.blocks // 5))
    bench.finish()


@cocotb.test
async def illegal_jobs(dut: HierarchyObject) -> None:
    """Descriptors that are wrong in every way are told of, and the next job runs, after a soft reset and without."""
    bench = StreamBench(dut)
    await bench.start()
    await bench.check_refusals(bench.random_job(), None)
    await bench.idle()
    await bench.run_jobs(1)
    await bench.soft_reset()
    await bench.run_jobs(1)
    bench.finish()


@cocotb.test
async def full_queue(dut: HierarchyObject) -> None:
    """A doorbell too many is told of and does no harm."""
    bench = StreamBench(dut)
    await bench.start()
    queued: list[Job] = []
    for _ in range(3 * bench.design.jobs + 8):
        job = bench.random_job()
        part = job.parts[0]
        await bench.driver.describe(part.rows, part.tiles, part.steps, int8=job.int8)
        await bench.driver.write("doorbell", go=1)
        errors = await bench.driver.errors()
        if errors:
            same("queue_full alone", 1, int(errors == {"queue_full"}), 1)
            break
        queued.append(job)
    else:
        raise Mismatch(f"{len(queued)} jobs were queued, although none could run.")
    for i, job in enumerate(queued):
        for side in SIDES:
            bench.send(job, side)
        bench.compare(f"job {i}", job, result_rows(bench.design, await bench.receive(f"job {i}")))
    await bench.idle()
    bench.finish()


def short_tiles(bench: StreamBench) -> Job:
    """A job of tiles of a block each, which come faster than they are multiplied."""
    design, rng = bench.design, bench.rng
    m = min(design.panel_rows, (design.rows if design.w_depth else 1) * min(4, design.x_depth // 2))
    x: Operand = random_matrix(design.format, m, 1, rng)
    if not design.packed:
        x = Int8Matrix(rng.integers(-127, 128, (m, DIM)).astype(np.int8), np.ones(m, dtype=np.float32))
    return bench.expected(Job(design, x, random_matrix(design.format, 6 * design.cols, 1, rng)))


def filled_up(job: Job, side: str, words: int, missing: int) -> Job | None:
    """The job whose last words of an operand, of so many, are zeros; none if an int8 becomes −128 by it."""
    design, part, matrix = job.design, job.parts[0], job.x if side == "x" else job.w
    rows, blocks = np.ogrid[: matrix.shape[0], : -(-matrix.columns // DIM)]
    if side == "x" and design.dataflow == "ws":
        word = blocks // design.rows * part.rows + rows
    elif side == "x":
        word = rows // design.rows * part.steps + blocks
    else:
        word = rows // design.cols * part.steps * (design.rows if design.dataflow == "ws" else 1) + blocks
    if isinstance(matrix, Int8Matrix):
        high, low = (np.repeat(2 * word + i < words - missing, DIM, axis=1)[:, : matrix.columns] for i in (0, 1))
        values = matrix.values & (np.where(high, -(1 << NIBBLE), 0) | np.where(low, (1 << NIBBLE) - 1, 0))
        if values.min() < -LIMIT:
            return None
        return Job(design, Int8Matrix(values.astype(np.int8), matrix.scales), job.w)
    there = word < words - missing
    zeros = packed(design.format, matrix.labels * there, matrix.betas * there)
    return Job(design, zeros, job.w) if side == "x" else Job(design, job.x, zeros)


@cocotb.test
@cocotb.parametrize(side=SIDES, stall=("never", "random"))
async def wrong_packets(dut: HierarchyObject, side: str, stall: str) -> None:
    """A packet that is too short or too long is told of; its job ends, and the next is as if nothing had been."""
    bench = StreamBench(dut, stall)
    await bench.start()
    for turn in range(max(2, bench.blocks // 5)):
        wrong, right = bench.random_job() if turn else short_tiles(bench), bench.random_job()
        await bench.driver.write("irq_enable", error=1)
        every = len(packet(bench.design, side, next(wrong.x_words() if side == "x" else wrong.w_words())))
        change = int(bench.rng.integers(1, 6)) * int(bench.rng.choice([-1, 1]))
        change = max(change if turn else -every, 1 - every) or 1
        meant = filled_up(wrong, side, every, -change) if change < 0 else wrong
        if meant is None:
            continue
        for job, extra in ((wrong, change), (right, 0)):
            await bench.submit(job)
            for which in SIDES:
                bench.send(job, which, extra if which == side else 0)
        await bench.driver.interrupt(bench.irq)
        what = f"the job with a packet of {every}{change:+d} words"
        bench.compare(what, meant, result_rows(bench.design, await bench.receive(what)))
        what = f"the job after a packet of {every}{change:+d} words"
        bench.compare(what, right, result_rows(bench.design, await bench.receive(what)))
        errors = await bench.driver.errors()
        if errors != {f"{side}_framing"}:
            raise Mismatch(f"After a wrong packet at {side} the errors are {errors}.")
        await bench.idle()
    await bench.reset_system()
    await bench.run_jobs(1)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def soft_reset_midway(dut: HierarchyObject, stall: str) -> None:
    """After a soft reset at any moment nothing is left but a row that was on offer."""
    bench = StreamBench(dut, stall)
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        for large in (False, True, False):
            job = bench.random_job(large=large)
            await bench.submit(job)
            for side in SIDES:
                bench.send(job, side)
        await bench.cycles(int(bench.rng.integers(0, 300)))
        await bench.reset_system()
        await bench.driver.write("irq_status", job_done=1)
        await bench.idle()
        await bench.run_jobs(2)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def reset_midway(dut: HierarchyObject, stall: str) -> None:
    """After a reset at any moment, of all that is around as well, nothing is left of what was going on."""
    bench = StreamBench(dut, stall)
    await bench.start()
    for _ in range(max(2, bench.blocks // 5)):
        for large in (False, True, False):
            job = bench.random_job(large=large)
            await bench.submit(job)
            for side in SIDES:
                bench.send(job, side)
        await bench.cycles(int(bench.rng.integers(0, 300)))
        await bench.check_reset()
        await bench.idle()
        await bench.run_jobs(2)
    bench.finish()


@cocotb.test
async def interrupt(dut: HierarchyObject) -> None:
    """Its causes, enabled and not, and cleared when they come."""
    bench = StreamBench(dut)
    await bench.start()
    await bench.check_interrupt(bench.run_job)
    bench.finish()


@cocotb.test
async def row_on_offer(dut: HierarchyObject) -> None:
    """A row that is on offer at a soft reset stays on offer, and does not count as a job's end."""
    bench = StreamBench(dut)
    await bench.start()
    bench.sink.pause = True
    job = bench.random_job()
    while job.output_rows > 1:
        job = bench.random_job()
    await bench.submit(job)
    for side in SIDES:
        bench.send(job, side)
    offered = signal(dut, "m_axis_acc_tvalid")
    for _ in range(bench.driver.patience):
        if int(offered.value):
            break
        await bench.edge
    await bench.driver.reset()
    same("row on offer after the reset", 1, int(offered.value), 1)
    bench.sink.pause = False
    bench.compare("the row on offer", job, result_rows(bench.design, await bench.receive("the row on offer")))
    same("jobs done", 0, await bench.driver.value("jobs_done"), 32)
    await bench.idle()
    await bench.run_jobs(2)
    bench.finish()


@cocotb.test
async def counters(dut: HierarchyObject) -> None:
    """A snapshot is of one moment, and a clear begins anew."""
    bench = StreamBench(dut)
    await bench.start()
    await bench.check_counters(bench.run_jobs)
    bench.finish()

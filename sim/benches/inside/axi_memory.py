"""The accelerator with a memory port, software, and a memory that stalls, reorders and fails."""

import bisect
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiReadBus, AxiResp, AxiWriteBus
from cocotbext.axi.axi_slave import AxiSlaveRead, AxiSlaveWrite
from cocotbext.axi.sparse_memory import SparseMemory
from numpy.typing import NDArray

from golden.matmul import matmul
from golden.output import Columns
from hw.axi.ports import INCR
from hw.axi.write import outstanding
from sim.benches.inside.axi_common import AxiBench, Channel
from sim.benches.inside.checks import Mismatch, RuleBroken, same
from sim.benches.inside.signals import Beat
from sim.benches.inside.streams import Monitor
from sim.image import columns_image, operand_image, plane_bytes, result_bytes, result_rows
from sim.models.schedule import Part
from sim.tiles import Job, Payload

WAITING = 32
"""Bursts that the memory accepts before it answers the first."""

GATHERING = 60
"""Cycles that a memory which is to interleave waits for a burst of another ID."""

GUARD = 64
"""Bytes before and after the results that must not change."""

ERRORS = (AxiResp.SLVERR, AxiResp.DECERR)


class Failures:
    """Decides which responses are errors.

    Parameters
    ----------
    rng : Generator
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.after: int | None = None
        """Responses until one fails; None for never."""

    def next(self) -> AxiResp:
        """The next response."""
        if self.after is None:
            return AxiResp.OKAY
        self.after -= 1
        if self.after >= 0:
            return AxiResp.OKAY
        self.after = None
        return ERRORS[int(self.rng.integers(len(ERRORS)))]


class ReadSide(AxiSlaveRead):
    """Answers bursts of one ID in their order, those of different IDs in any order and beat by beat."""

    def __init__(self, bench: AxiBench, bus: Any, target: SparseMemory, failures: Failures):
        self.bench, self.failures = bench, failures
        self.gathers = False
        """Whether it waits for bursts of several IDs, until it has turned from one to another."""
        self.latency = 0
        """The most cycles after which a burst can be answered."""
        self.crossed = 0
        """Times that a burst of another ID was turned to before all of one were answered."""
        super().__init__(bus, bench.clock, target=target, **bench.resets)
        self.ar_channel.queue_occupancy_limit = WAITING

    async def _process_read(self) -> None:
        rng, waiting, coming = self.bench.rng, dict[int, deque[Any]](), deque[tuple[int, Any]]()
        present = -1
        while True:
            while not waiting or not self.ar_channel.empty() or self._is_due(coming):
                if self._is_due(coming):
                    _, burst = coming.popleft()
                elif coming and self.ar_channel.empty():
                    await self.bench.edge
                    continue
                else:
                    burst = await self.ar_channel.recv()
                    if self.latency:
                        coming.append((self.bench.cycle + int(rng.integers(self.latency + 1)), burst))
                        continue
                last = int(burst.arlen)
                addresses = (int(burst.araddr) + i * self.byte_lanes for i in range(last + 1))
                beats = ((address, i == last) for i, address in enumerate(addresses))
                waiting.setdefault(int(burst.arid), deque()).extend(beats)
                if self.gathers and not self.crossed and len(waiting) == 1:
                    await self.bench.cycles(GATHERING)
            gathered = self.gathers and not self.crossed and len(waiting) > 1
            if present not in waiting or gathered or rng.random() < 0.3:
                before, present = present, int(rng.choice([i for i in waiting if not gathered or i != present]))
                self.crossed += before in waiting and before != present
            address, last = waiting[present].popleft()
            if not waiting[present]:
                del waiting[present]
            reply = self.r_channel._transaction_obj()
            reply.rid, reply.rlast, reply.rresp = present, last, self.failures.next()
            reply.rdata = int.from_bytes(self.target.read(address, self.byte_lanes), "little")
            await self.r_channel.send(reply)

    def _is_due(self, coming: deque[tuple[int, Any]]) -> bool:
        return bool(coming) and self.bench.cycle >= coming[0][0]


class WriteSide(AxiSlaveWrite):
    """Takes bursts; of one that is answered by an error nothing is kept."""

    def __init__(self, bench: AxiBench, bus: Any, target: SparseMemory, failures: Failures):
        self.burst: list[tuple[int, bytes]] = []
        self.latency = 0
        """The most cycles after which a burst is answered."""
        super().__init__(bus, bench.clock, target=target, **bench.resets)
        send = self.b_channel.send

        async def answer(reply: Any) -> None:
            reply.bresp = failures.next()
            if reply.bresp == AxiResp.OKAY:
                for address, data in self.burst:
                    target.write(address, data)
            self.burst.clear()
            if self.latency:
                await bench.cycles(1 + int(bench.rng.integers(self.latency)))
            await send(reply)

        self.b_channel.send = answer

    async def _write(self, address: int, data: bytes) -> None:
        self.burst.append((address, data))

    def _handle_reset(self, state: bool) -> None:
        super()._handle_reset(state)
        self.burst.clear()


class MemoryBench(AxiBench):
    """The accelerator, software, and a memory."""

    def __init__(self, dut: HierarchyObject, stall: str = "never", *, independent: bool = False):
        super().__init__(dut, stall)
        self.memory = SparseMemory(1 << 64)
        self.read_failures, self.write_failures = Failures(self.rng), Failures(self.rng)
        self.reads = ReadSide(self, AxiReadBus.from_prefix(dut, "m_axi_mem"), self.memory, self.read_failures)
        self.writes = WriteSide(self, AxiWriteBus.from_prefix(dut, "m_axi_mem"), self.memory, self.write_failures)
        for side, names in ((self.reads, ("ar", "r")), (self.writes, ("aw", "w", "b"))):
            self.pause(*(getattr(side, f"{name}_channel") for name in names))
        self.asked = 0
        """Bursts that were read."""
        self.unanswered = 0
        """Bursts that were written and not answered yet."""
        self.planes: list[tuple[int, int, int]] = []
        """Where planes of operands begin and end, and the number of their reader."""
        for name, on_burst in (("ar", self._ask), ("aw", self._write_burst)):
            fields = ("id", "addr", "len", "size", "burst", "cache", "prot")
            self.watch(f"m_axi_mem_{name}", fields, on_burst, independent=independent)
        Monitor(self, Channel(dut, "m_axi_mem_b", ("resp",)), self._answered)
        self.on_reset(self._forget)
        self.watch("m_axi_mem_w", ("data", "strb", "last"), independent=independent)
        self.beat = self.design.bus_bits // 8
        self.columns: dict[Job, Columns] = {}
        """What an output stage does with the columns of each job."""
        self.next_address = int.from_bytes(self.rng.bytes(8), "little") % ((1 << 64) - (1 << 44))

    def place(self, size: int) -> int:
        """An aligned address with room for `size` bytes, anywhere, often just before 4 KiB or 4 GiB end."""
        gap = int(self.rng.integers(1, 4)) << 12
        near = int(self.rng.integers(0, 8)) * self.beat
        boundary = 1 << int(self.rng.choice([12, 12, 12, 32]))
        address = (self.next_address + gap + boundary) // boundary * boundary - near
        self.next_address = address + size + GUARD
        return address

    def lay_out(self, job: Job) -> dict[str, int]:
        """Puts the operands of a job in memory, and noise where its results will be; returns the addresses."""
        return self.lay_out_part(job, job.parts[0], next(job.x_words()), next(job.w_words()))

    def lay_out_part(self, job: Job, part: Part, x_words: Payload, w_words: Payload) -> dict[str, int]:
        """The same for a part of a product that is several jobs."""
        images = {
            "x": operand_image(self.design, "x", x_words),
            "w": operand_image(self.design, "w", w_words, part.tiles),
        }
        if self.design.output:
            columns = self.columns_of(job).part(part.first_tile * self.design.cols, part.tiles * self.design.cols)
            images["c"] = columns_image(self.design, columns, part.tiles)
        addresses = {}
        for name, image in images.items():
            addresses[name] = self.place(len(image))
            self.memory.write(addresses[name], image)
        size = result_bytes(self.design, part.output_rows)
        addresses["y"] = self.place(size)
        self.memory.write(addresses["y"] - GUARD, b"\xa5" * (size + 2 * GUARD))
        self._note_planes(addresses, part.tiles, x_words, w_words)
        return addresses

    def columns_of(self, job: Job) -> Columns:
        """What the output stage does with a job's columns: something at random, so that most results are in range."""
        if job not in self.columns:
            (n, _), rng = job.w.shape, self.rng
            largest = np.abs(matmul(job.x, job.w).accumulators).max() + 1
            scales = np.exp2(rng.uniform(-2, 2, n)) * (1 << (self.design.result_bits - 1)) / largest
            scales *= rng.choice([0.5, 0.5, 0.5, 1e-9, 1.0, 9.0], n)
            bias = rng.choice([0, 1, -(2**31), 2**31 - 1, int(largest) // 2, -int(largest) // 3], n)
            columns = Columns.of(np.minimum(scales, 65535.0), bias)
            self.columns[job] = replace(columns, relu=rng.random(n) < 0.3)
        return self.columns[job]

    def long_product(self) -> Job:
        """A product of several jobs; with an output stage one whose sums are made on chip."""
        while True:
            job = super().long_product()
            ends = [(part.first_row, part.first_tile) for part in job.parts if not part.keep]
            if not self.design.output or len(set(ends)) == len(ends):
                return job
            if not self.design.keep_rows:
                return self.random_job()

    def golden(self, job: Job) -> NDArray[Any]:
        """Accumulators, or what the output stage makes of them."""
        accumulators, rules = super().golden(job), self.design.output
        return rules.finish(accumulators, self.columns_of(job)) if rules else accumulators

    def check(self, what: str, job: Job, y: int) -> None:
        """Compares the results of a job in memory, and what is around them."""
        self.compare(what, job, self.results(what, job.parts[0], y))

    def results(self, what: str, part: Part, y: int) -> NDArray[np.uint32]:
        """The rows of results of a job; looks at what is around them."""
        size = result_bytes(self.design, part.output_rows)
        data = self.memory.read(y - GUARD, size + 2 * GUARD)
        if data[:GUARD] + data[GUARD + size :] != b"\xa5" * (2 * GUARD):
            raise Mismatch(f"{what} wrote beside its results.")
        return result_rows(self.design, data[GUARD : GUARD + size])

    async def run_product(self, job: Job) -> None:
        """A product of several jobs, whose sums are kept on chip where the design can."""
        driver, placed = self.driver, []
        before = await driver.value("jobs_done")
        for part, x_words, w_words in zip(job.parts, job.x_words(), job.w_words(), strict=True):
            placed.append((part, self.lay_out_part(job, part, x_words, w_words)))
            await driver.submit(part, int8=job.int8, addresses=placed[-1][1])
        await driver.until("status", lambda status: not status["busy"])
        same("jobs done", before + len(placed), await driver.value("jobs_done"), 32)
        rows = [self.results(f"job {i}", part, addresses["y"]) for i, (part, addresses) in enumerate(placed)]
        self.compare(f"product {job.shape} of {len(placed)} jobs", job, np.concatenate(rows))
        same("errors", 0, len(await driver.errors()), 8)

    async def submit(self, job: Job, addresses: dict[str, int]) -> None:
        """Queues a job."""
        await self.driver.submit(job.parts[0], int8=job.int8, addresses=addresses)

    async def run_job(self) -> None:
        """A random job, without a look at the interrupt."""
        job = self.random_job()
        addresses = self.lay_out(job)
        await self.submit(job, addresses)
        await self.driver.until("status", lambda status: not status["busy"])
        self.check(f"job of {job.shape}", job, addresses["y"])

    async def run_jobs(self, count: int, *, large: bool = False) -> None:
        """Random jobs, queued as fast as there is room, each compared at the end."""
        await self.driver.write("irq_enable", job_done=1, error=1)
        before = await self.driver.value("jobs_done")
        jobs = [(job, self.lay_out(job)) for job in (self.random_job(large=large) for _ in range(count))]
        for job, addresses in jobs:
            await self.submit(job, addresses)
        done = before
        while done != before + count:
            await self.driver.interrupt(self.irq)
            await self.driver.write("irq_status", job_done=1)
            done = await self.driver.value("jobs_done")
            errors = await self.driver.errors()
            if errors:
                raise Mismatch(f"The errors are {errors}, but nothing was wrong.")
        for i, (job, addresses) in enumerate(jobs):
            self.check(f"job {i} of {job.shape}", job, addresses["y"])
        await self.idle()

    def _note_planes(self, addresses: dict[str, int], tiles: int, x_words: Payload, w_words: Payload) -> None:
        """Remembers which reader is to fetch what: those of x, of w, and of an output stage's columns, in that order,
        and of an operand the labels first."""
        reader = 0
        for side, words, count in (("x", x_words, 1), ("w", w_words, tiles)):
            sizes = plane_bytes(self.design, side, len(words[f"{side}_labels"]) // count)
            start = addresses[side]
            for _ in range(count):
                for i, size in enumerate(sizes):
                    self.planes.append((start, start + size, reader + i))
                    start += size
            reader += len(sizes)
        if "c" in addresses:
            self.planes.append((addresses["c"], addresses["y"], reader))
        self.planes.sort()

    def _ask(self, cycle: int, burst: Beat) -> None:
        self.asked += 1
        self._check_burst(cycle, burst)
        end = burst["addr"] + (burst["len"] + 1) * self.beat
        at = bisect.bisect(self.planes, burst["addr"], key=lambda plane: plane[0])
        if not at or end > self.planes[at - 1][1] or burst["id"] != self.planes[at - 1][2]:
            raise RuleBroken(f"No plane of that reader is where a burst in cycle {cycle} reads: {burst}.")

    def _write_burst(self, cycle: int, burst: Beat) -> None:
        self._check_burst(cycle, burst)
        self.unanswered += 1
        if burst["id"] or self.unanswered > outstanding(self.design):
            raise RuleBroken(f"{self.unanswered} bursts wait for a response in cycle {cycle}, the last is {burst}.")

    def _answered(self, cycle: int, reply: Beat) -> None:
        self.unanswered -= 1

    def _forget(self) -> None:
        self.unanswered = 0

    def _check_burst(self, cycle: int, burst: Beat) -> None:
        address, beats = burst["addr"], burst["len"] + 1
        if (
            beats > self.design.burst
            or 1 << burst["size"] != self.beat
            or burst["burst"] != INCR
            or address % self.beat
        ):
            raise RuleBroken(f"A burst in cycle {cycle} is {burst}.")
        if (burst["cache"], burst["prot"]) != (self.design.axcache, self.design.axprot):
            raise RuleBroken(f"The attributes of a burst in cycle {cycle} are not those of the design: {burst}.")
        if address // 4096 != (address + beats * self.beat - 1) // 4096:
            raise RuleBroken(f"A burst of {beats} beats at 0x{address:x}, in cycle {cycle}, crosses 4 KiB.")

    async def idle(self) -> None:
        """Nothing is left to do."""
        status = await self.driver.read("status")
        same("busy", 0, status["busy"], 1)
        same("room in the queue", self.design.jobs, status["room"], 8)

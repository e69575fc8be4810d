"""The accelerator with a memory port, its memory, and software that writes descriptors and gives jobs up, under a clock
that stops when the idle output says so."""

from typing import Any

from cocotb.handle import HierarchyObject

from hw.axi.map import JOB_BITS, RING_BITS, descriptor_layout
from hw.engine.counters import COUNTERS
from sim.benches.inside.axi_common import Channel
from sim.benches.inside.axi_memory import MemoryBench
from sim.benches.inside.checks import Mismatch, RuleBroken, same
from sim.benches.inside.signals import Beat, signal
from sim.benches.inside.streams import Monitor
from sim.image import plane_bytes
from sim.tiles import Job

BYTES = descriptor_layout().size // 8
"""Of a descriptor."""

NUMBERS = 1 << RING_BITS
"""Of descriptors, after which they begin anew."""

MOST = 3
"""Logarithm of the size of a ring, at most."""

MANY = 4
"""Of one that has more jobs than the queue and what runs can hold."""

SETTLING = 16
"""Cycles after which the port is idle when there is nothing left to do."""

SKEW = 2
"""Cycles between the writes of a register and their effects, by which two of them may differ."""


class ControlBench(MemoryBench):
    """The accelerator, software that writes descriptors, a memory, and somebody who watches the idle output."""

    def __init__(self, dut: HierarchyObject, stall: str = "never", *, independent: bool = False):
        super().__init__(dut, stall, independent=independent)
        self.idle_output = signal(dut, "idle")
        self.stopped = 0
        """Cycles in which the clock stood still."""
        self.ran = 0
        """Cycles up to the last write of a register in which it went."""
        self.unread = 0
        """Beats that were asked for and have not come."""
        self.responses: list[int] = []
        """Cycles of the responses to what was written."""
        self.ring, self.size, self.tail = 0, 0, 0
        """Where the ring is, the logarithm of its size, and how many descriptors were written."""
        self.fetched = 0
        """Descriptors that were asked for."""
        self.opened = 0
        """How many had been when the ring was opened."""
        self.taken, self.gives_up = 0, False
        """How many had been taken at least when a job was to be given up; whether one is."""
        self.begun: set[int] = set()
        """Addresses of bursts that were read."""
        design = self.design
        finishing = 1 + design.output.row_scales if design.output else 0
        planes = sum(len(plane_bytes(design, side, 0)) for side in "xw")
        self.reader = planes + finishing + bool(design.front_end)
        """ID of what is read of the ring: that of the last reader."""
        self.about("the ring begins anew", "several descriptors under way", "the clock stopped")
        self.about(
            "descriptors left at a soft reset",
            "given up in the queue",
            "given up while it runs",
            "too late to be given up",
        )
        Monitor(self, Channel(dut, "m_axi_mem_r", ("last",)), self._read, waits=False)
        self.on_reset(self._begin_anew)
        self._watch_idle()

    def possible_errors(self) -> list[str]:
        """Those of descriptors, and two of jobs; the others are the bench's without a ring."""
        late = ["x_too_long"] if self.too_many_steps <= (self.design.w_depth or self.too_many_steps) else []
        return ["misaligned", "bad_descriptor", "read_error", "empty", "queue_full", "aborted", *late]

    @property
    def row_tiles(self) -> int:
        """Of a job with as many rows as can be."""
        return -(-self.design.panel_rows // (self.design.rows if self.design.w_depth else 1))

    @property
    def too_many_steps(self) -> int:
        """The fewest that such a job cannot have, for they are too many words of activations."""
        return self.design.x_depth // self.row_tiles + 1

    def _begin_anew(self) -> None:
        self.unread = self.tail = self.fetched = self.opened = 0

    def _read(self, cycle: int, beat: Beat) -> None:
        self.unread -= 1

    def _answered(self, cycle: int, reply: Beat) -> None:
        super()._answered(cycle, reply)
        self.responses.append(self.cycle)

    def _ask(self, cycle: int, burst: Beat) -> None:
        """Descriptors are read one by one, in their order, when they are written."""
        self.unread += burst["len"] + 1
        self.begun.add(burst["addr"])
        if burst["id"] != self.reader:
            return super()._ask(cycle, burst)
        self._check_burst(cycle, burst)
        place = self.place_of(self.fetched)
        while self.gives_up and burst["addr"] != place and self.fetched > self.taken:
            self.fetched -= 1  # what was fetched and not taken is fetched again
            place = self.place_of(self.fetched)
        if self.fetched == self.tail or (burst["addr"], burst["len"]) != (place, BYTES // self.beat - 1):
            raise RuleBroken(
                f"In cycle {cycle} descriptor {self.fetched} of {self.tail} is to be read, but not {burst}."
            )
        self.met("the ring begins anew", self.fetched > self.opened and self.fetched % (1 << self.size) == 0)
        self.fetched += 1

    def place_of(self, number: int) -> int:
        """Where a descriptor is."""
        return self.ring + number % (1 << self.size) * BYTES

    def _watch_idle(self) -> None:
        """While the port is idle nothing is on offer, missing or to be answered."""
        names = [f"m_axi_mem_{name}valid" for name in ("ar", "r", "aw", "w", "b")]
        names += [f"s_axi_ctrl_{name}valid" for name in ("b", "r")]
        lines = {name: signal(self.dut, name) for name in names}
        begins = {name: signal(self.dut, f"s_axi_ctrl_{name}valid") for name in ("ar", "aw", "w")}
        registers = ("ar", "r", "aw", "w", "b")
        pairs = [[signal(self.dut, f"s_axi_ctrl_{name}{line}") for line in ("valid", "ready")] for name in registers]
        accesses = 0  # of registers, begun and not answered

        def look(in_reset: bool) -> None:
            nonlocal accesses
            ar, r, aw, w, b = (int(valid.value) and int(ready.value) for valid, ready in pairs)
            if aw or w:
                self.ran = self.cycle - self.stopped
            under_way, accesses = accesses, 0 if in_reset else accesses + ar + aw - r - b
            if in_reset or not int(self.idle_output.value):
                return
            high = [name for name, line in lines.items() if int(line.value)]
            if high or self.unread or self.unanswered or under_way:
                missing = f"{self.unread} beats, {self.unanswered} responses and {under_way} registers are missing"
                raise RuleBroken(f"The port is idle in cycle {self.cycle}, but {missing}, and high are {high}.")
            self.stopped += not any(int(line.value) for line in begins.values())

        self.each_cycle(look)

    def finish(self) -> None:
        """Reports the test as passed."""
        self.met("the clock stopped", self.stopped > 0)
        super().finish()

    async def becomes_idle(self) -> None:
        """It says that there is nothing left to do, and goes on saying so."""
        await self.cycles(SETTLING)
        for _ in range(SETTLING):
            await self.edge
            same("idle", 1, int(self.idle_output.value), 1)
        self.checked += 1

    async def stays_busy(self, cycles: int) -> None:
        """It does not say so for so many cycles."""
        for _ in range(cycles):
            await self.edge
            same(f"idle in cycle {self.cycle}", 0, int(self.idle_output.value), 1)
        self.checked += 1

    async def open_ring(self, size: int | None = None) -> None:
        """A ring somewhere, of random size if none is given, as a logarithm."""
        self.size = int(self.rng.integers(MOST + 1)) if size is None else size
        self.ring = -(-self.place((BYTES << self.size) + BYTES) // BYTES) * BYTES
        self.opened = self.tail
        await self.driver.open_ring(self.ring, self.size)

    def descriptor(self, job: Job, addresses: dict[str, int]) -> bytes:
        """The descriptor of a job."""
        part, kinds = job.parts[0], dict[str, Any]()
        if job in self.raw:
            mantissa, exponent = (int(value[0]) for value in self.raw[job][1])
            scale = self.map.pack("job_scale", mantissa=mantissa, exponent=exponent)
            kinds = {"raw": 1, "scale": scale, **({"out": 1} if job in self.images else {})}
        shape = part.rows, part.tiles, part.steps
        return self.driver.descriptor(*shape, int8=job.int8, addresses=addresses, **kinds)

    async def post(self, descriptors: list[bytes]) -> None:
        """Writes descriptors to the ring, which has room for them, and rings its bell once."""
        for descriptor in descriptors:
            self.memory.write(self.place_of(self.tail), descriptor)
            self.tail += 1
        await self.driver.write("ring_tail", value=self.tail % NUMBERS)

    def random_jobs(self, count: int, *, large: bool = False) -> list[tuple[Job, dict[str, int]]]:
        """So many jobs, and where their operands and results are."""
        return [(job, self.lay_out(job)) for job in (self.random_job(large=large) for _ in range(count))]

    async def run_descriptors(self, count: int, *, large: bool = False) -> None:
        """Random jobs through rings; what is known of them is told by the interrupt alone, which is told to wait."""
        await self.driver.write("irq_status", job_done=1)
        await self.driver.write("irq_enable", job_done=1, error=1)
        done, jobs = await self.driver.value("jobs_done"), self.random_jobs(count, large=large)
        left = list(jobs)
        await self.open_ring()
        while left:
            if self.rng.random() < 0.2:
                await self.open_ring()
            batch, left = left[: 1 << self.size], left[1 << self.size :]
            self.met("several descriptors under way", len(batch) > 1)
            by_time = self.rng.random() < 0.5
            cycles = int(self.rng.integers(1, 300))
            await self.driver.coalesce(*((255, cycles) if by_time else (len(batch), 0)))
            await self.post([self.descriptor(job, addresses) for job, addresses in batch])
            before, done = done, done + len(batch)
            while before != done:
                await self.driver.interrupt(self.irq)
                await self.driver.write("irq_status", job_done=1)
                before = await self.driver.value("jobs_done")
                if not by_time:
                    same("jobs done at the interrupt", done, before, 32)
            await self.driver.coalesce()  # some may be done and not told of
            await self.driver.write("irq_status", job_done=1)
        for i, (job, addresses) in enumerate(jobs):
            self.check(f"job {i} of {job.shape}", job, addresses)
        same("errors", 0, len(await self.driver.errors()), 8)
        same("descriptors taken", self.tail % NUMBERS, await self.driver.value("ring_head"), RING_BITS)
        same("tag of the job done last", self.driver.tag, await self.driver.value("done_tag"), 16)
        await self.idle()

    async def give_up(self, number: int, after: int) -> set[str]:
        """Has a job given up after so many cycles, waits for all others, and returns the errors."""
        self.taken, self.gives_up = self.opened, True
        await self.cycles(after)
        await self.driver.abort(number)

        def over(status: dict[str, int]) -> bool:
            if status["room"] > self.design.jobs:
                raise Mismatch(f"There is room for {status['room']} jobs in a queue of {self.design.jobs}.")
            return not status["busy"]

        await self.driver.until("status", over)
        self.gives_up = False
        return await self.driver.errors()

    async def give_up_one(
        self, jobs: list[tuple[Job, dict[str, int]]], chosen: int, after: int, *, by_ring: bool
    ) -> None:
        """Has one of several jobs given up so many cycles after all were given, and checks what becomes of them."""
        driver = self.driver
        done, first = await driver.value("jobs_done"), await driver.value("jobs_queued")
        await driver.counters(clear=True)
        ran = self.ran
        if by_ring:
            await self.open_ring(MANY)
            await self.post([self.descriptor(job, addresses) for job, addresses in jobs])
        else:
            for job, addresses in jobs:
                await self.submit(job, addresses)
        errors = await self.give_up(first + chosen, after)
        counters = await driver.counters()
        begun = jobs[chosen][1]["x"] in self.begun
        if errors not in (set(), {"aborted"}):
            raise Mismatch(f"A job was to be given up, and the errors are {errors}.")
        same("jobs done", done + len(jobs) - len(errors), await driver.value("jobs_done"), 32)
        same("jobs queued", (first + len(jobs)) % (1 << JOB_BITS), await driver.value("jobs_queued"), JOB_BITS)
        if errors:
            same("number of the job that was given up", first + chosen, await driver.value("aborted"), JOB_BITS)
        ran, counted = self.ran - ran, sum(counters[name] for name in COUNTERS)
        if abs(ran - counted) > SKEW:
            raise Mismatch(f"Of {ran} cycles {counted} were counted.")
        self.met("given up while it runs" if begun else "given up in the queue", bool(errors))
        self.met("too late to be given up", not errors and begun)
        for i, (job, addresses) in enumerate(jobs):
            if errors and i == chosen:
                self.check_beside(f"job {i}, given up", job, addresses)
            else:
                self.check(f"job {i}, of which number {chosen} was to be given up", job, addresses)
        await self.idle()

    async def soft_reset(self) -> None:
        """A soft reset, which empties the ring."""
        await super().soft_reset()
        self.fetched = self.tail
        same("descriptors taken", self.tail % NUMBERS, await self.driver.value("ring_head"), RING_BITS)

    async def check_ring_error(self, number: int, kind: str) -> None:
        """What the register says of a descriptor that became no job; clears it."""
        expected = {"bad": 0, "misaligned": 0, "bus": 0, "valid": 1, "number": number % NUMBERS} | {kind: 1}
        found = await self.driver.read("ring_error")
        for name, value in expected.items():
            same(f"{name} of the descriptor", value, found[name], RING_BITS)
        await self.driver.write("ring_error", valid=1)
        same("valid after it was cleared", 0, (await self.driver.read("ring_error"))["valid"], 1)

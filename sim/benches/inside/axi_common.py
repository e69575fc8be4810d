"""What the benches of both AXI tops share: the control port with pauses, rules of channels, random products."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp
from numpy.typing import NDArray

from golden.frontend import FrontEndRules
from golden.int8 import Int8Matrix
from golden.lattice import DIM
from golden.matmul import matmul
from hw.axi.map import IDENTIFICATION
from hw.design import ACC_BITS, DesignPoint
from hw.engine.counters import COUNTERS
from hw.engine.rows import step_blocks
from hw.registers import RegisterMap
from sim.benches.inside.checks import Mismatch, compare, same
from sim.benches.inside.driver import Driver
from sim.benches.inside.labels import random_matrix
from sim.benches.inside.signals import Beat, Stream, pauses, signal
from sim.benches.inside.streams import Monitor, watch_independence
from sim.benches.inside.testbench import PATIENCE, PERIOD, Testbench
from sim.tiles import Job

KEPT = ((1, "add"), (1, "keep"), (3, "keep"))
"""Jobs of one row with too few tiles for what they want of rows that are kept."""


def unfit(design: DesignPoint) -> list[int]:
    """Numbers of steps that no raw row has, of a design with a front end: none else."""
    rules, each = design.front_end, step_blocks(design)
    if not rules:
        return []
    most = 1 << 30 if rules.scale == "host" else rules.row_blocks
    steps = range(1, min(design.x_depth, design.w_depth or design.x_depth) + 1)
    whole = rules.segment_blocks
    return [n for n in steps if not any(k % whole == 0 and k <= most for k in range((n - 1) * each + 1, n * each + 1))]


def raw_rows(rules: FrontEndRules, rng: np.random.Generator, count: int, blocks: int) -> NDArray[np.int64]:
    """Raw rows, small and large."""
    size = 1 << rng.integers(1, rules.raw_bits, (count, 1))
    return rng.integers(-size, size, (count, DIM * blocks))


def longest_raw(design: DesignPoint, rules: FrontEndRules, rows: int) -> int:
    """Blocks of the longest row of a raw job of so many, in whole segments; none if no raw job fits."""
    steps = design.x_depth // (rows if design.dataflow == "ws" else -(-rows // design.rows))
    most = min(steps, design.w_depth or steps) * step_blocks(design)
    if rules.scale != "host":
        most = min(most, rules.row_blocks)
    return most // rules.segment_blocks * rules.segment_blocks


class Channel(Stream):
    """A channel of AXI, or an AXI4-Stream, as a stream.

    Parameters
    ----------
    dut : HierarchyObject
    name : str
        Prefix of its signals, such as `m_axi_mem_ar` or `m_axis_acc_t`.
    fields : sequence of str
        Signals of its payload.
    """

    def __init__(self, dut: HierarchyObject, name: str, fields: tuple[str, ...]):
        self.name = name
        self.valid, self.ready = signal(dut, f"{name}valid"), signal(dut, f"{name}ready")
        self.fields = {field: signal(dut, name + field) for field in fields}
        self.widths = {field: len(handle) for field, handle in self.fields.items()}


class AxiBench(Testbench):
    """A top under AXI4-Lite.

    Parameters
    ----------
    dut : HierarchyObject
    stall : str
        One of `PAUSES`, of all channels.
    """

    def __init__(self, dut: HierarchyObject, stall: str = "never"):
        super().__init__(dut)
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        self.stall, self.design = stall, self.settings.design
        self.reset_cycles += 1  # of the core as well
        self.irq = signal(dut, "irq")
        self.map = RegisterMap.from_dict(self.settings.description["top"], self.settings.description["registers"])
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_ctrl"), self.clock, **self.resets)
        for side, names in ((self.master.write_if, ("aw", "w", "b")), (self.master.read_if, ("ar", "r"))):
            self.pause(*(getattr(side, f"{name}_channel") for name in names))
        self.beats = 0
        """That were seen on the channels which the design drives, but for those of its registers."""
        self.driver = Driver(
            self.map, self.master, self.clock, lambda name: self.met(f"error {name}"), moved=lambda: self.beats
        )
        self.about(*(f"error {name}" for name in self.possible_errors()))
        for name, fields in (("b", ("resp",)), ("r", ("data", "resp"))):
            self.watch(f"s_axi_ctrl_{name}", fields)

    def possible_errors(self) -> list[str]:
        """Errors that the bench is to see."""
        never = set[str]()
        if not self.design.w_depth:  # weight-stationary, no tile has too many words of weights
            never.add("w_too_long")
        if self.design.packed and self.design.int8 and not self.design.codes:  # registers cannot ask for anything else
            never.add("activations")
        if not unfit(self.design):
            never.add("raw_rows")
        return [field.name for field in self.map.by_name["error"].fields if field.name not in never]

    def pause(self, *channels: Any) -> None:
        """Has channels pause at random."""
        for channel in channels:
            if self.stall != "never":
                channel.set_pause_generator(pauses(self.stall, self.rng))

    def watch(
        self,
        name: str,
        fields: tuple[str, ...],
        on_beat: Callable[[int, Beat], None] = lambda cycle, beat: None,
        *,
        independent: bool = False,
    ) -> None:
        """Watches the rules of a channel that the design drives."""
        channel = Channel(self.dut, name, fields)

        def count(cycle: int, beat: Beat) -> None:
            self.beats += not name.startswith("s_axi_ctrl")
            on_beat(cycle, beat)

        Monitor(self, channel, count)
        if independent:
            cocotb.start_soon(watch_independence(self, channel))

    def random_job(self, *, large: bool = False, tiles: int = 0) -> Job:
        """A product that is one job, of a kind that the design takes: small, or as large as a bank, of many tiles; or,
        with rows as long as can be, of so many."""
        design, rng = self.design, self.rng
        stationary = design.dataflow == "ws"
        int8 = str(rng.choice(design.activations)) == "int8"
        words = design.x_depth // (1 + int8)
        highest = min(design.panel_rows, words * (1 if stationary else design.rows))
        m = highest if large else int(rng.integers(1, min(highest, (1 if tiles else 3) * design.rows) + 1))
        n = (tiles or (12 if large else int(rng.integers(1, 4)))) * design.cols - int(rng.integers(design.cols))
        units = m if stationary else -(-m // design.rows)
        most = min(words // units, design.w_depth or design.x_depth) * (design.rows if stationary else 1)
        k = most if large or tiles else int(rng.integers(1, min(most, 6) + 1))
        w = random_matrix(design.format, n, k, rng)
        if not int8:
            return self.expected(Job(design, random_matrix(design.format, m, k, rng), w))
        values = rng.integers(-127, 128, (m, w.columns)).astype(np.int8)
        return self.expected(Job(design, Int8Matrix(values, np.ones(m, dtype=np.float32)), w))

    def long_product(self) -> Job:
        """A product of several jobs: a row does not fit a bank."""
        design, rng = self.design, self.rng
        m = int(rng.integers(1, 2 * design.rows + 1))
        n = int(rng.integers(1, 6)) * design.cols - int(rng.integers(design.cols))
        blocks = min(design.x_depth, design.w_depth or design.x_depth) * (design.rows if design.dataflow == "ws" else 1)
        k = blocks * int(rng.integers(1, 4)) + int(rng.integers(1, blocks))
        w = random_matrix(design.format, n, k, rng)
        if design.packed:
            return self.expected(Job(design, random_matrix(design.format, m, k, rng), w))
        values = rng.integers(-127, 128, (m, w.columns)).astype(np.int8)
        return self.expected(Job(design, Int8Matrix(values, np.ones(m, dtype=np.float32)), w))

    def expected(self, job: Job, slower: int = 1) -> Job:
        """The job, whose results are waited for as long as it can take, with as many in front of it as can wait;
        `slower` is how many cycles a beat takes to come."""
        self.driver.expect(2 * self.design.jobs + 8, slower * job.work(job.parts[0]))
        return job

    def compare(self, what: str, job: Job, rows: Any) -> None:
        """Compares the rows of a job's results with golden's."""
        same(f"{what}, rows of results", job.output_rows, len(rows), 32)
        result = job.accumulators(rows)
        for i, (expected, actual) in enumerate(zip(self.golden(job), result, strict=True)):
            compare(f"{what}, row {i}", "column", expected.tolist(), actual.tolist(), ACC_BITS)
        self.checked += result.size

    def golden(self, job: Job) -> NDArray[Any]:
        """What a job's results should be."""
        return matmul(job.x, job.w).accumulators

    async def check_registers(self) -> None:
        """Constants, writable bits byte by byte, and the replies where there is no register."""
        driver, rng, master = self.driver, self.rng, self.master
        same("register id", IDENTIFICATION, await driver.value("id"), 32)
        array, limits = await driver.read("array"), await driver.read("limits")
        same("rows", self.design.rows, array["rows"], 8)
        same("cols", self.design.cols, array["cols"], 8)
        same("jobs", self.design.jobs, limits["jobs"], 16)
        for register in self.map.registers:
            expected = register.reset
            got = self.map.pack(register.name, **await driver.read(register.name))
            if all(field.access != "RO" or field.value is not None for field in register.fields):
                same(f"register {register.name} after reset", expected, got, 32)
            mask = sum(((1 << field.bits) - 1) << field.low for field in register.fields if field.access == "RW")
            if not mask or register.name in ("control", "ring_tail"):  # a write does something
                continue
            for _ in range(4):
                first = int(rng.integers(4))
                data = rng.bytes(int(rng.integers(1, 5 - first)))
                await master.write(register.offset + first, data)
                old = bytearray(expected.to_bytes(4, "little"))
                old[first : first + len(data)] = data
                expected = int.from_bytes(old, "little") & mask
                got = self.map.pack(register.name, **await driver.read(register.name))
                same(f"register {register.name}, bytes from {first} written", expected, got, 32)
                self.checked += 1
        used = {register.offset for register in self.map.registers}
        holes = [offset for offset in range(0, 1 << self.map.address_bits, 4) if offset not in used]
        for offset in rng.choice(holes, 20).tolist():
            for reply in (await master.read(offset, 4), await master.write(offset, bytes(4))):
                if reply.resp != AxiResp.SLVERR:
                    raise Mismatch(f"Address 0x{offset:x}, where no register is, was answered by {reply.resp.name}.")
        # Many at once: none may be lost, however long replies have to wait.
        under_way = [
            ask
            for i in range(16)
            for ask in (master.init_write(self.map.offset("job_steps"), bytes([i, 0, 0, 0])), master.init_read(0, 4))
        ]
        for ask in under_way:
            for _ in range(PATIENCE):
                if ask.is_set():
                    break
                await self.edge
            else:
                raise Mismatch(f"An access was not answered in {PATIENCE} cycles.")
        if (await master.write(0, bytes(4))).resp != AxiResp.SLVERR:
            raise Mismatch("A write to a register that is read only was answered by OKAY.")

    async def check_reset(self) -> None:
        """Whatever the registers hold, after a reset they are as at first."""
        driver = self.driver
        await driver.write("irq_enable", job_done=1, error=1)
        await driver.describe(0, 0, 0)
        for _ in range(2):  # of which one may be told of as a full queue, and not as an empty job
            await driver.write("doorbell", go=1)
        await driver.write("counter_control", snapshot=1)
        await self.reset()
        for register in self.map.registers:
            if register.name != "status":
                got = self.map.pack(register.name, **await driver.read(register.name))
                same(f"register {register.name} after a reset", register.reset, got, 32)
        same("interrupt after a reset", 0, int(self.irq.value), 1)
        self.checked += 1

    async def soft_reset(self) -> None:
        """A soft reset, after which no job was ever seen."""
        await self.driver.reset()
        await self.check_no_jobs()

    async def check_no_jobs(self) -> None:
        """What is counted of jobs begins anew."""
        for what in ("accepted", "refused", "done"):
            same(f"jobs {what} after a soft reset", 0, await self.driver.value(f"jobs_{what}"), 32)

    async def check_interrupt(self, run_job: Callable[[], Awaitable[None]]) -> None:
        """It follows the causes that are enabled, and those only, until they are cleared; one that comes in the very
        cycle of a clear is not lost."""
        driver = self.driver

        async def expect(job_done: int, error: int, enabled: dict[str, int]) -> None:
            status = await driver.read("irq_status")
            same("irq_status", job_done | 2 * error, status["job_done"] | 2 * status["error"], 2)
            raised = (job_done & enabled["job_done"]) | (error & enabled["error"])
            same(f"irq with {enabled} enabled and {status} set", raised, int(self.irq.value), 1)
            self.checked += 1

        for number in range(4):
            enabled = {"job_done": number & 1, "error": number >> 1}
            await driver.write("irq_enable", **enabled)
            await expect(0, 0, enabled)
            await run_job()
            await expect(1, 0, enabled)
            await driver.describe(0, 0, 0)
            await driver.write("doorbell", go=1)
            await driver.until("status", lambda status: not status["busy"])
            await expect(1, 1, enabled)
            await driver.write("irq_status", job_done=1)
            await expect(0, 1, enabled)
            same("errors of a job of nothing", 1, int(await driver.errors() == {"empty"}), 1)
            await expect(0, 0, enabled)

        raised, going = 0, True

        async def count() -> None:
            nonlocal raised
            before = 0
            while going:
                await self.edge
                now = int(self.irq.value)
                raised += now & ~before
                before = now

        async def clear() -> None:
            while going:
                await driver.write("irq_status", job_done=1)

        await driver.write("irq_enable", job_done=1)
        tasks = [cocotb.start_soon(task()) for task in (count, clear, clear)]
        jobs = 12
        for _ in range(jobs):
            await run_job()
        going = False
        for task in tasks:
            await task
        same("interrupts of jobs while these are cleared all the time", jobs, raised, 32)

    async def check_counters(self, run_jobs: Callable[[int], Awaitable[None]]) -> None:
        """Snapshots are of one moment: between two of them the counters together go up by the cycles between them."""
        driver, moments, sums = self.driver, [], []
        for jobs in (0, 2, 1):
            await run_jobs(jobs)
            counters = await driver.counters(clear=jobs == 1)
            moments.append(driver.moment)
            sums.append(sum(counters[name] for name in COUNTERS))
            for name, count in counters.items():
                same(f"counter {name}, read again", count, await driver.value(f"count_{name}"), 32)
        if not counters["busy"]:
            raise Mismatch(f"The array was never busy: {counters}.")
        await driver.counters()
        moments.append(driver.moment)
        sums.append(sum([await driver.value(f"count_{name}") for name in COUNTERS]) + sums[-1])
        for i in range(3):
            same(
                f"cycles from snapshot {i} to the next",
                (moments[i + 1] - moments[i]) // PERIOD,
                sums[i + 1] - sums[i],
                32,
            )
            self.checked += 1

    async def check_refusals(self, job: Job, addresses: dict[str, int] | None) -> None:
        """Descriptors that are illegal in every way are dropped, told of, and change nothing."""
        design, part, driver = self.design, job.parts[0], self.driver
        await driver.write("irq_enable", error=1)
        kinds: list[tuple[set[str], dict[str, Any]]] = [
            ({"empty"}, {"rows": 0}),
            ({"empty"}, {"tiles": 0}),
            ({"empty"}, {"steps": 0}),
            ({"too_many_rows"}, {"rows": design.panel_rows + 1}),
            ({"x_too_long"}, {"steps": design.x_depth + 1}),
        ]
        most = min(design.x_depth, design.w_depth or design.x_depth)
        if design.panel_rows // (1 if design.dataflow == "ws" else design.rows) * most > design.x_depth:
            kinds.append(({"x_too_long"}, {"rows": design.panel_rows, "steps": most}))
        half = design.x_depth // 2 + 1
        if design.int8 and half <= (design.w_depth or half):  # else that is told of first
            kinds.append(({"x_too_long"}, {"rows": 1, "steps": half, "int8": True}))
        if design.w_depth:
            kinds.append(({"w_too_long"}, {"rows": 1, "steps": design.w_depth + 1}))
        if design.keep_rows:
            many = design.keep_rows + 1
            kinds += [({"kept_rows"}, {"rows": 1, "tiles": tiles, "steps": 1, mode: 1}) for tiles, mode in KEPT]
            kinds.append(({"kept_rows"}, {"rows": 1, "tiles": many, "steps": 1, "add": 1, "keep": 1}))
        kinds += [
            ({"activations"}, {"int8": int8}) for int8 in (False, True) if not (design.int8 if int8 else design.packed)
        ]
        if "raw_rows" in self.possible_errors():
            some = self.rng.choice(unfit(design), 4)
            kinds += [({"raw_rows"}, {"rows": 1, "steps": int(steps), "raw": 1, "int8": False}) for steps in some]
        for refused, (expected, change) in enumerate(kinds):
            shape = {"rows": part.rows, "tiles": part.tiles, "steps": part.steps, "int8": job.int8} | change
            await driver.describe(**shape, addresses=addresses)
            await driver.write("doorbell", go=1)
            await driver.interrupt(self.irq)
            await driver.until("status", lambda status: not status["busy"])
            errors = await driver.errors()
            if not expected <= errors:
                raise Mismatch(f"A job of {shape} should be refused for {expected}, but the errors are {errors}.")
            same("jobs refused", refused + 1, await driver.value("jobs_refused"), 32)
            if "refused_tag" in driver.map.by_name:
                same("tag of the job that was refused", driver.tag, await driver.value("refused_tag"), 16)
            self.checked += 1
        same("jobs accepted", 0, await driver.value("jobs_accepted"), 32)
        same("interrupt after the errors were cleared", 0, int(self.irq.value), 1)

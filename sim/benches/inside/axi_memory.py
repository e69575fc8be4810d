"""The accelerator with a memory port, and software that lays out jobs in memory and looks at what they write."""

import bisect
from dataclasses import replace
from typing import Any

import numpy as np
from cocotb.handle import HierarchyObject
from numpy.typing import NDArray

from golden.frontend import Multiplier
from golden.lattice import DIM
from golden.matmul import matmul
from golden.output import Columns, Rows
from hw.codec.encoder import cycles_per_block
from hw.engine.rows import step_blocks
from sim.benches.inside.axi_common import longest_raw, raw_rows
from sim.benches.inside.axi_port import PortBench
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.labels import random_matrix
from sim.image import (
    columns_image,
    operand_image,
    plane_bytes,
    raw_image,
    result_bytes,
    result_rows,
    rows_image,
    strided_rows,
)
from sim.models.bus import BusJob
from sim.models.schedule import Part
from sim.tiles import Job, Payload


class MemoryBench(PortBench):
    """Random jobs, from memory to memory; the parameters are those of `PortBench`."""

    def __init__(self, dut: HierarchyObject, stall: str = "never", *, independent: bool = False, exact: bool = False):
        super().__init__(dut, stall, independent=independent, exact=exact)
        self.raw: dict[Job, tuple[NDArray[np.int64], Multiplier]] = {}
        """The rows of raw jobs, and what multiplies them."""
        self.images: dict[Job, bytes] = {}
        """What those of them write that are packed and not multiplied."""
        self.columns: dict[Job, Columns] = {}
        """What an output stage does with the columns of each job."""
        self.rows: dict[Job, Rows] = {}
        """And with its rows."""
        if self.design.codes:
            self.about("codes to memory")

    def lay_out(self, job: Job) -> dict[str, int]:
        """Puts the operands of a job in memory, and noise where its results will be; returns the addresses."""
        if job in self.images:
            return self._lay_out_codes(job)
        return self.lay_out_part(job, job.parts[0], next(job.x_words()), next(job.w_words()))

    def lay_out_part(self, job: Job, part: Part, x_words: Payload, w_words: Payload) -> dict[str, int]:
        """The same for a part of a product that is several jobs."""
        images = {
            "x": self.raw_image(job, part) if job in self.raw else operand_image(self.design, "x", x_words),
            "w": operand_image(self.design, "w", w_words, part.tiles),
        }
        if self.design.output:
            columns = self.columns_of(job).part(part.first_tile * self.design.cols, part.tiles * self.design.cols)
            images["c"] = columns_image(self.design, columns, part.tiles)
        if rows := self.rows_of(job):
            images["r"] = rows_image(self.design, rows.part(part.first_row, part.rows))
        addresses = {}
        for name, image in images.items():
            addresses[name] = self.place(len(image))
            self.memory.write(addresses[name], image)
        size, stride = result_bytes(self.design, part.output_rows), 0
        if self.design.strides and self.rng.random() < 0.7:
            width = result_bytes(self.design, part.tiles)
            stride = -(-width // self.beat) * self.beat + int(self.rng.choice([0, 1, 5, 600])) * self.beat
            size = (part.rows - 1) * stride + width if part.output_rows else 0
        addresses["y"] = self.place(size)
        self._noise(addresses["y"], size)
        sizes = {name: len(images[name]) for name in "cr" if name in images}
        if job in self.raw:
            sizes["x"] = len(images["x"])
        self._note_planes(addresses, part.tiles, x_words, w_words, sizes)
        if self.design.strides:
            addresses["y_stride"] = stride
        if job in self.raw:
            addresses["x_stride"] = len(images["x"]) // part.rows
        return addresses

    def _lay_out_codes(self, job: Job) -> dict[str, int]:
        """The same for raw rows that are packed and not multiplied: nothing else is read, and where that is, or how far
        apart results are, does not matter."""
        image, rows = self.raw_image(job, job.parts[0]), job.parts[0].rows
        finishing = ["c", "r"] if self.rows_of(job) else ["c"] if self.design.output else []
        addresses = {name: self.place(0) for name in ("w", *finishing)}
        addresses |= {"x": self.place(len(image)), "x_stride": len(image) // rows}
        self.memory.write(addresses["x"], image)
        addresses["y"] = self.place(len(self.images[job]))
        self._noise(addresses["y"], len(self.images[job]))
        if self.design.strides:
            addresses["y_stride"] = int(self.rng.integers(3)) * self.beat
        reader = sum(len(plane_bytes(self.design, side, 0)) for side in "xw") + len(finishing)
        bisect.insort(self.planes, (addresses["x"], addresses["x"] + len(image), reader))
        return addresses

    def raw_image(self, job: Job, part: Part) -> bytes:
        """Raw rows in memory, each with as many blocks as a row of the job may have, and something behind it."""
        rules, (x, _) = self.design.front_end, self.raw[job]
        assert rules is not None
        blocks = part.steps * step_blocks(self.design) // rules.segment_blocks * rules.segment_blocks
        beats = -(-blocks * DIM * rules.raw_bits // self.design.bus_bits) + int(self.rng.choice([0, 1, 100]))
        return raw_image(x, rules.raw_bits, blocks, beats * self.beat)

    def random_job(self, *, large: bool = False, tiles: int = 0) -> Job:
        """A product that is one job; of a design with a front end often one of raw rows, if it need not be of so many
        tiles."""
        design, rng, rules = self.design, self.rng, self.design.front_end
        rows = int(rng.integers(1, min(design.panel_rows, 3 * design.rows) + 1))
        longest = longest_raw(design, rules, rows) if rules else 0
        if tiles or not rules or not longest or rng.random() < 0.3:
            return super().random_job(large=large, tiles=tiles)
        segments = longest // rules.segment_blocks
        blocks = rules.segment_blocks * (segments if large else int(rng.integers(1, min(segments, 3) + 1)))
        x = raw_rows(rules, rng, rows, blocks)
        multiplier = rules.multiplier((np.sqrt(np.square(x).mean()) + 0.5) * rng.uniform(0.05, 0.5, 1))
        packed, _ = rules.run(x, multiplier=Multiplier(*(np.repeat(part, rows) for part in multiplier)))
        n = (6 if large else int(rng.integers(1, 4))) * design.cols - int(rng.integers(design.cols))
        job = Job(design, packed, random_matrix(design.format, n, packed.blocks, rng))
        self.raw[job] = x, multiplier
        if design.codes and rng.random() < 0.5:
            self.images[job] = operand_image(design, "x", next(job.x_words()))
        return self.expected(job, 2 * cycles_per_block(rules) * design.rows * max(1, rules.raw_bits * DIM // 32))

    async def describe(self, job: Job, addresses: dict[str, int]) -> None:
        """Writes the registers of a job."""
        part, kinds = job.parts[0], {}
        if job in self.raw:
            kinds["raw"], (_, multiplier) = 1, self.raw[job]
            mantissa, exponent = (int(value[0]) for value in multiplier)
            await self.driver.write("job_scale", mantissa=mantissa, exponent=exponent)
        if job in self.images:
            kinds["out"] = 1
        await self.driver.describe(part.rows, part.tiles, part.steps, int8=job.int8, addresses=addresses, **kinds)

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

    def rows_of(self, job: Job) -> Rows | None:
        """What it does with a job's rows, if they have scales: something at random, a few of which clip."""
        rules = self.design.output
        if not rules or not rules.row_scales:
            return None
        if job not in self.rows:
            (m, _), rng = job.x.shape, self.rng
            self.rows[job] = Rows.of(np.exp2(rng.uniform(-2, 1, m)) * rng.choice([1.0, 1.0, 1.0, 1e-9, 32767.0], m))
        return self.rows[job]

    def long_product(self) -> Job:
        """A product of several jobs; with an output stage one whose sums are made on chip, if that can be."""
        for _ in range(100 if self.design.keep_rows or not self.design.output else 0):
            job = super().long_product()
            ends = [(part.first_row, part.first_tile) for part in job.parts if not part.keep]
            if not self.design.output or len(set(ends)) == len(ends):
                return job
        return super().random_job()  # none of raw rows

    def golden(self, job: Job) -> NDArray[Any]:
        """Accumulators, or what the output stage makes of them."""
        accumulators, rules = super().golden(job), self.design.output
        return rules.finish(accumulators, self.columns_of(job), self.rows_of(job)) if rules else accumulators

    def check(self, what: str, job: Job, addresses: dict[str, int]) -> None:
        """Compares the results of a job in memory, and what is around them."""
        if job in self.images:
            expected = self.images[job]
            found = self._written(what, addresses["y"], len(expected))
            for at, (one, other) in enumerate(zip(expected, found, strict=True)):
                same(f"{what}, byte {at} of its codes", one, other, 8)
            self.checked += len(expected)
            self.met("codes to memory")
            return
        self.compare(what, job, self.results(what, job.parts[0], addresses))

    def check_beside(self, what: str, job: Job, addresses: dict[str, int]) -> None:
        """Nothing was written around the results of a job, whatever they are."""
        if job in self.images:
            self._written(what, addresses["y"], len(self.images[job]))
        else:
            self.results(what, job.parts[0], addresses)

    def results(self, what: str, part: Part, addresses: dict[str, int]) -> NDArray[np.uint32]:
        """The rows of results of a job; looks at what is around them."""
        y, stride, between = addresses["y"], addresses.get("y_stride", 0), b""
        size = result_bytes(self.design, part.output_rows)
        if stride and size:
            size = (part.rows - 1) * stride + result_bytes(self.design, part.tiles)
        found = self._written(what, y, size)
        if stride and size:
            found, between = strided_rows(self.design, found, part.rows, part.tiles, stride)
        if set(between) - {0xA5}:
            raise Mismatch(f"{what} wrote between its results.")
        return result_rows(self.design, found)

    async def run_product(self, job: Job) -> None:
        """A product of several jobs, whose sums are kept on chip where the design can."""
        driver, placed = self.driver, []
        before = await driver.value("jobs_done")
        for part, x_words, w_words in zip(job.parts, job.x_words(), job.w_words(), strict=True):
            placed.append((part, self.lay_out_part(job, part, x_words, w_words)))
            await driver.submit(part, int8=job.int8, addresses=placed[-1][1])
        await driver.until("status", lambda status: not status["busy"])
        same("jobs done", before + len(placed), await driver.value("jobs_done"), 32)
        rows = [self.results(f"job {i}", part, addresses) for i, (part, addresses) in enumerate(placed)]
        self.compare(f"product {job.shape} of {len(placed)} jobs", job, np.concatenate(rows))
        same("errors", 0, len(await driver.errors()), 8)

    async def submit(self, job: Job, addresses: dict[str, int]) -> None:
        """Queues a job, as soon as there is room."""
        await self.driver.until("status", lambda status: status["room"] > 0)
        await self.describe(job, addresses)
        await self.driver.write("doorbell", go=1)

    async def run_job(self) -> None:
        """A random job, without a look at the interrupt."""
        job = self.random_job()
        addresses = self.lay_out(job)
        await self.submit(job, addresses)
        await self.driver.until("status", lambda status: not status["busy"])
        self.check(f"job of {job.shape}", job, addresses)

    def described(self, job: Job, addresses: dict[str, int], offered: int) -> BusJob:
        """A job as the cycle model takes it, which software offers in that cycle."""
        part, passes = job.parts[0], 1 + job.int8
        places: dict[str, Any] = {name: addresses[name] for name in "xwycr" if name in addresses}
        places |= {"stride": addresses.get("y_stride", 0), "x_stride": addresses.get("x_stride", 0)}
        told = BusJob(part.rows, part.tiles, part.steps, passes, 0, 0, 0, raw=job in self.raw, out=job in self.images)
        return replace(told, offered=offered, **places)

    async def run_jobs(self, count: int, *, large: bool = False) -> None:
        """Random jobs, queued as fast as there is room, each compared at the end; of several one multiplies."""
        await self.driver.write("irq_enable", job_done=1, error=1)
        before = await self.driver.value("jobs_done")
        chosen = [self.random_job(large=large) for _ in range(count)]
        if count > 1 and all(job in self.images for job in chosen):
            del self.images[chosen[-1]]
        jobs = [(job, self.lay_out(job)) for job in chosen]
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
            self.check(f"job {i} of {job.shape}", job, addresses)
        if self.design.diagnostics and count:
            same("tag of the job done last", self.driver.tag, await self.driver.value("done_tag"), 16)
        await self.idle()

    async def idle(self) -> None:
        """Nothing is left to do."""
        status = await self.driver.read("status")
        same("busy", 0, status["busy"], 1)
        same("room in the queue", self.design.jobs, status["room"], 8)

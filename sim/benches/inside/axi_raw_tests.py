"""The front end behind AXI4-Stream: raw rows into the array, or out again as codes, against golden."""

from typing import Any

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource
from numpy.typing import NDArray

from golden.format import PackedMatrix
from golden.frontend import MANTISSA_BITS, SEED_BITS, Gain, Multiplier
from golden.lattice import DIM
from hw.codec.encoder import cycles_per_block
from hw.engine.rows import step_blocks
from sim.benches.inside.axi_common import longest_raw, raw_rows, unfit
from sim.benches.inside.axi_stream_tests import StreamBench
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.labels import random_matrix
from sim.benches.inside.signals import PAUSES
from sim.benches.inside.words import pack
from sim.image import result_rows
from sim.tiles import Job


class RawBench(StreamBench):
    """The accelerator with a front end, and its further streams."""

    def __init__(self, dut: HierarchyObject, stall: str = "never"):
        super().__init__(dut, stall)
        assert self.design.front_end is not None
        self.rules = self.design.front_end
        self.raw = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_raw"), self.clock, **self.resets)
        self.codes, self.multipliers = (
            AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_{name}"), self.clock, **self.resets)
            for name in ("codes", "multipliers")
        )
        self.pause(self.raw, self.codes, self.multipliers)
        self.sources["raw"] = self.raw
        self.sinks |= {"codes": self.codes, "multipliers": self.multipliers}
        self.given = None
        if self.rules.scale == "host":
            bus = AxiStreamBus.from_prefix(dut, "s_axis_multipliers")
            self.given = self.sources["multipliers"] = AxiStreamSource(bus, self.clock, **self.resets)
            self.pause(self.given)
        for name in ("codes", "multipliers"):
            self.watch(f"m_axis_{name}_t", ("data", "last"))

    def possible_errors(self) -> list[str]:
        """Those of raw rows; the others are the bench's without them."""
        return ["raw_rows", "bad_row"] if unfit(self.design) else ["bad_row"]

    async def prepare(self, x: NDArray[np.int64], out: int) -> tuple[PackedMatrix, Multiplier]:
        """Sets the front end up for rows, with any seed, and gives their multipliers if the host has to; what golden
        makes of them."""
        rules, gain, multiplier = self.rules, None, None
        seed = int(self.rng.integers(1 << SEED_BITS))
        await self.driver.write("front_end_seed", value=seed)
        await self.driver.write("front_end_route", out=out)
        if self.given:
            size = np.sqrt(np.square(x).mean(axis=1)) + 0.5
            multiplier = rules.multiplier(size * self.rng.uniform(0.05, 0.5, len(x)))
            for word in self.words(multiplier):
                self.given.send_nowait(word.to_bytes(-(-(MANTISSA_BITS + rules.exponent_bits) // 8), "little"))
        else:
            gain = Gain(int(self.rng.integers(1 << MANTISSA_BITS)), rules.gain(x.shape[1]).exponent)
            await self.driver.write("front_end_gain", mantissa=gain.mantissa, exponent=gain.exponent)
        return rules.run(x, seed=seed, gain=gain, multiplier=multiplier)

    def rows(self, count: int, blocks: int) -> NDArray[np.int64]:
        """Raw rows, small and large."""
        return raw_rows(self.rules, self.rng, count, blocks)

    def send_rows(self, x: NDArray[np.int64]) -> None:
        """Queues raw rows, a packet each."""
        bits = self.rules.raw_bits
        for row in x.reshape(len(x), -1, DIM).tolist():
            self.raw.send_nowait(b"".join(pack(block, bits).to_bytes(bits, "little") for block in row))

    def longest(self, rows: int) -> int:
        """Blocks of the longest row of a job of so many, in whole segments; none if no raw job fits."""
        return longest_raw(self.design, self.rules, rows)

    def some_blocks(self) -> int:
        """Blocks of a row of up to three segments, as many as can be measured."""
        segment = self.rules.segment_blocks
        most = 3 * segment if self.rules.scale == "host" else min(3 * segment, self.rules.row_blocks)
        return most // segment * segment

    def job(self, x: NDArray[np.int64], packed: PackedMatrix, columns: int) -> Job:
        """A raw job of such rows: as it would be of packed ones, which are no more than a job holds."""
        w = random_matrix(self.design.format, columns, packed.blocks, self.rng)
        slower = cycles_per_block(self.rules) * self.design.rows
        return self.expected(Job(self.design, packed, w), slower)

    async def packets(self, sink: Any, count: int) -> list[bytes]:
        """So many packets of a stream."""
        found: list[bytes] = []
        for _ in range(self.driver.patience):
            while not sink.empty():
                found.append(bytes(sink.recv_nowait().tdata))
            if len(found) >= count:
                return found
            await self.edge
        most = self.driver.patience
        raise Mismatch(f"{count - len(found)} of {count} packets did not come out in {most} cycles.")

    def words(self, multiplier: Multiplier) -> list[int]:
        """Multipliers as they come out."""
        pairs = zip(multiplier.mantissa.tolist(), multiplier.exponent.tolist(), strict=True)
        return [mantissa | exponent << MANTISSA_BITS for mantissa, exponent in pairs]


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def rows_into_the_array(dut: HierarchyObject, stall: str) -> None:
    """Raw jobs between others, the last one with the longest rows that there may be."""
    bench = RawBench(dut, stall)
    design, segment = bench.design, bench.rules.segment_blocks
    await bench.start()
    for number in range(5):
        await bench.run_jobs(1)
        count = int(bench.rng.integers(1, design.rows + 1)) if number < 4 else 1
        longest = bench.longest(count)
        if not longest:
            continue
        blocks = min(segment * int(bench.rng.integers(1, 4)), longest) if number < 4 else longest
        x = bench.rows(count, blocks)
        packed, multiplier = await bench.prepare(x, out=0)
        job = bench.job(x, packed, design.cols + 1)
        bench.send(job, "w")
        bench.send_rows(x)
        await bench.driver.submit(job.parts[0], int8=False, raw=1)
        what = f"raw job {number} of {job.shape}"
        bench.compare(what, job, result_rows(design, await bench.receive(what)))
        came = [int.from_bytes(packet, "little") for packet in await bench.packets(bench.multipliers, len(x))]
        for row, (expected, actual) in enumerate(zip(bench.words(multiplier), came, strict=True)):
            same(f"{what}, multiplier of row {row}", expected, actual, 16)
    same("errors", 0, len(await bench.driver.errors()), 8)
    bench.finish()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def rows_out_as_codes(dut: HierarchyObject, stall: str) -> None:
    """Rows that the array never sees."""
    bench = RawBench(dut, stall)
    await bench.start()
    x = bench.rows(8, bench.some_blocks())
    packed, multiplier = await bench.prepare(x, out=1)
    bench.driver.expect(8, cycles_per_block(bench.rules) * packed.blocks)
    bench.send_rows(x)
    for row, packet in enumerate(await bench.packets(bench.codes, len(x))):
        compare_codes(f"row {row}", packed, row, packet, bench.words(multiplier)[row])
        bench.checked += packed.blocks
    bench.finish()


@cocotb.test
async def rows_both_ways(dut: HierarchyObject) -> None:
    """Rows that go out between rows of raw jobs; each comes out where it should."""
    bench = RawBench(dut, "random")
    design = bench.design
    await bench.start()
    for number in range(4):
        fits = bench.longest(2) if design.panel_rows > 1 else 0
        blocks = min(2 * bench.rules.segment_blocks, fits) if fits else bench.some_blocks()
        x = bench.rows(2, blocks)
        out = number % 2 or not fits
        packed, multiplier = await bench.prepare(x, out=int(out))
        job = bench.job(x, packed, design.cols)
        bench.send_rows(x)
        if out:
            for row, packet in enumerate(await bench.packets(bench.codes, len(x))):
                compare_codes(f"pass {number}, row {row}", packed, row, packet, bench.words(multiplier)[row])
                bench.checked += packed.blocks
            continue
        bench.send(job, "w")
        await bench.driver.submit(job.parts[0], int8=False, raw=1)
        bench.compare(f"pass {number}", job, result_rows(design, await bench.receive(f"pass {number}")))
        await bench.packets(bench.multipliers, len(x))
    same("codes left", 0, bench.codes.count(), 32)
    bench.finish()


def compare_codes(what: str, packed: PackedMatrix, row: int, packet: bytes, multiplier: int) -> None:
    """A packet of codes with a row of golden's."""
    size, label_bits = len(packet) // packed.blocks, packed.format.label_bits
    same(f"{what}, bytes", packed.blocks * size, len(packet), 32)
    for k in range(packed.blocks):
        word = int.from_bytes(packet[k * size : (k + 1) * size], "little")
        expected = int(packed.labels[row, k]) | int(packed.betas[row, k]) << label_bits
        expected |= multiplier << (label_bits + packed.format.beta_bits)
        same(f"{what}, block {k}", expected, word, 8 * size)


@cocotb.test
@cocotb.parametrize(soft=(True, False))
async def reset_within_a_row(dut: HierarchyObject, soft: bool) -> None:
    """The rows after it begin anew, and nothing of those before comes out."""
    bench = RawBench(dut, "random")
    await bench.start()
    blocks = bench.some_blocks()
    for _ in range(6):
        await bench.prepare(bench.rows(3, blocks), out=1)
        bench.send_rows(bench.rows(3, blocks))
        await bench.cycles(int(bench.rng.integers(1, 12 * blocks)))
        await (bench.reset_system() if soft else bench.check_reset())
        x = bench.rows(2, blocks)
        packed, multiplier = await bench.prepare(x, out=1)
        bench.driver.expect(3, cycles_per_block(bench.rules) * packed.blocks)
        bench.send_rows(x)
        for row, packet in enumerate(await bench.packets(bench.codes, len(x))):
            compare_codes(f"row {row} after a reset", packed, row, packet, bench.words(multiplier)[row])
            bench.checked += packed.blocks
    bench.finish()


@cocotb.test
async def rows_of_other_lengths(dut: HierarchyObject) -> None:
    """They are told of, and the next job is as if nothing had been: too short and too long by blocks, by segments and
    by far."""
    bench = RawBench(dut)
    design, segment, each = bench.design, bench.rules.segment_blocks, step_blocks(bench.design)
    await bench.start()
    longest = bench.longest(1)
    blocks = min(2 * segment, longest)
    wrong = {blocks - 1, blocks + 1, 1, blocks + segment, blocks + longest + 3 * segment * each} - {0, blocks}
    if not longest:
        wrong = set()
    for sent in sorted(wrong):
        x = bench.rows(1, blocks)
        packed, _ = await bench.prepare(x, out=0)
        job = bench.job(x, packed, 1)
        told = not (sent % segment == 0 and -(-sent // each) == -(-blocks // each) and sent <= longest)
        for some in (bench.rows(1, sent), x):
            bench.send(job, "w")
            bench.send_rows(some)
            await bench.driver.submit(job.parts[0], int8=False, raw=1)
            result = await bench.receive("a raw job")
            await bench.packets(bench.multipliers, 1)
            errors = await bench.driver.errors()
            if errors != ({"bad_row"} if told and some is not x else set()):
                raise Mismatch(f"After a row of {some.shape[1] // DIM} blocks where {blocks} belong: {errors}.")
            if some is not x:
                packed, _ = await bench.prepare(x, out=0)
                job = bench.job(x, packed, 1)
            else:
                bench.compare("the job after it", job, result_rows(design, result))
    await bench.run_jobs(3)
    bench.finish()


@cocotb.test
async def raw_jobs_that_no_row_fits(dut: HierarchyObject) -> None:
    """They are refused, with a reason."""
    bench = RawBench(dut)
    await bench.start()
    for steps in unfit(bench.design)[:12]:
        await bench.driver.describe(1, 1, steps, raw=1)
        await bench.driver.write("doorbell", go=1)
        await bench.driver.until("status", lambda status: not status["busy"])
        if (errors := await bench.driver.errors()) != {"raw_rows"}:
            raise Mismatch(f"No row has {steps} steps, but the errors are {errors}.")
        bench.checked += 1
    await bench.run_jobs(1)
    bench.finish()

"""The front end behind AXI4-Stream: raw rows into the array, or out again as codes, against golden."""

from math import lcm
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource
from numpy.typing import NDArray

from golden.format import PackedMatrix
from golden.frontend import MANTISSA_BITS, SEED, Gain, Multiplier
from golden.lattice import DIM
from sim.benches.inside.axi_stream_tests import StreamBench
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.driver import PATIENCE
from sim.benches.inside.labels import random_matrix
from sim.benches.inside.signals import PAUSES
from sim.image import result_rows
from sim.tiles import Job


class RawBench(StreamBench):
    """The accelerator with a front end, and its further streams."""

    def __init__(self, dut: HierarchyObject, stall: str = "never"):
        super().__init__(dut, stall)
        assert self.design.front_end is not None
        self.rules = self.design.front_end
        self.raw = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_raw"), self.clock)
        self.codes, self.multipliers = (
            AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_{name}"), self.clock)
            for name in ("codes", "multipliers")
        )
        self.pause(self.raw, self.codes, self.multipliers)
        for name in ("codes", "multipliers"):
            self.watch(f"m_axis_{name}_t", ("data", "last"))

    async def prepare(self, columns: int, out: int) -> Gain:
        """Sets the front end up."""
        gain = self.rules.gain(columns)
        await self.driver.write("front_end_seed", value=SEED)
        await self.driver.write("front_end_gain", mantissa=gain.mantissa, exponent=gain.exponent)
        await self.driver.write("front_end_route", out=out)
        return gain

    def rows(self, count: int, columns: int) -> NDArray[np.int64]:
        """Raw rows, small and large."""
        size = 1 << self.rng.integers(4, self.rules.raw_bits, (count, 1))
        return self.rng.integers(-size, size, (count, columns))

    def send_rows(self, x: NDArray[np.int64]) -> None:
        """Queues raw rows, a packet each."""
        for row in x:
            self.raw.send_nowait(row.astype("<i2").tobytes())

    async def packets(self, sink: Any, count: int) -> list[bytes]:
        """So many packets of a stream."""
        found: list[bytes] = []
        for _ in range(PATIENCE):
            while not sink.empty():
                found.append(bytes(sink.recv_nowait().tdata))
            if len(found) >= count:
                return found
            await self.edge
        raise Mismatch(f"{count - len(found)} of {count} packets did not come out in {PATIENCE} cycles.")

    def words(self, multiplier: Multiplier) -> list[int]:
        """Multipliers as they come out."""
        pairs = zip(multiplier.mantissa.tolist(), multiplier.exponent.tolist(), strict=True)
        return [mantissa | exponent << MANTISSA_BITS for mantissa, exponent in pairs]


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def rows_into_the_array(dut: HierarchyObject, stall: str) -> None:
    """Raw jobs between packed ones."""
    bench = RawBench(dut, stall)
    design, rules = bench.design, bench.rules
    await bench.start()
    for number in range(4):
        await bench.run_jobs(1)
        blocks = rules.segment_blocks * int(bench.rng.integers(1, 4))
        x = bench.rows(int(bench.rng.integers(1, design.rows + 1)), DIM * blocks)
        gain = await bench.prepare(DIM * blocks, out=0)
        packed, multiplier = rules.run(x, gain=gain)
        job = Job(design, packed, random_matrix(design.format, design.cols + 1, blocks, bench.rng))
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
    format = bench.format
    await bench.start()
    columns = bench.rules.length * 3
    gain = await bench.prepare(columns, out=1)
    x = bench.rows(8, columns)
    packed, multiplier = bench.rules.run(x, gain=gain)
    bench.send_rows(x)
    for row, packet in enumerate(await bench.packets(bench.codes, len(x))):
        compare_codes(f"row {row}", packed, row, packet, bench.words(multiplier)[row], format.label_bits)
        bench.checked += packed.blocks
    bench.finish()


@cocotb.test
async def rows_both_ways(dut: HierarchyObject) -> None:
    """Rows that go out between rows of raw jobs; each comes out where it should."""
    bench = RawBench(dut, "random")
    design, rules = bench.design, bench.rules
    await bench.start()
    columns = 2 * rules.length
    for number in range(4):
        x = bench.rows(2, columns)
        gain = await bench.prepare(columns, out=number % 2)
        packed, multiplier = rules.run(x, gain=gain)
        bench.send_rows(x)
        if number % 2:
            for row, packet in enumerate(await bench.packets(bench.codes, len(x))):
                word = bench.words(multiplier)[row]
                compare_codes(f"pass {number}, row {row}", packed, row, packet, word, bench.format.label_bits)
            continue
        job = Job(design, packed, random_matrix(design.format, design.cols, packed.blocks, bench.rng))
        bench.send(job, "w")
        await bench.driver.submit(job.parts[0], int8=False, raw=1)
        bench.compare(f"pass {number}", job, result_rows(design, await bench.receive(f"pass {number}")))
        await bench.packets(bench.multipliers, len(x))
    same("codes left", 0, bench.codes.count(), 32)
    bench.finish()


def compare_codes(what: str, packed: PackedMatrix, row: int, packet: bytes, multiplier: int, label_bits: int) -> None:
    """A packet of codes with a row of golden's."""
    size = len(packet) // packed.blocks
    same(f"{what}, bytes", packed.blocks * size, len(packet), 32)
    for k in range(packed.blocks):
        word = int.from_bytes(packet[k * size : (k + 1) * size], "little")
        expected = int(packed.labels[row, k]) | int(packed.betas[row, k]) << label_bits
        expected |= multiplier << (label_bits + packed.format.beta_bits)
        same(f"{what}, block {k}", expected, word, 8 * size)


@cocotb.test
async def a_row_of_another_length(dut: HierarchyObject) -> None:
    """It is told of, and a soft reset brings everything back."""
    bench = RawBench(dut)
    design, rules = bench.design, bench.rules
    await bench.start()
    # Whole steps: a job says no more of its rows than how many they have.
    some = rules.segment_blocks if design.dataflow == "os" else lcm(rules.segment_blocks, design.rows)
    blocks = 2 * some
    for wrong in (some, 5 * some):
        await bench.prepare(DIM * blocks, out=0)
        x = bench.rows(1, DIM * blocks)
        packed, _ = rules.run(x, gain=rules.gain(DIM * blocks))
        job = Job(design, packed, random_matrix(design.format, 1, blocks, bench.rng))
        bench.send(job, "w")
        bench.send_rows(bench.rows(1, DIM * wrong))
        await bench.driver.submit(job.parts[0], int8=False, raw=1)
        await bench.receive("the job of a wrong row")
        if (errors := await bench.driver.errors()) != {"bad_row"}:
            raise Mismatch(f"A row of {wrong} blocks where {blocks} belong should be told of; the errors are {errors}.")
        await bench.packets(bench.multipliers, 1)
    await bench.run_jobs(3)
    bench.finish()

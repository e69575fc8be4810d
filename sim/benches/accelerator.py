"""The accelerator against `golden.matmul`, and its counters against what its streams do."""

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject

from golden.matmul import matmul
from hw.accelerator import COUNTER_BITS, COUNTERS
from hw.design import ACC_BITS
from sim.benches.checks import Mismatch, RuleBroken, compare, same
from sim.benches.labels import random_matrix
from sim.benches.streams import PAUSES, Beat, Monitor, Sink, Source, signal, watch_independence
from sim.benches.testbench import PATIENCE, Testbench
from sim.benches.tiles import Rows, Tile, random_tile, random_tiles
from sim.benches.words import unpack
from sim.tiles import Job


class Counters:
    """Compares the counters, cycle by cycle, with a model that sees the streams only.

    Parameters
    ----------
    bench : AcceleratorBench
    """

    def __init__(self, bench: "AcceleratorBench"):
        self.bench = bench
        self.signals = {name: signal(bench.dut, name) for name in COUNTERS}
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.cycles = 0
        """Since reset."""
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await self.bench.edge
            if self.bench.in_reset:
                self.counts, self.cycles = dict.fromkeys(COUNTERS, 0), 0
                continue
            now = {name: int(handle.value) for name, handle in self.signals.items()}
            for name, count in self.counts.items():
                same(f"counter {name}, {self.cycles} cycles after reset", count, now[name], COUNTER_BITS)
            same("sum of the counters", self.cycles, sum(now.values()), COUNTER_BITS)
            self.counts[self._cause()] += 1
            self.cycles += 1

    def _cause(self) -> str:
        """What the present cycle counts as."""
        x, w = self.bench.streams["x"], self.bench.streams["w"]
        taken = [stream.is_valid and stream.is_ready for stream in (x, w)]
        if taken[0] != taken[1]:
            raise RuleBroken(f"A beat of only one of x and w was taken, in cycle {self.bench.cycle}.")
        if taken[0]:
            return "busy"
        if x.is_valid and w.is_valid:
            return "drain_blocked"
        return "w_late" if x.is_valid else "x_late" if w.is_valid else "idle"


class AcceleratorBench(Testbench):
    """An accelerator between two sources and a sink."""

    def __init__(
        self, dut: HierarchyObject, x: str = "never", w: str = "never", stall: str = "never", *, patient: bool = False
    ):
        super().__init__(dut)
        self.design = self.settings.design
        self.sources = {name: Source(self, self.streams[name], idle) for name, idle in (("x", x), ("w", w))}
        self.sink = Sink(self, self.streams["acc"], stall, patient=patient)
        self.rows = Rows(self, exact=stall == "never" and not patient)
        self.counters = Counters(self)
        for name, on_beat in (("x", self._into), ("w", lambda cycle, beat: None), ("acc", self._out_of)):
            Monitor(self, self.streams[name], on_beat)

    def send(self, tiles: list[Tile]) -> None:
        """Queues tiles."""
        for tile in tiles:
            self.rows.expect(tile)
            for x, w in tile.packed():
                self.sources["x"].send([x])
                self.sources["w"].send([w])

    async def run(self, tiles: list[Tile]) -> None:
        """Computes tiles, and reports the test as passed."""
        await self.start()
        self.send(tiles)
        await self.done()

    async def done(self) -> None:
        """Waits for all rows, and reports the test as passed."""
        await self.rows.scoreboard.empty()
        self.finish()

    def _into(self, cycle: int, beat: Beat) -> None:
        if beat["last"]:
            self.rows.ended(cycle)

    def _out_of(self, cycle: int, beat: Beat) -> None:
        self.rows.take(cycle, beat)


class ProductBench(AcceleratorBench):
    """An accelerator that computes whole products, cut into tiles and put together as for the devices."""

    came: list[list[int]]
    """Rows that came out."""

    async def run_job(self, job: Job) -> None:
        """Computes a product, and reports the test as passed."""
        await self.start()
        self.came = []
        for name, payload in job.inputs().items():
            fields = {port.removeprefix(f"{name}_"): words.astype("<u4") for port, words in payload.items()}
            self.sources[name].send(
                {field: int.from_bytes(words[k].tobytes(), "little") for field, words in fields.items()}
                for k in range(job.beats)
            )
        before = -1
        while len(self.came) < job.output_rows:
            if len(self.came) == before:
                raise Mismatch(f"Only {before} of {job.output_rows} rows came out, up to cycle {self.cycle}.")
            before = len(self.came)
            await self.cycles(PATIENCE)
        same("rows of the product", job.output_rows, len(self.came), 32)
        rows = np.array(self.came, dtype=np.int32)
        result = job.accumulators(rows.view(np.uint32))
        for i, (expected, actual) in enumerate(zip(matmul(job.x, job.w).accumulators, result, strict=True)):
            compare(f"row {i} of the product", "column", expected.tolist(), actual.tolist(), ACC_BITS)
        self.checked += result.size
        self.finish()

    def _out_of(self, cycle: int, beat: Beat) -> None:
        self.came.append(unpack(beat["values"], ACC_BITS, self.design.cols))


@cocotb.test
@cocotb.parametrize(x=PAUSES, w=PAUSES, acc=PAUSES)
async def tiles_in_a_row(dut: HierarchyObject, x: str, w: str, acc: str) -> None:
    """Tiles of random length, many of a single block, with and without all their rows."""
    bench = AcceleratorBench(dut, x, w, acc)
    await bench.run(random_tiles(bench.design, bench.blocks, bench.rng))


@cocotb.test
@cocotb.parametrize(acc=PAUSES)
async def single_blocks(dut: HierarchyObject, acc: str) -> None:
    """Last beats only, offered as fast as they are taken."""
    bench = AcceleratorBench(dut, stall=acc)
    await bench.run(random_tiles(bench.design, bench.blocks, bench.rng, longest=1))


@cocotb.test
async def blocked_drain(dut: HierarchyObject) -> None:
    """The output queue fills up and holds everything back, and nothing is lost."""
    bench = AcceleratorBench(dut)
    bench.rows.exact = False
    bench.sink.blocked = True
    await bench.start()
    depth = bench.design.drain_rows
    tiles = random_tiles(bench.design, 8 * depth + bench.blocks, bench.rng)
    bench.send(tiles)
    await bench.cycles(8 * depth + 4 * bench.settings.latency)
    before = bench.counters.counts["drain_blocked"]
    await bench.cycles(200)
    same("cycles blocked of the last 200", 200, bench.counters.counts["drain_blocked"] - before, COUNTER_BITS)
    taken = len(bench.rows.ends)
    rows = sum(tile.count for tile in tiles[:taken])
    if not depth - tiles[taken].count < rows <= depth:
        raise Mismatch(
            f"{rows} rows were let in; the queue has room for {depth}, the next tile has {tiles[taken].count}."
        )
    bench.sink.blocked = False
    await bench.done()


@cocotb.test
async def patient_consumer(dut: HierarchyObject) -> None:
    """valid comes without ready, and neither it nor the payload depends on ready."""
    bench = AcceleratorBench(dut, "random", "random", patient=True)
    cocotb.start_soon(watch_independence(bench, bench.streams["acc"]))
    await bench.run(random_tiles(bench.design, bench.blocks, bench.rng))


@cocotb.test
@cocotb.parametrize(pause=("never", "random"))
async def whole_product(dut: HierarchyObject, pause: str) -> None:
    """A product whose edges are no multiples of the array's."""
    bench = ProductBench(dut, pause, pause, pause)
    edges, blocks = (2 * bench.design.rows + 1, 2 * bench.design.cols + 1), max(1, bench.blocks // 9)
    x, w = (random_matrix(bench.format, edge, blocks, bench.rng) for edge in edges)
    await bench.run_job(Job(bench.design, x, w))


@cocotb.test
@cocotb.parametrize(acc=PAUSES)
async def reset_midway(dut: HierarchyObject, acc: str) -> None:
    """After a reset in the middle of a tile nothing of before is left."""
    bench = AcceleratorBench(dut, stall=acc)
    await bench.start()
    bench.send([*random_tiles(bench.design, 40, bench.rng), random_tile(bench.design, 40, 500, bench.rng)])
    await bench.cycles(40 + 2 * bench.settings.latency)
    await bench.reset()
    await bench.cycles(2 * bench.settings.latency)
    bench.send(random_tiles(bench.design, bench.blocks, bench.rng))
    await bench.done()

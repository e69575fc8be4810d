"""The output-stationary array against `golden.matmul`, row for row and cycle for cycle."""

from collections.abc import Iterable, Iterator

import cocotb
from cocotb.handle import HierarchyObject

from golden.int8 import Int8Matrix
from sim.benches.inside.signals import PAUSES, Beat, pauses
from sim.benches.inside.streams import Monitor, Source
from sim.benches.inside.testbench import Testbench
from sim.benches.inside.tiles import Rows, Tile, hard_tiles, random_tile, random_tiles

ALL, SOME = "all rows come out", "not all rows come out"
SINGLE = "a tile of one block"


class ArrayBench(Testbench):
    """An array whose beats come at given cycles; nothing in it stalls.

    Parameters
    ----------
    dut : HierarchyObject
    idle : str
        One of `PAUSES`: when there is no beat between those of a tile.
    """

    def __init__(self, dut: HierarchyObject, idle: str = "never"):
        super().__init__(dut)
        self.design = self.settings.design
        self.idle = pauses(idle, self.rng)
        self.source = Source(self, self.streams["i"])
        self.rows = Rows(self)
        kinds = [f"activations {kind}" for kind in self.design.activations]
        self.about(*kinds, ALL, *([SOME] if self.design.rows > 1 else []), SINGLE)
        Monitor(self, self.streams["i"], self._into)
        Monitor(self, self.streams["o"], self.rows.take)

    def send(self, tiles: Iterable[Tile]) -> None:
        """Queues tiles."""
        self.source.send(self._beats(tiles))

    async def run(self, tiles: Iterable[Tile]) -> None:
        """Computes tiles, and reports the test as passed."""
        await self.start()
        self.send(tiles)
        await self.done()

    async def done(self) -> None:
        """Waits for all rows, and reports the test as passed."""
        await self.rows.scoreboard.empty()
        self.finish()

    def _beats(self, tiles: Iterable[Tile]) -> Iterator[Beat | None]:
        """Beats, with pauses where there are to be some, and where last beats would come too soon one after another."""
        since = self.design.rows
        for tile in tiles:
            self.rows.expect(tile)
            self.met("activations int8" if isinstance(tile.x, Int8Matrix) else "activations packed")
            self.met(ALL if tile.count == self.design.rows else SOME)
            self.met(SINGLE, tile.w.labels.shape[1] == 1)
            for beat in tile.decoded():
                while next(self.idle) or (beat["finish"] and since < self.design.rows):
                    since += 1
                    yield None
                since = 1 if beat["finish"] else since + 1
                yield beat

    def _into(self, cycle: int, beat: Beat) -> None:
        if beat["finish"]:
            self.rows.ended(cycle)


@cocotb.test
@cocotb.parametrize(idle=PAUSES)
async def tiles_in_a_row(dut: HierarchyObject, idle: str) -> None:
    """Tiles of random length, with and without all their rows."""
    bench = ArrayBench(dut, idle)
    await bench.run(random_tiles(bench.design, bench.blocks, bench.rng))


@cocotb.test
async def least_distance(dut: HierarchyObject) -> None:
    """Last beats as close to each other as is allowed: the drain never rests."""
    bench = ArrayBench(dut)
    await bench.run(random_tiles(bench.design, bench.blocks, bench.rng, longest=bench.design.rows))


@cocotb.test
@cocotb.parametrize(idle=("never", "random"))
async def extremes(dut: HierarchyObject, idle: str) -> None:
    """Points of the largest norm with the smallest and the largest β."""
    bench = ArrayBench(dut, idle)
    await bench.run(hard_tiles(bench.design, bench.blocks, bench.rng))


@cocotb.test
@cocotb.parametrize(idle=("never", "random"))
async def reset_midway(dut: HierarchyObject, idle: str) -> None:
    """After a reset at any moment nothing of before is left, though the next tile comes at once."""
    bench = ArrayBench(dut, idle)
    await bench.start()
    for _ in range(12):
        bench.send([*random_tiles(bench.design, 20, bench.rng), random_tile(bench.design, 20, 100, bench.rng)])
        await bench.cycles(int(bench.rng.integers(1, 20 + 2 * bench.settings.latency)))
        await bench.reset()
        await bench.cycles(int(bench.rng.choice([0, 2 * bench.settings.latency])))
    bench.send(random_tiles(bench.design, bench.blocks, bench.rng))
    await bench.done()

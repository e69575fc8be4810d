"""The cell against `golden.matmul`, cycle for cycle, and the results that move through it."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject

from golden.format import PackedMatrix
from golden.matmul import matmul
from golden.voronoi import decode
from hw.array.cell import TOKEN, result
from hw.array.operands import packed_operand
from sim.benches.inside.checks import same
from sim.benches.inside.labels import deep_holes, differences, hard_pairs, packed, random_matrix
from sim.benches.inside.signals import PAUSES, noise, pauses, signal
from sim.benches.inside.testbench import Testbench
from sim.benches.inside.words import Structure
from sim.benches.settings import settings

INPUTS = ("x", "w", "token", "shift", "tile", "above")
PASSED_ON = ("x", "w", "token")

TOKENS = Structure(TOKEN)

SIGNS = ("a sum below zero", "a sum of zero", "a sum above zero")
LENGTHS = ("a tile of one block", "a tile of more")
LARGEST = "the largest product in every block of a tile"
OWN, MOVES, OTHER = RESULTS = (
    "the cell's own result where one would move down", "a result moves down", "a result of the other parity stays"
)  # fmt: skip
RESET = "reset after a tile"


class Step(NamedTuple):
    """One cycle: what goes in, and what the tile that ends in it must give."""

    inputs: dict[str, int]
    finished: int | None


class Tiles:
    """Tiles of one row and one column.

    Parameters
    ----------
    x, w : PackedMatrix `(tiles, K)`
        Each row is a tile.
    lengths : sequence of int
        Blocks of each tile; the labels of those beyond are zero, which decodes to zero.
    """

    def __init__(self, x: PackedMatrix, w: PackedMatrix, lengths: Sequence[int]):
        self.x, self.w, self.lengths = x, w, lengths
        self.operands = list(zip(_operands(x, 0), _operands(w, 1), strict=True))
        self.accumulators: list[int] = matmul(x, w).accumulators.diagonal().tolist()

    @classmethod
    def random(cls, bench: "CellBench", blocks: int, longest: int) -> "Tiles":
        """Random tiles of random lengths, with so many blocks together."""
        lengths: list[int] = []
        while (left := blocks - sum(lengths)) > 0:
            lengths.append(min(left, int(bench.rng.integers(1, longest + 1))))
        inside = np.arange(max(lengths)) < np.array(lengths)[:, None]

        def side() -> PackedMatrix:
            matrix = random_matrix(bench.format, len(lengths), max(lengths), bench.rng)
            return packed(bench.format, matrix.labels * inside, matrix.betas)

        return cls(side(), side(), lengths)

    def blocks(self) -> Iterator[tuple[int, int, int | None]]:
        """The words of x and w of each block, and of a last block the tile's accumulator."""
        for operands, length, accumulator in zip(self.operands, self.lengths, self.accumulators, strict=True):
            for k, (x, w) in enumerate(zip(*operands, strict=True)):
                if k < length:
                    yield x, w, accumulator if k == length - 1 else None


class CellModel:
    """What the outputs of a cell show, from what went in.

    Parameters
    ----------
    depth : int
        Cycles from the last block of a tile to its result.
    results : Structure
        Of an accumulator on its way out.
    """

    def __init__(self, depth: int, results: Structure):
        self.results = results
        # What a reset leaves of operands and results is of no consequence.
        self.passed_on = {"token": 0}
        self.o: dict[str, int] = {}
        self.tiles = 0
        self.on_the_way: deque[int | None] = deque([None] * depth)

    def step(self, step: Step) -> str | None:
        """Takes in one cycle; returns which of `RESULTS` it was, if one."""
        self.passed_on = {name: step.inputs[name] for name in PASSED_ON}
        self.on_the_way.append(step.finished)
        finished = self.on_the_way.popleft()
        above = self.results.unpack(step.inputs["above"])
        if finished is not None:
            self.o = {"acc": finished // 2, "tile": self.tiles % 2}
            self.tiles += 1
            return OWN if step.inputs["shift"] else None
        if step.inputs["shift"]:
            if above["tile"] != step.inputs["tile"]:
                return OTHER
            self.o = above
            return MOVES
        return None


class CellBench(Testbench):
    """A cell, driven and compared with its model in each cycle.

    Parameters
    ----------
    dut : HierarchyObject
    idle : str
        One of `PAUSES`: when there is no block.
    shift : str
        One of `PAUSES`: when results do not move down.
    """

    def __init__(self, dut: HierarchyObject, idle: str = "never", shift: str = "never"):
        super().__init__(dut)
        self.idle, self.rest = pauses(idle, self.rng), pauses(shift, self.rng)
        self.inputs = {name: signal(dut, name) for name in INPUTS}
        self.outputs = {name: signal(dut, f"{name}_next") for name in PASSED_ON}
        self.o = signal(dut, "o")
        self.widths = {port["name"]: port["width"] for port in self.settings.description["ports"]}
        betas = self.format.betas
        self.acc_bits = int(self.settings.description["acc_bits"])
        self.results = Structure(result(self.acc_bits))
        self.model = CellModel(self.settings.latency, self.results)
        self.pairs = [(f"β = {a} by {b}", i, j) for i, a in enumerate(betas) for j, b in enumerate(betas)]
        self.about(*(case for case, _, _ in self.pairs), LARGEST, *SIGNS, *LENGTHS, *RESULTS, RESET)
        self.on_reset(self._forget)

    async def run(self, tiles: Tiles) -> None:
        """Computes tiles and reports the test as passed."""
        await self.start()
        await self.drive(self.steps(tiles))
        self.finish()

    def steps(self, tiles: Tiles) -> Iterator[Step]:
        """The cycles of tiles, and of a pause in which the last ones come out."""
        self._cases(tiles)
        for x, w, accumulator in tiles.blocks():
            while next(self.idle):
                yield self._step()
            yield self._step(x=x, w=w, token=_token(1, accumulator is not None), finished=accumulator)
        for _ in range(2 * self.settings.latency):
            yield self._step()

    def _cases(self, tiles: Tiles) -> None:
        """Counts the cases in tiles."""
        bound = self.format.betas[-1] ** 2 * self.format.norm_bound
        for case, i, j in self.pairs:
            self.met(case, int(((tiles.x.betas == i) & (tiles.w.betas == j)).sum()))
        for length, accumulator in zip(tiles.lengths, tiles.accumulators, strict=True):
            self.met(LENGTHS[length > 1])
            self.met(SIGNS[1 + (accumulator > 0) - (accumulator < 0)])
            self.met(LARGEST, accumulator == bound * length)

    async def drive(self, steps: Iterable[Step]) -> None:
        """Runs through cycles."""
        for step in steps:
            for name, handle in self.inputs.items():
                handle.value = step.inputs[name]
            await self.edge
            self._compare()
            if case := self.model.step(step):
                self.met(case)

    def _step(self, finished: int | None = None, **inputs: int) -> Step:
        """A cycle; without a block of its own, with noise in its place."""
        words = {name: noise(self.widths[name], self.rng) for name in INPUTS}
        words |= {"token": _token(0, words["token"] & 1), "shift": int(not next(self.rest))} | inputs
        return Step(words, finished)

    def _compare(self) -> None:
        """The outputs with the model."""
        for name, value in self.model.passed_on.items():
            same(f"{name}_next, cycle {self.cycle}", value, int(self.outputs[name].value), self.widths[name])
        actual = self.results.unpack(int(self.o.value))
        for name, width in self.results.widths().items() if self.model.o else ():
            what = f"o.{name} after {self.model.tiles} tiles, cycle {self.cycle}"
            same(what, self.model.o[name] & ((1 << width) - 1), actual[name], width)
        self.checked += 1

    def _forget(self) -> None:
        self.met(RESET, bool(self.model.tiles))
        self.model = CellModel(self.settings.latency, self.results)


def _operands(matrix: PackedMatrix, low: int) -> list[list[int]]:
    """The words of blocks, row by row; in pairs, coordinate number `low` of each is the low one."""
    points, form = decode(matrix.labels, matrix.format.q).astype(np.int64), settings().description["form"]
    if form == "pairs":
        lows, highs = points[..., low::2], points[..., 1 - low :: 2]
        fields = {"low": lows, "high": -highs - (lows < 0)}
    else:
        fields = {"y": points} | ({"norm": (points**2).sum(axis=2) // 4} if form == "norm" else {})
    fields["beta"] = matrix.betas.astype(np.int64)
    words = Structure(packed_operand(matrix.format).layout(form))
    return [
        [words.pack({name: values[row, k].tolist() for name, values in fields.items()}) for k in range(points.shape[1])]
        for row in range(len(points))
    ]


def _token(valid: int, last: int) -> int:
    return TOKENS.pack({"valid": valid, "last": last})


@cocotb.test
@cocotb.parametrize(idle=PAUSES, longest=(1, 3, 100))
async def random_tiles(dut: HierarchyObject, idle: str, longest: int) -> None:
    """Tiles one after the other, from those of single blocks to long ones; results move down all the while."""
    bench = CellBench(dut, idle, "random")
    await bench.run(Tiles.random(bench, bench.blocks, longest))


@cocotb.test
@cocotb.parametrize(shift=PAUSES)
async def drain_chain(dut: HierarchyObject, shift: str) -> None:
    """Results from above move through, those of the other parity do not; the cell's own come between."""
    bench = CellBench(dut, "bursts", shift)
    await bench.run(Tiles.random(bench, bench.blocks, 20))


@cocotb.test
async def extremes(dut: HierarchyObject) -> None:
    """Pairs of the largest and smallest inner products, each with the smallest and the largest β of either side; and of
    all differences, with any β."""
    bench = CellBench(dut)
    hard, apart, most = hard_pairs(bench.format, bench.rng), differences(bench.format), len(bench.format.betas) - 1
    pairs = np.concatenate([np.repeat(hard, 4, axis=0), apart])
    edges = np.tile([[0, 0], [0, most], [most, 0], [most, most]], (len(hard), 1))
    betas = np.concatenate([edges, bench.rng.integers(0, most + 1, apart.shape)])
    x, w = (packed(bench.format, pairs[:, [i]], betas[:, [i]]) for i in (0, 1))
    await bench.run(Tiles(x, w, [1] * len(pairs)))


@cocotb.test
async def longest_tile(dut: HierarchyObject) -> None:
    """The largest product in every block, as many as an accumulator holds or as the bench has."""
    bench = CellBench(dut)
    largest = bench.format.betas[-1] ** 2 * bench.format.norm_bound // 2  # halved, as the cell keeps it
    blocks = min(bench.blocks, ((1 << (bench.acc_bits - 1)) - 1) // largest)
    matrix = packed(bench.format, [[deep_holes(bench.format)[0]] * blocks], [[len(bench.format.betas) - 1] * blocks])
    await bench.run(Tiles(matrix, matrix, [blocks]))


@cocotb.test
async def reset_midway(dut: HierarchyObject) -> None:
    """After a reset in the middle of a tile nothing of before is left, and nothing of what came in meanwhile."""
    bench = CellBench(dut, "random", "random")
    await bench.start()
    for _ in range(20):
        await bench.drive(islice(bench.steps(Tiles.random(bench, 70, 20)), int(bench.rng.integers(1, 70))))
        await bench.reset()
    await bench.drive(bench.steps(Tiles.random(bench, bench.blocks, 5)))
    bench.finish()

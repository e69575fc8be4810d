"""Tiles: operands of a product that fits an output-stationary array, their beats, and the rows that must come out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from golden.format import PackedMatrix
from golden.matmul import matmul
from golden.voronoi import decode
from hw.array.operands import packed_operand
from hw.design import ACC_BITS, DesignPoint
from sim.benches.inside.checks import Mismatch, compare, same
from sim.benches.inside.labels import hard_pairs, packed, random_matrix
from sim.benches.inside.signals import Beat
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import Structure, pack, unpack


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile.

    Attributes
    ----------
    number : int
        Tiles are numbered from zero.
    x, w : PackedMatrix `(rows, K)`, `(cols, K)`
        Rows beyond `count` take part in the computation, but do not come out.
    count : int
    """

    number: int
    x: PackedMatrix
    w: PackedMatrix
    count: int

    @property
    def flags(self) -> Beat:
        """What its last row says; they are looked at in its last beat."""
        return {"last": self.number % 2, "end": self.number // 2 % 2}

    @cached_property
    def rows(self) -> list[list[int]]:
        """The accumulators that come out."""
        rows: list[list[int]] = matmul(self.x, self.w).accumulators[: self.count].tolist()
        return rows

    def decoded(self) -> Iterator[Beat]:
        """Beats of the array's stream."""
        point, blocks = Structure(packed_operand(self.x.format).block), self.x.blocks
        operands = [
            (decode(matrix.labels, matrix.format.q).tolist(), matrix.betas.tolist()) for matrix in (self.x, self.w)
        ]
        for k in range(blocks):
            x, w = (
                pack(
                    [point.pack({"y": y[k], "beta": beta[k]}) for y, beta in zip(points, betas, strict=True)],
                    point.width,
                )
                for points, betas in operands
            )
            finish = int(k == blocks - 1)
            yield {"x": x, "w": w, "finish": finish, "count": self.count} | self.flags


def random_tiles(design: DesignPoint, blocks: int, rng: np.random.Generator, longest: int = 8) -> list[Tile]:
    """Tiles of random shape with so many blocks together: one in three is a single block long."""
    tiles: list[Tile] = []
    while blocks > 0:
        length = min(blocks, 1 if rng.random() < 1 / 3 else int(rng.integers(1, longest + 1)))
        tiles.append(random_tile(design, len(tiles), length, rng))
        blocks -= length
    return tiles


def random_tile(design: DesignPoint, number: int, length: int, rng: np.random.Generator) -> Tile:
    """A tile of `length` blocks."""
    x, w = (random_matrix(design.format, edge, length, rng) for edge in (design.rows, design.cols))
    return Tile(number, x, w, int(rng.integers(1, design.rows + 1)))


def hard_tiles(design: DesignPoint, blocks: int, rng: np.random.Generator, length: int = 4) -> list[Tile]:
    """Tiles of the largest and smallest inner products, with the largest β or the smallest."""
    pairs = hard_pairs(design.format, rng)
    tiles = []
    for number in range(-(-blocks // length)):
        chosen = rng.choice(pairs, length)
        betas = rng.choice([0, len(design.format.betas) - 1], (2, length))
        x, w = (
            packed(design.format, [chosen[:, side]] * edge, [betas[side]] * edge)
            for side, edge in enumerate((design.rows, design.cols))
        )
        tiles.append(Tile(number, x, w, design.rows))
    return tiles


class Row(NamedTuple):
    """A row of accumulators that has to come out."""

    tile: int
    row: int
    values: list[int]
    flags: Beat


class Rows:
    """Compares rows of accumulators with golden's, and when they come: `latency` + row cycles after their tile's last
    beat.

    Parameters
    ----------
    bench : Testbench
    """

    def __init__(self, bench: Testbench):
        self.bench = bench
        self.scoreboard = Scoreboard[Row](bench, "row")
        self.ends: list[int] = []
        """Cycles of the last beats."""
        bench.on_reset(self.ends.clear)

    def expect(self, tile: Tile) -> None:
        """Adds the rows of a tile; tiles are numbered from zero."""
        none = dict.fromkeys(tile.flags, 0)
        flags = [none] * (tile.count - 1) + [tile.flags]
        self.scoreboard.expect(Row(tile.number, r, *row) for r, row in enumerate(zip(tile.rows, flags, strict=True)))

    def ended(self, cycle: int) -> None:
        """The last beat of the next tile went in."""
        self.ends.append(cycle)

    def take(self, cycle: int, beat: Beat) -> None:
        """A row came out."""
        row = self.scoreboard.take()
        what, cols = f"tile {row.tile}, row {row.row}", self.bench.settings.design.cols
        if row.tile >= len(self.ends):
            raise Mismatch(f"{what} came out in cycle {cycle}, before the tile's last beat went in.")
        compare(what, "column", row.values, unpack(beat["values"], ACC_BITS, cols), ACC_BITS)
        for flag, expected in row.flags.items():
            same(f"{what}, {flag}", expected, beat[flag], 1)
        due = self.ends[row.tile] + self.bench.settings.latency + row.row
        if cycle != due:
            raise Mismatch(f"{what} came out in cycle {cycle}; its latency is over in cycle {due}.")
        self.bench.checked += cols

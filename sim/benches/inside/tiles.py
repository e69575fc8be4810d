"""Tiles: operands of a product that fits an output-stationary array, their beats, and the rows that must come out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.format import PackedMatrix
from golden.int8 import LIMIT, Int8Matrix
from golden.lattice import DIM
from golden.matmul import matmul
from golden.voronoi import decode
from hw.array.operands import operands
from hw.design import ACC_BITS, NIBBLE, DesignPoint
from sim.benches.inside.checks import Mismatch, compare, same
from sim.benches.inside.labels import differences, hard_pairs, packed, random_matrix
from sim.benches.inside.signals import Beat
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import Structure, pack, unpack


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile.

    Attributes
    ----------
    design : DesignPoint
    number : int
        Tiles are numbered from zero.
    x : PackedMatrix or Int8Matrix `(rows, K)`
        Rows beyond `count` take part in the computation, but do not come out.
    w : PackedMatrix `(cols, K)`
    count : int
    """

    design: DesignPoint
    number: int
    x: PackedMatrix | Int8Matrix
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
        """Beats of the array's stream; a block of int8 takes two, for its high and its low digits."""
        w, w_factors = _points(self.w)
        if isinstance(self.x, Int8Matrix):
            x, x_factors = _digits(self.x, len(operands(self.design)[0].factors))
            w, w_factors = w.repeat(2, axis=1), w_factors.repeat(2, axis=1)
        else:
            x, x_factors = _points(self.x)
        sides = []
        for operand, points, factors in zip(operands(self.design), (x, w), (x_factors, w_factors), strict=True):
            block = Structure(operand.block)
            fields = zip(points.swapaxes(0, 1).tolist(), factors.T.tolist(), strict=True)
            sides.append(
                [
                    pack([block.pack({"y": y, "beta": f}) for y, f in zip(*rows, strict=True)], block.width)
                    for rows in fields
                ]
            )
        for k, (of_rows, of_columns) in enumerate(zip(*sides, strict=True)):
            finish = int(k == len(sides[0]) - 1)
            yield {"x": of_rows, "w": of_columns, "finish": finish, "count": self.count} | self.flags


def _points(matrix: PackedMatrix) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Points `(rows, blocks, 8)` and numbers of their factors `(rows, blocks)`."""
    return decode(matrix.labels, matrix.format.q), matrix.betas


def _digits(matrix: Int8Matrix, factors: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Digits of int8, high and low in turns, as `_points`; the last two of so many factors are theirs."""
    blocks = matrix.values.reshape(len(matrix.values), -1, 1, DIM)
    digits = np.concatenate([blocks >> NIBBLE, blocks & ((1 << NIBBLE) - 1)], axis=2)
    digits = digits.reshape(len(digits), -1, DIM)
    return digits, np.tile([factors - 2, factors - 1], (len(digits), digits.shape[1] // 2))


def random_tiles(design: DesignPoint, blocks: int, rng: np.random.Generator, longest: int = 8) -> list[Tile]:
    """Tiles of random shape with so many blocks together: one in three is a single block long."""
    tiles: list[Tile] = []
    while blocks > 0:
        length = min(blocks, 1 if rng.random() < 1 / 3 else int(rng.integers(1, longest + 1)))
        tiles.append(random_tile(design, len(tiles), length, rng))
        blocks -= length
    return tiles


def random_tile(design: DesignPoint, number: int, length: int, rng: np.random.Generator) -> Tile:
    """A tile of `length` blocks; its activations of one of the kinds that the design has."""
    w = random_matrix(design.format, design.cols, length, rng)
    count = int(rng.integers(1, design.rows + 1))
    if design.int8 and (not design.packed or rng.integers(2)):
        return Tile(design, number, _int8(rng.integers(-LIMIT, LIMIT + 1, (design.rows, DIM * length))), w, count)
    return Tile(design, number, random_matrix(design.format, design.rows, length, rng), w, count)


def hard_tiles(design: DesignPoint, blocks: int, rng: np.random.Generator, length: int = 4) -> list[Tile]:
    """Tiles of the largest and smallest inner products and of all differences, with the largest β or the smallest; int8
    at its limits, of the signs of the weights or of the others."""
    pairs = hard_pairs(design.format, rng), differences(design.format)
    tiles = []
    for number in range(-(-blocks // length)):
        chosen = rng.choice(pairs[number // 2 % 2], length)
        betas = rng.choice([0, len(design.format.betas) - 1], (2, length))
        packed_x, w = (
            packed(design.format, [chosen[:, side]] * edge, [betas[side]] * edge)
            for side, edge in enumerate((design.rows, design.cols))
        )
        x: PackedMatrix | Int8Matrix = packed_x
        if design.int8 and (not design.packed or number % 2):
            signs = np.where(decode(w.labels[:1], w.format.q).reshape(1, -1) < 0, -1, 1) * rng.choice([-1, 1])
            x = _int8(np.repeat(LIMIT * signs, design.rows, axis=0))
        tiles.append(Tile(design, number, x, w, design.rows))
    return tiles


def _int8(values: NDArray[np.integer]) -> Int8Matrix:
    return Int8Matrix(values.astype(np.int8), np.ones(len(values), dtype=np.float32))


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

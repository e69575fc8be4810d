"""How a product of any shape is cut into jobs that fit a design: panels of rows, and chunks of K.

Panels come first: as many rows as `panel_rows` and one bank of activations allow, so that the weights are read as few
times as possible. Where a row is too long for what remains of a bank, K is cut into equal chunks. Each chunk of a panel
is a job, over all columns, and the host adds up their accumulators. Where the design keeps rows of accumulators, the
tiles of columns are cut into groups of which it keeps all rows of a panel, and each chunk of a group is a job: the
first keeps what it computes, the others add to it, and the last one's sums come out. Raw rows are not cut, for a piece
of a row has another scale than the rest: as many are a panel as a bank holds.

`schedule` takes integers, or arrays of them that broadcast.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from golden.arrays import as_integers
from golden.errors import GossetError
from golden.frontend import FrontEndRules
from golden.given import integer, is_integer
from golden.lattice import DIM
from hw.codec import frontend
from hw.codec.encoder import cycles_per_block
from hw.design import LEAST_KEPT, DesignPoint
from hw.engine.sequencer import latency

Integers = Any
"""An integer, or an integer array."""


LONGEST = 1 << 40
"""The most rows, columns, entries of a row, or cycles of a latency or a period that the models count with."""


def bounded(values: Integers, name: str, least: int) -> Integers:
    """Integers from a least value to `LONGEST`, an array of them as int64.

    Raises
    ------
    GossetError
        If they are no integers, or one is out of the range.
    """
    if is_integer(values):
        return integer(values, name, least, LONGEST)
    array = as_integers(values, name)
    if array.size and not least <= array.min() <= array.max() <= LONGEST:
        wrong = array[(array < least) | (array > LONGEST)].flat[0]
        raise GossetError(f"{name} must be from {least} to {LONGEST}, but one is {wrong}.")
    return array.astype(np.int64)


def divide(a: Integers, b: Integers) -> Integers:
    """a/b, rounded up."""
    return -(-a // b)


@dataclass(frozen=True)
class Machine:
    """What of a design point decides about its schedule and its cycles; integers, or arrays with one entry per design.

    Attributes
    ----------
    rows, cols, panel_rows, x_depth, w_depth, jobs : integers
    weight_stationary : bool or bools
    latency : integers
        Cycles from the beat that finishes a row of accumulators to the cycle in which it can be taken at `acc`.
    encoding : integers
        Latency of the front end, 0 if there is none.
    measured : bool or bools
        Whether it measures a row before it encodes it.
    beat, segment, admission : integers
        Cycles from block to block, blocks of a segment that is rotated after the row was measured, and the latency
        until a block is let in.
    keep_rows : integers
    """

    rows: Integers
    cols: Integers
    panel_rows: Integers
    x_depth: Integers
    w_depth: Integers
    jobs: Integers
    weight_stationary: Any
    latency: Integers
    encoding: Integers
    measured: Any
    beat: Integers = 1
    segment: Integers = 1
    admission: Integers = 0
    keep_rows: Integers = 0

    @classmethod
    def of(cls, *designs: DesignPoint) -> "Machine":
        """Of one design point integers, of several arrays."""
        values = [
            [
                *(d.rows, d.cols, d.panel_rows, d.x_depth, d.w_depth, d.jobs, d.dataflow == "ws", latency(d)),
                *(_encoding(d.front_end) if d.front_end else (0, False, 1, 1, 0)),
                d.keep_rows,
            ]
            for d in designs
        ]
        columns = values[0] if len(values) == 1 else [np.array(column) for column in zip(*values, strict=True)]
        return cls(*columns)


def _encoding(rules: FrontEndRules) -> tuple[Any, ...]:
    """What a front end is to a `Machine`."""
    segment = 1 if rules.scale == "max" else rules.segment_blocks
    through = frontend.latency(rules), rules.scale != "host", cycles_per_block(rules)
    return *through, segment, frontend.admission(rules)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The cut of products; integers or arrays.

    Attributes
    ----------
    panel : rows of a job; the last panel has what is left.
    steps : steps of K (blocks, or slices of `rows` blocks) of a product.
    chunk : steps of a job; the last chunk of a panel has what is left.
    panels, chunks : how many panels there are, and how many chunks of each.
    tiles : tiles of `cols` columns.
    group, groups : tiles of a job, the last group has what is left; and how many groups there are.
    kept : whether the chunks of a group are summed up on chip.
    passes : words of activations per step, 2 for int8.
    """

    panel: Integers
    panels: Integers
    steps: Integers
    chunk: Integers
    chunks: Integers
    tiles: Integers
    group: Integers
    groups: Integers
    kept: Any
    passes: Integers


def schedule(machine: Machine, m: Integers, n: Integers, k: Integers, int8: Any, raw: Any = False) -> Schedule:
    """Cuts products of `(m, k)` activations and `(n, k)` weights. Raw rows longer than a bank are cut all the same.

    Raises
    ------
    GossetError
        If m, n or k is no integer from 1 to `LONGEST`.
    """
    m, n, k = (bounded(size, name, 1) for name, size in (("M", m), ("N", n), ("K", k)))
    rows, ws = machine.rows, machine.weight_stationary
    passes = np.where(int8, 2, 1)
    blocks = divide(np.asarray(k), DIM)
    steps = np.where(ws, divide(blocks, rows), blocks)
    words = machine.x_depth // passes  # steps that a bank holds, of all rows together
    # A panel of an output-stationary array takes whole row tiles of the bank.
    unit = np.where(ws, 1, rows)
    units = np.minimum(np.minimum(divide(np.asarray(m), unit), machine.panel_rows // unit), words)
    units = np.where(raw, np.minimum(units, np.maximum(words // steps, 1)), units)
    most = words // units
    most = np.where(ws, most, np.minimum(most, np.maximum(machine.w_depth, 1)))
    chunk = divide(steps, divide(steps, most))
    panel = np.minimum(units * unit, m)
    tiles = divide(np.asarray(n), machine.cols)
    panels, chunks = divide(m, panel), divide(steps, chunk)
    # Groups as equal as can be; the least job, of the last panel and the last group, has to have enough rows.
    fits = np.minimum(machine.keep_rows // (units * unit), tiles)
    group = divide(tiles, divide(tiles, np.maximum(fits, 1)))
    least = (m - (panels - 1) * panel) * (tiles - (divide(tiles, group) - 1) * group)
    kept = (chunks > 1) & (fits > 0) & (least >= LEAST_KEPT)
    group = np.where(kept, group, tiles)
    return Schedule(panel, panels, steps, chunk, chunks, tiles, group, divide(tiles, group), kept, passes)


@dataclass(frozen=True)
class Part:
    """One job of the accelerator: some rows of activations, some blocks of K, and all tiles of columns, or some where
    accumulators are kept on chip.

    Attributes
    ----------
    first_row, rows : int
    first_block, blocks : int
    steps, tiles : int
        As the accelerator counts them.
    first_tile : int
    add, keep : bool
        Whether it adds to the accumulators that were kept; whether it keeps its own, and nothing comes out.
    """

    first_row: int
    rows: int
    first_block: int
    blocks: int
    steps: int
    tiles: int
    first_tile: int = 0
    add: bool = False
    keep: bool = False

    @property
    def output_rows(self) -> int:
        """Rows of accumulators that come out."""
        return 0 if self.keep else self.rows * self.tiles


def parts(design: DesignPoint, m: int, n: int, k: int, *, int8: bool = False) -> list[Part]:
    """The jobs of a product, in the order in which they run.

    Raises
    ------
    GossetError
        As `schedule`.
    """
    plan = schedule(Machine.of(design), m, n, k, int8)
    depth = design.rows if design.dataflow == "ws" else 1  # blocks of a step
    found = []
    for row, tile in product(range(0, m, int(plan.panel)), range(0, int(plan.tiles), int(plan.group))):
        rows, tiles = min(int(plan.panel), m - row), min(int(plan.group), int(plan.tiles) - tile)
        for step in range(0, int(plan.steps), int(plan.chunk)):
            steps = min(int(plan.chunk), int(plan.steps) - step)
            blocks = min(steps * depth, divide(k, DIM) - step * depth)
            add, keep = bool(plan.kept) and step > 0, bool(plan.kept) and step + steps < plan.steps
            found.append(Part(row, rows, step * depth, blocks, steps, tiles, tile, add, keep))
    return found

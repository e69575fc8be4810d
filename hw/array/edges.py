"""The edges of both arrays: what goes in and comes out, and the way of a block to its first cell."""

from collections.abc import Sequence

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data

from hw.array.cell import SquaredNorm, WeightKeeper
from hw.array.cells import AnyCell, at_edge, to_sum
from hw.array.operands import Form, Operand, operands
from hw.array.pairs import Pairing
from hw.design import ACC_BITS, DesignPoint
from hw.units import place
from hw.values import register


def row(design: DesignPoint) -> data.StructLayout:
    """One row of finished accumulators; `last` marks the last row of a tile of columns, `end` that of a job."""
    return data.StructLayout({"values": data.ArrayLayout(signed(ACC_BITS), design.cols), "last": 1, "end": 1})


def beat(design: DesignPoint) -> data.StructLayout:
    """What an array takes in one cycle: a block for each row, and flags.

    Both: `last` and `end` as of the last row that the beat finishes.

    Output-stationary: also a block `w` for each column; `finish`, the last beat of a tile, and there also `count`, how
    many of its rows come out.

    Weight-stationary: `swap`, the first beat of a slice; `row`, the number of its accumulators; `start` and `finish`,
    the first and the last beat of these accumulators.
    """
    x, w = operands(design)
    fields = {"x": data.ArrayLayout(x.block, design.rows), "finish": 1, "last": 1, "end": 1}
    if design.dataflow == "os":
        fields |= {"w": data.ArrayLayout(w.block, design.cols), "count": range(design.rows + 1)}
    else:
        fields |= {"swap": 1, "start": 1, "row": range(design.panel_rows)}
    return data.StructLayout(fields)


def load(design: DesignPoint) -> data.StructLayout:
    """Weights of a weight-stationary array: a block for each column, and the row of cells that they are for."""
    _, w = operands(design)
    return data.StructLayout({"w": data.ArrayLayout(w.block, design.cols), "row": range(design.rows)})


def latency(design: DesignPoint) -> int:
    """Cycles through the array: from the last beat of a tile to its first row (output-stationary), or from the beat
    that finishes a row to the row (weight-stationary)."""
    through = at_edge(design) + to_sum(design) + 1 + (design.rows - 1) + (design.cols - 1)
    return through + (1 if design.dataflow == "os" else 2)


def feed_row(
    m: Module,
    platform: object,
    operand: Operand,
    row: int,
    block: data.View,
    skew: int,
    cells: Sequence[AnyCell],
    **passed: Value,
) -> None:
    """Places a row of cells, and has a block go through it from the left, skewed.

    What else each cell passes on to the next, `<name>_next` to `<name>`, is given by name, with its value for the
    first.
    """
    x = _skewed(m, platform, operand, f"x{row}", block, skew, cells[0].form, 0)
    for c, cell in enumerate(cells):
        place(m, platform, f"cell_{row}_{c}", cell)
        left = cells[c - 1] if c else None
        if left and cell.form != left.form:  # in pairs from here on
            x = _paired(m, platform, operand, f"x{row}", left.x_next, 0)
        elif left:
            x = left.x_next
        m.d.comb += cell.x.eq(x)
        for name, first in passed.items():
            m.d.comb += getattr(cell, name).eq(getattr(left, f"{name}_next") if left else first)


def feed_column(
    m: Module,
    platform: object,
    operand: Operand,
    column: int,
    block: data.View,
    cells: Sequence[AnyCell],
    **passed: Value,
) -> None:
    """Has a block go through a column of cells from the top, skewed, and what each of them gives to the one below.

    What else is passed on is given as in `feed_row`.
    """
    w = _skewed(m, platform, operand, f"w{column}", block, column, cells[0].form, 1)
    for p, cell in enumerate(cells):
        above = cells[p - 1] if p else None
        for name, first in ({"w": w} | passed).items():
            m.d.comb += getattr(cell, name).eq(getattr(above, f"{name}_next") if above else first)
        if above:
            m.d.comb += cell.above.eq(above.o)
        elif not isinstance(cell, WeightKeeper):  # nothing ever comes from above the top
            m.d.comb += cell.above.tile.eq(~cell.tile)


def _skewed(
    m: Module, platform: object, operand: Operand, name: str, block: data.View, skew: int, form: Form, low: int
) -> Value:
    """A block at its edge of the array, skewed and in its form; in pairs with number `low` as the low one."""
    value = Signal(operand.layout(form).size, name=name)
    if form == "block":
        m.d.comb += value.eq(block.as_value())
        return register(m, name, value, cycles=skew)
    if form == "norm":
        norm = SquaredNorm(operand)
        place(m, platform, f"norm_{name}", norm)
        m.d.comb += [norm.i.eq(block), value.eq(norm.o.as_value())]
        return register(m, name, value, cycles=skew)
    m.d.comb += value.eq(_paired(m, platform, operand, name, block, low).as_value())
    return register(m, name, value, cycles=SquaredNorm.LATENCY + skew)


def _paired(m: Module, platform: object, operand: Operand, name: str, block: data.View, low: int) -> data.View:
    """A block, with its norm or without, in pairs."""
    pairing = Pairing(operand, low)
    place(m, platform, f"pairs_{name}", pairing)
    m.d.comb += [pairing.i[field].eq(block[field]) for field in operand.block.members]
    return pairing.o

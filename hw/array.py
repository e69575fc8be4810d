"""The output-stationary systolic array: decoded blocks in lockstep in, rows of accumulators out, in fixed time.

Cell (p, c) computes entry (rows − 1 − p, c) of the tile: operands of the rows enter from the left, one cycle later per
row from the top; operands of the columns enter from the top, one cycle later per column. Finished accumulators move
down each column and leave at the bottom, so that the rows come out in order, row 0 first; one row a cycle, while the
next tile is computed. Nothing in the array can stall: whoever sends the last beat of a tile must have room for its
rows, and sends the last beats of two tiles at least `rows` cycles apart. Then no result is overwritten before it has
moved on, and of two results in one column those of tiles t and t + 2 never take part in the same drain, so that the
parity of a tile's number tells which ones move.
"""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.cell import TOKEN, Cell, SquaredNorm, operand
from hw.design import ACC_BITS, DesignPoint
from hw.streams import delay, point_block
from hw.units import place


def beat(design: DesignPoint) -> data.StructLayout:
    """One block for every row and every column; `count` is how many rows the tile has, looked at in its last beat."""
    point = point_block(design.format)
    return data.StructLayout(
        {
            "x": data.ArrayLayout(point, design.rows),
            "w": data.ArrayLayout(point, design.cols),
            "last": 1,
            "count": range(design.rows + 1),
        }
    )


def row(design: DesignPoint) -> data.StructLayout:
    """One row of finished accumulators; `last` marks the last row of a tile."""
    return data.StructLayout({"values": data.ArrayLayout(signed(ACC_BITS), design.cols), "last": 1})


class SystolicArray(wiring.Component):
    """rows × cols dot-8 cells with skew, and the way out.

    Row r of a tile comes out `latency` + r cycles after its last beat went in.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    i : In(stream of beats, always ready)
    o : Out(stream of rows, always ready)
    """

    def __init__(self, design: DesignPoint):
        self.design = design
        self.latency = SquaredNorm.LATENCY + Cell.DEPTH + 1 + (design.rows - 1) + (design.cols - 1) + 1
        super().__init__(
            {
                "i": In(stream.Signature(beat(design), always_ready=True)),
                "o": Out(stream.Signature(row(design), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Norms at the edge, skew, cells, and the control of the drain, which follows the last block down."""
        m = Module()
        design, rows, cols = self.design, self.design.rows, self.design.cols

        def edge(side: str, index: int, block: data.View) -> Signal:
            """The operand at its edge, skewed."""
            norm = SquaredNorm(design.format)
            place(m, platform, f"norm_{side}{index}", norm)
            operand_ = Signal(operand(design.format).size, name=f"{side}{index}")
            m.d.comb += [norm.i.eq(block), operand_.eq(norm.o.as_value())]
            return delay(m, operand_, index, f"{side}{index}")

        token = Signal(2)
        count = Signal(range(rows + 1))
        m.d.comb += [TOKEN(token).valid.eq(self.i.valid), TOKEN(token).last.eq(self.i.payload.last)]
        m.d.comb += count.eq(self.i.payload.count)
        token = delay(m, token, SquaredNorm.LATENCY, "token", reset_less=False)
        count = delay(m, count, SquaredNorm.LATENCY, "count")

        cells = [[Cell(design.format) for _ in range(cols)] for _ in range(rows)]
        token_in = token
        for p in range(rows):
            x = edge("x", p, self.i.payload.x[rows - 1 - p])
            for c in range(cols):
                cell = cells[p][c]
                place(m, platform, f"cell_{p}_{c}", cell)
                left = cells[p][c - 1] if c else None
                m.d.comb += cell.x.eq(left.x_next if left else x)
                m.d.comb += cell.token.eq(left.token_next if left else token_in)
            token_in = delay(m, token_in, 1, f"token_row{p}", reset_less=False)
        for c in range(cols):
            w = edge("w", c, self.i.payload.w[c])
            for p in range(rows):
                above = cells[p - 1][c] if p else None
                m.d.comb += cells[p][c].w.eq(above.w_next if above else w)
                if above:
                    m.d.comb += cells[p][c].above.eq(above.o)
                else:  # nothing ever comes from above the top
                    m.d.comb += cells[p][c].above.tile.eq(~cells[p][c].tile)

        # The last block reaches the accumulator of column 0's bottom cell: its rows are next, one per cycle.
        at_bottom = delay(m, token, Cell.DEPTH + rows - 1, "token_bottom", reset_less=False)
        rows_at_bottom = delay(m, count, Cell.DEPTH + rows - 1, "count_bottom")
        left_to_go = Signal(range(rows + 1))
        tile = Signal(init=1)
        with m.If(left_to_go != 0):
            m.d.sync += left_to_go.eq(left_to_go - 1)
        with m.If(TOKEN(at_bottom).valid & TOKEN(at_bottom).last):
            m.d.sync += [left_to_go.eq(rows_at_bottom), tile.eq(~tile)]

        # The order to shift moves right with the skew; the rows leave with it, straightened out.
        order = Signal(2)
        m.d.comb += order.eq(Cat(left_to_go != 0, tile))
        for c in range(cols):
            for p in range(rows):
                m.d.comb += [cells[p][c].shift.eq(order[0]), cells[p][c].tile.eq(order[1])]
            half = Signal(signed(ACC_BITS - 1), name=f"half_{c}")
            m.d.comb += half.eq(cells[rows - 1][c].o.half)
            straight = delay(m, half, cols - c, f"half_{c}")
            m.d.comb += self.o.payload.values[c].eq(Cat(0, straight).as_signed())
            if c + 1 < cols:
                order = delay(m, order, 1, f"order_{c}", reset_less=False)
        leaving = Signal(2)
        m.d.comb += leaving.eq(Cat(left_to_go != 0, left_to_go == 1))
        leaving = delay(m, leaving, cols, "leaving", reset_less=False)
        m.d.comb += [self.o.valid.eq(leaving[0]), self.o.payload.last.eq(leaving[1])]
        return m

"""Output-stationary: cells keep their accumulators.

Cell (p, c) computes entry (rows − 1 − p, c) of a tile. Operands of the rows enter from the left, one
cycle later per row from the top; operands of the columns enter from the top, one cycle later per column. Finished
accumulators move down each column and leave at the bottom, so that the rows come out in order, row 0 first; one row a
cycle, while the next tile is computed. The last beats of two tiles must be at least `rows` cycles apart. Then no result
is overwritten before it has moved on, and of two results in one column those of tiles t and t + 2 never take part in
the same drain, so that the parity of a tile's number tells which ones move.
"""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.array.cell import TOKEN, whole
from hw.array.cells import at_edge, output_stationary_cell, to_sum
from hw.array.edges import beat, feed_column, feed_row, latency, row
from hw.array.operands import job_bits, operands
from hw.design import DesignPoint
from hw.values import register


class OutputStationaryArray(wiring.Component):
    """rows × cols cells that keep their accumulators, with skew, and the way out.

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
        self.latency = latency(design)
        super().__init__(
            {
                "i": In(stream.Signature(beat(design), always_ready=True)),
                "o": Out(stream.Signature(row(design), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Norms at the edge, skew, cells, and the control of the drain, which follows the last block down."""
        m = Module()
        rows, cols = self.design.rows, self.design.cols
        x_side, w_side = operands(self.design)
        edge, depth, bits = at_edge(self.design), to_sum(self.design), job_bits(self.design)
        beat = self.i.payload

        token = Signal(2)
        flags = Signal(data.StructLayout({"count": range(rows + 1), "last": 1, "end": 1}))
        m.d.comb += [TOKEN(token).valid.eq(self.i.valid), TOKEN(token).last.eq(beat.finish)]
        m.d.comb += [flags[name].eq(beat[name]) for name in flags.shape().members]
        token = register(m, "token", token, cycles=edge, reset_less=False)

        cells = [[output_stationary_cell(self.design, c) for c in range(cols)] for _ in range(rows)]
        token_in = token
        for p in range(rows):
            feed_row(m, platform, x_side, p, beat.x[rows - 1 - p], p, cells[p], token=token_in)
            token_in = register(m, f"token_row{p}", token_in, reset_less=False)
        for c in range(cols):
            feed_column(m, platform, w_side, c, beat.w[c], [row[c] for row in cells])

        # The last block reaches the accumulator of column 0's bottom cell: its rows are next, one per cycle.
        at_bottom = register(m, "token_bottom", token, cycles=depth + rows - 1, reset_less=False)
        flags_at_bottom = register(m, "flags", flags.as_value(), cycles=edge + depth + rows - 1)
        left_to_go = Signal(range(rows + 1))
        closing = Signal(2)
        tile = Signal(init=1)
        with m.If(left_to_go != 0):
            m.d.sync += left_to_go.eq(left_to_go - 1)
        with m.If(TOKEN(at_bottom).valid & TOKEN(at_bottom).last):
            now = flags.shape()(flags_at_bottom)
            m.d.sync += [left_to_go.eq(now.count), closing.eq(Cat(now.last, now.end)), tile.eq(~tile)]

        # The order to shift moves right with the skew; the rows leave with it, straightened out. It needs no reset: one
        # that was under way then shifts what no row is marked as leaving for.
        order = Signal(2)
        m.d.comb += order.eq(Cat(left_to_go != 0, tile))
        for c in range(cols):
            for p in range(rows):
                m.d.comb += [cells[p][c].shift.eq(order[0]), cells[p][c].tile.eq(order[1])]
            acc = Signal(signed(bits), name=f"acc_{c}")
            m.d.comb += acc.eq(cells[rows - 1][c].o.acc)
            m.d.comb += self.o.payload.values[c].eq(whole(register(m, f"acc_{c}", acc, cycles=cols - c), x_side))
            if c + 1 < cols:
                order = register(m, f"order_{c}", order)
        leaving = Cat(left_to_go != 0, closing & (left_to_go == 1).replicate(2))
        leaving = register(m, "leaving", leaving, cycles=cols, reset_less=False)
        m.d.comb += [
            self.o.valid.eq(leaving[0]),
            self.o.payload.last.eq(leaving[1]),
            self.o.payload.end.eq(leaving[2]),
        ]
        return m

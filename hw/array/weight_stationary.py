"""Weight-stationary: cells keep weights.

Cell (p, c) holds the weights of block p of a slice and column c. Sums move down the columns and are
added to an accumulator per row of activations and column, in a memory at the bottom.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.array.cell import whole
from hw.array.cells import at_edge, weight_stationary_cell
from hw.array.edges import beat, feed_column, feed_row, latency, load, row
from hw.array.operands import job_bits, operands
from hw.design import DesignPoint
from hw.values import register


class WeightStationaryArray(wiring.Component):
    """rows × cols cells that keep weights, with skew, and the accumulators.

    Weights of a slice may go in from the cycle of the slice before's first beat on, row 0 first; the slice's first beat
    must come later than its last weights. A row of accumulators comes out `latency` cycles after the beat that finishes
    it.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    i : In(stream of beats, always ready)
    load : In(stream of weights, always ready)
    o : Out(stream of rows, always ready)
    """

    def __init__(self, design: DesignPoint):
        self.design = design
        self.latency = latency(design)
        super().__init__(
            {
                "i": In(stream.Signature(beat(design), always_ready=True)),
                "load": In(stream.Signature(load(design), always_ready=True)),
                "o": Out(stream.Signature(row(design), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Norms at the edge, skew, cells; sums straightened out; the accumulators in their memory."""
        m = Module()
        rows, cols = self.design.rows, self.design.cols
        x_side, w_side = operands(self.design)
        beat = self.i.payload
        cells = [[weight_stationary_cell(self.design, c) for c in range(cols)] for _ in range(rows)]

        # Neither a swap nor a load needs a reset: the weight that it puts in use or keeps is another one when a block
        # comes.
        swap = Signal()
        m.d.comb += swap.eq(self.i.valid & beat.swap)
        swap = register(m, "swap", swap, cycles=at_edge(self.design))
        for p in range(rows):
            feed_row(m, platform, x_side, p, beat.x[p], p + 1, cells[p], swap=swap)
            # Inverted, unlike what the cells pass on: else synthesis finds that they are equal, and one net would have
            # to reach all cells of a diagonal.
            swap = ~register(m, f"no_swap_row{p}", ~swap)
        coming = Cat(self.load.valid, self.load.payload.row)
        coming = register(m, "load", coming, cycles=at_edge(self.design))
        sums = []
        for c in range(cols):
            feed_column(m, platform, w_side, c, self.load.payload.w[c], [row[c] for row in cells], load=coming)
            coming = register(m, f"load_column{c}", coming)
            total = Signal.like(cells[rows - 1][c].o, name=f"sum_{c}")
            m.d.comb += total.eq(cells[rows - 1][c].o)
            sums.append(register(m, f"sum_{c}", total, cycles=cols - 1 - c))

        # A sum meets what the memory holds of its row, which was read two cycles ago. If the row's sum was the last one
        # to be added, it is still in `out`. Else it was added three or more cycles ago, and is in the memory; or two if
        # the array has no more rows. Nothing is read that is being written, so that tools need not provide for it.
        flags = Signal(data.StructLayout({"start": 1, "finish": 1, "last": 1, "end": 1, "row": beat.row.shape()}))
        m.d.comb += [flags[name].eq(beat[name]) for name in flags.shape().members]
        valid = register(m, "valid", self.i.valid, cycles=self.latency - 1, reset_less=False)
        reading = flags.shape()(register(m, "flags", flags.as_value(), cycles=self.latency - 3))
        holding = flags.shape()(register(m, "flags_holding", reading.as_value()))
        adding = flags.shape()(register(m, "flags_adding", holding.as_value()))
        row_added = Signal.like(beat.row, reset_less=True)
        in_out = Signal(reset_less=True)
        in_out_then = Signal(reset_less=True)  # it was while the memory was read
        being_written = Signal()
        m.d.comb += being_written.eq(valid & (reading.row == adding.row))
        m.d.sync += [
            in_out.eq(~holding.start & (holding.row == Mux(valid, adding.row, row_added))),
            in_out_then.eq(being_written),
        ]
        with m.If(valid):
            m.d.sync += row_added.eq(adding.row)
        width = job_bits(self.design)
        m.submodules.accumulators = memory = Memory(shape=width * cols, depth=self.design.panel_rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [read.addr.eq(reading.row), read.en.eq(~being_written)]
        values = []
        for c in range(cols):
            out = Signal(signed(width), name=f"out_{c}", reset_less=True)
            before = Signal.like(out, name=f"before_{c}", reset_less=True)
            total = Signal.like(out, name=f"total_{c}")
            word = read.data[width * c : width * (c + 1)].as_signed()
            m.d.comb += total.eq(sums[c] + Mux(in_out, out, before))
            if rows <= 2:
                word = Mux(in_out_then, out, word)
            m.d.sync += before.eq(Mux(holding.start, 0, word))
            with m.If(valid):
                m.d.sync += out.eq(total)
            values.append(total)
            m.d.comb += self.o.payload.values[c].eq(whole(out, x_side))
        m.d.comb += [write.addr.eq(adding.row), write.data.eq(Cat(values)), write.en.eq(valid)]
        leaving = Signal(3)
        m.d.sync += leaving.eq(Cat(valid & adding.finish, adding.last, adding.end))
        m.d.comb += [
            self.o.valid.eq(leaving[0]),
            self.o.payload.last.eq(leaving[1]),
            self.o.payload.end.eq(leaving[2]),
        ]
        return m

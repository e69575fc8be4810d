"""The two arrays of rows × cols dot-8 cells: decoded blocks in, rows of accumulators out, in fixed time.

Nothing in an array can stall: whoever sends a block whose arrival finishes accumulators must have room for them.

Output-stationary: cell (p, c) computes entry (rows − 1 − p, c) of a tile. Operands of the rows enter from the left, one
cycle later per row from the top; operands of the columns enter from the top, one cycle later per column. Finished
accumulators move down each column and leave at the bottom, so that the rows come out in order, row 0 first; one row a
cycle, while the next tile is computed. The last beats of two tiles must be at least `rows` cycles apart. Then no result
is overwritten before it has moved on, and of two results in one column those of tiles t and t + 2 never take part in
the same drain, so that the parity of a tile's number tells which ones move.

Weight-stationary: cell (p, c) holds the weights of block p of a slice and column c. Sums move down the columns and are
added to an accumulator per row of activations and column, in a memory at the bottom.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.cell import PRODUCT_LATENCY, TOKEN, Cell, SquaredNorm, StationaryCell, acc_bits, layout, whole
from hw.design import ACC_BITS, DesignPoint
from hw.operands import Operand, operands
from hw.pairs import Pairing
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
    through = SquaredNorm.LATENCY + PRODUCT_LATENCY + 1 + (design.rows - 1) + (design.cols - 1)
    return through + (1 if design.dataflow == "os" else 2)


def _edge(
    m: Module, platform: object, operand: Operand, name: str, block: data.View, skew: int, *, low: int | None = None
) -> Signal:
    """A block at its edge of the array, skewed: with its norm, or in pairs with number `low` as the low one."""
    value = Signal(layout(operand, multiply=low is not None).size, name=name)
    if low is None:
        norm = SquaredNorm(operand)
        place(m, platform, f"norm_{name}", norm)
        m.d.comb += [norm.i.eq(block), value.eq(norm.o.as_value())]
        return register(m, name, value, cycles=skew)
    m.d.comb += value.eq(_pairs(m, platform, operand, name, block, low).as_value())
    return register(m, name, value, cycles=SquaredNorm.LATENCY + skew)


def _pairs(m: Module, platform: object, operand: Operand, name: str, block: data.View, low: int) -> data.View:
    """A block, with its norm or without, in pairs."""
    pairing = Pairing(operand, low)
    place(m, platform, f"pairs_{name}", pairing)
    m.d.comb += [pairing.i[field].eq(block[field]) for field in operand.block.members]
    return pairing.o


def _from_left(
    m: Module,
    platform: object,
    operand: Operand,
    left: Cell | StationaryCell,
    cell: Cell | StationaryCell,
    row: int,
) -> data.View:
    """What a cell takes from the one on its left: in pairs, where the columns of multipliers begin."""
    block = left.x_next
    return _pairs(m, platform, operand, f"x{row}", block, 0) if cell.multiply and not left.multiply else block


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
        beat = self.i.payload

        token = Signal(2)
        flags = Signal(data.StructLayout({"count": range(rows + 1), "last": 1, "end": 1}))
        m.d.comb += [TOKEN(token).valid.eq(self.i.valid), TOKEN(token).last.eq(beat.finish)]
        m.d.comb += [flags[name].eq(beat[name]) for name in flags.shape().members]
        token = register(m, "token", token, cycles=SquaredNorm.LATENCY, reset_less=False)

        dsp = [c >= cols - self.design.dsp_cols for c in range(cols)]
        cells = [[Cell(x_side, w_side, multiply=dsp[c]) for c in range(cols)] for _ in range(rows)]
        token_in = token
        for p in range(rows):
            x = _edge(m, platform, x_side, f"x{p}", beat.x[rows - 1 - p], p, low=0 if dsp[0] else None)
            for c in range(cols):
                cell = cells[p][c]
                place(m, platform, f"cell_{p}_{c}", cell)
                left = cells[p][c - 1] if c else None
                m.d.comb += cell.x.eq(_from_left(m, platform, x_side, left, cell, p) if left else x)
                m.d.comb += cell.token.eq(left.token_next if left else token_in)
            token_in = register(m, f"token_row{p}", token_in, reset_less=False)
        for c in range(cols):
            w = _edge(m, platform, w_side, f"w{c}", beat.w[c], c, low=1 if dsp[c] else None)
            for p in range(rows):
                above = cells[p - 1][c] if p else None
                m.d.comb += cells[p][c].w.eq(above.w_next if above else w)
                if above:
                    m.d.comb += cells[p][c].above.eq(above.o)
                else:  # nothing ever comes from above the top
                    m.d.comb += cells[p][c].above.tile.eq(~cells[p][c].tile)

        # The last block reaches the accumulator of column 0's bottom cell: its rows are next, one per cycle.
        at_bottom = register(m, "token_bottom", token, cycles=Cell.DEPTH + rows - 1, reset_less=False)
        flags_at_bottom = register(m, "flags", flags.as_value(), cycles=SquaredNorm.LATENCY + Cell.DEPTH + rows - 1)
        left_to_go = Signal(range(rows + 1))
        closing = Signal(2)
        tile = Signal(init=1)
        with m.If(left_to_go != 0):
            m.d.sync += left_to_go.eq(left_to_go - 1)
        with m.If(TOKEN(at_bottom).valid & TOKEN(at_bottom).last):
            now = flags.shape()(flags_at_bottom)
            m.d.sync += [left_to_go.eq(now.count), closing.eq(Cat(now.last, now.end)), tile.eq(~tile)]

        # The order to shift moves right with the skew; the rows leave with it, straightened out.
        order = Signal(2)
        m.d.comb += order.eq(Cat(left_to_go != 0, tile))
        for c in range(cols):
            for p in range(rows):
                m.d.comb += [cells[p][c].shift.eq(order[0]), cells[p][c].tile.eq(order[1])]
            acc = Signal(signed(acc_bits(x_side)), name=f"acc_{c}")
            m.d.comb += acc.eq(cells[rows - 1][c].o.acc)
            m.d.comb += self.o.payload.values[c].eq(whole(register(m, f"acc_{c}", acc, cycles=cols - c), x_side))
            if c + 1 < cols:
                order = register(m, f"order_{c}", order, reset_less=False)
        leaving = Cat(left_to_go != 0, closing & (left_to_go == 1).replicate(2))
        leaving = register(m, "leaving", leaving, cycles=cols, reset_less=False)
        m.d.comb += [
            self.o.valid.eq(leaving[0]),
            self.o.payload.last.eq(leaving[1]),
            self.o.payload.end.eq(leaving[2]),
        ]
        return m


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
        dsp = [c >= cols - self.design.dsp_cols for c in range(cols)]
        cells = [[StationaryCell(x_side, w_side, rows - 1, multiply=dsp[c]) for c in range(cols)] for _ in range(rows)]

        swap = Signal()
        m.d.comb += swap.eq(self.i.valid & beat.swap)
        swap = register(m, "swap", swap, cycles=SquaredNorm.LATENCY, reset_less=False)
        for p in range(rows):
            x = _edge(m, platform, x_side, f"x{p}", beat.x[p], p + 1, low=0 if dsp[0] else None)
            for c in range(cols):
                place(m, platform, f"cell_{p}_{c}", cells[p][c])
                left = cells[p][c - 1] if c else None
                m.d.comb += cells[p][c].x.eq(_from_left(m, platform, x_side, left, cells[p][c], p) if left else x)
                m.d.comb += cells[p][c].swap.eq(left.swap_next if left else swap)
            # Without a reset, which it does not need: else synthesis finds that it is equal to the one that the cells
            # pass on, and one net would have to reach all cells of a diagonal.
            swap = register(m, f"swap_row{p}", swap)
        coming = Cat(self.load.valid, self.load.payload.row)
        coming = register(m, "load", coming, cycles=SquaredNorm.LATENCY, reset_less=False)
        sums = []
        for c in range(cols):
            w = _edge(m, platform, w_side, f"w{c}", self.load.payload.w[c], c, low=1 if dsp[c] else None)
            for p in range(rows):
                above = cells[p - 1][c] if p else None
                m.d.comb += cells[p][c].w.eq(above.w_next if above else w)
                m.d.comb += cells[p][c].load.eq(above.load_next if above else coming)
                if above:
                    m.d.comb += cells[p][c].above.eq(above.o)
            coming = register(m, f"load_column{c}", coming, reset_less=False)
            total = Signal(signed(acc_bits(x_side)), name=f"sum_{c}")
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
        row_added = Signal.like(beat.row)
        in_out = Signal()
        in_out_then = Signal()  # it was while the memory was read
        being_written = Signal()
        m.d.comb += being_written.eq(valid & (reading.row == adding.row))
        m.d.sync += [
            in_out.eq(~holding.start & (holding.row == Mux(valid, adding.row, row_added))),
            in_out_then.eq(being_written),
        ]
        with m.If(valid):
            m.d.sync += row_added.eq(adding.row)
        width = acc_bits(x_side)
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

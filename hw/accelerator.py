"""The top: packed operand streams in, accumulators out."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.array import SystolicArray, row
from hw.decoder import Decoder
from hw.design import DesignPoint
from hw.streams import delay, packed_block
from hw.units import place

COUNTERS = ("busy", "x_late", "w_late", "idle", "drain_blocked")
"""Every cycle counts under exactly one of these names."""

COUNTER_BITS = 32


class Accelerator(wiring.Component):
    """Multiplies packed matrices tile by tile: acc[r, c] = Σ_k β·β·⟨x[r, k], w[c, k]⟩.

    A tile is a run of beats on `x` and `w`, one block of every row and of every column each; a beat of `x` and one of
    `w` are taken together. `x.last` ends the tile, and `x.count` says how many of its rows come out at `acc`, 1 to
    `rows` (rows and columns beyond the matrix may hold anything). Tiles may be of any length and follow each other at
    once.

    Everything behind the two inputs moves without stalls. The last beat of a tile is the only one that may have to
    wait: until the output queue has room for the tile's rows, and until `rows` cycles after the last beat before it.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    x : In(stream of labels and betas of the rows, last, count)
    w : In(stream of labels and betas of the columns)
    acc : Out(stream of rows of accumulators, last)
    busy, x_late, w_late, idle, drain_blocked : Out(32)
        Cycles since reset: a beat was taken; only `x`, only `w`, both were missing; the last beat had to wait.
    """

    def __init__(self, design: DesignPoint):
        self.design = design
        self.array = SystolicArray(design)
        self.latency = Decoder.LATENCY + self.array.latency + 2
        """Cycles from the transfer of a tile's last beat to valid at `acc`, the queue being empty."""
        x = packed_block(design.format, design.rows) | {"last": 1, "count": range(design.rows + 1)}
        w = packed_block(design.format, design.cols)
        super().__init__(
            {
                "x": In(stream.Signature(data.StructLayout(x))),
                "w": In(stream.Signature(data.StructLayout(w))),
                "acc": Out(stream.Signature(row(design))),
                **{name: Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Admission; decoders; the array; the output queue; the counters."""
        m = Module()
        design = self.design
        last, count = self.x.payload.last, self.x.payload.count

        admit = Signal()
        blocked = Signal()
        m.d.comb += [
            admit.eq(self.x.valid & self.w.valid & ~blocked),
            self.x.ready.eq(self.w.valid & ~blocked),
            self.w.ready.eq(self.x.valid & ~blocked),
        ]

        # Room in the output queue is set aside when the last beat is taken, and given back row by row.
        room = Signal(range(design.drain_rows + 1), init=design.drain_rows)
        taken = self.acc.valid & self.acc.ready
        m.d.sync += room.eq(room - Mux(admit & last, count, 0) + taken)
        # The array wants the last beats of two tiles `rows` cycles apart: gap counts the cycles still to wait.
        gap = Signal(range(design.rows))
        with m.If(admit & last):
            m.d.sync += gap.eq(design.rows - 1)
        with m.Elif(gap.any()):
            m.d.sync += gap.eq(gap - 1)
        m.d.comb += blocked.eq(last & ((room < count) | gap.any()))

        m.submodules.array = array = self.array
        for side, stream_, blocks, number in (
            ("x", self.x, array.i.payload.x, design.rows),
            ("w", self.w, array.i.payload.w, design.cols),
        ):
            for i in range(number):
                decoder = Decoder(design.format)
                place(m, platform, f"decoder_{side}{i}", decoder)
                m.d.comb += [
                    decoder.i.payload.label.eq(stream_.payload.labels[i]),
                    decoder.o.ready.eq(1),
                    blocks[i].eq(decoder.o.payload),
                ]
                if design.format.beta_bits:
                    m.d.comb += decoder.i.payload.beta.eq(stream_.payload.betas[i])
        fields = Signal(data.StructLayout({"valid": 1, "last": 1, "count": count.shape()}))
        m.d.comb += [fields.valid.eq(admit), fields.last.eq(last), fields.count.eq(count)]
        late = fields.shape()(delay(m, fields.as_value(), Decoder.LATENCY, "beat", reset_less=False))
        m.d.comb += [
            array.i.valid.eq(late.valid),
            array.i.payload.last.eq(late.last),
            array.i.payload.count.eq(late.count),
        ]

        m.submodules.queue = queue = SyncFIFOBuffered(width=row(design).size, depth=design.drain_rows)
        m.d.comb += [
            queue.w_data.eq(array.o.payload),
            queue.w_en.eq(array.o.valid),
            self.acc.payload.eq(queue.r_data),
            self.acc.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.acc.ready),
        ]

        conditions = dict(
            busy=admit,
            x_late=~self.x.valid & self.w.valid,
            w_late=self.x.valid & ~self.w.valid,
            idle=~self.x.valid & ~self.w.valid,
            drain_blocked=self.x.valid & self.w.valid & blocked,
        )
        for name in COUNTERS:
            counter = getattr(self, name)
            with m.If(conditions[name]):
                m.d.sync += counter.eq(counter + 1)
        return m

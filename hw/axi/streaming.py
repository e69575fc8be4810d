"""The accelerator with AXI4-Stream: packets of operand words in, rows of results out."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.core import Core, Top
from hw.axi.framer import Framer
from hw.axi.ports import axi_stream, broadcast
from hw.design import ACC_BITS, DesignPoint
from hw.engine import w_word, x_word

ERRORS = {
    f"{side}_framing": f"A packet of {name} was too short for its job (zeros were put in) or too long (it was cut)."
    for side, name in (("x", "activations"), ("w", "weights"))
}
"""Errors of the streams, with what they mean."""


def _streams(design: DesignPoint) -> dict[str, wiring.Member]:
    return {
        "s_axis_x": In(axi_stream(x_word(design).size)),
        "s_axis_w": In(axi_stream(w_word(design).size)),
        "m_axis_acc": Out(axi_stream(ACC_BITS * design.cols)),
    }


class StreamCore(Core):
    """Planner, engine, and a framer for either operand.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    s_axis_x, s_axis_w : In(AXI4-Stream)
    m_axis_acc : Out(AXI4-Stream)
    taken : In(1)
        The last row of a job has left for good.
    """

    def __init__(self, design: DesignPoint):
        super().__init__(design, ERRORS, (), _streams(design) | {"taken": In(1)}, addressed=False)

    def elaborate(self, platform: object) -> Module:
        """Each job goes to the engine and to both framers."""
        m = Module()
        plans, engine = self.place(m)
        plan = plans.payload
        m.submodules.frame_x = x = Framer(x_word(self.design).size)
        m.submodules.frame_w = w = Framer(w_word(self.design).size)
        sinks = {"engine": (engine.plan.valid, engine.plan.ready)}
        for name, framer, packet, words in (
            ("x", x, self.s_axis_x, engine.x),
            ("w", w, self.s_axis_w, engine.w),
        ):
            sinks[name] = (framer.job.valid, framer.job.ready)
            wiring.connect(m, wiring.flipped(packet), framer.packet)
            m.d.comb += [
                words.payload.as_value().eq(framer.o.payload),
                words.valid.eq(framer.o.valid),
                framer.o.ready.eq(words.ready),
                self.errors[f"{name}_framing"].eq(framer.error),
            ]
        broadcast(m, plans, sinks)
        m.d.comb += [engine.plan.payload[name].eq(plan[name]) for name in engine.plan.payload.shape().members]
        m.d.comb += [
            x.job.payload.tiles.eq(1),
            x.job.payload.words.eq(plan.x_words),
            w.job.payload.tiles.eq(plan.tiles),
            w.job.payload.words.eq(plan.w_words),
            self.m_axis_acc.tdata.eq(engine.acc.payload.values),
            self.m_axis_acc.tlast.eq(engine.acc.payload.end),
            self.m_axis_acc.tvalid.eq(engine.acc.valid),
            engine.acc.ready.eq(self.m_axis_acc.tready),
            self.done.eq(self.taken),
            self.quiet.eq(1),
        ]
        return m


class AxiStreamTop(Top):
    """Jobs by registers, operands and results by AXI4-Stream.

    Word by word, tdata holds the labels in the low bits, lane 0 first, then the β indices, then zeros up to a whole
    byte. A packet is an operand of a job: all words of activations, or all words of all tiles of weights. Results are a
    row of accumulators per transfer, column 0 in the low bits; tlast marks the last row of a job.

    In soft reset, words that come in are dropped. A row that is on offer then stays on offer until it is taken.

    Parameters
    ----------
    design : DesignPoint
    """

    def __init__(self, design: DesignPoint):
        super().__init__(StreamCore(design), f"{design.module}_axis", _streams(design))

    def elaborate(self, platform: object) -> Module:
        """A register on the way out, which a soft reset leaves alone."""
        m = super().elaborate(platform)
        core, acc = self.core, self.m_axis_acc
        for outer, inner in ((self.s_axis_x, core.s_axis_x), (self.s_axis_w, core.s_axis_w)):
            m.d.comb += [
                inner.tdata.eq(outer.tdata),
                inner.tlast.eq(outer.tlast),
                inner.tvalid.eq(outer.tvalid),
                outer.tready.eq(inner.tready | self.core_reset),
            ]
        rows = core.m_axis_acc
        fresh = Signal()
        m.d.comb += [
            rows.tready.eq(~acc.tvalid | acc.tready),
            core.taken.eq(acc.tvalid & acc.tready & acc.tlast & fresh),
        ]
        with m.If(rows.tready):
            m.d.sync += [acc.tvalid.eq(rows.tvalid), acc.tdata.eq(rows.tdata), acc.tlast.eq(rows.tlast)]
            m.d.core += fresh.eq(1)
        return m

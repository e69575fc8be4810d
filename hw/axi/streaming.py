"""The accelerator with AXI4-Stream: packets of operand words in, rows of results out."""

from typing import ClassVar

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from hw.axi.core import Core, Top
from hw.axi.framer import Framer
from hw.axi.map import front_end_layout
from hw.axi.ports import axi_stream
from hw.codec.encoder import encoded_block
from hw.codec.frontend import multiplier
from hw.design import ACC_BITS, DesignPoint
from hw.engine.accelerator import Routed, raw_sink
from hw.engine.banks import w_word, x_word
from hw.engine.sequencer import Engine
from hw.streams import broadcast


def _streams(design: DesignPoint) -> dict[str, wiring.Member]:
    streams = {
        "s_axis_x": In(axi_stream(x_word(design).size)),
        "s_axis_w": In(axi_stream(w_word(design).size)),
        "m_axis_acc": Out(axi_stream(ACC_BITS * design.cols)),
    }
    if rules := design.front_end:
        streams |= {
            "s_axis_raw": In(axi_stream(DIM * rules.raw_bits)),
            "m_axis_codes": Out(axi_stream(encoded_block(rules).size - 1)),
            "m_axis_multipliers": Out(axi_stream(multiplier(rules).size)),
        }
        if rules.scale == "host":
            streams["s_axis_multipliers"] = In(axi_stream(multiplier(rules).size))
    return streams


class StreamCore(Core):
    """Planner, engine, and a framer for either operand; and the front end.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    s_axis_x, s_axis_w : In(AXI4-Stream)
    m_axis_acc : Out(AXI4-Stream)
    s_axis_raw, m_axis_codes, m_axis_multipliers, s_axis_multipliers : AXI4-Stream, of designs with a front end
    taken : In(1)
        The last row of a job has left for good.
    empty : In(1), of designs that keep rows
        No row waits outside.
    """

    ERRORS: ClassVar = {
        f"{side}_framing": f"A packet of {name} was too short for its job (zeros were put in) or too long (it was cut)."
        for side, name in (("x", "activations"), ("w", "weights"))
    }
    ADDRESSED: ClassVar = False

    def __init__(self, design: DesignPoint):
        super().__init__(design, _streams(design) | {"taken": In(1)} | ({"empty": In(1)} if design.keep_rows else {}))

    @classmethod
    def meanings(cls, design: DesignPoint) -> dict[str, str]:
        """What each error means; one more with a front end."""
        bad_row = (
            "A packet of raw coordinates was too short (zeros were put in) or too long (it was cut) for its job, "
            "for whole segments, or for the front end."
        )
        return super().meanings(design) | ({"bad_row": bad_row} if design.front_end else {})

    def elaborate(self, platform: object) -> Module:
        """Each job goes to the engine and to both framers."""
        m = Module()
        plans, engine = self.place(m)
        plan = plans.payload
        m.submodules.frame_x = x = Framer(x_word(self.design).size, tiled=False)
        m.submodules.frame_w = w = Framer(w_word(self.design).size, tiled=True)
        sinks: dict[str, tuple[Signal, Value]] = {"engine": (engine.plan.valid, engine.plan.ready)}
        for name, framer, packet, words in (
            ("x", x, self.s_axis_x, engine.x),
            ("w", w, self.s_axis_w, engine.w),
        ):
            # The activations of a raw job are not among the packets.
            passed = plan.raw if name == "x" else Const(0, 1)
            wanted = Signal(name=f"{name}_wanted")
            sinks[name] = (wanted, framer.job.ready | passed)
            m.d.comb += framer.job.valid.eq(wanted & ~passed)
            wiring.connect(m, wiring.flipped(packet), framer.packet)
            m.d.comb += [
                words.payload.as_value().eq(framer.o.payload),
                words.valid.eq(framer.o.valid),
                framer.o.ready.eq(words.ready),
                self.errors[f"{name}_framing"].eq(framer.error),
            ]
        if self.design.front_end:
            sinks["rows"] = raw_sink(m, plans, self._front_end(m, self.design, engine))
        broadcast(m, plans, sinks)
        m.d.comb += [engine.plan.payload[name].eq(plan[name]) for name in engine.plan.payload.shape().members]
        # A job that keeps its rows is done when those before it have left.
        keeps, out = bool(self.design.keep_rows), self.m_axis_acc
        kept = engine.acc.payload.kept if keeps else Const(0, 1)
        m.d.comb += [
            x.job.payload.words.eq(plan.x_words),
            w.job.payload.tiles.eq(plan.tiles),
            w.job.payload.words.eq(plan.w_words),
            self.m_axis_acc.tdata.eq(engine.acc.payload.values),
            self.m_axis_acc.tlast.eq(engine.acc.payload.end),
            self.m_axis_acc.tvalid.eq(engine.acc.valid & ~kept if keeps else engine.acc.valid),
            engine.acc.ready.eq(Mux(kept, self.empty, out.tready) if keeps else out.tready),
            self.done.eq(self.taken | (engine.acc.valid & kept & self.empty) if keeps else self.taken),
            self.quiet.eq(1),
        ]
        return m

    def _front_end(self, m: Module, design: DesignPoint, engine: Engine) -> Routed:
        """The front end between its streams and the engine."""
        m.submodules.routed = routed = Routed(design)
        raw, codes, out = self.s_axis_raw, self.m_axis_codes, self.m_axis_multipliers
        wiring.connect(m, routed.blocks, engine.blocks)
        for name in front_end_layout().members:
            if name in routed.signature.members:
                m.d.comb += getattr(routed, name).eq(self.front_end[name])
        m.d.comb += [
            routed.raw.valid.eq(raw.tvalid),
            raw.tready.eq(routed.raw.ready),
            routed.raw.payload.x.as_value().eq(raw.tdata),
            routed.raw.payload.last.eq(raw.tlast),
            routed.raw.payload.out.eq(self.front_end.out),
            codes.tvalid.eq(routed.codes.valid),
            routed.codes.ready.eq(codes.tready),
            codes.tdata.eq(routed.codes.payload.as_value()[:-1]),
            codes.tlast.eq(routed.codes.payload.last),
            out.tvalid.eq(routed.multipliers.valid),
            routed.multipliers.ready.eq(out.tready),
            out.tdata.eq(routed.multipliers.payload.as_value()),
            out.tlast.eq(1),
            self.errors.bad_row.eq(routed.bad_row),
        ]
        if routed.rules.scale == "host":
            given = self.s_axis_multipliers
            m.d.comb += [
                routed.scale.valid.eq(given.tvalid),
                given.tready.eq(routed.scale.ready),
                routed.scale.payload.as_value().eq(given.tdata),
            ]
        return routed


class AxiStreamTop(Top):
    """Jobs by registers, operands and results by AXI4-Stream.

    Word by word, tdata holds the labels in the low bits, lane 0 first, then the β indices, then zeros up to a whole
    byte. A packet is an operand of a job: all words of activations, or all words of all tiles of weights. Results are a
    row of accumulators per transfer, column 0 in the low bits; tlast marks the last row of a job.

    With a front end, a transfer of `s_axis_raw` is eight raw coordinates and a packet is a row; a transfer of
    `m_axis_codes` is a label, its β index and its row's multiplier, and a packet is a row. `m_axis_multipliers` gives
    the multiplier of each row that went into the array, mantissa in the low bits; `s_axis_multipliers` takes one per
    row, where the host gives them.

    In soft reset, words that come in are dropped. What is on offer then stays on offer until it is taken.

    Parameters
    ----------
    design : DesignPoint
    """

    KIND: ClassVar = "axis"
    CORE: ClassVar = StreamCore

    def __init__(self, design: DesignPoint):
        super().__init__(design, _streams(design))

    def elaborate(self, platform: object) -> Module:
        """Registers on the ways out, which a soft reset leaves alone."""
        m = super().elaborate(platform)
        core, acc = self.core, self.m_axis_acc
        fresh = Signal()
        for name, member in _streams(self.design).items():
            outer, inner = getattr(self, name), getattr(core, name)
            if member.flow == In:
                m.d.comb += [
                    inner.tdata.eq(outer.tdata),
                    inner.tlast.eq(outer.tlast),
                    inner.tvalid.eq(outer.tvalid),
                    outer.tready.eq(inner.tready | self.core_reset),
                ]
                continue
            m.d.comb += inner.tready.eq(~outer.tvalid | outer.tready)
            with m.If(inner.tready):
                m.d.sync += [outer.tvalid.eq(inner.tvalid), outer.tdata.eq(inner.tdata), outer.tlast.eq(inner.tlast)]
                if name == "m_axis_acc":
                    m.d.core += fresh.eq(1)
        m.d.comb += core.taken.eq(acc.tvalid & acc.tready & acc.tlast & fresh)
        if self.design.keep_rows:
            m.d.comb += core.empty.eq(~acc.tvalid)
        return m

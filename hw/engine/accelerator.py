"""The top: jobs and operand streams in, accumulators out."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from golden.frontend import GAIN_EXPONENT_BITS, MANTISSA_BITS, SEED_BITS, FrontEndRules
from hw.array.edges import row
from hw.codec.encoder import encoded_block, multiplier_fields
from hw.codec.frontend import FrontEnd, multiplier
from hw.codec.hadamard import raw_block
from hw.design import DesignPoint
from hw.engine.banks import w_word, x_word
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import ERRORS, Planner, job
from hw.engine.sequencer import Engine

ROWS_UNDER_WAY = 64
"""Rows that the front end can have taken in part and not given out."""


class Routed(wiring.Component):
    """A front end whose rows go one of two ways: to the engine, or out as packed codes.

    Parameters
    ----------
    rules : FrontEndRules
    rows : int
        Rows whose multipliers can wait to be taken.

    Members
    -------
    raw : In(stream of raw blocks; with `out`, looked at in a row's first block: whether the row goes out)
    codes : Out(stream of packed blocks)
        Of rows that go out.
    blocks : Out(stream of label, beta, last)
        Of the others.
    multipliers : Out(stream of multipliers)
        One for each of the others, at its end: what scale the row has. While none can wait any more, the engine waits.
    seed, scale, gain_mantissa, gain_exponent
        As `hw.codec.frontend.FrontEnd` has them.
    """

    def __init__(self, rules: FrontEndRules, rows: int):
        self.rules, self._rows = rules, rows
        packed = encoded_block(rules).members
        block = {name: shape for name, shape in packed.items() if name not in multiplier_fields(rules)}
        super().__init__(
            {
                **front_end_controls(rules),
                "raw": In(stream.Signature(data.StructLayout(raw_block(rules).members | {"out": 1}))),
                "codes": Out(stream.Signature(encoded_block(rules))),
                "blocks": Out(stream.Signature(data.StructLayout(block))),
                "multipliers": Out(stream.Signature(multiplier(rules))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The ways of the rows under way wait in a queue beside the front end."""
        m = Module()
        m.submodules.front_end = front_end = FrontEnd(self.rules)
        m.submodules.ways = ways = SyncFIFO(width=1, depth=ROWS_UNDER_WAY)
        m.submodules.multipliers = kept = SyncFIFOBuffered(width=multiplier(self.rules).size, depth=self._rows)
        for name, member in front_end_controls(self.rules).items():
            if member.is_port:
                m.d.comb += getattr(front_end, name).eq(getattr(self, name))
            else:
                connect(m, flipped(getattr(self, name)), getattr(front_end, name))

        first = Signal(init=1)
        may_start = Signal()
        m.d.comb += [
            may_start.eq(~first | ways.w_rdy),
            front_end.i.valid.eq(self.raw.valid & may_start),
            self.raw.ready.eq(front_end.i.ready & may_start),
            front_end.i.payload.x.eq(self.raw.payload.x),
            front_end.i.payload.last.eq(self.raw.payload.last),
            ways.w_data.eq(self.raw.payload.out),
            ways.w_en.eq(self.raw.valid & self.raw.ready & first),
        ]
        with m.If(self.raw.valid & self.raw.ready):
            m.d.sync += first.eq(self.raw.payload.last)

        packed, out = front_end.o, ways.r_data
        keeps = Signal()  # the row's multiplier has a place to wait
        m.d.comb += [
            keeps.eq(~packed.payload.last | kept.w_rdy),
            self.codes.payload.eq(packed.payload),
            self.codes.valid.eq(packed.valid & out),
            self.blocks.valid.eq(packed.valid & ~out & keeps),
            packed.ready.eq((self.codes.ready & out) | (self.blocks.ready & ~out & keeps)),
            ways.r_en.eq(packed.valid & packed.ready & packed.payload.last),
            kept.w_en.eq(self.blocks.valid & self.blocks.ready & packed.payload.last),
            self.multipliers.valid.eq(kept.r_rdy),
            self.multipliers.payload.as_value().eq(kept.r_data),
            kept.r_en.eq(self.multipliers.ready),
        ]
        for name in self.blocks.payload.shape().members:
            m.d.comb += self.blocks.payload[name].eq(packed.payload[name])
        row_multiplier = multiplier(self.rules)(kept.w_data)
        for name in multiplier_fields(self.rules):
            m.d.comb += row_multiplier[name].eq(packed.payload[name])
        return m


def front_end_controls(rules: FrontEndRules) -> dict[str, wiring.Member]:
    """Members that control a front end, as `hw.codec.frontend.FrontEnd` has them."""
    if rules.scale == "host":
        return {"seed": In(SEED_BITS), "scale": In(stream.Signature(multiplier(rules)))}
    return {"seed": In(SEED_BITS), "gain_mantissa": In(MANTISSA_BITS), "gain_exponent": In(GAIN_EXPONENT_BITS)}


class Accelerator(wiring.Component):
    """Multiplies matrices job by job: acc[r, c] = Σ_k β·β·⟨x[r, k], w[c, k]⟩.

    A job is described on `job`; its words follow on `x` and `w`, in the order that `hw.engine.sequencer.Engine` states;
    its rows come out on `acc`. Jobs queue, and their words may be sent before them. With a front end, the activations
    of a raw job come as rows on `raw` instead of words on `x`.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    job : In(stream of jobs)
    x, w : In(stream of words)
    acc : Out(stream of rows)
    errors : Out
        For each of `hw.engine.planner.ERRORS`, a pulse where a job was refused: it is dropped, and its words must not
        be sent.
    busy, x_late, w_late, drain_blocked, idle : Out(32)
        Cycles since reset by cause, see `hw.engine.counters.COUNTERS`.
    raw, codes, multipliers, seed, scale, gain_mantissa, gain_exponent : of designs with a front end
        As `Routed` has them.
    bad_row : Out, of designs with a front end
        A pulse where a raw row had more or fewer steps than its job says.
    """

    def __init__(self, design: DesignPoint):
        self.planner, self.engine = Planner(design), Engine(design)
        self.routed = Routed(design.front_end, design.panel_rows) if design.front_end else None
        members = {
            "job": In(stream.Signature(job())),
            "x": In(stream.Signature(x_word(design))),
            "w": In(stream.Signature(w_word(design))),
            "acc": Out(stream.Signature(row(design))),
            "errors": Out(len(ERRORS)),
            **{name: Out(COUNTER_BITS) for name in COUNTERS},
        }
        if self.routed:
            self._routed = {name: member for name, member in self.routed.signature.members.items() if name != "blocks"}
            members |= self._routed | {"bad_row": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Planner, engine, front end."""
        m = Module()
        m.submodules.planner, m.submodules.engine = self.planner, self.engine
        connect(m, flipped(self.job), self.planner.i)
        connect(m, self.planner.o, self.engine.plan)
        connect(m, flipped(self.x), self.engine.x)
        connect(m, flipped(self.w), self.engine.w)
        connect(m, self.engine.acc, flipped(self.acc))
        m.d.comb += self.errors.eq(self.planner.errors)
        m.d.comb += [getattr(self, name).eq(getattr(self.engine, name)) for name in COUNTERS]
        if self.routed:
            m.submodules.front_end = self.routed
            connect(m, self.routed.blocks, self.engine.blocks)
            m.d.comb += self.bad_row.eq(self.engine.bad_row)
            for name, member in self._routed.items():
                inner, outer = getattr(self.routed, name), getattr(self, name)
                if member.is_port:
                    m.d.comb += inner.eq(outer)
                else:
                    connect(m, inner, flipped(outer))
        return m

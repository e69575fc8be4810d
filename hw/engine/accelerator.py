"""The top: jobs and operand streams in, accumulators out."""

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from golden.frontend import GAIN_EXPONENT_BITS, MANTISSA_BITS, SEED_BITS, FrontEndRules
from hw.array.edges import row
from hw.codec.encoder import encoded_block, multiplier_fields
from hw.codec.frontend import FrontEnd, multiplier
from hw.design import DesignPoint
from hw.engine.banks import w_word, x_word
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import Planner, errors, job
from hw.engine.rows import RowFramer, raw_job, routed_block
from hw.engine.sequencer import Engine
from hw.streams import BlockQueue, broadcast

ROWS_UNDER_WAY = 64
"""Rows that the front end can have taken in part and not given out."""

FLOWING = 2
"""Places of a buffered queue beyond those that can wait, with which a word passes in every cycle."""


class Routed(wiring.Component):
    """A front end whose rows go one of two ways: to the engine, or out as packed codes.

    Parameters
    ----------
    design : DesignPoint
        With a front end. The multipliers of as many rows as a job can have can wait to be taken.

    Members
    -------
    job : In(stream of raw jobs)
    raw : In(stream of raw blocks; with `out`, looked at in a row's first block: whether the row goes out)
        Rows for the array wait for their job.
    codes : Out(stream of packed blocks)
        Of rows that go out.
    blocks : Out(stream of label, beta, last)
        Of the others.
    multipliers : Out(stream of multipliers)
        One for each of the others, at its end: what scale the row has. While none can wait any more, the engine waits.
    bad_row : Out(1)
        A pulse for a row of a length that its job, or the front end, does not take: it was filled up or cut.
    seed, scale, gain_mantissa, gain_exponent
        As `hw.codec.frontend.FrontEnd` has them.
    """

    def __init__(self, design: DesignPoint):
        assert design.front_end is not None
        self.design, self.rules = design, design.front_end
        rules = self.rules
        packed = encoded_block(rules).members
        block = {name: shape for name, shape in packed.items() if name not in multiplier_fields(rules)}
        super().__init__(
            {
                **front_end_controls(rules),
                "job": In(stream.Signature(raw_job(design))),
                "raw": In(stream.Signature(routed_block(rules))),
                "codes": Out(stream.Signature(encoded_block(rules))),
                "blocks": Out(stream.Signature(data.StructLayout(block))),
                "multipliers": Out(stream.Signature(multiplier(rules))),
                "bad_row": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Sound rows; the ways of those under way wait in a queue beside the front end."""
        m = Module()
        m.submodules.rows = framer = RowFramer(self.design)
        connect(m, flipped(self.job), framer.job)
        connect(m, flipped(self.raw), framer.i)
        raw = framer.o
        m.d.comb += self.bad_row.eq(framer.error)
        m.submodules.front_end = front_end = FrontEnd(self.rules)
        m.submodules.ways = ways = SyncFIFO(width=1, depth=ROWS_UNDER_WAY)
        m.submodules.multipliers = kept = BlockQueue(
            width=multiplier(self.rules).size, depth=self.design.panel_rows + FLOWING
        )
        for name, member in front_end_controls(self.rules).items():
            if member.is_port:
                m.d.comb += getattr(front_end, name).eq(getattr(self, name))
            else:
                connect(m, flipped(getattr(self, name)), getattr(front_end, name))

        first = Signal(init=1)
        may_start = Signal()
        m.d.comb += [
            may_start.eq(~first | ways.w_rdy),
            front_end.i.valid.eq(raw.valid & may_start),
            raw.ready.eq(front_end.i.ready & may_start),
            front_end.i.payload.x.eq(raw.payload.x),
            front_end.i.payload.last.eq(raw.payload.last),
            ways.w_data.eq(raw.payload.out),
            ways.w_en.eq(raw.valid & raw.ready & first),
        ]
        with m.If(raw.valid & raw.ready):
            m.d.sync += first.eq(raw.payload.last)

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


def raw_sink(m: Module, plans: stream.Interface, routed: Routed) -> tuple[Signal, Value]:
    """Where plans go on their way to the framer of rows: those of raw jobs reach it, the others are passed over."""
    wanted, plan = Signal(name="rows_wanted"), plans.payload
    m.d.comb += [
        routed.job.valid.eq(wanted & plan.raw),
        *(routed.job.payload[name].eq(plan[name]) for name in routed.job.payload.shape().members),
    ]
    return wanted, routed.job.ready | ~plan.raw


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
        For each of `hw.engine.planner.errors`, a pulse after a job was refused: it is dropped, and its words must not
        be sent.
    busy, x_late, w_late, drain_blocked, idle : Out(32)
        Cycles since reset by cause, see `hw.engine.counters.COUNTERS`.
    raw, codes, multipliers, seed, scale, gain_mantissa, gain_exponent : of designs with a front end
        As `Routed` has them.
    bad_row : Out, of designs with a front end
        As `Routed` has it.
    """

    def __init__(self, design: DesignPoint):
        self.design, self.planner, self.engine = design, Planner(design), Engine(design)
        self.routed = Routed(design) if design.front_end else None
        members = {
            "job": In(stream.Signature(job(design))),
            "x": In(stream.Signature(x_word(design))),
            "w": In(stream.Signature(w_word(design))),
            "acc": Out(stream.Signature(row(design))),
            "errors": Out(len(errors(design))),
            **{name: Out(COUNTER_BITS) for name in COUNTERS},
        }
        if self.routed:
            inside = ("job", "blocks")
            self._routed = {name: m for name, m in self.routed.signature.members.items() if name not in inside}
            members |= self._routed
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Planner, engine, front end."""
        m = Module()
        m.submodules.planner, m.submodules.engine = self.planner, self.engine
        connect(m, flipped(self.job), self.planner.i)
        connect(m, flipped(self.x), self.engine.x)
        connect(m, flipped(self.w), self.engine.w)
        rows = self.engine.acc
        if self.design.keep_rows:  # the end of a job that keeps its rows is of no use here
            m.d.comb += [
                self.acc.valid.eq(rows.valid & ~rows.payload.kept),
                rows.ready.eq(self.acc.ready | rows.payload.kept),
                *(self.acc.payload[name].eq(rows.payload[name]) for name in self.acc.payload.shape().members),
            ]
        else:
            connect(m, rows, flipped(self.acc))
        m.d.comb += self.errors.eq(self.planner.errors)
        m.d.comb += [getattr(self, name).eq(getattr(self.engine, name)) for name in COUNTERS]
        if not self.routed:
            connect(m, self.planner.o, self.engine.plan)
        else:
            m.submodules.front_end = self.routed
            plans, engine = self.planner.o, self.engine.plan
            m.d.comb += engine.payload.eq(plans.payload)
            broadcast(m, plans, {"engine": (engine.valid, engine.ready), "rows": raw_sink(m, plans, self.routed)})
            connect(m, self.routed.blocks, self.engine.blocks)
            for name, member in self._routed.items():
                inner, outer = getattr(self.routed, name), getattr(self, name)
                if member.is_port:
                    m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
                else:
                    connect(m, inner, flipped(outer))
        return m

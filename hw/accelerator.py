"""The top: jobs and packed operand streams in, accumulators out."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.array import row
from hw.design import DesignPoint
from hw.engine import COUNTER_BITS, COUNTERS, Engine, w_word, x_word
from hw.planner import ERRORS, Planner, job


class Accelerator(wiring.Component):
    """Multiplies matrices job by job: acc[r, c] = Σ_k β·β·⟨x[r, k], w[c, k]⟩.

    A job is described on `job`; its words follow on `x` and `w`, in the order that `hw.engine.Engine` states; its rows
    come out on `acc`. Jobs queue, and their words may be sent before them.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    job : In(stream of jobs)
    x, w : In(stream of words)
    acc : Out(stream of rows)
    errors : Out
        For each of `hw.planner.ERRORS`, a pulse where a job was refused: it is dropped, and its words must not be sent.
    busy, x_late, w_late, drain_blocked, idle : Out(32)
        Cycles since reset by cause, see `hw.engine.COUNTERS`.
    """

    def __init__(self, design: DesignPoint):
        self.planner, self.engine = Planner(design), Engine(design)
        super().__init__(
            {
                "job": In(stream.Signature(job())),
                "x": In(stream.Signature(x_word(design))),
                "w": In(stream.Signature(w_word(design))),
                "acc": Out(stream.Signature(row(design))),
                "errors": Out(len(ERRORS)),
                **{name: Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Planner and engine."""
        m = Module()
        m.submodules.planner, m.submodules.engine = self.planner, self.engine
        connect(m, flipped(self.job), self.planner.i)
        connect(m, self.planner.o, self.engine.plan)
        connect(m, flipped(self.x), self.engine.x)
        connect(m, flipped(self.w), self.engine.w)
        connect(m, self.engine.acc, flipped(self.acc))
        m.d.comb += self.errors.eq(self.planner.errors)
        m.d.comb += [getattr(self, name).eq(getattr(self.engine, name)) for name in COUNTERS]
        return m

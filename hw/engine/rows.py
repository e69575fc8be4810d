"""Raw rows held against the jobs that they are for."""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from golden.frontend import FrontEndRules
from hw.codec.hadamard import raw_block
from hw.design import DesignPoint
from hw.engine.follower import Follower


def longest_row(rules: FrontEndRules) -> int | None:
    """Blocks of the longest row whose scale can be measured, in whole segments; None if the host gives scales."""
    return None if rules.scale == "host" else rules.row_blocks // rules.segment_blocks * rules.segment_blocks


def step_blocks(design: DesignPoint) -> int:
    """Blocks of a row that make a step: one, or as many as the array has rows where it is weight-stationary."""
    return design.rows if design.dataflow == "ws" else 1


def raw_job(design: DesignPoint) -> data.StructLayout:
    """What a raw job says of its rows: how many there are, the most blocks that each may have, a whole number of
    segments, and the blocks after which it may end."""
    blocks = range(design.x_depth * step_blocks(design) + 1)
    return data.StructLayout({"rows": range(design.panel_rows + 1), "most": blocks, "enough": blocks})


def routed_block(rules: FrontEndRules) -> data.StructLayout:
    """A raw block, with `out`, looked at in a row's first block: whether the row goes out instead of into the array."""
    return data.StructLayout(raw_block(rules).members | {"out": 1})


class RowFramer(wiring.Component):
    """Lets rows in as long as they may be.

    A row for the array waits for its job, and has as many steps as that says; a row that goes out has whole segments,
    and no more blocks than can be measured. One that is too short is filled up with zeros, one that is too long is cut.
    Whatever comes in, what goes on is a sound row.

    Parameters
    ----------
    design : DesignPoint
        With a front end.

    Members
    -------
    job : In(stream of raw jobs)
    i, o : In, Out(stream of blocks with `out`)
        A block comes out in the cycle after it came in, at the earliest.
    error : Out(1)
        A pulse for each row of another length.
    """

    LATENCY = 1

    def __init__(self, design: DesignPoint):
        self.design = design
        assert design.front_end is not None
        self.rules = design.front_end
        block = routed_block(self.rules)
        super().__init__(
            {
                "job": In(stream.Signature(raw_job(design))),
                "i": In(stream.Signature(block)),
                "o": Out(stream.Signature(block)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two blocks at the door, so that nothing from outside decides on `ready`; where a row may end; its end."""
        m = Module()
        rules, given = self.rules, self.job.payload
        block_layout = self.i.payload.shape()
        m.submodules.door = door = SyncFIFO(width=block_layout.size, depth=2)
        block = data.View(block_layout, door.r_data)
        m.d.comb += [
            door.w_data.eq(self.i.payload),
            door.w_en.eq(self.i.valid),
            self.i.ready.eq(door.w_rdy),
        ]

        # Numbers count down to −1, whose sign says that they are at their end.
        most_out = longest_row(rules)
        blocks = range(-1, max(self.design.x_depth * step_blocks(self.design), most_out or 0))
        fields = {"rows": range(-1, self.design.panel_rows), "more": blocks, "needed": blocks}
        m.submodules.jobs = jobs = Follower(fields, ("rows",), self.design.jobs)
        m.d.comb += [
            jobs.i.valid.eq(self.job.valid),
            self.job.ready.eq(jobs.i.ready),
            jobs.i.payload.rows.eq(given.rows - 2),
            jobs.i.payload.more.eq(given.most - 2),
            jobs.i.payload.needed.eq(given.enough - 2),
        ]

        first = Signal(init=1)
        held_out = Signal()
        out = Signal()
        may_start = Signal()
        m.d.comb += [out.eq(Mux(first, block.out, held_out)), may_start.eq(~first | block.out | jobs.there)]

        # The blocks of the row that may come after this one, and those that must; a row that goes out needs none.
        more, needed = (Signal(blocks, name=name) for name in ("more", "needed"))
        more_here, needed_here = (Signal.like(more, name=f"{name}_here") for name in ("more", "needed"))
        for here, then, job, apart in (
            (more_here, more, jobs.now.more, 0 if most_out is None else most_out - 2),
            (needed_here, needed, jobs.now.needed, -1),
        ):
            m.d.comb += here.eq(Mux(first, Mux(block.out, apart, job), then))
        whole = Signal()
        cut = Signal()
        may_end = Signal()
        position = Signal(range(max(2, rules.segment_blocks)))
        m.d.comb += [
            whole.eq(1 if rules.segment_blocks == 1 else position.all()),
            cut.eq(more_here[-1] & (~out if most_out is None else Const(1, 1))),
            may_end.eq(whole & needed_here[-1]),
        ]

        filling = Signal()
        skipping = Signal()
        ends = Signal()
        moves = Signal()
        offered: Value = block.x.as_value()
        m.d.comb += [
            ends.eq(cut | (may_end & (filling | block.last))),
            moves.eq(self.o.valid & self.o.ready),
            self.o.valid.eq(filling | (door.r_rdy & ~skipping & may_start)),
            self.o.payload.x.as_value().eq(offered & (~filling).replicate(len(offered))),
            self.o.payload.last.eq(ends),
            self.o.payload.out.eq(out),
            door.r_en.eq(skipping | (self.o.ready & ~filling & may_start)),
            self.error.eq(moves & ~filling & (block.last ^ ends)),
            jobs.go.eq(moves & ends & ~out),
        ]
        with m.If(moves):
            m.d.sync += [
                first.eq(ends),
                held_out.eq(out),
                position.eq(position + 1),
                more.eq(more_here - 1),
                needed.eq(needed_here - ~needed_here[-1]),
                filling.eq(~ends & (filling | block.last)),
                skipping.eq(ends & ~filling & ~block.last),
            ]
        with m.If(skipping & door.r_rdy & block.last):
            m.d.sync += skipping.eq(0)
        return m

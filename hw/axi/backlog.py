"""Jobs that are not done yet, so that one of them can be given up and those behind it begun anew."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.axi.map import JOB_BITS
from hw.axi.write import outstanding
from hw.design import DesignPoint
from hw.streams import queue_members


class Backlog(wiring.Component):
    """A queue of jobs that keeps each of them until it is done, refused or given up.

    Jobs are numbered as they come. They go out in their order and are done in their order; of those that have gone out
    the last one can be refused.

    Parameters
    ----------
    design : DesignPoint
    width : int
        Bits of a job.

    Members
    -------
    w_data, w_en, w_rdy, r_data, r_rdy, r_en, level : as of `amaranth.lib.fifo.SyncFIFO`
        Of as many places as the design has jobs; full as well while too many are not done, or go out again.
    done, refused : In(1)
        The oldest job that has gone out and was not refused is done; the last one that has gone out is refused.
    ask : In(1)
    number : In
        Whether the job of that number is to be given up. No job goes out meanwhile.
    look : In(1)
        The number may be another one than before.
    waits, runs : Out(1)
        A cycle late, from two cycles after the last `look` on: it is in the queue, or has gone out and is not done. If
        neither, it is done, refused or given up.
    drop : In(1)
        Given `ask`: it is given up, and passed over from now on.
    again : In(1)
        Jobs that have gone out and are not done go out again.
    settled : Out(1)
        All that was said to be done has been counted.
    empty : Out(1)
        There is no job, and it is settled.
    next : Out
        The number of the job that comes next.
    """

    def __init__(self, design: DesignPoint, width: int):
        self.width, self.jobs = width, design.jobs
        # In the queue, planned, with the writer, and those of which a response is missing: more than there can be.
        self.depth = 1 << (2 * design.jobs + 2 + outstanding(design)).bit_length()
        super().__init__(
            queue_members(width, design.jobs)
            | {
                "done": In(1),
                "refused": In(1),
                "ask": In(1),
                "number": In(JOB_BITS),
                "look": In(1),
                "waits": Out(1),
                "runs": Out(1),
                "drop": In(1),
                "again": In(1),
                "settled": Out(1),
                "empty": Out(1),
                "next": Out(JOB_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A memory; the places of the oldest job, of the next that goes out, and of the next that comes. How many there
        are between them is counted, for a difference of numbers would be too slow."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        inside = range(self.depth)
        held = Signal(inside)  # not done
        queued = Signal(inside)  # of those: they have not gone out
        oldest = Signal(JOB_BITS)
        going = Signal(inside)
        last = Signal(inside)  # of those that have gone out
        passed = Signal(self.depth)  # refused, or given up
        credit = Signal(inside)  # done, and not counted

        def place(number: Value) -> Value:
            return number[: len(going)]

        def is_passed(number: Value) -> Value:
            return passed.bit_select(place(number), 1)

        behind = Signal(JOB_BITS)  # the oldest one, by how many
        full = Signal()
        goes = Signal()
        skips = Signal()
        counts = Signal()
        m.d.comb += [
            full.eq((queued >= self.jobs) | (held >= self.depth - self.jobs)),
            self.level.eq(Mux(full, self.jobs, queued)),
            self.w_rdy.eq(~full),
            write.addr.eq(place(self.next)),
            write.data.eq(self.w_data),
            write.en.eq(self.w_en & self.w_rdy),
            read.addr.eq(going),
            self.r_data.eq(read.data),
            self.r_rdy.eq(queued.any() & ~is_passed(going) & ~self.ask),
            goes.eq(self.r_rdy & self.r_en),
            skips.eq(queued.any() & is_passed(going)),
            counts.eq(~self.again & (held != queued) & (is_passed(oldest) | credit.any())),
            self.settled.eq(~credit.any() & ~counts),
            self.empty.eq(~held.any() & ~credit.any()),
        ]
        m.d.sync += [
            self.next.eq(self.next + write.en),
            oldest.eq(oldest + counts),
            held.eq(held + write.en - counts),
            queued.eq(Mux(self.again, held, queued - (skips | goes)) + write.en),
            going.eq(Mux(self.again, place(oldest), going + (skips | goes))),
            behind.eq(Mux(self.look, self.number - oldest, behind) - counts),
            credit.eq(credit + self.done - (counts & ~is_passed(oldest))),
        ]
        with m.If(goes):
            m.d.sync += last.eq(going)
        there = ~is_passed(self.number) & ~(self.refused & (place(self.number) == last))
        runs = behind < held - queued
        m.d.sync += [self.waits.eq((behind < held) & ~runs & there), self.runs.eq(runs & there)]
        with m.If(counts):
            m.d.sync += is_passed(oldest).eq(0)
        with m.If(self.refused):
            m.d.sync += is_passed(last).eq(1)
        with m.If(self.drop):
            m.d.sync += is_passed(self.number).eq(1)
        return m

"""A follower of the queue of plans: at one plan at a time, it counts the rounds of the plan's loops."""

from collections.abc import Sequence

from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.streams import queue_members
from hw.values import unreset


class PlanQueue(wiring.Component):
    """A queue in registers: a `SyncFIFO`, cycle for cycle, that counts no words.

    Whether it is full or empty is told by its ends, so that nothing but one of them waits for `r_en`, which is late.

    Parameters
    ----------
    width, depth : int

    Members
    -------
    w_data, w_en, w_rdy, r_data, r_rdy, r_en : as of `amaranth.lib.fifo.SyncFIFO`
    """

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__(queue_members(width))

    def elaborate(self, platform: object) -> Module:
        """A memory; an end of what is in it is a place, and how often it has come around, modulo 2."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        head = Signal(range(self.depth))
        tail = Signal(range(self.depth))
        head_lap = Signal()
        tail_lap = Signal()
        m.d.comb += [
            self.w_rdy.eq((tail != head) | (tail_lap == head_lap)),
            self.r_rdy.eq((tail != head) | (tail_lap != head_lap)),
            write.addr.eq(tail),
            write.data.eq(self.w_data),
            write.en.eq(self.w_en & self.w_rdy),
            read.addr.eq(head),
            self.r_data.eq(read.data),
        ]
        for end, lap, moves in ((tail, tail_lap, write.en), (head, head_lap, self.r_en & self.r_rdy)):
            last = end == self.depth - 1
            with m.If(moves):
                m.d.sync += [end.eq(Mux(last, 0, end + 1)), lap.eq(lap ^ last)]
        return m


class Follower(wiring.Component):
    """Follows the queue of plans: is at one at a time, and counts the rounds of the plan's loops.

    Nothing has to be compared to know which round is the last: a loop counts down to −1, and its sign says so.

    Parameters
    ----------
    fields : dict of str to shape
        What of a plan is needed.
    loops : sequence of str
        Those of the fields that say how many rounds a loop has, less two; the innermost first.
    depth : int
        Plans that can wait, the present one included.

    Members
    -------
    i : In(stream of fields)
    go : In(1)
        A round of the innermost loop is done.
    there, there_next : Out(1)
        Whether there is a plan; and will be, in the next cycle.
    now, after : Out(fields)
        The present plan; and that of the next round, which is another one at the end.
    left, last : Out(what each loop counts; 1 for each loop)
        The rounds that a loop has left, less two; whether it is in its last one.
    end : Out(1)
        Whether all loops are.
    """

    def __init__(self, fields: dict[str, ShapeLike], loops: Sequence[str], depth: int):
        self.loops, self.depth = loops, depth
        plan = data.StructLayout(fields)
        super().__init__(
            {
                "i": In(stream.Signature(plan)),
                "go": In(1),
                "there": Out(1),
                "there_next": Out(1),
                "now": Out(plan),
                "after": Out(plan),
                "left": Out(data.StructLayout({name: fields[name] for name in loops})),
                "last": Out(data.StructLayout(dict.fromkeys(loops, 1))),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The queue; the present plan; the loops."""
        m = Module()
        fields = self.i.payload.shape()
        m.submodules.queue = queue = PlanQueue(width=fields.size, depth=self.depth - 1)
        now, rounds = unreset(m, self.now, "plan"), unreset(m, self.left, "rounds")
        stay = Signal()
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            *(self.last[name].eq(self.left[name][-1]) for name in self.loops),
            self.end.eq(self.last.as_value().all()),
            stay.eq(self.there & ~self.end),
            self.after.eq(Mux(stay, self.now.as_value(), queue.r_data)),
            queue.r_en.eq(~self.there | (self.go & self.end)),
            self.there_next.eq(queue.r_rdy | ~queue.r_en),
        ]
        m.d.sync += self.there.eq(self.there_next)
        with m.If(queue.r_en):
            m.d.sync += now.eq(queue.r_data)
        tick: Value = self.go
        for name in self.loops:
            left = self.left[name]
            again = fields(queue.r_data) if name == self.loops[-1] else self.after
            with m.If(~self.there | tick):
                m.d.sync += rounds[name].eq(Mux(self.there & ~left[-1], left - 1, again[name]))
            tick = tick & left[-1]
        return m

"""Jobs from a ring of descriptors in memory."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.map import DESCRIPTOR_MARK, RING_BITS, SIZE_BITS, along, descriptor_layout, job_layout
from hw.axi.ports import ADDRESS_BITS
from hw.design import DesignPoint
from hw.engine.planner import modes
from hw.registers import RegisterMap


def fetch_layout() -> data.StructLayout:
    """A descriptor to be fetched: where it is, and its number."""
    return data.StructLayout({"address": ADDRESS_BITS, "number": RING_BITS})


def misplaced(design: DesignPoint, job: data.View) -> Value:
    """Whether an address or a stride of a job is no multiple of the bus width."""
    places = {name: job[name] for name in along(design).members if name not in ("tag", "scale")}
    if design.front_end:
        places["x_stride"] &= job.raw.replicate(len(job.x_stride))  # nobody else looks at it
    offset = exact_log2(design.bus_bits // 8)
    return Cat(place[:offset] for place in places.values()).any()


class Ring(wiring.Component):
    """Fetches the descriptors that were written to a ring in memory, and makes jobs of them.

    Descriptor number n lies at `base` + (n modulo the size) · its bytes. `tail` is how many were written and `head` how
    many were taken. What is between them is asked for ahead, as far as whoever fetches takes it.

    Parameters
    ----------
    design : DesignPoint
    map : RegisterMap
        Its registers, as which fields of a descriptor are read.

    Members
    -------
    base, size, tail : In
        Size as its logarithm.
    clear : In(1)
        The ring is empty: what was written up to now is not fetched.
    again : In(1), of a design with `abort`
        What was fetched and not taken is lost, and fetched again.
    head : Out
    waits : Out(1)
        It is not empty.
    fetch : Out(stream of address, number)
    words : In(stream of bus_bits)
        The beats of the descriptors that were fetched, in their order.
    came : In(1)
        The last beat of a descriptor has come back.
    coming : Out
        The number of the descriptor whose beats come back.
    job : Out(stream of jobs)
        One for each descriptor.
    bad, misaligned : Out(1)
        Of the job that is on offer: it has no mark or an unknown mode; an address or a stride of it is no multiple of
        the bus width.
    """

    def __init__(self, design: DesignPoint, map: RegisterMap):
        self.design, self.map = design, map
        super().__init__(
            {
                "base": In(ADDRESS_BITS),
                "size": In(SIZE_BITS),
                "tail": In(RING_BITS),
                "clear": In(1),
                "head": Out(RING_BITS),
                "waits": Out(1),
                "fetch": Out(stream.Signature(fetch_layout())),
                "words": In(stream.Signature(design.bus_bits)),
                "came": In(1),
                "coming": Out(RING_BITS),
                "job": Out(stream.Signature(job_layout(design, addressed=True))),
                "bad": Out(1),
                "misaligned": Out(1),
                **({"again": In(1)} if design.abort else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Which one to fetch next, and where it is; the one that comes; what it says."""
        m = Module()
        layout, bus_bits = descriptor_layout(), self.design.bus_bits

        number = Signal(RING_BITS)
        wanted = Signal()
        inside = Signal(RING_BITS)
        asked = Signal(fetch_layout(), reset_less=True)
        m.d.comb += [
            self.waits.eq(self.head != self.tail),
            wanted.eq(number != self.tail),
            inside.eq(number & ~(Const(-1, RING_BITS) << self.size)),
            self.fetch.payload.eq(asked),
        ]
        with m.If(~self.fetch.valid | self.fetch.ready):
            m.d.sync += [
                self.fetch.valid.eq(wanted),
                number.eq(number + wanted),
                asked.address.eq(self.base + (inside << exact_log2(layout.size // 8))),
                asked.number.eq(number),
            ]
        m.d.sync += self.coming.eq(self.coming + self.came)

        # A descriptor is held, and on offer when it was looked at for a cycle.
        held = Signal(layout, reset_less=True)
        beats = layout.size // bus_bits
        beat = Signal(range(beats))
        last = Signal()
        full = Signal()
        taken = Signal()
        m.d.comb += [
            last.eq(beat == beats - 1),
            self.words.ready.eq(~full),
            taken.eq(self.job.valid & self.job.ready),
        ]
        with m.If(self.words.valid & ~full):
            m.d.sync += [beat.eq(Mux(last, 0, beat + 1)), full.eq(last)]
            for i in range(beats):
                with m.If(beat == i):
                    m.d.sync += held.as_value()[i * bus_bits : (i + 1) * bus_bits].eq(self.words.payload)
        with m.If(taken):
            m.d.sync += [full.eq(0), self.head.eq(self.head + 1)]
        m.d.sync += self.job.valid.eq(full & ~taken)

        job, kinds = self.job.payload, self.map.by_name["job_mode"].fields
        for name in job.shape().members:
            if name == "scale":
                fields = self.map.by_name["job_scale"].fields
                m.d.comb += job.scale.eq(Cat(held.scale[field.low : field.low + field.bits] for field in fields))
            elif name not in modes(self.design):
                m.d.comb += job[name].eq(held[name])
        m.d.comb += [job[field.name].eq(held.mode[field.low]) for field in kinds]
        known = sum(1 << field.low for field in kinds)
        bad = (held.mark != DESCRIPTOR_MARK) | (held.mode & ~Const(known, len(held.mode))).any()
        m.d.sync += [self.bad.eq(bad), self.misaligned.eq(misplaced(self.design, job) & ~bad)]

        again = self.again if self.design.abort else Const(0, 1)
        with m.If(self.clear | again):
            begin = Mux(again, self.head, self.tail)
            m.d.sync += [count.eq(begin) for count in (number, self.head, self.coming)]
            m.d.sync += [state.eq(0) for state in (self.fetch.valid, beat, full, self.job.valid)]
        return m

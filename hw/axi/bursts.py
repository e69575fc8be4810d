"""Planes of memory cut into bursts."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from hw.axi.ports import ADDRESS_BITS
from hw.engine.planner import FIELD_BITS
from hw.values import unreset

WORDS_BITS = FIELD_BITS + 5
"""Bits of the number of words of a plane: steps times, for a weight-stationary array, up to 32 rows."""


def beats_of(words: int, word_bits: int, bus_bits: int) -> int:
    """Beats of the bus that a plane of words takes."""
    return -(-words * word_bits // bus_bits)


def planes_layout(word_bits: int, bus_bits: int, tag_bits: int = 0) -> data.StructLayout:
    """What a reader fetches: `planes` planes of `words` words, which take `beats` beats each.

    The first begins at `address`, a multiple of the bus width, and each of the others `stride` beats after the one
    before it. A `tag`, if there are any, goes along.
    """
    beats = bits_for(beats_of((1 << WORDS_BITS) - 1, word_bits, bus_bits))
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "words": WORDS_BITS,
            "beats": beats,
            "stride": beats + 1,
            "planes": FIELD_BITS,
        }
        | ({"tag": tag_bits} if tag_bits else {})
    )


def burst_layout(bus_bits: int, burst: int, tag_bits: int = 0) -> data.StructLayout:
    """A burst: where it begins, in beats of the bus, and how many more beats than one it has; a `tag`, if any."""
    tag = {"tag": tag_bits} if tag_bits else {}
    return data.StructLayout({"at": ADDRESS_BITS - exact_log2(bus_bits // 8), "more": range(burst)} | tag)


class Bursts(wiring.Component):
    """Cuts planes into bursts, which end at multiples of their greatest length and so never cross 4 KiB.

    A burst every other cycle, also from a plane to the next: what it takes to know one is spread over three cycles, in
    each of which no more than one number is added to another, and none of which waits for `o.ready`. Numbers are taken
    along whether there are any or not.

    Parameters
    ----------
    word_bits, bus_bits : int
    burst : int
        The most beats of a burst.
    tag_bits : int

    Members
    -------
    i : In(stream of planes)
    o : Out(stream of bursts)
    """

    def __init__(self, word_bits: int, bus_bits: int, burst: int, tag_bits: int = 0):
        self.bus_bits, self.burst, self.tag_bits = bus_bits, burst, tag_bits
        super().__init__(
            {
                "i": In(stream.Signature(planes_layout(word_bits, bus_bits, tag_bits))),
                "o": Out(stream.Signature(burst_layout(bus_bits, burst, tag_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Where each plane begins; where its bursts end; the burst on offer."""
        m = Module()
        given, out = self.i.payload, unreset(m, self.o.payload, "burst")
        inside = exact_log2(self.burst)
        step = Signal()
        emit = Signal()

        walking = Signal()
        plane = Signal.like(out.at, reset_less=True)
        planes = Signal.like(given.planes, reset_less=True)
        stride = Signal.like(given.stride, reset_less=True)
        # Of a plane that begins a line: its last beat, less a line.
        end = Signal(signed(len(given.beats) + 1), reset_less=True)
        m.d.comb += self.i.ready.eq(~walking)
        with m.If(step):
            m.d.sync += [plane.eq(plane + stride), planes.eq(planes - 1)]
            with m.If(planes == 1):
                m.d.sync += walking.eq(0)
        with m.If(~walking):
            m.d.sync += [
                walking.eq(self.i.valid),
                plane.eq(given.address[exact_log2(self.bus_bits // 8) :]),
                planes.eq(given.planes),
                stride.eq(given.stride),
                end.eq(given.beats - 1 - self.burst),
            ]

        # The next burst begins at `offset` of `line`, a multiple of the most beats. The plane's last one is as many
        # lines further on as `further` says, and another one, and ends at `final`.
        cutting = Signal()
        line = Signal(len(plane) - inside, reset_less=True)
        offset = Signal(inside, reset_less=True)
        further = Signal(signed(len(end) + 1 - inside), reset_less=True)
        final = Signal(inside, reset_less=True)
        only = Signal()
        m.d.comb += [
            only.eq(further[-1]),
            emit.eq(cutting & ~self.o.valid),
            step.eq(walking & (~cutting | (emit & only))),
        ]
        with m.If(emit):
            m.d.sync += [line.eq(line + 1), offset.eq(0), further.eq(further - 1)]
            with m.If(only):
                m.d.sync += cutting.eq(0)
        with m.If(step):
            m.d.sync += cutting.eq(1)
        with m.If(~cutting | (emit & only)):
            m.d.sync += [Cat(offset, line).eq(plane), Cat(final, further).eq(plane[:inside] + end)]

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(emit):
            m.d.sync += [
                self.o.valid.eq(1),
                out.at.eq(Cat(offset, line)),
                out.more.eq(Mux(only, final, self.burst - 1) - offset),
            ]
        if self.tag_bits:
            walked = Signal(self.tag_bits, reset_less=True)
            cut = Signal(self.tag_bits, reset_less=True)
            with m.If(~walking):
                m.d.sync += walked.eq(given.tag)
            with m.If(~cutting | (emit & only)):
                m.d.sync += cut.eq(walked)
            with m.If(emit):
                m.d.sync += out.tag.eq(cut)
        return m

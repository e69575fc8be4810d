"""Packets of AXI4-Stream held against the plan."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.axi.bursts import WORDS_BITS
from hw.axi.ports import axi_stream
from hw.engine.planner import FIELD_BITS


class Framer(wiring.Component):
    """Takes one packet per job, and hands out as many words as the job has.

    A packet that is too short is filled up with zeros, one that is too long is cut: both are errors, and neither
    reaches beyond its job.

    Parameters
    ----------
    word_bits : int

    Members
    -------
    job : In(stream of tiles, words)
        A packet has `tiles`·`words` words.
    packet : In(AXI4-Stream)
    o : Out(stream of words)
    error : Out(1)
        A pulse for a packet of another length.
    """

    def __init__(self, word_bits: int):
        self.word_bits = word_bits
        super().__init__(
            {
                "job": In(stream.Signature(data.StructLayout({"tiles": FIELD_BITS, "words": WORDS_BITS}))),
                "packet": In(axi_stream(word_bits)),
                "o": Out(stream.Signature(word_bits)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """No job; passing words; filling up; skipping."""
        m = Module()
        tiles = Signal(FIELD_BITS, reset_less=True)
        words = Signal(WORDS_BITS, reset_less=True)
        word = Signal(WORDS_BITS, reset_less=True)
        filling = Signal()
        handed = Signal()
        last = Signal()
        m.d.comb += [
            self.o.payload.eq(Mux(filling, 0, self.packet.tdata)),
            handed.eq(self.o.valid & self.o.ready),
            last.eq((tiles == 1) & (word == 1)),
        ]
        with m.If(handed):
            m.d.sync += word.eq(word - 1)
            with m.If(word == 1):
                m.d.sync += [word.eq(words), tiles.eq(tiles - 1)]

        with m.FSM():
            with m.State("wait"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += [
                    tiles.eq(self.job.payload.tiles),
                    words.eq(self.job.payload.words),
                    word.eq(self.job.payload.words),
                ]
                with m.If(self.job.valid):
                    m.next = "pass"
            with m.State("pass"):
                m.d.comb += [self.o.valid.eq(self.packet.tvalid), self.packet.tready.eq(self.o.ready)]
                with m.If(handed):
                    m.d.comb += self.error.eq(self.packet.tlast != last)
                    with m.If(last):
                        m.next = "skip"
                    with m.Elif(self.packet.tlast):
                        m.next = "fill"
                    with m.If(last & self.packet.tlast):
                        m.next = "wait"
            with m.State("fill"):
                m.d.comb += [self.o.valid.eq(1), filling.eq(1)]
                with m.If(handed & last):
                    m.next = "wait"
            with m.State("skip"):
                m.d.comb += self.packet.tready.eq(1)
                with m.If(self.packet.tvalid & self.packet.tlast):
                    m.next = "wait"
        return m

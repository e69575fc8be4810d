"""Packets of AXI4-Stream held against the plan."""

from amaranth import Const, Module, Mux, Signal, Value
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
    tiled : bool
        Whether an operand has several tiles.

    Members
    -------
    job : In(stream of words, and tiles if it is tiled)
        A packet has as many words, in each of its tiles.
    packet : In(AXI4-Stream)
    o : Out(stream of words)
    error : Out(1)
        A pulse for a packet of another length.
    """

    def __init__(self, word_bits: int, *, tiled: bool):
        self.word_bits, self.tiled = word_bits, tiled
        job = {"tiles": FIELD_BITS, "words": WORDS_BITS} if tiled else {"words": WORDS_BITS}
        super().__init__(
            {
                "job": In(stream.Signature(data.StructLayout(job))),
                "packet": In(axi_stream(word_bits)),
                "o": Out(stream.Signature(word_bits)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """No job; passing words; filling up; skipping."""
        m = Module()
        word = Signal(WORDS_BITS, reset_less=True)
        filling = Signal()
        handed = Signal()
        last = Signal()
        m.d.comb += [
            self.o.payload.eq(Mux(filling, 0, self.packet.tdata)),
            handed.eq(self.o.valid & self.o.ready),
        ]
        with m.If(handed):
            m.d.sync += word.eq(word - 1)
        last_tile: Value = Const(1, 1)
        if self.tiled:
            tiles = Signal(FIELD_BITS, reset_less=True)
            words = Signal(WORDS_BITS, reset_less=True)
            last_tile = tiles == 1
            with m.If(handed & (word == 1)):
                m.d.sync += [word.eq(words), tiles.eq(tiles - 1)]
        m.d.comb += last.eq(last_tile & (word == 1))

        with m.FSM():
            with m.State("wait"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += word.eq(self.job.payload.words)
                if self.tiled:
                    m.d.sync += [tiles.eq(self.job.payload.tiles), words.eq(self.job.payload.words)]
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

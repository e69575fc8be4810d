"""Frames in hardware: what comes from the line is held until it is known to be whole; what is sent gets its CRC."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fpga.link import BUFFER_BYTES, CRC_BYTES, END, ESC, ESC_END, ESC_ESC, HEADER_BYTES, MAX_BODY, Status

LENGTH_BITS = 16


class Receiver(wiring.Component):
    """Gives out the bytes of whole frames, header and payload, and nothing else.

    Members
    -------
    i : In(stream of bytes, always ready)
        From the line.
    o : Out(stream of bytes)
        Kind, sequence number, length and payload, frame after frame.
    fault : Out(Status)
        A pulse with the reason where a frame was dropped; else OK.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(8, always_ready=True)),
                "o": Out(stream.Signature(8)),
                "fault": Out(Status),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A ring of bytes. What is written counts when its frame is whole, and is written over when it is not. Of one
        too long, the bytes that no frame has all go to one place."""
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.ring = ring = Memory(shape=8, depth=BUFFER_BYTES, init=[])
        write, read = ring.write_port(), ring.read_port()

        whole = Signal(range(BUFFER_BYTES))  # where the last whole frame ends
        head = Signal(range(BUFFER_BYTES))  # what is given out next
        count = Signal(range(MAX_BODY + 2))  # bytes of the frame that is coming, up to too many
        length = Signal(LENGTH_BITS, reset_less=True)
        escaped = Signal()
        broken = Signal()
        overrun = Signal()

        byte = Signal(8)
        store = Signal()
        end = Signal()
        at = Signal(range(BUFFER_BYTES))
        after = Signal.like(at)
        too_long = count == MAX_BODY + 1
        taken = Signal()
        m.d.comb += [
            byte.eq(Mux(escaped, Mux(self.i.payload == ESC_END, END, ESC), self.i.payload)),
            end.eq(self.i.valid & (self.i.payload == END)),
            store.eq(self.i.valid & ~end & (escaped | (self.i.payload != ESC))),
            at.eq(whole + count),
            after.eq(at + 1),
            write.addr.eq(at),
            write.data.eq(byte),
            write.en.eq(store & ~overrun),
            crc.data.eq(byte),
            crc.valid.eq(store),
            crc.start.eq(end),
        ]
        with m.If(self.i.valid & ~end):
            m.d.sync += escaped.eq(~escaped & (self.i.payload == ESC))
            with m.If(escaped & (self.i.payload != ESC_END) & (self.i.payload != ESC_ESC)):
                m.d.sync += broken.eq(1)
        with m.If(store):
            m.d.sync += [count.eq(Mux(too_long, count, count + 1)), overrun.eq(overrun | (after == head))]
            with m.If((count == 2) | (count == 3)):
                m.d.sync += length.eq(Cat(length[8:], byte))
        with m.If(end):
            m.d.sync += [count.eq(0), escaped.eq(0), broken.eq(0), overrun.eq(0)]
            with m.If(count.any() | escaped):
                with m.If(too_long):
                    m.d.comb += self.fault.eq(Status.LENGTH)
                with m.Elif(broken | escaped | ~crc.match_detected | (count < HEADER_BYTES + CRC_BYTES)):
                    m.d.comb += self.fault.eq(Status.CRC)
                with m.Elif(length != count - (HEADER_BYTES + CRC_BYTES)):
                    m.d.comb += self.fault.eq(Status.LENGTH)
                with m.Elif(overrun):
                    m.d.comb += self.fault.eq(Status.OVERRUN)
                with m.Else():
                    m.d.comb += taken.eq(1)
        with m.If(taken):
            m.d.sync += whole.eq(at - CRC_BYTES)

        fetch = Signal()
        there = Signal()
        m.d.comb += [
            fetch.eq((head != whole) & (~there | self.o.ready)),
            read.addr.eq(head),
            read.en.eq(fetch),
            self.o.payload.eq(read.data),
            self.o.valid.eq(there),
        ]
        with m.If(fetch):
            m.d.sync += [head.eq(head + 1), there.eq(1)]
        with m.Elif(self.o.ready):
            m.d.sync += there.eq(0)
        return m


class Sender(wiring.Component):
    """Puts frames on the line: END, what comes in and its CRC, stuffed, END.

    Members
    -------
    i : In(stream of data, last)
        Header and payload.
    o : Out(stream of bytes)
        To the line.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"data": 8, "last": 1}))),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One byte waits to be sent, and is sent as one or as two."""
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        byte = Signal(8, reset_less=True)
        full = Signal()
        plain = Signal(reset_less=True)  # the byte is not to be stuffed: it is END itself
        special = Signal()
        leaves = Signal()
        free = Signal()
        summed = Signal(reset_less=True)  # the byte came in the cycle before, and belongs to the sum
        m.d.sync += summed.eq(0)
        m.d.comb += [
            crc.data.eq(byte),
            crc.valid.eq(summed),
            special.eq(~plain & ((byte == END) | (byte == ESC))),
            self.o.payload.eq(Mux(special, ESC, byte)),
            self.o.valid.eq(full),
            leaves.eq(full & self.o.ready),
            free.eq(~full | (leaves & ~special)),
        ]
        with m.If(leaves):
            with m.If(special):
                m.d.sync += byte.eq(Mux(byte == END, ESC_END, ESC_ESC))
            with m.Else():
                m.d.sync += full.eq(0)

        rest = Signal(8 * CRC_BYTES, reset_less=True)
        left = Signal(range(CRC_BYTES), reset_less=True)
        with m.FSM():
            with m.State("begin"):
                m.d.comb += crc.start.eq(1)
                with m.If(self.i.valid & free):
                    m.d.sync += [byte.eq(END), full.eq(1), plain.eq(1)]
                    m.next = "body"
            with m.State("body"):
                m.d.comb += self.i.ready.eq(free)
                with m.If(self.i.valid & free):
                    m.d.sync += [byte.eq(self.i.payload.data), full.eq(1), plain.eq(0), summed.eq(1)]
                    with m.If(self.i.payload.last):
                        m.next = "sum"
            with m.State("sum"), m.If(~summed):
                m.d.sync += [rest.eq(crc.crc), left.eq(CRC_BYTES - 1)]
                m.next = "crc"
            with m.State("crc"), m.If(free):
                m.d.sync += [byte.eq(rest), rest.eq(rest >> 8), full.eq(1), plain.eq(0), left.eq(left - 1)]
                with m.If(~left.any()):
                    m.next = "end"
            with m.State("end"), m.If(free):
                m.d.sync += [byte.eq(END), full.eq(1), plain.eq(1)]
                m.next = "begin"
        return m

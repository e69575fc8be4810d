"""A UART: bytes from and to a pair of serial lines, 8 bits, no parity, one stop bit."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class Uart(wiring.Component):
    """Sends and receives bytes.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit.

    Members
    -------
    rx_pin : In(1), tx_pin : Out(1)
        The lines; high when nothing is sent.
    i : In(stream of bytes)
        To send.
    o : Out(stream of bytes, always ready)
        What was received. A byte without a stop bit is dropped.
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__(
            {
                "rx_pin": In(1, init=1),
                "tx_pin": Out(1, init=1),
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two shift registers, each with a counter of cycles and one of bits."""
        m = Module()
        sending = Signal(10, init=1)  # the line, and what is still to be sent, above it
        to_send = Signal(range(11))
        cycle = Signal(range(self.divisor))
        m.d.comb += [self.tx_pin.eq(sending[0]), self.i.ready.eq(~to_send.any())]
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += [sending.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), to_send.eq(10)]
            m.d.sync += cycle.eq(self.divisor - 1)
        with m.Elif(cycle.any()):
            m.d.sync += cycle.eq(cycle - 1)
        with m.Else():
            m.d.sync += [sending.eq(Cat(sending[1:], Const(1, 1))), to_send.eq(to_send - 1)]
            m.d.sync += cycle.eq(self.divisor - 1)

        line = Signal(init=1)
        m.submodules.rx = FFSynchronizer(self.rx_pin, line, init=1)
        received = Signal(9)  # eight bits and the stop bit, the first at the low end
        to_come = Signal(range(11))
        wait = Signal(range(self.divisor))
        done = Signal()
        m.d.sync += done.eq(0)
        m.d.comb += [self.o.payload.eq(received), self.o.valid.eq(done & received[8])]
        with m.If(~to_come.any()):
            m.d.sync += wait.eq(self.divisor // 2 - 1)  # to the middle of the start bit
            with m.If(~line):
                m.d.sync += to_come.eq(10)
        with m.Elif(wait.any()):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [received.eq(Cat(received[1:], line)), to_come.eq(to_come - 1), wait.eq(self.divisor - 1)]
            with m.If((to_come == 10) & line):  # a start bit that did not last
                m.d.sync += to_come.eq(0)
            m.d.sync += done.eq(to_come == 1)
        return m

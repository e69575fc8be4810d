"""UARTs of several rates side by side, so that one testbench tries them all."""

from amaranth import Module
from amaranth.lib import wiring

from fpga.gateware.uart import Uart


class Uarts(wiring.Component):
    """A UART for each of some rates; they have nothing to do with each other.

    Parameters
    ----------
    divisors : tuple of int
        Clock cycles of a bit of each.

    Members
    -------
    rx_pin_N, tx_pin_N, i_N, o_N
        Those of the UART with N clock cycles a bit.
    """

    def __init__(self, divisors: tuple[int, ...]):
        self.uarts = {divisor: Uart(divisor) for divisor in divisors}
        members = {
            f"{name}_{divisor}": member
            for divisor, uart in self.uarts.items()
            for name, member in uart.signature.members.items()
        }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Each by itself."""
        m = Module()
        for divisor, uart in self.uarts.items():
            m.submodules[f"uart_{divisor}"] = uart
            for name, member in uart.signature.members.items():
                outer = getattr(self, f"{name}_{divisor}")
                if not member.is_port:
                    ends = (uart.i, outer) if name == "i" else (outer, uart.o)
                    taken, given = ends
                    m.d.comb += [taken.valid.eq(given.valid), taken.payload.eq(given.payload)]
                    if not member.signature.always_ready:
                        m.d.comb += given.ready.eq(taken.ready)
                elif member.flow == wiring.In:
                    m.d.comb += getattr(uart, name).eq(outer)
                else:
                    m.d.comb += outer.eq(getattr(uart, name))
        return m

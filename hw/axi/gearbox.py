"""From words of one width to words of another."""

from math import gcd

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class Gearbox(wiring.Component):
    """Joins words of `i_bits` and cuts what comes of it into words of `o_bits`, the first bits at the low end.

    Works in units of the greatest common divisor of the two widths, at the full rate of the wider side. `i.ready`
    depends on `o.ready`.

    Parameters
    ----------
    i_bits, o_bits : int

    Attributes
    ----------
    unit_bits : int

    Members
    -------
    i : In(stream of data, last)
        `last` has what is left put out before anything else is taken.
    o : Out(stream of data, units, last)
        `units` marks those that hold something: all of them except after `last`.
    drop : In(1)
        With a transfer at `o`: what is left is padding, forget it.
    """

    def __init__(self, i_bits: int, o_bits: int):
        self.i_bits, self.o_bits = i_bits, o_bits
        self.unit_bits = gcd(i_bits, o_bits)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"data": i_bits, "last": 1}))),
                "o": Out(
                    stream.Signature(data.StructLayout({"data": o_bits, "units": o_bits // self.unit_bits, "last": 1}))
                ),
                "drop": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One buffer: words leave at its low end, and come in above what stays."""
        m = Module()
        unit, out = self.unit_bits, self.o_bits // self.unit_bits
        capacity = self.i_bits // unit + out - 1
        held = Signal(capacity * unit, reset_less=True)
        level = Signal(range(capacity + 1))
        ending = Signal()
        few = Signal()  # no more than one word is held
        m.d.comb += [
            few.eq(1 if capacity == out else level <= out),
            self.o.valid.eq(ending | (level >= out)),
            self.o.payload.data.eq(held),
            self.o.payload.units.eq(Cat(level > k for k in range(out))),
            self.o.payload.last.eq(ending & few),
        ]

        leaves = Signal()
        rest = Signal.like(held)
        left = Signal.like(level)
        m.d.comb += [
            leaves.eq(self.o.valid & self.o.ready),
            rest.eq(Mux(leaves, held >> self.o_bits, held)),
            left.eq(Mux(leaves, Mux(self.drop | few, 0, level - out), level)),
            self.i.ready.eq(~ending & (left < out)),
        ]
        m.d.sync += [held.eq(rest), level.eq(left)]
        with m.If(leaves & self.o.payload.last):
            m.d.sync += ending.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [level.eq(left + self.i_bits // unit), ending.eq(self.i.payload.last)]
            with m.Switch(left):
                for k in range(out):
                    with m.Case(k):
                        m.d.sync += held.eq(Cat(rest[: k * unit], self.i.payload.data))
        return m

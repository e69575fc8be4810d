"""From words of one width to words of another."""

from math import gcd

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class Gearbox(wiring.Component):
    """Joins words of `i_bits` and cuts what comes of it into words of `o_bits`, the first bits at the low end.

    Works in units of the greatest common divisor of the two widths, at the full rate of the wider side. `i.ready`
    depends on `o.ready`.

    Parameters
    ----------
    i_bits, o_bits : int
    padded : bool
        Whether what comes after `last` can begin inside a word.

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
    pad : In, if padded
        With the transfer of `last` at `o`: as many units are left out at the low end of the next word. They are not
        marked.
    """

    def __init__(self, i_bits: int, o_bits: int, *, padded: bool = False):
        self.i_bits, self.o_bits, self.padded = i_bits, o_bits, padded
        self.unit_bits = gcd(i_bits, o_bits)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"data": i_bits, "last": 1}))),
                "o": Out(
                    stream.Signature(data.StructLayout({"data": o_bits, "units": o_bits // self.unit_bits, "last": 1}))
                ),
                "drop": In(1),
                **({"pad": In(range(o_bits // self.unit_bits))} if padded else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One buffer: words leave at its low end, and come in above what stays."""
        m = Module()
        unit, taken, out = self.unit_bits, self.i_bits // self.unit_bits, self.o_bits // self.unit_bits
        capacity = taken + out - 1
        held = Signal(capacity * unit, reset_less=True)
        level = Signal(range(capacity + 1))
        ending = Signal()
        # What the level says is known when it changes: no more than a word is held, less than two, a word at least.
        few = Signal(init=1)
        near = Signal(init=1)
        enough = Signal()
        skipped = Signal(out)  # units of the word that is next
        holds = Cat(level > k for k in range(out))
        m.d.comb += [
            self.o.valid.eq(ending | enough),
            self.o.payload.data.eq(held),
            self.o.payload.units.eq(holds & ~skipped if self.padded else holds),
            self.o.payload.last.eq(ending & few),
        ]

        leaves = Signal()
        comes = Signal()
        clears = Signal()
        rest = Signal.like(held)
        restart = Signal.like(level)  # what is held after the last word, which may not be there
        left = Signal(range(out))  # what is held when something comes
        m.d.comb += [
            leaves.eq(self.o.valid & self.o.ready),
            clears.eq(self.drop | few),
            rest.eq(Mux(leaves, held >> self.o_bits, held)),
            left.eq(Mux(leaves, Mux(clears, 0, level - out), level)),
            self.i.ready.eq(~ending & (~enough | (self.o.ready & (self.drop | near)))),
            comes.eq(self.i.valid & self.i.ready),
        ]

        def then(came: int) -> Value:
            """Level and what it says of it, after so much came: each from the level as it is, so that nothing waits for
            a sum."""

            def at(change: int) -> Value:
                enough_then, few_then, near_then = (
                    level >= least if 0 < least <= capacity else Const(least <= 0, 1)
                    for least in (out - change, out + 1 - change, 2 * out - change)
                )
                return Cat((level + change)[: len(level)], enough_then, ~few_then, ~near_then)

            empty = Cat(
                restart if self.padded and not came else Const(came, len(level)),
                *(Const(flag, 1) for flag in (came >= out, came <= out, came < 2 * out)),
            )
            return Mux(leaves, Mux(clears, empty, at(came - out)), at(came))

        m.d.sync += [held.eq(rest), Cat(level, enough, few, near).eq(Mux(comes, then(taken), then(0)))]
        if self.padded:
            m.d.comb += restart.eq(Mux(ending, self.pad, 0))
            with m.If(leaves):
                m.d.sync += skipped.eq(Mux(ending & few, Cat(self.pad > k for k in range(out)), 0))
        with m.If(leaves & self.o.payload.last):
            m.d.sync += ending.eq(0)
        with m.If(comes):
            m.d.sync += ending.eq(self.i.payload.last)
            with m.Switch(left):
                for k in range(out):
                    with m.Case(k):
                        m.d.sync += held.eq(Cat(rest[: k * unit], self.i.payload.data))
        return m

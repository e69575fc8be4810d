"""Signs and the streaming Walsh–Hadamard transform of the activation front end, one block of 8 per cycle.

The stages of a Walsh–Hadamard transform commute, since there are no twiddle factors. Those that join coordinates of
different blocks come first, the farthest apart before all others, so that the longest delays hold the narrowest words;
the three that join coordinates of one block come last.
"""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.frontend import SEED_BITS, TAPS, FrontEndRules
from golden.lattice import DIM
from hw.streams import Queue
from hw.values import register, registers, wire


def raw_block(rules: FrontEndRules) -> data.StructLayout:
    """A block of a raw row: eight coordinates, and whether the block is the row's last."""
    return data.StructLayout({"x": data.ArrayLayout(signed(rules.raw_bits), DIM), "last": 1})


def word_block(rules: FrontEndRules) -> data.StructLayout:
    """A block of a transformed row: eight words, and whether the block is the row's last."""
    return data.StructLayout({"w": data.ArrayLayout(signed(rules.word_bits), DIM), "last": 1})


def rotating(rules: FrontEndRules) -> int:
    """Latency of the rotator."""
    return rules.segment_blocks + 2 * rules.length.bit_length() - 4


class Rotator(wiring.Component):
    """Steps 1 and 2 of `golden.frontend`: signs and Walsh–Hadamard transform of each segment of a row.

    Nothing in it can stall. The first block of a segment comes out `latency` cycles after it came in, if the segment
    comes in without gaps; the second half of a segment comes out whether or not more blocks come in.

    Parameters
    ----------
    rules : FrontEndRules

    Attributes
    ----------
    latency : int

    Members
    -------
    seed : In
        Of the signs. It must not change while a segment is coming in.
    beat : In
        High in the cycles in which a block may come in. Blocks come out in their rhythm, too.
    i : In(stream of raw blocks, always ready)
        Rows of whole segments.
    o : Out(stream of words, always ready)
    """

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        self.latency = rotating(rules)
        super().__init__(
            {
                "seed": In(SEED_BITS),
                "beat": In(1),
                "i": In(stream.Signature(raw_block(rules), always_ready=True)),
                "o": Out(stream.Signature(word_block(rules), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Signs; butterflies between blocks, the farthest first; butterflies within blocks."""
        m = Module()
        # −x is ~x + 1; the negative of the least number is to be the greatest, which is ~x.
        signs, x = self._signs(m), self.i.payload.x
        flipped = registers(
            m, "flipped", [Cat(bit ^ sign for bit in v).as_signed() for v, sign in zip(x, signs, strict=True)]
        )
        one = registers(m, "one", [sign & ~(v[-1] & ~v[:-1].any()) for v, sign in zip(x, signs, strict=True)])
        words = registers(
            m, "signed", [(v + up)[: self.rules.raw_bits].as_signed() for v, up in zip(flipped, one, strict=True)]
        )
        last = register(m, "signed_last", self.i.payload.last, cycles=2)
        valid = register(m, "signed_valid", self.i.valid, cycles=2, reset_less=False)
        beat = register(m, "signed_beat", self.beat, cycles=2, reset_less=False)

        distance = self.rules.segment_blocks // 2
        while distance:
            words, last, valid, beat = self._between(m, words, last, valid, beat, distance)
            distance //= 2

        for k in (1, 2, 4):
            sums = [words[j ^ k] - words[j] if j & k else words[j] + words[j ^ k] for j in range(DIM)]
            words = registers(m, f"within_{k}", sums)
        m.d.comb += [
            self.o.valid.eq(register(m, "within_valid", valid, cycles=3, reset_less=False)),
            self.o.payload.last.eq(register(m, "within_last", last, cycles=3)),
            *(self.o.payload.w[j].eq(words[j]) for j in range(DIM)),
        ]
        return m

    def _signs(self, m: Module) -> Value:
        """The signs of the block that is coming in, a bit per lane."""
        if self.rules.segment_blocks == 1:
            return self.seed[:DIM]
        position, left = Signal(range(self.rules.segment_blocks)), Signal(SEED_BITS, name="signs_left")
        bits = list(wire(m, "signs", Mux(position.any(), left, self.seed)))
        for n in range(DIM):
            bits.append(Cat(bits[n + tap] for tap in TAPS).xor())
        with m.If(self.i.valid):
            m.d.sync += [position.eq(position + 1), left.eq(Cat(bits[DIM:]))]
        return Cat(bits[:DIM])

    def _between(
        self, m: Module, words: list[Signal], last: Signal, valid: Signal, beat: Signal, distance: int
    ) -> tuple[list[Signal], Signal, Signal, Signal]:
        """Butterflies between blocks n and n + distance: first their sums come out, then their differences.

        The queue holds first halves while these come in, and differences while the second halves come in. What is left
        of the differences comes out at every beat.
        """
        width, name = len(words[0]) + 1, f"between_{distance}"
        m.submodules[name] = queue = Queue(DIM * width, distance)
        position = Signal(range(2 * distance), name=f"{name}_position")
        left = Signal(range(distance + 1), name=f"{name}_left")
        is_last = Signal(name=f"{name}_is_last", reset_less=True)
        given, second = beat & left.any(), position[-1]
        with m.If(valid):
            m.d.sync += position.eq(position + 1)
        with m.If(valid & position.all()):
            m.d.sync += [left.eq(distance), is_last.eq(last)]
        with m.Elif(given):
            m.d.sync += left.eq(left - 1)

        # The decisions of the cycle before, now that the words are here.
        last = register(m, f"{name}_last", ~second & is_last & (left == 1))
        out = register(m, f"{name}_out", Mux(second, valid, given), reset_less=False)
        # Each of these chooses between many bits: two registers, closer to what they feed than one could be.
        first, second = register(m, f"{name}_first", ~second), register(m, f"{name}_second", second)
        words = registers(m, f"{name}_in", words)
        old = [queue.q[j * width : (j + 1) * width].as_signed() for j in range(DIM)]
        difference = [(old[j] - words[j])[:width].as_signed() for j in range(DIM)]
        total = [(old[j] + words[j])[:width].as_signed() for j in range(DIM)]
        m.d.comb += [
            queue.push.eq(register(m, f"{name}_push", valid, reset_less=False)),
            queue.pop.eq(out),
            queue.d.eq(Cat(Mux(second, a, b) for a, b in zip(difference, words, strict=True))),
        ]
        return (
            registers(m, name, [Mux(first, b, a) for a, b in zip(total, old, strict=True)]),
            register(m, f"{name}_is_row_end", last),
            register(m, f"{name}_valid", out, reset_less=False),
            register(m, f"{name}_beat", beat, cycles=2, reset_less=False),
        )

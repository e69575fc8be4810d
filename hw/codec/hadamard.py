"""Signs and the streaming Walsh–Hadamard transform of the activation front end, one block of 8 per cycle.

The stages of a Walsh–Hadamard transform commute, since there are no twiddle factors. Those that join coordinates of
different blocks come first, the farthest apart before all others, so that the longest delays hold the narrowest words;
the three that join coordinates of one block come last.
"""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.frontend import SEED_BITS, TAPS, FrontEndRules
from golden.lattice import DIM
from hw.values import register, registers, wire


def raw_block(rules: FrontEndRules) -> data.StructLayout:
    """A block of a raw row: eight coordinates, and whether the block is the row's last."""
    return data.StructLayout({"x": data.ArrayLayout(signed(rules.raw_bits), DIM), "last": 1})


def word_block(rules: FrontEndRules) -> data.StructLayout:
    """A block of a transformed row: eight words, and whether the block is the row's last."""
    return data.StructLayout({"w": data.ArrayLayout(signed(rules.word_bits), DIM), "last": 1})


class Queue(wiring.Component):
    """A queue that trusts its user: it is never full when something is pushed, and what is popped is there.

    A word pushed into an empty queue can be popped `LATENCY` cycles later, or `depth` cycles later if these are less.

    Parameters
    ----------
    width, depth : int
        The depth is a power of two.

    Members
    -------
    push, d : In
    pop : In
    valid, q : Out
        Whether there is a word to pop; the oldest one.
    """

    LATENCY = 4

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__({"push": In(1), "d": In(width), "pop": In(1), "valid": Out(1), "q": Out(width)})

    def elaborate(self, platform: object) -> Module:
        """A register, or two; or a memory and two registers that are filled ahead, so that q is one in any case."""
        m = Module()
        q = Signal(self.width, name="oldest", reset_less=True)
        m.d.comb += self.q.eq(q)
        if self.depth == 1:
            m.d.sync += self.valid.eq(self.push | (self.valid & ~self.pop))
            with m.If(self.push):
                m.d.sync += q.eq(self.d)
            return m

        if self.depth == 2:
            count = Signal(range(self.depth + 1))
            second = Signal(self.width, reset_less=True)
            m.d.sync += count.eq(count + self.push - self.pop)
            m.d.comb += self.valid.eq(count.any())
            with m.If(self.push):
                m.d.sync += second.eq(self.d)
            with m.If(self.pop & (count == 2)):
                m.d.sync += q.eq(second)
            with m.Elif(self.push & (self.pop | ~count.any())):
                m.d.sync += q.eq(self.d)
            return m

        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        head = Signal(range(self.depth))
        tail = Signal(range(self.depth))
        waiting = Signal(range(self.depth + 1))  # words in the memory that have not been read
        fetched, filled = Signal(), self.valid  # the memory's output and q hold a word
        move = Signal()
        fetch = Signal()
        push = register(m, "pushed", self.push, reset_less=False)
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(register(m, "word", self.d)),
            write.en.eq(push),
            move.eq(fetched & (self.pop | ~filled)),
            fetch.eq(waiting.any() & (move | ~fetched)),
            read.addr.eq(head),
            read.en.eq(fetch),
        ]
        m.d.sync += [
            tail.eq(tail + push),
            head.eq(head + fetch),
            waiting.eq(waiting + push - fetch),
            fetched.eq(fetch | (fetched & ~move)),
            filled.eq(move | (filled & ~self.pop)),
        ]
        with m.If(move):
            m.d.sync += q.eq(read.data)
        return m


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

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

BLOCK_RAM = 32
"""Delays of this many blocks and more lie in block RAM, shorter ones in registers or memory made of LUTs."""


class Pipeline:
    """Registers of a pipeline that moves as a whole.

    Parameters
    ----------
    m : Module
    advance : Value
        High in the cycles in which it moves.
    """

    def __init__(self, m: Module, advance: Value):
        self.m, self.advance = m, advance

    def register(self, name: str, value: Value, *, cycles: int = 1) -> Signal:
        """The value, some moves later. Not reset."""
        value = Value.cast(value)
        for i in range(cycles):
            held = Signal(value.shape(), name=f"{name}_{i + 1}" if cycles > 1 else name, reset_less=True)
            with self.m.If(self.advance):
                self.m.d.sync += held.eq(value)
            value = held
        return value

    def registers(self, name: str, values: list[Value], *, cycles: int = 1) -> list[Signal]:
        """The values, some moves later."""
        return [self.register(f"{name}_{i}", value, cycles=cycles) for i, value in enumerate(values)]

    def flag(self, name: str, value: Value, *, cycles: int = 1) -> Signal:
        """A bit, some moves later; low after reset."""
        for i in range(cycles):
            held = Signal(name=f"{name}_{i + 1}" if cycles > 1 else name)
            with self.m.If(self.advance):
                self.m.d.sync += held.eq(value)
            value = held
        return value


def raw_block(rules: FrontEndRules) -> data.StructLayout:
    """A block of a raw row: eight coordinates, and whether the block is the row's last."""
    return data.StructLayout({"x": data.ArrayLayout(signed(rules.raw_bits), DIM), "last": 1})


def word_block(rules: FrontEndRules) -> data.StructLayout:
    """A block of a transformed row: eight words, and whether the block is the row's last."""
    return data.StructLayout({"w": data.ArrayLayout(signed(rules.word_bits), DIM), "last": 1})


class Delay(wiring.Component):
    """A queue that never holds more than `depth` words; its user knows when there are words in it.

    A word can be popped `LATENCY` cycles after it was pushed, or as soon as it is the oldest, whichever is later; with
    less than BLOCK_RAM words of depth in the next cycle already.

    Parameters
    ----------
    width, depth : int
        The depth is a power of two.

    Members
    -------
    push, d : In
    pop : In
    q : Out
        The oldest word.
    """

    LATENCY = 3

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__({"push": In(1), "d": In(width), "pop": In(1), "q": Out(width)})

    def elaborate(self, platform: object) -> Module:
        """A register; or a memory of LUTs, read directly; or block RAM and two registers that are filled ahead."""
        m = Module()
        if self.depth == 1:
            with m.If(self.push):
                m.d.sync += self.q.eq(self.d)
            return m

        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write, blocks = memory.write_port(), self.depth >= BLOCK_RAM
        read = memory.read_port(domain="sync" if blocks else "comb")
        head, tail = Signal(range(self.depth)), Signal(range(self.depth))
        m.d.comb += [write.addr.eq(tail), write.data.eq(self.d), write.en.eq(self.push), read.addr.eq(head)]
        m.d.sync += tail.eq(tail + self.push)
        if not blocks:
            m.d.comb += self.q.eq(read.data)
            m.d.sync += head.eq(head + self.pop)
            return m

        waiting = Signal(range(self.depth + 1))  # words in the memory that have not been read
        fetched, filled = Signal(), Signal()  # the memory's output and q hold a word
        move, fetch = Signal(), Signal()
        m.d.comb += [
            move.eq(fetched & (self.pop | ~filled)),
            fetch.eq(waiting.any() & (move | ~fetched)),
            read.en.eq(fetch),
        ]
        m.d.sync += [
            waiting.eq(waiting + self.push - fetch),
            head.eq(head + fetch),
            fetched.eq(fetch | (fetched & ~move)),
            filled.eq(move | (filled & ~self.pop)),
        ]
        with m.If(move):
            m.d.sync += self.q.eq(read.data)
        return m


class Rotator(wiring.Component):
    """Steps 1 and 2 of `golden.frontend`: signs and Walsh–Hadamard transform of each segment of a row.

    One block per cycle. The first block of a segment comes out `latency` cycles after it went in, if the segment comes
    in without gaps. The pipeline moves as a whole, and holds while its last stage is full and `o` is not ready. Rows
    consist of whole segments.

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
    i : In(stream of raw blocks)
    o : Out(stream of words)
    """

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        self.unit = f"gosset_rotator_l{rules.length}_raw{rules.raw_bits}"
        self.latency = rules.segment_blocks + rules.length.bit_length() - 1
        super().__init__(
            {
                "seed": In(SEED_BITS),
                "i": In(stream.Signature(raw_block(rules))),
                "o": Out(stream.Signature(word_block(rules))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Signs; butterflies between blocks, the farthest first; butterflies within blocks."""
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance)]
        pipeline = Pipeline(m, advance)

        signs = self._signs(m, advance)
        words: list[Value] = pipeline.registers("signed", [_negated(self.i.payload.x[j], signs[j]) for j in range(DIM)])
        valid, last = pipeline.flag("signed_valid", self.i.valid), pipeline.register("signed_last", self.i.payload.last)

        distance = self.rules.segment_blocks // 2
        while distance:
            words, valid, last = self._between(m, pipeline, words, valid, last, distance)
            distance //= 2

        for k in range(3):
            sums = [
                words[j] + words[j | 1 << k] if not j >> k & 1 else words[j ^ 1 << k] - words[j] for j in range(DIM)
            ]
            words = pipeline.registers(f"within_{1 << k}", [s[: len(words[0]) + 1].as_signed() for s in sums])
        m.d.comb += [
            self.o.valid.eq(pipeline.flag("within_valid", valid, cycles=3)),
            self.o.payload.last.eq(pipeline.register("within_last", last, cycles=3)),
            *(self.o.payload.w[j].eq(words[j]) for j in range(DIM)),
        ]
        return m

    def _signs(self, m: Module, advance: Signal) -> Value:
        """The signs of the block on offer, a bit per lane."""
        register, current = Signal(SEED_BITS, name="signs_left"), Signal(SEED_BITS, name="signs")
        if self.rules.segment_blocks == 1:
            m.d.comb += current.eq(self.seed)
            return current[:DIM]
        position = Signal(range(self.rules.segment_blocks))
        m.d.comb += current.eq(Mux(position.any(), register, self.seed))
        bits = list(current)
        for n in range(DIM):
            bits.append(Cat(bits[n + tap] for tap in TAPS).xor())
        with m.If(advance & self.i.valid):
            m.d.sync += [position.eq(position + 1), register.eq(Cat(bits[DIM:]))]
        return current[:DIM]

    def _between(
        self, m: Module, pipeline: Pipeline, words: list[Value], valid: Signal, last: Signal, distance: int
    ) -> tuple[list[Value], Signal, Signal]:
        """Butterflies between blocks n and n + distance: first their sums come out, then their differences.

        The queue holds first halves while these come in, and differences while the second halves come in. What is left
        of the differences comes out whether or not more blocks come in.
        """
        width, name = len(words[0]), f"between_{distance}"
        m.submodules[name] = delay = Delay(DIM * (width + 1), distance)
        old = [delay.q[j * (width + 1) : (j + 1) * (width + 1)].as_signed() for j in range(DIM)]
        position = Signal(range(2 * distance), name=f"{name}_position")
        left = Signal(range(distance + 1), name=f"{name}_left")
        is_last = Signal(name=f"{name}_is_last", reset_less=True)
        second, taken, given = position[-1], Signal(name=f"{name}_taken"), Signal(name=f"{name}_given")
        stored = [Mux(second, (old[j] - words[j])[: width + 1].as_signed(), words[j]) for j in range(DIM)]
        m.d.comb += [
            taken.eq(pipeline.advance & valid),
            given.eq(pipeline.advance & left.any()),
            delay.push.eq(taken),
            delay.pop.eq(Mux(second, taken, given)),
            delay.d.eq(Cat(stored)),
        ]
        with m.If(taken):
            m.d.sync += position.eq(position + 1)
        with m.If(taken & position.all()):
            m.d.sync += [left.eq(distance), is_last.eq(last)]
        with m.Elif(given):
            m.d.sync += left.eq(left - 1)
        out = [Mux(second, (old[j] + words[j])[: width + 1].as_signed(), old[j]) for j in range(DIM)]
        return (
            pipeline.registers(name, out),
            pipeline.flag(f"{name}_valid", Mux(second, valid, left.any())),
            pipeline.register(f"{name}_last", ~second & is_last & (left == 1)),
        )


def _negated(x: Value, negative: Value) -> Value:
    """−x where `negative`, else x; the negative of the least number is the greatest."""
    least = x[-1] & ~x[:-1].any()
    flipped = Cat(bit ^ negative for bit in x) + (negative & ~least)
    return flipped[: len(x)].as_signed()

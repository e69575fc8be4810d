"""The activation front end: raw rows in, packed blocks out.

    host    i ─► Rotator ─► Scaler ─► Encoder ─► o        scale ─► Scaler
    max     i ─► Rotator ─► RowScale ─► Scaler ─► Encoder ─► o
    rms     i ─► RowScale ─► Rotator ─► Scaler ─► Encoder ─► o

The rules are those of `golden.frontend`. The RMS is measured before the transform, which does not change it, because
the coordinates are narrower there.
"""

from itertools import pairwise

from amaranth import C, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from golden.frontend import GAIN_EXPONENT_BITS, MANTISSA_BITS, SEED_BITS, TABLE_BITS, FrontEndRules
from hw.codec.encoder import Encoder, clip, encoded_block, encoding, multiplier_fields, scaled_block
from hw.codec.hadamard import Rotator, raw_block, rotating, word_block
from hw.streams import BlockQueue, Queue
from hw.values import register, registers, wire

HANDOVER = Queue.LATENCY + 4
"""Cycles from the end of the pipeline until a block has left the output queue and another one may be let in for it; and
the place that stays empty."""

ROWS = 8
"""Bound on the rows between admission and scaler: with rows of a block, the rotator's latency of 5, and two."""


def admission(rules: FrontEndRules) -> int:
    """Cycles from a row's first raw block until it may be let in to be encoded; where the row is measured first, they
    begin with the row's last block."""
    if rules.scale == "host":
        return 0
    return RowScale.LATENCY + (rotating(rules) if rules.scale == "max" else 0)


def latency(rules: FrontEndRules) -> int:
    """Cycles from a row's first raw block to its packed one at the output, which is empty. Where the row is measured
    first, they begin with the row's last block. With parallel candidates: serial ones take longer to rotate."""
    after = Scaler.LATENCY + encoding(rules) + Queue.LATENCY
    return admission(rules) + (0 if rules.scale == "max" else rotating(rules)) + after


def multiplier(rules: FrontEndRules) -> data.StructLayout:
    """A row's multiplier, mantissa·2^−exponent."""
    return data.StructLayout(multiplier_fields(rules))


class Scaler(wiring.Component):
    """Step 4 of `golden.frontend`: words to coordinates in units of the row's scale.

    Latency `LATENCY` cycles, one block per cycle. Nothing in it can stall.

    Parameters
    ----------
    rules : FrontEndRules

    Members
    -------
    multiplier : In
        That of the block at `i`.
    i : In(stream of words, always ready)
    o : Out(stream of scaled blocks, always ready)
    """

    LATENCY = 6

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        super().__init__(
            {
                "multiplier": In(multiplier(rules)),
                "i": In(stream.Signature(word_block(rules), always_ready=True)),
                "o": Out(stream.Signature(scaled_block(rules), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Input; shift by eights; shift by ones; rounding and saturation; product."""
        m = Module()
        rules, bits = self.rules, self.rules.scaled_bits

        # 1: the words, and which of their bits will be beyond the range: those from exponent + bits on.
        below = rules.fraction_bits + MANTISSA_BITS + 1
        words: list[Value] = [Cat(C(0, below), w) for w in registers(m, "word", self.i.payload.w)]
        exponent = register(m, "exponent_1", self.multiplier.exponent)
        reach = min(len(words[0]) - bits, 1 << rules.exponent_bits)
        beyond = register(m, "beyond", Cat(self.multiplier.exponent <= i for i in range(reach)))

        # 2, 3: the wanted bits, with one more below them for rounding.
        top = [wire(m, f"top_{j}", w[bits:] ^ w[-1].replicate(len(w) - bits)) for j, w in enumerate(words)]
        over = registers(m, "over", [((t[:reach] & beyond) | t[reach:].any()).any() for t in top], cycles=2)
        sign = registers(m, "sign", [w[-1] for w in words], cycles=2)
        words = [_shifted(m, w, exponent, range(3, rules.exponent_bits), bits + 1) for w in words]
        words, exponent = registers(m, "coarse", words), register(m, "exponent_2", exponent)
        words = registers(m, "fine", [_shifted(m, w, exponent, range(3), bits + 1) for w in words])

        # 4: what is in range can still be rounded out of it.
        rounded = [(w.as_signed() + 1)[1 : bits + 2].as_signed() for w in words]
        rounded = [clip(wire(m, f"rounded_{j}", v), bits) for j, v in enumerate(rounded)]
        limit = [Cat((~s).replicate(bits - 1), s) for s in sign]
        a = registers(m, "a", [Mux(o, b, c)[:bits].as_signed() for o, b, c in zip(over, limit, rounded, strict=True)])

        # 5, 6: the product, two bits of the mantissa at a time.
        mantissa = register(m, "mantissa", self.multiplier.mantissa, cycles=4)
        later, half, t = register(m, "mantissa_5", mantissa), 1 << (MANTISSA_BITS - 1), []
        for i, v in enumerate(a):
            terms = [Mux(bit, v, 0) << k for k, bit in enumerate(mantissa)]
            pairs = registers(m, f"product_{i}", [x + y for x, y in zip(terms[::2], terms[1::2], strict=True)])
            t.append(register(m, f"t_{i}", ((sum(pairs, C(half))) >> MANTISSA_BITS)[:bits].as_signed()))

        m.d.comb += [
            self.o.valid.eq(register(m, "valid", self.i.valid, cycles=self.LATENCY, reset_less=False)),
            *(lane.eq(value) for lane, value in zip(self.o.payload.t, t, strict=True)),
            self.o.payload.mantissa.eq(register(m, "mantissa_6", later)),
            self.o.payload.exponent.eq(register(m, "exponent", self.multiplier.exponent, cycles=self.LATENCY)),
            self.o.payload.last.eq(register(m, "last", self.i.payload.last, cycles=self.LATENCY)),
        ]
        return m


def _shifted(m: Module, value: Value, amount: Value, levels: range, bits: int) -> Value:
    """value ≫ the bits of `amount` at `levels`: as many low bits as `bits` and the levels left below it need."""
    for k in reversed(levels):
        wide = Cat(value, value[-1].replicate(1 << k))
        moved = wide[1 << k :][: bits + (1 << k) - 1]
        value = wire(m, f"shifted_{1 << k}", Mux(amount[k], moved, value[: len(moved)]))
    return value


class RowScale(wiring.Component):
    """Step 3 of `golden.frontend` on chip: measures rows, and buffers them in the meantime.

    One block per cycle. A multiplier is on offer `LATENCY` cycles after the last block of its row was taken.

    Parameters
    ----------
    rules : FrontEndRules
        With `scale` "max" or "rms".
    spare : int
        Blocks that the buffer holds beyond the longest row and what comes in while its multiplier is computed.

    Members
    -------
    gain_mantissa, gain_exponent : In
        They must not change while rows are coming in.
    i, o : In, Out(stream of words for "max", of raw blocks for "rms")
    scale : Out(stream of multipliers)
        One per row.
    """

    LATENCY = 13

    def __init__(self, rules: FrontEndRules, spare: int = 0):
        self.rules = rules
        self.depth = rules.row_blocks + self.LATENCY + spare
        layout = word_block(rules) if rules.scale == "max" else raw_block(rules)
        super().__init__(
            {
                "gain_mantissa": In(MANTISSA_BITS),
                "gain_exponent": In(GAIN_EXPONENT_BITS),
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(layout)),
                "scale": Out(stream.Signature(multiplier(rules))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The row buffer, and the queue of the multipliers of the rows in it; statistic, reciprocal, multiplier."""
        m = Module()
        rows = self.depth // self.rules.segment_blocks + 1
        blocks = BlockQueue(width=len(self.i.payload.as_value()), depth=self.depth)
        scales = BlockQueue(width=len(self.scale.payload.as_value()), depth=rows)
        m.submodules.blocks, m.submodules.scales = blocks, scales
        for fifo, out in ((blocks, self.o), (scales, self.scale)):
            m.d.comb += [out.valid.eq(fifo.r_rdy), out.payload.as_value().eq(fifo.r_data), fifo.r_en.eq(out.ready)]

        taken = self.i.valid & self.i.ready
        statistic, complete = self._statistic(m, taken)
        value = self._multiplier(m, statistic)
        m.d.comb += [
            self.i.ready.eq(blocks.w_rdy),
            blocks.w_en.eq(self.i.valid),
            blocks.w_data.eq(self.i.payload.as_value()),
            scales.w_en.eq(register(m, "ready", complete, cycles=6, reset_less=False)),
            scales.w_data.eq(value),
        ]
        return m

    def _statistic(self, m: Module, taken: Value) -> tuple[Signal, Signal]:
        """max|w| or Σx² of a row, and whether it is complete; five cycles after the row's last block."""
        is_max = self.rules.scale == "max"

        def join(a: Value, b: Value) -> Value:
            return Mux(a < b, b, a) if is_max else a + b

        if is_max:
            parts = [Cat(bit ^ w[-1] for bit in w[:-1]) | w[-1] for w in self.i.payload.w]
        else:
            parts = [(x * x)[: 2 * self.rules.raw_bits - 1] for x in self.i.payload.x]
        parts = registers(m, "lane", parts)
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = registers(m, f"best_{len(parts) // 2}", [join(a, b) for a, b in pairs])
        valid = register(m, "taken", taken, cycles=4, reset_less=False)
        last = register(m, "last", self.i.payload.last, cycles=4)

        statistic = Signal(self.rules.word_bits - 1 if is_max else self.rules.square_bits, reset_less=True)
        first = Signal(init=1)
        with m.If(valid):
            m.d.sync += [statistic.eq(Mux(first, parts[0], join(statistic, parts[0]))), first.eq(last)]
        return statistic, register(m, "complete", valid & last, reset_less=False)

    def _multiplier(self, m: Module, statistic: Signal) -> Signal:
        """gain over the statistic, or over its root; six cycles later."""
        rules, roots = self.rules, self.rules.scale == "rms"
        # The leading one is moved to the top; how far it moved, inverted, is where it was.
        levels = ceil_log2(len(statistic))
        value: Value = Cat(statistic, C(0, (1 << levels) - len(statistic)))
        lead: list[Value] = []
        for stage, (high, low) in enumerate(pairwise((levels, max(levels - 2, 0), max(levels - 4, 0), 0))):
            for k in reversed(range(low, high)):
                some = wire(m, f"some_{1 << k}", value[-(1 << k) :].any())
                lead.insert(0, some)
                value = wire(m, f"moved_{1 << k}", Mux(some, value, value << (1 << k))[: 1 << levels])
            value, lead = register(m, f"normal_{stage}", value), list(register(m, f"lead_{stage}", Cat(lead)))

        fraction = value[-TABLE_BITS - 1 : -1]
        index = Cat(fraction[1:], lead[0]) if roots else fraction
        table = rules.table()
        rom = Const(sum(v << (MANTISSA_BITS * i) for i, v in enumerate(table)), MANTISSA_BITS * len(table))
        reciprocal = register(m, "reciprocal", rom.word_select(index, MANTISSA_BITS))
        some = register(m, "some", value[-1], cycles=2)
        # With the gain's exponent, and with one more, which the top bit of the product takes off again.
        power = register(m, "power", Cat(lead[1:] if roots else lead))
        offset = register(m, "offset", MANTISSA_BITS + 1 + power - self.gain_exponent)

        product = register(m, "product", reciprocal * self.gain_mantissa)
        above = product[-1]
        mantissa = Mux(above, product[-MANTISSA_BITS:], product[-MANTISSA_BITS - 1 : -1])
        exponent = (offset - above).as_signed()
        most = C((1 << rules.exponent_bits) - 1)
        inside = Mux(exponent[rules.exponent_bits : -1].any(), most, exponent[: rules.exponent_bits])
        exponent = Mux(exponent[-1], 0, inside)
        return register(m, "multiplier", Mux(some, Cat(mantissa, exponent), 0))


class FrontEnd(wiring.Component):
    """Raw rows in, packed blocks out, in order.

    One block per cycle, or one per as many cycles as there are β with serial candidates. Nothing is lost when `o` is
    not ready.

    Parameters
    ----------
    rules : FrontEndRules

    Members
    -------
    seed : In
        Of the signs. It must not change while a row is coming in.
    scale : In(stream of multipliers), for "host"
        One per row; the row waits for it. Two can wait for their rows, so that neither stream's ready depends on the
        other's valid.
    gain_mantissa, gain_exponent : In, for "max" and "rms"
        They must not change while rows are coming in.
    i : In(stream of raw blocks)
        Rows of whole segments; of at most `row_blocks` blocks, unless the host gives the scales.
    o : Out(stream of packed blocks, each with its row's multiplier)
    """

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        beta = "_".join(map(str, rules.format.betas))
        self.unit = (
            f"frontend_q{rules.format.q}_beta{beta}_l{rules.length}_raw{rules.raw_bits}_f{rules.fraction_bits}"
            f"_{rules.scale}_{rules.candidates}_rows{rules.row_blocks}"
        )
        scale: dict[str, wiring.Member] = {
            "gain_mantissa": In(MANTISSA_BITS),
            "gain_exponent": In(GAIN_EXPONENT_BITS),
        }
        if rules.scale == "host":
            scale = {"scale": In(stream.Signature(multiplier(rules)))}
        super().__init__(
            {
                "seed": In(SEED_BITS),
                **scale,
                "i": In(stream.Signature(raw_block(rules))),
                "o": Out(stream.Signature(encoded_block(rules))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Admission, of blocks that the output queue has room for, into what cannot stall; the row buffer before it."""
        m = Module()
        rules, measures_words = self.rules, self.rules.scale == "max"
        rotator, scaler, encoder = Rotator(rules), Scaler(rules), Encoder(rules)
        m.submodules.rotator, m.submodules.scaler, m.submodules.encoder = rotator, scaler, encoder
        latency = scaler.LATENCY + encoder.latency + (0 if measures_words else rotator.latency)
        depth = 1 << ceil_log2(latency + HANDOVER)
        m.submodules.queue = queue = Queue(len(self.o.payload.as_value()), depth)

        if rules.scale == "host":
            layout = multiplier(rules)
            m.submodules.given = given = SyncFIFO(width=layout.size, depth=2)
            blocks, scale = self.i, stream.Signature(layout).create(path=("given_scale",))
            m.d.comb += [
                given.w_data.eq(self.scale.payload.as_value()),
                given.w_en.eq(self.scale.valid),
                self.scale.ready.eq(given.w_rdy),
                scale.payload.as_value().eq(given.r_data),
                scale.valid.eq(given.r_rdy),
                given.r_en.eq(scale.ready),
            ]
        else:
            m.submodules.row_scale = row_scale = RowScale(rules, rotator.latency + 2 if measures_words else 0)
            blocks, scale = row_scale.o, row_scale.scale
            m.d.comb += [
                row_scale.gain_mantissa.eq(self.gain_mantissa),
                row_scale.gain_exponent.eq(self.gain_exponent),
            ]

        # One block per beat, with its row's multiplier.
        beat = Signal(init=1)
        admitted = Signal()
        if encoder.cycles > 1:
            count = Signal(range(encoder.cycles), init=encoder.cycles - 1)  # of the last cycle before a beat
            m.d.sync += [count.eq(Mux(beat, 0, count + 1)), beat.eq(count == encoder.cycles - 2)]
        room = _room(m, "room", queue.depth, admitted, self.o.valid & self.o.ready)
        m.d.comb += [
            admitted.eq(blocks.valid & blocks.ready),
            blocks.ready.eq(beat & room & scale.valid),
            scale.ready.eq(admitted & blocks.payload.last),
        ]

        if measures_words:
            buffer_room = _room(m, "buffer_room", row_scale.depth, rotator.i.valid, admitted)
            m.d.comb += [
                self.i.ready.eq(buffer_room),
                rotator.beat.eq(1),
                rotator.i.valid.eq(self.i.valid & buffer_room),
                rotator.i.payload.eq(self.i.payload),
                row_scale.i.valid.eq(rotator.o.valid),
                row_scale.i.payload.eq(rotator.o.payload),
                scaler.i.valid.eq(admitted),
                scaler.i.payload.eq(blocks.payload),
                scaler.multiplier.eq(scale.payload),
            ]
        else:
            if rules.scale == "rms":
                wiring.connect(m, wiring.flipped(self.i), row_scale.i)
            m.submodules.ahead = ahead = Queue(len(scale.payload.as_value()), ROWS)
            first = Signal(init=1)
            with m.If(admitted):
                m.d.sync += first.eq(blocks.payload.last)
            m.d.comb += [
                rotator.beat.eq(beat),
                rotator.i.valid.eq(admitted),
                rotator.i.payload.eq(blocks.payload),
                ahead.push.eq(admitted & first),
                ahead.d.eq(scale.payload.as_value()),
                ahead.pop.eq(rotator.o.valid & rotator.o.payload.last),
                scaler.multiplier.as_value().eq(ahead.q),
            ]
            wiring.connect(m, rotator.o, scaler.i)

        wiring.connect(m, scaler.o, encoder.i)
        m.d.comb += [
            rotator.seed.eq(self.seed),
            queue.push.eq(encoder.o.valid),
            queue.d.eq(encoder.o.payload.as_value()),
            self.o.valid.eq(queue.valid),
            self.o.payload.as_value().eq(queue.q),
            queue.pop.eq(self.o.valid & self.o.ready),
        ]
        return m


def _room(m: Module, name: str, places: int, taken: Value, freed: Value) -> Value:
    """Whether one of so many places is left; one place stays empty, so that the answer can come from a register."""
    free = Signal(range(places + 1), init=places, name=name)
    m.d.sync += free.eq(free - taken + freed)
    return register(m, f"{name}_left", free > 1, reset_less=False)

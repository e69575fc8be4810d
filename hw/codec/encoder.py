"""The E8 encoder: eight scaled coordinates in, the label of a lattice point and a β index out.

The rules are steps 5 and 6 of `golden.frontend`. The search for the nearest point is `golden.lattice.soft_decode`, as
in `hw.codec.decoder`, but on the fractions of the coordinates: with x = n + u/2ᶠ the point has n or n+1 in every
coordinate, whichever has the parity that the codeword asks for, and the reliability of the hard decision is
|u − 2ᶠ⁻¹|. Whether the point overloads is asked of a `Decoder`: it does if the decoder turns its label into something
else.
"""

from collections.abc import Iterable

from amaranth import C, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.frontend import MANTISSA_BITS, FrontEndRules
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword
from golden.reciprocal import ADDITIONS, INVERSE_BITS, inverse, steps
from hw.codec.decoder import PAIRS, Decoder, reliability
from hw.streams import packed_block
from hw.units import place
from hw.values import add, is_, register, registers


def multiplier_fields(rules: FrontEndRules) -> dict[str, ShapeLike]:
    """Fields of a row's multiplier."""
    return {"mantissa": MANTISSA_BITS, "exponent": rules.exponent_bits}


def scaled_block(rules: FrontEndRules) -> data.StructLayout:
    """A block in units of the scale: eight coordinates t, the row's multiplier, whether it is the row's last block."""
    coordinates = {"t": data.ArrayLayout(signed(rules.scaled_bits), DIM)}
    return data.StructLayout(coordinates | multiplier_fields(rules) | {"last": 1})


def encoded_block(rules: FrontEndRules) -> data.StructLayout:
    """A packed block, the row's multiplier, and whether it is the row's last block."""
    return data.StructLayout(packed_block(rules.format) | multiplier_fields(rules) | {"last": 1})


def label_of(y: list[Value], format: Format) -> Value:
    """The label of a point's coset, from the low m+1 bits of its coordinates: wiring and four exclusive ors."""
    m = format.m
    middle = [y[i][k] for k in range(1, m) for i in range(DIM)]
    coarse = codeword([y[i][m] for i in INFORMATION])
    return Cat(*(y[i][0] for i in INFORMATION), *middle, *(y[i][m] ^ coarse[i] for i in REDUNDANT))


class Candidate(wiring.Component):
    """The nearest point of a block, as its coset's least-energy member, and whether that is another point.

    Latency `LATENCY` cycles, one block per cycle, never stalls.

    Parameters
    ----------
    rules : FrontEndRules

    Members
    -------
    z : In(eight coordinates with fraction bits)
    y : Out(eight coordinates)
    overload : Out
    """

    LATENCY = 9 + Decoder.LATENCY

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        self.unit = f"candidate_q{rules.format.q}_f{rules.fraction_bits}"
        super().__init__(
            {
                "z": In(data.ArrayLayout(signed(rules.candidate_bits), DIM)),
                "y": Out(data.ArrayLayout(signed(rules.format.point_bits), DIM)),
                "overload": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Pairs; costs of turning over; the cheapest pair; cost per type; choice of type; the point; its coset."""
        m = Module()
        bits = self.rules.fraction_bits

        # 1: hard decisions with reliabilities.
        hard = registers(m, "hard", [z[bits] ^ z[bits - 1] for z in self.z])
        cost = registers(m, "cost", [reliability(z[:bits]) for z in self.z])
        floor = registers(m, "floor", [z[bits:].as_signed() for z in self.z], cycles=7)

        # 2: each pair by itself.
        pairs = [(cost[2 * j], cost[2 * j + 1]) for j in range(PAIRS)]
        weak = registers(m, "weak", [a < b for a, b in pairs])
        low = registers(m, "low", [Mux(a < b, a, b) for a, b in pairs])
        both = registers(m, "both", [a + b for a, b in pairs])
        odd = registers(m, "odd", [hard[2 * j] ^ hard[2 * j + 1] for j in range(PAIRS)])
        first = registers(m, "first", [hard[2 * j] for j in range(PAIRS)])

        # 3: cost of turning each pair over; the advantage of the even type, Σ ±low, as sums of two.
        gap = [(both[j] - (low[j] << 1))[: bits + 1] for j in range(PAIRS)]
        turn = [
            registers(m, "turn_even", [Mux(odd[j], gap[j], both[j]) for j in range(PAIRS)]),
            registers(m, "turn_odd", [Mux(odd[j], both[j], gap[j]) for j in range(PAIRS)]),
        ]
        base = registers(m, "base", [first[j] ^ (odd[j] & weak[j]) for j in range(PAIRS)])
        weak = registers(m, "weak_3", weak)
        term = [Cat(low[j] ^ odd[j].replicate(bits), odd[j]).as_signed() for j in range(PAIRS)]
        left = register(m, "left", add(term[0], term[1], odd[0]))
        right = register(m, "right", add(term[2], term[3], odd[2]))
        carries = registers(m, "carry", [odd[1], odd[3]])

        # 4, 5: the pair of each type that is cheapest to turn over, and whether one has to be.
        least, index, uneven = [], [], []
        for t, kind in enumerate(("even", "odd")):
            lower, upper = turn[t][1] < turn[t][0], turn[t][3] < turn[t][2]
            a = register(m, f"lower_{kind}", Mux(lower, turn[t][1], turn[t][0]))
            b = register(m, f"upper_{kind}", Mux(upper, turn[t][3], turn[t][2]))
            odd_ones = register(m, f"odd_ones_{kind}", Cat(lower, upper))
            least.append(register(m, f"least_{kind}", Mux(b < a, b, a)))
            index.append(register(m, f"index_{kind}", Mux(b < a, Cat(odd_ones[1], C(1, 1)), Cat(odd_ones[0], C(0, 1)))))
            settled = base if t == 0 else [base[j] ^ weak[j] for j in range(PAIRS)]
            uneven.append(register(m, f"uneven_{kind}", Cat(settled).xor(), cycles=2))
        advantage = register(m, "advantage", add(left, right, carries[0]), cycles=2)
        carry = register(m, "carry_5", carries[1], cycles=2)
        base, weak = (registers(m, f"{name}_5", values, cycles=2) for name, values in (("base", base), ("weak", weak)))

        # 6: what the corrections cost, and the first bits of the pairs after them, for either type.
        price = [least[t] & uneven[t].replicate(bits + 1) for t in (0, 1)]
        balance = register(m, "balance", price[1] - price[0])
        advantage, carry = register(m, "advantage_6", advantage), register(m, "carry_6", carry)
        after = []
        for t, kind in enumerate(("even", "odd")):
            turned = [uneven[t] & is_(index[t], j) for j in range(PAIRS)]
            settled = base if t == 0 else [base[j] ^ weak[j] for j in range(PAIRS)]
            after.append(registers(m, f"after_{kind}", [settled[j] ^ turned[j] for j in range(PAIRS)]))

        # 7: the codeword of the cheaper type.
        is_odd = Signal()
        m.d.comb += is_odd.eq(add(advantage, balance, carry)[-1])
        word = registers(
            m, "word", [Mux(is_odd, after[1][i // 2], after[0][i // 2]) ^ (is_odd & (i % 2)) for i in range(DIM)]
        )

        # 8: n, or n+1 where the parity is wrong.
        up = [Cat(word[i], floor[i][1:].as_signed() + (floor[i][0] & ~word[i])) for i in range(DIM)]
        p = registers(m, "p", [value[: self.rules.point_bits] for value in up])

        # The coset's least-energy member. The decoder needs no β: only the point is asked for.
        decoder = Decoder(Format(self.rules.format.q, (1,)))
        place(m, platform, "decoder", decoder)
        m.d.comb += [
            decoder.i.payload.label.eq(label_of(p, self.rules.format)),
            decoder.i.valid.eq(1),
            decoder.o.ready.eq(1),
        ]

        # 9, after the decoder: it has found the same point if that was in range and no sign has changed.
        sign = self.rules.format.m
        outside = register(m, "outside", Cat(v[sign] ^ v[sign + 1] for v in p).any(), cycles=Decoder.LATENCY)
        signs = register(m, "signs", Cat(v[sign] for v in p), cycles=Decoder.LATENCY)
        y = decoder.o.payload.y
        changed = Cat(y[i][sign] for i in range(DIM)) ^ signs
        m.d.comb += self.overload.eq(register(m, "overload", outside | changed.any()))
        for i in range(DIM):
            m.d.comb += self.y[i].eq(register(m, f"y_{i}", y[i]))
        return m


def cycles_per_block(rules: FrontEndRules) -> int:
    """Cycles from one block to the next: one per β with serial candidates."""
    return len(rules.format.betas) if rules.candidates == "serial" else 1


def encoding(rules: FrontEndRules) -> int:
    """Latency of the encoder."""
    cycles = cycles_per_block(rules)
    return ADDITIONS + 2 + Candidate.LATENCY + 1 + (cycles + 1 if cycles > 1 else 0)


class Encoder(wiring.Component):
    """Encodes blocks in units of the scale: β search and nearest point.

    All β at once, one block per cycle; or one β per cycle, blocks at least as many cycles apart as there are β. Latency
    `latency` cycles. Nothing in it can stall.

    Parameters
    ----------
    rules : FrontEndRules

    Attributes
    ----------
    cycles : int
        From one block to the next.
    latency : int

    Members
    -------
    i : In(stream of scaled blocks, always ready)
    o : Out(stream of packed blocks, with what came in beside the coordinates, always ready)
    """

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        self.cycles, self.latency = cycles_per_block(rules), encoding(rules)
        super().__init__(
            {
                "i": In(stream.Signature(scaled_block(rules), always_ready=True)),
                "o": Out(stream.Signature(encoded_block(rules), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """t/β; saturation; the candidates; the choice."""
        m = Module()
        y, index = self._one_by_one(m, platform) if self.cycles > 1 else self._all_at_once(m, platform)
        block = self.i.payload
        beside = [name for name in block.shape().members if name != "t"]
        m.d.comb += [
            self.o.valid.eq(register(m, "valid", self.i.valid, cycles=self.latency, reset_less=False)),
            self.o.payload.label.eq(label_of(y, self.rules.format)),
            *(self.o.payload[name].eq(register(m, name, block[name], cycles=self.latency)) for name in beside),
        ]
        if self.rules.format.beta_bits:
            m.d.comb += self.o.payload.beta.eq(index)
        return m

    def _candidate(self, m: Module, platform: object, name: str, multiples: Iterable[Value]) -> Candidate:
        """The candidate of t/β, given t·c, two cycles and its latency later."""
        half = 1 << (INVERSE_BITS - 1)
        quotients = registers(m, f"quotient_{name}", [(v + half) >> INVERSE_BITS for v in multiples])
        z = registers(m, f"z_{name}", [clip(v, self.rules.candidate_bits) for v in quotients])
        unit = Candidate(self.rules)
        place(m, platform, f"candidate_{name}", unit)
        m.d.comb += [a.eq(b) for a, b in zip(unit.z, z, strict=True)]
        return unit

    def _all_at_once(self, m: Module, platform: object) -> tuple[list[Signal], Signal]:
        """The point and the index of the first candidate that does not overload, or of the last one."""
        units = []
        for beta in self.rules.format.betas:
            multiples = times(m, f"t_{beta}", self.i.payload.t, inverse(beta))
            units.append(self._candidate(m, platform, str(beta), multiples))
        index: Value = Const(len(units) - 1, self.rules.format.beta_bits)
        y: list[Value] = list(units[-1].y)
        for i, unit in reversed(list(enumerate(units[:-1]))):
            index = Mux(unit.overload, index, i)
            y = [Mux(unit.overload, b, a) for a, b in zip(unit.y, y, strict=True)]
        return registers(m, "y", y), register(m, "index", index)

    def _one_by_one(self, m: Module, platform: object) -> tuple[list[Signal], Signal]:
        """The same, as the candidates of a block come by."""
        trial = Signal(range(self.cycles), reset_less=True)
        held = [Signal(t.shape(), name=f"t_{i}", reset_less=True) for i, t in enumerate(self.i.payload.t)]
        with m.If(self.i.valid):
            m.d.sync += [trial.eq(0), *(a.eq(b) for a, b in zip(held, self.i.payload.t, strict=True))]
        with m.Else():
            m.d.sync += trial.eq(trial + 1)
        products = [times(m, f"t_{beta}", held, inverse(beta)) for beta in self.rules.format.betas]
        multiples = [Signal(signed(len(t) + INVERSE_BITS), name=f"multiple_{i}") for i, t in enumerate(held)]
        trial = register(m, "trial_of_product", trial, cycles=ADDITIONS)
        with m.Switch(trial):
            for i, product in enumerate(products):
                with m.Case(i):
                    m.d.comb += [a.eq(b) for a, b in zip(multiples, product, strict=True)]
        unit = self._candidate(m, platform, "any", registers(m, "multiple", multiples))
        arrived = register(m, "trial_of_candidate", trial, cycles=3 + Candidate.LATENCY)

        y = [Signal(lane.shape(), name=f"y_{i}", reset_less=True) for i, lane in enumerate(unit.y)]
        index, overload = Signal.like(trial, name="index", reset_less=True), Signal(reset_less=True)
        with m.If(overload | is_(arrived, 0)):
            m.d.sync += [*(a.eq(b) for a, b in zip(y, unit.y, strict=True)), index.eq(arrived)]
            m.d.sync += overload.eq(unit.overload)
        return y, index


def clip(value: Value, bits: int) -> Value:
    """A signed value saturated to so many bits."""
    if len(value) <= bits:
        return value
    sign, top = value[-1], value[bits - 1 :]
    beyond = top.any() & ~top.all()
    return Cat(Mux(beyond, ~sign.replicate(bits - 1), value[: bits - 1]), sign).as_signed()


def times(m: Module, name: str, values: Iterable[Value], constant: int) -> list[Value]:
    """Signed values times a constant of at most ADDITIONS additions (see `golden.reciprocal.steps`), one per cycle."""
    values = products = list(values)
    twos = (constant & -constant).bit_length() - 1
    path, number = steps(constant >> twos)[::-1], 1
    for i in range(ADDITIONS):
        if i < len(path):
            step = path[i]
            others = products if step.scaled else values
            number = (number << step.shift) + step.sign * (number if step.scaled else 1)
            shifted = [p << step.shift for p in products]
            products = [a + b if step.sign > 0 else a - b for a, b in zip(shifted, others, strict=True)]
            products = [p[: len(v) + number.bit_length()].as_signed() for p, v in zip(products, values, strict=True)]
        products = registers(m, f"{name}_times_{number}", products)
        values = registers(m, f"{name}_{i + 1}", values)
    return [p << twos for p in products]

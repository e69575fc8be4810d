"""The E8 encoder: eight scaled coordinates in, the label of a lattice point and a β index out.

The rules are steps 5 and 6 of `golden.frontend`. The search for the nearest point is `golden.lattice.soft_decode`, as
in `hw.decoder`, but on the fractions of the coordinates: with x = n + u/2ᶠ the point has n or n+1 in every coordinate,
whichever has the parity that the codeword asks for, and the reliability of the hard decision is |u − 2ᶠ⁻¹|. Whether the
point overloads is asked of a `Decoder`: it does if the decoder turns its label into something else.
"""

from collections.abc import Callable

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.frontend import MANTISSA_BITS, FrontEndRules
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword
from hw.decoder import PAIRS, Decoder, _add, _reliability
from hw.hadamard import Pipeline
from hw.streams import packed_block
from hw.units import is_, place


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

    Latency `LATENCY` moves, one block per move; it moves when `advance` is high.

    Parameters
    ----------
    rules : FrontEndRules

    Members
    -------
    advance : In
        Must be high for the first `Decoder.LATENCY` cycles after reset.
    z : In(eight coordinates with fraction bits)
    y : Out(eight coordinates)
    overload : Out
    """

    LATENCY = 8 + Decoder.LATENCY

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        self.unit = f"gosset_candidate_q{rules.format.q}_f{rules.fraction_bits}"
        super().__init__(
            {
                "advance": In(1),
                "z": In(data.ArrayLayout(signed(rules.candidate_bits), DIM)),
                "y": Out(data.ArrayLayout(signed(rules.format.point_bits), DIM)),
                "overload": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Pairs; costs of turning over; the cheapest pair; cost per type; choice of type; the point; its coset."""
        m = Module()
        pipeline = Pipeline(m, self.advance)
        register, registers = pipeline.register, pipeline.registers
        bits = self.rules.fraction_bits

        # 1: hard decisions with reliabilities.
        hard = registers("hard", [z[bits] ^ z[bits - 1] for z in self.z])
        cost = registers("cost", [_reliability(z[:bits]) for z in self.z])
        floor = registers("floor", [z[bits:].as_signed() for z in self.z], cycles=6)

        # 2: each pair by itself.
        pairs = [(cost[2 * j], cost[2 * j + 1]) for j in range(PAIRS)]
        weak = registers("weak", [a < b for a, b in pairs])
        low = registers("low", [Mux(a < b, a, b) for a, b in pairs])
        both = registers("both", [a + b for a, b in pairs])
        odd = registers("odd", [hard[2 * j] ^ hard[2 * j + 1] for j in range(PAIRS)])
        first = registers("first", [hard[2 * j] for j in range(PAIRS)])

        # 3: cost of turning each pair over; the advantage of the even type, Σ ±low, as sums of two.
        gap = [(both[j] - (low[j] << 1))[: bits + 1] for j in range(PAIRS)]
        turn = [
            registers("turn_even", [Mux(odd[j], gap[j], both[j]) for j in range(PAIRS)]),
            registers("turn_odd", [Mux(odd[j], both[j], gap[j]) for j in range(PAIRS)]),
        ]
        base = registers("base", [first[j] ^ (odd[j] & weak[j]) for j in range(PAIRS)])
        weak = registers("weak_3", weak)
        term = [Cat(low[j] ^ odd[j].replicate(bits), odd[j]).as_signed() for j in range(PAIRS)]
        left = register("left", _add(term[0], term[1], odd[0]))
        right = register("right", _add(term[2], term[3], odd[2]))
        carries = registers("carry", [odd[1], odd[3]])

        # 4: the pair of each type that is cheapest to turn over, and whether one has to be.
        least, index, uneven = [], [], []
        for t, kind in enumerate(("even", "odd")):
            lower, upper = turn[t][1] < turn[t][0], turn[t][3] < turn[t][2]
            a, b = Mux(lower, turn[t][1], turn[t][0]), Mux(upper, turn[t][3], turn[t][2])
            least.append(register(f"least_{kind}", Mux(b < a, b, a)))
            index.append(register(f"index_{kind}", Mux(b < a, Cat(upper, Const(1, 1)), Cat(lower, Const(0, 1)))))
            settled = base if t == 0 else [base[j] ^ weak[j] for j in range(PAIRS)]
            uneven.append(register(f"uneven_{kind}", Cat(settled).xor()))
        advantage, carry = register("advantage", _add(left, right, carries[0])), register("carry_4", carries[1])
        base, weak = registers("base_4", base), registers("weak_4", weak)

        # 5: what the corrections cost, and the first bits of the pairs after them, for either type.
        price = [least[t] & uneven[t].replicate(bits + 1) for t in (0, 1)]
        balance = register("balance", price[1] - price[0])
        advantage, carry = register("advantage_5", advantage), register("carry_5", carry)
        after = []
        for t, kind in enumerate(("even", "odd")):
            turned = [uneven[t] & is_(index[t], j) for j in range(PAIRS)]
            settled = base if t == 0 else [base[j] ^ weak[j] for j in range(PAIRS)]
            after.append(registers(f"after_{kind}", [settled[j] ^ turned[j] for j in range(PAIRS)]))

        # 6: the codeword of the cheaper type.
        is_odd = Signal()
        m.d.comb += is_odd.eq(_add(advantage, balance, carry)[-1])
        word = registers(
            "word", [Mux(is_odd, after[1][i // 2], after[0][i // 2]) ^ (is_odd & (i % 2)) for i in range(DIM)]
        )

        # 7: n, or n+1 where the parity is wrong.
        up = [Cat(word[i], floor[i][1:].as_signed() + (floor[i][0] & ~word[i])) for i in range(DIM)]
        p = registers("p", [value[: self.rules.point_bits] for value in up])

        # The coset's least-energy member. The decoder is fed in every cycle: once it has filled up it is never empty,
        # and so moves exactly when it is told to. It needs no β: only the point is asked for.
        decoder = Decoder(Format(self.rules.format.q, (1,)))
        place(m, platform, "decoder", decoder)
        m.d.comb += [
            decoder.i.payload.label.eq(label_of(p, self.rules.format)),
            decoder.i.valid.eq(1),
            decoder.o.ready.eq(self.advance),
        ]

        # 8, after the decoder: it has found the same point if that was in range and no sign has changed.
        sign = self.rules.format.m
        outside = register("outside", Cat(v[sign] ^ v[sign + 1] for v in p).any(), cycles=Decoder.LATENCY)
        signs = register("signs", Cat(v[sign] for v in p), cycles=Decoder.LATENCY)
        y = decoder.o.payload.y
        changed = Cat(y[i][sign] for i in range(DIM)) ^ signs
        m.d.comb += self.overload.eq(register("overload", outside | changed.any()))
        for i in range(DIM):
            m.d.comb += self.y[i].eq(register(f"y_{i}", y[i]))
        return m


AddCandidate = Callable[[Value, str], Candidate]
"""Adds a candidate for a constant 2ˢ/β, under a name."""


class Encoder(wiring.Component):
    """Encodes blocks in units of the scale: β search and nearest point.

    All β at once, one block per cycle; or one β per cycle, one block per as many cycles as there are β. Latency
    `latency` cycles from the cycle in which the block is taken. The pipeline moves as a whole: it holds while its last
    stage is full and `o` is not ready.

    Parameters
    ----------
    rules : FrontEndRules

    Attributes
    ----------
    latency : int
    serial : bool
        Whether the β of a block are tried one after the other.

    Members
    -------
    i : In(stream of scaled blocks)
    o : Out(stream of packed blocks, with what came in beside the coordinates)
    """

    latency = 3 + Candidate.LATENCY

    def __init__(self, rules: FrontEndRules):
        self.rules = rules
        self.serial = rules.candidates == "serial" and len(rules.format.betas) > 1
        beta = "_".join(map(str, rules.format.betas))
        self.unit = f"gosset_encoder_q{rules.format.q}_beta{beta}_f{rules.fraction_bits}_{rules.candidates}"
        super().__init__(
            {
                "i": In(stream.Signature(scaled_block(rules))),
                "o": Out(stream.Signature(encoded_block(rules))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """t/β; saturation; the candidates; the choice."""
        m = Module()
        rules, block = self.rules, self.i.payload
        advance, last_beta = Signal(), Signal()
        pipeline = Pipeline(m, advance)
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance & last_beta)]
        constants = [Const(rules.inverse(beta)) for beta in rules.format.betas]

        def divided(constant: Value, name: str) -> list[Value]:
            """z of the block on offer, two moves later."""
            half = 1 << (rules.inverse_bits - 1)
            quotients = [((t * constant + half) >> rules.inverse_bits) for t in block.t]
            quotients = pipeline.registers(f"quotient_{name}", quotients)
            return pipeline.registers(f"z_{name}", [clip(v, rules.candidate_bits) for v in quotients])

        def candidate(constant: Value, name: str) -> Candidate:
            unit = Candidate(rules)
            place(m, platform, f"candidate_{name}", unit)
            m.d.comb += unit.advance.eq(advance)
            for z, value in zip(unit.z, divided(constant, name), strict=True):
                m.d.comb += z.eq(value)
            return unit

        if self.serial:
            y, index = self._one_by_one(m, pipeline, candidate, constants, last_beta)
        else:
            m.d.comb += last_beta.eq(1)
            y, index = self._all_at_once(pipeline, candidate, constants)

        beside = [name for name in block.shape().members if name != "t"]
        m.d.comb += [
            self.o.valid.eq(pipeline.flag("valid", self.i.valid & last_beta, cycles=self.latency)),
            self.o.payload.label.eq(label_of(y, rules.format)),
            *(self.o.payload[name].eq(pipeline.register(name, block[name], cycles=self.latency)) for name in beside),
        ]
        if rules.format.beta_bits:
            m.d.comb += self.o.payload.beta.eq(index)
        return m

    def _all_at_once(
        self, pipeline: Pipeline, candidate: AddCandidate, constants: list[Const]
    ) -> tuple[list[Signal], Signal]:
        """The point and the index of the first candidate that does not overload, or of the last one."""
        units = [candidate(c, str(beta)) for c, beta in zip(constants, self.rules.format.betas, strict=True)]
        index: Value = Const(len(units) - 1, self.rules.format.beta_bits)
        for i in reversed(range(len(units) - 1)):
            index = Mux(units[i].overload, index, i)
        y: list[Value] = list(units[-1].y)
        for unit in reversed(units[:-1]):
            y = [Mux(unit.overload, b, a) for a, b in zip(unit.y, y, strict=True)]
        return pipeline.registers("y", y), pipeline.register("index", index)

    def _one_by_one(
        self, m: Module, pipeline: Pipeline, candidate: AddCandidate, constants: list[Const], last_beta: Signal
    ) -> tuple[list[Signal], Signal]:
        """The same, as the candidates of a block come by; valid with the last of them."""
        trial = Signal(range(len(constants)), name="trial")
        m.d.comb += last_beta.eq(trial == len(constants) - 1)
        with m.If(pipeline.advance & self.i.valid):
            m.d.sync += trial.eq(Mux(last_beta, 0, trial + 1))
        constant: Value = constants[-1]
        for i in reversed(range(len(constants) - 1)):
            constant = Mux(is_(trial, i), constants[i], constant)
        unit = candidate(constant, "any")
        arrived = pipeline.register("trial", trial, cycles=self.latency - 1)

        y = [Signal(lane.shape(), name=f"y_{i}", reset_less=True) for i, lane in enumerate(unit.y)]
        index, overload = Signal.like(trial, name="index", reset_less=True), Signal(reset_less=True)
        with m.If(pipeline.advance & (overload | is_(arrived, 0))):
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

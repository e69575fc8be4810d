"""The E8 decoder: a label in, the least-energy point of its coset out, one block per cycle.

The rule is `golden.lattice.soft_decode` on the bit planes of a label (`golden.voronoi`). Three facts make it small:

- the reliability |(r mod q) − q/2| of a coordinate and its hard decision are a few gates on the bits of r;
- within one pair type all four costs of turning a pair over have the same parity, since r mod 2 is a codeword: they
  are kept halved, and half of |a − b| is half of a + b, both rounded down, less min(a, b);
- the choice between the types needs only Σ ±min(a, b), since a + b and |a − b| differ by 2·min(a, b).
"""

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.errors import GossetError
from golden.format import Format
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword
from hw.design import Pipeline
from hw.streams import packed_block, point_block
from hw.units import unit_name
from hw.values import add, is_

PAIRS = DIM // 2


class Decoder(wiring.Component):
    """Decodes packed blocks.

    Latency `latency` cycles, one block per cycle. The pipeline moves as a whole: it holds while its last stage is
    full and `o` is not ready.

    Parameters
    ----------
    format : Format
    stages : tuple of int
        Which of the six steps end in a register; the last one always does. An FPGA wants all of them. In standard
        cells the six together take no longer than a lean cell, and flip-flops are most of a deep decoder's area.

    Members
    -------
    i : In(stream of label and beta)
    o : Out(stream of y, eight signed coordinates, and beta)

    Raises
    ------
    GossetError
        If the stages are not ascending numbers of steps, up to the last one.
    """

    LATENCY = 6
    """Steps, and the cycles of a decoder with a register after each."""

    ALL = tuple(range(1, LATENCY + 1))

    STAGES: Mapping[Pipeline, tuple[int, ...]] = {"deep": ALL, "lean": (LATENCY,)}
    """The stages of a design's decoders."""

    def __init__(self, format: Format, *, stages: tuple[int, ...] = ALL):
        if list(stages) != sorted(set(stages) & set(self.ALL)) or self.LATENCY not in stages:
            raise GossetError(f"A decoder's stages are steps from 1 to {self.LATENCY}, which it has, not {stages}.")
        self.format, self.stages, self.latency = format, stages, len(stages)
        self.unit = unit_name("decoder", format)
        if stages != self.ALL:
            self.unit += f"_stages{'_'.join(map(str, stages))}"
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(packed_block(format)))),
                "o": Out(stream.Signature(point_block(format))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Bit planes; pairs; costs of turning over; the cheapest pair per type; cost per type; choice of type."""
        m = Module()
        bits = self.format.m
        advance = Signal()
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance)]

        def register(name: str, value: Value) -> Signal:
            value = Value.cast(value)
            held = Signal(value.shape(), name=name, reset_less=True)
            if step in self.stages:
                with m.If(advance):
                    m.d.sync += held.eq(value)
            else:
                m.d.comb += held.eq(value)
            return held

        def registers(name: str, values: list[Value]) -> list[Signal]:
            return [register(f"{name}_{j}", value) for j, value in enumerate(values)]

        step = 1
        # 1: r from its bit planes, with hard decisions and reliabilities.
        label = self.i.payload.label
        bottom = codeword([label[i] for i in range(len(INFORMATION))])
        middle = [[label[8 * k - 4 + i] for k in range(1, bits)] for i in range(DIM)]
        top: list[Value] = [Const(0, 1)] * DIM
        for k, i in enumerate(REDUNDANT):
            top[i] = label[8 * bits - 4 + k]
        residue = [Cat(bottom[i], *middle[i]) for i in range(DIM)]
        hard = registers("hard", [top[i] ^ residue[i][-1] for i in range(DIM)])
        cost = registers("cost", [reliability(u) for u in residue])
        kept = registers("r_1", [Cat(residue[i], top[i]) for i in range(DIM)])
        if self.format.beta_bits:
            kept.append(register("beta_1", self.i.payload.beta))

        def keep(stage: int) -> None:
            kept[:] = [register(f"{value.name[:-1]}{stage}", value) for value in kept]

        step = 2
        # 2: each pair by itself.
        pairs = [(cost[2 * j], cost[2 * j + 1]) for j in range(PAIRS)]
        weak = registers("weak", [a < b for a, b in pairs])
        low = registers("low", [Mux(a < b, a, b) for a, b in pairs])
        both = registers("both", [(a + b)[1:] for a, b in pairs])
        parity = register("parity_2", cost[0][0] ^ cost[1][0])  # of a + b, the same for every pair
        odd = registers("odd", [hard[2 * j] ^ hard[2 * j + 1] for j in range(PAIRS)])
        first = registers("first", [hard[2 * j] for j in range(PAIRS)])
        keep(2)

        step = 3
        # 3: cost of turning each pair over, halved; the advantage of the even type, Σ ±low, as sums of two.
        gap = [(both[j] - low[j])[:bits] for j in range(PAIRS)]
        turn = [
            registers("turn_even", [Mux(odd[j], gap[j], both[j]) for j in range(PAIRS)]),
            registers("turn_odd", [Mux(odd[j], both[j], gap[j]) for j in range(PAIRS)]),
        ]
        base = registers("base", [first[j] ^ (odd[j] & weak[j]) for j in range(PAIRS)])
        weak = registers("weak_3", weak)
        # −x is ~x + 1: the ones of the four terms are the carries into the four adders.
        term = [Cat(low[j] ^ odd[j].replicate(bits), odd[j]).as_signed() for j in range(PAIRS)]
        left = register("left", add(term[0], term[1], odd[0]))
        right = register("right", add(term[2], term[3], odd[2]))
        carries = registers("carry", [odd[1], odd[3]])
        parity = register("parity_3", parity)
        keep(3)

        step = 4
        # 4: the pair of each type that is cheapest to turn over, and whether one has to be.
        least, index, uneven = [], [], []
        for t, kind in enumerate(("even", "odd")):
            lower, upper = turn[t][1] < turn[t][0], turn[t][3] < turn[t][2]
            a, b = Mux(lower, turn[t][1], turn[t][0]), Mux(upper, turn[t][3], turn[t][2])
            least.append(register(f"least_{kind}", Mux(b < a, b, a)))
            index.append(register(f"index_{kind}", Mux(b < a, Cat(upper, Const(1, 1)), Cat(lower, Const(0, 1)))))
            settled = base if t == 0 else [base[j] ^ weak[j] for j in range(PAIRS)]
            uneven.append(register(f"uneven_{kind}", Cat(settled).xor()))
        advantage = register("advantage", add(left, right, carries[0]))
        carry = register("carry_4", carries[1])
        base, weak = registers("base_4", base), registers("weak_4", weak)
        parity = register("parity_4", parity)
        keep(4)

        step = 5
        # 5: what the corrections cost, and the first bits of the pairs after them, for either type.
        price = [Cat(parity & uneven[t], least[t] & uneven[t].replicate(bits)) for t in (0, 1)]
        balance = register("balance", price[1] - price[0])
        advantage, carry = register("advantage_5", advantage), register("carry_5", carry)
        after = []
        for t, kind in enumerate(("even", "odd")):
            turned = [uneven[t] & is_(index[t], j) for j in range(PAIRS)]
            settled = base if t == 0 else [base[j] ^ weak[j] for j in range(PAIRS)]
            after.append(registers(f"after_{kind}", [settled[j] ^ turned[j] for j in range(PAIRS)]))
        keep(5)

        step = 6
        # 6: the cheaper type; where the codeword is one, the sign flips.
        is_odd = Signal()
        m.d.comb += is_odd.eq(add(advantage, balance, carry)[-1])
        y = self.o.payload.y
        for i in range(DIM):
            word = Mux(is_odd, after[1][i // 2], after[0][i // 2]) ^ (is_odd & (i % 2))
            flipped = register(f"y_{i}", Cat(kept[i][:bits], kept[i][bits] ^ word))
            m.d.comb += y[i].eq(flipped)
        if self.format.beta_bits:
            m.d.comb += self.o.payload.beta.eq(register("beta_6", kept[DIM]))

        filled = self.i.valid
        for stage in self.stages:
            before, filled = filled, Signal(name=f"valid_{stage}")
            with m.If(advance):
                m.d.sync += filled.eq(before)
        m.d.comb += self.o.valid.eq(filled)
        return m


def reliability(u: Value) -> Value:
    """|u − q/2| for u of m bits, without a carry chain: −u is u with the bits above its lowest one inverted."""
    low = [u[i] ^ (~u[-1] & u[:i].any()) for i in range(len(u) - 1)]
    return Cat(*low, ~u.any())

"""Two products of an inner product in one multiplication.

Two coordinates of a block make one operand, low − high·2^k. Where the low one of x meets the high one of w,

    (x0 − x1·2^k)·(w1 − w0·2^k) = x0·w1 − (x0·w0 + x1·w1)·2^k + x1·w0·2^2k,

the field in the middle is what the two coordinates add to −⟨x, w⟩. With k the bits of a coordinate of x and of one of w
together this is exact for all coordinates: x0·w1 has its sign in bit k − 1, and borrows one from the middle if it is
negative; with that one and without it the middle has k bits at most. (With plus signs it would not: the sum of two
products of four least coordinates is one too large.)
"""

from amaranth import Cat, Const, Module, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from hw.array.operands import PAIRS, Operand, inner_bits
from hw.units import place
from hw.values import add, register


class Pairing(wiring.Component):
    """Brings blocks into pairs, `Operand.in_pairs`, within the cycle.

    Parameters
    ----------
    operand : Operand
    low : int
        Which coordinate of each pair is the low one, 0 or 1: not the same for x and w.

    Members
    -------
    i : In(block)
    o : Out(block in pairs)
    """

    def __init__(self, operand: Operand, low: int):
        self.operand, self.low, self.unit = operand, low, f"pairing_{operand.name}_{low}"
        super().__init__({"i": In(operand.block), "o": Out(operand.in_pairs)})

    def elaborate(self, platform: object) -> Module:
        """What is above the low coordinate is −high, less the one that a negative low one borrows."""
        m = Module()
        for i in range(PAIRS):
            low, high = self.i.y[2 * i + self.low], self.i.y[2 * i + 1 - self.low]
            m.d.comb += [self.o.low[i].eq(low), self.o.high[i].eq(~high + ~low[-1])]
        if self.operand.factor_bits:
            m.d.comb += self.o.beta.eq(self.i.beta)
        return m


def multiplier_bits(sides: tuple[Operand, Operand]) -> tuple[int, int]:
    """Bits of the two operands of a multiplication, signed."""
    x, w = (side.point_bits for side in sides)
    return 2 * x + w + 1, x + 2 * w + 1


class Multiplier(wiring.Component):
    """The product of two signed numbers, between registers: latency `LATENCY` cycles.

    A module of its own, so that a flow can put a multiplier with its registers in its place.

    Parameters
    ----------
    bits : tuple of int
        Of the two numbers.

    Members
    -------
    a, b : In(signed)
    o : Out(signed)
    """

    LATENCY = 2

    def __init__(self, bits: tuple[int, int]):
        a, b = bits
        self.unit = f"multiplier_{a}_by_{b}"
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "o": Out(signed(a + b))})

    def elaborate(self, platform: object) -> Module:
        """The registers have no reset: a multiplier's own may have none."""
        m = Module()
        a, b = register(m, "a_held", self.a), register(m, "b_held", self.b)
        m.d.comb += self.o.eq(register(m, "product", a * b))
        return m


def inner_of_pairs(m: Module, platform: object, sides: tuple[Operand, Operand], x: View, w: View) -> Value:
    """⟨x, w⟩ of blocks in pairs, 4 cycles later; halved if quartered.

    Operands; products; sums of two; their sum.
    """
    shift = sides[0].point_bits + sides[1].point_bits
    middles, borrows = [], []
    for i in range(PAIRS):
        multiplier = Multiplier(multiplier_bits(sides))
        place(m, platform, f"multiplier_{i}", multiplier)
        for port, block in ((multiplier.a, x), (multiplier.b, w)):
            low = block.low[i]
            m.d.comb += port.eq(Cat(low, low[-1].replicate(shift - len(low)), block.high[i]))
        middles.append(multiplier.o[shift : 2 * shift].as_signed())
        borrows.append(multiplier.o[shift - 1])
    # There is one addition less than borrows to give back: the last one is given back with the change of sign.
    halved = 1 if sides[0].quartered else 0
    bits = inner_bits(*sides) + halved
    later = register(m, "borrows", Cat(borrows[1], borrows[3]))
    sums = [register(m, f"sum_{i}", add(middles[i], middles[i + 1], borrows[i])) for i in (0, 2)]
    last = register(m, "last_borrow", later[1])
    total = register(m, "sum", add(sums[0], sums[1], later[0])[:bits])
    return add(~total, Const(0, 1), ~last)[halved:bits]

"""NestQuant: a cell with its real multipliers, one as lean as integer ones allow, and its decoder.

Points of E8 in the D8 form are doubled, so that they are integers: all even or all odd, of six bits with q = 14.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout, View
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS
from hw.array.cell import square, times_beta
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.values import is_, register, wire

Q = 14
"""The nesting ratio of the paper."""

POINT = StructLayout({"y": ArrayLayout(signed(6), DIM), "beta": 2})
"""A doubled point, and which multiplier it takes."""

LABEL = StructLayout({"digits": ArrayLayout(4, DIM), "beta": 2})
"""Eight digits modulo 14, and which multiplier the point takes."""


@dataclass(frozen=True)
class NestQuantProduct(Arithmetic):
    """The authors' multipliers: real numbers, one set for weights and one for activations.

    acc = Σ b_x·b_w·⟨2x, 2w⟩ with b the authors' multipliers, those of weights times 2 (which is exact), and those of
    activations times 8, rounded. The products of two multipliers come from a table.
    """

    bits: int = 36
    """Of the accumulator."""

    BETAS_X = tuple(round(8 * beta) for beta in BETA0_ACTIVATIONS)
    BETAS_W = tuple(round(2 * beta) for beta in BETA0_WEIGHTS)

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return "nestquant"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return POINT

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.x

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return self.bits

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the inner product."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        # ‖2y‖² ≤ 4·q², the square of the covering radius 1 of E8 times 2q.
        inner = Heap(heap.m, 11)
        for i in range(DIM):
            inner.multiply(x.y[i], w.y[i])
        # A product of two multipliers is a table of sixteen entries.
        factors = [bx * bw for bw in self.BETAS_W for bx in self.BETAS_X]
        bits = max(factors).bit_length()
        choice = register(heap.m, "choice", Cat(x.beta, w.beta), cycles=self.stages)
        factor = wire(heap.m, "factor", Array(Const(number, bits) for number in factors)[choice])
        value = register(heap.m, "inner", wire(heap.m, "inner_now", inner.total()), cycles=self.stages)
        heap.multiply(value.as_signed(), factor)


@dataclass(frozen=True)
class IntegerNestQuant(Arithmetic):
    """NestQuant's code with integer multipliers and squares, as this project's cells have them.

    acc = Σ β·β·⟨2x, 2w⟩ / 4: norms of doubled points are multiples of 8, so that ⟨2x, 2w⟩ / 4 = n(x) + n(w) − n(x − w)
    with n(v) = ‖2v‖² / 8.

    Parameters
    ----------
    betas : tuple of int
    bits : int
        Of the accumulator.
    """

    betas: tuple[int, ...] = (3, 4, 5, 7)
    bits: int = 31

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"nestquant_beta{'_'.join(map(str, self.betas))}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return StructLayout(POINT.members | {"norm": (Q * Q // 2).bit_length()})

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.x

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return self.bits

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the inner product."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        inner = Heap(heap.m, (Q * Q).bit_length() + 1 + 3)
        inner.add(x.norm, 3)
        inner.add(w.norm, 3)
        for i in range(DIM):
            inner.subtract(square(wire(heap.m, "difference", x.y[i] - w.y[i])))
        value = wire(heap.m, "inner_now", inner.total()[3:])
        value = register(heap.m, "inner", value, cycles=self.stages).as_signed()
        for name, block in (("times_x", x), ("times_both", w)):
            beta = register(heap.m, f"{name}_beta", block.beta, cycles=self.stages)
            value = wire(heap.m, name, times_beta(value, beta, self.betas))
        heap.add(value)


class NestQuantDecoder(wiring.Component):
    """A label, eight digits modulo 14, to its doubled point: latency `LATENCY`, one block per cycle.

    y = G·c less 14 times the point of E8 nearest to y/14, by Conway and Sloane's search in both cosets of D8. In one
    cell of the D8 form, a coordinate's distances to its two coset's neighbours add up to a half: the choice needs only
    Σ |e|, and the least and the largest |e|, with e the distance to a half.

    Members
    -------
    i : In(LABEL); o : Out(POINT)
    """

    LATENCY = 2

    def __init__(self) -> None:
        self.unit = "rival_nestquant_decoder"
        super().__init__({"i": In(LABEL), "o": Out(POINT)})

    def elaborate(self, platform: object) -> Module:
        """The point; its remainders, a register; the nearest point, a register."""
        m = Module()
        c = [self.i.digits[i] for i in range(DIM)]
        # Doubled: G has the columns (2, 0, …), then −1 and 1 in neighbours, then all ½.
        doubled = [(c[i] << 1) + c[7] if 0 < i < 7 else c[7] for i in range(DIM)]
        doubled[0] = (c[0] << 2) + c[7]
        points = [doubled[i] - (c[i + 1] << 1) if i < 6 else doubled[i] for i in range(DIM)]
        odd, halves = Const(0, 1), []
        for i, point in enumerate(points):
            value = wire(m, f"point_{i}", point)
            # −26 … 65 = 28·k + r: with r from 0 to 27, e = r − 14 is the way from the half between two points.
            negative, second, third = value < 0, value >= 2 * Q, value >= 4 * Q
            k = Mux(negative, -1, Mux(third, 2, Mux(second, 1, 0)))
            halves.append(register(m, f"half_{i}", wire(m, f"half_now_{i}", (value - k * 2 * Q - Q)[:5].as_signed())))
            odd = odd ^ negative ^ (second & ~third)
        odd, beta = register(m, "odd", odd), register(m, "beta", self.i.beta)
        sizes = [wire(m, f"size_{i}", Mux(half < 0, -half, half)[:4]) for i, half in enumerate(halves)]
        above = [half > 0 for half in halves]
        # In D8 a coordinate rounds up above its half; in D8 + ½ it stays. The sum of either has to be even.
        odd_whole = wire(m, "odd_whole", sum((up.as_unsigned() for up in above), odd)[0])
        least, least_at = _extreme(m, "least", sizes, lambda a, b: a <= b)
        most, most_at = _extreme(m, "most", sizes, lambda a, b: a >= b)
        # (‖whole‖² − ‖middle‖²) / 28.
        gap = wire(
            m,
            "gap",
            4 * Q - sum(sizes[1:], sizes[0]) + (Mux(odd_whole, least, 0) << 1) - (Mux(odd, Q - most, 0) << 1),
        )
        for i, (half, up) in enumerate(zip(halves, above, strict=True)):
            turn = wire(m, f"turn_{i}", Mux(gap < 0, odd_whole & is_(least_at, i), odd & is_(most_at, i)))
            # e in D8 + ½, or e ∓ 14 in D8; the other neighbour is 28 further.
            whole = Mux(up ^ turn, half - Q, half + Q)
            middle = Mux(turn, Mux(up, half - 2 * Q, half + 2 * Q), half)
            m.d.sync += self.o.y[i].eq(Mux(gap < 0, whole, middle))
        m.d.sync += self.o.beta.eq(beta)
        return m


def _extreme(m: Module, name: str, values: list[Value], wins: Callable[[Value, Value], Value]) -> tuple[Value, Value]:
    """Of eight values the first that wins against all, and its number."""
    found = [(value, Const(i, 3)) for i, value in enumerate(values)]
    while len(found) > 1:
        pairs = []
        for (a, i), (b, j) in zip(found[::2], found[1::2], strict=True):
            first = wire(m, name, wins(a, b))
            pairs.append((wire(m, f"{name}_value", Mux(first, a, b)), wire(m, f"{name}_at", Mux(first, i, j))))
        found = pairs
    return found[0]

"""The dot-8 cell and the arithmetic it shares with the edge of the array.

An inner product of two blocks is taken from squares, ⟨x, w⟩ = (‖x‖² + ‖w‖² − ‖x − w‖²) / 2: the square of a five-bit
magnitude is a small table where a 5×5 product is a multiplier, and the norms are computed once per row and column, at
the edge. In Λ norms are multiples of 4 and inner products are even, so with n(v) = ‖v‖² / 4 the cell adds integers
only: ⟨x, w⟩ / 2 = n(x) + n(w) − n(x − w). Accumulators are kept halved too.

Source of the idea: Winograd, "A new algorithm for inner product", 1968, which trades multiplications for terms that
belong to one operand; that the lattice makes every term an integer is special to Λ.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.lattice import DIM
from hw.design import ACC_BITS
from hw.streams import delay, point_block
from hw.units import is_, unit_name


def norm_bits(format: Format) -> int:
    """Bits of n(y) = ‖y‖² / 4 of a decoded block."""
    return (format.norm_bound // 4).bit_length()


def operand(format: Format) -> StructLayout:
    """A decoded block with n(y), as the cells pass it on."""
    return StructLayout(point_block(format).members | {"norm": norm_bits(format)})


def square(value: Value) -> Value:
    """The square of a signed value other than its least, from a table of its magnitude."""
    width = len(value) - 1
    magnitude = Cat(value[i] ^ (value[-1] & value[:i].any()) for i in range(width))
    squares = [k * k for k in range(1 << width)]
    bits = []
    for j in range(2 * width):
        used = min(width, j + 1)  # bit j of k² depends on the bits of k up to j
        table = sum(((squares[k] >> j) & 1) << k for k in range(1 << used))
        bits.append(Const(table, 1 << used).bit_select(magnitude[:used], 1) if table else Const(0, 1))
    return Cat(bits)


def tree(values: list[Value]) -> Value:
    """The sum of a power of two of values, as a balanced tree."""
    while len(values) > 1:
        values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def signed_digits(number: int) -> list[tuple[int, int]]:
    """A positive number as the shortest sum of signed powers of two: (exponent, sign), the largest first."""
    digits, exponent = [], 0
    while number:
        if number & 1:
            sign = 2 - (number & 3)
            digits.append((exponent, sign))
            number -= sign
        number >>= 1
        exponent += 1
    return digits[::-1]


def times_beta(value: Value, index: Value | None, betas: tuple[int, ...]) -> Value:
    """value·β for the β of that index, as shifts and additions; signed, as wide as the largest β needs."""
    digits = [signed_digits(beta) for beta in betas]
    width = len(value) + max(betas).bit_length()

    def digit(place: int) -> tuple[Value, Value]:
        """What digit number `place` of β adds: a term, inverted if negative, and its carry."""
        term: Value = Const(0, signed(width))
        negative: Value = Const(0, 1)
        for i, number in enumerate(digits):
            chosen = Const(1, 1) if index is None else is_(index, i)
            if place < len(number):
                exponent, sign = number[place]
                shifted = (value << exponent).as_signed() if exponent else value
                extended = Cat(shifted, shifted[-1].replicate(max(0, width - len(shifted))))[:width].as_signed()
                term = Mux(chosen, extended if sign > 0 else ~extended, term)
                negative = Mux(chosen, Const(sign < 0, 1), negative)
        return term, negative

    total, _ = digit(0)  # the leading digit is positive
    for place in range(1, max(map(len, digits))):
        term, carry = digit(place)
        total = (Cat(Const(1, 1), total).as_signed() + Cat(carry, term).as_signed())[1 : width + 1].as_signed()
    return total


class SquaredNorm(wiring.Component):
    """Appends n(y) to decoded blocks: latency `LATENCY` cycles, one block per cycle, never stalls.

    Parameters
    ----------
    format : Format

    Members
    -------
    i : In(decoded block)
    o : Out(operand)
    """

    LATENCY = 3

    def __init__(self, format: Format):
        self.format, self.unit = format, unit_name("norm", format)
        super().__init__({"i": In(point_block(format)), "o": Out(operand(format))})

    def elaborate(self, platform: object) -> Module:
        """Squares; sums of four; the sum."""
        m = Module()
        # A coordinate may be −q, which has no magnitude in as many bits: one more.
        squares = []
        for i in range(DIM):
            held = Signal(2 * self.format.point_bits, name=f"square_{i}", reset_less=True)
            m.d.sync += held.eq(square(Cat(self.i.y[i], self.i.y[i][-1])))
            squares.append(held)
        halves = []
        for i in (0, 4):
            total = tree(squares[i : i + 4])
            held = Signal(total.shape(), name=f"sum_{i}", reset_less=True)
            m.d.sync += held.eq(total)
            halves.append(held)
        norm = Signal(norm_bits(self.format), reset_less=True)
        m.d.sync += norm.eq(tree(halves) >> 2)
        kept = Signal(point_block(self.format).size, name="block")
        m.d.comb += kept.eq(self.i.as_value())
        block = View(point_block(self.format), delay(m, kept, self.LATENCY, "block"))
        m.d.comb += self.o.norm.eq(norm)
        for field in point_block(self.format).members:
            m.d.comb += self.o[field].eq(block[field])
        return m


TOKEN = StructLayout({"valid": 1, "last": 1})
"""Travels with the blocks of a row: whether there is a block, and whether it is the last of its tile."""


def result(acc_bits: int = ACC_BITS) -> StructLayout:
    """A finished accumulator on its way out: half its value, and the parity of the tile's number."""
    return StructLayout({"half": signed(acc_bits - 1), "tile": 1})


class Cell(wiring.Component):
    """An output-stationary dot-8 cell: one block product per cycle into one accumulator.

    Passes its operands on after one cycle. `DEPTH` cycles after a block with token.last came in, the accumulator is
    copied to `o` and starts again from zero. In a cycle with `shift`, `o` takes what the cell above holds if that
    belongs to tile number `tile` (modulo 2): results move down behind the computation of the next tile.

    Parameters
    ----------
    format : Format

    Members
    -------
    x, token : In; x_next, token_next : Out
        Operand and token of the row, and the same one cycle later.
    w : In; w_next : Out
        Operand of the column, and the same one cycle later.
    shift, tile : In(1)
        Whether results move down, and of which tile.
    above : In(result); o : Out(result)
        What the cell above holds, and what this one does.
    """

    DEPTH = 7
    """Cycles from an operand at the input to the accumulator that has it."""

    def __init__(self, format: Format):
        self.format, self.unit = format, unit_name("cell", format)
        super().__init__(
            {
                "x": In(operand(format)),
                "x_next": Out(operand(format)),
                "token": In(TOKEN),
                "token_next": Out(TOKEN),
                "w": In(operand(format)),
                "w_next": Out(operand(format)),
                "shift": In(1),
                "tile": In(1),
                "above": In(result()),
                "o": Out(result()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Differences; squares; sums of four; their sum; inner product; times one β; times the other; accumulate."""
        m = Module()
        betas = self.format.betas

        def register(name: str, value: Value) -> Signal:
            held = Signal(Shape.cast(value.shape()), name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held

        x_next, w_next = (register(name, port.as_value()) for name, port in (("x_held", self.x), ("w_held", self.w)))
        token = Signal(TOKEN)
        m.d.sync += token.eq(self.token)
        m.d.comb += [
            self.x_next.as_value().eq(x_next),
            self.w_next.as_value().eq(w_next),
            self.token_next.eq(token),
        ]

        differences = [register(f"difference_{i}", self.x.y[i] - self.w.y[i]) for i in range(DIM)]
        squares = [register(f"square_{i}", square(value)) for i, value in enumerate(differences)]
        sums = [register(f"sum_{i}", tree(squares[i : i + 4])) for i in (0, 4)]
        distance = register("distance", (sums[0] + sums[1])[2:])
        norms = register("norms", self.x.norm + self.w.norm)
        # |⟨x, w⟩| ≤ 2q² for decoded blocks, twice the bound on n(y) when halved; and a sign.
        inner = register("inner", (delay(m, norms, 3, "norms") - distance)[: norm_bits(self.format) + 2].as_signed())
        chosen = []
        for name, port, cycles in (("x_beta", self.x, 5), ("w_beta", self.w, 6)):
            index = Signal(self.format.beta_bits, name=name)
            if self.format.beta_bits:
                m.d.comb += index.eq(port.beta)
            chosen.append(delay(m, index, cycles, name) if self.format.beta_bits else None)
        once = register("times_x_beta", times_beta(inner, chosen[0], betas))
        twice = register("times_both", times_beta(once, chosen[1], betas))

        arrived = Signal(2)
        m.d.comb += arrived.eq(self.token.as_value())
        at_sum = View(TOKEN, delay(m, arrived, self.DEPTH, "token", reset_less=False))
        half = Signal(signed(ACC_BITS - 1))
        total = Signal(signed(ACC_BITS - 1))
        parity = Signal()
        m.d.comb += total.eq(half + twice)
        finished = at_sum.valid & at_sum.last
        with m.If(at_sum.valid):
            m.d.sync += half.eq(Mux(at_sum.last, 0, total))
        with m.If(finished):
            m.d.sync += [self.o.half.eq(total), self.o.tile.eq(parity), parity.eq(~parity)]
        with m.Elif(self.shift & (self.above.tile == self.tile)):
            m.d.sync += self.o.eq(self.above)
        return m

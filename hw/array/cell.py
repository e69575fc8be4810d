"""The dot-8 cells and the arithmetic they share with the edge of the array.

A cell with multipliers takes inner products as `hw.array.pairs` says. In one without, an inner product of two blocks
is taken from squares, ⟨x, w⟩ = (‖x‖² + ‖w‖² − ‖x − w‖²) / 2: the square of a five-bit
magnitude is a small table where a 5×5 product is a multiplier, and the norms are computed once per row and column, at
the edge. In Λ norms are multiples of 4 and inner products are even, so with n(v) = ‖v‖² / 4 the cell adds integers
only: ⟨x, w⟩ / 2 = n(x) + n(w) − n(x − w), and accumulators are kept halved too. With int8 activations, whose digits
are no lattice points, n(v) = ‖v‖² and all numbers are kept whole.

Source of the idea: Winograd, "A new algorithm for inner product", 1968, which trades multiplications for terms that
belong to one operand; that the lattice makes every term an integer is special to Λ.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from golden.errors import GossetError
from golden.lattice import DIM
from hw.array.operands import Form, Operand, acc_bits, inner_bits
from hw.array.pairs import inner_of_pairs
from hw.values import add, is_, register


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
        total = add(total, term, carry)[:width].as_signed()
    return total


class SquaredNorm(wiring.Component):
    """Appends n(y) to blocks: latency `latency` cycles, one block per cycle, never stalls.

    Parameters
    ----------
    operand : Operand
    stages : tuple of int
        Which of the three steps end in a register; the last one always does. See `hw.codec.decoder.Decoder`.

    Members
    -------
    i : In(block)
    o : Out(block with its norm)
    """

    LATENCY = 3
    """Steps, and the cycles of one with a register after each."""

    ALL = tuple(range(1, LATENCY + 1))

    def __init__(self, operand: Operand, *, stages: tuple[int, ...] = ALL):
        if list(stages) != sorted(set(stages) & set(self.ALL)) or self.LATENCY not in stages:
            raise GossetError(f"A norm's stages are steps from 1 to {self.LATENCY}, which it has, not {stages}.")
        self.operand, self.stages, self.latency = operand, stages, len(stages)
        self.unit = f"norm_{operand.name}"
        if stages != self.ALL:
            self.unit += f"_stages{'_'.join(map(str, stages))}"
        super().__init__({"i": In(operand.block), "o": Out(operand.with_norm)})

    def elaborate(self, platform: object) -> Module:
        """Squares; sums of four; the sum."""
        m = Module()
        # A coordinate may be −q, which has no magnitude in as many bits: one more.
        squares = []
        for i in range(DIM):
            held = Signal(2 * self.operand.point_bits, name=f"square_{i}", reset_less=True)
            m.d[self._domain(1)] += held.eq(square(Cat(self.i.y[i], self.i.y[i][-1])))
            squares.append(held)
        halves = []
        for i in (0, 4):
            total = tree(squares[i : i + 4])
            held = Signal(total.shape(), name=f"sum_{i}", reset_less=True)
            m.d[self._domain(2)] += held.eq(total)
            halves.append(held)
        norm = Signal(self.operand.norm_bits, reset_less=True)
        m.d.sync += norm.eq(tree(halves) >> (2 if self.operand.quartered else 0))
        block = View(self.operand.block, register(m, "block", self.i.as_value(), cycles=self.latency))
        m.d.comb += self.o.norm.eq(norm)
        for field in self.operand.block.members:
            m.d.comb += self.o[field].eq(block[field])
        return m

    def _domain(self, step: int) -> str:
        return "sync" if step in self.stages else "comb"


PRODUCT_LATENCY = 7
"""Cycles from two blocks to what they add to an accumulator."""


def inner_of_squares(m: Module, sides: tuple[Operand, Operand], x: View, w: View) -> Value:
    """⟨x, w⟩ of blocks with norms, 4 cycles later; halved if quartered.

    Differences; squares; sums of four; their sum.
    """
    quartered = sides[0].quartered
    differences = [register(m, f"difference_{i}", x.y[i] - w.y[i]) for i in range(DIM)]
    squares = [register(m, f"square_{i}", square(value)) for i, value in enumerate(differences)]
    sums = [register(m, f"sum_{i}", tree(squares[i : i + 4])) for i in (0, 4)]
    distance = register(m, "distance", (sums[0] + sums[1])[2 if quartered else 0 :])
    norms = register(m, "norms", x.norm + w.norm, cycles=4)
    return (norms - distance)[0 if quartered else 1 :][: inner_bits(*sides)]


def product(m: Module, platform: object, sides: tuple[Operand, Operand], x: View, w: View, *, multiply: bool) -> Signal:
    """factor·factor·⟨x, w⟩, halved if quartered, `PRODUCT_LATENCY` cycles later.

    Four cycles to the inner product; its register; times one factor; times the other.
    """
    inner = inner_of_pairs(m, platform, sides, x, w) if multiply else inner_of_squares(m, sides, x, w)
    value = register(m, "inner", inner.as_signed())
    for name, side, block, cycles in (("times_x", sides[0], x, 5), ("times_both", sides[1], w, 6)):
        index = register(m, f"{name}_index", block.beta, cycles=cycles) if side.factor_bits else None
        value = register(m, name, times_beta(value, index, side.factors))
    return value


def whole(value: Value, operand: Operand) -> Value:
    """An accumulator as the outside sees it, from how the cells keep it."""
    return Cat(Const(0, 1), value).as_signed() if operand.quartered else value


TOKEN = StructLayout({"valid": 1, "last": 1})
"""Travels with the blocks of a row: whether there is a block, and whether it is the last of its tile."""


def result(bits: int) -> StructLayout:
    """A finished accumulator of so many bits on its way out, and the parity of the tile's number."""
    return StructLayout({"acc": signed(bits), "tile": 1})


class Cell(wiring.Component):
    """An output-stationary dot-8 cell: one block product per cycle into one accumulator.

    Passes its operands on after one cycle. `depth` cycles after a block with token.last came in, the accumulator is
    copied to `o` and starts again from zero. In a cycle with `shift`, `o` takes what the cell above holds if that
    belongs to tile number `tile` (modulo 2): results move down behind the computation of the next tile.

    Parameters
    ----------
    x, w : Operand
    multiply : bool
        Whether it takes products from multipliers, and its operands in pairs; or else from squares, with norms.

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

    Attributes
    ----------
    depth : int
        Cycles from an operand at the input to the accumulator that has it.
    """

    def __init__(self, x: Operand, w: Operand, *, multiply: bool = False):
        self.sides, self.multiply, self.depth = (x, w), multiply, PRODUCT_LATENCY
        self.form: Form = "pairs" if multiply else "norm"
        self.unit = f"{'dsp_' if multiply else ''}cell_{x.name}_by_{w.name}"
        x_in, w_in = (side.layout(self.form) for side in self.sides)
        out = result(acc_bits(x))
        super().__init__(
            {
                "x": In(x_in),
                "x_next": Out(x_in),
                "token": In(TOKEN),
                "token_next": Out(TOKEN),
                "w": In(w_in),
                "w_next": Out(w_in),
                "shift": In(1),
                "tile": In(1),
                "above": In(out),
                "o": Out(out),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The product; the accumulator; the way out."""
        m = Module()
        token = Signal(TOKEN)
        m.d.sync += token.eq(self.token)
        m.d.comb += [
            self.x_next.as_value().eq(register(m, "x_held", self.x.as_value())),
            self.w_next.as_value().eq(register(m, "w_held", self.w.as_value())),
            self.token_next.eq(token),
        ]

        at_sum = View(TOKEN, register(m, "token", self.token.as_value(), cycles=self.depth, reset_less=False))
        acc = Signal(signed(acc_bits(self.sides[0])))
        total = Signal.like(acc)
        parity = Signal()
        m.d.comb += total.eq(acc + product(m, platform, self.sides, self.x, self.w, multiply=self.multiply))
        finished = at_sum.valid & at_sum.last
        out = Signal(self.o.shape(), reset_less=True)
        m.d.comb += self.o.eq(out)
        with m.If(at_sum.valid):
            m.d.sync += acc.eq(total)
        with m.If(finished):  # zero like after a reset: the register's own, where there is one, instead of gates
            m.d.sync += [acc.eq(0), out.acc.eq(total), out.tile.eq(parity), parity.eq(~parity)]
        with m.Elif(self.shift & (self.above.tile == self.tile)):
            m.d.sync += out.eq(self.above)
        return m


class WeightKeeper(wiring.Component):
    """What all weight-stationary dot-8 cells are: they add the product of a passing block and their weight to a passing
    sum.

    Weights travel down the column, each with the number of cells that it still has to pass; the cell where that is
    zero keeps it, beside the weight in use. `swap` puts the kept weight in use from the next cycle on.

    Parameters
    ----------
    x, w : StructLayout
        What it takes of a row and of a column.
    hops : int
        The largest number of cells that a weight passes.
    bits : int
        Of a sum, signed.
    latency : int
        Cycles from a block to what it adds.

    Members
    -------
    x, swap : In; x_next, swap_next : Out
        Operand and swap of the row, and the same one cycle later. A swap is one cycle ahead of the first block that it
        is for.
    w, load : In; w_next, load_next : Out
        A weight and its way to go, and the same one cycle later with one cell less to pass.
    above : In(signed); o : Out(signed)
        The sum from above, of the same block number as the x of `latency` cycles ago; and one cycle later the sum with
        this cell's product.
    """

    def __init__(self, x: StructLayout, w: StructLayout, hops: int, bits: int, latency: int):
        self.latency = latency
        load, total = StructLayout({"valid": 1, "hops": range(hops + 1)}), signed(bits)
        super().__init__(
            {
                "x": In(x),
                "x_next": Out(x),
                "swap": In(1),
                "swap_next": Out(1),
                "w": In(w),
                "w_next": Out(w),
                "load": In(load),
                "load_next": Out(load),
                "above": In(total),
                "o": Out(total),
            }
        )

    def keep(self, m: Module) -> View:
        """Has all pass that goes on to other cells; the weight in use."""
        kept = Signal(self.w.shape(), reset_less=True)
        used = Signal(self.w.shape(), reset_less=True)
        here = Signal()
        m.d.comb += here.eq(~self.load.hops.any() if len(self.load.hops) else 1)
        with m.If(self.load.valid & here):
            m.d.sync += kept.eq(self.w)
        with m.If(self.swap):
            m.d.sync += used.eq(kept)
        valid = Signal(reset_less=True)
        hops = Signal.like(self.load.hops, reset_less=True)
        m.d.sync += [valid.eq(self.load.valid & ~here), hops.eq(self.load.hops - 1)]
        m.d.comb += [
            self.x_next.as_value().eq(register(m, "x_held", self.x.as_value())),
            self.w_next.as_value().eq(register(m, "w_held", self.w.as_value())),
            self.load_next.valid.eq(valid),
            self.load_next.hops.eq(hops),
            self.swap_next.eq(register(m, "swap_held", self.swap)),
        ]
        return used


class StationaryCell(WeightKeeper):
    """A weight-stationary cell with the products of `Cell`.

    Parameters
    ----------
    x, w : Operand
    hops : int
        As of `WeightKeeper`.
    multiply : bool
        As of `Cell`.
    """

    def __init__(self, x: Operand, w: Operand, hops: int, *, multiply: bool = False):
        self.sides, self.multiply = (x, w), multiply
        self.form: Form = "pairs" if multiply else "norm"
        self.unit = f"stationary_{'dsp_' if multiply else ''}cell_{x.name}_by_{w.name}_{hops}"
        super().__init__(x.layout(self.form), w.layout(self.form), hops, acc_bits(x), PRODUCT_LATENCY)

    def elaborate(self, platform: object) -> Module:
        """The weights; the product; the sum."""
        m = Module()
        used = self.keep(m)
        added = product(m, platform, self.sides, self.x, used, multiply=self.multiply)
        m.d.comb += self.o.eq(register(m, "sum", (self.above + added)[: len(self.o)].as_signed()))
        return m

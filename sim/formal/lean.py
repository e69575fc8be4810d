"""Claims on lean cells, whose inner product is one carry-save tree: it is proved adder by adder.

The tree is made a second time, by the same `hw.array.heap.Heap` but of wires that a proof knows by name, and the
cell's inner product is proved to be its sum. Of this one each adder is proved to keep the sum of its bits, and the bits
of each of the eight products to add up to it. That the whole is ⟨x, w⟩ follows by linear arithmetic.
"""

from functools import partial
from itertools import chain

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import Fragment

from golden.format import Format
from golden.lattice import DIM
from hw.array.cell import tree
from hw.array.heap import Heap
from hw.array.lean import DotCell
from hw.array.operands import Operand, acc_bits, inner_bits, packed_operand
from hw.array.products import Products
from sim.formal.arithmetic import Implication, total
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Window
from sim.formal.products import Sides, balance, factor, fields, in_lattice, with_int8

RATES = (4, 8, 16)
"""The q whose cells are too large to be proved at once."""

INT8_RATES = (2, 4, 8, 16)
"""The q of the weights where activations are int8 as well."""

Bit = tuple[int, str]
"""A weight, as a power of two, and the name of a bit."""


class Tree(Heap):
    """The sum of eight products, with a name for each of its bits.

    Parameters
    ----------
    m : Module
    sides : pair of Operand
    x, w : list of Value
        Eight coordinates each.

    Attributes
    ----------
    value : Value
        The sum, signed.
    bits : dict of str to Value
    terms : list
        Of each product its bits, with their weights.
    constants : list of int
        What there is in each product besides.
    adders : list
        Of each the names of its three bits, and of what it makes of them: their sum, and the carry if there is one.
    left : list
        The bits that no adder takes, with their weights.
    """

    def __init__(self, m: Module, sides: Sides, x: list[Value], w: list[Value]):
        super().__init__(m, inner_bits(*sides) + sides[0].quartered)
        self.bits: dict[str, Value] = {"0": Const(0, 1), "1": Const(1, 1)}
        self.terms: list[list[Bit]] = []
        self.constants: list[int] = []
        self.adders: list[tuple[list[str], list[str]]] = []
        for a, b in zip(x, w, strict=True):
            self.terms.append([])
            self.constants.append(0)
            self.multiply(a, b)
        ones = [(i, "1") for i in range(self.width) if sum(self.constants) >> i & 1]
        self.left = [*chain(*self.terms), *ones]
        first, second = self.rows()
        self.value = (first + second)[: self.width].as_signed()

    def put(self, value: Value, weight: int) -> None:
        """A term."""
        self.terms[-1].append((weight, self._named("t", value)))
        super().put(value, weight)

    def constant(self, number: int) -> None:
        """A constant."""
        self.constants[-1] += number
        super().constant(number)

    def adder(self, weight: int, a: Value, b: Value, c: Value) -> list[Value]:
        """An adder."""
        made = super().adder(weight, a, b, c)
        taken = [self._name(bit) for bit in (a, b, c)]
        given = [self._named(kind, bit) for kind, bit in zip("sc", made, strict=False)]
        self.adders.append((taken, given))
        for name in taken:
            if name != "0":
                self.left.remove((weight, name))
        self.left += [(weight + i, name) for i, name in enumerate(given)]
        return made

    def _named(self, kind: str, bit: Value) -> str:
        name = f"{kind}{len(self.bits)}"
        self.bits[name] = bit
        return name

    def _name(self, bit: Value) -> str:
        """The name of a bit that has one already, or is a constant."""
        if isinstance(bit, Const):
            return str(bit.value)
        return next(name for name, known in self.bits.items() if known is bit)


def terms(sides: Sides, h: Harness) -> None:
    """From the blocks in a cell's registers to the register of their inner product; and what holds of any two."""
    dut = h.place(DotCell(Products(sides, acc_bits(sides[0]))))
    (x, *_), (w, *_) = (fields(side, block) for side, block in zip(sides, (dut.x_next, dut.w_next), strict=True))
    made, t = Tree(h.m, sides, x, w), balance(sides)
    n, bits = made.width, made.bits
    h.prove("blocks are held", Cat(dut.x_next, dut.w_next) == h.past(Cat(dut.x, dut.w)))
    h.prove("the inner product is the tree's", h.probe("dut.core.inner") == h.past(made.value[sides[0].quartered :]))
    h.prove("the tree adds up what its adders leave", (made.value - _weighed(made, made.left))[:n] == 0)
    for k, (taken, given) in enumerate(made.adders):
        kept = sum((bits[name] for name in taken), Const(0))[: len(given)]
        h.prove(f"adder {k}", kept == Cat(bits[name] for name in given))
    for i, (its, constant) in enumerate(zip(made.terms, made.constants, strict=True)):
        h.prove(f"product {i}", (x[i] * w[i] - _weighed(made, its) - constant)[:n] == 0)
    squares, twice = x[0] * x[0] + t * t * w[0] * w[0], 2 * t * x[0] * w[0]
    h.prove("(a ± tb)² ≥ 0 of any two coordinates", (squares + twice >= 0) & (squares - twice >= 0))
    h.cover("least coordinates", Cat(value == -(1 << (len(value) - 1)) for value in (*x, *w)).all())


def added(sides: Sides, h: Harness) -> None:
    """From the register of the inner product to the accumulator and the way out."""
    width = acc_bits(sides[0])
    dut = h.place(DotCell(Products(sides, width)))
    inner, acc, fresh = (h.probe(f"dut.core.{name}") for name in ("inner", "acc_0", "fresh"))
    token = h.probe("dut.core.token_at_sum")
    valid, last = token[0], token[1]
    value = inner.as_signed()
    for name, side, block in zip(("times_x", "times_both"), sides, (dut.x_next, dut.w_next), strict=True):
        index = h.probe(f"dut.core.{name}_beta")
        h.assume(index < len(side.factors))
        h.prove(f"the index of {name} comes along", index == h.past(fields(side, block)[1]))
        value = h.wire(value * factor(side, index)).as_signed()
    h.prove("the token comes along", (token == h.past(dut.token_next)) & (dut.token_next == h.past(dut.token)))
    sum_ = h.wire((Mux(fresh, 0, acc.as_signed()) + value)[:width])
    h.prove("it is added", acc == h.past(Mux(valid, sum_, acc)))
    h.prove("after the last one a sum begins anew", fresh == h.past(Mux(valid, last, fresh)))
    h.prove("with the last one it goes out", ~h.past(valid & last) | (dut.o[:width] == h.past(sum_)))
    h.cover("the end of a tile of one block", h.past(valid & last & fresh))


def alone(side: Operand, h: Harness) -> None:
    """Two tiles of one block each, one after the other: what comes out of the second is its product alone."""
    bits = acc_bits(side)
    dut = h.place(DotCell(Products((side, side), bits)))
    (x, by_x, _), (w, by_w, _) = fields(side, dut.x), fields(side, dut.w)
    bound = [h.wire(tree([v * v for v in y])) <= side.norm_bound for y in (x, w)]
    ends = dut.token == 0b11
    second = h.past(ends & h.past(ends) & in_lattice(x) & in_lattice(w) & bound[0] & bound[1], 3)
    inner = h.wire(tree([a * b for a, b in zip(x, w, strict=True)]) >> 1)
    h.prove(
        "it is the product",
        ~second | (dut.o[:bits].as_signed() == h.past(inner * factor(side, by_x) * factor(side, by_w), 3)),
    )
    h.cover("a product of two least coordinates", second & h.past((x[0] == -2) & (w[0] == -2), 3))


def _weighed(made: Tree, bits: list[Bit]) -> Value:
    return sum((made.bits[name] << weight for weight, name in bits), Const(0))


def _follows(name: str, sentence: str, sides: Sides) -> Implication:
    """The sum of the tree, in integers."""
    coordinates = [[Signal(signed(side.point_bits)) for _ in range(DIM)] for side in sides]
    m = Module()
    made, t = Tree(m, sides, *coordinates), balance(sides)
    Fragment.get(m, None)  # of which only the names are taken
    modulus, whole = 1 << made.width, total(f"xw{i}" for i in range(DIM))

    def weighed(bits: list[Bit], wrapped: str) -> str:
        """A sum of bits, but for a multiple of the modulus."""
        return total([*(f"(* {1 << weight} {name})" for weight, name in bits), f"(* {modulus} {wrapped})"])

    facts = {}
    for k, (taken, given) in enumerate(made.adders):
        made_of = f"(+ {given[0]} (* 2 {given[1] if given[1:] else f'dropped{k}'}))"
        facts[f"adder {k}"] = f"(= {total(taken)} {made_of})"
    for i, (bits, constant) in enumerate(zip(made.terms, made.constants, strict=True)):
        facts[f"product {i}"] = f"(= xw{i} (+ {constant % modulus} {weighed(bits, f'wrapped{i}')}))"
        for sign in "+-":
            square = f"(+ xx{i} (* {t * t} ww{i}))"
            facts[f"coordinate {i} of ‖x {sign} {t}w‖² ≥ 0"] = f"(>= ({sign} {square} (* {2 * t} xw{i})) 0)"
    for y, side in zip("xw", sides, strict=True):
        facts[f"‖{y}‖² ≤ {side.norm_bound}"] = f"(<= {total(f'{y}{y}{i}' for i in range(DIM))} {side.norm_bound})"
    facts["what the tree adds up"] = f"(= sum {weighed(made.left, 'wrapped')})"
    facts["the bits of its sum"] = f"(and (>= sum (- {modulus // 2})) (< sum {modulus // 2}))"
    if sides[0].quartered:
        facts["⟨x, w⟩ is even"] = f"(= (* 2 half) {whole})"
        facts["the sum is halved"] = "(and (<= (* 2 inner) sum) (< sum (+ (* 2 inner) 2)))"
    else:
        facts["the sum is kept whole"] = "(= inner sum)"
    return Implication(name, sentence, facts, f"(= inner {'half' if sides[0].quartered else whole})", "adder 7")


def claims() -> list[Claim | Implication]:
    """All of them."""
    found: list[Claim | Implication] = [
        Claim(
            "cell_lean_q2",
            "The lean cell of q = 2 adds β·β·⟨x, w⟩/2 to its accumulator for any two points of Λ with ‖x‖², "
            "‖w‖² ≤ 2q².",
            partial(alone, packed_operand(Format(2))),
            Window(4),
            Bug("an inner product is inverted", r"^( *inner <= )(.*);", r"\1~\2;"),
        )
    ]
    for q in RATES:
        side, bound = packed_operand(Format(q)), Format(q).norm_bound
        follows = (
            f"From cell_lean_q{q}_terms and cell_lean_q{q}_sum, and that ⟨x, w⟩ is even (cell_squares_q{q}_terms), "
            f"follows: of any two points of Λ with ‖x‖², ‖w‖² ≤ 2q² = {bound} the lean cell adds β·β·⟨x, w⟩/2 to its "
            "accumulator."
        )
        found += _stages(f"cell_lean_q{q}", f"The lean cell of q = {q}", follows, (side, side))
    for q in INT8_RATES:
        x, w = sides = with_int8(q)
        follows = (
            f"From cell_lean_int8_q{q}_terms and cell_lean_int8_q{q}_sum follows: of any two blocks with ‖x‖² ≤ "
            f"{x.norm_bound} and ‖w‖² ≤ 2q² = {w.norm_bound} the lean cell adds f·β·⟨x, w⟩ to its accumulator, f being "
            "16 for high digits of int8, 1 for low ones, and β for points of Λ."
        )
        cell = f"The lean cell of q = {q} whose activations are int8 as well"
        found += _stages(f"cell_lean_int8_q{q}", cell, follows, sides)
    return found


def _stages(name: str, cell: str, follows: str, sides: Sides) -> list[Claim | Implication]:
    width = inner_bits(*sides) + sides[0].quartered
    return [
        Claim(
            f"{name}_terms",
            f"{cell} sums up two blocks like a tree of adders that the same generator makes, modulo 2^{width}. Each "
            "adder of the tree keeps the sum of its bits, and the bits of each of the eight products add up to it: "
            "whatever the registers and inputs hold.",
            partial(terms, sides),
            Window(1),
            Bug("a bit of a product is one if either of its two is", r"(x_held\[0\]) & ", r"\1 | "),
        ),
        Claim(
            f"{name}_sum",
            f"{cell} multiplies what it has summed up by the factors of x and w, and adds that to its accumulator, "
            "or to zero at the beginning of a tile; at a tile's end it gives the sum: whatever the registers hold.",
            partial(added, sides),
            Window(1),
            Bug("sums never begin anew", r"fresh <= .*;", "fresh <= 1'h0;"),
        ),
        _follows(name, follows, sides),
    ]

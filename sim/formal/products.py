"""Claims on what cells add to their accumulators: β·β·⟨x, w⟩ of every two blocks, by stages, and what follows of them.

No solver sees through a sum of eight products at once. It does see what every register takes from those before it, for
whatever these hold; that it adds up to the product follows from these stages by linear arithmetic.
"""

from functools import partial
from typing import Any

from amaranth import Cat, Const, Mux, Value

from golden.format import Format
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword
from golden.matmul import MAX_ACCUMULATOR, max_columns
from hw.array.cell import Cell, SquaredNorm, tree
from hw.array.operands import PAIRS, Operand, acc_bits, inner_bits, packed_operand
from hw.array.pairs import Pairing
from sim.formal.arithmetic import Implication, total
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness, lanes
from sim.formal.methods import Window

RATES = (2, 4, 8, 16)
"""The q of the cells that are looked at."""


def claims() -> list[Claim | Implication]:
    """All of them."""
    found: list[Claim | Implication] = []
    for q in RATES:
        side, what = packed_operand(Format(q)), f"q = {q}, for all that its registers and inputs may hold"
        found += [
            Claim(
                f"norm_q{q}",
                f"The unit of norms takes ‖y‖²/4, rounded down, of all eight coordinates y: {what}.",
                partial(norm, side),
                Window(SquaredNorm.LATENCY),
                Bug("a coordinate is counted twice", "square_4 \\+ square_5", "square_4 + square_4"),
            ),
            Claim(
                f"cell_squares_q{q}_terms",
                f"The cell without multipliers takes the eight (x − w)² and the sum of the norms: {what}. "
                "Of points of Λ ⟨x, w⟩ is even.",
                partial(squares, side),
                Window(2),
                Bug("a coordinate of x is taken for one of w", *_swapped("-")),
            ),
            Claim(
                f"cell_squares_q{q}_sum",
                f"The cell without multipliers adds β·β·(n(x) + n(w) − Σ (x − w)²/4) to its accumulator: {what}.",
                partial(sum_of_squares, side),
                Window(6),
                Bug("the distance is added", "norms_d3 - distance", "norms_d3 + distance"),
            ),
            Claim(
                f"cell_pairs_q{q}_terms",
                f"The cell with multipliers multiplies (x − x'·2^k)·(w' − w·2^k) for each pair of coordinates, "
                f"k = {2 * side.point_bits}: {what}.",
                partial(products, side),
                Window(2),
                Bug("the numbers of a product are added", r"= \$signed\(a_held\) \* ", "= $signed(a_held) + "),
            ),
            Claim(
                f"cell_pairs_q{q}_sum",
                f"The cell with multipliers adds −β·β·(the sum of the four fields)/2 to its accumulator: {what}.",
                partial(sum_of_products, side),
                Window(6),
                Bug("a borrow is not given back", r"~ last_borrow", "last_borrow"),
            ),
            _field(q, side),
            _follows(q, side, "squares"),
            _follows(q, side, "pairs"),
            _never_overflows(q),
        ]
    return found


def _swapped(sign: str) -> tuple[str, str]:
    return rf"= \$signed\((x\[\d+:0\])\) {sign} \$signed\(w\[\d+:0\]\)", rf"= $signed(\1) {sign} $signed(\1)"


def norm(side: Operand, h: Harness) -> None:
    """Squares of the coordinates; the sum of what the registers of squares hold."""
    dut = h.place(SquaredNorm(side))
    y, *_ = fields(side, dut.i)
    square = [h.probe(f"dut.core.square_{i}") for i in range(DIM)]
    for i in range(DIM):
        h.prove(f"square {i}", square[i] == h.past(y[i] * y[i]))
    later = (tree(square) >> 2)[: side.norm_bits]
    h.prove("the sum of the squares is the norm", dut.o[-side.norm_bits :] == h.past(later, 2))
    h.prove("the block comes with it", dut.o[: -side.norm_bits] == h.past(dut.i, SquaredNorm.LATENCY))
    h.cover("norms of 2q²", dut.o[-side.norm_bits :] == side.norm_bound // 4)


def squares(side: Operand, h: Harness) -> None:
    """Two cycles from the inputs to the squares; and what holds of any two coordinates."""
    dut = h.place(Cell(side, side))
    (x, _, nx), (w, _, nw) = fields(side, dut.x), fields(side, dut.w)
    for i, (a, b) in enumerate(zip(x, w, strict=True)):
        h.prove(f"square {i}", h.probe(f"dut.core.square_{i}") == h.past((a - b) * (a - b), 2))
    any_two(h, x[0], w[0])
    h.prove("the norms are added", h.probe("dut.core.norms_d1") == h.past(nx + nw, 2))
    odd = Cat(a[0] & b[0] for a, b in zip(x, w, strict=True)).xor()
    h.prove("⟨x, w⟩ is even", ~(in_lattice(x) & in_lattice(w) & odd))
    h.cover("points of Λ", in_lattice(x) & in_lattice(w))


def sum_of_squares(side: Operand, h: Harness) -> None:
    """From the registers of squares on."""
    dut = h.place(Cell(side, side))
    square = [h.probe(f"dut.core.square_{i}") for i in range(DIM)]
    inner = (h.probe("dut.core.norms_d1") - (tree(square) >> 2))[: inner_bits(side, side)].as_signed()
    _accumulated(side, h, dut, inner)


def products(side: Operand, h: Harness) -> None:
    """From blocks to the numbers that are multiplied, and on to their products."""
    x_pairs, w_pairs = h.place(Pairing(side, 0), "x_pairs"), h.place(Pairing(side, 1), "w_pairs")
    h.place(Cell(side, side, multiply=True), x=x_pairs.o, w=w_pairs.o)
    (x, *_), (w, *_) = fields(side, x_pairs.i), fields(side, w_pairs.i)
    shift = 2 * side.point_bits
    for i in range(PAIRS):
        j, k = 2 * i, 2 * i + 1
        a, b = (h.probe(f"dut.core.multiplier_{i}.{name}_held").as_signed() for name in "ab")
        h.prove(f"the number of x of pair {i}", a == h.past(x[j] - (x[k] << shift)))
        h.prove(f"the number of w of pair {i}", b == h.past(w[k] - (w[j] << shift)))
        product = h.probe(f"dut.core.multiplier_{i}.o", 2 * len(a)).as_signed()
        h.prove(f"the product of pair {i}", product == h.past(a * b))
    any_two(h, x[0], w[0])
    most, least = 1 << (shift - 2), 1 << (side.point_bits - 1)
    h.prove("bounds of a product", (x[0] * w[0] <= most) & (x[0] * w[0] >= least - most))
    h.prove("of two products, 2^(k−1)", (x[0] * w[0] + x[1] * w[1] < 2 * most) | (x[0] * w[1] >= 0))
    h.cover("least coordinates", Cat(v == -(1 << (side.point_bits - 1)) for v in (*x[:2], *w[:2])).all())


def sum_of_products(side: Operand, h: Harness) -> None:
    """From the registers of products on."""
    dut = h.place(Cell(side, side, multiply=True))
    inner = (-tree(_middles(side, h)) >> 1)[: inner_bits(side, side)].as_signed()
    _accumulated(side, h, dut, inner)


def fields(side: Operand, block: Value) -> tuple[list[Value], Value, Value]:
    """The coordinates of a block, the index of its factor, and what it has besides."""
    n, k = side.point_bits * DIM, side.factor_bits
    return lanes(block, side.point_bits), block[n : n + k], block[n + k :]


def in_lattice(y: list[Value]) -> Value:
    """Whether coordinates are those of a point of Λ."""
    word = codeword([y[i][0] for i in INFORMATION])
    return Cat(word[i] == y[i][0] for i in REDUNDANT).all()


def any_two(h: Harness, a: Value, b: Value) -> None:
    """What holds of any two numbers, and the arithmetic of products rests on."""
    h.prove("(a − b)² = a² + b² − 2ab", (a - b) * (a - b) == a * a + b * b - 2 * a * b)
    h.prove("a² + b² + 2ab ≥ 0", a * a + b * b + 2 * a * b >= 0)


def _middles(side: Operand, h: Harness) -> list[Value]:
    """The fields of the four products, with the one that each has borrowed."""
    shift = 2 * side.point_bits
    bits = [h.probe(f"dut.core.multiplier_{i}.o", 2 * (3 * side.point_bits + 1)) for i in range(PAIRS)]
    return [value[shift : 2 * shift].as_signed() + value[shift - 1] for value in bits]


def factor(side: Operand, index: Value) -> Value:
    """What a block is multiplied by, of its index."""
    value: Value = Const(side.factors[0])
    for i, number in enumerate(side.factors):
        value = Mux(index == i, number, value)
    return value


def _accumulated(side: Operand, h: Harness, dut: Any, inner: Value) -> None:
    """What becomes of an inner product that is in the registers of the third cycle before it is added."""
    probe, bits = h.probe, acc_bits(side)
    by_x, by_w = (factor(side, probe(f"dut.core.{name}_index_d1")) for name in ("times_x", "times_both"))
    held, times_x, times_both = (probe(f"dut.core.{name}") for name in ("inner", "times_x", "times_both"))
    held, times_x, times_both = held.as_signed(), times_x.as_signed(), times_both.as_signed()
    h.prove("the inner product", held == h.past(inner, 3))
    h.prove("times the factor of x", times_x == h.past(held * h.past(by_x, 3)))
    h.prove("times the factor of w", times_both == h.past(times_x * h.past(by_w, 4)))
    acc, token, out = probe("dut.core.acc").as_signed(), h.past(probe("dut.core.token_d1"), 5), dut.o[:bits].as_signed()
    more, last = h.past(token) == 0b01, h.past(token) == 0b11
    added = h.past((acc + times_both)[:bits].as_signed())
    h.prove("it is added", ~more | (acc == added))
    h.prove(
        "the last one is added on the way out, and the next sum begins at zero", ~last | ((out == added) & (acc == 0))
    )
    h.prove("without a block nothing is added", h.past(token[0]) | (acc == h.past(acc)))
    h.cover("the end of a tile", last)


def _field(q: int, side: Operand) -> Implication:
    """What the product of two pairs has in its middle; high·2^2k + middle·2^k + low is how its bits are read."""
    k, most = 2 * side.point_bits, 1 << (2 * side.point_bits - 2)
    one, half = 1 << k, 1 << (k - 1)
    facts = {
        "it is multiplied out": f"(= product (+ xv (- (* {one} (+ xw uv))) (* {one * one} uw)))",
        "its bits": f"(= product (+ (* {one * one} high) (* {one} middle) low))",
        "the low field": f"(and (>= low 0) (< low {one}) (= borrow (ite (>= low {half}) 1 0)))",
        "the middle field": f"(and (>= middle (- {half})) (< middle {half}))",
    }
    least = most - (1 << (side.point_bits - 1))  # the product of the least and the greatest coordinate, negated
    facts |= {
        f"bounds of {name}": f"(and (<= {name} {most}) (>= {name} (- {least})))" for name in ("xv", "xw", "uv", "uw")
    }
    facts["if x·w + u·v is 2^(k−1), all four are least"] = f"(or (< (+ xw uv) {half}) (>= xv 0))"
    return Implication(
        f"cell_pairs_q{q}_field",
        f"In the product (x − u·2^k)·(v − w·2^k) of coordinates of q = {q}, the field from bit k = {k} on, as a signed "
        "number, plus bit k − 1 is −(x·w + u·v).",
        facts,
        "(= (+ middle borrow) (- (+ xw uv)))",
        "the low field",
    )


def _follows(q: int, side: Operand, form: str) -> Implication:
    """The sum of the stages, in integers: sums of squares, products and norms are numbers about which their lemmas say
    all that is needed."""
    names = {kind: [f"{kind}{i}" for i in range(DIM)] for kind in ("xx", "ww", "xw", "dd")}
    facts = {
        f"lane {i}: d² = x² + w² − 2xw ≥ 0": f"(and (= dd{i} (- (+ xx{i} ww{i}) (* 2 xw{i}))) (>= dd{i} 0))"
        for i in range(DIM)
    }
    facts |= {f"lane {i}: x² + w² + 2xw ≥ 0": f"(>= (+ xx{i} ww{i} (* 2 xw{i})) 0)" for i in range(DIM)}
    facts["‖x‖² ≤ 2q²"] = f"(and (= (* 4 nx) {total(names['xx'])}) (<= (* 4 nx) {side.norm_bound}))"
    facts["‖w‖² ≤ 2q²"] = f"(and (= (* 4 nw) {total(names['ww'])}) (<= (* 4 nw) {side.norm_bound}))"
    facts["⟨x, w⟩ is even"] = f"(= (* 2 half) {total(names['xw'])})"
    if form == "squares":
        facts["Σ d²/4, rounded down"] = (
            f"(and (<= (* 4 q) {total(names['dd'])}) (< {total(names['dd'])} (+ (* 4 q) 4)))"
        )
        facts["what the cell computes"] = "(= inner (- (+ nx nw) q))"
    else:
        facts["what the cell computes"] = (
            f"(and (<= (* 2 inner) {total(names['xw'])}) (< {total(names['xw'])} (+ (* 2 inner) 2)))"
        )
    limit = 1 << (inner_bits(side, side) - 1)
    return Implication(
        f"cell_{form}_q{q}",
        f"From the other claims cell_{form}_q{q}_* follows: of any two points of Λ with ‖x‖², ‖w‖² ≤ 2q², q = {q}, the "
        f"cell {'without' if form == 'squares' else 'with'} multipliers adds β·β·⟨x, w⟩/2 to its accumulator, ⟨x, w⟩/2 "
        f"fits the {inner_bits(side, side)} bits of its register, and |⟨x, w⟩| ≤ 2q².",
        facts,
        f"(and (= inner half) (< inner {limit}) (>= inner (- {limit})) "
        f"(<= (* 2 half) {side.norm_bound}) (>= (* 2 half) (- {side.norm_bound})))",
        "⟨x, w⟩ is even" if form == "pairs" else "‖w‖² ≤ 2q²",
    )


def _never_overflows(q: int) -> Implication:
    """The sum of as many blocks as a product may have."""
    format = Format(q)
    blocks, most = max_columns(format, format) // DIM, format.betas[-1] ** 2 * format.norm_bound
    return Implication(
        f"accumulator_q{q}",
        f"An accumulator of {acc_bits(packed_operand(format))} bits, which holds half the sum, never overflows within "
        f"the K = {blocks * DIM} that golden allows for q = {q}, since each block adds at most β·β·2q² = {most} (see "
        f"cell_squares_q{q} and cell_pairs_q{q}): the step of an induction over the blocks.",
        {
            "so far": f"(and (<= (* 2 sum) (* {most} k)) (>= (* 2 sum) (- (* {most} k))))",
            "a block": f"(and (<= (* 2 p) {most}) (>= (* 2 p) (- {most})))",
            "there is one more": f"(and (>= k 0) (< k {blocks}))",
            "the next sum": "(= next (+ sum p))",
        },
        f"(and (<= (* 2 next) (* {most} (+ k 1))) (>= (* 2 next) (- (* {most} (+ k 1)))) "
        f"(<= (* 2 next) {MAX_ACCUMULATOR}) (>= (* 2 next) (- {MAX_ACCUMULATOR})))",
        "there is one more",
    )

"""Claims on what cells add to their accumulators: β·β·⟨x, w⟩ of every two blocks, by stages, and what follows of them.

No solver sees through a sum of eight products at once. It does see what every register takes from those before it, for
whatever these hold; that it adds up to the product follows from these stages by linear arithmetic.
"""

from dataclasses import replace
from functools import partial
from math import sqrt
from typing import Any

from amaranth import Cat, Const, Mux, Value

from golden.format import Format
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword
from golden.matmul import MAX_ACCUMULATOR, max_columns
from hw.array.cell import Cell, SquaredNorm, tree
from hw.array.operands import PAIRS, Operand, acc_bits, inner_bits, operands, packed_operand
from hw.array.pairs import Pairing, multiplier_bits
from hw.design import PRESETS
from sim.formal.arithmetic import Implication, total
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness, lanes
from sim.formal.methods import Window

RATES = (2, 4, 8, 16)
"""The q of the cells that are looked at."""

Sides = tuple[Operand, Operand]


def packed(q: int) -> Sides:
    """Both sides of an array that multiplies points of Λ only."""
    side = packed_operand(Format(q))
    return side, side


def with_int8(q: int) -> Sides:
    """The sides of one whose activations can be int8 as well."""
    return operands(replace(PRESETS["tiny"], format=Format(q), activations=("packed", "int8")))


def claims() -> list[Claim | Implication]:
    """All of them."""
    found: list[Claim | Implication] = []
    for q in RATES:
        found += [*_of(f"q{q}", f"q = {q}", packed(q)), _never_overflows(q)]
    for q in RATES:
        found += _of(f"int8_q{q}", f"q = {q}, activations int8 as well", with_int8(q))
    return found


def _of(name: str, which: str, sides: Sides) -> list[Claim | Implication]:
    """Those on the norms and cells of two sides."""
    (x, w), halved, what = sides, sides[0].quartered, f"{which}, for all that its registers and inputs may hold"
    sums = what + ("" if halved else ", if indices of factors are those of some")
    norms = {f"norm_{name}": x} if halved else {f"norm_{name}": x, f"norm_{name}_weights": w}
    shift = x.point_bits + w.point_bits
    return [
        *(
            Claim(
                norm_name,
                f"The unit of norms takes ‖y‖²{'/4, rounded down,' if halved else ''} of all eight coordinates y of "
                f"{side.point_bits} bits: {what}.",
                partial(norm, side),
                Window(SquaredNorm.LATENCY),
                Bug("a coordinate is counted twice", "square_4 \\+ square_5", "square_4 + square_4"),
            )
            for norm_name, side in norms.items()
        ),
        Claim(
            f"cell_squares_{name}_terms",
            f"The cell without multipliers takes the eight (x − w)² and the sum of the norms: {what}."
            + " Of points of Λ ⟨x, w⟩ is even." * halved,
            partial(squares, sides),
            Window(2),
            Bug("a coordinate of x is taken for one of w", *_swapped("-")),
        ),
        Claim(
            f"cell_squares_{name}_sum",
            "The cell without multipliers adds "
            + ("β·β·(n(x) + n(w) − Σ (x − w)²/4)" if halved else "f·β·(n(x) + n(w) − Σ (x − w)²)/2")
            + f" to its accumulator: {sums}.",
            partial(sum_of_squares, sides),
            Window(6),
            Bug("the distance is added", "norms_d3 - distance", "norms_d3 + distance"),
        ),
        Claim(
            f"cell_pairs_{name}_terms",
            f"The cell with multipliers multiplies (x − x'·2^k)·(w' − w·2^k) for each pair of coordinates, "
            f"k = {shift}: {what}.",
            partial(products, sides),
            Window(2),
            Bug("the numbers of a product are added", r"= \$signed\(a_held\) \* ", "= $signed(a_held) + "),
        ),
        Claim(
            f"cell_pairs_{name}_sum",
            f"The cell with multipliers adds −{'β·β' if halved else 'f·β'}·(the sum of the four fields)"
            f"{'/2' if halved else ''} to its accumulator: {sums}.",
            partial(sum_of_products, sides),
            Window(6),
            Bug("a borrow is not given back", r"~ last_borrow", "last_borrow"),
        ),
        _field(name, which, sides),
        _follows(name, which, sides, "squares"),
        _follows(name, which, sides, "pairs"),
    ]


def _swapped(sign: str) -> tuple[str, str]:
    return rf"= \$signed\((x\[\d+:0\])\) {sign} \$signed\(w\[\d+:0\]\)", rf"= $signed(\1) {sign} $signed(\1)"


def norm(side: Operand, h: Harness) -> None:
    """Squares of the coordinates; the sum of what the registers of squares hold."""
    dut = h.place(SquaredNorm(side))
    y, *_ = fields(side, dut.i)
    square = [h.probe(f"dut.core.square_{i}") for i in range(DIM)]
    for i in range(DIM):
        h.prove(f"square {i}", square[i] == h.past(y[i] * y[i]))
    later = (tree(square) >> (2 if side.quartered else 0))[: side.norm_bits]
    h.prove("the sum of the squares is the norm", dut.o[-side.norm_bits :] == h.past(later, 2))
    h.prove("the block comes with it", dut.o[: -side.norm_bits] == h.past(dut.i, SquaredNorm.LATENCY))
    greatest = side.norm_bound // (4 if side.quartered else 1)
    h.cover("the greatest norm", dut.o[-side.norm_bits :] == greatest)


def squares(sides: Sides, h: Harness) -> None:
    """Two cycles from the inputs to the squares; and what holds of any two coordinates."""
    dut = h.place(Cell(*sides))
    (x, _, nx), (w, _, nw) = (fields(side, block) for side, block in zip(sides, (dut.x, dut.w), strict=True))
    for i, (a, b) in enumerate(zip(x, w, strict=True)):
        h.prove(f"square {i}", h.probe(f"dut.core.square_{i}") == h.past((a - b) * (a - b), 2))
    any_two(h, x[0], w[0])
    h.prove("the norms are added", h.probe("dut.core.norms_d1") == h.past(nx + nw, 2))
    if sides[0].quartered:
        odd = Cat(a[0] & b[0] for a, b in zip(x, w, strict=True)).xor()
        h.prove("⟨x, w⟩ is even", ~(in_lattice(x) & in_lattice(w) & odd))
    h.cover("points of Λ", in_lattice(x) & in_lattice(w))


def sum_of_squares(sides: Sides, h: Harness) -> None:
    """From the registers of squares on."""
    dut = h.place(Cell(*sides))
    square = [h.probe(f"dut.core.square_{i}") for i in range(DIM)]
    before, after = (2, 0) if sides[0].quartered else (0, 1)
    inner = (h.probe("dut.core.norms_d1") - (tree(square) >> before)) >> after
    _accumulated(sides, h, dut, inner[: inner_bits(*sides)].as_signed())


def products(sides: Sides, h: Harness) -> None:
    """From blocks to the numbers that are multiplied, and on to their products."""
    x_pairs, w_pairs = h.place(Pairing(sides[0], 0), "x_pairs"), h.place(Pairing(sides[1], 1), "w_pairs")
    h.place(Cell(*sides, multiply=True), x=x_pairs.o, w=w_pairs.o)
    (x, *_), (w, *_) = fields(sides[0], x_pairs.i), fields(sides[1], w_pairs.i)
    shift, least = _shift(sides), min(side.point_bits for side in sides) - 1
    for i in range(PAIRS):
        j, k = 2 * i, 2 * i + 1
        a, b = (h.probe(f"dut.core.multiplier_{i}.{name}_held").as_signed() for name in "ab")
        h.prove(f"the number of x of pair {i}", a == h.past(x[j] - (x[k] << shift)))
        h.prove(f"the number of w of pair {i}", b == h.past(w[k] - (w[j] << shift)))
        product = h.probe(f"dut.core.multiplier_{i}.o", len(a) + len(b)).as_signed()
        h.prove(f"the product of pair {i}", product == h.past(a * b))
    any_two(h, x[0], w[0])
    most = 1 << (shift - 2)
    h.prove("bounds of a product", (x[0] * w[0] <= most) & (x[0] * w[0] >= (1 << least) - most))
    h.prove("of two products, 2^(k−1)", (x[0] * w[0] + x[1] * w[1] < 2 * most) | (x[0] * w[1] >= 0))
    h.cover("least coordinates", Cat(v == -(1 << (len(v) - 1)) for v in (*x[:2], *w[:2])).all())


def sum_of_products(sides: Sides, h: Harness) -> None:
    """From the registers of products on."""
    dut = h.place(Cell(*sides, multiply=True))
    inner = -tree(_middles(sides, h)) >> (1 if sides[0].quartered else 0)
    _accumulated(sides, h, dut, inner[: inner_bits(*sides)].as_signed())


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


def _shift(sides: Sides) -> int:
    """Where the field in the middle of a product of two pairs begins, and how wide it is."""
    return sides[0].point_bits + sides[1].point_bits


def _middles(sides: Sides, h: Harness) -> list[Value]:
    """The fields of the four products, with the one that each has borrowed."""
    shift, width = _shift(sides), sum(multiplier_bits(sides))
    bits = [h.probe(f"dut.core.multiplier_{i}.o", width) for i in range(PAIRS)]
    return [value[shift : 2 * shift].as_signed() + value[shift - 1] for value in bits]


def factor(side: Operand, index: Value) -> Value:
    """What a block is multiplied by, of its index."""
    value: Value = Const(side.factors[0])
    for i, number in enumerate(side.factors):
        value = Mux(index == i, number, value)
    return value


def _accumulated(sides: Sides, h: Harness, dut: Any, inner: Value) -> None:
    """What becomes of an inner product that is in the registers of the third cycle before it is added."""
    probe, bits = h.probe, acc_bits(sides[0])
    indices = [probe(f"dut.core.{name}_index_d1") for name in ("times_x", "times_both")]
    by_x, by_w = (factor(side, index) for side, index in zip(sides, indices, strict=True))
    for side, index in zip(sides, indices, strict=True):
        h.assume(index < len(side.factors))
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


def _field(name: str, which: str, sides: Sides) -> Implication:
    """What the product of two pairs has in its middle; high·2^2k + middle·2^k + low is how its bits are read."""
    k, most = _shift(sides), 1 << (_shift(sides) - 2)
    one, half = 1 << k, 1 << (k - 1)
    facts = {
        "it is multiplied out": f"(= product (+ xv (- (* {one} (+ xw uv))) (* {one * one} uw)))",
        "its bits": f"(= product (+ (* {one * one} high) (* {one} middle) low))",
        "the low field": f"(and (>= low 0) (< low {one}) (= borrow (ite (>= low {half}) 1 0)))",
        "the middle field": f"(and (>= middle (- {half})) (< middle {half}))",
    }
    # The product of the least and the greatest coordinate, negated, is the greater the narrower that one is.
    least = most - (1 << (min(side.point_bits for side in sides) - 1))
    facts |= {
        f"bounds of {name}": f"(and (<= {name} {most}) (>= {name} (- {least})))" for name in ("xv", "xw", "uv", "uw")
    }
    facts["if x·w + u·v is 2^(k−1), all four are least"] = f"(or (< (+ xw uv) {half}) (>= xv 0))"
    return Implication(
        f"cell_pairs_{name}_field",
        f"In the product (x − u·2^k)·(v − w·2^k) of coordinates, {which}, the field from bit k = {k} on, as a signed "
        "number, plus bit k − 1 is −(x·w + u·v).",
        facts,
        "(= (+ middle borrow) (- (+ xw uv)))",
        "the low field",
    )


def balance(sides: Sides) -> int:
    """The t for which ‖x ± tw‖² ≥ 0 bounds ⟨x, w⟩ well."""
    return round(sqrt(sides[0].norm_bound / sides[1].norm_bound))


def _follows(name: str, which: str, sides: Sides, form: str) -> Implication:
    """The sum of the stages, in integers: sums of squares, products and norms are numbers about which their lemmas say
    all that is needed."""
    halved, t = sides[0].quartered, balance(sides)
    names = {kind: [f"{kind}{i}" for i in range(DIM)] for kind in ("xx", "ww", "xw", "dd")}
    facts = {f"lane {i}: d² = x² + w² − 2xw": f"(= dd{i} (- (+ xx{i} ww{i}) (* 2 xw{i})))" for i in range(DIM)}
    for i in range(DIM):
        for sign in "+-":
            square = f"(+ xx{i} (* {t * t} ww{i}))"
            facts[f"lane {i}: (x {sign} {t}w)² ≥ 0"] = f"(>= ({sign} {square} (* {2 * t} xw{i})) 0)"
    times = 4 if halved else 1
    for y, side in zip("xw", sides, strict=True):
        whole = f"(* {times} n{y})"
        facts[f"‖{y}‖²"] = f"(and (= {whole} {total(names[y + y])}) (<= {whole} {side.norm_bound}))"
    if halved:
        facts["⟨x, w⟩ is even"] = f"(= (* 2 half) {total(names['xw'])})"
    inner, distance = total(names["xw"]), total(names["dd"])
    if form == "squares" and halved:
        facts["Σ d²/4, rounded down"] = f"(and (<= (* 4 q) {distance}) (< {distance} (+ (* 4 q) 4)))"
        facts["what the cell computes"] = "(= inner (- (+ nx nw) q))"
    elif form == "squares":
        twice = f"(- (+ nx nw) {distance})"
        facts["what the cell computes"] = f"(and (<= (* 2 inner) {twice}) (< {twice} (+ (* 2 inner) 2)))"
    elif halved:
        facts["what the cell computes"] = f"(and (<= (* 2 inner) {inner}) (< {inner} (+ (* 2 inner) 2)))"
    else:
        facts["what the cell computes"] = f"(= inner {inner})"
    limit, bound = 1 << (inner_bits(*sides) - 1), (sides[0].norm_bound + t * t * sides[1].norm_bound) // (2 * t)
    cell = f"the cell {'without' if form == 'squares' else 'with'} multipliers adds"
    if halved:
        what = f"any two points of Λ with ‖x‖², ‖w‖² ≤ 2q², {which}, {cell} β·β·⟨x, w⟩/2 to its accumulator, ⟨x, w⟩/2"
    else:
        what = (
            f"any two blocks, {which}, with ‖x‖² ≤ {sides[0].norm_bound} and ‖w‖² ≤ {sides[1].norm_bound}, {cell} "
            "f·β·⟨x, w⟩ to its accumulator, f being 16 for high digits of int8, 1 for low ones, and β for points of Λ; "
            "⟨x, w⟩"
        )
    least = {"squares": "‖w‖²", "pairs": "⟨x, w⟩ is even" if halved else f"lane 0: (x - {t}w)² ≥ 0"}
    return Implication(
        f"cell_{form}_{name}",
        f"From the other claims cell_{form}_{name}_* follows: of {what} fits the {inner_bits(*sides)} bits of its "
        f"register, and |⟨x, w⟩| ≤ {bound}.",
        facts,
        f"(and (= inner {'half' if halved else inner}) (< inner {limit}) (>= inner (- {limit})) "
        f"(<= {inner} {bound}) (>= {inner} (- {bound})))",
        least[form],
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

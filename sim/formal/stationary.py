"""Claims on weight-stationary cells: they add to the sum from above what an output-stationary cell adds to its
accumulator, which other claims say is the product of two blocks.

Both cells are placed side by side, and the one is given the weight that the other one has in use.
"""

from functools import partial

from amaranth import Mux, Value

from hw.array.cell import PRODUCT_LATENCY, Cell, StationaryCell
from hw.array.lean import DotCell
from hw.array.operands import PAIRS, acc_bits
from hw.array.products import LeanStationaryCell, Products
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Window
from sim.formal.products import Sides, factor, fields, packed, with_int8

RATES = (2, 4, 8, 16)
"""The q of the cells that are looked at."""

HOPS = 3
"""The largest number of cells that a weight passes."""

FORMS = {"squares": "without multipliers", "pairs": "with multipliers"}


def claims() -> list[Claim]:
    """All of them."""
    return [
        *(claim for q in RATES for claim in _of(f"q{q}", f"q = {q}", packed(q))),
        *(claim for q in RATES for claim in _of(f"int8_q{q}", f"q = {q}, activations int8 as well", with_int8(q))),
    ]


def _of(name: str, which: str, sides: Sides) -> list[Claim]:
    """Those on the cells of two sides."""
    holds = "whatever the registers and inputs hold"
    return [
        *(
            Claim(
                f"cell_stationary_{form}_{name}",
                f"The weight-stationary cell {kind}, {which}, adds to the sum from above what cell_{form}_{name} is "
                f"about, of the block that comes and the weight in use: {holds}.",
                partial(deep, sides, form == "pairs"),
                Window(PRODUCT_LATENCY + 1),
                Bug("the sum from above is not added", r"\$signed\(above\) \+ ", "$signed(1'h0) + "),
            )
            for form, kind in FORMS.items()
        ),
        Claim(
            f"cell_stationary_lean_{name}",
            f"The lean weight-stationary cell, {which}, adds to the sum from above what cell_lean_{name} is about, "
            f"of the block that comes and the weight in use: {holds}.",
            partial(lean, sides),
            Window(2),
            Bug("bits of the sum from above are turned over", r"~ (above\[\d+\])", r"\1"),
        ),
        Claim(
            f"cell_stationary_{name}_weights",
            f"A weight-stationary cell, {which}, keeps a weight whose way ends there, passes on all others with one "
            f"cell less to go, and has the one in use that it kept when weights were swapped: {holds}.",
            partial(weights, sides),
            Window(1),
            Bug("a weight is kept that goes further", r"load\[0\] & here", "load[0]"),
        ),
    ]


def deep(sides: Sides, multiply: bool, h: Harness) -> None:
    """What was multiplied in either cell, and the sum.

    That a product of the other cell is that of its operands is a matter of cell_pairs_*_terms.
    """
    dut = h.place(StationaryCell(*sides, HOPS, multiply=multiply))
    h.place(Cell(*sides, multiply=multiply), "other", x=dut.x, w=h.cut("dut.core.used"))
    added, product = (h.probe(f"{name}.core.times_both").as_signed() for name in ("dut", "other"))
    for i in range(PAIRS if multiply else 0):
        a, b = (h.probe(f"dut.core.multiplier_{i}.{name}_held").as_signed() for name in "ab")
        made = h.probe(f"dut.core.multiplier_{i}.o", len(a) + len(b)).as_signed()
        for name, value in (("a", a), ("b", b)):
            same = value == h.probe(f"other.core.multiplier_{i}.{name}_held").as_signed()
            h.prove(f"operand {name} of pair {i}", h.past(same))
        h.prove(f"the product of pair {i}", made == h.past(a * b))
        h.assume(h.cut(f"other.core.multiplier_{i}.o", len(made)).as_signed() == made)
    h.prove("it is the product of the blocks", h.past(added) == h.past(product))
    _passes_on(h, dut, added, acc_bits(sides[0]))


def lean(sides: Sides, h: Harness) -> None:
    """The inner product, which the other cell has a cycle later, for it holds its operands first; and the sum."""
    width = acc_bits(sides[0])
    products = Products(sides, width)
    dut = h.place(LeanStationaryCell(products, HOPS))
    used = h.cut("dut.core.used")
    h.place(DotCell(products), "other", x=dut.x, w=used)
    inner = h.probe("dut.core.inner")
    h.prove("it is the inner product", h.past(inner) == h.probe("other.core.inner"))
    value: Value = inner.as_signed()
    for side, name, block in zip(sides, ("times_x", "times_both"), (dut.x, used), strict=True):
        index = h.probe(f"dut.core.{name}_beta")
        h.assume(index < len(side.factors))
        h.prove(f"the index of {name} comes along", index == h.past(fields(side, block)[1]))
        value = h.wire(value * factor(side, index)).as_signed()
    _passes_on(h, dut, value, width)


def _passes_on(h: Harness, dut: object, added: Value, width: int) -> None:
    above, out = (getattr(dut, name) for name in ("above", "o"))
    h.prove("it is added", out == h.past((above.as_signed() + added)[:width]))
    h.cover("a sum that is no product", (h.past(above) != 0) & (out != 0))


def weights(sides: Sides, h: Harness) -> None:
    """What is kept, in use and passed on, a cycle later."""
    dut = h.place(StationaryCell(*sides, HOPS))
    kept, used = h.probe("dut.core.kept"), h.probe("dut.core.used")
    valid, hops = dut.load[0], dut.load[1:]
    here = valid & (hops == 0)
    h.prove("it keeps what ends here", kept == h.past(Mux(here, dut.w, kept)))
    h.prove("a swap puts it in use", used == h.past(Mux(dut.swap, kept, used)))
    h.prove("all others go on", dut.load_next[0] == h.past(valid & (hops != 0)))
    h.prove("with one cell less", ~dut.load_next[0] | (dut.load_next[1:] == h.past(hops) - 1))
    for name in ("x", "w", "swap"):
        h.prove(f"{name} goes on", getattr(dut, f"{name}_next") == h.past(getattr(dut, name)))
    h.cover("one is kept while another is put in use", here & dut.swap & (kept != dut.w))

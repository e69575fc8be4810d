"""Claims on weight-stationary cells: they add to the sum from above what an output-stationary cell adds to its
accumulator, which other claims say is the product of two blocks.

Both cells are placed side by side, and the one is given the weight that the other one has in use.
"""

from functools import partial

from amaranth import Mux, Value

from golden.format import Format
from hw.array.cell import PRODUCT_LATENCY, Cell, StationaryCell
from hw.array.lean import DotCell
from hw.array.operands import PAIRS, Operand, acc_bits, packed_operand
from hw.array.products import LeanStationaryCell, Products
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Window
from sim.formal.products import factor, fields

RATES = (2, 4, 8, 16)
"""The q of the cells that are looked at."""

HOPS = 3
"""The largest number of cells that a weight passes."""

FORMS = {"squares": "without multipliers", "pairs": "with multipliers"}


def claims() -> list[Claim]:
    """All of them."""
    found = []
    for q in RATES:
        side, holds = packed_operand(Format(q)), "whatever the registers and inputs hold"
        for form, which in FORMS.items():
            found.append(
                Claim(
                    f"cell_stationary_{form}_q{q}",
                    f"The weight-stationary cell {which}, q = {q}, adds to the sum from above what cell_{form}_q{q} is "
                    f"about, of the block that comes and the weight in use: {holds}.",
                    partial(deep, side, form == "pairs"),
                    Window(PRODUCT_LATENCY + 1),
                    Bug("the sum from above is not added", r"\$signed\(above\) \+ ", "$signed(1'h0) + "),
                )
            )
        found.append(
            Claim(
                f"cell_stationary_lean_q{q}",
                f"The lean weight-stationary cell, q = {q}, adds to the sum from above what cell_lean_q{q} is about, "
                f"of the block that comes and the weight in use: {holds}.",
                partial(lean, side),
                Window(2),
                Bug("bits of the sum from above are turned over", r"~ (above\[\d+\])", r"\1"),
            )
        )
        found.append(
            Claim(
                f"cell_stationary_q{q}_weights",
                f"A weight-stationary cell, q = {q}, keeps a weight whose way ends there, passes on all others with "
                f"one cell less to go, and has the one in use that it kept when weights were swapped: {holds}.",
                partial(weights, side),
                Window(1),
                Bug("a weight is kept that goes further", r"load\[0\] & here", "load[0]"),
            )
        )
    return found


def deep(side: Operand, multiply: bool, h: Harness) -> None:
    """What was multiplied in either cell, and the sum.

    That a product of the other cell is that of its operands is a matter of cell_pairs_*_terms.
    """
    dut = h.place(StationaryCell(side, side, HOPS, multiply=multiply))
    h.place(Cell(side, side, multiply=multiply), "other", x=dut.x, w=h.cut("dut.core.used"))
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
    _passes_on(h, dut, added, acc_bits(side))


def lean(side: Operand, h: Harness) -> None:
    """The inner product, which the other cell has a cycle later, for it holds its operands first; and the sum."""
    width = acc_bits(side)
    products = Products((side, side), width)
    dut = h.place(LeanStationaryCell(products, HOPS))
    used = h.cut("dut.core.used")
    h.place(DotCell(products), "other", x=dut.x, w=used)
    inner = h.probe("dut.core.inner")
    h.prove("it is the inner product", h.past(inner) == h.probe("other.core.inner"))
    value: Value = inner.as_signed()
    for name, block in (("times_x", dut.x), ("times_both", used)):
        index = h.probe(f"dut.core.{name}_beta")
        h.assume(index < len(side.factors))
        h.prove(f"the index of {name} comes along", index == h.past(fields(side, block)[1]))
        value = h.wire(value * factor(side, index)).as_signed()
    _passes_on(h, dut, value, width)


def _passes_on(h: Harness, dut: object, added: Value, width: int) -> None:
    above, out = (getattr(dut, name) for name in ("above", "o"))
    h.prove("it is added", out == h.past((above.as_signed() + added)[:width]))
    h.cover("a sum that is no product", (h.past(above) != 0) & (out != 0))


def weights(side: Operand, h: Harness) -> None:
    """What is kept, in use and passed on, a cycle later."""
    dut = h.place(StationaryCell(side, side, HOPS))
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

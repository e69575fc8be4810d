"""Claims on arrays: which beats meet at which cell, what their products are added to, and that every row that is due
comes out, once, when it should.

What a cell multiplies is not looked at here, see `sim.formal.products`: a proof takes the product that a cell adds for
what it is, and says whose product it is, and where it ends up.
"""

from functools import partial
from itertools import pairwise
from typing import Any

from amaranth import Array, Cat, Mux, Signal, Value, signed

from golden.format import Format
from hw.array.cells import at_edge, to_sum
from hw.array.edges import latency
from hw.array.operands import job_bits, operands
from hw.array.output_stationary import OutputStationaryArray
from hw.array.weight_stationary import WeightStationaryArray
from hw.design import ACC_BITS, DesignPoint
from hw.values import register
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction


class Beats:
    """The beats on their way through an array.

    Parameters
    ----------
    h : Harness
    dut : namespace
        Its ports.
    """

    def __init__(self, h: Harness, dut: Any):
        self.h, self.dut = h, dut
        self._held: dict[str, list[Value]] = {}

    def valid(self, age: int, *flags: str) -> Value:
        """Whether a beat came so many cycles ago, after the last reset, with these flags."""
        return self._aged("_".join(("valid", *flags)), self.dut.i_valid & Cat(self._of(name) for name in flags).all(), age, False)

    def of(self, name: str, age: int) -> Value:
        """What a field of the beat of so many cycles ago was."""
        return self._aged(name, self._of(name), age, True)

    def _of(self, name: str) -> Value:
        return getattr(self.dut, f"i_{name}")

    def _aged(self, name: str, value: Value, age: int, reset_less: bool) -> Value:
        held = self._held.setdefault(name, [value])
        while len(held) <= age:
            held.append(register(self.h.m, f"{name}_aged_{len(held)}", held[-1], reset_less=reset_less))
        return held[age]


def output_stationary(design: DesignPoint, h: Harness) -> None:
    """Any tiles; a tile that the solver picks is watched from its last beat on."""
    dut = h.place(OutputStationaryArray(design))
    beats, m, rows, cols = Beats(h, dut), h.m, design.rows, design.cols
    edge, summed, through = at_edge(design), at_edge(design) + to_sum(design), latency(design)
    bits, (x_side, w_side) = job_bits(design), operands(design)
    for gap in range(1, rows):
        h.assume(~(beats.valid(0, "finish") & beats.valid(gap, "finish")))
    h.assume(dut.i_count <= rows)

    picked, watching = h.free("picks"), Signal()
    age = Signal(range(through + rows + 1))
    with m.If(~watching):
        m.d.sync += [watching.eq(picked & beats.valid(0, "finish")), age.eq(1)]
    with m.Else():
        m.d.sync += [watching.eq(age != through + rows - 1), age.eq(age + 1)]
    h.prove("a tile is watched until its last row is out", ~watching | ((age > 0) & (age < through + rows)))

    tile = h.probe("dut.core.tile")
    for r in range(rows):
        p, due = rows - 1 - r, watching & (age == through + r)
        for c in range(cols):
            path, here = f"dut.core.cell_{p}_{c}", edge + p + c
            _meets(h, beats, here, f"{path}.x", _blocks(dut.i_x, rows)[r], x_side.block.size)
            _meets(h, beats, here, f"{path}.w", _blocks(dut.i_w, cols)[c], w_side.block.size)
            there = summed + p + c
            added = h.probe(f"{path}.times_both").as_signed()
            so_far = Signal(bits, name=f"so_far_{r}_{c}")
            total = h.wire((so_far + added)[:bits], f"total_{r}_{c}")
            ends = beats.valid(there, "finish")
            with m.If(beats.valid(there)):
                m.d.sync += so_far.eq(Mux(ends, 0, total))
            held = h.probe(f"{path}.acc") if design.pipeline == "deep" else _unless(h.probe(f"{path}.fresh"), h.probe(f"{path}.acc_0"))
            h.prove(f"cell {p}, {c} has added the products of its tile so far", held == so_far)
            parity = h.probe(f"{path}.parity")
            between = Cat(beats.valid(d, "finish") for d in range(*sorted((there + 1, summed + rows)))).xor()
            h.prove(f"cell {p}, {c} and the way out count the same tiles", parity ^ ~tile == between)

            result = Signal(signed(bits), name=f"result_{r}_{c}", reset_less=True)
            with m.If(watching & (age == there)):
                m.d.sync += result.eq(total)
            value = dut.o_values[ACC_BITS * c : ACC_BITS * (c + 1)].as_signed()
            comes = due & (beats.of("count", through + r) > r)
            h.prove(f"row {r}, column {c}: what comes out is the sum of the tile", ~comes | (value == result << 1))
    rows_due = [beats.valid(through + r, "finish") & (beats.of("count", through + r) > r) for r in range(rows)]
    final = [due & (beats.of("count", through + r) == r + 1) for r, due in enumerate(rows_due)]
    h.prove("a row comes out when it is due, and no other", dut.o_valid == Cat(rows_due).any())
    for name in ("last", "end"):
        marked = Cat(due & beats.of(name, through + r) for r, due in enumerate(final)).any()
        h.prove(f"the last row of a tile is marked as its last beat was: {name}", getattr(dut, f"o_{name}") == marked)
    h.cover("two tiles back to back", rows_due[rows - 1] & beats.valid(through - 1, "finish") & watching & (age == through + rows - 1))
    h.cover("a tile of few rows", final[0])


def _blocks(packed: Value, count: int) -> list[Value]:
    size = len(packed) // count
    return [packed[i * size : (i + 1) * size] for i in range(count)]


def _unless(fresh: Value, value: Value) -> Value:
    return Mux(fresh, 0, value)


def _meets(h: Harness, beats: Beats, age: int, wire: str, block: Value, bits: int) -> None:
    """A cell is given the block of the beat of so many cycles ago, if there was one."""
    given = h.probe(wire)[:bits]
    h.prove(f"{wire} is of the beat of {age} cycles ago", ~beats.valid(age) | (given == (h.past(block, age) if age else block)))


def claims() -> list[Claim]:
    """All of them."""
    found = []
    for pipeline in ("lean", "deep"):
        design = DesignPoint(name="os", rows=2, cols=2, x_depth=4, w_depth=4, panel_rows=2, pipeline=pipeline, format=Format(2))
        found.append(
            Claim(
                f"array_os_{pipeline}",
                "",
                partial(output_stationary, design),
                Induction(latency(design) + 2 * design.rows, reach=latency(design) + 6),
                Bug("results move down, whichever tile they are of", r"above\[\d+\] == tile", "1'h1"),
            )
        )
    return found

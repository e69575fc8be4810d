"""Claims on arrays: which beats meet at which cell, what their products are added to, and that every row that is due
comes out, once, when it should.

What a cell multiplies is not looked at here, see `sim.formal.products`: a product is taken to be anything, and a proof
says whose product it is and where it ends up.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from amaranth import Array, Cat, Mux, Signal, Value, signed

from golden.format import Format
from hw.array.cells import at_edge, to_sum
from hw.array.edges import latency
from hw.array.operands import job_bits, sum_bits
from hw.array.output_stationary import OutputStationaryArray
from hw.array.weight_stationary import WeightStationaryArray
from hw.design import ACC_BITS, DesignPoint, Pipeline
from hw.values import register
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction


class Beats:
    """The beats that are on their way through an array.

    Parameters
    ----------
    h : Harness
    dut : namespace
        The array's ports.
    """

    def __init__(self, h: Harness, dut: Any):
        self.h, self.dut = h, dut
        self._held: dict[str, list[Value]] = {}

    def valid(self, age: int, *flags: str) -> Value:
        """Whether a beat came so many cycles ago, after the last reset, with these flags."""
        came = self.dut.i_valid & Cat(self._of(name) for name in flags).all()
        return self._aged("_".join(("valid", *flags)), came, age, reset_less=False)

    def of(self, name: str, age: int) -> Value:
        """What a field of the beat of so many cycles ago was."""
        return self._aged(name, self._of(name), age, reset_less=True)

    def _of(self, name: str) -> Value:
        return getattr(self.dut, f"i_{name}")

    def _aged(self, name: str, value: Value, age: int, *, reset_less: bool) -> Value:
        held = self._held.setdefault(name, [value])
        while len(held) <= age:
            held.append(register(self.h.m, f"{name}_aged_{len(held)}", held[-1], reset_less=reset_less))
        return held[age]


def output_stationary(design: DesignPoint, h: Harness) -> None:
    """Any tiles; one that the solver picks is watched from its last beat on."""
    dut = h.place(OutputStationaryArray(design))
    beats, m, rows, cols, through = Beats(h, dut), h.m, design.rows, design.cols, latency(design)
    edge, summed, bits = at_edge(design), at_edge(design) + to_sum(design), job_bits(design)
    for gap in range(1, rows):
        h.assume(~(beats.valid(0, "finish") & beats.valid(gap, "finish")))
    h.assume(dut.i_count <= rows)

    watching, age = Signal(), Signal(range(through + rows + 1))
    with m.If(~watching):
        m.d.sync += [watching.eq(h.free("picks") & beats.valid(0, "finish")), age.eq(1)]
    with m.Else():
        m.d.sync += [watching.eq(age != through + rows - 1), age.eq(age + 1)]
    h.prove("a tile is watched until its rows are out", ~watching | ((age > 0) & (age < through + rows)))

    tile = h.probe("dut.core.tile")
    for p in range(rows):
        r = rows - 1 - p
        for c in range(cols):
            path, here = f"dut.core.cell_{p}_{c}", edge + p + c
            _meets(h, beats, here, f"{path}.x", _blocks(dut.i_x, rows)[r])
            _meets(h, beats, here, f"{path}.w", _blocks(dut.i_w, cols)[c])

            there = summed + p + c
            ends = beats.valid(there, "finish")
            so_far, result = (Signal(bits, name=f"{name}_{p}_{c}") for name in ("so_far", "result"))
            total = h.wire((so_far + h.cut(f"{path}.times_both").as_signed())[:bits])
            with m.If(beats.valid(there)):
                m.d.sync += so_far.eq(Mux(ends, 0, total))
            with m.If(watching & (age == there)):
                m.d.sync += result.eq(total)
            if design.pipeline == "deep":
                held = h.probe(f"{path}.acc")
            else:
                held = Mux(h.probe(f"{path}.fresh"), 0, h.probe(f"{path}.acc_0"))
            h.prove(f"cell {p}, {c} holds the products of the tile so far", held == so_far)
            between = (beats.valid(d, "finish") for d in range(*sorted((there + 1, summed + rows))))
            passed = h.probe(f"{path}.parity") ^ ~tile
            h.prove(f"cell {p}, {c} and the way out count the same tiles", passed == Cat(between).xor())
            due = watching & (age == through + r) & (beats.of("count", through + r) > r)
            h.prove(
                f"row {r}, column {c}: what comes out is the sum", ~due | (_value(dut, c) == result.as_signed() << 1)
            )

    due = [beats.valid(through + r, "finish") & (beats.of("count", through + r) > r) for r in range(rows)]
    final = [here & (beats.of("count", through + r) == r + 1) for r, here in enumerate(due)]
    h.prove("a row comes out when it is due, and no other", dut.o_valid == Cat(due).any())
    for name in ("last", "end"):
        marked = Cat(here & beats.of(name, through + r) for r, here in enumerate(final)).any()
        h.prove(f"a tile's last row is marked as its last beat was: {name}", getattr(dut, f"o_{name}") == marked)
    h.cover("the next tile follows at once", final[rows - 1] & beats.valid(through - 1, "finish"))
    h.cover("a tile of one row", final[0])


def weight_stationary(design: DesignPoint, h: Harness) -> None:
    """Any weights, any beats; the accumulators of a row whose number the solver picks are watched."""
    dut = h.place(WeightStationaryArray(design))
    beats, rows, cols, through = Beats(h, dut), design.rows, design.cols, latency(design)
    h.assume(dut.load_row < rows)
    if rows > 2:  # a slice takes as many cycles as it has rows of weights
        other = beats.valid(1) & (beats.of("row", 1) != dut.i_row)
        h.assume(~(beats.valid(0) & other & beats.valid(2) & (beats.of("row", 2) == dut.i_row)))
    _weights(design, h, dut, beats)
    for p in range(rows):
        for c in range(cols):
            _meets(h, beats, at_edge(design) + p + c + 1, f"dut.core.cell_{p}_{c}.x", _blocks(dut.i_x, rows)[p])

    watched, bits = h.always("watched", range(design.panel_rows)), job_bits(design)
    through_cells = bits if design.pipeline == "deep" else sum_bits(design, rows)
    mine = [beats.valid(age) & (beats.of("row", age) == watched) for age in range(through + 4)]
    comes, begun = mine[through - 1], Signal()
    begins = comes & beats.of("start", through - 1)
    with h.m.If(begins):
        h.m.d.sync += begun.eq(1)
    leaves = begun & mine[through] & beats.of("finish", through)
    stored = Array(h.probe(f"dut.core.accumulators[{i}]", bits * cols) for i in range(design.panel_rows))[watched]
    was_last = h.probe("dut.core.row_added") == watched
    for c in range(cols):
        column = Value.cast(0)
        for p in range(rows):
            product = h.cut(f"dut.core.cell_{p}_{c}.times_both").as_signed()
            column = column + h.past(product, cols - 1 - c + rows - p)
        column = column[:through_cells].as_signed()
        total = Signal(signed(bits), name=f"total_{c}")
        with h.m.If(comes):
            h.m.d.sync += total.eq(Mux(begins, 0, total) + column)
        held, out = stored[bits * c : bits * (c + 1)].as_signed(), h.probe(f"dut.core.out_{c}").as_signed()
        h.prove(f"column {c}: the memory holds the row's sum", ~begun | (held == total))
        h.prove(f"column {c}: so does the way out, of the last row", ~begun | ~was_last | (out == total))
        h.prove(f"column {c}: what comes out is the row's sum", ~leaves | (_value(dut, c) == total << 1))

    h.prove("a row comes out when it is due, and no other", dut.o_valid == beats.valid(through, "finish"))
    for name in ("last", "end"):
        marked = beats.of(name, through)
        h.prove(f"a row is marked as its beat was: {name}", ~dut.o_valid | (getattr(dut, f"o_{name}") == marked))
    other = beats.valid(through + 1) & ~mine[through + 1]
    h.cover("a row again, at once", leaves & mine[through + 1])
    h.cover("a row again, after others", leaves & other & mine[through + 3])


def _weights(design: DesignPoint, h: Harness, dut: Any, beats: Beats) -> None:
    """Of each cell, the weight that was sent to it, and the one that it had when the slice was taken over."""
    takes = beats.valid(0, "swap")
    for p in range(design.rows):
        comes = dut.load_valid & (dut.load_row == p)
        sent, taken = Signal(name=f"sent_{p}"), Signal(name=f"taken_{p}")
        with h.m.If(comes):
            h.m.d.sync += sent.eq(1)
        with h.m.If(takes):
            h.m.d.sync += taken.eq(sent)
        for c in range(design.cols):
            block, path = _blocks(dut.load_w, design.cols)[c], f"dut.core.cell_{p}_{c}"
            waits, works = (Signal(len(block), name=f"{name}_{p}_{c}") for name in ("waits", "works"))
            with h.m.If(comes):
                h.m.d.sync += waits.eq(block)
            with h.m.If(takes):
                h.m.d.sync += works.eq(waits)
            for name, known, weight in (("kept", sent, waits), ("used", taken, works)):
                cycles = at_edge(design) + p + c
                known = register(h.m, f"{name}_known", known, cycles=cycles, reset_less=False)
                held = h.probe(f"{path}.{name}")[: len(block)]
                h.prove(f"{path}: the weight that is {name}", ~known | (held == h.past(weight, cycles)))


def _blocks(packed: Value, count: int) -> list[Value]:
    size = len(packed) // count
    return [packed[i * size : (i + 1) * size] for i in range(count)]


def _meets(h: Harness, beats: Beats, age: int, wire: str, block: Value) -> None:
    """What a cell is given is a block of the beat of so many cycles ago, if there was one."""
    given = h.probe(wire)[: len(block)]  # a norm may be above it
    h.prove(f"{wire} is of the beat of {age} cycles ago", ~beats.valid(age) | (given == h.past(block, age)))


def _value(dut: Any, column: int) -> Value:
    """An accumulator of the row that comes out."""
    return dut.o_values[ACC_BITS * column : ACC_BITS * (column + 1)].as_signed()


SIZES: tuple[tuple[Pipeline, int, int], ...] = (("lean", 2, 2), ("lean", 3, 1), ("deep", 2, 2))
"""Pipelines, rows and columns of the arrays that are looked at: a lean one keeps its accumulators in another way, and
with more than two rows a weight-stationary one reads its memory in another way."""


def claims() -> list[Claim]:
    """All of them."""
    found = []
    for pipeline, rows, cols in SIZES:
        ws = DesignPoint(
            name="ws",
            dataflow="ws",
            rows=rows,
            cols=cols,
            x_depth=4,
            panel_rows=4,
            pipeline=pipeline,
            format=Format(2),
        )
        os = replace(ws, name="os", dataflow="os", w_depth=4)
        size = f"{pipeline}_{rows}x{cols}"
        found += [
            Claim(
                f"array_os_{size}",
                f"In an output-stationary array ({pipeline}, {rows}×{cols} cells) a cell is given the blocks of its "
                f"row and its column of the same beat. {latency(os)} cycles after a tile's last beat its rows begin to "
                "come out, one a cycle, row 0 first, as many as there are, marked as that beat was, with the sums of "
                f"their cells' products of the tile's beats; and no other rows. Last beats are {rows} cycles apart or "
                "more.",
                partial(output_stationary, os),
                Induction(latency(os) + 2 * rows, reach=latency(os) + 2 * rows),
                Bug("results move down, whichever tile they are of", r"above\[\d+\] == tile", "1'h1"),
            ),
            Claim(
                f"array_ws_{size}",
                f"In a weight-stationary array ({pipeline}, {rows}×{cols} cells) a beat meets, in each cell, the "
                "weight that was sent to the cell last before the slice was taken over. A row of accumulators comes "
                f"out {latency(ws)} cycles after the beat that finishes it, marked as that was, with the sums of the "
                "products of all its beats since the one that started it, whatever rows come between; and no other.",
                partial(weight_stationary, ws),
                Induction(latency(ws) + 2, reach=latency(ws) + 6),
                Bug("what is being written is read from memory", r"in_out \? out_(\d)", r"in_out ? before_\1"),
            ),
        ]
    return found

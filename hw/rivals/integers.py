"""Integers: products by multipliers, squares, or the bits of all lanes in one sum; group scales; bipolar planes."""

from dataclasses import dataclass
from typing import Literal

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout, View
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from hw.array.cell import square
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.values import register, wire

Product = Literal["booth", "squares", "bits"]
"""How a cell multiplies: a multiplier per lane, which synthesis makes with Booth's recoding; squares of differences,
with norms from the edge, see `hw.array.cell`; or the bits of all lanes' products and the accumulator in one heap, OPT2.
"""

GROUP = 64
"""Entries that share a scale."""


@dataclass(frozen=True)
class Integers(Arithmetic):
    """Symmetric integers, x of `x_bits` and w of `w_bits`: acc = Σ x·w.

    Parameters
    ----------
    x_bits, w_bits : int
    product : "booth", "squares" or "bits"
    bits : int
        Of the accumulator.
    redundant : bool
        Whether it is carry-save, OPT1.
    """

    x_bits: int
    w_bits: int
    product: Product = "bits"
    bits: int = 32
    redundant: bool = False

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        sides = f"int{self.x_bits}" if self.x_bits == self.w_bits else f"int{self.x_bits}_int{self.w_bits}"
        return f"{sides}_{self.product}_{self.bits}" + ("_opt1" if self.redundant else "")

    @property
    def norm_bits(self) -> int:
        """Bits of Σ y² of the wider side."""
        return (DIM * (2 ** (max(self.x_bits, self.w_bits) - 1) - 1) ** 2).bit_length()

    def side(self, bits: int) -> StructLayout:
        """Eight integers, and their norm if products come from squares."""
        lanes = {"y": ArrayLayout(signed(bits), DIM)}
        return StructLayout(lanes | {"norm": self.norm_bits} if self.product == "squares" else lanes)

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return self.side(self.x_bits)

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.side(self.w_bits)

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        # With squares the accumulator is that of 2·Σ x·w: halving a block's sum would cost a carry chain of its own.
        return self.bits + (self.product == "squares")

    @property
    def carry_save(self) -> bool:
        """Whether the accumulator is kept as two numbers, which are added up on the way out."""
        return self.redundant

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        if self.product == "squares":
            heap.add(x.norm)
            heap.add(w.norm)
        for i in range(DIM):
            if self.product == "squares":
                heap.subtract(square(wire(heap.m, "difference", x.y[i] - w.y[i])))
            elif self.product == "bits":
                heap.multiply(x.y[i], w.y[i])
            else:
                heap.add(x.y[i] * w.y[i])


@dataclass(frozen=True)
class Planes(Arithmetic):
    """Bipolar integers, planes of ±1 with value Σ ±2^i: products of planes count equal signs (arXiv 2409.17870).

    Parameters
    ----------
    planes : int
    """

    planes: int = 4

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"planes{self.planes}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return StructLayout({"planes": ArrayLayout(DIM, self.planes)})

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.x

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return 32

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        # A pair of planes gives 2·(equal signs) − 8, at the weight of both.
        for i in range(self.planes):
            for j in range(self.planes):
                equal = ~(x.planes[i] ^ w.planes[j])
                for lane in range(DIM):
                    heap.bit(equal[lane], i + j + 1)
                heap.constant(-DIM << (i + j))


class IntegerNorm(wiring.Component):
    """Appends Σ y² to blocks of integers, for cells with squares: latency `LATENCY`, one block per cycle.

    Parameters
    ----------
    arithmetic : Integers
    """

    LATENCY = 1

    def __init__(self, arithmetic: Integers):
        self.arithmetic = arithmetic
        self.unit = f"rival_norm_{arithmetic.name}"
        block = StructLayout({"y": arithmetic.x["y"].shape})
        super().__init__({"i": In(block), "o": Out(arithmetic.x)})

    def elaborate(self, platform: object) -> Module:
        """The registers and the sum."""
        m = Module()
        squares = [square(wire(m, f"y_{i}", Cat(self.i.y[i], self.i.y[i][-1]))) for i in range(DIM)]
        heap = Heap(m, self.arithmetic.norm_bits)
        for value in squares:
            heap.add(value)
        m.d.comb += [
            self.o.norm.eq(register(m, "norm", heap.total())),
            self.o.y.as_value().eq(register(m, "y", self.i.y.as_value())),
        ]
        return m


class GroupScale(wiring.Component):
    """At the bottom of eight cells of a column: a group's sums times the scales of its row and its column, added up.

    A group of 64 takes eight blocks, so eight cycles, in which the sums of eight rows come down one by one. Scales are
    8-bit integers, one per group and row (VS-Quant, arXiv 2102.04503); eight accumulators of 32 bits go round.

    Parameters
    ----------
    bits : int
        Of a group's sum, signed.

    Members
    -------
    i : In(signed)
        The sum of a row's group.
    x, w : In(8)
        The scales.
    valid, first : In(1)
        Whether there is a sum; whether it is of the first group of its row.
    o : Out(signed(32))
        The row's accumulator, two cycles later.
    """

    ROWS = GROUP // DIM

    def __init__(self, bits: int):
        self.bits, self.unit = bits, f"rival_group_scale_{bits}"
        super().__init__(
            {"i": In(signed(bits)), "x": In(8), "w": In(8), "valid": In(1), "first": In(1), "o": Out(signed(32))}
        )

    def elaborate(self, platform: object) -> Module:
        """The registers and the sum."""
        m = Module()
        both = register(m, "both", self.x * self.w)
        value = register(m, "value", self.i)
        first = register(m, "first_held", self.first)
        valid = register(m, "valid_held", self.valid, reset_less=False)
        # The accumulators go round in every cycle: where there is no sum, nothing is added.
        ring = [Signal(signed(32), name=f"ring_{i}", reset_less=True) for i in range(self.ROWS)]
        heap = Heap(m, 32)
        heap.multiply((value.as_unsigned() & valid.replicate(self.bits)).as_signed(), both)
        heap.add(ring[-1].as_unsigned() & ~first.replicate(32))
        m.d.sync += [ring[0].eq(heap.total()), *(ring[i].eq(ring[i - 1]) for i in range(1, self.ROWS))]
        m.d.comb += self.o.eq(ring[0])
        return m

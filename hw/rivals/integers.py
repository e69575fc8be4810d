"""Integers: products by multipliers, squares, or the bits of all lanes in one sum; bipolar planes."""

from dataclasses import dataclass
from typing import Literal

from amaranth import Cat, Module, signed
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
    bits : int
        Of the accumulator.
    """

    planes: int = 4
    bits: int = 32

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
        return self.bits

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        # A pair of planes gives 2·(equal signs) − 8, at the weight of both.
        for i in range(self.planes):
            for j in range(self.planes):
                equal = ~(x.planes[i] ^ w.planes[j])
                for lane in range(DIM):
                    heap.bit(equal[lane], i + j + 1)
                heap.constant(-DIM << (i + j))


class Norm(wiring.Component):
    """Appends Σ y² to blocks of integers, for cells with squares: latency `LATENCY`, one block per cycle.

    Parameters
    ----------
    layout : StructLayout
        Of a block with its `norm`.
    halvings : int
        How many of the lowest bits of Σ y² are always 0, and left out.

    Members
    -------
    i : In(block); o : Out(block with its norm)
    """

    LATENCY = 1

    def __init__(self, layout: StructLayout, halvings: int = 0):
        self.halvings = halvings
        self.unit = f"rival_norm_{layout['y'].width}_{layout['norm'].width}"
        block = {name: shape for name, shape in layout.members.items() if name != "norm"}
        super().__init__({"i": In(StructLayout(block)), "o": Out(layout)})

    def elaborate(self, platform: object) -> Module:
        """The registers and the sum."""
        m = Module()
        squares = [square(wire(m, f"y_{i}", Cat(self.i.y[i], self.i.y[i][-1]))) for i in range(DIM)]
        heap = Heap(m, len(self.o.norm) + self.halvings)
        for value in squares:
            heap.add(value)
        m.d.comb += self.o.norm.eq(register(m, "norm", heap.total()[self.halvings :]))
        for field in self.i.shape().members:
            m.d.comb += self.o[field].eq(register(m, field, self.i[field]))
        return m

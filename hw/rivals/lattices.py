"""Lattice cells that were not taken: squares in the lean cell, and NestQuant's."""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Value, signed
from amaranth.lib.data import ArrayLayout, StructLayout, View

from golden.lattice import DIM
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS
from hw.array.cell import square
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.array.operands import inner_bits
from hw.array.products import Products
from hw.values import register, wire


@dataclass(frozen=True)
class Squares(Products):
    """The lean cell with squares and norms, as `hw.array.cell` has them, instead of products."""

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"squares_{super().name}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return self.sides[0].with_norm

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.sides[1].with_norm

    def inner(self, m: Module, x: View, w: View) -> Value:
        """⟨x, w⟩ halved: 2·⟨x, w⟩ = ‖x‖² + ‖w‖² − ‖x − w‖², of which the two lowest bits are 0 in all."""
        total = Heap(m, inner_bits(*self.sides) + 2)
        total.add(x.norm, 2)
        total.add(w.norm, 2)
        for i in range(DIM):
            total.subtract(square(wire(m, "difference", x.y[i] - w.y[i])))
        return total.total()[2:]


@dataclass(frozen=True)
class NestQuantProduct(Arithmetic):
    """NestQuant's cell: points of E8 in the D8 form with q = 14, doubled to integers of six bits, and real multipliers.

    acc = Σ b_x·b_w·⟨2x, 2w⟩ with b the authors' multipliers, those of weights times 2 (which is exact), and those of
    activations times 8, rounded. The products of two multipliers come from a table.
    """

    BETAS_X = tuple(round(8 * beta) for beta in BETA0_ACTIVATIONS)
    BETAS_W = tuple(round(2 * beta) for beta in BETA0_WEIGHTS)

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return "nestquant"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return StructLayout({"y": ArrayLayout(signed(6), DIM), "beta": 2})

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.x

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return 36

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the inner product."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        # |2y| ≤ 28 in every coordinate, and ‖2y‖² ≤ 4·q², the square of the covering radius 1 of E8 times 2q.
        inner = Heap(heap.m, 11)
        for i in range(DIM):
            inner.multiply(x.y[i], w.y[i])
        # A product of two multipliers is a table of sixteen entries.
        factors = [bx * bw for bw in self.BETAS_W for bx in self.BETAS_X]
        bits = max(factors).bit_length()
        choice = register(heap.m, "choice", Cat(x.beta, w.beta), cycles=self.stages)
        factor = wire(heap.m, "factor", Array(Const(number, bits) for number in factors)[choice])
        value = register(heap.m, "inner", wire(heap.m, "inner_now", inner.total()), cycles=self.stages)
        heap.multiply(value.as_signed(), factor)

"""Lattice cells on the rivals' terms: squares instead of products in the lean cell, and packed weights by int8."""

from dataclasses import dataclass
from math import isqrt

from amaranth import Module, Value, signed
from amaranth.lib.data import ArrayLayout, StructLayout, View

from golden.format import Format
from golden.lattice import DIM
from hw.array.cell import square, times_beta
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.array.operands import inner_bits, packed_operand
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
class LatticeByInt8(Arithmetic):
    """Packed weights by int8 activations in one pass of 8×5 bits with q = 16: acc = Σ β·⟨x, w⟩.

    Parameters
    ----------
    format : Format
        Of the weights.
    """

    format: Format

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"lattice_q{self.format.q}_by_int8"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return StructLayout({"y": ArrayLayout(signed(8), DIM)})

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return packed_operand(self.format).block

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return 32

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the inner product."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        # By Cauchy and Schwarz.
        inner = Heap(heap.m, isqrt(self.format.norm_bound * DIM * 128**2).bit_length() + 1)
        for i in range(DIM):
            inner.multiply(x.y[i], w.y[i])
        value = register(heap.m, "inner", wire(heap.m, "inner_now", inner.total()), cycles=self.stages).as_signed()
        beta = register(heap.m, "beta", w.beta, cycles=self.stages) if self.format.beta_bits else None
        heap.add(wire(heap.m, "times", times_beta(value, beta, self.format.betas)))

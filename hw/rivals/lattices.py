"""Lattice cells on the rivals' terms: this project's numbers with one register per operand, and by int8."""

from dataclasses import dataclass
from math import isqrt

from amaranth import signed
from amaranth.lib.data import ArrayLayout, StructLayout, View

from golden.format import Format
from golden.lattice import DIM
from hw.array.cell import acc_bits, square, times_beta
from hw.array.operands import inner_bits, packed_operand
from hw.rivals.cell import Arithmetic
from hw.rivals.heap import Heap
from hw.values import register, wire


@dataclass(frozen=True)
class Lattice(Arithmetic):
    """Decoded labels: acc = Σ β·β·⟨x, w⟩ / 2, from squares, see `hw.array.cell`, or from the bits of all products.

    Parameters
    ----------
    format : Format
    squares : bool
    """

    format: Format
    squares: bool = True

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        betas = "_".join(map(str, self.format.betas))
        return f"lattice_q{self.format.q}_beta{betas}_{'squares' if self.squares else 'bits'}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        side = packed_operand(self.format)
        return side.with_norm if self.squares else side.block

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.x

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return acc_bits(packed_operand(self.format))

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the inner product."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        side = packed_operand(self.format)
        # One bit more than half of the inner product: it is even, and its lowest bit falls away.
        inner = Heap(heap.m, inner_bits(side, side) + (2 if self.squares else 1))
        if self.squares:
            # 2·⟨x, w⟩ = ‖x‖² + ‖w‖² − ‖x − w‖², of which the two lowest bits are 0 in all.
            inner.add(x.norm, 2)
            inner.add(w.norm, 2)
            for i in range(DIM):
                inner.subtract(square(wire(heap.m, "difference", x.y[i] - w.y[i])))
        else:
            for i in range(DIM):
                inner.multiply(x.y[i], w.y[i])
        value = inner.total()[2 if self.squares else 1 :].as_signed()
        value = register(heap.m, "inner", wire(heap.m, "inner_now", value), cycles=self.stages).as_signed()
        for name, block in (("times_x", x), ("times_both", w)):
            beta = register(heap.m, f"{name}_beta", block.beta, cycles=self.stages) if self.format.beta_bits else None
            value = wire(heap.m, name, times_beta(value, beta, self.format.betas))
        heap.add(value)


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

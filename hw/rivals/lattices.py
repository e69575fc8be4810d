"""Lattice cells on the rivals' terms: this project's numbers with one register per operand, and NestQuant's."""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, signed
from amaranth.lib.data import ArrayLayout, StructLayout, View

from golden.format import Format
from golden.lattice import DIM
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS
from hw.array.cell import acc_bits, square, times_beta
from hw.array.operands import inner_bits, packed_operand
from hw.rivals.cell import Arithmetic
from hw.rivals.heap import Heap
from hw.values import wire


@dataclass(frozen=True)
class Lattice(Arithmetic):
    """Decoded labels: acc = Σ β·β·⟨x, w⟩ / 2, from squares, see `hw.array.cell`, or from the bits of all products.

    Parameters
    ----------
    format : Format
    squares : bool
    bits : int
        Of the accumulator; 0 for as many as `hw.array.cell.Cell` has.
    """

    format: Format
    squares: bool = True
    bits: int = 0

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        betas = "_".join(map(str, self.format.betas))
        return f"lattice_q{self.format.q}_beta{betas}_{'squares' if self.squares else 'bits'}_{self.acc_bits}"

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
        return self.bits or acc_bits(packed_operand(self.format))

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
        value = wire(heap.m, "inner", inner.total()[2 if self.squares else 1 :].as_signed())
        index = self.format.beta_bits > 0
        value = wire(heap.m, "times_x", times_beta(value, x.beta if index else None, self.format.betas))
        heap.add(wire(heap.m, "times_both", times_beta(value, w.beta if index else None, self.format.betas)))


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

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        # |2y| ≤ 28 in every coordinate, and ‖2y‖² ≤ 4·q², the square of the covering radius 1 of E8 times 2q.
        inner = Heap(heap.m, 11)
        for i in range(DIM):
            inner.multiply(x.y[i], w.y[i])
        # A product of two multipliers is a table of sixteen entries.
        factors = [bx * bw for bw in self.BETAS_W for bx in self.BETAS_X]
        bits = max(factors).bit_length()
        choice = wire(heap.m, "choice", Cat(x.beta, w.beta))
        factor = wire(heap.m, "factor", Array(Const(number, bits) for number in factors)[choice])
        heap.multiply(wire(heap.m, "inner", inner.total()), factor)

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
from hw.values import register, wire


@dataclass(frozen=True)
class Lattice(Arithmetic):
    """Decoded labels: acc = Σ β·β·⟨x, w⟩ / 2, from squares, see `hw.array.cell`, or from the bits of all products.

    Parameters
    ----------
    format : Format
    squares : bool
    registered : bool
        Whether there is a register behind the inner product, before the multipliers β.
    """

    format: Format
    squares: bool = True
    registered: bool = True

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        betas = "_".join(map(str, self.format.betas))
        kind = ("squares" if self.squares else "bits") + ("_registered" if self.registered else "")
        return f"lattice_q{self.format.q}_beta{betas}_{kind}"

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
        """Registers within the product."""
        return int(self.registered)

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

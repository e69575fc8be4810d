"""What lean cells add: the bits of all products of a block in one sum, a register behind it, and then the factors.

A carry-save tree adds up the bits, and one carry chain follows. The register stops the glitches of the tree, which
would run through both factors and the accumulator. Standard cells make as little of a product of five bits as of a
square with its norm, and there are no norms at the edge and on the way.
"""

from dataclasses import dataclass

from amaranth import Module, Value
from amaranth.lib.data import StructLayout, View

from golden.lattice import DIM
from hw.array.cell import WeightKeeper, times_beta
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.array.operands import Form, Operand, inner_bits
from hw.values import register, wire


@dataclass(frozen=True)
class Products(Arithmetic):
    """acc = Σ factor·factor·⟨x, w⟩, halved if quartered, see `hw.array.operands.Operand`.

    Parameters
    ----------
    sides : pair of Operand
        Activations and weights.
    bits : int
        Of the accumulator.
    """

    STAGES = 1

    sides: tuple[Operand, Operand]
    bits: int

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"{self.sides[0].name}_by_{self.sides[1].name}_{self.bits}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return self.sides[0].block

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.sides[1].block

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return self.bits

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the inner product."""
        return self.STAGES

    def inner(self, m: Module, x: View, w: View) -> Value:
        """⟨x, w⟩ within the cycle, halved if quartered: its lowest bit is 0 then, and falls away."""
        halved = int(self.sides[0].quartered)
        total = Heap(m, inner_bits(*self.sides) + halved)
        for i in range(DIM):
            total.multiply(x.y[i], w.y[i])
        return total.total()[halved:]

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        value = wire(heap.m, "inner_now", self.inner(heap.m, x, w).as_signed())
        value = register(heap.m, "inner", value, cycles=self.stages).as_signed()
        for name, side, block in (("times_x", self.sides[0], x), ("times_both", self.sides[1], w)):
            beta = register(heap.m, f"{name}_beta", block.beta, cycles=self.stages) if side.factor_bits else None
            value = wire(heap.m, name, times_beta(value, beta, side.factors))
        heap.add(value)


class LeanStationaryCell(WeightKeeper):
    """A weight-stationary cell with the products of lean cells.

    Parameters
    ----------
    products : Products
        With the bits of a sum.
    hops : int
        As of `WeightKeeper`.
    """

    form: Form = "block"

    def __init__(self, products: Products, hops: int):
        self.products, self.unit = products, f"lean_stationary_cell_{products.name}_{hops}"
        super().__init__(products.x, products.w, hops, products.bits, products.stages)

    def elaborate(self, platform: object) -> Module:
        """The weights; the products and the sum from above in one."""
        m = Module()
        heap = Heap(m, self.products.bits)
        self.products.add(heap, self.x, self.keep(m))
        heap.add(self.above)
        m.d.comb += self.o.eq(register(m, "sum", heap.total()))
        return m

"""Scales of groups: at the bottom of a column, once for eight cells, or in every cell."""

from dataclasses import dataclass

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout, View
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.values import register, wire

GROUP = 64
"""Entries that share a scale."""

SCALE_BITS = 8
"""Of a scale, an integer times the row's real one (VS-Quant, arXiv 2102.04503)."""


def group_bits(width: int) -> int:
    """Bits of a group's sum of products of symmetric integers of that many bits, signed."""
    return (GROUP * (2 ** (width - 1) - 1) ** 2).bit_length() + 1


@dataclass(frozen=True)
class ScaledIntegers(Arithmetic):
    """Symmetric integers whose cells apply the scales of row and column to each block: acc = Σ s_x·s_w·Σ x·w.

    Parameters
    ----------
    bits : int
        Of an integer.
    """

    bits: int

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"scaled_int{self.bits}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        return StructLayout({"y": ArrayLayout(signed(self.bits), DIM), "scale": SCALE_BITS})

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
        """Registers within the product: one, behind the block's sum, before its scales."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        block = Heap(heap.m, (DIM * (2 ** (self.bits - 1) - 1) ** 2).bit_length() + 1)
        for i in range(DIM):
            block.multiply(x.y[i], w.y[i])
        value = register(heap.m, "block", wire(heap.m, "block_now", block.total()), cycles=self.stages)
        both = register(heap.m, "both", x.scale * w.scale, cycles=self.stages)
        heap.multiply(value.as_signed(), both)


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
            {
                "i": In(signed(bits)),
                "x": In(SCALE_BITS),
                "w": In(SCALE_BITS),
                "valid": In(1),
                "first": In(1),
                "o": Out(signed(32)),
            }
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

"""Four-bit floating point with block scales: MXFP4 and NVFP4, accumulated exactly.

An element is a sign and one of 0, ½, 1, 1½, 2, 3, 4, 6; twice that is an integer of four bits. Scales are powers of two
(MXFP4), or have four significant bits too (NVFP4). Their exponents are counted from the least of a row, which the edge
subtracts, and rows whose groups differ by more than the cell's range are packed with larger scales.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Value
from amaranth.lib.data import ArrayLayout, StructLayout, View

from golden.lattice import DIM
from hw.array.heap import Heap
from hw.array.lean import Arithmetic
from hw.values import register, wire

MAGNITUDES = (0, 1, 2, 3, 4, 6, 8, 12)
"""Twice the magnitudes of E2M1, by code."""


@dataclass(frozen=True)
class Microscaling(Arithmetic):
    """Blocks of E2M1 with a scale each: acc = Σ 2^(e_x + e_w)·s_x·s_w·(2x)·(2w).

    Parameters
    ----------
    exponent_bits : int
        Of a side's scale: groups of a row may differ by 2^(2^exponent_bits − 1).
    significand : bool
        Whether scales have a significand s of four bits, NVFP4's, or s is 1, MXFP4's.
    """

    exponent_bits: int = 3
    significand: bool = False

    @property
    def name(self) -> str:
        """Tells it apart in the names of modules."""
        return f"{'nvfp4' if self.significand else 'mxfp4'}_{self.exponent_bits}"

    @property
    def x(self) -> StructLayout:
        """What it takes of a row."""
        scale = {"exponent": self.exponent_bits} | ({"significand": 4} if self.significand else {})
        return StructLayout({"codes": ArrayLayout(4, DIM)} | scale)

    @property
    def w(self) -> StructLayout:
        """What it takes of a column."""
        return self.x

    @property
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""
        return 32

    @property
    def stages(self) -> int:
        """Registers within the product: one, behind the block's sum, before its scales."""
        return 1

    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make."""
        block = Heap(heap.m, (DIM * MAGNITUDES[-1] ** 2).bit_length() + 1)
        for i in range(DIM):
            negative = wire(heap.m, "negative", x.codes[i][3] ^ w.codes[i][3])
            lane = Heap(heap.m, 8)
            lane.multiply(_magnitude(heap, x.codes[i]), _magnitude(heap, w.codes[i]))
            product = wire(heap.m, "product", lane.total().as_unsigned())
            # −p is p with its bits inverted, and one more.
            for j in range(len(product)):
                block.bit(product[j] ^ negative, j)
            block.bit(negative, 0)
            block.bit(negative, len(product), negative=True)
        value = register(heap.m, "block", wire(heap.m, "block_now", block.total()), cycles=self.stages).as_signed()
        if self.significand:
            significands = register(heap.m, "significands", x.significand * w.significand, cycles=self.stages)
            scaled = Heap(heap.m, len(value) + 8)
            scaled.multiply(value, significands)
            value = wire(heap.m, "scaled", scaled.total())
        shift = register(heap.m, "shift", x.exponent + w.exponent, cycles=self.stages)
        heap.add(wire(heap.m, "shifted", (value << shift)[: self.acc_bits].as_signed()))


def _magnitude(heap: Heap, code: Value) -> Value:
    """Twice the magnitude of an element, four bits."""
    bits = []
    for j in range(4):
        table = sum(((number >> j) & 1) << k for k, number in enumerate(MAGNITUDES))
        bits.append(Const(table, 8).bit_select(code[:3], 1))
    return wire(heap.m, "magnitude", Cat(bits))

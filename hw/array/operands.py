"""What the two sides of the array work on: decoded blocks, or digits of int8.

An int8 block is two blocks of digits, v = 16·high + low with high in −8…7 and low in 0…15: the array takes them one
after the other, with 16 and 1 in the place of β. So the cells that multiply lattice points multiply int8 as well.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Literal

from amaranth import signed
from amaranth.hdl import ShapeLike
from amaranth.lib.data import ArrayLayout, StructLayout

from golden.format import Format
from golden.lattice import DIM
from hw.design import ACC_BITS, NIBBLE, DesignPoint

PAIRS = DIM // 2
"""Pairs of coordinates in a block."""

DIGIT_FACTORS = (1 << NIBBLE, 1)
"""What the high and the low digits of int8 are multiplied by."""

DIGIT_NORM = DIM * ((1 << NIBBLE) - 1) ** 2
"""Bound on ‖y‖² of a block of digits."""


DIGITS_SQUARE = DIM << 14
"""Bound on ‖v‖² of a block of int8."""

Form = Literal["block", "norm", "pairs"]
"""A block as a cell takes it: as it is; with its norm, to look up squares; or in pairs, to multiply."""


@dataclass(frozen=True)
class Operand:
    """One side of the array.

    Attributes
    ----------
    point_bits : int
        Bits of a coordinate, signed.
    factors : tuple of int
        What a block may be multiplied by: the β of the format, then the digits' factors.
    norm_bound : int
        Bound on ‖y‖².
    quartered : bool
        Whether all blocks of both sides are points of Λ: their norms are multiples of 4 and their inner products even,
        and are kept without these factors.
    """

    point_bits: int
    factors: tuple[int, ...]
    norm_bound: int
    quartered: bool

    @property
    def name(self) -> str:
        """Tells operands apart in the names of modules."""
        return f"{self.point_bits}_{'_'.join(map(str, self.factors))}_{self.norm_bits}"

    @property
    def factor_bits(self) -> int:
        """Bits of the index of the factor; 0 when there is only one."""
        return (len(self.factors) - 1).bit_length()

    @property
    def norm_bits(self) -> int:
        """Bits of the norm as it is kept: ‖y‖²/4 if quartered, else ‖y‖²."""
        return (self.norm_bound // (4 if self.quartered else 1)).bit_length()

    @property
    def block(self) -> StructLayout:
        """A block: eight coordinates `y`, and `beta`, the index of the factor if there is a choice."""
        fields: dict[str, ShapeLike] = {"y": ArrayLayout(signed(self.point_bits), DIM)}
        if self.factor_bits:
            fields["beta"] = self.factor_bits
        return StructLayout(fields)

    @property
    def with_norm(self) -> StructLayout:
        """A block with its norm, as the cells that look up squares take it."""
        return StructLayout(self.block.members | {"norm": self.norm_bits})

    @property
    def in_pairs(self) -> StructLayout:
        """A block as the cells that multiply take it: of each pair of coordinates the `low` one, and what is above it
        in their common operand, see `hw.array.pairs`."""
        fields: dict[str, ShapeLike] = {
            "low": ArrayLayout(signed(self.point_bits), PAIRS),
            "high": ArrayLayout(signed(self.point_bits + 1), PAIRS),
        }
        return StructLayout(fields | {name: shape for name, shape in self.block.members.items() if name == "beta"})

    def layout(self, form: Form) -> StructLayout:
        """A block in one of its forms."""
        return {"block": self.block, "norm": self.with_norm, "pairs": self.in_pairs}[form]


def packed_operand(format: Format, *, quartered: bool = True) -> Operand:
    """A side whose blocks are all decoded labels."""
    return Operand(format.point_bits, format.betas, format.norm_bound, quartered)


def operands(design: DesignPoint) -> tuple[Operand, Operand]:
    """The sides of a design's array: activations and weights."""
    format, w = design.format, packed_operand(design.format, quartered=not design.int8)
    if not design.int8:
        return w, w
    bits, bound = (format.point_bits, format.norm_bound) if design.packed else (0, 0)
    factors = (format.betas if design.packed else ()) + DIGIT_FACTORS
    return Operand(max(bits, NIBBLE + 1), factors, max(bound, DIGIT_NORM), False), w


def inner_bits(x: Operand, w: Operand) -> int:
    """Bits of an inner product as it is kept, signed, half of it if quartered; by Cauchy and Schwarz."""
    bound = isqrt(x.norm_bound * w.norm_bound)
    return (bound // 2 if x.quartered else bound).bit_length() + 1


def acc_bits(operand: Operand) -> int:
    """Bits of an accumulator as cells keep it: halved if quartered."""
    return ACC_BITS - 1 if operand.quartered else ACC_BITS


def sum_bits(design: DesignPoint, blocks: int) -> int:
    """Bits of an accumulator that holds any sum of so many blocks' products, as cells keep it, signed; as many as it
    has outside at most. By Cauchy and Schwarz."""
    x, _ = operands(design)
    w_square = max(design.format.betas) ** 2 * design.format.norm_bound
    x_square = max(w_square if design.packed else 0, DIGITS_SQUARE if design.int8 else 0)
    bound = isqrt(x_square * w_square * blocks**2)
    return min((bound >> x.quartered).bit_length() + 1, acc_bits(x))


def job_bits(design: DesignPoint) -> int:
    """Bits of the accumulators of a design: all of them if it is deep, or else what its longest jobs need."""
    if design.pipeline == "deep":
        return acc_bits(operands(design)[0])
    blocks = min(design.x_depth, design.w_depth) if design.dataflow == "os" else design.x_depth * design.rows
    return sum_bits(design, blocks)

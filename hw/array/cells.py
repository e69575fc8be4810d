"""The cells of a design's array."""

from hw.array.cell import PRODUCT_LATENCY, Cell, SquaredNorm, StationaryCell
from hw.array.lean import DotCell
from hw.array.operands import job_bits, operands, sum_bits
from hw.array.products import LeanStationaryCell, Products
from hw.design import DesignPoint

AnyCell = Cell | DotCell | StationaryCell | LeanStationaryCell
"""A cell of either array and either pipeline."""


def output_stationary_cell(design: DesignPoint, column: int) -> Cell | DotCell:
    """A cell of a column of an output-stationary array."""
    sides = operands(design)
    if design.pipeline == "lean":
        return DotCell(Products(sides, job_bits(design)))
    return Cell(*sides, multiply=_multiplies(design, column))


def weight_stationary_cell(design: DesignPoint, column: int) -> StationaryCell | LeanStationaryCell:
    """A cell of a column of a weight-stationary array. A lean one has sums as wide as those of a column get."""
    sides, hops = operands(design), design.rows - 1
    if design.pipeline == "lean":
        return LeanStationaryCell(Products(sides, sum_bits(design, design.rows)), hops)
    return StationaryCell(*sides, hops, multiply=_multiplies(design, column))


def _multiplies(design: DesignPoint, column: int) -> bool:
    return column >= design.cols - design.dsp_cols


def at_edge(design: DesignPoint) -> int:
    """Cycles that blocks take at the edge of the array: those of a norm, which a lean array has none of."""
    return SquaredNorm.LATENCY if design.pipeline == "deep" else 0


def to_sum(design: DesignPoint) -> int:
    """Cycles from two blocks at a cell to the sum that they are added to."""
    if design.pipeline == "deep":
        return PRODUCT_LATENCY
    return Products.STAGES + (design.dataflow == "os")  # an output-stationary cell holds them in its registers first

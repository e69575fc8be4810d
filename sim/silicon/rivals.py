"""The rivals as units: their cells, and real rows in their number formats."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from golden.format import Format
from golden.lattice import DIM
from golden.rivals.integers import CLIPS
from golden.rivals.microscaling import E2M1_MAX
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS, NestQuant
from hw.array.lean import Arithmetic, DotCell
from hw.array.operands import acc_bits, packed_operand
from hw.array.products import Products
from hw.generate import generate
from hw.rivals.floats import MAGNITUDES, Microscaling
from hw.rivals.integers import GROUP, GroupScale, IntegerNorm, Integers, Planes, Product
from hw.rivals.lattices import NestQuantProduct, Squares
from sim.silicon.gates import Stimulus
from sim.silicon.operands import Row, Workload, bits, packed
from sim.silicon.units import Unit, still

GROUP_BITS = {4: 15, 5: 17, 6: 19}
"""Bits of a group's sum of 64 products, by those of an integer; its scales are applied at the bottom of the column."""

Fields = dict[str, npt.NDArray[Any]]
"""Values of a side's fields, block by block."""

Coder = Callable[[Workload, int], Fields]
"""The fields of side 0, activations, or 1, weights, of a workload."""


@dataclass(frozen=True)
class Rival:
    """A cell, the operands that it takes, and what it adds for a pair of blocks.

    Attributes
    ----------
    name : str
    arithmetic : Arithmetic
    operands : callable
    product : callable
        What a cell adds, from the fields of either side: integers `(blocks,)`.
    """

    name: str
    arithmetic: Arithmetic
    operands: Coder
    product: Callable[[Fields, Fields], npt.NDArray[np.int64]]

    def events(self) -> dict[str, Callable[[Workload], Stimulus]]:
        """A block per cycle; a cycle without one; a cycle without one in which results move down."""
        layouts = (self.arithmetic.x, self.arithmetic.w)

        def compute(work: Workload) -> Stimulus:
            x, w = (bits(layout, self.operands(work, side)) for side, layout in enumerate(layouts))
            return {"x": x, "w": w, "token": 1 + 2 * work.last().astype(object)}

        def idle(work: Workload) -> Stimulus:
            return dict(still(compute(work))) | {"token": np.zeros(work.blocks, dtype=np.int64)}

        def drain(work: Workload) -> Stimulus:
            sums = np.cumsum(self.product(self.operands(work, 0), self.operands(work, 1)))
            results = np.diff(sums[np.flatnonzero(work.last())], prepend=0)
            above = results[np.arange(work.blocks) % len(results)] & ((1 << self.arithmetic.acc_bits) - 1)
            return dict(idle(work)) | {"shift": np.ones(work.blocks, dtype=np.int64), "above": above.astype(object)}

        return {"compute": compute, "idle": idle, "drain": drain}

    def unit(self) -> Unit:
        """Its cell."""
        return _unit(f"rival_{self.name}", partial(DotCell, self.arithmetic), self.events(), DIM)


def rivals() -> dict[str, Rival]:
    """All rivals with a cell, by name; lattice cells of the same build among them."""
    made = []
    products: tuple[Product, ...] = ("bits", "squares")
    for width, growth in GROUP_BITS.items():
        for product in products:
            made.append(_integers(f"int{width}_g64_{product}", Integers(width, width, product, growth)))
    made += [
        _integers("int4", Integers(4, 4)),
        _integers("int8_booth", Integers(8, 8, "booth")),
        _integers("int8", Integers(8, 8)),
        _integers("int8_opt1", Integers(8, 8, redundant=True)),
        _integers("int8_by_int4", Integers(8, 4)),
        Rival("mxfp4", Microscaling(), _mxfp4, _floating),
        Rival("nvfp4", Microscaling(2, True), _nvfp4, _floating),
        Rival("nestquant", NestQuantProduct(), _nestquant, _nestquant_product),
        Rival("planes4", Planes(), _planes, _planes_product),
    ]
    for format in (Format(16), Format(8), Format(4), Format(16, (4,)), Format(16, (2, 3, 4, 6))):
        made += [_lattice(format, squares) for squares in (True, False)]
    return {rival.name: rival for rival in made}


def units() -> dict[str, Unit]:
    """The rivals' cells and what they have at the edge, by name."""
    made = [rival.unit() for rival in rivals().values()]
    for width, growth in GROUP_BITS.items():
        arithmetic = Integers(width, width, "squares", growth)
        made.append(_unit(f"rival_norm_int{width}", partial(IntegerNorm, arithmetic), _norm_events(arithmetic)))
        made.append(_unit(f"rival_scale_int{width}", partial(GroupScale, growth), _scale_events(arithmetic)))
    return {unit.name: unit for unit in made}


def _unit(
    name: str,
    make: Callable[[], wiring.Component],
    events: Mapping[str, Callable[[Workload], Stimulus]],
    macs: int = 0,
) -> Unit:
    return Unit(name, lambda: generate(make(), name).verilog, events, macs)


def _blocks(rows: list[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """Rows one after the other, as blocks `(blocks, 8)`."""
    return np.concatenate([np.pad(row, (0, -len(row) % DIM)).reshape(-1, DIM) for row in rows]).astype(np.int64)


@cache
def _grouped_integers(work: Workload, side: int, width: int) -> npt.NDArray[np.int64]:
    """Symmetric integers of groups of 64, clipped where their squared error is least; scales are not in the cell."""
    top, rows = 2 ** (width - 1) - 1, []
    for pair in work.pairs:
        groups = np.pad(pair[side], (0, -len(pair[side]) % GROUP)).reshape(-1, 1, GROUP)
        step = np.maximum(np.abs(groups).max(axis=-1, keepdims=True), 1e-30) * CLIPS[:, None] / top
        codes = np.clip(np.rint(groups / step), -top, top)
        best = np.square(codes * step - groups).sum(axis=-1).argmin(axis=1)
        rows.append(codes[np.arange(len(codes)), best].reshape(-1)[: len(pair[side])])
    return _blocks(rows)


def _integers(name: str, arithmetic: Integers) -> Rival:
    def operands(work: Workload, side: int) -> Fields:
        width = (arithmetic.x_bits, arithmetic.w_bits)[side]
        y = _grouped_integers(work, side, width)
        return {"y": y} | ({"norm": np.square(y).sum(axis=1)} if arithmetic.product == "squares" else {})

    def product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
        return (x["y"] * w["y"]).sum(axis=1) << (arithmetic.product == "squares")

    return Rival(name, arithmetic, operands, product)


def _lattice(format: Format, squares: bool) -> Rival:
    side = packed_operand(format)
    arithmetic = (Squares if squares else Products)((side, side), acc_bits(side))

    def operands(work: Workload, side: int) -> Fields:
        blocks = packed(work, format)[side]
        fields = {"y": blocks.points, "beta": blocks.betas, "norm": np.square(blocks.points).sum(axis=1) // 4}
        known = arithmetic.x.members
        return {name: values for name, values in fields.items() if name in known}

    def product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
        factors = np.array(format.betas)
        zero = np.zeros(len(x["y"]), dtype=np.int64)
        both = factors[x.get("beta", zero)] * factors[w.get("beta", zero)]
        return (x["y"] * w["y"]).sum(axis=1) * both // 2

    betas = "" if format.betas == Format().betas else "_beta" + "_".join(map(str, format.betas))
    return Rival(f"lean_q{format.q}{betas}_{'squares' if squares else 'bits'}", arithmetic, operands, product)


def _e2m1(groups: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Codes of E2M1."""
    clipped = np.clip(groups, -E2M1_MAX, E2M1_MAX).astype(np.float32)
    return clipped.astype(ml_dtypes.float4_e2m1fn).view(np.uint8).astype(np.int64)


def _per_block(values: npt.NDArray[Any], group: int, blocks: int) -> npt.NDArray[np.int64]:
    return np.repeat(values.reshape(-1), group // DIM)[:blocks].astype(np.int64)


@cache
def _microscaling(work: Workload, side: int, group: int, significand: bool, span: int) -> tuple[npt.NDArray[Any], ...]:
    """Codes, and exponents and significands of the scales by block; exponents from the least of the row."""
    codes, exponents, significands = [], [], []
    for pair in work.pairs:
        row: Row = pair[side]
        groups = np.pad(row, (0, -len(row) % group)).reshape(-1, group)
        largest = np.maximum(np.abs(groups).max(axis=1, keepdims=True), 1e-30)
        if significand:
            fraction, exponent = np.frexp(largest / E2M1_MAX)
            digits = np.clip(np.rint(fraction * 16), 8, 15)
            exponent = exponent - 4
        else:
            digits, exponent = np.ones_like(largest), np.frexp(largest)[1] - 3
        exponent = np.maximum(exponent, exponent.max() - span)
        code = _e2m1(groups / (digits * np.exp2(exponent)))
        count = -(-len(row) // DIM)
        codes.append(code.reshape(-1)[: len(row)])
        exponents.append(_per_block(exponent - exponent.min(), group, count))
        significands.append(_per_block(digits, group, count))
    return _blocks(codes), np.concatenate(exponents), np.concatenate(significands)


def _mxfp4(work: Workload, side: int) -> Fields:
    codes, exponent, _ = _microscaling(work, side, 32, False, 7)
    return {"codes": codes, "exponent": exponent}


def _nvfp4(work: Workload, side: int) -> Fields:
    codes, exponent, digits = _microscaling(work, side, 16, True, 3)
    return {"codes": codes, "exponent": exponent, "significand": digits}


def _floating(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    def doubled(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.array(MAGNITUDES)[codes & 7] * np.where(codes & 8, -1, 1)

    ones = np.ones(len(x["codes"]), dtype=np.int64)
    factor = x.get("significand", ones) * w.get("significand", ones) << (x["exponent"] + w["exponent"])
    return (doubled(x["codes"]) * doubled(w["codes"])).sum(axis=1) * factor


@cache
def _nestquant_side(work: Workload, side: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    codec = NestQuant(betas=(BETA0_ACTIVATIONS, BETA0_WEIGHTS)[side])
    points, indices = [], []
    for pair in work.pairs:
        row = pair[side] / max(float(np.sqrt(np.square(pair[side]).mean())), 1e-30)
        values, index = codec.blocks(np.pad(row, (0, -len(row) % DIM)).reshape(-1, DIM))
        points.append(np.rint(2 * values / (np.array(codec.betas)[index] / codec.q)[:, None]).astype(np.int64))
        indices.append(index.astype(np.int64))
    return np.concatenate(points), np.concatenate(indices)


def _nestquant(work: Workload, side: int) -> Fields:
    points, index = _nestquant_side(work, side)
    return {"y": points, "beta": index}


def _nestquant_product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    factor = np.array(NestQuantProduct.BETAS_X)[x["beta"]] * np.array(NestQuantProduct.BETAS_W)[w["beta"]]
    return (x["y"] * w["y"]).sum(axis=1) * factor


def _planes(work: Workload, side: int) -> Fields:
    # Σ ±2^i over four planes: the odd integers from −15 to 15, as the code 0 … 15 stands for.
    codes = _grouped_integers(work, side, 4) + 8
    return {"planes": np.stack([((codes >> i) & 1) @ (1 << np.arange(DIM)) for i in range(4)], axis=1)}


def _planes_product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    def values(fields: Fields) -> npt.NDArray[np.int64]:
        planes = (fields["planes"][:, :, None] >> np.arange(DIM)) & 1
        return ((2 * planes - 1) << np.arange(4)[:, None]).sum(axis=1)

    return (values(x) * values(w)).sum(axis=1)


def _norm_events(arithmetic: Integers) -> dict[str, Callable[[Workload], Stimulus]]:
    def compute(work: Workload) -> Stimulus:
        y = _grouped_integers(work, 0, arithmetic.x_bits)
        return {"i": bits(StructLayout({"y": arithmetic.x["y"].shape}), {"y": y})}

    return {"compute": compute, "idle": lambda work: still(compute(work))}


def _scale_events(arithmetic: Integers) -> dict[str, Callable[[Workload], Stimulus]]:
    """A group's sum per cycle, of eight rows in turn."""

    def compute(work: Workload) -> Stimulus:
        x, w = (_grouped_integers(work, side, arithmetic.x_bits) for side in (0, 1))
        sums = np.cumsum((x * w).sum(axis=1) << 1)[7::8]
        sums = np.resize(np.diff(sums, prepend=0), work.blocks)
        rng = np.random.default_rng(0)
        scales = rng.integers(64, 256, (2, work.blocks))
        first = (np.arange(work.blocks) // GroupScale.ROWS) % 6 == 0
        ones = np.ones(work.blocks, dtype=np.int64)
        return {
            "i": sums.astype(object),
            "x": scales[0],
            "w": np.repeat(scales[1], 8)[: work.blocks],
            "valid": ones,
            "first": first * 1,
        }

    def idle(work: Workload) -> Stimulus:
        return dict(still(compute(work))) | {"valid": np.zeros(work.blocks, dtype=np.int64)}

    return {"compute": compute, "idle": idle}

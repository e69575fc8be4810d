"""The rivals as units: their cells, and what they have at the edge, with real rows in their number formats."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from golden.format import Format
from golden.lattice import DIM
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS
from hw.array.lean import Arithmetic, DotCell
from hw.array.operands import DIGIT_FACTORS, DIGITS_SQUARE, Operand, job_bits, packed_operand
from hw.array.operands import operands as sides
from hw.array.products import Products
from hw.design import NIBBLE
from hw.generate import generate
from hw.rivals.decoders import E8PDecoder, TrellisDecoder
from hw.rivals.floats import MAGNITUDES, Microscaling
from hw.rivals.integers import Integers, Norm, Planes, Product
from hw.rivals.lattices import LatticeByInt8, Squares
from hw.rivals.nestquant import LABEL, IntegerNestQuant, NestQuantDecoder, NestQuantProduct, Q
from hw.rivals.scales import GROUP, GroupScale, ScaledIntegers, group_bits
from sim.silicon import codes
from sim.silicon.gates import Stimulus
from sim.silicon.operands import Workload, bits, packed
from sim.silicon.units import Unit, lean, still

LEAN = lean(Format())
"""The lean design that is measured; rivals' accumulators hold the sum of as long a row."""

WIDTHS = (2, 3, 4, 5, 6)
"""Bits of the integers that are measured with a scale per group of 64, applied at the bottom of the column."""

TRELLIS_BITS = 2
"""Bits per weight of the trellis code that is measured."""

DRESSES: dict[str, Product] = {"": "bits", "_squares": "squares", "_booth": "booth"}
"""How cells of int8 multiply, by the end of their name."""

QUICK = ("int4_g64_bits", "int5_g64_bits", "scale_int4", "scale_int5")
"""What is measured first: the integers next to q = 16."""

NESTQUANT_BETAS = {
    "real": (BETA0_ACTIVATIONS, BETA0_WEIGHTS),
    "integer": (tuple(1.1 * beta for beta in IntegerNestQuant.betas),) * 2,
}
"""NestQuant's multipliers of either side; of integer ones, the scale with the best SQNR."""

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
    products: tuple[Product, ...] = ("bits", "squares", "booth")
    for width in WIDTHS:
        for product in products[: 3 if width >= 4 else 1]:
            made.append(_integers(f"int{width}_g64_{product}", Integers(width, width, product, group_bits(width))))
    made += [
        _scaled(4),
        _scaled(5),
        *(_integers(f"int8{dress}", Integers(8, 8, product)) for dress, product in DRESSES.items()),
        _integers("int8_opt1", Integers(8, 8, redundant=True)),
        _integers("int8_by_int4", Integers(8, 4)),
        Rival("int8_by_e8p", Integers(8, 5), _by_int8(lambda work: codes.e8p_words(work)[1]), _plain),
        Rival("int8_by_trellis", Integers(8, 6), _by_int8(_trellis), _plain),
        Rival("mxfp4", Microscaling(), _mxfp4, _floating),
        Rival("nvfp4", Microscaling(2, True), _nvfp4, _floating),
        Rival(
            "nestquant",
            NestQuantProduct(_nestquant_bits(NestQuantProduct.BETAS_X, NestQuantProduct.BETAS_W, 1)),
            _nestquant,
            _nestquant_product,
        ),
        Rival(
            "nestquant_integer",
            IntegerNestQuant(bits=_nestquant_bits(IntegerNestQuant.betas, IntegerNestQuant.betas, 4)),
            _integer_nestquant,
            _integer_nestquant_product,
        ),
        Rival("planes4", Planes(), _planes, _planes_product),
    ]
    for format in (Format(16), Format(8), Format(4), Format(16, (4,)), Format(16, (2, 3, 4, 6))):
        made.append(_lattice(format))
    made += [_lattice_by_int8(Format(q)) for q in (16, 8, 4)]
    made.append(_lattice_by_digits(Format(16)))
    made += [_both(Format(16), once, by_int8) for once in (True, False) for by_int8 in (False, True)]
    return {rival.name: rival for rival in made}


def units() -> dict[str, Unit]:
    """The rivals' cells and what they have at the edge, by name."""
    made = [rival.unit() for rival in rivals().values()]
    for width in WIDTHS:
        made.append(_unit(f"rival_scale_int{width}", partial(GroupScale, group_bits(width)), _scale_events(width)))
    for rival, halvings in (
        *((f"int{width}_g64_squares", 0) for width in WIDTHS[2:]),
        ("int8_squares", 0),
        ("nestquant_integer", 3),
    ):
        layout = rivals()[rival].arithmetic.x
        made.append(_unit(f"rival_norm_{rival}", partial(Norm, layout, halvings), _norm_events(rivals()[rival])))
    made += [
        _unit("rival_decoder_nestquant", NestQuantDecoder, _decoder_events(_nestquant_labels)),
        _unit("rival_decoder_e8p", E8PDecoder, _decoder_events(lambda work: codes.e8p_words(work)[0])),
        _unit(
            "rival_decoder_trellis",
            partial(TrellisDecoder, TRELLIS_BITS),
            _decoder_events(lambda work: codes.trellis_words(work, TRELLIS_BITS)[0].reshape(-1)),
        ),
    ]
    return {unit.name: unit for unit in made}


def _unit(
    name: str,
    make: Callable[[], wiring.Component],
    events: Mapping[str, Callable[[Workload], Stimulus]],
    macs: int = 0,
) -> Unit:
    quick = name.removeprefix("rival_") in QUICK
    return Unit(name, lambda: generate(make(), name).verilog, events, macs, quick)


def _row_bits(largest: int) -> int:
    """Bits of the sum of the longest row, signed, of products of at most this."""
    return (min(LEAN.x_depth, LEAN.w_depth) * DIM * largest).bit_length() + 1


def _nestquant_bits(x: tuple[int, ...], w: tuple[int, ...], divisor: int) -> int:
    return _row_bits(max(x) * max(w) * 4 * Q * Q // divisor // DIM)


def _integers(name: str, arithmetic: Integers) -> Rival:
    def operands(work: Workload, side: int) -> Fields:
        y, _ = codes.integers(work, side, (arithmetic.x_bits, arithmetic.w_bits)[side])
        return {"y": y} | ({"norm": np.square(y).sum(axis=1)} if arithmetic.product == "squares" else {})

    def product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
        return _plain(x, w) << (arithmetic.product == "squares")

    return Rival(name, arithmetic, operands, product)


def _plain(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    return np.asarray((x["y"] * w["y"]).sum(axis=1), dtype=np.int64)


def _scaled(width: int) -> Rival:
    def operands(work: Workload, side: int) -> Fields:
        y, scale = codes.integers(work, side, width)
        return {"y": y, "scale": scale}

    def product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
        return np.asarray(_plain(x, w) * x["scale"] * w["scale"], dtype=np.int64)

    return Rival(f"int{width}_scaled", ScaledIntegers(width), operands, product)


def _by_int8(weights: Callable[[Workload], npt.NDArray[np.int64]]) -> Coder:
    """Operands of a cell that multiplies int8 activations by weights."""

    def operands(work: Workload, side: int) -> Fields:
        return {"y": weights(work) if side else codes.integers(work, 0, 8)[0]}

    return operands


def _trellis(work: Workload) -> npt.NDArray[np.int64]:
    """As they come out of rings, padding included, as many blocks as there are of activations."""
    return codes.trellis_words(work, TRELLIS_BITS)[1].reshape(-1, DIM)[: work.blocks]


def _lattice(format: Format) -> Rival:
    """The lean cell with squares."""
    operand = packed_operand(format)
    arithmetic = Squares((operand, operand), job_bits(LEAN.with_format(format)))

    def operands(work: Workload, side: int) -> Fields:
        blocks = packed(work, format)[side]
        fields = {"y": blocks.points, "beta": blocks.betas, "norm": np.square(blocks.points).sum(axis=1) // 4}
        return {name: fields[name] for name in arithmetic.x.members}

    def product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
        factors = np.array(format.betas)
        zero = np.zeros(len(x["y"]), dtype=np.int64)
        both = factors[x.get("beta", zero)] * factors[w.get("beta", zero)]
        return np.asarray(_plain(x, w) * both // 2, dtype=np.int64)

    betas = "" if format.betas == Format().betas else "_beta" + "_".join(map(str, format.betas))
    return Rival(f"lean_q{format.q}{betas}_squares", arithmetic, operands, product)


def _lattice_by_int8(format: Format) -> Rival:
    def operands(work: Workload, side: int) -> Fields:
        if not side:
            return {"y": codes.integers(work, 0, 8)[0]}
        blocks = packed(work, format)[1]
        return {"y": blocks.points, "beta": blocks.betas}

    def product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
        return np.asarray(_plain(x, w) * np.array(format.betas)[w["beta"]], dtype=np.int64)

    return Rival(f"lean_q{format.q}_by_int8", LatticeByInt8(format), operands, product)


def _lattice_by_digits(format: Format) -> Rival:
    """Packed weights by int8 activations as designs with both take them: high digits, then low ones."""
    design = replace(LEAN.with_format(format), activations=("int8",))
    arithmetic = Products(sides(design), job_bits(design))
    return _by_digits(f"lean_q{format.q}_by_int8_twice", arithmetic, format)


def _both(format: Format, once: bool, by_int8: bool) -> Rival:
    """The lean cell of a design that takes packed and int8 activations, at work on either.

    As generated it takes int8 in two passes; in one if its lanes have the eight bits of int8, with 1 as one more β.
    """
    design = replace(LEAN.with_format(format), activations=("packed", "int8"))
    x, w = sides(design)
    if once:
        x = Operand(2 * NIBBLE, (*format.betas, 1), DIGITS_SQUARE, False)
    arithmetic = Products((x, w), job_bits(design))
    name = f"lean_q{format.q}_both_{'once' if once else 'twice'}{'_by_int8' if by_int8 else ''}"
    if by_int8 and not once:
        return _by_digits(name, arithmetic, format)

    def operands(work: Workload, side: int) -> Fields:
        if by_int8 and not side:
            y = codes.integers(work, 0, 2 * NIBBLE)[0]
            return {"y": y, "beta": np.full(len(y), len(format.betas))}
        blocks = packed(work, format)[side]
        return {"y": blocks.points, "beta": blocks.betas}

    return Rival(name, arithmetic, operands, partial(_times_factors, arithmetic))


def _by_digits(name: str, arithmetic: Products, format: Format) -> Rival:
    """Packed weights by int8 activations in two passes, whose factors are the last two of the activations' side."""

    def operands(work: Workload, side: int) -> Fields:
        if side:
            blocks = packed(work, format)[1]
            fields = {"y": blocks.points, "beta": blocks.betas}
            return {name: np.repeat(values, 2, axis=0)[: work.blocks] for name, values in fields.items()}
        values, _ = codes.integers(work, 0, 8)
        digits = np.stack([values >> NIBBLE, values & ((1 << NIBBLE) - 1)], axis=1).reshape(-1, DIM)
        high = len(arithmetic.sides[0].factors) - len(DIGIT_FACTORS)
        return {"y": digits[: work.blocks], "beta": high + np.arange(work.blocks) % 2}

    return Rival(name, arithmetic, operands, partial(_times_factors, arithmetic))


def _times_factors(arithmetic: Products, x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    """What a cell adds: the inner product times both factors."""
    x_factors, w_factors = (np.array(side.factors) for side in arithmetic.sides)
    return np.asarray(_plain(x, w) * x_factors[x["beta"]] * w_factors[w["beta"]], dtype=np.int64)


def _mxfp4(work: Workload, side: int) -> Fields:
    elements, exponent, _ = codes.microscaling(work, side, 32, False, 7)
    return {"codes": elements, "exponent": exponent}


def _nvfp4(work: Workload, side: int) -> Fields:
    elements, exponent, digits = codes.microscaling(work, side, 16, True, 3)
    return {"codes": elements, "exponent": exponent, "significand": digits}


def _floating(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    def doubled(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.array(MAGNITUDES)[codes & 7] * np.where(codes & 8, -1, 1)

    ones = np.ones(len(x["codes"]), dtype=np.int64)
    factor = x.get("significand", ones) * w.get("significand", ones) << (x["exponent"] + w["exponent"])
    return (doubled(x["codes"]) * doubled(w["codes"])).sum(axis=1) * factor


def _nestquant(work: Workload, side: int) -> Fields:
    points, index = codes.nestquant_points(work, side, NESTQUANT_BETAS["real"][side])
    return {"y": points, "beta": index}


def _nestquant_product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    factor = np.array(NestQuantProduct.BETAS_X)[x["beta"]] * np.array(NestQuantProduct.BETAS_W)[w["beta"]]
    return np.asarray(_plain(x, w) * factor, dtype=np.int64)


def _integer_nestquant(work: Workload, side: int) -> Fields:
    points, index = codes.nestquant_points(work, side, NESTQUANT_BETAS["integer"][side])
    return {"y": points, "beta": index, "norm": np.square(points).sum(axis=1) // 8}


def _integer_nestquant_product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    betas = np.array(IntegerNestQuant.betas)
    return np.asarray(_plain(x, w) * betas[x["beta"]] * betas[w["beta"]] // 4, dtype=np.int64)


def _nestquant_labels(work: Workload) -> npt.NDArray[np.object_]:
    points, index = codes.nestquant_points(work, 0, BETA0_ACTIVATIONS)
    return bits(LABEL, {"digits": codes.nestquant_digits(points), "beta": index})


def _planes(work: Workload, side: int) -> Fields:
    # Σ ±2^i over four planes: the odd integers from −15 to 15, as the code 0 … 15 stands for.
    number = codes.integers(work, side, 4)[0] + 8
    return {"planes": np.stack([((number >> i) & 1) @ (1 << np.arange(DIM)) for i in range(4)], axis=1)}


def _planes_product(x: Fields, w: Fields) -> npt.NDArray[np.int64]:
    def values(fields: Fields) -> npt.NDArray[np.int64]:
        planes = (fields["planes"][:, :, None] >> np.arange(DIM)) & 1
        return ((2 * planes - 1) << np.arange(4)[:, None]).sum(axis=1)

    return (values(x) * values(w)).sum(axis=1)


def _norm_events(rival: Rival) -> dict[str, Callable[[Workload], Stimulus]]:
    def compute(work: Workload) -> Stimulus:
        fields = rival.operands(work, 0)
        block = {name: shape for name, shape in rival.arithmetic.x.members.items() if name != "norm"}
        return {"i": bits(StructLayout(block), {name: fields[name] for name in block})}

    return {"compute": compute, "idle": lambda work: still(compute(work))}


def _decoder_events(words: Callable[[Workload], npt.NDArray[Any]]) -> dict[str, Callable[[Workload], Stimulus]]:
    def compute(work: Workload) -> Stimulus:
        return {"i": words(work)}

    return {"compute": compute, "idle": lambda work: still(compute(work))}


def _scale_events(width: int) -> dict[str, Callable[[Workload], Stimulus]]:
    """A group's sum per cycle, of eight rows in turn."""

    def compute(work: Workload) -> Stimulus:
        (x, x_scales), (w, w_scales) = (codes.integers(work, side, width) for side in (0, 1))
        sums = np.cumsum((x * w).sum(axis=1))[GROUP // DIM - 1 :: GROUP // DIM]
        first = (np.arange(work.blocks) // GroupScale.ROWS) % 6 == 0
        return {
            "i": np.resize(np.diff(sums, prepend=0), work.blocks),
            "x": x_scales,
            "w": w_scales,
            "valid": np.ones(work.blocks, dtype=np.int64),
            "first": first * 1,
        }

    def idle(work: Workload) -> Stimulus:
        return dict(still(compute(work))) | {"valid": np.zeros(work.blocks, dtype=np.int64)}

    return {"compute": compute, "idle": idle}

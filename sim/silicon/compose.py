"""Arrays of any size from their parts, for this project's formats and for rivals: what a cell costs with its edges.

Energy per MAC with memory, in an array of S columns and rows whose weights are each used for R rows of activations:

    array + bits_w·(dram + write)/R + bits_w·read/min(R, S) + bits_x·read/S

Weights come from outside into a memory on the chip once, and out of it once for every S rows of activations at most;
activations, and what a layer hands to the next, stay on the chip. The array counts as if it were busy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np

from golden.format import Format
from golden.lattice import DIM
from golden.rivals import Codec
from golden.rivals import Lattice as LatticeCodec
from golden.rivals.e8p import E8P
from golden.rivals.integers import BipolarInt, IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.nestquant import NestQuant
from golden.rivals.trellis import Trellis, hashed
from hw.array.operands import packed_operand
from hw.rivals.scales import GROUP, SCALE_BITS, GroupScale
from sim.silicon.rivals import NESTQUANT_BETAS, TRELLIS_BITS, WIDTHS, rivals
from sim.silicon.tables import memories

SIZES = (8, 16, 32)
"""Rows and columns of the arrays that are compared."""

SMALLEST, LARGEST = SIZES[0], SIZES[-1]

DRAM = (4.0, 8.0)
"""pJ per bit of the memories outside that are compared."""

REUSES = {"GEMV": 1, "GEMM": 64}
"""Rows of activations that a weight is used for."""

HOP = "hop_q16"
"""The registers of whose bits those of all formats are made."""

INT8_BITS = 8.0


@dataclass(frozen=True)
class Build:
    """What an array of a format is made of, by names of units.

    Attributes
    ----------
    cell : str
    bits : float
        Per weight, scales of groups included and those of rows not.
    codec : Codec
        What its quality is measured with.
    edge : tuple of str
        Per column, and per row if activations are in the same format.
    column : tuple of str
        Per eight cells of a column.
    family : str
        Formats of one family differ by their rates: between two of them is what would have the SQNR between theirs.
    int8 : bool
        Whether activations are int8 and only weights are in the format: the SQNR is that of weights.
    waiting : int
        Bits of a block of x and of one of w, as they wait at the edge; what the cell takes, of a rival.
    passes : int
        Cycles that a block takes, so arrays that it takes for a block per cycle.
    """

    cell: str
    bits: float
    codec: Codec
    edge: tuple[str, ...] = ()
    column: tuple[str, ...] = ()
    family: str = ""
    int8: bool = False
    waiting: int = 0
    passes: int = 1

    @property
    def x_bits(self) -> float:
        """Per activation."""
        return INT8_BITS if self.int8 else self.bits


def builds() -> dict[str, Build]:
    """The formats that are compared."""
    made: dict[str, Build] = {}
    codec: Codec
    for q in (16, 8, 4):
        format, lattice = Format(q), packed_operand(Format(q))
        e8 = partial(Build, bits=format.bits_per_entry, codec=LatticeCodec(format))
        normed, decoder = 2 * lattice.with_norm.size, f"decoder_q{q}_lean"
        deep = e8(f"cell_q{q}", edge=(f"decoder_q{q}", f"norm_q{q}"), family="E8, deep", waiting=normed)
        squares = e8(f"rival_lean_q{q}_squares", edge=(decoder, f"norm_q{q}_lean"), family=OURS)
        lean = e8(f"cell_q{q}_lean", edge=(decoder,), family=OURS, waiting=2 * lattice.block.size)
        made |= {f"E8 q = {q}, deep": deep, f"E8 q = {q}, lean": lean, f"E8 q = {q}, lean, squares": squares}
    for betas in ((4,), (2, 3, 4, 6)):
        format = Format(16, betas)
        made[f"E8 q = 16, β {', '.join(map(str, betas))}, lean"] = Build(
            f"cell_q16_beta{'_'.join(map(str, betas))}_lean",
            format.bits_per_entry,
            LatticeCodec(format),
            ("decoder_q16_lean",),
            waiting=2 * packed_operand(format).block.size,
        )
    for width in WIDTHS:
        codec, scale = IntGroups(width, GROUP, search=True), (f"rival_scale_int{width}",)
        integers = partial(Build, bits=width + SCALE_BITS / GROUP, codec=codec, column=scale, family=INTEGERS)
        cell = f"rival_int{width}_g64"
        made[f"int{width}-g64"] = integers(f"{cell}_bits")
        if width >= 4:
            made[f"int{width}-g64, squares"] = integers(f"{cell}_squares", edge=(f"rival_norm_int{width}_g64_squares",))
            made[f"int{width}-g64, Booth"] = integers(f"{cell}_booth")
    for width in (4, 5):
        codec, bits = IntGroups(width, GROUP, search=True), width + SCALE_BITS / GROUP
        made[f"int{width}-g64, scale in the cell"] = Build(
            f"rival_int{width}_scaled", bits, codec, family="in the cell"
        )
    made["bit planes, 4"] = Build(
        "rival_planes4", 4 + SCALE_BITS / GROUP, BipolarInt(4, GROUP), (), ("rival_scale_int5",)
    )
    made["MXFP4"] = Build("rival_mxfp4", 4.25, partial(mxfp4, search=True))
    made["NVFP4"] = Build("rival_nvfp4", 4.5, partial(nvfp4, search=True))
    nestquant = ("rival_decoder_nestquant",)
    bits = 2 + 8 * float(np.log2(NestQuant().q))
    made["NestQuant"] = Build("rival_nestquant", bits / DIM, NestQuant(), nestquant)
    normed_nestquant = (*nestquant, "rival_norm_nestquant_integer")
    codec = NestQuant(betas=NESTQUANT_BETAS["integer"][0])
    made["NestQuant, integer β, squares"] = Build("rival_nestquant_integer", bits / DIM, codec, normed_nestquant)
    rows = IntGroups(8, 1 << 20)
    for kind, cell in (("", ""), (", squares", "_squares"), (", Booth", "_booth"), (", carry-save", "_opt1")):
        edge = ("rival_norm_int8_squares",) if kind == ", squares" else ()
        made[f"int8{kind}"] = Build(f"rival_int8{cell}", INT8_BITS, rows, edge, family="int8")
    weights = partial(Build, int8=True)
    for q in (16, 8, 4):
        format = Format(q)
        codec, edge = LatticeCodec(format), (f"decoder_q{q}_lean",)
        made[f"E8 q = {q} × int8"] = weights(f"rival_lean_q{q}_by_int8", format.bits_per_entry, codec, edge)
    twice = LatticeCodec(Format(16))
    made["E8 q = 16 × int8, two passes"] = weights(
        "rival_lean_q16_by_int8_twice", 4.25, twice, ("decoder_q16_lean",), passes=2
    )
    for kind, passes in (("one pass", 1), ("two passes", 2)):
        both = f"rival_lean_q16_both_{'once' if passes == 1 else 'twice'}"
        edge = ("decoder_q16_lean",)
        made[f"packed or int8 in {kind}, packed"] = Build(both, 4.25, twice, edge)
        made[f"packed or int8 in {kind}, × int8"] = weights(f"{both}_by_int8", 4.25, twice, edge, passes=passes)
    made["int4 × int8"] = weights("rival_int8_by_int4", 4.0, IntGroups(4, 1 << 20))
    made["E8P × int8"] = weights("rival_int8_by_e8p", 2.0, E8P(), ("rival_decoder_e8p",))
    trellis = Trellis(TRELLIS_BITS, hashed)
    made["trellis × int8"] = weights("rival_int8_by_trellis", TRELLIS_BITS, trellis, ("rival_decoder_trellis",))
    return made


OURS, INTEGERS = "E8", "int-g64"
"""Families of which several dresses are measured: the one that counts takes the least energy in the largest array."""


def cost(build: Build, table: Mapping[str, Any], size: int) -> tuple[float, float] | None:
    """µm² per cell and pJ per MAC of an array of size × size; None if the table lacks one of its units."""
    units = table["units"]
    needed = (build.cell, HOP, *build.edge, *build.column)
    if any(name not in units for name in needed):
        return None
    cells = size * size
    hop = units[HOP]
    # Blocks of row and column number i wait for i cycles.
    registers = _waiting(build) * size * (size - 1) / 2
    area = cells * units[build.cell]["area_um2"] + registers * hop["area_um2"] / hop["flops"]
    energy = cells * _compute(units[build.cell]) + registers * _compute(hop) / hop["flops"]
    sides = 1 if build.int8 else 2
    for names, count in ((build.edge, sides * size), (build.column, cells / GroupScale.ROWS)):
        area += count * sum(units[name]["area_um2"] for name in names)
        energy += count * sum(_compute(units[name]) for name in names)
    return build.passes * area / cells, build.passes * energy / cells / DIM


def _waiting(build: Build) -> int:
    if build.waiting:
        return build.waiting
    arithmetic = rivals()[build.cell.removeprefix("rival_")].arithmetic
    return int(arithmetic.x.size + arithmetic.w.size)


def _compute(unit: Mapping[str, Any]) -> float:
    return float(unit["events"]["compute"]["total"])


def with_memory(array: float, bits: float, x_bits: float, dram: float, reuse: float, size: int = LARGEST) -> float:
    """pJ per MAC with memory, see the module's formula."""
    read, write = (memories()[f"sram_{way}"]["value"] for way in ("read", "write"))
    return array + bits * ((dram + write) / reuse + read / min(reuse, size)) + x_bits * read / size


@cache
def quality(codec: Codec, rows: int = 16, k: int = 4096) -> float:
    """SQNR in dB on Gaussian rows."""
    x = np.random.default_rng(0).normal(size=(rows, k)).astype(np.float32)
    return float(10 * np.log10(np.square(x).sum() / np.square(codec(x).values - x).sum()))


def comparison(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each format that the table has the units of: bits, SQNR, the cell, arrays per cell and MAC, with memory."""
    made = []
    for name, build in builds().items():
        costs = {size: cost(build, table, size) for size in SIZES}
        if None in costs.values():
            continue
        cell = table["units"][build.cell]
        row: dict[str, Any] = {"format": name, "family": build.family, "weights": build.int8, "bits": build.bits}
        row |= {"x_bits": build.x_bits, "sqnr_db": quality(build.codec)}
        row |= {"cell_um2": build.passes * cell["area_um2"], "cell_pj": build.passes * _compute(cell) / DIM}
        for size, found in costs.items():
            assert found is not None
            row |= {f"um2_{size}": found[0], f"pj_{size}": found[1]}
        array = row[f"pj_{LARGEST}"]
        for kind, reuse in REUSES.items():
            row |= {f"{kind}_{d:g}": with_memory(array, build.bits, build.x_bits, d, reuse) for d in DRAM}
        made.append(row)
    return made


def dressed(compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of formats that differ in how their cells multiply, the one that takes the least energy in the largest array."""
    best: dict[tuple[str, float], dict[str, Any]] = {}
    for row in sorted(compared, key=lambda row: float(row[f"pj_{LARGEST}"])):
        best.setdefault((row["family"] or row["format"], row["bits"]), row)
    return [row for row in compared if row in best.values()]


def between(compared: list[dict[str, Any]], family: str, sqnr: float) -> dict[str, Any] | None:
    """What a format of a family would be that had this SQNR: on the line between the two next to it."""
    same = (row for row in dressed(compared) if row["family"] == family)
    known = sorted(same, key=lambda row: float(row["sqnr_db"]))
    for low, high in pairwise(known):
        if low["sqnr_db"] <= sqnr <= high["sqnr_db"]:
            share = (sqnr - low["sqnr_db"]) / (high["sqnr_db"] - low["sqnr_db"])
            mixed = {key: low[key] + share * (high[key] - low[key]) for key in low if isinstance(low[key], float)}
            return {"format": f"{family} at {sqnr:.1f} dB", "family": family, "weights": False, **mixed}
    return None


def break_even(ours: Mapping[str, Any], theirs: Mapping[str, Any], dram: float, size: int = LARGEST) -> float:
    """The reuse of a weight at which a format with more bits takes as little energy as one with fewer.

    Below it, what fewer bits save in memory is more than what the array takes more; infinite if it takes no more.

    Parameters
    ----------
    ours, theirs : mapping
        Rows of `comparison` or `between`, ours of fewer bits.
    dram : float
        pJ per bit.
    size : int
    """

    def energy(row: Mapping[str, Any], reuse: float) -> float:
        return with_memory(row[f"pj_{size}"], row["bits"], row["x_bits"], dram, reuse, size)

    def more(reuse: float) -> float:
        return energy(ours, reuse) - energy(theirs, reuse)

    # The difference is a line in 1/R on either side of R = size.
    for near, far in ((float(size), NEVER), (1.0, float(size))):
        low, high = more(near), more(far)
        if low < 0 <= high:
            return 1 / (1 / near + (1 / far - 1 / near) * low / (low - high))
    return float("inf") if more(NEVER) < 0 else 0.0


NEVER = 1e9
"""A reuse at which memory outside costs nothing."""

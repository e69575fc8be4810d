"""Arrays of any size from their parts, for this project's formats and for rivals: what a cell costs with its edges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden.format import Format
from golden.lattice import DIM
from golden.rivals import Codec
from golden.rivals import Lattice as LatticeCodec
from golden.rivals.integers import IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.nestquant import NestQuant
from hw.rivals.scales import GROUP, GroupScale
from sim.silicon.rivals import rivals

SIZES = (8, 16, 32)
"""Rows and columns of the arrays that are compared."""

HOP = "hop_q16"
"""The registers of whose bits those of all formats are made."""


@dataclass(frozen=True)
class Build:
    """What an array of a format is made of, by names of units.

    Attributes
    ----------
    cell : str
    bits : float
        Per entry of either operand, scales of groups included and those of rows not.
    codec : Codec
        What its quality is measured with.
    edge : tuple of str
        Per row and per column.
    column : tuple of str
        Per eight cells of a column.
    """

    cell: str
    bits: float
    codec: Codec
    edge: tuple[str, ...] = ()
    column: tuple[str, ...] = ()


def builds() -> dict[str, Build]:
    """The formats that are compared."""
    made: dict[str, Build] = {}
    for q in (16, 8, 4):
        format = Format(q)
        bits, codec = format.bits_per_entry, LatticeCodec(format)
        today, lean = ((f"decoder_q{q}{kind}", f"norm_q{q}{kind}") for kind in ("", "_lean"))
        made[f"E8 q = {q}, as generated"] = Build(f"cell_q{q}", bits, codec, today)
        made[f"E8 q = {q}, lean, squares"] = Build(f"rival_lean_q{q}_squares", bits, codec, lean)
        made[f"E8 q = {q}, lean, products"] = Build(f"rival_lean_q{q}_bits", bits, codec, lean[:1])
    for betas in ((4,), (2, 3, 4, 6)):
        format = Format(16, betas)
        name = f"E8 q = 16, β {', '.join(map(str, betas))}, lean"
        cell = f"rival_lean_q16_beta{'_'.join(map(str, betas))}_bits"
        made[name] = Build(cell, format.bits_per_entry, LatticeCodec(format), ("decoder_q16_lean",))
    for width in (4, 5, 6):
        integers, scale = IntGroups(width, GROUP, search=True), (f"rival_scale_int{width}",)
        bits = width + 8 / GROUP
        made[f"int{width}-g64"] = Build(f"rival_int{width}_g64_bits", bits, integers, (), scale)
        squares = f"rival_int{width}_g64_squares"
        made[f"int{width}-g64, squares"] = Build(
            squares, bits, integers, (f"rival_norm_int{width}_g64_squares",), scale
        )
    made["MXFP4"] = Build("rival_mxfp4", 4.25, mxfp4)
    made["NVFP4"] = Build("rival_nvfp4", 4.5, nvfp4)
    made["NestQuant, without its decoder"] = Build("rival_nestquant", 4.06, NestQuant())
    made["int8"] = Build("rival_int8", 8.0, IntGroups(8, 4096))
    return made


def cost(build: Build, table: Mapping[str, Any], size: int) -> tuple[float, float] | None:
    """µm² per cell and pJ per MAC of an array of size × size; None if the table lacks one of its units."""
    units = table["units"]
    needed = (build.cell, HOP, *build.edge, *build.column)
    if any(name not in units for name in needed):
        return None
    cells = size * size
    hop = units[HOP]
    # Blocks of row and column number i wait for i cycles.
    registers = _operand_bits(build, units) * size * (size - 1) / 2
    area = cells * units[build.cell]["area_um2"] + registers * hop["area_um2"] / hop["flops"]
    energy = cells * _compute(units[build.cell]) + registers * _compute(hop) / hop["flops"]
    for names, count in ((build.edge, 2 * size), (build.column, cells / GroupScale.ROWS)):
        area += count * sum(units[name]["area_um2"] for name in names)
        energy += count * sum(_compute(units[name]) for name in names)
    return area / cells, energy / cells / DIM


def _operand_bits(build: Build, units: Mapping[str, Any]) -> int:
    """Bits of a block of x and of one of w, as they wait at the edge."""
    rival = rivals().get(build.cell.removeprefix("rival_"))
    if rival:
        return int(rival.arithmetic.x.size + rival.arithmetic.w.size)
    return 2 * int(units[f"hop_{build.cell.rpartition('_')[2]}"]["flops"])


def _compute(unit: Mapping[str, Any]) -> float:
    return float(unit["events"]["compute"]["total"])


def quality(codec: Codec, rows: int = 64, k: int = 4096) -> float:
    """SQNR in dB on Gaussian rows."""
    x = np.random.default_rng(0).normal(size=(rows, k)).astype(np.float32)
    return float(10 * np.log10(np.square(x).sum() / np.square(codec(x).values - x).sum()))


def comparison(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each format that the table has the units of: bits, SQNR, the cell, and arrays per cell and MAC."""
    made = []
    for name, build in builds().items():
        costs = {size: cost(build, table, size) for size in SIZES}
        if None in costs.values():
            continue
        cell = table["units"][build.cell]
        row = {"format": name, "bits": build.bits, "sqnr_db": round(quality(build.codec), 2)}
        row |= {"cell_um2": cell["area_um2"], "cell_pj_per_mac": round(_compute(cell) / DIM, 4)}
        for size, found in costs.items():
            assert found is not None
            row |= {f"um2_{size}": round(found[0], 1), f"pj_per_mac_{size}": round(found[1], 4)}
        made.append(row)
    return made


def break_even(
    compared: list[dict[str, Any]], ours: str, theirs: tuple[str, str], dram: float, size: int = 32
) -> float:
    """The reuse of a weight at which integers of the same SQNR, between two widths, take as little energy as `ours`.

    Below it, what fewer bits save in DRAM is more than what the array takes more; infinite if it takes no more.

    Parameters
    ----------
    compared : list
        Of `comparison`.
    ours : str
    theirs : pair of str
        Formats whose SQNR lies below and above.
    dram : float
        pJ per bit.
    size : int
    """
    rows = {row["format"]: row for row in compared}
    mine, low, high = rows[ours], rows[theirs[0]], rows[theirs[1]]
    share = (mine["sqnr_db"] - low["sqnr_db"]) / (high["sqnr_db"] - low["sqnr_db"])

    def between(key: str) -> float:
        return float(low[key] + share * (high[key] - low[key]))

    more = mine[f"pj_per_mac_{size}"] - between(f"pj_per_mac_{size}")
    return float("inf") if more <= 0 else dram * (between("bits") - mine["bits"]) / more


def markdown(compared: list[dict[str, Any]]) -> str:
    """The comparison as a table."""
    heads = ["format", "bits", "SQNR dB", "cell µm²", "pJ/MAC"]
    heads += [f"{size}×{size} {unit}" for size in SIZES for unit in ("µm²", "pJ/MAC")]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in compared:
        cells = (value if isinstance(value, str) else f"{value:,}" for value in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

"""What a table says about formats: comparisons in Markdown, where integers break even, and pictures."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from golden.files import replacing, write_text
from sim.silicon.compose import (
    DRAM,
    INTEGERS,
    LARGEST,
    OURS,
    REUSES,
    SIZES,
    SMALLEST,
    between,
    break_even,
    comparison,
    dressed,
    with_memory,
)

Row = Mapping[str, Any]

PUBLISHED = {"multiply_8x8": 0.07, "add_8": 0.007}
"""pJ of a multiplication and an addition of 8 bits in 7 nm: Jouppi et al., ISCA 2021."""

RIVALS = ("int4-g64, scale in the cell", "MXFP4", "NVFP4", "NestQuant", "NestQuant, integer β, squares")
"""Formats that this project's, at their SQNR, are compared with."""

_MEMORY = [(kind, dram) for kind in REUSES for dram in DRAM]
_ARRAYS = [f"{key}_{size}" for size in (SMALLEST, LARGEST) for key in ("um2", "pj")]
_COLUMNS = {"bits": "bits", "sqnr_db": "SQNR dB", "cell_um2": "cell µm²", "cell_pj": "pJ/MAC"}
_COLUMNS |= {key: f"{key.split('_')[1]}×{key.split('_')[1]} {'µm²' if key[0] == 'u' else 'pJ/MAC'}" for key in _ARRAYS}
_COLUMNS |= {f"{kind}_{dram:g}": f"{kind}, {dram:g} pJ/bit" for kind, dram in _MEMORY}


def sections(table: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a report, in Markdown, by title; empty if the table has no two formats to compare."""
    compared = comparison(table)
    if len(compared) < 2:
        return {}
    parts = {
        "In short": headline(compared),
        "Formats": _table(compared, "format"),
        "At equal SQNR": equal(compared),
        "Where integers break even": reuse(compared),
        "Edges": shares(compared),
        "Checks": checks(table),
        "Units": units(table),
    }
    return {title: text for title, text in parts.items() if text}


def report(table: Mapping[str, Any], output: Path) -> list[Path]:
    """Writes `comparison.md`, `plane.png` and `reuse.png` of the formats that the table has all units of.

    Returns
    -------
    The files; none if there is nothing to compare.
    """
    parts = sections(table)
    if not parts:
        return []
    text, plane, curve = (output / name for name in ("comparison.md", "plane.png", "reuse.png"))
    about = table["about"]
    write_text(text, f"# {about['library']}\n\n" + "\n".join(f"## {title}\n\n{part}" for title, part in parts.items()))
    compared = comparison(table)
    _plane(dressed(compared), about["library"], plane)
    return [text, plane, *([curve] if _reuse_picture(compared, about["library"], curve) else [])]


def _table(rows: Iterable[Row], *heads: str) -> str:
    """Rows in Markdown, figures with three digits or two after the point."""
    lines = ["| " + " | ".join([*heads, *_COLUMNS.values()]) + " |"]
    lines.append("|" + "---|" * len(heads) + "--:|" * len(_COLUMNS))
    for row in rows:
        cells = [str(row[head]) for head in heads] + [_figure(key, row[key]) for key in _COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _figure(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if "um2" in key:
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0").rstrip(".") if key == "bits" else f"{value:.{1 if key == 'sqnr_db' else 3}f}"


def pairs(compared: list[dict[str, Any]]) -> list[tuple[Row, Row]]:
    """This project's formats and others of the same SQNR: integers at ours, and ours at the others'."""
    found: list[tuple[Row, Row | None]] = []
    best = dressed(compared)
    for row in best:
        if row["format"].startswith("E8") and not row["weights"]:
            found.append((row, between(compared, INTEGERS, row["sqnr_db"])))
    found += [(between(compared, OURS, r["sqnr_db"]) or {}, r) for r in best if r["format"] in RIVALS]
    return [(ours, theirs) for ours, theirs in found if ours and theirs]


def headline(compared: list[dict[str, Any]]) -> str:
    """What each pair of formats of one SQNR comes to, a line for each."""
    lines = []
    for ours, theirs in pairs(compared):
        if ", deep" in ours["format"]:
            continue
        area, energy, once, often = (
            f"{ours[key] / theirs[key]:.2f}"
            for key in (f"um2_{LARGEST}", f"pj_{LARGEST}", f"GEMV_{DRAM[0]:g}", f"GEMM_{DRAM[0]:g}")
        )
        lines.append(
            f"- **{ours['format']}** against **{theirs['format']}**: {ours['bits'] / theirs['bits']:.2f} times the "
            f"bits. An array of {LARGEST}×{LARGEST} has {area} times the area and takes {energy} times the energy; "
            f"with DRAM at {DRAM[0]:g} pJ/bit {once} times where each weight is used once, {often} times where "
            f"{REUSES['GEMM']} times."
        )
    return "\n".join([*lines, ""]) if lines else ""


def equal(compared: list[dict[str, Any]]) -> str:
    """Pairs of formats of one SQNR, and what ours takes of what the other takes."""
    rows: list[Row] = []
    for ours, theirs in pairs(compared):
        ratio = {key: f"**{ours[key] / theirs[key]:.2f}**" for key in _COLUMNS}
        rows += [ours, theirs, ratio | {"format": "*ours / theirs*", "sqnr_db": ""}]
    return _table(rows, "format") if rows else ""


def reuse(compared: list[dict[str, Any]]) -> str:
    """Where integers of as good an SQNR as ours break even, a line for each of our formats."""
    lines = ["| format | bits | integers' bits | " + " | ".join(f"{dram:g} pJ/bit" for dram in DRAM) + " |"]
    lines.append("|---|" + "--:|" * (2 + len(DRAM)))
    for ours, theirs in pairs(compared):
        if theirs["family"] == INTEGERS:
            found = (break_even(ours, theirs, dram) for dram in DRAM)
            cells = [ours["format"], _figure("bits", ours["bits"]), f"{theirs['bits']:.2f}"]
            cells += ["always ahead" if at == float("inf") else f"{at:,.0f}" for at in found]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def shares(compared: list[dict[str, Any]]) -> str:
    """What everything but the cells takes of an array's area: decoders, norms, scales and the registers of the edge."""
    lines = ["| format | " + " | ".join(f"{size}×{size}" for size in SIZES) + " |", "|---|" + "--:|" * len(SIZES)]
    for row in compared:
        share = (1 - row["cell_um2"] / row[f"um2_{size}"] for size in SIZES)
        lines.append("| " + " | ".join([row["format"], *(f"{100 * part:.0f} %" for part in share)]) + " |")
    return "\n".join(lines) + "\n"


def checks(table: Mapping[str, Any]) -> str:
    """Figures that can be held against others: published ones, and arrays that were synthesised whole."""
    known, lines = table["units"], []
    for name, published in PUBLISHED.items():
        if name in known:
            found = known[name]["events"]["compute"]
            lines.append(
                f"- {name}: {found['total']:.4f} pJ, without glitches {found['zero_delay']:.4f}; "
                f"published for 7 nm {published:g}."
            )
    for size in (2, 4):
        for kind in PARTS:
            if whole := known.get(f"array_{size}x{size}_q16{kind}"):
                area, energy = parts(known, size, kind)
                ratios = whole["area_um2"] / area, whole["events"]["compute"]["total"] / energy
                lines.append(
                    f"- array_{size}x{size}_q16{kind}, an array synthesised whole, against its parts: "
                    f"area {ratios[0]:.3f}, energy {ratios[1]:.3f} times."
                )
    return "\n".join([*lines, ""]) if lines else ""


PARTS = {"": ("cell_q16", "hop_q16", "norm_q16"), "_lean": ("cell_q16_lean", "hop_q16_lean")}
"""Cells, registers and norms of an array without its decoders."""


def parts(known: Mapping[str, Any], size: int, kind: str) -> tuple[float, float]:
    """µm² and pJ per cycle of an array, without decoders, from its cells, registers and norms."""
    counts = dict(zip(PARTS[kind], (size * size, size * (size - 1), 2 * size), strict=False))
    area = sum(count * known[name]["area_um2"] for name, count in counts.items())
    return area, sum(count * known[name]["events"]["compute"]["total"] for name, count in counts.items())


def units(table: Mapping[str, Any]) -> str:
    """The units, a line for each."""
    lines = ["| unit | µm² | NAND2 | flip-flops | of µm² | ps | leakage nW | pJ | no glitches | idle pJ | pJ/MAC |"]
    lines.append("|---|" + "--:|" * 10)
    for name, unit in table["units"].items():
        events = unit["events"]
        cells = [name, f"{unit['area_um2']:,.1f}", f"{unit['nand2']:,.0f}", f"{unit['flops']:,}"]
        cells += [f"{unit['flop_area_um2']:,.1f}", f"{unit['critical_ps']:,.0f}", f"{unit['leakage_nw']:,.1f}"]
        if events:
            busy, idle = events["compute"], events.get("idle")
            cells += [f"{busy['total']:.3f}", f"{busy['zero_delay']:.3f}", f"{idle['total']:.3f}" if idle else ""]
            cells.append(f"{busy['total'] / unit['macs']:.3f}" if unit["macs"] else "")
        else:
            cells += [""] * 4
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _plane(rows: list[dict[str, Any]], library: str, path: Path) -> None:
    """Area and energy of an array, and energy with memory, over SQNR: a point per format, a line per family."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(13, 10), layout="constrained")
    drawn = {
        f"um2_{LARGEST}": f"µm² per cell, array of {LARGEST}×{LARGEST}",
        f"pj_{LARGEST}": f"pJ per MAC, array of {LARGEST}×{LARGEST}",
        f"GEMM_{DRAM[0]:g}": f"pJ per MAC with memory, reuse {REUSES['GEMM']}, DRAM {DRAM[0]:g} pJ/bit",
        f"GEMV_{DRAM[0]:g}": f"pJ per MAC with memory, each weight once, DRAM {DRAM[0]:g} pJ/bit",
    }
    for axis, (key, label) in zip(axes.flat, drawn.items(), strict=True):
        for family in {row["family"]: None for row in rows if row["family"]}:
            line = sorted((row["sqnr_db"], row[key]) for row in rows if row["family"] == family)
            axis.plot(*zip(*line, strict=True), color=_color(family), alpha=0.5)
        for row in rows:
            if key.startswith("GEMV") and ", deep" in row["format"]:
                continue  # on top of the lean ones
            place = row["sqnr_db"], row[key]
            axis.plot(*place, "^" if row["weights"] else "o", color=_color(row["format"]), markersize=4)
            axis.annotate(_label(row["format"]), place, xytext=(5, -2), textcoords="offset points", size=6)
        axis.set(xlabel="SQNR on Gaussian rows, dB", ylabel=label)
        axis.grid(alpha=0.3)
        axis.margins(x=0.12)
    figure.suptitle(f"{library}, before layout; triangles: int8 activations, and the SQNR of the weights", size=10)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=110)
    plt.close(figure)


def _label(name: str) -> str:
    for dress in (", lean", ", squares"):
        name = name.replace(dress, "")
    return name


def _color(name: str) -> str:
    return "tab:blue" if name.startswith("E8") and "P" not in name else "tab:orange" if INTEGERS in name else "tab:gray"


def _reuse_picture(compared: list[dict[str, Any]], library: str, path: Path) -> bool:
    """Energy over the reuse of a weight, ours over integers' of the same SQNR; whether there is one to draw."""
    import matplotlib.pyplot as plt

    drawn = [(a, b) for a, b in pairs(compared) if b["family"] == INTEGERS and a["family"] == OURS]
    if not drawn:
        return False
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    reuses = [2 ** (k / 4) for k in range(45)]
    for number, (ours, theirs) in enumerate(drawn):
        for dram, style in zip(DRAM, ("-", "--"), strict=True):
            both = [
                [with_memory(row[f"pj_{LARGEST}"], row["bits"], row["x_bits"], dram, reuse) for reuse in reuses]
                for row in (ours, theirs)
            ]
            ratio = [mine / other for mine, other in zip(*both, strict=True)]
            axis.plot(reuses, ratio, style, color=f"C{number}", label=f"{ours['format']}, DRAM {dram:g} pJ/bit")
    axis.axhline(1, color="black", lw=0.8)
    axis.set(xscale="log", xlabel="rows of activations per weight", ylabel=f"energy over {INTEGERS}'s of the same SQNR")
    axis.set_title(f"{library}, array of {LARGEST}×{LARGEST}", size=10)
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3, which="both")
    with replacing(path) as beside:
        figure.savefig(beside, dpi=110)
    plt.close(figure)
    return True

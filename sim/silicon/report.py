"""What a table says about formats: a comparison in Markdown, where integers break even, and a picture."""

from pathlib import Path
from typing import Any

from golden.files import replacing, write_text
from sim.silicon.compose import SIZES, break_even, comparison, markdown

INTEGERS = ("int4-g64", "int5-g64")
"""Between their SQNR lies that of q = 16."""

DRAM = (4.0, 8.0)
"""pJ per bit at which integers are asked where they break even."""

LARGEST = SIZES[-1]


def report(table: dict[str, Any], output: Path) -> list[Path]:
    """Writes `comparison.md` and `plane.png` of the formats that the table has all units of.

    Returns
    -------
    The files; none if there is nothing to compare.
    """
    compared = comparison(table)
    if len(compared) < 2:
        return []
    text, plane = output / "comparison.md", output / "plane.png"
    write_text(text, markdown(compared) + "\n" + shares(table) + "\n" + reuse(compared))
    _picture(compared, table["about"]["library"], plane)
    return [text, plane]


def reuse(compared: list[dict[str, Any]]) -> str:
    """Where integers of as good an SQNR as q = 16 break even, a line for each of our cells."""
    known = {row["format"] for row in compared}
    if not known.issuperset(INTEGERS):
        return ""
    lines = []
    for row in compared:
        name = row["format"]
        if name.startswith("E8 q = 16") and _between(compared, row):
            found = (f"{break_even(compared, name, INTEGERS, dram):,.0f} at {dram:g} pJ/bit" for dram in DRAM)
            lines.append(f"- {name}: integers of the same SQNR break even at a reuse of {', '.join(found)}.")
    return "\n".join(lines) + "\n"


def shares(table: dict[str, Any]) -> str:
    """What decoders and norms take of an array's area, by its size."""
    units, lines = table["units"], []
    for kind, cell, edge in (
        ("as generated", "cell_q16", ("decoder_q16", "norm_q16")),
        ("lean, squares", "rival_lean_q16_squares", ("decoder_q16_lean", "norm_q16_lean")),
        ("lean, products", "rival_lean_q16_bits", ("decoder_q16_lean",)),
    ):
        if {cell, *edge} <= units.keys():
            both = 2 * sum(units[name]["area_um2"] for name in edge)
            share = (both / (both + size * units[cell]["area_um2"]) for size in SIZES)
            said = ", ".join(f"{100 * part:.0f} % of {size}×{size}" for part, size in zip(share, SIZES, strict=True))
            lines.append(f"- q = 16, {kind}: decoders and norms are {said}.")
    return "\n".join(lines) + "\n"


def _between(compared: list[dict[str, Any]], row: dict[str, Any]) -> bool:
    low, high = (next(r["sqnr_db"] for r in compared if r["format"] == name) for name in INTEGERS)
    return bool(low <= row["sqnr_db"] <= high)


def _picture(compared: list[dict[str, Any]], library: str, path: Path) -> None:
    """Area and energy of an array over SQNR, a point per format."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for axis, key, label in zip(axes, ("um2", "pj_per_mac"), ("µm² per cell", "pJ per MAC"), strict=True):
        for row in compared:
            ours = row["format"].startswith("E8")
            place = row["sqnr_db"], row[f"{key}_{LARGEST}"]
            axis.plot(*place, "o" if ours else "s", color="tab:blue" if ours else "tab:gray")
            axis.annotate(
                f"{row['format']} ({row['bits']:g})", place, xytext=(5, 3), textcoords="offset points", size=6
            )
        axis.set(xlabel="SQNR on Gaussian rows, dB", ylabel=f"{label}, array of {LARGEST}×{LARGEST}")
        axis.grid(alpha=0.3)
        axis.margins(x=0.15)
    figure.suptitle(f"{library}: bits per entry in brackets", size=10)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)
    plt.close(figure)

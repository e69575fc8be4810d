"""What is left of real networks in each format: what `python -m tests.sim.studies.networks` measured."""

import json
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "tables" / "networks.json"


@cache
def results() -> dict[str, dict[str, Any]]:
    """By workload: the `figure` and its `unit`; whether `more` of it is better; `exact`, that of float32; the standard
    `error` where there is one; what it is `of`; the command and the commit; and `formats`, by name the figure with both
    operands `plain` and `rotated` along the inner dimension, which changes nothing but rounding."""
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


def better(workload: str, format: str) -> tuple[float, bool] | None:
    """The figure of a network in a format, and whether it is that of rotated operands; None if it was not measured."""
    table = results()[workload]
    ways = table["formats"].get(format)
    if ways is None:
        return None
    best = (max if table["more"] else min)(ways, key=lambda way: float(ways[way]))
    return float(ways[best]), best == "rotated"

"""The figures that are shipped: units by technology, and memories from the literature."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from golden.errors import GossetError

FOLDER = Path(__file__).parent


def technologies() -> list[str]:
    """Names of the technologies that there are figures of."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "memory")


def load(table: str) -> dict[str, Any]:
    """A table of `gosset silicon`: one that is shipped, by technology, or a file.

    Raises
    ------
    GossetError
        If there is none, or the file is no such table.
    """
    path = FOLDER / f"{table}.json" if table in technologies() else Path(table)
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
        if not {"about", "units"} <= found.keys():
            raise ValueError("it has no units")
    except OSError as error:
        raise GossetError(f"There are figures of {', '.join(technologies())}; {table} is no file either.") from error
    except ValueError as error:
        raise GossetError(f"{path} is no table of gosset silicon: {error}.") from error
    return found


@cache
def memories() -> dict[str, dict[str, Any]]:
    """Energies of memories, by name: `value` in pJ/bit, with technology, conditions, source and confidence.

    Confidence is A for what was read in the source itself, B for a secondary source.
    """
    return {row["name"]: row for row in json.loads((FOLDER / "memory.json").read_text(encoding="utf-8"))}

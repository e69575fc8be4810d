"""Results that were measured on other machines, GPUs, and are kept with what they were measured on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from golden.errors import GossetError
from golden.files import read_bytes
from sim.compare.records import Record

FOLDER = Path(__file__).parent / "results"

NEEDED = ("machine", "driver", "versions", "commit", "date", "command")
"""What a result must say of itself."""


@dataclass(frozen=True)
class Result:
    """One file.

    Attributes
    ----------
    about : mapping
        The keys of `NEEDED`, and the file's name.
    records : list of Record
    """

    about: dict[str, Any]
    records: list[Record]


def results(folder: Path = FOLDER) -> list[Result]:
    """All that is stored, by file name.

    Raises
    ------
    GossetError
        If a file is no such result, or does not say what it was measured on.
    """
    return [result(path) for path in sorted(folder.glob("*.json"))]


def result(path: Path) -> Result:
    """One file, as `results`."""
    try:
        values = json.loads(read_bytes(path))
        about, records = values["about"], [Record.from_dict(record) for record in values["records"]]
        if lacking := [key for key in NEEDED if not about.get(key)]:
            raise ValueError(f"it lacks {', '.join(lacking)}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GossetError(f"{path} is no stored result: {error}.") from error
    return Result({**about, "file": path.name}, records)

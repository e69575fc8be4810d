"""What `sim.benches.runner` hands to a bench, and what the bench hands back: two JSON files."""

import json
import os
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from golden.format import Format
from hw.design import DesignPoint

VARIABLE = "GOSSET_BENCH"
"""The environment variable that holds the path of the settings."""


@dataclass(frozen=True)
class Settings:
    """One run of a bench.

    Attributes
    ----------
    description : dict
        Of the Verilog, as the generator wrote it; with `format` or `design` and `latency`.
    blocks : int
        Size of each test.
    report : str
        Path of the file to write.
    """

    description: dict[str, Any]
    blocks: int
    report: str

    def save(self, path: Path) -> None:
        """Writes the settings for `settings`."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @cached_property
    def design(self) -> DesignPoint:
        """The design point, of a bench that has one."""
        return DesignPoint.from_dict(self.description["design"])

    @cached_property
    def format(self) -> Format:
        """The packed format."""
        if "design" in self.description:
            return self.design.format
        fields = self.description["format"]
        return Format(fields["q"], tuple(fields["betas"]))

    @property
    def latency(self) -> int:
        """Cycles, as the unit under test defines it."""
        return int(self.description["latency"])


@cache
def settings() -> Settings:
    """The settings of this simulation."""
    return Settings(**json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")))


@dataclass
class Report:
    """What a run did so far.

    Attributes
    ----------
    tests : int
        All tests of the bench.
    begun, passed : int
        Tests that began, and those of them that passed.
    checked : int
        Results that were compared with golden in tests that passed.
    """

    tests: int = 0
    begun: int = 0
    passed: int = 0
    checked: int = 0

    def save(self, path: Path) -> None:
        """Writes the report; whoever reads meanwhile sees the old one or the new one."""
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(beside, path)

    @classmethod
    def load(cls, path: Path) -> "Report":
        """The report, empty if none was written."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()

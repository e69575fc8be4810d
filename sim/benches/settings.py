"""What `sim.benches.runner` hands to a bench, and what the bench hands back: two JSON files."""

import json
import os
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from golden.format import Format
from hw.design import DesignPoint

VARIABLE = "GOSSET_BENCH"
"""The environment variable that holds the path of the settings."""


@dataclass(frozen=True)
class Mutants:
    """Mutants that are all in the Verilog, to be tried one after the other.

    Attributes
    ----------
    port : str
        The input that says which one is there.
    numbers : list of int
        From 1.
    outcomes : str
        Path of the file to which a line is added when one has been tried: a JSON object with its `number`, the `test`
        that found it or an empty string, what that test said as `message`, and the `seconds` of the processor that it
        took. The first line, of number 0, is of the Verilog without any of them.
    """

    port: str
    numbers: list[int]
    outcomes: str


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
    mutants : Mutants, optional
        Of the Verilog, each of which is to be tried by itself.
    """

    description: dict[str, Any]
    blocks: int
    report: str
    mutants: Mutants | None = None

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
    fields = json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
    mutants = fields.pop("mutants")
    return Settings(**fields, mutants=Mutants(**mutants) if mutants else None)


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
    cases : dict of str to int
        How often tests that passed met each of the cases that the bench is about.
    """

    tests: int = 0
    begun: int = 0
    passed: int = 0
    checked: int = 0
    cases: dict[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the report; whoever reads meanwhile sees the old one or the new one."""
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(beside, path)

    @classmethod
    def load(cls, path: Path) -> "Report":
        """The report, empty if none was written."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()

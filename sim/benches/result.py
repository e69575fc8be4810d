"""What a bench found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.benches.coverage import Coverage

TAIL = 40
"""Lines of the log that a report of failure shows."""


SHOWN = 20
"""Lines and branches that no test went through that are shown."""


@dataclass(frozen=True)
class Failure:
    """A test that failed.

    Attributes
    ----------
    test : str
        Its name and parameters.
    message : str
        What was expected, and what came instead.
    """

    test: str
    message: str


@dataclass(frozen=True)
class BenchResult:
    """What a bench found. Its text says so, and of a failure how to see it again.

    Attributes
    ----------
    name : str
        The bench.
    design : str
        The design point or format.
    seed, blocks : int
        As they were given.
    passed, failed : int
        Tests.
    checked : int
        Results that were compared with golden, in tests that passed.
    cases : mapping of str to int
        How often tests that passed met each of the cases that the bench is about.
    coverage : Coverage or None
        Of the Verilog, if it was counted.
    seconds : float
        Wall time of the simulation, without the build.
    failures : tuple of Failure
    folder : Path or None
        Where the log `log.txt`, cocotb's `results.xml` and the waves `dump.vcd` are; None if nothing was kept.
    """

    name: str
    design: str
    seed: int
    blocks: int
    passed: int
    failed: int
    checked: int
    cases: Mapping[str, int]
    coverage: Coverage | None
    seconds: float
    failures: tuple[Failure, ...]
    folder: Path | None

    @property
    def ok(self) -> bool:
        """Whether every test passed."""
        return not self.failed

    @property
    def missed(self) -> list[str]:
        """Cases that no test met."""
        return [case for case, times in self.cases.items() if not times]

    def __str__(self) -> str:
        """One line, and for each failure its message; then the seed and the end of the log."""
        head = f"{self.name}, {self.design}: {self.passed} passed, {self.failed} failed, {self.checked} results checked"
        met = f"{len(self.cases) - len(self.missed)} of {len(self.cases)} cases met"
        lines = [f"{head}, {met}, {self.seconds:.1f} s", *(f"  not met: {case}" for case in self.missed)]
        if self.coverage:
            lines += [f"  {self.coverage}", *(f"  never: {point}" for point in self.coverage.never[:SHOWN])]
        if self.failed:
            lines += [f"  {failure.test}: {failure.message}" for failure in self.failures]
            again = f"blocks={self.blocks}, seed={self.seed}, only={self.failures[0].test!r}"
            lines.append(f"  the first one again: {again}; everything is in {self.folder}")
            if self.folder:
                lines += ["  " + line for line in tail(self.folder / "log.txt")]
        return "\n".join(lines)


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-TAIL:]

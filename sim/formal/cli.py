"""The command of proofs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from golden.terminal import console

if TYPE_CHECKING:
    from sim.formal.verdict import Verdict


def formal(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only the claims of this name or shape, such as decoder_q16_*; as often as needed."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Says what the claims are, and proves none.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=86_400, help="Seconds for each question to the solver; then it is undecided.")
    ] = 1200,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, and a trace of what breaks a claim.")
    ] = Path("build/formal"),
) -> None:
    """Proves claims on the generated Verilog: for all inputs, not for those that a testbench thought of.

    A claim is a sentence about a unit. yosys reads the unit's Verilog and a circuit that says when the sentence is
    broken, and a solver looks for inputs and states that break it. Where golden's rules are part of a claim they are
    golden's own code, run on symbols instead of numbers. Each claim also shows that the cases it is about can be
    reached, and that its proof finds a bug that was planted in the Verilog.

    A claim ends as: proved; holds (for so many cycles from reset only); refuted, with values and a trace in
    OUTPUT/NAME.vcd (exit code 1); unreachable or blind, if the claim itself is worth nothing (exit code 1); or
    undecided, if the time or the induction was not enough, or it speaks of what the Verilog does not have (exit
    code 2).

    Examples: `gosset formal --list`, `gosset formal --only 'decoder_q4_*'`

    It needs a solver, and yosys 0.40 or newer: `pip install 'gosset[formal]'` brings both.
    """
    from golden.errors import ToolError
    from sim.formal.catalogue import chosen
    from sim.formal.run import GOOD, WRONG, run, told_of

    claims = chosen(only or [])
    if listed:
        for claim in claims:
            console.print(f"[bold]{claim.name}[/bold]  {escape(claim.sentence)}", soft_wrap=True, highlight=False)
        return
    verdicts: list[Verdict] = []

    def told(verdict: "Verdict") -> None:
        verdicts.append(verdict)
        seconds = sum(verdict.seconds.values())
        console.print(
            f"{len(verdicts):3} of {len(claims)}  {verdict.name:28} {verdict.status:11} {seconds:7.1f} s",
            highlight=False,
        )

    report = run(claims, output, limit, told)
    console.print(claims_table(report), f"{output / 'report.json'}", soft_wrap=True)
    bad = [verdict for verdict in verdicts if verdict.status not in GOOD]
    wrong = [verdict for verdict in bad if verdict.status in WRONG]
    for verdict in bad:
        print(told_of(verdict), file=sys.stderr)
        if verdict.waves:
            print(f"  waves: {output / verdict.name}.vcd", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)
    if bad:
        names = ", ".join(verdict.name for verdict in bad)
        raise ToolError(f"There is no answer for {names}: give more time with --limit, or the claim more to go by.")


def claims_table(report: dict[str, Any]) -> Table:
    """What became of the claims."""
    table = Table(title=f"Claims on the generated Verilog, bitwuzla {report['about']['solvers']['bitwuzla']}")
    for column in ("claim", "is", "proof", "cases reached", "planted bug"):
        table.add_column(column, justify="left" if column in ("claim", "is") else "right", no_wrap=True)
    for name, claim in report["claims"].items():
        good, seconds = claim["status"] in ("proved", "holds"), claim["seconds"]
        reached = f"{len(claim['reached'])}: {seconds['covers']:.1f} s" if good else "-"
        bug = f"found: {seconds['bug']:.1f} s" if good else "-"
        table.add_row(name, claim["status"], f"{seconds['proof']:.1f} s", reached, bug)
    return table

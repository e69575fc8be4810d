"""The command that measures the testbenches."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from golden.terminal import console, progress


def mutate(
    units: Annotated[list[str] | None, typer.Argument(help="Units of the hardware; all if none is named.")] = None,
    count: Annotated[int, typer.Option(min=1, max=20_000, help="Mutants of each unit; all, if they are fewer.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the mutants that are drawn.")] = 2718,
    listed: Annotated[bool, typer.Option("--list", help="Says what the units are, and tries nothing.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, and for what the next run need not try.")
    ] = Path("build/mutate"),
) -> None:
    """Measures the testbenches: makes mutants of the Verilog, and counts those that no test finds.

    A mutant is one small change of the Verilog, of a kind that people make by mistake: a comparison that is another
    one, an operand left out, a constant one off, an enable that is not waited for, a reset to another value. It is
    killed if a test of the unit's testbench fails; equivalent if a proof shows that the module with it does what the
    module does; else it survived, and is listed: the testbench is too weak, or the proof.

    All mutants are in one simulation, which splits into a process for each. What was tried is kept in OUTPUT: a run
    that was stopped goes on where it was, and only what a change of Verilog or testbenches concerns is tried again.

    Exit code 1 if of the mutants of a unit that are not equivalent less than 98 % are killed.

    Examples: `gosset mutate --list`, `gosset mutate decoder cell --count 1000`
    """
    from sim.mutate.run import WANTED, run, score
    from sim.mutate.units import chosen

    wanted = chosen(units or [])
    if listed:
        for unit in wanted:
            what = f"modules {unit.modules} of {unit.design.name}, tried by gosset bench {unit.bench}"
            console.print(f"{unit.name:16} {what}", soft_wrap=True, highlight=False, markup=False)
        return
    report = run(wanted, count, seed, output, progress)
    console.print(units_table(report))
    for name, unit in report["units"].items():
        for one in unit["survivors"]:
            place = f"{name}, line {one['line']} ({one['module']}), {one['kind']}"
            change = f"{one['target']} = {one['broken']} (was {one['sound']})"
            console.print(f"{place}: {change}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{output / 'report.json'}", soft_wrap=True)
    weak = [name for name, unit in report["units"].items() if score(unit) < WANTED]
    if weak:
        print(f"Less than {100 * WANTED:g} % of the mutants are killed in {', '.join(weak)}.", file=sys.stderr)
        raise typer.Exit(1)


def units_table(report: dict[str, Any]) -> Table:
    """What became of the mutants."""
    from sim.mutate.run import score

    table = Table(title=f"Mutants of the generated Verilog, seed {report['seed']}")
    for column in ("unit", "bench", "of", "mutants", "killed", "equivalent", "survived", "killed of the others"):
        table.add_column(column, justify="left" if column in ("unit", "bench") else "right")
    for name, unit in report["units"].items():
        numbers = (unit["possible"], unit["mutants"], unit["killed"], unit["equivalent"], len(unit["survivors"]))
        table.add_row(name, unit["bench"], *(f"{number:,}" for number in numbers), f"{100 * score(unit):.1f} %")
    return table

"""The command of the comparison."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from golden.terminal import console, progress


def compare(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A network (digits, minilm, smollm2-135m, llama-3-8b) or a part (software, rivals, hardware, gpu); "
            "several times."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One layer of each network, short measurements: minutes instead of hours.")
    ] = False,
    watts: Annotated[
        float | None, typer.Option(help="What one processor takes while it works, W, where no counter can be read.")
    ] = None,
    gigabytes_per_second: Annotated[
        float | None, typer.Option(help="What the hardware's memory brings; as much as this machine's if not given.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report and the page.")] = (
        Path("build/compare")
    ),
) -> None:
    """Compares packed products with everything else: software on this machine, other formats, and the hardware.

    Layers of four networks, with 1, 16 and 256 rows of activations: time, energy, bytes moved, SQNR and area, at equal
    bits and at equal SQNR, and a roofline. Each figure says whether it is measured, modelled or assumed. What is not
    installed is named; `pip install 'gosset[rivals]'` brings it.

    Measure on a machine that does nothing else: the report says how busy it was.

    Examples: `gosset compare --quick`, `gosset compare --only llama-3-8b --only software --only hardware`
    """
    from golden.files import writable
    from sim.compare import report
    from sim.compare.run import compare as run

    for name in report.FILES:
        writable(output / name)
    found = run(only or [], quick, watts, gigabytes_per_second, progress)
    report.write(found, output)
    if found["equal"]:
        console.print(summary(found))
    if found["busy"]:
        console.print(found["busy"], soft_wrap=True, markup=False, highlight=False)
    for name in found["missing"]:
        said = name if ":" in name else f"{name}: not installed"
        console.print(said, soft_wrap=True, markup=False, highlight=False)
    for sentence in found["left_out"]:
        console.print(f"Left out: {sentence}", soft_wrap=True, markup=False, highlight=False)
    for name in report.FILES:
        console.print(f"{output / name}", soft_wrap=True)


def summary(found: dict[str, Any]) -> Table:
    """For each platform and rival at equal SQNR, in how many products ours is faster; ratios are ours over theirs."""
    from sim.compare.report import SHORT, short

    table = Table(title=escape(f"At equal SQNR, {found['date']}"), padding=(0, 1, 0, 0))
    for number, column in enumerate(SHORT):
        table.add_column(column, justify="left" if number < 3 else "right")
    for row in short(found["equal"]):
        table.add_row(*map(escape, row))
    return table

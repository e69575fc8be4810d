"""The command that runs random products on random designs."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from golden.errors import GossetError
from golden.terminal import console

if TYPE_CHECKING:
    from sim.soak.run import Totals


def soak(
    minutes: Annotated[float, typer.Option(min=0.01, max=100_000, help="How long.")] = 60,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything that is random.")] = 2718,
    again: Annotated[
        str | None,
        typer.Option(metavar="DESIGN.PRODUCT", help="Runs the products of one design once more, up to that one."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.json.")] = Path("build/soak"),
) -> None:
    """Runs random products on random designs, for a given time, and compares every result with golden's.

    A design is built, takes a minute of products, with pauses on its streams and without, and makes room for the next
    one; each processor has one. The first result that is wrong ends all, with the command that shows it again (exit
    code 1).

    Examples: `gosset soak --minutes 60`, `gosset soak --seed 5 --again 12.34`
    """
    from sim.soak import run

    shown = run.Totals()

    with console.status("Building the first designs ...") as status:

        def told(totals: "Totals") -> None:
            status.update(
                f"{totals.designs:,} designs, {totals.products:,} products, {totals.blocks:,} blocks decoded, "
                f"{totals.macs:,} MACs"
            )

        if again is not None:
            if not (match := re.fullmatch(r"(\d{1,9})\.(\d{1,9})", again)):
                raise GossetError(
                    f"--again takes the numbers of a design and of a product, such as 12.34, not {again!r}."
                )

            def more(done: "Totals") -> None:
                shown.add(done)
                told(shown)

            failure = run.again(seed, int(match[1]), int(match[2]), more)
            report = vars(shown)
        else:
            report, failure = run.soak(60 * minutes, seed, output, told)
    table = Table(title=f"Soak, seed {seed}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name in ("designs", "products", "jobs", "cycles", "blocks", "macs", "accumulators"):
        table.add_row(LABELS[name], f"{report[name]:,}")
    table.add_row("mismatches", str(int(failure is not None)))
    console.print(table)
    if again is None:
        console.print(f"{output / 'report.json'}", soft_wrap=True)
    if failure:
        print(failure, file=sys.stderr)
        raise typer.Exit(1)


LABELS = {
    "designs": "designs",
    "products": "products",
    "jobs": "jobs of the accelerators",
    "cycles": "clock cycles",
    "blocks": "blocks decoded",
    "macs": "multiply-accumulates",
    "accumulators": "results compared",
}
"""What the totals are called."""

"""The command that runs a layer of an encoder from memory to memory."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from golden.errors import GossetError
from golden.terminal import console
from hw.cli import Design

if TYPE_CHECKING:
    from sim.encoder.run import Step

SENTENCE = (
    "An accelerator that waits for its memory is no faster than the memory, so it asks for the next weights while it "
    "multiplies by these."
)


def encoder(
    sentence: Annotated[str, typer.Argument(help="What goes through the layer.")] = SENTENCE,
    design: Design = "small",
    latency: Annotated[int, typer.Option(min=0, max=65536, help="Cycles from a burst's address to its beats.")] = 100,
) -> None:
    """Runs MiniLM's first layer on the simulated accelerator with a memory port, from memory to memory.

    All its products run there, those of attention included, on rows of int16 that lie in memory; between them the host
    computes softmax, layer norm with the residual sums, and GELU. Every number is compared with golden's, and every
    cycle with the model's; a difference is an error (exit code 1).

    The design gets a front end, results in int16 and what else a layer asks for. The first run builds the simulator.

    Example: `gosset encoder --latency 500 "Any sentence."`
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hw.design import DesignPoint
    from sim.encoder.run import first_layer

    if not sentence.strip():
        raise GossetError("Give a sentence that has words in it.")
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        steps, summary = first_layer(sentence, DesignPoint.load(design), latency, show)
    console.print(steps_table(steps, f"{summary['tokens']} tokens, latency {latency}"))
    cycles, macs = (sum(counts) for counts in zip(*((s.counted.cycles, s.macs) for s in steps), strict=True))
    console.print(
        f"{sum(s.counted.jobs for s in steps)} jobs, {cycles:,} cycles, {macs / cycles:.1f} MAC/cycle, "
        f"{sum(s.counted.read + s.counted.written for s in steps):,} bytes; mean cosine with float32 "
        f"{summary['cosine']:.4f}",
        soft_wrap=True,
    )
    off = sum(abs(s.counted.cycles - s.counted.told) + s.counted.off for s in steps)
    wrong = sum(step.wrong for step in steps) + summary["different"]
    console.print(
        f"numbers compared: {sum(step.compared for step in steps):,}    mismatches: {wrong:,}    "
        f"cycles that the model is off: {off:,}",
        soft_wrap=True,
    )
    if wrong or off:
        for step in steps:
            if step.wrong:
                print(step.difference, file=sys.stderr)
        raise typer.Exit(1)


def steps_table(steps: "list[Step]", title: str) -> Table:
    """What was computed, and what it took."""
    table = Table(title=f"MiniLM's first layer from memory to memory: {title}")
    for column in ("", "products", "jobs", "cycles", "off", "busy", "bytes", "wrong"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for step in steps:
        counted, (m, n, k) = step.counted, step.shape
        times = f"{step.products}·" if step.products > 1 else ""
        cells = [step.name, f"{times}{m}×{k}×{n}" if k else f"{times}{m}×{n}"]
        cells += [f"{counted.jobs}", f"{counted.cycles:,}", f"{counted.told - counted.cycles}"]
        cells += [f"{100 * counted.busy / counted.cycles:.1f} %", f"{counted.read + counted.written:,}"]
        table.add_row(*cells, f"{step.wrong:,}")
    return table

"""The commands of exploration."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from golden.errors import GossetError
from golden.terminal import console, progress
from sim.silicon.cli import Liberty

Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder of the study's files.")]
FOLDER, STORE = Path("build/explore"), Path("build/explore.sqlite")

UNITS = {"time_s": ("ms", 1e3), "compute_s": ("busy", 1e3), "waiting_s": ("late", 1e3),
         "energy_j": ("mJ", 1e3), "area_mm2": ("mm²", 1), "luts": ("LUTs", 1), "dsps": ("DSPs", 1),
         "bits": ("bits", 1), "sqnr_db": ("dB", 1), "network": ("network", 1)}  # fmt: skip
"""Columns of tables on the terminal."""


class RunsByDefault(TyperGroup):
    """A group whose first word is the argument of `run` where it is no command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `run` in front."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


explore_app = typer.Typer(
    cls=RunsByDefault,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Asks which designs are best for a network and a budget: **gosset explore STUDY.toml**.\n\n"
    "Built in are the studies llm-decode, lattice-or-integers, edge-cells, ulx3s-serial and ulx3s-sdram. **gosset "
    "explore show ID** shows a point of the front, **gosset explore export ID** writes it for accelforge, and **gosset "
    "generate --study build/explore --id ID** writes its Verilog.",
)


@explore_app.command()
def run(
    study: Annotated[str, typer.Argument(help="A TOML file, or the name of a built-in study.")],
    output: Folder = FOLDER,
    rows: Annotated[int, typer.Option(min=0, max=10_000, help="Points of the front to print.")] = 20,
    refine: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Arrays of the front to simulate as Verilog: the smallest ones of each format and dataflow.",
        ),
    ] = 0,
    synthesise: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Arrays of the front to synthesise, chosen as for --refine: in LUTs where the study is of FPGAs, else "
            "in standard cells.",
        ),
    ] = 0,
    liberty: Liberty = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask's scheduler for simulations and syntheses, tcp://HOST:PORT; a cluster on this machine if none."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes of the cluster on this machine.")] = 2,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Results of simulations and syntheses, as SQLite: what is there is not done again. "
            "build/explore.sqlite if not given."
        ),
    ] = None,
) -> None:
    """Evaluates a study: writes its front as a page, CSV, Parquet and pictures, and prints the best points.

    All points of the grid, or, where they are too many, those that NSGA-II chooses. Times are computing, which equals
    the RTL to the cycle, and waiting for memory. A point whose RTL takes other cycles than the model says, or whose
    area is further from the model's than its fit is wrong, is an error (exit code 1). Standard cells are those of
    --liberty files, or of the study's technology in $GOSSET_PDK.

    Example: `gosset explore llm-decode -o build/explore`
    """
    from golden.files import writable
    from sim.studies import report
    from sim.studies.explore import explore
    from sim.studies.study import LARGEST_GRID, Study

    if not refine and not synthesise and (scheduler is not None or store is not None):
        raise GossetError("--scheduler and --store are for --refine and --synthesise: say how many.")
    asked = Study.load(study)
    for name in report.FILES:
        writable(output / name)
    size = 1
    for values in asked.shape:
        size *= values
    with progress("points", size if size <= LARGEST_GRID else asked.evaluations) as advance:
        found = explore(asked, advance)
    differ = outside = 0
    way: dict[str, Any] = {"scheduler": scheduler, "workers": workers, "progress": progress}
    if refine:
        from sim.studies.refine import refine as simulated

        differ = simulated(found, refine, store or STORE, **way)
    if synthesise:
        from sim.studies.refine import synthesise as synthesised

        outside = synthesised(found, synthesise, store or STORE, liberty=liberty or (), **way)
    written = report.write(found, output)
    console.print(front_table(written, rows))
    arrays = sum(sheet["design"] is not None for sheet in written["front"])
    counts, speed = written["points"], found.evaluated / max(found.seconds, 1e-9)
    kind = "the whole grid" if found.grid else "chosen by NSGA-II"
    console.print(
        f"{counts['evaluated']:,} of {counts['grid']:,} points evaluated ({kind}), {speed:,.0f} per second; "
        f"{counts['without machine or units']:,} have no measured units or machine, {counts['beyond a limit']:,} are "
        f"beyond a limit, {counts['front']:,} are the front, of which {arrays:,} can be generated.",
        soft_wrap=True,
    )
    done = [some for sheet in written["front"] for some in sheet["refined"]]
    if simulations := [some for some in done if "cycles of the RTL" in some]:
        cycles = sum(some["cycles of the RTL"] for some in simulations)
        console.print(
            f"{len(simulations):,} points simulated as Verilog, {cycles:,} cycles; {differ:,} of them differ from the "
            "model.",
            soft_wrap=True,
        )
    if syntheses := len(done) - len(simulations):
        worst = written["bands"]["fit of areas"]
        console.print(
            f"{syntheses:,} points synthesised; {outside:,} of them differ by more than the fit's {100 * worst:.1f} %.",
            soft_wrap=True,
        )
    if network := written["network"]:
        missing, every = network["not measured"], len(asked.axes["format"])
        exact, without = f"{network['exact']:g} {network['unit']}".strip(), f"; no point has {', '.join(missing)}"
        console.print(
            f"network is the {network['figure']} of {network['name']}, {network['of']}: {exact} in float32. It was "
            f"measured in {every - len(missing)} of {every} formats{without if missing else ''}.",
            soft_wrap=True,
            markup=False,
        )
    for note in written["unmapped"]:
        console.print(f"Not mapped, and in none of the numbers: {note}", soft_wrap=True, markup=False)
    for name in report.FILES:
        if (output / name).exists():
            console.print(f"{output / name}", soft_wrap=True)
    if differ or outside:
        raise typer.Exit(1)


@explore_app.command()
def show(
    id: Annotated[str, typer.Argument(help="The ID of a point, or how it begins.")],
    output: Folder = FOLDER,
) -> None:
    """Shows one point of a front: its design, where cycles, energy and area go, and what the figures are from.

    Example: `gosset explore show 3f2a -o build/explore`
    """
    from sim.studies.report import find

    report, sheet = find(output, id)
    console.print(*sheet_tables(report, sheet))
    for done in sheet["refined"]:
        said = ", ".join(f"{name} {value}" for name, value in done.items())
        console.print(f"Refined: {said}", soft_wrap=True, markup=False)
    for note in sheet["notes"]:
        console.print(f"Note: {note}.", soft_wrap=True)
    console.print(f"Units: {', '.join(sheet['units'])} of {report['technology']}", soft_wrap=True)


@explore_app.command()
def export(
    id: Annotated[str, typer.Argument(help="The ID of a point, or how it begins.")],
    output: Folder = FOLDER,
) -> None:
    """Writes one point of a front for accelforge: its measured units as an architecture, and the study's workload.

    The file is ID.accelforge.yaml in the study's folder. Energies and areas in it add up to those of this project; how
    the workload is mapped, accelforge finds out itself.

    Example: `gosset explore export 3f2a -o build/explore`
    """
    from golden.files import writable, write_text
    from sim.studies.exchange import accelforge
    from sim.studies.report import find

    report, sheet = find(output, id)
    path = writable(output / f"{sheet['id']}.accelforge.yaml")
    write_text(path, accelforge(report, sheet))
    console.print(f"{path}", soft_wrap=True)


def front_table(report: dict[str, Any], rows: int) -> Table:
    """The best points by the first objective, and the best of each format."""
    shown = [name for name in UNITS if name in report["front"][0]["figures"]]
    table = Table(
        title=escape(f"{report['title']}\n{report['workload']}, {report['technology']}, {report['memory']}"),
        padding=(0, 0),
    )
    for column in ("id", "format", "array", *(UNITS[name][0] for name in shown)):
        left, wide = column in ("id", "format", "array"), column == "format"
        table.add_column(column, justify="left" if left else "right", no_wrap=not wide, min_width=12 * wide or None)
    chosen: dict[str, dict[str, Any]] = {}
    for sheet in report["front"]:
        chosen.setdefault(sheet["settings"]["format"], sheet)
    others = [sheet for sheet in report["front"] if sheet not in chosen.values()]
    for sheet in sorted([*chosen.values(), *others][:rows], key=report["front"].index):
        settings = sheet["settings"]
        array = f"{settings['rows']}×{settings['cols']} {settings['dataflow']}"
        cells = (f"{sheet['figures'][name] * UNITS[name][1]:.4g}" for name in shown)
        table.add_row(sheet["id"][:6], settings["format"], array, *cells)
    return table


def sheet_tables(report: dict[str, Any], sheet: dict[str, Any]) -> list[Table]:
    """One point, as tables."""
    settings, figures = Table(title=escape(f"{sheet['id']} of {report['title']}")), Table()
    settings.add_column("parameter")
    settings.add_column("value", justify="right")
    for name, value in sheet["settings"].items():
        settings.add_row(name, str(value))
    for column in ("figure", "value", "at least", "at most"):
        figures.add_column(column, justify="left" if column == "figure" else "right")
    for name, value in sheet["figures"].items():
        low, high = sheet["bands"].get(name, ("", ""))
        figures.add_row(name, f"{value:.5g}", *(f"{side:.4g}" if side != "" else "" for side in (low, high)))
    cycles = Table()
    for column in ("cause", "cycles", "share"):
        cycles.add_column(column, justify="left" if column == "cause" else "right")
    total = sum(sheet["cycles"].values())
    for name, value in sheet["cycles"].items():
        cycles.add_row(name, f"{value:,}", f"{100 * value / total:.2f} %")
    return [settings, figures, cycles]

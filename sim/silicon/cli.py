"""The commands of silicon figures."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from golden.errors import GossetError
from golden.terminal import console, progress
from hw.cli import Design

Liberty = Annotated[
    list[Path] | None, typer.Option(help="A liberty file, plain or .xz; several times for a library in several files.")
]
Tech = Annotated[
    str, typer.Option(help="asap7, ihp or sky130 instead of --liberty: its files are looked for in $GOSSET_PDK.")
]


def silicon(
    names: Annotated[list[str] | None, typer.Argument(help="Units to measure; all if none is named.")] = None,
    liberty: Liberty = None,
    tech: Tech = "",
    table: Annotated[
        str,
        typer.Option(help="asap7, ihp, or a table.json of an earlier run, to show instead of measuring."),
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Only q = 16 and the integers next to it, and fewer cycles.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for table.json and the tools' files.")] = (
        Path("build/silicon")
    ),
) -> None:
    """Area, delay and energy of the hardware's units and of rivals in standard cells.

    Each unit goes through yosys and ABC with the same options. Its netlist is then simulated with a delay per gate,
    on operands of real data, so that glitches count, and every output is compared with the Verilog's. Figures are
    those before layout, without wires and clock tree. A run that was stopped goes on where it was. Of the formats whose
    units are all there it writes a comparison, with arrays of several sizes, as a table and a picture.

    Examples: `gosset silicon --table asap7`, `gosset silicon --liberty typical.lib --quick`,
    `gosset silicon --tech asap7 cell_q16 decoder_q16`

    To measure it needs Icarus Verilog on PATH, and yosys 0.40 or newer, or `pip install 'gosset[fpga]'`.
    """
    from sim.silicon.flow import measure
    from sim.silicon.report import report, sections
    from sim.silicon.tables import load
    from sim.silicon.technologies import libraries

    if sum(map(bool, (liberty, tech, table))) != 1:
        raise GossetError("Give the library either as --liberty files or as a --tech, or a --table that was measured.")
    if table and quick:
        raise GossetError("--quick is for what is measured: a --table is there already.")
    if table:
        found = load(table)
        if unknown := [name for name in names or [] if name not in found["units"]]:
            raise GossetError(f"The table has no unit {unknown[0]!r}; it has {', '.join(found['units'])}.")
    else:
        found = measure(liberty or libraries(tech), output, names=names or [], quick=quick, progress=progress)
    console.print(units_table(found, names or []))
    for title, part in sections(found).items():
        if title in PRINTED:
            console.print(f"\n{title}\n\n{part}", soft_wrap=True, highlight=False, markup=False)
    made = [] if table else [output / "table.json"]
    for path in (*made, *report(found, output)):
        console.print(f"{path}", soft_wrap=True)


PRINTED = ("In short", "Where integers break even", "Checks")
"""What of a report the command line shows beside the units."""


def energy(
    m: Annotated[int, typer.Option("-M", help="Rows of activations.")],
    n: Annotated[int, typer.Option("-N", help="Columns: rows of the weights.")],
    k: Annotated[int, typer.Option("-K", help="Entries of a row.")],
    design: Design = "small",
    table: Annotated[
        str, typer.Option(help="asap7, ihp, or a table.json that gosset silicon made of another library.")
    ] = "asap7",
    dram: Annotated[str, typer.Option(help="The memory outside: hbm2, lpddr4, gddr5 or ddr.")] = "hbm2",
    explain: Annotated[bool, typer.Option("--explain", help="Shows the formula, and the rows that it used.")] = False,
) -> None:
    """Says what the energy of a product would be: the exact model's cycles times the energies of the design's units.

    The array's figures are from gate-level simulation before layout; wires and clock tree, which are missing, are in
    the error band. Energies of memories are from the literature.

    Example, a layer for one token: `gosset energy --design small_ws -M 1 -N 4096 -K 4096 --explain`
    """
    from hw.design import DesignPoint
    from sim.silicon import model
    from sim.silicon.tables import load

    point, units = DesignPoint.load(design), load(table)
    found = model.estimate(point, units, m, n, k, dram=dram)
    shown = Table(title=f"{m} × {k} × {n} on {point.name}, {units['about']['library']}")
    for column in ("part", "µJ", "share", "pJ/MAC", "from"):
        shown.add_column(column, justify="left" if column in ("part", "from") else "right", no_wrap=True)
    total, count = float(found.total), m * n * k
    for part, origin in model.ORIGIN.items():
        value = float(getattr(found, part))
        shown.add_row(part, f"{value / 1e6:.4g}", f"{100 * value / total:.1f} %", f"{value / count:.4f}", origin)
    shown.add_section()
    shown.add_row("all", f"{total / 1e6:.4g}", "", f"{total / count:.4f}")
    console.print(shown)
    low, high = found.band()
    console.print(f"between {float(low) / count:.3f} and {float(high) / count:.3f} pJ/MAC", soft_wrap=True)
    if explain:
        console.print(model.explain(point, units, dram), soft_wrap=True, highlight=False, markup=False)


def units_table(table: dict[str, Any], names: list[str]) -> Table:
    """The units of a table, as the command line shows them."""
    about = table["about"]
    shown = Table(title=f"{about['library']}, {about['voltage_v']:g} V: before layout, glitches counted")
    for column in ("unit", "µm²", "FFs", "ps", "event", "pJ", "no glitches", "pJ/MAC"):
        shown.add_column(column, justify="left" if column in ("unit", "event") else "right", no_wrap=True)
    for name, unit in table["units"].items():
        if names and name not in names:
            continue
        cells = [name, f"{unit['area_um2']:,.1f}", f"{unit['flops']:,}", f"{unit['critical_ps']:,.0f}"]
        if not unit["events"]:
            shown.add_row(*cells)
        for event, energy in unit["events"].items():
            figures = [f"{energy['total']:.4f}"]
            if event == "compute":
                figures.append(f"{energy['zero_delay']:.4f}")
                figures += [f"{energy['total'] / unit['macs']:.4f}"] if unit["macs"] else []
            shown.add_row(*cells, event, *figures)
            cells = [""] * 4
    return shown

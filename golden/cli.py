"""Commands on formats and their quality. Modules that take long to import are imported by the commands."""

from pathlib import Path
from typing import Annotated

import typer

from golden.terminal import console, progress


def info(packed: Annotated[Path, typer.Argument(help="A packed matrix, or a folder of a packed network.")]) -> None:
    """Shows what a packed matrix or network holds, after checking every file of it."""
    from golden.format import PackedMatrix

    if packed.is_dir():
        _network(packed)
        return
    matrix = PackedMatrix.load(packed)
    console.print(f"{matrix.shape[0]} × {matrix.shape[1]}, {matrix.format}, {matrix.bits_per_entry:.3f} bits per entry")


def _network(folder: Path) -> None:
    """Lists a folder of packed tensors."""
    from rich.markup import escape
    from rich.table import Table

    from golden.checkpoint import Packed

    packed = Packed.load(folder)
    fed = any(entry.output_sqnr_db is not None for entry in packed.entries.values())
    columns = ("tensor", "rows", "columns", "packed along", "bits/entry", "SQNR dB", *(["outputs dB"] if fed else []))
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column in ("tensor", "packed along") else "right")
    missing = set(packed.missing)
    with progress("check", len(packed.entries)) as advance:
        for name, entry in packed.entries.items():
            if name not in missing:
                packed.matrix(name)
                cells = [f"{entry.rows:,}", f"{entry.columns:,}", "columns" if entry.transposed else "rows"]
                cells += [f"{entry.bits_per_entry:.3f}", f"{entry.sqnr_db:.2f}"]
                cells += [f"{entry.output_sqnr_db:.2f}" if entry.output_sqnr_db is not None else ""] if fed else []
                table.add_row(escape(name), *cells)
            advance(1)
    console.print(table)
    form = packed.made_from["format"]
    console.print(
        f"q = {form['q']}, β {form['betas']}: {len(packed.entries) - len(missing & packed.entries.keys())} tensors, "
        f"{packed.size:,} entries, {packed.bits_per_entry:.3f} bits per entry; {len(packed.left)} others left out",
        soft_wrap=True,
        markup=False,
    )
    if missing:
        console.print(f"Not packed yet: {len(missing)}, {sorted(missing)[0]} first", soft_wrap=True, markup=False)


def fit(
    matrix: Annotated[Path, typer.Argument(help="A .npy file with a matrix, or data like what will be packed.")],
    q: Annotated[int, typer.Option(help="Nesting ratio, a power of two from 2 to 64.")] = 16,
    count: Annotated[int, typer.Option(help="How many multipliers: 1, 2, 4 or 8 use up 0 to 3 bits per block.")] = 4,
) -> None:
    """Finds the set of multipliers β that packs a matrix with the least error.

    Example: `gosset fit weights.npy --q 8 --count 4`
    """
    from golden.arrayfiles import read_array
    from golden.fit import fit_betas
    from golden.format import Format

    found = fit_betas(read_array(matrix), q, count)
    bits = Format(q, found.betas).bits_per_entry
    console.print(f"--betas {','.join(map(str, found.betas))}    {bits} bits per entry, SQNR {found.sqnr_db:.2f} dB")

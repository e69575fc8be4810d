"""Commands on formats and their quality. Modules that take long to import are imported by the commands."""

from pathlib import Path
from typing import Annotated

import typer

from golden.errors import GossetError
from golden.terminal import console, progress


def quantize(
    matrix: Annotated[Path, typer.Argument(help="A .npy file with a matrix; rows are quantised one by one.")],
    output: Annotated[Path, typer.Argument(help="The packed matrix, a safetensors file.")],
    q: Annotated[
        int, typer.Option(help="Nesting ratio, a power of two from 2 to 64: log2(q) bits per entry and β.")
    ] = 16,
    betas: Annotated[str, typer.Option(help="Multipliers that a block of 8 can pick from.")] = "3,4,5,7",
    selection: Annotated[
        str,
        typer.Option(help="How β is picked: opt (least error), first (least that fits), best (slower, less error)."),
    ] = "opt",
) -> None:
    """Packs a matrix: 4.25 bits per entry with q = 16 and four β.

    Example: `gosset quantize weights.npy weights.safetensors --q 8`
    """
    import numpy as np

    from golden.arrayfiles import read_array
    from golden.files import writable
    from golden.format import Format
    from golden.quantize import quantize as quantize_matrix

    try:
        numbers = tuple(int(beta) for beta in betas.split(","))
    except ValueError as error:
        raise GossetError(f"--betas takes integers separated by commas, such as 3,4,5,7, not {betas!r}.") from error
    format = Format(q, numbers)
    writable(output)
    array = read_array(matrix)
    with progress("quantize", len(array) if array.ndim else 1) as advance:
        done = 0

        def show(rows: int, _total: int) -> None:
            nonlocal done
            advance(rows - done)
            done = rows

        packed = quantize_matrix(array, format, selection=selection, progress=show)  # type: ignore[arg-type]
    packed.save(output)
    x = array.astype(np.float64)
    lost = np.square(x - packed.dequantize()).sum()
    ratio = 10 * np.log10(np.square(x).sum() / lost) if lost else np.inf
    size = f"{packed.shape[0]} × {packed.shape[1]}, {packed.bits_per_entry:.3f} bits per entry"
    console.print(f"{output}: {size}, SQNR {ratio:.2f} dB", soft_wrap=True)


def info(packed: Annotated[Path, typer.Argument(help="A packed matrix.")]) -> None:
    """Shows what a packed matrix holds, after checking it."""
    from golden.format import PackedMatrix

    matrix = PackedMatrix.load(packed)
    console.print(f"{matrix.shape[0]} × {matrix.shape[1]}, {matrix.format}, {matrix.bits_per_entry:.3f} bits per entry")


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


def quality(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, tables.md and the plots.")
    ] = Path("build/quality"),
    sections: Annotated[
        str, typer.Option(help="What to measure: gaussian, guarantee, minilm, separated by commas.")
    ] = ("gaussian,guarantee,minilm"),
    sentences: Annotated[int, typer.Option(min=1, max=100_000, help="Sentences for the network.")] = 2000,
) -> None:
    """How good the code is: distortion over the bound, the guarantee on hostile matrices, a real network.

    All formats beside each other, rivals included. The network, MiniLM, takes most of the time; leave it out with
    `gosset quality --sections gaussian,guarantee`.
    """
    from golden.quality.report import quality as measure_quality

    chosen = tuple(name.strip() for name in sections.split(","))
    measure_quality(
        output, sections=chosen, sentences=sentences, report=lambda line: console.print(line, soft_wrap=True)
    )
    console.print(f"{output / 'report.json'}", soft_wrap=True)

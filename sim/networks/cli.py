"""Commands on networks and matrices. Modules that take long to import are imported by the commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from golden.errors import GossetError
from golden.terminal import console, progress

if TYPE_CHECKING:
    from golden.calibration import Calibration
    from golden.format import Format

LARGE = 1 << 22
"""Entries from which the compiled encoder is worth looking for."""


def quantize(
    source: Annotated[
        Path,
        typer.Argument(
            help="A .npy file with a matrix; or a network: a .safetensors file, a folder as Hugging Face has them, or "
            "the index in it."
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Argument(help="The packed matrix, a safetensors file; or a folder for a network.", show_default=False),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The same as TARGET.")] = None,
    q: Annotated[
        int, typer.Option(help="Nesting ratio, a power of two from 2 to 64: log2(q) bits per entry and β.")
    ] = 16,
    betas: Annotated[str, typer.Option(help="Multipliers that a block of 8 can pick from.")] = "3,4,5,7",
    selection: Annotated[
        str,
        typer.Option(help="How β is picked: opt (least error), first (least that fits), best (slower, less error)."),
    ] = "opt",
    names: Annotated[
        str, typer.Option(help="Of a network: patterns of the matrices to pack, such as *_proj.weight,lm_head.weight.")
    ] = "*",
    columns: Annotated[
        str | None,
        typer.Option(
            help="Of a network: patterns of matrices that are inputs × outputs, as GPT-2's; their columns are packed."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Inputs that the layer has seen, samples × K: errors are fed back so that its outputs suffer least. "
            "A .npy file, or for a network a safetensors file with a matrix per layer, under the name of its weights."
        ),
    ] = None,
    hessian: Annotated[
        Path | None, typer.Option(help="The same from the mean of x·xᵀ over such inputs, K × K.")
    ] = None,
) -> None:
    """Packs a matrix, or every matrix of a network: 4.25 bits per entry with q = 16 and four β.

    A network becomes a folder with a file per tensor; `gosset info` lists it. Memory holds one packed tensor and little
    more. A run that was stopped goes on where it was: give the same command again.

    Examples: `gosset quantize weights.npy weights.safetensors --q 8`,
    `gosset quantize model.safetensors -o packed/ --names '*_proj.weight'`,
    `gosset quantize weights.npy weights.safetensors --calibrate inputs.npy`
    """
    from golden.calibration import Calibration
    from golden.checkpoint import is_checkpoint
    from golden.format import Format

    where = target or output
    if where is None or (target and output):
        raise GossetError("Say once where the packed matrix goes, such as -o packed.safetensors.")
    if calibrate and hessian:
        raise GossetError("Give either inputs (--calibrate) or their Hessian (--hessian), not both.")
    try:
        numbers = tuple(int(beta) for beta in betas.split(","))
    except ValueError as error:
        raise GossetError(f"--betas takes integers separated by commas, such as 3,4,5,7, not {betas!r}.") from error
    if selection not in ("opt", "first", "best"):
        raise GossetError(f'The selection of β is "opt", "first" or "best", but it is {selection!r}.')
    data = calibrate or hessian
    known = Calibration(data, "inputs" if calibrate else "hessians") if data else None
    if known and selection != "opt":
        raise GossetError(f"With error feedback β is picked by opt, not by {selection}.")
    format = Format(q, numbers)
    if is_checkpoint(source):
        turned = () if columns is None else _patterns("--columns", columns)
        _network(source, where, format, selection, (_patterns("--names", names), turned), known)
    elif names != "*" or columns is not None:
        raise GossetError(f"{source} is no network: --names and --columns are for those.")
    else:
        _matrix(source, where, format, selection, known)


def _patterns(option: str, text: str) -> tuple[str, ...]:
    """Patterns between commas."""
    patterns = tuple(text.split(","))
    if not all(patterns):
        raise GossetError(f"{option} takes patterns separated by commas, such as *_proj.weight, not {text!r}.")
    return patterns


def _matrix(source: Path, output: Path, format: "Format", selection: Any, known: "Calibration | None") -> None:
    """Packs a .npy file."""
    import numpy as np

    from golden.arrayfiles import read_array
    from golden.checkpoint import decibels
    from golden.files import writable
    from golden.quantize import quantize as quantize_matrix
    from golden.weights import ldlq, proxy_loss

    writable(output)
    array = read_array(source)
    matrix = known.hessian() if known else None
    total = (array.shape[-1] if known else len(array)) if array.ndim else 1
    with progress("quantize", total) as advance:
        done = 0

        def show(now: int, _total: int) -> None:
            nonlocal done
            advance(now - done)
            done = now

        rounding = _rounding(array.size)
        if matrix is None:
            packed = quantize_matrix(array, format, selection=selection, progress=show, rounding=rounding)
        else:
            packed = ldlq(array, matrix, format, progress=show, rounding=rounding)
    packed.save(output)
    x, read = array.astype(np.float64), packed.dequantize()
    ratio = decibels(float(np.square(x).sum()), float(np.square(x - read).sum()))
    said = f"SQNR {ratio:.2f} dB"
    if matrix is not None:
        said += f", {decibels(1, proxy_loss(x, read, matrix)):.2f} dB of the outputs"
    size = f"{packed.shape[0]} × {packed.shape[1]}, {packed.bits_per_entry:.3f} bits per entry"
    console.print(f"{output}: {size}, {said}", soft_wrap=True)


def _network(
    source: Path,
    folder: Path,
    format: "Format",
    selection: Any,
    patterns: tuple[tuple[str, ...], tuple[str, ...]],
    known: "Calibration | None",
) -> None:
    """Packs a checkpoint."""
    from golden.checkpoint import begin, pack

    names, columns = patterns
    packed, found = begin(source, folder, format, selection=selection, names=names, columns=columns, calibration=known)
    if packed.entries:
        console.print(f"{len(packed.entries)} of {len(packed.wanted)} tensors were packed before.", soft_wrap=True)
    sizes = {name: tensor.shape[0] * tensor.shape[1] for name, tensor in found.items() if tensor.matrix}
    total = sum(sizes[name] for name in packed.missing)
    with progress("quantize", total) as advance:
        pack(packed, found, calibration=known, rounding=_rounding(total), advance=advance)
    fed = sum(entry.output_sqnr_db is not None for entry in packed.entries.values())
    console.print(
        f"{folder}: {len(packed.entries)} tensors, {packed.size:,} entries, {packed.bits_per_entry:.3f} bits per entry"
        f"{f', {fed} with error feedback' if known else ''}; {len(packed.left)} others left out",
        soft_wrap=True,
    )


def _rounding(entries: int) -> Any:
    """The compiled encoder where there is much to do and a compiler is there, else golden's own: the same result."""
    from golden.errors import ToolError
    from golden.rounding import choose
    from sim.kernels.encoder import chooser

    if entries < LARGE:
        return choose
    try:
        return chooser()
    except ToolError:
        return choose

"""Commands that pack matrices and networks and say what it costs; they import themselves what takes long to import."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from golden.errors import GossetError
from golden.terminal import console, progress
from hw.cli import Design

if TYPE_CHECKING:
    from golden.calibration import Calibration
    from golden.format import Format
    from golden.rivals import Codec
    from sim.networks.evaluate import Multiply

Model = Annotated[Path, typer.Argument(help="A network, an ONNX file.")]
Inputs = Annotated[Path, typer.Argument(help="A .npz file with an array for each input, under its name.")]
Rotate = Annotated[
    bool, typer.Option(help="Whether rows of both operands are rotated alike before they are quantised.")
]

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
    from golden.format import Format
    from golden.tensors import is_checkpoint

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


PACKED = {f"e8_q{q}": q for q in (4, 8, 16, 32)}
"""Formats of `run` that are computed on packed operands, and their q."""


def run(
    model: Model,
    inputs: Inputs,
    format: Annotated[
        str,
        typer.Option(
            help="Of both operands of every product, several separated by commas: e8_q4, e8_q8, e8_q16, e8_q32; and in "
            "NumPy, to compare with, int3_g64, int4_g64, int4_g128, mxfp4, nvfp4 with searched scales."
        ),
    ] = "e8_q16",
    backend: Annotated[
        str,
        typer.Option(help="What multiplies: golden (NumPy), cpu or gpu (compiled kernels), rtl (Verilated)."),
    ] = "cpu",
    design: Design = "small",
    rotate: Rotate = True,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, and the outputs as FORMAT.npz.")
    ] = Path("build/run"),
) -> None:
    """Evaluates an ONNX network with its matrix products on the packed format, and says what it costs.

    Products of MatMul, Gemm and Conv (as im2col) are computed on packed operands, those in bodies of If and Loop as
    well; ONNX's reference evaluator does everything else in float32. For every layer: the SQNR of its own products, and
    of its result beside the network in float32, with the errors of all layers before it. What multiplies and is not
    mapped is named.

    Example: `gosset run model.onnx inputs.npz --format e8_q16,e8_q8,int4_g64 --backend golden`
    """
    from golden.format import Format
    from hw.design import DesignPoint
    from sim.device import BACKENDS
    from sim.networks.evaluate import on_device, with_codec

    chosen, rivals = format.split(","), _rivals()
    for name in chosen:
        if name not in PACKED and name not in rivals:
            raise GossetError(f"No format is called {name!r}; there are {', '.join((*PACKED, *rivals))}.")
        if name in rivals and backend == "rtl":
            raise GossetError(f"{name} is no packed format: the RTL multiplies {', '.join(PACKED)}.")
    if backend not in BACKENDS:
        raise GossetError(f"No backend is called {backend!r}; there are {', '.join(BACKENDS)}.")
    point = DesignPoint.load(design)

    def multiply(name: str) -> "Multiply":
        if name in rivals:
            return with_codec(rivals[name], rotate=rotate)
        device = BACKENDS[backend](point.with_format(Format(PACKED[name], point.format.betas)))
        return on_device(device, rotate=rotate, rounding=_rounding(LARGE if backend == "cpu" else 0))

    about = {"backend": backend, "rotated": rotate, "design": point.as_dict()}
    evaluate(model, inputs, {name: partial(multiply, name) for name in chosen}, about, output)


def evaluate(
    model: Path, inputs: Path, formats: "Mapping[str, Callable[[], Multiply]]", about: dict[str, Any], output: Path
) -> None:
    """Evaluates an ONNX network in several formats, shows what it costs, and writes report.json and the outputs.

    Parameters
    ----------
    model, inputs : path
    formats : mapping
        What makes each format's way to multiply, by its name.
    about : dict
        What the report says besides.
    output : path
        The folder.

    Raises
    ------
    GossetError
        If the files are unfit, or the folder cannot be written to.
    """
    import json
    from dataclasses import asdict

    import numpy as np

    from golden.files import replacing, writable, write_text
    from sim.networks.evaluate import Evaluation, Network, read_inputs

    for file in ("report.json", *(f"{name}.npz" for name in formats)):
        writable(output / file)
    network = Network(model, read_inputs(inputs))
    if not network.size:
        raise GossetError(f"{model} has no MatMul, Gemm or Conv of real numbers to compute.")
    found: dict[str, Evaluation] = {}
    for name, make in formats.items():
        multiply = make()
        with progress(name, network.size) as advance:
            found[name] = network.evaluate(multiply, lambda: advance(1))
    console.print(*_tables(model.name, found))
    for part in network.unmapped:
        console.print(f"In float32: {part.node} ({part.operator}): {part.reason}", soft_wrap=True, markup=False)
    report = {
        "model": model.name,
        **about,
        "unmapped": [asdict(part) for part in network.unmapped],
        "formats": {
            name: {"layers": [asdict(x) for x in each.layers], "outputs": [asdict(x) for x in each.errors]}
            for name, each in found.items()
        },
    }
    for name, each in found.items():
        arrays = {key: value for key, value in each.outputs.items() if isinstance(value, np.ndarray)}
        with replacing(output / f"{name}.npz") as beside:
            np.savez(beside, **arrays)  # type: ignore[arg-type]
    write_text(output / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    console.print(f"{output / 'report.json'}", soft_wrap=True)


def _rivals() -> "dict[str, Codec]":
    """The rivals by name."""
    from golden.rivals.integers import IntGroups
    from golden.rivals.microscaling import mxfp4, nvfp4

    integers: dict[str, Codec] = {
        f"int{bits}_g{group}": IntGroups(bits, group) for bits, group in ((3, 64), (4, 64), (4, 128))
    }
    return integers | {"mxfp4": partial(mxfp4, search=True), "nvfp4": partial(nvfp4, search=True)}


def _tables(title: str, found: dict[str, Any]) -> tuple[Any, Any]:
    """Errors of the layers and of the outputs."""
    from rich.markup import escape
    from rich.table import Table

    layers, outputs = (
        Table(title=f"{escape(title)}: SQNR in dB, of a layer itself / beside float32"),
        Table(title="Outputs"),
    )
    for column in ("layer", "operator", "M", "N", "K", "count", *found):
        text = column in ("layer", "operator")
        layers.add_column(column, justify="left" if text else "right", overflow="fold", no_wrap=column != "layer")
    most = max(found.values(), key=lambda each: len(each.layers)).layers
    for i, layer in enumerate(most):
        sizes = [f"{size:,}" for size in (layer.m, layer.n, layer.k, layer.count)]
        errors = [each.layers[i] if i < len(each.layers) else None for each in found.values()]
        cells = [f"{_decibels(error.own_db)} / {_decibels(error.db)}" if error else "" for error in errors]
        layers.add_row(escape(layer.name), layer.operator, *sizes, *cells)
    for column in ("output", "format", "SQNR dB", "largest difference", "same largest entry"):
        outputs.add_column(column, justify="left" if column in ("output", "format") else "right")
    for name, each in found.items():
        for error in each.errors:
            same = "" if error.same_first is None else f"{100 * error.same_first:.1f} %"
            outputs.add_row(escape(error.name), name, _decibels(error.db), f"{error.largest:.3g}", same)
    return layers, outputs


def _decibels(ratio: float) -> str:
    """A ratio in dB as tables show it."""
    return "exact" if ratio >= 999 else "other shape" if ratio <= -999 else f"{ratio:.1f}"


def quality(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, tables.md and the plots.")
    ] = Path("build/quality"),
    sections: Annotated[
        str,
        typer.Option(help="What to measure: gaussian, guarantee, minilm, language, kv, bytes, separated by commas."),
    ] = "gaussian,guarantee,minilm,language,kv,bytes",
    sentences: Annotated[int, typer.Option(min=1, max=100_000, help="Sentences for MiniLM.")] = 2000,
    tokens: Annotated[int, typer.Option(min=512, max=100_000, help="Tokens for the language model.")] = 20_480,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="A first look: 200 sentences, 1,024 tokens, few draws, no formats that take long."
        ),
    ] = False,
) -> None:
    """How good the code is: distortion over the bound, the guarantee on hostile matrices, real networks.

    All formats beside each other, rivals included. MiniLM embeds sentences (minilm); SmolLM2-135M reads prose, with
    weights, activations and its cache quantised, each by itself and together (language), and in more formats the cache
    alone (kv). The networks take most of the time; leave them out with `gosset quality --sections gaussian,guarantee`.
    """
    from golden.quality.language import QUICK
    from golden.quality.report import quality as measure_quality

    chosen = tuple(name.strip() for name in sections.split(","))
    measure_quality(
        output,
        sections=chosen,
        sentences=200 if quick else sentences,
        tokens=QUICK if quick else tokens,
        draws=8 if quick else 32,
        rows=64 if quick else 256,
        few=quick,
        rounding=_rounding(LARGE if {"minilm", "language", "kv", "bytes"} & {*chosen} else 0),
        report=lambda line: console.print(line, soft_wrap=True),
    )
    console.print(f"{output / 'report.json'}", soft_wrap=True)

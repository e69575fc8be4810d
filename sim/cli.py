"""Commands that generate, simulate and model. Modules that take long to import are imported by the commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from golden.errors import GossetError
from golden.terminal import console, progress, write_array
from hw.cli import Design

if TYPE_CHECKING:
    from sim.workloads.layers import Workload


def generate(
    design: Design = "small",
    bus: Annotated[
        str,
        typer.Option(
            help="stream: bare valid/ready streams; axis: AXI4-Stream; axi: an AXI4 master that fetches operands. The "
            "last two have AXI4-Lite registers."
        ),
    ] = "stream",
    study: Annotated[
        Path | None, typer.Option(help="Folder of a study of gosset explore, whose point --id says the design.")
    ] = None,
    id: Annotated[str | None, typer.Option("--id", help="The ID of a point of the study, or how it begins.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path("build/rtl"),
) -> None:
    """Writes the Verilog of a design, and a JSON file with its ports, latency, parameters and tool versions.

    With a bus also the register map (JSON, C header, Markdown), a FuseSoC core file and constraints; with `axi` also a
    Python script that runs a layer on the accelerator, from memory to memory, in simulation.

    Example: `gosset generate --design small --bus axi -o build/rtl`
    """
    from hw.design import DesignPoint
    from hw.generate import generate_axi, generate_design
    from sim.benches.catalogue import with_example

    if (id is None) != (study is None):
        raise GossetError("A point of a study is told by its folder, --study, and its --id.")
    if study is None or id is None:
        point = DesignPoint.load(design)
    else:
        from sim.studies.report import design_in

        point = design_in(study, id)
    generated = generate_design(point) if bus == "stream" else generate_axi(point, bus)
    if bus == "axi":
        generated = with_example(generated)
    path = generated.write(output)
    for written in (path, path.with_suffix(".json"), *(output / name for name in generated.files)):
        console.print(f"{written}", soft_wrap=True)


def sim(
    design: Design = "small",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, report.png and the Verilog.")
    ] = Path("build/sim"),
) -> None:
    """Generates, lints, simulates and compares with the golden model, then reads real digits on the RTL.

    Every accumulator that comes out of the simulated Verilog is compared with golden's, bit for bit; a difference is
    an error (exit code 1), told with its place and both values. Ends with a table of accuracy and speed.
    """
    from hw.design import DesignPoint
    from sim.verify import verify

    report = verify(DesignPoint.load(design), output, progress)
    console.print(accuracy_table(report), cycles_table(report))
    console.print(
        f"decoder blocks compared: {sum(report['blocks_checked'].values()):,}    "
        f"accumulators compared: {report['accumulators_compared']:,}    mismatches: {report['mismatches']}",
        soft_wrap=True,
    )
    console.print(f"{output / 'report.json'}\n{output / 'report.png'}", soft_wrap=True)
    if report["mismatches"]:
        for line in report["described"]:
            print(line, file=sys.stderr)
        raise typer.Exit(1)


def accuracy_table(report: dict[str, Any]) -> Table:
    """Accuracy per format."""
    table = Table(title=f"{report['images']} handwritten digits, weights and activations quantised")
    for column in ("format", "bits/entry", "read right", "computed by"):
        table.add_column(column, justify="left" if column in ("format", "computed by") else "right")
    for name, accuracy in report["accuracy"].items():
        where = "RTL" if name.startswith("e8") else "NumPy"
        table.add_row(name, f"{report['bits_per_entry'][name]:.2f}", f"{100 * accuracy:.2f} %", where)
    return table


def cycles_table(report: dict[str, Any]) -> Table:
    """Cycles per rate."""
    table = Table(title=f"The digits on {report['design']['name']}, peak {peak(report)} MAC/cycle")
    for column in ("run", "cycles", "MAC/cycle", "of the peak"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for name, run in report["digits"].items():
        table.add_row(name, f"{run['cycles']:,}", f"{run['macs_per_cycle']:.1f}", f"{100 * run['utilisation']:.1f} %")
    return table


def peak(report: dict[str, Any]) -> int:
    """Multiply-accumulates per cycle of a report's design."""
    from hw.design import DesignPoint

    return DesignPoint.from_dict(report["design"]).macs_per_cycle


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Testbenches; all if none is named.")] = None,
    design: Annotated[
        list[str] | None, typer.Option("--design", "-d", help="Presets or TOML files; all presets if none is given.")
    ] = None,
    drawn: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Run on so many designs that are drawn: all pairs of two parameters occur in about 40.",
        ),
    ] = 0,
    everything: Annotated[
        bool,
        typer.Option(
            "--equipped", help="Give each design everything that its memory port can have: front end, output stage, ..."
        ),
    ] = False,
    blocks: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Size of each test; each testbench has its own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything that is random.")] = 2718,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Say how much of the Verilog the tests go through. Slower.")
    ] = False,
) -> None:
    """Runs cocotb testbenches at full size: units, the accelerator, both of its AXI tops, a board's link and UART.

    Random pauses on every channel, error responses, illegal jobs, resets at any moment; every result is compared with
    golden's. A failure is told with how to see it again (exit code 1). Each testbench names the cases that it is about,
    and says which of them no test met.

    Examples: `gosset bench axi_memory axi_stream --design small`, `gosset bench axi_memory axi_control --equipped`
    """
    from hw.design import PRESETS, DesignPoint
    from sim.benches.catalogue import BENCHES
    from sim.benches.runner import run_bench
    from sim.designs import covering, equipped

    failed = 0
    points = covering(seed)[:drawn] if drawn else []
    if design or not drawn:
        points += map(DesignPoint.load, design or PRESETS)
    for point in map(equipped, points) if everything else points:
        for name in names or BENCHES:
            if name in BENCHES and not BENCHES[name].applies(point):
                continue
            result = run_bench(name, point, blocks=blocks, seed=seed, covers=coverage)
            console.print(str(result), soft_wrap=True, highlight=False)
            failed += result.failed
    if failed:
        raise typer.Exit(1)


def waves(
    design: Design = "tiny",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the waves.")] = Path("build/waves"),
) -> None:
    """Records the waves of a short product, every signal of the design, as an FST file."""
    from hw.design import DesignPoint
    from sim.device import record_waves

    path = record_waves(DesignPoint.load(design), output)
    console.print(f"{path}\nOpen it with:  surfer {path}  or  gtkwave {path}", soft_wrap=True)


def matmul(
    x: Annotated[Path, typer.Argument(help="Packed activations, M × K.")],
    w: Annotated[Path, typer.Argument(help="Packed weights, N × K.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The result, M × N, as a .npy file.")],
    backend: Annotated[
        str,
        typer.Option(
            help="What computes it: golden (NumPy), cpu or gpu (compiled kernels), rtl (the Verilated design)."
        ),
    ] = "rtl",
    design: Design = "small",
) -> None:
    """Multiplies two packed matrices: x·wᵀ, exact integers until the row scales are applied.

    Example: `gosset matmul x.safetensors w.safetensors -o y.npy --backend rtl`
    """
    from golden.files import writable
    from golden.format import PackedMatrix
    from hw.design import DesignPoint
    from sim.device import BACKENDS
    from sim.tiles import Job

    if backend not in BACKENDS:
        raise GossetError(f"No backend is called {backend!r}; there are {', '.join(BACKENDS)}.")
    writable(output)
    left, right = PackedMatrix.load(x), PackedMatrix.load(w)
    point = DesignPoint.load(design).with_format(left.format)
    job = Job(point, left, right)
    report = BACKENDS[backend](point).run(job)
    write_array(output, report.product.result)
    speed = f", {report.cycles:,} cycles, {report.macs_per_cycle:.1f} MAC/cycle" if report.cycles else ""
    console.print(f"{output}: {' × '.join(map(str, job.accumulators_shape))}{speed}", soft_wrap=True)


def cycles(
    m: Annotated[int, typer.Option("-M", help="Rows of activations.")],
    n: Annotated[int, typer.Option("-N", help="Columns: rows of the weights.")],
    k: Annotated[int, typer.Option("-K", help="Entries of a row.")],
    design: Design = "small",
    activations: Annotated[
        str, typer.Option("--activations", "-a", help="packed, int8, or raw rows for the design's front end.")
    ] = "packed",
    x_period: Annotated[int, typer.Option(help="Cycles per word of activations that memory takes.")] = 1,
    w_period: Annotated[int, typer.Option(help="Cycles per word of weights that memory takes.")] = 1,
    latency: Annotated[
        int, typer.Option(help="Cycles until memory gives the first words; with --bus axi, the first beat of a burst.")
    ] = 0,
    bus: Annotated[
        str,
        typer.Option(
            help="stream: words come at the given periods. axi: from memory to memory, through the AXI4 port, a beat "
            "per cycle at most."
        ),
    ] = "stream",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json and, of streams, timeline.png and a trace.")
    ] = Path("build/cycles"),
) -> None:
    """Says where the cycles of a product would go, from a model that equals the RTL to the cycle.

    Beside them stands the energy of packed activations, where a table that is shipped has the design's units.

    The trace is one for Perfetto, https://ui.perfetto.dev, in which a cycle is a microsecond.

    A word holds a block of 8 for each row or column of the array. Examples, a layer for one token, and the same from
    a memory of some latency:
    `gosset cycles --design small_ws -M 1 -N 4096 -K 4096 --w-period 2`
    `gosset cycles --design small_ws -M 1 -N 4096 -K 4096 --bus axi --latency 200`
    """
    from hw.design import DesignPoint
    from sim.models.breakdown import breakdown, bus_breakdown
    from sim.models.cycles import Memory
    from sim.silicon.model import shipped

    if bus not in ("stream", "axi"):
        raise GossetError(f"The bus is stream or axi, not {bus!r}.")
    if bus == "axi" and (x_period, w_period) != (1, 1):
        raise GossetError("Behind --bus axi a beat comes in every cycle: leave --x-period and --w-period out.")
    point = DesignPoint.load(design)
    if bus == "axi":
        report, files = bus_breakdown(point, m, n, k, activations, latency, output), ["report.json"]
    else:
        memory = Memory(x_period, w_period, latency, latency)
        report = breakdown(point, m, n, k, activations, memory, output)
        files = ["timeline.png", "timeline.trace.json", "report.json"]
    table = Table(title=f"{m} × {k} × {n} on {report['design']['name']}, {report['jobs']} jobs")
    for column in ("cause", "cycles", "share"):
        table.add_column(column, justify="left" if column == "cause" else "right")
    for name, count in report["counters"].items():
        table.add_row(name, f"{count:,}", f"{100 * count / report['cycles']:.2f} %")
    table.add_section()
    table.add_row("all", f"{report['cycles']:,}", f"{report['macs_per_cycle']:.1f} MAC/cycle")
    console.print(table)
    console.print(f"{100 * report['utilisation']:.2f} % of the peak for {report['activations']} activations")
    if bus == "axi":
        console.print(
            f"busy in {100 * report['busy']:.1f} % of the cycles, of {100 * report['allowed']:.1f} % that "
            f"{report['beats']:,} beats of {point.bus_bits} bits allow",
            soft_wrap=True,
        )
    elif activations == "packed":
        for technology, energy in shipped(point, m, n, k, memory=memory).items():
            total = float(energy.total)
            said = f"{total / 1e6:.4g} µJ, {total / (m * n * k):.3f} pJ/MAC in {technology} with memory outside"
            console.print(f"{said}: see gosset energy", soft_wrap=True)
    for name in files:
        console.print(f"{output / name}", soft_wrap=True)


def workload(
    source: Annotated[
        str,
        typer.Argument(
            help="digits, minilm, smollm2-135m, llama-3-8b, or a file: an ONNX model (.onnx), a Hugging Face "
            "config.json, or layers by hand (.toml)."
        ),
    ],
    phase: Annotated[
        str | None, typer.Option(help="Of a language model: decode (one token) or prefill (the whole prompt).")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=2**20, help="Sequences, or images, at once.")] = 1,
    context: Annotated[
        int | None,
        typer.Option(min=1, max=2**20, help="Tokens of a sequence; up to 1,024 if not given, as the model takes."),
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option(help="Size of a dynamic dimension of an ONNX file, NAME=SIZE; as often as needed."),
    ] = None,
) -> None:
    """Lists the matrix products of a network, their bytes in each format, and multiply-accumulates per byte.

    A product is M × K activations times N × K weights, keys, values or other activations. What multiplies and cannot be
    mapped is named. Layers by hand are tables `[[layer]]` with name, m, n, k, and count and kind if they differ from 1
    and weights.

    Example: `gosset workload llama-3-8b --phase decode --batch 4 --context 4096`
    """
    from sim.workloads.language import Request
    from sim.workloads.load import load

    dims = {}
    for text in dim or []:
        name, _, size = text.rpartition("=")
        if not name or not size.isascii() or not size.isdigit() or len(size) > 18:
            raise GossetError(f"--dim takes NAME=SIZE, such as batch=1, not {text!r}.")
        dims[name] = int(size)
    loaded = load(source, Request(phase=phase, batch=batch, context=context), dims)  # type: ignore[arg-type]
    console.print(layers_table(loaded), rates_table(loaded))
    for note in loaded.notes:
        console.print(f"Note: {note}.", soft_wrap=True)
    if loaded.others:
        counts = ", ".join(f"{name} {count}" for name, count in loaded.others.items())
        console.print(f"Nodes that multiply no matrices: {sum(loaded.others.values())} ({counts})", soft_wrap=True)
    console.print(f"Not mapped, and in none of the numbers: {len(loaded.unmapped)}", soft_wrap=True)
    for part in loaded.unmapped:
        console.print(f"  {part.node} ({part.operator}): {part.reason}", soft_wrap=True, markup=False)


def layers_table(loaded: "Workload") -> Table:
    """The products of a workload."""
    table = Table(title=escape(loaded.name))
    for column in ("layer", "M", "N", "K", "count", "second operand", "MACs", "share"):
        table.add_column(column, justify="left" if column in ("layer", "second operand") else "right")
    for layer in loaded.layers:
        sizes = (f"{size:,}" for size in (layer.m, layer.n, layer.k, layer.count))
        share = f"{100 * layer.macs / loaded.macs:.2f} %"
        table.add_row(escape(layer.name), *sizes, layer.kind, f"{layer.macs:,}", share)
    table.add_section()
    table.add_row("all", "", "", "", f"{sum(layer.count for layer in loaded.layers):,}", "", f"{loaded.macs:,}", "")
    return table


def rates_table(loaded: "Workload") -> Table:
    """Bytes of a workload in each format."""
    from rich.filesize import decimal

    from sim.workloads.rates import RATES, traffic

    table = Table(title="Read once, results written once as int32; all operands in the same format")
    for column in ("format", "bits/entry", "weights", "KV", "activations", "results", "all", "MAC/byte"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for name, rate in RATES.items():
        moved = traffic(loaded, rate)
        parts = (moved.weights, moved.kv, moved.activations, moved.results, moved.total)
        table.add_row(name, f"{rate.per_entry:.2f}", *map(decimal, parts), f"{loaded.macs / moved.total:.3g}")
    return table

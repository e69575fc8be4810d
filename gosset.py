"""The command line. It holds no logic: every command calls one function of a room and shows what comes back."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from golden.errors import GossetError
from golden.files import replacing
from golden.format import Format, PackedMatrix
from hw.design import PRESETS, DesignPoint

if TYPE_CHECKING:
    from fpga.device import BoardDevice

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A matrix-multiply accelerator whose operands stay E8-lattice-packed until the last register: "
    "generate its Verilog, simulate it, and compare it with what you use today.\n\n"
    "Start with **gosset sim**: it generates a small accelerator, proves it equal to the golden model and reads "
    "handwritten digits on it.",
)
board_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Computes on a board, over its serial line; or on a simulated one, over the same protocol.\n\n"
    "Start with **gosset board list**; **gosset board simulate** makes a port where there is no board.",
)
app.add_typer(board_app, name="board")
console = Console()

Design = Annotated[
    str, typer.Option("--design", "-d", help=f"A preset ({', '.join(PRESETS)}) or a TOML file that describes a design.")
]

Port = Annotated[str, typer.Option("--port", "-p", help="Serial port; `gosset board list` shows them.")]
Baud = Annotated[
    int | None, typer.Option(help="Bits per second; if not given, those that boards are built for are tried.")
]


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for one stage of a job."""
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total)
        yield lambda steps: bar.advance(task, steps)


def load_array(path: Path) -> Any:
    """A matrix from a .npy file."""
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise GossetError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise GossetError(f"{path} is not a .npy file of numbers: {error}.") from error
    if not isinstance(array, np.ndarray):
        raise GossetError(f"{path} holds several arrays; give a .npy file with one.")
    return array


@app.command()
def generate(
    design: Design = "small",
    bus: Annotated[
        str,
        typer.Option(
            help="stream: bare valid/ready streams; axis: AXI4-Stream; axi: an AXI4 master that fetches operands. The "
            "last two have AXI4-Lite registers."
        ),
    ] = "stream",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path("build/rtl"),
) -> None:
    """Writes the Verilog of a design, and a JSON file with its ports, latency, parameters and tool versions.

    With a bus also the register map (JSON, C header, Markdown), a FuseSoC core file and constraints; with `axi` also a
    Python script that runs a layer on the accelerator, from memory to memory, in simulation.

    Example: `gosset generate --design small --bus axi -o build/rtl`
    """
    from hw.generate import generate_axi, generate_design
    from sim.bench import with_example

    point = DesignPoint.load(design)
    generated = generate_design(point) if bus == "stream" else generate_axi(point, bus)  # type: ignore[arg-type]
    if bus == "axi":
        generated = with_example(generated)
    path = generated.write(output)
    for written in (path, path.with_suffix(".json"), *(output / name for name in generated.files)):
        console.print(f"{written}", soft_wrap=True)


@app.command()
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


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Testbenches; all if none is named.")] = None,
    design: Annotated[
        list[str] | None, typer.Option("--design", "-d", help="Presets or TOML files; all presets if none is given.")
    ] = None,
    blocks: Annotated[int | None, typer.Option(help="Size of each test; each testbench has its own.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is random.")] = 2718,
) -> None:
    """Runs cocotb testbenches at full size: units, the accelerator, and both of its AXI tops.

    Random pauses on every channel, error responses, illegal jobs, resets at any moment; every result is compared with
    golden's. A failure is told with how to see it again (exit code 1).

    Example: `gosset bench axi_memory axi_stream --design small`
    """
    from sim.bench import BENCHES, run_bench

    failed = 0
    for point in map(DesignPoint.load, design or PRESETS):
        for name in names or BENCHES:
            if name == "array" and point.dataflow == "ws":
                continue  # a bench of the output-stationary array
            result = run_bench(name, point, blocks=blocks, seed=seed)
            console.print(str(result), soft_wrap=True, highlight=False)
            failed += result.failed
    if failed:
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
    return DesignPoint.from_dict(report["design"]).macs_per_cycle


@app.command()
def quantize(
    matrix: Annotated[Path, typer.Argument(help="A .npy file with a matrix; rows are quantised one by one.")],
    output: Annotated[Path, typer.Argument(help="The packed matrix, a safetensors file.")],
    q: Annotated[
        int, typer.Option(help="Nesting ratio, a power of two from 2 to 64: log2(q) bits per entry and β.")
    ] = 16,
    betas: Annotated[str, typer.Option(help="Multipliers that a block of 8 can pick from.")] = "3,4,5,7",
    selection: Annotated[
        str, typer.Option(help="How β is picked: opt (least error) or first (least that fits).")
    ] = "opt",
) -> None:
    """Packs a matrix: 4.25 bits per entry with q = 16 and four β.

    Example: `gosset quantize weights.npy weights.safetensors --q 8`
    """
    from golden.quantize import quantize as quantize_matrix

    try:
        numbers = tuple(int(beta) for beta in betas.split(","))
    except ValueError as error:
        raise GossetError(f"--betas takes integers separated by commas, such as 3,4,5,7, not {betas!r}.") from error
    format, array = Format(q, numbers), load_array(matrix)
    with progress("quantize", len(array) if array.ndim else 1) as advance:
        done = 0

        def show(rows: int, _total: int) -> None:
            nonlocal done
            advance(rows - done)
            done = rows

        packed = quantize_matrix(array, format, selection=selection, progress=show)  # type: ignore[arg-type]
    packed.save(output)
    x = np.asarray(array, dtype=np.float64)
    lost = np.square(x - packed.dequantize()).sum()
    ratio = 10 * np.log10(np.square(x).sum() / lost) if lost else np.inf
    size = f"{packed.shape[0]} × {packed.shape[1]}, {packed.bits_per_entry:.3f} bits per entry"
    console.print(f"{output}: {size}, SQNR {ratio:.2f} dB", soft_wrap=True)


@app.command()
def info(packed: Annotated[Path, typer.Argument(help="A packed matrix.")]) -> None:
    """Shows what a packed matrix holds, after checking it."""
    matrix = PackedMatrix.load(packed)
    console.print(f"{matrix.shape[0]} × {matrix.shape[1]}, {matrix.format}, {matrix.bits_per_entry:.3f} bits per entry")


@app.command()
def matmul(
    x: Annotated[Path, typer.Argument(help="Packed activations, M × K.")],
    w: Annotated[Path, typer.Argument(help="Packed weights, N × K.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The result, M × N, as a .npy file.")],
    backend: Annotated[
        str,
        typer.Option(help="What computes it: golden (NumPy), cpu (compiled kernels) or rtl (the Verilated design)."),
    ] = "rtl",
    design: Design = "small",
) -> None:
    """Multiplies two packed matrices: x·wᵀ, exact integers until the row scales are applied.

    Example: `gosset matmul x.safetensors w.safetensors -o y.npy --backend rtl`
    """
    from sim.device import BACKENDS
    from sim.tiles import Job

    if backend not in BACKENDS:
        raise GossetError(f"No backend is called {backend!r}; there are {', '.join(BACKENDS)}.")
    left, right = PackedMatrix.load(x), PackedMatrix.load(w)
    point = DesignPoint.load(design).with_format(left.format)
    job = Job(point, left, right)
    report = BACKENDS[backend](point).run(job)
    with replacing(output) as beside, beside.open("wb") as file:
        np.save(file, report.product.result)
    speed = f", {report.cycles:,} cycles, {report.macs_per_cycle:.1f} MAC/cycle" if report.cycles else ""
    console.print(f"{output}: {' × '.join(map(str, job.accumulators_shape))}{speed}", soft_wrap=True)


@app.command()
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
    latency: Annotated[int, typer.Option(help="Cycles until memory gives the first words.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.json and timeline.png.")] = Path(
        "build/cycles"
    ),
) -> None:
    """Says where the cycles of a product would go, from a model that equals the RTL to the cycle.

    A word holds a block of 8 for each row or column of the array. Example, a layer for one token:
    `gosset cycles --design small_ws -M 1 -N 4096 -K 4096 --w-period 2`
    """
    from sim.breakdown import breakdown
    from sim.cycles import Memory

    memory = Memory(x_period, w_period, latency, latency)
    report = breakdown(DesignPoint.load(design), m, n, k, activations, memory, output)
    table = Table(title=f"{m} × {k} × {n} on {report['design']['name']}, {report['jobs']} jobs")
    for column in ("cause", "cycles", "share"):
        table.add_column(column, justify="left" if column == "cause" else "right")
    for name, count in report["counters"].items():
        table.add_row(name, f"{count:,}", f"{100 * count / report['cycles']:.2f} %")
    table.add_section()
    table.add_row("all", f"{report['cycles']:,}", f"{report['macs_per_cycle']:.1f} MAC/cycle")
    console.print(table)
    console.print(f"{100 * report['utilisation']:.2f} % of the peak for {report['activations']} activations")
    console.print(f"{output / 'timeline.png'}\n{output / 'report.json'}", soft_wrap=True)


@app.command()
def waves(
    design: Design = "tiny",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the waves.")] = Path("build/waves"),
) -> None:
    """Records the waves of a short product, every signal of the design, as an FST file."""
    from sim.device import record_waves

    path = record_waves(DesignPoint.load(design), output)
    console.print(f"{path}\nOpen it with:  surfer {path}  or  gtkwave {path}", soft_wrap=True)


@app.command()
def quality(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, tables.md and the plots.")
    ] = Path("build/quality"),
    sections: Annotated[
        str, typer.Option(help="What to measure: gaussian, guarantee, minilm, separated by commas.")
    ] = ("gaussian,guarantee,minilm"),
    sentences: Annotated[int, typer.Option(help="Sentences for the network.")] = 2000,
) -> None:
    """How good the code is: distortion over the bound, the guarantee on hostile matrices, a real network.

    All formats beside each other, rivals included. The network, MiniLM, takes most of the time; leave it out with
    `gosset quality --sections gaussian,guarantee`.
    """
    from golden.quality import quality as measure_quality

    chosen = tuple(name.strip() for name in sections.split(","))
    measure_quality(
        output, sections=chosen, sentences=sentences, report=lambda line: console.print(line, soft_wrap=True)
    )
    console.print(f"{output / 'report.json'}", soft_wrap=True)


@app.command()
def fit(
    matrix: Annotated[Path, typer.Argument(help="A .npy file with a matrix, or data like what will be packed.")],
    q: Annotated[int, typer.Option(help="Nesting ratio, a power of two from 2 to 64.")] = 16,
    count: Annotated[int, typer.Option(help="How many multipliers: 1, 2, 4 or 8 use up 0 to 3 bits per block.")] = 4,
) -> None:
    """Finds the set of multipliers β that packs a matrix with the least error.

    Example: `gosset fit weights.npy --q 8 --count 4`
    """
    from golden.fit import fit_betas

    found = fit_betas(load_array(matrix), q, count)
    bits = Format(q, found.betas).bits_per_entry
    console.print(f"--betas {','.join(map(str, found.betas))}    {bits} bits per entry, SQNR {found.sqnr_db:.2f} dB")


@app.command()
def area(
    names: Annotated[list[str] | None, typer.Argument(help="Units to measure; all if none is named.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.json and the tools' files.")] = Path(
        "build/area"
    ),
    history: Annotated[Path | None, typer.Option(help="A .jsonl file to add the report to.")] = None,
) -> None:
    """Area and frequency of the hardware's units on ECP5, after place and route.

    Only cells with multipliers take DSPs.

    Example, some of them only: `gosset area decoder_q16 cell_q16 tiny`

    Needs yosys and nextpnr-ecp5, or `pip install 'gosset[fpga]'`, whose first call takes a minute or two more.
    """
    from fpga.area import measure_all, units

    with progress("area", len(names or units())) as advance:
        report = measure_all(names or [], output, history, advance)
    table = Table(title="ECP5 (LFE5U-85F, speed grade 6); LUTs are LUT4 + 2·CCU2C")
    for column in ("unit", "LUTs", "flip-flops", "DSPs", "block RAM", "MHz"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    for name, unit in report["units"].items():
        table.add_row(name, *(f"{unit[key]:,}" for key in ("lut4_equivalents", "ff", "dsp", "bram", "fmax_mhz")))
    console.print(table)


@app.command()
def fpga(
    board: Annotated[str, typer.Option("--board", "-b", help="A board; `--list` shows them.")] = "ulx3s",
    list_boards: Annotated[bool, typer.Option("--list", help="Shows the boards, and does nothing else.")] = False,
    seeds: Annotated[int, typer.Option(help="How many times to place and route; the fastest counts.")] = 1,
    allow_timing_fail: Annotated[
        bool, typer.Option("--allow-timing-fail", help="Make a bitstream even if it is slower than its clock.")
    ] = False,
    load: Annotated[bool, typer.Option("--flash", help="Load the bitstream made before, and make none.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for bitstream, report.json and the tools' files.")
    ] = None,
) -> None:
    """Makes the bitstream of a board, or the Vivado project of an Arty.

    Needs `pip install 'gosset[fpga]'`. A bitstream that is slower than its clock is an error (exit code 2).

    Examples: `gosset fpga --board icebreaker`, `gosset fpga --board ulx3s --seeds 4`, `gosset fpga --list`
    """
    from fpga.boards import find_board
    from fpga.build import build, flash

    if list_boards:
        console.print(boards_table())
        return
    chosen = find_board(board)
    folder = output or Path("build/fpga") / board
    if load:
        flash(chosen, folder)
        return

    def show(step: str) -> None:
        console.print(f"{board}: {step} ...", soft_wrap=True)

    report = build(chosen, folder, seeds=seeds, allow_timing_fail=allow_timing_fail, progress=show)
    console.print(build_table(report))
    console.print(report["made"], f"{folder / 'report.json'}", sep="\n", soft_wrap=True)


def build_table(report: dict[str, Any]) -> Table:
    """What came out of a board's build."""
    table = Table("", "", title=report["title"], show_header=False)
    for kind, (used, available) in report["used"].items():
        table.add_row(kind, f"{used:,}" if available is None else f"{used:,} of {available:,}")
    if "fmax_mhz" in report:
        met = "" if report["timing_met"] else ": slower than its clock"
        table.add_row("fastest clock", f"{report['fmax_mhz']:.1f} MHz (seed {report['seed']}){met}")
    table.add_row("clock", f"{report['clock_mhz']:g} MHz")
    table.add_row("peak", f"{report['macs_per_cycle']} MAC/cycle, {report['peak_gmacs']:.2f} GMAC/s")
    table.add_row("serial line", f"{report['link_bytes_per_second']:,.0f} bytes/s")
    table.add_row("seconds", ", ".join(f"{step} {seconds:.0f}" for step, seconds in report["seconds"].items()))
    return table


def boards_table() -> Table:
    """The boards that there are designs for."""
    from fpga.boards import BOARDS

    table = Table(title="Boards")
    for column in ("board", "", "MAC/cycle", "MHz", "memory", "serial line"):
        table.add_column(column, justify="right" if column in ("MAC/cycle", "MHz", "memory") else "left")
    for name, known in BOARDS.items():
        size = f"{known.memory.words * known.memory.bytes // 1024} KiB"
        row = (name, known.title, f"{known.design.macs_per_cycle}", f"{known.clock_hz / 1e6:g}", size, known.uart)
        table.add_row(*row)
    return table


@board_app.command("list")
def list_ports() -> None:
    """Shows the serial ports of this machine, and the boards that there are designs for."""
    from fpga.line import ports

    table = Table(title="Serial ports")
    table.add_column("port")
    table.add_column("what is there")
    for port, about in ports():
        table.add_row(port, about)
    console.print(table if table.row_count else "There is no serial port here.", boards_table())


@board_app.command()
def identify(port: Port, baud: Baud = None) -> None:
    """Asks a board what it is, and shows the answer as JSON."""
    with connected(port, baud) as device:
        console.print_json(data=device.identity.as_dict())


@board_app.command()
def run(
    port: Port,
    x: Annotated[Path | None, typer.Argument(help="Activations, M × K: a .npy file, or packed ones.")] = None,
    w: Annotated[
        Path | None, typer.Argument(help="Packed weights, N × K, in the format of the board's design.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The result, M × N, as a .npy file.")] = Path("y.npy"),
    workload: Annotated[
        str | None, typer.Option(help="Instead of files: digits, or minilm (two of its layers).")
    ] = None,
    shape: Annotated[
        str, typer.Option(help="Without files and workload: M, N and K of random matrices, separated by commas.")
    ] = "64,64,256",
    seed: Annotated[int, typer.Option(help="Of random matrices.")] = 0,
    baud: Baud = None,
) -> None:
    """Multiplies on a board: files, a real workload, or random matrices.

    Every accumulator is compared with the golden model's; a difference is an error (exit code 1).

    Examples: `gosset board run -p /dev/ttyUSB0 x.npy w.safetensors -o y.npy`,
    `gosset board run -p /dev/ttyUSB0 --workload digits`
    """
    from fpga.workloads import WORKLOADS, multiply, run_random

    if workload is not None and workload not in WORKLOADS:
        raise GossetError(f"No workload is called {workload!r}; there are {', '.join(WORKLOADS)}.")
    if (x is None) != (w is None) or (x and workload):
        raise GossetError("Give activations and weights, or a workload, or neither.")
    try:
        m, n, k = (int(size) for size in shape.split(","))
    except ValueError as error:
        raise GossetError(f"--shape takes three integers, such as 64,64,256, not {shape!r}.") from error
    if x and w:
        activations = load_array(x) if x.suffix == ".npy" else PackedMatrix.load(x)
        weights = PackedMatrix.load(w)
    with connected(port, baud) as device:
        if x and w:
            report, result = multiply(device, activations, weights, progress)
            with replacing(output) as beside, beside.open("wb") as file:
                np.save(file, result)
            console.print(f"{output}: {' × '.join(map(str, result.shape))}", soft_wrap=True)
        elif workload:
            report = WORKLOADS[workload](device, progress)
        else:
            report = run_random(device, m, n, k, seed, progress)
    show_board_report(report)


@board_app.command("bench")
def bench_board(port: Port, baud: Baud = None) -> None:
    """Measures a board: bytes per second over its link, and how fast it multiplies.

    All of the board's memory is written and read back, and one large product is compared with the golden model.
    """
    from fpga.workloads import measure

    with connected(port, baud) as device:
        report = measure(device, progress)
    table = Table("", "", title=f"{device.identity.board} at {device.identity.clock_hz / 1e6:g} MHz", show_header=False)
    for name in ("written", "read"):
        rate, limit = report[f"{name}_bytes_per_second"], report["line_bytes_per_second"]
        table.add_row(f"memory {name}", f"{rate:,.0f} bytes/s, {100 * rate / limit:.1f} % of the line's {limit:,.0f}")
    speed = f"{report['macs_per_cycle']:.1f} MAC/cycle, {100 * report['utilisation']:.1f} % of the peak"
    table.add_row("one product", speed)
    table.add_row("while it works", f"{report['gmacs']:.3f} GMAC/s")
    table.add_row("with the link", f"{report['macs'] / report['device_seconds'] / 1e9:.6f} GMAC/s")
    console.print(table)
    show_board_report(report)


@board_app.command()
def simulate(
    board: Annotated[str, typer.Option("--board", "-b", help="A board; `gosset board list` shows them.")] = "ulx3s",
    design: Annotated[
        str | None, typer.Option("--design", "-d", help="Another design than the board's: a preset or a TOML file.")
    ] = None,
    bits: Annotated[
        bool, typer.Option("--bits", help="Simulate its UART as well, bit by bit: for small boards, it is slow.")
    ] = False,
) -> None:
    """Simulates a board behind a pseudo-terminal, until Ctrl-C: everything takes its name for a serial port.

    Example: `gosset board simulate --board icebreaker`, and in another window what it says.
    """
    from fpga.boards import find_board
    from fpga.identity import Identity
    from fpga.uart import divisor
    from fpga.virtual import Terminal, VirtualBoard, VirtualPins

    known = find_board(board)
    identity = Identity.of(known, DesignPoint.load(design) if design else None)
    with console.status(f"Building the simulator of {board}; minutes, the first time"):
        simulated = (
            VirtualPins(identity, divisor(known.clock.output_hz, known.baud)) if bits else VirtualBoard(identity)
        )
    with Terminal(simulated) as terminal:
        console.print(f"{terminal.port}\nTry it with:  gosset board run --port {terminal.port}", soft_wrap=True)
        with suppress(KeyboardInterrupt):
            terminal.serve()


@contextmanager
def connected(port: str, baud: int | None) -> Iterator["BoardDevice"]:
    """The board on a port, until the end of a command."""
    from fpga.device import BAUDS, BoardDevice

    device = BoardDevice.open(port, (baud,) if baud else BAUDS)
    try:
        yield device
    finally:
        device.close()


def show_board_report(report: dict[str, Any]) -> None:
    """Shows what a board did, and ends with exit code 1 if it did something wrong."""
    if "accuracy" in report:
        console.print(f"{100 * report['accuracy']:.2f} % of {report['images']} digits read right")
    console.print(
        f"{report['cycles']:,} cycles, {report['macs_per_cycle']:.1f} MAC/cycle, {report['device_seconds']:.2f} s    "
        f"accumulators compared: {report['accumulators_compared']:,}    mismatches: {report['mismatches']}",
        soft_wrap=True,
    )
    if report["mismatches"]:
        for line in report["described"]:
            print(line, file=sys.stderr)
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line; a mistake of the user ends it with one sentence and exit code 2."""
    try:
        app()
    except GossetError as error:
        print(f"gosset: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Commands on FPGAs and boards. Modules that take long to import are imported by the commands."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.table import Table

from golden.errors import GossetError
from golden.terminal import console, progress, write_array
from sim.networks.cli import Inputs, Model, Rotate

if TYPE_CHECKING:
    from fpga.host.device import BoardDevice

P = ParamSpec("P")
Port = Annotated[str, typer.Option("--port", "-p", help="Serial port; `gosset board list` shows them.")]
Baud = Annotated[
    int | None,
    typer.Option(
        min=1, max=100_000_000, help="Bits per second; if not given, those that boards are built for are tried."
    ),
]


def with_board(command: Callable[P, None]) -> Callable[P, None]:
    """A command of `sim` to which the board's testbenches, units and claims are known as well."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from fpga.benches import catalogue, proofs

        catalogue.add()
        proofs.add()
        command(*args, **kwargs)

    return wrapped


def area(
    names: Annotated[
        list[str] | None, typer.Argument(help="Units to measure, or shapes of names; all if none is named.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.json and the tools' files.")] = Path(
        "build/area"
    ),
    history: Annotated[Path | None, typer.Option(help="A .jsonl file to add the report to.")] = None,
) -> None:
    """Area and frequency of the hardware's units on ECP5, after place and route.

    Only cells with multipliers take DSPs.

    Examples, some of them only: `gosset area decoder_q16 cell_q16 tiny`, `gosset area 'tiny_axi*'` (what each option of
    a memory port takes)

    Needs yosys and nextpnr-ecp5, or `pip install 'gosset[fpga]'`, whose first call takes a minute or two more.
    """
    from fpga.flow.area import chosen, measure_all

    with progress("area", len(chosen(names or []))) as advance:
        report = measure_all(names or [], output, history, advance)
    table = Table(title="ECP5 (LFE5U-85F, speed grade 6); LUTs are LUT4 + 2·CCU2C")
    for column in ("unit", "LUTs", "flip-flops", "DSPs", "block RAM", "MHz"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    for name, unit in report["units"].items():
        table.add_row(name, *(f"{unit[key]:,}" for key in ("lut4_equivalents", "ff", "dsp", "bram", "fmax_mhz")))
    console.print(table)


def fpga(
    board: Annotated[str, typer.Option("--board", "-b", help="A board; `--list` shows them.")] = "ulx3s",
    list_boards: Annotated[bool, typer.Option("--list", help="Shows the boards, and does nothing else.")] = False,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="How many times to place and route; the fastest counts.")
    ] = 1,
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
    from fpga.flow.build import build, flash

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


def litex(
    q: Annotated[
        list[int] | None, typer.Option("--q", help="A rate, by the q of its format; several times for several of them.")
    ] = None,
    bitstream: Annotated[
        bool, typer.Option("--bitstream", help="Make the bitstream of the first of them instead: half an hour.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="How many times to place and route a bitstream; the fastest counts.")
    ] = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, or bitstream and the tools' files.")
    ] = Path("build/litex"),
) -> None:
    """Runs a layer on a system on chip in simulation: LiteX, a RISC-V processor, the SDRAM of ULX3S, the accelerator.

    The processor runs the driver in C; operands come from the SDRAM, through litedram's controller, and results go
    there. They are compared with the golden model's, and so are the bytes that cross the SDRAM's pins. The table says
    what the SDRAM's rate allows, and what came of it.

    Needs `pip install 'gosset[litex]'`, for a bitstream `'gosset[litex,fpga]'`. The first run builds a simulator
    for each rate, which takes minutes.

    Examples: `gosset litex --q 16`, `gosset litex --q 16 --bitstream --seeds 4`
    """
    from golden.files import writable, write_text

    target = writable(output / "report.json")
    from fpga.litex.layer import Layer, design
    from fpga.litex.result import Mismatch
    from fpga.litex.run import QS, report

    def show(step: str) -> None:
        console.print(f"{step} ...", soft_wrap=True)

    if bitstream:
        from fpga.litex.bitstream import bitstream as make_bitstream

        fit = make_bitstream(Layer(design((q or QS)[0])), output, seeds=seeds, show=show)
        used = ", ".join(f"{used:,} of {available:,} {kind}" for kind, (used, available) in fit["used"].items())
        console.print(used, f"{fit['fmax_mhz']:g} MHz, needed are {fit['clock_mhz']:g}", fit["made"], sep="\n")
        return
    try:
        made = report(q or QS, show)
    except Mismatch as error:
        sys.exit(str(error))
    write_text(target, json.dumps(made, indent=2) + "\n")
    console.print(litex_table(made))
    for row in made["rates"]:
        if "pins" in row:
            said, pins = row["firmware"], row["pins"]
            console.print(
                f"{row['name']}: {said['cycles']:,} cycles, in {said['busy']:,} of them the array works; "
                f"{pins['reads']:,} words read, {pins['writes']:,} written, {pins['activations']} rows opened, "
                f"{pins['refreshes']} refreshes; {said['compared']:,} results compared, {said['wrong']} wrong",
                soft_wrap=True,
            )
    console.print(str(target), soft_wrap=True)


def litex_table(made: dict[str, Any]) -> Table:
    """What the SDRAM's rate allows, and what came of it."""
    m, n, k = made["shape"]
    table = Table(
        title=f"{m} × {k} by {n} × {k} at {made['clock_mhz']:g} MHz, from SDRAM to SDRAM, equal to golden",
        caption=f"roof: what {made['sdram_megabytes_per_second']:g} MB/s allow, the SDRAM's 16 bits a cycle",
    )
    for column in ("weights", "bits", "bytes", "roof, µs", "MMAC/s", "ran, µs", "MMAC/s", "of roof"):
        table.add_column(column, justify="left" if column == "weights" else "right", no_wrap=True)
    for row in made["rates"]:
        cells = [row["name"], f"{row['bits_per_weight']:g}", f"{row['bytes']:,}"]
        cells += [f"{row['roof_us']:,.0f}", f"{row['roof_mmacs']:,.0f}"]
        ran = "us" in row
        cells += [f"{row['us']:,.0f}", f"{row['mmacs']:,.0f}", f"{100 * row['share']:.1f} %"] if ran else ["-"] * 3
        table.add_row(*cells)
    return table


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


def list_ports() -> None:
    """Shows the serial ports of this machine, and the boards that there are designs for."""
    from fpga.host.line import ports

    table = Table(title="Serial ports")
    table.add_column("port")
    table.add_column("what is there")
    for port, about in ports():
        table.add_row(port, about)
    console.print(table if table.row_count else "There is no serial port here.", boards_table())


def identify(port: Port, baud: Baud = None) -> None:
    """Asks a board what it is, and shows the answer as JSON."""
    with connected(port, baud) as device:
        console.print_json(data=device.identity.as_dict())


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
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of random matrices.")] = 0,
    baud: Baud = None,
) -> None:
    """Multiplies on a board: files, a real workload, or random matrices.

    Every accumulator is compared with the golden model's; a difference is an error (exit code 1).

    Examples: `gosset board run -p /dev/ttyUSB0 x.npy w.safetensors -o y.npy`,
    `gosset board run -p /dev/ttyUSB0 --workload digits`
    """
    from fpga.host.workloads import WORKLOADS, multiply, run_random
    from golden.arrayfiles import read_array
    from golden.files import writable
    from golden.format import PackedMatrix

    if workload is not None and workload not in WORKLOADS:
        raise GossetError(f"No workload is called {workload!r}; there are {', '.join(WORKLOADS)}.")
    if (x is None) != (w is None) or (x and workload):
        raise GossetError("Give activations and weights, or a workload, or neither.")
    try:
        m, n, k = (int(size) for size in shape.split(","))
    except ValueError as error:
        raise GossetError(f"--shape takes three integers, such as 64,64,256, not {shape!r}.") from error
    if x and w:
        writable(output)
        activations = read_array(x) if x.suffix == ".npy" else PackedMatrix.load(x)
        weights = PackedMatrix.load(w)
    with connected(port, baud) as device:
        if x and w:
            report, result = multiply(device, activations, weights, progress)
            write_array(output, result)
            console.print(f"{output}: {' × '.join(map(str, result.shape))}", soft_wrap=True)
        elif workload:
            report = WORKLOADS[workload](device, progress)
        else:
            report = run_random(device, m, n, k, seed, progress)
    show_board_report(report)


def network(
    port: Port,
    model: Model,
    inputs: Inputs,
    rotate: Rotate = True,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.json, and the outputs as board.npz.")
    ] = Path("build/run"),
    baud: Baud = None,
) -> None:
    """Evaluates an ONNX network with its matrix products on a board, in the format of its design.

    As `gosset run` does on this machine: everything but MatMul, Gemm and Conv is computed here, in float32. Every
    product goes over the serial line, so that small networks are what it is for.

    Example: `gosset board network -p /dev/ttyUSB0 model.onnx inputs.npz`
    """
    from sim.networks.cli import evaluate
    from sim.networks.evaluate import on_device

    with connected(port, baud) as device:
        about = {"backend": device.identity.board, "rotated": rotate, "design": device.design.as_dict()}
        evaluate(model, inputs, {"board": lambda: on_device(device, rotate=rotate)}, about, output)


def bench_board(port: Port, baud: Baud = None) -> None:
    """Measures a board: bytes per second over its link, and how fast it multiplies.

    All of the board's memory is written and read back, and one large product is compared with the golden model.
    """
    from fpga.host.workloads import measure

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
    from fpga.baud import divisor
    from fpga.boards import find_board
    from fpga.host.virtual import Terminal, VirtualBoard, VirtualPins
    from fpga.identity import Identity
    from hw.design import DesignPoint

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
    from fpga.host.device import BAUDS, BoardDevice

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

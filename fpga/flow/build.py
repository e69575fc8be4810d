"""From a board to its bitstream: generate, synthesise, place and route, pack; and a report of what came out."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpga.boards import Board, Family
from fpga.flow.synthesis import cells, tool, version
from fpga.gateware.top import BoardTop
from golden import process
from golden.errors import GossetError, ToolError
from golden.files import writable, write_text
from sim.provenance import provenance


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How the bitstreams of a family are made.

    Attributes
    ----------
    bitstream, routed : str
        Suffixes of what the packer and what place and route write; empty where the family's own tool does that.
    synthesis : str
        Options of yosys' command, beside Amaranth's.
    placement : tuple of str
        Options of nextpnr, beside Amaranth's.
    resources : dict of str to str
        What counts as `lut`, `ff`, `dsp`, `bram` and `spram`: names of nextpnr's report.
    cells : dict of str to str
        What nextpnr does not count: how the names of yosys' cells begin.
    """

    bitstream: str = ""
    routed: str = ""
    synthesis: str = ""
    placement: tuple[str, ...] = ()
    resources: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)


def _ice40(synthesis: str) -> Flow:
    return Flow(
        bitstream=".bin",
        routed=".asc",
        synthesis=synthesis,
        resources={"lut": "ICESTORM_LC", "dsp": "ICESTORM_DSP", "bram": "ICESTORM_RAM", "spram": "ICESTORM_SPRAM"},
        cells={"ff": "SB_DFF"},
    )


FLOWS: Mapping[Family, Flow] = {
    "ecp5": Flow(
        bitstream=".bit",
        routed=".config",
        # The default router does not get through a large design.
        placement=("--router", "router2"),
        resources={"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram": "DP16KD"},
    ),
    "ice40hx": _ice40("-abc9 -device hx"),
    "ice40up": _ice40("-abc9 -device u -dsp"),
    "gowin": Flow(
        bitstream=".fs",
        routed=".pnr.json",
        resources={"lut": "LUT4", "ff": "DFF", "dsp": "MULT18X18", "bram": "BSRAM"},
    ),
    "artix7": Flow(cells={"lut": "LUT", "ff": "FD", "dsp": "DSP48", "bram": "RAMB"}),
}
"""The flows by family. For Artix-7 it ends with a project for Vivado."""


def build(
    board: Board,
    folder: Path,
    *,
    seeds: int = 1,
    allow_timing_fail: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """Makes a board's bitstream, or its Vivado project.

    Parameters
    ----------
    board : Board
    folder : Path
        For `<board>.bit` (or what the family calls it), `report.json`, and all files and logs of the tools.
    seeds : int
        How many times to place and route; the fastest counts.
    allow_timing_fail : bool
        Whether to make a bitstream that is slower than its clock.
    progress : callable
        Called with the name of each step when it begins.

    Returns
    -------
    The report: board, design, what it takes (`used`, each with how much there is), `clock_mhz`, `fmax_mhz`, `seed`,
    `macs_per_cycle`, `peak_gmacs`, `link_bytes_per_second`, `seconds` of each step, and where it comes from.

    Raises
    ------
    GossetError
        If the design is slower than its clock: then there is a report, and no bitstream.
    ToolError
        If a tool is missing or fails.
    """
    if seeds < 1:
        raise GossetError(f"Place and route needs one seed at least; got {seeds}.")
    flow, name = FLOWS[board.family], board.name
    bitstream = folder / (name + flow.bitstream)
    for stale in (bitstream, folder / "report.json"):
        writable(stale).unlink(missing_ok=True)

    seconds: dict[str, float] = {}

    @contextmanager
    def step(title: str) -> Iterator[None]:
        progress(title)
        begin = time.monotonic()
        yield
        seconds[title] = round(time.monotonic() - begin, 1)

    with step("generate"):
        commands = _generate(board, flow, folder)
    report: dict[str, Any] = {
        "board": name,
        "title": board.title,
        "design": board.design.as_dict(),
        "macs_per_cycle": board.design.macs_per_cycle,
        "clock_mhz": board.clock.output_hz / 1e6,
        "peak_gmacs": board.peak_gmacs,
        "link_bytes_per_second": board.link_bytes_per_second,
        "made": str(bitstream if flow.bitstream else folder),
    }
    synthesise, *rest = commands
    with step("synthesise"):
        _run(synthesise, folder, f"{name}.rpt")
    used: dict[str, Any] = {}
    if rest:
        place, pack = rest
        with step("place and route"):
            seed, timing = _best(place, folder, name, flow, seeds)
        used = _used(timing["utilization"], flow.resources)
        clock = _slowest(timing)
        met = clock["achieved"] >= clock["constraint"]
        report |= {"fmax_mhz": round(clock["achieved"], 2), "timing_met": met, "seed": seed, "seeds": seeds}
        if met or allow_timing_fail:
            with step("pack"):
                _pack(pack, folder, bitstream, {name + flow.routed: f"{name}.{seed}{flow.routed}"})
    counts = cells(folder / f"{name}.stat.json")
    for kind, prefix in flow.cells.items():
        used[kind] = [sum(n for cell, n in counts.items() if cell.startswith(prefix)), None]
    origin = provenance()
    versions = {command[0]: version(command[0]) for command in commands}
    origin["tools"] |= {name: said for name, said in versions.items() if said}
    report |= {"used": used, "seconds": seconds, **origin}
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    if rest and not bitstream.exists():
        raise GossetError(
            f"{board.title} does not reach {report['clock_mhz']:g} MHz: {report['fmax_mhz']:.1f} MHz is the best of "
            f"{seeds} seed{'s' * (seeds > 1)}; try more, or take what may not work with --allow-timing-fail."
        )
    return report


def flash(board: Board, folder: Path) -> None:
    """Loads a board's bitstream, as `build` made it, with openFPGALoader.

    Raises
    ------
    GossetError
        If there is no bitstream, or openFPGALoader does not know the board.
    ToolError
        If openFPGALoader is missing or fails.
    """
    bitstream = folder / (board.name + (FLOWS[board.family].bitstream or ".bit"))
    if not bitstream.exists():
        raise GossetError(f"There is no {bitstream}: make it first with: make fpga BOARD={board.name}")
    if not board.loader:
        raise GossetError(f"openFPGALoader does not know the {board.title}; docs/boards.md says how it is loaded.")
    loader = shutil.which("openFPGALoader")
    if loader is None:
        raise ToolError("openFPGALoader is missing; install it with: sudo apt-get install openfpgaloader")
    done = process.run([loader, "-b", board.loader, bitstream], shown=True)
    if done.code:
        raise process.failed(done, [])


def _generate(board: Board, flow: Flow, folder: Path) -> list[list[str]]:
    """Writes what the tools read, and returns Amaranth's commands: of yosys, nextpnr and the packer."""
    name = board.name
    statistics = f"tee -q -o {name}.stat.json stat -json"
    options = {"synth_opts": flow.synthesis, "script_after_synth": statistics}
    plan = board.platform().build(BoardTop(board), name=name, do_build=False, emit_src=False, **options)
    for file, content in plan.files.items():
        if not file.startswith("build_") and not file.endswith(".debug.v"):
            write_text(folder / file, content if isinstance(content, str) else content.decode())
    commands: list[list[str]] = json.loads(plan.files[f"build_{name}.json"])["commands"]
    if not flow.routed:
        write_text(folder / "README.txt", _VIVADO.format(name=name, command=" ".join(commands[0])))
        script = f"read_verilog core.v {name}.v; synth_xilinx -family xc7 -flatten -top {name}; {statistics}"
        return [["yosys", "-q", "-l", f"{name}.rpt", "-p", script]]
    mhz = board.clock.output_hz / 1e6
    commands[1] += [*flow.placement, "--freq", f"{mhz:g}", "--timing-allow-fail"]
    return [_renamed(command) for command in commands[:3]]


_VIVADO = """Everything for Vivado is in this folder. In it, run

    {command}

which writes {name}.bit, and what it says of timing to {name}_timing.rpt.
"""


def _renamed(command: list[str]) -> list[str]:
    """Amaranth gives the options of nextpnr-gowin, whose place nextpnr-himbaechel-gowin has taken."""
    if command[0] != "nextpnr-gowin":
        return command
    renamed, values = ["nextpnr-himbaechel-gowin"], iter(command[1:])
    for word in values:
        renamed += ["--vopt", f"{word[2:]}={next(values)}"] if word in ("--family", "--cst") else [word]
    return renamed


def _run(command: list[str], folder: Path, log: str = "") -> None:
    process.tool([*tool(command[0]), *command[1:]], folder, log)


def _best(place: list[str], folder: Path, name: str, flow: Flow, seeds: int) -> tuple[int, dict[str, Any]]:
    """Places and routes with each seed, as many at a time as there are cores; the fastest, and nextpnr's report."""

    def once(seed: int) -> tuple[int, dict[str, Any]]:
        mine = {name + suffix: f"{name}.{seed}{suffix}" for suffix in (flow.routed, ".tim")}
        command = [mine.get(word, word) for word in place]
        report = f"{name}.{seed}.timing.json"
        _run([*command, "--seed", str(seed), "--report", report], folder, f"{name}.{seed}.tim")
        return seed, json.loads((folder / report).read_text(encoding="utf-8"))

    def speed(result: tuple[int, dict[str, Any]]) -> float:
        clock = _slowest(result[1])
        return float(clock["achieved"] / clock["constraint"])

    with process.threads() as pool:
        return max(pool.map(once, range(1, seeds + 1)), key=speed)


def _pack(pack: list[str], folder: Path, bitstream: Path, renamed: dict[str, str]) -> None:
    """Packs beside the bitstream, so that there is a whole one or none."""
    partial = f"partial.{bitstream.name}"
    renamed = renamed | {bitstream.name: partial}
    _run([renamed.get(word, word) for word in pack], folder)
    (folder / partial).replace(bitstream)


def _used(utilization: dict[str, dict[str, int]], resources: Mapping[str, str]) -> dict[str, list[int]]:
    """How much is used and how much there is, of what there is any."""
    counts = {kind: utilization.get(name, {"used": 0, "available": 0}) for kind, name in resources.items()}
    return {kind: [count["used"], count["available"]] for kind, count in counts.items() if count["available"]}


def _slowest(report: dict[str, Any]) -> dict[str, float]:
    """The clock that lacks most: what it reaches and what it should, in MHz."""
    return min(report["fmax"].values(), key=lambda clock: clock["achieved"] / clock["constraint"])

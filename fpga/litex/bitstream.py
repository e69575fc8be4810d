"""The bitstream of the system for ULX3S: LiteX's Verilog and constraints, through yosys and nextpnr."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpga.flow.build import FLOWS
from fpga.flow.synthesis import tool
from fpga.gateware.multipliers import with_ecp5_multipliers
from fpga.litex import firmware, soc
from fpga.litex.constants import CLOCK_HZ, ROM_BYTES, STACK
from fpga.litex.layer import Layer
from golden import process
from golden.errors import GossetError
from golden.files import write_text
from hw.generate import generate_axi
from sim.provenance import provenance

DEVICE = ("--85k", "--package", "CABGA381", "--speed", "6")


def bitstream(
    layer: Layer, folder: Path, *, seeds: int = 1, show: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """Makes `soc.bit` in a folder.

    Parameters
    ----------
    layer : Layer
        What the firmware runs, from the SDRAM: somebody else has to put it there.
    folder : Path
        Also for the files and logs of the tools.
    seeds : int
        How many times to place and route; the fastest counts.
    show : callable
        Told of each step when it begins.

    Returns
    -------
    Also written to `bitstream.json`: `made`, `design`, `clock_mhz`, `fmax_mhz`, `seed`, and `used`, of each kind of
    cell how many there are and could be; and where it comes from.

    Raises
    ------
    GossetError
        If the system is slower than its clock: then there is no bitstream.
    ToolError
        If a tool is missing or fails.
    """
    show("generating the accelerator and the system")
    accelerator = generate_axi(layer.design, "axi")
    words = firmware.compile(accelerator, soc.write(accelerator).header, layer, ROM_BYTES, STACK)
    files = soc.board(accelerator, words)
    files["accelerator.v"] = with_ecp5_multipliers(accelerator.verilog)
    for name, text in files.items():
        write_text(folder / name, text)
    (folder / "soc.bit").unlink(missing_ok=True)
    show("synthesising, minutes")
    verilog = " ".join(name for name in files if name.endswith(".v"))
    script = f"read_verilog {verilog}; {KEEP}; synth_ecp5 -top soc -json soc.json"
    process.tool([*tool("yosys"), "-q", "-l", "soc.yosys.log", "-p", script], folder, "soc.yosys.log")
    show("placing and routing, minutes")
    runs = [(_placed(folder, seed), seed) for seed in range(1, seeds + 1)]
    (fmax, utilization), seed = max(runs, key=lambda run: run[0][0])
    if 1e6 * fmax < CLOCK_HZ:
        raise GossetError(
            f"The system reaches {fmax:.1f} MHz, the best of {seeds} seed{'s' * (seeds > 1)}, and its clock is "
            f"{CLOCK_HZ / 1e6:g} MHz: try more seeds."
        )
    show("packing")
    process.tool([*tool("ecppack"), "--compress", f"soc.{seed}.config", "--bit", "partial.bit"], folder)
    (folder / "partial.bit").replace(folder / "soc.bit")
    counts = {kind: utilization[name] for kind, name in FLOWS["ecp5"].resources.items()}
    report = {
        "made": str(folder / "soc.bit"),
        "design": layer.design.as_dict(),
        "clock_mhz": CLOCK_HZ / 1e6,
        "fmax_mhz": round(fmax, 1),
        "seed": seed,
        "used": {kind: [count["used"], count["available"]] for kind, count in counts.items()},
        **provenance(),
    }
    write_text(folder / "bitstream.json", json.dumps(report, indent=2) + "\n")
    return report


def _placed(folder: Path, seed: int) -> tuple[float, dict[str, dict[str, int]]]:
    """Places and routes; the MHz of the slowest clock, and what is used of each kind of cell."""
    log, report = f"soc.{seed}.nextpnr.log", f"soc.{seed}.timing.json"
    place = [*tool("nextpnr-ecp5"), *DEVICE, "--json", "soc.json", "--lpf", "soc.lpf", "--router", "router2", "-q"]
    goal = ["--freq", f"{CLOCK_HZ / 1e6:g}", "--seed", str(seed), "--timing-allow-fail"]
    made = ["--textcfg", f"soc.{seed}.config", "--report", report, "-l", log]
    process.tool([*place, *goal, *made], folder, log)
    timing = json.loads((folder / report).read_text(encoding="utf-8"))
    return min(clock["achieved"] for clock in timing["fmax"].values()), timing["utilization"]


KEEP = 'attrmap -tocase keep -imap keep="true" keep=1 -imap keep="false" keep=0 -remove keep=0'
"""What LiteX writes beside signals, as yosys has it."""

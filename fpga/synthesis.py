"""Synthesis, and place and route, for ECP5: with native tools if they are on PATH, else with YoWASP's from PyPI."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from golden.errors import ToolError
from hw.generate import Generated

DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")
"""What units are placed on: an LFE5U-85F, large enough for all of them, in the slowest speed grade."""

TARGET_MHZ = 250
"""What place and route aims at: more than any unit reaches, so that it never stops trying early."""

SEED = 1


@dataclass(frozen=True)
class Area:
    """What a design takes of an ECP5, and how fast it is there.

    Attributes
    ----------
    lut4_equivalents : int
        LUT4 + 2·CCU2C: a carry cell has two LUTs.
    ff, dsp, bram : int
        Flip-flops, 18×18 multipliers, 18-kbit memories.
    fmax_mhz : float
        After place and route, out of context: ports are not bound to pins.
    """

    lut4_equivalents: int
    ff: int
    dsp: int
    bram: int
    fmax_mhz: float

    def as_dict(self) -> dict[str, float]:
        """As a report holds it."""
        return asdict(self)


def tool(name: str) -> list[str]:
    """The command that runs a tool of the yosys family: native, or YoWASP's.

    Raises
    ------
    ToolError
        If there is neither.
    """
    if path := shutil.which(name):
        return [path]
    beside = Path(sys.executable).parent / f"yowasp-{name}"
    if beside.exists():
        return [str(beside)]
    raise ToolError(f"{name} is missing: put one on PATH, or install YoWASP's with: pip install 'gosset[fpga]'.")


def measure(generated: Generated, folder: Path) -> Area:
    """Synthesises a design without DSPs, places and routes it.

    Parameters
    ----------
    generated : Generated
    folder : Path
        For the tools' files and logs; YoWASP's tools see nothing outside it.

    Raises
    ------
    ToolError
        If a tool is missing or fails.
    """
    top = generated.description["top"]
    generated.write(folder)
    script = f"read_verilog {top}.v; synth_ecp5 -nodsp -top {top} -json {top}.net.json; tee -q -o {top}.stat.txt stat"
    _run([*tool("yosys"), "-q", "-l", f"{top}.yosys.log", "-p", script], folder)
    goal = ["--freq", str(TARGET_MHZ), "--seed", str(SEED), "--timing-allow-fail", "--out-of-context"]
    place = [*tool("nextpnr-ecp5"), *DEVICE, *goal, "--lpf-allow-unconstrained", "--router", "router2", "-q"]
    _run([*place, "--json", f"{top}.net.json", "--report", f"{top}.pnr.json", "-l", f"{top}.pnr.log"], folder)

    statistics = (folder / f"{top}.stat.txt").read_text()
    counts = {kind: int(n) for n, kind in re.findall(r"^\s+(\d+)\s+([A-Z][A-Z0-9_]+)\s*$", statistics, re.MULTILINE)}
    clocks = json.loads((folder / f"{top}.pnr.json").read_text())["fmax"]
    return Area(
        lut4_equivalents=counts.get("LUT4", 0) + 2 * counts.get("CCU2C", 0),
        ff=counts.get("TRELLIS_FF", 0),
        dsp=counts.get("MULT18X18D", 0),
        bram=counts.get("DP16KD", 0),
        fmax_mhz=round(min(clock["achieved"] for clock in clocks.values()), 1),
    )


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ToolError(f"{Path(command[0]).name} failed with exit code {done.returncode} in {folder}:\n{tail}")

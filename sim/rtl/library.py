"""Shared libraries of Verilated designs, which `sim.rtl.model` drives.

`sim.rtl.cache` keeps them under a digest of everything they are made from.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from golden import process
from golden.errors import GossetError, ToolError
from sim.rtl import cache
from sim.rtl.tools import check_compiler, compiler, need
from sim.rtl.verilator import find

#: Formats of waveform files; also their suffixes.
Waves = Literal["fst", "vcd"]

_LIBRARY = "model.so"

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

# Of the design and of Verilator's runtime. -O1 takes a quarter longer to build, -O2 half as long again, and neither
# runs faster. One file of C++ instead of many: its headers take longer than most designs.
_OPTIMISE = {"OPT_FAST": "-Og", "OPT_GLOBAL": "-O1", "VM_PARALLEL_BUILDS": "0"}


class Port(NamedTuple):
    """A port of a design's top module."""

    name: str
    #: "in" or "out".
    direction: str
    #: Bits.
    width: int


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
    return _Build(verilog.read_text(encoding="utf-8"), top, tuple(ports), public, waves).library()


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
        self.libraries = ["-llz4", "-lz"] if waves == "fst" else []
        if public:
            self.verilate.append("--public-flat-rw")
        if waves:
            self.verilate.append("--trace-fst" if waves == "fst" else "--trace")
            self.compile.append(f"-DVM_TRACE_{waves.upper()}=1")
        self.compile.append(f"-DVM_TRACE={int(waves is not None)}")

    def name(self) -> str:
        """Returns the name of the library's entry in the cache."""
        shim = _SHIM.read_text(encoding="utf-8")
        return f"model-{self._digest(shim, self.text, self.ports, self.verilate, self.shim, self.libraries)}"

    def library(self) -> Path:
        """Returns the library, built if need be."""
        name = self.name()
        entry = cache.find(name)
        if entry is None:
            need("make")
            check_compiler(self.compiler[0])
            if self.libraries:
                self._need_fst_headers()
            with cache.workplace() as work:
                self._verilate(work)
                self._compile(work)
                entry = cache.keep(name, [self._link(work)], work)
        return entry / _LIBRARY

    def _digest(self, *parts: object) -> str:
        tools = [self.verilator.version, self.verilator.revision, self.compiler, self.compile, _OPTIMISE]
        return hashlib.sha256(json.dumps([tools, parts]).encode()).hexdigest()

    def _run(self, work: Path, *command: str, **variables: str) -> None:
        process.call(command, variables=self.verilator.variables() | variables, folder=work)

    def _need_fst_headers(self) -> None:
        command = [*self.compiler[0], "-x", "c++", "-fsyntax-only", "-"]
        includes = "#include <lz4.h>\n#include <zlib.h>\n"
        if process.run(command, input=includes).code:
            raise ToolError(
                "FST waveforms need the headers of LZ4 and zlib (sudo apt install liblz4-dev zlib1g-dev, or brew "
                "install lz4); a waveform file named .vcd needs nothing."
            )

    def _verilate(self, work: Path) -> None:
        """Writes C++ and makefiles of the design, and the table of its ports."""
        (work / f"{self.top}.v").write_text(self.text, encoding="utf-8")
        self._run(work, "verilator", *self.verilate, "-Mdir", ".", f"{self.top}.v")
        found = _ports((work / "Vgosset.h").read_text(encoding="utf-8"))
        for port in self.ports:
            if port not in found:
                raise ToolError(f"Module {self.top} has no port {port}; it has {', '.join(map(str, found))}.")
        (work / "ports.inc").write_text(
            "".join(
                f'{{"{port.name}", &top.{member}, {port.width}, 0, {int(port.direction == "out")}}},\n'
                for port, member in found.items()
            ),
            encoding="utf-8",
        )

    def _compile(self, work: Path) -> None:
        """Compiles the design with the shim, and what no earlier build has left of Verilator's runtime."""
        listed = (work / "Vgosset_classes.mk").read_text(encoding="utf-8").partition("VM_GLOBAL_FAST")[2]
        runtime = {
            f"{name}.o": f"runtime-{self._digest('runtime', name)}"
            for name in re.findall(r"^\s+(\w+)", listed, re.MULTILINE)
        }
        missing = dict(runtime)
        for made, name in runtime.items():
            if entry := cache.find(name):
                shutil.copy(entry / made, work)
                del missing[made]
        shutil.copy(_SHIM, work)
        options = {"CXX": shlex.join(self.compiler[0]), "CXXFLAGS": " ".join(self.compile + self.shim), **_OPTIMISE}
        self._run(
            work,
            *("make", f"-j{os.cpu_count()}", "-f", "Vgosset.mk", *(f"{name}={text}" for name, text in options.items())),
            *("Vgosset__ALL.a", "libverilated.a"),
            VM_SUPPORT_SLOW=_SHIM.stem,  # the makefile adds to it
        )
        for made, name in missing.items():
            cache.keep(name, [work / made], work)

    def _link(self, work: Path) -> Path:
        objects = ("Vgosset__ALL.o", "libverilated.a", *self.libraries)
        self._run(work, *self.compiler[0], "-shared", "-o", _LIBRARY, *objects)
        return work / _LIBRARY


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

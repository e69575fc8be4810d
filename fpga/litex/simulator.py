"""The program that simulates the system: Verilated, with the board around it in C++."""

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path

from fpga.litex.constants import BAUD, CLOCK_HZ
from fpga.litex.soc import Written
from golden import process
from hw.generate import Generated
from sim.rtl import cache
from sim.rtl.tools import check_compiler, compiler, need
from sim.rtl.verilator import find

SOURCE = Path(__file__).with_name("source")

PROGRAM = "Vsoc"

_VERILATE = (
    *("--cc", "--exe", "--prefix", PROGRAM, "--top-module", "soc", "-O3"),
    # The same in every run.
    *("--x-assign", "0", "--x-initial", "0"),
    # LiteX writes what Verilator has much to say of; a build only stops at errors.
    "-Wno-fatal",
    # As sim.rtl.library: cells stay functions.
    *("--inline-mult", "10"),
    # The SDRAM's data, with who drives them.
    "--pins-inout-enables",
)

_COMPILE = f"-std=c++17 -DCLOCK_HZ={CLOCK_HZ} -DBAUD={BAUD}"

_OPTIMISE = {"OPT_FAST": "-Og", "OPT_GLOBAL": "-O1", "VM_PARALLEL_BUILDS": "0"}


def build(accelerator: Generated, system: Written, show: Callable[[str], None]) -> Path:
    """The program that simulates a system, from the cache if it is there."""
    found, (command, said) = find(), compiler()
    texts = {"soc.v": system.verilog, "accelerator.v": accelerator.verilog}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in system.sources}
    verilog = list(texts)
    texts |= {name: (SOURCE / name).read_text(encoding="utf-8") for name in ("main.cpp", "sdram.h")}
    parts = [found.version, found.revision, command, said, _VERILATE, _COMPILE, _OPTIMISE, texts]
    name = f"litex-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"
    entry = cache.find(name)
    if entry is None:
        show("building the simulation with Verilator: a minute or two, once")
        need("make")
        check_compiler(command)
        with cache.workplace() as work:
            for file, text in texts.items():
                (work / file).write_text(text, encoding="utf-8")
            verilate = [str(found.executable), *_VERILATE, "-CFLAGS", _COMPILE, "-Mdir", ".", *verilog, "main.cpp"]
            process.call(verilate, variables=found.variables(), folder=work)
            options = [f"{name}={text}" for name, text in {"CXX": shlex.join(command), **_OPTIMISE}.items()]
            process.call(["make", "-f", f"{PROGRAM}.mk", *options, PROGRAM], variables=found.variables(), folder=work)
            entry = cache.keep(name, [work / PROGRAM], work)
    return entry / PROGRAM

"""The driver in C, compiled for this machine."""

import ctypes
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from golden.format import Format
from golden.frontend import FrontEndRules
from golden.output import OutputRules
from hw.axi.driver import driver
from hw.axi.memory import AxiMemoryTop
from hw.design import DesignPoint
from sim.rtl.tools import compiler

DESIGNS = {
    "os": DesignPoint(
        name="os",
        rows=3,
        cols=2,
        panel_rows=6,
        x_depth=16,
        w_depth=8,
        jobs=2,
        format=Format(8),
        keep_rows=32,
        output=OutputRules(row_scales=True),
        diagnostics=True,
        strides=True,
        front_end=FrontEndRules(format=Format(8), length=16),
        codes=True,
        ring=True,
        coalescing=True,
    ),
    "ws": DesignPoint(
        name="ws", rows=3, cols=2, panel_rows=6, x_depth=16, dataflow="ws", activations=("packed", "int8"), bus_bits=128
    ),
    "one": DesignPoint(
        name="one", rows=2, cols=3, panel_rows=4, x_depth=16, w_depth=8, format=Format(4, (3,)), activations=("int8",)
    ),
    "abort": DesignPoint(name="abort", rows=2, cols=1, panel_rows=4, x_depth=16, w_depth=8, abort=True),
}

SCALE = 33 | 5 << 6
"""The multiplier of all raw rows."""

TAG = 0xABC0
"""Of all jobs, together with their rows."""

COLUMNS = 1 << 34 | 64
"""Where the columns' words of a job are, beside its results, and the rows' beside them."""

FLAGS = ["-x", "c", "-std=c99", "-ffreestanding", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
FLAGS += ["-O1"]


def build(name: str, folder: Path, command: list[str], built: Path) -> None:
    """Compiles the driver of a design, which is warned of by nothing."""
    map = AxiMemoryTop.registers(DESIGNS[name])
    (folder / f"{map.name}.h").write_text(map.header())
    (folder / "driver.h").write_text(driver(DESIGNS[name], map))
    top = map.name.upper()
    macros = [
        f"-DTOP={map.name}",
        '-DDRIVER="driver.h"',
        f"-D{top}_READ(device,offset)=((void)(device),shim_read(offset))",
    ]
    macros.append(f"-D{top}_WRITE(device,offset,word)=((void)(device),shim_write(offset,word))")
    if DESIGNS[name].output:
        macros.append(f"-DCOLUMNS={COLUMNS}")
    if DESIGNS[name].diagnostics:
        macros.append(f"-DTAG={TAG}")
    if DESIGNS[name].front_end:
        macros.append(f"-DSCALE={SCALE}")
    for option in ("ring", "abort"):
        if getattr(DESIGNS[name], option):
            macros.append(f"-D{option.upper()}")
    source = Path(__file__).with_name("driver.c")
    done = subprocess.run(
        [*command, *FLAGS, f"-I{folder}", *macros, "-o", built, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@cache
def compiled(name: str, folder: Path) -> ctypes.CDLL:
    """The driver of a design, as a shared library."""
    (command, _), built = compiler(), folder / f"{name}.so"
    build(name, folder, [*command, "-shared", "-fPIC"], built)
    library = ctypes.CDLL(str(built))
    for function in (library.w_image, library.x_image, library.int8_image):
        function.restype = ctypes.c_uint64
    library.submit.argtypes = [ctypes.c_uint32] * 4 + [ctypes.c_uint64] * 3
    if DESIGNS[name].ring:
        library.ring_put.argtypes = library.submit.argtypes
        library.ring_open.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64]
    library.errors.restype = library.acknowledge.restype = ctypes.c_uint32
    return library


def pointer(array):
    return None if array is None else np.ascontiguousarray(array).ctypes.data_as(ctypes.c_void_p)

"""The firmware: C for RV32, compiled by the clang of the package ziglang, as words of the ROM."""

import importlib.util
import struct
from dataclasses import replace
from pathlib import Path

from fpga.litex.layer import Layer
from golden import process
from golden.errors import ToolError
from hw.axi.map import counters
from hw.engine.counters import COUNTERS
from hw.generate import Generated

SOURCE = Path(__file__).with_name("source")

TARGET = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m")

FLAGS = ("-std=c99", "-ffreestanding", "-Os", "-g0", "-Wall", "-Wextra", "-Werror", "-fno-sanitize=all")

LOADED = 1
"""The type of a segment that is loaded, in an ELF file."""


def compile(accelerator: Generated, system: str, layer: Layer, rom_bytes: int, stack: int) -> list[int]:
    """The words of the ROM.

    Parameters
    ----------
    accelerator : Generated
        With the driver among its files.
    system : str
        The header of the system.
    layer : Layer
    rom_bytes : int
    stack : int
        The address that the stack grows down from.

    Raises
    ------
    ToolError
        If the compiler is missing or fails, or the ROM is too small.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise ToolError("ziglang is missing, whose clang compiles for RV32: pip install 'gosset[litex]' brings it.")
    with process.scratch() as folder:
        for name, text in accelerator.files.items():
            if name.endswith(".h"):
                (folder / name).write_text(text, encoding="utf-8")
        (folder / "soc.h").write_text(system + header(layer), encoding="utf-8")
        elf = folder / "firmware.elf"
        script = folder / "firmware.ld"
        script.write_text(SCRIPT.format(rom_bytes=rom_bytes, stack=stack), encoding="utf-8")
        sources = [str(SOURCE / name) for name in ("start.S", "firmware.c")]
        options = [*TARGET, *FLAGS, f"-I{folder}", "-T", str(script), "-o", str(elf), *sources]
        done = process.run_python("ziglang", "cc", *options)
        if done.code:
            raise process.failed(replace(done, name="zig cc"), done.said.rstrip().splitlines(), folder)
        return words(elf.read_bytes())


SCRIPT = """MEMORY {{ rom : ORIGIN = 0, LENGTH = {rom_bytes} }}
_stack = {stack};
SECTIONS {{
    .text : {{ *(.text.start) *(.text*) *(.rodata*) *(.srodata*) }} > rom
    .data : {{ *(.data*) *(.sdata*) *(.bss*) *(.sbss*) *(COMMON) }}
    ASSERT(SIZEOF(.data) == 0, "the firmware has variables that are not on its stack")
    /DISCARD/ : {{ *(.comment) *(.riscv.attributes) *(.eh_frame*) *(.note*) }}
}}
"""


def header(layer: Layer) -> str:
    """What the firmware has to know of a layer."""
    design, part = layer.design, layer.job.parts[0]
    lines = [f"#define {name.upper()} (MAIN_RAM + {place}u)" for name, place in layer.places.items()]
    numbers = {
        "ROWS": part.rows,
        "BLOCKS": layer.job.w.labels.shape[1],
        "STEPS": part.steps,
        "TILES": part.tiles,
        "RESULTS": part.output_rows * design.cols,
        "COUNTERS": len(counters(design, addressed=True)),
        "CAUSES": len(COUNTERS),
    }
    return "\n".join([*lines, *(f"#define {name} {value}u" for name, value in numbers.items())]) + "\n"


def words(elf: bytes) -> list[int]:
    """What a program for 32 bits begins with in memory, from address 0 on, little-endian."""
    at, size, count = struct.unpack_from("<28xI10xHH", elf)
    memory = bytearray()
    for i in range(count):
        kind, offset, _, address, length = struct.unpack_from("<5I", elf, at + i * size)
        if kind == LOADED:
            memory += bytes(address + length - len(memory))
            memory[address : address + length] = elf[offset : offset + length]
    return list(struct.unpack(f"<{len(memory) // 4 + bool(len(memory) % 4)}I", memory + bytes(-len(memory) % 4)))


def lines(words: list[int]) -> str:
    """As Verilog's $readmemh reads them."""
    return "".join(f"{word:08x}\n" for word in words)

"""Machine code of the GPU's kernels, without a GPU: NVRTC compiles, nvdisasm lists, the loop over units is counted."""

import re
from collections import Counter
from collections.abc import Mapping

from golden import process
from golden.errors import ToolError
from golden.format import Format
from sim.kernels.gpu import source
from sim.kernels.launches import How
from sim.kernels.nvidia import compiled, installed

UNIT = 32
"""Blocks that the loop decodes and multiplies at a time, in each thread."""

ALU = ("LOP3", "SHF", "PRMT", "IADD3", "LEA", "ISETP", "SEL", "PLOP3", "SGXT", "VIADD")
"""Instructions of the pipe that limits: 64 a cycle and multiprocessor. IMAD and IDP go through another one."""

LANES, PROCESSORS = 64, 132
"""Of that pipe in a multiprocessor, and multiprocessors, on H100 (SXM) and H200."""

CLOCK_HZ = 1.98e9
"""The clock of both while they are not throttled."""

GPUS = {"H100": 3.35e12, "H200": 4.8e12}
"""Published bytes per second of their memories."""


def listing(fmt: Format, how: How, architecture: str) -> str:
    """The machine code as text."""
    with process.scratch() as folder:
        path = folder / "kernel.cubin"
        path.write_bytes(compiled(source(fmt, how), architecture))
        return process.call([installed("nvdisasm"), "-c", path])


def loop(text: str, kernel: str) -> Counter[str]:
    """Instructions, by name, of the longest loop of a kernel: from a label to the jump back to it.

    Raises
    ------
    ToolError
        If there is none.
    """
    begin = text.find(f".text.{kernel}:")
    lines = text[begin:].splitlines()[1:] if begin >= 0 else []
    end = next((n for n, line in enumerate(lines) if line.startswith(".text.") or ".section" in line), len(lines))
    labels: dict[str, int] = {}
    longest: list[str] = []
    for number, line in enumerate(lines[:end]):
        if label := re.match(r"(\.L\w+):", line):
            labels[label[1]] = number
        elif (jump := re.search(r"\bBRA\b.*\((\.L\w+)\)", line)) and jump[1] in labels:
            longest = max(longest, lines[labels[jump[1]] : number + 1], key=len)
    found = Counter(name[1] for line in longest if (name := INSTRUCTION.search(line)))
    if not found:
        raise ToolError(f"The machine code of {kernel} has no loop.")
    return found


INSTRUCTION = re.compile(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)")


def bound(counts: Mapping[str, int], fmt: Format) -> dict[str, float]:
    """The share of each GPU's bandwidth that the pipe which limits leaves room for, 1 if it does not limit."""
    through = LANES * PROCESSORS * CLOCK_HZ / (sum(counts.get(name, 0) for name in ALU) / UNIT)
    return {gpu: min(1.0, through * fmt.bits_per_entry / speed) for gpu, speed in GPUS.items()}

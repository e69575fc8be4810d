"""The board's testbenches, and the units of its gateware of which mutants are made."""

from functools import cache

from fpga.baud import LEAST_DIVISOR
from fpga.benches.uarts import Uarts
from fpga.gateware.core import BoardCore
from fpga.host.reference import FUZZED
from fpga.identity import Identity
from fpga.memory import MemoryShape
from golden.format import Format
from hw.design import DesignPoint
from hw.generate import Generated, generate
from sim.benches.catalogue import BENCHES, Bench, point_of
from sim.mutate.units import UNITS, Unit

MEMORY = MemoryShape(16, 256)
"""The memory of the board: so narrow that blocks and results take several words, and so small that READ could ask for
all of it but eight words."""

DIVISORS = (LEAST_DIVISOR, 5, 7, 16)
"""Cycles of a bit: the fewest; odd numbers; a power of two with some time between edges."""

ONE_CELL = FUZZED.design
"""The accelerator of a board that is small, and that the board in Python knows."""


def identity(design: DesignPoint) -> bytes:
    """What the board says that it is."""
    return Identity(board="bench", clock_hz=1_000_000, memory=MEMORY, design=design).encode()


@cache
def _link(design: DesignPoint | Format) -> Generated:
    point = point_of(design, "link")
    says = identity(point)
    return generate(BoardCore(point, MEMORY, says), "bench_link", design=point.as_dict(), identity=says.decode())


@cache
def _uart(design: DesignPoint | Format) -> Generated:
    return generate(Uarts(DIVISORS), "bench_uart", design=point_of(design, "UART").as_dict())


def known(design: DesignPoint) -> bool:
    """Whether the board in Python (`fpga.host.reference`) knows a design's accelerator: one cell, packed operands."""
    only = (design.rows, design.cols, design.dataflow, design.activations) == (1, 1, "os", ("packed",))
    return only and not design.front_end and not design.keep_rows


def add() -> None:
    """Adds the board's testbenches to those of `sim.benches.catalogue`, and its units to those of `sim.mutate.units`,
    which know nothing of it."""
    BENCHES.update(
        link=Bench("fpga.benches.inside.link_tests", 60, _link, known),
        uart=Bench("fpga.benches.inside.uart_tests", 60, _uart, known),
    )
    gateware = r"\.core(\.(memory|receiver|sender|runner(\.fetch_.)?))?"
    UNITS.update(
        link=Unit("link", "link", ONE_CELL, gateware, 6),
        uart=Unit("uart", "uart", ONE_CELL, r".*\.uart_\d+", 4),
    )

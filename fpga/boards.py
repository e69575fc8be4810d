"""The boards: what is on each, and the design that fits it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from amaranth.build import Attrs, Platform

from fpga.baud import divisor
from fpga.memory import MemoryShape
from fpga.pll import ARTIX7, ECP5, GW1N9, ICE40_CORE, ICE40_PAD, Pll, Settings
from golden.errors import GossetError, ToolError
from hw.design import DesignPoint

try:
    from amaranth_boards.arty_a7 import ArtyA7_35Platform, ArtyA7_100Platform
    from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform
    from amaranth_boards.icebreaker import ICEBreakerPlatform
    from amaranth_boards.icesugar_pro import ICESugarProPlatform
    from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_85FPlatform
    from amaranth_boards.resources import UARTResource
    from amaranth_boards.tang_nano_9k import TangNano9kPlatform
    from amaranth_boards.ulx3s import ULX3S_85F_Platform
except ImportError as error:
    raise ToolError("amaranth-boards is missing; install it with: pip install 'gosset[fpga]'.") from error

Family = Literal["ecp5", "ice40hx", "ice40up", "gowin", "artix7"]
"""What decides which tools make the bitstream."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board, and what is built for it.

    Parameters
    ----------
    name, title : str
        For the command line, and for people.
    family : "ecp5", "ice40hx", "ice40up", "gowin" or "artix7"
    platform : callable
        Makes Amaranth's platform of the board, with a `uart`.
    pll : Pll
        What makes the design's clock of the board's.
    design : DesignPoint
        An accelerator that fits.
    clock_hz : int
        The design's clock.
    baud : int
        Bits per second of the serial line.
    memory : MemoryShape
        The board's memory, which operands and results are in.
    leds : "led" or "rgb_led"
        The resource that shows life and work: two LEDs of this name, or green and blue of a single one.
    uart : str
        Where the serial line is, for people.
    loader : str
        What openFPGALoader calls the board; empty if it does not know it.

    Raises
    ------
    GossetError
        If a parameter is out of range, the PLL cannot make the clock, or the clock cannot make the rate.
    """

    name: str
    title: str
    family: Family
    platform: Callable[[], Platform]
    pll: Pll
    design: DesignPoint
    clock_hz: int
    baud: int
    memory: MemoryShape
    leds: Literal["led", "rgb_led"]
    uart: str
    loader: str

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise GossetError(f"The name of a board becomes a Verilog identifier, which {self.name!r} cannot be.")
        if self.family not in get_args(Family):
            raise GossetError(f"The family of a board is one of {', '.join(get_args(Family))}, not {self.family!r}.")
        if self.memory.spram and self.family != "ice40up":
            raise GossetError(f"Single-port memory is what UP5K has, not {self.title}.")
        if self.leds not in ("led", "rgb_led"):
            raise GossetError(f"The LEDs of a board are led or rgb_led, not {self.leds!r}.")
        divisor(self.clock.output_hz, self.baud)

    @property
    def board_hz(self) -> int:
        """The clock on the board."""
        return int(self.platform().default_clk_frequency)

    @cached_property
    def clock(self) -> Settings:
        """How the PLL makes the design's clock."""
        return self.pll.find(self.board_hz, self.clock_hz)

    @property
    def link_bytes_per_second(self) -> float:
        """What the serial line carries at most: ten bits are a byte."""
        return self.baud / 10

    @property
    def peak_gmacs(self) -> float:
        """Multiply-accumulates per second when every cell works, in units of 1e9."""
        return self.design.macs_per_cycle * self.clock.output_hz / 1e9


def find_board(name: str) -> Board:
    """The board of a name.

    Raises
    ------
    GossetError
        If there is none.
    """
    if name not in BOARDS:
        raise GossetError(f"No board is called {name!r}; there are {', '.join(BOARDS)}.")
    return BOARDS[name]


def _orangecrab() -> Platform:
    """There is no serial chip on it: the line is on the Feather's own pins for one, 0 (receives) and 1 (sends)."""
    platform = OrangeCrabR0_2_85FPlatform()
    line = UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP"))
    platform.add_resources([line])
    return platform


def _large(name: str, dsp_cols: int) -> DesignPoint:
    """512 multiply-accumulates per cycle."""
    return DesignPoint(name=name, rows=8, cols=8, dsp_cols=dsp_cols)


def _medium(name: str) -> DesignPoint:
    """256 multiply-accumulates per cycle, without DSPs: those lie in rows across the chip, far from each other."""
    return DesignPoint(name=name, rows=4, cols=8)


def _small(name: str, dsp_cols: int) -> DesignPoint:
    """128 multiply-accumulates per cycle."""
    return DesignPoint(name=name, rows=4, cols=4, dsp_cols=dsp_cols)


def _tiny(name: str, dsp_cols: int) -> DesignPoint:
    """8 multiply-accumulates per cycle."""
    return DesignPoint(name=name, rows=1, cols=1, dsp_cols=dsp_cols, panel_rows=16, x_depth=256, w_depth=256, jobs=2)


_ON_USB = "the board's USB socket"

BOARDS = {
    board.name: board
    for board in (
        Board(
            name="ulx3s",
            title="ULX3S, LFE5U-85F",
            family="ecp5",
            platform=ULX3S_85F_Platform,
            pll=ECP5,
            design=_medium("ulx3s"),
            clock_hz=81_250_000,
            baud=3_000_000,
            memory=MemoryShape(bits=64, words=16384),
            leds="led",
            uart=_ON_USB,
            loader="ulx3s",
        ),
        Board(
            name="orangecrab",
            title="OrangeCrab r0.2, LFE5U-85F",
            family="ecp5",
            platform=_orangecrab,
            pll=ECP5,
            design=_medium("orangecrab"),
            clock_hz=72_000_000,
            baud=1_000_000,
            memory=MemoryShape(bits=64, words=16384),
            leds="rgb_led",
            uart="Feather pins 0 (N17, board receives) and 1 (M18, board sends), 3.3 V",
            loader="orangeCrab",
        ),
        Board(
            name="icesugar_pro",
            title="iCESugar-Pro, LFE5U-25F",
            family="ecp5",
            platform=ICESugarProPlatform,
            pll=ECP5,
            design=_small("icesugar_pro", dsp_cols=1),
            clock_hz=81_250_000,
            baud=1_000_000,
            memory=MemoryShape(bits=64, words=4096),
            leds="rgb_led",
            uart=_ON_USB,
            loader="",
        ),
        Board(
            name="icebreaker",
            title="iCEBreaker, iCE40UP5K",
            family="ice40up",
            platform=ICEBreakerPlatform,
            pll=ICE40_PAD,
            design=_tiny("icebreaker", dsp_cols=1),
            clock_hz=30_000_000,
            baud=3_000_000,
            memory=MemoryShape(bits=16, words=65536, spram=True),
            leds="led",
            uart=_ON_USB,
            loader="ice40_generic",
        ),
        Board(
            name="ice40_hx8k_b_evn",
            title="iCE40HX8K breakout board",
            family="ice40hx",
            platform=ICE40HX8KBEVNPlatform,
            pll=ICE40_CORE,
            design=_tiny("ice40_hx8k_b_evn", dsp_cols=0),
            clock_hz=72_000_000,
            baud=3_000_000,
            memory=MemoryShape(bits=16, words=2048),
            leds="led",
            uart=_ON_USB,
            loader="ice40_generic",
        ),
        Board(
            name="arty_a7_35",
            title="Arty A7-35T",
            family="artix7",
            platform=ArtyA7_35Platform,
            pll=ARTIX7,
            design=_small("arty_a7_35", dsp_cols=4),
            clock_hz=80_000_000,
            baud=3_000_000,
            memory=MemoryShape(bits=64, words=8192),
            leds="led",
            uart=_ON_USB,
            loader="arty_a7_35t",
        ),
        Board(
            name="arty_a7_100",
            title="Arty A7-100T",
            family="artix7",
            platform=ArtyA7_100Platform,
            pll=ARTIX7,
            design=_large("arty_a7_100", dsp_cols=7),
            clock_hz=80_000_000,
            baud=3_000_000,
            memory=MemoryShape(bits=64, words=16384),
            leds="led",
            uart=_ON_USB,
            loader="arty_a7_100t",
        ),
        Board(
            name="tang_nano_9k",
            title="Tang Nano 9K, GW1NR-9",
            family="gowin",
            platform=TangNano9kPlatform,
            pll=GW1N9,
            design=_tiny("tang_nano_9k", dsp_cols=0),
            clock_hz=54_000_000,
            baud=1_000_000,
            memory=MemoryShape(bits=16, words=8192),
            leds="led",
            uart=_ON_USB,
            loader="tangnano9k",
        ),
    )
}
"""The boards by name."""

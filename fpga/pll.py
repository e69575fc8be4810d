"""Phase-locked loops: settings within a family's limits, and the clock that one makes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from amaranth import ClockDomain, ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import Out

from golden.errors import GossetError

MOST_BELOW = 0.01
"""How far below the frequency asked for an output may be."""

TOLERANCE = 1e-4
"""How far a board's clock may be from its nominal frequency without a limit being passed."""

RESET_CYCLES = 1024
"""Cycles of reset after the PLL's lock. Block memories of iCE40 read as zeros for 3 µs after configuration."""

Range = tuple[float, float]
"""The least and the most of a frequency, in Hz."""


@dataclass(frozen=True, kw_only=True)
class Pll:
    """What a family's PLL can do: it divides the input, multiplies that to the VCO's frequency, and divides that again.

    Parameters
    ----------
    name : str
        The primitive.
    input_hz, compare_hz, vco_hz, output_hz : tuple of float
        Limits of the input, of the phase detector (the divided input), of the VCO and of the output.
    input_divisors, multipliers, output_divisors : range or tuple of int
    output_in_loop : bool
        Whether the feedback is taken behind the output's divisor, so that the output is the divided input times the
        multiplier, and the VCO that times the divisor.
    instance : callable
        Settings, input, output and lock to the instance that connects them. The input is a pin for primitives of pads.
    """

    name: str
    input_hz: Range
    compare_hz: Range
    vco_hz: Range
    output_hz: Range
    input_divisors: range
    multipliers: range
    output_divisors: range | tuple[int, ...]
    output_in_loop: bool = False
    instance: Callable[["Settings", Value, Signal, Signal], Instance]

    def settings(self, input_hz: int) -> Iterator["Settings"]:
        """Every setting for an input that is within all limits."""
        if not _within(input_hz, self.input_hz):
            return
        for input_divisor, multiplier in product(self.input_divisors, self.multipliers):
            if not _within(input_hz / input_divisor, self.compare_hz):
                continue
            for output_divisor in self.output_divisors:
                inside = output_divisor if self.output_in_loop else 1
                vco = input_hz * multiplier * inside / input_divisor
                if _within(vco, self.vco_hz) and _within(vco / output_divisor, self.output_hz):
                    yield Settings(self, input_hz, input_divisor, multiplier, output_divisor)

    def find(self, input_hz: int, output_hz: int) -> "Settings":
        """The settings for a frequency: exact or, if none are, nearest below.

        Among equals the one with the fastest phase detector, which jitters least, and then with the VCO nearest to the
        middle of its range.

        Raises
        ------
        GossetError
            If the output would be more than 1 % below.
        """
        middle = sum(self.vco_hz) / 2
        best = max(
            (found for found in self.settings(input_hz) if found.output_hz <= output_hz),
            key=lambda found: (found.output_hz, found.compare_hz, -abs(found.vco_hz - middle)),
            default=None,
        )
        if best is None or best.output_hz < output_hz * (1 - MOST_BELOW):
            nearest = f"; the nearest below is {best.output_hz / 1e6:g} MHz" if best else ""
            raise GossetError(
                f"{self.name} cannot make {output_hz / 1e6:g} MHz of {input_hz / 1e6:g} MHz within its limits{nearest}."
            )
        return best


@dataclass(frozen=True)
class Settings:
    """How a PLL is set.

    Attributes
    ----------
    pll : Pll
    input_hz : int
    input_divisor, multiplier, output_divisor : int
        As counts, not as the codes that some primitives take.
    """

    pll: Pll
    input_hz: int
    input_divisor: int
    multiplier: int
    output_divisor: int

    @property
    def compare_hz(self) -> float:
        """What the phase detector compares."""
        return self.input_hz / self.input_divisor

    @property
    def vco_hz(self) -> float:
        """What the oscillator makes."""
        inside = self.output_divisor if self.pll.output_in_loop else 1
        return self.input_hz * self.multiplier * inside / self.input_divisor

    @property
    def output_hz(self) -> float:
        """What comes out: products of whole numbers and one division, so that equal frequencies are equal numbers."""
        inside = self.output_divisor if self.pll.output_in_loop else 1
        return self.input_hz * self.multiplier * inside / (self.input_divisor * self.output_divisor)


class ClockSource(wiring.Component):
    """A clock and its reset, from a board's clock through its PLL.

    Parameters
    ----------
    settings : Settings

    Members
    -------
    clk : Out(1)
    rst : Out(1)
        High until some time after lock, synchronous to `clk`.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__({"clk": Out(1), "rst": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """Lock releases a counter, and the counter the reset."""
        m = Module()
        pin = platform.request(platform.default_clk, dir="-")  # type: ignore[attr-defined]
        locked = Signal()
        if self.settings.pll is ICE40_PAD:
            source = pin.io
        else:
            m.submodules.pin = buffer = io.Buffer("i", pin)
            source = buffer.i
        m.submodules.pll = self.settings.pll.instance(self.settings, source, self.clk, locked)

        m.domains.locked = ClockDomain(local=True)
        m.submodules.locked = ResetSynchronizer(~locked, domain="locked")
        count = Signal(range(RESET_CYCLES))
        m.d.comb += ClockSignal("locked").eq(self.clk)
        m.d.locked += count.eq(count + 1)
        with m.If(count == RESET_CYCLES - 1):
            m.d.locked += [count.eq(count), self.rst.eq(0)]
        return m


def _within(hz: float, limits: Range) -> bool:
    return limits[0] * (1 + TOLERANCE) <= hz <= limits[1] * (1 - TOLERANCE)


def _ecp5(settings: Settings, source: Value, clock: Signal, locked: Signal) -> Instance:
    """Feedback from one output, CLKOP, that runs at the phase detector's frequency; the clock is another, CLKOS, which
    so can be any fraction of the VCO."""
    feedback = Signal()
    return Instance(
        "EHXPLLL",
        # What Project Trellis' own ecppll gives for the loop filter.
        *(("a", *pair) for pair in (("ICP_CURRENT", "12"), ("LPF_RESISTOR", "8"))),
        *(("a", *pair) for pair in (("MFG_ENABLE_FILTEROPAMP", "1"), ("MFG_GMCREF_SEL", "2"))),
        p_FEEDBK_PATH="CLKOP",
        p_CLKI_DIV=settings.input_divisor,
        p_CLKFB_DIV=1,
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=settings.multiplier,
        p_CLKOS_ENABLE="ENABLED",
        p_CLKOS_DIV=settings.output_divisor,
        i_CLKI=source,
        i_CLKFB=feedback,
        i_RST=Const(0),
        i_STDBY=Const(0),
        o_CLKOP=feedback,
        o_CLKOS=clock,
        o_LOCK=locked,
    )


def _ice40(primitive: str, reference: str) -> Callable[[Settings, Value, Signal, Signal], Instance]:
    def instance(settings: Settings, source: Value, clock: Signal, locked: Signal) -> Instance:
        bounds = (17e6, 26e6, 44e6, 66e6, 101e6)  # of the loop filter's ranges, as IceStorm's icepll has them
        return Instance(
            primitive,
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(settings.input_divisor - 1, 4),
            p_DIVF=Const(settings.multiplier - 1, 7),
            p_DIVQ=Const(settings.output_divisor.bit_length() - 1, 3),
            p_FILTER_RANGE=Const(1 + sum(settings.compare_hz >= bound for bound in bounds), 3),
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
            **{reference: source},
        )

    return instance


def _gowin(device: str) -> Callable[[Settings, Value, Signal, Signal], Instance]:
    def instance(settings: Settings, source: Value, clock: Signal, locked: Signal) -> Instance:
        selects = {f"i_{name}": Const(0, 6) for name in ("FBDSEL", "IDSEL", "ODSEL")}
        phases = {f"i_{name}": Const(0, 4) for name in ("PSDA", "DUTYDA", "FDLY")}
        return Instance(
            "rPLL",
            p_FCLKIN=f"{settings.input_hz / 1e6:g}",
            p_DEVICE=device,
            p_IDIV_SEL=settings.input_divisor - 1,
            p_FBDIV_SEL=settings.multiplier - 1,
            p_ODIV_SEL=settings.output_divisor,
            i_CLKIN=source,
            i_CLKFB=Const(0),
            i_RESET=Const(0),
            i_RESET_P=Const(0),
            o_CLKOUT=clock,
            o_LOCK=locked,
            **selects,
            **phases,
        )

    return instance


def _xilinx(settings: Settings, source: Value, clock: Signal, locked: Signal) -> Module:
    """The clock goes over a global buffer."""
    m = Module()
    feedback, unbuffered = Signal(), Signal()
    m.submodules.pll = Instance(
        "PLLE2_BASE",
        p_CLKIN1_PERIOD=1e9 / settings.input_hz,
        p_DIVCLK_DIVIDE=settings.input_divisor,
        p_CLKFBOUT_MULT=settings.multiplier,
        p_CLKOUT0_DIVIDE=settings.output_divisor,
        i_CLKIN1=source,
        i_CLKFBIN=feedback,
        i_RST=Const(0),
        i_PWRDWN=Const(0),
        o_CLKFBOUT=feedback,
        o_CLKOUT0=unbuffered,
        o_LOCKED=locked,
    )
    m.submodules.buffer = Instance("BUFG", i_I=unbuffered, o_O=clock)
    return m


ECP5 = Pll(
    name="EHXPLLL",
    input_hz=(8e6, 400e6),
    compare_hz=(10e6, 400e6),
    vco_hz=(400e6, 800e6),
    output_hz=(3.125e6, 400e6),
    input_divisors=range(1, 129),
    multipliers=range(1, 129),
    output_divisors=range(1, 129),
    instance=_ecp5,
)
"""Lattice ECP5 (FPGA-DS-02012, sysCLOCK PLL timing)."""

ICE40_CORE = Pll(
    name="SB_PLL40_CORE",
    input_hz=(10e6, 133e6),
    compare_hz=(10e6, 133e6),
    vco_hz=(533e6, 1066e6),
    output_hz=(16e6, 275e6),
    input_divisors=range(1, 17),
    multipliers=range(1, 129),
    output_divisors=(2, 4, 8, 16, 32, 64),
    instance=_ice40("SB_PLL40_CORE", "i_REFERENCECLK"),
)
"""Lattice iCE40 (FPGA-DS-02029, sysCLOCK PLL timing), the clock from anywhere."""

ICE40_PAD = replace(ICE40_CORE, name="SB_PLL40_PAD", instance=_ice40("SB_PLL40_PAD", "i_PACKAGEPIN"))
"""The same, the clock from the PLL's own pin, which then can be nothing else's."""

GW1N9 = Pll(
    name="rPLL",
    input_hz=(3e6, 400e6),
    compare_hz=(3e6, 400e6),
    vco_hz=(400e6, 1200e6),
    output_hz=(3.125e6, 600e6),
    input_divisors=range(1, 65),
    multipliers=range(1, 65),
    output_divisors=(2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
    output_in_loop=True,
    instance=_gowin("GW1NR-9C"),
)
"""Gowin GW1NR-9 C6/I5 (DS117)."""

ARTIX7 = Pll(
    name="PLLE2_BASE",
    input_hz=(19e6, 800e6),
    compare_hz=(19e6, 450e6),
    vco_hz=(800e6, 1600e6),
    output_hz=(6.25e6, 464e6),
    input_divisors=range(1, 57),
    multipliers=range(2, 65),
    output_divisors=range(1, 129),
    instance=_xilinx,
)
"""Xilinx Artix-7, speed grade 1 (DS181)."""

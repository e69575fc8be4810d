"""The clock that a phase-locked loop makes."""

from collections.abc import Callable

from amaranth import ClockDomain, ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import Out

from fpga.pll import ARTIX7, ECP5, GW1N9, ICE40_CORE, ICE40_PAD, Settings

RESET_CYCLES = 1024
"""Cycles of reset after the PLL's lock. Block memories of iCE40 read as zeros for 3 µs after configuration."""


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
        m.submodules.pll = PRIMITIVES[self.settings.pll.name](self.settings, source, self.clk, locked)

        m.domains.locked = ClockDomain(local=True)
        m.submodules.locked = ResetSynchronizer(~locked, domain="locked")
        count = Signal(range(RESET_CYCLES))
        m.d.comb += ClockSignal("locked").eq(self.clk)
        m.d.locked += count.eq(count + 1)
        with m.If(count == RESET_CYCLES - 1):
            m.d.locked += [count.eq(count), self.rst.eq(0)]
        return m


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
    feedback = Signal()
    unbuffered = Signal()
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


PRIMITIVES: dict[str, Callable[[Settings, Value, Signal, Signal], Instance]] = {
    ECP5.name: _ecp5,
    ICE40_CORE.name: _ice40(ICE40_CORE.name, "i_REFERENCECLK"),
    ICE40_PAD.name: _ice40(ICE40_PAD.name, "i_PACKAGEPIN"),
    GW1N9.name: _gowin("GW1NR-9C"),
    ARTIX7.name: _xilinx,
}
"""What connects a primitive: settings, input (a pin for primitives of pads), output and lock to its instance."""

"""Phase-locked loops: settings within a family's limits."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from golden.errors import GossetError

MOST_BELOW = 0.01
"""How far below the frequency asked for an output may be."""

TOLERANCE = 1e-4
"""How far a board's clock may be from its nominal frequency without a limit being passed."""

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


def _within(hz: float, limits: Range) -> bool:
    return limits[0] * (1 + TOLERANCE) <= hz <= limits[1] * (1 - TOLERANCE)


ECP5 = Pll(
    name="EHXPLLL",
    input_hz=(8e6, 400e6),
    compare_hz=(10e6, 400e6),
    vco_hz=(400e6, 800e6),
    output_hz=(3.125e6, 400e6),
    input_divisors=range(1, 129),
    multipliers=range(1, 129),
    output_divisors=range(1, 129),
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
)
"""Lattice iCE40 (FPGA-DS-02029, sysCLOCK PLL timing), the clock from anywhere."""

ICE40_PAD = replace(ICE40_CORE, name="SB_PLL40_PAD")
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
)
"""Xilinx Artix-7, speed grade 1 (DS181)."""

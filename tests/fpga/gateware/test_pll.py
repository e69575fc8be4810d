"""PLL settings: within every limit, and nearest below."""

import pytest

from fpga.pll import ARTIX7, ECP5, GW1N9, ICE40_CORE, ICE40_PAD
from golden.errors import GossetError

PLLS = pytest.mark.parametrize("pll", [ECP5, ICE40_CORE, ICE40_PAD, GW1N9, ARTIX7], ids=lambda pll: pll.name)
BOARD_HZ = (12_000_000, 25_000_000, 27_000_000, 48_000_000, 100_000_000)


def limits_hold(found):
    pll = found.pll
    checks = (
        (found.input_hz, pll.input_hz),
        (found.compare_hz, pll.compare_hz),
        (found.vco_hz, pll.vco_hz),
        (found.output_hz, pll.output_hz),
    )
    return (
        all(least < hz * 0.9999 < hz * 1.0001 <= most for hz, (least, most) in checks)
        and found.input_divisor in pll.input_divisors
        and found.multiplier in pll.multipliers
        and found.output_divisor in pll.output_divisors
    )


@PLLS
def test_settings_are_legal_and_not_above(pll):
    found = refused = 0
    for input_hz in BOARD_HZ:
        for output_hz in (*range(10_000_000, 130_000_000, 13_700_000), 400_000_000, 700_000_000):
            try:
                settings = pll.find(input_hz, output_hz)
            except GossetError as error:
                assert str(error).endswith(".") and pll.name in str(error)
                refused += 1
                continue
            assert limits_hold(settings)
            assert 0.99 * output_hz <= settings.output_hz <= output_hz
            found += 1
    assert found > 10 and refused > 0


@PLLS
def test_nearest_below_is_the_best_of_all(pll):
    for input_hz in BOARD_HZ:
        outputs = {settings.output_hz for settings in pll.settings(input_hz)}
        for output_hz in (24_000_000, 33_333_333, 81_000_000):
            best = max((hz for hz in outputs if hz <= output_hz), default=0)
            if best >= 0.99 * output_hz:
                assert pll.find(input_hz, output_hz).output_hz == best


@pytest.mark.parametrize(
    ("pll", "input_hz", "output_hz", "divisors"),
    [
        (ICE40_PAD, 12_000_000, 24_000_000, (1, 64, 32)),  # what icepll gives: DIVR 0, DIVF 63, DIVQ 5
        (ICE40_CORE, 12_000_000, 48_000_000, (1, 64, 16)),
        (GW1N9, 27_000_000, 81_000_000, (1, 3, 8)),
        (ARTIX7, 100_000_000, 100_000_000, (1, 12, 12)),
        (ECP5, 25_000_000, 75_000_000, (1, 24, 8)),
    ],
)
def test_what_the_vendors_give(pll, input_hz, output_hz, divisors):
    found = pll.find(input_hz, output_hz)
    assert (found.input_divisor, found.multiplier, found.output_divisor) == divisors
    assert found.output_hz == output_hz


def test_out_of_reach_is_told():
    with pytest.raises(GossetError, match=r"SB_PLL40_PAD cannot make 12 MHz of 12 MHz within its limits\."):
        ICE40_PAD.find(12_000_000, 12_000_000)
    with pytest.raises(GossetError, match=r"the nearest below is 268.75 MHz"):
        ICE40_PAD.find(25_000_000, 300_000_000)
    with pytest.raises(GossetError, match="cannot make"):
        ECP5.find(1_000_000, 50_000_000)

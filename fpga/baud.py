"""The rate of the serial line: clock cycles of a bit."""

from golden.errors import GossetError

LEAST_DIVISOR = 4
"""Cycles of a bit below which its middle is not found well enough."""

MOST_DEVIATION = 0.02
"""How far the rate may be from the nominal one: a byte's last bit is sampled 9.5 bits after its edge, and both ends may
err."""


def divisor(clock_hz: float, baud: int) -> int:
    """Clock cycles of a bit.

    Raises
    ------
    GossetError
        If no whole number comes near enough to the rate.
    """
    cycles = round(clock_hz / baud)
    if cycles < LEAST_DIVISOR or abs(clock_hz / cycles / baud - 1) > MOST_DEVIATION:
        raise GossetError(
            f"A clock of {clock_hz / 1e6:g} MHz cannot make {baud} baud: a bit must be a whole number of cycles, at "
            f"least {LEAST_DIVISOR}, within {MOST_DEVIATION:.0%}."
        )
    return cycles

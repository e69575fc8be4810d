"""The constants that stand for 1/β in the front end: numbers that shifts and few additions make."""

from functools import cache
from typing import NamedTuple

INVERSE_BITS = 12
"""Fraction bits of the constants that stand for 1/β."""

ADDITIONS = 2
"""Additions that a multiplication by such a constant may take. It is then within 0.4 % of 1/β: 85/256 for 1/3, 51/256
for 1/5, 585/4096 for 1/7; each 0.4 % cost 0.02 dB at q = 32, and nothing that could be measured at q = 16."""


class Step(NamedTuple):
    """How an odd number n > 1 is made from a smaller odd one: n = before·2^shift + sign·(before if scaled else 1)."""

    before: int
    shift: int
    sign: int
    scaled: bool


@cache
def steps(number: int) -> tuple[Step, ...]:
    """The fewest steps that lead from 1 to an odd number, the last one first; a step is a shift and an addition."""
    if number == 1:
        return ()
    ways = []
    for sign in (1, -1):
        rest = number - sign
        shift = (rest & -rest).bit_length() - 1
        ways.append(Step(rest >> shift, shift, sign, False))
        for shift in range(1, number.bit_length() + 1):
            factor = (1 << shift) + sign
            if factor > 1 and number % factor == 0:
                ways.append(Step(number // factor, shift, sign, True))
    return min(((way, *steps(way.before)) for way in ways), key=lambda path: (len(path), path))


@cache
def inverse(beta: int) -> int:
    """c of a β: of the integers that shifts and ADDITIONS additions make, the one nearest to 2^INVERSE_BITS/β."""

    def additions(number: int) -> int:
        return len(steps(number // (number & -number)))

    numbers = (c for c in range(1, (1 << INVERSE_BITS) + 1) if additions(c) <= ADDITIONS)
    return min(numbers, key=lambda c: abs(c * beta - (1 << INVERSE_BITS)))

"""Comparing with golden, and saying what differs."""

from collections.abc import Sequence


class Mismatch(AssertionError):
    """The hardware computed something else than golden."""


class RuleBroken(AssertionError):
    """A stream broke a rule."""


def shown(value: int, width: int) -> str:
    """A number in decimal and, as `width` bits, in hexadecimal."""
    return f"{value} (0x{value & ((1 << width) - 1):0{-(-width // 4)}x})"


def compare(what: str, place: str, expected: Sequence[int], actual: Sequence[int], width: int) -> None:
    """Raises Mismatch at the first difference, such as "tile 3, row 1, column 2: expected ..., got ...".

    Parameters
    ----------
    what : str
        What is compared.
    place : str
        What an index into the two sequences is, such as "column".
    expected, actual : sequences of int, equally long
    width : int
        Bits of an element.
    """
    wrong = [i for i, (a, b) in enumerate(zip(expected, actual, strict=True)) if a != b]
    if wrong:
        i = wrong[0]
        more = f"; {len(wrong)} of {len(expected)} differ" if len(wrong) > 1 else ""
        raise Mismatch(
            f"{what}, {place} {i}: expected {shown(expected[i], width)}, got {shown(actual[i], width)}{more}."
        )


def same(what: str, expected: int, actual: int, width: int) -> None:
    """Raises Mismatch if two numbers differ."""
    if expected != actual:
        raise Mismatch(f"{what}: expected {shown(expected, width)}, got {shown(actual, width)}.")

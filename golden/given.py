"""Single values that users give: numbers and choices of files, command lines and calls, checked in one place."""

import operator
from typing import Any

from golden.errors import GossetError

SHOWN = 60
"""Characters of a wrong value that a message shows."""


def shown(value: object) -> str:
    """A value as messages show it, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or what is nested as deep
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def is_integer(value: object) -> bool:
    """Whether a value is an integer, of Python or NumPy: not one that is written as 16.0, and not a truth value."""
    if isinstance(value, bool) or getattr(value, "ndim", 0) != 0:
        return False
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def integer(value: Any, name: str, least: int, most: int) -> int:
    """An integer in a range, as Python's own.

    Raises
    ------
    GossetError
        If it is none, or out of the range; the sentence begins with its name.
    """
    if not is_integer(value) or not least <= operator.index(value) <= most:
        kind = "" if is_integer(value) else ", which is no integer"
        raise GossetError(f"{name} must be from {least} to {most}, but it is {shown(value)}{kind}.")
    return operator.index(value)


def table(value: Any, name: str, fields: tuple[str, ...]) -> dict[str, Any]:
    """A table of a file: named fields, none of them unknown.

    Raises
    ------
    GossetError
        If it is no table, or has a field that is not among those.
    """
    whole = f"a table of {' and '.join(filter(None, (', '.join(fields[:-1]), fields[-1])))}"
    if not isinstance(value, dict):
        raise GossetError(f"{name} is {whole}, not {shown(value)}.")
    if unknown := [field for field in value if field not in fields]:
        raise GossetError(f"{name} has no field {shown(unknown[0])}: it is {whole}.")
    return dict(value)

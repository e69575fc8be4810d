"""The functions of liberty cells: `!`, `'`, `*` or a space, `+`, `^` over names of pins."""

import re
from collections.abc import Mapping
from functools import cache
from types import CodeType
from typing import Any


def expression(function: str) -> str:
    """A liberty function in Verilog, which Python reads as well but for `!`."""
    text = re.sub(r"(\w+|\([^()]*\))\s*'", r"(!\1)", function)
    text = re.sub(r"([\w)])\s+(?=[\w(!])", r"\1 & ", text.strip())
    return text.replace("*", "&").replace("+", "|").replace("!", "~")


def evaluate(text: str, values: Mapping[str, Any]) -> Any:
    """The value of a liberty function, bit for bit of integers or of arrays of bits: many states at once."""
    return eval(_compiled(text), {"__builtins__": {}}, values)


@cache
def _compiled(text: str) -> CodeType:
    return compile(expression(text), "liberty", "eval")


def same(function: str, pins: list[str], wanted: str) -> bool:
    """Whether a function of pins is the wanted one of A, B, …, for all states at once."""
    states = 1 << len(pins)
    columns = [sum(((k >> i) & 1) << k for k in range(states)) for i in range(len(pins))]
    given = evaluate(function, dict(zip(pins, columns, strict=True)))
    return not (given ^ evaluate(wanted, dict(zip("ABCD", columns, strict=False)))) & ((1 << states) - 1)

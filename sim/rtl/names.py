"""Names of what a design has, and what is said of one that it does not have."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from golden.errors import GossetError

__all__ = ["UnknownName", "lookup"]

_Value = TypeVar("_Value")


class UnknownName(GossetError, AttributeError):
    """A design has no port, stream or signal of that name; the text offers those nearest to it."""


def lookup(kind: str, owner: str, name: str, known: Mapping[str, _Value]) -> _Value:
    """Returns `known[name]`; else raises UnknownName, which says that `owner` has no such `kind`."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:8]
    raise UnknownName(f"{owner} has no {kind} {name!r}; did you mean {', '.join(near)}?")

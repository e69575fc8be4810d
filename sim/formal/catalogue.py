"""All claims, and which of them are meant."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from golden.errors import GossetError
from sim.formal import (
    arrays,
    buses,
    choosing,
    decoding,
    encoding,
    ends,
    engine,
    jobs,
    lean,
    nearest,
    order,
    plans,
    products,
    queues,
    rotation,
    stationary,
    streams,
)
from sim.formal.arithmetic import Implication
from sim.formal.claim import Claim

GROUPS: dict[str, Callable[[], Sequence[Claim | Implication]]] = {
    "Decoders": decoding.claims,
    "Cells": lambda: [*products.claims(), *lean.claims(), *stationary.claims()],
    "Arrays": arrays.claims,
    "Rules of streams": streams.claims,
    "Queues": queues.claims,
    "Nothing lost, doubled or reordered": order.claims,
    "Plans carried out": plans.claims,
    "AXI": buses.claims,
    "Nothing comes to a stop": lambda: [*ends.claims(), *engine.claims(), *jobs.claims()],
    "The nearest point": nearest.claims,
    "Encoder": lambda: [*encoding.claims(), *rotation.claims(), *choosing.claims()],
}
"""What makes the claims, by what they are about; other rooms add theirs."""


def all_claims() -> dict[str, list[Claim | Implication]]:
    """The claims of each group."""
    return {group: list(make()) for group, make in GROUPS.items()}


def chosen(patterns: list[str]) -> list[Claim | Implication]:
    """The claims whose name is given, or has a pattern's shape, such as `decoder_q16_*`; all if none is given.

    Raises
    ------
    GossetError
        If there is no claim of such a name.
    """
    claims = [claim for group in all_claims().values() for claim in group]
    for pattern in patterns:
        if not any(fnmatchcase(claim.name, pattern) for claim in claims):
            raise GossetError(f"No claim is called {pattern!r}: gosset formal --list names all of them.")
    return [claim for claim in claims if not patterns or any(fnmatchcase(claim.name, p) for p in patterns)]

"""Every way against lattice packing, at equal bits and at equal SQNR: interpolated along families of rates."""

from collections.abc import Iterable
from typing import Any

from sim.compare.records import Record, between

EQUAL = {"bits": "bits", "SQNR": "sqnr_db"}
"""What may be equal, and the figure that says it."""


def comparisons(records: Iterable[Record]) -> list[dict[str, Any]]:
    """For each way that is not ours, ours at its bits and at its SQNR; for each of ours, each family at its.

    Returns
    -------
    One mapping per pair: where it is, what is equal, whose figures are interpolated, figures `ours` and `theirs`, and
    `ratio`, ours over theirs. Where a family does not reach so far there is no pair.
    """
    places: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        places.setdefault(record.where, []).append(record)
    found: list[dict[str, Any]] = []
    for some in places.values():
        mine = _families(record for record in some if record.ours)
        others = _families(record for record in some if not record.ours)
        for family, members in mine.items():
            for record in (record for members in others.values() for record in members):
                found += _pairs(record, record.way, family, members, theirs=True)
            for other, rates in others.items():
                if len(rates) > 1:
                    for record in members:
                        found += _pairs(record, record.way, other, rates, theirs=False)
    return found


def _families(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.family or record.way, []).append(record)
    return found


def _pairs(fixed: Record, name: str, family: str, rates: list[Record], *, theirs: bool) -> list[dict[str, Any]]:
    """A record as it is, and a family interpolated to it; `theirs` if the record is not ours."""
    found = []
    for what, key in EQUAL.items():
        at = fixed.value(key)
        moved = between(rates, key, at) if at is not None else None
        if moved is None:
            continue
        here = {key: value for key in moved if (value := fixed.value(key)) is not None}
        ours, other = (moved, here) if theirs else (here, moved)
        ratio = {key: ours[key] / other[key] for key in ours if key in other and key != "sqnr_db" and other[key] > 0}
        found.append(
            {
                "network": fixed.network,
                "layer": fixed.layer,
                "m": fixed.m,
                "platform": fixed.platform,
                "equal": what,
                "at": at,
                "interpolated": "ours" if theirs else "theirs",
                "ours_name": family if theirs else name,
                "theirs_name": name if theirs else family,
                "ours": ours,
                "theirs": other,
                "ratio": ratio,
            }
        )
    return found

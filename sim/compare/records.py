"""What is known of one product computed in one way: figures, each marked by how it is known."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby, pairwise
from typing import Any, Literal, get_args

from golden.errors import GossetError

Kind = Literal["measured", "modelled", "assumed"]
"""Measured: by running it. Modelled: the exact cycle model, and units that were synthesised and simulated. Assumed:
with a number that nobody here measured."""

UNITS = {
    "time_s": "s",
    "energy_j": "J",
    "core_j": "J",
    "bytes": "B",
    "area_mm2": "mm²",
    "luts": "LUTs",
    "sqnr_db": "dB",
    "minilm_db": "dB",
}
"""Figures that a record may have. Energy is with memory outside, and a processor's also without. SQNR is the product's:
of Gaussian matrices, and of a matrix of MiniLM."""


@dataclass(frozen=True)
class Figure:
    """A number, and what it may really be."""

    value: float
    kind: Kind
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Record:
    """One product.

    Attributes
    ----------
    network, layer : str
    m, n, k : int
    platform : str
        A processor with its threads, an array in a technology, a board, or a GPU.
    way, family : str
        Ways of one family differ by their rates, so that one between two of them can be thought of.
    bits : float
        Per weight.
    figures : mapping
        By the names of `UNITS`.
    ours : bool
        Whether operands are lattice-packed.
    notes : tuple of str
    """

    network: str
    layer: str
    m: int
    n: int
    k: int
    platform: str
    way: str
    family: str
    bits: float
    figures: Mapping[str, Figure]
    ours: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k

    @property
    def where(self) -> tuple[Any, ...]:
        """What only rivals of each other share."""
        return self.network, self.layer, self.m, self.platform

    def value(self, name: str) -> float | None:
        """A figure without its kind; `bits` as well."""
        if name == "bits":
            return self.bits
        return self.figures[name].value if name in self.figures else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = asdict(self)
        for figure in values["figures"].values():
            for side in ("low", "high"):
                if figure[side] is None:
                    del figure[side]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Record":
        """Of what `as_dict` gave.

        Raises
        ------
        GossetError
            If a figure is of no known name or kind.
        """
        figures = {name: Figure(**figure) for name, figure in values["figures"].items()}
        for name, figure in figures.items():
            if name not in UNITS or figure.kind not in get_args(Kind):
                raise GossetError(f"A record has a figure {name!r} of kind {figure.kind!r}, which there is not.")
        return cls(**{**values, "figures": figures, "notes": tuple(values.get("notes", ()))})


RATIOS = ("bits", "time_s", "energy_j", "area_mm2", "luts", "sqnr_db")
"""Figures that are interpolated."""


def between(family: Iterable[Record], key: str, at: float) -> dict[str, float] | None:
    """The figures of a way of a family that had this much of `key`: on the line between the two next to it.

    None where the family does not reach so far, or lacks the figure.
    """
    known = [(value, record) for record in family if (value := record.value(key)) is not None]
    known.sort(key=lambda pair: pair[0])
    for (low, first), (high, second) in pairwise(_distinct(known)):
        if low <= at <= high:
            share = (at - low) / (high - low)
            found: dict[str, float] = {}
            for name in RATIOS:
                a, b = first.value(name), second.value(name)
                if a is not None and b is not None:
                    found[name] = a + share * (b - a)
            return found
    return None


def _distinct(known: list[tuple[float, Record]]) -> list[tuple[float, Record]]:
    """One for each value: the fastest."""
    kept: list[tuple[float, Record]] = []
    for _, some in groupby(known, key=lambda pair: pair[0]):
        kept.append(min(some, key=lambda pair: pair[1].value("time_s") or 0.0))
    return kept

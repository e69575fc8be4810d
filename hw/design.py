"""The design point: everything that describes one machine, in one place."""

import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from golden.errors import GossetError
from golden.format import Format

ACC_BITS = 32
"""Bits of an accumulator."""

MAX_EDGE = 32
"""The most rows or columns of an array."""


@dataclass(frozen=True, kw_only=True)
class DesignPoint:
    """One machine.

    Parameters
    ----------
    name : str
        Names the files and the Verilog module `gosset_<name>`.
    rows, cols : int
        Edges of the array, 1 to 32: rows·cols cells of eight lanes.
    format : Format
        The packed format of both operands.
    drain_rows : int
        Rows of finished accumulators that the output queue holds: a power of two, at least 4 and at least `rows`.
        Room is set aside when the last beat of a tile is taken, and the last beat waits while there is none: tiles
        shorter than the latency need room for several.

    Raises
    ------
    GossetError
        If a parameter is out of range.
    """

    name: str
    rows: int
    cols: int
    format: Format = field(default_factory=Format)
    drain_rows: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise GossetError(f"The name of a design becomes a Verilog identifier, which {self.name!r} cannot be.")
        for edge in ("rows", "cols"):
            value = getattr(self, edge)
            if not isinstance(value, int) or not 1 <= value <= MAX_EDGE:
                raise GossetError(f"An array has 1 to {MAX_EDGE} {edge}, but {value!r} was asked for.")
        depth = self.drain_rows
        if not isinstance(depth, int) or depth < max(4, self.rows) or depth & (depth - 1):
            raise GossetError(
                f"drain_rows must be a power of two, at least 4 and at least rows = {self.rows}, but it is {depth!r}."
            )

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle when every cell works."""
        return 8 * self.rows * self.cols

    @property
    def module(self) -> str:
        """Name of the Verilog module."""
        return f"gosset_{self.name}"

    def with_format(self, format: Format) -> "DesignPoint":
        """The same machine for another packed format, with q in its name; itself if it is the same format."""
        if format == self.format:
            return self
        return replace(self, name=f"{self.name}_q{format.q}", format=format)

    def as_dict(self) -> dict[str, Any]:
        """The design point as JSON and TOML write it."""
        fields = asdict(self)
        fields["format"] = {"q": self.format.q, "betas": list(self.format.betas)}
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "DesignPoint":
        """The inverse of `as_dict`; fields with defaults may be left out.

        Raises
        ------
        GossetError
            If a field is unknown, missing or out of range.
        """
        fields = dict(fields)
        known = cls.__dataclass_fields__
        if unknown := sorted(set(fields) - set(known)):
            raise GossetError(f"A design point has no field {unknown[0]!r}; its fields are {', '.join(known)}.")
        if missing := [name for name in ("name", "rows", "cols") if name not in fields]:
            raise GossetError(f"A design point needs the field {missing[0]!r}.")
        packed = fields.pop("format", {})
        if not isinstance(packed, dict) or set(packed) - {"q", "betas"}:
            raise GossetError(f"The format of a design point is a table of q and betas, not {packed!r}.")
        if "betas" in packed:
            packed = packed | {"betas": tuple(packed["betas"])}
        return cls(**fields, format=Format(**packed))

    @classmethod
    def load(cls, design: str) -> "DesignPoint":
        """The preset of that name, or the design point that a TOML file of that path describes.

        Raises
        ------
        GossetError
            If there is neither, or the file describes no design point.
        """
        if design in PRESETS:
            return PRESETS[design]
        path = Path(design)
        if path.suffix != ".toml":
            raise GossetError(
                f"No design is called {design!r}; give {', '.join(PRESETS)}, or the path of a .toml file."
            )
        try:
            return cls.from_dict(tomllib.loads(path.read_text()))
        except OSError as error:
            raise GossetError(f"Cannot read the design file {design}: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
            raise GossetError(f"{design} does not describe a design point: {error}.") from error


PRESETS = {
    design.name: design
    for design in (
        DesignPoint(name="tiny", rows=1, cols=1),
        DesignPoint(name="small", rows=4, cols=4),
        DesignPoint(name="medium", rows=8, cols=8),
    )
}
"""The named design points."""

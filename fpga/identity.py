"""What a board says of itself when it is asked."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fpga.link import MAX_PAYLOAD, PROTOCOL
from fpga.memory import MemoryShape
from golden.errors import GossetError
from hw.design import DesignPoint

if TYPE_CHECKING:
    from fpga.boards import Board

MAX_IDENTITY = MAX_PAYLOAD - 1
"""The most bytes of an identity: a frame has a status as well."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The identity of a board: a JSON object in UTF-8, with these fields and `protocol`, the version of `fpga.link`.

    Parameters
    ----------
    board : str
    clock_hz : int
    memory : MemoryShape
        Only bits and words are told.
    design : DesignPoint
    gosset : str
        The version that made it.

    Raises
    ------
    GossetError
        If the design has a front end.
    """

    board: str
    clock_hz: int
    memory: MemoryShape
    design: DesignPoint
    gosset: str = version("gosset")

    def __post_init__(self) -> None:
        if self.design.front_end:
            raise GossetError(f"Design {self.design.name} has a front end, which boards have no use for: leave it out.")

    @classmethod
    def of(cls, board: "Board", design: DesignPoint | None = None) -> "Identity":
        """The identity of a board, with its own design if no other is given."""
        clock_hz = int(board.clock.output_hz)
        return cls(board=board.name, clock_hz=clock_hz, memory=board.memory, design=design or board.design)

    def encode(self) -> bytes:
        """The bytes that IDENTIFY gives.

        Raises
        ------
        GossetError
            If they are more than a frame carries.
        """
        encoded = json.dumps(self.as_dict(), separators=(",", ":")).encode()
        if len(encoded) > MAX_IDENTITY:
            raise GossetError(
                f"A board's identity has {MAX_IDENTITY} bytes at most, but that of {self.design.name} on {self.board} "
                f"has {len(encoded)}: give the design a shorter name."
            )
        return encoded

    def as_dict(self) -> dict[str, Any]:
        """The identity as JSON writes it."""
        fields = {name: getattr(self, name) for name in ("gosset", "board", "clock_hz")}
        memory = {name: value for name, value in asdict(self.memory).items() if name in ("bits", "words")}
        return {"protocol": PROTOCOL, **fields, "memory": memory, "design": self.design.as_dict()}

    @classmethod
    def decode(cls, encoded: bytes) -> "Identity":
        """The inverse of `encode`.

        Raises
        ------
        GossetError
            If it is no identity, or of another version of the protocol.
        """
        try:
            fields = dict(json.loads(encoded))
            protocol = fields.pop("protocol")
        except (ValueError, TypeError, KeyError) as error:
            raise GossetError(f"What the board says of itself is not understood: {encoded[:60]!r}.") from error
        if protocol != PROTOCOL:
            raise GossetError(
                f"The board speaks version {protocol} of the protocol, but this gosset version {PROTOCOL}: build its "
                "bitstream with this gosset, or take the gosset that built it."
            )
        try:
            memory, design = MemoryShape(**fields.pop("memory")), DesignPoint.from_dict(fields.pop("design"))
            return cls(memory=memory, design=design, **fields)
        except (TypeError, KeyError, AttributeError, GossetError) as error:
            raise GossetError(f"What the board says of itself is not understood: {error}.") from error

"""The ports of a design: signals, streams of them, and ways to pause."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from cocotb.handle import HierarchyObject, LogicArrayObject, LogicObject

Beat = dict[str, int]
"""A value for each field of a payload."""

PAUSES = ("never", "random", "bursts")
"""Names of the ways to pause."""


def pauses(name: str, rng: np.random.Generator) -> Iterator[bool]:
    """Whether to pause, cycle by cycle: never, in half of the cycles, or for a long while now and then."""
    while name == "never":
        yield False
    while name == "random":
        yield from (rng.random(64) < 0.5).tolist()
    while True:
        yield from [False] * int(rng.geometric(1 / 12))
        yield from [True] * int(rng.geometric(1 / 12))


def noise(width: int, rng: np.random.Generator) -> int:
    """A random word."""
    return int.from_bytes(rng.bit_generator.random_raw(-(-width // 64)).tobytes(), "little") & ((1 << width) - 1)


def signal(dut: HierarchyObject, name: str) -> LogicObject | LogicArrayObject:
    """A port of the design."""
    return cast("LogicObject | LogicArrayObject", getattr(dut, name))


class Stream:
    """The ports of a stream.

    Parameters
    ----------
    dut : HierarchyObject
    description : dict
        The stream's entry in the description of the Verilog.
    """

    def __init__(self, dut: HierarchyObject, description: dict[str, Any]):
        self.name: str = description["name"]
        self.valid = signal(dut, f"{self.name}_valid")
        self.ready = None if description["always_ready"] else signal(dut, f"{self.name}_ready")
        self.fields = {port.removeprefix(f"{self.name}_"): signal(dut, port) for port in description["payload"]}
        self.widths = {name: len(handle) for name, handle in self.fields.items()}

    @property
    def is_valid(self) -> bool:
        """Whether a beat is on offer."""
        return bool(int(self.valid.value))

    @property
    def is_ready(self) -> bool:
        """Whether a beat would be taken."""
        return self.ready is None or bool(int(self.ready.value))

    @property
    def payload(self) -> Beat:
        """The payload, valid or not."""
        return {name: int(handle.value) for name, handle in self.fields.items()}

"""The interface of a design, read from the JSON file that the generator writes beside the Verilog."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from golden.errors import GossetError
from sim.rtl.layouts import Field, Layout
from sim.rtl.library import Port

__all__ = ["Interface"]


@dataclass(frozen=True, slots=True)
class Interface:
    """What a design shows to the outside.

    Attributes:
        top: Name of the top module.
        clock: Name of the clock port, if there is one.
        reset: Name of the reset port, if there is one.
        ports: By name.
        layouts: Of each stream, by name.
    """

    top: str
    clock: str | None
    reset: str | None
    ports: dict[str, Port]
    layouts: dict[str, Layout]

    @classmethod
    def beside(cls, verilog: Path) -> Self:
        """Reads the JSON file beside a Verilog file.

        Raises:
            GossetError: It is missing, or does not describe a design.
        """
        path = verilog.with_suffix(".json")
        if not path.exists():
            raise GossetError(f"{path} is missing: the description that the generator writes beside {verilog.name}.")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            ports = {port["name"]: Port(port["name"], port["direction"], port["width"]) for port in data["ports"]}
            layouts = {stream["name"]: _layout(stream, ports) for stream in data["streams"]}
            return cls(data["top"], data["clock"], data["reset"], ports, layouts)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise GossetError(f"{path} does not describe a design: {error!r}.") from error


def _layout(stream: Mapping[str, Any], ports: Mapping[str, Port]) -> Layout:
    fields: list[Field] = []
    offset = 0
    for name in stream["payload"]:
        words = (ports[name].width + 31) // 32
        fields.append(Field(name, offset, words, ports[name].width))
        offset += words
    name, always_ready = stream["name"], bool(stream.get("always_ready", False))
    for handshake in [f"{name}_valid"] if always_ready else [f"{name}_valid", f"{name}_ready"]:
        if ports[handshake].width != 1:
            raise TypeError(f"{handshake} is not one bit wide")
    return Layout(name, stream["direction"] == "in", always_ready, tuple(fields))

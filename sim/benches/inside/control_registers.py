"""What registers behind AXI4-Lite do, cycle by cycle, by the model that those of `hw.axi.control` are held to."""

from collections.abc import Callable, Mapping
from typing import Any

from hw.axi.ports import OKAY, SLVERR
from hw.registers import Register, RegisterMap

Pins = Mapping[str, Any]
"""What comes in, by name: numbers, and structures as fields."""


class RegistersModel:
    """A register map behind AXI4-Lite, one access of either kind at a time.

    A write does what it does in the cycle after the one in which its register is known, which is the one after both of
    its parts are there, and is answered a cycle later. What a read returns is looked up in the cycle after its address
    came, and is on offer two cycles later.
    """

    def __init__(self, map: RegisterMap):
        self.map = map
        self.at = {register.offset // 4: register for register in map.registers}
        self.members = {register.name: [(f.member(register), f) for f in register.fields] for register in map.registers}
        every = [field for fields in self.members.values() for field in fields]
        self.first = {name: field.reset for name, field in every if field.access != "RO"}
        self.brief, self.kept = ([name for name, field in every if field.access == kind] for kind in ("WO", "W1C"))
        self.reset()

    def reset(self) -> None:
        """Nothing is under way, and all fields are as they are at first."""
        self.held = dict(self.first)
        self.address: int | None = None
        self.data: tuple[int, int] | None = None
        self.decoded, self.written, self.looked = False, False, False
        self.reply, self.answer = OKAY, OKAY
        self.wanted: int | None = None
        self.entry = self.read = (0, SLVERR)
        self.answers = {"b": False, "r": False}

    def ready(self) -> dict[str, bool]:
        """By channel."""
        return {"aw": self.address is None, "w": self.data is None, "ar": self.wanted is None}

    def rests(self, pins: Pins) -> bool:
        """Whether no access is under way and none begins."""
        begins = any(pins[f"{name}valid"] for name in ("aw", "w", "ar"))
        under_way = not all(self.ready().values()) or any(self.answers.values())
        return not (begins or under_way or self.decoded or self.written or self.looked)

    def word(self, register: Register, told: Mapping[str, int]) -> int:
        """What a register reads as; `told` has the fields that are read only."""
        word = 0
        for field in register.fields:
            name = field.member(register)
            if field.access != "WO":
                value = field.value if field.value is not None else self.held.get(name, told.get(name, 0))
                word |= value << field.low
        return word

    def writes(self, pins: Pins, sets: Mapping[str, int]) -> None:
        """A cycle of the side that writes; `sets` has the bits of fields that are cleared by ones, by name."""
        write = self.decoded and self.data is not None and not self.written and not self.answers["b"]
        here = self.at.get(self.address) if write and self.address is not None else None
        self._hold(here, *(self.data or (0, 0)), sets)
        self.answers["b"] = self.written or (self.answers["b"] and not pins["bready"])
        if self.written:
            self.answer = self.reply
        if write:
            self.reply = OKAY if here and here.writable else SLVERR
        self.decoded, self.written = self.address is not None and not write, write
        if write:
            self.address = self.data = None
        else:
            if pins["awvalid"] and self.address is None:
                self.address = pins["awaddr"] >> 2
            if pins["wvalid"] and self.data is None:
                self.data = pins["wdata"], sum(0xFF << 8 * i for i in range(4) if pins["wstrb"] >> i & 1)

    def _hold(self, here: Register | None, data: int, mask: int, sets: Mapping[str, int]) -> None:
        """What becomes of the fields, if those of a register, or of none, are written."""
        for name in self.brief:
            self.held[name] = 0
        for name, field in self.members[here.name] if here else ():
            every = (1 << field.bits) - 1
            new, chosen = data >> field.low & every, mask >> field.low & every
            if field.access == "RW":
                self.held[name] = (self.held[name] & ~chosen) | (new & chosen)
            elif field.access == "WO":
                self.held[name] = new & chosen
            elif field.access == "W1C":
                self.held[name] &= ~(new & chosen)
        for name in self.kept:
            self.held[name] |= sets.get(name, 0)

    def reads(self, pins: Pins, told: Callable[[], Mapping[str, int]]) -> None:
        """A cycle of the side that reads, first; `told` gives the fields that are read only, by name."""
        register, has = self.at.get(-1 if self.wanted is None else self.wanted), self.wanted is not None
        entry = (0, SLVERR) if register is None else (self.word(register, told()), OKAY)
        comes = self.looked and has and not self.answers["r"]
        if not self.answers["r"]:
            self.read = self.entry
        self.answers["r"] = comes or (self.answers["r"] and not pins["rready"])
        self.entry, self.looked = entry, has
        if comes:
            self.wanted = None
        elif not has and pins["arvalid"]:
            self.wanted = pins["araddr"] >> 2

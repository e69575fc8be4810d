"""The register map: one declaration that hardware, C header, JSON and documentation are made from."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from golden.errors import GossetError

Access = Literal["RO", "RW", "W1C", "WO"]
"""Read only; read and write; read, and write ones to clear; write ones for a moment, read as zero."""

WORD_BITS = 32


@dataclass(frozen=True)
class Field:
    """Some bits of a register.

    Attributes
    ----------
    name : str
        "value" for one that is all there is to its register.
    low, bits : int
        Place and width.
    access : str
    description : str
    reset : int
        What a writable field holds after reset.
    value : int, optional
        What a field of access RO always reads as.
    """

    name: str
    low: int
    bits: int
    access: Access
    description: str
    reset: int = 0
    value: int | None = None

    def member(self, register: "Register") -> str:
        """Its name among the ports of the hardware."""
        return register.name if self.name == "value" else f"{register.name}_{self.name}"


@dataclass(frozen=True)
class Register:
    """A register of 32 bits.

    Attributes
    ----------
    name : str
    offset : int
        In bytes.
    description : str
    fields : tuple of Field
        By rising bit.

    Raises
    ------
    GossetError
        If fields overlap or do not fit.
    """

    name: str
    offset: int
    description: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        free = 0
        for field in self.fields:
            if field.low < free or field.bits < 1:
                raise GossetError(f"Field {field.name} of register {self.name} overlaps the one before it.")
            free = field.low + field.bits
        if free > WORD_BITS or self.offset % 4:
            raise GossetError(f"Register {self.name} is no aligned word of {WORD_BITS} bits.")

    @property
    def writable(self) -> bool:
        """Whether a write can do anything."""
        return any(field.access != "RO" for field in self.fields)

    @property
    def reset(self) -> int:
        """The word after reset, bits that depend on the hardware taken as zero."""
        return sum((field.reset if field.value is None else field.value) << field.low for field in self.fields)


@dataclass(frozen=True)
class RegisterMap:
    """The registers of a block.

    Attributes
    ----------
    name : str
        The module; names in C begin with it.
    registers : tuple of Register
        By rising offset.

    Raises
    ------
    GossetError
        If two registers share a name or an offset, or offsets do not rise.
    """

    name: str
    registers: tuple[Register, ...]

    def __post_init__(self) -> None:
        for what in ("name", "offset"):
            seen = [getattr(register, what) for register in self.registers]
            if len(set(seen)) < len(seen):
                raise GossetError(f"Two registers of {self.name} have the same {what}.")
        for before, after in pairwise(self.registers):
            if before.offset > after.offset:
                raise GossetError(f"Register {after.name} of {self.name} comes after one of a higher offset.")

    @classmethod
    def from_dict(cls, name: str, registers: list[dict[str, Any]]) -> "RegisterMap":
        """The inverse of `as_dict`."""
        made = (
            Register(**(register | {"fields": tuple(Field(**field) for field in register["fields"])}))
            for register in registers
        )
        return cls(name, tuple(made))

    @property
    def address_bits(self) -> int:
        """Bits of an address within the block: at least those of a page of 4 KiB, so that each can have its own."""
        return max(12, max(register.offset for register in self.registers).bit_length())

    @cached_property
    def by_name(self) -> dict[str, Register]:
        """The registers by name."""
        return {register.name: register for register in self.registers}

    def offset(self, name: str) -> int:
        """Where a register is.

        Raises
        ------
        GossetError
            If there is none of that name.
        """
        return self._register(name).offset

    def pack(self, name: str, **values: int) -> int:
        """The word of a register with these fields, the others zero.

        Raises
        ------
        GossetError
            If there is no such register or field, or a value does not fit.
        """
        fields = {field.name: field for field in self._register(name).fields}
        word = 0
        for key, value in values.items():
            if key not in fields:
                raise GossetError(f"Register {name} has no field {key!r}; it has {', '.join(fields)}.")
            if not 0 <= value < 1 << fields[key].bits:
                raise GossetError(f"Field {key} of register {name} has {fields[key].bits} bits; {value} does not fit.")
            word |= value << fields[key].low
        return word

    def unpack(self, name: str, word: int) -> dict[str, int]:
        """The fields of a word that was read from a register.

        Raises
        ------
        GossetError
            If there is no such register.
        """
        fields = self._register(name).fields
        return {field.name: word >> field.low & ((1 << field.bits) - 1) for field in fields}

    def to_json(self) -> str:
        """The map as JSON: name, address bits, and the registers with their fields."""
        content = {"name": self.name, "address_bits": self.address_bits, "registers": self.as_dict()}
        return json.dumps(content, indent=2) + "\n"

    def as_dict(self) -> list[dict[str, Any]]:
        """The registers as JSON has them."""
        return [asdict(register) for register in self.registers]

    def header(self) -> str:
        """The map as a C header: offset of each register; mask, shift and constant value of each field."""
        prefix = self.name.upper()
        lines = [f"/* Registers of {self.name}. */", f"#ifndef {prefix}_H", f"#define {prefix}_H", ""]
        for register in self.registers:
            name = f"{prefix}_{register.name.upper()}"
            lines += [f"/* {register.description} */", f"#define {name} 0x{register.offset:03x}u"]
            for field in register.fields:
                part = f"{name}_{field.name.upper()}"
                mask = ((1 << field.bits) - 1) << field.low
                lines += [
                    f"/* {field.access}: {field.description} */",
                    f"#define {part}_MASK 0x{mask:08x}u",
                    f"#define {part}_SHIFT {field.low}u",
                ]
                if field.value is not None:
                    lines.append(f"#define {part}_CONSTANT 0x{field.value:x}u")
            lines.append("")
        return "\n".join([*lines, f"#endif /* {prefix}_H */", ""])

    def markdown(self) -> str:
        """The map as tables for people."""
        lines = [
            f"# Registers of `{self.name}`",
            "",
            "32 bits each, AXI4-Lite. RO: read only. RW: read and write. W1C: read, write ones to clear. "
            "WO: writing ones does something, reads as zero.",
            "",
            "| offset | register | bits | field | access | reset | meaning |",
            "|---|---|---|---|---|---|---|",
        ]
        for register in self.registers:
            lines.append(f"| 0x{register.offset:03x} | `{register.name}` | | | | | {register.description} |")
            for field in register.fields:
                top = field.low + field.bits - 1
                bits = f"{top}:{field.low}" if field.bits > 1 else str(field.low)
                reset = f"0x{field.value if field.value is not None else field.reset:x}"
                if field.access == "RO" and field.value is None:
                    reset = "–"
                lines.append(f"| | | {bits} | `{field.name}` | {field.access} | {reset} | {field.description} |")
        return "\n".join([*lines, ""])

    def _register(self, name: str) -> Register:
        if name not in self.by_name:
            raise GossetError(f"{self.name} has no register {name!r}; it has {', '.join(self.by_name)}.")
        return self.by_name[name]

"""What a board refuses, and with which status: commands with something wrong about them, and pieces that are none."""

from typing import NamedTuple

from fpga.host.mutilator import with_crc
from fpga.link import END, ESC, ESC_ESC, MAX_DATA, MAX_PAYLOAD, Frame, Kind, Status, delimited
from fpga.memory import MemoryShape
from hw.design import DesignPoint

HARMED = (
    (bytes((END, END, END)), None),
    (Frame(1, 2, b"abc").encode().replace(b"b", b"c"), Status.CRC),
    (delimited(b"\x01\x02"), Status.CRC),
    (with_crc(b"\x01\x02\x03"), Status.CRC),
    (bytes((END, ESC, END)), Status.CRC),
    (bytes((END, 1, ESC, 2, END)), Status.CRC),
    (Frame(1, 2, bytes((ESC, 3))).encode().replace(bytes((ESC, ESC_ESC)), bytes((ESC, 0))), Status.CRC),
    (Frame(1, 2, b"abc").encode()[:-1] + bytes((ESC, END)), Status.CRC),
    (bytes((END, *[ESC] * (2 * MAX_PAYLOAD), END)), Status.CRC),
    (Frame(1, 2, bytes(MAX_PAYLOAD + 1)).encode(), Status.LENGTH),
    (delimited(bytes(3000)), Status.LENGTH),
    (with_crc(b"\x01\x02\x09\x00abc"), Status.LENGTH),
)
"""Pieces of a line, and what a board says of them; None if nothing."""


class Refused(NamedTuple):
    """A command that is not carried out."""

    kind: int
    number: int
    payload: bytes
    status: Status
    detail: str = ""
    """One of `hw.engine.planner.ERRORS`, if it is a job that the accelerator does not take."""


def numbers(size: int, *values: int) -> bytes:
    """Numbers as a frame carries them, of so many bytes each."""
    return b"".join(int(value).to_bytes(size, "little") for value in values)


def job(rows: int, tiles: int, steps: int, x: int, w: int, y: int, *, int8: int = 0) -> bytes:
    """The payload of RUN."""
    return numbers(2, rows, tiles, steps, int8) + numbers(4, x, w, y)


def orders(memory: MemoryShape) -> list[tuple[Kind, bytes]]:
    """Commands that a board carries out when it has been told RESET, one of each kind."""
    word = bytes(memory.bytes)
    return [(Kind.WRITE, numbers(4, 0) + word), (Kind.READ, numbers(4, 1, 0)), (Kind.RUN, job(1, 1, 1, 0, 0, 0))]


def refused(design: DesignPoint, memory: MemoryShape) -> list[Refused]:
    """Commands that a board refuses whose next number is 0: those of any design."""
    word, most, words = bytes(memory.bytes), MAX_DATA // memory.bytes, memory.words
    too_many = bytes((most + 1) * memory.bytes)
    lengths = [
        (Kind.IDENTIFY, b"x"),
        (Kind.RESET, b"x"),
        (Kind.RESET, bytes(256)),
        (Kind.WRITE, b"\0\0\0"),
        (Kind.WRITE, numbers(4, 0)),
        (Kind.WRITE, numbers(4, 0) + bytes(MAX_DATA + 1)),
        *([(Kind.WRITE, numbers(4, 0) + word + b"x")] if memory.bytes > 1 else []),
        *([(Kind.WRITE, numbers(4, 0) + too_many)] if 4 + len(too_many) <= MAX_PAYLOAD else []),
        (Kind.READ, numbers(4, 1)),
        (Kind.READ, numbers(4, 0, 0)),
        (Kind.READ, numbers(4, most + 1, 0)),
        (Kind.READ, numbers(4, 1 << 31, 0)),
        (Kind.RUN, numbers(2, 1, 1, 1, 0)),
    ]
    found = [Refused(kind, 0, payload, Status.LENGTH) for kind, payload in lengths]
    found += [Refused(kind, 9, b"abc", Status.KIND) for kind in (0, 6, 0x43, 0x7E, 0x81, 0xFF)]
    for address in (words, 2 * words, 1 << 31, (1 << 32) - 1):
        sides = [[address if i == side else 0 for i in range(3)] for side in range(3)]
        found += [
            Refused(Kind.WRITE, 0, numbers(4, address) + word, Status.ADDRESS),
            Refused(Kind.READ, 0, numbers(4, 1, address), Status.ADDRESS),
            *(Refused(Kind.RUN, 0, job(1, 1, 1, *side), Status.ADDRESS) for side in sides),
        ]
    found += [
        Refused(Kind.READ, 0, numbers(4, 2, words - 1), Status.ADDRESS),
        Refused(Kind.WRITE, 0, numbers(4, words - 1) + 3 * word, Status.ADDRESS),
    ]
    for number in (1, 128, 255):
        found += [
            Refused(kind, number, payload, Status.SEQUENCE) for kind, payload in orders(memory) if kind != Kind.READ
        ]
    for rows, tiles, steps in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        found.append(Refused(Kind.RUN, 0, job(rows, tiles, steps, 0, 0, 0), Status.REFUSED, "empty"))
    found.append(Refused(Kind.RUN, 0, job(design.panel_rows + 1, 1, 1, 0, 0, 0), Status.REFUSED, "too_many_rows"))
    return found

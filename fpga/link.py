"""The link to a board: frames of bytes, the commands in them, and what the board answers.

A frame is kind (1 byte), sequence number (1), length of the payload (2), payload, and the CRC-32 of all of these (4, as
zlib has it), little-endian, stuffed as SLIP does (RFC 1055) and with an END byte before and after. END occurs nowhere
else, so that whoever listens finds the next frame after any garbage.

The host sends commands, the board answers each with one reply: the kind with `REPLY` set, the same sequence number, and
a payload that begins with a `Status`; after OK comes data, after anything else one byte of detail.

`WRITE` and `RUN` are carried out exactly once and in order: each must have the sequence number after that of the last
one that was; any other is answered with `Status.SEQUENCE` and the number that the board expects, and is not carried
out. So a host that got no reply may send again. `RESET` sets the number. `IDENTIFY` and `READ` change nothing and have
any number. Before the first `RESET` everything but `IDENTIFY` is answered with `Status.NEW`: so a host learns that the
board was started anew behind its back, and forgot what it held.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

PROTOCOL = 1
"""Version of what this file describes."""

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
"""The special bytes of SLIP: END ends a frame; ESC ESC_END and ESC ESC_ESC stand for END and ESC inside one."""

REPLY = 0x80
"""Set in the kind of a reply."""

HEADER_BYTES, CRC_BYTES = 4, 4

MAX_BODY = 512
"""Most bytes of a frame, neither stuffing nor END counted."""

MAX_PAYLOAD = MAX_BODY - HEADER_BYTES - CRC_BYTES

MAX_DATA = 496
"""Most bytes of memory that one frame carries."""

BUFFER_BYTES = 1024
"""The board's buffer of frames that wait: a host may send as many bytes ahead of replies."""


class Kind(IntEnum):
    """What a frame is; numbers are little-endian, addresses count words of the board's memory.

    IDENTIFY: no payload. Data: the board's identity, a JSON object (UTF-8).
    RESET: no payload. Resets the accelerator; the next WRITE or RUN has the next number.
    WRITE: address (4), whole words of memory.
    READ: count of words (4), address (4). Data: the words.
    RUN: rows (2), tiles (2), steps (2), 1 if int8 (2), addresses of activations, weights and results (4 each). Data:
    the counters (4 each), in the order of `hw.engine.counters.COUNTERS`.
    DAMAGED: only as a reply, with number 0: what came was no frame.
    """

    IDENTIFY = 1
    RESET = 2
    WRITE = 3
    READ = 4
    RUN = 5
    DAMAGED = 0x7F


ARGUMENT_BYTES = {Kind.IDENTIFY: 0, Kind.RESET: 0, Kind.WRITE: 4, Kind.READ: 8, Kind.RUN: 20}
"""Bytes of a command's payload, without the words of WRITE."""


ORDERED = (Kind.WRITE, Kind.RUN)
"""The commands that change something: carried out once and in order."""

FIRST = (Kind.IDENTIFY, Kind.RESET)
"""The commands that a board takes which was just started."""


class Status(IntEnum):
    """How a command ended, and what the byte of detail says where it says something.

    OK: carried out.
    CRC: damaged on the way.
    LENGTH: its length is not that of its payload, or its kind has another, or it is too long.
    OVERRUN: it did not fit into the board's buffer.
    KIND: there is no such command.
    SEQUENCE: not the next number. Detail: the next number.
    ADDRESS: outside memory.
    REFUSED: the accelerator does not take such a job. Detail: a bit for each reason, as in `hw.engine.planner.ERRORS`.
    STUCK: the job read or wrote outside memory, or stood still.
    NEW: no RESET has come since the board was started.
    """

    OK = 0
    CRC = 1
    LENGTH = 2
    OVERRUN = 3
    KIND = 4
    SEQUENCE = 5
    ADDRESS = 6
    REFUSED = 7
    STUCK = 8
    NEW = 9


@dataclass(frozen=True)
class Frame:
    """A frame.

    Attributes
    ----------
    kind : int
        A `Kind`, with `REPLY` if it is a reply.
    sequence : int
        0 to 255.
    payload : bytes
    """

    kind: int
    sequence: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the line, both END included."""
        body = bytes((self.kind, self.sequence)) + len(self.payload).to_bytes(2, "little") + self.payload
        return delimited(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little"))


def delimited(body: bytes) -> bytes:
    """Bytes stuffed, between two END."""
    stuffed = body.replace(bytes((ESC,)), bytes((ESC, ESC_ESC))).replace(bytes((END,)), bytes((ESC, ESC_END)))
    return bytes((END,)) + stuffed + bytes((END,))


class Deframer:
    """Finds frames in a stream of bytes.

    Attributes
    ----------
    damaged : int
        How many pieces between two END were no frame.
    """

    def __init__(self) -> None:
        self._held = b""
        self.damaged = 0

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Takes bytes in, and yields the frames that they complete."""
        *pieces, self._held = (self._held + received).split(bytes((END,)))
        for piece in pieces:
            if not piece:
                continue
            frame = _frame(piece)
            if frame:
                yield frame
            else:
                self.damaged += 1
        self._held = self._held[: 2 * MAX_BODY + 1]  # no frame is as long: no more is needed to know that it is none


def _frame(piece: bytes) -> Frame | None:
    """The frame in what came between two END, or None if there is none."""
    body, *escaped = piece.split(bytes((ESC,)))
    for part in escaped:
        if part[:1] not in (bytes((ESC_END,)), bytes((ESC_ESC,))):
            return None
        body += bytes((END if part[0] == ESC_END else ESC,)) + part[1:]
    if not HEADER_BYTES + CRC_BYTES <= len(body) <= MAX_BODY:
        return None
    body, crc = body[:-CRC_BYTES], body[-CRC_BYTES:]
    if zlib.crc32(body) != int.from_bytes(crc, "little"):
        return None
    payload = body[HEADER_BYTES:]
    if len(payload) != int.from_bytes(body[2:HEADER_BYTES], "little"):
        return None
    return Frame(body[0], body[1], payload)

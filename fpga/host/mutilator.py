"""Commands to a board, two of three harmed on the way."""

import struct
import zlib
from collections import deque

import numpy as np

from fpga.host.reference import Reference
from fpga.link import (
    ARGUMENT_BYTES,
    CRC_BYTES,
    END,
    ESC,
    MAX_BODY,
    MAX_DATA,
    ORDERED,
    Frame,
    Kind,
    delimited,
)
from hw.design import ACC_BITS


class Mutilator:
    """Makes commands, and harms some of them.

    Parameters
    ----------
    reference : Reference
        Whose memory and sequence number the commands are for.
    rng : Generator
    """

    def __init__(self, reference: Reference, rng: np.random.Generator):
        self.reference, self.rng = reference, rng
        self._sent: deque[bytes] = deque(maxlen=300)
        self._ways = (
            self._flipped,
            self._cut,
            self._with_an_end,
            self._without_some,
            self._with_wrong_length,
            self._with_wrong_crc,
            self._too_long,
            self._with_another_payload,
            self._with_another_number,
            self._of_another_kind,
            self._after_garbage,
            self._twice,
            self._replayed,
        )

    def next(self) -> bytes:
        """The bytes of a command; of a good one in one of three cases."""
        frame = self._command()
        good = frame.encode()
        self._sent.append(good)
        if self.rng.random() < 1 / 3:
            return good
        return self._ways[self._below(len(self._ways))](frame)

    def _below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def _command(self) -> Frame:
        shape = self.reference.identity.memory
        kind = Kind(self.rng.choice(list(ARGUMENT_BYTES), p=(0.02, 0.03, 0.5, 0.25, 0.2)))
        number = self.reference.expected if kind in ORDERED else self._below(256)
        address, count = self._below(shape.words), 1 + self._below(4)
        if self._below(30) == 0:
            address, count = self._below(1 << 32 >> self._below(32)), self._below(MAX_DATA // shape.bytes + 2)
        payload = b""
        if kind == Kind.WRITE:
            payload = struct.pack("<I", address) + self.rng.bytes(min(count * shape.bytes, MAX_DATA))
        elif kind == Kind.READ:
            payload = struct.pack("<2I", count, address)
        elif kind == Kind.RUN:
            payload = self._job()
        return Frame(kind, number, payload)

    def _job(self) -> bytes:
        """A job whose operands and results lie apart; or one that is none."""
        shape, block = self.reference.identity.memory, self.reference.block_words
        words = shape.words
        rows, tiles, steps = 1 + self._below(8), 1 + self._below(3), 1 + self._below(4)
        sizes = (block * rows * steps, block * tiles * steps, shape.words_of(ACC_BITS) * rows * tiles)
        x = self._below(words - sum(sizes) + 1)
        job = [rows, tiles, steps, 0, x, x + sizes[0], x + sizes[0] + sizes[1]]
        if self._below(4) == 0:
            i = self._below(7)
            job[i] = (0, 0, 1 << self._below(16), 1, words, words, 1 << 31)[i]
            job[0] = (job[0], 9, 1 << 15)[self._below(3)]
        elif self._below(200) == 0:
            job[4] = words - 1
        return struct.pack("<4H3I", *job)

    def _flipped(self, frame: Frame) -> bytes:
        data = bytearray(frame.encode())
        for _ in range(1 + self._below(4)):
            data[self._below(len(data))] ^= 1 << self._below(8)
        return bytes(data)

    def _cut(self, frame: Frame) -> bytes:
        data = frame.encode()
        return data[: self._below(len(data))]

    def _with_an_end(self, frame: Frame) -> bytes:
        data = frame.encode()
        at = self._below(len(data))
        return data[:at] + bytes((END,)) + data[at:]

    def _without_some(self, frame: Frame) -> bytes:
        data = frame.encode()
        at = self._below(len(data))
        return data[:at] + data[at + 1 + self._below(8) :]

    def _with_wrong_length(self, frame: Frame) -> bytes:
        length = self._below(1 << (16 >> self._below(5)))
        return with_crc(bytes((frame.kind, frame.sequence)) + length.to_bytes(2, "little") + frame.payload)

    def _with_wrong_crc(self, frame: Frame) -> bytes:
        body = bytes((frame.kind, frame.sequence)) + len(frame.payload).to_bytes(2, "little") + frame.payload
        return delimited(body + self.rng.bytes(CRC_BYTES))

    def _too_long(self, frame: Frame) -> bytes:
        payload = frame.payload + self.rng.bytes(MAX_BODY - 12 + self._below(16) - len(frame.payload))
        return Frame(frame.kind, frame.sequence, payload).encode()

    def _with_another_payload(self, frame: Frame) -> bytes:
        payload = self.rng.bytes(self._below(24))
        if frame.kind == Kind.RUN and len(payload) == ARGUMENT_BYTES[Kind.RUN]:
            payload = b""  # it might be a job
        return Frame(frame.kind, frame.sequence, payload).encode()

    def _with_another_number(self, frame: Frame) -> bytes:
        return Frame(frame.kind, (frame.sequence + self._below(256)) % 256, frame.payload).encode()

    def _of_another_kind(self, frame: Frame) -> bytes:
        kind = self._below(256)
        return Frame(0 if kind == Kind.RUN else kind, frame.sequence, frame.payload).encode()

    def _after_garbage(self, frame: Frame) -> bytes:
        garbage = self.rng.bytes(self._below(40))
        if self._below(2):
            garbage = self.rng.choice(np.array((END, ESC, 0xDC, 0xDD, 0x00), np.uint8), len(garbage)).tobytes()
        return garbage + frame.encode()

    def _twice(self, frame: Frame) -> bytes:
        return 2 * frame.encode()

    def _replayed(self, frame: Frame) -> bytes:
        return self._sent[self._below(len(self._sent))] + frame.encode()


def with_crc(body: bytes) -> bytes:
    """A body with its CRC, as it goes over the line."""
    return delimited(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little"))

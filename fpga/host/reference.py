"""A board in Python: what it must answer, and what must be in its memory."""

import struct

import numpy as np

from fpga.identity import Identity
from fpga.link import (
    ARGUMENT_BYTES,
    FIRST,
    MAX_DATA,
    ORDERED,
    REPLY,
    Deframer,
    Frame,
    Kind,
    Status,
)
from fpga.memory import MemoryShape
from golden.format import PackedMatrix
from golden.matmul import matmul
from golden.voronoi import label_dtype
from hw.design import DesignPoint
from hw.engine.planner import ERRORS

FUZZED = Identity(
    board="fuzzed",
    clock_hz=1_000_000,
    memory=MemoryShape(32, 512),
    design=DesignPoint(name="fuzzed", rows=1, cols=1, panel_rows=8, x_depth=32, w_depth=16),
)
"""A board that is small, so that much is tried in little time."""

ADDRESSES = 4
"""Bytes of an address."""


class Reference:
    """A board in Python: what it answers, and what is in its memory.

    Its accelerator has one cell, so that the words of its streams are the blocks of rows, one after the other. Of a job
    that reaches outside memory there are the results before; none, if activations do.

    Parameters
    ----------
    identity : Identity

    Attributes
    ----------
    memory : bytearray
    expected : int
        The next sequence number.
    damaged : int
        Pieces between two END that were no frames; whoever counts them may set it.
    """

    def __init__(self, identity: Identity):
        self.identity = identity
        self.memory = bytearray(identity.memory.words * identity.memory.bytes)
        self.expected = self.damaged = 0
        self._began = False
        self._deframer = Deframer()

    def feed(self, data: bytes) -> list[Frame]:
        """Takes bytes in; the replies to the frames that they complete. Data of RUN: its busy cycles only."""
        before = self._deframer.damaged
        replies = [self._reply(frame) for frame in self._deframer.feed(data)]
        self.damaged += self._deframer.damaged - before
        return replies

    def _reply(self, frame: Frame) -> Frame:
        status, data = self._check(frame), b""
        if status == Status.OK:
            status, data = self._carry_out(frame)
        if status == Status.OK:
            self.expected = (self.expected + (frame.kind in ORDERED)) % 256
        elif status not in (Status.REFUSED, Status.STUCK):
            data = bytes((self.expected,))
        return Frame(frame.kind | REPLY, frame.sequence, bytes((status,)) + data)

    def _check(self, frame: Frame) -> Status:
        length = len(frame.payload)
        if frame.kind not in list(ARGUMENT_BYTES):
            return Status.KIND
        words = length - ARGUMENT_BYTES[Kind(frame.kind)]
        if words and (frame.kind != Kind.WRITE or not 0 < words <= MAX_DATA or words % self.identity.memory.bytes):
            return Status.LENGTH
        if frame.kind == Kind.WRITE and not words:
            return Status.LENGTH
        if not self._began and frame.kind not in FIRST:
            return Status.NEW
        if frame.kind in ORDERED and frame.sequence != self.expected:
            return Status.SEQUENCE
        return Status.OK

    def _carry_out(self, frame: Frame) -> tuple[Status, bytes]:
        shape, payload = self.identity.memory, frame.payload
        if frame.kind == Kind.IDENTIFY:
            return Status.OK, self.identity.encode()
        if frame.kind == Kind.RESET:
            self.expected, self._began = (frame.sequence + 1) % 256, True
            return Status.OK, b""
        if frame.kind == Kind.WRITE:
            address, data = int.from_bytes(payload[:ADDRESSES], "little"), payload[ADDRESSES:]
            fits = data[: max(0, shape.words - address) * shape.bytes]
            self.memory[address * shape.bytes : address * shape.bytes + len(fits)] = fits
            return (Status.OK if fits == data else Status.ADDRESS), b""
        if frame.kind == Kind.READ:
            count, address = struct.unpack("<2I", payload)
            if not 0 < count <= MAX_DATA // shape.bytes:
                return Status.LENGTH, b""
            if address + count > shape.words:
                return Status.ADDRESS, b""
            return Status.OK, bytes(self.memory[address * shape.bytes : (address + count) * shape.bytes])
        return self._run(*struct.unpack("<4H3I", payload))

    def _run(self, rows: int, tiles: int, steps: int, int8: int, x: int, w: int, y: int) -> tuple[Status, bytes]:
        shape, design = self.identity.memory, self.identity.design
        if max(x, w, y) >= shape.words:
            return Status.ADDRESS, b""
        bad = {
            "empty": not (rows and tiles and steps),
            "too_many_rows": rows > design.panel_rows,
            "x_too_long": steps > design.x_depth,
            "w_too_long": steps > design.w_depth,
            "activations": int8 & 1,
        }
        if not any(bad.values()):
            bad["x_too_long"] = rows * steps > design.x_depth
        if any(bad.values()):
            return Status.REFUSED, bytes((sum(bool(bad[name]) << bit for bit, name in enumerate(ERRORS)),))
        there = min(tiles, (shape.words - w) // (steps * self.block_words))
        if x + rows * steps * self.block_words > shape.words or not there:
            return Status.STUCK, bytes((0,))
        accumulators = matmul(self._matrix(x, rows, steps), self._matrix(w, there, steps)).accumulators
        stored = accumulators.T.astype("<i4").tobytes()
        fits = stored[: (shape.words - y) * shape.bytes]
        self.memory[y * shape.bytes : y * shape.bytes + len(fits)] = fits
        if there < tiles or fits != stored:
            return Status.STUCK, bytes((0,))
        return Status.OK, struct.pack("<I", rows * tiles * steps)

    @property
    def block_words(self) -> int:
        """Words of memory that a block takes."""
        return self.identity.memory.words_of(self._block_bits)

    @property
    def _block_bits(self) -> int:
        return self.identity.design.format.label_bits + self.identity.design.format.beta_bits

    def _matrix(self, address: int, rows: int, steps: int) -> PackedMatrix:
        """What the words from an address on mean as rows of blocks: whatever they are, they mean something."""
        shape, fmt = self.identity.memory, self.identity.design.format
        size = self.block_words * shape.bytes
        stored = self.memory[address * shape.bytes :][: rows * steps * size]
        blocks = [int.from_bytes(stored[at : at + size], "little") for at in range(0, len(stored), size)]
        labels = np.array([block % 2**fmt.label_bits for block in blocks], label_dtype(fmt.q))
        betas = np.array([block >> fmt.label_bits & 2**fmt.beta_bits - 1 for block in blocks], np.uint8)
        scales = np.ones(rows, np.float32)
        return PackedMatrix(fmt, 8 * steps, labels.reshape(rows, steps), betas.reshape(rows, steps), scales)

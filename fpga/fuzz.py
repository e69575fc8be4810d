"""Damaged lines: what a board must never do, and what a host must never take for a result.

`fuzz_frames` sends mutilated frames to a simulated board, and compares its replies and its memory with those of a board
in Python that reads the same bytes. `fuzz_products` multiplies over a line that loses, repeats and damages bytes both
ways. `python -m fpga.fuzz` does both at length.
"""

import argparse
import struct
import zlib
from collections import Counter, deque
from collections.abc import Callable
from itertools import zip_longest

import numpy as np
from rich.progress import MofNCompleteColumn, Progress

from fpga.device import BoardDevice
from fpga.host import AHEAD_BYTES
from fpga.identity import Identity
from fpga.line import Line, LinkError
from fpga.link import (
    ARGUMENT_BYTES,
    CRC_BYTES,
    END,
    ESC,
    FIRST,
    MAX_BODY,
    MAX_DATA,
    ORDERED,
    REPLY,
    Deframer,
    Frame,
    Kind,
    Status,
    delimited,
)
from fpga.memory import MemoryShape
from fpga.virtual import VirtualBoard
from golden.errors import ToolError
from golden.format import PackedMatrix
from golden.matmul import matmul
from golden.quantize import quantize
from golden.voronoi import label_dtype
from hw.design import DesignPoint
from hw.engine import COUNTERS
from hw.planner import ERRORS
from sim.tiles import Job

FUZZED = Identity(
    board="fuzzed",
    clock_hz=1_000_000,
    memory=MemoryShape(32, 512),
    design=DesignPoint(name="fuzzed", rows=1, cols=1, panel_rows=8, x_depth=32, w_depth=16),
)
"""A board that is small, so that much is tried in little time."""

ADDRESSES = 4
"""Bytes of an address."""

COMMANDS = 100
"""After so many, the memory is read back."""

RECENT = 50
"""What a faulty line repeats was sent so many pieces ago at most: a line delays nothing by 256 commands."""

Advance = Callable[[int], None]
"""Tells a progress display how much more is done."""


class Wrong(ToolError):
    """A board did what it must not do, or a host took what it must not take."""


class Reference:
    """A board in Python: what it answers, and what is in its memory.

    Its accelerator has one cell, so that the words of its streams are the blocks of rows, one after the other.

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
        block = shape.words_of(self._block_bits)
        if x + rows * steps * block > shape.words:
            return Status.STUCK, bytes((0,))
        accumulators = matmul(self._matrix(x, rows, steps), self._matrix(w, tiles, steps)).accumulators
        stored = accumulators.T.astype("<i4").tobytes()
        self.memory[y * shape.bytes : y * shape.bytes + len(stored)] = stored
        return Status.OK, struct.pack("<I", rows * tiles * steps)

    @property
    def _block_bits(self) -> int:
        return self.identity.design.format.label_bits + self.identity.design.format.beta_bits

    def _matrix(self, address: int, rows: int, steps: int) -> PackedMatrix:
        """What the words from an address on mean as rows of blocks: whatever they are, they mean something."""
        shape, fmt = self.identity.memory, self.identity.design.format
        size = shape.words_of(self._block_bits) * shape.bytes
        stored = self.memory[address * shape.bytes :][: rows * steps * size]
        blocks = [int.from_bytes(stored[at : at + size], "little") for at in range(0, len(stored), size)]
        labels = np.array([block % 2**fmt.label_bits for block in blocks], label_dtype(fmt.q))
        betas = np.array([block >> fmt.label_bits & 2**fmt.beta_bits - 1 for block in blocks], np.uint8)
        scales = np.ones(rows, np.float32)
        return PackedMatrix(fmt, 8 * steps, labels.reshape(rows, steps), betas.reshape(rows, steps), scales)


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
        words = self.reference.identity.memory.words
        rows, tiles, steps = 1 + self._below(8), 1 + self._below(3), 1 + self._below(4)
        sizes = (2 * rows * steps, 2 * tiles * steps, rows * tiles)
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
        return _delimited(bytes((frame.kind, frame.sequence)) + length.to_bytes(2, "little") + frame.payload)

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


def _delimited(body: bytes) -> bytes:
    """A body with its CRC, as it goes over the line."""
    return delimited(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little"))


class Witness:
    """Says the same to a board and to the reference, and compares what they answer.

    Parameters
    ----------
    board : VirtualBoard
        Just started.
    reference : Reference

    Attributes
    ----------
    replies : Counter of Status
        How many of each there were.
    """

    def __init__(self, board: VirtualBoard, reference: Reference):
        self.board, self.reference = board, reference
        self.replies: Counter[Status] = Counter()
        self._deframer = Deframer()
        self._said = b""
        self._expected: list[Frame] = []

    def say(self, data: bytes) -> None:
        """Says something to the reference, and to the board as soon as more would not fit into its buffer."""
        if len(self._said) + len(data) > AHEAD_BYTES:
            self.settle()
        self._said += data
        self._expected += self.reference.feed(data)

    def settle(self) -> None:
        """Has the board say what the reference said; raises Wrong if it does not."""
        said, expected, self._said, self._expected = self._said, self._expected, b"", []
        told = f"after {said.hex()}"
        self.board.write(said)
        replies, complaints = [], 0
        while came := self.board.read(0):
            for frame in self._deframer.feed(came):
                status = Status(frame.payload[0])
                self.replies[status] += 1
                if frame.kind == Kind.DAMAGED | REPLY and status in (Status.CRC, Status.LENGTH):
                    complaints += 1
                else:
                    replies.append(_comparable(frame))
        damaged, self.reference.damaged = self.reference.damaged, 0
        if self._deframer.damaged:
            raise Wrong(f"The board sent something that is no frame {told}.")
        if not bool(damaged) <= complaints <= damaged:
            raise Wrong(f"The board complained {complaints} times of {damaged} damaged frames {told}.")
        for reply, due in zip_longest(replies, expected):
            if reply != due:
                raise Wrong(f"The board answered {reply} instead of {due} {told}.")

    def read_everything(self) -> None:
        """Compares the memories."""
        shape = self.reference.identity.memory
        step = MAX_DATA // shape.bytes
        for at in range(0, shape.words, step):
            self.say(Frame(Kind.READ, 0, struct.pack("<2I", min(step, shape.words - at), at)).encode())
        self.settle()


def _comparable(reply: Frame) -> Frame:
    """A reply without the counters that the reference does not know."""
    if reply.kind == Kind.RUN | REPLY and len(reply.payload) == 1 + 4 * len(COUNTERS):
        return Frame(reply.kind, reply.sequence, reply.payload[:5])
    return reply


def fuzz_frames(count: int, seed: int = 0, advance: Advance | None = None) -> Counter[Status]:
    """Sends a board so many commands, two of three mutilated, and reads its whole memory back time and again.

    Returns
    -------
    How many replies of each status there were.

    Raises
    ------
    Wrong
        If the board did anything that it was not told, or said anything that was not so.
    """
    reference = Reference(FUZZED)
    board = VirtualBoard(FUZZED)
    mutilator, witness = Mutilator(reference, np.random.default_rng(seed)), Witness(board, reference)
    for i in range(count):
        witness.say(mutilator.next())
        if i % COMMANDS == COMMANDS - 1 or i == count - 1:
            witness.read_everything()
            if advance:
                advance(i % COMMANDS + 1)
    board.close()
    return witness.replies


class FaultyLine:
    """A line that harms what goes over it, both ways.

    Parameters
    ----------
    line : Line
    rng : Generator
    rate : float
        Of the pieces that go over it, how many are harmed: frames one way, what comes at a time the other way.
    """

    def __init__(self, line: Line, rng: np.random.Generator, rate: float):
        self.line, self.rng, self.rate = line, rng, rate
        self._sent: deque[bytes] = deque(maxlen=RECENT)
        self._came: deque[bytes] = deque(maxlen=RECENT)

    def write(self, data: bytes) -> None:
        """Sends bytes, or something like them."""
        self.line.write(self._harm(data, self._sent))

    def read(self, timeout: float) -> bytes:
        """Bytes that came, or something like them."""
        while came := self.line.read(timeout):
            if harmed := self._harm(came, self._came):
                return harmed
        return b""

    def close(self) -> None:
        """Closes the line behind it."""
        self.line.close()

    def _harm(self, data: bytes, before: deque[bytes]) -> bytes:
        before.append(data)
        if self.rng.random() >= self.rate:
            return data
        at, other = int(self.rng.integers(len(data))), before[int(self.rng.integers(len(before)))]
        flipped = data[:at] + bytes((data[at] ^ 1 << int(self.rng.integers(8)),)) + data[at + 1 :]
        ways = (b"", flipped, data[:at], data[at:], 2 * data, other + data, data + other, self.rng.bytes(at) + data)
        return ways[int(self.rng.integers(len(ways)))]


def fuzz_products(count: int, seed: int = 0, rate: float = 0.1, advance: Advance | None = None) -> Counter[str]:
    """Multiplies random matrices over a faulty line.

    Returns
    -------
    How many came out (`right`), how many were given up with an error (`failed`), and how often something was sent again
    (`repeated`).

    Raises
    ------
    Wrong
        If an accumulator was not golden's.
    """
    rng = np.random.default_rng(seed)
    line = FaultyLine(VirtualBoard(FUZZED), rng, 0.0)
    device = BoardDevice(line, retries=6)
    line.rate = rate
    counts: Counter[str] = Counter()
    weights = [quantize(rng.normal(size=rng.integers(1, (7, 160))), FUZZED.design.format) for _ in range(8)]
    for i in range(count):
        w = weights[rng.integers(len(weights))]
        x = quantize(rng.normal(size=(int(rng.integers(1, 13)), w.columns)), w.format)
        try:
            found = device.run(Job(device.design, x, w)).product.accumulators
        except LinkError:
            counts["failed"] += 1
        else:
            if (found != matmul(x, w).accumulators).any():
                raise Wrong(f"Product {i} of seed {seed} came out wrong over a faulty line.")
            counts["right"] += 1
        if advance:
            advance(1)
    counts["repeated"] = device.link.repeated
    device.close()
    return counts


def main() -> None:
    """Fuzzes at length, and prints what happened; a failure is an exception."""
    parser = argparse.ArgumentParser(prog="python -m fpga.fuzz", description=main.__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as bar:
        task = bar.add_task("frames", total=asked.frames)
        statuses = fuzz_frames(asked.frames, asked.seed, lambda more: bar.advance(task, more))
        other = bar.add_task("products", total=asked.products)
        products = fuzz_products(asked.products, asked.seed, advance=lambda more: bar.advance(other, more))
    replies = ", ".join(f"{status.name} {number:,}" for status, number in sorted(statuses.items()))
    print(f"{asked.frames:,} commands, two of three mutilated. Replies: {replies}. All as they must be.")
    told = ", ".join(f"{number:,} {what}" for what, number in sorted(products.items()))
    print(f"{asked.products:,} products over a faulty line: {told}. None wrong.")


if __name__ == "__main__":
    main()

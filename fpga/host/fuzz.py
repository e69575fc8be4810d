"""Damaged lines: what a board must never do, and what a host must never take for a result.

`fuzz_frames` sends mutilated frames to a simulated board, and compares its replies and its memory with those of a board
in Python that reads the same bytes. `fuzz_products` multiplies over a line that loses, repeats and damages bytes both
ways. `python -m fpga.host.fuzz` does both at length.
"""

import argparse
import struct
import sys
from collections import Counter, deque
from collections.abc import Callable
from itertools import zip_longest

import numpy as np
from rich.progress import MofNCompleteColumn, Progress

from fpga.host.device import BoardDevice
from fpga.host.line import Line, LinkError
from fpga.host.link import AHEAD_BYTES
from fpga.host.mutilator import Mutilator
from fpga.host.reference import FUZZED, Reference
from fpga.host.virtual import VirtualBoard
from fpga.link import (
    MAX_DATA,
    REPLY,
    Deframer,
    Frame,
    Kind,
    Status,
)
from golden.errors import ToolError
from golden.exits import ending
from golden.matmul import matmul
from golden.quantize import quantize
from hw.engine.counters import COUNTERS
from sim.tiles import Job

COMMANDS = 100
"""After so many, the memory is read back."""

RECENT = 50
"""What a faulty line repeats was sent so many pieces ago at most: a line delays nothing by 256 commands."""

Advance = Callable[[int], None]
"""Tells a progress display how much more is done."""


class Wrong(ToolError):
    """A board did what it must not do, or a host took what it must not take."""


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
    """Fuzzes at length, and prints what happened; exit code 1 if something came out wrong."""
    parser = argparse.ArgumentParser(prog="python -m fpga.host.fuzz", description=main.__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    try:
        with Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as bar:
            task = bar.add_task("frames", total=asked.frames)
            statuses = fuzz_frames(asked.frames, asked.seed, lambda more: bar.advance(task, more))
            other = bar.add_task("products", total=asked.products)
            products = fuzz_products(asked.products, asked.seed, advance=lambda more: bar.advance(other, more))
    except Wrong as error:
        sys.exit(str(error))
    replies = ", ".join(f"{status.name} {number:,}" for status, number in sorted(statuses.items()))
    print(f"{asked.frames:,} commands, two of three mutilated. Replies: {replies}. All as they must be.")
    told = ", ".join(f"{number:,} {what}" for what, number in sorted(products.items()))
    print(f"{asked.products:,} products over a faulty line: {told}. None wrong.")


if __name__ == "__main__":
    ending("fuzz", main)

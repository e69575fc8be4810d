"""Lines to boards that need no simulator, and to things that are no boards."""

import threading
from contextlib import contextmanager

from fpga.host.reference import FUZZED, Reference
from fpga.host.virtual import Terminal
from fpga.identity import Identity
from fpga.link import REPLY, Frame, Kind
from fpga.memory import MemoryShape
from hw.design import PRESETS
from hw.engine.counters import COUNTERS

VIRTUAL = Identity(board="virtual", clock_hz=80_000_000, memory=MemoryShape(64, 4096), design=PRESETS["small"])
"""A board whose simulator the tests share."""


class Straight:
    """A board in Python, which answers one command at a time, when it is listened to."""

    def __init__(self, identity=FUZZED):
        self.reference = Reference(identity)
        self.waiting = []  # (bytes in the board's buffer, reply)
        self.most_waiting = 0
        self.closed = False

    def write(self, data):
        for reply in self.reference.feed(data):
            self.waiting.append((len(data) - 2, self.whole(reply)))
        self.most_waiting = max(self.most_waiting, sum(size for size, _ in self.waiting))

    def read(self, timeout):
        return self.waiting.pop(0)[1].encode() if self.waiting else b""

    def close(self):
        self.closed = True

    @staticmethod
    def whole(reply):
        """With all counters."""
        if reply.kind != Kind.RUN | REPLY or len(reply.payload) != 5:
            return reply
        return Frame(reply.kind, reply.sequence, reply.payload.ljust(1 + 4 * len(COUNTERS), b"\0"))


class Meddled(Straight):
    """What it says goes through a function, which may return nothing."""

    def __init__(self, meddle, identity=FUZZED):
        super().__init__(identity)
        self.meddle = meddle

    def read(self, timeout):
        while self.waiting:
            if said := self.meddle(self.waiting.pop(0)[1]):
                return said
        return b""


class Babbling:
    """Something that talks but is no board."""

    def __init__(self, words):
        self.words = words

    def write(self, data):
        pass

    def read(self, timeout):
        return self.words

    def close(self):
        pass


@contextmanager
def serving(board):
    """The name of a serial port with a simulated board behind it."""
    with Terminal(board) as terminal:
        server = threading.Thread(target=terminal.serve)
        server.start()
        try:
            yield terminal.port
        finally:
            terminal.stop()
            server.join()

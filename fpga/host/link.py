"""The host's end of the link: commands are sent ahead of their replies, and again where one of the two is lost.

Whatever the line does to the bytes, a command is carried out as often as `fpga.link` promises, and data that are
returned came in an undamaged frame that answers the very command they were asked by. What cannot be had like this is a
`LinkError`, after a bounded number of attempts.
"""

import secrets
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fpga.host.line import Line, LinkError
from fpga.link import (
    ARGUMENT_BYTES,
    BUFFER_BYTES,
    CRC_BYTES,
    HEADER_BYTES,
    MAX_DATA,
    REPLY,
    Deframer,
    Frame,
    Kind,
    Status,
)
from hw.engine.counters import COUNTERS
from hw.engine.planner import ERRORS

NUMBERS = 256
"""Sequence numbers wrap around here."""

AHEAD_BYTES = BUFFER_BYTES - 1
"""Bytes of frames on the way to the board, or waiting in it, at most."""

AHEAD_READS = 3
"""READs on the way at most: the next reply is under way when one has come."""

QUIET_SECONDS = 0.05
"""A line is taken to be silent after this long."""


class Silence(LinkError):
    """No reply, however often it was asked for."""


class Restarted(LinkError):
    """The board was started anew: what it held is lost."""


@dataclass(frozen=True)
class Command:
    """A command that changes something.

    Attributes
    ----------
    kind : Kind
    payload : bytes
    """

    kind: Kind
    payload: bytes

    @property
    def data_bytes(self) -> int:
        """Bytes of memory in it."""
        return len(self.payload) - ARGUMENT_BYTES[self.kind]

    @property
    def size(self) -> int:
        """Bytes of its frame."""
        return HEADER_BYTES + len(self.payload) + CRC_BYTES


@dataclass(frozen=True)
class Task:
    """What RUN asks for: a job, and where its words are.

    Attributes
    ----------
    rows, tiles, steps : int
    int8 : bool
    x, w, y : int
        Addresses of activations, weights and results.
    """

    rows: int
    tiles: int
    steps: int
    int8: bool
    x: int
    w: int
    y: int

    def command(self) -> Command:
        """The command for it."""
        fields = (self.rows, self.tiles, self.steps, self.int8, self.x, self.w, self.y)
        return Command(Kind.RUN, struct.pack("<4H3I", *fields))


class Link:
    """Carries out commands on a board.

    Parameters
    ----------
    line : Line
    timeout : float
        Seconds without a reply after which what is unanswered is sent again; twice as many after each time in vain.
    retries : int
        How often in vain.

    Attributes
    ----------
    word_bytes : int
        Of a word of the board's memory: to be set when it is known.
    written_bytes, read_bytes : int
        Bytes of memory.
    sent_bytes, received_bytes : int
        Bytes on the line.
    repeated : int
        How often something had to be sent again.
    """

    def __init__(self, line: Line, *, timeout: float = 1.0, retries: int = 4):
        self.line, self.timeout, self.retries = line, timeout, retries
        self.word_bytes = 1
        self.written_bytes = self.read_bytes = self.sent_bytes = self.received_bytes = self.repeated = 0
        self._deframer = Deframer()
        self._came: deque[Frame] = deque()
        self._next = 0  # number of the next command that changes something
        self._label = secrets.randbelow(NUMBERS)  # number of the next other one; not that of a session before this one

    def identify(self) -> bytes:
        """What the board says of itself."""
        return self._ask(Kind.IDENTIFY)

    def reset(self) -> None:
        """Lets the board take commands that change something; needed first, and after an error."""
        number = self._label
        self._ask(Kind.RESET)
        self._next = (number + 1) % NUMBERS

    def listen(self) -> bytes:
        """Waits until the line is silent, and returns what was on it: from before this session, or no board's."""
        heard = b""
        deadline = time.monotonic() + self.timeout
        while (came := self.line.read(QUIET_SECONDS)) and time.monotonic() < deadline:
            heard += came
        return heard

    def run(self, images: Sequence[tuple[int, bytes]], task: Task) -> list[int]:
        """Writes images to memory, each from an address on, and runs a job on them.

        Parameters
        ----------
        images : sequence of (int, bytes)
            Addresses, and whole words of memory.
        task : Task

        Returns
        -------
        The counters, in the order of `hw.engine.counters.COUNTERS`.

        Raises
        ------
        Restarted
            If the board has forgotten what it held.
        LinkError
            If the board does not answer, or refuses.
        """
        commands = [*self._writes(images), task.command()]
        for _ in range(self.retries + 1):
            answer = self._carry_out(commands)
            if answer is not None:
                if len(answer) != 4 * len(COUNTERS):
                    raise LinkError(f"The board gives {len(answer)} bytes of counters instead of {4 * len(COUNTERS)}.")
                return list(struct.unpack(f"<{len(COUNTERS)}I", answer))
            commands = commands[-1:]  # it ran, but what it said is lost: once more, it gives the same
        raise self._silence()

    def write(self, images: Sequence[tuple[int, bytes]]) -> None:
        """Writes images to memory, as `run` does, and raises as it does."""
        self._carry_out(list(self._writes(images)))

    def read(self, address: int, words: int) -> bytes:
        """Words of memory; raises as `run` does."""
        step = MAX_DATA // self.word_bytes
        pieces = [(at, min(step, address + words - at)) for at in range(address, address + words, step)]
        data: dict[int, bytes] = {}
        vain = 0
        while len(data) < len(pieces):
            if vain > self.retries:
                raise self._silence()
            before = len(data)
            self._read_missing(pieces, data, self.timeout * 2**vain)
            vain = 0 if len(data) > before else vain + 1
            self.repeated += len(data) < len(pieces)
        return b"".join(data[i] for i in range(len(pieces)))

    def _writes(self, images: Sequence[tuple[int, bytes]]) -> Iterator[Command]:
        step = MAX_DATA // self.word_bytes * self.word_bytes
        for address, stored in images:
            for at in range(0, len(stored), step):
                target = (address + at // self.word_bytes).to_bytes(4, "little")
                yield Command(Kind.WRITE, target + stored[at : at + step])

    def _read_missing(self, pieces: list[tuple[int, int]], data: dict[int, bytes], timeout: float) -> None:
        """Asks for each piece that is missing, once."""
        missing = deque(i for i in range(len(pieces)) if i not in data)
        asked: dict[int, int] = {}
        lost = False
        deadline = time.monotonic() + timeout
        while missing or asked:
            while missing and len(asked) < AHEAD_READS and not lost:
                at, count = pieces[missing[0]]
                asked[self._send(Kind.READ, struct.pack("<2I", count, at))] = missing.popleft()
            reply = self._receive(deadline, lost)
            if reply is None:
                return
            if reply.kind != Kind.READ | REPLY or reply.sequence not in asked:
                lost |= reply.kind == Kind.DAMAGED | REPLY
                continue
            deadline = time.monotonic() + timeout
            i = asked.pop(reply.sequence)
            found = self._data(reply)
            if len(found) != pieces[i][1] * self.word_bytes:
                raise LinkError(
                    f"The board gives {len(found)} bytes of memory instead of {pieces[i][1] * self.word_bytes}."
                )
            data[i] = found
            self.read_bytes += len(found)

    def _carry_out(self, commands: Sequence[Command]) -> bytes | None:
        """Carries out commands in order; the data of the last one's reply, or None if that reply was lost."""
        batch = _Batch(commands, self._next)
        vain = 0
        while batch.done < len(commands):
            if vain > self.retries:
                raise self._silence()
            before = batch.done
            self._attempt(batch, self.timeout * 2**vain)
            vain = 0 if batch.done > before else vain + 1
            self.repeated += batch.done < len(commands)
        self._next = (self._next + len(commands)) % NUMBERS
        return batch.answer

    def _attempt(self, batch: "_Batch", timeout: float) -> None:
        """Sends commands from the first on that is not known to be carried out, until all are, or something is lost."""
        sending = batch.done
        lost = False
        deadline = time.monotonic() + timeout
        while batch.done < len(batch.commands):
            while not lost and batch.fits(sending):
                command = batch.commands[sending]
                self._put(Frame(command.kind, batch.number(sending), command.payload))
                sending += 1
            reply = self._receive(deadline, lost)
            if reply is None:
                return
            before = batch.done
            lost |= self._settle(batch, reply, sending)
            if batch.done > before:
                deadline = time.monotonic() + timeout
                self.written_bytes += sum(command.data_bytes for command in batch.commands[before : batch.done])

    def _settle(self, batch: "_Batch", reply: Frame, sending: int) -> bool:
        """Takes note of a reply; whether something was lost."""
        if reply.kind == Kind.DAMAGED | REPLY:
            return True
        i = batch.index(reply.sequence)
        if i >= sending or reply.kind != batch.commands[i].kind | REPLY:
            return False  # the second reply to something that was sent twice
        if reply.payload[:1] == bytes((Status.SEQUENCE,)) and len(reply.payload) == 2:
            known = batch.index(reply.payload[1])  # everything before it was carried out
            if known <= sending:
                batch.done = known
            return True
        data = self._data(reply)
        batch.done = i + 1  # and so were all before it
        batch.answer = data if batch.done == len(batch.commands) else None
        return False

    def _ask(self, kind: Kind) -> bytes:
        """The data of the reply to a command without payload that may be repeated."""
        number = self._label
        self._label = (number + 1) % NUMBERS
        for vain in range(self.retries + 1):
            self._put(Frame(kind, number))
            deadline = time.monotonic() + self.timeout * 2**vain
            lost = False
            while reply := self._receive(deadline, lost):
                if reply.kind == kind | REPLY and reply.sequence == number:
                    return self._data(reply)
                lost |= reply.kind == Kind.DAMAGED | REPLY
            self.repeated += 1
        raise self._silence()

    def _send(self, kind: Kind, payload: bytes) -> int:
        """Sends a command that changes nothing; its number."""
        number = self._label
        self._label = (number + 1) % NUMBERS
        self._put(Frame(kind, number, payload))
        return number

    def _put(self, frame: Frame) -> None:
        encoded = frame.encode()
        self.line.write(encoded)
        self.sent_bytes += len(encoded)

    def _receive(self, deadline: float, lost: bool) -> Frame | None:
        """The next reply, or None if none comes in time: before the deadline, or while the line is not silent if
        something is known to be lost. A reply that was damaged counts as one that says so."""
        while not self._came and (left := deadline - time.monotonic()) > 0:
            came = self.line.read(min(left, QUIET_SECONDS) if lost else left)
            if not came:
                break
            self.received_bytes += len(came)
            damaged = self._deframer.damaged
            self._came += self._deframer.feed(came)
            self._came += [_DAMAGED] * (self._deframer.damaged - damaged)
        return self._came.popleft() if self._came else None

    def _data(self, reply: Frame) -> bytes:
        """The data of a reply that says OK; raises LinkError if it says anything else."""
        status, rest = reply.payload[:1], reply.payload[1:]
        if status == bytes((Status.OK,)):
            return rest
        if status == bytes((Status.NEW,)):
            raise Restarted("The board was started anew and has forgotten what it held.")
        reason = Status(status[0]).name if status and status[0] in list(Status) else "nothing that is known"
        if status == bytes((Status.REFUSED,)) and rest:
            reason += f" ({', '.join(name for bit, name in enumerate(ERRORS) if rest[0] >> bit & 1)})"
        raise LinkError(f"The board answers {reason} to {Kind(reply.kind & ~REPLY).name}.")

    def _silence(self) -> Silence:
        return Silence("The board does not answer: nothing whole came back, however often it was asked.")


class _Batch:
    """Commands that are carried out in order.

    Parameters
    ----------
    commands : sequence of Command
    first : int
        Sequence number of the first.

    Attributes
    ----------
    done : int
        How many are known to be carried out.
    answer : bytes or None
        The data of the last one's reply, when it has come.
    """

    def __init__(self, commands: Sequence[Command], first: int):
        self.commands, self.first = commands, first
        self.done = 0
        self.answer: bytes | None = None

    def number(self, i: int) -> int:
        """Sequence number of a command."""
        return (self.first + i) % NUMBERS

    def index(self, number: int) -> int:
        """The first command from `done` on with a sequence number, or which would have it."""
        return self.done + (number - self.first - self.done) % NUMBERS

    def fits(self, i: int) -> bool:
        """Whether a command can be sent when those before it may still wait in the board."""
        if i >= len(self.commands):
            return False
        return i == self.done or sum(command.size for command in self.commands[self.done : i + 1]) <= AHEAD_BYTES


_DAMAGED = Frame(Kind.DAMAGED | REPLY, 0, bytes((Status.CRC, 0)))

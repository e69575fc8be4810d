"""A board behind the byte streams of its line, beside the board in Python that it must equal."""

from typing import cast

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject, LogicObject
from cocotb.triggers import FallingEdge, RisingEdge

from fpga.benches.faults import numbers
from fpga.host.reference import Reference
from fpga.identity import Identity
from fpga.link import BUFFER_BYTES, END, ESC, ESC_END, ESC_ESC, FIRST, MAX_DATA, REPLY, Deframer, Frame, Kind, Status
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import ERRORS
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.signals import Beat, signal
from sim.benches.inside.streams import Monitor, Sink, Source
from sim.benches.inside.testbench import Scoreboard, Testbench

ENDS = {
    **dict.fromkeys(FIRST, (Status.OK, Status.LENGTH)),
    Kind.WRITE: (Status.OK, Status.LENGTH, Status.NEW, Status.SEQUENCE, Status.ADDRESS),
    Kind.READ: (Status.OK, Status.LENGTH, Status.NEW, Status.ADDRESS),
    Kind.RUN: tuple(status for status in Status if status not in (Status.CRC, Status.OVERRUN, Status.KIND)),
    Kind.DAMAGED: (Status.CRC, Status.LENGTH, Status.OVERRUN),
}
"""How each command may end."""

LONGEST = 700
"""Cycles of a reply, one byte of line after the other; a job that stands still is given up after `STILL`."""

STILL = 2200

SPECIAL = (END, ESC, ESC_END, ESC_ESC)
"""Bytes that frames do not carry as they are, and those that stand for them."""

AFTER = 120
"""Cycles without a byte after which a board that runs no job says nothing more, whatever pauses there are."""

BESIDE = 2
"""Cycles of a job that its counters do not count: of the reset before it."""


def named(kind: int, status: int) -> str:
    """The case of a reply."""
    return f"{'any other' if status == Status.KIND else Kind(kind).name} is answered with {Status(status).name}"


class BoardBench(Testbench):
    """A board, what is said to it, and what it must answer.

    Parameters
    ----------
    dut : HierarchyObject
    idle, stall : str
        Of `PAUSES`: when nothing comes, and when nothing is taken.
    patient : bool
        Take bytes only when they have been on offer.

    Attributes
    ----------
    reference : Reference
    damaged : list of Status
        Complaints of frames that were none, since `settle`.
    spent, busy_from, busy_to : int
        Cycles of the last job that was answered; where `busy` last rose and fell.
    """

    def __init__(self, dut: HierarchyObject, idle: str = "never", stall: str = "never", *, patient: bool = False):
        super().__init__(dut)
        self.identity = Identity.decode(self.settings.description["identity"].encode())
        self.memory = self.identity.memory
        self.reference = Reference(self.identity)
        self.source = Source(self, self.streams["rx"], idle)
        self.sink = Sink(self, self.streams["tx"], stall, patient=patient)
        self.busy = cast("LogicObject", signal(dut, "busy"))
        self.replies = Scoreboard[Frame](self, "reply")
        self.refusals = {1 << bit: f"refused: {reason}" for bit, reason in enumerate(ERRORS)}
        self.about(*(named(kind, status) for kind, ends in ENDS.items() for status in ends))
        self.about(named(0, Status.KIND), *self.refusals.values())
        self.damaged: list[Status] = []
        self.jobs: list[int] = []
        """Cycles of each job whose reply has not come."""
        self._said = b""
        self._under_way = 0
        self.spent = self.busy_from = self.busy_to = 0
        self._counts = False
        self._last = 0
        Monitor(self, self.streams["tx"], self._out_of)
        cocotb.start_soon(self._watch_busy())
        self.on_reset(self._forget)

    @property
    def design(self) -> DesignPoint:
        """Of the accelerator."""
        return self.identity.design

    def say(self, data: bytes) -> None:
        """Sends bytes."""
        self.replies.expect(self.reference.feed(data))
        self.say_in_vain(data)

    def say_in_vain(self, data: bytes) -> None:
        """Sends bytes to which nothing will be answered."""
        self._under_way += len(data)
        self.source.send({"payload": byte} for byte in data)

    async def said(self, data: bytes) -> None:
        """Sends bytes, when the board has room for them."""
        if self._under_way + len(data) >= BUFFER_BYTES:
            await self.settle()
        self.say(data)

    async def settle(self) -> list[Status]:
        """Waits for all replies, and compares; returns the complaints, in their order."""
        while self.source.waiting:
            await self.cycles(len(self.source.waiting))
        self._last = self.cycle
        still = any(reply.payload[0] == Status.STUCK for reply in self.replies.waiting)
        await self.replies.empty(STILL if still else LONGEST)
        while self.cycle - self._last < AFTER or self.busy.value:
            await self.cycles(AFTER)
        damaged, self.reference.damaged = self.reference.damaged, 0
        complaints, self.damaged = self.damaged, []
        if self._said:
            raise Mismatch(f"A reply does not end, up to cycle {self.cycle}: {self._said.hex()}.")
        if not bool(damaged) <= len(complaints) <= damaged:
            raise Mismatch(f"{len(complaints)} complaints of {damaged} damaged frames, up to cycle {self.cycle}.")
        same("jobs without a reply", 0, len(self.jobs), 8)
        self._under_way = 0
        return complaints

    def complained(self, found: list[Status], due: list[Status]) -> None:
        """Compares complaints."""
        if found != due:
            raise Mismatch(f"Expected the complaints {due}, got {found}, up to cycle {self.cycle}.")

    async def ask(self, kind: int, number: int, payload: bytes, status: Status) -> None:
        """Says a frame that must end in a certain way."""
        await self.said(Frame(kind, number, payload).encode())
        same(f"status of {kind}, payload {payload.hex()}, in Python", status, self.replies.waiting[-1].payload[0], 8)

    async def order(self, kind: Kind, payload: bytes, status: Status = Status.OK) -> None:
        """Says a command with the number that is due."""
        await self.ask(kind, self.reference.expected, payload, status)

    async def begin(self, number: int = 255) -> None:
        """Says RESET."""
        await self.ask(Kind.RESET, number, b"", Status.OK)

    async def fill(self) -> None:
        """Writes random words into all of the memory, many bytes of them special to the line."""
        for at, count in self._places():
            stored = self.rng.integers(256, size=count * self.memory.bytes, dtype=np.uint8)
            special = self.rng.choice(np.array(SPECIAL, np.uint8), stored.size)
            stored = np.where(self.rng.random(stored.size) < 1 / 4, special, stored)
            payload = numbers(4, at) + stored.tobytes()
            await self.said(Frame(Kind.WRITE, self.reference.expected, payload).encode())

    async def done(self) -> None:
        """Reads all of the memory, and reports the test as passed."""
        for at, count in self._places():
            await self.said(Frame(Kind.READ, int(self.rng.integers(256)), numbers(4, count, at)).encode())
        await self.settle()
        self.finish()

    def _places(self) -> list[tuple[int, int]]:
        """Address and words of all that is in the memory, as much at a time as a frame carries."""
        most, words = MAX_DATA // self.memory.bytes, self.memory.words
        return [(at, min(most, words - at)) for at in range(0, words, most)]

    def _forget(self) -> None:
        """What a reset ends; of the memory nothing is known."""
        self.reference = Reference(self.identity)
        self.damaged, self.jobs, self._said, self._under_way, self._counts = [], [], b"", 0, False

    def _out_of(self, cycle: int, beat: Beat) -> None:
        self._last = cycle
        self._said += bytes((beat["payload"],))
        if len(self._said) == 1 or self._said[-1] != END:
            same("a reply's first byte", END, self._said[0], 8)
            return
        said, self._said = self._said, b""
        frames = list(Deframer().feed(said))
        if not frames or frames[0].encode() != said or not frames[0].kind & REPLY:
            raise Mismatch(f"No reply came out, up to cycle {cycle}: {said.hex()}.")
        self._reply(frames[0])

    def _reply(self, reply: Frame) -> None:
        """Compares a reply."""
        kind, status = reply.kind - REPLY, Status(reply.payload[0])
        if kind == Kind.DAMAGED and status != Status.KIND:
            same("detail of DAMAGED", 0, int.from_bytes(reply.payload[1:], "little"), 8)
            same("number of DAMAGED", 0, reply.sequence, 8)
            self.damaged.append(status)
        else:
            due = self.replies.take()
            if kind == Kind.RUN and status in (Status.OK, Status.REFUSED, Status.STUCK):
                self.spent = cycles = self.jobs.pop(0)
                if status == Status.OK:
                    reply = self._counted(reply, cycles)
            if reply != due:
                raise Mismatch(f"Expected the reply {due}, got {reply}.")
        self.checked += 1
        self.met(named(kind, status))
        if status == Status.REFUSED:
            for bit, case in self.refusals.items():
                self.met(case, bool(reply.payload[1] & bit))

    def _counted(self, reply: Frame, cycles: int) -> Frame:
        """The reply to a job with no counter but the first: the sum of all is the cycles of the job."""
        counts = np.frombuffer(reply.payload[1:], "<u4").tolist()
        same("counters", len(COUNTERS), len(counts), 8)
        same(f"sum of the counters {counts}", cycles - BESIDE, sum(counts), COUNTER_BITS)
        return Frame(reply.kind, reply.sequence, reply.payload[:5])

    async def _watch_busy(self) -> None:
        """Counts the cycles of jobs."""
        while True:
            await RisingEdge(self.busy)
            self.busy_from, self._counts = self.cycle, True
            await FallingEdge(self.busy)
            self.busy_to = self.cycle
            if self._counts:
                self.jobs.append(self.busy_to - self.busy_from)

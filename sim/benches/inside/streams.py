"""Streams signal by signal: who offers beats, who takes them, and who watches the rules.

Everything happens at rising edges of the clock: what is read there is the cycle that ends, what is written belongs to
the next one.
"""

from collections import deque
from collections.abc import Callable, Iterable

import cocotb
from cocotb.task import Task
from cocotb.triggers import FallingEdge, Timer

from sim.benches.inside.checks import Mismatch, RuleBroken
from sim.benches.inside.signals import Beat, Stream, noise, pauses
from sim.benches.inside.testbench import Testbench


class Source:
    """Offers beats to an input stream. Between beats the payload is noise.

    Parameters
    ----------
    bench : Testbench
    stream : Stream
    idle : str
        One of `PAUSES`: when to offer nothing although there are beats.
    """

    def __init__(self, bench: Testbench, stream: Stream, idle: str = "never"):
        self.bench, self.stream = bench, stream
        self.idle = pauses(idle, bench.rng)
        self.waiting: deque[Beat | None] = deque()
        self._task: Task[None] | None = None
        bench.on_reset(self._restart)

    def send(self, beats: Iterable[Beat | None]) -> None:
        """Queues beats; None is a cycle without one. Fields that the stream does not have are left out."""
        self.waiting.extend(beats)

    def _restart(self) -> None:
        if self._task:
            self._task.cancel()
        self.waiting.clear()
        self._task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            beat = None if not self.waiting or next(self.idle) else self.waiting.popleft()
            self.stream.valid.value = int(beat is not None)
            for name, handle in self.stream.fields.items():
                handle.value = beat[name] if beat else noise(self.stream.widths[name], self.bench.rng)
            await self.bench.edge
            while beat and not self.stream.is_ready:
                await self.bench.edge


class Sink:
    """Takes beats from an output stream.

    Parameters
    ----------
    bench : Testbench
    stream : Stream
    stall : str
        One of `PAUSES`: when not to be ready.
    patient : bool
        Be ready only when valid has been seen: a design whose valid waits for ready then hangs.
    """

    def __init__(self, bench: Testbench, stream: Stream, stall: str, *, patient: bool = False):
        self.bench, self.stream, self.patient = bench, stream, patient
        self.stalls = pauses(stall, bench.rng)
        self.blocked = False
        """Not ready at all while set."""
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        assert self.stream.ready is not None
        while True:
            offered = self.stream.is_valid and not self.stream.is_ready
            refuse = next(self.stalls) or self.blocked or (self.patient and not offered)
            self.stream.ready.value = int(not refuse)
            await self.bench.edge


class Monitor:
    """Watches a stream: valid is not withdrawn, the payload holds until it is taken.

    Parameters
    ----------
    bench : Testbench
    stream : Stream
    on_beat : callable
        Called with cycle and payload of each transfer.
    waits : bool
        Whether a beat may have to wait.
    """

    def __init__(self, bench: Testbench, stream: Stream, on_beat: Callable[[int, Beat], None], *, waits: bool = True):
        self.bench, self.stream, self.on_beat = bench, stream, on_beat
        self.waits, self.rests = f"stream {stream.name}: a beat waits", f"stream {stream.name}: nothing to take"
        bench.about(*([] if stream.ready is None or not waits else [self.waits]), self.rests)
        self._held: Beat | None = None
        bench.each_cycle(self._look)

    def _look(self, in_reset: bool) -> None:
        held, self._held = self._held, None
        if in_reset:
            return
        beat = self.stream.payload if self.stream.is_valid else None
        if held is not None and beat != held:
            what = "withdrew valid" if beat is None else f"changed the payload from {held} to {beat}"
            raise RuleBroken(f"Stream {self.stream.name} {what} without a transfer, in cycle {self.bench.cycle}.")
        if beat is None:
            self.bench.met(self.rests)
        elif self.stream.is_ready:
            self.on_beat(self.bench.cycle, beat)
        else:
            self.bench.met(self.waits)
            self._held = beat


class Delay:
    """Watches a pipeline that never pauses: a beat comes out just its latency after one went in, and never else.

    Parameters
    ----------
    bench : Testbench
    into, out_of : Stream
    """

    def __init__(self, bench: Testbench, into: Stream, out_of: Stream):
        self.bench, self.due = bench, deque[int]()
        Monitor(bench, into, lambda cycle, beat: self.due.append(cycle + bench.settings.latency))
        Monitor(bench, out_of, self._leave)
        bench.on_reset(self.due.clear)

    def _leave(self, cycle: int, beat: Beat) -> None:
        due = self.due.popleft() if self.due else None
        if cycle != due:
            raise Mismatch(f"What came out in cycle {cycle} was to come in cycle {due}.")


async def watch_independence(bench: Testbench, stream: Stream) -> None:
    """Turns ready of an output over in the middle of every cycle and back: valid and payload must not follow it."""
    assert stream.ready is not None
    while True:
        await FallingEdge(bench.clock)
        before, ready = (stream.is_valid, stream.payload), stream.is_ready
        stream.ready.value = int(not ready)
        await Timer(1, "step")
        after = (stream.is_valid, stream.payload)
        stream.ready.value = int(ready)
        if before != after and not bench.in_reset:
            raise RuleBroken(f"Stream {stream.name} depends on its own ready, in cycle {bench.cycle}.")

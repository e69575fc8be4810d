"""A job: beats streamed through a design inside one C++ loop, what comes out, and how it can fail."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from golden.errors import ToolError
from sim.rtl.layouts import Layout, Words
from sim.rtl.shim import CJob, CLane, CStream, Simulation, Status

__all__ = ["Job", "Pace", "Progress", "RuleBroken", "Run", "StreamCount", "Stuck"]

#: Called with the clock cycles of a run so far, and the awaited beats among them.
Progress = Callable[[int, int], object]

# A run returns to Python this often, for Ctrl-C and the progress callback.
_SLICE_SECONDS = 0.1

_RULES = {
    Status.WITHDRAWN: "valid was withdrawn before the beat was taken",
    Status.CHANGED: "the payload changed while valid waited for ready",
    Status.WAITS: "valid waits for ready",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an input offers its beats.

    Attributes:
        latency: Cycles before the first beat.
        period: Cycles from one beat's transfer to the next beat's offer, at least 1.
    """

    latency: int = 0
    period: int = 1


@dataclass(frozen=True, slots=True)
class StreamCount:
    """What a stream did during a run. The three add up to the cycles of the run.

    Attributes:
        beats: Cycles in which a beat was transferred. An output that is always ready may give more than were awaited;
            they are dropped.
        stalled: Cycles with valid and without ready.
        idle: Cycles without valid.
    """

    beats: int
    stalled: int
    idle: int


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of `Model.run` or `Model.exchange`.

    Attributes:
        outputs: For each output of the run its beats: shape (beats, words of the beat), uint32.
        cycles: Clock cycles from the first of the run to the last, which in `Model.run` is the one that transferred the
            last awaited beat.
        streams: For each stream of the run what it did.
    """

    outputs: dict[str, Words]
    cycles: int
    streams: dict[str, StreamCount]


class Stuck(ToolError):
    """No stream transferred anything for too long; the text says how far each one came.

    Attributes:
        streams: For each stream of the run what it did until then.
    """

    def __init__(self, message: str, streams: dict[str, StreamCount]) -> None:
        super().__init__(message)
        self.streams = streams


class RuleBroken(ToolError):
    """The design broke a rule of streams; the text names stream, rule and cycle."""


class Job:
    """What one call of `Model.run` hands to C++: structures, and the arrays that they point into.

    Args:
        simulation: What runs it.
        layouts: Of each of its streams.
        inputs: For each stream its beats: shape (beats, words of the beat), uint32, C order.
        outputs: For each awaited stream the array to fill with its beats, alike.
        stalls: For each stream that stalls, the probability.
        paces: For each input that is not as fast as it can be, its pace.
        seed: Of the random stalls.
        max_idle: Give up after so many cycles in which nothing was transferred.
    """

    def __init__(
        self,
        simulation: Simulation,
        layouts: Mapping[str, Layout],
        inputs: Mapping[str, Words],
        outputs: dict[str, Words],
        stalls: Mapping[str, float],
        paces: Mapping[str, Pace],
        seed: int,
        max_idle: int,
    ) -> None:
        self._simulation = simulation
        self._outputs = outputs
        self._names = [*inputs, *outputs]
        self._arrays = [*inputs.values(), *outputs.values()]
        self._held = [np.zeros(2 * layouts[name].words, np.uint32) for name in self._names]
        streams = [
            _stream(simulation, layouts[name], beats, held, stalls.get(name, 0.0), paces.get(name, Pace()), seed)
            for name, beats, held in zip(self._names, self._arrays, self._held, strict=True)
        ]
        self._in = (CStream * len(inputs))(*streams[: len(inputs)])
        self._out = (CStream * len(outputs))(*streams[len(inputs) :])
        self._awaited = sum(len(beats) for beats in (outputs or inputs).values())
        self._c = CJob(
            inputs=self._in,
            outputs=self._out,
            input_count=len(inputs),
            output_count=len(outputs),
            max_quiet=max_idle,
            awaited=self._awaited,
        )

    def run(self, progress: Progress | None) -> Run:
        """Runs the job to its end.

        Raises:
            Stuck: Nothing moved for `max_idle` cycles.
            RuleBroken: An output broke a rule of streams.
            ToolError: The design stopped the simulation.
        """
        try:
            status = self._advance(progress)
        finally:
            self._simulation.park(self._c)
        if status == Status.STUCK:
            raise self._stuck()
        self._check_rules(status)
        return Run(self._outputs, int(self._c.cycles), self._counts())

    def exchange(self, cycles: int) -> Run:
        """Runs the job for so many cycles, or until nothing has moved for `max_idle`; the outputs are what came.

        Raises:
            RuleBroken: An output broke a rule of streams.
            ToolError: The design stopped the simulation.
        """
        try:
            status = self._simulation.run(self._c, cycles)
        finally:
            self._simulation.park(self._c)
        self._check_rules(status)
        counts = self._counts()
        came = {name: beats[: counts[name].beats] for name, beats in self._outputs.items()}
        return Run(came, int(self._c.cycles), counts)

    def _check_rules(self, status: Status) -> None:
        if status in _RULES:
            culprit = self._names[int(self._c.input_count + self._c.culprit)]
            raise RuleBroken(f"Stream {culprit} broke a rule in cycle {self._c.cycles} of the run: {_RULES[status]}.")

    def _advance(self, progress: Progress | None) -> Status:
        """Goes on in slices until the job ends, and returns how."""
        limit = 1024
        while True:
            start = time.perf_counter()
            status = self._simulation.run(self._c, limit)
            if progress:
                progress(int(self._c.cycles), self._awaited - int(self._c.awaited))
            if status != Status.SLICE:
                return status
            limit = max(1, int(limit * min(2.0, _SLICE_SECONDS / (time.perf_counter() - start))))

    def _counts(self) -> dict[str, StreamCount]:
        """What each stream did so far."""
        return {
            name: StreamCount(stream.done, stream.stalled, stream.idle)
            for name, stream in zip(self._names, self._streams(), strict=True)
        }

    def _stuck(self) -> Stuck:
        """Tells how far each stream came."""
        told = "; ".join(
            f"{name} {stream.done} of {stream.beats} beats, {stream.stalled} cycles valid without ready, {stream.idle} "
            "without valid"
            for name, stream in zip(self._names, self._streams(), strict=True)
        )
        cycles = f"{self._c.max_quiet} cycles, up to cycle {self._c.cycles} of the run"
        return Stuck(f"Nothing was transferred for {cycles}: {told}.", self._counts())

    def _streams(self) -> list[CStream]:
        return [*self._in, *self._out]


def _stream(
    simulation: Simulation, layout: Layout, beats: Words, held: Words, stall: float, pace: Pace, seed: int
) -> CStream:
    name, ports = layout.stream, simulation.ports
    lanes = [CLane(ports[item.port].address, ports[item.port].bytes, item.words) for item in layout.fields]
    # A generator per stream, seeded by its name: one stream more does not change the stalls of the others.
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return CStream(
        valid=ports[f"{name}_valid"].address,
        ready=None if layout.always_ready else ports[f"{name}_ready"].address,
        lanes=(CLane * len(lanes))(*lanes),
        lane_count=len(lanes),
        data=beats.ctypes.data,
        words=layout.words,
        beats=len(beats),
        random=int.from_bytes(digest, "little") | 1,
        earliest=pace.latency,
        period=pace.period,
        hold=round(stall * 2**32),
        held=held.ctypes.data,
    )

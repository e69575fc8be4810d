"""A generated design as a Python object: ports, clock, internals, waves, and whole jobs at full speed.

    with Model(Path("build/adder.v")) as model:
        model.reset()
        model.io.enable = 1
        model.clock.tick()
        run = model.run({"a": beats}, {"y": len(beats)})

`Model.run` is the fast path: it streams NumPy arrays through the design inside one C++ loop. `Model.exchange` does the
same where nobody knows how much will come. The rest is for looking closer, one signal and one cycle at a time.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from golden.errors import GossetError
from golden.folders import cache_folder
from hw.generate import Generated
from sim.rtl import library
from sim.rtl.interface import Interface
from sim.rtl.layouts import Layout, Words
from sim.rtl.names import UnknownName, lookup
from sim.rtl.run import Job, Pace, Progress, RuleBroken, Run, Stuck
from sim.rtl.shim import Simulation
from sim.rtl.views import Clock, Internals, Io

__all__ = ["Model", "Pace", "RuleBroken", "Run", "Stuck", "UnknownName"]


class Model:
    """A Verilated design, built (or taken from the cache) and ready to run. A context manager: leaving it closes it.

    Args:
        verilog: The design; the JSON file that the generator wrote must lie beside it.
        public: Let `internals` reach every register, wire and memory.
        trace: Write waves to this file, `.fst` or `.vcd`. One clock cycle is two units of its time: cycle n starts at
            2n with a low clock and settled inputs, its rising edge is at 2n + 1.

    Attributes:
        top: Name of the top module.
        io: The ports.
        clock: The clock.
        internals: What is inside; needs `public=True`.

    Raises:
        GossetError: The description is missing or wrong, or the waves have another suffix.
        ToolError: The design cannot be built.
    """

    def __init__(self, verilog: Path, *, public: bool = False, trace: Path | None = None) -> None:
        interface = Interface.beside(verilog)
        self.top = interface.top
        self._reset_name = interface.reset
        self._layouts = interface.layouts
        built = library.build(verilog, self.top, interface.ports.values(), public=public, waves=_waves(trace))
        self._simulation = Simulation(built, self.top, interface.clock, public=public, trace=trace)
        self.io = Io(self._simulation)
        self.clock = Clock(self._simulation)
        self.internals = Internals(self._simulation)

    @classmethod
    def of(cls, generated: Generated, *, trace: Path | None = None) -> Self:
        """Makes a model of what was just generated; its files are kept in the cache."""
        digest = hashlib.sha256(generated.verilog.encode()).hexdigest()[:16]
        return cls(generated.write(cache_folder() / "verilog" / digest), trace=trace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model and completes the file of waves. Everything but a second `close` is an error afterwards."""
        self._simulation.close()

    @property
    def cycles(self) -> int:
        """Clock cycles since the model was made, those of resets and runs included."""
        return self._simulation.cycles

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the design's streams."""
        return tuple(self._layouts)

    def layout(self, stream: str) -> Layout:
        """Returns how the beats of a stream are laid out."""
        return lookup("stream", self.top, stream, self._layouts)

    def reset(self, cycles: int = 1) -> None:
        """Holds the reset high for some clock cycles, then lowers it.

        Raises:
            GossetError: The design has no clock or no reset.
        """
        if self._reset_name is None:
            raise GossetError(f"{self.top} has no reset.")
        setattr(self.io, self._reset_name, 1)
        self.clock.tick(cycles)
        setattr(self.io, self._reset_name, 0)

    def run(
        self,
        inputs: Mapping[str, Words],
        outputs: Mapping[str, int],
        *,
        max_idle: int = 100_000,
        stalls: float | Mapping[str, float] = 0.0,
        paces: Mapping[str, Pace] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Run:
        """Streams beats through the design until every awaited beat has come out.

        The clock runs inside C++. Streams and ports that are not named keep the levels that `io` gave them. Afterwards
        valid of the inputs and ready of the outputs are low; an output that has given its awaited beats is not ready
        for more in the meantime either, and a beat still on offer at the end is withdrawn.

        Args:
            inputs: For each stream its beats: shape (beats, words of its layout), uint32, C order (else copied).
            outputs: For each stream the number of beats to await. With no streams here the run ends when the last
                beat of the inputs is taken.
            max_idle: Give up after so many cycles in which no stream of the run transferred anything.
            stalls: Probability, from 0 to below 1, that in a cycle an input's next beat is not offered yet, or an
                output is not ready; for all streams or for each. A beat on offer stays.
            paces: For each input that is not to offer its beats as fast as it can, how fast.
            seed: Of the random stalls. The same seed gives the same stalls, on any machine.
            progress: Called several times a second and at the end, with the cycles and the awaited beats so far.

        Raises:
            GossetError: An array or a name is wrong.
            Stuck: Nothing moved for `max_idle` cycles.
            RuleBroken: An output withdrew valid, changed the payload while it was waiting, or made valid wait for
                ready. (The last is looked for where stalls withhold ready.)
            ToolError: The design stopped the simulation.
        """
        return self._job(inputs, outputs, stalls, paces or {}, seed, max_idle).run(progress)

    def exchange(
        self,
        inputs: Mapping[str, Words],
        outputs: Sequence[str],
        cycles: int,
        *,
        max_idle: int = 100_000,
        paces: Mapping[str, Pace] | None = None,
    ) -> Run:
        """Offers beats for a number of clock cycles, and takes whatever comes meanwhile.

        As `run` does it, but nothing is awaited. How many beats an input has taken is in `Run.streams`; one that was
        on offer at the end is withdrawn, and may be offered again.

        Args:
            inputs: For each stream its beats, as `run` takes them.
            outputs: The streams that are always ready.
            cycles: How many, from 1.
            max_idle: End earlier, after so many cycles in which no stream of the exchange transferred anything.
            paces: As `run` takes them.

        Raises:
            GossetError: An array or a name is wrong, or there are no cycles.
            RuleBroken: An output withdrew valid, or changed the payload while it was waiting.
            ToolError: The design stopped the simulation.
        """
        if cycles < 1:
            raise GossetError(f"An exchange takes at least one cycle; got {cycles}.")
        return self._job(inputs, dict.fromkeys(outputs, cycles), 0.0, paces or {}, 0, max_idle).exchange(cycles)

    def _job(
        self,
        inputs: Mapping[str, Words],
        outputs: Mapping[str, int],
        stalls: float | Mapping[str, float],
        paces: Mapping[str, Pace],
        seed: int,
        max_idle: int,
    ) -> Job:
        self._simulation.need_clock()
        arrays = {name: self._beats(name, beats) for name, beats in inputs.items()}
        results = {name: self._room(name, count) for name, count in outputs.items()}
        probabilities = self._probabilities(stalls, [*inputs, *outputs])
        for name, pace in paces.items():
            if name not in inputs:
                raise GossetError(f"A pace is given for {name}, which is not an input of this run.")
            if pace.latency < 0 or pace.period < 1:
                raise GossetError(f"The pace of {name} has a latency from 0 and a period from 1; got {pace}.")
        return Job(self._simulation, self._layouts, arrays, results, probabilities, paces, seed, max_idle)

    def _beats(self, stream: str, beats: Words) -> Words:
        self._directed(stream, True).check(beats)
        return np.ascontiguousarray(beats)

    def _room(self, stream: str, beats: int) -> Words:
        if beats < 0:
            raise GossetError(f"A run cannot await {beats} beats of {stream}.")
        return np.empty((beats, self._directed(stream, False).words), np.uint32)

    def _directed(self, stream: str, inward: bool) -> Layout:
        layout = self.layout(stream)
        if layout.inward != inward:
            raise GossetError(f"Stream {stream} of {self.top} is an {'input' if layout.inward else 'output'}.")
        return layout

    def _probabilities(self, stalls: float | Mapping[str, float], streams: Sequence[str]) -> dict[str, float]:
        rigid = [name for name in streams if not self.layout(name).inward and self.layout(name).always_ready]
        if not isinstance(stalls, Mapping):
            stalls = dict.fromkeys((name for name in streams if name not in rigid), stalls)
        for name, probability in stalls.items():
            if name not in streams:
                raise GossetError(f"Stalls are given for {name}, which is not a stream of this run.")
            if name in rigid:
                raise GossetError(f"Stream {name} is always ready: it cannot be stalled.")
            if not 0 <= probability < 1:
                raise GossetError(f"The stall probability of {name} must be from 0 to below 1; got {probability}.")
        return dict(stalls)


def _waves(trace: Path | None) -> library.Waves | None:
    if trace is None:
        return None
    if trace.suffix == ".fst":
        return "fst"
    if trace.suffix == ".vcd":
        return "vcd"
    raise GossetError(f"Waves are written as .fst or .vcd; got {trace.name}.")

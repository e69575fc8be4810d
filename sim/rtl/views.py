"""Views of a simulated design, one signal and one cycle at a time: its ports, its clock, and what is inside."""

from collections.abc import Iterator, Sequence
from typing import Any, SupportsIndex, cast, overload

from golden.errors import GossetError
from sim.rtl.names import lookup
from sim.rtl.shim import Signal, Simulation

__all__ = ["Clock", "Internals", "Io", "Memory"]


class Memory(Sequence[int]):
    """A memory inside the design: a list of words of fixed length, read and written by index or slice."""

    def __init__(self, simulation: Simulation, signal: Signal) -> None:
        self._simulation = simulation
        self._signal = signal

    def __len__(self) -> int:
        return self._signal.depth

    def __repr__(self) -> str:
        return f"<memory {self._signal.name}: {len(self)} words of {self._signal.width} bits>"

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        self._simulation.settle()
        if isinstance(index, slice):
            return [self._signal.read(i) for i in range(len(self))[index]]
        return self._signal.read(range(len(self))[index])

    def __setitem__(self, index: int | slice, value: int | Sequence[int]) -> None:
        self._simulation.settle()
        if isinstance(index, slice):
            places, values = range(len(self))[index], list(cast("Sequence[int]", value))
            if len(places) != len(values):
                raise GossetError(f"{len(values)} values do not fill {len(places)} words of {self._signal.name}.")
            for place, word in zip(places, values, strict=True):
                self._signal.write(word, place)
        else:
            self._signal.write(cast("int", value), range(len(self))[index])
        self._simulation.touch()


class Io:
    """The ports of a design as attributes: unsigned integers of any width.

    A written input shows in every output that is read afterwards, as far as it gets there without a clock edge.
    Reading an unknown port, writing an output or the clock, and writing a value that does not fit raise GossetError.
    """

    __slots__ = ("_simulation",)

    _simulation: Simulation

    def __init__(self, simulation: Simulation) -> None:
        object.__setattr__(self, "_simulation", simulation)

    def __dir__(self) -> list[str]:
        return list(self._simulation.ports)

    def __getattr__(self, name: str) -> int:
        signal = self._simulation.port(name)
        self._simulation.settle()
        return signal.read()

    def __setattr__(self, name: str, value: SupportsIndex) -> None:
        signal = self._simulation.port(name)
        if signal.output:
            raise GossetError(f"{name} is an output of {self._simulation.top}; only inputs can be written.")
        if name == self._simulation.clock:
            raise GossetError(f"{name} is the clock of {self._simulation.top}; it moves by model.clock.tick().")
        signal.write(value)
        self._simulation.touch()


class Internals:
    """The registers, wires and memories inside a design, by path: `internals["decoder_0.valid"]`, or as attributes.

    A written register or memory word stays until the design writes it; a written wire only until its drivers are
    evaluated again, which is at once. Listing them, or asking for a prefix such as `internals.decoder_0`, gives
    what is below. GossetError where the model was not made with `public=True`.
    """

    __slots__ = ("_prefix", "_simulation")

    _simulation: Simulation
    _prefix: str

    def __init__(self, simulation: Simulation, prefix: str = "") -> None:
        object.__setattr__(self, "_simulation", simulation)
        object.__setattr__(self, "_prefix", prefix)

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._simulation.inside() if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, path: str) -> bool:
        return self._prefix + path in self._simulation.inside()

    def __dir__(self) -> list[str]:
        return sorted({name.partition(".")[0] for name in self})

    def __getitem__(self, path: str) -> Any:
        """Returns an int, or for a memory a `Memory`."""
        signal = self._signal(path)
        if signal.depth:
            return Memory(self._simulation, signal)
        self._simulation.settle()
        return signal.read()

    def __setitem__(self, path: str, value: SupportsIndex) -> None:
        signal = self._signal(path)
        if signal.depth:
            raise GossetError(f"{path} is a memory of {signal.depth} words: write to its words by index or slice.")
        # What is pending on the ports must not be evaluated on top of the new value later.
        self._simulation.settle()
        signal.write(value)
        self._simulation.touch()

    def __getattr__(self, name: str) -> Any:
        """Returns what `internals[name]` does, or the `Internals` below `name`."""
        below = Internals(self._simulation, f"{self._prefix}{name}.")
        return below if name not in self and len(below) else self[name]

    def __setattr__(self, name: str, value: SupportsIndex) -> None:
        self[name] = value

    def _signal(self, path: str) -> Signal:
        return lookup("signal inside", self._simulation.top, self._prefix + path, self._simulation.inside())


class Clock:
    """The clock of a model."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def tick(self, n: int = 1) -> None:
        """Lets `n` rising edges pass; outputs read afterwards are those of the new cycle.

        Raises:
            GossetError: The design has no clock.
            ToolError: The design stopped the simulation.
        """
        self._simulation.tick(n)

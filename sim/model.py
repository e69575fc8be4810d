"""A generated design as a Python object: ports, clock, internals, waves, and whole jobs at full speed.

    with Model(Path("build/adder.v")) as model:
        model.reset()
        model.io.enable = 1
        model.clock.tick()
        run = model.run({"a": beats}, {"y": len(beats)})

`Model.run` is the fast path: it streams NumPy arrays through the design inside one C++ loop. The rest is for looking
closer, one signal and one cycle at a time.
"""

import ctypes
import difflib
import hashlib
import json
import operator
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.errors import GossetError, ToolError
from sim import verilator

__all__ = [
    "Clock",
    "Field",
    "Internals",
    "Io",
    "Layout",
    "Memory",
    "Model",
    "Progress",
    "RuleBroken",
    "Run",
    "StreamCount",
    "Stuck",
    "UnknownName",
]

Words = NDArray[np.uint32]
_Value = TypeVar("_Value")

#: Called with the clock cycles of a run so far, and the awaited beats among them.
Progress = Callable[[int, int], object]

# A run returns to Python this often, for Ctrl-C and the progress callback.
_SLICE_SECONDS = 0.1


class UnknownName(GossetError, AttributeError):
    """A design has no port, stream or signal of that name; the text offers those nearest to it."""


class Stuck(ToolError):
    """No stream transferred anything for too long; the text says how far each one came.

    Attributes:
        streams: For each stream of the run what it did until then.
    """

    def __init__(self, message: str, streams: "dict[str, StreamCount]") -> None:
        super().__init__(message)
        self.streams = streams


class RuleBroken(ToolError):
    """The design broke a rule of streams; the text names stream, rule and cycle."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where one payload port lies in a beat.

    Attributes:
        port: Name of the port.
        offset: Index of its first 32-bit word in the beat.
        words: 32-bit words it takes.
        width: Bits it has; those above them in its words are zero.
    """

    port: str
    offset: int
    words: int
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A stream, and how its beats are laid out as rows of 32-bit words, little endian.

    Attributes:
        stream: Name of the stream.
        inward: Whether the design consumes it.
        always_ready: Whether it has no ready: every offered beat is taken.
        fields: Its payload ports, in the order of the metadata; each starts at a word of its own.
    """

    stream: str
    inward: bool
    always_ready: bool
    fields: tuple[Field, ...]

    @property
    def words(self) -> int:
        """32-bit words per beat."""
        return sum(item.words for item in self.fields)

    def pack(self, values: Mapping[str, ArrayLike]) -> Words:
        """Lays out payloads as beats.

        Args:
            values: For each payload port its values: shape (beats,), non-negative integers, for a port of at most 64
                bits; or shape (beats, words of the port), uint32, for any port.

        Returns:
            Shape (beats, words of the beat), uint32.

        Raises:
            GossetError: A port is missing or unknown, the lengths differ, or a value does not fit its port.
        """
        if set(values) != {item.port for item in self.fields}:
            names = ", ".join(item.port for item in self.fields)
            raise GossetError(
                f"A beat of stream {self.stream} is made of {names}; got {', '.join(values) or 'nothing'}."
            )
        columns = [_words_of(item, np.asarray(values[item.port])) for item in self.fields]
        if len({len(column) for column in columns}) != 1:
            raise GossetError(f"The ports of stream {self.stream} have different numbers of beats.")
        beats = np.concatenate(columns, axis=1)
        self.check(beats)
        return beats

    def unpack(self, beats: Words) -> dict[str, NDArray[Any]]:
        """Takes beats apart: the inverse of `pack`.

        Args:
            beats: Shape (beats, words of the beat), uint32.

        Returns:
            For each port its values: shape (beats,), uint32 or (from 33 bits on) uint64; from 65 bits on shape
            (beats, words of the port), uint32.
        """
        return {item.port: _values_of(beats[:, item.offset : item.offset + item.words]) for item in self.fields}

    def check(self, beats: Words) -> None:
        """Raises GossetError where `beats` is not of shape (any, words), uint32, or a value does not fit its port."""
        if beats.dtype != np.uint32 or beats.ndim != 2 or beats.shape[1] != self.words:
            raise GossetError(
                f"Stream {self.stream} takes uint32 beats of shape (beats, {self.words}); got {beats.dtype} of shape "
                f"{beats.shape}."
            )
        seen = np.bitwise_or.reduce(beats, axis=0)
        for item in self.fields:
            spare = item.words * 32 - item.width
            if spare and int(seen[item.offset + item.words - 1]) >> (32 - spare):
                raise GossetError(f"A value of {item.port} in stream {self.stream} does not fit its {item.width} bits.")


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
    """What came out of `Model.run`.

    Attributes:
        outputs: For each awaited stream its beats: shape (beats, words of the beat), uint32.
        cycles: Clock cycles from the first of the run to the one that transferred the last awaited beat, inclusive.
        streams: For each stream of the run what it did.
    """

    outputs: dict[str, Words]
    cycles: int
    streams: dict[str, StreamCount]


class Memory(Sequence[int]):
    """A memory inside the design: a list of words of fixed length, read and written by index or slice."""

    def __init__(self, model: "Model", signal: "_Signal") -> None:
        self._model = model
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
        self._model._settle()
        if isinstance(index, slice):
            return [self._signal.read(i) for i in range(len(self))[index]]
        return self._signal.read(range(len(self))[index])

    def __setitem__(self, index: int | slice, value: int | Sequence[int]) -> None:
        self._model._settle()
        if isinstance(index, slice):
            places, values = range(len(self))[index], list(cast("Sequence[int]", value))
            if len(places) != len(values):
                raise GossetError(f"{len(values)} values do not fill {len(places)} words of {self._signal.name}.")
            for place, word in zip(places, values, strict=True):
                self._signal.write(word, place)
        else:
            self._signal.write(cast("int", value), range(len(self))[index])
        self._model._touch()


class Io:
    """The ports of a design as attributes: unsigned integers of any width.

    A written input shows in every output that is read afterwards, as far as it gets there without a clock edge.
    Reading an unknown port, writing an output or the clock, and writing a value that does not fit raise GossetError.
    """

    __slots__ = ("_model",)

    _model: "Model"

    def __init__(self, model: "Model") -> None:
        object.__setattr__(self, "_model", model)

    def __dir__(self) -> list[str]:
        return list(self._model._ports)

    def __getattr__(self, name: str) -> int:
        signal = self._model._port(name)
        self._model._settle()
        return signal.read()

    def __setattr__(self, name: str, value: SupportsIndex) -> None:
        signal = self._model._port(name)
        if signal.output:
            raise GossetError(f"{name} is an output of {self._model.top}; only inputs can be written.")
        if name == self._model._clock_name:
            raise GossetError(f"{name} is the clock of {self._model.top}; it moves by model.clock.tick().")
        signal.write(value)
        self._model._touch()


class Internals:
    """The registers, wires and memories inside a design, by path: `internals["decoder_0.valid"]`, or as attributes.

    A written register or memory word stays until the design writes it; a written wire only until its drivers are
    evaluated again, which is at once. Listing them, or asking for a prefix such as `internals.decoder_0`, gives
    what is below. GossetError where the model was not made with `public=True`.
    """

    __slots__ = ("_model", "_prefix")

    _model: "Model"
    _prefix: str

    def __init__(self, model: "Model", prefix: str = "") -> None:
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_prefix", prefix)

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._model._inside() if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, path: str) -> bool:
        return self._prefix + path in self._model._inside()

    def __dir__(self) -> list[str]:
        return sorted({name.partition(".")[0] for name in self})

    def __getitem__(self, path: str) -> Any:
        """Returns an int, or for a memory a `Memory`."""
        signal = self._signal(path)
        if signal.depth:
            return Memory(self._model, signal)
        self._model._settle()
        return signal.read()

    def __setitem__(self, path: str, value: SupportsIndex) -> None:
        signal = self._signal(path)
        if signal.depth:
            raise GossetError(f"{path} is a memory of {signal.depth} words: write to its words by index or slice.")
        # What is pending on the ports must not be evaluated on top of the new value later.
        self._model._settle()
        signal.write(value)
        self._model._touch()

    def __getattr__(self, name: str) -> Any:
        """Returns what `internals[name]` does, or the `Internals` below `name`."""
        below = Internals(self._model, f"{self._prefix}{name}.")
        return below if name not in self and len(below) else self[name]

    def __setattr__(self, name: str, value: SupportsIndex) -> None:
        self[name] = value

    def _signal(self, path: str) -> "_Signal":
        return _lookup("signal inside", self._model.top, self._prefix + path, self._model._inside())


class Clock:
    """The clock of a model."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    def tick(self, n: int = 1) -> None:
        """Lets `n` rising edges pass; outputs read afterwards are those of the new cycle.

        Raises:
            GossetError: The design has no clock.
            ToolError: The design stopped the simulation.
        """
        self._model._need_clock()
        self._model._check(self._model._library.gosset_tick(self._model._handle, n))


@dataclass(frozen=True, slots=True)
class _Signal:
    """A place in the memory of a Verilated design. Reads and writes do not evaluate anything."""

    name: str
    address: int
    width: int
    depth: int
    output: bool
    bytes: int  # of one word

    def read(self, index: int = 0) -> int:
        return int.from_bytes(ctypes.string_at(self.address + index * self.bytes, self.bytes), "little")

    def write(self, value: SupportsIndex, index: int = 0) -> None:
        number = operator.index(value)
        if number < 0 or number >> self.width:
            raise GossetError(f"{number} does not fit {self.name}, which has {self.width} bits, unsigned.")
        ctypes.memmove(self.address + index * self.bytes, number.to_bytes(self.bytes, "little"), self.bytes)


# ---- Mirrors of the structures in shim.cpp: change both together. ----


class _CSignal(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("depth", ctypes.c_uint32),
        ("output", ctypes.c_uint32),
    )


class _CLane(ctypes.Structure):
    _fields_ = (("port", ctypes.c_void_p), ("bytes", ctypes.c_uint32), ("words", ctypes.c_uint32))


class _CStream(ctypes.Structure):
    _fields_ = (
        ("valid", ctypes.c_void_p),
        ("ready", ctypes.c_void_p),
        ("lanes", ctypes.POINTER(_CLane)),
        ("lane_count", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("words", ctypes.c_uint64),
        ("beats", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
        ("stalled", ctypes.c_uint64),
        ("idle", ctypes.c_uint64),
        ("random", ctypes.c_uint64),
        ("hold", ctypes.c_uint32),
        ("pending", ctypes.c_uint32),
        ("held", ctypes.c_void_p),
    )


class _CJob(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.POINTER(_CStream)),
        ("outputs", ctypes.POINTER(_CStream)),
        ("input_count", ctypes.c_uint64),
        ("output_count", ctypes.c_uint64),
        ("cycles", ctypes.c_uint64),
        ("quiet", ctypes.c_uint64),
        ("max_quiet", ctypes.c_uint64),
        ("awaited", ctypes.c_uint64),
        ("culprit", ctypes.c_uint64),
    )


_SLICE, _DONE, _STUCK, _WITHDRAWN, _CHANGED, _WAITS, _ERROR = range(7)

_RULES = {
    _WITHDRAWN: "valid was withdrawn before the beat was taken",
    _CHANGED: "the payload changed while valid waited for ready",
    _WAITS: "valid waits for ready",
}


@cache
def _load(path: Path) -> ctypes.CDLL:
    """Loads a built library and declares its functions."""
    library = ctypes.CDLL(str(path))
    handle, count = ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64)
    job = ctypes.POINTER(_CJob)
    for name, result, *arguments in (
        ("gosset_error", ctypes.c_char_p),
        ("gosset_open", handle, ctypes.c_char_p, ctypes.c_char_p),
        ("gosset_close", ctypes.c_int, handle),
        ("gosset_ports", ctypes.POINTER(_CSignal), handle, count),
        ("gosset_internals", ctypes.POINTER(_CSignal), handle, count),
        ("gosset_cycles", ctypes.c_uint64, handle),
        ("gosset_eval", ctypes.c_int, handle),
        ("gosset_tick", ctypes.c_int, handle, ctypes.c_uint64),
        ("gosset_run", ctypes.c_int, handle, job, ctypes.c_uint64),
        ("gosset_park", ctypes.c_int, handle, job),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


# ---- The metadata that lies beside a design. ----


@dataclass(frozen=True, slots=True)
class _Interface:
    top: str
    clock: str | None
    reset: str | None
    ports: dict[str, verilator.Port]
    layouts: dict[str, Layout]

    @classmethod
    def beside(cls, verilog: Path) -> Self:
        """Reads the JSON file beside a Verilog file."""
        path = verilog.with_suffix(".json")
        if not path.exists():
            raise GossetError(f"{path} is missing: the description that the generator writes beside {verilog.name}.")
        try:
            data = json.loads(path.read_text())
            ports = {
                port["name"]: verilator.Port(port["name"], port["direction"], port["width"]) for port in data["ports"]
            }
            layouts = {stream["name"]: _layout(stream, ports) for stream in data["streams"]}
            return cls(data["top"], data["clock"], data["reset"], ports, layouts)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise GossetError(f"{path} does not describe a design: {error!r}.") from error


def _layout(stream: Mapping[str, Any], ports: Mapping[str, verilator.Port]) -> Layout:
    fields: list[Field] = []
    offset = 0
    for name in stream["payload"]:
        words = (ports[name].width + 31) // 32
        fields.append(Field(name, offset, words, ports[name].width))
        offset += words
    name, always_ready = stream["name"], bool(stream.get("always_ready", False))
    for handshake in [f"{name}_valid"] if always_ready else [f"{name}_valid", f"{name}_ready"]:
        if ports[handshake].width != 1:
            raise TypeError(f"{handshake} is not one bit wide")
    return Layout(name, stream["direction"] == "in", always_ready, tuple(fields))


class _Job:
    """What one call of `Model.run` hands to C++: structures, and the arrays that they point into."""

    def __init__(
        self,
        model: "Model",
        inputs: Mapping[str, Words],
        outputs: Mapping[str, Words],
        stalls: Mapping[str, float],
        seed: int,
        max_idle: int,
    ) -> None:
        self._names = [*inputs, *outputs]
        self._arrays = [*inputs.values(), *outputs.values()]
        self._held = [np.zeros(2 * model.layout(name).words, np.uint32) for name in self._names]
        streams = [
            _stream(model, name, beats, held, stalls.get(name, 0.0), seed)
            for name, beats, held in zip(self._names, self._arrays, self._held, strict=True)
        ]
        self._in = (_CStream * len(inputs))(*streams[: len(inputs)])
        self._out = (_CStream * len(outputs))(*streams[len(inputs) :])
        self._awaited = sum(len(beats) for beats in (outputs or inputs).values())
        self.c = _CJob(
            inputs=self._in,
            outputs=self._out,
            input_count=len(inputs),
            output_count=len(outputs),
            max_quiet=max_idle,
            awaited=self._awaited,
        )

    @property
    def beats(self) -> int:
        """Awaited beats that came so far."""
        return self._awaited - int(self.c.awaited)

    @property
    def culprit(self) -> str:
        """The output stream that broke a rule."""
        return self._names[int(self.c.input_count + self.c.culprit)]

    def counts(self) -> dict[str, StreamCount]:
        """What each stream did so far."""
        return {
            name: StreamCount(stream.done, stream.stalled, stream.idle)
            for name, stream in zip(self._names, self._streams(), strict=True)
        }

    def stuck(self) -> Stuck:
        """Tells how far each stream came."""
        told = "; ".join(
            f"{name} {stream.done} of {stream.beats} beats, {stream.stalled} cycles valid without ready, {stream.idle} "
            "without valid"
            for name, stream in zip(self._names, self._streams(), strict=True)
        )
        cycles = f"{self.c.max_quiet} cycles, up to cycle {self.c.cycles} of the run"
        return Stuck(f"Nothing was transferred for {cycles}: {told}.", self.counts())

    def _streams(self) -> list[_CStream]:
        return [*self._in, *self._out]


def _stream(model: "Model", name: str, beats: Words, held: Words, stall: float, seed: int) -> _CStream:
    layout = model.layout(name)
    ports = [model._ports[item.port] for item in layout.fields]
    lanes = [_CLane(port.address, port.bytes, item.words) for port, item in zip(ports, layout.fields, strict=True)]
    # A generator per stream, seeded by its name: one stream more does not change the stalls of the others.
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return _CStream(
        valid=model._ports[f"{name}_valid"].address,
        ready=None if layout.always_ready else model._ports[f"{name}_ready"].address,
        lanes=(_CLane * len(lanes))(*lanes),
        lane_count=len(lanes),
        data=beats.ctypes.data,
        words=layout.words,
        beats=len(beats),
        random=int.from_bytes(digest, "little") | 1,
        hold=round(stall * 2**32),
        held=held.ctypes.data,
    )


def _words_of(item: Field, values: NDArray[Any]) -> Words:
    """Returns the values of one port as rows of its words."""
    if values.ndim == 2 and values.shape[1] == item.words and values.dtype == np.uint32:
        return values
    if values.ndim != 1 or values.dtype.kind not in "iub" or item.words > 2:
        raise GossetError(
            f"{item.port} takes integers of shape (beats,)"
            f"{'' if item.words <= 2 else ' only up to 64 bits'}, or uint32 of shape (beats, {item.words}); got "
            f"{values.dtype} of shape {values.shape}."
        )
    if values.size and int(values.min()) < 0:
        raise GossetError(f"{item.port} takes non-negative values; got {values.min()}.")
    wide = values.astype("<u8").view("<u4").reshape(-1, 2)
    if item.words == 1 and wide[:, 1].any():
        raise GossetError(f"A value of {item.port} does not fit its {item.width} bits.")
    return wide[:, : item.words]


def _values_of(words: Words) -> NDArray[Any]:
    """Returns rows of words as one integer each, where NumPy has one that is wide enough."""
    if words.shape[1] == 1:
        return words[:, 0]
    if words.shape[1] == 2:
        return np.ascontiguousarray(words).view("<u8")[:, 0]
    return words


def _lookup(kind: str, owner: str, name: str, known: Mapping[str, _Value]) -> _Value:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:8]
    raise UnknownName(f"{owner} has no {kind} {name!r}; did you mean {', '.join(near)}?")


def _waves(trace: Path | None) -> verilator.Waves | None:
    if trace is None:
        return None
    if trace.suffix == ".fst":
        return "fst"
    if trace.suffix == ".vcd":
        return "vcd"
    raise GossetError(f"Waves are written as .fst or .vcd; got {trace.name}.")


def _below_top(path: str) -> str:
    """Strips `TOP.` and the top module's name from the path of a signal."""
    return path.split(".", 2)[-1]


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
        interface = _Interface.beside(verilog)
        self.top = interface.top
        self._clock_name = interface.clock
        self._reset_name = interface.reset
        self._layouts = interface.layouts
        self._public = public
        self._stale = False
        self._open = True
        path = verilator.build(verilog, interface.top, interface.ports.values(), public=public, waves=_waves(trace))
        self._library = _load(path)
        if trace:
            trace.parent.mkdir(parents=True, exist_ok=True)
            # Verilator itself would go on in silence where it cannot write.
            trace.touch()
        name = interface.clock.encode() if interface.clock else None
        self._handle = self._library.gosset_open(name, str(trace).encode() if trace else None)
        if not self._handle:
            self._check(_ERROR)
        self._closer = weakref.finalize(self, self._library.gosset_close, self._handle)
        self._ports = {signal.name: signal for signal in self._signals("gosset_ports")}
        self._internals = {signal.name: signal for signal in self._signals("gosset_internals")}
        self.io = Io(self)
        self.clock = Clock(self)
        self.internals = Internals(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model and completes the file of waves. Everything but a second `close` is an error afterwards."""
        self._open = False
        self._closer()

    @property
    def cycles(self) -> int:
        """Clock cycles since the model was made, those of resets and runs included."""
        self._need_open()
        return int(self._library.gosset_cycles(self._handle))

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the design's streams."""
        return tuple(self._layouts)

    def layout(self, stream: str) -> Layout:
        """Returns how the beats of a stream are laid out."""
        return _lookup("stream", self.top, stream, self._layouts)

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
            seed: Of the random stalls. The same seed gives the same stalls, on any machine.
            progress: Called several times a second and at the end, with the cycles and the awaited beats so far.

        Raises:
            GossetError: An array or a name is wrong.
            Stuck: Nothing moved for `max_idle` cycles.
            RuleBroken: An output withdrew valid, changed the payload while it was waiting, or made valid wait for
                ready. (The last is looked for where stalls withhold ready.)
            ToolError: The design stopped the simulation.
        """
        self._need_clock()
        arrays = {name: self._beats(name, beats) for name, beats in inputs.items()}
        results = {name: self._room(name, count) for name, count in outputs.items()}
        job = _Job(self, arrays, results, self._probabilities(stalls, [*inputs, *outputs]), seed, max_idle)
        try:
            status = self._advance(job, progress)
        finally:
            self._check(self._library.gosset_park(self._handle, ctypes.byref(job.c)))
        if status == _STUCK:
            raise job.stuck()
        if status in _RULES:
            raise RuleBroken(f"Stream {job.culprit} broke a rule in cycle {job.c.cycles} of the run: {_RULES[status]}.")
        return Run(results, int(job.c.cycles), job.counts())

    def _advance(self, job: _Job, progress: Progress | None) -> int:
        """Runs a job in slices until it ends, and returns how."""
        limit = 1024
        while True:
            start = time.perf_counter()
            status = self._check(self._library.gosset_run(self._handle, ctypes.byref(job.c), limit))
            if progress:
                progress(int(job.c.cycles), job.beats)
            if status != _SLICE:
                return status
            limit = max(1, int(limit * min(2.0, _SLICE_SECONDS / (time.perf_counter() - start))))

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

    def _signals(self, function: str) -> Iterator[_Signal]:
        count = ctypes.c_uint64()
        table = getattr(self._library, function)(self._handle, ctypes.byref(count))
        for entry in table[: count.value]:
            name = _below_top(verilator.source_name(entry.name.decode()))
            size = next((size for size in (1, 2, 4, 8) if entry.width <= 8 * size), (entry.width + 31) // 32 * 4)
            yield _Signal(name, entry.data, entry.width, entry.depth, bool(entry.output), size)

    def _port(self, name: str) -> _Signal:
        self._need_open()
        return _lookup("port", self.top, name, self._ports)

    def _inside(self) -> dict[str, _Signal]:
        if not self._public:
            raise UnknownName(f"The inside of {self.top} is not visible: make the model with public=True.")
        return self._internals

    def _touch(self) -> None:
        """Something was written: evaluate before the next read."""
        self._stale = True

    def _settle(self) -> None:
        """Evaluates what depends on written signals combinationally."""
        self._need_open()
        if self._stale:
            self._check(self._library.gosset_eval(self._handle))
            self._stale = False

    def _need_open(self) -> None:
        if not self._open:
            raise GossetError(f"The model of {self.top} is closed.")

    def _need_clock(self) -> None:
        self._need_open()
        if self._clock_name is None:
            raise GossetError(f"{self.top} has no clock.")

    def _check(self, status: int) -> int:
        if status == _ERROR:
            raise ToolError(f"The simulation of {self.top} failed: {self._library.gosset_error().decode()}.")
        return status

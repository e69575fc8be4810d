"""The Python half of shim.cpp: a built library, loaded, with one instance of its design running in it."""

import ctypes
import operator
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import SupportsIndex

from golden.errors import GossetError, ToolError
from sim.rtl.cache import load
from sim.rtl.library import source_name
from sim.rtl.names import UnknownName, lookup

__all__ = ["CJob", "CLane", "CStream", "Signal", "Simulation", "Status"]


# ---- Mirrors of the structures in shim.cpp: change both together. ----


class _CSignal(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("depth", ctypes.c_uint32),
        ("output", ctypes.c_uint32),
    )


class CLane(ctypes.Structure):
    """`struct Lane`."""

    _fields_ = (("port", ctypes.c_void_p), ("bytes", ctypes.c_uint32), ("words", ctypes.c_uint32))


class CStream(ctypes.Structure):
    """`struct Stream`."""

    _fields_ = (
        ("valid", ctypes.c_void_p),
        ("ready", ctypes.c_void_p),
        ("lanes", ctypes.POINTER(CLane)),
        ("lane_count", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("words", ctypes.c_uint64),
        ("beats", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
        ("stalled", ctypes.c_uint64),
        ("idle", ctypes.c_uint64),
        ("random", ctypes.c_uint64),
        ("earliest", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
        ("hold", ctypes.c_uint32),
        ("pending", ctypes.c_uint32),
        ("held", ctypes.c_void_p),
    )


class CJob(ctypes.Structure):
    """`struct Job`."""

    _fields_ = (
        ("inputs", ctypes.POINTER(CStream)),
        ("outputs", ctypes.POINTER(CStream)),
        ("input_count", ctypes.c_uint64),
        ("output_count", ctypes.c_uint64),
        ("cycles", ctypes.c_uint64),
        ("quiet", ctypes.c_uint64),
        ("max_quiet", ctypes.c_uint64),
        ("awaited", ctypes.c_uint64),
        ("culprit", ctypes.c_uint64),
    )


class Status(IntEnum):
    """`enum Status`: how a call ended."""

    SLICE = 0
    DONE = 1
    STUCK = 2
    WITHDRAWN = 3
    CHANGED = 4
    WAITS = 5
    ERROR = 6


# ---- What Python makes of them. ----


@dataclass(frozen=True, slots=True)
class Signal:
    """A place in the memory of a Verilated design. Reads and writes do not evaluate anything."""

    name: str
    address: int
    width: int
    depth: int
    output: bool
    bytes: int  # of one word

    def read(self, index: int = 0) -> int:
        """Returns a word of it."""
        return int.from_bytes(ctypes.string_at(self.address + index * self.bytes, self.bytes), "little")

    def write(self, value: SupportsIndex, index: int = 0) -> None:
        """Sets a word of it; raises GossetError where the value does not fit."""
        number = operator.index(value)
        if number < 0 or number >> self.width:
            raise GossetError(f"{number} does not fit {self.name}, which has {self.width} bits, unsigned.")
        ctypes.memmove(self.address + index * self.bytes, number.to_bytes(self.bytes, "little"), self.bytes)


class Simulation:
    """An instance of a Verilated design, freed when it is closed or forgotten.

    Args:
        library: The built library.
        top: Name of the top module.
        clock: Name of the clock port, if there is one.
        public: Whether the library was built with the inside visible.
        trace: File of waves; the library was built for its format.

    Attributes:
        top: Name of the top module.
        clock: Name of the clock port, if there is one.
        ports: By name.

    Raises:
        ToolError: The design cannot be started.
    """

    def __init__(self, library: Path, top: str, clock: str | None, *, public: bool, trace: Path | None) -> None:
        self.top = top
        self.clock = clock
        self._public = public
        self._stale = False
        self._open = True
        self._library = _load(library)
        if trace:
            trace.parent.mkdir(parents=True, exist_ok=True)
            # Verilator itself would go on in silence where it cannot write.
            trace.touch()
        self._handle = self._library.gosset_open(
            clock.encode() if clock else None, str(trace).encode() if trace else None
        )
        if not self._handle:
            self._check(Status.ERROR)
        self._closer = weakref.finalize(self, self._library.gosset_close, self._handle)
        self.ports = {signal.name: signal for signal in self._signals("gosset_ports")}
        self._internals = {signal.name: signal for signal in self._signals("gosset_internals")}

    def close(self) -> None:
        """Frees it and completes the file of waves. Everything but a second `close` is an error afterwards."""
        self._open = False
        self._closer()

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        self._need_open()
        return int(self._library.gosset_cycles(self._handle))

    def port(self, name: str) -> Signal:
        """Returns a port; raises UnknownName where there is none of that name."""
        self._need_open()
        return lookup("port", self.top, name, self.ports)

    def inside(self) -> dict[str, Signal]:
        """Returns the signals inside, by path; raises UnknownName where they are not visible."""
        if not self._public:
            raise UnknownName(f"The inside of {self.top} is not visible: make the model with public=True.")
        return self._internals

    def touch(self) -> None:
        """Something was written: evaluate before the next read."""
        self._stale = True

    def settle(self) -> None:
        """Evaluates what depends on written signals combinationally."""
        self._need_open()
        if self._stale:
            self._check(self._library.gosset_eval(self._handle))
            self._stale = False

    def tick(self, n: int) -> None:
        """Lets `n` rising edges pass."""
        self.need_clock()
        self._check(self._library.gosset_tick(self._handle, n))

    def run(self, job: CJob, limit: int) -> Status:
        """Goes on with a job for at most `limit` cycles."""
        status = Status(self._library.gosset_run(self._handle, ctypes.byref(job), limit))
        self._check(status)
        return status

    def park(self, job: CJob) -> None:
        """Lowers valid of the inputs of a job, and ready of its outputs."""
        self._check(self._library.gosset_park(self._handle, ctypes.byref(job)))

    def need_clock(self) -> None:
        """Raises GossetError where the instance is closed or the design has no clock."""
        self._need_open()
        if self.clock is None:
            raise GossetError(f"{self.top} has no clock.")

    def _need_open(self) -> None:
        if not self._open:
            raise GossetError(f"The model of {self.top} is closed.")

    def _check(self, status: int) -> None:
        if status == Status.ERROR:
            raise ToolError(f"The simulation of {self.top} failed: {self._library.gosset_error().decode()}.")

    def _signals(self, function: str) -> Iterator[Signal]:
        count = ctypes.c_uint64()
        table = getattr(self._library, function)(self._handle, ctypes.byref(count))
        for entry in table[: count.value]:
            name = _below_top(source_name(entry.name.decode()))
            size = next((size for size in (1, 2, 4, 8) if entry.width <= 8 * size), (entry.width + 31) // 32 * 4)
            yield Signal(name, entry.data, entry.width, entry.depth, bool(entry.output), size)


@cache
def _load(path: Path) -> ctypes.CDLL:
    """Loads a built library and declares its functions."""
    library = load(path)
    handle, count = ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64)
    job = ctypes.POINTER(CJob)
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


def _below_top(path: str) -> str:
    """Strips `TOP.` and the top module's name from the path of a signal."""
    return path.split(".", 2)[-1]

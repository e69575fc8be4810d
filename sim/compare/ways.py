"""Ways to multiply in software: NumPy's, this project's kernels, and how all of them are timed.

Weights stream from memory: every call takes the next of as many copies as make `STREAMED` bytes. All ways take turns,
so that what disturbs the machine disturbs all of them, and medians are compared.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.format import Format
from golden.int8 import quantize_int8
from golden.quantize import quantize
from sim.compare.machine import STREAMED
from sim.kernels.encoder import chooser
from sim.kernels.product import Kernels, Laid

Array = NDArray[np.float32]
Multiply = Callable[[Any], Any]

MOST_COPIES = 512
"""Copies of small weights at most. Where that is less than the caches have, a report says that they are in cache."""

ROUNDS = 3
"""Rounds of all ways at least."""

PAUSE = 0.03
"""Seconds before a way's turn, in which the threads of the one before stop looking for work: OpenBLAS's look for 2²⁶
cycles."""

WARM = 0.08
"""Seconds of calls in a way's turn that do not count: its own threads find processors, and those wake up."""

TURN = 0.02
"""Seconds of calls after them that count."""


class Unfit(GossetError):
    """A way that cannot multiply matrices of this shape, with the reason."""


@dataclass(frozen=True)
class Prepared:
    """Weights laid out for one way.

    Attributes
    ----------
    bits : float
        Per weight, all that is read counted.
    operand : callable
        Makes of float32 activations `(M, K)` what a call takes; it is not timed.
    calls : sequence of callables
        Each multiplies by a copy of its own: `(M, N)`.
    array : callable
        A call's result as a float32 array, for checks.
    """

    bits: float
    operand: Callable[[Array], Any]
    calls: Sequence[Multiply]
    array: Callable[[Any], Array] = np.asarray


class Way(Protocol):
    """A way to multiply."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def family(self) -> str:
        """Ways of one family differ by their rates; a way without others like it has none."""

    @property
    def takes(self) -> str:
        """The activations that a call takes, "fp32", "int8" or "packed": quantising fp32 is in its time."""

    def prepare(self, w: Array, copies: Callable[[float], int], threads: int) -> Prepared:
        """Lays out weights `(N, K)`, so many copies for so many bytes of one.

        Raises
        ------
        Unfit
            If the way does not take this shape.
        """


def copies(size: float, most: int = MOST_COPIES) -> int:
    """Copies of so many bytes that no cache holds, as far as there may be so many."""
    return min(-(-STREAMED // max(1, int(size))), most)


@dataclass(frozen=True)
class Float32:
    """NumPy's product."""

    name: str = "NumPy fp32"
    family: str = ""
    takes: str = "fp32"

    def prepare(self, w: Array, copies: Callable[[float], int], threads: int) -> Prepared:
        """As `Way`; its threads are those of BLAS."""
        weights = [w.copy() for _ in range(copies(w.nbytes))]
        return Prepared(32, lambda x: x, [partial(_by_transposed, each) for each in weights])


def _by_transposed(w: Array, x: Array) -> Array:
    return x @ w.T


@dataclass(frozen=True)
class E8:
    """This project's kernels.

    Attributes
    ----------
    q : int
    path : str, optional
        The fastest instructions if not given.
    packed : bool
        Whether activations are packed like the weights, else int8.
    straight : bool
        Whether weights are read as the container has them, not laid out before.
    """

    q: int
    path: str | None = None
    packed: bool = False
    straight: bool = False

    @property
    def name(self) -> str:
        """Format, activations, and the instructions if they are not the fastest."""
        return f"E8 q={self.q} × {self._how}"

    @property
    def family(self) -> str:
        """Of all q."""
        return f"E8 × {self._how}"

    @property
    def _how(self) -> str:
        return self.takes + (", from the container" if self.straight else "") + (f", {self.path}" if self.path else "")

    @property
    def takes(self) -> str:
        """What activations are."""
        return "packed" if self.packed else "int8"

    def prepare(self, w: Array, copies: Callable[[float], int], threads: int) -> Prepared:
        """As `Way`."""
        kernels, format = Kernels(self.path, threads), Format(self.q)
        encode = chooser(kernels.path)
        weights = quantize(w, format, rounding=encode)
        laid = kernels.straight(weights) if self.straight else kernels.lay(weights)
        some = [laid.copy() for _ in range(copies(laid.nbytes))]
        bits = 8 * laid.nbytes / w.size + 32 / w.shape[1]
        operand = partial(quantize, fmt=format, rounding=encode) if self.packed else quantize_int8
        return Prepared(bits, operand, [partial(Laid.matmul, each) for each in some])


@dataclass
class Timed:
    """Calls that are timed.

    Attributes
    ----------
    name : str
    calls : iterator of callables
    times : list of float
        Seconds of each call so far.
    """

    name: str
    calls: Iterator[Callable[[], Any]]
    times: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, prepared: Prepared, x: Array) -> "Timed":
        """The calls of a way with these activations."""
        operand = prepared.operand(x)
        return cls(name, cycle([partial(call, operand) for call in prepared.calls]))

    @property
    def seconds(self) -> float:
        """Median."""
        return float(np.median(self.times))

    @property
    def best(self) -> float:
        """The fastest call: what others do to a machine that is not idle falls on long calls more than on short."""
        return min(self.times)


def measure(rows: Sequence[Timed], seconds: float) -> None:
    """Rounds of all rows until the time is up; `ROUNDS` at least."""
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < ROUNDS or time.perf_counter() < end:
        rounds += 1
        for row in rows:
            time.sleep(PAUSE)
            _calls(row, WARM)
            row.times += _calls(row, TURN)


def _calls(row: Timed, seconds: float) -> list[float]:
    """The times of calls that together take so long, two at least."""
    times: list[float] = []
    while len(times) < 2 or sum(times) < seconds:
        multiply = next(row.calls)
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    return times


def drawn(n: int, k: int, seed: int = 0) -> Array:
    """Weights `(n, k)`: Gaussian rows, of which `DISTINCT` differ, so that large matrices are quantised quickly."""
    rows = np.random.default_rng(seed).standard_normal((min(n, DISTINCT), k), dtype=np.float32)
    return np.resize(rows, (n, k)) if n > DISTINCT else rows


DISTINCT = 512
"""Rows of weights that differ."""

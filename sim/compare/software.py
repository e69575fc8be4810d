"""Software on this machine: every way that is installed, on every layer, measured in one run."""

import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from sim.compare.layers import BATCHES, Shape
from sim.compare.machine import PRODUCTS, STREAMED, Power, caches, peak, reading
from sim.compare.records import Figure, Record
from sim.compare.ways import (
    E8,
    Array,
    Float32,
    Prepared,
    Timed,
    Unfit,
    Way,
    copies,
    drawn,
    measure,
)
from sim.kernels.library import supported
from sim.kernels.product import Kernels
from sim.silicon.tables import memories

QS = (16, 8, 4)

SAMPLE = (32, 96, 4096)
"""M, N and K of the Gaussian product whose SQNR is measured."""

DRAM = "lpddr4"
"""The memory whose energy per bit is added to what a processor takes, and that the hardware has as well."""


def own(*, slower: bool = True) -> list[Way]:
    """NumPy and this project's kernels: each rate with int8 activations, packed ones, and slower ways."""
    ways: list[Way] = [Float32(), *(E8(q) for q in QS), *(E8(q, packed=True) for q in QS)]
    if slower:
        ways += [E8(q, straight=True) for q in QS] + [E8(q, path) for path in supported()[1:-1] for q in QS]
    return ways


@dataclass(frozen=True)
class Machine:
    """What was measured of the machine itself.

    Attributes
    ----------
    reading : mapping
        Bytes per second of reading alone, the fastest of several, by number of threads.
    peaks : mapping
        Multiply-accumulates per second of one core, by the kernels' paths that have instructions for bytes.
    """

    reading: dict[int, float]
    peaks: dict[str, float]


def speeds(threads: Sequence[int], seconds: float) -> Machine:
    """Measures the machine."""
    reads: dict[int, float] = {}
    for count in threads:
        timed = Timed("read", cycle([reading(Kernels(threads=count))]))
        measure([timed], seconds)
        reads[count] = STREAMED / timed.best
    return Machine(reads, peaks())


def peaks() -> dict[str, float]:
    """Multiply-accumulates of bytes per second of one core, by path: of those that have instructions for them."""
    return {path: peak(Kernels(path)) for path in supported() if path in PRODUCTS}


def quality(way: Way, w: Array) -> float | None:
    """SQNR in dB of a way's product of Gaussian activations with weights, as it comes out; None if it is unfit."""
    x = np.random.default_rng(1).standard_normal((SAMPLE[0], w.shape[1]), dtype=np.float32)
    try:
        prepared = way.prepare(w, lambda size: 1, 1)
    except Unfit:
        return None
    y = np.asarray(prepared.array(prepared.calls[0](prepared.operand(x))), dtype=np.float64)
    return ratio_db(x.astype(np.float64) @ w.T.astype(np.float64), y)


def ratio_db(exact: Any, y: Any) -> float:
    """Signal over error, dB."""
    return float(10 * np.log10(np.square(exact).sum() / np.square(y - exact).sum()))


def gaussian() -> Array:
    """The weights of the product whose SQNR is measured."""
    return drawn(*SAMPLE[1:])


def minilm() -> Array | None:
    """Rows of a matrix of MiniLM, `(96, 1536)`; None where it is not installed."""
    from golden.errors import GossetError
    from golden.quality.minilm import MiniLM

    try:
        weights = MiniLM.load().weights()
    except GossetError:
        return None
    return next(np.ascontiguousarray(w[: SAMPLE[1]]) for w in weights.values() if w.shape == (384, 1536))


def measured(
    shapes: Sequence[Shape],
    ways: Sequence[Way],
    threads: Sequence[int],
    power: Power,
    seconds: float,
    advance: Callable[[int], None] = lambda steps: None,
) -> list[Record]:
    """Measures all ways on all shapes.

    Parameters
    ----------
    shapes, ways, threads : sequences
    power : Power
    seconds : float
        For the rounds of one table: a shape, a number of rows of activations, and a number of threads.
    advance : callable
        Called with steps: one for each way's quality, and one for each way prepared and table measured.
    """
    real, sample = minilm(), gaussian()
    qualities: dict[str, dict[str, Figure]] = {}
    with threadpool_limits(1):
        for way in ways:
            found = {"sqnr_db": quality(way, sample), "minilm_db": None if real is None else quality(way, real)}
            qualities[way.name] = {
                name: Figure(min(value, 150.0), "measured") for name, value in found.items() if value is not None
            }
            advance(1)
    records: list[Record] = []
    for shape in shapes:
        w = drawn(shape.n, shape.k)
        for count in threads:
            with threadpool_limits(count):
                prepared: dict[Way, Prepared] = {}
                for way in ways:
                    with suppress(Unfit):
                        prepared[way] = way.prepare(w, copies, count)
                    advance(1)
                for m in BATCHES:
                    records += _table(shape, m, prepared, qualities, count, power, seconds)
                    advance(1)
            del prepared
            gc.collect()
    return records


def steps(shapes: Sequence[Shape], ways: Sequence[Way], threads: Sequence[int]) -> int:
    """How many steps `measured` has."""
    return len(ways) + len(shapes) * len(threads) * (len(ways) + len(BATCHES))


def _table(
    shape: Shape,
    m: int,
    prepared: dict[Way, Prepared],
    qualities: dict[str, dict[str, Figure]],
    threads: int,
    power: Power,
    seconds: float,
) -> list[Record]:
    x = np.random.default_rng(m).standard_normal((m, shape.k), dtype=np.float32)
    timed = {way: Timed.of(way.name, each, x) for way, each in prepared.items()}
    measure(list(timed.values()), seconds)
    records = []
    for way, row in timed.items():
        bits = prepared[way].bits
        entry = {"fp32": 32.0, "int8": 8.0, "packed": bits}[way.takes]
        moved = (bits * shape.n * shape.k + entry * m * shape.k + 32 * m * shape.n) / 8
        outside = 8 * moved * memories()[DRAM]["value"] * 1e-12
        low, high = np.quantile(row.times, (0.1, 0.9))
        core = power.joules(lambda row=row: next(row.calls)(), row.seconds, threads)  # type: ignore[misc]
        joules = [part + outside for part in core]
        figures = {
            "time_s": Figure(row.seconds, "measured", float(low), float(high)),
            "core_j": Figure(core[0], power.kind, core[1], core[2]),
            "energy_j": Figure(joules[0], "assumed" if power.kind == "assumed" else "modelled", joules[1], joules[2]),
            "bytes": Figure(moved, "modelled"),
            **qualities[way.name],
        }
        held = bits / 8 * shape.n * shape.k * len(prepared[way].calls)
        notes = [f"{len(row.times)} calls, the fastest {row.best * 1e6:,.1f} µs"]
        if held < 2 * max(caches().values(), default=0):
            notes.append(f"weights may stay in cache: all copies are {held / 1e6:,.1f} MB")
        records.append(
            shape.record(
                m,
                platform=f"CPU, {threads} thread{'s' if threads > 1 else ''}",
                way=way.name,
                family=way.family,
                bits=bits,
                figures=figures,
                ours=isinstance(way, E8),
                notes=tuple(notes),
            )
        )
    return records

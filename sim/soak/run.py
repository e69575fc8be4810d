"""Draws designs and products, runs them on the Verilated RTL, and compares every accumulator with golden's.

Everything follows from a seed: design number i from (seed, i), its product number j from (seed, i, j). A design keeps
its state from one product to the next, but for a reset now and then.
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from golden import process
from golden.errors import ToolError
from golden.files import writable, write_text
from golden.int8 import Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, matmul
from hw.design import DesignPoint
from sim.benches.inside.labels import random_matrix
from sim.designs import PARAMETERS, design
from sim.device import RtlDevice
from sim.provenance import provenance
from sim.tiles import Job

DEPTHS = {"x_depth": (16, 64, 1024), "w_depth": (8, 64, 1024)}
"""Words that memories hold: also as many as those of larger designs, in which the jobs are large."""

SLICE = 60.0
"""Seconds for the products of a design, which takes 10 to 30 to be built."""

BLOCKS = 256
"""Blocks of a row, at most."""

CELLS = 1 << 20
"""Blocks that a product multiplies, at most: it takes less than seconds."""


@dataclass
class Totals:
    """What was done.

    Attributes
    ----------
    designs, products : int
    jobs : int
        Of the accelerators: a product is as many as it needs.
    cycles : int
    blocks : int
        Blocks that decoders decoded.
    macs : int
        Multiply-accumulates.
    accumulators : int
        Results compared with golden's.
    """

    designs: int = 0
    products: int = 0
    jobs: int = 0
    cycles: int = 0
    blocks: int = 0
    macs: int = 0
    accumulators: int = 0

    def add(self, other: "Totals") -> None:
        """Adds what was done elsewhere."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class Failure:
    """A product that went wrong.

    Attributes
    ----------
    seed, design, product : int
        What it follows from.
    name : str
        Of the design.
    message : str
        What is wrong.
    """

    seed: int
    design: int
    product: int
    name: str
    message: str

    def __str__(self) -> str:
        """What is wrong, and the command that shows it again."""
        again = f"gosset soak --seed {self.seed} --again {self.design}.{self.product}"
        return f"Product {self.product} on {self.name}: {self.message}\n  again: {again}"


def drawn(seed: int, number: int) -> DesignPoint:
    """A random design with nothing in front of its streams or behind them: rows come packed or as int8, and
    accumulators come out."""
    rng = np.random.default_rng([seed, number])
    while True:
        taken = {name: some[int(rng.integers(len(some)))] for name, some in (PARAMETERS | DEPTHS).items()}
        if point := design(taken | {"scale": None, "result": None}, f"soak_{seed}_{number}"):
            return point


def product(point: DesignPoint, rng: np.random.Generator) -> Job:
    """A random product: of few rows or many, short or long."""
    blocks = int(np.exp(rng.uniform(0, np.log(BLOCKS))))
    m = int(rng.integers(1, 4 * point.panel_rows + 2))
    n = int(rng.integers(1, max(2, min(16 * point.cols, CELLS // (m * blocks)) + 1)))
    w = random_matrix(point.format, n, blocks, rng)
    kind = point.activations[int(rng.integers(len(point.activations)))]
    x: Operand
    if kind == "int8":
        x = Int8Matrix(rng.integers(-127, 128, (m, DIM * blocks)).astype(np.int8), np.ones(m, np.float32))
    else:
        x = random_matrix(point.format, m, blocks, rng)
    return Job(point, x, w)


def decoded(job: Job) -> int:
    """Blocks that the decoders of a design decode in a product."""
    point = job.design
    activations = 0 if job.int8 else job.beats * point.rows
    if point.dataflow == "os":
        return activations + job.beats * point.cols
    return activations + sum(len(next(iter(words.values()))) for words in job.w_words()) * point.cols


def attempt(device: RtlDevice, seed: int, number: int, index: int) -> tuple[Totals, str]:
    """Runs product number `index` on a design; returns what was done, and what is wrong or an empty string."""
    rng = np.random.default_rng([seed, number, index])
    job = product(device.design, rng)
    device.stalls, device.seed = (float(rng.uniform(0, 0.6)) if rng.integers(2) else 0.0), index
    if not rng.integers(8):
        device.model.reset()
    done = Totals(products=1, jobs=len(job.parts), blocks=decoded(job), macs=job.macs)
    try:
        report = device.run(job)
    except ToolError as error:
        return done, str(error)
    done.cycles, expected = report.cycles or 0, matmul(job.x, job.w).accumulators
    done.accumulators = expected.size
    wrong = np.argwhere(expected != report.product.accumulators)
    if not len(wrong):
        return done, ""
    row, column = wrong[0]
    values = f"expected {expected[row, column]}, got {report.product.accumulators[row, column]}"
    shape = " × ".join(map(str, job.shape))
    return done, f"{shape}, row {row}, column {column}: {values}; {len(wrong)} of {expected.size} differ"


def stint(
    point: DesignPoint, seed: int, number: int, going: Callable[[int, float], bool], told: Callable[[Totals], None]
) -> Failure | None:
    """Builds a design and runs its products as long as `going`, of their number and the seconds so far, says so.

    Returns
    -------
    The first product that went wrong, if one did.
    """
    with _GENERATING:  # Amaranth makes one circuit at a time
        device = RtlDevice(point)
    told(Totals(designs=1))
    begin = time.monotonic()
    try:
        for index in count():
            if not going(index, time.monotonic() - begin):
                return None
            done, message = attempt(device, seed, number, index)
            told(done)
            if message:
                return Failure(seed, number, index, point.name, message)
    finally:
        device.close()
    return None


_GENERATING = threading.Lock()


def soak(
    seconds: float, seed: int, output: Path, told: Callable[[Totals], None], workers: int | None = None
) -> tuple[dict[str, Any], Failure | None]:
    """Runs products on one design after the other, as many at once as there are processors, until time is up.

    Parameters
    ----------
    seconds : float
        A product that has begun then still ends, and a design that was begun still takes one.
    seed : int
    output : Path
        Folder for report.json.
    told : callable
        Called with the totals so far, now and then.
    workers : int, optional
        Designs at once.

    Returns
    -------
    What is in report.json, and the first product that went wrong, with which all ends.
    """
    path, end = writable(output / "report.json"), time.monotonic() + seconds
    totals, lock, numbers, failure = Totals(), threading.Lock(), count(), None
    stopped = threading.Event()

    def add(done: Totals) -> None:
        with lock:
            totals.add(done)
            told(totals)

    def going(index: int, spent: float) -> bool:
        return not stopped.is_set() and (index == 0 or (spent < SLICE and time.monotonic() < end))

    def work() -> Failure | None:
        while not stopped.is_set() and time.monotonic() < end:
            with lock:
                number = next(numbers)
            if found := stint(drawn(seed, number), seed, number, going, add):
                return found
        return None

    begin = time.monotonic()
    with process.threads(workers) as pool:
        waiting = {pool.submit(work) for _ in range(pool._max_workers)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for each in done:
                if found := each.result():
                    failure = failure or found
                    stopped.set()
    report = {
        "seed": seed,
        "seconds": round(time.monotonic() - begin, 1),
        "mismatches": int(failure is not None),
        **({"failure": str(failure)} if failure else {}),
        **asdict(totals),
        "about": provenance(),
    }
    write_text(path, json.dumps(report, indent=2) + "\n")
    return report, failure


def again(seed: int, number: int, last: int, told: Callable[[Totals], None]) -> Failure | None:
    """Runs the products of a design once more, from the first to number `last`; returns the one that goes wrong."""
    return stint(drawn(seed, number), seed, number, lambda index, _: index <= last, told)

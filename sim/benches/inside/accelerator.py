"""The bench of the accelerator: what it is given, and the rows that have to come out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from cocotb.handle import HierarchyObject

from golden.format import PackedMatrix
from golden.int8 import Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, matmul
from hw.design import ACC_BITS, DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import RAW_ERROR, errors
from sim.benches.inside.checks import compare, same
from sim.benches.inside.labels import random_matrix
from sim.benches.inside.signals import Beat, signal
from sim.benches.inside.streams import Monitor, Sink, Source
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import unpack
from sim.models.schedule import Part
from sim.tiles import Job, Payload

EDGES = (
    "rows that leave some of the array's free", "rows that fill it", "columns that leave some free",
    "columns that fill it", "a product of one block",
)  # fmt: skip
LONG = "a product of several jobs"


class Row(NamedTuple):
    """A row of accumulators that has to come out."""

    where: str
    values: list[int]
    last: bool
    end: bool


class Counters:
    """Compares the sum of the counters with the cycles since reset, cycle by cycle.

    Parameters
    ----------
    bench : AcceleratorBench
    """

    def __init__(self, bench: "AcceleratorBench"):
        self.bench = bench
        self.signals = {name: signal(bench.dut, name) for name in COUNTERS}
        self.cycles = 0
        """Since reset."""
        bench.each_cycle(self._look)

    def __getitem__(self, name: str) -> int:
        return int(self.signals[name].value)

    def _look(self, in_reset: bool) -> None:
        self.cycles = 0 if in_reset else self.cycles + 1
        if self.cycles:
            same("sum of the counters", self.cycles - 1, sum(self[name] for name in COUNTERS), COUNTER_BITS)


class AcceleratorBench(Testbench):
    """An accelerator between three sources and a sink."""

    def __init__(self, dut: HierarchyObject, pause: str = "never", stall: str = "never", *, patient: bool = False):
        super().__init__(dut)
        self.design = self.settings.design
        self.sources = {name: Source(self, self.streams[name], pause) for name in ("job", "x", "w")}
        self.sink = Sink(self, self.streams["acc"], stall, patient=patient)
        self.rows = Scoreboard[Row](self, "row")
        self.work = 0
        """Beats of the longest work after which a row is to come: of a job, with those before it that keep theirs."""
        self.counters = Counters(self)
        self.errors = signal(dut, "errors")
        never = [RAW_ERROR]  # the bench of raw rows is about that
        never += [] if self.design.w_depth else ["w_too_long"]  # weight-stationary, no tile has too many of them
        self.refused = {reason: f"refused: {reason}" for reason in errors(self.design) if reason not in never}
        self.spent = {name: f"cycles {name}" for name in COUNTERS}
        kinds = [f"activations {kind}" for kind in self.design.activations]
        free = {EDGES[0]: self.design.rows > 1, EDGES[2]: self.design.cols > 1}
        edges = [edge for edge in EDGES if free.get(edge, True)]
        self.about(*self.refused.values(), *self.spent.values(), *kinds, *edges, LONG)
        for name in ("job", "x", "w"):
            Monitor(self, self.streams[name], lambda cycle, beat: None)
        Monitor(self, self.streams["acc"], self._out_of)

    def send(self, products: Iterable[Job], late: str = "", cycles: int = 0) -> int:
        """Queues products, the words of one stream so many cycles after those of the product before; the beats that
        they take."""
        beats = 0
        for number, product in enumerate(products):
            if late:
                self.sources[late].send([None] * cycles)
            for name, payload in product.inputs().items():
                self.sources[name].send(_beats(name, payload))
            self.rows.expect(_rows(f"product {number}", product))
            beats += product.beats
            self._cases(product)
            work = 0
            for part in product.parts:
                work += product.work(part)
                self.work = max(self.work, work)
                work *= part.keep
        return beats

    def _cases(self, product: Job) -> None:
        """Counts the cases in a product."""
        design = self.design
        edges = (
            len(product.x.scales) % design.rows,
            len(product.w.scales) % design.cols,
            product.w.labels.shape[1] == 1,
        )
        for case, here in zip(EDGES, (edges[0], not edges[0], edges[1], not edges[1], edges[2]), strict=True):
            if here:
                self.met(case)
        self.met(f"activations {'int8' if product.int8 else 'packed'}")
        self.met(LONG, len(product.parts) > 1)

    async def run(self, products: list[Job]) -> None:
        """Computes products, and reports the test as passed."""
        await self.start()
        await self.done(self.send(products))

    async def done(self, beats: int) -> None:
        """Waits for all rows, and reports the test as passed; `beats` since reset were to be taken."""
        await self.rows.empty(self.work)
        same("beats", beats, self.counters["busy"], COUNTER_BITS)
        for name, case in self.spent.items():
            self.met(case, self.counters[name])
        self.finish()

    def refusals(self) -> list[int]:
        """What errors are told of from now on, each in its cycle: more as it goes on."""
        seen: list[int] = []

        def watch(in_reset: bool) -> None:
            if not in_reset and int(self.errors.value):
                seen.append(int(self.errors.value))

        self.each_cycle(watch)
        return seen

    def products(self, blocks: int, most: int = 40) -> list[Job]:
        """Random products with about so many beats in all, of every kind of activations, up to `most` blocks long."""
        products: list[Job] = []
        while blocks > 0:
            products.append(random_product(self.design, self.rng, most))
            blocks -= products[-1].beats
        return products

    def _out_of(self, cycle: int, beat: Beat) -> None:
        row = self.rows.take()
        compare(row.where, "column", row.values, unpack(beat["values"], ACC_BITS, self.design.cols), ACC_BITS)
        same(f"{row.where}, last", row.last, beat["last"], 1)
        same(f"{row.where}, end", row.end, beat["end"], 1)
        self.checked += self.design.cols


def random_product(design: DesignPoint, rng: np.random.Generator, most: int) -> Job:
    """A product with edges up to three times the array's, and up to `most` blocks long."""
    m, n = (int(rng.integers(1, 3 * edge + 2)) for edge in (design.rows, design.cols))
    blocks = int(np.exp(rng.uniform(0, np.log(most + 1))))
    return product(design, rng, m, n, blocks)


def product(
    design: DesignPoint, rng: np.random.Generator, m: int, n: int, blocks: int, kinds: Sequence[str] = ()
) -> Job:
    """A product with activations of one of those kinds, or of all that the design has."""
    x: Operand = random_matrix(design.format, m, blocks, rng)
    if rng.choice(kinds or design.activations) == "int8":
        x = Int8Matrix(rng.integers(-127, 128, (m, DIM * blocks)).astype(np.int8), np.ones(m, np.float32))
    return Job(design, x, random_matrix(design.format, n, blocks, rng))


def beats_without_way_out(design: DesignPoint, products: Iterable[Job], spare: int) -> int:
    """The beats that are taken from products while no row comes out of the output queue, if a beat that finishes rows
    asks for room for as many as the array finishes at most, and for some to spare."""
    height = design.rows if design.dataflow == "os" else 1
    room, taken = design.drain_rows, 0
    for job, part in ((product, part) for product in products for part in product.parts):
        passes = 2 if job.int8 else 1
        # Output-stationary, a row tile's beats follow each other; weight-stationary, the last slice finishes the rows.
        first, each = (0, part.steps) if design.dataflow == "os" else (part.rows * (part.steps - 1), 1)
        for tile in range(part.tiles):
            taken += passes * first
            for row in range(0, part.rows, height):
                taken += passes * each
                if room < height + spare:
                    return taken - 1
                room -= min(height, part.rows - row)
                # Rows that are kept give their room back, but for the one that says that the job has ended; and it too,
                # where nothing is in front of it.
                if part.keep:
                    room += min(height, part.rows - row)
            if part.keep and tile == part.tiles - 1 and room < design.drain_rows:
                room -= 1
    return taken


def _beats(stream: str, payload: Payload) -> Iterator[Beat]:
    """Beats of a stream, from words of its ports."""
    fields = {port.removeprefix(f"{stream}_"): words.astype("<u4") for port, words in payload.items()}
    for i in range(len(next(iter(fields.values())))):
        yield {field: int.from_bytes(words[i].tobytes(), "little") for field, words in fields.items()}


def _rows(name: str, product: Job) -> Iterator[Row]:
    """The rows of a product, job by job; of those that add, with what was kept."""
    cols, kept = product.design.cols, np.zeros((0, 0), dtype=np.int32)
    for number, part in enumerate(product.parts):
        accumulators = matmul(*(_cut(matrix, part) for matrix in (product.x, product.w))).accumulators
        first = part.first_tile * cols
        some = accumulators[part.first_row : part.first_row + part.rows, first : first + part.tiles * cols]
        padded = np.pad(some, ((0, 0), (0, part.tiles * cols - some.shape[1])))
        if part.add:
            padded += kept
        if part.keep:
            kept = padded
            continue
        for tile in range(part.tiles):
            for r in range(part.rows):
                last = r == part.rows - 1
                values: list[int] = padded[r, tile * cols : (tile + 1) * cols].tolist()
                yield Row(f"{name}, job {number}, tile {tile}, row {r}", values, last, last and tile == part.tiles - 1)


def _cut(matrix: Operand, part: Part) -> Operand:
    """The blocks of a part."""
    blocks = slice(part.first_block, part.first_block + part.blocks)
    if isinstance(matrix, PackedMatrix):
        labels, betas = matrix.labels[:, blocks], matrix.betas[:, blocks]
        return PackedMatrix(matrix.format, DIM * part.blocks, labels, betas, matrix.scales)
    return Int8Matrix(matrix.values[:, DIM * blocks.start : DIM * blocks.stop], matrix.scales)

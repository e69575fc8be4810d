"""The accelerator against `golden.matmul`: whole products, job by job, in both dataflows and with all activations."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject

from golden.format import PackedMatrix
from golden.int8 import Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, matmul
from hw.design import ACC_BITS, DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import FIELD_BITS, KEPT_ERROR, RAW_ERROR, SUMS, errors, modes
from sim.benches.inside.checks import Mismatch, compare, same
from sim.benches.inside.labels import random_matrix
from sim.benches.inside.refusals import bits, reasons
from sim.benches.inside.signals import PAUSES, Beat, signal
from sim.benches.inside.streams import Monitor, Sink, Source, watch_independence
from sim.benches.inside.testbench import Scoreboard, Testbench, patience
from sim.benches.inside.words import unpack
from sim.models.cycles import cycles
from sim.models.schedule import Machine, Part
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
        cocotb.start_soon(self._run())

    def __getitem__(self, name: str) -> int:
        return int(self.signals[name].value)

    async def _run(self) -> None:
        while True:
            await self.bench.edge
            self.cycles = 0 if self.bench.in_reset else self.cycles + 1
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


@cocotb.test
@cocotb.parametrize(pause=PAUSES, acc=PAUSES)
async def products_in_a_row(dut: HierarchyObject, pause: str, acc: str) -> None:
    """Products of random shape, many of a single block."""
    bench = AcceleratorBench(dut, pause, acc)
    await bench.run(bench.products(bench.blocks))


@cocotb.test
async def whole_product(dut: HierarchyObject) -> None:
    """A product whose edges are no multiples of the array's, and whose rows have as many blocks as the bench."""
    bench = AcceleratorBench(dut)
    m, n = (2 * edge + 1 for edge in (bench.design.rows, bench.design.cols))
    await bench.run([product(bench.design, bench.rng, m, n, bench.blocks)])


@cocotb.test
@cocotb.parametrize(acc=PAUSES)
async def single_blocks(dut: HierarchyObject, acc: str) -> None:
    """Products of one block, whose rows fill the way out."""
    bench = AcceleratorBench(dut, stall=acc)
    await bench.run(bench.products(bench.blocks, most=1))


@cocotb.test
async def blocked_drain(dut: HierarchyObject) -> None:
    """The output queue fills up and holds everything back, at the beat for whose rows there is no room, and nothing is
    lost; sums that are kept need no room, words may be late as well, and a reset at any moment leaves all of it."""
    bench = AcceleratorBench(dut)
    design = bench.design
    unseen = 0 if design.dataflow == "os" and design.rows > 2 else 2
    await bench.start()
    for turn in range(8):
        if turn % 4:
            bench.send(bench.products(2 * bench.blocks, most=1))
            await bench.cycles(2 * bench.settings.latency + int(bench.rng.integers(8 * design.rows)))
            await bench.reset()
        bench.sink.blocked = True
        before, window = -1, 2 * bench.settings.latency + 4 * design.panel_rows + design.x_depth
        products, late = [], ""
        if turn % 3 == 1:
            depth = design.w_depth or design.x_depth // design.rows
            rows = min(design.panel_rows, 2 * design.rows + 1)
            products = [product(design, bench.rng, rows, 3 * design.cols, depth + min(depth, 64))]
        elif turn % 3 == 2:  # of a beat each, so that there is no room left for the first of a job
            count, late = 2 * design.drain_rows // design.rows, "w" if turn % 2 else "x"
            short = (design.rows, design.cols, 1, design.activations[:1])
            products = [product(design, bench.rng, *short) for _ in range(count)]
        while sum(product.output_rows for product in products) < 2 * design.drain_rows:
            products += bench.products(bench.blocks, most=2)
        beats = bench.send(products, late, 2 * design.rows + 8)
        for _ in range(2 + patience(beats) // window):
            if bench.counters["busy"] == before:
                break
            before = bench.counters["busy"]
            await bench.cycles(window)
        blocked = bench.counters["drain_blocked"]
        await bench.cycles(200)
        same("cycles blocked of the last 200", 200, bench.counters["drain_blocked"] - blocked, COUNTER_BITS)
        least, most = (beats_without_way_out(design, products, spare) for spare in (unseen, 0))
        if not least <= before <= most:
            raise Mismatch(f"{before} beats were taken, not {least} to {most}, before the output queue held all back.")
        bench.sink.blocked = False
        checked = bench.checked
        await bench.cycles(design.drain_rows)
        if (rows := (bench.checked - checked) // design.cols) < 3 * design.drain_rows // 4:
            raise Mismatch(f"The output queue was full, and {rows} rows came in {design.drain_rows} cycles.")
        if turn % 2:
            await bench.rows.empty(bench.work)
            same("beats", beats, bench.counters["busy"], COUNTER_BITS)
            await bench.reset()
    await bench.done(bench.send(bench.products(bench.blocks)))


@cocotb.test
async def waiting_jobs(dut: HierarchyObject) -> None:
    """While the first one's words do not come, as many jobs are taken as the design has, and one to plan; then all
    run."""
    bench = AcceleratorBench(dut)
    design, count = bench.design, bench.design.jobs + 8
    await bench.start()
    for name in "xw":
        bench.sources[name].send([None] * 200)
    beats = bench.send([product(design, bench.rng, 1, 1, 1) for _ in range(count)])
    await bench.cycles(100)
    same("jobs taken", design.jobs + 1, count - len(bench.sources["job"].waiting) - 1, 32)
    await bench.done(beats)


@cocotb.test
@cocotb.parametrize(pause=PAUSES[1:])
async def scarce_room(dut: HierarchyObject, pause: str) -> None:
    """The output queue is nearly always full, and words come late as well."""
    bench = AcceleratorBench(dut, pause)

    async def take_few() -> None:
        while True:
            bench.sink.blocked = True
            await bench.cycles(int(bench.rng.integers(1, 8 * bench.design.rows)))
            bench.sink.blocked = False
            await bench.cycles(int(bench.rng.integers(1, 4)))

    await bench.start()
    cocotb.start_soon(take_few())
    products = bench.products(bench.blocks, most=2)
    while sum(product.output_rows for product in products) < 2 * bench.design.drain_rows:
        products += bench.products(bench.blocks, most=2)
    await bench.done(bench.send(products))


@cocotb.test
async def no_cycle_too_many(dut: HierarchyObject) -> None:
    """One product at a time takes as many cycles of every cause as the model says, short tiles and long ones."""
    bench = AcceleratorBench(dut)
    await bench.start()
    await bench.cycles(1)  # until the counters show that they were reset
    for number in range(max(4, bench.blocks // 4)):
        job = random_product(bench.design, bench.rng, 2 * bench.design.rows if number % 2 else 40)
        before = {name: bench.counters[name] for name in COUNTERS}
        bench.send([job])
        await bench.rows.empty(bench.work)
        expected = cycles(Machine.of(bench.design), *job.shape, int8=job.int8).counters()
        for name in set(COUNTERS) - {"idle"}:
            what = f"product {number} of {job.shape}, cycles {name}"
            same(what, int(expected[name]), bench.counters[name] - before[name], COUNTER_BITS)
    bench.finish()


@cocotb.test
async def patient_consumer(dut: HierarchyObject) -> None:
    """valid comes without ready, and neither it nor the payload depends on ready."""
    bench = AcceleratorBench(dut, "random", patient=True)
    cocotb.start_soon(watch_independence(bench, bench.streams["acc"]))
    await bench.run(bench.products(bench.blocks))


@cocotb.test
async def illegal_jobs(dut: HierarchyObject) -> None:
    """Jobs that are refused, each with its reason, and sound ones between them."""
    bench = AcceleratorBench(dut)
    design, most = bench.design, (1 << FIELD_BITS) - 1
    sound = {"rows": 1, "tiles": 1, "steps": 1, **dict.fromkeys(modes(design), 0), "int8": int(not design.packed)}
    cases = [(name, sound | {name: 0}, "empty") for name in ("rows", "tiles", "steps")]
    cases += [("rows", sound | {"rows": n}, "too_many_rows") for n in (design.panel_rows + 1, most)]
    cases += [("steps", sound | {"steps": n}, "x_too_long") for n in (design.x_depth + 1, most)]
    # Each number by itself is allowed, but not their product.
    longest = min(design.x_depth, design.w_depth or design.x_depth)
    if -(-design.panel_rows // (design.rows if design.dataflow == "os" else 1)) * longest > design.x_depth:
        cases += [("x", sound | {"rows": design.panel_rows, "steps": longest}, "x_too_long")]
    if design.dataflow == "os":
        cases += [("w", sound | {"steps": design.w_depth + 1}, "w_too_long")]
    if design.keep_rows:
        cases += [(mode, sound | {mode: 1}, KEPT_ERROR) for mode in SUMS]
        cases += [("tiles", sound | {mode: 1, "tiles": design.keep_rows + 1}, KEPT_ERROR) for mode in SUMS]
    if not design.front_end:
        cases += [("raw", sound | {"raw": 1}, "activations")]
    elif design.int8:
        cases += [("raw", sound | {"raw": 1, "int8": 1}, "activations")]
    if len(design.activations) == 1:
        cases += [("int8", sound | {"int8": 1 - sound["int8"]}, "activations")]
    seen: list[int] = []

    async def watch() -> None:
        while True:
            await bench.edge
            if not bench.in_reset and int(bench.errors.value):
                seen.append(int(bench.errors.value))

    await bench.start()
    cocotb.start_soon(watch())
    beats = 0
    for what, job, reason in cases:
        seen.clear()
        bench.sources["job"].send([job])
        for _ in range(patience(len(cases) * bench.work)):  # it may have to wait for those before it
            if seen:
                break
            await bench.edge
        await bench.cycles(20 + design.panel_rows)
        if reason not in (wrong := reasons(design, job)):
            raise AssertionError(f"{job} is not one to be refused for {reason}.")
        if seen != [bits(design, wrong)]:
            raise Mismatch(f"A job with bad {what} ({job}) should be refused for {reason}; the errors were {seen}.")
        bench.met(bench.refused[reason])
        beats += bench.send([random_product(design, bench.rng, 3)])
    seen.clear()
    await bench.done(beats)
    same("errors of sound jobs", 0, len(seen), 32)


@cocotb.test
async def limits(dut: HierarchyObject) -> None:
    """Jobs about as large as is allowed, one after a reset: each is refused for all its reasons, or taken; and a reset
    meanwhile leaves nothing of it."""
    bench = AcceleratorBench(dut)
    design, rng, most = bench.design, bench.rng, (1 << FIELD_BITS) - 1
    depths = [depth for depth in (design.x_depth, design.w_depth) if depth]
    around = {
        "rows": [0, 1, 2, 3, design.panel_rows - 1, design.panel_rows, design.panel_rows + 1, most],
        "tiles": [0, 1, 2, 3, 4, *(max(1, design.keep_rows // rows) + d for rows in (1, 3) for d in (0, 1)), most],
        "steps": [0, 1, 2, 3, 4, *(depth + d for depth in depths for d in (0, 1)), most],
    }
    usual, window = {"rows": design.panel_rows, "tiles": 3, "steps": 3}, design.panel_rows + 12
    await bench.start()
    for _ in range(100 + 4 * bench.blocks):
        job = {
            name: int(rng.choice(values) if rng.integers(2) else rng.integers(1, usual[name] + 1))
            for name, values in around.items()
        }
        job |= {mode: int(rng.integers(4) == 0) for mode in modes(design)}
        if design.front_end:
            job["raw"] = 0  # the bench of raw rows is about those
        elif not design.packed:
            job["int8"] = int(rng.integers(4) != 0)
        wrong = reasons(design, job)
        bench.sources["job"].send([job])
        if not rng.integers(8):
            await bench.cycles(int(rng.integers(1, 8)))
            await bench.reset()
            wrong, job = [], {}
        seen, taken = [], False
        for _ in range(window):
            await bench.edge
            seen += [int(bench.errors.value)] if int(bench.errors.value) else []
            taken |= bench.streams["x"].is_ready
        same(f"errors of {job}", bits(design, wrong), seen.pop() if seen else 0, len(errors(design)))
        same(f"further errors of {job}", 0, len(seen), 32)
        same(f"whether {job} is taken", int(bool(job) and not wrong), int(taken), 1)
        bench.checked += 1
        await bench.reset()
    bench.finish()


@cocotb.test
@cocotb.parametrize(acc=PAUSES)
async def reset_midway(dut: HierarchyObject, acc: str) -> None:
    """After a reset at any moment nothing of before is left, though the next product comes at once."""
    bench = AcceleratorBench(dut, stall=acc)
    await bench.start()
    for _ in range(12):
        bench.send(bench.products(2 * bench.blocks))
        await bench.cycles(int(bench.rng.integers(1, bench.blocks + 2 * bench.settings.latency)))
        await bench.reset()
        await bench.cycles(int(bench.rng.choice([0, 2 * bench.settings.latency])))
        bench.send(bench.products(1, most=3))
        await bench.rows.empty(bench.work)
        await bench.reset()
    await bench.done(bench.send(bench.products(bench.blocks)))

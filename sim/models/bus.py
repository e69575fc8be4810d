"""The cycle model of the accelerator behind its memory port, cycle for cycle.

What a memory's latency does to readers that share a bus has no closed form: here the registers that decide about time
are followed cycle by cycle, in compiled code and without any data. Names are those of the RTL (`hw.axi.memory`,
`hw.axi.read`, `hw.axi.write`, `hw.engine.sequencer`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
from amaranth.utils import ceil_log2, exact_log2

from golden.errors import GossetError
from golden.given import integer
from golden.output import COLUMN_BITS, ROW_BITS
from hw.axi.bursts import beats_of
from hw.axi.memory import finishing_shapes, raw_shape
from hw.axi.read import reader_shapes
from hw.axi.write import outstanding, result_word_bits
from hw.codec import frontend
from hw.design import DesignPoint
from hw.engine.banks import w_word, x_word
from hw.engine.counters import COUNTERS
from hw.engine.output import stages
from hw.engine.rows import step_blocks
from hw.engine.sequencer import latency
from hw.streams import Queue
from sim.models.bus_loop import run
from sim.models.bus_masters import JOB, PORT, RAW, READER, WRITER, begin
from sim.models.schedule import divide, parts

MAX_LATENCY = 1 << 16
"""Cycles of latency at most."""

MAX_CYCLES = 1 << 32
"""Where a run is given up: minutes."""

_SIGNS, _BETWEEN = 2, 2
"""Cycles of the rotator before its butterflies between blocks, and of each of these; `bus_loop` counts them."""


@dataclass(frozen=True)
class BusJob:
    """A job as the registers describe it.

    Attributes
    ----------
    rows, tiles, steps : int
    passes : int
        Words of activations per step, 2 for int8.
    x, w, y : int
        Addresses, in bytes: multiples of the bus width.
    c, r : int
        The same, of columns, for designs with an output stage, and of rows, if these have scales.
    add, keep : bool
        Of designs that keep rows: whether it adds to those that were kept, and keeps its own.
    stride : int
        Of designs with strides: bytes from a row of results to the next one, a multiple of the bus width; 0 if they are
        back to back, tile by tile.
    raw : bool
        Of designs with a front end: whether the activations are raw rows.
    out : bool
        Of designs that write codes: whether raw rows go to memory instead.
    x_stride : int
        Bytes from a raw row to the next one, a multiple of the bus width.
    offered : int
        The cycle from which on it is offered.
    """

    rows: int
    tiles: int
    steps: int
    passes: int
    x: int
    w: int
    y: int
    c: int = 0
    r: int = 0
    add: bool = False
    keep: bool = False
    stride: int = 0
    raw: bool = False
    out: bool = False
    x_stride: int = 0
    offered: int = 0


@dataclass(frozen=True)
class BusCycles:
    """What the accelerator counts.

    Attributes
    ----------
    cycles : int
        From the cycle in which the first job is offered, cycle 0, to the one in which the last response to a write
        comes.
    counters : dict of str to int
        Cycles by cause; their sum is `cycles`.
    beats : int
        Beats that were read.
    """

    cycles: int
    counters: dict[str, int]
    beats: int

    @property
    def busy(self) -> float:
        """The share of cycles in which the array works."""
        return self.counters["busy"] / self.cycles


def operand_beats(design: DesignPoint, side: str, words: int) -> list[int]:
    """Beats of each plane of an operand of so many words, of one tile."""
    word = {"x": x_word, "w": w_word}[side](design)
    return [beats_of(words, field.width, design.bus_bits) for _, field in word]


def words_of(design: DesignPoint, rows: int, steps: int, passes: int) -> tuple[int, int]:
    """Words of the activations of a job, and of a tile of its weights."""
    stationary = design.dataflow == "ws"
    units = rows if stationary else divide(rows, design.rows)
    return units * steps * passes, steps * (design.rows if stationary else 1)


def laid_out(design: DesignPoint, m: int, n: int, k: int, *, int8: bool = False) -> list[BusJob]:
    """The jobs of a product, their images one after the other in memory: activations, weights, columns and rows if
    there is an output stage that has them, and results of each job.

    Raises
    ------
    GossetError
        If a size is out of range.
    """
    passes, bus_bytes = 1 + int8, design.bus_bits // 8
    jobs: list[BusJob] = []
    free = 0
    for part in parts(design, m, n, k, int8=int8):
        x_words, w_words = words_of(design, part.rows, part.steps, passes)
        w = free + sum(operand_beats(design, "x", x_words)) * bus_bytes
        c = w + part.tiles * sum(operand_beats(design, "w", w_words)) * bus_bytes
        r = c
        if design.output:
            r += beats_of(part.tiles * design.cols, COLUMN_BITS, design.bus_bits) * bus_bytes
        y = r
        if design.output and design.output.row_scales:
            y += beats_of(part.rows, ROW_BITS, design.bus_bits) * bus_bytes
        jobs.append(BusJob(part.rows, part.tiles, part.steps, passes, free, w, y, c, r, part.add, part.keep))
        free = y + beats_of(part.output_rows * design.cols, design.result_bits, design.bus_bits) * bus_bytes
    return jobs


def bus_cycles(design: DesignPoint, jobs: Sequence[BusJob], memory_latency: int = 0) -> BusCycles:
    """Cycles of jobs that are offered as soon as they say, and as fast as they are taken.

    The memory takes a burst in every cycle. Its first beat is on offer `memory_latency` + 1 cycles later, or when all
    beats asked for before have been: a beat per cycle, in their order. A write is answered as many cycles after its
    last beat.

    Parameters
    ----------
    design : DesignPoint
    jobs : sequence of BusJob
        Legal ones.
    memory_latency : int

    Raises
    ------
    GossetError
        If the latency is out of range, the jobs take more than `MAX_CYCLES`, or some are of raw rows and the front end
        tries one β at a time: there the cycle decides in which a job comes.
    """
    delay = integer(memory_latency, "The latency of the memory", 0, MAX_LATENCY)
    delay += 2 * design.port_registers  # there and back
    stationary, bus, offset = design.dataflow == "ws", design.bus_bits, design.bus_bits // 8
    rules, front_end = design.front_end, (0, 0, 0)
    if rules and any(job.raw for job in jobs):
        if rules.candidates == "serial":
            raise GossetError("The cycle model behind a bus knows no raw rows of front ends with serial candidates.")
        # Up to its queue; what of it is behind the butterflies between blocks; and places of the queue.
        through, segment = frontend.latency(rules) - Queue.LATENCY, rules.segment_blocks
        behind = through - _SIGNS - _BETWEEN * exact_log2(segment) - (segment - 1)
        front_end = segment, behind, 1 << ceil_log2(through + frontend.HANDOVER)
    sides = [[*reader_shapes(design, word).values()] for word in (x_word(design), w_word(design))]
    sides += [[shape] for shape in finishing_shapes(design).values()]
    readers = []
    for side, shapes in (dict(enumerate(sides)) | ({RAW: [raw_shape(design)]} if rules else {})).items():
        for shape in shapes:
            unit = gcd(bus, shape.word_bits)
            units = {"beat": bus // unit, "word": shape.word_bits // unit, "bits": shape.word_bits}
            readers.append(begin(READER, side=side, jobs=shape.jobs, room=shape.depth, **units))
    row_bits = result_word_bits(design)
    unit = gcd(bus, row_bits)
    table, same = [], ("rows", "tiles", "steps", "passes", "keep", "raw", "out", "offered")
    for job in jobs:
        blocks = job.steps * step_blocks(design)
        raw_words = blocks // rules.segment_blocks * rules.segment_blocks if rules else 0
        operands = words_of(design, job.rows, job.steps, job.passes)
        table.append(
            begin(
                JOB,
                **{name: getattr(job, name) for name in same},
                units=job.rows if stationary else divide(job.rows, design.rows),
                y=job.y // offset,
                stride=job.stride * 8 // unit,
                raw_stride=job.x_stride // offset,
                planes=(1, job.tiles, 1, 1, job.rows),
                words=(*operands, job.tiles * design.cols, job.rows, raw_words),
                at=[place // offset for place in (job.x, job.w, job.c, job.r, job.x)],
            )
        )
    machine = [stationary, design.rows, design.jobs, latency(design), design.drain_rows]
    machine += [stages(design.output) if design.output else 0, design.cols]
    machine += [bool(design.output and design.output.row_scales), *front_end]
    port = begin(PORT, burst=design.burst, bus=bus, delay=delay)
    writer = begin(
        WRITER,
        burst=design.burst,
        delay=delay,
        row=row_bits // unit,
        beat=bus // unit,
        tile=design.cols * design.result_bits // unit,
        places=outstanding(design),
        strides=design.strides,
    )
    widths = [field.width for _, field in x_word(design)] if design.codes else []
    planes = [(bus // gcd(bus, width), width // gcd(bus, width)) for width in widths]
    numbers = np.array(machine, dtype=np.int64), np.array(planes, dtype=np.int64).reshape(-1, 2)
    records = np.array(table, JOB), np.array(readers, READER), port, writer
    counts = run(*numbers, *records, MAX_CYCLES)
    if counts[0] < 0:
        raise GossetError(f"The cycle model behind a bus counts to {MAX_CYCLES:,} cycles, but the jobs take more.")
    total, beats, *causes = (int(count) for count in counts)
    return BusCycles(total, dict(zip(COUNTERS, causes, strict=True)), beats)

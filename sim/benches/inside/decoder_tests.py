"""The decoder against `golden.voronoi.decode`."""

from collections.abc import Sequence
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject

from golden.format import Format
from golden.lattice import DIM, codewords
from golden.voronoi import decode
from sim.benches.inside.checks import Mismatch, compare, same
from sim.benches.inside.labels import Labels, corner_labels, random_labels, tied
from sim.benches.inside.signals import PAUSES, Beat
from sim.benches.inside.streams import Monitor, Sink, Source, watch_independence
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import unpack


class Block(NamedTuple):
    """What a block is decoded to."""

    number: int
    label: int
    y: list[int]
    beta: int


def cases_of(format: Format, labels: Labels | None = None, betas: Sequence[int] = ()) -> dict[str, int]:
    """Cases of blocks, and how many there are of each."""
    y = decode(np.zeros(0, dtype=np.uint64) if labels is None else labels, format.q).astype(np.int64)
    odd, words = y % 2, codewords()
    cases = {f"codeword {''.join(map(str, word))}": int((odd == word).all(axis=1).sum()) for word in words}
    cases |= {f"β = {beta}": list(betas).count(index) for index, beta in enumerate(format.betas)}
    for i in range(DIM):
        cases |= {f"coordinate {i} is negative": int((y[:, i] < 0).sum())}
        cases |= {f"coordinate {i} is −q": int((y[:, i] == -format.q).sum())}
    for kind, g in tied():
        cases[f"a tie between {kind}"] = int((((format.q - 2 * abs(y)) * g).sum(axis=1) == 0).sum())
    return cases


class DecoderBench(Testbench):
    """A decoder between a source and a sink."""

    def __init__(self, dut: HierarchyObject, idle: str = "never", stall: str = "never", *, patient: bool = False):
        super().__init__(dut)
        self.source = Source(self, self.streams["i"], idle)
        self.sink = Sink(self, self.streams["o"], stall, patient=patient)
        self.exact = stall == "never" and not patient
        """Whether nothing delays a block."""
        self.offered = Scoreboard[Block](self, "label")
        self.inside = Scoreboard[tuple[int, Block]](self, "block")
        self.about(*cases_of(self.format))
        self.accepted: list[int] = []
        """Cycles in which blocks went in."""
        Monitor(self, self.streams["i"], self._into)
        Monitor(self, self.streams["o"], self._out_of)

    def send(self, labels: Labels) -> None:
        """Queues labels, each with a random β."""
        betas = self.rng.integers(0, len(self.format.betas), len(labels)).tolist()
        points = decode(labels, self.format.q).tolist()
        blocks = [Block(i, *block) for i, block in enumerate(zip(labels.tolist(), points, betas, strict=True))]
        for case, times in cases_of(self.format, labels, betas).items():
            self.met(case, times)
        self.offered.expect(blocks)
        self.source.send({"label": block.label, "beta": block.beta} for block in blocks)

    async def run(self, labels: Labels) -> None:
        """Decodes labels, and reports the test as passed."""
        await self.start()
        self.send(labels)
        await self.done()

    async def done(self) -> None:
        """Waits for all blocks, and reports the test as passed."""
        await self.offered.empty()
        await self.inside.empty()
        self.finish()

    def _into(self, cycle: int, beat: Beat) -> None:
        block = self.offered.take()
        same(f"block {block.number}, label that went in", block.label, beat["label"], self.format.label_bits)
        self.accepted.append(cycle)
        self.inside.expect([(cycle, block)])

    def _out_of(self, cycle: int, beat: Beat) -> None:
        since, block = self.inside.take()
        what, width = f"block {block.number} (label {block.label:#x})", self.format.point_bits
        compare(what, "coordinate", block.y, unpack(beat["y"], width, DIM), width)
        same(f"{what}, β index", block.beta, beat.get("beta", 0), max(1, self.format.beta_bits))
        latency = cycle - since
        if latency < self.settings.latency or (self.exact and latency > self.settings.latency):
            raise Mismatch(f"{what} took {latency} cycles; the latency is {self.settings.latency}.")
        self.checked += 1


@cocotb.test
@cocotb.parametrize(idle=PAUSES, stall=PAUSES)
async def random_blocks(dut: HierarchyObject, idle: str, stall: str) -> None:
    """Random labels."""
    bench = DecoderBench(dut, idle, stall)
    await bench.run(random_labels(bench.format, bench.blocks, bench.rng))


@cocotb.test
@cocotb.parametrize(pause=("never", "random"))
async def corners(dut: HierarchyObject, pause: str) -> None:
    """Labels at the ends of the range, and those with ties."""
    bench = DecoderBench(dut, pause, pause)
    await bench.run(corner_labels(bench.format, bench.rng))


@cocotb.test
async def full_throughput(dut: HierarchyObject) -> None:
    """A block goes in each cycle."""
    bench = DecoderBench(dut)
    await bench.run(random_labels(bench.format, bench.blocks, bench.rng))
    if (np.diff(bench.accepted) != 1).any():
        raise Mismatch(f"{bench.blocks} blocks went in within {np.ptp(bench.accepted) + 1} cycles.")


@cocotb.test
async def patient_consumer(dut: HierarchyObject) -> None:
    """valid comes without ready, and neither it nor the payload depends on ready."""
    bench = DecoderBench(dut, "random", patient=True)
    cocotb.start_soon(watch_independence(bench, bench.streams["o"]))
    await bench.run(random_labels(bench.format, -(-bench.blocks // 4), bench.rng))


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def reset_midway(dut: HierarchyObject, stall: str) -> None:
    """After a reset nothing of what was inside comes out."""
    bench = DecoderBench(dut, "never", stall)
    await bench.start()
    bench.send(random_labels(bench.format, bench.blocks, bench.rng))
    await bench.cycles(bench.settings.latency + 20)
    await bench.reset()
    await bench.cycles(50)
    bench.send(random_labels(bench.format, -(-bench.blocks // 4), bench.rng))
    await bench.done()

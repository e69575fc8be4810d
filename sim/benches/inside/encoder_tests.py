"""The front end's encoder by itself against `golden.frontend`: scaled blocks in, codes out.

What is scaled lies where the rows and their multipliers put it: the few numbers at which a quotient is rounded another
way are seldom met there. Here every coordinate takes every value.
"""

from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from numpy.typing import NDArray

from golden.frontend import FrontEndRules
from golden.lattice import DIM
from sim.benches.inside.checks import same
from sim.benches.inside.signals import PAUSES, Beat, noise
from sim.benches.inside.streams import Delay, Monitor, Source
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import pack

EVERY_BITS = 14
"""Bits of a coordinate of which all values are tried."""


class Code(NamedTuple):
    """What a block is encoded to."""

    number: int
    fields: dict[str, int]


class EncoderBench(Testbench):
    """An encoder behind a source."""

    def __init__(self, dut: HierarchyObject, idle: str = "never"):
        super().__init__(dut)
        rules = self.settings.design.front_end
        assert rules is not None
        self.rules: FrontEndRules = rules
        self.source = Source(self, self.streams["i"], idle)
        self.beside = [name for name in self.streams["i"].fields if name != "t"]
        """What passes with a block."""
        self.codes = Scoreboard[Code](self, "code")
        self.about(*(f"β = {beta}" for beta in rules.format.betas))
        Monitor(self, self.streams["o"], self._out_of)
        Delay(self, self.streams["i"], self.streams["o"])

    def blocks_of(self, count: int) -> NDArray[np.int64]:
        """Random blocks, of any size, int64 (count, 8)."""
        bits, rng = self.rules.scaled_bits, self.rng
        size = 1 << rng.integers(0, bits, (count, 1))
        return rng.integers(-size, size, (count, DIM)).clip(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)

    def send(self, t: NDArray[np.int64]) -> None:
        """Queues blocks, as far apart as the encoder needs them."""
        rules, widths = self.rules, self.streams["i"].widths
        labels, betas = rules.encode(t)
        apart = [None] * (self.settings.description["cycles"] - 1)
        for number, (block, label, index) in enumerate(
            zip(t, labels[:, 0].tolist(), betas[:, 0].tolist(), strict=True)
        ):
            beside = {name: noise(widths[name], self.rng) for name in self.beside}
            self.met(f"β = {rules.format.betas[index]}")
            self.codes.expect([Code(number, beside | {"label": label, "beta": index})])
            self.source.send([beside | {"t": pack(block, rules.scaled_bits)}, *apart])

    async def done(self) -> None:
        """Waits for all codes, and reports the test as passed."""
        await self.codes.empty()
        self.finish()

    def _out_of(self, cycle: int, beat: Beat) -> None:
        code = self.codes.take()
        for name, expected in code.fields.items():
            if name in beat:
                same(f"block {code.number}, {name}", expected, beat[name], self.streams["o"].widths[name])
        self.checked += 1


@cocotb.test
@cocotb.parametrize(others=("any", "small"))
async def every_value(dut: HierarchyObject, others: str) -> None:
    """Coordinates take every value, or as many as there is time for, a few times: all at once, each in an order of its
    own; or one of a block, whose others alone do not overload."""
    bench = EncoderBench(dut)
    await bench.start()
    rules, rng = bench.rules, bench.rng
    bits, small = rules.scaled_bits, rules.format.q // 2 << rules.fraction_bits
    values = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
    for _ in range(1 + bench.blocks // 100):
        some = values if bits <= EVERY_BITS else rng.choice(values, 1 << EVERY_BITS, replace=False)
        blocks = np.stack([rng.permutation(some) for _ in range(DIM)], axis=1)
        if others == "small":
            alone = np.eye(DIM, dtype=bool)[rng.integers(0, DIM, len(some))]
            blocks = np.where(alone, blocks, rng.integers(-small, small + 1, blocks.shape))
        bench.send(blocks)
    await bench.done()


@cocotb.test
@cocotb.parametrize(idle=PAUSES)
async def random_blocks(dut: HierarchyObject, idle: str) -> None:
    """Small and large ones, with pauses."""
    bench = EncoderBench(dut, idle)
    await bench.start()
    bench.send(bench.blocks_of(bench.blocks))
    await bench.done()


@cocotb.test
@cocotb.parametrize(idle=PAUSES)
async def reset_midway(dut: HierarchyObject, idle: str) -> None:
    """After a reset nothing of what was inside comes out."""
    bench = EncoderBench(dut, idle)
    await bench.start()
    for _ in range(4):
        bench.send(bench.blocks_of(-(-bench.blocks // 4)))
        await bench.cycles(int(bench.rng.integers(1, 2 * bench.settings.latency)))
        await bench.reset()
        await bench.cycles(int(bench.rng.choice([0, 2 * bench.settings.latency])))
    bench.send(bench.blocks_of(-(-bench.blocks // 4)))
    await bench.done()

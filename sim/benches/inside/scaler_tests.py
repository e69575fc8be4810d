"""The front end's scaler by itself against `golden.frontend`: words and multipliers in, coordinates out.

Behind it, coordinates become the nearest point: most of what is wrong with their lowest bits is lost there. Here every
bit of them is seen.
"""

from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from numpy.typing import NDArray

from golden.frontend import MANTISSA_BITS, FrontEndRules, Multiplier
from golden.lattice import DIM
from hw.codec.frontend import multiplier
from sim.benches.inside.checks import same
from sim.benches.inside.signals import PAUSES, Beat, signal
from sim.benches.inside.streams import Delay, Monitor, Source
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import Structure, pack, unpack

LEAST, GREATEST, INSIDE = "a coordinate at the least number", "one at the greatest number", "one between them"
ENDED = "a multiplier of zero"


class Scaled(NamedTuple):
    """What a block is scaled to."""

    number: int
    t: list[int]
    beside: Beat


class ScalerBench(Testbench):
    """A scaler behind a source of blocks and their multipliers."""

    def __init__(self, dut: HierarchyObject, idle: str = "never"):
        super().__init__(dut)
        rules = self.settings.design.front_end
        assert rules is not None
        self.rules: FrontEndRules = rules
        self.multiplier, blocks = Structure(multiplier(rules)), self.streams["i"]
        blocks.fields["multiplier"] = signal(dut, "multiplier")  # which comes with a block
        blocks.widths["multiplier"] = self.multiplier.width
        self.source = Source(self, blocks, idle)
        self.scaled = Scoreboard[Scaled](self, "scaled block")
        self.about(LEAST, GREATEST, INSIDE, ENDED)
        Monitor(self, self.streams["o"], self._out_of)
        Delay(self, blocks, self.streams["o"])

    def multipliers(self, count: int) -> Multiplier:
        """Any multipliers, one of zero among every eight."""
        mantissa = self.rng.integers(0, 1 << MANTISSA_BITS, count)
        mantissa[::8] = 0
        return Multiplier(mantissa, self.rng.integers(0, 1 << self.rules.exponent_bits, count))

    def words(self, exponent: NDArray[np.int64]) -> NDArray[np.int64]:
        """Words of which some are beyond the range of coordinates, by those exponents, some at its very ends and some
        in it, int64 (count, 8)."""
        rules, rng, most = self.rules, self.rng, 1 << (self.rules.word_bits - 1)
        end = np.exp2(exponent + rules.scaled_bits - 1 - rules.fraction_bits - MANTISSA_BITS)[:, None]
        shape = len(exponent), DIM
        size = end * np.where(
            rng.random(shape) < 0.3,
            1 + rng.uniform(-2, 2, shape) / (1 << (rules.scaled_bits - 1)),
            np.exp2(rng.uniform(-rules.scaled_bits, 2, shape)),
        )
        size *= rng.choice([-1, 1], shape)
        return size.clip(-most, most - 1).round().astype(np.int64)

    def send(self, multipliers: Multiplier) -> None:
        """Queues blocks with these multipliers."""
        rules, count = self.rules, len(multipliers.mantissa)
        w = self.words(multipliers.exponent)
        t = rules.scaled(w, multipliers)
        a = rules.scaled(w, Multiplier(np.full(count, (1 << MANTISSA_BITS) - 1), multipliers.exponent))
        self.met(LEAST, int((a == a.min()).sum()))
        self.met(GREATEST, int((a == a.max()).sum()))
        self.met(INSIDE, int(((a > a.min()) & (a < a.max())).sum()))
        self.met(ENDED, int((multipliers.mantissa == 0).sum()))
        last = self.rng.integers(0, 2, count)
        fields = np.stack([multipliers.mantissa, multipliers.exponent, last], axis=1).tolist()
        for number, (block, scaled, values) in enumerate(zip(w.tolist(), t.tolist(), fields, strict=True)):
            beside = dict(zip(("mantissa", "exponent", "last"), values, strict=True))
            self.scaled.expect([Scaled(number, scaled, beside)])
            given = {"w": pack(block, rules.word_bits), "multiplier": self.multiplier.pack(beside)}
            self.source.send([beside | given])

    async def done(self) -> None:
        """Waits for all blocks, and reports the test as passed."""
        await self.scaled.empty()
        self.finish()

    def _out_of(self, cycle: int, beat: Beat) -> None:
        block, bits = self.scaled.take(), self.rules.scaled_bits
        for name, expected in block.beside.items():
            same(f"block {block.number}, {name}", expected, beat[name], self.streams["o"].widths[name])
        for j, (expected, found) in enumerate(zip(block.t, unpack(beat["t"], bits, DIM), strict=True)):
            same(f"block {block.number}, coordinate {j}", expected, found, bits)
        self.checked += DIM


@cocotb.test
@cocotb.parametrize(idle=("never", "random"))
async def every_multiplier(dut: HierarchyObject, idle: str) -> None:
    """Every exponent with every mantissa, a few times."""
    bench = ScalerBench(dut, idle)
    await bench.start()
    for _ in range(1 + bench.blocks // 100):
        mantissa, exponent = np.indices((1 << MANTISSA_BITS, 1 << bench.rules.exponent_bits)).reshape(2, -1)
        bench.send(Multiplier(mantissa, exponent))
    await bench.done()


@cocotb.test
@cocotb.parametrize(idle=PAUSES)
async def random_blocks(dut: HierarchyObject, idle: str) -> None:
    """Any of them, with pauses."""
    bench = ScalerBench(dut, idle)
    await bench.start()
    bench.send(bench.multipliers(bench.blocks))
    await bench.done()


@cocotb.test
@cocotb.parametrize(idle=PAUSES)
async def reset_midway(dut: HierarchyObject, idle: str) -> None:
    """After a reset nothing of what was inside comes out."""
    bench = ScalerBench(dut, idle)
    await bench.start()
    for _ in range(4):
        bench.send(bench.multipliers(-(-bench.blocks // 4)))
        await bench.cycles(int(bench.rng.integers(1, 2 * bench.settings.latency)))
        await bench.reset()
        await bench.cycles(int(bench.rng.choice([0, 2 * bench.settings.latency])))
    bench.send(bench.multipliers(-(-bench.blocks // 4)))
    await bench.done()

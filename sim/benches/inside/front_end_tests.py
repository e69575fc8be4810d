"""The front end by itself against `golden.frontend`: raw blocks in, codes and multipliers out."""

from collections.abc import Iterator
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from numpy.typing import NDArray

from golden.frontend import GAIN_EXPONENT_BITS, MANTISSA_BITS, SEED, SEED_BITS, FrontEndRules, Gain
from golden.lattice import DIM
from sim.benches.inside.checks import same
from sim.benches.inside.signals import PAUSES, Beat, signal
from sim.benches.inside.streams import Monitor, Sink, Source
from sim.benches.inside.testbench import Scoreboard, Testbench
from sim.benches.inside.words import pack

ZEROS, LIMITS = "a row of zeros", "a row of the least and the largest numbers"
SHORT, LONG = "rows of one segment", "rows of several segments"
ENDED = "a multiplier of zero"


class Code(NamedTuple):
    """What a block is encoded to."""

    row: int
    block: int
    fields: dict[str, int]


class FrontEndBench(Testbench):
    """A front end between sources and a sink."""

    def __init__(self, dut: HierarchyObject, idle: str = "never", stall: str = "never"):
        super().__init__(dut)
        rules = self.settings.design.front_end
        assert rules is not None
        self.rules: FrontEndRules = rules
        self.source = Source(self, self.streams["i"], idle)
        self.scales = Source(self, self.streams["scale"], idle) if self.rules.scale == "host" else None
        self.sink = Sink(self, self.streams["o"], stall)
        self.codes = Scoreboard[Code](self, "code")
        self.widths = {port["name"]: port["width"] for port in self.settings.description["ports"]}
        self.about(*(f"β = {beta}" for beta in self.rules.format.betas), ZEROS, LIMITS, SHORT, LONG, ENDED)
        Monitor(self, self.streams["o"], self._out_of)

    def rows(self, blocks: int) -> NDArray[np.int64]:
        """Raw rows of so many blocks together, or some more: small and large, and the worst ones."""
        rules, rng, most = self.rules, self.rng, 1 << (self.rules.raw_bits - 1)
        segments = max(1, min(3, (rules.row_blocks if rules.scale != "host" else 1 << 20) // rules.segment_blocks))
        columns = int(rng.integers(1, segments + 1)) * rules.segment_blocks * DIM
        count = 8 + -(-blocks * DIM // columns)
        size = 1 << rng.integers(0, rules.raw_bits, (count, 1))
        x = rng.integers(-size, size + 1, (count, columns)).clip(-most, most - 1)
        places = rng.permutation(count)[:7]
        x[places[0]], x[places[1]], x[places[2]], x[places[3]] = -most, most - 1, 0, 0
        x[places[3], -1] = -1
        x[places[4]] = rng.choice([-most, most - 1], columns)
        signs = rules.signs(self.seed)[np.arange(columns) % rules.length]
        x[places[5]], x[places[6]] = np.where(signs < 0, -most, most - 1), np.where(signs < 0, most - 1, -most)
        return x

    def send(self, blocks: int, seed: int = SEED, gain: Gain | None = None) -> None:
        """Queues rows of so many blocks together, and sets the front end up for them."""
        rules, self.seed = self.rules, seed
        x, multiplier = self.rows(blocks), None
        signal(self.dut, "seed").value = seed
        if self.scales:
            size = np.sqrt(np.square(x).mean(axis=1) + 0.1) * self.rng.choice([0.02, 0.05, 0.2], len(x))
            multiplier = rules.multiplier(size.clip(0.03, None))
            multiplier.exponent[::5] = self.rng.integers(0, 1 << rules.exponent_bits, len(x[::5]))
            multiplier.mantissa[::7] = 0
            fields = zip(multiplier.mantissa.tolist(), multiplier.exponent.tolist(), strict=True)
            self.scales.send({"mantissa": mantissa, "exponent": exponent} for mantissa, exponent in fields)
        else:
            gain = gain or rules.gain(x.shape[1])
            signal(self.dut, "gain_mantissa").value = gain.mantissa
            signal(self.dut, "gain_exponent").value = gain.exponent
        packed, used = rules.run(x, seed=seed, gain=gain, multiplier=multiplier)
        last = [k == packed.blocks - 1 for k in range(packed.blocks)]
        for index, beta in enumerate(rules.format.betas):
            self.met(f"β = {beta}", int((packed.betas == index).sum()))
        most = 1 << (rules.raw_bits - 1)
        self.met(ZEROS, int((x == 0).all(axis=1).sum()))
        self.met(LIMITS, int(((x == -most) | (x == most - 1)).all(axis=1).sum()))
        self.met(LONG if packed.blocks > rules.segment_blocks else SHORT, len(x))
        self.met(ENDED, int((used.mantissa == 0).sum()))
        values = {
            "label": packed.labels,
            "beta": packed.betas,
            "mantissa": np.broadcast_to(used.mantissa[:, None], packed.labels.shape),
            "exponent": np.broadcast_to(used.exponent[:, None], packed.labels.shape),
            "last": np.broadcast_to(np.array(last), packed.labels.shape),
        }
        self.codes.expect(
            Code(row, block, {name: int(array[row, block]) for name, array in values.items()})
            for row in range(len(x))
            for block in range(packed.blocks)
        )
        self.source.send(self._beats(x, last))

    def random_gain(self) -> Gain | None:
        """Any gain, for a front end that has one."""
        if self.scales:
            return None
        mantissa = int(self.rng.integers(1 << MANTISSA_BITS))
        return Gain(mantissa, int(self.rng.integers(1 << GAIN_EXPONENT_BITS)))

    async def done(self) -> None:
        """Waits for all codes, and reports the test as passed."""
        await self.codes.empty(4 * DIM * self.rules.row_blocks)
        self.finish()

    def _beats(self, x: NDArray[np.int64], last: list[bool]) -> Iterator[Beat]:
        for row in x.reshape(len(x), -1, DIM).tolist():
            for block, ends in zip(row, last, strict=True):
                yield {"x": pack(block, self.rules.raw_bits), "last": int(ends)}

    def _out_of(self, cycle: int, beat: Beat) -> None:
        code = self.codes.take()
        for name, value in beat.items():
            what = f"row {code.row}, block {code.block}, {name}"
            same(what, code.fields[name], value, self.widths[f"o_{name}"])
        self.checked += 1


@cocotb.test
@cocotb.parametrize(idle=PAUSES, stall=PAUSES)
async def random_rows(dut: HierarchyObject, idle: str, stall: str) -> None:
    """Rows of every size, with their best gain."""
    bench = FrontEndBench(dut, idle, stall)
    await bench.start()
    bench.send(bench.blocks)
    await bench.done()


@cocotb.test
@cocotb.parametrize(turn=(0, 1, 2, 3))
async def seeds_and_gains(dut: HierarchyObject, turn: int) -> None:
    """Any seed and any gain, those among them that leave no bit of a row and those that leave them all."""
    bench = FrontEndBench(dut, "never", "random")
    await bench.start()
    for _ in range(4):
        bench.send(-(-bench.blocks // 4), int(bench.rng.integers(1 << SEED_BITS)), bench.random_gain())
        await bench.codes.empty(4 * DIM * bench.rules.row_blocks)
    await bench.done()


@cocotb.test
@cocotb.parametrize(idle=("never", "random"), stall=PAUSES)
async def reset_midway(dut: HierarchyObject, idle: str, stall: str) -> None:
    """After a reset at any moment nothing of what was inside comes out, and nothing of it is in what comes after."""
    bench = FrontEndBench(dut, idle, stall)
    await bench.start()
    for _ in range(8):
        bench.send(bench.blocks + 40)
        await bench.cycles(int(bench.rng.integers(1, 150)))
        await bench.reset()
        await bench.cycles(int(bench.rng.choice([0, 50])))
        bench.send(DIM)
        await bench.codes.empty(4 * DIM * bench.rules.row_blocks)
    await bench.done()

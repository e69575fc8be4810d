"""The front end with every number of β, in Amaranth's own simulator: small, but all of them."""

from itertools import product

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.format import Format
from golden.frontend import SEED, FrontEndRules
from hw.codec.frontend import FrontEnd

BETAS = (1, 2, 3, 4, 5, 7, 11, 15)
SCALES = ("host", "max", "rms")
# One β after the other is a state machine, for which each number of them is a case of its own, with every scale.
CASES = [(number, "serial", scale) for number, scale in product(range(1, 9), SCALES)]
CASES += [(number, "parallel", SCALES[number % 3]) for number in range(1, 9)]


@pytest.mark.parametrize(("number", "candidates", "scale"), CASES)
def test_any_number_of_betas(number, candidates, scale):
    format, rng = Format(2, BETAS[8 - number :]), np.random.default_rng(number)
    rules = FrontEndRules(
        format=format, length=16, raw_bits=8, fraction_bits=2, scale=scale, candidates=candidates, row_blocks=4
    )
    rows, blocks = 8, 4
    x = rng.integers(-128, 128, (rows, 8 * blocks)) >> rng.integers(0, 6, (rows, 1))
    gain = multiplier = None
    if scale == "host":
        multiplier = rules.multiplier(np.sqrt(np.square(x).mean(axis=1) + 0.1) * rng.choice([0.05, 0.2, 0.6], rows))
    else:
        gain = rules.gain(x.shape[1])
    packed, used = rules.run(x, gain=gain, multiplier=multiplier)
    unit, found = FrontEnd(rules), []

    async def give(ctx):
        ctx.set(unit.seed, SEED)
        if gain:
            ctx.set(unit.gain_mantissa, gain.mantissa)
            ctx.set(unit.gain_exponent, gain.exponent)
        for n, row in enumerate(x.reshape(rows, blocks, 8)):
            if n == rows // 2:
                await ctx.tick().repeat(30)  # all is through: it begins anew
            for k, block in enumerate(row):
                ctx.set(unit.i.payload, {"x": [int(v) for v in block], "last": k == blocks - 1})
                ctx.set(unit.i.valid, 1)
                await ctx.tick().until(unit.i.ready)
                ctx.set(unit.i.valid, 0)

    async def give_scales(ctx):
        for mantissa, exponent in zip(*(part.tolist() for part in multiplier), strict=True):
            ctx.set(unit.scale.payload, {"mantissa": mantissa, "exponent": exponent})
            ctx.set(unit.scale.valid, 1)
            await ctx.tick().until(unit.scale.ready)
            ctx.set(unit.scale.valid, 0)

    async def take(ctx):
        fields = [name for name in unit.o.payload.shape().members if name != "last"]
        ctx.set(unit.o.ready, 1)
        for _ in range(rows * blocks * 8 + 300):
            if len(found) == rows * blocks:
                return
            if ctx.get(unit.o.valid):
                found.append({name: ctx.get(unit.o.payload[name]) for name in fields})
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(give, background=True)
    if multiplier:
        simulator.add_testbench(give_scales, background=True)
    simulator.add_testbench(take)
    simulator.run()
    assert [block["label"] for block in found] == packed.labels.ravel().tolist()
    if format.beta_bits:
        assert [block["beta"] for block in found] == packed.betas.ravel().tolist()
    for field, part in zip(("mantissa", "exponent"), used, strict=True):
        assert [block[field] for block in found] == np.repeat(part, blocks).tolist()

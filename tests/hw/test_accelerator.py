"""The hardware in Amaranth's own simulator, where units are not shared: small, but of another code base."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden import voronoi
from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from hw.accelerator import COUNTERS, Accelerator
from hw.decoder import Decoder
from hw.design import DesignPoint


@pytest.mark.parametrize("q", voronoi.RATES)
def test_decoder_equals_golden(q):
    fmt, count = Format(q), 60
    decoder, rng = Decoder(fmt), np.random.default_rng(q)
    labels = [int(x) for x in rng.integers(0, 1 << fmt.label_bits, count, dtype=np.uint64)]
    points = []

    async def put(ctx):
        for label in labels:
            ctx.set(decoder.i.valid, 0)
            await ctx.tick().repeat(int(rng.integers(1, 3)))
            ctx.set(decoder.i.payload.label, label)
            ctx.set(decoder.i.valid, 1)
            await ctx.tick().until(decoder.i.ready)

    async def get(ctx):
        while len(points) < count:
            ctx.set(decoder.o.ready, int(rng.integers(2)))
            _, _, valid, ready, *y = await ctx.tick().sample(decoder.o.valid, decoder.o.ready, *decoder.o.payload.y)
            if valid and ready:
                points.append(y)

    sim = Simulator(decoder)
    sim.add_clock(1e-6)
    sim.add_testbench(put)
    sim.add_testbench(get)
    sim.run()
    np.testing.assert_array_equal(points, voronoi.decode(labels, q))


def test_product_equals_golden_and_latency_is_as_stated():
    design = DesignPoint(name="two", rows=2, cols=1, format=Format(4))
    accelerator, rng = Accelerator(design), np.random.default_rng(0)
    x, w = (quantize(rng.normal(size=(rows, 24)), design.format) for rows in (2, 1))
    found = []
    counters = {}

    async def bench(ctx):
        ctx.set(accelerator.acc.ready, 1)
        for k in range(x.blocks):
            for r in range(2):
                ctx.set(accelerator.x.payload.labels[r], int(x.labels[r, k]))
                ctx.set(accelerator.x.payload.betas[r], int(x.betas[r, k]))
            ctx.set(accelerator.w.payload.labels[0], int(w.labels[0, k]))
            ctx.set(accelerator.w.payload.betas[0], int(w.betas[0, k]))
            ctx.set(accelerator.x.payload.last, k + 1 == x.blocks)
            ctx.set(accelerator.x.payload.count, 2)
            ctx.set(accelerator.x.valid, 1)
            ctx.set(accelerator.w.valid, 1)
            await ctx.tick()
        ctx.set(accelerator.x.valid, 0)
        ctx.set(accelerator.w.valid, 0)
        await ctx.tick().repeat(accelerator.latency - 1)
        for row in range(2):
            assert ctx.get(accelerator.acc.valid)
            assert ctx.get(accelerator.acc.payload.last) == row
            found.append([ctx.get(accelerator.acc.payload.values[0])])
            await ctx.tick()
        assert not ctx.get(accelerator.acc.valid)
        counters.update({name: ctx.get(getattr(accelerator, name)) for name in COUNTERS})

    sim = Simulator(accelerator)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    np.testing.assert_array_equal(found, matmul(x, w).accumulators)
    assert counters == {"busy": 3, "x_late": 0, "w_late": 0, "idle": accelerator.latency + 1, "drain_blocked": 0}

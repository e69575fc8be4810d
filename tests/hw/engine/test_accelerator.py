"""The hardware in Amaranth's own simulator, where units are not shared: small, but of another code base."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden import voronoi
from golden.format import Format
from golden.int8 import quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize
from hw.codec.decoder import Decoder
from hw.design import DesignPoint
from hw.engine.accelerator import Accelerator
from hw.engine.sequencer import latency
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.tiles import Job


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


@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("dsp_cols", [0, 1, 2])
def test_product_equals_golden_and_latency_is_as_stated(dataflow, int8, dsp_cols):
    design = DesignPoint(
        name="two",
        rows=2,
        cols=2,
        format=Format(4),
        dataflow=dataflow,
        activations=("packed", "int8"),
        dsp_cols=dsp_cols,
        panel_rows=4,
    )
    accelerator, rng = Accelerator(design), np.random.default_rng(0)
    w = quantize(rng.normal(size=(3, 24)), design.format)
    x = rng.normal(size=(3, 24))
    product = Job(design, quantize_int8(x) if int8 else quantize(x, design.format), w)
    cycle, found, finished = 0, [], {}

    def put(stream, words):
        async def bench(ctx):
            payload = stream.payload.as_value()
            ctx.set(stream.valid, 1)
            for word in words:
                ctx.set(payload, word)
                await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)

        return bench

    async def get(ctx):
        nonlocal cycle
        ctx.set(accelerator.acc.ready, 1)
        while len(found) < product.output_rows:
            if ctx.get(accelerator.acc.valid):
                found.append([ctx.get(value) for value in accelerator.acc.payload.values])
            busy = ctx.get(accelerator.busy)
            await ctx.tick()
            if ctx.get(accelerator.busy) > busy:
                finished[ctx.get(accelerator.busy)] = cycle  # the cycle of each beat
            cycle += 1

    sim = Simulator(accelerator)
    sim.add_clock(1e-6)
    for name, payload in product.inputs().items():
        stream = getattr(accelerator, name)
        fields = {field: (item.offset, item.width) for field, item in stream.payload.shape()}
        words = []
        for i in range(len(next(iter(payload.values())))):
            numbers = {
                port.removeprefix(f"{name}_"): int.from_bytes(v[i].tobytes(), "little") for port, v in payload.items()
            }
            words.append(sum(number << fields[field][0] for field, number in numbers.items()))
        sim.add_testbench(put(stream, words))
    sim.add_testbench(get)
    sim.run()
    rows = np.array(found, dtype=np.int32).view(np.uint32)
    np.testing.assert_array_equal(product.accumulators(rows), matmul(product.x, w).accumulators)
    counts = cycles(Machine.of(design), 3, 3, 24, int8=int8)
    assert cycle == counts.cycles and max(finished) == counts.busy
    # A single row is left in the last tile, and a beat is counted a cycle later.
    assert cycle - finished[max(finished)] == latency(design)

import gc
import warnings

import numpy as np
import pytest
from amaranth.hdl import UnusedElaboratable
from amaranth.sim import Simulator

from golden.errors import GossetError
from golden.format import Format
from golden.voronoi import decode
from hw.array.cell import SquaredNorm
from hw.array.operands import packed_operand
from hw.codec.decoder import Decoder


@pytest.mark.parametrize("stages", [(6,), (4, 6), (1, 3, 6), Decoder.ALL])
def test_a_decoder_with_fewer_registers_decodes_the_same(stages):
    format, rng = Format(4), np.random.default_rng(0)
    decoder, labels = Decoder(format, stages=stages), rng.integers(0, 1 << 16, 40)
    points = decode(labels.astype(np.uint16), 4)

    async def bench(ctx):
        ctx.set(decoder.i.valid, 1)
        ctx.set(decoder.o.ready, 1)
        for cycle in range(len(labels) + decoder.latency):
            ctx.set(decoder.i.p.label, int(labels[min(cycle, len(labels) - 1)]))
            assert ctx.get(decoder.o.valid) == (cycle >= decoder.latency)
            if cycle >= decoder.latency:
                assert [ctx.get(decoder.o.p.y[i]) for i in range(8)] == list(points[cycle - decoder.latency])
            await ctx.tick()

    assert decoder.latency == len(stages)
    simulator = Simulator(decoder)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("stages", [(3,), (1, 3)])
def test_a_norm_with_fewer_registers_is_the_same(stages):
    side = packed_operand(Format(4))
    norm, points = SquaredNorm(side, stages=stages), decode(np.arange(0, 1 << 16, 2111, dtype=np.uint16), 4)

    async def bench(ctx):
        for cycle in range(len(points) + norm.latency):
            for i in range(8):
                ctx.set(norm.i.y[i], int(points[min(cycle, len(points) - 1)][i]))
            if cycle >= norm.latency:
                assert ctx.get(norm.o.norm) == int(np.square(points[cycle - norm.latency].astype(int)).sum()) // 4
            await ctx.tick()

    simulator = Simulator(norm)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.fixture
def unused():
    """For components that are only made: Amaranth warns of them when they are collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        yield
        gc.collect()


@pytest.mark.parametrize("stages", [(), (1,), (6, 1), (0, 6), (7,)])
def test_stages_are_steps_up_to_the_last(stages, unused):
    with pytest.raises(GossetError, match="stages are steps from 1 to 6"):
        Decoder(Format(4), stages=stages)


def test_other_registers_are_another_module(unused):
    assert Decoder(Format(4)).unit != Decoder(Format(4), stages=(6,)).unit
    assert Decoder(Format(4), stages=Decoder.ALL).unit == Decoder(Format(4)).unit

"""The output stage in Amaranth's simulator, against golden: every result, its flags, with pauses on all sides."""

import numpy as np
import pytest
from amaranth import Value
from amaranth.sim import Simulator

from golden.output import Columns, OutputRules, Rows
from hw.design import DesignPoint
from hw.engine.output import OutputStage, stages


def tiles(design, rng, count):
    """Random tiles, those of a job of one height: rows that go in, words of columns and of rows, and results that must
    come out; None in place of a row is the end of a job whose rows are kept."""
    rows, words, expected, cols, scales = [], [], [], design.cols, []
    end, height, of_rows = True, 0, None
    for _ in range(count):
        if design.keep_rows and rng.random() < 0.3:
            rows.append(None)
            expected.append((None, True))
        if end:
            height = int(rng.integers(1, 5))
            of_rows = Rows(
                mantissa=np.where(rng.random(height) < 0.2, 65535, rng.integers(0, 65536, height)),
                shift=rng.integers(0, 64, height) if rng.random() < 0.3 else rng.integers(8, 20, height),
            )
            scales += of_rows.words().tolist()
        end = bool(rng.integers(2))
        limits = rng.choice([-(2**31), 2**31 - 1, -1, 0], (height, cols))
        some = rng.integers(-(2**31), 2**31, (height, cols)) >> rng.integers(0, 31, (height, cols))
        accumulators = np.where(rng.random((height, cols)) < 0.3, limits, some).astype(np.int32)
        columns = Columns(
            bias=rng.integers(-(2**31), 2**31, cols) >> rng.integers(0, 32, cols),
            mantissa=np.where(rng.random(cols) < 0.2, 65535, rng.integers(0, 65536, cols)),
            shift=rng.integers(0, 64, cols) if rng.random() < 0.5 else rng.integers(8, 40, cols),
            relu=rng.random(cols) < 0.3,
        )
        words += [int(word) for word in columns.words(cols)]
        given = of_rows if design.output.row_scales else None
        for i, results in enumerate(design.output.finish(accumulators, columns, given).tolist()):
            last = i == height - 1
            rows.append({"values": accumulators[i].tolist(), "last": last, "end": last and end})
            expected += [(value, last and end and c == cols - 1) for c, value in enumerate(results)]
    return rows, words, scales, expected


def run(design, pauses, count, seed):
    """What comes out, as `expected` of `tiles`, and the cycle in which each result does."""
    rng, stage = np.random.default_rng(seed), OutputStage(design)
    rows, words, scales, expected = tiles(design, rng, count)
    keeps, found, moments = bool(design.keep_rows), [], []
    none = {"values": [0] * design.cols, "last": 1, "end": 1, "kept": 1}

    async def give(ctx, stream, payloads, pause):
        for payload in payloads:
            while rng.random() < pause:
                await ctx.tick()
            ctx.set(stream.payload if isinstance(payload, dict) else Value.cast(stream.payload), payload)
            ctx.set(stream.valid, 1)
            await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)

    async def rows_in(ctx):
        given = (none if row is None else row | ({"kept": 0} if keeps else {}) for row in rows)
        await give(ctx, stage.i, given, pauses[0])

    async def words_in(ctx):
        await give(ctx, stage.columns, words, pauses[1])

    async def scales_in(ctx):
        await give(ctx, stage.scales, scales, pauses[1])

    async def results_out(ctx):
        cycle = 0
        while len(found) < len(expected):
            ctx.set(stage.o.ready, rng.random() >= pauses[2])
            _, _, valid, ready, out = await ctx.tick().sample(stage.o.valid, stage.o.ready, stage.o.payload)
            cycle += 1
            assert cycle < 5000, "Nothing comes out."
            if valid and ready:
                kept, bits = keeps and bool(out.kept), design.output.bits
                sign = 0 if design.output.floating else out["values"] >> (bits - 1)
                found.append((None if kept else out["values"] - (sign << bits), bool(out.end) or kept))
                moments.append(cycle)

    simulator = Simulator(stage)
    simulator.add_clock(1e-6)
    simulator.add_testbench(rows_in, background=True)
    simulator.add_testbench(words_in, background=True)
    if design.output.row_scales:
        simulator.add_testbench(scales_in, background=True)
    simulator.add_testbench(results_out)
    simulator.run()
    assert found == expected
    return moments


@pytest.mark.parametrize("pauses", [(0, 0, 0), (0.3, 0.5, 0.2), (0, 0, 0.7)])
@pytest.mark.parametrize(
    ("result", "row_scales", "cols", "keep_rows"),
    [
        ("int8", False, 3, 64),
        ("int16", False, 2, 0),
        ("int16", False, 1, 64),
        ("int32", False, 2, 64),
        ("bfloat16", False, 3, 0),
        ("int8", True, 1, 64),
        ("int32", True, 2, 0),
        ("bfloat16", True, 3, 64),
    ],
)
def test_results_are_those_of_golden(result, row_scales, cols, keep_rows, pauses):
    rules = OutputRules(result=result, row_scales=row_scales)
    design = DesignPoint(name="out", rows=2, cols=cols, panel_rows=4, keep_rows=keep_rows, output=rules)
    run(design, pauses, 16, seed=cols)


@pytest.mark.parametrize("row_scales", [False, True])
@pytest.mark.parametrize("result", ["int8", "bfloat16"])
def test_a_column_a_cycle(result, row_scales):
    rules = OutputRules(result=result, row_scales=row_scales)
    moments = run(DesignPoint(name="out", rows=2, cols=3, output=rules), (0, 0, 0), 20, seed=0)
    assert moments == list(range(moments[0], moments[0] + len(moments)))
    assert moments[0] == stages(rules) + 1  # it is given in the first cycle, and taken in one

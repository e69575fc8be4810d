"""Raw rows of every length, and the jobs that say how long they are, in Amaranth's own simulator."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.format import Format
from golden.frontend import SEED, FrontEndRules
from golden.matmul import matmul
from hw.design import DesignPoint
from hw.engine.accelerator import Accelerator
from hw.engine.planner import Planner, errors
from hw.engine.rows import RowFramer, longest_row, step_blocks
from sim.benches.inside.labels import random_matrix
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.tiles import Job

FORMAT = Format(2, (3,))


def design_of(dataflow, scale, rows=3, length=16, row_blocks=10, **changes):
    rules = FrontEndRules(
        format=FORMAT, length=length, raw_bits=4, fraction_bits=2, scale=scale, row_blocks=max(row_blocks, length // 8)
    )
    fields = {"name": "rows", "rows": rows, "cols": 1, "format": FORMAT, "panel_rows": 2 * rows, "x_depth": 16}
    return DesignPoint(**(fields | changes), dataflow=dataflow, front_end=rules)


def lengths_of(design, steps):
    """The blocks that a row of so many steps can have."""
    rules, each = design.front_end, step_blocks(design)
    some = range((steps - 1) * each + 1, steps * each + 1)
    return [n for n in some if n % rules.segment_blocks == 0 and (rules.scale == "host" or n <= rules.row_blocks)]


VARIANTS = [
    design_of(dataflow, scale, rows, length, row_blocks)
    for dataflow in ("os", "ws")
    for scale in ("host", "max", "rms")
    for rows, length, row_blocks in ((1, 8, 5), (3, 16, 10), (2, 64, 9), (4, 8, 16))
]


@pytest.mark.parametrize("design", VARIANTS, ids=lambda d: f"{d.dataflow}-{d.front_end.scale}-{d.rows}")
def test_a_raw_job_is_accepted_if_there_are_rows_for_it(design):
    planner, found = Planner(design), {}

    async def bench(ctx):
        ctx.set(planner.o.ready, 1)
        for steps in range(1, design.x_depth + 1):
            fields = {"rows": 1, "tiles": 1, "steps": steps, "int8": 0, "raw": 1}
            ctx.set(planner.i.payload, fields)
            ctx.set(planner.i.valid, 1)
            await ctx.tick().until(planner.i.ready)
            ctx.set(planner.i.valid, 0)
            seen = set()
            for _ in range(8):
                if ctx.get(planner.o.valid):
                    seen.add((ctx.get(planner.o.payload.most), ctx.get(planner.o.payload.enough)))
                if ctx.get(planner.errors):
                    seen.add(ctx.get(planner.errors))
                await ctx.tick()
            (found[steps],) = seen

    simulator = Simulator(planner)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for steps, seen in found.items():
        lengths = lengths_of(design, steps)
        if not lengths:
            assert seen == 1 << errors(design).index("raw_rows"), steps
        else:
            assert seen == (lengths[-1], (steps - 1) * step_blocks(design) + 1), steps


def sound(blocks, allowed, segment):
    """The length that a row of so many blocks gets, and whether it was wrong."""
    if blocks in allowed:
        return blocks, False
    later = [n for n in allowed if n > blocks]
    return (later[0] if later else allowed[-1]), True


@pytest.mark.parametrize("design", VARIANTS, ids=lambda d: f"{d.dataflow}-{d.front_end.scale}-{d.rows}")
def test_whatever_comes_in_sound_rows_go_on(design):
    rng, framer = np.random.default_rng(3), RowFramer(design)
    segment, longest, each = design.front_end.segment_blocks, longest_row(design.front_end), step_blocks(design)
    legal = [steps for steps in range(1, design.x_depth + 1) if lengths_of(design, steps)]
    jobs, rows, expected, wrong = [], [], [], []
    for steps in rng.choice(legal, 8).tolist():
        count, allowed = int(rng.integers(1, 4)), lengths_of(design, steps)
        jobs.append({"rows": count, "most": allowed[-1], "enough": (steps - 1) * each + 1})
        for k in range(count + int(rng.integers(2))):  # a row more, which goes out
            out = int(k == count)
            some = range(segment, (longest or 64) + 1, segment) if out else allowed
            blocks = int(rng.choice(some)) if rng.random() < 0.3 else int(rng.integers(1, some[-1] + 2 * segment + 2))
            if rng.random() < 0.1:
                blocks += 1 << (design.x_depth * each).bit_length()  # a counter that wraps would be right again
            length, is_wrong = (
                sound(blocks, some, segment)
                if not out or longest
                else (-(-blocks // segment) * segment, blocks % segment != 0)
            )
            rows.append((blocks, out))
            expected.append((length, min(blocks, length), out))
            wrong += [len(rows) - 1] * is_wrong
    found, told = [], []

    async def give_jobs(ctx):
        for fields in jobs:
            await ctx.tick().repeat(int(rng.integers(1, 30)))
            ctx.set(framer.job.payload, fields)
            ctx.set(framer.job.valid, 1)
            await ctx.tick().until(framer.job.ready)
            ctx.set(framer.job.valid, 0)

    async def give(ctx):
        for blocks, out in rows:
            for k in range(blocks):
                ctx.set(framer.i.payload.x[0], 1)
                ctx.set(framer.i.payload.last, k == blocks - 1)
                ctx.set(framer.i.payload.out, out if k == 0 else int(rng.integers(2)))
                ctx.set(framer.i.valid, 1)
                await ctx.tick().until(framer.i.ready)
                if rng.random() < 0.1:
                    ctx.set(framer.i.valid, 0)
                    await ctx.tick()
        ctx.set(framer.i.valid, 0)

    async def watch(ctx):
        async for _, _, error in ctx.tick().sample(framer.error):
            if error:
                told.append(len(found))

    async def take(ctx):
        row = []
        for _ in range(20_000):
            if len(found) == len(expected):
                break
            ctx.set(framer.o.ready, int(rng.random() < 0.8))
            payload = framer.o.payload
            _, _, valid, ready, x, last, out = await ctx.tick().sample(
                framer.o.valid, framer.o.ready, payload.x[0], payload.last, payload.out
            )
            if valid and ready:
                row.append(x)
                if last:
                    found.append((len(row), sum(row), out))
                    row = []
        await ctx.tick().repeat(4)

    simulator = Simulator(framer)
    simulator.add_clock(1e-6)
    for bench in (give_jobs, give, watch):
        simulator.add_testbench(bench, background=True)
    simulator.add_testbench(take)
    simulator.run()
    assert found == expected
    assert told == wrong and len(wrong) > 3


def run_accelerator(design, jobs):
    """Rows of accumulators, errors told, and cycles, of raw jobs: each the rows that are sent, and the product."""
    accelerator, rng = Accelerator(design), np.random.default_rng(1)
    beats = {name: [] for name in ("job", "w", "raw", "scale")}
    for rows, multiplier, job in jobs:
        inputs = job.inputs()
        inputs["job"]["job_raw"][:] = 1
        for name in ("job", "w"):
            for i in range(len(next(iter(inputs[name].values())))):
                words = {port.removeprefix(f"{name}_"): v[i].tobytes() for port, v in inputs[name].items()}
                beats[name].append({field: int.from_bytes(word, "little") for field, word in words.items()})
        for row in rows:
            blocks = np.asarray(row).reshape(-1, 8)
            for k, block in enumerate(blocks.tolist()):
                word = sum((v & 15) << 4 * i for i, v in enumerate(block))
                beats["raw"].append({"x": word, "last": k == len(blocks) - 1, "out": 0})
        if multiplier:
            for mantissa, exponent in zip(*(part.tolist() for part in multiplier), strict=True):
                beats["scale"].append({"mantissa": mantissa, "exponent": exponent})
    found, told, count, wanted = [], 0, 0, sum(job.output_rows for *_, job in jobs)

    def put(stream, words):
        async def bench(ctx):
            fields = {name: f.offset for name, f in stream.payload.shape()}
            ctx.set(stream.valid, 1)
            for word in words:
                ctx.set(stream.payload.as_value(), sum(int(word[name]) << low for name, low in fields.items()))
                await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)

        return bench

    async def get(ctx):
        nonlocal told, count
        ctx.set(accelerator.acc.ready, 1)
        ctx.set(accelerator.multipliers.ready, 1)
        for _ in range(3000):
            if len(found) == wanted:
                return
            if ctx.get(accelerator.acc.valid):
                found.append([ctx.get(value) for value in accelerator.acc.payload.values])
            told += ctx.get(accelerator.bad_row)
            await ctx.tick()
            count += 1

    async def set_up(ctx):
        ctx.set(accelerator.seed, SEED)
        if design.front_end.scale != "host":
            gain = design.front_end.gain(design.front_end.length)
            ctx.set(accelerator.gain_mantissa, gain.mantissa)
            ctx.set(accelerator.gain_exponent, gain.exponent)

    simulator = Simulator(accelerator)
    simulator.add_clock(1e-6)
    simulator.add_testbench(set_up)
    for name, words in beats.items():
        if words:
            simulator.add_testbench(put(getattr(accelerator, name), words), background=True)
    simulator.add_testbench(get)
    simulator.run()
    assert len(found) == wanted
    return np.array(found, dtype=np.int32).view(np.uint32), told, count, rng


def raw_case(design, count, blocks, rng):
    rules = design.front_end
    x = rng.integers(-8, 8, (count, 8 * blocks))
    multiplier = rules.multiplier(rng.uniform(0.5, 3, count)) if rules.scale == "host" else None
    gain = None if rules.scale == "host" else rules.gain(rules.length)
    packed, _ = rules.run(x, multiplier=multiplier, gain=gain)
    job = Job(design, packed, random_matrix(design.format, 2, blocks, rng))
    assert all(part.blocks == blocks for part in job.parts)
    return x, multiplier, job


@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize("scale", ["host", "max", "rms"])
def test_rows_of_wrong_lengths_are_told_of_and_the_next_job_works(dataflow, scale):
    """Short and long by blocks and by segments, and the longest that may be; between them sound jobs."""
    design, rng = design_of(dataflow, scale, rows=2, x_depth=64), np.random.default_rng(5)
    longest = 10  # blocks that can be measured
    jobs, wrong = [], 0
    for blocks, sent in ((4, 3), (4, 1), (4, 2), (4, 9), (6, 40), (4, 5), (longest, longest), (2, 13)):
        x, multiplier, job = raw_case(design, 2, blocks, rng)
        jobs.append(([x[0], rng.integers(-8, 8, 8 * sent)], multiplier, job))
        wrong += sent != blocks
        jobs.append(raw_case(design, 3, blocks, rng))
    rows, told, _, _ = run_accelerator(design, jobs)
    assert told == wrong
    for i, (_, _, job) in enumerate(jobs):
        some, rows = rows[: job.output_rows], rows[job.output_rows :]
        expected = matmul(job.x, job.w).accumulators
        result = job.accumulators(some)
        np.testing.assert_array_equal(result[0], expected[0])
        if i % 2:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize("scale", ["host", "max", "rms"])
def test_cycles_of_raw_products_equal_the_model(dataflow, scale):
    """Rows that fill the last slice and rows that do not; and rows of one block, as many as a job can have."""
    for rows, m, blocks, length in ((3, 4, 10, 16), (2, 2, 1, 8), (1, 1, 1, 8)):
        panel = m if blocks == 1 else 2 * rows
        design = design_of(dataflow, scale, rows=rows, length=length, x_depth=64, panel_rows=panel)
        rng = np.random.default_rng(m)
        x, multiplier, job = raw_case(design, m, blocks, rng)
        found, told, count, _ = run_accelerator(design, [(x, multiplier, job)])
        assert not told
        np.testing.assert_array_equal(job.accumulators(found), matmul(job.x, job.w).accumulators)
        assert count == cycles(Machine.of(design), m, 2, 8 * blocks, raw=True).cycles

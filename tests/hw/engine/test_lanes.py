"""Blocks from a front end lie in the same lanes as words do, whatever is longer: a label or the digits of int8."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from golden.format import Format
from golden.frontend import FrontEndRules
from golden.int8 import Int8Matrix
from golden.matmul import matmul
from hw.design import DesignPoint
from hw.engine.planner import Planner
from hw.engine.sequencer import Engine
from sim.benches.inside.labels import random_matrix
from sim.tiles import Job


def run(design, jobs):
    """The rows of accumulators of jobs, of which those marked as raw get their activations block by block."""
    m = Module()
    m.submodules.planner, m.submodules.engine = planner, engine = Planner(design), Engine(design)
    connect(m, planner.o, engine.plan)
    beats = {"job": [], "x": [], "w": [], "blocks": []}
    for job, raw in jobs:
        inputs = job.inputs()
        inputs["job"]["job_raw"][:] = raw
        if raw:
            for labels, betas in zip(job.x.labels.tolist(), job.x.betas.tolist(), strict=True):
                for k, (label, beta) in enumerate(zip(labels, betas, strict=True)):
                    beats["blocks"].append({"label": label, "beta": beta, "last": k == len(labels) - 1})
            del inputs["x"]
        for name, payload in inputs.items():
            for i in range(len(next(iter(payload.values())))):
                words = {port.removeprefix(f"{name}_"): v[i].tobytes() for port, v in payload.items()}
                beats[name].append({field: int.from_bytes(word, "little") for field, word in words.items()})
    found, wanted = [], sum(job.output_rows for job, _ in jobs)

    def put(stream, words):
        async def bench(ctx):
            fields = {name: (f.offset, f.width) for name, f in stream.payload.shape()}
            ctx.set(stream.valid, 1)
            for word in words:
                value = sum(int(word[name]) << low for name, (low, _) in fields.items())
                ctx.set(stream.payload.as_value(), value)
                await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)

        return bench

    async def get(ctx):
        ctx.set(engine.acc.ready, 1)
        for _ in range(4000):
            if len(found) == wanted:
                return
            if ctx.get(engine.acc.valid):
                found.append([ctx.get(value) for value in engine.acc.payload.values])
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    for name, words in beats.items():
        simulator.add_testbench(put(planner.i if name == "job" else getattr(engine, name), words), background=True)
    simulator.add_testbench(get)
    simulator.run()
    assert len(found) == wanted
    return np.array(found, dtype=np.int32).view(np.uint32)


@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize("activations", [("packed",), ("packed", "int8")], ids=["packed", "both"])
@pytest.mark.parametrize(("q", "betas"), [(2, (3, 5)), (4, (1,)), (8, (3, 4, 5, 7)), (32, (2, 3, 4))])
def test_raw_packed_and_int8_jobs_in_turns(q, betas, activations, dataflow):
    format, rng = Format(q, betas), np.random.default_rng(q)
    design = DesignPoint(
        name="lanes",
        rows=2,
        cols=1,
        format=format,
        dataflow=dataflow,
        activations=activations,
        panel_rows=4,
        x_depth=16,
        w_depth=8 if dataflow == "os" else 0,
        front_end=FrontEndRules(format=format, length=8),
    )
    kinds = [kind for kind in ("raw", "packed", "int8", "raw", "int8", "packed") if kind in ("raw", *activations)]
    jobs = []
    for kind in kinds:
        rows, blocks = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        x = random_matrix(format, rows, blocks, rng)
        if kind == "int8":
            x = Int8Matrix(rng.integers(-127, 128, (rows, 8 * blocks)).astype(np.int8), np.ones(rows, np.float32))
        jobs.append((Job(design, x, random_matrix(format, 1, blocks, rng)), kind == "raw"))
        assert len(jobs[-1][0].parts) == 1
    rows = run(design, jobs)
    for job, _ in jobs:
        some, rows = rows[: job.output_rows], rows[job.output_rows :]
        np.testing.assert_array_equal(job.accumulators(some), matmul(job.x, job.w).accumulators)

"""Rows of accumulators that stay on chip, against sums in NumPy; and which jobs may keep any."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.design import KEEPING, DesignPoint
from hw.engine.keeper import Keeper
from hw.engine.planner import Planner, errors

DESIGN = DesignPoint(name="kept", rows=2, cols=2, panel_rows=4, x_depth=16, w_depth=16, keep_rows=16)


def simulate(component, bench):
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_rows_add_up(gaps):
    """Jobs of 4 to 16 rows that keep, add, do both or neither, one row after the other or with gaps."""
    rng, keeper = np.random.default_rng(int(10 * gaps)), Keeper(DESIGN)
    kept, expected, beats = np.zeros((16, 2), dtype=np.int32), [], []
    for job in range(60):
        rows = 4 if job % 3 else int(rng.integers(4, 17))
        add, keep = bool(job and rng.integers(2)), bool(job == 0 or rng.integers(2))
        if job == 0:
            rows = 16  # all places are filled before one is added to
        values = rng.integers(-(2**31), 2**31, (rows, 2)).astype(np.int32)
        sums = values + kept[:rows] if add else values  # modulo 2^32, as the hardware
        if keep:
            kept[:rows] = sums
            expected.append((True, True, None))
        else:
            expected += [(False, i == rows - 1, sums[i].tolist()) for i in range(rows)]
        for i in range(rows):
            beats += [None] * int(rng.random() < gaps) + [(values[i].tolist(), i == rows - 1, add, keep)]
    found, moments, given_back = [], [], 0

    async def bench(ctx):
        nonlocal given_back
        for cycle, beat in enumerate(beats + [None] * (KEEPING + 1)):
            ctx.set(keeper.i.valid, beat is not None)
            if beat:
                values, end, add, keep = beat
                for c in range(2):
                    ctx.set(keeper.i.payload.values[c], values[c])
                ctx.set(keeper.i.payload.end, end)
                ctx.set(keeper.add, add)
                ctx.set(keeper.keep, keep)
            given_back += ctx.get(keeper.given_back)
            if ctx.get(keeper.o.valid):
                row = keeper.o.payload
                is_kept = bool(ctx.get(row.kept))
                values = None if is_kept else [ctx.get(row.values[c]) for c in range(2)]
                found.append((is_kept, bool(ctx.get(row.end)), values))
                moments.append(cycle)
            await ctx.tick()

    simulate(keeper, bench)
    assert found == expected
    came = sum(beat is not None for beat in beats)
    assert given_back + len(found) == came
    first = next(i for i, beat in enumerate(beats) if beat and (beat[1] or not beat[3]))
    assert moments[0] == first + KEEPING


@pytest.mark.parametrize(
    ("rows", "tiles", "fits"),
    [
        *((1, 3, False), (3, 1, False), (1, 4, True), (4, 1, True), (2, 2, True), (1, 1, False)),
        # Whole row tiles of two rows count: 3 rows are 4.
        *((4, 4, True), (4, 5, False), (3, 4, True), (3, 5, False), (1, 8, True), (1, 9, False), (4, 65535, False)),
    ],
)
@pytest.mark.parametrize("mode", ["add", "keep"])
def test_jobs_that_do_not_fit_are_refused(rows, tiles, fits, mode):
    planner = Planner(DESIGN)
    seen = []

    async def bench(ctx):
        job = planner.i.payload
        ctx.set(planner.o.ready, 1)
        for mark in (1, 0):  # without the mark every one of them is legal
            for name, value in {"rows": rows, "tiles": tiles, "steps": 1, mode: mark}.items():
                ctx.set(job[name], value)
            ctx.set(planner.i.valid, 1)
            await ctx.tick().until(planner.i.ready)
            ctx.set(planner.i.valid, 0)
            legal, told = False, 0
            for _ in range(12):
                legal |= bool(ctx.get(planner.o.valid))
                told |= ctx.get(planner.errors)
                await ctx.tick()
            seen.append((legal, [name for i, name in enumerate(errors(DESIGN)) if told >> i & 1]))

    simulate(planner, bench)
    assert seen == [(True, []) if fits else (False, ["kept_rows"]), (True, [])]

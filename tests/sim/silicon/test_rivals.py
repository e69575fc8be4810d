import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from golden.rivals.microscaling import mxfp4
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS, NestQuant
from hw.array.lean import DotCell
from hw.rivals.integers import GroupScale, IntegerNorm, Integers
from sim.silicon.operands import Workload, bits, workload
from sim.silicon.rivals import rivals

WORK = Workload([(x[:64], w[:64]) for x, w in workload(90).pairs[:3]], ("short rows",))


def simulate(rival, x, w, last):
    """The accumulators that a cell leaves of rows of blocks."""
    cell, results = DotCell(rival.arithmetic), []

    async def bench(ctx):
        for cycle in range(len(last) + cell.depth + 1):
            ctx.set(cell.token, {"valid": int(cycle < len(last)), "last": int(last[cycle]) if cycle < len(last) else 0})
            if cycle < len(last):
                ctx.set(cell.x.as_value(), int(x[cycle]))
                ctx.set(cell.w.as_value(), int(w[cycle]))
            if cycle > cell.depth and last[cycle - cell.depth - 1]:
                results.append(ctx.get(cell.o.acc))
            await ctx.tick()
        return results

    simulator = Simulator(cell)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


@pytest.mark.parametrize("name", rivals())
def test_a_cell_adds_what_its_format_says(name):
    rival = rivals()[name]
    fields = [rival.operands(WORK, side) for side in (0, 1)]
    sides = [bits(layout, part) for layout, part in zip((rival.arithmetic.x, rival.arithmetic.w), fields, strict=True)]
    last = WORK.last()
    last[np.flatnonzero(last)[0] // 2] = True  # a short row as well
    ends = np.flatnonzero(last)
    sums = np.cumsum(rival.product(*fields))[ends]
    assert simulate(rival, *sides, last) == list(np.diff(sums, prepend=0))


def one_row(x, w):
    return Workload([(np.asarray(x, dtype=np.float32), np.asarray(w, dtype=np.float32))], ("test",))


def test_operands_are_goldens():
    x, w = np.random.default_rng(3).normal(size=(2, 256)).astype(np.float32)
    work = one_row(x, w)
    every = {name: (rival, [rival.operands(work, side) for side in (0, 1)]) for name, rival in rivals().items()}
    total = {name: int(rival.product(*fields).sum()) for name, (rival, fields) in every.items()}
    # The lattice cell's accumulator is half of golden's.
    product = matmul(quantize(x[None], Format(8)), quantize(w[None], Format(8)))
    assert 2 * total["lean_q8_squares"] == product.accumulators[0, 0]
    # The others' are golden's up to the scale of the row: compare with what the codecs read back.
    mx = float((mxfp4(x[None]).values.astype(np.float64) * mxfp4(w[None]).values).sum())
    assert np.log2(abs(mx / total["mxfp4"])) % 1 == 0
    # NestQuant's is a product of points and multipliers, which the cell has as integers.
    _, (fx, fw) = every["nestquant"]
    read = []
    for side, (v, fields, betas) in enumerate(((x, fx, BETA0_ACTIVATIONS), (w, fw, BETA0_WEIGHTS))):
        rms = np.sqrt(np.square(v, dtype=np.float64).mean())
        read.append(rms * fields["y"] / 2 * np.array(betas)[fields["beta"]][:, None] / 14)
        assert np.allclose(read[side].reshape(-1), NestQuant(betas=betas)(v[None]).values[0], rtol=1e-5)


def test_norms_of_integers():
    arithmetic = Integers(5, 5, "squares", 17)
    norm, y = IntegerNorm(arithmetic), np.random.default_rng(0).integers(-15, 16, (6, 8))

    async def bench(ctx):
        for row in y:
            for i in range(8):
                ctx.set(norm.i.y[i], int(row[i]))
            await ctx.tick()
            assert ctx.get(norm.o.norm) == int(np.square(row).sum())
            assert [ctx.get(norm.o.y[i]) for i in range(8)] == list(row)

    simulator = Simulator(norm)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_group_scales_add_up_by_row():
    scale, rng = GroupScale(15), np.random.default_rng(0)
    groups = 4
    sums = rng.integers(-(1 << 13), 1 << 13, (groups, scale.ROWS))
    x, w = rng.integers(0, 256, (groups, scale.ROWS)), rng.integers(0, 256, (groups, 1))
    wanted = np.cumsum(sums * x * w, axis=0)

    async def bench(ctx):
        ctx.set(scale.valid, 1)
        seen = []
        for cycle in range(groups * scale.ROWS + 2):
            if cycle < groups * scale.ROWS:
                group, row = divmod(cycle, scale.ROWS)
                ctx.set(scale.i, int(sums[group, row]))
                ctx.set(scale.x, int(x[group, row]))
                ctx.set(scale.w, int(w[group, 0]))
                ctx.set(scale.first, int(group == 0))
            if cycle >= 2:
                seen.append(ctx.get(scale.o))
            await ctx.tick()
        assert seen == list(wanted.reshape(-1))

    simulator = Simulator(scale)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()

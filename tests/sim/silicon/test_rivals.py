import numpy as np
import pytest
from amaranth import Value
from amaranth.sim import Simulator

from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from golden.rivals import e8p, trellis
from golden.rivals.microscaling import mxfp4
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS, INVERSE, NestQuant, nearest
from hw.array.lean import DotCell
from hw.rivals.decoders import E8PDecoder, TrellisDecoder
from hw.rivals.integers import Integers, Norm
from hw.rivals.nestquant import IntegerNestQuant, NestQuantDecoder
from hw.rivals.scales import GroupScale
from sim.silicon import codes
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
    # That of the cell which takes int8 as well is golden's, and with int8 as those that take nothing else.
    product = matmul(quantize(x[None], Format(16)), quantize(w[None], Format(16)))
    assert total["lean_q16_both_once"] == total["lean_q16_both_twice"] == product.accumulators[0, 0]
    assert total["lean_q16_both_once_by_int8"] == total["lean_q16_by_int8"]
    assert total["lean_q16_both_twice_by_int8"] == total["lean_q16_by_int8_twice"]
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


def stream(unit, values):
    """What a unit with a port in and one out makes of a value per cycle."""
    seen = []

    async def bench(ctx):
        for cycle in range(len(values) + unit.LATENCY):
            if cycle < len(values):
                ctx.set(Value.cast(unit.i), int(values[cycle]))
            if cycle >= unit.LATENCY:
                seen.append(ctx.get(unit.o))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize(("layout", "halvings"), [(Integers(5, 5, "squares", 17).x, 0), (IntegerNestQuant().x, 3)])
def test_norms_of_integers(layout, halvings):
    # Doubled points of E8: all even, their sum a multiple of 4.
    y = 2 * np.random.default_rng(0).integers(-3, 4, (6, 8))
    y[:, 0] += y.sum(axis=1) % 4
    norm = Norm(layout, halvings)
    seen = stream(norm, bits(norm.i.shape(), {"y": y}))
    assert [out.norm for out in seen] == list(np.square(y).sum(axis=1) >> halvings)
    assert [list(out.y) for out in seen] == y.tolist()


def test_words_of_e8p_are_goldens_codewords():
    words, points = codes.e8p_words(WORK)
    rows = [row / np.sqrt(np.square(row).mean()) for _, row in WORK.pairs]
    wanted = e8p.nearest(np.concatenate(rows).reshape(-1, 8).astype(np.float32) * np.float32(codes.E8P_SCALE))
    assert (points == 4 * wanted).all()
    assert [list(out) for out in stream(E8PDecoder(), words)] == points.tolist()


@pytest.mark.parametrize("rate", [2, 3, 4])
def test_rings_of_a_trellis_are_read_as_golden_reads_them(rate):
    values, rng = trellis.hashed(rate), np.random.default_rng(0)
    word = rng.integers(0, 1 << (8 * rate), 32)  # any ring of bits is one
    flat = [(int(w) >> (rate * (7 - i))) & ((1 << rate) - 1) for w in word for i in range(8)]
    window, wanted = 0, []
    for bit in flat[-8:] + flat:
        window = ((window << rate) | bit) % len(values)
        wanted.append(int(values[window]))
    seen = stream(TrellisDecoder(rate), [word[-1], *word])
    assert [list(out) for out in seen[1:]] == np.reshape(wanted[8:], (-1, 8)).tolist()


def test_a_ring_of_weights_comes_back():
    words, read = codes.trellis_words(WORK, 2)
    for ring, wanted in zip(words, read, strict=True):
        seen = stream(TrellisDecoder(2), [ring[-1], *ring])
        assert [list(out) for out in seen[1:]] == wanted.tolist()


def test_a_decoder_of_nestquant_finds_the_point_of_least_energy():
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 14, (600, 8))
    digits[:2] = [[0], [13]]
    decoder = NestQuantDecoder()
    seen = stream(decoder, bits(decoder.i.shape(), {"digits": digits, "beta": np.arange(len(digits)) % 4}))
    found = np.array([list(out.y) for out in seen]) / 2
    assert [out.beta for out in seen] == [i % 4 for i in range(len(digits))]
    # It is in the label's coset, and as near to 0 as golden's; golden's own where that is nearer than all others.
    assert (np.mod(np.rint(found @ INVERSE.T), 14) == digits).all()
    point = digits @ np.linalg.inv(INVERSE).T
    wanted = point - 14 * nearest(point / 14)
    assert np.allclose(np.square(found).sum(axis=1), np.square(wanted).sum(axis=1))
    assert (found == wanted).all(axis=1).mean() > 0.8


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

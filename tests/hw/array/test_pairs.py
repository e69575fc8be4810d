import numpy as np
import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.lattice import DIM
from hw.array.operands import PAIRS, inner_bits, operands
from hw.array.pairs import Pairing, inner_of_pairs, multiplier_bits
from hw.design import MAX_DSP_Q, DesignPoint
from hw.generate import generate
from hw.units import place
from hw.values import register
from sim.rtl.model import Model


def sides_of(q, *, int8):
    activations = ("packed", "int8") if int8 else ("packed",)
    return operands(DesignPoint(name="pairs", rows=1, cols=1, format=Format(q), activations=activations))


def every_pair(sides):
    """Two coordinates of x and two of w: every combination of values, `(4, n)`."""
    ranges = [np.arange(-(1 << (side.point_bits - 1)), 1 << (side.point_bits - 1)) for side in sides]
    return np.array(np.meshgrid(ranges[0], ranges[0], ranges[1], ranges[1])).reshape(4, -1)


@pytest.mark.parametrize("q", [2, 4, 8, 16])
@pytest.mark.parametrize("int8", [False, True])
def test_the_rule_is_exact_for_all_coordinates(q, int8):
    """As the module says it, in NumPy; and its operands fit 16 bits."""
    sides = sides_of(q, int8=int8)
    x0, x1, w0, w1 = every_pair(sides)
    shift = sum(side.point_bits for side in sides)
    factors = x0 - (x1 << shift), w1 - (w0 << shift)
    for factor, bits in zip(factors, multiplier_bits(sides), strict=True):
        assert bits <= 16 and factor.min() >= -1 << (bits - 1) and factor.max() < 1 << (bits - 1)
    above = (factors[0] * factors[1]) >> (shift - 1)
    half = 1 << (shift - 1)
    middle = (((above >> 1) + half) & (2 * half - 1)) - half
    np.testing.assert_array_equal(-(middle + (above & 1)), x0 * w0 + x1 * w1)


def test_the_next_larger_q_fits_no_multiplier():
    assert (
        max(multiplier_bits(sides_of(MAX_DSP_Q, int8=True)))
        <= 18
        < max(multiplier_bits(sides_of(2 * MAX_DSP_Q, int8=False)))
    )


class Inner(wiring.Component):
    """Inner products of blocks by multipliers, behind streams."""

    def __init__(self, sides):
        self.sides = sides
        blocks = {name: ArrayLayout(signed(side.point_bits), DIM) for name, side in zip("xw", sides, strict=True)}
        super().__init__(
            {
                "i": In(stream.Signature(StructLayout(blocks), always_ready=True)),
                "o": Out(stream.Signature(signed(inner_bits(*sides)), always_ready=True)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        paired = []
        for low, (name, side) in enumerate(zip("xw", self.sides, strict=True)):
            pairing = Pairing(side, low)
            place(m, platform, f"pairs_{name}", pairing)
            m.d.comb += pairing.i.y.eq(self.i.payload[name])
            paired.append(pairing.o)
        inner = register(m, "inner", inner_of_pairs(m, platform, self.sides, *paired))
        valid = Signal()
        m.d.comb += [valid.eq(self.i.valid), self.o.payload.eq(inner.as_signed())]
        m.d.comb += self.o.valid.eq(register(m, "valid", valid, cycles=5, reset_less=False))
        return m


def words(values, bits):
    """Blocks of signed values as beats lay them out: 32-bit words, little endian."""
    packed = np.zeros(len(values), np.uint64)
    for i, column in enumerate(values.T):
        packed |= (column.astype(np.uint64) & np.uint64((1 << bits) - 1)) << np.uint64(bits * i)
    return packed.view(np.uint32).reshape(-1, 2)[:, : -(-DIM * bits // 32)]


@pytest.fixture(scope="module", params=[(2, False), (16, False), (8, True), (16, True)], ids=str)
def circuit(request, tmp_path_factory):
    """The sides, and a function from blocks of x and w to their inner products as the RTL has them."""
    q, int8 = request.param
    sides = sides_of(q, int8=int8)
    folder = tmp_path_factory.mktemp("pairs")
    with Model(generate(Inner(sides), f"inner_q{q}_int8_{int8}".lower()).write(folder)) as model:

        def inner(x, w):
            beats = np.hstack([words(block, side.point_bits) for block, side in zip((x, w), sides, strict=True)])
            found = model.run({"i": beats}, {"o": len(beats)}).outputs["o"][:, 0].astype(np.int64)
            half = 1 << (inner_bits(*sides) - 1)
            return (found ^ half) - half

        model.reset()
        yield sides, inner


def test_every_pair_is_right_in_the_rtl(circuit):
    """Each of the four pairs of a block with all values, the others being zero."""
    sides, inner = circuit
    values = every_pair(sides)
    expected = values[0] * values[2] + values[1] * values[3] >> sides[0].quartered
    for pair in range(PAIRS):
        x, w = (np.zeros((values.shape[1], DIM), np.int64) for _ in sides)
        x[:, 2 * pair : 2 * pair + 2], w[:, 2 * pair : 2 * pair + 2] = values[:2].T, values[2:].T
        np.testing.assert_array_equal(inner(x, w), expected)


def test_whole_blocks_are_right_in_the_rtl(circuit):
    """Random blocks, the extreme coordinates more often than others, whose inner product is within its bounds."""
    sides, inner = circuit
    rng = np.random.default_rng(0)
    blocks = []
    for side in sides:
        least = -(1 << (side.point_bits - 1))
        values = rng.integers(least, -least, (300_000, DIM))
        extreme = rng.random(values.shape) < rng.random((len(values), 1))
        blocks.append(np.where(extreme, rng.choice([least, 0, -least - 1], values.shape), values))
    x, w = blocks
    exact = (x * w).sum(axis=1)
    half = 1 << (inner_bits(*sides) - 1 + sides[0].quartered)
    kept = (exact >= -half) & (exact < half)
    assert kept.sum() > 50_000
    np.testing.assert_array_equal(inner(x[kept], w[kept]), exact[kept] >> sides[0].quartered)

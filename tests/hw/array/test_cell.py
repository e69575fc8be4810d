from itertools import pairwise, product

import pytest
from amaranth import Module, Signal, signed
from amaranth.sim import Simulator

from hw.array.cell import signed_digits, square, times_beta

BETAS = [(3, 4, 5, 7), (1,), (1, 2), (2, 3, 5, 6, 11, 13, 14, 15)]


def evaluate(inputs, output, cases):
    """The output for each tuple of inputs."""
    m, out, found = Module(), Signal(output.shape()), []
    m.d.comb += out.eq(output)

    async def bench(ctx):
        for case in cases:
            for signal, value in zip(inputs, case, strict=True):
                ctx.set(signal, value)
            found.append(ctx.get(out))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return found


@pytest.mark.parametrize("bits", range(2, 9))
def test_square_is_exhaustively_right(bits):
    value = Signal(signed(bits))
    numbers = range(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1))
    assert evaluate([value], square(value), [(n,) for n in numbers]) == [n * n for n in numbers]


@pytest.mark.parametrize("number", range(1, 64))
def test_signed_digits_add_up_and_are_few(number):
    digits = signed_digits(number)
    assert sum(sign << exponent for exponent, sign in digits) == number
    assert digits[0][1] == 1 and all(a[0] > b[0] + 1 for a, b in pairwise(digits))


@pytest.mark.parametrize("betas", BETAS)
def test_times_beta_is_exhaustively_right(betas):
    value, index = Signal(signed(6)), Signal(range(len(betas)))
    cases = list(product(range(-32, 32), range(len(betas))))
    choice = index if len(betas) > 1 else None
    assert evaluate([value, index], times_beta(value, choice, betas), cases) == [v * betas[i] for v, i in cases]

"""Golden as a circuit says what golden says."""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator

from golden.voronoi import decode, decode_lanes, encode, encode_lanes, label_dtype
from sim.formal.symbolic import Symbol


def simulated(make, dtypes, inputs):
    """What a function of symbols gives for each row of numbers."""
    m = Module()
    ports = [Signal(8 * np.dtype(dtype).itemsize) for dtype in dtypes]
    results = make(*(Symbol(m, port, dtype) for port, dtype in zip(ports, dtypes, strict=True)))
    found = []

    async def testbench(ctx):
        for row in inputs:
            for port, value in zip(ports, row, strict=True):
                ctx.set(port, int(value))
            found.append([ctx.get(result.value) for result in results])

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()
    return np.array(found)


@pytest.mark.parametrize("q", [2, 64])
def test_of_a_label(q):
    dtype = label_dtype(q)
    labels = np.random.default_rng(q).integers(0, 1 << (8 * (q.bit_length() - 1)), size=30, dtype=dtype)
    found = simulated(lambda label: decode_lanes(label, q), [dtype], labels[:, None])
    assert (found == decode(labels, q)).all()


def test_of_a_point():
    labels = np.random.default_rng(0).integers(0, 1 << 24, size=30, dtype=np.uint32)
    points = decode(labels, 8)
    found = simulated(lambda *lanes: [encode_lanes(lanes, 8)], ["i1"] * 8, points)
    assert (found[:, 0] == encode(points, 8)).all() and (found[:, 0] == labels).all()


def test_numbers_wrap_around_as_those_of_numpy():
    def made(a, b):
        return [a + b, a * b, np.abs(a), np.minimum(a, b), a < b, a // 4, (a >> np.int8(1)).view(np.uint8), -1 * a]

    pairs = np.array([[127, 1], [-128, -1], [-128, 127], [-7, 2], [7, -2], [0, 3], [100, 100]], dtype=np.int8)
    with np.errstate(over="ignore"):
        expected = np.stack([value.astype(int) for value in made(pairs[:, 0], pairs[:, 1])], axis=1)
    assert (simulated(made, ["i1", "i1"], pairs) == expected).all()


def test_what_has_no_circuit_is_an_error():
    m = Module()
    one = Symbol(m, Signal(8), "u1")
    with pytest.raises(TypeError):
        np.sin(one)
    with pytest.raises(TypeError, match="float64"):
        one.astype(float)
    with pytest.raises(TypeError, match="no view"):
        one.view(np.uint16)
    Simulator(m)

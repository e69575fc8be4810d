"""Lean designs compute what golden does, in the model's cycles; their accumulators are as wide as they need to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.format import Format
from golden.int8 import Int8Matrix
from golden.lattice import DIM
from golden.matmul import matmul
from golden.voronoi import decode
from hw.array.operands import job_bits, sum_bits
from hw.design import ACC_BITS, PRESETS, DesignPoint
from sim.benches.inside.labels import hard_pairs, packed, random_matrix
from sim.device import RtlDevice
from sim.models.cycles import Memory, cycles
from sim.models.schedule import Machine
from sim.rtl.run import Pace
from sim.tiles import Job
from tests.designs import design_points

BOTH = ("packed", "int8")
SMALL = {"pipeline": "lean", "panel_rows": 9, "activations": BOTH}
DESIGNS = [
    DesignPoint(name="lean", rows=2, cols=2, x_depth=32, w_depth=16, **SMALL),
    DesignPoint(name="lean_ws", rows=3, cols=1, x_depth=8, dataflow="ws", format=Format(8), **SMALL),
]


def longest(design):
    """Blocks of the longest rows that a job can have."""
    return min(design.x_depth, design.w_depth) if design.dataflow == "os" else design.x_depth * design.rows


def operand(format, kind, rows, blocks, rng):
    if kind == "int8":
        values = rng.integers(-127, 128, (rows, DIM * blocks))
        return Int8Matrix(values.astype(np.int8), np.ones(rows, np.float32))
    return random_matrix(format, rows, blocks, rng)


@pytest.fixture(scope="module", params=DESIGNS, ids=lambda design: design.name)
def device(request):
    made = RtlDevice(request.param)
    yield made
    made.close()


def test_random_products_are_goldens_in_the_cycles_of_the_model(device):
    design, rng = device.design, np.random.default_rng(0)
    machine = Machine.of(design)
    for i in range(40):
        kind, (m, n), blocks = BOTH[i % 2], rng.integers(1, 12, 2), int(rng.integers(1, 40))
        memory = Memory(*(int(v) for v in rng.integers(1, (3, 5))), *(int(v) for v in rng.integers(0, 20, 2)))
        device.paces = {"x": Pace(memory.x_latency, memory.x_period), "w": Pace(memory.w_latency, memory.w_period)}
        x, w = operand(design.format, kind, m, blocks, rng), operand(design.format, "packed", n, blocks, rng)
        report = device.run(Job(design, x, w))
        np.testing.assert_array_equal(report.product.accumulators, matmul(x, w).accumulators)
        expected = cycles(machine, int(m), int(n), DIM * blocks, int8=kind == "int8", memory=memory)
        assert report.counters == {name: int(count) for name, count in expected.counters().items()}
        assert report.cycles == expected.cycles


def test_the_largest_sums_of_the_longest_job_fit(device):
    """Pairs of the largest and of the least product with the largest β, as many blocks as a job has; and of int8."""
    design, device.paces = device.design, {}
    format, blocks = design.format, longest(design)
    pairs = hard_pairs(format, np.random.default_rng(0))
    points = decode(pairs, format.q).astype(int)
    order = np.argsort((points[:, 0] * points[:, 1]).sum(axis=1))[[0, -1]]
    betas = np.full((2, blocks), len(format.betas) - 1)
    x, w = (packed(format, np.repeat(pairs[order, i, None], blocks, 1), betas) for i in (0, 1))
    digits = np.tile(127 * np.where(points[order, 1] < 0, -1, 1), blocks).astype(np.int8)
    for row in (0, 1):
        one = packed(format, x.labels[[row]], x.betas[[row]])
        for a in (one, Int8Matrix(digits[[row]], np.ones(1, np.float32))):
            job, expected = Job(design, a, w), matmul(a, w).accumulators
            assert len(job.parts) == 1 or a is not one
            np.testing.assert_array_equal(device.run(job).product.accumulators, expected)
    assert matmul(x, w).accumulators.max() == blocks * format.betas[-1] ** 2 * format.norm_bound


@given(design_points(), st.integers(1, 1 << 15))
def test_an_accumulator_has_no_more_bits_than_it_needs(design, blocks):
    """And no fewer: the largest sum of packed operands is one of a point with itself."""
    bits = sum_bits(design, blocks)
    largest = blocks * max(design.format.betas) ** 2 * design.format.norm_bound
    if design.activations == ("packed",) and bits < ACC_BITS - 1:
        assert 1 << (bits - 2) <= largest // 2 < 1 << (bits - 1)
    if design.pipeline == "deep":
        assert job_bits(design) == ACC_BITS - (design.activations == ("packed",))


def test_the_preset_keeps_fewer_bits_than_the_outside_sees():
    silicon = PRESETS["silicon"]
    assert silicon.pipeline == "lean" and job_bits(silicon) == 24
    assert job_bits(PRESETS["medium"]) == 31

"""The cycle model against the RTL, per counter: not a cycle of difference."""

import numpy as np
import pytest

from golden.format import PackedMatrix
from golden.int8 import Int8Matrix, quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize
from golden.voronoi import label_dtype
from hw.design import PRESETS
from sim.device import RtlDevice
from sim.models.cycles import Memory, cycles, timeline
from sim.models.schedule import Machine
from sim.rtl.run import Pace
from sim.tiles import Job
from tests.sim.points import POINTS

PER_DESIGN = 50
"""Products on each design: 400 pairs in all."""


def operand(design, rows, k, int8, rng):
    """Any operand will do: cycles do not depend on the numbers."""
    blocks, ones = -(-k // 8), np.ones(rows, dtype=np.float32)
    if int8:
        return Int8Matrix(rng.integers(-127, 128, (rows, k)).astype(np.int8), ones)
    labels = np.zeros((rows, blocks), dtype=label_dtype(design.format.q))
    return PackedMatrix(design.format, k, labels, np.zeros((rows, blocks), dtype=np.uint8), ones)


def random_case(design, rng):
    """A shape, the kind of activations, and a memory that is slow in half of the cases."""
    m, n, k = int(rng.integers(1, 41)), int(rng.integers(1, 21)), int(np.exp(rng.uniform(0, 6)))
    if rng.random() < 0.2:
        m = 1
    int8 = design.int8 and (not design.packed or bool(rng.integers(2)))
    periods = [int(rng.integers(1, most) if rng.integers(2) else 1) for most in (6, 12)]
    return (m, n, k), int8, Memory(*periods, *(int(v) for v in rng.integers(0, 30, 2)))


@pytest.mark.parametrize("number", range(len(POINTS)))
def test_every_counter_equals_the_rtl(number):
    design, rng, seen = POINTS[number], np.random.default_rng(number), dict.fromkeys(("w_late", "drain_blocked"), 0)
    device, machine = RtlDevice(design), Machine.of(design)
    for _ in range(PER_DESIGN):
        (m, n, k), int8, memory = random_case(design, rng)
        device.paces = {"x": Pace(memory.x_latency, memory.x_period), "w": Pace(memory.w_latency, memory.w_period)}
        job = Job(design, operand(design, m, k, int8, rng), operand(design, n, k, False, rng))
        report = device.run(job)
        model = cycles(machine, m, n, k, int8=int8, memory=memory)
        what = f"{m} × {k} × {n}, int8 {int8}, {memory}"
        assert {name: int(count) for name, count in model.counters().items()} == report.counters, what
        assert int(model.cycles) == report.cycles, what
        for name in seen:
            seen[name] += report.counters[name] > 0
        spans = timeline(machine, m, n, k, int8=int8, memory=memory)
        assert len(spans) == len(job.parts) and spans[-1].end < report.cycles
        assert sum(model.counters().values()) == model.cycles
    device.close()
    assert seen["w_late"] > 5
    assert design.dataflow == "ws" or design.rows == 1 or seen["drain_blocked"] > 5


@pytest.mark.parametrize("design", [point for point in POINTS if point.keep_rows], ids=lambda point: point.name)
def test_sums_are_kept_on_chip(design):
    """The same accumulators and the same counters, though fewer come out."""
    rng, device, kept = np.random.default_rng(5), RtlDevice(design), 0
    for i in range(12):
        m, n, k = int(rng.integers(1, 30)), int(rng.integers(1, 16)), int(rng.integers(200, 900))
        x, w = (quantize(rng.normal(size=(rows, k)), design.format) for rows in (m, n))
        job = Job(design, quantize_int8(rng.normal(size=(m, k))) if design.int8 and i % 2 else x, w)
        device.stalls = 0.3 if i % 3 == 2 else 0.0
        report = device.run(job)
        np.testing.assert_array_equal(report.product.accumulators, matmul(job.x, w).accumulators)
        if not device.stalls:
            model = cycles(Machine.of(design), m, n, k, int8=job.int8)
            assert {name: int(count) for name, count in model.counters().items()} == report.counters
        kept += job.parts[0].keep
    device.close()
    assert kept >= 8


def test_many_pairs_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    machine, cases = Machine.of(*POINTS), [random_case(POINTS[2], rng) for _ in range(200)]
    shapes = np.array([shape for shape, _, _ in cases])
    memory = Memory(*(np.array([getattr(c[2], f) for c in cases]) for f in Memory.__dataclass_fields__))
    together = cycles(
        Machine(*(np.asarray(getattr(machine, f))[:, None] for f in Machine.__dataclass_fields__)),
        *shapes.T,
        int8=np.array([int8 for _, int8, _ in cases]),
        memory=memory,
    )
    assert together.cycles.shape == (len(POINTS), 200)
    for d, design in enumerate(POINTS):
        for i in range(0, 200, 17):
            (m, n, k), int8, one = cases[i]
            alone = cycles(Machine.of(design), m, n, k, int8=int8, memory=one)
            assert alone.cycles == together.cycles[d, i] and alone.w_late == together.w_late[d, i]


@pytest.mark.parametrize("k", [4096, 14336])
@pytest.mark.parametrize("name", PRESETS)
def test_layers_of_a_large_model_keep_the_array_busy(name, k):
    """64 rows of Llama-3-8B's layers."""
    counts = cycles(Machine.of(PRESETS[name]), 64, 4096, k)
    assert counts.busy / counts.cycles >= 0.95


@pytest.mark.parametrize("name", PRESETS)
def test_one_row_takes_a_word_of_weights_in_every_cycle(name):
    design = PRESETS[name]
    counts = cycles(Machine.of(design), 1, 4096, 4096)
    words = 512 * -(-4096 // design.cols)
    assert words / counts.cycles >= 0.98


def test_the_rtl_takes_a_word_of_weights_in_every_cycle():
    design = PRESETS["small_ws"]
    rng, device = np.random.default_rng(0), RtlDevice(design)
    job = Job(design, operand(design, 1, 4096, False, rng), operand(design, 256, 4096, False, rng))
    report = device.run(job)
    device.close()
    assert report.cycles == cycles(Machine.of(design), *job.shape[:1], 256, 4096).cycles
    assert 512 * 64 / report.cycles >= 0.98

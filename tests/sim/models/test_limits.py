"""No model counts wrongly in silence: what leaves int64, or would not end, is refused with the limit."""

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.models.cycles as model
from golden.errors import GossetError
from golden.frontend import FrontEndRules
from golden.quantize import quantize
from hw.design import PRESETS
from hw.engine.counters import COUNTERS
from sim.models import recurrence as of
from sim.models.breakdown import breakdown
from sim.models.cycles import MAX_CYCLES, MAX_JOBS, Memory, cycles, timeline
from sim.models.schedule import LONGEST, Machine, Part, schedule
from sim.tiles import Job

MACHINES = {
    **{name: Machine.of(design) for name, design in PRESETS.items()},
    "raw": Machine.of(replace(PRESETS["small"], front_end=FrontEndRules(scale="rms"))),
}
EDGES = [2**power + step for power in (0, 3, 16, 31, 32, 40, 53, 62, 63, 64, 70) for step in (-1, 0, 1)]
NUMBERS = st.sampled_from(EDGES) | st.integers(-2, 2**66) | st.integers(1, 10**6)


@given(m=NUMBERS, n=NUMBERS, k=NUMBERS, period=NUMBERS, latency=NUMBERS, name=st.sampled_from([*MACHINES]))
@settings(max_examples=150, deadline=None)
def test_counts_are_right_or_refused(m, n, k, period, latency, name):
    """Never fewer cycles than the multiplications and the words take, which Python's own integers say."""
    machine = MACHINES[name]
    try:
        counted = cycles(machine, m, n, k, memory=Memory(1, period, latency, latency))
    except GossetError as error:
        assert "must be from" in str(error) or "The cycle model" in str(error)
        return
    total, parts = int(counted.cycles), [int(count) for count in counted.counters().values()]
    blocks = -(-k // 8)
    assert total == sum(parts) < MAX_CYCLES and min(parts) >= 0
    assert total * machine.rows * machine.cols >= m * n * blocks
    assert total >= latency + (blocks - 1) * period


@given(m=NUMBERS, n=NUMBERS, k=NUMBERS, period=NUMBERS, latency=NUMBERS, name=st.sampled_from([*MACHINES]))
@settings(max_examples=100, deadline=None)
def test_counts_are_those_of_pythons_integers(m, n, k, period, latency, name):
    """The same loop, as Python runs it, in integers that do not end."""
    machine, memory = MACHINES[name], Memory(period, 1, 0, latency)
    try:
        counted = cycles(machine, m, n, k, memory=memory)
    except GossetError:
        return
    values = [np.array([value]) for value in (*model._values(machine), m, n, k, False, False, *model._values(memory))]
    table = model._table(values)
    if table[0, of.PANELS] * table[0, of.CHUNKS] > 100:
        return
    exact = np.empty((1, 1 + len(COUNTERS)), dtype=object)
    of.products.py_func(table.astype(object), exact, np.empty((0, 7), dtype=object))
    assert exact[0].tolist() == [int(counted.cycles), *map(int, counted.counters().values())]
    assert int(table[0, of.PANELS]) == -(-m // int(table[0, of.PANEL]))
    assert int(table[0, of.TILES]) == -(-n // machine.cols)


@pytest.mark.parametrize("sizes", [(4 * 10**9,) * 3, (1, 10**18, 1), (2**63, 1, 1), (1, 1, 2**63 - 1), (1, 1, 2**1000)])
@pytest.mark.parametrize("name", ["tiny", "small_ws"])
def test_huge_products_are_refused_at_once(sizes, name, tmp_path):
    start = perf_counter()
    with pytest.raises(GossetError, match=r"must be from 1 to|jobs, but one has|counts to") as told:
        breakdown(PRESETS[name], *sizes, "packed", Memory(), tmp_path)
    assert perf_counter() - start < 10 and len(str(told.value)) < 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [0, -1, LONGEST + 1, 2**64, 1.0, True, None, "1", np.float64(2), [1, 0], [1.0, 2.0]])
@pytest.mark.parametrize("argument", ["m", "n", "k", "x_period", "w_period"])
def test_what_is_no_size_is_refused(argument, wrong):
    arguments = {"m": 4, "n": 4, "k": 64}
    memory = {argument: wrong} if "period" in argument else {}
    arguments |= {} if memory else {argument: wrong}
    with pytest.raises(GossetError):
        cycles(MACHINES["tiny"], **arguments, memory=Memory(**memory))


def test_sizes_of_numpy_are_sizes():
    for kind in (np.int8, np.uint64, np.int32, int):
        shapes = [np.array([4, 5], dtype=kind), kind(4), kind(64)]
        assert cycles(MACHINES["small"], *shapes).cycles.tolist() == [
            int(cycles(MACHINES["small"], m, 4, 64).cycles) for m in (4, 5)
        ]


def test_the_most_jobs_still_end():
    plan = schedule(MACHINES["tiny"], 64 * MAX_JOBS, 1, 8, False)
    assert int(plan.panels * plan.chunks) == MAX_JOBS
    assert int(cycles(MACHINES["tiny"], 64 * MAX_JOBS, 1, 8).cycles) > 64 * MAX_JOBS
    assert len(timeline(MACHINES["tiny"], 640, 1, 8, most=3)) == 3
    with pytest.raises(GossetError, match="16,777,216 jobs, but one has 16,777,217"):
        cycles(MACHINES["tiny"], 64 * MAX_JOBS + 1, 1, 8)


def test_first_spans_are_those_of_all():
    every = timeline(MACHINES["small_ws"], 300, 9, 5000)
    assert len(every) > 5 and timeline(MACHINES["small_ws"], 300, 9, 5000, most=5) == every[:5]


def test_a_job_with_more_tiles_than_its_field_is_refused(monkeypatch):
    one = quantize(np.ones((1, 8)), PRESETS["tiny"].format)
    job = Job(PRESETS["tiny"], one, one)
    monkeypatch.setattr(Job, "parts", [Part(0, 1, 0, 1, 1, 1 << 16)])
    with pytest.raises(GossetError, match="at most 65535 tiles"):
        job.jobs()

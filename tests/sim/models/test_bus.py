"""The cycle model behind the memory port against the RTL, per counter: not a cycle of difference."""

from dataclasses import replace

import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.output import OutputRules
from hw.design import LEAST_KEPT, PRESETS
from hw.engine.rows import step_blocks
from sim.models.bus import BusJob, bus_cycles, laid_out
from sim.models.bus_loop import run
from sim.models.bus_masters import MADE_OF
from sim.rtl.model import Model
from tests.sim.memory import generated, measure
from tests.sim.points import POINTS, SMALLEST

LATENCIES = (0, 0, 1, 7, 50, 200, 500)

DESIGNS = [
    POINTS[0],
    replace(
        POINTS[2],
        name="b2",
        bus_bits=32,
        prefetch=256,
        burst=32,
        keep_rows=64,
        port_registers=True,
        ring=True,
        coalescing=True,
        idle=True,
    ),
    replace(
        POINTS[6],
        name="b6",
        panel_rows=128,
        x_depth=128,
        keep_rows=128,
        bus_bits=32,
        output=OutputRules(result="bfloat16", row_scales=True),
        strides=True,
        front_end=FrontEndRules(format=SMALLEST, length=64),
        codes=True,
    ),
    replace(POINTS[2], name="b3", front_end=FrontEndRules(format=SMALLEST, length=16), codes=True, strides=True),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_every_counter_equals_the_rtl(design):
    rng, model = np.random.default_rng(1), Model.of(generated(design))
    # A whole panel of short rows is more than is asked for ahead of what comes with each row.
    shapes = [(design.panel_rows, 2, 8, False, 500)]
    for _ in range(15):
        m, n, k = int(rng.integers(1, 41)), int(rng.integers(1, 21)), int(np.exp(rng.uniform(0, 7)))
        shapes.append((m, n, k, design.int8 and bool(rng.integers(2)), int(rng.choice(LATENCIES))))
    for i, (m, n, k, int8, latency) in enumerate(shapes):
        jobs = laid_out(design, m, n, k, int8=int8)
        if design.strides and i:  # what is written does not matter, only where bursts end
            strides = design.bus_bits // 8 * rng.integers(0, 200, len(jobs))
            jobs = [replace(job, stride=int(stride)) for job, stride in zip(jobs, strides, strict=True)]
        told, seen = bus_cycles(design, jobs, latency), measure(model, jobs, latency)
        what = f"{m} × {k} × {n}, int8 {int8}, latency {latency}"
        assert told.counters == seen.counters and told.cycles == seen.cycles, what
        assert sum(told.counters.values()) == told.cycles
    if design.front_end:
        for _ in range(25):
            jobs, latency = some_raw(design, rng), int(rng.choice(LATENCIES))
            told, seen = bus_cycles(design, jobs, latency), measure(model, jobs, latency)
            assert told.counters == seen.counters and told.cycles == seen.cycles, (jobs, latency)
    model.close()


def some_raw(design, rng):
    """Up to six jobs anywhere in memory, most of them of raw rows, some of which are kept for the next one."""
    segment, beat, jobs = design.front_end.segment_blocks, design.bus_bits // 8, []
    each = step_blocks(design)
    for _ in range(rng.integers(1, 7)):
        rows, tiles, raw = int(rng.integers(1, 10)), int(rng.integers(1, 6)), bool(rng.integers(4))
        # So many steps that one of the blocks of the last one ends a segment.
        steps = -(-segment * int(rng.integers(1, 4)) // each) if raw else int(rng.integers(1, 14))
        row = steps * each // segment * segment * 8 * design.front_end.raw_bits // 8
        job = BusJob(
            rows,
            tiles,
            steps,
            1,
            *(beat * int(place) for place in rng.integers(0, 1000, 5)),
            stride=beat * int(rng.integers(0, 200)),
            raw=raw,
            x_stride=row + beat * int(rng.choice([0, 1, 7])),
        )
        kept = design.keep_rows and rows * tiles >= LEAST_KEPT and rng.random() < 0.4
        job = replace(job, out=design.codes and raw and not kept and bool(rng.integers(2)))
        jobs += [replace(job, keep=True), replace(job, add=True)] if kept else [job]
    return jobs


def test_a_job_that_comes_later_is_waited_for():
    design = PRESETS["small"]
    (job,) = laid_out(design, 4, 8, 64)
    alone = bus_cycles(design, [job], 7)
    later = bus_cycles(design, [job, replace(job, offered=1000)], 7)
    assert later.cycles == 1000 + alone.cycles
    assert later.counters["busy"] == 2 * alone.counters["busy"] and sum(later.counters.values()) == later.cycles


def test_raw_rows_of_serial_candidates_are_refused():
    design = replace(PRESETS["small"], front_end=FrontEndRules(length=16, candidates="serial"))
    (job,) = laid_out(design, 4, 8, 64)
    with pytest.raises(GossetError, match="serial candidates"):
        bus_cycles(design, [replace(job, raw=True)])


def in_a_row(prefetch, latency, count=8):
    """Jobs of 4 rows, 24 tiles and 64 steps; the share of busy cycles, and of what the bus allows."""
    design = replace(PRESETS["small"], panel_rows=4, prefetch=prefetch)
    counted = bus_cycles(design, laid_out(design, 4 * count, 96, 512), latency)
    return counted.busy, counted.busy * counted.beats / counted.counters["busy"]


@pytest.mark.parametrize("latency", [0, 1, *range(20, 501, 20)])
def test_prefetch_hides_the_latency(latency):
    assert in_a_row(1024, latency)[1] >= 0.95
    assert latency < 100 or in_a_row(64, latency)[1] < 0.6


@pytest.mark.parametrize("rows", [4, 16])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_what_its_bus_and_its_array_allow(name, rows):
    """Eight panels of 24 tiles and 64 blocks in a row, 500 cycles from memory: beats or the array's work fill them."""
    preset = PRESETS[name]
    design = replace(preset, panel_rows=max(rows, preset.rows), prefetch=1024)
    counted = bus_cycles(design, laid_out(design, 8 * design.panel_rows, 24 * design.cols, 512), 500)
    assert max(counted.beats / counted.cycles, counted.busy) >= 0.95


def test_short_jobs_are_asked_for_ahead():
    """A tile each, 170 beats: of 500 cycles of latency more than two have to be under way."""
    design = replace(PRESETS["small"], panel_rows=4, prefetch=1024)
    counted = bus_cycles(design, laid_out(design, 4 * 128, 4, 320), 500)
    assert counted.beats / counted.cycles >= 0.95


def test_small_planes_are_asked_for_as_far_ahead_as_large_ones():
    """The β indices of q = 4 are an eighth of the labels: 64 beats of them last no longer than 512 of labels."""
    design = replace(PRESETS["small"], format=Format(4), panel_rows=4, prefetch=1024)
    counted = bus_cycles(design, laid_out(design, 4 * 8, 96, 1024), 500)
    assert counted.beats / counted.cycles >= 0.95


def test_what_is_out_of_range_is_refused():
    jobs = laid_out(PRESETS["tiny"], 1, 1, 8)
    with pytest.raises(GossetError, match="latency of the memory must be from 0 to 65536"):
        bus_cycles(PRESETS["tiny"], jobs, -1)


def test_the_loop_is_compiled_from_the_masters_as_they_are():
    """What was compiled is kept by its signature, which has them in it, and is the same for all designs."""
    for design in DESIGNS:
        bus_cycles(design, laid_out(design, 1, 1, 8))
    (signature,) = run.nopython_signatures
    assert MADE_OF in str(signature)

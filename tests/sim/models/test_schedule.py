from dataclasses import replace

import numpy as np
import pytest

from hw.design import LEAST_KEPT, PRESETS, DesignPoint
from sim.models.schedule import Machine, divide, parts, schedule

NUMBERS = ("panels", "groups", "chunks")
"""What of a schedule says how many jobs there are."""

DESIGNS = [
    *PRESETS.values(),
    DesignPoint(name="narrow", rows=5, cols=3, panel_rows=5, x_depth=4, w_depth=4),
    DesignPoint(name="odd", rows=3, cols=3, panel_rows=10, x_depth=16, w_depth=64),
    DesignPoint(name="shallow", rows=4, cols=1, dataflow="ws", panel_rows=64, x_depth=8),
    DesignPoint(name="keeping", rows=3, cols=2, panel_rows=10, x_depth=16, w_depth=8, keep_rows=32),
    DesignPoint(name="keeping_ws", rows=3, cols=2, dataflow="ws", panel_rows=10, x_depth=16, keep_rows=128),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_every_job_fits_and_nothing_is_left_out(design):
    rng = np.random.default_rng(0)
    m, n, k = (rng.integers(1, most, 5000) for most in (300, 300, 30000))
    int8 = rng.integers(0, 2, 5000).astype(bool)
    plan = schedule(Machine.of(design), m, n, k, int8)
    ws = design.dataflow == "ws"
    units = plan.panel if ws else divide(plan.panel, design.rows)
    assert (plan.panel >= 1).all() and (plan.chunk >= 1).all()
    assert (plan.panel <= design.panel_rows).all() and (plan.panel <= m).all()
    assert (units * plan.chunk * plan.passes <= design.x_depth).all()
    assert ws or (plan.chunk <= design.w_depth).all()
    assert (plan.panel * plan.panels >= m).all() and (plan.panel * (plan.panels - 1) < m).all()
    assert (plan.chunk * plan.chunks >= plan.steps).all() and (plan.chunk * (plan.chunks - 1) < plan.steps).all()
    assert (plan.steps * (design.rows if ws else 1) * 8 >= k).all()
    assert (plan.tiles * design.cols >= n).all()


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_jobs_cover_a_product_once_and_keep_what_fits(design):
    rng, kept = np.random.default_rng(1), 0
    height = 1 if design.dataflow == "ws" else design.rows
    for _ in range(60):
        m, n, k = (int(np.exp(rng.uniform(0, np.log(most)))) for most in (60, 60, 20000))
        done, held = np.zeros((m, -(-n // design.cols), -(-k // 8)), dtype=int), None
        jobs = parts(design, m, n, k)
        for job in jobs:
            rows, tiles = (
                slice(job.first_row, job.first_row + job.rows),
                slice(job.first_tile, job.first_tile + job.tiles),
            )
            done[rows, tiles, job.first_block : job.first_block + job.blocks] += 1
            if job.add or job.keep:
                kept += 1
                assert -(-job.rows // height) * height * job.tiles <= design.keep_rows
                assert job.rows * job.tiles >= LEAST_KEPT
            # What is added to is what the job before left, of the same rows and columns; the last chunk's comes out.
            place = job.first_row, job.rows, job.first_tile, job.tiles
            assert job.add == (held is not None) and (not job.add or held == place)
            held = place if job.keep else None
            assert not job.keep or job.output_rows == 0
        assert (done == 1).all() and held is None
        assert len(jobs) == int(np.prod([getattr(schedule(Machine.of(design), m, n, k, False), s) for s in NUMBERS]))
    assert (kept > 100) == (design.keep_rows > 0)


def test_what_is_kept_is_neither_written_nor_added_up_by_the_host():
    """64 × 4096 × 4096 on `small`: a megabyte of results instead of 8.4, each written once."""
    small, shape = PRESETS["small"], (64, 4096, 4096)
    keeping = replace(small, keep_rows=1024)
    written = [sum(job.output_rows for job in parts(d, *shape)) * d.cols * 4 for d in (small, keeping)]
    assert written == [8 * 64 * 4096 * 4, 64 * 4096 * 4]


def test_panels_are_whole_row_tiles_but_for_the_last():
    plan = schedule(Machine.of(PRESETS["small"]), np.arange(1, 300), 8, 4096, False)
    assert ((plan.panel % 4 == 0) | (plan.panels == 1)).all()

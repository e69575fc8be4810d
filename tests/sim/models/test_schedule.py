import numpy as np
import pytest

from hw.design import PRESETS, DesignPoint
from sim.models.schedule import Machine, divide, schedule

DESIGNS = [
    *PRESETS.values(),
    DesignPoint(name="narrow", rows=5, cols=3, panel_rows=5, x_depth=4, w_depth=4),
    DesignPoint(name="odd", rows=3, cols=3, panel_rows=10, x_depth=16, w_depth=64),
    DesignPoint(name="shallow", rows=4, cols=1, dataflow="ws", panel_rows=64, x_depth=8),
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


def test_panels_are_whole_row_tiles_but_for_the_last():
    plan = schedule(Machine.of(PRESETS["small"]), np.arange(1, 300), 8, 4096, False)
    assert ((plan.panel % 4 == 0) | (plan.panels == 1)).all()

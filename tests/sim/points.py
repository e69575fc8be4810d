"""Small design points whose edges and pipelines differ; tests of devices share them, so that each is built once."""

from dataclasses import replace

from golden.format import Format
from hw.design import DesignPoint

SMALLEST = Format(4, (3,))

BOTH = ("packed", "int8")

POINTS = [
    DesignPoint(name="c0", rows=1, cols=1, format=SMALLEST, panel_rows=3, x_depth=16, w_depth=8, jobs=2),
    DesignPoint(
        name="c1", rows=4, cols=1, format=SMALLEST, activations=("int8",), panel_rows=8, x_depth=8, w_depth=4, jobs=3
    ),
    DesignPoint(name="c2", rows=3, cols=2, format=SMALLEST, activations=BOTH, x_depth=64, w_depth=32),
    DesignPoint(
        name="c3", rows=4, cols=2, format=SMALLEST, panel_rows=13, x_depth=128, w_depth=16, jobs=5, keep_rows=64
    ),
    DesignPoint(
        name="c4", rows=1, cols=2, format=SMALLEST, dataflow="ws", activations=BOTH, panel_rows=1, x_depth=16, jobs=2
    ),
    DesignPoint(name="c5", rows=4, cols=1, format=SMALLEST, dataflow="ws", panel_rows=11, x_depth=32, jobs=3),
    DesignPoint(
        name="c6",
        rows=3,
        cols=2,
        format=SMALLEST,
        dataflow="ws",
        activations=BOTH,
        panel_rows=6,
        x_depth=64,
        keep_rows=32,
    ),
    DesignPoint(
        name="c7", rows=3, cols=2, format=SMALLEST, dataflow="ws", activations=("int8",), panel_rows=6, x_depth=64
    ),
]
for lean in (1, 4):  # the others are deep, and there are two more in tests.hw.array.test_lean
    POINTS[lean] = replace(POINTS[lean], pipeline="lean", drain_rows=0)

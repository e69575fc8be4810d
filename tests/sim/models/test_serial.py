"""Raw rows through serial candidates: a queue that fills while a job waits for its bank, and the rhythm of the beat."""

import numpy as np

from golden.format import Format
from golden.frontend import FrontEndRules
from hw.design import DesignPoint
from hw.generate import generate_design
from sim.benches.inside.labels import random_matrix
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.rtl.model import Model
from sim.tiles import Job
from tests.raw import encode, inputs_of, random_rows

FORMAT = Format(4, (3, 4, 5, 7))

POINT = DesignPoint(
    name="serial",
    format=FORMAT,
    rows=4,
    cols=1,
    panel_rows=8,
    x_depth=64,
    w_depth=64,
    front_end=FrontEndRules(
        format=FORMAT, scale="host", length=64, candidates="serial", row_blocks=64, raw_bits=4, fraction_bits=2
    ),
)

SHAPES = [(13, 1, 32), (20, 30, 32), (40, 7, 32), (24, 9, 8), (30, 60, 16)]
"""Rows, columns and blocks: encoding is slower, computing is slower, and either in turn."""


def test_cycles_are_those_of_the_rtl(tmp_path):
    rng, machine = np.random.default_rng(3), Machine.of(POINT)
    with Model(generate_design(POINT).write(tmp_path)) as model:
        for m, n, blocks in SHAPES:
            model.reset()
            x = random_rows(POINT.front_end, m, blocks, rng)
            packed, _, scale = encode(POINT, model, x, rng)
            job = Job(POINT, packed, random_matrix(FORMAT, n, blocks, rng))
            assert all(part.blocks == blocks for part in job.parts)
            run = model.run(inputs_of(model, job, x, scale), {"acc": job.output_rows, "multipliers": m})
            assert run.cycles == cycles(machine, m, n, 8 * blocks, raw=True).cycles

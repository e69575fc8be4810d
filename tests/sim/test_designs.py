"""Drawn design points: all pairs occur, and what is built of them computes what golden does, in the model's cycles."""

import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings

from golden.int8 import Int8Matrix
from hw.design import LEAST_KEPT, PRESETS, DesignPoint
from hw.engine.rows import step_blocks
from hw.generate import AXI_TOPS, generate_design
from sim.benches.inside.labels import random_matrix
from sim.designs import OF_FRONT_END, OF_PORT, PARAMETERS, covering, design, equipped, pairs
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.rtl.model import Model
from sim.tiles import Job
from tests.designs import design_points
from tests.raw import check_accumulators, encode, inputs_of, random_rows

FRONT_ENDS = {"scale": ("host", "max", "rms")}


def values_of(point):
    """The parameters of a design point."""
    fields = {name: getattr(point, name) for name in PARAMETERS if hasattr(point, name)}
    rules = point.front_end
    fields["result"] = point.output.result if point.output else None
    fields["row_scales"] = bool(point.output and point.output.row_scales)
    fields |= {"q": point.format.q, "betas": point.format.betas, "panels": point.panel_rows // point.rows}
    of_rules = ("scale", "candidates", "length", "raw_bits", "fraction_bits", "row_blocks")
    fields |= {name: getattr(rules, name) if rules else None for name in of_rules}
    at_least = {kept: max(LEAST_KEPT, point.panel_rows * kept) if kept else 0 for kept in PARAMETERS["kept"]}
    times = {1 << (rows - 1).bit_length() if rows else 0: kept for kept, rows in at_least.items()}
    fields["kept"] = times[point.keep_rows]
    full = point.dsp_cols == point.cols
    return fields | {"multipliers": "all" if full else "some" if point.dsp_cols else "none"}


@pytest.mark.parametrize("fixed", [{}, FRONT_ENDS], ids=["all", "front ends"])
def test_every_pair_occurs_that_can(fixed):
    drawn = covering(7, **fixed)
    seen = {pair for point in drawn for pair in pairs(values_of(point))}
    parameters = PARAMETERS | fixed
    missing = []
    for a, b in combinations(parameters, 2):
        for x in parameters[a]:
            for y in parameters[b]:
                if ((a, x), (b, y)) not in seen:
                    missing.append({a: x, b: y})
    # What cannot go together: int8 alone with a front end; multipliers with large q or a lean pipeline; what matters to
    # one kind only; some of one column; a reader without room for two bursts; kept rows of jobs that begin anew.
    for pair in missing:
        text = str(pair)
        assert (
            (pair.get("activations") == ("int8",) and (fixed or set(pair) & {"scale", "codes", *OF_FRONT_END}))
            or pair.get("q", 0) > 16
            or ("scale" in pair and pair["scale"] is None)
            or (pair.get("pipeline") == "lean" and pair.get("multipliers") in ("some", "all"))
            or pair == {"dataflow": "ws", "w_depth": pair.get("w_depth")}
            or pair == {"cols": 1, "multipliers": "some"}
            or pair == {"burst": 64, "prefetch": 64}
            or (set(pair) == {"kept", "abort"} and pair["abort"] and pair["kept"])
            or (set(pair) == {"result", "row_scales"} and pair["result"] is None)
        ), text
    assert len(drawn) < 80


@pytest.mark.parametrize("name", [name for name, point in PRESETS.items() if point.packed])
def test_a_port_can_have_everything_but_what_begins_jobs_anew(name):
    point = equipped(PRESETS[name])
    off = {parameter for parameter in OF_PORT if getattr(point, parameter) is False}
    assert off == {"abort"} and point.keep_rows and point.output and point.front_end
    assert equipped(replace(PRESETS[name], activations=("int8",))).front_end is None


def test_they_are_the_same_in_every_process():
    command = [sys.executable, "-c", "from sim.designs import covering; print(covering(3))"]
    texts = {
        subprocess.run(
            command, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    }
    assert len(texts) == 1


@settings(max_examples=50, deadline=None)
@given(design_points())
def test_any_of_them_can_be_written_down_and_has_registers(point):
    assert DesignPoint.from_dict(point.as_dict()) == point
    for top in AXI_TOPS.values():
        offsets = [register.offset for register in top.registers(point).registers]
        assert offsets == sorted(offsets)


def test_values_that_do_not_go_together_make_none():
    values = {name: some[0] for name, some in PARAMETERS.items()}
    assert design(values) is not None
    assert design(values | {"q": 32, "multipliers": "all"}) is None
    assert design(values | {"activations": ("int8",), "scale": "rms"}) is None


def products(point, rng, count):
    """Random products of every kind that a design takes: kind, raw rows if there are any, and the job's maker."""
    kinds = [*point.activations, *(["raw"] if point.front_end else [])]
    for i in range(count):
        kind, m = kinds[i % len(kinds)], int(rng.integers(1, 2 * point.panel_rows + 2))
        n, blocks = int(rng.integers(1, 3 * point.cols + 1)), int(rng.integers(1, 20))
        if kind == "raw":
            rules, each = point.front_end, step_blocks(point)
            most = min(point.x_depth * each, (point.w_depth or point.x_depth) * each)
            most = most if rules.scale == "host" else min(most, rules.row_blocks)
            segments = most // rules.segment_blocks
            if not segments:
                continue
            blocks = rules.segment_blocks * int(rng.integers(1, min(segments, 3) + 1))
            m = min(m, point.x_depth // -(-blocks // each) * (point.rows if each == 1 else 1), point.panel_rows)
        yield kind, m, n, blocks


@pytest.mark.parametrize("number", range(2))
def test_drawn_designs_compute_what_golden_does_in_the_cycles_of_the_model(number, tmp_path):
    point = replace(covering(2026, **FRONT_ENDS)[number], output=None)
    check(point, tmp_path, 12)


def check(point, folder, count):
    """Random products on the Verilated design, one after the other, each from reset."""
    rng, machine = np.random.default_rng(count), Machine.of(point)
    with Model(generate_design(point).write(folder)) as model:
        for kind, m, n, blocks in products(point, rng, count):
            model.reset()
            w, ones, streams = random_matrix(point.format, n, blocks, rng), np.ones(m, np.float32), None
            results = {}
            if kind == "raw":
                x = random_rows(point.front_end, m, blocks, rng)
                packed, _, scale = encode(point, model, x, rng)
                job = Job(point, packed, w)
                if any(part.blocks < blocks for part in job.parts):
                    continue
                streams, results = inputs_of(model, job, x, scale), {"multipliers": m}
            elif kind == "int8":
                job = Job(point, Int8Matrix(rng.integers(-127, 128, (m, 8 * blocks)).astype(np.int8), ones), w)
            else:
                job = Job(point, random_matrix(point.format, m, blocks, rng), w)
            streams = streams or {name: model.layout(name).pack(p) for name, p in job.inputs().items()}
            run = model.run(streams, {"acc": job.output_rows} | results)
            check_accumulators(model, job, run)
            expected = cycles(machine, m, n, 8 * blocks, int8=kind == "int8", raw=kind == "raw")
            assert run.cycles == expected.cycles, (point, kind, m, n, blocks)

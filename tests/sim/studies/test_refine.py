import re
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hw.design import PRESETS
from hw.generate import generate_design
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.studies import refine
from sim.studies.explore import explore
from sim.studies.report import sheets
from sim.studies.store import key_of
from sim.studies.synthesis import MEMORIES
from tests.sim.studies.test_evaluate import study_of


def test_the_rtl_takes_the_cycles_of_the_model():
    design = replace(PRESETS["tiny"], name="explored", x_depth=64, w_depth=64)
    result = refine.simulate(refine.inputs_of(design, False, 3, 2, 100))
    assert result["equal"]
    assert result["cycles"] == int(cycles(Machine.of(design), 3, 2, 100).cycles) > 100


def test_keys_are_of_what_decides(monkeypatch):
    def key(**changes):
        return key_of(refine.inputs_of(replace(PRESETS["tiny"], **changes), False, 3, 2, 100))

    assert key() == key(name="other") != key(x_depth=64)
    before = key()
    monkeypatch.setattr(refine, "generator", lambda: "other sources")
    assert key() != before


@pytest.mark.parametrize("name", ["small", "small_ws", "silicon"])
def test_all_large_memories_are_left_out_of_areas(name):
    verilog, large = generate_design(PRESETS[name]).verilog, set()
    for module, body in re.findall(r"^module \\?(\S+)(.*?)^endmodule", verilog, re.DOTALL | re.MULTILINE):
        for width, memory, depth in re.findall(r"reg \[(\d+):0\] (\w+) \[(\d+):0\]", body):
            large |= {f"{module}.{memory}"} if (int(width) + 1) * (int(depth) + 1) > 1000 else set()
    assert len(large) >= 3
    assert all(memory.endswith(MEMORIES) for memory in large), large


def test_sheets_count_the_cycles_of_the_design_that_is_generated(tmp_path):
    found, kinds = explore(study_of(tmp_path)), set()
    for sheet in sheets(found):
        if sheet["design"]:
            design = refine.DesignPoint.from_dict(sheet["design"])
            machine, layers = Machine.of(design), found.space.study.workload.layers
            counted = [cycles(machine, layer.m, layer.n, layer.k) for layer in layers]
            for name, count in sheet["cycles"].items():
                exact = [layer.count * int(getattr(c, name)) for layer, c in zip(layers, counted, strict=True)]
                assert count == sum(exact), (name, design)
            kinds.add((design.pipeline, design.dataflow))
    assert len(kinds) >= 3


@pytest.mark.parametrize("off", [0, 1])
def test_a_point_that_differs_is_counted_and_noted(tmp_path, monkeypatch, off):
    from sim.studies import cluster

    def run_tasks(task, inputs, store, **options):
        return [{"cycles": counted(given) + off, "equal": True} for given in inputs]

    def counted(given):
        design = refine.DesignPoint.from_dict(given["design"])
        return int(cycles(Machine.of(design), *given["product"]).cycles)

    monkeypatch.setattr(cluster, "run_tasks", run_tasks)
    found = explore(study_of(tmp_path))
    store = tmp_path / "s.sqlite"
    wrong = refine.refine(found, 3, store, progress=lambda name, total: nullcontext(lambda done: None))
    assert wrong == 3 * off
    noted = [some for sheet in sheets(found) for some in sheet["refined"]]
    assert len(noted) == 3
    for some in noted:
        assert some["cycles of the RTL"] - some["cycles by the model"] == off
        assert some["cycles by the model"] <= refine.CYCLES


@pytest.mark.parametrize(("errors", "outside"), [(0.0, 0), (0.99, 0), (1.01, 3), (-1.01, 3)])
def test_an_area_is_within_the_error_of_the_fit_or_counted(tmp_path, monkeypatch, errors, outside):
    from sim.studies import cluster

    found = explore(study_of(tmp_path))
    numbers, columns = list(refine.smallest(found, 3)), found.columns
    places = [int(np.flatnonzero(found.ids == number)[0]) for number in numbers]
    logic = (columns["array_um2"] + columns["control_um2"])[places] * (1 + errors * found.space.units.fit.worst)
    monkeypatch.setattr(cluster, "run_tasks", lambda *_, **options: [{"area_um2": float(area)} for area in logic])
    monkeypatch.setattr(refine, "libraries", lambda technology: ())
    monkeypatch.setattr(
        refine, "Library", lambda files: SimpleNamespace(name=found.space.units.about["units"]["library"])
    )
    wrong = refine.synthesise(found, 3, tmp_path / "s", progress=lambda name, total: nullcontext(lambda done: None))
    assert wrong == outside
    noted = [some for sheet in sheets(found) for some in sheet["refined"]]
    assert [some["within the fit's error"] for some in noted] == [not outside] * 3

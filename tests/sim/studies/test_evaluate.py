import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from golden.errors import GossetError
from golden.format import Format
from sim.models.cycles import Memory, cycles
from sim.models.schedule import Machine
from sim.silicon.compose import cost
from sim.silicon.model import estimate
from sim.silicon.tables import load
from sim.studies import cells, fabric
from sim.studies.evaluate import ENERGIES, Space
from sim.studies.explore import design_of, explore, objectives
from sim.studies.fit import fitted
from sim.studies.front import Front
from sim.studies.report import sheets
from sim.studies.study import Study, formats
from sim.studies.units import SRAM_UM2

STUDY = """
title = "small"
[workload]
source = "layers.toml"
[memory]
name = "lpddr4"
gigabytes_per_second = 0
[design]
rows = [1, 3, 8]
cols = [1, 4]
dataflow = ["os", "ws"]
panel_rows = [4, 64]
x_depth = [64, 1024]
w_depth = [64, 512]
"""
LAYERS = """
[[layer]]
name = "a"
m = 5
n = 33
k = 100
count = 3
[[layer]]
name = "b"
m = 70
n = 9
k = 900
"""


def study_of(tmp_path, text=STUDY):
    (tmp_path / "layers.toml").write_text(LAYERS)
    (tmp_path / "s.toml").write_text(text)
    return Study.load(str(tmp_path / "s.toml"))


@pytest.fixture
def space(tmp_path):
    return Space(study_of(tmp_path))


def test_generated_designs_cost_what_the_models_of_one_design_say(space):
    ids, found = space.evaluate(np.arange(space.size))
    assert len(ids) > 500
    table, layers, compared = load("asap7"), space.study.workload.layers, Counter()
    for place in range(0, len(ids), 3):
        setting = space.settings(int(ids[place]))
        design = design_of(setting)
        if design is None:
            continue
        compared[design.pipeline, design.dataflow, design.format.q, design.format.betas] += 1
        if design.format.betas == Format().betas:  # the energy model knows of no others
            parts = [estimate(design, table, layer.m, layer.n, layer.k, dram="lpddr4") for layer in layers]
            for name in ENERGIES:
                part = name.removesuffix("_pj")
                expected = sum(layer.count * float(getattr(p, part)) for layer, p in zip(layers, parts, strict=True))
                assert found[name][place] == pytest.approx(expected, rel=1e-12), (name, setting)
        counted = [int(cycles(Machine.of(design), layer.m, layer.n, layer.k).cycles) for layer in layers]
        total = sum(layer.count * some for layer, some in zip(layers, counted, strict=True))
        names = space.units.names[format_number(space, setting), int(setting["dataflow"] == "ws"), 0, 0]
        period = max(table["units"][name]["period_ps"] for name in names) * 1e-12
        assert found["compute_s"][place] == pytest.approx(total * period, rel=1e-12)
        assert found["waiting_s"][place] == 0
    assert len(compared) == 2 * 2 * 3 + 2, (
        "either pipeline and dataflow of three q, and output-stationary of two β sets"
    )


def format_number(space, setting):
    return space.study.axes["format"].index(setting["format"])


def test_square_arrays_cost_what_the_comparison_of_formats_says(tmp_path):
    text = STUDY.replace("rows = [1, 3, 8]", "rows = 8").replace("cols = [1, 4]", "cols = 8")
    space = Space(study_of(tmp_path, text))
    ids, found = space.evaluate(np.arange(space.size))
    seen = set()
    for place, number in enumerate(ids):
        setting = space.settings(int(number))
        if setting["dataflow"] == "os":
            area = cost(formats()[setting["format"]], load("asap7"), 8)[0]
            assert found["array_um2"][place] / 64 == pytest.approx(area, rel=1e-3), setting
            seen.add(setting["format"])
    assert seen == {name for name, build in formats().items() if cost(build, load("asap7"), 8)}


@pytest.mark.parametrize("flow", ["os", "ws"])
@pytest.mark.parametrize("pace", [1, 2, 3, 7])
@pytest.mark.parametrize("m", [1, 4, 64])
def test_waiting_is_that_of_the_exact_model(tmp_path, flow, pace, m):
    """With a memory that brings a word of weights every few cycles."""
    kind = {"os": "cell", "ws": "stationary_cell"}[flow]
    units = load("asap7")["units"]
    period = max(units[f"{name}_q16"]["period_ps"] for name in (kind, "decoder", "norm", "hop")) * 1e-12
    speed = 4 * 4.25 / (pace * period) / 1e9
    text = f"""
[workload]
source = "layers.toml"
[memory]
gigabytes_per_second = {speed}
[design]
format = "E8 q = 16, deep"
dataflow = "{flow}"
"""
    study = study_of(tmp_path, text)
    (tmp_path / "layers.toml").write_text(f'[[layer]]\nname = "a"\nm = {m}\nn = 512\nk = 512\n')
    space = Space(Study.load(str(tmp_path / "s.toml")))
    _, found = space.evaluate(np.arange(space.size))
    design = design_of(space.settings(0))
    exact = int(cycles(Machine.of(design), m, 512, 512, memory=Memory(1, pace)).cycles) * period
    assert study.technology == "asap7"
    weights = 512 * 512 * 4.25 / 8 / (speed * 1e9)
    assert max(found["compute_s"][0], weights) * (1 - 1e-9) <= exact
    assert exact <= (found["compute_s"] + found["waiting_most_s"])[0]
    assert found["time_s"][0] == pytest.approx(exact, rel=0.25 if m == 64 else 0.1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 400), st.integers(1, 5))
def test_a_front_is_what_no_other_point_beats(seed, kinds, points, parts):
    values = np.random.default_rng(seed).integers(0, 9, (points, kinds)).astype(float)
    front = Front(kinds)
    for some in np.array_split(np.arange(points), parts):
        front.add(values[some], some)
    expected = {
        tuple(v) for v in values if not ((values <= v).all(axis=1) & (values < v).any(axis=1)).any()
    }  # fmt: skip
    assert {tuple(v) for v in front.values} == expected
    assert len(front.ids) == len(expected), "of equal points one"
    assert (values[front.ids] == front.values).all()


def test_the_front_grows_beyond_its_first_room():
    line = np.arange(5000.0)
    front = Front(2)
    front.add(np.stack([line, -line], axis=1), np.arange(5000))
    assert len(front.ids) == 5000


def test_slices_do_not_matter(space, monkeypatch):
    from sim.studies import explore as module

    whole = explore(space.study)
    monkeypatch.setattr(module, "SLICE", 101)
    parts = explore(space.study)
    sets = [{tuple(v) for v in objectives(space.study, f.columns)} for f in (whole, parts)]
    assert sets[0] == sets[1] and whole.evaluated == parts.evaluated > 500


def test_limits_exclude(tmp_path):
    study = study_of(tmp_path, STUDY + "[most]\nenergy_j = 1e-5\n[least]\nsqnr_db = 20\n")
    found = explore(study)
    assert 0 < found.excluded < found.evaluated
    assert (found.columns["energy_j"] <= 1e-5).all() and (found.columns["sqnr_db"] >= 20).all()


def test_a_large_grid_is_searched(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    from sim.studies import explore as module

    study = study_of(tmp_path, "evaluations = 800\n" + STUDY + "[most]\narea_mm2 = 0.05\n")
    whole = explore(study)
    monkeypatch.setattr(module, "LARGEST_GRID", 10)
    found = explore(study)
    assert not found.grid and (found.columns["area_mm2"] <= 0.05).all()
    best, reached = (objectives(study, f.columns)[:, 0].min() for f in (whole, found))
    assert best <= reached <= 1.5 * best


def test_areas_of_whole_designs_are_within_the_band(tmp_path):
    """Of every design that was synthesised, not of the best ones; and memories have the bits that the model says."""
    fit, kinds = Space(study_of(tmp_path)).units.fit, set()
    assert fit.designs == len(cells.designs("asap7")) >= 29 and fit.worst < 0.1
    for design in cells.designs("asap7"):
        format, flow = design["format"], design["dataflow"]
        keys = "".join(f"{key} = {design[key]}\n" for key in ("rows", "cols", "panel_rows", "x_depth", "w_depth"))
        text = f'[workload]\nsource = "layers.toml"\n[design]\nformat = "{format}"\ndataflow = "{flow}"\n{keys}'
        _, found = Space(study_of(tmp_path, text)).evaluate(np.arange(1))
        logic = found["array_um2"][0] + found["control_um2"][0]
        assert abs(logic / design["area_um2"] - 1) <= fit.worst, design
        assert found["sram_um2"][0] / SRAM_UM2["value"] == pytest.approx(design["memory_bits"], rel=0.05), design
        kinds.add((format.split(", ")[-1], flow))
    assert len(kinds) == 4


def test_a_fit_says_how_wrong_it_is():
    units, columns = [100.0, 200.0, 400.0, 800.0, 1600.0], [0.0, 4.0, 0.0, 8.0, 2.0]
    exact = [50 + 0.9 * u + 3 * c for u, c in zip(units, columns, strict=True)]
    found = fitted(units, exact, columns)
    assert (found.fixed, found.share, found.column) == pytest.approx((50, 0.9, 3)) and found.worst < 1e-9
    bits = [8.0, 12.0, 20.0, 9.0, 16.0]
    found = fitted(units, [e + 15 * b for e, b in zip(exact, bits, strict=True)], columns, bits)
    assert (found.fixed, found.share, found.column, found.address) == pytest.approx((50, 0.9, 3, 15))
    off = fitted(units, [*exact[:2], 1.3 * exact[2], *exact[3:]], columns)
    assert off.worst > 0.1 and (off.lowest, off.highest, off.designs) == (100, 1600, 5)
    assert fitted(units, [2 * u for u in units]).column == 0
    assert fitted(units[:2], exact[:2]).worst < 1e-9  # of which none can be left out


def test_luts_of_whole_designs_are_within_the_band():
    fit = fabric.fit()
    assert fit.worst < 0.15
    assert len(fabric.table()["designs"]) >= 6
    for design in fabric.table()["designs"]:
        found = fabric.memories(design["rows"], design["cols"], 1024, 512, 64, design["ws"], 34)
        assert abs(int(found) - design["bram"]) <= 1, design["name"]


EDGES = [2**power + step for power in (0, 3, 16, 24, 31) for step in (-1, 0, 1)]
SIZES = st.sampled_from([size for size in EDGES if 0 < size < 2**31]) | st.integers(1, 10**4)


@example(m=1, n=2**31 - 1, k=1, count=2**31 - 1)
@given(m=SIZES, n=SIZES, k=SIZES, count=SIZES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_absurd_sizes_are_refused_or_counted_right(tmp_path, m, n, k, count):
    """In integers of Python, which do not end; what a workload holds may take more cycles than 64 bits count."""
    (tmp_path / "layers.toml").write_text(f'[[layer]]\nname = "a"\nm = {m}\nn = {n}\nk = {k}\ncount = {count}\n')
    text = (
        re.sub(r"= \[(\d+, )*(\d+)\]", r"= \2", STUDY.replace("[1, 4]", "1"))
        + 'dataflow = "os"\nformat = "E8 q = 16, deep"\n'
    )
    (tmp_path / "s.toml").write_text(re.sub(r"dataflow = \[.*\n", "", text))
    try:
        found = explore(Study.load(str(tmp_path / "s.toml")))
        design = design_of(found.space.settings(int(found.ids[0])))
        single = cycles(Machine.of(design), m, n, k)
    except GossetError as error:
        assert "multiply-accumulates" in str(error) or "The cycle model" in str(error)
        return
    (sheet,) = sheets(found)
    assert sheet["cycles"] == {name: int(some) * count for name, some in single.counters().items()}
    figures = sheet["figures"]
    assert figures["traffic_bytes"] >= count * (n * k * 4.25 / 8 + m * n * 4) * (1 - 1e-12)
    period = figures["compute_s"] / (int(single.cycles) * count)
    assert 1e-10 < period < 1e-9

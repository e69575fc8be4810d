import csv
import json
import re
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from golden.errors import GossetError
from gosset import app
from hw.design import DesignPoint
from sim.studies import fabric
from sim.studies.store import Store
from sim.studies.study import BUILTIN, Study, line_of, studies
from tests.sim.studies.test_evaluate import STUDY, study_of


def test_boards_and_areas_are_those_of_the_rooms_above():
    pytest.importorskip("amaranth_boards")
    from fpga.boards import BOARDS

    assert {name for name, board in BOARDS.items() if board.family == "ecp5"} == set(fabric.BOARDS)
    newest = {}
    for line in (BUILTIN.parents[2] / "docs" / "area.jsonl").read_text().splitlines():
        newest |= json.loads(line)["units"]
    for name, unit in fabric.table()["units"].items():
        assert unit["lut4_equivalents"] == newest[name]["lut4_equivalents"], name
    for design in fabric.table()["designs"]:
        assert design["lut4_equivalents"] == newest[design["name"]]["lut4_equivalents"]


@pytest.mark.parametrize("name", studies())
def test_built_in_studies_can_be_read(name):
    assert Study.load(name).title.endswith("?")


BAD = [
    ("rows = [1, 3, 8]", "rows = [1, 99]", r"line 9: rows must be from 1 to 32, but one is 99"),
    ("rows = [1, 3, 8]", "rows = {from = 8, to = 1, step = 1}", "line 9: the range of rows from 8 to 1 is empty"),
    ("rows = [1, 3, 8]", "rows = {from = 1, to = 8}", "line 9: a range is"),
    ("rows = [1, 3, 8]", "rows = []", "line 9: rows has no values"),
    ("rows = [1, 3, 8]", "height = 3", r"line 9: \[design\] has no key 'height'"),
    ("x_depth = [64, 1024]", "x_depth = 100", "line 13: x_depth must be powers of two"),
    ("cols = [1, 4]", 'format = "int3"', "line 10: no format is called 'int3'"),
    ('dataflow = ["os", "ws"]', 'dataflow = "is"', "line 11: dataflow is os or ws"),
    ('name = "lpddr4"', 'name = "hbm9"', "line 6: a memory is"),
    ('source = "layers.toml"', 'source = "nothing"', "line 4: No workload is called"),
    ('title = "small"', 'objectives = ["speed"]', "line 2: an objective is"),
    ('title = "small"', 'objectives = ["luts"]', "line 2: there are no figures of luts in asap7"),
    ('title = "small"', 'board = "ulx3s"', "line 2: a board goes with"),
    ('title = "small"', 'technology = "ecp5"', "line 2: ecp5 needs clock_mhz"),
    ('title = "small"', "titel = 3", "line 2: a study has no key 'titel'"),
    ('title = "small"', "title = ", r"not a TOML file: .*line 2"),
    ("w_depth = [64, 512]", "w_depth = 64\n[most]\nbits = 3\n[least]\nbits = 4", "line 18: bits cannot be at least 4"),
    ("w_depth = [64, 512]", "[most]\nbytes = 3", r"line 15: \[most\] has no key 'bytes'"),
    ("w_depth = [64, 512]", "[most]\nluts = 3", "line 15: there are no figures of luts"),
    ("gigabytes_per_second = 0", "gigabytes_per_second = nan", "line 7: gigabytes_per_second must be a number"),
    ("gigabytes_per_second = 0", "gigabytes_per_second = [1, 2]", "line 7: gigabytes_per_second must be one number"),
]


@pytest.mark.parametrize("old, new, said", BAD)
def test_what_a_study_says_wrong_is_told_with_its_line(tmp_path, old, new, said):
    assert old in STUDY
    with pytest.raises(GossetError, match=said):
        study_of(tmp_path, STUDY.replace(old, new))


def test_networks_that_cannot_be_read_are_told_with_the_line(tmp_path):
    pytest.importorskip("onnx")
    from tests.sim.workloads.test_graph import CIRCLE, MATMUL, RECURSIVE, build, constant

    def told(model, dims=""):
        (tmp_path / "net.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        with pytest.raises(GossetError) as error:
            study_of(tmp_path, STUDY.replace('"layers.toml"', '"net.onnx"' + dims))
        said = str(error.value)
        assert "s.toml, line 4: " in said and "\n" not in said
        return said

    assert "is not an ONNX file" in told(b"hello")
    assert "/a/Add reads 'b', which /b/Relu makes after it: the graph has a circle" in told(CIRCLE)
    assert "Cycle detected" in told(RECURSIVE)
    dynamic = build(MATMUL, {"x": ("n", 3)}, [constant("w", 3, 3)])
    assert 'dynamic; give it with --dim n=SIZE, or in a study as "n" = SIZE of [workload.dims].' in told(dynamic)
    study = study_of(tmp_path, STUDY.replace('"layers.toml"', '"net.onnx"\ndims = {n = 5}'))
    assert study.workload.layers[0].m == 5
    assert "from 1 to" in told(dynamic, "\ndims = {n = 0}")


def wrong(tmp_path, *words):
    """What the command line says of it."""
    study_of(tmp_path)
    with pytest.raises(GossetError) as error:
        CliRunner().invoke(app, ["explore", str(tmp_path / "s.toml"), *words], catch_exceptions=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_study_that_is_not_there(tmp_path):
    for words, said in (
        (("nothing",), r"No study is called 'nothing'; give edge-cells, lattice-or-integers, llm-decode"),
        ((str(tmp_path / "none.toml"),), r"none\.toml"),
    ):
        with pytest.raises(GossetError, match=said):
            CliRunner().invoke(app, ["explore", *words], catch_exceptions=False)


def test_stores_and_schedulers_that_are_not_there(tmp_path, monkeypatch):
    cluster = pytest.importorskip("sim.studies.cluster")
    monkeypatch.setattr(cluster, "CONNECT", 1)
    monkeypatch.chdir(tmp_path)
    assert "--scheduler and --store are for --refine and --synthesise" in wrong(
        tmp_path, "--scheduler", "tcp://127.0.0.1:1"
    )
    words = ("--refine", "1", "--rows", "1", "-o", "out")
    said = wrong(tmp_path, *words, "--scheduler", "tcp://127.0.0.1:1")
    assert said == "No scheduler answers at tcp://127.0.0.1:1: start one with dask scheduler, or leave it out."
    (tmp_path / "text").write_text("no database" * 100)
    assert "text is no store that can be used" in wrong(tmp_path, *words, "--store", "text")
    with closing(sqlite3.connect(Store(tmp_path / "old").path)) as database, database:
        database.execute("UPDATE about SET schema = 0")
    assert "old is a store of version 0, and this gosset reads version" in wrong(tmp_path, *words, "--store", "old")
    assert not list(tmp_path.glob("out/*")), "nothing half-written"


def test_lines_are_found_in_their_table():
    assert line_of("a = 1\n[b]\na = 2\n", "b", "a") == 3
    assert line_of("a = 1\n[b]\na = 2\n", "", "b") == 2
    assert line_of("a = 1\nb.a = 2\n", "b", "a") == 2
    assert line_of('a = 1\n"b" = {a = 2}\n', "b", "a") == 2
    assert line_of("a = 1\n[[b]]\n", "b", "a") is None
    assert line_of("a = 1\n", "b", "a") is None


def test_limits_that_leave_nothing_are_told(tmp_path):
    from sim.studies.explore import explore

    with pytest.raises(GossetError, match=r"no point is within the limits; area_mm2 of at most 1e-09 .* excludes"):
        explore(study_of(tmp_path, STUDY + "[most]\narea_mm2 = 1e-9\nbits = 5\n"))


def test_from_a_study_to_verilog(tmp_path, monkeypatch):
    study_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["explore", "s.toml", "-o", "out", "--rows", "3"], catch_exceptions=False)
    assert run.exit_code == 0 and "points evaluated (the whole grid)" in " ".join(run.output.split())
    report = json.loads((tmp_path / "out/study.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out/front.csv").read_text().splitlines()))
    assert len(rows) == report["points"]["front"] == len(report["front"]) > 10
    for sheet, row in zip(report["front"], rows, strict=True):
        assert sheet["id"] == row["id"]
        figures, bands = sheet["figures"], sheet["bands"]
        assert figures["time_s"] == pytest.approx(figures["compute_s"] + figures["waiting_s"])
        for name, (low, high) in bands.items():
            assert low <= figures[name] * (1 + 1e-9) and figures[name] <= high * (1 + 1e-9), (name, sheet)
        assert "luts" not in figures
    page = (tmp_path / "out/index.html").read_text()
    assert not re.search(r"""(src|href)\s*=|https?://(?!www\.w3)|fetch\(|import\(""", page.split("const data")[0])
    assert json.loads(page.split("const data = ")[1].split(";\nconst by")[0])["title"] == "small"
    assert (tmp_path / "out/front.png").stat().st_size > 1000 and (tmp_path / "out/front.svg").exists()

    generated = next(sheet for sheet in report["front"] if sheet["design"])
    shown = CliRunner().invoke(app, ["explore", "show", generated["id"], "-o", "out"], catch_exceptions=False)
    assert generated["settings"]["format"] in shown.output and shown.exit_code == 0
    words = ["generate", "--study", "out", "--id", generated["id"], "-o", "rtl"]
    made = CliRunner().invoke(app, words, catch_exceptions=False)
    assert made.exit_code == 0
    design = DesignPoint.from_dict(generated["design"])
    assert (tmp_path / f"rtl/{design.module}.v").exists()
    rival = next(sheet for sheet in report["front"] if not sheet["design"])
    with pytest.raises(GossetError, match="there are cells, and no whole array"):
        CliRunner().invoke(
            app, ["generate", "--study", "out", "--id", rival["id"]], catch_exceptions=False
        )  # fmt: skip


def test_designs_of_a_board(tmp_path):
    text = STUDY.replace('title = "small"', 'technology = "ecp5"\nboard = "icesugar_pro"')
    text = text.replace("rows = [1, 3, 8]", 'rows = [1, 4]\nclock_mhz = 80\nproducts = ["squares", "dsps"]')
    from sim.studies.explore import explore
    from sim.studies.report import sheets

    found = explore(study_of(tmp_path, text))
    assert (found.columns["luts"] <= 24_288).all() and (found.columns["dsps"] <= 28).all()
    assert found.excluded > 0
    small = [s for s in sheets(found) if s["settings"]["rows"] * s["settings"]["cols"] == 1 and "q = 4" in
             s["settings"]["format"]]  # fmt: skip
    assert small and all("extrapolated" in s["notes"][-1] for s in small)

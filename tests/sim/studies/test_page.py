import pytest

from benchmarks import page
from sim.studies.explore import explore
from sim.studies.report import write
from tests.sim.studies.test_evaluate import study_of


def test_the_page_works_in_a_browser_from_a_file(tmp_path):
    chromium = page.browser()
    if not chromium:
        pytest.skip("no Chromium is installed")
    report = write(explore(study_of(tmp_path)), tmp_path)
    found = page.measured(chromium, page.grown(report, 700), {}, tmp_path)
    assert found["errors"] == [] and found["points"] == found["drawn"] == 700
    assert set(found["times"]) == {"draw", "hover", "click", "sort"}
    shown = page.look(chromium, tmp_path / "index.html", "--dump-dom")
    assert shown.count("<tr") >= min(200, len(report["front"])) and report["front"][0]["id"] in shown

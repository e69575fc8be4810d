import json
import re
import shutil
import subprocess

import pytest

from golden.terminal import progress
from sim.compare import report, stored
from sim.compare.equal import comparisons
from sim.compare.records import Figure
from sim.compare.run import busy, compare
from sim.compare.stored import results
from tests.sim.compare.test_records import record

FOUND = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
CHROMIUM = next(filter(None, FOUND), None)
"""A browser, as distributions call it."""

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000")  # fmt: skip


def made():
    """A report of few records, as a run gives it."""
    records = [
        record("E8 q=4 </script>", "E8", 2.25, 1e-3, 8.0, ours=True, energy_j=Figure(2e-3, "assumed", 1e-3, 4e-3)),
        record("E8 q=8", "E8", 3.25, 2e-3, 14.0, ours=True, area_mm2=Figure(0.5, "modelled")),
        record("slow", "", 3.0, 4e-3, 12.0),
    ]
    return {
        "version": 1, "date": "today", "commit": "abc", "quick": True, "busy": "Much to do.",
        "load_before": [0.1], "load_after": [],
        "cpu": {"processor": "some", "processors": 2, "flags": ["avx2"], "caches": {"L1": 32768}, "paths": []},
        "reading_bytes_per_second": {"1": 1e10, "2": 2e10}, "peak_macs_per_second": {"1": 1e11}, "missing": ["other"],
        "left_out": [], "batches": [1], "sources": {"time": "measured"}, "stored": [], "tools": {},
        "records": [one.as_dict() for one in records], "equal": comparisons(records),
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    report.write(made(), place)
    return place


def test_all_files_are_written_and_the_report_is_json(folder):
    assert {path.name for path in folder.iterdir()} == set(report.FILES)
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(made()))


def test_words_mark_how_figures_are_known(folder):
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| CPU | E8 q=4"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:6] == ["2.25", "1 ms", "?2 mJ", "~1 MB"]
    assert "~0.5 mm²" in text and "**Much to do.**" in text
    assert "| CPU | E8 | slow | 1 | 1 | 0.42 to 0.42 |  |" in text
    # At the bits of what is slow ours would take 1.75 ms, at its SQNR 1.67.
    assert re.search(r"bits 3 \| E8 \| slow \| 1.00 \| 0.44 \|", text)
    assert re.search(r"SQNR 12 \| E8 \| slow \| 0.97 \| 0.42 \|", text)


def test_the_page_holds_all_that_it_shows(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("</script>") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to open the page in: apt-get install chromium")
def test_a_browser_shows_the_page(folder, tmp_path):
    picture = tmp_path / "page.png"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}/profile", (folder / "index.html").as_uri()]
    options = ["--dump-dom", f"--screenshot={picture}"]
    done = [
        subprocess.run([command[0], option, *command[1:]], capture_output=True, text=True, timeout=300, check=True)
        for option in options
    ]
    shown = re.sub(r"<script>.*?</script>", "", done[0].stdout, flags=re.DOTALL)
    assert shown.count("<circle") == 2 and "M" in re.search(r'<path d="([^"]+)"', shown)[1]
    assert "E8 q=4 &lt;/script&gt;" in shown and "2.00 mJ" in shown
    assert "other: not installed" in shown and "Much to do." in shown
    assert 'class="better">0.44' in shown
    assert picture.stat().st_size > 10_000


def test_the_stored_results_can_be_read():
    assert [result.about["file"] for result in results()] == sorted(path.name for path in stored.FOLDER.glob("*.json"))


def test_without_stored_results_the_gpu_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(stored, "FOLDER", stored.FOLDER / "nowhere")
    monkeypatch.setattr(stored, "results", lambda: [])
    found = compare(["digits", "gpu"], True, None, None, progress)
    assert found["records"] == []
    assert "make gpu-bench" in found["missing"][0]
    assert found["sources"]["array time"]


def test_a_busy_machine_is_warned_of(monkeypatch):
    monkeypatch.setattr("sim.compare.run.processors", lambda: 2)
    assert busy([0.9, 5.0, 5.0]) == busy([]) == ""
    assert "3 processes wanted its 2 processors" in busy([3.0, 0.0, 0.0])

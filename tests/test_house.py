"""The order of the house, and its picture."""

import subprocess
import sys

import pytest

from tests.house import PAGE, ROOT, arrows, boxes, with_picture

LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]


def test_no_import_runs_against_the_order():
    done = subprocess.run(LINT, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("room", "module", "line"),
    [
        ("golden", "format", "import hw.design"),
        ("sim", "device", "import fpga.boards"),
        ("hw", "array/cell", "from hw.codec import decoder"),
        ("golden", "stranger", "x = 1"),
    ],
)
def test_one_that_does_is_found(room, module, line, tmp_path):
    for name in ("golden", "hw", "sim", "fpga"):
        (tmp_path / name).symlink_to(ROOT / name) if name != room else None
    subprocess.run(["cp", "-r", ROOT / room, tmp_path / room], check=True)
    path = tmp_path / room / f"{module}.py"
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run([*LINT], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 1 and "4 kept, 1 broken" in done.stdout, done.stdout + done.stderr


def test_the_picture_is_of_these_imports():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_picture(page), "The house has changed: python -m tests.house"


def test_the_picture_has_no_circle():
    order = {
        f"{room}_{box[0]}": i for i, (room, box) in enumerate((r, b) for r, found in boxes().items() for b in found)
    }
    assert all(order[source] < order[target] for source, targets in arrows().items() for target in targets)


def test_the_page_is_in_the_readme():
    assert "docs/architecture.md" in (ROOT / "README.md").read_text(encoding="utf-8")

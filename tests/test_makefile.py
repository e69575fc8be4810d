"""The Makefile, where it is called in a folder that its tools cannot work in."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(folder, target, python="false"):
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        ["make", target, f"PYTHON={python}"], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )


@pytest.fixture
def python(tmp_path):
    """Takes the place of Python, and says when it was called."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\nexit 1\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "name", ["a clone", "a#b", "a:b", "it's", "a$b", "a&b", "a;b", "a(1)", "a\tb", "a*", 'a"b', "a\\b"]
)
@pytest.mark.parametrize("target", ["sim", "test", "fpga"])
def test_a_clone_under_a_path_that_make_cannot_read(name, target, tmp_path, python):
    done = make(tmp_path / name / "gosset", target, python)
    assert done.returncode == 2 and "cannot work under a path with" in done.stderr
    assert not (tmp_path / "called").exists(), "nothing may be installed"
    assert not (tmp_path / name / "gosset" / ".venv").exists()


@pytest.mark.parametrize("name", ["plain", "größe", "a-b_c.d+e@f,g"])
def test_a_clone_under_another_path(name, tmp_path, python):
    make(tmp_path / name / "gosset", "sim", python)
    assert (tmp_path / "called").exists()


def test_help_is_given_anywhere(tmp_path):
    assert make(tmp_path / "a clone", "help").returncode == 0

"""Whose commit a report names."""

import shutil
import subprocess
import sys

import pytest

from tests.children import ROOT, environment

CODE = "from golden.quality import provenance; print(provenance.__file__, provenance.provenance()['commit'])"


def git(folder, *arguments):
    name = ("-c", "user.name=x", "-c", "user.email=x@y")
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """Another repository, with this project's golden in it, untracked."""
    folder = tmp_path / "theirs"
    shutil.copytree(ROOT / "golden", folder / "site-packages" / "golden", ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init")
    (folder / "mine").write_text("1\n", encoding="utf-8")
    git(folder, "add", "mine")
    git(folder, "commit", "-m", "theirs")
    return folder


def commit(repository, **variables):
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE],
        env=environment(PYTHONPATH=repository / "site-packages", **variables),
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    file, name = done.stdout.split()
    assert file.startswith(str(repository))
    return None if name == "None" else name


def test_a_repository_that_the_environment_lies_in_is_not_meant(repository):
    assert commit(repository) is None
    (repository / ".gitignore").write_text("site-packages\n", encoding="utf-8")
    assert commit(repository) is None


def test_the_repository_that_this_file_belongs_to_is(repository):
    git(repository, "add", "site-packages")
    git(repository, "commit", "-m", "vendored")
    named = commit(repository)
    assert len(named) == 12
    (repository / "mine").write_text("2\n", encoding="utf-8")
    assert commit(repository) == f"{named}-dirty"


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CEILING_DIRECTORIES"])
def test_variables_of_git_do_not_lead_astray(variable, repository):
    git(repository, "add", "site-packages")
    git(repository, "commit", "-m", "vendored")
    named = commit(repository)
    assert commit(repository, **{variable: "/nowhere"}) == named


@pytest.mark.parametrize("program", [None, "exit 1", "exit 127"])
def test_without_a_git_that_works(program, repository, tmp_path):
    git(repository, "add", "site-packages")
    git(repository, "commit", "-m", "vendored")
    (tmp_path / "bin").mkdir()
    if program:
        script = tmp_path / "bin" / "git"
        script.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
        script.chmod(0o755)
    assert commit(repository, PATH=tmp_path / "bin") is None

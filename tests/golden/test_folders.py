import os
import pwd
from pathlib import Path

import pytest

from golden import folders
from golden.errors import ToolError


def nobody(monkeypatch):
    """Makes the user one that the machine does not know, without HOME."""
    monkeypatch.delenv("HOME", raising=False)

    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


HOMES = {
    "none": nobody,
    "missing": lambda patch: patch.setenv("HOME", "/nonexistent"),
    "no folder": lambda patch: patch.setenv("HOME", "/dev/null"),
    "not writable": lambda patch: patch.setenv("HOME", "/proc"),
    "relative": lambda patch: patch.setenv("HOME", "here"),
}


@pytest.mark.parametrize("kind", HOMES)
def test_without_a_home_another_folder_serves(kind, tmp_path, monkeypatch):
    HOMES[kind](monkeypatch)
    for variable in (folders.VARIABLE, "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    assert folders.home() is None
    folders.settle_libraries()
    with pytest.raises(ToolError, match=r"^There is no home folder.*: set GOSSET_CACHE to a folder"):
        folders.cache_folder()
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "deep" / "cache"))
    assert folders.cache_folder() == tmp_path / "deep" / "cache"
    assert folders.writable_home() == tmp_path / "deep" / "cache" / "home"
    folders.settle_libraries()
    assert Path(os.environ["MPLCONFIGDIR"]).parent == tmp_path / "deep" / "cache"
    assert not Path("/nonexistent").exists() and not Path("here").exists()


def test_with_a_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    assert folders.cache_folder() == tmp_path / ".cache" / "gosset"
    assert folders.writable_home() == tmp_path


@pytest.mark.parametrize("path", ["file/cache", "/proc/cache", "/dev/null", "a\0b", "x" * 300])
def test_a_cache_that_cannot_be(path, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ | {folders.VARIABLE: path})
    with pytest.raises(ToolError, match=r"cannot be made .*: set GOSSET_CACHE to another folder\.$"):
        folders.cache_folder()

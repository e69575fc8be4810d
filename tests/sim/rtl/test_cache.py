import os
import subprocess
import sys
import time

import pytest

from golden.errors import ToolError
from sim.rtl import cache
from tests.children import environment
from tests.disks import mounted, remount


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GOSSET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make(name="thing", text="machine code\n" * 100):
    with cache.workplace() as work:
        (work / "model.so").write_text(text, encoding="utf-8")
        (work / "model.so").chmod(0o755)
        return cache.keep(name, [work / "model.so"], work)


def replaced_by_a_file(entry):
    (entry / "model.so").unlink()
    (entry / "entry.json").unlink()
    entry.rmdir()
    entry.write_text("", encoding="utf-8")


DAMAGES = {
    "emptied": lambda entry: (entry / "model.so").write_bytes(b""),
    "truncated": lambda entry: os.truncate(entry / "model.so", 500),
    "one byte": lambda entry: (entry / "model.so").write_bytes((entry / "model.so").read_bytes()[:-1] + b"x"),
    "longer": lambda entry: (entry / "model.so").write_bytes((entry / "model.so").read_bytes() + b"x"),
    "missing": lambda entry: (entry / "model.so").unlink(),
    "no manifest": lambda entry: (entry / "entry.json").unlink(),
    "empty manifest": lambda entry: (entry / "entry.json").write_bytes(b""),
    "strange manifest": lambda entry: (entry / "entry.json").write_bytes(b"[" * 100_000),
    "binary manifest": lambda entry: (entry / "entry.json").write_bytes(b"\xff\x00"),
    "not executable": lambda entry: (entry / "model.so").chmod(0o644),
    "a folder inside": lambda entry: (entry / "more").mkdir(),
    "a file": replaced_by_a_file,
    "a dangling link": lambda entry: (entry.rename(entry.parent / "x"), entry.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_said_and_made_anew_once(damage, caplog):
    entry = make()
    assert cache.find("thing") == entry
    DAMAGES[damage](entry)
    assert cache.find("thing") is None
    assert [f"{entry} in the cache is damaged; it is built anew."] == [record.getMessage() for record in caplog.records]
    assert make() == entry and cache.find("thing") == entry
    assert len(caplog.records) == 1


def test_two_may_make_the_same():
    with cache.workplace() as work:
        (work / "model.so").write_text("one", encoding="utf-8")
        entry = make(text="two")
        assert cache.keep("thing", [work / "model.so"], work) == entry
    assert (entry / "model.so").read_text(encoding="utf-8") == "two"


def test_nothing_is_left_of_a_build_that_fails(kept):
    with pytest.raises(ValueError), cache.workplace():
        raise ValueError
    assert not list(kept.glob("build-*"))


BUILDER = """
import sys, time
from sim.rtl import cache
with cache.workplace() as work:
    (work / "object.o").write_bytes(b"x" * 1000)
    print(work, flush=True)
    time.sleep(60)
"""


def builder():
    process = subprocess.Popen([sys.executable, "-c", BUILDER], env=environment(), stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_build_folders_are_swept_when_their_process_is_gone_and_not_before():
    process, work = builder()
    with process:
        os.utime(work, (0, 0))  # however old it looks
        assert cache.find("thing") is None and os.path.exists(work)
        process.kill()
        process.wait()
        assert os.path.exists(work)
        cache.find("thing")
        assert not os.path.exists(work)


@pytest.mark.parametrize(("age", "stays"), [(0, True), (7200, False)])
def test_build_folders_that_know_no_locks(age, stays, kept):
    make()
    old = kept / "build-old"
    old.mkdir()
    os.utime(old, (time.time() - age,) * 2)
    cache.find("thing")
    assert old.exists() == stays


@pytest.mark.parametrize(
    "name", ["a b", "a#b", "a:b", "a$b", "it's", 'a"b', "a;b", "a&b", "a(b", "a%b", "a\\b", "a\nb", "a\tb"]
)
def test_a_cache_under_a_path_that_make_cannot_read(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GOSSET_CACHE", str(tmp_path / name))
    with pytest.raises(ToolError, match=r"make cannot work under a path with .* in it .*: set GOSSET_CACHE to another"):
        cache.folder()


@pytest.mark.parametrize("name", ["größe", "a-b_c.d+e@f,g"])
def test_a_cache_under_an_unusual_path(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GOSSET_CACHE", str(tmp_path / name))
    assert cache.folder() == tmp_path / name


def test_a_full_disk(kept):
    with mounted(kept, "size=64k"), pytest.raises(ToolError, match=r"No space left on device.*set GOSSET_CACHE"):
        make(text="x" * 100_000)


def test_a_full_disk_before_anything_is_built(kept):
    with mounted(kept, "size=1M,nr_inodes=2"), pytest.raises(ToolError, match=r"No space left on device"):
        make()


def test_a_disk_that_nothing_can_be_run_from(kept):
    with mounted(kept, "noexec"), pytest.raises(ToolError, match=r"\(noexec\): set GOSSET_CACHE to another"):
        cache.find("thing")


def test_a_read_only_cache_serves_what_it_has(kept):
    with mounted(kept, "size=1M"):
        entry = make()
        damaged = make("damaged")
        os.truncate(damaged / "model.so", 0)
        remount(kept, "ro")
        assert cache.find("thing") == entry
        for use in (lambda: make("other"), lambda: cache.find("damaged")):
            with pytest.raises(ToolError, match=r"cannot be written to \(Read-only file system\).*set GOSSET_CACHE"):
                use()

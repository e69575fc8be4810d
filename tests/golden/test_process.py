import os
import signal
import subprocess
import sys
import time

import pytest

from golden import process
from golden.errors import ToolError
from tests.children import ROOT, environment, listens


@pytest.mark.parametrize(
    "name",
    [
        *(
            "GPI_EXTRA",
            "GPI_USERS",
            "PYGPI_USERS",
            "PYGPI_PYTHON_BIN",
            "LIBPYTHON_LOC",
            "COCOTB_TEST_MODULES",
            "TOPLEVEL",
        ),
        *(
            "MAKEFLAGS",
            "MAKEFILES",
            "MFLAGS",
            "GNUMAKEFLAGS",
            "CXX",
            "CXXFLAGS",
            "CPPFLAGS",
            "LDFLAGS",
            "OBJCACHE",
            "LINK",
        ),
        *("VERILATOR_ROOT", "VERILATOR_BIN", "PERL5OPT", "PERL5LIB", "BASH_ENV", "ENV", "LD_PRELOAD"),
        *("PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTEST_CURRENT_TEST", "WAVES", "SIM"),
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "TOTALLY_UNKNOWN"),
    ],
)
def test_what_steers_children_does_not_reach_them_by_chance(name, monkeypatch):
    monkeypatch.setenv(name, "/nowhere")
    done = process.run(["/usr/bin/env"])
    assert f"{name}=/nowhere" not in done.output.splitlines()
    assert name not in {
        line.partition("=")[0] for line in process.run_python("tests.golden.printenv").output.split("\n")
    }


def test_what_children_need_reaches_them(monkeypatch):
    monkeypatch.setenv("CCACHE_DIR", "/a/b")
    said = process.run(["/usr/bin/env"], variables={"MINE": "1"}).output.splitlines()
    assert {f"PATH={os.environ['PATH']}", "CCACHE_DIR=/a/b", "LC_ALL=C", "MINE=1"} <= set(said)


@pytest.mark.parametrize("name", ["random", "types", "json", "golden", "hw", "sim", "numpy", "typing"])
def test_children_in_python_do_not_import_from_where_one_stands(name, tmp_path):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from here')\n", encoding="utf-8")
    code = "from golden.process import run_python; print(run_python('golden.quality.report').said)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "taken from here" not in done.stdout + done.stderr


def test_a_child_says_what_it_says():
    done = process.run(["sh", "-c", "cat; echo wrong >&2; exit 3"], input="größe\n" * 100_000)
    assert (done.code, done.output, done.errors) == (3, "größe\n" * 100_000, "wrong\n")
    assert process.run(["sh", "-c", "kill -9 $$"]).how == "signal SIGKILL"


def test_a_log_and_someone_who_watches(tmp_path):
    seen = []
    process.run(["sh", "-c", "echo said; sleep 0.3"], log=tmp_path / "log", watch=lambda: seen.append(1))
    assert (tmp_path / "log").read_text(encoding="utf-8") == "said\n" and seen


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/nowhere/tool"], r"^/nowhere/tool cannot be started \(No such file or directory\)\.$"),
        ([str(ROOT)], r"cannot be started \(Permission denied\)"),
        (["a\0b"], "cannot be started"),
        (["sh", "-c", "echo one; echo two >&2; exit 7"], r"^sh failed with exit code 7:\none\ntwo$"),
        (["sh", "-c", "exit 7"], r"^sh failed with exit code 7\.$"),
        (["sh", "-c", "kill -TERM $$"], r"^sh failed with signal SIGTERM\.$"),
        (
            ["sh", "-c", "echo x.o: No space left on device; exit 1"],
            r"^sh could not write its files in .*No space left",
        ),
        (["sh", "-c", "echo x.o: Read-only file system; exit 1"], r"^sh could not write its files in .*Read-only"),
    ],
)
def test_every_failure_is_a_sentence(command, said):
    with pytest.raises(ToolError, match=said):
        process.call(command)


def test_a_program_that_does_not_end():
    with pytest.raises(ToolError, match=r"sleep does not end: it was stopped after 0\.2 s"):
        process.run(["sleep", "60"], limit=0.2)


def test_a_failure_ends_what_other_threads_run():
    begin = time.monotonic()
    with pytest.raises(ToolError, match="sh failed with exit code 1"), process.threads(2) as pool:
        list(pool.map(process.call, [["sleep", "60"], ["sh", "-c", "sleep 0.2; exit 1"], ["sleep", "60"]]))
    assert time.monotonic() - begin < 20


# A parent with a child that has a child of its own, one of which does not listen.
FAMILY = """
import sys
from pathlib import Path
from golden.exits import ending
from golden.process import call, threads
def work(name):
    call(["sh", "-c", 'trap "" HUP; echo $$ > $0; sleep 300 & echo $! >> $0; echo >> $0; wait', name])
def main():
    with threads(2) as pool:
        list(pool.map(work, sys.argv[1:]))
ending("parent", main)
"""


@pytest.mark.parametrize(("number", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129), ("KILL", -9)])
def test_signals_end_children_and_their_children(number, code, tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    command = [sys.executable, "-c", FAMILY, *map(str, files)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True, preexec_fn=listens) as parent:
        wait(lambda: all(path.exists() and path.read_text(encoding="utf-8").count("\n") == 3 for path in files))
        members = [int(word) for path in files for word in path.read_text(encoding="utf-8").split()]
        parent.send_signal(getattr(signal, f"SIG{number}"))
        assert parent.wait(10) == code and not parent.stderr.read()
    wait(lambda: not any(map(alive, members)))


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{number}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def wait(condition):
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

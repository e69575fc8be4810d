"""The testbenches: units of the hardware and the whole accelerator, driven signal by signal by cocotb under Verilator.

    result = run_bench("decoder", Format(q=8))
    print(result)

The benches themselves are in `sim.benches`, one module each; this one generates the Verilog, builds the simulation or
finds it in the cache, runs it, and reads what it reports.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from golden.errors import GossetError, ToolError
from golden.format import Format
from golden.frontend import FrontEndRules
from hw.array import OutputStationaryArray, latency
from hw.cell import Cell
from hw.decoder import Decoder
from hw.design import DesignPoint
from hw.generate import Generated, generate, generate_axi, generate_design
from hw.operands import packed_operand
from sim import verilator
from sim.benches.settings import VARIABLE, Report, Settings

SEED = 2718
"""The seed of every bench, unless another is given."""

TAIL = 40
"""Lines of the log that a report of failure shows."""

Progress = Callable[[int, int], object]
"""Called with the tests that have ended, and how many there are."""

_BUILD_ARGUMENTS = (
    # Two-valued and the same in every run, as in sim.verilator.
    "--x-assign", "0",
    "--x-initial", "0",
    "-Wno-fatal",
    # cocotb's runner makes every signal visible; a bench sees the ports only, which builds in half the time.
    "--no-public-flat-rw",
)  # fmt: skip

# Cocotb takes longer than the model for anything that is worth a bench.
_MAKE = "OPT_FAST=-O1 OPT_GLOBAL=-O1"

# Beside COCOTB_*, what steers cocotb and its runner: that is decided here alone.
_STEERING = ("PYTEST_CURRENT_TEST", "WAVES", "GUI", "RANDOM_SEED", "GPI_USERS", "SIM_CMD_PREFIX", "SIM_CMD_SUFFIX")


@dataclass(frozen=True)
class Bench:
    """A testbench.

    Attributes
    ----------
    module : str
        Python module of the tests.
    blocks : int
        Size of each of its tests, unless another is given.
    generate : callable
        Verilog of what it tests, from a design point or a format.
    """

    module: str
    blocks: int
    generate: Callable[[DesignPoint | Format], Generated]


@dataclass(frozen=True)
class Failure:
    """A test that failed.

    Attributes
    ----------
    test : str
        Its name and parameters.
    message : str
        What was expected, and what came instead.
    """

    test: str
    message: str


@dataclass(frozen=True)
class BenchResult:
    """What a bench found. Its text says so, and of a failure how to see it again.

    Attributes
    ----------
    name : str
        The bench.
    design : str
        The design point or format.
    seed, blocks : int
        As they were given.
    passed, failed : int
        Tests.
    checked : int
        Results that were compared with golden, in tests that passed.
    seconds : float
        Wall time of the simulation, without the build.
    failures : tuple of Failure
    folder : Path or None
        Where the log `log.txt`, cocotb's `results.xml` and the waves `dump.vcd` are; None if nothing was kept.
    """

    name: str
    design: str
    seed: int
    blocks: int
    passed: int
    failed: int
    checked: int
    seconds: float
    failures: tuple[Failure, ...]
    folder: Path | None

    @property
    def ok(self) -> bool:
        """Whether every test passed."""
        return not self.failed

    def __str__(self) -> str:
        """One line, and for each failure its message; then the seed and the end of the log."""
        head = f"{self.name}, {self.design}: {self.passed} passed, {self.failed} failed, {self.checked} results checked"
        lines = [f"{head}, {self.seconds:.1f} s"]
        if self.failed:
            lines += [f"  {failure.test}: {failure.message}" for failure in self.failures]
            again = f"blocks={self.blocks}, seed={self.seed}, only={self.failures[0].test!r}"
            lines.append(f"  the first one again: {again}; everything is in {self.folder}")
            if self.folder:
                lines += ["  " + line for line in _tail(self.folder / "log.txt")]
        return "\n".join(lines)


def run_bench(
    name: str,
    design: DesignPoint | Format,
    *,
    blocks: int | None = None,
    seed: int = SEED,
    only: str | None = None,
    verilog: str | None = None,
    waves: bool = False,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> BenchResult:
    """Runs a testbench.

    Parameters
    ----------
    name : str
        One of `BENCHES`.
    design : DesignPoint or Format
        What to test; a format is enough for the decoder and the cell.
    blocks : int, optional
        Blocks in each test, more or less.
    seed : int
        Of everything that is random.
    only : str, optional
        Regular expression: of the tests, run those whose name has a match.
    verilog : str, optional
        Text to test in place of the generated one, with the same ports.
    waves : bool
        Record waves. Slower.
    folder : Path, optional
        Where to leave the log, the results and the waves. A folder of its own by default, which is removed if all
        tests pass and no waves were asked for.
    progress : callable, optional

    Raises
    ------
    GossetError
        If there is no such bench, or it needs a design point.
    ToolError
        If a tool is missing or the simulation cannot be built, or ended without results.
    """
    if name not in BENCHES:
        raise GossetError(f"No bench is called {name!r}; there are {', '.join(BENCHES)}.")
    bench = BENCHES[name]
    blocks = bench.blocks if blocks is None else blocks
    generated = bench.generate(design)
    if verilog is not None:
        generated = replace(generated, verilog=verilog)
    simulation = _Simulation(generated, waves)
    simulation.build()
    with _folder(folder, name) as (place, keep):
        start = time.perf_counter()
        report, failures = simulation.run(place, bench.module, blocks, seed, only, progress)
        result = BenchResult(
            name=name,
            design=design.name if isinstance(design, DesignPoint) else _text(design),
            seed=seed,
            blocks=blocks,
            passed=report.passed,
            failed=len(failures),
            checked=report.checked,
            seconds=time.perf_counter() - start,
            failures=failures,
            folder=place if keep(waves or bool(failures)) else None,
        )
    return result


class _Simulation:
    """The simulation of a generated design, with or without waves."""

    def __init__(self, generated: Generated, waves: bool):
        self.generated, self.waves = generated, waves
        self.top = generated.description["top"]
        self.verilator = verilator.find()
        self.compiler = verilator.compiler()
        self.folder = verilator.cache_folder() / f"bench-{self._digest(generated.verilog)}"
        """Holds the program, of the top module's name, once it is built."""

    def build(self) -> None:
        """Builds the program if the cache has none. Two processes may do so at the same time."""
        if self.folder.exists():
            return
        runtime = verilator.cache_folder() / f"bench-runtime-{self._digest('')}"
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="build-") as name:
            work, done = Path(name), Path(name) / "done"
            (work / f"{self.top}.v").write_text(self.generated.verilog)
            ports = [f'public_flat_rw -module "{self.top}" -var "{p}"' for p in self._ports()]
            (work / "ports.vlt").write_text("\n".join(["`verilator_config", *ports, ""]))
            # Verilator's runtime is kept object by object; make takes those that seem younger than its makefile.
            kept = list(runtime.glob("*.o"))
            for path in kept:
                later = time.time() + 3600
                os.utime(shutil.copy(path, work), (later, later))
            self._runner(
                "build",
                work / "log.txt",
                sources=[str(work / "ports.vlt"), str(work / f"{self.top}.v")],
                hdl_toplevel=self.top,
                build_dir=name,
                build_args=list(_BUILD_ARGUMENTS),
                waves=self.waves,
            )
            done.mkdir()
            shutil.copy(work / self.top, done)
            if not kept:
                fresh = work / "runtime"
                fresh.mkdir()
                for path in work.glob("verilated*.o"):
                    shutil.copy(path, fresh)
                _rename(fresh, runtime)
            _rename(done, self.folder)

    def run(
        self, folder: Path, module: str, blocks: int, seed: int, only: str | None, progress: Progress | None
    ) -> tuple[Report, tuple[Failure, ...]]:
        """Runs the tests of a module, and returns its report and the tests that failed."""
        results, report = folder / "results.xml", folder / "report.json"
        for path in (results, report):
            path.unlink(missing_ok=True)
        Settings(self.generated.description, blocks, str(report)).save(folder / "settings.json")

        def watch() -> None:
            if progress and report.exists():
                seen = Report.load(report)
                progress(max(0, seen.begun - 1), seen.tests)

        self._runner(
            "test",
            folder / "log.txt",
            watch,
            {VARIABLE: str(folder / "settings.json")},
            test_module=module,
            hdl_toplevel=self.top,
            hdl_toplevel_lang="verilog",
            build_dir=str(self.folder),
            test_dir=str(folder),
            results_xml=str(results),
            seed=seed,
            test_filter=only,
            waves=self.waves,
        )
        if not results.exists():
            raise ToolError(_ended(folder / "log.txt", "there are no results"))
        found, cases = Report.load(report), list(ElementTree.parse(results).iter("testcase"))
        failures = tuple(failure for case in cases for failure in _failures(case))
        if not cases or found.passed + len(failures) != len(cases):
            raise ToolError(_ended(folder / "log.txt", f"{len(cases)} tests, but {found.passed} reported to pass"))
        if progress:
            progress(found.tests, found.tests)
        return found, failures

    def _runner(
        self,
        command: str,
        log: Path,
        watch: Callable[[], None] = lambda: None,
        variables: dict[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        """Has cocotb's runner do something in a process of its own, and calls `watch` now and then."""
        environment = self.verilator.environment()
        for name in [name for name in environment if name.startswith("COCOTB_") or name in _STEERING]:
            del environment[name]
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **(variables or {})}
        environment["MAKEFLAGS"] += f" {_MAKE} CXX={self.compiler[0]}"
        call = [sys.executable, "-m", "sim.benches", command, json.dumps(arguments)]
        with (
            log.open("w") as file,
            subprocess.Popen(call, env=environment, stdout=file, stderr=file, start_new_session=True) as process,
        ):
            try:
                while process.poll() is None:
                    watch()
                    time.sleep(0.05)
            except BaseException:
                # The compilers and the simulation are children of the runner: all of them have to go.
                os.killpg(process.pid, signal.SIGTERM)
                raise
        if process.returncode:
            raise ToolError(_ended(log, f"exit code {process.returncode}"))

    def _ports(self) -> Iterator[str]:
        return (port["name"] for port in self.generated.description["ports"])

    def _digest(self, text: str) -> str:
        tools = [self.verilator.version, self.verilator.revision, self.compiler, version("cocotb"), sys.prefix]
        parts = [tools, _BUILD_ARGUMENTS, _MAKE, self.waves, self.top if text else "", text]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _failures(case: ElementTree.Element) -> Iterator[Failure]:
    """The failure of a test, if it failed, from cocotb's results."""
    for element in (*case.iter("failure"), *case.iter("error")):
        yield Failure(case.get("name", ""), element.get("message", ""))


def _text(format: Format) -> str:
    return f"q={format.q} β={','.join(map(str, format.betas))}"


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").rstrip().splitlines()[-TAIL:]


def _ended(log: Path, why: str) -> str:
    return "\n".join([f"cocotb failed ({why}):", *_tail(log)])


def _rename(source: Path, target: Path) -> None:
    """Moves a folder to where another process may have put the same in the meantime."""
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise


@contextmanager
def _folder(given: Path | None, name: str) -> Iterator[tuple[Path, Callable[[bool], bool]]]:
    """The folder of a run, and a function that says whether it stays, given whether there is a reason.

    One that was not asked for is removed at the end, unless there was a reason or an error.
    """
    if given:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute(), lambda _: True
        return
    place = Path(tempfile.mkdtemp(prefix=f"gosset-{name}-"))
    stays = True

    def keep(reason: bool) -> bool:
        nonlocal stays
        stays = reason
        return reason

    yield place, keep
    if not stays:
        shutil.rmtree(place)


def _format_of(design: DesignPoint | Format) -> Format:
    return design.format if isinstance(design, DesignPoint) else design


@cache
def _decoder(design: DesignPoint | Format) -> Generated:
    format = _format_of(design)
    return generate(Decoder(format), "bench_decoder", format=asdict(format), latency=Decoder.LATENCY)


@cache
def _cell(design: DesignPoint | Format) -> Generated:
    format = _format_of(design)
    side, multiply = packed_operand(format), isinstance(design, DesignPoint) and design.dsp_cols > 0
    cell = Cell(side, side, multiply=multiply)
    return generate(cell, "bench_cell", format=asdict(format), latency=Cell.DEPTH, multiply=multiply)


@cache
def _array(design: DesignPoint | Format) -> Generated:
    point = _point(design, "array")
    return generate(OutputStationaryArray(point), "bench_array", design=point.as_dict(), latency=latency(point))


@cache
def _accelerator(design: DesignPoint | Format) -> Generated:
    return generate_design(_point(design, "accelerator"))


@cache
def _axi_memory(design: DesignPoint | Format) -> Generated:
    return generate_axi(_point(design, "AXI memory top"), "axi")


def with_example(generated: Generated) -> Generated:
    """The accelerator with an AXI4 memory port, and beside it the system in which it runs a layer."""
    text = Path(__file__).with_name("benches").joinpath("layer.py").read_text()
    return replace(generated, files=generated.files | {f"{generated.description['top']}_layer.py": text})


@cache
def _axi_stream(design: DesignPoint | Format) -> Generated:
    return generate_axi(_point(design, "AXI stream top"), "axis")


@cache
def _axi_raw(design: DesignPoint | Format) -> Generated:
    point = _point(design, "AXI stream top with a front end")
    rules = FrontEndRules(format=point.format, length=16, scale="rms", row_blocks=32)
    return generate_axi(replace(point, name=f"{point.name}_raw", front_end=rules), "axis")


def _point(design: DesignPoint | Format, name: str) -> DesignPoint:
    if isinstance(design, DesignPoint):
        return design
    raise GossetError(f"The bench of the {name} needs a design point, not only a format.")


BENCHES = {
    "decoder": Bench("sim.benches.decoder", 1000, _decoder),
    "cell": Bench("sim.benches.cell", 2000, _cell),
    "array": Bench("sim.benches.array", 500, _array),
    "accelerator": Bench("sim.benches.accelerator", 300, _accelerator),
    "axi_memory": Bench("sim.benches.axi_memory", 50, _axi_memory),
    "axi_stream": Bench("sim.benches.axi_stream", 50, _axi_stream),
    "axi_raw": Bench("sim.benches.axi_raw", 50, _axi_raw),
}
"""The testbenches by name."""

SMALL = DesignPoint(name="uneven", rows=3, cols=2, panel_rows=9, x_depth=32, w_depth=16)
"""A small design point whose edges differ, with memories that most products do not fit."""

STATIONARY = replace(SMALL, name="uneven_ws", dataflow="ws", w_depth=0, activations=("packed", "int8"))
"""The same, weight-stationary, and with int8 activations as well."""

MULTIPLYING = replace(SMALL, name="uneven_dsp", dsp_cols=1)
"""The small one with multipliers in the cells of its second column."""

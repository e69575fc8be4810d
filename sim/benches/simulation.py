"""The simulation of a bench: built with cocotb, kept in the cache, run in a process of its own."""

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
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from golden.errors import ToolError
from hw.generate import Generated
from sim.benches.result import Failure, tail
from sim.benches.settings import VARIABLE, Report, Settings
from sim.rtl import tools, verilator

Progress = Callable[[int, int], object]
"""Called with the tests that have ended, and how many there are."""

_BUILD_ARGUMENTS = (
    # Two-valued and the same in every run, as in sim.rtl.verilator.
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


class Simulation:
    """The simulation of a generated design, with or without waves."""

    def __init__(self, generated: Generated, waves: bool):
        self.generated, self.waves = generated, waves
        self.top = generated.description["top"]
        self.verilator = verilator.find()
        self.compiler = tools.compiler()
        self.folder = tools.cache_folder() / f"bench-{self._digest(generated.verilog)}"
        """Holds the program, of the top module's name, once it is built."""

    def build(self) -> None:
        """Builds the program if the cache has none. Two processes may do so at the same time."""
        if self.folder.exists():
            return
        runtime = tools.cache_folder() / f"bench-runtime-{self._digest('')}"
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


def _ended(log: Path, why: str) -> str:
    return "\n".join([f"cocotb failed ({why}):", *tail(log)])


def _rename(source: Path, target: Path) -> None:
    """Moves a folder to where another process may have put the same in the meantime."""
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise

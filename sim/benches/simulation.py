"""The simulation of a bench: built with cocotb, kept in the cache, run in a process of its own."""

import hashlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from golden import process
from golden.errors import ToolError
from hw.generate import Generated
from sim.benches import coverage
from sim.benches.result import Failure, tail
from sim.benches.settings import VARIABLE, Mutants, Report, Settings
from sim.rtl import cache, tools, verilator

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

# For anything that is worth a bench cocotb takes longer than the model, optimised or not. One file of C++ instead of
# many, as its headers take longer than the design.
_MAKE = {"OPT_FAST": "-O0", "OPT_GLOBAL": "-O1", "VM_PARALLEL_BUILDS": "0"}


class Simulation:
    """The simulation of a generated design, with or without waves, and counting what it goes through or not."""

    def __init__(self, generated: Generated, waves: bool, *, covers: bool = False):
        self.generated, self.waves = generated, waves
        self.arguments = (*_BUILD_ARGUMENTS, *(coverage.ARGUMENTS if covers else ()))
        self.top = generated.description["top"]
        self.verilator = verilator.find()
        self.compiler = tools.compiler()
        self.name = f"bench-{self._digest(generated.verilog)}"
        """Of the program in the cache."""

    def build(self) -> Path:
        """Returns the folder of the program, built if the cache has none. Two processes may do so at the same time."""
        if entry := cache.find(self.name):
            return entry
        tools.need("make")
        tools.check_compiler(self.compiler[0])
        runtime = f"bench-runtime-{self._digest('')}"
        with cache.workplace() as work:
            (work / f"{self.top}.v").write_text(self.generated.verilog, encoding="utf-8")
            ports = [f'public_flat_rw -module "{self.top}" -var "{p}"' for p in self._ports()]
            (work / "ports.vlt").write_text("\n".join(["`verilator_config", *ports, ""]), encoding="utf-8")
            # Verilator's runtime is kept object by object; make takes those that seem younger than its makefile.
            kept = cache.find(runtime)
            for path in kept.glob("*.o") if kept else ():
                later = time.time() + 3600
                os.utime(shutil.copy(path, work), (later, later))
            self._runner(
                "build",
                work / "log.txt",
                sources=[str(work / "ports.vlt"), str(work / f"{self.top}.v")],
                hdl_toplevel=self.top,
                build_dir=str(work),
                build_args=list(self.arguments),
                waves=self.waves,
            )
            if not kept:
                cache.keep(runtime, work.glob("verilated*.o"), work)
            return cache.keep(self.name, [work / self.top], work)

    def run(
        self,
        program: Path,
        folder: Path,
        module: str,
        blocks: int,
        seed: int,
        only: str | None,
        progress: Progress | None,
    ) -> tuple[Report, tuple[Failure, ...]]:
        """Runs the tests of a module with what `build` gave; returns its report and the tests that failed."""
        results, report = folder / "results.xml", folder / "report.json"
        for path in (results, report):
            path.unlink(missing_ok=True)
        Settings(self.generated.description, blocks, str(report)).save(folder / "settings.json")

        def watch() -> None:
            if progress and report.exists():
                seen = Report.load(report)
                progress(max(0, seen.begun - 1), seen.tests)

        self._test(folder, program, module, seed, only, watch)
        if not results.exists():
            raise ToolError(_ended(folder / "log.txt", "there are no results"))
        found, cases = Report.load(report), list(ElementTree.parse(results).iter("testcase"))
        failures = tuple(failure for case in cases for failure in _failures(case))
        if not cases or found.passed + len(failures) != len(cases):
            raise ToolError(_ended(folder / "log.txt", f"{len(cases)} tests, but {found.passed} reported to pass"))
        if progress:
            progress(found.tests, found.tests)
        return found, failures

    def try_mutants(
        self,
        program: Path,
        folder: Path,
        module: str,
        blocks: int,
        seed: int,
        mutants: Mutants,
        watch: Callable[[], None],
    ) -> None:
        """Runs the tests of a module once for each of the mutants in the Verilog, up to the first that fails."""
        report = str(folder / "report.json")
        Settings(self.generated.description, blocks, report, mutants).save(folder / "settings.json")
        self._test(folder, program, module, seed, None, watch, COCOTB_MAX_FAILURES="1", COCOTB_LOG_LEVEL="ERROR")

    def _test(
        self,
        folder: Path,
        program: Path,
        module: str,
        seed: int,
        only: str | None,
        watch: Callable[[], None],
        **variables: str,
    ) -> None:
        """Has cocotb run the tests of a module with the settings that are in the folder."""
        self._runner(
            "test",
            folder / "log.txt",
            watch,
            {VARIABLE: str(folder / "settings.json"), **variables},
            test_module=module,
            hdl_toplevel=self.top,
            hdl_toplevel_lang="verilog",
            build_dir=str(program),
            test_dir=str(folder),
            results_xml=str(folder / "results.xml"),
            seed=seed,
            test_filter=only,
            waves=self.waves,
        )

    def _runner(
        self,
        command: str,
        log: Path,
        watch: Callable[[], None] = lambda: None,
        variables: dict[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        """Has cocotb's runner do something in a process of its own, and calls `watch` now and then."""
        settled = self.verilator.variables(CXX=shlex.join(self.compiler[0]), **_MAKE)
        done = process.run_python(
            "sim.benches",
            command,
            json.dumps(arguments),
            variables=settled | (variables or {}),
            log=log,
            watch=watch,
        )
        if done.code:
            raise process.failed(replace(done, name="cocotb"), tail(log), folder=log.parent)

    def _ports(self) -> Iterator[str]:
        return (port["name"] for port in self.generated.description["ports"])

    def _digest(self, text: str) -> str:
        tools = [self.verilator.version, self.verilator.revision, self.compiler, version("cocotb"), sys.prefix]
        parts = [tools, self.arguments, _MAKE, self.waves, self.top if text else "", text]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _failures(case: ElementTree.Element) -> Iterator[Failure]:
    """The failure of a test, if it failed, from cocotb's results."""
    for element in (*case.iter("failure"), *case.iter("error")):
        yield Failure(case.get("name", ""), element.get("message", ""))


def _ended(log: Path, why: str) -> str:
    return "\n".join([f"cocotb failed ({why}):", *tail(log)])

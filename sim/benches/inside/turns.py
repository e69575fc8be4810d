"""Mutants take turns: the simulation splits into a process for each of them, as soon as its first test begins, as many
at a time as there are processors.

The interpreter, its modules and the model are loaded once; what a mutant costs is its own simulation, up to the test
that finds it.
"""

import atexit
import json
import os
import resource
import signal as signals
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from cocotb.handle import HierarchyObject

from sim.benches.inside.signals import signal
from sim.benches.settings import Mutants, Report, Settings

PATIENCE = 10
"""Times as long as the sound Verilog that a mutant may take."""

_current: list[Settings] = []
"""The settings of the mutant that this process is for."""


def taken() -> bool:
    """Whether this process is already that of a mutant."""
    return bool(_current)


def current(settings: Settings) -> Settings:
    """The settings of the mutant that this process is for; those given if it is for none."""
    return _current[0] if _current else settings


def take(dut: HierarchyObject, settings: Settings, mutants: Mutants) -> Settings:
    """Tries every mutant in a process of its own, and returns in each of these, never in the one that calls.

    A mutant is found by a test that fails; by an end of the process that is none of cocotb's; or by taking the
    processor many times as long as the Verilog without any.
    """
    limit, running = 0.0, dict[int, int]()
    left = [0, *mutants.numbers]
    while left or running:
        # The sound Verilog goes alone: its time is the measure of the others'.
        while left and len(running) < (os.cpu_count() or 1 if limit else 1):
            number = left.pop(0)
            sys.stdout.flush()
            child = os.fork()
            if not child:
                if limit:
                    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
                report, results = _papers(settings, number)
                os.environ["COCOTB_RESULTS_FILE"] = str(results)
                atexit.register(os._exit, 0)  # what else ends is waiting for threads that this process does not have
                _current.append(replace(settings, report=str(report)))
                signal(dut, mutants.port).value = number
                return _current[0]
            running[child] = number
        child, status, used = os.wait4(-1, 0)
        number = running.pop(child)
        seconds = used.ru_utime + used.ru_stime
        limit = limit or PATIENCE * seconds + 10
        report, results = _papers(settings, number)
        test, message = _found(report, results, status)
        line = {"number": number, "test": test, "message": message, "seconds": round(seconds, 3)}
        with Path(mutants.outcomes).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for path in (report, results):
            path.unlink(missing_ok=True)
    Path(os.environ["COCOTB_RESULTS_FILE"]).write_text("<testsuites />", encoding="utf-8")
    os._exit(0)


def _papers(settings: Settings, number: int) -> tuple[Path, Path]:
    """Where the report and the results of a mutant are."""
    report = Path(settings.report).with_name(f"report-{number}.json")
    return report, report.with_suffix(".xml")


def _found(report: Path, results: Path, status: int) -> tuple[str, str]:
    """The test that found a mutant and what it said, or empty strings."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        why = "it took too long" if number == signals.SIGXCPU else f"ended by {signals.Signals(number).name}"
        return f"test {Report.load(report).begun}", why
    cases = list(ElementTree.parse(results).iter("testcase")) if results.exists() else []
    for case in cases:
        for element in (*case.iter("failure"), *case.iter("error")):
            return case.get("name", ""), element.get("message", "")
    if not cases or Report.load(report).passed != len(cases):
        return f"test {Report.load(report).begun}", f"ended with exit code {os.WEXITSTATUS(status)}"
    return "", ""

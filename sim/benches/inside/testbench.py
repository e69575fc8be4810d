"""What all benches share: clock, reset, expectations, the report."""

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Generic, TypeVar, cast

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject, LogicObject
from cocotb.regression import TestGenerator
from cocotb.simtime import get_sim_time
from cocotb.triggers import ClockCycles, RisingEdge

from sim.benches.inside import turns
from sim.benches.inside.checks import Mismatch
from sim.benches.inside.signals import Stream, signal
from sim.benches.settings import Report, settings

PERIOD = 4
"""Steps per clock cycle: two for each level, so that something can happen in the middle of one."""

PATIENCE = 1000
"""Cycles without any result after which those that are missing are given up, beside what the work itself takes."""

SLOWNESS = 8
"""Times as long as it might take that something is waited for: pauses on every channel halve the speed, some of them
one after the other."""


def patience(work: int) -> int:
    """Cycles to wait for what takes so many beats, loaded and computed without a pause."""
    return PATIENCE + SLOWNESS * work


Item = TypeVar("Item")


class Testbench:
    """A design in simulation.

    Parameters
    ----------
    dut : HierarchyObject

    Attributes
    ----------
    rng : Generator
        Differs from test to test, and is the same in every run with the same seed.
    edge : RisingEdge
        Of the clock.
    checked : int
        Results that were equal to golden's.
    cases : Counter
        How often each of the cases was met that the bench is about (`about`, `met`).
    reset_cycles : int
        Cycles that a reset takes.
    """

    __test__ = False

    def __init__(self, dut: HierarchyObject):
        self.dut, self.settings = dut, turns.current(settings())
        self.format, self.blocks = self.settings.format, self.settings.blocks
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        description = self.settings.description
        self.clock, self.rst = cast("LogicObject", signal(dut, description["clock"])), signal(dut, description["reset"])
        self.reset_level = int(not description["reset"].endswith("n"))
        self.edge = RisingEdge(self.clock)
        self.resets = {"reset": self.rst, "reset_active_level": bool(self.reset_level)}
        """Has a model of cocotbext.axi forget what it was about when the design is reset."""
        self.streams = {s["name"]: Stream(dut, s) for s in description["streams"]}
        self.checked, self.reset_cycles = 0, 1
        self.cases: Counter[str] = Counter()
        self._resets: list[Callable[[], None]] = []
        self._watchers: list[Callable[[bool], None]] = []
        self._begin = get_sim_time("step")

    @property
    def cycle(self) -> int:
        """Number of the clock cycle."""
        return (get_sim_time("step") - self._begin) // PERIOD

    @property
    def in_reset(self) -> bool:
        """Whether the design is being reset."""
        return int(self.rst.value) == self.reset_level

    def about(self, *cases: str) -> None:
        """Names cases that some test of the bench should meet."""
        self.cases.update(dict.fromkeys(cases, 0))

    def met(self, case: str, times: int = 1) -> None:
        """A case was met so many times.

        Raises
        ------
        KeyError
            If the bench is not about it.
        """
        if case not in self.cases:
            raise KeyError(case)
        self.cases[case] += int(times)

    def on_reset(self, function: Callable[[], None]) -> None:
        """Has a function called when a reset has happened, so that what it forgets was offered during the reset."""
        self._resets.append(function)

    def each_cycle(self, function: Callable[[bool], None]) -> None:
        """Has a function called at each edge, with whether the design is being reset."""
        if not self._watchers:
            cocotb.start_soon(self._watch())
        self._watchers.append(function)

    async def _watch(self) -> None:
        while True:
            await self.edge
            in_reset = self.in_reset
            for function in self._watchers:
                function(in_reset)

    async def start(self) -> None:
        """Starts clock and report, and resets the design; of mutants, in a process for each."""
        if self.settings.mutants and not turns.taken():
            self.settings = turns.take(self.dut, self.settings, self.settings.mutants)
        path = Path(self.settings.report)
        report = Report.load(path)
        report.tests, report.begun = _tests(), report.begun + 1
        report.save(path)
        Clock(self.clock, PERIOD, unit="step").start(start_high=False)
        await self.reset()

    async def reset(self) -> None:
        """Resets the design."""
        self.rst.value = self.reset_level
        for _ in range(self.reset_cycles):
            await self.edge
        self.rst.value = 1 - self.reset_level
        for function in self._resets:
            function()

    async def cycles(self, number: int) -> None:
        """Waits for clock cycles."""
        await ClockCycles(self.clock, number)

    def finish(self) -> None:
        """Reports the test as passed."""
        if not self.checked:
            raise Mismatch("The test compared nothing.")
        path = Path(self.settings.report)
        report = Report.load(path)
        report.passed, report.checked = report.passed + 1, report.checked + self.checked
        report.cases = {case: report.cases.get(case, 0) + times for case, times in self.cases.items()}
        report.save(path)


def _tests() -> int:
    """How many tests this simulation runs."""
    module = import_module(os.environ["COCOTB_TEST_MODULES"])
    chosen = os.environ.get("COCOTB_TEST_FILTER", "")
    generators = (item for item in vars(module).values() if isinstance(item, TestGenerator))
    return sum(bool(re.search(chosen, test.fullname)) for item in generators for test in item.generate_tests())


class Scoreboard(Generic[Item]):
    """What has to come out, in order.

    Parameters
    ----------
    bench : Testbench
    what : str
        What an item is called.
    """

    def __init__(self, bench: Testbench, what: str):
        self.bench, self.what = bench, what
        self.waiting: deque[Item] = deque()
        self.taken = 0
        self.reset = f"reset while a {what} is to come"
        bench.about(self.reset)
        bench.on_reset(self._forget)

    def expect(self, items: Iterable[Item]) -> None:
        """Adds items."""
        self.waiting.extend(items)

    def _forget(self) -> None:
        self.bench.met(self.reset, bool(self.waiting))
        self.waiting.clear()

    def take(self) -> Item:
        """The next item, which has just come out."""
        if not self.waiting:
            raise Mismatch(f"A {self.what} more than expected came out, in cycle {self.bench.cycle}.")
        self.taken += 1
        return self.waiting.popleft()

    async def empty(self, work: int = 0) -> None:
        """Waits until all have come out, and a while longer, in which nothing else may; `work` is how many beats the
        longest of what lies between two of them can take."""
        before, most = -1, patience(work)
        while self.waiting:
            if self.taken == before:
                raise Mismatch(
                    f"{len(self.waiting)} {self.what}s are missing: none came out in {most} cycles, "
                    f"up to cycle {self.bench.cycle}. The next is {self.waiting[0]}."
                )
            before = self.taken
            for _ in range(most):
                if not self.waiting:
                    break
                await self.bench.edge
        await self.bench.cycles(50)

"""Claims on what the registers say of jobs: each that was taken counts as under way until it is refused or done; every
error sets its bit, which stays; and one that comes to a stop is told of by the watchdog.

What the core behind the registers does is not looked at here: it is taken to do anything.
"""

from typing import Any

from amaranth import Cat, Mux, Signal
from amaranth.lib import data

from hw.axi.control import Control
from hw.axi.map import diagnosis_layout
from hw.axi.memory import AxiMemoryTop, MemoryCore
from hw.design import DesignPoint
from hw.engine.planner import errors
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction
from sim.formal.rules import after_reset

DESIGN = DesignPoint(name="watched", rows=1, cols=1, jobs=2, diagnostics=True)
WATCHED = 2
"""Cycles from when nothing has moved for long enough to when the host can see it."""

CONTROL = "dut.core.core"
"""Where it is in the unit."""


def counted(h: Harness) -> tuple[Any, Signal, Signal]:
    """Registers, and anything behind them. Returns the ports, whether a reset was in the cycle before, and how many
    jobs are under way."""
    dut = h.place(Control(DESIGN, AxiMemoryTop.registers(DESIGN), errors(DESIGN), MemoryCore.FATAL))
    taken, refused = h.probe(f"{CONTROL}.taken", 1), dut.errors[: len(errors(DESIGN))].any()
    inside = Signal(16, name="inside")
    h.m.d.sync += inside.eq(Mux(dut.core_reset, 0, inside + taken - refused - dut.done))
    under_way, was_queued, was_refused, was_done = (
        h.probe(f"{CONTROL}.{name}") for name in ("under_way", "was_queued", "was_refused", "was_done")
    )
    late = (under_way + was_queued - was_refused - was_done)[: len(inside)]
    quiet = after_reset(h.m)
    h.prove("a reset resets what is behind them as well", ~quiet | dut.core_reset)
    h.prove("what was taken is under way until it is refused or done", quiet | (late == inside))
    return dut, quiet, under_way


def told(h: Harness) -> None:
    """Each bit of the register of errors; the halt; the interrupt."""
    (dut, quiet, _), registers = counted(h), f"{CONTROL}.registers"
    strobe, given = h.probe(f"{registers}.strobe"), h.probe(f"{registers}.data")
    write = h.probe(f"{registers}.write_error", 1)
    fields = AxiMemoryTop.registers(DESIGN).by_name["error"].fields
    own = {name: h.probe(f"{registers}.error_{name}_set", 1) for name in ("queue_full", "misaligned", "stuck")}
    happens = own | dict(zip((f.name for f in fields if f.name not in own), dut.errors, strict=True))
    for field in fields:
        name, bit, event = field.name, h.probe(f"{registers}.error_{field.name}"), happens[field.name]
        seen = write & strobe[field.low // 8] & given[field.low]
        h.prove(f"{name}: it is told of until the host has seen it", quiet | (bit == h.past(event | (bit & ~seen))))
        h.cover(f"{name}: it is told of", bit)
    fatal, halted = Cat(happens[name] for name in MemoryCore.FATAL).any(), h.probe(f"{CONTROL}.halted")
    h.prove("an error of the bus halts, until a reset", quiet | (halted == h.past((halted | fatal) & ~dut.core_reset)))
    h.prove("it runs, stops, or holds the reset", h.probe(f"{CONTROL}.fsm_state") <= 2)
    h.prove("nothing is taken then", ~halted | (dut.halt & ~h.probe(f"{CONTROL}.taken", 1)))
    status, enable = (h.probe(f"{registers}.irq_{name}_error") for name in ("status", "enable"))
    h.prove("each error is a cause of an interrupt", quiet | ~h.past(Cat(happens.values()).any()) | status)
    h.prove("and makes one, if it is enabled", quiet | ~h.past(status & enable) | dut.irq)


def watched(h: Harness) -> None:
    """A job under way while nothing moves."""
    (dut, quiet, under_way), registers = counted(h), f"{CONTROL}.registers"
    moved = data.View(diagnosis_layout(), dut.diagnosis).moved
    limit, bit = h.probe(f"{registers}.watchdog"), h.probe(f"{registers}.error_stuck")
    h.assume(quiet | ~under_way.any() | (limit == h.past(limit)))
    stands = under_way.any() & ~moved & ~dut.core_reset
    cycles, ends = Signal(33, name="cycles"), Signal(name="was_told")
    h.m.d.sync += [cycles.eq(Mux(stands, cycles + ~cycles[-1], 0)), ends.eq(stands & (ends | bit))]
    same = h.probe(f"{CONTROL}.still") == cycles
    h.prove("it counts the cycles in which nothing moves", quiet | cycles[-1] | same)
    late = under_way.any() & limit.any() & (cycles >= limit + WATCHED)
    h.prove("it is told of in time", ~late | ends | bit)
    h.cover("no later than that", late & ~ends & bit)
    h.cover("two jobs are under way", stands & (under_way == 2))


def claims() -> list[Claim]:
    """All of them."""
    return [
        Claim(
            "jobs_errors",
            "Whatever is behind the registers of a memory port with diagnostics does: a job that was taken counts as "
            "under way until it is refused or done; every error sets its bit, which stays until the host clears it, "
            "and is a cause of an interrupt; an error of the bus halts until a reset, and no job is taken then.",
            told,
            Induction(1, reach=10),
            Bug("an error of a write does not halt", r"= \| errors\[6:5\];", "= errors[5];"),
        ),
        Claim(
            "jobs_watchdog",
            "While a job is under way and nothing moves, no beat of the bus and none of the array, whatever is behind "
            f"the registers: the error `stuck` is told of {WATCHED} cycles after the time that the host set before. "
            "So a job ends, or moves, or its error is there.",
            watched,
            Induction(4, reach=18),
            Bug("it is only told of when a job is accepted", r"(error_stuck_set = .*);", r"\1 & accepted;"),
        ),
    ]

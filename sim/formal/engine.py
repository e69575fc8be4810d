"""Claims on the engine as a whole: a plan that it takes has its rows come out, all of them, within a bound.

What is left to do up to the end of a plan is a number (`sim.formal.work`). Each step makes it smaller, and a step is
made at least every so many cycles, where words come and rows are taken soon. What follows is proved with it: of the
cycles that a plan has for each of its steps, some are left until its end.

What is multiplied is not looked at here, see `sim.formal.products` and `sim.formal.arrays`.
"""

from functools import partial

from amaranth import Mux, Signal, Value
from amaranth.utils import bits_for

from hw.design import DesignPoint
from hw.engine.sequencer import latency, through_array
from sim.formal.claim import Bug, Claim
from sim.formal.ends import PATIENCE, lasts
from sim.formal.harness import Harness
from sim.formal.methods import Induction
from sim.formal.rules import after_reset
from sim.formal.work import ALL, MOST_TILES, OUTPUT_STATIONARY, WEIGHT_STATIONARY, Work, height


def finished(design: DesignPoint, h: Harness) -> None:
    """Rows that are finished."""
    work = Work(design, h)
    h.grant()
    work.finishes()


def done(design: DesignPoint, h: Harness) -> tuple[Work, Signal, Value, Value]:
    """A plan that the solver picks as it is taken, up to its last row. Returns whether it is picked in this cycle; what
    is left to do up to its end, in steps; and how many of them are made."""
    work = Work(design, h)
    work.finishes()
    h.grant()
    parts, run = work.parts, work.parts["run"]
    for name, what in {"x": "words of activations", "w": "words of weights", "run": "beats"}.items():
        work.less(what, parts[name].up_to(ALL, work.left[name]), work.fresh[name], work.steps[name])
    rest, fresh = run.up_to(ALL, work.rows) + work.pending, work.plan.tiles * work.plan.rows
    work.less("rows", rest, fresh, work.taken)

    # How many plans, up to the end of that one, there are in front of each part, and how many rows.
    place = {name: Signal(range(3), name=f"place_{name}") for name in parts}
    rows = Signal(bits_for(2 * MOST_TILES * design.panel_rows + design.drain_rows), name="rows_in_front")
    picked = h.wire(h.free("picks") & ~rows.any() & work.accepted, "picked")
    for name, part in parts.items():
        here = place[name]
        h.m.d.sync += here.eq(Mux(picked, part.plans + 1, here) - (work.ends[name] & (picked | here.any())))
        h.prove(f"{name}: it is not behind its plans", (here <= part.plans) & (rows.any() | ~here.any()))
    before = Mux(picked, rest + fresh, rows)
    h.m.d.sync += rows.eq(before - (work.taken & before.any()))
    filled = Mux(place["run"] > work.full_x, place["run"] - work.full_x, 0)
    h.prove("activations of the plan are filled as far as banks are full", place["x"] == filled)
    brought, begun = (parts[name].up_to(place[name], work.units[name]) for name in ("w", "run"))
    there = Mux(place["w"].any(), begun == brought + work.full_w, begun <= work.full_w)
    h.prove("its weights are brought as far as they are there", there)
    known = Mux(place["run"].any(), rows == run.up_to(place["run"], work.rows) + work.pending, rows <= work.pending)
    h.prove("its rows, and those in front of it, come out first", known)
    left = h.wire(sum((part.up_to(place[name], work.left[name]) for name, part in parts.items()), rows)[:8])
    steps = h.wire(sum((work.steps[name] & place[name].any() for name in parts), work.taken & rows.any())[:3])
    less = left == h.past((left - steps)[: len(left)])
    h.prove("each step brings its end nearer", after_reset(h.m) | h.past(~left.any()) | less)
    h.cover("the last row of a plan is taken while another plan is run", work.taken & (rows == 1) & run.there)
    return work, picked, left, steps


def ends(design: DesignPoint, h: Harness) -> None:
    """The same, where whoever brings words and takes rows is quick."""
    work, picked, left, steps = done(design, h)
    h.grant()
    dut, most = work.dut, bound(design)
    for ready, valid in ((dut.x_ready, dut.x_valid), (dut.w_ready, dut.w_valid), (dut.acc_valid, dut.acc_ready)):
        h.assume(lasts(h, ready & ~valid, PATIENCE))
    waits = left.any() & ~steps.any()
    waited, clock = Signal(range(most + 2), name="waited"), Signal(len(left) + bits_for(most + 1), name="clock")
    now = h.wire(Mux(h.past(picked), (most + 1) * left, clock)[: len(clock)], "now")
    h.m.d.sync += [waited.eq(Mux(waits, waited + 1, 0)), clock.eq(now - now.any())]
    h.prove("a step is made in time", waited + waits <= most)
    h.prove("its time is enough for what is left", now + waited >= (most + 1) * left)
    h.prove("its time is not over before its end", ~left.any() | now.any())
    h.cover("a step that takes as long", waited == most)


def bound(design: DesignPoint) -> int:
    """Cycles in a row without a step, at most: the last rows are on their way, and wait to be taken."""
    return latency(design) - 1 + PATIENCE


EARLY = {
    "os": Bug("a tile's weights stay for the next tile", r"= go & restart;", "= go & restart & last[3];"),
    "ws": Bug("a slice is sent before its weights are there", r"assign w_there = .*;", "assign w_there = 1'h1;"),
}
"""A bug of each dataflow."""


def claims() -> list[Claim]:
    """All of them."""
    found = []
    for design, what in ((OUTPUT_STATIONARY, "output-stationary"), (WEIGHT_STATIONARY, "weight-stationary")):
        name, most, tiles = f"engine_{design.dataflow}", bound(design), "tiles" if design.dataflow == "os" else "slices"
        size = f"An engine ({what}, {design.rows}×{design.cols} lean cells, two jobs, int8 as well)"
        found += [
            Claim(
                f"{name}_plans",
                f"{size} fills, brings and runs the same plans: the banks that are full are those that were filled and "
                f"not run, the {tiles} of weights that are there are those that were brought and not begun. A beat is "
                "sent exactly when its words are there and the way out is free, of a plan that is there.",
                partial(Work, design),
                Induction(1, reach=12),
                EARLY[design.dataflow],
            ),
            Claim(
                f"{name}_finished",
                f"{size} has room for every row that it finishes; rows leave the array when they are due, the last one "
                "of a job is marked as its end, and no other"
                + (", and tiles are finished as far apart as the array needs." if design.dataflow == "os" else "."),
                partial(finished, design),
                Induction(through_array(design) + height(design), reach=18),
                Bug("room that a row had is not given back", r"= acc__valid & r_en;", "= 1'h0;"),
            ),
            Claim(
                f"{name}_done",
                f"{size} takes exactly as many words for each plan as it has, sends as many beats and hands out as "
                "many rows, plan by plan; so what is left to do up to the end of a plan becomes less with each step.",
                partial(done, design),
                Induction(1, reach=18),
                Bug("a row tile, or row, is left out", r"(= plan__payload\[26:24\]) - 2'h2;", r"\1 - 2'h3;"),
            ),
            Claim(
                f"{name}_ends",
                f"{size} never stops: where words come and rows are taken after {PATIENCE} cycles at most, there are "
                f"never more than {most} cycles without a step up to a plan's end while it lasts; so that its last row "
                f"is taken within {most + 1} cycles for each step that is left when the plan is taken.",
                partial(ends, design),
                Induction(most + 2, reach=most + 12),
                Bug("the last row waits for another one behind it", r"= \| inner_level;", "= inner_level > 1'h1;"),
            ),
        ]
    return found

"""What an engine has to do, plan by plan, and what holds of it: for the claims of `sim.formal.engine`.

What is left to do up to the end of a plan is a number: words to be taken, beats to be sent into the array, rows to come
out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from amaranth import Cat, Const, Mux, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data
from amaranth.utils import bits_for

from golden.format import Format
from hw.design import DesignPoint
from hw.engine.keeper import kept_row
from hw.engine.planner import FIELD_BITS
from hw.engine.sequencer import Engine, through_array
from hw.values import register
from sim.formal.harness import Harness
from sim.formal.rules import after_reset

OUTPUT_STATIONARY = DesignPoint(
    name="engine",
    rows=2,
    cols=1,
    activations=("packed", "int8"),
    pipeline="lean",
    format=Format(2),
    x_depth=4,
    w_depth=4,
    panel_rows=4,
    jobs=2,
)
"""With every kind of waiting: tiles that take fewer beats than the array has rows, or have fewer rows; int8."""

WEIGHT_STATIONARY = replace(OUTPUT_STATIONARY, dataflow="ws", w_depth=0)

MOST_TILES = 2
"""Of a job."""

PLAN = ("rows", "tiles", "steps", "int8", "row_tiles", "tail", "x_words")
"""Of a plan, what an engine has to do with."""

ALL = Const(2)
"""The place of the last plan that a follower can have in front of it."""


def height(design: DesignPoint) -> int:
    """Rows that a beat finishes, at most."""
    return design.rows if design.dataflow == "os" else 1


@dataclass
class Follower:
    """What a follower of plans, whose queue has one place, has in front of it.

    Attributes
    ----------
    there, queued : Value
        Whether it is at a plan, and whether another one waits.
    now, following : view of a plan
        Of a single loop, which does not begin again, there is no present one.
    left : view of what its loops have left
    """

    there: Value
    queued: Value
    now: Any
    following: Any
    left: Any

    @property
    def plans(self) -> Value:
        """How many it has not ended."""
        return self.there + self.queued

    def up_to(self, place: Value, what: tuple[Value, Value]) -> Value:
        """What is left up to the end of the plan in this place, 1 being the next to end, of what is left of the present
        one and of the following one."""
        return Mux(self.there & place.any(), what[0], 0) + Mux(self.queued & (place > self.there), what[1], 0)


class Work:
    """An engine, whoever plans for it, and what it has to do; with what holds of all that.

    Parameters
    ----------
    design : DesignPoint
        Of lean cells, with a queue of two jobs.
    h : Harness

    Attributes
    ----------
    dut : namespace
        The engine's ports.
    plan : view
        The plan on offer.
    accepted, go, taken : Value
        Whether it is taken, a beat sent, a row taken.
    parts : dict of str to Follower
        Who fills the memory of activations, "x", who brings weights, "w", and who sends beats, "run".
    full_x, full_w : Value
        Banks of activations that are full, and tiles or slices of weights that are there and were not begun.
    steps, ends, left : dict of str to Value, and to pairs of Value
        Of each of them: whether it takes a word, or sends a beat; whether it ends a plan; what the present plan and the
        following one have left of words or beats.
    units : dict of str to pair of Value
        What they have left of tiles (output-stationary) or slices (weight-stationary), of "w" and "run".
    rows : pair of Value
        What they have left of rows.
    pending : Value
        Rows that are finished and not taken; `finishes` says what holds of them.
    """

    def __init__(self, design: DesignPoint, h: Harness):
        self.design, self.h, self.stationary = design, h, design.dataflow == "os"
        self.height = height(design)
        self.dut = dut = h.place(Engine(design))
        self.accepted, self.taken = dut.plan_valid & dut.plan_ready, dut.acc_valid & dut.acc_ready
        self.go = h.probe("dut.core.go", 1)
        count, tiles = range(-1, design.x_depth - 1), range(-1, (1 << FIELD_BITS) - 2)
        loops = {"digits": range(-1, 1), "steps": count, "rows": range(-1, design.panel_rows - 1), "tiles": tiles}
        order = ("digits", "steps", "rows", "tiles") if self.stationary else ("digits", "rows", "steps", "tiles")
        beside = {"tail": range(design.rows + 1), "gap": range(max(2, design.rows))} if self.stationary else {}
        self.parts = {
            "x": self._follower("fill_x", {"words": count}, {}),
            "w": self._follower("fill_w", {"steps": count, "tiles": tiles}, {}),
            "run": self._follower("run", {name: loops[name] for name in order}, {"int8": 1, **beside}),
        }
        self._plans()
        self._counts()
        self._banks()

    def _follower(self, part: str, loops: Mapping[str, ShapeLike], beside: Mapping[str, ShapeLike]) -> Follower:
        probe, path = self.h.probe, f"dut.core.follow_{part}"
        plan, left = data.StructLayout({**loops, **beside}), data.StructLayout({**loops})
        return Follower(
            probe(f"{path}.there"),
            probe(f"{path}.queue.r_rdy", 1),
            data.View(plan, probe(f"{path}.now", plan.size)) if len(loops) > 1 else None,
            data.View(plan, probe(f"{path}.queue.r_data", plan.size)),
            data.View(left, probe(f"{path}.left", left.size)),
        )

    def _plans(self) -> None:
        """Plans, as the planner makes them, with few tiles; those under way are such."""
        design, h, dut = self.design, self.h, self.dut
        fields = {name: len(getattr(dut, f"plan_{name}")) for name in PLAN}
        self.plan = given = data.View(data.StructLayout(fields), Cat(getattr(dut, f"plan_{name}") for name in PLAN))
        legal = (
            (given.x_words == given.row_tiles * (given.steps << given.int8)),
            given.x_words.any() & (given.x_words <= design.x_depth),
            given.tiles.any() & (given.tiles <= MOST_TILES),
            given.tail.any() & (given.tail <= self.height),
            ((given.row_tiles - 1) * self.height + given.tail == given.rows) & (given.rows <= design.panel_rows),
        )
        h.assume(~dut.plan_valid | Cat(legal).all())

        self.rounds = {"digits": 2, "steps": design.x_depth, "rows": design.panel_rows // self.height}
        self.rounds |= {"tiles": MOST_TILES, "words": design.x_depth}
        for who, part in self.parts.items():
            plans = [(part.there, part.left), (part.queued, part.following)]
            plans += [(part.there, part.now)] if part.now is not None else []
            for name in part.left.shape().members:
                sound = [~here | ((plan[name] >= -1) & (plan[name] <= self.rounds[name] - 2)) for here, plan in plans]
                sound += [~part.there | (part.left[name] <= part.now[name])] if part.now is not None else []
                h.prove(f"{who}: the {name} of a plan", Cat(sound).all())
        run = self.parts["run"]
        for when, here, plan in (("present", run.there, run.now), ("following", run.queued, run.following)):
            of_row = self._many(plan, "steps") << plan.int8
            same = [plan.digits == Mux(plan.int8, 0, -1), of_row * self._many(plan, "rows") <= design.x_depth]
            if self.stationary:
                same.append(plan.tail.any() & (plan.tail <= design.rows))
                same.append(plan.gap == Mux(of_row >= design.rows, 0, design.rows - of_row))
            h.prove(f"the {when} plan is as it was made", ~here | Cat(same).all())

    def _many(self, plan: Any, name: str) -> Value:
        """The rounds of a loop."""
        return (plan[name] + 2)[: bits_for(self.rounds[name])]

    def _counts(self) -> None:
        """What is left, from what each loop has left."""
        fill, bring, run = self.parts.values()
        h, dut, many, tall = self.h, self.dut, self._many, self.height
        self.first, last = h.probe("dut.core.first"), {name: run.left[name] == -1 for name in run.left.shape().members}
        self.finish, self.last_row = last["digits"] & last["steps"], last["rows"]
        inner = ("digits", "steps") if self.stationary else ("digits", "rows")
        begins = Cat(run.left[name] == run.now[name] for name in inner).all()
        h.prove("it knows where a tile or slice begins", Mux(run.there, self.first == begins, self.first))

        digits, steps, rows, tiles = (many(run.left, name) for name in ("digits", "steps", "rows", "tiles"))
        of_steps, of_rows, both = many(run.now, "steps"), many(run.now, "rows"), run.now.digits + 2
        next_steps, next_rows, next_tiles = (many(run.following, name) for name in ("steps", "rows", "tiles"))
        w_next = many(bring.following, "steps") * many(bring.following, "tiles")
        words = (many(bring.left, "tiles") - 1) * many(bring.now, "steps") + many(bring.left, "steps")
        w_step, w_ends = dut.w_valid & dut.w_ready, (bring.left.steps == -1) & (bring.left.tiles == -1)
        if self.stationary:
            self.in_tile = (steps - 1) * both + digits
            beats = ((tiles - 1) * of_rows + rows - 1) * of_steps * both + self.in_tile
            tail = run.now.tail
            of_tile, of_next = (of_rows - 1) * tall + tail, (next_rows - 1) * tall + run.following.tail
            rows_left = (tiles - 1) * of_tile + (rows - 1) * tall + tail
            self.units = {
                "w": (many(bring.left, "tiles"), many(bring.following, "tiles")),
                "run": (tiles, next_tiles),
            }
            w_words = words, w_next
        else:
            beats = ((tiles - 1) * of_steps + steps - 1) * of_rows * both + (rows - 1) * both + digits
            of_next = next_rows
            rows_left = (tiles - 1) * of_rows + Mux(last["steps"], rows, of_rows)
            to_begin = (tiles - 1) * of_steps + steps - ~self.first
            self.units = {"w": (words, w_next), "run": (to_begin, next_tiles * next_steps)}
            w_row, cells = h.probe("dut.core.w_row"), self.design.rows
            known = (w_row < cells) & (~w_row.any() | (bring.there & ~h.probe("dut.core.full")))
            h.prove("weights are counted in slices, and wait for those before them", known)
            w_words, w_ends = (words * cells - w_row, w_next * cells), w_ends & (w_row == cells - 1)
        self.rows = rows_left, next_tiles * of_next
        self.left = {
            "x": (many(fill.left, "words"), many(fill.following, "words")),
            "w": w_words,
            "run": (beats, next_tiles * next_rows * (next_steps << run.following.int8)),
        }
        self.steps = {"x": dut.x_valid & dut.x_ready, "w": w_step, "run": self.go}
        self.ends = {
            "x": self.steps["x"] & (fill.left.words == -1),
            "w": w_step & w_ends,
            "run": self.go & Cat(last.values()).all(),
        }
        weights = self.plan.tiles * self.plan.steps * (1 if self.stationary else self.design.rows)
        self.fresh = {"x": self.plan.x_words, "w": weights, "run": self.plan.tiles * self.plan.x_words}

    def _banks(self) -> None:
        """What is full is what was filled, or brought, and not run."""
        h, run = self.h, self.parts["run"]

        def turns(side: str) -> Value:
            reading, both, filling = (h.probe(f"dut.core.turns_{side}.{k}", 1) for k in ("reading", "both", "filling"))
            h.prove(f"{side}: two banks are full if one is", ~both | reading)
            wanted = self.parts[side].there & ~both
            h.prove(f"{side}: one is filled where one is free, and a plan there", filling == wanted)
            return reading + both

        self.full_x = turns("x")
        self.full_w = turns("w") if self.stationary else h.probe("dut.core.full")
        h.prove("x: what is full was filled and not run", self.parts["x"].plans + self.full_x == run.plans)
        brought, begun = (self.parts[name].up_to(ALL, self.units[name]) for name in ("w", "run"))
        h.prove("w: what is full was brought and not run", brought + self.full_w == begun)

        self.has_room, congested, there = h.probe("dut.core.has_room"), Const(0, 1), self.full_w | ~self.first
        if self.stationary:
            congested, since = h.probe("dut.core.congested"), h.probe("dut.core.since")
            clear = (self.first & congested) | (since + self.in_tile >= self.height)
            known = (since <= self.height) & (~run.there | clear)
            h.prove("a tile that has begun ends when the way out is free", known)
            h.cover("a short tile waits for the way out", run.there & congested & self.full_w.any())
            there = self.full_w.any()
        blocked = congested | (self.finish & ~self.has_room)
        h.prove("a beat is sent when all is there", self.go == (self.full_x.any() & there & ~blocked))
        h.prove("of a plan that is there", ~self.go | run.there)
        h.cover("weights are there and activations are not", self.full_w.any() & ~self.full_x.any())

    def finishes(self) -> None:
        """Rows that are finished, on their way through array and queue."""
        h, design, tall, through = self.h, self.design, self.height, through_array(self.design)
        run = self.parts["run"]
        rows = Mux(self.last_row, run.now.tail, tall) if self.stationary else 1
        finished = [h.wire(Mux(self.go & self.finish, rows, 0), "finished")]
        ended = [h.wire(self.ends["run"], "ended")]
        for age in range(1, through + tall):
            finished.append(register(h.m, f"finished_{age}", finished[-1], reset_less=False))
            ended.append(register(h.m, f"ended_{age}", ended[-1], reset_less=False))
        if tall > 1:
            apart = ~finished[0].any() | ~Cat(finished[1:tall]).any()
            h.prove("tiles are finished as far apart as the array has rows", apart)
        comes = [finished[through + r] > r for r in range(tall)]
        final = [ended[through + r] & (finished[through + r] == r + 1) for r in range(tall)]
        out = h.probe("dut.core.array.o__valid", 1)
        payload = h.probe("dut.core.array.o__payload", kept_row(design).size)
        h.prove("rows leave the array when they are due", out == Cat(comes).any())
        h.prove("the last one of a job is marked, and no other", ~out | (payload[-1] == Cat(final).any()))

        flying: Value = Const(0)
        for age in range(1, through + tall):
            gone = max(0, age - through)  # of the rows that were finished so many cycles ago
            flying = flying + Mux(finished[age] > gone, finished[age] - gone, 0)
        inner = h.probe("dut.core.queue.inner_level", bits_for(design.drain_rows - 1))
        h.prove("a row is in front where there are two", self.dut.acc_valid | (inner <= 1))
        self.pending = h.wire((flying + inner + self.dut.acc_valid)[: bits_for(2 * design.drain_rows)], "pending")
        room, set_aside = (h.probe(f"dut.core.{name}") for name in ("room", "set_aside"))
        h.prove("what is set aside is what was finished", set_aside == finished[1])
        h.prove("every row has room in the queue", room + self.pending == design.drain_rows + set_aside)
        h.prove("and no more are under way", self.pending <= design.drain_rows)
        enough = h.past(room >= tall + 2)
        h.prove("it knows whether there is room", after_reset(h.m) | (self.has_room == enough))
        h.cover("a row leaves the array behind another one", out & self.dut.acc_valid)

    def less(self, what: str, rest: Value, fresh: Value, step: Value) -> None:
        """Of all plans there is less left with each step, and more with each plan."""
        before = self.h.past((rest + Mux(self.accepted, fresh, 0) - step)[:8])
        self.h.prove(f"a job has as many {what} as its plan says", after_reset(self.h.m) | (rest[:8] == before))

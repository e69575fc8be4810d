"""The units around an array: of the front end, and the sequencer."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from amaranth import Cat, Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from golden.frontend import SEED, FrontEndRules, Multiplier
from golden.lattice import DIM
from golden.quantize import gaussian_scale
from hw.codec.encoder import Encoder, cycles_per_block, scaled_block
from hw.codec.frontend import FrontEnd, Scaler, multiplier
from hw.codec.hadamard import Rotator, raw_block, word_block
from hw.design import DesignPoint
from hw.engine.follower import Follower
from hw.engine.planner import Planner, job, plan
from hw.engine.sequencer import followers
from sim.silicon.gates import Stimulus
from sim.silicon.operands import RAW_RMS, Integers, Workload, bits, raw
from sim.silicon.units import Unit, component

WARM_UP = 272
"""Cycles until the whole of a front end is at work, or at rest after it was."""

START, STOP = 144, 208
"""The cycles between which blocks come to a unit that rests then: after reset, and whole segments of a row."""

JOB = {"rows": 16, "tiles": 4, "steps": 64}
"""Jobs of the sequencer, whose design has 8 rows of cells: a word of activations is read four times, one of
weights twice."""


class Sequencer(wiring.Component):
    """What makes beats of jobs: the planner and those who follow its plans, see `hw.engine.sequencer`.

    What asks whether memories and the way out are ready is not in it.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    i : In(stream of jobs)
    go : In(3)
        A word of activations came in, a word of weights did, a beat went out.
    o : Out
        What the followers say.
    """

    def __init__(self, design: DesignPoint):
        self._inner, self._planner = Module(), Planner(design)
        plans = stream.Signature(plan(design)).create(path=("plans",))
        self._followers = followers(self._inner, design, plans)
        wiring.connect(self._inner, self._planner.o, wiring.flipped(plans))
        super().__init__({"i": In(stream.Signature(job(design))), "go": In(3), "o": Out(len(_said(self._followers)))})

    def elaborate(self, platform: object) -> Module:
        """The planner; the followers, which are made before: what they say is as wide as it is."""
        m = self._inner
        m.submodules.planner = self._planner
        wiring.connect(m, wiring.flipped(self.i), self._planner.i)
        m.d.comb += [follower.go.eq(go) for follower, go in zip(self._followers, self.go, strict=True)]
        m.d.comb += self.o.eq(_said(self._followers))
        return m


def _said(made: list[Follower]) -> Value:
    """What followers are asked by an engine."""
    asked = [getattr(f, name) for f in made for name in ("there", "there_next", "now", "left", "last", "end")]
    return Cat(*(Value.cast(value) for value in asked), made[-1].after.gap)


def units() -> dict[str, Unit]:
    """The units around an array, by name."""
    rules, serial = FrontEndRules(), FrontEndRules(candidates="serial")
    made = [
        _unit("encoder_q16", lambda: Encoder(rules), partial(_scaled, rules)),
        _unit("encoder_serial_q16", lambda: Encoder(serial), partial(_scaled, serial)),
        _unit("rotator_128", lambda: Rotator(rules), partial(_raw, rules)),
        _unit("scaler_128", lambda: Scaler(rules), partial(_words, rules)),
        component("frontend_q16", lambda: FrontEnd(rules)),  # its energy is that of its parts
        _unit("sequencer", lambda: Sequencer(DesignPoint.load("silicon")), _jobs),
    ]
    return {unit.name: unit for unit in made}


def _unit(name: str, make: Callable[[], wiring.Component], compute: Callable[[Workload], Stimulus]) -> Unit:
    def idle(work: Workload) -> Stimulus:
        # Not still from the start: a unit that waits holds what came last.
        cycles = np.arange(WARM_UP + work.blocks)
        return {
            key: np.where(cycles < STOP, values, 0 if key in ("i_valid", "go") else values[STOP])
            for key, values in compute(work).items()
        }

    return component(name, make, {"compute": compute, "idle": idle}, warm_up=WARM_UP)


def _steady(work: Workload, stimulus: Stimulus) -> Stimulus:
    """Inputs for as many cycles as are counted and those before them, again from the start where they end."""
    return {name: np.resize(values, WARM_UP + work.blocks) for name, values in stimulus.items()}


def _raw(rules: FrontEndRules, work: Workload) -> Stimulus:
    """Raw rows, a block per cycle."""
    x, last = raw(work, rules)
    return _steady(
        work,
        {
            "seed": np.array([SEED]),
            "beat": np.array([1]),
            "i_x": bits(StructLayout({"x": raw_block(rules).members["x"]}), {"x": x}),
            **_stream(work, last),
        },
    )


def _words(rules: FrontEndRules, work: Workload) -> Stimulus:
    """Blocks as the rotator hands them over, and the multiplier of all of them."""
    words, scale, last = _rotated(rules, work)
    blocks = {"i_w": bits(StructLayout({"w": word_block(rules).members["w"]}), {"w": words.reshape(-1, DIM)})}
    given = bits(multiplier(rules), {"mantissa": scale.mantissa, "exponent": scale.exponent})
    return _steady(work, {**blocks, "multiplier": given, **_stream(work, last)})


def _scaled(rules: FrontEndRules, work: Workload) -> Stimulus:
    """Blocks as the scaler hands them over, one per as many cycles as the encoder takes for it."""
    words, scale, last = _rotated(rules, work)
    t = rules.scaled(words, scale).reshape(-1, DIM)
    blocks = {"i_t": bits(StructLayout({"t": scaled_block(rules).members["t"]}), {"t": t})}
    given = {"i_mantissa": scale.mantissa, "i_exponent": scale.exponent}
    return _steady(work, {**blocks, **given, **_stream(work, last, cycles_per_block(rules))})


def _rotated(rules: FrontEndRules, work: Workload) -> tuple[Integers, Multiplier, npt.NDArray[np.bool_]]:
    """Rotated rows in one, the multiplier that suits all of them, and which blocks are the last of a row."""
    x, last = raw(work, rules)
    scale = rules.multiplier([RAW_RMS * gaussian_scale(rules.format, "first")])
    return rules.rotate(x.reshape(1, -1)), scale, last


def _stream(work: Workload, last: npt.NDArray[np.bool_], every: int = 1) -> Stimulus:
    """A block every so many cycles."""
    cycles = np.arange(WARM_UP + work.blocks)
    return {"i_valid": ((cycles >= START) & (cycles % every == 0)).astype(np.int64), "i_last": last.astype(np.int64)}


def _jobs(work: Workload) -> Stimulus:
    """One job after the other, and a beat of it per cycle."""
    cycles = np.arange(WARM_UP + work.blocks)
    go = 4 + 2 * (cycles % (JOB["rows"] // DesignPoint.load("silicon").rows) == 0) + (cycles % JOB["tiles"] == 0)
    given = {f"i_{name}": np.array([value]) for name, value in (JOB | {"valid": 1}).items()}
    return _steady(work, given | {"go": go})

"""Runs and exchanges: what goes in, what comes out, and in how many cycles."""

import itertools
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from golden.errors import GossetError, ToolError
from sim.rtl.model import Model, Run
from tests.sim.rtl.designs import GOOD, MUTE, RNG, STOPS, TAGS, XS, assert_sums, beats


def test_layout(bench: Model) -> None:
    layout = bench.layout("y")
    assert [(item.port, item.offset, item.words, item.width) for item in layout.fields] == [
        ("y_tag", 0, 1, 8),
        ("y_sum", 1, 2, 41),
        ("y_wide", 3, 3, 70),
    ]
    assert (layout.words, layout.inward, bench.streams) == (6, False, ("a", "y", "t"))
    taken_apart = bench.layout("a").unpack(beats(bench))
    np.testing.assert_array_equal(taken_apart["a_tag"], TAGS)
    np.testing.assert_array_equal(taken_apart["a_x"], XS)


def test_run_at_full_speed(bench: Model) -> None:
    ran = bench.run({"a": beats(bench)}, {"y": len(TAGS)})
    assert_sums(bench, ran)
    assert ran.cycles == len(TAGS) + 1
    assert bench.cycles == 1 + ran.cycles
    assert (ran.streams["a"].beats, ran.streams["a"].stalled, ran.streams["a"].idle) == (len(TAGS), 0, 1)
    assert (ran.streams["y"].beats, ran.streams["y"].stalled, ran.streams["y"].idle) == (len(TAGS), 0, 1)
    assert (bench.io.a_valid, bench.io.y_ready) == (0, 0)


def step_by_step(model: Model, sent: np.ndarray, awaited: int) -> tuple[list[tuple[int, int]], int]:
    """The same job through ports and clock, one cycle at a time, in Python."""
    got: list[tuple[int, int]] = []
    waiting = list(sent)
    for cycle in itertools.count(1):
        model.io.a_valid = int(bool(waiting))
        if waiting:
            model.io.a_tag, model.io.a_x = int(waiting[0][0]), int(waiting[0][1]) | int(waiting[0][2]) << 32
        # Every third cycle of the consumer is a pause, so that the combinational ready goes up and down.
        model.io.y_ready = int(cycle % 3 != 0)
        taken = model.io.a_valid and model.io.a_ready
        if model.io.y_valid and model.io.y_ready:
            got.append((model.io.y_tag, model.io.y_sum))
        model.clock.tick()
        if taken:
            waiting.pop(0)
        if len(got) == awaited:
            return got, cycle
    raise AssertionError


def test_run_equals_single_steps(bench: Model) -> None:
    sent = beats(bench, 40)
    got, _ = step_by_step(bench, sent, 40)
    assert got == [(int(tag), int(x) + 1) for tag, x in zip(TAGS[:40], XS[:40], strict=True)]
    bench.io.a_valid = bench.io.y_ready = 0
    bench.reset()
    assert_sums(bench, bench.run({"a": sent}, {"y": 40}, stalls=0.3), 40)


@pytest.mark.parametrize("stalls", [0.5, {"a": 0.9}, {"y": 0.9}, {"a": 0.2, "y": 0.7}])
def test_stalls_lose_nothing_and_add_up(bench: Model, stalls: float | dict[str, float]) -> None:
    ran = bench.run({"a": beats(bench)}, {"y": len(TAGS)}, stalls=stalls, seed=3)
    assert_sums(bench, ran)
    assert ran.cycles > 1.2 * len(TAGS)
    assert bench.io.rude == 0
    for count in ran.streams.values():
        assert count.beats + count.stalled + count.idle == ran.cycles


def test_stalls_come_from_the_seed(folder: Path) -> None:
    def cycles(seed: int) -> int:
        with Model(folder / "bench.v") as model:
            model.reset()
            return model.run({"a": beats(model)}, {"y": len(TAGS)}, stalls=0.4, seed=seed).cycles

    assert cycles(1) == cycles(1)
    assert len({cycles(seed) for seed in range(5)}) > 1


def test_stall_probability_is_met(bench: Model) -> None:
    many = np.zeros((50_000, 3), np.uint32)
    ran = bench.run({"a": many}, {"y": len(many)}, stalls={"a": 0.25})
    assert ran.cycles == pytest.approx(len(many) / 0.75, rel=0.02)


def test_what_is_not_awaited_is_left_for_the_next_run(bench: Model) -> None:
    sent = beats(bench)
    first = bench.run({"a": sent[:4]}, {"y": 3})
    second = bench.run({"a": sent[4:]}, {"y": len(sent) - 3})
    assert_sums(bench, Run({"y": np.concatenate([first.outputs["y"], second.outputs["y"]])}, 0, {}))


def test_output_that_gave_its_beats_waits_for_the_others(bench: Model) -> None:
    first = bench.run({"a": beats(bench, 50)}, {"t": 3, "y": 50})
    second = bench.run({}, {"t": 2})
    assert (first.outputs["t"].tolist(), second.outputs["t"].tolist()) == ([[0], [1], [2]], [[3], [4]])


def test_run_without_outputs_ends_when_all_is_taken(bench: Model) -> None:
    ran = bench.run({"a": beats(bench, 1)}, {})
    assert (ran.cycles, ran.streams["a"].beats) == (1, 1)
    assert bench.run({}, {}).cycles == 0


def test_exchange_takes_what_comes(bench: Model) -> None:
    some = beats(bench, 30)
    first = bench.exchange({"a": some}, ["y"], 20)
    taken, came = first.streams["a"].beats, first.outputs["y"]
    assert first.cycles == 20 and len(came) == 19 and taken == 20
    rest = bench.exchange({"a": some[taken:]}, ["y"], 1000, max_idle=50)
    assert rest.streams["a"].beats == 10 and rest.cycles == 11 + 50
    both = Run({"y": np.concatenate([came, rest.outputs["y"]])}, 0, {})
    assert_sums(bench, both, 30)
    with pytest.raises(GossetError, match="at least one cycle"):
        bench.exchange({}, ["y"], 0)
    bench.io.mode = STOPS
    with pytest.raises(ToolError, match="stop"):
        bench.exchange({"a": some}, ["y"], 10)


def test_strided_input_is_taken_as_it_looks(bench: Model) -> None:
    ran = bench.run({"a": beats(bench)[::-1]}, {"y": len(TAGS)})
    np.testing.assert_array_equal(ran.outputs["y"][:, 0], TAGS[::-1])


def test_progress_moves_and_ends_at_the_end(bench: Model) -> None:
    seen: list[tuple[int, int]] = []
    many = np.zeros((20_000, 3), np.uint32)
    ran = bench.run({"a": many}, {"y": len(many)}, progress=lambda cycles, done: seen.append((cycles, done)))
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (ran.cycles, len(many))


def test_run_can_be_interrupted(bench: Model) -> None:
    """As Ctrl-C does, here by another signal: the handler raises while C++ is at work."""

    def handler(*_: object) -> None:
        raise InterruptedError

    old = signal.signal(signal.SIGALRM, handler)
    start = time.monotonic()
    try:
        bench.io.mode = MUTE
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(InterruptedError):
            bench.run({"a": beats(bench)}, {"y": 500}, max_idle=100_000_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - start < 3
    bench.io.mode = GOOD
    bench.reset()
    assert_sums(bench, bench.run({"a": beats(bench)}, {"y": 500}))


def test_streams_that_are_always_ready(folder: Path) -> None:
    x, h = RNG.integers(0, 1 << 32, 100, dtype=np.uint32), RNG.integers(0, 1 << 16, 100, dtype=np.uint16)
    with Model(folder / "pipe.v") as pipe:
        pipe.reset()
        sent = pipe.layout("a").pack({"a_x": x, "a_h": h})
        ran = pipe.run({"a": sent}, {"y": 10, "z": 100}, stalls=0.5)
        np.testing.assert_array_equal(ran.outputs["y"][:, 0], x[:10] * np.uint32(3))
        np.testing.assert_array_equal(ran.outputs["z"][:, 0], ~h)
        assert (ran.streams["a"].stalled, ran.streams["y"].beats, ran.streams["z"].beats) == (0, 100, 100)
        with pytest.raises(GossetError, match="y is always ready"):
            pipe.run({"a": sent}, {"y": 100}, stalls={"y": 0.5})

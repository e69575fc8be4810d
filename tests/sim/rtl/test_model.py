import gc
import itertools
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.errors import GossetError, ToolError
from sim.rtl.model import Model, RuleBroken, Run, Stuck, UnknownName

# A register stage whose ready is combinational, which can be told to misbehave and notices when its input does; a
# stream that always has something to give; and ports of every size.
BENCH = """
module bench(
  input clk, input rst, input [2:0] mode,
  input [7:0] a_tag, input [39:0] a_x, input a_valid, output a_ready,
  output [7:0] y_tag, output [40:0] y_sum, output [69:0] y_wide, output y_valid, input y_ready,
  input [99:0] word, output [99:0] inverted, input [15:0] half, output [15:0] swapped,
  input [3:0] address, output [70:0] stored,
  output [15:0] t_count, output t_valid, input t_ready, output reg rude
);
  localparam GOOD = 0, WITHDRAWS = 1, CHANGES = 2, WAITS = 3, MUTE = 4, STOPS = 5;
  reg full, turn, waiting;
  reg [47:0] offered;
  reg [15:0] given;
  reg [7:0] tag;
  reg [39:0] x;
  reg [70:0] store [15:0];
  wire give = y_valid & y_ready;
  assign a_ready = ~full | give;
  assign y_valid = full & (mode == WITHDRAWS ? turn : mode == WAITS ? y_ready : mode != MUTE);
  assign y_tag = mode == CHANGES ? tag ^ {7'd0, turn} : tag;
  assign y_sum = x + 41'd1;
  assign y_wide = {30'h2abcdef0, x};
  assign inverted = ~word;
  assign swapped = {half[7:0], half[15:8]};
  assign stored = store[address];
  assign t_count = given;
  assign t_valid = 1;
  ticks ticks_0(.clk(clk), .rst(rst));
  always @(posedge clk) begin
    if (mode == STOPS) $stop;
    turn <= ~turn;
    if (a_ready) begin full <= a_valid; tag <= a_tag; x <= a_x; end
    if (a_valid & a_ready) store[a_tag[3:0]] <= {31'd0, a_x};
    if (t_ready) given <= given + 1;
    waiting <= a_valid & ~a_ready;
    offered <= {a_tag, a_x};
    if (waiting & ~(a_valid & offered == {a_tag, a_x})) rude <= 1;
    if (rst) begin full <= 0; turn <= 0; given <= 0; waiting <= 0; rude <= 0; end
  end
endmodule

module ticks(input clk, input rst);
  reg [63:0] count;
  always @(posedge clk) count <= rst ? 0 : count + 1;
endmodule
"""
GOOD, WITHDRAWS, CHANGES, WAITS, MUTE, STOPS = range(6)


def port(name: str, direction: str, width: int) -> dict[str, Any]:
    return {"name": name, "direction": direction, "width": width}


BENCH_DESCRIPTION = {
    "top": "bench",
    "clock": "clk",
    "reset": "rst",
    "ports": [
        *(port(name, "in", 1) for name in ("clk", "rst", "a_valid", "y_ready", "t_ready")),
        *(port(name, "out", 1) for name in ("a_ready", "y_valid", "t_valid")),
        *(port("a_tag", "in", 8), port("a_x", "in", 40), port("y_tag", "out", 8), port("y_sum", "out", 41)),
        port("t_count", "out", 16),
        *(port("y_wide", "out", 70), port("word", "in", 100), port("inverted", "out", 100), port("mode", "in", 3)),
    ],
    "streams": [
        {"name": "a", "direction": "in", "always_ready": False, "payload": ["a_tag", "a_x"]},
        {"name": "y", "direction": "out", "always_ready": False, "payload": ["y_tag", "y_sum", "y_wide"]},
        {"name": "t", "direction": "out", "always_ready": False, "payload": ["t_count"]},
    ],
}

# Another design in the same process: streams without ready, one of them a cycle behind the other.
PIPE = """
module pipe(
  input clk, input rst, input a_valid, input [31:0] a_x, input [15:0] a_h,
  output reg y_valid, output reg [31:0] y_x, output reg z_valid, output reg [15:0] z_h
);
  reg [15:0] h;
  always @(posedge clk) begin
    y_valid <= a_valid & ~rst; y_x <= a_x * 3; h <= ~a_h;
    z_valid <= y_valid & ~rst; z_h <= h;
  end
endmodule
"""
PIPE_DESCRIPTION = {
    "top": "pipe",
    "clock": "clk",
    "reset": "rst",
    "ports": [
        *(port(name, "in", 1) for name in ("clk", "rst", "a_valid")),
        *(port("a_x", "in", 32), port("a_h", "in", 16)),
        *(port("y_valid", "out", 1), port("z_valid", "out", 1), port("y_x", "out", 32), port("z_h", "out", 16)),
    ],
    "streams": [
        {"name": "a", "direction": "in", "always_ready": True, "payload": ["a_x", "a_h"]},
        {"name": "y", "direction": "out", "always_ready": True, "payload": ["y_x"]},
        {"name": "z", "direction": "out", "always_ready": True, "payload": ["z_h"]},
    ],
}

RNG = np.random.default_rng(8)
TAGS = RNG.integers(0, 1 << 8, 500, dtype=np.uint32)
XS = RNG.integers(0, 1 << 40, 500, dtype=np.uint64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both designs; libraries are kept for the session."""
    path = tmp_path_factory.mktemp("designs")
    for name, text, description in (("bench", BENCH, BENCH_DESCRIPTION), ("pipe", PIPE, PIPE_DESCRIPTION)):
        (path / f"{name}.v").write_text(text)
        (path / f"{name}.json").write_text(json.dumps(description))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOSSET_CACHE", str(tmp_path_factory.getbasetemp() / "verilated"))
        yield path


@pytest.fixture
def bench(folder: Path) -> Iterator[Model]:
    with Model(folder / "bench.v") as model:
        model.reset()
        yield model


@pytest.fixture
def inside(folder: Path) -> Iterator[Model]:
    with Model(folder / "bench.v", public=True) as model:
        model.reset()
        yield model


def beats(model: Model, count: int = len(TAGS)) -> np.ndarray:
    return model.layout("a").pack({"a_tag": TAGS[:count], "a_x": XS[:count]})


def assert_sums(model: Model, run: Run, count: int = len(TAGS)) -> None:
    got = model.layout("y").unpack(run.outputs["y"])
    np.testing.assert_array_equal(got["y_tag"], TAGS[:count])
    np.testing.assert_array_equal(got["y_sum"], XS[:count] + 1)
    low = got["y_wide"][:, 0] | got["y_wide"][:, 1].astype(np.uint64) << 32
    np.testing.assert_array_equal(low & ((1 << 40) - 1), XS[:count])
    np.testing.assert_array_equal(low >> 40, 0x2ABCDEF0 & 0xFFFFFF)
    np.testing.assert_array_equal(got["y_wide"][:, 2], 0x2ABCDEF0 >> 24)


# ---- Ports and clock ----


def test_ports_of_every_size(bench: Model) -> None:
    value = 0x9_8765_4321_0FED_CBA9_8765_4321
    bench.io.word = value
    bench.io.half = 0x1234
    assert bench.io.inverted == value ^ ((1 << 100) - 1)
    assert bench.io.swapped == 0x3412
    assert bench.io.word == value
    bench.io.word = np.uint32(7)
    assert bench.io.inverted == (1 << 100) - 8
    assert {"clk", "word", "inverted", "a_valid", "y_wide"} <= set(dir(bench.io))


def test_outputs_follow_inputs_without_a_clock(bench: Model) -> None:
    bench.io.a_valid = 1
    bench.clock.tick()
    assert (bench.io.y_valid, bench.io.a_ready) == (1, 0)
    bench.io.y_ready = 1
    assert bench.io.a_ready == 1
    bench.io.y_ready = 0
    assert bench.io.a_ready == 0


def test_unknown_port_names_the_near_ones(bench: Model) -> None:
    with pytest.raises(UnknownName, match=r"bench has no port 'invert'.*inverted"):
        _ = bench.io.invert
    with pytest.raises(UnknownName, match="wrod"):
        bench.io.wrod = 1
    assert not hasattr(bench.io, "nothing")


@pytest.mark.parametrize("value", [256, -1, 1 << 70])
def test_value_must_fit(bench: Model, value: int) -> None:
    with pytest.raises(GossetError, match=rf"{value} does not fit a_tag, which has 8 bits"):
        bench.io.a_tag = value
    assert bench.io.a_tag == 0


def test_outputs_and_clock_cannot_be_written(bench: Model) -> None:
    with pytest.raises(GossetError, match="y_tag is an output"):
        bench.io.y_tag = 1
    with pytest.raises(GossetError, match=r"clk is the clock.*model\.clock\.tick"):
        bench.io.clk = 1


def test_clock_counts_cycles(bench: Model) -> None:
    assert bench.cycles == 1
    bench.clock.tick(41)
    assert bench.cycles == 42


def test_closed_model_says_so(folder: Path) -> None:
    model = Model(folder / "bench.v")
    model.close()
    model.close()
    write = partial(setattr, model.io, "word", 1)
    for use in (lambda: model.io.a_ready, write, model.clock.tick, model.reset, lambda: model.cycles):
        with pytest.raises(GossetError, match="closed"):
            use()


def test_stop_in_the_design_does_not_end_python(bench: Model) -> None:
    bench.io.mode = STOPS
    with pytest.raises(ToolError, match=r"bench failed: the design stopped .*bench\.v:\d+"):
        bench.clock.tick()
    with pytest.raises(ToolError, match="the design stopped"):
        bench.run({"a": beats(bench)}, {"y": 1})


# ---- Runs ----


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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a_tag": [1]}, "made of a_tag, a_x; got a_tag"),
        ({"a_tag": [1], "a_x": [1, 2]}, "different numbers of beats"),
        ({"a_tag": [256], "a_x": [1]}, "a_tag in stream a does not fit its 8 bits"),
        ({"a_tag": [1 << 32], "a_x": [1]}, "a_tag does not fit its 8 bits"),
        ({"a_tag": [1], "a_x": [1 << 40]}, "a_x in stream a does not fit its 40 bits"),
        ({"a_tag": [-1], "a_x": [1]}, "non-negative values; got -1"),
        ({"a_tag": [0.5], "a_x": [1]}, "integers of shape"),
    ],
)
def test_payload_that_cannot_be_packed(bench: Model, values: dict[str, Any], message: str) -> None:
    with pytest.raises(GossetError, match=message):
        bench.layout("a").pack(values)


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


def test_stuck_run_ends_and_tells_how_far_it_came(bench: Model) -> None:
    bench.io.mode = MUTE
    with pytest.raises(Stuck, match=r"for 1000 cycles.*a 1 of 500 beats, 1000 cycles valid.*y 0 of 500") as caught:
        bench.run({"a": beats(bench)}, {"y": 500}, max_idle=1000)
    assert caught.value.streams["a"].beats == 1
    assert bench.io.a_valid == 0


@pytest.mark.parametrize(
    ("mode", "rule"), [(WITHDRAWS, "withdrawn"), (CHANGES, "payload changed"), (WAITS, "valid waits for ready")]
)
def test_broken_rule_is_caught(bench: Model, mode: int, rule: str) -> None:
    bench.io.mode = mode
    with pytest.raises(RuleBroken, match=rf"Stream y broke a rule in cycle \d+ of the run: .*{rule}"):
        bench.run({"a": beats(bench)}, {"y": 500}, stalls={"y": 0.5})


def test_bad_arguments_of_a_run(bench: Model) -> None:
    good = beats(bench)
    too_wide = good.copy()
    too_wide[77, 0] = 256
    for inputs, outputs, stalls, message in [
        ({"a": good.astype(np.int64)}, {"y": 1}, 0.0, r"uint32 beats of shape \(beats, 3\); got int64"),
        ({"a": good[:, :2]}, {"y": 1}, 0.0, r"got uint32 of shape \(500, 2\)"),
        ({"a": too_wide}, {"y": 1}, 0.0, "a_tag in stream a does not fit its 8 bits"),
        ({"b": good}, {"y": 1}, 0.0, "no stream 'b'"),
        ({"y": good}, {"y": 1}, 0.0, "Stream y of bench is an output"),
        ({"a": good}, {"a": 1}, 0.0, "Stream a of bench is an input"),
        ({"a": good}, {"y": -1}, 0.0, "cannot await -1 beats of y"),
        ({"a": good}, {"y": 1}, 1.0, "from 0 to below 1; got 1.0"),
        ({"a": good}, {"y": 1}, {"z": 0.5}, "z, which is not a stream of this run"),
    ]:
        with pytest.raises(GossetError, match=message):
            bench.run(inputs, outputs, stalls=stalls)
    assert bench.cycles == 1


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


# ---- Several models ----


def test_models_do_not_disturb_each_other(folder: Path) -> None:
    with Model(folder / "bench.v") as one, Model(folder / "bench.v") as two, Model(folder / "pipe.v") as other:
        for model in (one, two, other):
            model.reset()
        one.io.a_valid = one.io.a_x = 1
        one.clock.tick()
        other.io.a_valid = 1
        other.io.a_x = 14
        other.clock.tick(2)
        assert (one.io.y_valid, one.io.y_sum, two.io.y_valid, other.io.y_x) == (1, 2, 0, 42)
        assert (one.cycles, two.cycles, other.cycles) == (2, 1, 3)


def test_models_run_in_threads(folder: Path) -> None:
    results: dict[int, Run] = {}

    def work(index: int) -> None:
        with Model(folder / "bench.v") as model:
            model.reset()
            results[index] = model.run({"a": beats(model)}, {"y": 500}, stalls=0.3, seed=index % 2)
            assert_sums(model, results[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[index].cycles for index in (2, 3)] == [results[index].cycles for index in (0, 1)]


def test_forgotten_model_is_freed(folder: Path) -> None:
    closer = Model(folder / "bench.v")._simulation._closer
    gc.collect()
    assert not closer.alive


# ---- Inside ----


def test_registers_inside(inside: Model) -> None:
    inside.clock.tick(5)
    assert inside.internals["ticks_0.count"] == 5
    inside.internals.ticks_0.count = (1 << 64) - 1
    assert inside.internals.ticks_0.count == (1 << 64) - 1
    inside.clock.tick()
    assert inside.internals["ticks_0.count"] == 0
    inside.internals["x"] = 99
    inside.internals.full = 1
    assert (inside.io.y_valid, inside.io.y_sum) == (1, 100)


def test_written_register_survives_pending_inputs(inside: Model) -> None:
    inside.io.half = 3
    inside.internals["x"] = 1234
    assert (inside.io.y_sum, inside.io.swapped) == (1235, 0x300)


def test_memory_inside(inside: Model) -> None:
    store = inside.internals["store"]
    assert len(store) == 16
    store[3] = 1 << 70
    inside.io.address = 3
    assert inside.io.stored == 1 << 70
    store[4:7] = [5, 6, 7]
    assert store[3:8] == [1 << 70, 5, 6, 7, 0]
    assert store[-1] == 0
    inside.run({"a": inside.layout("a").pack({"a_tag": [15], "a_x": [77]})}, {})
    assert list(store)[15] == 77
    with pytest.raises(IndexError):
        store[16] = 1
    with pytest.raises(GossetError, match=r"2 values do not fill 3 words"):
        store[:3] = [1, 2]
    with pytest.raises(GossetError, match="store is a memory of 16 words"):
        inside.internals.store = 1


def test_listing_the_inside(inside: Model) -> None:
    names = list(inside.internals)
    assert {"full", "store", "ticks_0.count"} <= set(names)
    assert len(names) == len(set(names)) == len(inside.internals)
    assert "ticks_0.count" in inside.internals
    assert set(inside.internals.ticks_0) == {"clk", "rst", "count"}
    assert "ticks_0" in dir(inside.internals)
    with pytest.raises(UnknownName, match=r"no signal inside 'ticks_0\.cuont'.*ticks_0\.count"):
        _ = inside.internals["ticks_0.cuont"]
    with pytest.raises(GossetError, match="does not fit full, which has 1 bits"):
        inside.internals.full = 2


def test_inside_is_closed_unless_public(bench: Model) -> None:
    for use in (lambda: bench.internals["full"], lambda: bench.internals.full, lambda: list(bench.internals)):
        with pytest.raises(GossetError, match="public=True"):
            use()


# ---- Waves and descriptions ----


def test_vcd_shows_every_edge(folder: Path, tmp_path: Path) -> None:
    waves = tmp_path / "new" / "bench.vcd"
    with Model(folder / "bench.v", trace=waves) as model:
        model.reset()
        model.run({"a": beats(model, 5)}, {"y": 5})
        cycles = model.cycles
    text = waves.read_text()
    assert " y_sum " in text
    assert " count " in text
    clock = next(line.split()[3] for line in text.splitlines() if line.strip().endswith(" clk $end"))
    assert text.splitlines().count(f"1{clock}") == cycles
    assert text.rstrip().splitlines()[-1].lstrip("#")
    assert f"#{2 * cycles - 1}\n" in text


def test_fst_or_what_it_needs(folder: Path, tmp_path: Path) -> None:
    waves = tmp_path / "bench.fst"
    compiler = shutil.which("c++")
    assert compiler
    probe = subprocess.run(
        [compiler, "-x", "c++", "-fsyntax-only", "-"],
        input=b"#include <lz4.h>\n#include <zlib.h>\n",
        capture_output=True,
    )
    if probe.returncode:
        with pytest.raises(ToolError, match=r"apt install liblz4-dev.*\.vcd needs nothing"):
            Model(folder / "bench.v", trace=waves)
        return
    with Model(folder / "bench.v", trace=waves) as model:
        model.run({"a": beats(model, 5)}, {"y": 5})
    assert waves.stat().st_size > 100


def test_waves_of_another_kind_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GossetError, match=r"\.fst or \.vcd; got bench\.ghw"):
        Model(folder / "bench.v", trace=tmp_path / "bench.ghw")


def test_missing_or_bad_description(folder: Path, tmp_path: Path) -> None:
    design = shutil.copy(folder / "bench.v", tmp_path)
    with pytest.raises(GossetError, match=r"bench\.json is missing"):
        Model(Path(design))
    without_ready = BENCH_DESCRIPTION | {"ports": BENCH_DESCRIPTION["ports"][:3]}
    for text in ("{", '{"top": "bench"}', json.dumps(without_ready)):
        (tmp_path / "bench.json").write_text(text)
        with pytest.raises(GossetError, match=r"bench\.json does not describe a design"):
            Model(Path(design))

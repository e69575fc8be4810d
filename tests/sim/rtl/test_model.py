"""A model of a design: its ports and its clock; many models in a process."""

import gc
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from golden.errors import GossetError, ToolError
from sim.rtl.model import Model, Run, UnknownName
from tests.sim.rtl.designs import STOPS, assert_sums, beats


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

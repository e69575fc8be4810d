"""A small layer on the Verilated top: every number is golden's, every cycle the model's, and the host does no more than
it says."""

from dataclasses import replace

import numpy as np
import pytest

from golden.encoder import Fixed, PackedLayer
from golden.errors import GossetError, ToolError
from golden.format import Format
from hw.design import DesignPoint
from sim.encoder import run
from sim.encoder.cli import steps_table
from sim.encoder.run import Rtl, with_layers
from sim.models.bus import bus_cycles
from tests.layers import random_layer

TOKENS, WIDTH, WIDE = 5, 32, 64
FORMAT = Format(4, (3,))


@pytest.fixture(scope="module")
def small():
    """A layer, its golden twin, an input, and the RTL: two panels of rows, and a K that is summed up on chip."""
    layer, x, *samples = random_layer(
        np.random.default_rng(3), width=WIDTH, wide=WIDE, heads=2, tokens=TOKENS, samples=5
    )
    base = DesignPoint(name="small", rows=2, cols=1, format=FORMAT, panel_rows=4, x_depth=8)
    design = replace(with_layers(base, layer), name="twin")
    packed = PackedLayer.of(layer, design.front_end, samples)
    told = []
    rtl = Rtl(packed, design, 30, lambda *step: told.append(step))
    yield x, Fixed(packed), rtl, told
    rtl.close()


def test_numbers_are_goldens_and_cycles_are_the_models(small, monkeypatch):
    x, golden, rtl, told = small
    written, write = [], rtl.write
    monkeypatch.setattr(rtl, "write", lambda name, values: (written.append(name), write(name, values)))
    np.testing.assert_array_equal(rtl.forward(x), golden.forward(x))
    for name, values in golden.values.items():
        np.testing.assert_array_equal(rtl.read(name), values, err_msg=name)
    for step in rtl.steps:
        assert step.compared and not step.wrong, step.difference
        assert step.counted.told == step.counted.cycles and step.counted.off == 0, step
    # What the host has a hand in: what goes into the layer, softmax, layer norm, GELU, layer norm.
    assert written == ["x", "weight", "middle", "active", "result"]
    # Heads by themselves, panels of rows, and K in pieces of which all but the last one's sums stay on chip.
    jobs = {step.name: (step.products, step.counted.jobs) for step in rtl.steps}
    assert jobs["query"] == (1, 2) and jobs["score"] == (2, 4) and jobs["narrow"] == (1, 4)
    # Of keys and values a head at a time goes to memory as codes, as many rows as a panel has.
    assert jobs["key codes"] == (2, 4) and jobs["value codes"] == (2, 8)
    assert any(job.keep for job in rtl.jobs) and any(job.add for job in rtl.jobs)
    assert {name for name, _, _ in told} == set(jobs)
    assert all(step.macs == 2 * TOKENS * TOKENS * WIDTH // 2 for step in rtl.steps if step.name in ("score", "mixed"))
    assert steps_table(rtl.steps, "").row_count == len(rtl.steps)


@pytest.mark.parametrize("what", ["weights", "results"])
def test_a_bit_that_flips_in_memory_is_noticed(small, monkeypatch, what):
    x, _, rtl, _ = small
    place, store, count = rtl.place, rtl.system.store, 0

    def flipped(image):
        nonlocal count
        count += 1
        return place(bytes([image[0] ^ 1]) + image[1:] if count == 20 else image)

    def flipped_beat(address, word, strobes):
        nonlocal count
        count += 1
        store(address, word ^ (count == 20), strobes)

    if what == "weights":
        monkeypatch.setattr(rtl, "place", flipped)
    else:
        monkeypatch.setattr(rtl.system, "store", flipped_beat)
    rtl.forward(x)
    wrong = [step for step in rtl.steps if step.wrong]
    assert wrong and "expected" in wrong[0].difference


def test_a_cycle_of_difference_is_noticed(small, monkeypatch):
    x, _, rtl, _ = small
    monkeypatch.setattr(run, "bus_cycles", lambda design, jobs, latency: bus_cycles(design, jobs, latency + 1))
    rtl.forward(x)
    assert all(step.counted.told != step.counted.cycles for step in rtl.steps if step.counted.jobs)


def test_a_job_that_is_refused_is_told_of(small):
    _, _, rtl, _ = small
    rtl.system.submit(replace(rtl.jobs[0], rows=5), 33, 1)
    with pytest.raises(ToolError, match="too_many_rows"):
        rtl.system.wait()


def test_a_front_end_that_it_was_not_packed_for_is_refused(small):
    with pytest.raises(GossetError, match="packed for another front end than that of plain"):
        Rtl(small[1].packed, DesignPoint(name="plain", rows=1, cols=1))

"""Runs that cannot end well, and what is said of them."""

from typing import Any

import numpy as np
import pytest

from golden.errors import GossetError
from sim.rtl.model import Model, RuleBroken, Stuck
from tests.sim.rtl.designs import CHANGES, MUTE, WAITS, WITHDRAWS, beats


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

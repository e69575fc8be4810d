"""Registers, wires and memories inside a design."""

import pytest

from golden.errors import GossetError
from sim.rtl.model import Model, UnknownName


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

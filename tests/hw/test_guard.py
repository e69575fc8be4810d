"""The generated hardware is what was last accepted: a refactor changes no module."""

import re

import pytest

import hw.array.cell
import hw.units
from tests.hw.guard import AMARANTH, SUBJECTS, accepted, changes, hashes, recorded


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_hardware_is_what_was_accepted(subject):
    made_by, before = accepted()
    if made_by != AMARANTH:
        pytest.skip(f"what was accepted is of {made_by}, and here is {AMARANTH}: make accept, on the commit before")
    changed = changes(before.get(subject, {}), hashes(subject))
    assert not changed, (
        f"{subject} changed in {', '.join(changed)}. If that is meant: make accept, and commit the file."
    )


def test_nothing_else_was_accepted():
    assert set(accepted()[1]) == set(SUBJECTS)


def test_a_change_is_told_by_module(monkeypatch):
    before = accepted()[1]["tiny"]
    square = hw.array.cell.square
    monkeypatch.setattr(hw.units, "_kept", {})
    monkeypatch.setattr(hw.array.cell, "square", lambda *a, **k: square(*a, **k) ^ 1)
    found = changes(before, hashes("tiny"))
    assert [re.sub(r"gosset_tiny__|_\d.*\d", "", name) for name in found] == ["cell (changed)", "norm (changed)"]


def test_nothing_reaches_yosys():
    with recorded() as sources:
        SUBJECTS["tiny"]()
    assert all(text.lstrip().startswith(("#", "attribute", "module")) for text in sources.values())

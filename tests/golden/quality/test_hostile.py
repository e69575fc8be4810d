import pytest

from golden.format import Format
from golden.quality.hostile import FAMILIES, judge


@pytest.mark.parametrize("name", FAMILIES)
def test_the_guarantee_holds(name):
    verdict = judge(FAMILIES[name], Format(8), rows=4 if name == "rank 1" else 16, draws=16 if name == "rank 1" else 4)
    assert verdict.holds


@pytest.mark.parametrize("name", ["one huge column", "constant rows", "deep holes", "graded columns"])
def test_it_fails_without_centring_and_rotation(name):
    verdict = judge(FAMILIES[name], Format(8), draws=2)
    assert verdict.without > 1.5 * verdict.bound

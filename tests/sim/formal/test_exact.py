"""Golden as formulas of integers says what golden says, and what is said of it can be wrong."""

import inspect
from unittest import mock

import numpy as np
import pytest
import z3

import golden.lattice
from golden.lattice import DIM, nearest
from sim.formal import nearest as claims
from sim.formal.exact import Terms


def number(value):
    return f"(- {-value})" if value < 0 else str(value)


def test_of_points():
    terms = Terms()
    made = golden.lattice.nearest_lanes([terms.integer(f"z{i}") for i in range(DIM)], unit=4)
    rows = np.random.default_rng(0).integers(-20, 20, size=(10, DIM))
    rows[0] = [2, 2, -2, -2, 6, 6, 6, 2]  # ties
    for row, point in zip(rows, nearest(rows, unit=4), strict=True):
        given = [f"(assert (= z{i} {number(v)}))" for i, v in enumerate(row)]
        equal = " ".join(f"(= {term} {number(p)})" for term, p in zip(made, point, strict=True))
        for denied, answer in ((f"(not (and {equal}))", z3.unsat), (f"(and {equal})", z3.sat)):
            solver = z3.Solver()
            solver.from_string("\n".join([*terms.lines, *given, f"(assert {denied})"]))
            assert solver.check() == answer


def test_what_is_not_known_is_an_error():
    terms = Terms()
    number, bit = terms.integer("n"), terms.bit("b")
    for wrong in (
        lambda: number & 3,
        lambda: number // -2,
        lambda: number + bit,
        lambda: number >> 1,
        lambda: bit < bit,
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError, match="no view"):
        number.view(np.int8)


@pytest.mark.parametrize(
    ("right", "wrong", "claim"),
    [
        ("turn[t][1] < turn[t][0]", "turn[t][0] < turn[t][1]", claims.least),
        ("least[0] * parity[0]\n", "least[0]\n", claims.least),
        ("low_right < low_left", "low_right < low_left + 2", claims.doubled),
    ],
)
def test_a_wrong_search_is_refuted(right, wrong, claim):
    source = inspect.getsource(golden.lattice.soft_decode)
    assert right in source
    scope = vars(golden.lattice).copy()
    exec(source.replace(right, wrong), scope)
    with mock.patch.object(golden.lattice, "soft_decode", scope["soft_decode"]):
        assert claim().check(60).status == "refuted"

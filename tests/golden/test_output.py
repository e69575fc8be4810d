"""The output stage's arithmetic: against exact fractions, at its limits, and what is refused."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.errors import GossetError
from golden.output import Columns, OutputRules, Rows

INT32 = st.one_of(st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1]), st.integers(-(2**31), 2**31 - 1))


@given(
    st.sampled_from(["int8", "int16", "int32"]), INT32, INT32, st.integers(0, 65535), st.integers(0, 63), st.booleans()
)
def test_it_is_the_nearest_integer_clipped(result, accumulator, bias, mantissa, shift, relu):
    rules = OutputRules(result=result)
    columns = Columns(*(np.array([value]) for value in (bias, mantissa, shift, relu)))
    exact = Fraction((accumulator + bias) * mantissa, 1 << shift)
    rounded = floor(exact + Fraction(1, 2))
    expected = min(max(rounded, 0 if relu else -1 << (rules.bits - 1)), (1 << (rules.bits - 1)) - 1)
    found = rules.finish(np.array([[accumulator]], dtype=np.int32), columns)
    assert found.dtype == result and found.tolist() == [[expected]]


@given(INT32, st.one_of(INT32, st.just(0)), st.integers(0, 65535), st.integers(0, 63), st.booleans())
def test_it_is_the_nearest_bfloat16(accumulator, bias, mantissa, shift, relu):
    columns = Columns(*(np.array([value]) for value in (bias, mantissa, shift, relu)))
    found = OutputRules(result="bfloat16").finish(np.array([[accumulator]], dtype=np.int32), columns)
    bits = int(found[0, 0])
    exact = Fraction((accumulator + bias) * mantissa, 1 << shift)
    if exact == 0 or (relu and exact < 0):
        assert bits == 0
        return

    def value(bits):
        return Fraction(float(np.array([bits << 16], dtype=np.uint32).view(np.float32)[0]))

    assert found.dtype == np.uint16 and (bits >> 15) == (exact < 0)
    distance, below, above = (abs(value(near) - exact) for near in (bits, bits - 1, bits + 1))
    assert distance <= min(below, above)
    if distance in (below, above):
        assert bits % 2 == 0


@given(INT32, INT32, st.integers(0, 65535), st.integers(0, 63))
def test_a_row_is_multiplied_rounded_and_clipped_before_its_biases_are_added(accumulator, bias, mantissa, shift):
    columns = Columns(np.array([bias]), np.array([1]), np.array([2]), np.array([False]))
    rows = Rows(np.array([7, mantissa]), np.array([9, shift]))
    rounded = floor(Fraction(accumulator * mantissa, 1 << shift) + Fraction(1, 2))
    scaled = min(max(rounded, -(2**31)), 2**31 - 1)
    accumulators = np.array([[0], [accumulator]], dtype=np.int32)
    found = OutputRules(result="int32", row_scales=True).finish(accumulators, columns, rows)
    assert found.tolist() == [[floor(Fraction(bias + 2, 4))], [floor(Fraction(scaled + bias + 2, 4))]]


@pytest.mark.parametrize("row_scales", [False, True])
def test_rows_have_scales_or_none(row_scales):
    rows = None if row_scales else Rows.of([1.0])
    with pytest.raises(GossetError, match=r"rows of this output stage have (no )?scales"):
        OutputRules(row_scales=row_scales).finish(np.zeros((1, 1), np.int32), Columns.of([1.0], [0]), rows)


def test_int32_can_be_the_accumulators_themselves():
    accumulators = np.array([[-(2**31), 2**31 - 1, -1]], dtype=np.int32)
    found = OutputRules(result="int32").finish(accumulators, Columns.of(np.ones(3), np.zeros(3, int)))
    assert found.dtype == np.int32 and found.tolist() == accumulators.tolist()


def test_halves_go_upwards():
    columns = Columns(np.zeros(1, int), np.array([1]), np.array([1]), np.zeros(1, bool))
    found = OutputRules().finish(np.arange(-3, 4, dtype=np.int32)[:, None], columns)
    assert found.ravel().tolist() == [-1, -1, 0, 0, 1, 1, 2]


def test_scales_become_mantissas_as_long_as_can_be():
    scales = [0.0, 1.0, 0.3, 1e-3, 1.5e-9, 65535.0, 3e-15]
    columns = Columns.of(scales, [1] * 7, relu=True)
    back = columns.mantissa * 0.5**columns.shift
    assert np.abs(back[:6] - scales[:6]).max() <= 2**-17 * 65536 and columns.relu.all()
    np.testing.assert_allclose(back[1:6], scales[1:6], rtol=2**-16)
    assert columns.shift[-1] == 63 and len(columns) == 7


def test_words_hold_all_of_a_column():
    columns = Columns(np.array([-2, 5]), np.array([0xABCD, 1]), np.array([63, 0]), np.array([True, False]))
    assert [hex(word) for word in columns.words(3)] == ["0x7fabcdfffffffe", "0x100000005", "0x0"]
    assert columns.part(1, 5).bias.tolist() == [5]


def test_words_hold_all_of_a_row():
    rows = Rows(np.array([0xABCD, 1]), np.array([63, 0]))
    assert [hex(word) for word in rows.words()] == ["0x3fabcd", "0x1"] and rows.words().dtype == np.uint32
    assert rows.part(1, 5).mantissa.tolist() == [1] and len(rows) == 2


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("bias", [2**31], "bias of a column is from -2147483648"),
        ("mantissa", [-1], "mantissa of a column is from 0 to 65535"),
        ("mantissa", [0.5], "holds integers"),
        ("shift", [64], "shift of a column is from 0 to 63"),
        ("relu", [2], "relu of a column is from 0 to 1"),
        ("relu", [1, 1], "Each column has a bias"),
    ],
)
def test_what_is_out_of_range_is_refused(field, values, words):
    fields = {name: np.zeros(1, dtype=int) for name in ("bias", "mantissa", "shift", "relu")}
    with pytest.raises(GossetError, match=words):
        Columns(**fields | {field: np.array(values)})


@pytest.mark.parametrize(
    ("mantissa", "shift", "words"),
    [
        ([65536], [0], "mantissa of a row is from 0 to 65535"),
        ([0], [64], "shift of a row is from 0 to 63"),
        ([0], [1, 1], "Each row has a mantissa and a shift: shift is"),
    ],
)
def test_rows_out_of_range_are_refused(mantissa, shift, words):
    with pytest.raises(GossetError, match=words):
        Rows(np.array(mantissa), np.array(shift))


@pytest.mark.parametrize("scale", [-1.0, 65536.0, np.nan, np.inf])
def test_scales_out_of_range_are_refused(scale):
    with pytest.raises(GossetError, match="from 0 to below 65536"):
        Columns.of([scale], [0])
    with pytest.raises(GossetError, match="from 0 to below 65536"):
        Rows.of([scale])


def test_other_results_are_refused():
    with pytest.raises(GossetError, match="Results are int8 or int16 or int32 or bfloat16, not 'int4'"):
        OutputRules(result="int4")
    with pytest.raises(GossetError, match="row_scales is true or false, not 1"):
        OutputRules(row_scales=1)

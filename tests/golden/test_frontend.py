from fractions import Fraction
from math import floor

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.special import ndtri

from golden import voronoi
from golden.errors import GossetError
from golden.format import Format
from golden.frontend import SEED_BITS, TAPS, FrontEndRules, Gain, Multiplier
from golden.lattice import nearest
from golden.matmul import matmul
from golden.quantize import gaussian_scale, quantize, rms_scales
from golden.reciprocal import ADDITIONS, inverse, steps


def sqnr(x, y):
    return 10 * np.log10(np.square(x, dtype=np.float64).sum() / np.square(x - y, dtype=np.float64).sum())


def gaussian(rows, columns, seed=1):
    rng = np.random.default_rng(seed)
    return np.rint(rng.normal(size=(rows, columns)) * rng.uniform(500, 5000, (rows, 1))).astype(np.int64)


def test_the_signs_come_from_a_register_of_full_period():
    state, period = 1, 0
    while state != 1 or period == 0:
        state = (state >> 1) | ((sum(state >> tap for tap in TAPS) & 1) << (SEED_BITS - 1))
        period += 1
    assert period == (1 << SEED_BITS) - 1


@pytest.mark.parametrize("length", [8, 64, 1024])
def test_rotation_is_exact_and_the_host_can_do_it_too(length):
    rules = FrontEndRules(length=length)
    signs = rules.signs(12345)
    assert set(signs) == {-1, 1} and (rules.signs(0) == 1).all()
    x = np.random.default_rng(0).integers(-(1 << 15) + 1, 1 << 15, (3, 2048))
    w = rules.rotate(x, 12345)
    expected = (x.reshape(-1, length) * signs) @ hadamard(length)
    np.testing.assert_array_equal(w, expected.reshape(x.shape))
    np.testing.assert_allclose(rules.rotate_floats(x, 12345) * np.sqrt(length), w, atol=1e-5 * np.abs(w).max())


def test_transformed_words_fit_whatever_comes_in():
    rules = FrontEndRules(length=64)
    limit = 1 << (rules.word_bits - 1)
    for seed in (0, 0xBEEF):
        for pattern in (hadamard(64), -hadamard(64)):
            for signs in (1, rules.signs(seed)):
                w = rules.rotate(np.where(pattern * signs > 0, 32767, -32768), seed)
                assert -limit <= w.min() and w.max() < limit
    least = np.full((1, 8), -32768)
    assert FrontEndRules(length=8).rotate(least, 0)[0, 0] == -8 * 32768
    assert FrontEndRules(length=8).rotate(least, 0xFF)[0, 0] == 8 * 32767  # one more would not fit


def test_scaling_rounds_and_saturates_as_stated():
    rules, rng = FrontEndRules(length=8, fraction_bits=3), np.random.default_rng(0)
    w = rng.integers(-(1 << 18), 1 << 18, (200, 8))
    multiplier = Multiplier(rng.integers(32, 64, 200), rng.integers(4, 24, 200))
    limit = 1 << (rules.scaled_bits - 1)
    for row, mantissa, exponent, found in zip(w, *multiplier, rules.scaled(w, multiplier), strict=True):
        for word, t in zip(row, found, strict=True):
            a = floor(Fraction(int(word) << (3 + 6), 1 << int(exponent)) + Fraction(1, 2))
            a = min(max(a, -limit), limit - 1)
            assert t == floor(Fraction(a * int(mantissa), 64) + Fraction(1, 2))


def test_steps_make_every_odd_number():
    for number in range(1, 1 << 10, 2):
        value = 1
        for step in reversed(steps(number)):
            assert step.before == value
            value = (value << step.shift) + step.sign * (value if step.scaled else 1)
        assert value == number


def test_inverses_are_near_and_cheap():
    for beta in range(1, 16):
        constant = inverse(beta)
        assert abs(constant * beta / 4096 - 1) < 0.004
        assert len(steps(constant // (constant & -constant))) <= ADDITIONS


@pytest.mark.parametrize("q", voronoi.RATES)
def test_one_beta_of_one_is_nearest_and_label(q):
    rules = FrontEndRules(format=Format(q, (1,)))
    reach = (q + 1) << rules.fraction_bits
    t = np.random.default_rng(q).integers(-reach, reach, (50, 400))
    labels, index = rules.encode(t)
    points = nearest(t.reshape(50, -1, 8) / (1 << rules.fraction_bits))
    np.testing.assert_array_equal(labels, voronoi.encode(points, q))
    assert not index.any()


def test_the_smallest_beta_without_overload_is_chosen():
    rules = FrontEndRules(format=Format(8, (1, 2, 4)))
    top = 1 << (rules.scaled_bits - 1)
    t = np.random.default_rng(0).normal(size=(200, 800)) * np.geomspace(10, top, 200)[:, None]
    t = t.clip(-top, top - 1).astype(np.int64)
    labels, index = rules.encode(t)
    blocks = t.reshape(200, -1, 8)
    expected = np.full(index.shape, 2)
    for i in (1, 0):
        rounded = (blocks * inverse(1 << i) + 2048) >> 12
        fits = ~voronoi.overloads(nearest(rounded, unit=1 << rules.fraction_bits), 8)
        expected[fits] = i
    np.testing.assert_array_equal(index, expected)
    fits = index < 2
    y = voronoi.decode(labels, 8)
    error = blocks / (1 << rules.fraction_bits) / (1 << index)[..., None] - y
    assert np.square(error[fits]).sum(axis=-1).max() <= 2 + 0.5
    assert set(np.unique(index)) == {0, 1, 2}


@pytest.mark.parametrize("scale", ["host", "max", "rms"])
@pytest.mark.parametrize("q", [4, 16, 32])
def test_quality_is_that_of_the_float_quantiser(q, scale):
    fmt, columns = Format(q), 2048
    rules, x = FrontEndRules(format=fmt, length=64, scale=scale), gaussian(64, columns)
    rotated = rules.rotate_floats(x)
    if scale == "max":
        scales = np.abs(rotated).max(axis=1) * gaussian_scale(fmt, "first") / ndtri(1 - 0.5 / columns)
    else:
        scales = rms_scales(rotated, fmt, "first")
    packed, _ = rules.run(x, multiplier=rules.multiplier(scales) if scale == "host" else None)
    np.testing.assert_allclose(packed.scales, scales, rtol=0.016 if scale == "host" else 0.05)
    reference = quantize(rotated, fmt, selection="first", scales=scales)
    loss = sqnr(rotated, reference.dequantize()) - sqnr(rotated, packed.dequantize())
    assert loss < (0.1 if scale == "host" else 0.15)


def test_products_with_rotated_weights_are_products():
    rules, rng = FrontEndRules(scale="rms"), np.random.default_rng(3)
    x, w = gaussian(16, 1024), rng.normal(size=(16, 1024)).astype(np.float32)
    x[:, 0] = 8 * x[:, 0].clip(-4096, 4095)  # a heavy column, which the rotation spreads
    packed, _ = rules.run(x)
    product = matmul(packed, quantize(rules.rotate_floats(w), rules.format)).result
    assert sqnr(x @ w.T, product) > 19


def test_multipliers_are_the_nearest_there_are():
    rules = FrontEndRules(length=64)
    scales = np.concatenate([[0], np.geomspace(0.01, 500, 1000)])
    used = rules.multiplier(scales)
    np.testing.assert_allclose(rules.scales(used), scales, rtol=0.016)
    assert used.mantissa[0] == 0 and ((used.mantissa[1:] >= 32) & (used.mantissa[1:] < 64)).all()
    for other in (-1, 1):
        neighbour = rules.scales(Multiplier(used.mantissa + other, used.exponent))[1:]
        assert (
            np.abs(1 / neighbour - 1 / scales[1:]) >= 0.999 * np.abs(1 / rules.scales(used)[1:] - 1 / scales[1:])
        ).all()


@pytest.mark.parametrize("scale", ["max", "rms"])
def test_rows_of_every_size_are_measured(scale):
    rules = FrontEndRules(length=8, raw_bits=16, scale=scale)
    x = np.rint(np.random.default_rng(5).normal(size=(400, 512)) * np.geomspace(0.3, 8000, 400)[:, None])
    x = np.concatenate([x, np.full((1, 512), -32768), np.eye(1, 512), np.zeros((1, 512))]).astype(np.int64)
    gain = Gain(40, 5)
    used = rules.measured(x, gain)
    w = rules.rotate(x)
    statistic = np.abs(w).max(axis=1) if scale == "max" else np.sqrt(np.square(x).sum(axis=1))
    inside = used.exponent[:-1] > 0
    value = (used.mantissa * 2.0**-used.exponent)[:-1][inside]
    size = statistic[:-1][inside]
    off_by = 1 if scale == "max" else 0
    assert (value * (size + off_by) > 20 * 0.95).all() and (value * np.maximum(size - off_by, 1) < 20 * 1.05).all()
    assert np.count_nonzero(inside) > 390
    assert (used.mantissa[-1], used.exponent[-1]) == (0, 0)
    packed, _ = rules.run(x)
    assert not packed.labels[-1].any() and not packed.betas[-1].any() and packed.scales[-1] == 0


def test_both_ways_to_try_candidates_are_one_rule():
    x = gaussian(4, 256)
    a, b = (FrontEndRules(candidates=way, scale="rms").run(x)[0] for way in ("parallel", "serial"))
    np.testing.assert_array_equal(a.labels, b.labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": 12}, "power of two"),
        ({"length": 2048}, "from 8 to 1024"),
        ({"raw_bits": 3}, "from 4 to 24"),
        ({"raw_bits": 16.0}, "from 4 to 24"),
        ({"fraction_bits": 1}, "from 2 to 8"),
        ({"row_blocks": 0}, "from 1 to 4096"),
        ({"scale": "mean"}, "host, max, rms"),
        ({"candidates": "both"}, "parallel, serial"),
        ({"scale": "max", "row_blocks": 8}, "hold no segment"),
    ],
)
def test_what_is_out_of_range_is_refused(change, words):
    with pytest.raises(GossetError, match=words):
        FrontEndRules(**change)


def test_bad_rows_seeds_and_scales_are_refused():
    host, measured = FrontEndRules(length=64), FrontEndRules(length=64, scale="rms", row_blocks=16)
    good = np.zeros((2, 128), np.int64)
    for call, words in (
        (lambda: host.rotate(good[:, :100]), "whole segments"),
        (lambda: host.rotate(good.astype(float)), "integers"),
        (lambda: host.rotate(good + 32768), "16 bits"),
        (lambda: host.rotate(good, 1 << 16), "seed"),
        (lambda: host.run(good), "multiplier for every row"),
        (lambda: host.gain(128), "no gain"),
        (lambda: host.measured(good, Gain(40, 5)), "measures none"),
        (lambda: host.multiplier([1.0, np.nan]), "negative, NaN"),
        (lambda: host.multiplier([1e-6]), "are from"),
        (lambda: measured.gain(256), "at most 16 blocks"),
    ):
        with pytest.raises(GossetError, match=words):
            call()

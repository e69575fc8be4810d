import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.quantize import quantize
from golden.weights import LowRank, OutlierColumns, ldlq, proxy_loss


def layer(outputs=48, k=100, seed=50):
    """Weights, and the Hessian of inputs that live mostly in a quarter of the dimensions."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(k, k)) * np.geomspace(1, 0.01, k)
    x = rng.normal(size=(4 * k, k)) @ mix.T
    return rng.normal(size=(outputs, k)), x.T @ x / len(x)


@pytest.mark.parametrize("q", [4, 16])
def test_error_feedback_lowers_the_loss(q):
    w, h = layer()
    plain = proxy_loss(w, quantize(w, Format(q)).dequantize(), h)
    fed = ldlq(w, h, Format(q))
    assert proxy_loss(w, fed.dequantize(), h) < 0.6 * plain


def test_scales_are_those_best_for_the_outputs():
    w, h = layer()
    fed = ldlq(w, h, Format(4))
    least = proxy_loss(w, fed.dequantize(), h)
    assert not np.array_equal(fed.scales, quantize(w, Format(4)).scales)
    for factor in (0.999, 1.001):
        assert proxy_loss(w, factor * fed.dequantize(), h) > least


def test_without_correlation_it_is_rounding_to_the_nearest():
    w, _ = layer(k=64)
    w[5] = 0
    np.testing.assert_array_equal(ldlq(w, np.eye(64), Format()).labels, quantize(w, Format()).labels)


def test_low_rank_part_takes_what_is_low_rank():
    rng = np.random.default_rng(51)
    x = rng.normal(size=(64, 256)) + 20 * np.outer(rng.normal(size=64), rng.normal(size=256))
    coded = LowRank(Format(), 1)(x)
    plain = quantize(x, Format())
    assert np.square(x - coded.values).mean() < 0.02 * np.square(x - plain.dequantize()).mean()
    assert coded.bits_per_entry == pytest.approx(plain.bits_per_entry + 16 * (64 + 256) / (64 * 256))


def test_outlier_columns_are_kept():
    x = np.random.default_rng(52).normal(size=(64, 256))
    x[:, [3, 100]] *= 50
    coded = OutlierColumns(Format(), 2)(x)
    np.testing.assert_array_equal(coded.values[:, [3, 100]], x[:, [3, 100]].astype(np.float32).astype(np.float16))
    assert np.square(x - coded.values).mean() < 0.1 * np.square(x - quantize(x, Format()).dequantize()).mean()
    assert coded.bits_per_entry > 4.25 + 2 * 12 / 256


def test_bad_input_is_refused():
    w, h = layer(k=16)
    for call, message in (
        (lambda: ldlq(w, h[:8, :8], Format()), "16 × 16"),
        (lambda: ldlq(w, -1000 * np.eye(16), Format()), "positive"),
        (lambda: LowRank(Format(), 17)(w), "rank is from 1 to 16"),
        (lambda: OutlierColumns(Format(), 16)(w), "From 0 to 15"),
    ):
        with pytest.raises(GossetError, match=message):
            call()

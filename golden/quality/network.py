"""How well a network survives quantisation: MiniLM's embeddings and semantic search, per format, against float32."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from golden.format import Format
from golden.matmul import matmul
from golden.quality.minilm import Array, Float32, MiniLM, sentences
from golden.quantize import quantize, rms_scales
from golden.rivals import Codec
from golden.rivals.integers import IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.nestquant import BETA0_ACTIVATIONS, BETA0_WEIGHTS, NestQuant
from golden.universal import Rotation

NEIGHBOURS = 10


@dataclass
class PackedLinear:
    """Weights and activations packed; the product is the exact-integer one.

    Parameters
    ----------
    format : Format
    rotate : bool
        Whether both are rotated along the inner dimension first; it changes nothing but the rounding.
    """

    format: Format
    rotate: bool = True
    _seen: tuple[Any, Any] = field(default=(None, None), init=False, repr=False)

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """Packs the weights, with searched scales; activations get theirs from their RMS if rotated."""
        packed = quantize(self._rotated(weight), self.format)

        def product(x: Array) -> Array:
            if self._seen[0] is not x:  # query, key and value share their input
                y = self._rotated(x)
                scales = rms_scales(y, self.format) if self.rotate else None
                self._seen = x, quantize(y, self.format, scales=scales)
            return matmul(self._seen[1], packed).result

        return product

    def _rotated(self, x: Array) -> Array:
        return Rotation(x.shape[1]).forward(x) if self.rotate else x


@dataclass
class CodedLinear:
    """Weights and activations through a rival's codec; the product in float32.

    Parameters
    ----------
    weights, activations : Codec
    rotate : bool
    """

    weights: Codec
    activations: Codec
    rotate: bool = False
    _seen: tuple[Any, Any] = field(default=(None, None), init=False, repr=False)

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """Codes the weights."""
        values = self.weights(self._rotated(weight)).values

        def product(x: Array) -> Array:
            if self._seen[0] is not x:
                self._seen = x, self.activations(self._rotated(x)).values
            return self._seen[1] @ values.T

        return product

    def _rotated(self, x: Array) -> Array:
        return Rotation(x.shape[1]).forward(x) if self.rotate else x


def linears() -> dict[str, tuple[float, Any]]:
    """The formats compared: name -> (bits per entry without row scales, Linear)."""

    def coded(codec: Codec, rotate: bool = False) -> CodedLinear:
        return CodedLinear(codec, codec, rotate)

    table: dict[str, tuple[float, Any]] = {}
    for q in (32, 16, 8, 4):
        fmt = Format(q)
        table[f"E8 q={q}, rotated"] = fmt.bits_per_entry, PackedLinear(fmt)
    eight = Format(16, (6, 7, 8, 9, 10, 11, 12, 15))
    table["E8 q=16, 8 β, rotated"] = eight.bits_per_entry, PackedLinear(eight)
    for bits, group in ((4, 64), (4, 128), (3, 64)):
        table[f"int{bits}-g{group}"] = bits + 16 / group, coded(IntGroups(bits, group))
    for group in (64, 128):
        table[f"int4-g{group}, rotated"] = 4 + 16 / group, coded(IntGroups(4, group), rotate=True)
    table["MXFP4"], table["NVFP4"] = (4.25, coded(mxfp4)), (4.5, coded(nvfp4))
    table["MXFP4, rotated"], table["NVFP4, rotated"] = (4.25, coded(mxfp4, True)), (4.5, coded(nvfp4, True))
    nest = CodedLinear(NestQuant(betas=BETA0_WEIGHTS), NestQuant(betas=BETA0_ACTIVATIONS), rotate=True)
    table["NestQuant q=14, rotated"] = float(np.log2(14)) + 0.25, nest
    return table


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

    Returns
    -------
    name -> bits, cosine, rank_correlation, recall_at_10

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

    for name, (bits, linear) in linears().items():
        if names is None or name in names:
            add(name, bits, fidelity(reference, model.embed(text, linear)))
    for q in (16, 8, 4):
        name, fmt = f"search on packed codes, E8 q={q}", Format(q)
        if names is None or name in names:
            packed = quantize(Rotation(reference.shape[1]).forward(reference), fmt)
            restored = Rotation(reference.shape[1]).inverse(packed.dequantize())
            restored /= np.linalg.norm(restored, axis=1, keepdims=True)
            add(name, fmt.bits_per_entry, fidelity(reference, restored, matmul(packed, packed).result))
    return rows

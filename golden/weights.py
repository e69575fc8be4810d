"""Better weights for real layers: error feedback against a calibration Hessian, low-rank parts, outlier columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular

from golden.arrays import as_matrix, real, row_scales
from golden.errors import GossetError
from golden.format import Format, PackedMatrix, largest_scale
from golden.lattice import DIM
from golden.quantize import Progress, Rounding, quantize
from golden.rivals import Coded
from golden.rounding import choose
from golden.voronoi import encode_lanes, label_dtype


def ldlq(
    weight: ArrayLike,
    hessian: ArrayLike,
    fmt: Format,
    *,
    damping: float = 0.01,
    progress: Progress | None = None,
    rounding: Rounding = choose,
) -> PackedMatrix:
    """Quantises weights block by block, each block's error passed on to the blocks not yet quantised.

    Parameters
    ----------
    weight : real `(outputs, K)`
    hessian : real `(K, K)`
        E[x·xᵀ] over calibration inputs x, symmetric and positive semidefinite.
    fmt : Format
    damping : float
        Added to the Hessian's diagonal, times its mean.
    progress : callable, optional
        Called with the columns done and of all.
    rounding : callable
        As in `golden.quantize.quantize`.

    Returns
    -------
    PackedMatrix
        Of less proxy loss tr((W − Ŵ)·H·(W − Ŵ)ᵀ) than rounding to the nearest. Codes are those of the row scales that
        are best for the weights; in the end each scale is the one that is best for the outputs with these codes.

    Raises
    ------
    GossetError
        If the weights are no finite matrix or the Hessian does not fit them.

    Notes
    -----
    LDLQ (QuIP, arXiv 2307.13304; with blocks of 8 in QuIP#, arXiv 2402.04396), in the form of GPTQ (arXiv 2210.17323):
    with H⁻¹ = Uᵀ·U, U upper triangular, the error e of block b changes the later columns by −e·U_bb⁻¹·U_b,later.
    """
    w = as_matrix(weight)
    h = real(hessian, "A Hessian").astype(np.float64)
    rows, columns = w.shape
    if h.shape != (columns, columns) or not np.isfinite(h).all():
        raise GossetError(
            f"Weights of {columns} columns need a finite Hessian of {columns} × {columns}, but its shape is {h.shape}."
        )
    upper = _inverse_factor(h + np.eye(columns) * max(damping * float(np.trace(h)) / columns, 1e-12))
    scales = quantize(w, fmt, rounding=rounding).scales
    steps = scales[:, None].astype(np.float64)
    betas = np.array(fmt.betas, dtype=np.float64)
    rest = w.astype(np.float64)
    count = -(-columns // DIM)
    labels, index = np.zeros((rows, count), dtype=label_dtype(fmt.q)), np.zeros((rows, count), dtype=np.uint8)
    for block in range(count):
        part = slice(block * DIM, min((block + 1) * DIM, columns))
        width = part.stop - part.start
        x = np.zeros((DIM, rows, 1), dtype=np.float32)
        x[:width, :, 0] = rest[:, part].T
        point, picked, _ = rounding(list(x), scales, fmt, "opt")
        picked[scales == 0] = 0
        label = encode_lanes(point, fmt.q)
        label[scales == 0] = 0
        labels[:, block], index[:, block] = label[:, 0], picked[:, 0]
        values = steps * betas[picked] * np.stack([lane[:, 0] for lane in point[:width]], axis=1)
        feedback = solve_triangular(upper[part, part], upper[part, part.stop :])
        rest[:, part.stop :] -= (rest[:, part] - values) @ feedback
        if progress is not None:
            progress(part.stop, columns)
    return PackedMatrix(fmt, columns, labels, index, _refitted(w, h, labels, index, scales, fmt))


def _refitted(
    w: NDArray[np.float32],
    h: NDArray[np.float64],
    labels: NDArray[Any],
    index: NDArray[np.uint8],
    scales: NDArray[np.float32],
    fmt: Format,
) -> NDArray[np.float32]:
    """The row scales of least proxy loss with given codes: s·(w·H·ŵᵀ)/(ŵ·H·ŵᵀ), as long as all entries stay finite."""
    coded = PackedMatrix(fmt, w.shape[1], labels, index, scales)
    read = coded.dequantize().astype(np.float64)
    through = read @ h
    energy = np.sum(through * read, axis=1)
    ratio = np.divide(np.sum(through * w, axis=1), energy, out=np.ones_like(energy), where=energy > 0)
    most = largest_scale(np.abs(coded.integers).max(axis=1))
    better = np.minimum(row_scales(scales.astype(np.float64) * np.where(ratio > 0, ratio, 1)), most)
    return np.asarray(better, dtype=np.float32)


def proxy_loss(weight: ArrayLike, approximation: ArrayLike, hessian: ArrayLike) -> float:
    """tr((W − Ŵ)·H·(W − Ŵ)ᵀ) / tr(W·H·Wᵀ): the relative squared error of the layer's outputs."""
    w, h = np.asarray(weight, dtype=np.float64), np.asarray(hessian, dtype=np.float64)
    error = w - np.asarray(approximation, dtype=np.float64)
    return float(np.sum((error @ h) * error) / np.sum((w @ h) * w))


@dataclass(frozen=True)
class LowRank:
    """A float16 low-rank part beside the packed residual, found in turns (LQ-LoRA, arXiv 2311.12023).

    Parameters
    ----------
    format : Format
    rank : int
    rounds : int
        Of: the best low-rank part of what is not packed, then the packing of what is not low-rank.
    """

    format: Format
    rank: int
    rounds: int = 3

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Splits, quantises and reads back."""
        x = as_matrix(matrix)
        if not 1 <= self.rank <= min(x.shape):
            raise GossetError(f"The rank is from 1 to {min(x.shape)} for this matrix, but it is {self.rank}.")
        residual = np.zeros_like(x)
        for _ in range(self.rounds):
            u, s, v = np.linalg.svd(x - residual, full_matrices=False)
            root = np.sqrt(s[: self.rank])
            left, right = (
                (u[:, : self.rank] * root).astype(np.float16),
                (root[:, None] * v[: self.rank]).astype(np.float16),
            )
            low = left.astype(np.float32) @ right.astype(np.float32)
            packed = quantize(x - low, self.format)
            residual = packed.dequantize()
        return Coded(low + residual, packed.bits_per_entry + 16 * (left.size + right.size) / x.size)


@dataclass(frozen=True)
class OutlierColumns:
    """The columns of largest norm kept in float16, the others packed (the idea of LLM.int8(), arXiv 2208.07339).

    Parameters
    ----------
    format : Format
    count : int
        Columns kept.
    """

    format: Format
    count: int

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Splits, quantises and reads back."""
        x = as_matrix(matrix)
        if not 0 <= self.count < x.shape[1]:
            raise GossetError(f"From 0 to {x.shape[1] - 1} columns of this matrix can be kept, but not {self.count}.")
        kept: NDArray[np.bool_] = np.zeros(x.shape[1], dtype=np.bool_)
        kept[np.argsort(-np.square(x).sum(axis=0), kind="stable")[: self.count]] = True
        packed = quantize(x[:, ~kept], self.format)
        values = np.empty_like(x)
        values[:, ~kept] = packed.dequantize()
        values[:, kept] = np.clip(x[:, kept], -65504, 65504).astype(np.float16)
        bits = packed.bits_per_entry * packed.shape[0] * packed.shape[1] + self.count * (16 * len(x) + 32)
        return Coded(values, bits / x.size)


def _inverse_factor(h: NDArray[np.float64]) -> NDArray[np.float64]:
    """U, upper triangular, with H⁻¹ = Uᵀ·U."""
    try:
        return np.asarray(cholesky(np.linalg.inv(h), lower=False))
    except np.linalg.LinAlgError as error:
        raise GossetError(f"The Hessian is not positive semidefinite: {error}.") from error

"""Real operands for the units: rows of a network for digits, of a sentence encoder, and Gaussian ones.

The same rows go through every number format, so that figures differ by the format alone. Rows of the sentence encoder
are rotated first, as they are before any of the formats packs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.lib import data

from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.lattice import DIM
from golden.quality.minilm import Array, MiniLM, sentences
from golden.quantize import quantize
from golden.universal import Rotation
from golden.voronoi import decode
from sim.digits import train

Row = npt.NDArray[np.float32]
Source = Callable[[np.random.Generator], tuple[Row, Row]]
"""Draws a pair of rows."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Workload:
    """Pairs of rows whose inner products a cell takes one after the other, a block of 8 per cycle.

    Attributes
    ----------
    pairs : list of (row, row)
        Activations and weights.
    sources : tuple of str
        Where they are from.
    """

    pairs: list[tuple[Row, Row]]
    sources: tuple[str, ...]

    @property
    def blocks(self) -> int:
        """Blocks of 8, so cycles."""
        return sum(-(-len(x) // DIM) for x, _ in self.pairs)

    def last(self) -> npt.NDArray[np.bool_]:
        """Which blocks are the last of their row."""
        return np.concatenate([np.arange(-(-len(x) // DIM)) == -(-len(x) // DIM) - 1 for x, _ in self.pairs])


@cache
def workload(cycles: int, seed: int = 0, *, cut: bool = False) -> Workload:
    """About as many blocks as asked for, as many from each source; without the encoder where it is not installed.

    A source's last row goes on to its end, or is `cut`, where a row is long beside what is asked for.
    """
    rng = np.random.default_rng(seed)
    sources: dict[str, Callable[[], Source]] = {"gaussian": _gaussian, "digits": _digits, "minilm": _minilm}
    pairs, found = [], []
    for name, source in sources.items():
        try:
            make = source()
        except GossetError:
            continue  # the package with the encoder's weights is not there
        found.append((name, make))
    share = cycles // len(found)
    for _, make in found:
        blocks = 0
        while blocks < share:
            x, w = make(rng)
            length = (share - blocks) * DIM if cut else len(x)
            pairs.append((x[:length], w[:length]))
            blocks += -(-len(pairs[-1][0]) // DIM)
    return Workload(pairs, tuple(name for name, _ in found))


def _gaussian() -> Source:
    def pair(rng: np.random.Generator) -> tuple[Row, Row]:
        x, w = rng.normal(size=(2, 512)).astype(np.float32)
        return x, w

    return pair


@cache
def _digits() -> Source:
    network = train()
    hidden = np.maximum(network.exact(0, network.images) + network.biases[0], 0)

    def pair(rng: np.random.Generator) -> tuple[Row, Row]:
        layer = int(rng.integers(2))
        x = (network.images, hidden)[layer]
        return x[rng.integers(len(x))], network.weights[layer][rng.integers(len(network.weights[layer]))]

    return pair


class _Recorder:
    """Linear layers in float32 that keep some of their rows."""

    def __init__(self) -> None:
        self.kept: list[tuple[Array, Array]] = []

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        """The product, of which 16 rows of either side are kept."""

        def product(x: Array) -> Array:
            rotation = Rotation(x.shape[1])
            self.kept.append((rotation.forward(x[:16]), rotation.forward(weight[:16])))
            return x @ weight.T

        return product


@cache
def _minilm() -> Source:
    recorder = _Recorder()
    MiniLM.load().embed(sentences(4), recorder)

    def pair(rng: np.random.Generator) -> tuple[Row, Row]:
        x, w = recorder.kept[rng.integers(len(recorder.kept))]
        return x[rng.integers(len(x))], w[rng.integers(len(w))]

    return pair


RAW_RMS = 1 << 12
"""RMS of raw rows: an eighth of what their 16 bits hold, so that all of them have one scale."""


@cache
def raw(work: Workload, rules: FrontEndRules) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Activations as a front end takes them, blocks `(blocks, 8)` of integers; and which are the last of their row.

    Rows are filled up with zeros to whole segments.
    """
    rows, limit = [], (1 << (rules.raw_bits - 1)) - 1
    for x, _ in work.pairs:
        scaled = np.rint(x * (RAW_RMS / np.sqrt(np.square(x, dtype=np.float64).mean())))
        padded = np.pad(np.clip(scaled, -limit, limit), (0, -len(x) % rules.length))
        rows.append(padded.astype(np.int64).reshape(-1, DIM))
    ends = np.cumsum([len(row) for row in rows]) - 1
    return np.concatenate(rows), np.isin(np.arange(ends[-1] + 1), ends)


@dataclass(frozen=True)
class Blocks:
    """One side of a workload in the packed format, block by block.

    Attributes
    ----------
    labels, betas : array of int, (blocks,)
    points : array of int, (blocks, 8)
    """

    labels: npt.NDArray[np.object_]
    betas: Integers
    points: Integers


@cache
def packed(work: Workload, format: Format) -> tuple[Blocks, Blocks]:
    """Both sides of a workload, activations and weights, in the packed format."""
    sides = []
    for side in (0, 1):
        rows = [quantize(pair[side][None, :], format) for pair in work.pairs]
        labels = np.concatenate([row.labels[0] for row in rows])
        points = decode(labels, format.q).astype(np.int64)
        betas = np.concatenate([row.betas[0] for row in rows]).astype(np.int64)
        sides.append(Blocks(labels.astype(object), betas, points))
    return sides[0], sides[1]


def bits(layout: data.StructLayout, fields: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.object_]:
    """Values of a port with fields, cycle by cycle, as integers; a field that is left out is 0.

    Parameters
    ----------
    layout : StructLayout
    fields : mapping of str to array of int
        `(cycles,)`, or `(cycles, length)` for a field that is an array.
    """
    total: Any = 0
    for name, values in fields.items():
        field = layout[name]
        columns = np.asarray(values).astype(object)
        columns = columns[:, None] if columns.ndim == 1 else columns
        width = field.width // columns.shape[1]
        for i in range(columns.shape[1]):
            total = total + ((columns[:, i] & ((1 << width) - 1)) << (field.offset + width * i))
    return np.asarray(total, dtype=object)

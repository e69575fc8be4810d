"""Real rows in the number formats of the rivals: the fields that their cells and decoders take, block by block."""

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from golden.lattice import DIM
from golden.rivals import e8p, nestquant, trellis
from golden.rivals.integers import CLIPS
from golden.rivals.nestquant import NestQuant
from golden.rivals.steps import E2M1
from hw.rivals.scales import GROUP, SCALE_BITS
from sim.silicon.operands import Row, Workload

Integers = npt.NDArray[np.int64]


def blocks_of(rows: list[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """Rows one after the other, as blocks `(blocks, 8)`."""
    return np.concatenate([np.pad(row, (0, -len(row) % DIM)).reshape(-1, DIM) for row in rows]).astype(np.int64)


@cache
def integers(work: Workload, side: int, width: int) -> tuple[Integers, Integers]:
    """Symmetric integers of groups of 64, clipped where their squared error is least, and the scales of their blocks.

    A scale is an integer of 8 bits times the row's largest.
    """
    top, rows, scales = 2 ** (width - 1) - 1, [], []
    for pair in work.pairs:
        groups = np.pad(pair[side], (0, -len(pair[side]) % GROUP)).reshape(-1, 1, GROUP)
        step = np.maximum(np.abs(groups).max(axis=-1, keepdims=True), 1e-30) * CLIPS[:, None] / top
        codes = np.clip(np.rint(groups / step), -top, top)
        best = np.square(codes * step - groups).sum(axis=-1).argmin(axis=1)
        each = np.arange(len(codes))
        rows.append(codes[each, best].reshape(-1)[: len(pair[side])])
        chosen = step[each, best, 0]
        scale = np.maximum(np.rint(chosen * ((1 << SCALE_BITS) - 1) / chosen.max()), 1)
        scales.append(_per_block(scale, GROUP, -(-len(pair[side]) // DIM)))
    return blocks_of(rows), np.concatenate(scales)


def _e2m1(groups: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Codes of E2M1."""
    clipped = np.clip(groups, -E2M1.top, E2M1.top).astype(np.float32)
    return clipped.astype(ml_dtypes.float4_e2m1fn).view(np.uint8).astype(np.int64)


def _per_block(values: npt.NDArray[Any], group: int, blocks: int) -> npt.NDArray[np.int64]:
    return np.repeat(values.reshape(-1), group // DIM)[:blocks].astype(np.int64)


@cache
def microscaling(work: Workload, side: int, group: int, significand: bool, span: int) -> tuple[npt.NDArray[Any], ...]:
    """Codes, and exponents and significands of the scales by block; exponents from the least of the row."""
    codes, exponents, significands = [], [], []
    for pair in work.pairs:
        row: Row = pair[side]
        groups = np.pad(row, (0, -len(row) % group)).reshape(-1, group)
        largest = np.maximum(np.abs(groups).max(axis=1, keepdims=True), 1e-30)
        if significand:
            fraction, exponent = np.frexp(largest / E2M1.top)
            digits = np.clip(np.rint(fraction * 16), 8, 15)
            exponent = exponent - 4
        else:
            digits, exponent = np.ones_like(largest), np.frexp(largest)[1] - 3
        exponent = np.maximum(exponent, exponent.max() - span)
        code = _e2m1(groups / (digits * np.exp2(exponent)))
        count = -(-len(row) // DIM)
        codes.append(code.reshape(-1)[: len(row)])
        exponents.append(_per_block(exponent - exponent.min(), group, count))
        significands.append(_per_block(digits, group, count))
    return blocks_of(codes), np.concatenate(exponents), np.concatenate(significands)


@cache
def nestquant_points(work: Workload, side: int, betas: tuple[float, ...]) -> tuple[Integers, Integers]:
    """Doubled points, and which multiplier each block takes."""
    codec = NestQuant(betas=betas)
    points, indices = [], []
    for pair in work.pairs:
        values, index = codec.blocks(_unit_blocks(pair[side]))
        points.append(np.rint(2 * values / (np.array(codec.betas)[index] / codec.q)[:, None]).astype(np.int64))
        indices.append(index.astype(np.int64))
    return np.concatenate(points), np.concatenate(indices)


def nestquant_digits(points: Integers) -> Integers:
    """The labels of doubled points: eight digits modulo 14."""
    return np.mod(np.rint(points / 2 @ nestquant.INVERSE.T), NestQuant().q).astype(np.int64)


@cache
def e8p_words(work: Workload) -> tuple[Integers, Integers]:
    """Weights as words of E8P, see `hw.rivals.decoders`, and four times their codewords."""
    table = {tuple(pattern): i for i, pattern in enumerate(e8p.patterns())}
    words, points = [], []
    for _, row in work.pairs:
        code = e8p.nearest(_unit_blocks(row) * np.float32(E8P_SCALE))
        shift = np.where(np.mod(4 * code[:, 0], 4) == 3, 0.25, -0.25)[:, None]
        bare = code - shift
        signs = (bare < 0) @ (1 << np.arange(DIM))
        index = np.array([table[tuple(pattern)] for pattern in np.abs(bare).astype(np.float32)])
        words.append(index + ((signs & 127) << 8) + ((shift[:, 0] < 0) << 15))
        points.append(np.rint(4 * code))
    return np.concatenate(words).astype(np.int64), np.concatenate(points).astype(np.int64)


E8P_SCALE = 1.03
"""Units of the codebook per RMS of a row: the authors' default."""


@cache
def trellis_words(work: Workload, bits: int) -> tuple[Integers, Integers]:
    """Weights as words of a ring, see `hw.rivals.decoders`, and the integers that they are read back as, by ring."""
    values = trellis.hashed(bits)
    rings = []
    for _, row in work.pairs:
        padded = np.pad(row, (0, -len(row) % trellis.LENGTH)).reshape(-1, trellis.LENGTH)
        rings.append(padded / max(float(np.sqrt(np.square(row).mean())), 1e-30))
    scaled = np.concatenate(rings).astype(np.float32) * np.sqrt(np.square(values).mean())
    windows = trellis.viterbi(scaled, values, bits)
    places = 1 << (bits * np.arange(DIM - 1, -1, -1))
    words = (windows & ((1 << bits) - 1)).reshape(len(scaled), -1, DIM) @ places
    read = values[windows].reshape(len(scaled), -1, DIM)
    return words.astype(np.int64), read.astype(np.int64)


def _unit_blocks(row: Row) -> Row:
    """A row of unit RMS, as blocks."""
    unit = row / max(float(np.sqrt(np.square(row).mean())), 1e-30)
    return np.pad(unit, (0, -len(row) % DIM)).reshape(-1, DIM).astype(np.float32)

"""Labels, and points that are hard on the arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.format import Format, PackedMatrix
from golden.lattice import DIM, codewords, minimal_vectors
from golden.voronoi import decode, encode, label_dtype

Labels = NDArray[np.uint64]

PER_TIE = 8
"""Labels for each kind of tie."""


def random_labels(format: Format, shape: int | tuple[int, ...], rng: np.random.Generator) -> Labels:
    """Labels, all equally likely."""
    return rng.integers(0, 1 << format.label_bits, shape, dtype=np.uint64)


def corner_labels(format: Format, rng: np.random.Generator) -> Labels:
    """All zeros, all ones, one bit set, one bit clear; the deep holes; and labels with every tie of the decoder."""
    bits = np.uint64(1) << np.arange(format.label_bits, dtype=np.uint64)
    ones = np.uint64((1 << format.label_bits) - 1)
    plain = np.concatenate([[np.uint64(0), ones], bits, ones ^ bits])
    return np.concatenate([plain, deep_holes(format), *ties(format, rng).values()])


def ties(format: Format, rng: np.random.Generator) -> dict[str, Labels]:
    """Labels for each kind of tie, at least one of each.

    The decoder settles by rule which of several least-energy members of a coset is meant. Two of them differ at the
    positions of a codeword g, by the sign of q: their norms differ by q·Σ(q − 2|y|) over these positions. If g is made
    of whole pairs of coordinates, the two are of one pair type, and differ in which pairs are turned over; otherwise
    they are of different types. Equally reliable coordinates of a pair need not make two members of least energy.
    """
    count = min(1 << format.label_bits, 1 << 16)
    labels = np.arange(count, dtype=np.uint64) if format.q <= 4 else random_labels(format, count, rng)
    y = decode(labels, format.q).astype(np.int64)
    found = {}
    for kind, g in tied():
        found[kind] = labels[((format.q - 2 * abs(y)) * g).sum(axis=1) == 0]
    reliability = abs(y % format.q - format.q // 2)
    for j in range(0, DIM, 2):
        found[f"coordinates {j} and {j + 1}"] = labels[reliability[:, j] == reliability[:, j + 1]]
    for kind, some in found.items():
        if not len(some):
            raise AssertionError(f"No label was found for a tie between {kind}.")
    return {kind: rng.choice(some, PER_TIE) for kind, some in found.items()}


def tied() -> list[tuple[str, NDArray[np.integer]]]:
    """What ties of two least-energy members are between, and the positions in which they differ."""
    some = [g for g in codewords() if g.sum() == DIM // 2]
    return [(f"{'types' if g[0] != g[1] else 'pairs'} at {''.join(map(str, g))}", g) for g in some]


def deep_holes(format: Format) -> Labels:
    """Labels of the points whose norm is the largest there is, 2q²: halves of q times the vectors of norm 8."""
    vectors = minimal_vectors().astype(np.int64)
    sums = (vectors[:, None] + vectors).reshape(-1, DIM)
    eights = np.unique(sums[(sums**2).sum(axis=1) == 8], axis=0)
    return np.unique(encode(eights * (format.q // 2), format.q)).astype(np.uint64)


def packed(format: Format, labels: Any, betas: Any) -> PackedMatrix:
    """A packed matrix `(rows, blocks)` with scales of one."""
    rows, blocks = np.shape(labels)
    return PackedMatrix(
        format,
        blocks * DIM,
        np.asarray(labels).astype(label_dtype(format.q)),
        np.asarray(betas).astype(np.uint8),
        np.ones(rows, dtype=np.float32),
    )


def random_matrix(format: Format, rows: int, blocks: int, rng: np.random.Generator) -> PackedMatrix:
    """A packed matrix of random labels and β."""
    labels = random_labels(format, (rows, blocks), rng)
    return packed(format, labels, rng.integers(0, len(format.betas), labels.shape))


def differences(format: Format) -> Labels:
    """Pairs of labels `(pairs, 2)` in which each coordinate takes every value, and every difference of two."""
    q = format.q
    values, unit = np.arange(-q, q)[:, None, None], np.eye(DIM, dtype=np.int64)
    # A value alone, or beside seven ones: both have the least energy of their cosets.
    points = np.where(values % 2, 1 + (values - 1) * unit, values * unit)
    lowest, highest = np.broadcast_to(points[:1], points.shape), np.broadcast_to(points[-1:], points.shape)
    pairs = [np.stack([points, other], axis=2).reshape(-1, 2, DIM) for other in (lowest, highest)]
    return encode(np.concatenate(pairs), q).astype(np.uint64)


def hard_pairs(format: Format, rng: np.random.Generator) -> Labels:
    """Pairs of labels `(pairs, 2)`: those of the largest inner product there is, 2q², and of the smallest found."""
    holes, others = deep_holes(format), random_labels(format, 1 << 12, rng)
    products = decode(others, format.q).astype(np.int64) @ decode(holes, format.q).astype(np.int64).T
    least = np.argsort(products, axis=None)[: len(holes)]
    pairs = np.stack([others[least // len(holes)], holes[least % len(holes)]], axis=1)
    return np.concatenate([np.stack([holes, holes], axis=1), pairs])

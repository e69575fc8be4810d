"""Rounding blocks with given scales, and picking each block's β.

A block x is rounded to y, the least-energy member of the coset of nearest(x / (scale·β)): scale·β·y is x to within
the lattice's covering radius, unless the nearest point lies outside the Voronoi cell of q·Λ (overload).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from golden.format import Format
from golden.lattice import DIM, Lanes, minimal_vectors, nearest_lanes
from golden.voronoi import reduce_lanes

Selection = Literal["opt", "first", "best"]
"""How a block picks its β and its point. "first": the smallest β that does not overload, the largest if all do. "opt":
the least squared error, ties to the smaller β; with a β that overloads not by far, the block is also tried at a few
distances nearer to zero (`PULLS`), since the coset's least-energy member is then on the far side of the cell. "best":
as "opt", and with a β that overloads the block also walks inward along the normals of the cell's facets it violates,
and the 240 neighbours of the best point found are tried. Several times the work, never worse."""

PULLS = (0.6, 1.2, 1.8)
"""How far a block that overloads is moved towards zero, in coordinates of Λ (whose minimal vectors have length 2)."""

NEAR = 1.4
"""A block longer than NEAR·q, in coordinates of Λ, is not worth saving from overload."""

STEPS = 2
"""Steps of a walk inward, each behind one facet."""

MARGINS = (0.5, 1.0, 1.5)
"""How far behind the facets walks end, in coordinates of Λ."""

FAR = 16384.0
"""Where coordinates are clipped before rounding, in units of scale·β: such a block overloads anyway."""


@np.errstate(over="ignore", under="ignore")  # the error of a block far beyond its scale may be infinite
def choose(
    x: Lanes, scales: NDArray[np.float32], fmt: Format, selection: Selection, dither: Lanes | None = None
) -> tuple[list[NDArray[np.int8]], NDArray[np.uint8], NDArray[np.float32]]:
    """Rounds blocks with given row scales, each with the β that the selection picks.

    Parameters
    ----------
    x : eight float32 arrays `(rows, blocks)`
    scales : float32 `(..., rows)`
        With more than one axis, alternatives to be tried all at once; the results then have these axes too.
        A row of scale 0 is rounded as if its scale were infinite.
    fmt, selection
        As in `quantize`.
    dither : eight float32 arrays `(rows, blocks)`, optional
        Added to x/(scale·β) before rounding; the decoder must take it off.

    Returns
    -------
    points : eight int8 arrays `(..., rows, blocks)`
        y, the least-energy members of their cosets.
    index : uint8 `(..., rows, blocks)`
        β indices.
    error : float32 `(..., rows, blocks)`
        ‖x/scale − β·y‖², dither taken into account.
    """
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)[..., None]
    inverse = np.minimum(inverse, np.finfo(np.float32).max)  # of a scale below the normal numbers; 0·∞ is no number
    unit = [lane * inverse for lane in x]
    far = max(float(np.abs(lane).max()) for lane in unit) > FAR
    best = _Best(unit[0].shape)
    for index, beta in enumerate(fmt.betas):
        t = [lane * np.float32(1 / beta) for lane in unit]
        if dither is not None:
            t = [lane + u for lane, u in zip(t, dither, strict=True)]
        nearest = nearest_lanes([np.clip(lane, -FAR, FAR) for lane in t] if far else t, dtype=np.int16)
        point = reduce_lanes(nearest, fmt.q)
        error = _distance(t, point)
        overload = np.logical_or.reduce([p != y for p, y in zip(nearest, point, strict=True)])
        if selection != "first":
            _pull(t, overload, point, error, fmt.q)
            if selection == "best":
                _walk(t, overload, point, error, fmt.q)
            error *= np.float32(beta**2)
            best.take(error < best.error, point, error, index)
        else:
            error *= np.float32(beta**2)
            best.take(best.overload, point, error, index)
            best.overload &= overload
    return best.point, best.index, best.error


def _distance(x: Lanes, y: Lanes) -> NDArray[np.float32]:
    """‖x − y‖² of blocks."""
    total: Any = np.float32(0)
    for a, b in zip(x, y, strict=True):
        rest = a - b
        total = total + rest * rest
    return total


def _pull(t: Lanes, overload: NDArray[np.bool_], point: Lanes, error: NDArray[np.float32], q: int) -> None:
    """Tries blocks that overload nearer to zero; puts what is better into `point` and `error`."""
    square = _distance(t, [np.zeros(1, dtype=np.float32)] * DIM)
    where = np.flatnonzero(overload & (square < (NEAR * q) ** 2))
    part = [lane.ravel()[where] for lane in t]
    length = np.sqrt(square.ravel()[where])
    best = _Best(where.shape)
    best.take(np.ones(where.shape, dtype=np.bool_), [y.ravel()[where] for y in point], error.ravel()[where], 0)
    for pull in PULLS:
        factor = np.maximum(1 - np.float32(pull) / length, 0)
        inner = reduce_lanes(nearest_lanes([lane * factor for lane in part], dtype=np.int16), q)
        distance = _distance(part, inner)
        best.take(distance < best.error, inner, distance, 0)
    for lane, new in zip(point, best.point, strict=True):
        lane.flat[where] = new
    error.flat[where] = best.error


@dataclass(init=False)
class _Best:
    """The choice so far: of the points, one β after the other, those to keep."""

    point: list[NDArray[np.int8]]
    index: NDArray[np.uint8]
    error: NDArray[np.float32]
    overload: NDArray[np.bool_]

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.point = [np.zeros(shape, dtype=np.int8) for _ in range(DIM)]
        self.index = np.zeros(shape, dtype=np.uint8)
        self.error = np.full(shape, np.inf, dtype=np.float32)
        self.overload = np.ones(shape, dtype=np.bool_)

    def take(self, where: NDArray[np.bool_], point: Lanes, error: NDArray[np.float32], index: int) -> None:
        mask = -where.view(np.int8)  # all bits set where true: bytes are merged several times as fast as by np.where
        for old, new in zip(self.point, point, strict=True):
            old ^= (old ^ new) & mask
        self.index ^= (self.index ^ np.uint8(index)) & mask.view(np.uint8)
        np.copyto(self.error, error, where=where)


def _walk(t: Lanes, overload: NDArray[np.bool_], point: Lanes, error: NDArray[np.float32], q: int) -> None:
    """Tries blocks that overload behind the facets they violate; puts what is better into `point` and `error`.

    A point p that decodes to y = p − q·λ violates the facet ⟨x, λ⟩ ≤ q·‖λ‖²/2 of the cell of q·Λ, whose normal is λ.
    """
    where = np.flatnonzero(overload)
    part = [lane.ravel()[where] for lane in t]
    best = _Best(where.shape)
    best.take(np.ones(where.shape, dtype=np.bool_), [y.ravel()[where] for y in point], error.ravel()[where], 0)
    start = [np.clip(lane, -FAR, FAR) for lane in part]
    nearest = nearest_lanes(start, dtype=np.int16)
    first = _normal(nearest, reduce_lanes(nearest, q), q)
    for margin in MARGINS:
        at, normal = start, first
        for _ in range(STEPS):
            at = _behind(at, normal, margin, q)
            nearest = nearest_lanes(at, dtype=np.int16)
            inner = reduce_lanes(nearest, q)
            distance = _distance(part, inner)
            best.take(distance < best.error, inner, distance, 0)
            normal = _normal(nearest, inner, q)
    _neighbours(part, best, q)
    for lane, new in zip(point, best.point, strict=True):
        lane.flat[where] = new
    error.flat[where] = best.error


def _normal(nearest: Lanes, point: Lanes, q: int) -> list[NDArray[Any]]:
    """λ = (p − y)/q for points p that decode to y; 0 where p does not overload."""
    return [(p - y) / np.float32(q) for p, y in zip(nearest, point, strict=True)]


def _behind(x: Lanes, normal: Lanes, margin: float, q: int) -> list[NDArray[Any]]:
    """Blocks moved along a facet's normal to `margin` behind it; as they are where the normal is 0."""
    square = _distance(normal, [np.zeros(1, dtype=np.float32)] * DIM)
    beyond = np.add.reduce([lane * n for lane, n in zip(x, normal, strict=True)]) - q * square / 2
    way = beyond + np.float32(margin) * np.sqrt(square)
    length = np.divide(way, square, out=np.zeros_like(square), where=square > 0)
    return [lane - length * n for lane, n in zip(x, normal, strict=True)]


def _neighbours(t: Lanes, best: _Best, q: int) -> None:
    """Tries the 240 neighbours of points found so far, and takes what is better and decodes to itself."""
    start = [lane.copy() for lane in best.point]
    rest = [lane - y for lane, y in zip(t, start, strict=True)]
    gain = np.zeros(best.error.shape, dtype=np.float32)
    for vector in minimal_vectors():
        more = 2 * np.add.reduce([r * np.float32(v) for r, v in zip(rest, vector, strict=True) if v]) - 4
        some = np.flatnonzero(more > gain)  # ‖r‖² − ‖r − v‖² with ‖v‖² = 4
        moved = [y[some].astype(np.int16) + v for y, v in zip(start, vector, strict=True)]
        kept = np.logical_and.reduce([m == y for m, y in zip(moved, reduce_lanes(moved, q), strict=True)])
        taken = some[kept]
        gain[taken] = more[taken]
        for lane, m in zip(best.point, moved, strict=True):
            lane[taken] = m[kept]
    best.error -= gain

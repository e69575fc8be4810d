"""The quantiser: a scale per row, a multiplier β and a label per block of 8.

The row's scale is searched for the least squared error of the whole row, and its blocks are rounded with it.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import FLOAT32_MAX, as_matrix, as_scales, root_mean_square, row_scales
from golden.errors import GossetError
from golden.format import Format, PackedMatrix, largest_scale, multiplied
from golden.lattice import DIM, Lanes, lanes
from golden.rounding import Selection, choose
from golden.voronoi import encode_lanes, label_dtype

Progress = Callable[[int, int], object]
"""Called with the number of rows done and of all rows, from the calling thread."""

Rounding = Callable[
    [Lanes, NDArray[np.float32], Format, Selection], tuple[Lanes, NDArray[np.uint8], NDArray[np.float32]]
]
"""Rounds blocks with given row scales, as `golden.rounding.choose` does."""

Keep = Callable[[slice, Lanes, NDArray[np.uint8], NDArray[np.float32]], None]
"""Takes some rows' points and β indices `(rows, blocks)` and their scales, from the thread that rounded them."""

CHUNK = 1 << 16
"""Blocks worked on at once by a thread: many, or threads wait for each other between NumPy's short operations."""

SAMPLE = 64
"""Blocks of a row on which the first, coarse search for its scale runs."""

COARSE = 12
"""Scales first tried on the sample."""

FINE = (-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75)
"""Scales then tried on the sample around its best, in steps of the search before."""

FINEST = (-0.5, 0, 0.5)
"""Scales tried on the whole row, in steps of a quarter of the first search's."""

FEW = 32
"""A row whose energy lies in no more different magnitudes than these has its scale looked for everywhere."""

CARRIED = 0.999
"""The share of its energy that counts."""

STEP = 2 ** (1 / 48)
"""Ratio of neighbours among the scales tried everywhere."""

FINALISTS = 8
"""Scales that are best on the sample and are then tried on the whole row, where they are looked for everywhere."""


def quantize(
    matrix: ArrayLike,
    fmt: Format,
    *,
    selection: Selection = "opt",
    scales: ArrayLike | None = None,
    progress: Progress | None = None,
    rounding: Rounding = choose,
    threads: int | None = None,
) -> PackedMatrix:
    """Quantises a matrix row by row.

    Parameters
    ----------
    matrix : real `(rows, columns)`
        Any memory order; worked on in float32. Rows are padded with zeros to whole blocks.
    fmt : Format
    selection : "opt", "first" or "best"
        How a block picks its β, see `Selection`.
    scales : real `(rows,)`, optional
        Row scales to use instead of searching them; finite, not negative. With a scale of 0 a row becomes zero.
        They are refused where an entry of what they give would be beyond float32.
    progress : callable, optional
    rounding : callable
        `choose`, or a faster one that gives the same.
    threads : int, optional
        As many as there are processors, if not given; 1 where matrices are quantised side by side.

    Returns
    -------
    PackedMatrix
        Rows of zeros get scale 0 and labels 0. The same input gives the same output on every machine, whatever the
        number of threads. Every entry is finite: where rounding up leads beyond float32, the row's scale is lowered.
        A scale below float32's normal numbers has fewer bits than others, and is at least 1.4e-45: rows of magnitude
        below 1e-38 are kept less exactly, as float32 keeps them.

    Raises
    ------
    GossetError
        If the matrix, the selection or the scales are not as described.
    """
    x = as_matrix(matrix)
    rows, columns = x.shape
    count = -(-columns // DIM)
    labels = np.zeros((rows, count), dtype=label_dtype(fmt.q))
    betas = np.zeros((rows, count), dtype=np.uint8)

    def keep(part: slice, point: Lanes, index: NDArray[np.uint8], _: NDArray[np.float32]) -> None:
        labels[part], betas[part] = encode_lanes(point, fmt.q), index

    chosen = _round(x, fmt, keep, selection, scales, progress, rounding, threads)
    return PackedMatrix(fmt, columns, labels, betas, chosen)


def read_back(
    matrix: ArrayLike,
    fmt: Format,
    *,
    scales: ArrayLike | None = None,
    rounding: Rounding = choose,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """`quantize(…).dequantize()`, without labels in between, which take as long as the rounding: float32, as `matrix`.

    Parameters and errors are those of `quantize`.
    """
    x = as_matrix(matrix)
    result = np.empty_like(x)

    def keep(part: slice, point: Lanes, index: NDArray[np.uint8], chosen: NDArray[np.float32]) -> None:
        result[part] = multiplied(point, index, fmt)[:, : x.shape[1]] * chosen[:, None]

    _round(x, fmt, keep, "opt", scales, None, rounding, threads)
    return result


def _round(
    x: NDArray[np.float32],
    fmt: Format,
    keep: Keep,
    selection: Selection,
    scales: ArrayLike | None,
    progress: Progress | None,
    rounding: Rounding,
    threads: int | None,
) -> NDArray[np.float32]:
    """Row scales `(rows,)`; what rows are rounded to is given to `keep`."""
    if selection not in get_args(Selection):
        raise GossetError(f'The selection of β is "opt", "first" or "best", but it is {selection!r}.')
    rows, columns = x.shape
    given = None if scales is None else as_scales(scales, rows)
    count = -(-columns // DIM)
    chosen = np.zeros(rows, dtype=np.float32)

    @np.errstate(over="ignore", under="ignore")
    def work(part: slice) -> int:
        # Rows are brought to a magnitude in [1/2, 1) by powers of two, which is exact and keeps clear of underflow.
        _, power = np.frexp(np.abs(x[part]).max(axis=1))
        block = _row_lanes(np.ldexp(x[part], -power[:, None]), count)
        if given is None:
            ideal = np.ldexp(_search(block, fmt, selection, rounding).astype(np.float64), power)
            chosen[part] = row_scales(ideal)
            used = np.where(ideal > FLOAT32_MAX, ideal, chosen[part])
        else:
            chosen[part] = used = given[part]
        point, index, _ = rounding(block, np.ldexp(used, -power).astype(np.float32), fmt, selection)
        if given is None:
            _keep_finite(chosen[part], point, index, fmt)
        zero = chosen[part] == 0
        for of_zero in (index, *point):
            of_zero[zero] = 0
        keep(part, point, index, chosen[part])
        return len(index)

    step = max(1, CHUNK // count)
    parts = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    done = 0
    for rounded in _in_any_order(work, parts, threads or os.cpu_count() or 1):
        done += rounded
        if progress is not None:
            progress(done, rows)
    return chosen


def _in_any_order(work: Callable[[slice], int], parts: list[slice], threads: int) -> Iterator[int]:
    """What `work` gives for all parts, as it comes."""
    if threads == 1 or len(parts) == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        for future in as_completed([pool.submit(work, part) for part in parts]):
            yield future.result()


@cache
def gaussian_scale(fmt: Format, selection: Selection = "opt") -> float:
    """The scale that is best for Gaussian rows of unit RMS, found on 262,144 of them with a fixed seed."""
    x = np.random.default_rng(0).normal(size=(4, 1 << 16)).astype(np.float32)
    return float(_search(_row_lanes(x, x.shape[1] // DIM), fmt, selection).mean())


def rms_scales(matrix: ArrayLike, fmt: Format, selection: Selection = "opt") -> NDArray[np.float32]:
    """Row scales without a search: the RMS of each row times `gaussian_scale`, for rotated data. float32 `(rows,)`.

    Raises
    ------
    GossetError
        If the matrix is not a finite real matrix.
    """
    x = as_matrix(matrix)
    return row_scales(root_mean_square(x)[:, 0] * gaussian_scale(fmt, selection))


def _search(x: Lanes, fmt: Format, selection: Selection, rounding: Rounding = choose) -> NDArray[np.float32]:
    """The scales that give rows the least squared error: float32 `(rows,)`, 0 for rows of zeros.

    At the largest scale tried no block of the row overloads, so that larger ones are coarser in vain; at the smallest,
    a quarter of the blocks that are not zero overload with every β. In between, scales in a geometric progression are
    tried on a sample of the row, and then those around the best on the whole row. Overload decides where the least
    error lies, so half of the sample are the blocks of largest norm; its other half stands for all the others.
    """
    norm = np.sqrt(np.sum([lane * lane for lane in x], axis=0))
    order = np.argsort(-norm, axis=1, kind="stable")
    falling = np.take_along_axis(norm, order, axis=1)
    rows, count = norm.shape
    zero = falling[:, 0] == 0
    quartile = falling[np.arange(rows), np.count_nonzero(falling, axis=1) // 4]
    # Points within the packing radius q of qΛ never overload, and a point is within √2 of what it stands for; beyond
    # the covering radius √2·q every point overloads.
    high = np.where(zero, 1, falling[:, 0] / (fmt.betas[-1] * max(fmt.q - np.sqrt(2), 0.5)))
    low = np.where(zero, 1, np.minimum(quartile / (fmt.betas[-1] * fmt.q * np.sqrt(2)), high))
    ratio = (high / low) ** (1 / (COARSE - 1))

    sample, weight = x, np.ones(count)
    if count > SAMPLE:
        top, stride = SAMPLE // 2, -(-(count - SAMPLE // 2) // (SAMPLE // 2))
        take = np.concatenate([order[:, :top], order[:, top::stride]], axis=1)
        sample = [np.take_along_axis(lane, take, axis=1) for lane in x]
        weight = np.repeat([1.0, (count - top) / (take.shape[1] - top)], [top, take.shape[1] - top])
    best = _least_error(sample, weight, low * ratio ** np.arange(COARSE)[:, None], fmt, selection, rounding)
    best = _least_error(sample, weight, best * ratio ** np.array(FINE)[:, None], fmt, selection, rounding)
    best = _least_error(x, np.ones(count), best * ratio ** (np.array(FINEST)[:, None] / 4), fmt, selection, rounding)
    few = np.flatnonzero(_few_magnitudes(sample) & ~zero)
    if few.size:
        scales = _everywhere([lane[few] for lane in x], falling[few, 0], low[few], fmt)
        if sample is not x:
            part = [lane[few] for lane in sample]
            order = np.argsort(_errors(part, weight, scales, fmt, selection, rounding), axis=0, kind="stable")
            scales = np.take_along_axis(scales, order[:FINALISTS], axis=0)
        best[few] = _least_error([lane[few] for lane in x], np.ones(count), scales, fmt, selection, rounding)
    return np.where(zero, 0, best).astype(np.float32)


def _few_magnitudes(x: Lanes) -> NDArray[np.bool_]:
    """Whether rows have nearly all their energy in at most `FEW` different magnitudes.

    The error of such a row is no smooth function of its scale: it has deep narrow minima where the magnitudes are near
    to points of the lattice, down to zero where there is but one. A search by neighbourhoods misses them.
    """
    size = -np.sort(-np.abs(np.concatenate(x, axis=1)), axis=1)
    energy = np.cumsum(np.square(size, dtype=np.float64), axis=1)
    needed = np.pad(energy[:, :-1] < CARRIED * energy[:, -1:], ((0, 0), (1, 0)), constant_values=True)
    different = np.pad(size[:, 1:] != size[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return np.asarray((needed & different).sum(axis=1) <= FEW)


def _everywhere(x: Lanes, norm: NDArray[np.float32], low: NDArray[np.float64], fmt: Format) -> NDArray[np.float64]:
    """Scales `(candidates, rows)`: all of a fine grid, and those that make the row's largest entry exact.

    The grid depends on the row only, and its upper end not on q: what is tried with a smaller q is tried with a larger
    one too, whose codewords include the smaller one's, so that no row gets worse with more bits.
    """
    largest = np.max([np.abs(lane).max(axis=1) for lane in x], axis=0).astype(np.float64)
    high = norm / (fmt.betas[-1] * 0.5)
    first, last = (np.floor(np.log(end / largest) / np.log(STEP)) for end in (low, high))
    grid = np.minimum(first + np.arange(int((last - first).max()) + 2)[:, None], last + 1)
    exact = np.unique(np.multiply.outer(np.arange(1, fmt.q + 1), fmt.betas))
    return np.concatenate([largest * STEP**grid, largest / exact[:, None]])


def _least_error(
    x: Lanes,
    weight: NDArray[np.float64],
    scales: NDArray[np.float64],
    fmt: Format,
    selection: Selection,
    rounding: Rounding,
) -> NDArray[np.float64]:
    """Of candidate scales `(candidates, rows)`, the one of least squared error for each row; weights per block."""
    index = np.argmin(_errors(x, weight, scales, fmt, selection, rounding), axis=0)
    return scales[index, np.arange(scales.shape[1])]


def _errors(
    x: Lanes,
    weight: NDArray[np.float64],
    scales: NDArray[np.float64],
    fmt: Format,
    selection: Selection,
    rounding: Rounding,
) -> NDArray[np.float64]:
    """The squared errors `(candidates, rows)` with candidate scales; weights per block."""
    group = max(1, CHUNK // x[0].size)
    errors = []
    for start in range(0, len(scales), group):
        some = scales[start : start + group]
        errors.append(rounding(x, some.astype(np.float32), fmt, selection)[2] @ weight * some**2)
    return np.concatenate(errors)


def _keep_finite(scales: NDArray[np.float32], point: Lanes, index: NDArray[np.uint8], fmt: Format) -> None:
    """Lowers the scales of rows that have an entry beyond float32, in place, to what makes the largest one fit."""
    rows = np.flatnonzero(scales > FLOAT32_MAX / (fmt.betas[-1] * fmt.q))
    if rows.size:
        size = np.max([np.abs(lane[rows].astype(np.int16)) for lane in point], axis=0)
        most = (size * np.array(fmt.betas, dtype=np.int16)[index[rows]]).max(axis=1)
        scales[rows] = np.minimum(scales[rows], largest_scale(most))


def _row_lanes(x: NDArray[np.float32], count: int) -> list[NDArray[np.float32]]:
    """Rows, padded with zeros to `count` blocks, as eight contiguous arrays `(rows, count)`."""
    padded = np.zeros((len(x), count * DIM), dtype=np.float32)
    padded[:, : x.shape[1]] = x
    return lanes(padded.reshape(len(x), count, DIM))

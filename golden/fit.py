"""Fitting the set of multipliers β to data."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import gcd

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix, root_mean_square
from golden.errors import GossetError
from golden.format import MAX_BETA, MAX_BETAS, Format
from golden.given import is_integer, shown
from golden.lattice import DIM, lanes
from golden.rounding import choose

STEPS = np.geomspace(0.2, 12.0, 56)
"""Sizes of q·scale·β, in units of a row's RMS, among which the multipliers' sizes are taken."""


@dataclass(frozen=True)
class Fit:
    """A fitted set.

    Parameters
    ----------
    betas : tuple of int
    scale : float
        Row scale, in units of the row's RMS, at which the set is best.
    sqnr_db : float
        Reached on the sample, with that one scale for all rows.
    """

    betas: tuple[int, ...]
    scale: float
    sqnr_db: float


def fit_betas(matrix: ArrayLike, q: int, count: int = 4, *, samples: int = 8192, seed: int = 0) -> Fit:
    """Finds the integer set of `count` multipliers of least squared error: all sets are tried, at many scales.

    Parameters
    ----------
    matrix : real `(rows, columns)`
        The data, or data like it. Rows are brought to unit RMS.
    q : power of two, 2…64
    count : int
        1 to 8: the budget is ceil(log2(count)) bits per block.
    samples : int
        Blocks drawn from the matrix.
    seed : int
        Of the draw.

    Raises
    ------
    GossetError
        If the matrix, q or the count is not as described, or the matrix is zero.

    Notes
    -----
    The error of a block at each size q·scale·β of a fine geometric grid is computed once. For a scale, the error of
    each β = 1…15 is that of the nearest size on the grid; a set's error is the mean of its blocks' least. Sets with a
    common divisor are skipped, as they are smaller sets at another scale.
    """
    if not is_integer(count) or not 1 <= count <= MAX_BETAS:
        raise GossetError(f"A format has 1 to {MAX_BETAS} values of β, but {shown(count)} were asked for.")
    x = as_matrix(matrix)
    rms = root_mean_square(x)
    if not rms.any():
        raise GossetError("A set of β cannot be fitted to a matrix of zeros.")
    unit = np.pad(x[rms[:, 0] > 0] / rms[rms > 0][:, None], ((0, 0), (0, -x.shape[1] % DIM))).reshape(-1, DIM)
    rng = np.random.default_rng(seed)
    blocks = unit[rng.choice(len(unit), min(samples, len(unit)), replace=False)].astype(np.float32)
    errors = _errors(blocks, q)
    best = Fit((), 0.0, -np.inf)
    power = float(np.square(blocks).sum())
    for scale, usable in _scales(q):
        for betas, error in _sets(errors, usable, count):
            sqnr = 10 * np.log10(power / error) if error else np.inf
            if sqnr > best.sqnr_db:
                best = Fit(betas, scale, float(sqnr))
    return best


def _errors(blocks: NDArray[np.float32], q: int) -> NDArray[np.float64]:
    """Squared errors `(sizes, blocks)` with one β = 1 and each size of the grid as q·scale."""
    x = lanes(blocks[None])
    one = Format(q, (1,))
    result = []
    for size in STEPS:
        scale = np.array([size / q], dtype=np.float32)
        result.append(choose(x, scale, one, "opt")[2][0].astype(np.float64) * float(scale[0]) ** 2)
    return np.array(result)


def _scales(q: int) -> Iterator[tuple[float, NDArray[np.intp]]]:
    """Scales, with the grid's index of each β = 1…15; −1 for those off the grid."""
    ratio = np.log(STEPS[1] / STEPS[0])
    for start in np.geomspace(STEPS[0] / 8, STEPS[-1], 44):
        sizes = np.rint(np.log(start * np.arange(1, MAX_BETA + 1) / STEPS[0]) / ratio).astype(np.intp)
        sizes[(sizes < 0) | (sizes >= len(STEPS))] = -1
        yield float(start / q), sizes


def _sets(errors: NDArray[np.float64], sizes: NDArray[np.intp], count: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Sets of multipliers with their summed errors: exchange from the best single one until nothing improves."""
    usable = [b for b in range(1, MAX_BETA + 1) if sizes[b - 1] >= 0]
    if len(usable) < count:
        return

    def total(betas: tuple[int, ...]) -> float:
        return float(errors[[sizes[b - 1] for b in betas]].min(axis=0).sum())

    if count <= 2:
        for betas in combinations(usable, count):
            if gcd(*betas) == 1:
                yield betas, total(betas)
        return
    chosen = tuple(usable[:count])
    least = total(chosen)
    improved = True
    while improved:
        improved = False
        for out in chosen:
            for new in usable:
                if new in chosen:
                    continue
                trial = tuple(sorted({*chosen} - {out} | {new}))
                error = total(trial)
                if error < least:
                    chosen, least, improved = trial, error, True
                    break
            if improved:
                break
    yield chosen, least

"""4-bit numbers from one of several grids: a group of 16 picks the grid as well as its scale (arXiv 2605.12327).

The scale is an E4M3 number, whose sign bit is free and says which of two grids; a third grid needs one more bit. From
the paper's idea: the grids themselves are this module's own, where the paper learns or shifts them otherwise.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from golden.arrays import as_matrix
from golden.rivals import Coded, closest, divide, grouped
from golden.rivals.microscaling import E4M3_MAX, SCALES

GROUP = 16
"""Weights per group."""

CHUNK = 1 << 13
"""Groups worked on at once."""

Grid = tuple[float, ...]
"""Sixteen ascending values."""


def _nf4() -> Grid:
    tail = 1 - (1 / 30 + 1 / 32) / 2
    positive, negative = (norm.ppf(np.linspace(tail, 0.5, count)) for count in (9, 8))
    return tuple(float(v) for v in np.sort(np.concatenate([positive, -negative[:-1]])) / positive[0])


NF4 = _nf4()
"""Quantiles of the normal distribution, with an exact zero, scaled to ±1 (QLoRA, arXiv 2305.14314)."""

# fmt: off
NF4_PARTNER: Grid = (
    -0.965, -0.795, -0.639, -0.516, -0.398, -0.281, -0.165, -0.054,
    0.05, 0.158, 0.269, 0.382, 0.506, 0.642, 0.798, 0.965,
)
# fmt: on
"""Learned beside NF4 on Gaussian groups of 16: groups picked the better grid, and its values became their means."""

E2M1: Grid = (-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0, 0.5, 1, 1.5, 2, 3, 4, 6)
"""NVFP4's numbers."""

SHIFT = 0.33
"""By how much the two further grids of SFP4 lie beside E2M1, in its own units; searched on Gaussian data."""

PO2_NF4 = (NF4, NF4_PARTNER)
SFP4 = (E2M1, tuple(v + SHIFT for v in E2M1), tuple(v - SHIFT for v in E2M1))


@dataclass(frozen=True)
class Grids:
    """Groups of 16 with a grid and an E4M3 scale each, and a float32 scale for the matrix.

    Parameters
    ----------
    grids : tuple of Grid
        Of about the same size: scales are tried in fractions of that which takes the largest magnitude to the first
        grid's end.
    """

    grids: tuple[Grid, ...]

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        groups = grouped(x, GROUP).reshape(-1, GROUP)
        largest = np.abs(groups).max(axis=1, keepdims=True) / np.float32(self.grids[0][-1])
        whole = np.float32(largest.max() / E4M3_MAX) or np.float32(1)
        values = np.empty_like(groups)
        for start in range(0, len(groups), CHUNK):
            part = slice(start, start + CHUNK)
            values[part] = closest(
                groups[part],
                (
                    self._read(groups[part], largest[part] * np.float32(factor) / whole, whole, grid)
                    for grid in self.grids
                    for factor in SCALES
                ),
            )
        # The sign bit of the scale tells two grids apart.
        more = max((len(self.grids) - 1).bit_length() - 1, 0)
        bits = 4 * groups.size + (8 + more) * len(groups) + 32
        return Coded(np.ascontiguousarray(values.reshape(len(x), -1)[:, : x.shape[1]]), bits / x.size)

    @staticmethod
    def _read(
        groups: NDArray[np.float32], scale: NDArray[np.float32], whole: np.float32, grid: Grid
    ) -> NDArray[np.float32]:
        """What groups are read back as, with scales `(n, 1)` yet to be rounded to E4M3."""
        step = np.minimum(scale, E4M3_MAX).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * whole
        points = np.array(grid, dtype=np.float32)
        return step * points[np.searchsorted((points[1:] + points[:-1]) / 2, divide(groups, step))]

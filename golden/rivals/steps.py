"""Numbers in groups with a scale, whose steps double with their size, and the search for a group's scale, compiled."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

NARROW = 16
"""Entries of a group at most whose scales are all tried: what would tell that one is in vain takes as long."""


@dataclass(frozen=True)
class Steps:
    """Magnitudes of small numbers, symmetric about 0.

    Parameters
    ----------
    top : float
        The largest; larger ones are cut to it.
    first : float
        Distance of the first ones, a power of two.
    doubling : tuple of float
        Where the distance doubles, and where it does so again.
    """

    top: float
    first: float = 1.0
    doubling: tuple[float, float] = (np.inf, np.inf)


E2M1 = Steps(6.0, 0.5, (2.0, 4.0))
"""0, ½, 1, 1½, 2, 3, 4, 6."""


def integers(bits: int) -> Steps:
    """0…2^(bits−1)−1."""
    return Steps(2 ** (bits - 1) - 1)


def nearest(groups: NDArray[np.float32], scales: NDArray[np.float32], steps: Steps) -> NDArray[np.float32]:
    """Groups as read back with the scale of least squared error among those given, the first of equal ones.

    Parameters
    ----------
    groups : float32 `(n, size)`
    scales : float32 `(n, tried)`
        With a scale of 0 a group is read back as zeros.
    steps : Steps
        Ties go to the even multiple of a step.

    Returns
    -------
    float32 `(n, size)`
    """
    first = np.float32(steps.first)
    limits = (np.float32(steps.top), np.float32(steps.doubling[0]), np.float32(steps.doubling[1]))
    return np.asarray(_search(np.ascontiguousarray(groups), np.ascontiguousarray(scales), first, limits))


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _read(
    size: np.float32, scale: np.float32, first: np.float32, limits: tuple[np.float32, np.float32, np.float32]
) -> np.float32:  # pragma: no cover
    """A magnitude as it is read back. Written so that the compiler makes vectors of it: no division by a choice."""
    small = size / scale
    small = small if small < limits[0] else limits[0]
    step, inverse = first, np.float32(1) / first
    if small >= limits[1]:
        step, inverse = first * np.float32(2), np.float32(0.5) / first
    if small >= limits[2]:
        step, inverse = first * np.float32(4), np.float32(0.25) / first
    return np.rint(small * inverse) * step * scale


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})  # type: ignore[untyped-decorator]
def _search(
    groups: NDArray[np.float32],
    scales: NDArray[np.float32],
    first: np.float32,
    limits: tuple[np.float32, np.float32, np.float32],
) -> NDArray[np.float32]:  # pragma: no cover
    """As `nearest`; sums of squares in any order.

    What is cut off alone is an error that no smaller scale makes less: where it is no less than the least error so far,
    but for the rounding of sums, neither this scale nor a smaller one is tried.
    """
    result = np.zeros_like(groups)
    count, width = groups.shape
    sure = np.float32(1) - np.float32(width) * np.float32(2**-22)
    for n in range(count):
        best, least, vain = np.float32(0), np.float32(np.inf), np.float32(0)
        for t in range(scales.shape[1]):
            scale, error = scales[n, t], np.float32(0)
            if scale > 0:
                if scale <= vain:
                    continue
                if width > NARROW:
                    top, cut = limits[0] * scale, np.float32(0)
                    for i in range(width):
                        rest = abs(groups[n, i]) - top
                        rest = rest if rest > 0 else np.float32(0)
                        cut += rest * rest
                    if cut * sure >= least:
                        vain = scale
                        continue
                for i in range(width):
                    size = abs(groups[n, i])
                    rest = size - _read(size, scale, first, limits)
                    error += rest * rest
            else:
                for i in range(width):
                    error += groups[n, i] * groups[n, i]
            if error < least:
                best, least = scale, error
        if best > 0:
            for i in range(width):
                result[n, i] = np.copysign(_read(abs(groups[n, i]), best, first, limits), groups[n, i])
    return result

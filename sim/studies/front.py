"""The Pareto front of a stream of points: those of which no other is better in one thing and worse in none."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Front:
    """The front of all points so far; of equal ones it keeps the first.

    Parameters
    ----------
    objectives : int
        How many there are; of each, less is better.

    Attributes
    ----------
    values : float64 `(points, objectives)`
    ids : int64 `(points,)`
    """

    def __init__(self, objectives: int) -> None:
        self._values = np.empty((1024, objectives))
        self._ids = np.empty(1024, dtype=np.int64)
        self._count = 0

    @property
    def values(self) -> Values:
        """Objectives of the front's points."""
        return self._values[: self._count]

    @property
    def ids(self) -> Numbers:
        """Their numbers."""
        return self._ids[: self._count]

    def add(self, values: Values, ids: Numbers) -> None:
        """Points to be compared: float64 `(points, objectives)` and their numbers.

        Good ones come first, so that most of the others meet what is better than they are at once.
        """
        if not len(values):
            return
        spread = np.maximum(values.max(axis=0) - values.min(axis=0), 1e-300)
        order = np.argsort(((values - values.min(axis=0)) / spread).sum(axis=1), kind="stable")
        values, ids, start = np.ascontiguousarray(values[order]), ids[order], 0
        while start < len(values):
            self._count, start = _add(self._values, self._ids, self._count, values, ids, start)
            if start < len(values):
                self._values = np.concatenate([self._values, np.empty_like(self._values)])
                self._ids = np.concatenate([self._ids, np.empty_like(self._ids)])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _add(
    front: Values, numbers: Numbers, count: int, values: Values, ids: Numbers, start: int
) -> tuple[int, int]:  # pragma: no cover
    """Adds points from number `start` on until there is no room; how many the front has, and the next number."""
    kinds = values.shape[1]
    for point in range(start, len(values)):
        if count == len(front):
            return count, point
        beaten = False
        for other in range(count):
            worse = True
            for kind in range(kinds):
                if front[other, kind] > values[point, kind]:
                    worse = False
                    break
            if worse:
                beaten = True
                ahead = other // 2  # what beat one point beats the next one, often
                for kind in range(kinds):
                    front[other, kind], front[ahead, kind] = front[ahead, kind], front[other, kind]
                numbers[other], numbers[ahead] = numbers[ahead], numbers[other]
                break
        if beaten:
            continue
        kept = 0
        for other in range(count):
            worse = True
            for kind in range(kinds):
                if values[point, kind] > front[other, kind]:
                    worse = False
                    break
            if not worse:
                if kept < other:
                    front[kept], numbers[kept] = front[other], numbers[other]
                kept += 1
        front[kept], numbers[kept] = values[point], ids[point]
        count = kept + 1
    return count, len(values)

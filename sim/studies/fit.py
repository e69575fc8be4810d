"""Areas of whole designs from the sums of their units: fits, with the errors that they make."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """`fixed + share · (sum of a design's units) + column · (columns of a weight-stationary array) + address · (bits of
    the addresses of its banks)`.

    Attributes
    ----------
    fixed, share, column, address : float
        What every design has besides its array, what becomes of units that are synthesised with their neighbours, what
        adds up a column's sums, and what counts through a bank, for each bit of its address.
    worst : float
        The largest relative error, also on designs between others that were left out of the fit.
    lowest, highest : float
        Sums of units between which designs were measured; beyond them the fit only says so.
    designs : int
        How many it is of; 0 if none were measured, and the sum of the units is all that there is.
    """

    fixed: float = 0.0
    share: float = 1.0
    column: float = 0.0
    address: float = 0.0
    worst: float = 0.0
    lowest: float = 0.0
    highest: float = float("inf")
    designs: int = 0


def fitted(
    units: Sequence[float], measured: ArrayLike, columns: Sequence[float] = (), addresses: Sequence[float] = ()
) -> Fit:
    """The fit of least squares of relative errors.

    Parameters
    ----------
    units : sequence of float
        Sums of the designs' units.
    measured : float `(designs,)`
    columns, addresses : sequence of float
        Columns of weight-stationary arrays, and bits of the addresses of banks; nothing is fitted to what is left out.
    """
    others = {"column": columns, "address": addresses}
    names = [name for name, some in others.items() if len(some)]
    parts = np.stack([np.ones(len(units)), units, *(others[name] for name in names)], axis=1)
    y = np.asarray(measured, dtype=float)
    sums, errors = parts[:, 1], []
    for left_out in range(len(y)):
        kept = np.arange(len(y)) != left_out
        if sums[kept].min() <= sums[left_out] <= sums[kept].max():  # beyond them it would be no fit
            errors.append(_error(_solve(parts[kept], y[kept]), parts[left_out], y[left_out]))
    weights = _solve(parts, y)
    errors += [_error(weights, row, value) for row, value in zip(parts, y, strict=True)]
    fixed, share, *rest = map(float, weights)
    return Fit(
        fixed,
        share,
        **dict(zip(names, rest, strict=True)),
        worst=max(errors),
        lowest=float(sums.min()),
        highest=float(sums.max()),
        designs=len(y),
    )


def _solve(parts: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(parts / y[:, None], np.ones(len(y)), rcond=None)[0])


def _error(weights: Floats, row: Floats, value: float) -> float:
    return float(abs(row @ weights - value) / value)

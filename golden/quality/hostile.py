"""Families of matrices that are hard on a quantised product, and what the universal scheme makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from golden.format import Format
from golden.quantize import quantize
from golden.theory import guarantee, phi
from golden.universal import Universal

Matrix = NDArray[np.float64]
Family = Callable[[np.random.Generator, int, int], tuple[Matrix, Matrix]]


def heavy_tails(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """Student's t with two degrees of freedom: infinite variance."""
    return rng.standard_t(2, (rows, k)), rng.standard_t(2, (rows, k))


def huge_column(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """One column a hundred times the others, in one operand: an activation outlier."""
    a, b = rng.normal(size=(2, rows, k))
    a[:, k // 3] *= 100
    return a, b


def rank_one(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """Outer products: all rows of an operand are multiples of one."""
    a, b = (np.outer(rng.normal(size=rows), rng.normal(size=k)) for _ in range(2))
    return a, b


def constant_rows(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """Every row a constant, ten times its noise (a column of the transposed operand that multiplies)."""
    a, b = rng.normal(size=(2, rows, k))
    return a + 10 * rng.normal(size=(rows, 1)), b + 10 * rng.normal(size=(rows, 1))


def correlated(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """Neighbours in a row correlated at 0.99, and the same row direction in both operands."""
    steps = rng.normal(size=(2, rows, k))
    for j in range(1, k):
        steps[..., j] = 0.99 * steps[..., j - 1] + np.sqrt(1 - 0.99**2) * steps[..., j]
    return steps[0], steps[0] + 0.1 * steps[1]


def sparse(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """One entry in fifty is not zero."""
    a, b = rng.normal(size=(2, rows, k)) * (rng.uniform(size=(2, rows, k)) < 0.02)
    a[:, 0], b[:, 0] = 1, 1  # no row is all zeros
    return a, b


def nearly_orthogonal(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """The product is nearly zero: B has only a thousandth of what lies in the span of A's rows."""
    a, b = rng.normal(size=(2, rows, k))
    base, _ = np.linalg.qr(a.T)
    return a, b - 0.999 * (b @ base) @ base.T


def deep_holes(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """Blocks just beside deep holes of the lattice, all rounded the same way; a few large ones pin the scale.

    Both operands err in the same direction in every block, so that the errors add up instead of averaging out.
    """
    hole = np.array([0.9, 0.9, 0.05, 0, 0, 0, 0, 0])
    rest = np.tile(hole, k // 8)
    a, b = (np.outer(rng.choice([-1, 1], rows), rest) for _ in range(2))
    a[:, :8], b[:, :8] = 5.0, 5.0
    return a, b + 0.01 * rng.normal(size=b.shape)


def graded(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """Columns fall from 1 to 1/10,000, in both operands."""
    a, b = rng.normal(size=(2, rows, k)) * np.geomspace(1, 1e-4, k)
    return a, b


def gram(rng: np.random.Generator, rows: int, k: int) -> tuple[Matrix, Matrix]:
    """An operand times itself: both sides make the same errors."""
    a = rng.laplace(size=(rows, k))
    return a, a.copy()


FAMILIES: dict[str, Family] = {
    "heavy tails": heavy_tails,
    "one huge column": huge_column,
    "rank 1": rank_one,
    "constant rows": constant_rows,
    "correlated": correlated,
    "sparse": sparse,
    "nearly orthogonal": nearly_orthogonal,
    "deep holes": deep_holes,
    "graded columns": graded,
    "Gram matrix": gram,
}


COHERENT = ("rank 1",)
"""Families in which all entries of a product err together: only many draws, of few rows, show their mean."""


@dataclass(frozen=True)
class Verdict:
    """The guarantee on one family; figures relative to ‖Ā‖²·‖B̄‖²/K, summed over all entries, means over the draws.

    Parameters
    ----------
    bound : float
    measured : float
        With centring and rotation.
    error : float
        Standard error of `measured`.
    without : float
        Measured without centring and rotation.
    """

    bound: float
    measured: float
    error: float
    without: float

    @property
    def holds(self) -> bool:
        """Whether the measured error is within the bound, three standard errors and the ε of a finite K, 5 %."""
        return self.measured <= 1.05 * self.bound + 3 * self.error


def judge(family: Family, fmt: Format, *, rows: int = 16, k: int = 1024, draws: int = 32, seed: int = 0) -> Verdict:
    """Measures a family against the guarantee with Γ = φ(D), D the code's error on Gaussians (`gaussian_error`).

    Every draw has new matrices and a new rotation.
    """
    gamma = float(phi(gaussian_error(fmt, k)))
    figures = []
    for draw in range(draws):
        a, b = family(np.random.default_rng([seed, draw]), rows, k)
        exact = a @ b.T
        centred = [m - m.mean(axis=1, keepdims=True) for m in (a, b)]
        unit = float(np.square(centred[0]).sum() * np.square(centred[1]).sum() / k)
        errors = [guarantee(a, b, gamma)]
        for scheme in (Universal(fmt, seed=draw), Universal(fmt, centre=False, seed=None)):
            errors.append(float(np.square(exact - scheme.product(scheme.prepare(a), scheme.prepare(b))).sum()))
        figures.append(np.array(errors) / unit)
    bound, measured, without = np.mean(figures, axis=0)
    return Verdict(bound, measured, float(np.std(figures, axis=0)[1] / np.sqrt(draws)), without)


@cache
def gaussian_error(fmt: Format, k: int = 1024, seed: int = 1) -> float:
    """Relative mean squared error D of a format on 512 iid Gaussian rows of length k."""
    x = np.random.default_rng(seed).normal(size=(512, k))
    return float(np.square(x - quantize(x, fmt).dequantize()).sum() / np.square(x).sum())

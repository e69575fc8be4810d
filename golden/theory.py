"""What theory says: the least distortion of a quantised product at a rate, and the lattice's own figures.

Distortion is relative: of an estimate Ĉ of C = A·Bᵀ with A `(M, K)` and B `(N, K)`, iid standard Gaussian entries, it
is E‖C − Ĉ‖²/(M·N·K). Rates R are bits per entry of each of the two matrices.

Sources: Ordentlich and Polyanskiy, "Optimal Quantization for Matrix Multiplication", arXiv 2410.13780, for Γ, R* and
the guarantee; Conway and Sloane, "Sphere Packings, Lattices and Groups", for the lattice.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from golden.lattice import DIM, codewords, lanes, minimal_vectors, nearest_lanes


def critical_rate() -> float:
    """R*, the positive root of R = ½·log2(1 + 4·R·ln 2), in bits: below it, time sharing is optimal."""
    return float(brentq(lambda r: r - 0.5 * np.log2(1 + 4 * r * np.log(2)), 0.1, 2.0, xtol=1e-14))


def phi(distortion: ArrayLike) -> NDArray[np.float64]:
    """φ(D) = 2D − D²: the distortion of a product whose two sides each have relative mean squared error D.

    Holds for estimates x̂ that are shrunk as a conditional mean is, E[x·x̂] = E[x̂²], with errors independent of each
    other.
    """
    d = np.asarray(distortion, dtype=np.float64)
    return 2 * d - d**2


def rate_distortion(rate: ArrayLike) -> NDArray[np.float64]:
    """D(R) = 2^(−2R): the least mean squared error of a Gaussian of variance 1 at R bits (Shannon 1959)."""
    return np.exp2(-2 * np.asarray(rate, dtype=np.float64))


def gamma(rate: ArrayLike) -> NDArray[np.float64]:
    """Γ(R): the least distortion of a product of iid Gaussian matrices at R bits per entry of each.

    Γ(R) = 1 − (1 − φ(2^(−2R*)))·R/R* below R*, and φ(2^(−2R)) from R* on (arXiv 2410.13780).
    """
    r = np.asarray(rate, dtype=np.float64)
    knee = critical_rate()
    return np.where(r < knee, 1 - (1 - phi(rate_distortion(knee))) * r / knee, phi(rate_distortion(r)))


def guarantee(a: ArrayLike, b: ArrayLike, distortion: float) -> float:
    """What the universal scheme guarantees for any two matrices: a bound on E‖A·Bᵀ − Ĉ‖², summed over all entries.

    ‖Ā·B̄ᵀ‖²·Γ² + (‖Ā‖²·‖B̄‖²/K)·(Γ − Γ²), the rows of Ā and B̄ being those of A and B less their means. Exact, not only a
    bound, where rotation makes the quantisation errors independent of the data's directions.

    Parameters
    ----------
    a : real `(M, K)`
    b : real `(N, K)`
    distortion : float
        Γ: `gamma(rate)` for the best code there could be, `phi(D)` for a code of relative mean squared error D.

    Notes
    -----
    The form is that of arXiv 2410.13780 without its ε, which vanishes with K. Its constants are quoted from memory of
    the paper, but follow from φ: with Â = (1−D)·A + noise of variance D·(1−D), the bias is Γ·A·Bᵀ and the variance
    (1−D)²·φ(D) = Γ − Γ² times ‖A‖²·‖B‖²/K.
    """
    x, y = (np.asarray(m, dtype=np.float64) for m in (a, b))
    x, y = (m - m.mean(axis=1, keepdims=True) for m in (x, y))
    product, size = np.square(x @ y.T).sum(), np.square(x).sum() * np.square(y).sum() / x.shape[1]
    return float(product * distortion**2 + size * (distortion - distortion**2))


def kissing_number() -> int:
    """Neighbours of a point at the least distance: 240 for E8."""
    return len(minimal_vectors())


def covering_radius() -> float:
    """The largest distance of any point from Λ, √2.

    The deep holes are halves of points of Λ and so lie in ½Z⁸; as 2Z⁸ ⊂ Λ, trying 4⁸ points tries them all.
    """
    x = np.indices((4,) * DIM).reshape(DIM, -1).T.astype(np.float32) / np.float32(2)
    return float(np.sqrt(_square_error(x).max()))


def second_moment(samples: int = 1_000_000, seed: int = 0) -> tuple[float, float]:
    """The normalised second moment of Λ, by Monte Carlo, and its standard error; exactly 929/12960 for E8.

    Conway and Sloane, chapter 21. NSM = E‖x − nearest(x)‖² / (8·V^(2/8)) for x uniform over a cell of volume V; the
    density of Λ in Z⁸ is that of its code, 16/256, so V = 16.
    """
    x = np.random.default_rng(seed).uniform(0, 2, (samples, DIM)).astype(np.float32)
    volume = 2**DIM / len(codewords())
    moments = _square_error(x).astype(np.float64) / (DIM * volume ** (2 / DIM))
    return float(moments.mean()), float(moments.std() / np.sqrt(samples))


def _square_error(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """‖x − nearest(x)‖² of blocks `(n, 8)`."""
    parts = lanes(x)
    errors = [np.square(a - p) for a, p in zip(parts, nearest_lanes(parts, dtype=np.int8), strict=True)]
    return np.add.reduce(errors)

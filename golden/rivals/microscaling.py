"""4-bit floating point with block scales: MXFP4 and NVFP4."""

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix
from golden.rivals import Coded, by_parts, grouped
from golden.rivals.steps import E2M1, nearest

E4M3_MAX = 448.0

SCALES = (1.0, *np.linspace(0.5, 1.5, 21))
"""Fractions of NVFP4's own group scale that a search tries, its own first."""


def mxfp4(matrix: ArrayLike, *, search: bool = False) -> Coded:
    """MXFP4: E2M1 elements in groups of 32 with an E8M0 scale, 2^(floor(log2(largest)) − 2), values beyond saturated.

    With `search`, the scales twice and half as large are tried as well, and the one of least squared error is taken.

    Source: OCP Microscaling Formats (MX) Specification 1.0, section 6.3.
    """
    x = as_matrix(matrix)
    groups = grouped(x, 32).reshape(-1, 32)
    largest = np.abs(groups).max(axis=1, keepdims=True)
    _, power = np.frexp(largest)  # largest = m·2^power with m in [1/2, 1)
    exponents = np.clip(power - 1 - 2 + ((0, 1, -1) if search else (0,)), -127, 127)
    values = nearest(groups, np.ldexp(np.float32(1), exponents), E2M1)
    return Coded(_matrix(values, x), (4 * groups.size + 8 * largest.size) / x.size)


def nvfp4(matrix: ArrayLike, *, search: bool = False) -> Coded:
    """NVFP4: E2M1 elements in groups of 16 with an E4M3 scale, and one float32 scale for the matrix.

    The matrix's scale maps the largest group scale to E4M3's largest value. With `search`, a group's largest magnitude
    need not become 6: scales from a half to one and a half times as large (`SCALES`) are tried, and the one of least
    squared error is taken. Source: NVIDIA's description of the format.
    """
    x = as_matrix(matrix)
    groups = grouped(x, 16).reshape(-1, 16)
    whole = np.float32(np.abs(groups).max() / (E2M1.top * E4M3_MAX)) or np.float32(1)

    factors = (np.array(SCALES if search else SCALES[:1]) / E2M1.top).astype(np.float32)

    def code(part: NDArray[np.float32]) -> NDArray[np.float32]:
        return nearest(part, _scales(part, factors, whole), E2M1)

    values = by_parts(groups, code)
    return Coded(_matrix(values, x), (4 * groups.size + 8 * len(groups) + 32) / x.size)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _scales(
    groups: NDArray[np.float32], factors: NDArray[np.float32], whole: np.float32
) -> NDArray[np.float32]:  # pragma: no cover
    """Fractions of groups' largest magnitudes as they are read back from E4M3, of which `whole` is 1: `(n, factors)`.

    Three bits follow the first one, or the number is a multiple of 2^−9: it is added to what leaves no others a place.
    """
    result = np.empty((len(groups), len(factors)), dtype=np.float32)
    for n in range(len(groups)):
        largest = np.float32(0)
        for x in groups[n]:
            largest = max(largest, abs(x))
        for t in range(len(factors)):
            exact = min(largest * factors[t] / whole, np.float32(E4M3_MAX))
            power = np.int32(np.float32(exact).view(np.int32) & 0x7F800000).view(np.float32)
            large = max(power, np.float32(2**-6)) * np.float32(2**20)
            result[n, t] = ((exact + large) - large) * whole
    return result


def _matrix(groups: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    return groups.reshape(len(x), -1)[:, : x.shape[1]].astype(np.float32)

"""The blocks of llama.cpp: K-quants and i-quants, read back by the `gguf` package's own NumPy.

The package reads these types and does not write them. Written here are its bytes, so that what is stored is what is
counted; the search for scales and codes is this module's own: the least squared error, without importances.

A block of 256 weights has a float16 scale d, and parts of 16 or 32 with a small integer S each; a weight is d·S·c, or
d·S·c − d'·S'·1 with a second pair of scales, c being one of a few integers, or one of the coordinates of an entry of a
grid of magnitude patterns, with its sign.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.arrays import as_matrix
from golden.errors import GossetError
from golden.rivals import Coded, divide, grouped

BLOCK = 256
"""Weights per block."""

CHUNK = 1 << 10
"""Blocks worked on at once."""

TRIED = np.linspace(1.05, 0.45, 13)
"""Fractions of a part's largest magnitude tried as the largest value that can be read back."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def available() -> bool:
    """Whether the `gguf` package is installed."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Ggml:
    """One of the block types.

    Parameters
    ----------
    name : of `TYPES`

    Raises
    ------
    GossetError
        When called, if the `gguf` package is missing.
    """

    name: str

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        x = as_matrix(matrix)
        if not available():
            raise GossetError('The blocks of llama.cpp are read by a package: pip install "gguf>=0.17".')
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType[self.name]
        groups = grouped(x, BLOCK).reshape(-1, BLOCK)
        starts = range(0, len(groups), CHUNK)
        stored = np.concatenate([TYPES[self.name](groups[start : start + CHUNK]) for start in starts])
        values = dequantize(stored, kind).reshape(len(x), -1)[:, : x.shape[1]]
        return Coded(np.ascontiguousarray(values), 8 * stored.size / x.size)


def _float16(x: Floats) -> Floats:
    """Rounded to float16, where zeros of d would only lose what is below float16's range anyway."""
    return np.clip(x, -65504, 65504).astype(np.float16).astype(np.float32)


# ---- Scales: real ones for the parts, then one float16 for the block and an integer for each part.

Read = Callable[[Floats, Floats], Floats]
"""What parts `(n, size)` are read back as with scales `(n, 1)`."""


def _scales(groups: Floats, size: int, levels: Floats, top: float, read: Read) -> tuple[Floats, NDArray[np.intp]]:
    """d `(n, 1)` and the index of each part's level `(n, parts)`; `top` is the largest |c|, levels[-1] the largest S.

    Levels that start with a negative one allow scales of both signs, for codes that are not symmetric.
    """
    count, parts = len(groups), groups.reshape(-1, size)
    unit = np.abs(parts).max(axis=1, keepdims=True) / np.float32(top)
    both = (1, -1) if levels[0] < 0 else (1,)
    scale, least = unit, np.full_like(unit, np.inf)
    for trial in (unit * np.float32(sign * fraction) for sign in both for fraction in TRIED):
        error = np.square(parts - read(parts, trial)).sum(axis=1, keepdims=True)
        scale, least = np.where(error < least, trial, scale), np.minimum(error, least)
    whole = scale.reshape(count, -1)
    extreme = np.take_along_axis(whole, np.abs(whole).argmax(axis=1)[:, None], axis=1)
    d = _float16(extreme / (levels[0] if levels[0] < 0 else levels[-1]))
    for _ in range(2):
        each = np.repeat(d, whole.shape[1], axis=0)
        guess = np.searchsorted((levels[1:] + levels[:-1]) / 2, divide(scale, each))
        index, values, least = guess, np.zeros_like(parts), np.full_like(unit, np.inf)
        for near in (np.clip(guess + more, 0, len(levels) - 1) for more in (0, 1, -1)):
            trial = read(parts, each * levels[near])
            error = np.square(parts - trial).sum(axis=1, keepdims=True)
            better = error < least
            index, values, least = (
                np.where(better, near, index),
                np.where(better, trial, values),
                np.minimum(error, least),
            )
        # The d that fits best what was chosen.
        integers = divide(values, each).reshape(groups.shape)
        energy = np.square(integers).sum(axis=1, keepdims=True)
        d = np.where(energy > 0, _float16(divide((groups * integers).sum(axis=1, keepdims=True), energy)), d)
    return d, index.reshape(count, -1)


def _scales_and_minima(groups: Floats, size: int, top: int, levels: int) -> tuple[Floats, Bytes, Bytes, Bytes]:
    """d and d' `(n, 2)`, the integers of scales and of minima `(n, parts)`, codes `(n, 256)` from 0 to `top`."""
    count, parts = len(groups), groups.reshape(-1, size)
    low = np.minimum(parts.min(axis=1, keepdims=True), 0)
    high = parts.max(axis=1, keepdims=True) - low
    scale, minimum, least = high / np.float32(top), -low, np.full_like(low, np.inf)
    for a in TRIED[1::2]:
        for b in TRIED[1::2]:
            m = -low * np.float32(a)
            s = np.maximum((high + low) * np.float32(b) + m, 0) / np.float32(top)
            error = np.square(parts - _affine(parts, s, m, top)).sum(axis=1, keepdims=True)
            better = error < least
            scale, minimum, least = np.where(better, s, scale), np.where(better, m, minimum), np.minimum(error, least)
    pair = np.stack([scale.reshape(count, -1), minimum.reshape(count, -1)], axis=1)
    d = _float16(pair.max(axis=2) / np.float32(levels))
    for _ in range(2):
        each = np.repeat(d, parts.shape[0] // count, axis=0)
        guess = [np.rint(divide(v, e)) for v, e in zip((scale, minimum), (each[:, :1], each[:, 1:]), strict=True)]
        best, least = np.concatenate(guess, axis=1), np.full_like(low, np.inf)
        for s in (0, 1, -1):
            for m in (0, 1, -1):
                trial = np.clip(np.concatenate([guess[0] + s, guess[1] + m], axis=1), 0, levels)
                real = trial * each
                error = np.square(parts - _affine(parts, real[:, :1], real[:, 1:], top)).sum(axis=1, keepdims=True)
                best, least = np.where(error < least, trial, best), np.minimum(error, least)
        real = best * each
        code = _codes(parts, real[:, :1], real[:, 1:], top)
        used, d = d, _refit(groups, (best[:, :1] * code).reshape(groups.shape), np.repeat(best[:, 1], size), d)
    integers = best.astype(np.uint8).reshape(count, -1, 2)
    return used, integers[..., 0], integers[..., 1], code.astype(np.uint8).reshape(groups.shape)


def _refit(groups: Floats, a: Floats, b: Floats, d: Floats) -> Floats:
    """The d and d' of least squared error ‖x − d·a + d'·b‖, as they were where there is no single best or it is < 0."""
    b = b.reshape(groups.shape)
    aa, bb, ab = (a * a).sum(axis=1), (b * b).sum(axis=1), (a * b).sum(axis=1)
    ax, bx, det = (a * groups).sum(axis=1), (b * groups).sum(axis=1), aa * bb - ab * ab
    fit = np.stack([divide(ax * bb - ab * bx, det), divide(ax * ab - aa * bx, det)], axis=1)
    good = (det > 1e-3 * aa * bb) & (fit >= 0).all(axis=1)
    return np.where(good[:, None], _float16(fit), d)


def _codes(parts: Floats, scale: Floats, minimum: Floats, top: int) -> Floats:
    return np.clip(np.rint(divide(parts + minimum, scale)), 0, top)


def _affine(parts: Floats, scale: Floats, minimum: Floats, top: int) -> Floats:
    return scale * _codes(parts, scale, minimum, top) - minimum


# ---- Codes of single weights.


def _integers(low: int, high: int) -> Read:
    def read(parts: Floats, scale: Floats) -> Floats:
        return scale * np.clip(np.rint(divide(parts, scale)), low, high)

    return read


def _table(values: Floats) -> Callable[[Floats, Floats], NDArray[np.intp]]:
    """Indices of the nearest of ascending values."""
    middle = (values[1:] + values[:-1]) / 2
    return lambda parts, scale: np.searchsorted(middle, divide(parts, scale))


# ---- Grids of magnitude patterns.


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _nearest(size: Floats, grid: Floats, odd: NDArray[np.bool_]) -> NDArray[np.uint16]:  # pragma: no cover
    """The grid's entry nearest to magnitudes `(n, dim)`; where `odd`, one coordinate must have the wrong sign."""
    result = np.zeros(len(size), dtype=np.uint16)
    for n in numba.prange(len(size)):
        least = np.float32(np.inf)
        for k in range(len(grid)):
            error, turn = np.float32(0), np.float32(np.inf)
            for i in range(grid.shape[1]):
                rest = size[n, i] - grid[k, i]
                error += rest * rest
                turn = min(turn, size[n, i] * grid[k, i])
            if odd[n]:
                error += 4 * turn
            if error < least:
                least, result[n] = error, k
    return result


@dataclass(frozen=True, eq=False)
class _Grid:
    """Magnitude patterns with signs; `even`: of a pattern's eight signs an even number is negative."""

    entries: Floats
    even: bool

    def index(self, parts: Floats, scale: Floats) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Entries `(n, size/dim)` and which weights are negative `(n, size)`."""
        dim = self.entries.shape[1]
        unit = divide(parts, scale).reshape(-1, dim)
        negative = unit < 0
        odd = np.logical_xor.reduce(negative, axis=1) if self.even else np.zeros(len(unit), dtype=np.bool_)
        entry = _nearest(np.abs(unit), self.entries, odd)
        rows = np.flatnonzero(odd)
        cheapest = (np.abs(unit[rows]) * self.entries[entry[rows]]).argmin(axis=1)
        negative[rows, cheapest] ^= True
        return entry.reshape(len(parts), -1), negative.reshape(parts.shape)

    def read(self, parts: Floats, scale: Floats) -> Floats:
        entry, negative = self.index(parts, scale)
        size = self.entries[entry].reshape(parts.shape)
        return scale * np.where(negative, -size, size)


def _grid(name: str, even: bool) -> _Grid:
    from gguf import quants

    kind: Any = getattr(quants, name)
    kind.init_grid()
    return _Grid(np.ascontiguousarray(kind.grid.reshape(kind.grid_shape)), even)


# ---- Bytes, as the package's `dequantize_blocks` takes them apart.


def _half(d: Floats) -> Bytes:
    return d.astype(np.float16).view(np.uint8)


def _fields(codes: NDArray[Any], shape: tuple[int, ...], width: int) -> Bytes:
    """Codes `(n, …)`, as `shape` = (outer, fields of a byte, inner), `width` bits each, the first field lowest."""
    parts = codes.astype(np.uint8).reshape(len(codes), *shape)
    total = np.zeros((len(codes), shape[0], shape[2]), dtype=np.uint8)
    for i in range(shape[1]):
        total |= parts[:, :, i] << np.uint8(width * i)
    return total.reshape(len(codes), -1)


def _nibbles(codes: NDArray[Any]) -> Bytes:
    return _fields(codes, (codes.shape[1] // 2, 2, 1), 4)


def _q2_k(groups: Floats) -> Bytes:
    d, scale, minimum, code = _scales_and_minima(groups, 16, 3, 15)
    return np.hstack([scale | minimum << 4, _fields(code, (2, 4, 32), 2), _half(d)])


def _q4_k(groups: Floats) -> Bytes:
    d, scale, minimum, code = _scales_and_minima(groups, 32, 15, 63)
    first = [v[:, :4] | (v[:, 4:] >> 4) << 6 for v in (scale, minimum)]
    last = scale[:, 4:] & 15 | (minimum[:, 4:] & 15) << 4
    return np.hstack([_half(d), *first, last, _fields(code, (4, 2, 32), 4)])


def _q3_k(groups: Floats) -> Bytes:
    levels = np.arange(-32, 32, dtype=np.float32)
    d, index = _scales(groups, 16, levels, 4, _integers(-4, 3))
    scale = np.repeat(d * levels[index], 16, axis=1)
    code = (np.clip(np.rint(divide(groups, scale)), -4, 3) + 4).astype(np.uint8)
    scales = [_fields(index & 15, (1, 2, 8), 4), _fields(index >> 4, (1, 4, 4), 2)]
    return np.hstack([_fields(code >> 2, (1, 8, 32), 1), _fields(code & 3, (2, 4, 32), 2), *scales, _half(d)])


def _iq4_xs(groups: Floats) -> Bytes:
    from gguf.quants import IQ4_NL

    levels, values = np.arange(-32, 32, dtype=np.float32), np.array(IQ4_NL.kvalues, dtype=np.float32)
    nearest = _table(values)
    d, index = _scales(groups, 32, levels, 127, lambda parts, scale: scale * values[nearest(parts, scale)])
    code = nearest(groups, np.repeat(d * levels[index], 32, axis=1))
    high = _fields(index >> 4, (2, 4, 1), 2)
    return np.hstack([_half(d), high, _nibbles(index & 15), _fields(code, (8, 2, 16), 4)])


def _iq2_xs(groups: Floats) -> Bytes:
    grid, levels = _grid("IQ2_XS", even=True), np.arange(0.125, 4, 0.25, dtype=np.float32)
    d, index = _scales(groups, 16, levels, 43, grid.read)
    entry, negative = grid.index(groups.reshape(-1, 16), (d * levels[index]).reshape(-1, 1))
    signs = np.packbits(negative.reshape(-1, 8)[:, :7], axis=1, bitorder="little").reshape(entry.shape)
    words = (entry | signs.astype(np.uint16) << 9).astype("<u2").reshape(len(groups), -1)
    return np.hstack([_half(d), words.view(np.uint8), _nibbles(index)])


def _iq3_s(groups: Floats) -> Bytes:
    grid, levels = _grid("IQ3_S", even=False), np.arange(1, 33, 2, dtype=np.float32)
    d, index = _scales(groups, 32, levels, 15, grid.read)
    entry, negative = grid.index(groups.reshape(-1, 32), (d * levels[index]).reshape(-1, 1))
    entry = entry.reshape(len(groups), -1)
    high, signs = (
        np.packbits(bits.reshape(len(groups), -1), axis=1, bitorder="little") for bits in (entry >> 8, negative)
    )
    return np.hstack([_half(d), entry.astype(np.uint8), high, signs, _nibbles(index)])


TYPES: dict[str, Callable[[Floats], Bytes]] = {
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "IQ2_XS": _iq2_xs,
    "IQ3_S": _iq3_s,
    "IQ4_XS": _iq4_xs,
}
"""What turns blocks `(n, 256)` of weights into bytes `(n, …)`, by the type's name in GGUF."""

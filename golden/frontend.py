"""The activation front end: raw fixed-point rows in, packed blocks out. The rules of its arithmetic, bit for bit.

A row of signed integers is cut into segments of `length` coordinates. Every segment goes through the same steps, in
integers only; x ≫ n is the arithmetic shift ⌊x/2ⁿ⌋, rounding is (x + 2ⁿ⁻¹) ≫ n, and clip_n saturates to n-bit two's
complement:

1. signs        x' = ±x, the signs being `length` bits of a shift register that starts at the seed (1 is minus) and
                follows s[n+16] = s[n] ⊕ s[n+2] ⊕ s[n+3] ⊕ s[n+5]; the negative of the least number saturates.
2. transform    w = H·x', the Walsh–Hadamard transform in Sylvester's order, not normalised, exact in
                raw_bits + log2(length) bits.
3. multiplier   one per row: mantissa·2^−exponent, about 1/(scale·√length) of the orthonormal transform's scale.
                Given by the host, or gain/max|w|, or gain/√Σx² of the row (see `FrontEndRules.measured`).
4. scaling      a = clip(round(w·2^(F+6) / 2^exponent)), t = round(a·mantissa / 2⁶): coordinates in units of the
                scale, F fraction bits.
5. candidates   for each β: z = clip(round(t·c / 2¹²)), F fraction bits, c being 2¹²/β as near as two additions of
                shifted numbers come to it (see `inverse`); p = nearest(z).
6. choice       the smallest β for which p does not overload, the largest if it does for all ("first" of
                `golden.rounding`); the label of its p.

All widths follow from the parameters: see the properties of `FrontEndRules`. The clips of 4 and 5 are so wide that what
they change overloads in any case.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from golden.arrays import as_integers, as_matrix, check_scales, real
from golden.errors import GossetError
from golden.format import Format, PackedMatrix
from golden.given import integer, is_integer, shown
from golden.lattice import DIM, Lanes, lanes, nearest_lanes
from golden.quantize import gaussian_scale
from golden.reciprocal import INVERSE_BITS, inverse
from golden.universal import hadamard
from golden.voronoi import encode_lanes, label_dtype, reduce_lanes

Integers = NDArray[np.int64]

SEED_BITS = 16
"""Bits of the shift register that the signs come from."""

TAPS = (0, 2, 3, 5)
"""Its next bit is the sum of these: x¹⁶ + x⁵ + x³ + x² + 1 is primitive, and eight steps at once are one gate each."""

SEED = 0xACE1
"""A seed that the project uses where none is asked for."""

MANTISSA_BITS = 6
"""Bits of a multiplier's mantissa, the top one set. It limits which scales there are, not how well they are known: the
best one is met within 1.6 %, which costs less than 0.01 dB."""

TABLE_BITS = 6
"""Bits that index the tables of reciprocals."""

GAIN_EXPONENT_BITS = 4
"""Bits of a gain's exponent."""

ScaleMode = Literal["host", "max", "rms"]
"""Where a row's multiplier comes from: the host, the largest coordinate after the transform, or the row's RMS."""

Candidates = Literal["parallel", "serial"]
"""Whether all β of a block are tried at once, or one per cycle. The results are the same."""


class Multiplier(NamedTuple):
    """mantissa·2^−exponent of each row: int64 arrays `(rows,)`; the mantissa 0, or MANTISSA_BITS long."""

    mantissa: Integers
    exponent: Integers


class Gain(NamedTuple):
    """mantissa·2^(exponent − MANTISSA_BITS), a number from 1/2 to below 2^15, the same for all rows."""

    mantissa: int
    exponent: int


@dataclass(frozen=True, kw_only=True)
class FrontEndRules:
    """Everything that describes a front end.

    Parameters
    ----------
    format : Format
        The packed format of the blocks.
    length : int
        Coordinates per segment that the transform mixes: a power of two from 8 to 1024.
    raw_bits : int
        Bits of a raw coordinate, 4 to 24.
    fraction_bits : int
        F, fraction bits of the coordinates that are encoded, 2 to 8. Three cost 0.10 dB at q = 4, four 0.04 dB.
    scale : "host", "max" or "rms"
        Where a row's multiplier comes from.
    candidates : "parallel" or "serial"
        All β of a block in one cycle, or one β per cycle.
    row_blocks : int
        The longest row, in blocks, whose scale can be measured ("max" and "rms"), 1 to 4096.

    Raises
    ------
    GossetError
        If a parameter is out of range.
    """

    format: Format = field(default_factory=Format)
    length: int = 128
    raw_bits: int = 16
    fraction_bits: int = 4
    scale: ScaleMode = "host"
    candidates: Candidates = "parallel"
    row_blocks: int = 256

    def __post_init__(self) -> None:
        if not isinstance(self.format, Format):
            raise GossetError(f"A front end packs in a Format, not {shown(self.format)}.")
        for name, low, high in (
            ("length", 8, 1024),
            ("raw_bits", 4, 24),
            ("fraction_bits", 2, 8),
            ("row_blocks", 1, 4096),
        ):
            object.__setattr__(self, name, integer(getattr(self, name), f"{name} of a front end", low, high))
        if self.length & (self.length - 1):
            raise GossetError(f"length of a front end is a power of two, but it is {self.length}.")
        for name, known in (("scale", ("host", "max", "rms")), ("candidates", ("parallel", "serial"))):
            if getattr(self, name) not in known:
                given = shown(getattr(self, name))
                raise GossetError(f"{name} of a front end is one of {', '.join(known)}, not {given}.")
        if self.scale != "host" and self.row_blocks * DIM < self.length:
            raise GossetError(f"Rows of {self.row_blocks} blocks hold no segment of {self.length} coordinates.")

    @property
    def segment_blocks(self) -> int:
        """Blocks per segment."""
        return self.length // DIM

    @property
    def word_bits(self) -> int:
        """Bits of a transformed coordinate w: exact."""
        return self.raw_bits + self.length.bit_length() - 1

    @property
    def exponent_bits(self) -> int:
        """Bits of a multiplier's exponent: enough to bring the largest row of words down to a few units."""
        return (self.word_bits + MANTISSA_BITS - 2).bit_length()

    @property
    def range_bits(self) -> int:
        """log2 of a bound on |t| up to which some β may not overload: overload is certain from q+1, q+2 is bounded."""
        return (self.format.betas[-1] * (self.format.q + 2) - 1).bit_length()

    @property
    def scaled_bits(self) -> int:
        """Bits of a, and of t: since a mantissa may be 1/2, a is twice the range of t."""
        return 2 + self.range_bits + self.fraction_bits

    @property
    def point_bits(self) -> int:
        """Integer bits of z: coordinates from −2q to 2q, of which those beyond ±q overload."""
        return self.format.m + 2

    @property
    def candidate_bits(self) -> int:
        """Bits of z."""
        return self.point_bits + self.fraction_bits

    @property
    def square_bits(self) -> int:
        """Bits of a row's Σx²."""
        return 2 * self.raw_bits - 2 + (DIM * self.row_blocks).bit_length()

    def signs(self, seed: int = SEED) -> Integers:
        """The signs of a segment, ±1: int64 `(length,)`.

        Raises
        ------
        GossetError
            If the seed has more than SEED_BITS bits. Seed 0 flips no sign.
        """
        if not is_integer(seed) or not 0 <= seed < 1 << SEED_BITS:
            raise GossetError(f"The seed of the signs has {SEED_BITS} bits, but it is {shown(seed)}.")
        bits = [(seed >> i) & 1 for i in range(SEED_BITS)]
        while len(bits) < self.length:
            bits.append(sum(bits[len(bits) - SEED_BITS + tap] for tap in TAPS) & 1)
        return 1 - 2 * np.array(bits[: self.length], dtype=np.int64)

    def rotate(self, x: ArrayLike, seed: int = SEED) -> Integers:
        """Steps 1 and 2: signs and transform of each segment.

        Parameters
        ----------
        x : integer `(rows, columns)`
            Columns a multiple of `length`; of `raw_bits` bits.
        seed : int

        Returns
        -------
        int64 `(rows, columns)`: w

        Raises
        ------
        GossetError
            If x or the seed is not as described.
        """
        raw = self._checked(x)
        most = (1 << (self.raw_bits - 1)) - 1
        segments = raw.reshape(len(raw), -1, self.length)
        y = np.minimum(segments * self.signs(seed), most)
        width = 1
        while width < self.length:
            pairs = y.reshape(len(raw), -1, 2, width)
            y = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
            width *= 2
        return y.reshape(raw.shape)

    def rotate_floats(self, x: ArrayLike, seed: int = SEED) -> NDArray[np.float32]:
        """The orthonormal transform that the front end approximates, for the other operand of a product.

        Parameters
        ----------
        x : real `(rows, columns)`
            Columns a multiple of `length`.
        seed : int

        Returns
        -------
        float32 `(rows, columns)`

        Raises
        ------
        GossetError
            If the columns are no multiple of `length`.
        """
        self._segments(real(x, "A matrix").shape)
        array = as_matrix(x)
        signed = array.reshape(-1, self.length) * self.signs(seed).astype(np.float32)
        return hadamard(signed).reshape(array.shape)

    def multiplier(self, scales: ArrayLike) -> Multiplier:
        """The multipliers nearest to row scales of the orthonormal transform, for the host to give.

        Parameters
        ----------
        scales : real `(rows,)`
            Zero makes a row zero.

        Raises
        ------
        GossetError
            If a scale is negative, not finite, or beyond what the exponent can express.
        """
        scale = real(scales, "A list of row scales").astype(np.float64)
        check_scales(scale)
        zero = scale == 0
        with np.errstate(over="ignore"):
            inverse = 1 / np.where(zero, 1, scale * np.sqrt(self.length))
        fraction, power = np.frexp(np.minimum(inverse, np.finfo(np.float64).max))
        mantissa = np.rint(np.ldexp(fraction, MANTISSA_BITS)).astype(np.int64)
        over = mantissa >> MANTISSA_BITS
        exponent = np.where(zero, 0, MANTISSA_BITS - power - over)
        if (exponent < 0).any() or (exponent >> self.exponent_bits).any():
            low, high = self._scale_range()
            raise GossetError(f"Row scales of this front end are from {low:.3g} to {high:.3g}; one is beyond that.")
        return Multiplier(np.where(zero, 0, mantissa >> over), exponent.astype(np.int64))

    def scales(self, multiplier: Multiplier) -> NDArray[np.float32]:
        """The row scales that multipliers stand for, 2^exponent / (mantissa·√length): float32 `(rows,)`.

        A mantissa of 0 stands for a row of zeros, of scale 0.
        """
        mantissa = multiplier.mantissa.astype(np.float64)
        inverse = np.ldexp(mantissa, -multiplier.exponent) * np.sqrt(self.length)
        return np.divide(1, inverse, out=np.zeros_like(inverse), where=mantissa > 0).astype(np.float32)

    def gain(self, columns: int) -> Gain:
        """The gain that makes measured scales the best ones for Gaussian rows.

        Parameters
        ----------
        columns : int
            Of a row. For "max", Gaussian rows are taken to have their largest coordinate at the quantile 1 − 1/2K.

        Raises
        ------
        GossetError
            If the scale is not measured, or the row is too short or too long.
        """
        columns = integer(columns, "columns of a row", 1, (1 << 31) - 1)
        self._segments((1, columns))
        unit = gaussian_scale(self.format, "first")
        if self.scale == "host":
            raise GossetError("A front end whose scales come from the host has no gain.")
        size = ndtri(1 - 0.5 / columns) if self.scale == "max" else np.sqrt(columns / self.length)
        fraction, power = np.frexp(float(size) / unit)
        mantissa = round(float(np.ldexp(fraction, MANTISSA_BITS)))
        over = mantissa >> MANTISSA_BITS
        return Gain(mantissa >> over, int(power) + over)

    def table(self) -> list[int]:
        """Mantissas of the reciprocal ("max") or the reciprocal square root ("rms") of the statistic.

        A statistic f·2^p with f from 1 to below 2 is looked up with the TABLE_BITS bits of f below the leading one
        ("max"), or with one bit less of them below the lowest bit of p ("rms"). An entry is the value of 2⁶/f, or of
        2⁶/√f or 2⁶/√2f, in the middle of its interval, or the largest mantissa if that is less.
        """
        if self.scale == "max":
            middle = 1 + (np.arange(1 << TABLE_BITS) + 0.5) / (1 << TABLE_BITS)
        else:
            octave = 1 + (np.arange(1 << (TABLE_BITS - 1)) + 0.5) / (1 << (TABLE_BITS - 1))
            middle = np.sqrt(np.concatenate([octave, 2 * octave]))
        return [min(int(v), (1 << MANTISSA_BITS) - 1) for v in np.rint((1 << MANTISSA_BITS) / middle)]

    def measured(self, x: ArrayLike, gain: Gain, seed: int = SEED) -> Multiplier:
        """Step 3 on chip: gain/max|w| or gain/√Σx² of each row.

        max|w| is taken of the magnitudes w for w ≥ 0 and (−1−w) | 1 for w < 0, within one of |w| and 0 only for 0. The
        reciprocal of the statistic comes from `table`; its product with the gain's mantissa is cut to a mantissa; the
        exponent saturates at both ends of its range. A row of zeros gets mantissa 0 and exponent 0.

        Raises
        ------
        GossetError
            If the scale is not measured, or x or the seed is not as described.
        """
        if self.scale == "host":
            raise GossetError("A front end whose scales come from the host measures none.")
        if self.scale == "max":
            w = self.rotate(x, seed)
            statistic = np.where(w < 0, ~w | 1, w).max(axis=1)
        else:
            statistic = np.square(self._checked(x)).sum(axis=1)
        zero = statistic == 0
        lead = np.array([int(v).bit_length() - 1 for v in np.where(zero, 1, statistic)], dtype=np.int64)
        bits = TABLE_BITS if self.scale == "max" else TABLE_BITS - 1
        index = ((statistic << np.maximum(bits - lead, 0)) >> np.maximum(lead - bits, 0)) & ((1 << bits) - 1)
        power = lead
        if self.scale == "rms":
            index, power = index | ((lead & 1) << bits), lead >> 1
        product = np.array(self.table(), dtype=np.int64)[index] * gain.mantissa
        top = product >> (2 * MANTISSA_BITS - 1)
        mantissa = product >> (MANTISSA_BITS - 1 + top)
        exponent = np.clip(MANTISSA_BITS + 1 - top + power - gain.exponent, 0, (1 << self.exponent_bits) - 1)
        return Multiplier(np.where(zero, 0, mantissa), np.where(zero, 0, exponent))

    def scaled(self, w: Integers, multiplier: Multiplier) -> Integers:
        """Step 4: words `(rows, columns)` to coordinates t, int64 `(rows, columns)`."""
        mantissa, exponent = (part[:, None] for part in multiplier)
        # round(w·2^n / 2^e) with one bit below the unit kept by the shift.
        shifted = (w << (self.fraction_bits + MANTISSA_BITS + 1)) >> exponent
        a = _clip((shifted + 1) >> 1, self.scaled_bits)
        return _round(a * mantissa, MANTISSA_BITS)

    def divided(self, parts: Lanes, beta: int) -> list[Integers]:
        """z of step 5: eight arrays of coordinates t over β, with fraction bits, saturated."""
        constant = inverse(beta)
        return [_clip(_round(lane * constant, INVERSE_BITS), self.candidate_bits) for lane in parts]

    def encode(self, t: Integers) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Steps 5 and 6: coordinates `(rows, columns)` to labels and β indices `(rows, columns / 8)`."""
        parts = lanes(t.reshape(len(t), -1, DIM))
        labels = np.zeros(parts[0].shape, dtype=label_dtype(self.format.q))
        index = np.zeros(parts[0].shape, dtype=np.uint8)
        overload = np.ones(parts[0].shape, dtype=np.bool_)
        for i, beta in enumerate(self.format.betas):
            p = nearest_lanes(self.divided(parts, beta), unit=1 << self.fraction_bits)
            labels[overload] = encode_lanes(p, self.format.q)[overload]
            index[overload] = i
            overload &= np.logical_or.reduce([a != b for a, b in zip(p, reduce_lanes(p, self.format.q), strict=True)])
        return labels, index

    def run(
        self, x: ArrayLike, *, seed: int = SEED, multiplier: Multiplier | None = None, gain: Gain | None = None
    ) -> tuple[PackedMatrix, Multiplier]:
        """The whole front end.

        Parameters
        ----------
        x : integer `(rows, columns)`
            Columns a multiple of `length`; of `raw_bits` bits.
        seed : int
        multiplier : Multiplier, for "host"
            Of each row.
        gain : Gain, for "max" and "rms"
            Default: that of Gaussian rows.

        Returns
        -------
        packed : PackedMatrix
            The rotated rows, with the scales of the orthonormal transform.
        multiplier : Multiplier
            The multipliers that were used.

        Raises
        ------
        GossetError
            If x or the seed is not as described, or the multipliers are missing.
        """
        w = self.rotate(x, seed)
        if self.scale != "host":
            multiplier = self.measured(x, gain or self.gain(w.shape[1]), seed)
        elif multiplier is None:
            raise GossetError("A front end whose scales come from the host needs a multiplier for every row.")
        labels, index = self.encode(self.scaled(w, multiplier))
        return PackedMatrix(self.format, w.shape[1], labels, index, self.scales(multiplier)), multiplier

    def _checked(self, x: ArrayLike) -> Integers:
        array = as_integers(x, "A matrix of raw rows")
        self._segments(array.shape)
        limit = 1 << (self.raw_bits - 1)
        if array.min() < -limit or array.max() >= limit:
            raise GossetError(f"Raw coordinates have {self.raw_bits} bits, but the array holds values beyond them.")
        return array.astype(np.int64)

    def check_columns(self, columns: int) -> None:
        """Raises GossetError if no row of the front end has so many coordinates."""
        if columns % self.length:
            raise GossetError(f"Rows consist of whole segments of {self.length}, but one of {columns} was given.")
        if self.scale != "host" and columns > DIM * self.row_blocks:
            raise GossetError(f"Rows have at most {self.row_blocks} blocks of {DIM}, but one of {columns} was given.")

    def _segments(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or 0 in shape:
            raise GossetError(f"Raw rows are a matrix, but the array's shape is {shape}.")
        self.check_columns(shape[1])

    def _scale_range(self) -> tuple[float, float]:
        least, most = (1 << MANTISSA_BITS) - 1, 1 << (MANTISSA_BITS - 1)
        root = float(np.sqrt(self.length))
        return 1 / (least * root), 2.0 ** ((1 << self.exponent_bits) - 1) / (most * root)


def _round(x: Integers, bits: int) -> Integers:
    return (x + (1 << (bits - 1))) >> bits


def _clip(x: Integers, bits: int) -> Integers:
    return np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)

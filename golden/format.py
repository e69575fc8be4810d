"""The packed format: a Voronoi label and a β index per block of 8, a float32 scale per row.

An entry of a packed matrix is scale·β·y: y a coordinate of the decoded label, β one of a few small integers, so that
products of packed matrices are exact integers until the scales are applied. In memory and on disk the labels and the
β indices are two planes: with q = 16 and four β, 16 blocks take exactly sixteen 32-bit words and one.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from golden.arrays import FLOAT32_MAX, check_scales
from golden.errors import GossetError
from golden.files import named, read_bytes, replacing
from golden.given import integer, is_integer, shown
from golden.lattice import DIM, Lanes, blocks
from golden.voronoi import decode_lanes, exponent, label_dtype

VERSION = 1
"""Version of the container file."""

MAX_BETA = 15
"""The largest multiplier: four bits keep β·β a sum of few shifts."""

MAX_BETAS = 8
"""The most multipliers a format may have: three bits of index."""


COLUMNS = "The number of columns of a packed matrix"

MAX_COLUMNS = (1 << 63) - 1
"""What the columns of a matrix are counted with."""


def largest_scale(most: NDArray[np.int16]) -> NDArray[np.float32]:
    """The largest float32 scales with which entries β·y of these magnitudes are finite."""
    ideal = FLOAT32_MAX / np.maximum(most, 1).astype(np.float64)
    scales = ideal.astype(np.float32)
    return np.where(scales > ideal, np.nextafter(scales, np.float32(0)), scales)


@dataclass(frozen=True)
class Format:
    """A packed format.

    Parameters
    ----------
    q : int
        Nesting ratio, a power of two from 2 to 64: 8·log2(q) bits per label.
    betas : tuple of int
        Multipliers a block can pick from: 1 to 8 different integers from 1 to 15, ascending.

    Raises
    ------
    GossetError
        If a parameter is out of range.
    """

    q: int = 16
    betas: tuple[int, ...] = (3, 4, 5, 7)
    m: int = field(init=False, repr=False)
    """log2(q)"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "m", exponent(self.q))
        object.__setattr__(self, "q", int(self.q))
        if not isinstance(self.betas, Iterable) or isinstance(self.betas, str | bytes | dict):
            raise GossetError(f"The values of β are a list of integers, not {shown(self.betas)}.")
        betas = tuple(self.betas)
        if not 1 <= len(betas) <= MAX_BETAS:
            raise GossetError(f"A format has 1 to {MAX_BETAS} values of β, but {len(betas)} were given.")
        if not all(is_integer(b) and 1 <= b <= MAX_BETA for b in betas):
            raise GossetError(f"Each β is an integer from 1 to {MAX_BETA}, but the set is {shown(betas)}.")
        betas = tuple(int(b) for b in betas)
        object.__setattr__(self, "betas", betas)
        if list(betas) != sorted(set(betas)):
            raise GossetError(f"The values of β must be different and ascending, but the set is {betas}.")

    @property
    def label_bits(self) -> int:
        """Bits of a label, 8·m."""
        return DIM * self.m

    @property
    def beta_bits(self) -> int:
        """Bits of a β index; 0 when there is only one β."""
        return (len(self.betas) - 1).bit_length()

    @property
    def point_bits(self) -> int:
        """Bits of a decoded coordinate in two's complement: y ∈ [−q, q−1]."""
        return self.m + 1

    @property
    def bits_per_entry(self) -> float:
        """Bits of label and β index per entry, without the row scales."""
        return (self.label_bits + self.beta_bits) / DIM

    def stored_bits(self, columns: int) -> int:
        """Bits of a row of so many entries: labels and β indices with their padding, and the scale."""
        count = -(-columns // DIM)
        return count * self.label_bits + 32 * -(-count * self.beta_bits // 32) + 32

    @property
    def norm_bound(self) -> int:
        """Bound on ‖y‖² of a decoded block: the covering radius of Λ is √2, so 2·q²."""
        return 2 * self.q**2


def multiplied(points: Lanes, betas: NDArray[np.uint8], fmt: Format) -> NDArray[np.int16]:
    """β·y of points and β indices `(rows, blocks)`: int16 `(rows, 8·blocks)`."""
    integers = blocks(points).astype(np.int16)
    integers *= np.array(fmt.betas, dtype=np.int16)[betas][..., None]
    return integers.reshape(len(betas), -1)


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A matrix in a packed format, row by row.

    Parameters
    ----------
    format : Format
    columns : int
        Entries per row. The last block of a row is padded with entries that were zero before quantisation; they take
        part in products.
    labels : unsigned integers of `label_dtype(q)`, `(rows, ceil(columns / 8))`
    betas : uint8, same shape
        β indices.
    scales : float32 `(rows,)`
        Finite, not negative, and so that all entries are finite.

    Raises
    ------
    GossetError
        If the parts do not fit each other.
    """

    format: Format
    columns: int
    labels: NDArray[Any]
    betas: NDArray[np.uint8]
    scales: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not isinstance(self.format, Format):
            raise GossetError(f"A packed matrix has a Format, not {shown(self.format)}.")
        object.__setattr__(self, "columns", integer(self.columns, COLUMNS, 1, MAX_COLUMNS))
        for name in ("labels", "betas", "scales"):
            if not isinstance(getattr(self, name), np.ndarray):
                raise GossetError(f"The {name} of a packed matrix are an array, not {shown(getattr(self, name))}.")
        shape = (self.scales.size, -(-self.columns // DIM))
        for name, array, wanted, dtype in (
            ("labels", self.labels, shape, label_dtype(self.format.q)),
            ("betas", self.betas, shape, np.dtype(np.uint8)),
            ("scales", self.scales, shape[:1], np.dtype(np.float32)),
        ):
            if array.shape != wanted or array.dtype != dtype:
                raise GossetError(
                    f"A packed matrix of {shape[0]} × {self.columns} has {name} of shape {wanted} and dtype {dtype},"
                    f" but they are {array.shape} and {array.dtype}."
                )
        if shape[0] < 1:
            raise GossetError(f"A packed matrix has at least one row and one column, not {shape[0]} × {self.columns}.")
        if int(self.labels.max()) >> self.format.label_bits:
            raise GossetError(f"A label has more than {self.format.label_bits} bits.")
        if self.betas.max() >= len(self.format.betas):
            raise GossetError(f"A β index is {self.betas.max()}, but the format has {len(self.format.betas)} values.")
        check_scales(self.scales)
        self._check_finite()

    def _check_finite(self) -> None:
        """Whether all entries are finite; labels are decoded only of rows whose scale leaves a doubt."""
        rows = np.flatnonzero(self.scales > FLOAT32_MAX / (self.format.betas[-1] * self.format.q))
        if rows.size:
            points = blocks(decode_lanes(self.labels[rows], self.format.q)).astype(np.int16)
            betas = np.array(self.format.betas, dtype=np.int16)[self.betas[rows]]
            most = largest_scale((np.abs(points).max(axis=-1) * betas).max(axis=1))
            if (beyond := np.flatnonzero(self.scales[rows] > most)).size:
                row, scale, limit = rows[beyond[0]], self.scales[rows[beyond[0]]], most[beyond[0]]
                raise GossetError(
                    f"An entry of row {row} is beyond float32: the row's scale is {scale}, but with its labels it can "
                    f"be at most {limit}."
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, padding not counted."""
        return len(self.scales), self.columns

    @property
    def blocks(self) -> int:
        """Blocks per row."""
        return self.labels.shape[1]

    @property
    def bits_per_entry(self) -> float:
        """Everything stored, over rows·columns: labels and β indices with their padding, and the scales."""
        return self.format.stored_bits(self.columns) / self.columns

    @cached_property
    def integers(self) -> NDArray[np.int16]:
        """β·y of every entry, padding included: int16 `(rows, 8·blocks)`, |β·y| ≤ 15·64."""
        integers = multiplied(decode_lanes(self.labels, self.format.q), self.betas, self.format)
        integers.flags.writeable = False
        return integers

    def dequantize(self) -> NDArray[np.float32]:
        """scale·β·y, padding dropped: float32 `(rows, columns)`."""
        return self.integers[:, : self.columns] * self.scales[:, None]

    def planes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
        """The two planes, as memory holds them.

        Returns
        -------
        labels : uint8 `(rows, blocks·m)`
            m bytes per label, the lowest first.
        betas : uint32 `(rows, ceil(blocks·beta_bits / 32))`
            The β indices of a row one after the other, the first at bit 0, zeros up to a whole word.
        """
        wide = np.ascontiguousarray(self.labels.astype(self.labels.dtype.newbyteorder("<")))
        bytes_ = wide.view(np.uint8).reshape(*self.labels.shape, -1)[..., : self.format.m]
        width = self.format.beta_bits
        bits = (self.betas[..., None] >> np.arange(width, dtype=np.uint8)) & np.uint8(1)
        bits = bits.reshape(len(self.scales), -1)
        bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 32)))
        words = np.packbits(bits, axis=1, bitorder="little").view("<u4").astype(np.uint32)
        return bytes_.reshape(len(self.scales), -1).copy(), words

    @classmethod
    def from_planes(
        cls,
        format: Format,
        columns: int,
        labels: NDArray[np.uint8],
        betas: NDArray[np.uint32],
        scales: NDArray[np.float32],
    ) -> "PackedMatrix":
        """The inverse of `planes`.

        Raises
        ------
        GossetError
            If the planes do not fit the format and the shape, or a padding bit is set.
        """
        columns = integer(columns, COLUMNS, 1, MAX_COLUMNS)
        rows, count, width = len(scales), -(-columns // DIM), format.beta_bits
        for name, array, shape, dtype in (
            ("labels", labels, (rows, count * format.m), np.dtype(np.uint8)),
            ("betas", betas, (rows, -(-count * width // 32)), np.dtype(np.uint32)),
        ):
            if array.shape != shape or array.dtype != dtype:
                raise GossetError(
                    f"The plane of {name} of a {rows} × {columns} matrix has shape {shape} and dtype {dtype},"
                    f" but it is {array.shape} and {array.dtype}."
                )
        dtype = label_dtype(format.q)
        wide = np.zeros((rows, count, dtype.itemsize), dtype=np.uint8)
        wide[..., : format.m] = labels.reshape(rows, count, format.m)
        bits = np.unpackbits(betas.astype("<u4").view(np.uint8), axis=1, bitorder="little")
        if bits[:, count * width :].any():
            raise GossetError("The plane of betas has a bit set in its padding.")
        index = bits[:, : count * width].reshape(rows, count, width) << np.arange(width, dtype=np.uint8)
        return cls(
            format,
            columns,
            wide.view(dtype.newbyteorder("<"))[..., 0].astype(dtype),
            index.sum(axis=-1, dtype=np.uint8),
            scales,
        )

    def save(self, path: str | Path) -> None:
        """Writes the container: a safetensors file of the two planes and the scales, with the header in its metadata.

        Raises
        ------
        GossetError
            If the file cannot be written; nothing half-written is left.
        """
        with replacing(path) as beside:
            beside.write_bytes(self._container())

    def _container(self) -> bytes:
        labels, betas = self.planes()
        tensors = {"labels": labels, "betas": betas, "scales": self.scales}
        header = {
            "version": VERSION,
            "q": self.format.q,
            "betas": [int(b) for b in self.format.betas],
            "rows": self.shape[0],
            "columns": self.columns,
            "padded_columns": self.blocks * DIM,
        }
        digest = hashlib.sha256(json.dumps(header).encode())
        for name, tensor in tensors.items():
            digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
        header["sha256"] = digest.hexdigest()
        return safetensors.numpy.save(tensors, metadata={"gosset": json.dumps(header)})

    @classmethod
    def load(cls, path: str | Path) -> "PackedMatrix":
        """Reads a container file.

        Raises
        ------
        GossetError
            If the file cannot be read, is truncated or altered, is of another version, or contradicts itself.
        """
        data, name = read_bytes(path), named(path)
        if data.startswith(b"\x93NUMPY"):
            raise GossetError(f"{name} is a .npy file and no packed matrix: gosset quantize makes one of it.")
        try:
            tensors = safetensors.numpy.load(data)
            length = int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise GossetError(f"{name} is no packed matrix, or is truncated: {error}.") from error
        if "gosset" not in metadata:
            raise GossetError(f"{name} is a safetensors file, but no packed matrix: gosset quantize makes those.")
        try:
            header = json.loads(metadata["gosset"])
            version = header["version"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GossetError(f"{name} is no packed matrix, or is truncated: {error}.") from error
        if version != VERSION:
            raise GossetError(f"{name} is of version {shown(version)} of the container; this program reads {VERSION}.")
        try:
            matrix = cls.from_planes(
                Format(header["q"], header["betas"]),
                header["columns"],
                tensors["labels"],
                tensors["betas"],
                tensors["scales"],
            )
        except (GossetError, KeyError, TypeError, ValueError) as error:
            raise GossetError(f"{name} contradicts itself: {error}") from error
        if matrix._container() != data:
            raise GossetError(f"{name} was altered: its contents do not match its checksum.")
        return matrix

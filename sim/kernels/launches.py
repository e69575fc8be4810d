"""Launch configurations of the GPU's kernels: blocks of threads, grids, shared memory; and which of them is taken."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.format import Format
from golden.lattice import DIM

WARP, TILE, BLOCKS = 32, 16, 64
"""Threads of a warp; rows and blocks of a row in a tile (`source/gpu.h`)."""

COLUMNS = BLOCKS * DIM
"""Columns of a tile; rows are padded to whole ones."""


@dataclass(frozen=True)
class Launch:
    """How a kernel for few rows of activations is built and launched (`source/narrow.h`).

    Attributes
    ----------
    rows : int
        Of activations that a warp multiplies at a time.
    panels : int
        16 rows of weights each, of a block of threads; their warps share activations.
    warps : int
        Of a block; those of one panel share its tiles.
    resident : int
        Blocks that a multiprocessor has registers and memory for.
    """

    rows: int
    panels: int
    warps: int
    resident: int

    file = "narrow.h"
    kernel = "product"

    @property
    def threads(self) -> tuple[int, int]:
        """Of a block."""
        return WARP, self.warps

    @property
    def shares(self) -> int:
        """Warps of a panel."""
        return self.warps // self.panels

    @property
    def constants(self) -> dict[str, int]:
        """Of the source."""
        return {"ROWS": self.rows, "PANELS": self.panels, "WARPS": self.warps, "RESIDENT": self.resident}

    def grid(self, m: int, panels: int, tiles: int, processors: int) -> tuple[int, int, int]:
        """Blocks by panels, by rows of activations, and by tiles, which only few blocks share."""
        x, y = -(-panels // self.panels), -(-m // self.rows)
        return x, y, max(1, min(-(-tiles // self.shares), processors // (x * y)))

    def shared_bytes(self, fmt: Format, m: int) -> int:
        """Shared memory of a block: two stages of units and activations, or its sums."""
        row = 512 if self.rows > 8 else 576
        kept = self.rows if self.rows > 8 else min(m, self.rows)
        unit = 4 * WARP * (fmt.label_bits + fmt.beta_bits)
        return max(2 * (self.warps * unit + self.shares * kept * row), 4 * self.panels * self.rows * TILE)

    def laid(self, rows: NDArray[np.int8]) -> NDArray[np.int8]:
        """Activations of whole tiles, `(tiles, groups of eight rows, 8, 8, 4, 16)`: for each of eight pairs of blocks,
        row of the group and of four threads, the 16 bytes of two blocks."""
        padded = np.pad(rows, ((0, -len(rows) % 8), (0, 0)))
        return np.ascontiguousarray(padded.reshape(len(padded) // 8, 8, -1, 8, 4, 16).transpose(2, 0, 3, 1, 4, 5))


TILE_US, BLOCK_US = {128: 3.0, 256: 4.1}, {1: 4.0, 2: 8.5}
"""Of a block of `Wide`: microseconds of a tile, by rows; and of all else, by how many share tiles, which reach no more
than two of a cluster without leaving processors idle. From an H200: 8192 × 8192 with 128 to 1024 rows."""


@dataclass(frozen=True)
class Wide:
    """How the kernel for many rows of activations is built and launched, on Hopper (`source/wide.h`).

    Attributes
    ----------
    rows : int
        Of activations that a block multiplies.
    split : int
        Blocks that share the tiles of a row.
    """

    rows: int
    split: int

    file = "wide.h"
    kernel = "wide"
    warps = 8
    threads = (WARP, 8)

    @property
    def constants(self) -> dict[str, int]:
        """Of the source."""
        return {"ROWS": self.rows, "SPLIT": self.split, "WARPS": self.warps}

    @classmethod
    def of(cls, m: int, panels: int, tiles: int, processors: int) -> "Wide":
        """The one that takes least time for `m` rows of activations."""

        def microseconds(how: "Wide") -> float:
            x, y, z = how.grid(m, panels, tiles, processors)
            return -(-x * y * z // processors) * (-(-tiles // how.split) * TILE_US[how.rows] + BLOCK_US[how.split])

        return min((cls(rows, split) for rows in TILE_US for split in BLOCK_US), key=microseconds)

    def grid(self, m: int, panels: int, tiles: int, processors: int) -> tuple[int, int, int]:
        """Blocks by panels, by rows of activations, and those that share tiles."""
        return -(-panels // self.warps), -(-m // self.rows), self.split

    def shared_bytes(self, fmt: Format, m: int) -> int:
        """Shared memory of a block: a quarter of a tile's activations four times, units twice, and barriers."""
        unit = 4 * WARP * (fmt.label_bits + fmt.beta_bits)
        return self.rows * COLUMNS + 2 * self.warps * unit + 24 * 8

    def laid(self, rows: NDArray[np.int8]) -> NDArray[np.int8]:
        """Activations of whole tiles, `(groups of rows, tiles, 16, 2, rows, 4, 4)`: for each step of four blocks, and
        half of their coordinates, four of each block."""
        padded = np.pad(rows, ((0, -len(rows) % self.rows), (0, 0)))
        steps = padded.reshape(-1, self.rows, padded.shape[1] // COLUMNS, 8, 4, 2, 2, 4)
        ordered = steps.transpose(0, 2, 3, 5, 6, 1, 4, 7)
        return np.ascontiguousarray(ordered.reshape(*ordered.shape[:2], 16, *ordered.shape[4:]))


How = Launch | Wide

ON_TENSOR_CORES = (Launch(8, 1, 4, 4), Launch(16, 1, 4, 3), Launch(32, 4, 8, 1), Launch(64, 4, 8, 1))
"""Where β·y fits int8."""

ON_CORES = tuple(Launch(rows, 1, 4, 4) for rows in (1, 2, 4, 8))
"""For every format."""


def fits(fmt: Format) -> bool:
    """Whether β·y is an int8: from −β·q to β·(q − 1)."""
    return fmt.q * fmt.betas[-1] <= 128


def launch(fmt: Format, m: int, panels: int, tiles: int, processors: int, hopper: bool) -> How:
    """The kernel that multiplies `m` rows of activations by so many panels and tiles."""
    kernels = ON_TENSOR_CORES if fits(fmt) else ON_CORES
    if hopper and fits(fmt) and m > kernels[-1].rows:
        return Wide.of(m, panels, tiles, processors)
    return next((kernel for kernel in kernels if kernel.rows >= m), kernels[-1])

"""How a product is cut into tiles, and what its tiles look like on the streams of the accelerator.

Tiles go row by row: all tiles of the first rows, then all of the next. Rows and columns beyond the matrix are zero
labels; of them, the rows do not come out at all and the columns are cut off here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.format import PackedMatrix
from golden.matmul import check
from hw.design import DesignPoint

Payload = dict[str, NDArray[np.uint32]]
"""Beats of a stream: for each payload port its values, uint32 `(beats, words of the port)`."""


@dataclass(frozen=True, eq=False)
class Job:
    """A product x·wᵀ on a design.

    Parameters
    ----------
    design : DesignPoint
    x : PackedMatrix `(M, K)`
        Activations: their rows are the rows of the array.
    w : PackedMatrix `(N, K)`
        Weights: their rows are the columns of the array.

    Raises
    ------
    GossetError
        If the operands cannot be multiplied, or are in another format than the design's.
    """

    design: DesignPoint
    x: PackedMatrix
    w: PackedMatrix

    def __post_init__(self) -> None:
        check(self.x, self.w)
        for side, matrix in (("w", self.w), ("x", self.x)):
            if matrix.format != self.design.format:
                raise GossetError(
                    f"Operand {side} is in {matrix.format}, but {self.design.name} takes {self.design.format}."
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, N and K."""
        return *self.accumulators_shape, self.x.columns

    @property
    def accumulators_shape(self) -> tuple[int, int]:
        """M and N."""
        return self.x.shape[0], self.w.shape[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the product, padding not counted."""
        m, n, k = self.shape
        return m * n * k

    @cached_property
    def tiles(self) -> tuple[int, int]:
        """Tiles down and across."""
        m, n = self.accumulators_shape
        return -(-m // self.design.rows), -(-n // self.design.cols)

    @property
    def beats(self) -> int:
        """Beats of either input stream."""
        return self.tiles[0] * self.tiles[1] * self.x.blocks

    @property
    def output_rows(self) -> int:
        """Beats of the output stream."""
        return self.accumulators_shape[0] * self.tiles[1]

    def inputs(self) -> dict[str, Payload]:
        """The beats of the streams `x` and `w`."""
        down, across = self.tiles
        blocks = self.x.blocks
        whole = (down, across, blocks)

        def spread(payload: Payload, axis: int) -> Payload:
            """Beats of the tiles of one operand, repeated for every tile of the other."""
            return {
                port: np.broadcast_to(np.expand_dims(words, axis), (*whole, words.shape[-1])).reshape(self.beats, -1)
                for port, words in payload.items()
            }

        x = spread(_lines(self.x, "x", self.design.rows), 1)
        last = np.zeros(whole, dtype=np.uint32)
        last[..., -1] = 1
        count = np.full(whole, self.design.rows, dtype=np.uint32)
        count[-1] = self.accumulators_shape[0] - (down - 1) * self.design.rows
        x |= {"x_last": last.reshape(-1, 1), "x_count": count.reshape(-1, 1)}
        return {"x": x, "w": spread(_lines(self.w, "w", self.design.cols), 0)}

    def accumulators(self, rows: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Puts the rows that came out, uint32 `(output_rows, cols)`, in their places: int32 `(M, N)`."""
        (m, n), across = self.accumulators_shape, self.tiles[1]
        height, width = self.design.rows, self.design.cols
        result = np.empty((m, across, width), dtype=np.int32)
        full = (m // height) * height
        values = rows.view(np.int32)
        body = values[: full * across].reshape(-1, across, height, width)
        result[:full] = body.transpose(0, 2, 1, 3).reshape(full, across, width)
        if full < m:
            result[full:] = values[full * across :].reshape(across, m - full, width).transpose(1, 0, 2)
        return np.ascontiguousarray(result.reshape(m, -1)[:, :n])


def _lines(matrix: PackedMatrix, side: str, edge: int) -> Payload:
    """Labels and β indices of `edge` rows side by side: uint32 `(tiles, blocks, words)` each."""
    tiles = -(-matrix.shape[0] // edge)
    labels, _ = matrix.planes()
    width = matrix.format.beta_bits
    parts = {f"{side}_labels": np.unpackbits(labels, axis=1, bitorder="little")}
    if width:
        bits = (matrix.betas[..., None] >> np.arange(width, dtype=np.uint8)) & np.uint8(1)
        parts[f"{side}_betas"] = bits.reshape(len(bits), -1)
    return {port: _side_by_side(bits, tiles, edge, matrix.blocks) for port, bits in parts.items()}


def _side_by_side(bits: NDArray[np.uint8], tiles: int, edge: int, blocks: int) -> NDArray[np.uint32]:
    """Bits of rows `(rows, blocks·width)` as the words of a port that takes one block of each of `edge` rows."""
    bits = np.pad(bits, ((0, tiles * edge - len(bits)), (0, 0)))
    beats = bits.reshape(tiles, edge, blocks, -1).transpose(0, 2, 1, 3).reshape(tiles, blocks, -1)
    beats = np.pad(beats, ((0, 0), (0, 0), (0, -beats.shape[2] % 32)))
    return np.packbits(beats, axis=2, bitorder="little").view("<u4").astype(np.uint32)

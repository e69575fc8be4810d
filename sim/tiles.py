"""A product as the accelerator sees it: its jobs, their words on the streams, and the rows that come out.

Lanes beyond the matrix are zero: of the rows of activations nothing comes out, columns of weights are cut off here, and
blocks beyond K multiply zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.lib import data
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.format import PackedMatrix
from golden.int8 import Int8Matrix
from golden.lattice import DIM
from golden.matmul import Operand, check
from hw.design import NIBBLE, DesignPoint
from hw.engine.banks import w_lane, x_lane
from hw.engine.planner import FIELD_BITS, KINDS, OUT, modes
from sim.models.schedule import Part, divide, parts

Payload = dict[str, NDArray[np.uint32]]
"""Beats of a stream: for each payload port its values, uint32 `(beats, words of the port)`."""


@dataclass(frozen=True, eq=False)
class Job:
    """A product x·wᵀ on a design.

    Parameters
    ----------
    design : DesignPoint
    x : PackedMatrix or Int8Matrix `(M, K)`
        Activations: their rows are rows of accumulators.
    w : PackedMatrix `(N, K)`
        Weights: their rows are the columns of the array.

    Raises
    ------
    GossetError
        If the operands cannot be multiplied, or are not of the kinds and format that the design takes.
    """

    design: DesignPoint
    x: Operand
    w: PackedMatrix

    def __post_init__(self) -> None:
        check(self.x, self.w)
        for side, matrix in (("w", self.w), ("x", self.x)):
            if isinstance(matrix, PackedMatrix) and matrix.format != self.design.format:
                raise GossetError(
                    f"Operand {side} is in {matrix.format}, but {self.design.name} takes {self.design.format}."
                )
        kind = "int8" if self.int8 else "packed"
        if kind not in self.design.activations:
            raise GossetError(
                f"Activations are {kind}, but {self.design.name} takes {' and '.join(self.design.activations)} ones."
            )
        if not isinstance(self.w, PackedMatrix):
            raise GossetError("The weights must be packed.")

    @property
    def int8(self) -> bool:
        """Whether the activations are int8."""
        return isinstance(self.x, Int8Matrix)

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
    def parts(self) -> list[Part]:
        """The jobs, in the order in which they run."""
        return parts(self.design, *self.shape, int8=self.int8)

    @property
    def beats(self) -> int:
        """Cycles in which the array works."""
        height = 1 if self.design.dataflow == "ws" else self.design.rows
        passes = 2 if self.int8 else 1
        return sum(int(divide(part.rows, height)) * part.steps * part.tiles * passes for part in self.parts)

    def work(self, part: Part) -> int:
        """Cycles that a job takes if it loads its words, one per cycle, and then computes: more than it needs."""
        height = 1 if self.design.dataflow == "ws" else self.design.rows
        beats = int(divide(part.rows, height)) * part.steps * (2 if self.int8 else 1)
        weights = part.steps * (self.design.rows if self.design.dataflow == "ws" else 1)
        return beats + part.tiles * (weights + max(beats, part.rows))

    @property
    def output_rows(self) -> int:
        """Beats of the output stream."""
        return sum(part.output_rows for part in self.parts)

    def jobs(self) -> Payload:
        """The beats of the stream `job`; raises GossetError where a job has more tiles than it can be told."""
        if (tiles := self.parts[0].tiles) >> FIELD_BITS:
            raise GossetError(
                f"A job of {self.design.name} has at most {(1 << FIELD_BITS) - 1} tiles of {self.design.cols} columns, "
                f"but {self.shape[1]} columns are {tiles}: cut the weights into parts."
            )
        names = ("rows", "tiles", "steps", *self._modes)
        table = np.array([[self._field(part, name) for name in names] for part in self.parts], dtype=np.uint32)
        return {f"job_{name}": table[:, [i]] for i, name in enumerate(names)}

    def modes(self, part: Part) -> dict[str, int]:
        """The modes of a job, those of `hw.engine.planner.modes`; of raw rows nothing is known here, and all jobs are
        multiplied."""
        return {name: self._field(part, name) for name in self._modes}

    @property
    def _modes(self) -> list[str]:
        return [name for name in modes(self.design) if name not in OUT]

    def _field(self, part: Part, name: str) -> int:
        return int({"int8": self.int8, "raw": False}[name] if name in KINDS else getattr(part, name))

    def inputs(self) -> dict[str, Payload]:
        """The beats of the streams `job`, `x` and `w`."""
        return {"job": self.jobs(), "x": _joined([*self.x_words()]), "w": _joined([*self.w_words()])}

    def x_words(self) -> Iterator[Payload]:
        """The words of activations of each job."""
        fields = self._fields("x", self.x, x_lane(self.design))
        for part in self.parts:
            yield {port: self._x_words(bits, part) for port, bits in fields.items()}

    def w_words(self) -> Iterator[Payload]:
        """The words of weights of each job."""
        fields = self._fields("w", self.w, w_lane(self.design))
        made: dict[tuple[int, int], Payload] = {}
        for part in self.parts:
            place = part.first_tile, part.first_block
            if place not in made:
                made[place] = {port: self._w_words(bits, part) for port, bits in fields.items()}
            yield made[place]

    def accumulators(self, rows: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Puts the rows that came out, uint32 `(output_rows, cols)`, in their places: int32 `(M, N)`."""
        (m, n), width = self.accumulators_shape, self.design.cols
        result = np.zeros((m, max(part.first_tile + part.tiles for part in self.parts) * width), dtype=np.int32)
        values, start = rows.view(np.int32), 0
        for part in self.parts:
            if part.keep:
                continue
            came = values[start : start + part.output_rows].reshape(part.tiles, part.rows, width)
            start += part.output_rows
            columns = slice(part.first_tile * width, (part.first_tile + part.tiles) * width)
            panel = result[part.first_row : part.first_row + part.rows, columns]
            panel += came.transpose(1, 0, 2).reshape(part.rows, -1)
        return np.ascontiguousarray(result[:, :n])

    def _fields(self, side: str, matrix: Operand, lane: data.StructLayout) -> dict[str, NDArray[np.uint8]]:
        """Bits of the lanes, by port: uint8 `(rows, blocks, passes, bits)`."""
        widths = {name: field.width for name, field in lane}
        lane_bits, beta_bits = widths["label"], widths.get("beta", 0)
        if isinstance(matrix, PackedMatrix):
            labels, _ = matrix.planes()
            lanes = np.unpackbits(labels, axis=1, bitorder="little").reshape(*matrix.labels.shape, 1, -1)
            betas = _bits(matrix.betas[..., None], beta_bits)
        else:
            lanes = _digits(matrix)
            betas = np.zeros((*lanes.shape[:3], beta_bits), dtype=np.uint8)
        fields = {f"{side}_labels": np.pad(lanes, [(0, 0)] * 3 + [(0, lane_bits - lanes.shape[3])])}
        return fields | ({f"{side}_betas": betas} if beta_bits else {})

    def _x_words(self, bits: NDArray[np.uint8], part: Part) -> NDArray[np.uint32]:
        height = self.design.rows
        some = bits[part.first_row :, part.first_block :][: part.rows, : part.blocks]
        if self.design.dataflow == "os":
            some = _pad(some, 0, height)
            order = some.reshape(-1, height, *some.shape[1:]).transpose(0, 2, 3, 1, 4)  # tile, block, digit, lane
        else:
            some = _pad(some, 1, height)
            order = some.reshape(part.rows, part.steps, height, *some.shape[2:]).transpose(1, 0, 3, 2, 4)
        return _words(order)

    def _w_words(self, bits: NDArray[np.uint8], part: Part) -> NDArray[np.uint32]:
        first, cols = part.first_tile * self.design.cols, self.design.cols
        some = bits[first : first + part.tiles * cols, part.first_block : part.first_block + part.blocks]
        some = _pad(some, 0, cols)
        if self.design.dataflow == "ws":
            some = _pad(some, 1, self.design.rows)
        order = some.reshape(part.tiles, self.design.cols, *some.shape[1:]).transpose(0, 2, 3, 1, 4)
        return _words(order)


def _joined(payloads: list[Payload]) -> Payload:
    return {port: np.concatenate([payload[port] for payload in payloads]) for port in payloads[0]}


def _pad(array: NDArray[Any], axis: int, multiple: int) -> NDArray[Any]:
    """The array with zeros at the end of an axis, up to a multiple; np.pad takes several times as long."""
    if not (missing := -array.shape[axis] % multiple):
        return array
    shape = list(array.shape)
    shape[axis] += missing
    padded = np.zeros(shape, array.dtype)
    padded[tuple(map(slice, array.shape))] = array
    return padded


def _bits(values: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """The low bits of bytes, as another axis."""
    return (values[..., None] >> np.arange(width, dtype=np.uint8)) & np.uint8(1)


def _digits(matrix: Int8Matrix) -> NDArray[np.uint8]:
    """Bits of the high and the low digits of int8: uint8 `(rows, blocks, 2, 32)`."""
    values = _pad(matrix.values, 1, DIM).view(np.uint8).reshape(len(matrix.values), -1, DIM)
    digits = np.stack([values >> np.uint8(NIBBLE), values & np.uint8((1 << NIBBLE) - 1)], axis=2)
    return _bits(digits, NIBBLE).reshape(*digits.shape[:3], -1)


def _words(bits: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Lanes `(…, lanes, bits)` side by side: uint32 `(words, 32-bit words of a word)`."""
    lines = _pad(bits.reshape(-1, bits.shape[-2] * bits.shape[-1]), 1, 32)
    return np.ascontiguousarray(np.packbits(lines, axis=1, bitorder="little")).view("<u4").astype(np.uint32)

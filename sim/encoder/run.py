"""A layer of an encoder on the Verilated top with a memory port: from memory to memory, beside golden and the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.encoder import OUTPUT, EncoderLayer, Fixed, Floats, Integers, PackedLayer, Product
from golden.errors import GossetError
from golden.format import PackedMatrix
from golden.frontend import FrontEndRules
from golden.lattice import DIM
from hw.design import DesignPoint
from hw.engine.rows import step_blocks
from sim.encoder.system import System
from sim.image import activations_image_codes, columns_image, operand_image, plane_bytes
from sim.models.bus import BusJob, bus_cycles, words_of
from sim.tiles import Job

LINE = 64
"""Bytes; whatever lies in memory begins at a multiple."""

KEPT_TILES = 32
"""Tiles of a whole panel that are summed up on chip at once, of designs that say nothing else."""

PREFETCH = 1024
"""Beats asked for ahead at least."""

MEMORY = 1 << 25
"""Bytes of the memory."""

SAMPLES = 32
"""Sentences that units and multipliers are made of."""

Progress = Callable[[str, int, int], object]
"""Called with the name of what is computed, and how many of its jobs are done and there are."""


def with_layers(design: DesignPoint, layer: EncoderLayer) -> DesignPoint:
    """A design with all that a layer asks for: a front end of segments that a head is a multiple of, whose codes can go
    to memory, results in int16 row by row, sums of a long K on chip, and a latency that is hidden."""
    length = layer.head_width & -layer.head_width
    return replace(
        design,
        name=f"{design.name}_encoder",
        activations=("packed",),
        front_end=FrontEndRules(format=design.format, length=min(length, 1024)),
        output=OUTPUT,
        strides=True,
        codes=True,
        keep_rows=design.keep_rows or 1 << (KEPT_TILES * design.panel_rows - 1).bit_length(),
        prefetch=max(design.prefetch, PREFETCH),
    )


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What was counted while a matrix was made.

    Attributes
    ----------
    cycles, told : int
        From the first job's offer to the last response to a write, on the RTL and by the cycle model.
    off : int
        Cycles by which the model's counters differ from the RTL's.
    jobs : int
    busy : int
        Cycles in which the array worked.
    read, written : int
        Bytes that crossed the memory port.
    """

    cycles: int
    told: int
    off: int
    jobs: int
    busy: int
    read: int
    written: int


@dataclass(frozen=True)
class Step:
    """A matrix that was made by the RTL: by products, or by packing rows.

    Attributes
    ----------
    name : str
    products : int
        Or matrices whose rows were packed.
    shape : tuple of int
        Rows, columns and K of each product; rows, columns and 0 of rows that were packed.
    counted : Counted
    compared, wrong : int
        Numbers compared with golden's.
    difference : str
        The first one that differs, if one does.
    """

    name: str
    products: int
    shape: tuple[int, int, int]
    counted: Counted
    compared: int
    wrong: int
    difference: str

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padding not counted."""
        return self.products * self.shape[0] * self.shape[1] * self.shape[2]


class Rtl(Fixed):
    """The layer on the RTL. Matrices are in the memory of a `System`; the host reads and writes no other ones than
    `golden.encoder.Machine.forward` does, and the codes of keys and values, which it lays out as weights.

    Parameters
    ----------
    packed : PackedLayer
    design : DesignPoint
        As `with_layers` makes it.
    latency : int
        Of the memory.
    progress : callable, optional

    Attributes
    ----------
    steps : list of Step
        What was computed.
    jobs : list of BusJob
        All that were queued, with the cycle in which they were offered, counted from the first one's.
    """

    def __init__(self, packed: PackedLayer, design: DesignPoint, latency: int = 0, progress: Progress | None = None):
        super().__init__(packed)
        if design.front_end != packed.rules:
            raise GossetError(f"The layer was packed for another front end than that of {design.name}.")
        self.design, self.progress = design, progress
        self.system = System(design, MEMORY, latency)
        self.jobs: list[BusJob] = []

    def close(self) -> None:
        """Ends the simulation."""
        self.system.close()

    def begin(self, tokens: int) -> None:
        """Places for all matrices, filled with zeros."""
        self.tokens, self._free = tokens, 0
        self.steps: list[Step] = []
        self._shapes = self.layer.shapes(tokens)
        self._places: dict[str, tuple[int, int]] = {}
        for name, (rows, columns) in self._shapes.items():
            tiles = -(-columns // self.design.cols)
            unit = max(self.packed.rules.length, self.design.bus_bits // 16)
            stride = -(-max(tiles * self.design.cols, columns) // unit) * unit * 2
            self._places[name] = self.place(bytes(rows * stride)), stride

    def write(self, name: str, values: Integers) -> None:
        """Into memory, row by row."""
        place, stride = self._places[name]
        for i, row in enumerate(values.astype("<i2")):
            self.system.memory[place + i * stride : place + i * stride + row.nbytes] = row.tobytes()

    def read(self, name: str) -> Integers:
        """Out of memory."""
        (rows, columns), (place, stride) = self._shapes[name], self._places[name]
        whole = np.frombuffer(self.system.memory[place : place + rows * stride], dtype="<i2").reshape(rows, -1)
        return whole[:, :columns].astype(np.int16)

    def encode(self, name: str, heads: Sequence[Integers]) -> list[PackedMatrix]:
        """As jobs of raw rows whose codes go to memory. Keys lie there as they are wanted; what does not, the host puts
        there anew."""
        packed, design = self.packed, self.design
        expected = [packed.encode(name, head) for head in heads]
        (rows, columns), blocks = packed.padded(heads[0]).shape, expected[0].blocks
        jobs, images = [], []
        for i, head in enumerate(heads):
            if name == "key":
                (place, stride), at = self._places[name], i * columns
            else:
                values = packed.padded(head).astype("<i2")
                place, stride, at = self.place(values.tobytes()), values.shape[1] * 2, 0
            for first in range(0, rows, most := self._rows_at_once(blocks)):
                count = min(most, rows - first)
                image = self.place(bytes(self._image_bytes(count, blocks)))
                images.append((image, count))
                jobs.append(
                    BusJob(
                        rows=count,
                        tiles=1,
                        steps=-(-blocks // step_blocks(design)),
                        passes=1,
                        x=self._at(place, stride, (0, at), first, 0),
                        w=0,
                        y=image,
                        raw=True,
                        out=True,
                        x_stride=stride,
                    )
                )
        counted = self._run(f"{name} codes", jobs, name)
        found = [
            activations_image_codes(design, bytes(self.system.memory[place : place + size]), count, blocks)
            for place, count in images
            for size in [self._image_bytes(count, blocks)]
        ]
        labels, betas = (np.concatenate(parts) for parts in zip(*found, strict=True))
        golden = [np.concatenate([getattr(head, plane) for head in expected]) for plane in ("labels", "betas")]
        self._note(
            f"{name} codes", len(heads), (rows, columns, 0), counted, np.stack([labels, betas]), np.stack(golden)
        )
        return [
            replace(
                head,
                labels=labels[i * rows : (i + 1) * rows].astype(head.labels.dtype),
                betas=betas[i * rows : (i + 1) * rows].astype(head.betas.dtype),
            )
            for i, head in enumerate(expected)
        ]

    def _rows_at_once(self, blocks: int) -> int:
        """The most rows of a job of so many blocks."""
        design, steps = self.design, -(-blocks // step_blocks(self.design))
        fit = design.x_depth // steps * (design.rows if design.dataflow == "os" else 1)
        return min(design.panel_rows, fit)

    def _image_bytes(self, rows: int, blocks: int) -> int:
        """Bytes of so many packed rows."""
        words, _ = words_of(self.design, rows, -(-blocks // step_blocks(self.design)), 1)
        return sum(plane_bytes(self.design, "x", words))

    def multiply(self, name: str, products: Sequence[Product]) -> None:
        """As jobs of raw rows, queued as long as there is room."""
        expected = np.zeros(self._shapes[name], dtype=np.int16)
        queued: list[BusJob] = []
        for product in products:
            row, column = product.target_at
            x, results = self.packed.product(product, self.read(product.source))
            expected[row : row + product.rows, column : column + product.w.shape[0]] = results
            queued += self._queued(product, Job(self.design, x, product.w))
        counted = self._run(name, queued, products[0].source)
        n, k = products[0].w.shape
        k = min(k, self._shapes[products[0].source][1])
        shape = products[0].rows, n, k
        self._note(name, len(products), shape, counted, self.read(name)[None], expected[None])

    def _run(self, name: str, queued: list[BusJob], source: str) -> Counted:
        """Runs jobs of raw rows of a matrix, queued as long as there is room."""
        system, first, total = self.system, len(self.jobs), len(queued)
        busy, read, written = system.counters()["busy"], system.read_bytes, system.written_bytes
        mantissa, exponent = (int(part[0]) for part in self.packed.multipliers[source])

        def done(count: int) -> None:
            if self.progress:
                self.progress(name, count - first, total)

        for job in queued:
            system.submit(job, mantissa, exponent)
        system.wait(done)

        self.jobs += [
            replace(job, offered=offered - system.offered[0])
            for job, offered in zip(queued, system.offered[first:], strict=True)
        ]
        told, seen = bus_cycles(self.design, self.jobs, system.latency), system.counters()
        begun = system.offered[first]
        return Counted(
            cycles=system.answered - begun,
            told=told.cycles + system.offered[0] - begun,
            off=sum(abs(told.counters[cause] - count) for cause, count in seen.items() if cause != "idle"),
            jobs=total,
            busy=seen["busy"] - busy,
            read=system.read_bytes - read,
            written=system.written_bytes - written,
        )

    def _queued(self, product: Product, job: Job) -> list[BusJob]:
        """The jobs of a product, their weights and columns in memory."""
        design = self.design
        (x, x_stride), (y, y_stride) = self._places[product.source], self._places[product.target]
        jobs = []
        for part, words in zip(job.parts, job.w_words(), strict=True):
            if part.first_block % self.packed.rules.segment_blocks:
                raise GossetError(f"K is cut inside of a segment: give {design.name} another depth of x.")
            columns = product.columns.part(part.first_tile * design.cols, part.tiles * design.cols)
            jobs.append(
                BusJob(
                    rows=part.rows,
                    tiles=part.tiles,
                    steps=part.steps,
                    passes=1,
                    x=self._at(x, x_stride, product.source_at, part.first_row, part.first_block * DIM),
                    w=self.place(operand_image(design, "w", words, part.tiles)),
                    y=self._at(y, y_stride, product.target_at, part.first_row, part.first_tile * design.cols),
                    c=self.place(columns_image(design, columns, part.tiles)),
                    add=part.add,
                    keep=part.keep,
                    stride=y_stride,
                    raw=True,
                    x_stride=x_stride,
                )
            )
        return jobs

    def _at(self, place: int, stride: int, at: tuple[int, int], row: int, column: int) -> int:
        return place + (at[0] + row) * stride + (at[1] + column) * 2

    def place(self, image: bytes) -> int:
        """Puts an image where nothing is yet."""
        place = self._free
        self._free += -(-len(image) // LINE) * LINE
        if self._free > MEMORY:
            raise GossetError(f"The layer does not fit {MEMORY:,} bytes of memory.")
        self.system.memory[place : place + len(image)] = image
        return place

    def _note(
        self,
        name: str,
        products: int,
        shape: tuple[int, int, int],
        counted: Counted,
        found: NDArray[Any],
        expected: NDArray[Any],
    ) -> None:
        """Compares planes of rows and columns, and keeps what came of it."""
        wrong = np.argwhere(found != expected)
        text = ""
        if len(wrong):
            where = tuple(int(i) for i in wrong[0])
            text = f"{name}, row {where[1]}, column {where[2]}: expected {expected[where]}, got {found[where]}"
        self.steps.append(Step(name, products, shape, counted, expected.size, len(wrong), text))


def first_layer(
    sentence: str, design: DesignPoint, latency: int, progress: Progress
) -> tuple[list[Step], dict[str, float | int]]:
    """MiniLM's first layer of a sentence on the RTL; units and multipliers are those of other sentences.

    Returns
    -------
    steps : list of Step
    summary : dict
        `tokens`; `cosine`, of the layer's rows with those in float32, on average; and `different`, numbers of the
        whole layer that are not those of golden by itself.

    Raises
    ------
    GossetError
        If a package is missing, or the design has no room for the layer.
    """
    from golden.quality.minilm import MiniLM, sentences

    network = MiniLM.load()
    layer, x = network.layer(0), network.embedded(sentence)
    machine = with_layers(design, layer)
    assert machine.front_end is not None
    progress("weights", 0, 1)
    samples = [network.embedded(other) for other in sentences(SAMPLES + 1) if other != sentence][:SAMPLES]
    packed = PackedLayer.of(layer, machine.front_end, samples)
    progress("weights", 1, 1)
    golden, floats, rtl = Fixed(packed), Floats(layer), Rtl(packed, machine, latency, progress)
    golden.forward(x)
    got, exact = rtl.forward(x), floats.forward(x)
    different = sum(int((rtl.read(name) != values).sum()) for name, values in golden.values.items())
    rtl.close()
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(exact, axis=1)
    cosine = float(((got * exact).sum(axis=1) / norms).mean())
    return rtl.steps, {"tokens": len(x), "cosine": cosine, "different": different}

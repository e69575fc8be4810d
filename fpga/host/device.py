"""A board as a device: products computed on an FPGA."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fpga.host.image import image, row_words, rows
from fpga.host.line import Line, LinkError, SerialLine
from fpga.host.link import Link, Restarted, Silence, Task
from fpga.identity import Identity
from golden.errors import GossetError
from golden.matmul import Product
from hw.design import DesignPoint
from hw.engine.banks import w_word, x_word
from hw.engine.counters import COUNTERS
from sim.device import Device, Progress, Report
from sim.tiles import Job

RESTARTS = 2
"""How often a job is begun anew where the board is started anew in the middle of it."""

BAUDS = (3_000_000, 1_000_000)
"""Rates that boards are built for."""

FIRST_TIMEOUT, FIRST_RETRIES = 0.3, 1
"""Of the first command: who does not answer soon is no board."""


class NoBoard(LinkError):
    """Nothing answers, or what answers is no board."""


class BoardDevice(Device):
    """A board at the other end of a line. Weights that were used before and are still in its memory are not sent again.

    Parameters
    ----------
    line : Line
    design : DesignPoint, optional
        The one that the board must have; any if not given.
    timeout, retries
        As `fpga.host.link.Link` takes them.

    Attributes
    ----------
    identity : Identity
        What the board says of itself.
    link : Link

    Raises
    ------
    NoBoard
        If nothing answers, or what answers is no board.
    LinkError
        If the line is gone.
    GossetError
        If the board has another design, or speaks another version of the protocol.
    """

    def __init__(self, line: Line, design: DesignPoint | None = None, *, timeout: float = 1.0, retries: int = 4):
        self.link = Link(line, timeout=timeout, retries=retries)
        self._weights = _Resident()
        self._connect(design)
        super().__init__(self.identity.design)

    @classmethod
    def open(cls, port: str, bauds: Sequence[int] = BAUDS, design: DesignPoint | None = None) -> "BoardDevice":
        """Connects to the board on a serial port, at the first of some rates that it answers at; raises as above."""
        reason = ""
        for baud in bauds:
            line = SerialLine(port, baud)
            try:
                return cls(line, design)
            except NoBoard as error:
                line.close()
                reason = str(error)
            except BaseException:
                line.close()
                raise
        raise NoBoard(f"{port} at {' or '.join(map(str, bauds))} baud: {reason}")

    def run(self, job: Job, progress: Progress | None = None) -> Report:
        """Runs a job on the board.

        Raises
        ------
        LinkError
            If the board is gone, or answers something else than results. The next job tries to connect again.
        GossetError
            If the job is for another design, or too large for the board's memory even tile by tile.
        """
        if job.design != self.design:
            raise GossetError(f"This board is {self.design.name}, but the job is for {job.design.name}.")
        start = time.perf_counter()
        for restarts_left in reversed(range(RESTARTS + 1)):
            try:
                accumulators, counters = self._run(job, progress)
                break
            except Restarted:
                if not restarts_left:
                    raise
        product = Product(accumulators, job.x.scales, job.w.scales)
        return Report(job, product, time.perf_counter() - start, sum(counters.values()), counters)

    def measure_link(self, seed: int = 0) -> tuple[int, float, float]:
        """Writes random bytes to all of the board's memory and reads them back.

        Returns
        -------
        How many bytes, the seconds of writing, and those of reading.

        Raises
        ------
        LinkError
            If the board is gone, or does not give back what was written.
        """
        memory = self.identity.memory
        stored = np.random.default_rng(seed).bytes(memory.words * memory.bytes)
        self._connect(self.design)
        start = time.perf_counter()
        self.link.write([(0, stored)])
        between = time.perf_counter()
        found = self.link.read(0, memory.words)
        end = time.perf_counter()
        if found != stored:
            raise LinkError("The board's memory does not give back what was written to it.")
        return len(stored), between - start, end - between

    def close(self) -> None:
        """Gives the line back."""
        self.link.line.close()

    def _connect(self, design: DesignPoint | None) -> None:
        """Finds out what answers, and that it holds nothing yet."""
        heard = self.link.listen()
        first = Link(self.link.line, timeout=FIRST_TIMEOUT, retries=FIRST_RETRIES)
        try:
            answer = first.identify()
        except Silence as error:
            what = (
                "what came back is nothing that a board says" if heard or first.received_bytes else "nothing came back"
            )
            raise NoBoard(f"No gosset board answers: {what}.") from error
        self.identity = Identity.decode(answer)
        if design:
            _check_design(design, self.identity.design)
        self.link.word_bytes = self.identity.memory.bytes
        self.link.reset()
        self._weights = _Resident()
        self._connected = True

    def _run(self, job: Job, progress: Progress | None) -> tuple[NDArray[np.int32], dict[str, int]]:
        """Accumulators and counters."""
        if not self._connected:
            self._connect(self.design)
        memory, columns = self.identity.memory, self.design.cols
        stored = b""
        counters = [0] * len(COUNTERS)
        for piece in self._pieces(job):
            self._connected = False  # until all is well again
            weights, there = self._weights.place(piece.weights, piece.task.y, memory.bytes)
            images = piece.images if there else [*piece.images, (weights, piece.weights)]
            took = self.link.run(images, replace(piece.task, w=weights))
            counters = [total + count for total, count in zip(counters, took, strict=True)]
            stored += self.link.read(piece.task.y, piece.task.rows * piece.task.tiles * row_words(columns, memory))
            self._connected = True
            if progress:
                progress(len(rows(stored, columns, memory)), job.output_rows)
        return job.accumulators(rows(stored, columns, memory)), dict(zip(COUNTERS, counters, strict=True))

    def _pieces(self, job: Job) -> Iterator["_Piece"]:
        """The parts of a job, cut by tiles where the memory does not hold weights and results of them all."""
        memory, width = self.identity.memory, row_words(self.design.cols, self.identity.memory)
        weights: dict[int, bytes] = {}
        for part, x_payload, w_payload in zip(job.parts, job.x_words(), job.w_words(), strict=True):
            x = image(x_payload, x_word(self.design), memory)
            if part.first_block not in weights:
                weights[part.first_block] = image(w_payload, w_word(self.design), memory)
            w = weights[part.first_block]
            x_at = memory.words - len(x) // memory.bytes
            w_tile, y_tile = len(w) // part.tiles, part.rows * width
            most = max(0, x_at) // (w_tile // memory.bytes + y_tile)
            if not most:
                raise GossetError(
                    f"{part.rows} rows of activations take {len(x) // memory.bytes} words of memory, and a tile of "
                    f"their weights and results {w_tile // memory.bytes + y_tile}, but {self.identity.board} has "
                    f"{memory.words}: give its design fewer panel_rows, or a smaller x_depth."
                )
            tiles = -(-part.tiles // -(-part.tiles // most))
            for first in range(0, part.tiles, tiles):
                count = min(tiles, part.tiles - first)
                task = Task(part.rows, count, part.steps, job.int8, x=x_at, w=0, y=x_at - count * y_tile)
                yield _Piece([] if first else [(x_at, x)], w[first * w_tile : (first + count) * w_tile], task)


@dataclass(frozen=True)
class _Piece:
    """What one RUN computes.

    Attributes
    ----------
    images : list of (int, bytes)
        What must be written first, weights apart.
    weights : bytes
    task : Task
        Where the weights are is still to be said.
    """

    images: list[tuple[int, bytes]]
    weights: bytes
    task: Task


class _Resident:
    """The weights in a board's memory: one behind the other, from its beginning on."""

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[int, int]] = {}  # by digest: first word, and the word behind the last

    def place(self, weights: bytes, limit: int, word_bytes: int) -> tuple[int, bool]:
        """Where weights are or shall be written, below a limit from which on something else is; and whether they are
        there. What stands in the way is forgotten."""
        self._places = {digest: place for digest, place in self._places.items() if place[1] <= limit}
        digest = hashlib.sha256(weights).digest()
        if digest in self._places:
            return self._places[digest][0], True
        words = len(weights) // word_bytes
        start = max((end for _, end in self._places.values()), default=0)
        if start + words > limit:
            self._places.clear()
            start = 0
        self._places[digest] = (start, start + words)
        return start, False


def _check_design(wanted: DesignPoint, found: DesignPoint) -> None:
    if wanted != found:
        there = found.as_dict()
        differ = [
            f"{name} is {there[name]}, not {value}" for name, value in wanted.as_dict().items() if there[name] != value
        ]
        raise GossetError(f"The board has another design than {wanted.name}: {'; '.join(differ)}.")

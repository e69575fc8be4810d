"""A layer in the SDRAM: where everything lies, what is there at first, and what must be there at the end."""

from dataclasses import dataclass, field

import numpy as np

from golden.errors import GossetError
from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from hw.design import DesignPoint
from sim.image import operand_image, result_bytes
from sim.tiles import Job

BATCH, INPUTS, OUTPUTS = 4, 384, 384
"""Rows of activations, inputs and outputs: the size of a projection of MiniLM's attention, for four tokens."""

LINE = 64
"""Bytes; whatever lies in memory begins at a multiple."""

UNTOUCHED = 0xA5
"""What is where nothing was written."""


def design(q: int) -> DesignPoint:
    """An accelerator that 16 bits a cycle keep at work: of a format with q, two columns of weights for four rows."""
    return DesignPoint(
        name="soc", rows=4, cols=2, format=Format(q), panel_rows=BATCH, x_depth=64, w_depth=64, address_bits=32
    )


@dataclass(frozen=True)
class Layer:
    """y = x·wᵀ in one job, with random operands.

    Parameters
    ----------
    design : DesignPoint
    batch, inputs, outputs : int
    seed : int

    Attributes
    ----------
    job : Job
    places : dict of str to int
        Bytes from the beginning of memory to what is called so: the image of weights `w_image`, the planes of the
        packed activations `x_labels` and `x_betas`, room for their image `x_image`, the results that golden has,
        `expected`, and room for those that the accelerator has, `y`.
    memory : bytes
        What memory begins with.
    bytes_moved : int
        What has to cross to or from memory: both images, and the results.

    Raises
    ------
    GossetError
        If it takes more than one job.
    """

    design: DesignPoint
    batch: int = BATCH
    inputs: int = INPUTS
    outputs: int = OUTPUTS
    seed: int = 0
    job: Job = field(init=False)
    places: dict[str, int] = field(init=False)
    memory: bytes = field(init=False)
    bytes_moved: int = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        x = quantize(rng.normal(size=(self.batch, self.inputs)), self.design.format)
        w = quantize(rng.normal(size=(self.outputs, self.inputs)), self.design.format)
        job = Job(self.design, x, w)
        if len(job.parts) > 1:
            raise GossetError(f"A layer of the example is one job, but this one is {len(job.parts)}.")
        tiles = job.parts[0].tiles
        labels, betas = x.planes()
        padded = np.pad(matmul(x, w).accumulators, ((0, 0), (0, -self.outputs % self.design.cols)))
        rows = padded.reshape(self.batch, tiles, self.design.cols).swapaxes(0, 1)
        x_image, w_image = (
            operand_image(self.design, side, next(words), count)
            for side, words, count in (("x", job.x_words(), 1), ("w", job.w_words(), tiles))
        )
        contents = {
            "w_image": w_image,
            "x_labels": labels.tobytes(),
            "x_betas": betas.tobytes(),
            "x_image": bytes([UNTOUCHED]) * len(x_image),
            "expected": rows.astype("<i4").tobytes(),
            "y": bytes([UNTOUCHED]) * result_bytes(self.design, job.output_rows),
        }
        moved = sum(len(contents[name]) for name in ("w_image", "x_image", "y"))
        memory, places = bytearray(), {}
        for name, content in contents.items():
            places[name] = len(memory)
            memory += content + bytes([UNTOUCHED]) * (-len(content) % LINE)
        for name, value in (("job", job), ("places", places), ("memory", bytes(memory)), ("bytes_moved", moved)):
            object.__setattr__(self, name, value)

"""What came of a layer: compared with golden, with what crossed the SDRAM's pins, and with what its rate allows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fpga.litex.constants import CLOCK_HZ, SDRAM_BYTES_PER_SECOND
from fpga.litex.layer import Layer
from golden.errors import GossetError


@dataclass(frozen=True)
class Ran:
    """A layer that ran on the system.

    Attributes
    ----------
    layer : Layer
    said : dict of str to int
        What the firmware said on the serial line.
    pins : dict of str to int
        What was counted at the SDRAM's pins while the job ran: `cycles`, `reads` and `writes` of 16 bits,
        `activations`, `refreshes`; and all cycles, `simulated_cycles`.
    """

    layer: Layer
    said: dict[str, int]
    pins: dict[str, int]

    @property
    def seconds(self) -> float:
        """From before the job is submitted until the processor knows that it is done."""
        return self.said["cycles"] / CLOCK_HZ

    @property
    def bytes_per_second(self) -> float:
        """Of the bytes that have to be moved."""
        return self.layer.bytes_moved / self.seconds

    @property
    def macs_per_second(self) -> float:
        """Multiply-accumulates of the layer."""
        return self.layer.job.macs / self.seconds


class Mismatch(GossetError):
    """What came of a layer is not what has to."""


def compare(layer: Layer, said: dict[str, int], pins: dict[str, int], after: bytes) -> None:
    """Compares the memory at the end, and what the firmware said of it, with golden; and what crossed the SDRAM's pins
    with what has to.

    Raises
    ------
    Mismatch
        If anything differs.
    """
    if said.get("status") != 0:
        raise Mismatch(f"The firmware gave up: {said}.")
    job, design = layer.job, layer.design
    count = job.output_rows * design.cols
    got, expected = (
        np.frombuffer(memory, dtype="<i4", count=count, offset=layer.places[name])
        for memory, name in ((after, "y"), (layer.memory, "expected"))
    )
    wrong = np.flatnonzero(got != expected)
    if len(wrong) or said["wrong"] or said["compared"] != count:
        first = f"; the first, {wrong[0]}, is {got[wrong[0]]} instead of {expected[wrong[0]]}" if len(wrong) else ""
        raise Mismatch(f"{len(wrong)} of {count} results differ from golden{first}; the firmware says {said}.")
    if (moved := 2 * (pins["reads"] + pins["writes"])) != layer.bytes_moved:
        raise Mismatch(f"{moved:,} bytes crossed the SDRAM's pins, but the job has {layer.bytes_moved:,}.")


def roof(name: str, bits: float, size: int, macs: int) -> dict[str, Any]:
    """What a product whose operands and results are so many bytes can have of the SDRAM's rate."""
    seconds = size / SDRAM_BYTES_PER_SECOND
    about = {"name": name, "bits_per_weight": bits, "bytes": size}
    return about | {"roof_us": 1e6 * seconds, "roof_mmacs": macs / seconds / 1e6}

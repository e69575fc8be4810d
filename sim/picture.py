"""The picture of the main job's report."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from golden.files import replacing
from sim.digits import Digits

SHOWN = (6, 8)
"""Rows and columns of images shown."""

MARGIN = 3
"""Pixels between them."""


def draw(report: dict[str, Any], digits: Digits, readings: NDArray[np.int64], path: Path) -> None:
    """Draws a report of `sim.verify`: accuracy over bits, some images and how they were read, time per stage.

    Parameters
    ----------
    report : the report
    digits : Digits
    readings : int64 `(images,)`
        What the RTL read at the lowest rate.
    path : Path
        A PNG file.

    Raises
    ------
    GossetError
        If the file cannot be written.
    """
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(4, 4, 3))

    accuracy, bits = report["accuracy"], report["bits_per_entry"]
    for prefix, label, marker in (("e8_", "E8 lattice, on the RTL", "o-"), ("int", "integers, groups of 64", "s--")):
        names = [name for name in accuracy if name.startswith(prefix)]
        left.plot([bits[name] for name in names], [100 * accuracy[name] for name in names], marker, label=label)
    left.axhline(100 * accuracy["fp32"], color="grey", linewidth=1, label="fp32")
    left.set(xlabel="bits per entry, weights and activations", ylabel="read right, %")
    left.set_title(f"{report['images']} handwritten digits not seen in training")
    left.legend()

    lowest = min(bits[name] for name in accuracy if name.startswith("e8_"))
    (rows, columns), side = SHOWN, 8 + MARGIN
    framed = np.pad(digits.pixels[: rows * columns], ((0, 0), (0, MARGIN), (MARGIN, 0)))
    middle.imshow(framed.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, -1), cmap="gray_r")
    wrong = readings != digits.labels
    for image in range(rows * columns):
        row, column = divmod(image, columns)
        colour = "tab:red" if wrong[image] else "tab:green"
        middle.text(side * column - 0.4, side * row + 2, str(readings[image]), color=colour, fontweight="bold")
    middle.set_axis_off()
    middle.set_title(f"Read by the RTL at {lowest} bits: {wrong.sum()} of {len(wrong)} wrong")

    stages = report["seconds"]
    right.barh(list(stages)[::-1], list(stages.values())[::-1], color="grey")
    right.set(xlabel="seconds", title="Time per stage")

    with replacing(path) as beside:
        figure.savefig(beside, dpi=110)

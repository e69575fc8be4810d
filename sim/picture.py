"""The picture of the main job's report."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only: works without a display

from matplotlib import pyplot

from golden.files import replacing


def draw(report: dict[str, Any], path: Path) -> None:
    """Draws a report of `sim.verify`: accuracy over bits, and where the cycles and the seconds went.

    Raises
    ------
    GossetError
        If the file cannot be written.
    """
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.5), layout="constrained")

    accuracy, bits = report["accuracy"], report["bits_per_entry"]
    for prefix, label, marker in (("e8_", "E8 lattice, on the RTL", "o-"), ("int", "integers, groups of 64", "s--")):
        names = [name for name in accuracy if name.startswith(prefix)]
        left.plot([bits[name] for name in names], [100 * accuracy[name] for name in names], marker, label=label)
    left.axhline(100 * accuracy["fp32"], color="grey", linewidth=1, label="fp32")
    left.set(xlabel="bits per entry, weights and activations", ylabel="digits read right, %")
    left.set_title(f"{report['images']} handwritten digits not seen in training")
    left.legend()

    runs = report["digits"]
    bottom = [0.0] * len(runs)
    for cause in next(iter(runs.values()))["counters"]:
        shares = [100 * run["counters"][cause] / run["cycles"] for run in runs.values()]
        middle.barh(list(runs), shares, left=bottom, label=cause)
        bottom = [a + b for a, b in zip(bottom, shares, strict=True)]
    middle.set(xlabel="cycles, %", xlim=(0, 100))
    middle.set_title(f"Where the cycles went, {report['design']['rows']}×{report['design']['cols']} cells")
    middle.legend(loc="lower left")

    stages = report["seconds"]
    right.barh(list(stages)[::-1], list(stages.values())[::-1], color="grey")
    right.set(xlabel="seconds", title="Time per stage")

    with replacing(path) as beside:
        figure.savefig(beside, dpi=110)
    pyplot.close(figure)

"""Pictures of quality reports: families of formats, a colour for each, with their names beside them."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from golden.files import replacing

Points = dict[str, tuple[float, float]]
"""Bits, and what is drawn over them, by the name of a format."""

PARTS = r" q=\d+|, c=\d+|(?<=int)\d(?=-g)|, \d bits| \d\.\d$|(?<=Q)\d\w+"
"""What the names of a family differ by: its rates."""

ROUND_8 = 24**0.25 / (10 * np.pi) * 2 * np.pi * np.e
"""What cells as round as balls of 8 dimensions would reach: their second moment, Γ(5)^(1/4)/(10π), over 1/(2πe)."""

OFFSETS = [(0, 0), *((r * np.cos(a), r * np.sin(a)) for r in range(9, 160, 8) for a in np.arange(0.3, 6.3, 0.52))]
"""Where a name is tried, in points from its place, the nearest first."""

FAR = 14
"""Points from its place from which on a line leads to a name."""


def family(name: str) -> str:
    """What formats of one kind at several rates are called together."""
    return re.sub(PARTS, "", name)


def plot(section: str, figures: dict[str, Any], folder: Path, caption: str) -> None:
    """Writes the picture of a section, as PNG and SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.add_subplot()
    if section == "gaussian":
        axes.set(xlabel="bits per entry, all that is stored", ylabel="distortion of the product / Γ", yscale="log")
        axes.set(xlim=(0, 8.5), yticks=(ticks := (1, 1.5, 2, 3, 4, 5, 6, 8, 12)), yticklabels=ticks)
        axes.minorticks_off()
        for y, style, text in ((1, "-", "Γ(R), the least possible"), (ROUND_8, "--", "round cells, blocks of 8")):
            axes.axhline(y, color="k", ls=style)
            axes.text(8.4, 1.01 * y, text, fontsize=8, ha="right", va="bottom")
        _points(axes, {name: (f["bits"], f["distortion_over_gamma"]) for name, f in figures.items()})
    elif section == "guarantee":
        _guarantee(axes, figures)
    elif section in ("language", "kv", "bytes"):
        _losses(axes, section, figures)
    else:
        axes.set(xlabel="bits per weight, all that is stored", ylabel="1 − recall@10", yscale="log")
        _plain(axes)
        _points(axes, {name: (f["bits"], 1 - f["recall_at_10"]) for name, f in figures.items()})
    axes.set_title(caption, fontsize=9)
    axes.grid(alpha=0.3)
    for suffix in ("png", "svg"):
        with replacing(folder / f"{section}.{suffix}") as beside:
            figure.savefig(beside, dpi=150)


def _points(axes: Any, points: Points) -> None:
    """A line per family, with its name: ours solid and filled, rivals' dashed.

    Of names with a colon, what is before it decides the colour.
    """
    kinds: dict[str, list[tuple[float, float]]] = {}
    for name, point in points.items():
        kinds.setdefault(family(name), []).append(point)
    colors = {name: f"C{i % 10}" for i, name in enumerate(dict.fromkeys(kind.split(":")[0] for kind in kinds))}
    axes.margins(x=0.12)
    names = []
    for name, some in kinds.items():
        ours, color = name.startswith(("E8", "search")), colors[name.split(":")[0]]
        x, y = zip(*sorted(some), strict=True)
        axes.plot(x, y, "o-" if ours else "x--", color=color, lw=0.8, ms=5, mfc=color if ours else "none")
        names.append((name, (x[-1], y[-1]), color))
    _named(axes, names, list(points.values()))


def _named(axes: Any, names: list[tuple[str, tuple[float, float], str]], points: list[tuple[float, float]]) -> None:
    """Writes names beside their points, where they cover neither others nor points, as far as there is room."""
    axes.figure.draw_without_rendering()  # axes have their places and scales from here on
    dots, pixels = axes.transData.transform(points), axes.figure.dpi / 72
    taken: list[Any] = []
    for name, at, color in names:
        text = axes.annotate(name, at, (6, -3), textcoords="offset points", fontsize=7.5, color=color)
        text.set_in_layout(False)  # so that the axes stay where names were placed
        first = text.get_window_extent().padded(1)
        for dx, dy in OFFSETS:
            box = first.translated(dx * pixels, dy * pixels)
            inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            if inside and not box.count_overlaps(taken) and not box.count_contains(dots):
                break
        else:
            dx, dy, box = 0, 0, first
        text.set_position((dx + 6, dy - 3))
        if np.hypot(dx, dy) > FAR:
            line = {"arrowstyle": "-", "lw": 0.4, "color": color}
            axes.annotate("", at, (dx + 6, dy), textcoords="offset points", arrowprops=line).set_in_layout(False)
        taken.append(box)


def _guarantee(axes: Any, figures: dict[str, Any]) -> None:
    """Squared errors over what is guaranteed."""
    y = np.arange(len(figures))
    keys = ("measured", "standard_error", "without")
    ratio = {key: np.array([f[key] / f["bound"] for f in figures.values()]) for key in keys}
    axes.barh(y + 0.2, ratio["without"], 0.4, label="without centring and rotation")
    errors = 3 * ratio["standard_error"]
    axes.barh(y - 0.2, ratio["measured"], 0.4, xerr=errors, label="universal scheme, ± three standard errors")
    axes.axvline(1, color="k", label="the guarantee")
    axes.set(xscale="log", xlabel="squared error of the product / bound", yticks=y, yticklabels=list(figures))
    axes.legend()


def _losses(axes: Any, section: str, figures: dict[str, Any]) -> None:
    """What perplexity rises by over bits."""
    if section == "kv":
        points = {name: (f["bits"], f["more_percent"]) for name, f in figures.items() if name != "float32"}
        axes.set(xlabel="bits per entry of the cache, all that is stored")
    else:
        baseline = next(iter(figures))
        exact = figures[baseline]["weights"]
        points = {
            f"{name}: {kind}": (f["bits"], 100 * (f[kind] / exact - 1))
            for kind in ("weights", "together")
            for name, f in figures.items()
            if kind in f and name != baseline
        }
        axes.set(xlabel="bits per entry of the weights, all that is stored")
    axes.set(ylabel="perplexity more than unquantised, %", yscale="log")
    _plain(axes)
    _points(axes, {name: (bits, max(more, 0.01)) for name, (bits, more) in points.items()})


def _plain(axes: Any) -> None:
    """Numbers beside a logarithmic axis as people write them."""
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis("{x:g}")

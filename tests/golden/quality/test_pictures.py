from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure

from golden.quality.pictures import _points, family


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("E8 q=16", "E8"),
        ("E8 q=4, first", "E8, first"),
        ("E8 q=8, β 4·5·6·7", "E8, β 4·5·6·7"),
        ("E8 q=8, 8 β", "E8, 8 β"),
        ("E8 half step, c=2", "E8 half step"),
        ("E8 q=4, time shared 0.5", "E8, time shared"),
        ("int4-g64, rotated", "int-g64, rotated"),
        ("LLM.int8()", "LLM.int8()"),
        ("llama.cpp IQ2_XS", "llama.cpp IQ"),
        ("trellis hashed, 3 bits: weights", "trellis hashed: weights"),
    ],
)
def test_families_differ_by_more_than_rates(name, together):
    assert family(name) == together


def test_names_cover_neither_each_other_nor_points():
    rng = np.random.default_rng(0)
    points = {chr(65 + k) * 12: (4 + rng.normal() / 4, 2 + rng.normal() / 8) for k in range(20)}
    figure = Figure(figsize=(12, 7))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 8), ylim=(1, 3))
    _points(axes, points)
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 20 and not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    places = axes.transData.transform(list(points.values()))
    assert not any(box.count_contains(places) for box in boxes)

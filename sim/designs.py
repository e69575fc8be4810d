"""Design points of every kind: in a few of them, every pair of values of two parameters occurs together.

Most faults need two values to meet, hardly any three. `covering` gives as few design points as a greedy search finds;
`design` makes one from a value of each parameter, however it was chosen. `equipped` has everything at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, get_args

import numpy as np

from golden.format import Format
from golden.frontend import FrontEndRules
from golden.output import OutputRules, Result
from hw.design import LEAST_KEPT, MAX_DSP_Q, DesignPoint

PARAMETERS: dict[str, tuple[Any, ...]] = {
    "rows": (1, 2, 3, 5),
    "cols": (1, 2, 3),
    "q": (2, 4, 8, 16, 32, 64),
    "betas": ((3,), (2, 5), (1, 3, 4), (3, 4, 5, 7), (1, 2, 3, 4, 5, 7, 9, 15)),
    "dataflow": ("os", "ws"),
    "activations": (("packed",), ("int8",), ("packed", "int8")),
    "multipliers": ("none", "some", "all"),
    "pipeline": ("deep", "lean"),
    "panels": (1, 2, 3),
    "x_depth": (16, 64),
    "w_depth": (8, 64),
    "jobs": (2, 3, 7),
    "kept": (0, 1, 6),
    "bus_bits": (32, 64, 256),
    "burst": (16, 64),
    "prefetch": (64, 128, 1024),
    "axcache": (3, 15),
    "axprot": (0, 3),
    "result": (None, *get_args(Result)),
    "row_scales": (False, True),
    "diagnostics": (False, True),
    "strides": (False, True),
    "codes": (False, True),
    "address_bits": (32, 40, 64),
    "id_bits": (0, 5),
    "port_registers": (False, True),
    "ring": (False, True),
    "coalescing": (False, True),
    "idle": (False, True),
    "abort": (False, True),
    "scale": (None, "host", "max", "rms"),
    "candidates": ("parallel", "serial"),
    "length": (8, 16, 64),
    "raw_bits": (4, 11, 16),
    "fraction_bits": (2, 4, 7),
    "row_blocks": (8, 13),
}
"""Values of each parameter, in terms in which nearly all go together: `multipliers` says in how many columns there are
some, `panels` is how many times as many rows as the array's a job can have, `kept` how many times as many as those
there is room for on chip, at least. `scale` is None without a front end, `result` without an output stage."""

OF_PORT = (
    *("bus_bits", "burst", "prefetch", "axcache", "axprot", "address_bits", "id_bits", "port_registers"),
    *("diagnostics", "strides", "codes", "ring", "coalescing", "idle", "abort"),
)
"""The parameters of a memory port."""

OF_FRONT_END = ("candidates", "length", "raw_bits", "fraction_bits", "row_blocks")
"""The parameters of a front end."""

Pair = tuple[tuple[str, Any], tuple[str, Any]]
"""Two parameters, in the order of `PARAMETERS`, with a value each."""

TRIES = 60
"""Candidates of which the one with most new pairs is taken."""


def design(values: Mapping[str, Any], name: str = "drawn") -> DesignPoint | None:
    """The design point of these values of all `PARAMETERS`; None if they do not go together."""
    v = dict(values)
    if (
        (v["multipliers"] != "none" and (v["q"] > MAX_DSP_Q or v["pipeline"] == "lean"))
        or (v["multipliers"] == "some" and v["cols"] == 1)
        or (v["scale"] and "packed" not in v["activations"])
        or v["prefetch"] < 2 * v["burst"]
        or (v["abort"] and v["kept"])
    ):
        return None
    format, front_end = Format(v["q"], v["betas"]), None
    if v["scale"]:
        own = {key: v[key] for key in ("scale", *OF_FRONT_END)}
        front_end = FrontEndRules(format=format, **own)
    return DesignPoint(
        name=name,
        format=format,
        dsp_cols={"none": 0, "some": -(-v["cols"] // 2), "all": v["cols"]}[v["multipliers"]],
        panel_rows=v["rows"] * v["panels"],
        keep_rows=max(LEAST_KEPT, 1 << (v["rows"] * v["panels"] * v["kept"] - 1).bit_length()) if v["kept"] else 0,
        w_depth=v["w_depth"] if v["dataflow"] == "os" else 0,
        front_end=front_end,
        output=OutputRules(result=v["result"], row_scales=v["row_scales"]) if v["result"] else None,
        **{key: v[key] for key in ("rows", "cols", "dataflow", "activations", "pipeline", "x_depth")},
        **{key: v[key] for key in ("jobs", *OF_PORT)} | {"codes": v["codes"] and front_end is not None},
    )


def equipped(point: DesignPoint) -> DesignPoint:
    """A design with everything that its memory port can have at once.

    Rows stay on chip between jobs and raw ones come by DMA, prefetch hides 500 cycles; jobs cannot be given up, which
    does not go with that.
    """
    front_end = FrontEndRules(format=point.format, length=16, scale="host") if point.packed else None
    return replace(
        point,
        name=f"{point.name}_equipped",
        keep_rows=max(1024, point.panel_rows),
        drain_rows=0,
        prefetch=1024,
        front_end=point.front_end or front_end,
        output=point.output or OutputRules(row_scales=True),
        codes=point.packed,
        id_bits=max(point.id_bits, 5),
        port_registers=True,
        diagnostics=True,
        strides=True,
        ring=True,
        coalescing=True,
        idle=True,
        abort=False,
    )


def covering(seed: int, **fixed: tuple[Any, ...]) -> list[DesignPoint]:
    """Design points in which every pair of values occurs that can.

    Parameters
    ----------
    seed : int
        Another one gives other designs, with other triples.
    fixed : tuples
        Values to choose from instead of all, by parameter: `scale=("host", "max", "rms")` for front ends only.

    Returns
    -------
    list of DesignPoint, named `drawn_<seed>_<number>`. The first ones have most of the pairs.
    """
    rng, parameters = np.random.default_rng(seed), PARAMETERS | fixed
    missing = {
        ((a, x), (b, y)): None for a, b in combinations(parameters, 2) for x in parameters[a] for y in parameters[b]
    }
    found: list[DesignPoint] = []
    while missing:
        wanted = list(missing)[int(rng.integers(len(missing)))]
        best, most = None, [wanted]  # a pair that goes together with nothing is given up
        for _ in range(TRIES):
            values = {name: some[int(rng.integers(len(some)))] for name, some in parameters.items()} | dict(wanted)
            new = [pair for pair in pairs(values) if pair in missing]
            if wanted in new and len(new) >= len(most):
                made = design(values, f"drawn_{seed}_{len(found)}")
                best, most = (made, new) if made else (best, most)
        found += [best] if best else []
        for pair in most:
            del missing[pair]
    return found


def pairs(values: Mapping[str, Any]) -> list[Pair]:
    """The pairs of values of parameters that matter: of a front end or an output stage only where there is one."""
    idle = {"w_depth"} if values["dataflow"] == "ws" else set()
    idle |= {"codes", *OF_FRONT_END} if values["scale"] is None else set()
    idle |= {"row_scales"} if values["result"] is None else set()
    return list(combinations(((name, values[name]) for name in PARAMETERS if name not in idle), 2))

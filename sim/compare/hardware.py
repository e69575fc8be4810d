"""The hardware on the same products: arrays in standard cells in every format, and the boards as they are built."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from golden.int8 import quantize_int8
from golden.quantize import quantize
from golden.rivals import Codec
from golden.rivals import Lattice as LatticeCodec
from golden.rivals.integers import IntGroups
from hw.design import ACC_BITS, DesignPoint
from sim.compare.layers import BATCHES, Shape
from sim.compare.records import Figure, Record
from sim.compare.software import DRAM, SAMPLE, gaussian, minilm, ratio_db
from sim.kernels.encoder import chooser
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.silicon.compose import INTEGERS, OURS, Build
from sim.studies.evaluate import Space
from sim.studies.report import band
from sim.studies.study import DEFAULTS, Study, formats
from sim.workloads.layers import Workload

EDGES = (8, 32)
"""Rows and columns of the arrays."""

TECHNOLOGY = "asap7"

BOARDS = Path(__file__).parent / "tables" / "boards.json"

HELD = {"panel_rows": (256,), "x_depth": (2048,), "w_depth": (2048,)}
"""Memories of the arrays: 256 rows of activations are one panel, and weights are read once."""


@dataclass(frozen=True)
class Memory:
    """What arrays in standard cells get their operands from: bytes per second, and where that number is from."""

    speed: float
    source: str


def arrays(
    shapes: Sequence[Shape], memory: Memory, advance: Callable[[int], None] = lambda steps: None
) -> list[Record]:
    """All shapes on the arrays, in every format that has measured units; of a format's cells those of least energy."""
    names = tuple(name for name in formats() if ", deep" not in name)
    quality = {}
    for name in names:
        quality[name] = _quality(formats()[name].codec, formats()[name].int8)
        advance(1)
    records: list[Record] = []
    for shape in shapes:
        for m in BATCHES:
            for edge in EDGES:
                best: dict[tuple[str, float], Record] = {}
                for record in _array(shape, m, edge, names, memory, quality):
                    key = record.family or record.way, record.bits
                    if key not in best or record.figures["energy_j"].value < best[key].figures["energy_j"].value:
                        best[key] = record
                records += best.values()
            advance(1)
    return records


def steps(shapes: Sequence[Shape]) -> int:
    """How many steps `arrays` has."""
    return sum(", deep" not in name for name in formats()) + len(shapes) * len(BATCHES)


def _array(
    shape: Shape, m: int, edge: int, names: tuple[str, ...], memory: Memory, quality: dict[str, dict[str, Figure]]
) -> list[Record]:
    axes = {**DEFAULTS, **HELD, "rows": (edge,), "cols": (edge,), "format": names}
    study = Study(
        title="comparison",
        toml="",
        workload=Workload(shape.name, (shape.layer(m),)),
        technology=TECHNOLOGY,
        board=None,
        memory=DRAM,
        axes={**axes, "gigabytes_per_second": (memory.speed / 1e9,)},
        most={},
        least={},
        objectives=("time",),
        evaluations=0,
        seed=0,
    )
    space = Space(study)
    numbers, found = space.evaluate(np.arange(space.size))
    bands = band(found, False, space.units.fit.worst)
    records = []
    for place, number in enumerate(numbers):
        name = str(space.settings(int(number))["format"])
        build = formats()[name]
        figures = {
            key: Figure(float(found[key][place]), "modelled", *(float(side[place]) for side in bands[key]))
            for key in ("time_s", "energy_j", "area_mm2")
        }
        figures["bytes"] = Figure(float(found["traffic_bytes"][place]), "modelled")
        waits = found["waiting_s"][place] > found["compute_s"][place]
        bound = f"its memory, assumed to bring {memory.speed / 1e9:.1f} GB/s" if waits else "the array"
        records.append(
            shape.record(
                m,
                platform=f"{TECHNOLOGY.upper()} array {edge}×{edge}",
                way=name,
                family=_family(name, build),
                bits=build.bits,
                figures={**figures, **quality[name]},
                ours=_ours(name),
                notes=(f"bound by {bound}",),
            )
        )
    return records


def _ours(name: str) -> bool:
    return name.startswith("E8 ")


def _family(name: str, build: Build) -> str:
    return build.family if build.family in (OURS, INTEGERS) else "" if build.family != "int8" else "int8"


@cache
def _quality(codec: Codec, int8: bool = False) -> dict[str, Figure]:
    """SQNR of products of both operands in a format, of the same matrices that software multiplies."""
    found = {"sqnr_db": product_db(codec, int8, gaussian())}
    if (real := minilm()) is not None:
        found["minilm_db"] = product_db(codec, int8, real)
    return {key: Figure(value, "measured") for key, value in found.items()}


def product_db(codec: Codec, int8: bool, w: Any) -> float:
    """SQNR in dB of a product of Gaussian activations and weights, each as a codec reads it back."""
    x = np.random.default_rng(1).standard_normal((SAMPLE[0], w.shape[1]), dtype=np.float32)
    if isinstance(codec, IntGroups):  # a group that is longer than a row is the row
        codec = replace(codec, group=min(codec.group, w.shape[1]))
    if isinstance(codec, LatticeCodec):  # the same choices, by the compiled encoder
        coded = [quantize(each, codec.format, rounding=chooser()).dequantize() for each in (x, w)]
    else:
        coded = [codec(each).values for each in (x, w)]
    if int8:
        coded[0] = quantize_int8(x).dequantize()
    exact, product = (a.astype(np.float64) @ b.astype(np.float64).T for a, b in ((x, w), tuple(coded)))
    return ratio_db(exact, product)


@cache
def board_table() -> list[dict[str, Any]]:
    """The boards' designs, clocks and areas, as they were built."""
    return list(json.loads(BOARDS.read_text(encoding="utf-8"))["boards"])


def boards(shapes: Sequence[Shape]) -> list[Record]:
    """All shapes on the boards: cycles of the exact model at the clock of the bitstream, operands on the chip."""
    records = []
    for board in board_table():
        design = DesignPoint.from_dict(board["design"])
        machine, quality = Machine.of(design), _quality(LatticeCodec(design.format))
        for shape in shapes:
            for m in BATCHES:
                count = int(cycles(machine, m, shape.n, shape.k).cycles)
                bits = design.format.bits_per_entry
                moved = (bits * (shape.n + m) * shape.k + ACC_BITS * m * shape.n) / 8
                figures = {
                    "time_s": Figure(count / (board["clock_mhz"] * 1e6), "modelled"),
                    "bytes": Figure(moved, "modelled"),
                    "luts": Figure(board["luts"], "measured"),
                    **quality,
                }
                records.append(
                    shape.record(
                        m,
                        platform=board["title"],
                        way=f"E8 q = {design.format.q}",
                        family=OURS,
                        bits=bits,
                        figures=figures,
                        ours=True,
                        notes=(f"{count:,} cycles at {board['clock_mhz']:g} MHz, {board['clock']}",),
                    )
                )
    return records

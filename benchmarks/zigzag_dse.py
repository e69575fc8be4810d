"""The same question to ZigZag and to this explorer, with this project's RTL beside: one layer, arrays of int8.

python -m benchmarks.zigzag_dse

Cells of eight lanes, output-stationary, operands and results as fast as the array takes them: ZigZag's memories have
the ports for it, and it is told the mapping that the RTL has. Cells of packed operands take a block per cycle as those
of int8 do, so that the RTL is this project's.
"""

import contextlib
import io
import json
import logging
import time
from importlib import metadata
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.simulators import best
from golden.lattice import DIM
from hw.design import DesignPoint
from sim.models.cycles import cycles as model
from sim.models.schedule import Machine
from sim.studies.explore import explore
from sim.studies.study import Study

LAYER = (64, 64, 512)
"""M, N, K."""

SIZES = ((1, 1), (2, 2), (4, 4))
"""Rows and columns of the arrays."""


def accelerator(rows: int, cols: int) -> dict:
    """The array as ZigZag describes one."""

    def memory(bits: int, operands: list[str], width: int, ways: str, served: list[str]) -> dict:
        ports, count = [], {"r": 0, "w": 0}
        for operand, way in product(operands, ways.split()):
            kind = "w" if way[0] == "f" else "r"  # from above or below, or to there
            count[kind] += 1
            port = {"name": f"{kind}_port_{count[kind]}", "type": {"r": "read", "w": "write"}[kind]}
            port |= {"bandwidth_min": width, "bandwidth_max": width, "allocation": [f"{operand}, {way}"]}
            ports.append(port)
        common = {"r_cost": 1, "w_cost": 1, "area": 0, "latency": 1, "auto_cost_extraction": False}
        return {"size": bits, **common, "operands": operands, "ports": ports, "served_dimensions": served}

    everything = ["D1", "D2", "D3"]
    return {
        "name": "array",
        "memories": {
            "sums": memory(32, ["O"], 32, "fh tl fl th", ["D3"]),
            "x": memory(1 << 30, ["I1"], DIM * 8 * rows, "tl", everything),
            "w": memory(1 << 30, ["I2"], DIM * 8 * cols, "tl", everything),
            "results": memory(1 << 30, ["O"], 32 * rows * cols, "tl fl", everything),
        },
        "operational_array": {
            "input_precision": [8, 8], "unit_energy": 1, "unit_area": 1, "dimensions": everything,
            "sizes": [rows, cols, DIM],
        },
    }  # fmt: skip


def zigzag(rows: int, cols: int, folder: Path) -> tuple[float, float]:
    """Cycles by ZigZag, and the seconds that it took."""
    from zigzag.api import get_hardware_performance_zigzag

    m, n, k = LAYER
    layer = {
        "id": 0, "name": "layer", "operator_type": "Gemm", "equation": "O[m][n]+=I[m][k]*W[k][n]",
        "loop_dims": ["M", "N", "K"], "loop_sizes": [m, n, k],
        "operand_precision": {"I": 8, "W": 8, "O": 32, "O_final": 32}, "operand_source": {"I": 0, "W": 0},
    }  # fmt: skip
    mapping = {
        "name": "default",
        "spatial_mapping": {"D1": [f"M, {rows}"], "D2": [f"N, {cols}"], "D3": [f"K, {DIM}"]},
        "temporal_ordering": [["K", "*"], ["M", "*"], ["N", "*"]],
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }
    files = {"array.yaml": accelerator(rows, cols), "layer.yaml": [layer], "mapping.yaml": [mapping]}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    array, work, mapped = (str(folder / name) for name in files)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        _, latency, _ = get_hardware_performance_zigzag(
            work, array, mapped, dump_folder=str(folder / "out"), loma_show_progress_bar=False
        )
    return float(latency), time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    try:
        version = metadata.version("zigzag-dse")
    except metadata.PackageNotFoundError:
        print("zigzag: not installed (pip install zigzag-dse)")
        return
    logging.disable(logging.CRITICAL)
    m, n, k = LAYER
    print(f"{m} × {k} × {n} of int8 on arrays of eight lanes, ZigZag {version}: cycles, and seconds per design point")
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "layer.toml").write_text(f'[[layer]]\nname = "layer"\nm = {m}\nn = {n}\nk = {k}\n', encoding="utf-8")
        text = '[workload]\nsource = "layer.toml"\n[design]\nformat = "int8*"\npanel_rows = [32, 64, 128]\n'
        text += "rows = {from = 1, to = 32, step = 1}\ncols = {from = 1, to = 32, step = 1}\n"
        (folder / "study.toml").write_text(text + "x_depth = {from = 64, to = 8192, times = 2}\n", encoding="utf-8")
        explore(Study.load(str(folder / "study.toml")))  # compiled before the clock starts
        found = explore(Study.load(str(folder / "study.toml")))
        ours = found.seconds / found.evaluated
        zigzag(1, 1, folder)
        theirs = []
        for rows, cols in SIZES:
            cycles, seconds = zigzag(rows, cols, folder)
            theirs.append(seconds)
            design = DesignPoint(name="array", rows=rows, cols=cols, pipeline="lean")
            exact = int(model(Machine.of(design), m, n, k).cycles)
            rtl = best(design, m, n, k, repeats=1).cycles
            print(f"  {rows}×{cols}: ZigZag {cycles:,.0f}, this model {exact:,}, RTL {rtl:,}")
    print(f"  ZigZag {np.median(theirs):.3g} s, this explorer {ours:.3g} s ({found.evaluated:,} points)")


if __name__ == "__main__":
    main()

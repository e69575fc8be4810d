"""What accelforge makes of points that `gosset explore export` wrote for it: cycles, energy, area, seconds per point.

python -m benchmarks.exchange

accelforge (pip install accelforge) needs Python 3.12. It chooses the mapping and knows of no cycles in which an array
fills and drains, so that its cycles are at most this model's, and equal those in which something is computed.
"""

import time
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from golden.lattice import DIM
from sim.studies.exchange import accelforge
from sim.studies.explore import explore
from sim.studies.report import write
from sim.studies.study import Study

LAYER = (64, 64, 512)
"""M, N, K."""

POINTS = (
    ("int8", "os"),
    ("MXFP4", "os"),
    ("E8 q = 16, lean", "os"),
    ("E8 q = 16, lean", "ws"),
    ("E8 q = 8, deep", "ws"),
)
"""Formats and dataflows."""

SIZES = ((1, 1), (2, 4), (4, 4))
"""Rows and columns of the arrays."""

STUDY = """
[workload]
source = "layer.toml"
[design]
format = "{format}"
dataflow = "{dataflow}"
rows = {rows}
cols = {cols}
"""


def point(format: str, dataflow: str, rows: int, cols: int, folder: Path) -> tuple[dict[str, Any], str]:
    """The sheet of one design, and what is exported of it."""
    m, n, k = LAYER
    (folder / "layer.toml").write_text(f'[[layer]]\nname = "layer"\nm = {m}\nn = {n}\nk = {k}\n', encoding="utf-8")
    study = folder / "study.toml"
    study.write_text(STUDY.format(format=format, dataflow=dataflow, rows=rows, cols=cols), encoding="utf-8")
    report = write(explore(Study.load(str(study))), folder / "out")
    (sheet,) = report["front"]
    return sheet, accelforge(report, sheet)


def evaluated(path: Path) -> tuple[float, float, float, float]:
    """Seconds and nanojoules of the workload and m² by accelforge, and the seconds that it took."""
    from accelforge.frontend.mapper.metrics import Metrics
    from accelforge.frontend.spec import Spec

    start = time.perf_counter()
    spec = Spec.from_yaml(str(path))
    spec.mapper.metrics = Metrics.ENERGY | Metrics.LATENCY
    found = spec.map_workload_to_arch(print_progress=False).data
    best = found.loc[found["Total<SEP>latency"].idxmin()]
    took = time.perf_counter() - start
    area = spec.calculate_component_costs().arch.total_area
    return float(best["Total<SEP>latency"]), float(best["Total<SEP>energy"]), float(area), took


def main() -> None:
    """Measures and prints."""
    try:
        version = metadata.version("accelforge")
    except metadata.PackageNotFoundError:
        print("accelforge: not installed (pip install accelforge, Python 3.12 or newer)")
        return
    m, n, k = LAYER
    print(
        f"{m} × {k} × {n}, accelforge {version} beside this model: cycles (computing), nJ (computing), mm²; s per point"
    )
    with TemporaryDirectory() as name:
        for format, dataflow in POINTS:
            for rows, cols in SIZES:
                sheet, text = point(format, dataflow, rows, cols, Path(name))
                path = Path(name) / "point.accelforge.yaml"
                path.write_text(text, encoding="utf-8")
                seconds, energy, area, took = evaluated(path)
                figures, cycles = sheet["figures"], sum(sheet["cycles"].values())
                period, busy = figures["compute_s"] / cycles, sheet["cycles"]["busy"]
                leaks = figures["leakage_pj"] * busy / cycles
                nanojoules = figures["energy_j"] * 1e9
                computing = sum(figures[f"{part}_pj"] for part in ("compute", "drain", "sram", "dram")) + leaks
                print(
                    f"  {format} {dataflow} {rows}×{cols} of {DIM} lanes: {seconds / period:,.0f} beside {cycles:,} "
                    f"({busy:,}), {energy * 1e9:,.2f} beside {nanojoules:,.2f} ({computing * 1e-3:,.2f}), "
                    f"{area * 1e6:.6f} beside {figures['area_mm2']:.6f}; {took:.2f} s"
                )


if __name__ == "__main__":
    main()

"""Speed of a product on the Verilated RTL: in this process, and under cocotb.

python -m benchmarks.simulators
"""

import numpy as np

from golden.quantize import quantize
from hw.design import PRESETS, DesignPoint
from sim.benches.runner import run_bench
from sim.device import Report, RtlDevice
from sim.tiles import Job

BLOCKS = 900
"""Blocks per row of the product."""


def main() -> None:
    """Measures and prints; simulators are built before the clock starts."""
    for name in ("tiny", "small"):
        design = PRESETS[name]
        m, n, k = 2 * design.rows + 1, 2 * design.cols + 1, 8 * BLOCKS  # what the accelerator's testbench computes
        report = best(design, m, n, k)
        cycles = report.cycles or 0
        # Random operands of the same shape; the testbench starts a Python of its own, which is not counted.
        cocotb = bench_seconds(design, BLOCKS) - bench_seconds(design, 1)
        print(f"{m} × {k} × {n} on {name}, {cycles:,} cycles:")
        print(f"  cocotb      {cocotb:8.3f} s  {cycles / cocotb:12,.0f} cycles/s")
        print(f"  in process  {report.seconds:8.3f} s  {cycles / report.seconds:12,.0f} cycles/s", end="")
        print(f"  {cocotb / report.seconds:6.0f} times as fast")

    report = best(PRESETS["small"], 64, 64, 1024)
    print(f"64 × 1024 × 64 on small: {report.cycles:,} cycles, {report.utilisation:.2%} of the peak")


def best(design: DesignPoint, m: int, n: int, k: int, repeats: int = 5) -> Report:
    """The fastest of several runs of a random product in this process."""
    rng = np.random.default_rng(0)
    x, w = (quantize(rng.normal(size=(rows, k)), design.format) for rows in (m, n))
    device, job = RtlDevice(design), Job(design, x, w)
    reports = [device.run(job) for _ in range(repeats)]
    device.close()
    return min(reports, key=lambda report: report.seconds)


def bench_seconds(design: DesignPoint, blocks: int) -> float:
    """Seconds of the testbench's product with so many blocks per row."""
    result = run_bench("accelerator", design, blocks=blocks, only="whole_product")
    if not result.ok or result.passed != 1:
        raise SystemExit(str(result))
    return result.seconds


if __name__ == "__main__":
    main()

"""Speed of a product on the Verilated RTL: in this process, and under cocotb.

python -m benchmarks.simulators
"""

import time

import numpy as np

from golden.quantize import quantize
from hw.design import PRESETS
from sim.bench import SMALL, run_bench
from sim.device import RtlDevice
from sim.tiles import Job

BLOCKS = 900
"""Blocks per row of the product: the testbench gives up after 1,000 cycles without a row."""

SHAPE = (2 * SMALL.rows + 1, 2 * SMALL.cols + 1, 8 * BLOCKS)
"""M, N and K of the product that the accelerator's testbench computes."""


def product(design_rows: int, design_cols: int, columns: int) -> list[np.ndarray]:
    """Random operands."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(rows, columns)) for rows in (design_rows, design_cols)]


def main() -> None:
    """Measures and prints; simulators are built before the clock starts."""
    m, n, k = SHAPE
    x, w = (quantize(matrix, SMALL.format) for matrix in product(m, n, k))
    job = Job(SMALL, x, w)
    device = RtlDevice(SMALL)
    cycles = device.run(job).cycles or 0
    ours = min(device.run(job).seconds for _ in range(5))
    device.close()

    # Of random operands of the same shape; the testbench starts a Python of its own, which is not counted.
    start = _bench_seconds(1)
    theirs = _bench_seconds(BLOCKS) - start
    print(f"A product of {m} × {k} × {n} on {SMALL.rows}×{SMALL.cols} cells, {cycles:,} cycles:")
    print(f"  cocotb      {theirs:8.3f} s  {cycles / theirs:12,.0f} cycles/s")
    print(f"  in process  {ours:8.3f} s  {cycles / ours:12,.0f} cycles/s  {theirs / ours:8.0f} times as fast")

    small = PRESETS["small"]
    x, w = (quantize(matrix, small.format) for matrix in product(64, 256, 1024))
    device, job = RtlDevice(small), Job(small, x, w)
    reports = [device.run(job) for _ in range(3)]
    device.close()
    report = min(reports, key=lambda report: report.seconds)
    start_time = time.perf_counter()
    _ = x.dequantize() @ w.dequantize().T
    print(
        f"64 × 1024 × 256 on small: {(report.cycles or 0) / report.seconds:,.0f} cycles/s in process, "
        f"utilisation of the array {report.utilisation:.2%}; "
        f"NumPy takes {time.perf_counter() - start_time:.4f} s for it in float32, the simulation {report.seconds:.3f} s"
    )


def _bench_seconds(blocks: int) -> float:
    """Seconds of the testbench's product with so many blocks per row, stalls off."""
    result = run_bench("accelerator", SMALL, blocks=9 * blocks, only="whole_product.*never")
    assert result.ok and result.passed == 1, str(result)
    return result.seconds


if __name__ == "__main__":
    main()

"""Speed of the golden model's codec: blocks per second, and what part of the memory's bandwidth that is.

python -m benchmarks.golden_codec
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from golden.format import Format
from golden.quantize import gaussian_scale, quantize
from golden.voronoi import decode_lanes, label_dtype

BLOCKS = 1 << 21
"""Blocks of one run: a 4096 × 4096 matrix."""

REPEATS = 3
PART = 1 << 16


def best(function: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Seconds of the fastest of several runs, and of processor time in it: on an idle machine cores times as much."""
    seconds = []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        function()
        seconds.append((time.perf_counter() - start, time.process_time() - used))
    return min(seconds)


def bandwidth() -> float:
    """Bytes read and written per second by copying, all threads at once: what memory gives to NumPy here."""
    source = np.ones((os.cpu_count() or 1, 1 << 25), dtype=np.float32)
    target = np.empty_like(source)
    with ThreadPoolExecutor(len(source)) as pool:
        seconds, _ = best(lambda: list(pool.map(np.copyto, target, source)))
    return 2 * source.nbytes / seconds


def main() -> None:
    """Measures, prints a table, and writes JSON to the path given as the only argument, if there is one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4096, 4096), dtype=np.float32)
    memory = bandwidth()
    rows = {}

    def add(name: str, timing: tuple[float, float], moved: int) -> None:
        seconds, processor = timing
        share = moved / seconds / memory
        rows[name] = {"blocks_per_second": BLOCKS / seconds, "seconds": seconds, "processor_seconds": processor}
        rows[name]["of_bandwidth"] = share
        print(
            f"{name:34s} {BLOCKS / seconds / 1e6:7.2f} M blocks/s {seconds:7.2f} s"
            f" (processor {processor:6.2f} s) {share:8.2%} of the bandwidth"
        )

    print(f"{os.cpu_count()} cores; memory {memory / 1e9:.1f} GB/s (copy); blocks of 8 of a 4096 × 4096 float32 matrix")
    fmt = Format(16)
    packed = quantize(x, fmt)
    stored = sum(plane.nbytes for plane in packed.planes())
    for selection in ("opt", "first"):
        scales = np.full(4096, gaussian_scale(fmt, selection), dtype=np.float32)
        timing = best(lambda s=selection, c=scales: quantize(x, fmt, selection=s, scales=c))
        add(f"encode, q=16, 4 β, {selection}", timing, x.nbytes + stored)
    for q in (4, 8, 16, 32):
        labels = rng.integers(0, q**8, BLOCKS, dtype=np.uint64).astype(label_dtype(q))
        parts = [labels[i : i + PART] for i in range(0, BLOCKS, PART)]

        def decode(parts: list[np.ndarray] = parts, q: int = q) -> None:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda part: decode_lanes(part, q), parts))

        add(f"decode, q={q}, to int8", best(decode), labels.nbytes + 8 * BLOCKS)

    def show(done: int, total: int) -> None:
        print(f"\rquantise, scales searched: {done / total:4.0%}", end="", file=sys.stderr)

    timing = best(lambda: quantize(x, fmt, progress=show), 1)
    print(file=sys.stderr)
    add("quantise, scales searched", timing, x.nbytes + stored)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump({"cores": os.cpu_count(), "memory_bytes_per_second": memory, "runs": rows}, file, indent=2)


if __name__ == "__main__":
    main()

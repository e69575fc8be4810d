"""Speed of packed products on this machine's processor, beside what multiplies there otherwise.

python -m benchmarks.cpu_kernels [report.json]

Weights are 4096 × 4096 and stream from memory (`sim.compare.ways`). Rivals that are not installed say so.
"""

import gc
import json
import sys
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from golden.format import Format
from golden.quantize import quantize
from sim.compare.layers import BATCHES
from sim.compare.machine import STREAMED, describe, load, reading
from sim.compare.rivals import rivals
from sim.compare.software import own, peaks
from sim.compare.ways import E8, Prepared, Timed, Unfit, Way, copies, drawn, measure
from sim.kernels.encoder import chooser
from sim.kernels.library import supported
from sim.kernels.product import Kernels, processors

SIZE = 4096

SECONDS = 30.0
"""Time for the rounds of one table."""


def table(
    rows: list[tuple[Way, float, Timed]], m: int, threads: int, read: float, core: dict[str, float]
) -> list[dict[str, Any]]:
    """Prints and returns what was measured; reading, bytes per second, took turns with it, and peaks are of a core."""
    found: list[dict[str, Any]] = []
    print(f"\n{m} row{'s' if m > 1 else ''} of activations, {threads} thread{'s' if threads > 1 else ''};", end=" ")
    most = {path: threads * peak for path, peak in core.items()}
    print("; ".join([f"reading: {read / 1e9:.1f} GB/s", *(f"{p}: {v / 1e9:.0f} GMAC/s" for p, v in most.items())]))
    first = rows[0][2]
    for way, bits, row in rows:
        rate, speed = bits / 8 * SIZE * SIZE / row.seconds, m * SIZE * SIZE / row.seconds
        line = f"{way.name:42s} {bits:6.3f} bits {row.seconds * 1e6:9.0f} µs {first.seconds / row.seconds:6.2f} ×"
        line += f" (best {row.best * 1e6:9.0f} µs {first.best / row.best:6.2f} ×)"
        line += f" {speed / 1e9:7.1f} GMAC/s {rate / 1e9:6.1f} GB/s, {rate / read:4.0%} of reading"
        path = (way.path or supported()[0]) if isinstance(way, E8) else ""
        if path in most:
            line += f", {speed / most[path]:4.0%} of {path}"
        print(line, flush=True)
        found.append(
            {
                "name": way.name,
                "rows": m,
                "threads": threads,
                "bits": bits,
                "seconds": row.seconds,
                "best": row.best,
                "times_fp32": first.seconds / row.seconds,
                "times_fp32_best": first.best / row.best,
                "macs_per_second": speed,
                "of_reading": rate / read,
            }
        )
    return found


def main() -> None:
    """Measures and prints."""
    w = drawn(SIZE, SIZE)
    encode, full = chooser(), np.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=np.float32)
    for q in (16, 8, 4):
        start = time.perf_counter()
        quantize(full, Format(q), rounding=encode)
        print(f"quantise, scales searched, q = {q}: {time.perf_counter() - start:.2f} s", flush=True)
    others, missing = rivals()
    core = peaks()
    report: dict[str, Any] = {"machine": describe(), "load": load(), "rows": []}
    print(report["machine"], "load:", report["load"])
    for threads in sorted({1, processors()}):
        read = reading(Kernels(threads=threads))
        with threadpool_limits(threads):
            prepared: dict[Way, Prepared] = {}
            for way in [*own(), *others]:
                with suppress(Unfit):
                    prepared[way] = way.prepare(w, copies, threads)
            for m in BATCHES:
                x = np.random.default_rng(m).standard_normal((m, SIZE), dtype=np.float32)
                rows = [(way, each.bits, Timed.of(way.name, each, x)) for way, each in prepared.items()]
                reader = Timed("reading", cycle([read]))
                measure([reader, *(row for _, _, row in rows)], SECONDS)
                report["rows"] += table(rows, m, threads, STREAMED / reader.seconds, core)
        del prepared, rows
        gc.collect()
    for name in missing:
        print(f"{name}: not installed")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()

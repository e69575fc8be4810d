"""Speed of packed products on this machine's processor, beside what multiplies there otherwise.

python -m benchmarks.cpu_kernels [report.json]

Weights are 4096 × 4096 and stream from memory: every call takes the next of as many copies as make 256 MB. All rows
take turns, so that what disturbs the machine disturbs all of them, and medians are compared. Rivals that are not
installed say so.
"""

import ctypes
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from golden.format import Format
from golden.int8 import quantize_int8
from golden.quantize import quantize
from sim.kernels.encoder import chooser
from sim.kernels.library import supported
from sim.kernels.product import Kernels, Laid, processors

SIZE = 4096
STREAMED = 256 << 20
"""Bytes of weights that calls go through before they see the same ones again."""

SECONDS = 20.0
"""Time for the rounds of one table."""


@dataclass
class Row:
    """A way to multiply.

    Attributes
    ----------
    bits : float
        Per weight.
    calls : iterator of callables
        Each multiplies once, by the next copy of the weights.
    times : list of float
        Seconds of each call so far.
    """

    name: str
    bits: float
    calls: Iterator[Callable[[], Any]]
    times: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median."""
        return float(np.median(self.times))

    @property
    def best(self) -> float:
        """The fastest call: what the others do to a machine that is not idle falls on long calls more than on short."""
        return min(self.times)


def copies(size: int) -> int:
    """Copies of so many bytes that no cache holds."""
    return -(-STREAMED // size)


def measure(rows: list[Row]) -> None:
    """Rounds of all rows until the time is up; three at least."""
    end = time.perf_counter() + SECONDS
    for call in range(10**6):
        if call > 3 and time.perf_counter() > end:
            break
        for row in rows:
            for _ in range(2):
                multiply = next(row.calls)
                start = time.perf_counter()
                multiply()
                row.times.append(time.perf_counter() - start)


def bandwidth(threads: int) -> Row:
    """Reading alone: what a kernel could reach that did nothing else, bytes by NumPy's maximum of 64-bit integers."""
    source = np.ones((threads, (STREAMED >> 3) // threads), dtype=np.int64)
    pool = ThreadPoolExecutor(threads)
    return Row("read", 0, cycle([lambda: list(pool.map(np.max, source))]))


def fp32(x: np.ndarray, w: np.ndarray) -> Row:
    """NumPy's product in float32."""
    weights = [w.copy() for _ in range(copies(w.nbytes))]
    return Row("NumPy fp32", 32, cycle([lambda w=each: x @ w.T for each in weights]))


def streamed(laid: Laid) -> list[Laid]:
    """Copies of a matrix that no cache holds."""
    return [replace(laid, planes=_copy(laid.planes)) for _ in range(copies(laid.planes.nbytes))]


def packed(name: str, x: np.ndarray, weights: list[Laid], *, both: bool = False) -> Row:
    """One of our formats; with int8 activations, or packed ones."""
    first = weights[0]
    operand = quantize(x, first.format, rounding=chooser(first.kernels.path)) if both else quantize_int8(x)
    bits = 8 * first.planes.nbytes / (first.shape[0] * first.shape[1])
    name = f"{name} × {'packed' if both else 'int8'}"
    return Row(name, bits, cycle([lambda w=each: w.matmul(operand) for each in weights]))


def _copy(planes: np.ndarray) -> np.ndarray:
    raw = np.empty(planes.nbytes + 64, dtype=np.uint8)
    copy = raw[-raw.ctypes.data % 64 :][: planes.nbytes]
    copy[:] = planes
    return copy


def rivals(x: np.ndarray, w: np.ndarray, threads: int) -> tuple[list[Row], list[str]]:
    """What is installed, and the names of what is not."""
    rows, missing = [], []
    for name, make in (("torch", torch_rows), ("onnxruntime", onnx_rows)):
        try:
            rows += make(x, w, threads)
        except ImportError:
            missing.append(name)
    return rows, missing


def torch_rows(x: np.ndarray, w: np.ndarray, threads: int) -> list[Row]:
    """PyTorch in bfloat16, and in int8 with activations quantised on the way."""
    import torch

    torch.set_num_threads(threads)
    activations, weights = torch.from_numpy(x), torch.from_numpy(w)
    half = [weights.bfloat16().clone() for _ in range(copies(2 * w.size))]
    layer = torch.nn.Linear(*w.shape[::-1], bias=False)
    layer.weight.data = weights
    # PyTorch shares nothing between the quantised copies of a layer.
    dynamic = [
        torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), dtype=torch.qint8)
        for _ in range(copies(w.size))
    ]

    def of(multiply: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            with torch.inference_mode():
                return multiply()

        return call

    low = activations.bfloat16()
    return [
        Row("torch bf16", 16, cycle([of(lambda w=each: low @ w.T) for each in half])),
        Row("torch int8 dynamic", 8, cycle([of(lambda f=each: f(activations)) for each in dynamic])),
    ]


def onnx_rows(x: np.ndarray, w: np.ndarray, threads: int) -> list[Row]:
    """ONNX Runtime's MatMulNBits: 4 bits, symmetric, a float32 scale per group, int8 arithmetic (accuracy level 4)."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rows = []
    for group in (32, 128):
        blocks = w.reshape(len(w), -1, group)
        scale = np.abs(blocks).max(axis=2) / 7
        code = (np.clip(np.rint(blocks / scale[..., None]), -8, 7) + 8).astype(np.uint8)
        nibbles = code[..., 0::2] | code[..., 1::2] << 4
        node = helper.make_node(
            "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft",
            K=w.shape[1], N=w.shape[0], bits=4, block_size=group, accuracy_level=4,
        )  # fmt: skip
        graph = helper.make_graph(
            [node],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (len(x), len(w)))],
            [numpy_helper.from_array(nibbles, "w"), numpy_helper.from_array(scale.astype(np.float32).ravel(), "s")],
        )
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        stored = nibbles.nbytes + scale.size * 4
        sessions = [
            onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]) for _ in range(copies(stored))
        ]
        calls = [lambda s=each: s.run(None, {"x": x}) for each in sessions]
        rows.append(Row(f"onnxruntime 4 bits, groups of {group}", 8 * stored / w.size, cycle(calls)))
    return rows


def vnni_peak(kernels: Kernels) -> float | None:
    """Multiply-accumulates per second of one core doing nothing else, where kernels use VPDPBUSD: 64 a time."""
    if kernels.path != "avx512":
        return None
    kernels.library.gosset_peak.restype, kernels.library.gosset_peak.argtypes = ctypes.c_double, [ctypes.c_int64]
    best = min(kernels.library.gosset_peak(1 << 20) for _ in range(20))
    return 64 * (1 << 20) / (best * 1e-9)


def table(rows: list[Row], m: int, threads: int, read: float, peak: float | None) -> list[dict[str, Any]]:
    """Prints and returns what was measured; `read` in bytes per second, `peak` per core."""
    found: list[dict[str, Any]] = []
    print(f"\n{m} row{'s' if m > 1 else ''} of activations, {threads} thread{'s' if threads > 1 else ''};", end=" ")
    print(f"reading: {read / 1e9:.1f} GB/s" + (f"; VNNI: {peak / 1e9:.0f} GMAC/s a core" if peak else ""))
    for row in rows:
        rate, speed = row.bits / 8 * SIZE * SIZE / row.seconds, m * SIZE * SIZE / row.seconds
        line = f"{row.name:34s} {row.bits:6.3f} bits {row.seconds * 1e6:9.0f} µs {rows[0].seconds / row.seconds:6.2f} ×"
        line += f" (best {row.best * 1e6:9.0f} µs {rows[0].best / row.best:6.2f} ×)"
        line += f" {speed / 1e9:7.1f} GMAC/s {rate / 1e9:6.1f} GB/s, {rate / read:4.0%} of reading"
        if peak and row.name.startswith("E8"):
            line += f", {speed / peak / threads:4.0%} of VNNI"
        print(line, flush=True)
        found.append(
            {
                "name": row.name,
                "rows": m,
                "threads": threads,
                "bits": row.bits,
                "seconds": row.seconds,
                "best": row.best,
                "times_fp32": rows[0].seconds / row.seconds,
                "times_fp32_best": rows[0].best / row.best,
                "macs_per_second": speed,
                "of_reading": rate / read,
            }
        )
    return found


def main() -> None:
    """Measures and prints."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    encode, matrices = chooser(), {}  # compiled before the clock starts
    for q in (16, 8, 4):
        start = time.perf_counter()
        matrices[q] = quantize(w, Format(q), rounding=encode)
        print(f"quantise, scales searched, q = {q}: {time.perf_counter() - start:.2f} s", flush=True)
    report: dict[str, Any] = {"machine": machine(), "rows": []}
    print(report["machine"])
    for threads in sorted({1, processors()}):
        with threadpool_limits(threads):
            kernels = Kernels(threads=threads)
            start = time.perf_counter()
            laid = {q: kernels.lay(matrix) for q, matrix in matrices.items()}
            print(f"laid out anew in {(time.perf_counter() - start) / len(laid) * 1e3:.0f} ms a matrix")
            ours = {f"E8 q={q}": streamed(each) for q, each in laid.items()}
            slower = {
                f"E8 q={q}, {path}": streamed(Kernels(path, threads).lay(matrix))
                for path in supported()[1:2]
                for q, matrix in matrices.items()
            }
            peak = vnni_peak(kernels)
            for m in (1, 16, 256):
                x = rng.standard_normal((m, SIZE), dtype=np.float32)
                rows = [fp32(x, w), *(packed(name, x, each) for name, each in ours.items())]
                rows.append(packed("E8 q=16", x, ours["E8 q=16"], both=True))
                rows += [packed(name, x, each) for name, each in slower.items()]
                others, missing = rivals(x, w, threads)
                reading = bandwidth(threads)
                measure([*rows, *others, reading])
                read = STREAMED / reading.seconds
                report["rows"] += table([*rows, *others], m, threads, read, peak)
                if missing:
                    print(f"{' and '.join(missing)}: not installed")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(report, indent=2), encoding="utf-8")


def machine() -> str:
    """The processor, as Linux names it, its cores and the instructions that kernels use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {' '.join(supported())}"


if __name__ == "__main__":
    main()

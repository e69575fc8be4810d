"""Speed of packed products on a GPU, beside PyTorch's; without a GPU, the count of their machine code.

python -m benchmarks.gpu_kernels [result.json]
python -m benchmarks.gpu_kernels --count

Checks that accumulators equal golden's, then measures: products with 1 to 256 rows of activations, every call with the
next of as many copies as the caches cannot hold, calls in a CUDA graph so that launching them costs nothing. The result
says what it was measured on, and goes into sim/compare/results/ to be shown by `gosset compare`.
"""

import json
import platform
import shlex
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import GossetError
from golden.exits import ending
from golden.files import write_text
from golden.format import Format
from golden.int8 import Int8Matrix, quantize_int8
from golden.matmul import matmul as golden_matmul
from golden.quality.provenance import provenance
from golden.quantize import quantize
from sim.compare.records import Figure, Record
from sim.compare.software import ratio_db
from sim.compare.ways import drawn
from sim.kernels.encoder import chooser
from sim.kernels.gpu import Cuda, Laid, activations, matmul
from sim.kernels.sass import ALU, UNIT, bound, listing, loop

SHAPES = {"q_proj, o_proj": (4096, 4096), "gate_proj, up_proj": (14336, 4096), "8192 × 8192": (8192, 8192)}
"""N and K; all but the last are of Llama-3-8B."""

BATCHES = (1, 4, 16, 256)
FUSED = 16
"""Rows of activations up to which products decode as they multiply; with more, decoding is done once."""

STREAMED = 512 << 20
"""Bytes of weights before a call sees the same ones again: several times the largest cache."""

SECONDS = 0.4
"""For the measurement of one way."""

CHECKED = [Format(q) for q in (2, 4, 8, 16, 32, 64)] + [Format(16, (1, 2, 3, 4, 5, 6, 7, 8)), Format(8, (9,))]


def count() -> None:
    """Prints what the loop of the kernel is made of, and what that lets a GPU do."""
    for q, rows in product((16, 8, 4), (1, 4)):
        counts = loop(listing(Format(q), rows, "sm_90"), "gosset_product")
        alu = sum(number for name, number in counts.items() if name in ALU)
        parts = ", ".join(f"{name} {number / UNIT:.2f}" for name, number in counts.most_common(6))
        share = ", ".join(f"{gpu} {part:.0%}" for gpu, part in bound(counts, Format(q)).items())
        print(
            f"E8 q={q}, {rows} row{'s' if rows > 1 else ''}, sm_90: {sum(counts.values()) / UNIT:.1f} instructions a "
            f"block, {alu / UNIT:.1f} of them of the pipe that limits ({parts}); bandwidth at most: {share}",
            flush=True,
        )


def check(cuda: Cuda) -> None:
    """Compares accumulators and expanded weights with golden's, in every format.

    Raises
    ------
    GossetError
        If one differs.
    """
    rng = np.random.default_rng(0)
    for fmt, (m, n, k) in product(CHECKED, ((1, 40, 520), (13, 130, 2000))):
        w = quantize(rng.standard_normal((n, k), dtype=np.float32), fmt, rounding=chooser())
        x = Int8Matrix(rng.integers(-127, 128, (m, k)).astype(np.int8), np.ones(m, dtype=np.float32))
        if not np.array_equal(matmul(cuda, x, w).accumulators, golden_matmul(x, w).accumulators):
            raise GossetError(f"Accumulators of {fmt} on the GPU differ from golden's.")
        if fmt.q * fmt.betas[-1] <= 128:
            expanded = cuda.expand(Laid.of(w))[:n, :k]
            if not np.array_equal(expanded, w.integers[:, :k]):
                raise GossetError(f"Weights of {fmt}, expanded on the GPU, differ from golden's.")
    print(f"{len(CHECKED)} formats: accumulators and expanded weights equal golden's", flush=True)


class Bench:
    """What is measured on one GPU."""

    def __init__(self) -> None:
        import torch

        self.torch, self.cuda = torch, Cuda()
        self.name = torch.cuda.get_device_name()
        self.energy = energy_counter()

    def graph(self, calls: list[Callable[[], Any]]) -> Any:
        """The calls, one after the other, as a graph."""
        torch, cupy = self.torch, self.cuda.cupy
        side = torch.cuda.Stream()
        with torch.cuda.stream(side), cupy.cuda.ExternalStream(side.cuda_stream):
            for call in calls:
                call()
            side.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side):
                for call in calls:
                    call()
        return graph

    def timed(self, calls: list[Callable[[], Any]]) -> tuple[float, float, float | None]:
        """Median seconds of a call, the fastest, and joules of one where they are counted."""
        torch, graph = self.torch, self.graph(calls)
        graph.replay()
        torch.cuda.synchronize()
        times: list[float] = []
        start, before = time.perf_counter(), self.energy()
        while time.perf_counter() < start + SECONDS or len(times) < 5:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            graph.replay()
            last.record()
            torch.cuda.synchronize()
            times.append(first.elapsed_time(last) * 1e-3 / len(calls))
        after = self.energy()
        joules = None if before is None or after is None else (after - before) / (len(times) * len(calls))
        return float(np.median(times)), min(times), joules

    def e8(self, q: int, w: np.ndarray, x: np.ndarray) -> tuple[float, list[Callable[[], Any]], Callable[[], Any]]:
        """Bits, calls, and the result of the first one."""
        torch, cupy = self.torch, self.cuda.cupy
        packed = quantize(w, Format(q), rounding=chooser())
        laid, operand = Laid.of(packed), quantize_int8(x)
        bits = 8 * (laid.labels.nbytes + laid.betas.nbytes + 4 * len(w)) / w.size
        some = [self.cuda.put(laid) for _ in range(copies(bits / 8 * w.size))]
        values = cupy.asarray(activations(operand, laid.tiles))
        scale = operand.scales[:, None].astype(np.float64) * packed.scales
        if len(x) <= FUSED:
            acc = cupy.empty((len(x), len(w)), dtype=np.int32)
            calls = [lambda m=each: m.product(values, acc) for each in some]
            return bits, calls, lambda: cupy.asnumpy(some[0].product(values)) * scale
        # Decoded once, into a buffer that stays in the second-level cache as far as it goes, and multiplied by cuBLAS.
        out = cupy.empty(some[0].expanded, dtype=np.int8)
        there = torch.from_dlpack(out)
        mine = torch.from_dlpack(values)

        def call(matrix: Any) -> Any:
            matrix.expand(out)
            return torch._int_mm(mine, there.T)

        calls = [lambda m=each: call(m) for each in some]
        return bits, calls, lambda: call(some[0]).cpu().numpy()[:, : len(w)] * scale

    def torch_way(
        self, kind: str, w: np.ndarray, x: np.ndarray
    ) -> tuple[float, list[Callable[[], Any]], Callable[[], Any]] | None:
        """As `e8`, of cuBLAS in bfloat16 and int8, and of PyTorch's int4 in groups; None if it does not fit."""
        torch = self.torch
        if kind == "cuBLAS bf16":
            there, half = torch.from_numpy(w).cuda().bfloat16(), torch.from_numpy(x).cuda().bfloat16()
            some = [there.clone() for _ in range(copies(2 * w.size))]
            return 16, [lambda m=each: half @ m.T for each in some], lambda: (half @ some[0].T).double().cpu().numpy()
        if kind == "cuBLAS int8":
            if len(x) <= 16:  # it takes no fewer
                return None
            a, b = quantize_int8(x), quantize_int8(w)
            mine, there = torch.from_numpy(a.values).cuda(), torch.from_numpy(b.values).cuda()
            some = [there.clone() for _ in range(copies(w.size))]
            scale = a.scales[:, None].astype(np.float64) * b.scales
            calls = [lambda m=each: torch._int_mm(mine, m.T) for each in some]
            return 8 + 32 / w.shape[1], calls, lambda: torch._int_mm(mine, some[0].T).cpu().numpy() * scale
        group = int(kind.rpartition(" ")[2])
        weights = torch.from_numpy(w).cuda().reshape(len(w), -1, group)
        low, high = weights.amin(dim=2), weights.amax(dim=2)
        step = (high - low) / 15
        codes = ((weights - low[..., None]) / step[..., None]).round().clamp(0, 15).to(torch.int32).reshape(w.shape)
        nibbles = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
        laid = torch._convert_weight_to_int4pack(nibbles, 8)
        scales = torch.stack([step, low + 8 * step], dim=2).transpose(0, 1).contiguous().bfloat16()
        half = torch.from_numpy(x).cuda().bfloat16()
        size = laid.nbytes + scales.nbytes
        pairs = [(laid.clone(), scales.clone()) for _ in range(copies(size))]
        calls = [lambda p=each: torch._weight_int4pack_mm(half, p[0], group, p[1]) for each in pairs]
        return 8 * size / w.size, calls, lambda: calls[0]().double().cpu().numpy()

    def bandwidth(self) -> float:
        """Bytes per second of reading alone: the largest of 2 GB of integers."""
        torch = self.torch
        source = torch.ones(1 << 28, dtype=torch.int64, device="cuda")
        return float(source.nbytes / self.timed([lambda: source.max()])[1])


def copies(size: float) -> int:
    """Copies of so many bytes that no cache holds."""
    return max(2, -(-STREAMED // int(size)))


def energy_counter() -> Callable[[], float | None]:
    """Joules that the GPU took since it was there, by NVML; None where it does not count or is missing."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception as error:
        print(f"energy: not measured ({error})")
        return lambda: None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1e-3


def run(target: Path) -> None:
    """Checks, measures, prints and stores."""
    bench = Bench()
    torch = bench.torch
    check(bench.cuda)
    read = bench.bandwidth()
    print(f"{bench.name}: reading {read / 1e12:.2f} TB/s", flush=True)
    records, quality = [], {}
    kinds = ("cuBLAS bf16", "cuBLAS int8", "torch int4, groups of 32", "torch int4, groups of 128")
    for (layer, (n, k)), m in product(SHAPES.items(), BATCHES):
        w, x = drawn(n, k), np.random.default_rng(m).standard_normal((m, k), dtype=np.float32)
        first = None
        for way in (*kinds, *(f"E8 q={q} × int8" for q in (16, 8, 4))):
            ours = way.startswith("E8")
            try:
                made = bench.e8(int(way[5:].split()[0]), w, x) if ours else bench.torch_way(way, w, x)
            except (RuntimeError, AttributeError) as error:  # a kernel that this version of PyTorch lacks
                print(f"{way}: not measured ({str(error).splitlines()[0]})")
                continue
            if made is None:
                continue
            bits, calls, result = made
            if layer == next(iter(SHAPES)):
                quality[way, m] = ratio_db(x.astype(np.float64) @ w.T.astype(np.float64), result())
            seconds, best, joules = bench.timed(calls)
            del made, calls, result
            torch.cuda.empty_cache()
            bench.cuda.cupy.get_default_memory_pool().free_all_blocks()
            first = first or seconds
            moved = (bits * n * k + (8 if ours or "int8" in way else 16) * m * k + 32 * m * n) / 8
            figures = {"time_s": Figure(seconds, "measured", best, seconds), "bytes": Figure(moved, "modelled")}
            if joules:
                figures["energy_j"] = Figure(joules, "measured")
            if (way, m) in quality:
                figures["sqnr_db"] = Figure(float(min(150.0, quality[way, m])), "measured")
            family = "E8 × int8" if ours else "torch int4" if "int4" in way else ""
            network = "llama-3-8b" if "proj" in layer else "square"
            records.append(Record(network, layer, m, n, k, bench.name, way, family, bits, figures, ours))
            line = f"{layer:20s} {m:4d} rows {way:28s} {bits:6.3f} bits {seconds * 1e6:9.1f} µs"
            line += f" {first / seconds:5.2f} × bf16 {bits / 8 * n * k / seconds / read:4.0%} of reading"
            print(line + (f" {joules * 1e3:8.3f} mJ" if joules else ""), flush=True)
    made = {"about": about(bench, read), "records": [record.as_dict() for record in records]}
    write_text(target, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    print(target)


def about(bench: Bench, read: float) -> dict[str, Any]:
    """What a result must say of itself."""
    torch, cupy = bench.torch, bench.cuda.cupy
    made = provenance()
    try:
        import pynvml

        driver = pynvml.nvmlSystemGetDriverVersion()
    except Exception:
        driver = f"CUDA {cupy.cuda.runtime.driverGetVersion()}"
    return {
        "machine": f"{bench.name}, {bench.cuda.processors} multiprocessors, {platform.platform()}",
        "driver": driver,
        "versions": {**made["tools"], "torch": torch.__version__, "cupy": cupy.__version__, "cuda": torch.version.cuda},
        "commit": made["commit"],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": shlex.join(["python", "-m", "benchmarks.gpu_kernels", *sys.argv[1:]]),
        "reading_bytes_per_second": read,
    }


def main() -> None:
    """Counts, or runs."""
    if sys.argv[1:] == ["--count"]:
        count()
    else:
        run(Path(sys.argv[1]) if sys.argv[1:] else Path("build/gpu.json"))


if __name__ == "__main__":
    ending("gpu_kernels", main)

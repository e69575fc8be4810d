"""Speed of packed products on a GPU, beside PyTorch's; without a GPU, the count of their machine code.

python -m benchmarks.gpu_kernels [result.json]
python -m benchmarks.gpu_kernels --count

Checks that accumulators equal golden's, then measures: products with 1 to 256 rows of activations, every call with the
next of as many copies as the caches cannot hold, calls in a CUDA graph so that launching them costs nothing. The result
says what it was measured on, and goes into sim/compare/results/ to be shown by `gosset compare`.
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
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
from sim.kernels.gpu import Activations, Cuda, Laid, matmul
from sim.kernels.launches import ON_CORES, ON_TENSOR_CORES, fits
from sim.kernels.sass import ALU, UNIT, bound, listing, loop

SHAPES = {"q_proj, o_proj": (4096, 4096), "gate_proj, up_proj": (14336, 4096), "8192 × 8192": (8192, 8192)}
"""N and K; all but the last are of Llama-3-8B."""

BATCHES = (1, 4, 16, 64, 256, 1024)
STREAMED = 512 << 20
"""Bytes of weights before a call sees the same ones again: several times the largest cache."""

SECONDS = 0.25
"""For the measurement of one way."""

CHECKED = [Format(q) for q in (2, 4, 8, 16, 32, 64)] + [Format(16, (1, 2, 3, 4, 5, 6, 7, 8)), Format(8, (9,))]

SMALL = [(1, 40, 520), (13, 130, 2000), (70, 2200, 1300), (600, 200, 4800), (300, 12000, 600), (200, 8000, 2600)]
"""M, N and K of products that are compared with golden's; those with many rows take all kinds of blocks."""


def count() -> None:
    """Prints what the loop of the kernel is made of, and what that lets a GPU do."""
    for fmt, how in (*product(map(Format, (16, 8, 4)), ON_TENSOR_CORES), (Format(32), ON_CORES[0])):
        counts = loop(listing(fmt, how, "sm_90"), "gosset_product")
        alu = sum(number for name, number in counts.items() if name in ALU)
        parts = ", ".join(f"{name} {number / UNIT:.2f}" for name, number in counts.most_common(6))
        share = ", ".join(f"{gpu} {part:.0%}" for gpu, part in bound(counts, fmt).items())
        print(
            f"E8 q={fmt.q}, up to {how.rows} rows, sm_90: {sum(counts.values()) / UNIT:.1f} instructions a block, "
            f"{alu / UNIT:.1f} of them of the pipe that limits ({parts}); bandwidth at most: {share}",
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
    for fmt, (m, n, k) in product(CHECKED, SMALL):
        w = quantize(rng.standard_normal((n, k), dtype=np.float32), fmt, rounding=chooser())
        x = Int8Matrix(rng.integers(-127, 128, (m, k)).astype(np.int8), np.ones(m, dtype=np.float32))
        if not np.array_equal(matmul(cuda, x, w).accumulators, golden_matmul(x, w).accumulators):
            raise GossetError(f"Accumulators of {fmt} on the GPU differ from golden's.")
        if fits(fmt):
            expanded = cuda.expand(Laid.of(w))[:n, :k]
            if not np.array_equal(expanded, w.integers[:, :k]):
                raise GossetError(f"Weights of {fmt}, expanded on the GPU, differ from golden's.")
    print(f"{len(CHECKED)} formats: accumulators and expanded weights equal golden's", flush=True)


Call = Callable[[], Any]
Way = tuple[float, Callable[[np.ndarray], tuple[list[Call], Call]]]
"""Bits of a weight; and, for activations, a call for each copy of the weights, and one that gives the result."""


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

    def e8(self, q: int, once: bool, w: np.ndarray) -> Way:
        """Products of packed weights, decoded as they are multiplied, or `once`, for cuBLAS, into one buffer."""
        torch, cupy = self.torch, self.cuda.cupy
        packed = quantize(w, Format(q), rounding=chooser())
        laid = Laid.of(packed)
        bits = 8 * (laid.labels.nbytes + laid.betas.nbytes + 4 * len(w)) / w.size
        some = [self.cuda.put(laid)]
        some += [
            replace(some[0], labels=some[0].labels.copy(), betas=some[0].betas.copy())
            for _ in range(copies(bits, w) - 1)
        ]
        out = cupy.empty(some[0].expanded, dtype=np.int8)

        def of(x: np.ndarray) -> tuple[list[Call], Call]:
            operand = quantize_int8(x)
            scale = operand.scales[:, None].astype(np.float64) * packed.scales
            if not once:
                how = self.cuda.launch(laid, len(x))
                laid_out = Activations.of(operand, how, laid.tiles)
                values, sums = cupy.asarray(laid_out.values), cupy.asarray(laid_out.sums)
                acc = cupy.empty((len(x), len(w)), dtype=np.int32)
                calls = [lambda m=each: m.product(how, values, sums, acc) for each in some]
                return calls, lambda: (calls[0](), cupy.asnumpy(acc) * scale)[1]
            there = torch.from_dlpack(out)
            mine = torch.from_numpy(np.pad(operand.values, ((0, 0), (0, out.shape[1] - x.shape[1])))).cuda()
            multiplied = [lambda m=each: (m.expand(out), torch._int_mm(mine, there.T))[1] for each in some]
            return multiplied, lambda: multiplied[0]().cpu().numpy()[:, : len(w)] * scale

        return bits, of

    def cublas(self, kind: str, w: np.ndarray) -> Way:
        """cuBLAS in bfloat16 or int8."""
        torch = self.torch
        if kind == "bf16":
            there = torch.from_numpy(w).cuda().bfloat16()
            some = [there.clone() for _ in range(copies(16, w))]

            def of(x: np.ndarray) -> tuple[list[Call], Call]:
                half = torch.from_numpy(x).cuda().bfloat16()
                calls = [lambda m=each: half @ m.T for each in some]
                return calls, lambda: calls[0]().double().cpu().numpy()

            return 16.0, of
        weights = quantize_int8(w)
        there = torch.from_numpy(weights.values).cuda()
        some = [there.clone() for _ in range(copies(8, w))]

        def of(x: np.ndarray) -> tuple[list[Call], Call]:
            operand = quantize_int8(x)
            mine = torch.from_numpy(operand.values).cuda()
            scale = operand.scales[:, None].astype(np.float64) * weights.scales
            calls = [lambda m=each: torch._int_mm(mine, m.T) for each in some]
            return calls, lambda: calls[0]().cpu().numpy() * scale

        return 8 + 32 / w.shape[1], of

    def torch_int4(self, group: int, w: np.ndarray) -> Way:
        """PyTorch's own kernel of 4 bits."""
        torch = self.torch
        weights = torch.from_numpy(w).cuda().reshape(len(w), -1, group)
        low, high = weights.amin(dim=2), weights.amax(dim=2)
        step = (high - low) / 15
        codes = ((weights - low[..., None]) / step[..., None]).round().clamp(0, 15).to(torch.int32).reshape(w.shape)
        laid = torch._convert_weight_to_int4pack((codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8), 8)
        scales = torch.stack([step, low + 8 * step], dim=2).transpose(0, 1).contiguous().bfloat16()
        bits = 8 * (laid.nbytes + scales.nbytes) / w.size
        some = [(laid.clone(), scales.clone()) for _ in range(copies(bits, w))]

        def of(x: np.ndarray) -> tuple[list[Call], Call]:
            half = torch.from_numpy(x).cuda().bfloat16()
            calls = [lambda p=each: torch._weight_int4pack_mm(half, p[0], group, p[1]) for each in some]
            return calls, lambda: calls[0]().double().cpu().numpy()

        return bits, of

    def humming(self, activations: str, w: np.ndarray) -> Way:
        """Humming's kernel of 4 bits in groups of 128, by its own quantiser, with bfloat16 or int8 activations."""
        from humming.layer import HummingLayer

        torch = self.torch
        config = {"dtype": "int4", "group_size": 128}
        layer = HummingLayer(
            *w.shape, config, {"dtype": "int8"} if activations == "int8" else None, torch_dtype=torch.bfloat16
        )
        layer = layer.cuda()
        layer.load_from_unquantized(torch.from_numpy(w).cuda().bfloat16())
        layer.transform()
        bits = 8 * sum(part.nbytes for part in layer.parameters()) / w.size
        some = [layer, *(deepcopy(layer) for _ in range(copies(bits, w) - 1))]

        def of(x: np.ndarray) -> tuple[list[Call], Call]:
            half = torch.from_numpy(x).cuda().bfloat16()
            calls = [lambda p=each: p(half) for each in some]
            return calls, lambda: calls[0]().double().cpu().numpy()

        return bits, of

    def way(self, name: str, w: np.ndarray) -> Way:
        """By its name in the result."""
        kind, _, rest = name.partition(" ")
        if kind == "cuBLAS":
            return self.cublas(rest, w)
        if kind == "torch":
            return self.torch_int4(int(name.rpartition(" ")[2]), w)
        if kind == "Humming":
            return self.humming(name.rpartition(" ")[2], w)
        return self.e8(int(rest[2:].split()[0]), "once" in rest, w)

    def bandwidth(self) -> float:
        """Bytes per second of reading alone: the largest of 2 GB of integers."""
        torch = self.torch
        source = torch.ones(1 << 28, dtype=torch.int64, device="cuda")
        return float(source.nbytes / self.timed([lambda: source.max()])[1])


def copies(bits: float, w: np.ndarray) -> int:
    """Copies of weights of so many bits that no cache holds."""
    return max(2, -(-STREAMED // int(bits / 8 * w.size)))


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


WAYS = {
    "cuBLAS bf16": BATCHES,
    "cuBLAS int8": (64, 256, 1024),
    "torch int4, groups of 32": (1, 4, 16),
    "torch int4, groups of 128": (1, 4, 16),
    "Humming int4, groups of 128, bf16": BATCHES,
    "Humming int4, groups of 128, int8": BATCHES,
    "E8 q=16 × int8": BATCHES,
    "E8 q=16 × int8 decoded once": (256, 1024),
    "E8 q=8 × int8": BATCHES,
    "E8 q=4 × int8": BATCHES,
}
"""Ways, and rows of activations that they are measured with: cuBLAS takes no fewer than 17 in int8, and PyTorch's int4
is for few."""


def run(target: Path) -> None:
    """Checks, measures, prints and stores."""
    bench = Bench()
    torch = bench.torch
    check(bench.cuda)
    read = bench.bandwidth()
    print(f"{bench.name}: reading {read / 1e12:.2f} TB/s", flush=True)
    records, base = [], {}
    for (layer, (n, k)), (name, batches) in product(SHAPES.items(), WAYS.items()):
        w = drawn(n, k)
        try:
            bits, of = bench.way(name, w)
        except (ImportError, RuntimeError, AttributeError) as error:  # missing, or not in this version of PyTorch
            print(f"{name}: not measured ({str(error).splitlines()[0]})")
            continue
        for m in batches:
            x = np.random.default_rng(m).standard_normal((m, k), dtype=np.float32)
            calls, result = of(x)
            seconds, best, joules = bench.timed(calls)
            ours = name.startswith("E8")
            moved = (bits * n * k + (8 if "int8" in name else 16) * m * k + 32 * m * n) / 8
            figures = {"time_s": Figure(seconds, "measured", best, seconds), "bytes": Figure(moved, "modelled")}
            if joules:
                figures["energy_j"] = Figure(joules, "measured")
            if layer == next(iter(SHAPES)):
                found = ratio_db(x.astype(np.float64) @ w.T.astype(np.float64), result())
                figures["sqnr_db"] = Figure(float(min(150.0, found)), "measured")
            family = "E8 × int8" if ours and "once" not in name else name.partition(",")[0] if "int4" in name else ""
            network = "llama-3-8b" if "proj" in layer else "square"
            records.append(Record(network, layer, m, n, k, bench.name, name, family, bits, figures, ours))
            base.setdefault((layer, m), seconds)
            line = f"{layer:20s} {m:4d} rows {name:34s} {bits:6.3f} bits {seconds * 1e6:8.2f} µs "
            line += f"{base[layer, m] / seconds:5.2f} × bf16 {bits / 8 * n * k / seconds / read:4.0%} of reading"
            line += f" {joules * 1e3:7.3f} mJ" if joules else ""
            print(line + (f" {figures['sqnr_db'].value:5.1f} dB" if "sqnr_db" in figures else ""), flush=True)
        del calls, result, of
        torch.cuda.empty_cache()
        bench.cuda.cupy.get_default_memory_pool().free_all_blocks()
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
        "command": "python -m benchmarks.gpu_kernels",
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

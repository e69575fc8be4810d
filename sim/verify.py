"""The main job: generate, lint, simulate, compare with the golden model, and read digits on the RTL."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import voronoi
from golden.files import writable, write_text
from golden.format import Format, PackedMatrix
from golden.lattice import DIM
from golden.matmul import Operand, matmul
from golden.process import threads
from golden.quantize import quantize
from golden.rivals.integers import IntGroups
from hw.codec.decoder import Decoder
from hw.design import DesignPoint
from hw.generate import generate, generate_design
from sim.benches.catalogue import BENCHES, SMALL, STATIONARY
from sim.benches.runner import run_bench
from sim.device import Device, Progress, Report, RtlDevice
from sim.digits import Digits, Floats, train
from sim.picture import draw
from sim.provenance import provenance
from sim.rtl import verilator
from sim.rtl.model import Model
from sim.tiles import Job

RATES = (16, 8, 4)
"""The q that the digits are read at."""

BLOCKS = 100_000
"""Random blocks through the decoder, for every q."""

PRODUCTS = 200
"""Random products on the design."""

SYSTEM_JOBS = 10
"""Random jobs per test of the accelerator behind AXI; the testbench by itself runs 50."""

SHOWN = 10
"""Mismatches described one by one."""

Advance = Callable[[int], None]
"""Tells a progress display how much of a stage is done."""

Ui = Callable[[str, int], Any]
"""Opens the progress display of a stage, by its name and total: a context manager that gives an `Advance`."""


@dataclass
class Verification:
    """What has been checked so far.

    Attributes
    ----------
    mismatches : int
    described : list of str
        The first few mismatches, one line each.
    accumulators_compared : int
    blocks_checked : dict of str to int
        By q.
    seconds : dict of str to float
        By stage.
    """

    mismatches: int = 0
    described: list[str] = field(default_factory=list)
    accumulators_compared: int = 0
    blocks_checked: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, ui: Ui, name: str, total: int) -> Iterator[Advance]:
        """Times a stage and shows its progress."""
        start = time.perf_counter()
        with ui(name, total) as advance:
            yield advance
        self.seconds[name] = round(time.perf_counter() - start, 3)

    def compare(self, what: str, expected: NDArray[Any], actual: NDArray[Any], axes: tuple[str, str]) -> None:
        """Counts the differences of two integer arrays, and describes the first few."""
        differ = expected != actual
        self.mismatches += int(np.count_nonzero(differ))
        for row, column in np.argwhere(differ)[: SHOWN - len(self.described)]:
            here = f"{what}: {axes[0]} {row}, {axes[1]} {column}"
            values = " but ".join(
                f"{side} {int(array[row, column])} ({int(array[row, column]) & 0xFFFFFFFF:#010x})"
                for side, array in (("expected", expected), ("actual", actual))
            )
            self.described.append(f"{here}: {values}")

    def run(self, device: Device, x: Operand, w: PackedMatrix, what: str, progress: Progress | None = None) -> Report:
        """Runs a product on a device and compares its accumulators with golden's."""
        report = device.run(Job(device.design, x, w), progress)
        expected = matmul(x, w).accumulators
        self.accumulators_compared += expected.size
        self.compare(what, expected, report.product.accumulators, ("row", "column"))
        return report


def verify(design: DesignPoint, output: Path, ui: Ui) -> dict[str, Any]:
    """The main job on one design point.

    Parameters
    ----------
    design : DesignPoint
    output : Path
        Folder for the Verilog, `report.json` and `report.png`.
    ui : Ui

    Returns
    -------
    The report, as `report.json` holds it; `mismatches` is 0 if all is well, and `described` says what is not.

    Raises
    ------
    GossetError
        If a tool is missing or fails, or the output cannot be written.
    """
    for name in ("report.json", "report.png"):
        writable(output / name)
    seen = Verification()
    designs = {q: design.with_format(Format(q, design.format.betas)) for q in RATES}

    with seen.stage(ui, "generate", len(RATES) + len(voronoi.RATES)) as advance:
        sources: list[tuple[Path, str]] = []
        for q in RATES:
            sources.append((generate_design(designs[q]).write(output / "verilog"), designs[q].module))
            advance(1)
        for q in voronoi.RATES:
            top = f"gosset__decoder_q{q}"
            decoder = generate(Decoder(Format(q, design.format.betas), stages=Decoder.STAGES[design.pipeline]), top)
            sources.append((decoder.write(output / "verilog"), top))
            advance(1)

    with seen.stage(ui, "lint", len(sources)) as advance:
        for path, top in sources:
            verilator.lint(path, top)
            advance(1)

    with seen.stage(ui, "build", len(sources)) as advance, threads() as pool:
        for model in pool.map(Model, [path for path, _ in sources]):
            model.close()
            advance(1)

    sizes = {name: SYSTEM_JOBS if name.startswith("axi") else None for name in BENCHES}
    pairs = [(name, SMALL) for name in BENCHES if BENCHES[name].applies(SMALL)] + [("accelerator", STATIONARY)]
    with seen.stage(ui, "testbenches", len(pairs)) as advance, threads() as pool:
        for result in pool.map(lambda pair: run_bench(*pair, blocks=sizes[pair[0]]), pairs):
            seen.mismatches += result.failed
            seen.described += [
                f"testbench {result.name} of {result.design}, {failure.test}: {failure.message}"
                for failure in result.failures
            ]
            advance(1)

    with seen.stage(ui, "decoder", BLOCKS * len(voronoi.RATES)) as advance:
        for q, (path, _) in zip(voronoi.RATES, sources[len(RATES) :], strict=True):
            check_decoder(seen, path, q, BLOCKS)
            advance(BLOCKS)

    with seen.stage(ui, "products", PRODUCTS) as advance:
        check_products(seen, design, PRODUCTS, advance)

    with seen.stage(ui, "train", 1) as advance:
        digits = train()
        advance(1)

    with seen.stage(ui, "digits", len(RATES)) as advance:
        accuracy = {"fp32": digits.accuracy(digits.exact)}
        bits = {"fp32": 32.0}
        runs: dict[str, dict[str, Any]] = {}
        for q in RATES:
            name = f"e8_q{q}"
            device = RtlDevice(designs[q])
            readings, runs[name] = read_digits(seen, digits, device)
            device.close()
            accuracy[name] = float((readings == digits.labels).mean())
            bits[name] = designs[q].format.bits_per_entry
            advance(1)
        for width in (4, 3, 2):
            rival = IntGroups(width)
            name = f"int{width}_g{rival.group}"
            accuracy[name] = digits.accuracy(quantised(digits, rival))
            bits[name] = rival(digits.weights[0]).bits_per_entry

    total = runs[f"e8_q{RATES[0]}"]
    report = {
        "mismatches": seen.mismatches,
        "described": seen.described,
        "accumulators_compared": seen.accumulators_compared,
        "blocks_checked": seen.blocks_checked,
        "accuracy": accuracy,
        "bits_per_entry": bits,
        "images": len(digits.labels),
        **{key: total[key] for key in ("cycles", "macs_per_cycle", "utilisation", "counters")},
        "digits": runs,
        "seconds": seen.seconds,
        "design": design.as_dict(),
        **provenance(),
    }
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    draw(report, digits, readings, output / "report.png")
    return report


def check_decoder(seen: Verification, verilog: Path, q: int, count: int) -> None:
    """Sends random labels through the decoder RTL and compares the points with golden's."""
    labels = np.random.default_rng(q).integers(0, 1 << voronoi.exponent(q) * DIM, count, dtype=np.uint64)
    with Model(verilog) as model:
        model.reset()
        layout = model.layout("i")
        payload = {item.port: np.zeros(count, np.uint64) for item in layout.fields} | {"i_label": labels}
        run = model.run({"i": layout.pack(payload)}, {"o": count})
        words = np.asarray(model.layout("o").unpack(run.outputs["o"])["o_y"], dtype=np.uint64)
    width = np.uint64(voronoi.exponent(q) + 1)
    fields = (words[:, None] >> (np.arange(DIM, dtype=np.uint64) * width)) & ((np.uint64(1) << width) - np.uint64(1))
    points = ((fields.astype(np.int64) + q) % (2 * q)) - q
    seen.compare(
        f"decoder q = {q}", voronoi.decode(labels.astype(voronoi.label_dtype(q)), q), points, ("block", "lane")
    )
    seen.blocks_checked[str(q)] = count


def check_products(seen: Verification, design: DesignPoint, count: int, advance: Advance) -> None:
    """Runs random products, half of them with stalls on every stream; K up to 4096, shapes that divide nothing."""
    rng = np.random.default_rng(0)
    device = RtlDevice(design)
    for i in range(count):
        m, n = (int(rng.integers(1, 3 * edge + 2)) for edge in (design.rows, design.cols))
        k = int(np.exp(rng.uniform(0, np.log(4096)))) if i else 4096
        x = device.activations(rng.normal(size=(m, k)))
        w = quantize(rng.normal(size=(n, k)), design.format)
        device.stalls, device.seed = (float(rng.uniform(0, 0.5)) if i % 2 else 0.0), i
        seen.run(device, x, w, f"product {i} ({m} × {k} × {n})")
        advance(1)
    device.close()


def read_digits(
    seen: Verification, digits: Digits, device: Device, advance: Advance | None = None
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Reads the digits on a device, telling of every layer; the readings, and the totals over the layers."""
    weights = [quantize(w, device.design.format) for w in digits.weights]
    reports: list[Report] = []

    def multiply(layer: int, x: Floats) -> Floats:
        what = f"{device.design.module}, layer {layer}"
        reports.append(seen.run(device, device.activations(x), weights[layer], what))
        if advance:
            advance(1)
        return reports[-1].product.result

    return digits.read(multiply), totals(reports)


def totals(reports: list[Report]) -> dict[str, Any]:
    """Sums of cycles, multiply-accumulates, counters and seconds over products on a device with a clock."""
    cycles = sum(report.cycles or 0 for report in reports)
    macs = sum(report.job.macs for report in reports)
    counters = {name: sum(report.counters[name] for report in reports) for name in reports[0].counters}
    return {
        "cycles": cycles,
        "macs": macs,
        "macs_per_cycle": macs / cycles,
        "utilisation": macs / cycles / reports[0].job.design.macs_per_cycle,
        "counters": counters,
        "device_seconds": sum(report.seconds for report in reports),
    }


def quantised(digits: Digits, rival: IntGroups) -> Callable[[int, Floats], Floats]:
    """Products with weights and activations rounded by a rival format."""
    weights = [rival(w).values for w in digits.weights]
    return lambda layer, x: rival(x).values @ weights[layer].T

"""A layer of a network from memory to memory, as a processor runs it on the accelerator.

`gosset generate --bus axi` writes this file beside the Verilog, as `<module>_layer.py`; where gosset is installed,

    python gosset_small_axi_layer.py

builds that very Verilog with Verilator and connects it to a memory and to software that runs the layer: quantise, write
the operands' images, describe the jobs, wait for interrupts, read the results.
"""

import sys
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam
from numpy.typing import NDArray

from golden.exits import ending
from golden.matmul import Product, matmul
from golden.output import Columns, Rows
from golden.quantize import quantize
from hw.axi.memory import AxiMemoryTop
from hw.design import DesignPoint
from hw.generate import Generated
from sim.benches.catalogue import BENCHES, Bench
from sim.benches.inside.driver import Driver
from sim.benches.inside.testbench import Testbench
from sim.benches.runner import run_bench
from sim.device import GoldenDevice
from sim.image import columns_image, operand_image, result_bytes, result_rows, rows_image
from sim.tiles import Job

BATCH, INPUTS, OUTPUTS = 24, 256, 20
LINE = 64  # bytes; operands and results begin at multiples, which suits every bus


@cocotb.test
async def layer(dut: HierarchyObject) -> None:
    """y = x·wᵀ."""
    # The system: clock and reset, a memory, a processor.
    system = Testbench(dut)
    design = system.settings.design
    memory = AxiRam(AxiBus.from_prefix(dut, "m_axi_mem"), dut.aclk, size=1 << 24)
    processor = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_ctrl"), dut.aclk)
    driver = Driver(AxiMemoryTop.registers(design), processor, dut.aclk)
    await system.start()

    # The layer, quantised, and cut into jobs that fit the accelerator.
    x = GoldenDevice(design).activations(system.rng.normal(size=(BATCH, INPUTS)))
    w = quantize(system.rng.normal(size=(OUTPUTS, INPUTS)), design.format)
    job, expected = Job(design, x, w), matmul(x, w)
    # What an output stage does: the largest results of a column nearly fill the range, those below zero become zero.
    rules, largest = design.output, np.abs(expected.accumulators).max(axis=0)
    columns = (
        Columns.of((1 << (design.result_bits - 1)) / (largest + 1.0), np.zeros(OUTPUTS, int), relu=True)
        if rules
        else None
    )
    # The scales of the rows of x, the largest as 1.
    scales = Rows.of(x.scales / x.scales.max()) if rules and rules.row_scales else None

    # Images in memory. The weights of a layer would be written once, and stay.
    free, jobs = 0, []
    for part, x_words, w_words in zip(job.parts, job.x_words(), job.w_words(), strict=True):
        images = {
            "x": operand_image(design, "x", x_words),
            "w": operand_image(design, "w", w_words, part.tiles),
            "y": bytes(result_bytes(design, part.output_rows)),
        }
        if columns:
            first, count = part.first_tile * design.cols, part.tiles * design.cols
            images["c"] = columns_image(design, columns.part(first, count), part.tiles)
        if scales:
            images["r"] = rows_image(design, scales.part(part.first_row, part.rows))
        addresses = {}
        for name, image in images.items():
            memory.write(free, image)
            addresses[name] = free
            free += -(-len(image) // LINE) * LINE
        jobs.append((part, addresses))

    # Jobs are queued while there is room; the interrupt says when one is done, or something is wrong.
    driver.expect(len(jobs), max(job.work(part) for part in job.parts))
    await driver.write("irq_enable", job_done=1, error=1)
    await driver.write("counter_control", clear=1)
    for part, addresses in jobs:
        await driver.submit(part, int8=job.int8, addresses=addresses)
    while await driver.value("jobs_done") < len(jobs):
        await driver.interrupt(dut.irq)
        await driver.write("irq_status", job_done=1)
        assert not await driver.errors()
    counters = await driver.counters()

    # Results: accumulators, times the scales of rows and columns; or what the output stage made of them.
    rows = [
        result_rows(design, memory.read(addresses["y"], result_bytes(design, part.output_rows)))
        for part, addresses in jobs
    ]
    y: NDArray[Any] = job.accumulators(np.concatenate(rows))
    if rules and columns:
        np.testing.assert_array_equal(y, rules.finish(expected.accumulators, columns, scales))
    else:
        y = Product(y, x.scales, w.scales).result
        np.testing.assert_array_equal(y, expected.result)
    print(f"layer: {BATCH} × {INPUTS} by {OUTPUTS} × {INPUTS} on {design.name}, {len(jobs)} jobs, equal to golden")
    print("layer: cycles", ", ".join(f"{name} {count}" for name, count in counters.items()))
    system.checked += y.size
    system.finish()


def main(verilog: Path) -> None:
    """Builds and runs; prints what `layer` printed."""
    generated = Generated.read(verilog)
    BENCHES["layer"] = Bench(Path(__file__).stem, 1, lambda _: generated)
    folder = verilog.with_suffix(".layer")
    result = run_bench("layer", DesignPoint.from_dict(generated.description["design"]), folder=folder)
    if not result.ok:
        sys.exit(str(result))
    print(
        "\n".join(
            line for line in (folder / "log.txt").read_text(encoding="utf-8").splitlines() if line.startswith("layer: ")
        )
    )


if __name__ == "__main__":
    ending("layer", lambda: main(Path(__file__).with_name(Path(__file__).stem.removesuffix("_layer") + ".v")))

"""Runs a layer on the simulated system, from SDRAM to SDRAM."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from fpga.litex import firmware, soc
from fpga.litex.constants import CLOCK_HZ, ROM, ROM_BYTES, SDRAM_BYTES_PER_SECOND, STACK
from fpga.litex.layer import Layer, design
from fpga.litex.result import Ran, compare, roof
from fpga.litex.simulator import build
from golden import process
from golden.errors import GossetError
from golden.lattice import DIM
from hw.generate import generate_axi
from sim.provenance import provenance

QS = (16, 8, 4)
"""The rates that run if none is given, by q."""

PACKAGES = ("litex", "litedram", "litex-boards", "migen", "pythondata-cpu-vexriscv", "ziglang")
"""What is named in a report beside the other tools."""

LIMIT = 20_000_000
"""Cycles after which a run is given up."""

Show = Callable[[str], None]
"""Told of each step when it begins."""


def run(layer: Layer, show: Show = lambda step: None) -> Ran:
    """Runs a layer on the system, as firmware has it, and compares every result with golden's.

    Parameters
    ----------
    layer : Layer
    show : callable

    Raises
    ------
    GossetError
        If something differs, or the firmware or the SDRAM's model does not agree with what happens.
    ToolError
        If a tool is missing or fails.
    """
    show("generating the accelerator and the system")
    accelerator = generate_axi(layer.design, "axi")
    system = soc.write(accelerator)
    show("compiling the firmware")
    words = firmware.compile(accelerator, system.header, layer, ROM_BYTES, STACK)
    program = build(accelerator, system, show)
    show("running")
    with process.scratch() as folder:
        for name, text in {**system.memories, ROM: firmware.lines(words)}.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "before").write_bytes(layer.memory)
        done = process.run([program, "before", "after", "counted", str(LIMIT)], folder=folder)
        if done.code:
            raise GossetError(f"The simulation stopped: {done.errors.strip() or done.how}.")
        said = {name: int(value) for name, value in (line.split() for line in done.output.splitlines())}
        pins = json.loads((folder / "counted").read_text(encoding="utf-8"))
        after = (folder / "after").read_bytes()
    compare(layer, said, pins, after)
    return Ran(layer, said, pins)


def report(qs: Sequence[int], show: Show = lambda step: None) -> dict[str, Any]:
    """The layer at each rate, and int8 by arithmetic only.

    Parameters
    ----------
    qs : sequence of int
        Of the packed formats.
    show : callable

    Returns
    -------
    `rates`, a list with for each of them `name`, `bits_per_weight`, `bytes`, and at the SDRAM's rate `roof_us` and
    `roof_mmacs`; of those that ran also `us`, `mmacs`, `megabytes_per_second`, `share` of the roof, `cycles`, what the
    firmware said and what was counted at the `pins`; beside it the shape of the layer, and where it all comes from.

    Raises
    ------
    GossetError, ToolError
        As `run`.
    """
    layers = [Layer(design(q)) for q in qs]
    rates = []
    for layer in layers:
        format = layer.design.format
        ran = run(layer, lambda step, q=format.q: show(f"q = {q}: {step}"))  # type: ignore[misc]
        name, bits = f"q = {format.q}", (format.label_bits + format.beta_bits) / DIM
        rates.append(
            roof(name, bits, layer.bytes_moved, layer.job.macs)
            | {
                "us": 1e6 * ran.seconds,
                "mmacs": ran.macs_per_second / 1e6,
                "megabytes_per_second": ran.bytes_per_second / 1e6,
                "share": ran.bytes_per_second / SDRAM_BYTES_PER_SECOND,
                "cycles": ran.said["cycles"],
                "design": layer.design.as_dict(),
                "firmware": ran.said,
                "pins": ran.pins,
            }
        )
    m, n, k = layers[0].job.shape
    rates.append(roof("int8", 8, n * k + m * k + 4 * m * n, m * n * k))
    made = provenance()
    made["tools"] |= {package: version(package) for package in PACKAGES}
    about = {"clock_mhz": CLOCK_HZ / 1e6, "sdram_megabytes_per_second": SDRAM_BYTES_PER_SECOND / 1e6}
    return {"shape": [m, n, k], **about, "rates": rates, **made}

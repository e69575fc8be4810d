"""What a board is given to do: random products, real networks, and its link by itself.

Every accumulator is compared with golden's. Reports are JSON objects; `mismatches` is 0 if all is well, and `described`
says what is not.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.host.device import BoardDevice
from fpga.host.line import SerialLine
from golden.errors import GossetError
from golden.format import PackedMatrix
from golden.lattice import DIM
from golden.matmul import Operand, Product
from golden.quality.minilm import Array, MiniLM
from golden.quantize import quantize
from sim.device import Device, Progress
from sim.digits import train
from sim.tiles import Job
from sim.verify import Advance, Ui, Verification, read_digits, totals

SENTENCES = (
    "A lattice is a regular arrangement of points in space.",
    "The parcel arrived two days late, but nothing was broken.",
    "How many bits does a weight need?",
)
"""What the network reads."""

LAYERS = ("encoder.layer.0.attention.output.dense", "encoder.layer.0.intermediate.dense")
"""The layers of the network that a board computes: 384 × 384 and 1536 × 384."""

TILES = 16
"""Tiles of columns of the product that a board is measured with."""


def multiply(
    device: Device, x: NDArray[Any] | Operand, w: PackedMatrix, ui: Ui
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Multiplies activations, packed or not, and packed weights; the report, and the result.

    Raises
    ------
    GossetError
        If they do not fit each other, or the design.
    """
    report, (product,) = _run(device, {"product": (_operand(device, x), w)}, ui)
    return report, product.result


def run_random(device: Device, m: int, n: int, k: int, seed: int, ui: Ui) -> dict[str, Any]:
    """Multiplies Gaussian matrices, x `(m, k)` and w `(n, k)`.

    Raises
    ------
    GossetError
        If one of them has no rows or columns.
    """
    if min(m, n, k) < 1:
        raise GossetError(f"M, N and K are at least 1; got {m}, {n} and {k}.")
    rng = np.random.default_rng(seed)
    w = quantize(rng.normal(size=(n, k)), device.design.format)
    return _run(device, {"product": (device.activations(rng.normal(size=(m, k))), w)}, ui)[0]


def run_digits(device: Device, ui: Ui) -> dict[str, Any]:
    """Reads the handwritten digits of `sim.digits`; the report has `accuracy` and `images` as well."""
    seen = Verification()
    with seen.stage(ui, "train", 1) as advance:
        digits = train()
        advance(1)
    with seen.stage(ui, "digits", len(digits.weights)) as advance:
        readings, sums = read_digits(seen, digits, device, advance)
    accuracy = float((readings == digits.labels).mean())
    return {"accuracy": accuracy, "images": len(readings), **_report(seen, sums)}


def run_minilm(device: Device, ui: Ui) -> dict[str, Any]:
    """Computes two layers of MiniLM on what they get when it reads a few sentences.

    Raises
    ------
    GossetError
        If a package of the network is missing.
    """
    model = MiniLM.load()
    listener = _Listener({name: model.tensors[f"{name}.weight"] for name in LAYERS})
    model.embed(list(SENTENCES), listener)
    operands = {
        name: (device.activations(listener.inputs[name]), quantize(w, device.design.format))
        for name, w in listener.weights.items()
    }
    return _run(device, operands, ui)[0]


WORKLOADS: dict[str, Callable[[Device, Ui], dict[str, Any]]] = {"digits": run_digits, "minilm": run_minilm}
"""The real ones, by name."""


def measure(device: BoardDevice, ui: Ui) -> dict[str, Any]:
    """How fast a board is: its link, and one large product.

    The report has `written_bytes_per_second` and `read_bytes_per_second` of memory, over the link;
    `line_bytes_per_second`, what its serial line carries at most, if it is on one; and `gmacs`, 1e9
    multiply-accumulates per second while the board works on the product.
    """
    seen = Verification()
    with seen.stage(ui, "link", 1) as advance:
        count, written, read = device.measure_link()
        advance(1)
    design = device.design
    m, k = design.panel_rows, DIM * design.x_depth * design.rows // design.panel_rows
    report = run_random(device, m, TILES * design.cols, k, 0, ui)
    line = device.link.line
    return {
        "line_bytes_per_second": line.baud / 10 if isinstance(line, SerialLine) else None,
        "link_bytes": count,
        "written_bytes_per_second": count / written,
        "read_bytes_per_second": count / read,
        "gmacs": report["macs_per_cycle"] * device.identity.clock_hz / 1e9,
        **report,
    }


class _Listener:
    """Linear layers as they are; keeps what goes into some of them."""

    def __init__(self, weights: dict[str, Array]):
        self.weights = weights
        self.inputs: dict[str, Array] = {}

    def prepare(self, weight: Array) -> Callable[[Array], Array]:
        names = [name for name, known in self.weights.items() if known is weight]

        def product(x: Array) -> Array:
            self.inputs.update(dict.fromkeys(names, x))
            return x @ weight.T

        return product


def _run(
    device: Device, operands: dict[str, tuple[Operand, PackedMatrix]], ui: Ui
) -> tuple[dict[str, Any], list[Product]]:
    """Multiplies activations and weights, by the names of what they are."""
    seen, reports = Verification(), []
    for name, (x, w) in operands.items():
        rows = Job(device.design, x, w).output_rows
        with seen.stage(ui, name.rpartition("layer.")[2], rows) as advance:
            reports.append(seen.run(device, x, w, name, _rows_to(advance)))
    return _report(seen, totals(reports)), [report.product for report in reports]


def _operand(device: Device, x: NDArray[Any] | Operand) -> Operand:
    return x if isinstance(x, Operand) else device.activations(x)


def _rows_to(advance: Advance) -> Progress:
    """What tells an `Advance` of rows that a device tells of."""
    before = 0

    def show(rows: int, _total: int) -> None:
        nonlocal before
        advance(rows - before)
        before = rows

    return show


def _report(seen: Verification, sums: dict[str, Any]) -> dict[str, Any]:
    found = {name: getattr(seen, name) for name in ("accumulators_compared", "mismatches", "described", "seconds")}
    return {**sums, **found}

"""Where a layer lies in the SDRAM, and what is made of what comes back."""

import numpy as np
import pytest

from fpga.litex.constants import SDRAM_BYTES_PER_SECOND
from fpga.litex.layer import LINE, Layer, design
from fpga.litex.result import Mismatch, Ran, compare, roof
from golden.errors import GossetError
from golden.matmul import matmul
from sim.image import result_rows

LAYER = Layer(design(8), batch=3, inputs=40, outputs=5)


def part(name, memory=LAYER.memory):
    """From where something lies to where the next thing does."""
    places = [*LAYER.places.values(), len(memory)]
    begin = LAYER.places[name]
    return memory[begin : places[places.index(begin) + 1]]


def finished():
    """The memory at the end of a run without fault."""
    memory = bytearray(LAYER.memory)
    expected = part("expected")
    memory[LAYER.places["y"] : LAYER.places["y"] + len(expected)] = expected
    return memory


SAID = {"status": 0, "compared": 18, "wrong": 0, "cycles": 1000}
PINS = {"reads": LAYER.bytes_moved // 2 - 36, "writes": 36}


def test_expected_results_are_those_of_golden():
    rows = result_rows(LAYER.design, part("expected")[: 4 * 18])
    assert (LAYER.job.accumulators(rows) == matmul(LAYER.job.x, LAYER.job.w).accumulators).all()
    assert all(place % LINE == 0 for place in LAYER.places.values())
    assert part("x_labels").startswith(LAYER.job.x.planes()[0].tobytes())


def test_a_layer_is_one_job():
    with pytest.raises(GossetError, match="one job"):
        Layer(design(8), inputs=8 * 65, outputs=2)


def test_a_run_without_fault_is_none():
    compare(LAYER, SAID, PINS, bytes(finished()))
    ran = Ran(LAYER, SAID, PINS)
    assert ran.seconds == 20e-6 and ran.bytes_per_second == LAYER.bytes_moved / 20e-6


@pytest.mark.parametrize(
    ("said", "pins", "flipped", "sentence"),
    [
        ({}, {}, 5, "1 of 18 results differ from golden; the first, 1, is"),
        ({"wrong": 1}, {}, None, "the firmware says"),
        ({"compared": 17}, {}, None, "the firmware says"),
        ({"status": 3}, {}, None, "gave up"),
        ({}, {"reads": 7}, None, "86 bytes crossed the SDRAM's pins"),
    ],
)
def test_what_differs_is_told(said, pins, flipped, sentence):
    memory = finished()
    if flipped is not None:
        memory[LAYER.places["y"] + flipped] ^= 1
    with pytest.raises(Mismatch, match=sentence):
        compare(LAYER, SAID | said, PINS | pins, bytes(memory))


@pytest.mark.parametrize(("q", "bits"), [(4, 2.25), (8, 3.25), (16, 4.25)])
def test_the_roof_is_that_of_the_bits(q, bits):
    m, n, k = 4, 96, 384
    layer = Layer(design(q), m, k, n)
    # Without what activations and results take, which is little.
    weights = n * k * bits / 8
    assert weights < layer.bytes_moved < 1.25 * weights
    bound = roof("", bits, layer.bytes_moved, layer.job.macs)
    assert bound["roof_us"] == pytest.approx(1e6 * layer.bytes_moved / 100e6)
    assert bound["roof_mmacs"] == pytest.approx(m * n * k / bound["roof_us"])
    assert SDRAM_BYTES_PER_SECOND == 100e6
    assert np.frombuffer(layer.memory, np.uint8)[layer.places["y"] :].max() == 0xA5

import json

import numpy as np
import pytest

from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from hw.codec.decoder import Decoder
from hw.design import PRESETS
from hw.generate import generate
from sim.device import RtlDevice
from sim.digits import train
from sim.picture import draw
from sim.verify import Verification, check_decoder, check_products, read_digits


@pytest.fixture(scope="module")
def digits():
    return train()


def test_a_mismatch_says_where_and_what():
    seen = Verification()
    seen.compare("product 3", np.array([[1, -2], [3, 4]]), np.array([[1, 5], [3, -1]]), ("row", "column"))
    assert seen.mismatches == 2
    assert seen.described == [
        "product 3: row 0, column 1: expected -2 (0xfffffffe) but actual 5 (0x00000005)",
        "product 3: row 1, column 1: expected 4 (0x00000004) but actual -1 (0xffffffff)",
    ]


def test_many_mismatches_are_counted_and_a_few_described():
    seen = Verification()
    seen.compare("all", np.zeros((50, 4)), np.ones((50, 4)), ("row", "column"))
    assert seen.mismatches == 200 and len(seen.described) == 10


def test_the_decoder_check_finds_a_wrong_tie(tmp_path):
    generated = generate(Decoder(Format(4)), "decoder")
    path = generated.write(tmp_path)
    seen = Verification()
    check_decoder(seen, path, 4, 3000)
    assert seen.mismatches == 0 and seen.blocks_checked == {"4": 3000}
    wrong = generated.verilog.replace("turn_odd_1 < turn_odd_0", "turn_odd_1 <= turn_odd_0")
    assert wrong != generated.verilog
    path.write_text(wrong)
    check_decoder(seen, path, 4, 3000)
    assert seen.mismatches > 0 and "decoder q = 4: block" in seen.described[0]


def test_products_are_counted():
    seen, done = Verification(), []
    check_products(seen, PRESETS["tiny"], 4, done.append)
    assert seen.mismatches == 0 and sum(done) == 4 and seen.accumulators_compared >= 4


def test_digits_are_read_on_the_rtl_as_by_golden(digits, tmp_path):
    seen, design = Verification(), PRESETS["tiny"].with_format(Format(8))
    device = RtlDevice(design)
    readings, run = read_digits(seen, digits, device)
    device.close()
    weights = [quantize(w, design.format) for w in digits.weights]
    expected = digits.read(lambda layer, x: matmul(quantize(x, design.format), weights[layer]).result)
    np.testing.assert_array_equal(readings, expected)
    assert seen.mismatches == 0 and seen.accumulators_compared == len(digits.labels) * (128 + 64 + 10)
    assert run["utilisation"] > 0.99 and sum(run["counters"].values()) == run["cycles"]

    report = {
        "accuracy": {"fp32": 0.98, "e8_q8": 0.97, "int3_g64": 0.96},
        "bits_per_entry": {"fp32": 32, "e8_q8": 3.25, "int3_g64": 3.25},
        "images": len(readings),
        "seconds": {"digits": 1.0},
    }
    draw(json.loads(json.dumps(report)), digits, readings, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_network_is_good_and_always_the_same(digits):
    assert digits.accuracy(digits.exact) > 0.95
    again = train()
    for a, b in zip(digits.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)

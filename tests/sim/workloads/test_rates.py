"""Bytes of workloads: each rate against the codec that it stands for."""

import numpy as np
import pytest

from golden.int8 import quantize_int8
from golden.quality.report import codecs
from sim.workloads.layers import Layer, Workload
from sim.workloads.rates import RATES, traffic


@pytest.mark.parametrize("shape", [(3, 64), (5, 100), (1, 8)])
@pytest.mark.parametrize("name", [name for name in RATES if name not in ("int8", "fp16")])
def test_a_rate_is_what_its_codec_stores(name, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert RATES[name].of_matrix(*shape) == pytest.approx(codecs()[name](x).bits_per_entry * x.size, rel=1e-12)


def test_int8_and_fp16():
    x = np.ones((3, 100), dtype=np.float32)
    assert RATES["int8"].of_matrix(3, 100) == round(quantize_int8(x).bits_per_entry * 300)
    assert RATES["fp16"].of_matrix(3, 100) == 3 * 100 * 16


def test_kinds_are_kept_apart():
    layers = (Layer("a", 2, 3, 5), Layer("b", 7, 11, 13, 2, "kv"), Layer("c", 17, 19, 23, 1, "activations"))
    moved = traffic(Workload("w", layers), RATES["fp16"])
    assert moved.weights == 2 * 15 and moved.kv == 2 * 2 * 143
    assert moved.activations == 2 * (10 + 2 * 91 + 17 * 23 + 19 * 23)
    assert moved.results == 4 * (6 + 2 * 77 + 17 * 19)
    assert moved.total == moved.weights + moved.kv + moved.activations + moved.results


def test_the_largest_numbers_are_exact():
    big = Workload("w", (Layer("a", 1, 2**31 - 1, 2**31 - 1),))
    assert traffic(big, RATES["E8 q=16"]).weights == -(-(2**31 - 1) * (2**28 * 34 + 32) // 8)

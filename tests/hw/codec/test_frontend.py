"""The front end's RTL against its golden twin, bit for bit, in cycles as few as stated."""

from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from golden.format import Format
from golden.frontend import FrontEndRules, Gain, Multiplier
from golden.lattice import DIM
from golden.reciprocal import ADDITIONS, inverse
from hw.codec.encoder import clip, times
from hw.codec.frontend import FrontEnd
from hw.generate import generate
from sim.rtl import verilator
from sim.rtl.model import Model

BLOCKS = 6_000
"""Blocks through each design, once as fast as they go and once with stalls; there are six designs."""

RULES = {
    "host": FrontEndRules(length=64),
    "host_serial": FrontEndRules(format=Format(4, (1, 2, 5)), length=1024, raw_bits=8, candidates="serial"),
    "max": FrontEndRules(format=Format(32), length=1024, raw_bits=17, scale="max", row_blocks=128),
    "max_serial": FrontEndRules(length=8, scale="max", candidates="serial", row_blocks=24),
    "rms": FrontEndRules(format=Format(4), length=64, fraction_bits=3, scale="rms", row_blocks=24),
    "rms_short": FrontEndRules(format=Format(16, (4,)), length=8, scale="rms", row_blocks=1),
}


def pack(values, bits):
    """Signed numbers `(beats, n)` as rows of 32-bit words, the first in the low bits."""
    planes = ((values[..., None] >> np.arange(bits)) & 1).astype(np.uint8).reshape(len(values), -1)
    planes = np.pad(planes, ((0, 0), (0, -planes.shape[1] % 32)))
    return np.packbits(planes, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def rows_of(rules):
    """Rows of every size, and the worst ones; as long as they may be if the scale is measured."""
    rng = np.random.default_rng(rules.length)
    count = max(rules.segment_blocks, 16) if rules.scale == "host" else rules.row_blocks
    rows, columns, most = BLOCKS // count, DIM * count, 1 << (rules.raw_bits - 1)
    x = np.rint(rng.normal(size=(rows, columns)) * np.geomspace(0.3, most / 2, rows)[rng.permutation(rows), None])
    x = x.clip(-most, most - 1).astype(np.int64)
    x[1], x[2], x[3], x[5] = -most, most - 1, 0, 0
    x[4] = rng.choice([-most, most - 1], columns)
    x[5, -1] = -1
    x[6] = np.where(rules.signs()[np.arange(columns) % rules.length] < 0, -most, most - 1)
    return x


@cache
def verilog(name, folder):
    path = generate(FrontEnd(RULES[name]), f"frontend_{name}").write(folder)
    verilator.lint(path, f"frontend_{name}")
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("frontend")


def run(model, rules, x, seed, multiplier, gain, stalls):
    """Rows through the RTL: labels, β indices, multipliers and `last` of every block, and the cycles it took."""
    last = np.zeros((len(x), x.shape[1] // DIM), np.uint32)
    last[:, -1] = 1
    model.reset()
    model.io.seed = seed
    layout = model.layout("i")
    inputs = {"i": layout.pack({"i_x": pack(x.reshape(-1, DIM), rules.raw_bits), "i_last": last.ravel()})}
    if rules.scale == "host":
        fields = {"scale_mantissa": multiplier.mantissa, "scale_exponent": multiplier.exponent}
        inputs["scale"] = model.layout("scale").pack(fields)
    else:
        model.io.gain_mantissa, model.io.gain_exponent = gain
    result = model.run(inputs, {"o": last.size}, stalls=stalls, seed=seed)
    found = model.layout("o").unpack(result.outputs["o"])
    np.testing.assert_array_equal(found["o_last"], last.ravel())
    return {name: field.reshape(last.shape) for name, field in found.items()}, result.cycles


def compare(found, packed, multiplier):
    np.testing.assert_array_equal(found["o_label"], packed.labels)
    if packed.format.beta_bits:
        np.testing.assert_array_equal(found["o_beta"], packed.betas)
    np.testing.assert_array_equal(
        found["o_mantissa"], np.broadcast_to(multiplier.mantissa[:, None], packed.labels.shape)
    )
    np.testing.assert_array_equal(
        found["o_exponent"], np.broadcast_to(multiplier.exponent[:, None], packed.labels.shape)
    )


@pytest.mark.parametrize("name", RULES)
def test_rtl_equals_golden_at_full_speed_and_with_stalls(name, folder):
    rules, rng = RULES[name], np.random.default_rng(1)
    x = rows_of(rules)
    multiplier = gain = None
    with Model(verilog(name, folder)) as model:
        for seed, stalls in ((0xACE1, 0.0), (0x1234, 0.3)):
            if rules.scale == "host":
                # Around what is right for the row, and anything at all.
                size = np.sqrt(np.square(x).mean(axis=1) + 0.1) * rng.choice([0.02, 0.05, 0.2], len(x))
                multiplier = rules.multiplier(size.clip(0.03, None))
                multiplier.exponent[7::50] = rng.integers(0, 1 << rules.exponent_bits, len(x[7::50]))
                multiplier.mantissa[11::60] = 0
            else:
                gain = rules.gain(x.shape[1])
            packed, used = rules.run(x, seed=seed, multiplier=multiplier, gain=gain)
            found, cycles = run(model, rules, x, seed, multiplier, gain, stalls)
            compare(found, packed, used)
            if not stalls:
                per_block = len(rules.format.betas) if rules.candidates == "serial" else 1
                fill = per_block * rules.segment_blocks + (0 if rules.scale == "host" else rules.row_blocks) + 70
                assert cycles <= per_block * packed.labels.size + fill


@pytest.mark.parametrize("name", ["max", "rms"])
@pytest.mark.parametrize("gain", [Gain(63, 15), Gain(32, 0), Gain(0, 3)])
def test_exponents_saturate(name, gain, folder):
    rules = RULES[name]
    x = rows_of(rules)[:12]
    packed, used = rules.run(x, gain=gain)
    with Model(verilog(name, folder)) as model:
        found, _ = run(model, rules, x, 0xACE1, None, gain, {"o": 0.5})
    compare(found, packed, used)


def test_rows_need_not_come_one_after_the_other(folder):
    rules = RULES["rms"]
    x = rows_of(rules)[:40]
    gain = rules.gain(x.shape[1])
    packed, used = rules.run(x, gain=gain)
    with Model(verilog("rms", folder)) as model:
        for stalls in ({"i": 0.9}, {"i": 0.5, "o": 0.9}):
            found, _ = run(model, rules, x, 0xACE1, None, gain, stalls)
            compare(found, packed, used)


def test_a_row_waits_for_its_scale(folder):
    rules = RULES["host"]
    x = rows_of(rules)[:40]
    multiplier = Multiplier(np.full(40, 41), np.full(40, 9))
    packed, used = rules.run(x, multiplier=multiplier)
    with Model(verilog("host", folder)) as model:
        found, _ = run(model, rules, x, 0xACE1, multiplier, None, {"scale": 0.98})
    compare(found, packed, used)


def test_times_and_clip():
    m, value = Module(), Signal(signed(5))
    constants, widths = [inverse(beta) for beta in range(1, 16)], (2, 4, 5, 7)
    products = [times(m, f"by_{c}", [value], c)[0] for c in constants]
    outputs = [*products, *(clip(value, bits) for bits in widths)]
    found = [Signal(signed(20)) for _ in outputs]
    m.d.comb += [a.eq(b) for a, b in zip(found, outputs, strict=True)]

    async def bench(ctx):
        for n in range(-16, 16):
            ctx.set(value, n)
            await ctx.tick().repeat(ADDITIONS)
            expected = [n * c for c in constants]
            expected += [min(max(n, -(1 << bits - 1)), (1 << bits - 1) - 1) for bits in widths]
            assert [ctx.get(s) for s in found] == expected

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()

"""Raw rows through the front end: into the array, or out again as packed codes."""

from itertools import product

import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.frontend import SEED, FrontEndRules
from golden.matmul import matmul
from golden.quantize import quantize
from hw.design import DesignPoint
from hw.generate import generate_design
from sim import verilator
from sim.model import Model
from sim.tiles import Job

FORMAT = Format(8, (3, 4, 5, 7))
DESIGNS = {
    f"{flow}-{scale}": DesignPoint(
        name=f"raw_{flow}_{scale}",
        rows=3,
        cols=2,
        format=FORMAT,
        dataflow=flow,
        panel_rows=7,
        x_depth=32,
        front_end=FrontEndRules(format=FORMAT, length=16, scale=scale, row_blocks=32),
    )
    for flow, scale in product(("os", "ws"), ("host", "rms"))
}


@pytest.fixture(scope="module", params=DESIGNS)
def machine(request, tmp_path_factory):
    design = DESIGNS[request.param]
    path = generate_design(design).write(tmp_path_factory.mktemp(design.name))
    verilator.lint(path, design.module)
    with Model(path) as model:
        model.reset()
        yield design, model


def raw_rows(model, x, out):
    """Beats of the stream `raw`."""
    blocks = x.astype("<i2").reshape(-1, 8).view("<u4").astype(np.uint32)
    last = np.zeros((len(x), x.shape[1] // 8), dtype=np.uint32)
    last[:, -1] = 1
    return model.layout("raw").pack({"raw_x": blocks, "raw_last": last.ravel(), "raw_out": np.full(len(blocks), out)})


def encode(design, model, x, rng):
    """What golden makes of raw rows; sets the model's scale, and gives the beats of `scale` if the host has to."""
    rules, multiplier, gain, scale = design.front_end, None, None, {}
    model.io.seed = SEED
    if rules.scale == "host":
        multiplier = rules.multiplier(rng.uniform(200, 900, len(x)))
        payload = {"scale_mantissa": multiplier.mantissa, "scale_exponent": multiplier.exponent}
        scale = {"scale": model.layout("scale").pack(payload)}
    else:
        gain = rules.gain(x.shape[1])
        model.io.gain_mantissa, model.io.gain_exponent = gain
    return *rules.run(x, multiplier=multiplier, gain=gain), scale


@pytest.mark.parametrize("stalls", [0.0, 0.3])
def test_raw_rows_are_multiplied(machine, stalls):
    design, model = machine
    rng = np.random.default_rng(int(10 * stalls))
    for seed in range(6):
        m, n, blocks = int(rng.integers(1, 7)), int(rng.integers(1, 6)), 2 * int(rng.integers(1, 5))
        x = rng.integers(-2000, 2000, (m, 8 * blocks))
        packed, multiplier, scale = encode(design, model, x, rng)
        w = quantize(rng.normal(size=(n, 8 * blocks)), FORMAT)
        job = Job(design, packed, w)
        assert len(job.parts) == 1
        inputs = job.inputs()
        del inputs["x"]
        inputs["job"]["job_raw"][:] = 1
        streams = {name: model.layout(name).pack(payload) for name, payload in inputs.items()}
        streams |= {"raw": raw_rows(model, x, 0)} | scale
        run = model.run(streams, {"acc": job.output_rows, "multipliers": m}, stalls=stalls, seed=seed)
        rows = np.ascontiguousarray(model.layout("acc").unpack(run.outputs["acc"])["acc_values"])
        accumulators = job.accumulators(rows.reshape(job.output_rows, -1).view(np.uint32))
        np.testing.assert_array_equal(accumulators, matmul(packed, w).accumulators)
        came = model.layout("multipliers").unpack(run.outputs["multipliers"])
        np.testing.assert_array_equal(came["multipliers_mantissa"], multiplier.mantissa)
        np.testing.assert_array_equal(came["multipliers_exponent"], multiplier.exponent)


@pytest.mark.parametrize("stalls", [0.0, 0.3])
def test_raw_rows_come_out_as_codes(machine, stalls):
    design, model = machine
    rng = np.random.default_rng(7)
    x = rng.integers(-32768, 32768, (20, 64))
    packed, multiplier, scale = encode(design, model, x, rng)
    run = model.run({"raw": raw_rows(model, x, 1)} | scale, {"codes": packed.labels.size}, stalls=stalls)
    codes = model.layout("codes").unpack(run.outputs["codes"])
    np.testing.assert_array_equal(codes["codes_label"], packed.labels.ravel())
    np.testing.assert_array_equal(codes["codes_beta"], packed.betas.ravel())
    np.testing.assert_array_equal(codes["codes_mantissa"], np.repeat(multiplier.mantissa, 8))
    np.testing.assert_array_equal(codes["codes_last"], np.arange(packed.labels.size) % 8 == 7)


@pytest.mark.parametrize("wrong", [64, 48, 80])
def test_a_row_of_another_length_is_told_and_does_not_hang(machine, wrong):
    """A job of two rows of 64 entries, whose rows have another length; then a sound one."""
    design, model = machine
    rng = np.random.default_rng(8)
    packed, multiplier, _ = encode(design, model, rng.integers(-2000, 2000, (2, 64)), rng)
    job = Job(design, packed, quantize(rng.normal(size=(2, 64)), FORMAT))
    inputs = {name: payload for name, payload in job.inputs().items() if name != "x"}
    inputs["job"]["job_raw"][:] = 1
    streams = {name: model.layout(name).pack(payload) for name, payload in inputs.items()}
    model.run({"job": streams["job"]}, {})
    if design.front_end.scale == "host":
        model.io.scale_mantissa, model.io.scale_exponent = int(multiplier.mantissa[0]), int(multiplier.exponent[0])
        model.io.scale_valid = 1
    told = 0
    rows = raw_rows(model, rng.integers(-2000, 2000, (2, wrong)), 0)
    for beat in rows:
        fields = model.layout("raw").unpack(beat[None])
        for port, value in fields.items():
            setattr(model.io, port, int.from_bytes(np.asarray(value).tobytes(), "little"))
        model.io.raw_valid = 1
        while not model.io.raw_ready:
            told += model.io.bad_row
            model.clock.tick()
        told += model.io.bad_row
        model.clock.tick()
    model.io.raw_valid = 0
    for _ in range(200):
        told += model.io.bad_row
        model.clock.tick()
    if design.front_end.scale == "host":
        model.io.scale_valid = 0
    assert told == (0 if wrong == 64 else 2)
    model.run({"w": streams["w"]}, {"acc": job.output_rows, "multipliers": 2})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"front_end": FrontEndRules(format=Format(4))}, "front end packs as"),
        ({"activations": ("int8",)}, "only takes int8"),
    ],
)
def test_what_does_not_go_together_is_refused(change, words):
    with pytest.raises(GossetError, match=words):
        DesignPoint(**({"name": "x", "rows": 1, "cols": 1, "front_end": FrontEndRules()} | change))


def test_a_design_with_a_front_end_can_be_written_down():
    for design in DESIGNS.values():
        assert DesignPoint.from_dict(design.as_dict()) == design
        assert design.with_format(Format(4)).front_end.format == Format(4)

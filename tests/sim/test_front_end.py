"""Raw rows through the front end: into the array, or out again as packed codes."""

import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.quantize import quantize
from hw.design import DesignPoint
from hw.engine.counters import COUNTERS
from hw.generate import generate_design
from sim.models.cycles import Memory, cycles, timeline
from sim.models.schedule import Machine
from sim.rtl import verilator
from sim.rtl.model import Model
from sim.rtl.run import Pace
from sim.tiles import Job
from tests.raw import beats_of, check_accumulators, encode, inputs_of

FORMAT = Format(4, (3, 4))
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
    for flow, scale in (("os", "rms"), ("ws", "host"))
}


@pytest.fixture(scope="module", params=DESIGNS)
def machine(request, tmp_path_factory):
    design = DESIGNS[request.param]
    path = generate_design(design).write(tmp_path_factory.mktemp(design.name))
    verilator.lint(path, design.module)
    with Model(path) as model:
        model.reset()
        yield design, model


def test_every_counter_of_raw_jobs_equals_the_cycle_model(machine):
    design, model = machine
    rng, seen = np.random.default_rng(9), 0
    model.reset()
    for _ in range(15):
        m, n, blocks = int(rng.integers(1, 40)), int(rng.integers(1, 16)), 6 * int(rng.integers(1, 3))
        x = rng.integers(-2000, 2000, (m, 8 * blocks))
        packed, _, scale = encode(design, model, x, rng)
        job = Job(design, packed, quantize(rng.normal(size=(n, 8 * blocks)), FORMAT))
        memory = Memory(1, int(rng.choice([1, 1, 5])), *(int(v) for v in rng.integers(0, 60, 2)))
        paces = {"raw": Pace(memory.x_latency, 1), "w": Pace(memory.w_latency, memory.w_period)}
        before = [getattr(model.io, name) for name in COUNTERS]
        results = {"acc": job.output_rows, "multipliers": m}
        run = model.run(inputs_of(model, job, x, scale), results, paces=paces)
        counted = [getattr(model.io, name) - count for name, count in zip(COUNTERS, before, strict=True)]
        shape = (Machine.of(design), m, n, 8 * blocks)
        expected = cycles(*shape, raw=True, memory=memory)
        assert counted == [int(count) for count in expected.counters().values()], (shape, memory)
        assert run.cycles == expected.cycles
        assert len(timeline(*shape, raw=True, memory=memory)) == len(job.parts)
        seen += len(job.parts) > 2
    assert seen > 5


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
        run = model.run(
            inputs_of(model, job, x, scale), {"acc": job.output_rows, "multipliers": m}, stalls=stalls, seed=seed
        )
        check_accumulators(model, job, run)
        came = model.layout("multipliers").unpack(run.outputs["multipliers"])
        np.testing.assert_array_equal(came["multipliers_mantissa"], multiplier.mantissa)
        np.testing.assert_array_equal(came["multipliers_exponent"], multiplier.exponent)


@pytest.mark.parametrize("stalls", [0.0, 0.3])
def test_raw_rows_come_out_as_codes(machine, stalls):
    design, model = machine
    rng = np.random.default_rng(7)
    x = rng.integers(-32768, 32768, (20, 64))
    packed, multiplier, scale = encode(design, model, x, rng)
    run = model.run(
        {"raw": beats_of(model, design.front_end, x, 1)} | scale, {"codes": packed.labels.size}, stalls=stalls
    )
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
    rows = beats_of(model, design.front_end, rng.integers(-2000, 2000, (2, wrong)), 0)
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

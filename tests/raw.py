"""Raw rows for the Verilated accelerator, and what golden makes of them."""

import numpy as np

from golden.frontend import SEED
from golden.lattice import DIM
from golden.matmul import matmul


def words_of(values, bits):
    """Signed numbers `(beats, n)` side by side, `bits` each, as rows of 32-bit words, the first in the low bits."""
    planes = ((values[..., None] >> np.arange(bits)) & 1).astype(np.uint8).reshape(len(values), -1)
    planes = np.pad(planes, ((0, 0), (0, -planes.shape[1] % 32)))
    return np.packbits(planes, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def random_rows(rules, rows, blocks, rng):
    """Raw rows that are neither all zeros nor saturated."""
    size = max(2, 1 << (rules.raw_bits - 4))
    return rng.integers(-size, size, (rows, DIM * blocks))


def beats_of(model, rules, rows, out):
    """Beats of the stream `raw` for rows of any lengths."""
    blocks = [words_of(np.asarray(row).reshape(-1, DIM), rules.raw_bits) for row in rows]
    last = [np.arange(len(row)) == len(row) - 1 for row in blocks]
    every = np.concatenate(blocks)
    fields = {"raw_x": every, "raw_last": np.concatenate(last).astype(np.uint32), "raw_out": np.full(len(every), out)}
    return model.layout("raw").pack(fields)


def encode(design, model, x, rng):
    """What golden makes of raw rows; sets the model's scale, and gives the beats of `scale` if the host has to."""
    rules, multiplier, gain, scale = design.front_end, None, None, {}
    model.io.seed = SEED
    if rules.scale == "host":
        size = np.sqrt(np.square(x).mean(axis=1)) * rng.uniform(0.1, 0.5, len(x))
        multiplier = rules.multiplier(size)
        payload = {"scale_mantissa": multiplier.mantissa, "scale_exponent": multiplier.exponent}
        scale = {"scale": model.layout("scale").pack(payload)}
    else:
        gain = rules.gain(x.shape[1])
        model.io.gain_mantissa, model.io.gain_exponent = gain
    return *rules.run(x, multiplier=multiplier, gain=gain), scale


def inputs_of(model, job, x, scale):
    """Beats of all streams of a product of raw rows."""
    inputs = {name: payload for name, payload in job.inputs().items() if name != "x"}
    inputs["job"]["job_raw"][:] = 1
    return {name: model.layout(name).pack(payload) for name, payload in inputs.items()} | {
        "raw": beats_of(model, job.design.front_end, x, 0),
        **scale,
    }


def check_accumulators(model, job, run):
    """Compares what came out at `acc` with golden's."""
    rows = np.ascontiguousarray(model.layout("acc").unpack(run.outputs["acc"])["acc_values"])
    accumulators = job.accumulators(rows.reshape(job.output_rows, -1).view(np.uint32))
    np.testing.assert_array_equal(accumulators, matmul(job.x, job.w).accumulators)

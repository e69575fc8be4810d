"""Images that the driver in C makes, against `sim.image`."""

import ctypes

import numpy as np
import pytest

from golden.format import PackedMatrix
from golden.int8 import quantize_int8
from golden.output import Columns, Rows
from golden.quantize import quantize
from sim.image import columns_image, operand_image, raw_image, rows_image
from sim.tiles import Job
from tests.hw.axi.driver import DESIGNS, pointer


def image(function, *arguments):
    """What a function of the driver makes, in memory that was not zero."""
    size = function(None, *arguments)
    made = np.full(size + 8, 0xA5, dtype=np.uint8)
    assert function(pointer(made), *arguments) == size
    assert (made[size:] == 0xA5).all()
    return made[:size].tobytes()


@pytest.mark.parametrize("library", DESIGNS, indirect=True)
def test_images_are_those_of_golden(library, request):
    design = DESIGNS[request.node.callspec.params["library"]]
    rng, depth = np.random.default_rng(0), design.rows if design.dataflow == "ws" else 1
    for m, n, k, kind in [(7, 9, 300, kind) for kind in design.activations] + [(1, 1, 3, design.activations[0])]:
        w = quantize(rng.normal(size=(n, k)), design.format)
        values = rng.normal(size=(m, k))
        job = Job(design, quantize_int8(values) if kind == "int8" else quantize(values, design.format), w)
        for part, x_words, w_words in zip(job.parts, job.x_words(), job.w_words(), strict=True):
            rows, steps = (part.first_row, part.rows), (part.first_block // depth, part.steps)
            labels, betas = w.planes()
            given = pointer(labels), pointer(betas), *w.labels.shape
            made = image(library.w_image, *given, part.first_tile, part.tiles, *steps)
            assert made == operand_image(design, "w", w_words, part.tiles)
            if isinstance(job.x, PackedMatrix):
                labels, betas = job.x.planes()
                made = image(library.x_image, pointer(labels), pointer(betas), *job.x.labels.shape, *rows, *steps)
            else:
                made = image(library.int8_image, pointer(job.x.values), k, *rows, *steps)
            assert made == operand_image(design, "x", x_words)


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_raw_rows_are_as_long_as_what_is_read(library):
    library.raw_row_bytes.restype = ctypes.c_uint64
    for steps in range(1, 9):  # segments of two blocks of eight coordinates, 16 bits each
        x = np.ones((1, 16 * (steps // 2)), dtype=np.int64)
        size = library.raw_row_bytes(steps)
        assert size == 32 * (steps // 2) and raw_image(x, 16, steps // 2 * 2, size) == b"\1\0" * (size // 2)


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_columns_are_those_of_golden(library):
    rng, library.c_image.restype = np.random.default_rng(0), ctypes.c_uint64
    fields = {"bias": (np.int32, 2**31), "mantissa": (np.uint16, 2**16), "shift": (np.uint8, 64), "relu": (np.uint8, 2)}
    drawn = {
        name: rng.integers(-most if name == "bias" else 0, most, 9).astype(dtype)
        for name, (dtype, most) in fields.items()
    }
    columns = Columns(**drawn)
    made = image(library.c_image, *(pointer(values) for values in drawn.values()), 9, 2, 3)
    assert made == columns_image(DESIGNS["os"], columns.part(4, 6), 3)


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_rows_are_those_of_golden(library):
    rng, library.r_image.restype = np.random.default_rng(0), ctypes.c_uint64
    mantissa, shift = rng.integers(0, 2**16, 9).astype(np.uint16), rng.integers(0, 64, 9).astype(np.uint8)
    made = image(library.r_image, pointer(mantissa), pointer(shift), 9, 2, 5)
    assert made == rows_image(DESIGNS["os"], Rows(mantissa, shift).part(2, 5))

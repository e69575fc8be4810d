import numpy as np
import pytest

from golden.format import Format
from hw.design import DesignPoint
from sim.benches.inside.labels import random_matrix
from sim.image import activations_image_codes, operand_image, packet, result_bytes, result_rows
from sim.tiles import Job


def words_of(numbers: list[int]) -> np.ndarray:
    size = 4 * -(-max(number.bit_length() for number in numbers) // 32)
    return np.frombuffer(b"".join(number.to_bytes(size, "little") for number in numbers), "<u4").reshape(
        len(numbers), -1
    )


@pytest.mark.parametrize("bus_bits", [32, 64, 512])
@pytest.mark.parametrize("tiles", [1, 3])
def test_planes_are_back_to_back_and_padded_to_the_bus(bus_bits: int, tiles: int) -> None:
    design = DesignPoint(name="x", rows=3, cols=2, panel_rows=6, format=Format(8), bus_bits=bus_bits)
    rng, count = np.random.default_rng(bus_bits), 5
    labels = [int(label) | 1 << 47 for label in rng.integers(0, 1 << 48, tiles * count)]
    betas = [int(beta) for beta in rng.integers(1, 16, tiles * count)]
    payload = {"w_labels": words_of(labels), "w_betas": words_of(betas)}
    expected, place = 0, 0
    for tile in range(tiles):
        for numbers, bits in ((labels, 48), (betas, 4)):
            for i in range(count):
                expected |= numbers[tile * count + i] << (place + i * bits)
            place += -(-count * bits // bus_bits) * bus_bits
    image = operand_image(design, "w", payload, tiles)
    assert len(image) * 8 == place
    assert int.from_bytes(image, "little") == expected


def test_a_packet_has_labels_below_indices() -> None:
    design = DesignPoint(name="x", rows=3, cols=2, panel_rows=6, format=Format(8))
    payload = {"x_labels": words_of([1 << 71, 5]), "x_betas": words_of([63, 2])}
    lines = packet(design, "x", payload)
    assert lines.shape == (2, 10)
    assert int.from_bytes(lines[0].tobytes(), "little") == 63 << 72 | 1 << 71
    assert int.from_bytes(lines[1].tobytes(), "little") == 2 << 72 | 5


def test_results_are_rows_of_words() -> None:
    design = DesignPoint(name="x", rows=3, cols=2, panel_rows=6)
    assert result_bytes(design, 3) == 24
    rows = np.arange(6, dtype=np.uint32).reshape(3, 2)
    np.testing.assert_array_equal(result_rows(design, rows.astype("<u4").tobytes()), rows)


@pytest.mark.parametrize("format", [Format(8), Format(2, (3,)), Format(16)], ids=str)
@pytest.mark.parametrize("dataflow", ["os", "ws"])
def test_codes_come_out_of_an_image_as_they_went_in(dataflow: str, format: Format) -> None:
    both = ("packed", "int8")
    design = DesignPoint(name="x", rows=3, cols=2, panel_rows=6, format=format, dataflow=dataflow, activations=both)
    x = random_matrix(format, 5, 7, np.random.default_rng(1))
    job = Job(design, x, random_matrix(format, 1, 7, np.random.default_rng(2)))
    labels, betas = activations_image_codes(design, operand_image(design, "x", next(job.x_words())), 5, 7)
    np.testing.assert_array_equal(labels, x.labels)
    np.testing.assert_array_equal(betas, x.betas)


@pytest.mark.parametrize("format", [Format(8), Format(2, (3,))], ids=str)
def test_a_tile_of_rows_of_a_square_array_is_a_tile_of_weights(format: Format) -> None:
    design = DesignPoint(name="x", rows=3, cols=3, panel_rows=6, format=format)
    matrix = random_matrix(format, 3, 7, np.random.default_rng(1))
    job = Job(design, matrix, matrix)
    x, w = next(job.x_words()), next(job.w_words())
    assert operand_image(design, "x", x) == operand_image(design, "w", w)

import numpy as np
import pytest

from golden.errors import GossetError
from golden.rivals import ggml
from golden.rivals.ggml import Ggml

needs_gguf = pytest.mark.skipif(not ggml.available(), reason="the gguf package is not installed")

EXPECTED = {
    "Q2_K": (2.625, 11.70),
    "Q3_K": (3.4375, 16.77),
    "Q4_K": (4.5, 22.90),
    "IQ2_XS": (2.3125, 10.88),
    "IQ3_S": (3.4375, 17.70),
    "IQ4_XS": (4.25, 22.50),
}


@needs_gguf
@pytest.mark.parametrize("name", EXPECTED)
def test_sqnr_of_gaussian_data(name):
    """Bits whole; in dB, pinned to twice the sampling error of 8,192 entries. Wrong bytes would read back as noise."""
    bits, sqnr = EXPECTED[name]
    x = np.random.default_rng(0).normal(size=(2, 4096)).astype(np.float32)
    coded = Ggml(name)(x)
    assert coded.bits_per_entry == bits
    assert -10 * np.log10(np.square(x - coded.values).mean() / np.square(x).mean()) == pytest.approx(sqnr, abs=0.15)


@needs_gguf
@pytest.mark.parametrize("name", EXPECTED)
def test_zeros_padding_and_what_can_be_exact(name):
    x = np.zeros((3, 300), dtype=np.float32)
    x[1] = np.random.default_rng(1).choice([-3, -1, 1, 3], 300) * 2.0**-5
    x[2, 7] = -5
    coded = Ggml(name)(x)
    assert coded.values.shape == x.shape and coded.bits_per_entry == EXPECTED[name][0] * 512 / 300
    assert not coded.values[0].any()
    error = np.square(x - coded.values).sum(axis=1)
    assert error[1] < 0.15 * np.square(x[1]).sum() and error[2] < 0.4 * 25  # IQ2_XS has no zeros beside a −5


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(ggml, "available", lambda: False)
    with pytest.raises(GossetError, match="pip install"):
        Ggml("Q4_K")([[1.0]])

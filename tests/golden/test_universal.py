import numpy as np
import pytest

from golden import theory
from golden.errors import GossetError
from golden.fit import fit_betas
from golden.format import Format
from golden.quantize import quantize
from golden.universal import Rotation, Universal, dithered, hadamard


def relative_error(a, b, scheme):
    """E‖C − Ĉ‖²/(‖A‖²·‖B‖²/K)."""
    estimate = scheme.product(scheme.prepare(a), scheme.prepare(b))
    return np.square(a @ b.T - estimate).sum() / (np.square(a).sum() * np.square(b).sum() / a.shape[1])


def gaussians(rows, columns, seed=40):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)), rng.normal(size=(rows, columns))


@pytest.mark.parametrize("columns", [1, 8, 100, 384, 1024])
def test_rotation_is_orthogonal_and_exactly_undone(columns):
    x = np.eye(columns, dtype=np.float32)
    rotation = Rotation(columns, 5)
    y = rotation.forward(x)
    np.testing.assert_allclose(y @ y.T, x, atol=2e-6)
    np.testing.assert_allclose(rotation.inverse(y), x, atol=2e-6)
    assert not np.array_equal(y, Rotation(columns, 6).forward(x)) or columns == 1


def test_hadamard_is_the_sylvester_matrix():
    h = hadamard(np.eye(16, dtype=np.float32)) * 4
    bits = np.array([[bin(i & j).count("1") % 2 for j in range(16)] for i in range(16)])
    np.testing.assert_allclose(h, 1 - 2 * bits, atol=1e-6)


def test_rotation_spreads_a_spike():
    for columns in (1024, 1000):
        x = np.zeros((1, columns), dtype=np.float32)
        x[0, 3] = 1
        assert np.abs(Rotation(columns).forward(x)).max() < 8 / np.sqrt(columns)


def test_means_are_carried():
    """A mean a thousand times the rest is exact with centring, and would drown the rest without."""
    a, b = gaussians(8, 256)
    a, b = a + 1000, b - 1000
    scheme = Universal(Format(16))
    centred = np.square(a @ b.T - scheme.product(scheme.prepare(a), scheme.prepare(b))).mean()
    plain = Universal(Format(16), centre=False)
    assert centred < 1e-3 * np.square(a @ b.T - plain.product(plain.prepare(a), plain.prepare(b))).mean()
    assert scheme.prepare(a).bits_per_entry == pytest.approx(4.25 + 64 / 256)


def test_time_sharing_lies_on_the_line():
    """Distortion is linear in the fraction kept, from 1 at rate 0, to the sampling error of 3 %."""
    a, b = gaussians(96, 2048)
    whole = relative_error(a, b, Universal(Format(4)))
    for fraction in (0.25, 0.5, 0.75):
        expected = 1 - fraction * (1 - whole)
        assert relative_error(a, b, Universal(Format(4), fraction=fraction)) == pytest.approx(expected, rel=0.03)
    half = Universal(Format(4, (1,)), fraction=0.25).prepare(a)
    assert half.bits_per_entry == pytest.approx(0.5 + 64 / 2048)


def test_gaussian_distortion_is_phi_of_the_codes_error():
    a, b = gaussians(128, 1024)
    for q in (4, 16):
        d = np.square(a - quantize(a, Format(q)).dequantize()).mean()
        assert relative_error(a, b, Universal(Format(q))) == pytest.approx(float(theory.phi(d)), rel=0.03)


def test_dither_makes_errors_independent_of_the_data():
    """A constant matrix, the worst case for a lattice: without dither all blocks err alike, with dither they do not."""
    q = 4
    x = np.full((16, 4096), 0.37) * np.sign(np.random.default_rng(41).normal(size=(16, 1)))
    x[:, ::64] = np.linspace(2, 4, 64)  # keeps the scale search from making the constant exact
    d = dithered(x, Format(q), 1)
    plain = quantize(x, Format(q)).dequantize()
    inner = (np.arange(4096) // 8) % 8 != 0
    assert np.abs((plain - x)[:, inner].mean(axis=1)).max() > 3 * np.abs((d - x)[:, inner].mean(axis=1)).max()
    g = gaussians(32, 1024)[0]
    loss = np.square(g - dithered(g, Format(q), 2)).mean() / np.square(g - quantize(g, Format(q)).dequantize()).mean()
    assert 0.95 < loss < 1.2


def test_bad_schemes_and_operands_are_refused():
    for fraction in (0, -1, 1.5):
        with pytest.raises(GossetError, match="fraction"):
            Universal(Format(), fraction=fraction)
    scheme = Universal(Format())
    a, b = scheme.prepare(np.ones((2, 16))), scheme.prepare(np.ones((2, 24)))
    with pytest.raises(GossetError, match="16 and 24"):
        scheme.product(a, b)


def sqnr_db(x, fmt):
    return 10 * np.log10(np.square(x).sum() / np.square(x - quantize(x, fmt).dequantize()).sum())


def test_fitted_sets():
    """On Gaussians no four multipliers beat {3, 4, 5, 7} by more than 0.05 dB; eight gain more than their 1/8 bit."""
    x = gaussians(32, 4096)[0]
    four = sqnr_db(x, Format(16))
    assert abs(sqnr_db(x, Format(16, fit_betas(x, 16, 4).betas)) - four) < 0.1
    assert sqnr_db(x, Format(16, fit_betas(x, 16, 8).betas)) > four + 0.75
    one = fit_betas(x, 16, 1)
    assert one.betas == (1,) and 18 < one.sqnr_db < sqnr_db(x, Format(16, (1,)))  # one scale for all rows
    # Blocks of two sizes, 1 and 5: two multipliers in that ratio are found.
    x = gaussians(32, 1024)[0].reshape(32, -1, 8)
    x = (x / np.linalg.norm(x, axis=2, keepdims=True) * np.where(np.arange(128) % 2, 1, 5)[:, None]).reshape(32, -1)
    low, high = fit_betas(x, 16, 2).betas
    assert 4 < high / low < 6


def test_bad_fits_are_refused():
    with pytest.raises(GossetError, match="1 to 8 values"):
        fit_betas(np.ones((2, 8)), 16, 9)
    with pytest.raises(GossetError, match="zeros"):
        fit_betas(np.zeros((2, 8)), 16)

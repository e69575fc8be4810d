import numpy as np
import pytest

from golden import theory


def test_gamma():
    knee = theory.critical_rate()
    assert knee == pytest.approx(0.906324, abs=1e-6)
    for rate, value in ((0, 1), (0.5, 0.71772), (knee, 0.48830), (1, 0.4375), (2, 0.12109375), (3, 0.031006)):
        assert theory.gamma(rate) == pytest.approx(value, rel=2e-5)


def test_time_sharing_is_the_tangent_at_the_critical_rate():
    """The line from (0, 1) to R* touches φ(2^(−2R)) there and lies below it elsewhere, so Γ is convex."""
    rate = np.linspace(0.01, 4, 400)
    assert (theory.gamma(rate) <= theory.phi(theory.rate_distortion(rate)) + 1e-12).all()
    assert (np.diff(theory.gamma(rate), 2) > -1e-12).all()


def test_guarantee_of_gaussian_matrices_is_gamma():
    """The two terms add up to M·N·K·Γ for iid Gaussians, to the sampling error of a 200 × 200 product, 1 %."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 1000)), rng.normal(size=(200, 1000))
    assert theory.guarantee(a, b, 0.3) == pytest.approx(200 * 200 * 1000 * 0.3, rel=0.01)


def test_guarantee_predicts_shrunk_gaussian_noise():
    rng = np.random.default_rng(1)
    a, b = rng.standard_t(3, (40, 512)), rng.standard_t(3, (40, 512)) * rng.normal(size=(40, 1))
    a, b = (m - m.mean(axis=1, keepdims=True) for m in (a, b))
    d, errors = 0.2, []
    for _ in range(30):
        hats = []
        for m in (a, b):
            power = np.sqrt(np.square(m).mean(axis=1, keepdims=True))
            hats.append((1 - d) * m + np.sqrt(d * (1 - d)) * power * rng.normal(size=m.shape))
        errors.append(np.square(a @ b.T - hats[0] @ hats[1].T).sum())
    assert np.mean(errors) == pytest.approx(theory.guarantee(a, b, float(theory.phi(d))), rel=0.05)


def test_the_lattice():
    assert theory.kissing_number() == 240
    assert theory.covering_radius() == pytest.approx(np.sqrt(2), rel=1e-6)
    moment, error = theory.second_moment()
    assert error < 3e-5
    assert abs(moment - 929 / 12960) < 4 * error

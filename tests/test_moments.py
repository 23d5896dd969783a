"""Moments: the truth is quadrature of the law pushed forward, closed forms by hand, and the moments of samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.linalg import expm

from deeplimit.meanfield import moments, particles

LAW = stats.gamma(2.0)
M0 = np.array([1.0, 2.0, 6.0, 24.0, 120.0, 720.0])  # of the gamma law of shape 2: (k + 1)!
WEIGHTS = [(-1.0, 0.0), (-1.0, 0.7), (0.6, -0.4), (0.0, 0.5), (1e-9, 0.5)]


def pushed(a: float, c: float) -> np.ndarray:
    """∫ (ax + c)^k g₀ dx by quadrature."""
    return np.array([integrate.quad(lambda x, k=k: (a * x + c) ** k * x * np.exp(-x), 0, 80, epsrel=1e-12)[0]
                     for k in range(6)])  # fmt: skip


@pytest.mark.parametrize(("w", "b"), WEIGHTS)
def test_closed_forms_are_integrals_over_the_law(w: float, b: float) -> None:
    """With x(t) = e^{wt}(x + b/w) − b/w, or x + bt, by quadrature; and they solve the triangular system."""
    t = 1.3
    shift = b * t if abs(w) < 1e-6 else b / w * (np.exp(w * t) - 1)
    found = moments.flow(w, b, t, M0)
    assert found == pytest.approx(pushed(np.exp(w * t), shift), rel=1e-8)
    assert moments.integrated(w, b, t, M0) == pytest.approx(found, rel=1e-12)


def test_weights_may_depend_on_time() -> None:
    """w = cos t, b = t: a = e^{sin t}, c = a ∫ e^{−sin s} s ds."""
    t = 1.3
    a = np.exp(np.sin(t))
    c = a * integrate.quad(lambda s: np.exp(-np.sin(s)) * s, 0, t, epsabs=1e-14)[0]
    assert moments.affine(np.cos, lambda s: s, t) == pytest.approx((a, c), rel=1e-12)
    found = moments.integrated(lambda s, m: np.cos(s), lambda s, m: s, t, M0)
    assert found == pytest.approx(moments.flow(np.cos, lambda s: s, t, M0), rel=1e-11)
    assert found == pytest.approx(pushed(a, c), rel=1e-8)


def test_centred_moments_have_a_power_of_the_factor() -> None:
    """μ_k(t) = μ_k(0) e^{kwt} to 1e-12 whatever b is; those of the gamma law are 1, 0, 2, 4, 24, 128."""
    assert moments.centred(M0) == pytest.approx([1, 0, 2, 4, 24, 128], rel=1e-13, abs=1e-13)
    for w, b in WEIGHTS:
        found = moments.centred(moments.flow(w, b, 0.9, M0))
        expected = moments.centred(M0) * np.exp(0.9 * w * np.arange(6))
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_mean_and_variance_solve_their_equations() -> None:
    """m_1 = (m_1(0) + b/w)e^{wt} − b/w and Var = Var(0)e^{2wt}."""
    w, b, t = -0.8, 0.3, 2.0
    m = moments.flow(w, b, t, M0)
    assert m[1] == pytest.approx((2 + b / w) * np.exp(w * t) - b / w, rel=1e-13)
    assert m[2] - m[1] ** 2 == pytest.approx(2 * np.exp(2 * w * t), rel=1e-12)


@pytest.mark.parametrize("w", [-1.0, -0.3])
def test_choices_of_b_that_keep_mean_or_energy(w: float) -> None:
    """b = −w m_1 keeps m_1, b = −w m_2/m_1 keeps m_2 and lifts the mean to √m_2; the variance has e^{2wt} for both."""
    start = M0[:4]
    for t in (0.7, 20.0):
        kept = moments.integrated(w, moments.keeping_mean(w), t, start)
        assert kept[1] == pytest.approx(2, rel=1e-12)
        assert kept[2] - kept[1] ** 2 == pytest.approx(2 * np.exp(2 * w * t), abs=1e-11)
        energy = moments.integrated(w, moments.keeping_energy(w), t, start)
        assert energy[2] == pytest.approx(6, rel=1e-11)
        assert energy[2] - energy[1] ** 2 == pytest.approx(2 * np.exp(2 * w * t), abs=1e-10)
        assert energy[1] == pytest.approx(moments.mean_at_kept_energy(w, t, start), rel=1e-11)
    assert moments.mean_at_kept_energy(-1.0, 30.0, start) == pytest.approx(np.sqrt(6), rel=1e-14)
    assert moments.mean_at_kept_energy(-1.0, 30.0, np.array([1.0, -2.0, 6.0])) == pytest.approx(-np.sqrt(6), rel=1e-14)


def test_layers_have_the_moments_of_their_particles() -> None:
    """The sample's own moments, mapped, are the moments of the sample that the network has moved."""
    x = LAW.rvs(1000, random_state=np.random.default_rng(5))
    raw = lambda sample: np.array([np.mean(sample**k) for k in range(6)])  # noqa: E731
    for w, b in [(-1.0, 0.4), (np.cos, lambda t: t)]:  # type: ignore[list-item]
        moved = particles.network("identity", w, b, 1.1, 6, x)
        assert moments.mapped(raw(x), *moments.layered(w, b, 1.1, 6)) == pytest.approx(raw(moved), rel=1e-12)


@pytest.mark.parametrize("w", [-1.0, 0.5, 1.0])
def test_the_variance_of_layers_falls_short_by_the_predicted_constant(w: float) -> None:
    """Var_L = (1 + wT/L)^{2L} Var(0): −(w²T²/L) Var(0) e^{2wT} to 1 % at L = 1024, twice as well at 2048."""
    T, defects = 1.5, []
    for depth in (1024, 2048):
        a, _ = moments.layered(w, 0.3, T, depth)
        assert a == pytest.approx((1 + w * T / depth) ** depth, rel=1e-12)
        defects.append((a**2 - np.exp(2 * w * T)) * 2 / moments.variance_defect(w, T, depth, 2.0) - 1)
    assert abs(defects[0]) < 0.01
    assert defects[0] / defects[1] == pytest.approx(2, abs=0.05)


def test_covariance_in_the_plane() -> None:
    """A = exp(tw): against the moments of particles moved by it; weights of time become constant in another time."""
    w, b = np.array([[0.4, -0.9], [0.7, -0.3]]), np.array([0.2, -0.5])
    x = np.random.default_rng(2).normal(size=(500, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]]) + 1
    moved = particles.limit("identity", w, b, 1.2, x)
    m, C = moments.mean_and_covariance(w, b, 1.2, x.mean(0), np.cov(x.T))
    np.testing.assert_allclose(m, moved.mean(0), atol=1e-11)
    np.testing.assert_allclose(C, np.cov(moved.T), atol=1e-11)
    m, C = moments.mean_and_covariance(lambda t: w * np.exp(t), lambda t: b * np.exp(t), 1.0, x.mean(0), np.cov(x.T))
    A = expm(np.expm1(1.0) * np.block([[w, b[:, None]], [np.zeros((1, 3))]]))  # in the time e^t − 1 they are constant
    assert m == pytest.approx(A[:2, :2] @ x.mean(0) + A[:2, 2], rel=1e-11)
    np.testing.assert_allclose(C, A[:2, :2] @ np.cov(x.T) @ A[:2, :2].T, rtol=1e-11)


def test_misuse_is_told() -> None:
    """What is wrong, in one sentence."""
    with pytest.raises(ValueError, match="moments must be m_0 = 1, m_1"):
        moments.flow(1.0, 0.0, 1.0, np.array([2.0, 1.0]))
    with pytest.raises(TypeError, match="w must be a number"):
        moments.affine(np.eye(2), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"w and b must have shapes \(2, 2\) and \(2,\)"):
        moments.mean_and_covariance(np.eye(3), np.zeros(2), 1.0, np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match=r"mean and covariance must have shapes"):
        moments.mean_and_covariance(np.eye(2), np.zeros(2), 1.0, np.zeros(2), np.eye(3))
    with pytest.raises(ArithmeticError, match="did not reach"):
        moments.integrated(lambda t, m: m[1], 0.0, 1.0, M0)
    with pytest.raises(ValueError, match=r"keeps the energy for m_1 ≠ 0 alone, got m_1 = 0"):
        moments.integrated(-1.0, moments.keeping_energy(-1.0), 3.0, np.array([1, 0.0, 1.0]))
    with pytest.raises(ArithmeticError, match="rates of change at time 0 must be finite"):
        moments.integrated(-1.0, lambda t, m: math.inf, 3.0, M0)

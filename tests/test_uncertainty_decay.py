"""Predicted decay of polynomial chaos against the coefficients of the closed-form flow."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from deeplimit.meanfield import flows
from deeplimit.uncertainty import collocation, decay
from deeplimit.uncertainty.bases import Basis

# w, T, z̄, δ, the published-to-ourselves ρ, pairs of singularities that are told apart, relative tolerance
CASES = [
    (1, 1, 0.0, 0.5, 2.0055, 1, 0.01),
    (1, 1, 0.0, 1.0, 1.4453, 1, 0.01),
    (2, 1, 0.3, 1.0, 1.1522, 1, 0.01),
    (1, 2, 0.5, 0.3, 3.198, 1, 0.05),
    (-1, 1, 0.2, 1.5, 2.940, 2, 0.05),
]


def coefficients(w: float, time: float, mean: float, spread: float, germ: str = "uniform") -> np.ndarray:
    """Of z(T) = w x(T), x from the closed form; as many as are above rounding for a uniform germ."""
    if germ == "gaussian":
        basis, nodes = Basis(63, germ), 128
    else:
        rho = decay.radius(w * time, mean, spread)
        degree = math.ceil(math.log(1e13) / math.log(rho))
        basis, nodes = Basis(degree), 2 * degree + 40
    found = collocation.project(
        basis, lambda xi: w * flows.flow("tanh", w, 0, time, (mean + spread * xi[:, 0]) / w), nodes
    )
    return found.coefficients


@pytest.mark.parametrize(("w", "time", "mean", "spread", "rho", "pairs", "tolerance"), CASES)
def test_the_predicted_radius_is_the_observed_one(
    w: float, time: float, mean: float, spread: float, rho: float, pairs: int, tolerance: float
) -> None:
    """With the power k^{−3/2} of a square root fixed, radius and angle are fitted without the prediction."""
    predicted = decay.radius(w * time, mean, spread)
    assert predicted == pytest.approx(rho, abs=5e-4)
    fit = decay.fit(coefficients(w, time, mean, spread), pairs)
    assert fit.radii[0] == pytest.approx(predicted, rel=tolerance)
    assert fit.angles[0] == pytest.approx(cmath.phase(decay.nearest(w * time, mean, spread)), abs=0.01)
    ellipses = decay.ellipses(decay.singularities(w * time, mean, spread))
    if pairs == 2:
        assert fit.radii[1] == pytest.approx(np.sort(np.abs(ellipses))[2], rel=tolerance)


def test_every_singularity_is_a_branch_point_of_the_flow() -> None:
    """e^{wT} sinh(z̄ + δξ*) = ±i, on both sides of the real axis; none lies in [−1, 1]."""
    for w, time, mean, spread, *_ in CASES:
        xi = decay.singularities(w * time, mean, spread)
        values = math.exp(w * time) * np.sinh(mean + spread * xi)
        assert np.abs(values**2 + 1).max() < 1e-10
        assert (np.abs(decay.ellipses(xi)) > 1).all()
        inner = xi[np.abs(spread * xi.imag) < 3 * math.pi]
        assert len(np.unique(np.round(inner, 9))) == len(inner) >= 10
        assert np.abs(inner[:, None] - xi.conj()).min(1).max() < 1e-12  # real on the axis


def test_no_branch_point_is_missed() -> None:
    """Newton's method on e^{wT} sinh z = ±i from a grid of starts finds none with a smaller ellipse."""
    for w, time, mean, spread, *_ in CASES:
        growth, z = math.exp(w * time), np.add.outer(np.linspace(-4, 4, 41), 1j * np.linspace(-6, 6, 61)).ravel()
        for target in (1j, -1j):
            roots = z.copy()
            with np.errstate(all="ignore"):
                for _ in range(60):
                    roots = roots - (growth * np.sinh(roots) - target) / (growth * np.cosh(roots))
            roots = roots[np.abs(growth * np.sinh(roots) - target) < 1e-9]
            assert len(roots) > 100
            rho = np.abs(decay.ellipses((roots - mean) / spread)).min()
            assert rho >= decay.radius(w * time, mean, spread) * (1 - 1e-6)


def test_expanding_networks_lose_their_radius_as_time_grows() -> None:
    """For z̄ = 0 the singularity is ± i arcsin(e^{−wT})/δ: ρ = s + √(1 + s²), s = arcsin(e^{−wT})/δ, → 1 + e^{−wT}/δ."""
    for growth in (0.5, 1.0, 3.0, 6.0):
        s = math.asin(math.exp(-growth)) / 0.7
        assert decay.radius(growth, 0.0, 0.7) == pytest.approx(s + math.sqrt(1 + s**2), rel=1e-12)
    assert decay.radius(8.0, 0.0, 0.7) - 1 == pytest.approx(math.exp(-8) / 0.7, rel=1e-3)


@pytest.mark.parametrize(("rho", "theta"), [(1.3, 0.7), (2.0, math.pi / 2), (1.6, 2.9)])
def test_a_fit_finds_the_radius_it_was_given(rho: float, theta: float) -> None:
    """Coefficients k^{−3/2} ρ^{−k} cos(kθ + 1) made up here; and two pairs of them."""
    k = np.arange(1, 80)
    wave = np.concatenate([[1.0], k**-1.5 * rho**-k * np.cos(k * theta + 1)])
    fit = decay.fit(wave)
    assert fit.radii[0] == pytest.approx(rho, rel=1e-6) and fit.angles[0] == pytest.approx(theta, abs=1e-6)
    second = np.concatenate([[0.0], 0.7 * k**-1.5 * (1.2 * rho) ** -k * np.cos(k * 1.1)])
    both = decay.fit(wave + second, 2)
    assert both.radii == pytest.approx((rho, 1.2 * rho), rel=1e-5)


def test_a_wrong_power_is_seen() -> None:
    """A simple pole, k^{−1/2}, fitted as a square root gives another radius than its own."""
    k = np.arange(1, 60)
    pole = np.concatenate([[1.0], k**-0.5 * 1.5**-k * np.cos(k)])
    assert abs(decay.fit(pole).radii[0] / 1.5 - 1) > 0.01
    assert decay.fit(pole, power=0.5).radii[0] == pytest.approx(1.5, rel=1e-6)


def kinked(growth: float, mean: float, spread: float, degree: int) -> np.ndarray:
    """Coefficients of the relu flow, exact: Gauss's rule on either side of the kink."""
    kink, phi = -mean / spread, Basis(degree)
    points, weights = np.polynomial.legendre.leggauss(degree // 2 + 4)
    total = np.zeros(degree + 1)
    for a, b in ((-1, kink), (kink, 1)):
        xi = (a + b) / 2 + (b - a) / 2 * points
        z = flows.flow("relu", 1.0, 0.0, growth, mean + spread * xi)
        total += (b - a) / 4 * (weights * z) @ phi.at(xi[:, None])
    return total


@pytest.mark.parametrize(("growth", "mean", "spread"), [(1.0, 0.0, 1.0), (1.0, 0.3, 0.8), (-1.5, -0.2, 0.5)])
def test_a_kink_costs_spectral_convergence_at_the_predicted_constant(growth: float, mean: float, spread: float) -> None:
    """√(Σ_{k > K} ẑ_k²) K^{3/2} → |J| (1 − ξ_0²)^{3/4}/√(6π), on average over K where it oscillates."""
    found = kinked(growth, mean, spread, 2000)
    K = np.arange(200, 400)
    tail = np.cumsum(found[::-1] ** 2)[::-1]
    # what lies beyond degree 2000 is a thousandth of the tail at 200
    scaled = np.sqrt(tail[K + 1]) * (K + 1.0) ** 1.5
    assert scaled.mean() == pytest.approx(decay.kink_constant(growth, mean, spread), rel=0.01)


def test_the_constant_of_a_kink_does_not_overflow_before_it_has_to() -> None:
    """δ(e^{wT} − 1)/√(6π) in logarithms, for e^{wT} beyond the largest double as well; then ∞, and −δ for wT → −∞."""
    for growth, spread in ((800.0, 1e-60), (-800.0, 0.5), (1e-9, 1.0), (30.0, 0.1)):
        logs = math.log(spread) - math.log(6 * math.pi) / 2
        logs += growth + math.log(-math.expm1(-growth)) if growth > 0 else math.log(-math.expm1(growth))
        assert decay.kink_constant(growth, 0.0, spread) == pytest.approx(math.exp(logs), rel=1e-12)
    assert decay.kink_constant(800.0, 0.0, 1.0) == decay.kink_constant(5000.0, 0.1, 1.0) == math.inf


def test_a_kink_outside_the_support_costs_nothing() -> None:
    """z is linear in ξ."""
    assert decay.kink_constant(1.0, 2.0, 1.0) == 0
    found = collocation.project(Basis(6), lambda xi: flows.flow("relu", 1.0, 0.0, 1.0, 2 + xi[:, 0]))
    assert np.abs(found.coefficients[2:]).max() < 1e-14


@pytest.mark.parametrize(("growth", "mean", "spread"), [(1.0, 0.0, 0.5), (0.5, 0.0, 0.5), (0.5, 0.0, 0.4)])
def test_hermite_coefficients_fall_root_exponentially(growth: float, mean: float, spread: float) -> None:
    """|ẑ_k| ~ k^{−1} e^{−c√k}, c the distance of the singularities from the real axis."""
    found = np.abs(coefficients(1.0, growth, mean, spread, "gaussian"))
    k = np.flatnonzero(found > 1e-12)[3:]  # odd ones: the flow is odd
    slope = -np.polyfit(np.sqrt(k), np.log(found[k] * k), 1)[0]
    assert slope == pytest.approx(decay.strip(growth, mean, spread), rel=0.05)


def test_bad_input_is_one_sentence() -> None:
    """Too few coefficients for a fit, and a spread of zero."""
    with pytest.raises(ValueError, match="needs 16 coefficients above rounding, got 8; take a larger degree"):
        decay.fit(2.0 ** -np.arange(10.0), 2)
    with pytest.raises(ValueError, match="spread must be positive, got 0"):
        decay.radius(1, 0, 0)
    with pytest.raises(ValueError, match="mean must be finite"):
        decay.kink_constant(1, math.inf, 1)


@pytest.mark.parametrize("growth", [-99.0, -101.0, -800.0, 800.0])
def test_radii_of_extreme_growth_are_finite(growth: float) -> None:
    """wT → −∞: sinh z = ±i e^{−wT} at z = log 2 − wT + iπ/2, and ρ ≈ 2|ξ*|; wT → ∞: ±i e^{−wT} is at the real axis."""
    found = decay.radius(growth, 0.1, 1.0)
    z = abs(complex(math.log(2) + abs(growth) - 0.1, math.pi / 2))
    assert found == pytest.approx(2 * z if growth < 0 else 1.0, rel=1e-3)

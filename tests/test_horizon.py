"""The closed forms on [0, T] against published numbers, brute force and minimisation over all layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from deeplimit import horizon

ALPHA, TAU = 0.5, 1.0


def l2_error(time: float) -> float:
    """(e^A − 2)² at the best A of (e^A − 2)² + ½ A²/T, by brute force."""
    best = minimize_scalar(
        lambda A: (math.exp(A) - 2) ** 2 + A**2 / (2 * time), bounds=(0, 1), method="bounded", options={"xatol": 1e-13}
    )
    return (math.exp(best.x) - 2) ** 2


def test_the_published_numbers_are_those_of_one_equation() -> None:
    """T² · error = .0274, .0294, .0299, .0300 for x = 1, y = 2, α = ½, by the root and by minimisation."""
    found = [T**2 * horizon.training_error("K", ALPHA / T) for T in (1, 4, 16, 64)]
    assert np.round(found, 4).tolist() == [0.0274, 0.0294, 0.0299, 0.03]
    assert found == pytest.approx([T**2 * l2_error(T) for T in (1, 4, 16, 64)], rel=1e-5)


def test_the_constant_of_long_times_is_a_quarter_of_the_squared_slope() -> None:
    """T² · error → (α log 2 / 2)², as R*(y) = log² y has the slope log 2 at y = 2."""
    T = 1e5
    assert T**2 * horizon.training_error("K", ALPHA / T) == pytest.approx((0.25 * math.log(2)) ** 2, rel=1e-4)


@pytest.mark.parametrize("time", [1.0, 3.0])
@pytest.mark.parametrize(("regulariser", "trained"), [("H¹", "b"), ("L²", "K")])
def test_closed_forms_are_minima_over_all_layers(regulariser: str, trained: str, time: float) -> None:
    """SciPy's minimiser on the plain definition on [0, T], six layers of step T/n: no package, no scaling."""
    n = 6

    def objective(theta: np.ndarray) -> float:
        X = 1.0
        for weight in theta:
            X += time / n * (weight * X if trained == "K" else weight)
        if regulariser == "L²":
            return (X - 2) ** 2 + ALPHA * time / n * float(theta @ theta)
        return (X - 2) ** 2 + ALPHA * (n / time * float(np.sum(np.diff(theta) ** 2)) + TAU * theta[0] ** 2)

    best = minimize(objective, np.full(n, 0.5), method="BFGS", options={"gtol": 1e-9}).x
    end = np.prod(1 + time / n * best) if trained == "K" else 1 + time * best.mean()
    penalty = ALPHA / time if regulariser == "L²" else horizon.h1_penalty(ALPHA, TAU, time, n)
    assert horizon.training_error(trained, penalty, n) == pytest.approx((end - 2) ** 2, rel=1e-5)


def test_closed_forms_tend_to_those_of_the_limit() -> None:
    """g(A) → e^A and c_n → c_∞ at order 1."""
    at, limit = (horizon.training_error("K", horizon.h1_penalty(ALPHA, TAU, 2.0, n), n) for n in (1e6, math.inf))
    assert at == pytest.approx(limit, rel=1e-5)


def test_the_h1_profile_has_the_least_cost_for_its_mean() -> None:
    """∫|u'|² + τT|u(0)|² over (∫u)² is 1/c_∞: no random change of the profile makes it smaller."""
    n, tau, time = 2000, 0.7, 3.0

    def cost(u: np.ndarray) -> float:
        return float((n * np.sum(np.diff(u) ** 2) + tau * time * u[0] ** 2) / u.mean() ** 2)

    profile, t = horizon.h1_profile(tau, time, n), np.arange(n) / n
    assert cost(profile) == pytest.approx(1 / (1 / (tau * time) + 1 / 3), rel=2e-3)
    assert all(cost(profile + 0.3 * np.cos(k * t)) > cost(profile) for k in range(5))


def test_interpolants_reach_their_target() -> None:
    """For a bias and equal layers θ = shift/T; one weight gives n (2^(1/n) − 1)/T; tanh is too weak for T = ½."""
    x, shift, ones = np.array([[1.0, 0.0], [-0.5, 0.8]]), np.array([0.6, 0.9]), np.ones(5)
    bias = horizon.interpolant("b", x, shift, profile=ones, time=4.0, activation="relu")
    assert bias == pytest.approx(np.tile(shift / 4, (5, 1)), rel=1e-12)
    one = np.ones((1, 1))
    weight = horizon.interpolant("K", one, one[0], profile=ones, time=4.0, activation="identity")
    assert weight == pytest.approx(np.full((5, 1), 5 * (2**0.2 - 1) / 4), rel=1e-12)
    assert horizon.interpolant("b", one, one[0], profile=ones, time=0.5, activation="tanh") is None


def test_other_blocks_and_penalties_are_refused() -> None:
    """Only K or b has a closed form, and A runs away without a penalty."""
    with pytest.raises(ValueError, match="trained must be K or b"):
        horizon.training_error("W", 1.0)
    with pytest.raises(ValueError, match="penalty"):
        horizon.training_error("K", 0.0)
    with pytest.raises(ValueError, match="depth"):
        horizon.h1_profile(1.0, 1.0, 0)

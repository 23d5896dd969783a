"""Flows of one signal: the truth is SciPy's integrator on σ as NumPy writes it, and mpmath where it cannot go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from scipy import integrate, stats

from deeplimit import activation
from deeplimit.meanfield import flows

SIGMA: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: np.maximum(z, 0),
    "gcu": lambda z: z * np.cos(z),
    "arctan": np.arctan,
}
CLOSED = ["identity", "tanh", "sigmoid", "relu"]
WEIGHTS = [(-3.0, 0.0), (-1.0, 0.5), (-1e-3, 2.0), (0.0, -0.7), (1e-9, 0.3), (0.5, -4.0), (2.0, 1.0)]
X = np.linspace(-5, 5, 41)
TIME = 1.5


def integrated(name: str, w: Any, b: Any, t: float, x: np.ndarray) -> np.ndarray:
    """Each point by itself."""
    at: Callable[[Any, float], float] = lambda v, s: v(s) if callable(v) else v  # noqa: E731
    ends = []
    for start in x:
        solution = integrate.solve_ivp(
            lambda s, y: SIGMA[name](at(w, s) * y + at(b, s)), (0, t), [start], method="DOP853", rtol=1e-13, atol=1e-14
        )
        ends.append(solution.y[0, -1])
    return np.array(ends)


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Largest, relative to max(1, |x|)."""
    return float(np.max(np.abs(found - truth) / np.maximum(1, np.abs(truth))))


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize(("w", "b"), WEIGHTS)
def test_closed_forms_are_what_an_integrator_finds(name: str, w: float, b: float) -> None:
    """The formula solves x' = σ(wx + b): to 1e-11, all the integrator promises."""
    assert error(flows.flow(name, w, b, TIME, X), integrated(name, w, b, TIME, X)) < 1e-11


@pytest.mark.parametrize("name", ["gcu", "arctan"])
@pytest.mark.parametrize(("w", "b"), [(-1.0, 0.5), (1.5, -1.0)])
def test_others_are_integrated(name: str, w: float, b: float) -> None:
    """No closed form is known; points integrated together are those integrated one by one."""
    assert error(flows.flow(name, w, b, TIME, X), integrated(name, w, b, TIME, X)) < 1e-11


def test_intervals_between_zeros_of_the_growing_cosine_unit_are_kept() -> None:
    """z = 0, ±π/2, ±3π/2 are at rest, so that no signal passes one; with w > 0 all of (0, 3π/2) tends to π/2."""
    zeros = np.array([-1.5, -0.5, 0.0, 0.5, 1.5]) * np.pi
    assert error(flows.flow("gcu", 1.0, 0.0, 3.0, zeros), zeros) < 1e-11
    between = np.linspace(0.1, 4.6, 300)
    moved = flows.flow("gcu", 1.0, 0.0, 20.0, between)
    assert error(moved, np.full(300, np.pi / 2)) < 1e-8


def test_weights_may_depend_on_time() -> None:
    """w = cos t, b = t: x(t) = e^{sin t}(x + ∫₀ᵗ e^{−sin s} s ds), by quadrature; and the inverse undoes it."""
    integral = integrate.quad(lambda s: np.exp(-np.sin(s)) * s, 0, TIME, epsabs=1e-14)[0]
    found = flows.flow("identity", np.cos, lambda t: t, TIME, X)
    assert error(found, np.exp(np.sin(TIME)) * (X + integral)) < 1e-12
    assert error(flows.inverse("identity", np.cos, lambda t: t, TIME, found), X) < 1e-12
    assert error(flows.jacobian("identity", np.cos, lambda t: t, TIME, X), np.full(41, np.exp(np.sin(TIME)))) < 1e-12
    assert error(flows.flow("tanh", np.cos, 1.0, TIME, X), integrated("tanh", np.cos, 1.0, TIME, X)) < 1e-11


def test_weights_may_be_arrays() -> None:
    """A weight for each signal: every entry is the flow with its own weight, zero among them."""
    w, b = np.linspace(-2, 2, 5)[:, None], np.linspace(-1, 1, 3)
    for name in [*CLOSED, "gcu"]:
        found = flows.flow(name, w, b, 1.0, 0.7)
        assert found.shape == (5, 3)
        one_by_one = [[float(flows.flow(name, wi, bi, 1.0, 0.7)) for bi in b] for wi in w[:, 0]]
        assert error(found, np.array(one_by_one)) < 1e-12


def precise(name: str, s: float, z0: float) -> Any:
    """z(t) with hundreds of digits; sigmoid by bisection on its implicit form."""
    with mpmath.workdps(950):
        e, z = mpmath.exp(s), mpmath.mpf(z0)
        if name == "tanh":
            return mpmath.asinh(e * mpmath.sinh(z))
        if name != "sigmoid":
            return e * z if name == "identity" or z > 0 else z
        c = mpmath.mpf(s) + z - mpmath.exp(-z)
        low, high = mpmath.mpf(-1200), mpmath.mpf(5000)
        for _ in range(140):
            middle = (low + high) / 2
            low, high = (middle, high) if middle - mpmath.exp(-middle) < c else (low, middle)
        return low


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("s", [-900.0, -400.0, -30.0, -1e-8, 1e-8, 30.0, 400.0, 900.0])
def test_extremes_are_safe(name: str, s: float) -> None:
    """For |wt| and |z₀| up to 900 and down to 1e-8 nothing overflows that need not, and no digit is lost."""
    for z0 in (-900.0, -100.0, -1.0, -1e-8, 0.0, 1e-8, 1.0, 100.0, 900.0):
        truth = precise(name, s, z0)
        found = float(flows.flow(name, 1.0, 0.0, s, z0))
        if abs(truth) > 1e308:
            assert found == np.inf * np.sign(z0)
        else:
            assert abs(mpmath.mpf(found) - truth) <= 4e-16 * max(abs(truth), 4 * abs(z0), 1e-290), (z0, found)


@pytest.mark.parametrize("name", CLOSED)
def test_small_weights_are_safe(name: str) -> None:
    """w = 1e-12 is w = 0 but for w t² σσ'/2: the formula in z alone would lose twelve digits."""
    for b in (-3.0, 0.4, 30.0):
        straight = X + TIME * SIGMA[name](b)
        assert error(flows.flow(name, 1e-12, b, TIME, X), straight) < 2e-11
        assert error(flows.flow(name, 0.0, b, TIME, X), straight) < 1e-15


@pytest.mark.parametrize("name", ["identity", "tanh"])
def test_the_decay_to_the_steady_state_keeps_its_digits(name: str) -> None:
    """b = 0, w < 0: x(t) ~ e^{wt} to 1e-13 of itself, 30 decades below where it started."""
    for start in (1e-3, 1.0, 5.0):
        truth = precise(name, -70.0, start)
        assert float(flows.flow(name, -1.0, 0.0, 70.0, start)) == pytest.approx(-float(precise(name, -70.0, -start)))
        assert float(flows.flow(name, -1.0, 0.0, 70.0, start)) == pytest.approx(float(truth), rel=1e-13)


@pytest.mark.parametrize("name", [*CLOSED, "gcu"])
@pytest.mark.parametrize(("w", "b"), [(-1.0, 0.5), (0.0, 1.0), (1.5, -1.0)])
def test_the_inverse_undoes_the_flow(name: str, w: float, b: float) -> None:
    """Both ways; what an expanding map amplifies is allowed for."""
    there = flows.flow(name, w, b, 1.0, X)
    assert error(flows.inverse(name, w, b, 1.0, there), X) < 1e-12 * max(
        1, 1 / flows.jacobian(name, w, b, 1.0, X).min()
    )
    back = flows.inverse(name, w, b, 1.0, X)
    assert error(flows.flow(name, w, b, 1.0, back), X) < 1e-12 * max(1, flows.jacobian(name, w, b, 1.0, back).max())


@pytest.mark.parametrize("name", [*CLOSED, "gcu"])
@pytest.mark.parametrize(("w", "b"), [(-1.0, 0.53), (0.0, 1.0), (1.5, -1.03)])
def test_the_jacobian_is_the_derivative_of_the_flow(name: str, w: float, b: float) -> None:
    """Against a difference quotient of order 4, away from the kink of relu."""
    h, at = 2e-4, lambda x: flows.flow(name, w, b, 1.0, x)
    quotient = (8 * (at(X + h) - at(X - h)) - at(X + 2 * h) + at(X - 2 * h)) / (12 * h)
    assert flows.jacobian(name, w, b, 1.0, X) == pytest.approx(quotient, rel=1e-7, abs=1e-9)


def test_the_jacobian_is_safe_in_extremes() -> None:
    """e^s at the fixed point z = 0 of tanh, 1 far from it, and never NaN."""
    for s in (-600.0, 600.0):
        assert float(flows.jacobian("tanh", 1.0, 0.0, s, 0.0)) == pytest.approx(np.exp(s), rel=1e-12)
        assert float(flows.jacobian("tanh", 1.0, 0.0, s, 900.0)) == pytest.approx(1, abs=1e-12)
        for name in CLOSED:
            assert np.isfinite(flows.jacobian(name, 1.0, 0.0, s, np.linspace(-900, 900, 19))).all()


@pytest.mark.parametrize("name", [*CLOSED, "gcu"])
def test_the_density_pushed_forward_has_the_mass_of_its_cdf(name: str) -> None:
    """∫ g(t) over an interval is the difference of F(t), by adaptive quadrature: a Jacobian upside down is seen."""
    law, w, b = stats.norm(0.4, 0.8), -0.9, 0.35
    g, F = flows.density(name, w, b, 1.2, law.pdf), flows.cdf(name, w, b, 1.2, law.cdf)
    kink = -b / w
    for low, high in ((-1.0, kink), (kink, 1.5)):
        mass = integrate.quad(lambda x: float(g(np.array(x))), low, high, epsabs=1e-11, limit=200)[0]
        assert mass == pytest.approx(float(F(np.array(high)) - F(np.array(low))), abs=1e-9)


@pytest.mark.parametrize("name", [*CLOSED, "gcu"])
def test_quantiles_and_cdf_are_inverse(name: str) -> None:
    """F(t, Q(t, u)) = u."""
    law, u = stats.norm(0.4, 0.8), np.linspace(0.01, 0.99, 33)
    Q, F = (flows.quantile(name, 1.1, -0.2, 0.8, law.ppf), flows.cdf(name, 1.1, -0.2, 0.8, law.cdf))
    assert F(Q(u)) == pytest.approx(u, abs=1e-12)


def test_another_function_under_a_known_name_is_integrated() -> None:
    """An Activation of one's own named "tanh" does not get the formula of tanh."""
    own = activation.get("arctan")
    renamed = activation.Activation(
        "tanh", own.value, own.first, own.second, lipschitz=1, lipschitz_derivative=1, smooth=True, odd=True,
        zero_at_zero=True,
    )  # fmt: skip
    assert error(flows.flow(renamed, 1.0, 0.0, 1.0, X), integrated("arctan", 1.0, 0.0, 1.0, X)) < 1e-11


def test_misuse_is_told() -> None:
    """What is wrong, in one sentence."""
    with pytest.raises(ValueError, match="activation must be one of"):
        flows.flow("cosine", 1.0, 0.0, 1.0, X)
    with pytest.raises(ValueError, match="w must be finite"):
        flows.flow("tanh", np.nan, 0.0, 1.0, X)
    with pytest.raises(TypeError, match="t must be a number"):
        flows.inverse("tanh", 1.0, 0.0, "late", X)
    with pytest.raises(TypeError, match="x must be a number or an array"):
        flows.flow("tanh", 1.0, 0.0, 1.0, "here")
    with pytest.raises(ArithmeticError, match="did not reach"):
        flows.flow("identity", lambda t: 1 / (1 - t) ** 2, 0.0, 2.0, 1.0)


@pytest.mark.parametrize(("pushed", "method"), [("density", "pdf"), ("cdf", "cdf"), ("quantile", "ppf")])
def test_a_distribution_is_no_function(pushed: str, method: str) -> None:
    """The sentence comes at once and names what to give, for frozen distributions and their families."""
    for law in (stats.norm(0, 2), stats.norm):
        with pytest.raises(TypeError, match=f"{pushed}0 must be a function of an array, got .*: .* give its {method}"):
            getattr(flows, pushed)("tanh", 1.0, 0.0, 1.0, law)

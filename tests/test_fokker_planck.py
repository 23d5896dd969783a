"""The scheme keeps mass, sign, order of entropy and law at rest, and tends to the equation at its orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.linalg import expm

from deeplimit.meanfield import steady_laws
from deeplimit.meanfield.diffusion import Diffusion
from deeplimit.meanfield.fokker_planck import ChangCooper

CASES = {
    "gaussian": (Diffusion("identity", -0.8, 0.3, 0.9), -8, 8),
    "cosh_power": (Diffusion("tanh", -1.0, 0.25, 0.9), -14, 14),
    "inverse_gamma": (Diffusion("identity", -2.2, 3.3, 0.9, "linear"), 0, 20),
    "gamma": (Diffusion("identity", -1.0, 2.0, 0.9, "root"), 0, 20),
    "beta": (Diffusion("identity", -2.8, 1.1, 0.9, "jacobi"), 0, 1),
}
TANH = Diffusion("tanh", -2.0, 0.5, 0.8)
OU = Diffusion("identity", -1.0, 0.5, 0.8)


def normalised(scheme: ChangCooper, law: Any) -> np.ndarray:
    """A law of scipy.stats at the centres, with mass 1 on the grid."""
    values = law.pdf(scheme.centres)
    return np.asarray(values / values.sum() / scheme.width)


def l1(scheme: ChangCooper, a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).sum() * scheme.width)


@pytest.mark.parametrize("name", CASES)
def test_laws_at_rest_are_kept_exactly(name: str) -> None:
    """Where ∫B/C is known, scipy's density is the scheme's law at rest, to 1e-12, and A g vanishes to 1e-13."""
    d, low, high = CASES[name]
    scheme, law = ChangCooper(d, low, high, 300, exact=True), steady_laws.steady_law(d)
    known = normalised(scheme, law)
    assert l1(scheme, scheme.steady(), known) < 1e-12
    assert scheme.residual(scheme.steady()) < 1e-13
    assert l1(scheme, scheme.evolve(known, 5.0, 7)[-1], known) < 1e-11


@pytest.mark.parametrize("name", CASES)
def test_laws_at_rest_converge_at_second_order(name: str) -> None:
    """With B/C at the edge λ has an error of third order; a linear B/C, the Gaussian's, has none at all."""
    d, low, high = CASES[name]
    law, errors = steady_laws.steady_law(d), []
    for cells in (200, 400, 800):
        scheme = ChangCooper(d, low, high, cells)
        assert scheme.residual(scheme.steady()) < 1e-13
        errors.append(l1(scheme, scheme.steady(), normalised(scheme, law)))
    if name == "gaussian":
        assert max(errors) < 1e-12
    else:
        assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)
        assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.05)
        assert errors[-1] < 2e-3


@pytest.mark.parametrize(("name", "low", "high"), [("relu", -2.0, 2.0), ("gcu", -6.0, 6.0), ("sigmoid", -3.0, 1.0)])
def test_reflecting_ends_give_every_activation_a_law_at_rest(name: str, low: float, high: float) -> None:
    """exp((2/ν²) ∫σ(wx + b) dx), the integral by adaptive quadrature."""
    d = Diffusion(name, 1.2 if name == "gcu" else -1.2, 0.3, 0.9)
    scheme = ChangCooper(d, low, high, 60, exact=True)
    integrals = [quad(lambda x: float(d.drift(x)), low, x, epsabs=1e-10, limit=200)[0] for x in scheme.centres]
    logs = 2 / 0.81 * np.array(integrals)
    known = np.exp(logs - logs.max())
    assert l1(scheme, scheme.steady(), known / known.sum() / scheme.width) < 1e-8


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_matrix_is_that_of_a_markov_chain(name: str, exact: bool) -> None:
    """Columns add up to 0, nothing off the diagonal is negative: mass and sign for every step."""
    d, low, high = CASES[name]
    scheme = ChangCooper(d, low, high, 50, exact)
    above, on, below = scheme.generator
    assert (above >= 0).all() and (below >= 0).all()
    columns = above + on + below
    assert np.max(np.abs(columns) / np.abs(on)) < 1e-15
    spike = scheme.density(lambda x: np.arange(50) == 20)
    for time in (1e-6, 1.0, 1e3):
        g = scheme.evolve(spike, time, 2)[-1]
        assert (g >= 0).all() and g.sum() * scheme.width == pytest.approx(1, rel=1e-9)


def test_the_transient_is_that_of_ornstein_and_uhlenbeck() -> None:
    """Gaussians stay Gaussian, m' = wm + b, V' = 2wV + ν²; second order in Δx with Δt ~ Δx²."""
    mean = 2 * math.exp(-1) + 0.5 * (1 - math.exp(-1))
    deviation = math.sqrt(0.09 * math.exp(-2) + 0.64 * (1 - math.exp(-2)) / 2)
    errors = []
    for cells, steps in ((100, 25), (200, 100), (400, 400)):
        scheme = ChangCooper(OU, -4, 5, cells)
        g = scheme.evolve(scheme.density(stats.norm(2, 0.3).pdf), 1.0, steps)[-1]
        errors.append(l1(scheme, g, stats.norm(mean, deviation).pdf(scheme.centres)))
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.05)
    assert errors[-1] < 2.5e-3


def test_implicit_euler_is_of_first_order_in_time() -> None:
    """Against the exponential of the matrix, written out from the bands."""
    scheme = ChangCooper(TANH, -4, 4, 60)
    above, on, below = scheme.generator
    matrix = np.diag(on) + np.diag(above[1:], 1) + np.diag(below[:-1], -1)
    start = scheme.density(stats.norm(1.5, 0.4).pdf)
    exact = expm(matrix * 0.7) @ start
    errors = [l1(scheme, scheme.evolve(start, 0.7, steps)[-1], exact) for steps in (200, 400, 800)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.02)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.01)
    assert scheme.change(start) == pytest.approx(matrix @ start, abs=1e-11)


def test_the_relative_entropy_of_shifted_gaussians_falls_as_twice_the_rate() -> None:
    """Equal variances: H = (m − m_∞)²/2V, m − m_∞ ~ e^(−|w|t), so H ~ e^(−2|w|t); extrapolated in the time step."""
    scheme = ChangCooper(OU, -4, 5, 400)
    start, rest = scheme.density(stats.norm(1.7, math.sqrt(0.32)).pdf), scheme.steady()
    slopes = []
    for steps in (200, 400):
        g = scheme.evolve(start, 2.0, steps, keep=10)
        entropy = np.array([scheme.relative_entropy(row, rest) for row in g])
        assert (np.diff(entropy) < 0).all()
        slopes.append(np.log(entropy[-1] / entropy[0]) / 2.0)
    assert entropy[0] == pytest.approx(1.2**2 / 2 / 0.32, rel=1e-3)
    assert 2 * slopes[1] - slopes[0] == pytest.approx(-2, abs=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_the_relative_entropy_never_grows(name: str) -> None:
    """It falls along every Markov chain; from a law far from rest, with steps of any length."""
    d, low, high = CASES[name]
    scheme = ChangCooper(d, low, high, 100)
    rest, start = scheme.steady(), scheme.density(lambda x: (x > x[30]) & (x < x[50]))
    g = scheme.evolve(start, 3.0, 60, keep=60)
    entropy = [scheme.relative_entropy(row, rest) for row in g]
    assert (np.diff(entropy) < 1e-14).all() and entropy[-1] < 0.2 * entropy[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((TANH, 1.0, 1.0, 10), "low < high"),
        ((CASES["gamma"][0], -1.0, 1.0, 10), r"0\.0 ≤ low < high ≤ inf, the support for K root, got -1\.0 and 1\.0"),
        ((TANH, -1.0, 1.0, 1), "cells must be at least 2, got 1"),
    ],
)
def test_what_is_no_grid_is_refused(arguments: Any, sentence: str) -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match=sentence):
        ChangCooper(*arguments)


def test_kept_times_divide_the_steps() -> None:
    """Otherwise they would not be equally spaced."""
    scheme = ChangCooper(TANH, -3, 3, 20)
    with pytest.raises(ValueError, match="steps must be a multiple of keep, got 7 and 2"):
        scheme.evolve(scheme.steady(), 1.0, 7, keep=2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g: -g, "density must not be negative, got -"),
        (lambda g: 3 * g, "density must have mass 1, got 3"),
        (lambda g: g[1:], r"shape \(20,\), got \(19,\)"),
        (lambda g: np.inf * g, "density must be finite"),
    ],
)
def test_what_is_no_density_does_not_evolve(change: Any, sentence: str) -> None:
    """One sentence each; what evolved evolves on."""
    scheme = ChangCooper(TANH, -3, 3, 20)
    with pytest.raises(ValueError, match=sentence):
        scheme.evolve(change(scheme.steady()), 1.0, 2)
    spike = scheme.density(lambda x: np.arange(20) == 3)
    halfway = scheme.evolve(spike, 1.0, 2)
    assert scheme.evolve(halfway[-1], 1.0, 2)[-1] == pytest.approx(scheme.evolve(spike, 2.0, 4)[-1], rel=1e-12)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: 0 * x, "not 0 at all centres, got values from 0 to 0"),
        (lambda x: x, "must not be negative .* from -2.85 to 2.85"),
        (lambda x: x[1:], r"one value for each centre, \(20,\), got \(19,\)"),
        (lambda x: np.nan * x, "the density must be finite"),
    ],
)
def test_what_is_no_density_is_not_normalised(function: Any, sentence: str) -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match=sentence):
        ChangCooper(TANH, -3, 3, 20).density(function)


def test_the_relative_entropy_is_finite_where_the_law_at_rest_underflows() -> None:
    """Gaussians N(40, ½) and N(0, ½): (m − m_∞)²/2V = 1600, where e^(−1600) is no number."""
    scheme = ChangCooper(Diffusion("identity", -1.0, 0.0, 1.0), -10, 50, 6000)
    start = scheme.density(stats.norm(40, math.sqrt(0.5)).pdf)
    assert scheme.steady()[-1] == 0 and math.isinf(scheme.relative_entropy(start, scheme.steady()))
    assert scheme.relative_entropy(start) == pytest.approx(1600, rel=1e-6)
    assert scheme.relative_entropy(scheme.steady()) == pytest.approx(0, abs=1e-12)


def test_a_box_says_what_it_cuts_off() -> None:
    """The mass of the law at rest outside, by quadrature of its formula; NaN where the interval alone makes a law."""
    box = ChangCooper(TANH, -0.5, 0.9, 20)
    total, inside = (
        quad(lambda x: math.exp(steady_laws.log_density(TANH, x)), *ends)[0] for ends in ((-9, 9), (-0.5, 0.9))
    )
    assert box.cut_off == pytest.approx(1 - inside / total, rel=1e-8)
    assert ChangCooper(CASES["beta"][0], 0, 1, 20).cut_off == 0
    assert math.isnan(ChangCooper(Diffusion("relu", -1.0, 0.5, 0.8), -3, 3, 20).cut_off)
    with pytest.raises(ValueError, match=r"0\.0 ≤ low < high ≤ inf, the support for K linear, got -1"):
        ChangCooper(CASES["inverse_gamma"][0], -1, 20, 20)

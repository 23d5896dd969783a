"""Merely H¹, merely Hölder and oscillating controls, against quadrature and sums written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from problems import REFERENCE
from scipy.integrate import quad, solve_ivp

from deeplimit import Layers, Problem, irregular
from deeplimit.control import Basis, Legendre
from deeplimit.irregular import Power, Waves, Weierstrass


def of(basis: Basis, j: int, t: float) -> tuple[float, float]:
    """φ_j(t) and Φ_j(t)."""
    time = np.array([t])
    return float(basis.derivative(time)[0, j]), float(basis.primitive(time)[0, j])


@pytest.mark.parametrize("basis", [Power(), Power(at=0.7, exponent=-0.2), Waves(3), Waves(2, base=3)])
def test_bases_are_orthonormal_and_primitives_integrate_them(basis: Basis) -> None:
    """∫ φ_j φ_k = δ_jk and Φ_j(t) = ∫₀ᵗ φ_j, by adaptive quadrature."""
    points = [getattr(basis, "at", 0.5)]
    for j in range(basis.size):
        for k in range(basis.size):
            product = quad(lambda t, j=j, k=k: of(basis, j, t)[0] * of(basis, k, t)[0], 0, 1, points=points, limit=400)
            assert product[0] == pytest.approx(float(j == k), abs=1e-6)
        for t in (0.3, 0.9):
            inside = [p for p in points if p < t]
            integral = quad(lambda s, j=j: of(basis, j, s)[0], 0, t, points=inside or None, limit=400)[0]
            assert of(basis, j, t)[1] == pytest.approx(integral, abs=1e-7)


@pytest.mark.parametrize("options", [{"size": 2}, {"at": 1.0}, {"exponent": -0.5}, {"exponent": 0.1}])
def test_a_power_that_is_not_merely_h1_is_refused(options: dict[str, float]) -> None:
    """One function, with its singularity inside, in L² and unbounded."""
    with pytest.raises(ValueError, match="a power has size 1"):
        Power(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at", "exponent", "depth"), [(1 / 3, -0.4, 4096), (0.5, -0.3, 4095), (0.29, -0.45, 5000)])
def test_defect_is_what_the_cells_lose(at: float, exponent: float, depth: int) -> None:
    """∫ φ² − n Σ (∫ φ)² over all n cells, from the primitive; what is left out is of order n⁻²."""
    basis = Power(at=at, exponent=exponent)
    means = np.diff(basis.primitive(np.arange(depth + 1) / depth)[:, 0])
    assert basis.defect(depth) == pytest.approx(1 - depth * np.sum(means**2), rel=1e-5)


@pytest.mark.parametrize("base", [2, 3])
def test_weierstrass_sums_are_their_series(base: int) -> None:
    """Value, integral and curve at a few t, term by term; K(0) is h less the terms left out."""
    form = Weierstrass([0.3, 0.7], base, 9, 0.2)
    t = np.array([0.0, 0.1, 0.37, 1.0])
    for j, beta in enumerate(form.betas):
        terms = [(0.2 * (1 - base**-beta) * base ** (-k * beta), 2 * math.pi * base**k) for k in range(9)]
        values = [sum(a * math.cos(w * s) for a, w in terms) for s in t]
        assert form.at(t)[:, j] == pytest.approx(values, abs=1e-12)
        assert form.curve().at(t)[0][:, j, j].numpy() == pytest.approx(values, abs=1e-12)
        integrals = [sum(a * math.sin(w * s) / w for a, w in terms) for s in t]
        assert form.integral(t)[:, j] == pytest.approx(integrals, abs=1e-13)
        assert form.at(t)[0, j] == pytest.approx(0.2 * (1 - base ** (-9 * beta)), rel=1e-12)


@pytest.mark.parametrize(("base", "depth"), [(2, 1), (2, 16), (2, 12), (3, 16), (3, 27), (3, 18)])
def test_mean_is_that_of_the_samples(base: int, depth: int) -> None:
    """Frequencies that are multiples of n look constant at i/n, all the others average to zero."""
    form = Weierstrass([0.5], base, 8, 1.0)
    samples = form.curve().sample(depth).K[:, 0, 0].numpy()
    assert form.mean(depth)[0] == pytest.approx(samples.mean(), abs=1e-12)


def test_tanh_states_are_those_of_an_adaptive_integrator() -> None:
    """Few terms, SciPy's eighth order; the trapezoidal rule is left with its h²."""
    form = Weierstrass([0.3, 0.7], 2, 4, 0.2)
    path = solve_ivp(
        lambda t, X: np.tanh(form.at(np.array([t]))[0] * X), (0, 1), np.ones(2), method="DOP853", rtol=1e-12, atol=1e-12
    )
    assert form.tanh_states(4, 4096)[-1] == pytest.approx(path.y[:, -1], abs=1e-7)
    with pytest.raises(ValueError, match="multiple of the depth"):
        form.tanh_states(3, 4096)


def test_random_controls_have_the_asked_decay_and_keep_fixed_blocks() -> None:
    """Coefficient j is (j + 1)^(−decay) times a standard normal number; what is not trained has its fixed value."""
    metric = REFERENCE.problem().metric
    size, draws = 20, [irregular.random(metric, Legendre(20), seed, decay=2.0) for seed in range(400)]
    spread = torch.stack([c.K[:, 0, 0] for c in draws]).std(0).numpy()
    assert spread == pytest.approx(np.append(1.0, np.arange(1.0, size + 1) ** -2), rel=0.15)
    problem = Problem(REFERENCE.problem().data, loss="squared", trainable="b")
    curve = irregular.random(problem.metric, Legendre(3), 0)
    problem.metric.check(curve)
    assert curve.b.abs().min() > 0


@pytest.mark.parametrize("depth", [16, 400])
def test_oscillations_gain_what_they_say(depth: int) -> None:
    """n Σ|ΔK|² over the layers: a² (n − 1)/n, and 2π²a² up to (2πm/n)²; the weights move by a/(2n) and a/m."""
    still, a, m = Layers(torch.zeros(depth, 2, 2), torch.zeros(depth, 2), torch.eye(2), torch.zeros(2)), 1.5, 4

    def gained(layers: Layers) -> float:
        return depth * float(torch.diff(layers.K, dim=0).square().sum())

    alternating, oscillating = irregular.alternating(still, a), irregular.oscillating(still, a, m)
    assert gained(alternating) == pytest.approx(a**2 * (depth - 1) / depth, rel=1e-12)
    assert float(alternating.K[1].norm()) == pytest.approx(a / (2 * depth), rel=1e-12)
    fine = 2 * math.sin(math.pi * m / depth) * depth / m  # the chord of a wave over one cell
    # without the last cell, in which the cosine is one half of its mean square of both sides
    lost = (a * fine) ** 2 * math.cos(math.pi * m / depth) ** 2 / depth
    assert gained(oscillating) == pytest.approx((a * fine) ** 2 / 2 - lost, rel=1e-12)
    assert float(oscillating.K.flatten(1).norm(dim=1).max()) == pytest.approx(a / m, rel=1e-12)

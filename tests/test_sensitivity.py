"""The kinetic gradient is that of finite differences, of an integral over x, and of back-propagation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from deeplimit import Curve, Data, Problem, continuum, discrete
from deeplimit.control import Legendre
from deeplimit.meanfield import flows, sensitivity
from deeplimit.meanfield.sensitivity import Law

TIMES = np.linspace(0, 1, 9)


def curve(d: int, seed: int, size: int = 3) -> Curve:
    """Smooth weights of width d."""
    rng = np.random.default_rng(seed)
    K, b = rng.normal(size=(size + 1, d, d)), rng.normal(size=(size + 1, d))
    return Curve(Legendre(size), torch.as_tensor(K), torch.as_tensor(b), torch.eye(d), torch.zeros(d))


def cloud(d: int) -> tuple[Law, np.ndarray]:
    """Seven points of unequal mass and their targets."""
    rng = np.random.default_rng(9)
    mass = rng.uniform(0.5, 1.5, 7)
    return Law(rng.normal(size=(7, d)), mass / mass.sum()), rng.normal(size=(7, d))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_gradient_is_that_of_finite_differences(d: int) -> None:
    """Along random directions θ, (J(Θ + εθ) − J(Θ − εθ))/2ε = ∫ dJ/dΘ · θ dt up to ε², by Gauss's rule in t."""
    law, target = cloud(d)
    theta, direction, eps = curve(d, 1), curve(d, 2), 1e-4

    def objective(sign: float) -> float:
        K, b = theta.K + sign * eps * direction.K, theta.b + sign * eps * direction.b
        moved = Curve(theta.basis, K, b, theta.W, theta.c)
        final = sensitivity.gradient("tanh", moved, law, sensitivity.towards(target), [0.0]).final
        return float(law.mass @ ((final - target) ** 2).sum(1))

    nodes, weights = np.polynomial.legendre.leggauss(24)
    found = sensitivity.gradient("tanh", theta, law, sensitivity.towards(target), (nodes + 1) / 2)
    K, b = (np.asarray(block) for block in direction.at((nodes + 1) / 2))
    predicted = weights / 2 @ (np.einsum("tij,tij->t", found.K, K) + np.einsum("ti,ti->t", found.b, b))
    assert (objective(1) - objective(-1)) / (2 * eps) == pytest.approx(predicted, rel=1e-6)


@pytest.mark.parametrize("name", ["tanh", "identity", "sigmoid"])
def test_the_gradient_is_the_integral_over_x_of_the_adjoint(name: str) -> None:
    """Constant weights: λ(t, x) = l(Ψ_{1−t}(x)) and g(t, x) in closed form, on nodes in x."""
    w, b, low, high = -1.4, 0.5, -1.0, 1.5
    constant = Curve(Legendre(1), [[[w]], [[0.0]]], [[b], [0.0]], [[1.0]], [0.0])  # type: ignore[arg-type]
    found = sensitivity.gradient(name, constant, sensitivity.uniform(low, high, 40), np.cos, TIMES)  # l = sin
    s, weights = np.polynomial.legendre.leggauss(60)
    for k, t in enumerate(TIMES):
        ends = flows.flow(name, w, b, t, np.array([low, high]))
        x = ends.mean() + (ends[1] - ends[0]) / 2 * s
        g = flows.density(name, w, b, t, lambda y: np.full_like(y, 1 / (high - low)))(x) * weights * np.diff(ends) / 2
        slope = np.cos(flows.flow(name, w, b, 1 - t, x)) * flows.jacobian(name, w, b, 1 - t, x)
        z = w * x + b
        first = {"tanh": 1 / np.cosh(z) ** 2, "identity": 1 + 0 * z, "sigmoid": 1 / (2 + 2 * np.cosh(z))}[name]
        assert found.K[k, 0, 0] == pytest.approx(np.sum(first * slope * x * g), abs=1e-10)
        assert found.b[k, 0] == pytest.approx(np.sum(first * slope * g), abs=1e-10)


def test_the_gradient_is_the_limit_of_back_propagation() -> None:
    """n ∂E_n/∂K_i of a network with the same points tends to dJ/dK(i/n) at order 1, in two dimensions."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    problem = Problem(
        Data(x, y), activation="tanh", loss="squared", alpha=1e-9, trainable="Kb", reduction="mean"
    )  # hardly a penalty
    theta, gaps = curve(2, 3), []
    for n in (128, 256, 512):
        law = sensitivity.empirical(x)
        exact = sensitivity.gradient("tanh", theta, law, sensitivity.towards(y), np.arange(n) / n)
        layers = theta.sample(n)
        back = discrete.gradient(problem, layers)
        gaps.append(np.abs(n * back.K.numpy() - exact.K).max() + np.abs(n * back.b.numpy() - exact.b).max())
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.05) and gaps[1] / gaps[2] == pytest.approx(2, abs=0.05)
    assert gaps[-1] < 0.05


@pytest.mark.parametrize("a", [10, 20, 40, 80])
def test_no_digits_are_lost_where_the_flow_contracts_unevenly(a: float) -> None:
    """σ = identity, K with eigenvalues −a and −a/20: the adjoint is e^((1−t)Kᵀ) ∇φ, however small Y(1) is."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    K = turn @ np.array([[-a, 0.5 * a], [0.0, -0.05 * a]]) @ turn.T
    constant = Curve(
        Legendre(1), torch.as_tensor(np.stack([K, 0 * K])), torch.zeros(2, 2), torch.eye(2), torch.zeros(2)
    )
    law = sensitivity.empirical([[0.7, -0.4]])
    found = sensitivity.gradient("identity", constant, law, np.ones_like, TIMES)
    for t, K_slope, b_slope in zip(TIMES, found.K, found.b, strict=True):
        adjoint, x = expm((1 - t) * K.T) @ np.ones(2), expm(t * K) @ law.x[0]
        assert b_slope == pytest.approx(adjoint, abs=1e-10)
        assert K_slope == pytest.approx(np.outer(adjoint, x), abs=1e-10)


def test_the_final_nodes_are_those_of_the_continuum() -> None:
    """The same flow as another module's eighth-order steps."""
    law, _ = cloud(2)
    theta = curve(2, 5)
    problem = Problem(Data(law.x, law.x), loss="squared", trainable="Kb")
    known = continuum.states(problem, theta, 100)[-1].numpy()
    assert sensitivity.gradient("tanh", theta, law, np.cos, TIMES).final == pytest.approx(known, abs=1e-10)


def test_squared_wasserstein_distance_is_the_squared_loss_of_quantiles() -> None:
    """On the line the optimal coupling is that of sorted points, whatever the increasing flow has done."""
    law = sensitivity.empirical(np.sort(np.random.default_rng(2).normal(size=(200, 1)), axis=0))
    y = np.sort(np.random.default_rng(3).normal(size=(200, 1)), axis=0)
    final = sensitivity.gradient("tanh", curve(1, 6), law, sensitivity.towards(y), [0.5]).final
    squared = np.mean((np.sort(final, axis=0) - y) ** 2)
    assert law.mass @ ((final - y) ** 2)[:, 0] == pytest.approx(squared, rel=1e-14)


def test_the_uniform_law_integrates_polynomials() -> None:
    """∫ x⁴ over U[−1, 3] is (3⁵ + 1)/20."""
    law = sensitivity.uniform(-1, 3, 3)
    assert law.mass @ law.x[:, 0] ** 4 == pytest.approx((3**5 + 1) / 20, rel=1e-14)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda law, slope: sensitivity.gradient("relu", curve(2, 1), law, slope, [0.5]),
            "smooth activation, got 'relu'",
        ),
        (
            lambda law, slope: sensitivity.gradient("tanh", curve(1, 1), law, slope, [0.5]),
            "width 1, the law has width 2",
        ),
        (lambda law, slope: sensitivity.gradient("tanh", curve(2, 1), law, slope, [0.5, 1.5]), r"times in \[0, 1\]"),
        (lambda law, slope: Law(law.x, 2 * law.mass), "masses must add up to 1, got 2"),
        (
            lambda law, slope: Law(law.x[:2], np.array([1.5, -0.5])),
            "masses must not be negative, got -0.5",
        ),
        (lambda law, slope: Law(law.x[:, 0], law.mass), r"shape \(Q, d\) and mass \(Q,\), got \(7,\)"),
        (lambda law, slope: sensitivity.uniform(1.0, 1.0, 3), "low must be below high"),
        (lambda law, slope: sensitivity.empirical([[math.nan]]), "x must be finite"),
    ],
)
def test_misuse_is_one_sentence(call: Any, sentence: str) -> None:
    """With the requirement and the value."""
    with pytest.raises(ValueError, match=sentence):
        call(cloud(2)[0], np.cos)

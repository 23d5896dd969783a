"""The predicted constant e₁ and corrector η against closed forms, published numbers and trained networks."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import BLOCKS, REFERENCE, random_case, ring

from deeplimit import Data, Layers, Problem, continuum, data, discrete, expansion, gamma, irregular, pontryagin
from deeplimit.control import Hats, Legendre, Quadratics
from deeplimit.irregular import Power
from deeplimit.minimum import Minimum

CASES = {
    "reference": REFERENCE,
    "softmax, mean, not odd": random_case("silu", "softmax", 1),
    "logistic, head fixed": random_case("tanh", "logistic", 2, d=2, m=2, trainable="Kb"),
    "squared, no bias": random_case("arctan", "squared", 4, d=2, m=1, trainable="KWc"),
}


@functools.cache
def problem_of(name: str) -> Problem:
    """One object for all tests, so that its limit is computed once."""
    return CASES[name].problem()


@pytest.fixture(scope="module")
def reference() -> Problem:
    """The reference problem with one input, three samples and squared loss."""
    return problem_of("reference")


@functools.cache
def limit_of(problem: Problem) -> Minimum:
    """The limit of the best of four starts."""
    start = discrete.branches(problem, 16, starts=4)[0].control
    return continuum.minimise(problem, start=start, tol=1e-11)


@pytest.mark.parametrize(("alpha", "tau"), [(0.5, 0.25), (2.0, 3.0)])
def test_constant_of_the_bias_only_problem_is_the_derivative_of_its_closed_form(alpha: float, tau: float) -> None:
    """min E_n = r²/(1 + c_n/α) with c_n = c − 1/(2n) + O(n⁻²), so e₁ = r² / (1 + c/α)² / (2α)."""
    x, y = 0.3, 1.7
    problem = Problem(Data([[x]], [[y]]), activation="identity", loss="squared", alpha=alpha, tau=tau, trainable="b")
    limit = continuum.minimise(problem)
    c = 1 / tau + 1 / 3
    assert expansion.value_constant(problem, limit) == pytest.approx(
        (x - y) ** 2 / (1 + c / alpha) ** 2 / (2 * alpha), rel=1e-9
    )


def test_constant_of_the_reference_problem_is_the_published_one(reference: Problem) -> None:
    """The reference is 0.0871686260, from a boundary-value solver."""
    limit = limit_of(reference)
    assert expansion.value_constant(reference, limit) == pytest.approx(0.0871686260, abs=1e-7)
    assert expansion.value_constant(reference, limit.control) == expansion.value_constant(reference, limit)


def test_constant_is_what_trained_networks_show() -> None:
    """n (min E_n − min E_∞) = e₁ + e₂/n + O(n⁻²): extrapolated from two depths it is e₁; a mean divides it by S."""
    problem = Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean")
    nets = discrete.branch(problem, [16, 32, 64, 128], seed=4)
    limit = continuum.minimise(problem, start=nets[-1].control)
    coarse, fine = (n * (net.value - limit.value) for n, net in zip([64, 128], nets[-2:], strict=True))
    constant = expansion.value_constant(problem, limit)
    assert abs(constant) > 1e-3
    assert constant == pytest.approx(2 * fine - coarse, rel=2e-3)
    summed = Problem(data.ring(), loss="softmax", alpha=0.08)
    assert expansion.value_constant(summed, limit) == pytest.approx(8 * constant, rel=1e-12)


def test_network_shows_the_published_constants() -> None:
    """The reference table for the ring, tanh and relu, made from the costates and states of trained networks."""
    tables = {
        "tanh": (4, {16: 0.05729, 32: 0.05914, 64: 0.05998}),
        "relu": (0, {16: 0.174}),
    }
    for activation, (seed, published) in tables.items():
        problem = ring(activation).problem()
        start = discrete.minimise(problem, 16, seed=seed).control
        for net, value in zip(discrete.branch(problem, list(published), start=start), published.values(), strict=True):
            digits = 1e-5 if activation == "tanh" else 1e-3
            assert expansion.estimated_value_constant(problem, net.control) == pytest.approx(value, abs=digits)


def test_network_shows_a_constant_from_its_costates(reference: Problem) -> None:
    """−½ Σ p_i · (V_i − V_{i−1}), the costates by autograd of the loss with respect to every state."""
    n, layers = 6, limit_of(reference).control.sample(6)
    shifts = torch.zeros(n + 1, *reference.data.x.shape, dtype=torch.float64, requires_grad=True)
    X, V = reference.data.x + shifts[0], []
    for i in range(n):
        V.append(torch.tanh(X @ layers.K[i].T + layers.b[i]))
        X = X + V[-1] / n + shifts[i + 1]
    loss = ((X @ layers.W.T + layers.c - reference.data.y) ** 2).sum()
    (p,) = torch.autograd.grad(loss, shifts)
    expected = -0.5 * sum((p[i] * (V[i] - V[i - 1])).sum().item() for i in range(1, n))
    assert expansion.estimated_value_constant(reference, layers) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("alpha", "tau"), [(0.1, 1.0), (2.0, 3.0)])
def test_corrector_of_the_bias_only_problem_is_that_of_its_closed_form(alpha: float, tau: float) -> None:
    """b_i = λ_n (1/τ + t − t²/2 − t/(2n)) at t = i/n, λ_n = r/(α + c_n), c_n = c − 1/(2n) + O(n⁻²): the 1/n term."""
    x, y = 0.3, 1.7
    problem = Problem(Data([[x]], [[y]]), activation="identity", loss="squared", alpha=alpha, tau=tau, trainable="b")
    eta = expansion.corrector(problem, continuum.minimise(problem))
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    c, r = 1 / tau + 1 / 3, y - x
    expected = r / (2 * (alpha + c) ** 2) * (1 / tau + t - t**2 / 2) - r / (alpha + c) * t / 2
    torch.testing.assert_close(eta.at(t)[1][:, 0], expected, rtol=1e-9, atol=1e-11)
    assert not eta.K.any() and not eta.W.any() and not eta.c.any()


def test_corrector_of_the_reference_problem_has_the_published_norms(reference: Problem) -> None:
    """n‖K^(n) − K*‖ in L², sup and H¹ and n|W − W*| at depth 512: .1806, .2911, .2269, .0140."""
    eta = expansion.corrector(reference, limit_of(reference))
    t = np.linspace(0, 1, 2001)
    K, slope = eta.at(t)[0].flatten().numpy(), eta.derivative(t)[0].flatten().numpy()
    assert np.sqrt(np.trapezoid(K**2, t)) == pytest.approx(0.1806, abs=1e-4)
    assert np.abs(K).max() == pytest.approx(0.2911, abs=3e-4)  # at t = 1, where a network has no node
    assert np.sqrt(np.trapezoid(slope**2, t)) == pytest.approx(0.2269, abs=2e-4)
    assert abs(float(eta.W)) == pytest.approx(0.0140, abs=1e-4)


@pytest.mark.parametrize(
    "name", [*list(CASES)[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in list(CASES)[2:])]
)
def test_corrector_is_what_trained_networks_show(name: str) -> None:
    """n (Θ^(n) − Θ*(t_i)) = η(t_i) + O(1/n): extrapolated from three depths the error is O(n⁻³), at 8 nodes."""
    problem = problem_of(name)
    limit = limit_of(problem)
    eta = expansion.corrector(problem, limit).sample(8)
    depths = [16, 32, 64]
    nets = discrete.branch(problem, depths, start=limit.control, tol=1e-12)
    for block in BLOCKS:
        scaled = []
        for n, net in zip(depths, nets, strict=True):
            difference = n * (getattr(net.control, block) - getattr(limit.control.sample(n), block))
            scaled.append(difference[:: n // 8] if block in "Kb" else difference)
        first, second = 2 * scaled[1] - scaled[0], 2 * scaled[2] - scaled[1]
        extrapolated = (4 * second - first) / 3
        torch.testing.assert_close(getattr(eta, block), extrapolated, rtol=2e-3, atol=2e-4)
        if block not in problem.trainable:
            assert not getattr(eta, block).any()


def test_corrector_has_the_boundary_values_of_the_second_derivative() -> None:
    """η'(0) − τη(0) = Θ*''(0)/2 and η'(1) = Θ*''(1)/2, with 2α K'' = Σ q Xᵀ and 2α b'' = Σ q from the costate."""
    problem = problem_of("softmax, mean, not odd")
    curve = limit_of(problem).control
    ends = [0.0, 1.0]
    eta = expansion.corrector(problem, curve)
    path, (K, b) = pontryagin.trajectory(problem, curve, ends), curve.at(ends)
    q = problem.activation.first(path.X @ K.mT + b[:, None]) * path.costate
    second = {"K": q.mT @ path.X / (2 * problem.alpha["K"]), "b": q.sum(1) / (2 * problem.alpha["b"])}
    for block, value, slope in zip("Kb", eta.at(ends), eta.derivative(ends), strict=True):
        bound = slope - torch.stack([problem.tau[block] * value[0], torch.zeros_like(value[0])])
        torch.testing.assert_close(bound, second[block] / 2, rtol=1e-5, atol=1e-6)
        assert second[block].abs().max() > 1e-2


def test_boundary_defect_is_relative_to_the_second_derivative() -> None:
    """Bias only: b* = λ (1/τ + t − t²/2), so |b*''|/2 = λ/2, and η + εt is off by ε at both ends."""
    x, y, alpha, tau = 0.3, 1.7, 0.1, 1.0
    problem = Problem(Data([[x]], [[y]]), activation="identity", loss="squared", alpha=alpha, tau=tau, trainable="b")
    limit = continuum.minimise(problem)
    eta = expansion.corrector(problem, limit)
    assert expansion.boundary_defect(problem, limit, eta) < 1e-9
    tilted = eta.b.clone()
    tilted[1] += 1e-3
    half = (y - x) / (alpha + 1 / tau + 1 / 3) / 2
    found = expansion.boundary_defect(problem, limit, replace(eta, b=tilted))
    assert found == pytest.approx(1e-3 / half, rel=1e-6)


def test_first_order_effect_is_one_number_in_two_integrators(reference: Problem) -> None:
    """The same e₁ from the adaptive integrator and from the flow that η is made with."""
    limit = limit_of(reference)
    assert expansion._defect(reference, limit.control)[0].constant == pytest.approx(
        expansion.value_constant(reference, limit), rel=1e-11
    )


def test_corrected_network_adds_one_nth_of_the_corrector(reference: Problem) -> None:
    """Θ*(i/n) + η(i/n)/n; the corrector is computed once for a limit, and a minimum stands for its control."""
    limit = limit_of(reference)
    eta = expansion.corrector(reference, limit)
    assert expansion.corrector(reference, limit.control) is eta
    layers = expansion.corrected(limit, eta, 5)
    K, b = limit.control.at([0.6])
    eta_K, eta_b = eta.at([0.6])
    torch.testing.assert_close(layers.K[3:4], K + eta_K / 5)
    torch.testing.assert_close(layers.b[3:4], b + eta_b / 5)
    torch.testing.assert_close(layers.W, limit.control.W + eta.W / 5)
    torch.testing.assert_close(layers.c, limit.control.c + eta.c / 5)


def test_what_cannot_be_predicted_is_refused(reference: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kinked activation, kinked weights, networks for curves and curves for networks, and no depth."""
    limit = limit_of(reference)
    kinked = Problem(reference.data, activation="relu", loss="squared")
    with pytest.raises(ValueError, match=r"needs a smooth activation and .* got relu"):
        expansion.corrector(kinked, limit)
    for basis in (Hats(8), Quadratics(8), Power()):
        with pytest.raises(ValueError, match=f"weights in Legendre polynomials, got .* {type(basis).__name__}"):
            expansion.corrector(reference, limit.control.project(basis))
    layers = limit.control.sample(4)
    with pytest.raises(TypeError, match="limit must be Curve, got Layers"):
        expansion.corrector(reference, layers)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="layers must be Layers, got Curve"):
        expansion.estimated_value_constant(reference, limit.control)
    with pytest.raises(TypeError, match="eta must be Curve, got Layers"):
        expansion.corrected(limit, layers, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        expansion.corrected(limit, limit.control, 0)
    other = random_case("tanh", "squared", 0).problem()
    for call in (expansion.corrector, expansion.value_constant):
        with pytest.raises(ValueError, match="does not fit the problem"):
            call(other, limit)
    with pytest.raises(ValueError, match="does not fit the problem"):
        expansion.estimated_value_constant(other, Layers(*(getattr(layers, k) for k in BLOCKS)))


def test_corrector_of_another_width_is_refused(reference: Problem) -> None:
    """Width 1 would broadcast over every other, and layers have no derivative."""
    limit, wide = limit_of(reference), random_case("tanh", "squared", 0).problem()
    eta = wide.metric.draw(0)
    with pytest.raises(ValueError, match=r"W must have one shape in both controls, got \(1, 1\) and \(3, 2\)"):
        expansion.corrected(limit, eta, 4)
    with pytest.raises(ValueError, match=r"K does not fit the problem: it wants \(1, 1\) .* got \(2, 2, 2\)"):
        expansion.boundary_defect(reference, limit, eta)
    with pytest.raises(TypeError, match="eta must be Curve, got Layers"):
        expansion.boundary_defect(reference, limit, limit.control.sample(4))  # type: ignore[arg-type]


@pytest.mark.parametrize("relative", [1e-4, 1.0])
def test_corrector_is_that_of_a_minimiser_alone(relative: float) -> None:
    """Bias only: E(s b*) = (1 − sq)² r² + s²u², q = c/(α + c), u² = αq²r²/c; its gradient is E'(s)/u, along b*."""
    x, y, alpha, tau = 0.3, 1.7, 0.1, 1.0
    problem = Problem(Data([[x]], [[y]]), activation="identity", loss="squared", alpha=alpha, tau=tau, trainable="b")
    limit = continuum.minimise(problem)
    moved = replace(limit.control, b=(1 + relative) * limit.control.b)
    c, r, s = 1 / tau + 1 / 3, y - x, 1 + relative
    q = c / (alpha + c)
    u = math.sqrt(alpha / c) * q * r
    slope = (2 * s * u**2 - 2 * q * (1 - s * q) * r**2) / u
    value = (1 - s * q) ** 2 * r**2 + (s * u) ** 2
    residual = f"{slope / (2 * math.sqrt(value)):.1e}"
    with pytest.raises(ValueError, match=f"must be a minimiser .* residual {re.escape(residual)}, above 1e-06"):
        expansion.corrector(problem, moved)


def test_constant_of_a_relu_limit_is_that_of_the_adaptive_integrator() -> None:
    """w Σ ∇L · W e(1), where e takes no second derivative, so that kinks are not passed over between Gauss points."""
    problem = ring("relu").problem()
    curve = irregular.random(problem.metric, Legendre(4), 1)
    found = expansion.value_constant(problem, curve)
    assert found == pytest.approx(gamma.data_constant(problem, curve), rel=5e-3)
    assert abs(found) > 0.1


def test_unsolved_linear_system_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that stops early raises, and says how far it came and what to try: no corrector without its check."""
    problem = problem_of("reference")
    limit = limit_of(problem)
    expansion._corrector.cache_clear()
    monkeypatch.setattr(expansion.linalg, "minres", lambda hessian, right, **_: (0 * right, 1))
    with pytest.raises(np.linalg.LinAlgError, match=r"relative residual of 1\.0e\+00: .* try another start"):
        expansion.corrector(problem, limit.control)

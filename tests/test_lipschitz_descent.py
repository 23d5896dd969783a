"""Certified descent and Lipschitz constants in the input; truths are closed forms, finite pairs and autograd."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from problems import REFERENCE
from torch import Tensor
from torch.func import jacrev, vmap

from deeplimit import Curve, Data, Layers, Problem, activation, data, loss, network
from deeplimit.control import Legendre
from deeplimit.coordinates import LayerCoordinates
from deeplimit.lipschitz import Ball, Balls, descent, feedforward, inputs, sobolev
from deeplimit.lipschitz.objective import Objective

MOONS = data.moons(points=20)


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def objective(name: str = "logistic") -> Objective:
    return Objective(feedforward([2, 3, 1]), MOONS, loss.get(name))


def start(objective: Objective, seed: int = 0) -> Tensor:
    return Balls(objective.chain, 0.7, 0.3).draw(1, seed)[0]


def quadratic(theta: Tensor) -> tuple[float, Tensor]:
    """Φ = 1·θ_1² + 4·θ_2² with L = 8."""
    weights = tensor([1.0, 4.0])
    return float((weights * theta**2).sum()), 2 * weights * theta


def test_descent_on_a_quadratic_is_the_closed_form() -> None:
    """θ_k = (1 − 2η w)^k θ_0 with η = 1/8; values, mappings and the bound follow."""
    found = descent.descend(quadratic, tensor([1.0, 1.0]), 8.0, 5)
    first = (1 - 2 / 8) ** np.arange(6)
    assert found.values == pytest.approx(first**2 + 4 * (np.arange(6) == 0), rel=1e-13)
    assert found.mappings[1:] == pytest.approx(2 * first[1:-1], rel=1e-13)
    assert found.rises == 0 and found.excess <= 1e-15
    assert found.bound() == pytest.approx(2 * 8 * 5 / 5) and found.least <= found.bound()


def test_a_step_of_fifty_over_l_rises_every_time() -> None:
    """1 − 50 multiplies the stiff coordinate by 49 each step."""
    found = descent.descend(quadratic, tensor([0.0, 1.0]), 8.0, 4, factor=50.0)
    assert found.values == pytest.approx(4 * 49.0 ** (2 * np.arange(5)), rel=1e-12)
    assert found.rises == 4 and found.excess > 0


@pytest.mark.parametrize("name", ["logistic", "squared"])
def test_descent_on_a_region_falls_at_every_step_by_what_is_certain(name: str) -> None:
    """Projected onto a small product of balls, so that the projection acts, and with local constants."""
    phi = objective(name)
    region = Balls(phi.chain, 0.8, 0.3)
    for found in (descent.on_region(phi, region, start(phi), 60), descent.local(phi, start(phi), 60, radius=0.05)):
        assert found.rises == 0 and found.excess <= 1e-14
        assert 0 < found.least <= found.bound()
    whole = descent.on_region(phi, region, start(phi), 60)
    assert (region.project(whole.theta) - whole.theta).norm() < 1e-12
    assert whole.bound() == pytest.approx(2 * phi.constants(region).gradient * whole.values[0] / 60)


def test_a_local_constant_allows_longer_steps_than_the_global_one() -> None:
    """Near the iterate less can happen than in the whole region."""
    phi = objective()
    theta = start(phi)
    near = phi.constants(Ball(phi.chain, theta, 0.05)).gradient
    assert near < 0.5 * phi.constants(Balls(phi.chain, 1.5, 0.8)).gradient


def test_a_step_is_never_longer_than_the_radius_its_constant_holds_for() -> None:
    """With reach 1e-3 every move is at most that, and the decrease still certain."""
    found = descent.descend(quadratic, tensor([1.0, 1.0]), 8.0, 5, reach=1e-3)
    assert (found.mappings * found.steps).max() <= 1e-3 * (1 + 1e-12) and found.excess <= 1e-15


@pytest.mark.parametrize("depth", [4, 64])
def test_descent_of_the_energy_falls_at_every_step_whatever_the_depth(depth: int) -> None:
    """E_n in H¹ coordinates with the constant around each iterate."""
    problem = REFERENCE.problem()
    u = LayerCoordinates(problem.metric, depth).vector(problem.metric.draw(2).sample(depth))
    found = descent.in_h1(problem, depth, u / 4, 40, radius=0.02)
    assert found.rises == 0 and found.excess <= 1e-14 and found.least <= found.bound()
    assert found.values[0] == pytest.approx(
        network.objective(problem, LayerCoordinates(problem.metric, depth).control(u / 4))
    )


def test_steps_of_the_energy_do_not_shrink_with_depth() -> None:
    """The first step at 16 and at 256 layers, from the samples of one curve."""
    problem, sizes = REFERENCE.problem(), []
    for depth in (16, 256):
        u = LayerCoordinates(problem.metric, depth).vector(problem.metric.draw(2).sample(depth))
        sizes.append(descent.in_h1(problem, depth, u / 4, 1, radius=0.02).steps[0])
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_stochastic_descent_balances_in_expectation() -> None:
    """(η − Lη²/2) Σ E|∇Φ|² ≤ Φ_0 − E Φ_K + (Lη²/2) Σ E σ² over 60 runs, and the step is min(1/L, c/√K)."""
    phi = objective()
    region = Balls(phi.chain, 3.0, 3.0)
    L = phi.constants(region).gradient
    for steps, c in ((50, 1e-3), (50, 10.0)):
        found = descent.stochastic(phi, region, start(phi), steps, c=c, runs=60, seed=1)
        assert found.step == pytest.approx(min(1 / L, c / math.sqrt(steps)))
        assert found.left == 0
        assert found.balances.mean() <= 4 * found.balances.std() / math.sqrt(60)
        assert (found.variances > 0).all() and (found.squares > 0).all()


def test_one_sample_has_no_variance() -> None:
    """S = 1: each run is gradient descent itself, and the balance is at most 0 for every run."""
    phi = Objective(feedforward([2, 2, 1]), Data(MOONS.x[:1], MOONS.y[:1]), loss.get("logistic"))
    region = Balls(phi.chain, 2.0, 2.0)
    found = descent.stochastic(phi, region, start(phi), 30, c=1e6, runs=3, seed=0)
    plain = descent.on_region(phi, region, start(phi), 30)
    assert found.variances.max() == pytest.approx(0, abs=1e-30) and (found.balances <= 1e-15).all()
    assert found.squares == pytest.approx(float((plain.mappings**2).mean()), rel=1e-10)


def test_what_descent_cannot_do_is_refused() -> None:
    """A sum over samples has no unbiased estimate by one; no steps; a start that leaves."""
    phi = replace(objective(), reduction="sum")
    with pytest.raises(ValueError, match="estimates that of a mean, got reduction 'sum'"):
        descent.stochastic(phi, Balls(phi.chain, 1.0, 1.0), start(phi), 3, c=1.0, runs=2, seed=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        descent.descend(quadratic, tensor([1.0, 1.0]), 8.0, 0)
    with pytest.raises(ValueError, match="radius must be positive"):
        descent.local(objective(), start(objective()), 3, radius=0.0)


@pytest.mark.parametrize("kind", ["balls", "ball"])
def test_a_start_outside_the_region_is_refused(kind: str) -> None:
    """No constant holds there; its projection, on the edge, is accepted."""
    phi = objective()
    region = Balls(phi.chain, 0.8, 0.3) if kind == "balls" else Ball(phi.chain, start(phi), 0.5)
    outside = start(phi) + 3
    edge = region.project(outside)
    with pytest.raises(ValueError, match="start must lie in the region, where the Lipschitz constant holds"):
        descent.on_region(phi, region, outside, 3)
    with pytest.raises(ValueError, match="start must lie in the region"):
        descent.stochastic(phi, region, outside, 3, c=1.0, runs=2, seed=0)
    assert len(descent.on_region(phi, region, edge, 3).steps) == 3
    assert descent.stochastic(phi, region, edge, 3, c=1.0, runs=2, seed=0).step > 0


def test_a_step_that_changes_nothing_is_no_rise() -> None:
    """At the minimiser Φ stays 0; a constant of 0 has no longest step, and none that is not finite."""
    assert descent.descend(quadratic, tensor([0.0, 0.0]), 8.0, 3).rises == 0
    for L, words in ((0.0, "must be positive, got 0: the gradient is constant"), (math.nan, "must be finite, got nan")):
        with pytest.raises(ValueError, match=f"Lipschitz constant of the gradient {words}"):
            descent.descend(quadratic, tensor([1.0, 1.0]), L, 3)


def test_a_constant_that_is_too_small_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thirtieth of the constant, one that the quadratic attains: the decrease is not what was certain."""
    assert descent.descend(quadratic, tensor([1.0, 1.0]), 8.0 / 30, 3).excess > 0.1
    problem = REFERENCE.problem()
    monkeypatch.setattr(descent, "gradient_constant", lambda *_: 0.5)
    u = LayerCoordinates(problem.metric, 8).vector(problem.metric.draw(2).sample(8))
    assert descent.in_h1(problem, 8, u / 4, 20, radius=10.0).rises > 0


# Lipschitz constants in the input.


def end_of(problem: Problem, layers: Layers, x: Tensor) -> Tensor:
    """X_n (d,) of the plain network."""
    for K, b in zip(layers.K, layers.b, strict=True):
        x = x + problem.activation.value(K @ x + b) / layers.depth
    return x


def constant_layers(K: Any, depth: int) -> Layers:
    d = len(K)
    return Layers(np.broadcast_to(K, (depth, d, d)).copy(), np.zeros((depth, d)), np.eye(d), np.zeros(d))


def on_problem(d: int, name: str = "tanh") -> Problem:
    x = torch.randn(6, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Problem(Data(x, x), activation=name, loss="squared")


def test_a_linear_scalar_network_attains_product_and_steps() -> None:
    """X_n = (1 + k/n)^n x for k > 0: both bounds are that; for k < 0 only the second one is."""
    sigma, problem = activation.get("identity"), on_problem(1, "identity")
    for k in (0.7, -0.7):
        layers = constant_layers([[k]], 10)
        truth = (1 + k / 10) ** 10
        assert inputs.steps(sigma, layers) == pytest.approx(truth, rel=1e-13)
        assert inputs.sampled(problem, layers, problem.data.x).tolist() == pytest.approx([truth] * 6, rel=1e-13)
        assert inputs.product(sigma, layers) == pytest.approx((1 + abs(k) / 10) ** 10, rel=1e-13)


def test_a_rotation_is_an_isometry_of_the_flow() -> None:
    """Skew K with the identity: μ(K) = 0, the flow keeps distances; the product bound is e^|K|."""
    K = tensor([[0.0, 2.0], [-2.0, 0.0]])
    assert inputs.logarithmic(activation.get("identity"), K).item() == pytest.approx(0.0, abs=1e-15)
    deep = constant_layers(K.numpy(), 4000)
    assert inputs.product(activation.get("identity"), deep) == pytest.approx(math.exp(2), rel=1e-3)
    assert inputs.steps(activation.get("identity"), deep) == pytest.approx(1.0, abs=1e-3)


def test_corners_hold_the_largest_rate() -> None:
    """No diagonal S in the box beats them, for tanh with slopes in [0, 1] and silu with negative ones."""
    random = torch.Generator().manual_seed(0)
    for name, low in (("tanh", 0.0), ("silu", -0.0998393), ("sigmoid", 0.0)):
        sigma = activation.get(name)
        K = torch.randn(3, 3, generator=random, dtype=torch.float64)
        S = low + (sigma.lipschitz - low) * torch.rand(500, 3, generator=random, dtype=torch.float64)
        M = S[:, :, None] * K
        rates = torch.linalg.eigvalsh((M + M.mT) / 2)[:, -1]
        most = inputs.logarithmic(sigma, K).item()
        assert rates.max().item() <= most + 1e-9
        jacobians = torch.eye(3, dtype=torch.float64) + M / 5
        assert (
            torch.linalg.matrix_norm(jacobians, 2).max().item() ** 5
            <= inputs.steps(sigma, constant_layers(K.numpy(), 5)) + 1e-9
        )


@pytest.mark.parametrize("name", ["tanh", "relu", "silu", "sigmoid"])
def test_sampled_and_climbed_norms_stay_below_the_bounds(name: str) -> None:
    """Jacobians by autograd agree with the recursion; ascents rise; pairs of inputs part by no more."""
    problem = on_problem(2, name)
    layers = problem.metric.draw(3).sample(12)
    x = problem.data.x
    truth = torch.linalg.matrix_norm(vmap(jacrev(lambda point: end_of(problem, layers, point)))(x), 2)
    torch.testing.assert_close(inputs.sampled(problem, layers, x), truth)
    found = inputs.climb(problem, layers, x, radius=3.0)
    climbed = inputs.sampled(problem, layers, found).max().item()
    assert found.norm(dim=1).max() <= 3.0 + 1e-12
    steps, product = inputs.steps(problem.activation, layers), inputs.product(problem.activation, layers)
    assert truth.max().item() - 1e-9 <= climbed <= steps <= product * (1 + 1e-12)
    end = network.states(problem, layers, x)[-1]
    quotients = torch.pdist(end) / torch.pdist(x)
    assert quotients.max().item() <= steps


def test_steps_of_a_network_tend_to_the_logarithmic_norm_of_the_flow_at_first_order() -> None:
    """The gap halves when the depth doubles; a contraction is seen, which the product does not see."""
    curve = Curve(
        Legendre(2),
        [np.diag([-2.0, -1.5]), 0.1 * np.eye(2), np.zeros((2, 2))],
        np.zeros((3, 2)),
        np.eye(2),
        np.zeros(2),
    )
    sigma = activation.get("identity")
    limit = inputs.flow(sigma, curve)
    gaps = [inputs.steps(sigma, curve.sample(n)) - limit for n in (128, 256)]
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.05)
    assert limit < 0.3 < 3 < inputs.product(sigma, curve.sample(256))


def test_the_bound_of_the_flow_is_the_integral_and_never_below_it() -> None:
    """K = 3 cos(7t) and the identity: μ is K itself, exp(3 sin(7)/7); tanh has max(K, 0), with kinks at its zeros."""
    nodes, basis = (np.polynomial.legendre.leggauss(60)[0] + 1) / 2, Legendre(40)
    slopes = np.linalg.lstsq(basis.derivative(nodes), -21 * np.sin(7 * nodes), rcond=None)[0]
    K = np.concatenate([[3.0], slopes])[:, None, None]
    curve = Curve(basis, K, np.zeros((len(K), 1)), np.eye(1), np.zeros(1))
    found = inputs.flow(activation.get("identity"), curve)
    truth = math.exp(3 * math.sin(7) / 7)
    assert truth * (1 - 1e-12) <= found <= truth * (1 + 1e-8)
    a, b = math.pi / 14, 3 * math.pi / 14
    up = (3 / 7) * (math.sin(7 * a) + math.sin(7) - math.sin(7 * b))
    # K > 0 on (0, π/14) and, as 7 is below 5π/2, on (3π/14, 1)
    kinked = inputs.flow(activation.get("tanh"), curve)
    assert math.exp(up) * (1 - 1e-12) <= kinked <= math.exp(up) * (1 + 1e-8)
    with pytest.raises(ValueError, match="tol must be positive, got 0"):
        inputs.flow(activation.get("tanh"), curve, tol=0.0)
    with pytest.raises(ValueError, match="above tol = 1e-300; raise tol"):
        inputs.flow(activation.get("tanh"), curve, tol=1e-300)


def test_inputs_and_weights_of_another_kind_are_refused() -> None:
    """A curve where a network is wanted, inputs of another width, NaN, a NumPy array."""
    problem, layers = on_problem(2), constant_layers(np.eye(2), 3)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: inputs.sampled(problem, layers, torch.zeros(2, 3)), ValueError, r"shape \(S, 2\), got \(2, 3\)"),
        (lambda: inputs.sampled(problem, layers, torch.full((1, 2), math.nan)), ValueError, "x must be finite"),
        (lambda: inputs.climb(problem, layers, np.zeros((2, 2)), radius=1.0), TypeError, "x must be Tensor"),  # type: ignore[arg-type]
        (lambda: inputs.climb(problem, layers, problem.data.x, radius=0.0), ValueError, "radius must be positive"),
        (lambda: inputs.flow(activation.get("tanh"), layers), TypeError, "curve must be Curve, got Layers"),  # type: ignore[arg-type]
        (lambda: inputs.steps(activation.get("tanh"), np.eye(2)), TypeError, "layers must be Layers, got ndarray"),  # type: ignore[arg-type]
        (lambda: inputs.product(activation.get("tanh"), np.eye(2)), TypeError, "layers must be Layers"),  # type: ignore[arg-type]
    ]
    for call, kind, words in wrong:
        with pytest.raises(kind, match=words):
            call()


def test_bounds_in_the_input_that_cannot_be_had_are_refused() -> None:
    """Gcu has no constant; 2^13 corners are too many, the product is left."""
    with pytest.raises(ValueError, match="gcu is not Lipschitz"):
        inputs.product(activation.get("gcu"), constant_layers([[1.0]], 2))
    with pytest.raises(ValueError, match="width d of at most 12, got 13; use product"):
        inputs.steps(activation.get("tanh"), constant_layers(np.eye(13), 2))
    assert inputs.product(activation.get("tanh"), constant_layers(np.eye(13), 2)) == pytest.approx(2.25)


def test_a_wrong_sign_in_the_logarithmic_norm_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes of tanh taken as one everywhere make a contraction of what is none: ascents lie above."""
    monkeypatch.setattr(inputs, "_corners", lambda sigma, d: torch.ones(1, d, dtype=torch.float64))
    problem = on_problem(1)
    layers = constant_layers([[-3.0]], 50)
    x = inputs.climb(problem, layers, problem.data.x, radius=9.0)
    assert inputs.sampled(problem, layers, x).max() > inputs.steps(problem.activation, layers)


def test_the_constant_of_the_energy_is_that_of_its_data_term_and_two() -> None:
    """With a data term of weight zero nothing but the regulariser's 2 would be left: α large makes it so."""
    stiff = Problem(data.scalar(), loss="squared", alpha=1e9)
    layers = Layers(np.zeros((4, 1, 1)), np.zeros((4, 1)), np.zeros((1, 1)), np.zeros(1))
    assert sobolev.gradient_constant(stiff, layers, 1e-3) == pytest.approx(2.0, abs=1e-6)

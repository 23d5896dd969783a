"""Regularity of minimisers against autograd, polynomials, a closed form and published numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.polynomial import Legendre as Series
from problems import LINEAR, REFERENCE, SIGMA, Case, layers, random_case, random_weights
from scipy.optimize import brentq
from torch import Tensor

from deeplimit import Curve, Layers, Problem, continuum, discrete, network, regularity
from deeplimit.control import Legendre
from deeplimit.minimum import Minimum

REFERENCE_HAMILTONIAN = -0.15538009417
RANDOM = [("tanh", "softmax"), ("silu", "squared"), ("relu", "logistic")]


def loop(case: Case, theta: dict[str, Tensor], bumps: list[Tensor], length: Tensor | float = 1.0) -> Tensor:
    """The data term by a loop of steps length/n, with a bump added to every state X_0 … X_n."""
    n, X = len(theta["K"]), case.x + bumps[0]
    for i in range(n):
        X = X + length / n * SIGMA[case.activation](X @ theta["K"][i].T + theta["b"][i]) + bumps[i + 1]
    return case.data_term(X, theta["W"], theta["c"])


@pytest.mark.parametrize(("activation", "loss"), RANDOM)
@pytest.mark.parametrize("seed", [0, 1])
def test_costates_are_derivatives_of_the_data_term_with_respect_to_the_states(
    activation: str, loss: str, seed: int
) -> None:
    """Autograd through a loop, by bumps of the states; the mean over the points for odd seeds."""
    case = random_case(activation, loss, seed, d=3)
    theta = random_weights(case, 5, seed)
    bumps = [torch.zeros_like(case.x, requires_grad=True) for _ in range(6)]
    expected = torch.stack(torch.autograd.grad(loop(case, theta, bumps), bumps))
    p, q = network.costates(case.problem(), layers(theta))
    assert p.shape == (6, 5, 3) and q.shape == (5, 5, 3)
    torch.testing.assert_close(p, expected, rtol=1e-12, atol=1e-14)
    K = theta["K"]
    torch.testing.assert_close(p[:-1] - p[1:], torch.einsum("ijk,isj->isk", K, q) / 5, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(("activation", "loss"), RANDOM)
def test_the_mean_hamiltonian_is_the_derivative_of_the_objective_in_the_length_of_the_interval(
    activation: str, loss: str
) -> None:
    """∂E_n/∂T by autograd, at weights that are no minimiser: steps T/n, and (n/T) Σ|Δθ|² in the regulariser."""
    case = random_case(activation, loss, 1, d=3)
    theta = random_weights(case, 6, 2)
    T = torch.ones((), dtype=torch.float64, requires_grad=True)
    energy = loop(case, theta, [torch.zeros_like(case.x)] * 7, T)
    energy = energy + sum(case.alpha[k] * 6 / T * (theta[k].diff(dim=0) ** 2).sum() for k in "Kb")
    (expected,) = torch.autograd.grad(energy, T)
    found = regularity.hamiltonian(case.problem(), layers(theta))
    assert found.shape == (6,)
    assert float(found.mean()) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(("activation", "loss"), RANDOM)
def test_curvature_is_the_gradient_of_the_data_term_over_two_alpha(activation: str, loss: str) -> None:
    """n ∂/∂K_i and n ∂/∂b_i of the data term by autograd, over 2α of their block."""
    case = random_case(activation, loss, 3)
    theta = {k: v.clone().requires_grad_() for k, v in random_weights(case, 5, 1).items()}
    energy = loop(case, theta, [torch.zeros_like(case.x)] * 6)
    dK, db = torch.autograd.grad(energy, [theta["K"], theta["b"]])
    expected = torch.cat([5 * dK.reshape(5, -1) / (2 * case.alpha["K"]), 5 * db / (2 * case.alpha["b"])], dim=1)
    found = regularity.curvature(case.problem(), layers(theta))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("activation", "loss"), RANDOM)
def test_the_pairing_of_costate_and_tangent_is_the_same_in_all_layers(
    monkeypatch: pytest.MonkeyPatch, activation: str, loss: str
) -> None:
    """To rounding at any weights, and not for a costate that is wrong by a factor 1 + i/1000."""
    case = random_case(activation, loss, 4, d=3)
    problem, net = case.problem(), layers(random_weights(case, 40, 0))
    assert regularity.invariant(problem, net, seed=3) < 1e-14
    p, q = network.costates(problem, net)
    wrong = p * (1 + torch.arange(41) / 1000)[:, None, None]
    monkeypatch.setattr(network, "costates", lambda *_: (wrong, q))
    assert regularity.invariant(problem, net, seed=3) > 1e-6


def polynomial(depth: int, degree: int) -> Layers:
    """K_i = b_i = t_i^degree in one dimension."""
    t = torch.arange(depth, dtype=torch.float64) / depth
    return Layers((t**degree)[:, None, None], (t**degree)[:, None], torch.ones(1, 1), torch.zeros(1))


def test_difference_quotients_of_polynomials_are_their_derivatives() -> None:
    """Second ones of t² are 2, third ones 0; third ones of t³ are 6."""
    for degree, order, value in [(2, 2, 2.0), (2, 3, 0.0), (3, 3, 6.0)]:
        found = regularity.quotient(polynomial(16, degree), order)
        torch.testing.assert_close(found, torch.full((16 - order, 2), value, dtype=torch.float64), rtol=0, atol=1e-11)


def test_boundary_terms_are_one_sided_slopes() -> None:
    """For 1 + t²: n (θ_1 − θ_0) − τθ_0 = 1/n − τ and n (θ_{n−1} − θ_{n−2}) = (2n − 3)/n; a block left out has τ = 0."""
    net = polynomial(8, 2)
    raised = Layers(net.K + 1, net.b + 1, net.W, net.c)
    data = REFERENCE.problem().data
    start, end = regularity.boundary(Problem(data, loss="squared", tau={"K": 2.0, "b": 3.0}), raised)
    assert start.tolist() == pytest.approx([1 / 8 - 2, 1 / 8 - 3])
    assert end.tolist() == pytest.approx([13 / 8, 13 / 8])
    start, _ = regularity.boundary(Problem(data, loss="squared", tau={"K": 2.0}, trainable="K"), net)
    assert start.tolist() == pytest.approx([1 / 8, 1 / 8])


def parabola() -> tuple[Curve, float, float]:
    """The minimiser of E_∞ for one linear weight, with K(0) and C = p X, which is constant.

    2αK'' = C with K'(1) = 0 and K' (0) = τK(0) make K = a (1 + τ (t − t²/2)), so X(1) = exp(a (1 + τ/3)) and
    −2ατa = C = 2 (X(1) − y) X(1).
    """
    alpha, tau, y = LINEAR.alpha["K"], LINEAR.tau["K"], float(LINEAR.y)

    def end(a: float) -> float:
        return math.exp(a * (1 + tau / 3))

    a = brentq(lambda a: 2 * alpha * tau * a + 2 * (end(a) - y) * end(a), 0.0, 1.0, xtol=1e-15)
    K = torch.tensor([a, tau * a / 2, -tau * a / math.sqrt(12)], dtype=torch.float64)
    curve = Curve(Legendre(2), K[:, None, None], torch.zeros(3, 1), torch.ones(1, 1), torch.zeros(1))
    return curve, a, -2 * alpha * tau * a


def test_the_jet_of_a_linear_scalar_problem_is_its_closed_form() -> None:
    """K'' = −τa, K''' = 0, H = C K(1), D' = αK''² + C K K'; the bias, not trained, drops out."""
    curve, a, C = parabola()
    tau, alpha, t = LINEAR.tau["K"], LINEAR.alpha["K"], np.linspace(0, 1, 9)
    found = regularity.jet(LINEAR.problem(), curve, t)
    K, slope = a * (1 + tau * (t - t**2 / 2)), tau * a * (1 - t)
    assert found.second.numpy() == pytest.approx(np.tile([-tau * a, 0.0], (9, 1)), abs=1e-10)
    assert found.third.numpy() == pytest.approx(np.zeros((9, 2)), abs=1e-10)
    assert found.hamiltonian.numpy() == pytest.approx(np.full(9, C * a * (1 + tau / 2)), abs=1e-10)
    assert found.drift.numpy() == pytest.approx(alpha * (tau * a) ** 2 + C * K * slope, abs=1e-10)


def test_the_hamiltonian_of_deep_linear_networks_drifts_as_the_closed_form_says() -> None:
    """n (H_{n−1} − H_0) tends to −D(1) = −αK''² − C (K(1)² − K(0)²)/2; n·boundary to ∓K'' with the right sign."""
    curve, a, C = parabola()
    problem, tau, alpha, n = LINEAR.problem(), LINEAR.tau["K"], LINEAR.alpha["K"], 512
    net = discrete.minimise(problem, n, start=curve).control
    H = regularity.hamiltonian(problem, net)
    drift = alpha * (tau * a) ** 2 + C * a**2 * ((1 + tau / 2) ** 2 - 1) / 2
    assert n * float(H[-1] - H[0]) == pytest.approx(-drift, rel=0.02)
    start, end = regularity.boundary(problem, net)
    assert n * float(start[0]) == pytest.approx(-tau * a, rel=0.01)
    assert n * float(end[0]) == pytest.approx(tau * a, rel=0.01)


@pytest.fixture(scope="module")
def reference() -> tuple[Problem, Minimum, Minimum]:
    """The reference problem, a network of depth 128 on its lowest branch, and its limit."""
    problem = REFERENCE.problem()
    net = discrete.minimise(problem, 128, start=discrete.branches(problem, 16, starts=3)[0].control)
    return problem, net, continuum.minimise(problem, start=net.control)


def test_the_hamiltonian_of_the_reference_problem_is_the_published_one(
    reference: tuple[Problem, Minimum, Minimum],
) -> None:
    """Along the limit everywhere; along the network up to the first order in 1/n."""
    problem, net, limit = reference
    exact = regularity.jet(problem, limit.control, np.linspace(0, 1, 17)).hamiltonian.numpy()
    assert exact == pytest.approx(REFERENCE_HAMILTONIAN, abs=1e-9)
    assert float(regularity.hamiltonian(problem, net.control).mean()) == pytest.approx(REFERENCE_HAMILTONIAN, abs=1e-3)


def test_the_jet_is_what_the_minimiser_itself_has_as_derivatives(reference: tuple[Problem, Minimum, Minimum]) -> None:
    """Its Legendre series differentiated once and twice more, which knows nothing of costates."""
    problem, _, limit = reference
    t = np.linspace(0.05, 0.95, 11)
    found = regularity.jet(problem, limit.control, t)
    for column, theta in enumerate((limit.control.K[1:, 0, 0], limit.control.b[1:, 0])):
        slope = Series(theta.numpy() * np.sqrt(2 * np.arange(len(theta)) + 1), domain=[0, 1])
        assert found.second[:, column].numpy() == pytest.approx(slope.deriv(1)(t), abs=1e-6)
        assert found.third[:, column].numpy() == pytest.approx(slope.deriv(2)(t), abs=1e-4)


def test_the_third_derivative_is_the_derivative_of_the_second() -> None:
    """Central differences of Q/2α along a curve in three dimensions that is no minimiser."""
    problem = random_case("tanh", "softmax", 5, d=3).problem()
    curve, step = problem.metric.draw(2).project(Legendre(4)), 1e-4
    t = np.array([0.2, 0.5, 0.8])
    left, right = (regularity.jet(problem, curve, t + s).second for s in (-step, step))
    found = regularity.jet(problem, curve, t).third
    torch.testing.assert_close(found, (right - left) / (2 * step), rtol=1e-5, atol=1e-6)


def test_columns_are_their_formulas(
    monkeypatch: pytest.MonkeyPatch, reference: tuple[Problem, Minimum, Minimum]
) -> None:
    """By loops over the layers; the optimality relation holds to what the solver leaves of the gradient."""
    monkeypatch.setattr(regularity, "CELLS", 128)  # fewer, for speed
    problem, net, limit = reference
    row = regularity.smoothness(problem, net) | regularity.against_limit(problem, net, limit)
    n, theta = 128, np.column_stack([net.control.K.flatten().numpy(), net.control.b.flatten().numpy()])
    second = [n**2 * (theta[i + 1] - 2 * theta[i] + theta[i - 1]) for i in range(1, n - 1)]
    third = [n * (second[i + 1] - second[i]) for i in range(n - 3)]
    assert row["second_sup"] == pytest.approx(max(np.linalg.norm(v) for v in second))
    assert row["second_l2"] == pytest.approx(math.sqrt(sum(v @ v for v in second) / n))
    assert row["third_sup"] == pytest.approx(max(np.linalg.norm(v) for v in third))
    assert row["third_l2"] == pytest.approx(math.sqrt(sum(v @ v for v in third) / n))
    assert row["boundary_start"] == pytest.approx(np.linalg.norm(n * (theta[1] - theta[0]) - theta[0]))
    assert row["boundary_end"] == pytest.approx(np.linalg.norm(n * (theta[-1] - theta[-2])))
    H = regularity.hamiltonian(problem, net.control).numpy()
    assert row["hamiltonian_spread"] == pytest.approx(H.max() - H.min())
    assert row["hamiltonian_gap"] == pytest.approx(H.mean() - REFERENCE_HAMILTONIAN, abs=1e-9)
    assert row["identity_error"] == pytest.approx(row["second_error"], rel=0.1, abs=1e-9)
    assert row["identity_error"] < 1e-7
    exact = regularity.jet(problem, limit.control, np.arange(1, n - 1) / n).second.numpy()
    assert row["curvature_error"] == pytest.approx(max(np.linalg.norm(np.array(second) - exact, axis=1)), rel=1e-6)
    assert row["predicted_start"] == pytest.approx(row["boundary_start"], rel=0.1)
    assert row["predicted_end"] == pytest.approx(row["boundary_end"], rel=0.1)
    assert row["predicted_spread"] == pytest.approx(row["hamiltonian_spread"], rel=0.1)


def test_relu_has_no_third_derivative_but_a_second_one() -> None:
    """Its jet says NaN for what does not exist."""
    problem = random_case("relu", "squared", 0, points=2).problem()
    found = regularity.jet(problem, problem.metric.draw(0), [0.0, 0.5, 1.0])
    assert found.second.isfinite().all() and found.third.isnan().all() and found.drift.isnan().all()


def test_networks_of_another_width_are_not_held_against_a_limit(reference: tuple[Problem, Minimum, Minimum]) -> None:
    """Neither alone nor beside it."""
    problem, net, limit = reference
    wide = random_case("tanh", "squared", 0).problem()
    other = replace(net, control=wide.metric.draw(0).sample(8))
    for call in (
        lambda: regularity.smoothness(problem, other),
        lambda: regularity.against_limit(problem, other, limit),
    ):
        with pytest.raises(ValueError, match=r"K does not fit the problem: it wants \(1, 1\) .* got \(8, 2, 2\)"):
            call()


def test_bad_input_is_one_clear_sentence() -> None:
    """Too few layers, an order that is no number, no layers at all, another width, and a block without regulariser."""
    with pytest.raises(ValueError, match="differences of order 3 need 4 layers, got 3"):
        regularity.quotient(polynomial(3, 1), 3)
    with pytest.raises(TypeError, match="order must be a whole number"):
        regularity.quotient(polynomial(3, 1), 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="layers must be Layers"):
        regularity.quotient(np.zeros(3), 1)  # type: ignore[arg-type]
    wide = random_case("tanh", "squared", 0).problem()
    for call in (regularity.boundary, regularity.hamiltonian, regularity.curvature, regularity.invariant):
        with pytest.raises(ValueError, match=r"K does not fit the problem: it wants \(2, 2\) .* got \(4, 1, 1\)"):
            call(wide, polynomial(4, 1))
    free = {"K": 0.0, "b": 1.0, "W": 1.0, "c": 1.0}
    problem = Problem(REFERENCE.problem().data, loss="squared", alpha=free, drop_hypotheses=True)
    with pytest.raises(ValueError, match="K has no second derivative to predict, because its alpha is zero"):
        regularity.curvature(problem, polynomial(4, 1))

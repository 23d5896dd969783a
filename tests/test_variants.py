"""Other networks than E_n: the truth is loops over layers as the definitions have them, and autograd."""

from __future__ import annotations

import pytest
import torch
from problems import DEEP, SIGMA, Case, layers, random_case, random_weights
from torch import Tensor

from deeplimit import continuum, discrete, variants


def regulariser(case: Case, theta: dict[str, Tensor], differences: float) -> float:
    """Σ α (differences · Σ|θ_i − θ_{i−1}|² + τ |θ_0|²) over K and b, and α |θ|² over W and c."""
    deep = sum(
        case.alpha[k]
        * float(
            differences * sum(((theta[k][i] - theta[k][i - 1]) ** 2).sum() for i in range(1, len(theta[k])))
            + case.tau[k] * (theta[k][0] ** 2).sum()
        )
        for k in DEEP
    )
    return deep + sum(case.alpha[k] * float((theta[k] ** 2).sum()) for k in "Wc")


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("depth", [2, 5])
def test_power_puts_n_to_the_gamma_before_the_differences_and_nowhere_else(gamma: float, depth: int) -> None:
    """The term τ|θ_0|², the head and the data term keep their weights."""
    case = random_case("tanh", "softmax", seed=3)
    theta = random_weights(case, depth, seed=1)
    data_term = case.data_term(case.end_state(theta["K"], theta["b"]), theta["W"], theta["c"])
    expected = float(data_term) + regulariser(case, theta, depth**gamma)
    found = discrete.objective(variants.power(case.problem(), depth, gamma), layers(theta))
    assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("time", [0.5, 3.0])
def test_final_time_takes_steps_of_t_over_n_and_divides_the_differences_by_t(activation: str, time: float) -> None:
    """X_i = X_{i−1} + (T/n) σ(K X + b), and Σ (T/n) |Δθ / (T/n)|² = (n/T) Σ|Δθ|²."""
    case, depth = random_case(activation, "logistic", seed=4), 6
    theta = random_weights(case, depth, seed=2)
    X = case.x
    for K, b in zip(theta["K"], theta["b"], strict=True):
        X = X + time / depth * SIGMA[activation](X @ K.T + b)
    expected = float(case.data_term(X, theta["W"], theta["c"])) + regulariser(case, theta, depth / time)
    found = discrete.objective(variants.final_time(case.problem(), time), layers(theta))
    assert found == pytest.approx(expected, rel=1e-13)


def test_gradient_of_a_final_time_is_that_of_autograd() -> None:
    """σ' and σ'' carry the factor T as well; relu smoothed keeps it."""
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for name in ("tanh", "gcu"):
        sigma = variants.final_time(random_case(name, "squared", seed=1).problem(), 3.0).activation
        first, second = (
            torch.func.vmap(d)(z)
            for d in (
                torch.func.grad(lambda x, s=name: 3 * SIGMA[s](x)),
                torch.func.grad(torch.func.grad(lambda x, s=name: 3 * SIGMA[s](x))),
            )
        )
        torch.testing.assert_close(sigma.first(z), first, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(sigma.second(z), second, rtol=1e-12, atol=1e-12)
    relu = variants.final_time(random_case("relu", "squared", seed=1).problem(), 3.0).smoothed(1e-9)
    torch.testing.assert_close(relu.activation.value(z), 3 * torch.clamp(z, min=0), rtol=0, atol=1e-8)


def test_final_time_one_and_power_one_change_nothing() -> None:
    """T = 1 and γ = 1 are the theorem's."""
    problem = random_case("tanh", "squared", seed=5).problem()
    weights = layers(random_weights(random_case("tanh", "squared", seed=5), 4, seed=0))
    value = discrete.objective(problem, weights)
    assert discrete.objective(variants.power(problem, 4, 1.0), weights) == value
    assert discrete.objective(variants.final_time(problem, 1.0), weights) == value
    assert variants.final_time(problem, 1.0).activation.name == "tanh"


def test_final_time_is_a_change_of_time_in_the_limit() -> None:
    """E_∞ on [0, T] of a linear flow with constant weights: X(T) = e^{TK} x, whatever its regulariser."""
    case = Case(torch.tensor([[1.0]]).double(), torch.tensor([[0.0]]).double(), "identity", "squared", trainable="K")
    problem, k, time = case.problem(), 0.4, 2.5
    curve = problem.metric.draw(0)
    curve.K[:], curve.K[0] = 0.0, k
    expected = torch.exp(torch.tensor(2 * time * k).double()).item() + 0.01 * k**2
    assert continuum.objective(variants.final_time(problem, time), curve) == pytest.approx(expected, rel=1e-12)


def test_bad_input_is_refused_in_one_sentence() -> None:
    problem = random_case("tanh", "squared", seed=5).problem()
    with pytest.raises(ValueError, match="time must be positive, got 0"):
        variants.final_time(problem, 0)
    with pytest.raises(ValueError, match="gamma must be finite"):
        variants.power(problem, 4, float("inf"))
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        variants.power(problem, 0, 1.0)

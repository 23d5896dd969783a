"""The L² regulariser against loops over layers, a closed form and its symmetry."""

from __future__ import annotations

import pytest
import torch
from problems import DEEP, Case, gradient, layers, random_case, random_weights
from scipy.optimize import brentq
from torch import Tensor

from deeplimit import Data, Layers, Problem, ridge
from deeplimit.control import BLOCKS


def by_loops(case: Case, theta: dict[str, Tensor]) -> Tensor:
    """w Σ_s L + (1/n) Σ_i α |θ_i|² for K and b, α |θ|² for W and c, trainable blocks only."""
    total = case.data_term(case.end_state(theta["K"], theta["b"]), theta["W"], theta["c"])
    for block in case.trainable:
        squares = sum((row**2).sum() for row in theta[block])
        total = total + case.alpha[block] * squares / (len(theta[block]) if block in DEEP else 1)
    return total


def as_dict(control: Layers) -> dict[str, Tensor]:
    return {block: getattr(control, block) for block in BLOCKS}


def scalar(activation: str, alpha: float = 0.5) -> Problem:
    """x = 1, y = 2, one weight a layer."""
    return Problem(Data([[1.0]], [[2.0]]), activation=activation, loss="squared", alpha=alpha, trainable="K")


@pytest.mark.parametrize(("seed", "trainable"), [(0, "KbWc"), (1, "KbWc"), (2, "KWc")])
def test_the_objective_is_that_of_loops_over_layers(seed: int, trainable: str) -> None:
    """Random data and weights, both reductions; blocks that are not trained are not counted."""
    case = random_case("tanh", "squared", seed, trainable=trainable)
    theta = random_weights(case, 5, seed)
    assert ridge.objective(case.problem(), layers(theta)) == pytest.approx(float(by_loops(case, theta)), rel=1e-13)


def test_a_minimiser_is_stationary_for_loops_over_layers() -> None:
    """The gradient by autograd, in the weights themselves: no coordinates, no adjoint sweep."""
    case = random_case("tanh", "squared", 3)
    found = ridge.minimise(case.problem(), 6, seed=1)
    theta = as_dict(found.control)
    assert found.status.converged
    assert found.value == pytest.approx(float(by_loops(case, theta)), rel=1e-12)
    for block in BLOCKS:
        slope = gradient(lambda value, block=block: by_loops(case, theta | {block: value}), theta[block])
        assert float(slope.abs().max()) < 1e-9


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_equal_layers_are_best_for_one_point(activation: str) -> None:
    """min (y − (1 + k/n)ⁿ)² + α k²: for a given product of the layers equal ones have the least sum of squares."""
    n, alpha = 12, 0.5
    k = brentq(lambda k: 2 * ((1 + k / n) ** n - 2) * (1 + k / n) ** (n - 1) + 2 * alpha * k, 0.0, 2.0, xtol=1e-15)
    found = ridge.minimise(scalar(activation), n, seed=2)
    assert found.status.converged
    assert found.value == pytest.approx(((1 + k / n) ** n - 2) ** 2 + alpha * k**2, rel=1e-12)
    assert torch.allclose(found.control.K, torch.full((n, 1, 1), k, dtype=torch.float64), atol=1e-9)


def test_the_order_of_layers_costs_nothing() -> None:
    """Why this regulariser gives no compactness: permuting scalar linear layers changes neither part."""
    control = Layers(torch.randn(8, 1, 1, generator=torch.Generator().manual_seed(0)), [[0.0]] * 8, [[1.0]], [0.0])
    shuffled = Layers(control.K[torch.tensor([3, 1, 7, 0, 5, 2, 6, 4])], control.b, control.W, control.c)
    problem = scalar("identity")
    assert ridge.objective(problem, shuffled) == pytest.approx(ridge.objective(problem, control), rel=1e-13)


def test_the_start_of_a_network_has_no_weight_of_its_own() -> None:
    """τ, the H¹ regulariser's constant of θ₀, plays no part."""
    case = random_case("tanh", "squared", 4)
    control = layers(random_weights(case, 5, 0))
    other = Problem(
        Data(case.x, case.y),
        activation="tanh",
        loss="squared",
        alpha=case.alpha,
        tau=100.0,
        reduction=case.reduction,
    )
    assert ridge.objective(other, control) == ridge.objective(case.problem(), control)


def test_a_dropped_regulariser_counts_nothing() -> None:
    """α = 0 with drop_hypotheses: only the data term is left."""
    case = random_case("tanh", "squared", 4, trainable="K")
    data = Data(case.x, case.y[:, :2])
    problem = Problem(data, loss="squared", alpha=0.0, trainable="K", drop_hypotheses=True)
    control = Layers(torch.ones(4, 2, 2), torch.zeros(4, 2), torch.eye(2), torch.zeros(2))
    assert ridge.objective(problem, control) == ridge.data_loss(problem, control)


@pytest.mark.parametrize(
    ("depth", "start", "error"),
    [
        (0, None, ValueError),
        (2.5, None, TypeError),
        (4, "random", TypeError),
        (4, Layers([[[1.0, 0], [0, 1]]], [[0.0, 0]], [[1.0, 0]], [0.0]), ValueError),
    ],
)
def test_bad_arguments_are_named(depth: object, start: object, error: type[Exception]) -> None:
    """A depth below 1 or not whole, and a start that is no control or does not fit."""
    with pytest.raises(error):
        ridge.minimise(scalar("tanh"), depth, start=start)  # type: ignore[arg-type]

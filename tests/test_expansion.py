"""The predicted constant e₁ against closed forms, published numbers and trained networks."""

from __future__ import annotations

import pytest

from deeplimit import Data, Problem, continuum, data, discrete, expansion


@pytest.fixture(scope="module")
def reference() -> Problem:
    """The reference problem with one input, three samples and squared loss."""
    samples = Data([[-1.0], [0.2], [1.0]], [[-0.5], [1.0], [0.3]])
    return Problem(samples, loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1})


@pytest.mark.parametrize(("alpha", "tau"), [(0.1, 1.0), (0.5, 0.25), (2.0, 3.0)])
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
    """The digest gives 0.0871686260 from a boundary-value solver."""
    start = discrete.branches(reference, 16, starts=4)[0].control
    limit = continuum.minimise(reference, start=start)
    assert expansion.value_constant(reference, limit) == pytest.approx(0.0871686260, abs=1e-7)
    assert expansion.value_constant(reference, limit.control) == expansion.value_constant(reference, limit)


def test_constant_is_what_trained_networks_show() -> None:
    """n (min E_n − min E_∞) = e₁ + e₂/n + O(n⁻²): extrapolated from two depths it is e₁; a mean divides it by S."""
    constants = {}
    for reduction, alpha in (("sum", 0.08), ("mean", 0.01)):
        problem = Problem(data.ring(), loss="softmax", alpha=alpha, reduction=reduction)
        start = discrete.branches(problem, 16, starts=8)[0].control
        nets = discrete.branch(problem, [16, 32, 64, 128, 256], start=start)
        limit = continuum.minimise(problem, start=nets[-1].control)
        coarse, fine = (n * (net.value - limit.value) for n, net in zip([128, 256], nets[-2:], strict=True))
        constants[reduction] = expansion.value_constant(problem, limit)
        assert abs(constants[reduction]) > 1e-3
        assert constants[reduction] == pytest.approx(2 * fine - coarse, rel=2e-3)
    assert constants["sum"] == pytest.approx(8 * constants["mean"], rel=1e-6)

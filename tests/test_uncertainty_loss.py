"""The random loss: identities for mean and variance, its distribution, and the robustness of trained networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from deeplimit import Problem, continuum, data, discrete
from deeplimit.minimum import Minimum
from deeplimit.uncertainty import collocation, monte_carlo, random_loss, robustness, velocities
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion
from deeplimit.uncertainty.random_loss import Distribution


def random_expansion(basis: Basis, *shape: int) -> Expansion:
    scale = 1.0 / (1 + basis.indices.sum(1)).reshape(-1, *[1] * len(shape)) ** 2
    return Expansion(basis, scale * np.random.default_rng(4).standard_normal((basis.size, *shape)))


BASES = [
    Basis(6),
    Basis(6, "gaussian"),
    Basis(3, ("uniform", "gaussian")),
    Basis(4, ("uniform", "uniform"), "hyperbolic"),
    Basis(2, ["gaussian"] * 4),
]


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_mean_and_variance_of_the_loss_are_those_of_a_fine_gauss_rule(basis: Basis) -> None:
    """ℓ = |x − y|² is a polynomial of degree 2K, so that the moments by 4K + 2 nodes are exact: to 1e-12."""
    x, y = random_expansion(basis, 3, 2), np.array([[0.3, -1.0], [0.0, 0.2], [1.5, 0.7]])
    grids = [germ.gauss(4 * basis.degree + 2) for germ in basis.germs]
    xi = np.stack([g.ravel() for g in np.meshgrid(*(p for p, _ in grids), indexing="ij")], axis=1)
    omega = np.prod([g.ravel() for g in np.meshgrid(*(w for _, w in grids), indexing="ij")], axis=0)
    values = ((x.at(xi) - y) ** 2).sum(-1)
    mean = omega @ values
    variance = omega @ (values - mean) ** 2
    found = random_loss.squared(x, y)
    assert random_loss.mean_squared(x, y) == pytest.approx(mean, rel=1e-12)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-12)
    some = xi[:: max(1, len(xi) // 7)]
    assert found.at(some) == pytest.approx(((x.at(some) - y) ** 2).sum(-1), rel=1e-10)


def test_the_loss_of_a_linear_flow_has_the_moments_of_a_quadratic() -> None:
    """x = a + cξ, ξ ~ N(0, 1): E (x − y)² = (a − y)² + c², Var = 4 (a − y)² c² + 2 c⁴."""
    a, c, y = 0.7, 0.4, 1.9
    loss = random_loss.squared(Expansion(Basis(1, "gaussian"), np.array([a, c])), y)
    assert float(loss.mean) == pytest.approx((a - y) ** 2 + c**2, rel=1e-14)
    assert float(loss.variance) == pytest.approx(4 * (a - y) ** 2 * c**2 + 2 * c**4, rel=1e-14)


def test_the_loss_of_a_simresnet_is_that_of_monte_carlo() -> None:
    """tanh, ten layers: mean and variance within four standard errors of 100 000 draws through the network itself."""
    basis, y = Basis(20), 0.4
    ends = velocities.ends(velocities.simresnet(1.0, -0.2), lambda xi: 0.1 + 0.5 * xi[:, 0], depth=10)
    loss = random_loss.squared(collocation.project(basis, ends), y)
    drawn = monte_carlo.estimate(lambda xi: (ends(xi) - y) ** 2, "uniform", 100_000, seed=1)
    assert abs(float(loss.mean - drawn.mean)) < 4 * drawn.mean_error
    assert abs(float(loss.variance - drawn.variance)) < 4 * drawn.variance_error


def test_quantiles_of_a_squared_normal_are_those_of_chi_squared() -> None:
    """ℓ = ξ²: inside the 95 % intervals, which have the width that the density says."""
    loss = random_loss.squared(Expansion(Basis(1, "gaussian"), np.array([0.0, 1.0])), 0.0)
    law = random_loss.distribution(loss, 200_000, seed=2)
    for level in (0.05, 0.5, 0.95):
        q = law.quantile(level)
        exact = stats.chi2(1).ppf(level)
        half = 1.96 * math.sqrt(level * (1 - level) / law.count) / stats.chi2(1).pdf(exact)
        assert q.low < q.value < q.high and q.low <= exact <= q.high
        assert q.high - q.low == pytest.approx(2 * half, rel=0.15)
    q, normal = math.sqrt(stats.chi2(1).ppf(0.95)), stats.norm()
    # E[ξ²; |ξ| > q] = 2 (q φ(q) + Φ(−q))
    assert float(law.shortfall(0.95)) == pytest.approx(2 * (q * normal.pdf(q) + normal.cdf(-q)) / 0.05, rel=0.02)
    assert float(law.cdf(1.0)) == pytest.approx(stats.chi2(1).cdf(1), abs=4 * 0.5 / math.sqrt(law.count))


def test_intervals_of_quantiles_cover_as_often_as_they_say() -> None:
    """95 % of 400 samples of 500 uniform numbers, by ranks."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(400):
        q = Distribution(np.sort(generator.uniform(size=500))).quantile(0.8)
        hits += bool(q.low <= 0.8 <= q.high)
    assert hits / 400 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 400))


SCALAR = Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1})
RING = Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean")
DEPTHS = [32, 64, 128]


@pytest.fixture(scope="module", params=[SCALAR, RING], ids=["scalar", "ring"])
def trained(request: pytest.FixtureRequest) -> tuple[Problem, list[Minimum], Minimum]:
    problem = request.param
    nets = discrete.lowest(problem, DEPTHS, starts=4)
    limit = continuum.minimise(problem, start=nets[-1].control)
    assert all(m.status.converged for m in (*nets, limit))
    return problem, nets, limit


def basis_of(problem: Problem, degree: int) -> Basis:
    return Basis(degree, ["uniform"] * problem.width)


def test_losses_are_those_of_the_module_at_perturbed_inputs(
    trained: tuple[Problem, list[Minimum], Minimum],
) -> None:
    """The same network as an `nn.Module`, with the loss written out."""
    problem, nets, _ = trained
    xi = np.random.default_rng(0).uniform(-1, 1, (5, problem.width))
    found = robustness.losses(problem, nets[0], 0.3)(xi)
    model = discrete.network(problem, nets[0])
    for row, shift in zip(found, xi, strict=True):
        z = model(problem.data.x + 0.3 * torch.as_tensor(shift)).detach()
        softmax, squared = -(torch.log_softmax(z, 1) * problem.y).sum(1), ((z - problem.y) ** 2).sum(1)
        expected = softmax if problem is RING else squared
        assert row == pytest.approx(expected.numpy(), rel=1e-12)


def test_robustness_is_that_of_monte_carlo(trained: tuple[Problem, list[Minimum], Minimum]) -> None:
    """Mean and variance of the data term with independent noise for every sample, drawn and run through the network."""
    problem, nets, limit = trained
    for control in (nets[0], limit):
        found = robustness.measure(problem, control, 0.2, basis_of(problem, 10))
        quantity = robustness.losses(problem, control, 0.2)
        S, N = problem.points, 1000
        xi = np.random.default_rng(3).uniform(-1, 1, (N * S, problem.width))
        own = quantity(xi).reshape(N, S, S)[:, np.arange(S), np.arange(S)]  # sample s with noise of its own
        totals = problem.weight * own.sum(1)
        error = totals.std(ddof=1) / math.sqrt(N)
        assert abs(found.mean - totals.mean()) < 4 * error
        assert found.variance == pytest.approx(totals.var(ddof=1), rel=4 * math.sqrt(2 / N))
        assert found.tail < 1e-6
    assert robustness.measure(problem, nets[0], 0.2, basis_of(problem, 2)).clean == pytest.approx(
        nets[0].data_loss, rel=1e-12
    )


@pytest.mark.parametrize("trained", [SCALAR], ids=["scalar"], indirect=True)
def test_squared_loss_by_collocation_is_that_by_identities(trained: tuple[Problem, list[Minimum], Minimum]) -> None:
    """Of the output's expansion, where the degree suffices."""
    problem, nets, _ = trained
    z = collocation.project(basis_of(problem, 20), robustness.outputs(problem, nets[0], 0.3))
    loss = random_loss.squared(z, problem.y.numpy())
    found = robustness.measure(problem, nets[0], 0.3, basis_of(problem, 40))
    assert loss.mean.sum() == pytest.approx(found.mean, rel=1e-12)
    assert loss.variance.sum() == pytest.approx(found.variance, rel=1e-12)


def test_losses_of_layers_change_by_what_the_limit_predicts(trained: tuple[Problem, list[Minimum], Minimum]) -> None:
    """n (ℓ_s of n layers − ℓ_s) → λ_s as a function of ξ, at order 1 again: not only in the mean."""
    problem, nets, limit = trained
    loss, change = robustness.changes(problem, limit, 0.2, basis_of(problem, 8))
    assert loss.distance(robustness.measure(problem, limit, 0.2, basis_of(problem, 8)).loss) < 1e-9
    misses = []
    for n, net in zip(DEPTHS, nets, strict=True):
        gap = robustness.measure(problem, net, 0.2, basis_of(problem, 8)).loss - loss
        misses.append(Expansion(gap.basis, n * gap.coefficients).distance(change) / change.norm)
    assert misses[-1] < 0.05 and misses[0] / misses[-1] == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_robustness_converges_at_order_one_with_the_predicted_constants(
    trained: tuple[Problem, list[Minimum], Minimum], spread: float
) -> None:
    """n times the gaps tend to the constants of the limit, at order 1 again."""
    problem, nets, limit = trained
    basis = basis_of(problem, 8)
    mean, variance = robustness.constants(problem, limit, spread, basis)
    end = robustness.measure(problem, limit, spread, basis)
    found = [robustness.measure(problem, net, spread, basis) for net in nets]
    for predicted, gaps in (
        (mean, [r.mean - end.mean for r in found]),
        (variance, [r.variance - end.variance for r in found]),
    ):
        misses = [abs(n * gap / predicted - 1) for n, gap in zip(DEPTHS, gaps, strict=True)]
        assert misses[-1] < 0.1  # the gaps change sign near the larger noise, where the next term counts more
        assert misses[0] / misses[-1] == pytest.approx(4, rel=0.2)


def test_small_noise_adds_its_variance_times_half_the_laplacian(
    trained: tuple[Problem, list[Minimum], Minimum],
) -> None:
    """E ℓ(x + δξ) = ℓ(x) + (δ²/6) Δℓ(x) + O(δ⁴) for ξ ~ U(−1, 1)ᵈ, Δℓ by autograd through the module."""
    problem, nets, _ = trained
    model = discrete.network(problem, nets[0])

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return problem.loss.value(model(x[None]), y[None])[0]

    laplacians = [
        float(torch.autograd.functional.hessian(lambda p, y=y: loss(p, y), x).trace())
        for x, y in zip(problem.data.x, problem.y, strict=True)
    ]
    predicted = problem.weight * sum(laplacians) / 6
    for spread in (0.02, 0.01):
        found = robustness.measure(problem, nets[0], spread, basis_of(problem, 4))
        assert found.excess / spread**2 == pytest.approx(predicted, rel=20 * spread**2)


BAD = [
    (lambda: random_loss.mean_squared(Expansion(Basis(1), np.ones((2, 3))), np.ones(2)), "y must fit the signal"),
    (lambda: Distribution(np.arange(50.0)).quantile(0.999), "resolved by 50 draws, got 0.999; draw more"),
    (lambda: Distribution(np.arange(50.0)).quantile(1.5), r"inside \(0, 1\)"),
    (lambda: robustness.outputs(SCALAR, SCALAR.metric.draw(0), 0.0), "the size δ of the noise, must be positive"),
    (lambda: robustness.measure(RING, RING.metric.draw(0), 0.1, Basis(2)), "each of 2 features, got 1 germs"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_one_sentence(call: object, message: str) -> None:
    """It names the requirement and what it got."""
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_a_control_of_another_kind_is_a_type_error() -> None:
    """Neither layers, nor curve, nor minimum."""
    with pytest.raises(TypeError, match="control must be Layers or Curve"):
        robustness.outputs(SCALAR, np.zeros(3), 0.1)  # type: ignore[arg-type]

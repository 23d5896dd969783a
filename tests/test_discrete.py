"""E_n and its minimisers: the truth is autograd on a plain network, closed forms, published minima."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from problems import (
    BLOCKS,
    DEEP,
    LINEAR,
    LINEAR_MINIMA,
    LOSS,
    REFERENCE,
    REFERENCE_BRANCHES,
    REFERENCE_MINIMA,
    RING_BRANCHES,
    RING_MINIMA,
    RING_RELU,
    SIGMA,
    Case,
    bias_constant,
    bias_minimum,
    flat,
    gradient,
    hessian,
    hessian_product,
    layers,
    moons,
    random_case,
    random_weights,
    ring,
)
from torch import Tensor

from deeplimit import Data, Layers, Problem, discrete, energy, ladder, norms, spectrum, symmetry
from deeplimit import data as datasets
from deeplimit.ladder import Search
from deeplimit.minimum import Minimum, Status

EVERY = list(product(SIGMA, LOSS))
POINTS = datasets.moons(60)
MOONS = Case(POINTS.x, POINTS.y, "tanh", "logistic")


def blocks(net: Layers) -> dict[str, Tensor]:
    return {k: getattr(net, k) for k in BLOCKS}


def u_of(case: Case, m: Minimum) -> Tensor:
    return case.to_u(m.control)


# The objective and its derivatives in the weights


@pytest.mark.parametrize(("activation", "loss"), EVERY)
def test_objective_and_derivatives_are_those_of_the_plain_network(activation: str, loss: str) -> None:
    """Value, gradient and Hessian product in the weights themselves against autograd, for every σ and L."""
    for seed in (EVERY.index((activation, loss)), 101):
        case = random_case(activation, loss, seed)
        theta, direction = random_weights(case, 5, seed), layers(random_weights(case, 5, seed + 1))
        net, problem, f, trained = layers(theta), case.problem(), case.raw(5), case.trainable
        at = flat(net, trained)
        value = float(f(at))
        assert abs(discrete.objective(problem, net) - value) <= 1e-12 * abs(value)
        g = gradient(f, at)
        assert (flat(discrete.gradient(problem, net), trained) - g).norm() <= 1e-12 * g.norm()
        Hv = hessian_product(f, at, flat(direction, trained))
        assert (flat(discrete.hessian_product(problem, net, direction), trained) - Hv).norm() <= 1e-12 * Hv.norm()


@pytest.mark.parametrize("trainable", ["K", "b", "W", "c", "Kb", "KW", "bc", "Wc", "KbW", "bWc"])
def test_derivatives_of_fixed_blocks_are_zero(trainable: str) -> None:
    """The others are as for the plain network; a direction's fixed blocks are not looked at."""
    case = random_case("arctan", "squared", 3, m=2, trainable=trainable)
    net, problem = layers(random_weights(case, 4, 0)), case.problem()
    full = layers(random_weights(random_case("arctan", "squared", 3, m=2), 4, 1))
    g, Hv = discrete.gradient(problem, net), discrete.hessian_product(problem, net, full)
    for k in BLOCKS:
        if k not in trainable:
            assert not getattr(g, k).any() and not getattr(Hv, k).any()
    at = flat(net, trainable)
    torch.testing.assert_close(flat(g, trainable), gradient(case.raw(4), at), rtol=1e-12, atol=1e-13)
    expected = hessian_product(case.raw(4), at, flat(full, trainable))
    torch.testing.assert_close(flat(Hv, trainable), expected, rtol=1e-12, atol=1e-13)


def test_the_regulariser_has_the_second_differences_of_the_weights() -> None:
    """2 α n (2 θ_i − θ_{i−1} − θ_{i+1}) inside, θ_0 − θ_1 + τ θ_0/n and θ_{n−1} − θ_{n−2} at the ends."""
    zero = torch.zeros(1, 2, dtype=torch.float64)
    case = Case(zero, zero, "identity", "squared", dict.fromkeys(BLOCKS, 0.3), {"K": 2.0, "b": 5.0}, "K")
    net = layers(random_weights(case, 6, 0))
    K, n, expected = net.K, 6, torch.zeros_like(net.K)
    expected[0] = K[0] - K[1] + 2.0 * K[0] / n
    for i in range(1, n - 1):
        expected[i] = 2 * K[i] - K[i + 1] - K[i - 1]
    expected[-1] = K[-1] - K[-2]
    torch.testing.assert_close(discrete.gradient(case.problem(), net).K, 2 * 0.3 * n * expected, rtol=1e-13, atol=1e-13)


def test_tau_is_inside_alpha() -> None:
    """With equal layers there are no increments: what is left is α τ |θ_0|²."""
    case = random_case("tanh", "squared", 0, m=2, trainable="b")
    b = torch.tensor([0.3, -0.4], dtype=torch.float64).expand(7, 2)
    net = layers({k: case.fixed(k, 7) for k in BLOCKS} | {"b": b})
    problem = case.problem()
    regulariser = discrete.objective(problem, net) - discrete.data_loss(problem, net)
    assert regulariser == pytest.approx(case.alpha["b"] * case.tau["b"] * 0.25, rel=1e-12)


def test_states_are_those_of_the_layers() -> None:
    """X_0 … X_n of the data or of other inputs, by the plain loop; the last one gives the data term."""
    case = random_case("silu", "logistic", 4)
    net, problem = layers(random_weights(case, 6, 0)), case.problem()
    X = discrete.states(problem, net)
    assert X.shape == (7, 5, 2) and torch.equal(X[0], case.x)
    torch.testing.assert_close(X[-1], case.end_state(net.K, net.b), rtol=1e-13, atol=1e-14)
    expected = float(case.data_term(X[-1], net.W, net.c))
    assert discrete.data_loss(problem, net) == pytest.approx(expected, rel=1e-13)
    assert torch.equal(discrete.states(problem, net, case.x[:2]), discrete.states(problem, net)[:, :2])


def test_the_mean_over_the_samples_is_the_sum_with_larger_alpha() -> None:
    """(1/S) Σ L + α R = (1/S) (Σ L + S α R)."""
    case = random_case("tanh", "squared", 0)
    net = layers(random_weights(case, 4, 0))
    mean = Problem(Data(case.x, case.y), loss="squared", alpha=0.1, reduction="mean")
    total = Problem(Data(case.x, case.y), loss="squared", alpha=0.5)
    assert 5 * discrete.objective(mean, net) == pytest.approx(discrete.objective(total, net), rel=1e-13)


# Exact minima


@pytest.mark.parametrize(("depth", "value"), LINEAR_MINIMA.items())
def test_the_linear_scalar_network_has_its_published_minimum(depth: int, value: float) -> None:
    """X_n = Π (1 + K_i/n) x with x = 1, y = 2, only K trained."""
    m = discrete.minimise(LINEAR.problem(), depth)
    assert m.status is Status.CONVERGED and m.value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8, 64, 1000])
def test_the_bias_network_has_its_closed_form(depth: int) -> None:
    """min E_n = |x − y|²/(1 + c_n/α), at b_0 = λ/τ, b_i − b_{i−1} = λ (1 − i/n)/n; H has eigenvalues 2, 2 + 2c_n/α."""
    random = np.random.default_rng(depth)
    for alpha, tau, d in [(0.1, 1.0, 2)] if depth == 1000 else [(0.1, 1.0, 1), (2.0, 0.3, 3), (0.01, 5.0, 2)]:
        x, y = (torch.tensor(random.standard_normal((1, d))) for _ in range(2))
        case = Case(x, y, "identity", "squared", dict.fromkeys(BLOCKS, alpha), dict.fromkeys(DEEP, tau), "b")
        m, c = discrete.minimise(case.problem(), depth), bias_constant(depth, tau)
        assert m.status is Status.CONVERGED
        assert m.value == pytest.approx(bias_minimum(x, y, depth, alpha, tau), rel=1e-12)
        weight = (y - x)[0] / (alpha + c)
        steps = [weight / tau] + [weight * (1 - i / depth) / depth for i in range(1, depth)]
        torch.testing.assert_close(m.control.b, torch.stack(steps).cumsum(0), rtol=0, atol=1e-8)
        assert m.curvature == pytest.approx(2 if depth > 1 else 2 + 2 * c / alpha, rel=1e-9)


# Published minima


@pytest.fixture(scope="module")
def reference() -> list[Minimum]:
    """The two minima of the scalar reference problem from 20 random starts at depth 16."""
    return discrete.branches(REFERENCE.problem(), 16, starts=20)


@pytest.fixture(scope="module")
def reference_branch(reference: list[Minimum]) -> dict[int, Minimum]:
    depths = list(REFERENCE_MINIMA)
    return dict(zip(depths, discrete.branch(REFERENCE.problem(), depths, start=reference[0].control), strict=True))


@pytest.fixture(scope="module")
def ring_minima() -> list[Minimum]:
    """Of the ring, from 40 random starts at depth 16."""
    return discrete.branches(ring().problem(), 16, starts=40)


@pytest.fixture(scope="module")
def ring_branch(ring_minima: list[Minimum]) -> dict[int, Minimum]:
    depths = list(RING_MINIMA)
    return dict(zip(depths, discrete.branch(ring().problem(), depths, start=ring_minima[0].control), strict=True))


@pytest.fixture(scope="module")
def moons_branch() -> dict[int, Minimum]:
    depths = [64, 96, 128, 256, 512, 1024]
    return dict(zip(depths, discrete.branch(MOONS.problem(), depths), strict=True))


def test_the_reference_problem_has_two_minima(reference: list[Minimum]) -> None:
    """0.586189 and 0.700690, both certified."""
    assert [m.value for m in reference] == pytest.approx(REFERENCE_BRANCHES, abs=1e-6)
    assert all(m.status is Status.CONVERGED and m.curvature > 0.1 for m in reference)


@pytest.mark.parametrize(("depth", "value"), REFERENCE_MINIMA.items())
def test_the_reference_problem_has_its_published_minima(
    depth: int, value: float, reference_branch: dict[int, Minimum]
) -> None:
    """min E_n along the best branch."""
    m = reference_branch[depth]
    assert m.status is Status.CONVERGED and m.value == pytest.approx(value, abs=1e-10)
    assert float(REFERENCE.objective(blocks(m.control))) == pytest.approx(value, abs=1e-10)


def test_the_ring_has_its_published_local_minima(ring_minima: list[Minimum]) -> None:
    """All four values are found, the last one log 2 by the zero network; each is a minimum, not a saddle."""
    for value in RING_BRANCHES:
        found = [m for m in ring_minima if abs(m.value - value) < 1e-6]
        assert found and all(m.status is Status.CONVERGED and m.curvature > 0.1 for m in found)
        eigenvalues = np.linalg.eigvalsh(hessian(ring().energy(16), u_of(ring(), found[0])))
        assert eigenvalues[0] == pytest.approx(found[0].curvature, rel=1e-5)
    assert ring_minima[0].value == pytest.approx(RING_BRANCHES[0], abs=1e-6)


def test_the_zero_network_is_a_minimum_of_the_ring(ring_minima: list[Minimum]) -> None:
    """Every class has probability ½: the value is log 2, and no step is needed from there."""
    zero = Layers(*(torch.zeros(shape) for shape in ring().shapes(16).values()))
    m = discrete.minimise(ring().problem(), 16, start=zero)
    assert m.value == pytest.approx(math.log(2), rel=1e-15) and m.status is Status.CONVERGED
    assert m.residual <= 1e-15 and m.data_loss == m.value


@pytest.mark.parametrize(("depth", "value"), RING_MINIMA.items())
def test_the_ring_has_its_published_minima(depth: int, value: float, ring_branch: dict[int, Minimum]) -> None:
    """min E_n along the best branch."""
    m = ring_branch[depth]
    assert m.status is Status.CONVERGED and m.value == pytest.approx(value, abs=1e-9)


def test_the_ring_with_kinks_is_lower_than_its_published_value() -> None:
    """relu: values only, no curvature and no bound; the residual is that of a generalised gradient."""
    found = [discrete.minimise(ring("relu").problem(), 16, seed=seed) for seed in (0, 4, 10)]
    for m in found:
        assert m.status is Status.KINKS and not m.status.converged
        assert math.isnan(m.curvature) and math.isnan(m.distance_bound)
        assert m.residual < 1e-6 and m.gradients > 0 and 0 <= m.error_bar < 1e-6
        plain = float(ring("relu").objective(blocks(m.control)))
        assert m.value == pytest.approx(plain, rel=1e-13)
        assert m.value <= RING_RELU + m.error_bar
    assert max(m.value for m in found) - min(m.value for m in found) <= 1e-9


def test_no_step_from_a_kinked_minimum_leads_down() -> None:
    """E_n(u + s) ≥ E_n(u) − O(error bar) for 300 random steps of all lengths, by the plain network."""
    case = ring("relu")
    m = discrete.minimise(case.problem(), 16, seed=0)
    u, energy, generator = u_of(case, m), case.energy(16), torch.Generator().manual_seed(0)
    for length in (1e-1, 1e-3, 1e-5):
        for _ in range(100):
            step = torch.randn(len(u), generator=generator, dtype=torch.float64)
            assert float(energy(u + length * step / step.norm())) >= m.value - m.error_bar


# Certificates


FOUND = ["reference 16", "reference 128", "ring 16", "ring 128", "moons 64", "moons 96"]


@pytest.fixture(params=FOUND)
def found(request: pytest.FixtureRequest) -> tuple[Case, int, Minimum]:
    """Minima found cold, and with hints from a coarser depth, with and without an integer ratio of the depths."""
    name, depth = request.param.split()
    minima: dict[int, Minimum] = request.getfixturevalue(f"{name}_branch")
    return {"reference": REFERENCE, "ring": ring(), "moons": MOONS}[name], int(depth), minima[int(depth)]


def test_values_are_those_of_the_control(found: tuple[Case, int, Minimum]) -> None:
    """value and data_loss belong to the control that is returned."""
    case, depth, m = found
    theta = blocks(m.control)
    assert m.control.depth == depth
    assert m.value == pytest.approx(float(case.objective(theta)), rel=1e-13)
    assert m.value - m.data_loss == pytest.approx(float(case.regulariser(theta)), rel=1e-11)


def test_the_residual_is_the_gradient_in_u(found: tuple[Case, int, Minimum]) -> None:
    """|∂E/∂u| by autograd, to the rounding of both, and not above the tolerance."""
    case, depth, m = found
    g = float(gradient(case.energy(depth), u_of(case, m)).norm())
    assert m.residual <= 1e-10 and m.residual == pytest.approx(g, rel=1e-3, abs=3e-13)


def test_the_curvature_is_the_least_eigenvalue(found: tuple[Case, int, Minimum]) -> None:
    """Of the dense Hessian in u by autograd; positive, so that this is a local minimum."""
    case, depth, m = found
    eigenvalues = np.linalg.eigvalsh(hessian(case.energy(depth), u_of(case, m)))
    assert m.curvature == pytest.approx(eigenvalues[0], rel=1e-5) and eigenvalues[0] > 0
    assert m.distance_bound == pytest.approx(m.residual / m.curvature, rel=1e-12)


def test_counts_are_positive(found: tuple[Case, int, Minimum]) -> None:
    """A minimisation has looked at a gradient each iteration, a certificate at the Hessian."""
    m = found[2]
    assert m.gradients >= 1 and m.certificate_products >= 1
    assert 0 <= m.iterations <= m.gradients + m.hessian_products and m.hessian_products >= 0
    assert all(isinstance(count, int) for count in (m.iterations, m.gradients, m.hessian_products))


@pytest.mark.parametrize("case", [REFERENCE, ring(), MOONS], ids=["reference", "ring", "moons"])
def test_the_distance_bound_holds_the_minimiser(case: Case) -> None:
    """|u − u*| ≤ residual / curvature to first order, and |E − E*| ≤ error bar, u* found to a tighter tolerance."""
    best = discrete.minimise(case.problem(), 8, seed=4, tol=1e-13)
    exact, value = u_of(case, best), best.value
    generator = torch.Generator().manual_seed(0)
    loose = 0
    for size, tol in product([1e-1, 1e-3, 1e-5], [1e-1, 1e-3, 1e-5, 1e-7, 1e-9]):
        step = torch.randn(len(exact), generator=generator, dtype=torch.float64)
        near = layers(case.from_u(exact + size * step / step.norm(), 8))
        m = discrete.minimise(case.problem(), 8, start=near, tol=tol)
        distance = float((u_of(case, m) - exact).norm())
        assert m.status is Status.CONVERGED and m.residual <= tol
        assert distance <= m.distance_bound * (1 + 5 * distance) + 1e-12
        assert abs(m.value - value) <= m.error_bar + best.error_bar
        loose += distance > 1e-9
    assert loose >= 8, "every run converged far below its tolerance: nothing was tested"


def extended(net: Layers) -> np.longdouble:
    """E_n of the reference problem in 80-bit numbers."""
    K, b, (W,), (c,) = (getattr(net, k).numpy().astype(np.longdouble).reshape(-1) for k in BLOCKS)
    X, y = (values.numpy().astype(np.longdouble)[:, 0] for values in (REFERENCE.x, REFERENCE.y))
    for k, v in zip(K, b, strict=True):
        X = X + np.tanh(k * X + v) / len(K)
    a, n = {k: np.longdouble(v) for k, v in REFERENCE.alpha.items()}, len(K)
    deep = sum(a[k] * (n * (np.diff(v) ** 2).sum() + v[0] ** 2) for k, v in (("K", K), ("b", b)))
    return ((W * X + c - y) ** 2).sum() + deep + a["W"] * W**2 + a["c"] * c**2


def test_the_error_bar_covers_rounding(reference_branch: dict[int, Minimum]) -> None:
    """The value of the same control in extended precision is within the error bar, which is no larger than 1e-13."""
    for m in reference_branch.values():
        assert abs(float(m.value - extended(m.control))) <= m.error_bar < 1e-13


@pytest.mark.parametrize("case", [REFERENCE, ring(), MOONS], ids=["reference", "ring", "moons"])
def test_a_tolerance_below_rounding_ends_at_the_floor(case: Case) -> None:
    """Status ROUNDING, and a residual within ten times the difference of two ways to compute the gradient."""
    m = discrete.minimise(case.problem(), 16, seed=4, tol=1e-18)
    assert m.status is Status.ROUNDING and m.status.converged and m.curvature > 0
    u, energy = u_of(case, m), case.energy(16)
    generator, floors = torch.Generator().manual_seed(1), []
    problem = case.problem()
    for _ in range(5):
        near = u + 1e-9 * torch.randn(len(u), generator=generator, dtype=torch.float64)
        by_hand = discrete.gradient(problem, layers(case.from_u(near, 16)))
        g = torch.autograd.functional.vjp(
            lambda w: torch.cat([case.from_u(w, 16)[k].reshape(-1) for k in BLOCKS if k in case.trainable]),
            near,
            flat(by_hand, case.trainable),
        )[1]
        floors.append(float((g - gradient(energy, near)).norm()))
    assert m.residual <= 10 * max(floors) and m.residual < 1e-12


# Saddles, jumps and numbers that are not finite


SADDLE = Case(
    torch.tensor([[-1.0], [1.0]], dtype=torch.float64),
    torch.tensor([[2.0], [4.0]], dtype=torch.float64),
    "silu",
    "squared",
    dict.fromkeys(BLOCKS, 0.1),
    trainable="K",
)


@pytest.mark.parametrize("depth", [4, 64])
def test_a_saddle_is_left_downhill(depth: int) -> None:
    """x = ±1, y = x + 3: at K = 0 the gradient Σ (x − y) x vanishes; the Hessian is negative as silu bends up."""
    problem, zero = SADDLE.problem(), {"K": torch.zeros(depth, 1, 1).double()}
    zero = {k: zero.get(k, SADDLE.fixed(k, depth)) for k in BLOCKS}
    u = torch.zeros(depth, dtype=torch.float64)
    assert gradient(SADDLE.energy(depth), u).norm() == 0
    assert np.linalg.eigvalsh(hessian(SADDLE.energy(depth), u))[0] < -1
    m = discrete.minimise(problem, depth, start=layers(zero))
    assert m.status is Status.CONVERGED and m.value < 17 < discrete.objective(problem, layers(zero)) == 18
    eigenvalues = np.linalg.eigvalsh(hessian(SADDLE.energy(depth), u_of(SADDLE, m)))
    assert eigenvalues[0] > 0 and m.curvature == pytest.approx(eigenvalues[0], rel=1e-5)


def test_a_saddle_that_is_not_left_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no lower point is found along the negative direction the status is SADDLE and nothing is bounded."""
    monkeypatch.setattr("deeplimit.optimise._escape", lambda objective, u, direction: u)
    zero = layers({k: torch.zeros(8, 1, 1).double() if k == "K" else SADDLE.fixed(k, 8) for k in BLOCKS})
    m = discrete.minimise(SADDLE.problem(), 8, start=zero)
    assert m.status is Status.SADDLE and not m.status.converged
    assert m.curvature < 0 and m.distance_bound == math.inf and m.value == 18


def test_a_jump_to_another_branch_is_recognised() -> None:
    """From depth 4 to 8 of this start the control moves by 10; started back from there, depth 4 has another minimum."""
    problem = MOONS.problem()
    path = discrete.branch(problem, [2, 4, 8, 16], seed=5)
    assert [m.status for m in path[2:]] == [Status.JUMPED, Status.CONVERGED]
    back = discrete.minimise(problem, 4, start=path[2].control)
    assert back.value < path[1].value - 0.1 and path[2].status.converged


def test_a_planted_jump_is_recognised(reference: list[Minimum], monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth 64 gets the minimiser of the other branch: only there the status is JUMPED, the certificate stands."""
    genuine, other = Search.minimum, reference[1].control

    def planted(search: Search, start: Layers, *args: Any, **options: Any) -> Any:
        return genuine(search, other.refine(64) if start.depth == 64 else start, *args, **options)

    monkeypatch.setattr(Search, "minimum", planted)
    path = discrete.branch(REFERENCE.problem(), [16, 32, 64, 128, 256], start=reference[0].control)
    C, J = Status.CONVERGED, Status.JUMPED
    assert [m.status for m in path] == [C, C, J, C, C]
    assert path[2].value > path[1].value + 0.1 and path[4].value > 0.68
    assert path[2].residual <= 1e-10 and path[2].curvature > 0


@pytest.mark.parametrize("branch", ["reference_branch", "ring_branch", "moons_branch"])
def test_a_branch_that_converges_does_not_jump(branch: str, request: pytest.FixtureRequest) -> None:
    """No false alarm: every depth is CONVERGED, and the controls approach one another."""
    path = list(request.getfixturevalue(branch).values())
    assert all(m.status is Status.CONVERGED for m in path)
    changes = [norms.l2(b.control, a.control.refine(b.control.depth)) for a, b in pairwise(path)]
    assert max(changes) < 0.2 and changes[-1] < 0.02


ENORMOUS = list(product(["tanh", "gcu", "relu", "identity"], [1e3, 1e30, 1e50, 1e160, 1e300]))
HOPELESS = ("relu", 1e30)  # goes through every width of the smoothing, half a minute


@pytest.mark.parametrize(
    ("activation", "size"),
    [pytest.param(*case, marks=pytest.mark.slow if case == HOPELESS else ()) for case in ENORMOUS],
)
def test_an_enormous_start_is_no_exception(activation: str, size: float) -> None:
    """A Minimum with a status, whatever overflows; converged means finite, and a value that is not says so."""
    case = Case(REFERENCE.x, REFERENCE.y, activation, "squared", dict.fromkeys(BLOCKS, 0.1))
    start = Layers(*(torch.full(shape, size, dtype=torch.float64) for shape in case.shapes(4).values()))
    m = discrete.minimise(case.problem(), 4, start=start)
    if m.status.converged:
        assert math.isfinite(m.value) and m.residual <= 1e-10 and m.curvature > 0
    if not math.isfinite(m.value):
        assert m.status is Status.NOT_FINITE


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_start_that_is_not_finite_is_a_status(activation: str, value: float) -> None:
    """NaN and infinity in, NOT_FINITE out, and a branch goes on with it to its end."""
    case = Case(REFERENCE.x, REFERENCE.y, activation, "squared", dict.fromkeys(BLOCKS, 0.1))
    start = Layers(*(torch.full(shape, value) for shape in case.shapes(4).values()))
    assert discrete.minimise(case.problem(), 4, start=start).status is Status.NOT_FINITE
    assert {m.status for m in discrete.branch(case.problem(), [4, 8, 16], start=start)} == {Status.NOT_FINITE}


# Branches


def test_warm_branches_reproduce_cold_minima(moons_branch: dict[int, Minimum]) -> None:
    """The same minimum without extrapolation and hints: from the coarsest control, refined."""
    for depth in (96, 256):
        cold = discrete.minimise(MOONS.problem(), depth, start=moons_branch[64].control)
        warm = moons_branch[depth]
        assert cold.value == pytest.approx(warm.value, abs=1e-12)
        bound = cold.distance_bound + warm.distance_bound
        assert float((u_of(MOONS, cold) - u_of(MOONS, warm)).norm()) <= bound + 1e-12


def test_deeper_minima_cost_a_few_gradients(moons_branch: dict[int, Minimum]) -> None:
    """From depth 128 on corrections from a coarser grid suffice: no product but those of the certificate."""
    for depth, m in moons_branch.items():
        if depth >= 128:
            assert m.status is Status.CONVERGED
            assert m.gradients <= 10 and m.hessian_products == 0 and m.certificate_products <= 25
            assert m.coarse_products == 0 and 0 < m.certificate_seconds < m.seconds


@pytest.mark.slow
def test_depth_16384_costs_no_more() -> None:
    """A residual of 1e-12 in a handful of gradients at every depth, and values that converge at first order."""
    depths = [64 * 2**k for k in range(9)]
    path = discrete.branch(MOONS.problem(), depths, tol=1e-12)
    for m in path[1:]:
        assert m.status is Status.CONVERGED and m.residual <= 1e-12 and m.error_bar < 1e-13
        assert m.gradients <= 12 and m.hessian_products == 0 and m.certificate_products <= 25
    assert path[-1].gradients <= 6
    steps = [a.value - b.value for a, b in pairwise(path)]
    assert [a / b for a, b in pairwise(steps)][2:] == pytest.approx([2] * 5, abs=0.01)


def test_depths_need_not_double() -> None:
    """8, 12, 30, 100: each is the minimum that a cold search from the one before finds."""
    problem, depths = MOONS.problem(), [8, 12, 30, 100]
    path = discrete.branch(problem, depths)
    assert [m.control.depth for m in path] == depths and all(m.status is Status.CONVERGED for m in path)
    for before, m in pairwise(path):
        cold = discrete.minimise(problem, m.control.depth, start=before.control)
        assert cold.value == pytest.approx(m.value, abs=1e-12)


def test_seeds_and_starts_are_recorded() -> None:
    """A random start has its seed in every minimum, a given one has none; the start may be a curve."""
    problem = REFERENCE.problem()
    assert discrete.minimise(problem, 4, seed=7).seed == 7
    assert [m.seed for m in discrete.branch(problem, [4, 8], seed=7)] == [7, 7]
    drawn = problem.metric.draw(7)
    given = discrete.minimise(problem, 4, start=drawn)
    assert given.seed is None and given.value == discrete.minimise(problem, 4, seed=7).value
    assert [m.seed for m in discrete.branch(problem, [4, 8], start=drawn)] == [None, None]


def test_a_start_of_another_depth_is_refined() -> None:
    """The piecewise linear interpolant at the nodes: the same minimum as from the refined network."""
    problem = REFERENCE.problem()
    net = discrete.minimise(problem, 3, seed=1).control
    a, b = (discrete.minimise(problem, 9, start=start) for start in (net, net.interpolant().sample(9)))
    assert a.value == b.value and torch.equal(a.control.K, b.control.K)


def test_branches_are_distinct_sorted_and_reproducible(ring_minima: list[Minimum]) -> None:
    """No two agree in value and control, the lowest is first, and each is what its seed gives."""
    values = [m.value for m in ring_minima]
    assert values == sorted(values)
    for a, b in combinations(ring_minima, 2):
        apart = math.hypot(norms.tl2(a.control, b.control), norms.head(a.control, b.control))
        assert abs(a.value - b.value) > 1e-6 or apart > 1e-4
    for m in (ring_minima[0], ring_minima[-1]):
        assert m.seed is not None
        again = discrete.minimise(ring().problem(), 16, seed=m.seed)
        assert again.value == m.value and torch.equal(again.control.K, m.control.K)


def turned(net: Layers, P: Tensor) -> Layers:
    """The network in the coordinates PX of the hidden states."""
    return Layers(P @ net.K @ P.T, net.b @ P.T, net.W @ P.T, net.c)


def ring_group() -> list[Tensor]:
    """The rotations by right angles and the reflections, as powers and products."""
    quarter, mirror = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double(), torch.tensor([[1.0, 0.0], [0.0, -1.0]]).double()
    return [torch.linalg.matrix_power(quarter, k) @ M for k in range(4) for M in (torch.eye(2).double(), mirror)]


def test_mirror_images_are_one_minimum(ring_minima: list[Minimum]) -> None:
    """The ring is kept by the 8 signed permutations and tanh is odd: E_n(PΘ) = E_n(Θ) at eight different controls.

    Random starts find several of them; one is reported, with their number.
    """
    problem, best = ring().problem(), ring_minima[0]
    images = [turned(best.control, P) for P in ring_group()]
    assert [discrete.objective(problem, net) for net in images] == pytest.approx([best.value] * 8, rel=1e-13)
    apart = [norms.l2(a, b) + norms.head(a, b) for a, b in combinations(images, 2)]
    assert best.orbit == 8 and min(apart) > 0.1
    assert [m for m in ring_minima if abs(m.value - best.value) < 1e-9] == [best]
    found = [replace(best, control=net) for net in images]
    assert discrete.distinct(found) == found
    assert discrete.distinct(found, discrete.symmetries(problem)) == found[:1]


def test_orbits_are_counted_with_their_stabilisers(ring_minima: list[Minimum]) -> None:
    """The number of different images, by comparing all eight; generic data have one image of each minimum."""
    for m in ring_minima:
        kept: list[Layers] = []
        for net in (turned(m.control, P) for P in ring_group()):
            if all(norms.l2(net, other) + norms.head(net, other) > 1e-3 for other in kept):
                kept.append(net)
        assert m.orbit == len(kept)
    zero = [m for m in ring_minima if abs(m.value - math.log(2)) < 1e-9]
    assert [m.orbit for m in zero] == [1]
    assert [m.orbit for m in discrete.branches(REFERENCE.problem(), 4, starts=4)] == [1, 1]


def test_the_lowest_branch_follows_one_minimum_of_an_orbit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All eight images planted as the minima of the coarsest depth: one is followed from the second depth on."""
    problem = ring().problem()
    first = min((discrete.minimise(problem, 16, seed=seed) for seed in range(6)), key=lambda m: m.value)
    images = [replace(first, control=turned(first.control, P)) for P in ring_group()]
    genuine, deep = Search.minimum, []

    def counted(search: Search, start: Layers, *args: Any, **options: Any) -> Any:
        deep.append(start.depth)
        return genuine(search, start, *args, **options)

    monkeypatch.setattr(discrete, "branches", lambda *_, **__: images)
    monkeypatch.setattr(Search, "minimum", counted)
    path = discrete.lowest(problem, [16, 24, 32])
    assert deep == [24] * 8 + [32]
    assert [m.orbit for m in path] == [symmetry.orbit(first.control, discrete.symmetries(problem))] * 3


def test_minima_are_one_if_values_and_controls_agree(reference: list[Minimum]) -> None:
    """To 1e-6 in value and 1e-4 in the control: either difference alone makes two of them."""
    m = reference[0]
    K, b, W, c = (getattr(m.control, k) for k in BLOCKS)
    for value, shift, kept in [(1e-8, 1e-6, 1), (1e-8, 1e-3, 2), (1e-4, 1e-6, 2), (1e-4, 1e-3, 2), (0, 0, 1)]:
        for moved in (Layers(K + shift, b, W, c), Layers(K, b, W, c - shift)):
            assert len(discrete.distinct([m, replace(m, value=m.value + value, control=moved)])) == kept
    assert discrete.distinct([m, reference[1], m]) == [m, reference[1]]


def test_branches_use_the_seeds_from_the_one_given() -> None:
    """starts = 6 from seed 3 on are seeds 3 … 8, one after the other, none left out but repetitions."""
    problem = REFERENCE.problem()
    found = discrete.branches(problem, 6, starts=6, seed=3)
    alone = [discrete.minimise(problem, 6, seed=seed) for seed in range(3, 9)]
    assert {m.seed for m in found} <= set(range(3, 9))
    for m in alone:
        assert any(abs(m.value - kept.value) < 1e-9 for kept in found)
    assert found[0].value == min(m.value for m in alone)


def test_the_lowest_branch_is_the_best_of_all_followed() -> None:
    """At the deepest network no branch from the same starts is lower, though some are followed no further."""
    problem, depths = MOONS.problem(), [4, 8, 16]
    best = discrete.lowest(problem, depths, starts=8)
    every = [discrete.branch(problem, depths, seed=seed) for seed in range(8)]
    assert [m.control.depth for m in best] == depths and len({m.seed for m in best}) == 1
    assert best[-1].value == pytest.approx(min(path[-1].value for path in every), abs=1e-9)
    assert all(m.status.converged for m in best)


@pytest.mark.parametrize(("deepest", "winner"), [(64, 1.0), (8, -1.0)])
def test_a_branch_that_will_be_lowest_is_followed(
    deepest: int, winner: float, reference: list[Minimum], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values 1 + 2/n and 1.6 − 2/n, planted: the first one starts higher, is met at n = 20/3 and wins from there on."""
    one = torch.ones(1, 1, dtype=torch.float64)

    def planted(depth: int, sign: float) -> Minimum:
        net = Layers(sign * one.expand(depth, 1, 1), one.expand(depth, 1), one, one[0])
        value = 1 + 2 / depth if sign > 0 else 1.6 - 2 / depth
        seed = 5 if sign > 0 else 6
        return replace(reference[0], control=net, value=value, curvature=math.nan, seed=seed)

    def minimise(_: Search, start: Layers, *__: Any, **___: Any) -> tuple[Minimum, np.ndarray]:
        return planted(start.depth, float(start.K[0, 0, 0].sign())), np.zeros(0)

    depths = [2, 4, 8, 16, 32, 64] if deepest == 64 else [2, 4, 6]
    monkeypatch.setattr(discrete, "branches", lambda *_, **__: [planted(2, -1.0), planted(2, 1.0)])
    monkeypatch.setattr(Search, "minimum", minimise)
    path = discrete.lowest(REFERENCE.problem(), depths)
    assert [m.value for m in path] == [planted(depth, winner).value for depth in depths]
    assert {m.seed for m in path} == {5 if winner > 0 else 6}


def test_the_next_depth_starts_at_third_order(reference: list[Minimum], monkeypatch: pytest.MonkeyPatch) -> None:
    """Minimisers expand in powers of 1/n: two depths miss the next one by O(n⁻²), three by O(n⁻³)."""
    genuine, starts = Search.minimum, {}

    def recorded(search: Search, start: Layers, *args: Any, **options: Any) -> Any:
        starts[start.depth] = start
        return genuine(search, start, *args, **options)

    monkeypatch.setattr(Search, "minimum", recorded)
    depths = [16, 32, 64, 128, 256]
    orders = {}
    for settled in (1.5, 0.0):
        monkeypatch.setattr(ladder, "SETTLED", settled or 1e-9)
        path = discrete.branch(REFERENCE.problem(), depths, start=reference[0].control)
        missed = [norms.l2(m.control, starts[m.control.depth]) for m in path]
        orders[settled] = math.log2(missed[3] / missed[4])
        assert missed[2] < 0.2 * missed[1]
    assert orders[1.5] == pytest.approx(3, abs=0.2) and orders[0.0] == pytest.approx(2, abs=0.2)


def test_the_same_call_gives_the_same_bits() -> None:
    """No hidden generator: controls, values, certificates and counts agree, where Lanczos restarts as well."""
    data = datasets.breast_cancer(features=2, points=60)
    problem = Problem(data, alpha=0.01)
    runs = [discrete.branch(problem, [8, 16], seed=0) for _ in range(3)]
    for other in runs[1:]:
        for a, b in zip(runs[0], other, strict=True):
            assert a.value == b.value and torch.equal(a.control.K, b.control.K)
            assert (a.gradients, a.hessian_products) == (b.gradients, b.hessian_products)
            assert a.curvature == b.curvature and a.certificate_products == b.certificate_products


@pytest.mark.parametrize("depth", [1, np.int64(3)])
def test_any_whole_number_is_a_depth(depth: int) -> None:
    """One layer is a network too; NumPy's integers are integers."""
    m = discrete.minimise(REFERENCE.problem(), depth)
    assert m.status is Status.CONVERGED and m.control.depth == depth
    g = gradient(REFERENCE.energy(int(depth)), u_of(REFERENCE, m))
    assert g.norm() <= 1e-10


@pytest.mark.parametrize("trainable", ["K", "b", "W", "c", "Kb", "KW", "Wc", "bWc"])
def test_any_blocks_can_be_trained(trainable: str) -> None:
    """The others keep their fixed values, and the gradient of the plain network vanishes in those trained."""
    case = Case(ring().x, ring().y, "tanh", "softmax", dict.fromkeys(BLOCKS, 0.05), trainable=trainable)
    m = discrete.minimise(case.problem(), 6)
    assert m.status is Status.CONVERGED
    for k in BLOCKS:
        assert k in trainable or torch.equal(getattr(m.control, k), case.fixed(k, 6))
    assert gradient(case.energy(6), u_of(case, m)).norm() <= 2e-10


def test_a_dropped_hypothesis_is_minimised_and_noted() -> None:
    """Without α_c the squared loss still has a minimiser in c: the plain gradient vanishes there."""
    alpha = REFERENCE.alpha | {"c": 0.0}
    problem = Problem(Data(REFERENCE.x, REFERENCE.y), loss="squared", alpha=alpha, drop_hypotheses=True)
    m = discrete.minimise(problem, 8)
    assert m.status is Status.CONVERGED and problem.dropped == ("alpha['c'] = 0",)
    case = Case(REFERENCE.x, REFERENCE.y, "tanh", "squared", problem.alpha)
    assert gradient(case.raw(8), flat(m.control, BLOCKS)).norm() <= 1e-9
    assert m.value == pytest.approx(float(case.objective(blocks(m.control))), rel=1e-13)


# The network as a module, devices


def test_the_module_is_the_network() -> None:
    """Its forward pass is z = W X_n + c of the control, in training and evaluation mode, for any leading dimensions."""
    for activation in ("tanh", "relu"):
        case = random_case(activation, "squared", 2)
        net = layers(random_weights(case, 6, 0))
        module = discrete.network(case.problem(), net)
        z = case.end_state(net.K, net.b) @ net.W.T + net.c
        torch.testing.assert_close(module(case.x), z, rtol=1e-13, atol=1e-14)
        assert torch.equal(module.eval()(case.x), module.train()(case.x))
        stacked = module(torch.stack([case.x, 2 * case.x]))
        torch.testing.assert_close(stacked[0], z, rtol=1e-13, atol=1e-14)
        X = discrete.states(case.problem(), net)[-1]
        torch.testing.assert_close(module(case.x), X @ net.W.T + net.c, rtol=1e-13, atol=1e-14)


def test_the_modules_parameters_are_copies_of_the_weights() -> None:
    """Four parameters in float64 that train on their own: the minimum does not change with them."""
    problem = REFERENCE.problem()
    m = discrete.minimise(problem, 5)
    module = discrete.network(problem, m)
    parameters = dict(module.named_parameters())
    assert list(parameters) == list(BLOCKS)
    for k, theta in parameters.items():
        assert torch.equal(theta, getattr(m.control, k)) and theta.requires_grad and theta.dtype == torch.float64
    with torch.no_grad():
        for theta in parameters.values():
            theta.add_(1)
    assert discrete.objective(problem, m.control) == m.value


def test_the_modules_weights_have_the_objective_of_the_minimum() -> None:
    """E_n of the parameters, read back, is the value; its gradient by autograd is the gradient of the data term."""
    problem = REFERENCE.problem()
    m = discrete.minimise(problem, 5)
    module = discrete.network(problem, m)
    read = Layers(*(theta.detach() for theta in module.parameters()))
    assert discrete.objective(problem, read) == pytest.approx(m.value, rel=1e-15)
    ((module(REFERENCE.x) - REFERENCE.y) ** 2).sum().backward()
    smooth = gradient(lambda w: REFERENCE.regulariser(REFERENCE.split(w, 5)), flat(m.control, BLOCKS))
    data = torch.cat([theta.grad.reshape(-1) for theta in module.parameters() if theta.grad is not None])
    assert (data + smooth).norm() <= 1e-8 < data.norm()


def test_the_modules_state_survives_a_round_trip() -> None:
    """state_dict into a module of other weights gives the same network."""
    case = random_case("silu", "logistic", 2)
    first, second = (discrete.network(case.problem(), layers(random_weights(case, 4, seed))) for seed in (0, 1))
    assert not torch.equal(first(case.x), second(case.x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(case.x), second(case.x))


def test_the_device_may_be_named() -> None:
    """ "cpu" is the default, bit by bit."""
    problem = REFERENCE.problem()
    a, b = discrete.minimise(problem, 6), discrete.minimise(problem, 6, device="cpu")
    assert a.value == b.value and torch.equal(a.control.K, b.control.K)
    assert [m.value for m in discrete.branch(problem, [6], device="cpu")] == [a.value]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_another_device_gives_the_same_minimum() -> None:
    """The sweeps run there, the answer comes back to the CPU."""
    problem = MOONS.problem()
    a, b = discrete.minimise(problem, 16), discrete.minimise(problem, 16, device="cuda")
    assert b.control.K.device.type == "cpu" and b.status is a.status
    assert b.value == pytest.approx(a.value, abs=1e-11)


def test_a_leap_at_the_second_depth_is_recognised_by_the_third() -> None:
    """From 8 to 16 layers this branch moves ten times as far as first order allows; it came from another one."""
    problem = Problem(datasets.breast_cancer(features=2), alpha=0.01)
    nets = discrete.branch(problem, [8, 16, 32], seed=0)
    assert [m.status for m in nets] == [Status.CONVERGED, Status.JUMPED, Status.CONVERGED]
    back = discrete.minimise(problem, 8, start=nets[1].control)
    assert abs(back.value - nets[0].value) > 0.1


def test_a_point_that_is_not_stationary_is_no_saddle() -> None:
    """A large gradient says that the search failed; the sign of a curvature says nothing there."""
    case = Case(REFERENCE.x, REFERENCE.y, "tanh", "squared", dict.fromkeys(BLOCKS, 0.1))
    start = Layers(*(torch.full(shape, 1e3, dtype=torch.float64) for shape in case.shapes(4).values()))
    m = discrete.minimise(case.problem(), 4, start=start)
    assert m.status is Status.CONVERGED or (m.residual > 1e-6 and m.status is Status.STALLED)


def test_the_module_takes_arrays_of_any_precision_and_refuses_another_width() -> None:
    """What a user has at hand: NumPy, float32; the sentence names the number of features."""
    problem = REFERENCE.problem()
    model = discrete.network(problem, discrete.minimise(problem, 3))
    x = REFERENCE.x.numpy()
    torch.testing.assert_close(model(x), model(REFERENCE.x), rtol=0, atol=0)
    assert model(x.astype(np.float32)).dtype == torch.float64
    with pytest.raises(ValueError, match="x must have 1 features"):
        model(torch.zeros(4, 2))
    assert "depth=3" in repr(model) and "CONVERGED" in repr(discrete.minimise(problem, 3))


def test_a_least_eigenvalue_inside_the_cluster_at_two_is_certified() -> None:
    """2 is the essential spectrum of the Hessian; Lanczos may not separate 2.0001 from it, a dense Hessian does."""
    rng = np.random.default_rng(5)
    data = Data(rng.standard_normal((5, 2)), rng.integers(0, 2, (5, 3)).astype(float))
    alpha = {"K": 0.0036, "b": 0.79, "W": 0.032, "c": 0.06}
    problem = Problem(data, activation="gcu", loss="logistic", alpha=alpha, reduction="mean")
    m = discrete.minimise(problem, 13, seed=1)
    energy, coordinates = Search(problem).energy(13)
    point = energy(coordinates.vector(m.control))
    values = np.linalg.eigvalsh(np.column_stack([point.product(e) for e in np.eye(coordinates.size)]))
    assert m.status is Status.CONVERGED
    assert m.curvature == pytest.approx(values[0], rel=1e-3)


def test_where_lanczos_fails_the_dense_hessian_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minimum must not be called a saddle for an iteration that did not converge."""
    expected = discrete.minimise(moons(), 10)

    def fail(*_: object, **__: object) -> None:
        raise spectrum.linalg.ArpackNoConvergence("no", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(spectrum.linalg, "eigsh", fail)
    found = discrete.minimise(moons(), 10)
    assert found.status is Status.CONVERGED and found.curvature == pytest.approx(expected.curvature, rel=1e-5)
    monkeypatch.setattr(spectrum, "DENSE", 10)
    assert discrete.minimise(moons(), 10).status is Status.UNCERTIFIED


def evaluations(m: Minimum) -> int:
    """Gradients and Hessian products of a minimisation."""
    return m.gradients + m.hessian_products


def test_depth_is_almost_free() -> None:
    """Mild: at most 12 evaluations a depth, no more as it grows; the certificate takes a few products.

    Where a coarse Hessian is formed, it knows the least curved direction.
    """
    path = discrete.branch(moons(), [8 * 2**k for k in range(9)], seed=0)
    deep = {m.control.depth: m for m in path if m.control.depth >= 64}
    assert all(m.status is Status.CONVERGED for m in path)
    assert all(evaluations(m) <= 12 and m.certificate_products <= 18 for m in deep.values())
    assert all(m.certificate_products <= 5 for m in path if m.coarse_products)
    assert evaluations(deep[2048]) <= evaluations(deep[256]) <= 10


def test_a_ladder_pays_once_for_what_it_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start at a saddle forms two Hessians; the price that later depths compare with is that of the last."""
    path = ladder.Ladder(Search(moons()), 64)
    path.begin(discrete.minimise(moons(), 8, seed=0).control)
    assert path._price == path.minima[0].coarse_products > 0
    genuine = Search.minimum

    def twice(search: Search, start: Layers, hints: Any, near: bool, learn: Any) -> Any:
        def again(*args: Any) -> Any:
            learn(*args)
            return learn(*args)

        return genuine(search, start, hints, near, again)

    monkeypatch.setattr(Search, "minimum", twice)
    path.extend(16)
    assert path.minima[1].coarse_products == 2 * path._price > 0


def test_an_unfinished_depth_leaves_the_coarse_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learnt at a point that is no certified minimum is not used."""
    path = ladder.Ladder(Search(moons()), 64)
    path.begin(discrete.minimise(moons(), 8, seed=0).control)
    before, genuine = path._coarse, Search.minimum

    def uncertified(*args: Any) -> Any:
        minimum, lowest = genuine(*args)
        return replace(minimum, status=Status.UNCERTIFIED), lowest

    monkeypatch.setattr(Search, "minimum", uncertified)
    path.extend(16)
    assert path.minima[1].coarse_products > 0 and path._coarse is before


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_data_that_teach_nothing_leave_the_regulariser(tau: float) -> None:
    """All points at zero: the Hessian is 2I, or has zeros where τ = 0 leaves K(0) free."""
    zeros = torch.zeros(5, 2, dtype=torch.float64)
    options: dict[str, Any] = {} if tau else {"tau": 0.0, "drop_hypotheses": True}
    problem = Problem(Data(zeros, zeros), loss="squared", trainable="K", **options)
    for m in discrete.branch(problem, [16, 32]):
        assert m.curvature == pytest.approx(2 * tau, abs=1e-9)
        assert m.status is (Status.CONVERGED if tau else Status.SADDLE)


def test_the_cost_of_the_coarse_grid_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products spent for deeper networks are not those of a depth's own minimum, and the deepest spends none."""
    calls = []
    genuine = energy.Point.product
    monkeypatch.setattr(energy.Point, "product", lambda point, v: calls.append(1) or genuine(point, v))
    path = discrete.branch(moons(), [8, 16, 32], seed=0)
    assert len(calls) == sum(m.hessian_products + m.certificate_products + m.coarse_products for m in path)
    assert path[0].coarse_products > 0 and path[-1].coarse_products == 0


@pytest.mark.parametrize("deepest", [24, 1000])
def test_a_branch_in_a_symmetric_subspace_has_the_curvature_across_it(deepest: int) -> None:
    """Data and start are symmetric in x₂, and so is the branch; its least curved direction is not.

    The certificate of depth 24 rests on the Hessian of depth 3, or on its own where a deeper network is to come.
    """
    half = torch.tensor([[1.3, 1.0], [-0.6, -0.2], [0.1, -1.0]], dtype=torch.float64)
    x = torch.cat([half, half * torch.tensor([1.0, -1.0], dtype=torch.float64)])
    y = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    problem = Problem(Data(x, y), activation="silu", alpha=0.045)
    K = torch.diag(torch.tensor([-0.2, -0.2], dtype=torch.float64)).expand(3, 2, 2)
    b = torch.tensor([-0.7, 0.0], dtype=torch.float64).expand(3, 2)
    path = ladder.Ladder(Search(problem), deepest)
    path.begin(Layers(K, b, [[0.4, 0.0]], [0.0]))
    path.extend(24)
    m = path.minima[-1]
    assert (m.coarse_products > 0) == (deepest > 24)
    energy, coordinates = Search(problem).energy(24)
    point = energy(coordinates.vector(m.control))
    values = np.linalg.eigvalsh(np.column_stack([point.product(e) for e in np.eye(coordinates.size)]))
    assert m.status is Status.CONVERGED and m.curvature == pytest.approx(values[0], rel=1e-5)
    assert values[0] == pytest.approx(1.4376, abs=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_told_in_one_sentence() -> None:
    """Not by an assertion inside torch."""
    with pytest.raises(ValueError, match="device 'cuda' is not available here"):
        discrete.minimise(moons(), 4, device="cuda")


def test_a_memory_limit_too_small_for_the_deepest_network_is_told_at_once() -> None:
    """Not after all the coarser ones have been trained."""
    with pytest.raises(ValueError, match="memory_limit must be at least"):
        discrete.branch(moons(), [8, 2**20], memory_limit=30_000)


@pytest.mark.slow
def test_a_stiff_problem_costs_a_few_dozen_evaluations() -> None:
    """200 points, α = 0.001, eigenvalues to 7·10⁵: at most 60 evaluations a depth once the branch has settled."""
    problem = Problem(datasets.moons(200, noise=0.2, seed=0), alpha=0.001)
    path = discrete.branch(problem, [8 * 2**k for k in range(9)], seed=0)
    deep = {m.control.depth: m for m in path if m.control.depth >= 256}
    assert all(m.status is Status.CONVERGED and evaluations(m) <= 40 for m in deep.values())
    assert evaluations(deep[2048]) <= evaluations(deep[256])


def test_tolerance_reaches_the_coarsest_depth_of_the_lowest_branch() -> None:
    """Every depth is minimised to what was asked."""
    problem = Problem(datasets.moons(points=12), alpha=0.05)
    assert all(m.residual <= 1e-12 for m in discrete.lowest(problem, [8, 16], starts=2, tol=1e-12))

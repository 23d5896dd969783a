"""The steps of Γ-convergence, against closed forms, sums written out and other integrators."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from problems import REFERENCE, RING_MINIMA, layers, random_case, random_weights, ring
from scipy.integrate import quad

from deeplimit import Curve, Data, Layers, Problem, continuum, discrete, expansion, gamma, irregular
from deeplimit.control import Basis, Hats, Legendre
from deeplimit.irregular import Power, Waves


def scalar(**options: object) -> Problem:
    """The inputs −1, 0.2, 1 with targets −0.5, 1, 0.3 and squared loss."""
    samples = Data([[-1.0], [0.2], [1.0]], [[-0.5], [1.0], [0.3]])
    return Problem(samples, loss="squared", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("activation", "trainable", "squares"),
    [
        ("tanh", "KbWc", 0.25 + 1 + 0.09),  # z = 0
        ("tanh", "Kb", 0.25 + 0.64 + 0.49),  # z = x
        ("sigmoid", "Kb", 0.0 + 0.09 + 1.44),  # z = x + ½
    ],
)
def test_bounds_are_roots_of_the_objective_with_nothing_trained(
    activation: str, trainable: str, squares: float
) -> None:
    """C₀ is Σ|z − y|² with the untrained blocks at their fixed values; the bounds divide it by α and τ."""
    found = gamma.bounds(scalar(activation=activation, trainable=trainable, alpha=0.5, tau=4.0))
    root = math.sqrt(squares / 0.5)
    wanted = {"'": root, "(0)": root / 2, " sup": root * math.sqrt(1.25)}
    for name, value in wanted.items():
        assert found["K" + name] == pytest.approx(value, rel=1e-14)
        assert found["b" + name] == pytest.approx(value, rel=1e-14)
    heads = {k: v for k, v in found.items() if k in "Wc"}
    assert heads == ({k: pytest.approx(root, rel=1e-14) for k in "Wc"} if "W" in trainable else {})


def test_a_dropped_hypothesis_leaves_no_bound() -> None:
    """Without α or τ nothing bounds the block."""
    found = gamma.bounds(scalar(alpha={"K": 0.0, "b": 1.0, "W": 1.0, "c": 1.0}, tau=0.0, drop_hypotheses=True))
    assert [k for k, v in found.items() if v == math.inf] == ["K'", "K(0)", "K sup", "b(0)", "b sup"]


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_sizes_are_the_norms_written_out(depth: int) -> None:
    """Sums over layers in plain numbers; those of a piecewise linear interpolant are the same."""
    case = random_case("tanh", "squared", seed=depth)
    generator = torch.Generator().manual_seed(depth)
    K, b, W, c = (torch.randn(case.shapes(depth)[k], generator=generator, dtype=torch.float64) for k in "KbWc")
    network = Layers(K, b, W, c)
    wanted = {"W": math.sqrt(sum(w**2 for w in W.ravel().tolist())), "c": math.sqrt(sum(v**2 for v in c.tolist()))}
    for name, theta in (("K", K.reshape(depth, -1).tolist()), ("b", b.tolist())):
        jumps = sum((v - u) ** 2 for low, high in pairwise(theta) for u, v in zip(low, high, strict=True))
        wanted[f"{name}'"] = math.sqrt(depth * jumps)
        wanted[f"{name}(0)"] = math.sqrt(sum(v**2 for v in theta[0]))
        wanted[f"{name} sup"] = max(math.sqrt(sum(v**2 for v in row)) for row in theta)
    for control in (network, network.interpolant()):
        found = gamma.sizes(case.problem(), control)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            # the interpolant is looked at on a grid that misses the nodes i/7
            assert found[name] == pytest.approx(value, rel=1e-12 if "sup" not in name else 2e-2)


def test_compactness_is_one_where_the_bound_is_sharp() -> None:
    """θ(0) = τ⁻¹θ', θ linear is the equality case of |θ(t)|² ≤ (1 + 1/τ)(‖θ'‖² + τ|θ(0)|²), reached at t = 1."""
    problem = scalar(alpha=0.3, tau=2.0, trainable="K")
    C0 = 0.25 + 0.64 + 0.49
    slope = math.sqrt(C0 / 0.3 / (1 + 1 / 2.0))
    curve = Curve(Hats(1), [[[slope / 2]], [[slope]]], [[0.0], [0.0]], [[1.0]], [0.0])  # type: ignore[arg-type]
    assert gamma.compactness(problem, curve) == pytest.approx(1, rel=1e-14)


def test_compactness_of_minimisers_is_at_most_one_and_does_not_grow() -> None:
    """Minimisers lie below E_n(0) at every depth, and the bounds are the same at every depth."""
    problem = ring().problem()
    best = discrete.branches(problem, 16, starts=16)[0]
    assert best.value == pytest.approx(RING_MINIMA[16], rel=1e-9)
    found = [gamma.compactness(problem, m.control) for m in discrete.branch(problem, [16, 64], start=best.control)]
    assert 0.1 < max(found) <= 1
    assert abs(found[1] - found[0]) < 0.02


def test_compactness_counts_only_what_is_trained_and_can_fail() -> None:
    """Large weights exceed the bounds; with a perfect fit at zero only zero weights are allowed."""
    big = Layers(100 * torch.ones(3, 1, 1), torch.zeros(3, 1), torch.zeros(1, 1), torch.zeros(1))
    assert gamma.compactness(REFERENCE.problem(), big) > 1
    with pytest.raises(ValueError, match="W is not trainable"):
        gamma.compactness(scalar(trainable="Kb"), big)
    fitted = Problem(Data([[1.0]], [[1.0]]), loss="squared", trainable="K")
    still = Layers(torch.zeros(2, 1, 1), torch.zeros(2, 1), torch.ones(1, 1), torch.zeros(1))
    assert gamma.compactness(fitted, still) == 0
    moved = Layers(torch.ones(2, 1, 1), torch.zeros(2, 1), torch.ones(1, 1), torch.zeros(1))
    assert gamma.compactness(fitted, moved) == math.inf


def test_a_control_of_another_kind_is_refused() -> None:
    """One sentence that names the kinds."""
    with pytest.raises(TypeError, match="control must be Layers or Curve, got ndarray"):
        gamma.compactness(REFERENCE.problem(), np.zeros(3))  # type: ignore[arg-type]


def test_a_forward_error_is_that_of_a_curve_at_a_depth() -> None:
    """Networks have no states between their nodes, and no depth is 0."""
    problem = REFERENCE.problem()
    curve = problem.metric.draw(0)
    for call in (gamma.forward_error, gamma.recovery_gap, gamma.regulariser_gap):
        with pytest.raises(TypeError, match="curve must be Curve, got Layers"):
            call(problem, curve.sample(4), 4)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
            call(problem, curve, 0)
    with pytest.raises(TypeError, match="curve must be Curve, got Layers"):
        gamma.trajectory(problem, curve.sample(4), np.ones(1))  # type: ignore[arg-type]


@pytest.mark.parametrize("t", [[-0.1, 0.5], [0.5, 1.1], [0.6, 0.5], [0.5, math.nan], 0.5])
def test_states_are_not_continued_outside_the_interval(t: list[float] | float) -> None:
    """The interpolant of the integrator would go on without an error."""
    problem = REFERENCE.problem()
    with pytest.raises(ValueError, match="times from 0 to 1 in increasing order, got array"):
        gamma.trajectory(problem, problem.metric.draw(0), np.array(t))


def samples(curve: Curve, depth: int) -> dict[str, torch.Tensor]:
    """K and b at the nodes i/n."""
    K, b = curve.at(np.arange(depth) / depth)
    return {"K": K, "b": b, "W": curve.W, "c": curve.c}


def test_states_and_their_correction_are_those_of_the_linear_equation() -> None:
    """X' = kX: X = x exp(∫k), and log Π(1 + k_i/n) gives e = −X (k(t) − k(0) + ∫k²)/2."""
    problem = Problem(Data([[2.0]], [[0.0]]), activation="identity", loss="squared")
    curve = irregular.random(problem.metric, Legendre(4), 3)
    curve = Curve(curve.basis, curve.K, 0 * curve.b, curve.W, curve.c)
    times = np.array([0.0, 0.4, 1.0])
    X, e = (path[:, 0, 0].numpy() for path in gamma.trajectory(problem, curve, times))

    def k(t: float) -> float:
        return float(curve.at(t)[0])

    for t, state, correction in zip(times, X, e, strict=True):
        exact = 2 * math.exp(quad(k, 0, t, epsabs=1e-13)[0])
        assert state == pytest.approx(exact, rel=1e-11)
        wanted = -exact * (k(t) - k(0.0) + quad(lambda s: k(s) ** 2, 0, t, epsabs=1e-13)[0]) / 2
        assert correction == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("basis", [Legendre(5), Power(), Hats(8)])
def test_correction_is_what_a_plain_network_shows(basis: Basis) -> None:
    """n (X_n − X(1)), from a loop over layers, tends to e(1) for smooth, merely H¹ and piecewise linear weights."""
    case = random_case("tanh", "squared", seed=4)
    curve = irregular.random(case.problem().metric, basis, 5)
    X, e = (path[-1] for path in gamma.trajectory(case.problem(), curve, np.ones(1)))
    n = 2000
    theta = samples(curve, n)
    scaled = n * (case.end_state(theta["K"], theta["b"]) - X)
    assert float((scaled - e).abs().max()) < 0.01 * float(e.abs().max())


@pytest.mark.parametrize("basis", [Legendre(7), Hats(5)])
def test_objective_is_that_of_the_other_integrator(basis: Basis) -> None:
    """The adaptive method and the sweep of order 8 share no code."""
    problem = ring().problem()
    curve = irregular.random(problem.metric, basis, 2)
    assert gamma.objective(problem, curve) == pytest.approx(continuum.objective(problem, curve), rel=1e-11)


def test_data_constant_is_the_integral_of_the_costate() -> None:
    """Σ g·We(1) = −½ Σ∫ p·X'', the latter by quadrature along state and costate."""
    problem = ring().problem()
    curve = irregular.random(problem.metric, Legendre(6), 1)
    assert gamma.data_constant(problem, curve) == pytest.approx(expansion.value_constant(problem, curve), rel=1e-9)


def test_recovery_gap_is_its_two_constants_over_n() -> None:
    """n (E_n − E_∞) of a plain network, extrapolated from two depths; the regulariser adds −α(|K'(1)|² + |b'(1)|²)."""
    case = random_case("tanh", "squared", seed=2)
    problem, n = case.problem(), 1500
    curve = irregular.random(problem.metric, Legendre(3), 6)
    slopes = dict(zip("Kb", curve.derivative(1.0), strict=True))
    lost = sum(case.alpha[k] * float(slopes[k].square().sum()) for k in "Kb")
    scaled = [m * (float(case.objective(samples(curve, m))) - gamma.objective(problem, curve)) for m in (n, 2 * n)]
    wanted = expansion.value_constant(problem, curve) - lost
    assert 2 * scaled[1] - scaled[0] == pytest.approx(wanted, rel=1e-4)
    assert n * gamma.recovery_gap(problem, curve, n) == pytest.approx(scaled[0], rel=1e-9)
    assert gamma.regulariser_leading(problem, curve, n) == pytest.approx(-lost / n, rel=1e-12)


def test_forward_error_is_the_largest_distance_to_the_equation() -> None:
    """X' = X, X(0) = 2: the last of the errors 2 (e^{i/n} − (1 + 1/n)^i) is the largest; n times it tends to e."""
    problem = Problem(Data([[1.0], [2.0]], [[0.0], [0.0]]), activation="identity", loss="squared")
    curve = Curve(Legendre(1), [[[1.0]], [[0.0]]], [[0.0], [0.0]], [[1.0]], [0.0])  # type: ignore[arg-type]
    assert gamma.forward_error(problem, curve, 10) == pytest.approx(2 * (math.e - 1.1**10), rel=1e-10)
    assert gamma.forward_constant(problem, curve) == pytest.approx(math.e, rel=1e-10)


def test_regulariser_is_that_of_the_definition() -> None:
    """The sum over layers, and ∫ |θ'|² by quadrature."""
    case = random_case("tanh", "squared", seed=7)
    theta = random_weights(case, 6, 1)
    found = gamma.regulariser(case.problem(), layers(theta))
    assert found == pytest.approx(float(case.regulariser(theta)), rel=1e-12)
    curve = irregular.random(case.problem().metric, Power(exponent=-0.1), 4)
    total = sum(case.alpha[k] * float(getattr(curve, k).square().sum()) for k in "Wc")
    for j, k in enumerate("Kb"):
        slope = lambda t, j=j: float(curve.derivative(t)[j].square().sum())  # noqa: E731
        square = quad(slope, 0, 1, points=[1 / 3], limit=200)[0]
        total += case.alpha[k] * (square + case.tau[k] * float(getattr(curve, k)[0].square().sum()))
    assert gamma.regulariser(case.problem(), curve) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("basis", [Legendre(9), Power(), Waves(6), Hats(7)])
@pytest.mark.parametrize("depth", [1, 3, 64])
def test_samples_have_no_larger_regulariser(basis: Basis, depth: int) -> None:
    """Jensen's inequality in every cell."""
    problem = ring().problem()
    assert gamma.regulariser_gap(problem, irregular.random(problem.metric, basis, depth), depth) <= 0


def test_regulariser_of_a_merely_h1_curve_comes_as_slowly_as_predicted() -> None:
    """The loss at the singularity and in the last cell, against the difference itself, up to n⁻²."""
    problem = ring().problem()
    curve = irregular.random(problem.metric, Power(), 1)
    for n in (64, 1024):
        gap, leading = gamma.regulariser_gap(problem, curve, n), gamma.regulariser_leading(problem, curve, n)
        assert gap == pytest.approx(leading, rel=0.1 / n)


def test_points_below_have_the_value_at_zero() -> None:
    """A random ray from the minimiser ends where E_n = E_n(0), never above; the start must not be above."""
    problem = REFERENCE.problem()
    start = discrete.branches(problem, 8, starts=4)[0].control
    zero = layers({k: torch.zeros(REFERENCE.shapes(8)[k]).double() for k in "KbWc"})
    C0 = discrete.objective(problem, zero)
    for seed in range(5):
        value = discrete.objective(problem, gamma.below(problem, start, seed))
        assert C0 * (1 - 1e-6) < value <= C0
    high = layers({k: torch.full(REFERENCE.shapes(8)[k], 9.0).double() for k in "KbWc"})
    with pytest.raises(ValueError, match=r"must be at most E_n\(0\)"):
        gamma.below(problem, high, 0)


def test_an_integration_that_stops_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a state that was not reached."""
    stopped = SimpleNamespace(success=False, message="the step is too small", sol=None, y=np.zeros((2, 1)))
    monkeypatch.setattr(gamma, "solve_ivp", lambda *_, **__: stopped)
    problem = REFERENCE.problem()
    with pytest.raises(RuntimeError, match="not integrated to the end: the step is too small"):
        gamma.objective(problem, problem.metric.draw(3))

"""The minimum of E_∞: the truth is closed forms, published values, and three methods that share nothing with this one.

Those are SciPy's adaptive integrator for given weights, collocation of the optimality system, and direct collocation by
CasADi with its interior-point solver.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import casadi
import numpy as np
import pytest
import torch
from problems import DEEP, LINEAR, REFERENCE, SIGMA, Case, layers, random_case, random_weights, ring
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from deeplimit import Data, Layers, Problem, continuum, data, discrete, pontryagin
from deeplimit.control import Curve, Hats, Legendre
from deeplimit.minimum import Minimum, Status

VALUE = 0.5807379250804945  # of the reference problem
REFERENCE_SEED, RING_SEED = 1, 0


@pytest.fixture(scope="module", name="minimum")
def _minimum() -> Minimum:
    return continuum.minimise(REFERENCE.problem(), seed=REFERENCE_SEED)


@pytest.fixture(scope="module", name="ring_minimum")
def _ring_minimum() -> Minimum:
    return continuum.minimise(ring().problem(), seed=RING_SEED)


def plane(loss: str = "softmax") -> Case:
    """Four points in the plane, two outputs, the mean over the points."""
    case = random_case("tanh", loss, 11, d=2, m=2, points=4)
    return dataclasses.replace(case, alpha={"K": 0.02, "b": 0.03, "W": 0.01, "c": 0.02}, tau={"K": 1.0, "b": 0.5})


# Closed forms.


def test_the_scalar_linear_problem_has_its_closed_form() -> None:
    """X(1) = e^k, k = ∫K, and the least ‖K'‖² + τ K(0)² with ∫K = k is k²/c, c = 1/τ + 1/3, with K(0) = k/(cτ)."""
    c = 1 + 1 / 3
    k = brentq(lambda k: 2 * (np.exp(k) - 2) * np.exp(k) + 2 * 0.1 * k / c, 0, 1, xtol=1e-15)
    found = continuum.minimise(LINEAR.problem())
    assert found.status is Status.CONVERGED
    assert found.value == pytest.approx((np.exp(k) - 2) ** 2 + 0.1 * k**2 / c, abs=1e-12)
    assert found.value == pytest.approx(0.03536229225818096, abs=1e-12)
    assert found.data_loss == pytest.approx((np.exp(k) - 2) ** 2, abs=1e-9)
    assert found.control.at(0.0)[0].item() == pytest.approx(k / c, abs=1e-9)
    assert found.control.at(0.0)[0].item() == pytest.approx(0.5101075438600136, abs=1e-9)


@pytest.mark.parametrize(("alpha", "tau"), [(0.1, 1.0), (2.0, 0.3)])
def test_the_bias_alone_has_its_closed_form(alpha: float, tau: float) -> None:
    """X(1) = x + B, B = ∫b: min |x + B − y|² + α|B|²/c is |x − y|²/(1 + c/α), at b(t) = B (1/τ + t − t²/2)/c."""
    x, y = torch.tensor([[1.0, -0.5]]).double(), torch.tensor([[0.2, 2.0]]).double()
    problem = Problem(Data(x, y), activation="identity", loss="squared", trainable="b", alpha=alpha, tau=tau)
    found, c, t = continuum.minimise(problem), 1 / tau + 1 / 3, torch.linspace(0, 1, 7).double()
    assert found.value == pytest.approx(float(((x - y) ** 2).sum()) / (1 + c / alpha), abs=1e-12)
    profile = ((1 / tau + t - t**2 / 2) / (c + alpha))[:, None] * (y - x)
    torch.testing.assert_close(found.control.at(t)[1], profile, rtol=0, atol=1e-9)


# The reference problems.


def test_the_reference_problem_has_its_published_value(minimum: Minimum) -> None:
    """By collocation of the optimality system, to all its digits."""
    assert minimum.status is Status.CONVERGED and minimum.seed == REFERENCE_SEED
    assert minimum.value == pytest.approx(VALUE, abs=1e-12)
    assert minimum.residual <= 1e-10 and minimum.curvature > 0
    assert minimum.control.W.item() == pytest.approx(0.28788412, abs=1e-8)
    assert minimum.control.c.item() == pytest.approx(0.13836719, abs=1e-8)


def test_the_tolerance_tightens_the_error_bar(minimum: Minimum) -> None:
    """tol is the gradient to reach and the relative error of the value; the control gets better with it too."""
    tight = continuum.minimise(REFERENCE.problem(), start=minimum.control, tol=1e-12)
    assert tight.status is Status.CONVERGED
    assert tight.residual <= 1e-12 and tight.error_bar <= 1e-12 * VALUE
    assert tight.distance_bound < minimum.distance_bound
    assert abs(tight.value - VALUE) <= tight.error_bar + 1e-15


def test_the_ring_is_minimised_to_the_tolerance(ring_minimum: Minimum) -> None:
    """Softmax, the mean over eight points in the plane."""
    assert_minimised(ring().problem(), ring_minimum)


def test_moons_are_minimised_to_the_tolerance() -> None:
    """Logistic loss, twenty points."""
    problem = Problem(data.moons(20), alpha=0.05)
    assert_minimised(problem, continuum.minimise(problem))


def assert_minimised(problem: Problem, found: Minimum, tol: float = 1e-10) -> None:
    """The certificate within the tolerance, and again by the adaptive integrator, over the whole space."""
    assert found.status is Status.CONVERGED
    assert found.residual <= tol and found.error_bar <= 1e-9 * found.value and found.curvature > 0
    certificate = pontryagin.certify(problem, found.control)
    assert abs(certificate.value - found.value) <= found.error_bar + 1e-12 * found.value
    # the largest eigenvalue of the Hessian is below 1e3 for these problems
    assert certificate.residual <= 1e3 * found.distance_bound


# The reported error is honest.


@pytest.mark.parametrize("sizes", [(4, 6), (6, 9)])
def test_the_error_bar_of_few_terms_is_honest(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of the limit is known: it lies within the error bar, also where that is far above rounding."""
    monkeypatch.setattr(continuum, "SIZES", sizes)
    found = continuum.minimise(REFERENCE.problem(), seed=REFERENCE_SEED)
    assert abs(found.value - VALUE) <= found.error_bar + 1e-15


@pytest.mark.slow
def test_the_error_bar_of_the_ring_is_honest(ring_minimum: Minimum, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finer resolution moves the value by no more than the error bar."""
    monkeypatch.setattr(continuum, "SIZES", (30, 36))
    fine = continuum.minimise(ring().problem(), start=ring_minimum.control, tol=1e-12)
    assert abs(fine.value - ring_minimum.value) <= ring_minimum.error_bar + 1e-15


@pytest.mark.slow
def test_stiffer_moons_are_minimised_to_the_tolerance() -> None:
    """A smaller regulariser, which asks for more terms than the reference problems."""
    problem = Problem(data.moons(20))
    assert_minimised(problem, continuum.minimise(problem))


@pytest.mark.slow
@pytest.mark.parametrize("tol", [1e-6, 1e-8, 1e-10])
def test_the_error_bar_of_moons_is_honest(tol: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a problem whose coefficients fall slowly, at several tolerances."""
    problem = Problem(data.moons(20))
    coarse = continuum.minimise(problem, tol=tol)
    monkeypatch.setattr(continuum, "SIZES", (60, 80))
    fine = continuum.minimise(problem, start=coarse.control, tol=1e-13)
    assert abs(fine.value - coarse.value) <= coarse.error_bar + 1e-15


def test_the_distance_bound_is_honest(minimum: Minimum, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of few terms is no farther from that of many than its bound, in the norm of the regulariser."""
    monkeypatch.setattr(continuum, "SIZES", (6, 9))
    coarse = continuum.minimise(REFERENCE.problem(), seed=REFERENCE_SEED)
    monkeypatch.undo()
    fine = minimum.control
    assert coarse.distance_bound > 100 * minimum.distance_bound
    gaps = [getattr(coarse.control.project(fine.basis), k) - getattr(fine, k) for k in "KbWc"]
    alpha = REFERENCE.alpha.values()
    distance = sum(a * float((gap**2).sum()) for a, gap in zip(alpha, gaps, strict=True)) ** 0.5
    assert distance <= coarse.distance_bound


def test_too_few_terms_are_said_to_be_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two resolutions differ at the maximum the status says so; a smaller space has a larger minimum."""
    monkeypatch.setattr(continuum, "SIZES", (4, 6))
    found = continuum.minimise(REFERENCE.problem(), seed=REFERENCE_SEED)
    assert found.status is Status.RESOLUTION and not found.status.converged
    assert found.error_bar > 1e-10 * found.value
    assert found.value > VALUE


# The objective.


def objective(case: Case, nodes: np.ndarray, theta: dict[str, np.ndarray], W: np.ndarray, c: np.ndarray) -> float:
    """E_∞ of the piecewise linear weights with the values `theta` at `nodes`, integrated cell by cell."""
    X, shape = case.x.numpy().ravel(), case.x.shape
    for i, (start, end) in enumerate(pairwise(nodes)):

        def rhs(t: float, y: np.ndarray, i: int = i, start: float = start, end: float = end) -> np.ndarray:
            s = (t - start) / (end - start)
            K, b = ((1 - s) * theta[k][i] + s * theta[k][i + 1] for k in DEEP)
            return SIGMA[case.activation](torch.from_numpy(y.reshape(shape) @ K.T + b)).numpy().ravel()

        X = solve_ivp(rhs, (start, end), X, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    value = case.data_term(torch.from_numpy(X.reshape(shape)), torch.from_numpy(W), torch.from_numpy(c)).item()
    for k in case.trainable:
        if k in DEEP:
            jumps = (np.diff(theta[k], axis=0) ** 2).reshape(len(nodes) - 1, -1).sum(1) / np.diff(nodes)
            value += case.alpha[k] * (jumps.sum() + case.tau[k] * (theta[k][0] ** 2).sum())
        else:
            value += case.alpha[k] * ({"W": W, "c": c}[k] ** 2).sum()
    return float(value)


@pytest.mark.parametrize(
    ("activation", "loss", "seed", "trainable"),
    [("tanh", "squared", 0, "KbWc"), ("softplus0", "softmax", 1, "KbWc"), ("silu", "logistic", 2, "Kb")],
)
@pytest.mark.parametrize("depth", [1, 5, 24])
def test_the_objective_of_an_interpolated_network(
    activation: str, loss: str, seed: int, trainable: str, depth: int
) -> None:
    """E_∞(Θ̂_n), Θ̂_n piecewise linear through the layers and constant on the last cell; the layers are not smooth."""
    case = random_case(activation, loss, seed, m=2, trainable=trainable)
    theta = random_weights(case, depth, seed)
    nodal = {k: np.concatenate([theta[k].numpy(), theta[k][-1:].numpy()]) for k in DEEP}
    wanted = objective(case, np.arange(depth + 1) / depth, nodal, theta["W"].numpy(), theta["c"].numpy())
    assert continuum.objective(case.problem(), layers(theta).interpolant()) == pytest.approx(wanted, rel=1e-11)


def test_the_objective_and_the_states_of_a_polynomial() -> None:
    """A straight line is one cell of piecewise linear weights and the first two terms of a Legendre series."""
    case = random_case("arctan", "squared", 4, m=2)
    theta = {k: v.numpy() for k, v in random_weights(case, 2, 4).items()}
    K, b = (np.concatenate([theta[k][:1], np.diff(theta[k], axis=0), 0 * theta[k][[0] * 6]]) for k in DEEP)
    line = Curve(Legendre(7), *(torch.from_numpy(v) for v in (K, b, theta["W"], theta["c"])))
    wanted = objective(case, np.array([0.0, 1.0]), {k: theta[k] for k in DEEP}, theta["W"], theta["c"])
    assert continuum.objective(case.problem(), line) == pytest.approx(wanted, rel=1e-12)
    path = pontryagin.trajectory(case.problem(), line, np.arange(6) / 5)
    torch.testing.assert_close(continuum.states(case.problem(), line, 5), path.X, rtol=0, atol=1e-11)


# Other methods.


@pytest.mark.parametrize("loss", ["softmax", pytest.param("squared", marks=pytest.mark.slow)])
def test_the_optimality_system_has_the_same_minimum_in_the_plane(loss: str) -> None:
    """Collocation of the whole boundary-value problem, d = 2, four points."""
    problem = plane(loss).problem()
    found = continuum.minimise(problem)
    solution = pontryagin.solve_bvp(problem, found.control.project(Legendre(4)), tol=1e-8)
    assert solution.converged, solution.status
    assert solution.value == pytest.approx(found.value, abs=1e-12)
    t = np.linspace(0, 1, 11)
    for theirs, ours in zip(solution.at(t), found.control.at(t), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


def test_the_optimality_system_has_the_same_minimum_on_a_line(minimum: Minimum) -> None:
    """The same for the reference problem, three points, from a start that is constant in t."""
    start = Curve(Hats(1), *(torch.tensor(v).double() for v in ([[[1.0]], [[0.0]]], [[0.5], [0.0]], [[0.3]], [0.1])))
    solution = pontryagin.solve_bvp(REFERENCE.problem(), start)
    assert solution.value == pytest.approx(minimum.value, abs=1e-12)


def radau_minimum(case: Case, start: Layers, cells: int, degree: int) -> float:
    """min E_∞ by direct collocation: (X, K, b) polynomials on each cell, K' and b' free at its Radau points."""
    size, wide = case.x.numel(), case.d * case.d
    points = casadi.collocation_points(degree, "radau")
    C, _, B = (np.array(v) for v in casadi.collocation_coeff(points))
    y = casadi.MX.sym("y", size + wide + case.d)
    X, K, b = casadi.vertsplit(y, [0, size, size + wide, size + wide + case.d])
    Z = casadi.reshape(X, case.d, -1).T @ casadi.reshape(K, case.d, case.d) + casadi.repmat(b.T, len(case.x), 1)
    velocity = casadi.Function("velocity", [y], [casadi.vec(casadi.tanh(Z).T)])
    first = casadi.MX.sym("first", wide + case.d)
    states = casadi.MX.sym("states", size + wide + case.d, cells * degree)
    slopes = casadi.MX.sym("slopes", wide + case.d, cells * degree)
    head = casadi.MX.sym("head", case.m * (case.d + 1))
    left, defects = casadi.vertcat(case.x.numpy().ravel(), first), []
    for i in range(0, cells * degree, degree):
        cell = casadi.horzcat(left, states[:, i : i + degree])
        rates = casadi.vertcat(velocity.map(degree)(cell[:, 1:]), slopes[:, i : i + degree])
        defects.append(casadi.vec(cell @ C - rates / cells))
        left = cell[:, -1]
    quadrature = np.tile(B.ravel() / cells, cells)
    energy = direct_energy(case, left[:size], first, casadi.mtimes(slopes**2, quadrature), head)
    unknowns = casadi.vertcat(first, casadi.vec(states), casadi.vec(slopes), head)
    programme = {"x": unknowns, "f": energy, "g": casadi.vertcat(*defects)}
    quiet = {"print_level": 0, "sb": "yes", "tol": 1e-12, "constr_viol_tol": 1e-13}
    solver = casadi.nlpsol("solver", "ipopt", programme, {"print_time": 0, "ipopt": quiet})
    result = solver(x0=direct_guess(case, start, cells * degree), lbg=0, ubg=0)
    assert solver.stats()["return_status"] == "Solve_Succeeded"
    return float(result["f"])


def direct_energy(case: Case, end: casadi.MX, first: casadi.MX, squares: casadi.MX, head: casadi.MX) -> casadi.MX:
    """E_∞ from X(1), (K, b)(0), the integrals of the squares of every entry of (K', b'), and (W, c)."""
    wide = case.d * case.d
    W, c = casadi.reshape(head[: case.m * case.d], case.d, case.m), head[case.m * case.d :]
    z = casadi.reshape(end, case.d, -1).T @ W + casadi.repmat(c.T, len(case.x), 1)
    y = case.y.numpy()
    losses = {
        "squared": lambda: casadi.sumsqr(z - y),
        "softmax": lambda: casadi.sum1(casadi.log(casadi.sum2(casadi.exp(z))) - casadi.sum2(z * y)),
    }
    total = losses[case.loss]() / (len(case.x) if case.reduction == "mean" else 1)
    for k, rows in {"K": slice(0, wide), "b": slice(wide, None)}.items():
        total += case.alpha[k] * (casadi.sum1(squares[rows]) + case.tau[k] * casadi.sumsqr(first[rows]))
    return total + case.alpha["W"] * casadi.sumsqr(W) + case.alpha["c"] * casadi.sumsqr(c)


def direct_guess(case: Case, start: Layers, points: int) -> np.ndarray:
    """The unknowns of a network: X = x, weights piecewise constant, slopes zero."""
    x = case.x.numpy().ravel()
    weights = np.stack([np.r_[K.ravel(), b] for K, b in zip(*(v.numpy() for v in (start.K, start.b)), strict=True)])
    rows = weights[np.arange(points) * len(weights) // points]
    states = np.hstack([np.tile(x, (points, 1)), rows])
    return np.concatenate([weights[0], states.ravel(), 0 * rows.ravel(), start.W.numpy().ravel(), start.c.numpy()])


@pytest.mark.parametrize(("name", "seed"), [("reference", REFERENCE_SEED), ("plane", 0)])
def test_direct_collocation_finds_the_same_minimum(name: str, seed: int) -> None:
    """CasADi and IPOPT, Radau's points of degree 5 on ten cells (order 9), from a network of depth 8."""
    case = {"reference": REFERENCE, "plane": plane()}[name]
    network = discrete.minimise(case.problem(), 8, seed=seed)
    found = continuum.minimise(case.problem(), start=network.control)
    assert found.status is Status.CONVERGED and found.seed is None
    assert radau_minimum(case, network.control, cells=10, degree=5) == pytest.approx(found.value, abs=1e-11)


# Starts.


def test_a_network_leads_to_the_limit_of_its_branch(minimum: Minimum) -> None:
    """Depth 16 has a minimum of .586189 and a higher one of .700690; each starts a search that ends in its limit."""
    problem = REFERENCE.problem()
    limits = {}
    for seed in (0, REFERENCE_SEED):
        network = discrete.minimise(problem, 16, seed=seed)
        limits[network.value] = continuum.minimise(problem, start=network.control).value
    low, high = sorted(limits)
    assert low == pytest.approx(0.586189, abs=1e-6) and high == pytest.approx(0.700690, abs=1e-6)
    assert limits[low] == pytest.approx(minimum.value, abs=1e-13)
    deeper = discrete.minimise(problem, 32, start=discrete.minimise(problem, 16, seed=0).control)
    # at first order the gap halves with the depth doubled
    assert (high - limits[high]) / (deeper.value - limits[high]) == pytest.approx(2, abs=0.15)


def test_a_start_that_does_not_fit_is_refused(minimum: Minimum) -> None:
    with pytest.raises(ValueError, match="does not fit the problem"):
        continuum.minimise(ring().problem(), start=minimum.control)
    with pytest.raises(ValueError, match="does not fit the problem"):
        continuum.objective(ring().problem(), minimum.control)


# Relu.


def relu_problem() -> Problem:
    return Problem(Data(REFERENCE.x, REFERENCE.y), activation="relu", loss="squared", alpha=0.05)


def test_relu_gets_piecewise_linear_weights_and_an_honest_error_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its minimisers sit at kinks; finer cells move the value by no more than the error bar of the coarse ones."""
    monkeypatch.setattr(continuum, "CELLS", (4, 8))
    coarse = continuum.minimise(relu_problem())
    monkeypatch.setattr(continuum, "CELLS", (32,))
    fine = continuum.minimise(relu_problem(), start=coarse.control)
    assert coarse.control.basis == Hats(8) and coarse.status is Status.KINKS
    assert np.isnan(coarse.curvature) and np.isnan(coarse.distance_bound)
    assert 0 <= coarse.value - fine.value <= coarse.error_bar


@pytest.mark.slow
def test_the_value_of_relu_is_that_of_its_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """E_∞ of the weights found, by the adaptive integrator, is the reported value within its error bar."""
    found = continuum.minimise(relu_problem())
    assert abs(pontryagin.certify(relu_problem(), found.control).value - found.value) <= found.error_bar


def test_a_tiny_value_is_resolved_to_rounding_and_not_called_unresolved() -> None:
    """With a large |u| and a small value a relative 1e-10 may lie below rounding; the status says so."""
    problem = Problem(Data([[5.0]], [[-3.0]]), loss="squared", alpha=1e-5)
    found = continuum.minimise(problem, start=discrete.minimise(problem, 32).control)
    assert found.status in (Status.CONVERGED, Status.ROUNDING)
    assert found.error_bar <= 1e-9 * found.value


def test_the_objective_of_a_rough_network_is_settled() -> None:
    """Steps are doubled until the value no longer changes: against eight times as many."""
    problem = Problem(data.moons(points=40, noise=0.2), alpha=0.001)
    curve = discrete.minimise(problem, 8, seed=3).control.interpolant()
    fine = continuum._data_loss(problem, curve, 2048)
    metric = problem.metric
    penalty = sum(
        metric.alpha[k] * float((theta[1:] ** 2).sum() + metric.tau[k] * (theta[0] ** 2).sum())
        for k, theta in (("K", curve.K), ("b", curve.b))
    )
    head = 0.001 * float((curve.W**2).sum() + (curve.c**2).sum())
    assert continuum.objective(problem, curve) == pytest.approx(fine + penalty + head, rel=1e-12)

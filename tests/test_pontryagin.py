"""The optimality system: the truth is closed forms, published values, and derivatives of an objective integrated here.

That objective is the definition, with polynomials of NumPy for the weights and SciPy's integrator for the state; its
derivatives are exact ones, by the complex step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.polynomial import Legendre as Series
from numpy.polynomial.legendre import leggauss, legvander
from problems import BLOCKS, DEEP, LINEAR, REFERENCE, SIGMA, Case, random_case, ring
from scipy.integrate import quad, solve_ivp

from deeplimit import Curve, Data, Layers, Problem, continuum, data, pontryagin
from deeplimit.control import Hats, Legendre
from deeplimit.minimum import Minimum

VALUE, W_STAR, C_STAR, HAMILTONIAN = 0.5807379250804945, 0.28788412, 0.13836719, -0.15538009417
REFERENCE_SEED = 1  # of the lower one of the two branches
TERMS = 28  # of the derivatives of a control in which dual norms are summed: the rest is below 1e-12
STEP = 1e-30

Arrays = dict[str, np.ndarray]


def series(terms: int) -> np.ndarray:
    """Legendre coefficients of 1, Φ_0, …, Φ_{terms−1} with Φ_j = ∫₀ᵗ √(2j+1) P_j(2s − 1) ds, one a column."""
    columns = [Series([1.0], domain=[0, 1])]
    columns += [math.sqrt(2 * j + 1) * Series.basis(j, domain=[0, 1]).integ(lbnd=0) for j in range(terms)]
    return np.stack([np.pad(c.coef, (0, terms + 1 - len(c.coef))) for c in columns], axis=1)


def evaluate(coefficients: np.ndarray, t: float) -> np.ndarray:
    """θ(t) of coefficients (J + 1, …), the value at 0 first."""
    terms = len(coefficients) - 1
    return np.tensordot(legvander(np.array([2 * t - 1]), terms)[0] @ series(terms), coefficients, axes=1)


def flow(case: Case, theta: Arrays, X: np.ndarray, start: float = 0.0) -> np.ndarray:
    """X(1) of X' = σ(KX + b) from X (B, S, d) at `start`, with a batch of weights."""
    terms = theta["K"].shape[1] - 1
    table = series(terms)
    K, b = (np.moveaxis(np.tensordot(table, theta[k], axes=(1, 1)), 1, 0) for k in DEEP)

    def rhs(t: float, y: np.ndarray) -> np.ndarray:
        row = legvander(np.array([2 * t - 1]), terms)[0]
        Kt, bt = (np.tensordot(row, v, axes=(0, 1)) for v in (K, b))
        Z = y.reshape(X.shape) @ Kt.swapaxes(1, 2) + bt[:, None]
        return SIGMA[case.activation](torch.from_numpy(Z)).numpy().ravel()

    # SciPy controls the error of the real part; short steps take care of the derivative in the imaginary one
    result = solve_ivp(rhs, (start, 1.0), X.ravel(), method="DOP853", rtol=1e-12, atol=1e-13, max_step=0.02)
    return result.y[:, -1].reshape(X.shape)


def objective(case: Case, theta: Arrays) -> np.ndarray:
    """E_∞ of a batch of controls, (B,)."""
    count = len(theta["W"])
    X = flow(case, theta, np.repeat(case.x.numpy()[None].astype(theta["K"].dtype), count, axis=0))
    tensors = [torch.from_numpy(np.ascontiguousarray(v)) for v in (X, theta["W"], theta["c"])]
    total = np.array([case.data_term(*rows).item() for rows in zip(*tensors, strict=True)])
    for k in case.trainable:
        square = (theta[k].reshape(count, len(theta[k][0]), -1) ** 2).sum(2)
        weights = np.ones(square.shape[1])
        weights[0] = case.tau[k] if k in DEEP else 1.0
        total = total + case.alpha[k] * square @ weights
    return total


def dual_norm(case: Case, theta: Arrays) -> float:
    """|∂E/∂u| over `TERMS` terms of the derivative, in u_0 = √(ατ) θ(0), u_{j+1} = √α θ_{j+1}, √α_W W, √α_c c."""
    padded = dict(theta)
    for k in DEEP:
        padded[k] = np.zeros((TERMS + 1, *theta[k].shape[1:]))
        padded[k][: len(theta[k])] = theta[k]
    directions = []
    for k in case.trainable:
        alpha = case.alpha[k] or 1.0
        for index in np.ndindex(padded[k].shape):
            first = k in DEEP and index[0] == 0
            directions.append((k, index, math.sqrt(alpha * ((case.tau[k] or 1.0) if first else 1.0))))
    batch = {k: np.repeat(v[None].astype(complex), len(directions), axis=0) for k, v in padded.items()}
    for i, (k, index, scale) in enumerate(directions):
        batch[k][(i, *index)] += 1j * STEP / scale
    return float(np.linalg.norm(objective(case, batch).imag / STEP))


def random_theta(case: Case, seed: int, terms: int = 4) -> Arrays:
    """Weights of size 1 with a derivative of a few terms."""
    random = np.random.default_rng(seed)
    theta = {}
    for k, shape in case.shapes(terms + 1).items():
        theta[k] = random.standard_normal(shape) if k in case.trainable else case.fixed(k, terms + 1).numpy()
        if k in DEEP:
            theta[k] = theta[k] / (1.0 + np.arange(terms + 1)).reshape(-1, *[1] * (len(shape) - 1))
    return theta


def curve(theta: Arrays) -> Curve:
    return Curve(Legendre(len(theta["K"]) - 1), *(torch.from_numpy(theta[k]) for k in BLOCKS))


def constant(K: float, b: float, W: float, c: float) -> Curve:
    """A scalar curve that does not depend on t."""
    return curve({"K": np.array([[[K]], [[0]]]), "b": np.array([[b], [0]]), "W": np.array([[W]]), "c": np.array([c])})


CASES = {
    "regression": random_case("tanh", "squared", 0),
    "logistic, mean": random_case("softplus0", "logistic", 1),
    "softmax, mean": random_case("arctan", "softmax", 3),
    "K alone": random_case("tanh", "squared", 2, m=2, trainable="K"),
    "b and c": random_case("silu", "logistic", 5, m=2, trainable="bc"),
    "the head alone": random_case("sigmoid", "softmax", 4, trainable="Wc"),
    "linear, K and W": random_case("identity", "squared", 1, trainable="KW"),
}


@pytest.fixture(params=CASES, name="case")
def _case(request: pytest.FixtureRequest) -> Iterator[Case]:
    yield CASES[request.param]


@pytest.fixture(scope="module", name="minimum")
def _minimum() -> Minimum:
    """The minimiser whose constants are published."""
    return continuum.minimise(REFERENCE.problem(), seed=REFERENCE_SEED)


# The certificate.


def test_the_minimiser_of_the_reference_problem_is_certified(minimum: Minimum) -> None:
    """It solves the Euler-Lagrange equation, its natural boundary conditions hold, and the Hamiltonian is constant."""
    certificate = pontryagin.certify(REFERENCE.problem(), minimum.control)
    assert certificate.residual <= 1e-9
    assert certificate.boundary <= 1e-7
    assert certificate.hamiltonian_drift <= 1e-9
    assert certificate.value == pytest.approx(VALUE, abs=1e-12)


def test_the_hamiltonian_of_the_reference_problem_is_the_published_one(minimum: Minimum) -> None:
    """The autonomous system has Σ p·σ(KX + b) − α|K'|² − α|b'|² as its first integral; w = 1 here."""
    found = pontryagin.trajectory(REFERENCE.problem(), minimum.control, np.linspace(0, 1, 11)).hamiltonian
    np.testing.assert_allclose(found.numpy(), HAMILTONIAN, rtol=0, atol=1e-9)


def test_the_residual_is_the_dual_norm_of_the_derivative(case: Case) -> None:
    """At weights that are no minimiser, residual² = Σ_j (∂E/∂u_j)² in coordinates u with the regulariser |u|²."""
    theta = random_theta(case, seed=7)
    found = pontryagin.certify(case.problem(), curve(theta)).residual
    assert found > 0.1
    assert found == pytest.approx(dual_norm(case, theta), rel=1e-10)


def test_the_value_is_that_of_the_definition(case: Case) -> None:
    """E_∞ with the state integrated here, to the tolerance of both integrators."""
    theta = random_theta(case, seed=8)
    wanted = objective(case, {k: v[None] for k, v in theta.items()})[0]
    assert pontryagin.certify(case.problem(), curve(theta)).value == pytest.approx(wanted, rel=1e-11)


def test_where_a_hypothesis_is_dropped_the_coordinate_keeps_its_scale() -> None:
    """With α_K = 0 and τ_b = 0 the derivative with respect to K', K(0) and b(0) is measured as if they were one."""
    case = dataclasses.replace(random_case("tanh", "squared", 6), tau={"K": 2.0, "b": 0.0})
    case = dataclasses.replace(case, alpha=case.alpha | {"K": 0.0}, reduction="sum")
    problem = Problem(
        Data(case.x, case.y),
        loss="squared",
        alpha=case.alpha,
        tau=case.tau,
        reduction=case.reduction,
        drop_hypotheses=True,
    )
    theta = random_theta(case, seed=9)
    certificate = pontryagin.certify(problem, curve(theta))
    assert certificate.residual == pytest.approx(dual_norm(case, theta), rel=1e-10)


def bias_problem(alpha: float, tau: float) -> Problem:
    """E = (x + ∫b − y)² + α (∫b'² + τ b(0)²) with x = 1, y = 3."""
    return Problem(Data([[1.0]], [[3.0]]), activation="identity", loss="squared", trainable="b", alpha=alpha, tau=tau)


def bias_line(start: float, coefficients: list[float]) -> Curve:
    """A piecewise linear b, slopes times 1/√M on M cells, and K = 0, W = 1, c = 0."""
    b = torch.tensor([[start], *[[v] for v in coefficients]], dtype=torch.float64)
    return Curve(Hats(len(coefficients)), torch.zeros(len(b), 1, 1), b, torch.ones(1, 1), torch.zeros(1))


@pytest.mark.parametrize(("alpha", "tau", "beta"), [(0.1, 1.0, 0.4), (0.3, 2.5, 0.4), (0.1, 1.0, -0.4)])
def test_the_residual_of_a_straight_line_has_a_closed_form(alpha: float, tau: float, beta: float) -> None:
    """With b = β + γt and r = x + β + γ/2 − y: R(t) = 2r(1 − t), and all integrals are those of polynomials."""
    gamma = -0.7
    r = 1 + beta + gamma / 2 - 3
    line = bias_line(beta, [gamma])
    inside = 4 * alpha**2 * gamma**2 + 4 * alpha * gamma * r + 4 * r**2 / 3
    start = (2 * alpha * tau * beta + 2 * r) ** 2
    certificate = pontryagin.certify(bias_problem(alpha, tau), line)
    assert certificate.residual == pytest.approx(math.sqrt((inside + start / tau) / alpha), rel=1e-12)
    assert certificate.boundary == pytest.approx(max(abs(gamma - tau * beta), abs(gamma)), rel=1e-12)
    assert certificate.value == pytest.approx(r**2 + alpha * (gamma**2 + tau * beta**2), rel=1e-12)
    # p = 2r and X' = b, so that H = 2r b − αγ² moves by 2rγ
    assert certificate.hamiltonian_drift == pytest.approx(abs(2 * r * gamma), rel=1e-12)


def test_the_residual_grows_with_the_distance_to_the_minimiser(minimum: Minimum) -> None:
    """residual = |H δ| to first order in the distance δ: by the complex step of the objective it is linear in δ."""
    problem, optimum = REFERENCE.problem(), minimum.control
    theta = {k: getattr(optimum, k).numpy() for k in BLOCKS}
    shape = random_theta(REFERENCE, seed=3, terms=len(theta["K"]) - 1)
    for size in (1e-3, 1e-5):
        moved = {k: theta[k] + size * shape[k] for k in BLOCKS}
        assert pontryagin.certify(problem, curve(moved)).residual == pytest.approx(
            dual_norm(REFERENCE, moved), rel=1e-5
        )


@pytest.mark.parametrize("cells", [32, 64])
def test_the_residual_sees_what_a_galerkin_space_cannot(minimum: Minimum, cells: int) -> None:
    """Piecewise linear weights miss θ' by a sawtooth of norm |θ''|/(M√12), on which the Hessian is the 2I of |u|²."""
    problem, optimum = REFERENCE.problem(), minimum.control
    nodes = (np.arange(2000) + 0.5) / 2000
    bends = [a - b for a, b in zip(optimum.derivative(nodes + 1e-4), optimum.derivative(nodes - 1e-4), strict=True)]
    bend = math.sqrt(sum(float((v**2).sum()) / len(nodes) / 2e-4**2 for v in bends))
    found = pontryagin.certify(problem, optimum.project(Hats(cells))).residual
    assert found == pytest.approx(2 * math.sqrt(0.05) * bend / (cells * math.sqrt(12)), rel=1e-3)


def test_real_data_are_certified() -> None:
    """569 points in four dimensions; the value is that of the state integrated here."""
    points = data.breast_cancer(features=4)
    problem = Problem(points, reduction="mean")
    case = Case(points.x, points.y, "tanh", "logistic", reduction="mean")
    theta = random_theta(case, seed=0)
    wanted = objective(case, {k: v[None] for k, v in theta.items()})[0]
    assert pontryagin.certify(problem, curve(theta)).value == pytest.approx(wanted, rel=1e-11)


def test_piecewise_linear_weights_and_relu_are_certified() -> None:
    """d = 1, K = 0, b = 1 − 2t: relu(b) moves X by 1/4, p = 2(z − y) = ½, q = p on [0, ½]; R and H follow by hand."""
    problem = Problem(Data([[1.0]], [[1.0]]), activation="relu", loss="squared", trainable="b", alpha=0.1)
    certificate = pontryagin.certify(problem, bias_line(1.0, [-1.0] * 4))
    assert certificate.value == pytest.approx(1 / 16 + 0.1 * (4 + 1), rel=1e-9)
    # R = (½ − t)⁺/2 and 2αb' = −0.4
    inside = quad(lambda t: (max(0.5 - t, 0) / 2 - 0.4) ** 2, 0, 1, points=[0.5], epsabs=1e-13)[0]
    assert certificate.residual == pytest.approx(math.sqrt((inside + (0.2 + 0.25) ** 2) / 0.1), rel=1e-9)
    assert certificate.hamiltonian_drift == pytest.approx(0.5, rel=1e-9)


def test_a_contracting_state_is_not_integrated_backwards() -> None:
    """K = diag(−40, 0), x = (1, 0), z = X(1), y = (z₁, 1): q = (0, −2) and X₁ = e^{−40t}, lost to rounding at t = 1.

    R_K has the one entry −2 ∫ₜ¹ X₁ = −(e^{−40t} − e^{−40})/20, and K' = 0.
    """
    alpha, lost = 0.1, math.exp(-40)
    points = Data([[1.0, 0.0]], [[lost, 1.0]])
    problem = Problem(points, activation="identity", loss="squared", trainable="K", alpha=alpha)
    K = np.array([[[-40.0, 0.0], [0.0, 0.0]], np.zeros((2, 2))])
    line = curve({"K": K, "b": np.zeros((2, 2)), "W": np.eye(2), "c": np.zeros(2)})
    inside = quad(lambda t: ((math.exp(-40 * t) - lost) / 20) ** 2, 0, 1, epsabs=1e-15)[0]
    start = (2 * alpha * 40) ** 2 + ((1 - lost) / 20) ** 2
    wanted = math.sqrt((inside + start) / alpha)
    assert pontryagin.certify(problem, line).residual == pytest.approx(wanted, rel=1e-11)
    assert pontryagin.trajectory(problem, line, [0.5]).X[0, 0, 0].item() == pytest.approx(math.exp(-20), abs=1e-12)


def test_a_state_that_overflows_gives_nan() -> None:
    """X(1) = 1e300 e^20 is not a number of this machine: a row of a table says so, nothing is raised."""
    problem = Problem(Data([[1e300]], [[1.0]]), activation="identity", loss="squared")
    assert math.isnan(pontryagin.certify(problem, constant(20.0, 0.0, 1.0, 0.0)).residual)


# State and costate.


@pytest.mark.parametrize("k", [-1.3, 2.0])
def test_constant_weights_have_closed_forms(k: float) -> None:
    """sinh z(t) = e^{kt} sinh z(0) for z = kX + b, X' = tanh z; p(t) = w W g ∂z(1)/∂z(t); H is constant and known."""
    b, W, c, w = 0.4, 0.7, 0.2, 1 / 3
    problem = Problem(Data(REFERENCE.x, REFERENCE.y), loss="squared", reduction="mean")
    t = np.array([0.0, 0.1, 0.1, 0.6180339887, 1.0])
    path = pontryagin.trajectory(problem, constant(k, b, W, c), t)
    z = np.arcsinh(np.exp(k * t)[:, None] * np.sinh(k * REFERENCE.x.numpy()[:, 0] + b))
    X = (z - b) / k
    g = 2 * (W * X[-1] + c - REFERENCE.y.numpy()[:, 0])
    growth = np.exp(k * (1 - t))[:, None]
    costate = w * W * g * growth * np.cosh(z) / np.sqrt(1 + growth**2 * np.sinh(z) ** 2)
    np.testing.assert_array_equal(path.t.numpy(), t)
    np.testing.assert_allclose(path.X.numpy()[..., 0], X, rtol=0, atol=1e-12)
    np.testing.assert_allclose(path.costate.numpy()[..., 0], costate, rtol=0, atol=1e-12)
    np.testing.assert_allclose(path.hamiltonian.numpy(), np.sum(costate[-1] * np.tanh(z[-1])), rtol=0, atol=1e-12)


def test_the_costate_is_the_derivative_of_the_loss_in_the_state(case: Case) -> None:
    """p_s(t) = ∂(w Σ L)/∂X_s(t), the flow restarted here from X(t) with one component moved at a time."""
    theta, t = random_theta(case, seed=10), 0.3
    path = pontryagin.trajectory(case.problem(), curve(theta), [t])
    X = path.X[0].numpy()
    moved = np.repeat(X[None].astype(complex), X.size, axis=0)
    moved.reshape(X.size, X.size)[np.diag_indices(X.size)] += 1j * STEP
    batch = {k: np.repeat(v[None].astype(complex), X.size, axis=0) for k, v in theta.items()}
    ends = torch.from_numpy(flow(case, batch, moved, t))
    W, c = (torch.from_numpy(theta[k].astype(complex)) for k in "Wc")
    slopes = np.array([case.data_term(end, W, c).imag.item() for end in ends]) / STEP
    np.testing.assert_allclose(path.costate[0].numpy().ravel(), slopes, rtol=0, atol=1e-11 * np.abs(slopes).max())


def test_the_hamiltonian_is_that_of_the_definition(case: Case) -> None:
    """Σ_s p_s · σ(K X_s + b) − Σ α_θ |θ'|² over the trained ones of K and b, the slopes by central differences."""
    theta, t = random_theta(case, seed=11), 0.4
    path = pontryagin.trajectory(case.problem(), curve(theta), [t])
    before, now, after = ({k: evaluate(theta[k], s) for k in DEEP} for s in (t - 1e-5, t, t + 1e-5))
    Z = path.X[0] @ torch.from_numpy(now["K"].T) + torch.from_numpy(now["b"])
    wanted = float((path.costate[0] * SIGMA[case.activation](Z)).sum())
    for k in [k for k in DEEP if k in case.trainable]:
        wanted -= case.alpha[k] * (((after[k] - before[k]) / 2e-5) ** 2).sum()
    assert path.hamiltonian.item() == pytest.approx(wanted, rel=1e-7)


# The boundary-value problem.


def test_the_boundary_value_problem_has_the_published_solution() -> None:
    """Value, head and Hamiltonian of the reference problem, from a start that is constant in t."""
    solution = pontryagin.solve_bvp(REFERENCE.problem(), constant(1.0, 0.5, 0.3, 0.1))
    assert solution.converged and solution.residual <= 1e-10, solution.status
    assert solution.value == pytest.approx(VALUE, abs=1e-12)
    assert solution.W.item() == pytest.approx(W_STAR, abs=1e-8)
    assert solution.c.item() == pytest.approx(C_STAR, abs=1e-8)


def test_the_boundary_conditions_of_the_solution_are_the_natural_ones() -> None:
    """K'(0) = τK(0), K'(1) = 0 and the like for b, with different τ."""
    problem = dataclasses.replace(REFERENCE, tau={"K": 0.5, "b": 2.0}).problem()
    solution = pontryagin.solve_bvp(problem, constant(1.0, 0.5, 0.3, 0.1), tol=1e-9)
    (K, b), (dK, db) = solution.at(0.0), solution.derivative([0.0, 1.0])
    assert dK[0].item() == pytest.approx(0.5 * K.item(), abs=1e-8)
    assert db[0].item() == pytest.approx(2.0 * b.item(), abs=1e-8)
    assert dK[1].item() == pytest.approx(0, abs=1e-8) and db[1].item() == pytest.approx(0, abs=1e-8)
    assert dK.shape == (2, 1, 1) and db.shape == (2, 1) and solution.at(np.zeros((2, 3)))[1].shape == (2, 3, 1)


@pytest.mark.parametrize(("trainable", "start"), [("K", (-0.5, 0, 1, 0)), ("bc", (0, 0.2, 1, 0.1))])
def test_blocks_that_are_not_trained_drop_out(trainable: str, start: tuple[float, ...]) -> None:
    """The solution is stationary for the objective integrated here: its dual norm, of 2 at the start, vanishes."""
    case = dataclasses.replace(REFERENCE, trainable=trainable)
    solution = pontryagin.solve_bvp(case.problem(), constant(*start), tol=1e-8)
    assert solution.converged, solution.status
    nodes, weights = leggauss(40)
    phi = legvander(nodes, 19) * np.sqrt(2 * np.arange(20) + 1) * weights[:, None] / 2
    theta = {"W": solution.W.numpy(), "c": solution.c.numpy()}
    for k, first, slope in zip(DEEP, solution.at(0.0), solution.derivative((nodes + 1) / 2), strict=True):
        theta[k] = np.concatenate([first.numpy()[None], np.tensordot(phi.T, slope.numpy(), axes=1)])
    assert dual_norm(case, theta) <= 1e-6


def test_the_head_alone_is_ridge_regression() -> None:
    """K = b = 0 leaves X = x, as tanh 0 = 0: (W, c) solves (AᵀA + diag α)(W, c) = Aᵀy with A = (x, 1)."""
    case = dataclasses.replace(REFERENCE, trainable="Wc")
    solution = pontryagin.solve_bvp(case.problem(), case.problem().metric.draw(0))
    A = np.hstack([case.x.numpy(), np.ones((3, 1))])
    wanted = np.linalg.solve(A.T @ A + 0.1 * np.eye(2), A.T @ case.y.numpy()[:, 0])
    np.testing.assert_allclose([solution.W.item(), solution.c.item()], wanted, rtol=1e-12)


def test_the_linear_problem_is_solved() -> None:
    """X(1) = e^k with k = ∫K: min over k of (e^k − 2)² + α k²/c, c = 1/τ + 1/3."""
    start = constant(0.6, 0.0, 1.0, 0.0)
    solution = pontryagin.solve_bvp(LINEAR.problem(), start)
    assert solution.value == pytest.approx(0.03536229225818096, abs=1e-12)


# Misuse.


def test_misuse_is_named(minimum: Minimum) -> None:
    problem, good = REFERENCE.problem(), minimum.control
    with pytest.raises(TypeError, match="a Curve, got Layers"):
        pontryagin.certify(problem, Layers(*(torch.zeros(s) for s in REFERENCE.shapes(2).values())))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not fit"):
        pontryagin.certify(ring().problem(), good)
    for t in ([0.5, 0.1], [-0.1, 0.5], [0.5, 1.1], 0.5, [0.5, math.nan]):
        with pytest.raises(ValueError, match="times from 0 to 1 in increasing order"):
            pontryagin.trajectory(problem, good, t)


def test_a_boundary_value_problem_out_of_reach_is_refused() -> None:
    """The limits of the method are said before it fills the memory or meets a kink."""
    large = Problem(data.moons(60))
    with pytest.raises(ValueError, match=r"≤ 150, got 252 for S = 60, d = 2"):
        pontryagin.solve_bvp(large, large.metric.draw(0))
    kinked = Problem(Data(REFERENCE.x, REFERENCE.y), activation="relu", loss="squared")
    with pytest.raises(ValueError, match="smooth activation, got 'relu'"):
        pontryagin.solve_bvp(kinked, constant(1.0, 0.5, 0.3, 0.1))
    free = Problem(Data(REFERENCE.x, REFERENCE.y), loss="squared", tau=0.0, drop_hypotheses=True)
    with pytest.raises(ValueError, match=r"positive alpha and tau, got tau\['K'\] = 0 and tau\['b'\] = 0"):
        pontryagin.solve_bvp(free, constant(1.0, 0.5, 0.3, 0.1))

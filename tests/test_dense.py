"""Densely connected networks and their Volterra limit, against loops, closed forms and SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, optimize
from torch import Tensor

from deeplimit import Data, Problem, activation, data, dense, network, triangle, volterra
from deeplimit.dense import Kernels
from deeplimit.minimum import Minimum
from deeplimit.volterra import Surface

ALPHA = {"K": 0.05, "b": 0.04, "W": 0.1, "c": 0.2}
TAU = {"K": 1.0, "b": 2.0}
FREE = Problem(data.moons(), tau={"K": 0.0, "b": 1.0}, drop_hypotheses=True)


def line_problem(name: str = "tanh") -> Problem:
    """Three points on a line."""
    x, y = np.array([[-1.0], [0.2], [1.0]]), np.array([[-0.5], [1.0], [0.3]])
    points = Data(torch.as_tensor(x), torch.as_tensor(y))
    return Problem(points, activation=name, loss="squared", alpha=ALPHA, tau=TAU)


def made(*blocks: Any) -> Kernels:
    """Kernels from lists and arrays."""
    return Kernels(*blocks)


def random_kernels(depth: int, d: int = 2, m: int = 1, seed: int = 0) -> Kernels:
    rng = np.random.default_rng(seed)
    count = depth * (depth + 1) // 2
    shapes = ((count, d, d), (count, d), (m, d), (m,))
    return Kernels(*(torch.as_tensor(rng.standard_normal(shape)) for shape in shapes))


def table(kernels: Kernels) -> dict[tuple[int, int], int]:
    """Where the pair (i, j) is, counted by hand."""
    found, row = {}, 0
    for i in range(1, kernels.depth + 1):
        for j in range(i):
            found[i, j] = row
            row += 1
    return found


def states_by_loops(x: np.ndarray, kernels: Kernels) -> np.ndarray:
    """One sample, as the definition has it."""
    n, where, X = kernels.depth, table(kernels), [x]
    for i in range(1, n + 1):
        X.append(
            x
            + sum(np.tanh(kernels.K[where[i, j]].numpy() @ X[j] + kernels.b[where[i, j]].numpy()) for j in range(i)) / n
        )
    return np.array(X)


def objective_by_loops(problem: Problem, kernels: Kernels) -> float:
    """E_n with the squared loss: sums over pairs that both lie in the triangle."""
    n, where, value = kernels.depth, table(kernels), 0.0
    for x, y in zip(problem.data.x.numpy(), problem.data.y.numpy(), strict=True):
        z = kernels.W.numpy() @ states_by_loops(x, kernels)[-1] + kernels.c.numpy()
        value += float(((z - y) ** 2).sum())
    for block in "Kb":
        theta = getattr(kernels, block).numpy()
        for i, j in where:
            penalty = TAU[block] / n**2 * float((theta[where[i, j]] ** 2).sum())
            for neighbour in ((i + 1, j), (i, j + 1)):
                if neighbour in where:
                    penalty += float(((theta[where[neighbour]] - theta[where[i, j]]) ** 2).sum())
            value += ALPHA[block] * penalty
    return value + ALPHA["W"] * float((kernels.W**2).sum()) + ALPHA["c"] * float((kernels.c**2).sum())


def test_states_are_the_sums_of_the_definition() -> None:
    """Every layer adds what all layers before it send, each through its own kernel."""
    kernels, x = random_kernels(7), np.array([[0.3, -0.8], [1.1, 0.4]])
    X = dense.states(torch.as_tensor(x), kernels.K, kernels.b, torch.tanh).numpy()
    for s in range(2):
        np.testing.assert_allclose(X[:, s], states_by_loops(x[s], kernels), rtol=0, atol=1e-14)


def test_kernels_without_t_are_a_residual_network() -> None:
    """With K_ij = K_j the sums telescope to X_i = X_{i−1} + h σ(K_{i−1} X_{i−1} + b_{i−1})."""
    problem = Problem(data.circles(20), activation="tanh", loss="logistic")
    layers = problem.metric.draw(3).sample(12)
    kernels = Kernels.repeat(layers)
    X = dense.states(problem.data.x, kernels.K, kernels.b, torch.tanh)
    torch.testing.assert_close(X, network.states(problem, layers), rtol=0, atol=1e-14)


def test_the_objective_is_that_of_the_definition() -> None:
    """No power of n stands before the differences, τ comes with the area of a cell."""
    problem = line_problem()
    for depth in (1, 2, 5):
        kernels = random_kernels(depth, d=1)
        assert dense.objective(problem, kernels) == pytest.approx(objective_by_loops(problem, kernels), rel=1e-13)


def test_coordinates_make_the_regulariser_a_squared_norm() -> None:
    """E(u) is the objective of the kernels with coordinates u, and the coordinates of these are u."""
    problem, depth = line_problem(), 5
    energy = dense.energy(problem, depth)
    u = np.random.default_rng(1).standard_normal(2 * 15 + 2)
    kernels = Kernels(*energy.coefficients(u))
    assert energy(u).value == pytest.approx(objective_by_loops(problem, kernels), rel=1e-12)
    np.testing.assert_allclose(energy.vector(energy.coefficients(u)), u, rtol=0, atol=1e-12)


def test_derivatives_are_those_of_the_values() -> None:
    """Gradient and Hessian product against central differences, whose error is about 1e-9."""
    energy, rng = dense.energy(line_problem(), 4), np.random.default_rng(2)
    u, v, h = 0.2 * rng.standard_normal(22), rng.standard_normal(22), 1e-5
    slope = (energy(u + h * v).value - energy(u - h * v).value) / (2 * h)
    assert energy(u).gradient @ v == pytest.approx(slope, abs=1e-7)
    change = (energy(u + h * v).gradient - energy(u - h * v).gradient) / (2 * h)
    np.testing.assert_allclose(energy(u).product(v), change, rtol=1e-6, atol=1e-7)


def test_a_minimum_is_a_minimum_of_the_objective_by_loops() -> None:
    """SciPy's BFGS, on raw kernels and values written as loops, ends at the same value."""
    problem = line_problem()
    minimum = dense.minimise(problem, 3, seed=0)
    assert minimum.status.converged and minimum.curvature > 0 and minimum.residual < 1e-9

    def value(raw: np.ndarray) -> float:
        return objective_by_loops(problem, made(raw[:6].reshape(6, 1, 1), raw[6:12, None], raw[12:13, None], raw[13:]))

    k = minimum.control
    raw = np.concatenate([v.numpy().ravel() for v in (k.K, k.b, k.W, k.c)])
    moved = raw + 0.03 * np.random.default_rng(0).standard_normal(14)
    assert optimize.minimize(value, moved, method="BFGS").fun == pytest.approx(minimum.value, abs=1e-9)


def test_refining_repeats_values_in_squares() -> None:
    """Pairs (2i−1 or 2i, 2j or 2j+1) take the value of (i, j), so that kernels with few values keep them."""
    coarse = random_kernels(3)
    fine, where = coarse.refine(), table(coarse)
    for (i, j), row in table(fine).items():
        assert torch.equal(fine.K[row], coarse.K[where[-(-i // 2), j // 2]])
    assert fine.depth == 6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: made(np.zeros((4, 1, 1)), np.zeros((4, 1)), [[1.0]], [0.0]), "pair j < i, got 4"),
        (lambda: made(np.zeros((3, 1, 2)), np.zeros((3, 1)), [[1.0]], [0.0]), "K must have shape"),
        (lambda: made(np.zeros((3, 1, 1)), np.zeros((1, 1)), [[1.0]], [0.0]), "b must have shape"),
        (lambda: made(np.zeros((3, 1, 1)), np.zeros((3, 1)), [1.0], [0.0]), "W must have 2 dimensions"),
        (lambda: made(np.zeros((3, 1, 1)), np.zeros((3, 1)), [[1.0]], [0.0, 1.0]), "W must have shape"),
        (lambda: dense.objective(line_problem(), random_kernels(2)), "must fit W"),
        (lambda: dense.minimise(line_problem(), 4, start=random_kernels(3, d=1)), "got 3"),
        (lambda: dense.minimise(line_problem(), 4, start=random_kernels(4)), "must fit W"),
        (lambda: volterra.branch(line_problem(), random_kernels(4)), "must fit W"),
        (lambda: dense.pairs(0), "at least 1"),
        (lambda: dense.energy(Problem(data.moons(), trainable="KWc"), 2), "all blocks"),
        (lambda: dense.minimise(FREE, 4), r"positive alpha and tau, got .* dropped: tau\['K'\] = 0"),
        (lambda: volterra.branch(FREE, random_kernels(4)), r"positive alpha and tau, got .* dropped: tau\['K'\] = 0"),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], words: str) -> None:
    """One sentence that says what was wrong."""
    with pytest.raises(ValueError, match=words):
        call()


def test_polynomials_are_orthonormal_on_the_triangle() -> None:
    """Against SciPy's quadrature over s < t, which knows nothing of collapsed coordinates."""
    basis = triangle.Polynomials(3)

    def product(i: int, j: int) -> float:
        def integrand(s: float, t: float) -> float:
            v = basis.values(np.array([t]), np.array([s]))[0]
            return float(v[i] * v[j])

        return integrate.dblquad(integrand, 0, 1, 0, lambda t: t, epsabs=1e-10)[0]

    for i, j in ((0, 0), (4, 4), (9, 9), (3, 5), (2, 7)):
        assert product(i, j) == pytest.approx(float(i == j), abs=1e-9)


def test_gradients_of_polynomials_are_difference_quotients() -> None:
    """Central differences of the values, up to degree 8."""
    basis, h = triangle.Polynomials(8), 1e-6
    t, s, _ = triangle.quadrature(6)
    along_t, along_s = basis.gradients(t, s)
    np.testing.assert_allclose(along_t, (basis.values(t + h, s) - basis.values(t - h, s)) / (2 * h), atol=2e-6)
    np.testing.assert_allclose(along_s, (basis.values(t, s + h) - basis.values(t, s - h)) / (2 * h), atol=2e-6)


def test_the_quadratic_form_of_a_cubic_is_its_integral() -> None:
    """θ = t²s: ∬ 4t²s² + t⁴ = 2/9 + 1/6 … by hand, ∬_{s<t} t⁴s² = 1/24."""
    basis = triangle.Polynomials(4)
    t, s, w = triangle.quadrature(6)
    theta = basis.values(t, s).T @ (w * t**2 * s)
    exact = 4 / 3 / 6 + 1 / 6 + 3 * (1 / 3 / 8)  # ∬ 4t²s² = 4/3 ∫t⁵, ∬ t⁴ = ∫t⁵, ∬ t⁴s² = ⅓ ∫t⁷
    assert theta @ basis.gram(3.0) @ theta == pytest.approx(exact, rel=1e-12)


def kernel_function(f: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[Any, Any]:
    """K = f and b = 0 in one dimension."""
    return lambda t, s: f(t, s)[:, None, None], lambda t, s: np.zeros((len(t), 1))


def test_the_volterra_equation_with_a_difference_kernel_has_its_closed_form() -> None:
    """X = x + ∫(t − s) X ds is X'' = X with X'(0) = 0: X(1) = x cosh 1; the network errs by x sinh(1)/2 times 1/n.

    The corrector solves e = ∫(t − s) e ds + ½ t x, that is e'' = e with e(0) = 0 and e'(0) = x/2.
    """
    K, b = kernel_function(lambda t, s: t - s)
    x, sigma = torch.tensor([[0.7], [-1.3]], dtype=torch.float64), activation.get("identity")
    torch.testing.assert_close(volterra.solve(x, K, b, sigma, 20), x * math.cosh(1), rtol=0, atol=1e-13)
    e = volterra.forward_constant(x, K, b, sigma, 20)
    torch.testing.assert_close(e, x * math.sinh(1) / 2, rtol=0, atol=1e-12)
    gaps = [n * (network_end(K, b, n, x, lambda z: z) - x * math.cosh(1)) for n in (64, 128)]
    torch.testing.assert_close(2 * gaps[1] - gaps[0], e, rtol=0, atol=1e-4)


def network_end(K: Any, b: Any, depth: int, x: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
    points = dense.nodes(depth)
    return dense.states(x, torch.as_tensor(K(*points)), torch.as_tensor(b(*points)), sigma)[-1]


def test_a_kernel_without_t_gives_the_flow_of_an_ode() -> None:
    """X' = tanh(cos(4s) X + s) in two coupled dimensions, by SciPy's DOP853."""
    A = np.array([[0.5, -1.0], [1.2, 0.3]])
    K = lambda t, s: np.cos(4 * s)[:, None, None] * A  # noqa: E731
    b = lambda t, s: np.stack([s, 1 - s], 1)  # noqa: E731
    x = np.array([0.4, -0.2])
    flow = integrate.solve_ivp(
        lambda s, X: np.tanh(np.cos(4 * s) * A @ X + np.array([s, 1 - s])), (0, 1), x, "DOP853", rtol=1e-12, atol=1e-13
    )
    found = volterra.solve(torch.as_tensor(x)[None], K, b, activation.get("tanh"), 36)
    np.testing.assert_allclose(found[0], flow.y[:, -1], rtol=0, atol=1e-11)


def test_a_solver_that_does_not_settle_says_so() -> None:
    """X = x + 3000 ∫X grows like e^3000: no number, but NaN, which a minimisation reports as its status."""
    K, b = kernel_function(lambda t, s: 3000 + 0 * t)
    x = torch.tensor([[1.0]], dtype=torch.float64)
    assert volterra.solve(x, K, b, activation.get("identity"), 8).isnan().all()


@pytest.fixture(scope="module")
def limits() -> list[Minimum]:
    """Minimisers of E_∞ of the line problem, started at a trained network of depth 8."""
    problem = line_problem()
    return volterra.branch(problem, dense.minimise(problem, 8, seed=0).control, degrees=(8, 12))


def limit_objective(problem: Problem, K: Any, b: Any, W: Tensor, c: Tensor) -> float:
    """E_∞ of kernels given as functions with values and gradients (θ, ∂_tθ, ∂_sθ), by quadrature of its own."""
    end = volterra.solve(
        problem.data.x, lambda t, s: K(t, s)[0][:, None, None], lambda t, s: b(t, s)[0][:, None], problem.activation, 40
    )
    value = float(((end @ W.T + c - problem.y) ** 2).sum())
    nodes, w = np.polynomial.legendre.leggauss(40)
    T, R = np.meshgrid((nodes + 1) / 2, (nodes + 1) / 2, indexing="ij")
    weights, t, s = (T * np.outer(w, w) / 4).ravel(), T.ravel(), (T * R).ravel()
    for block, theta in (("K", K(t, s)), ("b", b(t, s))):
        squares = theta[1] ** 2 + theta[2] ** 2 + TAU[block] * theta[0] ** 2
        value += ALPHA[block] * float(weights @ squares)
    return value + ALPHA["W"] * float((W**2).sum()) + ALPHA["c"] * float((c**2).sum())


def jets(surface: Surface, block: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """θ, ∂_tθ and ∂_sθ, the derivatives by differences of order four."""
    theta, basis = getattr(surface, block).numpy().ravel(), triangle.Polynomials(surface.degree)

    def values(t: np.ndarray, s: np.ndarray) -> np.ndarray:
        def slope(dt: float, ds: float) -> np.ndarray:
            ends = [basis.values(t + k * dt, s + k * ds) @ theta for k in (-2, -1, 1, 2)]
            return np.asarray((ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * 1e-4))

        return np.array([basis.values(t, s) @ theta, slope(1e-4, 0), slope(0, 1e-4)])

    return values


def test_the_limit_is_stationary_in_directions_outside_its_polynomials(limits: list[Minimum]) -> None:
    """The objective, evaluated by other means, has the stated value and no slope along sin(3t + 1) cos(2s)."""
    problem, minimum = line_problem(), limits[-1]
    surface = minimum.control
    K, b = jets(surface, "K"), jets(surface, "b")

    def moved(step: float) -> float:
        def along(t: np.ndarray, s: np.ndarray) -> np.ndarray:
            a, c = 3 * t + 1, 2 * s
            return step * np.array([np.sin(a) * np.cos(c), 3 * np.cos(a) * np.cos(c), -2 * np.sin(a) * np.sin(c)])

        return limit_objective(
            problem, lambda t, s: K(t, s) + along(t, s), lambda t, s: b(t, s) - along(t, s), surface.W, surface.c
        )

    assert moved(0.0) == pytest.approx(minimum.value, abs=1e-9)
    assert abs(moved(1e-3) - moved(-1e-3)) / 2e-3 < 1e-5
    assert moved(0.1) > minimum.value + 1e-3


def test_two_degrees_bound_the_error_of_the_limit(limits: list[Minimum]) -> None:
    """A higher degree lies below, within the error bar of the two before it."""
    problem = line_problem()
    finer = volterra.branch(problem, limits[-1].control.sample(16), degrees=(16,))[0]
    assert all(m.status.converged and m.curvature > 0 for m in (*limits, finer))
    assert 0 < limits[1].value - finer.value < limits[1].error_bar
    assert finer.control.l2(limits[1].control) < limits[1].control.l2(limits[0].control)


def test_the_error_constant_is_that_of_sampled_surfaces() -> None:
    """n (E_n(samples of θ) − E_∞(θ)) → e₁ for any polynomial θ, by Richardson from depths 64 and 128."""
    problem, rng = line_problem(), np.random.default_rng(4)
    surface = Surface(
        3, *(torch.as_tensor(0.4 * rng.standard_normal(shape)) for shape in ((10, 1, 1), (10, 1), (1, 1), (1,)))
    )
    exact = limit_objective(problem, jets(surface, "K"), jets(surface, "b"), surface.W, surface.c)
    gaps = [n * (dense.objective(problem, surface.sample(n)) - exact) for n in (64, 128)]
    assert 2 * gaps[1] - gaps[0] == pytest.approx(volterra.value_constant(problem, surface), rel=2e-3)


def test_a_surface_in_a_larger_basis_is_the_same_function() -> None:
    """Lower degrees come first; the fit at the nodes of a network finds a polynomial again."""
    rng = np.random.default_rng(5)
    surface = Surface(2, *(torch.as_tensor(rng.standard_normal(s)) for s in ((6, 2, 2), (6, 2), (1, 2), (1,))))
    t, s, _ = triangle.quadrature(4)
    for other in (surface.raised(5), Surface.fit(surface.sample(6), 2)):
        for mine, its in zip(surface.at(t, s), other.at(t, s), strict=True):
            torch.testing.assert_close(mine, its, rtol=0, atol=1e-11)
    assert surface.l2(surface.raised(4)) == 0

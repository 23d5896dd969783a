"""Galerkin, collocation and Monte Carlo against closed-form flows; random fields; the mean-field system."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg, optimize, stats

from deeplimit import Problem, continuum, data, discrete
from deeplimit.meanfield import flows
from deeplimit.uncertainty import collocation, fields, galerkin, monte_carlo, transport, velocities
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion

W, B, T = 1.2, -0.3, 0.9


def start(xi: np.ndarray) -> np.ndarray:
    return 0.1 + 0.4 * xi[:, 0]


def exact(name: str, basis: Basis) -> Expansion:
    """The expansion of the closed-form flow, by twice as many nodes as the method has."""
    return collocation.project(basis, lambda xi: flows.flow(name, W, B, T, start(xi)), nodes=4 * basis.degree + 4)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "identity"])
def test_galerkin_and_collocation_are_the_closed_form_flow(name: str) -> None:
    """Where the degree suffices, to 1e-10: the flows of tanh, sigmoid and identity in closed form."""
    basis = Basis(30)
    velocity = velocities.simresnet(W, B, name)
    expected = exact(name, basis)
    assert galerkin.solve(velocity, collocation.project(basis, start), T).distance(expected) < 1e-10
    assert collocation.project(basis, velocities.ends(velocity, start, T)).distance(expected) < 1e-10


def test_galerkin_of_a_linear_flow_is_exact_at_degree_one() -> None:
    """σ = identity decouples the coefficients: x̂_k' = w x̂_k + b δ_k0."""
    basis = Basis(1)
    found = galerkin.solve(velocities.simresnet(W, B, "identity"), collocation.project(basis, start), T)
    growth = math.exp(W * T)
    assert found.coefficients == pytest.approx(
        [growth * 0.1 + B / W * (growth - 1), growth * 0.4 / math.sqrt(3)], abs=1e-12
    )


def test_galerkin_at_a_low_degree_errs_by_what_it_cuts_off() -> None:
    """At K = 4 it is near the truncation error, and no nearer: the method is what it says."""
    basis, full = Basis(4), exact("tanh", Basis(40))
    found = galerkin.solve(velocities.simresnet(W, B), collocation.project(basis, start), T)
    truncation = full.distance(full.onto(basis))
    assert truncation < found.distance(full) < 1.5 * truncation


def test_galerkin_with_random_weights_is_the_flow_at_each_weight() -> None:
    """w = 1 + 0.3 ξ_2 and b = 0.2 ξ_2 for x_0 = 0.1 + 0.4 ξ_1: the closed form at every ξ."""
    basis = Basis(24, ["uniform"] * 2)

    def w(t: float, xi: np.ndarray) -> np.ndarray:
        return 1 + 0.3 * xi[:, 1]

    def b(t: float, xi: np.ndarray) -> np.ndarray:
        return 0.2 * xi[:, 1]

    found = galerkin.solve(velocities.simresnet(w, b), collocation.project(basis, start), T)
    expected = collocation.project(basis, lambda xi: flows.flow("tanh", w(0, xi), b(0, xi), T, start(xi)))
    assert found.distance(expected) < 1e-10


def test_a_matrix_weight_moves_vectors() -> None:
    """σ = identity: x(T) = e^{wT} x_0, a rotation here; a random angular velocity too."""
    w = np.array([[0.0, -1.0], [1.0, 0.0]])
    basis = Basis(3, ["uniform"] * 2)
    velocity = velocities.simresnet(w, 0.0, "identity")
    found = galerkin.solve(velocity, collocation.project(basis, lambda xi: xi), T)
    expected = collocation.project(basis, lambda xi: xi @ linalg.expm(w * T).T)
    assert found.distance(expected) < 1e-12
    spun = velocities.simresnet(lambda t, xi: xi[:, :1, None] * w, 0.0, "identity")
    ends = velocities.ends(spun, lambda xi: np.tile([1.0, 0.0], (len(xi), 1)), T)
    xi = np.array([[0.7, 0.0], [-0.2, 0.0]])
    angle = 0.7 * T, -0.2 * T
    assert ends(xi) == pytest.approx(np.stack([np.cos(angle), np.sin(angle)], 1), abs=1e-12)


def test_time_dependent_weights_are_followed() -> None:
    """x' = w(t) x with w = cos t: x(T) = e^{sin T} x_0, in the limit; layer i takes w at iT/L."""
    velocity = velocities.simresnet(lambda t, xi: np.full(len(xi), math.cos(t)), 0.0, "identity")
    xi = np.array([[0.5]])
    assert velocities.ends(velocity, start, T)(xi) == pytest.approx(0.3 * math.exp(math.sin(T)), rel=1e-12)
    layers = 0.3 * math.prod(1 + T / 7 * math.cos(i * T / 7) for i in range(7))
    assert velocities.ends(velocity, start, T, depth=7)(xi) == pytest.approx(layers, rel=1e-14)


def test_galerkin_and_depth_commute() -> None:
    """A network of L layers, projected, is Euler's method for the projected equation: the same to rounding for σ = id,
    and for tanh up to what both truncations leave."""
    basis = Basis(24)
    for name, most in (("identity", 1e-13), ("tanh", 1e-10)):
        velocity = velocities.simresnet(W, B, name)
        projected = galerkin.solve(velocity, collocation.project(basis, start), T, depth=16)
        assert projected.distance(collocation.project(basis, velocities.ends(velocity, start, T, depth=16))) < most


def test_layers_tend_to_the_limit_at_order_one_with_the_predicted_constant() -> None:
    """x' = f(x): L (x_L − x(T)) → −(T/2) f(x(T)) log(f(x(T))/f(x(0))), as e/f grows by −f'/2 (autonomous, scalar)."""
    basis = Basis(24)
    velocity = velocities.simresnet(W, 0.6, "tanh")  # f > 0 on the support

    def constant(xi: np.ndarray) -> np.ndarray:
        x0 = start(xi)
        f0, f1 = np.tanh(W * x0 + 0.6), np.tanh(W * flows.flow("tanh", W, 0.6, T, x0) + 0.6)
        return -T / 2 * f1 * np.log(f1 / f0)

    x0 = collocation.project(basis, start)
    limit = galerkin.solve(velocity, x0, T)
    predicted = collocation.project(basis, constant)
    errors = []
    for depth in (200, 400, 800):
        gap = galerkin.solve(velocity, x0, T, depth) - limit
        errors.append(Expansion(basis, depth * gap.coefficients).distance(predicted))
    assert errors[-1] < 2e-3 * predicted.norm
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx(1, abs=0.02)


def test_galerkin_through_a_trained_network_is_its_collocation() -> None:
    """Layer by layer through the weights of a minimiser, through the curve of its limit, and through random layers."""
    problem = Problem(data.ring(), loss="squared", alpha=0.002, reduction="mean")
    net = discrete.minimise(problem, 8)
    limit = continuum.minimise(problem, start=net.control)
    basis = Basis(9, ["uniform"] * 2)
    x0 = collocation.project(basis, lambda xi: problem.data.x.numpy() + 0.05 * xi[:, None])
    drawn = problem.metric.draw(3).sample(8)  # K is not symmetric, as it is for the ring
    for control, depth in ((net.control, 8), (limit.control, None), (drawn, 8)):
        found = galerkin.solve(velocities.trained(problem, control), x0, depth=depth)

        def states(xi: np.ndarray, control: object = control, depth: int | None = depth) -> np.ndarray:
            x = (problem.data.x + 0.05 * torch.from_numpy(xi)[:, None]).reshape(-1, 2)
            end = discrete.states(problem, control, x) if depth else continuum.states(problem, control, 1, x)  # type: ignore[arg-type]
            return end[-1].reshape(len(xi), 8, 2).numpy()

        assert float(torch.cdist(torch.from_numpy(found.mean), problem.data.x).diagonal().min()) > 0.01  # it learned

        assert found.distance(collocation.project(basis, states)) < 1e-8


@pytest.mark.parametrize("name", ["uniform", "gaussian"])
def test_monte_carlo_is_within_its_standard_errors(name: str) -> None:
    """Mean and variance of e^{ξ/2}; over 400 seeds the errors over their standard errors have mean square 1."""
    found = [monte_carlo.estimate(lambda xi: np.exp(0.5 * xi[:, 0]), name, 2000, seed) for seed in range(400)]
    if name == "uniform":
        mean, second = 2 * math.sinh(0.5), math.sinh(1)
    else:
        mean, second = math.exp(0.125), math.exp(0.5)
    z_mean = [(f.mean - mean) / f.mean_error for f in found]
    z_variance = [(f.variance - (second - mean**2)) / f.variance_error for f in found]
    for z in (z_mean, z_variance):
        # 400 squares of normal numbers: the mean is 1 ± 3 √(2/400), and the variance estimate is skewed a little
        assert np.mean(np.square(z)) == pytest.approx(1, abs=0.3)
    assert abs(np.mean(z_mean)) < 3 / math.sqrt(400)


def test_monte_carlo_in_blocks_is_monte_carlo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are those of one draw, and a seed gives one answer."""
    whole = monte_carlo.draws(start, "uniform", 1000, seed=3)
    monkeypatch.setattr(monte_carlo, "BLOCK", 77)
    assert (monte_carlo.draws(start, "uniform", 1000, seed=3) == whole).all()
    assert (monte_carlo.draws(start, "uniform", 1000, seed=4) != whole).any()


def exponential_eigenvalues(length: float, terms: int) -> np.ndarray:
    """Those of e^{−|s − s'|/ℓ} on [0, 1]: 2ℓ/(1 + ℓ²ω²) with (ℓ²ω² − 1) tan ω = 2ℓω (Ghanem & Spanos 1991)."""

    def equation(omega: float) -> float:
        return (length**2 * omega**2 - 1) * math.sin(omega) - 2 * length * omega * math.cos(omega)

    roots = [optimize.brentq(equation, k * math.pi + 1e-9, (k + 1) * math.pi - 1e-9) for k in range(terms)]
    return 2 * length / (1 + length**2 * np.square(roots))


def test_karhunen_loeve_eigenvalues_of_the_exponential_covariance() -> None:
    """Nyström's method at 400 midpoints against the transcendental equation."""
    s = (np.arange(400) + 0.5) / 400
    covariance = fields.stationary(s, lambda r: np.exp(-r / 0.5))
    field = fields.karhunen_loeve(0 * s, covariance, 5, weights=np.full(400, 1 / 400))
    assert field.eigenvalues[:5] == pytest.approx(exponential_eigenvalues(0.5, 5), rel=1e-3)
    assert field.eigenvalues.sum() == pytest.approx(1, rel=1e-12)


def test_karhunen_loeve_modes_of_brownian_motion() -> None:
    """C = min(s, s'): λ_j = 1/((j − ½)π)², ψ_j = √2 sin((j − ½)πs)."""
    s = (np.arange(300) + 0.5) / 300
    field = fields.karhunen_loeve(0 * s, np.minimum.outer(s, s), 3, weights=np.full(300, 1 / 300))
    frequencies = (np.arange(1, 4) - 0.5) * np.pi
    assert field.eigenvalues[:3] == pytest.approx(frequencies**-2, rel=1e-3)
    expected = math.sqrt(2) * np.sin(s[:, None] * frequencies)
    assert np.abs(np.abs(field.modes[:, :3]) - np.abs(expected)).max() < 1e-2


@pytest.mark.parametrize("germ", ["uniform", "gaussian"])
def test_what_a_karhunen_loeve_series_cuts_off_is_the_tail_of_its_eigenvalues(germ: str) -> None:
    """E ‖x − x^J‖² = Σ_{j > J} λ_j, with the covariance of the cut field from its chaos, for both laws of the germs."""
    s = np.linspace(0, 1, 12)
    covariance = fields.stationary(s, lambda r: np.exp(-((r / 0.4) ** 2)))
    for terms in (1, 2, 4):
        field = fields.karhunen_loeve(s, covariance, terms, germ=germ)
        found = collocation.project(Basis(1, field.germs), field.at)
        modes = found.coefficients[1:]
        assert found.mean == pytest.approx(s, abs=1e-12)
        assert np.trace(covariance - modes.T @ modes) == pytest.approx(field.tail, abs=1e-12)
        assert linalg.eigvalsh(covariance - modes.T @ modes)[-1] == pytest.approx(field.eigenvalues[terms], rel=1e-9)


def cells(edges: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Averages of N(0.2, 0.4²) carried from the points to the edges, exact."""
    return np.diff(stats.norm.cdf(points, 0.2, 0.4)) / np.diff(edges)


def transported(
    name: str, w: object, b: object, number: int, degree: int = 5
) -> tuple[transport.Density, Expansion, np.ndarray]:
    """The solver's densities, and the exact cell averages of the closed-form flow at every ξ."""
    edges, basis = np.linspace(-4, 4, number + 1), Basis(degree)
    initial = collocation.project(basis, lambda xi: np.tile(cells(edges, edges), (len(xi), 1)))

    def at(xi: np.ndarray) -> np.ndarray:
        weights = (np.broadcast_to(f(0.0, xi) if callable(f) else f, len(xi))[:, None] for f in (w, b))
        return cells(edges, flows.inverse(name, *weights, 1.0, edges[None]))

    found = transport.solve(initial, edges, w, b, name, 1.0)  # type: ignore[arg-type]
    return found, collocation.project(basis, at, nodes=24), edges


def random_w(t: float, xi: np.ndarray) -> np.ndarray:
    return 1 + 0.3 * xi[:, 0]


def random_b(t: float, xi: np.ndarray) -> np.ndarray:
    return 0.2 * xi[:, 0]


def test_random_weights_move_densities_to_those_of_the_closed_form() -> None:
    """Order 1 in the cells for tanh with random w and b; mass stays in the mean, and no mode gains any."""
    errors = []
    for number in (100, 200, 400, 800):
        found, expected, _ = transported("tanh", random_w, random_b, number)
        errors.append(found.l1(expected))
        assert found.mass == pytest.approx([1, 0, 0, 0, 0, 0], abs=1e-9) and found.leaked < 1e-9
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx(1, abs=0.05) and errors[-1] < 0.01


def test_weights_that_are_not_random_transport_every_mode_alone() -> None:
    """A = σ(wx + b) I: the mean is the scalar upwind solution, written here plainly, and all else stays zero."""
    found, _, edges = transported("tanh", -0.8, 0.3, 60, degree=3)
    speed, g = np.tanh(-0.8 * edges + 0.3), cells(edges, edges)
    dt, dx = 1 / found.steps, edges[1] - edges[0]
    for _ in range(found.steps):
        padded = np.concatenate([[0], g, [0]])
        flux = np.maximum(speed, 0) * padded[:-1] + np.minimum(speed, 0) * padded[1:]
        g = g - dt / dx * np.diff(flux)
    assert found.expansion.mean == pytest.approx(g, abs=1e-13)
    assert np.abs(found.expansion.coefficients[1:]).max() < 1e-14


def test_a_linear_field_with_random_slope_decouples_at_gauss_nodes() -> None:
    """σ = id, b = 0: A = x E[w φ φᵀ] commute, with the K + 1 Gauss nodes of w as eigenvalues (Golub & Welsch 1969).

    In the basis of the eigenvectors the system is K + 1 scalar equations, those at the nodes.
    """
    basis, x = Basis(4), np.linspace(-2, 2, 9)
    A = transport.matrices(basis, x, lambda t, xi: -0.5 + 0.3 * xi[:, 0], 0.0, "identity")
    nodes = -0.5 + 0.3 * np.polynomial.legendre.leggauss(5)[0]
    for point, matrix in zip(x, A, strict=True):
        assert linalg.eigvalsh(matrix) == pytest.approx(np.sort(point * nodes), abs=1e-12)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
def test_the_system_is_hyperbolic_within_the_range_of_the_activation(name: str) -> None:
    """A(x) is symmetric with eigenvalues between the extremes of σ(wx + b) over ξ."""
    x, basis = np.linspace(-3, 3, 31), Basis(7)
    A = transport.matrices(basis, x, random_w, random_b, name)
    assert not (A - A.mT).any()
    values = np.linalg.eigvalsh(A)
    xi = np.linspace(-1, 1, 201)[:, None]
    speeds = np.stack([velocities.simresnet(random_w, random_b, name)(0, np.full(201, point), xi) for point in x])
    assert (values.min(1) >= speeds.min(1) - 1e-12).all() and (values.max(1) <= speeds.max(1) + 1e-12).all()


def test_mass_that_leaves_is_counted() -> None:
    """A constant velocity of 2 carries all mass out of the interval; without leave for it that is an error."""
    edges, flat = np.linspace(0, 1, 41), Expansion(Basis(0), np.ones((1, 40)))
    density = transport.solve(flat, edges, 0.0, 2.0, "identity", 2.0, leak=1.1)
    assert density.leaked == pytest.approx(1, abs=1e-6) and density.mass[0] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"\[0, 1\] loses mass: .* left it by time .*; take wider edges"):
        transport.solve(flat, edges, 0.0, 2.0, "identity", 2.0)


def test_mass_that_leaves_at_both_ends_is_not_cancelled() -> None:
    """x' = ±2 with ξ = ±1 and none in the mean: a half leaves on either side."""
    edges, basis = np.linspace(-1, 1, 41), Basis(1)
    even = Expansion(basis, np.array([np.full(40, 0.5), np.zeros(40)]))
    found = transport.solve(even, edges, 2.0, 0.0, "identity", 1.0, leak=2.0)
    assert found.leaked > 0.5


def test_weights_that_vary_in_time_move_densities_to_those_of_the_closed_form() -> None:
    """x' = ξ cos(2t) + sin(t)/2 shifts g by ξ sin(2T)/2 + (1 − cos T)/2: order 1; frozen at t = 0 it is far off."""
    basis, time, errors = Basis(9), 2.0, []

    def b(t: float, xi: np.ndarray) -> np.ndarray:
        return xi[:, 0] * math.cos(2 * t) + math.sin(t) / 2

    def shifted(xi: np.ndarray, edges: np.ndarray) -> np.ndarray:
        move = xi[:, :1] * math.sin(2 * time) / 2 + (1 - math.cos(time)) / 2
        return cells(edges, edges - move)

    for number in (200, 400, 800):
        edges = np.linspace(-4, 5, number + 1)
        initial = collocation.project(basis, lambda xi, e=edges: np.tile(cells(e, e), (len(xi), 1)))
        found = transport.solve(initial, edges, 0.0, b, "identity", time)
        expected = collocation.project(basis, lambda xi, e=edges: shifted(xi, e), nodes=24)
        errors.append(found.l1(expected))
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx(1, abs=0.1) and errors[-1] < 0.1


def test_a_speed_that_begins_at_zero_is_followed() -> None:
    """x' = sin t: the fastest wave is looked for over all of the time, not at its start."""
    edges = np.linspace(-3, 4, 351)
    start = Expansion(Basis(0), cells(edges, edges)[None])
    found = transport.solve(start, edges, 0.0, lambda t, xi: math.sin(t), "identity", 2.0)
    expected = cells(edges, edges - (1 - math.cos(2.0)))
    assert found.l1(Expansion(Basis(0), expected[None])) < 0.05 and found.steps >= 100


@pytest.mark.parametrize("P", [2, 3])
def test_values_of_weights_are_read_by_their_shape_alone(P: int) -> None:
    """With P = d draws too: (P,) is a number for each draw, (P, d, d) a matrix, (P, d) a bias, as for any other P."""
    generator = np.random.default_rng(0)
    xi, x, pairs = (generator.normal(size=shape) for shape in ((P, 1), (P, 2), (P, 5, 2)))
    w, matrix, b = (generator.normal(size=shape) for shape in ((P,), (P, 2, 2), (P, 2)))
    for signal in (x, pairs):
        single = velocities.simresnet(lambda t, xi: w, lambda t, xi: w[:, None], "identity")(0.0, signal, xi)
        several = velocities.simresnet(lambda t, xi: matrix, lambda t, xi: b, "identity")(0.0, signal, xi)
        for k in range(P):
            assert single[k] == pytest.approx(w[k] * signal[k] + w[k])
            assert several[k] == pytest.approx(signal[k] @ matrix[k].T + b[k])
    for wrong in (matrix[0, :, :1], np.ones((P, P + 1)), np.ones((1, 2, 2))):
        with pytest.raises(ValueError, match=r"w must be a number, or .* nothing is broadcast"):
            velocities.simresnet(lambda t, xi, wrong=wrong: wrong if wrong.shape != (P, 1) else np.ones(7), 0.0)(
                0.0, x, xi
            )
    with pytest.raises(ValueError, match=r"w must be a number, or .* got shape \(2, 2\)"):
        velocities.simresnet(lambda t, xi: matrix[0], 0.0)(0.0, x, xi)


def flat(coefficients: list[list[float]], steps: int | None = None) -> transport.Density:
    """Two cells of [0, 1], moved by x' = 1."""
    start = Expansion(Basis(1), np.array(coefficients, dtype=float))
    return transport.solve(start, np.array([0, 0.5, 1]), 0.0, 1.0, "identity", 1.0, steps=steps)


SMALL = Basis(2)
BAD = [
    (lambda: galerkin.solve(velocities.simresnet(1, 0), Expansion(SMALL, np.ones(3)), nodes=5), "needs at least"),
    (lambda: galerkin.solve(velocities.simresnet(1, 0), Expansion(SMALL, np.ones(3)), time=0), "time must be positive"),
    (lambda: velocities.ends(velocities.simresnet(1, 0), start, depth=0), "depth must be at least 1"),
    (lambda: velocities.simresnet(1, 0, "softsign"), "activation must be one of"),
    (lambda: monte_carlo.estimate(start, "uniform", 3), "count must be at least 4"),
    (lambda: monte_carlo.estimate(start, "beta", 30), "germ must be one of"),
    (lambda: fields.karhunen_loeve(np.zeros(2), np.eye(3), 1), "S, S × S and S entries"),
    (lambda: fields.karhunen_loeve(np.zeros(2), np.array([[1.0, 0.5], [0, 1]]), 1), "must be symmetric"),
    (
        lambda: fields.karhunen_loeve(np.zeros(2), np.array([[1.0, 2], [2, 1]]), 1),
        "semidefinite, got the eigen",
    ),
    (lambda: fields.karhunen_loeve(np.zeros(2), np.eye(2), 3), "at most the 2 points"),
    (lambda: fields.karhunen_loeve(np.zeros(2), np.eye(2), 2).at(np.zeros((4, 1))), "the 2 germs of the field"),
    (lambda: transport.solve(Expansion(SMALL, np.ones((3, 2))), np.array([0, 1, 3.0]), 1, 0), "equally spaced"),
    (lambda: transport.solve(Expansion(SMALL, np.ones((3, 3))), np.array([0, 1, 2.0]), 1, 0), "one average for each"),
    (lambda: flat([[2, 2], [0, 0]]), "mass 1 at every ξ, got 2 in the mean"),
    (lambda: flat([[1, 1], [0.5, 0]]), "a deviation of 0.25"),
    (lambda: flat([[3, -1], [0, 0]]), "start must not be negative, got a least mean of -1"),
    (lambda: flat([[1, 1], [2, -2]]), "negative mass over all ξ"),
    (lambda: flat([[1, 1], [0, 0]], steps=1), "crosses 2 cells in it"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_one_sentence(call: object, message: str) -> None:
    """It names the requirement and what it got."""
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_an_integration_that_fails_says_so() -> None:
    """x' = x² from 2 is infinite at t = ½."""
    with pytest.raises(RuntimeError, match=r"the integration stopped at t = 0\.5"):
        velocities.ends(lambda t, x, xi: x**2, lambda xi: np.full(len(xi), 2.0), 1.0)(np.zeros((1, 1)))

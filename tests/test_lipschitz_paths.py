"""Controlled ODEs, E_n in H¹ coordinates, the certificate; truths are closed forms, autograd and 50-digit numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from problems import REFERENCE, Case, random_case
from scipy.optimize import brentq
from torch import Tensor
from torch.func import jacrev

from deeplimit import Problem, activation, continuum, data, discrete
from deeplimit.control import Layers
from deeplimit.coordinates import LayerCoordinates
from deeplimit.lipschitz import certificate, certified_radius, controlled, sobolev
from deeplimit.lipschitz.bounds import residual_uniform
from deeplimit.lipschitz.certificate import Verdict
from deeplimit.lipschitz.controlled import Derivatives, Field, Piece
from deeplimit.lipschitz.sobolev import Neighbourhood
from deeplimit.minimum import Minimum

START = torch.tensor([0.8], dtype=torch.float64)


def scalar_field(B: float) -> Field:
    """V(x) = θ x, |θ| ≤ B."""
    return Field(0.0, B, math.inf, lambda beta: Derivatives(x=B, theta=beta, x_theta=1.0))


def tanh_layer(B: float, b: float, **options: Any) -> Field:
    return controlled.layer(activation.get("tanh"), B, b, 1, **options)


def numbers(found: Any) -> list[float]:
    return [float(v) for v in (found.state, found.first, found.second, found.third)]


def powers(B: float, depth: int) -> list[float]:
    """x (1 + θ/n)^n and its first three derivatives at θ = B."""
    n, base = depth, 1 + B / depth
    factors = itertools.accumulate([1.0, 1.0, (n - 1) / n, (n - 2) / n], lambda a, b: a * b)
    return [0.8 * factor * base ** (n - k) for k, factor in enumerate(factors)]


@pytest.mark.parametrize("depth", [1, 2, 3, 10])
def test_jumps_of_a_linear_field_are_bounded_exactly(depth: int) -> None:
    """X = x (1 + θ/n)^n: with θ = B all three derivatives attain their bounds."""
    found = controlled.bound([controlled.jump(scalar_field(1.3), 1 / depth)] * depth, START)
    assert numbers(found) == pytest.approx(powers(1.3, depth), rel=1e-13, abs=1e-300)


def test_flow_of_a_linear_field_is_bounded_exactly_in_the_limit() -> None:
    """X = x e^{θκ} has the derivatives x κᵏ e^{θκ}; the bounds tend to them from above at first order in the cells."""
    B, kappa = 1.3, 0.7
    truth = [0.8 * kappa**k * math.exp(B * kappa) for k in range(4)]
    gaps = []
    for cells in (200, 400):
        found = numbers(controlled.bound(controlled.flow(scalar_field(B), kappa, cells), START))
        gaps.append([a - b for a, b in zip(found, truth, strict=True)])
    assert all(a > b > 0 for a, b in zip(gaps[0][1:], gaps[1][1:], strict=True))
    assert [a / b for a, b in zip(gaps[0][1:], gaps[1][1:], strict=True)] == pytest.approx([2, 2, 2], abs=0.05)


def test_a_jump_between_two_flows_is_bounded_by_their_product_rule() -> None:
    """X = x e^{θ/2} (1 + θ/4) e^{θ/2}: derivatives by autograd at θ = B."""
    B, field = 0.9, scalar_field(0.9)
    path = [*controlled.flow(field, 0.5, 5000), controlled.jump(field, 0.25), *controlled.flow(field, 0.5, 5000)]

    def X(theta: Tensor) -> Tensor:
        return 0.8 * torch.exp(theta) * (1 + theta / 4)

    theta = torch.tensor(B, dtype=torch.float64)
    truth = [float(f(theta)) for f in (X, jacrev(X), jacrev(jacrev(X)), jacrev(jacrev(jacrev(X))))]
    assert numbers(controlled.bound(path, START)) == pytest.approx(truth, rel=1e-3)


def test_fields_that_jump_together_add_up() -> None:
    """Two fields with variations a and b jump as one with both."""
    field = scalar_field(1.1)
    both = controlled.bound([Piece((field, field), (0.2, 0.3), jump=True)], START)
    assert numbers(both) == pytest.approx(numbers(controlled.bound([controlled.jump(field, 0.5)], START)))


def test_jumps_of_an_exponential_field_are_bounded_exactly() -> None:
    """V = e^{x + θ}, θ ≤ B: all nine derivatives are e^{β + B} at most, and attained together; autograd at θ = B."""
    B, sizes, pieces, beta = 0.3, [0.2, 0.1, 0.15], [], float(START)
    for size in sizes:
        most = math.exp(beta + B)
        derivatives = Derivatives(**dict.fromkeys(Derivatives.__dataclass_fields__, most))
        pieces.append(controlled.jump(Field(math.inf, 0.0, most, lambda _, found=derivatives: found), size))
        beta += size * most

    def X(theta: Tensor) -> Tensor:
        x = START[0]
        for size in sizes:
            x = x + size * torch.exp(x + theta)
        return x

    theta = torch.tensor(B, dtype=torch.float64)
    truth = [float(f(theta)) for f in (X, jacrev(X), jacrev(jacrev(X)), jacrev(jacrev(jacrev(X))))]
    assert numbers(controlled.bound(pieces, START)) == pytest.approx(truth, rel=1e-13)


def test_a_layer_has_the_derivatives_of_a_cubic_at_their_largest() -> None:
    """σ = c₁ z + c₂ z²/2 + c₃ z³/6 at z = 0, x = β, a = B: pure derivatives are attained, mixed ones not passed."""
    constants = {"lipschitz": 1.1, "lipschitz_derivative": 0.7, "lipschitz_second": 1.9}
    B, beta = 0.8, 1.3
    found = controlled.layer(replace(activation.get("tanh"), **constants), B, 9.0, 1, order=3)
    V = found.derivatives(torch.tensor([beta], dtype=torch.float64))

    def field(y: Tensor) -> Tensor:
        z = y[1] * y[0] + y[2]
        return 1.1 * z + 0.7 * z**2 / 2 + 1.9 * z**3 / 6

    at = torch.tensor([beta, B, -B * beta], dtype=torch.float64)
    first, second, third = (f(at) for f in (jacrev(field), jacrev(jacrev(field)), jacrev(jacrev(jacrev(field)))))
    assert [V.x, V.xx, V.xxx] == pytest.approx([float(first[0]), float(second[0, 0]), float(third[0, 0, 0])])
    angle = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    u = torch.stack([angle.cos(), angle.sin()], 1)
    along = {
        "theta": u @ first[1:],
        "theta_theta": torch.einsum("ij,ri,rj->r", second[1:, 1:], u, u),
        "theta_theta_theta": torch.einsum("ijk,ri,rj,rk->r", third[1:, 1:, 1:], u, u, u),
        "x_theta": u @ second[0, 1:],
        "xx_theta": u @ third[0, 0, 1:],
        "x_theta_theta": torch.einsum("ij,ri,rj->r", third[0, 1:, 1:], u, u),
    }
    largest = {name: float(values.abs().max()) for name, values in along.items()}
    pure = ("theta", "theta_theta", "theta_theta_theta")
    assert [float(getattr(V, name)) for name in pure] == pytest.approx([largest[name] for name in pure], rel=1e-6)
    for name in ("x_theta", "xx_theta", "x_theta_theta"):
        assert largest[name] <= float(getattr(V, name)) < 1.2 * largest[name]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus0", "identity"])
def test_a_residual_network_and_its_ode_are_special_cases(name: str) -> None:
    """n jumps of 1/n tend to the flow from below, at first order; both stay below the exponential bound."""
    field = controlled.layer(activation.get(name), 1.0, 0.5, 1, order=3)
    limit = np.array(numbers(controlled.bound(controlled.flow(field, 1.0, 20_000), START)))
    nets = [np.array(numbers(controlled.bound([controlled.jump(field, 1 / n)] * n, START))) for n in (16, 32, 64)]
    gaps = [limit - net for net in nets]
    assert all((gap[1:] > 0).all() for gap in gaps)
    assert (gaps[1] / gaps[2])[1:] == pytest.approx(2, abs=0.15)
    most = np.array(numbers(controlled.exponential(field, 1.0, START)))
    assert (most[1:] > limit[1:]).all() and most[0] >= limit[0] - 1e-9


def path_output(theta: Tensor, jumps: list[float]) -> Tensor:
    """X after layers X + δ tanh(a X + b) with the same (a, b) in all, from .8."""
    X = torch.full((1,), 0.8, dtype=torch.float64)
    for size in jumps:
        X = X + size * torch.tanh(theta[0] * X + theta[1])
    return X[0]


def test_no_path_tried_has_larger_derivatives_than_its_bounds() -> None:
    """One field with parameters (a, b) in |a| ≤ 1, |b| ≤ .5, two jumps amid many small steps; autograd thrice."""
    jumps = [0.02] * 20 + [0.5] + [0.02] * 20 + [0.3]
    field = controlled.layer(activation.get("tanh"), 1.0, 0.5, 1, order=3)
    upper = numbers(controlled.bound([controlled.jump(field, size) for size in jumps], START))
    random = torch.Generator().manual_seed(0)
    for _ in range(40):
        theta = (2 * torch.rand(2, generator=random, dtype=torch.float64) - 1) * torch.tensor([1.0, 0.5])
        slope = jacrev(path_output)
        second = jacrev(slope)
        direction = torch.randn(2, generator=random, dtype=torch.float64)
        direction = direction / direction.norm()
        third = (jacrev(second)(theta, jumps) @ direction @ direction @ direction).abs()
        found = [path_output(theta, jumps).abs(), slope(theta, jumps).norm()]
        found += [torch.linalg.matrix_norm(second(theta, jumps), 2), third]
        assert all(float(a) <= b for a, b in zip(found, upper, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: controlled.layer(activation.get("relu"), 1.0, 1.0, 1), "relu has no Lipschitz derivative"),
        (
            lambda: controlled.layer(replace(activation.get("tanh"), lipschitz_second=math.inf), 1.0, 1.0, 1, order=3),
            "second derivative of tanh is not known",
        ),
        (lambda: controlled.jump(scalar_field(1.0), -0.1), r"a variation must not be negative, got -0\.1"),
        (lambda: controlled.jump(scalar_field(1.0), math.inf), "a variation must be finite, got inf"),
        (lambda: Piece((scalar_field(1.0),), (0.1, 0.2), jump=True), "1 fields want as many variations, got 2"),
        (lambda: tanh_layer(math.inf, 1.0), "B must be finite, got inf: no Lipschitz constant holds for all"),
        (lambda: tanh_layer(1.0, -0.5), r"b must not be negative, got -0\.5"),
        (lambda: tanh_layer(math.nan, 1.0), "B must be finite, got nan"),
        (lambda: tanh_layer(1e101, 1.0), r"B must be at most 1e\+100, from which on bounds overflow"),
        (lambda: tanh_layer(1.0, 1.0, reach=(1.0, -1.0)), r"reach must not be negative, got -1\.0"),
        (
            lambda: controlled.flow(scalar_field(800.0), 1.0, cells=1)[0].state(START),
            r"bound e\^800 .* overflows",
        ),
        (lambda: residual_uniform(activation.get("tanh"), math.inf, 1.0), "B must be finite, got inf: no Lipschitz"),
        (lambda: residual_uniform(activation.get("tanh"), 1.0, math.inf), "state must be finite, got inf"),
        (lambda: residual_uniform(activation.get("tanh"), 1.0, -1.0), r"state must not be negative, got -1\.0"),
        (lambda: residual_uniform(activation.get("tanh"), 1.0, math.nan), "state must be finite, got nan"),
        (lambda: residual_uniform(activation.get("tanh"), 1000.0, 1.0), "B = 1000 and state = 1 are so large"),
        (lambda: residual_uniform(activation.get("tanh"), 240.0, 1.0), "B = 240 and state = 1 are so large"),
    ],
)
def test_paths_that_have_no_bound_are_refused(call: Callable[[], Any], message: str) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=message):
        call()


# E_n in H¹ coordinates.

CASES = [REFERENCE, random_case("sigmoid", "softmax", 3), random_case("softplus0", "logistic", 4, points=3)]
ONLY_K = random_case("tanh", "squared", 6, m=2, points=3, trainable="K")


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_the_embedding_into_l2_has_its_sharp_constant(tau: float) -> None:
    """μ tends to m² with m tan m = τ; at depth n it is that of the dense form, and τ at depth 1."""
    root = brentq(lambda m: m * math.tan(m) - tau, 1e-9, math.pi / 2 - 1e-9)
    gaps = [sobolev.least_eigenvalue(n, tau) - root**2 for n in (400, 800)]
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.02) and abs(gaps[1]) < 5e-3
    assert sobolev.least_eigenvalue(1, tau) == tau
    D = np.diff(np.eye(5), axis=0)
    form = 5 * D.T @ D
    form[0, 0] += tau
    assert sobolev.least_eigenvalue(5, tau) == pytest.approx(np.linalg.eigvalsh(5 * form)[0], rel=1e-12)


def linear_map(coordinates: LayerCoordinates, block: str) -> np.ndarray:
    """u ↦ the entries of a block at every depth, one matrix for each depth."""
    columns = [getattr(coordinates.weights(e, fixed=False), block) for e in np.eye(coordinates.size)]
    stack = torch.stack(list(columns), -1).numpy()
    return stack.reshape(len(stack), -1, coordinates.size) if block in "Kb" else stack.reshape(1, -1, coordinates.size)


@pytest.mark.parametrize("case", [*CASES, ONLY_K])
def test_reach_and_scale_are_the_norms_of_the_change_of_coordinates(case: Case) -> None:
    """By the dense matrix: sup |dθ_i|/|du| for each block and depth, and sup of the L² norm with the head."""
    problem, depth = case.problem(), 6
    layers = problem.metric.draw(0).sample(depth)
    near, coordinates = Neighbourhood(problem, layers, 0.1), LayerCoordinates(problem.metric, depth)
    rows = []
    for block in "KbWc":
        matrices = linear_map(coordinates, block)
        assert near.reach(block) == pytest.approx([np.linalg.norm(M, 2) for M in matrices], rel=1e-12)
        rows.append(matrices.reshape(-1, coordinates.size) / (math.sqrt(depth) if block in "Kb" else 1))
    assert near.scale == pytest.approx(np.linalg.norm(np.concatenate(rows), 2), rel=1e-12)


def third_derivative(case: Case, depth: int, u: Tensor, v: Tensor) -> float:
    """E_n''' [v, v, v] of the plain network by autograd."""
    f = case.energy(depth)
    g = lambda t: f(u + t * v)  # noqa: E731
    return float(jacrev(jacrev(jacrev(g)))(torch.zeros((), dtype=torch.float64)))


@pytest.mark.parametrize("case", [*CASES, ONLY_K])
def test_no_point_of_the_ball_has_larger_derivatives_than_the_constants(case: Case) -> None:
    """Hessian and third derivative of the plain network by autograd, at its centre and at random points in the ball."""
    problem, depth, radius = case.problem(), 4, 0.2
    layers = problem.metric.draw(1).sample(depth)
    u = case.to_u(layers)
    L, M = (f(problem, layers, radius) for f in (sobolev.gradient_constant, sobolev.hessian_constant))
    random = torch.Generator().manual_seed(2)
    largest = [0.0, 0.0]
    for k in range(4):
        v = torch.randn(len(u), generator=random, dtype=torch.float64)
        v = v / v.norm()
        point = u + (radius if k else 0.0) * v
        H = jacrev(jacrev(case.energy(depth)))(point)
        values, vectors = torch.linalg.eigh(H)
        largest[0] = max(largest[0], float(values.abs().max()))
        for direction in (v, vectors[:, -1]):
            largest[1] = max(largest[1], abs(third_derivative(case, depth, point, direction)))
    assert largest[0] <= L and largest[1] <= M


def test_constants_do_not_depend_on_depth() -> None:
    """At the samples of one curve they converge: from 64 to 256 layers they change by less than a twentieth."""
    problem = REFERENCE.problem()
    curve = problem.metric.draw(4)
    for constant in (sobolev.gradient_constant, sobolev.hessian_constant):
        values = [constant(problem, curve.sample(n), 0.01) for n in (64, 256)]
        assert values[1] == pytest.approx(values[0], rel=0.05)


# The certificate.


@pytest.fixture(scope="module")
def minimum() -> Minimum:
    return discrete.minimise(REFERENCE.problem(), 8, seed=0, tol=1e-13)


@pytest.mark.parametrize("distance", [1e-10, 1e-8, 1e-7])
@pytest.mark.parametrize("which", ["least curvature", "random"])
def test_the_minimiser_lies_within_the_certified_radius(minimum: Minimum, distance: float, which: str) -> None:
    """The computed one is moved by a known distance; the true one is within 1e-13 of where it was."""
    problem = REFERENCE.problem()
    u = REFERENCE.to_u(minimum.control)
    H = jacrev(jacrev(REFERENCE.energy(8)))(u)
    v = (
        torch.linalg.eigh(H).eigenvectors[:, 0]
        if which != "random"
        else torch.randn(len(u), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    )
    moved = LayerCoordinates(problem.metric, 8).control((u + distance * v / v.norm()).numpy())
    found = certified_radius(problem, replace(minimum, control=moved))
    assert found.verdict is Verdict.CERTIFIED and str(found.verdict).startswith("certified")
    assert distance - 1e-12 <= found.exists_within <= found.unique_within
    assert found.curvature == pytest.approx(float(torch.linalg.eigvalsh(H)[0]), rel=1e-4)
    if which == "least curvature":  # where residual / curvature is the distance itself
        assert found.exists_within <= distance * (1 + found.contraction) + 1e-12


def one_layer_minimum() -> tuple[Problem, Minimum, Any]:
    """Depth 1, one point, all blocks: u = (K, b, W, c) scaled, and the minimiser in 50 digits."""
    case = Case(
        torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[1.2]], dtype=torch.float64), "tanh", "squared"
    )
    found = discrete.minimise(case.problem(), 1, seed=0, tol=1e-12)
    with mpmath.workdps(50):

        def E(K: Any, b: Any, W: Any, c: Any) -> Any:
            z = W * (mpmath.mpf("0.7") + mpmath.tanh(K * mpmath.mpf("0.7") + b)) + c
            return (z - mpmath.mpf("1.2")) ** 2 + mpmath.mpf("0.01") * (K**2 + b**2 + W**2 + c**2)

        def slope(*theta: Any) -> list[Any]:
            return [mpmath.diff(E, theta, tuple(int(i == k) for i in range(4))) for k in range(4)]

        start = [mpmath.mpf(float(getattr(found.control, k))) for k in "KbWc"]
        root = mpmath.findroot(slope, start, tol=1e-40, verify=False)
    return case.problem(), found, root


def test_the_certified_radius_holds_against_fifty_digits() -> None:
    """x = .7 and y = 1.2 stand in double precision, within 1e-16 of the decimals; so does the minimiser."""
    problem, found, root = one_layer_minimum()
    theta = np.array([float(getattr(found.control, k)) for k in "KbWc"])
    for shift in (1e-7, 1e-9):
        moved = Layers(*[v + shift for v in (found.control.K, found.control.b, found.control.W, found.control.c)])
        radius = certified_radius(problem, moved)
        with mpmath.workdps(50):
            parts = [mpmath.mpf(float(t)) + shift - r for t, r in zip(theta, root, strict=True)]
            distance = float(mpmath.sqrt(mpmath.mpf("0.01") * sum(p**2 for p in parts)))  # α = .01, τ = 1
        assert radius.verdict is Verdict.CERTIFIED
        assert 1e-3 * radius.exists_within < distance <= radius.exists_within


def test_what_is_no_minimum_is_not_certified(minimum: Minimum) -> None:
    """A random start on the ring has negative curvature; one far from the minimiser has too large a gradient."""
    ring = Problem(data.ring(), loss="softmax", alpha=0.001)
    saddle = certified_radius(ring, ring.metric.draw(0).sample(4))
    assert saddle.verdict is Verdict.SADDLE and saddle.exists_within == math.inf and saddle.unique_within == 0
    problem = REFERENCE.problem()
    coordinates = LayerCoordinates(problem.metric, 8)
    u = coordinates.vector(minimum.control)
    far = certified_radius(problem, coordinates.control(u + 1e-3))
    assert far.verdict is Verdict.FAR and far.contraction > 0.5 and far.exists_within == math.inf


def test_nothing_is_certified_at_one_half_exactly(minimum: Minimum, monkeypatch: pytest.MonkeyPatch) -> None:
    """M = λ²/(2|g|): λ − M r₋ = 0, so that the critical point may be none of a minimiser."""
    problem = REFERENCE.problem()
    coordinates = LayerCoordinates(problem.metric, 8)
    u = coordinates.vector(minimum.control)

    def halves() -> Iterator[tuple[Layers, float]]:
        """Weights and constants with h = ½ in double precision, which rounding allows at some weights only."""
        for k in range(1, 20):
            layers = coordinates.control(u + 1e-9 * k)
            found = certified_radius(problem, layers)
            r, c = found.residual, found.curvature
            near = [float(m) for m in c**2 / r / 2 * (1 + np.finfo(float).eps * np.arange(-8, 9))]
            yield from ((layers, m) for m in near if m * r / c**2 == 0.5)

    layers, M = next(halves())
    monkeypatch.setattr(certificate, "hessian_constant", lambda *_: M)
    exact = certified_radius(problem, layers)
    assert exact.contraction == 0.5 and exact.verdict is Verdict.FAR and exact.exists_within == math.inf
    monkeypatch.setattr(certificate, "hessian_constant", lambda *_: M * (1 - 1e-12))
    assert certified_radius(problem, layers).verdict is Verdict.CERTIFIED


def test_two_certified_minimisers_are_different_ones() -> None:
    """Of two branches of the reference problem each is alone within its radius: their distance is larger."""
    problem = REFERENCE.problem()
    first, second = discrete.branches(problem, 8, starts=12)[:2]
    radii = [certified_radius(problem, m) for m in (first, second)]
    distance = float((REFERENCE.to_u(first.control) - REFERENCE.to_u(second.control)).norm())
    assert all(r.verdict is Verdict.CERTIFIED and 0 < r.exists_within < r.unique_within < distance for r in radii)


def test_certificates_that_cannot_be_had_are_refused(minimum: Minimum) -> None:
    """Relu, α = 0, a curve, too many unknowns."""
    relu = replace_activation("relu")
    with pytest.raises(ValueError, match="relu has no Lipschitz derivative"):
        certified_radius(relu, minimum)
    with pytest.raises(TypeError, match="minimum must be Layers, got Curve"):
        certified_radius(REFERENCE.problem(), continuum.minimise(REFERENCE.problem(), tol=1e-6))
    with pytest.raises(ValueError, match="at most 2000 unknowns, got 2002"):
        certified_radius(REFERENCE.problem(), minimum.control.refine(1000))
    free = Problem(data.scalar(), loss="squared", alpha=0.1, tau={"K": 1.0, "b": 0.0}, drop_hypotheses=True)
    with pytest.raises(ValueError, match="every alpha and tau of a trained block positive, got zero"):
        certified_radius(free, minimum)


def test_a_certificate_says_what_it_wants(minimum: Minimum) -> None:
    """Without a word of the order of a bound, which a certificate does not have; NaN; another problem."""
    with pytest.raises(ValueError, match="relu has no Lipschitz derivative") as caught:
        certified_radius(replace_activation("relu"), minimum)
    assert "order" not in str(caught.value)
    K = minimum.control.K.clone()
    K[0] = math.nan
    with pytest.raises(ValueError, match="minimum must have finite weights, but holds NaN"):
        certified_radius(REFERENCE.problem(), replace(minimum.control, K=K))
    with pytest.raises(TypeError, match="problem must be Problem, got Minimum"):
        certified_radius(minimum, minimum)  # type: ignore[arg-type]


def test_the_radius_without_another_minimiser_is_found_to_six_digits(minimum: Minimum) -> None:
    """It is at most its own r₊ = (1 + √(1 − 2h)) λ/M(r), and a hundred-thousandth more is not."""
    problem = REFERENCE.problem()
    found = certified_radius(problem, minimum)

    def excess(radius: float) -> float:
        M = sobolev.hessian_constant(problem, minimum.control, radius)
        h = M * found.residual / found.curvature**2
        return radius - (1 + math.sqrt(1 - 2 * h)) * found.curvature / M

    root = brentq(excess, found.unique_within / 10, 10 * found.unique_within)
    assert found.unique_within <= root * (1 + 1e-12) and found.unique_within == pytest.approx(root, rel=3e-6)


def replace_activation(name: str) -> Problem:
    case = replace(REFERENCE, activation=name)
    return case.problem()


def test_a_certificate_with_an_error_planted_is_seen(minimum: Minimum, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the gradient makes the radius too small; half a third derivative passes its bound in the linear case."""
    problem = REFERENCE.problem()
    u = REFERENCE.to_u(minimum.control)
    v = torch.linalg.eigh(jacrev(jacrev(REFERENCE.energy(8)))(u)).eigenvectors[:, 0]
    moved = LayerCoordinates(problem.metric, 8).control((u + 1e-8 * v).numpy())
    with monkeypatch.context() as patch:
        right = certificate.Energy.__call__

        def half(self: Any, at: np.ndarray) -> Any:
            point = right(self, at)
            vars(point)["gradient"] = point.gradient / 2
            return point

        patch.setattr(certificate.Energy, "__call__", half)
        assert certified_radius(problem, moved).exists_within < 0.9e-8
    right_advance = controlled._advance
    monkeypatch.setattr(
        controlled, "_advance", lambda piece, rate, value, source: right_advance(piece, rate, value, source / 2)
    )
    found = controlled.bound([controlled.jump(scalar_field(1.3), 1 / 3)] * 3, START)
    assert numbers(found)[1] < 0.9 * powers(1.3, 3)[1]

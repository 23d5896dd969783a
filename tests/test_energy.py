"""The objective in H¹ coordinates: the truth is autograd on a plain network with a plain regulariser."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from problems import (
    BLOCKS,
    DEEP,
    LOSS,
    SIGMA,
    Case,
    gradient,
    hessian,
    hessian_product,
    layers,
    random_case,
    random_weights,
)
from scipy.integrate import DOP853
from torch import Tensor

from deeplimit.control import Basis, Hats, Legendre
from deeplimit.coordinates import CurveCoordinates, LayerCoordinates
from deeplimit.energy import Energy, Point
from deeplimit.sweep import DORMAND_PRINCE8, EULER, KUTTA4, Flow

DEPTH = 4
EVERY = list(product(SIGMA, LOSS))
# Every non-empty choice of trained blocks.
SUBSETS = ["".join(k for k, kept in zip(BLOCKS, mask, strict=True) if kept) for mask in product([1, 0], repeat=4)][:-1]
SMOOTH = [sigma for sigma in SIGMA if sigma != "relu"]


def euler(case: Case, depth: int = DEPTH) -> Energy:
    problem = case.problem()
    return Energy(problem, LayerCoordinates(problem.metric, depth), Flow(EULER, depth))


def random_u(case: Case, depth: int = DEPTH, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A point of size 1 in the weights, away from kinks, and a unit direction."""
    u = case.to_u(layers(random_weights(case, depth, seed)))
    v = torch.randn(len(u), generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return u, v / v.norm()


def assert_equal_to(point: Point, f: Callable[[Tensor], Tensor], u: Tensor, v: Tensor) -> None:
    """Value, gradient and Hessian product to a relative 1e-12."""
    value = float(f(u))
    assert abs(point.value - value) <= 1e-12 * abs(value)
    g = gradient(f, u).numpy()
    assert np.linalg.norm(point.gradient - g) <= 1e-12 * np.linalg.norm(g)
    Hv = hessian_product(f, u, v).numpy()
    assert np.linalg.norm(point.product(v.numpy()) - Hv) <= 1e-12 * np.linalg.norm(Hv)


# E_n


@pytest.mark.parametrize(("activation", "loss"), EVERY)
def test_derivatives_by_hand_are_those_of_autograd(activation: str, loss: str) -> None:
    """One adjoint sweep is the gradient, a tangent and a second adjoint sweep the product, for every σ and L."""
    for seed in (EVERY.index((activation, loss)), 100):
        case = random_case(activation, loss, seed)
        u, v = random_u(case, seed=seed)
        assert_equal_to(euler(case)(u.numpy()), case.energy(DEPTH), u, v)


@pytest.mark.parametrize(("trainable", "m"), [(k, m) for k in SUBSETS for m in (2, 3) if "W" in k or m == 2])
def test_derivatives_with_some_blocks_fixed(trainable: str, m: int) -> None:
    """A block left out is K = 0, b = 0, W = identity, c = 0: it has no coordinates and no derivative."""
    for seed in (0, 1):  # the sum and the mean over the samples
        case = random_case("silu", "softmax", seed, m=m, trainable=trainable)
        u, v = random_u(case, seed=seed)
        assert len(u) == case.size(DEPTH) == euler(case).coordinates.size
        assert_equal_to(euler(case)(u.numpy()), case.energy(DEPTH), u, v)


@pytest.mark.parametrize(
    ("d", "m", "points", "depth"), [(1, 1, 1, 1), (1, 1, 3, 2), (3, 1, 2, 5), (2, 5, 7, 1), (4, 4, 3, 9)]
)
def test_derivatives_in_every_shape(d: int, m: int, points: int, depth: int) -> None:
    """One layer, one point, one dimension and m above, at and below d are no special cases."""
    case = random_case("tanh", "squared", depth, d=d, m=m, points=points)
    u, v = random_u(case, depth)
    assert_equal_to(euler(case, depth)(u.numpy()), case.energy(depth), u, v)


def taylor_orders(
    point: Callable[[np.ndarray], Point], u: np.ndarray, v: np.ndarray
) -> tuple[list[float], list[float]]:
    """Orders of E(u + εv) minus its expansion of first and of second order, ε halving."""
    at = point(u)
    first, second = at.gradient @ v, v @ at.product(v)
    rests: list[tuple[float, float]] = []
    for k in range(3):
        e = 0.02 / 2**k
        change = point(u + e * v).value - at.value - e * first
        rests.append((abs(change), abs(change - e**2 / 2 * second)))
    one, two = zip(*rests, strict=True)
    return ([math.log2(a / b) for a, b in pairwise(one)], [math.log2(a / b) for a, b in pairwise(two)])


@pytest.mark.parametrize(("activation", "loss"), EVERY)
def test_taylor_remainders_have_orders_2_and_3(activation: str, loss: str) -> None:
    """E(u + εv) = E + ε g·v + ε²/2 v·Hv + O(ε³): the gradient and the product belong to the value they come with."""
    case = random_case(activation, loss, 7)
    u, v = random_u(case, seed=3)
    if activation == "relu":
        near, far = (case.arguments(*(case.from_u(w, DEPTH)[k] for k in DEEP)) for w in (u, u + 0.02 * v))
        assert torch.equal(near > 0, far > 0), "the step crosses a kink"
    first, second = taylor_orders(euler(case), u.numpy(), v.numpy())
    assert first == pytest.approx([2, 2], abs=0.2)
    assert second == pytest.approx([3, 3], abs=0.2)


@pytest.mark.parametrize("activation", SIGMA)
def test_the_hessian_is_symmetric(activation: str) -> None:
    """Second derivatives commute; the dense matrix of products is that of autograd."""
    case = random_case(activation, "softmax", 5)
    u, _ = random_u(case)
    point = euler(case)(u.numpy())
    H = np.column_stack([point.product(e) for e in np.eye(len(u))])
    assert abs(H - H.T).max() <= 1e-13 * abs(H).max()
    np.testing.assert_allclose(H, hessian(case.energy(DEPTH), u), rtol=0, atol=1e-12 * abs(H).max())


def test_the_regulariser_alone_has_hessian_2() -> None:
    """In these coordinates the regulariser is |u|²: with no data to speak of, E = |u|² and H = 2I."""
    case = Case(torch.zeros(1, 2).double(), torch.zeros(1, 2).double(), "identity", "squared", trainable="K")
    u, v = random_u(case)
    point = euler(case)(u.numpy())
    assert point.value == pytest.approx(float(u @ u), rel=1e-14) and point.data_loss == 0
    np.testing.assert_allclose(point.gradient, 2 * u.numpy(), rtol=1e-14)
    np.testing.assert_allclose(point.product(v.numpy()), 2 * v.numpy(), rtol=1e-14)


def test_value_splits_into_data_and_regulariser() -> None:
    """`data_loss` is the data term alone, weighted as the reduction asks."""
    for seed in (0, 1):
        case = random_case("tanh", "logistic", seed)
        u, _ = random_u(case)
        theta = case.from_u(u, DEPTH)
        point = euler(case)(u.numpy())
        data = float(case.data_term(case.end_state(theta["K"], theta["b"]), theta["W"], theta["c"]))
        assert point.data_loss == pytest.approx(data, rel=1e-13)
        assert point.value - point.data_loss == pytest.approx(float(case.regulariser(theta)), rel=1e-12)


# E_∞


def primitives(basis: Basis, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ_j(t) and ∫₀ᵗ φ_j from NumPy's polynomials, or cell by cell."""
    if isinstance(basis, Hats):
        M = basis.size
        phi = np.sqrt(M) * ((t[:, None] * M >= np.arange(M)) & (t[:, None] * M < np.arange(1, M + 1)))
        return phi, np.sqrt(M) * np.clip(t[:, None] - np.arange(M) / M, 0, 1 / M)
    series = [np.polynomial.Legendre.basis(j, domain=[0, 1]) * math.sqrt(2 * j + 1) for j in range(basis.size)]
    return np.column_stack([s(t) for s in series]), np.column_stack([s.integ(1, lbnd=0)(t) for s in series])


KUTTA = ([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], [0, 1 / 2, 1 / 2, 1])


def plain_limit(case: Case, basis: Basis, flow: Flow) -> Callable[[Tensor], Tensor]:
    """E_∞ of u: a Runge-Kutta loop over published coefficients, the regulariser by quadrature of |θ'|²."""
    A, B, C = KUTTA if flow.tableau is KUTTA4 else (DOP853.A, DOP853.B, DOP853.C[:12])
    k = np.arange(flow.steps + 1) / flow.steps
    ends = (1 - np.cos(np.pi * k)) / 2 if flow.graded else k
    times = np.array([start + (end - start) * c for start, end in pairwise(ends) for c in C])
    Phi = torch.tensor(primitives(basis, times)[1])
    cells = 16 * basis.size
    points, weights = leggauss(6)
    nodes = ((np.arange(cells)[:, None] + (points + 1) / 2) / cells).ravel()
    phi, mass = torch.tensor(primitives(basis, nodes)[0]), torch.tensor(np.tile(weights / 2 / cells, cells))

    def objective(u: Tensor) -> Tensor:
        theta, total = case.split(u, basis.size + 1), torch.zeros((), dtype=torch.float64)
        curves = {}
        for k in BLOCKS:
            root = math.sqrt(case.alpha[k])
            if k in DEEP and k not in case.trainable:
                curves[k] = torch.zeros(len(times), *theta[k].shape[1:], dtype=torch.float64)
            elif k in DEEP:
                start, coefficients = theta[k][0] / (root * math.sqrt(case.tau[k])), theta[k][1:] / root
                curves[k] = start + torch.einsum("tj,j...->t...", Phi, coefficients)
                slope = torch.einsum("tj,j...->t...", phi, coefficients).flatten(1)
                total = total + case.alpha[k] * ((mass[:, None] * slope**2).sum() + case.tau[k] * (start**2).sum())
            elif k in case.trainable:
                curves[k] = theta[k] / root
                total = total + case.alpha[k] * (curves[k] ** 2).sum()
            else:
                curves[k] = theta[k]
        X = case.x
        for step, h in enumerate(np.diff(ends)):
            slopes: list[Tensor] = []
            for j in range(len(C)):
                Y = X + sum((A[j][k] * slopes[k] * h for k in range(j)), torch.zeros_like(X))
                K, b = curves["K"][len(C) * step + j], curves["b"][len(C) * step + j]
                slopes.append(SIGMA[case.activation](torch.einsum("jk,sk->sj", K, Y) + b))
            X = X + sum((B[j] * slopes[j] * h for j in range(len(C))), torch.zeros_like(X))
        return total + case.data_term(X, curves["W"], curves["c"])

    return objective


def limit(case: Case, basis: Basis, flow: Flow) -> Energy:
    problem = case.problem()
    return Energy(problem, CurveCoordinates(problem.metric, basis, flow.times), flow)


def small(size: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    """A point and a direction of entries about 1/3."""
    random = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(size, generator=random, dtype=torch.float64) / 3 for _ in range(2))
    return u, v


LIMITS: dict[str, tuple[Basis, Flow]] = {
    "legendre": (Legendre(5), Flow(DORMAND_PRINCE8, 3)),
    "graded": (Legendre(5), Flow(DORMAND_PRINCE8, 3, graded=True)),
    "hats": (Hats(2), Flow(KUTTA4, 4)),
}


@pytest.mark.parametrize(("activation", "loss"), [*zip(SMOOTH, [*LOSS] * 3, strict=False)])
@pytest.mark.parametrize("how", LIMITS)
def test_derivatives_of_the_limit_are_those_of_autograd(activation: str, loss: str, how: str) -> None:
    """The same sweeps through flows of order 8 and 4, equal and graded steps, weights that are a series in t."""
    case, (basis, flow) = random_case(activation, loss, 11), LIMITS[how]
    u, v = small(case.size(basis.size + 1))
    assert_equal_to(limit(case, basis, flow)(u.numpy()), plain_limit(case, basis, flow), u, v)


@pytest.mark.parametrize("trainable", ["K", "b", "W", "KW", "bWc"])
def test_derivatives_of_the_limit_with_some_blocks_fixed(trainable: str) -> None:
    """As for the network."""
    case = random_case("tanh", "squared", 1, m=2, trainable=trainable)
    u, v = small(case.size(6))
    assert_equal_to(limit(case, *LIMITS["graded"])(u.numpy()), plain_limit(case, *LIMITS["graded"]), u, v)


def test_taylor_remainders_of_the_limit_have_orders_2_and_3() -> None:
    """As for the network."""
    case = random_case("tanh", "logistic", 4)
    u, v = small(case.size(6), 5)
    first, second = taylor_orders(limit(case, *LIMITS["graded"]), u.numpy(), (v / v.norm()).numpy() / 3)
    assert first == pytest.approx([2, 2], abs=0.2) and second == pytest.approx([3, 3], abs=0.2)

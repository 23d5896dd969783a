"""Certified minimisation of functions of a vector: the truth is linear algebra and functions with known minima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from deeplimit import optimise
from deeplimit.minimum import Minimum, Status
from deeplimit.optimise import (
    Evaluations,
    gradient_floor,
    local_minimum,
    local_minimum_kinked,
    minimise,
    value_floor,
)
from deeplimit.spectrum import Hints, Preconditioner

Vector = np.ndarray


@dataclass
class Function:
    """A function with its derivatives; counts how often each was computed."""

    value: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]
    hessian: Callable[[Vector], np.ndarray]
    calls: dict[str, int] = field(default_factory=lambda: {"value": 0, "gradient": 0, "product": 0})

    def __call__(self, u: Vector) -> At:
        return At(self, u.copy())


class At:
    """A `Function` at one point."""

    def __init__(self, function: Function, u: Vector) -> None:
        self.function, self.u = function, u

    @property
    def value(self) -> float:
        self.function.calls["value"] += 1
        return float(self.function.value(self.u))

    @property
    def data_loss(self) -> float:
        return float(self.function.value(self.u) - self.u @ self.u)

    @property
    def gradient(self) -> Vector:
        self.function.calls["gradient"] += 1
        return self.function.gradient(self.u)

    def product(self, v: Vector) -> Vector:
        self.function.calls["product"] += 1
        return self.function.hessian(self.u) @ v


class Inverse:
    """A matrix B as an approximate inverse Hessian."""

    def __init__(self, B: np.ndarray) -> None:
        values, vectors = np.linalg.eigh(B)
        self.B, self.half = B, (vectors * np.sqrt(values)) @ vectors.T

    def __call__(self, v: Vector) -> Vector:
        return self.B @ v

    def root(self, v: Vector) -> Vector:
        return self.half @ v


def quadratic(size: int = 60, seed: int = 0) -> tuple[Function, Vector]:
    """E = ½ (u − a)·H (u − a), H = 2I + compact with eigenvalues from 1 to 10⁴, and its minimiser a."""
    random = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(random.standard_normal((size, size)))
    values = 2 + np.concatenate([1e4 / np.arange(1, size) ** 4.0, [-1.0]])
    H, a = (Q * values) @ Q.T, random.standard_normal(size)
    return Function(lambda u: 0.5 * (u - a) @ H @ (u - a), lambda u: H @ (u - a), lambda u: H), a


def valley(size: int = 50) -> Function:
    """E = |u|² + Σ (e^{u_j} + e^{−2u_j})/j²: smooth, convex, not quadratic."""
    w = 1 / np.arange(1, size + 1) ** 2.0
    return Function(
        lambda u: u @ u + w @ (np.exp(u) + np.exp(-2 * u)),
        lambda u: 2 * u + w * (np.exp(u) - 2 * np.exp(-2 * u)),
        lambda u: np.diag(2 + w * (np.exp(u) + 4 * np.exp(-2 * u))),
    )


def valley_minimiser(size: int = 50) -> Vector:
    """By bisection of each component's derivative."""
    w, low, high = 1 / np.arange(1, size + 1) ** 2.0, np.full(size, -1.0), np.full(size, 1.0)
    for _ in range(80):
        middle = (low + high) / 2
        rising = 2 * middle + w * (np.exp(middle) - 2 * np.exp(-2 * middle)) > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return (low + high) / 2


def wells(size: int = 3) -> Function:
    """E = Σ (u_j² − 1)²: minima at every corner ±1, curvature 8, value 0; at 0 a maximum of curvature −4."""
    return Function(lambda u: ((u**2 - 1) ** 2).sum(), lambda u: 4 * u * (u**2 - 1), lambda u: np.diag(12 * u**2 - 4))


def identity(u: Vector) -> Vector:
    return u.copy()


def counted(function: Function) -> Function:
    function.calls.update(value=0, gradient=0, product=0)
    return function


# Minima


@pytest.mark.parametrize("near", [False, True])
def test_a_quadratic_is_minimised(near: bool) -> None:
    """The minimiser of ½ (u − a)·H (u − a) is a; one exact Newton step would do."""
    f, a = quadratic()
    optimum = minimise(f, np.zeros(60), near=near)
    assert optimum.status is Status.CONVERGED and optimum.residual <= 1e-10
    np.testing.assert_allclose(optimum.u, a, atol=1e-10)


def test_the_exact_inverse_corrects_in_one_step() -> None:
    """u − H⁻¹ ∂E/∂u is the minimiser of a quadratic: two gradients, and no product."""
    f, a = quadratic()
    H = f.hessian(a)
    optimum = minimise(f, np.zeros(60), tol=1e-8, near=True, preconditioner=Inverse(np.linalg.inv(H)))
    assert (optimum.gradients, optimum.products, optimum.iterations) == (2, 0, 1)
    assert optimum.status is Status.CONVERGED
    np.testing.assert_allclose(optimum.u, a, atol=1e-10)


def disturbed(H: np.ndarray, eigenvalues: list[float], seed: int = 5) -> Inverse:
    """B with these eigenvalues of B H, and 1 elsewhere."""
    values, vectors = np.linalg.eigh(H)
    root = (vectors * np.sqrt(1 / values)) @ vectors.T
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(H), len(eigenvalues))))
    B = root @ (np.eye(len(H)) + (Q * (np.array(eigenvalues) - 1)) @ Q.T) @ root
    return Inverse(B)


def test_corrections_are_a_krylov_method() -> None:
    """On a quadratic the secants of as many steps as B H has different eigenvalues are all; one more step ends it."""
    f, a = quadratic()
    B = disturbed(f.hessian(a), [0.8, 0.8, 0.9, 1.2])
    optimum = minimise(f, np.zeros(60), near=True, preconditioner=B)
    assert optimum.status is Status.CONVERGED and optimum.products == 0
    assert optimum.gradients == 4 + 2  # eigenvalues 0.8, 0.9, 1.2 and 1
    np.testing.assert_allclose(optimum.u, a, atol=1e-9)


@pytest.mark.parametrize("factor", [30.0, 300.0])
def test_where_corrections_do_not_contract_newton_takes_over(factor: float) -> None:
    """A B that is far off in some directions wastes at most a few gradients, and the minimum is found all the same."""
    f, a = quadratic()
    B = disturbed(f.hessian(a), [factor * k for k in range(1, 9)])
    optimum = minimise(counted(f), np.zeros(60), near=True, preconditioner=B)
    assert optimum.status is Status.CONVERGED and optimum.products > 0 and optimum.gradients <= 15
    np.testing.assert_allclose(optimum.u, a, atol=1e-9)


def test_corrections_are_kept_only_where_the_gradient_falls() -> None:
    """Far out, where the quadratic model is wrong, a step that leads uphill is not taken."""
    f = valley()
    far = np.full(50, 3.0)
    optimum = minimise(f, far, near=True, preconditioner=Inverse(np.eye(50)))
    assert optimum.status is Status.CONVERGED
    np.testing.assert_allclose(optimum.u, valley_minimiser(), atol=1e-9)


@pytest.mark.parametrize("distance", [0.1, 10.0, 100.0])
@pytest.mark.parametrize("near", [False, True])
def test_a_convex_function_is_minimised_from_far(distance: float, near: bool) -> None:
    """Where Newton's method fails at first, the trust region leads there; the minimiser is found by bisection."""
    f = valley()
    start = distance * np.random.default_rng(0).standard_normal(50) / math.sqrt(50)
    m, _ = local_minimum(f, start, identity, near=near)
    assert m.status is Status.CONVERGED
    np.testing.assert_allclose(m.control, valley_minimiser(), atol=1e-10)


def test_counts_are_those_of_the_calls() -> None:
    """Gradients and products of the minimisation, and those of the certificate apart, as the function saw them."""
    for f, start in ((counted(valley()), np.full(50, 3.0)), (counted(quadratic()[0]), np.zeros(60))):
        optimum = minimise(f, start)
        assert optimum.status is Status.CONVERGED
        assert (f.calls["gradient"], f.calls["product"]) == (optimum.gradients, optimum.products)
        counted(f)
        m, _ = local_minimum(f, start, identity)
        assert f.calls["product"] == m.hessian_products + m.certificate_products
        assert m.hessian_products == optimum.products and m.gradients == optimum.gradients > 0
        assert m.certificate_products > 0 and m.iterations == optimum.iterations > 0


@pytest.mark.parametrize("informed", [True, False])
def test_what_is_learnt_for_finer_grids_serves_the_certificate(informed: bool) -> None:
    """Its products are counted apart; hints make the certificate cheap, and without them it is as it was."""
    f = counted(valley())
    cold, _ = local_minimum(f, np.full(50, 0.5), identity)
    seen = []

    def learn(f: Evaluations, u: Vector, evaluations: int) -> Hints | None:
        values, vectors = np.linalg.eigh(np.column_stack([f.product(u, e) for e in np.eye(len(u))]))
        seen.append(evaluations)
        return Hints(Preconditioner(values, vectors), vectors[:, 0]) if informed else None

    counted(f)
    m, direction = local_minimum(f, np.full(50, 0.5), identity, learn=learn)
    assert m.coarse_products == 50 and seen == [m.gradients + m.hessian_products]
    assert f.calls["product"] == m.hessian_products + m.certificate_products + 50
    assert m.certificate_products <= 6 if informed else m.certificate_products == cold.certificate_products
    values, vectors = np.linalg.eigh(f.hessian(m.control))
    assert m.curvature == pytest.approx(values[0], rel=1e-6) and abs(direction @ vectors[:, 0]) > 0.999


def test_what_is_learnt_at_saddles_is_counted_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every saddle and at the minimum; their products and their time, by a clock that stands still elsewhere."""
    f, asked = counted(wells()), []
    monkeypatch.setattr(optimise, "perf_counter", lambda: float(len(asked)))

    def learn(f: Evaluations, u: Vector, evaluations: int) -> Hints | None:
        values, vectors = np.linalg.eigh(np.column_stack([f.product(u, e) for e in np.eye(3)]))
        asked.append((evaluations, values[0]))
        return Hints(Preconditioner(abs(values), vectors), vectors[:, 0])

    m, _ = local_minimum(f, np.zeros(3), identity, learn=learn)
    assert m.status is Status.CONVERGED and m.curvature == pytest.approx(8, rel=1e-9)
    assert len(asked) > 1 and asked[-1] == (m.gradients + m.hessian_products, pytest.approx(8))
    assert all(value < 0 for _, value in asked[:-1]) and m.coarse_products == 3 * len(asked)
    assert f.calls["product"] == m.hessian_products + m.certificate_products + m.coarse_products
    assert (m.coarse_seconds, m.seconds, m.certificate_seconds) == (len(asked), 0, 0)


def test_nothing_is_learnt_where_no_stationary_point_is_reached() -> None:
    """A function that is not finite has no Hessian to form."""
    f = Function(lambda u: math.nan, lambda u: u, lambda u: np.eye(len(u)))
    m, _ = local_minimum(f, np.ones(3), identity, learn=lambda *_: pytest.fail("called"))
    assert m.status is Status.NOT_FINITE and m.coarse_products == 0 and m.coarse_seconds == 0


# Certificates


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-8, 1e-12])
def test_the_certificate_tells_the_truth(tol: float) -> None:
    """Residual, least eigenvalue, and the distance to the minimiser within residual / curvature to first order."""
    f = valley()
    m, direction = local_minimum(f, np.full(50, 0.5), identity, tol=tol, near=True)
    assert m.status is Status.CONVERGED and m.residual <= tol
    assert m.residual == np.linalg.norm(f.gradient(m.control))
    eigenvalues = np.linalg.eigvalsh(f.hessian(m.control))
    assert m.curvature == pytest.approx(eigenvalues[0], rel=1e-6)
    assert direction @ f.hessian(m.control) @ direction == pytest.approx(eigenvalues[0], rel=1e-6)
    assert m.distance_bound == m.residual / m.curvature
    distance = np.linalg.norm(m.control - valley_minimiser())
    assert distance <= m.distance_bound * (1 + 0.1 * (tol > 1e-2)) + 1e-15
    assert m.value == f.value(m.control) and m.data_loss == pytest.approx(m.value - m.control @ m.control, rel=1e-13)
    assert abs(m.value - f.value(valley_minimiser())) <= m.error_bar


def test_a_tolerance_below_rounding_ends_at_the_floor() -> None:
    """Status ROUNDING, and a gradient within ten times its rounding error: that of the sums in extended precision."""
    random = np.random.default_rng(3)
    Q, _ = np.linalg.qr(random.standard_normal((80, 80)))
    H = (Q * (2 + 1e3 / np.arange(1, 81) ** 2)) @ Q.T
    H, r = (H + H.T) / 2, random.standard_normal(80)
    f = Function(lambda u: 0.5 * u @ H @ u - r @ u, lambda u: H @ u - r, lambda u: H)
    optimum = minimise(f, np.zeros(80), tol=1e-30)
    exact = H.astype(np.longdouble) @ optimum.u.astype(np.longdouble) - r
    typical = [
        np.linalg.norm(f.gradient(v) - (H.astype(np.longdouble) @ v.astype(np.longdouble) - r))
        for v in (optimum.u + 1e-9 * random.standard_normal((20, 80)))
    ]
    floor = math.sqrt(np.mean(np.square(typical, dtype=float)))
    assert optimum.status is Status.ROUNDING and optimum.status.converged
    assert optimum.residual <= 10 * floor and np.linalg.norm(exact) <= 12 * floor
    assert gradient_floor(Evaluations(f), optimum.u) == pytest.approx(floor, rel=0.6)


def test_the_value_floor_covers_the_rounding_of_the_value() -> None:
    """A sum of squares of size 1 that rounds at 1e6 has that rounding in its value, and the error bar says so."""
    f = Function(lambda u: (u @ u + 1e6) - 1e6 + 1, lambda u: 2 * u, lambda u: 2 * np.eye(len(u)))
    floor = value_floor(Evaluations(f), np.full(5, 0.1))
    assert 2e-11 < floor < 1e-9
    exact, a = quadratic()
    assert value_floor(Evaluations(exact), 1.1 * a) < 1e-10  # E itself is of the order of 100, and falls steeply
    m, _ = local_minimum(f, np.full(5, 0.1), identity)
    assert abs(m.value - 1) <= m.error_bar < 1e-9


# What is no minimum


def test_a_saddle_is_left_downhill() -> None:
    """Started exactly at a critical point that is no minimum, the search goes on to one that is."""
    f = wells()
    m, _ = local_minimum(f, np.zeros(3), identity)
    assert m.status is Status.CONVERGED and m.curvature == pytest.approx(8, rel=1e-9)
    np.testing.assert_allclose(abs(m.control), 1, atol=1e-10)
    assert m.value == pytest.approx(0, abs=1e-15) and m.gradients > 0 and m.certificate_products > 0


def test_a_saddle_that_cannot_be_left_says_so() -> None:
    """x² − y² + 2²⁴ y⁴ is lower than at 0 only within 2⁻¹² of it, below the reach of the search."""
    f = Function(
        lambda u: u[0] ** 2 - u[1] ** 2 + 2.0**24 * u[1] ** 4,
        lambda u: np.array([2 * u[0], -2 * u[1] + 2.0**26 * u[1] ** 3]),
        lambda u: np.diag([2, -2 + 3 * 2.0**26 * u[1] ** 2]),
    )
    m, direction = local_minimum(f, np.array([0.7, 0.0]), identity)
    assert m.status is Status.SADDLE and not m.status.converged
    assert (
        m.curvature == pytest.approx(-2) and m.distance_bound == math.inf and m.error_bar == math.inf
    ) or m.residual == 0
    np.testing.assert_allclose(abs(direction), [0, 1], atol=1e-12)


def test_a_flat_direction_is_not_a_certified_minimum() -> None:
    """u_1² with no u_2 in it: where the least eigenvalue is 0 the distance to a minimiser is not bounded."""
    f = Function(lambda u: u[0] ** 2, lambda u: np.array([2 * u[0], 0.0]), lambda u: np.diag([2.0, 0.0]))
    m, _ = local_minimum(f, np.array([0.5, -0.5]), identity)
    assert m.curvature == 0 and m.distance_bound == math.inf
    assert m.status is Status.SADDLE and not m.status.converged


def test_a_gradient_that_stops_falling_is_stalled() -> None:
    """|u| + u² in each coordinate has the gradient ±1 on either side of 0: no step makes it smaller."""
    f = Function(
        lambda u: np.abs(u).sum() + u @ u, lambda u: np.where(u < 0, -1.0, 1.0) + 2 * u, lambda u: 2 * np.eye(len(u))
    )
    m, _ = local_minimum(f, np.array([0.3, -0.4]), identity)
    assert m.status is Status.STALLED and not m.status.converged and m.residual > 0.9


def test_stagnation_above_rounding_is_not_taken_for_rounding() -> None:
    """A gradient that is wrong by 10⁻⁷ across the way to the minimum sticks there, a billion times its rounding."""

    def wrong(u: Vector) -> Vector:
        v = u - 1
        return 2 * v + 1e-7 * np.array([-v[1], v[0]]) / np.linalg.norm(v)

    f = Function(lambda u: ((u - 1) ** 2).sum(), wrong, lambda u: 2 * np.eye(2))
    m, _ = local_minimum(f, np.array([0.3, 2.0]), identity, tol=1e-12)
    assert m.status is Status.STALLED and 1e-8 < m.residual < 1e-6


@pytest.mark.parametrize("where", ["value", "gradient"])
@pytest.mark.parametrize("what", [math.nan, math.inf])
def test_a_start_that_is_not_finite_is_a_status(where: str, what: float) -> None:
    """Numbers that overflow at the start: nothing can be done, and nothing is raised."""
    f = Function(
        lambda u: what if where == "value" else 1.0,
        lambda u: np.full(3, what) if where == "gradient" else u,
        lambda u: np.eye(3),
    )
    m, _ = local_minimum(f, np.ones(3), identity)
    assert m.status is Status.NOT_FINITE and not m.status.converged
    assert math.isnan(m.residual) and m.distance_bound == math.inf and (m.control == 1).all()


def test_a_function_that_is_not_finite_far_away_is_minimised_within() -> None:
    """|u|² − Σ log(1 − u_j): infinite beyond 1, so that steps across the edge are taken back."""

    def barrier(u: Vector) -> float:
        return float(u @ u - np.log(1 - u).sum()) if (u < 1).all() else math.inf

    f = Function(
        barrier,
        lambda u: 2 * u + 1 / (1 - u) if (u < 1).all() else np.full(len(u), math.nan),
        lambda u: np.diag(2 + 1 / (1 - u) ** 2),
    )
    m, _ = local_minimum(f, np.array([0.99, -50.0]), identity)
    assert m.status is Status.CONVERGED
    np.testing.assert_allclose(m.control, (1 - math.sqrt(3)) / 2, atol=1e-10)


# Kinks


def bent(slope: float = 1.0, centre: float = 0.1, size: int = 3) -> Function:
    """E = slope |u|₁ + |u − centre|²."""
    return Function(
        lambda u: slope * np.abs(u).sum() + ((u - centre) ** 2).sum(),
        lambda u: slope * np.sign(u) + 2 * (u - centre),
        lambda u: 2 * np.eye(len(u)),
    )


def smoothed(slope: float, centre: float) -> Callable[[float], Function]:
    """√(u² + ε²) for |u|."""

    def of(width: float) -> Function:
        return Function(
            lambda u: slope * np.hypot(u, width).sum() + ((u - centre) ** 2).sum(),
            lambda u: slope * u / np.hypot(u, width) + 2 * (u - centre),
            lambda u: np.diag(2 + slope * width**2 / np.hypot(u, width) ** 3),
        )

    return of


@pytest.mark.parametrize("near", [False, True])
def test_a_minimum_at_a_kink_is_stationary_up_to_kinks(near: bool) -> None:
    """|u|₁ + |u − 0.1|² is least at 0: 0.2 lies in the generalised gradient [−1, 1] of |u|."""
    start = np.array([0.7, -0.4, 0.2])
    m = local_minimum_kinked(bent(), smoothed(1.0, 0.1), start, identity, near=near)
    assert m.status is Status.KINKS and not m.status.converged
    assert math.isnan(m.curvature) and math.isnan(m.distance_bound)
    np.testing.assert_allclose(m.control, 0, atol=1e-8)
    assert abs(m.value - 0.03) <= m.error_bar < 1e-6 and m.value == bent().value(m.control)
    assert m.residual <= 1e-10 and m.gradients > 0 and m.hessian_products > 0


def test_a_smooth_minimum_of_a_kinked_function_has_a_full_certificate() -> None:
    """|u|₁ + |u − 2|² is least at 1.5, where no kink is near: curvature 2, and a distance bound."""
    m = local_minimum_kinked(bent(1.0, 2.0), smoothed(1.0, 2.0), np.array([0.7, -0.4, 0.2]), identity)
    assert m.status is Status.CONVERGED and m.curvature == pytest.approx(2)
    np.testing.assert_allclose(m.control, 1.5, atol=1e-10)
    assert m.distance_bound == m.residual / m.curvature


@pytest.mark.parametrize("centre", [0.1, 2.0])
def test_counts_of_a_kinked_search_are_those_of_all_its_parts(centre: float) -> None:
    """What the smoothed functions were asked for counts as well, whether the search ends at a kink or not."""
    asked = [bent(1.0, centre)]

    def of(width: float) -> Function:
        asked.append(smoothed(1.0, centre)(width))
        return asked[-1]

    m = local_minimum_kinked(asked[0], of, np.array([0.7, -0.4, 0.2]), identity)
    assert m.hessian_products + m.certificate_products == sum(f.calls["product"] for f in asked)
    assert len(asked) - 1 <= m.gradients <= sum(f.calls["gradient"] for f in asked)


@pytest.mark.parametrize("what", [math.nan, math.inf])
def test_a_kinked_function_that_is_not_finite_is_a_status(what: float) -> None:
    """NaN is not stationary."""
    f = Function(lambda u: what, lambda u: np.full(3, what), lambda u: np.eye(3))
    m = local_minimum_kinked(f, lambda width: f, np.ones(3), identity)
    assert m.status is Status.NOT_FINITE and not m.status.converged


# What is said


def test_statuses_are_sentences_with_a_remedy() -> None:
    """The value is what a table shows; every failure says what to try."""
    for status in Status:
        assert str(status) == status.value and len(status.value) > 20
        assert status is Status.CONVERGED or "; " in status.value
    assert {s for s in Status if s.converged} == {Status.CONVERGED, Status.ROUNDING, Status.JUMPED}


def test_a_minimum_cannot_be_changed() -> None:
    """Answers are frozen records."""
    m, _ = local_minimum(wells(), np.full(3, 0.5), identity)
    assert isinstance(m, Minimum) and m.seed is None
    with pytest.raises(AttributeError):
        m.value = 0.0  # type: ignore[misc]


def test_the_same_search_gives_the_same_numbers() -> None:
    """No hidden generator: bit by bit."""
    a, b = (local_minimum(valley(), np.full(50, 3.0), identity)[0] for _ in range(2))
    assert np.array_equal(a.control, b.control) and a.value == b.value
    assert a.curvature == b.curvature and a.certificate_products == b.certificate_products

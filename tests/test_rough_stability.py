"""Stability of difference equations: constants that are never violated, and bounds that do not grow with depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from deeplimit import rough
from deeplimit.rough import difference, stability
from deeplimit.rough.difference import Bounds, Field, residual
from deeplimit.rough.lift import sizes
from deeplimit.rough.paths import area_loop, fractional_increments

WIDTH = 2
FIELD = residual(WIDTH)


def bounds() -> Bounds:
    assert FIELD.bounds is not None
    return FIELD.bounds


def path(n: int, scale: float, seed: int = 0, hurst: float = 0.5) -> np.ndarray:
    return rough.as_path(scale * fractional_increments(n, hurst, WIDTH**2, seed=seed))


def test_a_network_is_a_difference_equation() -> None:
    """y_{k+1} = y_k + A_k tanh(y_k), by the loop; the derivative by differences."""
    w = path(20, 1.0)
    y = np.array([0.4, -0.7])
    states = difference.solve(FIELD, w, y)
    for A in np.diff(w, axis=0).reshape(-1, WIDTH, WIDTH):
        y = y + A @ np.tanh(y)
    assert states[-1] == pytest.approx(y, rel=1e-13)
    h = 1e-6
    for k, e in enumerate(np.eye(WIDTH)):
        change = (difference.solve(FIELD, w, states[0] + h * e) - difference.solve(FIELD, w, states[0] - h * e))[-1]
        assert difference.tangent(FIELD, w, states)[:, k] == pytest.approx(change / (2 * h), rel=1e-7, abs=1e-9)


def test_the_second_field_is_that_of_taylor() -> None:
    """f(y + f(y)a) b = f(y) b + g(y)[a ⊗ b] + O(|a|²): order matters, a comes first."""
    random = np.random.default_rng(0)
    y, a, b = random.standard_normal(WIDTH), *random.standard_normal((2, WIDTH**2))
    t = 1e-5
    change = (FIELD.value(y + t * FIELD.value(y) @ a) - FIELD.value(y - t * FIELD.value(y) @ a)) @ b / (2 * t)
    assert np.einsum("iab,a,b->i", FIELD.second(y), a, b) == pytest.approx(change, rel=1e-8)


def test_the_bounds_of_a_field_hold() -> None:
    """Norms of f, Df, g and Dg at 300 random points, as linear maps; none above its bound, most within a factor 3."""
    random, B = np.random.default_rng(1), bounds()
    worst = dict.fromkeys(vars(B), 0.0)
    for _ in range(300):
        y, z = random.standard_normal(WIDTH) * 2, random.standard_normal(WIDTH) * 2
        z = y + 10.0 ** random.uniform(-3, 0) * (z - y)
        e, gap = random.standard_normal(WIDTH), float(np.linalg.norm(y - z))
        e /= np.linalg.norm(e)
        df = [FIELD.derivative(p) @ e for p in (y, z)]
        flat = [FIELD.second(p).reshape(WIDTH, -1) for p in (y, z)]
        quotients = {
            "size": np.linalg.norm(FIELD.value(y), 2),
            "first": np.linalg.norm(FIELD.value(y) - FIELD.value(z), 2) / gap,
            "second": np.linalg.norm(df[0] - df[1], 2) / gap,
            "level2": np.linalg.norm(flat[0], 2),
            "level2_first": np.linalg.norm(flat[0] - flat[1], 2) / gap,
        }
        worst |= {name: max(worst[name], float(value)) for name, value in quotients.items()}
    for name in ("size", "first", "second", "level2", "level2_first"):
        assert worst[name] <= getattr(B, name) * (1 + 1e-12), name
        assert worst[name] >= getattr(B, name) / 3, name


def test_the_third_constants_bound_second_differences() -> None:
    """|D²f(y)[e, e] − D²f(z)[e, e]| ≤ L'' |y − z| and the same of g, by central differences."""
    random, B, t = np.random.default_rng(2), bounds(), 1e-3

    def bent(function: Callable[[np.ndarray], np.ndarray], y: np.ndarray, e: np.ndarray) -> np.ndarray:
        return (function(y + t * e) - 2 * function(y) + function(y - t * e)).reshape(WIDTH, -1) / t**2

    def sloped(function: Callable[[np.ndarray], np.ndarray], y: np.ndarray, e: np.ndarray) -> np.ndarray:
        return (function(y + t * e) - function(y - t * e)).reshape(WIDTH, -1) / (2 * t)

    found = [0.0, 0.0]
    for _ in range(200):
        y, e, step = random.standard_normal((3, WIDTH))
        z, e = y + 0.1 * step, e / np.linalg.norm(e)
        gap = 0.1 * float(np.linalg.norm(step))
        found[0] = max(found[0], np.linalg.norm(bent(FIELD.value, y, e) - bent(FIELD.value, z, e), 2) / gap)
        found[1] = max(found[1], np.linalg.norm(sloped(FIELD.second, y, e) - sloped(FIELD.second, z, e), 2) / gap)
    assert B.third / 3 <= found[0] <= B.third * (1 + 1e-4)
    assert B.level2_second / 4 <= found[1] <= B.level2_second * (1 + 1e-4)


def test_the_young_constant() -> None:
    """|Σ u dw − u_j w_{jk}| ≤ ζ(2/p) ‖u‖_p ‖w‖_p on 200 pairs of walks; and it is not void: above a twentieth."""
    random, ratios = np.random.default_rng(3), []
    for p in (1.2, 1.5, 1.8):
        for _ in range(70):
            u, w = random.standard_normal((2, 40)).cumsum(1)
            total = float((u[:-1] - u[0]) @ np.diff(w))
            norms = rough.p_variation(u, p)[0] * rough.p_variation(w, p)[0]
            ratios.append(abs(total) / (stability.young_constant(p) * norms))
    assert len(ratios) >= 200 and 0.05 < max(ratios) <= 1


def test_the_sewing_constant() -> None:
    """|Σ Ξ_{l,l+1} − Ξ_{0n}| for a Ξ whose defect is two products of a p/2- and a p-variation, on random walks."""
    random, p, ratios = np.random.default_rng(4), 2.4, []
    for _ in range(40):
        u, w = random.standard_normal((2, 30)).cumsum(1)
        U = np.array([[(u[j:k] - u[j]) @ np.diff(u[j : k + 1]) for k in range(30)] for j in range(30)])
        # Ξ_{jk} = U_{0j} w_{jk} + u_{0j} UW_{jk} has Ξ_{ik} − Ξ_{ij} − Ξ_{jk} = −U_{ij} w_{jk} − u_{ij} UW_{jk}
        UW = np.array([[(u[j:k] - u[j]) @ np.diff(w[j : k + 1]) for k in range(30)] for j in range(30)])
        total = float(U[0, :-1] @ np.diff(w))
        half = [rough.variation.of_columns((np.abs(T[:k, k]) for k in range(1, 30)), p / 2)[0] for T in (U, UW)]
        full = [rough.p_variation(x, p)[0] for x in (w, u)]
        ratios.append(abs(total) / (stability.sewing_constant(p, 2) * (half[0] * full[0] + half[1] * full[1])))
    assert 0.01 < max(ratios) <= 1


@pytest.mark.parametrize(("p", "scale"), [(1, 0.1), (1.5, 0.03), (1.8, 0.02), (2.0, 0.1), (2.3, 0.1), (2.8, 0.05)])
def test_the_bounds_are_never_violated(p: float, scale: float) -> None:
    """Two inputs and two paths: the largest gap along the network against both parts of the bound, 20 draws."""
    random = np.random.default_rng(5)
    ratios = []
    for seed in range(20):
        w, u = path(64, scale, seed), path(64, 0.01 * scale, 100 + seed)
        v, y = w + u, random.standard_normal(WIDTH)
        z = y + 0.01 * scale * random.standard_normal(WIDTH)
        gap = np.linalg.norm(difference.solve(FIELD, w, y) - difference.solve(FIELD, v, z), axis=1)
        found = stability.bound(bounds(), w, p, other=v)
        whole = np.exp(found.log_amplification) * gap[0] + np.exp(found.log_forcing)
        assert found.theorem == ("Gronwall" if p == 1 else "Young" if p < 2 else "rough")
        ratios.append(gap.max() / whole)
        if p > 1:
            assert found.intervals > 0
    assert 0.01 < max(ratios) <= 1


def test_the_sizes_of_a_solution_are_never_above_their_bound() -> None:
    """‖y‖_p ≤ N and ‖y_{jk} − f(y_j) w_{jk}‖_{p/2} ≤ Q on intervals small enough, by the dynamic programme."""
    for seed in range(10):
        for p, scale in ((2.0, 0.04), (2.5, 0.03)):
            w = path(32, scale, seed)
            y = difference.solve(FIELD, w, np.array([0.5, -1.0]))
            X = rough.level2_variation(w, p)[0]
            found = stability.solution_sizes(bounds(), p, rough.p_variation(w, p)[0], X)
            assert found is not None
            assert 0.1 * found[0] < rough.p_variation(y, p)[0] <= found[0]
            gaps = (
                np.array([np.linalg.norm(y[k] - y[j] - FIELD.value(y[j]) @ (w[k] - w[j])) for j in range(k)])
                for k in range(1, 33)
            )
            assert 0.01 * found[1] < rough.variation.of_columns(gaps, p / 2)[0] <= found[1]


def test_the_rough_bound_does_not_grow_with_depth() -> None:
    """One Brownian path on finer grids: ‖w‖_1 doubles with every fourfold depth, the rough bound moves by a quarter."""
    whole = 0.1 * fractional_increments(1024, 0.5, WIDTH**2, seed=6)
    gronwall, bounded = [], []
    for n in (64, 256, 1024):
        w = rough.as_path(whole.reshape(n, -1, WIDTH**2).sum(1))
        gronwall.append(stability.gronwall(bounds(), w).log_amplification)
        bounded.append(stability.bound(bounds(), w, 2.2).log_amplification)
    assert gronwall[2] / gronwall[0] == pytest.approx(4, rel=0.1)
    assert bounded[2] == pytest.approx(bounded[1], rel=0.25)
    assert bounded[2] < gronwall[2] / 2


def test_remainders_of_a_linear_path_are_those_of_taylor() -> None:
    """With w = t a, y' = f(y)a: without the second level the remainder is g(y)[a ⊗ a] t²/2, with it of third order."""
    n, a = 4096, np.array([0.3, -0.2, 0.5, 0.4])
    w = np.linspace(0, 1, n + 1)[:, None] * a
    y = difference.solve(FIELD, w, np.array([0.3, 0.6]))
    found = [difference.remainders(FIELD, w, y, m) for m in (256, 512)]
    assert found[1][0][0] / found[0][0][0] == pytest.approx(8, rel=0.1)
    t = 256 / n
    expected = np.linalg.norm(np.einsum("iab,a,b->i", FIELD.second(y[0]), a, a)) * t**2 / 2
    assert found[0][1][0] == pytest.approx(expected, rel=0.1)


def test_a_pure_area_path_moves_the_output_along_the_bracket() -> None:
    """Linear fields B_1 y, B_2 y: the path tends to 0, the output to exp(π (B_2 B_1 − B_1 B_2)) y."""
    B = np.array([[[0.0, 1], [0, 0]], [[0, 0], [1.0, 0]]])
    linear = Field(lambda y: (B @ y).T, lambda y: np.zeros((2, 2, 2)))
    limit = expm(np.pi * (B[1] @ B[0] - B[0] @ B[1])) @ np.array([1.0, 2])
    gaps = []
    for radius in (1 / 8, 1 / 16):
        gaps.append(np.linalg.norm(difference.solve(linear, area_loop(radius, 400), np.array([1.0, 2]))[-1] - limit))
    assert gaps[1] < 0.08 * np.linalg.norm(limit) and gaps[1] < 0.6 * gaps[0]


def test_a_smooth_path_is_its_ode() -> None:
    """y' = f(y) w' by SciPy; first order in the step."""
    a = np.array([0.3, -0.2, 0.5, 0.4])
    exact = solve_ivp(lambda t, y: FIELD.value(y) @ a, (0, 1), [0.3, 0.6], rtol=1e-10, atol=1e-12).y[:, -1]
    gaps = [
        np.linalg.norm(difference.solve(FIELD, np.linspace(0, 1, n + 1)[:, None] * a, np.array([0.3, 0.6]))[-1] - exact)
        for n in (100, 200)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.02)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "p of 3": (lambda: rough.bound(bounds(), path(8, 1), 3), "p must be below 3"),
    "p below 1": (lambda: rough.bound(bounds(), path(8, 1), 0.5), "p must be at least 1"),
    "shapes": (lambda: rough.bound(bounds(), path(8, 1), 2, other=path(9, 1)), "one shape"),
    "one point": (lambda: rough.bound(bounds(), np.zeros((1, 4)), 2), "at least 2 points"),
    "dimension": (lambda: rough.bound(bounds(), np.zeros((5, 3)), 2), "increments of 4 entries .* have 3"),
    "dimension, p = 1": (lambda: stability.gronwall(bounds(), np.zeros((5, 9))), "increments of 4 entries .* have 9"),
    "path of another width": (lambda: difference.solve(FIELD, np.zeros((5, 3)), np.zeros(2)), "got 3 and 2"),
    "start of another width": (lambda: difference.solve(FIELD, path(8, 1), np.zeros(3)), "got 4 and 3"),
    "start NaN": (lambda: difference.solve(FIELD, path(8, 1), np.array([0, np.nan])), "vector of finite numbers"),
    "path NaN": (lambda: difference.solve(FIELD, np.full((5, 4), np.nan), np.zeros(2)), "a path must be finite"),
    "bound NaN": (lambda: rough.bound(bounds(), np.full((5, 4), np.nan), 2), "a path must be finite"),
    "directions": (lambda: residual(2, directions=np.zeros((1, 3, 3))), "directions must have shape"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Callable[[], Any], words: str) -> None:
    """One sentence that names the requirement."""
    with pytest.raises(ValueError, match=words):
        call()
    with pytest.raises(TypeError, match="bounds must be Bounds"):
        rough.bound("tanh", path(8, 1), 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("call", [lambda b: rough.bound(b, path(8, 1), 2), lambda b: stability.gronwall(b, path(8, 1))])
@pytest.mark.parametrize("name", ["relu", "identity", "softplus0"])
def test_a_field_without_bounds_is_refused_with_the_reason(name: str, call: Callable[[Any], Any]) -> None:
    """σ is unbounded, or not smooth."""
    with pytest.raises(ValueError, match="its σ must be bounded, with Lipschitz σ, σ' and σ''"):
        call(residual(2, name).bounds)


def test_bounds_are_known_for_every_bounded_smooth_activation() -> None:
    """sup s = 1, Lip s = 1/4, Lip s' = 1/(6√3), Lip s'' = 1/8 of the sigmoid s, width 4: root 2."""
    found = residual(4, "sigmoid").bounds
    assert found is not None
    assert (found.size, found.first, found.level2) == pytest.approx((2, 0.25, 2 * 0.25 * 2))
    assert (found.second, found.third) == pytest.approx((1 / (6 * np.sqrt(3)), 1 / 8))
    assert residual(2, "arctan").bounds is not None


def test_a_bound_without_intervals_is_one_of_single_steps() -> None:
    """Weights too large for any interval: Π (1 + L |dw|), for every p; the theorem does not say otherwise."""
    w = path(16, 10.0)
    steps = float(np.log1p(np.linalg.norm(np.diff(w, axis=0), axis=1)).sum())
    for p in (1.5, 2.5):
        found = stability.bound(bounds(), w, p)
        assert (found.theorem, found.intervals, found.steps) == ("single steps", 0, 16)
        assert found.log_amplification == pytest.approx(steps, rel=1e-13)


def test_the_lift_sizes_start_at_zero() -> None:
    """WW over one step is 0, so that the expansion is exact there."""
    assert [float(column[-1]) for column in sizes(path(5, 1.0))] == [0.0] * 5

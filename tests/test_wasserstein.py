"""Wasserstein distances: the truth is closed forms, the linear programme of transport and every permutation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import sqrtm
from scipy.optimize import linprog

from deeplimit.meanfield import wasserstein

RNG = np.random.default_rng(1)


def programme(x: np.ndarray, y: np.ndarray, p: float, a: np.ndarray, b: np.ndarray) -> float:
    """The least Σ π_ij |x_i − y_j|^p over all couplings π, to the power 1/p."""
    cost = np.abs(x[:, None] - y) ** p
    rows, columns = np.kron(np.eye(len(x)), np.ones(len(y))), np.kron(np.ones(len(x)), np.eye(len(y)))
    found = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a / a.sum(), b / b.sum()]))
    return float(found.fun ** (1 / p))


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_the_distance_of_samples_is_the_least_over_all_couplings(p: float) -> None:
    """On the line the coupling of the quantiles is optimal: sizes and weights differ, points repeat."""
    x, y = RNG.normal(size=7), np.array([0.3, 0.3, -1.0, 2.0, 0.7])
    a, b = RNG.uniform(0.1, 1, 7), RNG.uniform(0.1, 1, 5)
    assert wasserstein.distance(x, y, p, a, b) == pytest.approx(programme(x, y, p, a, b), rel=1e-9)
    assert wasserstein.distance(x, y, p) == pytest.approx(programme(x, y, p, np.ones(7), np.ones(5)), rel=1e-9)


@pytest.mark.parametrize("p", [1, 2, 2.5])
def test_it_is_a_distance_that_scales(p: float) -> None:
    """W(μ, μ) = 0, symmetric, W of a shift is the shift, of s times both s times as large."""
    x, y = RNG.normal(size=50), RNG.exponential(size=50)
    assert wasserstein.distance(x, x[::-1], p) == 0
    assert wasserstein.distance(x, y, p) == pytest.approx(wasserstein.distance(y, x, p), rel=1e-13)
    assert wasserstein.distance(x, x + 0.7, p) == pytest.approx(0.7, rel=1e-13)
    assert wasserstein.distance(3 * x, 3 * y, p) == pytest.approx(3 * wasserstein.distance(x, y, p), rel=1e-13)


def test_quantile_samples_of_a_uniform_law_are_at_1_over_4m() -> None:
    """W₁ = 1/(4M), W₂ = 1/(M √12): every cell of width 1/M is sent to its middle."""
    law = stats.uniform()
    for M in (1, 2, 3, 100):
        x = (np.arange(M) + 0.5) / M
        assert wasserstein.to_law(x, law.ppf, law.cdf) == pytest.approx(1 / (4 * M), rel=1e-12)
        assert wasserstein.to_law(x, law.ppf, law.cdf, 2) == pytest.approx(1 / (M * np.sqrt(12)), rel=1e-12)


@pytest.mark.parametrize("law", [stats.norm(0.3, 2), stats.expon(), stats.beta(2, 3)], ids=["normal", "exp", "beta"])
def test_the_distance_of_one_point_is_a_moment(law: stats.distributions.rv_frozen) -> None:
    """W_p(δ_a, μ)^p = E|X − a|^p: the variance at a = the mean, for laws on the line and on an interval alike."""
    mean, variance = law.stats()
    assert wasserstein.to_law(np.array([mean]), law.ppf, law.cdf, 2) == pytest.approx(np.sqrt(variance), rel=1e-10)
    repeated = np.full(5, mean)
    assert wasserstein.to_law(repeated, law.ppf, law.cdf, 2) == pytest.approx(np.sqrt(variance), rel=1e-10)
    absolute = law.expect(lambda x: abs(x - 0.4), epsabs=1e-11, limit=200)
    assert wasserstein.to_law(np.array([0.4]), law.ppf, law.cdf) == pytest.approx(absolute, rel=1e-6)


def test_to_a_law_is_the_integral_of_the_difference_of_distribution_functions() -> None:
    """W₁ = ∫ |F_M − F| dx, a midpoint rule on a fine grid: a sample that is not in order, and nowhere near."""
    law, x = stats.norm(), RNG.normal(0.5, 2, size=40)
    grid = np.linspace(-12, 12, 2_400_001)
    empirical = np.searchsorted(np.sort(x), grid, side="right") / 40
    integral = np.sum(np.abs(empirical - law.cdf(grid))) * (grid[1] - grid[0])
    assert wasserstein.to_law(x, law.ppf, law.cdf) == pytest.approx(integral, rel=1e-6)


def test_a_fine_quantile_sample_stands_for_its_law() -> None:
    """W_p to a law is the limit of W_p to its samples: |difference| ≤ W_p(sample, law)."""
    law, x = stats.beta(2, 2), RNG.random(30)
    fine = law.ppf((np.arange(20_000) + 0.5) / 20_000)
    for p in (1, 2, 3):
        assert wasserstein.to_law(x, law.ppf, law.cdf, p) == pytest.approx(wasserstein.distance(x, fine, p), abs=1e-4)


@pytest.mark.parametrize("p", [1, 2])
def test_an_assignment_is_the_best_of_all(p: float) -> None:
    """Of 720 permutations in the plane; on a line of the plane it is the distance on the line."""
    x, y = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2))
    lengths = np.linalg.norm(x[:, None] - y, axis=-1) ** p
    best = min(lengths[range(6), list(order)].mean() for order in itertools.permutations(range(6)))
    assert wasserstein.assignment(x, y, p) == pytest.approx(best ** (1 / p), rel=1e-12)
    s, t = RNG.normal(size=80), RNG.normal(size=80)
    along = np.array([0.6, 0.8])
    assert wasserstein.assignment(np.outer(s, along), np.outer(t, along), p) == pytest.approx(
        wasserstein.distance(s, t, p), rel=1e-12
    )


def test_gaussian_laws_that_commute_are_as_far_as_their_deviations() -> None:
    """W₂² = |m − n|² + Σ (√a_i − √b_i)² for covariances with common axes; 0 for one law."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    A, B = turn @ np.diag([4.0, 1.0]) @ turn.T, turn @ np.diag([1.0, 0.25]) @ turn.T
    m, n = np.array([1.0, 2.0]), np.array([-1.0, 3.0])
    assert wasserstein.gaussian(m, A, n, B) == pytest.approx(2.5, rel=1e-13)
    assert wasserstein.gaussian(m, A, m, A) == pytest.approx(0, abs=1e-7)


def test_gaussian_laws_are_as_far_as_the_optimal_map_moves() -> None:
    """For S symmetric and positive X ↦ SX + s is optimal: W₂² = E|SX + s − X|², from moments of X in ℝ³."""
    G, H = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    A, S = G @ G.T, H @ H.T
    m, s, one = RNG.normal(size=3), RNG.normal(size=3), np.eye(3)
    moved = np.trace((S - one) @ A @ (S - one)) + np.sum((S @ m + s - m) ** 2)
    for first, second in (((m, A), (S @ m + s, S @ A @ S)), ((S @ m + s, S @ A @ S), (m, A))):
        assert wasserstein.gaussian(*first, *second) == pytest.approx(np.sqrt(moved), rel=1e-12)


def test_gaussian_laws_are_no_farther_than_any_coupling_takes_them() -> None:
    """SciPy's matrix roots in the trace; a rotation is a coupling too, and moves farther."""
    A, turn = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[0.8, -0.6], [0.6, 0.8]])
    B, zero = turn @ A @ turn.T, np.zeros(2)
    root = sqrtm(A)
    squared = np.trace(A + B) - 2 * np.trace(sqrtm(root @ B @ root)).real
    found = wasserstein.gaussian(zero, A, zero, B)
    assert found == pytest.approx(np.sqrt(squared), rel=1e-10)
    assert found**2 < np.trace((turn - np.eye(2)) @ A @ (turn - np.eye(2)).T) - 0.1


def test_misuse_is_told() -> None:
    """What is wrong, in one sentence."""
    x, plane = np.zeros(3), np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"order must be at least 1, got 0\.5"):
        wasserstein.distance(x, x, 0.5)
    with pytest.raises(ValueError, match=r"use assignment"):
        wasserstein.distance(plane, x)
    with pytest.raises(ValueError, match="x_weights must be 3 positive numbers"):
        wasserstein.distance(x, x, 2, x_weights=np.array([1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="draw as many points"):
        wasserstein.assignment(plane, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="take part of the samples"):
        wasserstein.assignment(np.zeros((10_001, 2)), np.zeros((10_001, 2)))
    one, zero = np.eye(2), np.zeros(2)
    with pytest.raises(ValueError, match=r"one shape \(d,\), d ≥ 1, got \(2,\) and \(3,\)"):
        wasserstein.gaussian(zero, one, np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="other_covariance must be a symmetric matrix"):
        wasserstein.gaussian(zero, one, zero, np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="no negative eigenvalue, got -1"):
        wasserstein.gaussian(zero, np.diag([1.0, -1.0]), zero, one)

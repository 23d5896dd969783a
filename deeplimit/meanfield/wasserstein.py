"""Wasserstein distances W_p: exact between samples and between Gaussian laws, by quadrature to known quantiles.

W_p(μ, ν)^p = inf E|X − Y|^p over couplings of μ and ν; on the line it is ∫₀¹ |F_μ⁻¹(u) − F_ν⁻¹(u)|^p du.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from deeplimit import checks
from deeplimit.meanfield import field

NODES = 8  # of Gauss-Legendre: 1e-12 of a function that is singular one interval away
LEVELS = 50  # of intervals that halve: the mass beyond is that of rounding, 2^(−50)/M below and 2^(−48) above
MOST = 10_000  # points of an assignment, whose matrix of costs has the square of that
SYMMETRIC = 1e-12  # relative rounding of a covariance

Function = Callable[[np.ndarray], np.ndarray]


def distance(
    x: np.ndarray,
    y: np.ndarray,
    order: float = 1,
    x_weights: np.ndarray | None = None,
    y_weights: np.ndarray | None = None,
) -> float:
    """W_p between two weighted samples on the line, exactly: their quantiles are step functions.

    Parameters
    ----------
    x, y
        Samples, shapes (M,) and (N,).
    order
        p ≥ 1.
    x_weights, y_weights
        Positive masses, which are divided by their sum; equal ones by default.

    Raises
    ------
    ValueError, TypeError
        For another shape, an order below 1 and weights that are not positive.
    """
    p = _order(order)
    if p == 1:
        samples = (_sample("x", x), _sample("y", y))
        weights = (_weights("x_weights", x_weights, len(samples[0])), _weights("y_weights", y_weights, len(samples[1])))
        return float(stats.wasserstein_distance(*samples, *weights))
    (x, x_steps), (y, y_steps) = _steps("x", x, x_weights), _steps("y", y, y_weights)
    levels = np.union1d(x_steps, y_steps)
    middle = levels - np.diff(levels, prepend=0.0) / 2
    gaps = x[np.searchsorted(x_steps, middle)] - y[np.searchsorted(y_steps, middle)]
    return float(np.sum(np.diff(levels, prepend=0.0) * np.abs(gaps) ** p) ** (1 / p))


def to_law(x: np.ndarray, quantile: Function, cdf: Function, order: float = 1) -> float:
    """W_p between the empirical law of a sample on the line and a law, up to quadrature.

    Σ_i ∫ |x_(i) − F⁻¹(u)|^p du over u in ((i − 1)/M, i/M), by Gauss-Legendre on either side of u = F(x_(i)), where the
    integrand has a kink, and on intervals that halve towards 0 and 1, where F⁻¹ may be infinite.

    Parameters
    ----------
    x
        Sample, shape (M,).
    quantile, cdf
        F⁻¹ on (0, 1) and F.
    order
        p ≥ 1; for a law without moments of order p the distance is infinite, and the quadrature meaningless.

    Raises
    ------
    ValueError, TypeError
        For another shape, and an order below 1.
    """
    p, sample = _order(order), np.sort(_sample("x", x))
    M = len(sample)
    tails = 2.0 ** -np.arange(LEVELS) / M
    lower, upper = tails, 1 - tails[tails > 8 * np.finfo(float).eps]
    kinks = np.clip(np.asarray(cdf(sample)), lower[-1], upper[-1])
    breaks = np.sort(np.concatenate([np.arange(1, M) / M, kinks, lower, upper]))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    middle, half = (breaks[1:] + breaks[:-1]) / 2, np.diff(breaks) / 2
    at = sample[np.minimum((middle * M).astype(int), M - 1)]
    costs = np.abs(at[:, None] - quantile(middle[:, None] + half[:, None] * nodes)) ** p
    return float((half @ costs @ weights) ** (1 / p))


def assignment(x: np.ndarray, y: np.ndarray, order: float = 1) -> float:
    """W_p between two samples of one size in ℝ^d, exactly, by the optimal assignment; cost M³.

    Parameters
    ----------
    x, y
        Samples, shape (M, d), at most 10 000 points.

    Raises
    ------
    ValueError, TypeError
        For other shapes, sizes that differ, samples that are too large and an order below 1.
    """
    p, x, y = _order(order), field.array("x", x), field.array("y", y)
    if x.ndim != 2 or x.shape != y.shape or not x.size:
        raise ValueError(
            f"x and y must have one shape (M, d), got {x.shape} and {y.shape}: draw as many points of the one"
        )
    if len(x) > MOST:
        raise ValueError(f"an assignment takes at most {MOST} points, got {len(x)}: take part of the samples")
    cost = cdist(x, y) ** p
    return float(np.mean(cost[linear_sum_assignment(cost)]) ** (1 / p))


def gaussian(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """W₂ between the laws N(m, A) and N(n, B) in ℝ^d, (|m − n|² + tr A + tr B − 2 tr (A^½ B A^½)^½)^½.

    The last trace is the sum of the singular values of FᵀG, for A = FFᵀ and B = GGᵀ. Where N(n, B) is the image of
    N(m, A) under x ↦ Sx + s with S symmetric and positive, a gradient of a convex function, it is (E|SX + s − X|²)^½.

    Parameters
    ----------
    mean, other_mean
        m and n, shape (d,).
    covariance, other_covariance
        A and B, shape (d, d), symmetric, without negative eigenvalues.

    Raises
    ------
    ValueError, TypeError
        For other shapes, and matrices that are no covariances.
    """
    m, n = field.array("mean", mean), field.array("other_mean", other_mean)
    if m.ndim != 1 or not m.size or m.shape != n.shape:
        raise ValueError(f"mean and other_mean must have one shape (d,), d ≥ 1, got {m.shape} and {n.shape}")
    F, G = _factor("covariance", covariance, len(m)), _factor("other_covariance", other_covariance, len(m))
    bures = np.sum(F**2) + np.sum(G**2) - 2 * np.linalg.svd(F.T @ G, compute_uv=False).sum()
    return float(np.sqrt(np.sum((m - n) ** 2) + max(bures, 0.0)))


def _factor(name: str, covariance: np.ndarray, d: int) -> np.ndarray:
    """F with F Fᵀ the covariance."""
    A = field.array(name, covariance)
    if A.shape != (d, d) or np.abs(A - A.T).max() > SYMMETRIC * np.abs(A).max():
        raise ValueError(f"{name} must be a symmetric matrix of shape ({d}, {d}), got {A.tolist()}")
    values, vectors = np.linalg.eigh(A)
    if values[0] < -SYMMETRIC * np.abs(values).max():
        raise ValueError(f"{name} must have no negative eigenvalue, got {values[0]:.6g}")
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _order(order: float) -> float:
    if checks.number("order", order) < 1:
        raise ValueError(f"order must be at least 1, got {order}: below it W_p is no distance")
    return float(order)


def _sample(name: str, x: np.ndarray) -> np.ndarray:
    found = field.array(name, x)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"{name} must have shape (M,), M ≥ 1, got {found.shape}; for points in ℝ^d use assignment")
    return found


def _weights(name: str, weights: np.ndarray | None, number: int) -> np.ndarray:
    found = np.ones(number) if weights is None else field.array(name, weights)
    if found.shape != (number,) or (found <= 0).any():
        raise ValueError(f"{name} must be {number} positive numbers, got {weights!r}")
    return found


def _steps(name: str, x: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The sample in order, and its distribution function there, which ends at 1."""
    sample = _sample(name, x)
    ranks = np.argsort(sample, kind="stable")
    masses = np.cumsum(_weights(f"{name}_weights", weights, len(sample))[ranks])
    return sample[ranks], masses / masses[-1]

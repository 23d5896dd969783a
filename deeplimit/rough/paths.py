"""Paths of known roughness: fractional Brownian motion, and loops that are all area."""

from __future__ import annotations

import math

import numpy as np
from scipy.fft import fft

from deeplimit import checks
from deeplimit.rough.variation import Floats

ROUNDING = 1e-10  # part of the largest eigenvalue by which one may come out negative


def fractional_increments(count: int, hurst: float, dimensions: int = 1, *, seed: int = 0) -> Floats:
    """w_{(i+1)/n} − w_{i/n} of independent fractional Brownian motions on [0, 1], E w_t² = t^{2H}; exact in law.

    The covariance of the increments, γ_k = ½ n^{−2H} (|k + 1|^{2H} − 2 |k|^{2H} + |k − 1|^{2H}), is part of a circulant
    matrix of order 2n, whose root the fast Fourier transform applies (Davies & Harte).

    Parameters
    ----------
    count
        n.
    hurst
        H in (0, 1]: ½ is Brownian motion, 1 a line with a random slope; p-variation is finite for p > 1/H.
    seed
        Of NumPy's generator.

    Returns
    -------
    Increments, (n, dimensions).
    """
    n = checks.whole("count", count, least=1)
    H = checks.positive("hurst", hurst)
    if H > 1:
        raise ValueError(f"hurst must be at most 1, got {hurst!r}")
    k = np.arange(n + 1.0)
    gamma = (np.abs(k + 1) ** (2 * H) - 2 * k ** (2 * H) + np.abs(k - 1) ** (2 * H)) / 2
    eigenvalues = fft(np.concatenate([gamma, gamma[-2:0:-1]])).real
    if eigenvalues.min() < -ROUNDING * eigenvalues.max():
        raise ArithmeticError(f"the circulant covariance has the eigenvalue {eigenvalues.min():g}")
    size = (2 * n, checks.whole("dimensions", dimensions, least=1))
    parts = np.random.default_rng(seed).standard_normal((2, *size))
    root = np.sqrt(np.maximum(eigenvalues, 0) / (2 * n))[:, None]
    return np.asarray(fft(root * (parts[0] + 1j * parts[1]), axis=0).real[:n]) * n**-H


def coarsened(increments: Floats, factor: int) -> Floats:
    """The increments over blocks of `factor` steps: the same path on a coarser grid."""
    n = len(increments)
    if n % checks.whole("factor", factor, least=1):
        raise ValueError(f"factor must divide the {n} increments, got {factor}")
    return np.asarray(increments.reshape(n // factor, factor, -1).sum(1))


def area_loop(radius: float, steps: int) -> Floats:
    """Round a circle of radius ε in the plane, as often as gives it the area π: 1/ε² times, in `steps` steps a turn.

    As ε → 0 the path tends to 0 uniformly, but its area does not: the limit of the lifts is (0, π times a rotation).

    Parameters
    ----------
    radius
        ε, with 1/ε² a whole number.
    steps
        Steps of a turn, at least 3.

    Returns
    -------
    Points, (steps/ε² + 1, 2), from 0.
    """
    turns = 1 / checks.positive("radius", radius) ** 2
    if abs(turns - round(turns)) > 1e-9 * turns:
        raise ValueError(f"1/radius² must be a whole number of turns, got {turns:g}")
    angle = 2 * math.pi * np.arange(round(turns) * checks.whole("steps", steps, least=3) + 1) / steps
    return radius * np.column_stack([np.cos(angle) - 1, np.sin(angle)])


def loop_area(steps: int) -> float:
    """The area of `area_loop`: that of the polygons, (m/2) sin(2π/m) in place of π."""
    return steps / 2 * math.sin(2 * math.pi / steps)

"""Closed forms for trained networks on [0, T]: the training error of one point, and networks that interpolate.

One point x = 1, y = 2 with squared loss and dynamics homogeneous in the parameters, X' = kX or X' = b: only the
exponent A = ∫₀ᵀθ matters, and θ best for a given A costs a multiple of A². The error is (g(A) − 2)² where A minimises

    (g(A) − 2)² + α' A²,    g(A) = 1 + A for a bias, (1 + A/n)ⁿ for a weight, e^A in the limit n = ∞.

Under α ∫₀ᵀ|θ|² all layers are equal and α' = α/T; `h1_penalty` is that of α (∫₀ᵀ|θ̇|² + τ|θ(0)|²). Derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from deeplimit import checks

STRONGEST = 100.0  # size of the weights of an interpolating network, beyond which none is looked for
SIGMA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": np.positive,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
}


def h1_profile(tau: float, time: float, depth: int) -> np.ndarray:
    """1/(τT) + s − s²/2 at s = i/n: the H¹ cheapest weights of a given mean in the limit, u' = 1 − s, u'(0) = τT u(0).

    Raises
    ------
    ValueError, TypeError
        For a τ or T that is not positive, and a depth below 1.
    """
    s = np.arange(checks.whole("depth", depth, least=1)) / depth
    return np.asarray(1 / (checks.positive("tau", tau) * checks.positive("time", time)) + s - s**2 / 2)


def h1_penalty(alpha: float, tau: float, time: float, depth: float = math.inf) -> float:
    """α' = α/(T³ c_n), c_n = 1/(τT) + 1/3 − 1/(2n) + 1/(6n²): what A² costs under α (∫₀ᵀ|θ̇|² + τ|θ(0)|²).

    For a weight it holds at n = ∞ only: below, the product of the layers is no function of the sum of their weights.
    """
    stretched = 1 / (checks.positive("tau", tau) * checks.positive("time", time))
    return alpha / time**3 / (stretched + 1 / 3 - 1 / (2 * depth) + 1 / (6 * depth**2))


def reached(trained: str, A: float, depth: float = math.inf) -> tuple[float, float]:
    """g(A) and g'(A), for a trained "K" or "b"."""
    if trained == "b":
        return 1 + A, 1.0
    if math.isinf(depth):
        return math.exp(A), math.exp(A)
    return (1 + A / depth) ** depth, (1 + A / depth) ** (depth - 1)


def training_error(trained: str, penalty: float, depth: float = math.inf) -> float:
    """(g(A) − 2)² at the A that minimises (g(A) − 2)² + α' A².

    Raises
    ------
    ValueError
        For other blocks than "K" or "b", and a penalty that is not positive.
    """
    if trained not in ("K", "b"):
        raise ValueError(f"trained must be K or b, got {trained!r}")
    checks.positive("penalty", penalty)

    def slope(A: float) -> float:
        g, dg = reached(trained, A, depth)
        return (g - 2) * dg + penalty * A

    A = float(brentq(slope, 0.0, 2.0, xtol=1e-16, rtol=1e-15))
    return (reached(trained, A, depth)[0] - 2) ** 2


def interpolant(
    trained: str, x: np.ndarray, shift: np.ndarray, *, profile: np.ndarray, time: float, activation: str
) -> np.ndarray | None:
    """Weights that move every input by the same shift, with layers in proportion to a positive profile.

    X_i = X_{i−1} + (T/n) σ(s p_i X_{i−1}) for one point on the line and "K", or (T/n) σ(s p_i shift) for "b", with the
    size s that reaches the target; loops over layers, apart from the sweeps of the package.

    Parameters
    ----------
    x : (S, d)
    shift : (d,), positive
    profile : (n,)
    activation
        "identity", "relu" or "tanh".

    Returns
    -------
    The s p_i, or s p_i shift, (n, d); None if no s up to 100 suffices, as for a bounded σ and little time.
    """
    sigma, depth = SIGMA[activation], len(profile)

    def short(size: float) -> float:
        X = x
        for weight in size * profile:
            X = X + time / depth * sigma(weight * X if trained == "K" else weight * shift)
        return float((X - x - shift).sum())

    if short(STRONGEST) < 0:
        return None
    size = brentq(short, 0.0, STRONGEST, xtol=1e-15)
    return np.asarray(size * profile[:, None] * (np.ones(1) if trained == "K" else shift))

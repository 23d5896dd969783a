"""How fast polynomial chaos converges, read off the complex singularities of the flow before anything is computed.

For tanh and one signal z = w x + b obeys z' = w tanh z, so sinh z(T) = e^{wT} sinh z_0. With z_0 = z̄ + δξ,
ξ ~ U(−1, 1), the end z(T) = arsinh(e^{wT} sinh(z̄ + δξ)) is analytic in ξ but for square roots where
e^{wT} sinh z_0 = ±i. The largest ellipse with foci ±1 without one, of semi-axes that add up to ρ, gives |ẑ_k| of size
k^{−3/2} ρ^{−k} and a truncation error of size ρ^{−K}. For wT > 0 the singularities move to the real axis as T grows.
All derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import least_squares

from deeplimit import checks

SHEETS = 3  # periods of πi looked at on either side
POWER = 1.5  # of 1/k, for a square root
SMALLEST = 1e-13  # of the largest coefficient, down to which they are told from rounding
LARGE = 100  # −wT from which e^{−wT} is not computed
FIRST = 2  # degree of the first coefficient that is fitted
FEWEST = 8  # coefficients to fit one pair of singularities to
ANGLES = 48  # starts of the search for one angle
REFINED = 6  # starts that are followed to their minimum, the best first


def singularities(growth: float, mean: float, spread: float) -> np.ndarray:
    """ξ* = (z_0* − z̄)/δ with sinh z_0* = ±i e^{−wT}, the complex branch points of the end state.

    Parameters
    ----------
    growth
        wT.
    mean, spread
        z̄ and δ > 0.

    Returns
    -------
    Those of the strips next to the real axis, complex.
    """
    growth, mean = checks.number("growth", growth), checks.number("mean", mean)
    spread = checks.positive("spread", spread)
    if growth < -LARGE:
        one = complex(math.log(2) - growth, math.pi / 2)  # arsinh(iy) = log 2y + iπ/2 to rounding, without e^{−wT}
    else:
        one = complex(np.arcsinh(1j * math.exp(-growth) + 0j))
    points = np.array([one, -one, 1j * math.pi - one, 1j * math.pi + one])
    shifts = 2j * math.pi * np.arange(-SHEETS, SHEETS + 1)
    return ((points[:, None] + shifts).ravel() - mean) / spread


def ellipses(xi: np.ndarray) -> np.ndarray:
    """ξ + √(ξ² − 1) on the branch of modulus ≥ 1, which is ρe^{iθ}; ρ is the sum of the semi-axes of ξ's ellipse."""
    root = np.sqrt(np.asarray(xi, dtype=complex) ** 2 - 1)
    return np.where(np.abs(xi + root) >= 1, xi + root, xi - root)


def nearest(growth: float, mean: float, spread: float) -> complex:
    """ρe^{iθ}, 0 ≤ θ ≤ π, of the singularity with the least ρ; ẑ_k falls like k^{−3/2} ρ^{−k} cos(kθ + const)."""
    found = ellipses(singularities(growth, mean, spread))
    best = found[np.argmin(np.abs(found))]
    return complex(best.real, abs(best.imag))


def radius(growth: float, mean: float, spread: float) -> float:
    """ρ > 1: |ẑ_k| falls like k^{−3/2} ρ^{−k}."""
    return abs(nearest(growth, mean, spread))


@dataclass(frozen=True, eq=False)
class Fit:
    """What coefficients say of the singularities nearest to [−1, 1]: ρ and θ of each, the least ρ first.

    `degrees` are the first and the last k that were used.
    """

    radii: tuple[float, ...]
    angles: tuple[float, ...]
    degrees: tuple[int, int]


def fit(coefficients: np.ndarray, singularities: int = 1, power: float = POWER) -> Fit:
    """ρ_i and θ_i of the sum Σ_i k^{−γ} ρ_i^{−k} (A_i cos kθ_i + B_i sin kθ_i) closest to ĉ_k, with γ given.

    By least squares, every k relative to the envelope max_{j ≥ k} |ĉ_j|, over the k whose envelope is not rounding. No
    prediction enters.

    Parameters
    ----------
    coefficients : (K + 1,)
        Of one variable.
    singularities
        How many conjugate pairs are told apart: two where the second is nearly as near as the first.

    Raises
    ------
    ValueError
        With fewer than eight coefficients above rounding for each pair.
    """
    size = np.abs(np.asarray(coefficients, dtype=float))
    envelope = np.maximum.accumulate(size[::-1])[::-1]
    k = np.flatnonzero(envelope > SMALLEST * envelope[0])[FIRST:]
    if len(k) < FEWEST * singularities:
        raise ValueError(
            f"a fit of {singularities} pairs needs {FEWEST * singularities} coefficients above rounding, got {len(k)}; "
            "take a larger degree, or a fit of one pair"
        )
    scaled, scale = coefficients[k] / envelope[k], k**-power / envelope[k]
    slope = -float(np.polyfit(k, np.log(envelope[k] * k**power), 1)[0])

    def residual(p: np.ndarray) -> np.ndarray:
        waves = np.exp(-np.outer(p[: len(p) // 2] + 1j * p[len(p) // 2 :], k)) * scale
        columns = np.concatenate([waves.real, waves.imag]).T
        return np.asarray(columns @ np.linalg.lstsq(columns, scaled)[0] - scaled)

    angles = (np.arange(ANGLES) + 0.5) * math.pi / ANGLES
    starts = [np.array([slope] * singularities + list(chosen)) for chosen in combinations(angles, singularities)]
    starts.sort(key=lambda p: float((residual(p) ** 2).sum()))
    ends = [least_squares(residual, p, xtol=1e-14, ftol=1e-14, gtol=1e-14) for p in starts[:REFINED]]
    found = min(ends, key=lambda end: end.cost).x
    radii, turns = np.exp(found[:singularities]), np.abs(found[singularities:])
    order = np.argsort(radii)
    return Fit(tuple(radii[order].tolist()), tuple(turns[order].tolist()), (int(k[0]), int(k[-1])))


def kink_constant(growth: float, mean: float, spread: float) -> float:
    """lim K^{3/2} √(E |z − z^K|²) = |J| (1 − ξ_0²)^{3/4} / √(6π) for relu, whose flow has a kink at ξ_0 = −z̄/δ.

    z(T) is e^{wT} z_0 for z_0 > 0 and z_0 else: its slope in ξ jumps by J = δ(e^{wT} − 1). Two integrations by parts of
    J δ(ξ − ξ_0) against Legendre polynomials, with their asymptotics, give |ẑ_k|² ~ J² sin³θ / (2π k⁴) on average,
    cos θ = ξ_0. 0 where the kink is outside (−1, 1): then z is a polynomial; ∞ beyond the largest double.
    """
    growth, place = checks.number("growth", growth), -checks.number("mean", mean) / checks.positive("spread", spread)
    if abs(place) >= 1:
        return 0.0
    with np.errstate(over="ignore"):
        half = np.expm1(growth / 2)
        jump = spread * half * (half + 2)  # δ(e^{wT} − 1), finite wherever the product is
    return float(abs(jump)) * (1 - place**2) ** 0.75 / math.sqrt(6 * math.pi)


def strip(growth: float, mean: float, spread: float) -> float:
    """c = min |Im ξ*|: the Hermite coefficients of z(T) for ξ ~ N(0, 1) fall like e^{−c√k} up to powers of k.

    √k is the frequency of Hermite polynomials of degree k near the real axis, so that they grow like e^{√k |Im ξ|}; a
    square root contributes the power k^{−1}.
    """
    return float(np.abs(singularities(growth, mean, spread).imag).min())

"""Moments m_k = ∫ x^k g dx of the law of the signals for σ = identity, where they form a closed triangular system.

    m_k' = k (w m_k + b m_{k−1}),  m_0 = 1,

for any w(t) and b(t), also ones that depend on the moments themselves (Herty, Trimborn & Visconti 2022; solutions
derived here). The flow is affine, x(t) = a x + c with a = exp ∫ w and c' = w c + b, hence

    m_k(t) = Σ_j (k choose j) a^j c^(k−j) m_j(0),   every centred moment has the factor a^k,   C(t) = A C(0) Aᵀ

with A' = w A in ℝ^d. For L layers the same holds with a = Π (1 + Δt w_k) and c_{k+1} = (1 + Δt w_k) c_k + Δt b_k.

Moments are arrays (m_0, m_1, …, m_K) with m_0 = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
from scipy import special
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from deeplimit import checks
from deeplimit.meanfield import field
from deeplimit.meanfield.field import Weight

RTOL = 1e-13  # of the integrations

# A number, or a function of time and moments.
Feedback = float | Callable[[float, np.ndarray], float]


def affine(w: Weight, b: Weight, t: float) -> tuple[float, float]:
    """a and c of x(t) = a x + c: e^{wt} and b t (e^{wt} − 1)/(wt) for constant weights, integrated else.

    Raises
    ------
    ValueError, TypeError
        For weights and times that are not finite numbers.
    ArithmeticError
        If the integrator does not reach t.
    """
    end = checks.number("t", t)
    if not callable(w) and not callable(b):
        s = checks.number("w", w) * end
        return float(np.exp(s)), float(checks.number("b", b) * end * special.exprel(s))

    def rates(s: float, state: np.ndarray) -> np.ndarray:
        rate = float(field.at("w", w, s))
        return np.array([rate, rate * state[1] + float(field.at("b", b, s))])

    log_a, c = _solve(rates, end, np.zeros(2))
    return float(np.exp(log_a)), float(c)


def layered(w: Weight, b: Weight, time: float, depth: int) -> tuple[float, float]:
    """a and c of X_L = a X_0 + c, for L layers of step T/L whose weights are those of time kT/L."""
    step = checks.positive("time", time) / checks.whole("depth", depth, 1)
    a, c = 1.0, 0.0
    for k in range(depth):
        factor = 1 + step * float(field.at("w", w, k * step))
        a, c = factor * a, factor * c + step * float(field.at("b", b, k * step))
    return a, c


def mapped(moments: np.ndarray, a: float, c: float) -> np.ndarray:
    """Moments of a X + c: Σ_j (k choose j) a^j c^(k−j) m_j."""
    m = _moments(moments)
    powers = a ** np.arange(len(m)) * m
    return np.array([sum(comb(k, j) * powers[j] * c ** (k - j) for j in range(k + 1)) for k in range(len(m))])


def centred(moments: np.ndarray) -> np.ndarray:
    """μ_k = ∫ (x − m_1)^k g dx for k = 0 … K: the moments of X − m_1."""
    m = _moments(moments)
    return mapped(m, 1.0, -float(m[1]) if len(m) > 1 else 0.0)


def flow(w: Weight, b: Weight, t: float, moments: np.ndarray) -> np.ndarray:
    """Moments at time t of the law whose moments at time 0 are given, by the affine flow; errors as for `affine`."""
    return mapped(moments, *affine(w, b, t))


def integrated(w: Feedback, b: Feedback, t: float, moments: np.ndarray) -> np.ndarray:
    """Moments at time t from the triangular system itself, by an adaptive integrator.

    Parameters
    ----------
    w, b
        Numbers, or functions (t, m) ↦ number of time and the moments at that time.
    t
        Time.
    moments
        m_0 = 1, m_1, … at time 0.

    Raises
    ------
    ValueError, TypeError
        For moments that do not begin with 1.
    ArithmeticError
        If the rates are not finite at time 0, or the integrator does not reach t.
    """
    start = _moments(moments)
    k = np.arange(1, len(start))

    def rates(s: float, m: np.ndarray) -> np.ndarray:
        wt, bt = (float(weight(s, m)) if callable(weight) else weight for weight in (w, b))
        return np.concatenate([[0.0], k * (wt * m[1:] + bt * m[:-1])])

    return _solve(rates, checks.number("t", t), start)


def keeping_mean(w: float) -> Callable[[float, np.ndarray], float]:
    """b = −w m_1: then m_1' = 0, and for w < 0 the law tends to a Dirac mass at its mean."""
    return lambda _, m: -w * float(m[1])


def keeping_energy(w: float) -> Callable[[float, np.ndarray], float]:
    """b = −w m_2/m_1: then m_2' = 0, and for w < 0 < m_1 the law tends to a Dirac mass at √m_2.

    Raises
    ------
    ValueError
        From the function that is returned, at m_1 = 0.
    """

    def b(_: float, m: np.ndarray) -> float:
        if m[1] == 0:
            raise ValueError("b = −w m_2/m_1 keeps the energy for m_1 ≠ 0 alone, got m_1 = 0: shift the law")
        return -w * float(m[2] / m[1])

    return b


def mean_at_kept_energy(w: float, t: float, moments: np.ndarray) -> float:
    """m_1(t) for b = −w m_2/m_1: ±√(m_2 − (m_2 − m_1²) e^{2wt}), as the variance decays like e^{2wt} whatever b is."""
    _, mean, energy = _moments(moments)[:3]
    return float(np.copysign(np.sqrt(energy - (energy - mean**2) * np.exp(2 * w * t)), mean))


def variance_defect(w: float, time: float, depth: int, variance: float = 1.0) -> float:
    """Leading term of Var_L − Var_∞, −(w² T²/L) Var(0) e^{2wT}; the next is smaller by a factor of order 1/L."""
    return -((w * time) ** 2) / depth * variance * float(np.exp(2 * w * time))


def mean_and_covariance(
    w: Weight, b: Weight, t: float, mean: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean A m + c and covariance A C Aᵀ at time t in ℝ^d, A' = w A, c' = w c + b.

    For constant weights (A, c) is read off the exponential of t [[w, b], [0, 0]], else it is integrated.

    Parameters
    ----------
    w, b
        (d, d) and (d,), or functions of time.
    mean, covariance
        Those at time 0, (d,) and (d, d).

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit.
    ArithmeticError
        If the integrator does not reach t.
    """
    m, C, end = field.array("mean", mean), field.array("covariance", covariance), checks.number("t", t)
    d = m.size
    if m.shape != (d,) or C.shape != (d, d):
        raise ValueError(f"mean and covariance must have shapes (d,) and (d, d), got {m.shape} and {C.shape}")
    A = _augmented(w, b, d, 0.0)
    if callable(w) or callable(b):
        flat = _solve(
            lambda s, y: (_augmented(w, b, d, s) @ y.reshape(d + 1, d + 1)).ravel(), end, np.eye(d + 1).ravel()
        )
        A = flat.reshape(d + 1, d + 1)
    else:
        A = expm(end * A)
    return A[:d, :d] @ m + A[:d, d], A[:d, :d] @ C @ A[:d, :d].T


def _augmented(w: Weight, b: Weight, d: int, t: float) -> np.ndarray:
    """[[w, b], [0, 0]] at time t."""
    wt, bt = field.at("w", w, t), field.at("b", b, t)
    if wt.shape != (d, d) or bt.shape != (d,):
        raise ValueError(
            f"w and b must have shapes {(d, d)} and {(d,)}, as the mean has, got {wt.shape} and {bt.shape}"
        )
    return np.block([[wt, bt[:, None]], [np.zeros((1, d + 1))]])


def _moments(moments: np.ndarray) -> np.ndarray:
    m = field.array("moments", moments)
    if m.ndim != 1 or not m.size or m[0] != 1:
        raise ValueError(f"moments must be m_0 = 1, m_1, …, got {moments!r}")
    return m


def _solve(rates: Callable[[float, np.ndarray], np.ndarray], end: float, start: np.ndarray) -> np.ndarray:
    if not np.isfinite(first := rates(0.0, start)).all():  # of which the integrator would make steps without end
        raise ArithmeticError(f"the rates of change at time 0 must be finite, got {first}")
    with np.errstate(over="ignore", invalid="ignore"):  # what blows up is told by the integrator
        found = solve_ivp(rates, (0.0, end), start, method="DOP853", rtol=RTOL, atol=RTOL)
    if not found.success:
        raise ArithmeticError(f"the moments did not reach time {end}: {found.message}")
    return np.asarray(found.y[:, -1])

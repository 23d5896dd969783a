"""The sensitivity of a functional of the final law to the weights at every depth, by the kinetic adjoint.

The law g(t) of the signals is moved by ∂g/∂t + ∇·(σ(Kx + b) g) = 0. For J = F(g(1)) with the derivative F'(g(1)) = φ
the adjoint is

    ∂λ/∂t + σ(Kx + b)·∇λ = 0,   λ(1, ·) = φ,

which says that λ is constant along characteristics, λ(t, X(t)) = φ(X(1)), and (formally; derived here)

    dJ/dK(t) = ∫ (σ'(Kx + b) ∘ ∇λ) xᵀ g(t, dx),   dJ/db(t) = ∫ σ'(Kx + b) ∘ ∇λ g(t, dx).

Along a characteristic p(t) = ∇λ(t, X(t)) solves p' = −Kᵀ(σ'(KX + b) ∘ p) with p(1) = ∇φ(X(1)), which is integrated
back in time by steps of its own. (Y(t)ᵀp(t) = Y(1)ᵀp(1) with the tangent flow Y = ∂X/∂X(0) says the same, but where the
flow contracts unevenly Y is so ill-conditioned that no digit is left.) Layers are nowhere in it: finite differences and
back-propagation in n layers are independent methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.control import Curve
from deeplimit.meanfield import field

TOL = 1e-13  # of the integrator

Slope = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Law:
    """A law of signals as nodes with masses: a quadrature of a density, or a sample.

    Parameters
    ----------
    x : (Q, d)
        Nodes.
    mass : (Q,)
        Their masses, which add up to 1.

    Raises
    ------
    ValueError, TypeError
        For other shapes, and for masses that are negative or do not add up to 1.
    """

    x: np.ndarray
    mass: np.ndarray

    def __post_init__(self) -> None:
        x, mass = field.array("x", self.x), field.array("mass", self.mass)
        if x.ndim != 2 or mass.shape != x.shape[:1]:
            raise ValueError(f"x must have shape (Q, d) and mass (Q,), got {x.shape} and {mass.shape}")
        if not abs(mass.sum() - 1) < 1e-9:
            raise ValueError(f"the masses must add up to 1, got {mass.sum():g}")
        if (mass < 0).any():
            raise ValueError(f"the masses must not be negative, got {mass.min():g}: a law has none below 0")
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "mass", mass)


def uniform(low: float, high: float, nodes: int) -> Law:
    """The uniform law on [low, high] by the rule of Gauss and Legendre, d = 1."""
    s, weights = np.polynomial.legendre.leggauss(checks.whole("nodes", nodes, least=1))
    if not checks.number("low", low) < checks.number("high", high):
        raise ValueError(f"low must be below high, got {low} and {high}")
    return Law(((low + high) / 2 + (high - low) / 2 * s)[:, None], weights / 2)


def empirical(x: Any) -> Law:
    """The law of a sample x (Q, d), each point with the mass 1/Q."""
    points = field.array("x", x)
    return Law(points, np.full(len(points), 1 / max(len(points), 1)))


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """dJ/dK (T, d, d) and dJ/db (T, d) at the times t (T,), and the final nodes X(1), (Q, d)."""

    t: np.ndarray
    K: np.ndarray
    b: np.ndarray
    final: np.ndarray


def gradient(activation: str | Activation, curve: Curve, law: Law, slope: Slope, t: Any) -> Sensitivity:
    """The gradient of J in L²(0, 1; weights) at the given times.

    Parameters
    ----------
    activation
        A smooth σ, by name or as an `Activation`.
    curve
        K(t), b(t) of width d; its head is not looked at.
    law
        The initial law.
    slope
        ∇φ at the final nodes, (Q, d) from (Q, d) in the order of the law's nodes, so that it can know their targets.
    t
        Times in [0, 1], increasing, (T,).

    Raises
    ------
    ValueError, TypeError
        For a law of another width than the curve, times outside [0, 1], and an activation with kinks.
    ArithmeticError
        If the integrator does not reach t = 1.
    """
    sigma = activations.get(activation)
    checks.kind("curve", curve, Curve)
    times, d = field.array("t", t), law.x.shape[1]
    if not sigma.smooth:
        raise ValueError(f"the gradient needs a smooth activation, got {sigma.name!r}")
    if curve.K.shape[1:] != (d, d):
        raise ValueError(f"the curve moves signals of width {curve.K.shape[1]}, the law has width {d}")
    if times.ndim != 1 or not times.size or times[0] < 0 or times[-1] > 1 or (np.diff(times) <= 0).any():
        raise ValueError(f"t must be increasing times in [0, 1], got {t!r}")
    path = _flow(sigma, curve, law.x)
    X = np.stack([path(s) for s in times])
    final = path(1.0)
    adjoint = _costates(sigma, curve, path, field.array("slope", slope(final)), times)
    K, b = (np.asarray(theta) for theta in curve.at(times))
    source = field.sigma(sigma, 1)(np.einsum("tij,tqj->tqi", K, X) + b[:, None]) * adjoint * law.mass[:, None]
    return Sensitivity(times, np.einsum("tqi,tqj->tij", source, X), source.sum(1), final)


def _flow(sigma: Activation, curve: Curve, x: np.ndarray) -> Callable[[float], np.ndarray]:
    """t ↦ X(t), (Q, d)."""
    value = field.sigma(sigma)

    def velocity(t: float, state: np.ndarray) -> np.ndarray:
        K, b = (np.asarray(theta) for theta in curve.at(t))
        return np.asarray(value(state.reshape(x.shape) @ K.T + b)).ravel()

    dense = _solve(velocity, (0.0, 1.0), x, dense_output=True).sol
    return lambda t: dense(t).reshape(x.shape)


def _costates(
    sigma: Activation, curve: Curve, path: Callable[[float], np.ndarray], end: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """p at the times, (T, Q, d), from p(1)."""
    first = field.sigma(sigma, 1)

    def rate(t: float, state: np.ndarray) -> np.ndarray:
        K, b = (np.asarray(theta) for theta in curve.at(t))
        return np.asarray(-(first(path(t) @ K.T + b) * state.reshape(end.shape)) @ K).ravel()

    found = _solve(rate, (1.0, 0.0), end, t_eval=times[::-1])
    return np.asarray(found.y.T[::-1].reshape(len(times), *end.shape))


def _solve(
    rate: Callable[[float, np.ndarray], np.ndarray], span: tuple[float, float], start: np.ndarray, **options: Any
) -> Any:
    found = solve_ivp(rate, span, start.ravel(), method="DOP853", rtol=TOL, atol=TOL, **options)
    if not found.success:
        raise ArithmeticError(f"the flow did not reach t = {span[1]:g}: {found.message}")
    return found


def towards(target: Any) -> Slope:
    """∇φ = 2 (x − y) of J = ∫ |x − y|² for targets y (Q, d), one for each node.

    On the line J is W₂²(g(1), h) if y = F_h⁻¹(F_0(x)): the flow keeps the order of the signals, so that this is the
    optimal coupling at every depth.
    """
    y = field.array("target", target)
    return lambda x: 2 * (x - y)

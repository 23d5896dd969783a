"""Velocities: what moves a signal, x' = v(t, x; ξ), through infinitely many layers or through a given number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.control import Curve, Layers
from deeplimit.meanfield.field import sigma
from deeplimit.problem import Problem
from deeplimit.uncertainty.collocation import Quantity

TOLERANCE = 1e-13  # relative, of the adaptive integrator; a tenth of it is absolute

Velocity = Callable[[float, np.ndarray, np.ndarray], np.ndarray]  # t, x (P, …), ξ (P, d) ↦ x', (P, …)
Weight = float | np.ndarray | Callable[[float, np.ndarray], np.ndarray]


def simresnet(w: Weight, b: Weight, activation: str | Activation = "tanh") -> Velocity:
    """v = σ(w x + b), a SimResNet: every layer is as wide as the signal.

    Parameters
    ----------
    w
        A number, or a matrix (d, d) for signals (…, d); or a function of t and ξ, with values (P, d, d) for a random
        matrix, and otherwise values that broadcast with x (P, …).
    b
        A number, a vector (d,), or a function of t and ξ with values that broadcast with x.

    References
    ----------
    Herty, Trimborn & Visconti, Mean-field and kinetic descriptions of neural differential equations (2022).
    """
    value = sigma(activation)

    def velocity(t: float, x: np.ndarray, xi: np.ndarray) -> np.ndarray:
        W, shift = (np.asarray(part(t, xi) if callable(part) else part, dtype=float) for part in (w, b))
        matrix = W.ndim == (3 if callable(w) else 2)
        return value((np.einsum("...ij,...j->...i", W, x) if matrix else W * x) + shift)

    return velocity


def trained(problem: Problem, control: Layers | Curve) -> Velocity:
    """v = σ(K(t) x + b(t)) on [0, 1], signals (…, d): layer i of a network of depth n is that of t = i/n.

    Raises
    ------
    ValueError, TypeError
        If the control does not fit the problem.
    """
    checks.kind("control", control, Layers, Curve)
    problem.metric.check(control)
    value = sigma(problem.activation)

    def velocity(t: float, x: np.ndarray, xi: np.ndarray) -> np.ndarray:
        K, b = (block[0].numpy() for block in control.at(np.array([t])))
        return value(x @ K.T + b)

    return velocity


def ends(velocity: Velocity, start: Quantity, time: float = 1.0, depth: int | None = None) -> Quantity:
    """ξ ↦ x(T; ξ) with x(0; ξ) = start(ξ), as `collocation` and `monte_carlo` take it.

    Parameters
    ----------
    depth
        L for the layers x ← x + (T/L) v(iT/L, x; ξ), i = 0 … L − 1; None for the limit x' = v.

    Raises
    ------
    ValueError, TypeError
        For a time that is not positive, or a depth below 1.
    """
    checks.positive("time", time)
    if depth is not None:
        checks.whole("depth", depth, least=1)
    return lambda xi: advance(lambda t, x: velocity(t, x, xi), start(xi), time, depth)


def advance(
    rate: Callable[[float, np.ndarray], np.ndarray], x: np.ndarray, time: float, depth: int | None
) -> np.ndarray:
    """x(T) of x' = rate(t, x), of any shape: L steps of Euler's method, or Dormand and Prince's of order 8 for None.

    Raises
    ------
    RuntimeError
        If the integrator gives up.
    """
    if depth is not None:
        for i in range(depth):
            x = x + time / depth * rate(i * time / depth, x)
        return x
    # the tolerance is that of the root mean square, so that more nodes must not loosen it for one of them
    scale = 1 / math.sqrt(x.size)
    found = solve_ivp(
        lambda t, y: rate(t, y.reshape(x.shape)).ravel(),
        (0.0, time),
        x.ravel(),
        method="DOP853",
        rtol=max(TOLERANCE * scale, 3e-14),
        atol=TOLERANCE * scale / 10,
    )
    if not found.success:
        raise RuntimeError(f"the integration stopped at t = {found.t[-1]:g} of {time:g}: {found.message}")
    return found.y[:, -1].reshape(x.shape)

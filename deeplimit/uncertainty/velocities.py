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
        A number, or a matrix (d, d) for signals (…, d); or a function of t and ξ (P, d'), with values () or (P,) or
        (P, 1), a number for each ξ, or (P, d, d), a matrix for each.
    b
        A number, or a vector (d,); or a function of t and ξ, with values (), (P,) or (P, 1), a number for each ξ, or
        (P, d), a vector for each.

    The velocity raises ValueError for values of any other shape: nothing is broadcast between draws and features.

    References
    ----------
    Herty, Trimborn & Visconti, Mean-field and kinetic descriptions of neural differential equations (2022).
    """
    value = sigma(activation)

    def velocity(t: float, x: np.ndarray, xi: np.ndarray) -> np.ndarray:
        W, shift = (np.asarray(part(t, xi) if callable(part) else part, dtype=float) for part in (w, b))
        W, shift = _one_each("w", W, callable(w), x, 2), _one_each("b", shift, callable(b), x, 1)
        # W[…, i, j] has the dimensions of x and one more where it is a matrix
        return value((np.einsum("...ij,...j->...i", W, x) if W.ndim > x.ndim else W * x) + shift)

    return velocity


def _one_each(name: str, values: np.ndarray, random: bool, x: np.ndarray, order: int) -> np.ndarray:
    """Numbers, or arrays of an order in d, for all ξ or one for each, in dimensions that fit x, (P, …) or (P, …, d)."""
    P, d = len(x), x.shape[-1] if x.ndim > 1 else 0
    if values.ndim == 0:
        return values
    if random and values.shape in ((P,), (P, 1)):
        return values.reshape(P, *[1] * (x.ndim - 1))
    if d and values.shape == (*[P] * random, *[d] * order):
        return values.reshape(*[P] * random, *[1] * (x.ndim - 1 - random), *[d] * order)
    allowed = ["a number", *[f"({P},) or ({P}, 1)"] * random]
    allowed += [str((*[P] * random, *[d] * order))] * (d > 0)
    raise ValueError(
        f"{name} must be {', or '.join(allowed)}, for {P} draws of signals of shape {x.shape[1:]}, got shape "
        f"{values.shape}: nothing is broadcast between draws and features"
    )


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

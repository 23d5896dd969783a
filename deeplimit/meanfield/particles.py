"""Particles: the signals of a SimResNet, a network with layers as wide as the input that moves all data alike.

X_{k+1} = X_k + (T/L) σ(w(t_k) X_k + b(t_k)), t_k = kT/L, k = 0 … L − 1, for each of M particles in ℝ^d; in the limit
L → ∞ X' = σ(w(t) X + b(t)) (Herty, Trimborn & Visconti 2022; for the version that averages over the neurons put w/d for
w). The empirical law of the particles has mass 1/M on each.

Particles are arrays of shape (M,) for d = 1, with numbers w and b, or (M, d), with w a number or (d, d) and b a number
or (d,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.meanfield import field, flows
from deeplimit.meanfield.field import Weight

CACHED = 32_768  # numbers of a chunk of particles, which stay in the cache while the layers pass over them
TOGETHER = 64  # particles whose limit is integrated together
RTOL = 1e-13  # of that integration


def network(
    activation: str | Activation,
    w: Weight,
    b: Weight,
    time: float,
    depth: int,
    x: np.ndarray,
    *,
    keep_order: bool = True,
) -> np.ndarray:
    """X_L, the particles after all layers; the memory it takes does not grow with their number L.

    Parameters
    ----------
    activation
        Name of σ, or an `Activation`.
    w, b
        Weights, or functions of time that return them; layer k has those of time kT/L.
    time, depth
        T > 0 and the number L of layers.
    x
        Particles, shape (M,) or (M, d).
    keep_order
        Refuse a network too shallow to keep signals in order, T/L ‖w‖ Lip σ ≥ 1; from 2 on it has oscillations that
        the limit has not. An activation without a Lipschitz constant is not checked.

    Raises
    ------
    ValueError, TypeError
        For weights, times, depths and particles of another kind, and for a network that is too shallow.
    """
    X = _checked(activation, w, b, time, depth, x, keep_order)
    rows = max(1, CACHED // (X.shape[1] if X.ndim > 1 else 1))
    for first in range(0, len(X), rows):
        for _ in _layers(activation, w, b, time, depth, X[first : first + rows]):
            pass
    return X


def states(
    activation: str | Activation,
    w: Weight,
    b: Weight,
    time: float,
    depth: int,
    x: np.ndarray,
    *,
    keep_order: bool = True,
) -> np.ndarray:
    """X_0 … X_L, shape (L + 1, M) or (L + 1, M, d); arguments and errors as for `network`."""
    X = _checked(activation, w, b, time, depth, x, keep_order)
    return np.stack([X.copy(), *(state.copy() for state in _layers(activation, w, b, time, depth, X))])


def limit(activation: str | Activation, w: Weight, b: Weight, time: float, x: np.ndarray) -> np.ndarray:
    """X(T), the particles after infinitely many layers: in closed form or by an adaptive integrator at 1e-13.

    Raises
    ------
    ValueError, TypeError
        For weights, times and particles of another kind.
    ArithmeticError
        If the integrator does not reach T.
    """
    X, sigma = _particles(x), field.sigma(activation)
    affine = _affine(w, b, X)
    if X.ndim == 1:
        return flows.flow(activation, w, b, checks.positive("time", time), X)
    for first in range(0, len(X), TOGETHER):
        chunk = X[first : first + TOGETHER]

        def velocity(t: float, flat: np.ndarray, shape: tuple[int, ...] = chunk.shape) -> np.ndarray:
            return sigma(affine(t, flat.reshape(shape))).ravel()

        span = (0.0, checks.positive("time", time))
        with np.errstate(over="ignore", invalid="ignore"):  # what blows up is told by the integrator
            found = solve_ivp(velocity, span, chunk.ravel(), method="DOP853", rtol=RTOL, atol=RTOL)
        if not found.success:
            raise ArithmeticError(f"the particles did not reach time {time}: {found.message}")
        chunk[:] = found.y[:, -1].reshape(chunk.shape)
    return X


def at_quantiles(quantile: Callable[[np.ndarray], np.ndarray], number: int) -> np.ndarray:
    """The particles F⁻¹((i − ½)/M), i = 1 … M, of a law with quantile function F⁻¹; shape (M,).

    Raises
    ------
    ValueError, TypeError
        For a number below 1, and a distribution instead of its `ppf`.
    """
    field.function("quantile", quantile, "ppf")
    return np.asarray(quantile((np.arange(checks.whole("number", number, 1)) + 0.5) / number))


def drawn(quantile: Callable[[np.ndarray], np.ndarray], number: int, seed: int | Sequence[int]) -> np.ndarray:
    """M independent particles of a law with quantile function F⁻¹, F⁻¹ of uniform numbers; shape (M,).

    `seed` is that of NumPy's generator, a number or several; errors as for `at_quantiles`.
    """
    field.function("quantile", quantile, "ppf")
    uniform = np.random.default_rng(seed).random(checks.whole("number", number, 1))
    return np.asarray(quantile(uniform))


def _particles(x: Any) -> np.ndarray:
    """A copy to move."""
    X = field.array("x", x).copy()
    if X.ndim not in (1, 2) or not X.size:
        raise ValueError(f"x must have shape (M,) or (M, d) with M, d ≥ 1, got {X.shape}")
    return X


def _affine(w: Weight, b: Weight, X: np.ndarray) -> Callable[[float, np.ndarray], np.ndarray]:
    """(t, x) ↦ w(t) x + b(t) for particles like X."""
    d = X.shape[1:]
    wanted = {"w": [(), d * 2] if d else [()], "b": [(), d] if d else [()]}
    for name, weight in (("w", w), ("b", b)):
        shape = field.at(name, weight, 0.0).shape
        if shape not in wanted[name]:
            shapes = " or ".join(str(s) if s else "a number" for s in wanted[name])
            raise ValueError(f"{name} must be {shapes} for particles of shape {X.shape}, got shape {shape}")

    def affine(t: float, x: np.ndarray) -> np.ndarray:
        wt = field.at("w", w, t)
        z = x @ wt.T if wt.ndim else x * wt
        z += field.at("b", b, t)
        return z

    return affine


def _layers(
    activation: str | Activation, w: Weight, b: Weight, time: float, depth: int, X: np.ndarray
) -> Iterator[np.ndarray]:
    """Move X, in place, by one layer after another."""
    sigma, affine, step = field.sigma(activation), _affine(w, b, X), time / depth
    for k in range(depth):
        velocity = sigma(affine(k * step, X))
        velocity *= step
        X += velocity
        yield X


def _checked(
    activation: str | Activation, w: Weight, b: Weight, time: float, depth: int, x: np.ndarray, keep_order: bool
) -> np.ndarray:
    """The particles to move, of a network that is deep enough."""
    X, sigma = _particles(x), activations.get(activation)
    _affine(w, b, X)
    checks.positive("time", time)
    checks.whole("depth", depth, 1)
    if keep_order and np.isfinite(sigma.lipschitz):
        times = np.arange(depth) * (time / depth) if callable(w) else [0.0]
        largest = max(_operator_norm(field.at("w", w, t)) for t in times)
        if time * largest * sigma.lipschitz >= depth:
            least = int(time * largest * sigma.lipschitz) + 1
            raise ValueError(
                f"depth must exceed T ‖w‖ Lip σ = {time * largest * sigma.lipschitz:.4g} for the signals to keep their "
                f"order, got {depth}: take {least} or more layers, or keep_order=False"
            )
    return X


def _operator_norm(w: np.ndarray) -> float:
    return float(np.linalg.norm(w, 2)) if w.ndim else float(abs(w))

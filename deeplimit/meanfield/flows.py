"""Flows of one signal, x' = σ(w x + b), in closed form, with their inverses, Jacobians and push-forwards of laws.

With z = w x + b, s = w t and constant weights, z' = w σ(z) has the solutions (derived here)

    identity   z(t) = eˢ z₀                   sigmoid   z − e⁻ᶻ = s + z₀ − e^(−z₀), so that z = −log ω(−c)
    relu       z(t) = eˢ z₀ for z₀ > 0, z₀ else                 with c = s + z₀ − e^(−z₀), ω Wright's: ω + log ω = −c
    tanh       z(t) = asinh(eˢ sinh z₀)

x(t) is x + (z − z₀)/w with a z − z₀ that is not formed as a difference, so that w → 0 is harmless, or (z − b)/w where
that loses fewer digits, as on the way to a steady state. Every other σ, and weights that are functions of time, are
integrated by SciPy's DOP853 with its own error control.

`w`, `b` and `x` are numbers or arrays that broadcast; w and b may be functions of time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special
from scipy.integrate import solve_ivp

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit.activation import ACTIVATIONS, Activation
from deeplimit.meanfield import field
from deeplimit.meanfield.field import Weight

RTOL = 1e-13  # of the integrator; its norm is the mean over the points, hence the chunks
CHUNK = 256  # neighbouring points integrated together
FAR = 300.0  # |s| from which the formula for z − z₀ of tanh would overflow; the difference then loses no digit
NEWTON = 3  # steps for z − z₀ of sigmoid, which start at it up to rounding

Function = Callable[[np.ndarray], np.ndarray]


def flow(activation: str | Activation, w: Weight, b: Weight, t: float, x: np.ndarray | float) -> np.ndarray:
    """x(t) for x' = σ(w x + b), x(0) = x.

    Parameters
    ----------
    activation
        Name of σ, or an `Activation`.
    w, b
        Weights: numbers, arrays that broadcast with x, or functions of time.
    t
        Time; negative times go back, for constant weights along the inverse flow.
    x
        Points, any shape.

    Returns
    -------
    Array of the broadcast shape; ±∞ where the solution is beyond the largest double.

    Raises
    ------
    ValueError, TypeError
        For an unknown activation, and for weights, times or points that are not finite numbers.
    ArithmeticError
        If the integrator does not reach t.
    """
    formula, end, start = _formula(activation, w, b), checks.number("t", t), field.array("x", x)
    if formula is None:
        return _integrated(activation, w, b, (0.0, end), start)[0]
    with np.errstate(over="ignore", under="ignore"):
        return formula(*np.broadcast_arrays(field.array("w", w), field.array("b", b), start), end)


def inverse(activation: str | Activation, w: Weight, b: Weight, t: float, x: np.ndarray | float) -> np.ndarray:
    """The point that the flow takes to x in time t; arguments and errors as for `flow`.

    For constant weights it is the flow of −t.
    """
    if _formula(activation, w, b) is not None:
        return flow(activation, w, b, -checks.number("t", t), x)
    return _integrated(activation, w, b, (checks.number("t", t), 0.0), field.array("x", x))[0]


def jacobian(activation: str | Activation, w: Weight, b: Weight, t: float, x: np.ndarray | float) -> np.ndarray:
    """∂x(t)/∂x = exp ∫₀ᵗ w σ'(w x(s) + b) ds > 0; arguments and errors as for `flow`.

    In closed form eˢ (identity), eˢ or 1 (relu), eˢ / √(sech² z₀ + e²ˢ tanh² z₀) (tanh), s(z(t))/s(z₀) (sigmoid).
    """
    end, start = checks.number("t", t), field.array("x", x)
    if _formula(activation, w, b) is None:
        return np.exp(_integrated(activation, w, b, (0.0, end), start)[1])
    return _jacobian(activation, w, b, end, start)


def density(activation: str | Activation, w: Weight, b: Weight, t: float, density0: Function) -> Function:
    """x ↦ g(t, x) = g₀(y) / (∂x(t)/∂x at y), y the point that the flow takes to x: the density pushed forward.

    Raises
    ------
    TypeError
        For a distribution instead of its `pdf`.
    """
    field.function("density0", density0, "pdf")

    def pushed(x: np.ndarray) -> np.ndarray:
        y = inverse(activation, w, b, t, x)
        return np.asarray(density0(y) / jacobian(activation, w, b, t, y))

    return pushed


def cdf(activation: str | Activation, w: Weight, b: Weight, t: float, cdf0: Function) -> Function:
    """x ↦ F(t, x) = F₀(y), y the point that the flow takes to x: the flow of one signal keeps their order.

    Raises
    ------
    TypeError
        For a distribution instead of its `cdf`.
    """
    field.function("cdf0", cdf0, "cdf")
    return lambda x: cdf0(inverse(activation, w, b, t, x))


def quantile(activation: str | Activation, w: Weight, b: Weight, t: float, quantile0: Function) -> Function:
    """u ↦ the flow of the initial quantile F₀⁻¹(u), as the flow keeps the order of the signals.

    Raises
    ------
    TypeError
        For a distribution instead of its `ppf`.
    """
    field.function("quantile0", quantile0, "ppf")
    return lambda u: flow(activation, w, b, t, quantile0(u))


def _formula(activation: str | Activation, w: Weight, b: Weight) -> Callable[..., np.ndarray] | None:
    """The closed form for constant weights, None where there is none."""
    chosen = activations.get(activation)
    known = ACTIVATIONS.get(chosen.name) is chosen and not callable(w) and not callable(b)
    return FORMULAS.get(chosen.name) if known else None


def _identity(w: np.ndarray, b: np.ndarray, x: np.ndarray, t: float) -> np.ndarray:
    """eˢ x + b (eˢ − 1)/w; for s > 0 as x + z₀ (eˢ − 1)/w, so that an overflow has the sign of z₀."""
    fall, z0 = np.minimum(w * t, 0), w * x + b
    decayed = np.exp(fall) * x + b * t * special.exprel(fall)
    grown = x + np.multiply(z0 * t, special.exprel(w * t), out=np.zeros_like(x), where=z0 != 0)
    return np.where(w * t > 0, grown, decayed)


def _relu(w: np.ndarray, b: np.ndarray, x: np.ndarray, t: float) -> np.ndarray:
    """At rest for z₀ ≤ 0, as for the identity else; z keeps its sign."""
    return np.where(w * x + b > 0, _identity(w, b, x, t), x)


def _tanh(w: np.ndarray, b: np.ndarray, x: np.ndarray, t: float) -> np.ndarray:
    """z = asinh e^h, h = s + log sinh|z₀|, and z − z₀ = asinh(tanh z₀ (e²ˢ − 1)/(eˢ + √(sech² z₀ + e²ˢ tanh² z₀))).

    Of (z − b)/w and x + (z − z₀)/w it takes the one that subtracts the smaller numbers; for w = 0 it is x + t tanh b.
    """
    s, z0 = w * t, w * x + b
    size, floor = np.abs(z0), np.full_like(z0, -np.inf)
    h = s + size + np.log(-np.expm1(-2 * size), out=floor, where=size > 0) - np.log(2)
    z = np.sign(z0) * _asinh_exp(h)
    near = np.clip(s, -FAR, FAR)
    slope, grown = np.tanh(z0), np.exp(near)
    moved = np.arcsinh(slope * np.expm1(2 * near) / (grown + np.hypot(_sech(z0), grown * slope)))
    moved = np.where(np.abs(s) > FAR, z - z0, moved)
    direct = np.divide(z - b, w, out=np.array(x), where=w != 0)
    smaller = (np.abs(z) + np.abs(b) < np.abs(w * x) + np.abs(moved)) & (w != 0)
    return np.where(smaller, direct, x + _over_weight(moved, w, t * slope))


def _asinh_exp(h: np.ndarray) -> np.ndarray:
    """asinh of e^h, which is h + log(1 + √(1 + e^(−2h))) where e^h would overflow."""
    return np.where(h < 0, np.arcsinh(np.exp(np.minimum(h, 0))), h + np.log1p(np.hypot(1, np.exp(-np.maximum(h, 0)))))


def _sech(z: np.ndarray) -> np.ndarray:
    """2 e^(−|z|) / (1 + e^(−2|z|))."""
    fall = np.exp(-np.abs(z))
    return 2 * fall / (1 + fall**2)


def _sigmoid(w: np.ndarray, b: np.ndarray, x: np.ndarray, t: float) -> np.ndarray:
    """x + D/w, D = z − z₀ from ω and then by Newton from p (D − s) = q (e^(−D) − 1), p = s(z₀), q = s(−z₀)."""
    s, z0 = w * t, w * x + b
    p, q, moved = special.expit(z0), special.expit(-z0), _sigmoid_z(s, z0) - z0
    for _ in range(NEWTON):
        with np.errstate(invalid="ignore"):
            step = (p * (moved - s) - q * np.expm1(-moved)) / (p + q * np.exp(-moved))
        moved = np.where(np.isfinite(step), moved - step, moved)
    return x + _over_weight(moved, w, t * p)


def _sigmoid_z(s: np.ndarray, z0: np.ndarray) -> np.ndarray:
    """z(t); at z₀ < −709, where e^(−z₀) overflows, it has not moved."""
    with np.errstate(divide="ignore", invalid="ignore"):
        c = s + z0 - np.exp(-z0)
        omega = special.wrightomega(-c)
        return np.where(z0 < -709, z0, np.where(c > 0, c + omega, -np.log(omega)))


def _over_weight(moved: np.ndarray, w: np.ndarray, still: np.ndarray) -> np.ndarray:
    """(z − z₀)/w, and its limit t σ(z₀) for w = 0."""
    return np.divide(moved, w, out=np.array(still), where=w != 0)


FORMULAS: dict[str, Callable[..., np.ndarray]] = {
    "identity": _identity,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
}


def _jacobian(activation: str | Activation, w: Weight, b: Weight, t: float, x: np.ndarray) -> np.ndarray:
    name = activations.get(activation).name
    w, b, x = np.broadcast_arrays(field.array("w", w), field.array("b", b), x)
    s, z0 = w * t, w * x + b
    with np.errstate(over="ignore", under="ignore"):
        if name == "identity":
            return np.exp(s)
        if name == "relu":
            return np.where(z0 > 0, np.exp(s), 1.0)
        if name == "tanh":
            half = np.exp(s / 2)
            return half / np.hypot(_sech(z0) / half, half * np.tanh(z0))
        return np.exp(special.log_expit(_sigmoid_z(s, z0)) - special.log_expit(z0))


def _integrated(
    activation: str | Activation, w: Weight, b: Weight, span: tuple[float, float], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """End points and logarithms of the Jacobian, chunk by chunk of neighbouring points."""
    sigma, slope = field.sigma(activation), field.sigma(activation, 1)
    shape = np.broadcast_shapes(x.shape, *(field.at(n, v, span[0]).shape for n, v in (("w", w), ("b", b))))
    flat = np.broadcast_to(x, shape).ravel()
    ends, logs = np.empty_like(flat), np.empty_like(flat)
    ranks = np.argsort(flat, kind="stable")
    for first in range(0, len(flat), CHUNK):
        chosen = ranks[first : first + CHUNK]

        def weights(t: float, chosen: np.ndarray = chosen) -> tuple[np.ndarray, np.ndarray]:
            found = (np.broadcast_to(field.at(n, v, t), shape).ravel()[chosen] for n, v in (("w", w), ("b", b)))
            return next(found), next(found)

        def velocity(t: float, state: np.ndarray, number: int = len(chosen)) -> np.ndarray:
            wt, bt = weights(t)
            z = wt * state[:number] + bt
            return np.concatenate([sigma(z), wt * slope(z)])

        start = np.concatenate([flat[chosen], np.zeros(len(chosen))])
        with np.errstate(over="ignore", invalid="ignore"):  # what blows up is told by the integrator
            found = solve_ivp(velocity, span, start, method="DOP853", rtol=RTOL, atol=RTOL)
        if not found.success:
            raise ArithmeticError(f"the flow from time {span[0]} did not reach {span[1]}: {found.message}")
        ends[chosen], logs[chosen] = np.split(found.y[:, -1], 2)
    return ends.reshape(shape), logs.reshape(shape)

"""Γ-convergence of E_n to E_∞, piece by piece: recovery, liminf inequality and compactness, for given controls.

    recovery       E_n(Θ at i/n) → E_∞(Θ) for every Θ in H¹; at rate 1/n with a known constant where Θ' is continuous,
    liminf         lim inf E_n(Θ_n) ≥ E_∞(Θ) whenever Θ_n → Θ in TL²,
    compactness    E_n(Θ) ≤ E_n(0) bounds Θ in H¹, with the same constants at every depth.

The states of the limit are integrated by an adaptive method, not by the sweeps that E_n and E_∞ share. The statements
are the steps of the theorem's proof; rates and constants are derived here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from scipy.integrate import OdeSolution, solve_ivp
from scipy.optimize import brentq
from torch import Tensor

from deeplimit import checks, discrete
from deeplimit.control import DEEP, Basis, Curve, Layers
from deeplimit.coordinates import CurveCoordinates, LayerCoordinates
from deeplimit.irregular import Power
from deeplimit.problem import Problem

FINE = 1024  # cells on which the largest value of a curve is looked for
RTOL, ATOL = 1e-12, 1e-13
INSIDE = 1 - 1e-9  # of a root that was found from above


def bounds(problem: Problem) -> dict[str, float]:
    """What E_n(Θ) ≤ E_n(0) =: C₀ allows each trained block, at every depth n; inf where α or τ is zero.

    E_n(0) has the trained blocks zero, the others at their fixed values; then X_n = x + σ(0) at every depth, so that
    C₀ does not depend on n. As the data term is not negative, α(‖θ'‖² + τ|θ(0)|²) ≤ C₀ for θ = K, b, hence

        ‖θ'‖ ≤ (C₀/α)^½,   |θ(0)| ≤ (C₀/(ατ))^½,   ‖θ‖_∞ ≤ (C₀/α · (1 + 1/τ))^½,   |W|, |c| ≤ (C₀/α)^½.

    The third is Cauchy-Schwarz in |θ(t)| ≤ |θ(0)| + ‖θ'‖ and sharper than the sum of the first two.

    Returns
    -------
    dict with the keys "K'", "K(0)", "K sup", the same for b, "W" and "c", as far as they are trained.
    """
    coordinates = LayerCoordinates(problem.metric, 1)
    C0 = discrete.objective(problem, coordinates.control(np.zeros(coordinates.size)))
    found = {}
    for block in problem.trainable:
        alpha = problem.alpha[block]
        if block in DEEP:
            tau = problem.tau[block]
            found[f"{block}'"] = _root(C0, alpha)
            found[f"{block}(0)"] = _root(C0, alpha * tau)
            found[f"{block} sup"] = _root(C0 * (1 + tau), alpha * tau)
        else:
            found[block] = _root(C0, alpha)
    return found


def _root(top: float, bottom: float) -> float:
    return math.sqrt(top / bottom) if bottom > 0 else math.inf


def sizes(problem: Problem, control: Layers | Curve) -> dict[str, float]:
    """The norms that `bounds` bounds, under the same keys; Frobenius norms, and (n Σ|θ_i − θ_{i−1}|²)^½ for ‖θ'‖."""
    checks.kind("control", control, Layers, Curve)
    problem.metric.check(control)
    values = control.at(np.arange(FINE + 1) / FINE) if isinstance(control, Curve) else (control.K, control.b)
    found = {}
    for block, theta in zip(DEEP, values, strict=True):
        if block in problem.trainable:
            jumps = getattr(control, block)[1:] if isinstance(control, Curve) else torch.diff(theta, dim=0)
            stretch = 1.0 if isinstance(control, Curve) else math.sqrt(control.depth)
            found[f"{block}'"] = stretch * float(torch.linalg.vector_norm(jumps))
            found[f"{block}(0)"] = float(torch.linalg.vector_norm(theta[0]))
            found[f"{block} sup"] = float(torch.linalg.vector_norm(theta.flatten(1), dim=1).max())
    heads = [block for block in "Wc" if block in problem.trainable]
    return found | {block: float(torch.linalg.vector_norm(getattr(control, block))) for block in heads}


def compactness(problem: Problem, control: Layers | Curve) -> float:
    """The largest quotient of `sizes` and `bounds`: at most 1 wherever E_n(Θ) ≤ E_n(0), so at every global minimiser.

    Raises
    ------
    ValueError
        If the control does not fit the problem.
    """
    limits = bounds(problem)
    return max(_quotient(size, limits[key]) for key, size in sizes(problem, control).items())


def _quotient(size: float, bound: float) -> float:
    return size / bound if bound > 0 else math.inf if size > 0 else 0.0


def regulariser(problem: Problem, control: Layers | Curve) -> float:
    """R_n(Θ) of a network, R_∞(Θ) of a curve: Σ α_θ (‖θ'‖² + τ_θ |θ(0)|²) + α_W |W|² + α_c |c|², trained blocks."""
    checks.kind("control", control, Layers, Curve)
    if isinstance(control, Curve):
        curves = CurveCoordinates(problem.metric, control.basis, np.empty(0))
        return float(np.sum((curves.penalty * curves.vector(control)) ** 2))
    layers = LayerCoordinates(problem.metric, control.depth)
    return float(np.sum((layers.penalty * layers.vector(control)) ** 2))


def regulariser_gap(problem: Problem, curve: Curve, depth: int) -> float:
    """R_n(Θ at i/n) − R_∞(Θ), never positive: n |θ(t_i) − θ(t_{i−1})|² ≤ ∫ |θ'|² over the cell, by Jensen.

    Where θ' is only square integrable it tends to zero as slowly as the means of θ' over cells tend to θ'.
    """
    return regulariser(problem, _samples(curve, depth)) - regulariser(problem, curve)


def regulariser_leading(problem: Problem, curve: Curve, depth: int) -> float:
    """What R_n(Θ at i/n) − R_∞(Θ) is up to O(n⁻²): −Σ α_θ |θ'(1)|²/n, and for `Power` what its singularity adds.

    At a minimiser of E_∞ it vanishes, as K'(1) = b'(1) = 0.
    """
    defect = curve.basis.defect(depth) if isinstance(curve.basis, Power) else 0.0
    slopes = dict(zip(DEEP, curve.derivative(1.0), strict=True))
    return -sum(
        problem.alpha[k] * float(slopes[k].square().sum() / depth + getattr(curve, k)[1:].square().sum() * defect)
        for k in DEEP
        if k in problem.trainable
    )


def trajectory(problem: Problem, curve: Curve, t: np.ndarray) -> tuple[Tensor, Tensor]:
    """X(t) and e(t) of X_i = X(t_i) + e(t_i)/n + o(1/n), each (T, S, d), by an adaptive method of order 8.

    e' = D_x f e − X''/2, e(0) = 0 with f = σ(KX + b). For v = e + (X' − X'(0))/2 this is v' = D_x f e, v(0) = 0, which
    needs no derivative of K and b.

    Parameters
    ----------
    t : (T,), increasing, in [0, 1]

    Raises
    ------
    ValueError, TypeError
        If the curve is none or does not fit the problem, or the times are others.
    """
    checks.kind("curve", curve, Curve)
    t = np.asarray(t, dtype=float)
    if t.ndim != 1 or not (np.diff(t, prepend=0.0, append=1.0) >= 0).all():
        raise ValueError(f"t must be a sequence of times from 0 to 1 in increasing order, got {t!r}")
    x, sigma = problem.data.x, problem.activation
    pieces = _pieces(problem, curve)
    ends = [piece.t_max for piece in pieces[:-1]]
    index = np.searchsorted(ends, t)
    y = np.concatenate([pieces[k](t[index == k]).T for k in np.unique(index)])
    X, v = torch.as_tensor(y).reshape(len(t), 2, *x.shape).unbind(1)
    return X, v - (sigma.value(_argument(curve, t, X)) - sigma.value(_argument(curve, 0.0, x))) / 2


def _argument(curve: Curve, t: float | np.ndarray, X: Tensor) -> Tensor:
    """K(t) X + b(t), for one time or for as many as X has."""
    K, b = curve.at(t)
    return X @ K.mT + b.unsqueeze(-2)


@lru_cache(maxsize=64)  # one curve serves every depth of a sweep
def _pieces(problem: Problem, curve: Curve) -> list[OdeSolution]:
    """(X, v) as functions of t, from corner to corner."""
    problem.metric.check(curve)
    x, sigma = problem.data.x, problem.activation
    first = sigma.value(_argument(curve, 0.0, x))

    def rhs(t: float, y: np.ndarray) -> np.ndarray:
        X, v = torch.as_tensor(y).reshape(2, *x.shape)
        K, b = curve.at(t)
        Z = X @ K.T + b
        slope = sigma.value(Z)
        e = v - (slope - first) / 2
        return torch.stack([slope, sigma.first(Z) * (e @ K.T)]).ravel().numpy()

    y, found = torch.stack([x, torch.zeros_like(x)]).ravel().numpy(), []
    for span in pairwise([0.0, *_corners(curve.basis), 1.0]):
        piece = solve_ivp(rhs, span, y, method="DOP853", dense_output=True, rtol=RTOL, atol=ATOL)
        if not piece.success:
            raise RuntimeError(f"the states of the limit were not integrated to the end: {piece.message}")
        found.append(piece.sol)
        y = piece.y[:, -1]
    return found


def _corners(basis: Basis) -> np.ndarray:
    """Where K' and b' have no limit or no derivative: there the integration starts anew."""
    return np.array([basis.at]) if isinstance(basis, Power) else np.arange(1, basis.cells) / basis.cells


def _samples(curve: Curve, depth: int) -> Layers:
    """Θ at i/n; TypeError or ValueError unless that is a curve and a depth."""
    checks.kind("curve", curve, Curve)
    return curve.sample(checks.whole("depth", depth, least=1))


def forward_error(problem: Problem, curve: Curve, depth: int) -> float:
    """max over i and s of |X_i − X(t_i)| for the weights Θ(i/n)."""
    layers = _samples(curve, depth)
    X, _ = trajectory(problem, curve, np.arange(depth + 1) / depth)
    difference = discrete.states(problem, layers) - X
    return float(torch.linalg.vector_norm(difference, dim=-1).max())


def forward_constant(problem: Problem, curve: Curve) -> float:
    """max over t and s of |e(t)|, what n times the forward error tends to."""
    _, e = trajectory(problem, curve, np.arange(FINE + 1) / FINE)
    return float(torch.linalg.vector_norm(e, dim=-1).max())


def _end(problem: Problem, curve: Curve) -> tuple[float, float]:
    """E_∞(Θ), and the change p(1)·e(1) of its data term when X(1) changes by e(1)."""
    X, e = (path[-1] for path in trajectory(problem, curve, np.ones(1)))
    z = X @ curve.W.T + curve.c
    data = problem.weight * float(problem.loss.value(z, problem.y).sum())
    change = problem.weight * float((problem.loss.gradient(z, problem.y) * (e @ curve.W.T)).sum())
    return data + regulariser(problem, curve), change


def objective(problem: Problem, curve: Curve) -> float:
    """E_∞(Θ), the states integrated adaptively."""
    return _end(problem, curve)[0]


def recovery_gap(problem: Problem, curve: Curve, depth: int) -> float:
    """E_n(Θ at i/n) − E_∞(Θ)."""
    return liminf_gap(problem, _samples(curve, depth), curve)


def data_constant(problem: Problem, curve: Curve) -> float:
    """w Σ_s g_s · W e_s(1) = −½ Σ_s ∫ p_s · X_s'' dt: the data term's part of n times the recovery gap."""
    return _end(problem, curve)[1]


def liminf_gap(problem: Problem, layers: Layers, curve: Curve) -> float:
    """E_n(Θ_n) − E_∞(Θ), whose lower limit is not negative where Θ_n → Θ."""
    return discrete.objective(problem, layers) - objective(problem, curve)


def below(problem: Problem, layers: Layers, seed: int) -> Layers:
    """A random point with E_n(Θ) ≤ E_n(0): from one in a Cauchy direction in u as far as this holds.

    Heavy tails let single coordinates use up the bound. As E_n ≥ |u|² it is left within |u|² ≤ E_n(0).

    Raises
    ------
    ValueError
        If the point to begin with is above E_n(0).
    """
    coordinates = LayerCoordinates(problem.metric, layers.depth)
    C0 = discrete.objective(problem, coordinates.control(np.zeros(coordinates.size)))
    u = coordinates.vector(layers)
    v = np.random.default_rng(checks.whole("seed", seed, least=0)).standard_cauchy(coordinates.size)
    v *= 2 * math.sqrt(C0) / float(np.linalg.norm(v))

    def at(scale: float) -> Layers:
        return coordinates.control(u + scale * v)

    def excess(scale: float) -> float:
        return discrete.objective(problem, at(scale)) - C0

    if excess(0.0) > 0:
        raise ValueError(f"E_n of the point to begin with must be at most E_n(0) = {C0}, got {C0 + excess(0.0)}")
    scale = brentq(excess, 0.0, 1.0)
    return at(scale if excess(scale) <= 0 else scale * INSIDE)

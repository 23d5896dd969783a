"""Γ-convergence of E_n to E_∞, piece by piece: recovery, liminf inequality and compactness, for given controls.

    recovery       E_n(Θ at i/n) → E_∞(Θ) for every Θ in H¹; at rate 1/n with a known constant where Θ' is continuous,
    liminf         lim inf E_n(Θ_n) ≥ E_∞(Θ) whenever Θ_n → Θ in TL²,
    compactness    E_n(Θ) ≤ E_n(0) bounds Θ in H¹, with the same constants at every depth.

The states of the limit are integrated by an adaptive method, not by the sweeps that E_n and E_∞ share. The statements
are the steps of the theorem's proof; rates and constants are derived here.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from deeplimit import checks, discrete
from deeplimit.control import DEEP, Curve, Layers
from deeplimit.coordinates import LayerCoordinates
from deeplimit.problem import Problem

FINE = 1024  # cells on which the largest value of a curve is looked for


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

"""What a deep network's minimum will be, predicted from the continuum alone: min E_n = min E_∞ + e₁/n + O(n⁻²).

Derived here from the definitions, by an envelope argument; no rate is claimed by the theorem that this package tests.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss

from deeplimit import pontryagin
from deeplimit.control import Curve
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem

PANELS = 32
GAUSS_POINTS = 8


def value_constant(problem: Problem, limit: Minimum | Curve) -> float:
    """e₁ = −½ Σ_s ∫₀¹ p_s · X_s'' dt,  X'' = σ'(KX + b) ∘ (K'X + KX' + b'),  at a minimiser of E_∞.

    Euler's method replaces X' = f by X' = f − X''/(2n) + O(n⁻²), and the costate p weighs that defect. The regulariser
    contributes nothing at order 1/n, because K'(1) = b'(1) = 0 at a minimiser. State and costate come from
    `pontryagin.trajectory`, the integral from Gauss points on 32 panels.

    Parameters
    ----------
    limit
        What `continuum.minimise` returned, or its control.

    Raises
    ------
    ValueError
        If the control does not fit the problem.
    """
    return _value_constant(problem, limit.control if isinstance(limit, Minimum) else limit)


@lru_cache(maxsize=16)  # one limit serves every depth of a sweep
def _value_constant(problem: Problem, curve: Curve) -> float:
    points, weights = leggauss(GAUSS_POINTS)
    t = ((np.arange(PANELS)[:, None] + (points + 1) / 2) / PANELS).ravel()
    weight = torch.as_tensor(np.tile(weights / (2 * PANELS), PANELS))
    path = pontryagin.trajectory(problem, curve, t)
    X, p = torch.as_tensor(path.X), torch.as_tensor(path.costate)
    (K, b), (dK, db) = curve.at(t), curve.derivative(t)
    Z = X @ K.mT + b[:, None]
    slope = problem.activation.value(Z)
    second = problem.activation.first(Z) * (X @ dK.mT + slope @ K.mT + db[:, None])
    return -0.5 * float(weight @ (p * second).sum((1, 2)))

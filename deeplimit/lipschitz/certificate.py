"""A certificate that a true minimiser of E_n exists near a computed one, by the theorem of Newton and Kantorovich.

Let g be the gradient at u, λ > 0 the least eigenvalue of the Hessian there, and M a Lipschitz constant of the Hessian
over |v − u| ≤ r. If h = M |g| / λ² < ½ and r₋ ≤ r, then there is a critical point within

    r₋ = (1 − √(1 − 2h)) λ/M     of u, and no other within     min(r, r₊),   r₊ = (1 + √(1 − 2h)) λ/M;

the Hessian there is at least λ − M r₋ > 0, so that it is a local minimiser; at h = ½ a critical point exists still, but
perhaps no minimiser. The theorem is Kantorovich's (1948); M is derived here. g, λ and M are computed in floating point:
rounding is not part of the certificate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from deeplimit import checks
from deeplimit.control import BLOCKS, Layers
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.lipschitz.bounds import require
from deeplimit.lipschitz.sobolev import hessian_constant
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.sweep import EULER, Flow

MOST_UNKNOWNS = 2000  # of a dense Hessian
DOUBLINGS = 60  # of the radius in which no other critical point is
HALVINGS = 20  # of the interval in which its largest value lies, to a millionth
MACHINE = float(np.finfo(float).eps)


class Verdict(Enum):
    """Whether a minimiser exists; the value is the sentence to show, with a remedy."""

    CERTIFIED = "certified: a local minimiser exists within the radius, rounding excepted"
    SADDLE = "not certified: the Hessian is not positive definite; certify a minimum"
    FAR = (
        "not certified: the gradient is too large for the Lipschitz constant of the Hessian, h ≥ ½; "
        "minimise to a smaller tol"
    )

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class Radius:
    """What is certain of the minimiser near a computed one, in the H¹ coordinates u.

    Attributes
    ----------
    exists_within
        r₋; infinite if nothing is certified.
    unique_within
        A radius in which it is the only critical point; 0 if nothing is certified.
    residual, curvature
        |g| and λ, recomputed here.
    hessian_constant
        M over the ball of radius 2 |g|/λ, which contains that of r₋.
    contraction
        h = M |g|/λ².
    verdict : Verdict
    """

    exists_within: float
    unique_within: float
    residual: float
    curvature: float
    hessian_constant: float
    contraction: float
    verdict: Verdict


def certified_radius(problem: Problem, minimum: Minimum | Layers) -> Radius:
    """How far from a computed minimiser of E_n a true one is at most, in u; for small problems.

    Parameters
    ----------
    minimum
        That of `discrete.minimise`, or weights.

    Raises
    ------
    ValueError
        For weights that are not finite, more than 2000 unknowns, α or τ = 0, an activation without a Lipschitz second
        derivative, a custom loss.
    TypeError
        For the minimiser of E_∞, which is no network, and what is no problem.
    """
    layers = minimum.control if isinstance(minimum, Minimum) else minimum
    checks.kind("problem", problem, Problem)
    checks.kind("minimum", layers, Layers)
    if not all(bool(torch.isfinite(getattr(layers, block)).all()) for block in BLOCKS):
        raise ValueError("minimum must have finite weights, but holds NaN or infinity; minimise again")
    problem.metric.check(layers)
    require(problem.activation, 3)
    coordinates = LayerCoordinates(problem.metric, layers.depth)
    if coordinates.size > MOST_UNKNOWNS:
        raise ValueError(f"a certificate is for at most {MOST_UNKNOWNS} unknowns, got {coordinates.size}")
    point = Energy(problem, coordinates, Flow(EULER, layers.depth))(coordinates.vector(layers))
    hessian = np.column_stack([point.product(e) for e in np.eye(coordinates.size)])
    residual = float(np.linalg.norm(point.gradient))
    curvature = float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[0])
    if not curvature > 0:
        return Radius(math.inf, 0.0, residual, curvature, math.nan, math.nan, Verdict.SADDLE)
    least = max(2 * residual / curvature, MACHINE)  # a ball of no radius has no constant
    M = hessian_constant(problem, layers, least)
    contraction = M * residual / curvature**2
    if not contraction < 0.5:  # at ½ the critical point need not be a minimiser
        return Radius(math.inf, 0.0, residual, curvature, M, contraction, Verdict.FAR)
    # (1 − √(1 − 2h)) λ/M without the difference
    exists = 2 * residual / curvature / (1 + math.sqrt(1 - 2 * contraction))
    unique = _unique(problem, layers, residual, curvature, least)
    return Radius(exists, max(unique, exists), residual, curvature, M, contraction, Verdict.CERTIFIED)


def _unique(problem: Problem, layers: Layers, residual: float, curvature: float, radius: float) -> float:
    """The largest radius that is at most its own r₊: doubled until it is not, and then by bisection; 0 if none is."""

    def alone(radius: float) -> bool:
        M = hessian_constant(problem, layers, radius)
        contraction = M * residual / curvature**2
        return contraction < 0.5 and radius * M <= (1 + math.sqrt(1 - 2 * contraction)) * curvature

    low, high = 0.0, radius
    for _ in range(DOUBLINGS):
        if not alone(high):
            break
        low, high = high, 2 * high
    for _ in range(HALVINGS if 0 < low < high else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if alone(middle) else (low, middle)
    return low

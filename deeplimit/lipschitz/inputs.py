"""Lipschitz constants in the input x of the flow map x ↦ X(1) of a residual network or of its limit, and their bounds.

The Jacobian of a layer is I + h S K with S = diag σ'(K X + b), whose entries lie in [σ'_min, L]. Derived here:

    product       Π_i (1 + h L ‖K_i‖₂),
    steps         Π_i max_S ‖I + h S K_i‖₂,
    logarithmic   exp ∫₀¹ max_S μ(S K(t)) dt for the flow,  μ(M) the largest eigenvalue of (M + Mᵀ)/2.

A convex function of S is largest at one of the 2^d corners of the box. The product grows with every weight; the other
two see contraction. As n → ∞ the second tends to the third, at first order.
"""

from __future__ import annotations

import itertools
import math

import torch
from scipy.integrate import quad_vec
from torch import Tensor

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.control import Curve, Layers
from deeplimit.lipschitz import ascent
from deeplimit.lipschitz.bounds import require
from deeplimit.lipschitz.region import checked_inputs
from deeplimit.problem import Problem

WIDEST = 12  # layers of which all corners are tried
MOST_CELLS = 500  # of the adaptive integral over depth


def _corners(activation: Activation, width: int) -> Tensor:
    """The diagonals S at the corners of [σ'_min, L]^d, (2^d, d)."""
    require(activation, 1)
    if width > WIDEST:
        raise ValueError(f"all 2^d corners are tried for a width d of at most {WIDEST}, got {width}; use product")
    ends = (max(activation.least_slope, -activation.lipschitz), activation.lipschitz)
    return torch.tensor(list(itertools.product(*[sorted(set(ends))] * width)), dtype=torch.float64)


def product(activation: Activation, layers: Layers) -> float:
    """Π_i (1 + h L ‖K_i‖₂) for a residual network, at most exp(L h Σ ‖K_i‖₂).

    Raises
    ------
    ValueError
        For an activation that is not Lipschitz.
    """
    checks.kind("layers", layers, Layers)
    require(activation, 1)
    norms = torch.linalg.matrix_norm(layers.K, 2)
    return float(torch.prod(1 + activation.lipschitz / layers.depth * norms))


def steps(activation: Activation, layers: Layers) -> float:
    """Π_i max_S ‖I + h S K_i‖₂ for a residual network.

    Raises
    ------
    ValueError
        For an activation that is not Lipschitz, and a width above 12.
    """
    checks.kind("layers", layers, Layers)
    S = _corners(activation, layers.K.shape[1])
    jacobians = torch.eye(layers.K.shape[1], dtype=torch.float64) + S[:, None, :, None] * layers.K / layers.depth
    return float(torch.linalg.matrix_norm(jacobians, 2).amax(0).prod())


def logarithmic(activation: Activation, K: Tensor) -> Tensor:
    """max_S μ(S K), the largest rate at which two solutions of X' = σ(K X + b) part; K (…, d, d) to (…).

    Raises
    ------
    ValueError
        For an activation that is not Lipschitz, and a width above 12.
    """
    S = _corners(activation, K.shape[-1])
    M = S.reshape(len(S), *[1] * (K.dim() - 2), K.shape[-1], 1) * K
    return torch.linalg.eigvalsh((M + M.mT) / 2)[..., -1].amax(0)


def flow(activation: Activation, curve: Curve, tol: float = 1e-10) -> float:
    """exp(∫₀¹ max_S μ(S K(t)) dt + ε) for the flow of a curve, ε the error estimate of the adaptive integral.

    The integrand is continuous with kinks, where another corner S or eigenvalue takes over; cells are halved there
    until ε ≤ `tol`, an estimate by two rules of quadrature, and added so that the bound stays one from above.

    Raises
    ------
    ValueError, TypeError
        For an activation that is not Lipschitz, a width above 12, a tolerance that is not positive, no curve, and an
        integral that is not found to this tolerance.
    """
    checks.kind("curve", curve, Curve)
    checks.positive("tol", tol)

    def rate(t: float) -> float:
        return float(logarithmic(activation, curve.at(t)[0]))

    value, error = quad_vec(rate, 0.0, 1.0, epsabs=tol, epsrel=0.0, limit=MOST_CELLS)
    if not error <= tol:
        raise ValueError(
            f"the integral of the logarithmic norm has the error {error:.2g}, above tol = {tol:g}; raise tol"
        )
    return math.exp(value + error)


def sampled(problem: Problem, layers: Layers, x: Tensor) -> Tensor:
    """‖∂X_n/∂x‖₂ at the inputs x (S, d), (S,): lower bounds of the Lipschitz constant of a residual network.

    Raises
    ------
    ValueError, TypeError
        For inputs of another width than the network's, or ones that are not finite.
    """
    checked_inputs(x, problem.width)
    sigma, h = problem.activation, 1 / layers.depth
    jacobian = torch.eye(x.shape[1], dtype=torch.float64).expand(len(x), -1, -1)
    for K, b in zip(layers.K, layers.b, strict=True):
        z = x @ K.T + b
        jacobian = jacobian + h * sigma.first(z)[:, :, None] * (K @ jacobian)
        x = x + h * sigma.value(z)
    return torch.linalg.matrix_norm(jacobian, 2)


def climb(problem: Problem, layers: Layers, x: Tensor, *, radius: float, iterations: int = 60) -> Tensor:
    """The inputs, one for each of x (S, d), of the largest ‖∂X_n/∂x‖₂ that an ascent within |x| ≤ radius meets.

    `sampled` at them bounds the Lipschitz constant on that ball from below.

    Raises
    ------
    ValueError, TypeError
        As `sampled`, and for a radius that is not positive.
    """
    checked_inputs(x, problem.width)
    checks.positive("radius", radius)

    def inside(x: Tensor) -> Tensor:
        return x * (radius / x.norm(dim=1, keepdim=True).clamp(min=1e-300)).clamp(max=1.0)

    size = torch.full_like(x[:, :1], ascent.STEP * radius)
    return ascent.climb(lambda point: sampled(problem, layers, point), inside, inside(x), size, iterations).theta

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
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from deeplimit import checks, network
from deeplimit.activation import Activation
from deeplimit.control import Curve, Layers
from deeplimit.lipschitz.bounds import require
from deeplimit.problem import Problem

WIDEST = 12  # layers of which all corners are tried
STEP, FALL = 0.2, 0.95  # of an ascent over the inputs, relative to their norm


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


def flow(activation: Activation, curve: Curve, cells: int = 4096) -> float:
    """exp ∫₀¹ max_S μ(S K(t)) dt for the flow of a curve, by the midpoint rule with an error of order 1/cells²."""
    count = checks.whole("cells", cells, least=1)
    K, _ = curve.at((torch.arange(count, dtype=torch.float64).numpy() + 0.5) / count)
    return math.exp(float(logarithmic(activation, K).mean()))


def _end(problem: Problem, layers: Layers) -> Callable[[Tensor], Tensor]:
    """x (d,) ↦ X_n (d,)."""
    sigma, h = problem.activation.value, 1 / layers.depth

    def end(x: Tensor) -> Tensor:
        for K, b in zip(layers.K, layers.b, strict=True):
            x = x + h * sigma(K @ x + b)
        return x

    return end


def sampled(problem: Problem, layers: Layers, x: Tensor) -> Tensor:
    """‖∂X_n/∂x‖₂ at the inputs x (S, d), (S,): lower bounds of the Lipschitz constant of a residual network."""
    X = network.states(problem, layers, x)
    jacobian = torch.eye(x.shape[1], dtype=torch.float64).expand(len(x), -1, -1)
    for K, b, state in zip(layers.K, layers.b, X[:-1], strict=True):
        slope = problem.activation.first(state @ K.T + b)
        jacobian = jacobian + slope[:, :, None] * (K @ jacobian) / layers.depth
    return torch.linalg.matrix_norm(jacobian, 2)


def climb(problem: Problem, layers: Layers, x: Tensor, *, radius: float, iterations: int = 60) -> Tensor:
    """The inputs, one for each of x (S, d), of the largest ‖∂X_n/∂x‖₂ that an ascent within |x| ≤ radius meets.

    `sampled` at them bounds the Lipschitz constant on that ball from below.
    """
    checks.positive("radius", radius)
    jacobian = jacrev(_end(problem, layers))
    rise = vmap(grad(lambda point: torch.linalg.matrix_norm(jacobian(point), 2)))

    def inside(x: Tensor) -> Tensor:
        return x * (radius / x.norm(dim=1, keepdim=True).clamp(min=1e-300)).clamp(max=1.0)

    x, size = inside(x), STEP * radius
    best, where = sampled(problem, layers, x), x
    for _ in range(checks.whole("iterations", iterations, least=1)):
        direction = rise(x)
        x = inside(x + size * direction / direction.norm(dim=1, keepdim=True).clamp(min=1e-300))
        value = sampled(problem, layers, x)
        where = torch.where((value > best)[:, None], x, where)
        best, size = torch.maximum(best, value), FALL * size
    return where

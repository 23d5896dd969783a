"""Lipschitz constants of ∇E_n and ∇²E_n in the H¹ coordinates u of the package, over a ball |v − u| ≤ r.

In these coordinates the regulariser is |u|², and by the inequality of Cauchy and Schwarz

    |dθ_i| ≤ reach_θ(t_i) |du|,   reach_θ(t)² = (1/τ_θ + t)/α_θ,      |dW| ≤ |du|/√α_W,   |dc| ≤ |du|/√α_c,
    (1/n) Σ_i |dθ_i|² ≤ |du|²/(α_θ μ),   μ the least eigenvalue of n Σ|Δθ|² + τ|θ_0|² against (1/n) Σ|θ|².

The second turns the bounds of `bounds` in L²(0, 1) into one of ∇²E_n; a third derivative is unbounded in L², but not in
H¹, where the first puts a network among the controlled ODEs. No constant depends on depth. Derived here; μ tends to the
square of the least root of m tan m = τ.

They are far from sharp, as norms of layers are multiplied where the layers themselves would be, all samples are taken
at their worst at once, and the reach of every depth is spent in full: over balls around random weights the largest
‖∇²E_n‖ that draws and ascents find is a fifth to a hundredth of L, the largest third derivative 1/25 to 1/1600 of M,
the less the more samples and weights there are (study `lipschitz`, part H¹). Steps of 1/L are as many times shorter
than they might be, and a certificate ends at a distance of about λ/(2M) from the minimiser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from deeplimit import checks, network
from deeplimit.control import BLOCKS, DEEP, Layers
from deeplimit.lipschitz import controlled
from deeplimit.lipschitz.bounds import require
from deeplimit.lipschitz.chain import Chain, parameters, residual
from deeplimit.lipschitz.controlled import PathBounds
from deeplimit.lipschitz.objective import Objective, slopes
from deeplimit.lipschitz.region import Set
from deeplimit.problem import Problem


def least_eigenvalue(depth: int, tau: float) -> float:
    """μ: that of n Σ_{i=1}^{n−1} |θ_i − θ_{i−1}|² + τ |θ_0|² against (1/n) Σ_i |θ_i|²."""
    n = checks.whole("depth", depth, least=1)
    if n == 1:
        return tau
    diagonal = np.full(n, 2.0 * n)
    diagonal[[0, -1]] = n + tau, n
    values = eigh_tridiagonal(diagonal, np.full(n - 1, -float(n)), eigvals_only=True, select="i", select_range=(0, 0))
    return n * float(values[0])


@dataclass(frozen=True, eq=False)
class Neighbourhood(Set):
    """The networks with |v − u| ≤ radius in the coordinates of a problem, u those of `layers`.

    Raises
    ------
    ValueError, TypeError
        For a radius that is not positive, and where a trained block has α = 0 or τ = 0.
    """

    problem: Problem
    layers: Layers
    radius: float

    def __post_init__(self) -> None:
        checks.positive("radius", self.radius)
        self.problem.metric.check(self.layers)
        if math.isinf(self.problem.metric.embedding()):
            raise ValueError("bounds in H¹ want every alpha and tau of a trained block positive, got zero")

    @cached_property
    def chain(self) -> Chain:  # type: ignore[override]
        """The network with its head."""
        p = self.problem
        return residual(self.layers.depth, p.width, p.outputs, p.activation)

    def reach(self, block: str) -> list[float]:
        """sup |dθ_i|/|du| at every depth, or one number for W and c; 0 for a block that is not trained."""
        alpha, depth = self.problem.alpha.get(block, math.inf), self.layers.depth if block in DEEP else 1
        if block not in self.problem.trainable:
            return [0.0] * depth
        if block not in DEEP:
            return [1 / math.sqrt(alpha)]
        return [math.sqrt((1 / self.problem.tau[block] + i / depth) / alpha) for i in range(depth)]

    @cached_property
    def radii(self) -> list[tuple[float, float]]:
        """‖K_i‖₂ + r reach and |b_i| + r reach, then those of the head."""
        layers = self.layers
        sizes = {
            "K": torch.linalg.matrix_norm(layers.K, 2).tolist(),
            "b": layers.b.norm(dim=1).tolist(),
            "W": [float(torch.linalg.matrix_norm(layers.W, 2))],
            "c": [float(layers.c.norm())],
        }
        K, b, W, c = (
            [size + self.radius * far for size, far in zip(sizes[k], self.reach(k), strict=True)] for k in BLOCKS
        )
        return [*zip(K, b, strict=True), (W[0], c[0])]

    @cached_property
    def scale(self) -> float:
        """sup |dθ|/|du|, in the norm of the chain: L² over depth, and the head."""
        p, depth = self.problem, self.layers.depth
        squares = [p.alpha[k] * (least_eigenvalue(depth, p.tau[k]) if k in DEEP else 1.0) for k in p.trainable]
        return 1 / math.sqrt(min(squares))

    @property
    def middle(self) -> tuple[Tensor, float]:
        """Centre and radius."""
        return parameters(self.chain, self.layers), self.scale * self.radius


def gradient_constant(problem: Problem, layers: Layers, radius: float) -> float:
    """2 + the Lipschitz constant of the data term's gradient in u over |v − u| ≤ radius.

    Raises
    ------
    ValueError
        For an activation without a Lipschitz derivative, and another loss than squared, logistic and softmax.
    """
    near = Neighbourhood(problem, layers, radius)
    data = Objective(near.chain, problem.data, problem.loss, problem.reduction)
    return 2 + near.scale**2 * data.constants(near).gradient


def state_bounds(near: Neighbourhood) -> PathBounds:
    """Bounds of X_n and its first three derivatives in u, per sample."""
    p, depth = near.problem, near.layers.depth
    reaches = zip(near.reach("K"), near.reach("b"), strict=True)
    fields = [
        controlled.layer(p.activation, B, b, p.width, reach=reach, order=3)
        for (B, b), reach in zip(near.radii[:-1], reaches, strict=True)
    ]
    X = network.states(p, near.layers).norm(dim=2)
    pieces = [controlled.jump(field, 1 / depth) for field in fields]
    return controlled.bound(pieces, X[0], centre=list(X[1:]), radius=near.radius)


def output_bounds(near: Neighbourhood) -> PathBounds:
    """Bounds of z = W X_n + c: D = ‖W‖ D_X + √(r_W² β² + r_c²), H = ‖W‖ H_X + 2 r_W D_X, T = ‖W‖ T_X + 3 r_W H_X."""
    X, (W, c) = state_bounds(near), near.radii[-1]
    (reach_W,), (reach_c,) = near.reach("W"), near.reach("c")
    first = W * X.first + torch.hypot(reach_W * X.state, torch.full_like(X.state, reach_c))
    second, third = W * X.second + 2 * reach_W * X.first, W * X.third + 3 * reach_W * X.second
    return PathBounds(W * X.state + c, first, second, third)


def hessian_constant(problem: Problem, layers: Layers, radius: float) -> float:
    """A Lipschitz constant of ∇²E_n in u over |v − u| ≤ radius: w Σ_s sup‖∇³φ‖ D³ + 3 sup‖∇²φ‖ D H + sup|∇φ| T.

    Raises
    ------
    ValueError
        For an activation whose second derivative is not known to be Lipschitz, and another loss.
    """
    require(problem.activation, 3)
    near = Neighbourhood(problem, layers, radius)
    found = output_bounds(near)
    z = network.states(problem, layers)[-1] @ layers.W.T + layers.c
    sup = slopes(problem.loss, z, problem.y, found.first * radius)
    terms = sup.third * found.first**3 + 3 * sup.second * found.first * found.second + sup.first * found.third
    return problem.weight * float(terms.sum())

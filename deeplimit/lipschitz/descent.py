"""Gradient descent whose steps are certified by Lipschitz constants of the gradient, every decrease checked.

With η ≤ 1/L, θ⁺ the projection of θ − η ∇Φ onto a convex set on which ∇Φ is L-Lipschitz, and G = (θ − θ⁺)/η,

    Φ(θ⁺) ≤ Φ(θ) − η |G|²/2,      so      min_k |G_k|² ≤ (Φ_0 − inf Φ)/Σ_k η_k/2,     2 L (Φ_0 − inf Φ)/K for η = 1/L.

G is the gradient where nothing was projected. With unbiased gradients of variances σ_k² and no projection, for a
constant step η < 2/L,

    (η − L η²/2) Σ_k E|∇Φ(θ_k)|² ≤ Φ_0 − inf Φ + (L η²/2) Σ_k E σ_k²,

so that η = min(1/L, c/√K) gives a mean |∇Φ|² of order 1/√K. Both are standard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from deeplimit import checks
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.lipschitz.objective import Objective
from deeplimit.lipschitz.region import Ball, Region
from deeplimit.lipschitz.sobolev import gradient_constant
from deeplimit.problem import Problem
from deeplimit.sweep import EULER, Flow

ROUNDING = 1e-12  # of a point on the edge of a region, relative

Function = Callable[[Tensor], tuple[float, Tensor]]  # θ (P,) ↦ Φ and ∇Φ
Constant = Callable[[Tensor], float]  # θ (P,) ↦ L around it
Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Descent:
    """What a descent of K steps went through.

    Attributes
    ----------
    values : (K + 1,)
        Φ_0 … Φ_K.
    mappings : (K,)
        |G_k| = |θ_k − θ_{k+1}|/η_k.
    steps : (K,)
        η_k.
    theta : (P,)
        Where it ended.
    """

    values: np.ndarray
    mappings: np.ndarray
    steps: np.ndarray
    theta: Tensor

    @property
    def rises(self) -> int:
        """In how many steps Φ rose; one that is a fixed point leaves it as it is."""
        return int((np.diff(self.values) > 0).sum())

    @property
    def excess(self) -> float:
        """max_k of Φ_{k+1} − Φ_k + η_k |G_k|²/2; at most rounding where every η_k ≤ 1/L."""
        return float((np.diff(self.values) + self.steps * self.mappings**2 / 2).max())

    @property
    def least(self) -> float:
        """min_k |G_k|²."""
        return float((self.mappings**2).min())

    def bound(self, infimum: float = 0.0) -> float:
        """(Φ_0 − inf Φ)/Σ_k η_k/2, never below `least` where every η_k ≤ 1/L."""
        return 2 * (float(self.values[0]) - infimum) / float(self.steps.sum())


def descend(
    function: Function,
    start: Tensor,
    constant: float | Constant,
    steps: int,
    *,
    reach: float = math.inf,
    project: Projection | None = None,
    factor: float = 1.0,
) -> Descent:
    """θ ← P(θ − η ∇Φ(θ)), η = factor · min(1/L, reach/|∇Φ|).

    Parameters
    ----------
    constant
        L, one number for a set that P keeps the iterates in, or a function of θ that holds within `reach` of it.
    factor
        1; what is larger is not certified.

    Raises
    ------
    ValueError, TypeError
        For L, steps or a factor that is not positive.
    """
    count = checks.whole("steps", steps, least=1)
    checks.positive("factor", factor)
    theta = start
    value, gradient = function(theta)
    values, mappings, sizes = [value], [], []
    for _ in range(count):
        L = constant(theta) if callable(constant) else constant
        size = factor * min(_longest(L), reach / max(float(gradient.norm()), 1e-300))
        after = theta - size * gradient
        after = after if project is None else project(after)
        mappings.append(float((theta - after).norm()) / size)
        sizes.append(size)
        theta = after
        value, gradient = function(theta)
        values.append(value)
    return Descent(np.array(values), np.array(mappings), np.array(sizes), theta)


def _longest(L: float) -> float:
    """1/L; a gradient that is constant has L = 0, and any step is right."""
    if L == 0:
        raise ValueError(
            "the Lipschitz constant of the gradient must be positive, got 0: the gradient is constant there, and no "
            "longest step follows; choose a larger region, or other data"
        )
    return 1 / checks.positive("the Lipschitz constant of the gradient", L)


def _inside(region: Region, start: Tensor) -> None:
    """Raise ValueError for a start outside the region."""
    away = float((region.project(start) - start).norm())
    if not away <= ROUNDING * max(1.0, float(start.norm())):
        raise ValueError(
            f"start must lie in the region, where the Lipschitz constant holds, but is {away:.3g} outside; start at "
            "region.project(start), or choose a larger region"
        )


def on_region(objective: Objective, region: Region, start: Tensor, steps: int, factor: float = 1.0) -> Descent:
    """Projected descent with one constant for the whole region; ValueError for a start outside it."""
    _inside(region, start)
    L = objective.constants(region).gradient
    return descend(objective, start, L, steps, project=region.project, factor=factor)


def local(objective: Objective, start: Tensor, steps: int, radius: float) -> Descent:
    """Descent with the constant of the ball of the given radius around each iterate, and no step longer than it."""

    def constant(theta: Tensor) -> float:
        return objective.constants(Ball(objective.chain, theta, radius)).gradient

    return descend(objective, start, constant, steps, reach=checks.positive("radius", radius))


def in_h1(problem: Problem, depth: int, start: np.ndarray, steps: int, radius: float) -> Descent:
    """The same for E_n in its H¹ coordinates u (N,): neither step nor work per layer depend on depth."""
    coordinates = LayerCoordinates(problem.metric, depth)
    energy = Energy(problem, coordinates, Flow(EULER, depth))

    def function(u: Tensor) -> tuple[float, Tensor]:
        point = energy(u.numpy())
        return point.value, torch.from_numpy(point.gradient)

    def constant(u: Tensor) -> float:
        return gradient_constant(problem, coordinates.control(u.numpy()), radius)

    return descend(function, torch.as_tensor(start), constant, steps, reach=checks.positive("radius", radius))


@dataclass(frozen=True, eq=False)
class Stochastic:
    """R runs of stochastic gradient descent, K steps each.

    Attributes
    ----------
    squares : (R,)
        The mean of |∇Φ(θ_k)|² over k.
    balances : (R,)
        (η − Lη²/2) Σ_k |∇Φ|² − Φ_0 + Φ_K − (Lη²/2) Σ_k σ_k², whose expectation is at most 0.
    variances : (R,)
        The mean of σ_k² over k.
    step
        η.
    left
        How many iterates a run would have had outside the region, where the constant is not known.
    """

    squares: np.ndarray
    balances: np.ndarray
    variances: np.ndarray
    step: float
    left: int


def stochastic(
    objective: Objective, region: Region, start: Tensor, steps: int, *, c: float, runs: int, seed: int
) -> Stochastic:
    """One random sample a step, η = min(1/L, c/√K), L that of the region; the iterates are projected onto it.

    Raises
    ------
    ValueError
        Unless Φ is a mean over the samples, of which one random one is an unbiased estimate, and for a start outside
        the region.
    """
    if objective.reduction != "mean":
        raise ValueError(f"the gradient of one sample estimates that of a mean, got reduction {objective.reduction!r}")
    K = checks.whole("steps", steps, least=1)
    _inside(region, start)
    L = objective.constants(region).gradient
    size = min(_longest(L), checks.positive("c", c) / math.sqrt(K))
    generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
    losses, slopes = vmap(objective.losses), vmap(jacrev(objective.losses))
    theta = start.expand(checks.whole("runs", runs, least=1), -1)
    first, rows = losses(theta).mean(1), torch.arange(runs)
    squares, variances, left = torch.zeros(runs).double(), torch.zeros(runs).double(), 0
    for _ in range(K):
        each = slopes(theta)  # (R, S, P)
        full = each.mean(1)
        squares += full.square().sum(1)
        variances += (each - full[:, None]).square().sum(2).mean(1)
        sample = torch.randint(each.shape[1], (runs,), generator=generator)
        after = theta - size * each[rows, sample]
        theta = region.project(after)
        left += int(((theta - after).norm(dim=1) > 1e-12).sum())
    balances = (size - L * size**2 / 2) * squares - first + losses(theta).mean(1) - L * size**2 / 2 * variances
    return Stochastic((squares / K).numpy(), balances.numpy(), (variances / K).numpy(), size, left)

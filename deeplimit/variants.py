"""Other residual networks than E_n: blocks of higher order, another power of n in the regulariser, another final time.

A network of n Runge-Kutta blocks takes the weights of its stages from a curve (K, b) with finitely many parameters:

    X_{k+1} = X_k + (1/n) Σ_j β_j σ(K_j Y_j + b_j),  (K_j, b_j) = (K, b)((k + c_j)/n),
    w Σ_s L(h(W X_n + c), y_s) + Σ_{θ ∈ {K, b}} α_θ (∫₀¹|θ'|² + τ_θ |θ(0)|²) + α_W |W|² + α_c |c|².

With continuous piecewise polynomial weights the integral is exact: only the flow, and the weights between their nodes,
are discretised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from deeplimit import checks, optimise, pontryagin
from deeplimit.activation import Activation
from deeplimit.control import DEEP, Basis, Curve, Hats, Layers, Quadratics
from deeplimit.coordinates import CurveCoordinates, LayerCoordinates, Metric
from deeplimit.energy import Energy
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.sweep import HEUN, KUTTA4, Flow, Tableau

PANELS = 8
GAUSS_POINTS = 8


class SharedCoordinates(LayerCoordinates):
    """Those of n layers, each of whose weights serves all stages of a block."""

    def __init__(self, metric: Metric, depth: int, shared: int) -> None:
        super().__init__(metric, depth)
        self._shared = shared

    @property
    def stages(self) -> int:
        """Number of stages that the coefficients give weights for."""
        return self.rows * self._shared

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Weights of the stages from coefficients."""
        return super().synthesise(coefficients).repeat_interleave(self._shared, 0)

    def analyse(self, gradient: Tensor) -> Tensor:
        """The transpose of `synthesise`."""
        return super().analyse(gradient.unflatten(0, (self.rows, self._shared)).sum(1))

    def control(self, u: np.ndarray) -> Layers:
        """The weights at u, one set for each block."""
        K, b, W, c = self.weights(u)
        return Layers(K[:: self._shared].clone(), b[:: self._shared].clone(), W.clone(), c.clone())

    def vector(self, layers: Layers | Curve) -> np.ndarray:
        """The coordinates of a network of any depth, or of a curve's values at the nodes."""
        return super().vector(layers.sample(self.rows) if isinstance(layers, Curve) else layers.refine(self.rows))


@dataclass(frozen=True)
class Variant:
    """A network of Runge-Kutta blocks.

    Attributes
    ----------
    name, tableau
    basis
        Depth n ↦ the functions that K' and b' are expanded in; None for one weight a block, regularised as in E_n.
    order
        That of the value, and of weights and costates at the nodes, for smooth σ.
    """

    name: str
    tableau: Tableau
    basis: Callable[[int], Basis] | None
    order: int

    def coordinates(self, metric: Metric, depth: int) -> SharedCoordinates | CurveCoordinates:
        """u ↔ weights at the stages, with the regulariser |u|²; a depth is a whole number from 1 on."""
        checks.whole("depth", depth, least=1)
        if self.basis is None:
            return SharedCoordinates(metric, depth, self.tableau.stages)
        return CurveCoordinates(metric, self.basis(depth), self.tableau.times(depth))

    def energy(self, problem: Problem, depth: int) -> Energy:
        """The objective of u."""
        return Energy(problem, self.coordinates(problem.metric, depth), Flow(self.tableau, depth))


# heun:          weights on the nodes i/n, regulariser n Σ_{i=1}^n |Δθ|²
# rk4:           weights on the nodes i/(2n), with the values l, m, r at those of a block
#                (n/3)(7l² + 16m² + 7r² − 16lm − 16mr + 2lr), which is the integral over it
# rk4_half_grid: the same nodes, but 2n Σ|Δθ|²
# rk4_averaged:  weights on the nodes i/n, their mean for the two stages between
# heun_shared:   one weight for both stages, regulariser n Σ_{i=1}^{n−1} |Δθ|²
VARIANTS = {
    "heun": Variant("heun", HEUN, Hats, order=2),
    "rk4": Variant("rk4", KUTTA4, lambda n: Quadratics(2 * n), order=4),
    "rk4_half_grid": Variant("rk4_half_grid", KUTTA4, lambda n: Hats(2 * n), order=2),
    "rk4_averaged": Variant("rk4_averaged", KUTTA4, Hats, order=2),
    "heun_shared": Variant("heun_shared", HEUN, None, order=1),
}


def get(variant: str | Variant) -> Variant:
    """A variant by name; itself if it is one.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if isinstance(variant, Variant):
        return variant
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    return VARIANTS[variant]


def minimise(
    problem: Problem,
    depth: int,
    *,
    variant: str | Variant = "heun",
    start: Layers | Curve | None = None,
    seed: int = 0,
    tol: float = 1e-10,
) -> Minimum:
    """A certified local minimiser of a network of n blocks.

    Parameters
    ----------
    depth
        n ≥ 1.
    variant
        heun, rk4, rk4_half_grid, rk4_averaged or heun_shared; or a `Variant`.
    start
        Weights of any depth, or a curve; by default the random draw of `seed`.
    tol
        Norm of the gradient in u to reach, or ten times its estimated rounding error where that is larger.

    Returns
    -------
    Minimum
        Its control is a Curve, whose nodal values `control.at` gives; that of heun_shared is Layers.

    Raises
    ------
    ValueError, TypeError
        For a depth below 1 or not whole, an unknown variant, a start that does not fit the problem, and an activation
        with kinks, at which no block is of higher order.
    """
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    checks.kind("start", control, Layers, Curve)
    problem.metric.check(control)
    minimum = _minimise(problem, depth, get(variant), control, tol, near=False)
    return minimum if start is not None else replace(minimum, seed=seed)


def branch(
    problem: Problem,
    depths: Sequence[int],
    *,
    variant: str | Variant = "heun",
    start: Layers | Curve | None = None,
    seed: int = 0,
    tol: float = 1e-10,
) -> list[Minimum]:
    """One branch of minimisers, each the start of the next; one per depth."""
    minima: list[Minimum] = []
    for depth in depths:
        if minima:
            found = _minimise(problem, depth, get(variant), minima[-1].control, tol, near=True)
            minima.append(replace(found, seed=minima[0].seed))
        else:
            minima.append(minimise(problem, depth, variant=variant, start=start, seed=seed, tol=tol))
    return minima


def _check_smooth(problem: Problem) -> None:
    if not problem.smooth:
        raise ValueError(f"a block of higher order needs a smooth activation, got {problem.activation.name}")


def _minimise(
    problem: Problem, depth: int, variant: Variant, control: Layers | Curve, tol: float, near: bool
) -> Minimum:
    _check_smooth(problem)
    energy, coordinates = variant.energy(problem, depth), variant.coordinates(problem.metric, depth)
    return optimise.local_minimum(energy, coordinates.vector(control), coordinates.control, tol=tol, near=near)[0]


def objective(problem: Problem, control: Layers | Curve, depth: int, *, variant: str | Variant = "heun") -> float:
    """The objective of n blocks at given weights, projected onto those that the variant has."""
    problem.metric.check(control)
    coordinates = get(variant).coordinates(problem.metric, depth)
    return get(variant).energy(problem, depth)(coordinates.vector(control)).value


def costates(problem: Problem, control: Layers | Curve, depth: int, *, variant: str | Variant = "heun") -> Tensor:
    """p_k = ∂(data term)/∂X_k at the nodes k/n, shape (n + 1, S, d), by the adjoint of the blocks.

    That adjoint is the block's symplectic partner: p_k · dX_k is one number for all k.
    """
    problem.metric.check(control)
    coordinates, flow = get(variant).coordinates(problem.metric, depth), Flow(get(variant).tableau, depth)
    K, b, W, c = coordinates.weights(coordinates.vector(control))
    Y, Z = flow.forward(problem.data.x, K, b, problem.activation)
    end = problem.weight * problem.loss.gradient(torch.addmm(c, Y[-1], W.T), problem.y) @ W
    q, _, _ = flow.adjoint(flow.slopes(problem.activation, Z), K, end)
    blocks = (q @ K).unflatten(0, (depth, -1)).sum(1)
    later = torch.flip(torch.cumsum(torch.flip(blocks, (0,)), 0), (0,))
    return torch.cat([end + later, end[None]])


def value_constant(problem: Problem, limit: Minimum | Curve, *, variant: str | Variant = "heun") -> float:
    """C in min E = min E_∞ + C n^(−order) + …, predicted from the limit alone; not for rk4.

    With R = Σ_θ α_θ ∫|θ''|², the costate p and J = diag(σ') K it is

    - heun: Σ_s ∫ p·(X‴/12 − J X''/4) − R/12, the defects of the blocks and of the regulariser at the limit's nodal
      values, from which minimising moves the value at higher order only;
    - rk4_half_grid: −R/36, made of −R/48 from the regulariser and −R/144 from a zigzag −θ''/(24n²) of the midpoints,
      which pays because Simpson's rule weighs them twice as much as the nodes and the regulariser does not;
    - rk4_averaged: R/12, made of −R/12 and R/6 from the weights between the nodes;
    - heun_shared: ½ Σ_θ α_θ |θ'(0)|², because the first weight stands for t = 1/(2n) and not for 0.

    Raises
    ------
    ValueError
        For rk4, whose defect of order 4 is not written out here, and an activation with kinks.
    """
    curve, name = limit.control if isinstance(limit, Minimum) else limit, get(variant).name
    _check_smooth(problem)
    if name == "heun_shared":
        slopes = dict(zip(DEEP, curve.derivative(0.0), strict=True))
        return 0.5 * sum(problem.alpha[k] * float(slopes[k].square().sum()) for k in DEEP if k in problem.trainable)
    if name not in ("heun", "rk4_half_grid", "rk4_averaged"):
        raise ValueError(f"the constant is known for heun, rk4_half_grid, rk4_averaged and heun_shared, got {name}")
    defect, curvature = _second_order(problem, curve)
    return {"heun": defect - curvature / 12, "rk4_half_grid": -curvature / 36, "rk4_averaged": curvature / 12}[name]


@lru_cache(maxsize=16)  # one limit serves every depth of a sweep
def _second_order(problem: Problem, curve: Curve) -> tuple[float, float]:
    """Σ_s ∫ p·(X‴/12 − J X''/4) and R, with θ'' from 2 α_K K'' = Σ_s q_s X_sᵀ and 2 α_b b'' = Σ_s q_s."""
    points, weights = leggauss(GAUSS_POINTS)
    t = ((np.arange(PANELS)[:, None] + (points + 1) / 2) / PANELS).ravel()
    weight = torch.as_tensor(np.tile(weights / (2 * PANELS), PANELS))
    path, sigma = pontryagin.trajectory(problem, curve, t), problem.activation
    X, p = torch.as_tensor(path.X), torch.as_tensor(path.costate)
    (K, b), (dK, db) = curve.at(t), curve.derivative(t)
    Z = X @ K.mT + b[:, None]
    slope = sigma.first(Z)
    q = slope * p
    trained = {k: 0.5 / problem.alpha[k] if k in problem.trainable else 0.0 for k in DEEP}
    ddK, ddb = trained["K"] * (q.mT @ X), trained["b"] * q.sum(1)
    dX = sigma.value(Z)
    dZ = X @ dK.mT + dX @ K.mT + db[:, None]
    ddX = slope * dZ
    ddZ = X @ ddK.mT + 2 * dX @ dK.mT + ddX @ K.mT + ddb[:, None]
    dddX = sigma.second(Z) * dZ**2 + slope * ddZ
    defect = (p * (dddX / 12 - slope * (ddX @ K.mT) / 4)).sum((1, 2))
    curvature = problem.alpha["K"] * ddK.square().sum((1, 2)) + problem.alpha["b"] * ddb.square().sum(1)
    return float(weight @ defect), float(weight @ curvature)


def power(problem: Problem, depth: int, gamma: float) -> Problem:
    """The problem whose E_n, at this depth n alone, has n^γ in front of the differences instead of n.

    α (n^γ Σ|θ_i − θ_{i−1}|² + τ|θ_0|²) = α' (n Σ|θ_i − θ_{i−1}|² + τ'|θ_0|²) with α' = α n^{γ−1}, τ' = τ n^{1−γ}, for
    K and b. γ = 1 is the theorem's; below it the regulariser vanishes with depth, above it weights become constant.

    Raises
    ------
    ValueError, TypeError
        For a depth below 1 or not whole, and a γ that is no finite number.
    """
    factor = float(checks.whole("depth", depth, least=1)) ** (checks.number("gamma", gamma) - 1)
    return _rescaled(problem, problem.activation, factor)


def final_time(problem: Problem, time: float) -> Problem:
    """The same problem on [0, T], rescaled to [0, 1]: X' = Tσ(KX + b) and ∫₀ᵀ|θ̇|² = (1/T) ∫₀¹|θ'|².

    Hence α' = α/T and τ' = τT for K and b. A network of depth n takes steps T/n, X_i = X_{i−1} + (T/n) σ(KX + b),
    and is regularised by α ((n/T) Σ|θ_i − θ_{i−1}|² + τ|θ_0|²).

    Raises
    ------
    ValueError, TypeError
        For a T that is not a positive number.
    """
    factor = checks.positive("time", time)
    return _rescaled(problem, _multiple(problem.activation, factor), 1 / factor)


def _rescaled(problem: Problem, activation: Activation, factor: float) -> Problem:
    """‖θ'‖² multiplied by a factor, |θ(0)|² as it was."""
    return Problem(
        problem.data,
        activation=activation,
        loss=problem.loss,
        alpha={k: factor * v if k in DEEP else v for k, v in problem.alpha.items()},
        tau={k: v / factor for k, v in problem.tau.items()},
        trainable=problem.trainable,
        reduction=problem.reduction,
        drop_hypotheses=problem.drop_hypotheses,
    )


def _multiple(activation: Activation, factor: float) -> Activation:
    """factor · σ."""
    smoothed = activation.smoothed
    return replace(
        activation,
        name=activation.name if factor == 1 else f"{factor:g} {activation.name}",
        value=partial(_times, factor, activation.value),
        first=partial(_times, factor, activation.first),
        second=partial(_times, factor, activation.second),
        lipschitz=factor * activation.lipschitz,
        lipschitz_derivative=factor * activation.lipschitz_derivative,
        supremum=factor * activation.supremum,
        lipschitz_second=factor * activation.lipschitz_second,
        least_slope=factor * activation.least_slope,
        smoothed=None if smoothed is None else partial(_smoothed_multiple, activation, factor),
        scalar=activation.scalar if factor == 1 else None,
        arrays=activation.arrays if factor == 1 else None,
    )


def _times(factor: float, function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    return factor * function(z)


def _smoothed_multiple(activation: Activation, factor: float, width: float) -> Activation:
    assert activation.smoothed is not None
    return _multiple(activation.smoothed(width), factor)

"""Networks with the square of the weights as regulariser, in place of the square of their differences.

E_n with (1/n) Σ_{i=0}^{n−1} |θ_i|², the L² norm of the weights, for K and b: bounded weights, but none of the
compactness in depth that the theorem needs. It is the regulariser of most work on trained neural differential
equations. Without differences every layer has the same part in it, and permuting layers does not change it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from torch import Tensor

from deeplimit import checks, optimise
from deeplimit.control import DEEP, Curve, Layers
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.minimum import Minimum
from deeplimit.network import data_loss
from deeplimit.problem import Problem
from deeplimit.sweep import EULER, Flow


class RidgeCoordinates(LayerCoordinates):
    """u_i = √(α/n) θ_i: then (α/n) Σ|θ_i|² = |u|². The constants τ have no part in it."""

    def _scaling(self, block: str, stretch: float) -> tuple[np.ndarray, np.ndarray]:
        """√α / stretch for every layer, with stretch = √n."""
        if block not in DEEP:
            return super()._scaling(block, stretch)
        alpha = self.metric.alpha[block]
        root = math.sqrt(alpha) if alpha > 0 else 1.0
        return np.full(self.rows, root / stretch), np.full(self.rows, float(alpha > 0))

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Weights of the stages from coefficients."""
        return coefficients

    def analyse(self, gradient: Tensor) -> Tensor:
        """The transpose of `synthesise`."""
        return gradient

    @staticmethod
    def _increments(theta: Tensor) -> Tensor:
        return theta

    @staticmethod
    def _transposed_increments(g: Tensor) -> Tensor:
        return g


def _energy(problem: Problem, depth: int) -> tuple[Energy, RidgeCoordinates]:
    coordinates = RidgeCoordinates(problem.metric, depth)
    return Energy(problem, coordinates, Flow(EULER, depth)), coordinates


def objective(problem: Problem, layers: Layers) -> float:
    """w Σ_s L(h(z_s), y_s) + (1/n) Σ_i (α_K |K_i|² + α_b |b_i|²) + α_W |W|² + α_c |c|² over the trainable blocks.

    Raises
    ------
    ValueError, TypeError
        If the control is no network or does not fit the problem.
    """
    value = data_loss(problem, layers)
    coordinates = RidgeCoordinates(problem.metric, layers.depth)
    return value + float(np.sum((coordinates.penalty * coordinates.vector(layers)) ** 2))


def minimise(
    problem: Problem, depth: int, *, start: Layers | Curve | None = None, seed: int = 0, tol: float = 1e-10
) -> Minimum:
    """A certified local minimiser of `objective`; arguments and statuses as of `discrete.minimise`.

    Raises
    ------
    ValueError, TypeError
        For a depth below 1 or not whole, and a start that does not fit the problem.
    """
    checks.whole("depth", depth, least=1)
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    checks.kind("start", control, Layers, Curve)
    problem.metric.check(control)
    layers = control.sample(depth) if isinstance(control, Curve) else control.refine(depth)
    energy, coordinates = _energy(problem, depth)
    u = coordinates.vector(layers)
    if problem.activation.smooth:
        minimum, _ = optimise.local_minimum(energy, u, coordinates.control, tol=tol)
    else:
        minimum = optimise.local_minimum_kinked(
            energy, lambda width: _energy(problem.smoothed(width), depth)[0], u, coordinates.control, tol=tol
        )
    return minimum if start is not None else replace(minimum, seed=seed)

"""How robust a trained network, or the limit, is: the loss of inputs x_s + δ ξ without training again.

The noise of every sample is independent of the others', so that for ℓ_s(ξ) = L(h(W X(1; x_s + δξ) + c), y_s) the mean
of the data term is w Σ_s E ℓ_s and its variance w² Σ_s Var ℓ_s, w = 1 or 1/S.

Along minimisers Θ^(n) = Θ* + η/n + O(n⁻²) both tend to those of the limit at order 1, with constants that the limit
predicts (derived here, see `changes`). Unlike the constant of min E_n they depend on η, as Θ* minimises the loss
without noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deeplimit import checks, continuum, discrete, expansion
from deeplimit.continuum import STEPS_PER_TERM
from deeplimit.control import Curve, Layers
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.sweep import DORMAND_PRINCE8, Flow
from deeplimit.uncertainty import collocation
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion
from deeplimit.uncertainty.collocation import Quantity

STATES = 2**20  # numbers of the states that one sweep keeps
STAGES = DORMAND_PRINCE8.stages


def outputs(problem: Problem, control: Minimum | Layers | Curve, spread: float) -> Quantity:
    """ξ (P, d) ↦ z = W X(1; x_s + δξ) + c of every sample, (P, S, m), for δ = `spread`.

    Parameters
    ----------
    control
        A network, or a curve for the limit; a minimum stands for its control.

    Raises
    ------
    ValueError, TypeError
        If the control does not fit the problem, or the spread is not positive.
    """
    weights = control.control if isinstance(control, Minimum) else control
    checks.kind("control", weights, Layers, Curve)
    problem.metric.check(weights)
    checks.positive("spread, the size δ of the noise,", spread)

    def quantity(xi: np.ndarray) -> np.ndarray:
        shifted = problem.data.x + spread * torch.as_tensor(xi, dtype=torch.float64)[:, None]
        end = _ends(problem, weights, shifted.reshape(-1, problem.width))
        return (end @ weights.W.T + weights.c).reshape(len(xi), -1, problem.outputs).numpy()

    return quantity


def _ends(problem: Problem, control: Layers | Curve, x: Tensor) -> Tensor:
    """X(1), in blocks of inputs, as the sweeps keep the states of all layers or stages."""
    steps = control.depth if isinstance(control, Layers) else STEPS_PER_TERM * control.basis.size * STAGES
    blocks = x.split(max(1, STATES // (steps * problem.width)))
    if isinstance(control, Layers):
        return torch.cat([discrete.states(problem, control, block)[-1] for block in blocks])
    return torch.cat([continuum.states(problem, control, 1, block)[-1] for block in blocks])


def losses(problem: Problem, control: Minimum | Layers | Curve, spread: float) -> Quantity:
    """ξ (P, d) ↦ ℓ_s(ξ) = L(h(z_s), y_s), (P, S); arguments and errors as for `outputs`."""
    forward = outputs(problem, control, spread)

    def quantity(xi: np.ndarray) -> np.ndarray:
        z = torch.from_numpy(forward(xi))
        y = problem.y.expand(len(xi), *problem.y.shape)
        value = problem.loss.value(z.reshape(-1, problem.outputs), y.reshape(-1, problem.outputs))
        return value.reshape(len(xi), -1).numpy()

    return quantity


@dataclass(frozen=True, eq=False)
class Robustness:
    """The data term under noise.

    Attributes
    ----------
    loss
        ℓ_s(ξ), coefficients (N, S).
    mean, variance
        Of the data term: w Σ_s E ℓ_s and w² Σ_s Var ℓ_s.
    clean
        The data term without noise.
    tail
        The part of the variance, at most 1, that the highest total degree holds: an estimate of what is cut off.
    """

    loss: Expansion
    mean: float
    variance: float
    clean: float
    tail: float

    @property
    def excess(self) -> float:
        """What noise adds to the mean."""
        return self.mean - self.clean


def measure(problem: Problem, control: Minimum | Layers | Curve, spread: float, basis: Basis) -> Robustness:
    """Mean and variance of the data term under noise, by collocation of every ℓ_s.

    Parameters
    ----------
    basis
        Polynomials in d germs, those of the noise.

    Raises
    ------
    ValueError, TypeError
        If the basis has not d germs, and as for `outputs`.
    """
    if basis.dimension != problem.width:
        raise ValueError(f"the noise has a germ for each of {problem.width} features, got {basis.dimension} germs")
    loss = collocation.project(basis, losses(problem, control, spread))
    clean = losses(problem, control, spread)(np.zeros((1, problem.width)))
    highest = loss.coefficients[basis.indices.sum(1) == basis.degree]
    variance = float(loss.variance.sum())
    w = problem.weight
    tail = float((highest**2).sum()) / variance if variance > 0 else 0.0
    return Robustness(loss, w * float(loss.mean.sum()), w**2 * variance, w * float(clean.sum()), tail)


def changes(
    problem: Problem, limit: Minimum | Curve, spread: float, basis: Basis, nodes: int | None = None
) -> tuple[Expansion, Expansion]:
    """ℓ_s of the limit and λ_s, coefficients (N, S): with n layers the loss is ℓ_s + λ_s/n + O(n⁻²).

    λ_s = ∇L(z_s) · (W e_s(1) + η_W X_s(1) + η_c), where Θ^(n) = Θ* + η/n + O(n⁻²) and
    e' = D_x f e + σ'(KX + b) ∘ (η_K X + η_b) − X''/2, e(0) = 0, all at X_s(0) = x_s + δξ.

    Parameters
    ----------
    nodes
        Of Gauss's rule, in each germ.

    Raises
    ------
    ValueError
        If the limit is no nondegenerate minimiser; see `expansion.corrector`.
    """
    curve = limit.control if isinstance(limit, Minimum) else limit
    eta, rule = expansion.corrector(problem, curve), basis.rule(nodes)
    steps = STEPS_PER_TERM * curve.basis.size * STAGES
    blocks = (spread * torch.as_tensor(rule.xi)).split(max(1, STATES // (steps * problem.data.x.numel())))
    values = zip(*(_change(problem, curve, eta, block) for block in blocks), strict=True)
    loss, change = (collocation.fit(basis, rule, torch.cat(part).numpy()) for part in values)
    return loss, change


def constants(
    problem: Problem, limit: Minimum | Curve, spread: float, basis: Basis, nodes: int | None = None
) -> tuple[float, float]:
    """What n times the gaps of mean and variance between networks and limit tend to, from the limit alone.

    With the ℓ_s and λ_s of `changes`, arguments and errors as there,

        mean  w Σ_s E λ_s,   variance  2 w² Σ_s Cov(ℓ_s, λ_s).
    """
    loss, change = changes(problem, limit, spread, basis, nodes)
    w = problem.weight
    covariance = float((loss.coefficients[1:] * change.coefficients[1:]).sum())
    return w * float(change.mean.sum()), 2 * w**2 * covariance


def _change(problem: Problem, curve: Curve, eta: Curve, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """ℓ_s and λ_s of the inputs with P shifts (P, d), (P, S) each."""
    flow, activation = Flow(DORMAND_PRINCE8, STEPS_PER_TERM * curve.basis.size, graded=True), problem.activation
    (K, b), (dK, db), (eta_K, eta_b) = curve.at(flow.times), curve.derivative(flow.times), eta.at(flow.times)
    x, y = (problem.data.x + shifts[:, None]).reshape(-1, problem.width), problem.y.repeat(len(shifts), 1)
    Y, Z = flow.forward(x, K, b, activation)
    X = Y[:-1]
    defect = -0.5 * (X @ dK.mT + activation.value(Z) @ K.mT + db[:, None])
    e, _ = flow.tangent(flow.slopes(activation, Z), K, defect + X @ eta_K.mT + eta_b[:, None])
    z = Y[-1] @ curve.W.T + curve.c
    moved = e[-1] @ curve.W.T + Y[-1] @ eta.W.T + eta.c
    loss, change = problem.loss.value(z, y), (problem.loss.gradient(z, y) * moved).sum(1)
    return loss.reshape(len(shifts), -1), change.reshape(len(shifts), -1)

"""The data term Φ(θ) = w Σ_s L(h(z_s(θ)), y_s) of a chain, and Lipschitz constants of Φ and ∇Φ over a region.

With D ≥ ‖∂z/∂θ‖, H ≥ ‖∂²z/∂θ²‖ and φ(z) = L(h(z), y), by the chain rule

    |∇Φ| ≤ w Σ_s sup|∇φ| D_s,      ‖∇²Φ‖ ≤ w Σ_s (sup‖∇²φ‖ D_s² + sup|∇φ| H_s),

the suprema over the outputs z that the region reaches. Derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deeplimit import checks
from deeplimit import loss as losses
from deeplimit.data import Data
from deeplimit.lipschitz.bounds import bound
from deeplimit.lipschitz.chain import Chain
from deeplimit.lipschitz.region import Set
from deeplimit.loss import Loss

SIGMOID_SECOND = 1 / (6 * math.sqrt(3))  # sup |s''| of the logistic sigmoid, the largest third cumulant on [0, 1]


@dataclass(frozen=True, eq=False)
class Slopes:
    """sup |∇φ|, sup ‖∇²φ‖ and sup ‖∇³φ‖ over a ball of outputs, one per sample, each (S,)."""

    first: Tensor
    second: Tensor
    third: Tensor


def slopes(loss: Loss, z: Tensor, y: Tensor, distance: Tensor) -> Slopes:
    """Suprema over all outputs within `distance` (S,) of z (S, m), for labels y (S, m).

    - squared: 2 |z − y| + 2 distance, 2, 0;
    - logistic: |∇φ| by the ends of the interval of each z_j, as s increases; sup s' on them; sup |s''|;
    - softmax: the smaller of |∇φ(z)| + ½ distance and √2; ½ and √2/(3√3), since v·∇²φ v and ∇³φ[v, v, v] are the
      second and third cumulants of v_j under p = softmax z, whose values lie within √2 of each other for |v| = 1.

    Raises
    ------
    ValueError
        For another loss, of which no bounds are known.
    """
    one = torch.ones_like(distance)
    if loss.name == "squared":
        return Slopes(2 * (z - y).norm(dim=1) + 2 * distance, 2 * one, 0 * one)
    if loss.name == "logistic":
        low, high = z - distance[:, None], z + distance[:, None]
        ends = torch.maximum((torch.sigmoid(low) - y).abs(), (torch.sigmoid(high) - y).abs())
        nearest = torch.maximum(torch.maximum(low, -high), torch.zeros_like(z)).amin(1)
        steepest = torch.sigmoid(nearest) * torch.sigmoid(-nearest)
        return Slopes(ends.norm(dim=1), steepest, SIGMOID_SECOND * one)
    if loss.name == "softmax":
        near = loss.gradient(z, y).norm(dim=1) + distance / 2
        return Slopes(near.clamp(max=math.sqrt(2)), one / 2, math.sqrt(8) * SIGMOID_SECOND * one)
    raise ValueError(f"bounds are known for the losses {', '.join(losses.BUILT_IN)}, got {loss.name!r}")


@dataclass(frozen=True, eq=False)
class Constants:
    """Lipschitz constants of Φ and of ∇Φ."""

    value: float
    gradient: float


@dataclass(frozen=True, eq=False)
class Objective:
    """Φ of a chain: values and gradients by automatic differentiation, constants by `bounds`.

    Parameters
    ----------
    reduction
        "sum" or "mean" over the samples.

    Raises
    ------
    ValueError, TypeError
        Where data and chain do not fit, the labels suit the loss not, or the reduction is unknown.
    """

    chain: Chain
    data: Data
    loss: Loss
    reduction: str = "mean"

    def __post_init__(self) -> None:
        checks.kind("chain", self.chain, Chain)
        checks.kind("data", self.data, Data)
        if self.reduction not in ("sum", "mean"):
            raise ValueError(f"reduction must be 'sum' or 'mean', got {self.reduction!r}")
        widths = (self.chain.layers[0].inputs, self.chain.layers[-1].outputs)
        if widths != (self.data.width, self.y.shape[1]):
            raise ValueError(
                f"data with {self.data.width} features and {self.y.shape[1]} outputs want another chain than one from "
                f"{widths[0]} to {widths[1]}"
            )

    @property
    def y(self) -> Tensor:
        """The labels as the loss expects them."""
        return self.loss.labels(self.data.y)

    @property
    def weight(self) -> float:
        """w."""
        return 1.0 / self.data.points if self.reduction == "mean" else 1.0

    def losses(self, theta: Tensor) -> Tensor:
        """L(h(z_s), y_s) for every sample, (S,); (R, S) for a batch of parameters (R, P)."""
        return self.loss.value(self.chain(theta, self.data.x), self.y)

    def values(self, theta: Tensor) -> Tensor:
        """Φ at every row of θ (R, P), as one output of a function for `ascent`, (R, 1)."""
        return self.weight * self.losses(theta).sum(-1, keepdim=True)

    def __call__(self, theta: Tensor) -> tuple[float, Tensor]:
        """Φ and ∇Φ at θ (P,)."""
        point = theta.detach().requires_grad_()
        value = self.weight * self.losses(point).sum()
        (gradient,) = torch.autograd.grad(value, point)
        return float(value.detach()), gradient

    def sample_gradients(self, theta: Tensor) -> Tensor:
        """∇ L(h(z_s), y_s) for every sample, (S, P); w times their sum is ∇Φ."""
        return torch.func.jacrev(self.losses)(theta)

    def constants(self, region: Set) -> Constants:
        """Lipschitz constants of Φ and ∇Φ over a region of the chain's parameters.

        Raises
        ------
        ValueError
            For an activation without a Lipschitz derivative, and another loss than squared, logistic and softmax.
        """
        found = bound(region, self.data.x)
        if region.middle is None:
            z, distance = torch.zeros_like(self.y), found.state
        else:
            theta, radius = region.middle
            z, distance = self.chain(theta, self.data.x), found.first * radius
        sup = slopes(self.loss, z, self.y, distance)
        first = self.weight * float((sup.first * found.first).sum())
        return Constants(first, self.weight * float((sup.second * found.first**2 + sup.first * found.second).sum()))

"""The objective in H¹ coordinates, E(u) = w Σ_s L(h(W X_s(1) + c), y_s) + |u|², with gradient and Hessian product.

`Energy` is E_n with the Euler flow and `LayerCoordinates`, E_∞ with a high-order flow and `CurveCoordinates`. The
gradient is one forward and one adjoint sweep, a Hessian product one tangent and one second adjoint sweep; the factors
they share are kept from one product to the next. Nothing is recorded on an autograd tape. Loading this module sets the
number of compute threads, as `threads` says.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from deeplimit import threads
from deeplimit.control import Weights
from deeplimit.coordinates import Coordinates
from deeplimit.problem import Problem
from deeplimit.sweep import Flow

threads.use(threads.wanted())


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Σ_s a_s b_sᵀ for every layer: (T, S, p) and (T, S, q) to (T, p, q)."""
    return a.mT @ b


class DataTerm:
    """w Σ_s L(h(W X_s(1) + c), y_s) at fixed weights, with first and second derivatives in the weights at the stages.

    Memory: Y and Z (forward), then D, C, q and λ (gradient), dY, dZ and two sources (Hessian product), each T·S·d
    doubles, and a few (T, d, d): linear in depth × points × width.
    """

    def __init__(self, problem: Problem, flow: Flow, weights: Weights) -> None:
        device = weights.W.device
        self.problem, self.flow, self.weights = problem, flow, weights
        self.x, self.y = problem.data.x.to(device), problem.y.to(device)
        self.Y, self.Z = flow.forward(self.x, weights.K, weights.b, problem.activation)

    @property
    def X(self) -> Tensor:
        """The last state X(1), shape (S, d)."""
        return self.Y[-1]

    @cached_property
    def output(self) -> Tensor:
        """z = W X(1) + c, shape (S, m)."""
        return torch.addmm(self.weights.c, self.X, self.weights.W.T)

    @cached_property
    def value(self) -> float:
        """The data term."""
        return self.problem.weight * float(self.problem.loss.value(self.output, self.y).sum())

    @cached_property
    def _output_gradient(self) -> Tensor:
        return self.problem.weight * self.problem.loss.gradient(self.output, self.y)

    @cached_property
    def _adjoint(self) -> tuple[Tensor, Tensor, Tensor]:
        """D = h σ'(Z), then q and λ of the adjoint sweep."""
        D = self.flow.scaled(self.problem.activation.first(self.Z))
        q, lam, _ = self.flow.adjoint(D, self.weights.K, self._output_gradient @ self.weights.W)
        return D, q, lam

    @cached_property
    def gradient(self) -> Weights:
        """dE/dK_i = Σ_s q_{s,i} Y_{s,i}ᵀ, dE/db_i = Σ_s q_{s,i}, dE/dW = Σ_s g_s X_s(1)ᵀ, dE/dc = Σ_s g_s."""
        _, q, _ = self._adjoint
        g = self._output_gradient
        return Weights(_outer(q, self.Y[:-1]), q.sum(1), g.T @ self.X, g.sum(0))

    @cached_property
    def _curvature(self) -> Tensor:
        """C = h σ''(Z) ∘ λ, how q changes with Z."""
        return self.flow.scaled(self.problem.activation.second(self.Z) * self._adjoint[2])

    def product(self, v: Weights) -> Weights:
        """The Hessian applied to a direction v of the weights: the gradient's derivative along v."""
        D, q, _ = self._adjoint
        K, W, g = self.weights.K, self.weights.W, self._output_gradient
        dY, dZ = self.flow.tangent(D, K, torch.baddbmm(v.b.unsqueeze(1), self.Y[:-1], v.K.mT))
        dz = torch.addmm(v.c, dY[-1], W.T) + self.X @ v.W.T
        dg = self.problem.weight * self.problem.loss.product(self.output, self.y, dz)
        dq, _, _ = self.flow.adjoint(D, K, dg @ W + g @ v.W, (self._curvature * dZ, q @ v.K))
        return Weights(
            _outer(dq, self.Y[:-1]) + _outer(q, dY[:-1]),
            dq.sum(1),
            dg.T @ self.X + g.T @ dY[-1],
            dg.sum(0),
        )


class Point:
    """E at one u: value, gradient and Hessian products, each computed when first asked for."""

    def __init__(self, energy: Energy, u: np.ndarray) -> None:
        self._coordinates, self._group, self._u = energy.coordinates, energy.problem.group, u
        self._term = DataTerm(energy.problem.part, energy.flow, energy.coordinates.weights(u))

    def _sum(self, part: np.ndarray, *context: str | np.ndarray) -> np.ndarray:
        """Over the ranks that share the samples, which must be at the same u."""
        return self._group.sum(part, self._u, *context)

    @cached_property
    def data_loss(self) -> float:
        """The data term alone."""
        return float(self._sum(np.array([self._term.value]), "value")[0])

    @cached_property
    def value(self) -> float:
        """E(u)."""
        return self.data_loss + float(np.sum((self._coordinates.penalty * self._u) ** 2))

    @cached_property
    def gradient(self) -> np.ndarray:
        """∂E/∂u = 2u + (data term)."""
        data = self._sum(self._coordinates.collect(self._term.gradient), "gradient")
        return 2 * self._coordinates.penalty * self._u + data

    def product(self, v: np.ndarray) -> np.ndarray:
        """Hessian times v = 2v + (data term)."""
        direction = self._coordinates.weights(v, fixed=False)
        data = self._sum(self._coordinates.collect(self._term.product(direction)), "product", v)
        return 2 * self._coordinates.penalty * v + data


class Energy:
    """E as a function of u: `Energy(problem, coordinates, flow)(u)` is a `Point`."""

    def __init__(self, problem: Problem, coordinates: Coordinates, flow: Flow) -> None:
        self.problem, self.coordinates, self.flow = problem, coordinates, flow

    def __call__(self, u: np.ndarray) -> Point:
        return Point(self, u)

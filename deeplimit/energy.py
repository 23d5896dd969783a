"""The objective in H¹ coordinates, E(u) = w Σ_s L(h(W X_s(1) + c), y_s) + |u|², with gradient and Hessian product.

`Energy` is E_n with the Euler flow and `LayerCoordinates`, E_∞ with a high-order flow and `CurveCoordinates`. The
gradient is one forward and one adjoint sweep, a Hessian product one tangent and one second adjoint sweep; the factors
they share are kept from one product to the next. Nothing is recorded on an autograd tape. Loading this module sets the
number of compute threads, as `threads` says, and keeps freed memory, as `memory` says.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deeplimit import checks, memory, own, tape, threads
from deeplimit.activation import Activation
from deeplimit.control import Weights
from deeplimit.coordinates import Coordinates
from deeplimit.problem import Problem
from deeplimit.sweep import Flow, products
from deeplimit.tape import Cut, Tape

threads.use(threads.wanted())
memory.keep()


def _state_bytes(problem: Problem) -> int:
    """The bytes of one state, with a layer of the user's so many more that its Jacobians count as well."""
    states = problem.samples.x.nbytes
    return states if problem.layer is None else states + states * problem.width // tape.SHARED


def _like(theta: Tensor) -> Tensor:
    """Room for a derivative in the weights θ, which may be one row that stands for many."""
    return theta.new_empty(theta.shape)


class States:
    """The forward sweep through a piece: Y and Z; D = h σ'(Z)."""

    def __init__(self, flow: Flow, activation: Activation, K: Tensor, b: Tensor, start: Tensor) -> None:
        self.flow, self.activation, self.K = flow, activation, K
        self.Y, self.Z = flow.forward(start, K, b, activation)

    @property
    def end(self) -> Tensor:
        """The state that the piece ends in."""
        return self.Y[-1]

    @cached_property
    def D(self) -> Tensor:
        """h σ'(Z), how the slopes change with Z."""
        return self.flow.slopes(self.activation, self.Z)

    def costates(self, start: Tensor) -> Costates:
        """The adjoint sweep back through the piece."""
        return Costates(self, start)

    def tangents(self, K: Tensor, b: Tensor, start: Tensor) -> Tangents:
        """The tangent sweep along a direction of the weights."""
        return Tangents(self, K, b, start)


def states(problem: Problem, flow: Flow, K: Tensor, b: Tensor, start: Tensor) -> Any:
    """The forward sweep with the layer of a problem: σ(KX + b), or one of the user's, with θ in the place of b."""
    if problem.layer is not None:
        return own.States(flow, problem.layer, b, start)
    return States(flow, problem.activation, K, b, start)


class Costates:
    """The adjoint sweep back through a piece: q, λ and the costate `end` of its first state; C = h σ''(Z) ∘ λ."""

    def __init__(self, states: States, start: Tensor) -> None:
        self.states = states
        self.q, self.lam, self.end = states.flow.adjoint(states.D, states.K, start)

    @cached_property
    def C(self) -> Tensor:
        """h σ''(Z) ∘ λ, how q changes with Z."""
        return self.states.flow.bends(self.states.activation, self.states.Z).mul_(self.lam)

    def gather(self, K: Tensor, b: Tensor) -> None:
        """The gradient in the weights, Σ_s q_s Y_sᵀ and Σ_s q_s."""
        products(self.q.mT, self.states.Y[:-1], out=K)
        torch.sum(self.q, 1, out=b)

    def second(self, tangents: Tangents, K: Tensor, b: Tensor, start: Tensor) -> SecondCostates:
        """The second adjoint sweep along the same direction as the tangents."""
        return SecondCostates(self, tangents, K, start)


class Tangents:
    """The tangent sweep through a piece: dY and dZ along a direction (K, b) of its weights."""

    def __init__(self, states: States, K: Tensor, b: Tensor, start: Tensor) -> None:
        source = products(states.Y[:-1], K.mT.contiguous()).add_(b.unsqueeze(1))
        self.dY, self.dZ = states.flow.tangent(states.D, states.K, source, start)

    @property
    def end(self) -> Tensor:
        """The tangent that the piece ends in."""
        return self.dY[-1]


class SecondCostates:
    """The second adjoint sweep back through a piece: dq along a direction of its weights, by C ∘ dZ and q·K."""

    def __init__(self, costates: Costates, tangents: Tangents, K: Tensor, start: Tensor) -> None:
        self.costates, self.tangents = costates, tangents
        states, sources = costates.states, (costates.C * tangents.dZ, products(costates.q, K))
        self.dq, _, self.end = states.flow.adjoint(states.D, states.K, start, sources)

    def gather(self, K: Tensor, b: Tensor) -> None:
        """The derivative of the gradient in the weights."""
        products(self.dq.mT, self.costates.states.Y[:-1], out=K)
        K.add_(products(self.costates.q.mT, self.tangents.dY[:-1]))
        torch.sum(self.dq, 1, out=b)


class DataTerm:
    """w Σ_s L(h(W X_s(1) + c), y_s) at fixed weights, with first and second derivatives in the weights at the stages.

    Depth is gone through in the pieces of a cut, by default one that keeps what the sweeps leave in them; `tape` says
    what others cost.
    """

    def __init__(self, problem: Problem, flow: Flow, weights: Weights, cut: Cut | None = None) -> None:
        device = weights.W.device
        self.problem, self.flow, self.weights = problem, flow, weights
        self.x, self.y = problem.data.x.to(device), problem.y.to(device)
        self.cut = cut = cut or tape.cut(flow, _state_bytes(problem))

        K, b = ([theta[at] for at in cut.stages] for theta in (weights.K, weights.b))
        self._states = Tape(lambda i, start: states(problem, cut.parts[i], K[i], b[i], start), cut.order, cut.keep)
        self.X = self._states.run(self.x)

    @property
    def Y(self) -> Tensor:
        """The stage inputs of the whole depth, shape (T + 1, S, d)."""
        return torch.cat([*(self._states[i].Y[:-1] for i in self.cut.order), self.X[None]])

    @property
    def Z(self) -> Tensor:
        """The arguments of σ of the whole depth, shape (T, S, d)."""
        return torch.cat([self._states[i].Z for i in self.cut.order])

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
    def _backward(self) -> tuple[Tape[Any], Weights]:
        """The adjoint sweep, and the gradient that it gathers on its way."""
        states, g = self._states, self._output_gradient
        costates = Tape(lambda i, start: states[i].costates(start), self.cut.order[::-1], self.cut.keep)
        gradient = Weights(_like(self.weights.K), _like(self.weights.b), g.T @ self.X, g.sum(0))

        def gather(i: int) -> None:
            at = self.cut.stages[i]
            costates[i].gather(gradient.K[at], gradient.b[at])

        costates.run(g @ self.weights.W, gather)
        return costates, gradient

    @property
    def gradient(self) -> Weights:
        """dE/dK_i = Σ_s q_{s,i} Y_{s,i}ᵀ, dE/db_i = Σ_s q_{s,i}, dE/dW = Σ_s g_s X_s(1)ᵀ, dE/dc = Σ_s g_s."""
        return self._backward[1]

    def product(self, v: Weights) -> Weights:
        """The Hessian applied to a direction v of the weights: the gradient's derivative along v."""
        states, (costates, _), cut = self._states, self._backward, self.cut
        W, g = self.weights.W, self._output_gradient
        K, b = ([theta[at] for at in cut.stages] for theta in (v.K, v.b))
        tangents = Tape(lambda i, start: states[i].tangents(K[i], b[i], start), cut.order, cut.keep)
        second = Tape(lambda i, start: costates[i].second(tangents[i], K[i], b[i], start), cut.order[::-1], False)
        dX = tangents.run(torch.zeros_like(self.x))
        dz = torch.addmm(v.c, dX, W.T) + self.X @ v.W.T
        dg = self.problem.weight * self.problem.loss.product(self.output, self.y, dz)
        product = Weights(_like(v.K), _like(v.b), dg.T @ self.X + g.T @ dX, dg.sum(0))

        def gather(i: int) -> None:
            at = cut.stages[i]
            second[i].gather(product.K[at], product.b[at])

        second.run(dg @ W + g @ v.W, gather)
        return product


class Point:
    """E at one u: value, gradient and Hessian products, each computed when first asked for."""

    def __init__(self, energy: Energy, u: np.ndarray) -> None:
        self._coordinates, self._group, self._u = energy.coordinates, energy.problem.group, u
        weights = energy.coordinates.weights(u)
        self._term = DataTerm(energy.problem.part, energy.flow, weights, energy.cut)

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
    """E as a function of u: `Energy(problem, coordinates, flow)(u)` is a `Point`.

    Parameters
    ----------
    memory_limit
        Bytes that the sweeps may leave in depth, at one point; None for no limit. What does not fit is made again from
        states between pieces of depth, and the numbers are the same. What torch.func takes for a layer of the user's
        while it differentiates a piece is not counted.

    Raises
    ------
    TypeError, ValueError
        If the limit is no positive number, or too small.
    """

    def __init__(
        self, problem: Problem, coordinates: Coordinates, flow: Flow, memory_limit: float | None = None
    ) -> None:
        self.problem, self.coordinates, self.flow = problem, coordinates, flow
        limit = None if memory_limit is None else checks.positive("memory_limit", memory_limit)
        self.cut = tape.cut(flow, _state_bytes(problem), limit)

    def __call__(self, u: np.ndarray) -> Point:
        """The objective at u, ready for value, gradient and Hessian products."""
        return Point(self, u)

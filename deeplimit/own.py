"""Sweeps through a piece of depth with a layer of one's own, as those of `energy` are with σ(KX + b).

The recursions of `sweep` for the linearised flow ask for ∂f/∂x of every sample, where σ(KX + b) has one K for all. θ
stands in the place of b, and K is empty.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from deeplimit.layer import Layer
from deeplimit.sweep import Flow


class States:
    """The forward sweep: Y; A = ∂f/∂x."""

    def __init__(self, flow: Flow, layer: Layer, theta: Tensor, start: Tensor) -> None:
        self.flow, self.layer, self.theta = flow, layer, theta
        self.Y = flow.march(layer.value, start, theta)

    @property
    def end(self) -> Tensor:
        """The state that the piece ends in."""
        return self.Y[-1]

    @cached_property
    def A(self) -> Tensor:
        """∂f/∂x, shape (T, S, d, d)."""
        return self.layer.jacobian(self.Y[:-1], self.theta)

    @cached_property
    def D(self) -> Tensor:
        """h for every stage, sample and feature."""
        return self.flow.scaled(torch.ones_like(self.Y[:-1]))

    def costates(self, start: Tensor) -> Costates:
        """The adjoint sweep back through the piece."""
        return Costates(self, start)

    def tangents(self, K: Tensor, theta: Tensor, start: Tensor) -> Tangents:
        """The tangent sweep along a direction of the parameters."""
        return Tangents(self, theta, start)


class Costates:
    """The adjoint sweep back through a piece: q = hλ and the costate `end` of its first state."""

    def __init__(self, states: States, start: Tensor) -> None:
        self.states = states
        self.q, _, self.end = states.flow.adjoint(states.D, states.A, start)

    def gather(self, K: Tensor, theta: Tensor) -> None:
        """The gradient in the parameters, Σ_s (∂f/∂θ)ᵀ q_s."""
        states = self.states
        theta.copy_(states.layer.pull(states.Y[:-1], states.theta, self.q)[1])

    def second(self, tangents: Tangents, K: Tensor, theta: Tensor, start: Tensor) -> SecondCostates:
        """The second adjoint sweep along the same direction as the tangents."""
        return SecondCostates(self, tangents, theta, start)


class Tangents:
    """The tangent sweep through a piece: dY along a direction of its parameters."""

    def __init__(self, states: States, theta: Tensor, start: Tensor) -> None:
        source = states.layer.along(states.Y[:-1], states.theta, None, theta)
        self.dY, _ = states.flow.tangent(states.D, states.A, source, start)

    @property
    def end(self) -> Tensor:
        """The tangent that the piece ends in."""
        return self.dY[-1]


class SecondCostates:
    """The second adjoint sweep back through a piece: dq, with the second derivatives of q · f as its source."""

    def __init__(self, costates: Costates, tangents: Tangents, theta: Tensor, start: Tensor) -> None:
        states = self.states = costates.states
        bend, self._weights = states.layer.bend(states.Y[:-1], states.theta, costates.q, tangents.dY[:-1], theta)
        self.dq, _, self.end = states.flow.adjoint(states.D, states.A, start, (torch.zeros_like(bend), bend))

    def gather(self, K: Tensor, theta: Tensor) -> None:
        """The derivative of the gradient in the parameters."""
        states = self.states
        theta.copy_(states.layer.pull(states.Y[:-1], states.theta, self.dq)[1].add_(self._weights))

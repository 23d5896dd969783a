"""Chains of layers x ↦ a x + h σ(A x + b): feed-forward networks of any widths, and residual networks with a head.

The parameters θ of all layers are one vector, which a batch of networks may share as rows. The parameters of a layer
with step h stand in it multiplied by √h, so that for a residual network |θ|² = (1/n) Σ_i |(A_i, b_i)|² + |head|²: the
squared norm of L²(0, 1) over depth, for a feed-forward network (h = 1) the sum of all squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.control import Layers


@dataclass(frozen=True, eq=False)
class Layer:
    """x ↦ a x + h σ(A x + b), A (outputs, inputs), b (outputs,); without `bias` b is 0 and no parameter.

    Parameters
    ----------
    skip
        Whether a = 1, which wants as many outputs as inputs; else a = 0.
    step
        h > 0.

    Raises
    ------
    ValueError, TypeError
        For widths below 1, a step that is not positive, and a skip between different widths.
    """

    inputs: int
    outputs: int
    activation: Activation
    bias: bool = True
    skip: bool = False
    step: float = 1.0

    def __post_init__(self) -> None:
        checks.whole("inputs", self.inputs, least=1)
        checks.whole("outputs", self.outputs, least=1)
        checks.positive("step", self.step)
        if self.skip and self.inputs != self.outputs:
            raise ValueError(f"a skip wants as many outputs as inputs, got {self.outputs} and {self.inputs}")

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self.outputs * (self.inputs + self.bias)

    def __call__(self, x: Tensor, A: Tensor, b: Tensor) -> Tensor:
        """x (…, S, inputs) to (…, S, outputs)."""
        slope = self.step * self.activation.value(x @ A.mT + b.unsqueeze(-2))
        return x + slope if self.skip else slope


Weights = list[tuple[Tensor, Tensor]]  # (A_i, b_i) of every layer, (…, outputs, inputs) and (…, outputs)


@dataclass(frozen=True, eq=False)
class Chain:
    """A network z = x_l, x_i = layer i of x_{i−1}, x_0 = x.

    Raises
    ------
    ValueError
        Without layers, or where a layer's inputs are not the outputs of the one before.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a chain needs at least one layer, got none")
        for before, after in pairwise(self.layers):
            if before.outputs != after.inputs:
                raise ValueError(f"a layer with {before.outputs} outputs cannot feed one with {after.inputs} inputs")

    @cached_property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(layer.size for layer in self.layers)

    def split(self, theta: Tensor) -> Weights:
        """θ (…, P) to A_i (…, outputs, inputs) and b_i (…, outputs), which is 0 where there is no bias."""
        if theta.shape[-1] != self.size:
            raise ValueError(f"this chain has {self.size} parameters, got {theta.shape[-1]}")
        weights, start = [], 0
        for layer in self.layers:
            row = theta[..., start : start + layer.size] / math.sqrt(layer.step)
            entries = layer.outputs * layer.inputs
            A = row[..., :entries].unflatten(-1, (layer.outputs, layer.inputs))
            b = row[..., entries:] if layer.bias else row.new_zeros(*row.shape[:-1], layer.outputs)
            weights.append((A, b))
            start += layer.size
        return weights

    def join(self, weights: Weights) -> Tensor:
        """The inverse of `split`."""
        parts = []
        for layer, (A, b) in zip(self.layers, weights, strict=True):
            rows = [A.flatten(-2), b] if layer.bias else [A.flatten(-2)]
            parts.append(math.sqrt(layer.step) * torch.cat(rows, -1))
        return torch.cat(parts, -1)

    def states(self, theta: Tensor, x: Tensor) -> list[Tensor]:
        """x_0 … x_l at parameters θ (…, P) and inputs x (S, inputs): each (…, S, width), x_0 (S, inputs)."""
        path = [x]
        for layer, (A, b) in zip(self.layers, self.split(theta), strict=True):
            path.append(layer(path[-1], A, b))
        return path

    def __call__(self, theta: Tensor, x: Tensor) -> Tensor:
        """z (…, S, outputs)."""
        return self.states(theta, x)[-1]


def feedforward(
    widths: Sequence[int], activation: str | Activation = "tanh", last: str | Activation = "identity", bias: bool = True
) -> Chain:
    """x_i = σ(A_i x_{i−1} + b_i) with the given widths, that of the inputs first; `last` is σ of the last layer.

    Raises
    ------
    ValueError
        For fewer than two widths, or one below 1.
    """
    if len(widths) < 2:
        raise ValueError(f"widths must name those of the inputs and of at least one layer, got {list(widths)}")
    sigmas = [activations.get(activation)] * (len(widths) - 2) + [activations.get(last)]
    return Chain(tuple(Layer(i, o, s, bias) for (i, o), s in zip(pairwise(widths), sigmas, strict=True)))


def residual(
    depth: int, width: int, outputs: int | None = None, activation: str | Activation = "tanh", bias: bool = True
) -> Chain:
    """x_i = x_{i−1} + (1/n) σ(A_i x_{i−1} + b_i), i = 1 … n; with `outputs` a head z = W x_n + c, else z = x_n."""
    steps = checks.whole("depth", depth, least=1)
    block = Layer(width, width, activations.get(activation), bias, skip=True, step=1 / steps)
    head = () if outputs is None else (Layer(width, outputs, activations.get("identity"), bias),)
    return Chain((block,) * steps + head)


def parameters(chain: Chain, layers: Layers) -> Tensor:
    """θ of a residual chain with a head, both with biases, that has the weights of a control."""
    weights = [*zip(layers.K, layers.b, strict=True), (layers.W, layers.c)]
    wanted = [(layer.outputs, layer.inputs) for layer in chain.layers]
    if [tuple(A.shape) for A, _ in weights] != wanted or not all(layer.bias for layer in chain.layers):
        raise ValueError("the weights are those of another network than the chain; use residual(depth, width, outputs)")
    return chain.join(weights)

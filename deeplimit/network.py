"""E_n at given weights, and the network itself as a module.

X_i = X_{i−1} + (1/n) σ(K_{i−1} X_{i−1} + b_{i−1}),  X_0 = x,  z = W X_n + c,
E_n = w Σ_s L(h(z_s), y_s)
    + Σ_{θ ∈ {K, b}} α_θ (n Σ_{i=1}^{n−1} |θ_i − θ_{i−1}|² + τ_θ |θ_0|²) + α_W |W|² + α_c |c|².
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from deeplimit import checks, energy
from deeplimit.activation import Activation
from deeplimit.control import BLOCKS, Layers, Weights
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import DataTerm
from deeplimit.layer import Layer
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.sweep import EULER, Flow


def _term(problem: Problem, layers: Layers) -> tuple[DataTerm, LayerCoordinates]:
    checks.kind("layers", layers, Layers)
    problem.metric.check(layers)
    weights = Weights(layers.K, layers.b, layers.W, layers.c)
    return DataTerm(problem, Flow(EULER, layers.depth), weights), LayerCoordinates(
        problem.metric, layers.depth, layers.K.device
    )


def objective(problem: Problem, layers: Layers) -> float:
    """E_n(Θ); the regulariser counts the trainable blocks.

    Raises
    ------
    ValueError
        If the control does not fit the problem.
    """
    term, coordinates = _term(problem, layers)
    return term.value + float(np.sum((coordinates.penalty * coordinates.vector(layers)) ** 2))


def data_loss(problem: Problem, layers: Layers) -> float:
    """w Σ_s L(h(z_s), y_s) alone."""
    return _term(problem, layers)[0].value


def states(problem: Problem, layers: Layers, x: Tensor | None = None) -> Tensor:
    """X_0 … X_n, shape (n + 1, S, d), started at the inputs x (S, d), by default the data's."""
    checks.kind("layers", layers, Layers)
    problem.metric.check(layers)
    start = (problem.data.x if x is None else x).to(layers.K.device)
    return energy.states(problem, Flow(EULER, layers.depth), layers.K, layers.b, start).Y


def costates(problem: Problem, layers: Layers) -> tuple[Tensor, Tensor]:
    """The discrete adjoint: p_n = w Wᵀ g_s, p_i = p_{i+1} + (1/n) K_iᵀ q_i, q_i = σ'(K_i X_i + b_i) ∘ p_{i+1}.

    p_{s,i} is the derivative of the data term with respect to X_{s,i}.

    Returns
    -------
    p : (n + 1, S, d);  q : (n, S, d)
    """
    term, _ = _term(problem, layers)
    slope = problem.activation.first(term.Z)
    end = problem.weight * problem.loss.gradient(term.output, term.y) @ layers.W
    _, later, first = term.flow.adjoint(term.flow.scaled(slope), layers.K, end)
    return torch.cat([first[None], later]), slope * later


def gradient(problem: Problem, layers: Layers) -> Layers:
    """∂E_n/∂Θ in the weights themselves: the data term by the adjoint sweep, the regulariser by second differences.

    Blocks that are not trainable have gradient zero.
    """
    term, coordinates = _term(problem, layers)
    regulariser = coordinates.pull(2 * coordinates.penalty * coordinates.vector(layers))
    return Layers(
        *(
            g + r if block in problem.trainable else r
            for block, g, r in zip(BLOCKS, term.gradient, regulariser, strict=True)
        )
    )


def hessian_product(problem: Problem, layers: Layers, direction: Layers) -> Layers:
    """The second derivative of E_n in the weights, applied to a direction whose untrained blocks are not looked at."""
    checks.kind("direction", direction, Layers)
    problem.metric.check_shapes(direction)
    if direction.depth != layers.depth:
        raise ValueError(
            f"a direction has the depth of the network, got depth {layers.depth} and depth {direction.depth}"
        )
    term, coordinates = _term(problem, layers)
    v = coordinates.vector(direction)
    data = term.product(coordinates.weights(v, fixed=False))
    regulariser = coordinates.pull(2 * coordinates.penalty * v)
    return Layers(
        *(g + r if block in problem.trainable else r for block, g, r in zip(BLOCKS, data, regulariser, strict=True))
    )


class Network(nn.Module):
    """The residual network of a control as a module: forward maps x (…, S, d) to z = W X_n + c, (…, S, m)."""

    def __init__(self, layers: Layers, activation: Activation | Layer) -> None:
        super().__init__()
        self.activation = activation
        self.K, self.b, self.W, self.c = (nn.Parameter(getattr(layers, block).clone()) for block in BLOCKS)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return (
            f"depth={len(self.K)}, width={self.W.shape[1]}, outputs={len(self.W)}, activation={self.activation.name!r}"
        )

    def forward(self, x: Tensor) -> Tensor:
        """z = W X_n + c; x is taken to the precision of the weights.

        Raises
        ------
        ValueError
            If the last dimension of x is not the width.
        """
        x = torch.as_tensor(x).to(self.K.dtype)
        if x.dim() == 0 or x.shape[-1] != self.W.shape[1]:
            raise ValueError(f"x must have {self.W.shape[1]} features in its last dimension, got {tuple(x.shape)}")
        step = 1.0 / len(self.K)
        for K, b in zip(self.K, self.b, strict=True):
            x = x + step * self._layer(x, K, b)
        return x @ self.W.T + self.c

    def _layer(self, x: Tensor, K: Tensor, b: Tensor) -> Tensor:
        """σ(Kx + b), or f(x, θ) with θ in the place of b."""
        if isinstance(self.activation, Layer):
            return self.activation.samples(x.reshape(-1, x.shape[-1]), b).reshape(x.shape)
        return self.activation.value(x @ K.T + b)


def network(problem: Problem, trained: Minimum | Layers) -> Network:
    """A trained minimiser as an `nn.Module` that maps x to z, the output before softmax or logistic."""
    layers = trained.control if isinstance(trained, Minimum) else trained
    if not isinstance(layers, Layers):
        raise TypeError(f"a network is made from Layers, got {type(layers).__name__}")
    problem.metric.check(layers)
    return Network(layers, problem.activation if problem.layer is None else problem.layer)

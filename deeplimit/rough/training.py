"""Networks trained as people train them: a number of epochs of Adam or SGD, with or without the H¹ term.

X_{k+1} = X_k + δ tanh(A_k X_k + b_k), z = W X_n + c, mean softmax cross-entropy. The rate falls to 0 along half
a cosine. Nothing is certified here: what is looked at is how the weights that come out scale with depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deeplimit import checks
from deeplimit.data import Data

SCALES = {"1/n": 1.0, "1/√n": 0.5, "1": 0.0}  # α in δ = n^{−α}
TRAINED = "1/n, trained"  # δ is one more weight, shared by the layers
STARTS = ("iid", "zero", "smooth")
COORDINATES = ("weights", "increments")
OPTIMISERS = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}


@dataclass(frozen=True, eq=False)
class Trained:
    """What training left.

    Attributes
    ----------
    A, b, W, c, step
        (n, d, d), (n, d), (m, d), (m,), and δ.
    loss, objective
        Of all samples, without and with the H¹ term.
    moved
        |objective / objective a tenth of the epochs before − 1|: how far training is from having stopped.
    accuracy
        Share of samples classified right.
    """

    A: np.ndarray
    b: np.ndarray
    W: np.ndarray
    c: np.ndarray
    step: float
    loss: float
    objective: float
    moved: float
    accuracy: float


class _Network(nn.Module):
    """The weights, or with coordinates "increments" θ_0 and √n (θ_k − θ_{k−1}), in which the H¹ term is |·|²."""

    def __init__(
        self, width: int, outputs: int, depth: int, options: Mapping[str, str], random: torch.Generator
    ) -> None:
        super().__init__()
        edge = 1 / math.sqrt(width)  # that of torch's own linear layers

        def uniform(*shape: int) -> Tensor:
            return edge * (2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1)

        A, b = uniform(depth, width, width), uniform(depth, width)
        if options["start"] == "zero":
            A, b = 0 * A, 0 * b
        if options["start"] == "smooth":
            A, b = (theta[:1].expand_as(theta).clone() for theta in (A, b))
        self.increments = options["coordinates"] == "increments"
        if self.increments:
            A, b = (torch.cat([theta[:1], math.sqrt(depth) * theta.diff(dim=0)]) for theta in (A, b))
        self.A, self.b = nn.Parameter(A), nn.Parameter(b)
        self.W, self.c = nn.Parameter(uniform(outputs, width)), nn.Parameter(uniform(outputs))
        scale = options["scale"]
        step = torch.tensor(depth ** -SCALES.get(scale, 1.0), dtype=torch.float64)
        self.step = nn.Parameter(step, requires_grad=scale == TRAINED)

    def layers(self) -> tuple[Tensor, Tensor]:
        """A and b themselves."""
        if not self.increments:
            return self.A, self.b
        root = math.sqrt(len(self.A))
        A, b = (torch.cat([theta[:1], theta[:1] + theta[1:].cumsum(0) / root]) for theta in (self.A, self.b))
        return A, b

    def forward(self, x: Tensor) -> Tensor:
        A, b = self.layers()
        for matrix, shift in zip(A.transpose(1, 2).unbind(), b.unbind(), strict=True):
            x = torch.addcmul(x, self.step, torch.tanh(torch.addmm(shift, x, matrix)))
        return x @ self.W.T + self.c

    def roughness(self) -> Tensor:
        """Σ_{A, b} (n Σ |θ_k − θ_{k−1}|² + |θ_0|²) + |W|² + |c|², the regulariser of E_n without its α, τ = 1."""
        total = self.W.square().sum() + self.c.square().sum()
        for theta in (self.A, self.b):
            jumps = theta[1:] if self.increments else math.sqrt(len(theta)) * theta.diff(dim=0)
            total = total + theta[0].square().sum() + jumps.square().sum()
        return total


def train(
    data: Data,
    depth: int,
    *,
    scale: str = "1/n",
    start: str = "iid",
    optimiser: str = "Adam",
    rate: float = 1e-3,
    rescaled: bool = False,
    penalty: float = 0.0,
    coordinates: str = "weights",
    epochs: int = 10,
    batch: int = 64,
    seed: int = 0,
) -> Trained:
    """Train on one-hot labels.

    Parameters
    ----------
    scale
        δ: "1/n", "1/√n", "1", or "1/n, trained", where it is trained as well.
    start
        "iid", torch's own U(±d^{−½}); "smooth", the same draw for all layers; "zero".
    optimiser, rate
        "Adam" or "SGD", and its learning rate at the beginning.
    rescaled
        Whether the rate of A and b is multiplied by n: with δ = 1/n their gradients are of size 1/n.
    penalty
        α of the H¹ term of E_n, with τ = 1; 0 leaves it out.
    coordinates
        What Adam or SGD sees: the "weights", or their "increments" θ_0 and √n (θ_k − θ_{k−1}), in which the H¹ term is
        α |·|² and its condition does not grow with depth.

    Raises
    ------
    ValueError, TypeError
        For names that there are not, and sizes that are not positive.
    """
    checks.kind("data", data, Data)
    for name, value, names in (
        ("scale", scale, (*SCALES, TRAINED)),
        ("start", start, STARTS),
        ("optimiser", optimiser, tuple(OPTIMISERS)),
        ("coordinates", coordinates, COORDINATES),
    ):
        if value not in names:
            raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}")
    if checks.number("penalty", penalty) < 0:
        raise ValueError(f"penalty must not be negative, got {penalty!r}")
    random = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
    depth, epochs = checks.whole("depth", depth, least=1), checks.whole("epochs", epochs, least=0)
    checks.positive("rate", rate)
    options = {"scale": scale, "start": start, "coordinates": coordinates}
    net = _Network(data.width, data.y.shape[1], depth, options, random)
    others = [net.W, net.c] + ([net.step] if scale == TRAINED else [])
    groups = [{"params": [net.A, net.b], "lr": rate * depth if rescaled else rate}, {"params": others, "lr": rate}]
    before = _descend(net, data, OPTIMISERS[optimiser](groups), penalty, epochs, batch, random)
    return _trained(net, data, penalty, before)


def _descend(
    net: _Network, data: Data, steps: Any, penalty: float, epochs: int, batch: int, random: torch.Generator
) -> float:
    """Train; the objective a tenth of the epochs before the end."""
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(steps, max(epochs, 1))
    labels, before = data.y.argmax(1), math.nan
    checks.whole("batch", batch, least=1)
    for epoch in range(epochs):
        if epoch == epochs - max(1, epochs // 10):
            before = _objective(net, data, penalty)
        for chosen in torch.randperm(data.points, generator=random).split(batch):
            steps.zero_grad()
            loss = nn.functional.cross_entropy(net(data.x[chosen]), labels[chosen])
            (loss + penalty * net.roughness() if penalty else loss).backward()
            steps.step()
        falling.step()
    return before


def _objective(net: _Network, data: Data, penalty: float) -> float:
    with torch.no_grad():
        loss = nn.functional.cross_entropy(net(data.x), data.y.argmax(1))
        return float(loss + penalty * net.roughness())


def _trained(net: _Network, data: Data, penalty: float, before: float) -> Trained:
    labels, objective = data.y.argmax(1), _objective(net, data, penalty)
    with torch.no_grad():
        z = net(data.x)
        loss, right = nn.functional.cross_entropy(z, labels), z.argmax(1) == labels
        A, b, W, c = (theta.detach().numpy() for theta in (*net.layers(), net.W, net.c))
    moved = abs(objective / before - 1)
    return Trained(A, b, W, c, net.step.item(), float(loss), objective, moved, float(right.double().mean()))

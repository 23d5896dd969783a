"""Networks trained as people train them: a fixed number of epochs of Adam or SGD, without a regulariser.

X_{k+1} = X_k + δ tanh(A_k X_k + b_k), z = W X_n + c, softmax cross-entropy. Nothing is certified here: what is
looked at is how the weights that come out scale with depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from deeplimit import checks
from deeplimit.data import Data

SCALES = {"1/n": 1.0, "1/√n": 0.5, "1": 0.0}  # α in δ = n^{−α}
TRAINED = "1/n, trained"  # δ is one more weight, shared by the layers
STARTS = ("iid", "zero", "smooth")
OPTIMISERS = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}


@dataclass(frozen=True, eq=False)
class Trained:
    """What training left: A (n, d, d), b (n, d), δ, the mean loss and the share of samples classified right."""

    A: np.ndarray
    b: np.ndarray
    step: float
    loss: float
    accuracy: float


class _Network(nn.Module):
    def __init__(self, depth: int, width: int, outputs: int, scale: str, start: str, random: torch.Generator) -> None:
        super().__init__()
        edge = 1 / math.sqrt(width)  # that of torch's own linear layers

        def uniform(*shape: int) -> Tensor:
            return edge * (2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1)

        A, b = uniform(depth, width, width), uniform(depth, width)
        if start == "zero":
            A, b = 0 * A, 0 * b
        if start == "smooth":
            A, b = (theta[:1].expand_as(theta).clone() for theta in (A, b))
        self.A, self.b = nn.Parameter(A), nn.Parameter(b)
        self.W, self.c = nn.Parameter(uniform(outputs, width)), nn.Parameter(uniform(outputs))
        exponent = SCALES.get(scale, 1.0)
        self.step = nn.Parameter(torch.tensor(depth**-exponent, dtype=torch.float64), requires_grad=scale == TRAINED)

    def forward(self, x: Tensor) -> Tensor:
        for A, b in zip(self.A.unbind(), self.b.unbind(), strict=True):
            x = x + self.step * torch.tanh(torch.addmm(b, x, A.T))
        return x @ self.W.T + self.c


def train(
    data: Data,
    depth: int,
    *,
    scale: str = "1/n",
    start: str = "iid",
    optimiser: str = "Adam",
    rate: float = 1e-3,
    rescaled: bool = False,
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
        "Adam" or "SGD", and its learning rate.
    rescaled
        Whether the rate of A and b is multiplied by n: with δ = 1/n their gradients are of size 1/n.

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
    ):
        if value not in names:
            raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}")
    random = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
    labels = data.y.argmax(1)
    net = _Network(checks.whole("depth", depth, least=1), data.width, data.y.shape[1], scale, start, random)
    layers, others = [net.A, net.b], [net.W, net.c] + ([net.step] if scale == TRAINED else [])
    checks.positive("rate", rate)
    groups = [{"params": layers, "lr": rate * depth if rescaled else rate}, {"params": others, "lr": rate}]
    steps = OPTIMISERS[optimiser](groups)
    for _ in range(checks.whole("epochs", epochs, least=0)):
        order = torch.randperm(data.points, generator=random)
        for chosen in order.split(checks.whole("batch", batch, least=1)):
            steps.zero_grad()
            nn.functional.cross_entropy(net(data.x[chosen]), labels[chosen]).backward()
            steps.step()
    with torch.no_grad():
        z = net(data.x)
        loss, right = nn.functional.cross_entropy(z, labels), z.argmax(1) == labels
    A, b = (theta.detach().numpy() for theta in (net.A, net.b))
    return Trained(A, b, net.step.item(), float(loss), float(right.double().mean()))

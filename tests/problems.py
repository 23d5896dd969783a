"""Cases that the tests share: exact and published minima, and a residual network written without the package.

The plain network, its loss and its regulariser are loops over layers and differences as the definition has them, made
of torch's own functions so that autograd can differentiate them twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from deeplimit import Data, Layers, Problem
from deeplimit import data as datasets

BLOCKS = "KbWc"
DEEP = "Kb"

SIGMA: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda z: (torch.exp(z) - torch.exp(-z)) / (torch.exp(z) + torch.exp(-z)),
    "relu": lambda z: torch.clamp(z, min=0.0),
    "softplus0": lambda z: torch.log((1 + torch.exp(z)) / 2),
    "arctan": torch.atan,
    "silu": lambda z: z / (1 + torch.exp(-z)),
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
    "gcu": lambda z: z * torch.cos(z),
}

LOSS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": lambda z, y: ((z - y) ** 2).sum(),
    "logistic": lambda z, y: (torch.log(1 + torch.exp(z)) - y * z).sum(),
    "softmax": lambda z, y: (torch.log(torch.exp(z).sum(1)) - (y * z).sum(1)).sum(),
}


@dataclass(frozen=True)
class Case:
    """A problem in raw numbers, with its objective as the definition has it."""

    x: Tensor
    y: Tensor
    activation: str
    loss: str
    alpha: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BLOCKS, 0.01))
    tau: dict[str, float] = field(default_factory=lambda: dict.fromkeys(DEEP, 1.0))
    trainable: str = BLOCKS
    reduction: str = "sum"

    @property
    def d(self) -> int:
        return self.x.shape[1]

    @property
    def m(self) -> int:
        return self.y.shape[1]

    def problem(self) -> Problem:
        """The same for the package."""
        return Problem(
            Data(self.x, self.y),
            activation=self.activation,  # type: ignore[arg-type]
            loss=self.loss,  # type: ignore[arg-type]
            alpha=self.alpha,
            tau=self.tau,
            trainable=self.trainable,
            reduction=self.reduction,
        )

    def shapes(self, depth: int) -> dict[str, tuple[int, ...]]:
        return {"K": (depth, self.d, self.d), "b": (depth, self.d), "W": (self.m, self.d), "c": (self.m,)}

    def fixed(self, block: str, depth: int) -> Tensor:
        """The value of a block that is not trained."""
        shape = self.shapes(depth)[block]
        return torch.eye(*shape).double() if block == "W" else torch.zeros(shape).double()

    def arguments(self, K: Tensor, b: Tensor) -> Tensor:
        """The arguments of σ in all layers, stacked."""
        X, found = self.x, []
        for i in range(len(K)):
            found.append(torch.stack([K[i] @ row + b[i] for row in X]))
            X = X + SIGMA[self.activation](found[-1]) / len(K)
        return torch.stack(found)

    def end_state(self, K: Tensor, b: Tensor) -> Tensor:
        """X_n of X_i = X_{i−1} + (1/n) σ(K_{i−1} X_{i−1} + b_{i−1})."""
        X = self.x
        for i in range(len(K)):
            X = X + SIGMA[self.activation](torch.einsum("jk,sk->sj", K[i], X) + b[i]) / len(K)
        return X

    def data_term(self, X: Tensor, W: Tensor, c: Tensor) -> Tensor:
        total = LOSS[self.loss](torch.einsum("jk,sk->sj", W, X) + c, self.y)
        return total / len(self.x) if self.reduction == "mean" else total

    def regulariser(self, theta: dict[str, Tensor]) -> Tensor:
        """Σ α (n Σ_{i=1}^{n−1} |θ_i − θ_{i−1}|² + τ |θ_0|²) + α_W |W|² + α_c |c|², trainable blocks only."""
        total = torch.zeros((), dtype=torch.float64)
        for k in self.trainable:
            if k in DEEP:
                n = len(theta[k])
                jumps = sum(((theta[k][i] - theta[k][i - 1]) ** 2).sum() for i in range(1, n))
                total = total + self.alpha[k] * (n * jumps + self.tau[k] * (theta[k][0] ** 2).sum())
            else:
                total = total + self.alpha[k] * (theta[k] ** 2).sum()
        return total

    def objective(self, theta: dict[str, Tensor]) -> Tensor:
        """E_n."""
        X = self.end_state(theta["K"], theta["b"])
        return self.data_term(X, theta["W"], theta["c"]) + self.regulariser(theta)

    def split(self, flat: Tensor, depth: int) -> dict[str, Tensor]:
        """The trainable blocks as one vector, in the order K, b, W, c, to all four blocks."""
        theta, start = {}, 0
        for k in BLOCKS:
            shape = self.shapes(depth)[k]
            if k in self.trainable:
                theta[k] = flat[start : start + math.prod(shape)].reshape(shape)
                start += math.prod(shape)
            else:
                theta[k] = self.fixed(k, depth)
        assert start == len(flat)
        return theta

    def size(self, depth: int) -> int:
        """How many unknowns."""
        return sum(math.prod(self.shapes(depth)[k]) for k in self.trainable)

    def from_u(self, u: Tensor, depth: int) -> dict[str, Tensor]:
        """θ_0 = u_0/√(ατ), θ_i = θ_{i−1} + u_i/√(αn), layer by layer; W = u_W/√α, c = u_c/√α."""
        theta = self.split(u, depth)
        for k in self.trainable:
            root = math.sqrt(self.alpha[k])
            if k in DEEP:
                rows = [theta[k][0] / (root * math.sqrt(self.tau[k]))]
                for step in theta[k][1:]:
                    rows.append(rows[-1] + step / (root * math.sqrt(depth)))
                theta[k] = torch.stack(rows)
            else:
                theta[k] = theta[k] / root
        return theta

    def to_u(self, layers: Layers) -> Tensor:
        """The inverse of `from_u`."""
        parts = []
        for k in [k for k in BLOCKS if k in self.trainable]:
            theta, root = getattr(layers, k), math.sqrt(self.alpha[k])
            if k in DEEP:
                parts.append(root * math.sqrt(self.tau[k]) * theta[0].reshape(-1))
                for i in range(1, len(theta)):
                    parts.append(root * math.sqrt(len(theta)) * (theta[i] - theta[i - 1]).reshape(-1))
            else:
                parts.append(root * theta.reshape(-1))
        return torch.cat(parts)

    def energy(self, depth: int) -> Callable[[Tensor], Tensor]:
        """E_n as a function of u."""
        return lambda u: self.objective(self.from_u(u, depth))

    def raw(self, depth: int) -> Callable[[Tensor], Tensor]:
        """E_n as a function of the trainable weights as one vector."""
        return lambda flat: self.objective(self.split(flat, depth))


def gradient(f: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """∇f by autograd."""
    point = at.detach().clone().requires_grad_()
    return torch.autograd.grad(f(point), point)[0]


def hessian_product(f: Callable[[Tensor], Tensor], at: Tensor, v: Tensor) -> Tensor:
    """∇²f v by autograd twice."""
    point = at.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(point), point, create_graph=True)
    return torch.autograd.grad(g @ v, point)[0]


def hessian(f: Callable[[Tensor], Tensor], at: Tensor) -> np.ndarray:
    """The dense ∇²f by autograd twice, a column at a time."""
    point = at.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(point), point, create_graph=True)
    identity = torch.eye(len(at), dtype=torch.float64)
    (columns,) = torch.autograd.grad(g, point, identity, is_grads_batched=True)
    return columns.numpy()


def flat(layers: Layers, trainable: str) -> Tensor:
    """The trainable blocks as one vector in the order K, b, W, c."""
    return torch.cat([getattr(layers, k).reshape(-1) for k in BLOCKS if k in trainable])


def layers(theta: dict[str, Tensor]) -> Layers:
    """The four blocks as the package's network."""
    return Layers(*(theta[k].detach() for k in BLOCKS))


def random_case(
    activation: str, loss: str, seed: int, *, d: int = 2, m: int = 3, points: int = 5, trainable: str = BLOCKS
) -> Case:
    """Inputs, labels, α, τ and reduction drawn anew for each seed; targets in the unit simplex suit every loss."""
    random = np.random.default_rng(seed)
    y = random.random((points, m))
    y = y / y.sum(1, keepdims=True) if loss == "softmax" else y
    return Case(
        torch.tensor(random.standard_normal((points, d))),
        torch.tensor(y),
        activation,
        loss,
        {k: float(10 ** random.uniform(-2, 0)) for k in BLOCKS},
        {k: float(10 ** random.uniform(-1, 1)) for k in DEEP},
        trainable,
        ("sum", "mean")[seed % 2],
    )


def random_weights(case: Case, depth: int, seed: int) -> dict[str, Tensor]:
    """Normal weights, drawn again until no argument of a σ with a kink is closer to it than 0.02."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        theta = {
            k: torch.randn(shape, generator=generator, dtype=torch.float64)
            if k in case.trainable
            else case.fixed(k, depth)
            for k, shape in case.shapes(depth).items()
        }
        if case.activation != "relu" or case.arguments(theta["K"], theta["b"]).abs().min() > 0.02:
            return theta


# The scalar regression problem with published minima: d = m = 1, three points, all four blocks.

REFERENCE = Case(
    torch.tensor([[-1.0], [0.2], [1.0]], dtype=torch.float64),
    torch.tensor([[-0.5], [1.0], [0.3]], dtype=torch.float64),
    "tanh",
    "squared",
    {"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1},
)
REFERENCE_MINIMA = {
    16: 0.5861886766988119,
    32: 0.5834627765927485,
    64: 0.5821001622067774,
    128: 0.5814189892371888,
    256: 0.5810784426467515,
    512: 0.5809081801214874,
}
REFERENCE_BRANCHES = (0.586189, 0.700690)

# The ring: eight points in the plane on two circles, two classes, the mean over the points.


def ring(activation: str = "tanh", alpha: float = 0.01) -> Case:
    points = datasets.ring()
    return Case(points.x, points.y, activation, "softmax", dict.fromkeys(BLOCKS, alpha), reduction="mean")


RING_MINIMA = {
    16: 0.6472529400845995,
    32: 0.6454672043380558,
    64: 0.6445453051616806,
    128: 0.6440773552438144,
    256: 0.6438416620932853,
    512: 0.6437233899378305,
}
RING_BRANCHES = (0.647253, 0.677509, 0.693041, 0.693147)
RING_RELU = 0.4257946573534861


def moons() -> Problem:
    return Problem(datasets.moons(60), alpha=0.01)  # type: ignore[arg-type]


# One weight a layer, linear: X_n = Π (1 + K_i/n) x, W = 1, b = c = 0.

LINEAR = Case(
    torch.tensor([[1.0]], dtype=torch.float64),
    torch.tensor([[2.0]], dtype=torch.float64),
    "identity",
    "squared",
    dict.fromkeys(BLOCKS, 0.1),
    trainable="K",
)
LINEAR_MINIMA = {8: 0.040260517038537, 1024: 0.0353983471690268}


def bias_constant(depth: int, tau: float) -> float:
    """c_n = 1/τ + 1/3 − 1/(2n) + 1/(6n²): the largest (mean of b)² with n Σ|Δb|² + τ|b_0|² ≤ 1."""
    return 1 / tau + 1 / 3 - 1 / (2 * depth) + 1 / (6 * depth**2)


def bias_minimum(x: Tensor, y: Tensor, depth: int, alpha: float, tau: float) -> float:
    """One point, identity, only b trained, squared loss: min over the mean B of b of |x + B − y|² + α |B|²/c_n."""
    return float(((x - y) ** 2).sum()) / (1 + bias_constant(depth, tau) / alpha)

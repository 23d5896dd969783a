"""Bounded sets of the parameters of a chain, on which Lipschitz constants are bounded.

No bound holds for all parameters: the gradient of the scalar chain a_1 ⋯ a_l x grows as |a|^(l−1) √l.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from deeplimit import checks
from deeplimit.lipschitz.chain import Chain

GLOBAL = (
    "{} must be finite, got {}: no Lipschitz constant holds for all parameters, as the gradient of the scalar chain "
    "a_1 ⋯ a_l x grows as √l |a|^(l−1); choose a radius that the iterates stay in"
)


LARGEST = 1e100  # radius; the third powers of what is larger overflow


def checked_radius(name: str, value: float) -> float:
    """A number that is not negative, and finite for the reason that it must be."""
    if value == math.inf:
        raise ValueError(GLOBAL.format(name, value))
    if checks.number(name, value) < 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
    if value > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g}, from which on bounds overflow, got {value!r}")
    return float(value)


def checked_inputs(x: Any, width: int) -> Tensor:
    """Inputs (S, width) as finite numbers; TypeError or ValueError otherwise."""
    checks.kind("x", x, Tensor)
    if x.dim() != 2 or x.shape[1] != width:
        raise ValueError(f"x must have shape (S, {width}), got {tuple(x.shape)}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x must be finite, but holds NaN or infinity; remove those inputs")
    return x


class Set(ABC):
    """A closed convex set of parameters θ (P,) of a chain."""

    chain: Chain

    @property
    @abstractmethod
    def radii(self) -> list[tuple[float, float]]:
        """Upper bounds of ‖A_i‖₂ and |b_i| for every layer."""

    @property
    def middle(self) -> tuple[Tensor, float] | None:
        """A point θ₀ of the set and the largest |θ − θ₀|, where these are known."""
        return None


class Region(Set):
    """A set that one can project onto and draw from."""

    @abstractmethod
    def project(self, theta: Tensor) -> Tensor:
        """The nearest point of the set to each row of θ (…, P)."""

    @abstractmethod
    def draw(self, count: int, seed: int) -> Tensor:
        """Random points of the set, its edge among them, (count, P)."""


@dataclass(frozen=True, eq=False)
class Balls(Region):
    """‖A_i‖₂ ≤ `matrices`[i] and |b_i| ≤ `biases`[i] for every layer; one number stands for all layers.

    Raises
    ------
    ValueError, TypeError
        For a radius that is infinite or negative, or a list of another length than the chain.
    """

    chain: Chain
    matrices: float | Sequence[float]
    biases: float | Sequence[float]

    def __post_init__(self) -> None:
        checks.kind("chain", self.chain, Chain)
        for name in ("matrices", "biases"):
            given, count = getattr(self, name), len(self.chain.layers)
            listed = list(given) if isinstance(given, Sequence) else [given] * count
            if len(listed) != count:
                raise ValueError(f"{name} must be one number or one per layer, {count}, got {len(listed)}")
            object.__setattr__(self, name, tuple(checked_radius(name, value) for value in listed))

    @property
    def radii(self) -> list[tuple[float, float]]:
        """Radii of matrices and biases, layer by layer."""
        biased = [layer.bias for layer in self.chain.layers]
        return [(A, b if has else 0.0) for A, b, has in zip(self.matrices, self.biases, biased, strict=True)]  # type: ignore[arg-type]

    def project(self, theta: Tensor) -> Tensor:
        """Singular values of A_i cut at the radius, b_i shortened to it: the set is a product of balls."""
        weights = []
        for (A, b), (most_A, most_b) in zip(self.chain.split(theta), self.radii, strict=True):
            U, s, Vh = torch.linalg.svd(A, full_matrices=False)
            shrink = (most_b / b.norm(dim=-1, keepdim=True).clamp(min=1e-300)).clamp(max=1.0)
            weights.append(((U * s.clamp(max=most_A).unsqueeze(-2)) @ Vh, b * shrink))
        return self.chain.join(weights)

    def draw(self, count: int, seed: int, alike: bool = False) -> Tensor:
        """Directions normal, ‖A_i‖₂ and |b_i| either on the edge, for half of the layers, or uniform below it.

        With `alike` a layer of the same shape and radii as the one before has its weights: smooth in depth.
        """
        generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        def length() -> Tensor:
            uniform = torch.rand(count, generator=generator, dtype=torch.float64)
            edge = torch.rand(count, generator=generator, dtype=torch.float64) < 0.5
            return torch.where(edge, 1.0, uniform)

        weights: list[tuple[Tensor, Tensor]] = []
        before = None
        for layer, (most_A, most_b) in zip(self.chain.layers, self.radii, strict=True):
            kind = (layer.inputs, layer.outputs, layer.skip, most_A, most_b)
            if alike and kind == before:
                weights.append(weights[-1])
                continue
            before = kind
            A, b = normal(count, layer.outputs, layer.inputs), normal(count, layer.outputs)
            A = A * (most_A * length() / torch.linalg.matrix_norm(A, 2))[:, None, None]
            weights.append((A, b * (most_b * length() / b.norm(dim=1))[:, None]))
        return self.chain.join(weights)


@dataclass(frozen=True, eq=False)
class Ball(Region):
    """|θ − centre| ≤ radius; near the centre its states are known, so that bounds are sharper.

    Raises
    ------
    ValueError, TypeError
        For a radius that is infinite or negative, and a centre of another size than the chain.
    """

    chain: Chain
    centre: Tensor
    radius: float

    def __post_init__(self) -> None:
        checks.kind("chain", self.chain, Chain)
        checks.kind("centre", self.centre, Tensor)
        checked_radius("radius", self.radius)
        if tuple(self.centre.shape) != (self.chain.size,):
            raise ValueError(f"centre must be one vector of {self.chain.size} numbers, got {tuple(self.centre.shape)}")
        if not bool(torch.isfinite(self.centre).all()):
            raise ValueError("centre must be finite, but holds NaN or infinity; start from finite parameters")

    @cached_property
    def _radii(self) -> list[tuple[float, float]]:
        found = []
        for layer, (A, b) in zip(self.chain.layers, self.chain.split(self.centre), strict=True):
            reach = self.radius / math.sqrt(layer.step)
            found.append((float(torch.linalg.matrix_norm(A, 2)) + reach, float(b.norm()) + reach * layer.bias))
        return found

    @property
    def radii(self) -> list[tuple[float, float]]:
        """Radii of matrices and biases, layer by layer."""
        return self._radii

    @property
    def middle(self) -> tuple[Tensor, float]:
        """Centre and radius."""
        return self.centre, self.radius

    def project(self, theta: Tensor) -> Tensor:
        """The nearest point of the region."""
        away = theta - self.centre
        length = away.norm(dim=-1, keepdim=True).clamp(min=1e-300)
        return self.centre + away * (self.radius / length).clamp(max=1.0)

    def draw(self, count: int, seed: int) -> Tensor:
        """Directions uniform; half of the points on the sphere, the others at a uniform distance."""
        generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
        away = torch.randn(count, self.chain.size, generator=generator, dtype=torch.float64)
        length = torch.rand(count, generator=generator, dtype=torch.float64)
        length[: count // 2] = 1.0
        return self.centre + away * (self.radius * length / away.norm(dim=1))[:, None]

"""Controls Θ = (K, b, W, c): `Layers` on the nodes i/n, `Curve` on [0, 1].

The weights K, b of a network of depth n live on the nodes t_i = i/n, i = 0 … n−1; those of the limit are functions of
t ∈ [0, 1]; the output layer W, c does not depend on depth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.polynomial.legendre import leggauss
from torch import Tensor

BLOCKS = "KbWc"
DEEP = "Kb"  # the blocks that depend on depth


class Weights(NamedTuple):
    """Four tensors in the order K, b, W, c: weights at the stages of a flow, or a gradient with respect to them."""

    K: Tensor
    b: Tensor
    W: Tensor
    c: Tensor


def _float64(name: str, value: Any, dims: int) -> Tensor:
    # lists go through NumPy: torch would read their numbers in single precision
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    if tensor.is_complex() or tensor.dim() != dims:
        raise ValueError(f"{name} must be a real array with {dims} dimensions, got shape {tuple(tensor.shape)}")
    return tensor.detach().to(torch.float64)


def _store_blocks(control: Layers | Curve, rows: str, device: str | None = None) -> None:
    """Keep the four blocks as float64 tensors whose shapes fit together."""
    for name, dims in zip(BLOCKS, (3, 2, 2, 1), strict=True):
        object.__setattr__(control, name, _float64(name, getattr(control, name), dims).to(device))
    _check_blocks(control.K, control.b, control.W, control.c, rows)


def _check_blocks(K: Tensor, b: Tensor, W: Tensor, c: Tensor, rows: str) -> None:
    n, d, m = K.shape[0], K.shape[1], W.shape[0]
    wanted = {"K": (n, d, d), "b": (n, d), "W": (m, d), "c": (m,)}
    if d == 0:  # a layer of the user's, whose parameters stand in the place of b
        wanted |= {"b": (n, b.shape[1]), "W": (m, W.shape[1])}
    for name, tensor in zip(BLOCKS, (K, b, W, c), strict=True):
        if tuple(tensor.shape) != wanted[name]:
            raise ValueError(f"{name} must have shape {wanted[name]} ({rows} first), got {tuple(tensor.shape)}")
    if n < 1:
        raise ValueError(f"a control needs at least one of its {rows}, got none")


@dataclass(frozen=True, eq=False)
class Layers:
    """Weights of a residual network of depth n: X_i = X_{i−1} + (1/n) σ(K_{i−1} X_{i−1} + b_{i−1}), z = W X_n + c.

    Parameters
    ----------
    K : (n, d, d), b : (n, d), W : (m, d), c : (m,)
        Anything `torch.as_tensor` takes; kept as float64. With a layer of the user's K is empty, (n, 0, 0), and b
        (n, p) are its parameters, flattened.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    K: Tensor
    b: Tensor
    W: Tensor
    c: Tensor

    def __post_init__(self) -> None:
        _store_blocks(self, "layers")

    @property
    def depth(self) -> int:
        """The number n of layers."""
        return self.K.shape[0]

    @property
    def t(self) -> Tensor:
        """The nodes t_i = i/n, shape (n,)."""
        return torch.arange(self.depth, dtype=torch.float64) / self.depth

    def at(self, t: Any) -> tuple[Tensor, Tensor]:
        """The piecewise constant extension (K, b)(t) = (K, b)_{⌊nt⌋}; t of shape (…) gives (…, d, d) and (…, d)."""
        time = torch.as_tensor(t, dtype=torch.float64)
        # i/n rounded down must still fall into cell i
        index = torch.floor(self.depth * time + 1e-9).long().clamp(0, self.depth - 1)
        return self.K[index], self.b[index]

    def interpolant(self) -> Curve:
        """Θ̂_n: the piecewise linear curve through the nodes, constant on the last cell."""
        basis = Hats(self.depth)
        scale = math.sqrt(self.depth)

        def coefficients(theta: Tensor) -> Tensor:
            jumps = torch.diff(theta, dim=0) * scale
            return torch.cat([theta[:1], jumps, torch.zeros_like(theta[:1])])

        return Curve(basis, coefficients(self.K), coefficients(self.b), self.W, self.c)

    def refine(self, depth: int) -> Layers:
        """The piecewise linear interpolant sampled at the nodes of another depth."""
        return self if depth == self.depth else self.interpolant().sample(depth)

    def to(self, device: str | torch.device) -> Layers:
        """The same weights on another device."""
        return Layers(*(getattr(self, name).to(device) for name in BLOCKS))


@dataclass(frozen=True)
class Basis(ABC):
    """`size` functions φ_j, orthonormal in L²(0, 1), for the derivative of a curve; primitives Φ_j(t) = ∫₀ᵗ φ_j."""

    size: int

    @property
    def cells(self) -> int:
        """The number of equal cells on which all functions are polynomials."""
        return 1

    @abstractmethod
    def derivative(self, t: np.ndarray) -> np.ndarray:
        """φ_j(t), shape (len(t), size)."""

    @abstractmethod
    def primitive(self, t: np.ndarray) -> np.ndarray:
        """Φ_j(t), shape (len(t), size)."""

    def expand_derivative(self, coefficients: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Σ_j φ_j(t) c_j, shape (len(t), …) from (size, …)."""
        return np.tensordot(self.derivative(t), coefficients, axes=1)

    def expand_primitive(self, coefficients: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Σ_j Φ_j(t) c_j."""
        return np.tensordot(self.primitive(t), coefficients, axes=1)


class Legendre(Basis):
    """φ_j(t) = √(2j+1) P_j(2t − 1); a smooth curve has coefficients that fall exponentially."""

    def derivative(self, t: np.ndarray) -> np.ndarray:
        """Values of the functions that make up Θ̇, shape (len(t), size)."""
        return legendre.legvander(2 * t - 1, self.size - 1) * np.sqrt(2 * np.arange(self.size) + 1)

    def primitive(self, t: np.ndarray) -> np.ndarray:
        """Their integrals from 0 to t, shape (len(t), size)."""
        # ∫ P_j = (P_{j+1} − P_{j−1}) / (2j + 1), with P_{−1} := −1 so that the primitive vanishes at t = 0
        P = legendre.legvander(2 * t - 1, self.size)
        below = np.concatenate([-np.ones((len(t), 1)), P[:, :-2]], axis=1)
        return (P[:, 1:] - below) / (2 * np.sqrt(2 * np.arange(self.size) + 1))


class Hats(Basis):
    """φ_j = √M on the cell [j/M, (j+1)/M): continuous piecewise linear curves on M equal cells."""

    @property
    def cells(self) -> int:
        """Number of pieces of [0, 1]."""
        return self.size

    def _cell(self, t: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(self.size * t + 1e-9).astype(int), 0, self.size - 1)

    def derivative(self, t: np.ndarray) -> np.ndarray:
        """Values of the functions that make up Θ̇, shape (len(t), size)."""
        return math.sqrt(self.size) * (self._cell(t)[:, None] == np.arange(self.size))

    def primitive(self, t: np.ndarray) -> np.ndarray:
        """Their integrals from 0 to t, shape (len(t), size)."""
        return np.clip(self.size * t[:, None] - np.arange(self.size), 0, 1) / math.sqrt(self.size)

    # Local functions: no matrix of len(t) × size numbers for a curve of thousands of cells.
    def expand_derivative(self, coefficients: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Θ̇ at t from its coefficients."""
        return math.sqrt(self.size) * coefficients[self._cell(t)]

    def expand_primitive(self, coefficients: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Θ − Θ(0) at t from the coefficients of Θ̇."""
        cell = self._cell(t)
        before = np.cumsum(coefficients, axis=0) - coefficients
        part = (self.size * t - cell).reshape(-1, *[1] * (coefficients.ndim - 1))
        return (before[cell] + part * coefficients[cell]) / math.sqrt(self.size)


@dataclass(frozen=True)
class Quadratics(Basis):
    """φ = √M and √(3M)(2s − 1), 0 ≤ s ≤ 1, on each of M = size/2 equal cells: continuous piecewise quadratic curves."""

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError(f"piecewise quadratics have two functions a cell, got the odd size {self.size}")

    @property
    def cells(self) -> int:
        """Number of pieces of [0, 1]."""
        return self.size // 2

    def derivative(self, t: np.ndarray) -> np.ndarray:
        """Values of the functions that make up Θ̇, shape (len(t), size)."""
        M = self.cells
        cell = np.clip(np.floor(M * t + 1e-9).astype(int), 0, M - 1)
        values = np.stack([np.ones_like(t), math.sqrt(3) * (2 * (M * t - cell) - 1)], axis=1)
        here = cell[:, None] == np.arange(M)
        return math.sqrt(M) * (here[:, :, None] * values[:, None]).reshape(len(t), self.size)

    def primitive(self, t: np.ndarray) -> np.ndarray:
        """Their integrals from 0 to t, shape (len(t), size)."""
        s = np.clip(self.cells * t[:, None] - np.arange(self.cells), 0, 1)
        return np.stack([s, math.sqrt(3) * (s**2 - s)], axis=2).reshape(len(t), self.size) / math.sqrt(self.cells)


def _products(rows: Basis, columns: Basis) -> np.ndarray:
    """∫ φ_j ψ_k, exact: Gauss's rule on the common cells."""
    cells = math.lcm(rows.cells, columns.cells)
    points, weights = leggauss(rows.size // rows.cells + columns.size // columns.cells)
    t = ((np.arange(cells)[:, None] + (points + 1) / 2) / cells).ravel()
    weight = np.tile(weights / (2 * cells), cells)
    return rows.derivative(t).T @ (weight[:, None] * columns.derivative(t))


@dataclass(frozen=True, eq=False)
class Curve:
    """Weights of the limit: K(t) = K₀ + Σ_j K_{j+1} Φ_j(t), b likewise, with a head W, c.

    Parameters
    ----------
    basis
        The J functions φ_j = Φ_j' that the derivative is expanded in.
    K : (J + 1, d, d), b : (J + 1, d)
        Value at t = 0, then the coefficients of the derivative.
    W : (m, d), c : (m,)
    """

    basis: Basis
    K: Tensor
    b: Tensor
    W: Tensor
    c: Tensor

    def __post_init__(self) -> None:
        _store_blocks(self, "coefficients", device="cpu")
        if len(self.K) != self.basis.size + 1:
            raise ValueError(f"the basis wants {self.basis.size + 1} coefficients, got {len(self.K)}")

    def at(self, t: Any) -> tuple[Tensor, Tensor]:
        """(K(t), b(t)); t of shape (…) gives (…, d, d) and (…, d)."""
        time = np.asarray(t, dtype=float)
        K, b = (theta[0] + self._evaluate(self.basis.expand_primitive, theta, time) for theta in (self.K, self.b))
        return K, b

    def derivative(self, t: Any) -> tuple[Tensor, Tensor]:
        """(K'(t), b'(t)), shapes as `at`; one-sided from the right where a piecewise linear curve has a corner."""
        time = np.asarray(t, dtype=float)
        K, b = (self._evaluate(self.basis.expand_derivative, theta, time) for theta in (self.K, self.b))
        return K, b

    @staticmethod
    def _evaluate(expand: Callable[[np.ndarray, np.ndarray], np.ndarray], theta: Tensor, t: np.ndarray) -> Tensor:
        return torch.as_tensor(expand(theta[1:].numpy(), t.ravel())).reshape(*t.shape, *theta.shape[1:])

    def sample(self, depth: int) -> Layers:
        """The weights at the left nodes i/n, the recovery sequence of the theorem."""
        K, b = self.at(np.arange(depth) / depth)
        return Layers(K, b, self.W, self.c)

    def project(self, basis: Basis) -> Curve:
        """The curve of `basis` with the same value at 0 and the L²-closest derivative.

        ∫ θ' φ_j is exact: for piecewise linear curves on either side by differences of nodal values, between
        Legendre bases by leaving out or adding coefficients, else by quadrature.
        """
        if basis == self.basis:
            return self
        if isinstance(basis, Hats):
            matrix = math.sqrt(basis.size) * np.diff(
                self.basis.primitive(np.arange(basis.size + 1) / basis.size), axis=0
            )
        elif isinstance(self.basis, Hats):
            nodes = np.arange(self.basis.size + 1) / self.basis.size
            matrix = math.sqrt(self.basis.size) * np.diff(basis.primitive(nodes), axis=0).T
        elif isinstance(basis, Legendre) and isinstance(self.basis, Legendre):
            matrix = np.eye(basis.size, self.basis.size)
        else:
            matrix = _products(basis, self.basis)
        P = torch.as_tensor(matrix)

        def project(theta: Tensor) -> Tensor:
            return torch.cat([theta[:1], torch.tensordot(P, theta[1:], dims=1)])

        return replace(self, basis=basis, K=project(self.K), b=project(self.b))

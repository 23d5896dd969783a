"""Bases of polynomial chaos: orthonormal polynomials in independent germs, their Gauss rule and triple products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from deeplimit import checks
from deeplimit.uncertainty import germs as germs_
from deeplimit.uncertainty import indices as indices_
from deeplimit.uncertainty.germs import Germ

MEMORY = 1e9  # bytes for the polynomials at the nodes, or for the triple products


class Rule(NamedTuple):
    """Gauss's rule: E f(ξ) ≈ Σ_q ω_q f(ξ_q)."""

    xi: np.ndarray  # (P, d)
    weights: np.ndarray  # (P,), adding up to 1


@dataclass(frozen=True, eq=False, init=False)
class Basis:
    """φ_k(ξ) = φ_{k_1}(ξ_1) … φ_{k_d}(ξ_d) for k in an index set, orthonormal in the law of ξ: E φ_j φ_k = δ_jk.

    Parameters
    ----------
    degree
        K ≥ 0, the largest degree.
    germs
        "uniform" (Legendre polynomials, ξ ~ U(−1, 1)) or "gaussian" (Hermite polynomials, N(0, 1)) for one variable, a
        sequence of them for several independent ones.
    truncation
        "total": k_1 + … + k_d ≤ K. "hyperbolic": (k_1 + 1) … (k_d + 1) ≤ K + 1, sparse.

    Attributes
    ----------
    indices : (N, d)
        The degree of every polynomial in every variable; the first is the constant 1.

    Raises
    ------
    ValueError, TypeError
        For an unknown germ or truncation, a degree below 0, or more terms than 200 000.
    """

    degree: int
    germs: tuple[Germ, ...]
    truncation: str
    indices: np.ndarray = field(repr=False)

    def __init__(
        self, degree: int, germs: str | Germ | Sequence[str | Germ] = "uniform", truncation: str = "total"
    ) -> None:
        if truncation not in indices_.SETS:
            raise ValueError(f"truncation must be one of {', '.join(indices_.SETS)}, got {truncation!r}")
        found = germs_.several(germs)
        _fill(self, degree, found, truncation, indices_.SETS[truncation](len(found), degree))

    def union(self, other: Basis) -> Basis:
        """The basis of all polynomials that are in this one or in the other, of truncation "union" if neither has all.

        Raises
        ------
        ValueError
            If the germs differ.
        """
        if self.germs != other.germs:
            raise ValueError(f"a union of bases needs one set of germs, got {self.germs} and {other.germs}")
        own, others = ({tuple(k) for k in basis.indices.tolist()} for basis in (self, other))
        if others <= own:
            return self
        if own <= others:
            return other
        both = indices_.ordered(own | others)
        return _fill(Basis.__new__(Basis), max(self.degree, other.degree), self.germs, "union", both)

    @property
    def dimension(self) -> int:
        """d, the number of germs."""
        return len(self.germs)

    @property
    def size(self) -> int:
        """N, the number of polynomials."""
        return len(self.indices)

    @property
    def resolving(self) -> int:
        """Q = 2K + 2, the nodes in each variable that resolve products of two functions of degree 2K."""
        return 2 * self.degree + 2

    def at(self, xi: np.ndarray) -> np.ndarray:
        """φ_k(ξ), shape (…, N) for ξ of shape (…, d).

        Raises
        ------
        ValueError
            If the last dimension of ξ is not d, or the values take more than 1 GB.
        """
        xi = np.asarray(xi, dtype=float)
        if xi.ndim == 0 or xi.shape[-1] != self.dimension:
            raise ValueError(f"xi must have the {self.dimension} germs in its last dimension, got shape {xi.shape}")
        points = xi.size // self.dimension
        _check_memory(f"{self.size} polynomials at {points} points", self.size * points)
        values = np.ones((*xi.shape[:-1], self.size))
        for j, germ in enumerate(self.germs):
            values *= germ.polynomials(xi[..., j], self.degree)[..., self.indices[:, j]]
        return values

    def rule(self, nodes: int | None = None) -> Rule:
        """Gauss's rule with Q nodes in each variable, Qᵈ in all: exact for polynomials of degree 2Q − 1 in each.

        Parameters
        ----------
        nodes
            Q ≥ 2K + 2, which is the default: the square of an expansion has degree 2K, and its coefficients up to that
            degree are exact.

        Raises
        ------
        ValueError
            For fewer nodes, which alias high degrees onto low ones, or where N polynomials at the nodes take more than
            1 GB.
        """
        least = self.resolving
        Q = least if nodes is None else checks.whole("nodes", nodes, least=1)
        if not least <= Q:
            raise ValueError(
                f"a rule for degree {self.degree} needs at least 2·{self.degree} + 2 = {least} nodes in each "
                f"variable, got {Q}, which alias high degrees onto low ones; take more nodes or a lower degree"
            )
        _check_memory(f"{self.size} polynomials at {Q}^{self.dimension} Gauss nodes", self.size * Q**self.dimension)
        grids = [germ.gauss(Q) for germ in self.germs]
        xi = np.meshgrid(*(points for points, _ in grids), indexing="ij")
        weights = np.meshgrid(*(w for _, w in grids), indexing="ij")
        return Rule(np.stack([x.ravel() for x in xi], axis=1), np.prod([w.ravel() for w in weights], axis=0))

    def triples(self, onto: Basis) -> np.ndarray:
        """E φ_j φ_k ψ_m with ψ_m those of another basis in the same germs, shape (N, N, M): products, expanded.

        Products of the numbers of each variable, which a Gauss rule of 2K + K' + 1 degrees gives exactly.

        Raises
        ------
        ValueError
            If the germs differ, or the numbers take more than 1 GB.
        """
        if self.germs != onto.germs:
            raise ValueError(f"triple products need one set of germs, got {self.germs} and {onto.germs}")
        _check_memory(f"{self.size}² × {onto.size} triple products", self.size**2 * onto.size)
        found = np.ones((self.size, self.size, onto.size))
        for germ, own, other in zip(self.germs, self.indices.T, onto.indices.T, strict=True):
            found *= _triples(germ, self.degree, onto.degree)[own[:, None, None], own[:, None], other]
        return found


def _fill(basis: Basis, degree: int, germs: tuple[Germ, ...], truncation: str, indices: np.ndarray) -> Basis:
    """The basis with its attributes set."""
    values = {"degree": degree, "germs": germs, "truncation": truncation, "indices": indices}
    for name, value in values.items():
        object.__setattr__(basis, name, value)
    return basis


def _triples(germ: Germ, degree: int, other: int) -> np.ndarray:
    """E φ_j φ_k φ_m in one variable for j, k ≤ K and m ≤ K'."""
    xi, weights = germ.gauss(degree + other // 2 + 1)
    phi = germ.polynomials(xi, max(degree, other))
    return np.einsum("q,qj,qk,qm->jkm", weights, phi[:, : degree + 1], phi[:, : degree + 1], phi[:, : other + 1])


def _check_memory(what: str, numbers: float) -> None:
    if 8 * numbers > MEMORY:
        raise ValueError(
            f"{what} take {8 * numbers / 1e9:.1f} GB, more than the limit of {MEMORY / 1e9:g}; lower the degree, take "
            "truncation='hyperbolic', or use Monte Carlo"
        )

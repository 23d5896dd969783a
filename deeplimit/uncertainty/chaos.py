"""Polynomial chaos: a random quantity as a series of orthonormal polynomials in its germs, and what it says at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeplimit.uncertainty.bases import Basis


@dataclass(frozen=True, eq=False)
class Expansion:
    """x(ξ) = Σ_k x̂_k φ_k(ξ).

    Parameters
    ----------
    basis
        The N polynomials φ_k.
    coefficients : (N, …)
        x̂_k; the other dimensions are those of x.

    Raises
    ------
    ValueError
        If the number of coefficients is not that of the polynomials.
    """

    basis: Basis
    coefficients: np.ndarray

    def __post_init__(self) -> None:
        coefficients = np.asarray(self.coefficients, dtype=float)
        if coefficients.ndim == 0 or len(coefficients) != self.basis.size:
            raise ValueError(
                f"an expansion has one coefficient for each of its {self.basis.size} polynomials, "
                f"got shape {coefficients.shape}"
            )
        object.__setattr__(self, "coefficients", coefficients)

    @property
    def mean(self) -> np.ndarray:
        """E x = x̂_0."""
        return self.coefficients[0]

    @property
    def variance(self) -> np.ndarray:
        """Var x = Σ_{k ≠ 0} x̂_k², entry by entry."""
        found: np.ndarray = (self.coefficients[1:] ** 2).sum(0)
        return found

    @property
    def deviation(self) -> np.ndarray:
        """√Var x."""
        return np.sqrt(self.variance)

    @property
    def norm(self) -> float:
        """√(E |x|²)."""
        return float(np.linalg.norm(self.coefficients))

    def at(self, xi: np.ndarray) -> np.ndarray:
        """x(ξ), shape (…, *shape of x) for ξ of shape (…, d)."""
        return np.tensordot(self.basis.at(xi), self.coefficients, axes=1)

    def onto(self, basis: Basis) -> Expansion:
        """The orthogonal projection onto another basis in the same germs: coefficients left out, or zeros added.

        Raises
        ------
        ValueError
            If the germs differ.
        """
        if basis.germs != self.basis.germs:
            raise ValueError(f"a projection needs one set of germs, got {self.basis.germs} and {basis.germs}")
        place = {tuple(k): n for n, k in enumerate(self.basis.indices.tolist())}
        found = np.zeros((basis.size, *self.coefficients.shape[1:]))
        for n, k in enumerate(basis.indices.tolist()):
            if tuple(k) in place:
                found[n] = self.coefficients[place[tuple(k)]]
        return Expansion(basis, found)

    def __sub__(self, other: Expansion) -> Expansion:
        """x − y, with all polynomials of both bases; neither needs to contain the other."""
        both = self.basis.union(other.basis)
        return Expansion(both, self.onto(both).coefficients - other.onto(both).coefficients)

    def distance(self, other: Expansion) -> float:
        """√(E |x − y|²)."""
        return (self - other).norm

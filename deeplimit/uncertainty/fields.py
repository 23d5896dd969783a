"""Random fields as inputs: the Karhunen-Loève series of a covariance, cut after a few terms.

    x_0(s; ξ) = m(s) + Σ_{j ≤ J} √λ_j ψ_j(s) ζ_j,  ∫ C(s, s') ψ_j(s') ds' = λ_j ψ_j(s),

with uncorrelated ζ_j of mean 0 and variance 1. What is cut off has E ‖·‖² = Σ_{j > J} λ_j, less than for any other J
functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from deeplimit import checks
from deeplimit.uncertainty import germs as germs_
from deeplimit.uncertainty.germs import Germ

SYMMETRIC = 1e-12  # relative asymmetry, and relative size of a negative eigenvalue, that rounding may leave


@dataclass(frozen=True, eq=False)
class Field:
    """A random field at S points: mean (S,), eigenvalues λ (S,), modes ψ (S, S), of which the first J are used.

    Attributes
    ----------
    terms
        J, the number of germs.
    germ
        The law of ξ_j; ζ_j = φ_1(ξ_j) is √3 ξ_j for the uniform germ and ξ_j for the Gaussian one.
    """

    mean: np.ndarray
    eigenvalues: np.ndarray
    modes: np.ndarray
    terms: int
    germ: Germ

    @property
    def germs(self) -> tuple[Germ, ...]:
        """One for each term."""
        return (self.germ,) * self.terms

    @property
    def tail(self) -> float:
        """Σ_{j > J} λ_j = E ‖x_0 − x_0^J‖²."""
        return float(self.eigenvalues[self.terms :].sum())

    def at(self, xi: np.ndarray) -> np.ndarray:
        """x_0(s; ξ), shape (P, S) for ξ of shape (P, J)."""
        if xi.ndim != 2 or xi.shape[1] != self.terms:
            raise ValueError(f"xi must have the {self.terms} germs of the field in its last dimension, got {xi.shape}")
        zeta = self.germ.polynomials(xi, 1)[..., 1]
        found: np.ndarray = self.mean + (zeta * np.sqrt(self.eigenvalues[: self.terms])) @ self.modes[:, : self.terms].T
        return found


def karhunen_loeve(
    mean: np.ndarray,
    covariance: np.ndarray,
    terms: int,
    *,
    weights: np.ndarray | None = None,
    germ: str | Germ = "gaussian",
) -> Field:
    """The field with given mean and covariance at S points, cut after J terms.

    Parameters
    ----------
    mean : (S,)
    covariance : (S, S)
        C(s, s'), symmetric and positive semidefinite.
    terms
        J, from 1 to S.
    weights : (S,)
        Of the quadrature for ∫ ds (Nyström's method); 1 by default, which makes the norm that of ℝˢ.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, weights are not positive, or the covariance is not symmetric positive semidefinite.
    """
    mean, C = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
    S = len(mean)
    w = np.ones(S) if weights is None else np.asarray(weights, dtype=float)
    if mean.ndim != 1 or C.shape != (S, S) or w.shape != (S,):
        raise ValueError(f"mean, covariance and weights must have S, S × S and S entries, got {mean.shape}, {C.shape}")
    if not (w > 0).all() or np.abs(C - C.T).max() > SYMMETRIC * np.abs(C).max():
        raise ValueError("the covariance must be symmetric and the weights positive")
    if checks.whole("terms", terms, least=1) > S:
        raise ValueError(f"terms must be at most the {S} points, got {terms}")
    root = np.sqrt(w)
    values, vectors = linalg.eigh(root[:, None] * C * root)
    if values[0] < -SYMMETRIC * S * values[-1]:
        raise ValueError(f"the covariance must be positive semidefinite, got the eigenvalue {values[0]:.3g}")
    modes = vectors[:, ::-1] / root[:, None]
    return Field(mean, np.maximum(values[::-1], 0.0), modes, terms, germs_.get(germ))


def stationary(points: np.ndarray, correlation: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """C(s, s') = c(|s − s'|) at points (S,) or (S, d), for instance c = lambda r: exp(−r / length)."""
    points = np.asarray(points, dtype=float).reshape(len(points), -1)
    return np.asarray(correlation(np.linalg.norm(points[:, None] - points, axis=-1)), dtype=float)

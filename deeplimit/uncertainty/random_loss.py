"""The random loss: the loss ℓ(ξ) of a random signal, its mean and variance by identities, its distribution by sampling.

For ℓ = |x − y|² and x = Σ_{k} x̂_k φ_k of degree K, with e = x − y, ê_k = x̂_k − y δ_k0 (derived here),

    E ℓ = Σ_k |ê_k|²,  ℓ̂_m = Σ_jk ê_j · ê_k E[φ_j φ_k φ_m],  Var ℓ = Σ_{m ≠ 0} ℓ̂_m²,

where ℓ is a polynomial of degree 2K, so that nothing is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from deeplimit import checks
from deeplimit.uncertainty import monte_carlo
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion

CONFIDENCE = 0.95


def mean_squared(x: Expansion, y: np.ndarray | float) -> np.ndarray:
    """E |x − y|² = Σ_k |x̂_k − y δ_k0|².

    Parameters
    ----------
    x
        A number, coefficients (N,), or vectors, coefficients (N, …, m): their last dimension is summed.
    y
        A number, or an array that broadcasts to the shape of x.

    Returns
    -------
    () or (…,).
    """
    e = _difference(x, y)
    return np.asarray((e**2).sum((0, -1)))


def squared(x: Expansion, y: np.ndarray | float) -> Expansion:
    """ℓ = |x − y|² as an expansion of total degree 2K, exact; arguments as for `mean_squared`.

    Raises
    ------
    ValueError
        If the triple products take more than 1 GB.
    """
    e = _difference(x, y)
    onto = Basis(2 * x.basis.degree, x.basis.germs)
    return Expansion(onto, np.einsum("j...i,k...i,jkm->m...", e, e, x.basis.triples(onto), optimize=True))


def _difference(x: Expansion, y: np.ndarray | float) -> np.ndarray:
    """ê, with a last dimension for the components."""
    coefficients = x.coefficients if x.coefficients.ndim > 1 else x.coefficients[:, None]
    target = np.asarray(y, dtype=float)
    try:
        target = np.broadcast_to(target, coefficients.shape[1:])
    except ValueError:
        shape = coefficients.shape[1:]
        raise ValueError(f"y must fit the signal, of shape {shape}, got shape {target.shape}") from None
    e = coefficients.copy()
    e[0] -= target
    return e


@dataclass(frozen=True, eq=False)
class Quantile:
    """q with P(ℓ ≤ q) = level, and its 95 % confidence interval [low, high] from order statistics."""

    level: float
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class Distribution:
    """The law of a random loss as N draws show it, `values` (N, …) in increasing order along the first dimension."""

    values: np.ndarray

    @property
    def count(self) -> int:
        """N."""
        return len(self.values)

    def quantile(self, level: float) -> Quantile:
        """The quantile of a level between 0 and 1.

        The interval has the ranks N p ± 1.96 √(N p (1 − p)), so that it needs no density.

        Raises
        ------
        ValueError
            If the level is not inside (0, 1), or too near its ends for the number of draws.
        """
        p = checks.number("level", level)
        half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(self.count * p * (1 - p)) if 0 < p < 1 else np.inf
        low, high = self.count * p - half, self.count * p + half
        if low < 1 or high > self.count:
            raise ValueError(f"level must be inside (0, 1) and resolved by {self.count} draws, got {level}; draw more")
        ranks = (int(np.floor(low)) - 1, int(np.ceil(high)) - 1)
        return Quantile(p, np.quantile(self.values, p, axis=0), *(self.values[rank] for rank in ranks))

    def shortfall(self, level: float) -> np.ndarray:
        """E[ℓ | ℓ is one of the largest (1 − level) N draws], the mean of the worst cases; it changes smoothly with ℓ.

        Raises
        ------
        ValueError
            As for `quantile`.
        """
        rank = int(np.ceil(self.quantile(level).level * self.count))
        return np.asarray(self.values[rank:].mean(0))

    def cdf(self, loss: float) -> np.ndarray:
        """The part of the draws with ℓ ≤ loss; its standard error is √(p (1 − p)/N)."""
        return np.asarray((self.values <= loss).mean(0))


def distribution(loss: Expansion, count: int = 100_000, seed: int = 0) -> Distribution:
    """The law of an expansion, its surrogate's, from N draws of its germs."""
    return Distribution(np.sort(monte_carlo.draws(loss.at, loss.basis.germs, count, seed), axis=0))

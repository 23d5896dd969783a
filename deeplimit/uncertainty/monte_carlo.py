"""Monte Carlo: means and variances from independent draws, with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deeplimit import checks
from deeplimit.uncertainty import germs as germs_
from deeplimit.uncertainty.collocation import Quantity, values_at
from deeplimit.uncertainty.germs import Germ

BLOCK = 2**14  # draws that are evaluated together


@dataclass(frozen=True, eq=False)
class Estimate:
    """What N draws say of a random quantity x.

    Attributes
    ----------
    mean, variance
        The sample mean and the unbiased sample variance s².
    mean_error
        s/√N, the standard error of the mean.
    variance_error
        √((m₄ − s⁴ (N − 3)/(N − 1))/N) with m₄ the fourth central sample moment, that of the variance.
    count
        N.
    """

    mean: np.ndarray
    variance: np.ndarray
    mean_error: np.ndarray
    variance_error: np.ndarray
    count: int


def draws(quantity: Quantity, germs: str | Germ | Sequence[str | Germ], count: int, seed: int = 0) -> np.ndarray:
    """N values x(ξ) of independent ξ, shape (N, …).

    Parameters
    ----------
    quantity
        ξ (P, d) ↦ x(ξ), (P, …); called with blocks of draws.
    germs
        As for `bases.Basis`.
    seed
        Of NumPy's generator.
    """
    count = checks.whole("count", count, least=1)
    generator = np.random.default_rng(checks.whole("seed", seed, least=0))
    xi = germs_.draw(germs_.several(germs), generator, count)
    return np.concatenate([values_at(quantity, xi[k : k + BLOCK]) for k in range(0, count, BLOCK)])


def estimate(quantity: Quantity, germs: str | Germ | Sequence[str | Germ], count: int, seed: int = 0) -> Estimate:
    """Mean and variance of x with their standard errors, from N ≥ 4 draws.

    Raises
    ------
    ValueError, TypeError
        For fewer draws than 4, an unknown germ, or a quantity without one finite value for each ξ.
    """
    N = checks.whole("count", count, least=4)
    values = draws(quantity, germs, N, seed)
    mean, variance = values.mean(0), values.var(0, ddof=1)
    fourth = ((values - mean) ** 4).mean(0)
    spread = np.maximum(fourth - variance**2 * (N - 3) / (N - 1), 0.0)
    return Estimate(mean, variance, np.sqrt(variance / N), np.sqrt(spread / N), N)

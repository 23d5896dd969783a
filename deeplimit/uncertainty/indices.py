"""Index sets: which products φ_{k_1}(ξ_1) … φ_{k_d}(ξ_d) a polynomial chaos has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import takewhile

import numpy as np

from deeplimit import checks

MOST = 200_000  # indices of one set


def total(dimension: int, degree: int) -> np.ndarray:
    """k_1 + … + k_d ≤ K: (K + d)! / (K! d!) indices, shape (N, d), 0 first, by total degree.

    Raises
    ------
    ValueError, TypeError
        For a dimension below 1, a degree below 0, or more indices than 200 000.
    """
    return _within(dimension, degree, sum)


def hyperbolic(dimension: int, degree: int) -> np.ndarray:
    """(k_1 + 1) … (k_d + 1) ≤ K + 1, the hyperbolic cross: high degrees in one variable, low ones in products.

    Raises
    ------
    ValueError, TypeError
        As for `total`.
    """
    return _within(dimension, degree, lambda k: math.prod(entry + 1 for entry in k))


def _within(dimension: int, degree: int, cost: Callable[[tuple[int, ...]], int]) -> np.ndarray:
    """The indices that cost no more than (K), with costs that grow with every entry and that zeros do not change."""
    dimension, degree = checks.whole("dimension", dimension, least=1), checks.whole("degree", degree, least=0)
    most = cost((degree,))
    found: list[tuple[int, ...]] = [()]
    for _ in range(dimension):
        longer: list[tuple[int, ...]] = []
        for k in found:
            candidates = ((*k, entry) for entry in range(degree + 1))
            longer += takewhile(lambda index: cost(index) <= most, candidates)
            if len(longer) > MOST:
                raise ValueError(
                    f"degree {degree} in {dimension} variables has more than {MOST} terms; lower the degree, take "
                    "truncation='hyperbolic', or use Monte Carlo"
                )
        found = longer
    return ordered(found)


def ordered(found: Iterable[tuple[int, ...]]) -> np.ndarray:
    """Indices as an array (N, d), by total degree and then by the first variables, 0 first."""
    return np.array(sorted(found, key=lambda k: (sum(k), [-j for j in k])))


SETS = {"total": total, "hyperbolic": hyperbolic}

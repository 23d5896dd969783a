"""Germs: the random numbers that inputs depend on, with their orthonormal polynomials and Gauss's rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import hermite_e, legendre
from scipy.special import gammaln

MOST_HERMITE = 128  # degree up to which NumPy's Hermite polynomials are orthonormal to 1e-12 at their Gauss nodes


@dataclass(frozen=True, eq=False)
class Germ:
    """A random number ξ with orthonormal polynomials, E[φ_j(ξ) φ_k(ξ)] = δ_jk.

    Parameters
    ----------
    name
        The name under which it is known.
    polynomials
        ξ (…,), degree K ↦ φ_0(ξ) … φ_K(ξ), (…, K + 1).
    gauss
        Q ↦ nodes (Q,) and weights (Q,) that add up to 1: E f(ξ) for polynomials f of degree up to 2Q − 1.
    sample
        Generator, shape ↦ independent draws.
    """

    name: str
    polynomials: Callable[[np.ndarray, int], np.ndarray]
    gauss: Callable[[int], tuple[np.ndarray, np.ndarray]]
    sample: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

    def __repr__(self) -> str:
        return f"Germ({self.name!r})"


def _legendre(xi: np.ndarray, degree: int) -> np.ndarray:
    """√(2k + 1) P_k(ξ)."""
    return legendre.legvander(xi, degree) * np.sqrt(2 * np.arange(degree + 1) + 1)


def _gauss_legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's nodes after two more Newton steps, as its rule of 400 nodes is orthonormal to 1e-11 only."""
    points, _ = legendre.leggauss(nodes)
    for _ in range(2):
        points = points - legendre.legvander(points, nodes)[:, -1] / _legendre_slope(points, nodes)
    weights = 1 / ((1 - points**2) * _legendre_slope(points, nodes) ** 2)
    return points, weights / weights.sum()


def _legendre_slope(points: np.ndarray, degree: int) -> np.ndarray:
    """P_Q' = Q (P_{Q−1} − x P_Q)/(1 − x²) inside (−1, 1)."""
    below, here = legendre.legvander(points, degree)[:, -2:].T
    return np.asarray(degree * (below - points * here) / (1 - points**2))


def _hermite(xi: np.ndarray, degree: int) -> np.ndarray:
    """He_k(ξ) / √k!."""
    _check_hermite(degree)
    return hermite_e.hermevander(xi, degree) * np.exp(-gammaln(np.arange(degree + 1) + 1) / 2)


def _gauss_hermite(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    _check_hermite(nodes)
    points, weights = hermite_e.hermegauss(nodes)
    return points, weights / weights.sum()


def _check_hermite(degree: int) -> None:
    if degree > MOST_HERMITE:
        raise ValueError(
            f"Hermite polynomials and Gauss-Hermite rules are computed up to degree {MOST_HERMITE}, got {degree}; "
            "lower the degree or the number of nodes"
        )


def _uniform(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.uniform(-1, 1, shape)


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.standard_normal(shape)


GERMS = {
    germ.name: germ
    for germ in (
        Germ("uniform", _legendre, _gauss_legendre, _uniform),  # U(−1, 1)
        Germ("gaussian", _hermite, _gauss_hermite, _normal),  # N(0, 1)
    )
}


def get(name: str | Germ) -> Germ:
    """The germ of that name, "uniform" for U(−1, 1) or "gaussian" for N(0, 1); a `Germ` is returned as it is.

    Raises
    ------
    ValueError, TypeError
        If no germ has that name, or it is no string.
    """
    if isinstance(name, Germ):
        return name
    if not isinstance(name, str):
        raise TypeError(f"germ must be a name or a Germ, got {type(name).__name__}")
    if name not in GERMS:
        raise ValueError(f"germ must be one of {', '.join(GERMS)}, or a Germ of your own, got {name!r}")
    return GERMS[name]


def several(names: str | Germ | Sequence[str | Germ]) -> tuple[Germ, ...]:
    """The germs of one name or of a sequence of names, at least one."""
    found = (get(names),) if isinstance(names, str | Germ) else tuple(get(name) for name in names)
    if not found:
        raise ValueError("germs must name at least one germ, got none")
    return found


def draw(germs: Sequence[Germ], generator: np.random.Generator, count: int) -> np.ndarray:
    """Independent draws of ξ = (ξ_1, …, ξ_d), (count, d)."""
    return np.stack([germ.sample(generator, (count,)) for germ in germs], axis=1)

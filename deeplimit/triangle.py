"""Polynomials on the triangle 0 ≤ s ≤ t ≤ 1 and the quadratic form ∬_{s<t} |∂_tθ|² + |∂_sθ|² + τ |θ|² of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import eval_jacobi

Array = np.ndarray


def gauss(points: int) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights on [0, 1]."""
    x, w = leggauss(points)
    return (x + 1) / 2, w / 2


def quadrature(points: int) -> tuple[Array, Array, Array]:
    """t, s and weights on the triangle, points² each, exact up to the degree 2·points − 2 (s = t r)."""
    x, w = gauss(points)
    t = np.repeat(x, points)
    return t, t * np.tile(x, points), np.repeat(w * x, points) * np.tile(w, points)


@dataclass(frozen=True)
class Polynomials:
    """Polynomials of total degree ≤ `degree`, orthonormal in L² of the triangle (Dubiner).

    With r = s/t they are t^b P_b(2r − 1) P_a^{(0, 2b+1)}(2t − 1), a + b ≤ degree, up to a factor. Those of a lower
    degree come first.
    """

    degree: int

    @property
    def size(self) -> int:
        """How many there are."""
        return (self.degree + 1) * (self.degree + 2) // 2

    @cached_property
    def _indices(self) -> tuple[Array, Array, Array]:
        a, b = np.array([(k - b, b) for k in range(self.degree + 1) for b in range(k + 1)]).T
        return a, b, np.sqrt((2 * b + 1) * 2.0 * (a + b + 1))

    def values(self, t: Array, s: Array) -> Array:
        """At points t, s (k,): shape (k, size)."""
        a, b, scale = self._indices
        t, r = _collapsed(t, s)
        return np.asarray(scale * t**b * eval_jacobi(b, 0, 0, 2 * r - 1) * eval_jacobi(a, 0, 2 * b + 1, 2 * t - 1))

    def gradients(self, t: Array, s: Array) -> tuple[Array, Array]:
        """∂_t and ∂_s at points with t > 0, each (k, size)."""
        a, b, scale = self._indices
        t, r = _collapsed(t, s)
        P, Q = eval_jacobi(b, 0, 0, 2 * r - 1), eval_jacobi(a, 0, 2 * b + 1, 2 * t - 1)
        dP = np.where(b > 0, (b + 1) * eval_jacobi(np.maximum(b - 1, 0), 1, 1, 2 * r - 1), 0.0)
        dQ = np.where(a > 0, (a + 2 * b + 2) * eval_jacobi(np.maximum(a - 1, 0), 1, 2 * b + 2, 2 * t - 1), 0.0)
        power = scale * t ** np.maximum(b - 1, 0)
        return b * power * P * Q + scale * t**b * P * dQ - r * power * dP * Q, power * dP * Q

    def gram(self, tau: float) -> Array:
        """The matrix of the quadratic form, (size, size), exact."""
        t, s, w = quadrature(self.degree + 1)
        along_t, along_s = self.gradients(t, s)
        return np.asarray(
            along_t.T @ (w[:, None] * along_t) + along_s.T @ (w[:, None] * along_s) + tau * np.eye(self.size)
        )


def _collapsed(t: Array, s: Array) -> tuple[Array, Array]:
    """Columns t and r = s/t, r = 0 at the corner t = 0."""
    return t[:, None], np.divide(s, t, out=np.zeros(np.shape(s)), where=t > 0)[:, None]

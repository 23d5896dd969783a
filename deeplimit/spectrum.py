"""Eigenvalues of a Hessian 2I + compact: the least one as a certificate, the leading ones to precondition finer grids.

Multigrid of the second kind: a compact operator is determined, up to small errors, by what a coarse grid sees of it
(Hackbusch; Atkinson, Brakhage), so a few eigenpairs of a coarse Hessian make every finer problem easy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh
from scipy.sparse import linalg

Vector = np.ndarray
Operator = Callable[[Vector], Vector]
LEADING = 48  # eigenpairs kept of a coarse Hessian
MANY = 256  # where these leave out large ones
LOWEST_TOL = 1e-3
MOST_STEPS = 60  # of LOBPCG, a product each
MOST_CHECKS = 100  # products that look for a lower eigenvalue than the hinted one
SURE = 30  # a random vector has less than this part of its mean share of a direction in one case of 40
SAME = 1e-4  # relative difference of two eigenvalues that may be one
DENSE = 2000  # unknowns up to which a dense Hessian is a way to them at all
SMALL = 40  # unknowns up to which a dense Hessian is the quickest way to its eigenvalues
NCV = 40  # vectors of Lanczos for the least eigenvalue


def same(v: Vector) -> Vector:
    """v."""
    return v


def least_eigenpair(product: Operator, size: int, hints: Hints | None = None) -> tuple[float, Vector]:
    """The least eigenvalue of a symmetric operator, with its eigenvector; NaN if the iteration does not converge.

    Lanczos from a random vector, with a residual of 1e-6 of the eigenvalue; with hints the preconditioned iteration of
    Knyazev (LOBPCG) from the hinted eigenvector, with a residual of 1e-3, less near 2 and 0. The error
    of the eigenvalue is about the square of the residual. A Krylov space of a random vector then looks for a lower one;
    if it finds one, or comes to no end, Lanczos decides. One less than a tenth lower than the hinted one may be missed.
    """
    try:
        value, vector = math.nan, np.zeros(size)
        if hints is not None:
            value, vector = _hinted_eigenpair(product, hints)
        return (value, vector) if not math.isnan(value) else _least_by_lanczos(product, size)
    except (linalg.ArpackError, np.linalg.LinAlgError):  # no convergence, or numbers that are not finite
        return math.nan, np.zeros(size)


def _least_by_lanczos(product: Operator, size: int) -> tuple[float, Vector]:
    """Lanczos, or the dense Hessian where it is small or Lanczos slow, as in the cluster of eigenvalues at 2."""
    if size > SMALL:
        restarts = 100 if size > DENSE else max(3, size // NCV)  # of about NCV products each
        try:
            found = _lanczos(product, size, 1, "SA", 1e-6, ncv=NCV, maxiter=restarts)
            return float(found.eigenvalues[0]), found.vectors[:, 0]
        except linalg.ArpackNoConvergence:
            if size > DENSE:
                raise
    values, vectors = _dense_eigenpairs(product, size)
    return float(values[0]), vectors[:, 0]


def _hinted_eigenpair(product: Operator, hints: Hints) -> tuple[float, Vector]:
    """The least eigenpair near the hint; NaN if it does not converge or is not the least."""
    B = hints.preconditioner
    value, vector, converged = _improved(product, hints.lowest, B)
    found = converged and _is_least(product, vector, value, B)
    return value if found else math.nan, vector


def _improved(product: Operator, near: Vector, B: Operator) -> tuple[float, Vector, bool]:
    """Least eigenvalue, eigenvector and whether it converged, by LOBPCG from a near vector.

    x minimises the Rayleigh quotient over span(x, p, B r), r the residual and p the step before (Knyazev 2001). A step
    takes one product.
    """
    x = near / np.linalg.norm(near)
    basis, images, value = x[:, None], product(x)[:, None], math.nan
    for _ in range(MOST_STEPS):
        values, S = np.linalg.eigh(_symmetric(basis.T @ images))
        value, weights = float(values[0]), S[:, 0]
        x, Hx = basis @ weights, images @ weights
        residual = Hx - value * x
        if np.linalg.norm(residual) <= _resolved(value):
            return value, x, True
        p, Hp = basis[:, 1:] @ weights[1:], images[:, 1:] @ weights[1:]
        p, Hp = p - (x @ p) * x, Hp - (x @ p) * Hx
        size = np.linalg.norm(p)
        kept = [(x, Hx), (p / size, Hp / size)] if size > 0 else [(x, Hx)]
        w = _orthogonal(B(residual), np.column_stack([v for v, _ in kept]))
        if w is None:
            break
        basis = np.column_stack([*(v for v, _ in kept), w])
        images = np.column_stack([*(Hv for _, Hv in kept), product(w)])
    return value, x, False


def _resolved(value: float) -> float:
    """The residual at which an eigenvalue is known.

    The gap to others is at most that to their cluster at 2, and the sign must be certain.
    """
    return LOWEST_TOL * min(1.0, math.sqrt(abs(2 - value)), 100 * abs(value))


def _orthogonal(v: Vector, basis: np.ndarray) -> Vector | None:
    """The unit vector along what a projection on orthonormal columns leaves of v, or None; twice for rounding."""
    size = np.linalg.norm(v)
    for _ in range(2):
        v = v - basis @ (basis.T @ v)
    left = np.linalg.norm(v)
    return v / left if left > 1e-12 * size else None


def _is_least(product: Operator, vector: Vector, value: float, B: Preconditioner) -> bool:
    """Whether no Rayleigh quotient of a Hessian H on a Krylov space of B H is below that of a given eigenvector.

    The space grows from a random vector until it would have shown an eigenvalue clearly below the given one: in
    directions that B does not know, where it is ½, that is an eigenvalue of B H below z = 0.45 · value. If those seen
    lie in [a, b], z < a, a polynomial of degree k amplifies it by cosh(k arcosh((a + b − 2z)/(b − a))) over them, which
    must make up for its share in a random vector, about N^−½ (Kuczyński, Woźniakowski 1992). False as well if it has
    not come to that.
    """
    # not the vector that Lanczos starts from, whose blind spots B may have
    start = B(np.random.default_rng(1).standard_normal(len(vector)))
    basis, products, images = vector[:, None], [], []
    for degree in range(MOST_CHECKS):
        x = _orthogonal(start, basis)
        if x is None:  # the space is invariant, and the random vector has a share in every direction
            return True
        basis = np.column_stack([basis, x])
        products.append(product(x))
        images.append(B.inverse(x))
        H, M = (_symmetric(basis[:, 1:].T @ np.column_stack(columns)) for columns in (products, images))
        if eigvalsh(H)[0] < value - SAME * abs(value):
            return False
        if _amplified(degree, eigvalsh(H, M), 0.45 * value) > SURE * math.sqrt(len(vector)):
            return True
        start = B(products[-1])
    return False


def _amplified(degree: int, seen: Vector, z: float) -> float:
    """By how much a polynomial can be larger at z than on the interval of the values seen, none of them below z."""
    a, b = seen[0], seen[-1]
    return math.cosh(degree * math.acosh((a + b - 2 * z) / (b - a))) if z < a < b else 0.0


def _symmetric(A: np.ndarray) -> np.ndarray:
    return (A + A.T) / 2


def linear_operator(product: Operator, size: int) -> linalg.LinearOperator:
    """A product as SciPy's Krylov methods take it."""
    return linalg.LinearOperator((size, size), matvec=lambda v: product(v.ravel()), dtype=float)


def _dense_eigenpairs(product: Operator, size: int) -> tuple[Vector, np.ndarray]:
    H = np.column_stack([product(e) for e in np.eye(size)])
    values, vectors = np.linalg.eigh(_symmetric(H))
    return values, vectors


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """B = P (V Λ⁻¹ Vᵀ + ½ (I − V Vᵀ)) Pᵀ + ½ (I − P Pᵀ) = ½ I + P V (Λ⁻¹ − ½) Vᵀ Pᵀ.

    The approximate inverse of a Hessian 2I + compact from the leading eigenpairs (Λ, V) of one on a coarser grid.

    Parameters
    ----------
    eigenvalues : (k,), vectors : (N_c, k)
        With orthonormal columns.
    prolong, restrict
        P, with orthonormal columns, and Pᵀ; by default the identity.
    """

    eigenvalues: Vector
    vectors: np.ndarray
    prolong: Operator = same
    restrict: Operator = same

    def __call__(self, v: Vector) -> Vector:
        """B v."""
        return self._power(v, 1.0)

    def root(self, v: Vector) -> Vector:
        """B^½ v."""
        return self._power(v, 0.5)

    def inverse(self, v: Vector) -> Vector:
        """B⁻¹ v."""
        return self._power(v, -1.0)

    def _power(self, v: Vector, exponent: float) -> Vector:
        weights = (self.eigenvalues**-exponent - 2**-exponent) * (self.vectors.T @ self.restrict(v))
        return 2**-exponent * v + self.prolong(self.vectors @ weights)


@dataclass(frozen=True, eq=False)
class Hints:
    """What coarser grids know: an approximate inverse Hessian, and the direction of least curvature."""

    preconditioner: Preconditioner
    lowest: Vector


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenpairs of a Hessian 2I + compact farthest from 2: eigenvalues (k,), vectors (N, k)."""

    eigenvalues: Vector
    vectors: np.ndarray

    @property
    def lowest(self) -> Vector:
        """The eigenvector of the least eigenvalue."""
        return self.vectors[:, np.argmin(self.eigenvalues)]

    def hints(self, others: Hints | None = None) -> Hints | None:
        """What it tells of its own Hessian H: B = |H|⁻¹, and the least curved direction unless all of it is above 2."""
        preconditioner = Spectrum(abs(self.eigenvalues), self.vectors).preconditioner()
        lowest = self.lowest if others is None or self.eigenvalues.min() < 2 else others.lowest
        return Hints(preconditioner, lowest) if preconditioner else None

    def preconditioner(self, prolong: Operator = same, restrict: Operator = same) -> Preconditioner | None:
        """That of a finer grid, P and Pᵀ given; None where it would not be definite."""
        if not (self.eigenvalues > 0).all():
            return None
        return Preconditioner(self.eigenvalues, self.vectors, prolong, restrict)


def leading(product: Operator, size: int) -> Spectrum | None:
    """The eigenpairs of a Hessian that a preconditioner of finer grids needs; all of a small one.

    They are the 48 farthest from 2, by Lanczos. If all of these are farther than 2, the positive ones near zero, which
    are no farther, are still missing: then the 256 farthest and, on their complement, the 64 least. None where Lanczos
    fails.
    """
    try:
        return _leading(product, size)
    except (linalg.ArpackError, np.linalg.LinAlgError):  # no convergence, or numbers that are not finite
        return None


def _leading(product: Operator, size: int) -> Spectrum:
    if size <= 2 * LEADING + 1:  # no more products than Lanczos takes
        return Spectrum(*_dense_eigenpairs(product, size))
    far = _lanczos(product, size, LEADING, "LM", 1e-3)
    if abs(far.eigenvalues - 2).min() <= 2:
        return far
    many = max(LEADING, min(MANY, size // 4))
    far = _lanczos(product, size, many, "LM", 0.1)

    def complement(v: Vector) -> Vector:
        return v - far.vectors @ (far.vectors.T @ v)

    low = _lanczos(lambda v: complement(product(complement(v))) + 2 * (v - complement(v)), size, many // 4, "SA", 0.1)
    vectors, _ = np.linalg.qr(np.column_stack([far.vectors, low.vectors]))
    return Spectrum(np.concatenate([far.eigenvalues, low.eigenvalues]), vectors)


def _lanczos(product: Operator, size: int, count: int, which: str, tol: float, **options: int) -> Spectrum:
    """Eigenpairs of a Hessian by those at one end of Hessian − 2I, as ARPACK sees no eigenvalue of exactly 0."""
    v0 = np.random.default_rng(0).standard_normal(size)
    if not (product(v0) - 2 * v0).any():
        return Spectrum(np.full(1, 2.0), v0[:, None] / np.linalg.norm(v0))
    operator, rng = linear_operator(lambda v: product(v) - 2 * v, size), np.random.default_rng(0)
    values, vectors = linalg.eigsh(operator, k=count, which=which, v0=v0, tol=tol, rng=rng, **options)
    return Spectrum(values + 2, vectors)

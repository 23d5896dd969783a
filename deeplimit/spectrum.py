"""Eigenvalues of a Hessian 2I + compact: the least one as a certificate, the leading ones to precondition finer grids.

Multigrid of the second kind: a compact operator is determined, up to small errors, by what a coarse grid sees of it
(Hackbusch; Atkinson, Brakhage), so a few eigenpairs of a coarse Hessian make every finer problem easy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import linalg

Vector = np.ndarray
Operator = Callable[[Vector], Vector]
LEADING = 48  # eigenpairs kept of a coarse Hessian
MANY = 256  # where these leave out large ones
LOWEST_TOL = 1e-3
CHECK_STEPS = 4
DENSE = 2000  # unknowns up to which a dense Hessian is a way to them at all
SMALL = 40  # unknowns up to which a dense Hessian is the quickest way to its eigenvalues


def same(v: Vector) -> Vector:
    """v."""
    return v


def least_eigenpair(product: Operator, size: int, hints: Hints | None = None) -> tuple[float, Vector]:
    """The least eigenvalue of a symmetric operator, with its eigenvector; NaN if the iteration does not converge.

    Lanczos from a random vector, with a residual of 1e-6 of the eigenvalue; with hints the preconditioned iteration of
    Knyazev (LOBPCG) from the hinted eigenvector, with a residual of 1e-3 or,
    in the cluster at 2, 1e-3 |2 − λ|^½, and then a small Krylov space of a random
    vector orthogonal to what was found: should it hold a lower quotient, the hint was another eigenvector's, and
    Lanczos decides. The error of the eigenvalue is about the square of the residual.
    """
    try:
        if size <= SMALL:
            values, vectors = _dense_eigenpairs(product, size)
            return float(values[0]), vectors[:, 0]
        value, vector = math.nan, np.zeros(size)
        if hints is not None:
            value, vector = _hinted_eigenpair(product, hints)
        return (value, vector) if not math.isnan(value) else _least_by_lanczos(product, size)
    except (linalg.ArpackError, np.linalg.LinAlgError):  # no convergence, or numbers that are not finite
        return math.nan, np.zeros(size)


def _least_by_lanczos(product: Operator, size: int) -> tuple[float, Vector]:
    """Lanczos, or the dense Hessian where it does not converge, as in the cluster of eigenvalues at 2."""
    v0 = np.random.default_rng(0).standard_normal(size)
    options = {"v0": v0, "ncv": min(size, 40), "tol": 1e-6, "maxiter": 100, "rng": np.random.default_rng(0)}
    try:
        values, vectors = linalg.eigsh(linear_operator(product, size), k=1, which="SA", **options)
    except linalg.ArpackNoConvergence:
        if size > DENSE:
            raise
        values, vectors = _dense_eigenpairs(product, size)
    return float(values[0]), vectors[:, 0]


def _hinted_eigenpair(product: Operator, hints: Hints) -> tuple[float, Vector]:
    """The least eigenpair near the hint; NaN if it does not converge or is not the least."""
    value, vector, residual = _improved(product, hints.lowest, hints.preconditioner, LOWEST_TOL)
    # the gap to other eigenvalues is at most that to their cluster at 2
    tol = LOWEST_TOL * min(1.0, math.sqrt(abs(2 - value)))
    if tol < residual:
        value, vector, residual = _improved(product, vector, hints.preconditioner, tol)
    found = residual <= 10 * tol and value <= _least_elsewhere(product, vector, hints.preconditioner)
    return value if found else math.nan, vector


def _improved(product: Operator, vector: Vector, B: Operator, tol: float) -> tuple[float, Vector, float]:
    """Least eigenvalue, eigenvector and norm of its residual by LOBPCG from a near vector."""
    size = len(vector)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a residual above its tolerance is looked at by the caller
        values, vectors, residuals = linalg.lobpcg(
            linear_operator(product, size),
            vector[:, None],
            M=linear_operator(B, size),
            largest=False,
            tol=tol,
            maxiter=30,
            retResidualNormsHistory=True,
        )
    return float(values[0]), vectors[:, 0], float(np.ravel(residuals[-1])[0])


def _least_elsewhere(product: Operator, vector: Vector, B: Operator) -> float:
    """The least Rayleigh quotient on a Krylov space of B × Hessian, from a random vector, orthogonal to a given one.

    B × Hessian is I + compact with few eigenvalues far from 1, and a negative one stands out: few products show it.
    """
    x = B(np.random.default_rng(0).standard_normal(len(vector)))
    basis, products = vector[:, None], np.empty((len(vector), 0))
    for _ in range(CHECK_STEPS):
        for _ in range(2):  # once more for the rounding
            x = x - basis @ (basis.T @ x)
        x = x / np.linalg.norm(x)
        Hx = product(x)
        basis, products = np.column_stack([basis, x]), np.column_stack([products, Hx])
        x = B(Hx)
    quotients = basis[:, 1:].T @ products
    return float(np.linalg.eigvalsh((quotients + quotients.T) / 2)[0])


def linear_operator(product: Operator, size: int) -> linalg.LinearOperator:
    """A product as SciPy's Krylov methods take it."""
    return linalg.LinearOperator((size, size), matvec=lambda v: product(v.ravel()), dtype=float)


def _dense_eigenpairs(product: Operator, size: int) -> tuple[Vector, np.ndarray]:
    H = np.column_stack([product(e) for e in np.eye(size)])
    values, vectors = np.linalg.eigh((H + H.T) / 2)
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
        return self._power(v, 1.0)

    def root(self, v: Vector) -> Vector:
        """B^½ v."""
        return self._power(v, 0.5)

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

    def preconditioner(self, prolong: Operator = same, restrict: Operator = same) -> Preconditioner | None:
        """That of a finer grid, P and Pᵀ given; None where it would not be definite."""
        if not (self.eigenvalues > 0).all():
            return None
        return Preconditioner(self.eigenvalues, self.vectors, prolong, restrict)


def leading(product: Operator, size: int) -> Spectrum:
    """The eigenpairs of a Hessian that a preconditioner of finer grids needs; all of a small one.

    They are the 48 farthest from 2, by Lanczos. If all of these are farther than 2, the positive ones near zero, which
    are no farther, are still missing: then the 256 farthest and, on their complement, the 64 least.
    """
    if size <= max(SMALL, LEADING + 1):
        return Spectrum(*_dense_eigenpairs(product, size))

    def compact(v: Vector) -> Vector:
        return product(v) - 2 * v

    far = _lanczos(compact, size, LEADING, "LM", 1e-3)
    if abs(far.eigenvalues - 2).min() <= 2:
        return far
    many = min(MANY, size // 4)
    far = _lanczos(compact, size, many, "LM", 0.1)

    def complement(v: Vector) -> Vector:
        return v - far.vectors @ (far.vectors.T @ v)

    low = _lanczos(lambda v: complement(compact(complement(v))), size, many // 4, "SA", 0.1)
    vectors, _ = np.linalg.qr(np.column_stack([far.vectors, low.vectors]))
    return Spectrum(np.concatenate([far.eigenvalues, low.eigenvalues]), vectors)


def _lanczos(compact: Operator, size: int, count: int, which: str, tol: float) -> Spectrum:
    """Eigenpairs of Hessian − 2I at one end of its spectrum; the eigenvalues are those of the Hessian."""
    v0 = np.random.default_rng(0).standard_normal(size)
    operator, rng = linear_operator(compact, size), np.random.default_rng(0)
    values, vectors = linalg.eigsh(operator, k=count, which=which, v0=v0, tol=tol, rng=rng)
    return Spectrum(values + 2, vectors)

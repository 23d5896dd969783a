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
LOWEST_TOL = 1e-3
CHECK_STEPS = 6
DENSE = 2000  # unknowns up to which a dense Hessian is a way to them at all
SMALL = 40  # unknowns up to which a dense Hessian is the quickest way to its eigenvalues


def least_eigenpair(product: Operator, size: int, hints: Hints | None = None) -> tuple[float, Vector]:
    """The least eigenvalue of a symmetric operator, with its eigenvector; NaN if the iteration does not converge.

    Lanczos from a random vector, with a residual of 1e-6 of the eigenvalue; with hints the preconditioned iteration of
    Knyazev (LOBPCG) from the hinted eigenvector, with a residual of 1e-3, and then a few steps of it from a random
    vector orthogonal to what was found: should they go below, the hint was another eigenvector's, and Lanczos decides.
    The error of the eigenvalue is about the square of the residual.
    """
    try:
        if size <= SMALL:
            values, vectors = _dense_eigenpairs(product, size)
            return float(values[0]), vectors[:, 0]
        value, vector = math.nan, np.zeros(size)
        if hints is not None:
            value, vector = _hinted_eigenpair(linear_operator(product, size), hints)
        return (value, vector) if not math.isnan(value) else _lanczos(product, size)
    except (linalg.ArpackError, np.linalg.LinAlgError):  # no convergence, or numbers that are not finite
        return math.nan, np.zeros(size)


def _lanczos(product: Operator, size: int) -> tuple[float, Vector]:
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


def _hinted_eigenpair(operator: linalg.LinearOperator, hints: Hints) -> tuple[float, Vector]:
    """The least eigenpair near the hint; NaN if it does not converge or is not the least."""
    M = linear_operator(hints.preconditioner, len(hints.lowest))
    other = np.random.default_rng(0).standard_normal((len(hints.lowest), 1))
    options = {"M": M, "largest": False, "tol": LOWEST_TOL}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a residual above its tolerance is looked at here
        values, vectors, residuals = linalg.lobpcg(
            operator, hints.lowest[:, None], maxiter=30, retResidualNormsHistory=True, **options
        )
        others, _ = linalg.lobpcg(operator, other, Y=vectors, maxiter=CHECK_STEPS, **options)
    found = residuals[-1] <= 10 * LOWEST_TOL and others[0] >= values[0]
    return float(values[0]) if found else math.nan, vectors[:, 0]


def linear_operator(product: Operator, size: int) -> linalg.LinearOperator:
    """A product as SciPy's Krylov methods take it."""
    return linalg.LinearOperator((size, size), matvec=lambda v: product(v.ravel()), dtype=float)


def _dense_eigenpairs(product: Operator, size: int) -> tuple[Vector, np.ndarray]:
    H = np.column_stack([product(e) for e in np.eye(size)])
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    return values, vectors


@dataclass(frozen=True, eq=False)
class SpectralPreconditioner:
    """B = ½ (I − V Vᵀ) + V Λ⁻¹ Vᵀ from leading eigenpairs of a Hessian 2I + compact, V with orthonormal columns."""

    eigenvalues: Vector
    vectors: np.ndarray

    def __call__(self, v: Vector) -> Vector:
        return 0.5 * v + self.vectors @ ((1 / self.eigenvalues - 0.5) * (self.vectors.T @ v))


@dataclass(frozen=True, eq=False)
class Hints:
    """What a coarser grid knows: an approximate inverse Hessian, and the direction of least curvature."""

    preconditioner: SpectralPreconditioner
    lowest: Vector


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenpairs of a coarse Hessian 2I + compact farthest from 2, and its direction of least curvature."""

    eigenvalues: Vector
    vectors: np.ndarray
    lowest: Vector

    def prolonged(self, prolong: Operator) -> Hints | None:
        """The hints for a finer grid; `prolong` takes coarse to fine vectors. None where they would not be definite."""
        if not (self.eigenvalues > 0).all():
            return None
        # without an integer ratio of the grids the prolongation is not orthonormal
        fine, _ = np.linalg.qr(np.column_stack([prolong(v) for v in self.vectors.T]))
        return Hints(SpectralPreconditioner(self.eigenvalues, fine), prolong(self.lowest))


def leading(product: Operator, lowest: Vector) -> Spectrum:
    """The leading eigenpairs of a Hessian by Lanczos on Hessian − 2I; the direction of least curvature is given."""
    size = len(lowest)
    if size <= max(SMALL, LEADING + 1):
        values, vectors = _dense_eigenpairs(product, size)
        return Spectrum(values, vectors, lowest)
    compact = linear_operator(lambda v: product(v) - 2 * v, size)
    v0 = np.random.default_rng(0).standard_normal(size)
    values, vectors = linalg.eigsh(compact, k=LEADING, which="LM", v0=v0, tol=1e-3, rng=np.random.default_rng(0))
    return Spectrum(values + 2, vectors, lowest)

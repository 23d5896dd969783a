"""What a minimisation returns: the minimiser with its certificate, and how the minimisation ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import nan
from typing import Any


class Status(Enum):
    """How a minimisation ended; the value is the sentence to show, with a remedy."""

    CONVERGED = "converged: the gradient is below the tolerance"
    ROUNDING = (
        "converged to the rounding floor: the gradient is within ten times its own rounding error, "
        "which is above the tolerance; ask for a larger tol"
    )
    KINKS = (
        "stationary up to kinks: the activation has no derivative where its minimisers sit, the residual is that of a "
        "generalised gradient, and only values are comparable; use a smooth activation for a full certificate"
    )
    JUMPED = (
        "converged, but on another branch than the depth before: the change of the weights did not fall; "
        "start the branch at a larger depth or put more depths in between"
    )
    SADDLE = "saddle: the Hessian has a direction of non-positive curvature; try another start or seed"
    UNCERTIFIED = (
        "not certified: the gradient is below the tolerance but the least eigenvalue of the Hessian was not found; "
        "try a larger alpha or fewer points"
    )
    STALLED = (
        "not converged: the gradient stopped falling above the tolerance; "
        "try another start, a larger alpha or a larger tol"
    )
    RESOLUTION = (
        "resolution exhausted: the gradient is below the tolerance but two resolutions still differ by more than "
        "asked at the stated maximum; ask for a larger tol"
    )
    NOT_FINITE = "not converged: the objective is not finite; rescale the data or try another start or a larger alpha"

    @property
    def converged(self) -> bool:
        """Whether value and control are those of a certified local minimum."""
        return self in (Status.CONVERGED, Status.ROUNDING, Status.JUMPED)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False, repr=False)
class Minimum:
    """A computed minimiser and its certificate.

    Attributes
    ----------
    control : Layers or Curve
    value, data_loss
        The objective, and its data term alone.
    residual
        |∂E/∂u| in the coordinates in which the regulariser is |u|²; at kinks the norm of an element of the generalised
        gradient.
    curvature
        Least eigenvalue of the Hessian in those coordinates; 2 is the regulariser alone; NaN if it was not computed. A
        search from a random vector finds lower ones, unless by less than a tenth, in all but a few of a hundred cases.
    distance_bound
        To first order, the distance in u to the true minimiser: residual / curvature, for a curve plus the resolution
        error.
    error_bar
        Estimated error of `value`: rounding and residual² / curvature (network), two resolutions (curve).
    iterations, gradients, hessian_products
        Of the minimisation alone. Sweeps that only evaluate E, for trials of the trust region, are not counted.
    certificate_products
        Hessian products spent on `curvature` and the error bar.
    seconds, certificate_seconds
        Wall time, certificate included, and that of the certificate alone.
    coarse_products, coarse_seconds
        Hessian products and wall time spent here to precondition deeper networks; not part of `seconds`. Where there
        are any, the certificate rests on them too.
    seed
        Seed of the random start, None if the start was given.
    orbit
        Number of different images of the control under the symmetries of the problem, counted where minima are compared
        with one another; 1 elsewhere.
    """

    control: Any
    value: float
    data_loss: float
    residual: float
    curvature: float
    distance_bound: float
    error_bar: float
    iterations: int
    gradients: int
    hessian_products: int
    status: Status
    certificate_products: int = 0
    seconds: float = nan
    certificate_seconds: float = 0.0
    coarse_products: int = 0
    coarse_seconds: float = 0.0
    seed: int | None = None
    orbit: int = 1

    def __repr__(self) -> str:
        kind = type(self.control).__name__
        numbers = f"value={self.value!r}, error_bar={self.error_bar:.1e}, residual={self.residual:.1e}"
        return f"Minimum({kind}, {numbers}, curvature={self.curvature:.3g}, status={self.status.name})"

"""Grids of equal cells of an interval or a rectangle, and the averages of laws over their cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeplimit import checks
from deeplimit.meanfield import field

MASS = 1e-8  # by which the mass of a law may differ from 1
ROUNDING = 1e-12  # of the largest value of a density, by which another may be below 0
GAUSS = 6  # nodes in each direction of a cell, for averages of a density

Averages = np.ndarray


@dataclass(frozen=True, eq=False)
class Grid:
    """Equal cells of an interval or a rectangle.

    Parameters
    ----------
    bounds
        (lower, upper) of each axis, one or two axes.
    cells
        Number of cells along each axis, at least 5.

    Raises
    ------
    ValueError, TypeError
        For another number of axes, bounds that are not finite and increasing, and too few cells.
    """

    bounds: Sequence[tuple[float, float]]
    cells: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.bounds) not in (1, 2) or len(self.bounds) != len(self.cells):
            raise ValueError(f"a grid has bounds and cells of 1 or 2 axes, got {self.bounds} and {self.cells}")
        for (lower, upper), number in zip(self.bounds, self.cells, strict=True):
            if not checks.number("lower bound", lower) < checks.number("upper bound", upper):
                raise ValueError(f"bounds must be (lower, upper) with lower < upper, got {(lower, upper)}")
            checks.whole("cells", number, 5)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Δx along each axis."""
        return tuple((high - low) / n for (low, high), n in zip(self.bounds, self.cells, strict=True))

    @property
    def volume(self) -> float:
        """Length or area of a cell."""
        return float(np.prod(self.spacing))

    def faces(self, axis: int = 0) -> np.ndarray:
        """Their places along an axis, one more than cells."""
        return np.linspace(*self.bounds[axis], self.cells[axis] + 1)

    def centres(self, axis: int = 0) -> np.ndarray:
        """The middles of the cells along an axis."""
        faces = self.faces(axis)
        return (faces[1:] + faces[:-1]) / 2

    def face_points(self, axis: int) -> np.ndarray:
        """The middles of the faces across an axis: (n + 1,) in 1-D, (n + 1, m, 2) or (n, m + 1, 2) in 2-D."""
        if len(self.cells) == 1:
            return self.faces()
        lines = [self.faces(k) if k == axis else self.centres(k) for k in (0, 1)]
        return np.stack(np.meshgrid(*lines, indexing="ij"), -1)


def averages(grid: Grid, density: Callable[..., np.ndarray]) -> Averages:
    """Averages of a density over the cells by Gauss-Legendre quadrature; exact up to degree 11 in each variable.

    `density` is called with one array of coordinates for each axis.
    """
    nodes, weights = np.polynomial.legendre.leggauss(GAUSS)
    points = [grid.centres(k)[:, None] + grid.spacing[k] / 2 * nodes for k in range(len(grid.cells))]
    if len(points) == 1:
        return np.asarray(density(points[0]) @ weights / 2)
    values = density(points[0][:, None, :, None], points[1][None, :, None, :])
    return np.asarray(np.einsum("ijkl,k,l->ij", values, weights / 2, weights / 2))


def from_cdf(grid: Grid, cdf: Callable[[np.ndarray], np.ndarray]) -> Averages:
    """Exact averages of a law on the line: differences of its distribution function over Δx."""
    if len(grid.cells) != 1:
        raise ValueError("from_cdf takes the distribution function of a law on the line; in 2-D use averages")
    return np.diff(cdf(grid.faces())) / grid.spacing[0]


def law(name: str, values: Any, shape: tuple[int, ...], volume: float) -> Averages:
    """A density on cells of equal volume or at nodes, of the shape wanted, not negative up to rounding and of mass 1.

    Raises
    ------
    ValueError, TypeError
        If it is not; the sentence names the remedy.
    """
    g = field.array(name, values)
    if g.shape != shape:
        raise ValueError(f"{name} must have one value for each cell or node, shape {shape}, got {g.shape}")
    if g.min() < -ROUNDING * np.abs(g).max():
        raise ValueError(f"{name} must not be negative, got {g.min():.3g}: a density is not; see grid.averages")
    mass = float(g.sum()) * volume
    if abs(mass - 1) > MASS:
        raise ValueError(f"{name} must have mass 1, got {mass:.10g}: take wider bounds or more cells, or divide by it")
    return g

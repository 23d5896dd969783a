"""The transport equation ∂_t g + ∇·(v g) = 0, v = σ(w x + b), of the law of the signals in 1-D and 2-D: finite volumes.

The averages of g over the cells change by the fluxes through their faces,

    ḡ_i ← ḡ_i − (Δt/Δx)(F_{i+½} − F_{i−½}),   F = v⁺ g⁻ + v⁻ g⁺ with v at the middle of the face,

g⁻ and g⁺ being the values on either side. `upwind` takes the averages beside the face: order 1, not negative for
Δt Σ (v⁺_{i+½} − v⁻_{i−½})/Δx ≤ 1. `weno5` reconstructs them by polynomials of degree 4 with the weights of WENO-Z
(Borges et al. 2008) and steps by the Runge-Kutta method SSP(3, 3): order 5 in Δx in 1-D, in 2-D order 2 from the one
point on each face. Where the values in a cell are negative they are drawn towards the average (Zhang & Shu 2010), which
keeps the averages from becoming negative for Δt Σ max|v|/Δx ≤ 1/12. Both conserve the mass up to rounding: no mass
leaves the domain, and one that it would leave is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.meanfield import field, reconstruction
from deeplimit.meanfield.field import Weight
from deeplimit.meanfield.grid import Averages, Grid, law
from deeplimit.meanfield.reconstruction import LOBATTO

LEAK = 1e-10  # mass that may want to leave the domain
# Largest Δt times the rate at which mass leaves a cell.
COURANT = {"upwind": 1.0, "weno5": LOBATTO}
ROUNDING = 1e-12  # of that product


@dataclass(frozen=True, eq=False)
class Solution:
    """What `solve` returns.

    Attributes
    ----------
    averages
        Those of g(T, ·) over the cells.
    steps
        Time steps taken.
    mass_error
        |mass(T) − mass(0)|.
    least
        Least average there was at any step: 0 up to rounding, or above; averages may be restarted from.
    leak
        Mass that would have left the domain.
    """

    averages: Averages
    steps: int
    mass_error: float
    least: float
    leak: float


def largest_step(
    grid: Grid, activation: str | Activation, w: Weight, b: Weight, *, scheme: str = "upwind", t: float = 0.0
) -> float:
    """The longest time step at which averages stay positive, with the weights at time t."""
    return COURANT[_scheme(scheme)] / max(_rate(grid, _velocities(grid, activation, w, b, t), scheme), 1e-300)


def solve(
    grid: Grid,
    initial: Averages,
    activation: str | Activation,
    w: Weight,
    b: Weight,
    time: float,
    steps: int,
    *,
    scheme: str = "upwind",
    leak: float = LEAK,
) -> Solution:
    """The averages of g(T, ·), after equal time steps.

    Parameters
    ----------
    grid
        The cells.
    initial
        Averages of g(0, ·) over them, not negative, of mass 1.
    activation, w, b
        Those of the velocity σ(w x + b): numbers in 1-D, (2, 2) or a number and (2,) or a number in 2-D; or functions
        of time.
    time, steps
        T and the number of time steps.
    scheme
        "upwind" or "weno5".
    leak
        Mass that may want to leave the domain, where it is held back.

    Raises
    ------
    ValueError, TypeError
        For averages that are negative or have another mass, a time step that is too long, a domain that mass would
        leave, and arguments of another kind; the sentence names the remedy.
    """
    g = _checked(grid, initial)
    step = checks.positive("time", time) / checks.whole("steps", steps, 1)
    varies = callable(w) or callable(b)
    fixed = None if varies else _velocities(grid, activation, w, b, 0.0)
    rates = _upwind if _scheme(scheme) == "upwind" else _weno5
    start, least, lost, longest = float(g.sum()), float(g.min()), 0.0, 0.0

    def change(t: float, state: Averages) -> Averages:
        return rates(grid, velocity(t), state)

    def velocity(t: float) -> list[np.ndarray]:
        return _velocities(grid, activation, w, b, t) if fixed is None else fixed

    for k in range(steps):
        t = k * step
        if varies or k == 0:
            longest = max(longest, *(_rate(grid, velocity(t + c * step), scheme) for c in (0.0, 0.5, 1.0)))
            _stable(step * longest, scheme, steps)
        lost += step * _outflow(grid, velocity(t), g)
        if lost > leak:
            raise ValueError(
                f"the domain {tuple(grid.bounds)} loses mass: {lost:.1e} would have left it by time {t + step:.4g}; "
                "take wider bounds, such as the flow of the law's outermost quantiles, or a larger leak"
            )
        g = _stepped(change, t, step, g, scheme)
        least = min(least, float(g.min()))
    return Solution(g, steps, abs(float(g.sum()) - start) * grid.volume, least, lost)


def _stepped(
    change: Callable[[float, Averages], Averages], t: float, step: float, g: Averages, scheme: str
) -> Averages:
    """One step of Euler's method, or of SSP(3, 3), which is made of three."""
    if scheme == "upwind":
        return g + step * change(t, g)
    first = g + step * change(t, g)
    second = 0.75 * g + 0.25 * (first + step * change(t + step, first))
    return g / 3 + 2 / 3 * (second + step * change(t + step / 2, second))


def _scheme(scheme: str) -> str:
    if scheme not in COURANT:
        raise ValueError(f"scheme must be one of {', '.join(COURANT)}, got {scheme!r}")
    return scheme


def _checked(grid: Grid, initial: Averages) -> Averages:
    checks.kind("grid", grid, Grid)
    return law("initial", initial, tuple(grid.cells), grid.volume)


def _velocities(grid: Grid, activation: str | Activation, w: Weight, b: Weight, t: float) -> list[np.ndarray]:
    """For each axis the component of the velocity across the faces, at their middles."""
    sigma, wt, bt = field.sigma(activation), field.at("w", w, t), field.at("b", b, t)
    d = len(grid.cells)
    if (wt.ndim and wt.shape != (2, 2)[: 2 * d - 2]) or (bt.ndim and bt.shape != (2,)[: d - 1]):
        raise ValueError(f"w and b must be those of {d} dimensions, got shapes {wt.shape} and {bt.shape}")
    found = []
    for axis in range(d):
        points = grid.face_points(axis)
        z = (points @ wt.T if wt.ndim else points * wt) + bt
        found.append(sigma(z if d == 1 else z[..., axis]))
    return found


def _rate(grid: Grid, velocities: list[np.ndarray], scheme: str) -> float:
    """Largest share of a cell's mass that leaves it in unit time; for weno5 a bound, Σ max|v|/Δx."""
    if scheme == "weno5":
        return float(sum(np.abs(v).max() / dx for v, dx in zip(velocities, grid.spacing, strict=True)))
    leaving = 0.0
    for axis, (v, dx) in enumerate(zip(velocities, grid.spacing, strict=True)):
        v = np.moveaxis(v, axis, 0)
        leaving = leaving + np.moveaxis(np.maximum(v[1:], 0) - np.minimum(v[:-1], 0), 0, axis) / dx
    return float(np.max(leaving))


def _stable(courant: float, scheme: str, steps: int) -> None:
    if courant > COURANT[scheme] * (1 + ROUNDING):
        needed = int(np.ceil(steps * courant / COURANT[scheme]))
        raise ValueError(
            f"the time step is too long: {courant:.10g} of a cell's mass would leave it in a step, {scheme} allows "
            f"{COURANT[scheme]:.4g}; take {needed} or more steps, or fewer cells"
        )


def _outflow(grid: Grid, velocities: list[np.ndarray], g: Averages) -> float:
    """Mass that would leave through the boundary in unit time."""
    total = 0.0
    for axis, (v, dx) in enumerate(zip(velocities, grid.spacing, strict=True)):
        v, rows = np.moveaxis(v, axis, 0), np.moveaxis(g, axis, 0)
        total += float(np.sum(np.maximum(v[-1], 0) * rows[-1] - np.minimum(v[0], 0) * rows[0])) * grid.volume / dx
    return total


def _upwind(grid: Grid, velocities: list[np.ndarray], g: Averages) -> Averages:
    """−Σ (F_{i+½} − F_{i−½})/Δx with the averages beside the faces."""
    change = np.zeros_like(g)
    for axis, (v, dx) in enumerate(zip(velocities, grid.spacing, strict=True)):
        rows = np.moveaxis(g, axis, 0)
        _add_fluxes(np.moveaxis(change, axis, 0), np.moveaxis(v, axis, 0)[1:-1] / dx, rows[:-1], rows[1:])
    return change


def _weno5(grid: Grid, velocities: list[np.ndarray], g: Averages) -> Averages:
    """−Σ (F_{i+½} − F_{i−½})/Δx with values reconstructed at the faces."""
    change = np.zeros_like(g)
    for axis, (v, dx) in enumerate(zip(velocities, grid.spacing, strict=True)):
        rows = np.moveaxis(g, axis, 0)
        left, right = reconstruction.positive(rows, *reconstruction.at_ends(rows))
        _add_fluxes(np.moveaxis(change, axis, 0), np.moveaxis(v, axis, 0)[1:-1] / dx, right[:-1], left[1:])
    return change


def _add_fluxes(change: np.ndarray, v: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """Take the fluxes through the inner faces from the cells before, give them to those after; none goes outside."""
    flux = np.maximum(v, 0) * before + np.minimum(v, 0) * after
    change[:-1] -= flux
    change[1:] += flux

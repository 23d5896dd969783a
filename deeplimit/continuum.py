"""E_∞: the optimal-control problem that deep residual networks converge to, and its minimisers with an error bar.

    X' = σ(K(t) X + b(t)),  X(0) = x,  z = W X(1) + c,
    E_∞ = w Σ_s L(h(z_s), y_s) + Σ_{θ ∈ {K, b}} α_θ (‖θ'‖²_{L²} + τ_θ |θ(0)|²) + α_W |W|² + α_c |c|².

K' and b' are expanded in an orthonormal basis, so that the regulariser is the squared norm of the coefficients; the
flow is a Runge-Kutta method of order 8 on a graded grid. For smooth σ the basis are Legendre polynomials: 20 to 50
terms with three steps a term give values to 1e-13. relu has no smooth minimiser and gets piecewise linear weights.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from torch import Tensor

from deeplimit import checks, optimise
from deeplimit.control import Basis, Curve, Hats, Layers, Legendre, Weights
from deeplimit.coordinates import CurveCoordinates
from deeplimit.energy import DataTerm, Energy
from deeplimit.minimum import Minimum, Status
from deeplimit.optimise import Evaluations
from deeplimit.problem import Problem
from deeplimit.spectrum import Hints, Spectrum, leading
from deeplimit.sweep import DORMAND_PRINCE8, KUTTA4, Flow

SIZES = (12, 18, 26, 36, 50, 70, 100)  # Legendre terms of K' and b'
STEPS_PER_TERM = 3  # graded towards the ends like the polynomials; equal steps leave room that a minimiser exploits
CELLS = (16, 32, 64, 128)  # for relu
LEAST_WIDTH = 1e-5  # of smoothed kinks: far below the error of the cells
CONTROL_FACTOR = 10  # the control's relative error may be this much larger than the value's
STEPS = 32  # least number of steps to evaluate the objective of a given curve
DOUBLINGS = 6
SETTLED = 1e-14


def _energy(problem: Problem, basis: Basis, steps: int) -> tuple[Energy, CurveCoordinates]:
    flow = Flow(DORMAND_PRINCE8, steps, graded=True)
    coordinates = CurveCoordinates(problem.metric, basis, flow.times)
    return Energy(problem, coordinates, flow), coordinates


def _steps(curve: Curve) -> int:
    """Steps that resolve a curve: multiples of its cells, or as many as it has terms."""
    cells = curve.basis.cells
    return cells * -(-STEPS // cells) if cells > 1 else max(STEPS, STEPS_PER_TERM * curve.basis.size)


def objective(problem: Problem, curve: Curve) -> float:
    """E_∞(Θ) of a given curve to rounding: steps of order 8, twice as many until the value settles.

    For piecewise polynomial weights the steps end at their corners.
    """
    checks.kind("curve", curve, Curve)
    problem.metric.check(curve)
    coordinates = CurveCoordinates(problem.metric, curve.basis, np.empty(0))
    regulariser = float(np.sum((coordinates.penalty * coordinates.vector(curve)) ** 2))
    steps, before = _steps(curve), np.inf
    for _ in range(DOUBLINGS):
        value = _data_loss(problem, curve, steps) + regulariser
        if not abs(value - before) > SETTLED * abs(value):
            break
        steps, before = 2 * steps, value
    return value


def _data_loss(problem: Problem, curve: Curve, steps: int) -> float:
    flow = Flow(DORMAND_PRINCE8, steps, graded=curve.basis.cells == 1)
    weights = Weights(*curve.at(flow.times), curve.W, curve.c)
    return DataTerm(problem, flow, weights).value


def states(problem: Problem, curve: Curve, steps: int, x: Tensor | None = None) -> Tensor:
    """X(i/steps) for i = 0 … steps, shape (steps + 1, S, d), started at the inputs x (S, d), by default the data's."""
    checks.kind("curve", curve, Curve)
    problem.metric.check(curve)
    refined = steps * -(-_steps(curve) // steps)
    K, b = curve.at(DORMAND_PRINCE8.times(refined))
    start = problem.data.x if x is None else x
    Y, _ = Flow(DORMAND_PRINCE8, refined).forward(start, K, b, problem.activation)
    return Y[:: DORMAND_PRINCE8.stages * (refined // steps)]


def minimise(problem: Problem, *, start: Layers | Curve | None = None, seed: int = 0, tol: float = 1e-10) -> Minimum:
    """A certified local minimiser of E_∞.

    Terms and steps grow until two resolutions agree to tol relative in value and 10 tol in the control, or the
    maximum (100 terms, 300 steps) is reached.

    Parameters
    ----------
    start
        A network or a curve, for example a deep trained network to find the limit of its branch; by default the
        random draw of `seed`.
    tol
        Norm of the gradient in u to reach, and the relative error bar asked of the value.

    Returns
    -------
    Minimum
        `error_bar` is the difference of the values at two resolutions, plus rounding and residual² / curvature;
        `distance_bound` is residual / curvature plus the distance of the two controls in u.

    Examples
    --------
    >>> from deeplimit import Problem, continuum, data
    >>> limit = continuum.minimise(Problem(data.scalar(), loss="squared", alpha=0.05))
    >>> limit.status.value, limit.error_bar < 1e-9
    ('converged: the gradient is below the tolerance', True)
    >>> K, b = limit.control.at(0.5)
    >>> tuple(K.shape), tuple(b.shape)
    ((1, 1), (1,))
    """
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    checks.kind("start", control, Layers, Curve)
    problem.metric.check(control)
    search = _minimise_smooth if problem.activation.smooth else _minimise_kinked
    minimum = search(problem, control, tol, start is not None)
    return minimum if start is not None else replace(minimum, seed=seed)


def _minimise_smooth(problem: Problem, control: Layers | Curve, tol: float, near: bool) -> Minimum:
    """Minimisers with more and more terms; the coarsest Hessian preconditions the finer problems."""
    energy, coordinates = _energy(problem, Legendre(SIZES[0]), STEPS_PER_TERM * SIZES[0])
    u = coordinates.vector(control)
    spectra: list[Spectrum | None] = []

    def learn(f: Evaluations, u: np.ndarray, _: int) -> Hints | None:
        spectra.append(leading(partial(f.product, u), len(u)))
        return spectra[-1].hints() if spectra[-1] else None

    fine, lowest = optimise.local_minimum(energy, u, coordinates.control, tol=tol, near=near, learn=learn)
    if not fine.status.converged:
        return fine
    spectrum, source = spectra[-1], coordinates
    for size in SIZES[1:]:
        before = coordinates
        energy, coordinates = _energy(problem, Legendre(size), STEPS_PER_TERM * size)
        u = coordinates.vector(fine.control)
        carried = partial(_carry, source, coordinates), partial(_carry, coordinates, source)
        preconditioner = spectrum.preconditioner(*carried) if spectrum else None
        hints = Hints(preconditioner, _carry(before, coordinates, lowest)) if preconditioner else None
        finer, lowest = optimise.local_minimum(energy, u, coordinates.control, tol=tol, hints=hints, near=True)
        change = float(np.linalg.norm(coordinates.vector(finer.control) - u))
        wanted, moved = tol * abs(finer.value), abs(finer.value - fine.value)
        resolved = moved <= max(wanted, finer.error_bar) and change <= CONTROL_FACTOR * tol * float(np.linalg.norm(u))
        fine = _with_resolution_error(finer, fine, change)
        if resolved and fine.status is Status.CONVERGED and fine.error_bar > wanted:
            return replace(fine, status=Status.ROUNDING)
        if resolved or not fine.status.converged:
            return fine
    return replace(fine, status=Status.RESOLUTION)


def _carry(source: CurveCoordinates, target: CurveCoordinates, v: np.ndarray) -> np.ndarray:
    """The coordinates in a larger basis, or in a smaller one: the first terms."""
    return target.vector(source.control(v))


def _minimise_kinked(problem: Problem, control: Layers | Curve, tol: float, near: bool) -> Minimum:
    """Piecewise linear weights on more and more cells; for activations that are not smooth."""
    fine: Minimum | None = None
    for cells in CELLS:
        coordinates = CurveCoordinates(problem.metric, Hats(cells), KUTTA4.times(cells))
        smoothed = partial(_kinked_energy, problem, coordinates)
        u = coordinates.vector(control if fine is None else fine.control)
        finer = optimise.local_minimum_kinked(
            smoothed(0.0), smoothed, u, coordinates.control, tol=tol, near=near, least=LEAST_WIDTH
        )
        near = True
        fine = finer if fine is None else _with_resolution_error(finer, fine, np.nan)
    assert fine is not None
    return fine


def _kinked_energy(problem: Problem, coordinates: CurveCoordinates, width: float) -> Energy:
    """E_∞ with σ smoothed over a width, or as it is for width 0; the fourth order suits piecewise linear weights."""
    return Energy(problem.smoothed(width) if width else problem, coordinates, Flow(KUTTA4, coordinates.basis.size))


def _with_resolution_error(fine: Minimum, coarse: Minimum, change: float) -> Minimum:
    """The finer minimum with what the coarser one says about its error; `change` is the distance in u."""
    counters = ("iterations", "gradients", "hessian_products", "certificate_products", "coarse_products")
    clocks = ("seconds", "certificate_seconds", "coarse_seconds")
    return replace(
        fine,
        error_bar=fine.error_bar + abs(fine.value - coarse.value),
        distance_bound=fine.distance_bound + change,
        **{k: getattr(fine, k) + getattr(coarse, k) for k in counters + clocks},
    )

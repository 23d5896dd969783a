"""Minimise a function of a vector to certified optimality. It knows functions and vectors, not networks.

The function's Hessian is 2I + compact in the coordinates it is given in. SciPy's trust-region Krylov method brings a
far start near a minimum; Newton's method with conjugate gradients, which compares gradients and never values, then
reaches the rounding floor of the gradient. A start near a minimum with an approximate inverse Hessian B from a coarser
grid is first corrected by u ← u − B ∂E/∂u, which takes gradients alone, for as long as that contracts. What is reached
is certified by the gradient's norm and the Hessian's least eigenvalue.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from scipy import optimize
from scipy.sparse import linalg

from deeplimit.minimum import Minimum, Status
from deeplimit.spectrum import Hints, Operator, Preconditioner, Vector, least_eigenpair, linear_operator, same

__all__ = ["Minimum", "Point", "Status", "local_minimum", "local_minimum_kinked", "minimise"]

MAX_CORRECTIONS = 40
GRAM_ROUNDING = 1e-14
GROWTH = 2  # of √(g·Bg) by one correction
CONTRACTION = 0.5  # of √(g·Bg) by PATIENCE corrections, above which Newton's method takes over
PATIENCE = 3
MAX_NEWTON = 40
COARSE_GRADIENT = 1e-5
LEAST_DIGITS = 1e-6  # relative error of u at which a rounding floor still is a solution
NEAR_RADIUS = 0.05  # relative to |u|
ESCAPES = 6
WIDTHS = tuple(0.1 * 0.3**k for k in range(16))  # of smoothed kinks
NEAR_WIDTH = 3e-3


class Point(Protocol):
    """A function at one vector."""

    @property
    def value(self) -> float:
        """E(u)."""

    @property
    def data_loss(self) -> float:
        """The part of E(u) that is not the regulariser."""

    @property
    def gradient(self) -> Vector:
        """∂E/∂u."""

    def product(self, v: Vector) -> Vector:
        """The Hessian times v."""


Objective = Callable[[Vector], Point]
Learn = Callable[["Evaluations", Vector, int], Hints | None]


class Evaluations:
    """An objective that counts its gradients and Hessian products and remembers its last two points."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.gradients = self.products = 0
        self._recent: list[tuple[Vector, Point, list[Vector]]] = []

    def _entry(self, u: Vector) -> tuple[Vector, Point, list[Vector]]:
        for entry in self._recent:
            if entry[0] is u or np.array_equal(entry[0], u):
                return entry
        self._recent = [(u.copy(), self.objective(u), []), *self._recent[:1]]
        return self._recent[0]

    def at(self, u: Vector) -> Point:
        """The function at u."""
        return self._entry(u)[1]

    def value(self, u: Vector) -> float:
        """E(u)."""
        return self.at(u).value

    def gradient(self, u: Vector) -> Vector:
        """∂E/∂u, counted once a point."""
        _, point, kept = self._entry(u)
        if not kept:
            kept.append(point.gradient)
            self.gradients += 1
        return kept[0]

    def product(self, u: Vector, v: Vector) -> Vector:
        """The Hessian at u times v, counted."""
        self.products += 1
        return self.at(u).product(v)

    def forget_others(self, u: Vector) -> None:
        """Remember no point but u: a point of a deep network is large."""
        self._recent = [self._entry(u)]


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where a minimisation ended and what it cost."""

    u: Vector
    residual: float
    status: Status
    iterations: int
    gradients: int
    products: int


class _NegativeCurvature(Exception):
    """Conjugate gradients met a direction v with v·Hv ≤ 0."""


def _norm(v: Vector) -> float:
    return float(np.linalg.norm(v))


def _corrections(f: Evaluations, u: Vector, tol: float, B: Operator) -> tuple[Vector, int]:
    """u ← u − B g while √(g·Bg) contracts, accelerated by the secants of the corrections before.

    A step is −B (g − Σ w_k Δg_k) − Σ w_k Δu_k with the w that make the bracket least in the norm √(·B·): Anderson
    mixing, which is the method of minimal residuals where the gradient is linear. It costs one gradient.
    """
    g = f.gradient(u)
    p = B(g)
    moves: list[Vector] = []
    changes: list[Vector] = []
    images: list[Vector] = []
    gram = np.empty((MAX_CORRECTIONS, MAX_CORRECTIONS))
    sizes = [g @ p]  # squares of √(g·Bg)
    best = u
    for correction in range(MAX_CORRECTIONS):
        if _norm(g) <= tol:
            return u, correction
        step = -p
        if moves:
            known = np.array([change @ p for change in changes])
            weights, *_ = np.linalg.lstsq(gram[:correction, :correction], known, rcond=GRAM_ROUNDING)
            step = sum((w * (image - move) for w, image, move in zip(weights, images, moves, strict=True)), step)
        g_new = f.gradient(u + step)
        p_new = B(g_new)
        moves, changes, images = [*moves, step], [*changes, g_new - g], [*images, p_new - p]
        gram[correction, : correction + 1] = [changes[-1] @ image for image in images]
        gram[:correction, correction] = [change @ images[-1] for change in changes[:-1]]
        u, g, p = u + step, g_new, p_new
        sizes.append(g @ p)
        if sizes[-1] == min(sizes):
            best = u
        slow = len(sizes) > PATIENCE and sizes[-1] > CONTRACTION**2 * sizes[-1 - PATIENCE]
        if slow or not sizes[-1] < GROWTH**2 * sizes[-2]:
            return best, correction + 1
    return best, MAX_CORRECTIONS


def _newton_step(f: Evaluations, u: Vector, relative: float, preconditioner: Preconditioner | None) -> Vector:
    """s with |Hs + g| ≤ relative·|g| by (preconditioned) conjugate gradients."""

    def product(v: Vector) -> Vector:
        Hv = f.product(u, v)
        if not v @ Hv > 0:
            raise _NegativeCurvature
        return Hv

    size = len(u)
    M = linear_operator(preconditioner, size) if preconditioner else None
    step, _ = linalg.cg(
        linear_operator(product, size), -f.gradient(u), rtol=relative, atol=0.0, maxiter=max(200, 10 * size), M=M
    )
    return step


def _newton(f: Evaluations, u: Vector, tol: float, preconditioner: Preconditioner | None) -> tuple[Vector, Status, int]:
    """Newton-CG while the gradient falls; STALLED if it stopped falling or met negative curvature."""
    residual = _norm(f.gradient(u))
    for iteration in range(MAX_NEWTON):
        if residual <= tol:
            return u, Status.CONVERGED, iteration
        # a Newton step squares the relative error r / |2u|, so the linear system needs no more than that
        relative = min(0.1, max(residual / max(2 * _norm(u), 1e-300), 0.3 * tol / residual))
        try:
            step = _newton_step(f, u, relative, preconditioner)
        except _NegativeCurvature:
            return u, Status.STALLED, iteration
        trial = u + step
        fallen = _norm(f.gradient(trial))
        # at a minimum the data term's gradient is −2u, and a rounding error of that size would leave no digit
        small = max(_norm(step), 0.5 * residual) <= LEAST_DIGITS * _norm(u)
        if not fallen < 0.5 * residual and small and residual <= 10 * gradient_floor(f, u):
            return (trial if fallen < residual else u), Status.ROUNDING, iteration + 1
        if not fallen < residual:
            return u, Status.STALLED, iteration + 1
        u, residual = trial, fallen
    return u, Status.STALLED, MAX_NEWTON


def _probe(u: Vector, seed: int) -> Vector:
    """A step so small that third derivatives vanish below rounding, so large that every rounding is drawn anew."""
    direction = np.random.default_rng(seed).standard_normal(len(u))
    return 1e-9 * max(_norm(u), 1.0) * direction / _norm(direction)


def gradient_floor(f: Evaluations, u: Vector, probes: int = 2) -> float:
    """Estimated norm of the rounding error of ∂E/∂u: what |g(u + δ) − g(u) − Hδ| is made of for |δ| = 1e-9 |u|."""
    noises = []
    for seed in range(probes):
        delta = _probe(u, seed)
        f.gradients += 1
        noises.append(_norm(f.objective(u + delta).gradient - f.gradient(u) - f.product(u, delta)))
    return math.sqrt(float(np.mean(np.square(noises))) / 2)


def value_floor(f: Evaluations, u: Vector, probes: int = 2) -> float:
    """Estimated rounding error of E(u): what E(u + δ) − E(u − δ) − 2 g·δ is made of for |δ| = 1e-9 |u|.

    Second derivatives cancel, and third ones vanish below rounding.
    """
    noise = 0.0
    for seed in range(probes):
        delta = _probe(u, seed)
        odd = f.objective(u + delta).value - f.objective(u - delta).value
        noise = max(noise, abs(odd - 2 * f.gradient(u) @ delta))
    return float(noise + 4 * np.finfo(float).eps * abs(f.value(u)))


def _trust_region(
    f: Evaluations, u: Vector, gtol: float, near: bool, preconditioner: Preconditioner | None
) -> tuple[Vector, int]:
    """SciPy's trust-region Krylov method from u, in the coordinates y of u + B^½ y, in which the Hessian is near I."""
    root, radius = (preconditioner.root, math.sqrt(2) * _norm(u)) if preconditioner else (same, _norm(u))

    def at(y: Vector) -> Vector:
        return u + root(y)

    options: dict[str, float] = {"gtol": gtol, "maxiter": 500}
    if near and radius > 0:
        # long steps would leave the branch that the start is on
        options |= {"initial_trust_radius": NEAR_RADIUS * radius, "max_trust_radius": 4 * NEAR_RADIUS * radius}
    result = optimize.minimize(
        lambda y: f.value(at(y)),
        np.zeros(len(u)),
        jac=lambda y: root(f.gradient(at(y))),
        hessp=lambda y, p: root(f.product(at(y), root(p))),
        method="trust-krylov",
        options=options,
    )
    return at(result.x), result.nit


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite ends as a status
def minimise(
    objective: Objective,
    u: Vector,
    *,
    tol: float = 1e-10,
    preconditioner: Preconditioner | None = None,
    near: bool = False,
) -> Optimum:
    """A stationary point of a smooth function, reached downhill from u.

    Parameters
    ----------
    objective
        u ↦ point with `value`, `gradient` and `product`.
    tol
        Norm of the gradient to reach, or ten times its rounding error where that is larger.
    preconditioner
        Symmetric positive definite approximation of the inverse Hessian: for corrections, Newton steps and as the
        metric of the trust region.
    near
        True tries Newton's method at once and goes back to the trust region, with short steps, only if it fails.
    """
    return _search(Evaluations(objective), u, tol, preconditioner, near)


def _search(f: Evaluations, u: Vector, tol: float, preconditioner: Preconditioner | None, near: bool) -> Optimum:
    iterations, status = 0, Status.STALLED
    gradients, products = f.gradients, f.products

    def ended(residual: float) -> Optimum:
        return Optimum(u, residual, status, iterations, f.gradients - gradients, f.products - products)

    if not (math.isfinite(f.value(u)) and np.isfinite(f.gradient(u)).all()):
        status = Status.NOT_FINITE
        return ended(math.nan)
    if near:
        u_near = u
        if preconditioner:
            u_near, iterations = _corrections(f, u, tol, preconditioner)
        u_near, status, count = _newton(f, u_near, tol, preconditioner)
        iterations += count
        if status is not Status.STALLED:
            u = u_near
    for gtol in (COARSE_GRADIENT, 1e-3 * COARSE_GRADIENT):
        if status is Status.STALLED:
            u, count = _trust_region(f, u, gtol, near, preconditioner)
            u, status, newton = _newton(f, u, tol, preconditioner)
            iterations += count + newton
    return ended(_norm(f.gradient(u)))


def _escape(objective: Objective, u: Vector, direction: Vector) -> Vector:
    """A point below the saddle u along a direction of negative curvature; u itself if there is none within reach."""
    value = objective(u).value
    for exponent in range(12):
        for sign in (1.0, -1.0):
            trial = u + sign * 0.5**exponent * direction
            if objective(trial).value < value:
                return trial
    return u


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def local_minimum(
    objective: Objective,
    u: Vector,
    control: Callable[[Vector], Any],
    *,
    tol: float = 1e-10,
    hints: Hints | None = None,
    near: bool = False,
    learn: Learn | None = None,
) -> tuple[Minimum, Vector]:
    """A certified local minimum of a smooth function, and the direction of least curvature there.

    Saddles are left downhill along that direction, a few times at most.

    Parameters
    ----------
    control
        What to make of the minimiser u.
    hints
        From a coarser grid.
    near
        As for `minimise`.
    learn
        Called with the function, a stationary point and the number of evaluations so far; it may form what finer grids
        need. The certificate then rests on the hints that it returns, if any.
    """
    began = perf_counter()
    f = Evaluations(objective)
    iterations = gradients = products = coarse = 0
    certifying = learning = 0.0
    for remaining in reversed(range(ESCAPES)):
        optimum = _search(f, u, tol, hints.preconditioner if hints else None, near)
        iterations, gradients, products = (
            iterations + optimum.iterations,
            gradients + optimum.gradients,
            products + optimum.products,
        )
        u = optimum.u
        f.forget_others(u)
        found = perf_counter()
        curvature, direction = math.nan, np.zeros(len(u))
        if optimum.status is Status.NOT_FINITE:
            break
        product, known, asked = partial(f.product, u), hints, f.products
        if learn is not None and optimum.status.converged:
            known = learn(f, u, gradients + products) or hints
            coarse, learning = coarse + f.products - asked, learning + perf_counter() - found
            found = perf_counter()
        curvature, direction = least_eigenpair(product, len(u), known)
        if not (curvature < 0 and remaining):
            break
        below = _escape(objective, u, direction)
        if below is u:
            break
        u, near, certifying = below, False, certifying + perf_counter() - found
    point, status = f.at(u), optimum.status
    if not math.isfinite(point.value):
        status = Status.NOT_FINITE
    elif status.converged and not curvature > 0:
        status = Status.UNCERTIFIED if math.isnan(curvature) else Status.SADDLE
    distance = optimum.residual / curvature if curvature > 0 else math.inf
    bar = value_floor(f, u) + (optimum.residual * distance if curvature > 0 else math.inf)
    ended = perf_counter()
    values = (point.value, point.data_loss, optimum.residual, curvature, distance, bar)
    minimum = Minimum(
        control(u),
        *values,
        iterations,
        gradients,
        products,
        status,
        certificate_products=f.products - products - coarse,
        seconds=ended - began - learning,
        certificate_seconds=certifying + ended - found,
        coarse_products=coarse,
        coarse_seconds=learning if coarse else 0.0,
    )
    return minimum, direction


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def local_minimum_kinked(
    objective: Objective,
    smoothed: Callable[[float], Objective],
    u: Vector,
    control: Callable[[Vector], Any],
    *,
    tol: float = 1e-10,
    near: bool = False,
    least: float = 1e-8,
) -> Minimum:
    """A stationary point of a function with kinks, as the limit of minima of smooth ones.

    The width ε of the smoothing falls from 0.1, or from 0.003 near a minimum, to `least`, each minimum the start of the
    next. The last one's gradient is, up to O(ε), an element of the generalised gradient of the objective at u: where σ'
    jumps it takes a value in between. Its norm is the residual, and the status says that it is meant in this sense;
    curvature and distance bound are NaN, and the error bar is how far smoothing still moves the value. If no kink is
    near, the objective is smooth there, and the certificate is that of `local_minimum`.

    Parameters
    ----------
    smoothed
        width ↦ smooth objective.
    """
    began = perf_counter()
    iterations = gradients = products = 0
    widths = [w for w in WIDTHS if w >= least and (w <= NEAR_WIDTH or not near)]
    for width in widths:
        last = width == widths[-1]
        optimum = minimise(smoothed(width), u, tol=tol if last else COARSE_GRADIENT, near=near or width < widths[0])
        u = optimum.u
        iterations, gradients = iterations + optimum.iterations, gradients + optimum.gradients
        products += optimum.products
    f = Evaluations(objective)
    point = f.at(u)
    if _norm(f.gradient(u)) <= tol:
        smooth, _ = local_minimum(objective, u, control, tol=tol, near=True)
        return replace(
            smooth,
            iterations=smooth.iterations + iterations,
            gradients=smooth.gradients + gradients,
            hessian_products=smooth.hessian_products + products,
            seconds=perf_counter() - began,
        )
    status = Status.KINKS if optimum.status.converged else optimum.status
    if not math.isfinite(point.value):
        status = Status.NOT_FINITE
    bar = abs(smoothed(widths[-1])(u).value - point.value) + value_floor(f, u)
    values = (point.value, point.data_loss, optimum.residual, math.nan, math.nan, bar)
    counts = (iterations, gradients, products)
    return Minimum(control(u), *values, *counts, status, f.products, perf_counter() - began)

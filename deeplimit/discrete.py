"""The minimisers of E_n, the regularised training objective of a residual network of depth n.

E_n itself, its derivatives and the network as a module are those of `network`.
"""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np
import torch

from deeplimit import checks, grids, norms, optimise, symmetry
from deeplimit.control import Curve, Layers
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.grids import Prolongation
from deeplimit.minimum import Minimum, Status
from deeplimit.network import Network, data_loss, gradient, hessian_product, network, objective, states
from deeplimit.optimise import Evaluations
from deeplimit.problem import Problem
from deeplimit.spectrum import Hints, Spectrum, leading
from deeplimit.sweep import EULER, Flow
from deeplimit.symmetry import Symmetry

__all__ = [
    "Network",
    "branch",
    "branches",
    "data_loss",
    "distinct",
    "gradient",
    "hessian_product",
    "lowest",
    "minimise",
    "network",
    "objective",
    "states",
    "symmetries",
]

CHEAP = 32  # at this part of the deepest depth a coarse Hessian costs less than it saves
MANY_EVALUATIONS = 40  # a depth that needs more becomes the new coarse grid
SETTLED = 1.5  # ratio of two changes of Θ per change of 1/n on a branch that converges
ALIKE = 0.9  # cosine of two directions of least curvature that are one, at two depths
SAME_VALUE = 1e-6
SAME_CONTROL = symmetry.SAME
NO_CHANGE = 1e-8
FIRST_LEAP = 5

logger = logging.getLogger(__name__)


def _energy(problem: Problem, depth: int, device: str | torch.device = "cpu") -> tuple[Energy, LayerCoordinates]:
    coordinates = LayerCoordinates(problem.metric, depth, device)
    return Energy(problem, coordinates, Flow(EULER, depth)), coordinates


def minimise(
    problem: Problem,
    depth: int,
    *,
    start: Layers | Curve | None = None,
    seed: int = 0,
    tol: float = 1e-10,
    device: str = "cpu",
) -> Minimum:
    """A certified local minimiser of E_n.

    Parameters
    ----------
    depth
        n ≥ 1.
    start
        Weights of any depth, or a curve to sample; by default the random draw of `seed`.
    tol
        Norm of the gradient in u to reach, or ten times its estimated rounding error where that is larger.
    device
        Where the sweeps run, for example "cuda"; always in float64.

    Returns
    -------
    Minimum
        With relu the status is "stationary up to kinks", unless no minimiser sits at one.

    Raises
    ------
    ValueError, TypeError
        For a depth below 1 or not whole, and a start that does not fit the problem.
    """
    depth = checks.whole("depth", depth, least=1)
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    minimum, _ = _minimise(problem, depth, _start(problem, control, depth), tol, device)
    return minimum if start is not None else replace(minimum, seed=seed)


def _start(problem: Problem, control: Layers | Curve, depth: int) -> Layers:
    checks.kind("start", control, Layers, Curve)
    problem.metric.check(control)
    return control.sample(depth) if isinstance(control, Curve) else control.refine(depth)


def _minimise(
    problem: Problem, depth: int, start: Layers, tol: float, device: str, hints: Hints | None = None, near: bool = False
) -> tuple[Minimum, np.ndarray]:
    """A minimiser and the direction of least curvature there."""
    energy, coordinates = _energy(problem, depth, device)
    u = coordinates.vector(start)
    if problem.activation.smooth:
        return optimise.local_minimum(energy, u, coordinates.control, tol=tol, hints=hints, near=near)
    minimum = optimise.local_minimum_kinked(
        energy,
        lambda width: _energy(problem.smoothed(width), depth, device)[0],
        u,
        coordinates.control,
        tol=tol,
        near=near,
    )
    return minimum, np.zeros(coordinates.size)


def _check_depths(depths: Sequence[int]) -> list[int]:
    if not isinstance(depths, Iterable):
        raise TypeError(f"depths must be a list of whole numbers, got {depths!r}")
    checked = [checks.whole("depth", n, least=1) for n in depths]
    if not checked:
        raise ValueError("depths must name at least one depth, got none")
    if any(b <= a for a, b in pairwise(checked)):
        raise ValueError(f"depths must increase strictly, got {checked}")
    return checked


def branch(
    problem: Problem,
    depths: Sequence[int],
    *,
    start: Layers | Curve | None = None,
    seed: int = 0,
    tol: float = 1e-10,
    device: str = "cpu",
) -> list[Minimum]:
    """One branch of minimisers followed from the coarsest depth to the finest.

    Each depth starts from the two before it, extrapolated in 1/n, and from depth 64 on is preconditioned by the leading
    eigenpairs of a coarser Hessian, prolonged piecewise linearly. A branch converges at first order, so the change of Θ
    per change of 1/n settles; where the change from depth to depth does not fall, the status says that it jumped.

    Parameters
    ----------
    depths
        Strictly increasing.

    Returns
    -------
    list of Minimum, one per depth.
    """
    depths = _check_depths(depths)
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    path = _Branch(problem, depths[-1], tol, device)
    path.begin(_start(problem, control, depths[0]))
    for depth in depths[1:]:
        path.extend(depth)
    return [m if start is not None else replace(m, seed=seed) for m in path.minima]


def lowest(
    problem: Problem,
    depths: Sequence[int],
    *,
    starts: int = 16,
    seed: int = 0,
    tol: float = 1e-10,
    device: str = "cpu",
) -> list[Minimum]:
    """The branch that is lowest at the deepest network, of all that random starts at the coarsest depth lead to.

    All distinct branches are followed together. Two that meet become one, and one that cannot be lowest at the deepest
    network any more is left: when its value, extrapolated in 1/n to the last depth and lowered by as much as the
    extrapolation changes it, lies above the best extrapolated value raised likewise. What becomes of the branches is
    logged, one line per depth.

    Parameters
    ----------
    starts, seed
        As for `branches`.

    Returns
    -------
    list of Minimum, one per depth, each with the seed of the start.

    Raises
    ------
    ValueError
        Also if no start leads to a minimum.
    """
    depths = _check_depths(depths)
    checks.positive("tol", tol)
    minima = branches(problem, depths[0], starts=starts, seed=seed, tol=tol, device=device)
    if not minima:
        raise ValueError(f"none of {starts} starts led to a minimum at depth {depths[0]}; try more, or a larger alpha")
    group = symmetries(problem)
    paths = [_Branch(problem, depths[-1], tol, device, minimum) for minimum in minima]
    for depth in depths[1:]:
        for path in paths:
            path.extend(depth)
        followed = len(paths)
        converged = [path for path in paths if _usable(path.minima[-1])]
        paths = sorted(_unmerged(converged or paths, group), key=lambda path: path.minima[-1].value)
        paths = _still_lowest(paths, depths[-1])
        value = paths[0].minima[-1].value
        logger.info("depth %d: branches followed %d, kept %d, lowest value %.10g", depth, followed, len(paths), value)
    best = paths[0].minima
    return [replace(m, seed=best[0].seed, orbit=symmetry.orbit(m.control, group)) for m in best]


def _unmerged(paths: list[_Branch], group: Sequence[Symmetry]) -> list[_Branch]:
    kept = distinct([path.minima[-1] for path in paths], group)
    return [path for path in paths if path.minima[-1] in kept]


def _still_lowest(paths: list[_Branch], depth: int) -> list[_Branch]:
    """The branches that may be lowest at the given depth."""

    def forecast(path: _Branch) -> tuple[float, float]:
        last, before = path.minima[-1], path.minima[-2]
        n, m = last.control.depth, before.control.depth
        change = (last.value - before.value) * (1 / n - 1 / depth) / (1 / m - 1 / n)
        return last.value + change, abs(change)

    ceiling = min(value + margin for value, margin in map(forecast, paths))
    return [path for path in paths if forecast(path)[0] - forecast(path)[1] <= ceiling]


class _Branch:
    """Minimisers at growing depths up to `deepest`, and the coarse Hessian that preconditions the next ones."""

    def __init__(self, problem: Problem, deepest: int, tol: float, device: str, first: Minimum | None = None) -> None:
        self.problem, self.deepest, self.tol, self.device = problem, deepest, tol, device
        self.minima: list[Minimum] = [] if first is None else [first]
        self._coarse: tuple[LayerCoordinates, Spectrum] | None = None
        self._lowest: list[Layers] = []
        self._speeds: list[float] = []

    def begin(self, start: Layers) -> None:
        """The first minimiser."""
        self.minima.append(self._learn(*_minimise(self.problem, start.depth, start, self.tol, self.device)))

    def extend(self, depth: int) -> None:
        """The next minimiser."""
        start, hints = self._predicted(depth), self._hints(depth)
        found = _minimise(self.problem, depth, start, self.tol, self.device, hints, near=True)
        self.minima.append(self._learn(*found))
        self._recognise_jump()

    def _predicted(self, depth: int) -> Layers:
        """Θ of a depth from the last one, two or, once the branch converges at first order, three."""
        last: Layers = self.minima[-1].control
        if not self.problem.activation.smooth or self.minima[-1].status is not Status.CONVERGED:
            return last.refine(depth)
        return grids.extrapolated([m.control for m in self.minima[-self._predictors() :]], depth)

    def _predictors(self) -> int:
        """How many of the last depths a prediction may use."""
        if any(m.status is not Status.CONVERGED for m in self.minima[-3:]):
            return min(2, sum(m.status is Status.CONVERGED for m in self.minima[-2:]))
        before, last = self._speeds[-2:] if len(self._speeds) > 1 else (0.0, 0.0)
        return 3 if before / SETTLED < last < SETTLED * before else 2

    def _hints(self, depth: int) -> Hints | None:
        if self._coarse is None:
            return None
        fine = LayerCoordinates(self.problem.metric, depth)
        coarse, spectrum = self._coarse
        grid = Prolongation(coarse, fine)
        preconditioner = spectrum.preconditioner(grid.prolong, grid.restrict)
        if preconditioner is None:
            return None
        return Hints(preconditioner, self._least_curved(fine))

    def _learn(self, minimum: Minimum, lowest: np.ndarray) -> Minimum:
        """Keep what helps at deeper networks; the minimum with what that cost.

        It is the new coarse grid while that is cheap, and later where the last one no longer serves.
        """
        depth = minimum.control.depth
        energy, coordinates = _energy(self.problem, depth, self.device)
        self._lowest.append(coordinates.control(lowest))
        worn = minimum.gradients + minimum.hessian_products > MANY_EVALUATIONS
        needed = depth < self.deepest and (self._coarse is None or worn or CHEAP * depth <= self.deepest)
        if not (needed and minimum.status.converged and self.problem.activation.smooth):
            return minimum
        began, f, u = perf_counter(), Evaluations(energy), coordinates.vector(minimum.control)
        self._coarse = coordinates, leading(partial(f.product, u), coordinates.size)
        return replace(minimum, coarse_products=f.products, coarse_seconds=perf_counter() - began)

    def _least_curved(self, fine: LayerCoordinates) -> np.ndarray:
        """The direction of least curvature, extrapolated from the last depths where it was nearly the same."""
        candidates = self._lowest[-3:]
        vectors = [fine.vector(grids.splined(direction, fine.rows)) for direction in candidates]
        cosines = [float(v @ vectors[-1] / (np.linalg.norm(v) * np.linalg.norm(vectors[-1]))) for v in vectors]
        count = next((k for k, cosine in enumerate(reversed(cosines)) if abs(cosine) < ALIKE), len(cosines))
        factors = grids.weights([direction.depth for direction in candidates[-count:]], fine.rows)
        return sum(w * np.sign(c) * v for w, c, v in zip(factors, cosines[-count:], vectors[-count:], strict=True))

    def _recognise_jump(self) -> None:
        """Mark a depth at which the change of Θ per change of 1/n, constant along a branch, leaps.

        For doubled depths a speed twice the one before means that the change did not fall. The first change is
        judged by the second: many times faster, it led from another branch.
        """
        last, before = self.minima[-1].control, self.minima[-2].control
        change = float(np.hypot(norms.l2(last, before.refine(last.depth)), norms.head(last, before)))
        self._speeds.append(change / (1 / before.depth - 1 / last.depth))
        if len(self._speeds) < 2 or change <= NO_CHANGE:
            return
        if self._speeds[-1] >= 2 * self._speeds[-2]:
            self._mark_jump(-1)
        elif len(self._speeds) == 2 and self._speeds[0] >= FIRST_LEAP * self._speeds[1]:
            self._mark_jump(-2)

    def _mark_jump(self, index: int) -> None:
        if self.minima[index].status.converged:
            self.minima[index] = replace(self.minima[index], status=Status.JUMPED)


def branches(
    problem: Problem, depth: int, *, starts: int = 16, seed: int = 0, tol: float = 1e-10, device: str = "cpu"
) -> list[Minimum]:
    """Distinct local minima from random starts with seeds `seed`, …, `seed + starts − 1`, the lowest first.

    Two minima are one if their values agree to 1e-6 and their controls, or images of them under the symmetries of the
    problem, to 1e-4 in TL² and head; `orbit` is the number of images. Saddles and starts that did not converge are left
    out.
    """
    if isinstance(starts, bool) or not isinstance(starts, numbers.Integral) or starts < 1:
        raise ValueError(f"starts must be a whole number, at least 1, got {starts!r}")
    found = [minimise(problem, depth, seed=seed + k, tol=tol, device=device) for k in range(starts)]
    group = symmetries(problem)
    kept = distinct(sorted(filter(_usable, found), key=lambda m: m.value), group)
    return [replace(m, orbit=symmetry.orbit(m.control, group)) for m in kept]


def symmetries(problem: Problem) -> list[Symmetry]:
    """The signed permutations that keep the data, and with them E_n and E_∞; the identity first.

    The identity alone for a joint problem, of which no rank has all the data.
    """
    if problem.group.size > 1:
        return [symmetry.identity(problem.width, problem.outputs)]
    return symmetry.group(
        problem.data.x, problem.y, activation=problem.activation, loss=problem.loss, trainable=problem.trainable
    )


def _usable(m: Minimum) -> bool:
    """Whether its value is that of a local minimum."""
    return m.status.converged or m.status in (Status.KINKS, Status.UNCERTIFIED)


def distinct(minima: Sequence[Minimum], group: Sequence[Symmetry] = ()) -> list[Minimum]:
    """The minima of one depth, or of the limit, without repetitions and images under a group, in the order given."""
    kept: list[Minimum] = []
    for m in minima:
        if not any(_same(m, other, group) for other in kept):
            kept.append(m)
    return kept


def _same(a: Minimum, b: Minimum, group: Sequence[Symmetry]) -> bool:
    close = abs(a.value - b.value) <= SAME_VALUE * max(1.0, abs(a.value))
    return close and symmetry.distance(a.control, b.control, group) <= SAME_CONTROL

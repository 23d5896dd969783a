"""Minimisers of E_n at growing depths: what each depth knows about deeper ones.

A depth starts from a prediction by the depths before it, is preconditioned by the leading eigenpairs of a coarser
Hessian, and looks for its least curvature where that Hessian, its own or that of another depth, and the depths before
had theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from deeplimit import grids, norms, optimise
from deeplimit.control import Layers
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.grids import Prolongation
from deeplimit.minimum import Minimum, Status
from deeplimit.optimise import Evaluations, Learn
from deeplimit.problem import Problem
from deeplimit.spectrum import Hints, Spectrum, Vector, leading
from deeplimit.sweep import EULER, Flow

WORTH = 4  # what a coarse Hessian may save, over what it costs, from which on it is formed
SETTLED = 1.5  # ratio of two changes of Θ per change of 1/n on a branch that converges
ALIKE = 0.9  # cosine of two directions of least curvature that are one, at two depths
NO_CHANGE = 1e-8
FIRST_LEAP = 5


@dataclass(frozen=True)
class Search:
    """How E_n of a problem is minimised at any depth.

    Parameters
    ----------
    tol
        Norm of the gradient to reach.
    device
        Where the sweeps run.
    memory_limit
        Bytes for what a sweep keeps of its states, None for all of them.
    """

    problem: Problem
    tol: float = 1e-10
    device: str = "cpu"
    memory_limit: float | None = None

    def __post_init__(self) -> None:
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {self.device!r} is not available here: torch sees no GPU; use 'cpu'")

    def energy(self, depth: int) -> tuple[Energy, LayerCoordinates]:
        """E_n as a function of the coordinates u."""
        coordinates = LayerCoordinates(self.problem.metric, depth, self.device)
        return Energy(self.problem, coordinates, Flow(EULER, depth), self.memory_limit), coordinates

    def minimum(
        self, start: Layers, hints: Hints | None = None, near: bool = False, learn: Learn | None = None
    ) -> tuple[Minimum, np.ndarray]:
        """A minimiser at the depth of the start, and the direction of least curvature there."""
        energy, coordinates = self.energy(start.depth)
        u, control = coordinates.vector(start), coordinates.control
        if self.problem.smooth:
            return optimise.local_minimum(energy, u, control, tol=self.tol, hints=hints, near=near, learn=learn)

        def smoothed(width: float) -> Energy:
            return replace(self, problem=self.problem.smoothed(width)).energy(start.depth)[0]

        minimum = optimise.local_minimum_kinked(energy, smoothed, u, control, tol=self.tol, near=near)
        return minimum, np.zeros(coordinates.size)


class Ladder:
    """Minimisers at growing depths up to `deepest`, and the coarse Hessian that preconditions the next ones."""

    def __init__(self, search: Search, deepest: int, first: Minimum | None = None) -> None:
        search.energy(deepest)  # a memory limit that is too small shows here, not after the coarser networks
        self.search, self.deepest = search, deepest
        self.minima: list[Minimum] = [] if first is None else [first]
        self._coarse: tuple[LayerCoordinates, Spectrum] | None = None
        self._price = 0
        self._lowest: list[Layers] = []
        self._speeds: list[float] = []

    def begin(self, start: Layers) -> None:
        """The first minimiser."""
        self._reach(start)

    def extend(self, depth: int) -> None:
        """The next minimiser."""
        self._reach(self._predicted(depth), self._hints(depth), near=True)
        self._recognise_jump()

    def _reach(self, start: Layers, hints: Hints | None = None, near: bool = False) -> None:
        """The minimiser from a start, and what helps at deeper networks."""
        coordinates = LayerCoordinates(self.search.problem.metric, start.depth)
        learnt: list[tuple[Spectrum, int]] = []

        def learn(f: Evaluations, u: Vector, evaluations: int) -> Hints | None:
            if not self._pays(start.depth, evaluations):
                return None
            before = f.products
            spectrum = leading(partial(f.product, u), len(u))
            if spectrum is None:
                return None
            learnt.append((spectrum, f.products - before))
            return spectrum.hints(hints)

        minimum, lowest = self.search.minimum(start, hints, near, learn)
        if learnt and minimum.status.converged:
            spectrum, self._price = learnt[-1]
            self._coarse = coordinates, spectrum
        if not np.isnan(minimum.curvature):
            self._lowest = [*self._lowest[-2:], coordinates.control(lowest)]
        self.minima.append(minimum)

    def _predicted(self, depth: int) -> Layers:
        """Θ of a depth from the last one, two or, once the branch converges at first order, three."""
        last: Layers = self.minima[-1].control
        if not (self.search.problem.smooth and self.minima[-1].status.converged):
            return last.refine(depth)
        before, now = self._speeds[-2:] if len(self._speeds) > 1 else (0.0, 0.0)
        most = 3 if before / SETTLED < now < SETTLED * before else 2
        return grids.extrapolated([m.control for m in self._since_jump()[-most:]], depth)

    def _since_jump(self) -> list[Minimum]:
        """The last minima, as far back as all are of one branch."""
        kept: list[Minimum] = []
        for minimum in reversed(self.minima):
            if minimum.status.converged:
                kept.insert(0, minimum)
            if minimum.status not in (Status.CONVERGED, Status.ROUNDING):
                break
        return kept

    def _hints(self, depth: int) -> Hints | None:
        if self._coarse is None or not self._lowest:
            return None
        fine = LayerCoordinates(self.search.problem.metric, depth)
        coarse, spectrum = self._coarse
        grid = Prolongation(coarse, fine)
        preconditioner = spectrum.preconditioner(grid.prolong, grid.restrict)
        if preconditioner is None:
            return None
        return Hints(preconditioner, self._least_curved(fine))

    def _pays(self, depth: int, evaluations: int) -> bool:
        """Whether a coarse Hessian of a depth that took so many evaluations may save more than it costs.

        As many evaluations as here at all deeper networks, which are 2 (deepest/n − 1) times as large together, are
        the most that it could save.
        """
        if self._coarse is None:
            return depth < self.deepest
        return 2 * evaluations * (self.deepest / depth - 1) > WORTH * self._price

    def _least_curved(self, fine: LayerCoordinates) -> np.ndarray:
        """The direction of least curvature, extrapolated from the last depths where it was nearly the same."""
        vectors = [fine.vector(grids.splined(direction, fine.rows)) for direction in self._lowest]
        cosines = [float(v @ vectors[-1] / (np.linalg.norm(v) * np.linalg.norm(vectors[-1]))) for v in vectors]
        count = next((k for k, cosine in enumerate(reversed(cosines)) if abs(cosine) < ALIKE), len(cosines))
        factors = grids.weights([direction.depth for direction in self._lowest[-count:]], fine.rows)
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

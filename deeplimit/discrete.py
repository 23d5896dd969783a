"""The minimisers of E_n, the regularised training objective of a residual network of depth n.

E_n itself, its derivatives and the network as a module are those of `network`.
"""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from deeplimit import checks, symmetry
from deeplimit.control import Curve, Layers
from deeplimit.ladder import Ladder, Search
from deeplimit.minimum import Minimum, Status
from deeplimit.network import Network, data_loss, gradient, hessian_product, network, objective, states
from deeplimit.problem import Problem
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

SAME_VALUE = 1e-6
SAME_CONTROL = symmetry.SAME

logger = logging.getLogger(__name__)


def minimise(
    problem: Problem,
    depth: int,
    *,
    start: Layers | Curve | None = None,
    seed: int = 0,
    tol: float = 1e-10,
    device: str = "cpu",
    memory_limit: float | None = None,
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
    memory_limit
        Bytes for the states that a gradient and its Hessian products share at one point, of which there are three at
        times; where they do not fit, they are computed again from checkpoints: the same numbers, at two to three times
        the time. None keeps them all.

    Returns
    -------
    Minimum
        With relu the status is "stationary up to kinks", unless no minimiser sits at one.

    Raises
    ------
    ValueError, TypeError
        For a depth below 1 or not whole, and a start that does not fit the problem.

    Examples
    --------
    >>> from deeplimit import Problem, data, discrete
    >>> problem = Problem(data.moons(points=20), loss="logistic", alpha=0.05)
    >>> net = discrete.minimise(problem, depth=16)
    >>> net.status.value, net.residual < 1e-10, net.curvature > 0
    ('converged: the gradient is below the tolerance', True, True)
    """
    depth = checks.whole("depth", depth, least=1)
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    minimum, _ = Search(problem, tol, device, memory_limit).minimum(_start(problem, control, depth))
    return minimum if start is not None else replace(minimum, seed=seed)


def _start(problem: Problem, control: Layers | Curve, depth: int) -> Layers:
    checks.kind("start", control, Layers, Curve)
    problem.metric.check(control)
    return control.sample(depth) if isinstance(control, Curve) else control.refine(depth)


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
    memory_limit: float | None = None,
) -> list[Minimum]:
    """One branch of minimisers followed from the coarsest depth to the finest.

    Each depth starts from a prediction by the ones before it, extrapolated in 1/n, and is preconditioned by the leading
    eigenpairs of a coarser Hessian, prolonged piecewise linearly. A branch converges at first order, so the change of Θ
    per change of 1/n settles; where the change from depth to depth does not fall, the status says that it jumped, which
    takes three depths to see.

    Parameters
    ----------
    depths
        Strictly increasing.
    start, seed, tol, device, memory_limit
        As for `minimise`, the start at the first depth.

    Returns
    -------
    list of Minimum, one per depth.

    Examples
    --------
    >>> from deeplimit import Problem, data, discrete
    >>> problem = Problem(data.scalar(), loss="squared", alpha=0.05)
    >>> [net.control.depth for net in discrete.branch(problem, [8, 16, 32])]
    [8, 16, 32]
    """
    depths = _check_depths(depths)
    checks.positive("tol", tol)
    control = problem.metric.draw(seed) if start is None else start
    path = Ladder(Search(problem, tol, device, memory_limit), depths[-1])
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
    memory_limit: float | None = None,
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
    search = Search(problem, tol, device, memory_limit)
    search.energy(depths[-1])  # as a ladder does
    minima = branches(problem, depths[0], starts=starts, seed=seed, tol=tol, device=device, memory_limit=memory_limit)
    if not minima:
        raise ValueError(f"none of {starts} starts led to a minimum at depth {depths[0]}; try more, or a larger alpha")
    group = symmetries(problem)
    paths = [Ladder(search, depths[-1], minimum) for minimum in minima]
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


def _unmerged(paths: list[Ladder], group: Sequence[Symmetry]) -> list[Ladder]:
    kept = distinct([path.minima[-1] for path in paths], group)
    return [path for path in paths if path.minima[-1] in kept]


def _still_lowest(paths: list[Ladder], depth: int) -> list[Ladder]:
    """The branches that may be lowest at the given depth."""

    def forecast(path: Ladder) -> tuple[float, float]:
        last, before = path.minima[-1], path.minima[-2]
        n, m = last.control.depth, before.control.depth
        change = (last.value - before.value) * (1 / n - 1 / depth) / (1 / m - 1 / n)
        return last.value + change, abs(change)

    ceiling = min(value + margin for value, margin in map(forecast, paths))
    return [path for path in paths if forecast(path)[0] - forecast(path)[1] <= ceiling]


def branches(
    problem: Problem,
    depth: int,
    *,
    starts: int = 16,
    seed: int = 0,
    tol: float = 1e-10,
    device: str = "cpu",
    memory_limit: float | None = None,
) -> list[Minimum]:
    """Distinct local minima from random starts with seeds `seed`, …, `seed + starts − 1`, the lowest first.

    Two minima are one if their values agree to 1e-6 and their controls, or images of them under the symmetries of the
    problem, to 1e-4 in TL² and head; `orbit` is the number of images. Saddles and starts that did not converge are left
    out.
    """
    if isinstance(starts, bool) or not isinstance(starts, numbers.Integral) or starts < 1:
        raise ValueError(f"starts must be a whole number, at least 1, got {starts!r}")
    found = [
        minimise(problem, depth, seed=seed + k, tol=tol, device=device, memory_limit=memory_limit)
        for k in range(starts)
    ]
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

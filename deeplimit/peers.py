"""Other methods for the minimisers of E_n, for comparison: torch's L-BFGS and Adam, SciPy's L-BFGS-B.

Those of torch train an autograd network in its raw weights; SciPy's gets the package's own gradient, in the raw weights
or in the coordinates u, so that the two differ by the metric alone. All are stopped at the same norm of ∂E/∂u: a raw
gradient g becomes (∂Θ/∂u)ᵀ g, and the clock stands still while it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from deeplimit.control import BLOCKS, Layers, Weights
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy, Point
from deeplimit.network import Network, objective
from deeplimit.problem import Problem
from deeplimit.sweep import EULER, Flow

REACHED = "converged: ∂E/∂u is below the tolerance"
OVER_BUDGET = "not reached: the budget is spent"
ENDED = "not reached: the method ended by itself"
HISTORY = 20  # pairs that L-BFGS remembers

Vector = np.ndarray


@dataclass(frozen=True)
class Seen:
    """Where a run was: seconds and gradients so far, and the norm of ∂E/∂u."""

    seconds: float
    gradients: int
    dual: float


@dataclass(frozen=True, eq=False)
class Run:
    """What a method did: its best weights, those with the least |∂E/∂u|, and all that was seen on the way."""

    control: Layers
    value: float
    trace: list[Seen]
    seconds: float
    status: str

    @property
    def dual(self) -> float:
        """The least |∂E/∂u|."""
        return self.at_best.dual

    @property
    def gradients(self) -> int:
        """How many it took in all."""
        return self.trace[-1].gradients

    @property
    def at_best(self) -> Seen:
        """When the least |∂E/∂u| was seen first."""
        return min(self.trace, key=lambda seen: seen.dual)


class Over(Exception):
    """The tolerance is reached or the budget spent."""


class Meter:
    """Watches a method: seconds, gradients and |∂E/∂u|, with a clock that stands still while it looks."""

    def __init__(self, problem: Problem, start: Layers, tol: float, budget: float) -> None:
        self.problem, self.tol, self.budget = problem, tol, budget
        self.coordinates = LayerCoordinates(problem.metric, start.depth)
        self.trace: list[Seen] = []
        self.best, self._least = start, math.inf
        self._pauses, self._began = 0.0, perf_counter()

    @property
    def seconds(self) -> float:
        """Without the pauses."""
        return perf_counter() - self._began - self._pauses

    def see(self, gradient: Callable[[], Vector], control: Callable[[], Layers], gradients: int = 1) -> bool:
        """Note ∂E/∂u and, if it is the least so far, the weights; whether the method is to stop."""
        now, paused = self.seconds, perf_counter()
        dual = float(np.linalg.norm(gradient()))
        count = (self.trace[-1].gradients if self.trace else 0) + gradients
        self.trace.append(Seen(now, count, dual))
        if dual < self._least:
            self.best, self._least = control(), dual
        self._pauses += perf_counter() - paused
        return dual <= self.tol or now >= self.budget

    def check(self, gradient: Callable[[], Vector], control: Callable[[], Layers]) -> None:
        """The same, raising Over where the method is to stop."""
        if self.see(gradient, control):
            raise Over

    def run(self) -> Run:
        """What was seen."""
        seconds = self.seconds
        status = REACHED if self._least <= self.tol else OVER_BUDGET if seconds >= self.budget else ENDED
        seen = self.trace or [Seen(seconds, 0, math.inf)]
        return Run(self.best, objective(self.problem, self.best), seen, seconds, status)


def _descend(meter: Meter, method: Callable[[], float]) -> Run:
    """Run a method again from where it ended as long as that gets lower; it returns the value."""
    lowest = math.inf
    try:
        while (value := method()) < lowest:
            lowest = value
    except Over:
        pass
    return meter.run()


class Autograd:
    """E_n as anybody would write it in torch: the network as a module, its loss, and the regulariser.

    Raises
    ------
    ValueError
        If a block is not trained.
    """

    def __init__(self, problem: Problem, start: Layers) -> None:
        problem.metric.check(start)
        if problem.trainable != BLOCKS:
            raise ValueError(f"the plain network trains all of {BLOCKS}, got trainable={problem.trainable!r}")
        self.problem, self.network = problem, Network(start, problem.activation)

    @property
    def parameters(self) -> list[Tensor]:
        """K, b, W, c."""
        return [getattr(self.network, k) for k in BLOCKS]

    def value(self) -> Tensor:
        """E_n, on the tape."""
        p, net = self.problem, self.network
        total = p.weight * p.loss.value(net(p.data.x), p.y).sum()
        for k, theta in {"K": net.K, "b": net.b}.items():
            steps = len(theta) * (torch.diff(theta, dim=0) ** 2).sum()
            total = total + p.alpha[k] * (steps + p.tau[k] * (theta[0] ** 2).sum())
        return total + p.alpha["W"] * (net.W**2).sum() + p.alpha["c"] * (net.c**2).sum()

    def gradient(self) -> Weights:
        """What `backward` left, in the raw weights."""
        return Weights(*(p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters))

    def control(self) -> Layers:
        """A copy of the weights."""
        return Layers(*(p.detach().clone() for p in self.parameters))

    def evaluate(self, meter: Meter) -> Tensor:
        """The value, with its gradient left in the parameters and seen by the meter."""
        for p in self.parameters:
            p.grad = None
        value = self.value()
        value.backward()
        meter.check(lambda: meter.coordinates.collect(self.gradient()), self.control)
        return value


def torch_lbfgs(problem: Problem, start: Layers, *, tol: float = 1e-10, budget: float = math.inf) -> Run:
    """`torch.optim.LBFGS` with strong Wolfe line search on the autograd network, full batch."""
    net, meter = Autograd(problem, start), Meter(problem, start, tol, budget)

    def method() -> float:
        optimiser = torch.optim.LBFGS(
            net.parameters,
            max_iter=10**9,
            max_eval=10**9,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
        )
        optimiser.step(lambda: net.evaluate(meter))
        return net.value().item()

    return _descend(meter, method)


def adam(
    problem: Problem, start: Layers, *, rate: float, steps: int, tol: float = 1e-10, budget: float = math.inf
) -> Run:
    """`torch.optim.Adam` on the autograd network, full batch; the rate falls to zero over the steps like a cosine."""
    net, meter = Autograd(problem, start), Meter(problem, start, tol, budget)
    optimiser = torch.optim.Adam(net.parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    try:
        for _ in range(steps):
            net.evaluate(meter)
            optimiser.step()
            schedule.step()
    except Over:
        pass
    return meter.run()


def tuned_rate(problem: Problem, start: Layers, rates: Iterable[float], steps: int) -> float:
    """The rate with which Adam's |∂E/∂u| gets least in a trial of so many steps."""
    return min(rates, key=lambda rate: adam(problem, start, rate=rate, steps=steps).dual)


class Raw:
    """Vectors that hold all weights as they are, and the package's E_n as a function of them."""

    def __init__(self, problem: Problem, depth: int) -> None:
        self.coordinates = LayerCoordinates(problem.metric, depth)
        self.energy = Energy(problem, self.coordinates, Flow(EULER, depth))
        self._shapes = [(depth,) * (k in "Kb") + problem.metric.shape(k) for k in BLOCKS]

    def vector(self, weights: Layers | Weights) -> Vector:
        """K, b, W, c one after the other."""
        return torch.cat([getattr(weights, k).reshape(-1) for k in BLOCKS]).numpy()

    def control(self, x: Vector) -> Layers:
        """The weights of a vector."""
        parts = np.split(x, np.cumsum([math.prod(shape) for shape in self._shapes])[:-1])
        return Layers(*(torch.tensor(part.reshape(shape)) for part, shape in zip(parts, self._shapes, strict=True)))

    def at(self, control: Layers) -> Point:
        """E_n at weights, with ∂E/∂u."""
        return self.energy(self.coordinates.vector(control))

    def gradient(self, dual: Vector) -> Vector:
        """∂E/∂u to ∂E/∂x."""
        return self.vector(self.coordinates.pull(dual))


def scipy_lbfgs(problem: Problem, start: Layers, *, raw: bool, tol: float = 1e-10, budget: float = math.inf) -> Run:
    """SciPy's L-BFGS-B with the package's own gradient, in the raw weights or in the coordinates u."""
    meter, plain = Meter(problem, start, tol, budget), Raw(problem, start.depth)

    def in_raw(x: Vector) -> tuple[float, Vector]:
        point = plain.at(plain.control(x))
        value, gradient = point.value, plain.gradient(point.gradient)
        meter.check(lambda: point.gradient, lambda: plain.control(x))
        return value, gradient

    def in_h1(u: Vector) -> tuple[float, Vector]:
        point = plain.energy(u)
        value, gradient = point.value, point.gradient
        meter.check(lambda: gradient, lambda: plain.coordinates.control(u))
        return value, gradient

    options = {"maxcor": HISTORY, "maxfun": 10**9, "maxiter": 10**9, "maxls": 50, "ftol": 0.0, "gtol": 0.0}
    last = plain.vector(start) if raw else plain.coordinates.vector(start)

    def method() -> float:
        nonlocal last
        result = optimize.minimize(in_raw if raw else in_h1, last, jac=True, method="L-BFGS-B", options=options)
        last = result.x
        return float(result.fun)

    return _descend(meter, method)

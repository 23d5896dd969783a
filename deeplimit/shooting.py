"""E_n by direct multiple shooting: CasADi builds the programme with its exact Hessian, IPOPT solves it.

minimise E_n over the states X_1 … X_n, the weights and the output layer, subject to X_i = X_{i−1} + (1/n) σ(K_{i−1}
X_{i−1} + b_{i−1}) for every sample. The layer is one function of scalars, mapped over the layers. CasADi is an optional
extra and is loaded when it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

from deeplimit.control import BLOCKS, Layers
from deeplimit.network import states
from deeplimit.peers import Meter, Raw, Run
from deeplimit.problem import Problem

# IPOPT is stopped from outside, at the tolerance in ∂E/∂u, and must not stop before
QUIET: dict[str, Any] = {"print_level": 0, "sb": "yes", "tol": 1e-15, "acceptable_iter": 0, "max_iter": 1000}
FASTEST = {"mumps_permuting_scaling": 0}  # by a third, of what was tried
SHORTEST, LONGEST = 1.0, 1e6  # seconds that IPOPT is given, which looks at its clock at more places than ours


@dataclass(frozen=True, eq=False)
class Solve:
    """One depth: the run and the seconds that CasADi took before it to build the programme."""

    run: Run
    setup: float


def ladder(
    problem: Problem, depths: Sequence[int], start: Layers, *, tol: float = 1e-10, budget: float = math.inf
) -> list[Solve]:
    """Minimisers at increasing depths, each from the one before; it ends early where the budget is spent.

    Raises
    ------
    ModuleNotFoundError
        Without CasADi.
    ValueError
        Unless the activation is tanh, the loss logistic and every block trained.
    """
    solved: list[Solve] = []
    for depth in depths:
        left = budget - sum(s.setup + s.run.seconds for s in solved)
        if left <= 0:
            break
        solved.append(solve(problem, start.refine(depth), tol=tol, budget=left))
        start = solved[-1].run.control
    return solved


def solve(problem: Problem, start: Layers, *, tol: float = 1e-10, budget: float = math.inf) -> Solve:
    """A minimiser at the depth of the start, from feasible states."""
    import casadi

    if (problem.activation.name, problem.loss.name, problem.trainable) != ("tanh", "logistic", BLOCKS):
        raise ValueError(f"the programme is written for tanh, the logistic loss and all blocks trained, got {problem}")
    began = perf_counter()
    programme = _programme(problem, start.depth)
    watch = _watch(problem, start.depth, programme["x"].numel(), programme["g"].numel())
    ipopt = QUIET | FASTEST | {"max_wall_time": min(max(budget, SHORTEST), LONGEST)}
    solver = casadi.nlpsol("E", "ipopt", programme, {"print_time": 0, "iteration_callback": watch, "ipopt": ipopt})
    guess = _guess(problem, start)
    setup = perf_counter() - began
    watch.meter = Meter(problem, start, tol, budget - setup)
    solver(x0=guess, lbg=0, ubg=0)
    return Solve(watch.meter.run(), setup)


def _programme(problem: Problem, depth: int) -> dict[str, Any]:
    """Unknowns x: X_1 … X_n (sample by sample), then (K, b)_i layer by layer, W and c; objective f; g = 0."""
    import casadi

    x, y = problem.data.x.numpy(), problem.y.numpy()
    S, d, m = problem.data.points, problem.width, problem.outputs
    X = casadi.MX.sym("X", S * d, depth)
    theta = casadi.MX.sym("theta", d * d + d, depth)
    head = casadi.MX.sym("head", m * d + m)
    before = casadi.horzcat(casadi.DM(x.ravel()), X[:, :-1])
    defects = _layer(S, d, depth).map(depth)(before, theta) - X
    W, c = casadi.reshape(head[: m * d], d, m), head[m * d :]
    z = casadi.reshape(X[:, -1], d, S).T @ W + casadi.repmat(c.T, S, 1)
    losses = casadi.log1p(casadi.exp(-casadi.fabs(z))) + casadi.fmax(z, 0) - casadi.DM(y) * z
    steps, first = depth * casadi.sum2((theta[:, 1:] - theta[:, :-1]) ** 2), theta[:, 0] ** 2
    rows = {"K": slice(0, d * d), "b": slice(d * d, None)}
    energy = problem.weight * casadi.sum1(casadi.sum2(losses))
    energy += sum(problem.alpha[k] * casadi.sum1(steps[r] + problem.tau[k] * first[r]) for k, r in rows.items())
    energy += problem.alpha["W"] * casadi.sumsqr(W) + problem.alpha["c"] * casadi.sumsqr(c)
    return {"x": casadi.vertcat(casadi.vec(X), casadi.vec(theta), head), "f": energy, "g": casadi.vec(defects)}


def _layer(S: int, d: int, depth: int) -> Any:
    """(X, (K, b)) ↦ X + (1/n) tanh(KX + b) for all samples; X sample by sample, K row by row."""
    import casadi

    flat, theta = casadi.SX.sym("X", S * d), casadi.SX.sym("theta", d * d + d)
    X, K, b = casadi.reshape(flat, d, S), casadi.reshape(theta[: d * d], d, d).T, theta[d * d :]
    after = X + casadi.tanh(K @ X + casadi.repmat(b, 1, S)) / depth
    return casadi.Function("layer", [flat, theta], [casadi.vec(after)])


def _guess(problem: Problem, start: Layers) -> np.ndarray:
    """The unknowns of a network."""
    X = states(problem, start)[1:]
    theta = torch.cat([start.K.reshape(start.depth, -1), start.b], 1)
    return torch.cat([v.reshape(-1) for v in (X, theta, start.W, start.c)]).numpy()


def _control(problem: Problem, depth: int, unknowns: np.ndarray) -> Layers:
    """The weights among the unknowns."""
    S, d, m = problem.data.points, problem.width, problem.outputs
    theta, head = np.split(unknowns[depth * S * d :], [depth * (d * d + d)])
    rows = theta.reshape(depth, -1)
    parts = (rows[:, : d * d].reshape(depth, d, d), rows[:, d * d :], head[: m * d].reshape(m, d), head[m * d :])
    return Layers(*(torch.tensor(part) for part in parts))


def _watch(problem: Problem, depth: int, unknowns: int, constraints: int) -> Any:
    """What IPOPT calls after every iteration: it shows the weights, with states of their own, to its `meter`."""
    import casadi

    raw = Raw(problem, depth)
    sizes = {"x": unknowns, "lam_x": unknowns, "f": 1, "g": constraints, "lam_g": constraints}

    class Watch(casadi.Callback):
        meter: Meter

        def __init__(self) -> None:
            super().__init__()
            self.construct("watch", {})

        def get_n_in(self) -> int:
            return int(casadi.nlpsol_n_out())

        def get_n_out(self) -> int:
            return 1

        def get_sparsity_in(self, i: int) -> Any:
            return casadi.Sparsity.dense(sizes.get(casadi.nlpsol_out(i), 0))

        def eval(self, arg: Sequence[Any]) -> list[int]:
            def control() -> Layers:
                return _control(problem, depth, arg[0].full().ravel())

            return [int(self.meter.see(lambda: raw.at(control()).gradient, control))]

    return Watch()

"""What test_ranks.py runs on several ranks, `python on_ranks.py NAME FOLDER …`; each rank leaves its numbers there.

What there is to compute is also called by the test itself, in one process with all the samples.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

from deeplimit import Data, Problem, continuum, discrete, energy, ranks
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.minimum import Minimum
from deeplimit.ranks import Ranks, RanksError
from deeplimit.sweep import EULER, Flow

X = np.random.default_rng(0).standard_normal((31, 2))
WHOLE = Data(X, X[:, 0] > X[:, 1] ** 2 - 0.5, "parabola")
DEPTHS = [8, 16, 32]
TIGHT = 1e-12
# What rank 1 has otherwise than rank 0, and how the sentence begins.
DISAGREEMENTS: dict[str, dict[str, Any]] = {
    "alpha is": {"alpha": 0.02},
    "tau is": {"tau": {"K": 1.0, "b": 2.0}},
    "activation is 'tanh'": {"activation": "arctan"},
    "loss is 'logistic'": {"loss": "squared"},
    "reduction is 'sum'": {"reduction": "mean"},
    "trainable is 'KbWc'": {"trainable": "KbW"},
    "width is 2": {"data": Data(np.ones((3, 4)), np.ones(3))},
    "outputs is 1": {"data": Data(np.ones((3, 2)), np.ones((3, 2)))},
}


def _energy(problem: Problem, depth: int) -> tuple[Energy, np.ndarray]:
    coordinates = LayerCoordinates(problem.metric, depth)
    u = np.random.default_rng(depth).standard_normal(coordinates.size)
    return Energy(problem, coordinates, Flow(EULER, depth)), u


def derivatives(problem: Problem) -> dict[str, np.ndarray]:
    """Value, data loss, gradient and Hessian product at one u."""
    objective, u = _energy(problem, 5)
    point = objective(u)
    product = point.product(np.cos(np.arange(len(u))))
    return {"value": point.value, "data_loss": point.data_loss, "gradient": point.gradient, "product": product}


def _described(**minima: Minimum) -> dict[str, np.ndarray]:
    found = {}
    for name, minimum in minima.items():
        found |= {f"{name} {k}": getattr(minimum.control, k).numpy() for k in "KbWc"}
        found |= {f"{name} {k}": getattr(minimum, k) for k in ("value", "data_loss", "curvature")}
        found |= {f"{name} status": str(minimum.status)}
    return found


def computed(problem: Callable[..., Problem]) -> dict[str, np.ndarray]:
    """A branch of networks, and derivatives for both reductions."""
    branch = discrete.branch(problem(alpha=0.05), DEPTHS, tol=TIGHT)
    found = _described(**{f"depth {n}": minimum for n, minimum in zip(DEPTHS, branch, strict=True)})
    for reduction in ("sum", "mean"):
        found |= {f"{reduction} {k}": v for k, v in derivatives(problem(reduction=reduction)).items()}
    return found


def limit(problem: Callable[..., Problem]) -> dict[str, np.ndarray]:
    """A minimiser of E_∞, and of E_n by several starts with the mean over the samples and relu."""
    found = _described(limit=continuum.minimise(problem(alpha=0.05), tol=1e-11))
    kinked = problem(alpha=0.002, reduction="mean", activation="relu")
    return found | _described(relu=discrete.branches(kinked, 4, starts=2, tol=TIGHT)[0])


def agreement(group: Ranks, folder: Path, what: str) -> None:
    """The numbers, in one file per rank; only the first rank says something."""
    part = group.share(WHOLE)
    found = globals()[what](lambda **options: Problem(part, **options).joint(group))
    np.savez(folder / f"{group.rank}.npz", points=part.points, **found)
    if group.first:
        print("done")


def both(group: Ranks, folder: Path) -> None:
    """Two at the price of one start."""
    agreement(group, folder, "computed")
    disagreement(group, folder)


def disagreement(group: Ranks, folder: Path) -> None:
    """The sentences of problems that do not fit together, and of ranks that come apart; the group outlives them."""
    part = group.share(WHOLE)
    sentences = []

    def listen(call: Callable[[], Any]) -> None:
        try:
            call()
            sentences.append("no error")
        except RanksError as error:
            sentences.append(str(error))

    for options in DISAGREEMENTS.values():
        own: dict[str, Any] = {"data": part} | (options if group.rank else {})
        listen(lambda own=own: Problem(**own).joint(group))
    joint = Problem(part).joint(group)
    objective, u = _energy(joint, 5)
    listen(lambda: objective(u + 1e-16 * group.rank).gradient)
    listen(lambda: objective(u).gradient if group.rank else objective(u).value)
    listen(lambda: objective(u).product(u if group.rank else -u))
    listen(lambda: discrete.minimise(joint, 4 + group.rank))
    after = objective(u).value
    (folder / f"{group.rank}.json").write_text(json.dumps({"sentences": sentences, "after": after}), encoding="utf-8")


def meet(folder: Path) -> None:
    """Wait until all ranks can compute: starting and compiling are not what a short timeout is to measure."""
    derivatives(Problem(WHOLE))
    (folder / f"here {os.environ['RANK']}").touch()
    while len(list(folder.glob("here *"))) < int(os.environ["WORLD_SIZE"]):
        sleep(0.01)


def lost(group: Ranks, folder: Path, how: str) -> None:
    """Rank 1 ends, or stops, in the middle of a minimisation; it says so in a file."""
    joint = Problem(group.share(WHOLE)).joint(group)
    if group.rank == 1:
        _fail_after(
            20, {"exit": lambda: os._exit(3), "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP)}[how], folder
        )
    discrete.branch(joint, DEPTHS, tol=TIGHT)


def _fail_after(evaluations: int, fail: Callable[[], None], folder: Path) -> None:
    class Failing(energy.DataTerm):
        count = 0

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            Failing.count += 1
            if Failing.count == evaluations:
                (folder / "failed").touch()
                fail()

    energy.DataTerm = Failing  # type: ignore[misc]


if __name__ == "__main__":
    name, folder, timeout, *options = sys.argv[1:]
    if name == "lost":
        meet(Path(folder))
    with ranks.joined(timeout=float(timeout)) as together:
        globals()[name](together, Path(folder), *options)

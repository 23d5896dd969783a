"""Do minima and minimisers of densely connected networks converge to those of a Volterra equation, and how fast?

In X_i = x + (1/n) Σ_{j<i} σ(K_ij X_j + b_ij) every layer sees all layers before it. As the depth n grows, the states
tend to those of X(t) = x + ∫_0^t σ(K(t, s) X(s) + b(t, s)) ds. Huang, Su, Tai & Wu, Mathematical modeling and
convergence analysis of deep neural networks with dense layer connectivities (2025), prove for networks of this kind
that minima converge, and minimisers along subsequences. The regulariser used here, an H¹ norm of the kernels on the
triangle s < t, the rates and the error constants are derived in `deeplimit.dense` and `deeplimit.volterra`. In a
residual network the regulariser has no part in the first-order constant; here it has one on each side of the triangle.

The forward example is K = cos(3t) e^(−s), b = t − s, tanh, x = ½. For the minima random networks are trained at the
coarsest depth, the lowest is followed, and the limit is solved near the deepest network.
"""

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeplimit import Data, Problem, activation, compare, data, dense, network, plot, study, volterra
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.minimum import Minimum

LINE = torch.tensor([[-1.0, -0.5], [0.2, 1.0], [1.0, 0.3]], dtype=torch.float64)  # x and y of three points
PROBLEMS = {
    "line": Problem(Data(LINE[:, :1], LINE[:, 1:]), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "circles": Problem(data.circles(12), loss="logistic", alpha=0.01, reduction="mean"),
}
FORWARD = [64, 128, 256, 512, 1024]
DEPTHS = [4, 8, 16, 32, 64]
STARTS = 4
DEGREES = [12, 16, 20]  # of the limit's kernels
DRAWN = [8, 32]  # depths of the kernels in the figure

QUICK = {"PROBLEMS": {"line": PROBLEMS["line"]}, "DEPTHS": [4, 8, 16, 32], "STARTS": 1, "DEGREES": [12, 16]}
SHOW = ["part", "depth", "gap", "predicted_gap", "control_l2", "curvature", "status"]
EXAMPLE = "forward example"
RECORDED_RATIOS = [2.0034, 2.0017, 2.0008]  # of the differences of X_n(1), from depth 64 on
CONSTANT_TOLERANCE = 16  # relative, times 1/n²: the next term after extrapolation
RECORDED_END = 0.62315586  # one Richardson step from depths 512 and 1024
PANELS = {
    "forward": "state |Xₙ − X(1)|",
    "value": "|min Eₙ − min E∞|",
    "control": "‖(K, b)ₙ − (K, b)*‖, nodal L²",
}


def example_K(t: np.ndarray, s: np.ndarray) -> np.ndarray:
    """K(t, s) of the forward example, (k, 1, 1)."""
    return np.asarray(np.cos(3 * t) * np.exp(-s))[:, None, None]


def example_b(t: np.ndarray, s: np.ndarray) -> np.ndarray:
    """b(t, s) of the forward example, (k, 1)."""
    return np.asarray(t - s)[:, None]


def forward(depth: int) -> dict[str, Any]:
    """A dense network with given kernels against the Volterra equation."""
    x, sigma = torch.tensor([[0.5]], dtype=torch.float64), activation.get("tanh")
    points = dense.nodes(depth)
    K, b = (torch.as_tensor(f(*points)) for f in (example_K, example_b))
    end = dense.states(x, K, b, sigma.value)[-1].item()
    limit, coarse = (volterra.solve(x, example_K, example_b, sigma, nodes).item() for nodes in (32, 24))
    constant = volterra.forward_constant(x, example_K, example_b, sigma).item()
    return {
        "value": end,
        "limit_value": limit,
        "limit_error": abs(limit - coarse),
        "gap": end - limit,
        "gap_error": abs(limit - coarse),
        "predicted_gap": constant / depth,
        "status": "converged: explicit sums",
        "limit_status": "converged: by collocation" if math.isfinite(limit) else "not converged",
    }


@cache
def solve(name: str) -> tuple[dict[int, Minimum], list[Minimum]]:
    """The networks of a branch by depth, and the minimisers of E_∞ near the deepest, by degree."""
    problem = PROBLEMS[name]
    coarse = (dense.minimise(problem, DEPTHS[0], seed=seed) for seed in range(STARTS))
    nets = {DEPTHS[0]: min(coarse, key=lambda m: m.value)}
    for before, depth in pairwise(DEPTHS):
        nets[depth] = dense.minimise(problem, depth, start=nets[before].control)
    return nets, volterra.branch(problem, nets[DEPTHS[-1]].control, degrees=DEGREES)


def minima(name: str, depth: int) -> dict[str, Any]:
    """A trained dense network against the minimiser of E_∞."""
    problem, (nets, limits) = PROBLEMS[name], solve(name)
    net, (coarse, limit) = nets[depth], limits[-2:]
    kernels, surface = net.control, limit.control
    embedding = math.sqrt(max(1 / (problem.alpha[k] * problem.tau[k]) for k in "Kb"))  # ‖θ‖_L² ≤ |u| / √(α τ)
    return {
        "value": net.value,
        "limit_value": limit.value,
        "limit_error": limit.error_bar,
        "gap": net.value - limit.value,
        "gap_error": net.error_bar + limit.error_bar,
        "predicted_gap": volterra.value_constant(problem, surface) / depth,
        "control_l2": dense.l2(kernels, surface.sample(depth)),
        "control_error": surface.l2(coarse.control) + embedding * net.distance_bound,
        "resnet_difference": resnet_difference(problem, depth),
        "data_loss": net.data_loss,
        "residual": net.residual,
        "curvature": net.curvature,
        "hessian_products": net.hessian_products,
        "seconds": net.seconds,
        "status": str(net.status),
        "limit_status": str(limit.status),
    }


def resnet_difference(problem: Problem, depth: int) -> float:
    """The largest difference between the states of a residual network and of the dense one with K_ij = K_j."""
    layers = problem.metric.draw(seed=depth).sample(depth)
    kernels = dense.Kernels.repeat(layers)
    states = dense.states(problem.data.x, kernels.K, kernels.b, problem.activation.value)
    return float((states - network.states(problem, layers)).abs().max())


def measure(row: str) -> dict[str, Any]:
    """One row of the table: a part and a depth."""
    part, depth = row.split(", n = ")
    found = forward(int(depth)) if part == EXAMPLE else minima(part, int(depth))
    return {"part": part, "depth": int(depth)} | found


def rows() -> list[str]:
    """The rows of the table."""
    return [f"{EXAMPLE}, n = {n}" for n in FORWARD] + [f"{name}, n = {n}" for name in PROBLEMS for n in DEPTHS]


def order(part: pd.DataFrame, gap: str, error: str) -> compare.Order:
    """The observed order of a column of one part."""
    return compare.order(part["depth"], part[gap], part[error])


def constants(part: pd.DataFrame) -> float:
    """What n · gap tends to, extrapolated in 1/n from the last two depths, over its prediction."""
    scaled = (part["depth"] * part["gap"]).to_numpy()
    predicted = (part["depth"] * part["predicted_gap"]).to_numpy()
    return float((2 * scaled[-1] - scaled[-2]) / predicted[-1])


def forward_claims(part: pd.DataFrame) -> list[Claim]:
    """Order, constant, limit and recorded numbers of the forward example."""
    doubt, X = doubts(part, "depth"), part["value"].to_numpy()
    found = order(part, "gap", "gap_error")
    steps = np.diff(X)
    ratios = steps[:-1] / steps[1:]
    return [
        Claim(
            "D1.1",
            "the states of dense networks with given kernels converge at order 1",
            "derived here",
            "order between the last two depths",
            predicted=1,
            observed=found.pairwise[-1],
            tolerance=0.02,
            falsified_by="another order: kernels at other points, another power of n, or another equation in the limit",
            doubts=(*doubt, *([found.note] if found.note else [])),
        ),
        Claim(
            "D1.2",
            "networks extrapolated twice end where the collocation solution of the Volterra equation ends",
            "derived here",
            "(8 X_4n − 6 X_2n + X_n) / 3 from the last three depths",
            predicted=float(part["limit_value"].iloc[-1]),
            observed=float((8 * X[-1] - 6 * X[-2] + X[-3]) / 3),
            tolerance=5e-9,
            falsified_by="two methods with different limits",
            doubts=doubt,
        ),
        Claim(
            "D1.3",
            "successive differences halve, up to 1/n, with the ratios 2.0034, 2.0017, 2.0008 recorded before",
            "derived here",
            "largest distance of a ratio from its recorded value",
            predicted=0,
            observed=farthest(ratios[: len(RECORDED_RATIOS)] - RECORDED_RATIOS, 0),
            tolerance=5e-5,
            falsified_by="a ratio that differs in the digits recorded",
            doubts=doubt,
        ),
        Claim(
            "D1.8",
            "one Richardson step from depths 512 and 1024 gives the number recorded before, 7e-8 from the limit",
            "derived here",
            "2 X_1024 − X_512",
            predicted=RECORDED_END,
            observed=float(2 * X[-1] - X[-2]),
            tolerance=5e-9,
            falsified_by="a number that differs in the digits recorded",
            doubts=doubt,
        ),
        Claim(
            "D1.9",
            "n (X_n − X(1)) tends to e(1), the solution of a linear Volterra equation",
            "derived here",
            "limit of n (X_n − X(1)), extrapolated in 1/n, over e(1)",
            predicted=1,
            observed=constants(part),
            tolerance=1e-5,
            falsified_by="another constant: a first-order error that the equation misses",
            doubts=doubt,
        ),
    ]


def minima_claims(table: pd.DataFrame) -> list[Claim]:
    """Order and constant of the minima, order of the minimisers, and residual networks as dense ones."""
    parts = {str(name): part for name, part in table.groupby("part", sort=False)}
    doubt = doubts(table, "part", "depth")
    orders = {
        column: {name: order(part, column, error) for name, part in parts.items()}
        for column, error in (("gap", "gap_error"), ("control_l2", "control_error"))
    }
    notes = {
        column: tuple(f"{name}: {found.note}" for name, found in all_.items() if found.note)
        for column, all_ in orders.items()
    }
    return [
        Claim(
            "D1.4",
            "min E_n − min E_∞ of dense networks falls at order 1",
            "derived here, after Huang, Su, Tai & Wu 2025",
            "order, extrapolated in 1/n, farthest from 1 over the problems",
            predicted=1,
            observed=farthest((found.extrapolated for found in orders["gap"].values()), 1),
            tolerance=0.05,
            falsified_by="another order: a regulariser with another power of n, or another limit problem",
            doubts=(*doubt, *notes["gap"]),
        ),
        Claim(
            "D1.5",
            "minimisers converge in nodal L² of the triangle at order 1",
            "derived here, after Huang, Su, Tai & Wu 2025",
            "order, extrapolated in 1/n, farthest from 1 over the problems",
            predicted=1,
            observed=farthest((found.extrapolated for found in orders["control_l2"].values()), 1),
            tolerance=0.05,
            falsified_by="order 0: minimisers of another problem, or kernels stored in another order",
            doubts=(*doubt, *notes["control_l2"]),
        ),
        Claim(
            "D1.6",
            "n (min E_n − min E_∞) tends to e₁, of which the regulariser has a part on each side of the triangle",
            "derived here",
            "limit of n (min E_n − min E_∞), extrapolated in 1/n, over e₁, farthest from 1 over the problems",
            predicted=1,
            observed=farthest((constants(part) for part in parts.values()), 1),
            tolerance=CONSTANT_TOLERANCE / table["depth"].max() ** 2,
            falsified_by="another constant: a first-order term that the prediction misses",
            doubts=doubt,
        ),
        Claim(
            "D1.7",
            "a dense network whose kernels do not depend on t is a residual network, up to rounding",
            "definition",
            "largest difference of a state",
            predicted=0,
            observed=largest(table["resnet_difference"]),
            tolerance=1e-13,
            falsified_by="a state that differs by more than sums in another order do",
            doubts=doubt,
        ),
    ]


def claims(table: pd.DataFrame) -> list[Claim]:
    """What the table shows; a row that failed does not know its part, and no claim is decided without it."""
    example, failed = table["part"] == EXAMPLE, table["part"].isna()
    found = forward_claims(table[example | failed]) + minima_claims(table[~example])
    return sorted(found, key=lambda claim: claim.id)


def long_form(table: pd.DataFrame) -> pd.DataFrame:
    """One gap a row, for the figure."""
    example = table["part"] == EXAMPLE
    kinds = {"forward": ("gap", example), "value": ("gap", ~example), "control": ("control_l2", ~example)}
    parts = [
        table[mask].assign(panel=PANELS[kind], size=table[column], predicted=table["predicted_gap"].abs())
        for kind, (column, mask) in kinds.items()
    ]
    parts[-1] = parts[-1].assign(predicted=math.nan)
    return pd.concat(parts, ignore_index=True)


def kernel_values() -> pd.DataFrame:
    """The kernel K of the networks drawn and of the limit, of the first problem, for the figure."""
    nets, limits = solve(next(iter(PROBLEMS)))
    surface = limits[-1].control
    kernels = {str(n): nets[n].control for n in DRAWN} | {"∞": surface.sample(2 * max(DEPTHS))}
    frames = []
    for depth, weights in kernels.items():
        i, j = dense.pairs(weights.depth)
        frames.append(pd.DataFrame({"depth": depth, "i": i, "j": j, "weight": weights.K[:, 0, 0].numpy()}))
    return pd.concat(frames, ignore_index=True)


def main(save: str = "dense") -> None:
    """The table, the claims, the record and the figures."""
    table = study.sweep(measure, save=save, show=SHOW, row=rows())
    kernels = study.once(kernel_values, save=f"{save}_kernels")
    study.record(save, study.constants(globals()), claims=claims(table))
    labels = {"predicted": "predicted  |e(1)|/n, |e₁|/n", "part": "", "y": "distance to the limit"}
    gaps = long_form(table)
    plot.curves(
        gaps, x="depth", y="size", by="panel", hue="part", lines=["predicted"], slopes=[-1], labels=labels, save=save
    )
    plot.kernels(kernels, save=f"{save}_kernels")


if __name__ == "__main__":
    study.run(main, globals())

"""How smooth in depth are minimisers, and do they satisfy the optimality system of the limit?

Where σ is differentiable, minimisers of E_∞ have one derivative more than the energy needs: θ'' = Q/2α is bounded,
with the natural boundary conditions θ'(0) = τθ(0), θ'(1) = 0 and a constant Hamiltonian. Networks inherit all of it at
first order: second difference quotients stay bounded and tend to θ'', boundary terms and the drift of the Hamiltonian
fall like 1/n, with constants that the limit alone predicts (`deeplimit.regularity`). With relu θ'' still is bounded but
jumps where an argument of relu changes its sign, so that third difference quotients grow like n.

The problem `kink` is made so that its minimisers are certified in spite of relu: the one sample that changes its sign
gains from a larger argument, so that the kink repels and no minimiser sits at it. Where one does, the gradient is
a generalised one, and the solver says that their controls cannot be compared.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeplimit import Data, Problem, compare, continuum, data, discrete, plot, regularity, study
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.minimum import Minimum


def line(x: list[float], y: list[float]) -> Data:
    """Points on the line, with one target each."""
    inputs, targets = (torch.tensor(values, dtype=torch.float64)[:, None] for values in (x, y))
    return Data(inputs, targets)


PROBLEMS = {
    "iris": Problem(data.iris(), activation="tanh", loss="softmax", alpha=0.01),
    "breast_cancer": Problem(data.breast_cancer(features=4), activation="tanh", loss="logistic", alpha=1.0),
    "moons": Problem(data.moons(), activation="tanh", loss="logistic", alpha=0.01),
    "three_points": Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "kink": Problem(
        line([1.0, -1.0], [1.2, 1.0]),
        activation="relu",
        loss="squared",
        alpha={"K": 0.05, "b": 1.0},
        tau={"K": 30.0, "b": 1.0},
        trainable="Kb",
    ),
}
NAMES = ["iris", "breast_cancer", "moons", "three_points", "kink"]
SEEDS = {"iris": 7, "breast_cancer": 6, "moons": 0, "three_points": 1, "kink": 1}
DEPTHS = [8, 16, 32, 64, 128, 256, 512, 1024]
TOL = 1e-11  # of the networks: third quotients have what is left of the gradient times a power of n
TOLERANCE = 0.05  # of an order, extrapolated to infinite depth
CONSTANT_TOLERANCE = 0.02  # of a ratio to its predicted constant, extrapolated to infinite depth
ROUNDING = 1e-14  # of a product of some hundred numbers in double precision
INTEGRATION = 1e-8  # of the Hamiltonian of the limit, relative: ten times the error that is allowed in its control
PICTURED = ["iris", "moons", "three_points", "kink"]  # in the figures that show all activations
SHOWN = [256, 64, 16]  # depths of the pictures over t; the limit is drawn where the first has layers
POINTS = 40

QUICK = {"NAMES": ["three_points", "kink"], "DEPTHS": [8, 16, 32, 64, 128, 256]}
LINE = ["data", "depth", "second_sup", "third_sup", "curvature_error", "hamiltonian_spread", "status", "limit_status"]
LABELS = {
    "depth": "depth n",
    "t": "t",
    "second_sup": "max |n² Δ²Θ|",
    "third_sup": "max |n³ Δ³Θ|",
    "second_limit": "|Θ*''| of the limit",
    "third_limit": "|Θ*'''| of the limit",
    "curvature_error": "max |n² Δ²Θ − Θ*''|",
    "boundary_start": "t = 0: |n ΔΘ − τΘ|",
    "boundary_end": "t = 1: |n ΔΘ|",
    "hamiltonian_spread": "max H − min H",
    "predicted_spread": "predicted max H − min H",
    "hamiltonian": "Hamiltonian H_i",
    "hamiltonian_limit": "Hamiltonian of the limit",
    "second": "|n² Δ²Θ|",
}
# The error that the solver leaves in a column, where it is not that of the control.
ERRORS = {
    "second_sup": "second_error",
    "second_gap": "second_error",
    "curvature_error": "second_error",
    "third_sup": "third_error",
    "third_gap": "third_error",
}


@cache
def solve(name: str) -> tuple[dict[int, Minimum], Minimum | None]:
    """One branch of networks by depth, and for a smooth activation the minimiser of E_∞ that it leads to."""
    print(f"{name}: following one branch", flush=True)
    problem = PROBLEMS[name]
    nets = dict(zip(DEPTHS, discrete.branch(problem, DEPTHS, seed=SEEDS[name], tol=TOL), strict=True))
    deepest = nets[DEPTHS[-1]].control
    return nets, continuum.minimise(problem, start=deepest) if problem.activation.smooth else None


def measure(data: str, depth: int) -> dict[str, Any]:
    """One row of the table."""
    problem, (nets, limit) = PROBLEMS[data], solve(data)
    net = nets[depth]
    row: dict[str, Any] = {"activation": problem.activation.name} | regularity.smoothness(problem, net)
    distance = net.distance_bound
    if limit is not None:
        row |= regularity.against_limit(problem, net, limit)
        distance += limit.distance_bound
    return row | {
        "control_error": distance * problem.metric.embedding(),
        "residual": net.residual,
        "status": str(net.status),
        "limit_status": "" if limit is None else str(limit.status),
    }


def orders(table: pd.DataFrame, column: str) -> list[float]:
    """The order at which a column falls with depth, for each data set, extrapolated to infinite depth."""
    error = ERRORS.get(column, "control_error")
    groups = [group.sort_values("depth") for _, group in table.groupby("data", sort=False)]
    return [compare.order(g["depth"], g[column], g[error]).extrapolated for g in groups]


def ratios(table: pd.DataFrame, column: str, predicted: str) -> list[float]:
    """A column by its prediction, for each data set, extrapolated in 1/n from the two deepest networks."""
    found = []
    for _, group in table.groupby("data", sort=False):
        deepest = group.sort_values("depth")[-2:]
        n, ratio = deepest["depth"].to_numpy(), (deepest[column] / deepest[predicted]).to_numpy()
        found.append(float(np.diff(n * ratio)[0] / np.diff(n)[0]))
    return found


def _rate(
    identifier: str, statement: str, table: pd.DataFrame, column: str, predicted: float, falsified_by: str
) -> Claim:
    """A claim that a column falls like n^(−predicted) on every data set of the table."""
    return Claim(
        identifier,
        statement,
        "derived here",
        f"order of {column}, the farthest of {table['data'].nunique()} data sets",
        predicted,
        farthest(orders(table, column), predicted),
        TOLERANCE,
        falsified_by,
        doubted(table),
    )


def _constant(
    identifier: str, statement: str, table: pd.DataFrame, column: str, predicted: str, falsified_by: str
) -> Claim:
    """A claim that a column has the constant that the limit predicts."""
    return Claim(
        identifier,
        statement,
        "derived here",
        f"{column} / {predicted} as n → ∞, the farthest of {table['data'].nunique()} data sets",
        1.0,
        farthest(ratios(table, column, predicted), 1.0),
        CONSTANT_TOLERANCE,
        falsified_by,
        doubted(table),
    )


def _small(
    identifier: str, statement: str, quantity: str, values: pd.Series, bound: float, table: pd.DataFrame
) -> Claim:
    """A claim that a column is zero up to rounding."""
    return Claim(
        identifier,
        statement,
        "derived here",
        f"largest {quantity}",
        bound,
        farthest(values, 0.0),
        0.0,
        "a value above the rounding of the computation",
        doubted(table),
        "≤",
    )


def doubted(table: pd.DataFrame) -> tuple[str, ...]:
    """Why the rows cannot carry a claim; those of relu have no limit that could be doubted."""
    limited = table[table["limit_status"] != ""]
    kinked = table[table["limit_status"] == ""].drop(columns="limit_status")
    return tuple(reason for part in (limited, kinked) if len(part) for reason in doubts(part, "data", "depth"))


def claims(table: pd.DataFrame) -> list[Claim]:
    """What the regularity theory says, against the table."""
    relu = table["data"].map({name: not problem.activation.smooth for name, problem in PROBLEMS.items()})
    smooth, kinked = table[~relu], table[relu]
    return [
        _rate(
            "T7.1",
            "tanh: the largest second difference quotient tends to sup|Θ*''| at order 1, so it is bounded",
            smooth,
            "second_gap",
            1.0,
            "quotients that grow with depth, or have another limit than the costate says",
        ),
        _rate(
            "T7.2",
            "tanh: the largest third difference quotient tends to sup|Θ*'''| at order 1, so it is bounded",
            smooth,
            "third_gap",
            1.0,
            "quotients that grow with depth, or have another limit than the costate says",
        ),
        _rate(
            "T7.3",
            "relu, trajectories that cross a kink: third difference quotients grow like n",
            kinked,
            "third_sup",
            -1.0,
            "bounded third quotients: the hypothesis of a differentiable σ would not matter",
        ),
        _rate(
            "T7.4",
            "tanh: second difference quotients tend to Σ q Xᵀ/2α of the limit, uniformly in depth, at order 1",
            smooth,
            "curvature_error",
            1.0,
            "a distance that does not fall like 1/n",
        ),
        _rate(
            "T7.5",
            "relu, trajectories that cross a kink: second difference quotients stay bounded",
            kinked,
            "second_sup",
            0.0,
            "second quotients that grow with depth",
        ),
        _rate(
            "T8.1",
            "n (Θ_1 − Θ_0) − τΘ_0 tends to 0 at order 1",
            smooth,
            "boundary_start",
            1.0,
            "a boundary term that does not fall like 1/n",
        ),
        _rate(
            "T8.2",
            "n (Θ_{n−1} − Θ_{n−2}) tends to 0 at order 1",
            smooth,
            "boundary_end",
            1.0,
            "a boundary term that does not fall like 1/n",
        ),
        _constant(
            "T8.3",
            "|n (Θ_1 − Θ_0) − τΘ_0| is |Θ*''(0)|/n to leading order",
            smooth,
            "boundary_start",
            "predicted_start",
            "another constant: half of it is what sampling the limit has",
        ),
        _constant(
            "T8.4",
            "|n (Θ_{n−1} − Θ_{n−2})| is |Θ*''(1)|/n to leading order",
            smooth,
            "boundary_end",
            "predicted_end",
            "another constant: 3/2 of it is what sampling the limit has",
        ),
        _rate(
            "T9.1",
            "max − min of the Hamiltonian over the layers tends to 0 at order 1",
            smooth,
            "hamiltonian_spread",
            1.0,
            "a Hamiltonian that drifts in the limit, or less than Euler's method makes it",
        ),
        _rate(
            "T9.2",
            "the mean of the Hamiltonian over the layers tends to the Hamiltonian of the limit at order 1",
            smooth,
            "hamiltonian_gap",
            1.0,
            "another limit, or another order",
        ),
        _small(
            "T9.3",
            "the Hamiltonian is constant along minimisers of E_∞",
            "(max − min)/|mean| of the Hamiltonian",
            smooth["hamiltonian_drift"] / smooth["hamiltonian_limit"].abs(),
            INTEGRATION,
            smooth,
        ),
        _small(
            "T9.4",
            "the pairing of costate and tangent is the same in all layers",
            "relative change of p · dX from layer to layer",
            table["invariant"],
            ROUNDING,
            table,
        ),
        _constant(
            "T9.5",
            "max − min of the Hamiltonian over the layers is (max D − min D)/n to leading order",
            smooth,
            "hamiltonian_spread",
            "predicted_spread",
            "another constant than the limit predicts",
        ),
    ]


def profiles() -> pd.DataFrame:
    """Those of the problems that are drawn."""
    return pd.concat([profile(name) for name in PICTURED if name in NAMES])


def profile(name: str) -> pd.DataFrame:
    """Hamiltonian and second quotients over t, at about `POINTS` layers of each network, and of the limit."""
    problem, (nets, limit) = PROBLEMS[name], solve(name)
    parts: list[pd.DataFrame] = []
    for n in [n for n in SHOWN if n in nets]:
        chosen = np.arange(1, n - 1, max(1, n // POINTS))
        second = regularity.quotient(nets[n].control, 2).norm(dim=1)[chosen - 1]
        H = regularity.hamiltonian(problem, nets[n].control)[chosen]
        part = pd.DataFrame({"data": name, "depth": n, "t": chosen / n, "hamiltonian": H, "second": second})
        if limit is not None and not parts:
            exact = regularity.jet(problem, limit.control, chosen / n)
            part = part.assign(
                hamiltonian_limit=exact.hamiltonian.numpy(), second_limit=exact.second.norm(dim=1).numpy()
            )
        parts.append(part)
    return pd.concat(parts)


def main(save: str = "regularity") -> None:
    """The table, the claims and the figures."""
    table = study.sweep(measure, save=save, show=LINE, data=NAMES, depth=DEPTHS)
    over_t = study.once(profiles, save=f"{save}_profiles")
    study.record(save, study.constants(globals()), claims=claims(table))
    draw(table, over_t, save)


def draw(table: pd.DataFrame, over_t: pd.DataFrame, save: str) -> None:
    """Quotients and boundary terms against depth, and the Hamiltonian and the curvature over t."""
    smooth = table[table["activation"] != "relu"]
    pictured = [name for name in PICTURED if name in NAMES]
    titles = {name: f"{name}, {PROBLEMS[name].activation.name}" for name in pictured}
    plot.curves(
        table[table["data"].isin(pictured)].replace({"data": titles}),
        x="depth",
        y=["second_sup", "third_sup"],
        by="data",
        lines=["second_limit", "third_limit"],
        slopes=[1],
        labels=LABELS,
        save=save,
    )
    plot.curves(
        smooth,
        x="depth",
        y=["curvature_error", "boundary_start", "boundary_end", "hamiltonian_spread"],
        by="data",
        lines=["predicted_spread"],
        slopes=[-1],
        labels=LABELS,
        save=f"{save}_orders",
    )
    over_t = over_t.replace({"data": titles})
    for column in ("hamiltonian", "second"):
        plot.curves(
            over_t,
            x="t",
            y=column,
            by="data",
            hue="depth",
            lines=[f"{column}_limit"],
            labels=LABELS | {"depth": "n ="},
            logx=None,
            logy=False,
            save=f"{save}_{column}",
        )


if __name__ == "__main__":
    study.run(main, globals())

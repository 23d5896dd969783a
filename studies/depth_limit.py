"""Do minima and minimisers of E_n converge to those of E_∞, at first order and with the predicted constant?

Thorpe & van Gennip, Deep limits of residual neural networks (2023), prove min E_n → min E_∞ and, along subsequences,
argmin E_n → argmin E_∞. The rate 1/n and its constant e₁ are derived in `deeplimit.expansion`. For each data set
random networks are trained at the coarsest depth, every branch that can still be the lowest is followed to the deepest
network, and the one that is lowest there is compared with the minimiser of E_∞ that it leads to.

breast_cancer has α = 1: its data term is a sum over 569 points, and with α = 0.01 the branches overtake one another and
change their character up to depth 64 (values fall by a tenth from depth to depth, the least curvature from 0.7 to 0.2),
so that gaps at the coarser depths would compare different minima.
"""

from dataclasses import asdict
from functools import cache
from typing import Any

import pandas as pd

from deeplimit import Problem, compare, continuum, data, discrete, plot, pontryagin, study, trace
from deeplimit.minimum import Minimum

PROBLEMS = {
    "iris": Problem(data.iris(), activation="tanh", loss="softmax", alpha=0.01),
    "breast_cancer": Problem(data.breast_cancer(features=4), activation="tanh", loss="logistic", alpha=1.0),
    "moons": Problem(data.moons(), activation="tanh", loss="logistic", alpha=0.01),
}
DEPTHS = [8, 16, 32, 64, 128, 256, 512, 1024]
STARTS = 16
SEED = 0
WEIGHTS = 4  # the coarsest depths, in the figure of the weights
FLOW = "moons"  # two-dimensional data for the figure of the flow
FLOW_DEPTHS = [4, 16, 256]

QUICK = {"DEPTHS": [8, 16, 32, 64, 128], "STARTS": 4, "FLOW_DEPTHS": [4, 128]}
GAPS = [
    ["value_gap / predicted_gap"],
    ["value_gap", "recovery_gap", "liminf_gap"],
    ["control_l2", "control_sup", "control_h1", "head_gap"],
]
LINE = [
    "data",
    "depth",
    "value",
    "value_gap",
    "predicted_gap",
    "control_l2",
    "residual",
    "curvature",
    "status",
    "limit_status",
]


@cache
def solve(name: str) -> tuple[dict[int, Minimum], Minimum]:
    """The branch that is lowest at the deepest network, by depth, and the minimiser of E_∞ that it leads to."""
    print(f"{name}: following the branches of {STARTS} random starts", flush=True)
    nets = dict(zip(DEPTHS, discrete.lowest(PROBLEMS[name], DEPTHS, starts=STARTS, seed=SEED), strict=True))
    print(f"{name}: solving the limit problem", flush=True)
    return nets, continuum.minimise(PROBLEMS[name], start=nets[DEPTHS[-1]].control)


def measure(data: str, depth: int) -> dict[str, Any]:
    """One row of the table."""
    nets, limit = solve(data)
    return {"branch": "lowest"} | compare.gaps(PROBLEMS[data], nets[depth], limit)


def weights(name: str) -> pd.DataFrame:
    """Weights over depth, for the figure."""
    nets, limit = solve(name)
    return trace.weights({n: nets[n] for n in DEPTHS[:WEIGHTS]}, limit).assign(data=name)


def draw_flow(save: str) -> None:
    """The figure of the flow; depths that the table leaves out are reached from its coarsest network."""
    problem, (nets, limit) = PROBLEMS[FLOW], solve(FLOW)
    start = nets[DEPTHS[0]].control
    chosen = {n: nets[n] if n in nets else discrete.minimise(problem, n, start=start) for n in FLOW_DEPTHS}
    plot.flow(trace.states(problem, chosen, limit), trace.regions(problem, chosen, limit), save=save)


def main(save: str = "depth_limit") -> None:
    """The table, the orders, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, data=list(PROBLEMS), depth=DEPTHS)
    orders = compare.orders(table)
    print(orders.to_string(index=False, float_format="{:.4g}".format))
    certificates = {k: asdict(pontryagin.certify(p, solve(k)[1].control)) for k, p in PROBLEMS.items()}
    notes = {k: p.notes for k, p in PROBLEMS.items()}
    orders_ = orders.to_dict("records")
    study.record(save, study.constants(globals()), orders=orders_, certificates=certificates, notes=notes)
    plot.rates(table, y=GAPS, save=save)
    plot.weights(pd.concat([weights(name) for name in PROBLEMS]), save=f"{save}_weights")
    if FLOW in PROBLEMS:
        draw_flow(f"{save}_flow")


if __name__ == "__main__":
    study.run(main, globals())

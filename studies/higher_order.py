"""How much faster do networks of Heun or Runge-Kutta blocks reach the limit, and what must their weights be for it?

Euler's blocks give values of order 1. With weights that are continuous piecewise polynomials in depth, each stage
taking them at its own time, and their H¹ norm integrated exactly, Heun's blocks give order 2 and the classical
Runge-Kutta ones order 4: the limit is stationary, so that the value feels the defects of the blocks and of the
regulariser alone. Three shortcuts lose it: one weight for both stages of a block (order 1), differences of the weights
on the half grid in place of the integral, and averages in place of weights of the middle stages (order 2). All
constants but that of order 4 follow from the limit, as `deeplimit.variants.value_constant` says.

For every data set each network is followed from its coarsest depth, started at the lowest of a few minima of residual
networks; the limit is the one that the deepest Runge-Kutta network leads to.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeplimit import Curve, Problem, compare, continuum, data, discrete, plot, pontryagin, study, variants
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.control import Layers
from deeplimit.minimum import Minimum

PROBLEMS = {
    "scalar": Problem(
        data.scalar(),
        activation="tanh",
        loss="squared",
        alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1},
    ),
    "ring": Problem(data.ring(), activation="tanh", loss="softmax", alpha=0.01, reduction="mean"),
    "moons": Problem(data.moons(), activation="tanh", loss="logistic", alpha=0.01),
}
DATA = ["scalar", "ring", "moons"]
# heun_shared settles late: n times its gap is still a quarter off its limit at depth 64 on moons
COARSEST = {"heun": 4, "rk4": 4, "rk4_half_grid": 4, "rk4_averaged": 4, "heun_shared": 32}
REFINEMENTS = 5
COMMON = 4  # costates are compared at the nodes i/4
START_DEPTH = 16
STARTS = 6
SEED = 0
TOL = 1e-11
LIMIT_TOL = 1e-12

QUICK = {"DATA": ["scalar", "ring"], "COARSEST": COARSEST | {"heun_shared": 8}, "REFINEMENTS": 4, "STARTS": 2}
ORDER_TOLERANCE = 0.05
CONSTANT_TOLERANCE = 0.02  # the extrapolation from two depths leaves the second power of 1/n: 2 (4/n)² at n = 32
SHOWN = ["data", "variant", "depth", "value_gap", "predicted_gap", "control_l2", "costate_l2", "status", "limit_status"]
WORDS = {
    "heun": "Heun's blocks with piecewise linear weights",
    "rk4": "Runge-Kutta blocks with piecewise quadratic weights",
    "rk4_half_grid": "Runge-Kutta blocks with differences on the half grid",
    "rk4_averaged": "Runge-Kutta blocks with averaged weights in the middle",
    "heun_shared": "Heun's blocks with one weight for both stages",
}
LABELS = {
    "depth": "number of blocks n",
    "y": "|min E − min E∞|",
    "network": "",
    "predicted_gap": "predicted |C| n^(−order)",
}


@cache
def start(name: str) -> Layers:
    """The lowest minimum of a few residual networks."""
    minima = discrete.branches(PROBLEMS[name], START_DEPTH, starts=STARTS, seed=SEED)
    control: Layers = minima[0].control
    return control


@cache
def networks(name: str, variant: str) -> dict[int, Minimum]:
    """The branch of a variant, by depth."""
    depths = [COARSEST[variant] * 2**k for k in range(REFINEMENTS)]
    found = variants.branch(PROBLEMS[name], depths, variant=variant, start=start(name), tol=TOL)
    return dict(zip(depths, found, strict=True))


@cache
def solve_limit(name: str) -> Minimum:
    """The minimiser of E_∞ that the deepest Runge-Kutta network leads to."""
    nets = networks(name, "rk4")
    return continuum.minimise(PROBLEMS[name], start=nets[max(nets)].control, tol=LIMIT_TOL)


@cache
def limit_costate(name: str) -> torch.Tensor:
    """p at the nodes that all depths have, at the limit."""
    times = np.arange(COMMON + 1) / COMMON
    return torch.as_tensor(pontryagin.trajectory(PROBLEMS[name], solve_limit(name).control, times).costate)


def control_distance(control: Layers | Curve, limit: Curve, depth: int) -> float:
    """(h Σ_i |Θ_i − Θ*(i/n)|²)^½ over K and b at the nodes i/n, i = 0 … n − 1."""
    t = np.arange(depth) / depth
    nodal = Layers(*control.at(t), limit.W, limit.c)
    return compare.l2(nodal, limit.sample(depth))


def measure(data: str, variant: str, refinement: int) -> dict[str, Any]:
    """One row of the table."""
    problem, limit = PROBLEMS[data], solve_limit(data)
    depth = COARSEST[variant] * 2**refinement
    net, order = networks(data, variant)[depth], variants.get(variant).order
    constant = np.nan if variant == "rk4" else variants.value_constant(problem, limit, variant=variant)
    costate = variants.costates(problem, net.control, depth, variant=variant)[:: depth // COMMON]
    control_error = (net.distance_bound + limit.distance_bound) * problem.metric.embedding()
    return {
        "depth": depth,
        "value": net.value,
        "error_bar": net.error_bar,
        "limit_value": limit.value,
        "limit_error": limit.error_bar,
        "value_gap": net.value - limit.value,
        "gap_error": net.error_bar + limit.error_bar,
        "order": order,
        "predicted_constant": constant,
        "predicted_gap": constant / depth**order,
        "control_l2": control_distance(net.control, limit.control, depth),
        "control_error": control_error,
        "costate_l2": float(torch.linalg.vector_norm(costate - limit_costate(data))) / np.sqrt(COMMON + 1),
        "costate_error": control_error * float(costate.abs().max()),
        "data_loss": net.data_loss,
        "residual": net.residual,
        "curvature": net.curvature,
        "iterations": net.iterations,
        "hessian_products": net.hessian_products,
        "seconds": net.seconds,
        "status": str(net.status),
        "limit_status": str(limit.status),
    }


ERRORS = {"value_gap": "gap_error", "control_l2": "control_error", "costate_l2": "costate_error"}


def orders(table: pd.DataFrame) -> pd.DataFrame:
    """Observed orders, one row per data set, variant and quantity, over the depths that the solvers resolve."""
    rows = []
    for (name, variant), group in table.groupby(["data", "variant"], sort=False):
        for column, error in ERRORS.items():
            resolved = group[compare.RESOLVED * group[error] < group[column].abs()]
            found = compare.order(resolved["depth"], resolved[column], resolved[error])
            last = found.pairwise[-1] if found.pairwise else np.nan
            values = {"last": last, "extrapolated": found.extrapolated, "fit": found.slope}
            depths = ", ".join(map(str, resolved["depth"]))
            rows.append({"data": name, "variant": variant, "quantity": column, **values, "depths": depths})
    return pd.DataFrame(rows)


def constants(group: pd.DataFrame) -> float:
    """n^p · gap / predicted constant at n → ∞, from the last two depths."""
    coarse, fine = (group["value_gap"] / group["predicted_gap"]).iloc[-2:]
    return float(2 * fine - coarse)


def order_claim(identifier: str, table: pd.DataFrame, observed: pd.DataFrame, variant: str, column: str) -> Claim:
    """The order of a quantity of a variant, on the data set on which it is farthest from the prediction."""
    rows = observed[(observed["variant"] == variant) & (observed["quantity"] == column)]
    unresolved = rows["data"][rows["extrapolated"].isna()]
    notes = tuple(f"{name}: three depths are needed at which the solvers' error is small" for name in unresolved)
    what = {"value_gap": "values", "control_l2": "weights at the nodes", "costate_l2": "costates at the nodes"}[column]
    order = variants.get(variant).order
    return Claim(
        identifier,
        f"{WORDS[variant]}: {what} of order {order}",
        "derived here",
        f"extrapolated order of {column} in 1/n, farthest of {len(rows)} data sets",
        order,
        farthest(rows["extrapolated"], order),
        ORDER_TOLERANCE,
        "another order on any data set",
        doubts(table[table["variant"] == variant], "data", "depth") + notes,
    )


def constant_claim(identifier: str, table: pd.DataFrame, variant: str) -> Claim:
    """The constant of the value of a variant, relative to the predicted one."""
    rows = table[table["variant"] == variant]
    return Claim(
        identifier,
        f"{WORDS[variant]}: the value gap has the predicted constant",
        "derived here",
        "n^order · value gap / predicted constant as n → ∞, farthest of the data sets",
        1.0,
        farthest([constants(group) for _, group in rows.groupby("data", sort=False)], 1.0),
        CONSTANT_TOLERANCE,
        "a ratio that tends to another number",
        doubts(rows, "data", "depth"),
    )


def claims(table: pd.DataFrame) -> list[Claim]:
    """Orders of values, constants, orders of costates and weights."""
    observed = orders(table)
    values = ["heun", "rk4", "rk4_half_grid", "rk4_averaged", "heun_shared"]
    known = ["heun", "rk4_half_grid", "rk4_averaged", "heun_shared"]
    return [
        *(order_claim(f"R5.{k}", table, observed, name, "value_gap") for k, name in enumerate(values, 1)),
        *(constant_claim(f"R5.6.{k}", table, name) for k, name in enumerate(known, 1)),
        *(order_claim(f"R5.7.{k}", table, observed, name, "costate_l2") for k, name in enumerate(values[:2], 1)),
        *(order_claim(f"R5.8.{k}", table, observed, name, "control_l2") for k, name in enumerate(values[:2], 1)),
    ]


def main(save: str = "higher_order") -> None:
    """The table, the orders, the record and the figure."""
    levels = range(REFINEMENTS)
    table = study.sweep(measure, save=save, show=SHOWN, data=DATA, variant=list(COARSEST), refinement=levels)
    print(orders(table).to_string(index=False, float_format="{:.4g}".format))
    orders_ = orders(table).to_dict("records")
    study.record(save, study.constants(globals()), claims=claims(table), orders=orders_)
    plot.curves(
        table.assign(network=table["variant"].map({k: v.replace(" with ", "\nwith ") for k, v in WORDS.items()})),
        x="depth",
        y="value_gap",
        by="data",
        hue="network",
        lines=["predicted_gap"],
        slopes=[-1, -2, -4],
        labels=LABELS,
        save=save,
    )


if __name__ == "__main__":
    study.run(main, globals())

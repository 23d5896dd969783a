"""Can minimum and minimiser at depth n be predicted to second order before the network is trained?

The limit alone says what a deep network will be, derived in `deeplimit.expansion`:

    min E_n = min E_∞ + e₁/n + O(n⁻²),   Θ^(n)_i = Θ*(i/n) + η(i/n)/n + O(n⁻²),

with e₁ an integral along the limit and η the solution of one linear system. So the gaps that are of order one become
of order two when the predicted term is taken off them. Without any prediction, 2 min E_2n − min E_n is of order two as
well, and a network's own costates show e₁. For each problem one branch of minimisers is followed from a random start
and compared with the limit that it leads to; whether it is the lowest does not matter here.

All orders are extrapolated: the order between two depths is 2 + C/n, and C is large where a data set is hard.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import Problem, compare, continuum, data, discrete, expansion, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.control import Curve
from deeplimit.minimum import Minimum

PROBLEMS = {
    "reference": Problem(
        data.scalar(),
        loss="squared",
        alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1},
    ),
    "ring": Problem(data.ring(), loss="softmax", reduction="mean", alpha=0.01),
    "iris": Problem(data.iris(), loss="softmax", alpha=0.01),
    "breast_cancer": Problem(data.breast_cancer(features=4), loss="logistic", alpha=1.0),
    "moons": Problem(data.moons(), loss="logistic", alpha=0.01),
}
SEEDS = {"reference": 1, "ring": 4, "iris": 7, "breast_cancer": 6, "moons": 0}  # of the starts
DATA = list(PROBLEMS)
DEPTHS = [8, 16, 32, 64, 128, 256, 512, 1024]
TOL = 1e-12  # of the networks' gradients
LIMIT_TOL = 1e-11

QUICK = {"DATA": ["reference", "ring"], "DEPTHS": [32, 64, 128, 256]}
CONSTANT_ERROR = 1e-11  # relative: two integrators agree on e₁ to this
NORMS = {"l2": compare.l2, "sup": compare.sup, "h1": compare.h1, "head": compare.head}
WORDS = {"value": "value", "l2": "K, b: nodal L²", "sup": "K, b: sup", "h1": "K, b: discrete H¹", "head": "W, c"}
LINE = ["data", "depth", "value_gap", "corrected_value", "control_l2", "corrected_l2", "status", "limit_status"]
SOURCE = "derived here"
ORDER_TOL = 0.1
CONSTANT_TOL = 0.005
BOUNDARY_TOL = 1e-6


@cache
def solve(name: str) -> tuple[dict[int, Minimum], Minimum, Curve]:
    """The minimisers by depth, the limit that they lead to, and its first corrector."""
    print(f"{name}: following a branch, then its limit and what it predicts", flush=True)
    nets = discrete.branch(PROBLEMS[name], DEPTHS, seed=SEEDS[name], tol=TOL)
    limit = continuum.minimise(PROBLEMS[name], start=nets[-1].control, tol=LIMIT_TOL)
    return dict(zip(DEPTHS, nets, strict=True)), limit, expansion.corrector(PROBLEMS[name], limit)


@cache
def boundary_defect(name: str) -> float:
    """The certificate of the corrector."""
    _, limit, eta = solve(name)
    return expansion.boundary_defect(PROBLEMS[name], limit, eta)


def measure(data: str, depth: int) -> dict[str, Any]:
    """One row of the table: gaps with and without their predicted first term."""
    problem, (nets, limit, eta) = PROBLEMS[data], solve(data)
    net = nets[depth]
    constant = expansion.value_constant(problem, limit)
    error = net.error_bar + limit.error_bar
    return {
        "start_seed": net.seed,
        "value": net.value,
        "limit_value": limit.value,
        "value_gap": net.value - limit.value,
        "value_error": error,
        "constant": constant,
        "corrected_value": net.value - limit.value - constant / depth,
        "corrected_value_error": error + CONSTANT_ERROR * abs(constant) / depth,
        "estimated_constant": expansion.estimated_value_constant(problem, net.control),
        **richardson(nets, limit, depth),
        **control_gaps(problem, net, limit, eta),
        "boundary_defect": boundary_defect(data),
        "residual": net.residual,
        "curvature": net.curvature,
        "status": str(net.status),
        "limit_status": str(limit.status),
    }


def richardson(nets: dict[int, Minimum], limit: Minimum, depth: int) -> dict[str, float]:
    """2 min E_n − min E_{n/2} − min E_∞; NaN without a network of half the depth."""
    if depth // 2 not in nets:
        return {"richardson": np.nan, "richardson_error": np.nan}
    fine, coarse = nets[depth], nets[depth // 2]
    return {
        "richardson": 2 * fine.value - coarse.value - limit.value,
        "richardson_error": 2 * fine.error_bar + coarse.error_bar + limit.error_bar,
    }


def control_gaps(problem: Problem, net: Minimum, limit: Minimum, eta: Curve) -> dict[str, float]:
    """Distances to samples of Θ* and of Θ* + η/n, and between the two; η is as uncertain as its boundary values."""
    depth = net.control.depth
    samples, corrected = limit.control.sample(depth), expansion.corrected(limit, eta, depth)
    error = (net.distance_bound + limit.distance_bound) * problem.metric.embedding()
    gaps: dict[str, float] = {"control_error": error}
    for name, norm in NORMS.items():
        gaps[f"control_{name}"] = norm(net.control, samples)
        gaps[f"predicted_{name}"] = norm(corrected, samples)
        gaps[f"corrected_{name}"] = norm(net.control, corrected)
    return gaps


def tends_to(depth: pd.Series, values: pd.Series) -> float:
    """The limit of C + D/n from the two deepest networks."""
    (m, n), (a, b) = depth.to_numpy(float)[-2:], values.to_numpy(float)[-2:]
    return float((n * b - m * a) / (n - m))


def order(rows: pd.DataFrame, gap: str, error: str) -> float:
    """The extrapolated order of a gap from the deepest networks at which the solvers' error is below a hundredth."""
    rows = rows[rows[gap].notna()]
    found = compare.order(rows["depth"], rows[gap], rows[error])
    pairs = [(p, q) for p, q in pairwise(found.pairwise) if not np.isnan(p + q)]
    return 2 * pairs[-1][1] - pairs[-1][0] if pairs else np.nan


def claims(table: pd.DataFrame) -> list[Claim]:
    """Values, Richardson's extrapolation, and minimisers."""
    table = table.sort_values(["data", "depth"])
    why = doubts(table, "data", "depth")
    groups = [rows for _, rows in table.groupby("data", sort=False)]
    return [*value_claims(groups, why), richardson_claim(groups, why), *minimiser_claims(groups, why)]


def value_claims(groups: list[pd.DataFrame], why: tuple[str, ...]) -> list[Claim]:
    """n (min E_n − min E_∞) → e₁, also from the networks' own costates, and the order of what is left."""
    ratios = [tends_to(g["depth"], g["depth"] * g["value_gap"] / g["constant"]) for g in groups]
    shown = [tends_to(g["depth"], g["estimated_constant"] / g["constant"]) for g in groups]
    left = [order(g, "corrected_value", "corrected_value_error") for g in groups]
    return [
        Claim(
            "T3.11",
            "the predicted e₁ is the first-order constant of the value gap on every data set",
            SOURCE,
            "n (min E_n − min E_∞) / e₁, extrapolated from the two deepest networks, farthest from 1",
            1.0,
            farthest(ratios, 1.0),
            CONSTANT_TOL,
            "a constant that the trained networks do not approach",
            why,
        ),
        Claim(
            "T3.12",
            "e₁ from the states and costates of a trained network tends to the predicted e₁ on every data set",
            SOURCE,
            "e₁ from the network / e₁, extrapolated from the two deepest networks, farthest from 1",
            1.0,
            farthest(shown, 1.0),
            CONSTANT_TOL,
            "costates of the networks that do not converge to those of the limit",
            why,
        ),
        Claim(
            "T3.13",
            "the value gap without e₁/n is of second order on every data set",
            SOURCE,
            "order of min E_n − min E_∞ − e₁/n, farthest from 2",
            2.0,
            farthest(left, 2.0),
            ORDER_TOL,
            "an order of 1 (a wrong e₁) or one that is not whole (a regulariser or weights that are not smooth enough)",
            why,
        ),
    ]


def richardson_claim(groups: list[pd.DataFrame], why: tuple[str, ...]) -> Claim:
    """2 min E_2n − min E_n without any prediction."""
    orders = [order(g, "richardson", "richardson_error") for g in groups]
    return Claim(
        "T4.1",
        "2 min E_2n − min E_n approximates min E_∞ at second order on every data set",
        SOURCE,
        "order of 2 min E_2n − min E_n − min E_∞, farthest from 2",
        2.0,
        farthest(orders, 2.0),
        ORDER_TOL,
        "values whose expansion has a term between 1/n and 1/n²",
        why,
    )


def minimiser_claims(groups: list[pd.DataFrame], why: tuple[str, ...]) -> list[Claim]:
    """The corrected minimisers, one claim per norm; the corrector's boundary values; the uncorrected distances."""
    found = [
        Claim(
            f"T5.{number}",
            f"minimisers are of second order from Θ* + η/n in {WORDS[name]} on every data set",
            SOURCE,
            f"order of the distance to Θ* + η/n in {WORDS[name]}, farthest from 2",
            2.0,
            farthest([order(g, f"corrected_{name}", "control_error") for g in groups], 2.0),
            ORDER_TOL,
            "an order of 1: a corrector with a wrong factor, sign or boundary condition",
            why,
        )
        for number, name in zip((11, 12, 13, 14), NORMS, strict=True)
    ]
    defects = [largest(g["boundary_defect"]) for g in groups]
    ratios = [tends_to(g["depth"], g[f"control_{k}"] / g[f"predicted_{k}"]) for g in groups for k in NORMS]
    return [
        *found,
        Claim(
            "T5.15",
            "η'(0) − τη(0) = Θ*''(0)/2 and η'(1) = Θ*''(1)/2: the corrector does not satisfy the natural conditions",
            SOURCE,
            "largest defect of these conditions over K, b and the data sets, relative to |Θ*''|/2",
            0.0,
            farthest(defects, 0.0),
            BOUNDARY_TOL,
            "a defect near 1: the natural conditions η'(0) = τη(0), η'(1) = 0 instead",
            why,
            "≤",
        ),
        Claim(
            "T5.16",
            "η predicts how far minimisers are from their limit in L², sup, H¹ and head on every data set",
            SOURCE,
            "distance to Θ* / |η|/n, extrapolated from the two deepest networks, farthest from 1",
            1.0,
            farthest(ratios, 1.0),
            CONSTANT_TOL,
            "networks at another distance from the limit than predicted",
            why,
        ),
    ]


def long(table: pd.DataFrame) -> pd.DataFrame:
    """One row per quantity, data set and depth, for the figure; nodal L² looks like sup and is left out."""
    pairs = {"value": ("value_gap", "corrected_value")}
    pairs |= {name: (f"control_{name}", f"corrected_{name}") for name in NORMS if name != "l2"}
    rows = table[["data", "depth"]]
    parts = [rows.assign(quantity=WORDS[k], gap=table[a], corrected=table[b]) for k, (a, b) in pairs.items()]
    return pd.concat(parts, ignore_index=True)


def main(save: str = "second_order") -> None:
    """The table, the claims and the figure."""
    table = study.sweep(measure, save=save, show=LINE, data=DATA, depth=DEPTHS)
    study.record(save, study.constants(globals()), claims=claims(table))
    labels = {"gap": "to the limit", "corrected": "to the prediction", "data": "", "y": "distance of the network"}
    y, slopes = ["gap", "corrected"], [-1, -2]
    plot.curves(long(table), x="depth", y=y, by="quantity", hue="data", slopes=slopes, labels=labels, save=save)


if __name__ == "__main__":
    study.run(main, globals())

"""What do minimisers do when the penalty on the start b(0), or on the output layer W, fades or is missing?

The theorem of Thorpe & van Gennip (2023) asks for τ > 0 in α (‖b'‖² + τ|b(0)|²) and for α_W > 0. As τ → 0 a saturating
activation (tanh, and a target y = 1 that no bias reaches) sends b(0) to infinity like a Lambert function; as α_W → 0
two separable points do the same to |W|. With the penalty 0 there is no minimiser: the solver stops where its gradient
is below the tolerance, farther out for a smaller one. A target y = ½ that a bias reaches is the control: b(0) stays
bounded. A claim here holds when the predicted behaviour is seen.
"""

import math
from functools import partial
from typing import Any

import pandas as pd
import torch
from scipy.optimize import brentq
from scipy.special import lambertw

from deeplimit import Data, Problem, discrete, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest, least
from deeplimit.minimum import Minimum

TAUS = [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]
HEAD_ALPHAS = [1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10]
TOLERANCES = [1e-6, 1e-8, 1e-10, 1e-12]  # where the penalty is 0
DEPTH = 32  # it does not matter here

QUICK = {"DEPTH": 8}
ALPHA = 0.01  # of everything but W
TARGETS = {"b(0), y = 1": 1.0, "b(0), y = ½": 0.5}
TRAINABLE = {"W alone": "W", "W with K, b, c": "KbWc"}
STARTS, HEADS = list(TARGETS), list(TRAINABLE)
NEXT = 4  # a claim allows this many times the next term of the expansion that it rests on
DERIVED = "derived here"
LABELS = {"penalty": "τ (left), α_W (right)", "predicted": "predicted", "case": "", "y": "b(0), W of the minimiser"}


def bias_root(target: float, penalty: float) -> float:
    """The minimiser of (tanh β − y)² + ατ β² over one β: the limit of b(0) as τ → 0, up to τ/3 of itself."""

    def slope(beta: float) -> float:
        return (math.tanh(beta) - target) / math.cosh(beta) ** 2 + penalty * beta

    return float(brentq(slope, 0.0, 40.0, xtol=1e-14))


def head_root(alpha: float) -> float:
    """The minimiser of 2 log(1 + e^(−W)) + α W²: α W (1 + e^W) = 1."""
    return float(brentq(lambda w: w * (1 + math.exp(w)) - 1 / alpha, 0.0, 700.0, xtol=1e-14))


def head_bound(gradient: float) -> float:
    """Where 2/(1 + e^W), the derivative for α = 0, is as small as that: log(2/ε − 1)."""
    return math.log(2 / gradient - 1)


def measure_start(case: str, tau: float, tolerance: float) -> tuple[Minimum, float, float]:
    """b(0), beside the root of its equation; for τ = 0 beside what a gradient ε says about it, ¼ log(16/(ε √α))."""
    points = Data(torch.zeros(1, 1), torch.full((1, 1), TARGETS[case], dtype=torch.float64))
    problem = Problem(points, loss="squared", alpha=ALPHA, tau=tau, trainable="b", drop_hypotheses=tau == 0)
    net = discrete.minimise(problem, DEPTH, tol=tolerance)
    root = bias_root(TARGETS[case], ALPHA * tau) if tau > 0 else math.log(16 / (net.residual * math.sqrt(ALPHA))) / 4
    return net, float(net.control.b[0, 0]), root


def measure_head(case: str, alpha: float, tolerance: float) -> tuple[Minimum, float, float]:
    """W, beside the root of its equation; for α = 0 beside what a gradient ε says about it."""
    points = Data(torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [0.0]]))
    alphas = {"K": ALPHA, "b": ALPHA, "W": alpha, "c": ALPHA}
    problem = Problem(points, alpha=alphas, trainable=TRAINABLE[case], drop_hypotheses=alpha == 0)
    net = discrete.minimise(problem, DEPTH, tol=tolerance)
    return net, float(net.control.W[0, 0]), head_root(alpha) if alpha > 0 else head_bound(tolerance)


def rows() -> dict[str, tuple[str, float, float]]:
    """Case, penalty and tolerance of every row, by name."""
    start = [(case, tau, 1e-13) for case in STARTS for tau in TAUS]
    head = [(case, alpha, 1e-12) for case in HEADS for alpha in HEAD_ALPHAS]
    without = [(case, 0.0, tolerance) for case in (STARTS[0], HEADS[0]) for tolerance in TOLERANCES]
    points = [*start, *head, *without]
    return {f"{case}, penalty {penalty:g}, tolerance {tol:g}": (case, penalty, tol) for case, penalty, tol in points}


def measure(row: str) -> dict[str, Any]:
    """One row of the table."""
    case, penalty, tolerance = rows()[row]
    net, weight, predicted = (measure_start if case in STARTS else measure_head)(case, penalty, tolerance)
    return {
        "case": case,
        "penalty": penalty,
        "tolerance": tolerance,
        "weight": weight,
        "predicted": predicted,
        "value": net.value,
        "residual": net.residual,
        "curvature": net.curvature,
        "distance_bound": net.distance_bound,
        "status": str(net.status),
    }


def part(table: pd.DataFrame, case: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a case with a penalty, and those without."""
    rows = table[table["row"].str.startswith(case)]
    without = rows["row"].str.contains("penalty 0,")
    return rows[~without], rows[without]


def start_claims(table: pd.DataFrame) -> list[Claim]:
    """τ → 0 and τ = 0."""
    (grows, runaway), (bounded, _) = (part(table, case) for case in STARTS)
    rows = pd.concat([grows, bounded])
    claim = partial(Claim, source=DERIVED, doubts=doubts(rows, "row"))
    tau = TAUS[-1]
    # for y = 1 and small ατ, 1 − tanh β → 2 e^(−2β) makes the equation for β 4β e^(4β) = 32/(ατ)
    lambert = float(lambertw(32 / (ALPHA * tau)).real) / 4
    mean = (DEPTH - 1) * (2 * DEPTH - 1) / (6 * DEPTH**2)
    left = math.sqrt(ALPHA) / 4 * math.sqrt(1 + mean)
    return [
        claim(
            "T10.21",
            "for small τ the start b(0) is the root of a scalar equation, up to the share τ/3",
            quantity="largest |b(0)/β − 1| / τ",
            predicted=1 / 3,
            observed=largest((rows["weight"] / rows["predicted"] - 1).abs() / rows["penalty"]),
            tolerance=0.0,
            falsified_by="a start that the scalar equation does not predict",
            relation="≤",
        ),
        claim(
            "T10.22",
            "as τ → 0 a saturating activation sends b(0) to infinity like ¼ W(32/(ατ)), W the Lambert function",
            quantity="b(0) at the least τ",
            predicted=lambert,
            observed=grows["weight"].iloc[-1],
            tolerance=math.exp(-2 * bias_root(1.0, ALPHA * tau)) + tau * lambert,
            falsified_by="a start that stays bounded as τ → 0",
        ),
        claim(
            "T10.23",
            "where weights attain the infimum b(0) stays bounded as τ → 0 and tends to artanh y",
            quantity="b(0) at the least τ, for y = ½",
            predicted=math.atanh(0.5),
            observed=bounded["weight"].iloc[-1],
            tolerance=tau,
            falsified_by="a start that grows although weights attain the infimum",
        ),
        Claim(
            "T10.24",
            "with τ = 0 there is no minimiser: a smaller gradient leads no nearer, √(α (1 + c_n))/4 is left",
            DERIVED,
            "residual / curvature where the solver stops, the farthest",
            predicted=left,
            observed=farthest(runaway["distance_bound"], left),
            tolerance=0.01 * left,
            falsified_by="a distance that falls with the tolerance",
            doubts=doubts(runaway, "row"),
        ),
        Claim(
            "T10.25",
            "with τ = 0 the start of a network whose gradient is ε is at least ¼ log(16/(ε √α))",
            DERIVED,
            "least b(0) minus that bound",
            predicted=0.0,
            observed=least(runaway["weight"] - runaway["predicted"]),
            tolerance=math.exp(-2 * least(runaway["predicted"])),
            falsified_by="small gradients at bounded starts, as near a minimiser",
            doubts=doubts(runaway, "row"),
            relation="≥",
        ),
    ]


def head_claims(table: pd.DataFrame) -> list[Claim]:
    """α → 0 and α = 0 on W."""
    (alone, runaway), (whole, _) = (part(table, case) for case in HEADS)
    alpha = HEAD_ALPHAS[-1]
    root = head_root(alpha)
    return [
        Claim(
            "T10.31",
            "on two separable points |W| is the root of α W (1 + e^W) = 1, for every α on the head alone",
            DERIVED,
            "W over the root, the farthest from 1",
            predicted=1.0,
            observed=farthest(alone["weight"] / alone["predicted"], 1.0),
            tolerance=1e-6,
            falsified_by="a head that the scalar equation does not predict",
            doubts=doubts(alone, "row"),
        ),
        Claim(
            "T10.32",
            "as α → 0 the head alone grows like the Lambert function of 1/α",
            DERIVED,
            "W at the least α",
            predicted=float(lambertw(1 / alpha).real),
            observed=alone["weight"].iloc[-1],
            tolerance=math.exp(-root) + 1e-6 * root,
            falsified_by="a head that stays bounded as α → 0",
            doubts=doubts(alone, "row"),
        ),
        Claim(
            "T10.33",
            "as α → 0 |W| grows as fast with all blocks trained as on the head alone",
            DERIVED,
            "W at the least α over that of the head alone",
            predicted=1.0,
            observed=whole["weight"].iloc[-1] / root,
            # the gain of weights K is α W², their cost 0.01 K²
            tolerance=NEXT * alpha * root**2 / ALPHA,
            falsified_by="layers that keep the head bounded",
            doubts=doubts(whole, "row"),
        ),
        Claim(
            "T10.34",
            "with α = 0 there is no minimiser: a smaller gradient leads no nearer, the distance left is 1",
            DERIVED,
            "residual / curvature where the solver stops, the farthest from 1",
            predicted=1.0,
            observed=farthest(runaway["distance_bound"], 1.0),
            tolerance=0.01,
            falsified_by="a distance that falls with the tolerance",
            doubts=doubts(runaway, "row"),
        ),
        Claim(
            "T10.35",
            "with α = 0 a head whose gradient is at most ε is at least log(2/ε − 1)",
            DERIVED,
            "least W minus that bound, ε the tolerance asked for",
            predicted=0.0,
            observed=least(runaway["weight"] - runaway["tolerance"].map(head_bound)),
            tolerance=0.0,
            falsified_by="small gradients at bounded heads, as near a minimiser",
            doubts=doubts(runaway, "row"),
            relation="≥",
        ),
    ]


def claims(table: pd.DataFrame) -> list[Claim]:
    """T10.21 to T10.35: the start and the output layer without their penalties."""
    return [*start_claims(table), *head_claims(table)]


def main(save: str = "coercivity") -> None:
    """The table, the claims, the record and the figure."""
    table = study.sweep(measure, save=save, row=list(rows()))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[table["penalty"] > 0]
    shown = shown.assign(panel=shown["case"].isin(STARTS).map({True: "start, τ → 0", False: "output layer, α_W → 0"}))
    columns: dict[str, Any] = {"x": "penalty", "y": "weight", "by": "panel", "hue": "case"}
    plot.curves(shown, **columns, lines=["predicted"], labels=LABELS, logx=10, logy=False, save=save)


if __name__ == "__main__":
    study.run(main, globals())

"""Which hypotheses on the activation matter for the depth limit, and does the order depend on the loss?

Thorpe & van Gennip, Deep limits of residual neural networks (2023), ask for a Lipschitz activation with σ(0) = 0. One
small two-class data set is learnt with every activation and every loss of the package, each pair followed along the
branch of minimisers that is lowest of a few. The first order of values and weights, and the constant e₁ of the values,
are derived from the smoothness of σ along the trajectories alone: sigmoid, for which σ(0) ≠ 0, and gcu, z cos z, which
is not globally Lipschitz, must show them as well, because bounds need those two hypotheses and the expansion does not.
relu is Lipschitz but not smooth; its values converge at first order where trajectories cross the kink transversally.
"""

import math
from functools import cache
from typing import Any

import pandas as pd

from deeplimit import Problem, compare, continuum, data, discrete, expansion, plot, study
from deeplimit.activation import Activation
from deeplimit.claims import VALUES_ONLY, Claim, doubts, farthest
from deeplimit.minimum import Minimum

ACTIVATIONS = ["tanh", "arctan", "softplus0", "silu", "identity", "sigmoid", "gcu", "relu"]
LOSSES = ["squared", "logistic", "softmax"]
POINTS = 20
ALPHA = 0.2
DEPTHS = [16, 32, 64, 128]
STARTS = 4
SEED = 0
LIMIT_TOL = 1e-8

QUICK = {"ACTIVATIONS": ["tanh", "sigmoid", "gcu"], "LOSSES": ["squared"], "DEPTHS": [16, 32, 64]}
ORDER_TOLERANCE = 0.05
SCALE = 2.0  # the ratio extrapolated from the depths n and 2n may be off by (SCALE/n)²
MET = "all"
NOT_ZERO = "σ(0) ≠ 0"
NOT_LIPSCHITZ = "not globally Lipschitz"
NOT_SMOOTH = "not smooth"
GROUPS = [MET, NOT_ZERO, NOT_LIPSCHITZ]
WITH = {
    MET: "smooth, Lipschitz, σ(0) = 0",
    NOT_ZERO: "smooth, but σ(0) ≠ 0 (sigmoid)",
    NOT_LIPSCHITZ: "smooth, but not globally Lipschitz (gcu)",
}
SHOWN = ["activation", "loss", "depth", "value_gap", "predicted_gap", "control_l2", "status", "limit_status"]
LABELS = {
    "activation": "activation",
    "value_order": "values",
    "control_order": "weights, where their distance has a bound",
    "y": "extrapolated order",
}


@cache
def problem(activation: str, loss: str) -> Problem:
    """The classes as 0 and 1, or as one-hot columns for softmax."""
    samples = data.moons(POINTS, onehot=loss == "softmax")
    return Problem(samples, activation=activation, loss=loss, alpha=ALPHA)


@cache
def solve(activation: str, loss: str) -> tuple[dict[int, Minimum], Minimum]:
    """The lowest branch of networks, by depth, and the minimiser of E_∞ that it leads to."""
    nets = discrete.lowest(problem(activation, loss), DEPTHS, starts=STARTS, seed=SEED)
    limit = continuum.minimise(problem(activation, loss), start=nets[-1].control, tol=LIMIT_TOL)
    return dict(zip(DEPTHS, nets, strict=True)), limit


def hypotheses(sigma: Activation) -> str:
    """Which of the hypotheses, and of the smoothness that the expansion needs, an activation lacks."""
    lacks = {NOT_ZERO: not sigma.zero_at_zero, NOT_LIPSCHITZ: math.isinf(sigma.lipschitz), NOT_SMOOTH: not sigma.smooth}
    return ", ".join(word for word, lacking in lacks.items() if lacking) or MET


def measure(activation: str, loss: str, depth: int) -> dict[str, Any]:
    """One row of the table."""
    case, (nets, limit) = problem(activation, loss), solve(activation, loss)
    net, sigma = nets[depth], case.activation
    e1 = expansion.value_constant(case, limit) if sigma.smooth else math.nan
    distance = net.distance_bound + limit.distance_bound
    return {
        "hypotheses": hypotheses(sigma),
        "lipschitz": sigma.lipschitz,
        "value": net.value,
        "error_bar": net.error_bar,
        "limit_value": limit.value,
        "limit_error": limit.error_bar,
        "value_gap": net.value - limit.value,
        "gap_error": net.error_bar + limit.error_bar,
        "predicted_gap": e1 / depth,
        "control_l2": compare.l2(net.control, limit.control.sample(depth)),
        "control_error": distance * case.metric.embedding() if distance < math.inf else math.nan,
        "data_loss": net.data_loss,
        "residual": net.residual,
        "curvature": net.curvature,
        "seconds": net.seconds,
        "notes": "; ".join(case.notes),
        "status": str(net.status),
        "limit_status": str(limit.status),
    }


def orders(table: pd.DataFrame) -> pd.DataFrame:
    """One row per activation and loss: orders, and n · gap / e₁ as n → ∞ from the last two depths."""
    rows = []
    for (activation, loss), group in table.groupby(["activation", "loss"], sort=False):
        value = compare.order(group["depth"], group["value_gap"], group["gap_error"])
        control = compare.order(group["depth"], group["control_l2"], group["control_error"])
        coarse, fine = (group["value_gap"] / group["predicted_gap"]).iloc[-2:]
        row = {
            "activation": activation,
            "loss": loss,
            "hypotheses": group["hypotheses"].iloc[0],
            "last": value.pairwise[-1],
            "value_order": value.extrapolated,
            "fit": value.slope,
            "constant": 2 * fine - coarse,
            "control_order": control.extrapolated,
            "status": "; ".join({s.split(":")[0] for s in (*group["status"], *group["limit_status"])}),
        }
        rows.append(row | {"note": value.note})
    return pd.DataFrame(rows)


def smooth_claim(identifier: str, group: str, rows: pd.DataFrame, found: pd.DataFrame) -> Claim:
    """Order of the values, their constant, or order of the weights, of the activations that lack one hypothesis."""
    kind = identifier.rpartition(".")[0]
    coarse = sorted(rows["depth"].unique())[-2] if len(rows) else math.inf
    column, what, quantity, tolerance = {
        "T3.31": ("value_order", "values of order 1", "extrapolated order of the value gap", ORDER_TOLERANCE),
        "T3.32": ("constant", "n times the value gap tends to e₁", "n · gap / e₁ as n → ∞", (SCALE / coarse) ** 2),
        "T5.31": ("control_order", "weights of order 1", "extrapolated order of control_l2", ORDER_TOLERANCE),
    }[kind]
    return Claim(
        identifier,
        f"σ {WITH[group]}: {what} for every loss",
        "derived here, after Thorpe & van Gennip 2023",
        f"{quantity}, farthest of {len(found)} pairs of activation and loss",
        1.0,
        farthest(found[column], 1.0),
        tolerance,
        "another number for any activation or loss",
        doubts(rows, "activation", "loss", "depth"),
    )


def relu_claim(rows: pd.DataFrame, found: pd.DataFrame) -> Claim:
    """The limit's error δ moves an extrapolated order by up to 3 δ / (gap log 2); δ / gap is below 1/100 in orders."""
    moved = 3 / (compare.RESOLVED * math.log(2))
    return Claim(
        "T3.33",
        "relu, Lipschitz but not smooth: values of order 1 for every loss",
        "derived here, after Thorpe & van Gennip 2023",
        f"extrapolated order of the value gap, farthest of {len(found)} losses",
        1.0,
        farthest(found["value_order"], 1.0),
        ORDER_TOLERANCE + moved,
        "another order for any loss",
        doubts(rows, "loss", "depth", trusted=VALUES_ONLY),
    )


def claims(table: pd.DataFrame) -> list[Claim]:
    """For every group of activations, as far as it was measured; rows that failed belong to their activation's."""
    lacking = {name: hypotheses(problem(name, LOSSES[0]).activation) for name in table["activation"].unique()}
    table = table.assign(hypotheses=table["activation"].map(lacking))
    found, made = orders(table), []
    for kind in ("T3.31", "T3.32", "T5.31"):
        for k, group in enumerate(GROUPS, 1):
            rows = table[table["hypotheses"] == group]
            if len(rows):
                made.append(smooth_claim(f"{kind}.{k}", group, rows, found[found["hypotheses"] == group]))
    kinked = table[table["hypotheses"] == NOT_SMOOTH]
    if len(kinked):
        made.append(relu_claim(kinked, found[found["hypotheses"] == NOT_SMOOTH]))
    return made


def main(save: str = "activations") -> None:
    """The table, the orders, the record and the figure."""
    table = study.sweep(measure, save=save, show=SHOWN, activation=ACTIVATIONS, loss=LOSSES, depth=DEPTHS)
    found = orders(table)
    print(found.to_string(index=False, float_format="{:.4g}".format))
    study.record(save, study.constants(globals()), claims=claims(table), orders=found.to_dict("records"))
    columns = ["value_order", "control_order"]
    plot.dots(found, x="activation", y=columns, hue="loss", level=1, within=ORDER_TOLERANCE, labels=LABELS, save=save)


if __name__ == "__main__":
    study.run(main, globals())

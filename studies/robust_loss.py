"""How robust is an optimal network to perturbed inputs, without training again, and does its robustness converge?

Minimisers Θ^(n) of E_n and Θ* of E_∞, trained without noise, get inputs x_s + δξ with ξ ~ U(−1, 1)ᵈ, independent for
every sample: the question of Trimborn, Gerster & Visconti, Spectral methods to study the robustness of residual neural
networks with infinite layers (2020), asked for the minimisers of this package. Derived here:

- gaps    mean and variance of the loss converge at order 1 in depth, with constants that the limit predicts; so do
          the mean of the worst 5 % and the Sobol indices of the features' noise, first and total;
- noise   a little noise adds δ²/6 times the Laplacian of the loss to its mean;
- checks  Monte Carlo, the identities for squared loss, and Galerkin through the trained layers agree with collocation.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from deeplimit import Problem, continuum, data, discrete, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.compare import order
from deeplimit.minimum import Minimum
from deeplimit.uncertainty import collocation, galerkin, germs, monte_carlo, random_loss, robustness, sobol, velocities
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion
from deeplimit.uncertainty.robustness import Robustness

PROBLEMS = {
    "scalar, squared": Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "ring, softmax": Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean"),
    "moons, squared": Problem(data.moons(points=60), loss="squared", alpha=0.05, reduction="mean"),
    "moons, logistic": Problem(data.moons(points=60), loss="logistic", alpha=0.01, reduction="mean"),
}
DEPTHS = [16, 32, 64, 128, 256, 512]
STARTS = 8
SPREADS = [0.05, 0.2]  # δ of the gaps
NOISE = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]  # δ of the part noise
DEGREES = {1: 20, 2: 8}  # of polynomial chaos, by the number of germs
DRAWS, SEED = 20_000, 0
WORST = 0.05  # the part of the draws that counts as the worst

QUICK = {"DEPTHS": [16, 32, 64, 128], "STARTS": 4, "NOISE": [0.01, 0.1], "DRAWS": 5000}
SHALLOW = 16  # depth of the network in the part noise
# Of |∂ log/∂u|, for the floor below which a gap is not used: more than 2|u| over the data term, the gradient of its log
# a minimiser with the penalty |u|², which is 1 to 4 here; every gap is still far above a hundred floors, or not used.
SLOPE = 100
INDICES = {"first index": sobol.first, "total index": sobol.total}  # of the noise of feature 1
LINE = ["part", "problem", "spread", "quantity", "depth", "value", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, float, str, int]]:
    """Part, problem, δ, quantity and depth of every row; depth 0 is the limit."""
    for name in PROBLEMS:
        what = ["mean", "variance", "worst", *(INDICES if PROBLEMS[name].width > 1 else ())]
        yield from (("gap", name, d, quantity, n) for d in SPREADS for quantity in what for n in DEPTHS)
        yield from (("noise", name, d, "excess", n) for n in (SHALLOW, 0) for d in NOISE)
        yield from (("Monte Carlo", name, d, what, SHALLOW) for d in SPREADS for what in ("mean", "variance"))
        yield ("Galerkin", name, SPREADS[0], "states", DEPTHS[0])
        yield ("Galerkin", name, SPREADS[0], "states", 0)
        if PROBLEMS[name].loss.name == "squared":
            yield from (("identity", name, SPREADS[0], what, DEPTHS[0]) for what in ("mean", "variance"))


def measure(row: int) -> Row:
    """One row of the table, with the statuses of the minima that it rests on."""
    part, name, spread, quantity, depth = list(points())[row]
    parts = {
        "gap": gap_row,
        "noise": noise_row,
        "Monte Carlo": monte_carlo_row,
        "Galerkin": galerkin_row,
        "identity": identity_row,
    }
    nets, limit = trained(name)
    place = {"part": part, "problem": name, "spread": spread, "quantity": quantity, "depth": depth}
    statuses = {"status": str(nets[depth].status if depth else limit.status), "limit_status": str(limit.status)}
    return place | parts[part](name, spread, quantity, depth) | statuses


@cache
def trained(name: str) -> tuple[dict[int, Minimum], Minimum]:
    """The lowest branch by depth, and its limit."""
    found = discrete.lowest(PROBLEMS[name], DEPTHS, starts=STARTS)
    return dict(zip(DEPTHS, found, strict=True)), continuum.minimise(PROBLEMS[name], start=found[-1].control)


def minimum(name: str, depth: int) -> Minimum:
    """Of a depth, 0 for the limit."""
    nets, limit = trained(name)
    return nets[depth] if depth else limit


def basis(name: str) -> Basis:
    """Of the noise: a germ for each feature."""
    width = PROBLEMS[name].width
    return Basis(DEGREES[width], ["uniform"] * width)


@cache
def robust(name: str, spread: float, depth: int) -> Robustness:
    """The random loss of a trained network."""
    return robustness.measure(PROBLEMS[name], minimum(name, depth), spread, basis(name))


def common(name: str, spread: float, depth: int) -> Expansion:
    """The data term if all samples have one and the same noise."""
    return summed(name, robust(name, spread, depth).loss)


def summed(name: str, losses: Expansion) -> Expansion:
    """w Σ_s ℓ_s."""
    return Expansion(losses.basis, PROBLEMS[name].weight * losses.coefficients.sum(1))


def worst(name: str, spread: float, depth: int) -> float:
    """The mean of the worst part of the data term under common noise, by the same draws at every depth."""
    return float(random_loss.distribution(common(name, spread, depth), DRAWS, SEED).shortfall(1 - WORST))


@cache
def constants(name: str, spread: float) -> dict[str, float]:
    """Predicted limits of n times the gaps, from ℓ and λ of the limit with ℓ + λ/n + O(n⁻²) of n layers.

    The mean of the worst draws changes by the mean of λ over them, as draws that change places have equal losses.
    """
    arguments = PROBLEMS[name], trained(name)[1], spread, basis(name)
    mean, variance = robustness.constants(*arguments)
    loss, change = (summed(name, part) for part in robustness.changes(*arguments))
    xi = germs.draw(loss.basis.germs, np.random.default_rng(SEED), DRAWS)
    tail = np.argsort(loss.at(xi))[math.ceil((1 - WORST) * DRAWS) :]
    slopes = {what: index_slope(loss, change, index) for what, index in INDICES.items()}
    moved = change.at(xi)[tail]
    return {
        "mean": mean,
        "variance": variance,
        "worst": float(moved.mean()),
        "size": float(abs(moved).mean()),
        **slopes,
    }


def index_slope(loss: Expansion, change: Expansion, index: Callable[[Expansion], np.ndarray]) -> float:
    """The derivative of S_u = V_u/V, of germ 1, from ℓ in the direction λ: (V_u' − S_u V')/V.

    V_u and V are squares of coefficients, whose derivatives are half the differences between ℓ + λ and ℓ − λ.
    """
    ends = [Expansion(loss.basis, loss.coefficients + sign * change.coefficients) for sign in (1, -1)]
    up, down = (np.array([index(end)[0] * end.variance, end.variance]) for end in ends)
    part, whole = (up - down) / 2
    return float((part - index(loss)[0] * whole) / loss.variance)


def level(name: str, spread: float, quantity: str, depth: int) -> float:
    """A quantity of the network, or of the limit."""
    if quantity in INDICES:
        return float(INDICES[quantity](common(name, spread, depth))[0])
    return worst(name, spread, depth) if quantity == "worst" else float(getattr(robust(name, spread, depth), quantity))


def gap_row(name: str, spread: float, quantity: str, depth: int) -> Row:
    """Network less limit, with the predicted constant over n; the columns beside are those of the network."""
    ends = [level(name, spread, quantity, n) for n in (depth, 0)]
    net, limit, here = minimum(name, depth), minimum(name, 0), robust(name, spread, depth)
    return {
        "value": ends[0] - ends[1],
        "predicted": constants(name, spread)[quantity] / depth,
        "error": SLOPE * abs(ends[0]) * (net.distance_bound + limit.distance_bound),
        "level": ends[0],
        "clean": here.clean,
        "tail": here.tail,
        "size": constants(name, spread)["size"],
    }


def noise_row(name: str, spread: float, quantity: str, depth: int) -> Row:
    """What noise adds to the mean, and δ²/6 times the Laplacian of the data term, of the network."""
    found = robust(name, spread, depth)
    predicted = spread**2 / 6 * laplacian(name) if depth else math.nan
    return {"value": found.excess, "predicted": predicted, "level": found.mean, "clean": found.clean}


@cache
def laplacian(name: str) -> float:
    """w Σ_s Δ_x L(h(z_s), y_s) of the shallow network, by automatic differentiation."""
    problem = PROBLEMS[name]
    model = discrete.network(problem, minimum(name, SHALLOW)).requires_grad_(False)
    total = 0.0
    for x, y in zip(problem.data.x, problem.y, strict=True):

        def loss(x: Tensor, y: Tensor = y) -> Tensor:
            return problem.loss.value(model(x[None]), y[None])[0]

        total += float(torch.autograd.functional.hessian(loss, x).trace())
    return problem.weight * total


def monte_carlo_row(name: str, spread: float, quantity: str, depth: int) -> Row:
    """The estimate's distance from collocation in standard errors, under common noise."""
    losses = robustness.losses(PROBLEMS[name], minimum(name, depth), spread)
    drawn = monte_carlo.estimate(
        lambda xi: PROBLEMS[name].weight * losses(xi).sum(1), basis(name).germs, DRAWS, SEED + 1
    )
    expected = float(getattr(common(name, spread, depth), quantity))
    found, error = float(getattr(drawn, quantity)), float(getattr(drawn, f"{quantity}_error"))
    return {"value": (found - expected) / error, "predicted": 0.0, "level": expected}


def galerkin_row(name: str, spread: float, quantity: str, depth: int) -> Row:
    """Distance of Galerkin's X(1), layer by layer or through the limit, from collocation's, over what noise moves."""
    problem, control = PROBLEMS[name], minimum(name, depth).control
    velocity = velocities.trained(problem, control)

    def start(xi: np.ndarray) -> np.ndarray:
        return np.asarray(problem.data.x.numpy() + spread * xi[:, None])

    found = galerkin.solve(velocity, collocation.project(basis(name), start), depth=depth or None)
    expected = collocation.project(basis(name), velocities.ends(velocity, start, depth=depth or None))
    return {"value": found.distance(expected) / math.sqrt(float(expected.variance.sum())), "predicted": 0.0}


def identity_row(name: str, spread: float, quantity: str, depth: int) -> Row:
    """Σ_s E ℓ_s or Σ_s Var ℓ_s by the sums over coefficients of the output, and by collocation of the loss."""
    problem = PROBLEMS[name]
    outputs = collocation.project(basis(name), robustness.outputs(problem, minimum(name, depth), spread))
    loss = random_loss.squared(outputs, problem.y.numpy())
    weight = problem.weight if quantity == "mean" else problem.weight**2
    expected = float(getattr(robust(name, spread, depth), quantity))
    return {"value": weight * float(getattr(loss, quantity).sum()), "predicted": expected}


DERIVED = "derived here"


def part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a part."""
    return table[table["part"] == name]


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Of every gap its order in depth, n · gap over the predicted constant, its 1/n term removed, and its miss.

    The miss is n · gap − constant at the deepest network over the mean of |λ| among the worst. Beside each stands what
    it changed by from half that depth: three times its error where that falls as n⁻², as those of order and constant
    do, and as much as its error where that falls as 1/n, as the miss does. As draws that change places make the miss
    jump, the larger of its last two changes is taken, the other being twice as large.
    """
    found = []
    for (name, spread, quantity), rows in part(table, "gap").groupby(["problem", "spread", "quantity"]):
        rows = rows.sort_values("depth")
        pairwise = np.array(order(rows["depth"], rows["value"], rows["error"]).pairwise)
        ratio = (rows["value"] / rows["predicted"]).to_numpy()
        miss = (rows["depth"] * (rows["value"] - rows["predicted"]) / rows["size"]).to_numpy()
        (slope, slope_change), (constant, constant_change) = (extrapolated(values) for values in (pairwise, ratio))
        found.append(
            {
                "problem": name,
                "spread": spread,
                "quantity": quantity,
                "order": slope,
                "order_change": slope_change,
                "constant": constant,
                "constant_change": constant_change,
                "miss": abs(miss[-1]),
                "miss_change": largest(np.abs(np.diff(miss))[-2:]),
            }
        )
    return pd.DataFrame(found)


def extrapolated(values: np.ndarray) -> tuple[float, float]:
    """The last of 2 v_k − v_{k−1}, for doubled depths, and its change."""
    removed = 2 * values[1:] - values[:-1]
    return float(removed[-1]), float(abs(removed[-1] - removed[-2]))


def gap_claims(table: pd.DataFrame, why: tuple[str, ...]) -> list[Claim]:
    """Orders and constants."""
    found, deepest = settled(table).set_index("quantity"), f"n = {max(DEPTHS)}"
    orders = [
        Claim(
            name,
            f"the {quantity} of the loss under noise converges to that of the limit at order 1",
            DERIVED,
            "order between the deepest networks, 1/n term removed, farthest from 1",
            1.0,
            farthest(found.loc[[quantity], "order"], 1.0),
            largest(found.loc[[quantity], "order_change"]),
            "another order",
            why,
        )
        for name, quantity in (("U3.4", "mean"), ("U3.5", "variance"))
    ]
    worst = Claim(
        "U3.6",
        "n times the gap of the mean of the worst 5 % tends to the mean over them of what limit and corrector predict",
        DERIVED,
        f"|n · gap − predicted| / mean of |λ| among the worst, at {deepest}, largest",
        0.0,
        largest(found.loc[["worst"], "miss"]),
        largest(found.loc[["worst"], "miss_change"]),
        "another constant",
        why,
    )
    words = {
        "U3.7": (["mean"], "the mean"),
        "U3.8": (["variance"], "the variance"),
        "U3.14": (list(INDICES), "first and total Sobol indices of a feature's noise"),
    }
    constants = [
        Claim(
            name,
            f"n times the gap of {what} tends to what the limit and its first corrector predict",
            DERIVED,
            f"n · gap / predicted at {deepest}, 1/n term removed, farthest from 1",
            1.0,
            farthest(found.loc[found.index.isin(quantities), "constant"], 1.0),
            largest(found.loc[found.index.isin(quantities), "constant_change"]),
            "another constant",
            why,
        )
        for name, (quantities, what) in words.items()
    ]
    return [*orders, worst, *constants]


def claims(table: pd.DataFrame) -> list[Claim]:
    """Orders and constants of the gaps, small noise, and agreement of the methods."""
    why = doubts(table, "row")
    noise = part(table, "noise")
    noise = noise[(noise["depth"] > 0) & (noise["spread"] == min(NOISE))]
    drawn, projected, identity = (part(table, name) for name in ("Monte Carlo", "Galerkin", "identity"))
    small = "a little noise adds δ²/6 times the Laplacian of the loss, which no training has seen, to its mean"
    random = "Monte Carlo through trained networks agrees with collocation, mean and variance"
    equal = "Galerkin through trained layers, and through the limit, agrees with collocation"
    sums = "mean and variance of the squared loss of trained networks are the sums over coefficients of the output"
    return [
        *gap_claims(table, why),
        Claim(
            "U3.9",
            small,
            DERIVED,
            f"excess / predicted at δ = {min(NOISE):g}, farthest from 1",
            1.0,
            farthest(noise["value"] / noise["predicted"], 1.0),
            100 * min(NOISE) ** 2,  # the next term, δ² times fourth over second derivatives
            "another constant",
            why,
        ),
        Claim(
            "U3.10",
            random,
            DERIVED,
            "largest difference in standard errors",
            0.0,
            largest(drawn["value"].abs()),
            4.0,
            "more than four",
            why,
        ),
        Claim(
            "U3.11",
            equal,
            DERIVED,
            f"largest relative distance at δ = {SPREADS[0]:g}",
            0.0,
            largest(projected["value"]),
            1e-6,
            "more than both truncations leave",
            why,
        ),
        Claim(
            "U3.12",
            sums,
            DERIVED,
            f"largest relative difference at δ = {SPREADS[0]:g}",
            0.0,
            largest((identity["value"] / identity["predicted"] - 1).abs()),
            1e-10,
            "more than rounding and truncation",
            why,
        ),
    ]


def main(save: str = "robust_loss") -> None:
    """The table, the record and the figures: gaps over depth, and the mean loss over the size of the noise."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    gaps = part(table, "gap")
    gaps = gaps[gaps["spread"] == SPREADS[-1]].replace({"quantity": {"worst": "mean of the worst 5 %"}})
    names = {"value": f"|gap to the limit|, δ = {SPREADS[-1]:g}", "predicted": "predicted constant / n", "quantity": ""}
    columns: dict[str, Any] = {"y": "value", "by": "problem", "lines": ["predicted"]}
    indices, found = gaps[gaps["quantity"].isin(INDICES)], gaps[~gaps["quantity"].isin(INDICES)]
    plot.curves(found, x="depth", hue="quantity", slopes=[-1], labels=names, save=save, **columns)
    names = names | {"value": f"|gap of Sobol indices|, δ = {SPREADS[-1]:g}"}
    plot.curves(indices, x="depth", hue="quantity", slopes=[-1], labels=names, save=f"{save}_indices", **columns)
    noise = part(table, "noise").assign(net=lambda rows: rows["depth"].map(lambda n: f"n = {n}" if n else "limit"))
    names = {"spread": "noise δ", "value": "mean loss with noise − without", "predicted": "δ²/6 · Laplacian", "net": ""}
    columns |= {"hollow": [f"n = {SHALLOW}"]}
    plot.curves(noise, x="spread", hue="net", logx=10, labels=names, save=f"{save}_noise", **columns)


if __name__ == "__main__":
    study.run(main, globals())

"""Do minima and minimisers converge for other layers than σ(Kx + b), and as fast?

Thorpe & van Gennip, Deep limits of residual neural networks (2023), prove it for X_i = X_{i−1} + (1/n) σ(KX_{i−1} + b).
Their regulariser keeps any parameters θ of a layer in H¹, and the expansion of Euler's method asks for two derivatives
of f alone; so, derived here, for X_i = X_{i−1} + (1/n) f(X_{i−1}, θ_{i−1}) with smooth f the same orders hold at a
nondegenerate minimiser, with e₁ = −½ Σ_s ∫ p_s · X_s'' dt and X'' = ∂f/∂x f + ∂f/∂θ θ'. Tried are

- plain          σ(Kx + b) written as a function of torch, against the package's own;
- two-layer      V σ(Kx + b) with more neurons than the width;
- antisymmetric  σ((A − Aᵀ − γI) x + b), whose linearisation does not grow;
- gated          σ(Kx + b) ∘ s(Lx + c), s the logistic function.
"""

from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from deeplimit import Layer, Layers, Problem, compare, continuum, data, discrete, plot, study
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.minimum import Minimum

POINTS = 20
ALPHA = 0.05
NEURONS = 4
GAMMA = 0.1
DEPTHS = [16, 32, 64, 128, 256, 512]
STARTS = 4
SEED = 0
LIMIT_TOL = 1e-9

TRIED = ["plain", "two-layer", "antisymmetric", "gated"]

QUICK = {"DEPTHS": [16, 32, 64], "STARTS": 1, "LIMIT_TOL": 1e-7, "TRIED": ["plain", "antisymmetric"]}
DISPLACED = 0.01  # of every entry of K, the start of the package's own layer from the plain one's minimiser
LINE = ["layer", "depth", "value_gap", "predicted_gap", "control_l2", "status", "limit_status"]

Theta = dict[str, Tensor]
Row = dict[str, Any]


def plain(x: Tensor, theta: Theta) -> Tensor:
    """σ(Kx + b)."""
    return torch.tanh(theta["K"] @ x + theta["b"])


def two_layer(x: Tensor, theta: Theta) -> Tensor:
    """V σ(Kx + b)."""
    return theta["V"] @ plain(x, theta)


def antisymmetric(x: Tensor, theta: Theta) -> Tensor:
    """σ((A − Aᵀ − γI) x + b)."""
    return torch.tanh((theta["A"] - theta["A"].T) @ x - GAMMA * x + theta["b"])


def gated(x: Tensor, theta: Theta) -> Tensor:
    """σ(Kx + b) ∘ s(Lx + c)."""
    return plain(x, theta) * torch.sigmoid(theta["L"] @ x + theta["c"])


PLAIN = "plain"
LAYERS = {
    PLAIN: Layer(PLAIN, plain, {"K": (2, 2), "b": 2}),
    "two-layer": Layer("two-layer", two_layer, {"V": (2, NEURONS), "K": (NEURONS, 2), "b": NEURONS}),
    "antisymmetric": Layer("antisymmetric", antisymmetric, {"A": (2, 2), "b": 2}),
    "gated": Layer("gated", gated, {"K": (2, 2), "b": 2, "L": (2, 2), "c": 2}),
}


@cache
def problem(layer: str) -> Problem:
    """Two moons with the layer of that name."""
    return Problem(data.moons(POINTS), layer=LAYERS[layer], loss="logistic", alpha=ALPHA)


@cache
def solve(layer: str) -> tuple[dict[int, Minimum], Minimum]:
    """The lowest branch of networks, by depth, and the minimiser of E_∞ that it leads to."""
    nets = discrete.lowest(problem(layer), DEPTHS, starts=STARTS, seed=SEED)
    limit = continuum.minimise(problem(layer), start=nets[-1].control, tol=LIMIT_TOL)
    return dict(zip(DEPTHS, nets, strict=True)), limit


@cache
def built_in() -> dict[int, float]:
    """The minimum of the package's own σ(Kx + b), by depth, on the branch that begins where the plain layer's does."""
    known = Problem(data.moons(POINTS), loss="logistic", alpha=ALPHA)
    first = solve(PLAIN)[0][DEPTHS[0]].control
    theta = LAYERS[PLAIN].unflatten(first.b)
    start = Layers(theta["K"] + DISPLACED, theta["b"], first.W, first.c)
    nets = discrete.branch(known, DEPTHS, start=start)
    return {depth: net.value for depth, net in zip(DEPTHS, nets, strict=True)}


def measure(layer: str, depth: int) -> Row:
    """One row: the gaps to the limit, and what the package's own layer has at this depth."""
    nets, limit = solve(layer)
    row = compare.gaps(problem(layer), nets[depth], limit)
    return {"parameters": LAYERS[layer].size} | row | ({"built_in": built_in()[depth]} if layer == PLAIN else {})


def orders(table: pd.DataFrame, column: str) -> list[float]:
    """The extrapolated order of a column, for each layer."""
    return list(compare.orders(table, [column], by="layer")["extrapolated"])


def claims(table: pd.DataFrame) -> list[Claim]:
    """Orders are extrapolated from the three deepest networks, n/4, n/2, n, and constants from the last two: O(n⁻²)."""
    n = int(table["depth"].max())
    why = doubts(table, "layer", "depth")
    plain_rows = table[table["layer"] == PLAIN]
    ratios = [ratio(group) for _, group in table.groupby("layer", sort=False)]
    names = f"farthest of {table['layer'].nunique()} layers"
    made = [
        Claim(
            "T12.1",
            "σ(Kx + b) as a function of torch has the minima of the package's own",
            "derived here",
            "relative difference of min E_n, farthest from 0 over all n",
            0.0,
            farthest(plain_rows["value"] / plain_rows["built_in"] - 1, 0.0),
            1e-12,
            "a difference above rounding: the sweeps of the two are not those of one objective",
            doubts(plain_rows, "layer", "depth"),
        )
    ]
    after = "derived here, after Thorpe & van Gennip 2023"
    room = (16 / n) ** 2  # of what is extrapolated, for the next term
    for name, column, predicted, words in (
        ("T12.2", "value_gap", 1.0, "min E_n tends to min E_∞ at order 1 for other layers"),
        ("T12.4", "control_l2", 1.0, "minimisers tend to the limit's at order 1 in L² for other layers"),
        ("T12.5", "control_h1", 1.0, "minimisers tend to the limit's at order 1 in H¹ for other layers"),
        ("T12.6", "liminf_gap", 2.0, "E_∞ at the interpolants of minimisers tends to min E_∞ at order 2"),
    ):
        found, what = farthest(orders(table, column), predicted), f"extrapolated order, {names}"
        made.append(Claim(name, words, after, what, predicted, found, room, "another order for any layer", why))
    made.append(
        Claim(
            "T12.3",
            "n (min E_n − min E_∞) tends to the predicted e₁ for other layers",
            "derived here",
            f"gap / (e₁/n), extrapolated in 1/n, {names}",
            1.0,
            farthest(ratios, 1.0),
            room / 4,
            "another number for any layer",
            why,
        )
    )
    return made


def ratio(group: pd.DataFrame) -> float:
    """Observed / predicted of the two deepest networks, the term in 1/n removed."""
    quotients = (group["value_gap"] / group["predicted_gap"])[group["depth"].rank() > len(group) - 2].to_numpy()
    return float(2 * quotients[-1] - quotients[-2])


def main(save: str = "own_layer") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, layer=TRIED, depth=DEPTHS)
    study.record(save, study.constants(globals()), claims=claims(table))
    titles = {
        name: f"{name}, p = {layer.size}\n{str(layer.function.__doc__).rstrip('.')}" for name, layer in LAYERS.items()
    }
    plot.curves(
        table.assign(title=table["layer"].map(titles)),
        x="depth",
        y=["value_gap", "control_l2", "liminf_gap"],
        by="title",
        lines=["predicted_gap"],
        slopes=[-1, -2],
        labels={
            "y": "gap to the limit",
            "value_gap": "|min Eₙ − min E∞|",
            "control_l2": "θ in L²",
            "liminf_gap": "E∞ at the interpolant − min E∞",
            "predicted_gap": "predicted, e₁/n",
        },
        save=save,
    )


if __name__ == "__main__":
    study.run(main, globals())

"""How fast do the states of a network at given weights reach those of the limit?

The weights of layer i are Θ(i/n) for a fixed Θ, and X_i is compared with X(t_i), t_i = i/n. Derived here:

- smooth    the largest error is of order 1, with constant max |e|, e' = D_xf e − X''/2;
- merely H¹ the same holds for K' ~ |t − t₀|^(−0.4), which is square integrable and no more;
- Hölder    weights that are merely Hölder of order β give order β where their frequencies and the nodes i/n are in
            resonance (base 2, n = 2^m: the frequencies from n on look constant at the nodes, so that X_n is exp of the
            mean of K(i/n) to leading order), and order 1 where they are not (base 3).
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeplimit import Data, Problem, data, discrete, gamma, irregular, plot, study
from deeplimit.claims import Claim, doubts, farthest, least
from deeplimit.compare import order
from deeplimit.control import Basis, Legendre
from deeplimit.irregular import Power, Weierstrass

DEPTHS = [2**m for m in range(4, 15)]
TANH_DEPTHS = [2**m for m in range(4, 12)]  # the limit is integrated through all oscillations
SEED = 1
RING = Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean")
BASES: dict[str, Basis] = {"smooth": Legendre(6), "merely H¹": Power()}
BETAS = [0.3, 0.5, 0.7]
OCTAVES = 6  # of frequencies above the finest network
HEIGHT = 0.2  # of the Hölder weights: small, so that the error is proportional to what the nodes alias
CELLS = 8  # of the integration, to the shortest period

QUICK = {"DEPTHS": [2**m for m in range(4, 11)], "TANH_DEPTHS": [16, 32, 64, 128, 256]}
SOLVER = 1e-11  # relative error of the adaptive integrator and of rounding, a bound
LINE = ["weights", "activation", "beta", "state", "depth", "gap", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, float, str, int]]:
    """Weights, activation, Hölder order of the weights, which state, and depth of every row."""
    beta = {"smooth": 1.0, "merely H¹": 0.6}
    yield from ((kind, "tanh", beta[kind], "worst", n) for kind in BASES for n in DEPTHS)
    for base in ("base 2", "base 3"):
        for beta_ in BETAS:
            yield from ((base, "identity", beta_, state, n) for state in ("worst", "last") for n in DEPTHS)
            yield from ((base, "tanh", beta_, "worst", n) for n in TANH_DEPTHS)


def measure(row: int) -> Row:
    """One row: the largest or the last error of the states, and what it is to leading order."""
    weights, activation, beta, state, depth = list(points())[row]
    place = {"weights": weights, "activation": activation, "beta": beta, "state": state, "depth": depth}
    found = given(weights, depth) if weights in BASES else hoelder(weights, activation, beta, state, depth)
    return place | {"tail": 1.0} | found | {"status": "integrated"}


def given(weights: str, depth: int) -> Row:
    """A polynomial, or a curve with a derivative like |t − 1/3|^(−0.4)."""
    curve = irregular.random(RING.metric, BASES[weights], SEED, decay=2)
    predicted = gamma.forward_constant(RING, curve) / depth
    return {"gap": gamma.forward_error(RING, curve, depth), "predicted": predicted, "error": SOLVER}


def waves(base: int, activation: str) -> Weierstrass:
    """Frequencies up to at least the given number of octaves above the finest network."""
    finest = DEPTHS[-1] if activation == "identity" else TANH_DEPTHS[-1]
    return Weierstrass(BETAS, base, 1 + math.ceil((math.log2(finest) + OCTAVES) / math.log2(base)), HEIGHT)


@cache
def tanh_states(base: int) -> tuple[np.ndarray, np.ndarray]:
    """X at the nodes of the finest network, and its error for each β: the change when the cells are halved."""
    finest, form = TANH_DEPTHS[-1], waves(base, "tanh")
    cells = CELLS * 2**OCTAVES * finest
    fine, coarse = (form.tanh_states(finest, number) for number in (cells, cells // 2))
    return fine, np.abs(fine - coarse).max(0)


@cache
def state_errors(activation: str, base: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """X_i − X(t_i) for each β, X(0) = 1, and the error of X(t_i)."""
    ones, form = torch.ones(1, len(BETAS), dtype=torch.float64), waves(base, activation)
    problem = Problem(Data(ones, 0 * ones), activation=activation, loss="squared")
    X = discrete.states(problem, form.curve().sample(depth))[:, 0].numpy()
    if activation == "identity":
        return X - np.exp(form.integral(np.arange(depth + 1) / depth)), np.full(len(BETAS), SOLVER)
    limit, error = tanh_states(base)
    return X - limit[:: TANH_DEPTHS[-1] // depth], error


def hoelder(weights: str, activation: str, beta: float, state: str, depth: int) -> Row:
    """`tail` is the part that has terms of the sum over all frequencies that are multiples of n; 1 for base 3.

    What is known for σ = identity: with base 2 the worst error is HEIGHT n^(−β) tail and the last, X_n / X(1) − 1, is
    exp(mean of K(i/n)) − 1; with base 3 the last is −∫K²/(2n).
    """
    base, k = int(weights[-1]), BETAS.index(beta)
    form = waves(base, activation)
    errors, error = state_errors(activation, base, depth)
    mean = float(form.mean(depth)[k])
    tail = mean * depth**beta / HEIGHT if base == 2 else 1.0
    if state == "last":
        last = math.expm1(mean) if base == 2 else -float((form.amplitudes[:, k] ** 2).sum()) / (4 * depth)
        return {"gap": float(errors[-1, k]), "predicted": last, "tail": tail, "error": float(error[k])}
    worst = HEIGHT * depth**-beta * tail if base == 2 and activation == "identity" else math.nan
    return {"gap": float(np.abs(errors[:, k]).max()), "predicted": worst, "tail": tail, "error": float(error[k])}


DERIVED = "derived here"
ROOM = 0.03  # of a fitted order, for the next term


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """Orders of the worst error, as it is (`raw`) and over its tail, of each weights, activation and β.

    The series of frequencies is finite, so that the part of it that aliases, HEIGHT n^(−β) tail, falls faster than
    n^(−β): at the finest network OCTAVES of it are left.
    """
    found = []
    for (weights, activation, beta), rows in table[table["state"] == "worst"].groupby(
        ["weights", "activation", "beta"]
    ):
        raw, fit = (order(rows["depth"], rows["gap"] / by, rows["error"]) for by in (1.0, rows["tail"]))
        note = fit.note if math.isnan(fit.slope) else ""
        place = {"weights": weights, "activation": activation, "beta": beta}
        found.append(place | {"raw": raw.slope, "order": fit.slope, "note": note})
    return pd.DataFrame(found)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Orders of every kind of weights, and the constants that are known; tolerances are the next term's power of n."""
    reason, fits = doubts(table, "row", trusted=("integrated",)), fitted(table)
    rough = fits[fits["weights"].isin(["base 2", "base 3"])]
    n = int(table["depth"].max())
    deepest = table[table["depth"] == n].assign(ratio=lambda rows: rows["gap"] / rows["predicted"])

    def rate(name: str, statement: str, what: str, predicted: float, values: pd.Series, relation: str = "=") -> Claim:
        observed = farthest(values, predicted) if relation == "=" else least(values)
        notes = fits.loc[values.index, "note"]
        why = (*reason, *notes[notes != ""].unique())
        return Claim(name, statement, DERIVED, what, predicted, observed, ROOM, "another order", why, relation)

    def constant(name: str, weights: str, state: str, tolerance: float, statement: str) -> Claim:
        ratio = deepest["ratio"][(deepest["weights"] == weights) & (deepest["state"] == state)]
        what, wrong = f"observed / predicted at n = {n}", "a quotient that does not tend to 1"
        return Claim(name, statement, DERIVED, what, 1.0, farthest(ratio, 1.0), tolerance, wrong, reason)

    found = []
    for name, kind in (("T1.1", "smooth"), ("T1.2", "merely H¹")):
        statement = f"the states of a network with {kind} weights converge at order 1"
        found.append(rate(name, statement, "fitted order", 1.0, fits["order"][fits["weights"] == kind]))
    found += [
        constant(
            "T1.3", "smooth", "worst", 10 / n, "smooth weights: n × the error tends to max |e|, e' = D_xf e − X''/2"
        ),
        constant(
            "T1.4", "merely H¹", "worst", n**-0.6, "K' ~ |t − t₀|^(−0.4): n × the error of the states tends to max |e|"
        ),
    ]
    for name, activation, base in (
        ("T2.1", "identity", 2),
        ("T2.2", "identity", 3),
        ("T2.3", "tanh", 2),
        ("T2.4", "tanh", 3),
    ):
        rows = rough[(rough["activation"] == activation) & (rough["weights"] == f"base {base}")]
        expected, fit, values = "1", "fitted order − 1", rows["order"] - 1
        if base == 2:
            expected = "β, the tail Σ 2^(−jβ) of the truncated series divided out"
            fit, values = "fitted order of error / tail − β", rows["order"] - rows["beta"]
        statement = f"frequencies {base}^k and n = 2^m, σ = {activation}: β-Hölder weights give order {expected}"
        found.append(rate(name, statement, f"{fit}, farthest of β = {BETAS}", 0.0, values))
    slowest = "β-Hölder weights give order β at least, at both frequencies and σ tried"
    aliased = (
        "base 2, σ = identity: X_n / X(1) − 1 is exp(mean of K(i/n)) − 1 to leading order, from frequencies that alias"
    )
    free = "base 3, σ = identity: X_n / X(1) − 1 is −∫K²/(2n) to leading order, as no frequency aliases"
    return [
        *found,
        rate("T2.5", slowest, "least fitted order of the error as it is − β", 0.0, rough["raw"] - rough["beta"], "≥"),
        constant("T2.6", "base 2", "last", HEIGHT * n ** (max(BETAS) - 1), aliased),
        constant("T2.7", "base 3", "last", 1 / n, free),
    ]


def main(save: str = "forward") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[(table["state"] == "worst") & ((table["activation"] == "identity") | table["weights"].isin(BASES))]
    titles = dict.fromkeys(BASES, "given weights, tanh") | {"base 2": "Hölder, identity, base 2"}
    titles["base 3"] = "Hölder, identity, base 3, all β alike"
    shown = shown.assign(panel=shown["weights"].map(titles), curve="β = " + shown["beta"].astype(str))
    shown["curve"] = shown["curve"].where(~shown["weights"].isin(BASES), shown["weights"])
    columns: dict[str, Any] = {"x": "depth", "y": "gap", "by": "panel", "hue": "curve", "lines": ["predicted"]}
    labels = {"depth": "depth n", "y": "largest error of the states", "predicted": "predicted", "curve": ""}
    plot.curves(shown, **columns, slopes=[-1], labels=labels, save=save)


if __name__ == "__main__":
    study.run(main, globals())

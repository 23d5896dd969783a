"""Does the law of finitely many signals behind finitely many layers tend to the mean-field limit, and how fast?

M signals pass L layers X ← X + (T/L) σ(wX + b) of one neuron each (Herty, Trimborn & Visconti 2022). In the limit
their empirical law g_M solves ∂_t g + ∂_x(σ(wx + b) g) = 0. Derived here, with F and Q = F⁻¹ of the limit at time t:

- data      W₁(g_M, g) for independent signals has the mean √(2/(πM)) ∫ √(F(1 − F)) dx to leading order, for signals at
            the quantiles (i − ½)/M the value (Q(1) − Q(0))/(4M), before the flow and after it;
- stability W₁(t) ≤ exp(Lip σ ∫|w|) W₁(0), Dobrushin's bound without interaction; an equality for the identity, w > 0;
- layers    W₁ of the laws behind L layers and behind the flow is (T/2L) E|σ(z(T)) log ∂x(T)/∂x| to leading order;
- flow      the closed forms of the flow are what an integrator finds;
- volumes   finite volumes converge to the law that the closed form pushes forward, at order 1 (upwind), ½ (upwind, law
            with jumps) and 5 (WENO5), conserve the mass and keep averages from becoming negative.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.integrate import quad

from deeplimit import activation, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest, least
from deeplimit.compare import order
from deeplimit.meanfield import field, flows, grid, particles, transport, wasserstein
from deeplimit.meanfield.grid import Grid

SIZES = [2**m for m in range(5, 15)]  # M
SEEDS = list(range(80))
DEPTHS = [2**m for m in range(3, 13)]  # L
CELLS = [100, 200, 400, 800]
FINE = [1600, 3200]  # further ones of upwind
STEPS = 10_000  # of the runs that look at the mass
SAMPLE = 20_000  # signals behind L layers
TIME = 1.0

QUICK = {
    "SIZES": [2**m for m in range(5, 12)],
    "SEEDS": list(range(20)),
    "DEPTHS": [2**m for m in range(3, 10)],
    "CELLS": [100, 200, 400],
    "FINE": [800, 1600],
    "STEPS": 1000,
    "SAMPLE": 4000,
}

UNIFORM, NORMAL = stats.uniform(2, 6), stats.norm(5, 1)
# activation, w, b and law
CASES: dict[str, tuple[str, float, float, Any]] = {
    "identity, w = ½": ("identity", 0.5, -2.0, UNIFORM),
    "tanh, w = 1": ("tanh", 1.0, -4.0, UNIFORM),
    "sigmoid, w = −1": ("sigmoid", -1.0, 4.0, UNIFORM),
    "tanh, normal law": ("tanh", 1.0, -4.0, NORMAL),
}
COMPACT = [case for case, (*_, law) in CASES.items() if law is UNIFORM]
EQUAL = "identity, w = ½"
CLOSED = {"identity": (-1.0, 0.5), "tanh": (1.0, -4.0), "sigmoid": (-2.0, 3.0), "relu": (-1.0, 5.0)}
SMOOTH, JUMPS = stats.norm(0.2, 0.6), stats.uniform(-1.2, 2.4)  # jumps at faces of all grids
DOMAIN, VELOCITY = (-6.0, 6.0), ("tanh", 1.0, 0.3)
COARSE, COARSE_STEPS = 100, 120  # of WENO5, from which Δt ~ Δx^(5/3)
VOLUMES: dict[str, tuple[str, Any]] = {
    "upwind, smooth law": ("upwind", SMOOTH),
    "upwind, law with jumps": ("upwind", JUMPS),
    "WENO5, smooth law": ("weno5", SMOOTH),
}
ORDERS = {"upwind, smooth law": 1.0, "upwind, law with jumps": 0.5, "WENO5, smooth law": 5.0}
FITTED = 4  # grids: a jump falls anywhere in a cell, so that successive errors have no smooth quotient
SHAPES = [2, 4, 8, 16]  # layers of the laws that are drawn
SHAPED = [("tanh", 1.0, -5.0), ("sigmoid", -1.0, 5.0), ("relu", 0.5, -2.5), ("identity", 0.5, -2.5)]
LINE = ["part", "case", "size", "seed", "w1", "w1_after", "error", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int, int]]:
    """Part, case, size (signals, layers or cells) and seed of every row."""
    yield from (("iid", case, M, seed) for case in CASES for M in SIZES for seed in SEEDS)
    yield from (("quantiles", case, M, 0) for case in CASES for M in SIZES)
    yield from (("layers", case, L, 0) for case in CASES for L in DEPTHS)
    yield from (("flow", name, 0, 0) for name in CLOSED)
    yield from (("volumes", case, cells, 0) for case in VOLUMES for cells in CELLS)
    yield from (
        ("volumes", case, cells, 0) for case, (scheme, _) in VOLUMES.items() for cells in FINE if scheme == "upwind"
    )
    yield from (("mass", scheme, CELLS[0], 0) for scheme in transport.COURANT)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, size, seed = list(points())[row]
    parts = {"iid": data, "quantiles": data, "layers": layers, "flow": flow, "volumes": volumes, "mass": mass}
    place = {"part": part, "case": case, "size": size, "seed": seed}
    return place | parts[part](part, case, size, seed) | {"status": "computed"}


def to_limit(case: str, x: np.ndarray, t: float) -> float:
    """W₁ of a sample and the law at time t."""
    name, w, b, law = CASES[case]
    return wasserstein.to_law(x, flows.quantile(name, w, b, t, law.ppf), flows.cdf(name, w, b, t, law.cdf))


@cache
def constant(part: str, case: str, t: float) -> float:
    """Of W₁ ~ constant/√M or constant/M."""
    name, w, b, law = CASES[case]
    low, high = flows.flow(name, w, b, t, np.array(law.ppf([0, 1])) if law is UNIFORM else np.array([-3.0, 13.0]))
    if part == "quantiles" and law is not UNIFORM:
        return math.nan  # Q(1) − Q(0) is infinite, and W₁ of order √(log M)/M
    if part == "quantiles":
        return float(high - low) / 4
    F = flows.cdf(name, w, b, t, law.cdf)
    integral = quad(lambda x: math.sqrt(max(float(F(x) * (1 - F(x))), 0.0)), low, high, limit=200, epsabs=1e-9)[0]
    return math.sqrt(2 / math.pi) * float(integral)


def data(part: str, case: str, M: int, seed: int) -> Row:
    """W₁ before and after the flow, and what it is to leading order."""
    name, w, b, law = CASES[case]
    x = (
        particles.at_quantiles(law.ppf, M)
        if part == "quantiles"
        else particles.drawn(law.ppf, M, [seed, M, list(CASES).index(case)])
    )
    before, after = to_limit(case, x, 0.0), to_limit(case, flows.flow(name, w, b, TIME, x), TIME)
    rate = M if part == "quantiles" else math.sqrt(M)
    bound = math.exp(activation.get(name).lipschitz * abs(w) * TIME) * before
    predicted = {"predicted": constant(part, case, 0.0) / rate, "predicted_after": constant(part, case, TIME) / rate}
    return {"w1": before, "w1_after": after, "bound": bound, "error": 1e-10 * before} | predicted


def layers(_: str, case: str, L: int, __: int) -> Row:
    """W₁ of the laws behind L layers and behind the flow, with equal signals at quantiles of the law."""
    name, w, b, law = CASES[case]
    x = particles.at_quantiles(law.ppf, SAMPLE)
    limit = flows.flow(name, w, b, TIME, x)
    speed = field.sigma(name)(w * limit + b)
    first = np.mean(np.abs(speed * np.log(flows.jacobian(name, w, b, TIME, x))))
    found = wasserstein.distance(particles.network(name, w, b, TIME, L, x), limit)
    return {"w1": found, "predicted": TIME / (2 * L) * float(first), "error": 1e-13}


def flow(_: str, name: str, __: int, ___: int) -> Row:
    """Closed form beside an integrator, which moves the signals as points of a space of one dimension."""
    (w, b), x = CLOSED[name], np.linspace(-5, 9, 101)
    solved = particles.limit(name, np.array([[w]]), np.array([b]), TIME, x[:, None])[:, 0]
    closed = flows.flow(name, w, b, TIME, x)
    return {"error": float(np.max(np.abs(closed - solved) / np.maximum(1, np.abs(solved))))}


def volumes(_: str, case: str, number: int, __: int) -> Row:
    """L¹ error of the averages over the cells."""
    scheme, law = VOLUMES[case]
    cells = Grid((DOMAIN,), (number,))
    steps = number // 4 if scheme == "upwind" else round(COARSE_STEPS * (number / COARSE) ** (5 / 3))
    found = transport.solve(cells, grid.from_cdf(cells, law.cdf), *VELOCITY, TIME, steps, scheme=scheme)
    name, w, b = VELOCITY
    exact = grid.from_cdf(cells, flows.cdf(name, w, b, TIME, law.cdf))
    gap = float(np.abs(found.averages - exact).sum() * cells.volume)
    return {"w1": gap, "error": 1e-12, "mass_error": found.mass_error, "least": found.least}


def mass(_: str, scheme: str, number: int, __: int) -> Row:
    """A law that is zero in most cells and anything in the others, after many steps."""
    cells, rng = Grid((DOMAIN,), (number,)), np.random.default_rng(0)
    g = rng.random(number) * (rng.random(number) < 0.3) * (np.abs(cells.centres()) < 1.5)
    g /= g.sum() * cells.volume
    found = transport.solve(cells, g, *VELOCITY, TIME, STEPS, scheme=scheme)
    return {"mass_error": found.mass_error, "least": found.least}


DERIVED = "derived here"
PAPER = "after Herty, Trimborn & Visconti 2022, derived here"
ROOM = (
    0.05  # of the order in M: 3.5 standard errors, with means over 20 seeds known to 9 % and ten sizes; here over more
)


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with part, case, size and seed in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "case", "size", "seed"]).loc[table["row"]]
    return table.assign(**places.set_axis(table.index))


def doubt(rows: pd.DataFrame) -> tuple[str, ...]:
    """Why rows cannot carry a claim."""
    return doubts(rows, "row", trusted=("computed",))


def slopes(rows: pd.DataFrame, column: str) -> list[float]:
    """For each case the exponent of the size, a least-squares fit to the mean over seeds at all sizes."""
    found = []
    for _, group in rows.groupby("case"):
        mean = group.groupby("size")[column].apply(lambda values: values.mean(skipna=False))
        found.append(float(np.polyfit(np.log(mean.index.to_numpy(dtype=float)), np.log(mean), 1)[0]))
    return found


def claims_data(rows: pd.DataFrame, kind: str, predicted: float, words: str, first: int) -> list[Claim]:
    """Exponents of M before and after the flow."""
    found, wrong = [], "another exponent"
    for k, (column, when) in enumerate((("w1", "at time 0"), ("w1_after", f"after the flow, t = {TIME:g}"))):
        statement = f"W₁ of {words} and the limit law falls as M^({kind}), {when}"
        values = slopes(rows, column)
        what = "fitted exponent, farthest of all cases"
        found.append(Claim(f"M1.{first + k}", statement, PAPER, what, predicted, farthest(values, predicted), ROOM,
                           wrong, doubt(rows)))  # fmt: skip
    return found


def claim_mean(rows: pd.DataFrame) -> Claim:
    """The constant of independent signals, in standard errors of its mean over seeds and sizes from 256 on."""
    scores = []
    for _, group in rows[rows["size"] >= 256].groupby("case"):
        for column in ("w1", "w1_after"):
            ratio = group[column] / group["predicted" if column == "w1" else "predicted_after"]
            scores.append(float((ratio.mean(skipna=False) - 1) / ratio.std() * math.sqrt(len(ratio))))
    statement = "the mean of W₁ of independent signals is √(2/(πM)) ∫ √(F(1 − F)) dx to leading order, before and after"
    what = "(observed / predicted − 1) in standard errors, farthest of all cases"
    return Claim("M1.5", statement, DERIVED, what, 0.0, farthest(scores, 0.0), 4.0, "another constant", doubt(rows))


def claims_layers(rows: pd.DataFrame) -> list[Claim]:
    """Order and constant in L."""
    fits = [order(group["size"], group["w1"], group["error"]).slope for _, group in rows.groupby("case")]
    deepest = rows[rows["size"] == DEPTHS[-1]]
    ratio = farthest(deepest["w1"] / deepest["predicted"], 1.0)
    words = "the law behind L layers tends to that behind the flow at order 1 in W₁"
    constant = "W₁ of the laws behind L layers and the flow is (T/2L) E|σ(z(T)) log ∂x(T)/∂x| to leading order"
    what, wrong = f"observed / predicted at L = {DEPTHS[-1]}", "a quotient that does not tend to 1"
    return [
        Claim("M1.9", words, DERIVED, "fitted order, farthest", 1.0, farthest(fits, 1.0), 0.03, "another order",
              doubt(rows)),
        Claim("M1.10", constant, DERIVED, what, 1.0, ratio, 4 / DEPTHS[-1], wrong, doubt(rows)),
    ]  # fmt: skip


def claims_volumes(part: dict[str, pd.DataFrame]) -> list[Claim]:
    """Closed forms, orders of finite volumes, mass and sign."""
    found, rows, runs = [], part["volumes"], part["mass"]
    statement, wrong = "the closed forms of the flow are what an integrator finds", "another flow"
    found.append(Claim("M3.1", statement, DERIVED, "largest difference, relative to max(1, |x|)", 0.0,
                       largest(part["flow"]["error"]), 1e-11, wrong, doubt(part["flow"])))  # fmt: skip
    for name, case, predicted, tolerance, relation in (
        ("M3.2", "upwind, smooth law", ORDERS["upwind, smooth law"], 0.1, "="),
        ("M3.3", "upwind, law with jumps", ORDERS["upwind, law with jumps"], 0.1, "="),
        ("M3.4", "WENO5, smooth law", 4.5, 0.0, "≥"),
    ):
        group = rows[rows["case"] == case].sort_values("size")
        logs = np.log(group[["size", "w1"]].to_numpy(dtype=float))
        if relation == "≥":
            observed, what = least(-np.diff(logs[:, 1]) / np.diff(logs[:, 0])), "least L¹ order of successive grids"
        else:
            finest, what = logs[-FITTED:], f"L¹ order fitted to the {FITTED} finest grids"
            observed = -float(np.polyfit(finest[:, 0], finest[:, 1], 1)[0])
        statement = f"finite volumes converge to the law pushed forward: {case}, order {ORDERS[case]:g}"
        found.append(Claim(name, statement, DERIVED, what, predicted, observed, tolerance, "another order",
                           doubt(group), relation))  # fmt: skip
    for name, scheme, tolerance in (("M3.5", "upwind", 1e-13), ("M3.6", "weno5", 1e-11)):
        group = runs[runs["case"] == scheme]
        statement, what = f"{scheme} conserves the mass up to rounding", f"|mass − mass at time 0| after {STEPS} steps"
        found.append(Claim(name, statement, DERIVED, what, 0.0, largest(group["mass_error"]), tolerance,
                           "mass that is made or lost", doubt(group)))  # fmt: skip
    both = pd.concat([rows, runs])
    statement, what = "no average becomes negative, up to rounding", "least average of all runs and steps"
    found.append(Claim("M3.7", statement, DERIVED, what, 0.0, least(both["least"]), 1e-15, "a negative average",
                       doubt(both), "≥"))  # fmt: skip
    return found


def claims(table: pd.DataFrame) -> list[Claim]:
    """Data, stability, layers, then flow and volumes."""
    part = {str(name): rows for name, rows in placed(table).groupby("part")}
    iid, every = part["iid"], pd.concat([part["iid"], part["quantiles"]])
    exact = part["quantiles"][part["quantiles"]["case"].isin(COMPACT)]
    ratios = [(exact["w1"] / exact["predicted"]), (exact["w1_after"] / exact["predicted_after"])]
    finest = pd.concat(ratios)[pd.concat([exact["size"]] * 2) == SIZES[-1]]
    what, wrong = f"observed / predicted at M = {SIZES[-1]}, before and after the flow", "another constant"
    statement = "W₁ of signals at quantiles and their law is (Q(1) − Q(0))/(4M) to leading order"
    equal = every[every["case"] == EQUAL]
    return [
        *claims_data(iid, "−½", -0.5, "independent signals", 1),
        *claims_data(exact, "−1", -1.0, "signals at quantiles of a uniform law", 3),
        claim_mean(iid),
        Claim("M1.6", statement, DERIVED, what, 1.0, farthest(finest, 1.0), 10 / SIZES[-1], wrong, doubt(exact)),
        Claim("M1.7", "W₁(t) ≤ exp(Lip σ |w| t) W₁(0) for all samples, sizes and activations", PAPER,
              "largest W₁(t) / bound", 1.0, largest(every["w1_after"] / every["bound"]), 1e-9,
              "a quotient above 1", doubt(every), "≤"),
        Claim("M1.8", "the bound is an equality for σ = identity and w > 0", DERIVED, "W₁(t) / bound, farthest from 1",
              1.0, farthest(equal["w1_after"] / equal["bound"], 1.0), 1e-9, "another factor than e^{wt}", doubt(equal)),
        *claims_layers(part["layers"]),
        *claims_volumes(part),
    ]  # fmt: skip


def shapes() -> pd.DataFrame:
    """Densities of the normal law behind a few layers, quotients of its quantiles, and behind the flow."""
    edges = NORMAL.ppf(np.linspace(0.002, 0.998, 61))
    share, time, rows = np.diff(NORMAL.cdf(edges)), 1.9, []
    for name, w, b in SHAPED:
        limit = flows.density(name, w, b, time, NORMAL.pdf)
        for L in SHAPES:
            moved = particles.network(name, w, b, time, L, edges)
            x = (moved[1:] + moved[:-1]) / 2
            laws = {"density": share / np.diff(moved), "limit": limit(x) if SHAPES[-1] == L else math.nan}
            rows.append(pd.DataFrame({"case": f"{name}, w = {w:g}".replace("-", "−"), "layers": L, "x": x, **laws}))
    return pd.concat(rows).round(6)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """W₁ over its seeds, before and after the flow, with what is predicted."""
    rows = table[table["part"].isin(["iid", "quantiles"])]
    mean = rows.groupby(["part", "case", "size"], sort=False).mean(numeric_only=True).reset_index()
    kinds = mean["part"].map({"iid": "independent", "quantiles": "at quantiles"})
    before = mean.assign(curve=kinds + ", t = 0", gap=mean["w1"], limit=mean["predicted"])
    after = mean.assign(curve=kinds + f", t = {TIME:g}", gap=mean["w1_after"], limit=mean["predicted_after"])
    return pd.concat([before, after])


def figures(table: pd.DataFrame, densities: pd.DataFrame, save: str) -> None:
    """W₁ against M, against L, errors of finite volumes, and laws behind growing numbers of layers."""
    labels = {"size": "signals M", "y": "W₁(g_M, g), mean over seeds", "limit": "predicted", "curve": ""}
    columns: dict[str, Any] = {"by": "case", "hue": "curve", "lines": ["limit"], "slopes": [-0.5, -1]}
    plot.curves(means(table), x="size", y="gap", **columns, labels=labels, save=save)
    labels = {"size": "layers L", "y": "W₁ of L layers and the flow", "predicted": "predicted", "case": ""}
    plot.curves(table[table["part"] == "layers"], x="size", y="w1", hue="case", lines=["predicted"], slopes=[-1],
                labels=labels, save=f"{save}_layers")  # fmt: skip
    rows = table[table["part"] == "volumes"].sort_values("size")
    first = 0.5 * rows.groupby("case")["w1"].transform("first") * rows["size"].min() ** rows["case"].map(ORDERS)
    rows = rows.assign(slope=first / rows["size"] ** rows["case"].map(ORDERS))
    labels = {"size": "cells", "y": "L¹ error", "case": "", "slope": "slopes −½, −1, −5"}
    plot.curves(rows, x="size", y="w1", hue="case", lines=["slope"], labels=labels, save=f"{save}_volumes")  # fmt: skip
    labels = {"x": "x", "y": "density of the law", "layers": "layers L =", "limit": "infinitely many"}
    plot.curves(densities, x="x", y="density", by="case", hue="layers", lines=["limit"], logx=None, logy=False,
                labels=labels, save=f"{save}_law")  # fmt: skip


def main(save: str = "mean_field") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    densities = study.once(shapes, save=f"{save}_shapes")
    study.record(save, study.constants(globals()), claims=claims(table))
    figures(table, densities, save)


if __name__ == "__main__":
    study.run(main, globals())

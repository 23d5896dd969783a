"""Is the convergence rate of polynomial chaos what the complex singularities of the network's flow predict?

A SimResNet x' = σ(w x + b) with random inputs, z_0 = w x_0 + b = z̄ + δξ. Rates and constants are derived here:

- tanh, ξ ~ U(−1, 1)   the coefficients fall like k^{−3/2} ρ^{−k}; ρ → 1 as wT grows: networks that expand near z = 0
                       need more and more of them;
- relu                 a kink inside the support leaves an error of order K^{−3/2}, with a known constant;
- tanh, ξ ~ N(0, 1)    the coefficients fall like k^{−1} e^{−c√k}.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial.legendre import leggauss

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.compare import order
from deeplimit.meanfield import flows
from deeplimit.uncertainty import collocation, decay
from deeplimit.uncertainty.bases import Basis

CASES = [(1, 1, 0.0, 0.5), (1, 1, 0.0, 1.0), (2, 1, 0.3, 1.0), (1, 2, 0.5, 0.3), (-1, 1, 0.2, 1.5)]  # w, T, z̄, δ
WEIGHTS, TIMES, SPREADS, MEAN = [-1, 1, 2], [0.25, 0.5, 1, 1.5, 2], [0.3, 1.0], 0.3  # of the map, z̄ = MEAN
KINKS = {"kink at ξ = 0": (1.0, 0.0, 1.0), "kink at ξ = −0.375": (1.0, 0.3, 0.8)}  # wT, z̄, δ
KINK_DEGREES = [16, 32, 64, 128, 256, 512]
GAUSSIAN = {"wT = 1": (1.0, 0.0, 0.5), "wT = 0.5": (0.5, 0.0, 0.5)}  # wT, z̄, δ
GAUSSIAN_DEGREE = 47

QUICK = {"WEIGHTS": [1], "KINK_DEGREES": [16, 32, 64, 128, 256]}
NAMES = [f"w = {w:g}, T = {t:g}, z̄ = {m:g}, δ = {d:g}".replace("-", "−") for w, t, m, d in CASES]
MOST = 3.6  # radius up to which a point of the map has enough coefficients above rounding to fit it
ROUNDING = 1e-13
ABOVE = 1e-12  # Hermite coefficients above it, and of degrees above 6, are fitted
LINE = ["part", "case", "number", "value", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, float]]:
    """Part, case and number (k, T or K) of every row."""
    yield from (("coefficients", case, k) for case in NAMES for k in range(len(coefficients(case))))
    yield from (("gaussian", case, k) for case in GAUSSIAN for k in range(1, GAUSSIAN_DEGREE + 1, 2))  # the flow is odd
    yield from (("map", f"w = {w:g}, δ = {d:g}", time) for w in WEIGHTS for d in SPREADS for time in TIMES)
    yield from (("kink", case, K) for case in KINKS for K in KINK_DEGREES)


def measure(row: int) -> Row:
    """One row of the table: what the part names, with what is predicted for it."""
    name, case, number = list(points())[row]
    parts = {"coefficients": coefficient_row, "gaussian": gaussian_row, "map": map_row, "kink": kink_row}
    found = {"error": ROUNDING, "status": "solved"} | parts[name](case, number)
    return {"part": name, "case": case, "number": number} | found


def expanded(w: float, time: float, mean: float, spread: float, germ: str = "uniform") -> np.ndarray:
    """Coefficients of z(T) = w x(T) from the closed form; for a uniform germ up to the degree where rounding begins."""
    if germ == "gaussian":
        basis, nodes = Basis(GAUSSIAN_DEGREE, germ), 128
    else:
        degree = math.ceil(math.log(1 / ROUNDING) / math.log(decay.radius(w * time, mean, spread)))
        basis, nodes = Basis(degree), 2 * degree + 40
    return collocation.project(
        basis, lambda xi: w * flows.flow("tanh", w, 0.0, time, (mean + spread * xi[:, 0]) / w), nodes
    ).coefficients


@cache
def coefficients(case: str) -> np.ndarray:
    """Coefficients ẑ_k of a case."""
    return expanded(*CASES[NAMES.index(case)])


def coefficient_row(case: str, k: float) -> Row:
    """ẑ_k, with ρ as prediction."""
    w, time, mean, spread = CASES[NAMES.index(case)]
    return {"value": coefficients(case)[int(k)], "predicted": decay.radius(w * time, mean, spread)}


def gaussian_row(case: str, k: float) -> Row:
    """A coefficient in Hermite polynomials, and the decay that the strip of analyticity predicts."""
    growth, mean, spread = GAUSSIAN[case]
    value = expanded(1.0, growth, mean, spread, "gaussian")[int(k)]
    return {"value": value, "predicted": decay.strip(growth, mean, spread)}


def map_row(case: str, time: float) -> Row:
    """ρ fitted, where it is small enough for a fit, and predicted."""
    w, spread = (float(part.split("=")[1]) for part in case.split(","))
    predicted = decay.radius(w * time, MEAN, spread)
    if predicted > MOST:
        return {"value": math.nan, "predicted": predicted, "status": "solved, too few coefficients to fit"}
    found = decay.fit(expanded(w, time, MEAN, spread), pairs(w * time, MEAN, spread))
    return {"value": found.radii[0], "predicted": predicted}


def pairs(growth: float, mean: float, spread: float) -> int:
    """How many conjugate pairs count: two where the second ellipse is less than a third larger than the first."""
    rho = np.sort(np.abs(decay.ellipses(decay.singularities(growth, mean, spread))))
    return 2 if rho[2] < 4 / 3 * rho[0] else 1


@cache
def kinked(case: str) -> np.ndarray:
    """E |z − z^K|² for K = 0, 1, … of the relu flow: E z² less squares of coefficients, by Gauss's rule on both sides.

    The rule is exact, so that the difference has the rounding of E z², far below the largest degree's error.
    """
    growth, mean, spread = KINKS[case]
    degree = 2 * KINK_DEGREES[-1]
    nodes, weights = leggauss(degree // 2 + 4)
    total, energy, kink = np.zeros(degree + 1), 0.0, -mean / spread
    for a, b in ((-1.0, kink), (kink, 1.0)):
        xi = (a + b) / 2 + (b - a) / 2 * nodes
        z = flows.flow("relu", 1.0, 0.0, growth, mean + spread * xi)
        total += (b - a) / 4 * (weights * z) @ Basis(degree).at(xi[:, None])
        energy += (b - a) / 4 * float(weights @ z**2)
    return np.asarray(energy - np.cumsum(total**2))


def kink_row(case: str, K: float) -> Row:
    """The truncation error, averaged over the degrees K … 3K/2 as it oscillates; the constant times K^{−3/2}."""
    degrees = np.arange(int(K), int(1.5 * K) + 1)
    scaled = np.sqrt(kinked(case)[degrees]) * (degrees + 1.0) ** 1.5
    constant = decay.kink_constant(*KINKS[case])
    return {"value": scaled.mean() * K**-1.5, "predicted": constant * K**-1.5}


DERIVED = "derived here"
PAPER = "derived here, for the setting of Trimborn, Gerster & Visconti 2020"


def part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a part."""
    return table[table["part"] == name]


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """The radius of every case, fitted to its coefficients, beside the predicted one."""
    found = []
    for case, rows in part(table, "coefficients").groupby("case", sort=False):
        w, time, mean, spread = CASES[NAMES.index(str(case))]
        try:
            radius = decay.fit(rows.sort_values("number")["value"].to_numpy(), pairs(w * time, mean, spread)).radii[0]
        except (ValueError, np.linalg.LinAlgError):  # rows are missing: no number, no verdict
            radius = math.nan
        found.append({"case": case, "ratio": radius / rows["predicted"].iloc[0]})
    return pd.DataFrame(found)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Radii, the kink, and the rate for normal germs."""
    why = doubts(table, "row", trusted=("solved",))
    ratio = fitted(table)["ratio"]
    what, wrong = "fitted ρ / predicted, farthest from 1", "another radius: a nearer singularity, or one that is none"
    room = ((slice(0, 3), 0.01), (slice(3, 4), 0.05), (slice(4, 5), 0.05))
    tanh = "tanh: the coefficients fall like k^{−3/2} ρ^{−k}, ρ from the singularities of the flow, "
    statements = ("three expanding cases", "few coefficients (ρ = 3.2)", "two pairs of singularities nearly as near")
    found = [
        Claim(f"U1.{n}", tanh + words, PAPER, what, 1.0, farthest(ratio[cases], 1.0), tolerance, wrong, why)
        for n, (words, (cases, tolerance)) in enumerate(zip(statements, room, strict=True), 1)
    ]
    of_map = part(table, "map")
    of_map = of_map[of_map["predicted"] <= MOST]
    seen = farthest(of_map["value"] / of_map["predicted"], 1.0)
    kink = part(table, "kink")
    last = kink[kink["number"] == KINK_DEGREES[-1]]
    orders = [order(rows["number"], rows["value"], rows["error"]).slope for _, rows in kink.groupby("case")]
    scaled = "ρ predicted over the map of w, T and δ is the fitted one wherever it can be fitted"
    flat = "relu with a kink in the support: the error of degree K is of order 3/2"
    level = "relu: K^{3/2} times the error tends to |J| (1 − ξ₀²)^{3/4}/√(6π)"
    root = (
        "for ξ ~ N(0, 1) the coefficients of tanh fall like k^{−1} e^{−c√k}, c the distance of the singularities to ℝ"
    )
    return [
        *found,
        Claim("U1.4", scaled, PAPER, what, 1.0, seen, 0.05, wrong, why),
        Claim("U1.5", flat, DERIVED, "order in K", 1.5, farthest(orders, 1.5), 0.03, "another order", why),
        Claim(
            "U1.6",
            level,
            DERIVED,
            f"observed / predicted at K = {KINK_DEGREES[-1]}",
            1.0,
            farthest(last["value"] / last["predicted"], 1.0),
            5 / KINK_DEGREES[-1],  # the next term is of relative order 1/K
            "another constant",
            why,
        ),
        Claim(
            "U1.7",
            root,
            DERIVED,
            "fitted c / predicted, farthest from 1",
            1.0,
            farthest([root_rate(rows) for _, rows in part(table, "gaussian").groupby("case")], 1.0),
            0.05,
            "another rate",
            why,
        ),
    ]


def root_rate(rows: pd.DataFrame) -> float:
    """Fitted c over the predicted one, from the coefficients above rounding."""
    rows = rows[(rows["value"].abs() > ABOVE) & (rows["number"] > 6)]
    slope = np.polyfit(np.sqrt(rows["number"]), np.log(rows["value"].abs() * rows["number"]), 1)[0]
    return float(-slope / rows["predicted"].iloc[0])


def main(save: str = "chaos_decay") -> None:
    """The table, the record and the figures: coefficients over their degree, the radius over time, errors at kinks."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = part(table, "coefficients")
    shown = shown[(shown["value"].abs() > ROUNDING) & (shown["number"] > 0)]
    decayed = shown["number"] ** -decay.POWER * shown["predicted"] ** -shown["number"]
    height = (shown["value"].abs() / decayed).groupby(shown["case"]).transform("max")
    shown = shown.assign(line=height * decayed, decades=shown["number"] * np.log10(shown["predicted"]))
    labels = {
        "decades": "k log₁₀ ρ, decades",
        "value": "coefficient |ẑₖ|",
        "line": "upper envelope C k^(−3/2) ρ^(−k),\nρ predicted",
    }
    plot.curves(shown, x="decades", y="value", by="case", lines=["line"], logx=None, labels=labels, save=save)
    columns: dict[str, Any] = {"x": "number", "y": "value"}
    radii = part(table, "map").assign(panel=lambda rows: rows["case"].str.split(", ").str[0].str.replace("-", "−"))
    radii = radii.assign(case=radii["case"].str.split(", ").str[1])
    radii[["value", "predicted"]] -= 1
    for case in radii["case"].unique():
        radii[f"predicted, {case}"] = radii["predicted"].where(radii["case"] == case)
    lines = [f"predicted, {case}" for case in radii["case"].unique()]
    names = {
        "number": "time T",
        "y": f"ρ − 1, fitted where ρ ≤ {MOST}:\nabove, too few coefficients",
        "case": "fitted,",
    }
    plot.curves(radii, by="panel", hue="case", lines=lines, logx=None, labels=names, save=f"{save}_map", **columns)
    names = {"number": "degree K", "predicted": "predicted", "value": "error of relu's flow"}
    plot.curves(part(table, "kink"), by="case", lines=["predicted"], labels=names, save=f"{save}_kink", **columns)


if __name__ == "__main__":
    study.run(main, globals())

"""Do Galerkin, collocation and Monte Carlo for a SimResNet with random inputs converge, and as depth grows as well?

Trimborn, Gerster & Visconti, Spectral methods to study the robustness of residual neural networks with infinite layers
(2020), perturb the inputs of a network x' = σ(w x + b) or of its layers. Here σ = tanh and x_0 = X0 + SPREAD ξ with
ξ ~ U(−1, 1). Rates and constants are derived here; those of the coefficients are in the study `chaos_decay`:

- methods   Galerkin and collocation agree with the closed form; Monte Carlo has slope −1/2;
- diagram   L layers and degree K: the error is at most C₁/L plus that of degree K in the limit, in either order;
- system    the mean-field equation with random weights is hyperbolic, and its upwind densities converge at order 1;
- signals   a signal x_0(s) with one germ, or a Karhunen-Loève series with four: mean and variance after the flow,
            by collocation and by Monte Carlo;
- field     a Karhunen-Loève series leaves the sum of the eigenvalues that it leaves out;
- loss      mean, variance and Sobol indices of ℓ = |x − y|² are sums over coefficients, to rounding;
- law       the distribution of ℓ by sampling either surrogate, or the flow itself, is that in closed form.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial.legendre import leggauss
from scipy.special import ndtr
from scipy.stats import kstest, kstwobign

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, largest
from deeplimit.compare import order
from deeplimit.meanfield import flows
from deeplimit.uncertainty import (
    collocation,
    decay,
    fields,
    galerkin,
    monte_carlo,
    random_loss,
    sobol,
    transport,
    velocities,
)
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion

W, B, T, X0, SPREAD = 1.2, 0.6, 1.0, 0.1, 0.4  # of the network of the methods: x_0 = X0 + SPREAD ξ
DEGREES = [1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 28]
DEPTHS = [2**k for k in range(2, 13, 2)]
DIAGRAM = [1, 2, 4, 6, 10, 20]
DRAWS, REPLICAS, SEED = [100, 400, 1600, 6400, 25600], 200, 0
CELLS = [100, 200, 400, 800, 1600]
TERMS = [1, 2, 3, 5, 8]
SIGNALS = {"one germ": 1, "four germs, Karhunen-Loève": 4}  # J
POINTS, LENGTH, LEVEL, SIGNAL_DEGREE, SIGNAL_DRAWS = 41, 0.3, 0.25, 5, 20_000  # of s, correlation, deviation of x_0
LAWS = {"Galerkin": 1, "collocation": 2, "flow sampled directly": 3}  # and the seed of the draws
TARGET, LAW_DEGREE, LAW_DRAWS, LEVELS = 1.0, 8, 20_000, 40  # y, K, draws and values of the loss that are drawn

QUICK = {"REPLICAS": 60, "CELLS": [100, 200, 400], "DEPTHS": [4, 16, 64, 256], "SIGNAL_DRAWS": 4000}
ROUNDING = 1e-13
RESOLVED = 1e-10  # truncation errors above it are compared with
LINE = ["part", "case", "number", "value", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, float]]:
    """Part, case and number (K, L, N, cells or J) of every row."""
    yield from (("method", case, K) for case in ("Galerkin", "collocation", "truncation") for K in DEGREES)
    yield from (("diagram", f"K = {K}", L) for K in DIAGRAM for L in DEPTHS)
    yield from (("monte carlo", "mean loss", N) for N in DRAWS)
    yield from (("hyperbolic", name, 7) for name in ("tanh", "sigmoid", "relu"))
    yield from (("upwind", "w, b random", cells) for cells in CELLS)
    yield from (("field", germ, J) for germ in ("uniform", "gaussian") for J in TERMS)
    yield from (("signals", case, k / (POINTS - 1)) for case in SIGNALS for k in range(POINTS))
    yield from (("law", case, k / LEVELS) for case in LAWS for k in range(1, LEVELS + 1))
    yield from (("loss", case, 8) for case in ("mean", "variance", "Sobol"))


def measure(row: int) -> Row:
    """One row of the table: what the part names, with what is predicted for it."""
    name, case, number = list(points())[row]
    parts = {
        "method": method_row,
        "diagram": diagram_row,
        "monte carlo": monte_carlo_row,
        "hyperbolic": hyperbolic_row,
        "upwind": upwind_row,
        "field": field_row,
        "signals": signal_row,
        "law": law_row,
        "loss": loss_row,
    }
    found = {"error": ROUNDING, "status": "solved"} | parts[name](case, number)
    return {"part": name, "case": case, "number": number} | found


def start(xi: np.ndarray) -> np.ndarray:
    """x_0(ξ)."""
    return np.asarray(X0 + SPREAD * xi[:, 0])


def end(xi: np.ndarray) -> np.ndarray:
    """x(T; ξ) in closed form."""
    return flows.flow("tanh", W, B, T, start(xi))


@cache
def exact() -> Expansion:
    """x(T; ξ) to rounding."""
    return collocation.project(Basis(40), end, nodes=120)


def method_row(case: str, K: float) -> Row:
    """The error of a method at a degree."""
    basis = Basis(int(K))
    if case == "Galerkin":
        found = limit(int(K))
    elif case == "collocation":
        found = collocation.project(basis, velocities.ends(velocities.simresnet(W, B), start, T))
    else:
        found = exact().onto(basis)
    radius = decay.radius(W * T, W * X0 + B, W * SPREAD)
    return {"value": found.distance(exact()), "predicted": radius}


@cache
def limit(degree: int) -> Expansion:
    """Galerkin's x^K(T)."""
    return galerkin.solve(velocities.simresnet(W, B), collocation.project(Basis(degree), start), T)


@cache
def layer_constant() -> float:
    """C₁ = √(E c²), c = lim L (x_L − x(T)) = −(T/2) f(x(T)) log(f(x(T))/f(x_0)): Euler's error of x' = f(x)."""

    def constant(xi: np.ndarray) -> np.ndarray:
        first, last = np.tanh(W * start(xi) + B), np.tanh(W * end(xi) + B)
        return np.asarray(-T / 2 * last * np.log(last / first))

    return collocation.project(Basis(40), constant).norm


def diagram_row(case: str, L: float) -> Row:
    """Error of L layers at degree K, and the bound C₁/L + the error of degree K in the limit."""
    degree = int(case.split("=")[1])
    found = galerkin.solve(velocities.simresnet(W, B), collocation.project(Basis(degree), start), T, int(L))
    bound = layer_constant() / L + limit(degree).distance(exact())
    return {"value": found.distance(exact()), "predicted": bound}


def monte_carlo_row(case: str, N: float) -> Row:
    """Root mean square over replicas of the error of the mean loss, σ/√N, and how often 1.96 standard errors cover."""
    loss = random_loss.squared(exact().onto(Basis(20)), 0.0)

    def squared(xi: np.ndarray) -> np.ndarray:
        return end(xi) ** 2

    offset = SEED + REPLICAS * DRAWS.index(int(N))
    found = [monte_carlo.estimate(squared, "uniform", int(N), offset + k) for k in range(REPLICAS)]
    errors = np.array([f.mean - float(loss.mean) for f in found])
    covered = np.abs(errors) <= 1.96 * np.array([f.mean_error for f in found])
    predicted = float(loss.deviation) / math.sqrt(N)
    value = math.sqrt((errors**2).mean())
    return {"value": value, "predicted": predicted, "covered": covered.mean()}


def random_w(t: float, xi: np.ndarray) -> np.ndarray:
    """w = 1 + 0.3 ξ₁."""
    return np.asarray(1 + 0.3 * xi[:, 0])


def random_b(t: float, xi: np.ndarray) -> np.ndarray:
    """b = 0.2 ξ₁."""
    return np.asarray(0.2 * xi[:, 0])


def hyperbolic_row(case: str, degree: float) -> Row:
    """How far an eigenvalue of A(x) leaves the range of σ(wx + b), at most; 0 if none does."""
    x, basis = np.linspace(-3, 3, 61), Basis(int(degree))
    values = np.linalg.eigvalsh(transport.matrices(basis, x, random_w, random_b, case))
    ends = np.array([[-1.0], [1.0]])  # w x + b is linear in ξ, and σ monotone
    speeds = np.stack([velocities.simresnet(random_w, random_b, case)(0.0, np.full(2, p), ends) for p in x])
    low, high = speeds.min(1) - values.min(1), values.max(1) - speeds.max(1)
    return {"value": max(0.0, low.max(), high.max()), "predicted": 0.0}


def upwind_row(case: str, cells: float) -> Row:
    """L¹ error of the densities at T = 1 against cell averages of the closed-form flow, from N(0.2, 0.4²), tanh."""
    edges, basis = np.linspace(-4, 4, int(cells) + 1), Basis(5)

    def averages(preimages: np.ndarray) -> np.ndarray:
        return np.asarray(np.diff(ndtr((preimages - 0.2) / 0.4)) / np.diff(edges))

    initial = collocation.project(basis, lambda xi: np.tile(averages(edges), (len(xi), 1)))
    found = transport.solve(initial, edges, random_w, random_b, "tanh", 1.0)
    expected = collocation.project(
        basis,
        lambda xi: averages(
            flows.inverse("tanh", random_w(0, xi)[:, None], random_b(0, xi)[:, None], 1.0, edges[None])
        ),
        nodes=24,
    )
    return {"value": found.l1(expected), "predicted": math.nan, "error": found.leaked}


def field_row(case: str, terms: float) -> Row:
    """E ‖x − x^J‖² by the covariance of the cut series' chaos, and the tail; C = e^{−|s − s'|/0.5} on 200 points."""
    s = (np.arange(200) + 0.5) / 200
    covariance = fields.stationary(s, lambda r: np.exp(-r / 0.5))
    field = fields.karhunen_loeve(s, covariance, int(terms), weights=np.full(200, 1 / 200), germ=case)
    modes = collocation.project(Basis(1, field.germs), field.at, nodes=4).coefficients[1:]
    return {"value": 1 - float((modes**2).sum()) / 200, "predicted": field.tail}


@cache
def signals(case: str) -> dict[str, np.ndarray]:
    """Mean and range of x(T; s) on the points s, two realisations, and Monte Carlo's distance in standard errors.

    One germ moves all of x_0(s) = sin 2πs alike; the series has the covariance LEVEL² e^{−|s − s'|/LENGTH}.
    """
    s = np.linspace(0, 1, POINTS)
    length = LENGTH if SIGNALS[case] > 1 else math.inf
    covariance = LEVEL**2 * fields.stationary(s, lambda r: np.exp(-r / length))
    field = fields.karhunen_loeve(np.sin(2 * np.pi * s), covariance, SIGNALS[case], germ="uniform")

    def ends(xi: np.ndarray) -> np.ndarray:
        return flows.flow("tanh", W, 0.0, T, field.at(xi))

    terms = SIGNALS[case]
    reach = np.abs(field.at(np.eye(terms)) - field.at(np.zeros((1, terms)))).sum(0)  # all germs at an end of [−1, 1]
    found = collocation.project(Basis(SIGNAL_DEGREE, field.germs), ends)
    drawn = monte_carlo.estimate(ends, field.germs, SIGNAL_DRAWS, SEED)
    scores = [(drawn.mean - found.mean) / drawn.mean_error, (drawn.variance - found.variance) / drawn.variance_error]
    first, second = ends(np.random.default_rng(SEED).uniform(-1, 1, (2, SIGNALS[case])))
    return {
        "value": found.mean,
        "low": flows.flow("tanh", W, 0.0, T, field.mean - reach),
        "high": flows.flow("tanh", W, 0.0, T, field.mean + reach),
        "first": first,
        "second": second,
        "score": np.abs(scores).max(0),
    }


def signal_row(case: str, s: float) -> Row:
    """Signals of a case at a place s."""
    found = {name: values[round(s * (POINTS - 1))] for name, values in signals(case).items()}
    return found | {"predicted": math.nan}


@cache
def law(case: str) -> random_loss.Distribution:
    """Of ℓ = (x(T; ξ) − y)², from draws of a surrogate of degree K, or of the flow."""
    if case == "flow sampled directly":
        drawn = monte_carlo.draws(lambda xi: (end(xi) - TARGET) ** 2, "uniform", LAW_DRAWS, SEED + LAWS[case])
        return random_loss.Distribution(np.sort(drawn))
    surrogate = limit(LAW_DEGREE) if case == "Galerkin" else collocation.project(Basis(LAW_DEGREE), end)
    return random_loss.distribution(random_loss.squared(surrogate, TARGET), LAW_DRAWS, SEED + LAWS[case])


def law_exact(loss: np.ndarray) -> np.ndarray:
    """P(ℓ ≤ s) = P(y − √s ≤ x ≤ y + √s), from where the flow takes both ends from, as it keeps the order."""
    ends = (TARGET + sign * np.sqrt(loss) for sign in (-1, 1))
    low, high = (np.clip((flows.inverse("tanh", W, B, T, x) - X0) / SPREAD, -1, 1) for x in ends)
    return np.asarray((high - low) / 2)


def law_row(case: str, part: float) -> Row:
    """P(ℓ ≤ s) at a part of the largest ℓ, and √N times the Kolmogorov distance of all draws from the closed form."""
    found, largest_loss = law(case), float(((end(np.array([[-1.0], [1.0]])) - TARGET) ** 2).max())
    distance = kstest(found.values, law_exact).statistic * math.sqrt(found.count)
    loss = part * largest_loss
    values = {"value": float(found.cdf(loss)), "predicted": float(law_exact(np.array(loss)))}
    return values | {"loss": loss, "distance": float(distance)}


def loss_row(case: str, degree: float) -> Row:
    """An identity for ℓ = |x − y|² of tanh against Gauss's rule, and S_{12} of ℓ for x linear in two germs."""
    if case == "Sobol":
        c, e = (0.8, 0.5), 0.7
        loss = random_loss.squared(Expansion(Basis(1, ["uniform"] * 2), np.array([0, *c]) / math.sqrt(3)), e)
        own = [4 * e**2 * a**2 / 3 + 4 * a**4 / 45 for a in c]
        mixed = 4 * (c[0] * c[1]) ** 2 / 9
        return {"value": float(sobol.share(loss, [0, 1])), "predicted": mixed / (sum(own) + mixed)}
    x, y = exact().onto(Basis(int(degree))), 0.9
    nodes, weights = leggauss(4 * int(degree) + 2)
    values = (x.at(nodes[:, None]) - y) ** 2
    mean = float(weights @ values) / 2
    if case == "mean":
        return {"value": float(random_loss.mean_squared(x, y)), "predicted": mean}
    variance = float(weights @ (values - mean) ** 2) / 2
    return {"value": float(random_loss.squared(x, y).variance), "predicted": variance}


DERIVED = "derived here"
PAPER = "derived here, for the setting of Trimborn, Gerster & Visconti 2020"


def part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a part."""
    return table[table["part"] == name]


def method_claims(table: pd.DataFrame, why: tuple[str, ...]) -> list[Claim]:
    """Galerkin, collocation, the diagram and the mean-field system."""
    method, diagram = part(table, "method"), part(table, "diagram")
    last = method[(method["number"] == DEGREES[-1]) & (method["case"] != "truncation")]
    errors = method.pivot(index="number", columns="case", values="value")
    errors = errors[errors["truncation"] > RESOLVED]
    deepest = diagram[diagram["case"] == f"K = {DIAGRAM[-1]}"].sort_values("number").iloc[-1]
    gained = deepest["number"] * deepest["value"] / layer_constant()
    upwind = part(table, "upwind")
    close = "Galerkin and collocation in the limit of depth are the closed-form flow where the degree suffices"
    optimal = "Galerkin errs by at most e^{|w|T} times what its degree cuts off, by Gronwall's inequality"
    both = "L layers and degree K err by at most C₁/L and the error of degree K in the limit, whichever grows first"
    layers = "at a sufficient degree L times the error tends to C₁ = √E c², c = −(T/2) f(x(T)) log(f(x(T))/f(x₀))"
    real = (
        "a check of the code: the mean-field system with random weights, symmetric by construction, has its "
        "characteristic speeds within the range of σ(wx + b)"
    )
    first = "its upwind densities converge to those of the closed-form flow at order 1"
    tail = "a Karhunen-Loève series of J terms leaves Σ_{j > J} λ_j of E ‖x‖²"
    off = part(table, "field")
    return [
        Claim(
            "U1.8",
            close,
            PAPER,
            f"largest error at K = {DEGREES[-1]}",
            0,
            largest(last["value"]),
            1e-10,
            "a larger distance",
            why,
        ),
        Claim(
            "U1.9",
            optimal,
            DERIVED,
            "largest error of Galerkin / truncation error, over K",
            math.exp(abs(W) * T),
            largest(errors["Galerkin"] / errors["truncation"]),
            0.0,
            "a larger quotient: the expectations of the projected equation are wrong",
            why,
            "≤",
        ),
        Claim(
            "U1.10",
            both,
            DERIVED,
            "largest error / (C₁/L + error of degree K in the limit)",
            1.0,
            largest(diagram["value"] / diagram["predicted"]),
            1 / DEPTHS[0],  # the next term of C₁/L, at the coarsest network
            "a quotient above 1: the limits do not commute",
            why,
            "≤",
        ),
        Claim(
            "U1.11",
            layers,
            DERIVED,
            f"L × error / C₁ at L = {DEPTHS[-1]}, K = {DIAGRAM[-1]}",
            1.0,
            float(gained),
            3 / DEPTHS[-1],
            "another constant",
            why,
        ),
        Claim(
            "U1.12",
            real,
            DERIVED,
            "how far an eigenvalue leaves it, at most",
            0.0,
            largest(part(table, "hyperbolic")["value"]),
            1e-12,
            "an eigenvalue outside",
            why,
        ),
        Claim(
            "U1.13",
            first,
            DERIVED,
            "fitted order of the L¹ error",
            1.0,
            order(upwind["number"], upwind["value"], upwind["error"]).slope,
            0.05,
            "another order",
            why,
        ),
        Claim(
            "U1.14",
            tail,
            "Karhunen 1947, Loève 1948",
            "largest relative difference",
            0.0,
            largest((off["value"] / off["predicted"] - 1).abs()),
            1e-11,
            "a tail of another size",
            why,
        ),
    ]


def random_claims(table: pd.DataFrame, why: tuple[str, ...]) -> list[Claim]:
    """Monte Carlo and the identities of the loss; tolerances of the former are three standard errors of it."""
    drawn, loss = part(table, "monte carlo"), part(table, "loss").set_index("case")
    miss = (loss["value"] / loss["predicted"] - 1).abs()
    logs, spread = np.log(drawn["number"]), 1 / math.sqrt(2 * REPLICAS)
    slope = np.polyfit(logs, np.log(drawn["value"]), 1)[0]
    slope_error = spread / math.sqrt(((logs - logs.mean()) ** 2).sum())
    ratio = float((drawn["value"] / drawn["predicted"]).mean())
    count = REPLICAS * len(DRAWS)
    words = {"U3.1": ("mean", "E ℓ = Σ_k |x̂_k − y δ_k0|²"), "U3.2": ("variance", "Var ℓ = Σ_{m ≥ 1} ℓ̂_m²")}
    identities = [
        Claim(
            name,
            f"{statement} for ℓ = |x − y|², x of degree 8",
            PAPER,
            "relative difference from Gauss's rule",
            0.0,
            float(miss[case]),
            1e-12,
            "a difference above rounding",
            why,
        )
        for name, (case, statement) in words.items()
    ]
    score = largest(part(table, "signals")["score"])
    series = "Monte Carlo and collocation agree on signals with one and with four germs, moved by the closed-form flow"
    half = "the error of Monte Carlo for E ℓ falls with slope −1/2"
    size = "and is σ/√N, σ² = Var ℓ by the identity"
    honest = "95 % intervals from its own standard errors cover E ℓ that often"
    share = "the Sobol index of two germs together for ℓ of x = c₁ξ₁ + c₂ξ₂ is (4 c₁² c₂²/9) / Var ℓ"
    same = f"ℓ = (x − y)² of Galerkin and collocation at K = {LAW_DEGREE}, and of the flow, has the law in closed form"
    covered = float(drawn["covered"].mean())
    return [
        Claim("U2.1", half, PAPER, "fitted slope", -0.5, float(slope), 3 * slope_error, "another slope", why),
        Claim(
            "U2.2",
            size,
            DERIVED,
            "root mean square error / predicted, mean over N",
            1.0,
            ratio,
            3 * spread / math.sqrt(len(DRAWS)),
            "another size: the draws are not independent, or Var ℓ is wrong",
            why,
        ),
        Claim(
            "U2.3",
            honest,
            DERIVED,
            "part of all replicas covered",
            0.95,
            covered,
            3 * math.sqrt(0.95 * 0.05 / count),
            "intervals that are too short or too long",
            why,
        ),
        Claim(
            "U2.4",
            series,
            PAPER,
            "largest difference of mean and variance in standard errors, over s",
            0.0,
            score,
            4.5,  # of 164 numbers
            "more than chance allows",
            why,
        ),
        *identities,
        Claim(
            "U3.13",
            same,
            PAPER,
            f"largest √N × Kolmogorov distance from the closed form, N = {LAW_DRAWS}",
            float(kstwobign.isf(1e-3 / len(LAWS))),  # the quantile that chance exceeds once in a thousand such studies
            largest(part(table, "law")["distance"]),
            0.0,
            "a larger distance: the surrogate has another law",
            why,
            "≤",
        ),
        Claim(
            "U3.3",
            share,
            DERIVED,
            "relative difference",
            0.0,
            float(miss["Sobol"]),
            1e-12,
            "another share",
            why,
        ),
    ]


def claims(table: pd.DataFrame) -> list[Claim]:
    """Methods, diagram, system, field, Monte Carlo and loss."""
    why = doubts(table, "row", trusted=("solved",))
    return [*method_claims(table, why), *random_claims(table, why)]


def main(save: str = "uncertainty") -> None:
    """The table, the record and the figures: errors over degree and draws, and the diagram of layers and degrees."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    names = {"number": "layers L", "value": "L² error of x(T)", "case": ""}
    names |= {"bound": "bound at K = 2: C₁/L + error of degree 2", "slope": "slope −1"}
    columns: dict[str, Any] = {"x": "number", "y": "value", "labels": names}
    diagram = part(table, "diagram")
    diagram = diagram.assign(bound=diagram["predicted"].where(diagram["case"] == "K = 2"))
    diagram = diagram.assign(slope=(0.5 * layer_constant() / diagram["number"]).where(diagram["case"] == "K = 1"))
    close = [f"K = {K}" for K in DIAGRAM[-2:1:-1]]
    plot.curves(diagram, hue="case", lines=["bound", "slope"], hollow=close, save=save, **columns)
    method = part(table, "method")
    methods = method.pivot(index="number", columns="case", values="value").reset_index()
    decayed = methods["number"] ** -decay.POWER * method["predicted"].iloc[0] ** -methods["number"]
    height = (methods["truncation"] / decayed)[methods["truncation"] > RESOLVED].max()
    methods = methods.assign(rate=(height * decayed).where(height * decayed > ROUNDING))
    names = {"number": "degree K", "truncation": "truncation error", "y": "L² error of x(T)"}
    names |= {"rate": "C K^(−3/2) ρ^(−K), ρ predicted"}
    both: dict[str, Any] = {"y": ["Galerkin", "collocation"], "lines": ["truncation", "rate"], "hollow": ["Galerkin"]}
    plot.curves(methods, x="number", logx=None, labels=names, save=f"{save}_methods", **both)
    names = {"number": "draws N", "value": "root mean square error of E ℓ", "predicted": "σ/√N"}
    drawn = part(table, "monte carlo")
    plot.curves(drawn, lines=["predicted"], save=f"{save}_monte_carlo", **columns | {"labels": names})
    names = {"number": "s", "y": "x(T; s)", "first": "a realisation", "second": "another realisation"}
    names |= {"band": "all that germs in [−1, 1] attain"}
    lines: dict[str, Any] = {"mean": "value", "band": ("low", "high"), "lines": ["first", "second"]}
    plot.bands(part(table, "signals"), x="number", by="case", labels=names, save=f"{save}_signals", **lines)
    names = {"loss": "loss s", "value": f"P(ℓ ≤ s) of {LAW_DRAWS} draws", "predicted": "closed form"}
    shown: dict[str, Any] = {"by": "case", "lines": ["predicted"], "logx": None, "logy": False, "labels": names}
    plot.curves(part(table, "law"), x="loss", y="value", save=f"{save}_law", **shown)


if __name__ == "__main__":
    study.run(main, globals())

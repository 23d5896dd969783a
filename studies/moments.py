"""How do mean, energy and variance of the law of the signals move for σ = identity, and what do L layers make of them?

Herty, Trimborn & Visconti (2022) describe infinitely many signals that infinitely many layers X' = wX + b move by the
moments m_k of their law, m_k' = k (w m_k + b m_{k−1}). Derived here:

- flow      m_k(t) = Σ_j (k choose j) a^j c^(k−j) m_j(0) with a = exp ∫ w, and centred moments have the factor a^k;
- layers    Var_L = Var(0) Π (1 + T w/L)², so that Var_L − Var_∞ = −(w²T²/L) Var(0) e^{2wT} + O(L⁻²);
- choices   for w < 0 the law tends to a Dirac mass: at 0 for b = 0, at −b/w for constant b, at its mean for b = −w m_1,
            at √m_2 for b = −w m_2/m_1, which keeps the energy m_2;
- plane     the covariance is A C Aᵀ with A = e^{tw}.

Particles are moved by layers or by an integrator, and their own moments are compared with the formulas.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.compare import order
from deeplimit.meanfield import moments, particles

DEPTHS = [2**m for m in range(4, 15)]
TIMES = [0.25 * k for k in range(17)]
DEGREE = 6  # of the highest moment
PARTICLES = 1000
W = -1.0  # of the choices of b
CONSTANT = 0.5  # b of the last choice
LAYERED = {"wT = −1": (-1.0, 1.0), "wT = ½": (0.25, 2.0), "wT = 1": (1.0, 1.0)}
PLANE = (np.array([[0.1, -0.8], [0.6, -0.4]]), np.array([0.4, -0.3]))

QUICK = {"DEPTHS": [2**m for m in range(4, 11)], "TIMES": [0.5 * k for k in range(9)], "PARTICLES": 400}

LAW = stats.gamma(2.0)
START = np.array([math.factorial(k + 1) for k in range(DEGREE + 1)], dtype=float)  # its moments
# w, b and exp ∫ w
FLOWS: dict[str, tuple[Any, Any, Any]] = {
    "w = −1, b = 0": (-1.0, 0.0, lambda t: math.exp(-t)),
    "w = −1, b = ½": (-1.0, 0.5, lambda t: math.exp(-t)),
    "w = ½, b = −1": (0.5, -1.0, lambda t: math.exp(t / 2)),
    "w = 0, b = 1": (0.0, 1.0, lambda t: 1.0),
    "w = cos t, b = t": (math.cos, lambda t: t, lambda t: math.exp(math.sin(t))),
}
CHOICES = ["b = 0", "b = −w m₁: mean kept", "b = −w m₂/m₁: energy kept", "b = ½: to −b/w"]
NOTHING, MEAN, ENERGY, CONST = CHOICES
ROUNDING = 1e-12  # relative to the numbers that are subtracted
INTEGRATED = 1e-12  # of particles that an integrator moved at the tolerance 1e-13
DEVIATION = 2e-13 * math.exp(-W * max(TIMES))  # relative, of a variance: twice that tolerance over the least deviation
LINE = ["part", "case", "depth", "t", "error", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int, float]]:
    """Part, case, depth and time of every row."""
    yield from (("flow", case, 0, t) for case in FLOWS for t in TIMES)
    yield from (("layers", case, n, LAYERED[case][1]) for case in LAYERED for n in DEPTHS)
    yield from (("choice", case, 0, t) for case in CHOICES for t in TIMES)
    yield from (("plane", "plane", 0, t) for t in TIMES if t > 0)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, depth, t = list(points())[row]
    place = {"part": part, "case": case, "depth": depth, "t": t}
    found = {"flow": flow, "layers": layers, "choice": choice, "plane": plane}[part](case, depth, t)
    return place | found | {"status": "computed"}


@cache
def sample() -> np.ndarray:
    """Particles at quantiles of the law."""
    return particles.at_quantiles(LAW.ppf, PARTICLES)


def raw(x: np.ndarray, degree: int = 2) -> np.ndarray:
    """The moments of a sample."""
    return np.array([np.mean(x**k) for k in range(degree + 1)])


def flow(case: str, _: int, t: float) -> Row:
    """Closed forms beside the triangular system: all moments, and the centred ones beside a^k μ_k(0)."""
    w, b, factor = FLOWS[case]
    w_, b_ = ((lambda s, m, v=v: v(s)) if callable(v) else v for v in (w, b))
    closed, solved = moments.flow(w, b, t, START), moments.integrated(w_, b_, t, START)
    k = np.arange(DEGREE + 1)
    centred = moments.centred(closed) - moments.centred(START) * factor(t) ** k
    # what the differences inside a centred moment are made of
    size = moments.mapped(np.abs(closed), 1.0, abs(float(closed[1])))
    return {
        "error": float(np.max(np.abs(solved - closed) / (1 + np.abs(closed)))),
        "centred": float(np.max(np.abs(centred) / size)),
    }


def layers(case: str, depth: int, time: float) -> Row:
    """Var_L/Var(0) − e^{2wT} of particles that pass L layers."""
    w, x = LAYERED[case][0], sample()
    ratio = np.var(particles.network("identity", w, 0.3, time, depth, x)) / np.var(x)
    predicted = moments.variance_defect(w, time, depth)
    return {"gap": float(ratio - math.exp(2 * w * time)), "predicted": predicted, "error": 1e-14 * ratio}


def bias(case: str, start: np.ndarray) -> Any:
    """b of a choice, as a number or a function of time, with the moments that the law has by the closed forms."""
    if case == MEAN:
        keeping = moments.keeping_mean(W)
        return lambda t: keeping(t, start)
    if case == ENERGY:
        keeping = moments.keeping_energy(W)
        return lambda t: keeping(t, np.array([1.0, moments.mean_at_kept_energy(W, t, start), start[2]]))
    return CONSTANT if case == CONST else 0.0


def choice(case: str, _: int, t: float) -> Row:
    """Moments of particles that are moved with a choice of b, and what their mean should be."""
    x, start = sample(), raw(sample())
    moved = x if t == 0 else particles.limit("identity", W, bias(case, start), t, x)
    _, mean, energy = raw(moved)
    decay = math.exp(W * t)
    expected = {
        NOTHING: start[1] * decay,
        MEAN: start[1],
        ENERGY: moments.mean_at_kept_energy(W, t, start),
        CONST: start[1] * decay + CONSTANT / W * (decay - 1),
    }[case]
    variance = float(np.var(moved))
    return {
        "mean": float(mean),
        "energy": float(energy),
        "variance": variance,
        "error": abs(float(mean - expected)),
        "energy_change": abs(float(energy / start[2] - 1)),
        "variance_error": abs(variance / (float(np.var(x)) * decay**2) - 1),
        "target_distance": abs(float(mean) - limit_of_mean(case, start)),
    }


def limit_of_mean(case: str, start: np.ndarray) -> float:
    """Where the law becomes a Dirac mass."""
    return {NOTHING: 0.0, MEAN: float(start[1]), ENERGY: math.sqrt(start[2]), CONST: -CONSTANT / W}[case]


def plane(_: str, __: int, t: float) -> Row:
    """Mean and covariance of particles of the plane beside A m + c and A C Aᵀ."""
    x = np.stack([sample(), np.sqrt(sample())[::-1]], -1)
    moved = particles.limit("identity", *PLANE, t, x)
    mean, covariance = moments.mean_and_covariance(*PLANE, t, x.mean(0), np.cov(x.T))
    errors = [np.abs(moved.mean(0) - mean).max(), np.abs(np.cov(moved.T) - covariance).max()]
    return {"error": float(max(errors))}


DERIVED = "derived here"
PAPER = "after Herty, Trimborn & Visconti 2022, derived here"
ROOM = 0.03  # of a fitted order, for the next term


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with part, case, depth and time in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "case", "depth", "t"]).loc[table["row"]]
    return table.assign(**places.set_axis(table.index))


def at_most(name: str, statement: str, what: str, rows: pd.DataFrame, column: str, tolerance: float, by: str) -> Claim:
    """A column of errors that vanishes up to a tolerance."""
    why = doubts(rows, "row", trusted=("computed",))
    source = PAPER if rows["part"].iloc[0] == "choice" else DERIVED
    return Claim(name, statement, source, what, 0.0, largest(rows[column]), tolerance, by, why)


def claims_layers(rows: pd.DataFrame) -> list[Claim]:
    """Order and constant of the variance of layers."""
    why = doubts(rows, "row", trusted=("computed",))
    fits = [order(group["depth"], group["gap"], group["error"]).slope for _, group in rows.groupby("case")]
    at = rows[rows["depth"] == 1024]
    what, wrong = "fitted order, farthest of wT = −1, ½, 1", "another order"
    statement = "the variance after L layers tends to that of the flow at order 1"
    found = [Claim("M2.3", statement, DERIVED, what, 1.0, farthest(fits, 1.0), ROOM, wrong, why)]
    statement = "Var_L − Var_∞ is −(w²T²/L) Var(0) e^{2wT} to leading order"
    what, wrong = "observed / predicted at L = 1024", "a quotient that does not tend to 1"
    ratio = farthest(at["gap"] / at["predicted"], 1.0)
    return [*found, Claim("M2.4", statement, DERIVED, what, 1.0, ratio, 0.01, wrong, why)]


def claims(table: pd.DataFrame) -> list[Claim]:
    """Closed forms, layers, choices of b, and the plane."""
    table = placed(table)
    part = dict(list(table.groupby("part")))
    rows, chosen = part["flow"], part["choice"]
    late = chosen[chosen["t"] == max(TIMES)]
    mean, energy = (chosen[chosen["case"] == case] for case in (MEAN, ENERGY))
    decayed = math.exp(W * max(TIMES)) * float(LAW.mean()) * 1.01  # the slowest way to a target, b = 0
    return [
        at_most("M2.1", f"moments up to degree {DEGREE} of any w(t), b(t) are those of the affine flow",
                "largest relative difference to the triangular system, integrated", rows, "error", ROUNDING,
                "another law of the moments"),
        at_most("M2.2", "every centred moment μ_k has the factor exp k∫w, whatever b is",
                "largest difference, relative to the sum of the terms of μ_k", rows, "centred", ROUNDING,
                "a variance or a higher centred moment that depends on b"),
        *claims_layers(part["layers"]),
        at_most("M2.5", "b = −w m_1 keeps the mean", "largest change of the mean of particles", mean, "error",
                INTEGRATED, "a mean that moves"),
        at_most("M2.6", "b = −w m_2/m_1 keeps the energy m_2", "largest relative change of the energy of particles",
                energy, "energy_change", INTEGRATED, "an energy that moves"),
        at_most("M2.7", "m_1 is as the closed forms say for all four choices of b", "largest error of the mean",
                chosen, "error", INTEGRATED, "another mean"),
        at_most("M2.8", "for all four choices of b the variance decays as e^{2wt}",
                "largest relative error of the variance of particles", chosen, "variance_error", DEVIATION,
                "a variance that depends on b"),
        at_most("M2.9", "for w < 0 the law concentrates at 0, m_1, √m_2 and −b/w",
                f"|mean − target|, t = {max(TIMES):g}", late, "target_distance", decayed, "a law that goes elsewhere"),
        at_most("M2.10", "in the plane mean and covariance are A m + c and A C Aᵀ, A = e^{tw}",
                "largest error of mean and covariance of particles", part["plane"], "error", INTEGRATED,
                "another covariance, as with a transposed w"),
    ]  # fmt: skip


def main(save: str = "moments") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    labels = {"t": "time t, w = −1", "y": "moments of the law", "mean": "mean m₁", "energy": "energy m₂", "case": ""}
    columns = ["mean", "energy", "variance"]
    chosen = table[table["part"] == "choice"]
    plot.curves(chosen, x="t", y=columns, by="case", labels=labels, logx=None, logy=False, save=save)
    labels = {"depth": "layers L", "y": "|Var_L − Var_∞| / Var(0)", "predicted": "predicted", "case": ""}
    layered = table[table["part"] == "layers"]
    plot.curves(layered, x="depth", y="gap", hue="case", lines=["predicted"], slopes=[-1], labels=labels,
                save=f"{save}_layers")  # fmt: skip


if __name__ == "__main__":
    study.run(main, globals())

"""Are the a-priori bounds, which make minimisers of all depths compact, ever violated?

Two inequalities carry the compactness in the proof of Thorpe & van Gennip, Deep limits of residual neural networks
(2023); their constants are derived here:

- Jensen       R_n(Θ at i/n) ≤ R_∞(Θ) for every Θ in H¹, with equality up to the last cell where Θ is piecewise linear
               with corners at i/n; tried on random functions of five kinds;
- compactness  E_n(Θ) ≤ E_n(0) bounds every norm of Θ that the regulariser sees, with the same constants at every depth;
               tried on minimisers and on random points below E_n(0).
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import Problem, data, discrete, gamma, irregular, plot, study
from deeplimit.claims import CERTIFIED, Claim, doubts, farthest, largest
from deeplimit.control import Basis, Hats, Legendre
from deeplimit.irregular import Power, Waves
from deeplimit.minimum import Minimum

SEED = 1
DRAWS = 100  # random functions of each kind and depth
DRAW_DEPTHS = [1, 2, 3, 10, 100, 1000]
TRAINED_DEPTHS = [2**m for m in range(4, 11)]
STARTS = 16
POINTS = 100  # random points below E_n(0), of each problem and depth
POINT_DEPTHS = [1, 2, 8, 32]

QUICK = {
    "DRAWS": 10,
    "DRAW_DEPTHS": [1, 2, 10, 100],
    "TRAINED_DEPTHS": [16, 32, 64, 128],
    "STARTS": 4,
    "POINTS": 10,
    "POINT_DEPTHS": [1, 2, 16],
}

PROBLEMS = {
    "ring": Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean"),
    "scalar": Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "scalar, fixed head": Problem(data.scalar(), loss="squared", alpha=0.05, trainable="Kb"),
}
TRAINED = ["ring", "scalar"]
NODES = "piecewise linear on the nodes"
KINDS = ["polynomials", "powers", "lacunary series", "piecewise linear", NODES]
ROUNDING = 1e-13
LINE = ["part", "case", "depth", "largest", "bound", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int]]:
    """Part, case and depth of every row."""
    yield from (("Jensen", kind, n) for kind in KINDS for n in DRAW_DEPTHS)
    yield from (("minimisers", name, n) for name in TRAINED for n in TRAINED_DEPTHS)
    yield from (("random points", name, n) for name in PROBLEMS for n in POINT_DEPTHS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, depth = list(points())[row]
    place = {"part": part, "case": case, "depth": depth}
    if part == "Jensen":
        return place | {"largest": jensen(case, depth), "bound": 0.0, "status": "given"}
    return place | {"bound": 1.0} | (minimiser if part == "minimisers" else random_points)(case, depth)


def jensen(kind: str, depth: int) -> float:
    """The largest R_n(Θ at i/n)/R_∞(Θ) − 1 over random functions; the piecewise linear ones have corners at i/n.

    For the latter it is the largest difference from −Σ α |θ'(1)|²/n, the cell that the sum leaves out.
    """
    random, problem, found = np.random.default_rng([SEED, depth]), PROBLEMS["ring"], []
    divisors = [m for m in range(1, depth + 1) if depth % m == 0]
    for seed in range(DRAWS):
        bases: dict[str, Basis] = {
            "polynomials": Legendre(int(random.integers(1, 40))),
            "powers": Power(at=random.uniform(0.01, 0.99), exponent=random.uniform(-0.49, -0.01)),
            "lacunary series": Waves(int(random.integers(1, 20)), int(random.integers(2, 5))),
            "piecewise linear": Hats(int(random.integers(1, 200))),
            NODES: Hats(int(random.choice(divisors))),
        }
        curve = irregular.random(problem.metric, bases[kind], seed, decay=0.6)
        gap, whole = gamma.regulariser_gap(problem, curve, depth), gamma.regulariser(problem, curve)
        if kind == NODES:
            gap = abs(gap - gamma.regulariser_leading(problem, curve, depth))
        found.append(gap / whole)
    return largest(found)


@cache
def trained(name: str, depths: tuple[int, ...]) -> dict[int, Minimum]:
    """The best branch of minimisers, by depth."""
    best = discrete.branches(PROBLEMS[name], depths[0], starts=STARTS)[0]
    return {net.control.depth: net for net in discrete.branch(PROBLEMS[name], depths, start=best.control)}


def minimiser(name: str, depth: int) -> Row:
    """Its largest norm over the bound."""
    net = trained(name, tuple(TRAINED_DEPTHS))[depth]
    return {"largest": gamma.compactness(PROBLEMS[name], net.control), "status": str(net.status)}


def random_points(name: str, depth: int) -> Row:
    """The largest norm over its bound, of random points with E_n(Θ) ≤ E_n(0)."""
    problem, layers = PROBLEMS[name], trained(name, tuple(POINT_DEPTHS))[depth].control
    below = [gamma.below(problem, layers, seed) for seed in range(POINTS)]
    return {"largest": largest(gamma.compactness(problem, point) for point in below), "status": "given"}


DERIVED, AFTER = "derived here", "derived here, after Thorpe & van Gennip 2023"


def claims(table: pd.DataFrame) -> list[Claim]:
    """Inequalities that nothing tried violates."""
    most = {
        part: largest(table["largest"][table["part"] == part]) for part in ("Jensen", "minimisers", "random points")
    }
    nodes = farthest(table["largest"][table["case"] == NODES], 0.0)
    why = doubts(table, "case", "depth", trusted=(*CERTIFIED, "given"))
    return [
        Claim(
            "T11.1",
            "R_n(Θ at i/n) ≤ R_∞(Θ) for every one of the random Θ in H¹ tried",
            DERIVED,
            f"largest R_n/R_∞ − 1 of {DRAWS} functions of each kind and depth",
            0.0,
            most["Jensen"],
            ROUNDING,
            "one function that violates it",
            why,
            "≤",
        ),
        Claim(
            "T11.2",
            "for piecewise linear Θ with corners at i/n, R_n is R_∞ without the last cell",
            DERIVED,
            "largest difference over R_∞",
            0.0,
            nodes,
            ROUNDING,
            "a difference beyond rounding",
            why,
        ),
        Claim(
            "P4.1",
            "minimisers of every depth tried stay within the a-priori bounds from E_n(0)",
            AFTER,
            "largest norm / bound",
            1.0,
            most["minimisers"],
            0.0,
            "a norm beyond its bound",
            why,
            "≤",
        ),
        Claim(
            "P4.2",
            "of the random Θ tried with E_n(Θ) ≤ E_n(0), every one stays within the a-priori bounds from E_n(0)",
            AFTER,
            f"largest norm / bound of {POINTS} random points of each problem and depth",
            1.0,
            most["random points"],
            0.0,
            "a norm beyond its bound",
            why,
            "≤",
        ),
    ]


def main(save: str = "bounds") -> None:
    """The table, the claims and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    titles = {"Jensen": "random functions: Rₙ / R∞", "minimisers": "minimisers: norm / bound"}
    titles["random points"] = "random points: norm / bound"
    shown = table[table["case"] != NODES].assign(most=1.0)
    shown = shown.assign(quotient=shown["largest"] + 1 - shown["bound"], panel=shown["part"].map(titles))
    columns: dict[str, Any] = {"x": "depth", "y": "quotient", "by": "panel", "hue": "case", "lines": ["most"]}
    labels = {"depth": "depth n", "y": "largest quotient", "most": "bound", "case": ""}
    plot.curves(shown, **columns, labels=labels, logy=False, save=save)


if __name__ == "__main__":
    study.run(main, globals())

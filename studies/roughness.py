"""How rough are random weights, summed over the layers: in which p-variation do they stay bounded as depth grows?

The path w of a network of depth n has n increments; here it is fractional Brownian motion with Hurst exponent H on the
grid i/n, the grids of one path nested. For p < 1/H its p-variation is that of its shortest steps, ‖w‖_p ~ n^{1/p − H}
(n steps of size n^{−H}; superadditivity makes c_n / n converge for the unscaled walk), for p > 1/H it converges. Iid
weights are H = ½: their total variation grows like √n, and a bound by it is useless for deep networks.

First the maximum over partitions itself is checked, against all of them on short paths and on the unit square.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import plot, rough, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.rough.paths import coarsened, fractional_increments

HURSTS = [0.3, 0.4, 0.5, 0.7, 1.0]
EXPONENTS = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0]
DEPTHS = [2**m for m in range(7, 18, 2)]
SEEDS = 8
SHORT = 12  # points of the paths of which all partitions are tried
SHORT_PATHS = 12  # in one dimension, and as many in two

QUICK = {"DEPTHS": [2**m for m in range(7, 14, 2)], "SEEDS": 4, "SHORT_PATHS": 3}
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
BELOW, ABOVE = 0.7, 1.2  # p H up to which the shortest steps rule, and from which the path has its limit
DONE = "measured"
EXACT = 1e-12
DERIVED = "derived here"
LINE = ["part", "hurst", "p", "depth", "norm", "slope", "predicted", "status"]
LABELS = {"depth": "depth n", "norm": "p-variation ‖w‖_p", "p": "p =", "power": "predicted slope"}

Row = dict[str, Any]


def points() -> Iterator[tuple[str, float, float, int]]:
    """Part, H, p and depth of every row; short paths have a dimension in place of H."""
    yield from (("all partitions", float(d), p, k) for d in (1, 2) for p in EXPONENTS for k in range(SHORT_PATHS))
    yield from (("square", 2.0, p, 4) for p in EXPONENTS)
    yield from (("walk", H, p, n) for H in HURSTS for p in EXPONENTS for n in DEPTHS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, hurst, p, depth = list(points())[row]
    place = {"part": part, "hurst": hurst, "p": p, "depth": depth}
    if part == "walk":
        return place | walk(hurst, p, depth) | {"status": DONE}
    if part == "square":
        predicted = 4.0 ** (1 / p) if p <= 2 else 2 ** (0.5 + 1 / p)
        return place | {"norm": rough.p_variation(SQUARE, p)[0], "predicted": predicted, "status": DONE}
    path = np.random.default_rng([int(hurst), depth]).standard_normal((SHORT, int(hurst))).cumsum(0)
    return place | {"norm": rough.p_variation(path, p)[0], "predicted": brute(path, p), "status": DONE}


def brute(path: np.ndarray, p: float) -> float:
    """The maximum over all 2^(N − 2) partitions, one after the other."""
    powers = np.linalg.norm(path[:, None] - path, axis=2) ** p
    last = len(path) - 1
    sums = (
        sum(powers[a, b] for a, b in itertools.pairwise((0, *chosen, last)))
        for size in range(last)
        for chosen in itertools.combinations(range(1, last), size)
    )
    return float(max(sums)) ** (1 / p)


@cache
def increments(hurst: float) -> np.ndarray:
    """Those of the finest network, a column a seed."""
    return np.hstack([fractional_increments(DEPTHS[-1], hurst, seed=seed) for seed in range(SEEDS)])


@cache
def logs(hurst: float, p: float, depth: int) -> np.ndarray:
    """log ‖w‖_p for every seed."""
    paths = rough.as_path(coarsened(increments(hurst), DEPTHS[-1] // depth))
    return np.log([rough.p_variation(path, p)[0] for path in paths.T])


def walk(hurst: float, p: float, depth: int) -> Row:
    """Geometric mean of the norms, and how it grows from the depth before, with its standard error over the seeds."""
    own = logs(hurst, p, depth)
    row = {"norm": math.exp(own.mean()), "predicted": max(1 / p - hurst, 0.0)}
    if depth > DEPTHS[0]:
        before = DEPTHS[DEPTHS.index(depth) - 1]
        slopes = (own - logs(hurst, p, before)) / math.log(depth / before)
        row |= {"slope": slopes.mean(), "slope_error": slopes.std(ddof=1) / math.sqrt(SEEDS)}
    return row


def claims(table: pd.DataFrame) -> list[Claim]:
    """Exactness, the rate of growth below p = 1/H, and that above it there is none left.

    The tolerances are those of the next terms with constants of 1: for p < 1/H the whole path adds n^{pH} to the C n of
    its shortest steps, so that a slope is (1 − pH) n^{−(1 − pH)} away from its limit; for p > 1/H a grid of n steps
    misses a part n^{−(pH − 1)}. Four standard errors of the slope, over the paths, are added.
    """
    reason = doubts(table, "part", "p", "depth", trusted=(DONE,))
    short = table[table["part"] != "walk"]
    ratio = short["norm"] / short["predicted"] - 1
    n = int(table["depth"].max())
    deepest = table[(table["part"] == "walk") & (table["depth"] == n)]
    reach = deepest["p"] * deepest["hurst"]
    found = []
    for name, part, statement in (
        ("B1.1", "all partitions", "the dynamic programme finds the largest sum over all partitions"),
        ("B1.2", "square", "‖unit square‖_p^p is 4 for p ≤ 2 and 2^{p/2 + 1} above"),
    ):
        ratios = ratio[short["part"] == part]
        what = "value / that of all partitions − 1, farthest from 0"
        wrong = "a partition with a larger sum, or a value that no partition has"
        found.append(Claim(name, statement, DERIVED, what, 0.0, farthest(ratios, 0.0), EXACT, wrong, reason))
    noisy = [hurst for hurst in HURSTS if hurst <= BELOW]  # of the others no p ≥ 1 is so small
    for k, hurst in enumerate(noisy, 1):
        rows = deepest[(deepest["hurst"] == hurst) & (reach <= BELOW)]
        statement = f"H = {hurst:g}, p ≤ {BELOW:g}/H: the p-variation grows like n^(1/p − H)"
        what = f"slope − (1/p − H) between the two deepest networks, n = {n}, farthest from 0"
        room = (1 - BELOW) * n ** -(1 - BELOW) + 4 * rows["slope_error"].max()
        wrong = "another slope: iid weights of another scale, or a maximum that is missed"
        observed = farthest(rows["slope"] - rows["predicted"], 0.0)
        found.append(Claim(f"B2.{k}", statement, DERIVED, what, 0.0, observed, room, wrong, reason))
    for k, hurst in enumerate(HURSTS, len(noisy) + 1):
        rows = deepest[(deepest["hurst"] == hurst) & (reach >= ABOVE)]
        statement = f"H = {hurst:g}, p ≥ {ABOVE:g}/H: the p-variation converges"
        what = f"largest slope between the two deepest networks, n = {n}"
        room = (ABOVE - 1) * n ** -(ABOVE - 1) + 4 * rows["slope_error"].max()
        wrong = "growth like a power of n"
        found.append(Claim(f"B2.{k}", statement, DERIVED, what, 0.0, largest(rows["slope"]), room, wrong, reason, "≤"))
    return found


def main(save: str = "roughness") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[table["part"] == "walk"]
    inverse = (1 / shown["hurst"]).round(2).astype(str)
    shown = shown.assign(panel="H = " + shown["hurst"].astype(str) + ", 1/H = " + inverse)
    last = shown.groupby(["hurst", "p"])["norm"].transform("last")
    shown = shown.assign(power=last * (shown["depth"] / DEPTHS[-1]) ** shown["predicted"])
    plot.curves(shown, x="depth", y="norm", by="panel", hue="p", lines=["power"], labels=LABELS, save=save)


if __name__ == "__main__":
    study.run(main, globals())

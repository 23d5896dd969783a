"""How long does the exact p-variation of a long path take, and how much memory?

The maximum over the 2^{N − 2} partitions of a path is found by dynamic programming: for numbers with candidates on two
stacks, N steps in all; for points of ℝᴰ over pairs, in blocks that are passed over where the triangle inequality leaves
them no chance. Timed are a Brownian path and one of whole steps −1, 0, 1 with many ties, with and without compiled
loops; a Brownian path in many dimensions; and tight clusters there, whose small distances cancel in scalar products.
Seconds are those of the processor, a median of several; the peak is that of a call more, by Python's own count.
"""

import statistics
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import kernels, plot, rough, study
from deeplimit.claims import Claim, doubts, largest

EXPONENTS = [1.0, 1.5, 2.0, 2.5, 3.0]
STEPS = {"Brownian": 100_000, "whole steps": 400_000}  # of paths of numbers
POINTS, DIMENSIONS = 5_000, 4_096  # of paths in many dimensions
CLUSTERS = 20
TIGHT = 1e-6  # of the distances in a cluster over those between them
REPEATS = 3
SEED = 0

QUICK: dict[str, Any] = {"STEPS": {"Brownian": 10_000, "whole steps": 10_000}, "EXPONENTS": [1.0, 2.0]}
QUICK |= {"POINTS": 600, "DIMENSIONS": 64, "REPEATS": 1}

LINES = ("compiled", "plain")
VECTORS = ("Brownian vectors", "clusters")
DONE, ABSENT = "measured", "not measured: numba is not installed"
SOURCE = "derived here"
SHOWN = ["path", "loops", "p", "points", "seconds", "peak_gb", "status"]
LABELS = {"p": "variation exponent p", "loops": "loops:", "seconds": "seconds"}

Row = dict[str, Any]


def cases() -> Iterator[tuple[str, str, float]]:
    """Path, loops and p of every row."""
    yield from ((path, loops, p) for path in STEPS for loops in LINES for p in EXPONENTS)
    yield from ((path, "plain", p) for path in VECTORS for p in EXPONENTS)


def measure(row: int) -> Row:
    """One row of the table."""
    path, loops, p = list(cases())[row]
    place = {"path": path, "loops": loops, "p": p}
    if loops == "compiled" and not kernels.installed():
        return place | {"status": ABSENT}
    points = drawn(path)
    before = kernels.wanted()
    kernels.use("numba" if loops == "compiled" else "torch")
    try:
        rough.p_variation(points[: min(len(points), 512)], p)  # compiles
        found = timed(points, p)
    finally:
        kernels.use(before)
    return place | {"points": len(points), "dimensions": points[0].size} | found | {"status": DONE}


def drawn(path: str) -> np.ndarray:
    """The points of a path."""
    random = np.random.default_rng(SEED)
    if path == "Brownian":
        return np.asarray(random.standard_normal(STEPS[path]).cumsum())
    if path == "whole steps":
        return np.asarray(random.integers(-1, 2, STEPS[path]).cumsum())
    steps = random.standard_normal((POINTS, DIMENSIONS))
    if path == "Brownian vectors":
        return np.asarray(steps.cumsum(0))
    middles = random.standard_normal((CLUSTERS, DIMENSIONS))
    return np.asarray(middles[random.integers(0, CLUSTERS, POINTS)] + TIGHT * steps)


def timed(points: np.ndarray, p: float) -> Row:
    """‖w‖_p, the median of the seconds, the peak in units of 10⁹ bytes beyond the path itself."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        value, partition = rough.p_variation(points, p)
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    rough.p_variation(points, p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"norm": value, "parts": len(partition) - 1, "seconds": statistics.median(seconds), "peak_gb": peak / 1e9}


def claims(table: pd.DataFrame) -> list[Claim]:
    """Seconds and memory of every kind of path."""
    numbers = table["path"].isin(list(STEPS))
    quick, slow = (numbers & (table["loops"] == loops) for loops in LINES)
    whole = f"p = {', '.join(f'{p:g}' for p in EXPONENTS)}, up to {max(STEPS.values())} points"
    vectors = f"{POINTS} points in {DIMENSIONS} dimensions, walk and clusters"
    bounds = [
        ("B1.3", f"numbers, loops not compiled: under 10 s for 10⁵ points, {whole}", slow, "seconds", 10.0),
        ("B1.4", f"numbers, compiled loops: under 1 s for 10⁵ points, {whole}", quick, "seconds", 1.0),
        ("B1.5", f"numbers: under 1 GB, {whole}", numbers, "peak_gb", 1.0),
        ("B1.6", f"vectors: under 10 s, {vectors}", ~numbers, "seconds", 10.0),
        ("B1.7", f"vectors: under 1 GB beyond the path, {vectors}", ~numbers, "peak_gb", 1.0),
    ]
    found = []
    for name, statement, chosen, column, most in bounds:
        rows = table[chosen]
        observed = rows[column]
        if column == "seconds" and name != "B1.6":
            observed = observed * 1e5 / rows["points"].clip(lower=1e5)
        reason = doubts(rows, "path", "loops", "p", trusted=(DONE,))
        quantity = "largest " + ("median of seconds" if column == "seconds" else "peak, 10⁹ bytes")
        wrong = "a slower or larger computation on a processor of today"
        found.append(Claim(name, statement, SOURCE, quantity, most, largest(observed), 0.0, wrong, reason, "≤"))
    return found


def main(save: str = "rough_speed") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=SHOWN, row=range(len(list(cases()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    sizes = zip(table["path"], table["points"], table["dimensions"], strict=True)
    shown = table.assign(panel=[f"{path}\n{n:g} points in {d:g} dimension{'s' * (d > 1)}" for path, n, d in sizes])
    plot.curves(shown, x="p", y="seconds", by="panel", hue="loops", logx=None, labels=LABELS, save=save)


if __name__ == "__main__":
    study.run(main, globals())

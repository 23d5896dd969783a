"""What do a million signals behind a thousand layers, and a law on a fine grid of the plane, cost in time and memory?

A SimResNet moves its signals chunk by chunk through all layers, so that nothing but the signals themselves has to be
kept: the memory does not grow with the number of layers, the time is proportional to it. Finite volumes hold a few
arrays of the size of the grid. The seconds are the median of some runs on one thread; the memory is the largest that
NumPy held at once beyond the input, in a run of its own because keeping count takes time. Beside them stands what shows
that the run is right: W₁ of the signals from the closed form of infinitely many layers, which halves when their number
doubles, and the mass and the least average of finite volumes.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, farthest, largest, least
from deeplimit.compare import order
from deeplimit.meanfield import flows, grid, particles, transport
from deeplimit.meanfield.grid import Grid

SIGNALS = 1_000_000
LAYERS = [250, 500, 1000]
CELLS = 256  # in each direction of the plane
STEPS = 500
REPEATS = 3

QUICK = {"SIGNALS": 50_000, "LAYERS": [25, 50, 100], "CELLS": 64, "STEPS": 125}

ACTIVATIONS = ["tanh", "sigmoid", "relu"]
LINE_WEIGHTS = (0.5, 0.1)  # w and b of the signals
PLANE_WEIGHTS = (np.array([[0.1, -0.8], [0.6, -0.2]]), np.array([0.4, -0.3]))
BOUNDS = ((-6.0, 6.0), (-6.0, 6.0))
TIME, PLANE_TIME = 1.0, 0.9
LINE = ["part", "case", "size", "steps", "seconds", "gigabytes", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int, int]]:
    """Part, activation or scheme, number of signals or cells, and number of layers or steps of every row."""
    yield from (("signals", name, SIGNALS, L) for name in ACTIVATIONS for L in LAYERS)
    yield from (("volumes", scheme, CELLS**2, STEPS) for scheme in transport.COURANT)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, size, steps = list(points())[row]
    place = {"part": part, "case": case, "size": size, "steps": steps}
    return place | {"signals": signals, "volumes": volumes}[part](case, steps) | {"status": "computed"}


def cost(run: Callable[[], Any]) -> tuple[Any, Row]:
    """What a run returns, its median seconds and its peak of memory."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = run()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return found, {"seconds": statistics.median(seconds), "gigabytes": round(peak / 1e9, 5)}


def signals(name: str, depth: int) -> Row:
    """Signals at quantiles of the normal law behind L layers, and their distance from infinitely many."""
    x = particles.at_quantiles(stats.norm.ppf, SIGNALS)
    outputs, spent = cost(lambda: particles.network(name, *LINE_WEIGHTS, TIME, depth, x))
    return spent | {"w1": float(np.abs(outputs - flows.flow(name, *LINE_WEIGHTS, TIME, x)).mean())}


def volumes(scheme: str, steps: int) -> Row:
    """The law of the plane after all steps."""
    cells = Grid(BOUNDS, (CELLS, CELLS))
    start = grid.averages(cells, lambda x, y: stats.norm(0.3, 0.5).pdf(x) * stats.norm(0.2, 0.4).pdf(y))
    found, spent = cost(lambda: transport.solve(cells, start, "tanh", *PLANE_WEIGHTS, PLANE_TIME, steps, scheme=scheme))
    return spent | {"mass_error": found.mass_error, "least": found.least}


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its place in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "case", "size", "steps"]).loc[table["row"]]
    return table.assign(**places.set_axis(table.index))


DERIVED = "derived here"


def claims(table: pd.DataFrame) -> list[Claim]:
    """Memory and correctness at full size; the seconds are those of one machine and no claims."""
    part = {str(name): rows for name, rows in placed(table).groupby("part")}
    moved, cells = part["signals"], part["volumes"]
    why = {name: doubts(rows, "row", trusted=("computed",)) for name, rows in part.items()}
    growth = [
        group.sort_values("steps")["gigabytes"].iloc[-1] / group.sort_values("steps")["gigabytes"].iloc[0]
        for _, group in moved.groupby("case")
    ]
    fits = [order(group["steps"], group["w1"], 0 * group["w1"] + 1e-13).slope for _, group in moved.groupby("case")]
    return [
        Claim(
            "M1.11",
            "The memory that the final law of the signals takes does not grow with the number of layers",
            DERIVED,
            f"peak at {LAYERS[-1]} layers / at {LAYERS[0]}, farthest from 1",
            1.0,
            farthest(growth, 1.0),
            0.05,  # of the interpreter's own counts; states of all layers would take several times as much
            "a peak that grows with the layers",
            why["signals"],
        ),
        Claim(
            "M1.12",
            f"{SIGNALS} signals behind L layers tend to the closed form of infinitely many at order 1 in W₁",
            DERIVED,
            "fitted order, farthest",
            1.0,
            farthest(fits, 1.0),
            2 / LAYERS[0],
            "another order",
            why["signals"],
        ),
        Claim(
            "M3.8",
            "Finite volumes of the plane conserve the mass up to rounding",
            DERIVED,
            f"|mass − mass at time 0| after {STEPS} steps of {CELLS}² cells, both schemes",
            0.0,
            largest(cells["mass_error"]),
            1e-12,
            "mass that is made or lost",
            why["volumes"],
        ),
        Claim(
            "M3.9",
            "and no average of the plane becomes negative, up to rounding",
            DERIVED,
            "least average of all steps, both schemes",
            0.0,
            least(cells["least"]),
            1e-15,
            "a negative average",
            why["volumes"],
            "≥",
        ),
    ]


def main(save: str = "mean_field_speed") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    rows = placed(table)
    rows = rows[rows["part"] == "signals"]
    costs = pd.concat([rows.assign(unit=unit, cost=rows[unit]) for unit in ("seconds", "gigabytes")])
    labels = {"steps": "layers L", "cost": f"cost of {SIGNALS:,} signals".replace(",", " "), "case": ""}
    columns: dict[str, Any] = {"x": "steps", "y": "cost", "by": "unit", "hue": "case"}
    plot.curves(costs, **columns, slopes=[0, 1], hollow=["sigmoid", "tanh"], labels=labels, save=save)


if __name__ == "__main__":
    study.run(main, globals())

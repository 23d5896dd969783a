"""What does it cost to train a residual network to optimality, at its depth and beside other methods?

Everything runs on one thread, in float64, towards the same |∂E/∂u| in the H¹ coordinates u. Parts of the table:

- race      A method against depth. deeplimit follows its branch from depth 8, and its seconds are those of all depths
            up to that of the row, certificates included. The methods of first order start cold, from random weights at
            that depth, as people train, or warm, from our minimiser at half the depth, whose seconds are not counted.
            CasADi/IPOPT doubles the depth as we do, from our minimiser at depth 8, which it gets for nothing; the
            seconds in which CasADi builds its programmes stand apart. `seconds` is the time to the method's least
            |∂E/∂u|, `ours_seconds` that of deeplimit to the same, or to the tolerance where the method went below;
            `trace` what was seen on the way: seconds, gradients and the least |∂E/∂u| so far.
- precision deeplimit at one depth, asked for more and more digits.
- levels    What deeplimit spends at each depth.
- layers    One gradient and one Hessian product, per layer; beside them a compiled loop of the same arithmetic for the
            narrow network, and the matrix products alone for the wide one.
- memory    The most that a fresh process holds, from depth 8 to the deepest.

Adam takes the best of RATES in a trial of TRIAL steps at depth TUNING, whose seconds are not counted; its rate then
falls like a cosine over as many steps as fit into the budget. L-BFGS remembers `peers.HISTORY` pairs everywhere.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeplimit import Problem, data, discrete, kernels, peers, plot, shooting, study, tables
from deeplimit.control import Layers
from deeplimit.minimum import Minimum
from deeplimit.peers import Run, Seen

MILD, FEW, STIFF, BROAD = "60 points", "6 points", "200 points, stiff", "1797 points, width 64"
PROBLEMS = {
    MILD: Problem(data.moons(points=60, noise=0.1), alpha=0.01),
    FEW: Problem(data.moons(points=6, noise=0.1), alpha=0.01),
    STIFF: Problem(data.moons(points=200, noise=0.2), alpha=0.001),
}
SEED = 0
LADDERS = {  # the stiff problem jumps to its branch at depth 64; random starts at that depth end much higher
    MILD: [2**k for k in range(3, 15)],
    FEW: [2**k for k in range(3, 13)],
    STIFF: [2**k for k in range(3, 14)],
}
TOL = 1e-10
BUDGET = 600  # seconds
REPEATS = 3  # of runs that take less than SHORT seconds; medians
SHORT = 60
OURS, SHOOTING, ADAM = "deeplimit", "CasADi/IPOPT", "Adam, raw"
TORCH, SCIPY_RAW, SCIPY_H1 = "torch L-BFGS, raw", "SciPy L-BFGS, raw", "SciPy L-BFGS, H¹"
SHARES = {64: 0.05, 256: 0.1, 1024: 1.0}  # of the budget, by depth, for the raw weights
H1_DEPTHS = [64, 256, 1024, 4096]
WARM = {SCIPY_H1: [1024]}
SHOOTING_DEPTHS = [2**k for k in range(6, 13)]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
TRIAL, TUNING = 1000, 64
PRECISION_DEPTH = 1024
TOLERANCES = [10.0**-k for k in range(1, 11)]
LAYERS = [2**k for k in range(8, 15)]
WIDE = Problem(data.digits(), loss="softmax", alpha=0.001, reduction="mean")
WIDE_LAYERS = [16, 64]
SAMPLES = 7  # of each timed evaluation; medians
COMPILED, MATRICES = "compiled loop", "matrix products alone"
WITHOUT = "without numba"
WAYS = {WITHOUT: "torch", "with numba": "numba"}  # what the kernels call them
GRADIENT, PRODUCT = OPERATIONS = ["gradient", "Hessian product"]
THINNING = 0.8  # a trace keeps what is below this times what it kept before

QUICK: dict[str, Any] = {
    "LADDERS": {MILD: [8, 16, 32, 64], FEW: [8, 16, 32, 64], STIFF: [8]},
    "BUDGET": 1,
    "REPEATS": 1,
    "SHARES": {32: 0.3, 64: 0.6},
    "H1_DEPTHS": [64],
    "WARM": {SCIPY_H1: [64]},
    "SHOOTING_DEPTHS": [16, 32],
    "RATES": [0.03, 0.1],
    "TRIAL": 50,
    "TUNING": 32,
    "PRECISION_DEPTH": 64,
    "TOLERANCES": [1e-2, 1e-10],
    "LAYERS": [64, 256],
    "WIDE_LAYERS": [4],
    "SAMPLES": 3,
}
LINE = ["part", "data", "method", "start", "depth", "seconds", "gradients", "dual", "ratio", "status"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Raced:
    """A run, the seconds that were spent at coarser depths, and those that built the programme."""

    run: Run
    coarser: float = 0.0
    coarser_gradients: int = 0
    setup: float = 0.0

    @property
    def seconds(self) -> float:
        """Until the least gradient."""
        return self.coarser + self.run.at_best.seconds


def ladder(name: str, depth: int) -> list[int]:
    """The depths of our branch up to one."""
    return [n for n in LADDERS[name] if n <= depth]


def repeated(action: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Seconds and results of an action, in the order of the seconds; once if it is long."""
    found: list[tuple[float, Any]] = []
    while not found or (len(found) < REPEATS and found[0][0] < SHORT):
        began = perf_counter()
        result = action()
        found.append((perf_counter() - began, result))
    return sorted(found, key=lambda pair: pair[0])


def median(found: Sequence[Any]) -> Any:
    """The one in the middle, the slower one of two."""
    return found[len(found) // 2]


@cache
def branch(name: str, depth: int, tol: float) -> tuple[float, list[Minimum], int]:
    """Seconds of our branch up to a depth, its minima, and how often it was run."""
    found = repeated(lambda: discrete.branch(PROBLEMS[name], ladder(name, depth), seed=SEED, tol=tol))
    return *median(found), len(found)


def certificates(minima: Sequence[Minimum]) -> float:
    """Seconds of the certificates; NaN where they are not told apart."""
    return float(sum(getattr(m, "certificate_seconds", np.nan) for m in minima))


def totals(minima: Sequence[Minimum]) -> Row:
    """What minima cost together."""
    names = {"gradients": "gradients", "products": "hessian_products", "certificate_products": "certificate_products"}
    found = {column: sum(getattr(m, field) for m in minima) for column, field in names.items()}
    found["coarse_products"] = sum(getattr(m, "coarse_products", 0) for m in minima)
    return found | {"certificate_seconds": certificates(minima)}


@cache
def rate(name: str) -> float:
    """Adam's, tuned at one depth: its steps move the weights Θ(t), whose size does not depend on depth."""
    found = peers.tuned_rate(PROBLEMS[name], cold(name, TUNING), RATES, TRIAL)
    print(f"{name}: rate {found:g} of Adam", flush=True)
    return found


def cold(name: str, depth: int) -> Layers:
    """The random start."""
    return PROBLEMS[name].metric.draw(SEED).sample(depth)


def warm(name: str, depth: int) -> Layers:
    """Our minimiser at half the depth."""
    _, minima, _ = branch(name, depth // 2, TOL)
    return minima[-1].control.refine(depth)


def run_adam(problem: Problem, start: Layers, rate: float, budget: float) -> Run:
    """Adam with the steps that fit into the budget."""
    trial = peers.adam(problem, start, rate=rate, steps=20)
    return peers.adam(
        problem, start, rate=rate, steps=max(1, int(0.97 * budget / (trial.seconds / 20))), tol=TOL, budget=budget
    )


@cache
def load_torch() -> None:
    """Load what torch loads at its first step, so that no race pays for it."""
    peers.adam(PROBLEMS[MILD], cold(MILD, 1), rate=0.1, steps=1)


@cache
def first_order(name: str, method: str, start: str, depth: int, budget: float) -> list[Raced]:
    """The runs of a method of first order, the quickest first."""
    load_torch()
    problem, begin = PROBLEMS[name], warm(name, depth) if start == "warm" else cold(name, depth)
    methods: dict[str, Callable[[], Run]] = {
        TORCH: lambda: peers.torch_lbfgs(problem, begin, tol=TOL, budget=budget),
        ADAM: lambda: run_adam(problem, begin, rate(name), budget),
        SCIPY_RAW: lambda: peers.scipy_lbfgs(problem, begin, raw=True, tol=TOL, budget=budget),
        SCIPY_H1: lambda: peers.scipy_lbfgs(problem, begin, raw=False, tol=TOL, budget=budget),
    }
    return [Raced(run) for _, run in repeated(methods[method])]


@cache
def shots(name: str) -> list[dict[int, Raced]]:
    """CasADi's ladders, by depth, the quickest first."""
    first, *deeper = LADDERS[name]
    depths = [n for n in deeper if n <= max(SHOOTING_DEPTHS)]
    _, minima, _ = branch(name, first, TOL)
    problem, begin = PROBLEMS[name], minima[0].control
    return [
        cumulative(solves)
        for _, solves in repeated(lambda: shooting.ladder(problem, depths, begin, tol=TOL, budget=BUDGET))
    ]


def cumulative(solves: Sequence[shooting.Solve]) -> dict[int, Raced]:
    """Each depth with the cost of those before it."""
    found, seconds, gradients, setup = {}, 0.0, 0, 0.0
    for solve in solves:
        setup += solve.setup
        found[solve.run.control.depth] = Raced(solve.run, seconds, gradients, setup)
        seconds, gradients = seconds + solve.run.seconds, gradients + solve.run.gradients
    return found


def raced(name: str, method: str, start: str, depth: int) -> list[Raced]:
    """The runs of another method; none where its ladder did not get so deep."""
    if method == SHOOTING:
        return [ladder[depth] for ladder in shots(name) if depth in ladder]
    return first_order(name, method, start, depth, budget(method, depth))


def budget(method: str, depth: int) -> float:
    """Seconds that a method is given."""
    return BUDGET * (SHARES[depth] if method in (TORCH, ADAM, SCIPY_RAW) else 1)


def precision(data: str, method: str, depth: int, tol: float) -> Row:
    """Our branch, asked for a tolerance."""
    seconds, minima, repeats = branch(data, depth, tol)
    last = minima[-1]
    found = {"seconds": seconds, "dual": last.residual, "value": last.value, "repeats": repeats}
    return found | totals(minima) | {"status": last.status.value}


def race(data: str, method: str, start: str, depth: int) -> Row:
    """Our row, or that of another method with our time to its best gradient."""
    if method == OURS:
        return precision(data, method, depth, TOL)
    if method == SHOOTING and importlib.util.find_spec("casadi") is None:
        return {"status": "not installed: pip install 'deeplimit[reference]'"}
    found = raced(data, method, start, depth)
    if not found:
        return {"status": peers.OVER_BUDGET + " at a coarser depth", "budget": BUDGET}
    middle = median(found)
    run: Run = middle.run
    seconds, minima, _ = branch(data, depth, max(TOL, run.dual))
    apart = run.value - branch(data, depth, TOL)[1][-1].value
    settled = "same" if abs(apart) <= 1e-8 * run.value else "another" if run.dual < 1e-4 else "unsettled"
    return {
        "seconds": middle.seconds,
        "setup_seconds": middle.setup,
        "gradients": middle.coarser_gradients + run.at_best.gradients,
        "dual": run.dual,
        "value": run.value,
        "value_apart": apart,
        "minimiser": settled,
        "budget": budget(method, depth),
        "repeats": len(found),
        "ours_seconds": seconds,
        "ours_bare_seconds": seconds - certificates(minima),
        "ours_gradients": sum(m.gradients + m.hessian_products for m in minima),
        "ratio": middle.seconds / seconds,
        "rate": rate(data) if method == ADAM else np.nan,
        "trace": seen_during(middle),
        "status": run.status,
    }


def levels(data: str, method: str, depth: int) -> Row:
    """What one depth of our branch costs, in seconds and in gradients of that depth."""
    deepest = LADDERS[data][-1]
    _, minima, repeats = branch(data, deepest, TOL)
    minimum = minima[LADDERS[data].index(depth)]
    gradient = evaluation(PROBLEMS[data], minimum.control, product=False)
    apart = certificates([minimum])
    return totals([minimum]) | {
        "seconds": minimum.seconds,
        "gradient_seconds": gradient,
        "cost_in_gradients": minimum.seconds / gradient,
        "bare_cost_in_gradients": (minimum.seconds - apart) / gradient,
        "dual": minimum.residual,
        "curvature": minimum.curvature,
        "value": minimum.value,
        "repeats": repeats,
        "status": minimum.status.value,
    }


def timed(action: Callable[[], Any]) -> float:
    """Seconds of an action, the median of several after one that is not counted."""
    action()
    seconds = []
    for _ in range(SAMPLES):
        began = perf_counter()
        action()
        seconds.append(perf_counter() - began)
    return statistics.median(seconds)


def evaluation(problem: Problem, control: Layers, *, product: bool) -> float:
    """Seconds of one gradient, or of one more Hessian product at the same weights."""
    plain = peers.Raw(problem, control.depth)
    u = plain.coordinates.vector(control)
    if not product:
        return timed(lambda: plain.energy(u).gradient)
    point = plain.energy(u)
    return timed(lambda: point.product(u))


def layers(data: str, method: str, operation: str, depth: int) -> Row:
    """Microseconds of one evaluation per layer: without and with compiled loops, or of what it is compared with."""
    problem = WIDE if data == BROAD else PROBLEMS[data]
    control = problem.metric.draw(SEED).sample(depth)
    product = operation == PRODUCT
    if method == COMPILED:
        seconds = timed(compiled_gradient(problem, control))
    elif method == MATRICES:
        seconds = timed(lambda: matrix_products(problem, control, 6 if product else 3))
    else:
        kernels.use(WAYS[method])
        try:
            seconds = evaluation(problem, control, product=product)
        finally:
            kernels.use("auto")
    return {"seconds": seconds, "us_per_layer": 1e6 * seconds / depth, "repeats": SAMPLES, "status": "measured"}


def matrix_products(problem: Problem, control: Layers, count: int) -> None:
    """The products of a gradient, three a layer (K Y, q K and qᵀ Y), or of a Hessian product, six, and nothing else.

    By NumPy, which the sweeps use and which is quicker here than torch.
    """
    Y = problem.data.x.numpy()
    q, out, outer = Y.copy(), np.empty_like(Y), np.empty((Y.shape[1], Y.shape[1]))
    for K in control.K.numpy():
        for _ in range(count // 3):
            np.dot(Y, K.T, out=out)
            np.dot(q, K, out=out)
            np.dot(q.T, Y, out=outer)


def compiled_gradient(problem: Problem, control: Layers) -> Callable[[], Any]:
    """The gradient of the data term at weights, as one loop that numba compiles."""
    from numba import njit

    loop = njit(plain_loop)
    arrays = [v.numpy() for v in (problem.data.x, problem.y, control.K, control.b, control.W, control.c)]
    return lambda: loop(*arrays)


def plain_loop(x: Any, y: Any, K: Any, b: Any, W: Any, c: Any) -> Any:
    """Forward and adjoint of tanh layers with the logistic loss of one output, as one would in C."""
    n, S, d = len(K), x.shape[0], x.shape[1]
    Y, slope = np.empty((n + 1, S, d)), np.empty((n, S, d))
    gK, gb = np.zeros_like(K), np.zeros_like(b)
    Y[0] = x
    for i in range(n):
        for s in range(S):
            for r in range(d):
                z = b[i, r]
                for k in range(d):
                    z += K[i, r, k] * Y[i, s, k]
                e = np.exp(-2 * abs(z))
                value = np.copysign((1 - e) / (1 + e), z)
                slope[i, s, r] = (1 - value * value) / n
                Y[i + 1, s, r] = Y[i, s, r] + value / n
    P, q = np.empty((S, d)), np.empty(d)
    for s in range(S):
        z = c[0]
        for r in range(d):
            z += W[0, r] * Y[n, s, r]
        for r in range(d):
            P[s, r] = (1 / (1 + np.exp(-z)) - y[s, 0]) * W[0, r]
    for i in range(n - 1, -1, -1):
        for s in range(S):
            for r in range(d):
                q[r] = slope[i, s, r] * P[s, r]
                gb[i, r] += q[r]
                for k in range(d):
                    gK[i, r, k] += q[r] * Y[i, s, k]
            for r in range(d):
                for k in range(d):
                    P[s, k] += q[r] * K[i, r, k]
    return gK, gb


FRESH = """
from deeplimit import Problem, data, discrete
def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024 / 1e6
problem = Problem(data.moons(points={points}, noise=0.1), alpha=0.01)
discrete.branch(problem, [8, 16])
print(peak())
last = discrete.branch(problem, {depths}, tol={tol})[-1]
print(peak(), last.status.value)
"""


def memory(data: str, method: str, depth: int) -> Row:
    """Megabytes that a fresh process holds at most, with the libraries and without, on our branch to a depth."""
    code = FRESH.format(points=PROBLEMS[data].data.points, depths=ladder(data, depth), tol=TOL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    megabytes, status = after.split(maxsplit=1)
    return {"megabytes": float(megabytes), "megabytes_before": float(before), "status": status}


PARTS: dict[str, Callable[..., Row]] = {
    "levels": levels,
    "race": race,
    "precision": precision,
    "layers": layers,
    "memory": memory,
}


def cells() -> Iterator[Row]:
    """Part, data, method and depth of every row, and what else the part asks for."""
    for name, method, start, n in races():
        yield {"part": "race", "data": name, "method": method, "depth": n, "start": start}
    for name in LADDERS:
        yield from ({"part": "levels", "data": name, "method": OURS, "depth": n} for n in LADDERS[name])
    yield {"part": "memory", "data": MILD, "method": OURS, "depth": LADDERS[MILD][-1]}
    for tol in TOLERANCES:
        yield {"part": "precision", "data": MILD, "method": OURS, "depth": PRECISION_DEPTH, "tol": tol}
    ways = WAYS if kernels.installed() else [WITHOUT]
    narrow = [(MILD, way, n, o) for o in OPERATIONS for way in ways for n in LAYERS]
    narrow += [(MILD, COMPILED, n, GRADIENT) for n in LAYERS if kernels.installed()]
    wide = [(BROAD, method, n, o) for o in OPERATIONS for method in (WITHOUT, MATRICES) for n in WIDE_LAYERS]
    for name, method, n, operation in [*narrow, *wide]:
        yield {"part": "layers", "data": name, "method": method, "depth": n, "operation": operation}


def races() -> Iterator[tuple[str, str, str, int]]:
    """Data, method, start and depth; the long ones first."""
    yield from ((MILD, method, "cold", n) for n in sorted(SHARES, reverse=True) for method in (SCIPY_RAW, TORCH, ADAM))
    for name in (MILD, FEW):
        yield from ((name, OURS, "doubled", n) for n in LADDERS[name][1:])
        yield from ((name, SHOOTING, "doubled", n) for n in SHOOTING_DEPTHS)
        yield from ((name, SCIPY_H1, "cold", n) for n in H1_DEPTHS)
    yield from ((MILD, method, "warm", n) for method, depths in WARM.items() for n in depths)


def measure(row: int) -> Row:
    """One row."""
    place = list(cells())[row]
    return place | PARTS[place["part"]](**{k: v for k, v in place.items() if k != "part"})


def seen_during(race: Raced) -> str:
    """What was seen during a race as the text of a list: seconds, gradients, and the least |∂E/∂u| after them."""
    return json.dumps(
        [[race.coarser + s.seconds, race.coarser_gradients + s.gradients, s.dual] for s in thinned(race.run.trace)]
    )


def traces(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each look at a race, of the part `trace`; our own are the rows of the part `precision`."""
    tables.require(table, ["trace", "data", "method", "start", "depth"])
    frames = []
    for row in table[table["trace"].notna()].to_dict("records"):
        frame = pd.DataFrame(json.loads(row["trace"]), columns=["seconds", "gradients", "dual"])
        frames.append(frame.assign(part="trace", **{name: row[name] for name in ("data", "method", "start", "depth")}))
    return pd.concat(frames, ignore_index=True)


def rates(table: pd.DataFrame) -> dict[str, float]:
    """Adam's on each problem."""
    tables.require(table, ["method", "data", "rate"])
    return dict(table[table["method"] == ADAM].groupby("data")["rate"].first())


def thinned(trace: Sequence[Seen]) -> list[Seen]:
    """The least |∂E/∂u| so far, wherever it has fallen by so much, and the least of all."""
    kept = [trace[0]]
    for seen in trace:
        if seen.dual < THINNING * kept[-1].dual:
            kept.append(seen)
    best = min(trace, key=lambda seen: seen.dual)
    return kept if kept[-1] == best else [*kept, best]


def main(save: str = "work_precision") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(cells()))))
    study.record(save, study.constants(globals()), threads=torch.get_num_threads(), adam_rates=rates(table))
    plot.work(pd.concat([table, traces(table)], ignore_index=True), save=save)


if __name__ == "__main__":
    study.run(main, globals())

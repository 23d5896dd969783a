"""How sharp are bounds of the Lipschitz constants of a network and of its gradient, and do they depend on depth?

After Herrera, Krach & Teichmann (2020), who bound feed-forward networks and controlled ODEs in their parameters, over a
bounded set of these. The bounds here are derived in `lipschitz.bounds`, `controlled` and `inputs`; below each stands
the largest norm that random draws and gradient ascents have found:

- feed-forward    of l layers: never violated, exact for one layer and for the scalar linear chain;
- residual        in L²(0, 1) over depth neither the bounds nor what ascents find depend on depth n: in the weights
                  themselves n ‖Hessian‖ is bounded, and converges at order 1 along a fixed curve of weights;
- controlled ODE  dX = V dA: of n jumps it is a residual network, and tends to that of the flow at order 1;
- input           layer by layer, with the slopes at their worst, a bound that sees contraction; it tends to the one by
                  logarithmic norms of the flow.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.func import jacrev, vmap

from deeplimit import Curve, Data, Layers, Problem, activation, data, lipschitz, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.compare import order
from deeplimit.control import Weights
from deeplimit.energy import DataTerm
from deeplimit.lipschitz import Balls, ascent, controlled, feedforward, inputs, residual
from deeplimit.lipschitz.bounds import residual_uniform
from deeplimit.loss import Loss
from deeplimit.sweep import EULER, Flow

LENGTHS = [1, 2, 3, 4, 6]  # layers of the feed-forward networks
WIDTH = 3
RADIUS = 1.0  # of the matrices and biases
DRAWS = 10_000
ASCENTS = 200
STEPS = 60
DEPTHS = [10, 40, 160]  # of the residual networks that ascents climb in
ALIKE = 40  # ascents there, half of them from equal layers
CURVE_DEPTHS = [2**m for m in range(4, 12)]
SEEDS = [0, 1, 2]  # of the curves of weights whose flow maps are bounded in the input

QUICK = {
    "LENGTHS": [1, 2, 3],
    "DRAWS": 500,
    "ASCENTS": 20,
    "DEPTHS": [10, 20],
    "ALIKE": 8,
    "CURVE_DEPTHS": [2**m for m in range(4, 10)],
    "SEEDS": [0],
}
TANH = activation.get("tanh")
INPUT = torch.tensor([0.6, 0.8], dtype=torch.float64)
SCALAR = torch.tensor([0.8], dtype=torch.float64)
ROUNDING = 1e-12
CHUNK = 1000  # networks whose Hessians are formed at once
PATH = [("flow", 0.5), ("jump", 0.5), ("flow", 0.3), ("jump", 0.2)]  # of a controlled ODE, with variations
CELLS = 20  # of the method of order 4 on a piece of flow
LINE = ["part", "case", "quantity", "depth", "lower", "upper", "ratio", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, str, int]]:
    """Part, case, quantity and number of layers of every row."""
    both = ("gradient", "Hessian")
    yield from (("feed-forward", f"tanh, width {WIDTH}", q, n) for q in both for n in LENGTHS)
    yield from (("exact", case, q, n) for case, n in exact_cases() for q in both)
    yield from (("residual", "d = 1, x = .8", q, n) for q in both for n in DEPTHS)
    yield from (("bound", "d = 1, x = .8", q, n) for q in both for n in CURVE_DEPTHS)
    yield from (("curve", "K = cos t, b = −cos t", "Hessian", n) for n in CURVE_DEPTHS)
    yield from (("controlled", "two jumps between flows", q, len(PATH)) for q in both)
    yield from (("jumps", "equal layers", q, n) for q in both for n in CURVE_DEPTHS)
    yield from (("input", f"seed {seed}", "flow map", n) for seed in SEEDS for n in CURVE_DEPTHS)


def exact_cases() -> list[tuple[str, int]]:
    """Networks whose suprema are known."""
    return [("one layer, tanh", 1), ("one layer, arctan", 1), *(("scalar linear chain", n) for n in range(1, 7))]


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, quantity, depth = list(points())[row]
    functions: dict[str, Callable[[str, str, int], Row]] = {
        "feed-forward": climbed,
        "exact": exact,
        "residual": climbed_residual,
        "bound": bound_alone,
    }
    functions |= {"curve": along_curve, "controlled": on_path, "jumps": jumps_alone, "input": in_input}
    found = functions[part](case, quantity, depth)
    found["ratio"] = found.get("lower", math.nan) / found["upper"] if found["upper"] > 0 else math.nan
    return {"part": part, "case": case, "quantity": quantity, "depth": depth, "status": "bounded"} | found


def chosen(found: Any, quantity: str) -> float:
    """The bound of ∂z/∂θ or of ∂²z/∂θ²."""
    return float(found.first if quantity == "gradient" else found.second)


def climbed(_: str, quantity: str, depth: int) -> Row:
    """A feed-forward network with one output: draws, ascents and the bound."""
    chain = feedforward([2, *[WIDTH] * (depth - 1), 1], TANH, TANH)
    region = Balls(chain, RADIUS, RADIUS)
    norm, climb = (ascent.first, ascent.climb_first) if quantity == "gradient" else (ascent.second, ascent.climb_second)
    drawn = max(float(norm(chain, part, INPUT).max()) for part in region.draw(DRAWS, seed=1).split(CHUNK))
    found = climb(region, INPUT, region.draw(ASCENTS, seed=2), STEPS).largest
    upper = chosen(lipschitz.bound(region, INPUT[None]), quantity)
    return {"draws": drawn, "lower": max(drawn, found), "upper": upper}


def exact(case: str, quantity: str, depth: int) -> Row:
    """The supremum in closed form, and its bound; `lower` is the norm at a point where it is attained."""
    if case == "scalar linear chain":
        B = 1.5
        chain = feedforward([1] * (depth + 1), "identity", bias=False)
        region, x, theta = Balls(chain, B, 0.0), SCALAR, torch.full((1, depth), B, dtype=torch.float64)
        powers = {"gradient": math.sqrt(depth) * B ** (depth - 1), "Hessian": (depth - 1) * B ** (depth - 2)}
        true = powers[quantity] * float(x)
    else:
        name = case.split()[-1]
        chain = feedforward([2, 1], last=name)
        steepest = {"tanh": math.atanh(1 / math.sqrt(3)), "arctan": 1 / math.sqrt(3)}[name]
        theta = torch.tensor([[0.0, 0.0, steepest if quantity == "Hessian" else 0.0]], dtype=torch.float64)
        region, x, squared = Balls(chain, RADIUS, RADIUS), INPUT, 1 + float(INPUT.square().sum())
        largest_second = {"tanh": 4 / (3 * math.sqrt(3)), "arctan": 3 * math.sqrt(3) / 8}[name]
        true = math.sqrt(squared) if quantity == "gradient" else largest_second * squared
    norm = (ascent.first if quantity == "gradient" else ascent.second)(chain, theta, x)
    return {"lower": float(norm), "true": true, "upper": chosen(lipschitz.bound(region, x[None]), quantity)}


def climbed_residual(_: str, quantity: str, depth: int) -> Row:
    """A residual network in L² over depth: ascents from rough and from equal layers, and the bounds."""
    region = Balls(residual(depth, 1, activation=TANH), RADIUS, RADIUS)
    climb = ascent.climb_first if quantity == "gradient" else ascent.climb_second
    start = torch.cat([region.draw(ALIKE // 2, seed=1), region.draw(ALIKE // 2, seed=2, alike=True)])
    return {"lower": climb(region, SCALAR, start, STEPS).largest} | bound_alone("", quantity, depth)


def bound_alone(_: str, quantity: str, depth: int) -> Row:
    """Its bound, and the one by Gronwall's inequality that holds for every depth."""
    found = lipschitz.bound(Balls(residual(depth, 1, activation=TANH), RADIUS, RADIUS), SCALAR[None])
    uniform = residual_uniform(TANH, RADIUS, float(SCALAR) + 1.0)  # |x_i| ≤ |x| + sup |tanh|
    return {"upper": chosen(found, quantity), "uniform": uniform[quantity == "Hessian"]}


def linear(z: Tensor, y: Tensor) -> Tensor:
    """y · z: an output as an objective."""
    return (y * z).sum(-1)


OUTPUT = Loss("an output", linear, lambda z, y: y, lambda z, y, v: torch.zeros_like(v), lambda z: z, lambda y: y)


def along_curve(_: str, quantity: str, depth: int) -> Row:
    """n ‖∇² X_n‖ in the weights themselves at the samples of a curve, by Lanczos on Hessian products."""
    t, one = np.arange(depth) / depth, np.ones((1, 1))
    problem = Problem(Data(SCALAR[None], torch.tensor(one)), activation=TANH, loss=OUTPUT, trainable="Kb")
    K, b = np.cos(t)[:, None, None], -np.cos(t)[:, None]
    weights = Weights(torch.tensor(K), torch.tensor(b), torch.tensor(one), torch.zeros(1, dtype=torch.float64))
    term = DataTerm(problem, Flow(EULER, depth), weights)

    def product(v: np.ndarray) -> np.ndarray:
        K, b = torch.tensor(v.reshape(2, depth))
        found = term.product(Weights(K[:, None, None], b[:, None], torch.zeros(1, 1).double(), torch.zeros(1).double()))
        return np.concatenate([found.K.numpy().ravel(), found.b.numpy().ravel()])

    operator = LinearOperator((2 * depth, 2 * depth), matvec=product, dtype=float)
    value = eigsh(operator, k=1, which="LM", v0=np.ones(2 * depth), return_eigenvectors=False)
    upper = bound_alone("", quantity, depth)["upper"]
    return {"lower": depth * abs(float(value[0])), "upper": upper}


def path_end(theta: Tensor) -> Tensor:
    """X(1) of dX = tanh(A X + b) du along the path, θ = (A, b); flows by Kutta's method of order 4."""
    A, b = theta[:4].view(2, 2), theta[4:]

    def V(X: Tensor) -> Tensor:
        return torch.tanh(A @ X + b)

    X = INPUT
    for kind, variation in PATH:
        if kind == "jump":
            X = X + variation * V(X)
            continue
        h = variation / CELLS
        for _ in range(CELLS):
            k1 = V(X)
            k2 = V(X + h / 2 * k1)
            k3 = V(X + h / 2 * k2)
            k4 = V(X + h * k3)
            X = X + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return X


def on_path(_: str, quantity: str, depth: int) -> Row:
    """One pair (A, b) along a path that jumps and flows: derivatives at random pairs, and the bound."""
    theta = Balls(feedforward([2, 2]), RADIUS, RADIUS).draw(ASCENTS, seed=1)
    field = controlled.layer(TANH, RADIUS, RADIUS, 2)
    pieces = []
    for kind, size in PATH:
        pieces += [controlled.jump(field, size)] if kind == "jump" else controlled.flow(field, size)
    upper = chosen(controlled.bound(pieces, INPUT.norm()[None]), quantity)
    if quantity == "gradient":
        return {"lower": float(torch.linalg.matrix_norm(vmap(jacrev(path_end))(theta), 2).max()), "upper": upper}
    second = vmap(jacrev(jacrev(path_end)))(theta)
    angle = torch.arange(0, math.pi, 0.05, dtype=torch.float64)
    along = torch.einsum("em,rmij->reij", torch.stack([angle.cos(), angle.sin()], 1), second)
    return {"lower": float(torch.linalg.matrix_norm(along, 2).max()), "upper": upper}


def jumps_alone(_: str, quantity: str, depth: int) -> Row:
    """The bound of n jumps of 1/n, and that of the flow, extrapolated from two numbers of cells."""
    field = controlled.layer(TANH, RADIUS, RADIUS, 1)
    upper = chosen(controlled.bound([controlled.jump(field, 1 / depth)] * depth, SCALAR), quantity)
    return {"upper": upper, "limit": flow_bound(quantity)}


@cache
def flow_bound(quantity: str) -> float:
    """2 b(2m) − b(m) of the bound b(m) with m cells, whose error is of order 1/m."""
    field = controlled.layer(TANH, RADIUS, RADIUS, 1)
    coarse, fine = (chosen(controlled.bound(controlled.flow(field, 1.0, m), SCALAR), quantity) for m in (2000, 4000))
    return 2 * fine - coarse


@cache
def curve(seed: int) -> Curve:
    """Random weights in two dimensions, contracting in one direction."""
    drawn = flow_problem().metric.draw(seed)
    K = drawn.K.clone()
    K[0, 0, 0] -= 2.0
    return Curve(drawn.basis, K, drawn.b, drawn.W, drawn.c)


@cache
def flow_problem() -> Problem:
    return Problem(data.ring(), activation=TANH, loss="softmax")


@cache
def steepest(seed: int) -> Tensor:
    """Inputs where ascents at the coarsest depth have met the largest Jacobians."""
    problem = flow_problem()
    return inputs.climb(problem, curve(seed).sample(CURVE_DEPTHS[0]), problem.data.x, radius=2.0)


def in_input(case: str, _: str, depth: int) -> Row:
    """x ↦ X_n: the largest Jacobian where ascents have led, the bound layer by layer, the product, the flow's."""
    problem, seed = flow_problem(), int(case.split()[-1])
    layers: Layers = curve(seed).sample(depth)
    lower = float(inputs.sampled(problem, layers, steepest(seed)).max())
    upper, product = inputs.steps(TANH, layers), inputs.product(TANH, layers)
    return {"lower": lower, "upper": upper, "uniform": product, "limit": inputs.flow(TANH, curve(seed))}


DERIVED = "derived here"
AFTER = "derived here, after Herrera, Krach & Teichmann 2020"
ROOM = 0.05  # of a fitted order, for the next term
SETTLING = 5.0  # times 1/n, relative, of what ascents find: a growth as √n would be more
LAST = 4  # depths that an order is fitted to


def rate(rows: pd.DataFrame, gap: pd.Series) -> float:
    """The order in depth of a gap, at its last depths."""
    last = gap.dropna().abs().iloc[-LAST:]
    return order(rows["depth"][last.index], last, np.full(len(last), ROUNDING)).slope


def claims(table: pd.DataFrame) -> list[Claim]:
    """Bounds that nothing tried passes, equalities, and how they depend on depth."""

    def of(part: str, quantity: str = "") -> pd.DataFrame:
        rows = table[(table["part"] == part) & ((table["quantity"] == quantity) | (quantity == ""))]
        return rows.sort_values("depth")

    why = doubts(table, "row", trusted=("bounded",))
    found = []

    def most(name: str, statement: str, what: str, observed: float, source: str = AFTER) -> None:
        wrong = "one norm above its bound"
        found.append(Claim(name, statement, source, what, 1.0, observed, ROUNDING, wrong, why, "≤"))

    def equal(name: str, statement: str, what: str, to: float, observed: float, room: float, wrong: str) -> None:
        found.append(Claim(name, statement, DERIVED, what, to, observed, room, wrong, why))

    forward, exact_ = of("feed-forward"), of("exact")
    drawn = largest(forward["draws"] / forward["upper"])
    deep = f"feed-forward networks of {min(LENGTHS)} to {max(LENGTHS)} layers"
    most("L1.1", f"no random draw violates D or H of {deep}", f"largest norm / bound, {DRAWS} draws each", drawn)
    climbed_ = largest(forward["ratio"])
    most("L1.2", f"no ascent violates D or H of {deep}", f"largest norm / bound, {ASCENTS} ascents each", climbed_)
    known = exact_[exact_["true"] > 0]
    for name, kind in (("L1.3", "one layer"), ("L1.4", "scalar linear chain")):
        rows = known[known["case"].str.startswith(kind)]
        apart = farthest(pd.concat([rows["upper"] / rows["true"], rows["lower"] / rows["true"]]), 1.0)
        statement, what = f"{kind}: both bounds are attained", "norm where it is attained, and bound, over closed form"
        equal(name, statement, what, 1.0, apart, ROUNDING, "a quotient other than 1")

    nets = of("residual")
    statement = "no ascent violates the bounds of residual networks in L² over depth"
    most("L2.1", statement, "largest norm / bound", largest(nets["ratio"]))
    hessian = of("residual", "Hessian")["lower"].to_numpy()
    statement = "n ‖Hessian‖, the largest that ascents find in the weights themselves, settles as n grows"
    what, settles = "its quotient at the last two depths", SETTLING * (1 / DEPTHS[-2] - 1 / DEPTHS[-1])
    equal("L2.2", statement, what, 1.0, hessian[-1] / hessian[-2], settles, "growth with depth")
    for name, quantity in (("L2.3", "gradient"), ("L2.4", "Hessian")):
        rows = of("bound", quantity)
        slope = rate(rows, rows["upper"].diff())
        statement = f"the bound of the {quantity} of residual networks in L² converges as n → ∞"
        equal(name, statement, "order of its differences", 1.0, slope, ROOM, "growth with depth, or another order")
    quotients = of("bound")["upper"] / of("bound")["uniform"]
    statement = "the bounds in L² stay below those that Gronwall's inequality gives for every depth"
    most("L2.10", statement, "largest quotient", largest(quotients), DERIVED)
    rows = of("curve")
    slope = rate(rows, rows["lower"].diff())
    statement = "n ‖Hessian‖ converges along the samples of a smooth curve"
    equal("L2.5", statement, "order of its differences", 1.0, slope, ROOM, "another order, or no convergence")

    path = of("controlled")
    statement = "no draw violates the bounds of a controlled ODE that jumps and flows"
    most("L2.6", statement, "largest norm / bound", largest(path["ratio"]))
    slopes = [rate(rows, rows["upper"] - rows["limit"]) for _, rows in of("jumps").groupby("quantity")]
    statement = "the bounds of n jumps, a residual network, tend to those of the flow, its ODE"
    equal("L2.7", statement, "order, farthest", 1.0, farthest(slopes, 1.0), ROOM, "another order, or another limit")
    maps = of("input")
    quotients = pd.concat([maps["lower"] / maps["upper"], maps["upper"] / maps["uniform"]])
    statement = "in the input: sampled Jacobians ≤ bound layer by layer ≤ product of norms"
    most("L2.8", statement, "largest quotient", largest(quotients), DERIVED)
    slopes = [rate(rows, rows["upper"] - rows["limit"]) for _, rows in maps.groupby("case")]
    statement = "in the input: the bound layer by layer tends to the one by logarithmic norms of the flow"
    equal("L2.9", statement, "order, farthest", 1.0, farthest(slopes, 1.0), ROOM, "another order, or another limit")
    return found


def main(save: str = "lipschitz") -> None:
    """The table, the claims and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    draw(table, save)


def draw(table: pd.DataFrame, save: str) -> None:
    """Residual networks, feed-forward ones, where draws were made as well, and the maps of the input."""
    columns: dict[str, Any] = {"x": "depth", "y": ["lower", "upper"], "by": "panel"}
    labels = {"lower": "found by ascents", "upper": "bound", "y": "norm over the parameters"}
    nets = table[table["part"].isin(["residual", "bound"])]
    shown = nets.assign(panel="residual in L²: " + nets["quantity"])
    words = labels | {"uniform": "bound for every depth"}
    plot.curves(shown, **columns, lines=["uniform"], labels=words, save=save)
    forward = table[table["part"] == "feed-forward"]
    shown = forward.assign(panel="feed-forward: " + forward["quantity"])
    words = labels | {"depth": "layers l", "lower": "found by draws and ascents"}
    plot.curves(shown, **columns, labels=words, logx=None, save=f"{save}_forward")
    maps = table[table["part"] == "input"]
    shown = maps.assign(panel="x ↦ Xₙ, " + maps["case"])
    words = labels | {"uniform": "product of norms", "limit": "bound of the flow", "y": "norm of the Jacobian in x"}
    words["upper"] = "bound layer by layer"
    plot.curves(shown, **columns, lines=["uniform", "limit"], labels=words, save=f"{save}_input")


if __name__ == "__main__":
    study.run(main, globals())

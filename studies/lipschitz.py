"""How sharp are bounds of the Lipschitz constants of a network and of its gradient, and do they depend on depth?

After Herrera, Krach & Teichmann (2020), who bound feed-forward networks and controlled ODEs in their parameters, over a
bounded set of these. The bounds here are derived in `lipschitz.bounds`, `controlled`, `objective`, `sobolev` and
`inputs`; below each stands the largest norm that random draws and gradient ascents have found, lower ≤ true ≤ upper:

- feed-forward    of l layers, and with a loss on top: never violated;
- exact           where the true constant is known, the bound is it: one layer, linear chains, jumps and maps;
- residual        in L²(0, 1) over depth neither the bounds nor what ascents find depend on depth n: in the weights
                  themselves n ‖Hessian‖ is bounded, and converges at order 1 along a fixed curve of weights;
- controlled ODE  dX = V dA: of n jumps it is a residual network, and tends to that of the flow at order 1;
- H¹              of ∇E_n and ∇²E_n in the coordinates of the regulariser: never violated, and far from sharp;
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

from deeplimit import Curve, Data, Layers, Problem, activation, data, lipschitz, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.compare import order
from deeplimit.control import Weights
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import DataTerm
from deeplimit.lipschitz import Balls, Objective, ascent, controlled, feedforward, inputs, residual, sobolev
from deeplimit.lipschitz.bounds import residual_uniform
from deeplimit.lipschitz.chain import parameters
from deeplimit.loss import Loss, get
from deeplimit.sweep import EULER, Flow

LENGTHS = [1, 2, 3, 4, 6]  # layers of the feed-forward networks
WIDTH = 3
RADIUS = 1.0  # of the matrices and biases
DRAWS = 10_000
ASCENTS = 200  # half of them from equal layers where the network is residual, as half of the draws
STEPS = 60
DEPTHS = [10, 40, 160]  # of the residual networks that are drawn and climbed
CURVE_DEPTHS = [2**m for m in range(4, 12)]
FLOW_CELLS = [2000, 4000]  # of the bound of a flow, extrapolated; the second is twice the first
SEEDS = [0, 1, 2]  # of the curves of weights whose flow maps are bounded in the input
NEAR = [1e-6, 1e-2]  # radii in the coordinates u of E_n
NEAR_DEPTHS = [4, 16]

QUICK = {
    "DRAWS": 100,
    "ASCENTS": 8,
    "STEPS": 8,
    "DEPTHS": [10, 20],
    "CURVE_DEPTHS": [2**m for m in range(4, 10)],
    "FLOW_CELLS": [500, 1000],
    "SEEDS": [0],
    "NEAR_DEPTHS": [4],
}
TANH = activation.get("tanh")
INPUTS = {1: [0.8], 2: [0.6, 0.8]}  # of the networks, by their width
SCALAR, INPUT = (torch.tensor(x, dtype=torch.float64) for x in INPUTS.values())
B = 1.5  # of the linear scalar cases
ROUNDING = 1e-12
CHUNK = 1000  # points that are differentiated at once
POWERS = 6  # iterations for the norm of a Hessian that is not formed
PATH = [("flow", 0.5), ("jump", 0.5), ("flow", 0.3), ("jump", 0.2)]  # of a controlled ODE, with variations
CELLS = 8  # of the method of order 4 on a piece of flow
FAR = 2.0  # radius of the inputs of flow maps
LOSSES = {"squared": 1, "logistic": 1, "softmax": 2}  # and the outputs that they want
LINE = ["part", "case", "quantity", "depth", "lower", "true", "upper", "ratio", "status"]

Row = dict[str, Any]
BOTH = ("gradient", "Hessian")


def points() -> Iterator[tuple[str, str, str, int]]:
    """Part, case, quantity and number of layers of every row."""
    yield from (("feed-forward", f"tanh, width {WIDTH}", q, n) for q in BOTH for n in LENGTHS)
    yield from (("exact", case, q, n) for case, n, quantities in exact_cases() for q in quantities)
    yield from (("loss", f"{name}, {kind}", q, n) for name in LOSSES for kind, n in NETS.items() for q in BOTH)
    yield from (("residual", case, q, n) for case in WIDTHS for q in BOTH for n in DEPTHS)
    yield from (("bound", "d = 1", q, n) for q in BOTH for n in CURVE_DEPTHS)
    yield from (("curve", "K = cos t, b = −cos t", "Hessian", n) for n in CURVE_DEPTHS)
    yield from (("controlled", "two jumps between flows", q, len(PATH)) for q in BOTH)
    yield from (("jumps", "equal layers", q, n) for q in BOTH for n in CURVE_DEPTHS)
    yield from (
        ("H¹", f"{case}, r = {r:g}", q, n) for case in ENERGIES for r in NEAR for q in ORDERS for n in NEAR_DEPTHS
    )
    yield from (("input", case, "flow map", n) for case in flow_cases() for n in DEPTHS)
    yield from (("flow", case, "flow map", n) for case in flow_cases() for n in CURVE_DEPTHS)


NETS = {"feed-forward": 2, "residual": 10}  # layers of the networks with a loss
WIDTHS = {"d = 1": 1, "d = 2": 2}
ENERGIES = {
    "scalar": Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "ring": Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean"),
}
ORDERS = ("Hessian", "third derivative")


def exact_cases() -> list[tuple[str, int, tuple[str, ...]]]:
    """Networks whose suprema are known, their layers, and of which derivatives."""
    found = [("one layer, tanh", 1, BOTH), ("one layer, arctan", 1, BOTH), ("linear layer, squared loss", 1, BOTH)]
    found += [("scalar linear chain", n, BOTH) for n in range(1, 7)]
    found += [(case, n, BOTH) for case in ("scalar linear residual", "scalar linear jumps") for n in DEPTHS]
    return [*found, *(("contraction in the input", n, ("flow map",)) for n in DEPTHS)]


def flow_cases() -> list[str]:
    """Curves of weights in two dimensions, and one in three."""
    return [*(f"d = 2, seed {seed}" for seed in SEEDS), f"d = 3, seed {SEEDS[0]}"]


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, quantity, depth = list(points())[row]
    functions: dict[str, Callable[[str, str, int], Row]] = {
        "feed-forward": climbed,
        "exact": exact,
        "loss": with_loss,
        "residual": climbed_residual,
        "bound": bound_alone,
        "curve": along_curve,
        "controlled": on_path,
        "jumps": jumps_alone,
        "H¹": in_h1,
        "input": in_input,
        "flow": of_flow,
    }
    found = {"draws": math.nan, "ascents": math.nan, "true": math.nan} | functions[part](case, quantity, depth)
    found["ratio"] = found.get("lower", math.nan) / found["upper"] if found["upper"] > 0 else math.nan
    return {"part": part, "case": case, "quantity": quantity, "depth": depth, "status": "bounded"} | found


def chosen(found: Any, quantity: str) -> float:
    """The bound of ∂z/∂θ or of ∂²z/∂θ²."""
    return float(found.first if quantity == "gradient" else found.second)


def tried(
    z: ascent.Function, project: ascent.Projection, draws: Tensor, starts: Tensor, quantity: str, exact: bool = False
) -> Row:
    """The largest norms of derivatives of z at random points, and where ascents from others lead."""
    if quantity == "Hessian":
        drawn = [ascent.second(z, p) if exact else ascent.powers(z, p, POWERS) for p in draws.split(CHUNK)]
        ascents = ascent.climb_second(z, project, starts, STEPS).largest
    else:
        drawn = [ascent.first(z, p) for p in draws.split(CHUNK)]
        ascents = ascent.climb_first(z, project, starts, STEPS).largest
    most = max(float(norms.max()) for norms in drawn)
    return {"draws": most, "ascents": ascents, "lower": max(most, ascents)}


def climbed(_: str, quantity: str, depth: int) -> Row:
    """A feed-forward network with one output: draws, ascents and the bound; of one layer the supremum is known."""
    region = Balls(feedforward([2, *[WIDTH] * (depth - 1), 1], TANH, TANH), RADIUS, RADIUS)
    z = ascent.output(region.chain, INPUT)
    found = tried(z, region.project, region.draw(DRAWS, 1), region.draw(ASCENTS, 2), quantity, exact=True)
    known = {"true": one_layer("tanh", quantity)[0]} if depth == 1 else {}
    return found | known | {"upper": chosen(lipschitz.bound(region, INPUT[None]), quantity)}


def one_layer(name: str, quantity: str) -> tuple[float, float]:
    """sup ‖∂z‖ = √(1 + |x|²) or sup ‖∂²z‖ = sup |σ''| (1 + |x|²), and the bias where it is attained, with A = 0."""
    squared = 1 + float(INPUT.square().sum())
    if quantity == "gradient":
        return math.sqrt(squared), 0.0
    steepest = {"tanh": math.atanh(1 / math.sqrt(3)), "arctan": 1 / math.sqrt(3)}[name]
    return {"tanh": 4 / (3 * math.sqrt(3)), "arctan": 3 * math.sqrt(3) / 8}[name] * squared, steepest


def exact(case: str, quantity: str, depth: int) -> Row:
    """The supremum in closed form, and its bound; `lower` is the norm at a point where it is attained."""
    if case == "contraction in the input":
        return exact_map(depth)
    if case == "linear layer, squared loss":
        return exact_loss(quantity)
    if case == "scalar linear jumps":
        return exact_jumps(quantity, depth)
    if case.startswith("one layer"):
        name = case.split()[-1]
        true, bias = one_layer(name, quantity)
        chain, x, theta = feedforward([2, 1], last=name), INPUT, torch.tensor([[0.0, 0.0, bias]], dtype=torch.float64)
        region = Balls(chain, RADIUS, RADIUS)
    else:
        x, skip = SCALAR, case == "scalar linear residual"
        chain = (
            residual(depth, 1, None, "identity", False)
            if skip
            else feedforward([1] * (depth + 1), "identity", bias=False)
        )
        region, h = Balls(chain, B, 0.0), 1 / depth if skip else 1.0
        theta = torch.full((1, depth), B * math.sqrt(h), dtype=torch.float64)
        factor = skip + h * B  # of a layer; ∂z/∂θ_i = √h |x| factor^(n−1), ∂²z/∂θ_i∂θ_j = h |x| factor^(n−2)
        powers = {"gradient": math.sqrt(h * depth) * factor ** (depth - 1)}
        true = float(x) * (powers | {"Hessian": h * (depth - 1) * factor ** (depth - 2)})[quantity]
    norm = (ascent.first if quantity == "gradient" else ascent.second)(ascent.output(chain, x), theta)
    return {"lower": float(norm), "true": true, "upper": chosen(lipschitz.bound(region, x[None]), quantity)}


def exact_loss(quantity: str) -> Row:
    """Φ = (a·x + b − y)²: |∇Φ| = 2 (r |x| + r + |y|) √(1 + |x|²) at the edge, ‖∇²Φ‖ = 2 (1 + |x|²) everywhere."""
    r, size, y = RADIUS, float(INPUT.norm()), 0.5
    one = Objective(feedforward([2, 1]), Data(INPUT[None], torch.tensor([[y]], dtype=torch.float64)), get("squared"))
    theta = -r * torch.cat([INPUT / size, torch.ones(1, dtype=torch.float64)])[None]
    constants = one.constants(Balls(one.chain, r, r))
    if quantity == "gradient":
        true = 2 * (r * size + r + y) * math.hypot(1, size)
        return {"lower": float(ascent.first(one.values, theta)), "true": true, "upper": constants.value}
    return {"lower": float(ascent.second(one.values, theta)), "true": 2 * (1 + size**2), "upper": constants.gradient}


def exact_jumps(quantity: str, depth: int) -> Row:
    """X = x (1 + θ/n)^n with |θ| ≤ B, as n jumps of the field V = θ x: its derivatives in θ are largest at B."""
    x = float(SCALAR)
    field = controlled.Field(0.0, B, math.inf, lambda beta: controlled.Derivatives(x=B, theta=beta, x_theta=1.0))
    found = controlled.bound([controlled.jump(field, 1 / depth)] * depth, SCALAR)
    factor = 1 + B / depth
    true = x * {"gradient": factor ** (depth - 1), "Hessian": (1 - 1 / depth) * factor ** (depth - 2)}[quantity]
    norm = ascent.first if quantity == "gradient" else ascent.second
    lower = norm(lambda theta: x * (1 + theta / depth) ** depth, torch.tensor([[B]], dtype=torch.float64))
    return {"lower": float(lower), "true": true, "upper": chosen(found, quantity)}


def exact_map(depth: int) -> Row:
    """X_n = (1 − k/n)^n x: the bound layer by layer sees the contraction, the product of norms does not."""
    k = B / 2
    sigma = activation.get("identity")
    K, b, W, c = torch.full((depth, 1, 1), -k), torch.zeros(depth, 1), torch.ones(1, 1), torch.zeros(1)
    layers = Layers(K.double(), b.double(), W.double(), c.double())
    problem = Problem(Data(SCALAR[None], SCALAR[None]), activation="identity", loss="squared")
    found = {"upper": inputs.steps(sigma, layers), "uniform": inputs.product(sigma, layers)}
    return found | {"lower": float(inputs.sampled(problem, layers, SCALAR[None])), "true": (1 - k / depth) ** depth}


@cache
def objective(case: str) -> Objective:
    """The loss of a network on a few points: a feed-forward one, or a residual one with a head."""
    name, kind = case.split(", ")
    chain = (
        feedforward([2, WIDTH, LOSSES[name]], TANH) if kind == "feed-forward" else residual(NETS[kind], 2, LOSSES[name])
    )
    few = data.ring(points=6) if name == "softmax" else data.moons(points=6)
    return Objective(chain, Data(few.x, 2 * few.y - 1) if name == "squared" else few, get(name))


def with_loss(case: str, quantity: str, depth: int) -> Row:
    """Draws, ascents and the constants of Φ and ∇Φ."""
    phi = objective(case)
    region = Balls(phi.chain, RADIUS, RADIUS)
    found = tried(phi.values, region.project, *rough_and_alike(region), quantity)
    constants = phi.constants(region)
    return found | {"upper": constants.value if quantity == "gradient" else constants.gradient}


def rough_and_alike(region: Balls) -> tuple[Tensor, Tensor]:
    """Points to draw and to climb from, half of each with equal layers where layers are of one kind."""
    drawn, starts = (
        torch.cat([region.draw(count - count // 2, seed), region.draw(count // 2, seed + 1, alike=True)])
        for count, seed in ((DRAWS, 1), (ASCENTS, 3))
    )
    return drawn, starts


def climbed_residual(case: str, quantity: str, depth: int) -> Row:
    """A residual network in L² over depth: draws and ascents from rough and from equal layers, and the bounds."""
    width = WIDTHS[case]
    region = Balls(residual(depth, width, activation=TANH), RADIUS, RADIUS)
    z = ascent.output(region.chain, torch.tensor(INPUTS[width], dtype=torch.float64))
    return tried(z, region.project, *rough_and_alike(region), quantity) | bound_alone(case, quantity, depth)


def bound_alone(case: str, quantity: str, depth: int) -> Row:
    """Its bound, and the one by Gronwall's inequality that holds for every depth."""
    width = WIDTHS[case]
    x = torch.tensor([INPUTS[width]], dtype=torch.float64)
    found = lipschitz.bound(Balls(residual(depth, width, activation=TANH), RADIUS, RADIUS), x)
    uniform = residual_uniform(TANH, RADIUS, float(x.norm()) + math.sqrt(width))  # |x_i| ≤ |x| + √d sup |tanh|
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
    upper = bound_alone("d = 1", quantity, depth)["upper"]
    return {"lower": depth * abs(float(value[0])), "upper": upper}


def path_end(theta: Tensor) -> Tensor:
    """X(1) (R, 2) of dX = tanh(A X + b) du along the path, θ = (A, b) (R, 6); flows by Kutta's method of order 4."""
    A, b = theta[:, :4].unflatten(1, (2, 2)), theta[:, 4:]

    def V(X: Tensor) -> Tensor:
        return torch.tanh((A @ X[:, :, None])[:, :, 0] + b)

    X = INPUT.expand(len(theta), -1)
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
    """One pair (A, b) along a path that jumps and flows: draws, ascents, the bound, and that by the variation alone."""
    region = Balls(feedforward([2, 2]), RADIUS, RADIUS)
    field = controlled.layer(TANH, RADIUS, RADIUS, 2)
    pieces = []
    for kind, size in PATH:
        pieces += [controlled.jump(field, size)] if kind == "jump" else controlled.flow(field, size)
    start = INPUT.norm()[None]
    alone = controlled.exponential(field, sum(size for _, size in PATH), start)
    found = {"upper": chosen(controlled.bound(pieces, start), quantity), "uniform": chosen(alone, quantity)}
    return found | tried(path_end, region.project, region.draw(DRAWS, 1), region.draw(ASCENTS, 2), quantity)


def jumps_alone(_: str, quantity: str, depth: int) -> Row:
    """The bound of n jumps of 1/n, and that of the flow, extrapolated from two numbers of cells."""
    field = controlled.layer(TANH, RADIUS, RADIUS, 1)
    upper = chosen(controlled.bound([controlled.jump(field, 1 / depth)] * depth, SCALAR), quantity)
    return {"upper": upper, "limit": flow_bound(quantity)}


@cache
def flow_bound(quantity: str) -> float:
    """2 b(2m) − b(m) of the bound b(m) with m cells, whose error is of order 1/m."""
    field = controlled.layer(TANH, RADIUS, RADIUS, 1)
    coarse, fine = (chosen(controlled.bound(controlled.flow(field, 1.0, m), SCALAR), quantity) for m in FLOW_CELLS)
    return 2 * fine - coarse


def energy(problem: Problem, depth: int) -> ascent.Function:
    """u (R, N) ↦ E_n (R, 1): the network of the package with its head as a chain, and |u|²."""
    chain = residual(depth, problem.width, problem.outputs, problem.activation)
    coordinates = LayerCoordinates(problem.metric, depth)
    change = torch.stack([parameters(chain, coordinates.control(e)) for e in np.eye(coordinates.size)])
    phi = Objective(chain, problem.data, problem.loss, problem.reduction)
    return lambda u: phi.values(u @ change) + u.square().sum(1, keepdim=True)


def ball(centre: Tensor, radius: float) -> tuple[ascent.Projection, Tensor, Tensor]:
    """The projection onto |v − centre| ≤ radius, and points in it: half of them on its edge."""

    def project(v: Tensor) -> Tensor:
        away = v - centre
        return centre + away * (radius / away.norm(dim=1, keepdim=True).clamp(min=1e-300)).clamp(max=1.0)

    def draw(count: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        away = torch.randn(count, len(centre), generator=generator, dtype=torch.float64)
        length = torch.rand(count, 1, generator=generator, dtype=torch.float64)
        length[::2] = 1.0
        return centre + radius * length * ascent.unit(away)

    return project, draw(DRAWS, 1), draw(ASCENTS, 2)


def in_h1(case: str, quantity: str, depth: int) -> Row:
    """E_n near the samples of a random curve: constants of ∇E_n and ∇²E_n, and what is found over the ball.

    Ascents are in the directions as well as in u for the Hessian, in the directions alone for a third derivative.
    """
    name, radius = case.split(", r = ")
    problem, r = ENERGIES[name], float(radius)
    layers = problem.metric.draw(SEEDS[0]).sample(depth)
    E, u = energy(problem, depth), torch.as_tensor(LayerCoordinates(problem.metric, depth).vector(layers))
    project, draws, starts = ball(u, r)
    if quantity == "Hessian":
        return tried(E, project, draws, starts, quantity) | {"upper": sobolev.gradient_constant(problem, layers, r)}
    drawn = max(float(ascent.third(E, part, POWERS).max()) for part in draws.split(CHUNK))
    ascents = float(ascent.third(E, starts, STEPS).max())
    found = {"draws": drawn, "ascents": ascents, "lower": max(drawn, ascents)}
    return found | {"upper": sobolev.hessian_constant(problem, layers, r)}


@cache
def curve(case: str) -> Curve:
    """Random weights, contracting in one direction."""
    drawn = flow_problem(case).metric.draw(int(case.split()[-1]))
    K = drawn.K.clone()
    K[0, 0, 0] -= 2.0
    return Curve(drawn.basis, K, drawn.b, drawn.W, drawn.c)


@cache
def flow_problem(case: str) -> Problem:
    """The problem whose minimiser makes the flow of a case."""
    points = data.ring() if case.startswith("d = 2") else data.iris(features=3)
    return Problem(points, activation=TANH, loss="softmax")


@cache
def steepest(case: str) -> Tensor:
    """Inputs where ascents at the coarsest depth have met the largest Jacobians."""
    problem = flow_problem(case)
    _, _, starts = ball(torch.zeros(problem.width, dtype=torch.float64), FAR)
    return inputs.climb(problem, curve(case).sample(CURVE_DEPTHS[0]), starts, radius=FAR, iterations=STEPS)


def in_input(case: str, quantity: str, depth: int) -> Row:
    """x ↦ X_n over |x| ≤ FAR: draws, ascents, the bound layer by layer and the product."""
    problem, layers = flow_problem(case), curve(case).sample(depth)
    _, draws, starts = ball(torch.zeros(problem.width, dtype=torch.float64), FAR)
    drawn = float(inputs.sampled(problem, layers, draws).max())
    ends = inputs.climb(problem, layers, starts, radius=FAR, iterations=STEPS)
    ascents = float(inputs.sampled(problem, layers, ends).max())
    return {"draws": drawn, "ascents": ascents, "lower": max(drawn, ascents)} | in_depth(case, layers)


def in_depth(case: str, layers: Layers) -> Row:
    """The bound layer by layer, the product of norms, and the bound of the flow."""
    found = {"upper": inputs.steps(TANH, layers), "uniform": inputs.product(TANH, layers)}
    return found | {"limit": inputs.flow(TANH, curve(case))}


def of_flow(case: str, _: str, depth: int) -> Row:
    """x ↦ X_n as n grows, at the inputs where ascents at the coarsest depth have led."""
    layers = curve(case).sample(depth)
    lower = float(inputs.sampled(flow_problem(case), layers, steepest(case)).max())
    return {"lower": lower} | in_depth(case, layers)


DERIVED = "derived here"
AFTER = "derived here, after Herrera, Krach & Teichmann 2020"
ROOM = 0.05  # of a fitted order, for the next term
SETTLING = 5.0  # times 1/n, relative, of what ascents find: a growth as √n would be more
LAST = 4  # depths that an order is fitted to
TRIED = {  # by part: the claims on draws and on ascents, and what has the bounds
    "loss": ("L1.9", "L1.10", "networks with a squared, logistic or softmax loss"),
    "H¹": ("L1.11", "L1.12", "∇E_n and ∇²E_n in H¹ coordinates"),
    "residual": ("L2.11", "L2.1", "residual networks in L² over depth"),
    "controlled": ("L2.6", "L2.12", "a controlled ODE that jumps and flows"),
    "input": ("L2.13", "L2.14", "residual networks in their input"),
}
ATTAINED = {
    "L1.3": "one layer",
    "L1.4": "scalar linear chain",
    "L1.5": "scalar linear residual",
    "L1.6": "linear layer, squared loss",
    "L1.7": "scalar linear jumps",
    "L1.8": "contraction in the input",
}


def rate(rows: pd.DataFrame, gap: pd.Series) -> float:
    """The order in depth of a gap, at its last depths."""
    last = gap.dropna().abs().iloc[-LAST:]
    return order(rows["depth"][last.index], last, np.full(len(last), ROUNDING)).slope


def claims(table: pd.DataFrame) -> list[Claim]:
    """Bounds that nothing tried passes, equalities, and how they depend on depth."""
    why = doubts(table, "row", trusted=("bounded",))
    return [*never_violated(table, why), *attained(table, why), *in_depth_claims(table, why)]


def of(table: pd.DataFrame, part: str, quantity: str = "") -> pd.DataFrame:
    """Rows of a part, and of a quantity, by depth."""
    rows = table[(table["part"] == part) & ((table["quantity"] == quantity) | (quantity == ""))]
    return rows.sort_values("depth")


def at_most_one(name: str, statement: str, what: str, quotients: pd.Series, why: tuple[str, ...]) -> Claim:
    """The claim that no norm found is above its bound."""
    wrong = "one norm above its bound"
    return Claim(name, statement, AFTER, what, 1.0, largest(quotients), ROUNDING, wrong, why, "≤")


def never_violated(table: pd.DataFrame, why: tuple[str, ...]) -> list[Claim]:
    """No draw and no ascent lies above a bound, for every part; feed-forward networks by their number of layers."""
    words = (("draws", "draw", f"{DRAWS} draws"), ("ascents", "ascent", f"{ASCENTS} ascents"))
    found = []
    for length in LENGTHS:
        rows = of(table, "feed-forward")
        rows = rows[rows["depth"] == length]
        deep = f"feed-forward networks of {length} layer{'s' * (length > 1)}"
        for k, (column, what, how) in enumerate(words, start=1):
            statement, quantity = f"no {what} violates D or H of {deep}", f"largest norm / bound, {how} each"
            found.append(at_most_one(f"L1.{k}.{length}", statement, quantity, rows[column] / rows["upper"], why))
    for part, (*names, which) in TRIED.items():
        rows = of(table, part)
        for name, (column, what, how) in zip(names, words, strict=True):
            statement, quantity = f"no {what} violates the bounds of {which}", f"largest norm / bound, {how} each"
            found.append(at_most_one(name, statement, quantity, rows[column] / rows["upper"], why))
    return found


def attained(table: pd.DataFrame, why: tuple[str, ...]) -> list[Claim]:
    """Bounds that are the supremum."""
    rows, found = of(table, "exact"), []
    for name, kind in ATTAINED.items():
        known = rows[rows["case"].str.startswith(kind) & (rows["true"] > 0)]
        apart = farthest(pd.concat([known["upper"] / known["true"], known["lower"] / known["true"]]), 1.0)
        statement, what = f"{kind}: the bounds are attained", "norm where it is attained, and bound, over closed form"
        wrong = "a quotient other than 1"
        found.append(Claim(name, statement, DERIVED, what, 1.0, apart, ROUNDING, wrong, why))
    return found


def in_depth_claims(table: pd.DataFrame, why: tuple[str, ...]) -> list[Claim]:
    """What does not depend on depth, or tends to a limit at order 1."""
    found = []

    def equal(name: str, statement: str, what: str, observed: float, room: float, wrong: str) -> None:
        found.append(Claim(name, statement, DERIVED, what, 1.0, observed, room, wrong, why))

    statement = "n ‖Hessian‖, the largest that ascents find in the weights themselves, settles as n grows"
    what, settles = "its quotient at the last two depths, farthest", SETTLING * (1 / DEPTHS[-2] - 1 / DEPTHS[-1])
    nets = [rows["lower"].to_numpy() for _, rows in of(table, "residual", "Hessian").groupby("case")]
    equal("L2.2", statement, what, farthest([H[-1] / H[-2] for H in nets], 1.0), settles, "growth with depth")
    for name, quantity in (("L2.3", "gradient"), ("L2.4", "Hessian")):
        rows = of(table, "bound", quantity)
        statement = f"the bound of the {quantity} of residual networks in L² converges as n → ∞"
        wrong = "growth with depth, or another order"
        equal(name, statement, "order of its differences", rate(rows, rows["upper"].diff()), ROOM, wrong)
    rows = of(table, "curve")
    slope, wrong = rate(rows, rows["lower"].diff()), "another order, or no convergence"
    statement = "n ‖Hessian‖ converges along the samples of a smooth curve"
    equal("L2.5", statement, "order of its differences", slope, ROOM, wrong)
    wrong = "another order, or another limit"
    slopes = [rate(rows, rows["upper"] - rows["limit"]) for _, rows in of(table, "jumps").groupby("quantity")]
    statement = "the bounds of n jumps, a residual network, tend to those of the flow, its ODE"
    equal("L2.7", statement, "order, farthest", farthest(slopes, 1.0), ROOM, wrong)
    maps = pd.concat([of(table, "input"), of(table, "flow")])
    quotients = pd.concat([maps["lower"] / maps["upper"], maps["upper"] / maps["uniform"]])
    statement = "in the input: largest Jacobians found ≤ bound layer by layer ≤ product of norms"
    found.append(at_most_one("L2.8", statement, "largest quotient", quotients, why))
    slopes = [rate(rows, rows["upper"] - rows["limit"]) for _, rows in of(table, "flow").groupby("case")]
    statement = "in the input: the bound layer by layer tends to the one by logarithmic norms of the flow"
    equal("L2.9", statement, "order, farthest", farthest(slopes, 1.0), ROOM, wrong)
    coarse = pd.concat([of(table, part) for part in ("bound", "residual", "controlled")])
    statement = "the bounds layer by layer stay below those that Gronwall's inequality gives for every depth"
    found.append(at_most_one("L2.10", statement, "largest quotient", coarse["upper"] / coarse["uniform"], why))
    return found


def main(save: str = "lipschitz") -> None:
    """The table, the claims and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    draw(table, save)


def draw(table: pd.DataFrame, save: str) -> None:
    """Residual networks, feed-forward ones, those with a loss or in H¹, and the maps of the input."""
    columns: dict[str, Any] = {"x": "depth", "y": ["draws", "ascents", "upper"], "by": "panel", "hollow": ["draws"]}
    labels = {"draws": "largest of random draws", "ascents": "found by ascents", "upper": "bound"}
    labels["y"] = "norm over the parameters"
    nets = table[table["part"].isin(["residual", "bound"])]
    shown = nets.assign(panel="residual, " + nets["case"] + ": " + nets["quantity"])
    words = labels | {"uniform": "bound for every depth"}
    plot.curves(shown, **columns, lines=["uniform"], labels=words, save=save)
    forward = table[table["part"] == "feed-forward"]
    shown = forward.assign(panel="feed-forward: " + forward["quantity"])
    plot.curves(shown, **columns, labels=labels | {"depth": "layers l"}, logx=None, save=f"{save}_forward")
    maps = table[table["part"].isin(["input", "flow"])]
    shown = maps.assign(panel="x ↦ Xₙ, " + maps["case"])
    words = labels | {"uniform": "product of norms", "limit": "bound of the flow", "y": "norm of the Jacobian in x"}
    words["upper"] = "bound layer by layer"
    plot.curves(shown, **columns, lines=["uniform", "limit"], labels=words, save=f"{save}_input")


if __name__ == "__main__":
    study.run(main, globals())

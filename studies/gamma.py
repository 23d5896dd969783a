"""Do the two inequalities of Γ-convergence and the compactness of minimisers hold, and with what rates?

Thorpe & van Gennip, Deep limits of residual neural networks (2023), prove that minimisers converge by Γ-convergence:
E_n at the samples Θ(i/n) tends to E_∞(Θ) for every Θ in H¹ (recovery), no sequence Θ_n → Θ has a smaller limit
(liminf), and E_n(Θ) ≤ E_n(0) bounds Θ in H¹ at every depth (compactness). Each step is measured for given controls:

- forward   max |X_i − X(t_i)| is of order 1 for smooth and for merely H¹ weights, with constant max |e|; the recovery
            gap is of order 1 for smooth weights, but for θ' ~ |t − t₀|^(−0.4) its regulariser falls as n^(−0.2) only;
- Hölder    weights that are merely Hölder of order β give order β where their frequencies and the nodes i/n are in
            resonance (base 2), and order 1 where they are not (base 3);
- liminf    E_n(Θ_n) − E_∞(Θ) tends to 0 along minimisers and almost-minimisers, and to the predicted positive number
            where Θ_n oscillates so that R_n sees it;
- bounds    R_n(Θ at i/n) ≤ R_∞(Θ), and the a-priori bounds, are never violated.

All rates and constants are derived here.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import brentq

from deeplimit import Curve, Data, Layers, Problem, continuum, data, discrete, gamma, irregular, norms, plot, study
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.compare import order
from deeplimit.control import BLOCKS, Basis, Hats, Legendre
from deeplimit.irregular import Power, Waves, Weierstrass
from deeplimit.minimum import Minimum

DEPTHS = [2**m for m in range(4, 15)]
SEED = 1

BETAS = [0.3, 0.5, 0.7]
OCTAVES = 6  # of frequencies above the finest network
HEIGHT = 0.2  # of the Hölder weights: small, so that the error is proportional to what the nodes alias
TANH_DEPTHS = [2**m for m in range(4, 12)]  # the limit is integrated through all oscillations
CELLS = 8  # of that integration, to the shortest period

TRAINED_DEPTHS = [2**m for m in range(4, 11)]
STARTS = 16
AMPLITUDE = 3.0  # a of the sequences that oscillate

DRAWS = 100  # random functions of each kind and depth
DRAW_DEPTHS = [1, 2, 3, 10, 100, 1000]
POINTS = 100  # random points below E_n(0), of each problem and depth
POINT_DEPTHS = [1, 2, 8, 32]

QUICK = {
    "DEPTHS": [2**m for m in range(4, 11)],
    "TANH_DEPTHS": [16, 32, 64, 128, 256],
    "TRAINED_DEPTHS": [16, 32, 64, 128],
    "STARTS": 4,
    "DRAWS": 10,
    "DRAW_DEPTHS": [1, 2, 10, 100],
    "POINTS": 10,
    "POINT_DEPTHS": [1, 2, 16],
}

REFERENCE = data.scalar()
PROBLEMS = {
    "ring": Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean"),
    "scalar": Problem(REFERENCE, loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "scalar, fixed head": Problem(REFERENCE, loss="squared", alpha=0.05, trainable="Kb"),
}
GIVEN = PROBLEMS["ring"]  # for given controls
GIVEN_PARTS = ["forward", "recovery", "data term", "regulariser"]
BASES: dict[str, Basis] = {"smooth": Legendre(6), "merely H¹": Power()}
MINIMISERS = {f"minimisers, {name}": name for name in ("ring", "scalar")}
ALMOST = {"almost minimal to 1/√n": 0.5, "almost minimal to 1/n": 1.0}  # on the scalar problem
SEQUENCES = ["smooth, falling as 1/√n", "alternating", "oscillating"]
SOLVER = 1e-11  # relative error of the adaptive integrator and of rounding, a bound
BLANK = {"predicted": 1.0, "error": 0.0, "status": "given", "limit_status": "given"}
LINE = ["part", "case", "depth", "gap", "predicted", "status"]

Row = dict[str, Any]


@cache
def control(case: str) -> Curve:
    """A polynomial, or a curve with a derivative like |t − 1/3|^(−0.4)."""
    return irregular.random(GIVEN.metric, BASES[case], SEED, decay=2)


def given(part: str, case: str, depth: int) -> Row:
    """The forward error, or the recovery gap and its two parts, with what they are to leading order."""
    curve = control(case)
    if part == "forward":
        gap, predicted = gamma.forward_error(GIVEN, curve, depth), gamma.forward_constant(GIVEN, curve) / depth
    else:
        gaps = {"recovery": gamma.recovery_gap, "regulariser": gamma.regulariser_gap}
        found = {name: gap(GIVEN, curve, depth) for name, gap in gaps.items()}
        leading = {
            "data term": gamma.data_constant(GIVEN, curve) / depth,
            "regulariser": gamma.regulariser_leading(GIVEN, curve, depth),
        }
        found["data term"] = found["recovery"] - found["regulariser"]
        gap, predicted = found[part], leading[part] if part in leading else sum(leading.values())
    return {"gap": gap, "predicted": predicted, "error": SOLVER}


def waves(base: int, finest: int) -> Weierstrass:
    """Frequencies up to at least the given number of octaves above the finest network."""
    return Weierstrass(BETAS, base, 1 + math.ceil((math.log2(finest) + OCTAVES) / math.log2(base)), HEIGHT)


@cache
def limit_states(base: int, cells: int) -> np.ndarray:
    """X' = tanh(K X), X(0) = 1 at the nodes of the finest network: Picard's iteration with the trapezoidal rule."""
    K, X = waves(base, TANH_DEPTHS[-1]).at(np.arange(cells + 1) / cells), np.ones(len(BETAS))
    for _ in range(12):  # the Lipschitz constant is HEIGHT: its 12th power over 12! is below rounding
        X = 1 + cumulative_trapezoid(np.tanh(K * X), dx=1 / cells, axis=0, initial=0)
    return X[:: cells // TANH_DEPTHS[-1]]


@cache
def state_errors(activation: str, base: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """X_i − X(t_i) for each β, X(0) = 1, and the error of X(t_i)."""
    finest = {"identity": DEPTHS, "tanh": TANH_DEPTHS}[activation][-1]
    ones = torch.ones(1, len(BETAS), dtype=torch.float64)
    problem = Problem(Data(ones, 0 * ones), activation=activation, loss="squared")
    X = discrete.states(problem, waves(base, finest).curve().sample(depth))[:, 0].numpy()
    if activation == "identity":
        return X - np.exp(waves(base, finest).integral(np.arange(depth + 1) / depth)), np.full(len(BETAS), SOLVER)
    cells = CELLS * 2**OCTAVES * finest
    limit, coarse = limit_states(base, cells), limit_states(base, cells // 2)
    return X - limit[:: finest // depth], np.abs(limit - coarse).max(0)


def hoelder(case: str, depth: int) -> Row:
    """The largest error of the states, that of the last, and for σ = identity what the last one is to leading order.

    Base 2 and n = 2^m: the frequencies from n on look constant at the nodes, so that X_n = exp(mean of K(i/n)) to
    leading order, where X(1) = exp(0); `tail` is the part of their sum that has terms. Base 3: −∫K²/(2n).
    """
    activation, base, beta = HOELDER[case]
    finest = {"identity": DEPTHS, "tanh": TANH_DEPTHS}[activation][-1]
    k, form = BETAS.index(beta), waves(base, finest)
    errors, error = state_errors(activation, base, depth)
    mean = form.mean(depth)[k]
    tail = mean * depth**beta / HEIGHT if base == 2 else 1.0
    last = math.expm1(mean) if base == 2 else -float((form.amplitudes[:, k] ** 2).sum()) / (4 * depth)
    return {
        "activation": activation,
        "base": base,
        "beta": beta,
        "gap": float(np.abs(errors[:, k]).max()),
        "predicted": HEIGHT * depth**-beta * tail if base == 2 else math.nan,
        "last": float(errors[-1, k]),
        "predicted_last": last if activation == "identity" else math.nan,
        "tail": tail,
        "error": float(error[k]),
    }


HOELDER = {
    f"{activation}, base {base}, β = {beta}": (activation, base, beta)
    for activation in ("identity", "tanh")
    for base in (2, 3)
    for beta in BETAS
}


@cache
def trained(name: str) -> tuple[dict[int, Minimum], Minimum]:
    """The best branch of minimisers by depth, and the minimiser of E_∞ that it leads to."""
    problem = PROBLEMS[name]
    best = discrete.branches(problem, TRAINED_DEPTHS[0], starts=STARTS)[0]
    nets = discrete.branch(problem, TRAINED_DEPTHS, start=best.control)
    return dict(zip(TRAINED_DEPTHS, nets, strict=True)), continuum.minimise(problem, start=nets[-1].control)


def almost(net: Minimum, excess: float) -> Layers:
    """Weights with E_n = min E_n + excess, from the minimiser along a fixed smooth direction."""
    problem, layers = PROBLEMS["scalar"], net.control
    step = irregular.random(problem.metric, Legendre(6), SEED, decay=2).sample(layers.depth)

    def moved(s: float) -> Layers:
        return Layers(*(getattr(layers, k) + s * getattr(step, k) for k in BLOCKS))

    far = math.sqrt((net.value + excess) / gamma.regulariser(problem, step)) + 1  # there the regulariser alone is more
    return moved(brentq(lambda s: discrete.objective(problem, moved(s)) - net.value - excess, 0, 2 * far))


def liminf(case: str, depth: int) -> Row:
    """E_n(Θ_n) − E_∞(Θ) along a sequence with Θ_n → Θ, its limit, and how far Θ_n is from Θ in L²."""
    if case in MINIMISERS or case in ALMOST:
        name = MINIMISERS.get(case, "scalar")
        nets, limit = trained(name)
        net, problem, curve = nets[depth], PROBLEMS[name], limit.control
        layers = net.control if case in MINIMISERS else almost(net, depth ** -ALMOST[case])
        status = {"status": str(net.status), "limit_status": str(limit.status)}
    else:
        problem, curve, status = GIVEN, control("smooth"), {"status": "given"}
        layers = sequence(case, curve, depth)
    gap, samples = gamma.liminf_gap(problem, layers, curve), curve.sample(depth)
    distance = math.hypot(norms.l2(layers, samples), norms.head(layers, samples))
    return {"gap": gap, "predicted": excess(case), "error": SOLVER, "distance": distance, **status}


def sequence(case: str, curve: Curve, depth: int) -> Layers:
    """The samples of a curve, moved."""
    samples = curve.sample(depth)
    if case == "alternating":
        return irregular.alternating(samples, AMPLITUDE)
    if case == "oscillating":
        return irregular.oscillating(samples, AMPLITUDE, round(math.sqrt(depth)))
    step = irregular.random(GIVEN.metric, Legendre(6), SEED + 1, decay=2).sample(depth)
    return Layers(*(getattr(samples, k) + getattr(step, k) / math.sqrt(depth) for k in BLOCKS))


def excess(case: str) -> float:
    """What the regulariser sees of an oscillation, in the limit."""
    return GIVEN.alpha["K"] * AMPLITUDE**2 * {"alternating": 1, "oscillating": 2 * math.pi**2}.get(case, 0)


def jensen(kind: str, depth: int) -> Row:
    """The largest R_n(Θ at i/n)/R_∞(Θ) − 1 over random functions; the piecewise linear ones have corners at i/n.

    For the latter it is the largest difference from −Σ α |θ'(1)|²/n, the cell that the sum leaves out.
    """
    random, worst = np.random.default_rng([SEED, depth]), []
    for seed in range(DRAWS):
        divisors = [m for m in range(1, depth + 1) if depth % m == 0]
        bases: dict[str, Basis] = {
            "polynomials": Legendre(int(random.integers(1, 40))),
            "powers": Power(at=random.uniform(0.01, 0.99), exponent=random.uniform(-0.49, -0.01)),
            "lacunary series": Waves(int(random.integers(1, 20)), int(random.integers(2, 5))),
            "piecewise linear": Hats(int(random.integers(1, 200))),
            "piecewise linear on the nodes": Hats(int(random.choice(divisors))),
        }
        curve = irregular.random(GIVEN.metric, bases[kind], seed, decay=0.6)
        expected = gamma.regulariser_leading(GIVEN, curve, depth) if kind.endswith("nodes") else 0.0
        gap = gamma.regulariser_gap(GIVEN, curve, depth) - expected
        worst.append((abs(gap) if expected else gap) / gamma.regulariser(GIVEN, curve))
    return {"gap": max(worst), "predicted": 0.0, "error": 0.0}


JENSEN = ["polynomials", "powers", "lacunary series", "piecewise linear", "piecewise linear on the nodes"]


def compactness(case: str, depth: int) -> Row:
    """The largest norm over its bound, of a minimiser or of random points with E_n(Θ) ≤ E_n(0)."""
    if case in MINIMISERS:
        net = trained(MINIMISERS[case])[0][depth]
        return {"gap": gamma.compactness(PROBLEMS[MINIMISERS[case]], net.control), "status": str(net.status)}
    problem = PROBLEMS[RANDOM[case]]
    below = [gamma.below(problem, _beginning(RANDOM[case])[depth], seed) for seed in range(POINTS)]
    return {"gap": max(gamma.compactness(problem, layers) for layers in below)}


@cache
def _beginning(name: str) -> dict[int, Layers]:
    """Minimisers below E_n(0), by depth."""
    best = discrete.branches(PROBLEMS[name], POINT_DEPTHS[0], starts=STARTS)[0]
    return {m.control.depth: m.control for m in discrete.branch(PROBLEMS[name], POINT_DEPTHS, start=best.control)}


RANDOM = {f"random points, {name}": name for name in PROBLEMS}


def points() -> Iterator[tuple[str, str, int]]:
    """Part, case and depth of every row."""
    yield from ((part, case, n) for part in GIVEN_PARTS for case in BASES for n in DEPTHS)
    depths = {"identity": DEPTHS, "tanh": TANH_DEPTHS}
    yield from (("Hölder", case, n) for case, form in HOELDER.items() for n in depths[form[0]])
    yield from (("liminf", case, n) for case in [*MINIMISERS, *ALMOST] for n in TRAINED_DEPTHS)
    yield from (("liminf", case, n) for case in SEQUENCES for n in DEPTHS)
    yield from (("Jensen", case, n) for case in JENSEN for n in DRAW_DEPTHS)
    yield from (("compactness", case, n) for case in MINIMISERS for n in TRAINED_DEPTHS)
    yield from (("compactness", case, n) for case in RANDOM for n in POINT_DEPTHS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, depth = list(points())[row]
    parts = {"Hölder": hoelder, "liminf": liminf, "Jensen": jensen, "compactness": compactness}
    found = parts[part](case, depth) if part in parts else given(part, case, depth)
    return BLANK | {"part": part, "case": case, "depth": depth} | found


# What is claimed. Orders are fitted with 0.03 of room for the next term; constants have the next term's power of 1/n.
DERIVED, THEOREM = "derived here", "Thorpe & van Gennip 2023"
AFTER = "derived here, after Thorpe & van Gennip 2023"
ROOM = 0.03
TRUSTED = ("converged", "given")


def rows(table: pd.DataFrame, part: str, case: str) -> pd.DataFrame:
    """The rows of one case, by depth."""
    return table[(table["part"] == part) & (table["case"] == case)].sort_values("depth")


def fitted(group: pd.DataFrame, gap: pd.Series) -> tuple[float, tuple[str, ...]]:
    """The observed order of a gap, and why there is none."""
    found = order(group["depth"], gap, group["error"])
    notes = (found.note,) if math.isnan(found.slope) else ()
    return found.slope, (*notes, *doubts(group, "depth", trusted=TRUSTED))


def quotient(group: pd.DataFrame, gap: str = "gap", predicted: str = "predicted") -> float:
    """Observed over predicted at the deepest network."""
    return float(group[gap].iloc[-1] / group[predicted].iloc[-1])


def claims_given(table: pd.DataFrame) -> list[Claim]:
    """Forward error and recovery gap of given weights."""
    n = int(table.loc[table["part"] == "forward", "depth"].max())
    orders = [
        ("T1.1", "forward", "smooth", 1.0, "the states of a network with smooth weights converge at order 1"),
        ("T1.2", "forward", "merely H¹", 1.0, "the states of a network with merely H¹ weights converge at order 1"),
        ("T1.5", "recovery", "smooth", 1.0, "E_n at the samples of smooth weights tends to E_∞ at order 1"),
        (
            "T1.8",
            "regulariser",
            "merely H¹",
            0.2,
            "for K' ~ |t − t₀|^(−0.4) the regulariser tends to its limit as n^(−0.2)",
        ),
    ]
    constants = [
        (
            "T1.3",
            "forward",
            "smooth",
            10 / n,
            "smooth weights: n × forward error tends to max |e|, e' = D_xf e − X''/2",
        ),
        ("T1.4", "forward", "merely H¹", n**-0.6, "K' ~ |t − t₀|^(−0.4): n × forward error tends to max |e|"),
        ("T1.6", "recovery", "smooth", 10 / n, "smooth weights: n × recovery gap tends to −½ Σ∫ p·X'' − Σ α|θ'(1)|²"),
        (
            "T1.7",
            "data term",
            "merely H¹",
            n**-0.6,
            "merely H¹ weights: n × the data term of the recovery gap tends to Σ g·We(1)",
        ),
        (
            "T1.9",
            "regulariser",
            "merely H¹",
            1 / n,
            "merely H¹ weights: n^0.2 × the regulariser of the recovery gap tends to the sum of Jensen's defects at t₀",
        ),
    ]
    found = []
    for name, part, case, predicted, statement in orders:
        group = rows(table, part, case)
        observed, why = fitted(group, group["gap"])
        wrong = f"an order other than {predicted:g}"
        found.append(Claim(name, statement, DERIVED, "fitted order", predicted, observed, ROOM, wrong, why))
    for name, part, case, tolerance, statement in constants:
        group = rows(table, part, case)
        what, wrong = f"observed / predicted at n = {n}", "a quotient that does not tend to 1"
        why = doubts(group, "depth", trusted=TRUSTED)
        found.append(Claim(name, statement, DERIVED, what, 1.0, quotient(group), tolerance, wrong, why))
    return found


def claims_hoelder(table: pd.DataFrame) -> list[Claim]:
    """Weights that are merely Hölder."""
    part = table[table["part"] == "Hölder"]
    slopes, whys, lasts = {}, {}, {}
    for case, form in HOELDER.items():
        group = rows(part, "Hölder", case)
        slopes[form], whys[form] = fitted(group, group["gap"] / group["tail"])
        lasts[form] = quotient(group, "last", "predicted_last")
    n = int(part["depth"].max())
    found = []
    for k, (activation, base) in enumerate([("identity", 2), ("identity", 3), ("tanh", 2), ("tanh", 3)], start=1):
        forms = [form for form in slopes if form[:2] == (activation, base)]
        excess = [slopes[form] - (form[2] if base == 2 else 1.0) for form in forms]
        statement = {
            2: "frequencies 2^k and n = 2^m: β-Hölder weights give order β",
            3: "frequencies 3^k and n = 2^m: β-Hölder weights give order 1",
        }[base]
        what = f"fitted order − {'β' if base == 2 else '1'}, farthest of β = {', '.join(map(str, BETAS))}"
        why = tuple(dict.fromkeys(w for form in forms for w in whys[form]))
        wrong = "another order"
        found.append(
            Claim(
                f"T2.{k}", f"{statement}, σ = {activation}", DERIVED, what, 0.0, farthest(excess, 0.0), ROOM, wrong, why
            )
        )
    least = min(slopes[form] - form[2] for form in slopes)
    why = tuple(dict.fromkeys(w for form in slopes for w in whys[form]))
    words = "β-Hölder weights give order β at least, whatever the frequencies and σ"
    what, wrong = "smallest fitted order − β", "an order below β"
    found.append(Claim("T2.5", words, DERIVED, what, 0.0, least, ROOM, wrong, why, relation="≥"))
    for k, base, tolerance, words in (
        (
            6,
            2,
            HEIGHT * n ** (max(BETAS) - 1),
            "X_n / X(1) − 1 is exp(mean of K(i/n) − ∫K) − 1: the frequencies that alias",
        ),
        (7, 3, 1 / n, "X_n / X(1) − 1 is −∫K²/(2n): no frequency aliases"),
    ):
        forms = [form for form in lasts if form[:2] == ("identity", base)]
        observed = farthest([lasts[form] for form in forms], 1.0)
        what, wrong = f"observed / predicted at n = {n}", "a quotient that does not tend to 1"
        statement = f"base {base}, σ = identity: to leading order {words}"
        found.append(Claim(f"T2.{k}", statement, DERIVED, what, 1.0, observed, tolerance, wrong))
    return found


def limit(group: pd.DataFrame, power: float) -> tuple[float, float]:
    """What the gap tends to, the term n^(−power) removed by two depths, one four times the other; and the next term."""
    depth, gap = group["depth"].to_numpy(), group["gap"].to_numpy()
    assert depth[-1] == 4 * depth[-3]
    extrapolated = (4**power * gap[-1] - gap[-3]) / (4**power - 1)
    return float(extrapolated), 10 * float(depth[-1]) ** (-power - 0.5)


def claims_liminf(table: pd.DataFrame) -> list[Claim]:
    """Sequences that tend to a control."""
    part = table[table["part"] == "liminf"]
    powers = dict.fromkeys(part["case"].unique(), 1.0) | {case: 0.5 for case in part["case"].unique() if "√" in case}
    limits = {case: limit(rows(part, "liminf", case), power) for case, power in powers.items()}
    whys = {case: doubts(rows(part, "liminf", case), "case", "depth", trusted=TRUSTED) for case in powers}
    statements = [
        ("P2.1", list(MINIMISERS), THEOREM, "min E_n tends to min E_∞"),
        ("P2.3", list(ALMOST), THEOREM, "E_n of almost-minimisers tends to min E_∞"),
        ("P2.5", SEQUENCES[:1], AFTER, "where smooth perturbations fall as 1/√n, E_n tends to E_∞"),
        ("P2.6", ["alternating"], DERIVED, "where K alternates by a/n, E_n tends to E_∞ + α a²"),
        ("P2.7", ["oscillating"], DERIVED, "where K oscillates as (a/m) sin(2πmt), m = √n, E_n tends to E_∞ + 2π²a²α"),
    ]
    found = []
    for name, cases, source, statement in statements:
        gap = excess(cases[0])
        observed = farthest([limits[case][0] for case in cases], gap)
        tolerance = max(limits[case][1] for case in cases)
        why = tuple(w for case in cases for w in whys[case])
        what, wrong = "E_n(Θ_n) − E_∞(Θ), extrapolated in n", "another limit"
        found.append(Claim(name, statement, source, what, gap, observed, tolerance, wrong, why))
    worst = min(limits, key=lambda case: limits[case][0])
    words, what = "no sequence Θ_n → Θ has a limit of E_n(Θ_n) below E_∞(Θ)", "smallest extrapolated E_n(Θ_n) − E_∞(Θ)"
    wrong, why = "a negative limit", tuple(w for case in whys for w in whys[case])
    value, tolerance = limits[worst]
    found.append(Claim("P2.2", words, AFTER, what, 0.0, value, tolerance, wrong, why, relation="≥"))
    speeds = [
        fitted(rows(part, "liminf", case), rows(part, "liminf", case)["distance"])[0] - p / 2
        for case, p in ALMOST.items()
    ]
    words = "almost-minimisers to n^(−p) tend to the minimiser, in a fixed direction at order p/2"
    what, wrong = "fitted order of the distance − p/2, farthest of p = ½, 1", "a distance that does not fall"
    why = tuple(w for case in ALMOST for w in whys[case])
    found.append(Claim("P2.4", words, AFTER, what, 0.0, farthest(speeds, 0.0), ROOM, wrong, why))
    return found


def claims_bounds(table: pd.DataFrame) -> list[Claim]:
    """Inequalities that nothing violates."""
    jensen = table[table["part"] == "Jensen"]
    nodes = jensen[jensen["case"] == JENSEN[-1]]["gap"].max()
    compact = table[table["part"] == "compactness"]
    minimisers = compact[compact["case"].isin(MINIMISERS)]
    random = compact[compact["case"].isin(RANDOM)]["gap"].max()
    rounding = 1e-13
    words = "R_n(Θ at i/n) ≤ R_∞(Θ) for every Θ in H¹"
    what, wrong = f"largest R_n/R_∞ − 1 of {DRAWS} functions of each kind and depth", "one function that violates it"
    first = Claim("T11.1", words, DERIVED, what, 0.0, jensen["gap"].max(), rounding, wrong, relation="≤")
    words = "for piecewise linear Θ with corners at i/n, R_n is R_∞ without the last cell"
    what, wrong = "largest difference over R_∞", "a difference beyond rounding"
    second = Claim("T11.2", words, DERIVED, what, 0.0, nodes, rounding, wrong)
    words, what = "minimisers of every depth stay within the a-priori bounds from E_n(0)", "largest norm / bound"
    wrong, why = "a norm beyond its bound", doubts(minimisers, "case", "depth", trusted=TRUSTED)
    third = Claim("P4.1", words, AFTER, what, 1.0, minimisers["gap"].max(), 0.0, wrong, why, relation="≤")
    words = "every Θ with E_n(Θ) ≤ E_n(0) stays within the a-priori bounds from E_n(0)"
    what = f"largest norm / bound of {POINTS} random points of each problem and depth"
    return [first, second, third, Claim("P4.2", words, AFTER, what, 1.0, random, 0.0, wrong, relation="≤")]


def claims(table: pd.DataFrame) -> list[Claim]:
    """What is asserted of the table."""
    parts = (claims_given, claims_hoelder, claims_liminf, claims_bounds)
    return [claim for part in parts for claim in part(table)]


def draw(table: pd.DataFrame, save: str) -> None:
    """Gaps of given weights with their predictions, and E_n along sequences with what it tends to."""
    given, form = table[table["part"].isin(["forward", "regulariser"])], table["part"] == "Hölder"
    names = {"forward": "states, given weights", "regulariser": "recovery, regulariser alone"}
    given = given.assign(panel=given["part"].map(names), curve=given["case"])
    hoelder = table[form & (table["activation"] == "identity")]
    hoelder = hoelder.assign(
        panel=[f"states, Hölder, base {base:g}" + ", all β alike" * (base == 3) for base in hoelder["base"]],
        curve=[f"β = {beta:g}" for beta in hoelder["beta"]],
    )
    labels = {"depth": "depth n", "y": "distance to the limit", "predicted": "predicted", "curve": ""}
    frame = pd.concat([given, hoelder])
    plot.curves(
        frame, x="depth", y="gap", by="panel", hue="curve", lines=["predicted"], slopes=[-1], labels=labels, save=save
    )
    frame = table[table["part"] == "liminf"]
    panels = {"alternating": "alternating: limit α a²", "oscillating": "oscillating: limit 2π²a²α"}
    panels |= dict.fromkeys(MINIMISERS, "minimisers: limit 0")
    frame = frame.assign(panel=[panels.get(case, "others with limit 0") for case in frame["case"]])
    labels |= {"y": "Eₙ(Θₙ) − E∞(Θ)", "predicted": "predicted limit", "case": ""}
    plot.curves(
        frame,
        x="depth",
        y="gap",
        by="panel",
        hue="case",
        lines=["predicted"],
        labels=labels,
        logy=False,
        save=f"{save}_liminf",
    )


def main(save: str = "gamma") -> None:
    """The table, the claims and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    draw(table, save)


if __name__ == "__main__":
    study.run(main, globals())

"""Do recovery and the liminf inequality of Γ-convergence hold, and with what rates and limits?

Thorpe & van Gennip, Deep limits of residual neural networks (2023), prove that minimisers converge by Γ-convergence:
E_n at the samples Θ(i/n) tends to E_∞(Θ) for every Θ in H¹ (recovery), and no sequence Θ_n → Θ has a smaller limit
(liminf). Rates and constants are derived here:

- recovery  the gap is of order 1 for smooth weights; for merely H¹ weights, θ' ~ |t − t₀|^(−0.4), its data term is,
            but its regulariser falls as n^(−0.2) only;
- liminf    E_n(Θ_n) − E_∞(Θ) tends to 0 along minimisers and almost-minimisers, and to the predicted positive number
            where Θ_n oscillates so that R_n sees it.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd
from scipy.optimize import brentq

from deeplimit import Curve, Layers, Problem, continuum, data, discrete, gamma, irregular, norms, plot, study
from deeplimit.claims import CERTIFIED, Claim, doubts, farthest
from deeplimit.compare import order
from deeplimit.control import BLOCKS, Basis, Legendre
from deeplimit.irregular import Power
from deeplimit.minimum import Minimum

DEPTHS = [2**m for m in range(4, 15)]
SEED = 1
TRAINED_DEPTHS = [2**m for m in range(4, 11)]
STARTS = 16
AMPLITUDE = 3.0  # a of the sequences that oscillate

QUICK = {"DEPTHS": [2**m for m in range(4, 11)], "TRAINED_DEPTHS": [16, 32, 64, 128], "STARTS": 4}

RING = Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean")  # for given controls
SCALAR = Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1})
BASES: dict[str, Basis] = {"smooth": Legendre(6), "merely H¹": Power()}
GAPS = ["recovery", "data term", "regulariser"]  # the second and third add up to the first
MINIMISERS = {"minimisers, ring": RING, "minimisers, scalar": SCALAR}
ALMOST = {"almost minimal to 1/√n": 0.5, "almost minimal to 1/n": 1.0}  # on the scalar problem
FALLING = "smooth, falling as 1/√n"
OSCILLATING = {"alternating": 1.0, "oscillating": 2 * math.pi**2}  # what R_n sees of a = 1 in the limit, over α
SOLVER = 1e-11  # relative error of the adaptive integrator and of rounding, a bound
LINE = ["part", "case", "depth", "gap", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int]]:
    """Part, case and depth of every row."""
    yield from ((part, case, n) for part in GAPS for case in BASES for n in DEPTHS)
    yield from (("liminf", case, n) for case in [*MINIMISERS, *ALMOST] for n in TRAINED_DEPTHS)
    yield from (("liminf", case, n) for case in [FALLING, *OSCILLATING] for n in DEPTHS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, depth = list(points())[row]
    given = {"error": SOLVER, "distance": 0.0, "status": "given", "limit_status": "given"}
    found = liminf(case, depth) if part == "liminf" else recovery(part, case, depth)
    return {"part": part, "case": case, "depth": depth} | given | found


@cache
def control(case: str) -> Curve:
    """A polynomial, or a curve with a derivative like |t − 1/3|^(−0.4)."""
    return irregular.random(RING.metric, BASES[case], SEED, decay=2)


def recovery(part: str, case: str, depth: int) -> Row:
    """The recovery gap or one of its two parts, with what it is to leading order."""
    curve = control(case)
    data_term = gamma.data_constant(RING, curve) / depth
    regulariser = gamma.regulariser_leading(RING, curve, depth)
    if part == "regulariser":
        return {"gap": gamma.regulariser_gap(RING, curve, depth), "predicted": regulariser}
    gap = gamma.recovery_gap(RING, curve, depth)
    if part == "recovery":
        return {"gap": gap, "predicted": data_term + regulariser}
    return {"gap": gap - gamma.regulariser_gap(RING, curve, depth), "predicted": data_term}


@cache
def trained(case: str) -> tuple[dict[int, Minimum], Minimum]:
    """The best branch of minimisers by depth, and the minimiser of E_∞ that it leads to."""
    problem = MINIMISERS[case]
    best = discrete.branches(problem, TRAINED_DEPTHS[0], starts=STARTS)[0]
    nets = discrete.branch(problem, TRAINED_DEPTHS, start=best.control)
    return dict(zip(TRAINED_DEPTHS, nets, strict=True)), continuum.minimise(problem, start=nets[-1].control)


def moved(layers: Layers, step: Layers, size: float) -> Layers:
    """Θ + size × step."""
    return Layers(*(getattr(layers, k) + size * getattr(step, k) for k in BLOCKS))


def almost(net: Minimum, excess: float) -> Layers:
    """Weights with E_n = min E_n + excess, from the minimiser along a fixed smooth direction."""
    step = irregular.random(SCALAR.metric, Legendre(6), SEED, decay=2).sample(net.control.depth)
    far = math.sqrt((net.value + excess) / gamma.regulariser(SCALAR, step)) + 1  # there the regulariser alone is more

    def above(size: float) -> float:
        return discrete.objective(SCALAR, moved(net.control, step, size)) - net.value - excess

    return moved(net.control, step, brentq(above, 0, 2 * far))


def sequence(case: str, samples: Layers) -> Layers:
    """The samples of a curve, moved."""
    depth = samples.depth
    if case == "alternating":
        return irregular.alternating(samples, AMPLITUDE)
    if case == "oscillating":
        return irregular.oscillating(samples, AMPLITUDE, round(math.sqrt(depth)))
    step = irregular.random(RING.metric, Legendre(6), SEED + 1, decay=2).sample(depth)
    return moved(samples, step, 1 / math.sqrt(depth))


def liminf(case: str, depth: int) -> Row:
    """E_n(Θ_n) − E_∞(Θ) along a sequence with Θ_n → Θ, its limit, and how far Θ_n is from Θ in L²."""
    if case in [*MINIMISERS, *ALMOST]:
        name = case if case in MINIMISERS else "minimisers, scalar"
        problem, (nets, limit) = MINIMISERS[name], trained(name)
        curve, status = limit.control, {"status": str(nets[depth].status), "limit_status": str(limit.status)}
        layers = nets[depth].control if case in MINIMISERS else almost(nets[depth], depth ** -ALMOST[case])
    else:
        problem, curve, status = RING, control("smooth"), {}
        layers = sequence(case, curve.sample(depth))
    samples = curve.sample(depth)
    distance = math.hypot(norms.l2(layers, samples), norms.head(layers, samples))
    return {"gap": gamma.liminf_gap(problem, layers, curve), "predicted": excess(case), "distance": distance, **status}


def excess(case: str) -> float:
    """What the regulariser sees of a sequence, in the limit."""
    return RING.alpha["K"] * AMPLITUDE**2 * OSCILLATING.get(case, 0.0)


# What is claimed. Orders are fitted with 0.03 of room for the next term; constants have the next term's power of 1/n.
DERIVED, THEOREM = "derived here", "Thorpe & van Gennip 2023"
AFTER = "derived here, after Thorpe & van Gennip 2023"
ROOM = 0.03


def rows(table: pd.DataFrame, part: str, case: str) -> pd.DataFrame:
    """The rows of one case, by depth."""
    return table[(table["part"] == part) & (table["case"] == case)].sort_values("depth")


def doubt(group: pd.DataFrame) -> tuple[str, ...]:
    """Why rows cannot carry a claim."""
    return doubts(group, "case", "depth", trusted=(*CERTIFIED, "given"))


def claims_recovery(table: pd.DataFrame) -> list[Claim]:
    """Orders and constants of the recovery gap."""
    n, found = int(table["depth"].max()), []
    for name, part, case, predicted, statement in (
        ("T1.5", "recovery", "smooth", 1.0, "E_n at the samples of smooth weights tends to E_∞ at order 1"),
        (
            "T1.8",
            "regulariser",
            "merely H¹",
            0.2,
            "for K' ~ |t − t₀|^(−0.4) the regulariser tends to its limit as n^(−0.2)",
        ),
    ):
        group = rows(table, part, case)
        fit = order(group["depth"], group["gap"], group["error"])
        why, wrong = (*doubt(group), *[fit.note] * math.isnan(fit.slope)), f"an order other than {predicted:g}"
        found.append(Claim(name, statement, DERIVED, "fitted order", predicted, fit.slope, ROOM, wrong, why))
    for name, part, case, tolerance, statement in (
        ("T1.6", "recovery", "smooth", 10 / n, "smooth weights: n × the gap tends to −½ Σ∫ p·X'' − Σ α|θ'(1)|²"),
        ("T1.7", "data term", "merely H¹", n**-0.6, "merely H¹ weights: n × the data term's gap tends to Σ g·We(1)"),
        (
            "T1.9",
            "regulariser",
            "merely H¹",
            1 / n,
            "merely H¹ weights: n^0.2 × the regulariser's gap tends to Jensen's defects at t₀",
        ),
    ):
        group = rows(table, part, case)
        ratio = float(group["gap"].iloc[-1] / group["predicted"].iloc[-1])
        what, wrong = f"observed / predicted at n = {n}", "a quotient that does not tend to 1"
        found.append(Claim(name, statement, DERIVED, what, 1.0, ratio, tolerance, wrong, doubt(group)))
    return found


def limit(group: pd.DataFrame, power: float) -> tuple[float, float]:
    """What the gap tends to, the term n^(−power) removed by two depths, one four times the other; and the next term."""
    depth, gap = group["depth"].to_numpy(), group["gap"].to_numpy()
    assert depth[-1] == 4 * depth[-3]
    extrapolated = (4**power * gap[-1] - gap[-3]) / (4**power - 1)
    return float(extrapolated), 10 * float(depth[-1]) ** (-power - 0.5)


def claims_liminf(table: pd.DataFrame) -> list[Claim]:
    """Sequences that tend to a control."""
    sequences = {case: rows(table, "liminf", case) for case in [*MINIMISERS, *ALMOST, FALLING, *OSCILLATING]}
    limits = {case: limit(group, 0.5 if "√" in case else 1.0) for case, group in sequences.items()}
    what, found = "E_n(Θ_n) − E_∞(Θ), extrapolated in n", []
    for name, cases, source, statement in (
        ("P2.1", [*MINIMISERS], THEOREM, "min E_n tends to min E_∞"),
        ("P2.5", [FALLING], AFTER, "where smooth perturbations fall as 1/√n, E_n tends to E_∞"),
        ("P2.6", ["alternating"], DERIVED, "where K alternates by a/n, E_n tends to E_∞ + α a²"),
        ("P2.7", ["oscillating"], DERIVED, "where K oscillates as (a/m) sin(2πmt), m = √n, E_n tends to E_∞ + 2π²a²α"),
    ):
        observed = farthest([limits[case][0] for case in cases], excess(cases[0]))
        tolerance = max(limits[case][1] for case in cases)
        why = doubt(pd.concat([sequences[case] for case in cases]))
        found.append(Claim(name, statement, source, what, excess(cases[0]), observed, tolerance, "another limit", why))
    # NaN first: a sequence without a limit is not passed over
    value, tolerance = min(limits.values(), key=lambda found: (not math.isnan(found[0]), found[0]))
    words, why = (
        "of the sequences Θ_n → Θ tried, none has a limit of E_n(Θ_n) below E_∞(Θ)",
        doubt(pd.concat(sequences.values())),
    )
    found.append(Claim("P2.2", words, AFTER, f"smallest {what}", 0.0, value, tolerance, "a negative limit", why, "≥"))
    speeds = []
    for case, power in ALMOST.items():
        group = sequences[case]
        speeds.append(order(group["depth"], group["distance"], group["error"]).slope - power / 2)
    words = "almost-minimisers to n^(−p) tend to the minimiser, in a fixed direction at order p/2"
    what, wrong = "fitted order of the distance − p/2, farthest of p = ½, 1", "a distance that does not fall"
    why = doubt(pd.concat([sequences[case] for case in ALMOST]))
    return [*found, Claim("P2.4", words, AFTER, what, 0.0, farthest(speeds, 0.0), ROOM, wrong, why)]


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with part, case and depth in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "case", "depth"]).loc[table["row"]]
    return table.assign(**places.set_axis(table.index))


def claims(table: pd.DataFrame) -> list[Claim]:
    """Recovery, then sequences."""
    table = placed(table)
    return [*claims_recovery(table), *claims_liminf(table)]


def main(save: str = "gamma") -> None:
    """The table, the claims and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown, sequences = table[table["part"].isin(GAPS)], table[table["part"] == "liminf"]
    labels = {"depth": "depth n", "y": "|gap to the limit|", "predicted": "predicted", "case": ""}
    columns: dict[str, Any] = {"x": "depth", "y": "gap", "hue": "case", "lines": ["predicted"]}
    plot.curves(shown, **columns, by="part", slopes=[-0.2, -1], labels=labels, save=save)
    titles = {"alternating": "alternating: limit α a²", "oscillating": "oscillating: limit 2π²a²α"}
    titles |= dict.fromkeys(MINIMISERS, "minimisers: limit 0")
    sequences = sequences.assign(panel=[titles.get(case, "others with limit 0") for case in sequences["case"]])
    labels |= {"y": "Eₙ(Θₙ) − E∞(Θ)", "predicted": "predicted limit"}
    plot.curves(sequences, **columns, by="panel", labels=labels, logy=False, save=f"{save}_liminf")


if __name__ == "__main__":
    study.run(main, globals())

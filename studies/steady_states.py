"""Where do layers with equal weights take the law of the signals, and how fast?

The signals follow x' = σ(wx + b). Herty, Trimborn & Visconti (2022) list the laws at rest: they live on the zeros of
σ(wx + b), one for the identity and tanh, none for a sigmoid, a half line for a relu, and many for the growing cosine
unit z cos z, which sorts signals into clusters. What is measured is derived here, with λ = wσ'(z*) < 0 at a zero that
attracts:

- a signal approaches its zero as e^(λt), and in layers of step h by the factor 1 + hλ each;
- signals do not cross zeros: a cluster weighs what its basin weighed at the start, at every time;
- the law on a basin approaches its Dirac in W_p as e^(−rt), r the least of |λ| and μ/p, where μ are the rates at which
  the ends of the basin repel: signals that start near an end are late, and for the growing cosine unit they decide;
- a sigmoid takes every signal to infinity, at speed 1 for w > 0 and like log(|w|t)/|w| for w < 0;
- for h|λ| > 2 layers oscillate about the zero of the limit: tanh has a cycle of two with 2|z| = h|w| tanh|z|.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.meanfield import flows, particles
from deeplimit.meanfield.steady_states import Cluster, PhaseLine

CASES = {
    "identity, w = −1": ("identity", -1.0),
    "tanh, w = −1": ("tanh", -1.0),
    "relu, w = −1": ("relu", -1.0),
    "growing cosine, w = 1": ("gcu", 1.0),
    "growing cosine, w = −1": ("gcu", -1.0),
}
B = 0.3
REACH = 3.0  # the signals start uniformly on [−REACH, REACH]
TIMES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
PARTICLES, DEPTH, TIME = 3000, 400, 12.0  # of the networks whose clusters are weighed
STEPS = [0.1, 0.5, 1.5]  # h|λ|
CYCLES = [1.9, 2.5, 3.5]  # h|w| of tanh layers
LATE = [100.0, 1000.0, 10_000.0]  # times of the sigmoid

QUICK = {"TIMES": [0, 2, 4, 6, 8, 10], "LATE": [100.0, 10_000.0]}

ESCAPES = {"sigmoid, w = 1": 1.0, "sigmoid, w = −1": -1.0}
REPELLING = {"identity, w = 1": "identity", "tanh, w = 1": "tanh"}
COLUMNS = ["gap", "second"]  # W₁ and W₂
SHOWN = [0.5, 1.0, 2.0, 4.0]  # times of the distribution functions, beside 0
REST = "t = ∞, predicted"
CLOSE = 0.01  # of a steady point, to count as having arrived
LINE = ["part", "case", "place", "at", "gap", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, float, float]]:
    """Part, case, place of the cluster and time, step or depth of every row."""
    places = [(case, cluster.x) for case in CASES for cluster in clusters(case)]
    yield from (("signal", case, place, 0.0) for case, place in places)
    yield from (("law", case, place, time) for case, place in places for time in TIMES)
    yield from (("mass", case, place, TIME) for case, place in places)
    # a relu layer with h|λ| > 1 oversteps the zero, and rests beyond it
    yield from (("layers", case, x, step) for case, x in places for step in STEPS if step < 1 or "relu" not in case)
    yield from (("cycle", "tanh, w = −1", B, step) for step in CYCLES)
    yield from (("escape", case, math.inf, time) for case in ESCAPES for time in LATE)
    yield from (("repelled", case, -B, 0.0) for case in REPELLING)


def measure(row: int) -> Row:
    """One row of the table; what is compared with `predicted` in `gap` depends on the part."""
    part, case, place, at = list(points())[row]
    found = {
        "signal": signal,
        "law": law,
        "mass": mass,
        "layers": layers,
        "cycle": cycle,
        "escape": escape,
        "repelled": repelled,
    }[part](case, place, at)
    return {"part": part, "case": case, "place": place, "at": at} | found | {"status": "computed"}


@cache
def line(case: str) -> PhaseLine:
    """The directions of a case."""
    name, w = CASES[case]
    return PhaseLine(name, w, B)  # type: ignore[arg-type]


def clusters(case: str) -> list[Cluster]:
    """Those that signals from the initial interval go to."""
    return line(case).clusters(-REACH, REACH)


def cluster(case: str, place: float) -> Cluster:
    """The one at a place."""
    return next(found for found in clusters(case) if found.x == place)


def inside(case: str, place: float) -> tuple[float, float]:
    """The part of the initial interval that goes to a place."""
    low, high = cluster(case, place).basin
    return max(low, -REACH), min(high, REACH)


def flow(case: str, time: float, x: np.ndarray) -> np.ndarray:
    """x(t)."""
    name, w = CASES[case]
    return flows.flow(name, w, B, time, x) if time else x


def signal(case: str, place: float, at: float) -> Row:
    """The rate of one signal between the times 12/|λ| and 14/|λ|, over λ."""
    rate, (low, high) = cluster(case, place).rate, inside(case, place)
    start = np.array([0.6 * low + 0.4 * high])
    first, last = (abs(float(flow(case, time / -rate, start)[0]) - place) for time in (12, 14))
    return {"gap": -math.log(last / first) / 2, "predicted": 1.0}


@cache
def late(case: str, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for ∫ f(x₀) dx₀ over the signals that go to a place: u ± eˢ from its ends u, which may be late.

    Gauss-Legendre panels of length ½ in s.
    """
    low, high = inside(case, place)
    centre = place if low < place < high else (low + high) / 2
    nodes, weights = np.polynomial.legendre.leggauss(6)
    found = []
    for end, side in ((low, 1.0), (high, -1.0)):
        top, bottom = math.log(abs(centre - end)), math.log(1e-13)
        edges = np.linspace(bottom, top, math.ceil(2 * (top - bottom)) + 1)
        half = np.diff(edges)[:, None] / 2
        s = ((edges[1:] + edges[:-1])[:, None] / 2 + half * nodes).ravel()
        found.append((end + side * np.exp(s), (half * weights).ravel() * np.exp(s)))
    return np.concatenate([x for x, _ in found]), np.concatenate([weight for _, weight in found])


def law(case: str, place: float, at: float) -> Row:
    """`gap` is W₁ of the signals that go to a place from their Dirac there, `second` W₂; each mass normalised to 1."""
    x, weights = late(case, place)
    weights = weights / weights.sum()
    away = np.abs(flow(case, at, x) - place)
    known = cluster(case, place)
    ends = tuple(mu if abs(end) < REACH else math.inf for mu, end in zip(known.repulsion, known.basin, strict=True))
    seen = Cluster(known.x, known.rate, known.basin, (ends[0], ends[1]))  # only ends where signals start are felt
    return {
        "gap": float(weights @ away),
        "second": math.sqrt(float(weights @ away**2)),
        "signal_rate": known.rate,
        "rate": seen.decay(1),
        "second_rate": seen.decay(2),
        "lag": lag(seen, 1),
        "second_lag": lag(seen, 2),
    }


def lag(found: Cluster, p: int) -> float:
    """By how much the second least of p|λ|, the μ and twice the least exceeds the least: the next term of W_pᵖ."""
    exponents = sorted({-p * found.rate, *found.repulsion})
    return min(exponents[1], exponents[0] - found.rate, exponents[0] + min(found.repulsion)) - exponents[0]


@cache
def trained(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Equally probable signals, and where the network takes them."""
    name, w = CASES[case]
    x = REACH * (2 * (np.arange(PARTICLES) + 0.5) / PARTICLES - 1)
    return x, particles.network(name, w, B, TIME, DEPTH, x)


def mass(case: str, place: float, at: float) -> Row:
    """`gap` is the share of the network's outputs in the basin of a place, `arrived` that within CLOSE of it."""
    x, outputs = trained(case)
    goal = line(case).destination(outputs)
    still = line(case).destination(x) == x
    low, high = inside(case, place)
    return {
        "gap": float(np.mean((goal == place) & ~still)),
        "predicted": (high - low) / (2 * REACH),
        "arrived": float(np.mean((np.abs(outputs - place) < CLOSE) & ~still)),
        "changed": int(np.sum(line(case).destination(x) != goal)),
        "frozen": float(np.abs(outputs - x)[still].max()) if still.any() else math.nan,
    }


def layers(case: str, place: float, at: float) -> Row:
    """The factor of one layer, h|λ| given, after as many as bring a signal to 1e-6 of its zero, over 1 + hλ."""
    (name, w), rate = CASES[case], cluster(case, place).rate
    step, factor = at / -rate, 1 - at
    number = math.ceil(math.log(1e-5) / math.log(abs(factor)))
    start = np.array([place + 0.1 * math.copysign(1.0, sum(inside(case, place)) / 2 - place)])
    path = particles.states(name, w, B, step * number, number, start, keep_order=False)[:, 0] - place
    return {"gap": float(path[-1] / path[-2]) / factor, "predicted": 1.0}


def cycle(case: str, place: float, at: float) -> Row:
    """The distance of z from its zero after many layers, and that of a cycle of two."""
    name, w = CASES[case]
    z = particles.network(name, w, B, 2000 * at / -w, 2000, np.array([2.0]), keep_order=False) * w + B
    predicted = brentq(lambda z: 2 * z - at * math.tanh(z), 0.1, at) if at > 2 else 0.0
    return {"gap": abs(float(z[0])), "predicted": predicted}


def escape(case: str, place: float, at: float) -> Row:
    """x(t) less its leading part, over the next: x₀ − e^(−z₀)/w, or −(log(|w|t) + z₀ − e^(−z₀))/w²t for w < 0."""
    w, start = ESCAPES[case], 0.5
    z0 = w * start + B
    x = float(flows.flow("sigmoid", w, B, at, np.array([start]))[0])
    if w > 0:
        return {"gap": (x - at) / (start - math.exp(-z0) / w), "predicted": 1.0}
    leading = (math.log(-w * at) + B) / -w
    return {"gap": (x - leading) / -(math.log(-w * at) + z0 - math.exp(-z0)) * w**2 * at, "predicted": 1.0}


def repelled(case: str, place: float, at: float) -> Row:
    """The rate at which a signal leaves a zero with w > 0, between times 3 and 5, over w."""
    name = REPELLING[case]
    start = np.array([place + 1e-5])
    first, last = (float(flows.flow(name, 1.0, B, time, start)[0]) - place for time in (3, 5))
    return {"gap": math.log(last / first) / 2, "predicted": 1.0}


MODEL = "Herty, Trimborn & Visconti 2022 for the laws at rest; derived here"
DERIVED = "derived here"


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with part, case, place and at in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "case", "place", "at"]).loc[table["row"]]
    return table.assign(**{str(name): places[name].to_numpy() for name in places})


def slopes(table: pd.DataFrame, column: str, rate: str, next_term: str, p: int) -> tuple[float, float]:
    """The slope of log W_p between the last two times less its prediction, farthest from 0; and its tolerance.

    W_pᵖ = C e^(−rpt) (1 + c e^(−lt)): the slope is off by less than |c| l e^(−lt)/p at the earlier of the two times t;
    |c| is taken for at most 3.
    """
    first, last = TIMES[-2:]
    found, room = [], 0.0
    for _, rows in table[table["part"] == "law"].groupby(["case", "place"]):
        heights = rows.set_index("at")[column]
        known = rows.iloc[-1]
        found.append(math.log(heights[last] / heights[first]) / (last - first) - known[rate])
        room = max(room, 3 * known[next_term] / p * math.exp(-known[next_term] * first))
    return farthest(found, 0.0), room


def claims(table: pd.DataFrame) -> list[Claim]:
    """Rates, masses, layers, and the activations and weights without a law at rest."""
    table = placed(table)
    parts = {str(part): rows for part, rows in table.groupby("part")}
    why = {part: doubts(rows, "case", "at", trusted=("computed",)) for part, rows in parts.items()}
    return [*claims_rates(table, parts, why), *claims_clusters(parts, why), *claims_outside(parts, why)]


def claims_rates(table: pd.DataFrame, parts: dict[str, pd.DataFrame], why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """Of signals, laws and layers."""
    found = [
        Claim(
            "M4.1",
            "A signal approaches its zero as e^(λt), λ = wσ'(z*)",
            MODEL,
            "observed rate / λ, farthest from 1 over all zeros that attract",
            1.0,
            farthest(parts["signal"]["gap"], 1.0),
            10 * math.exp(-12),  # the next term is e^(λt) at t = 12/|λ|, times a curvature of z cos z of at most 5
            "another rate: σ' at the wrong place or without w",
            why["signal"],
        ),
    ]
    for name, p, column, rate, next_term in (
        ("M4.2", 1, "gap", "rate", "lag"),
        ("M4.3", 2, "second", "second_rate", "second_lag"),
    ):
        observed, room = slopes(table, column, rate, next_term, p)
        found.append(
            Claim(
                name,
                f"The law on a basin approaches its Dirac in W{'₁' if p == 1 else '₂'} at the rate min(|λ|, μ/{p}), μ "
                "that of the ends of the basin",
                DERIVED,
                "slope of log W less the predicted one, farthest from 0 over all clusters",
                0.0,
                observed,
                room,
                "another rate: that of a signal, |λ|, where the ends of a basin are slower",
                why["law"],
            )
        )
    found.append(
        Claim(
            "M4.4",
            "A layer of step h multiplies the distance from the zero by 1 + hλ",
            DERIVED,
            f"observed factor / (1 + hλ), farthest from 1 over all zeros and h|λ| = {STEPS}",
            1.0,
            farthest(parts["layers"]["gap"], 1.0),
            1e-4,  # the distance, 1e-6, times σ''/2λ
            "another factor: e^(hλ), that of the limit, or another λ",
            why["layers"],
        )
    )
    return found


def claims_clusters(parts: dict[str, pd.DataFrame], why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """Their weights, and that nothing crosses or moves that must not."""
    rows = parts["mass"]
    return [
        Claim(
            "M4.5",
            "A cluster weighs what its basin weighed at the start",
            DERIVED,
            f"share of {PARTICLES} equally probable signals less the mass of the basin, farthest from 0",
            0.0,
            farthest(rows["gap"] - rows["predicted"], 0.0),
            1 / PARTICLES,  # the two ends of an interval hold at most a half more or less each
            "another share: basins that do not end at zeros",
            why["mass"],
        ),
        Claim(
            "M4.6",
            f"and the signals of the basin are within {CLOSE:g} of the cluster after T = {TIME:g}",
            DERIVED,
            "share of the signals there less that of the basin, farthest from 0",
            0.0,
            farthest(rows["arrived"] - rows["gap"], 0.0),
            2 / PARTICLES,  # late are those within e^(−μT)/CLOSE < 1e-3 of an end
            "signals that have not arrived: another place, or another rate",
            why["mass"],
        ),
        Claim(
            "M4.7",
            "No signal crosses a zero, in layers as in the limit",
            DERIVED,
            "signals whose destination is another after the layers than before",
            0.0,
            largest(rows["changed"]),
            0.0,
            "a signal that changes its basin",
            why["mass"],
        ),
        Claim(
            "M4.8",
            "Where wx + b ≤ 0 a relu leaves every signal in its place",
            MODEL,
            "largest distance that such a signal has moved",
            0.0,
            largest(rows["frozen"].dropna()),
            0.0,
            "a signal that has moved",
            why["mass"],
        ),
    ]


def claims_outside(parts: dict[str, pd.DataFrame], why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """No law at rest, zeros that repel, and layers that are too long."""
    out = parts["escape"][parts["escape"]["at"] == LATE[-1]].set_index("case")["gap"]
    last, rows = LATE[-1], parts["cycle"]
    return [
        Claim(
            "M4.9",
            "A sigmoid with w > 0 takes every signal to infinity at speed 1: x(t) − t tends to x₀ − e^(−z₀)/w",
            DERIVED,
            f"observed / predicted at t = {last:g}",
            1.0,
            float(out["sigmoid, w = 1"]),
            1e-10,  # the next term is e^(−wt); a few digits of t cancel
            "another speed, or a signal that rests",
            why["escape"],
        ),
        Claim(
            "M4.10",
            "With w < 0 it does so too, as x(t) = (log(|w|t) + b)/|w| − (log(|w|t) + z₀ − e^(−z₀))/w²t + …",
            DERIVED,
            f"second term, observed / predicted at t = {last:g}",
            1.0,
            float(out["sigmoid, w = −1"]),
            2 * math.log(last) / last,
            "a signal that rests, or another power of t",
            why["escape"],
        ),
        Claim(
            "M4.11",
            "For w > 0 the zero of identity and tanh repels: a signal near it leaves as e^(wt)",
            MODEL,
            "observed rate / w, farthest from 1",
            1.0,
            farthest(parts["repelled"]["gap"], 1.0),
            1e-5,  # tanh: z²/6 at z = 1.5e-3
            "another rate, or a signal that comes back",
            why["repelled"],
        ),
        Claim(
            "M4.12",
            "Layers of tanh with h|w| > 2 end in a cycle of two, 2|z| = h|w| tanh|z|; for h|w| < 2 at the zero",
            DERIVED,
            f"|z| after 2000 layers less the predicted one, farthest from 0 over h|w| = {CYCLES}",
            0.0,
            farthest(rows["gap"] - rows["predicted"], 0.0),
            1e-12,
            "another distance: layers that follow the limit however long they are",
            why["cycle"],
        ),
    ]


def distributions() -> pd.DataFrame:
    """For each case and share of the signals the x below which they are: a column for each time, and the limit's."""
    level, found = (np.arange(400) + 0.5) / 400, []
    start = REACH * (2 * level - 1)
    for case, (name, w) in (CASES | {case: ("sigmoid", w) for case, w in ESCAPES.items()}).items():
        columns = {f"t = {time:g}": np.sort(flows.flow(name, w, B, time, start)) for time in SHOWN}
        columns |= {REST: np.sort(line(case).destination(start))} if case in CASES else {}
        found.append(pd.DataFrame({"case": case, "level": level, "t = 0": start} | columns))
    return pd.concat(found).round(6)


def draw_figures(table: pd.DataFrame, shares: pd.DataFrame, save: str) -> None:
    """Laws in time, and their distance from the Diracs, with slopes through the first point that is fitted."""
    labels = {"x": "signal x", "level": "share of signals below x"}
    curves = shares.melt(["case", "level"], var_name="curve", value_name="x").dropna()
    plot.laws(curves, y="level", by="case", hue="curve", dashed=[REST], labels=labels, save=save)
    rows = table[(table["part"] == "law") & table["case"].str.startswith("growing")]
    rows = rows.assign(
        place=[
            f"{case[16:]}: cluster at {x:.2f}".replace("-", "−")
            for case, x in zip(rows["case"], rows["place"], strict=True)
        ]
    )
    fitted = TIMES[-2]
    known = rows[rows["at"] == fitted].set_index("place")
    start, there = rows.groupby("place")["gap"].transform("first"), {c: rows["place"].map(known[c]) for c in COLUMNS}
    rows = rows.assign(
        single=np.exp(rows["signal_rate"] * rows["at"]) * start,
        rate=np.exp(rows["rate"] * (rows["at"] - fitted)) * there["gap"],
        second_rate=np.exp(rows["second_rate"] * (rows["at"] - fitted)) * there["second"],
    )
    labels = {
        "at": "time t",
        "y": "distance of the law from its Dirac",
        "gap": "W₁",
        "second": "W₂",
        "rate": "W₁, predicted slope −min(|λ|, μ)",
        "second_rate": "W₂, predicted slope −min(|λ|, μ/2)",
        "single": "slope −|λ|, that of one signal\nλ = wσ′(z*) < 0: rate of the zero\nμ: rate of the ends that repel",
    }
    columns: dict[str, Any] = {"x": "at", "y": COLUMNS, "lines": ["rate", "second_rate", "single"]}
    plot.curves(rows, **columns, by="place", logx=None, labels=labels, save=f"{save}_rates")


def main(save: str = "steady_states") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    shares = study.once(distributions, save=f"{save}_distributions")
    study.record(save, study.constants(globals()), claims=claims(table))
    draw_figures(table, shares, save)


if __name__ == "__main__":
    study.run(main, globals())

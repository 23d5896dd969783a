"""Do all minimisers, not only the lowest, converge, and does the lowest converge to the lowest?

Thorpe & van Gennip, Deep limits of residual neural networks (2023): every cluster point of minimisers of E_n minimises
E_∞, and min E_n → min E_∞. Nothing is said of minimisers that are only local; near a nondegenerate one of E_∞ there is
exactly one of E_n for every large n (implicit function theorem), and its value and weights come at first order.

Random networks are trained at a coarse depth. Up to the symmetries of the data the lowest different minima are each
followed in depth and to their own minimiser of E_∞. A branch that comes to the same network as a lower one has merged
with it. On the moons the branch that is lowest up to depth 64 is not the one that is lowest in the limit.

A branch with a network or a limit that is not a certified minimum is left out by name; where one of them could be the
lowest, nothing is said of the lowest.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import Problem, compare, continuum, data, discrete, expansion, norms, plot, study, symmetry
from deeplimit.claims import WITH_JUMPS, Claim, doubts, farthest, largest
from deeplimit.control import Curve, Layers
from deeplimit.minimum import Minimum, Status
from deeplimit.symmetry import Symmetry

PROBLEMS = {
    "moons": Problem(data.moons(), activation="tanh", loss="logistic", alpha=0.01),
    "ring": Problem(data.ring(), activation="tanh", loss="softmax", alpha=0.01, reduction="mean"),
    "scalar": Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
}
NAMES = ["moons", "ring", "scalar"]
FIRST = {"moons": 4, "ring": 16, "scalar": 16}  # depth of the random starts
DEPTHS = [4, 8, 16, 32, 64, 128, 256, 512]
STARTS = 40
SEED = 0
FOLLOWED = 8  # branches of each problem, the lowest first
EXACT = 512  # deepest network whose optimal coupling is computed
TOL = 1e-8  # of the limit, relative; the gaps are above 1e-4
KNOWN = {"ring": [0.647253, 0.677509, 0.6930055899, 0.693041, 0.693147], "scalar": [0.586189, 0.700690]}  # n = 16
ZOOM = {"moons": (1.51, 1.69), "ring": (0.6885, 0.694)}  # values that are too close for the whole tree

QUICK = {
    "NAMES": ["ring", "scalar"],
    "DEPTHS": [16, 32, 64, 128],
    "STARTS": 3,
    "SEED": 6,
    "EXACT": 16,
    "TOL": 1e-7,
    "ZOOM": {},
}

THEOREM = "derived here, after Thorpe & van Gennip 2023"
OURS = "derived here"
KNOWN_DEPTH = 16
ROUNDING = 1e-12
PARTS = {"status": ("value", "error_bar", ["data", "depth"]), "limit_status": ("limit_value", "limit_error", ["data"])}
LINE = ["data", "branch", "depth", "value", "limit_value", "orbit", "hausdorff", "merged_into", "status"]


@dataclass(frozen=True, eq=False)
class Tree:
    """The branches of one problem: minimisers by branch and depth, and those of E_∞ that they lead to."""

    depths: list[int]
    group: list[Symmetry]
    paths: list[list[Minimum]]
    merged: dict[int, tuple[int, int]]  # branch: the lower one that it merges with, and the index of the depth
    limits: dict[int, Minimum]

    def limit(self, branch: int) -> Minimum:
        """The minimiser of E_∞ at the end of a branch, or of the one it merges with."""
        while branch in self.merged:
            branch = self.merged[branch][0]
        return self.limits[branch]

    def path(self, branch: int) -> list[Minimum]:
        """The networks of a branch, up to the one in which it merges."""
        return self.paths[branch][: self.merged[branch][1] + 1] if branch in self.merged else self.paths[branch]

    def certified(self) -> list[int]:
        """The branches all of whose networks and whose limit are certified minima."""
        ends = [[*self.path(k), self.limit(k)] for k in range(len(self.paths))]
        return [k for k, minima in enumerate(ends) if all(m.status.converged for m in minima)]


def merges(paths: list[list[Minimum]], group: list[Symmetry]) -> dict[int, tuple[int, int]]:
    """For each branch that comes to the minimum of a lower one: which, and at which depth first."""
    found: dict[int, tuple[int, int]] = {}
    for i in range(len(paths[0])):
        alive = [k for k in range(len(paths)) if k not in found and paths[k][i].status.converged]
        for place, k in enumerate(alive):
            same = [j for j in alive[:place] if len(discrete.distinct([paths[j][i], paths[k][i]], group)) == 1]
            if same:
                found[k] = (same[0], i)
    return found


@cache
def solve(name: str) -> Tree:
    """All branches of a problem, followed to the deepest network and to the limit."""
    problem, depths = PROBLEMS[name], [n for n in DEPTHS if n >= FIRST[name]]
    print(f"{name}: following the lowest minima of {STARTS} random starts", flush=True)
    minima = discrete.branches(problem, depths[0], starts=STARTS, seed=SEED)[:FOLLOWED]
    paths = [discrete.branch(problem, depths, start=m.control) for m in minima]
    group = discrete.symmetries(problem)
    merged = merges(paths, group)
    ends = {k: path[-1].control for k, path in enumerate(paths) if k not in merged}
    limits = {k: continuum.minimise(problem, start=control, tol=TOL) for k, control in ends.items()}
    return Tree(depths, group, paths, merged, limits)


def points() -> dict[str, tuple[str, int, int]]:
    """A row for every branch and depth up to where it merges."""
    found: dict[str, tuple[str, int, int]] = {}
    for name in NAMES:
        tree = solve(name)
        for k in range(len(tree.paths)):
            found |= {f"{name} {k} at depth {tree.depths[i]}": (name, k, i) for i in range(len(tree.path(k)))}
    return found


def listing() -> pd.DataFrame:
    """The points as a table: which there are is known when the branches have been followed."""
    return pd.DataFrame({"at": list(points())})


@cache
def limit_images(name: str, branch: int) -> list[Curve]:
    """The different images of the limit of a branch under the symmetries of the data."""
    return symmetry.images(solve(name).limit(branch).control, solve(name).group)


@cache
def hausdorff(name: str, index: int) -> float:
    """sup over the minimisers at one depth of inf over those of E_∞ and their images, on certified branches alone."""
    tree = solve(name)
    nets = [tree.path(k)[index].control for k in tree.certified() if index < len(tree.path(k))]
    curves = [c for k, m in tree.limits.items() if m.status.converged for c in limit_images(name, k)]
    return norms.hausdorff(nets, curves) if nets and curves else np.nan


def nearest(net: Layers, images: list[Curve]) -> Curve:
    """The image of a minimiser of E_∞ that is nearest to a network at its nodes."""
    return min(images, key=lambda c: np.hypot(norms.l2(net, c.sample(net.depth)), norms.head(net, c)))


def measure(at: str) -> dict[str, Any]:
    """One row of the table."""
    name, branch, index = points()[at]
    problem, tree = PROBLEMS[name], solve(name)
    m, limit = tree.paths[branch][index], tree.limit(branch)
    images = symmetry.images(m.control, tree.group)
    end = nearest(m.control, limit_images(name, branch))
    depth, into = m.control.depth, tree.merged.get(branch, (0, -1))
    energies = [discrete.objective(problem, image) for image in images]
    return {
        "data": name,
        "branch": f"{name} {branch}",
        "depth": depth,
        "value": m.value,
        "error_bar": m.error_bar,
        "limit_value": limit.value,
        "limit_error": limit.error_bar,
        "value_gap": m.value - limit.value,
        "predicted_gap": expansion.value_constant(problem, limit) / depth,
        "symmetries": len(tree.group),
        "orbit": len(images),
        "stabiliser": len(symmetry.stabiliser(m.control, tree.group)),
        "limit_orbit": len(limit_images(name, branch)),
        "spread": max(abs(e / m.value - 1) for e in energies),
        "control_tl2": norms.distance(m.control, end, exact=True) if depth <= EXACT else np.nan,
        "control_bound": float(np.hypot(norms.tl2_bound(m.control, end), norms.head(m.control, end))),
        "control_error": (m.distance_bound + limit.distance_bound) * problem.metric.embedding(),
        "hausdorff": hausdorff(name, index),
        "merged_into": f"{name} {into[0]}" if into[1] == index else "",
        "residual": m.residual,
        "curvature": m.curvature,
        "limit_curvature": limit.curvature,
        "status": str(m.status),
        "limit_status": str(limit.status),
    }


def minima(status: pd.Series) -> pd.Series:
    """Where a status is that of a certified minimum, also of one on another branch than the depth before."""
    return status.astype(str).str.startswith(WITH_JUMPS)


def certified(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the branches all of whose networks and whose limit are certified minima."""
    bad = ~(minima(table["status"]) & minima(table["limit_status"]))
    return table[~table["branch"].isin(table.loc[bad, "branch"])]


def scope(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """How many branches are spoken of, and which ones are left out because they are not certified."""
    left = table.loc[~table["branch"].isin(certified(table)["branch"]), "branch"].map(str).unique()
    out = f", {len(left)} left out: {', '.join(left)}" if len(left) else ", none left out"
    return f"of {rows['branch'].nunique()} certified branches{out}"


def lowest(table: pd.DataFrame) -> pd.DataFrame:
    """For each problem and depth the row of the lowest certified network, its gap to the lowest certified limit."""
    nets, limits = table[minima(table["status"])], table[minima(table["limit_status"])]
    rows = nets.loc[nets.groupby(["data", "depth"], sort=False)["value"].idxmin()]
    ends = limits.loc[limits.groupby("data")["limit_value"].idxmin()].set_index("data")
    value, error = (rows["data"].map(ends[column]) for column in ("limit_value", "limit_error"))
    return rows.assign(value_gap=rows["value"] - value, limit_error=error)


def rivals(table: pd.DataFrame) -> tuple[str, ...]:
    """Doubts about what is lowest: networks and limits that could be but are not certified."""
    found: list[str] = []
    for status, (value, error, level) in PARTS.items():
        sure = minima(table[status])
        least = table.assign(sure=table[value].where(sure)).groupby(level)["sure"].transform("min")
        # a number that is missing is no reason to trust the others
        rows = table[~sure & ~(table[value] - table[error] > least)]
        if len(rows):
            found.extend(doubts(rows[["branch", "depth", status]].assign(status=rows[status]), "branch", "depth"))
    return tuple(dict.fromkeys(found))


def settled(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """The rows from the last jump of their group on: those before it belong to other minima."""
    jumps = rows["depth"].where(rows["status"] == str(Status.JUMPED)).groupby(rows[by]).transform("max")
    return rows[~(rows["depth"] < jumps)]


def levels(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for every problem and depth: the distance of the two sets, and the largest error of a member."""
    found = settled(rows, "data").groupby(["data", "depth"], sort=False, as_index=False)
    return found.agg(control_hausdorff=("hausdorff", "first"), control_error=("control_error", "max"))


def orders(rows: pd.DataFrame, column: str, by: str) -> list[float]:
    """What the pairwise orders tend to, one for each group; unresolved ones are NaN."""
    return list(compare.orders(rows, [column], by=by)["extrapolated"]) if len(rows) else []


def ratios(rows: pd.DataFrame) -> list[float]:
    """n·gap / e₁ of each branch with its 1/n term removed by the depth before; NaN without two depths."""
    found = [np.asarray(b["value_gap"] / b["predicted_gap"]) for _, b in rows.groupby("branch", sort=False)]
    return [float(2 * r[-1] - r[-2]) if len(r) > 1 else np.nan for r in found]


def claims(table: pd.DataFrame) -> list[Claim]:
    """What the theorem and its expansion say of all branches."""
    sure, low = certified(table), settled(lowest(table), "data")
    gone = set(table.loc[table["merged_into"] != "", "branch"])
    whole = settled(sure[~sure["branch"].isin(gone)], "branch")
    still = (whole["predicted_gap"] * whole["depth"]).abs() <= 100 * (whole["limit_error"] + ROUNDING)
    moving, resting = whole[~still], whole[still]
    deepest = sure[sure["depth"] == sure.groupby("data")["depth"].transform("max")]
    known = table[(table["depth"] == KNOWN_DEPTH) & table["data"].isin(KNOWN)]
    misses = [min(abs(v - k) for k in KNOWN[n]) for n, v in zip(known["data"], known["value"], strict=True)]
    rings, ring = (rows[rows["data"] == "ring"] for rows in (table, sure))
    coupled = sure[sure["depth"] <= EXACT]
    scalar = known[known["data"] == "scalar"]
    absent = low[~low["branch"].isin(sure["branch"])].drop_duplicates("branch")
    without = [
        f"{k}, the lowest at depth {n}, is left out" for k, n in absent[["branch", "depth"]].itertuples(index=False)
    ]
    none = () if len(resting) else ("no branch of this run rests",)
    return [
        Claim(
            "T3.21",
            "The lowest value over all branches tends to the lowest value over their limits at first order",
            THEOREM,
            "order of min over branches Eₙ − min over branches E∞, all problems",
            1.0,
            farthest(orders(low, "value_gap", "data"), 1.0),
            0.05,
            "an order of 0: the lowest networks tend to a value that is not the lowest",
            rivals(table),
        ),
        Claim(
            "T3.22",
            "The value of every certified branch tends to that of its own limit at first order",
            OURS,
            f"order of Eₙ − E∞ on the branch farthest from it, {scope(table, moving)}",
            1.0,
            farthest(orders(moving, "value_gap", "branch"), 1.0),
            0.05,
            "a branch whose gap falls at another order or not at all",
        ),
        Claim(
            "T3.23",
            "Every minimum found at depth 16 on the ring and on the scalar problem is one that is known",
            OURS,
            "largest distance of a value to the nearest known one",
            0.0,
            farthest(misses, 0.0),
            1e-6,
            "a value between the known ones",
            doubts(known, "branch", "depth", trusted=WITH_JUMPS),
        ),
        Claim(
            "T3.24",
            "The scalar problem has two minima",
            OURS,
            "different minima at depth 16",
            2.0,
            float(len(scalar)) if len(scalar) else np.nan,
            0.0,
            "a third one, or one counted twice",
            doubts(scalar, "branch", "depth", trusted=WITH_JUMPS),
        ),
        Claim(
            "T3.25",
            "Every certified branch has its own constant e₁, computed from its limit alone",
            OURS,
            f"n (Eₙ − E∞) / e₁, extrapolated, on the branch farthest from it, {scope(table, moving)}",
            1.0,
            farthest(ratios(moving), 1.0),
            0.02,
            "a ratio that tends to another number than 1",
        ),
        Claim(
            "T3.26",
            "A branch with e₁ = 0, the zero network of the ring, has the value of its limit at every depth",
            OURS,
            "largest |Eₙ − E∞| / E∞",
            0.0,
            farthest(resting["value_gap"] / resting["limit_value"], 0.0),
            ROUNDING,
            "a gap above rounding",
            none,
        ),
        Claim(
            "T6.21",
            "The certified minima at depth n, the lowest among them, tend as a set to those of E∞ at first order",
            OURS,
            f"order of the one-sided Hausdorff distance in TL² and head, all problems, {scope(table, sure)}",
            1.0,
            farthest(orders(levels(sure), "control_hausdorff", "data"), 1.0),
            0.05,
            "minimisers that stay away from all minimisers of the limit, or come at another order",
            (*rivals(table), *without),
        ),
        Claim(
            "T6.22",
            "Size of the orbit × order of the stabiliser is the order of the ring's group",
            OURS,
            f"images counted × symmetries that fix the network, at every depth {scope(rings, ring)}",
            8.0,
            farthest(ring["orbit"] * ring["stabiliser"], 8.0),
            0.0,
            "another product",
        ),
        Claim(
            "T6.23",
            "All images of a certified minimiser under the symmetries of the data have its value",
            OURS,
            f"largest relative difference of Eₙ over an orbit, {scope(table, sure)}",
            0.0,
            farthest(sure["spread"], 0.0),
            ROUNDING,
            "a symmetry that changes the objective",
        ),
        Claim(
            "T6.24",
            "A deep network has as many images as the minimiser of the limit it leads to",
            OURS,
            f"largest difference of the two orbits at the deepest network, {scope(table, deepest)}",
            0.0,
            farthest(deepest["orbit"] - deepest["limit_orbit"], 0.0),
            0.0,
            "a symmetry that only one of them has",
        ),
        Claim(
            "T6.25",
            "The optimal coupling is not above the identity coupling of the same atoms",
            OURS,
            f"largest exact distance / bound up to depth {EXACT}, {scope(table, sure)}",
            1.0,
            largest(coupled["control_tl2"] / coupled["control_bound"]),
            ROUNDING,
            "an exact distance above its bound",
            relation="≤",
        ),
    ]


def panels(table: pd.DataFrame) -> pd.DataFrame:
    """The trees, and again the parts of them whose values are too close."""
    parts = [table.assign(panel=table["data"])]
    for name, (least, most) in ZOOM.items():
        near = table[(table["data"] == name) & table["value"].between(least, most)]
        parts.append(near.assign(panel=f"{name}, values from {least} to {most}"))
    return pd.concat(parts)


def main(save: str = "branches") -> None:
    """The table, the record with its claims, and the tree of branches."""
    found = study.once(listing, save=f"{save}_points")
    table = study.sweep(measure, save=save, show=LINE, at=found["at"])
    low = lowest(table)
    leaders = {name: dict(zip(rows["depth"], rows["branch"], strict=True)) for name, rows in low.groupby("data")}
    study.record(save, study.constants(globals()), claims=claims(table), lowest_branch=leaders)
    plot.tree(panels(table), by="panel", save=save)


if __name__ == "__main__":
    study.run(main, globals())

"""A trained network against the limit: every gap of one row of a depth sweep, and the orders at which gaps fall."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from deeplimit import checks, continuum, discrete, expansion, gamma, norms
from deeplimit.control import Curve, Layers
from deeplimit.minimum import Minimum, Status
from deeplimit.norms import h1, head, l2, sup, tl2
from deeplimit.problem import Problem

__all__ = ["CONTROL_GAPS", "VALUE_GAPS", "Order", "gaps", "h1", "head", "l2", "order", "orders", "sup", "tl2"]

VALUE_GAPS = ("value_gap", "recovery_gap", "liminf_gap")
CONTROL_GAPS = ("control_l2", "control_sup", "control_h1", "control_tl2", "head_gap", "state_sup")
GAPS = (*VALUE_GAPS, *CONTROL_GAPS)
MEANINGFUL = ("converged", "stationary")  # beginnings of a status whose value is that of a local minimum
STANDSTILL = 0.25  # an order below which a gap does not tend to zero in any range of depths
RESOLVED = 100  # a gap this many times the solvers' error may enter a fit
FIT_POINTS = 5
FEWEST = 3  # gaps to fit an order to
CONFIDENCE = 0.95


def gaps(problem: Problem, net: Minimum, limit: Minimum) -> dict[str, Any]:
    """One row of a depth sweep: the minimiser of E_n against that of E_∞.

    With Θ_i the network's (K, b), Θ* the limit's, t_i = i/n, h = 1/n, Frobenius norms:

    - value_gap = min E_n − min E_∞ and predicted_gap = e₁/n (not for relu);
    - recovery_gap = E_n(Θ*(t_i)) − min E_∞;  liminf_gap = E_∞(Θ̂_n) − min E_∞, Θ̂_n the piecewise linear interpolant;
    - control_l2 = (h Σ|Θ_i − Θ*(t_i)|²)^½, control_sup = max_i |·|, control_h1 = (n Σ|Δ(Θ_i − Θ*(t_i))|²)^½,
      control_tl2 the identity-coupling bound of TL², head_gap over (W, c), state_sup = max over i, s of |X_i − X(t_i)|;
    - compactness, the largest quotient of a norm of Θ^(n) and its a-priori bound, see `gamma.compactness`;
    - error_bar, limit_error and their sum gap_error for the value columns; control_error, the distance bounds of both
      sides in the norms of the control columns (first order; NaN where a side has none); that of state_sup is larger
      by the flow's amplification.

    Raises
    ------
    ValueError, TypeError
        If `net` is not a network's minimum or `limit` not a curve's.
    """
    layers, curve = net.control, limit.control
    if not isinstance(layers, Layers) or not isinstance(curve, Curve):
        got = f"{type(layers).__name__} and {type(curve).__name__}"
        raise TypeError(
            f"gaps takes net from discrete.minimise and limit from continuum.minimise, got minima over {got}"
        )
    samples = curve.sample(layers.depth)
    distance = net.distance_bound + limit.distance_bound
    deep_error = distance * problem.metric.embedding() if distance < math.inf else math.nan
    smooth = problem.smooth
    return {
        "data": problem.data.name,
        "start_seed": net.seed,
        "depth": layers.depth,
        "value": net.value,
        "error_bar": net.error_bar,
        "limit_value": limit.value,
        "limit_error": limit.error_bar,
        "value_gap": net.value - limit.value,
        "gap_error": net.error_bar + limit.error_bar,
        "predicted_gap": expansion.value_constant(problem, limit) / layers.depth if smooth else math.nan,
        "recovery_gap": discrete.objective(problem, samples) - limit.value,
        "liminf_gap": continuum.objective(problem, layers.interpolant()) - limit.value,
        "control_l2": l2(layers, samples),
        "control_sup": sup(layers, samples),
        "control_h1": h1(layers, samples),
        "control_tl2": tl2(layers, curve),
        "head_gap": head(layers, curve),
        "state_sup": _state_sup(problem, layers, curve),
        "compactness": gamma.compactness(problem, layers),
        "data_loss": net.data_loss,
        "residual": net.residual,
        "curvature": net.curvature,
        "distance_bound": net.distance_bound,
        "iterations": net.iterations,
        "gradients": net.gradients,
        "hessian_products": net.hessian_products,
        "seconds": net.seconds,
        "status": str(net.status),
        "limit_status": str(limit.status),
        "control_error": deep_error,
        "dropped": "; ".join(problem.dropped),
    }


def transport(net: Layers, limit: Curve, coarser: Layers | None = None) -> dict[str, float]:
    """TL² distances of a network by the optimal assignment, each beside the identity coupling of the same atoms.

    tl2_exact and tl2_bound are those to the limit, taken at the midpoints of 1024 cells or more; tl2_step and
    tl2_step_bound those to a coarser network, NaN without one. The cost grows like the third power of the atoms.
    """
    step = (math.nan, math.nan) if coarser is None else (tl2(coarser, net, exact=True), norms.tl2_bound(coarser, net))
    return {
        "tl2_exact": tl2(net, limit, exact=True),
        "tl2_bound": norms.tl2_bound(net, limit),
        "tl2_step": step[0],
        "tl2_step_bound": step[1],
    }


def _state_sup(problem: Problem, layers: Layers, curve: Curve) -> float:
    difference = discrete.states(problem, layers) - continuum.states(problem, curve, layers.depth)
    return float(torch.linalg.vector_norm(difference, dim=-1).max())


@dataclass(frozen=True, eq=False)
class Order:
    """How a gap falls with depth: gap ≈ C n^(−slope).

    `pairwise[k]` is the observed order between the depths k and k + 1, NaN where a gap is not resolved; `slope` is the
    least-squares fit over the last resolved depths with its 95 % confidence interval [low, high], which measures how
    far the points are from one line, not the next term of the expansion; without three resolved depths the three are
    NaN and `note` says why. `extrapolated` removes that term from the last two pairwise orders, p + C/n at depth n.
    """

    pairwise: tuple[float, ...]
    slope: float
    low: float
    high: float
    depths: tuple[int, ...]
    note: str

    @property
    def extrapolated(self) -> float:
        """2 p_k − p_{k−1}, for doubled depths; NaN without two resolved pairs."""
        return 2 * self.pairwise[-1] - self.pairwise[-2] if len(self.pairwise) > 1 else math.nan


def order(depth: Iterable[float], gap: Iterable[float], error: Iterable[float]) -> Order:
    """The observed order of a gap, from the depths at which the solvers' error is below a hundredth of it.

    Parameters
    ----------
    depth, gap, error
        One number per depth, depths increasing; a gap may be signed; a NaN error counts as unresolved.
    """
    n, size, floor = (np.asarray(list(v), dtype=float) for v in (depth, gap, error))
    if not (len(n) == len(size) == len(floor)):
        raise ValueError(f"depth, gap and error must have one length, got {len(n)}, {len(size)} and {len(floor)}")
    if (np.diff(n) <= 0).any():
        raise ValueError(f"depths must increase strictly, got {n.tolist()}")
    resolved = RESOLVED * floor < np.abs(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(resolved, np.log(np.abs(size)), math.nan)
        pairwise = -np.diff(logs) / np.diff(np.log(n))
    changed = np.sign(size[1:]) != np.sign(size[:-1])
    pairwise = np.where(changed, math.nan, pairwise)
    note = "" if resolved.all() else f"not resolved at {int((~resolved).sum())} of {len(n)} depths"
    return _fit(n, logs, resolved & (np.sign(size) == np.sign(size[-1:])), tuple(pairwise), note)


def _fit(n: np.ndarray, logs: np.ndarray, usable: np.ndarray, pairwise: tuple[float, ...], note: str) -> Order:
    chosen = np.flatnonzero(usable)[-FIT_POINTS:]
    depths = tuple(int(k) for k in n[chosen])
    if len(chosen) < FEWEST:
        why = f"no fit: the solvers' error is below a hundredth of the gap at {len(chosen)} depths, three are needed"
        return Order(pairwise, math.nan, math.nan, math.nan, depths, why)
    line = stats.linregress(np.log(n[chosen]), logs[chosen])
    half = line.stderr * stats.t.ppf((1 + CONFIDENCE) / 2, len(chosen) - 2)
    return Order(pairwise, -line.slope, -line.slope - half, -line.slope + half, depths, note)


def since_last_jump(group: pd.DataFrame) -> pd.DataFrame:
    """The converged rows from the last change of branch on: gaps before it belong to another minimum.

    Where fewer than three are left the branch keeps changing, which is no convergence at all: then all converged rows.
    """
    if "status" not in group:
        return group
    group = group[group["status"].str.startswith(MEANINGFUL)]
    jumped = np.flatnonzero(group["status"] == str(Status.JUMPED))
    return group.iloc[jumped[-1] :] if len(jumped) and len(group) - jumped[-1] >= FEWEST else group


def _errors(column: str) -> list[str]:
    """The columns whose sum is the solvers' error in a gap."""
    return ["error_bar", "limit_error"] if column in VALUE_GAPS else ["control_error"]


def orders(table: pd.DataFrame, columns: Iterable[str] = GAPS, by: str = "data") -> pd.DataFrame:
    """Observed orders of the gaps of a depth sweep, one row per group and column, from the last change of branch on.

    Columns of the answer: the group, `quantity`, `last` (the order between the two deepest networks), `extrapolated`
    (what the pairwise orders tend to, for doubled depths), `order`, `low`,
    `high` (fit and its 95 % interval), `constant` (n · gap at the deepest network), `depths` (those of the fit) and
    `note`.

    Raises
    ------
    ValueError
        If the table has no such column, or none of the solvers' errors in it.
    """
    columns, rows = list(columns), []
    errors = {name for column in columns for name in _errors(column)}
    if by not in table:
        raise ValueError(f"by must be the column whose values are sweeps of their own, the table has no {by!r}")
    for wanted in ["depth", *columns, *sorted(errors)]:
        checks.known("a column of the table", wanted, [str(name) for name in table])
    for name, group in table.groupby(by, sort=False):
        group = since_last_jump(group.sort_values("depth"))
        for column in columns:
            error = group[_errors(column)].sum(axis=1, skipna=False)
            found = order(group["depth"], group[column], error)
            last = found.pairwise[-1] if found.pairwise else math.nan
            notes = [found.note] if found.note else []
            if last < STANDSTILL:
                notes.append("does not fall: networks and limit are on different branches")
            rows.append(
                {
                    by: name,
                    "quantity": column,
                    "last": last,
                    "extrapolated": found.extrapolated,
                    "order": found.slope,
                    "low": found.low,
                    "high": found.high,
                    "constant": float(group["depth"].iloc[-1] * group[column].iloc[-1]),
                    "depths": ", ".join(map(str, found.depths)),
                    "note": "; ".join(notes),
                }
            )
    return pd.DataFrame(rows)

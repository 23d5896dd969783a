"""Curves: columns of a table against one of them, a panel for each group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deeplimit import tables
from deeplimit.plot.frame import (
    LEGEND_WIDTH,
    MARKERS,
    PANELS_ACROSS,
    STYLE,
    black_lines,
    dress,
    one_legend,
    panels,
    saved,
    short,
)

SYMBOLS = {
    "value_gap": "value  |min Eₙ − min E∞|",
    "recovery_gap": "recovery  Eₙ(Θ* at i/n) − min E∞",
    "liminf_gap": "liminf  E∞(Θₙ interpolated) − min E∞",
    "predicted_gap": "predicted value gap  |e₁|/n",
    "value_gap / predicted_gap": "value gap / predicted  e₁/n",
    "control_l2": "K, b: nodal L²",
    "control_sup": "K, b: sup",
    "control_h1": "K, b: discrete H¹",
    "control_tl2": "K, b: TL² bound",
    "head_gap": "W, c",
    "state_sup": "states: sup",
}
# What the solvers' error of a gap is, by the first word of its column.
FLOORS = {"control": ("control_error",), "head": ("control_error",), "state": ("control_error",)}
VALUE_FLOOR = ("error_bar", "limit_error")


def rates(
    table: pd.DataFrame,
    *,
    x: str = "depth",
    y: Sequence[str] | Sequence[Sequence[str]] = (("value_gap",), ("control_l2",)),
    order: float = 1,
    by: str = "data",
    save: str | Path | None = None,
) -> Figure:
    """Gaps against depth on logarithmic axes, a column of panels per group.

    The dashed line has slope −order, a second one −2 where the liminf gap is drawn, the dotted one is the predicted
    value gap; the grey band is the solvers' error, below which a gap means nothing.

    Parameters
    ----------
    table
        A depth sweep.
    y
        Columns to draw, by absolute value; a list of lists makes a row of panels of each. "value_gap / predicted_gap"
        draws that quotient, which tends to 1 where the prediction holds.
    by
        Column whose values get a column of panels each, if the table has it.
    save
        Name or path without suffix.
    """
    groups = list(table.groupby(by, sort=False)) if by in table else [("", table)]
    flat = all(isinstance(row, str) for row in y)
    rows = [[str(row) for row in y]] if flat else [list(row) for row in y]
    tables.require(table, [x, *(name for row in rows for column in row for name in column.split(" / "))])
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(len(rows), len(groups), 3.0, 2.9, LEGEND_WIDTH, sharex=True, sharey="row")
        colours = dict(zip(itertools.chain(*rows), itertools.cycle(sns.color_palette("colorblind")), strict=False))
        for columns, line in zip(rows, axes, strict=True):
            lows = [
                _rate_panel(ax, group.sort_values(x), x, columns, order, colours)
                for ax, (_, group) in zip(line, groups, strict=True)
            ]
            if " / " not in columns[0]:
                line[0].set_ylim(bottom=min(lows))
            line[0].set_ylabel("observed / predicted" if " / " in columns[0] else "distance to the limit")
            line[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)
        for top, bottom, (name, _) in zip(axes[0], axes[-1], groups, strict=True):
            top.set_title(str(name))
            bottom.set_xlabel("depth n")
    return saved(figure, save)


def _rate_panel(
    ax: Axes, group: pd.DataFrame, x: str, columns: list[str], order: float, colours: dict[str, Any]
) -> float:
    """Draw one panel; the lower end of what it shows."""
    depth = group[x].to_numpy(dtype=float)
    ax.set_xscale("log", base=2)
    ax.set_xticks(depth, [f"{n:g}" for n in depth], rotation=60)
    ax.minorticks_off()
    if " / " in columns[0]:
        return _ratio_panel(ax, group, depth, columns, colours)
    for k, (column, marker) in enumerate(zip(columns, itertools.cycle(MARKERS), strict=False)):
        # later columns have larger, hollow markers below the earlier ones, so that equal gaps are all seen
        look: Any = {"color": colours[column], "marker": marker, "ms": 4 + 2 * k, "lw": 1.2, "zorder": 3 - 0.1 * k}
        look |= {"mfc": colours[column] if k == 0 else "none"}
        ax.plot(depth, group[column].abs(), label=SYMBOLS.get(column, column), **look)
    if "value_gap" in columns and "predicted_gap" in group and group["predicted_gap"].notna().any():
        ax.plot(depth, group["predicted_gap"].abs(), color="black", lw=1.2, ls=":", label=SYMBOLS["predicted_gap"])
    gaps = group[columns].abs().to_numpy(dtype=float)
    anchor = 2.5 * np.nanmax(gaps[0])
    slopes = [order, 2.0] if "liminf_gap" in columns and order != 2 else [order]
    for slope, dashes in zip(slopes, ("--", "-."), strict=False):
        ax.plot(depth, anchor * (depth / depth[0]) ** -slope, color="0.35", lw=1, ls=dashes, label=f"slope −{slope:g}")
    ax.set_yscale("log")
    floor = FLOORS.get(columns[0].split("_")[0], VALUE_FLOOR)
    least = np.nanmin(gaps[gaps > 0])
    if all(column in group for column in floor) and group[list(floor)].notna().to_numpy().all():
        error = group[list(floor)].sum(axis=1).to_numpy(dtype=float)
        ax.fill_between(depth, 1e-20, error, color="0.6", alpha=0.5, lw=0, label="solvers' error")
        least = min(least, error.min())
    return float(0.3 * least)


def _ratio_panel(
    ax: Axes, group: pd.DataFrame, depth: np.ndarray, columns: list[str], colours: dict[str, Any]
) -> float:
    for column, marker in zip(columns, itertools.cycle(MARKERS), strict=False):
        top, bottom = column.split(" / ")
        look: Any = {"color": colours[column], "marker": marker, "ms": 4, "lw": 1.2}
        ax.plot(depth, group[top] / group[bottom], label=SYMBOLS.get(column, column), **look)
    ax.axhspan(0.99, 1.01, color="0.6", alpha=0.5, lw=0, label="within 1 %")
    return math.nan


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    y: str | Sequence[str],
    by: str | None = None,
    hue: str | None = None,
    lines: Sequence[str] = (),
    slopes: Sequence[float] = (),
    labels: Mapping[str, str] | None = None,
    logx: float | None = 2,
    logy: bool | str = True,
    hollow: Sequence[str] = (),
    save: str | Path | None = None,
) -> Figure:
    """Columns of a table against another one, a panel per group.

    Parameters
    ----------
    x, y
        The abscissa, and the columns drawn with markers; by absolute value on a logarithmic axis.
    by
        Column whose values get a panel each, at most four in a row.
    hue
        Column whose values get a colour each.
    lines
        Columns drawn in black without markers, dotted or dash-dotted: predictions and bounds.
    slopes
        Exponents of reference lines x^slope, dashed grey, through the largest first value of the panel.
    labels
        Words and symbols for columns; the key "y" names the ordinate.
    logx
        Base of the logarithm of the abscissa, None for a linear one.
    logy
        True, False or "symlog".
    hollow
        Columns of y or values of hue with larger, hollow markers, so that others with equal numbers are seen inside.
    """
    names = dict(labels or {})
    columns = [y] if isinstance(y, str) else list(y)
    tables.require(table, [x, *columns, by, hue, *lines])
    groups = list(table.groupby(by, sort=False)) if by else [("", table)]
    across = min(len(groups), PANELS_ACROSS)
    hues = list(table[hue].unique()) if hue else [None]
    colours = sns.color_palette("colorblind", max(len(hues) if hue else len(columns), 1))
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(-(-len(groups) // across), across, 3.0, 2.9, LEGEND_WIDTH, sharex=True)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            for k, value in enumerate(hues):
                part = (group if hue is None else group[group[hue] == value]).sort_values(x)
                for j, (column, marker) in enumerate(zip(columns, itertools.cycle(MARKERS), strict=False)):
                    words = [names.get(column, column)] if len(columns) > 1 or hue is None else []
                    words += [f"{names.get(hue, hue)} {short(value)}".strip()] if hue is not None else []
                    look: Any = {"color": colours[k if hue else j], "marker": marker if not hue or j else "o", "ms": 4}
                    look |= {"ms": 8, "mfc": "none"} if {column, value} & set(hollow) else {}
                    data = part[part[column].notna()]
                    heights = data[column].abs() if logy is True else data[column]
                    ax.plot(
                        data[x],
                        heights,
                        lw=1.2,
                        ls=("-", "--", ":")[j % 3] if hue else "-",
                        **look,
                        label=", ".join(words),
                    )
            black_lines(ax, group, x, lines, hue, names, bool(logy is True))
            dress(ax, group, x, columns, slopes, logx, logy, np.sort(table[x].unique()))
            ax.set_title(str(name))
            ax.set_xlabel(names.get(x, "depth n" if x == "depth" else x))
            ax.tick_params(labelbottom=True)  # of every row, as the last one may have fewer panels
        for row in axes:
            row[0].set_ylabel(names.get("y", names.get(columns[0], columns[0]) if len(columns) == 1 else ""))
        one_legend(figure, axes)
    return saved(figure, save)


def replicas(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    mean: str,
    deviation: str,
    by: str,
    labels: Mapping[str, str] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Every replica of a random experiment as a dot, over the predicted mean ± 2 standard deviations.

    Parameters
    ----------
    x, y
        The abscissa, logarithmic, and the signed random number.
    mean, deviation
        Columns with what is predicted for it; one value for each x and panel.
    by
        Column whose values get a panel each.
    labels
        Words for the columns x and y.
    """
    names = dict(labels or {})
    groups = list(table.groupby(by, sort=False))
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(1, len(groups), 2.6, 2.9, LEGEND_WIDTH, sharex=True, sharey=True)
        for ax, (name, group) in zip(axes.flat, groups, strict=True):
            law = group.drop_duplicates(x).sort_values(x)
            low, high = (law[mean] + sign * 2 * law[deviation] for sign in (-1, 1))
            ax.fill_between(law[x], low, high, color="0.6", alpha=0.4, lw=0, label="predicted ± 2 deviations")
            ax.plot(law[x], law[mean], color="black", lw=1.2, ls="--", label="predicted mean")
            ax.plot(group[x], group[y], "o", color=sns.color_palette("colorblind")[0], ms=3, alpha=0.4, label="replica")
            ax.set_xscale("log", base=2)
            ax.set_xticks(law[x], [f"{v:g}" for v in law[x]], rotation=60)
            ax.minorticks_off()
            ax.set_title(str(name))
            ax.set_xlabel(names.get(x, x))
        axes[0, 0].set_ylabel(names.get(y, y))
        one_legend(figure, axes)
    return saved(figure, save)


def bands(
    table: pd.DataFrame,
    *,
    x: str,
    mean: str,
    band: tuple[str, str],
    lines: Sequence[str],
    by: str,
    labels: Mapping[str, str] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """A random function: its mean, a band of where it lies, and single realisations, a panel per group.

    Parameters
    ----------
    band
        Columns with the lower and the upper end of the band.
    lines
        Columns with realisations, drawn in black.
    labels
        Words for columns; the keys "y" and "band" name the ordinate and the band.
    """
    names = dict(labels or {})
    groups = list(table.groupby(by, sort=False))
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(1, len(groups), 3.0, 2.9, LEGEND_WIDTH, sharex=True, sharey=True)
        colour = sns.color_palette("colorblind")[0]
        for ax, (name, group) in zip(axes[0], groups, strict=True):
            group = group.sort_values(x)
            low, high = (group[end] for end in band)
            ax.fill_between(
                group[x], low, high, color=colour, alpha=0.25, lw=0, label=names.get("band", " … ".join(band))
            )
            ax.plot(group[x], group[mean], color=colour, lw=1.6, label="mean")
            for column, style in zip(lines, itertools.cycle(("--", ":")), strict=False):
                ax.plot(group[x], group[column], color="black", lw=1, ls=style, label=names.get(column, column))
            ax.set_title(str(name))
            ax.set_xlabel(names.get(x, x))
        axes[0, 0].set_ylabel(names.get("y", ""))
        one_legend(figure, axes)
    return saved(figure, save)


def dots(
    table: pd.DataFrame,
    *,
    x: str,
    y: Sequence[str],
    hue: str,
    level: float,
    within: float,
    labels: Mapping[str, str] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Columns of a table against categories, a panel per column, with the predicted level ± a tolerance.

    Parameters
    ----------
    x, hue
        Columns whose values get a place on the abscissa, and a colour and marker each; rows without a number are left
        out.
    y
        The columns, of numbers near the level; all panels have the same ordinate.
    labels
        Words for columns.
    """
    names = dict(labels or {})
    places, hues = list(table[x].unique()), list(table[hue].unique())
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(1, len(y), 3.6, 2.9, LEGEND_WIDTH, sharey=True)
        for ax, column in zip(axes[0], y, strict=True):
            ax.axhspan(level - within, level + within, color="0.93", zorder=0)
            ax.axhline(level, color="0.5", ls="--", lw=1, label=f"predicted: {level:g} ± {within:g}")
            for k, (value, colour) in enumerate(zip(hues, sns.color_palette("colorblind", len(hues)), strict=False)):
                part = table[table[hue] == value]
                shift = 0.2 * (k - (len(hues) - 1) / 2)
                where = [places.index(place) + shift for place in part[x]]
                ax.plot(where, part[column], ls="", ms=5, color=colour, marker="osD^v"[k % 5], label=str(value))
            ax.set_xticks(range(len(places)), [str(place) for place in places], rotation=45, ha="right")
            ax.set_ylim(min(level - 1.2 * within, ax.get_ylim()[0]), max(level + 1.2 * within, ax.get_ylim()[1]))
            ax.set_title(names.get(column, column))
        one_legend(figure, axes)
    return saved(figure, save)

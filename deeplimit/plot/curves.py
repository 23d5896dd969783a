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
    STYLE,
    black_lines,
    by_group,
    dress,
    label_ticks,
    one_legend,
    panels,
    saved,
    spelt,
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
HOLLOW, HOLLOW_STEP = 7.5, 2.0  # size of the first hollow marker, and what each further one has more
MOST_MARKED, MARKED = 24, 12  # points of a curve that all have a marker, and how many of more have one


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
    x
        The column of depths.
    y
        Columns to draw, by absolute value; a list of lists makes a row of panels of each. "value_gap / predicted_gap"
        draws that quotient, which tends to 1 where the prediction holds.
    by
        Column whose values get a column of panels each, if the table has it.
    order
        What falls as n^−order is parallel to the dashed line.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
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
            top.set_title(spelt(name))
            bottom.set_xlabel("depth n")
    return saved(figure, save)


def _rate_panel(
    ax: Axes, group: pd.DataFrame, x: str, columns: list[str], order: float, colours: dict[str, Any]
) -> float:
    """Draw one panel; the lower end of what it shows."""
    depth = group[x].to_numpy(dtype=float)
    ax.set_xscale("log", base=2)
    label_ticks(ax, depth)
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
    hollow: Sequence[Any] = (),
    save: str | Path | None = None,
) -> Figure:
    """Columns of a table against another one, a panel per group.

    Parameters
    ----------
    table
        Has the columns that the other arguments name; in those drawn, NaN is left out.
    x, y
        The abscissa, and the columns drawn with markers; by absolute value on a logarithmic axis. Of a curve with many
        points some have a marker.
    by
        Column whose values get a panel each, at most four in a row.
    hue
        Column whose values get a colour and a marker each; the columns of y then have dashes and faces of their own.
    lines
        Columns drawn in black without markers, dotted or dash-dotted: predictions and bounds.
    slopes
        Exponents of reference lines x^slope, dashed grey, through 2.5 times the largest first value of the panel.
    labels
        Words and symbols for columns; the key "y" names the ordinate.
    logx
        Base of the logarithm of the abscissa, None for a linear one.
    logy
        True, False or "symlog".
    hollow
        Columns of y or values of hue with hollow markers, each larger than the one before and all larger than the
        others, so that equal numbers are all seen.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    names = dict(labels or {})
    columns = [y] if isinstance(y, str) else list(y)
    tables.require(table, [x, *columns, by, hue, *lines])
    hues = list(table[hue].unique()) if hue else [None]
    many = max(len(hues) if hue else len(columns), 1)
    ticks = np.sort(table[x].unique())

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for (k, value), (j, column) in itertools.product(enumerate(hues), enumerate(columns)):
            part = group if hue is None else group[group[hue] == value]
            part = part[part[column].notna()].sort_values(x)
            words = [names.get(column, column)] if len(columns) > 1 or hue is None else []
            words += [f"{names.get(hue, hue)} {spelt(value)}".strip()] if hue is not None else []
            look = _look(k if hue else j, many, j if hue else 0) | _hollow([column, value], hollow)
            heights = part[column].abs() if logy is True else part[column]
            ax.plot(part[x], heights, **look, markevery=_marked(len(part), k + j), label=", ".join(words))
        black_lines(ax, group, x, lines, hue, names, logy is True)
        dress(ax, group, x, columns, slopes, logx, logy, ticks)

    words = names.get(x, "depth n" if x == "depth" else x)
    height = names.get("y", names.get(columns[0], columns[0]) if len(columns) == 1 else "")
    return by_group(table, by, draw, x=words, y=height, save=save, sharex=True)


def _look(k: int, many: int, style: int) -> dict[str, Any]:
    """Colour and marker k of `many`, in one of the styles of lines; the first style has filled markers."""
    colour = sns.color_palette("colorblind", many)[k]
    face = "white" if style else colour
    return {
        "color": colour,
        "marker": MARKERS[k % len(MARKERS)],
        "mfc": face,
        "ms": 4.5,
        "lw": 1.2,
        "ls": ("-", "--", ":")[style % 3],
    }


def _hollow(names: Sequence[Any], hollow: Sequence[Any]) -> dict[str, Any]:
    """Markers without a face, by the place of the first of the names that is in the list."""
    places = [list(hollow).index(name) for name in names if name in hollow]
    return {"ms": HOLLOW + HOLLOW_STEP * places[0], "mfc": "none"} if places else {}


def _marked(points: int, first: int) -> tuple[int, int] | None:
    """Which points of a curve have a marker: all, or about as many as can be told apart, from another one for each."""
    step = -(-points // MARKED)
    return (3 * first % step, step) if points > MOST_MARKED else None


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
    table
        A row for each replica, x and panel.
    x, y
        The abscissa, logarithmic, and the signed random number.
    mean, deviation
        Columns with what is predicted for it; one value for each x and panel.
    by
        Column whose values get a panel each.
    labels
        Words for the columns x and y.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    names = dict(labels or {})
    tables.require(table, [x, y, mean, deviation, by])

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        law = group.drop_duplicates(x).sort_values(x)
        low, high = (law[mean] + sign * 2 * law[deviation] for sign in (-1, 1))
        ax.fill_between(law[x], low, high, color="0.6", alpha=0.4, lw=0, label="predicted ± 2 deviations")
        ax.plot(group[x], group[y], "o", color=sns.color_palette("colorblind")[0], ms=3, alpha=0.4, label="replica")
        ax.plot(law[x], law[mean], color="black", lw=1.2, ls="--", label="predicted mean")
        ax.set_xscale("log", base=2)
        label_ticks(ax, law[x].to_numpy(dtype=float))

    words = {"x": names.get(x, x), "y": names.get(y, y)}
    return by_group(table, by, draw, size=(2.6, 2.9), **words, save=save, sharex=True, sharey=True)


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
    table
        A row for each x and panel.
    x, mean
        The abscissa and the column with the mean.
    band
        Columns with the lower and the upper end of the band.
    lines
        Columns with realisations, drawn in black.
    by
        Column whose values get a panel each.
    labels
        Words for columns; the keys "y" and "band" name the ordinate and the band.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    names = dict(labels or {})
    tables.require(table, [x, mean, *band, *lines, by])
    colour, words = sns.color_palette("colorblind")[0], names.get("band", " … ".join(band))

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        group = group.sort_values(x)
        low, high = (group[end] for end in band)
        ax.fill_between(group[x], low, high, color=colour, alpha=0.25, lw=0, label=words)
        ax.plot(group[x], group[mean], color=colour, lw=1.6, label="mean")
        for column, style in zip(lines, itertools.cycle(("--", ":")), strict=False):
            ax.plot(group[x], group[column], color="black", lw=1, ls=style, label=names.get(column, column))

    return by_group(table, by, draw, x=names.get(x, x), y=names.get("y", ""), save=save, sharex=True, sharey=True)


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
    table
        A row for each value of x and of hue; where a column of y is NaN there is no dot.
    x, hue
        Columns whose values get a place on the abscissa, and a colour and marker each.
    y
        The columns, of numbers near the level, a panel each; all panels have the same ordinate.
    level, within
        What is predicted, a dashed line, and the tolerance, a grey band.
    labels
        Words for columns; the key "y" names the ordinate.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    names = dict(labels or {})
    tables.require(table, [x, hue, *y])
    places, hues = list(table[x].unique()), list(table[hue].unique())
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(1, len(y), 3.6, 2.9, LEGEND_WIDTH, sharey=True)
        for ax, column in zip(axes[0], y, strict=True):
            ax.axhspan(level - within, level + within, color="0.93", zorder=0)
            ax.axhline(level, color="0.5", ls="--", lw=1, label=f"predicted: {level:g} ± {within:g}")
            for k, (value, colour) in enumerate(zip(hues, sns.color_palette("colorblind", len(hues)), strict=True)):
                part = table[(table[hue] == value) & table[column].notna()]
                shift = 0.2 * (k - (len(hues) - 1) / 2)
                where = [places.index(place) + shift for place in part[x]]
                ax.plot(where, part[column], ls="", ms=5, color=colour, marker=MARKERS[k % 5], label=spelt(value))
            ax.set_xticks(range(len(places)), [str(place) for place in places], rotation=45, ha="right")
            ax.set_xlim(-0.5, len(places) - 0.5)
            ax.set_ylim(min(level - 1.2 * within, ax.get_ylim()[0]), max(level + 1.2 * within, ax.get_ylim()[1]))
            ax.set_title(names.get(column, column))
            ax.set_xlabel(names.get(x, x))
        axes[0, 0].set_ylabel(names.get("y", ""))
        one_legend(figure, axes)
    return saved(figure, save)

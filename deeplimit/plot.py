"""Figures from tables: convergence curves, weights over depth, the flow of the data and decision regions.

Every function reads a DataFrame, returns a matplotlib Figure and shows nothing; `save` writes a PNG beside the table.
"""

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
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from deeplimit.study import results_path

MARKERS = "osD^vPX*"
DPI = 160
LEGEND_WIDTH = 2.8  # inches right of the panels
PANELS_ACROSS = 4
MOST_TICKS = 10  # of a logarithmic abscissa that get a label each
MOST_LINEAR = 3  # largest ratio of the values of a linear ordinate
TEXT_HEIGHT = 1.35  # factor between two small texts one above the other, on four decades
LIMIT = "∞"  # the depth of the limit in a table
STYLE: Any = {"figure.dpi": DPI, "axes.titlesize": "medium", "legend.frameon": False, "font.size": 9}
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


def _figure(
    rows: int, columns: int, width: float, height: float, margin: float = 0.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width * columns + margin, height * rows), layout="constrained", dpi=DPI)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _saved(figure: Figure, save: str | Path | None) -> Figure:
    if save is not None:
        path = results_path(save, ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})  # no versions, so that equal figures are equal files
    return figure


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
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(len(rows), len(groups), 3.0, 2.9, LEGEND_WIDTH, sharex=True, sharey="row")
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
    return _saved(figure, save)


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
    groups = list(table.groupby(by, sort=False)) if by else [("", table)]
    across = min(len(groups), PANELS_ACROSS)
    hues = list(table[hue].unique()) if hue else [None]
    colours = sns.color_palette("colorblind", max(len(hues) if hue else len(columns), 1))
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(-(-len(groups) // across), across, 3.0, 2.9, LEGEND_WIDTH, sharex=True)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            for k, value in enumerate(hues):
                part = (group if hue is None else group[group[hue] == value]).sort_values(x)
                for j, (column, marker) in enumerate(zip(columns, itertools.cycle(MARKERS), strict=False)):
                    words = [names.get(column, column)] if len(columns) > 1 or hue is None else []
                    words += [f"{names.get(hue, hue)} {_short(value)}".strip()] if hue is not None else []
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
            _black_lines(ax, group, x, lines, hue, names, bool(logy is True))
            _dress(ax, group, x, columns, slopes, logx, logy, np.sort(table[x].unique()))
            ax.set_title(str(name))
            ax.set_xlabel(names.get(x, "depth n" if x == "depth" else x))
            ax.tick_params(labelbottom=True)  # of every row, as the last one may have fewer panels
        for row in axes:
            row[0].set_ylabel(names.get("y", names.get(columns[0], columns[0]) if len(columns) == 1 else ""))
        _one_legend(figure, axes)
    return _saved(figure, save)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _black_lines(
    ax: Axes, group: pd.DataFrame, x: str, lines: Sequence[str], hue: str | None, names: Mapping[str, str], logy: bool
) -> None:
    for column, style in zip(lines, itertools.cycle((":", "-.", (0, (1, 4)))), strict=False):
        for k, (_, part) in enumerate(group.groupby(hue, sort=False) if hue else [("", group)]):
            part = part[part[column].notna()].sort_values(x)
            label = "_" if k else names.get(column, column)
            ax.plot(part[x], part[column].abs() if logy else part[column], color="black", lw=1.2, ls=style, label=label)


def _dress(
    ax: Axes,
    group: pd.DataFrame,
    x: str,
    columns: Sequence[str],
    slopes: Sequence[float],
    logx: float | None,
    logy: bool | str,
    shared: np.ndarray,
) -> None:
    """Scales, ticks and reference slopes of a panel; `shared` are the abscissae of all panels, which share an axis."""
    ticks = np.sort(group[x].unique())
    if logx:
        ax.set_xscale("log", base=logx)
        if len(shared) <= MOST_TICKS:
            ax.set_xticks(shared, [f"{n:g}" for n in shared], rotation=60)
            ax.minorticks_off()
    top = 2.5 * float(np.nanmax(group[group[x] == ticks[0]][list(columns)].abs().to_numpy(dtype=float)))
    for slope, dashes in zip(slopes, itertools.cycle(("--", (0, (5, 1, 1, 1)), (0, (2, 2)))), strict=False):
        ax.plot(
            ticks,
            top * (ticks / ticks[0]) ** slope,
            color="0.5",
            lw=1,
            ls=dashes,
            label=f"slope {slope:g}".replace("-", "−"),
        )
    if logy is True:
        least = np.nanmin(group[list(columns)].abs().replace(0, np.nan).to_numpy(dtype=float))
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.4 * least)
    elif logy:
        ax.set_yscale(str(logy))


def _one_legend(figure: Figure, axes: np.ndarray) -> None:
    """Every label once, right of the panels."""
    entries = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if len(entries) > 1:
        figure.legend(entries.values(), entries.keys(), loc="outside right upper")


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
        figure, axes = _figure(1, len(groups), 2.6, 2.9, LEGEND_WIDTH, sharex=True, sharey=True)
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
        _one_legend(figure, axes)
    return _saved(figure, save)


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
        figure, axes = _figure(1, len(groups), 3.0, 2.9, LEGEND_WIDTH, sharex=True, sharey=True)
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
        _one_legend(figure, axes)
    return _saved(figure, save)


def laws(
    table: pd.DataFrame,
    *,
    y: str,
    by: str,
    hue: str,
    filled: Sequence[str] = (),
    dashed: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Densities or distribution functions over x, a panel per group, each with an abscissa of its own.

    Parameters
    ----------
    table
        Columns `x`, y, `by` and `hue`; the rows of a curve in the order in which it is drawn.
    y
        The column of heights.
    hue
        Column whose values get a curve each, from light to dark in their order.
    filled, dashed
        Values of `hue` drawn as a filled histogram, x the middle of its bars, and as a black dashed line.
    labels
        Words for the columns x and y, and for values of `hue`.
    """
    names, groups = dict(labels or {}), list(table.groupby(by, sort=False))
    down = -(-len(groups) // PANELS_ACROSS)
    across = -(-len(groups) // down)
    plain = [value for value in table[hue].unique() if value not in {*filled, *dashed}]
    colours = dict(zip(plain, sns.color_palette("viridis_r", len(plain) + 1)[1:], strict=True))
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(down, across, 2.7, 2.5, LEGEND_WIDTH)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            for value, curve in group.groupby(hue, sort=False):
                label = names.get(str(value), str(value))
                if value in filled:
                    ax.fill_between(curve["x"], curve[y], step="mid", color="0.75", lw=0, label=label)
                else:
                    look: Any = {"color": "black", "ls": "--"} if value in dashed else {"color": colours[value]}
                    ax.plot(curve["x"], curve[y], lw=1.2, label=label, **look)
            ax.set_title(str(name))
            ax.set_xlabel(names.get("x", "x"))
        for row in axes:
            row[0].set_ylabel(names.get(y, y))
        _one_legend(figure, axes)
    return _saved(figure, save)


def clouds(
    table: pd.DataFrame,
    *,
    by: str,
    line: tuple[float, float],
    labels: Mapping[str, str],
    save: str | Path | None = None,
) -> Figure:
    """Points of the plane, a panel per group, with the line y = ax + c that they are drawn to.

    Parameters
    ----------
    table
        Columns `x`, `y` and `by`.
    line
        a and c.
    labels
        Words for x and y.
    """
    groups = list(table.groupby(by, sort=False))
    ends = np.array([table["x"].min(), table["x"].max()])
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(1, len(groups), 2.4, 2.5, sharex=True, sharey=True)
        for ax, (name, group) in zip(axes[0], groups, strict=True):
            ax.plot(ends, line[0] * ends + line[1], color="black", lw=1.2, ls="--", label="target line")
            ax.plot(
                group["x"], group["y"], "o", color=sns.color_palette("colorblind")[0], ms=2, alpha=0.5, label="data"
            )
            ax.set_title(str(name))
            ax.set_xlabel(labels["x"])
        axes[0, 0].set_ylabel(labels["y"])
        axes[0, 0].legend(loc="upper left", fontsize="small")
    return _saved(figure, save)


def weights(table: pd.DataFrame, *, by: str = "data", save: str | Path | None = None) -> Figure:
    """Weights over depth for growing n, over those of the limit.

    Parameters
    ----------
    table
        Columns `by`, `entry` (a name such as "K[0, 1]"), `depth` (a number, or "∞" for the limit), `t`, `weight`.
        One column of panels per group, one row per entry.
    """
    groups = list(table.groupby(by, sort=False))
    rows = max(group["entry"].nunique() for _, group in groups)
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(rows, len(groups), 4.3, 2.5, sharex=True)
        for column, (name, group) in zip(axes.T, groups, strict=True):
            for ax, (entry, lines) in zip(column, group.groupby("entry", sort=False), strict=False):
                _weight_panel(ax, lines)
                ax.set_ylabel(_entry_label(str(entry)))
            column[0].set_title(str(name))
            column[-1].set_xlabel("t = i/n")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return _saved(figure, save)


def _entry_label(entry: str) -> str:
    """K[1, 2] as K₁₂(t)."""
    block, _, index = entry.partition("[")
    return f"${block}_{{{index.rstrip(']')}}}(t)$"


def _weight_panel(ax: Axes, lines: pd.DataFrame) -> None:
    depths = [depth for depth in lines["depth"].unique() if str(depth) != LIMIT]
    for depth, colour in zip(depths, sns.color_palette("viridis_r", len(depths)), strict=True):
        part = lines[lines["depth"] == depth]
        t, value = part["t"].to_numpy(dtype=float), part["weight"].to_numpy(dtype=float)
        t, value = np.append(t, 1.0), np.append(value, value[-1])  # the last layer lasts until t = 1
        ax.step(t, value, where="post", color=colour, lw=1.2, label=f"n = {depth}")
    limit = lines[lines["depth"].astype(str) == LIMIT]
    ax.plot(limit["t"], limit["weight"], color="black", lw=1.6, ls="--", label="limit, n = ∞")
    ax.margins(x=0.01)


def kernels(table: pd.DataFrame, *, save: str | Path | None = None) -> Figure:
    """An entry of the kernel of dense networks over the triangle, by depth, and of the limit.

    Parameters
    ----------
    table
        Columns `depth` (a number, or "∞" for the limit), `i`, `j` (the pair, j < i ≤ n) and `weight`. The weight of a
        pair fills the square from ((i − 1)/n, j/n) to (i/n, (j + 1)/n).
    """
    groups = list(table.groupby("depth", sort=False))
    low, high = table["weight"].min(), table["weight"].max()
    with mpl.rc_context(STYLE), sns.axes_style("ticks"):
        figure, axes = _figure(1, len(groups), 2.7, 2.6, 0.8, sharex=True, sharey=True)
        for ax, (depth, part) in zip(axes[0], groups, strict=True):
            n = int(part["i"].max())
            image = np.full((n, n), np.nan)
            image[part["j"], part["i"] - 1] = part["weight"]
            edges = np.arange(n + 1) / n
            mesh = ax.pcolormesh(edges, edges, image, cmap="cividis", vmin=low, vmax=high, rasterized=True)
            ax.set_title("limit, n = ∞" if str(depth) == LIMIT else f"n = {depth}")
            ax.set_xlabel("t = i/n")
            ax.set_aspect("equal")
        axes[0, 0].set_ylabel("s = j/n")
        sns.despine(figure)
        figure.colorbar(mesh, ax=axes[0, :], label="$K_{11}(t, s)$")
    return _saved(figure, save)


def heat(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    z: str,
    line: str,
    labels: Mapping[str, str] | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
    save: str | Path | None = None,
) -> Figure:
    """A number over a rectangle of two others, with a predicted line.

    Parameters
    ----------
    x, y, z
        The abscissa, the ordinate and the number that is coloured; one row for each pair.
    line
        Column with the x at which the change is predicted for each y; NaN where nothing is.
    labels
        Words for the columns.
    limits
        Values of z at the ends of the colours; what lies outside has those of the ends.
    """
    names = dict(labels or {})
    grid = table.pivot(index=y, columns=x, values=z)
    with mpl.rc_context(STYLE), sns.axes_style("ticks"):
        figure, axes = _figure(1, 1, 5.2, 3.4)
        ax = axes[0, 0]
        low, high = limits
        image = grid.clip(low, high).to_numpy(dtype=float)
        mesh = ax.pcolormesh(grid.columns, grid.index, image, cmap="cividis", vmin=low, vmax=high, rasterized=True)
        change = table.drop_duplicates(y).sort_values(y)
        ax.plot(change[line], change[y], color="white", lw=1.6, ls="--", label=names.get(line, line))
        ax.set_xlabel(names.get(x, x))
        ax.set_ylabel(names.get(y, y))
        ax.legend(loc="lower right", labelcolor="white")
        figure.colorbar(mesh, ax=ax, label=names.get(z, z), extend="both")
    return _saved(figure, save)


def orders(table: pd.DataFrame, *, weak: float, save: str | Path | None = None) -> Figure:
    """One weight over depth, a column of panels per order of the layers and a row per depth.

    Parameters
    ----------
    table
        Columns `order`, `depth`, `t`, `weight`.
    weak
        The weak limit of fast oscillations, a dashed line.
    """
    groups = list(table.groupby("order", sort=False))
    depths = list(table["depth"].unique())
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(len(depths), len(groups), 1.9, 1.5, sharex=True, sharey=True)
        for column, (name, group) in zip(axes.T, groups, strict=True):
            for ax, depth in zip(column, depths, strict=True):
                part = group[group["depth"] == depth]
                colour = sns.color_palette("colorblind")[0]
                ax.stairs(part["weight"], [*part["t"], 1.0], baseline=None, color=colour, lw=1.2, label="weight k")
                ax.axhline(weak, color="black", lw=1, ls="--", label="weak limit of fast oscillations")
                ax.grid(axis="x", visible=False)
            column[0].set_title(str(name))
            column[-1].set_xlabel("t = i/n")
        for ax, depth in zip(axes[:, 0], depths, strict=True):
            ax.set_ylabel(f"n = {depth}")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return _saved(figure, save)


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
        figure, axes = _figure(1, len(y), 3.6, 2.9, LEGEND_WIDTH, sharey=True)
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
        _one_legend(figure, axes)
    return _saved(figure, save)


def flow(paths: pd.DataFrame, regions: pd.DataFrame, *, save: str | Path | None = None) -> Figure:
    """Two-dimensional data moving through the layers, and the classes that the network decides for, by depth.

    Parameters
    ----------
    paths
        Columns `depth`, `sample`, `label`, `t`, `x1`, `x2`: the states of every sample.
    regions
        Columns `depth`, `x1`, `x2`, `score`: the probability of class 1 on a regular grid of inputs.
    """
    depths = list(paths["depth"].unique())
    with mpl.rc_context(STYLE), sns.axes_style("white"):
        figure, axes = _figure(2, len(depths), 2.7, 2.7, sharex="row", sharey="row")
        for (upper, lower), depth in zip(axes.T, depths, strict=True):
            _flow_panel(upper, paths[paths["depth"] == depth])
            image = _region_panel(lower, regions[regions["depth"] == depth], paths[paths["depth"] == depth])
            upper.set_title(f"n = {depth}")
            lower.set_xlabel("x₁")
        axes[0, 0].set_ylabel("X₂(t), marked at t = 1")
        axes[1, 0].set_ylabel("x₂, inputs and decision")
        bar = figure.colorbar(image, ax=axes[1, :], label="probability of class 1", ticks=[0, 0.5, 1])
        bar.outline.set_visible(False)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return _saved(figure, save)


def _classes(paths: pd.DataFrame) -> list[tuple[int, tuple[float, float, float], str]]:
    palette = sns.color_palette("colorblind")
    return [(int(k), to_rgb(palette[i % 10]), "os^D"[i % 4]) for i, k in enumerate(sorted(paths["label"].unique()))]


def _flow_panel(ax: Axes, paths: pd.DataFrame) -> None:
    for label, colour, marker in _classes(paths):
        part = paths[paths["label"] == label]
        for _, path in part.groupby("sample"):
            ax.plot(path["x1"], path["x2"], color=colour, lw=0.6, alpha=0.5)
        ends = part[part["t"] == part["t"].max()]
        ax.plot(ends["x1"], ends["x2"], marker, color=colour, ms=3.5, mec="white", mew=0.4, label=f"class {label}")
    ax.set_xlabel("X₁(t)")


def _region_panel(ax: Axes, regions: pd.DataFrame, paths: pd.DataFrame) -> Any:
    grid = regions.pivot(index="x2", columns="x1", values="score")
    extent: Any = (grid.columns.min(), grid.columns.max(), grid.index.min(), grid.index.max())
    zero, one = (colour for _, colour, _ in _classes(paths)[:2])
    shades = LinearSegmentedColormap.from_list("classes", [zero, (1.0, 1.0, 1.0), one])
    image = ax.imshow(
        grid.to_numpy(), origin="lower", extent=extent, cmap=shades, vmin=0, vmax=1, aspect="auto", alpha=0.6
    )
    ax.contour(grid.columns, grid.index, grid.to_numpy(), levels=[0.5], colors="black", linewidths=1)
    for label, colour, marker in _classes(paths):
        starts = paths[(paths["label"] == label) & (paths["t"] == 0)]
        ax.plot(starts["x1"], starts["x2"], marker, color=colour, ms=3.5, mec="white", mew=0.4)
    return image


def tree(table: pd.DataFrame, *, by: str = "data", save: str | Path | None = None) -> Figure:
    """Values of branches of minima against depth, a panel per group, each ending at its limit, drawn at n = ∞.

    Parameters
    ----------
    table
        Columns `data, branch, depth, value, limit_value, merged_into, status, limit_status` and that of `by`; a branch
        has one colour in all panels.
    """
    groups = list(table.groupby(by, sort=False))
    across = min(len(groups), PANELS_ACROSS - 1)
    palette = sns.color_palette("colorblind")
    order = [(branch, k) for _, part in table.groupby("data") for k, branch in enumerate(part["branch"].unique())]
    colours = {branch: palette[k % len(palette)] for branch, k in order}
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(-(-len(groups) // across), across, 3.4, 2.9)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            _tree_panel(ax, group, colours)
            ax.set_title(str(name))
        for row in axes:
            row[0].set_ylabel("value of a minimum")
        look: Any = {"color": "0.3", "ms": 6}
        handles = [
            Line2D([], [], marker="o", lw=1.3, label="a minimum of Eₙ, followed", **look),
            Line2D([], [], ls="--", lw=0.8, label="no such minimum at the next depth: jump", **look),
            Line2D([], [], marker="x", ls="", mew=1.8, label="the same network as on another branch", **look),
            Line2D([], [], marker="D", ls=":", label="its minimum of E∞", **look),
            Line2D([], [], marker="D", ls="", mfc="white", label="not certified", **look),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(across + 1, 3))
    return _saved(figure, save)


def _tree_panel(ax: Axes, group: pd.DataFrame, colours: Mapping[str, Any]) -> None:
    depths = np.sort(group["depth"].unique())
    end = float(depths[-1]) * 4
    for branch, rows in group.sort_values("depth").groupby("branch", sort=False):
        colour, points = colours[str(branch)], rows.to_dict("records")
        for a, b in itertools.pairwise(points):
            leapt = "another branch" in b["status"]
            look: Any = {"ls": "--", "lw": 0.8} if leapt else {"ls": "-", "lw": 1.3}
            ax.plot([a["depth"], b["depth"]], [a["value"], b["value"]], color=colour, **look)
        for row in points:
            fill = colour if row["status"].startswith("converged") else "white"
            joined = bool(row["merged_into"])
            ax.plot(row["depth"], row["value"], "x" if joined else "o", ms=8 if joined else 4, color=colour, mfc=fill)
        last = points[-1]
        if last["depth"] == depths[-1] and not last["merged_into"]:
            fill = colour if last["limit_status"].startswith("converged") else "white"
            ax.plot([last["depth"], end], [last["value"], last["limit_value"]], ":", color=colour, lw=1.3)
            ax.plot(end, last["limit_value"], "D", ms=5, color=colour, mfc=fill)
    if group["value"].max() > MOST_LINEAR * group["value"].min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xscale("log", base=2)
    ax.set_xticks([*depths, end], [*map(str, depths), LIMIT])
    ax.minorticks_off()
    ax.set_xlabel("depth n")


def work(table: pd.DataFrame, *, save: str | Path | None = None) -> Figure:
    """Work and precision: methods against one another, evaluations per depth, and the cost of a layer.

    Parameters
    ----------
    table
        That of the study work_precision. A method that did not reach the tolerance has an open marker, beside it the
        |∂E/∂u| it had; seconds of several depths are those of all coarser ones too.
    """
    races = table[(table["part"] == "race") & table["dual"].notna()]
    methods = zip(races["method"].unique(), sns.color_palette("colorblind"), MARKERS, strict=False)
    looks = {method: {"color": colour, "marker": marker} for method, colour, marker in methods}
    own = table[table["part"] == "precision"]
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = _figure(2, 3, 3.6, 3.5)
        _accuracy_panels(axes[0, :2], table, own, looks)
        for ax, (name, group) in zip((axes[0, 2], axes[1, 0]), races.groupby("data", sort=False), strict=False):
            _race_panel(ax, group, looks)
            ax.set_title(str(name))
        _levels_panel(axes[1, 1], table[table["part"] == "levels"])
        _layers_panel(axes[1, 2], table[(table["part"] == "layers") & (table["data"] == own["data"].iloc[0])])
        grey: Any = {"color": "0.3", "ms": 5}
        handles = [Line2D([], [], **look, ms=5, label=method) for method, look in looks.items()]
        handles += [
            Line2D([], [], ls="--", marker="o", mec="black", mew=1.5, **grey, label="from our minimiser at depth n/2"),
            Line2D([], [], ls="", marker="o", mfc="white", **grey, label="tolerance not reached; least |∂E/∂u|"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return _saved(figure, save)


def _accuracy_panels(axes: np.ndarray, table: pd.DataFrame, own: pd.DataFrame, looks: Mapping[str, Any]) -> None:
    """|∂E/∂u| against seconds and against evaluations, at the depth of the part `precision`."""
    depth, name = own["depth"].iloc[0], own["data"].iloc[0]
    own = own.assign(gradients=own["gradients"] + own["products"], start="doubled")
    seen = table[(table["part"] == "trace") & (table["depth"] == depth) & (table["data"] == name)]
    words = {"seconds": "seconds", "gradients": "gradients and Hessian products"}
    for ax, x in zip(axes, words, strict=True):
        for (method, start), group in pd.concat([own, seen]).groupby(["method", "start"], sort=False):
            ax.plot(group[x], group["dual"], **_look(looks[method], start), markevery=(0.0, 0.15))
        ax.set(xscale="log", yscale="log", xlabel=words[x], ylabel="least |∂E/∂u| so far")
        ax.set_title(f"{name}, depth {depth}")


def _look(look: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Of a line; dashed, with black edges, where it started warm."""
    warm = start == "warm"
    edges = {"mec": "black", "mew": 1.5, "ls": "--"} if warm else {"ls": "-"}
    return {**look, "ms": 5, "lw": 1.2, **edges}


def _race_panel(ax: Axes, group: pd.DataFrame, looks: Mapping[str, Any]) -> None:
    """Seconds against depth, open markers where the tolerance was not reached."""
    for (method, start), rows in group.sort_values("depth").groupby(["method", "start"], sort=False):
        look = _look(looks[str(method)], str(start))
        ax.plot(rows["depth"], rows["seconds"], **look)
        missed = rows[~rows["status"].str.startswith("converged")]
        ax.plot(missed["depth"], missed["seconds"], **(look | {"ls": "", "mfc": "white"}))
    missed = group[~group["status"].str.startswith("converged")]
    for depth, rows in missed.sort_values("seconds").groupby("depth"):
        height = 0.0
        for _, row in rows.iterrows():  # texts one above the other, where their markers are not
            height = max(row["seconds"], height * TEXT_HEIGHT)
            text, colour = f"{row['dual']:.0e}".replace("e-0", "e−").replace("e+0", "e"), looks[row["method"]]["color"]
            ax.annotate(text, (depth, height), (6, -2), textcoords="offset points", fontsize=6, color=colour)
    _depths(ax, group)
    ax.set(yscale="log", ylabel="seconds, coarser depths included")
    ax.margins(x=0.1)
    ax.yaxis.set_minor_formatter(NullFormatter())


def _levels_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Gradients and Hessian products per depth, those of the certificate apart."""
    for colour, (name, rows) in zip(sns.color_palette("colorblind"), table.groupby("data", sort=False), strict=False):
        ax.plot(
            rows["depth"],
            rows["gradients"] + rows["products"],
            "o-",
            color=colour,
            ms=4,
            lw=1.2,
            label=f"{name}: minimisation",
        )
        ax.plot(
            rows["depth"],
            rows["certificate_products"],
            "o:",
            color=colour,
            ms=4,
            lw=1.2,
            mfc="white",
            label=f"{name}: certificate",
        )
    _depths(ax, table)
    _few_decades(ax)
    ax.set(ylabel="gradients and Hessian products", title="evaluations at each depth")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=7)


def _layers_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Microseconds per layer against depth."""
    colours = dict(zip(table["method"].unique(), sns.color_palette("colorblind"), strict=False))
    for (method, operation), rows in table.groupby(["method", "operation"], sort=False):
        style = "-" if operation == "gradient" else "--"
        ax.plot(
            rows["depth"],
            rows["us_per_layer"],
            "o",
            ls=style,
            color=colours[method],
            ms=4,
            lw=1.2,
            label=f"{method}: {operation}",
        )
    _depths(ax, table)
    _few_decades(ax)
    ax.set(ylabel="µs per layer", title="one evaluation, 60 points, width 2")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=7)


def _few_decades(ax: Axes) -> None:
    """A logarithmic ordinate with plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def _depths(ax: Axes, table: pd.DataFrame) -> None:
    """A logarithmic axis of depths."""
    depths = np.sort(table["depth"].unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(depths, [f"{n:g}" for n in depths], rotation=60)
    ax.minorticks_off()
    ax.set_xlabel("depth n")

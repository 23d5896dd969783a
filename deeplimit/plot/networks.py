"""Networks: their weights over depth, the flow of the data through them, the tree of their branches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
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
from matplotlib.ticker import LogLocator

from deeplimit.plot.frame import PANELS_ACROSS, STYLE, panels, saved, spelt

LIMIT = "∞"  # the depth of the limit in a table
MOST_LINEAR = 3  # largest ratio of the values of a linear ordinate


def weights(table: pd.DataFrame, *, by: str = "data", save: str | Path | None = None) -> Figure:
    """Weights over depth for growing n, over those of the limit.

    Parameters
    ----------
    table
        Columns `by`, `entry` (a name such as "K[0, 1]"), `depth` (a number, or "∞" for the limit), `t`, `weight`.
        One column of panels per group, one row per entry.
    by
        Column whose values get a column of panels each.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.
    """
    groups = list(table.groupby(by, sort=False))
    rows = max(group["entry"].nunique() for _, group in groups)
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(rows, len(groups), 4.3, 2.5, sharex=True)
        for column, (name, group) in zip(axes.T, groups, strict=True):
            for ax, (entry, lines) in zip(column, group.groupby("entry", sort=False), strict=False):
                _weight_panel(ax, lines)
                ax.set_ylabel(_entry_label(str(entry)))
            column[0].set_title(spelt(name))
            column[-1].set_xlabel("t = i/n")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return saved(figure, save)


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
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.
    """
    groups = list(table.groupby("depth", sort=False))
    low, high = table["weight"].min(), table["weight"].max()
    with mpl.rc_context(STYLE), sns.axes_style("ticks"):
        figure, axes = panels(1, len(groups), 2.7, 2.6, 0.8, sharex=True, sharey=True)
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
    return saved(figure, save)


def orders(table: pd.DataFrame, *, weak: float, save: str | Path | None = None) -> Figure:
    """One weight over depth, a column of panels per order of the layers and a row per depth.

    Parameters
    ----------
    table
        Columns `order`, `depth`, `t`, `weight`.
    weak
        The weak limit of fast oscillations, a dashed line.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.
    """
    groups = list(table.groupby("order", sort=False))
    depths = list(table["depth"].unique())
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(len(depths), len(groups), 1.9, 1.5, sharex=True, sharey=True)
        for column, (name, group) in zip(axes.T, groups, strict=True):
            for ax, depth in zip(column, depths, strict=True):
                part = group[group["depth"] == depth]
                colour = sns.color_palette("colorblind")[0]
                ax.stairs(part["weight"], [*part["t"], 1.0], baseline=None, color=colour, lw=1.2, label="weight k")
                ax.axhline(weak, color="black", lw=1, ls="--", label="weak limit of fast oscillations")
                ax.grid(axis="x", visible=False)
            column[0].set_title(spelt(name))
            column[-1].set_xlabel("t = i/n")
        for ax, depth in zip(axes[:, 0], depths, strict=True):
            ax.set_ylabel(f"n = {depth}")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return saved(figure, save)


def flow(paths: pd.DataFrame, regions: pd.DataFrame, *, save: str | Path | None = None) -> Figure:
    """Two-dimensional data moving through the layers, and the classes that the network decides for, by depth.

    Parameters
    ----------
    paths
        Columns `depth`, `sample`, `label`, `t`, `x1`, `x2`: the states of every sample.
    regions
        Columns `depth`, `x1`, `x2`, `score`: the probability of class 1 on a regular grid of inputs.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.
    """
    depths = list(paths["depth"].unique())
    with mpl.rc_context(STYLE), sns.axes_style("white"):
        figure, axes = panels(2, len(depths), 2.7, 2.7, sharex="row", sharey="row")
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
    return saved(figure, save)


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
        grid.to_numpy(),
        origin="lower",
        extent=extent,
        cmap=shades,
        vmin=0,
        vmax=1,
        aspect="auto",
        alpha=0.6,
        interpolation="bilinear",
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
    by
        Column whose values get a panel each.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.
    """
    groups = list(table.groupby(by, sort=False))
    across = min(len(groups), PANELS_ACROSS - 1)
    palette = sns.color_palette("colorblind")
    order = [(branch, k) for _, part in table.groupby("data") for k, branch in enumerate(part["branch"].unique())]
    colours = {branch: palette[k % len(palette)] for branch, k in order}
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(-(-len(groups) // across), across, 3.4, 2.9)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            _tree_panel(ax, group, colours)
            ax.set_title(spelt(name))
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
    return saved(figure, save)


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

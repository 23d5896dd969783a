"""The frame of every figure: size, panels, scales and ticks, slopes, one legend, and the file it is saved in."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deeplimit.study import results_path

MARKERS = "osD^vPX*"
DPI = 160
LEGEND_WIDTH = 2.8  # inches right of the panels
PANELS_ACROSS = 4
MOST_TICKS = 10  # of a logarithmic abscissa that get a label each
PANEL = (3.0, 2.9)  # inches, of curves
LABELLED = 2.1  # inches of a panel over which its ticks lie
CHARACTER = 0.085  # inches, the width of a digit of their labels
LEGEND_CHARACTERS = 36  # of a line of a legend right of the panels
FEW_DECADES = 100.0  # a logarithmic ordinate that spans less has the ticks 1, 2, 5
PLAIN = (1e-3, 1e6)  # numbers between these are written without a power of ten
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
STYLE: Any = {"figure.dpi": DPI, "axes.titlesize": "medium", "legend.frameon": False, "font.size": 9}


def panels(
    rows: int, columns: int, width: float, height: float, margin: float = 0.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure and its panels; sizes in inches, `margin` for a legend on the right."""
    figure = Figure(figsize=(width * columns + margin, height * rows), layout="constrained", dpi=DPI)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def by_group(
    table: pd.DataFrame,
    by: str | None,
    draw: Callable[[Axes, pd.DataFrame], None],
    *,
    size: tuple[float, float] = PANEL,
    x: str,
    y: str,
    save: str | Path | None,
    **shared: Any,
) -> Figure:
    """A panel that `draw` fills for each group, titled with its value of `by`, in rows of equal length, and one legend.

    `size` in inches; x and y are the words on the axes, `shared` the axes that panels have in common.
    """
    groups = list(table.groupby(by, sort=False)) if by else [("", table)]
    down = -(-len(groups) // PANELS_ACROSS)
    across = -(-len(groups) // down)
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(down, across, *size, LEGEND_WIDTH, **shared)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            draw(ax, group)
            ax.set_title(spelt(name))
            ax.set_xlabel(x)
            ax.tick_params(labelbottom=True)  # of every row, as the last one may have fewer panels
        for row in axes:
            row[0].set_ylabel(y)
        one_legend(figure, axes)
    return saved(figure, save)


def saved(figure: Figure, save: str | Path | None) -> Figure:
    """The figure, written as a PNG with its description where a name is given."""
    if save is not None:
        path = results_path(save, ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        # no versions, so that equal figures are equal files
        figure.savefig(path, dpi=DPI, metadata={"Software": None, "Description": described(figure)})
    return figure


def described(figure: Figure) -> str:
    """What a figure shows, in words, for readers who do not see it: panels, axes, curves."""
    axes = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    titles = _each(ax.get_title() for ax in axes)
    entries = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    entries += [label for ax in axes for label in ax.get_legend_handles_labels()[1]]
    parts = [f"{len(axes)} panels" if len(axes) > 1 else "One panel"]
    parts += [f"titled {'; '.join(titles)}"] * bool(titles)
    for name, words in (("x", _each(ax.get_xlabel() for ax in axes)), ("y", _each(ax.get_ylabel() for ax in axes))):
        parts += [f"{name}: {', '.join(words)}"] * bool(words)
    parts += [
        f"colours: {', '.join(words)}" for ax in figure.axes if (words := _each([ax.get_ylabel()])) and ax not in axes
    ]
    parts += [f"curves: {', '.join(_each(entries))}"] * bool(entries)
    return ". ".join(parts) + "."


def _each(texts: Iterable[str]) -> list[str]:
    """Every text once, in one line."""
    return list(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))


def spelt(value: Any) -> str:
    """A value of a column in a title or a legend: numbers short, words such as breast_cancer apart."""
    return f"{value:g}" if isinstance(value, float) else re.sub(r"(?<=[a-z]{2})_(?=[a-z]{2})", " ", str(value))


def number(value: float) -> str:
    """A number on an axis: plain, or with a power of ten where that is shorter."""
    if value == 0 or PLAIN[0] <= abs(value) < PLAIN[1]:
        return f"{value:g}"
    digits, _, power = f"{value:e}".partition("e")
    head = f"{float(digits):g}"
    return ("" if head == "1" else f"{head}·") + "10" + str(int(power)).translate(SUPERSCRIPTS)


def label_ticks(ax: Axes, values: np.ndarray) -> None:
    """A label at each of the values of a logarithmic abscissa, turned where they would meet."""
    labels = [number(value) for value in values]
    places = LABELLED * np.log(values / values[0]) / max(np.log(values[-1] / values[0]), 1e-300)
    widths = [CHARACTER * (len(a) + len(b) + 1) / 2 for a, b in itertools.pairwise(labels)]
    ax.set_xticks(values, labels, rotation=60 if (np.diff(places) < widths).any() else 0)
    ax.minorticks_off()


def log_ordinate(ax: Axes) -> None:
    """A logarithmic ordinate: ticks at powers of ten, or at 1, 2 and 5 times them where it spans few."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < FEW_DECADES * low:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        ax.yaxis.set_minor_formatter(NullFormatter())


def black_lines(
    ax: Axes, group: pd.DataFrame, x: str, lines: Sequence[str], hue: str | None, names: Mapping[str, str], logy: bool
) -> None:
    """Predictions: each of the columns as a black line, with a style of its own."""
    for column, style in zip(lines, itertools.cycle((":", "-.", (0, (1, 4)))), strict=False):
        for k, (_, part) in enumerate(group.groupby(hue, sort=False) if hue else [("", group)]):
            part = part[part[column].notna()].sort_values(x)
            label = "_" if k else names.get(column, column)
            ax.plot(part[x], part[column].abs() if logy else part[column], color="black", lw=1.2, ls=style, label=label)


def dress(
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
            label_ticks(ax, shared)
    top = 2.5 * float(np.nanmax(group[group[x] == ticks[0]][list(columns)].abs().to_numpy(dtype=float)))
    for slope, dashes in zip(slopes, itertools.cycle(("--", (0, (5, 1, 1, 1)), (0, (2, 2)))), strict=False):
        label = f"slope {slope:g}".replace("-", "−")
        ax.plot(ticks, top * (ticks / ticks[0]) ** slope, color="0.5", lw=1, ls=dashes, label=label)
    if logy is True:
        heights = group[list(columns)].abs().replace(0, np.nan).to_numpy(dtype=float)
        ax.set_yscale("log")
        ax.set_ylim(0.4 * np.nanmin(heights), max(ax.get_ylim()[1], 1.5 * np.nanmax(heights)))
        log_ordinate(ax)
    elif logy:
        ax.set_yscale(str(logy))


def one_legend(figure: Figure, axes: np.ndarray) -> None:
    """Every label once, right of the panels, in lines that leave those their width."""
    entries = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if len(entries) > 1:
        figure.legend(entries.values(), map(_wrapped, entries), loc="outside right upper")


def _wrapped(label: str) -> str:
    return "\n".join(textwrap.fill(line, LEGEND_CHARACTERS, break_on_hyphens=False) for line in label.split("\n"))

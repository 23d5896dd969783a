"""Figures draw the numbers of their tables: curves, bands and labels are read back from the axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deeplimit import plot

DEPTHS = np.array([8, 16, 32, 64])


@pytest.fixture
def table() -> pd.DataFrame:
    """A made-up sweep over two data sets; the first has negative gaps, the second no distance bounds."""
    parts = []
    for name, sign in (("a", -1), ("b", 1)):
        part = pd.DataFrame({"data": name, "depth": DEPTHS, "value_gap": sign / DEPTHS, "control_l2": 3 / DEPTHS})
        part = part.assign(predicted_gap=1.01 * sign / DEPTHS, error_bar=1e-12, limit_error=1e-12)
        parts.append(part.assign(control_error=1e-7 if name == "a" else np.nan))
    return pd.concat(parts, ignore_index=True)


def curves(figure: Figure, panel: int) -> dict[str, np.ndarray]:
    """Label to ordinates."""
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[panel].lines}


def test_rates_draw_absolute_gaps_a_reference_slope_and_the_prediction(table: pd.DataFrame) -> None:
    """One panel per data set; the dashed line falls like n^−order."""
    figure = plot.rates(table, y=["value_gap", "control_l2"], order=2)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    lines = curves(figure, 0)
    np.testing.assert_allclose(lines[plot.SYMBOLS["value_gap"]], 1 / DEPTHS)
    np.testing.assert_allclose(lines[plot.SYMBOLS["control_l2"]], 3 / DEPTHS)
    np.testing.assert_allclose(lines[plot.SYMBOLS["predicted_gap"]], 1.01 / DEPTHS)
    np.testing.assert_allclose(np.diff(np.log2(lines["slope −2"])), -2)
    for ax in figure.axes:
        assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "depth n")


def test_every_row_of_rates_has_its_own_columns_and_floor(table: pd.DataFrame) -> None:
    """The floor of values is their error bars, that of weights the distance bounds; without bounds there is none."""
    figure = plot.rates(table, y=[["value_gap"], ["control_l2"]])
    tops = [[path.vertices[:, 1].max() for band in ax.collections for path in band.get_paths()] for ax in figure.axes]
    assert tops[0] == pytest.approx([2e-12]) and tops[1] == pytest.approx([2e-12])
    assert tops[2] == pytest.approx([1e-7]) and tops[3] == []
    assert plot.SYMBOLS["control_l2"] not in curves(figure, 0)


def test_a_quotient_of_columns_is_drawn_as_it_is(table: pd.DataFrame) -> None:
    """Observed over predicted, which tends to one."""
    figure = plot.rates(table, y=[["value_gap / predicted_gap"]])
    np.testing.assert_allclose(next(iter(curves(figure, 0).values())), 1 / 1.01)
    assert figure.axes[0].get_yscale() == "linear"


def test_weights_are_steps_that_last_until_one_over_the_dashed_limit() -> None:
    """The piecewise constant extension of a network's weights, one row of panels per entry."""
    rows = [("K[1, 2]", 2, 0.0, 5.0), ("K[1, 2]", 2, 0.5, 7.0), ("K[1, 2]", "∞", 0.0, 5.5), ("K[1, 2]", "∞", 1.0, 7.5)]
    table = pd.DataFrame(rows, columns=["entry", "depth", "t", "weight"]).assign(data="a")
    figure = plot.weights(table)
    step, limit = figure.axes[0].lines
    assert (list(step.get_xdata()), list(step.get_ydata())) == ([0.0, 0.5, 1.0], [5.0, 7.0, 7.0])
    assert step.get_drawstyle() == "steps-post"
    assert list(limit.get_ydata()) == [5.5, 7.5]
    assert figure.axes[0].get_ylabel() == "$K_{1, 2}(t)$"


def test_flow_draws_a_column_per_depth_and_a_decision_line(tmp_path: Path) -> None:
    """Paths of every sample above, the probability of class 1 on the grid below."""
    paths = pd.DataFrame(
        [(n, s, s % 2, t, s + t, s - t) for n in (4, "∞") for s in range(4) for t in (0.0, 0.5, 1.0)],
        columns=["depth", "sample", "label", "t", "x1", "x2"],
    )
    grid = np.linspace(-1, 4, 11)
    regions = pd.DataFrame(
        [(n, x, y, float(x > y)) for n in (4, "∞") for x in grid for y in grid], columns=["depth", "x1", "x2", "score"]
    )
    figure = plot.flow(paths, regions, save=tmp_path / "flow")
    upper, lower = figure.axes[0], figure.axes[2]
    assert [ax.get_title() for ax in figure.axes[:2]] == ["n = 4", "n = ∞"]
    assert len([line for line in upper.lines if len(np.asarray(line.get_xdata())) == 3]) == 4
    image = np.asarray(lower.images[0].get_array())
    assert image[0, -1] == 1 and image[-1, 0] == 0  # x1 runs to the right and x2 upwards
    assert (tmp_path / "flow.png").stat().st_size > 1000


def test_curves_draw_a_line_for_each_column_and_each_value_of_hue(table: pd.DataFrame) -> None:
    """Colours follow `hue`, black lines are predictions, and a reference slope starts above the first values."""
    figure = plot.curves(table, x="depth", y="value_gap", hue="data", lines=["predicted_gap"], slopes=[-2])
    (ax,) = figure.axes
    lines = curves(figure, 0)
    np.testing.assert_allclose(lines["data a"], 1 / DEPTHS)
    np.testing.assert_allclose(lines["data b"], 1 / DEPTHS)
    np.testing.assert_allclose(lines["predicted_gap"], 1.01 / DEPTHS)
    np.testing.assert_allclose(lines["slope −2"] * DEPTHS**2, 2.5 / 8 * 64)
    assert len({line.get_color() for line in ax.lines[:2]}) == 2


def test_curves_give_each_group_a_panel_and_the_figure_one_legend(table: pd.DataFrame) -> None:
    """Words for columns come from `labels`; on linear axes signs are kept."""
    words = {"value_gap": "gap of values", "control_l2": "gap of weights", "y": "distance"}
    figure = plot.curves(table, x="depth", y=["value_gap", "control_l2"], by="data", labels=words, logy=False)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    assert figure.axes[0].get_ylabel() == "distance"
    np.testing.assert_allclose(curves(figure, 0)["gap of values"], -1 / DEPTHS)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["gap of values", "gap of weights"]


def test_hollow_curves_show_what_is_below_them(table: pd.DataFrame) -> None:
    """Larger markers without a face, for a column or for a value of hue; the others keep theirs."""
    figure = plot.curves(table, x="depth", y=["value_gap", "control_l2"], by="data", hollow=["control_l2"])
    filled, hollow = figure.axes[0].lines[:2]
    assert hollow.get_markerfacecolor() == "none" and filled.get_markerfacecolor() != "none"
    assert hollow.get_markersize() > filled.get_markersize()
    figure = plot.curves(table, x="depth", y="value_gap", hue="data", hollow=["b"])
    assert [line.get_markerfacecolor() == "none" for line in figure.axes[0].lines[:2]] == [False, True]


def test_every_hollow_curve_is_larger_than_the_one_before(table: pd.DataFrame) -> None:
    """Three curves with the same numbers are three markers, one inside the other."""
    same = table.assign(first=1.0, second=1.0)
    figure = plot.curves(same, x="depth", y=["first", "second", "control_l2"], by="data", hollow=["second", "first"])
    first, second, filled = (float(line.get_markersize()) for line in figure.axes[0].lines[:3])
    assert first > second + 1 > filled + 1


def test_no_two_curves_of_a_panel_differ_by_their_colour_alone(table: pd.DataFrame) -> None:
    """Values of hue by their marker, columns by their dashes and by the face of the marker: also without colours."""
    many = pd.concat([table.assign(data=name) for name in "abcd"])
    lines = plot.curves(many, x="depth", y=["value_gap", "control_l2"], hue="data").axes[0].lines
    faces = [(line.get_marker(), line.get_linestyle(), line.get_markerfacecolor() == "white") for line in lines]
    assert len(lines) == 8 and len(set(faces)) == 8
    assert len({line.get_marker() for line in lines}) == 4


def test_a_curve_of_many_points_keeps_them_all_and_marks_some() -> None:
    """All points of the line are those of the table; two curves are marked at different ones."""
    t = np.linspace(0, 1, 61)
    table = pd.concat([pd.DataFrame({"t": t, "value": t**k, "case": f"k = {k}"}) for k in (1, 2)])
    first, second = plot.curves(table, x="t", y="value", hue="case", logx=None, logy=False).axes[0].lines
    np.testing.assert_allclose(np.asarray(second.get_ydata()), t**2)
    marked = [set(range(61)[start::step]) for start, step in (first.get_markevery(), second.get_markevery())]
    assert all(8 < len(points) < 25 for points in marked) and not marked[0] & marked[1]


@pytest.mark.parametrize(("top", "ticks"), [(3.0, {"1", "2", "5"}), (3e4, {"", "$\\mathdefault{10^{2}}$"})])
def test_an_ordinate_of_few_decades_has_plain_numbers(top: float, ticks: set[str]) -> None:
    """1, 2 and 5 where powers of ten alone would be one or two; else powers of ten."""
    figure = plot.curves(pd.DataFrame({"depth": [8, 16], "gap": [1.0, top]}), x="depth", y="gap")
    figure.draw_without_rendering()
    assert ticks <= {label.get_text() for label in figure.axes[0].get_yticklabels(which="both")}


def test_equal_heights_are_inside_their_panel() -> None:
    """A constant up to rounding has room above it and below it."""
    table = pd.DataFrame({"depth": DEPTHS, "gap": 0.22 + 1e-16 * np.arange(4)})
    figure = plot.curves(table, x="depth", y="gap")
    low, high = figure.axes[0].get_ylim()
    assert low < 0.2 and high > 0.25


@pytest.mark.parametrize(("depths", "turned"), [([1, 4, 16, 64], 0), ([2**k for k in range(10, 20)], 60)])
def test_labels_of_depths_are_turned_only_where_they_would_meet(depths: list[int], turned: int) -> None:
    """Four short ones lie flat, ten long ones do not; numbers below 1/1000 have a power of ten."""
    figure = plot.curves(pd.DataFrame({"depth": depths, "gap": 1.0}), x="depth", y="gap")
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [str(n) for n in depths]
    assert {label.get_rotation() for label in labels} == {turned}
    figure = plot.curves(pd.DataFrame({"x": [2e-10, 1e-8, 0.01], "gap": 1.0}), x="x", y="gap", logx=10)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["2·10⁻¹⁰", "10⁻⁸", "0.01"]


def test_five_panels_are_three_and_two(table: pd.DataFrame) -> None:
    """Rows are as equal as they can be, and every panel has the words of its abscissa."""
    many = pd.concat([table[table["data"] == "a"].assign(data=name) for name in "abcde"])
    panels = [ax for ax in plot.curves(many, x="depth", y="value_gap", by="data").axes if ax.axison]
    across = [round(ax.get_subplotspec().colspan.start) for ax in panels]
    assert across == [0, 1, 2, 0, 1] and {ax.get_xlabel() for ax in panels} == {"depth n"}


def test_names_of_data_are_words_and_long_labels_have_several_lines(table: pd.DataFrame) -> None:
    """breast_cancer in a title is breast cancer, x_L is left alone; a legend does not take the width of the panels."""
    named = table.replace({"data": {"a": "breast_cancer", "b": "x_L"}})
    words = {"value_gap": "a gap whose description is rather longer than a legend is wide", "control_l2": "weights"}
    figure = plot.curves(named, x="depth", y=["value_gap", "control_l2"], by="data", labels=words)
    assert [ax.get_title() for ax in figure.axes] == ["breast cancer", "x_L"]
    text = figure.legends[0].get_texts()[0].get_text()
    assert text.replace("\n", " ") == words["value_gap"] and max(map(len, text.split("\n"))) <= 36


def test_the_line_of_a_map_is_named_outside_it() -> None:
    """The legend covers no colour and has the colour of text; the line has an outline of the other shade."""
    grid = pd.DataFrame([(x, y, x - y, y) for x in range(4) for y in range(3)], columns=["x", "y", "z", "line"])
    figure = plot.heat(grid, x="x", y="y", z="z", line="line", labels={"line": "x = y"})
    (legend,), ax = figure.legends, figure.axes[0]
    figure.draw_without_rendering()
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())
    assert legend.get_texts()[0].get_text() == "x = y" and legend.get_texts()[0].get_color() == ".15"
    (line,) = ax.lines
    assert line.get_color() == "black" and line.get_path_effects()


def test_the_target_line_lies_over_its_points() -> None:
    """It is what the eye compares them with, and so is the mean of replicas."""
    points = pd.DataFrame({"x": [0.0, 2.0], "y": [1.0, 4.0], "depth": "0", "mean": 0.0, "deviation": 1.0})
    last = plot.clouds(points, by="depth", line=(2.0, 1.0), labels={"x": "x", "y": "y"}).axes[0].lines[-1]
    assert last.get_label() == "target line"
    rows = points.assign(x=points["x"] + 1)
    drawn = plot.replicas(rows, x="x", y="y", mean="mean", deviation="deviation", by="depth").axes[0].lines
    assert [line.get_label() for line in drawn] == ["replica", "predicted mean"]


def test_bands_go_from_their_lower_to_their_upper_ends() -> None:
    """A panel per group, with its realisations in black and one legend."""
    s = np.linspace(0, 1, 5)
    parts = [
        pd.DataFrame({"case": c, "s": s, "mean": k + s, "low": 0.8 * k + s, "high": 1.2 * k + s, "one": s**2})
        for k, c in ((1, "a"), (2, "b"))
    ]
    figure = plot.bands(pd.concat(parts), x="s", mean="mean", band=("low", "high"), lines=["one"], by="case")
    for k, ax in enumerate(figure.axes, 1):
        (band,) = ax.collections
        vertices = band.get_paths()[0].vertices
        assert (vertices[:, 1].min(), vertices[:, 1].max()) == pytest.approx((k - 0.2 * k, k + 1 + 0.2 * k))
        np.testing.assert_allclose(curves(figure, k - 1)["mean"], k + s)
        np.testing.assert_allclose(curves(figure, k - 1)["one"], s**2)
    assert len(figure.legends) == 1


def test_laws_draw_every_curve_over_its_own_abscissa() -> None:
    """Curves of one panel as lines, the dashed one black, the filled one as an area; five panels in rows of three."""
    x = np.linspace(0, 1, 5)
    rows = [
        pd.DataFrame({"x": x + k, "height": x**2, "panel": f"p{k}", "curve": name})
        for k in range(5)
        for name in ("bars", "late", "limit")
    ]
    figure = plot.laws(pd.concat(rows), y="height", by="panel", hue="curve", filled=["bars"], dashed=["limit"])
    panels = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title() for ax in panels] == [f"p{k}" for k in range(5)] and len(figure.axes) == 6
    late, limit = panels[1].lines
    np.testing.assert_allclose(late.get_xdata(), x + 1)
    assert (limit.get_label(), limit.get_linestyle(), limit.get_color()) == ("limit", "--", "black")
    assert len(panels[1].collections) == 1


def test_clouds_draw_their_points_and_the_line() -> None:
    """The line over the range of all panels."""
    points = pd.DataFrame({"x": [0.0, 2.0, 1.0], "y": [1.0, 1.0, 4.0], "depth": ["0", "0", "8"]})
    figure = plot.clouds(points, by="depth", line=(2.0, 1.0), labels={"x": "x", "y": "y"})
    drawn = curves(figure, 0)
    np.testing.assert_allclose(drawn["target line"], [1, 5])
    np.testing.assert_allclose(drawn["data"], [1, 1])
    np.testing.assert_allclose(curves(figure, 1)["data"], [4])


def test_a_figure_says_in_words_what_it_shows(tmp_path: Path) -> None:
    """The description in its file names panels, axes and curves, for readers who do not see it."""
    table = pd.DataFrame({"depth": [8, 16, 32], "gap": [1.0, 0.5, 0.25], "data": ["iris", "iris", "moons"]})
    labels = {"depth": "depth n", "gap": "distance to the limit"}
    plot.curves(table, x="depth", y="gap", by="data", slopes=[-1], labels=labels, save=tmp_path / "f")
    text = Image.open(tmp_path / "f.png").text["Description"]
    assert text.startswith("2 panels. titled iris; moons. x: depth n. y: distance to the limit")
    assert "slope −1" in text


def test_a_misspelt_column_is_one_sentence(table: pd.DataFrame) -> None:
    """With the nearest there is."""
    with pytest.raises(ValueError, match=r"no column 'value_gp'; did you mean value_gap\?"):
        plot.rates(table, y=["value_gp"])
    with pytest.raises(ValueError, match=r"no column 'dept'; did you mean depth\?"):
        plot.curves(table, x="dept", y="value_gap")
    with pytest.raises(ValueError, match=r"no column 'dat'; did you mean data\?"):
        plot.dots(table, x="depth", y=["value_gap"], hue="dat", level=1, within=0.1)

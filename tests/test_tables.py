"""Tables as people look at them: rows, columns, orders, formats."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from deeplimit import tables
from deeplimit.tables import TableError


@pytest.fixture
def table() -> pd.DataFrame:
    """Two data sets, gaps of order one and two; the deepest gap of the second lies below the solvers' error."""
    depth = np.array([8, 16, 32, 64] * 2)
    first = np.repeat(["iris", "moons"], 4)
    gap = np.where(first == "iris", 3 / depth, 5 / depth**2)
    error = np.where((first == "moons") & (depth == 64), 1e-3, 1e-12)
    return pd.DataFrame(
        {"data": first, "depth": depth, "value_gap": gap, "error_bar": error, "status": ["converged: it is"] * 8}
    )


def test_orders_are_those_of_the_gaps_in_each_group(table: pd.DataFrame) -> None:
    """−log₂ of the quotient at doubled depth; none at the first depth, none where the floor is near."""
    found = tables.with_orders(table, ["data", "depth"])
    assert list(found)[:4] == ["data", "depth", "value_gap", "value_gap order"]
    orders = found["value_gap order"].to_numpy()
    np.testing.assert_allclose(orders[1:4], 1, atol=1e-12)
    np.testing.assert_allclose(orders[5:7], 2, atol=1e-12)
    assert np.isnan(orders[[0, 4, 7]]).all()


def test_a_table_without_depth_has_no_orders() -> None:
    """It is returned as it is."""
    plain = pd.DataFrame({"value_gap": [1.0, 2.0]})
    assert tables.with_orders(plain) is plain


def test_rows_and_columns_are_chosen(table: pd.DataFrame) -> None:
    """By comparisons of columns with numbers and texts."""
    found = tables.chosen(table, "depth >= 16 and data == 'moons' or value_gap > 0.3", ["depth", "data"])
    assert found["depth"].tolist() == [8, 16, 32, 64] and list(found) == ["depth", "data"]
    assert len(tables.chosen(table, "depth in [8, 64]")) == 4
    assert len(tables.chosen(table, "not depth * 2 > 16")) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("depth >", "a query is a comparison"),
        ("@pd.eval('1')", "a query is a comparison"),
        ("__import__('os').system('x')", "no Call"),
        ("depth.__class__ == 1", "no Attribute"),
        ("dept > 8", "did you mean depth"),
        ("depth", "true or false for each row"),
        ("data > 3", "cannot be answered"),
        ("1 == 1", "true or false for each row"),
        ("[x for x in data]", "no ListComp"),
    ],
)
def test_a_query_that_is_none_is_one_sentence(table: pd.DataFrame, query: str, message: str) -> None:
    """Nothing in it is called."""
    with pytest.raises(TableError, match=message) as found:
        tables.chosen(table, query)
    assert "\n" not in str(found.value)


def test_an_unknown_column_is_answered_with_those_there_are(table: pd.DataFrame) -> None:
    """And with the nearest one."""
    with pytest.raises(TableError, match=r"no column 'value_gaps'; did you mean value_gap\? Its columns: data, depth"):
        tables.chosen(table, columns=["value_gaps"])


def test_formats_show_the_same_numbers(table: pd.DataFrame) -> None:
    """csv and json every digit, the others six."""
    table.loc[0, "value_gap"] = math.nan
    back = pd.read_csv(io.StringIO(tables.text(table, "csv")), engine="python")
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    rows = json.loads(tables.text(table, "json"))
    assert rows[0]["value_gap"] is None and rows[1]["value_gap"] == table["value_gap"][1]
    lines = tables.text(table).splitlines()
    assert len(lines) == 9 and len({line.index("converged") for line in lines[1:]}) == 1
    assert lines[2].split() == ["iris", "16", "0.1875", "1e-12", "converged:", "it", "is"]
    markdown = tables.text(table, "markdown").splitlines()
    assert len(markdown) == 10 and all(line.count("|") == 6 for line in markdown)
    latex = tables.text(table, "latex")
    assert latex.startswith(r"\begin{tabular}{lllll}") and r"value\_gap" in latex and latex.count(r"\\") == 9
    with pytest.raises(TableError, match="the format is one of text, csv, markdown, latex, json, got 'html'"):
        tables.text(table, "html")


def test_an_empty_choice_is_its_head(table: pd.DataFrame) -> None:
    """No row, no error."""
    assert tables.text(tables.chosen(table, "depth > 999")).split() == list(table)


def test_no_order_where_it_would_mean_nothing() -> None:
    """A gap that changes its sign, a depth that comes twice, an error as large as the gap; groups of truth values."""
    signs = pd.DataFrame({"depth": [8, 16, 32], "gap": [0.4, -0.2, -0.1]})
    np.testing.assert_allclose(tables.with_orders(signs)["gap order"], [np.nan, np.nan, 1], atol=1e-12)
    twice = pd.DataFrame({"depth": [8, 8, 16, 16], "gap": [0.4, 4.0, 0.2, 2.0]})
    assert tables.with_orders(twice)["gap order"].isna().all()
    groups = twice.assign(warm=[True, False] * 2)
    np.testing.assert_allclose(tables.with_orders(groups)["gap order"][2:], 1, atol=1e-12)
    blurred = pd.DataFrame({"depth": [8, 16], "value_gap": [0.4, 0.2], "gap_error": [0.1, 0.1]})
    assert tables.with_orders(blurred)["value_gap order"].isna().all()

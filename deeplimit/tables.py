"""Tables as people look at them: some rows, some columns, observed orders beside the gaps, in several formats."""

from __future__ import annotations

import ast
import difflib
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("text", "csv", "markdown", "latex", "json")
DIGITS = "{:.6g}"
SCALE = "depth"
EXAMPLE = "depth >= 64 and data == 'moons'"
NOT_GAPS = ("limit_error", "error_bar", "gap_error")
FLOORS = {"control": "control_error", "head": "control_error", "state": "control_error"}
VALUE_FLOOR = ("error_bar", "limit_error", "gap_error")
MOST_POWER = 64
FLOOR = 100  # an order is shown where the gap is so many times the solvers' error
SAFE = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Eq, ast.NotEq),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow),
)


class TableError(ValueError):
    """A question that cannot be put to a table; the message says what can."""


def chosen(table: pd.DataFrame, query: str = "", columns: Sequence[str] = ()) -> pd.DataFrame:
    """Some rows and columns.

    Parameters
    ----------
    query
        A comparison such as "depth >= 64 and data == 'moons'", with numbers, texts, and the names of columns; no calls.
    columns
        Names of columns, in their order; by default all.

    Raises
    ------
    TableError
        For a query that is none, and for a column that there is not.
    """
    columns = list(dict.fromkeys(columns))
    require(table, columns)
    if query:
        table = table[_mask(table, query)]
    return table[columns] if columns else table


def require(table: pd.DataFrame, names: Iterable[str | None]) -> None:
    """Check that a table has columns.

    Raises
    ------
    TableError
        For the first that it has not, with the nearest one there is.
    """
    for name in names:
        if name is not None and name not in table:
            raise TableError(_no_column(name, table))


def _no_column(name: str, table: pd.DataFrame) -> str:
    close = difflib.get_close_matches(name, map(str, table.columns), n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    return f"the table has no column {name!r}{hint} Its columns: {', '.join(map(str, table.columns))}"


def _mask(table: pd.DataFrame, query: str) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of the parser, on texts such as "1or 2"
            tree = ast.parse(query.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise TableError(
            f"a query is a comparison such as \"depth >= 64 and data == 'moons'\", got {query!r}"
        ) from None
    for node in ast.walk(tree):
        if not isinstance(node, SAFE):
            raise TableError(f"a query compares columns with numbers and texts, no {type(node).__name__}: {query!r}")
        if isinstance(node, ast.Name) and node.id not in table:
            raise TableError(_no_column(node.id, table))
        if isinstance(node, ast.BinOp):
            _check_arithmetic(node, table, query)
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            mask: Any = table.eval(query.strip(), engine="python")
    except Exception as error:  # whatever pandas finds in a text from outside
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise TableError(f"the query {query!r} cannot be answered ({why}); one that can is {EXAMPLE}") from None
    if np.shape(mask) != (len(table),) or np.asarray(mask).dtype.kind != "b":
        raise TableError(f"a query is true or false for each row, and {query!r} is not")
    return mask


def _check_arithmetic(node: ast.BinOp, table: pd.DataFrame, query: str) -> None:
    """A TableError unless it is arithmetic of numbers that is done at once: no "a" * 10**9, no 9**9**9."""
    small = isinstance(node.op, ast.Pow) and not (
        isinstance(node.left, (ast.Name, ast.Constant))
        and isinstance(node.right, ast.Constant)
        and isinstance(node.right.value, (int, float))
        and abs(node.right.value) <= MOST_POWER
    )
    for side in (node.left, node.right):
        numbers = not isinstance(side, (ast.Constant, ast.List, ast.Tuple)) or (
            isinstance(side, ast.Constant) and isinstance(side.value, (int, float))
        )
        if isinstance(side, ast.Name):
            numbers = table[side.id].dtype.kind in "iufb"
        if small or not numbers:
            raise TableError(f"a query calculates with numbers, and with powers up to {MOST_POWER}, got {query!r}")


def with_orders(table: pd.DataFrame, axes: Sequence[str] = ()) -> pd.DataFrame:
    """The table with an observed order beside every gap: −log(gap′/gap) / log(n′/n) from the depth before.

    Rows belong together that have the same values in all other axes and in the columns of texts and truth values. An
    order is NaN where the solvers' errors, as far as the table tells them, are more than a hundredth of the gap, where
    the gap changes its sign, and where rows that belong together have one depth twice.

    Parameters
    ----------
    axes
        Of the sweep.

    Examples
    --------
    >>> import pandas as pd
    >>> from deeplimit import tables
    >>> print(tables.text(tables.with_orders(pd.DataFrame({"depth": [8, 16], "value_gap": [0.4, 0.1]}))))
    depth  value_gap  value_gap order
        8        0.4
       16        0.1                2
    """
    if SCALE not in table:
        return table
    if table[SCALE].dtype.kind not in "iuf":
        return table
    gaps = [str(name) for name in table if _is_gap(str(name)) and table[name].dtype.kind == "f"]
    gaps = [gap for gap in gaps if f"{gap} order" not in table]
    texts = [name for name in table if table[name].dtype.kind in "Ob" and name not in ("status", "limit_status")]
    groups = [name for name in dict.fromkeys([*axes, *texts]) if name in table and name not in (SCALE, "row")]
    found = table.copy()
    for gap in gaps:
        found.insert(list(found).index(gap) + 1, f"{gap} order", math.nan)
    for _, rows in table.groupby(groups, sort=False, dropna=False) if groups else [((), table)]:
        rows = rows.sort_values(SCALE)
        depth = rows[SCALE].to_numpy(dtype=float)
        for gap in gaps:
            size, floor = np.abs(rows[gap].to_numpy(dtype=float)), _floor(rows, gap)
            with np.errstate(all="ignore"):
                order = -np.diff(np.log(size)) / np.diff(np.log(depth))
            known = (size > FLOOR * floor) & (size > 0) & ~rows[SCALE].duplicated(keep=False).to_numpy()
            same = np.diff(np.sign(rows[gap].to_numpy(dtype=float))) == 0
            order = np.where(known[1:] & known[:-1] & same & np.isfinite(order), order, math.nan)
            found.loc[rows.index[1:], f"{gap} order"] = order
    return found


def _is_gap(name: str) -> bool:
    numbers = name.endswith(("_gap", "_error")) or name in ("gap", "error") or name.startswith("control_")
    return (
        numbers
        and name not in NOT_GAPS
        and name not in ("control_error", "control_norm")
        and not name.startswith("predicted")
    )


def _floor(rows: pd.DataFrame, gap: str) -> np.ndarray:
    """The solvers' error in a gap, zero where the table has no column for it."""
    control = FLOORS.get(gap.split("_")[0])
    names = [name for name in ([control] if control else VALUE_FLOOR) if name in rows]
    known = [name for name in names if rows[name].dtype.kind in "iuf"]
    return sum((np.nan_to_num(rows[name].to_numpy(dtype=float)) for name in known), np.zeros(len(rows)))


def fitting(table: pd.DataFrame, width: int) -> list[str]:
    """The first columns that fit into a line of so many characters; at least one.

    Examples
    --------
    >>> import pandas as pd
    >>> fitting(pd.DataFrame({"depth": [8], "value": [0.25], "a_long_name": [1]}), 13)
    ['depth', 'value']
    """
    used = -2
    found: list[str] = []
    for name in map(str, table):
        used += 2 + max(len(name), *(len(_cell(value)) for value in table[name]), 0)
        if found and used > width:
            break
        found.append(name)
    return found


def text(table: pd.DataFrame, form: str = "text") -> str:
    """The table in one of `FORMATS`: aligned and to six digits, or csv and json with every digit.

    Raises
    ------
    TableError
        For another format.
    """
    if form not in FORMATS:
        raise TableError(f"the format is one of {', '.join(FORMATS)}, got {form!r}")
    if form == "csv":
        return table.to_csv(index=False, float_format="%.17g", na_rep="nan").rstrip("\n")
    if form == "json":
        rows = [{name: _finite(value) for name, value in row.items()} for row in table.to_dict("records")]
        return json.dumps(rows, indent=1, ensure_ascii=False, default=str)
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    heads = [str(name) for name in table]
    if form == "latex":
        return _latex(heads, cells)
    return _markdown(heads, cells) if form == "markdown" else _aligned(heads, cells)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null and a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value.item() if hasattr(value, "item") else value


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else DIGITS.format(value)
    return " ".join(str(value).split())


def _aligned(heads: list[str], cells: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    numbers = [all(_is_number(cell) for cell in column) for column in zip(*cells, strict=True)] or [True] * len(heads)
    lines = []
    for row in [heads, *cells]:
        places = zip(row, widths, numbers, strict=True)
        lines.append("  ".join(cell.rjust(w) if right else cell.ljust(w) for cell, w, right in places).rstrip())
    return "\n".join(lines)


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True


def _markdown(heads: list[str], cells: list[list[str]]) -> str:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in [heads, *cells]]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])


LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _latex(heads: list[str], cells: list[list[str]]) -> str:
    rows = [" & ".join("".join(LATEX.get(c, c) for c in cell) for cell in row) + r" \\" for row in [heads, *cells]]
    body = ["\\toprule", rows[0], "\\midrule", *rows[1:], "\\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{{'l' * len(heads)}}}", *body, "\\end{tabular}"])

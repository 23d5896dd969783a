"""Data from files: the truth is what was written into them."""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from deeplimit import Data, data, sources

FLOWERS = "length,width,species\n5.1,3.5,setosa\n6.2,2.9,virginica\n5.9,3.0,versicolor\n4.9,3.1,setosa\n"
LENGTHS = [[5.1, 3.5], [6.2, 2.9], [5.9, 3.0], [4.9, 3.1]]


def written(folder: Path, text: str, name: str = "flowers.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_and_classes_of_a_csv_file_are_those_written_there(tmp_path: Path) -> None:
    """Texts become classes in sorted order, more than two of them one column each, as in `iris`."""
    sample = data.load(written(tmp_path, FLOWERS))
    assert sample.x.tolist() == LENGTHS and sample.x.dtype == torch.float64
    assert sample.y.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert sample.name == "flowers"
    assert sample.notes == ("classes of species: 0 = setosa, 1 = versicolor, 2 = virginica",)
    assert data.load(str(tmp_path / "flowers.csv"), onehot=False).y.tolist() == [[0], [2], [1], [0]]


def test_two_classes_are_one_column(tmp_path: Path) -> None:
    """The logistic loss takes one column of 0 and 1."""
    assert data.load(written(tmp_path, "a,b\n1,no\n2,yes\n3,no\n")).y.tolist() == [[0], [1], [0]]


def test_numbers_are_targets_unless_classes_are_asked_for(tmp_path: Path) -> None:
    """Whole numbers may be ages or classes, and only the user knows."""
    path = written(tmp_path, "a,b\n1,7\n2,3\n3,7\n")
    assert data.load(path).y.tolist() == [[7], [3], [7]]
    assert data.load(path, onehot=False).y.tolist() == [[1], [0], [1]]
    assert data.load(path, onehot=True).y.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_labels_are_chosen_by_name_and_the_order_of_the_inputs_is_kept(tmp_path: Path) -> None:
    """The label need not be last, and there may be several targets."""
    path = written(tmp_path, "y,a,b,c\n1,2,3,4\n5,6,7,8\n")
    assert data.load(path, labels="y").x.tolist() == [[2, 3, 4], [6, 7, 8]]
    sample = data.load(path, labels=["c", "y"])
    assert (sample.x.tolist(), sample.y.tolist()) == ([[2, 3], [6, 7]], [[4, 1], [8, 5]])


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    """Its first line is a sample, which a label that stands there again shows."""
    path = written(tmp_path, "\ufeff1,2,a\n\n3,4,b\n5,6,a\n")
    assert data.load(path).x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert data.load(path, labels="3").y.tolist() == [[0], [1], [0]]
    assert data.load(path, labels="3", onehot=True, header=False).y.tolist() == [[1, 0], [0, 1], [1, 0]]


HEADERS = {
    "texts": "length,width,species",
    "texts with digits": "x1,x2,y",
    "sodium, not a missing entry": "Na,Mg,Type",
    "a text above numbers": "2019,2020,total",
    "counting, a text above numbers": "0,1,target",
}
SAMPLES = {
    "numbers": "5.1,3.5,0.2",
    "whole numbers": "3,5,7",
    "numbers that fall": "2,1,0",
    "numbers that count from 2": "2,3,4",
    "numbers that skip one": "1,2,4",
    "numbers that fall to 1900 from beyond 2100": "2101,2000,1900",
    "numbers above years": "2000,2050,2101",
    "numbers below years": "1899,1950,2000",
    "years and a fraction": "2018.5,2019,2020",
    "years that turn": "2018,2020,2019",
}
EITHER = {
    "counting from 0": "0,1,2\n5.1,3.5,0.2\n",
    "counting from 1": "1,2,3\n5.1,3.5,0.2\n",
    "years": "1990,2000,2020\n5.1,3.5,0.2\n",
    "years that fall": "2021,2020,2019\n5.1,3.5,0.2\n",
    "years as floats": "2019.0,2020.0,2021.0\n5.1,3.5,0.2\n",
    "floats that count": "0.0,1.0,2.0\n5.1,3.5,0.2\n",
    "years as floats above numbers": "2019.0,2020.0,total\n5.1,3.5,0.2\n",
    "a gap": "NA,a\n1.5,b\n2.5,c\n2.7,b\n",
    "a gap, lower case": "nan,red\n1.5,blue\n2.5,green\n",
    "a gap in the middle": "a,<NA>,b\nc,1.5,d\n",
    "gaps alone": "NA,missing\n1.5,2\n",
    "years above classes": "2019,2020,species\n1.0,2.0,setosa\n1.5,2.0,virginica\n",
    "lengths above classes": "0.5,1.5,species\n1.0,2.0,setosa\n1.5,2.0,setosa\n",
    "a typing error in a sample": "5.1,x3.5,0\n4.9,3.0,1\n",
    "a typing error in whole numbers": "5,x3,0\n4,3,1\n",
    "a text above a number and a text": "0,target\n1,yes\n2,3\n",
    "a line alone": "5,7,setosa\n",
}


@pytest.mark.parametrize("first", HEADERS.values(), ids=HEADERS.keys())
def test_a_first_line_of_names_is_the_header(tmp_path: Path, first: str) -> None:
    """A sample has a number, and no text above numbers; beside such a text whole numbers that rise are names."""
    path = written(tmp_path, f"{first}\n1.5,2,3\n2.5,4,6\n")
    assert data.load(path).x.tolist() == [[1.5, 2], [2.5, 4]]
    assert data.load(path, labels=first.split(",")[0]).y.tolist() == [[1.5], [2.5]]
    assert data.load(path, header=True).digest == data.load(path).digest


@pytest.mark.parametrize("first", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_first_line_of_numbers_is_a_sample(tmp_path: Path, first: str) -> None:
    """Unless they are what programs write as names: whole numbers that count from 0 or 1, or years that rise."""
    path = written(tmp_path, f"{first}\n1.5,2,3\n2.5,4,6\n")
    sample = data.load(path)
    assert [*sample.x[0].tolist(), sample.y[0].item()] == [float(entry) for entry in first.split(",")]
    assert sample.points == 3
    assert data.load(path, header=False).digest == sample.digest


@pytest.mark.parametrize("text", EITHER.values(), ids=EITHER.keys())
def test_what_may_be_a_header_or_a_sample_is_refused(tmp_path: Path, text: str) -> None:
    """A name taken for a class, or a sample lost, would be seen by nobody."""
    first = re.escape(", ".join(map(repr, text.splitlines()[0].split(","))))
    with pytest.raises(ValueError, match=f"the first line .{first}. may be a header or a sample: give header=True or"):
        data.load(written(tmp_path, text))


def test_header_decides_where_the_first_line_may_be_either(tmp_path: Path) -> None:
    """Labels are then found by these names, and classes do not include a name."""
    path = written(tmp_path, "2019,2020,species\n1.0,2.0,setosa\n1.5,2.5,virginica\n")
    sample = data.load(path, header=True, labels="species", onehot=True)
    assert (sample.x.tolist(), sample.y.tolist()) == ([[1, 2], [1.5, 2.5]], [[1, 0], [0, 1]])
    counted = written(tmp_path, "0,1,2\n5.1,3.5,0\n4.9,3.0,1\n", "counted.csv")
    assert data.load(counted, header=True, labels="0").x.tolist() == [[3.5, 0], [3, 1]]
    sample = data.load(counted, header=False, labels="3", onehot=False)
    assert (sample.x.tolist(), sample.y.tolist()) == ([[0, 1], [5.1, 3.5], [4.9, 3]], [[2], [0], [1]])


def test_a_typing_error_in_the_first_sample_is_named_there(tmp_path: Path) -> None:
    """Its class stands below it again, so the line is no header, though a text stands above numbers."""
    with pytest.raises(ValueError, match=r"line 1, column '2': 'x3\.5' is not a number"):
        data.load(written(tmp_path, "5.1,x3.5,setosa\n4.9,3.0,setosa\n6.2,2.9,virginica\n"))
    with pytest.raises(ValueError, match="line 1, column '2': '3,500' is not a number"):
        data.load(written(tmp_path, '5,"3,500",7\n4,3,8\n'))
    with pytest.raises(ValueError, match="line 1, column '3': '3,500' is not a number"):
        data.load(written(tmp_path, '1,2,"3,500"\n4,3,8\n'))
    with pytest.raises(ValueError, match="line 1, column '2': 'NA' is not a number"):
        data.load(written(tmp_path, "5,NA,7\n4,3,8\n"))


@pytest.mark.parametrize(
    ("gap", "shown"), [("NA", "'NA'"), ("nan", "'nan'"), ("missing", "'missing'"), ("", "an empty")]
)
def test_a_gap_in_the_first_sample_is_named_there(tmp_path: Path, gap: str, shown: str) -> None:
    """Its class stands below it again: taken for a name, the gap would be lost with its sample."""
    with pytest.raises(ValueError, match=f"line 1, column '1': {shown}.* is not"):
        data.load(written(tmp_path, f"{gap},2.5,a\n1.5,2,b\n2.5,3,a\n2.7,4,b\n"))
    if gap:
        with pytest.raises(ValueError, match=f"line 1, column '1': {shown}.* is not"):
            data.load(written(tmp_path, f"{gap},a\n1.5,b\n2.5,a\n2.7,b\n"))


@pytest.mark.parametrize("header", [1, "yes", "infer"])
def test_header_is_none_or_a_truth_value(tmp_path: Path, header: Any) -> None:
    """pandas has a number of lines there, which is another question."""
    with pytest.raises(ValueError, match="header must be None, or True or False for a CSV file, got"):
        data.load(written(tmp_path, FLOWERS), header=header)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["a.npz", "a.parquet"])
def test_files_that_know_their_names_take_no_header(tmp_path: Path, name: str, header: bool) -> None:
    """Whatever is in them."""
    with pytest.raises(ValueError, match=f"for a CSV file, got {header} for .*{name}"):
        data.load(tmp_path / name, header=header)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """By its name, as `load` refuses it."""
    with pytest.raises(ValueError, match=r"must end in \.csv, \.parquet, \.npz, got .*flowers\.txt"):
        data.from_file(written(tmp_path, FLOWERS, "flowers.txt"))


INDEXED = {
    "no name": ",a,y\n0,5,1\n1,6,0\n",
    "no name, shuffled": ",a,y\n7,5,1\n3,6,0\n",
    "no name, numbers as names": ",0,1\n0,5,1\n1,6,0\n",
    "from R": '"","a","y"\n"1",5,1\n"2",6,0\n',
    "read again by pandas": "Unnamed: 0,a,y\n0,5,1\n1,6,0\n",
    "read again twice": "Unnamed: 0.1,Unnamed: 0,a,y\n0,0,5,1\n1,1,6,0\n",
    "parquet turned into CSV": "a,y,__index_level_0__\n5,1,0\n6,0,1\n",
}


@pytest.mark.parametrize("text", INDEXED.values(), ids=INDEXED.keys())
def test_row_numbers_are_no_inputs(tmp_path: Path, text: str) -> None:
    """Where samples are sorted by class, row numbers would tell the class."""
    with pytest.raises(ValueError, match="as where pandas writes row numbers: write the file with index=False"):
        data.load(written(tmp_path, text))


def test_columns_without_a_name_are_no_row_numbers_elsewhere(tmp_path: Path) -> None:
    """Row numbers stand first, or have the name that pandas gives them; another column may hold anything."""
    for text, place in (("a,,y\n0,5,1\n1,6,0\n", 2), ("a,y,\n0,5,1\n1,6,0\n", 3)):
        with pytest.raises(ValueError, match=f"column {place} has no name: name it, or leave it out$"):
            data.load(written(tmp_path, text))
    with pytest.raises(ValueError, match="column 2 is called 'Unnamed: 1', as pandas calls a column without a name"):
        data.load(written(tmp_path, "a,Unnamed: 1,y\n0,5,1\n1,6,0\n"))
    for text in ("a,y,\n0,5,\n1,6,\n", "1.5,5,\n2.5,6,\n"):
        with pytest.raises(ValueError, match="every line ends with a comma, after which there is no column"):
            data.load(written(tmp_path, text))


@pytest.mark.parametrize("start", [0, 1, 0.0])
def test_a_first_column_that_counts_the_rows_is_an_input_only_if_meant(tmp_path: Path, start: float) -> None:
    """pandas writes row numbers without a header, too; with two rows or a gap in the count they may be anything."""
    table = pd.DataFrame({"a": [5.5, 4.5, 6.5], "y": [1, 0, 1]}, index=start + np.arange(3))
    table.to_csv(tmp_path / "a.csv", header=False)
    with pytest.raises(ValueError, match=r"column 1 counts the rows.*index=False, or give header=False if it is meant"):
        data.load(tmp_path / "a.csv")
    wanted = [[start, 5.5], [start + 1, 4.5], [start + 2, 6.5]]
    assert data.load(tmp_path / "a.csv", header=False).x.tolist() == wanted
    table[:2].to_csv(tmp_path / "b.csv", header=False)
    assert data.load(tmp_path / "b.csv").x.tolist() == wanted[:2]
    table[::2].to_csv(tmp_path / "c.csv", header=False)
    assert data.load(tmp_path / "c.csv").x.tolist() == wanted[::2]
    written(tmp_path, "a,b,y\n" + (tmp_path / "a.csv").read_text(), "d.csv")
    assert data.load(tmp_path / "d.csv").x.tolist() == wanted
    table.set_index(table.index + 2).to_csv(tmp_path / "e.csv", header=False)
    assert data.load(tmp_path / "e.csv").points == 3


def test_row_numbers_that_pandas_writes_are_refused(tmp_path: Path) -> None:
    """As pandas itself writes them, to CSV and to parquet, where they are the last column, which is the label."""
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"a": [5.0, 6.0, 7.0], "y": [1, 0, 1]})
    table.to_csv(tmp_path / "a.csv")
    table.to_parquet(tmp_path / "b.parquet", index=True)
    table.iloc[[2, 0, 1]].to_parquet(tmp_path / "c.parquet")
    for name, place in (("a.csv", "column 1 has no name"), ("b.parquet", "column 3"), ("c.parquet", "column 3")):
        with pytest.raises(ValueError, match=f"{place}.*index=False"):
            data.load(tmp_path / name)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "b.parquet", index=False)
    for name in ("a.csv", "b.parquet"):
        assert data.load(tmp_path / name).x.tolist() == [[5], [6], [7]]


NEW_GAPS = ["missing", "#N/A", "<NA>", ".", "NaT"]  # of Julia, spreadsheets, pandas, SAS, and pandas for dates


@pytest.mark.parametrize("gap", ["NA", "N/A", "n/a", "nan", "NaN", "None", "NULL", "null", "?", "-", " - ", *NEW_GAPS])
def test_a_missing_label_is_no_class(tmp_path: Path, gap: str) -> None:
    """A sample of unknown class belongs to no class; where it stands first, too, and whatever form y is to have."""
    shown = re.escape(repr(gap.strip()))
    for lines, place in ((["no", "yes", gap], 4), ([gap, "no", "yes"], 2)):
        path = written(tmp_path, "a,y\n" + "".join(f"{k},{label}\n" for k, label in enumerate(lines)))
        for onehot in (None, True, False):
            with pytest.raises(ValueError, match=f"line {place}, column 'y': {shown}, which stands for a missing one,"):
                data.load(path, onehot=onehot)


@pytest.mark.parametrize("gap", ["NA", "none", "-", *NEW_GAPS])
def test_a_gap_among_numbers_is_no_number(tmp_path: Path, gap: str) -> None:
    """A gap does not turn class numbers into texts, wherever it stands."""
    for text, place in ((f"a,y\n1,{gap}\n2,0\n3,1\n", 2), (f"a,y\n1,0\n2,1\n3,{gap}\n", 4)):
        for onehot in (None, True, False):
            with pytest.raises(ValueError, match=f"line {place}, column 'y': '{gap}' is not a number"):
                data.load(written(tmp_path, text), onehot=onehot)


def test_minus_is_a_class_beside_plus(tmp_path: Path) -> None:
    """Two of the oldest names of classes."""
    assert data.load(written(tmp_path, "a,y\n1,+\n2,-\n3,+\n")).y.tolist() == [[0], [1], [0]]


def test_a_point_is_a_class_among_symbols(tmp_path: Path) -> None:
    """As on a map or in a drawing of a bond; beside a word it stands for a missing label."""
    assert data.load(written(tmp_path, "a,y\n1,.\n2,#\n3,.\n")).y.tolist() == [[1], [0], [1]]
    sample = data.load(written(tmp_path, "a,y\n1,+\n2,-\n3,.\n"))
    assert sample.notes == ("classes of y: 0 = +, 1 = -, 2 = .",)
    with pytest.raises(ValueError, match=r"line 4, column 'y': '\.', which stands for a missing one"):
        data.load(written(tmp_path, "a,y\n1,no\n2,+\n3,.\n"))


@pytest.mark.parametrize(("first", "second"), [("True", "true"), ("setosa", "Setosa"), ("iris setosa", "iris  setosa")])
def test_labels_that_differ_only_by_case_or_spaces_are_refused(tmp_path: Path, first: str, second: str) -> None:
    """Both are named with their places."""
    path = written(tmp_path, f"a,y\n1,{first}\n2,other\n3,{second}\n")
    with pytest.raises(ValueError, match=f"line 4, column 'y': '{second}' and '{first}' .line 2. differ only by case"):
        data.load(path)
    np.savez(tmp_path / "a.npz", x=np.arange(3.0), y=np.array([first, "other", second]))
    with pytest.raises(ValueError, match=f"row 3, column 'y': '{second}' and '{first}' .row 1. differ only by case"):
        data.load(tmp_path / "a.npz")


def test_spaces_around_labels_do_not_matter(tmp_path: Path) -> None:
    """Before a quote, too, where they would make the quote part of the label."""
    path = written(tmp_path, 'a, y\n1, "setosa"\n2,setosa \n3,"virginica, white "\n')
    assert data.load(path).y.tolist() == [[0], [0], [1]]
    assert data.load(path).notes == ("classes of y: 0 = setosa, 1 = virginica, white",)


def test_truth_values_are_two_classes(tmp_path: Path) -> None:
    """False is 0 and True is 1, as texts and as parquet's and NumPy's own."""
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [True, False, True]})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet", index=False)
    np.savez(tmp_path / "a.npz", a=table["a"].to_numpy(), y=table["y"].to_numpy())
    for kind in ("csv", "parquet", "npz"):
        assert data.load(tmp_path / f"a.{kind}").y.tolist() == [[1], [0], [1]]
        assert data.load(tmp_path / f"a.{kind}", onehot=True).y.tolist() == [[0, 1], [1, 0], [0, 1]]


SEPARATED = {
    "semicolons": ("a;b;y\n1;2;0\n\n3;4;1\n", "semicolons"),
    "semicolons and decimal commas": ("a;b;y\n1,5;2,5;0\n3,5;4,5;1\n", "semicolons"),
    "semicolons and decimal commas, no header": ("1,5;2,5;0\n3,5;4,5;1\n", "semicolons"),
    "semicolons and texts": ("a;y\n1.234,5;no\n3,5;yes\n", "semicolons"),
    "tabs": ("a\tb\ty\n1\t2\t0\n3\t4\t1\n", "tabs"),
    "vertical bars": ("a|b|y\n1|2|0\n3|4|1\n", "vertical bars"),
    "vertical bars and spaces": ("a | b | y\n1 | 2 | 0\n", "vertical bars"),
    "spaces": (" 1.0 2.0  0\n 3.0 4.0  1\n", "spaces"),
}


@pytest.mark.parametrize(("text", "name"), SEPARATED.values(), ids=SEPARATED.keys())
def test_other_separators_than_commas_are_named(tmp_path: Path, text: str, name: str) -> None:
    """Spreadsheets write semicolons where the comma is the decimal sign."""
    with pytest.raises(ValueError, match=f"its entries seem to be separated by {name}; commas are wanted, and decimal"):
        data.load(written(tmp_path, text))


def test_separators_inside_labels_are_no_separators(tmp_path: Path) -> None:
    """Where commas are the separators."""
    path = written(tmp_path, "1.5,2.5,a;b\n2.5,3.5,c d;e\n3.5,4.5,a;b\n")
    assert data.load(path).y.tolist() == [[0], [1], [0]]
    path = written(tmp_path, "1.5, 2.5, 3\n2.5, 3.5, 4\n")
    assert data.load(path).x.tolist() == [[1.5, 2.5], [2.5, 3.5]]


def test_the_mark_before_the_names_of_savetxt_is_no_part_of_them(tmp_path: Path) -> None:
    """NumPy writes "# " there unless told comments=""."""
    np.savetxt(tmp_path / "a.csv", [[1.5, 2, 3], [4, 5, 6]], delimiter=",", header="x,# z,y")
    assert data.load(tmp_path / "a.csv", labels="x").y.tolist() == [[1.5], [4]]
    assert data.load(tmp_path / "a.csv", labels="# z").y.tolist() == [[2], [5]]


def test_standardised_columns_have_mean_0_and_variance_1(tmp_path: Path) -> None:
    """Over the rows; a constant column, which has no variance, becomes 0."""
    path = written(tmp_path, "a,b,y\n1,5,0\n2,5,1\n6,5,0\n")
    x = data.load(path, standardise=True).x.numpy()
    np.testing.assert_allclose(x[:, 0], (np.array([1, 2, 6]) - 3) / np.sqrt(14 / 3), rtol=1e-15)
    assert (x[:, 1] == 0).all()


def test_npz_arrays_are_x_and_y(tmp_path: Path) -> None:
    """The array "y" is taken wherever it stands, with all its columns; without one the last array."""
    x, y = np.arange(6.0).reshape(3, 2), np.array([[1, 0], [0, 1], [1, 0]], dtype=np.int8)
    np.savez(tmp_path / "a.npz", y=y, x=x)
    sample = data.load(tmp_path / "a.npz")
    assert (sample.x.tolist(), sample.y.tolist()) == (x.tolist(), y.tolist())
    np.savez(tmp_path / "b.npz", inputs=x[:, 0], species=np.array(["b", "a", "b"]))
    assert data.load(tmp_path / "b.npz").y.tolist() == [[1], [0], [1]]
    assert data.load(tmp_path / "a.npz", labels="y 2").x.tolist() == [[1, 0, 1], [0, 2, 3], [1, 4, 5]]


def test_parquet_columns_are_those_written_there(tmp_path: Path) -> None:
    """Numbers of any type, truth values, and texts, also as categories."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "flowers.parquet"
    table = pd.DataFrame(LENGTHS, columns=["length", "width"])
    table["whole"] = np.array([1, 2, 3, 4], dtype=np.int16)
    table["flag"] = [True, False, True, True]
    table["species"] = pd.Categorical(["setosa", "virginica", "versicolor", "setosa"])
    table.to_parquet(path, index=False)
    sample = data.load(path)
    wanted = [[*row, k + 1, float(k != 1)] for k, row in enumerate(LENGTHS)]
    assert sample.x.tolist() == wanted and sample.y.argmax(1).tolist() == [0, 2, 1, 0]


def test_gaps_of_a_parquet_column_are_named(tmp_path: Path) -> None:
    """A missing number is None or NaN there."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "gaps.parquet"
    pd.DataFrame({"a": [1, None, 3], "y": [0, 1, 0]}).to_parquet(path, index=False)
    with pytest.raises(ValueError, match="row 2, column 'a': an empty entry is not a number"):
        data.load(path)
    (tmp_path / "no.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(ValueError, match=r"no\.parquet cannot be read as parquet"):
        data.load(tmp_path / "no.parquet")


def test_every_flipped_byte_of_a_parquet_file_is_answered_by_a_value_error(tmp_path: Path) -> None:
    """Or by none: parquet has no checksums, unless asked for."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1.5, 2.5], "y": ["a", "b"]}).to_parquet(path, index=False)
    assert answers(path, slice(None)) > 100


def answers(path: Path, places: slice) -> int:
    """How often a file is refused in one sentence that names it, when one of its bytes is flipped."""
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole))[places]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            data.load(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error) and "pickled" not in str(error)
            refused += 1
    return refused


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_flipped_byte_of_an_array_is_answered_by_a_value_error(tmp_path: Path, save: Callable[..., None]) -> None:
    """NPZ files have checksums, so none goes unseen, in whichever part of the archive it is."""
    path = tmp_path / "a.npz"
    save(path, x=np.arange(3.0), y=np.array(["b", "a", "b"]))
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()
    body = slice(second.header_offset - first.compress_size, second.header_offset)
    assert answers(path, body) == first.compress_size
    save(path, x=np.arange(3.0), y=np.array(["b", "a", "b"]))
    assert answers(path, slice(None)) > first.compress_size


def test_a_member_that_is_no_array_is_named(tmp_path: Path) -> None:
    """A ZIP archive holds anything."""
    np.savez(tmp_path / "a.npz", x=np.arange(3.0), y=np.arange(3.0))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("read me.txt", "no array")
    with pytest.raises(ValueError, match=r"a\.npz: 'read me\.txt' is no array: NumPy's savez writes arrays alone"):
        data.load(tmp_path / "a.npz")


@pytest.mark.parametrize("labels", [3, 2.5, [3], b"y", [["y"]]])
def test_labels_are_names(tmp_path: Path, labels: Any) -> None:
    """Not places."""
    with pytest.raises(TypeError, match="labels must be the name of a column, or a list of names, got "):
        data.load(written(tmp_path, FLOWERS), labels=labels)


def test_parquet_without_its_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is a command that helps."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'deeplimit\[parquet\]'"):
        data.load(tmp_path / "a.parquet")


CSV_ERRORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no number": ("a,b,y\n1,2,0\n1,x2,0\n", {}, "line 3, column 'b': 'x2' is not a number"),
    "no number after a blank line": ("a,y\n1,0\n\n?,0\n", {}, "line 4, column 'a': '?' is not a number"),
    "no number after a quoted line break": ('a,y\n1,"0\n"\nq,0\n', {}, "line 4, column 'a': 'q' is not a number"),
    "underscore": ("a,y\n1_0,0\n", {}, "line 2, column 'a': '1_0' is not a number"),
    "thousands": ('a,y\n"1,234",0\n', {}, "line 2, column 'a': '1,234' is not a number: write it with a decimal point"),
    "thousands and spaces": (
        "a,y\n1 234,0\n",
        {},
        "column 'a': '1 234' is not a number: write it with a decimal point",
    ),
    "decimal comma": ('a,y\n1,0\n"2,9",0\n', {}, "line 3, column 'a': '2,9' is not a number: write it with a decimal"),
    "thousands as label": ('a,y\n1,"1,234"\n2,"2,000"\n', {}, "column 'y': '1,234' is not a number: write it with"),
    "commas in numbers": ("a,y\n1,234,0\n", {}, "line 2 has 3 entries, the first line has 2 (separated by commas; num"),
    "empty": ("a,b,y\n1,,0\n", {}, "line 2, column 'b': an empty entry is not a number"),
    "infinite": ("a,y\n1,0\ninf,0\n", {}, "line 3, column 'a': 'inf' is not finite"),
    "nan": ("a,y\n1,nan\n", {}, "line 2, column 'y': 'nan' is not finite"),
    "ragged": ("a,b,y\n1,2,0\n1,0\n", {}, "line 3 has 2 entries, the first line has 3"),
    "long": ("a,b,y\n1,2,0,\n", {}, "line 2 has 4 entries, the first line has 3"),
    "twice": ("a,b,a\n1,2,3\n", {}, "two columns of the name 'a'"),
    "no column": ("a,b\n1,2\n", {"labels": "c"}, "no column 'c'; it has a, b"),
    "no inputs": ("a,b\n1,2\n", {"labels": ["a", "b"]}, "must have a column of inputs and one of labels"),
    "one column": ("a\n1\n", {}, "must have a column of inputs and one of labels"),
    "nothing": ("", {}, "is empty"),
    "header alone": ("a,b\n", {}, "has no rows"),
    "a byte order mark alone": ("\ufeff\n", {}, "is empty"),
    "labels mixed with numbers": ("a,y\n1,b\n1,2\n", {}, "line 2, column 'y': 'b' is not a number"),
    "mixed labels": ("a,y\n1,2\n1,b\n", {}, "line 3, column 'y': 'b' is not a number"),
    "empty label": ("a,y\n1,b\n1, \n", {}, "line 3, column 'y': an empty entry is not a label"),
    "no class": ("a,y\n1,2.5\n1,3\n", {"onehot": True}, "line 2, column 'y': '2.5' is not a class"),
    "large class": (
        f"a,y\n1,1\n2,{2**53 + 1}\n3,{2**53}\n",
        {"onehot": True},
        "line 3, column 'y': '9007199254740993' is",
    ),
    "one class": ("a,y\n1,b\n1,b\n", {}, "column 'y' must have two classes or more, got 'b' alone"),
    "two label columns": ("a,y,z\n1,b,c\n", {"labels": ["y", "z"]}, "classes must be in one column, got y, z"),
    "quote": ('a,y\n"1,2\n', {}, "line 2 cannot be read"),
    "standardise": ("a,y\n1,2\n", {"standardise": 1}, "standardise must be True or False, got 1"),
    "onehot": ("a,y\n1,2\n1,3\n", {"onehot": "yes"}, "onehot must be True or False, got 'yes'"),
}


@pytest.mark.parametrize(("text", "options", "sentence"), CSV_ERRORS.values(), ids=CSV_ERRORS.keys())
def test_what_is_wrong_is_named_by_its_place(tmp_path: Path, text: str, options: dict[str, Any], sentence: str) -> None:
    """Lines are counted as an editor counts them: header, blank lines and quoted line breaks included."""
    with pytest.raises(ValueError) as error:
        data.load(written(tmp_path, text), **options)
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert "flowers.csv" in str(error.value) or "must be True or False" in sentence


class Mark:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.path, "executed")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    """An array of objects is a pickle, which would run what it likes; the planted one would leave a mark."""
    path, mark = tmp_path / "bad.npz", tmp_path / "mark"
    np.savez(path, x=np.arange(2.0), y=np.array([Mark(mark), 1], dtype=object))
    with pytest.raises(ValueError, match="the array 'y' holds pickled objects, which are not loaded"):
        data.load(path)
    assert not mark.exists()
    np.load(path, allow_pickle=True)["y"]
    assert mark.exists(), "the mark must be one that loading could leave"


def test_npz_files_that_cannot_be_samples_are_refused(tmp_path: Path) -> None:
    """Lengths, dimensions, and files that are something else."""
    np.savez(tmp_path / "a.npz", x=np.arange(3.0), y=np.arange(2.0))
    with pytest.raises(ValueError, match=r"different numbers of rows: \{'x': 3, 'y': 2\}"):
        data.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=np.zeros((2, 2, 2)), y=np.arange(2.0))
    with pytest.raises(ValueError, match=r"numbers or texts in 1 or 2 dimensions, got float64 of shape \(2, 2, 2\)"):
        data.load(tmp_path / "b.npz")
    written(tmp_path, "no zip", "c.npz")
    with pytest.raises(ValueError, match="is no NPZ file"):
        data.load(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", x=np.array([[1.0, np.inf], [1.0, 2.0]]), y=np.arange(2.0))
    with pytest.raises(ValueError, match="row 1, column 'x 2': inf is not finite"):
        data.load(tmp_path / "d.npz")


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    """With the class of error that Python has for it."""
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        data.load(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        data.load(tmp_path / "folder.csv")
    (tmp_path / "latin.csv").write_bytes("a,y\nä,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="no text in UTF-8: byte 4 cannot be read; save it as UTF-8"):
        data.load(tmp_path / "latin.csv")


@pytest.mark.parametrize(("encoding", "byte"), [("utf-16", 0), ("utf-16-le", 1), ("utf-16-be", 0)])
def test_files_in_utf_16_are_to_be_saved_as_utf_8(tmp_path: Path, encoding: str, byte: int) -> None:
    """With a mark that tells the order of its bytes, or without."""
    (tmp_path / "a.csv").write_bytes(FLOWERS.encode(encoding))
    with pytest.raises(ValueError, match=f"no text in UTF-8: byte {byte} cannot be read; save it as UTF-8"):
        data.load(tmp_path / "a.csv")


@pytest.mark.parametrize("first", ["sep=,", "sep=;", "SEP=,", '"sep=,"'])
def test_the_first_line_that_only_excel_understands_is_named(tmp_path: Path, first: str) -> None:
    """It would be a header of two names."""
    with pytest.raises(ValueError, match=f"the first line '{first}' is for Excel alone: delete it"):
        data.load(written(tmp_path, f"{first}\n{FLOWERS}"))


def test_files_read_are_told_with_their_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path that was asked for; one that could not be read is not among them."""
    monkeypatch.setattr(sources, "_READ", {})
    monkeypatch.chdir(tmp_path)
    written(tmp_path, FLOWERS)
    assert data.files_read() == {}
    data.load("flowers.csv")
    written(tmp_path, "a\n", "bad.csv")
    with pytest.raises(ValueError, match="no rows"):
        data.load("bad.csv")
    assert data.files_read() == {"flowers.csv": hashlib.sha256(FLOWERS.encode()).hexdigest()}


def test_a_digest_tells_numbers_and_shapes_apart() -> None:
    """One bit, an exchange of x and y or another shape changes it; names and notes do not."""
    x, y = torch.arange(6.0).reshape(3, 2).double(), torch.ones(3, 1).double()
    digest = Data(x, y).digest
    text = b"[(3, 2), (3, 1)]" + np.arange(6.0).tobytes() + np.ones(3).tobytes()
    assert digest == hashlib.sha256(text).hexdigest()
    assert Data(x.numpy(), y, name="other", notes=("a note",)).digest == digest
    changed = x.clone()
    changed[2, 1] = np.nextafter(5.0, 6.0)
    others = [Data(changed, y), Data(x[:, :1], torch.cat([x[:, 1:], y], 1)), Data(y, x), Data(-x, y)]
    assert len({digest, *(other.digest for other in others)}) == 5

"""Data from files: the truth is what was written into them."""

from __future__ import annotations

import hashlib
import sys
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
    """A first line with a number in it is a sample."""
    path = written(tmp_path, "\ufeff1,2,a\n\n3,4,b\n")
    assert data.load(path).x.tolist() == [[1, 2], [3, 4]]
    assert data.load(path, labels="3").y.tolist() == [[0], [1]]


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
    "mixed labels": ("a,y\n1,2\n1,b\n", {}, "line 3, column 'y': 'b' is not a number"),
    "empty label": ("a,y\n1,b\n1, \n", {}, "line 3, column 'y': an empty entry is not a label"),
    "no class": ("a,y\n1,2.5\n1,3\n", {"onehot": True}, "line 2, column 'y': '2.5' is not a class"),
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
    with pytest.raises(ValueError, match="no text in UTF-8: byte 4"):
        data.load(tmp_path / "latin.csv")


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

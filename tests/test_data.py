"""Data: the truth is geometry, hand-computed points, the published sizes of the real sets and NumPy's SVD."""

from __future__ import annotations

import dataclasses
import math
import pickle
import random
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch

from deeplimit import data
from deeplimit.data import DATASETS, Data

PLANE = ["moons", "circles", "spirals", "ring"]
REAL = ["iris", "wine", "breast_cancer", "digits"]
# Points, features and points per class, as published with the sets.
SIZES = {
    "iris": (150, 4, [50, 50, 50]),
    "wine": (178, 13, [59, 71, 48]),
    "breast_cancer": (569, 30, [212, 357]),
    "digits": (1797, 64, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
}


def raw(name: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return x, y


def counts(sample: Data) -> list[int]:
    """Points per class, of class numbers or of one-hot columns."""
    if sample.outputs > 1:
        return [int(count) for count in sample.y.sum(0)]
    return [int(count) for count in sample.y[:, 0].long().bincount()]


def generators() -> tuple[Any, ...]:
    """The states of the generators that all of a program shares."""
    numpy: Any = np.random.get_state()  # noqa: NPY002  # the legacy generator is the one that is shared
    return random.getstate(), numpy[1].tolist(), torch.get_rng_state().tolist()


def message(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


# Data


ARRAYS: list[Any] = [
    np.array([[1, 2], [3, 4], [5, 6]], dtype=np.int32),
    np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float64, order="F"),
    np.array([[5, 6], [3, 4], [1, 2]], dtype=">f8")[::-1],
    [[1, 2], [3, 4], [5, 6]],
    ((1.0, 2), (3, 4), (5, 6)),
    torch.tensor([[1, 2], [3, 4], [5, 6]]),
    torch.tensor([[1.0, 3, 5], [2, 4, 6]], dtype=torch.float64).T,
    torch.tensor([[1.0, 2], [3, 4], [5, 6]], dtype=torch.float64, requires_grad=True),
    pd.DataFrame({"a": [1, 3, 5], "b": [2.0, 4.0, 6.0]}, index=[7, 8, 9]),
    pd.DataFrame({"a": [1, 3, 5], "b": [2, 4, 6]}, dtype="Int64"),
    np.array([[1, 2.0], [3, 4], [5, 6]], dtype=object),
]


@pytest.mark.parametrize("x", ARRAYS, ids=lambda x: type(x).__name__)
def test_anything_numeric_becomes_float64_tensors(x: Any) -> None:
    """Every array of numbers means the same data, wherever it comes from."""
    y: Any = [0, 1, 0]
    sample = Data(x, y)
    assert sample.x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert sample.y.tolist() == [[0], [1], [0]]
    for array in (sample.x, sample.y):
        assert array.dtype == torch.float64 and array.device.type == "cpu"
        assert array.is_contiguous() and not array.requires_grad
    assert (sample.points, sample.width, sample.outputs) == (3, 2, 1)
    assert sample.notes == ()


def test_booleans_and_mixed_tables_are_numbers() -> None:
    """A yes or no column is a label; a table may have columns of several types."""
    x: Any = pd.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})
    y: Any = pd.Series([True, False], index=[5, 6])
    sample = Data(x, y)
    assert sample.x.tolist() == [[1, 1, 0.5], [2, 0, 1.5]]
    assert sample.y.tolist() == [[1], [0]]


def test_data_is_a_copy() -> None:
    """What happens to the caller's arrays afterwards must not reach a study."""
    x, y = np.ones((2, 2)), torch.ones(2, 1, dtype=torch.float64)
    sample = Data(x, y)  # type: ignore[arg-type]
    x[:], y[:] = 7, 7
    assert (sample.x == 1).all() and (sample.y == 1).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.x = y  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["float16", "float32", "bfloat16"])
def test_lower_precision_is_noted(kind: str) -> None:
    """Seven digits of data make a float64 result look better than it is, so the record must say so."""
    low = torch.tensor([[0.1], [0.2]], dtype=getattr(torch, kind))
    both = Data(low, low[:, 0], notes=("mine",))
    assert both.notes == (
        "mine",
        f"x converted from {kind} to float64",
        f"y converted from {kind} to float64",
    )
    assert Data(low.double(), low).notes == (f"y converted from {kind} to float64",)
    if kind != "bfloat16":
        array: Any = low.numpy()
        assert Data(array, low.double()).notes == (f"x converted from {kind} to float64",)


def test_notes_are_a_tuple() -> None:
    """Immutable like the rest; one note is one note and not its letters."""
    one: Any = torch.ones(1, 1, dtype=torch.float64)
    as_list: Any = ["a", "b"]
    as_string: Any = "a note"
    assert Data(one, one, notes=as_list).notes == ("a", "b")
    assert Data(one, one, notes=as_string).notes == ("a note",)


def test_repr_is_one_line() -> None:
    """Tables of numbers do not belong into a traceback."""
    assert repr(data.ring()) == "Data('ring(points=8)', points=8, width=2, outputs=2)"


def test_data_survives_the_way_to_another_process() -> None:
    """Parallel studies pickle their problems."""
    sample = data.moons(10)
    copy: Data = pickle.loads(pickle.dumps(sample))
    assert torch.equal(copy.x, sample.x) and torch.equal(copy.y, sample.y) and copy.name == sample.name


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ([], [], "x must not be empty, got shape (0,)"),
        ([[]], [1], "x must not be empty, got shape (1, 0)"),
        (np.ones((2, 2)), [], "y must not be empty, got shape (0,)"),
        (np.ones((0, 2)), np.ones(0), "x must not be empty, got shape (0, 2)"),
        ([1, 2], [1, 2], "x must have 2 dimensions, one row per sample, got shape (2,)"),
        (3.0, 4.0, "x must have 2 dimensions, one row per sample, got shape ()"),
        (np.ones((2, 1, 1)), [1, 2], "x must have 2 dimensions, one row per sample, got shape (2, 1, 1)"),
        (
            np.ones((2, 1)),
            np.ones((2, 1, 1)),
            "y must have 1 or 2 dimensions, one row per sample, got shape (2, 1, 1)",
        ),
        (np.ones((3, 2)), np.ones(2), "x and y must have the same number of rows, got 3 and 2"),
        (
            [[0, 1], [2, math.nan], [math.inf, 0]],
            [0, 1, 2],
            "x must be finite, got nan in row 1, column 1 (counted from 0)",
        ),
        (np.ones((2, 1)), [0, -math.inf], "y must be finite, got -inf in row 1, column 0 (counted from 0)"),
        (
            torch.tensor([[1.0, math.inf]]),
            [1],
            "x must be finite, got inf in row 0, column 1 (counted from 0)",
        ),
        (np.ma.array([[1.0, 2.0]], mask=[[False, True]]), [1], "x must have no masked entries"),
    ],
)
def test_unusable_numbers_are_refused_in_one_sentence(x: Any, y: Any, sentence: str) -> None:
    """The sentence names the requirement and what was there instead."""
    assert message(ValueError, lambda: Data(x, y)) == sentence


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ("abc", [1], "x must be an array of real numbers, got entries of type <U3"),
        ([["1", "2"]], [1], "x must be an array of real numbers, got entries of type <U1"),
        (None, [1], "x must be an array of real numbers, got NoneType"),
        ([[1]], None, "y must be an array of real numbers, got NoneType"),
        ([[1, None]], [1], "x must be an array of real numbers, got NoneType"),
        ({"a": 1}, [1], "x must be an array of real numbers, got dict"),
        ([[1 + 2j]], [1], "x must be an array of real numbers, got entries of type complex128"),
        (
            torch.ones(1, 1) * 1j,
            [1],
            "x must be an array of real numbers, got entries of type torch.complex64",
        ),
        ([[1, 2], [3]], [1, 2], "x must be a rectangular array of numbers, got an irregular list"),
        (pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}), [1, 2], "x must be an array of real numbers, got str"),
        ([[10**400]], [1], "x must be a rectangular array of numbers, got an irregular list"),
    ],
)
def test_what_is_not_numeric_is_refused_in_one_sentence(x: Any, y: Any, sentence: str) -> None:
    """Strings that look like numbers, missing entries and imaginary parts are never dropped in silence."""
    assert message(TypeError, lambda: Data(x, y)) == sentence


# Point sets in the plane


def test_ring_is_the_reference_problem() -> None:
    """r_s = ½ for even s, 1.2 for odd s, at the angles 2π s / 8; 1.2 / √2 = 0.848528137423857."""
    a = 0.8485281374238570
    wanted = [[0.5, 0], [a, a], [0, 0.5], [-a, a], [-0.5, 0], [-a, -a], [0, -0.5], [a, -a]]
    sample = data.ring()
    torch.testing.assert_close(sample.x, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=5e-16)
    assert sample.y.tolist() == [[1, 0], [0, 1]] * 4
    assert data.ring(onehot=False).y.tolist() == [[0], [1]] * 4


def test_ring_of_four_and_of_two() -> None:
    """Quarter and half turns."""
    four = torch.tensor([[0.5, 0], [0, 1.2], [-0.5, 0], [0, -1.2]], dtype=torch.float64)
    torch.testing.assert_close(data.ring(4).x, four, rtol=0, atol=5e-16)
    two = torch.tensor([[0.5, 0], [-1.2, 0]], dtype=torch.float64)
    torch.testing.assert_close(data.ring(points=2).x, two, rtol=0, atol=5e-16)


def test_moons_without_noise_are_two_half_circles() -> None:
    """Class 0: |x| = 1 above the axis; class 1: |x − (1, ½)| = 1 below ½."""
    sample = data.moons(101, noise=0)
    first, second = sample.x[sample.y[:, 0] == 0], sample.x[sample.y[:, 0] == 1]
    assert len(first) == 50 and len(second) == 51
    shifted = second - torch.tensor([1, 0.5])
    assert (first.norm(dim=1) - 1).abs().max() < 1e-14 and first[:, 1].min() > -1e-14
    assert (shifted.norm(dim=1) - 1).abs().max() < 1e-14 and shifted[:, 1].max() < 1e-14


def test_circles_without_noise_are_two_circles() -> None:
    """Radius 1 for class 0 and `factor` for class 1."""
    sample = data.circles(100, noise=0, factor=0.3)
    radius = 1 - 0.7 * sample.y[:, 0]
    assert counts(sample) == [50, 50]
    assert (sample.x.norm(dim=1) - radius).abs().max() < 1e-14


@pytest.mark.parametrize("turns", [0.5, 1.0, 2.5])
def test_spirals_without_noise_are_archimedean(turns: float) -> None:
    """The angle is 2π turns r, plus π for class 1, with r running up to 1 in both."""
    sample = data.spirals(61, turns=turns, noise=0)
    label, radius = sample.y[:, 0], sample.x.norm(dim=1)
    angle = 2 * math.pi * turns * radius + math.pi * label
    wanted = radius[:, None] * torch.stack((angle.cos(), angle.sin()), dim=1)
    torch.testing.assert_close(sample.x, wanted, rtol=0, atol=1e-13)
    assert counts(sample) == [31, 30]
    for k, size in enumerate((31, 30)):
        equal = torch.arange(1, size + 1, dtype=torch.float64) / size
        torch.testing.assert_close(radius[label == k], equal, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["moons", "circles", "spirals"])
def test_noise_is_its_standard_deviation(name: str) -> None:
    """With the same seed only the noise differs; 20 000 samples show its size to one per cent."""
    noisy, clean = (data.load(name, points=10_000, noise=noise, seed=3) for noise in (0.2, 0.0))
    difference = noisy.x - clean.x
    assert difference.std().item() == pytest.approx(0.2, rel=0.02)
    assert difference.mean().abs() < 0.01
    assert torch.equal(noisy.y, clean.y)


@pytest.mark.parametrize("name", PLANE)
def test_point_sets_have_the_size_asked_for(name: str) -> None:
    """Two balanced classes in the plane; one-hot labels say the same as class numbers."""
    sample, onehot = (data.load(name, points=30, onehot=flag) for flag in (False, True))
    assert (sample.points, sample.width, sample.outputs, onehot.outputs) == (30, 2, 1, 2)
    assert counts(sample) == counts(onehot) == [15, 15]
    assert torch.equal(sample.x, onehot.x)
    assert torch.equal(onehot.y, torch.cat((1 - sample.y, sample.y), dim=1))


# Real sets


@pytest.mark.parametrize("name", REAL)
def test_real_sets_have_the_published_sizes(name: str) -> None:
    """Points, features and class counts as in the literature; more than two classes are one-hot."""
    points, features, classes = SIZES[name]
    sample = data.load(name)
    assert (sample.points, sample.width) == (points, features)
    assert counts(sample) == classes
    assert sample.outputs == (1 if len(classes) == 2 else len(classes))
    assert data.load(name, onehot=True).outputs == len(classes)
    assert data.load(name, onehot=False).y.tolist() == [[k] for k in raw(name)[1]]


@pytest.mark.parametrize("options", [{}, {"points": 40}, {"features": 3}, {"points": 40, "features": 3}])
@pytest.mark.parametrize("name", REAL)
def test_columns_have_mean_0_and_variance_1(name: str, options: dict[str, int]) -> None:
    """Over the points kept; pixels that are constant over them (only in digits) are 0."""
    sample = data.load(name, **options)
    mean, variance = sample.x.mean(0), sample.x.var(0, correction=0)
    constant = (sample.x == 0).all(0)
    assert mean.abs().max() < 1e-13
    assert (variance[~constant] - 1).abs().max() < 1e-13
    assert not constant.any() or (name == "digits" and "features" not in options)


def test_digits_have_three_constant_pixels() -> None:
    """Two corners and one edge pixel of the pictures are never written on."""
    constant = (data.digits().x == 0).all(0).nonzero()[:, 0].tolist()
    assert constant == np.flatnonzero(np.ptp(raw("digits")[0], axis=0) == 0).tolist() == [0, 32, 39]


@pytest.mark.parametrize("name", REAL)
def test_standardised_columns_are_those_of_the_set(name: str) -> None:
    """(x − mean) / standard deviation, by NumPy from the raw table, row by row in its order."""
    x, _ = raw(name)
    deviation = x.std(0)
    wanted = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)
    np.testing.assert_allclose(data.load(name).x.numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "features"), [("iris", 2), ("iris", 4), ("wine", 3), ("breast_cancer", 5), ("digits", 6)]
)
def test_projection_is_on_the_principal_components(name: str, features: int) -> None:
    """√S times the left singular vectors of the standardised table, each up to its sign."""
    table = data.load(name).x.numpy()
    left = np.linalg.svd(table, full_matrices=False)[0][:, :features] * math.sqrt(len(table))
    x = data.load(name, features=features).x.numpy()
    signs = np.sign((left * x).sum(0))
    np.testing.assert_allclose(x, left * signs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", REAL)
def test_every_class_keeps_its_share_of_a_subset(name: str) -> None:
    """Each count is within one of the exact share, and no class is lost, down to one point each."""
    total, _, classes = SIZES[name]
    least = len(classes)
    for points in (*range(least, least + 25), total // 2, total - 1, total):
        kept = counts(data.load(name, points=points, seed=points))
        assert sum(kept) == points and len(kept) == len(classes) and min(kept) >= 1
        assert all(abs(k - points * size / total) < 1 for k, size in zip(kept, classes, strict=True))


def test_the_subset_is_taken_before_standardising() -> None:
    """149 irises are standardised over these 149: leaving out one row of the raw table gives them all."""
    x, y = raw("iris")
    sample = data.iris(points=149, seed=5, onehot=False)
    tables = [np.delete(x, row, axis=0) for row in range(150)]
    found = [
        row
        for row, table in enumerate(tables)
        if np.abs((table - table.mean(0)) / table.std(0) - sample.x.numpy()).max() < 1e-12
    ]
    assert len(found) >= 1
    assert sample.y[:, 0].tolist() == np.delete(y, found[0]).tolist()


def test_the_whole_set_as_a_subset_is_the_set() -> None:
    """Nothing is left out, and the order is that of the set."""
    assert torch.equal(data.wine(points=178).x, data.wine().x)


@pytest.mark.parametrize("name", REAL)
def test_real_sets_need_no_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come with scikit-learn."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    assert data.load(name).points == SIZES[name][0]


def test_the_scalar_data_are_those_of_the_reference_problem() -> None:
    """In double precision: 0.2 is not the float32 number."""
    sample = data.scalar()
    assert sample.x.tolist() == [[-1.0], [0.2], [1.0]] and sample.y.tolist() == [[-0.5], [1.0], [0.3]]
    assert sample.x.dtype == torch.float64 and sample.name == "scalar"


# All of them


@pytest.mark.parametrize("name", DATASETS)
def test_data_depends_on_the_seed_and_on_nothing_else(name: str) -> None:
    """The same call gives the same bits and leaves the program's generators alone; another seed differs."""
    options = {"points": 20} if name == "ring" else {"points": 20, "seed": 4}
    before = generators()
    first, second = data.load(name, **options), data.load(name, **options)
    assert torch.equal(first.x, second.x) and torch.equal(first.y, second.y)
    assert generators() == before
    if name != "ring":
        assert not torch.equal(first.x, data.load(name, points=20, seed=5).x)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: data.moons(), "moons(points=60)"),
        (lambda: data.moons(100, noise=0.2), "moons(points=100, noise=0.2)"),
        (
            lambda: data.load("moons", noise=np.float64(0), seed=np.int64(3)),
            "moons(points=60, noise=0.0, seed=3)",
        ),
        (lambda: data.circles(points=20, factor=0.25), "circles(points=20, factor=0.25)"),
        (lambda: data.spirals(turns=2, onehot=True), "spirals(points=60, turns=2.0, onehot=True)"),
        (lambda: data.ring(), "ring(points=8)"),
        (lambda: data.ring(4, onehot=False), "ring(points=4, onehot=False)"),
        (lambda: data.iris(), "iris"),
        (lambda: data.iris(features=2), "iris(features=2)"),
        (
            lambda: data.load("wine", features=2, points=np.int64(50), seed=1),
            "wine(features=2, points=50, seed=1)",
        ),
        (lambda: data.digits(onehot=False), "digits(onehot=False)"),
    ],
)
def test_the_name_is_the_call(call: Callable[[], Data], name: str) -> None:
    """A row of a table must say which data it is about; defaults go without saying."""
    assert call().name == name


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: data.moons(1), "points must be a whole number of at least 2, got 1"),
        (lambda: data.moons(60.0), "points must be a whole number of at least 2, got 60.0"),  # type: ignore[arg-type]
        (lambda: data.iris(features=True), "features must be a whole number from 1 to 4, got True"),
        (lambda: data.moons("ten"), "points must be a whole number of at least 2, got 'ten'"),  # type: ignore[arg-type]
        (lambda: data.moons(noise=-0.1), "noise must be a number of at least 0, got -0.1"),
        (lambda: data.moons(noise=math.nan), "noise must be a number of at least 0, got nan"),
        (lambda: data.moons(noise=None), "noise must be a number of at least 0, got None"),  # type: ignore[arg-type]
        (lambda: data.moons(seed=-1), "seed must be a whole number from 0 to 4294967295, got -1"),
        (lambda: data.moons(seed=None), "seed must be a whole number from 0 to 4294967295, got None"),  # type: ignore[arg-type]
        (lambda: data.moons(onehot=None), "onehot must be True or False, got None"),  # type: ignore[arg-type]
        (lambda: data.circles(0), "points must be a whole number of at least 2, got 0"),
        (lambda: data.circles(noise=math.inf), "noise must be a number of at least 0, got inf"),
        (lambda: data.circles(factor=1), "factor must be a number between 0 and 1, got 1"),
        (lambda: data.circles(factor=0.0), "factor must be a number between 0 and 1, got 0.0"),
        (lambda: data.spirals(turns=0), "turns must be a number greater than 0, got 0"),
        (lambda: data.spirals(noise="much"), "noise must be a number of at least 0, got 'much'"),  # type: ignore[arg-type]
        (lambda: data.spirals(1), "points must be a whole number of at least 2, got 1"),
        (lambda: data.ring(7), "points must be even, got 7"),
        (lambda: data.ring(0), "points must be a whole number of at least 2, got 0"),
        (lambda: data.iris(features=0), "features must be a whole number from 1 to 4, got 0"),
        (lambda: data.iris(features=5), "features must be a whole number from 1 to 4, got 5"),
        (lambda: data.iris(features=2.0), "features must be a whole number from 1 to 4, got 2.0"),  # type: ignore[arg-type]
        (lambda: data.iris(points=2), "points must be a whole number from 3 to 150, got 2"),
        (lambda: data.iris(points=151), "points must be a whole number from 3 to 150, got 151"),
        (lambda: data.iris(seed=2**32), "seed must be a whole number from 0 to 4294967295, got 4294967296"),
        (lambda: data.iris(onehot="yes"), "onehot must be True or False, got 'yes'"),  # type: ignore[arg-type]
        (
            lambda: data.iris(points=3, features=3),
            "features must be at most 2, the rank of the points kept, got 3",
        ),
        (
            lambda: data.digits(features=62),
            "features must be at most 61, the rank of the points kept, got 62",
        ),
        (lambda: data.digits(points=9), "points must be a whole number from 10 to 1797, got 9"),
        (
            lambda: data.load("mnist"),
            f"data must be one of {', '.join(PLANE + REAL)}, or the path of a file (.csv, .parquet, .npz), got 'mnist'",
        ),
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(call: Callable[[], Data], sentence: str) -> None:
    """The sentence names the requirement and the value."""
    assert message(ValueError, call) == sentence


def test_load_is_the_function_of_that_name() -> None:
    """A study may choose its data by a string."""
    assert list(DATASETS) == PLANE + REAL
    for name, function in DATASETS.items():
        assert function is getattr(data, name)
    sample, named = data.moons(20, noise=0.3, seed=1), data.load("moons", points=20, noise=0.3, seed=1)
    assert torch.equal(sample.x, named.x) and sample.name == named.name

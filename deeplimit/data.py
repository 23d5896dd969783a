"""Data (x_s, y_s), s = 1 … S, and where it comes from.

Any two arrays of numbers will do, and any CSV, parquet or NPZ file. Offered by name are four point sets in the plane
(moons, circles, spirals, ring) and the real sets that come with scikit-learn (iris, wine, breast_cancer, digits),
without a download.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import numbers
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplimit import checks, files, sources

# scikit-learn is imported inside the functions that use it: it takes a second, and `Data` does not need it.

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def _array(label: str, values: Any) -> NDArray[Any]:
    """`values` as a NumPy array of real numbers, of whatever precision they have."""
    if np.ma.is_masked(values):
        raise ValueError(f"{label} must have no masked entries")
    kind = type(values).__name__
    try:
        array = np.asarray(values)
        if array.dtype == object and array.ndim:  # numbers of several types, such as the columns of a table
            strangers = [entry for entry in array.flat if not isinstance(entry, numbers.Real)]
            kind = type(strangers[0]).__name__ if strangers else kind
            array = array if strangers else array.astype(np.float64)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{label} must be a rectangular array of numbers, got an irregular {kind}") from error
    if array.dtype.kind not in "biuf":
        got = kind if array.dtype == object else f"entries of type {array.dtype}"
        raise TypeError(f"{label} must be an array of real numbers, got {got}")
    return array


def _float64(label: str, values: Any) -> tuple[Tensor, str]:
    """A float64 copy on the CPU, and the name of the type that `values` had."""
    if isinstance(values, Tensor):
        if values.is_complex():
            raise TypeError(f"{label} must be an array of real numbers, got entries of type {values.dtype}")
        copy = values.detach().to(device="cpu", dtype=torch.float64, copy=True)
        return copy.contiguous(), str(values.dtype).removeprefix("torch.")
    array = _array(label, values)
    return torch.from_numpy(np.array(array, dtype=np.float64, order="C")), array.dtype.name


def _check_shape(label: str, values: Tensor, dimensions: tuple[int, ...]) -> None:
    """A ValueError unless `values` has entries and one of the numbers of dimensions."""
    shape = tuple(values.shape)
    if values.numel() == 0:
        raise ValueError(f"{label} must not be empty, got shape {shape}")
    if values.dim() not in dimensions:
        wanted = " or ".join(str(dimension) for dimension in dimensions)
        raise ValueError(f"{label} must have {wanted} dimensions, one row per sample, got shape {shape}")


def _check_finite(label: str, values: Tensor) -> None:
    """A ValueError that names the first entry that is not finite, if there is one."""
    infinite = ~values.isfinite()
    if infinite.any():
        row, column = infinite.nonzero()[0].tolist()
        got = values[row, column].item()
        raise ValueError(f"{label} must be finite, got {got} in row {row}, column {column} (counted from 0)")


@dataclass(frozen=True, eq=False)
class Data:
    """Samples (x_s, y_s), s = 1 … S, x_s ∈ ℝᵈ, y_s ∈ ℝᵐ, as float64 tensors on the CPU.

    Parameters
    ----------
    x : (S, d)
        Inputs. A tensor, a NumPy array, a pandas table or nested lists of real numbers; copied.
    y : (S, m), or (S,) for one column
        Labels or targets, likewise; row s of y belongs to row s of x.
    name
        What tables and plots call the data.
    notes
        Remarks for the record of a study; a conversion from another precision is added.

    Raises
    ------
    ValueError
        If x or y is empty or has the wrong number of dimensions, if their numbers of rows differ, or if an
        entry is not finite.
    TypeError
        If x or y is not an array of real numbers.
    """

    x: Tensor
    y: Tensor
    name: str = "data"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        (x, x_type), (y, y_type) = _float64("x", self.x), _float64("y", self.y)
        _check_shape("x", x, (2,))
        _check_shape("y", y, (1, 2))
        y = y.reshape(len(y), -1)
        if len(x) != len(y):
            raise ValueError(f"x and y must have the same number of rows, got {len(x)} and {len(y)}")
        _check_finite("x", x)
        _check_finite("y", y)
        conversions = (
            f"{label} converted from {kind} to float64"
            for label, kind in (("x", x_type), ("y", y_type))
            if "float" in kind and kind != "float64"
        )
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        notes: Any = self.notes
        notes = (notes,) if isinstance(notes, str) else notes
        object.__setattr__(self, "notes", (*notes, *conversions))

    def __repr__(self) -> str:
        return f"Data({self.name!r}, points={self.points}, width={self.width}, outputs={self.outputs})"

    @property
    def points(self) -> int:
        """S, the number of samples."""
        return len(self.x)

    @property
    def width(self) -> int:
        """d, the number of inputs."""
        return self.x.shape[1]

    @property
    def outputs(self) -> int:
        """m, the number of columns of y."""
        return self.y.shape[1]

    @cached_property
    def digest(self) -> str:
        """The sha256 of shapes and bytes of x and y, in hexadecimal: two sets with one digest are the same numbers."""
        shapes = repr([tuple(self.x.shape), tuple(self.y.shape)])
        content = b"".join(values.numpy().astype("<f8").tobytes() for values in (self.x, self.y))
        return hashlib.sha256(shapes.encode() + content).hexdigest()


def _whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`, or a ValueError."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {bounds}, got {value!r}")
    return int(value)


def _number(name: str, value: Any, wanted: str, holds: Callable[[float], bool]) -> float:
    """`value` as a finite float of which `holds`, or a ValueError that says what was `wanted`."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not holds(float(value)):
        raise ValueError(f"{name} must be a number {wanted}, got {value!r}")
    return float(value)


def _noise(value: Any) -> float:
    return _number("noise", value, "of at least 0", lambda noise: noise >= 0)


def _seed(value: Any) -> int:
    return _whole("seed", value, 0, 2**32 - 1)


def _columns(labels: Integers, onehot: Any) -> Floats:
    """Class numbers (S,) as one column (S, 1) or, one-hot, as unit vectors (S, k)."""
    if not isinstance(onehot, bool):
        raise ValueError(f"onehot must be True or False, got {onehot!r}")
    if onehot:
        return np.eye(labels.max() + 1)[labels]
    return labels[:, None].astype(np.float64)


def _title(function: Callable[..., Data], **options: object) -> str:
    """The call that makes the data, with the number of points and every option that is not the default."""
    parameters = inspect.signature(function).parameters
    shown = [
        f"{option}={value!r}"
        for option, value in options.items()
        if value is not None and (option == "points" or value != parameters[option].default)
    ]
    return function.__name__ + (f"({', '.join(shown)})" if shown else "")


def _named(function: Callable[..., Data], x: Floats, labels: Integers, onehot: Any, **options: Any) -> Data:
    """Points with their classes, under the name of the call."""
    y = _columns(labels, onehot)
    return Data(torch.from_numpy(x), torch.from_numpy(y), _title(function, **options, onehot=onehot))


def moons(points: int = 60, *, noise: float = 0.1, seed: int = 0, onehot: bool = False) -> Data:
    """Two interleaved half circles of radius 1, one per class, with normal noise.

    Parameters
    ----------
    points
        S, at least 2; half of them (rounded down) in class 0.
    noise
        Standard deviation of each coordinate.
    seed
        Of the noise and of the order of the points.
    onehot
        Two columns of labels instead of one of 0 and 1.

    Returns
    -------
    Data
        x (S, 2), y (S, 1) or (S, 2).

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from deeplimit import data
    >>> moons = data.moons(points=60)
    >>> tuple(moons.x.shape), tuple(moons.y.shape)
    ((60, 2), (60, 1))
    """
    from sklearn.datasets import make_moons

    points, noise, seed = _whole("points", points, 2), _noise(noise), _seed(seed)
    x, labels = make_moons(points, noise=noise, random_state=seed)
    return _named(moons, x, labels, onehot, points=points, noise=noise, seed=seed)


def circles(
    points: int = 60,
    *,
    noise: float = 0.05,
    factor: float = 0.5,
    seed: int = 0,
    onehot: bool = False,
) -> Data:
    """Two concentric circles, of radius 1 (class 0) and `factor` (class 1), with normal noise.

    Parameters
    ----------
    points
        S, at least 2; half of them (rounded down) in class 0.
    noise
        Standard deviation of each coordinate.
    factor
        Radius of the inner circle, between 0 and 1.
    seed
        Of the noise and of the order of the points.
    onehot
        Two columns of labels instead of one of 0 and 1.

    Returns
    -------
    Data
        x (S, 2), y (S, 1) or (S, 2).

    Raises
    ------
    ValueError
        If an option is out of range.
    """
    from sklearn.datasets import make_circles

    points, noise, seed = _whole("points", points, 2), _noise(noise), _seed(seed)
    factor = _number("factor", factor, "between 0 and 1", lambda value: 0 < value < 1)
    x, labels = make_circles(points, noise=noise, factor=factor, random_state=seed)
    return _named(circles, x, labels, onehot, points=points, noise=noise, factor=factor, seed=seed)


def _polar(radius: Floats, angle: Floats) -> Floats:
    """Points (r cos φ, r sin φ) of the plane, (S, 2)."""
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


def spirals(
    points: int = 60,
    *,
    turns: float = 1.0,
    noise: float = 0.02,
    seed: int = 0,
    onehot: bool = False,
) -> Data:
    """Two Archimedean spirals r = φ / (2π turns), r ≤ 1, the second turned by π, with normal noise.

    The k points of a spiral are equally spaced in r, from 1/k to 1; even rows are class 0, odd ones class 1.

    Parameters
    ----------
    points
        S, at least 2; the classes differ by one point at most.
    turns
        How often a spiral winds round the origin, positive.
    noise
        Standard deviation of each coordinate.
    seed
        Of the noise.
    onehot
        Two columns of labels instead of one of 0 and 1.

    Returns
    -------
    Data
        x (S, 2), y (S, 1) or (S, 2).

    Raises
    ------
    ValueError
        If an option is out of range.
    """
    points, noise, seed = _whole("points", points, 2), _noise(noise), _seed(seed)
    turns = _number("turns", turns, "greater than 0", lambda value: value > 0)
    s = np.arange(points)
    labels = s % 2
    radius = (s // 2 + 1) / np.bincount(labels)[labels]
    x = _polar(radius, 2 * np.pi * turns * radius + np.pi * labels)
    x = x + noise * np.random.default_rng(seed).standard_normal(x.shape)
    return _named(spirals, x, labels, onehot, points=points, turns=turns, noise=noise, seed=seed)


def ring(points: int = 8, *, onehot: bool = True) -> Data:
    """Points at equal angles φ_s = 2π s / S, by turns on the circles of radius ½ (class 0) and 1.2 (class 1).

    Nothing is drawn: for S = 8 this is a reference problem with known minima.

    Parameters
    ----------
    points
        S, even.
    onehot
        Two columns of labels instead of one of 0 and 1.

    Returns
    -------
    Data
        x (S, 2), y (S, 2) or (S, 1).

    Raises
    ------
    ValueError
        If the number of points is not even and at least 2.
    """
    if _whole("points", points, 2) % 2:
        raise ValueError(f"points must be even, got {points}")
    s = np.arange(points)
    labels = s % 2
    x = _polar(np.where(labels == 0, 0.5, 1.2), 2 * np.pi * s / points)
    return _named(ring, x, labels, onehot, points=int(points))


def scalar() -> Data:
    """Three points on the line, x = (−1, 0.2, 1) and y = (−0.5, 1, 0.3), for the squared loss.

    With α = 0.05 for K and b, 0.1 for W and c this is a reference problem: min E_∞ = 0.5807379250804945.

    Returns
    -------
    Data
        x (3, 1), y (3, 1).
    """
    x, y = ([[-1.0], [0.2], [1.0]], [[-0.5], [1.0], [0.3]])
    return Data(torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64), name="scalar")


def _standardise(x: Floats) -> Floats:
    """Columns of mean 0 and variance 1 over the rows; a constant column becomes 0."""
    constant = x.max(axis=0) == x.min(axis=0)
    centred = np.where(constant, 0.0, x - x.mean(axis=0))
    return centred / np.where(constant, 1.0, centred.std(axis=0))


def _principal(x: Floats, features: int) -> Floats:
    """The first principal components of the standardised x, each scaled to variance 1."""
    from sklearn.decomposition import PCA

    rank = np.linalg.matrix_rank(x)
    if features > rank:
        raise ValueError(f"features must be at most {rank}, the rank of the points kept, got {features}")
    return _standardise(PCA(features, svd_solver="full").fit_transform(x))


def _subset(labels: Integers, points: int, seed: int) -> Integers:
    """Rows of a random subset in which every class has its share, in increasing order."""
    from sklearn.utils import resample

    rows = np.arange(len(labels))
    return np.sort(resample(rows, replace=False, n_samples=points, random_state=seed, stratify=labels))


def _real(function: Callable[..., Data], features: Any, points: Any, seed: Any, onehot: Any) -> Data:
    """A set that comes with scikit-learn: subset, standardised, projected."""
    from sklearn import datasets

    seed = _seed(seed)
    x, labels = getattr(datasets, f"load_{function.__name__}")(return_X_y=True)
    if points is not None:
        points = _whole("points", points, len(np.unique(labels)), len(labels))
        rows = _subset(labels, points, seed)
        x, labels = x[rows], labels[rows]
    x = _standardise(x)
    if features is not None:
        features = _whole("features", features, 1, x.shape[1])
        x = _principal(x, features)
    y = _columns(labels, bool(labels.max() > 1) if onehot is None else onehot)
    name = _title(function, features=features, points=points, seed=seed, onehot=onehot)
    return Data(torch.from_numpy(x), torch.from_numpy(y), name)


def iris(
    *,
    features: int | None = None,
    points: int | None = None,
    seed: int = 0,
    onehot: bool | None = None,
) -> Data:
    """Fisher's irises: 150 flowers, 4 lengths, 3 species of 50 each.

    Every column of x has mean 0 and variance 1 over the points kept; a constant column is 0.

    Parameters
    ----------
    features
        d, to project on that many principal components of the standardised columns; None keeps the columns.
    points
        S, to keep a random subset in which every class has its share; None keeps all.
    seed
        Of the subset.
    onehot
        One column of labels per class (True) or one column of class numbers (False); None is True for more
        than two classes.

    Returns
    -------
    Data
        x (S, d), y (S, 3) or (S, 1).

    Raises
    ------
    ValueError
        If an option is out of range, or if the points kept have no `features` directions to project on.
    """
    return _real(iris, features, points, seed, onehot)


def wine(
    *,
    features: int | None = None,
    points: int | None = None,
    seed: int = 0,
    onehot: bool | None = None,
) -> Data:
    """Wines of three growers: 178 of them, 13 properties, classes of 59, 71 and 48. Options as in `iris`."""
    return _real(wine, features, points, seed, onehot)


def breast_cancer(
    *,
    features: int | None = None,
    points: int | None = None,
    seed: int = 0,
    onehot: bool | None = None,
) -> Data:
    """Tumours: 569 of them, 30 properties, 212 malignant (class 0), 357 benign (1). Options as in `iris`."""
    return _real(breast_cancer, features, points, seed, onehot)


def digits(
    *,
    features: int | None = None,
    points: int | None = None,
    seed: int = 0,
    onehot: bool | None = None,
) -> Data:
    """Handwritten digits: 1797 pictures of 8 × 8 pixels, 10 classes. Options as in `iris`."""
    return _real(digits, features, points, seed, onehot)


DATASETS: dict[str, Callable[..., Data]] = {
    make.__name__: make for make in (moons, circles, spirals, ring, iris, wine, breast_cancer, digits)
}


def load(name: str | os.PathLike[str], **options: Any) -> Data:
    """The data set of that name, made with the options of its function; or that of a file, as `from_file` reads it.

    Parameters
    ----------
    name
        One of the names above, or the path of a .csv, .parquet or .npz file.

    Raises
    ------
    ValueError
        If no data set has that name, and what the function of the set raises.
    """
    if isinstance(name, str) and name in DATASETS:
        return DATASETS[name](**options)
    if Path(name).suffix.lower() in files.READERS:
        return from_file(name, **options)
    kinds = ", ".join(files.READERS)
    wanted = f"data must be one of {', '.join(DATASETS)}, or the path of a file ({kinds})"
    raise ValueError(f"{wanted}, got {str(name)!r}{checks.meant(str(name), DATASETS)}")


def from_file(
    path: str | os.PathLike[str],
    *,
    labels: str | Sequence[str] | None = None,
    onehot: bool | None = None,
    standardise: bool = False,
    header: bool | None = None,
) -> Data:
    """The samples of a CSV, parquet or NPZ file, one a row. Nothing in the file is executed: no pickled objects.

    The columns of a CSV file without a header are "1", "2", ….
    The arrays (S,) or (S, k) of an NPZ file have the columns "name" or "name 1", …, "name k".

    Parameters
    ----------
    labels
        The column or columns of y, by name; by default the last one, in an NPZ file the array "y", or the last one.
        All others are x.
    onehot
        None takes numbers in y as they are, and texts as classes: one column of labels per class if there are more
        than two, else one column of class numbers. True or False takes whole numbers as classes as well, as in `iris`.
        Classes are numbered in their sorted order, which the notes tell.
    standardise
        Every column of x to mean 0 and variance 1; a constant column to 0.
    header
        Whether the first line of a CSV file holds the names of the columns; other files know their names. None decides:
        it does if none of its entries is a number or stands for a missing one, as NA does. Otherwise it is a sample if
        a text of it stands in the same column again; a header if a text of it stands above numbers alone while its
        numbers are whole and rise; and a sample if it has numbers and no texts, and they do not count 0, 1, 2, … or
        1, 2, 3, … and are not years that rise or fall, 1900 to 2100. Where it may be either, header has to be given;
        False also where it is a sample and column 1, which counts the rows, is an input.

    Returns
    -------
    Data
        Named after the file.

    Raises
    ------
    ValueError
        Naming line or row and column of what is not a number, not finite, a missing label or no class, and labels that
        differ only by case or spaces; if a line has another number of entries, two columns have one name, one has none
        or is of row numbers, there is no such column, the first line may be a header or a sample, the file is empty,
        damaged or not in UTF-8, or holds pickled objects.
    TypeError
        If `labels` is neither a name nor several of them.
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ModuleNotFoundError
        For parquet without its extra.
    """
    if not isinstance(standardise, bool):
        raise ValueError(f"standardise must be True or False, got {standardise!r}")
    table = files.table(path, header)
    inputs, targets = table.split(labels)
    x = np.stack([table.numbers(name) for name in inputs], axis=1)
    y, notes = _targets(table, targets, onehot)
    return Data(torch.from_numpy(_standardise(x) if standardise else x), torch.from_numpy(y), Path(path).stem, notes)


def _targets(table: files.Table, names: list[str], onehot: bool | None) -> tuple[Floats, tuple[str, ...]]:
    """y (S, m), and what its classes are called."""
    if onehot is None and all(map(table.is_numeric, names)):
        return np.stack([table.numbers(name) for name in names], axis=1), ()
    if len(names) > 1:
        raise ValueError(f"{table.path}: classes must be in one column, got {', '.join(names)}")
    classes, places = np.unique(table.labels(names[0]), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{table.path}: column {names[0]!r} must have two classes or more, got {classes.tolist()[0]!r} alone"
        )
    called = ", ".join(f"{number} = {name}" for number, name in enumerate(classes))
    return _columns(places, len(classes) > 2 if onehot is None else onehot), (f"classes of {names[0]}: {called}",)


def files_read() -> dict[str, str]:
    """Every file that `load` has read in this process, by the path it was given, with the sha256 of its bytes."""
    return sources.read()


def __getattr__(name: str) -> Any:
    """A misspelt data set is answered with the names there are (PEP 562)."""
    raise AttributeError(f"deeplimit.data has no {name!r}; the data sets are {', '.join(DATASETS)}")

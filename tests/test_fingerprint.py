"""Fingerprints differ where rows might differ, and only there."""

from __future__ import annotations

import functools
import linecache
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from deeplimit import Data, Problem, fingerprint, workers

STUDY = '''"""Why?"""
import functools
import sys
sys.path.insert(0, {folder!r})
import helpers
from helpers import helped
from deeplimit import Data, Problem, study

DEPTHS = [8, 16]
ALPHA = 0.5
TOLERANCE = 0.1  # of a claim alone
POINTS = {points}


@functools.cache
def solve(depth):
    """Words do not count."""
    return depth * ALPHA  # nor do comments


class Shape:
    def area(self):
        return SIDE ** 2


class Round(Shape):
    def turned(self):
        return TURN


SIDE = 2.0
TURN = 3.0
SLOPE = 4.0
STEP = 5.0


def scaled(factor):
    def wrapper(function):
        return lambda depth: STEP * factor * function(depth)
    return wrapper


@scaled(2.0)
def decorated(depth):
    return depth


def line(depth):
    return SLOPE * depth


KINDS = {"line": line, "nested": [functools.partial(line, 3)]}
ROUND = Round()


def measure(depth):
    value = solve(depth) + decorated(depth) + KINDS["line"](depth) + ROUND.turned() + helpers.HEIGHT + helped(depth)
    return dict(value=value, area=Shape().area(), points=len(POINTS))


def claims(table):
    return TOLERANCE
'''

HELPERS = "HEIGHT = 6.0\n\n\ndef helped(depth):\n    return 7.0 * depth\n"


@pytest.fixture(autouse=True)
def path_of_modules() -> Iterator[None]:
    """The study above adds its folder to the path of modules; that is taken back."""
    kept = list(sys.path)
    yield
    sys.path[:] = kept
    sys.modules.pop("helpers", None)


def parts(tmp_path: Path, change: tuple[str, str] = ("", ""), points: str = "[1.0, 2.0]") -> dict[str, str]:
    """The fingerprint's parts of the study above after a change of its text."""
    text = STUDY.replace("{points}", points).replace("{folder!r}", repr(str(tmp_path)))
    path, helpers = tmp_path / "s.py", tmp_path / "helpers.py"
    assert change[0] in text + HELPERS
    path.write_text(text.replace(*change) if change[0] else text)
    helpers.write_text(HELPERS.replace(*change) if change[0] else HELPERS)
    sys.modules.pop("helpers", None)
    # what a new process would do: `inspect` keeps the lines of a file it has read
    linecache.clearcache()
    return fingerprint.of_measure(workers.load(path).measure)


@pytest.mark.parametrize(
    "change",
    [
        ("ALPHA = 0.5", "ALPHA = 0.25"),
        ("depth * ALPHA", "depth + ALPHA"),
        ("SIDE ** 2", "SIDE ** 3"),
        ("SIDE = 2.0", "SIDE = 2.5"),
        ("value = solve(depth)", "value = 2 * solve(depth)"),
        ("[1.0, 2.0]", "[1.0, 2.0, 3.0]"),
        ("@scaled(2.0)", "@scaled(3.0)"),
        ("STEP * factor", "STEP + factor"),
        ("STEP = 5.0", "STEP = 5.5"),
        ("SLOPE * depth", "SLOPE + depth"),
        ("SLOPE = 4.0", "SLOPE = 4.5"),
        ("return TURN", "return 2 * TURN"),
        ("TURN = 3.0", "TURN = 3.5"),
        ("HEIGHT = 6.0", "HEIGHT = 6.5"),
        ("7.0 * depth", "7.5 * depth"),
    ],
    ids=lambda change: change[1],
)
def test_what_the_measurement_reaches_counts(tmp_path: Path, change: tuple[str, str]) -> None:
    """Constants, functions behind a cache, methods of classes, and the constants that these name."""
    assert parts(tmp_path) != parts(tmp_path, change)


@pytest.mark.parametrize(
    "change",
    [
        ("TOLERANCE = 0.1", "TOLERANCE = 0.2"),
        ("return TOLERANCE", "return 2 * TOLERANCE"),
        ("Words do not count.", "Other words."),
        ("# nor do comments", "# changed"),
        ('"""Why?"""', '"""Why not?"""'),
        ("DEPTHS = [8, 16]", "DEPTHS = [8, 16, 32]"),
    ],
    ids=lambda change: change[1],
)
def test_what_it_does_not_reach_does_not_count(tmp_path: Path, change: tuple[str, str]) -> None:
    """A claim's tolerance, words, and an axis that the measurement does not look at: more depths, the same rows."""
    assert parts(tmp_path) == parts(tmp_path, change)


def test_data_count_by_their_bytes(tmp_path: Path) -> None:
    """Equal problems have equal fingerprints in whatever object; one bit of x, or the regulariser, changes them."""

    def problem(bump: float = 0.0, alpha: float = 0.1) -> Problem:
        x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
        x[1, 1] += bump
        return Problem(Data(x, torch.tensor([[0.0], [1.0], [1.0]])), loss="logistic", alpha=alpha)

    def found(problem: Problem) -> str:
        return fingerprint.of_text(fingerprint.plain(problem))

    assert found(problem()) == found(problem())
    assert len({found(problem()), found(problem(bump=1e-15)), found(problem(alpha=0.2))}) == 3


def test_a_closure_and_fixed_arguments_count() -> None:
    """What a notebook's lambda holds on to."""

    def made(held: Any) -> Any:
        return lambda depth: {"value": depth * held}

    def scaled(depth: int, factor: float) -> dict[str, float]:
        return {"value": depth * factor}

    assert fingerprint.of_measure(made(1.0)) == fingerprint.of_measure(made(1.0))
    assert fingerprint.of_measure(made(1.0)) != fingerprint.of_measure(made(2.0))
    one, two = (fingerprint.of_measure(functools.partial(scaled, factor=f)) for f in (1.0, 2.0))
    assert one != two


def test_values_of_every_kind_have_a_fingerprint_of_their_own() -> None:
    """Types that compare equal do not share one; NaN, infinities and cycles have one."""
    values: list[Any] = [1, 1.0, True, "1", [1], (1,), {1}, {"1": 1}, np.float64(1.5), np.array([1]), np.array([1.0])]
    values += [float("nan"), float("inf"), None, range(3), b"1", pd.DataFrame({"a": [1]}), np.array(["a", None])]
    texts = [fingerprint.of_text(fingerprint.plain(value)) for value in values]
    assert len(set(texts)) == len(values)
    loop: list[Any] = []
    loop.append(loop)
    assert fingerprint.plain(loop) == ["list", "a cycle"]


def test_the_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    """No address and no order of hashing gets into it."""
    path = tmp_path / "s.py"
    text = STUDY.replace("{points}", "{'b', 'a', 'c'}").replace("{folder!r}", repr(str(tmp_path)))
    (tmp_path / "helpers.py").write_text(HELPERS)
    path.write_text(text + "\nSPACE = Problem(Data([[0.1, 0.2]], [[1.0]]), loss='logistic', alpha=1.0)\n")
    code = "import sys; from deeplimit import fingerprint, workers\n"
    code += f"print(fingerprint.of_measure(workers.load({str(path)!r}).measure))"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
        for environment in ({"PYTHONHASHSEED": "1", "PATH": ""}, {"PYTHONHASHSEED": "2", "PATH": ""})
    ]
    assert runs[0] == runs[1] != ""


def test_the_package_counts_where_it_computes(tmp_path: Path) -> None:
    """A change of a module of the mathematics, not of one that draws."""
    for name in ("discrete.py", "plot/curves.py", "rough/lift.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("a = 1\n")
    before = fingerprint.package.__wrapped__(tmp_path)
    (tmp_path / "plot" / "curves.py").write_text("a = 2\n")
    assert fingerprint.package.__wrapped__(tmp_path) == before
    (tmp_path / "rough" / "lift.py").write_text("a = 2\n")
    assert fingerprint.package.__wrapped__(tmp_path) != before

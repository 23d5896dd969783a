"""Fingerprints differ where rows might differ, and only there."""

# ruff: noqa: E501  (programs in texts, a line each)
from __future__ import annotations

import functools
import importlib
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

from deeplimit import Data, Problem, canonical, fingerprint, script

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
    return fingerprint.of_measure(script.read(path).load().measure)


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
        return canonical.of_text(canonical.plain(problem))

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
    texts = [canonical.of_text(canonical.plain(value)) for value in values]
    assert len(set(texts)) == len(values)
    loop: list[Any] = []
    loop.append(loop)
    assert canonical.plain(loop) == ["list", "a cycle"]


def test_the_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    """No address and no order of hashing gets into it."""
    path = tmp_path / "s.py"
    text = STUDY.replace("{points}", "{'b', 'a', 'c'}").replace("{folder!r}", repr(str(tmp_path)))
    (tmp_path / "helpers.py").write_text(HELPERS)
    path.write_text(text + "\nSPACE = Problem(Data([[0.1, 0.2]], [[1.0]]), loss='logistic', alpha=1.0)\n")
    code = "import sys; from deeplimit import fingerprint, script\n"
    code += f"print(fingerprint.of_measure(script.read({str(path)!r}).load().measure))"
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


def of(tmp_path: Path, text: str, name: str = "measure") -> dict[str, str]:
    """The parts of a measurement in a file of this text."""
    path = tmp_path / "t.py"
    path.write_text("import functools\nimport numpy as np\n" + text)
    linecache.clearcache()
    return fingerprint.of_measure(getattr(script.read(path).load(), name))


MADE = "def made(k):\n    def inner(a):\n        return k * a\n    return inner\n"
OBJECT = "class M:\n    def __init__(self, k):\n        self.k = k\n    def go(self, a):\n        return self.k * a\n"
OBJECT += "    def __call__(self, a):\n        return self.k + a\n    def __repr__(self):\n        return 'M'\n"
WRAP = "def scale(k):\n    def wrapper(f):\n        @functools.wraps(f)\n        def inner(a):\n            return k * f(a)\n"
WRAP += "        return inner\n    return wrapper\ndef base(a):\n    return a\n"
CASES = {
    "a function called measure": (
        "def measure(a):\n    return 1.0 * a\ndef other(a):\n    return measure(a)\n",
        "1.0",
        "7.0",
    ),
    "functions of one name": (
        MADE + "F = [made(1), made(2)]\ndef measure(a):\n    return F[0](a)\n",
        "made(2)",
        "made(3)",
    ),
    "a partial constant": (
        "def f(k, a):\n    return k * a\nG = functools.partial(f, 3)\ndef measure(a):\n    return G(a)\n",
        "f, 3",
        "f, 4",
    ),
    "a bound method": (OBJECT + "G = M(1).go\ndef measure(a):\n    return G(a)\n", "M(1)", "M(2)"),
    "a measurement that is a method": (OBJECT + "measure = M(1).go\n", "M(1)", "M(2)"),
    "a measurement that is an object": (OBJECT + "measure = M(1)\n", "self.k + a", "self.k - a"),
    "objects in a list": (OBJECT + "G = [M(1)]\ndef measure(a):\n    return G[0](a)\n", "M(1)", "M(2)"),
    "a wrapper's closure": (WRAP + "measure = scale(2)(base)\n", "scale(2)", "scale(3)"),
    "lambdas of one line": ("FS = [lambda a: a, lambda a: 2 * a]\nmeasure = FS[0]\n", "FS[0]", "FS[1]"),
    "a spline": (
        "from scipy.interpolate import CubicSpline\nS = CubicSpline([0, 1, 2], [0, 1, 4])\ndef measure(a):\n    return S(a)\n",
        "[0, 1, 4]",
        "[0, 1, 5]",
    ),
    "a law": (
        "from scipy import stats\nL = stats.norm(3)\ndef measure(a):\n    return L.mean()\n",
        "norm(3)",
        "norm(4)",
    ),
    "a generator": ("G = np.random.default_rng(1)\ndef measure(a):\n    return G\n", "rng(1)", "rng(2)"),
    "a name space": (
        "from types import SimpleNamespace\nN = SimpleNamespace(x=np.arange(2000))\ndef measure(a):\n    return N.x.sum()\n",
        "2000",
        "2001",
    ),
    "an attribute of a class set later": (OBJECT + "M.r = 2\ndef measure(a):\n    return M(1).r\n", "r = 2", "r = 3"),
    "a list of a class changed later": (
        "class M:\n    r = [1]\nM.r += [2]\ndef measure(a):\n    return M.r[-1]\n",
        "[2]",
        "[3]",
    ),
    "a method set later": (
        OBJECT + "def g(self, a):\n    return 2 * a\nM.go = g\ndef measure(a):\n    return M(1).go(a)\n",
        "2 * a",
        "3 * a",
    ),
    "a method of a class with slots": (
        "from dataclasses import dataclass\n@dataclass(frozen=True, slots=True)\nclass C:\n    k: float\n"
        "    def f(self, a):\n        return 1 * a\nS = C(1.0)\ndef measure(a):\n    return S.f(a)\n",
        "1 * a",
        "2 * a",
    ),
    "a slot of a base": (
        "class A:\n    __slots__ = 'a'\nclass C(A):\n    __slots__ = ('b',)\nS = C()\nS.a = 1\n"
        "def measure(a):\n    return S.a\n",
        "a = 1",
        "a = 2",
    ),
    "a method of a mapping": (
        "class C(dict):\n    def f(self, a):\n        return 1 * a\nS = C(k=1)\ndef measure(a):\n    return S.f(a)\n",
        "1 * a",
        "2 * a",
    ),
    "an attribute of a mapping": (
        "class C(dict):\n    pass\nS = C(k=1)\nS.r = 1\ndef measure(a):\n    return S.r\n",
        "r = 1",
        "r = 2",
    ),
    "a method of a member": (
        "from enum import Enum\nclass C(str, Enum):\n    A = 'a'\n    def f(self, a):\n        return 1 * a\n"
        "S = C.A\ndef measure(a):\n    return S.f(a)\n",
        "1 * a",
        "2 * a",
    ),
    "a method of a mapping's own": ("S = {1: 1.0}.get\ndef measure(a):\n    return S(1)\n", "1.0", "2.0"),
    "a generator's method": ("S = np.random.default_rng(1).normal\ndef measure(a):\n    return S()\n", "(1)", "(2)"),
    "a function of NumPy's": (
        "def g(a):\n    return 1 * a\nS = np.vectorize(g)\ndef measure(a):\n    return S(a)\n",
        "1 * a",
        "2 * a",
    ),
    "an array of a class": (
        "class A:\n    pass\nA._k = np.array([1])\ndef measure(a):\n    return A._k[0]\n",
        "[1]",
        "[2]",
    ),
    "a number that was a text": ("S = ['1.0'] * 50\ndef measure(a):\n    return S[0]\n", "'1.0'", "1.0"),
    "a function's default": ("K = 2\ndef measure(a, k=K):\n    return a * k\n", "K = 2", "K = 3"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_a_constant_holds_counts(tmp_path: Path, case: tuple[str, str, str]) -> None:
    """Partials, methods, closures, objects of libraries: two files that differ in one number have other rows."""
    text, old, new = case
    name = "other" if "def other" in text else "measure"
    assert old in text
    assert of(tmp_path, text, name) == of(tmp_path, text, name)
    assert of(tmp_path, text, name) != of(tmp_path, text.replace(old, new), name)


def test_what_is_registered_under_a_name_counts(tmp_path: Path) -> None:
    """A measurement may use it by its name."""
    text = "import torch\nfrom deeplimit import activation\nfrom deeplimit.activation import Activation\n"
    text += "def value(z):\n    return 1.0 * z\n"
    text += "activation.ACTIVATIONS['mine'] = value\ndef measure(a):\n    return a\n"
    try:
        assert of(tmp_path, text) != of(tmp_path, text.replace("1.0 * z", "2.0 * z"))
    finally:
        del sys.modules["deeplimit.activation"].ACTIVATIONS["mine"]


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("from pkg.a import f\ndef measure(a):\n    return f(a)\n", {"pkg/__init__.py": "", "pkg/a.py": ""}),
        ("from pkg.a import f\ndef measure(a):\n    return f(a)\n", {"pkg/a.py": ""}),
        ("from nsp.a import f\ndef measure(a):\n    return f(a)\n", {"nsp/a.py": "from nsp.b import g\n"}),
        ("def measure(a):\n    from pkg import b\n    return b.g(a)\n", {}),
        ("import pkg.b\ndef measure(a):\n    return pkg.b.g(a)\n", {"pkg/__init__.py": ""}),
    ],
)
def test_files_of_packages_count(
    tmp_path: Path, text: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By relative and by dotted names, with and without an __init__.py, inside functions."""
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for factor in (1, 2):
        folder = "nsp" if "nsp" in text else "pkg"
        for name, content in {**files, f"{folder}/b.py": f"def g(a):\n    return {factor} * a\n"}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            body = (content or "from .b import g\n") + "def f(a):\n    return g(a)\n"
            (tmp_path / name).write_text(body if name.endswith("a.py") else content)
        for name in [name for name in sys.modules if name.split(".")[0] in ("pkg", "nsp")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        found.append(of(tmp_path, text))
    assert found[0] != found[1]


def test_the_type_of_torchs_numbers_counts(tmp_path: Path) -> None:
    """A file may set it for all that it computes."""
    text = (
        "import torch\ntorch.set_default_dtype(torch.float64)\ndef measure(a):\n    return float(torch.tensor(0.1))\n"
    )
    try:
        assert of(tmp_path, text) != of(tmp_path, text.replace("float64", "float32"))
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_order_of_hashing_does_not_count(tmp_path: Path) -> None:
    """A mapping made of a set has another order in every process."""
    path = tmp_path / "s.py"
    path.write_text("M = {k: len(k) for k in {'b', 'a', 'cc', 'ddd', 'e'}}\ndef measure(a):\n    return M\n")
    code = "from deeplimit import fingerprint, script\n"
    code += f"print(fingerprint.of_measure(script.read({str(path)!r}).load().measure))"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
        for environment in ({"PYTHONHASHSEED": str(seed), "PATH": ""} for seed in range(3))
    ]
    assert len(set(runs)) == 1 and runs[0]


def test_a_file_that_is_edited_while_it_runs_counts_as_it_was_loaded(tmp_path: Path) -> None:
    """So that rows of the old code are not kept under the fingerprint of the new."""
    path, text = tmp_path / "s.py", "def measure(a):\n    return 1 * a\n"
    path.write_text(text)
    loaded = script.read(path).load()
    before = fingerprint.of_measure(loaded.measure)
    path.write_text(text.replace("1 * a", "1000 * a"))
    assert fingerprint.of_measure(loaded.measure) == before
    assert fingerprint.of_measure(script.read(path).load().measure) != before


def test_files_imported_by_imported_files_count(tmp_path: Path) -> None:
    """Through any number of files, and inside functions."""
    (tmp_path / "first.py").write_text("def f(a):\n    import second\n    return second.K * a\n")
    (tmp_path / "second.py").write_text("K = 1\n")
    text = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom first import f\ndef measure(a):\n    return f(a)\n"
    try:
        before = of(tmp_path, text)
        (tmp_path / "second.py").write_text("K = 2\n")
        assert of(tmp_path, text) != before
    finally:
        sys.modules.pop("first", None)


def test_a_class_typed_at_a_prompt_counts() -> None:
    """Whose source is not to be had."""

    def found(k: int) -> dict[str, str]:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"class C:\n    k = {k}\n    def f(self):\n        return 1\ndef measure(a):\n    return C.k * a\n", space)
        return fingerprint.of_measure(space["measure"])

    assert found(1) == found(1) != found(2)


@pytest.mark.parametrize("study", ["forward", "mean_field", "applications"])
def test_a_study_has_one_fingerprint_run_as_a_script_or_by_name(study: str) -> None:
    """So that each finds the rows of the other."""
    path = Path(__file__).parent.parent / "studies" / f"{study}.py"
    code = "import runpy\nfrom deeplimit import canonical, fingerprint, study\nstudy.run = lambda main, space: print("
    code += f"canonical.of_text(fingerprint.of_measure(space['measure'])))\nrunpy.run_path({str(path)!r}, run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == canonical.of_text(fingerprint.of_measure(script.read(path).load().measure))

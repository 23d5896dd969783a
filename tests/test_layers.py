"""A module imports only from the layers before it: read off the source, for every module and every study."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deeplimit

ROOT = Path(__file__).resolve().parents[1]

# A line is a layer, and may import every line above it in its stack. Within a line `→` gives the order, and
# names separated by `|`, or chains separated by `,`, never import each other. A package counts as one name.
NETWORKS = """
checks | sources → differences
activation | layer | loss | threads , entries → lines → files → data → ranks , \
    control → coordinates | norms → irregular , minimum | spectrum → optimise
symmetry | grids , kernels | memory | problem | recursion → sweep → tape | own → energy → network
ladder → discrete , continuum | pontryagin , peers → shooting
expansion | ridge → gamma | counterexample | regularity → compare → trace , variants | horizon
triangle | autodiff → dense → volterra
meanfield → uncertainty | lipschitz | rough
"""
TABLES = """
sources
claims | changes | imports → canonical → fingerprint → provenance
script | store → lock | journal
settings | workers → execution | rows → study
catalogue | tables | verify → plot → report
"""
# These may import everything.
TOP = ["cli", "studies"]


def allowed_imports() -> dict[str, set[str]]:
    """For each name, the other names that it may import."""
    allowed: dict[str, set[str]] = {}
    for stack in (NETWORKS, TABLES):
        below: set[str] = set()
        for line in stack.strip().splitlines():
            layer: set[str] = set()
            for chain in line.split(","):
                earlier: set[str] = set()
                for stage in chain.split("→"):
                    names = [name.strip() for name in stage.split("|")]
                    allowed |= dict.fromkeys(names, below | earlier)
                    earlier |= set(names)
                layer |= earlier
            below |= layer
    everything = set(allowed) | set(TOP)
    return allowed | {name: everything - {name} for name in TOP}


def absolute(node: ast.ImportFrom, package: list[str]) -> str:
    """The full dotted name that `from … import` names, inside the package with the given parts."""
    if not node.level:
        return node.module or ""
    start = package[: len(package) - node.level + 1]
    return ".".join([*start, *([node.module] if node.module else [])])


def dotted_imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported: at the top, in functions, for types only, or by a call.

    `import deeplimit` alone loads nothing; what is then taken from it, as in `deeplimit.problem`, counts.
    """
    handles = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
            # `import deeplimit` and `import deeplimit.data` bind deeplimit; with `as dl` the first binds dl.
            handles |= {
                alias.asname or "deeplimit"
                for alias in node.names
                if alias.name == "deeplimit" or (alias.name.startswith("deeplimit.") and not alias.asname)
            }
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in handles:
            yield node.lineno, f"deeplimit.{node.attr}"


def layered_name(dotted: str) -> str | None:
    """The name in the layers that a dotted name belongs to; None for a library or for `deeplimit` itself."""
    head, *rest = dotted.split(".")
    if head == "studies":
        return "studies"
    if head != "deeplimit" or not rest or re.fullmatch("__.+__", rest[0]):
        return None
    return deeplimit._HOME.get(rest[0], rest[0])


def complaint(own: str, dotted: str, allowed: dict[str, set[str]]) -> str | None:
    """What is wrong with the import of `dotted` by a module of the name `own`, if anything is."""
    other = layered_name(dotted)
    if other is None or other == own or other in allowed[own]:
        return None
    if other == "*":
        return "'from deeplimit import *' imports every module."
    if other not in allowed:
        return f"imports {dotted!r}: give {other!r} a layer, in tests/test_layers.py."
    return f"{own!r} must not import {other!r}, which is not in a layer before it."


def violations(root: Path) -> list[str]:
    """One sentence for each import in `root`/deeplimit and `root`/studies that goes against the layers."""
    allowed = allowed_imports()
    found = []
    for path in sorted([*root.glob("deeplimit/**/*.py"), *root.glob("studies/**/*.py")]):
        where = path.relative_to(root)
        # The front page of the package names every module, but loads none.
        if where == Path("deeplimit/__init__.py"):
            continue
        own = layered_name(".".join(where.with_suffix("").parts))
        if own is None or own not in allowed:
            found.append(f"{where}: give the new {own or path.stem!r} a layer, in tests/test_layers.py.")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(where))
        for line, dotted in sorted(set(dotted_imports(tree, list(where.parent.parts)))):
            if sentence := complaint(own, dotted, allowed):
                found.append(f"{where}:{line}: {sentence}")
    return found


def write(root: Path, **sources: str) -> Path:
    """A source tree with deeplimit/NAME.py for each name; `__` in a name is a folder below deeplimit."""
    for name, source in sources.items():
        path = root / "deeplimit" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


def test_every_module_imports_only_from_the_layers_before_it() -> None:
    """The arrows of the design: what can only be reached from later layers cannot depend on them."""
    assert list(ROOT.glob("deeplimit/*.py")), "the checker looks at the wrong folder"
    assert not violations(ROOT), "\n".join(["", *violations(ROOT)])


def test_the_layers_say_what_the_design_says() -> None:
    """The little language of the table is read as it is meant, at one name of each kind."""
    allowed = allowed_imports()
    leaves = {"activation", "control", "entries", "layer", "loss", "minimum", "spectrum", "threads"}
    assert all(allowed[leaf] == {"checks", "sources", "differences"} for leaf in leaves)
    between = {"lines", "files", "data", "ranks", "coordinates", "norms", "irregular", "optimise"}
    between |= {"kernels", "memory", "problem", "recursion", "sweep"}
    assert allowed["ranks"] == {"checks", "sources", "differences", "entries", "lines", "files", "data"}
    assert allowed["tape"] == {*leaves, "checks", "sources", "differences", *between}
    assert allowed["energy"] == {*allowed["tape"], "tape", "own"}
    assert allowed["discrete"] - allowed["ladder"] == {"ladder"}
    for name in ("ladder", "continuum", "pontryagin"):
        assert allowed[name] == {*allowed["energy"], "energy", "network", "grids", "symmetry"}
    assert allowed["compare"] - allowed["expansion"] == {"expansion", "ridge", "gamma", "counterexample", "regularity"}
    assert allowed["variants"] == allowed["expansion"]
    assert allowed["rough"] - allowed["meanfield"] == {"meanfield"}
    kept = {"sources", "claims", "changes", "imports", "canonical", "fingerprint", "provenance", "script", "store"}
    rows = kept | {"lock", "journal", "settings", "workers", "execution", "rows"}
    assert allowed["study"] == rows
    assert allowed["plot"] == {*rows, "study", "catalogue", "tables", "verify"}
    assert allowed["report"] == {*allowed["plot"], "plot"}
    assert {"cli", "report", "rough", "compare", "data"} <= allowed["studies"]


def test_a_fingerprint_leaves_out_what_makes_tables_and_nothing_else() -> None:
    """A change of a module of tables does not make rows anew, a change of any other does."""
    tables = set(re.findall(r"\w+", TABLES)) | {"__init__", "cli"}
    assert tables == deeplimit.fingerprint.WITHOUT_NUMBERS


# What is planted in `discrete`, and the name that must be reported.
FORBIDDEN = {
    "from a module": ("from deeplimit.continuum import minimise", "continuum"),
    "from the package": ("from deeplimit import continuum", "continuum"),
    "by full name": ("import deeplimit.continuum as limit", "continuum"),
    "as an attribute": ("import deeplimit as dl\n\ndef f():\n    return dl.continuum.minimise", "continuum"),
    "relative": ("from .continuum import minimise", "continuum"),
    "relative, the module": ("from . import continuum", "continuum"),
    "inside a function": ("def f():\n    from deeplimit import continuum", "continuum"),
    "for types only": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deeplimit import continuum",
        "continuum",
    ),
    "by a call": ("import importlib\nm = importlib.import_module('deeplimit.continuum')", "continuum"),
    "a study": ("import studies.depth_limit", "studies"),
    "tables": ("from deeplimit import study", "study"),
}


@pytest.mark.parametrize(("source", "other"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_forbidden_import_is_found(tmp_path: Path, source: str, other: str) -> None:
    """The checker can fail: a planted import from beside or above is reported, however it is written."""
    found = violations(write(tmp_path, discrete=source, continuum="from deeplimit import problem, optimise"))
    assert len(found) == 1
    assert "deeplimit/discrete.py:" in found[0] and f"must not import {other!r}" in found[0]


def test_a_class_of_the_package_counts_as_its_module(tmp_path: Path) -> None:
    """`from deeplimit import Problem` is an import of `problem`: right in `discrete`, wrong in `loss`."""
    found = violations(write(tmp_path, discrete="from deeplimit import Problem", loss="from . import Problem"))
    assert found == ["deeplimit/loss.py:1: 'loss' must not import 'problem', which is not in a layer before it."]


def test_a_package_counts_as_one_name(tmp_path: Path) -> None:
    """Inside a package imports are free; between packages they follow the layers, relative ones too."""
    root = write(
        tmp_path,
        rough__lift="from . import variation\nfrom ..meanfield import transport",
        rough__variation="from deeplimit.lipschitz import bounds",
        meanfield__transport="from ..rough.lift import signature",
    )
    found = violations(root)
    assert [sentence.split(":")[0] for sentence in found] == [
        "deeplimit/meanfield/transport.py",
        "deeplimit/rough/variation.py",
    ]


def test_an_unknown_module_asks_for_a_layer(tmp_path: Path) -> None:
    """A new module cannot escape the check by being new, and nor can an import of one that has no layer."""
    found = violations(write(tmp_path, helpers="", compare="from deeplimit import helpers"))
    assert len(found) == 2 and all("a layer, in tests/test_layers.py" in sentence for sentence in found)


def test_importing_everything_at_once_is_found(tmp_path: Path) -> None:
    """A star hides what it imports, so it can obey no layer."""
    assert "imports every module" in violations(write(tmp_path, compare="from deeplimit import *"))[0]


def test_importing_the_package_loads_no_library() -> None:
    """`import deeplimit` costs nothing: torch and its like come with the first module that needs them."""
    code = "import sys; old = set(sys.modules); import deeplimit; print(*(set(sys.modules) - old), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "deeplimit" in loaded
    assert not {"torch", "numpy", "scipy", "pandas", "matplotlib", "sklearn"} & set(loaded)
    assert not [name for name in loaded if name.startswith("deeplimit.")]


@pytest.mark.parametrize("name", deeplimit.__all__)
def test_every_name_of_the_package_is_there(name: str) -> None:
    """A name that the package offers can be had as its attribute, and is the thing itself, not a copy."""
    home = importlib.import_module(f"deeplimit.{deeplimit._HOME.get(name, name)}")
    assert getattr(deeplimit, name) is (getattr(home, name) if name in deeplimit._HOME else home)
    assert name in dir(deeplimit)


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    """`hasattr` and typing mistakes work as for any module."""
    with pytest.raises(AttributeError, match="no attribute 'minimize'"):
        deeplimit.minimize  # noqa: B018

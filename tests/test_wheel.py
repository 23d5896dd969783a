"""Wheel and sdist: complete, with nothing beside the package, and at work in an environment where the tree is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import sys, setuptools.build_meta as build; print(getattr(build, 'build_' + sys.argv[1])(sys.argv[2]))"
STUDY = '''"""Is the package the installed one?"""
import deeplimit
from deeplimit import Data, study


def measure(k):
    return {"points": Data([[0.0], [1.0]], [0.0, k]).points, "package": deeplimit.__file__, "status": "done"}


def main(save):
    study.sweep(measure, save=save, k=[1, 2])
    study.record(save, {})
'''


def built(kind: str, source: Path, into: Path) -> Path:
    """A wheel or an sdist, by the build backend of this environment and without a network."""
    command = [sys.executable, "-c", BUILD, kind, str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.split()[-1]


def copied(into: Path) -> Path:
    """The files of the tree, without what a build or a run leaves behind."""
    leftovers = shutil.ignore_patterns("*.egg-info", "build", "dist", ".*", "__pycache__", "*.png", "*.failed", "*.log")
    shutil.copytree(ROOT, into, ignore=leftovers)
    return into


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    return built("wheel", copied(folder / "tree"), folder)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this tree."""
    folder = tmp_path_factory.mktemp("sdist")
    return built("sdist", copied(folder / "tree"), folder)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; the libraries are those of the environment that runs the tests."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    command = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-index", "--no-deps", str(wheel)], check=True, timeout=240)
    # added after pip has run, so that it sees no other deeplimit to replace
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def called(environment: Path, home: Path, *words: str) -> str:
    """`deeplimit WORDS` there: its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(environment / "bin" / "deeplimit"), *words]
    done = subprocess.run(command, cwd=home, env=clean, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules(folder: str) -> set[str]:
    """The Python files of a folder of the tree, by their paths from its root."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")}


def test_every_package_is_listed() -> None:
    """A new subpackage has to be named in pyproject.toml; the studies are one of them, under the package's name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "deeplimit").rglob("*.py")}
    assert set(settings["packages"]) == {".".join(folder.parts) for folder in folders} | {"deeplimit.studies"}
    assert settings["package-dir"] == {"deeplimit.studies": "studies"}


def test_the_wheel_has_every_module_and_study_and_nothing_beside_the_package(wheel: Path) -> None:
    """All below deeplimit/; the studies below deeplimit/studies/; the type marker and the licence are there."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"deeplimit"}
    wanted = modules("deeplimit") | {f"deeplimit/{name}" for name in modules("studies")} | {"deeplimit/py.typed"}
    data = {
        str(path.relative_to(ROOT)) for kind in ("j2", "css", "js") for path in (ROOT / "deeplimit").rglob(f"*.{kind}")
    }
    assert {name for name in names if ".dist-info/" not in name} == wanted | data
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_is_the_tree_and_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """Modules, studies, tests, results, licence, constraints; a wheel built from it has the same files."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    there = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert modules("deeplimit") | modules("studies") | modules("tests") <= there
    assert {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "pyproject.toml"} <= there
    assert {f"results/{path.name}" for path in (ROOT / "results").glob("*.csv")} <= there
    assert not [name for name in there if ".rows" in name or name.endswith((".pyc", ".log"))]
    again = built("wheel", tree, tmp_path)
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_command_lists_its_own_studies_and_those_of_the_folder(environment: Path, tmp_path: Path) -> None:
    """Those that came with it, those of ./studies, or those of a named folder alone."""
    shipped = {path.stem for path in (ROOT / "studies").glob("*.py")}
    lines = called(environment, tmp_path, "list").splitlines()
    assert lines[-1].startswith(f"{len(shipped)} studies;") and lines[-1].endswith("results are in results")
    assert {line.split()[0] for line in lines[:-1:2]} == shipped
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "own.py").write_text(STUDY)
    assert called(environment, tmp_path, "list").splitlines()[-1].startswith(f"{len(shipped) + 1} studies;")
    assert called(environment, tmp_path, "list", "--studies", "studies").splitlines()[-1].startswith("1 study;")


def test_a_study_runs_with_the_installed_package(environment: Path, tmp_path: Path) -> None:
    """Its results lie in ./results; a rerun finds them finished."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "own.py").write_text(STUDY)
    called(environment, tmp_path, "run", "own")
    record = json.loads((tmp_path / "results" / "own.json").read_text())
    assert record["versions"]["deeplimit"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    table = called(environment, tmp_path, "table", "own", "--columns", "package", "--format", "csv").splitlines()
    assert table[1:] == [str(next(environment.glob("lib/python*/site-packages/deeplimit")) / "__init__.py")] * 2
    assert "own is finished" in called(environment, tmp_path, "run", "own")


@pytest.mark.slow
def test_a_study_that_came_with_the_wheel_runs(environment: Path, tmp_path: Path) -> None:
    """Its quick form, and its results in ./results of where one stands, not inside the environment."""
    called(environment, tmp_path, "run", "power", "--quick", "--results", "results")
    made = {path.name for path in (tmp_path / "results").iterdir() if path.is_file()}
    assert {"power.csv", "power.json", "power.png"} <= made
    assert "finished" in called(environment, tmp_path, "list")
    assert not list(environment.rglob("power.csv"))

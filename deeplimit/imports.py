"""Imports: which modules and files are the user's own, and which of them a study's file imports.

A library tells by its version what it computes; a file of the user's tells it by its bytes alone.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = (PACKAGE, *(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")))
STUDY_MODULES = "studies_"  # how the modules of study files begin


def is_users(module: str | None) -> bool:
    """Whether a module is a study, a script, a notebook, or a file of the user's."""
    name = module or ""
    return name == "__main__" or name.startswith(STUDY_MODULES) or users_file(sys.modules.get(name)) is not None


def users_file(module: ModuleType | None) -> Path | None:
    """The file of a module that is no library's: not of Python, of an installed package, or of this one."""
    file = getattr(module, "__file__", None)
    path = Path(file).resolve() if file else None
    return path if path and _is_users(path) else None


def _is_users(path: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_file() and not installed and not any(path.is_relative_to(home) for home in LIBRARIES)


_FROZEN: dict[Path, bytes] = {}


@contextmanager
def frozen(files: Iterable[Path]) -> Iterator[None]:
    """Let `content` tell inside what these files have now, as they were imported, and not what is made of them."""
    _FROZEN.update((path, path.read_bytes()) for path in files)
    try:
        yield
    finally:
        _FROZEN.clear()


def content(path: Path) -> bytes:
    """The bytes of a file, those of the start of a study while one runs."""
    return _FROZEN[path] if path in _FROZEN else path.read_bytes()


def beside(space: Mapping[str, Any]) -> list[Path]:
    """The user's files that a study's file imports, and those that these import, inside functions too."""
    own = Path(str(space.get("__file__", ""))).resolve()
    return [path for path in with_imports([own] if own.is_file() else []) if path != own]


def with_imports(files: list[Path]) -> list[Path]:
    """Some of the user's files with all others that they import, by any way, in the order of their paths."""
    found, waiting = set(files), list(files)
    while waiting:
        for other in _imported(waiting.pop()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return sorted(found)


def _imported(file: Path) -> list[Path]:
    """The user's files that a file imports; of a package all its files."""
    try:
        tree = ast.parse(content(file))
    except (OSError, SyntaxError, ValueError):
        return []
    whole = file.parent.rglob("*.py") if file.name == "__init__.py" else ()
    return [*whole, *named(tree, file.parent)]


def named(tree: ast.AST, folder: Path) -> list[Path]:
    """The user's files that some code of a folder imports, by absolute and relative names, with their packages'."""
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _below(_roots(alias.name), alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            roots = [folder, *folder.parents][node.level - 1 : node.level] if node.level else _roots(base)
            for alias in node.names:  # a module, or something in the one before it
                found |= _below(roots, f"{base}.{alias.name}".strip("."))
    return sorted(path for path in found if _is_users(path))


def _below(roots: Iterable[Path], name: str) -> set[Path]:
    """The files below some folders that a dotted name may stand for, and those of its packages."""
    parts = name.split(".")
    places = [root.joinpath(*parts[: k + 1]) for root in roots for k in range(len(parts))]
    files = [file for place in places for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")]
    return {file.resolve() for file in files if file.is_file()}


def _roots(name: str) -> list[Path]:
    """The folders in which the first part of an absolute name lies, imported already or not."""
    first = name.split(".")[0]
    if first in sys.stdlib_module_names or first in ("", "deeplimit"):
        return []
    module = sys.modules.get(first)
    try:
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(first)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        file = getattr(module, "__file__", None)
        return [Path(file).parent] if file else []
    if spec.submodule_search_locations is not None:
        return [Path(place).parent for place in spec.submodule_search_locations]
    return [Path(spec.origin).parent] if spec.origin else []

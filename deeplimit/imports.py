"""Imports: which modules and files are the user's own, and which of them a study's file imports.

A library tells by its version what it computes; a file of the user's tells it by its bytes alone.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).resolve().parent
STUDY_MODULES = "studies_"  # how the modules of study files begin


def is_users(module: str | None) -> bool:
    """Whether a module is a study, a script, a notebook, or a file of the user's."""
    name = module or ""
    return name == "__main__" or name.startswith(STUDY_MODULES) or users_file(sys.modules.get(name)) is not None


def users_file(module: ModuleType | None) -> Path | None:
    """The file of a module that is no library's: not of Python, of an installed package, or of this one."""
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(file).resolve()
    libraries = [PACKAGE, *(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib"))]
    if {"site-packages", "dist-packages"} & set(path.parts) or any(path.is_relative_to(home) for home in libraries):
        return None
    return path if path.is_file() else None


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
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module.split(".")[0]} if node.module and not node.level else set()
    found = list(file.parent.rglob("*.py")) if file.name == "__init__.py" else []
    for name in sorted(names - sys.stdlib_module_names - {"deeplimit"}):
        home = _file_of(name)
        found += [home] if home else []
    return found


def _file_of(name: str) -> Path | None:
    """The file of a user's module by its name, imported already or not."""
    module = sys.modules.get(name)
    if module is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        module = ModuleType(name)
        module.__file__ = spec.origin if spec else None
    return users_file(module)

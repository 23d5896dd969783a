"""Fingerprints: a short text that differs wherever the rows of two sweeps might differ.

It covers what the function that makes a row can reach: its own code and that of the functions of its file that it
calls, the constants that they name, data by their bytes, the versions of this package and of the libraries that
compute, and the source of the package's mathematics. Constants that only claims or figures use do not count. What a
function asks of the world while it runs, such as the environment, the clock or a name put together as a text, it does
not see.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from deeplimit import canonical, imports
from deeplimit.imports import PACKAGE

# What makes tables, records and pictures of numbers, and not the numbers.
WITHOUT_NUMBERS = frozenset(
    {"__init__", "cli", "claims", "sources", "imports", "canonical", "fingerprint", "provenance", "store", "lock"}
    | {"journal", "script", "workers", "rows", "changes", "settings", "execution", "study", "catalogue", "tables"}
    | {"verify", "plot", "report"}
)
LIBRARIES = ("deeplimit", "torch", "numpy", "scipy", "pandas", "scikit-learn", "numba")  # that compute
MEASUREMENT = "the measurement"  # a name that nothing in a file can have
REGISTRIES = {"deeplimit.activation": "ACTIVATIONS", "deeplimit.loss": "LOSSES"}  # of what users add by name
LEAVES = (bool, int, float, complex, str)
MOST_NESTED = 8  # containers within a constant that are looked into
MOST_SHOWN = 60  # characters of a constant in a message


def installed(name: str) -> str:
    """The version of a library, or "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@functools.cache
def package(root: Path = PACKAGE) -> str:
    """The fingerprint of the package's mathematics: the bytes of every module that computes."""
    parts = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).with_suffix("")
        if name.parts[0] not in WITHOUT_NUMBERS | {"studies"}:
            parts.update(f"{name.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return parts.hexdigest()[: canonical.LENGTH]


def of_measure(measure: Callable[..., Any]) -> dict[str, str]:
    """What the rows of a measurement depend on, by name: constants and functions it reaches, versions, the package.

    Parameters
    ----------
    measure
        The function that makes a row: of a study's file, of a notebook, a lambda, or a `functools.partial` of one.

    Returns
    -------
    dict
        A short text for each name; two measurements with equal dicts may share their rows.
    """
    walk = _Walk(_space(measure))
    walk.found |= {"python package": f"{installed('deeplimit')} {package()}"}
    walk.found |= {name: installed(name) for name in LIBRARIES[1:]}
    walk.visit(measure, MEASUREMENT)
    for module, registry in REGISTRIES.items():
        home = sys.modules.get(module)
        for name, entry in getattr(home, registry, {}).items():
            if name not in getattr(home, "BUILT_IN", ()):
                walk.visit(entry, f"registered {name}")
    return walk.found


def _space(measure: Any) -> Mapping[str, Any]:
    """The names of the file that a measurement is of."""
    while isinstance(measure, (functools.partial, MethodType)):
        measure = measure.func if isinstance(measure, functools.partial) else measure.__func__
    measure = inspect.unwrap(measure)
    home = sys.modules.get(getattr(type(measure), "__module__", ""))
    names: Mapping[str, Any] = getattr(measure, "__globals__", None) or vars(home or ModuleType("none"))
    return names


class _Walk:
    """A walk through all that a measurement reaches in its file.

    Attributes
    ----------
    found
        A short text for each name.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        self.space = space
        self.found: dict[str, str] = {}
        self._seen: dict[int, Any] = {}  # keeps what was seen alive, so that no other has its identity

    def visit(self, thing: Any, name: str) -> None:
        """Add what a name stands for, and all that it reaches."""
        if id(thing) in self._seen and not isinstance(thing, LEAVES):
            return
        self._seen[id(thing)] = thing
        if isinstance(thing, ModuleType):
            if imports.users_file(thing):
                self._note(name, _of_module(thing))
        elif isinstance(thing, (FunctionType, type)):
            self._visit_code(thing, name)
        elif isinstance(thing, functools.partial):
            self._note(name, canonical.of_text(canonical.plain(thing)))
            self.visit(thing.func, f"{name}: function")
            self.visit([*thing.args, *thing.keywords.values()], f"{name}: arguments")
        elif isinstance(thing, MethodType):
            self.visit(thing.__func__, name)
            self.visit(thing.__self__, f"{name}: object")
        elif callable(thing) and hasattr(thing, "__wrapped__"):  # such as a cache
            self.visit(thing.__wrapped__, name)
        else:
            self._note(name, _shown(thing))
            for inner in _held(thing):
                self.visit(inner, getattr(inner, "__qualname__", f"{name}: {type(inner).__name__}"))

    def _note(self, name: str, text: str) -> None:
        """Write down a text, under a name of its own where another thing has this one."""
        key, count = name, 1
        while self.found.get(key, text) != text:
            count += 1
            key = f"{name} ({count})"
        self.found[key] = text

    def _visit_code(self, code: Any, name: str) -> None:
        own = getattr(code, "__globals__", self.space) is self.space
        if isinstance(code, type):
            own = code.__module__ == self.space.get("__name__")
        wrapped = getattr(code, "__wrapped__", None)
        if own:
            self._note(name, canonical.source(code))
        else:  # of another module: a library's, which its version tells, or the user's, which its file tells
            home = sys.modules.get(code.__module__)
            self._note(
                name,
                f"{code.__module__}.{code.__qualname__} {_of_module(home) if imports.users_file(home) else ''}".strip(),
            )
        if isinstance(code, FunctionType) and (own or wrapped is not None):
            self._visit_held(code, name)
        for method in vars(code).values() if isinstance(code, type) else ():
            if isinstance(method, FunctionType) and not method.__qualname__.startswith(f"{code.__qualname__}."):
                self.visit(method, f"{name}: {method.__qualname__}")  # set after the body
        if wrapped is not None:
            self.visit(wrapped, f"{name}: wrapped")
        for other in sorted(_names(code) & set(self.space)) if own else ():
            if not other.startswith("__"):
                self.visit(self.space[other], other)

    def _visit_held(self, function: FunctionType, name: str) -> None:
        """Variables of the closure, defaults, and attributes that were set."""
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.visit(cell.cell_contents, f"{name}: {variable}")
            except ValueError:  # not bound yet
                continue
        attributes = {key: value for key, value in vars(function).items() if key != "__wrapped__"}
        for words, held in (("defaults", [function.__defaults__, function.__kwdefaults__]), ("attributes", attributes)):
            if held and held != [None, None]:
                self.visit(held, f"{name}: {words}")


def unwrapped(function: Any) -> Any:
    """The function behind a cache or another wrapper; anything else as it is."""
    return inspect.unwrap(function) if callable(function) else function


def _names(thing: Any) -> set[str]:
    """The global names that a function or class reads, those of its decorators, defaults and bases among them."""
    functions = [thing] if isinstance(thing, FunctionType) else list(vars(thing).values())
    found = set().union(*(_names_of_code(f.__code__) for f in functions if isinstance(f, FunctionType)))
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return found
    outside: list[ast.AST] = [
        *getattr(node, "decorator_list", []),
        *getattr(getattr(node, "args", None), "defaults", []),
    ]
    outside += [node] if isinstance(node, ast.ClassDef) else []
    return found | {inner.id for part in outside for inner in ast.walk(part) if isinstance(inner, ast.Name)}


def _names_of_code(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names_of_code(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _held(value: Any, seen: tuple[int, ...] = ()) -> Iterator[Any]:
    """Functions, methods and the user's classes that a constant holds: in containers, and in attributes of objects."""
    if isinstance(value, LEAVES) or id(value) in seen or len(seen) > MOST_NESTED:
        return
    inside = (*seen, id(value))
    if seen and (
        isinstance(value, (FunctionType, type, functools.partial, MethodType)) or hasattr(value, "__wrapped__")
    ):
        if not isinstance(value, (FunctionType, type)) or imports.is_users(value.__module__):
            yield value
    elif isinstance(value, Mapping):
        for entry in [*value.keys(), *value.values()]:
            yield from _held(entry, inside)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for entry in value:
            yield from _held(entry, inside)
    elif hasattr(value, "__dict__") and not isinstance(value, ModuleType):
        if imports.is_users(type(value).__module__):
            yield type(value)
        if type(value).__module__.split(".")[0] == "deeplimit" or imports.is_users(type(value).__module__):
            yield from _held(vars(value), inside)


def _of_module(module: ModuleType | None) -> str:
    """The fingerprint of a user's module and of all the user's files that it imports."""
    file = imports.users_file(module)
    return (
        canonical.of_text([canonical.digest(path.read_bytes()) for path in imports.with_imports([file])])
        if file
        else ""
    )


def _shown(value: Any) -> str:
    """A constant as a message can show it: itself where it is short and of numbers and texts, else its fingerprint."""
    return (
        repr(value)
        if _is_simple(value) and len(repr(value)) <= MOST_SHOWN
        else canonical.of_text(canonical.plain(value))
    )


def _is_simple(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_simple, [*value.keys(), *value.values()]))
    if type(value) in (list, tuple):
        return all(map(_is_simple, value))
    return type(value) in (*LEAVES, type(None), range)


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """The names in which two fingerprints differ, with their constants where these are short."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    words = [f"{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}" for name in names[:3]]
    return "; ".join([*words, *([f"and {len(names) - 3} more"] if len(names) > 3 else [])]) or "nothing that is known"

"""Fingerprints: a short text that differs wherever the rows of two sweeps might differ.

It covers what the function that makes a row can reach: its own code and that of the functions of its file that it
calls, the constants that they name, data by their bytes, the versions of this package and of the libraries that
compute, and the source of the package's mathematics. Constants that only claims or figures use do not count. What a
function asks of the world while it runs it does not see: the environment, the clock, a name put together as a text, the
state of a generator of random numbers that the file does not hold. A constant that cannot be pickled, such as a lock,
is never the same.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
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
    walk = _Walk(space(measure))
    walk.found |= {"python package": f"{installed('deeplimit')} {package()}"}
    walk.found |= {name: installed(name) for name in LIBRARIES[1:]}
    if (torch := sys.modules.get("torch")) and (precision := str(torch.get_default_dtype())) != "torch.float32":
        walk.found["torch's default type"] = precision
    walk.visit(measure, MEASUREMENT)
    for module, registry in REGISTRIES.items():
        home = sys.modules.get(module)
        for name, entry in getattr(home, registry, {}).items():
            if name not in getattr(home, "BUILT_IN", ()):
                walk.visit(entry, f"registered {name}")
    return walk.found


def space(measure: Any) -> Mapping[str, Any]:
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
            if of_module := _of_module(thing):
                self._note(name, of_module)
        elif isinstance(thing, (FunctionType, type)):
            self._visit_code(thing, name)
        elif isinstance(thing, functools.partial):
            self._note(name, canonical.of_text(canonical.plain(thing)))
            self.visit(thing.func, f"{name}: function")
            self.visit([*thing.args, *thing.keywords.values()], f"{name}: arguments")
        elif isinstance(thing, MethodType):
            self.visit(thing.__func__, name)
            self.visit(thing.__self__, f"{name}: object")
        elif canonical.unwrapped(thing) is not thing:  # such as a cache
            self.visit(canonical.unwrapped(thing), name)
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
            self._note(name, f"{code.__module__}.{code.__qualname__} {_of_module(home)}".strip())
        if isinstance(code, FunctionType) and (own or wrapped is not None):
            self._visit_held(code, name)
        for path in _imported(code) if own else ():
            self._note(f"{name}: {path.name}", _of_files([path]))
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


def _names(thing: Any) -> set[str]:
    """The global names that a function or class reads, those of its decorators, defaults and bases among them."""
    functions = [thing] if isinstance(thing, FunctionType) else list(vars(thing).values())
    found = set().union(*(_names_of_code(f.__code__) for f in functions if isinstance(f, FunctionType)))
    try:
        (node,) = canonical.parsed(thing).body
    except (*canonical.UNPARSED, ValueError):  # or not one statement alone
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
    """Functions, methods and the user's classes that a constant holds: its own, in containers, in attributes."""
    if type(value) in LEAVES or isinstance(value, ModuleType) or id(value) in seen or len(seen) > MOST_NESTED:
        return
    inside, is_own = (*seen, id(value)), imports.is_users(type(value).__module__)
    if is_own:
        yield type(value)
    if seen and canonical.is_code(value):
        if not isinstance(value, (FunctionType, type)) or imports.is_users(value.__module__):
            yield value
    elif isinstance(value, BuiltinFunctionType):
        yield from _held(value.__self__, inside)
    else:
        entries = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
        for entry in entries if isinstance(value, (Mapping, list, tuple, set, frozenset)) else ():
            yield from _held(entry, inside)
        if is_own or type(value).__module__.split(".")[0] == "deeplimit":
            yield from _held(canonical.attributes(value), inside)


def _imported(code: Any) -> list[Path]:
    """The user's files that are imported inside a function or class."""
    home = imports.users_file(sys.modules.get(code.__module__))
    folder = home.parent if home else Path(getattr(code, "__globals__", {}).get("__file__", "")).resolve().parent
    try:
        return imports.named(canonical.parsed(code), folder)
    except (*canonical.UNPARSED, ValueError):
        return []


def _of_files(files: list[Path]) -> str:
    """The fingerprint of some of the user's files and of all others that they import."""
    return canonical.of_text([canonical.digest(imports.content(path)) for path in imports.with_imports(files)])


def _of_module(module: ModuleType | None) -> str:
    """The fingerprint of a user's module, its CAPITALS as they are and the user's files it imports; of others empty."""
    file = imports.users_file(module)
    if file is None:
        return ""
    capitals = {
        key: entry for key, entry in vars(module).items() if key.isupper() and isinstance(entry, canonical.PLAIN)
    }
    return f"{_of_files([file])} {canonical.of_text(canonical.plain(capitals))}"


def _shown(value: Any) -> str:
    """A constant as a message can show it: itself where it is short and of numbers and texts, else its fingerprint."""
    text = _written(value) if _is_simple(value) else ""
    return text if 0 < len(text) <= MOST_SHOWN else canonical.of_text(canonical.plain(value))


def _written(value: Any) -> str:
    """The text of a simple value; entries of a mapping in the order of their texts, which no hashing changes."""
    if type(value) is not dict:
        return repr(value)
    return "{" + ", ".join(sorted(f"{key!r}: {_written(entry)}" for key, entry in value.items())) + "}"


def _is_simple(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_is_simple, [*value.keys(), *value.values()]))
    if type(value) in (list, tuple):
        return all(map(_is_simple, value))
    return type(value) in (*LEAVES, type(None), range)


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """The names in which two fingerprints differ, with their constants where these are short."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    words = [f"{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}" for name in names[:3]]
    return "; ".join([*words, *([f"and {len(names) - 3} more"] if len(names) > 3 else [])]) or "nothing that is known"

"""Fingerprints: a short text that differs wherever the rows of two sweeps might differ.

It covers what the function that makes a row can reach: its own code and that of the functions of its file that it
calls, the constants that they name, data by their bytes, the versions of this package and of the libraries that
compute, and the source of the package's mathematics. Constants that only claims or figures use do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

PACKAGE = Path(__file__).resolve().parent
# What makes tables, records and pictures of numbers, and not the numbers.
WITHOUT_NUMBERS = frozenset(
    {"__init__", "claims", "sources", "fingerprint", "provenance", "store", "workers", "rows", "changes", "study"}
    | {"catalogue", "tables", "verify", "plot", "report", "cli"}
)
LIBRARIES = ("deeplimit", "torch", "numpy", "scipy")
STUDY_MODULES = "studies_"  # how the modules of study files begin
LENGTH = 16  # hexadecimal digits that are kept
MOST_NESTED = 8  # containers within a constant that are looked into
MOST_SHOWN = 60  # characters of a constant in a message


def digest(content: bytes) -> str:
    """The first digits of the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def of_text(value: Any) -> str:
    """The fingerprint of a value that JSON can write, such as what `plain` returns."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass"))


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
    return parts.hexdigest()[:LENGTH]


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
    found: dict[str, str] = {"python package": f"{installed('deeplimit')} {package()}"}
    found |= {name: installed(name) for name in LIBRARIES[1:]}
    while isinstance(measure, functools.partial):
        found["fixed arguments"] = of_text(plain([measure.args, measure.keywords]))
        measure = measure.func
    _reach(measure, getattr(unwrapped(measure), "__globals__", {}), found, "measure")
    return found


def plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """A value as numbers, texts and lists that JSON writes alike in every process; arrays as their digest.

    Parameters
    ----------
    within
        Identities of the objects that this one is a part of; a cycle ends there.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, complex)):
        return repr(value)
    if id(value) in within:
        return "a cycle"
    inside = (*within, id(value))
    if isinstance(value, Mapping):
        return {"entries": [[plain(key, inside), plain(entry, inside)] for key, entry in value.items()]}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(plain(entry, inside) for entry in value)]
    if isinstance(value, (set, frozenset)):
        return ["set", *sorted(json.dumps(plain(entry, inside), sort_keys=True) for entry in value)]
    if isinstance(value, range):
        return [str(value)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return digest(bytes(value))
    if isinstance(value, (ModuleType, type)):
        return value.__name__
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor
        value = value.detach().cpu().numpy()
    if hasattr(value, "to_numpy"):  # a table, or a column
        return ["table", str(getattr(value, "columns", "")), plain(value.to_numpy(), inside)]
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        content = plain(value.tolist(), inside) if value.dtype.hasobject else digest(value.tobytes())
        return [str(value.dtype), list(getattr(value, "shape", ())), content]
    if callable(value) and hasattr(unwrapped(value), "__code__"):
        return _source(unwrapped(value))
    return [type(value).__qualname__, _parts(value, inside)]


def _parts(value: Any, inside: tuple[int, ...]) -> Any:
    """The fields of a dataclass or of an object of this package or of a study, cached ones left out; else its text."""
    kind = type(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name), inside) for field in fields(value)}
    if kind.__module__.split(".")[0] in {"deeplimit", "__main__"} or kind.__module__.startswith(STUDY_MODULES):
        cached = {name for name, entry in vars(kind).items() if isinstance(entry, functools.cached_property)}
        attributes = getattr(value, "__dict__", {})
        return {name: plain(entry, inside) for name, entry in sorted(attributes.items()) if name not in cached}
    text = repr(value)
    return "" if " at 0x" in text else text


def unwrapped(function: Any) -> Any:
    """The function behind a cache or another wrapper; anything else as it is."""
    return inspect.unwrap(function) if callable(function) else function


def _source(function: Any) -> str:
    """The code of a function without comments, layout and docstring; its bytes where the source is not to be had."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or a lambda in the middle of an expression
        return digest(repr(list(_bytecode(function.__code__))).encode())
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.unparse(tree).encode())


def _bytecode(code: CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _bytecode(constant)
        else:
            yield repr(constant)


def _names(thing: Any) -> set[str]:
    """All names in the source of a function or class, with its decorators, defaults and bases, or in its bytecode."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        codes = [thing.__code__] if isinstance(thing, FunctionType) else []
        return set().union(*map(_names_of_code, codes))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _names_of_code(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names_of_code(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _reach(thing: Any, space: Mapping[str, Any], found: dict[str, str], name: str) -> None:
    """Add what a name of a file stands for, and all that it reaches in that file, to what was found."""
    target = unwrapped(thing)
    if name in found:
        return
    if isinstance(target, ModuleType):
        if file := users_file(target):
            found[name] = digest(file.read_bytes())
    elif isinstance(target, (FunctionType, type)):
        if getattr(target, "__globals__", space) is space and target.__module__ == space.get("__name__"):
            found[name] = _source(target)
            _reach_held(target, space, found, name)
            _follow(_names(target), space, found)
        else:  # of another module: a library's, which its version tells, or the user's, which its file tells
            file = users_file(sys.modules.get(target.__module__))
            found[name] = (
                f"{target.__module__}.{target.__qualname__} {digest(file.read_bytes()) if file else ''}".strip()
            )
    else:
        found[name] = _shown(thing)
        for inner in _inside(thing, space):
            _reach(inner, space, found, inner.__qualname__)


def _reach_held(function: Any, space: Mapping[str, Any], found: dict[str, str], name: str) -> None:
    """Add what a function holds: the variables of its closure, and its defaults."""
    if not isinstance(function, FunctionType):
        return
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        if held is not function:
            _reach(held, space, found, f"{name}: {variable}")
    if function.__defaults__ or function.__kwdefaults__:
        _reach([function.__defaults__, function.__kwdefaults__], space, found, f"{name}: defaults")


def _inside(value: Any, space: Mapping[str, Any], seen: tuple[int, ...] = ()) -> Iterator[Any]:
    """Functions and classes of the file that a constant holds: entries of containers, methods, classes of objects."""
    if id(value) in seen or len(seen) > MOST_NESTED:
        return
    inside, target = (*seen, id(value)), unwrapped(value)
    if isinstance(target, (FunctionType, type)):
        if target.__module__ == space.get("__name__"):
            yield target
    elif isinstance(value, Mapping):
        for entry in [*value.keys(), *value.values()]:
            yield from _inside(entry, space, inside)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for entry in value:
            yield from _inside(entry, space, inside)
    elif isinstance(value, functools.partial):
        yield from _inside([value.func, value.args, value.keywords], space, inside)
    elif isinstance(value, MethodType):
        yield from _inside([value.__func__, value.__self__], space, inside)
    elif hasattr(value, "__dict__"):
        yield from _inside(type(value), space, inside)
        if type(value).__module__.split(".")[0] in {"deeplimit", str(space.get("__name__"))}:
            yield from _inside(vars(value), space, inside)


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
    """Files of the user's modules from which a study's file has imported modules, functions or classes."""
    modules = [
        value if isinstance(value, ModuleType) else sys.modules.get(getattr(unwrapped(value), "__module__", None) or "")
        for value in list(space.values())
    ]
    own = Path(str(space.get("__file__", ""))).resolve()
    found = {file for module in modules if (file := users_file(module)) and file != own}
    return sorted(found)


def _follow(names: set[str], space: Mapping[str, Any], found: dict[str, str]) -> None:
    for name in sorted(names & set(space)):
        if not name.startswith("__"):
            _reach(space[name], space, found, name)


def _shown(value: Any) -> str:
    """A constant as a message can show it: itself where it is short, else its fingerprint."""
    text = repr(value)
    simple = isinstance(value, (bool, int, float, str, list, tuple, dict, range))
    if simple and len(text) <= MOST_SHOWN and " at 0x" not in text and "tensor" not in text and "array" not in text:
        return text
    return of_text(plain(value))

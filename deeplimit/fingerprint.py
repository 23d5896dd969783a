"""Fingerprints: a short text that differs wherever the rows of two sweeps might differ.

It covers what the function that makes a row can reach: its own code and that of the functions of its file that it
calls, the constants that they name, data by their bytes, the versions of this package and of the libraries that
compute, and the source of the package's mathematics. Constants that only claims or figures use do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
import pickle
import secrets
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
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
MEASUREMENT = "the measurement"  # a name that nothing in a file can have
REGISTRIES = {"deeplimit.activation": "ACTIVATIONS", "deeplimit.loss": "LOSSES"}  # of what users add by name
NOT_OF_A_BODY = ("__dict__", "__weakref__", "__module__", "__doc__")
LEAVES = (bool, int, float, complex, str)
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
            if users_file(thing):
                self._note(name, _of_module(thing))
        elif isinstance(thing, (FunctionType, type)):
            self._visit_code(thing, name)
        elif isinstance(thing, functools.partial):
            self._note(name, of_text(plain(thing)))
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
            self._note(name, _source(code))
        else:  # of another module: a library's, which its version tells, or the user's, which its file tells
            home = sys.modules.get(code.__module__)
            self._note(
                name, f"{code.__module__}.{code.__qualname__} {_of_module(home) if users_file(home) else ''}".strip()
            )
        if isinstance(code, FunctionType) and (own or wrapped is not None):
            self._visit_held(code, name)
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
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, BuiltinFunctionType):
        return [str(value.__module__), value.__qualname__]
    if isinstance(value, (functools.partial, MethodType, FunctionType, type)) or hasattr(value, "__wrapped__"):
        return _plain_code(value, inside)
    return _plain_object(value, inside)


def _plain_code(value: Any, inside: tuple[int, ...]) -> Any:
    """A function by its source and what it holds, a class by its source; those of libraries by their name."""
    if isinstance(value, functools.partial):
        return ["partial", *(plain(part, inside) for part in (value.func, value.args, value.keywords))]
    if isinstance(value, MethodType):
        return ["method", plain(value.__func__, inside), plain(value.__self__, inside)]
    wrapped = [plain(value.__wrapped__, inside)] if hasattr(value, "__wrapped__") else []
    if not isinstance(value, (FunctionType, type)):
        return wrapped
    if not _of_user(value.__module__):
        return [f"{value.__module__}.{value.__qualname__}", *wrapped]
    cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or () if _is_bound(cell)]
    held = [cells, getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
    return [_source(value), *(plain(part, inside) for part in held), *wrapped]


def _is_bound(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _of_user(module: str | None) -> bool:
    """Whether a module is a study, a script, a notebook, or a file of the user's."""
    name = module or ""
    return name == "__main__" or name.startswith(STUDY_MODULES) or users_file(sys.modules.get(name)) is not None


def _plain_object(value: Any, inside: tuple[int, ...]) -> Any:
    """An array, a table, a dataclass, an object of this package or of the user's; any other by its pickle."""
    kind = type(value)
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor
        value = value.detach().cpu().numpy()
    if hasattr(value, "to_numpy"):  # a table, or a column or index of one
        names = [list(getattr(value, part)) for part in ("columns", "index") if hasattr(value, part)]
        return ["table", plain(names, inside), plain(value.to_numpy(), inside)]
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        content = plain(value.tolist(), inside) if value.dtype.hasobject else digest(value.tobytes())
        return [str(value.dtype), list(getattr(value, "shape", ())), content]
    name = kind.__qualname__ if _of_user(kind.__module__) else f"{kind.__module__}.{kind.__qualname__}"
    if is_dataclass(value):
        return [name, {field.name: plain(getattr(value, field.name), inside) for field in fields(value)}]
    if kind.__module__.split(".")[0] == "deeplimit" or _of_user(kind.__module__):
        cached = {key for key, entry in vars(kind).items() if isinstance(entry, functools.cached_property)}
        slots = {key: getattr(value, key) for key in getattr(kind, "__slots__", ()) if hasattr(value, key)}
        attributes = {**getattr(value, "__dict__", {}), **slots}
        return [name, {key: plain(entry, inside) for key, entry in sorted(attributes.items()) if key not in cached}]
    if hasattr(value, "dist") and hasattr(value, "kwds"):  # a law of SciPy, whose pickle has a random state
        return [name, value.dist.name, plain(value.args, inside), plain(value.kwds, inside)]
    if hasattr(value, "_updated_ctor_param"):  # a family of laws of SciPy
        return [name, value.name]
    if hasattr(value, "get_state"):  # a generator of random numbers
        return [name, plain(value.get_state(), inside)]
    return [name, _pickled(value)]


def _pickled(value: Any) -> str:
    """The digest of an object's pickle; one that cannot be pickled is told apart from all others, to be safe."""
    try:
        return digest(pickle.dumps(value, protocol=4))
    except Exception:  # whatever the object's own code raises
        return secrets.token_hex(LENGTH // 2)


def unwrapped(function: Any) -> Any:
    """The function behind a cache or another wrapper; anything else as it is."""
    return inspect.unwrap(function) if callable(function) else function


def _source(thing: Any) -> str:
    """The code of a function or class without comments, layout and docstring; else its bytes or its attributes."""
    code = [digest(repr(list(_bytecode(thing.__code__))).encode())] if isinstance(thing, FunctionType) else []
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or a lambda in the middle of an expression
        entries = vars(thing).items() if isinstance(thing, type) else ()
        bodies = [[key, plain(entry, (id(thing),))] for key, entry in entries if key not in NOT_OF_A_BODY]
        return digest(repr([code, bodies]).encode())
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    several = code if getattr(thing, "__name__", "") == "<lambda>" else []  # of which a line may have two
    return digest("".join([ast.unparse(tree), *several]).encode())


def _bytecode(code: CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _bytecode(constant)
        else:
            yield repr(constant)


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
        if not isinstance(value, (FunctionType, type)) or _of_user(value.__module__):
            yield value
    elif isinstance(value, Mapping):
        for entry in [*value.keys(), *value.values()]:
            yield from _held(entry, inside)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for entry in value:
            yield from _held(entry, inside)
    elif hasattr(value, "__dict__") and not isinstance(value, ModuleType):
        if _of_user(type(value).__module__):
            yield type(value)
        if type(value).__module__.split(".")[0] == "deeplimit" or _of_user(type(value).__module__):
            yield from _held(vars(value), inside)


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


def _of_module(module: ModuleType | None) -> str:
    """The fingerprint of a user's module and of all the user's files that it imports."""
    file = users_file(module)
    return of_text([digest(path.read_bytes()) for path in _with_imports([file])]) if file else ""


def beside(space: Mapping[str, Any]) -> list[Path]:
    """The user's files that a study's file imports, and those that these import, inside functions too."""
    own = Path(str(space.get("__file__", ""))).resolve()
    return [path for path in _with_imports([own] if own.is_file() else []) if path != own]


def _with_imports(files: list[Path]) -> list[Path]:
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


def _shown(value: Any) -> str:
    """A constant as a message can show it: itself where it is short and of numbers and texts, else its fingerprint."""
    return repr(value) if _is_simple(value) and len(repr(value)) <= MOST_SHOWN else of_text(plain(value))


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

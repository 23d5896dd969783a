"""Canonical forms: a value as numbers, texts and lists that JSON writes alike in every process, and their digests."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import pickle
import secrets
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from deeplimit import imports

LENGTH = 16  # hexadecimal digits of a digest that are kept
PLAIN = (bool, int, float, complex, str, range, bytes, bytearray, memoryview, Mapping, list, tuple, set, frozenset)
UNPARSED = (OSError, TypeError, SyntaxError)  # typed at a prompt, or a lambda in the middle of an expression
NOT_OF_A_BODY = ("__dict__", "__weakref__", "__module__", "__doc__")


def digest(content: bytes) -> str:
    """The first digits of the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def of_text(value: Any) -> str:
    """The fingerprint of a value that JSON can write, such as what `plain` returns."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass"))


def plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """A value as numbers, texts and lists that JSON writes alike in every process; arrays as their digest.

    Parameters
    ----------
    within
        Identities of the objects that this one is a part of; a cycle ends there.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if id(value) in within:
        return "a cycle"
    inside = (*within, id(value))
    if isinstance(value, (ModuleType, BuiltinFunctionType)):
        return _plain_name(value, inside)
    if is_code(value):
        return _plain_code(value, inside)
    if not isinstance(value, PLAIN):
        return _plain_object(value, inside)
    own = attributes(value) if imports.is_users(type(value).__module__) else {}
    return [*_plain_content(value, inside), *([_plain_attributes(own, inside)] if own else [])]


def _plain_content(value: Any, inside: tuple[int, ...]) -> list[Any]:
    """A number, a text, bytes or a container, beside the name of its type."""
    if isinstance(value, Mapping):
        entries = [[plain(key, inside), plain(entry, inside)] for key, entry in value.items()]
        return [type(value).__name__, *sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(plain(entry, inside) for entry in value)]
    if isinstance(value, (set, frozenset)):
        return ["set", *sorted(json.dumps(plain(entry, inside), sort_keys=True) for entry in value)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ["bytes", digest(bytes(value))]
    kind = next(kind for kind in (bool, int, float, complex, str, range) if isinstance(value, kind))
    return [kind.__name__, repr(value) if kind is range else kind.__repr__(value)]


def _plain_name(value: Any, inside: tuple[int, ...]) -> Any:
    """A module by its name; a compiled function by its own, and what it is bound to."""
    if isinstance(value, ModuleType):
        return ["module", value.__name__]
    bound = getattr(value, "__self__", None)
    held = [] if bound is None or isinstance(bound, ModuleType) else [plain(bound, inside)]
    return [str(value.__module__), value.__qualname__, *held]


def attributes(value: Any) -> dict[str, Any]:
    """What an object holds, in its dictionary and in the slots of its class and of their bases, without caches."""
    kinds = type(value).__mro__
    cached = {
        key for kind in kinds for key, entry in vars(kind).items() if isinstance(entry, functools.cached_property)
    }
    named = [vars(kind).get("__slots__", ()) for kind in kinds]
    slots = [key for names in named for key in ([names] if isinstance(names, str) else names)]
    held = {key: getattr(value, key) for key in slots if key not in ("__dict__", "__weakref__") and hasattr(value, key)}
    return {
        key: entry for key, entry in sorted({**getattr(value, "__dict__", {}), **held}.items()) if key not in cached
    }


def _plain_attributes(held: Mapping[str, Any], inside: tuple[int, ...]) -> dict[str, Any]:
    return {key: plain(entry, inside) for key, entry in held.items()}


def unwrapped(value: Any) -> Any:
    """The function in a cache or another wrapper, and in one of NumPy's; anything else as it is."""
    for name in ("__wrapped__", "pyfunc"):
        if callable(value) and name in getattr(value, "__dict__", {}):
            return getattr(value, name)
    return value


def is_code(value: Any) -> bool:
    """Whether it is a function, a method or a class, or a wrapper of one."""
    return isinstance(value, (functools.partial, MethodType, FunctionType, type)) or unwrapped(value) is not value


def _plain_code(value: Any, inside: tuple[int, ...]) -> Any:
    """A function by its source and what it holds, a class by its source; those of libraries by their name."""
    if isinstance(value, functools.partial):
        return ["partial", *(plain(part, inside) for part in (value.func, value.args, value.keywords))]
    if isinstance(value, MethodType):
        return ["method", plain(value.__func__, inside), plain(value.__self__, inside)]
    wrapped = [] if unwrapped(value) is value else [plain(unwrapped(value), inside)]
    if not isinstance(value, (FunctionType, type)):
        return wrapped
    if not imports.is_users(value.__module__):
        return [f"{value.__module__}.{value.__qualname__}", *wrapped]
    cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or () if _is_bound(cell)]
    held = [cells, getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
    return [source(value, inside[:-1]), *(plain(part, inside) for part in held), *wrapped]


def _is_bound(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


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
    name = kind.__qualname__ if imports.is_users(kind.__module__) else f"{kind.__module__}.{kind.__qualname__}"
    if is_dataclass(value):
        return [name, {field.name: plain(getattr(value, field.name), inside) for field in fields(value)}]
    if kind.__module__.split(".")[0] == "deeplimit" or imports.is_users(kind.__module__):
        return [name, _plain_attributes(attributes(value), inside)]
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


def parsed(thing: Any) -> ast.Module:
    """The code of a function or class as a tree; one of `UNPARSED` is raised where it has none."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def source(thing: Any, within: tuple[int, ...] = ()) -> str:
    """The code of a function or class without comments, layout and docstring; else its bytes or its attributes.

    With the values that a class has, which may have been set after its body.
    """
    inside = (*within, id(thing))
    code = [digest(repr(list(_bytecode(thing.__code__))).encode())] if isinstance(thing, FunctionType) else []
    try:
        tree = parsed(thing)
    except UNPARSED:
        entries = vars(thing).items() if isinstance(thing, type) else ()
        bodies = [[key, plain(entry, inside)] for key, entry in entries if key not in NOT_OF_A_BODY]
        return digest(repr([code, bodies]).encode())
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    several = code if getattr(thing, "__name__", "") == "<lambda>" else []  # of which a line may have two
    return digest("".join([ast.unparse(tree), *several, *_values(thing, inside)]).encode())


def _values(thing: Any, inside: tuple[int, ...]) -> list[str]:
    """Numbers, texts, containers and arrays that are attributes of a class, but those that Python puts there."""
    entries = vars(thing).items() if isinstance(thing, type) else ()
    return [
        json.dumps([key, plain(entry, inside)], sort_keys=True)
        for key, entry in sorted(entries)
        if not key.startswith("__")
        and not (key.startswith("_") and key.endswith("_"))
        and (isinstance(entry, PLAIN) or hasattr(entry, "tobytes") or hasattr(entry, "detach"))
    ]


def _bytecode(code: CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _bytecode(constant)
        else:
            yield repr(constant)

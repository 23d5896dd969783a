"""Changes of a study's constants from outside its file: `--quick`, and `--set NAME=VALUE` with the type checked."""

from __future__ import annotations

import ast
import difflib
import typing
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Namespace = dict[str, Any]
MOST_SHOWN = 100  # characters of a value in a message


class ChangeError(ValueError):
    """A constant that cannot be set so; the message says what could be."""


def parsed(assignments: Iterable[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values of texts "NAME=VALUE", each a Python literal of the type that the constant has.

    Parameters
    ----------
    namespace
        The study's names; the CAPITALS are its constants.

    Raises
    ------
    ChangeError
        For a text without "=", a name that is not a constant, a value that is no literal or of another type, and a
        constant that is no number, text, truth value, list or mapping of these.

    Examples
    --------
    >>> from deeplimit import changes
    >>> changes.parsed(["DEPTHS=[8, 16]", "ALPHA=1"], {"DEPTHS": [4], "ALPHA": 0.1})
    {'DEPTHS': [8, 16], 'ALPHA': 1.0}
    """
    found = {}
    for text in assignments:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise ChangeError(f"--set takes NAME=VALUE, got {_short(text)}")
        found[name] = _converted(name, _literal(value), _present(name, namespace))
    return found


def _present(name: str, namespace: Mapping[str, Any]) -> Any:
    capitals = [key for key in namespace if key.isupper() and not key.startswith("_") and key != "QUICK"]
    if name not in capitals:
        close = difflib.get_close_matches(name.upper(), capitals, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        known = ", ".join(sorted(capitals)) or "none"
        raise ChangeError(f"the study has no constant {_short(name)}{hint} There are {known}")
    return namespace[name]


def _literal(text: str) -> Any:
    """A Python literal; anything else, such as a bare word, is a text."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of the parser, on texts such as "1or 2"
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _converted(name: str, value: Any, present: Any) -> Any:
    """The value as the type of the present one, or an error."""
    kind = type(present)
    if isinstance(present, bool) or isinstance(value, bool):
        fits = isinstance(value, bool) and isinstance(present, bool)
    elif isinstance(present, float):
        fits = isinstance(value, (int, float))
    elif isinstance(present, (int, str)):
        fits = isinstance(value, kind)
    elif isinstance(present, (list, tuple)) and isinstance(value, (list, tuple)):
        return kind(_element(name, entry, present) for entry in value)
    elif isinstance(present, dict) and isinstance(value, dict):
        keys = [_element(f"the keys of {name}", key, list(present)) for key in value]
        return {key: _element(name, value[key], list(present.values())) for key in keys}
    elif isinstance(present, (list, tuple, dict)):
        fits = False
    else:
        raise ChangeError(f"{name} is a {kind.__name__}, which the command line cannot write; edit it in the study")
    if not fits:
        raise ChangeError(f"{name} must be of the type {kind.__name__}, such as {present!r}, got {_short(value)}")
    try:
        return float(value) if isinstance(present, float) else value
    except OverflowError:
        raise ChangeError(f"{name} must be a number below 1.8e308, such as {present!r}, got more") from None


def _short(value: Any) -> str:
    """A value in a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python writes
        return f"a {type(value).__name__} of too many digits"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _element(name: str, entry: Any, present: typing.Sequence[Any]) -> Any:
    """An entry of a list, like one of those that are there."""
    if not present:
        return entry
    error: ChangeError | None = None
    for example in present:
        try:
            return _converted(f"an entry of {name}", entry, example)
        except ChangeError as found:
            error = error or found
    assert error is not None
    raise error


def applied(namespace: Namespace, changes: Mapping[str, Any], text: str | None = None) -> None:
    """Run a study's file again in its names, with constants replaced as soon as they are assigned.

    Whatever the file makes of them, derived constants and functions too, is then made of the new ones. The statement
    that runs the study is left out.

    Parameters
    ----------
    text
        Of the file, where it is not to be read again.

    Raises
    ------
    ChangeError
        If a statement cannot be run with the new constants.
    """
    if not changes:
        return
    file = Path(namespace["__file__"])
    for node in ast.parse(file.read_text(encoding="utf-8") if text is None else text).body:
        if isinstance(node, ast.If) and "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}:
            continue
        try:
            exec(compile(ast.Module([node], []), str(namespace["__file__"]), "exec"), namespace)  # the study's own code
        except Exception as error:  # whatever it raises for constants that it was not written for
            raise ChangeError(
                f"line {node.lineno} of {file.name} cannot be run with {_short(dict(changes))}:"
                f" {type(error).__name__}: {error}"
            ) from error
        namespace.update({name: value for name, value in changes.items() if name in namespace})

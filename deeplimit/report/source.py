"""The source of a study: its question, and what its figures show, read off the syntax and never executed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeplimit import plot

ANY = ".+"  # a part of a name that only running the study would tell
UNKNOWN = "…"  # the same of another text
# Arguments of the functions of `plot` and what they mean, in the order in which a caption tells them.
ROLES = {
    "x": "across: {}",
    "y": "up: {}",
    "z": "colour scale: {}",
    "mean": "line: {}",
    "band": "band: {}",
    "by": "a panel for each {}",
    "hue": "a colour for each {}",
    "lines": "further lines: {}",
    "line": "line: {}",
    "slopes": "straight lines of slope {}",
}


@dataclass(frozen=True)
class Caption:
    """The kind of a figure, as the function that draws it says, and what is across, what is up and so on."""

    kind: str = ""
    roles: str = ""

    @property
    def short(self) -> str:
        """What is across and so on, which tells the kind; or else both."""
        return self.roles if self.roles.startswith("Across") else self.full

    @property
    def full(self) -> str:
        """Both in one text."""
        return " ".join(filter(None, [self.kind, self.roles]))


@dataclass(frozen=True, eq=False)
class Source:
    """What the file of a study says.

    Attributes
    ----------
    question, text
        The first paragraph of its docstring, and the others.
    captions
        What a figure shows, by a pattern of the end of its name.
    """

    question: str = ""
    text: str = ""
    captions: Mapping[str, Caption] = field(default_factory=dict)

    def caption(self, ending: str) -> Caption:
        """What the figure NAME + ending shows; empty where the file does not tell."""
        fitting = [pattern for pattern in self.captions if re.fullmatch(pattern, ending)]
        return self.captions[min(fitting, key=lambda pattern: ANY in pattern)] if fitting else Caption()


def read(path: Path) -> Source:
    """The source of a study.

    Raises
    ------
    OSError, ValueError, SyntaxError
        If the file cannot be read, or is not Python.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    question, _, text = (ast.get_docstring(tree) or "").partition("\n\n")
    return Source(" ".join(question.split()), flowing(text.strip()), dict(_captions(tree)))


def flowing(text: str) -> str:
    """Paragraphs and points in one line each, so that they fit any width; a point "- name   text" is "- name: text".

    Lines that are indented in no point, such as formulas, stay as they are.
    """
    found: list[str] = []
    for line in text.splitlines():
        last = found[-1] if found else ""
        goes_on = last.startswith("- ") if line.startswith(" ") else last and not last.startswith(" ")
        if line.startswith("- "):
            found.append(re.sub(r"^(- \S.*?) {2,}", r"\1: ", line))
        elif line and goes_on:
            found[-1] = f"{last} {line.strip()}"
        else:
            found.append(line)
    return "\n".join(found)


def _captions(tree: ast.Module) -> Iterator[tuple[str, Caption]]:
    """Pattern and caption of each call of a function of `plot` that saves."""
    constants, given = _assigned(tree.body, {}), _given(tree)
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            known = dict(constants)
            for statement in function.body:
                known = _assigned([statement], known)
                for call in ast.walk(statement):
                    if isinstance(call, ast.Call) and _is_plot(call.func):
                        found = _caption(call, known)
                        yield from ((given.get(function.name, "") + ending, said) for ending, said in found)


def _given(tree: ast.Module) -> dict[str, str]:
    """What the study's own functions are given as `save`, where that is more than the name of the study."""
    calls = [c for c in ast.walk(tree) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)]
    texts = [(c.func.id, a) for c in calls if isinstance(c.func, ast.Name) for a in c.args if _is_named_after(a)]
    return {name: ending for name, text in texts if (ending := _ending(text))}


def _is_named_after(text: ast.expr) -> bool:
    """Whether it is a text such as f"{save}_flow"."""
    first = text.values[0] if isinstance(text, ast.JoinedStr) and text.values else None
    return isinstance(first, ast.FormattedValue) and getattr(first.value, "id", "") == "save"


def _is_plot(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "plot"


def _caption(call: ast.Call, known: Mapping[str, Any]) -> Iterator[tuple[str, Caption]]:
    saved = [_ending(word.value) for word in call.keywords if word.arg == "save"]
    if not saved or saved[0] is None:
        return
    arguments: dict[str, Any] = {}
    for word in call.keywords:
        value = _value(word.value, known)
        if word.arg is not None:
            arguments[word.arg] = value
        elif isinstance(value, dict):
            arguments |= value
    drawn = getattr(plot, call.func.attr, None) if isinstance(call.func, ast.Attribute) else None
    summary = " ".join((inspect.getdoc(drawn) or "").partition("\n\n")[0].split())
    yield saved[0], Caption(summary, _roles(arguments))


def _roles(arguments: Mapping[str, Any]) -> str:
    """What is across, what is up, what the colours and panels are."""
    labels = arguments.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    told = []
    for name, words in ROLES.items():
        value = arguments.get(name)
        shown = labels.get(name) if name in ("x", "y", "z") else None
        shown = shown or _names(value, labels)
        if name == "by" and shown == "panel":
            told.append("several panels")
        elif shown:
            told.append(words.format(shown.rstrip(" ,=")))
    sentence = "; ".join(told)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def _names(value: Any, labels: Mapping[str, str]) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, (_names(part, labels) for part in value)))
    if isinstance(value, str):
        return "" if value == UNKNOWN else str(labels.get(value) or value)
    return str(value).replace("-", "−") if isinstance(value, int | float) else ""


def _ending(save: ast.expr) -> str | None:
    """A pattern of what `save` adds to the name of the study; None for something else."""
    if isinstance(save, ast.Name):
        return ""
    if not isinstance(save, ast.JoinedStr):
        return None
    parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else ANY for p in save.values]
    return "".join(parts[1:]) if _is_named_after(save) else None


def _assigned(statements: list[ast.stmt], known: Mapping[str, Any]) -> dict[str, Any]:
    """The names and what is known of their values after the statements."""
    after = dict(known)
    for statement in statements:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                after[name] = _value(value, after)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.BitOr(), value=value):
                after[name] = _union(after.get(name), _value(value, after))
    return after


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """A literal's value, `UNKNOWN` in the place of what is none."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return known.get(name, UNKNOWN)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, known) for part in parts]
        case ast.Dict(keys=keys, values=values):
            pairs = [(k, v) for k, v in zip(keys, values, strict=True) if isinstance(k, ast.Constant)]
            return {k.value: _value(v, known) for k, v in pairs}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union(_value(left, known), _value(right, known))
        case ast.JoinedStr(values=parts):
            return "".join(str(_value(part, known)) for part in parts)
        case ast.FormattedValue(value=value):
            return _value(value, known)
    return UNKNOWN


def _union(first: Any, second: Any) -> Any:
    return (first if isinstance(first, dict) else {}) | (second if isinstance(second, dict) else {})

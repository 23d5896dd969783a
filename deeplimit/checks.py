"""What arguments must be: one clear sentence for each that is not."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Collection
from typing import Any


def number(name: str, value: Any) -> float:
    """A finite real number; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """A finite number above zero; TypeError or ValueError otherwise."""
    checked = number(name, value)
    if checked <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return checked


def whole(name: str, value: Any, least: int) -> int:
    """A whole number, at least `least`; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def kind(name: str, value: Any, *types: type) -> None:
    """An instance of one of the types; TypeError otherwise."""
    if not isinstance(value, types):
        wanted = " or ".join(t.__name__ for t in types)
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__}")


def new_name(what: str, name: Any, taken: Collection[str], kept: Collection[str], replace: bool) -> None:
    """An identifier that is not taken, or one that may be replaced; TypeError or ValueError otherwise."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"the name of the {what} must be an identifier, as in Python, got {name!r}")
    if name in kept or (name in taken and not replace):
        remedy = "choose another" if name in kept else "choose another, or replace=True"
        raise ValueError(f"the name {name!r} of the {what} is taken; {remedy}")


def known(what: str, name: str, names: Collection[str]) -> None:
    """One of the names; ValueError otherwise."""
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}{meant(name, names)}")


def meant(name: str, names: Collection[str]) -> str:
    """The end of a sentence on an unknown name: the one that is spelt most like it, if any is."""
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""

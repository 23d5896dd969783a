"""Entries of tables: numbers, texts, and what stands where one is missing."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

MISSING = frozenset({"", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "none", "null", "missing", "?", "-", "."})
MISSPELT = re.compile(r"[-+]?(\d+,\d+|\d{1,3}(,\d{3})+(\.\d*)?|\d{1,3}([.'’\s]\d{3})+(,\d*)?)")


def is_missing(entry: Any) -> bool:
    """Whether an entry is empty or one of `MISSING`, in whatever case."""
    return entry is None or str(entry).strip().casefold() in MISSING


def unlabelled(labels: Collection[str]) -> frozenset[str]:
    """The entries of `MISSING` that are no classes among these labels: "-" is one beside "+", "." among symbols."""
    symbols = not any(character.isalnum() for label in labels for character in label)
    return MISSING - ({"-"} if "+" in labels else set()) - ({"."} if symbols else set())


def is_number(entry: Any) -> bool:
    """Whether Python reads an entry as a number, "nan" excepted."""
    try:
        float(entry)
    except (TypeError, ValueError):
        return False
    return not is_missing(entry)


def is_numeric(entry: Any) -> bool:
    """Whether an entry is a number, or meant as one."""
    return is_number(entry) or is_misspelt(entry)


def is_misspelt(entry: Any) -> bool:
    """Whether an entry may have a decimal comma or separators of thousands, as 2,9 or 1,234.5 or 1 234."""
    return MISSPELT.fullmatch(str(entry).strip()) is not None

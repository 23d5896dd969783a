"""Examples in docstrings print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "deeplimit").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_the_verbs_that_a_newcomer_meets_first_have_examples() -> None:
    """Those of README and of the modules behind it."""
    assert {"deeplimit.discrete", "deeplimit.continuum", "deeplimit.study", "deeplimit.claims"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_print_what_they_say(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in names of its own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0 and found.failed == 0

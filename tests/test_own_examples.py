"""The examples of studies/own.md run as they stand and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parent.parent / "studies" / "own.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n([^`]*)```\s*```text\n([^`]*)```", TEXT)
IDS = ["data", "activation", "loss", "layer"]


pytestmark = pytest.mark.usefixtures("registries")


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_an_example_prints_what_the_document_says(example: tuple[str, str]) -> None:
    """There is one for each of the four things that a user can bring; error bars are rounding and may differ."""
    code, printed = example
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "studies/own.md", "exec"), {})
    blank = re.compile(r"± \S+")
    assert blank.sub("±", output.getvalue()) == blank.sub("±", printed)

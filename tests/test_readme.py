"""What README shows is what the package does."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from deeplimit import verify

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n([^`]*)```\s*```text\n([^`]*)```", README)
IDS = ["sweep", "own data", "law", "noise", "uncertainty", "lipschitz", "rough", "ranks"]


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_an_example_prints_what_readme_says(example: tuple[str, str]) -> None:
    """Each Python block runs as it stands and prints the block after it."""
    code, printed = example
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {})
    # the error bars are rounding, which differs from machine to machine
    blank = re.compile(r"± \S+")
    assert blank.sub("±", output.getvalue()) == blank.sub("±", printed)


def test_every_file_that_readme_links_to_exists() -> None:
    """A link that leads nowhere sends the reader away."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_names_every_study() -> None:
    """The table is the way in."""
    assert [path.name for path in (ROOT / "studies").glob("*.py") if path.name not in README] == []


def test_the_study_that_readme_shows_runs_and_makes_its_claim(tmp_path: Path) -> None:
    """As a file of its own, through `deeplimit verify`."""
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "def claims(" in block]
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.py").write_text(code, encoding="utf-8")
    table = verify.run(verify.studies(tmp_path / "studies"), tmp_path / "results", report=lambda line: None)
    assert table[["id", "holds"]].to_numpy().tolist() == [["X1.1", "true"]]

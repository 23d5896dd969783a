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
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "studies/README.md", "results/README.md")
}
PAGES["CONTRIBUTING.md"] = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(code, printed, id=f"{page} {number}")
    for page, text in PAGES.items()
    for number, (code, printed) in enumerate(re.findall(r"```python\n([^`]*)```\s*```text\n([^`]*)```", text))
]


def test_the_pages_have_examples() -> None:
    """The pattern finds them."""
    assert len(EXAMPLES) >= 9


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_an_example_prints_what_its_page_says(
    code: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each Python block runs as it stands and prints the block after it."""
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    # the error bars are rounding, which differs from machine to machine
    blank = re.compile(r"± \S+")
    assert blank.sub("±", output.getvalue()) == blank.sub("±", printed)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_links_to_exists(page: str) -> None:
    """A link that leads nowhere sends the reader away."""
    links = re.findall(r"\]\(([^)#:]+)[^)]*\)", PAGES[page])
    assert links
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


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

"""The command: list, run, plot, table; what it prints, what it ends with, and what it does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deeplimit import cli, study

STUDY = '''"""Does the half shrink?

More about it.
"""
from deeplimit import plot, study

DEPTHS = [8, 16, 32]
QUICK = {"DEPTHS": [8, 16]}
with open(__file__ + ".loaded", "a") as marks:
    marks.write("x")


def measure(depth):
    with open(__file__ + ".rows", "a") as marks:
        marks.write("x")
    return {"value_gap": 3 / depth, "status": "converged: yes"}


def main(save):
    table = study.sweep(measure, save=save, depth=DEPTHS)
    study.record(save, study.constants(globals()))
    plot.curves(table, x="depth", y="value_gap", save=save)


if __name__ == "__main__":
    study.run(main, globals())
'''


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one study, in which one stands."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "halves.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*words: str) -> Result:
    """`deeplimit WORDS`."""
    return CliRunner().invoke(cli.app, list(words))


def marks(home: Path, kind: str) -> int:
    """How often the study was loaded, or a row computed."""
    path = home / "studies" / f"halves.py.{kind}"
    return len(path.read_text()) if path.exists() else 0


def test_list_shows_question_and_state(home: Path) -> None:
    """Those of ./studies, then those that come with the package; nothing is run to know it."""
    done = called("list")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].startswith("halves ") and lines[0].endswith("  Does the half shrink?")
    assert "not run yet" in lines[1] and marks(home, "loaded") == 0
    assert any(line.startswith("depth_limit ") for line in lines)
    assert called("run", "halves").exit_code == 0
    assert "finished 2" in called("list", "--studies", "studies").output
    assert "1 study;" in called("list", "--studies", "studies").output


def test_run_by_name_by_file_and_by_python_are_the_same(home: Path) -> None:
    """Each finds what the others have finished."""
    assert called("run", "halves").exit_code == 0
    table = (home / "results" / "halves.csv").read_bytes()
    assert marks(home, "rows") == 3 and (home / "results" / "halves.png").exists()
    assert "halves is finished: 3 rows" in called("run", "studies/halves.py").output
    assert "halves is finished" in called("run", "halves").output
    done = subprocess.run([sys.executable, "studies/halves.py"], capture_output=True, text=True, check=True)
    assert "halves is finished" in done.stdout
    assert (home / "results" / "halves.csv").read_bytes() == table and marks(home, "rows") == 3


def test_a_finished_study_is_not_even_loaded(home: Path) -> None:
    """So that no problem is built again; after a change of its words it is, but no row is computed."""
    called("run", "halves")
    assert (marks(home, "loaded"), marks(home, "rows")) == (1, 3)
    called("run", "halves")
    assert (marks(home, "loaded"), marks(home, "rows")) == (1, 3)
    path = home / "studies" / "halves.py"
    path.write_text(path.read_text().replace("More about it.", "Less about it."))
    assert "3 of 3 rows are there already" in called("run", "halves").output
    assert (marks(home, "loaded"), marks(home, "rows")) == (2, 3)
    called("run", "halves", "--force")
    assert marks(home, "rows") == 6


def test_a_table_that_was_touched_is_not_finished(home: Path) -> None:
    """An edited table is kept aside and made again from the journal."""
    called("run", "halves")
    table = home / "results" / "halves.csv"
    good = table.read_bytes()
    table.write_bytes(good.replace(b"8", b"9"))
    done = called("run", "halves")
    assert "kept as" in done.output and table.read_bytes() == good and marks(home, "rows") == 3


def test_set_and_quick(home: Path) -> None:
    """Quick goes to a temporary folder, --set to the results, where the record tells it."""
    done = called("run", "halves", "--quick")
    assert done.exit_code == 0 and "quick, not the study itself: DEPTHS = [8, 16]" in done.output
    assert not (home / "results").exists()
    assert called("run", "halves", "--set", "DEPTHS=[4]").exit_code == 0
    assert json.loads((home / "results" / "halves.json").read_text())["constants"]["DEPTHS"] == [4]
    done = called("run", "halves", "--set", "DEPTHS=4")
    assert done.exit_code == 2
    assert done.stderr == "DEPTHS must be of the type list, such as [8, 16, 32], got 4\n"


def test_plot_draws_without_computing(home: Path) -> None:
    """From the journal; the record stays; where rows are missing it says so."""
    done = called("plot", "halves")
    assert done.exit_code == 1 and "there is no table" in done.stderr
    called("run", "halves")
    figure = home / "results" / "halves.png"
    before, record = figure.read_bytes(), (home / "results" / "halves.json").read_bytes()
    figure.unlink()
    assert called("plot", "halves").exit_code == 0
    assert figure.read_bytes() == before and marks(home, "rows") == 3
    assert (home / "results" / "halves.json").read_bytes() == record


def test_plot_draws_from_a_table_that_came_without_a_journal(home: Path) -> None:
    """Such as those of a clone."""
    called("run", "halves")
    for path in (home / "results" / ".rows" / "halves").iterdir():
        path.unlink()
    (home / "results" / "halves.png").unlink()
    assert called("plot", "halves").exit_code == 0 and marks(home, "rows") == 3
    assert (home / "results" / "halves.png").exists()


def test_table_shows_orders_rows_and_columns(home: Path) -> None:
    """Order one beside the gap that halves."""
    called("run", "halves")
    done = called("table", "halves", "--columns", "depth,value_gap,value_gap order")
    assert done.exit_code == 0
    assert [line.split() for line in done.output.splitlines()[1:]] == [
        ["8", "0.375"],
        ["16", "0.1875", "1"],
        ["32", "0.09375", "1"],
    ]
    done = called("table", "halves", "--query", "depth > 8", "--format", "csv")
    assert done.output.splitlines() == [
        "depth,value_gap,status",
        "16,0.1875,converged: yes",
        "32,0.09375,converged: yes",
    ]


def test_errors_are_one_line(home: Path) -> None:
    """What was wrong and what would be right; exit status 2 where the command line was."""
    wrong = {
        ("run", "halvs"): "there is no study 'halvs'; did you mean halves?",
        ("run", "../studies/halves"): "a study is named by letters, digits and underscores or by its .py file",
        ("run", "studies/none.py"): "there is no file studies/none.py",
        ("table", "halves"): "there is no table results/halves.csv; run the study first",
        ("table", "../x"): "a study is named by letters",
        ("list", "--studies", "none"): "there is no folder none; --studies takes the folder of the studies",
        ("verify", "--studies", "none"): "there is no folder none",
    }
    for words, message in wrong.items():
        done = called(*words)
        assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1, words


def test_a_study_that_breaks_down_ends_with_one_line_and_keeps_its_rows(home: Path) -> None:
    """In loading, in main, and without a main."""
    path = home / "studies" / "halves.py"
    path.write_text(STUDY.replace("    plot.curves", "    raise RuntimeError('planted')\n    plot.curves"))
    done = called("run", "halves")
    assert done.exit_code == 1 and done.stderr.startswith("halves failed: RuntimeError: planted (traceback in ")
    assert "RuntimeError: planted" in (home / "results" / "halves.failed" / "main.txt").read_text()
    assert len(study.read(home / "results" / "halves")) == 3
    for text, message in {"def main(": "SyntaxError", "x = 1": "has no function main(save)"}.items():
        path.write_text(text)
        done = called("run", "halves", "--force")
        assert done.exit_code == 1 and message in done.stderr and done.stderr.count("\n") == 1


def test_help_loads_no_library_that_computes() -> None:
    """So that it comes at once."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom deeplimit.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "deeplimit.cli" in loaded
    assert not {"torch", "numpy", "scipy", "pandas", "sklearn", "matplotlib", "deeplimit.study"} & loaded


def test_a_rerun_of_a_finished_study_loads_no_torch(home: Path) -> None:
    """Nor the study, nor anything that draws."""
    called("run", "halves")
    code = (
        "import sys\nfrom deeplimit.cli import app\ntry:\n    app(['run', 'halves'])\nfinally:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "halves is finished" in done.stdout
    assert not {"torch", "scipy", "sklearn", "matplotlib"} & set(done.stdout.split())


def test_claims_are_shown_in_full(home: Path) -> None:
    """By id or by part; an id that is none is answered by one that is."""
    (home / "studies" / "sums.py").write_text(
        '"""Is one one?"""\nfrom deeplimit import study\nfrom deeplimit.claims import Claim\n\n\n'
        "def claims():\n    return [Claim('X1.1', 'one is one', 'arithmetic', 'one', 1, 1, 0.1, 'two')]\n\n\n"
        "def main(save):\n    study.sweep(lambda k: {'one': 1}, save=save, k=[0])\n"
        "    study.record(save, {}, claims=claims())\n\n\nif __name__ == '__main__':\n    study.run(main, globals())\n"
    )
    assert called("verify", "sums", "--jobs", "1").exit_code == 0
    for wanted in ("X1.1", "X1"):
        done = called("claim", wanted)
        assert done.exit_code == 0
        assert done.output.splitlines() == [
            "X1.1  one is one",
            "  true",
            "  compared: one",
            "  observed 1, predicted = 1 ± 0.1",
            "  falsified by: two",
            "  source: arithmetic; study sums",
        ]
    done = called("claim", "X9")
    assert done.exit_code == 2 and done.stderr == "there is no claim 'X9'; an id is like X1.1\n"


def test_verify_and_run_put_results_into_the_same_folder(home: Path) -> None:
    """Beside a folder named studies, into any other; the ledger of the one is not touched by the other."""
    (home / "studies").rename(home / "mine")
    (home / "results").mkdir()
    (home / "results" / "claims.csv").write_text("theirs")
    path = home / "mine" / "halves.py"
    path.write_text(STUDY + "\n\ndef claims(table):\n    return []\n")
    assert called("run", "mine/halves.py").exit_code == 0
    assert (home / "mine" / "results" / "halves.csv").exists()
    called("verify", "--studies", "mine", "--jobs", "1")
    assert (home / "mine" / "results" / "claims.csv").exists()
    assert (home / "results" / "claims.csv").read_text() == "theirs"
    assert "finished 2" in called("list", "--studies", "mine").output

"""The command: list, run, plot, table; what it prints, what it ends with, and what it does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deeplimit import cli, study, verify

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


CLAIM = "claims=[Claim('X1.1', 'a', 'b', 'c', 1, 1, 0, 'd')]"
CLAIMING = STUDY.replace("DEPTHS =", "from deeplimit.claims import Claim\n\nDEPTHS =", 1).replace(
    "constants(globals())", f"constants(globals()), {CLAIM}"
)
STOPPED = '    if depth == 32:\n        raise KeyboardInterrupt\n    return {"value_gap"'


def test_an_interrupted_run_withholds_the_verdicts_of_the_run_before(home: Path) -> None:
    """The record is of three rows, the table has two: neither list, claim, ledger nor report calls it finished."""
    path, folder = home / "studies" / "halves.py", home / "results"
    path.write_text(CLAIMING)
    assert called("run", "halves").exit_code == 0
    verify.write(folder / "claims", verify.gather(folder))
    assert "1 of 1 claim true" in called("list").output
    assert "  true" in called("claim", "X1.1").output
    path.write_text(CLAIMING.replace('    return {"value_gap"', STOPPED))
    assert called("run", "halves", "--force").exit_code == 130
    assert len(study.read(folder / "halves")) == 2 and (folder / "halves.json").exists()
    said = "unfinished, 2 of 3 rows"
    line = called("list").output.splitlines()[1]
    assert line.strip() == f"{said}, claims undecided: the table is not the one that was judged"
    why = f"the table is not the one that was judged: {said}"
    assert f"  undecided, because {why}" in called("claim", "X1.1").output
    assert "1 claim: 0 true, 0 false, 1 undecided" in called("ledger").output
    assert verify.gather(folder)[["holds", "reason"]].to_numpy().tolist() == [["undecided", why]]
    assert called("report").exit_code == 0
    page = (folder / "index.html").read_text()
    assert f"halves: {why}" in page and "<b>0</b> true" in page and "<b>1</b> undecided" in page
    path.write_text(CLAIMING)
    assert called("run", "halves").exit_code == 0
    assert "1 of 1 claim true" in called("list").output and "  true" in called("claim", "X1.1").output


def test_a_record_without_its_table_and_one_of_an_earlier_version(home: Path) -> None:
    """The one tells that it is missing or was changed, the other, which has no digest, stays as it was."""
    (home / "studies" / "halves.py").write_text(CLAIMING)
    called("run", "halves")
    table, record = home / "results" / "halves.csv", home / "results" / "halves.json"
    good = table.read_text()
    table.write_text(good.replace("0.375", "0.376"))
    assert "halves.csv was changed since, claims undecided" in called("list").output
    table.write_text(good[:-3])
    assert "halves.csv cannot be read, claims undecided" in called("list").output
    table.unlink()
    assert "halves.csv is missing, claims undecided" in called("list").output
    content = json.loads(record.read_text())
    record.write_text(json.dumps({name: value for name, value in content.items() if name != "table"}))
    assert "1 of 1 claim true" in called("list").output


def test_a_table_is_found_where_the_run_has_put_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, by relative and by absolute path, in a folder of any name and in the folder studies itself."""
    (home / "mine").mkdir()
    (home / "mine" / "own.py").write_text(STUDY)
    for name in ("own", "halves"):
        (home / "results").mkdir(exist_ok=True)
        (home / "results" / f"{name}.csv").write_text("another\n1\n")
    assert called("run", "mine/own.py").exit_code == 0
    called("run", "halves", "--force")
    assert (home / "mine" / "results" / "own.csv").exists()
    for words in (["mine/own.py"], [str(home / "mine" / "own.py")], ["own", "--studies", "mine"], ["halves"]):
        assert called("table", *words).output.split()[:2] == ["depth", "value_gap"], words
    monkeypatch.chdir(home / "studies")
    for words in (["halves.py"], ["halves", "--studies", "."]):
        assert called("table", *words).output.split()[:2] == ["depth", "value_gap"], words


def test_a_table_without_a_study_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a sweep in a notebook, with and without a folder studies beside it; no name leads out."""
    (home / "elsewhere" / "results").mkdir(parents=True)
    (home / "elsewhere" / "results" / "mine.csv").write_text("k,one\n0,1\n")
    (home / "elsewhere" / "outside.csv").write_text("k,one\n0,1\n")
    monkeypatch.chdir(home / "elsewhere")
    assert called("table", "mine").output.split() == ["k", "one", "0", "1"]
    (home / "elsewhere" / "studies").mkdir()
    assert called("table", "mine").output.split() == ["k", "one", "0", "1"]
    assert "there is no study 'other'" in called("table", "other").stderr
    assert "a study is named by" in called("table", "../outside").stderr


def test_failed_rows_are_told_by_the_last_line_the_status_and_the_list(home: Path) -> None:
    """The others are kept, the next study is run, and once the row succeeds all is well."""
    path = home / "studies" / "halves.py"
    (home / "studies" / "other.py").write_text(STUDY)
    path.write_text(STUDY.replace("    return {", "    assert depth != 16, 'planted'\n    return {"))
    done = called("run", "halves", "other")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"1 of 3 rows failed, tracebacks in {home / 'results' / 'halves.failed'}"
    assert (home / "results" / "halves.failed" / "1.txt").exists() and (home / "results" / "other.json").exists()
    assert "1 of 3 rows failed" in called("list").output.splitlines()[1]
    path.write_text(STUDY)
    assert called("run", "halves").exit_code == 0
    assert "failed" not in called("list").output.splitlines()[1]


def test_the_reason_of_a_failed_row_is_named_when_main_fails_after_it(home: Path) -> None:
    """A figure of a column that no row has is not what went wrong first."""
    path = home / "studies" / "halves.py"
    path.write_text(STUDY.replace("    return {", "    raise ValueError('planted')\n    return {"))
    done = called("run", "halves")
    assert done.exit_code == 1 and done.stderr.startswith("halves failed: TableError: the table has no column")
    assert "; 3 of 3 rows failed before, the first: ValueError: planted (traceback in" in done.stderr


def test_a_changed_study_is_told_as_such(home: Path) -> None:
    """By run, and by plot where the rows are those of other constants."""
    done = called("run", "halves", "--set", "DEPTHS=[8]")
    assert "changed by --set, not the study itself: DEPTHS = [8]; its claims may fail\n" in done.output
    done = called("plot", "halves")
    hint = "halves.csv has 1 of 3 rows: run the study first, or draw with the same --set or --quick as that run\n"
    assert done.exit_code == 1 and done.stderr.endswith(hint)
    assert called("plot", "halves", "--set", "DEPTHS=[8]").exit_code == 0


def test_a_study_goes_on_when_nobody_reads_what_it_prints(home: Path) -> None:
    """As behind `| head`: the reader is gone before the first row, and all rows, record and figure are there."""
    for words in ([sys.executable, "studies/halves.py"], [sys.executable, "-m", "deeplimit.cli", "run", "halves"]):
        with subprocess.Popen([*words, "--force"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0
        assert len(study.read(home / "results" / "halves")) == 3
        for suffix in (".json", ".png"):
            (home / "results" / f"halves{suffix}").unlink()


def test_a_claim_in_small_letters_and_a_query_without_rows(home: Path) -> None:
    """The id that is meant; that no row fits is said beside the output, which stays a table."""
    (home / "studies" / "halves.py").write_text(CLAIMING)
    called("run", "halves")
    verify.write(home / "results" / "claims", verify.gather(home / "results"))
    assert called("claim", "x1.1").stderr == "there is no claim 'x1.1'; did you mean X1.1?\n"
    assert called("claim", "x1").stderr == "there is no claim 'x1'; did you mean X1?\n"
    done = called("table", "halves", "--query", "depth > 2000", "--format", "json")
    assert done.exit_code == 0 and json.loads(done.stdout) == [] and done.stderr == "no rows\n"
    assert called("table", "halves").stderr == ""

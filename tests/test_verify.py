"""Verifying: every study that makes claims runs, its claims reach the ledger, and the exit status tells the verdict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from deeplimit import verify
from deeplimit.cli import app

STUDY = '''"""Does one equal one?"""
import sys
import pandas as pd
from deeplimit import study
from deeplimit.claims import Claim, doubts

OBSERVED = {observed}
STATUS = "{status}"
QUICK = {{"OBSERVED": 1.0}}

def claims(table):
    return [Claim("{id}", "one is one", "here", "one", 1.0, table["one"].iloc[0], 0.1, "two", doubts(table))]

def main(save="x"):
    table = study.sweep(lambda k: dict(one=OBSERVED, status=STATUS), save=save, k=[0])
    {before}
    study.record(save, study.constants(globals()), claims=claims(table))
    {after}

if __name__ == "__main__":
    study.run(main, globals())
'''


def write(
    folder: Path,
    name: str,
    id: str,
    observed: float = 1.0,
    status: str = "converged: yes",
    before: str = "",
    after: str = "",
) -> None:
    """A study that claims that `observed` is one."""
    folder.mkdir(exist_ok=True)
    text = STUDY.format(id=id, observed=observed, status=status, before=before, after=after)
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def command(tmp_path: Path, *options: str) -> tuple[int, str, pd.DataFrame]:
    """Exit status, output and ledger of `deeplimit verify` on the studies in tmp_path."""
    words = [
        "verify",
        *options,
        "--studies",
        str(tmp_path / "studies"),
        "--results",
        str(tmp_path / "out"),
        "--jobs",
        "2",
    ]
    done = CliRunner().invoke(app, words)
    path = tmp_path / "out" / "claims.csv"
    return done.exit_code, done.output, verify.read(tmp_path / "out") if path.exists() else pd.DataFrame()


def test_all_claims_true_is_success(tmp_path: Path) -> None:
    """A benchmark, which defines no claims, is not run."""
    write(tmp_path / "studies", "one", "T1.1")
    (tmp_path / "studies" / "benchmark.py").write_text("raise SystemExit('must not run')")
    code, output, table = command(tmp_path)
    assert code == 0, output
    assert table["id"].tolist() == ["T1.1"] and table["study"].tolist() == ["one"]
    assert "1 claim: 1 true, 0 false, 0 undecided" in output
    assert not list((tmp_path / "out").glob("*.log"))


def test_a_false_claim_fails_and_outweighs_an_undecided_one(tmp_path: Path) -> None:
    """Exit status 1; both are in the ledger and printed, with what falsified the one and the reason of the other."""
    write(tmp_path / "studies", "one", "T1.1", observed=1.2)
    write(tmp_path / "studies", "two", "T1.2", status="saddle: no")
    code, output, table = command(tmp_path)
    assert code == 1
    assert dict(zip(table["id"], table["holds"], strict=True)) == {"T1.1": "false", "T1.2": "undecided"}
    assert "falsified by two" in output and "saddle: no" in output


def test_an_undecided_claim_has_an_exit_status_of_its_own(tmp_path: Path) -> None:
    """3: neither success nor failure."""
    write(tmp_path / "studies", "one", "T1.1", status="not converged: stalled")
    write(tmp_path / "studies", "two", "T1.2")
    code, _, table = command(tmp_path)
    assert code == 3
    assert table["reason"].tolist() == ["not converged: stalled", ""]


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_study_that_breaks_down_is_an_undecided_row_and_keeps_its_log(tmp_path: Path, where: str) -> None:
    """Also where an earlier run left claims; claims recorded before the breakdown stay."""
    write(tmp_path / "studies", "one", "T1.1")
    write(tmp_path / "studies", "two", "T1.2")
    assert command(tmp_path)[0] == 0
    write(tmp_path / "studies", "one", "T1.1", **{where: "raise RuntimeError('broken')"})
    code, output, table = command(tmp_path)
    assert code == 3
    kept = ["T1.1", "T1.2"] if where == "after" else ["T1.2"]
    assert sorted(table["id"]) == sorted([*kept, "one"])
    assert "RuntimeError: broken" in table.set_index("id").loc["one", "reason"]
    assert "one: FAILED" in output and (tmp_path / "out" / "one.log").exists()


def test_an_id_that_is_taken_twice_and_a_record_that_cannot_be_read_are_undecided(tmp_path: Path) -> None:
    """Neither takes the other claims with it; a record of a study that is gone is passed over."""
    write(tmp_path / "studies", "one", "T1.1")
    write(tmp_path / "studies", "two", "T1.1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gone.json").write_text('{"claims": [{"id": "T9.9"}]}')
    code, _, table = command(tmp_path)
    assert code == 3
    assert dict(zip(table["id"], table["holds"], strict=True)) == {"T1.1": "true", "T1.1 two": "undecided"}
    for broken in ("", "[]", '{"claims": [{"id": "T9.9"}]}', '{"claims": "none"}'):
        (tmp_path / "out" / "two.json").write_text(broken)
        table = verify.gather(tmp_path / "out", studies=["one", "two"])
        assert table["id"].tolist() == ["T1.1", "two"] and table["holds"].tolist() == ["true", "undecided"]
        assert "two.json is not the record of a study" in table["reason"].iloc[1]
    assert verify.exit_code(verify.gather(tmp_path)) == 3


def test_the_studies_of_a_tree_run_with_the_package_of_that_tree(tmp_path: Path) -> None:
    """Not with the one that is installed."""
    (tmp_path / "deeplimit").mkdir()
    (tmp_path / "deeplimit" / "__init__.py").write_text("raise RuntimeError('the package of this tree')")
    write(tmp_path / "studies", "one", "T1.1")
    code, _, table = command(tmp_path)
    assert code == 3 and "the package of this tree" in table["reason"].item()


def test_quick_sizes_are_used_and_one_study_can_be_run_alone(tmp_path: Path) -> None:
    """QUICK makes the observation true; the ledger keeps the claims of the studies that did not run."""
    write(tmp_path / "studies", "one", "T1.1", observed=1.2)
    write(tmp_path / "studies", "two", "T1.2", observed=1.2)
    assert command(tmp_path)[0] == 1
    code, output, table = command(tmp_path, "--quick", "one")
    assert code == 1 and table["holds"].tolist() == ["true", "false"]
    assert "claims of earlier runs: those of two" in output


def test_wrong_command_lines_are_told_in_one_sentence(tmp_path: Path) -> None:
    """An unknown study, and a folder without any: exit status 2."""
    write(tmp_path / "studies", "one", "T1.1")
    code, output, _ = command(tmp_path, "three")
    assert code == 2 and "three" in output
    with pytest.raises(ValueError, match="no study with claims"):
        verify.studies(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        verify.studies(tmp_path / "nowhere")
    (tmp_path / "out").write_text("a file")
    assert command(tmp_path)[0] == 2


def test_other_studies_leave_the_results_of_the_package_alone(tmp_path: Path) -> None:
    """Without --results theirs lie beside them; a study named twice runs once, one that is no Python is a row."""
    write(tmp_path / "studies", "one", "T1.1")
    (tmp_path / "studies" / "two.py").write_text("this is no Python")
    done = CliRunner().invoke(app, ["verify", "--studies", str(tmp_path / "studies"), "one", "one", "two"])
    assert done.exit_code == 3, done.output
    table = verify.read(tmp_path / "results")
    assert table["id"].tolist() == ["T1.1", "two"]
    assert "SyntaxError" in table["reason"].iloc[1]


def test_the_ledger_is_put_between_the_marks_of_a_page(tmp_path: Path) -> None:
    """What stood there is replaced, the rest stays; a page without marks is left alone."""
    write(tmp_path / "studies", "one", "T1.1")
    command(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{verify.START}\nformer\n{verify.END}\nafter\n", encoding="utf-8")
    words = ["ledger", "--results", str(tmp_path / "out"), "--into"]
    assert CliRunner().invoke(app, [*words, str(page)]).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "T1.1" in text and "former" not in text
    page.write_text("no marks", encoding="utf-8")
    assert CliRunner().invoke(app, [*words, str(page)]).exit_code == 2
    assert page.read_text(encoding="utf-8") == "no marks"


def test_the_command_is_installed(tmp_path: Path) -> None:
    """`deeplimit --help` lists what there is."""
    words = [str(Path(sys.executable).with_name("deeplimit")), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "verify" in done.stdout and "ledger" in done.stdout

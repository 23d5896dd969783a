"""Whatever is given from outside, right or wrong, ends in a right result or in one line; no results folder is harmed.

Every example is asked in a folder with one finished study. Its results must be the same afterwards, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from deeplimit import Data, Problem, claims, cli, data, journal, store, study, tables, verify, workers
from deeplimit.claims import Claim
from deeplimit.store import StoreError

ROOT = Path(__file__).resolve().parents[1]
STUDY = '''"""Does the half shrink?"""
import deeplimit
from deeplimit import study
from deeplimit.claims import Claim

RATE = 0.5
COUNT = 3
NAME = "moons"
YES = True
DEPTHS = [8, 16, 32]
PAIR = (1, 2.0)
TIMES = {"iris": 1.0}
THING = object()
LAST = DEPTHS[-1]
QUICK = {"DEPTHS": [8, 16]}


def measure(depth):
    return {"data": "moons", "value_gap": RATE / depth, "error_bar": 1e-9, "status": "converged: yes"}


def main(save):
    table = study.sweep(measure, save=save, depth=[8, 16, 32])
    half = Claim("Z1.1", "a half shrinks", "derived here", "gap", 0, table["value_gap"].iloc[-1], 1, "growth")
    study.record(save, study.constants(globals()), claims=[half])


if __name__ == "__main__":
    study.run(main, globals())
'''
CONSTANTS = ("RATE", "COUNT", "NAME", "YES", "DEPTHS", "PAIR", "TIMES", "THING", "LAST")
EVIL = "__import__('pathlib').Path('harm').touch()"  # makes a file where it is executed
# Texts that have broken programs before.
NASTY = (
    *("", " ", "\0", "\n", "\t", "=", "-", "--", "..", "/", "~", "%s", "{}", "\\", "'", '"', "σ", "\udcff", "\ufeff"),
    *("nan", "inf", "-inf", "1e999", "9" * 400, "9" * 5000, "0x10", "1_000", "1j", "None", "True", "b'x'", "r'\\d'"),
    *("[" * 300, "(" * 300 + ")" * 300, "{", "[1, [2, [3]]]", "[[]]", "{1: {2: 3}}", "[True]", "['a', 1]", "{[]: 1}"),
    *("lambda: 1", EVIL, f"[{EVIL}]", f"({EVIL}) or 3", "().__class__", "1or 2", "f'{1}'", "*", "x" * 3000, "a;b"),
)
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
WORDS = st.sampled_from(NASTY) | st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def examples(number: int) -> Callable[[Any], Any]:
    """So many, always the same ones; the folder of a test serves them all, for none of them changes it."""
    allowed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    phases = [Phase.explicit, Phase.generate]
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=allowed,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study above, run once, and a ledger; not to be changed."""
    home = tmp_path_factory.mktemp("finished")
    (home / "studies").mkdir()
    (home / "studies" / "halves.py").write_text(STUDY)
    before = Path.cwd()
    os.chdir(home)
    try:
        assert called("run", "halves").exit_code == 0
        store.write(home / "results" / verify.LEDGER, verify.gather(home / "results"))
        assert called("ledger").exit_code == 0
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, in which one stands; its results are the same afterwards, and nothing was executed."""
    place = tmp_path / "home"
    shutil.copytree(finished, place)
    monkeypatch.chdir(place)
    before = snapshot(place / "results")
    yield place
    assert snapshot(place / "results") == before
    assert not list(tmp_path.rglob("harm"))


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, journals included, with its digest; the lock is none's work."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def called(*words: str) -> Result:
    """`deeplimit WORDS`."""
    return CliRunner().invoke(cli.app, list(words))


def is_told(done: Result) -> bool:
    """Whether it was refused in one line, or in the box in which a wrong option is told."""
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output
    if done.exit_code == 0:
        return False
    box = "─ Error" in done.stderr
    assert done.stderr.endswith("\n") and (box or len(done.stderr.splitlines()) == 1), done.stderr
    assert done.exit_code in (1, 2, 3) and len(done.stderr.split()) >= 4, done.stderr
    return True


# The command line


@examples(45)
@given(
    name=st.sampled_from([*CONSTANTS, "QUICK", "rate", "RATES", "__builtins__", "", "σ", "Ｒ"]),
    equals=st.sampled_from(["=", "=", "=", " = ", "==", ""]),
    value=WORDS | LITERALS.map(repr),
)
def test_a_constant_is_set_to_what_was_said_or_the_line_says_why_not(
    home: Path, name: str, equals: str, value: str
) -> None:
    """The value arrives in the record as a literal of the constant's type, or no row is computed."""
    folder = home / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    done = called("run", "halves", "--set", f"{name}{equals}{value}", "--results", str(folder))
    if is_told(done):
        assert done.exit_code == 2 and not folder.exists()
        assert len(done.stderr) < 700
        return
    constant = json.loads((folder / "halves.json").read_text())["constants"][name]
    kinds = {"RATE": float, "COUNT": int, "NAME": str, "YES": bool, "TIMES": dict, "LAST": int}
    assert type(constant) is kinds.get(name, list) and len(store.read(folder / "halves")) == 3


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("command", ["run", "plot", "table"])
def test_a_name_that_is_none_is_told(home: Path, command: str, value: str) -> None:
    """Each of the nasty texts; none is the name of a study."""
    assert is_told(called(command, value)), value


@examples(60)
@given(
    command=st.sampled_from(["run", "plot", "table", "verify"]),
    name=st.sampled_from(
        [
            *("../halves", "../../etc/passwd", "/etc/passwd", "studies/halves", "halves/", "./halves", "halves.py/.."),
            *("halves.csv", "halves ", "halveѕ", "Halves", "halves\0", "halves.py.py", "..py", ".py", "x" * 300),
            *("studies", "studies/", "results", "/", "//halves.py\0", "../studies/none.py", "/dev/null", "halves*"),
        ]
    )
    | st.text(min_size=1, max_size=20)
    | st.text(max_size=8).map(lambda text: f"{text}.py"),
)
def test_a_name_cannot_lead_out_of_its_folder(home: Path, command: str, name: str) -> None:
    """A study has a plain name or is a .py file; anything else is told."""
    assume(not name.startswith("-"))
    assert is_told(called(command, name))


@examples(40)
@given(
    content=st.sampled_from(
        [
            *(b"", b"\0", b"\xff\xfe", b"def main(", b"main = 3", b"import nothing_of_this_name", b"raise ValueError"),
            *(b"raise SystemExit('out')", b"exit(3)", b"1/0", b"QUICK = 3\ndef main(save): pass", b"\x80abc"),
            *(b"def main(): pass", b"def main(save): raise KeyError()", b"(" * 2000, b"def main(save): 1/0\n" * 2),
            b"from deeplimit import study\ndef main(save): study.sweep(3, save=save, k=[1])",
            b"from deeplimit import study\ndef main(save): study.sweep(len, save=save)",
            b"def main(save):\n  raise ValueError('one\\ntwo\\nthree')",
        ]
    )
    | st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode),
    options=st.sampled_from([(), ("--quick",), ("--force",), ("--set", "K=3")]),
)
def test_a_file_that_is_no_study_is_told(home: Path, content: bytes, options: tuple[str, ...]) -> None:
    """Not Python, not loadable, without a main, or with one that breaks."""
    (home / "other").mkdir(exist_ok=True)
    (home / "other" / "broken.py").write_bytes(content)
    told = is_told(called("run", "other/broken.py", "--results", "scratch", *options))
    assert told or content.startswith(b"QUICK")
    assert not is_told(called("list", "--studies", "other"))
    assert not list((home / "scratch").glob("*.csv"))


def test_folders_and_links_named_as_studies_are_no_harm(home: Path) -> None:
    """A folder x.py is not listed; the results of a linked study lie beside the link, not beside its target."""
    (home / "studies" / "folder.py").mkdir()
    (home / "studies" / "gone.py").symlink_to(home / "nowhere.py")
    (home / "elsewhere" / "studies").mkdir(parents=True)
    (home / "elsewhere" / "studies" / "target.py").write_text(STUDY)
    (home / "studies" / "link.py").symlink_to(home / "elsewhere" / "studies" / "target.py")
    assert "folder" not in called("list", "--studies", "studies").stdout
    assert is_told(called("run", "folder")) and is_told(called("run", "gone"))
    assert is_told(called("verify", "folder"))
    assert not is_told(called("run", "link"))
    made = [home / "results" / f"link.{kind}" for kind in ("csv", "json")]
    assert all(path.exists() for path in made)
    assert not (home / "elsewhere" / "results").exists()
    for path in made:  # the fixture compares the rest
        path.unlink()
    shutil.rmtree(home / "results" / ".rows" / "link")


@examples(30)
@given(
    command=st.sampled_from(
        [("list",), ("run", "halves"), ("plot", "halves"), ("table", "halves"), ("ledger",), ("verify", "halves")]
    ),
    option=st.sampled_from(["--results", "--studies"]),
    value=st.sampled_from(["studies/halves.py", "results/halves.csv/x", "/dev/null", "/proc/1/nothing", *NASTY[:4]]),
)
def test_a_folder_that_is_none_is_told(home: Path, command: tuple[str, ...], option: str, value: str) -> None:
    """A file, a folder below a file, a name with a NUL, none at all."""
    assume((command, option) != (("ledger",), "--studies"))
    assume((command[0], option, value[:5]) != ("list", "--results", "/proc"))  # which may not exist yet
    assume((command[0], option, value[-1:]) != ("list", "--results", "x"))
    assert is_told(called(*command, option, value))


@examples(25)
@given(
    option=st.sampled_from(["--jobs", "--cluster", "--unknown", "--quick=", "--force"]),
    value=st.sampled_from(NASTY) | st.integers(max_value=0).map(str),
)
def test_an_option_that_is_none_is_told(home: Path, option: str, value: str) -> None:
    """A number of jobs that is none, addresses that are none, options there are not."""
    assert is_told(called("run", "halves", "--results", "scratch", option, value))
    assert not list((home / "scratch").glob("*.csv"))


@examples(25)
@given(
    address=st.sampled_from(
        [
            *("tcp://127.0.0.1", "tcp://", "127.0.0.1:8786", "localhost", "http://127.0.0.1:80", "inproc://1/2:3"),
            *("tcp://127.0.0.1:99999", "tcp://127.0.0.1:0", "tcp://127.0.0.1:-1", "tcp://127.0.0.1:x", "file:///tmp"),
            *("tcp://[::1", "tcp://a b:1", "tcp://x:1\n", "tcp://127.0.0.1:8786/../..", "[]", "3", "σ://x:1"),
        ]
    )
    | st.text(max_size=20)
)
def test_an_address_that_is_none_is_told_and_starts_no_workers(home: Path, address: str) -> None:
    """Without a look at the network."""
    assume(address)
    with pytest.raises(workers.WorkersError, match="the cluster must be a dask scheduler's address"):
        list(workers.compute(len, {0: {}}, cluster=address))


def test_a_scheduler_that_does_not_answer_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port at which nobody listens."""
    monkeypatch.setattr(workers, "CONNECT", 0.3)
    with socket.socket() as taken:  # bound, but it does not listen: it is refused, and nobody else has it
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = called("run", "halves", "--results", "scratch", "--cluster", address)
    assert is_told(done) and f"no dask scheduler answers at {address}" in done.stderr


# Questions to tables


COLUMNS = st.sampled_from(["depth", "data", "value_gap", "status", "nothing", "index", "True", "@x", "`depth`"])
PIECES = st.sampled_from(
    [
        *(">", ">=", "==", "!=", "in", "not in", "and", "or", "not", "(", ")", "[", "]", ",", "+", "*", "**", "-", "/"),
        *(
            "//",
            "%",
            "~",
            "&",
            "|",
            "^",
            "@",
            "=",
            ":=",
            ".",
            "if",
            "else",
            "lambda x:",
            "8",
            "16.5",
            "'moons'",
            "9**9",
        ),
        *("9**9**9**9", "'a' * 10**10", "__import__('os')", "depth.__class__", "[i for i in (1,)]", "nan", "\0"),
        *(
            EVIL,
            "@pd",
            "10**64",
            "[8] * 10**10",
            "data * 10**10",
            "f'{depth}'",
            "b''",
            "...",
            "None",
            "1e999",
            "9" * 5000,
        ),
    ]
)


@examples(70)
@given(st.lists(COLUMNS | PIECES, min_size=1, max_size=7).map(" ".join) | WORDS)
def test_a_query_is_answered_or_told(home: Path, query: str) -> None:
    """At once, and nothing in it is executed; the rows of an answer are rows of the table."""
    assume(query)
    table = store.read("halves")
    try:
        found = tables.chosen(table, query)
    except tables.TableError as error:
        assert len(str(error).splitlines()) == 1
    else:
        pd.testing.assert_frame_equal(found, table.loc[found.index])
    is_told(called("table", "halves", "--query", query))


@pytest.mark.parametrize(
    "query",
    ["2**3**2 > depth", "depth**65 > 1", "'a' * 3 == data", "data * 3 == 'x'", "[8] * 3 == depth", "(2**9)**9 > 1"],
)
def test_a_query_that_could_take_for_ever_is_told(home: Path, query: str) -> None:
    """Towers of powers and texts multiplied are refused before they are computed; these would be quick."""
    done = called("table", "halves", "--query", query)
    assert is_told(done) and "a query calculates with numbers, and with powers up to 64" in done.stderr


@examples(30)
@given(columns=st.lists(COLUMNS | WORDS, max_size=4).map(",".join), form=st.sampled_from(tables.FORMATS) | WORDS)
def test_columns_and_formats_are_found_or_told(home: Path, columns: str, form: str) -> None:
    """Each format of each choice; twice the same column is once that column."""
    done = called("table", "halves", "--columns", columns, "--format", form, "--no-orders")
    known = {name.strip() for name in columns.split(",") if name.strip()} <= set(store.read("halves"))
    assert is_told(done) != (known and form in tables.FORMATS)


# Result files


def spoilt(content: bytes) -> st.SearchStrategy[bytes]:
    """A file cut off, with changed or doubled bytes, followed by others, or another altogether."""
    cut = st.integers(0, len(content) - 1).map(lambda end: content[:end])
    changed = st.tuples(st.integers(0, len(content) - 1), st.binary(max_size=4)).map(
        lambda change: content[: change[0]] + change[1] + content[change[0] + 1 :]
    )
    doubled = st.integers(0, len(content)).map(lambda start: content + content[start:])
    return cut | changed | doubled | st.binary(max_size=50).map(lambda end: content + end) | st.binary(max_size=80)


def harm_pickled() -> bytes:
    """A pickle that makes a file where it is loaded."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (Path("harm"),)

    folder = Path("evil.npz")
    np.savez(folder, value=np.array([Evil()], dtype=object))
    return folder.read_bytes()


TABLE = b"data,value_gap,depth,error_bar,status\nmoons,0.0625,8,1e-09,converged: yes\nmoons,0.03125,16,1e-09,x\n"


@examples(40)
@given(
    spoilt(TABLE)
    | st.sampled_from(
        [
            *(
                b"\n",
                b",\n",
                b",,\n1,2,3\n",
                b"depth\nx\n8\n",
                b"depth,value_gap\n8,x\n16,1\n",
                b"depth\n",
                b"depth,gap\n\n",
            ),
            *(
                b"depth,gap,gap order\n8,1,1\n16,2,2\n",
                b'depth\n"8\n',
                b"depth,error_bar,value_gap\n8,x,1.5\n16,y,2.5\n",
            ),
            *(
                b"depth,gap\n8,1.0\n8,1.0\n",
                b"depth,gap\n0,1.0\n-8,2.0\n",
                b"depth,gap\nnan,0.5\n8,inf\n",
                b"\xef\xbb\xbfa\n",
            ),
            *(
                f"depth,note\n8,{EVIL}\n".encode(),
                b"depth,depth\n1,2\n",
                b"depth\n" + b"9" * 5000 + b"\n",
                b"=1+1\n2\n",
            ),
        ]
    ),
    st.sampled_from(
        [(), ("--query", "depth > 8"), ("--format", "json"), ("--format", "latex"), ("--columns", "depth")]
    ),
)
def test_a_spoilt_table_is_shown_as_it_is_or_told(home: Path, content: bytes, options: tuple[str, ...]) -> None:
    """Never more and never fewer rows than it has lines; the file is as before."""
    folder = home / "spoilt"
    folder.mkdir(exist_ok=True)
    (folder / "halves.csv").write_bytes(content)
    is_told(called("table", "halves", "--results", str(folder), *options))
    is_told(called("plot", "halves", "--results", str(folder)))
    assert not is_told(called("list", "--studies", "studies", "--results", str(folder)))
    assert (folder / "halves.csv").read_bytes() == content
    try:
        found = store.read(folder / "halves")
    except StoreError as error:
        assert len(str(error).splitlines()) == 1 and "is not a table of a study" in str(error)
    else:
        assert len(found) <= content.count(b"\n") + content.count(b"\r") - 1


def test_a_table_that_was_cut_anywhere_is_never_taken_for_a_whole_one(home: Path) -> None:
    """At every byte but the ends of lines, where what is left is a table; a row more or less in a line is told."""
    path = home / "cut" / "halves.csv"
    path.parent.mkdir()
    ends = [place + 1 for place, byte in enumerate(TABLE) if byte == ord("\n")]
    for end in range(len(TABLE)):
        path.write_bytes(TABLE[:end])
        if end in ends:
            assert len(store.read(path.with_suffix(""))) == ends.index(end)
        else:
            with pytest.raises(StoreError, match="is not a table of a study"):
                store.read(path.with_suffix(""))
    for wrong in (b"a,b\n1,2,3\n", b"a,b\n1\n", b"a\n1,2\n3,4\n"):
        path.write_bytes(wrong)
        with pytest.raises(StoreError, match=r"row 1 has \d entries instead of"):
            store.read(path.with_suffix(""))


@examples(40)
@given(st.data())
def test_a_record_that_is_spoilt_is_told_and_its_study_is_run_again(home: Path, data: st.DataObject) -> None:
    """Any field of another type, or the file cut off or no JSON: no command breaks, and a run mends it."""
    right = (home / "results" / "halves.json").read_bytes()
    content = json.loads(right)
    field = data.draw(st.sampled_from([*content, "claims", "axes", "files", "failed", "table", "stamp"]))
    claim = {**content["claims"][0], data.draw(st.sampled_from([*content["claims"][0]])): data.draw(JSON)}
    wrong = data.draw(
        st.sampled_from([b"", b"[]", b"3", b"null", b"[" * 100_000, b"\xff", b'{"claims": [[]]}', b"{" * 9])
        | st.integers(0, len(right) - 1).map(lambda end: right[:end])
        | JSON.map(lambda value: json.dumps(content | {field: value}).encode())
        | st.sampled_from([json.dumps({key: value for key, value in content.items() if key != field}).encode()])
        | st.sampled_from([json.dumps(content | {"claims": [claim]}).encode()])
        | JSON.map(lambda value: json.dumps(value).encode())
    )
    folder = home / "spoilt"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home / "results", folder)
    path = folder / "halves.json"
    path.write_bytes(wrong)
    assert not is_told(called("list", "--studies", "studies", "--results", str(folder)))
    is_told(called("table", "halves", "--results", str(folder)))
    ledger = verify.gather(folder)
    assert set(ledger["holds"]) <= {"true", "false", "undecided"}
    assert isinstance("\n".join(verify.lines(ledger)) + claims.markdown(ledger), str)
    assert path.read_bytes() == wrong
    assert not is_told(called("run", "halves", "--results", str(folder)))
    assert (folder / "halves.csv").read_bytes() == (home / "results" / "halves.csv").read_bytes()
    mended = json.loads(path.read_bytes())
    if mended.get("stamp") == content["stamp"] and "axes" in mended:
        assert not is_told(called("table", "halves", "--results", str(folder)))


@examples(40)
@given(st.data())
def test_a_journal_that_is_spoilt_costs_rows_and_nothing_else(home: Path, data: st.DataObject) -> None:
    """Cut, flipped, lengthened, mixed with another, no text at all: the run computes what is missing, bit for bit."""
    (journal,) = (home / "results" / ".rows" / "halves").glob("*.jsonl")
    right = journal.read_bytes()
    crafted = [
        line(content, journal.stem)
        for content in (
            {"key": 3, "row": {}},
            {"row": {"value_gap": 5.0}},
            {"key": "x", "row": [1]},
            {"parts": 3},
            ["row"],
            {"key": "x", "row": {"value_gap": [1]}},
        )
    ]
    wrong = data.draw(spoilt(right) | st.lists(st.sampled_from([*crafted, *right.splitlines(True)])).map(b"".join))
    folder = home / "spoilt"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home / "results", folder)
    (folder / ".rows" / "halves" / journal.name).write_bytes(wrong)
    (folder / "halves.json").unlink()
    done = called("run", "halves", "--results", str(folder))
    assert not is_told(done), done.output
    assert (folder / "halves.csv").read_bytes() == (home / "results" / "halves.csv").read_bytes()


def line(content: Any, name: str) -> bytes:
    """A line of a journal with the right checksum, whatever it says."""
    text = json.dumps(content)
    return f"{hashlib.sha256(f'{name} {text}'.encode()).hexdigest()[:8]} {text}\n".encode()


def test_lines_of_another_journal_are_not_taken_for_ones_own(home: Path, tmp_path: Path) -> None:
    """The same point measured with another constant has the same key, and another checksum."""
    one, two = (journal.opened(tmp_path / "t", {"RATE": rate}) for rate in ("1", "2"))
    one.add("point", {"value": 1.0})
    two.add("point", {"value": 2.0})
    two.add("more", {"value": 2.5})
    one.path.write_bytes(one.path.read_bytes() + two.path.read_bytes().splitlines(True)[1] * 2)
    assert journal.opened(tmp_path / "t", {"RATE": "1"}).rows == {"point": {"value": 1.0}}
    kept = one.path.with_suffix(journal.BROKEN)
    assert kept.read_bytes() == two.path.read_bytes().splitlines(True)[1] * 2


@examples(40)
@given(st.data())
def test_a_ledger_that_is_spoilt_is_told(home: Path, data: st.DataObject) -> None:
    """It is printed as it is, or one line says what is wrong; the page it was to go into is as before, or whole."""
    folder = home / "spoilt"
    folder.mkdir(exist_ok=True)
    right = (home / "results" / "claims.csv").read_bytes()
    wrong = data.draw(
        spoilt(right)
        | st.sampled_from(
            [b"id,holds\nZ1,true\n", right.replace(b"Z1.1", b"1.1"), right.replace(b",1,", b",x,"), b"\n", b"id\n"]
        )
    )
    page = data.draw(
        st.sampled_from([f"{verify.START}\nwas here\n{verify.END}\n".encode(), b"", b"\xff", verify.END.encode() * 2])
    )
    (folder / "claims.csv").write_bytes(wrong)
    (folder / "page.md").write_bytes(page)
    is_told(called("ledger", "--results", str(folder)))
    told = is_told(called("ledger", "--results", str(folder), "--into", str(folder / "page.md")))
    after = (folder / "page.md").read_bytes()
    assert (after == page) if told else (after.startswith(verify.START.encode()) and b"was here" not in after)
    assert is_told(called("ledger", "--results", str(folder), "--into", str(folder / "none" / "page.md")))


@pytest.mark.parametrize("name", ["halves.csv", "halves.json", "claims.csv", ".rows"])
def test_nothing_pickled_is_loaded(home: Path, name: str) -> None:
    """An NPZ with objects, or its pickle alone, in place of each file; the file that it would make is not there."""
    for content in (harm_pickled(), EVIL.encode(), f"@{EVIL}\n1\n".encode(), json.dumps({"axes": EVIL}).encode()):
        folder = home / "spoilt"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "results", folder)
        path = folder / name if name != ".rows" else next((folder / ".rows" / "halves").glob("*.jsonl"))
        path.write_bytes(content)
        for words in (["table", "halves"], ["list"], ["ledger"], ["plot", "halves"], ["run", "halves"]):
            is_told(called(*words, "--results", str(folder)))
        with pytest.raises(ValueError, match="allow_pickle=False"):
            dict(np.load("evil.npz"))
    assert not (home / "harm").exists()
    sources = [path.read_text() for folder in ("deeplimit", "studies") for path in (ROOT / folder).rglob("*.py")]
    assert not [
        text for text in sources if "allow_pickle=True" in text or "pickle.load" in text or "torch.load" in text
    ]


# From Python


@examples(60)
@given(
    save=st.sampled_from(["", ".", "..", "/", "a/..", "x\0y", 3, None, b"x", ["x"], "t"]),
    jobs=st.sampled_from([None, 0, -1, 1.5, "2", True, [1]]),
    cluster=st.sampled_from([None, "x", 3]),
    axis=st.sampled_from([[1], [], "abc", 3, None, b"x", {"a": 1}, np.array([1.0])]),
    measure=st.sampled_from([lambda k: {"value": 1.0}, 3, None, "x"]),
)
def test_a_sweep_with_wrong_arguments_is_told(
    tmp_path: Path, save: Any, jobs: Any, cluster: Any, axis: Any, measure: Any
) -> None:
    """A ValueError or TypeError that says what it takes, before anything is written."""
    place = tmp_path / save if save == "t" else save
    right = callable(measure) and jobs is None and cluster is None and isinstance(axis, (list, dict, np.ndarray))
    if right and len(axis) and (save is None or save == "t"):
        assert len(study.sweep(measure, save=place, k=axis)) == 1
        shutil.rmtree(tmp_path / ".rows", ignore_errors=True)
        (tmp_path / "t.csv").unlink(missing_ok=True)
        return
    with pytest.raises((ValueError, TypeError, workers.WorkersError)) as found:
        study.sweep(measure, save=place, jobs=jobs, cluster=cluster, k=axis)
    assert len(str(found.value).splitlines()) == 1
    assert any(word in str(found.value) for word in ("must", "needs"))
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize(
    ("constants", "given_claims", "message"),
    [
        (3, [], "constants must be a mapping"),
        ({}, 3, "claims must be a list"),
        ({}, "abc", "claims must be a list"),
        ({}, [3], "claims must be a list of Claim, got 3"),
        ({}, [{"id": "Z1"}], "claims must be a list of Claim"),
    ],
)
def test_a_record_with_wrong_arguments_is_told(tmp_path: Path, constants: Any, given_claims: Any, message: str) -> None:
    """Nothing is written."""
    with pytest.raises(TypeError, match=message):
        study.record(tmp_path / "t", constants, claims=given_claims)
    assert not list(tmp_path.iterdir())


def test_constants_with_any_keys_are_recorded(tmp_path: Path) -> None:
    """JSON has texts alone as keys."""
    path = study.record(tmp_path / "t", {"SEEDS": {("moons", 1): 3, 2: np.float64(0.5), None: (1,)}, "X": "\udcff"})
    assert json.loads(path.read_text())["constants"]["SEEDS"] == {"('moons', 1)": 3, "2": 0.5, "None": [1]}


@examples(40)
@given(
    field=st.sampled_from(["id", "statement", "source", "quantity", "falsified_by", "relation", "doubts", "tolerance"]),
    value=st.sampled_from([3, None, ["a"], {"a": 1}, b"x", (3,), -1.0, "", "x"]),
)
def test_a_claim_with_a_wrong_field_is_told(field: str, value: Any) -> None:
    """What is taken can be printed, and written into the ledger."""
    right = {"id": "Z1", "statement": "s", "source": "d", "quantity": "q", "falsified_by": "f"}
    numbers = {"predicted": 1.0, "observed": 1.0, "tolerance": 0.1}
    try:
        claim = Claim(**{**right, **numbers, field: value})  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert claim.holds in ("true", "false", "undecided") and str(claim)
        assert len(claims.markdown(claims.ledger({"t": [claim]}))) > 0


ARRAYS = st.sampled_from(
    [
        *(None, 3, "abc", [], [[]], [[1, 2], [3]], [["a"]], [[None]], [[1j]], [[float("nan")]], [[float("inf")]]),
        *([[1.0]], [1.0], [[1.0], [2.0]], np.zeros((0, 2)), np.zeros((2, 2, 2)), np.array([[object()]]), {"x": 1}),
        *(pd.DataFrame({"a": ["x"]}), b"xx", [[10**400]], np.zeros(2, dtype="datetime64[s]"), {1, 2}, open),
    ]
)


@examples(80)
@given(x=ARRAYS, y=ARRAYS)
def test_data_that_are_none_are_told(x: Any, y: Any) -> None:
    """What is taken has as many rows of finite numbers in x as in y."""
    try:
        found = Data(x, y)
    except (ValueError, TypeError) as error:
        assert len(str(error).splitlines()) == 1 and "must" in str(error)
    else:
        assert len(found.x) == len(found.y) and found.x.isfinite().all() and found.y.isfinite().all()


def test_a_misspelt_data_set_is_answered_with_the_one_that_is_meant() -> None:
    """After the known ones; a name like none of them gets no guess."""
    with pytest.raises(ValueError, match=r"got 'mons'; did you mean 'moons'\?$"):
        data.load("mons")
    with pytest.raises(ValueError, match=r"got 'mnist'$"):
        data.load("mnist")


OPTIONS: dict[str, list[Any]] = {
    "data": [None, 3, [[1.0]], "moons"],
    "activation": [None, 3, "nothing", "", ["tanh"], object()],
    "loss": [None, 3, "nothing", ["logistic"]],
    "alpha": [0, -1, float("nan"), float("inf"), "x", None, {"K": 1}, {"Q": 1}, [], True, {"K": "x"}, 1j],
    "tau": [0, -1, float("nan"), "x", None, {"K": -1}, {"W": 1}, []],
    "trainable": ["", "Q", "KK", 3, None, ["K"], "kb"],
    "reduction": ["max", None, 3, ""],
    "drop_hypotheses": ["yes", 1, None],
}


@pytest.mark.parametrize(("option", "value"), [(name, value) for name, values in OPTIONS.items() for value in values])
def test_a_problem_with_a_wrong_option_is_told(option: str, value: Any) -> None:
    """Every option, with every wrong value."""
    arguments: dict[str, Any] = {"data": Data([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0]), option: value}
    with pytest.raises((ValueError, TypeError)) as found:
        Problem(arguments.pop("data"), **arguments)
    assert len(str(found.value).splitlines()) == 1 and len(str(found.value)) > 15


# The real command


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "deeplimit.cli", "run", "../x"),
        ("-m", "deeplimit.cli", "run", "halves", "--set", "RATE=\udcff"),
        ("-m", "deeplimit.cli", "table", "halves", "--query", f"{EVIL} == 1"),
        ("-m", "deeplimit.cli", "table", "halves", "--query", "1or 2"),
        ("studies/halves.py", "--set", f"RATE={EVIL}"),
        ("studies/halves.py", "--results", "studies/halves.py"),
    ],
)
def test_the_command_itself_ends_with_one_line(home: Path, words: tuple[str, ...]) -> None:
    """In a process of its own, with warnings as they are."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_a_path_of_undecodable_bytes_is_printed(home: Path) -> None:
    """Whatever the screen can show."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "deeplimit.cli", "run", "halves", "--results", "out\udcff"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0 and done.stderr == b"" and b"table, record and figures are in out" in done.stdout
    assert not is_told(called("list", "--results", "out\udcff"))

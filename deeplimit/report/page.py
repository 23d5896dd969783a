"""The page: everything in a folder of results in one file of HTML, the same file for the same results."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from deeplimit import claims, store, verify
from deeplimit.report import cells, figures, source
from deeplimit.store import StoreError, write_atomically

PAGE = "index.html"
FIRST = 10  # rows of a table that are shown at once
VERDICTS = ("true", "false", "undecided")
OWN_KEYS = (  # of every record
    *("study", "finished", "constants", "claims", "tables"),
    *("versions", "commit", "machine", "command"),
)
POLICY = "default-src 'none'; img-src data:; base-uri 'none'"  # of what the browser may load, besides style and script
UNREADABLE = (StoreError, OSError, ValueError, TypeError, AttributeError, KeyError, SyntaxError)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Section:
    """What the page tells of one study.

    `helpers` are the tables that only figures and claims need, as the record names them, with their numbers of rows;
    `problems` are the files that are missing or cannot be read.
    """

    name: str
    source: source.Source
    record: Mapping[str, Any]
    tables: Sequence[cells.Table]
    helpers: Mapping[str, int]
    figures: Sequence[figures.Figure]
    problems: Sequence[str]
    verdicts: Mapping[str, int] = field(default_factory=dict)

    @property
    def constants(self) -> cells.Table | None:
        """The constants that the study ran with."""
        return self._pairs("constants")

    @property
    def remarks(self) -> list[cells.Table]:
        """Everything else that the study recorded: orders, certificates, notes."""
        return [cells.from_remark(k, v) for k, v in self.record.items() if k not in OWN_KEYS and _says(v)]

    @property
    def made(self) -> cells.Table | None:
        """How the results were made: when, from which commit, with which versions, on which machine."""
        told: dict[str, Any] = {k: self.record[k] for k in ("finished", "commit") if k in self.record}
        if "command" in self.record:
            command = self.record["command"]
            told["command"] = " ".join(map(str, command)) if isinstance(command, list) else command
        for name in ("machine", "versions"):
            part = self.record.get(name, {})
            told |= {str(k).replace("_", " "): v for k, v in part.items()} if isinstance(part, dict) else {name: part}
        return cells.table("record", ["", "value"], told.items()) if told else None

    def _pairs(self, name: str) -> cells.Table | None:
        found = self.record.get(name)
        return cells.table(name, ["name", "value"], found.items()) if isinstance(found, dict) and found else None


def write(results: Path, studies: Path | None = None) -> Path:
    """Write the report of a folder of results.

    What is missing or cannot be read is named on the page; a study's file is read, never executed.

    Parameters
    ----------
    results
        Folder of tables, records, figures and the ledger.
    studies
        Folder of the studies, of which the page tells the questions; by default `studies` beside the results.

    Returns
    -------
    Path of the page, `results/index.html`.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    results = Path(results)
    for folder in [results, *([studies] if studies is not None else [])]:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}; name the one that `deeplimit verify` wrote or read")
    path = results / PAGE
    write_atomically(path, render(results, studies or results.resolve().parent / "studies"))
    return path


def render(results: Path, studies: Path) -> str:
    """The text of the page."""
    owners = owned(results, studies)
    ledger, problems = read_ledger(results)
    sections = [_section(name, files, results, studies, ledger) for name, files in sorted(owners.items())]
    for section in sections:
        problems += [f"{section.name}: {problem}" for problem in section.problems]
    environment = Environment(
        loader=PackageLoader("deeplimit.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"packed": _packed, "coded": _coded}
    style, script = (_read_part(name) for name in ("page.css", "page.js"))
    finished = sorted(filter(None, (_moment(section.record.get("finished")) for section in sections)))
    return environment.get_template("page.html.j2").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"{POLICY}; style-src {_hash(style)}; script-src {_hash(script)}",
        counts={verdict: int((ledger["holds"] == verdict).sum()) for verdict in VERDICTS},
        ledger=[_line(row) for _, row in ledger.iterrows()],
        ledger_studies=sorted(set(ledger["study"])),
        sections=sections,
        problems=problems,
        finished=[moment.strftime("%d %B %Y").lstrip("0") for moment in (finished[:1] + finished[-1:])],
        commits=_commits(sections),
        first=FIRST,
    )


def _commits(sections: Iterable[Section]) -> list[tuple[str, list[str]]]:
    """Each commit that results come from, with the studies that ran at it; first that of most of them."""
    studies: defaultdict[str, list[str]] = defaultdict(list)
    for section in sections:
        if section.record.get("commit"):
            studies[str(section.record["commit"])].append(section.name)
    return sorted(studies.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def _coded(text: str) -> Markup:
    """A text whose `names of code` are marked as such."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text))))


def _says(remark: Any) -> bool:
    """Whether there is anything in a remark: empty lists, one for each data set, say nothing."""
    if isinstance(remark, dict | list):
        return any(_says(part) for part in (remark.values() if isinstance(remark, dict) else remark))
    return remark is not None


def _read_part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the browser is told to run or apply: this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _packed(table: cells.Table) -> Markup:
    """The rows beyond the first as JSON that is safe inside <script>: mark, then the cells."""
    rows = [[mark, *(c.packed for c in row)] for mark, row in zip(table.marks, table.rows, strict=True)]
    text = json.dumps(rows[FIRST:], ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=None)


def owned(results: Path, studies: Path) -> dict[str, list[Path]]:
    """The files of each study: those named as it, or as it with more words behind an underscore.

    A file belongs to the study with the longest name that fits; a table or figure that fits none is a study of its own.
    """
    files = sorted(path for kind in ("csv", "json", "png") for path in results.glob(f"*.{kind}"))
    files = [path for path in files if path.stem != verify.LEDGER]
    sources = {path.stem for path in studies.glob("*.py")} if studies.is_dir() else set()
    names = sources | {path.stem for path in files if path.suffix == ".json"}
    found: dict[str, list[Path]] = {name: [] for name in names}
    for path in sorted(files, key=lambda path: (len(path.stem), path)):
        fitting = [name for name in found if path.stem == name or path.stem.startswith(f"{name}_")]
        found.setdefault(max(fitting, key=len, default=path.stem), []).append(path)
    return found


def read_ledger(results: Path) -> tuple[pd.DataFrame, list[str]]:
    """The ledger as it was written, or as the records say where it was not; and what is wrong with it."""
    try:
        recorded = verify.gather(results)
    except UNREADABLE as error:
        recorded, problems = claims.ledger({}), [f"the claims of the records cannot be gathered: {error}"]
    else:
        problems = []
    path = results / f"{verify.LEDGER}.csv"
    if not path.exists():
        return _clean(recorded), [*problems, f"there is no {path.name}: the ledger is made from the records"]
    try:
        written = _clean(verify.read(results)[[*claims.COLUMNS, *claims.REMARKS]])
    except UNREADABLE as error:
        return _clean(recorded), [
            *problems,
            f"{path.name} cannot be read, the ledger is made from the records: {error}",
        ]
    known = {tuple(row) for row in written[["study", "id", "holds"]].to_numpy()}
    others = [row for row in _clean(recorded)[["study", "id", "holds"]].to_numpy() if tuple(row) not in known]
    if others:
        named = ", ".join(dict.fromkeys(row[0] for row in others))
        problems.append(f"{path.name} is not what the records say of {named}; `deeplimit verify` writes it anew")
    return written, problems


def _clean(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as numbers, all else as text."""
    texts = {name: table[name].astype(str) for name in table.columns if name not in claims.NUMBERS}
    numbers = {name: pd.to_numeric(table[name], errors="coerce").astype(float) for name in claims.NUMBERS}
    return table.assign(**texts, **numbers)


def _line(row: pd.Series) -> dict[str, Any]:
    """A claim as the page shows it."""
    apart = abs(row["observed"] - row["predicted"])
    used = apart / row["tolerance"] if row["tolerance"] and row["relation"] == "=" else math.nan
    return {
        **{name: row[name] for name in ("id", "statement", "source", "quantity", "study", "falsified_by", "reason")},
        "holds": row["holds"] if row["holds"] in VERDICTS else "undecided",
        "relation": row["relation"],
        **{name: cells.cell(row[name]) for name in claims.NUMBERS},
        "used": cells.cell(f"{used:.2g}" if math.isfinite(used) else ""),
    }


def _section(name: str, files: Iterable[Path], results: Path, studies: Path, ledger: pd.DataFrame) -> Section:
    problems: list[str] = []

    def read(what: Callable[..., T], path: Path, *more: Any) -> T | None:
        try:
            return what(path, *more)
        except UNREADABLE as error:
            problems.append(f"{path.name} cannot be read: {type(error).__name__}: {error}")
            return None

    by_kind: dict[str, list[Path]] = {".csv": [], ".json": [], ".png": []}
    for path in sorted(files):
        by_kind[path.suffix].append(path)
    file = studies / f"{name}.py"
    said = read(source.read, file) if file.exists() else None
    found = said or source.Source()
    if said is not None and not said.question:
        problems.append(f"{file.name} does not say its question")
    records = [read(_record, path) for path in by_kind[".json"] if path.stem == name]
    record = next(filter(None, records), {})
    kept = record.get("tables")
    beside = [path for path in by_kind[".csv"] if isinstance(kept, dict) and path.stem in kept]
    tables = [read(cells.from_csv, path) for path in by_kind[".csv"] if path not in beside]
    counts = {path.name: read(cells.count, path) for path in beside}
    drawn = [read(figures.figure, path, _alt(path, name, found)) for path in by_kind[".png"]]
    for kind, there in (("record", records), ("table", by_kind[".csv"]), ("figure", by_kind[".png"])):
        if not there:
            problems.append(f"there is no {kind}")
    if departure := store.departure(results / name, record):
        problems.append(f"{store.NOT_JUDGED}: {departure}")
    own = ledger[ledger["study"] == name]["holds"]
    return Section(
        name,
        found,
        record,
        [table for table in tables if table is not None],
        {helper: rows for helper, rows in counts.items() if rows is not None},
        [figure for figure in drawn if figure is not None],
        problems,
        {verdict: int((own == verdict).sum()) for verdict in VERDICTS},
    )


def _record(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise ValueError("it is not the record of a study")
    return record


def _alt(path: Path, name: str, found: source.Source) -> str:
    """What a figure shows: what the study draws under that name, or else its question."""
    shown = found.caption(path.stem.removeprefix(name)).full or "A figure of the table below."
    return f"{shown} Study {name}: {found.question}" if found.question else f"{shown} Study {name}."

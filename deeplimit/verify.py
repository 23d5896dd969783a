"""Running all studies that make claims, and gathering the claims in one ledger.

Each study runs in a process of its own and leaves its claims in its record; the ledger is read from the records. A
study that ends with an error leaves an undecided row, so that nothing is dropped silently.
"""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from deeplimit import claims, store
from deeplimit.claims import Claim
from deeplimit.store import StoreError, write

LEDGER = "claims"
TRUE, FALSE, UNDECIDED = 0, 1, 3  # exit codes; 2 is that of a wrong command line
CLOCK_TICK = 0.01  # seconds by which a file's time may lag behind the clock
START, END = "<!-- ledger: made from results/claims.csv -->", "<!-- end of the ledger -->"


def studies(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """The studies of a folder that make claims: those that define a function `claims`.

    Raises
    ------
    ValueError
        If the folder has none, or not those of `only`.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found = {path.stem: path for path in sorted(folder.glob("*.py")) if path.is_file() and _makes_claims(path)}
    unknown = [name for name in only if name not in found]
    if unknown:
        raise ValueError(f"no study {unknown[0]!r} with claims in {folder}; there are {', '.join(found) or 'none'}")
    if not found:
        raise ValueError(f"no study with claims in {folder}; name the folder of the studies")
    return [found[name] for name in dict.fromkeys(only)] if only else list(found.values())


def _makes_claims(path: Path) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # of the parser, on the study's code
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True  # it will fail when it runs, and its row says so
    return any(isinstance(node, ast.FunctionDef) and node.name == "claims" for node in tree.body)


@dataclass(frozen=True)
class Run:
    """One study as it ran: its start in seconds since 1970, its duration, its exit status, the last line it wrote."""

    study: str
    started: float
    seconds: float
    code: int
    last_line: str


def run(
    files: Sequence[Path],
    results: Path,
    *,
    quick: bool = False,
    resume: bool = False,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Run studies, and write and return the ledger: their claims, and the recorded ones of the studies beside them.

    Parameters
    ----------
    files
        Studies to run; what each writes goes to its log, `results/NAME.log`, which is removed where all went well.
    quick
        With their smaller sizes.
    resume
        Keep the rows that an earlier run has finished; otherwise every row is computed anew.
    jobs
        How many run at a time, each with one compute thread.
    report
        Called with a line for each study that has ended.
    """
    results.mkdir(parents=True, exist_ok=True)
    runs = []
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(_run, path, results, quick, not resume) for path in files]):
            done = future.result()
            runs.append(done)
            how = "done" if done.code == 0 else f"FAILED, see {results / done.study}.log"
            report(f"{done.study}: {how}, {done.seconds:.0f} s")
    beside = {path.stem for folder in {file.parent for file in files} for path in studies(folder)}
    table = gather(results, runs, beside)
    write(results / LEDGER, table)
    return table


def _run(path: Path, results: Path, quick: bool, anew: bool) -> Run:
    log = results / f"{path.stem}.log"
    command = [sys.executable, str(path), "--results", str(results), *["--quick"] * quick, *["--force"] * anew]
    # the studies of a work tree are run with the package of that tree
    paths = [str(path.resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    started, clock = time.time(), time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if done.returncode == 0:
        log.unlink()
    return Run(path.stem, started, time.perf_counter() - clock, done.returncode, lines[-1] if lines else "")


def gather(results: Path, runs: Iterable[Run] = (), studies: Iterable[str] | None = None) -> pd.DataFrame:
    """The ledger: the claims of the records in a folder, and an undecided row for each run that left none.

    A record older than the run of its study is passed over: a study that fails does not keep the claims of another run.
    Claims are undecided where the table is not the one that the record was made from, as after an interrupted run.
    What cannot be read, and what claims an id that is taken, becomes an undecided row as well.

    Parameters
    ----------
    studies
        Names of the studies there are; records of others are passed over. By default all records count.
    """
    names = None if studies is None else set(studies)
    started = {done.study: done.started for done in runs}
    found: dict[str, list[Claim]] = {}
    taken: set[str] = set()
    for path in sorted(results.glob("*.json")):
        stale = path.stat().st_mtime < started.get(path.stem, 0) - CLOCK_TICK
        if not stale and (names is None or path.stem in names):
            found[path.stem] = [_unique(claim, path.stem, taken) for claim in _recorded(path)]
    for done in runs:
        if done.code or not found.get(done.study):
            why = f"it ended with status {done.code}: {done.last_line}" if done.code else "it recorded no claim"
            found[done.study] = [*found.get(done.study, []), _missing(done.study, why)]
    return claims.ledger(found)


def _recorded(path: Path) -> list[Claim]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found, why = claims.from_records(record.get("claims", [])), _departure(path, record)
        return [replace(claim, doubts=(*claim.doubts, why)) for claim in found] if why else found
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        return [_missing(path.stem, f"{path.name} is not the record of a study: {error}")]


def _departure(path: Path, record: Mapping[str, Any]) -> str:
    """Why the claims of a record cannot be told of the table beside it; empty where they can."""
    how = store.departure(path.with_suffix(""), record)
    return f"{store.NOT_JUDGED}: {how}" if how else ""


def _unique(claim: Claim, study: str, taken: set[str]) -> Claim:
    """The claim, or an undecided one under another id where its own is taken."""
    repeated = claim.id in taken
    if repeated:
        claim = replace(claim, id=f"{claim.id} {study}", doubts=(*claim.doubts, f"another claim has the id {claim.id}"))
    taken.add(claim.id)
    return claim


def _missing(study: str, why: str) -> Claim:
    return Claim(
        study,
        "the study runs to its end and records its claims",
        "derived here",
        "exit status",
        predicted=0,
        observed=math.nan,
        tolerance=0,
        falsified_by="an exit status other than 0",
        doubts=(why,),
    )


def exit_code(table: pd.DataFrame) -> int:
    """0 if all claims hold, 1 if one is false, 3 if none is false but one is undecided, or if there is none at all."""
    verdicts = set(table["holds"])
    return FALSE if "false" in verdicts else TRUE if verdicts == {"true"} else UNDECIDED


def lines(table: pd.DataFrame) -> list[str]:
    """The ledger to print: a line for each claim, below it why it is undecided or what its failure means; a sum."""
    text = []
    width = max((len(identifier) for identifier in table["id"]), default=0) + 2
    for _, row in table.iterrows():
        numbers = f"{row['observed']:<14.7g}{claims.prediction(row):<24}"
        text.append(f"{row['id']:<{width}}{row['holds']:<11}{numbers}{row['statement']}; {row['quantity']}")
        if row["holds"] == "undecided":
            text.append(f"{'':8}{row['study']}: {row['reason']}")
        if row["holds"] == "false":
            text.append(f"{'':8}{row['study']}, {row['quantity']}: falsified by {row['falsified_by']}")
    counts = ", ".join(f"{(table['holds'] == verdict).sum()} {verdict}" for verdict in ("true", "false", "undecided"))
    return [*text, f"{len(table)} claim{'s' * (len(table) != 1)}: {counts}"]


def in_full(claim: pd.Series) -> str:
    """A line of the ledger with all that it says."""
    lines = [
        f"{claim['id']}  {claim['statement']}",
        f"  {claim['holds']}" + (f", because {claim['reason']}" if claim["reason"] else ""),
        f"  compared: {claim['quantity']}",
        f"  observed {claim['observed']:.10g}, predicted {claims.prediction(claim)}",
        f"  falsified by: {claim['falsified_by']}",
        f"  source: {claim['source']}; study {claim['study']}",
    ]
    return "\n".join(lines)


def read(results: Path) -> pd.DataFrame:
    """The ledger as it was written, but that claims whose table is no longer the one that was judged are undecided.

    Raises
    ------
    StoreError
        If there is none, or the file is not a ledger.
    """
    path = results / f"{LEDGER}.csv"
    if not path.exists():
        raise StoreError(f"there is no {path}; `deeplimit verify` writes it")
    columns = (*claims.COLUMNS, *claims.REMARKS)
    found = store.read(results / LEDGER, texts=[name for name in columns if name not in claims.NUMBERS])
    missing = [name for name in columns if name not in found]
    texts = [name for name in claims.NUMBERS if name in found and found[name].dtype.kind not in "iuf"]
    if len(found) and (missing or texts):
        what = f"it has no {missing[0]}" if missing else f"its {texts[0]} is no number"
        raise StoreError(f"{path} is not the ledger ({what}); `deeplimit verify` writes it")
    return _withheld(found, results) if len(found) else found


def _withheld(table: pd.DataFrame, results: Path) -> pd.DataFrame:
    """The ledger without the verdicts of tables that are not the judged ones."""
    for path in sorted(results.glob("*.json")):
        of_study = (table["study"] == path.stem) & (table["holds"] != "undecided")
        try:
            why = _departure(path, store.read_record(path.with_suffix(""))) if of_study.any() else ""
        except StoreError:
            continue
        if why:
            table.loc[of_study, ["holds", "reason"]] = "undecided", why
    return table


def inserted(page: str, table: pd.DataFrame, *, summary: bool = False) -> str:
    """A page with the ledger, or its summary, between its two marks.

    Raises
    ------
    ValueError
        If the page does not have both marks, each once.
    """
    if page.count(START) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs the marks {START!r} and {END!r}, each once")
    text = claims.summary(table) if summary else claims.markdown(table)
    before, rest = page.split(START)
    after = rest.split(END)[1]
    return f"{before}{START}\n\n{text}\n{END}{after}"

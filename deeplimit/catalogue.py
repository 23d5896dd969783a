"""The catalogue of studies: those of a folder and those that come with the package, found by name or by file."""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from deeplimit import store
from deeplimit.store import StoreError

PACKAGE = Path(__file__).resolve().parent
MOST_NAMED = 6  # studies in a message
NAME = re.compile(r"[A-Za-z]\w{0,99}", re.ASCII)  # of a study: no folder, no dot
NAMING = "a study is named by letters, digits and underscores or by its .py file"
MOST_SHOWN = 100  # characters of a name in a message


class CatalogueError(ValueError):
    """There is no such study; the message says which there are."""


@dataclass(frozen=True)
class Entry:
    """A study.

    Attributes
    ----------
    path
        Its file.
    """

    path: Path

    @property
    def name(self) -> str:
        """That of its file."""
        return self.path.stem

    @property
    def question(self) -> str:
        """First paragraph of its docstring, in one line; empty where it has none."""
        return question(self.path)


def shipped() -> Path:
    """The folder of the studies that come with the package: of its work tree, or inside the installed package."""
    tree = PACKAGE.parent / "studies"
    return tree if tree.is_dir() and (PACKAGE.parent / "pyproject.toml").is_file() else PACKAGE / "studies"


def home(folder: Path | None) -> Path:
    """The folder of studies that is meant: by default ./studies, or where there is none those of the package."""
    return folder or (Path("studies") if Path("studies").is_dir() else shipped())


def results(folder: Path | None) -> Path:
    """Where the results of a folder of studies lie, by default of `home`."""
    return store.results_of(home(folder))


def entries(folder: Path | None = None) -> list[Entry]:
    """All studies: those of the folder, by default ./studies, and behind them those that come with the package.

    Raises
    ------
    CatalogueError
        If a folder is named and is none.
    """
    if folder is not None and not folder.is_dir():
        raise CatalogueError(f"there is no folder {folder}; --studies takes the folder of the studies")
    found: dict[str, Entry] = {}
    for place in [folder or Path("studies"), *([] if folder else [shipped()])]:
        for path in sorted(place.glob("*.py")):
            if NAME.fullmatch(path.stem) and path.stem not in found and path.is_file():
                found[path.stem] = Entry(path)
    return list(found.values())


def question(path: Path) -> str:
    """First paragraph of a file's docstring, in one line; the file is read, not run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of the parser, on the study's code
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return " ".join(text.split("\n\n")[0].split())


def find(name: str, folder: Path | None = None) -> Entry:
    """The study of a name, or of a path to its file.

    Raises
    ------
    CatalogueError
        If there is none; a name is letters, digits and underscores, so that it cannot lead out of its folder.
    """
    path = Path(name) if "\0" not in name else Path()
    if name.endswith(".py") and NAME.fullmatch(path.stem):
        if not _is_file(path):
            raise CatalogueError(f"there is no file {_short(name)}; a study is given by its name or by its .py file")
        return Entry(path)
    known = {entry.name: entry for entry in entries(folder)}
    if not NAME.fullmatch(name):
        raise CatalogueError(f"{NAMING}, got {_short(name)!r}")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; there are {_some(sorted(known))}"
        raise CatalogueError(f"there is no study {_short(name)!r}{hint}")
    return known[name]


def _some(names: list[str]) -> str:
    """The first names of a list, and where to see all."""
    more = ", … (`deeplimit list` shows all)" if len(names) > MOST_NAMED else ""
    return (", ".join(names[:MOST_NAMED]) or "none") + more


def plain(name: str) -> str:
    """The name of a study that is given by its name or by its file.

    Raises
    ------
    CatalogueError
        If it is no name; a name cannot lead out of its folder.
    """
    stem = name[: -len(".py")].rpartition("/")[2] if name.endswith(".py") else name
    if not NAME.fullmatch(stem):
        raise CatalogueError(f"{NAMING}, got {_short(name)!r}")
    return stem


def table(name: str, folder: Path | None = None, results: Path | None = None) -> Path:
    """Where the table of a study lies, or that of a sweep without a study; without suffix.

    Parameters
    ----------
    name
        Of the study or of the table, or the study's file.
    folder
        Of the studies; by default as for `entries`.
    results
        Of the tables; by default where `deeplimit run` puts those of the study, or ./results.

    Raises
    ------
    CatalogueError
        If there is neither such a study nor such a table.
    """
    stem, known = plain(name), {} if name.endswith(".py") else {entry.name: entry for entry in entries(folder)}
    if results is None and (stem in known or name.endswith(".py")):
        return store.results_of(find(name, folder).path.parent) / stem
    places = [results] if results else [store.results_of(home(folder)), *([] if folder else [store.RESULTS])]
    saves = [place / stem for place in places if store.results_path(place / stem, ".csv").exists()]
    if not saves and not name.endswith(".py"):
        find(name, folder)  # a name that is none is told as such
    return next(iter(saves), places[0] / stem)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _short(name: str) -> str:
    return name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}…"


def state(name: str, results: Path) -> str:
    """What there is of a study in a folder of results: rows, date, claims."""
    save = results / name
    try:
        record = store.read_record(save)
    except StoreError:
        return "its record is broken"
    table = store.results_path(save, ".csv")
    if not record:
        return "table without a record" if table.exists() else "not run yet"
    verdicts = [str(claim.get("holds", "")) for claim in record.get("claims", [])]
    if departure := store.departure(save, record):
        return f"{departure}, claims undecided: {store.NOT_JUDGED}" if verdicts else departure
    words = [f"finished {record.get('finished', '')[:10]}"]
    if record.get("failed"):
        words.append(f"{record['failed']} of {record.get('rows')} rows failed")
    if verdicts:
        words.append(f"{verdicts.count('true')} of {len(verdicts)} claim{'s' * (len(verdicts) != 1)} true")
    return ", ".join(words)

"""The command `deeplimit`: run studies, look at their tables and figures, verify every claim, write the report."""

from __future__ import annotations

import difflib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:  # the command itself loads no library that computes: its help must come at once
    from deeplimit.catalogue import Entry

WRONG, FAILED = 2, 1  # exit statuses: a wrong command line, and an error on the way

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Do optimal deep networks converge, and how fast?",
)


def _folder(text: str | Path) -> Path:
    """A folder that is there or can be made."""
    path = Path(text)
    if "\0" in str(path) or not str(text).strip():
        raise typer.BadParameter(f"a folder has a name, such as results, got {str(text)!r}")
    try:
        is_other = path.exists() and not path.is_dir()
    except OSError as error:
        raise typer.BadParameter(f"{path} is no folder: {error.strerror}") from None
    if is_other:
        raise typer.BadParameter(f"{path} is a file; name a folder, which may not exist yet")
    return path


Name = Annotated[str, typer.Argument(metavar="STUDY", help="name of a study, or its .py file")]
Studies = Annotated[
    Path | None,
    typer.Option(parser=_folder, metavar="FOLDER", help="folder of the studies; ./studies and those of the package"),
]
Results = Annotated[
    Path | None,
    typer.Option(
        parser=_folder, metavar="FOLDER", help="folder of tables, records and figures; results beside the studies"
    ),
]


@app.callback()
def _any_text() -> None:
    """Print what the screen cannot show by its number, such as a path of undecodable bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end(message: object, status: int = WRONG) -> NoReturn:
    """End with one line."""
    print(" ".join(str(message).split()), file=sys.stderr)
    sys.exit(status)


def _studies(count: int) -> str:
    return "1 study" if count == 1 else f"{count} studies"


def _found(name: str, studies: Path | None) -> Entry:
    from deeplimit import catalogue

    try:
        return catalogue.find(name, studies)
    except (catalogue.CatalogueError, OSError) as error:
        _end(error)


def _results(results: Path | None, studies: Path | None) -> Path:
    from deeplimit import catalogue

    return results or catalogue.results(studies)


@app.command("list")
def list_(studies: Studies = None, results: Results = None) -> None:
    """List the studies: name, what there is of its results, and its question."""
    from deeplimit import catalogue

    try:
        found = catalogue.entries(studies)
    except (catalogue.CatalogueError, OSError) as error:
        _end(error)
    folder = _results(results, studies)
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        print(f"{entry.name:<{width}}  {entry.question or '(no question in its docstring)'}")
        print(f"{'':<{width}}  {catalogue.state(entry.name, folder)}")
    print(f"{_studies(len(found))}; `deeplimit run NAME` runs one, results are in {folder}")


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(metavar="STUDY...", help="names of studies, or their .py files")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="replace a constant; can be repeated")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="small sizes, by default into a temporary folder")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="processes, one compute thread each")] = 1,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help="of a dask scheduler, tcp://HOST:PORT")] = None,
    force: Annotated[bool, typer.Option("--force", help="compute every row anew")] = False,
    results: Results = None,
    studies: Studies = None,
) -> None:
    """Run studies: what is missing of their tables, then records and figures. The same as `python studies/NAME.py`."""
    from deeplimit import execution

    chosen = [_found(name, studies) for name in names]
    options = execution.Options(quick, tuple(assignments or ()), results, jobs, cluster, force)
    status = 0
    for entry in chosen:
        try:
            _execute(entry, options)
        except SystemExit as end:
            if end.code != FAILED:
                raise
            status = FAILED  # of this study, and the others are run
    sys.exit(status)


@app.command()
def plot(
    name: Name,
    quick: Annotated[bool, typer.Option("--quick", help="the figures of a quick run")] = False,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="as in the run whose figures are drawn")
    ] = None,
    results: Results = None,
    studies: Studies = None,
) -> None:
    """Draw the figures of a study again, from the rows there are; no row is computed."""
    from deeplimit import execution

    options = execution.Options(quick, tuple(assignments or ()), results, draw=True)
    _execute(_found(name, studies), options)


def _execute(entry: Entry, options: object) -> None:
    """Run a study's main unless its results are finished, which its file alone tells."""
    from deeplimit import execution, script, sources

    assert isinstance(options, execution.Options)
    file = Path(os.path.abspath(entry.path))  # a link's own folder, where its results belong
    if not (options.force or options.draw or (options.quick and options.results is None)):
        save = options.save(file)
        if execution.is_finished(save, options.stamp(file)):
            print(execution.finished_line(save))
            return
    sources.forget()
    try:
        module = script.read(file).load()
    except (Exception, SystemExit) as error:  # the study's own
        _end(f"{entry.path} cannot be loaded: {type(error).__name__}: {error}", FAILED)
    if not callable(getattr(module, "main", None)):
        _end(f"{entry.path} is no study: it has no function main(save)", FAILED)
    execution.execute(module.main, vars(module), options)


@app.command()
def table(
    name: Name,
    query: Annotated[str, typer.Option(help="rows to show, such as \"depth >= 64 and data == 'moons'\"")] = "",
    columns: Annotated[str, typer.Option(help="columns to show, separated by commas")] = "",
    form: Annotated[str, typer.Option("--format", help="text, csv, markdown, latex or json")] = "text",
    orders: Annotated[bool, typer.Option(help="observed orders beside the gaps of a sweep in depth")] = True,
    results: Results = None,
    studies: Studies = None,
) -> None:
    """Show the table of a study."""
    from deeplimit import catalogue, store, tables

    try:
        save = catalogue.table(name, studies, results)
        found = store.read(save)
        if orders and form != "csv":
            found = tables.with_orders(found, store.read_record(save).get("axes", []))
        wanted = [column.strip() for column in columns.split(",") if column.strip()]
        shown = tables.chosen(found, query, wanted)
        fit = tables.fitting(shown, shutil.get_terminal_size().columns)
        more = [str(column) for column in list(shown)[len(fit) :]]
        if form == "text" and not wanted and sys.stdout.isatty() and more:
            print(tables.text(shown[fit]))
            print(f"and {len(more)} more columns (--columns): {', '.join(more)}")
        else:
            print(tables.text(shown, form))
    except (catalogue.CatalogueError, store.StoreError, tables.TableError) as error:
        _end(error)
    if not len(shown):
        print("no rows", file=sys.stderr)


@app.command()
def verify(
    only: Annotated[list[str] | None, typer.Argument(help="studies to run; all that make claims by default")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="small sizes, by default into a temporary folder")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="keep finished rows of an earlier run")] = False,
    results: Results = None,
    studies: Studies = None,
    jobs: Annotated[int, typer.Option(min=1, help="studies that run at a time")] = os.cpu_count() or 1,
) -> None:
    """Run the studies and print the ledger of their claims.

    Exit status: 0 if every claim holds, 1 if one is false, 3 if none is false but one is undecided because a solver
    did not converge or a study failed, 2 for a wrong command line. Without --quick tables, figures and claims.csv in
    results/ are replaced.
    """
    from deeplimit import catalogue, verify
    from deeplimit.store import StoreError

    home = catalogue.home(studies)
    folder = results or (Path(tempfile.mkdtemp()) if quick else catalogue.results(studies))
    try:
        files = verify.studies(home, only or [])
        folder.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        _end(error)
    print(f"{_studies(len(files))}, {jobs} at a time, into {folder}", flush=True)

    def report(line: str) -> None:
        print(line, flush=True)

    try:
        ledger = verify.run(files, folder, quick=quick, resume=resume, jobs=jobs, report=report)
    except (StoreError, OSError) as error:
        _end(error, FAILED)
    earlier = sorted(set(ledger["study"]) - {path.stem for path in files})
    if earlier:
        print(f"claims of earlier runs: those of {', '.join(earlier)}")
    print(*verify.lines(ledger), f"the ledger is in {folder / verify.LEDGER}.csv", sep="\n")
    sys.exit(verify.exit_code(ledger))


@app.command()
def report(results: Results = None, studies: Studies = None) -> None:
    """Write results/index.html: the ledger and every study on one page that needs no network."""
    from deeplimit import catalogue, report
    from deeplimit.store import StoreError

    folder = _results(results, studies)
    beside = catalogue.home(studies)
    try:
        print(f"the report is in {report.write(folder, beside)}")
    except (StoreError, ValueError, OSError) as error:
        _end(error)


@app.command()
def claim(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="of claims, such as T3.1, or of a part, T3")],
    results: Results = None,
) -> None:
    """Show claims in full: what holds, whose result it is, what was compared, and what would falsify it."""
    from deeplimit import store, verify

    try:
        table = verify.read(_results(results, None))
    except store.StoreError as error:
        _end(error)
    for wanted in ids:
        found = table[(table["id"] == wanted) | table["id"].str.startswith(f"{wanted}.")]
        if not len(found):
            _end(f"there is no claim {wanted!r}; {_id_like(wanted, list(table['id']))}")
        print(*(verify.in_full(row) for _, row in found.iterrows()), sep="\n\n")


def _id_like(wanted: str, ids: list[str]) -> str:
    """The id of a claim or of a part that is nearest, or else an example of one."""
    known = [*ids, *(id_.split(".")[0] for id_ in ids)]
    close = difflib.get_close_matches(wanted.upper(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"an id is like {ids[0] if ids else 'T3.1'}"


@app.command()
def ledger(
    results: Results = None,
    into: Annotated[Path | None, typer.Option(help="page to put it into, between its marks")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="a line for each part of the ledger")] = False,
) -> None:
    """Print the ledger that was last written, or put it into a page such as README.md."""
    from deeplimit import claims, verify
    from deeplimit.store import StoreError, write_atomically

    try:
        found = verify.read(_results(results, None))
        if into is None:
            print(*([claims.summary(found)] if summary else verify.lines(found)), sep="\n")
            return
        page = verify.inserted(into.read_text(encoding="utf-8"), found, summary=summary)
        write_atomically(into.resolve(), page)
    except StoreError as error:
        _end(error)
    except (OSError, ValueError) as error:
        _end(f"the ledger cannot be put into {into}: {error}")


if __name__ == "__main__":
    app()

"""The command `deeplimit`: verify every claim, and show the ledger."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from deeplimit import verify as verification
from deeplimit.study import RESULTS

HOME = Path(__file__).resolve().parent.parent  # of a work tree, where studies/ and results/ lie beside the package

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Do optimal deep networks converge, and how fast?")

Studies = Annotated[Path | None, typer.Option(help="folder of the studies")]
Results = Annotated[
    Path | None, typer.Option(help="folder of tables, records, figures and the ledger; results beside the studies")
]


@app.callback()
def main() -> None:
    """Do optimal deep networks converge, and how fast?"""


def _home(folder: str) -> Path:
    """A folder of the work tree one stands in, or of the one that the package was installed from."""
    return Path(folder) if Path("studies").is_dir() else HOME / folder


@app.command()
def verify(
    only: Annotated[list[str] | None, typer.Argument(help="studies to run; all that make claims by default")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="small sizes, by default into a temporary folder")] = False,
    results: Results = None,
    studies: Studies = None,
    jobs: Annotated[int, typer.Option(min=1, help="studies that run at a time")] = os.cpu_count() or 1,
) -> None:
    """Run the studies and print the ledger of their claims.

    Exit status: 0 if every claim holds, 1 if one is false, 3 if none is false but one is undecided because a solver
    did not converge or a study failed, 2 for a wrong command line. Without --quick tables, figures and claims.csv in
    results/ are replaced.
    """
    home = studies or _home("studies")
    folder = results or (Path(tempfile.mkdtemp()) if quick else home.parent / RESULTS)
    try:
        files = verification.studies(home, only or [])
        folder.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    print(f"{len(files)} studies, {jobs} at a time, into {folder}", flush=True)
    table = verification.run(files, folder, quick=quick, jobs=jobs, report=lambda line: print(line, flush=True))
    earlier = sorted(set(table["study"]) - {path.stem for path in files})
    if earlier:
        print(f"claims of earlier runs: those of {', '.join(earlier)}")
    print(*verification.lines(table), f"the ledger is in {folder / verification.LEDGER}.csv", sep="\n")
    sys.exit(verification.exit_code(table))


@app.command()
def ledger(
    results: Results = None,
    into: Annotated[Path | None, typer.Option(help="page to put it into, between its marks")] = None,
) -> None:
    """Print the ledger that was last written, or put it into a page such as README.md."""
    folder = results or _home(str(RESULTS))
    path = folder / f"{verification.LEDGER}.csv"
    if not path.exists():
        raise typer.BadParameter(f"there is no {path}; `deeplimit verify` writes it")
    table = verification.read(folder)
    if into is None:
        print(*verification.lines(table), sep="\n")
        return
    try:
        page = verification.inserted(into.read_text(encoding="utf-8"), table)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    into.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    app()

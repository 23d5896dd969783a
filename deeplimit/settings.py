"""Settings: how the study that runs was asked to run, by its command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from deeplimit.script import Script


@dataclass(frozen=True)
class Settings:
    """How a study runs, as its command line says.

    Attributes
    ----------
    script
        The study's file and the changes of its constants, where it is run from one; workers load it.
    jobs, cluster
        Where the rows are computed, see `sweep`.
    force
        Compute every row anew.
    draw
        Compute nothing and record nothing: main draws its figures from the rows there are.
    stamp
        Fingerprint of file and options, for the record.
    code
        The user's files that the study imports, with their digests, for the record.
    made
        Filled by the sweeps: what the record says of each table.
    """

    script: Script | None = None
    jobs: int = 1
    cluster: str | None = None
    force: bool = False
    draw: bool = False
    stamp: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)


_PLAIN = Settings()  # of a notebook, or of a script that calls its main itself
_SETTINGS: ContextVar[Settings | None] = ContextVar("settings", default=None)


@contextmanager
def changed(**changes: Any) -> Iterator[None]:
    """Let the sweeps inside run with these settings."""
    token = _SETTINGS.set(replace(current(), **changes))
    try:
        yield
    finally:
        _SETTINGS.reset(token)


def current() -> Settings:
    """Those of the study that runs; outside of one what `sweep` takes by default."""
    return _SETTINGS.get() or _PLAIN

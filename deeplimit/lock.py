"""The lock of a table, which keeps it to the process that computes it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deeplimit.provenance import now
from deeplimit.store import StoreError, hidden, results_path, unwritable

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextmanager
def alone(save: str | Path) -> Iterator[None]:
    """Keep a table to this process while it is computed; the lock goes with the process, however it ends.

    Raises
    ------
    StoreError
        If another process computes it, or its folder cannot be written.
    """
    lock, holder = _locked(save), hidden(save) / "holder"
    is_first = lock.lock_counter == 1
    try:
        yield
    finally:
        with suppress(OSError):  # what goes wrong inside is not for the lock to tell
            if is_first:
                holder.unlink(missing_ok=True)
        lock.release()


def _locked(save: str | Path) -> BaseFileLock:
    """The lock of a table, held, and beside it who holds it."""
    from filelock import FileLock, Timeout

    folder = hidden(save)
    holder = folder / "holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0, is_singleton=True)
        lock.acquire()
        if lock.lock_counter == 1:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now()}", encoding="utf-8")
        return lock
    except Timeout:
        text = holder.read_text(encoding="utf-8", errors="replace") if holder.exists() else "another process"
        raise StoreError(
            f"{results_path(save, '.csv')} is being computed by {text}; wait for it, or choose another --results folder"
        ) from None
    except OSError as error:
        raise unwritable(folder, error) from error
